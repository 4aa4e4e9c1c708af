"""What the pipeline knows to be done: sealed epochs, transaction intents, findings. One writer, a connection per
transaction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from rewards.errors import Disagreement, Finding, StorageError

_MIGRATIONS = (
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
)


@dataclass(frozen=True)
class SealedEpoch:
    """An epoch whose result may not change: its manifest's digest, the one before it, its root (0x hex)."""

    number: int
    manifest: str
    previous: str | None
    root: str


@dataclass(frozen=True)
class StoredIntent:
    """A signed transaction, stored before it was sent; `record` is the sender's own text, `final_at` null until it is
    final."""

    hash: str
    epoch: int
    action: str
    chain_id: int
    record: str
    final_at: datetime | None


class Ledger:
    """`ledger.duckdb`. Every method is one short transaction; raises StorageError when the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if "?" in str(self._path):  # DuckDB takes what follows for options
            raise StorageError(
                f"{self._path} holds a question mark, which DuckDB cannot use; give another --data folder"
            )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with duckdb.connect(str(self._path)) as connection:
                connection.execute("SET TimeZone = 'UTC'; BEGIN")
                self._migrate(connection)
                yield connection
                connection.execute("COMMIT")
        except (duckdb.Error, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise StorageError(
                f"{self._path} cannot be used: {reason}; if the file is damaged, move it away and run the epochs again"
            ) from error

    def _migrate(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY)")
        done = {int(row[0]) for row in connection.execute("SELECT number FROM migrations").fetchall()}
        if done - set(range(len(_MIGRATIONS))):
            raise StorageError(f"{self._path} was written by a newer version (migration {max(done)}); use that version")
        for number, migration in enumerate(_MIGRATIONS):
            if number not in done:
                connection.execute(migration)
                connection.execute("INSERT INTO migrations VALUES (?)", [number])

    def exists(self) -> bool:
        return self._path.exists()

    def sealed(self) -> list[SealedEpoch]:
        """Every sealed epoch, ascending."""
        if not self.exists():
            return []
        with self._transaction() as connection:
            rows = connection.execute("SELECT number, manifest, previous, root FROM epochs ORDER BY number").fetchall()
        return [SealedEpoch(*row) for row in rows]

    def seal(self, epoch: SealedEpoch, now: datetime) -> None:
        """Record an epoch if the newest sealed one is the one it builds on (compare and swap); the same epoch again is
        nothing.

        Raises Disagreement when another result of this epoch, or another predecessor, is sealed.
        """
        with self._transaction() as connection:
            same = connection.execute("SELECT manifest FROM epochs WHERE number = ?", [epoch.number]).fetchall()
            if same:
                if same[0][0] != epoch.manifest:
                    raise Disagreement(
                        f"epoch {epoch.number} is sealed as {same[0][0]}; computed again it is {epoch.manifest}: "
                        "inputs, policy or code changed since; restore them, or look for who changed them"
                    )
                return
            newest = connection.execute("SELECT number, manifest FROM epochs ORDER BY number DESC LIMIT 1").fetchall()
            number, found = newest[0] if newest else (epoch.number - 1, None)
            if (number + 1, found) != (epoch.number, epoch.previous):
                newest_one = (
                    f"the newest sealed epoch is {number} with manifest {found}" if newest else "no epoch is sealed"
                )
                raise Disagreement(
                    f"epoch {epoch.number} builds on {epoch.previous}; {newest_one}; run the epochs in order"
                )
            connection.execute(
                "INSERT INTO epochs VALUES (?, ?, ?, ?, ?)",
                [epoch.number, epoch.manifest, epoch.previous, epoch.root, now],
            )

    def store_intent(self, intent: StoredIntent, now: datetime) -> None:
        """Remember a signed transaction before it is sent."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, NULL, NULL) ON CONFLICT DO NOTHING",
                [intent.hash, intent.epoch, intent.action, str(intent.chain_id), intent.record, now],
            )

    def settle_intent(self, hash_: str, block: int, now: datetime) -> None:
        """Mark a transaction as final in `block`."""
        with self._transaction() as connection:
            connection.execute("UPDATE intents SET final_at = ?, block = ? WHERE hash = ?", [now, block, hash_])

    def intents(self, epoch: int, action: str, chain_id: int) -> list[StoredIntent]:
        """Transactions signed for one action on one epoch, oldest first."""
        if not self.exists():
            return []
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT hash, epoch, action, chain_id, record, final_at FROM intents "
                "WHERE epoch = ? AND action = ? AND chain_id = ? ORDER BY signed_at, hash",
                [epoch, action, str(chain_id)],
            ).fetchall()
        return [StoredIntent(r[0], r[1], r[2], int(r[3]), r[4], r[5]) for r in rows]

    def record_findings(self, epoch: int, step: str, findings: Sequence[Finding], now: datetime) -> None:
        """Replace what a step found on an epoch."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM findings WHERE epoch = ? AND step = ?", [epoch, step])
            for f in findings:
                connection.execute(
                    "INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [epoch, step, f.gate, f.message, f.expected, f.observed, f.refuses, now],
                )

    def findings(self) -> dict[int, list[Finding]]:
        """Every finding by epoch."""
        if not self.exists():
            return {}
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT epoch, gate, message, expected, observed, refuses FROM findings ORDER BY ALL"
            ).fetchall()
        found: dict[int, list[Finding]] = {}
        for epoch, *rest in rows:
            found.setdefault(epoch, []).append(Finding(*rest))
        return found
