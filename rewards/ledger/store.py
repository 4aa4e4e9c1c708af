"""What the pipeline knows to be done: sealed epochs, overrides, findings. One writer, a connection per
transaction."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from rewards.errors import Disagreement, Finding, StorageError
from rewards.ledger.migrations import MIGRATIONS


@dataclass(frozen=True)
class SealedEpoch:
    """An epoch whose result may not change: its manifest's digest, the one before it, its root (0x hex)."""

    number: int
    manifest: str
    previous: str | None
    root: str


OVERRIDE = ("gate", "reason", "message", "expected", "observed")
"""What is known of an override, in the order of its table."""

LOCK_TRIES, LOCK_PAUSE_S = 100, 0.1
"""How often, and after what pause, a ledger that another process has open is tried again: about ten seconds."""

_IN_USE = re.compile(r"could not set lock|with a different configuration", re.IGNORECASE)
_REFUSED_BY_DISK = re.compile(
    r"no space|disk full|file too large|permission denied|read-only|i/o error|quota|too many open", re.IGNORECASE
)


class Ledger:
    """`ledger.duckdb`. Every method is one short transaction; raises StorageError when the file cannot be used.

    Reading takes no write access and creates nothing, so that a copy that may only be read can be looked at.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One write that happens as a whole or not at all, on tables that are up to date."""
        with self._connected(read_only=False) as connection:
            connection.execute("BEGIN")
            self._migrate(connection)
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A look at a ledger that exists; one of an older version is brought up to date first."""
        with self._connected(read_only=True) as connection:
            if not self._missing_migrations(connection):
                yield connection
                return
        with self.transaction() as connection:
            yield connection

    @contextmanager
    def _connected(self, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        if "?" in str(self._path):  # DuckDB takes what follows for options
            raise StorageError(
                f"{self._path} holds a question mark, which DuckDB cannot use; give another --data folder"
            )
        try:
            if not read_only:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._open(read_only) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                yield connection
        except (duckdb.Error, OSError) as error:
            raise StorageError(_describe_failure(self._path, error)) from error

    def _open(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        for _ in range(LOCK_TRIES):
            try:
                return duckdb.connect(str(self._path), read_only=read_only)
            except (duckdb.IOException, duckdb.ConnectionException) as error:
                if not _IN_USE.search(str(error)):
                    raise
                time.sleep(LOCK_PAUSE_S)
        return duckdb.connect(str(self._path), read_only=read_only)

    def _migrate(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY)")
        for number in self._missing_migrations(connection):
            connection.execute(MIGRATIONS[number])
            connection.execute("INSERT INTO migrations VALUES (?)", [number])

    def _missing_migrations(self, connection: duckdb.DuckDBPyConnection) -> list[int]:
        begun = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'migrations'").fetchall()
        rows = connection.execute("SELECT number FROM migrations").fetchall() if begun else []
        done = {int(row[0]) for row in rows}
        if done - set(range(len(MIGRATIONS))):
            raise StorageError(f"{self._path} was written by a newer version (migration {max(done)}); use that version")
        return [number for number in range(len(MIGRATIONS)) if number not in done]

    def exists(self) -> bool:
        return self._path.exists()

    def sealed(self) -> list[SealedEpoch]:
        """Every sealed epoch, ascending."""
        if not self.exists():
            return []
        with self.reading() as connection:
            rows = connection.execute("SELECT number, manifest, previous, root FROM epochs ORDER BY number").fetchall()
        return [SealedEpoch(*row) for row in rows]

    def seal(self, epoch: SealedEpoch, now: datetime) -> None:
        """Record an epoch if the newest sealed one is the one it builds on (compare and swap); the same epoch again is
        nothing.

        Raises Disagreement when another result of this epoch, or another predecessor, is sealed.
        """
        with self.transaction() as connection:
            same = connection.execute("SELECT manifest FROM epochs WHERE number = ?", [epoch.number]).fetchall()
            if same:
                _require_same(same[0][0], epoch)
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
            _insert(connection, epoch, now)

    def require_same(self, epoch: SealedEpoch) -> None:
        """Raise Disagreement when another result of this epoch is sealed."""
        for one in self.sealed():
            if one.number == epoch.number:
                _require_same(one.manifest, epoch)

    def adopt(self, epoch: SealedEpoch, now: datetime) -> None:
        """Begin an empty ledger with an epoch that was sealed and checked elsewhere; Disagreement when it is not empty."""
        with self.transaction() as connection:
            if connection.execute("SELECT number FROM epochs LIMIT 1").fetchall():
                raise Disagreement(f"epoch {epoch.number} cannot begin {self._path}: other epochs are sealed there")
            _insert(connection, epoch, now)

    def withdraw(self, number: int, now: datetime) -> None:
        """Forget that an epoch and every later one were sealed, and their overrides; keep a finding on each instead."""
        message = f"epoch {number} was revoked on the chain; this result is withdrawn, to be computed again"
        with self.transaction() as connection:
            connection.execute("DELETE FROM findings WHERE epoch >= ? AND step = 'withdraw'", [number])
            connection.execute(
                "INSERT INTO findings "
                "SELECT number, 'withdraw', 'chain state', ?, 'a live root', manifest, false, ?, 'note' "
                "FROM epochs WHERE number >= ?",
                [message, now, number],
            )
            connection.execute("DELETE FROM epochs WHERE number >= ?", [number])
            connection.execute("DELETE FROM overrides WHERE epoch >= ?", [number])

    def record_findings(
        self, epoch: int, step: str, findings: Sequence[Finding], now: datetime, of_all: bool = False
    ) -> None:
        """Replace what a step found on an epoch; on any, where a step looks at them all and its findings are `of_all`."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM findings WHERE (epoch = ? OR ?) AND step = ?", [epoch, of_all, step])
            for f in findings:
                connection.execute(
                    "INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [epoch, step, f.gate, f.message, f.expected, f.observed, f.refuses, now, f.severity],
                )

    def findings(self) -> dict[int, list[Finding]]:
        """Every finding by epoch."""
        if not self.exists():
            return {}
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT epoch, gate, message, expected, observed, refuses, severity FROM findings ORDER BY ALL"
            ).fetchall()
        found: dict[int, list[Finding]] = {}
        for epoch, *rest in rows:
            found.setdefault(epoch, []).append(Finding(*rest))
        return found

    def store_overrides(self, epoch: int, overrides: Sequence[Mapping[str, str]], now: datetime) -> None:
        """Replace the overrides with which an epoch is about to be sealed; each as the manifest records it."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM overrides WHERE epoch = ?", [epoch])
            for one in overrides:
                connection.execute(
                    "INSERT INTO overrides VALUES (?, ?, ?, ?, ?, ?, ?)", [epoch, *(one[n] for n in OVERRIDE), now]
                )

    def overrides(self, epoch: int) -> list[dict[str, str]]:
        """The overrides that were stored for an epoch, each as the manifest records it."""
        if not self.exists():
            return []
        with self.reading() as connection:
            rows = connection.execute(
                f"SELECT {', '.join(OVERRIDE)} FROM overrides WHERE epoch = ? ORDER BY ALL", [epoch]
            ).fetchall()
        return [dict(zip(OVERRIDE, row, strict=True)) for row in rows]


def _describe_failure(path: Path, error: Exception) -> str:
    """One line: what stopped us, and what to do about that, and never an address of the web."""
    text = str(error)
    if _IN_USE.search(text):
        owner = re.search(r"\(PID (\d+)\)", text)
        return f"{path} is in use by process {owner[1] if owner else 'unknown'}; try again"
    first = (text.splitlines() or [type(error).__name__])[0]
    reason = re.sub(r"[.;]?\s*(See also:?\s*)?https?://\S+", "", first)
    if isinstance(error, OSError) or _REFUSED_BY_DISK.search(text):
        return f"{path} cannot be used: {reason}; free space, or give a --data folder that can be written"
    if isinstance(error, duckdb.DataError | duckdb.IntegrityError):
        return f"{path} cannot be used: {reason}; nothing was stored, mend the value"
    return f"{path} cannot be used: {reason}; if the file is damaged, move it away and run the epochs again"


def _require_same(sealed: str, epoch: SealedEpoch) -> None:
    if sealed != epoch.manifest:
        raise Disagreement(
            f"epoch {epoch.number} is sealed as {sealed}; computed again it is {epoch.manifest}: "
            "inputs, policy or code changed since; restore them, or look for who changed them"
        )


def _insert(connection: duckdb.DuckDBPyConnection, epoch: SealedEpoch, now: datetime) -> None:
    connection.execute(
        "INSERT INTO epochs VALUES (?, ?, ?, ?, ?)", [epoch.number, epoch.manifest, epoch.previous, epoch.root, now]
    )
