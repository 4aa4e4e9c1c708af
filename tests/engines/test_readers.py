"""One file of a feed: refused by file and column, or quarantined by its value; nothing crashes."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewards.engines.readers import find_unreadable, lay_out
from rewards.epoch import to_micros
from rewards.errors import InputError
from rewards.ports import FeedFile
from rewards.schemas import HEARTBEAT_COLUMNS, USAGE_COLUMNS
from tests.worlds import HEARTBEAT_SCHEMA, NOON, USAGE_SCHEMA, Row, feed_file, make_row, to_text, write_feed

HEADER = ",".join(USAGE_SCHEMA)
NOON_US = to_micros(NOON)


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET threads = 1; SET enable_progress_bar = false")
        yield connection


def read(
    database: duckdb.DuckDBPyConnection,
    file: FeedFile,
    wanted: Mapping[str, str] = USAGE_COLUMNS,
    optional: tuple[str, ...] = ("ingested_at",),
) -> list[Row]:
    rows = lay_out(database, file, wanted, frozenset(optional))
    try:
        found = database.sql(rows)
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    except duckdb.Error as error:
        raise find_unreadable(database, [file], [rows]) or error from error


def refusal(database: duckdb.DuckDBPyConnection, path: Path) -> str:
    with pytest.raises(InputError) as refused:
        read(database, feed_file(path))
    text = str(refused.value)
    assert str(path) in text and "\n" not in text
    return text


def write(folder: Path, suffix: str, content: bytes | str) -> Path:
    path = folder / f"2026-01-07.{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def csv_line(**changes: str) -> str:
    row = make_row()
    return ",".join(changes.get(name, to_text(row[name])) for name in USAGE_SCHEMA) + "\n"


def json_line(**raw: str) -> str:
    """A sound row as a JSON line, some values replaced by raw JSON."""
    row = make_row()
    values = {n: raw.get(n, json.dumps(v if isinstance(v, int) else to_text(v))) for n, v in row.items()}
    return "{" + ", ".join(f'"{n}": {values[n]}' for n in USAGE_SCHEMA) + "}\n"


@pytest.mark.parametrize("suffix", ["parquet", "csv", "ndjson"])
def test_a_sound_row_is_laid_out_the_same_from_every_format(
    database: duckdb.DuckDBPyConnection, tmp_path: Path, suffix: str
) -> None:
    file = write_feed(
        tmp_path,
        "2026-01-07",
        [make_row(), make_row(fee_cxpt=Decimal("-0.5"), model=None, ingested_at=None)],
        suffix,
        USAGE_SCHEMA,
    )
    first, second = read(database, file)
    assert first == {
        "request_id": "r",
        "started_us": NOON_US,
        "started_raw": NOON_US,
        "started_given": None if suffix == "parquet" else "2026-01-07T12:00:00.000000Z",
        "user_id": "user",
        "provision_id": "p1",
        "endpoint": "/chat/completions",
        "model": "m",
        "service_tier": "blue_surge",
        "latency_ms": 900,
        "input_tokens": 10,
        "output_tokens": 5,
        "status_code": 200,
        "fee": Decimal("0.00001500"),
        "fee_given": None if suffix == "parquet" else "0.00001500",
        "ingested_us": NOON_US + 2_000_000,
        "ingested_raw": NOON_US + 2_000_000,
        "ingested_given": None if suffix == "parquet" else "2026-01-07T12:00:02.000000Z",
        "bad_column": None,
        "bad_given": None,
        "file_no": 0,
        "row_number": 0,
    }
    assert second["fee"] == Decimal("-0.50000000") and second["row_number"] == 1
    assert (second["model"], second["ingested_us"], second["bad_column"]) == (None, None, None)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "ndjson"])
def test_ingested_at_may_be_absent_and_heartbeats_are_read(
    database: duckdb.DuckDBPyConnection, tmp_path: Path, suffix: str
) -> None:
    schema = {name: kind for name, kind in USAGE_SCHEMA.items() if name != "ingested_at"}
    row = {name: value for name, value in make_row().items() if name != "ingested_at"}
    (found,) = read(database, write_feed(tmp_path / "usage", "2026-01-07", [row], suffix, schema))
    assert (found["ingested_us"], found["ingested_raw"], found["bad_column"]) == (None, None, None)
    beats: list[Row] = [{"provision_id": "p1", "probed_at": NOON, "ok": ok} for ok in (True, False, None)]
    if suffix == "ndjson":
        lines = [json.dumps({"provision_id": "p1", "probed_at": to_text(NOON), "ok": beat["ok"]}) for beat in beats]
        file = feed_file(write(tmp_path, suffix, "\n".join(lines) + "\n"))
    else:
        file = write_feed(tmp_path, "2026-01-07", beats, suffix, HEARTBEAT_SCHEMA)
    assert [row["ok"] for row in read(database, file, HEARTBEAT_COLUMNS, ())] == [True, False, None]


def test_columns_may_come_in_any_order_quoted_and_with_a_byte_order_mark(
    database: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    row = make_row(model='a,"b"\nc')
    names = sorted(USAGE_SCHEMA)
    quoted = ['"' + to_text(row[n]).replace('"', '""') + '"' for n in names]
    content = "\ufeff" + ",".join(names) + "\r\n" + ",".join(quoted) + "\r\n"
    (found,) = read(database, feed_file(write(tmp_path, "csv", content)))
    assert (found["request_id"], found["model"], found["fee"], found["bad_column"]) == (
        "r",
        'a,"b"\nc',
        Decimal("0.000015"),
        None,
    )


BAD_TEXTS = [
    *(
        ("fee_cxpt", text)
        for text in (
            "NaN",
            "inf",
            "-inf",
            "1e400",
            "1e-8",
            str(2**256),
            "0x10",
            "1.123456789",
            "1.",
            ".5",
            "\u0661",
            "1 ",
            "+1",
            "1_0",
            "1" * 13,
        )
    ),
    *(
        ("latency_ms", text)
        for text in ("NaN", "1e3", str(2**256), str(2**63), "1.0", "+5", " 5", "five", "\uff15", "5\u200f")
    ),
    *(
        ("started_at", text)
        for text in (
            "infinity",
            "-infinity",
            "now",
            "epoch",
            "today",
            "2026-01-07",
            "2026-01-07T12:00:00",
            "0000-01-01T00:00:00Z",
            "290000-01-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-01-07T24:00:00Z",
            "2026-01-07T12:00:60Z",
            "2026-01-07T12:00:00+99:99",
            "2026-01-07T12:00:00 Europe/Berlin",
            "1767787200",
            "2026-01-07T12:00:00.1234567Z",
        )
    ),
    ("ingested_at", "soon"),
]


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_texts_that_do_not_parse_are_named_with_column_and_value(
    database: duckdb.DuckDBPyConnection, tmp_path: Path, suffix: str
) -> None:
    if suffix == "csv":
        content = HEADER + "\n" + "".join(csv_line(**{column: text}) for column, text in BAD_TEXTS)
    else:
        content = "".join(json_line(**{column: json.dumps(text)}) for column, text in BAD_TEXTS)
    found = read(database, feed_file(write(tmp_path, suffix, content)))
    assert [(row["bad_column"], row["bad_given"]) for row in found] == BAD_TEXTS


@pytest.mark.parametrize("column", ["latency_ms", "fee_cxpt", "started_at"])
@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_of_a_long_text_that_does_not_parse_only_the_beginning_is_shown(
    database: duckdb.DuckDBPyConnection, tmp_path: Path, suffix: str, column: str
) -> None:
    text = "7" * 200_000
    content = HEADER + "\n" + csv_line(**{column: text}) if suffix == "csv" else json_line(**{column: json.dumps(text)})
    (row,) = read(database, feed_file(write(tmp_path, suffix, content)))
    assert (row["bad_column"], row["bad_given"]) == (column, "7" * 100 + "…")
    assert not any(isinstance(value, str) and len(value) > 101 for value in row.values())


def test_of_a_long_json_value_that_is_no_text_only_the_beginning_is_shown(
    database: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    content = json_line(model=json.dumps([7] * 50_000))
    (row,) = read(database, feed_file(write(tmp_path, "ndjson", content)))
    assert row["bad_column"] == "model" and len(row["bad_given"]) == 101 and row["model"] is None


@pytest.mark.parametrize(
    ("column", "text", "alias", "value"),
    [
        ("fee_cxpt", "-0", "fee", 0),
        ("fee_cxpt", "9" * 12 + ".99999999", "fee", Decimal("999999999999.99999999")),
        ("fee_cxpt", "-0.00000001", "fee", Decimal("-0.00000001")),
        ("latency_ms", "-0", "latency_ms", 0),
        ("latency_ms", "9" * 18, "latency_ms", 10**18 - 1),
        ("started_at", "0001-01-01T00:00:00Z", "started_us", -62_135_596_800_000_000),
        ("started_at", "9999-12-31T23:59:59.999999Z", "started_us", 253_402_300_799_999_999),
        ("started_at", "2026-01-07T14:00:00.5+02", "started_us", NOON_US + 500_000),
        ("started_at", "2026-01-07 06:30:00-05:30", "started_us", NOON_US),
        ("model", "a\x00b", "model", "a\x00b"),
        ("model", "\u202eledom", "model", "\u202eledom"),
        ("model", "=cmd|'/C calc'!A0", "model", "=cmd|'/C calc'!A0"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_texts_at_the_bounds_are_read_as_they_stand(
    database: duckdb.DuckDBPyConnection, tmp_path: Path, suffix: str, column: str, text: str, alias: str, value: object
) -> None:
    content = HEADER + "\n" + csv_line(**{column: text}) if suffix == "csv" else json_line(**{column: json.dumps(text)})
    (found,) = read(database, feed_file(write(tmp_path, suffix, content)))
    assert (found[alias], found["bad_column"]) == (value, None)


RAW = ["NaN", "Infinity", "1e400", "1.5", "true", '{"a": 1}', "[1]", str(2**256)]


@pytest.mark.parametrize("column", ["fee_cxpt", "latency_ms", "started_at", "model"])
def test_json_values_of_another_type_are_bad(database: duckdb.DuckDBPyConnection, tmp_path: Path, column: str) -> None:
    found = read(database, feed_file(write(tmp_path, "ndjson", "".join(json_line(**{column: raw}) for raw in RAW))))
    assert [row["bad_column"] for row in found] == [column] * len(RAW)
    assert [row["bad_given"].removeprefix("not a string: ").replace(" ", "") for row in found] == [
        raw.replace(" ", "") for raw in RAW
    ]


def test_a_fee_must_be_a_json_string_and_an_integer_may_be_a_number(
    database: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    found = read(
        database,
        feed_file(
            write(tmp_path, "ndjson", json_line(fee_cxpt="5") + json_line(latency_ms="5") + json_line(latency_ms='"5"'))
        ),
    )
    assert [(row["bad_column"], row["latency_ms"]) for row in found] == [("fee_cxpt", 900), (None, 5), (None, 5)]


@pytest.mark.parametrize(
    ("suffix", "content", "named"),
    [
        ("csv", b"", "is empty"),
        ("csv", "\n", "is empty"),
        ("csv", csv_line(), "unknown column 'r'"),
        ("csv", HEADER + ",zz\n", "the unknown column 'zz'"),
        ("csv", b"x" * 70_000 + b"\n", "its first line is longer than 65,536 letters"),
        ("csv", HEADER.replace("model,", "") + "\n", "no column model"),
        ("csv", HEADER.replace("model", "user_id") + "\n", "the column user_id twice"),
        ("csv", HEADER + "\n" + csv_line().replace("\n", ",more\n"), "Line: 2"),
        ("csv", HEADER + "\n" + csv_line() + "a,b\n", "Line: 3"),
        ("csv", HEADER + "\n" + csv_line() + csv_line(model='"torn') + csv_line(), "odd number of quotes"),
        ("csv", HEADER + "\n" + csv_line() + csv_line()[:-10], "does not end with a line break"),
        ("csv", (HEADER + "\n" + csv_line(model="café")).encode("latin1"), "'utf-8' codec"),
        ("csv", HEADER + "\n\x00\x00\n", "Line: 2"),
        ("ndjson", b"", "is empty"),
        ("ndjson", "\n\n", "no column request_id"),
        ("ndjson", json_line().replace("}", ', "zz": 1}'), "the unknown column 'zz'"),
        ("ndjson", json_line().replace("model", "Model"), "the unknown column 'Model'"),
        ("ndjson", json_line().replace('"model": "m", ', ""), "no column model"),
        ("ndjson", json_line().replace("}", ', "model": "other"}'), "duplicate key"),
        ("ndjson", json_line() + json_line()[:40], "line 3"),
        ("ndjson", json_line() + "[1, 2]\n", "ARRAY"),
        ("ndjson", json_line() + "5\n", "got"),
        ("ndjson", "[" + json_line().strip() + "]", "no column request_id"),
        ("ndjson", json_line() + '{"a":' * 3000 + "1" + "}" * 3000, "'a'"),
        ("ndjson", json_line(model='"\\ud800"'), "surrogate"),
        ("ndjson", json_line().encode() + b'{"model": "\xff"}\n', "UTF-8"),
        ("parquet", b"", "is empty"),
        ("parquet", b"hello", "cannot be read as parquet"),
        ("parquet", b"PAR1" + bytes(64) + b"PAR1", "cannot be read as parquet"),
    ],
)
def test_files_that_cannot_be_are_refused_by_name(
    database: duckdb.DuckDBPyConnection, tmp_path: Path, suffix: str, content: bytes | str, named: str
) -> None:
    assert named in refusal(database, write(tmp_path, suffix, content))


def write_column(folder: Path, column: str, values: pa.Array) -> Path:
    """A Parquet file of one sound row in which one column is another."""
    table = pl.DataFrame([make_row()], schema=dict(USAGE_SCHEMA)).to_arrow()
    place = table.schema.get_field_index(column)
    changed = table.append_column(column, values) if place < 0 else table.set_column(place, column, values)
    path = folder / "2026-01-07.parquet"
    pq.write_table(changed, path)
    return path


@pytest.mark.parametrize(
    ("column", "values", "named"),
    [
        ("started_at", pa.array([NOON_US * 1000], pa.timestamp("ns", "UTC")), "started_at is TIMESTAMPTZ_NS"),
        ("started_at", pa.array([NOON_US], pa.timestamp("us")), "started_at is TIMESTAMP"),
        ("started_at", pa.array(["2026-01-07T12:00:00Z"]), "started_at is VARCHAR"),
        ("fee_cxpt", pa.array([0.1]), "fee_cxpt is DOUBLE"),
        ("fee_cxpt", pa.array([1]), "fee_cxpt is BIGINT"),
        ("fee_cxpt", pa.array([Decimal(1)], pa.decimal128(38, 8)), "fee_cxpt is DECIMAL(38,8)"),
        ("fee_cxpt", pa.array([Decimal(1)], pa.decimal128(20, 9)), "fee_cxpt is DECIMAL(20,9)"),
        ("latency_ms", pa.array([5.0]), "latency_ms is DOUBLE"),
        ("latency_ms", pa.array([2**64 - 1], pa.uint64()), "latency_ms is UBIGINT"),
        ("model", pa.array([b"\xff"]), "model is BLOB"),
        ("model", pa.array([["m"]]), "model is VARCHAR[]"),
        ("model", pa.array([None]), "model is"),
        ("zz", pa.array(["m"]), "the unknown column 'zz'"),
    ],
)
def test_parquet_columns_of_another_type_are_refused(
    database: duckdb.DuckDBPyConnection, tmp_path: Path, column: str, values: pa.Array, named: str
) -> None:
    assert named in refusal(database, write_column(tmp_path, column, values))


@pytest.mark.parametrize(
    ("column", "values", "alias", "value"),
    [
        ("started_at", pa.array([NOON_US // 1000], pa.timestamp("ms", "UTC")), "started_us", NOON_US),
        ("started_at", pa.array([NOON_US], pa.timestamp("us", "Europe/Berlin")), "started_us", NOON_US),
        ("fee_cxpt", pa.array([Decimal("1.25")], pa.decimal128(12, 2)), "fee", Decimal("1.25")),
        ("latency_ms", pa.array([5], pa.int8()), "latency_ms", 5),
        ("latency_ms", pa.array([2**63 - 1]), "latency_ms", 2**63 - 1),
        ("model", pa.array(["m"]).dictionary_encode(), "model", "m"),
        ("model", pa.array(["m"], pa.large_string()), "model", "m"),
    ],
)
def test_parquet_columns_of_a_kindred_type_are_read(
    database: duckdb.DuckDBPyConnection, tmp_path: Path, column: str, values: pa.Array, alias: str, value: object
) -> None:
    (found,) = read(database, feed_file(write_column(tmp_path, column, values)))
    assert (found[alias], found["bad_column"]) == (value, None)


@pytest.mark.parametrize("column", ["started_at", "ingested_at"])
@pytest.mark.parametrize(
    "micros",
    [2**63 - 1, -(2**63) + 1, -(2**63), 9_200_000_000_000_000_000, -62_135_596_800_000_001, 253_402_300_800_000_000],
)
def test_parquet_times_out_of_range_are_bad(
    database: duckdb.DuckDBPyConnection, tmp_path: Path, column: str, micros: int
) -> None:
    (found,) = read(database, feed_file(write_column(tmp_path, column, pa.array([micros], pa.timestamp("us", "UTC")))))
    base = column.removesuffix("_at")
    endless = {2**63 - 1: "infinity", -(2**63) + 1: "-infinity"}.get(micros)
    assert (found["bad_column"], found[base + "_us"], found[base + "_given"]) == (column, None, endless)
    assert found[base + "_raw"] == (None if endless else micros)


def test_a_cut_or_flipped_parquet_file_is_refused_wherever_it_is_hit(
    database: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    rows = [make_row(request_id=f"r{i}", latency_ms=i) for i in range(200)]
    whole = write_feed(tmp_path / "whole", "2026-01-07", rows, "parquet", USAGE_SCHEMA).path.read_bytes()
    sound = read(database, feed_file(write(tmp_path, "parquet", whole)))
    for cut in range(0, len(whole), len(whole) // 12):
        refusal(database, write(tmp_path, "parquet", whole[:cut]))
    messages = []
    for place in range(4, len(whole), len(whole) // 40):
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        try:
            found: Any = read(database, feed_file(write(tmp_path, "parquet", bytes(flipped))))
        except InputError as error:
            messages.append(str(error))
        else:
            assert len(found) == len(sound)
    assert len(messages) > 5
    assert all("2026-01-07.parquet" in text and "\n" not in text for text in messages)
