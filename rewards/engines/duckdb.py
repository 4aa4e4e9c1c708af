"""The default engine: DuckDB rolls an epoch up, out of core."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import duckdb
import polars as pl

from rewards.engines.night import Night, digest_ids
from rewards.engines.readers import count_bytes, find_unreadable, lay_out, one_line, quote
from rewards.epoch import Epoch
from rewards.errors import InputError, LimitError, StorageError
from rewards.policy import Policy
from rewards.ports import FeedFile, RollUp
from rewards.quality import FIRST_YEAR_US, LAST_YEAR_US
from rewards.schemas import HEARTBEAT_COLUMNS, USAGE_COLUMNS

DIGESTS = f"duckdb {version('duckdb')}"
"""Whose digests are in a file of counted ids: another version's may differ."""
_BYTES_AN_ID = 32
"""To sort an id: as it comes, in one piece, in order, and compared."""
_OUTSIDE = "CAST(us AS VARCHAR) || ' microseconds since 1970'"
_TIME_FORMAT = "'%Y-%m-%dT%H:%M:%S.%fZ'"


class DuckDBEngine:
    """Rolls an epoch up with DuckDB. `memory` ("4GB") bounds what the process holds: DuckDB gets three quarters, the frames
    that it answers with have the rest. What does not fit spills to `scratch`, up to `spill` or nine tenths of the free
    disk."""

    def __init__(
        self,
        scratch: Path,
        memory: str = "4GB",
        threads: int | None = None,
        on_stage: Callable[[str], None] = lambda _: None,
        spill: str | None = None,
    ) -> None:
        self._scratch, self._memory, self._threads, self._on_stage = scratch, memory, threads, on_stage
        self._spill = spill

    def reads_counted(self, path: Path) -> bool:
        """See `rewards.ports.Engine.reads_counted`."""
        with duckdb.connect() as connection:
            found = connection.execute(f"SELECT key, value FROM parquet_kv_metadata({quote(str(path))})").fetchall()
        return (b"digests", DIGESTS.encode()) in found

    def digest_ids(self, request_ids: pl.Series) -> pl.DataFrame:
        """See `rewards.ports.Engine.digest_ids`."""
        with duckdb.connect() as connection:
            return digest_ids(_Database(connection, self._scratch, self._memory, 0), request_ids)

    def roll_up(
        self,
        usage: Sequence[FeedFile],
        heartbeats: Sequence[FeedFile],
        accounts: pl.DataFrame,
        provisions: pl.DataFrame,
        counted_before: Sequence[Path],
        epoch: Epoch,
        policy: Policy,
    ) -> RollUp:
        """See `rewards.ports.Engine.roll_up`."""
        for name, files in (("usage", usage), ("heartbeats", heartbeats)):
            if not files:
                raise InputError(
                    f"epoch {epoch.number}: no file of {name} to read; give the days of the epoch and the next"
                )
        self._scratch.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as connection:
            memory = count_bytes(self._memory)
            limit = f"{memory * 3 // 4}B"
            connection.execute(f"SET TimeZone = 'UTC'; SET memory_limit = {quote(limit)}")
            connection.execute(f"SET temp_directory = {quote(str(self._scratch))}; SET enable_progress_bar = false")
            connection.execute("SET preserve_insertion_order = false")
            if self._spill:
                connection.execute(f"SET max_temp_directory_size = {quote(self._spill)}")
            if self._threads:
                connection.execute(f"SET threads = {self._threads}")
            database = _Database(connection, self._scratch / f"counted-{epoch.number}.parquet", limit, memory // 4)
            try:
                return Night(database, epoch, policy, self._on_stage).run(
                    usage, heartbeats, accounts, provisions, counted_before
                )
            except duckdb.OutOfRangeException as error:
                raise LimitError(f"epoch {epoch.number}: a sum of usage passes its bound: {one_line(error)}") from error
            except duckdb.OutOfMemoryException as error:
                raise LimitError(f"epoch {epoch.number}: {self._name_limit(error)}: {one_line(error)}") from error
            except duckdb.Error as error:
                if "No space left on device" in str(error):
                    raise StorageError(f"the disk under {self._scratch} is full; make room, then run again") from error
                raise InputError(f"epoch {epoch.number}: the input cannot be read: {one_line(error)}") from error

    def _name_limit(self, error: Exception) -> str:
        if "max_temp_directory_size" in str(error):
            disk = f"spill {self._spill}" if self._spill else f"the free disk under {self._scratch}"
            return f"the roll-up needs more than memory {self._memory} and {disk}; raise memory, or give it more disk"
        return f"the roll-up needs more than memory {self._memory}; raise it"


class _Database:
    """`rewards.engines.night.Database` on one connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, counted: Path, limit: str, room: int) -> None:
        self._db, self._counted, self._limit, self.room = connection, counted, limit, room
        self._feeds: list[tuple[Sequence[FeedFile], list[str]]] = []
        connection.execute("CREATE TEMP MACRO whole(a, b) AS a // b")
        inside = f"us BETWEEN {FIRST_YEAR_US} AND {LAST_YEAR_US}"
        shown = f"CASE WHEN {inside} THEN strftime(make_timestamp(us), {_TIME_FORMAT}) ELSE {_OUTSIDE} END"
        connection.execute(f"CREATE TEMP MACRO time_text(us) AS {shown}")

    def read_feed(self, usage: Sequence[FeedFile], heartbeats: Sequence[FeedFile]) -> None:
        self._usage = usage
        self._rows = [
            lay_out(self._db, file, USAGE_COLUMNS, frozenset({"ingested_at"}), number)
            for number, file in enumerate(usage)
        ]
        self._define_union("feed", usage, self._with_ends(self._rows))
        parts = [
            f"SELECT provision_id, probed_us, ok, {file.day_end_us} AS day_end_us "
            f"FROM ({lay_out(self._db, file, HEARTBEAT_COLUMNS)})"
            for file in heartbeats
        ]
        self._define_union("beats", heartbeats, parts)

    def _with_ends(self, rows: Iterable[str]) -> list[str]:
        ends = [(of_file, file.day_end_us) for file, of_file in zip(self._usage, rows, strict=True)]
        return [
            f"SELECT *, coalesce(ingested_us, {end}) AS arrival_us, {end} AS day_end_us FROM ({r})" for r, end in ends
        ]

    def define_picked(self, name: str, table: str) -> None:
        """Asked of each file by itself, the rows are chosen before they are laid out."""
        picked = f"s.file_row_number IN (SELECT row_number FROM {table} WHERE file_no ="
        chosen = [f"{of_file} WHERE {picked} {number})" for number, of_file in enumerate(self._rows)]
        self.define(name, " UNION ALL ".join(self._with_ends(chosen)))

    def _define_union(self, name: str, files: Sequence[FeedFile], parts: list[str]) -> None:
        self.define(name, " UNION ALL ".join(parts))
        self._feeds.append((files, parts))

    def read_counted(self, paths: Sequence[Path]) -> None:
        known = (
            "SELECT " + ", ".join(f"CAST(NULL AS UBIGINT) AS {c}" for c in ("id", "id_check", "content")) + " LIMIT 0"
        )
        if paths:
            listed = ", ".join(quote(str(path)) for path in paths)
            known = f"SELECT id, id_check, content FROM read_parquet([{listed}])"
        self.define("known", known)

    def load(self, name: str, frame: pl.DataFrame) -> None:
        self._db.register("loaded", frame.to_arrow())
        self._db.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM loaded")
        self._db.unregister("loaded")

    def create(self, name: str, sql: str) -> None:
        with self._naming_the_file():
            self._db.execute(f"CREATE TEMP TABLE {name} AS {sql}")

    def drop(self, name: str) -> None:
        # DuckDB's allocator gives freed memory back when a limit is set, also the same one.
        self._db.execute(f"DROP TABLE {name}; SET memory_limit = {quote(self._limit)}")

    def define(self, name: str, sql: str) -> None:
        self._db.execute(f"CREATE TEMP VIEW {name} AS {sql}")

    def query(self, sql: str) -> pl.DataFrame:
        return pl.DataFrame(self._db.sql(sql).to_arrow_table())

    def create_doubled(self, name: str, table: str, condition: str) -> None:
        """By sorting the ids of one range after the other, several times as fast as grouping. A range that a few ids
        crowd into is grouped, which takes room for those few."""
        rows = self._count(f"{table} r")
        at_once = max(1, self.room // _BYTES_AN_ID)
        ranges = -(-rows // at_once) or 1
        width = -(-(2**64) // ranges)
        doubled = []
        for first in range(0, 2**64, width):
            of_range = f"{table} r WHERE {condition}"
            if ranges > 1:
                of_range += f" AND id BETWEEN {first} AND {min(first + width, 2**64) - 1}"
            if ranges > 1 and self._count(of_range) > 2 * at_once:
                doubled.append(self.query(f"SELECT id FROM {of_range} GROUP BY id HAVING count(*) > 1")["id"])
                continue
            ids = self.query(f"SELECT id FROM {of_range}")["id"].sort()
            doubled.append(ids.filter(ids == ids.shift()).unique())
        self.load(name, pl.concat(doubled).to_frame())

    def _count(self, of_rows: str) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM {of_rows}").fetchall()[0][0])

    def digest(self, columns: Sequence[str]) -> str:
        return f"hash({', '.join(columns)})"

    def write_counted(self, sql: str) -> Path:
        target = quote(str(self._counted))
        self._db.execute(
            f"COPY ({sql}) TO {target} (FORMAT parquet, COMPRESSION uncompressed, "
            f"KV_METADATA {{digests: {quote(DIGESTS)}}})"
        )
        return self._counted

    @contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        """A read over all files fails without saying which of them is at fault: look for it then, not before."""
        try:
            yield
        except duckdb.Error as error:
            for files, parts in self._feeds:
                if found := find_unreadable(self._db, files, parts):
                    raise found from error
            raise
