"""The engine for more rows than one machine takes: Apache Spark runs the same SQL (extra `spark`, Java 17)."""

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from rewards.engines.night import USAGE_LAYOUT, Night, digest_ids
from rewards.engines.readers import (
    Dialect,
    copy_laid_out,
    count_bytes,
    find_unreadable,
    lay_out,
    lay_out_typed,
    one_line,
    plain_types,
    quote,
)
from rewards.engines.spark_session import check_installed, open_session
from rewards.epoch import Epoch
from rewards.errors import InputError, LimitError, RewardsError, StorageError, UsageError
from rewards.policy import Policy
from rewards.ports import PATTERNS, FeedFile, RollUp
from rewards.quality import FIRST_YEAR_US, LAST_YEAR_US
from rewards.schemas import HEARTBEAT_COLUMNS, USAGE_COLUMNS

_INFINITE = 2**63 - 1
"""Microseconds that Parquet holds for an infinite time, as DuckDB reads it."""
_MICROS = f"CASE WHEN unix_micros({{c}}) NOT IN ({_INFINITE}, {-_INFINITE}) THEN unix_micros({{c}}) END"
_INFINITY = f"CASE unix_micros({{c}}) WHEN {_INFINITE} THEN 'infinity' WHEN {-_INFINITE} THEN '-infinity' END"
SPARK = Dialect("validate_utf8({c})", "octet_length({c})", _MICROS, _INFINITY)

_TYPES = {
    "VARCHAR": "STRING",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMP",
    "INTEGER": "INT",
    "UTINYINT": "SMALLINT",
    "USMALLINT": "INT",
    "UINTEGER": "BIGINT",
}
"""What Spark calls DuckDB's types, where it is another word."""

_TEXT = "date_format(timestamp_micros({0}), 'yyyy-MM-dd''T''HH:mm:ss.SSSSSS''Z''')"
_FUNCTIONS = {
    "whole": "(({0}) div ({1}))",
    "time_text": f"(CASE WHEN ({{0}}) BETWEEN {FIRST_YEAR_US} AND {LAST_YEAR_US} THEN {_TEXT} "
    "ELSE CAST(({0}) AS STRING) || ' microseconds since 1970' END)",
}
"""Written out in place. Spark's own SQL functions take their arguments from a projection below, so that one in a CASE is
evaluated for every row, and raises where DuckDB's branch is not taken."""

_BEYOND = ("OVERFLOW", "NUMERIC_VALUE_OUT_OF_RANGE")
_MEMORY = ("OutOfMemoryError", "UNABLE_TO_ACQUIRE_MEMORY", "ExecutorLostFailure")

_BEATS = {"provision_id": "STRING", "probed_us": "BIGINT", "ok": "BOOLEAN", "file_no": "INT"}
_ROWS = {name: kind for name, kind in USAGE_LAYOUT.items() if name not in ("arrival_us", "day_end_us")}


class SparkEngine:
    """Rolls an epoch up with Spark at `master` ("local[2]", "local-cluster[2,1,1024]", "spark://…"), whose workers see
    the input and `scratch` under the same paths; `memory` is the heap of each process."""

    def __init__(
        self,
        scratch: Path,
        master: str = "local[2]",
        memory: str = "4GB",
        on_stage: Callable[[str], None] = lambda _: None,
    ) -> None:
        check_installed()
        self._scratch, self._master, self._memory, self._on_stage = scratch, master, memory, on_stage
        self._digests = f"spark {version('pyspark')}"

    def reads_counted(self, path: Path) -> bool:
        """See `rewards.ports.Engine.reads_counted`."""
        return (pq.read_metadata(path).metadata or {}).get(b"digests") == self._digests.encode()

    def digest_ids(self, request_ids: pl.Series) -> pl.DataFrame:
        """See `rewards.ports.Engine.digest_ids`."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        session = open_session(self._master, self._memory, self._scratch)
        with tempfile.TemporaryDirectory(prefix="tables-", dir=self._scratch.resolve()) as folder:
            database = _Database(session, Path(folder), Path(folder) / "none", self._digests, self._memory)
            return digest_ids(database, request_ids)

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
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        self._scratch.mkdir(parents=True, exist_ok=True)
        self._on_stage("start Spark")
        session = open_session(self._master, self._memory, self._scratch)
        counted = self._scratch.resolve() / f"counted-{epoch.number}.parquet"
        with tempfile.TemporaryDirectory(prefix="tables-", dir=self._scratch.resolve()) as folder:
            database = _Database(session, Path(folder), counted, self._digests, self._memory)
            try:
                return Night(database, epoch, policy, self._on_stage).run(
                    usage, heartbeats, accounts, provisions, counted_before
                )
            except (PySparkException, Py4JError) as error:
                found = self._explain(error, epoch) or _find_unreadable(usage, heartbeats, self._memory, self._scratch)
                raise found or InputError(
                    f"epoch {epoch.number}: Spark cannot roll it up: {_find_cause(error)}"
                ) from error

    def _explain(self, error: Exception, epoch: Epoch) -> RewardsError | None:
        text = str(error)
        if "No space left on device" in text:
            return StorageError(f"the disk under {self._scratch}, or a worker's, is full; make room, then run again")
        if any(word in text for word in _BEYOND):
            return LimitError(f"epoch {epoch.number}: a sum of usage passes its bound: {one_line(error)}")
        if any(word in text for word in _MEMORY):
            return LimitError(
                f"epoch {epoch.number}: the roll-up needs more than memory {self._memory}; raise it: {one_line(error)}"
            )
        return None


class _Database:
    """`rewards.engines.night.Database` in one session."""

    def __init__(self, session: Any, folder: Path, counted: Path, digests: str, memory: str) -> None:
        self._spark, self._folder, self._counted, self._digests = session, folder, counted, digests
        self._memory, self.room = memory, count_bytes(memory) // 4
        self._queries = 0

    def read_feed(self, usage: Sequence[FeedFile], heartbeats: Sequence[FeedFile]) -> None:
        with _open_reader(self._memory, self._folder) as connection:
            rows = self._lay_out(connection, "usage", usage, USAGE_COLUMNS, _ROWS)
            beats = self._lay_out(connection, "heartbeats", heartbeats, HEARTBEAT_COLUMNS, _BEATS)
        end = _day_end(usage)
        self.define("feed", f"SELECT *, coalesce(ingested_us, {end}) AS arrival_us, {end} AS day_end_us FROM ({rows})")
        self.define("beats", f"SELECT provision_id, probed_us, ok, {_day_end(heartbeats)} AS day_end_us FROM ({beats})")

    def _lay_out(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        files: Sequence[FeedFile],
        wanted: Mapping[str, str],
        columns: Mapping[str, str],
    ) -> str:
        """A SELECT over all files of a feed. Files of the same columns are one read; what not every reader takes alike
        DuckDB lays out first."""
        optional = frozenset({"ingested_at"})
        alike: dict[tuple[tuple[str, str], ...], list[Path]] = {}
        laid_out = []
        for number, file in enumerate(files):
            types = plain_types(connection, file, wanted, optional)
            if types is not None:
                alike.setdefault(tuple(sorted(types.items())), []).append(file.path)
                continue
            target = self._folder / f"{name}-{number}.parquet"
            rows = lay_out(connection, file, wanted, optional, number)
            copy_laid_out(connection, file, rows, columns, target)
            laid_out.append(target)
        uris = [self._uri(file.path) for file in files]
        self.load(f"files_of_{name}", pl.DataFrame({"uri": uris, "no": pl.Series(range(len(files)), dtype=pl.Int32)}))
        parts = []
        for number, (given, paths) in enumerate(alike.items()):
            self._read(f"{name}_{number}", {n: _TYPES.get(kind, kind) for n, kind in given}, paths)
            source = f"""(SELECT x.*, coalesce(f.no, raise_error('no such file')) AS no
                FROM {name}_{number} x LEFT JOIN files_of_{name} f ON f.uri = x.uri)"""
            parts.append(lay_out_typed((n for n, _ in given), wanted, "s.no", source, SPARK))
        if laid_out:
            self._read(f"{name}_laid_out", columns, laid_out)
            parts.append(f"{name}_laid_out")
        listed = ", ".join(columns)
        return " UNION ALL ".join(f"SELECT {listed} FROM {_in_brackets(part)}" for part in parts)

    def _read(self, name: str, types: Mapping[str, str], paths: Sequence[Path]) -> None:
        """Make a view over Parquet files with their columns, and of each row the file (`uri`) and the number in it."""
        schema = ", ".join(f"{column} {kind}" for column, kind in types.items())
        rows = self._parquet(paths, schema)
        more = ("_metadata.file_path AS uri", "_metadata.row_index AS file_row_number")
        rows.selectExpr("*", *more).createOrReplaceTempView(name)

    def _parquet(self, paths: Sequence[Path], schema: Any) -> Any:
        return self._spark.read.schema(schema).parquet(*map(_name, paths))

    def _uri(self, path: Path) -> str:
        """The address under which Spark tells where a row comes from."""
        java = self._spark.sparkContext._jvm
        return str(java.org.apache.hadoop.fs.Path(_name(path)).toUri().toString())

    def read_counted(self, paths: Sequence[Path]) -> None:
        columns = ("id", "id_check", "content")
        if paths:
            known = self._parquet(paths, ", ".join(f"{c} BIGINT" for c in columns))
            known.createOrReplaceTempView("known")
        else:
            self.define("known", f"SELECT {', '.join(f'CAST(NULL AS BIGINT) AS {c}' for c in columns)} LIMIT 0")

    def load(self, name: str, frame: pl.DataFrame) -> None:
        path = self._folder / f"{name}.parquet"
        frame.write_parquet(path)
        self._spark.read.parquet(_name(path)).createOrReplaceTempView(name)

    def create(self, name: str, sql: str) -> None:
        rows = self._run(sql)
        self._parquet(self._write(name, rows), rows.schema).createOrReplaceTempView(name)

    def drop(self, name: str) -> None:
        self._spark.catalog.dropTempView(name)
        shutil.rmtree(self._folder / name)

    def _write(self, name: str, rows: Any) -> list[Path]:
        """Rows in files, each written by one worker. They are read from there and not from Spark's cache, since a plan
        that reads a file is a line, and one that reads the cache holds all that led to it."""
        folder = self._folder / name
        rows.write.parquet(_name(folder))
        return sorted(folder.glob("part-*.parquet"))

    def define(self, name: str, sql: str) -> None:
        self._run(sql).createOrReplaceTempView(name)

    def query(self, sql: str) -> pl.DataFrame:
        self._queries += 1
        return pl.read_parquet(self._write(f"query-{self._queries}", self._run(sql)))

    def define_picked(self, name: str, table: str) -> None:
        self.define(
            name,
            f"SELECT f.* FROM feed f LEFT SEMI JOIN {table} d ON d.file_no = f.file_no AND d.row_number = f.row_number",
        )

    def _run(self, sql: str) -> Any:
        return self._spark.sql(write_out(sql))

    def create_doubled(self, name: str, table: str, condition: str) -> None:
        self.create(name, f"SELECT r.id FROM {table} r WHERE {condition} GROUP BY r.id HAVING count(*) > 1")

    def digest(self, columns: Sequence[str]) -> str:
        # The hash passes over nulls, so that which columns are null has to be said.
        return f"xxhash64({', '.join(f'{c}, ({c}) IS NULL' for c in columns)})"

    def write_counted(self, sql: str) -> Path:
        names = ("id", "id_check", "content")
        schema = pa.schema([(name, pa.int64()) for name in names], metadata={"digests": self._digests})
        with pq.ParquetWriter(self._counted, schema, compression="none") as target:
            for part in self._write("counted", self._run(sql)):
                for batch in pq.ParquetFile(part).iter_batches(1 << 20, columns=list(names)):
                    target.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
        return self._counted


def _find_cause(error: Exception) -> str:
    """What a failure of Java came from; its first line only says which call failed."""
    causes = [line.strip() for line in str(error).splitlines() if line.startswith("Caused by:")]
    return causes[-1].removeprefix("Caused by:").strip() if causes else one_line(error)


def _name(path: Path) -> str:
    """A path as Spark takes it. A path that it could take for a pattern is refused: told that it is none, Spark reads
    each of several such files as often as there are files."""
    place = str(path.absolute())
    if pattern := next((c for c in place if c in PATTERNS), None):
        raise UsageError(f"{place} holds {pattern!r}, which Spark takes for a pattern; give another folder")
    return f"file:{place}"


def _in_brackets(part: str) -> str:
    return f"({part})" if " " in part else part


def _day_end(files: Sequence[FeedFile]) -> str:
    """SQL for the end of the day of a row's file."""
    return f"element_at(array({', '.join(f'{file.day_end_us}' for file in files)}), file_no + 1)"


def write_out(sql: str) -> str:
    """A text of SQL as Spark reads it: `whole` and `time_text` written out, and a backslash as itself."""
    sql = sql.replace("\\", "\\\\")
    for name, body in _FUNCTIONS.items():
        while call := re.search(rf"\b{name}\(", sql):
            arguments, end = _split_arguments(sql, call.end())
            sql = sql[: call.start()] + body.format(*arguments) + sql[end:]
    return sql


def _split_arguments(sql: str, start: int) -> tuple[list[str], int]:
    """The arguments of a call whose brackets open before `start`, and where it ends."""
    arguments, depth, is_text = [""], 1, False
    for place in range(start, len(sql)):
        character = sql[place]
        is_text ^= character == "'"
        if not is_text:
            depth += (character == "(") - (character == ")")
            if depth == 0:
                return [argument.strip() for argument in arguments], place + 1
            if character == "," and depth == 1:
                arguments.append("")
                continue
        arguments[-1] += character
    raise ValueError(f"brackets stay open: {sql[start:]}")


def _open_reader(memory: str, scratch: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB beside Spark, which checks the files and lays out what only it reads: a quarter of the memory is its own."""
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '{count_bytes(memory) // 4}B'; SET temp_directory = {quote(str(scratch))}")
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection


def _find_unreadable(
    usage: Sequence[FeedFile], heartbeats: Sequence[FeedFile], memory: str, scratch: Path
) -> InputError | None:
    """The first file that DuckDB cannot read either, by its name."""
    with _open_reader(memory, scratch) as connection:
        for files, wanted in ((usage, USAGE_COLUMNS), (heartbeats, HEARTBEAT_COLUMNS)):
            rows = [lay_out(connection, file, wanted, frozenset({"ingested_at"})) for file in files]
            if found := find_unreadable(connection, files, rows):
                return found
    return None
