"""The tables of the ledger, as steps that are only ever added to."""

MIGRATIONS = (
    """
    CREATE TABLE epochs (
        number INTEGER PRIMARY KEY, manifest VARCHAR NOT NULL UNIQUE, previous VARCHAR, root VARCHAR NOT NULL,
        sealed_at TIMESTAMPTZ NOT NULL
    );
    CREATE TABLE intents (
        hash VARCHAR PRIMARY KEY, epoch INTEGER NOT NULL, action VARCHAR NOT NULL, chain_id VARCHAR NOT NULL,
        record VARCHAR NOT NULL, signed_at TIMESTAMPTZ NOT NULL, final_at TIMESTAMPTZ, block BIGINT
    );
    CREATE TABLE findings (
        epoch INTEGER NOT NULL, step VARCHAR NOT NULL, gate VARCHAR NOT NULL, message VARCHAR NOT NULL,
        expected VARCHAR NOT NULL, observed VARCHAR NOT NULL, refuses BOOLEAN NOT NULL, found_at TIMESTAMPTZ NOT NULL
    );
    """,
    """
    CREATE TABLE overrides (
        epoch INTEGER NOT NULL, gate VARCHAR NOT NULL, reason VARCHAR NOT NULL, message VARCHAR NOT NULL,
        expected VARCHAR NOT NULL, observed VARCHAR NOT NULL, given_at TIMESTAMPTZ NOT NULL
    );
    """,
)
"""Each runs once, in this order, in the transaction that finds it missing."""
