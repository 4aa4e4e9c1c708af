"""The chain as it was read: claims, transfers and root events of final blocks, and how far that goes. A range of blocks
and the cursor behind it are one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import duckdb
import polars as pl

from rewards.errors import Finding, StorageError
from rewards.ledger.store import Ledger
from rewards.ports import RootEvent, VaultCounters, VaultEvents
from rewards.schemas import MONEY
from rewards.units import POOLS, PROVIDER, USER, Address

_Columns = dict[str, pl.DataType | type[pl.DataType]]
_PLACE: _Columns = {"block": pl.Int64, "log_index": pl.Int32, "transaction": pl.String}
_CLAIMS: _Columns = _PLACE | {
    "epoch": pl.Int64,
    "pool": pl.Int8,
    "account": pl.String,
    "amount": MONEY,
    "cumulative_amount": MONEY,
}
_TRANSFERS: _Columns = _PLACE | {
    "kind": pl.String,
    "protocol_amount": MONEY,
    "provider_amount": MONEY,
    "user_amount": MONEY,
}
_ROOTS: _Columns = _PLACE | {
    "action": pl.String,
    "epoch": pl.Int64,
    "root": pl.String,
    "manifest": pl.String,
    "provider_total": MONEY,
    "user_total": MONEY,
    "attester": pl.String,
}
_TABLES = ("observed_claims", "observed_transfers", "observed_roots", "observed_cursor")


@dataclass(frozen=True)
class Cursor:
    """The last block that was read, of which Vault on which chain; `hash` has 32 bytes."""

    chain_id: int
    vault: Address
    block: int
    hash: bytes


@dataclass(frozen=True)
class Observed:
    """What was read: claims (block, log_index, transaction, epoch, pool, account, amount, cumulative_amount) and root
    events in the chain's order, and what all events add up to."""

    claims: pl.DataFrame
    root_events: Sequence[RootEvent]
    counters: VaultCounters


class ObservedChain:
    """What `reconcile` read of one Vault. Raises StorageError as the ledger does."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def cursor(self) -> Cursor | None:
        """How far the chain was read; null before the first range."""
        if not self._ledger.exists():
            return None
        with self._ledger.reading() as connection:
            return _read_cursor(connection)

    def store(self, events: VaultEvents, before: Cursor | None, chain_id: int, vault: Address) -> Cursor:
        """Keep a range and move the cursor from `before` to its end: both or neither.

        Raises StorageError where the cursor is no longer there: another process reads the chain too.
        """
        after = Cursor(chain_id, vault, events.last.number, events.last.hash)
        with self._ledger.transaction() as connection:
            _require_cursor(connection, before)
            _insert(connection, "observed_claims", _claim_rows(events), _CLAIMS)
            _insert(connection, "observed_transfers", _transfer_rows(events), _TRANSFERS)
            _insert(connection, "observed_roots", _root_rows(events), _ROOTS)
            connection.execute("DELETE FROM observed_cursor")
            row = [str(after.chain_id), after.vault, after.block, after.hash.hex()]
            connection.execute("INSERT INTO observed_cursor VALUES (?, ?, ?, ?)", row)
        return after

    def forget(self) -> None:
        """Forget all that was read, and no break."""
        with self._ledger.transaction() as connection:
            _forget(connection)

    def forget_broken(self, finding: Finding, now: datetime) -> None:
        """Forget all that was read because of `finding`, which stays until it was told and a person clears it."""
        with self._ledger.transaction() as connection:
            _forget(connection)
            row = [finding.message, finding.expected, finding.observed, now]
            connection.execute("INSERT INTO observed_breaks VALUES (?, ?, ?, ?, false)", row)

    def clear_told_breaks(self) -> None:
        """A person has looked at every break that was told."""
        with self._ledger.transaction() as connection:
            connection.execute("DELETE FROM observed_breaks WHERE told")

    def note_told(self) -> None:
        """Every break that there is has been told."""
        with self._ledger.transaction() as connection:
            connection.execute("UPDATE observed_breaks SET told = true")

    def breaks(self) -> list[Finding]:
        """Why what was read had to be forgotten, oldest first."""
        if not self._ledger.exists():
            return []
        with self._ledger.reading() as connection:
            rows = connection.execute(
                "SELECT message, expected, observed FROM observed_breaks ORDER BY found_at"
            ).fetchall()
        return [Finding("reconcile", *row) for row in rows]

    def counters(self) -> VaultCounters:
        """What all that was read adds up to."""
        with self._ledger.reading() as connection:
            return _add_up(connection)

    def read(self, at: Cursor) -> Observed:
        """All that was read up to a cursor; StorageError where another process moved it since."""
        with self._ledger.reading() as connection:
            _require_cursor(connection, at)
            claims = connection.sql("SELECT * FROM observed_claims ORDER BY block, log_index").pl()
            rows = connection.execute("SELECT * FROM observed_roots ORDER BY block, log_index").fetchall()
            return Observed(claims, [_to_root_event(*row) for row in rows], _add_up(connection))


def _require_cursor(connection: duckdb.DuckDBPyConnection, expected: Cursor | None) -> None:
    found = _read_cursor(connection)
    if found != expected:
        place = f"up to block {found.block}" if found else "not at all"
        raise StorageError(f"another process reads the chain too: it is read {place} now; run reconcile again")


def _add_up(connection: duckdb.DuckDBPyConnection) -> VaultCounters:
    [deposits] = connection.execute(
        "SELECT coalesce(sum(provider_amount), 0), coalesce(sum(user_amount), 0), coalesce(sum(protocol_amount), 0) "
        "FROM observed_transfers"
    ).fetchall()
    claimed = dict(connection.execute("SELECT pool, sum(amount) FROM observed_claims GROUP BY pool").fetchall())
    [roots] = connection.execute(
        "SELECT count(*) FILTER (action = 'publish'), count(*) FILTER (action = 'revoke') FROM observed_roots"
    ).fetchall()
    return VaultCounters(
        deposited={PROVIDER: int(deposits[0]), USER: int(deposits[1])},
        claimed={pool: int(claimed.get(pool, 0)) for pool in POOLS},
        protocol=int(deposits[2]),
        live_roots=roots[0] - roots[1],
        revocations=roots[1],
    )


def _read_cursor(connection: duckdb.DuckDBPyConnection) -> Cursor | None:
    rows = connection.execute("SELECT chain_id, vault, block, hash FROM observed_cursor").fetchall()
    return Cursor(int(rows[0][0]), Address(rows[0][1]), rows[0][2], bytes.fromhex(rows[0][3])) if rows else None


def _forget(connection: duckdb.DuckDBPyConnection) -> None:
    for table in _TABLES:
        connection.execute(f"DELETE FROM {table}")


def _insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    rows: Sequence[tuple[object, ...]],
    schema: _Columns,
) -> None:
    if rows:
        connection.register("range_rows", pl.DataFrame(rows, schema=schema, orient="row"))
        connection.execute(f"INSERT INTO {table} SELECT * FROM range_rows")
        connection.unregister("range_rows")


def _claim_rows(events: VaultEvents) -> list[tuple[object, ...]]:
    return [
        (c.block_number, c.log_index, c.transaction.hex(), c.epoch, c.pool, c.account, c.amount, c.cumulative)
        for c in events.claims
    ]


def _transfer_rows(events: VaultEvents) -> list[tuple[object, ...]]:
    return [
        (t.block_number, t.log_index, t.transaction.hex(), t.kind, t.protocol_amount, t.provider_amount, t.user_amount)
        for t in events.transfers
    ]


def _root_rows(events: VaultEvents) -> list[tuple[object, ...]]:
    return [
        (
            e.block_number,
            e.log_index,
            e.transaction.hex(),
            e.action,
            e.epoch,
            e.root.hex() if e.root is not None else None,
            e.manifest_hash.hex() if e.manifest_hash is not None else None,
            e.provider_total,
            e.user_total,
            e.attester,
        )
        for e in events.root_events
    ]


def _to_root_event(
    block: int,
    log_index: int,
    transaction: str,
    action: str,
    epoch: int,
    root: str | None,
    manifest: str | None,
    provider_total: Decimal | None,
    user_total: Decimal | None,
    attester: str | None,
) -> RootEvent:
    return RootEvent(
        block,
        log_index,
        bytes.fromhex(transaction),
        action,
        epoch,
        None if root is None else bytes.fromhex(root),
        None if manifest is None else bytes.fromhex(manifest),
        None if provider_total is None else int(provider_total),
        None if user_total is None else int(user_total),
        None if attester is None else Address(attester),
    )
