"""What becomes of a row: every rule by a row made for it, and dirty worlds against an independent count."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pandera.polars as pa
import polars as pl
import pyarrow
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.distribution import add_wallets
from rewards.engines import duckdb as duckdb_engine
from rewards.engines.duckdb import DuckDBEngine
from rewards.epoch import DAY_US, to_micros
from rewards.errors import InputError, LimitError, StorageError
from rewards.policy import TIERS
from rewards.ports import Engine, FeedFile, RollUp
from rewards.schemas import (
    HEARTBEATS_ROLLUP,
    MAX_FEE_E8,
    MONEY,
    QUARANTINE,
    QUARANTINE_REASONS,
    ROLLUP,
    TIME,
    USAGE_COLUMNS,
)
from tests.oracle.rows import EpochCount, count_rows
from tests.worlds import (
    CALENDAR,
    ENDPOINTS,
    GENESIS,
    HEARTBEAT_SCHEMA,
    NODES,
    NOON,
    POLICY,
    USAGE_SCHEMA,
    Row,
    feed_file,
    make_row,
    nodes_frame,
    people_frame,
    write_feed,
)

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
MICRO, MINUTE, HOUR, DAY = timedelta(microseconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Night:
    """Epochs rolled up one after the other in a folder; each remembers the ids that it counted."""

    def __init__(self, folder: Path, people: pl.DataFrame | None = None, nodes: pl.DataFrame | None = None) -> None:
        self.folder, self.counted = folder, list[Path]()
        self.people = add_wallets(people_frame() if people is None else people, ())
        self.nodes = nodes_frame() if nodes is None else nodes
        self.beats: Sequence[FeedFile] = [
            write_feed(folder / "heartbeats", "2026-01-07", [], "parquet", HEARTBEAT_SCHEMA)
        ]

    def engine(self, threads: int) -> Engine:
        return DuckDBEngine(self.folder / "scratch", threads=threads)

    def run(self, files: Sequence[FeedFile], epoch: int = 0, threads: int = 1) -> RollUp:
        found = self.engine(threads).roll_up(
            files, self.beats, self.people, self.nodes, self.counted[-3:], CALENDAR.epoch(epoch), POLICY
        )
        self.counted.append(found.counted_ids.rename(self.folder / f"counted-{len(self.counted)}.parquet"))
        return replace(found, counted_ids=self.counted[-1])


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


def feed(night: Night, *rows: Row, day: str = "2026-01-07") -> list[FeedFile]:
    return [write_feed(night.folder / "usage_records", day, rows, "parquet", USAGE_SCHEMA)]


def classes(found: RollUp) -> Counter[str]:
    """Rows by class or reason."""
    counts = found.counts
    return +Counter(
        {**counts.quarantined, **counts.not_earning, "repeated": counts.repeated, "earning": counts.earning}
    )


def count_ids(found: RollUp) -> int:
    return pl.read_parquet(found.counted_ids)["id"].n_unique()


# One row, one rule


BAD: list[tuple[dict[str, Any], str, str, str | None]] = [
    ({"started_at": None, "ingested_at": NOON}, "bad_type", "started_at", None),
    ({"ingested_at": NOON - 5 * MINUTE - MICRO}, "in_the_future", "started_at", "2026-01-07T12:00:00.000000Z"),
    (
        {"started_at": NOON - 48 * HOUR, "ingested_at": NOON + MICRO},
        "too_late",
        "ingested_at",
        "2026-01-07T12:00:00.000001Z",
    ),
    ({"request_id": None}, "missing_value", "request_id", None),
    ({"request_id": ""}, "missing_value", "request_id", None),
    ({"user_id": None}, "missing_value", "user_id", None),
    ({"model": ""}, "missing_value", "model", None),
    ({"latency_ms": None}, "missing_value", "latency_ms", None),
    ({"fee_cxpt": None}, "missing_value", "fee_cxpt", None),
    ({"endpoint": "/video"}, "unknown_endpoint", "endpoint", "/video"),
    ({"endpoint": "/TTS"}, "unknown_endpoint", "endpoint", "/TTS"),
    ({"service_tier": "abyss"}, "unknown_tier", "service_tier", "abyss"),
    ({"provision_id": "p9"}, "unknown_provision", "provision_id", "p9"),
    ({"provision_id": "orphan"}, "unknown_provision", "provision_id", "orphan"),
    ({"user_id": "prov"}, "wrong_kind", "user_id", "prov"),
    ({"provision_id": "users"}, "wrong_kind", "provision_id", "users"),
    (
        {"provision_id": "young", "started_at": NOON - MICRO},
        "not_registered",
        "started_at",
        "2026-01-07T11:59:59.999999Z",
    ),
    ({"latency_ms": -1}, "impossible_value", "latency_ms", "-1"),
    ({"latency_ms": 3_600_001}, "impossible_value", "latency_ms", "3600001"),
    ({"input_tokens": -1}, "impossible_value", "input_tokens", "-1"),
    ({"output_tokens": -(2**63)}, "impossible_value", "output_tokens", str(-(2**63))),
    ({"status_code": 99}, "impossible_value", "status_code", "99"),
    ({"status_code": 600}, "impossible_value", "status_code", "600"),
    ({"fee_cxpt": Decimal("-0.00000001")}, "impossible_value", "fee_cxpt", "-0.00000001"),
    ({"fee_cxpt": Decimal("1000000000.00000001")}, "impossible_value", "fee_cxpt", "1000000000.00000001"),
    # The first rule of the page names the row
    ({"started_at": None, "ingested_at": NOON, "model": "", "status_code": 0}, "bad_type", "started_at", None),
    ({"model": "", "endpoint": "/video"}, "missing_value", "model", None),
    ({"endpoint": "/video", "service_tier": "abyss"}, "unknown_endpoint", "endpoint", "/video"),
    ({"service_tier": "abyss", "provision_id": "p9"}, "unknown_tier", "service_tier", "abyss"),
    ({"provision_id": "orphan", "user_id": "prov"}, "unknown_provision", "provision_id", "orphan"),
    ({"provision_id": "young", "user_id": "prov", "started_at": NOON - HOUR}, "wrong_kind", "user_id", "prov"),
    (
        {"provision_id": "young", "started_at": NOON - HOUR, "latency_ms": -1},
        "not_registered",
        "started_at",
        "2026-01-07T11:00:00.000000Z",
    ),
    ({"latency_ms": -1, "status_code": 404}, "impossible_value", "latency_ms", "-1"),
]


@pytest.fixture(scope="module")
def bad_night(tmp_path_factory: pytest.TempPathFactory) -> RollUp:
    """All rows of `BAD` in one epoch, each under an id of its own unless the id is what is wrong with it."""
    night = Night(tmp_path_factory.mktemp("bad"))
    return night.run(
        feed(night, *[make_row(**{"request_id": f"bad{i}"} | changes) for i, (changes, *_) in enumerate(BAD)])
    )


@pytest.mark.parametrize("case", range(len(BAD)), ids=[f"{reason}-{column}" for _, reason, column, _ in BAD])
def test_a_bad_row_is_quarantined_with_reason_column_and_value(bad_night: RollUp, case: int) -> None:
    changes, reason, column, value = BAD[case]
    request_id = changes.get("request_id", f"bad{case}")
    (row,) = bad_night.quarantine.filter(pl.col("request_id").eq_missing(request_id)).iter_rows(named=True)
    assert (row["reason"], row["column"], row["value"]) == (reason, column, value)
    (noted,) = bad_night.bad_rows.filter(pl.col("row") == case).rows()
    assert noted[1:] == (case, request_id, reason, column)


def test_bad_rows_count_for_nothing_else(bad_night: RollUp) -> None:
    QUARANTINE.check(bad_night.quarantine)
    assert classes(bad_night) == Counter(reason for _, reason, *_ in BAD)
    assert bad_night.counts.rows == len(BAD)
    assert bad_night.rollup.filter(~pl.col("part").str.ends_with("_not_counted")).is_empty()
    assert count_ids(bad_night) == 0


def test_a_quarantined_row_keeps_its_content(night: Night) -> None:
    (row,) = night.run(feed(night, make_row(model="=1+1\u202e", latency_ms=-7))).quarantine.iter_rows(named=True)
    assert row == {
        "request_id": "r",
        "started_at": "2026-01-07T12:00:00.000000Z",
        "user_id": "user",
        "provision_id": "p1",
        "endpoint": "/chat/completions",
        "model": "=1+1\u202e",
        "service_tier": "blue_surge",
        "latency_ms": "-7",
        "input_tokens": "10",
        "output_tokens": "5",
        "status_code": "200",
        "fee_cxpt": "0.00001500",
        "ingested_at": "2026-01-07T12:00:02.000000Z",
        "reason": "impossible_value",
        "column": "latency_ms",
        "value": "-7",
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "earning"),
        ({"ingested_at": NOON - 5 * MINUTE}, "earning"),
        ({"started_at": GENESIS - 24 * HOUR, "ingested_at": GENESIS + 24 * HOUR}, "earning"),
        ({"provision_id": "young", "started_at": NOON}, "earning"),
        ({"user_id": "stranger"}, "earning"),
        ({"latency_ms": 0, "input_tokens": 0, "output_tokens": 2**63 - 1, "fee_cxpt": Decimal(0)}, "earning"),
        ({"latency_ms": 3_600_000, "fee_cxpt": Decimal(10**9)}, "earning"),
        *(({"fee_cxpt": Decimal(fee)}, "earning") for fee in ("99.99999999", "100", "100.00000001")),
        ({"service_tier": "tide_pool"}, "earning"),
        ({"status_code": 100}, "status"),
        ({"status_code": 201}, "status"),
        ({"status_code": 599, "user_id": "twin"}, "status"),
        ({"user_id": "twin"}, "one_person"),
        ({"provision_id": "p2", "user_id": "left"}, "suspended"),
        ({"provision_id": "p2", "user_id": "left", "started_at": GENESIS + 6 * HOUR - MICRO}, "earning"),
        ({"provision_id": "p2"}, "earning"),
        ({"user_id": "left"}, "earning"),
    ],
)
def test_sound_rows_earn_or_do_not(night: Night, changes: dict[str, Any], reason: str) -> None:
    row = make_row(**changes)
    found = night.run(feed(night, row))
    assert classes(found) == {reason: 1}
    tiers = {node[0]: node[2] for node in NODES}
    assert found.counts.tier_mismatch == (reason == "earning" and row["service_tier"] != tiers[row["provision_id"]])
    assert found.quarantine.is_empty() and count_ids(found) == 1


def test_each_side_earns_unless_it_is_suspended(night: Night) -> None:
    rows = [
        make_row(request_id="a", provision_id="p2"),
        make_row(request_id="b", user_id="left"),
        make_row(request_id="c", user_id="stranger"),
    ]
    found = night.run(feed(night, *rows))
    sides = [
        (part, subject, reason)
        for part, subject, reason in found.rollup.select("part", "subject_id", "reason").iter_rows()
        if part != "latency"
    ]
    assert sorted(sides) == [
        ("provision", "p1", ""),
        ("provision_not_counted", "p2", "suspended"),
        ("user", "stranger", ""),
        ("user", "user", ""),
        ("user_not_counted", "left", "suspended"),
    ]


# Weight, hours, buckets


@pytest.mark.parametrize(
    ("fee_e8", "weight", "buckets"),
    [(0, 0, []), (1, 3, []), (2999, 9996, []), (3000, 10_000, [4]), (3001, 10_000, [4]), (MAX_FEE_E8, 10_000, [4])],
)
def test_points_follow_money_up_to_the_reference_fee(
    night: Night, fee_e8: int, weight: int, buckets: list[int]
) -> None:
    found = night.run(feed(night, make_row(latency_ms=501, fee_cxpt=Decimal(fee_e8).scaleb(-8))))
    (provision,) = found.rollup.filter(pl.col("part") == "provision").iter_rows(named=True)
    assert (provision["slot"], provision["requests"], provision["weight"], int(provision["fee_e8"])) == (
        12,
        1,
        weight,
        fee_e8,
    )
    assert found.rollup.filter(pl.col("part") == "latency")["slot"].to_list() == buckets
    assert found.counts.earning_fee_e8 == fee_e8


def test_the_provisions_tier_counts(night: Night) -> None:
    found = night.run(
        feed(night, make_row(provision_id="young", service_tier="tide_pool", fee_cxpt=Decimal("0.00003500")))
    )
    assert found.rollup.filter(pl.col("part") == "provision")["weight"].to_list() == [5000]


def test_buckets_are_open_below_and_closed_above(night: Night) -> None:
    edges = (0, 100, 101, 200, 300_000, 300_001, 3_600_000)
    rows = [make_row(request_id=f"r{latency}", latency_ms=latency, fee_cxpt=Decimal(1)) for latency in edges]
    found = night.run(feed(night, *rows)).rollup.filter(pl.col("part") == "latency")
    assert dict(found.select("slot", "requests").iter_rows()) == {0: 2, 1: 2, 15: 1, 16: 2}


# Which epoch counts a row


PLACED: list[tuple[datetime | None, datetime, int, bool]] = [
    (GENESIS, GENESIS, 0, False),
    (GENESIS + DAY - MICRO, GENESIS + DAY, 0, False),
    (GENESIS + DAY, GENESIS + DAY, 1, False),
    (GENESIS + DAY, GENESIS + DAY - 5 * MINUTE, 1, False),
    (GENESIS + DAY - MICRO, GENESIS + DAY + 30 * MINUTE - MICRO, 0, False),
    (GENESIS + DAY - MICRO, GENESIS + DAY + 30 * MINUTE, 1, True),
    (GENESIS - MICRO, GENESIS + 30 * MINUTE, 0, True),
    (GENESIS + HOUR, GENESIS + 49 * HOUR, 2, True),
    # Rows that cannot be placed by their start go by their arrival
    (None, GENESIS + DAY + 30 * MINUTE - MICRO, 0, False),
    (None, GENESIS + DAY + 30 * MINUTE, 1, False),
    (GENESIS + 9 * DAY, GENESIS + DAY + 30 * MINUTE - MICRO, 0, False),
    (GENESIS + DAY, GENESIS + DAY - 5 * MINUTE - MICRO, 0, False),
]


def test_a_row_is_counted_in_one_epoch(night: Night) -> None:
    rows = [
        make_row(request_id=f"r{i}", user_id=f"r{i}", started_at=started, ingested_at=ingested)
        for i, (started, ingested, *_) in enumerate(PLACED)
    ]
    files, placed = feed(night, *rows), []
    for epoch in range(4):
        found = night.run(files, epoch)
        users = found.rollup.filter(pl.col("part") == "user").select("subject_id", "slot")
        placed += [(int(name[1:]), epoch, slot == -1) for name, slot in users.iter_rows()]
        placed += [(int(name[1:]), epoch, False) for name in found.quarantine["request_id"]]
        assert found.counts.late == sum(late for *_, at, late in PLACED if at == epoch)
    assert sorted(placed) == [(i, epoch, late) for i, (*_, epoch, late) in enumerate(PLACED)]


def test_late_rows_have_a_slot_of_their_own_and_no_latency(night: Night) -> None:
    found = night.run(feed(night, make_row(started_at=GENESIS - HOUR, ingested_at=NOON, fee_cxpt=Decimal(1))))
    rows = found.rollup.select("part", "slot", "weight").rows()
    assert rows == [("provision", -1, 10_000), ("user", -1, 0)]


@pytest.mark.parametrize("absent", [True, False])
def test_without_arrival_a_row_arrives_at_the_end_of_its_files_day(night: Night, absent: bool) -> None:
    schema = {name: kind for name, kind in USAGE_SCHEMA.items() if not (absent and name == "ingested_at")}
    rows = [make_row(request_id=f"r{i}", started_at=GENESIS + i * DAY + HOUR, ingested_at=None) for i in range(3)]
    rows.append(make_row(request_id="far", started_at=GENESIS + 2 * DAY + 5 * MINUTE + MICRO, ingested_at=None))
    files = [write_feed(night.folder / "usage_records", "2026-01-08", rows, "parquet", schema)]
    # Arrival 2026-01-09T00:00, less the grace: r0 is late in epoch 1, r1 is in time, r2 and far are from the future
    first, second, third = (night.run(files, number) for number in range(3))
    assert (first.counts.rows, third.counts.rows) == (0, 0)
    assert classes(second) == {"earning": 2, "in_the_future": 2} and second.counts.late == 1


# Repeats and conflicts


def test_equal_rows_are_repeats_and_the_earliest_stays(night: Night) -> None:
    rows = [make_row(ingested_at=NOON + timedelta(seconds=s)) for s in (9, 3, 5)] + [make_row(request_id="other")]
    found = night.run(feed(night, *rows))
    assert classes(found) == {"earning": 2, "repeated": 2}
    assert found.counts.earning_fee_e8 == 3000


def test_other_content_under_one_id_is_a_conflict_for_all(night: Night) -> None:
    rows = [make_row(), make_row(), make_row(fee_cxpt=Decimal(1)), make_row(request_id="other")]
    found = night.run(feed(night, *rows))
    assert classes(found) == {"earning": 1, "conflicting_repeat": 3}
    assert found.quarantine["column"].unique().to_list() == ["request_id"]


def test_rows_without_an_id_are_never_repeats(night: Night) -> None:
    assert classes(night.run(feed(night, *[make_row(request_id=name) for name in (None, None, "", "")]))) == {
        "missing_value": 4
    }


def test_a_repeat_of_a_bad_row_is_a_repeat(night: Night) -> None:
    rows = [make_row(latency_ms=-1, ingested_at=NOON + timedelta(seconds=s)) for s in (9, 3, 5)]
    found = night.run(feed(night, *rows))
    assert classes(found) == {"impossible_value": 1, "repeated": 2}
    assert found.quarantine["ingested_at"].to_list() == ["2026-01-07T12:00:03.000000Z"]
    assert count_ids(found) == 1


@pytest.mark.parametrize("micros", [2**63 - 1, -(2**63), 253_402_300_800_000_000])
def test_a_time_outside_the_calendar_is_shown_as_its_number(night: Night, micros: int) -> None:
    (file,) = feed(night, make_row())
    moment = pl.Series([micros]).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    pl.read_parquet(file.path).with_columns(started_at=moment).write_parquet(file.path)
    (row,) = night.run([file]).quarantine.iter_rows(named=True)
    shown = "infinity" if micros == 2**63 - 1 else f"{micros} microseconds since 1970"
    assert (row["reason"], row["column"], row["value"], row["started_at"]) == ("bad_type", "started_at", shown, shown)


def test_rows_named_by_their_times_do_not_take_part_in_repeats(night: Night) -> None:
    future = make_row(ingested_at=NOON - HOUR)
    assert classes(night.run(feed(night, future, future, make_row(started_at=None, ingested_at=NOON), make_row()))) == {
        "in_the_future": 2,
        "bad_type": 1,
        "earning": 1,
    }


def test_an_id_stays_taken_for_three_epochs(night: Night) -> None:
    again = [make_row(ingested_at=NOON + i * DAY) for i in (0, 1)]
    changed = make_row(fee_cxpt=Decimal(1), ingested_at=NOON + DAY + HOUR)
    files = feed(night, *again, changed, make_row(started_at=NOON + 3 * DAY), make_row(started_at=NOON + 4 * DAY))
    found = [classes(night.run(files, number)) for number in range(5)]
    # Epoch 1 has the id with two contents: both are conflicts. Epoch 3 still knows epoch 0, epoch 4 does not.
    assert found == [{"earning": 1}, {"conflicting_repeat": 2}, {}, {"conflicting_repeat": 1}, {"earning": 1}]


def test_a_repeat_of_the_epoch_before_is_a_repeat_and_a_bad_row_occupies_no_id(night: Night) -> None:
    files = feed(
        night,
        make_row(),
        make_row(ingested_at=NOON + DAY),
        make_row(ingested_at=NOON + DAY + HOUR),
        make_row(request_id="bad", latency_ms=-1),
        make_row(request_id="bad", latency_ms=5, ingested_at=NOON + DAY),
        make_row(request_id="unpaid", status_code=500),
        make_row(request_id="unpaid", ingested_at=NOON + DAY),
    )
    assert classes(night.run(files, 0)) == {"earning": 1, "impossible_value": 1, "status": 1}
    found = night.run(files, 1)
    assert classes(found) == {"repeated": 2, "earning": 1, "conflicting_repeat": 1} and found.counts.late == 4


# Heartbeats


def test_heartbeats_count_once_a_time_while_registered(night: Night) -> None:
    beats = [
        ("p1", NOON, True),
        ("p1", NOON, True),
        ("p1", NOON + MINUTE, True),
        ("p1", NOON + MINUTE, False),
        ("p1", NOON + 2 * MINUTE, None),
        ("p1", GENESIS - MICRO, True),
        ("p1", GENESIS + DAY, True),
        ("p1", GENESIS, True),
        ("young", NOON - MICRO, True),
        ("young", NOON, True),
        ("ghost", NOON, True),
        ("p1", None, True),
        (None, NOON, True),
    ]
    rows: list[Row] = [dict(zip(HEARTBEAT_SCHEMA, beat, strict=True)) for beat in beats]
    night.beats = [write_feed(night.folder / "beats", "2026-01-07", rows, "parquet", HEARTBEAT_SCHEMA)]
    found = night.run(feed(night, make_row()))
    assert HEARTBEATS_ROLLUP.check(found.heartbeats).rows() == [("p1", 4, 2), ("young", 1, 1)]
    assert found.odd_heartbeats == {"not readable": 2, "unknown provision": 1}
    assert found.heartbeat_coverage.hours == {0, 11, 12}


# Formats, order, split, threads


def draw_rows(rng: Random, number: int) -> list[Row]:
    """Rows of three days with every fault that a typed file can hold; few ids, so that they repeat and conflict."""
    spoil: list[Callable[[Row], Row]] = [
        lambda row: row | {"started_at": None},
        lambda row: row | {"started_at": row["ingested_at"] + 5 * MINUTE + rng.choice((-MICRO, MICRO * 0, MICRO))},
        lambda row: row | {"started_at": row["ingested_at"] - 48 * HOUR + rng.choice((-MICRO, MICRO * 0, MICRO))},
        lambda row: row | {rng.choice(list(USAGE_COLUMNS)[:-1]): None},
        lambda row: row | {"endpoint": "/video"},
        lambda row: row | {"service_tier": rng.choice(("abyss", *TIERS))},
        lambda row: row | {"provision_id": rng.choice(("p9", *(node[0] for node in NODES)))},
        lambda row: row | {"user_id": rng.choice(("prov", "twin", "left", "stranger"))},
        lambda row: row | {"latency_ms": rng.choice((-1, 3_600_000, 3_600_001))},
        lambda row: row | {"input_tokens": rng.choice((-1, 0)), "output_tokens": rng.choice((-1, 0))},
        lambda row: row | {"status_code": rng.choice((99, 100, 404, 599, 600))},
        lambda row: (
            row
            | {
                "fee_cxpt": rng.choice(
                    [
                        Decimal(fee)
                        for fee in ("-0.00000001", "0", "99.99999999", "100", "1000000000", "1000000000.00000001")
                    ]
                )
            }
        ),
        lambda row: row | {"ingested_at": row["started_at"] + rng.choice((0, 1, 30, 47)) * HOUR},
        lambda row: row | {"ingested_at": None},
    ]
    rows: list[Row] = []
    for _ in range(number):
        hours = rng.choice((rng.uniform(0, 72), 24, 48))
        edge = rng.choice((0, 0, -1, 30 * 60_000_000, 30 * 60_000_000 - 1))
        started = GENESIS + timedelta(microseconds=int(hours * 3600) * 1_000_000 + edge)
        row = make_row(
            request_id=f"r{rng.randrange(number)}",
            started_at=started,
            provision_id=rng.choice(("p1", "p1", "p2", "young")),
            endpoint=rng.choice(ENDPOINTS),
            latency_ms=rng.choice((90, 100, 101, 5000)),
            fee_cxpt=Decimal(rng.choice((0, 7, 2999, 3000, 50_000))).scaleb(-8),
        )
        again = [old for old in rows if old["started_at"] and old["ingested_at"]]
        if again and rng.random() < 0.25:
            row = rng.choice(again)
            row = row | {"ingested_at": row["ingested_at"] + rng.choice((0, 1, 10, 24)) * HOUR}
        elif rng.random() < 0.5:
            row = rng.choice(spoil)(row)
        rows.append(row)
    return rows


def write_days(folder: Path, rows: Sequence[Row], suffix: str) -> list[FeedFile]:
    """Rows in files by their day of arrival; those without one lie in the file of their start."""
    by_day: dict[str, list[Row]] = {}
    for row in rows:
        moment = row["ingested_at"] or row["started_at"] or NOON
        by_day.setdefault(f"{moment:%Y-%m-%d}", []).append(row)
    return [write_feed(folder, day, kept, suffix, USAGE_SCHEMA) for day, kept in sorted(by_day.items())]


def results(found: RollUp) -> tuple[list[Any], ...]:
    return (
        found.rollup.rows(),
        found.quarantine.rows(),
        [found.counts.to_json()],
        sorted(pl.read_parquet(found.counted_ids).rows()),
    )


def compare_with_oracle(found: RollUp, count: EpochCount) -> None:
    counts = found.counts
    assert counts.rows == count.counted
    assert (counts.earning, counts.repeated, counts.late) == (count.earning, count.repeated, count.late)
    assert counts.not_earning == {reason: n for reason, n in count.not_earning.items() if n}
    assert counts.quarantined == {reason: n for reason, n in count.quarantined.items() if n}
    assert (counts.tier_mismatch, counts.earning_fee_e8) == (count.tier_mismatches, count.earning_fee_e8)
    assert Counter(QUARANTINE.check(found.quarantine)["reason"].to_list()) == +Counter(counts.quarantined)
    lines = {tuple(key): (requests, weight, int(fee)) for *key, requests, weight, fee in found.rollup.rows()}
    assert lines == count.rollup
    late = pl.col("slot") == -1
    rollup = (
        ROLLUP.check(found.rollup)
        .group_by("part", "subject_id", late=late)
        .agg(pl.col("weight").sum(), pl.col("fee_e8").sum())
    )
    sums = {(part, subject, is_late): (weight, int(fee)) for part, subject, is_late, weight, fee in rollup.iter_rows()}
    for name, provision in count.provisions.items():
        assert sums.get(("provision", name, False), (0, 0)) == (provision.weight, provision.fee_e8)
        assert sums.get(("provision", name, True), (0, 0)) == (provision.late_weight, provision.late_fee_e8)
    for name, user in count.users.items():
        assert sums.get(("user", name, False), (0, 0)) == (0, user.fee_e8)
        assert sums.get(("user", name, True), (0, 0)) == (0, user.late_fee_e8)
    named = {(part, subject) for part, subject, _ in sums}
    assert {subject for part, subject in named if part == "provision"} == set(count.provisions)
    assert {subject for part, subject in named if part == "user"} == set(count.users)


@given(st.integers(0, 2**32), st.integers(1, 150))
@settings(max_examples=10)
def test_dirty_worlds_are_counted_as_the_oracle_counts(seed: int, number: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = write_days(folder / "usage_records", draw_rows(Random(seed), number), "parquet")
        people_frame().write_parquet(folder / "accounts.parquet")
        nodes_frame().write_parquet(folder / "provisions.parquet")
        expected, night = count_rows(folder), Night(folder)
        assert set(expected) <= set(range(6))
        for epoch in range(max(expected, default=0) + 1):
            compare_with_oracle(night.run(files, epoch), expected.get(epoch, EpochCount()))


def test_the_dirty_worlds_reach_every_class(tmp_path: Path) -> None:
    met: Counter[str] = Counter()
    for seed in range(2):
        night = Night(tmp_path / str(seed))
        files = write_days(night.folder / "usage_records", draw_rows(Random(seed), 400), "parquet")
        for epoch in range(4):
            met += classes(night.run(files, epoch))
    assert set(met) == {"earning", "repeated", "status", "one_person", "suspended", *QUARANTINE_REASONS}


@given(st.integers(0, 2**32))
@settings(max_examples=3)
def test_every_format_order_split_and_thread_count_gives_the_same(seed: int) -> None:
    rng = Random(seed)
    rows = draw_rows(rng, 120)
    with TemporaryDirectory() as name:
        folder = Path(name)
        nights = {suffix: Night(folder / suffix) for suffix in ("parquet", "csv", "ndjson", "shuffled")}
        files = {suffix: write_days(folder / suffix / "usage", rows, suffix) for suffix in ("parquet", "csv", "ndjson")}
        usage = folder / "shuffled" / "usage"
        shuffled = []
        for file in files["parquet"]:
            kept = rng.sample(part := pl.read_parquet(file.path).to_dicts(), len(part))
            half = rng.randrange(len(kept) + 1)
            for i, rest in enumerate((kept[:half], kept[half:])):
                shuffled.append(
                    write_feed(
                        usage, f"{file.path.stem}-{i}", rest, rng.choice(("parquet", "csv", "ndjson")), USAGE_SCHEMA
                    )
                )
        files["shuffled"] = [file for file in rng.sample(shuffled, len(shuffled)) if file.path.stat().st_size]
        found = {
            name: results(night.run(files[name], 1, threads=1 + (name == "shuffled"))) for name, night in nights.items()
        }
        for name in ("csv", "ndjson", "shuffled"):
            assert found[name] == found["parquet"], name


def test_a_row_that_no_epoch_holds_is_no_crash(night: Night) -> None:
    """Times at the ends of the calendar are placed, not overflown."""
    rows = [
        make_row(started_at=NOON, ingested_at=datetime(9999, 12, 31, tzinfo=UTC)),
        make_row(started_at=datetime(1, 1, 1, tzinfo=UTC)),
    ]
    rows += [make_row(started_at=datetime(9999, 12, 31, 23, tzinfo=UTC), ingested_at=datetime(1, 1, 1, tzinfo=UTC))]
    assert night.run(feed(night, *rows)).counts.rows == 0
    again = make_row(started_at=datetime(1, 1, 1, tzinfo=UTC), ingested_at=NOON)
    assert classes(night.run(feed(night, again))) == {"too_late": 1}


# Errors


def test_the_file_at_fault_is_named_among_several(night: Night) -> None:
    good = write_feed(night.folder / "usage", "2026-01-07", [make_row()], "csv", USAGE_SCHEMA)
    torn = night.folder / "usage" / "2026-01-08.csv"
    torn.write_text(good.path.read_text() + "short,row\n")
    with pytest.raises(InputError, match=r"2026-01-08\.csv cannot be read as csv: .*Line: 3") as refused:
        night.run([good, feed_file(torn)])
    assert "\n" not in str(refused.value)
    beats = night.folder / "2026-01-08.csv"
    beats.write_text("provision_id,probed_at,ok\np1\n")
    night.beats = [*night.beats, feed_file(beats)]
    with pytest.raises(InputError, match=r"2026-01-08\.csv cannot be read as csv"):
        night.run([good])


@pytest.mark.parametrize("which", ["usage", "heartbeats"])
def test_no_file_at_all_is_refused(night: Night, which: str) -> None:
    files = feed(night, make_row())
    if which == "heartbeats":
        night.beats = []
    with pytest.raises(InputError, match=f"epoch 0: no file of {which}"):
        night.run(files if which == "heartbeats" else [])


def test_too_little_memory_is_a_limit_with_its_name(night: Night) -> None:
    engine = DuckDBEngine(night.folder / "scratch", memory="1MB", threads=1)
    rows = [make_row(request_id=f"r{i}", model="m" * 200) for i in range(20_000)]
    with pytest.raises(LimitError, match="memory 1MB; raise it") as refused:
        engine.roll_up(feed(night, *rows), night.beats, night.people, night.nodes, [], CALENDAR.epoch(0), POLICY)
    assert "\n" not in str(refused.value)


def test_too_little_disk_for_spilling_is_a_limit_with_its_name(night: Night) -> None:
    # All rows are quarantined, so that whole rows are kept.
    day = pl.DataFrame([make_row(latency_ms=-1, model="m" * 900)], schema=dict(USAGE_SCHEMA))
    rows = day.select(pl.all().repeat_by(200_000).explode())
    rows = rows.with_columns(request_id=pl.concat_str(pl.int_range(pl.len()).cast(pl.String), pl.lit("r")))
    path = night.folder / "usage_records" / "2026-01-07.parquet"
    path.parent.mkdir()
    rows.write_parquet(path)
    engine = DuckDBEngine(night.folder / "scratch", memory="200MB", threads=1, spill="1MB")
    with pytest.raises(LimitError, match="more than memory 200MB and spill 1MB; raise memory, or give it more disk"):
        engine.roll_up([feed_file(path)], night.beats, night.people, night.nodes, [], CALENDAR.epoch(0), POLICY)


def test_a_full_disk_is_no_fault_of_the_input(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(database: object, sql: str) -> Path:
        raise duckdb.IOException("Could not write file: No space left on device")

    monkeypatch.setattr(duckdb_engine._Database, "write_counted", write)
    with pytest.raises(StorageError, match="scratch is full; make room"):
        night.run(feed(night, make_row()))


def test_a_quarantine_that_memory_does_not_hold_is_refused_by_what_is_in_it(night: Night) -> None:
    file = write_same_text(night, "m" * 900, 60_000)
    rows = pl.read_parquet(file.path).with_columns(latency_ms=pl.lit(-1, pl.Int64))
    rows.with_columns(request_id=pl.format("r{}", pl.int_range(pl.len()))).write_parquet(file.path)
    told = r"60,000 of 60,000 rows are quarantined \(60,000 impossible_value\), about \d+,\d+,\d+ bytes where 50,000,000 are"
    with pytest.raises(LimitError, match=told):
        DuckDBEngine(night.folder / "scratch", memory="200MB", threads=1).roll_up(
            [file], night.beats, night.people, night.nodes, [], CALENDAR.epoch(0), POLICY
        )


def test_ids_that_occur_twice_are_found_range_by_range_and_where_one_is_crowded() -> None:
    numbers = np.random.default_rng(7).integers(0, 2**64, 900, dtype=np.uint64, endpoint=False)
    crowd = np.full(600, numbers[0])
    ids = np.concatenate(
        [numbers, numbers[:50], numbers[:25], crowd, np.array([0, 0, 2**64 - 1, 2**64 - 1], np.uint64)]
    )
    with duckdb.connect() as connection:
        database = duckdb_engine._Database(connection, Path("counted.parquet"), "1GB", room=32 * 100)
        database.load("r", pl.DataFrame({"id": ids}))
        database.create_doubled("doubled", "r", "TRUE")
        found = database.query("SELECT id FROM doubled")["id"].to_list()
    assert sorted(found) == sorted({0, 2**64 - 1, *numbers[:50].tolist()})


def test_a_text_too_long_is_quarantined_under_its_beginning(night: Night) -> None:
    rows = [make_row(request_id="long", model="m" * 100_000_000), make_row(request_id="fits", model="é" * 500)]
    rows += [make_row(request_id="just", model="é" * 500 + "m")]
    found = night.run(feed(night, *rows))
    assert classes(found) == {"bad_type": 2, "earning": 1}
    for row in found.quarantine.iter_rows(named=True):
        letter = "m" if row["request_id"] == "long" else "é"
        assert (row["column"], row["value"], row["model"]) == ("model", letter * 100 + "…", None)


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_a_text_too_long_is_quarantined_in_text_formats_too(night: Night, suffix: str) -> None:
    rows = [make_row(request_id="long", user_id="u" * 1001), make_row(request_id="fits", user_id="u" * 1000)]
    file = write_feed(night.folder / "usage_records", "2026-01-07", rows, suffix, USAGE_SCHEMA)
    found = night.run([file])
    assert classes(found) == {"bad_type": 1, "earning": 1}
    assert found.quarantine["value"].to_list() == ["u" * 100 + "…"]


def test_a_small_file_that_unpacks_to_much_is_refused_by_its_column(night: Night) -> None:
    texts = [f"{number}" + "m" * (1 << 20) for number in range(140)]
    (file,) = feed(night, *[make_row(request_id=f"r{i}", model=text) for i, text in enumerate(texts)])
    pl.read_parquet(file.path).write_parquet(file.path, compression="zstd")
    assert file.path.stat().st_size < 1 << 20
    with pytest.raises(
        InputError, match=r"2026-01-07\.parquet: column model unpacks to 1\d\d,\d\d\d,\d\d\d bytes for 140 values"
    ):
        night.run([file])


def write_same_text(night: Night, text: str, rows: int, **encoding: Any) -> FeedFile:
    """A file whose rows all tell one text, which it stores once."""
    (file,) = feed(night, make_row())
    day = pl.read_parquet(file.path).select(pl.all().exclude("model").repeat_by(rows).explode()).to_arrow()
    models = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), pyarrow.array([text]))
    if not encoding.get("use_dictionary", True):
        models = models.cast(pyarrow.string())
    pq.write_table(day.append_column("model", models), file.path, compression="zstd", **encoding)
    return file


def test_a_long_text_told_again_and_again_is_refused_by_its_column(night: Night) -> None:
    file = write_same_text(night, "m" * 1_000_000, 50_000)
    assert file.path.stat().st_size < 100_000
    assert "RLE_DICTIONARY" in str(pq.read_metadata(file.path).row_group(0).to_dict())
    with pytest.raises(InputError, match=r"column model unpacks to 50,000,000,000 bytes for 50,000 values"):
        night.run([file])


def test_a_long_text_told_by_its_difference_is_refused_by_its_column(night: Night) -> None:
    file = write_same_text(
        night, "m" * 1_000_000, 200, use_dictionary=False, column_encoding={"model": "DELTA_BYTE_ARRAY"}
    )
    assert pq.read_metadata(file.path).row_group(0).column(12).total_uncompressed_size < 2_000_000
    with pytest.raises(InputError, match=r"column model unpacks to 200,000,000 bytes for 200 values"):
        night.run([file])


def test_a_short_text_may_be_told_again_and_again(night: Night) -> None:
    found = night.run([write_same_text(night, "m" * 1000, 1000)])
    assert found.counts.earning + found.counts.repeated == 1000


# The shipped sample against a pandera model of clean rows

NOT_EMPTY = pa.Check.str_length(min_value=1)
CLEAN = pa.DataFrameSchema(
    {
        **{name: pa.Column(pl.String, NOT_EMPTY) for name, kind in USAGE_COLUMNS.items() if kind == "text"},
        "endpoint": pa.Column(pl.String, pa.Check.isin(list(ENDPOINTS))),
        "service_tier": pa.Column(pl.String, pa.Check.isin(list(TIERS))),
        "started_at": pa.Column(TIME),
        "ingested_at": pa.Column(TIME),
        "latency_ms": pa.Column(pl.Int64, pa.Check.in_range(0, POLICY.rows.max_latency_ms)),
        "input_tokens": pa.Column(pl.Int64, pa.Check.ge(0)),
        "output_tokens": pa.Column(pl.Int64, pa.Check.ge(0)),
        "status_code": pa.Column(pl.Int64, pa.Check.in_range(100, 599)),
        "fee_e8": pa.Column(MONEY, [pa.Check.ge(0), pa.Check.le(MAX_FEE_E8)]),
    },
    checks=[
        pa.Check(lambda data: data.lazyframe.select(pl.col("started_at") - pl.col("ingested_at") <= 5 * MINUTE)),
        pa.Check(lambda data: data.lazyframe.select(pl.col("ingested_at") - pl.col("started_at") <= 48 * HOUR)),
    ],
    strict=True,
)
ROW_LOCAL = {
    "bad_type",
    "in_the_future",
    "too_late",
    "missing_value",
    "unknown_endpoint",
    "unknown_tier",
    "impossible_value",
}


def read_sample(files: Sequence[FeedFile]) -> pl.DataFrame:
    """Every row of the sample, with file and row number; a missing arrival is the end of the file's day."""
    parts = []
    for file in files:
        frame = pl.read_parquet(file.path)
        end = pl.lit(GENESIS + timedelta(microseconds=file.day_end_us - to_micros(GENESIS)), TIME)
        arrival = pl.col("ingested_at").fill_null(end) if "ingested_at" in frame.columns else end
        fee = (pl.col("fee_cxpt").cast(pl.Decimal(38, 8)) * 10**8).cast(MONEY)
        wide = pl.col("latency_ms", "input_tokens", "output_tokens", "status_code").cast(pl.Int64)
        frame = frame.with_columns(
            wide, started_at=pl.col("started_at").cast(TIME), ingested_at=arrival.cast(TIME), fee_e8=fee
        ).drop("fee_cxpt")
        parts.append(frame.with_columns(file=pl.lit(str(file.path)), row=pl.int_range(frame.height, dtype=pl.Int64)))
    return pl.concat(parts, how="diagonal")


@pytest.mark.skipif(
    not (SAMPLE / "usage_records").is_dir(), reason="data/sample holds no usage; make it with data/generate_sample.py"
)
def test_the_sample_fits_a_model_of_clean_rows_and_the_bad_ones_do_not(tmp_path: Path) -> None:
    files = [feed_file(path) for path in sorted((SAMPLE / "usage_records").glob("*.parquet"))]
    rows = read_sample(files)
    night = Night(
        tmp_path, pl.read_parquet(SAMPLE / "accounts.parquet"), pl.read_parquet(SAMPLE / "provisions.parquet")
    )
    night.beats = [feed_file(path) for path in sorted((SAMPLE / "heartbeats").glob("*.parquet"))]
    counted, bad = 0, []
    expected = count_rows(SAMPLE)
    for epoch in range(3):
        found = night.run(files, epoch)
        compare_with_oracle(found, expected.get(epoch, EpochCount()))
        counted += found.counts.rows
        bad.append(found.bad_rows)
    assert counted == rows.height
    bad_rows = pl.concat(bad)
    assert set(bad_rows["reason"]) == set(QUARANTINE_REASONS)
    key = ["file", "row"]
    sound = rows.join(bad_rows.select(key), on=key, how="anti")
    # A repeat of a bad row has its content, and is a repeat all the same.
    clean = sound.join(bad_rows.select("request_id"), on="request_id", how="anti")
    assert CLEAN.validate(clean.drop(key)).height > 0.98 * rows.height
    assert sound.height - clean.height < 10
    local = rows.join(bad_rows.filter(pl.col("reason").is_in(ROW_LOCAL)).select(*key, "reason"), on=key)
    assert local.height > len(ROW_LOCAL)
    for i in range(local.height):
        with pytest.raises((pa.errors.SchemaError, pa.errors.SchemaErrors)):
            CLEAN.validate(local[i].drop(*key, "reason"))


def test_a_days_end_is_its_last_microsecond_plus_one(tmp_path: Path) -> None:
    file = write_feed(tmp_path, "2026-01-07", [], "parquet", USAGE_SCHEMA)
    assert file.day_end_us == to_micros(GENESIS) + DAY_US


def test_ids_are_found_among_the_counted_by_their_digests(night: Night) -> None:
    found = night.run(feed(night, make_row(), make_row(request_id="s"), make_row(request_id="bad", fee_cxpt=None)))
    counted = pl.read_parquet(found.counted_ids)
    for ids, held in ((["r", "other"], 1), (["s", "r", "r"], 2), (["bad"], 0), ([], 0)):
        digests = night.engine(1).digest_ids(pl.Series(ids, dtype=pl.String))
        assert digests.columns == ["id", "id_check"]
        assert counted.join(digests, on=["id", "id_check"], how="semi").height == held
