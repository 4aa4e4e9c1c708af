"""The oracle itself: each class by a row made for it, edges of time, repeats over epochs; and the shipped sample."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rewards.units import is_usable
from tests.oracle.rows import QUARANTINED, EpochCount, count_rows

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"
REAL = ROOT.parent / "shared" / "data" / "real"
START = datetime(2026, 1, 7, tzinfo=UTC)
NOON = START + timedelta(hours=12)
TIME = pl.Datetime("us", "UTC")
MICRO = timedelta(microseconds=1)
DAY = timedelta(days=1)

WALLET = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # from EIP-55
Schema = dict[str, pl.DataType | type[pl.DataType]]
SCHEMA: Schema = {
    "request_id": pl.String, "started_at": TIME, "user_id": pl.String, "provision_id": pl.String,
    "endpoint": pl.String, "model": pl.String, "service_tier": pl.String, "latency_ms": pl.Int64,
    "input_tokens": pl.Int64, "output_tokens": pl.Int64, "status_code": pl.Int16, "fee_cxpt": pl.Decimal(20, 8),
    "ingested_at": TIME,
}  # fmt: skip
ACCOUNTS = [
    ("prov", "provider", WALLET, None),
    ("gone", "provider", "0x" + "12" * 20, START + timedelta(hours=6)),
    ("user", "user", "0x" + "34" * 20, None),
    ("twin", "user", WALLET.lower(), None),
    ("zero", "user", "0x" + "00" * 20, None),
    ("left", "user", None, START - DAY),
]
PROVISIONS = [
    ("p1", "prov", "blue_surge", START - DAY, START + 20 * DAY),
    ("p2", "gone", "tide_pool", START - DAY, None),
    ("orphan", "nobody", "tide_pool", START - DAY, None),
    ("users", "user", "tide_pool", START - DAY, None),
]


def make_row(**changes: Any) -> dict[str, Any]:
    """A sound row at noon of epoch 0, with some columns replaced; it arrives two seconds after its start."""
    row: dict[str, Any] = {
        "request_id": "r", "started_at": NOON, "user_id": "user", "provision_id": "p1",
        "endpoint": "/chat/completions", "model": "m", "service_tier": "blue_surge", "latency_ms": 900,
        "input_tokens": 10, "output_tokens": 5, "status_code": 200, "fee_cxpt": Decimal("0.00001500"),
    } | changes  # fmt: skip
    if "ingested_at" not in row:
        row["ingested_at"] = row["started_at"] + timedelta(seconds=2)
    return row


def count(folder: Path, *rows: dict[str, Any], file: str = "2026-01-07") -> dict[int, EpochCount]:
    """Writes rows and the small network of this module as an input folder, and counts it."""
    (folder / "usage_records").mkdir()
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(folder / "usage_records" / f"{file}.parquet")
    account: Schema = {"account_id": pl.String, "kind": pl.String, "wallet_address": pl.String, "suspended_at": TIME}
    pl.DataFrame(ACCOUNTS, schema=account, orient="row").write_parquet(folder / "accounts.parquet")
    provision: Schema = {"provision_id": pl.String, "provider_id": pl.String, "service_tier": pl.String}
    provision |= {"registered_at": TIME, "retired_at": TIME}
    pl.DataFrame(PROVISIONS, schema=provision, orient="row").write_parquet(folder / "provisions.parquet")
    return count_rows(folder)


def classes(counted: EpochCount) -> dict[str, int]:
    return {name: number for name, number in counted.classes.items() if number}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"started_at": None, "ingested_at": NOON}, "bad_type"),
        ({"ingested_at": NOON - timedelta(minutes=5)}, "earning"),
        ({"ingested_at": NOON - timedelta(minutes=5) - MICRO}, "in_the_future"),
        ({"started_at": NOON - 2 * DAY, "ingested_at": NOON + MICRO}, "too_late"),
        ({"request_id": None}, "missing_value"),
        ({"request_id": ""}, "missing_value"),
        ({"model": ""}, "missing_value"),
        ({"latency_ms": None}, "missing_value"),
        ({"fee_cxpt": None}, "missing_value"),
        ({"ingested_at": None}, "earning"),
        ({"endpoint": "/video"}, "unknown_endpoint"),
        ({"service_tier": "abyss"}, "unknown_tier"),
        ({"provision_id": "p9"}, "unknown_provision"),
        ({"provision_id": "orphan"}, "unknown_provision"),
        ({"user_id": "prov"}, "wrong_kind"),
        ({"provision_id": "users"}, "wrong_kind"),
        ({"user_id": "nobody"}, "earning"),
        ({"started_at": START - DAY - MICRO, "ingested_at": NOON}, "not_registered"),
        ({"started_at": START - DAY, "ingested_at": NOON}, "earning"),
        ({"output_tokens": -1}, "impossible_value"),
        ({"input_tokens": -1}, "impossible_value"),
        ({"fee_cxpt": Decimal("-0.00000001")}, "impossible_value"),
        ({"fee_cxpt": Decimal("1000000000.00000001")}, "impossible_value"),
        ({"fee_cxpt": Decimal("1000000000")}, "earning"),
        ({"latency_ms": 3_600_001}, "impossible_value"),
        ({"latency_ms": 3_600_000}, "earning"),
        ({"latency_ms": -1}, "impossible_value"),
        ({"status_code": 99}, "impossible_value"),
        ({"status_code": 600}, "impossible_value"),
        ({"status_code": 599}, "status"),
        ({"user_id": "twin"}, "one_person"),
        ({"user_id": "twin", "status_code": 500}, "status"),
        ({"user_id": "zero"}, "earning"),
        ({"user_id": "left"}, "earning"),
        ({"user_id": "left", "provision_id": "p2"}, "suspended"),
        ({"endpoint": "/video", "service_tier": "abyss", "output_tokens": -1}, "unknown_endpoint"),
    ],
)
def test_a_row_has_the_first_class_that_applies(tmp_path: Path, changes: dict[str, Any], name: str) -> None:
    assert classes(count(tmp_path, make_row(**changes))[0]) == {name: 1}


def test_a_row_outside_its_provisions_life(tmp_path: Path) -> None:
    at_the_end = START + 20 * DAY
    counts = count(tmp_path, make_row(started_at=at_the_end), make_row(request_id="s", started_at=at_the_end - MICRO))
    assert classes(counts[20]) == {"not_registered": 1}
    assert classes(counts[19]) == {"earning": 1}


@pytest.mark.parametrize(
    ("started", "arrived", "epoch", "late"),
    [
        (NOON, START + DAY + timedelta(minutes=30) - MICRO, 0, 0),
        (NOON, START + DAY + timedelta(minutes=30), 1, 1),
        (START + DAY, START + DAY - timedelta(minutes=1), 1, 0),
        (START - MICRO, NOON, 0, 1),
        (NOON, NOON + 2 * DAY, 2, 1),
        (NOON + DAY, NOON, 0, 0),  # in the future: placed by arrival
        (None, START + DAY + timedelta(minutes=29), 0, 0),
        (None, START + DAY + timedelta(minutes=30), 1, 0),
    ],
)
def test_where_a_row_is_counted(
    tmp_path: Path, started: datetime | None, arrived: datetime, epoch: int, late: int
) -> None:
    counts = count(tmp_path, make_row(started_at=started, ingested_at=arrived))
    assert {number: (c.counted, c.late) for number, c in counts.items()} == {epoch: (1, late)}


def test_a_row_without_arrival_arrives_at_the_end_of_its_files_day(tmp_path: Path) -> None:
    early = make_row(request_id="early", started_at=START - DAY, ingested_at=None)
    counts = count(tmp_path, make_row(ingested_at=None), early, file="2026-01-08-b")
    assert classes(counts[1]) == {"earning": 1, "too_late": 1}
    assert counts[1].late == 2


def test_rows_before_genesis_belong_to_no_epoch(tmp_path: Path) -> None:
    assert count(tmp_path, make_row(started_at=START - DAY)) == {}


def test_repeats_and_conflicts_in_one_epoch(tmp_path: Path) -> None:
    twice = make_row()
    torn = make_row(request_id="torn")
    unknown = make_row(request_id="unknown", endpoint="/video")
    nameless = make_row(request_id=None)
    late_copy = make_row(ingested_at=NOON + timedelta(minutes=9))
    torn_rows = [torn, torn, torn | {"output_tokens": 6}]
    counted = count(tmp_path, late_copy, twice, *torn_rows, unknown, unknown, nameless, nameless)[0]
    assert classes(counted) == {
        "earning": 1, "repeated": 2, "conflicting_repeat": 3, "unknown_endpoint": 1, "missing_value": 2,
    }  # fmt: skip


@pytest.mark.parametrize(("changes", "name"), [({}, "repeated"), ({"output_tokens": 6}, "conflicting_repeat")])
def test_repeats_of_an_earlier_epoch(tmp_path: Path, changes: dict[str, Any], name: str) -> None:
    again = make_row(**changes, ingested_at=NOON + DAY)
    counts = count(tmp_path, make_row(), again, again)
    assert classes(counts[0]) == {"earning": 1}
    assert classes(counts[1]) == {name: 2}


def test_two_contents_in_an_epoch_conflict_even_when_one_was_counted_before(tmp_path: Path) -> None:
    again = make_row(ingested_at=NOON + DAY)
    counts = count(tmp_path, make_row(), again, again | {"output_tokens": 6})
    assert classes(counts[1]) == {"conflicting_repeat": 2}


def test_ids_are_remembered_for_three_epochs_and_repeats_renew_them(tmp_path: Path) -> None:
    def other(day: int) -> dict[str, Any]:
        return make_row(started_at=NOON + day * DAY)

    counts = count(tmp_path, make_row(), other(3), other(4), make_row(ingested_at=NOON + DAY))
    assert {number: classes(c) for number, c in counts.items()} == {
        0: {"earning": 1},
        1: {"repeated": 1},
        3: {"conflicting_repeat": 1},
        4: {"conflicting_repeat": 1},
    }


def test_an_id_is_free_after_three_epochs_or_when_only_quarantined(tmp_path: Path) -> None:
    counts = count(
        tmp_path,
        make_row(),
        make_row(started_at=NOON + 4 * DAY),
        make_row(request_id="bad", endpoint="/video"),
        make_row(request_id="bad", started_at=NOON + DAY),
    )
    assert classes(counts[0]) == {"earning": 1, "unknown_endpoint": 1}
    assert classes(counts[1]) == classes(counts[4]) == {"earning": 1}


def test_sums_go_to_the_sides_that_may_earn(tmp_path: Path) -> None:
    counted = count(
        tmp_path,
        make_row(),
        make_row(request_id="2", service_tier="tide_pool", fee_cxpt=Decimal("0.000009")),
        make_row(request_id="3", started_at=START - MICRO, ingested_at=NOON),
        make_row(request_id="4", user_id="left"),
        make_row(request_id="5", provision_id="p2", endpoint="/tts", service_tier="tide_pool"),
        make_row(request_id="6", status_code=500),
        make_row(request_id="7", fee_cxpt=Decimal("0.5")),
    )[0]
    assert counted.earning_fee_e8 == 50_000_000 + 900 + 4 * 1500
    assert counted.tier_mismatches == 1
    assert {key: vars(totals) for key, totals in counted.provisions.items()} == {
        "p1": {"weight": 5000 + 3000 + 5000 + 10_000, "fee_e8": 50_003_900, "late_weight": 5000, "late_fee_e8": 1500}
    }
    assert {key: vars(totals) for key, totals in counted.users.items()} == {
        "user": {"fee_e8": 50_003_900, "late_fee_e8": 1500}
    }


def assert_classes_add_up(counted: EpochCount) -> None:
    parts = [counted.earning, counted.repeated, *counted.not_earning.values(), *counted.quarantined.values()]
    assert counted.counted == sum(parts)


def test_the_sample_holds_every_kind_of_row_within_the_limits() -> None:
    counts = count_rows(SAMPLE)
    for number in (0, 1):
        counted = counts[number]
        assert_classes_add_up(counted)
        assert all(counted.quarantined[reason] for reason in QUARANTINED)
        assert all(counted.not_earning.values()) and counted.repeated and counted.late
        assert sum(counted.quarantined.values()) * 1000 < counted.counted * 8
        assert counted.late * 100 < counted.counted * 4


def test_the_samples_deposits_are_the_share_of_what_earning_rows_paid() -> None:
    counts = count_rows(SAMPLE)
    deposits = pl.read_parquet(SAMPLE / "deposits.parquet").with_columns(pl.col("deposited_at").dt.date())
    for number in (0, 1):
        rows = deposits.filter(deposited_at=(START + number * DAY).date())
        amounts = [[int(value) for value in row] for row in rows.select(pl.col("^.*amount$")).iter_rows()]
        assert sum(amount for amount, *_ in amounts) == counts[number].earning_fee_e8 * 10**10 * 200 // 10_000
        assert len(amounts) == 2
        for amount, protocol, provider, user in amounts:
            assert (provider, user) == (amount * 4 // 10, amount * 2 // 10)
            assert protocol == amount - provider - user


def test_the_samples_accounts_meet_the_rules_of_wallets_and_referrals() -> None:
    accounts = list(pl.read_parquet(SAMPLE / "accounts.parquet").iter_rows(named=True))
    by_id = {account["account_id"]: account for account in accounts}
    for kind, number in (("provider", 40), ("user", 300)):
        chosen = [account for account in accounts if account["kind"] == kind]
        assert len(chosen) == number
        wallets = [account["wallet_address"] for account in chosen]
        assert None in wallets
        assert any(wallet is not None and not is_usable(wallet) for wallet in wallets)
        assert any(account["suspended_at"] for account in chosen)
        assert max(count_levels(account, by_id) for account in chosen) >= 3
    usable = [a["wallet_address"] for a in accounts if a["kind"] == "user" and is_usable(a["wallet_address"])]
    assert len(set(usable)) < len(usable)


def count_levels(account: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> int:
    """How many referrers in a row stand above an account, each older than the one below and of its kind."""
    referrer = by_id.get(account["referred_by"])
    if referrer is None or referrer["created_at"] >= account["created_at"] or referrer["kind"] != account["kind"]:
        return 0
    return 1 + count_levels(referrer, by_id)


@pytest.mark.parametrize(("feed", "column"), [("usage_records", "started_at"), ("heartbeats", "probed_at")])
def test_every_hour_of_the_samples_days_is_in_both_feeds(feed: str, column: str) -> None:
    hours = pl.read_parquet(SAMPLE / feed / "*.parquet")[column].drop_nulls().dt.truncate("1h").to_list()
    assert {START + timedelta(hours=h) for h in range(48)} <= set(hours)
    arrivals = pl.read_parquet(SAMPLE / "usage_records" / "*.parquet")["ingested_at"].drop_nulls().to_list()
    assert max(arrivals) > START + 2 * DAY + timedelta(minutes=30)


def test_the_generator_writes_the_shipped_sample_and_the_same_bytes_again(tmp_path: Path) -> None:
    shipped = sorted(path.relative_to(SAMPLE) for path in SAMPLE.rglob("*.parquet"))
    for seed in ("1", "2"):
        command = [sys.executable, str(ROOT / "data" / "generate_sample.py"), "--out", str(tmp_path / seed)]
        environment = os.environ | {"PYTHONHASHSEED": seed, "POLARS_MAX_THREADS": seed, "TZ": "Asia/Tokyo"}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        assert sorted(path.relative_to(tmp_path / seed) for path in (tmp_path / seed).rglob("*.parquet")) == shipped
    for name in shipped:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
        assert pl.read_parquet(tmp_path / "1" / name).equals(pl.read_parquet(SAMPLE / name))


@pytest.mark.skipif(not REAL.is_dir(), reason="the four real days are not here: ../shared/data/real")
def test_every_real_row_is_counted_in_exactly_one_epoch() -> None:
    counts = count_rows(REAL)
    for counted in counts.values():
        assert_classes_add_up(counted)
    read = pl.scan_parquet(REAL / "usage_records").select(pl.len()).collect().item()
    assert sum(counted.counted for counted in counts.values()) == read
    files = {file.stem for file in (REAL / "usage_records").iterdir()}
    assert {str((START + number * DAY).date()) for number in (0, 1, 2, 3)} == files
