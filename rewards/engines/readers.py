"""SQL that lays one file of a feed out as typed rows; column types are checked, never guessed.

DuckDB reads every format. Parquet in the usual types is laid out in another engine's SQL too (`Dialect`).
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from rewards.errors import InputError, LimitError
from rewards.ports import FeedFile
from rewards.quality import FIRST_YEAR_US, LAST_YEAR_US

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_TIMES = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
_WANTED = {
    "text": "text",
    "time": "a timestamp with time zone (UTC)",
    "integer": "an integer of at most 64 bits",
    "decimal": "a decimal with at most 12 digits before and 8 after the point",
    "boolean": "a boolean",
}
_TIME_TEXT = r"^\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,6})?(Z|[+-](0\d|1[0-4])(:?[0-5]\d)?)$"
_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 16
MAX_TEXT_BYTES, SHOWN_LETTERS = 1000, 100
"""A longer text is quarantined under its beginning: a small file can hold a billion letters."""
SLACK_BYTES = 1 << 27
"""So much beyond that a column of a row group may unpack to, that one absurd text does not refuse a day."""
_EACH_BY_ITSELF = frozenset({"PLAIN", "RLE", "BIT_PACKED", "DELTA_LENGTH_BYTE_ARRAY"})
"""Encodings of Parquet in which every text takes its own room; RLE and BIT_PACKED are of levels."""
_NO_TEXT = "CAST(NULL AS STRING)"
_PATTERNS = {
    "time": _TIME_TEXT,
    "integer": r"^-?\d{1,18}$",
    "decimal": r"^-?\d{1,12}(\.\d{1,8})?$",
    "boolean": r"^(true|false)$",
}


@dataclass(frozen=True)
class Dialect:
    """Where engines read a typed column `{c}` in words of their own: its text, if it is one, and the bytes of that; its
    microseconds since 1970, null where it is infinite; and the word for that infinity."""

    text: str
    size: str
    micros: str
    infinity: str


DUCKDB = Dialect("{c}", "strlen({c})", "epoch_us({c})", "CASE WHEN isinf({c}) THEN CAST({c} AS STRING) END")


def quote(text: str) -> str:
    """A string literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def count_bytes(memory: str) -> int:
    """Bytes of a setting such as "4GB" or "1.5GB": 10^9 and 10^6."""
    return int(Decimal(memory[:-2]) * {"MB": 10**6, "GB": 10**9}[memory[-2:]])


def one_line(error: Exception) -> str:
    """The first line of a library's message."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _fits(kind: str, sql_type: str) -> bool:
    if kind == "text":
        return sql_type == "VARCHAR"
    if kind == "time":
        return sql_type in _TIMES
    if kind == "integer":
        return sql_type in _INTEGERS
    if kind == "boolean":
        return sql_type == "BOOLEAN"
    if not sql_type.startswith("DECIMAL("):
        return False
    precision, scale = (int(n) for n in sql_type[len("DECIMAL(") : -1].split(","))
    return scale <= 8 and precision - scale <= 12


def _check_names(
    file: FeedFile, names: Iterable[str], columns: Mapping[str, str], optional: frozenset[str]
) -> frozenset[str]:
    given = list(names)
    doubled = sorted({n for n in given if given.count(n) > 1})
    unknown = [n for n in given if n not in columns]
    missing = [n for n in columns if n not in given and n not in optional]
    problems = [
        *(f"the column {n} twice" for n in doubled),
        *(f"the unknown column {n!r}" for n in unknown),
        *(f"no column {n}" for n in missing),
    ]
    if problems:
        raise InputError(f"{file.path} has {', '.join(problems)}; its columns must be {', '.join(columns)}")
    return frozenset(given)


def _typed(name: str, kind: str, dialect: Dialect = DUCKDB) -> dict[str, str]:
    """SQL of a typed column by the names it is laid out under. `<x>_raw` is a time outside the calendar too, and
    `<x>_given` a text that does not parse: a quarantined row shows them."""
    c = f"s.{name}"
    if kind == "time":
        base = name.removesuffix("_at")
        micros = dialect.micros.format(c=c)
        return {
            f"{base}_us": f"CASE WHEN {micros} BETWEEN {FIRST_YEAR_US} AND {LAST_YEAR_US} THEN {micros} END",
            f"{base}_raw": micros,
            f"{base}_given": dialect.infinity.format(c=c),
        }
    if kind == "decimal":
        base = name.removesuffix("_cxpt")
        return {base: f"CAST({c} AS DECIMAL(20, 8))", f"{base}_given": _NO_TEXT}
    if kind == "integer":
        return {name: f"CAST({c} AS BIGINT)"}
    if kind == "text":
        return {name: f"CASE WHEN {dialect.size.format(c=c)} <= {MAX_TEXT_BYTES} THEN {dialect.text.format(c=c)} END"}
    return {name: c}


def _too_long(name: str, dialect: Dialect = DUCKDB) -> tuple[str, str]:
    """The condition under which a text is no text of a feed, and what is shown of it."""
    c = f"s.{name}"
    return f"{dialect.size.format(c=c)} > {MAX_TEXT_BYTES}", _begin(c)


def _shorten(text: str) -> str:
    """What is shown of a text that does not parse."""
    return f"CASE WHEN strlen({text}) > {MAX_TEXT_BYTES} THEN {_begin(text)} ELSE {text} END"


def _begin(text: str) -> str:
    return f"left({text}, {SHOWN_LETTERS}) || '…'"


def _absent(name: str, kind: str) -> dict[str, str]:
    types = {
        "time": ("BIGINT", "BIGINT", "STRING"),
        "decimal": ("DECIMAL(20, 8)", "STRING"),
        "integer": ("BIGINT",),
        "boolean": ("BOOLEAN",),
    }
    return {
        alias: f"CAST(NULL AS {sql_type})"
        for alias, sql_type in zip(_typed(name, kind), types.get(kind, ("STRING",)), strict=True)
    }


def _parsed(name: str, kind: str) -> tuple[dict[str, str], str, str]:
    """SQL of a text column by name, the condition under which its text does not parse, and what is shown of it then."""
    if kind == "text":
        return _typed(name, kind), *_too_long(name)
    raw = f"nullif(s.{name}, '')"
    fits = f"regexp_matches({raw}, {quote(_PATTERNS[kind])})"
    sql_type = {"time": "TIMESTAMPTZ", "integer": "BIGINT", "decimal": "DECIMAL(20, 8)", "boolean": "BOOLEAN"}[kind]
    value = f"(CASE WHEN {fits} THEN TRY_CAST({raw} AS {sql_type}) END)"
    columns = {alias: sql.replace(f"s.{name}", value) for alias, sql in _typed(name, kind).items()}
    if kind in ("time", "decimal"):
        columns[list(columns)[-1]] = _shorten(raw)
    return columns, f"{raw} IS NOT NULL AND {next(iter(columns.values()))} IS NULL", _shorten(f"s.{name}")


def _layout(columns: dict[str, str], bad: list[tuple[str, str, str]], number: int | str, source: str) -> str:
    column = "CASE " + " ".join(f"WHEN {c} THEN {quote(n)}" for n, c, _ in bad) + " END" if bad else _NO_TEXT
    value = "CASE " + " ".join(f"WHEN {c} THEN {v}" for _, c, v in bad) + " END" if bad else _NO_TEXT
    listed = ", ".join(f"{sql} AS {alias}" for alias, sql in columns.items())
    return (
        f"SELECT {listed}, {column} AS bad_column, {value} AS bad_given, "
        f"CAST({number} AS INT) AS file_no, s.file_row_number AS row_number FROM {source} s"
    )


def _parquet_types(
    connection: duckdb.DuckDBPyConnection, file: FeedFile, wanted: Mapping[str, str], optional: frozenset[str]
) -> dict[str, str]:
    """DuckDB's types of the columns of a Parquet file that has the right ones."""
    path = quote(str(file.path))
    described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({path})").fetchall()
    types = {str(row[0]): str(row[1]) for row in described}
    shared = _check_unpacked(file)
    for name in _check_names(file, types, wanted, optional):
        if not _fits(wanted[name], types[name]):
            raise InputError(f"{file.path}: column {name} is {types[name]}; it must be {_WANTED[wanted[name]]}")
    _check_told(connection, file, shared & {name for name, kind in types.items() if kind == "VARCHAR"})
    return types


def _check_unpacked(file: FeedFile) -> frozenset[str]:
    """Refuse a Parquet file that a few bytes blow up: no column may unpack to more than its values can need. Gives the
    columns of which one value may be stored once and told many times, as in a dictionary."""
    try:
        metadata = pq.read_metadata(file.path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error
    shared = set()
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            _check_size(file, column.path_in_schema, column.total_uncompressed_size, column.num_values)
            if not _EACH_BY_ITSELF.issuperset(column.encodings):
                shared.add(column.path_in_schema)
    return frozenset(shared)


def _check_told(connection: duckdb.DuckDBPyConnection, file: FeedFile, texts: frozenset[str]) -> None:
    """Refuse a file that tells a long text of a dictionary again and again; lengths are had without the copies."""
    if not texts:
        return
    sizes = ", ".join(f'coalesce(sum(strlen("{name}")), 0)' for name in sorted(texts))
    found = connection.execute(f"SELECT count(*), {sizes} FROM read_parquet({quote(str(file.path))})").fetchall()[0]
    for name, size in zip(sorted(texts), found[1:], strict=True):
        _check_size(file, name, int(size), int(found[0]))


def _check_size(file: FeedFile, column: str, size: int, values: int) -> None:
    if size > values * 2 * MAX_TEXT_BYTES + SLACK_BYTES:
        raise InputError(
            f"{file.path}: column {column} unpacks to {size:,} bytes for {values:,} values; a text has at most "
            f"{MAX_TEXT_BYTES:,}; export the day again"
        )


def lay_out_typed(
    given: Iterable[str], wanted: Mapping[str, str], number: int | str, source: str, dialect: Dialect = DUCKDB
) -> str:
    """What `lay_out` makes of a source whose columns have types, and a column `file_row_number`; `number` is its
    `file_no`, in SQL."""
    given = frozenset(given)
    columns: dict[str, str] = {}
    bad: list[tuple[str, str, str]] = []
    for name, kind in wanted.items():
        laid_out = _typed(name, kind, dialect) if name in given else _absent(name, kind)
        columns |= laid_out
        if kind == "time" and name in given:
            micros, _, _ = laid_out.values()
            bad.append((name, f"s.{name} IS NOT NULL AND {micros} IS NULL", _NO_TEXT))
        if kind == "text" and name in given:
            bad.append((name, *_too_long(name, dialect)))
    return _layout(columns, bad, number, source)


def _from_text(
    number: int,
    wanted: Mapping[str, str],
    given: frozenset[str],
    source: str,
    bad: Sequence[tuple[str, str, str]] = (),
) -> str:
    columns: dict[str, str] = {}
    bad = list(bad)
    for name, kind in wanted.items():
        if name not in given:
            columns |= _absent(name, kind)
            continue
        parsed, fails, shown = _parsed(name, kind)
        columns |= parsed
        bad.append((name, fails, shown))
    return _layout(columns, bad, number, source)


def _check_whole(file: FeedFile) -> None:
    """Refuse a CSV file that ends inside a row: DuckDB drops everything after an open quote without a word."""
    quotes, last = 0, b""
    with file.path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            quotes += chunk.count(b'"')
            last = chunk[-1:]
    if quotes % 2:
        raise InputError(f"{file.path} has an odd number of quotes ({quotes}), so one stays open; export the day again")
    if last not in (b"\n", b"\r"):
        raise InputError(f"{file.path} does not end with a line break, as if cut short; export the day again")


def _csv(file: FeedFile, number: int, wanted: Mapping[str, str], optional: frozenset[str]) -> str:
    _check_whole(file)
    with file.path.open(newline="", encoding="utf-8-sig") as lines:
        line = lines.readline(_LONGEST_HEADER)
        if len(line) == _LONGEST_HEADER:
            raise InputError(
                f"{file.path}: its first line is longer than {_LONGEST_HEADER:,} letters; give a header line"
            )
        header = next(csv.reader([line]), None)
    if not header:
        raise InputError(f"{file.path} is empty; give a header line with {', '.join(wanted)}")
    given = _check_names(file, header, wanted, optional)
    types = "{" + ", ".join(f"{quote(n)}: 'VARCHAR'" for n in header) + "}"
    read = (
        f"read_csv({quote(str(file.path))}, auto_detect = false, header = true, columns = {types}, delim = ',', "
        "quote = '\"', escape = '\"', strict_mode = true, null_padding = false, ignore_errors = false, parallel = false)"
    )
    return _from_text(number, wanted, given, f"(SELECT *, row_number() OVER () - 1 AS file_row_number FROM {read})")


def _ndjson(
    connection: duckdb.DuckDBPyConnection,
    file: FeedFile,
    number: int,
    wanted: Mapping[str, str],
    optional: frozenset[str],
) -> str:
    path = quote(str(file.path))
    keys = connection.execute(f"SELECT DISTINCT unnest(json_keys(json)) FROM read_ndjson_objects({path})").fetchall()
    given = _check_names(file, sorted(str(k[0]) for k in keys), wanted, optional)
    types = "{" + ", ".join(f"{quote(n)}: 'JSON'" for n in wanted if n in given) + "}"
    read = f"read_json({path}, format = 'newline_delimited', columns = {types})"
    texts = [_json_text(n, wanted[n]) for n in wanted if n in given]
    strings = [n for n in wanted if n in given and wanted[n] == "text"]
    texts += [f'CASE WHEN {_is_not_string(n)} THEN CAST(j.{n} AS VARCHAR) END AS "{n}!"' for n in strings]
    source = f"(SELECT {', '.join(texts)}, row_number() OVER () - 1 AS file_row_number FROM {read} j)"
    return _from_text(
        number, wanted, given, source, [(n, f's."{n}!" IS NOT NULL', _shorten(f's."{n}!"')) for n in strings]
    )


def _is_not_string(name: str) -> str:
    return f"json_type(j.{name}) NOT IN ('NULL', 'VARCHAR')"


def _json_text(name: str, kind: str) -> str:
    """A JSON value as text. A decimal must be a JSON string, since a JSON number passes through a float on its way."""
    value = f"j.{name}"
    if kind == "decimal":
        return (
            f"CASE json_type({value}) WHEN 'VARCHAR' THEN {value} ->> '$' WHEN 'NULL' THEN NULL "
            f"ELSE 'not a string: ' || CAST({value} AS VARCHAR) END AS {name}"
        )
    if kind in ("text", "time"):
        return f"CASE WHEN {_is_not_string(name)} THEN CAST({value} AS VARCHAR) ELSE {value} ->> '$' END AS {name}"
    return f"{value} ->> '$' AS {name}"


def find_unreadable(
    connection: duckdb.DuckDBPyConnection, files: Sequence[FeedFile], laid_out: Sequence[str]
) -> InputError | None:
    """After a failed read of several files: the error of the first whose rows cannot be read, named by its file."""
    for file, rows in zip(files, laid_out, strict=True):
        try:
            connection.execute(f"SELECT max(hash(x)) FROM ({rows}) x").fetchall()
        except duckdb.OutOfMemoryException:
            return None
        except duckdb.Error as error:
            return _unreadable(file, error)
    return None


def _unreadable(file: FeedFile, error: Exception) -> InputError:
    return InputError(f"{file.path} cannot be read as {file.format}: {one_line(error)}; export the day again")


@contextmanager
def _reading(file: FeedFile) -> Iterator[None]:
    """Refuse an empty file, and name the file that cannot be read."""
    try:
        if file.path.stat().st_size == 0:
            raise InputError(f"{file.path} is empty; export the day again, or remove the file if the day has none")
        yield
    except duckdb.OutOfMemoryException as error:
        raise LimitError(
            f"{file.path} takes more memory than the engine may have: {one_line(error)}; raise it, or export the day in "
            "smaller row groups"
        ) from error
    except (duckdb.Error, OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(file, error) from error


def lay_out(
    connection: duckdb.DuckDBPyConnection,
    file: FeedFile,
    wanted: Mapping[str, str],
    optional: frozenset[str] = frozenset(),
    number: int = 0,
) -> str:
    """A SELECT over one file with typed columns, `bad_column`, `bad_given`, `file_no` (`number`) and `row_number`.

    A time becomes `<x>_us`, `<x>_raw` and `<x>_given`, a decimal `<x>` without its unit and `<x>_given`. Raises
    InputError for a file that is empty, cannot be read, or has other columns or types than wanted.
    """
    with _reading(file):
        if file.format == "parquet":
            given = _parquet_types(connection, file, wanted, optional)
            source = f"read_parquet({quote(str(file.path))}, file_row_number = true)"
            return lay_out_typed(given, wanted, number, source)
        if file.format == "csv":
            return _csv(file, number, wanted, optional)
        return _ndjson(connection, file, number, wanted, optional)


def copy_laid_out(
    connection: duckdb.DuckDBPyConnection, file: FeedFile, laid_out: str, columns: Iterable[str], target: Path
) -> None:
    """Write columns of what `lay_out` made of a file to a Parquet file; raises InputError where a row cannot be read."""
    try:
        connection.execute(f"COPY (SELECT {', '.join(columns)} FROM ({laid_out})) TO {quote(str(target))}")
    except duckdb.Error as error:
        raise find_unreadable(connection, [file], [laid_out]) or _unreadable(file, error) from error


def plain_types(
    connection: duckdb.DuckDBPyConnection,
    file: FeedFile,
    wanted: Mapping[str, str],
    optional: frozenset[str] = frozenset(),
) -> dict[str, str] | None:
    """DuckDB's types of a Parquet file whose columns mean the same to every reader, or None: other formats, and times
    not in microseconds. Raises InputError as `lay_out` does."""
    with _reading(file):
        if file.format != "parquet":
            return None
        types = _parquet_types(connection, file, wanted, optional)
        micros = connection.execute(
            f"SELECT name FROM parquet_schema({quote(str(file.path))}) "
            "WHERE converted_type = 'TIMESTAMP_MICROS' OR logical_type LIKE '%MICROS=MicroSeconds%'"
        ).fetchall()
        return types if {n for n in types if wanted[n] == "time"} <= {str(row[0]) for row in micros} else None
