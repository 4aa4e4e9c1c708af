"""Spark rolls up what DuckDB rolls up: the strongest tests of a row, dirty worlds, and whole bundles byte by byte."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewards.engines import spark_session
from rewards.engines.duckdb import DuckDBEngine
from rewards.engines.spark import SparkEngine, _find_cause, write_out
from rewards.engines.spark_session import check_installed, close_sessions, open_session
from rewards.epoch import Calendar
from rewards.errors import InputError, LimitError, UsageError
from rewards.jobs.prepare import RunSettings
from rewards.jobs.run import run_epochs
from rewards.jobs.settings import POLICIES
from rewards.jobs.workspace import Workspace
from rewards.ports import Engine, RollUp
from tests.engines import test_duckdb as shared
from tests.engines.test_duckdb import (
    BAD,
    DAY,
    HOUR,
    Night,
    classes,
    compare_with_oracle,
    draw_rows,
    feed,
    write_days,
)
from tests.oracle.rows import EpochCount, count_rows
from tests.worlds import (
    CALENDAR,
    GENESIS,
    NOON,
    USAGE_SCHEMA,
    feed_file,
    make_row,
    nodes_frame,
    people_frame,
    write_feed,
)

HEAP = "1GB"
TWO_WORKERS = "local-cluster[2,1,1024]"


@pytest.fixture(scope="module", autouse=True)
def _spark(request: pytest.FixtureRequest) -> Iterator[None]:
    """Java that does not spend a test's time on compiling; ended when the tests of this file are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        yield
        close_sessions()


def has_java() -> bool:
    return "JAVA_HOME" in os.environ or shutil.which("java") is not None


needs_spark = pytest.mark.skipif(
    find_spec("pyspark") is None or not has_java(), reason="Spark or Java 17 is not here: see `make spark`"
)


class SparkNight(Night):
    """The same night on the other engine."""

    def engine(self, threads: int) -> Engine:
        return SparkEngine(self.folder / "scratch", "local[2]", HEAP)


@pytest.fixture
def night(tmp_path: Path) -> SparkNight:
    return SparkNight(tmp_path)


def assert_equal(found: RollUp, expected: RollUp) -> None:
    """Everything of a roll-up but the digests of ids, which every engine makes in its own way."""
    for name in ("rollup", "quarantine", "heartbeats"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert ours.schema == theirs.schema, name
        assert ours.rows() == theirs.rows(), name
    assert found.bad_rows.drop("file").rows() == expected.bad_rows.drop("file").rows()
    for name in ("counts", "usage_coverage", "heartbeat_coverage", "odd_heartbeats"):
        assert getattr(found, name) == getattr(expected, name), name
    ours, theirs = (pl.read_parquet(one.counted_ids) for one in (found, expected))
    assert (ours.height, ours["id"].n_unique()) == (theirs.height, theirs["id"].n_unique())


# What needs no Spark


def test_spark_sql_is_written_out() -> None:
    assert write_out("whole(a, b)") == "((a) div (b))"
    assert write_out("x + whole(f(a, ')'), whole(b, 2)) % 24") == "x + ((f(a, ')')) div (((b) div (2)))) % 24"
    assert write_out(r"'a\b' IN ('whole')") == r"'a\\b' IN ('whole')"
    assert "timestamp_micros(w.a)" in write_out("coalesce(time_text(w.a), '')")
    with pytest.raises(ValueError, match="stay open"):
        write_out("whole(a, b")


def test_a_missing_spark_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spark_session, "find_spec", lambda _: None)
    for ask in (check_installed, partial(SparkEngine, tmp_path), partial(open_session, "local[2]", HEAP, tmp_path)):
        with pytest.raises(UsageError, match=r"pip install '\.\[spark\]'"):
            ask()


# Rows


SHARED: Mapping[str, Callable[[Night], None]] = {
    "the epoch before": shared.test_a_repeat_of_the_epoch_before_is_a_repeat_and_a_bad_row_occupies_no_id,
    "heartbeats": shared.test_heartbeats_count_once_a_time_while_registered,
    "ends of the calendar": shared.test_a_row_that_no_epoch_holds_is_no_crash,
    "file at fault": shared.test_the_file_at_fault_is_named_among_several,
    "no usage": partial(shared.test_no_file_at_all_is_refused, which="usage"),
}


@needs_spark
@pytest.mark.parametrize("name", SHARED)
def test_spark_passes_what_duckdb_passes(night: SparkNight, name: str) -> None:
    SHARED[name](night)


WHO = ("user", "twin", "left", "stranger")


@needs_spark
def test_every_rule_names_its_row(night: SparkNight, tmp_path: Path) -> None:
    """The table of bad rows, rows that earn or do not, repeats and conflicts, in one night."""
    rows = [make_row(**{"request_id": f"bad{i}"} | changes) for i, (changes, *_) in enumerate(BAD)]
    rows += [make_row(request_id="twice", ingested_at=NOON + i * HOUR) for i in range(3)]
    rows += [make_row(request_id="other", latency_ms=i) for i in range(2)]
    rows += [make_row(request_id=f"edge{i}", latency_ms=edge) for i, edge in enumerate((0, 100, 101, 3_600_000))]
    rows += [make_row(request_id="bad again", latency_ms=-1, ingested_at=NOON + i * HOUR) for i in range(2)]
    rows += [
        make_row(request_id=f"{node}{user}", provision_id=node, user_id=user) for node in ("p1", "p2") for user in WHO
    ]
    rows += [make_row(request_id="a'b\\c", model="=1+1\u202e", user_id="stranger")]
    rows += [make_row(request_id="tier", service_tier="tide_pool"), make_row(request_id="unpaid", status_code=404)]
    files = feed(night, *rows)
    found = night.run(files)
    other = Night(tmp_path / "other")
    assert_equal(found, other.run(files))
    assert {"earning", "repeated", "status", "one_person", "suspended", "bad_type"} <= set(classes(found))


FAR = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
    datetime(1582, 10, 10, tzinfo=UTC),
]
OUTSIDE = [2**63 - 1, -(2**63) + 1, -(2**63), 253_402_300_800_000_000, -62_135_596_800_000_001]


@needs_spark
def test_times_of_any_year_are_shown_the_same(night: SparkNight, tmp_path: Path) -> None:
    """In the calendar, before the Gregorian one, outside any, and without end."""
    rows = [make_row(request_id=f"far{i}", started_at=moment, ingested_at=NOON) for i, moment in enumerate(FAR)]
    rows += [make_row(request_id=f"outside{i}") for i in range(len(OUTSIDE))]
    (file,) = feed(night, *rows)
    frame = pl.read_parquet(file.path)
    micros = pl.concat([frame["started_at"].head(len(FAR)).dt.timestamp("us"), pl.Series(OUTSIDE)])
    moments = micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("started_at")
    frame.with_columns(moments).write_parquet(file.path)
    found = night.run([file])
    assert_equal(found, Night(tmp_path / "other").run([file]))
    shown = set(found.quarantine["started_at"])
    assert {"0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z", "1582-10-10T00:00:00.000000Z"} <= shown
    assert {"infinity", "-infinity", f"{-(2**63)} microseconds since 1970"} <= shown


@needs_spark
def test_contents_that_differ_in_which_column_is_missing_differ(night: SparkNight) -> None:
    """Spark's hash passes over nulls; the digest of a content does not."""
    first = make_row(user_id=None, provision_id="x")
    files = feed(night, first, first, make_row(user_id="x", provision_id=None, ingested_at=NOON + DAY))
    assert classes(night.run(files, 0)) == {"missing_value": 1, "repeated": 1}
    assert classes(night.run(files, 1)) == {"conflicting_repeat": 1}


@needs_spark
@pytest.mark.parametrize("seed", [1, 2])
def test_dirty_worlds_are_counted_as_the_oracle_counts(tmp_path: Path, seed: int) -> None:
    night = SparkNight(tmp_path)
    files = write_days(tmp_path / "usage_records", draw_rows(Random(seed), 300), "parquet")
    people_frame().write_parquet(tmp_path / "accounts.parquet")
    nodes_frame().write_parquet(tmp_path / "provisions.parquet")
    expected = count_rows(tmp_path)
    for epoch in range(3):
        compare_with_oracle(night.run(files, epoch), expected.get(epoch, EpochCount()))


# Files


@needs_spark
def test_every_format_and_type_gives_the_same(tmp_path: Path) -> None:
    """Days in other formats, split, shuffled, with narrower types, times in milliseconds, without arrivals."""
    rows, folder = draw_rows(Random(3), 200), tmp_path / "a b%20c'd"
    folder.mkdir()
    files = []
    for number, file in enumerate(write_days(tmp_path / "usage", rows, "parquet")):
        frame, name = pl.read_parquet(file.path), file.path.stem
        half, rest = frame.head(frame.height // 2), frame.slice(frame.height // 2)
        narrow = half.with_columns(
            pl.col("status_code").cast(pl.Int16), pl.col("input_tokens").cast(pl.UInt32, strict=False)
        )
        codec = ("zstd", "snappy", "lz4", "gzip")[number % 4]
        narrow.write_parquet(folder / f"{name}.parquet", compression=codec)
        files.append(feed_file(folder / f"{name}.parquet"))
        suffix = ("csv", "ndjson", "parquet")[number % 3]
        files.append(write_feed(folder, f"{name}-rest", rest.to_dicts(), suffix, USAGE_SCHEMA))
    coarse = pl.DataFrame([make_row(request_id="coarse")], schema=USAGE_SCHEMA)
    coarse.with_columns(pl.col("started_at", "ingested_at").dt.cast_time_unit("ms")).write_parquet(
        folder / "2026-01-07-coarse.parquet", row_group_size=1
    )
    small = pl.col("fee_cxpt").cast(pl.Decimal(12, 6))
    bare = pl.DataFrame([make_row(request_id="bare", fee_cxpt=Decimal(100))], schema=USAGE_SCHEMA).drop("ingested_at")
    bare.with_columns(small).write_parquet(folder / "2026-01-07-bare.parquet")
    files += [feed_file(folder / f"2026-01-07-{name}.parquet") for name in ("coarse", "bare")]
    found, expected = SparkNight(tmp_path / "spark").run(files), Night(tmp_path / "duckdb").run(files)
    assert_equal(found, expected)
    assert found.bad_rows.rows() == expected.bad_rows.rows()


def test_a_failure_of_java_is_told_by_what_it_came_from() -> None:
    told = (
        "An error occurred while calling o27.parquet.\n: Job aborted\nCaused by: A: b\n\tat x\nCaused by: C: no room\n"
    )
    assert _find_cause(RuntimeError(told)) == "C: no room"
    assert _find_cause(RuntimeError("one\ntwo")) == "one"


@needs_spark
@pytest.mark.parametrize("character", ["{", "*", "["])
def test_a_path_that_could_be_a_pattern_is_refused(night: SparkNight, character: str) -> None:
    """Spark would read such a file as often as there are files."""
    night.folder = night.folder / character
    files = feed(night, make_row())
    with pytest.raises(UsageError, match="takes for a pattern"):
        night.run(files)


def spoil_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)


def spoil_text(path: Path) -> None:
    table = pq.read_table(path)
    bad = pa.Array.from_buffers(
        pa.large_string(), 1, [None, pa.array([0, 2], pa.int64()).buffers()[1], pa.py_buffer(b"\xff\xfe")]
    )
    pq.write_table(table.set_column(table.schema.get_field_index("model"), "model", bad), path)


@needs_spark
@pytest.mark.parametrize("spoil", [spoil_page, spoil_text])
def test_a_spoilt_file_is_named(night: SparkNight, spoil: Callable[[Path], None]) -> None:
    (good,) = feed(night, make_row())
    (spoilt,) = feed(night, make_row(request_id="s"), day="2026-01-08")
    spoil(spoilt.path)
    with pytest.raises(InputError, match=r"2026-01-08\.parquet cannot be read as parquet") as refused:
        night.run([good, spoilt])
    assert "\n" not in str(refused.value)


@needs_spark
def test_a_roll_up_leaves_a_file_of_ids_that_knows_its_engine(night: SparkNight, tmp_path: Path) -> None:
    files = feed(night, make_row())
    ours, theirs = night.run(files).counted_ids, Night(tmp_path / "other").run(files).counted_ids
    spark, duck = night.engine(1), DuckDBEngine(tmp_path)
    assert [spark.reads_counted(ours), spark.reads_counted(theirs)] == [True, False]
    assert [duck.reads_counted(ours), duck.reads_counted(theirs)] == [False, True]
    digests = spark.digest_ids(pl.Series(["other", make_row()["request_id"]]))
    assert pl.read_parquet(ours).join(digests, on=["id", "id_check"], how="semi").height == 1
    left = [path.name for path in (night.folder / "scratch").iterdir() if not path.name.startswith("spark-")]
    assert left == []


@needs_spark
def test_an_overflow_is_a_limit_and_a_bad_master_a_mistake(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from pyspark.errors import PySparkException

    engine = SparkEngine(tmp_path, "local[2]", HEAP)
    with pytest.raises(PySparkException) as raised:
        open_session("local[2]", HEAP, tmp_path).sql(
            "SELECT sum(x) FROM VALUES (9223372036854775807), (1) t(x)"
        ).collect()
    explained = engine._explain(raised.value, CALENDAR.epoch(0))
    assert isinstance(explained, LimitError) and "passes its bound" in str(explained)
    with pytest.raises(UsageError, match="Spark does not start with master local-cluster"):
        open_session("local-cluster[1,1,64]", HEAP, tmp_path / "bad")
    assert list((tmp_path / "bad").iterdir()) == []
    assert tuple(capfd.readouterr()) == ("", "")


# Whole bundles


def seal(inputs: Path, data: Path, epochs: range, **more: Any) -> dict[str, bytes]:
    """Every file of the bundles of some epochs, by its place."""
    calendar = Calendar.from_genesis(GENESIS)
    workspace = Workspace(data)
    done = list(run_epochs(workspace, RunSettings(inputs, POLICIES, calendar, memory=HEAP, **more), epochs))
    assert not any(outcome.already_sealed for outcome in done[-1:])
    folder = data / "epochs"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def count_tasks() -> list[int]:
    """Tasks done by each worker process."""
    from pyspark import SparkContext

    seen = SparkContext.getOrCreate()._jsc.sc().statusStore().executorList(True)
    workers = [seen.apply(i) for i in range(seen.size())]
    return [int(w.totalTasks()) for w in workers if w.id() != "driver"]


def ask_java(name: str) -> str | None:
    """A variable of the environment in which Spark runs."""
    from pyspark import SparkContext

    value: str | None = SparkContext._jvm.java.lang.System.getenv(name)
    return value


@needs_spark
def test_bundles_of_the_sample_have_duckdbs_bytes(repository: Path, tmp_path: Path) -> None:
    inputs = repository / "data" / "sample"
    expected = seal(inputs, tmp_path / "duckdb", range(2))
    found = seal(inputs, tmp_path / "spark", range(2), engine="spark", spark_master=TWO_WORKERS)
    assert found == expected and found
    tasks = count_tasks()
    assert len(tasks) == 2 and min(tasks) > 0
    assert ask_java("SPARK_LOCAL_IP") == "127.0.0.1"
    record = (tmp_path / "spark" / "provenance" / "1" / "record.json").read_text()
    assert '"engine": "spark"' in record and '"pyspark": "4.3.0"' in record


@needs_spark
def test_the_engine_may_change_from_night_to_night(repository: Path, tmp_path: Path) -> None:
    """Ids that the other engine has digested are read again."""
    inputs = repository / "data" / "sample"
    seal(inputs, tmp_path / "mixed", range(1))
    found = seal(inputs, tmp_path / "mixed", range(2), engine="spark", spark_master=TWO_WORKERS)
    assert found == seal(inputs, tmp_path / "duckdb", range(2))


@needs_spark
@pytest.mark.timeout(900)
def test_bundles_of_real_epochs_have_duckdbs_bytes(real_inputs: Path, tmp_path: Path) -> None:
    expected = seal(real_inputs, tmp_path / "duckdb", range(4))
    found = seal(real_inputs, tmp_path / "spark", range(4), engine="spark", spark_master=TWO_WORKERS)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    assert len([name for name in found if name.endswith("manifest.json")]) == 4
