"""The analysts' catalogue: a DuckDB file over the epochs' Parquet, built aside and swapped by rename, so that it is
never locked."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import duckdb

from rewards import corrections
from rewards.errors import StorageError, UsageError
from rewards.ledger.store import OVERRIDE
from rewards.manifest import Manifest
from rewards.units import POOL_NAMES

_FRAMES = {
    "scores": "why each account has its score: one row per epoch, pool and account",
    "provision_scores": "base points and multipliers of each provision and endpoint, in milli-points",
    "allocations": "what each account got of each pool: share, cap and amount in base units (10^-18 CXPT)",
    "claimables": "cumulative amount of each (pool, wallet) after each epoch, in base units",
    "quarantine": "rows that earned nothing, with their content, the reason, the column and its value",
    "rollup": "counts and sums of usage per key: the commitment to the inputs",
    "heartbeats_rollup": "heartbeats per provision, and how many were ok",
    "accounts": "the snapshot of accounts that each epoch was computed with",
    "provisions": "the snapshot of provisions that each epoch was computed with",
    "deposits": "fees and funding that arrived since the epoch before, in base units",
}


def write_catalogue(path: Path, epochs: Sequence[tuple[Manifest, Path]]) -> None:
    """Replace the catalogue by one over these epochs (manifest, folder). Paths inside are absolute and named one by
    one, so that it can be opened from anywhere and never shows an epoch that is not meant to be seen yet.

    Raises StorageError, leaving the old one as it was; UsageError for a folder whose name DuckDB takes for a pattern.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    log = aside.with_name(f"{aside.name}.wal")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        with duckdb.connect(str(aside)) as connection:
            _fill(connection, epochs)
            # A full disk fails here; the checkpoint that closing makes by itself would fail in silence.
            connection.execute("CHECKPOINT")
        if log.exists():
            raise OSError(f"{log.name} still holds rows that are not in the file; free space on the disk")
        _sync(aside)
        aside.replace(path)
        _sync(path.parent)
    except (duckdb.Error, OSError) as error:
        raise StorageError(f"{path} cannot be written: {str(error).splitlines()[0]}") from error
    finally:
        for leftover in (aside, log):
            with suppress(OSError):
                leftover.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_shown(path: Path) -> dict[int, str] | None:
    """Manifest digest by epoch of what the catalogue shows; None where there is none or it cannot be read."""
    if not path.is_file():
        return None
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            return dict(connection.execute("SELECT epoch, manifest FROM epochs").fetchall())
    except duckdb.Error:
        return None


def _fill(connection: duckdb.DuckDBPyConnection, epochs: Sequence[tuple[Manifest, Path]]) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    _fill_books(connection, [manifest for manifest, _ in epochs])
    for name, comment in _FRAMES.items():
        parts = [
            f"SELECT {manifest.epoch.number} AS epoch, * FROM read_parquet('{_escape(folder / f'{name}.parquet')}')"
            for manifest, folder in epochs
        ]
        if parts:
            connection.execute(f"CREATE VIEW {name} AS " + " UNION ALL ".join(parts))
            connection.execute(f"COMMENT ON VIEW {name} IS '{comment}'")
    debts = [
        f"SELECT {manifest.epoch.number} AS epoch, pool, id AS account_id, amount "
        f"FROM read_parquet('{_escape(folder / 'state.parquet')}') WHERE kind = 'debt'"
        for manifest, folder in epochs
    ]
    if debts:
        connection.execute("CREATE VIEW debts AS " + " UNION ALL ".join(debts))
        connection.execute("COMMENT ON VIEW debts IS 'what accounts still owe after each epoch, in base units'")
    _fill_corrections(connection, [folder for _, folder in epochs])
    _fill_overrides(connection, [manifest for manifest, _ in epochs])


def _escape(path: Path) -> str:
    text = str(path.resolve())
    pattern = next((c for c in text if c in "*?["), None)
    if pattern is not None:
        raise UsageError(f"{text} holds {pattern!r}, which DuckDB takes for a pattern; give another --data folder")
    return text.replace("'", "''")


def _fill_corrections(connection: duckdb.DuckDBPyConnection, folders: Sequence[Path]) -> None:
    connection.execute(
        "CREATE TABLE corrections (epoch INTEGER, pool TINYINT, account_id VARCHAR, amount DECIMAL(38, 0), "
        "reason VARCHAR, signer VARCHAR)"
    )
    for folder in folders:
        path = folder / corrections.FILE
        rows = [
            (r.epoch, r.pool, r.account_id, r.amount, r.reason, r.signer)
            for r in corrections.decode_records(path.read_bytes(), str(path))
        ]
        if rows:  # at once: row by row, ten thousand take minutes
            columns = [list(column) for column in zip(*rows, strict=True)]
            connection.execute(
                "INSERT INTO corrections SELECT epoch, pool, account_id, CAST(amount AS DECIMAL(38, 0)), reason, signer "
                "FROM (SELECT unnest(?) AS epoch, unnest(?) AS pool, unnest(?) AS account_id, unnest(?) AS amount, "
                "unnest(?) AS reason, unnest(?) AS signer)",
                columns,
            )
    connection.execute(
        "COMMENT ON TABLE corrections IS 'signed changes that entered each epoch, in base units: above 0 credited, below 0 "
        "made a debt; why, and who signed'"
    )


def _fill_overrides(connection: duckdb.DuckDBPyConnection, manifests: Sequence[Manifest]) -> None:
    connection.execute(
        "CREATE TABLE overrides (epoch INTEGER, gate VARCHAR, reason VARCHAR, message VARCHAR, expected VARCHAR, "
        "observed VARCHAR)"
    )
    rows = [(m.epoch.number, *(one.get(name) for name in OVERRIDE)) for m in manifests for one in m.overrides]
    for row in rows:
        connection.execute("INSERT INTO overrides VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.execute(
        "COMMENT ON TABLE overrides IS 'findings of gates that an operator passed, each with the reason and both values'"
    )


def _fill_books(connection: duckdb.DuckDBPyConnection, manifests: Sequence[Manifest]) -> None:
    connection.execute(
        "CREATE TABLE epochs (epoch INTEGER, starts TIMESTAMPTZ, ends TIMESTAMPTZ, root VARCHAR, manifest VARCHAR, "
        "leaves BIGINT, rows BIGINT, earning BIGINT, repeated BIGINT, late BIGINT, chain_id VARCHAR, vault VARCHAR)"
    )
    connection.execute("CREATE TABLE row_counts (epoch INTEGER, class VARCHAR, reason VARCHAR, rows BIGINT)")
    totals = ("deposited", "pool", "allocated", "corrected", "withheld", "returned", "claimables", "held", "carry_over")
    columns = ", ".join(f"{'split' if name == 'pool' else name} DECIMAL(38, 0)" for name in totals)
    connection.execute(f"CREATE TABLE pools (epoch INTEGER, pool TINYINT, name VARCHAR, {columns})")
    for manifest in manifests:
        number, counts, chain = manifest.epoch.number, manifest.counts, manifest.chain
        connection.execute(
            "INSERT INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                number,
                manifest.epoch.start,
                manifest.epoch.end,
                "0x" + manifest.root.hex(),
                manifest.digest,
                manifest.leaves,
                counts["rows"],
                counts["earning"],
                counts["repeated"],
                counts["late"],
                str(chain.chain_id) if chain else None,
                chain.vault if chain else None,
            ],
        )
        rows = [("earning", "", counts["earning"]), ("repeated", "", counts["repeated"])]
        rows += [(group, reason, n) for group in ("not_earning", "quarantined") for reason, n in counts[group].items()]
        connection.executemany("INSERT INTO row_counts VALUES (?, ?, ?, ?)", [(number, *row) for row in rows])
        for pool, books in manifest.totals.items():
            values = asdict(books)
            connection.execute(
                f"INSERT INTO pools VALUES (?, ?, ?, {', '.join('CAST(? AS DECIMAL(38, 0))' for _ in totals)})",
                [number, pool, POOL_NAMES[pool], *(str(values[name]) for name in totals)],
            )
    connection.execute(
        "COMMENT ON TABLE epochs IS 'one row per epoch: window, root (0x hex), manifest digest, rows by class'"
    )
    connection.execute(
        "COMMENT ON TABLE row_counts IS 'rows counted in each epoch by class and reason; they add up to epochs.rows'"
    )
    connection.execute(
        "COMMENT ON TABLE pools IS 'the books of each pool in base units; deposited = claimables + held + carry_over'"
    )
