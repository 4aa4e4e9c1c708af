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
    # Who signed a transaction, with which nonce, for which publication, and what became of it.
    """
    CREATE TABLE transactions (
        number BIGINT NOT NULL, hash VARCHAR PRIMARY KEY, epoch INTEGER NOT NULL, action VARCHAR NOT NULL,
        manifest VARCHAR NOT NULL, chain_id VARCHAR NOT NULL, sender VARCHAR NOT NULL, nonce BIGINT NOT NULL,
        record VARCHAR NOT NULL, signed_at TIMESTAMPTZ NOT NULL, outcome VARCHAR, settled_at TIMESTAMPTZ, block BIGINT
    );
    INSERT INTO transactions
        SELECT row_number() OVER (ORDER BY signed_at, hash), hash, epoch, action, '', chain_id,
            regexp_extract(record, '"sender": "(0x[0-9a-f]{40})"', 1),
            regexp_extract(record, '"nonce": ([0-9]+)', 1)::BIGINT, record, signed_at,
            CASE WHEN final_at IS NOT NULL THEN 'succeeded' END, final_at, block
        FROM intents;
    DROP TABLE intents;
    """,
)
"""Each runs once, in this order, in the transaction that finds it missing."""
