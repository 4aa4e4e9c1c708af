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
        manifest VARCHAR NOT NULL, publication VARCHAR NOT NULL, chain_id VARCHAR NOT NULL, sender VARCHAR NOT NULL,
        nonce BIGINT NOT NULL, record VARCHAR NOT NULL, signed_at TIMESTAMPTZ NOT NULL, outcome VARCHAR,
        settled_at TIMESTAMPTZ, block BIGINT
    );
    INSERT INTO transactions
        SELECT row_number() OVER (ORDER BY signed_at, hash), hash, epoch, action,
            coalesce((SELECT manifest FROM epochs WHERE epochs.number = intents.epoch), ''), '', chain_id,
            regexp_extract(record, '"sender": "(0x[0-9a-f]{40})"', 1),
            coalesce(TRY_CAST(regexp_extract(record, '"nonce": ([0-9]+)', 1) AS BIGINT), 0), record, signed_at,
            CASE WHEN final_at IS NOT NULL THEN 'succeeded' END, final_at, block
        FROM intents;
    DROP TABLE intents;
    """,
    # What was observed of the chain, up to a final block; how bad a finding is.
    """
    ALTER TABLE findings ADD COLUMN severity VARCHAR;
    UPDATE findings SET severity = CASE WHEN refuses THEN 'critical' ELSE 'note' END;
    CREATE TABLE observed_cursor (
        chain_id VARCHAR NOT NULL, vault VARCHAR NOT NULL, block BIGINT NOT NULL, hash VARCHAR NOT NULL
    );
    CREATE TABLE observed_claims (
        block BIGINT NOT NULL, log_index INTEGER NOT NULL, transaction VARCHAR NOT NULL, epoch BIGINT NOT NULL,
        pool TINYINT NOT NULL, account VARCHAR NOT NULL, amount DECIMAL(38, 0) NOT NULL,
        cumulative_amount DECIMAL(38, 0) NOT NULL, PRIMARY KEY (block, log_index)
    );
    CREATE TABLE observed_transfers (
        block BIGINT NOT NULL, log_index INTEGER NOT NULL, transaction VARCHAR NOT NULL, kind VARCHAR NOT NULL,
        protocol_amount DECIMAL(38, 0) NOT NULL, provider_amount DECIMAL(38, 0) NOT NULL,
        user_amount DECIMAL(38, 0) NOT NULL, PRIMARY KEY (block, log_index)
    );
    CREATE TABLE observed_roots (
        block BIGINT NOT NULL, log_index INTEGER NOT NULL, transaction VARCHAR NOT NULL, action VARCHAR NOT NULL,
        epoch BIGINT NOT NULL, root VARCHAR, manifest VARCHAR, provider_total DECIMAL(38, 0),
        user_total DECIMAL(38, 0), attester VARCHAR, PRIMARY KEY (block, log_index)
    );
    CREATE TABLE observed_breaks (
        message VARCHAR NOT NULL, expected VARCHAR NOT NULL, observed VARCHAR NOT NULL, found_at TIMESTAMPTZ NOT NULL
    );
    """,
    # Judgements of people that a gate passed by.
    """
    CREATE TABLE overrides (
        epoch INTEGER NOT NULL, gate VARCHAR NOT NULL, reason VARCHAR NOT NULL, message VARCHAR NOT NULL,
        expected VARCHAR NOT NULL, observed VARCHAR NOT NULL, given_at TIMESTAMPTZ NOT NULL
    );
    """,
    # Whether somebody was told of a break.
    """
    ALTER TABLE observed_breaks ADD COLUMN told BOOLEAN DEFAULT false;
    """,
)
"""Each runs once, in this order, in the transaction that finds it missing."""
