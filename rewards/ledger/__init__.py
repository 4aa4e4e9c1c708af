"""The DuckDB ledger of the pipeline, the lock of its one writer, and the catalogue for analysts."""
