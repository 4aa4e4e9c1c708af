"""Sources: exports of the platform in folders, and policies."""
