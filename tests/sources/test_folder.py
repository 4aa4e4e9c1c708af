"""The input folder: each refusal names file and column, and the three formats of a small table mean the same."""

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rewards.epoch import DAY_US, to_micros
from rewards.errors import InputError, PolicyError, RewardsError
from rewards.policy import policy_for
from rewards.schemas import ACCOUNTS, DEPOSITS, MONEY, PROVISIONS, TIME
from rewards.sources.folder import InputFolder, read_policies
from tests.bundles.forge import CALENDAR, POLICIES
from tests.worlds import POLICY_FILE, nodes_frame, people_frame, to_text

TABLES = {"accounts": ACCOUNTS, "provisions": PROVISIONS, "deposits": DEPOSITS}
FORMATS = ("parquet", "csv", "ndjson", "jsonl")


def _deposits() -> pl.DataFrame:
    """The largest amount that Decimal(38, 0) holds, a microsecond, a funding, and a null block."""
    when = [datetime(2026, 1, 7, 1, tzinfo=UTC), datetime(2026, 1, 7, 2, 3, 4, 567_891, tzinfo=UTC)]
    rows = [
        (when[1], None, "0x" + "11" * 20, 10**38 - 1, 1, 10**38 - 3, 1, False),
        (when[0], 7, "0x" + "22" * 20, 5, 0, 5, 0, True),
    ]
    return pl.DataFrame(rows, schema=dict(DEPOSITS.columns), orient="row")


FRAMES = {"accounts": people_frame(), "provisions": nodes_frame(), "deposits": _deposits()}


def _write(folder: Path, name: str, frame: pl.DataFrame, suffix: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{suffix}"
    rows = [{k: None if v is None else to_text(v) for k, v in row.items()} for row in frame.to_dicts()]
    if suffix == "parquet":
        frame.write_parquet(path)
    elif suffix == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, frame.columns)
            writer.writeheader()
            writer.writerows([{k: v or "" for k, v in row.items()} for row in rows])
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _read(folder: Path, name: str) -> pl.DataFrame:
    frame: pl.DataFrame = getattr(InputFolder(folder), name)()
    return frame


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", TABLES)
def test_formats_are_equal(tmp_path: Path, name: str, suffix: str) -> None:
    _write(tmp_path, name, FRAMES[name], suffix)
    table = TABLES[name]
    assert table.arrange(_read(tmp_path, name)).equals(table.arrange(FRAMES[name]))


@pytest.mark.parametrize("suffix", FORMATS)
def test_columns_in_another_order_and_no_funding_column(tmp_path: Path, suffix: str) -> None:
    frame = FRAMES["deposits"].drop("funding")
    _write(tmp_path, "deposits", frame.select(reversed(frame.columns)), suffix)
    read = _read(tmp_path, "deposits")
    assert read["funding"].to_list() == [False, False]
    assert read["deposited_at"].is_sorted()


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_column_that_is_null_throughout(tmp_path: Path, suffix: str) -> None:
    frame = FRAMES["accounts"].with_columns(
        suspended_at=pl.lit(None, dtype=TIME), referred_by=pl.lit(None, dtype=pl.String)
    )
    _write(tmp_path, "accounts", frame, suffix)
    assert _read(tmp_path, "accounts").equals(frame)


def test_json_integers_keep_every_digit(tmp_path: Path) -> None:
    """Beyond 2^53 and 2^64 a reader that goes through floats would round."""
    rows = [
        json.loads(
            json.dumps({k: to_text(v) if v is not None else None for k, v in FRAMES["deposits"].to_dicts()[0].items()})
        )
    ]
    for name in ("amount", "provider_amount", "protocol_amount", "user_amount"):
        rows[0][name] = int(rows[0][name])
    rows[0]["funding"] = False
    (tmp_path / "deposits.ndjson").write_text(json.dumps(rows[0]) + "\n\n")
    assert _read(tmp_path, "deposits")["amount"].to_list() == [10**38 - 1]


# Values that are refused

TIMES = ["2026-01-07T00:00:00", "2026-01-07", "2026-01-07 00:00", "7 Jan 2026", "1767744000", "2026-13-07T00:00:00Z",
         "2026-01-07T25:00:00Z", "2026-02-30T00:00:00Z", "2026-01-07T00:00:00.1234567Z", "2026-01-07T00:00:00 CET"]  # fmt: skip
NUMBERS = ["1.5", "1.0", "1e3", "1" * 39, "0x10", " 1", "1 ", "+1", "1_000", "1,000", "NaN", "inf", "-", "٣"]
VALUES = [("accounts", "created_at", t) for t in TIMES] + [("accounts", "suspended_at", t) for t in TIMES[:3]]
VALUES += [("deposits", "amount", n) for n in NUMBERS] + [
    ("deposits", "block_number", n) for n in ("1.0", "1" * 20, "a")
]
VALUES += [("deposits", "funding", b) for b in ("True", "1", "yes", "FALSE")] + [("deposits", "deposited_at", TIMES[0])]
VALUES += [
    ("accounts", "kind", "robot"),
    ("accounts", "kind", ""),
    ("accounts", "account_id", ""),
    ("accounts", "created_at", ""),
]
VALUES += [
    ("provisions", "service_tier", "gold"),
    ("provisions", "provider_id", ""),
    ("provisions", "registered_at", TIMES[1]),
]


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
@pytest.mark.parametrize(("name", "column", "value"), VALUES, ids=[f"{c}={v!r:.30}" for _, c, v in VALUES])
def test_a_wrong_value_is_refused_with_file_and_column(
    tmp_path: Path, name: str, column: str, value: str, suffix: str
) -> None:
    frame = FRAMES[name].select(pl.col(c).map_elements(to_text, pl.String) for c in FRAMES[name].columns)
    frame = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 1).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    )
    path = _write(tmp_path, name, frame, suffix)
    with pytest.raises(InputError) as refused:
        _read(tmp_path, name)
    message = str(refused.value)
    assert str(path) in message and column in message and "\n" not in message and refused.value.exit_code == 5


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("amount", "1.0"), ("amount", "1e27"), ("amount", "true"), ("amount", "[1]"), ("amount", "NaN"), ("amount", "1e400"),
        ("payer", "5"), ("payer", "{}"), ("funding", "1"), ("block_number", "true"), ("amount", "5,\"amount\":5"),
    ],
)  # fmt: skip
def test_a_json_value_of_another_type_is_refused(tmp_path: Path, column: str, text: str) -> None:
    row = json.dumps({k: to_text(v) if v is not None else None for k, v in FRAMES["deposits"].to_dicts()[1].items()})
    value = json.dumps(json.loads(row)[column])
    (tmp_path / "deposits.ndjson").write_text(row.replace(f'"{column}": {value}', f'"{column}": {text}') + "\n")
    with pytest.raises(InputError, match=r"deposits\.ndjson cannot be read") as refused:
        _read(tmp_path, "deposits")
    assert column in str(refused.value) or text in str(refused.value)


RETYPED: list[tuple[str, str, Callable[[pl.Expr], pl.Expr]]] = [
    ("accounts", "created_at", lambda c: c.dt.replace_time_zone(None)),
    ("accounts", "created_at", lambda c: c.dt.cast_time_unit("ns")),
    ("accounts", "created_at", lambda c: c.dt.cast_time_unit("ms")),
    ("accounts", "created_at", lambda c: c.dt.convert_time_zone("Europe/Berlin")),
    ("accounts", "account_id", lambda c: c.cast(pl.Categorical)),
    ("deposits", "amount", lambda c: c.cast(pl.Float64)),
    ("deposits", "amount", lambda c: pl.lit(1, dtype=pl.Int64)),
    ("deposits", "amount", lambda c: pl.lit(1).cast(pl.Decimal(38, 2))),
    ("deposits", "block_number", lambda c: c.cast(pl.Int32)),
    ("deposits", "funding", lambda c: c.cast(pl.Int8)),
    ("provisions", "country", lambda c: pl.lit(1)),
]


@pytest.mark.parametrize(("name", "column", "retype"), RETYPED, ids=range(len(RETYPED)))
def test_a_parquet_column_of_another_type_is_refused(
    tmp_path: Path, name: str, column: str, retype: Callable[[pl.Expr], pl.Expr]
) -> None:
    path = _write(tmp_path, name, FRAMES[name].with_columns(retype(pl.col(column)).alias(column)), "parquet")
    with pytest.raises(InputError, match=column) as refused:
        _read(tmp_path, name)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", TABLES)
def test_columns_that_are_missing_or_unknown_are_named(tmp_path: Path, name: str, suffix: str) -> None:
    first = FRAMES[name].columns[0]
    for frame, words in (
        (FRAMES[name].drop(first), f"lacks the column {first}"),
        (FRAMES[name].with_columns(extra=pl.lit("x")), "has the unknown column extra"),
        (
            FRAMES[name].rename({first: first.upper()}),
            f"lacks the column {first}, has the unknown column {first.upper()}",
        ),
    ):
        path = _write(tmp_path, name, frame, suffix)
        with pytest.raises(InputError, match=words) as refused:
            _read(tmp_path, name)
        assert str(path) in str(refused.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_account_id_twice_is_refused(tmp_path: Path, suffix: str) -> None:
    path = _write(tmp_path, "accounts", pl.concat([FRAMES["accounts"], FRAMES["accounts"].tail(1)]), suffix)
    with pytest.raises(InputError, match="column account_id holds 'left' more than once") as refused:
        _read(tmp_path, "accounts")
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "parts",
    [(1, 5, 0), (0, 4, 0), (-1, 6, 0), (0, -5, 10), (6, 0, -1)],
    ids=["above", "below", "negative", "negative 2", "negative 3"],
)
def test_deposits_whose_parts_do_not_add_up_are_refused(
    tmp_path: Path, parts: tuple[int, int, int], suffix: str
) -> None:
    columns = dict(zip(("protocol_amount", "provider_amount", "user_amount"), parts, strict=True))
    frame = FRAMES["deposits"].tail(1).with_columns(**{n: pl.lit(v, dtype=MONEY) for n, v in columns.items()})
    _write(tmp_path, "deposits", frame, suffix)
    with pytest.raises(
        InputError, match=rf"deposits.*amount holds 5.* parts {parts[0]}, {parts[1]}, {parts[2]}"
    ) as refused:
        _read(tmp_path, "deposits")
    assert str(tmp_path) in str(refused.value)


# Files and folders


def _damage(content: bytes) -> list[bytes]:
    flipped = bytearray(content)
    flipped[len(flipped) // 3] ^= 0xFF
    return [
        b"",
        content[:20],
        content[: len(content) // 2],
        b"\xff\xfe" * 50,
        b"PAR1" + content[4:-9] + b"\xff\xff\xff\x7fPAR1",
        bytes(flipped),
    ]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_damaged_file_is_one_error(tmp_path: Path, suffix: str) -> None:
    path = _write(tmp_path, "accounts", FRAMES["accounts"], suffix)
    for content in _damage(path.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(InputError, match=path.name) as refused:
            _read(tmp_path, "accounts")
        assert "\n" not in str(refused.value)


def test_json_lines_that_are_no_objects_are_refused(tmp_path: Path) -> None:
    for content in ("[]\n", "1\n", "null\n", '{"account_id":', "[" * 99_999):
        (tmp_path / "accounts.ndjson").write_text(content)
        with pytest.raises(InputError, match=r"accounts\.ndjson"):
            _read(tmp_path, "accounts")


def test_a_table_must_stand_there_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one file accounts .* found none"):
        _read(tmp_path, "accounts")
    for suffix in ("csv", "parquet"):
        _write(tmp_path, "accounts", FRAMES["accounts"], suffix)
    with pytest.raises(InputError, match=r"found accounts\.parquet and accounts\.csv"):
        _read(tmp_path, "accounts")


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "gone", tmp_path / "file"):
        with pytest.raises(InputError, match=f"no folder {path}"):
            InputFolder(path)


@pytest.mark.parametrize("feed", ["usage_records", "heartbeats"])
def test_feeds_are_listed_by_day(tmp_path: Path, feed: str) -> None:
    def listed() -> Any:
        source = InputFolder(tmp_path)
        return source.usage() if feed == "usage_records" else source.heartbeats()

    with pytest.raises(InputError, match=f"no folder .*{feed}"):
        listed()
    folder = tmp_path / feed
    folder.mkdir()
    (folder / ".hidden").write_text("")
    with pytest.raises(InputError, match="holds no files"):
        listed()
    names = ("2026-01-07.parquet", "2026-01-08-part-2.csv", "2026-01-08.ndjson", "2026-01-09_late.jsonl")
    for name in names:
        (folder / name).write_text(name)
    files = listed()
    assert [(f.path.name, f.format) for f in files] == list(
        zip(sorted(names), ("parquet", "csv", "ndjson", "ndjson"), strict=True)
    )
    seventh = to_micros(datetime(2026, 1, 7, tzinfo=UTC))
    assert [f.day_end_us - seventh for f in files] == [DAY_US, 2 * DAY_US, 2 * DAY_US, 3 * DAY_US]
    assert len({f.digest for f in files}) == 4
    for name in (
        "2026-01-07",
        "notes.txt",
        "20260107.csv",
        "2026-01-32.csv",
        "2026-02-29.csv",
        "x2026-01-07.csv",
        "2026-01-07.csv.gz",
        "2026-01-07-*.csv",
        "2026-01-07-[ab].parquet",
        "2026-01-07-?.csv",
    ):
        (folder / name).write_text("")
        with pytest.raises(InputError) as refused:
            listed()
        assert name in str(refused.value)
        (folder / name).unlink()


def test_a_feed_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "usage_records" / "2026-01-07.parquet").mkdir(parents=True)
    with pytest.raises(InputError, match=r"2026-01-07\.parquet cannot be read: Is a directory"):
        InputFolder(tmp_path).usage()
    (tmp_path / "usage_records" / "2026-01-07.parquet").rmdir()
    (tmp_path / "usage_records" / "2026-01-08.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"2026-01-08\.csv cannot be read"):
        InputFolder(tmp_path).usage()


# Policies


def test_two_policies_across_a_boundary(tmp_path: Path) -> None:
    """An epoch is ruled by the newest policy whose date is not after its start."""
    source = POLICY_FILE.read_text()
    (tmp_path / "2025-06-14.toml").write_text(source)
    (tmp_path / "2026-01-09.toml").write_text(source.replace("hold_epochs = 180", "hold_epochs = 90"))
    policies = read_policies(tmp_path)
    ruling = [policy_for(policies, CALENDAR.epoch(number).start.date()) for number in range(4)]
    assert [p.policy.pools.hold_epochs for p in ruling] == [180, 180, 90, 90]
    assert [p.since.isoformat() for p in ruling] == ["2025-06-14"] * 2 + ["2026-01-09"] * 2
    assert ruling[0].digest != ruling[2].digest and ruling[2].source == (tmp_path / "2026-01-09.toml").read_bytes()
    with pytest.raises(PolicyError, match=r"2025-06-13.*known: 2025-06-14, 2026-01-09"):
        policy_for(policies, datetime(2025, 6, 13, tzinfo=UTC).date())


def test_a_policy_may_not_move_rows_between_epochs(tmp_path: Path) -> None:
    source = POLICY_FILE.read_text()
    assert "grace_minutes = 30" in source
    (tmp_path / "2025-06-14.toml").write_text(source)
    (tmp_path / "2026-01-09.toml").write_text(source.replace("grace_minutes = 30", "grace_minutes = 31"))
    with pytest.raises(PolicyError, match=r"2026-01-09: rows\.grace_minutes changes from 30 to 31"):
        read_policies(tmp_path)


@pytest.mark.parametrize(
    "name", ["today.toml", "20250614.toml", "2025-W24-6.toml", "2025-06-31.toml", "2025-06-14-v2.toml"]
)
def test_a_policy_of_another_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(POLICY_FILE.read_bytes())
    with pytest.raises(InputError, match=f"{name} is not named"):
        read_policies(tmp_path)


def test_policies_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(InputError, match=f"no policy in {folder}"):
            read_policies(folder)
    path = tmp_path / "2025-06-14.toml"
    for content in (
        b"",
        b"\xff",
        b"a = ",
        POLICY_FILE.read_bytes().replace(b"release_bp = 10000", b"release_bp = 10000.0"),
    ):
        path.write_bytes(content)
        with pytest.raises(PolicyError, match=r"2025-06-14\.toml"):
            read_policies(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(RewardsError, match=r"2025-06-14\.toml cannot be read"):
        read_policies(tmp_path)


def test_the_shipped_policy_is_the_only_one() -> None:
    assert [p.since.isoformat() for p in read_policies(POLICIES)] == ["2025-06-14"]
