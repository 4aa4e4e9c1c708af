"""Bundles: the published folder of an epoch. Staged, digested, renamed into place, read back."""
