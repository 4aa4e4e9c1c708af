"""Small worlds for tests of the rules: accounts, provisions, roll-ups and state as reference values and as frames."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from rewards.epoch import DAY_US, Calendar, Epoch, from_micros, to_micros
from rewards.policy import TIERS, Policy, parse_policy
from rewards.ports import FeedFile
from rewards.reference import LATE, Account, Provision, Usage
from rewards.schemas import ACCOUNTS, CORRECTIONS, DEPOSITS, HEARTBEATS_ROLLUP, MONEY, PROVISIONS, ROLLUP, TIME
from rewards.units import Address

POLICY_FILE = Path(__file__).parents[1] / "data" / "policies" / "2025-06-14.toml"
POLICY = parse_policy(POLICY_FILE.read_bytes(), POLICY_FILE.name)
GENESIS = datetime(2026, 1, 7, tzinfo=UTC)
CALENDAR = Calendar.from_genesis(GENESIS)
ENDPOINTS = tuple(POLICY.endpoints)
WALLETS = tuple(Address("0x" + digit * 40) for digit in "123456")

Demand = dict[tuple[str, str, int], int]


def change(policy: Policy, **sections: Mapping[str, Any]) -> Policy:
    """The policy with some settings replaced, checked again."""
    content = policy.model_dump()
    for section, settings in sections.items():
        content[section].update(settings)
    return Policy.model_validate(content)


@dataclass
class World:
    """What an epoch's scores are made of, in the words of the reference; `demand` is a list of epochs, oldest first."""

    accounts: list[Account] = field(default_factory=list)
    provisions: list[Provision] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    heartbeats: dict[str, tuple[int, int]] = field(default_factory=dict)
    streaks: dict[str, int] = field(default_factory=dict)
    demand: list[Demand] = field(default_factory=list)

    def summed_demand(self) -> Demand:
        return add_demand(self.demand)


def add_demand(epochs: Iterable[Demand]) -> Demand:
    total: Demand = defaultdict(int)
    for epoch in epochs:
        for key, weight in epoch.items():
            total[key] += weight
    return dict(total)


def draw_number(rng: Random, digits: int) -> int:
    """A number of a random order of magnitude, 0 included."""
    return rng.randrange(10 ** rng.randrange(1, digits + 1))


def draw_accounts(rng: Random, number: int, epoch: Epoch) -> list[Account]:
    """Accounts whose links chain, cross, meet equal ages, other kinds and wallets, and end anywhere."""
    ages = (*(rng.randrange(400) * DAY_US for _ in range(number)), 180 * DAY_US, 180 * DAY_US - 1, -5)
    drawn: list[Account] = []
    for i in range(number):
        kind = "provider" if rng.random() < 0.5 else "user"
        created = epoch.start_us - rng.choice(ages)
        older = [a.account_id for a in drawn if a.kind == kind and a.created_us < created]
        anyone = [f"a{n}" for n in range(number)] + ["nobody"]
        choice = rng.random()
        referred = rng.choice(older) if older and choice < 0.75 else rng.choice(anyone) if choice < 0.9 else None
        suspended = rng.choice((None,) * 8 + (epoch.end_us - 1, epoch.end_us, epoch.start_us))
        wallet = rng.choice((None, *WALLETS))
        drawn.append(Account(f"a{i}", kind, wallet, suspended, referred, created))
    return drawn


def draw_provisions(rng: Random, accounts: Sequence[Account]) -> list[Provision]:
    owners = [a.account_id for a in accounts if a.kind == "provider"] or ["a0"]
    return [Provision(f"p{i}", rng.choice(owners), rng.choice(TIERS)) for i in range(rng.randrange(1, 6))]


def draw_usage(
    rng: Random, provisions: Sequence[Provision], accounts: Sequence[Account], digits: int = 9
) -> list[Usage]:
    """A roll-up: hours, late groups, latency buckets, users with and without an account, idle rows."""
    rows: dict[tuple[str, str, str, int], Usage] = {}

    def put(part: str, subject: str, endpoint: str, slot: int, requests: int, weight: int, fee: int) -> None:
        rows[part, subject, endpoint, slot] = Usage(part, subject, endpoint, slot, requests, weight, fee)

    for one in provisions:
        for endpoint in rng.sample(ENDPOINTS, rng.randrange(0, 4)):
            for slot in {rng.choice((LATE, 0, 7, 23, rng.randrange(24))) for _ in range(3)}:
                weight, fee = draw_number(rng, digits), draw_number(rng, digits)
                put("provision", one.provision_id, endpoint, slot, rng.randrange(1, 99), weight, fee)
            for bucket in {rng.randrange(17) for _ in range(rng.randrange(4))}:
                put("latency", one.provision_id, endpoint, bucket, rng.randrange(1, 9), 0, 0)
        if rng.random() < 0.2:
            put("provision_not_counted", one.provision_id, "", 0, 3, 0, 0)
    for user in [a.account_id for a in accounts if a.kind == "user"] + ["stranger"]:
        for slot in (0, LATE):
            if rng.random() < 0.6:
                fee = rng.choice((9_999, 10_000, draw_number(rng, digits)))
                put("user", user, "", slot, rng.randrange(1, 9), 0, fee)
    return list(rows.values())


def draw_heartbeats(rng: Random, provisions: Sequence[Provision]) -> dict[str, tuple[int, int]]:
    """(ok, all) around the least number and the knots; some provisions have none."""
    beats = {}
    for one in provisions:
        total = rng.choice((1, 23, 24, 100, 1000, 10_000))
        ok = max(0, total - rng.choice((0, 0, 1, total // 100, total // 20, total // 15, total)))
        if rng.random() < 0.8:
            beats[one.provision_id] = (ok, total)
    return beats


def draw_demand(rng: Random) -> Demand:
    keys = [(rng.choice(ENDPOINTS), rng.choice(TIERS), rng.randrange(24)) for _ in range(rng.randrange(12))]
    return {key: draw_number(rng, 9) for key in keys}


def draw_world(seed: int, accounts: int, epoch: Epoch) -> World:
    """A world from a seed: the same one for the same seed."""
    rng = Random(seed)
    people = draw_accounts(rng, accounts, epoch)
    provisions = draw_provisions(rng, people)
    return World(
        people,
        provisions,
        draw_usage(rng, provisions, people),
        draw_heartbeats(rng, provisions),
        {a.account_id: rng.choice((1, 5, 6, 7, 28, 29, 30, 88, 89, 90)) for a in people if rng.random() < 0.7},
        [draw_demand(rng) for _ in range(rng.randrange(8))],
    )


# The same things as frames


def to_time(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def accounts_frame(accounts: Sequence[Account]) -> pl.DataFrame:
    """`schemas.ACCOUNTS`; the wallet stands in `wallet_address`."""
    rows = [
        (a.account_id, a.kind, a.wallet, to_time(a.suspended_us), a.referred_by, from_micros(a.created_us))
        for a in accounts
    ]
    return pl.DataFrame(rows, schema=dict(ACCOUNTS.columns), orient="row")


def with_wallets(accounts: Sequence[Account]) -> pl.DataFrame:
    """Accounts with the column `wallet` that scoring and distribution read."""
    return accounts_frame(accounts).with_columns(wallet=pl.col("wallet_address"))


def provisions_frame(provisions: Sequence[Provision]) -> pl.DataFrame:
    start = from_micros(CALENDAR.genesis_us - 30 * DAY_US)
    rows = [(p.provision_id, p.provider_id, p.service_tier, None, start, None) for p in provisions]
    return pl.DataFrame(rows, schema=dict(PROVISIONS.columns), orient="row")


def rollup_frame(usage: Sequence[Usage]) -> pl.DataFrame:
    rows = [
        (
            u.part,
            u.subject_id,
            u.endpoint,
            u.slot,
            "status" if u.part.endswith("counted") else "",
            u.requests,
            u.weight,
            u.fee_e8,
        )
        for u in usage
    ]
    return pl.DataFrame(rows, schema=dict(ROLLUP.columns), orient="row")


def heartbeats_frame(heartbeats: Mapping[str, tuple[int, int]]) -> pl.DataFrame:
    rows = [(provision, total, ok) for provision, (ok, total) in heartbeats.items()]
    return pl.DataFrame(rows, schema=dict(HEARTBEATS_ROLLUP.columns), orient="row")


def streaks_frame(streaks: Mapping[str, int]) -> pl.DataFrame:
    return pl.DataFrame(list(streaks.items()), schema={"user_id": pl.String, "epochs": pl.Int64}, orient="row")


def demand_frame(epochs: Sequence[Demand]) -> pl.DataFrame:
    rows = [(*key, weight) for epoch in epochs for key, weight in epoch.items()]
    schema = {"endpoint": pl.String, "service_tier": pl.String, "hour": pl.Int16, "weight": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def deposits_frame(epoch: Epoch, deposits: Sequence[tuple[int, int]]) -> pl.DataFrame:
    """`schemas.DEPOSITS` at noon of an epoch from (provider amount, user amount)."""
    noon = from_micros(epoch.start_us + DAY_US // 2)
    rows = [(noon, None, WALLETS[0], p + u, 0, p, u, False) for p, u in deposits]
    return pl.DataFrame(rows, schema=dict(DEPOSITS.columns), orient="row")


def corrections_frame(corrections: Sequence[tuple[int, str, int]]) -> pl.DataFrame:
    """`schemas.CORRECTIONS` from (pool, account id, signed amount); the computation asks for no signature."""
    rows = [
        (0, pool, account, amount, f"reason {i}", "0x" + "00" * 20, "0x" + "00" * 65)
        for i, (pool, account, amount) in enumerate(corrections)
    ]
    return pl.DataFrame(rows, schema=dict(CORRECTIONS.columns), orient="row")


def money_frame(rows: Sequence[tuple[Any, ...]], **key: type[pl.DataType]) -> pl.DataFrame:
    """A frame of key columns and a last column `amount` in base units."""
    return pl.DataFrame(rows, schema={**key, "amount": MONEY}, orient="row")


# Usage rows, and folders of them

NOON = GENESIS + timedelta(hours=12)
USAGE_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "request_id": pl.String, "started_at": TIME, "user_id": pl.String, "provision_id": pl.String,
    "endpoint": pl.String, "model": pl.String, "service_tier": pl.String, "latency_ms": pl.Int64,
    "input_tokens": pl.Int64, "output_tokens": pl.Int64, "status_code": pl.Int64, "fee_cxpt": pl.Decimal(20, 8),
    "ingested_at": TIME,
}  # fmt: skip
HEARTBEAT_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "provision_id": pl.String,
    "probed_at": TIME,
    "ok": pl.Boolean,
}
PEOPLE = (
    ("prov", "provider", WALLETS[0], None),
    ("gone", "provider", WALLETS[1], GENESIS + timedelta(hours=6)),
    ("user", "user", WALLETS[2], None),
    ("twin", "user", WALLETS[0], None),
    ("left", "user", None, GENESIS - timedelta(days=1)),
)
NODES = (
    ("p1", "prov", "blue_surge", GENESIS - timedelta(days=1), GENESIS + timedelta(days=20)),
    ("p2", "gone", "tide_pool", GENESIS - timedelta(days=1), None),
    ("young", "prov", "open_ocean", NOON, None),
    ("orphan", "nobody", "tide_pool", GENESIS - timedelta(days=1), None),
    ("users", "user", "tide_pool", GENESIS - timedelta(days=1), None),
)

Row = dict[str, Any]


def make_row(**changes: Any) -> Row:
    """A sound row at noon of epoch 0, some columns replaced; it arrives two seconds after its start."""
    row: Row = {
        "request_id": "r", "started_at": NOON, "user_id": "user", "provision_id": "p1",
        "endpoint": "/chat/completions", "model": "m", "service_tier": "blue_surge", "latency_ms": 900,
        "input_tokens": 10, "output_tokens": 5, "status_code": 200, "fee_cxpt": Decimal("0.00001500"),
    } | changes  # fmt: skip
    return {"ingested_at": row["started_at"] + timedelta(seconds=2)} | row if "ingested_at" not in row else row


def people_frame() -> pl.DataFrame:
    """`schemas.ACCOUNTS` of the small network that `make_row` lives in."""
    born = GENESIS - timedelta(days=30)
    rows = [(name, kind, wallet, suspended, None, born) for name, kind, wallet, suspended in PEOPLE]
    return pl.DataFrame(rows, schema=dict(ACCOUNTS.columns), orient="row")


def nodes_frame() -> pl.DataFrame:
    """`schemas.PROVISIONS` of the same network."""
    rows = [(name, owner, tier, None, since, until) for name, owner, tier, since, until in NODES]
    return pl.DataFrame(rows, schema=dict(PROVISIONS.columns), orient="row")


def to_text(value: Any) -> str:
    """A value as exports write it: times in ISO 8601 with Z, decimals in full, booleans in lower case."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return (
        str(value).lower()
        if isinstance(value, bool)
        else format(value, "f")
        if isinstance(value, Decimal)
        else str(value)
    )


def write_feed(folder: Path, day: str, rows: Sequence[Row], suffix: str, schema: Mapping[str, Any]) -> FeedFile:
    """One file of a feed, named by its day, in the format of its suffix (parquet, csv, ndjson)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day}.{suffix}"
    if suffix == "parquet":
        pl.DataFrame(list(rows), schema=dict(schema)).write_parquet(path)
    elif suffix == "csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(schema)
            writer.writerows([["" if row[n] is None else to_text(row[n]) for n in schema] for row in rows])
    else:
        plain = (int, type(None))
        lines = [{n: row[n] if isinstance(row[n], plain) else to_text(row[n]) for n in schema} for row in rows]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return feed_file(path)


def feed_file(path: Path) -> FeedFile:
    """A file of a feed whose name begins with its day of arrival."""
    day = datetime.fromisoformat(path.name[:10]).replace(tzinfo=UTC)
    return FeedFile(path, to_micros(day) + DAY_US, path.suffix[1:], "")
