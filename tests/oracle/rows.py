"""An independent count of usage rows, in plain Python, from the words of the reward rules alone.

It shares no rule with the product: tables are read into tuples, and loops over dicts and sets decide what becomes of
every row. Slow and short on purpose; the engines must agree with it to the row and to the unit.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from rewards.units import is_usable

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
GENESIS = datetime(2026, 1, 7, tzinfo=UTC)

GRACE_US = 30 * MINUTE_US
FUTURE_US = 5 * MINUTE_US
TOO_LATE_US = 48 * HOUR_US
EPOCHS_REMEMBERED = 3
MAX_LATENCY_MS = 3_600_000
MAX_FEE_E8 = 10**17
FULL_WEIGHT = 10_000

TIERS = ("tide_pool", "blue_surge", "open_ocean", "mariana_depth")
REFERENCE_FEE_E8 = {
    **dict(zip([("/chat/completions", tier) for tier in TIERS], [1000, 3000, 7000, 15000], strict=True)),
    **{("/embeddings", tier): 1000 for tier in TIERS},
    **{("/tts", tier): 2000 for tier in TIERS},
    **{("/scrape", tier): 500 for tier in TIERS},
}
ENDPOINTS = {endpoint for endpoint, _ in REFERENCE_FEE_E8}
FULL_WEIGHT = 10_000
# upper edges of the latency histogram, as the policies of data/policies have them
EDGES_MS = (100, 200, 300, 500, 800, 1200, 2000, 3000, 5000, 8000, 12000, 20000, 30000, 60000, 120000, 300000, 3600000)
HOUR_US = 3_600_000_000
Key = tuple[str, str, str, int, str]
"""part, subject, endpoint, slot, reason of a line of the roll-up"""

EARNING, REPEATED = "earning", "repeated"
NOT_EARNING = ("status", "one_person", "suspended")
QUARANTINED = (
    "bad_type",
    "in_the_future",
    "too_late",
    "conflicting_repeat",
    "missing_value",
    "unknown_endpoint",
    "unknown_tier",
    "unknown_provision",
    "wrong_kind",
    "not_registered",
    "impossible_value",
)


class Row(NamedTuple):
    """One usage row; times in microseconds since 1970, the fee in 10^-8 CXPT. `arrived` is never null."""

    request_id: str | None
    started: int | None
    user_id: str | None
    provision_id: str | None
    endpoint: str | None
    model: str | None
    tier: str | None
    latency_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    status: int | None
    fee_e8: int | None
    arrived: int

    @property
    def content(self) -> tuple[object, ...]:
        return self[:-1]


class Provision(NamedTuple):
    """A provision; times in microseconds since 1970."""

    provider_id: str
    tier: str
    registered: int
    retired: int | None


class Account(NamedTuple):
    """An account; `wallet` in lower case, null when it is not usable."""

    kind: str
    wallet: str | None
    suspended: int | None


@dataclass
class Network:
    """The two snapshots that usage rows are judged by."""

    provisions: dict[str, Provision]
    accounts: dict[str, Account]


@dataclass
class ProvisionTotals:
    """Sums over the provider's rows of one provision: weight, and fees in 10^-8 CXPT."""

    weight: int = 0
    fee_e8: int = 0
    late_weight: int = 0
    late_fee_e8: int = 0


@dataclass
class UserTotals:
    """Sums of fees over the user's rows of one user, in 10^-8 CXPT."""

    fee_e8: int = 0
    late_fee_e8: int = 0


@dataclass
class EpochCount:
    """What became of the rows of one epoch."""

    counted: int = 0
    late: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    tier_mismatches: int = 0
    earning_fee_e8: int = 0
    provisions: dict[str, ProvisionTotals] = field(default_factory=lambda: defaultdict(ProvisionTotals))
    users: dict[str, UserTotals] = field(default_factory=lambda: defaultdict(UserTotals))
    rollup: dict[Key, tuple[int, int, int]] = field(default_factory=lambda: defaultdict(lambda: (0, 0, 0)))

    def add(self, part: str, subject: str, place: tuple[str, int, str], weight: int = 0, fee_e8: int = 0) -> None:
        """Adds one request to a line of the roll-up."""
        key = (part, subject, *place)
        requests, weights, fees = self.rollup[key]
        self.rollup[key] = (requests + 1, weights + weight, fees + fee_e8)

    @property
    def earning(self) -> int:
        return self.classes[EARNING]

    @property
    def repeated(self) -> int:
        return self.classes[REPEATED]

    @property
    def not_earning(self) -> dict[str, int]:
        return {reason: self.classes[reason] for reason in NOT_EARNING}

    @property
    def quarantined(self) -> dict[str, int]:
        return {reason: self.classes[reason] for reason in QUARANTINED}

    def as_dict(self) -> dict[str, object]:
        """Everything as plain values, for JSON."""
        return {
            "counted": self.counted,
            "earning": self.earning,
            "not_earning": self.not_earning,
            "repeated": self.repeated,
            "quarantined": self.quarantined,
            "late": self.late,
            "tier_mismatches": self.tier_mismatches,
            "earning_fee_e8": self.earning_fee_e8,
            "provisions": {key: vars(totals) for key, totals in sorted(self.provisions.items())},
            "users": {key: vars(totals) for key, totals in sorted(self.users.items())},
        }


def micros(moment: datetime) -> int:
    """Whole microseconds since 1970 of a time in UTC."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * DAY_US + since.seconds * 1_000_000 + since.microseconds


def _micros_or_none(column: str) -> pl.Expr:
    return pl.col(column).dt.cast_time_unit("us").dt.epoch("us").alias(column)


def read_rows(folder: Path) -> Iterator[Row]:
    """Every usage row of an input folder, file after file; a row without arrival takes the end of its file's day."""
    for file in sorted((folder / "usage_records").glob("*.parquet")):
        frame = pl.read_parquet(file)
        if "ingested_at" not in frame.columns:
            frame = frame.with_columns(ingested_at=pl.lit(None, pl.Datetime("us", "UTC")))
        day_end = micros(datetime.fromisoformat(file.name[:10]).replace(tzinfo=UTC)) + DAY_US
        columns = (
            "request_id", "started_at", "user_id", "provision_id", "endpoint", "model", "service_tier", "latency_ms",
            "input_tokens", "output_tokens", "status_code", "fee_cxpt", "ingested_at",
        )  # fmt: skip
        frame = frame.with_columns(_micros_or_none("started_at"), _micros_or_none("ingested_at")).select(columns)
        for *rest, fee, arrived in frame.iter_rows():
            fee_e8 = None if fee is None else int(fee.scaleb(8))
            yield Row._make((*rest, fee_e8, day_end if arrived is None else arrived))


def read_network(folder: Path) -> Network:
    """Provisions and accounts of an input folder; an id that stands there twice is refused with ValueError."""
    frame = pl.read_parquet(folder / "provisions.parquet")
    frame = frame.with_columns(_micros_or_none("registered_at"), _micros_or_none("retired_at"))
    rows = frame.select("provision_id", "provider_id", "service_tier", "registered_at", "retired_at").iter_rows()
    provisions = {key: Provision(*rest) for key, *rest in rows}
    if len(provisions) != frame.height:
        raise ValueError(f"{frame.height - len(provisions)} provision ids stand twice in {folder}")
    frame = pl.read_parquet(folder / "accounts.parquet").with_columns(_micros_or_none("suspended_at"))
    accounts = {
        key: Account(kind, wallet.lower() if is_usable(wallet) else None, suspended)
        for key, kind, wallet, suspended in frame.select(
            "account_id", "kind", "wallet_address", "suspended_at"
        ).iter_rows()
    }
    if len(accounts) != frame.height:
        raise ValueError(f"{frame.height - len(accounts)} account ids stand twice in {folder}")
    return Network(provisions, accounts)


def weigh(endpoint: str, tier: str, fee_e8: int) -> int:
    """The weight of one earning request, 0 to 10,000."""
    return min(FULL_WEIGHT, fee_e8 * 10_000 // REFERENCE_FEE_E8[endpoint, tier])


def place(row: Row, genesis_us: int) -> tuple[int, bool]:
    """The epoch that counts a row (negative before genesis), and whether the row is late there."""
    by_arrival = (row.arrived - GRACE_US - genesis_us) // DAY_US
    if row.started is None or row.started - row.arrived > FUTURE_US:
        return by_arrival, False
    own = (row.started - genesis_us) // DAY_US
    return max(own, by_arrival), by_arrival > own


def judge_time(row: Row) -> str | None:
    """The first class of the page: reasons that the row's own times give."""
    if row.started is None:
        return "bad_type"
    if row.started - row.arrived > FUTURE_US:
        return "in_the_future"
    if row.arrived - row.started > TOO_LATE_US:
        return "too_late"
    return None


def judge_values(row: Row, network: Network) -> str | None:
    """The quarantine reasons below the repeats, in the page's order."""
    if any(value is None or value == "" for value in row.content):
        return "missing_value"
    assert row.started is not None and row.user_id is not None and row.provision_id is not None
    assert row.latency_ms is not None and row.input_tokens is not None and row.output_tokens is not None
    assert row.status is not None and row.fee_e8 is not None
    if row.endpoint not in ENDPOINTS:
        return "unknown_endpoint"
    if row.tier not in TIERS:
        return "unknown_tier"
    provision = network.provisions.get(row.provision_id)
    if provision is None or provision.provider_id not in network.accounts:
        return "unknown_provision"
    user = network.accounts.get(row.user_id)
    if (user is not None and user.kind == "provider") or network.accounts[provision.provider_id].kind == "user":
        return "wrong_kind"
    if row.started < provision.registered or (provision.retired is not None and row.started >= provision.retired):
        return "not_registered"
    if row.input_tokens < 0 or row.output_tokens < 0 or not 0 <= row.fee_e8 <= MAX_FEE_E8:
        return "impossible_value"
    if not 0 <= row.latency_ms <= MAX_LATENCY_MS or not 100 <= row.status <= 599:
        return "impossible_value"
    return None


def split_repeats(
    rows: Iterable[Row], remembered: dict[str, set[tuple[object, ...]]]
) -> Iterator[tuple[Row, str | None]]:
    """Names repeats and conflicts among rows whose times are fine; None for a row that stays."""
    by_id: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.request_id:
            by_id[row.request_id].append(row)
        else:
            yield row, None
    for request_id, group in by_id.items():
        contents = {row.content for row in group}
        before = remembered.get(request_id)
        if len(contents) > 1 or (before and not contents <= before):
            yield from ((row, "conflicting_repeat") for row in group)
        elif before:
            yield from ((row, REPEATED) for row in group)
        else:
            first, *others = group  # equal but for their arrival: whichever stays, every count is the same
            yield first, None
            yield from ((row, REPEATED) for row in others)


def sides(row: Row, network: Network) -> tuple[bool, bool]:
    """Whether the provider and the user of a sound row may earn: not suspended when it started."""
    provider = network.accounts[network.provisions[row.provision_id or ""].provider_id]
    user = network.accounts.get(row.user_id or "")
    started = row.started or 0
    provider_earns = provider.suspended is None or started < provider.suspended
    return provider_earns, user is None or user.suspended is None or started < user.suspended


def judge_earning(row: Row, network: Network) -> str:
    """`earning`, or why a sound row does not earn."""
    if row.status != 200:
        return "status"
    user = network.accounts.get(row.user_id or "")
    provider = network.accounts[network.provisions[row.provision_id or ""].provider_id]
    if user is not None and user.wallet is not None and user.wallet == provider.wallet:
        return "one_person"
    return EARNING if any(sides(row, network)) else "suspended"


def add_earning(count: EpochCount, row: Row, late: bool, network: Network) -> None:
    """Adds one earning row to the sums of its provision and its user."""
    assert row.provision_id and row.user_id and row.endpoint and row.fee_e8 is not None
    provider_earns, user_earns = sides(row, network)
    tier = network.provisions[row.provision_id].tier
    count.earning_fee_e8 += row.fee_e8
    count.tier_mismatches += row.tier != tier
    if provider_earns:
        provision, weight = count.provisions[row.provision_id], weigh(row.endpoint, tier, row.fee_e8)
        if late:
            provision.late_weight += weight
            provision.late_fee_e8 += row.fee_e8
        else:
            provision.weight += weight
            provision.fee_e8 += row.fee_e8
    if user_earns:
        user = count.users[row.user_id]
        if late:
            user.late_fee_e8 += row.fee_e8
        else:
            user.fee_e8 += row.fee_e8


def add_to_rollup(count: EpochCount, row: Row, name: str, late: bool, network: Network) -> None:
    """Adds one row to the lines of the roll-up that the page has for its class, on either side."""
    provider_earns, user_earns = sides(row, network) if name == EARNING else (False, False)
    reason = "suspended" if name == EARNING else name
    if provider_earns:
        assert (
            row.provision_id and row.endpoint and row.started and row.fee_e8 is not None and row.latency_ms is not None
        )
        weight = weigh(row.endpoint, network.provisions[row.provision_id].tier, row.fee_e8)
        hour = -1 if late else row.started // HOUR_US % 24
        count.add("provision", row.provision_id, (row.endpoint, hour, ""), weight, row.fee_e8)
        if weight == FULL_WEIGHT and not late:
            bucket = next(i for i, edge in enumerate(EDGES_MS) if row.latency_ms <= edge)
            count.add("latency", row.provision_id, (row.endpoint, bucket, ""))
    elif row.provision_id in network.provisions:
        count.add("provision_not_counted", row.provision_id or "", ("", 0, reason))
    if user_earns:
        assert row.user_id and row.fee_e8 is not None
        count.add("user", row.user_id, ("", -1 if late else 0, ""), 0, row.fee_e8)
    elif row.user_id in network.accounts:
        count.add("user_not_counted", row.user_id or "", ("", 0, reason))


def judge_epoch(
    rows: list[Row], network: Network, remembered: dict[str, set[tuple[object, ...]]]
) -> list[tuple[Row, str]]:
    """Every row of one epoch with its class, the page's order obeyed."""
    named: list[tuple[Row, str]] = []
    in_time: list[Row] = []
    for row in rows:
        reason = judge_time(row)
        if reason is None:
            in_time.append(row)
        else:
            named.append((row, reason))
    for row, repeat in split_repeats(in_time, remembered):
        named.append((row, repeat or judge_values(row, network) or judge_earning(row, network)))
    return named


def count_rows(folder: Path, genesis: datetime = GENESIS) -> dict[int, EpochCount]:
    """Classifies every usage row of an input folder; epochs of one day from `genesis`, ascending.

    Rows that arrived before genesis belong to no epoch and are not counted.
    """
    genesis_us = micros(genesis)
    network = read_network(folder)
    by_epoch: dict[int, list[Row]] = defaultdict(list)
    lateness: Counter[int] = Counter()
    for row in read_rows(folder):
        number, late = place(row, genesis_us)
        if number >= 0:
            by_epoch[number].append(row)
            lateness[number] += late
    counts: dict[int, EpochCount] = {}
    occupied: dict[int, dict[str, set[tuple[object, ...]]]] = {}
    for number in sorted(by_epoch):
        remembered: dict[str, set[tuple[object, ...]]] = defaultdict(set)
        for earlier in range(number - EPOCHS_REMEMBERED, number):
            for request_id, contents in occupied.get(earlier, {}).items():
                remembered[request_id] |= contents
        count = EpochCount(counted=len(by_epoch[number]), late=lateness[number])
        here: dict[str, set[tuple[object, ...]]] = defaultdict(set)
        for row, name in judge_epoch(by_epoch[number], network, remembered):
            count.classes[name] += 1
            if name not in QUARANTINED:
                here[row.request_id or ""].add(row.content)
            late = place(row, genesis_us)[1]
            if name == EARNING:
                add_earning(count, row, late, network)
            add_to_rollup(count, row, name, late, network)
        occupied[number] = here
        counts[number] = count
    return counts
