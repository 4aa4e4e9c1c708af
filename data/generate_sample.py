"""Writes a small network's days of input: usage, heartbeats, provisions, accounts and deposits, as Parquet.

One seed gives one set of bytes (for one version of polars). The days hold every kind of row that the reward rules name:
repeats, conflicts, late rows and each reason of quarantine, in shares that the gates let pass. Arrivals go on for an
hour after the last day, so that all days are complete. Deposits are the Vault's share of what the earning rows paid.
"""

import argparse
import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise
from pathlib import Path

import polars as pl

from rewards.epoch import DAY_US, from_micros, to_micros
from rewards.units import UNITS_PER_E8, checksum, is_usable

GENESIS_US = to_micros(datetime(2026, 1, 7, tzinfo=UTC))
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
GRACE_US = 30 * MINUTE_US
DEPOSIT_BP = 200
SUPPLY_E8 = 10**17

TIERS = ("tide_pool", "blue_surge", "open_ocean", "mariana_depth")
CHAT_FEE_E8 = dict(zip(TIERS, (1000, 3000, 7000, 15000), strict=True))
FLAT_FEE_E8 = {"/embeddings": 1000, "/tts": 2000, "/scrape": 500}
MODELS = {
    "/chat/completions": ("gemma3:1b", "llama3.1:8b", "qwen2.5:72b"),
    "/embeddings": ("nomic-embed-text",),
    "/tts": ("kokoro",),
    "/scrape": ("chromium",),
}
ENDPOINT_SHARES = (80, 9, 5, 6)
DEMAND_BY_HOUR = (5, 4, 3, 3, 3, 4, 6, 9, 13, 16, 17, 17, 15, 16, 17, 17, 16, 14, 12, 11, 10, 9, 8, 6)
COUNTRIES = ("DE", "US", "IN", "BR", "JP", "KE", "CA")
HEARTBEAT_US = 5 * MINUTE_US
FEWEST = {"days": 1, "rows": 4000, "providers": 20, "users": 40}

TIME = pl.Datetime("us", "UTC")
UNITS = pl.Decimal(38, 0)
Schema = dict[str, pl.DataType | type[pl.DataType]]
USAGE_SCHEMA: Schema = {
    "request_id": pl.String, "started_at": TIME, "user_id": pl.String, "provision_id": pl.String,
    "endpoint": pl.String, "model": pl.String, "service_tier": pl.String, "latency_ms": pl.Int64,
    "input_tokens": pl.Int64, "output_tokens": pl.Int64, "status_code": pl.Int16, "fee_cxpt": pl.Decimal(20, 8),
    "ingested_at": TIME,
}  # fmt: skip
HEARTBEAT_SCHEMA: Schema = {"provision_id": pl.String, "probed_at": TIME, "ok": pl.Boolean}
PROVISION_SCHEMA: Schema = {
    "provision_id": pl.String, "provider_id": pl.String, "service_tier": pl.String, "country": pl.String,
    "registered_at": TIME, "retired_at": TIME,
}  # fmt: skip
ACCOUNT_SCHEMA: Schema = {
    "account_id": pl.String, "kind": pl.String, "wallet_address": pl.String, "suspended_at": TIME,
    "referred_by": pl.String, "created_at": TIME,
}  # fmt: skip
DEPOSIT_SCHEMA: Schema = {
    "deposited_at": TIME, "block_number": pl.Int64, "payer": pl.String, "amount": UNITS, "protocol_amount": UNITS,
    "provider_amount": UNITS, "user_amount": UNITS,
}  # fmt: skip


@dataclass
class Account:
    """One account; times in microseconds since 1970."""

    account_id: str
    kind: str
    wallet: str | None
    suspended: int | None
    referred_by: str | None
    created: int


@dataclass
class Provision:
    """One provision; times in microseconds since 1970."""

    provision_id: str
    provider_id: str
    tier: str
    country: str
    registered: int
    retired: int | None


@dataclass(frozen=True)
class Usage:
    """One usage row; times in microseconds since 1970, the fee in 10^-8 CXPT."""

    request_id: str | None
    started: int | None
    user_id: str | None
    provision_id: str
    endpoint: str
    model: str
    tier: str
    latency_ms: int
    input_tokens: int
    output_tokens: int
    status: int
    fee_e8: int
    arrived: int | None


class Network:
    """Who takes part. Some places in the lists play a part, so that every rule meets its case."""

    def __init__(self, rng: random.Random, providers: int, users: int, days: int) -> None:
        end = GENESIS_US + days * DAY_US
        self.providers = draw_accounts(rng, "provider", providers)
        self.users = draw_accounts(rng, "user", users)
        dress_accounts(self.providers, self.users, end)
        self.provisions = draw_provisions(rng, self.providers, providers * 3 // 2)
        p = self.provisions
        p[12].retired = end - 8 * HOUR_US
        p[13].registered = GENESIS_US + 9 * HOUR_US
        p[14].registered = end - HOUR_US  # too new for its heartbeats to count
        p[15].retired = GENESIS_US - 3 * DAY_US
        p[-1].provider_id = draw_id(rng)  # a provider without an account
        p[-2].provider_id = self.users[14].account_id
        self.accounts = {account.account_id: account for account in self.providers + self.users}
        self.by_id = {provision.provision_id: provision for provision in p}
        self.speed_ms = [rng.randrange(200, 3000) * (6 if i % 9 == 4 else 1) for i in range(len(p))]
        self.popularity = list(accumulate(rng.randrange(20, 100) for _ in p[:-2]))
        self.activity = list(accumulate(1 + 4000 // ((i - 2) % users + 4) for i in range(users)))
        self.stranger = draw_id(rng)  # a user who never opened an account

    def owner(self, row: Usage) -> Account:
        return self.accounts[self.by_id[row.provision_id].provider_id]

    def earns(self, row: Usage) -> bool:
        """Whether a sound row earns for either side."""
        if row.status != 200 or row.started is None:
            return False
        owner, user = self.owner(row), self.accounts.get(row.user_id or "")
        if user is None:
            return True
        if user.wallet and owner.wallet and is_usable(user.wallet) and user.wallet.lower() == owner.wallet.lower():
            return False
        return any(side.suspended is None or row.started < side.suspended for side in (owner, user))


def draw_id(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def draw_wallet(rng: random.Random) -> str:
    return f"0x{rng.getrandbits(160):040x}"


def draw_accounts(rng: random.Random, kind: str, number: int) -> list[Account]:
    """Accounts of one kind, about a third of them referred, one in twenty without a wallet."""
    accounts: list[Account] = []
    for _ in range(number):
        wallet = None if rng.randrange(20) == 0 else draw_wallet(rng)
        created = GENESIS_US - rng.randrange(2, 500) * DAY_US
        accounts.append(Account(draw_id(rng), kind, wallet, None, None, created))
    for account in accounts:
        if rng.randrange(3) == 0:
            others = [a.account_id for a in accounts if a.created < account.created or rng.randrange(200) == 0]
            account.referred_by = rng.choice(others) if others else None
    return accounts


def dress_accounts(providers: list[Account], users: list[Account], end: int) -> None:
    """Gives parts to the first accounts: shared and odd wallets, suspensions, chains of referrals."""
    for i in (0, 1, 2, 5, 6):
        providers[i].wallet = f"0x{0xFACE0000 + i:x}".ljust(42, "b")
    for i in (0, 6):
        users[i].wallet = f"0x{0xCAFE0000 + i:x}".ljust(42, "d")
    users[0].wallet = providers[0].wallet
    providers[1].suspended = end - 12 * HOUR_US
    providers[2].suspended = GENESIS_US - 5 * DAY_US
    users[1].suspended = GENESIS_US - 2 * DAY_US
    providers[3].wallet = providers[4].wallet = None
    providers[5].wallet = checksum(providers[5].wallet or "")
    providers[6].wallet = checksum(providers[6].wallet or "").swapcase().replace("X", "x")
    users[2].wallet = "0x" + "0" * 40
    users[3].wallet = "0x1234"
    users[4].wallet = "0xNotAnAddress"
    users[5].wallet = "0x" + "ABCDEF0123" * 4
    users[7].wallet = users[6].wallet
    for accounts in (providers, users):
        chain = accounts[8:12]
        for account, age in zip(chain, (900, 170, 120, 60), strict=True):
            account.created = GENESIS_US - age * DAY_US
        for older, younger in pairwise(chain):
            younger.referred_by = older.account_id
        chain[0].referred_by = None
    users[7].referred_by = users[6].account_id  # refused: the same wallet
    users[12].referred_by = providers[8].account_id  # refused: another kind


def draw_provisions(rng: random.Random, providers: Sequence[Account], number: int) -> list[Provision]:
    """Provisions of all tiers; the first of them one for each provider in order."""
    provisions = []
    for i in range(number):
        owner = providers[i] if i < len(providers) else rng.choice(providers)
        tier = rng.choices(TIERS, (35, 29, 21, 15))[0]
        registered = GENESIS_US - rng.randrange(5, 200) * DAY_US
        provisions.append(Provision(draw_id(rng), owner.account_id, tier, rng.choice(COUNTRIES), registered, None))
    return provisions


def draw_usage(rng: random.Random, network: Network, started: int) -> Usage:
    """One sound row that started at a given time and arrived a few seconds later."""
    while True:
        (i,) = rng.choices(range(len(network.popularity)), cum_weights=network.popularity)
        provision = network.provisions[i]
        if provision.registered <= started and (provision.retired is None or started < provision.retired):
            break
    (endpoint,) = rng.choices(tuple(MODELS), ENDPOINT_SHARES)
    read = 20 + rng.randrange(2 ** rng.randrange(5, 14))
    wrote = 1 + rng.randrange(900) if endpoint == "/chat/completions" else 0
    if endpoint in FLAT_FEE_E8:
        fee = FLAT_FEE_E8[endpoint] * rng.randrange(40, 400) // 100
    else:
        fee = 1 + CHAT_FEE_E8[provision.tier] * (read + 3 * wrote) // 700
    user = network.users[rng.choices(range(len(network.users)), cum_weights=network.activity)[0]].account_id
    return Usage(
        request_id=draw_id(rng),
        started=started,
        user_id=network.stranger if rng.randrange(500) == 0 else user,
        provision_id=provision.provision_id,
        endpoint=endpoint,
        model=rng.choice(MODELS[endpoint]),
        tier=provision.tier,
        latency_ms=network.speed_ms[i] * rng.randrange(60, 240) // 100,
        input_tokens=read,
        output_tokens=wrote,
        status=rng.choice((429, 500, 503)) if rng.randrange(30) == 0 else 200,
        fee_e8=fee,
        arrived=started + 2 * SECOND_US + rng.randrange(3000) * 1000,
    )


def draw_start(rng: random.Random, day_start: int) -> int:
    """A time of the day, as likely as the demand of its hour; whole milliseconds."""
    (hour,) = rng.choices(range(24), DEMAND_BY_HOUR)
    return day_start + hour * HOUR_US + rng.randrange(3_600_000) * 1000


def draw_noon(rng: random.Random, day_start: int) -> int:
    """A time far from both ends of the day."""
    return day_start + 2 * HOUR_US + rng.randrange(20 * 3_600_000) * 1000


def draw_ordinary(rng: random.Random, network: Network, day_start: int, number: int) -> list[Usage]:
    """A day's sound rows; a few clocks run ahead, a few rows have no arrival, three sit on an edge."""
    rows = [draw_usage(rng, network, draw_start(rng, day_start)) for _ in range(number)]
    for i in range(number // 400):
        row = draw_usage(rng, network, draw_noon(rng, day_start))
        rows.append(replace(row, arrived=(row.started or 0) - rng.randrange(1, 240) * SECOND_US if i % 2 else None))
    row = draw_usage(rng, network, draw_noon(rng, day_start))
    rows.append(replace(row, arrived=(row.started or 0) - 5 * MINUTE_US))
    edge = day_start + DAY_US + GRACE_US - 1
    rows.append(replace(draw_usage(rng, network, day_start), arrived=edge))
    rows.append(replace(draw_usage(rng, network, day_start + DAY_US - 1), arrived=edge))
    return rows


def draw_late(rng: random.Random, network: Network, day_start: int, number: int, span: int) -> list[Usage]:
    """Rows that arrive within `span` microseconds after the grace of their day; the first two at either edge."""
    begin = day_start + GRACE_US
    rows = [
        replace(draw_usage(rng, network, day_start - 1), arrived=begin),
        replace(draw_usage(rng, network, begin - 48 * HOUR_US), arrived=begin),
    ]
    for _ in range(number - 2):
        started = day_start - 20 * HOUR_US + rng.randrange(20 * 3_600_000) * 1000
        rows.append(replace(draw_usage(rng, network, started), arrived=begin + rng.randrange(span)))
    return rows


def draw_not_earning(rng: random.Random, network: Network, day_start: int) -> list[Usage]:
    """Rows of a person with themself, and of two suspended sides (status comes with the ordinary rows)."""
    rows = []
    for part in (0, 0, 0, 1, 1):
        provision, user = network.provisions[2 if part else 0], network.users[part]
        row = draw_usage(rng, network, draw_noon(rng, day_start))
        row = replace(row, provision_id=provision.provision_id, tier=provision.tier, user_id=user.account_id)
        rows.append(replace(row, status=200))
    return rows


def draw_faults(rng: random.Random, network: Network, day_start: int) -> list[Usage]:
    """Rows that quarantine must take, every reason at least once, and the repeat of one of them."""

    def draw() -> Usage:
        return draw_usage(rng, network, draw_noon(rng, day_start))

    def away(row: Usage, low_hours: int, high_hours: int) -> Usage:
        return replace(row, started=(row.arrived or 0) + rng.randrange(low_hours * 60, high_hours * 60) * MINUTE_US)

    provisions = network.provisions
    spoil: list[Callable[[Usage], Usage]] = [
        lambda row: replace(row, started=None),
        lambda row: replace(row, started=(row.arrived or 0) + 5 * MINUTE_US + 1),
        lambda row: away(row, 1, 9),
        lambda row: replace(row, started=(row.arrived or 0) - 48 * HOUR_US - 1),
        lambda row: away(row, -70, -49),
        lambda row: replace(row, user_id=None),
        lambda row: replace(row, model=""),
        lambda row: replace(row, request_id=None),
        lambda row: replace(row, tier="abyss"),
        lambda row: replace(row, provision_id=draw_id(rng)),
        lambda row: replace(row, provision_id=provisions[-1].provision_id),
        lambda row: replace(row, provision_id=provisions[-2].provision_id),
        lambda row: replace(row, user_id=network.providers[9].account_id),
        lambda row: replace(row, provision_id=provisions[15].provision_id),
        lambda row: replace(row, output_tokens=-1),
        lambda row: replace(row, latency_ms=row.latency_ms * 1_000_000),
        lambda row: replace(row, status=0),
        lambda row: replace(row, fee_e8=-row.fee_e8),
        lambda row: replace(row, fee_e8=SUPPLY_E8 + 1),
    ]
    rows = [change(draw()) for change in spoil]
    unknown = replace(draw(), endpoint="/video")
    torn = draw()
    return [*rows, unknown, unknown, torn, replace(torn, output_tokens=torn.output_tokens + 1)]


def draw_repeats(rng: random.Random, today: Sequence[Usage], before: Sequence[Usage], start: int) -> list[Usage]:
    """Rows sent again: some of today, and of the epoch before five as they were and one changed."""
    midday = [row for row in today if row.arrived and row.started and row.arrived < start + 23 * HOUR_US]
    rows = [
        replace(row, arrived=(row.arrived or 0) + rng.choice((0, 1, 30)) * SECOND_US)
        for row in rng.sample(midday, len(today) // 300)
    ]
    if before:
        again = [replace(row, arrived=draw_noon(rng, start)) for row in rng.sample(before, 6)]
        rows += [*again[:5], replace(again[5], fee_e8=again[5].fee_e8 + 1)]
    return rows


def draw_days(rng: random.Random, network: Network, days: int, number: int) -> tuple[list[Usage], list[list[Usage]]]:
    """All usage rows, and for each complete epoch those that earn in it."""
    rows: list[Usage] = []
    earning: list[list[Usage]] = []
    before: list[Usage] = []
    for day in range(days):
        start = GENESIS_US + day * DAY_US
        ordinary = draw_ordinary(rng, network, start, number)
        late = draw_late(rng, network, start, number // 80, 22 * HOUR_US)
        unpaid = draw_not_earning(rng, network, start)
        faults = [row for _ in range(number // 4000) for row in draw_faults(rng, network, start)]
        rows += ordinary + late + unpaid + faults + draw_repeats(rng, ordinary, before, start)
        earning.append([row for row in ordinary + late + unpaid if network.earns(row)])
        before = ordinary
    end = GENESIS_US + days * DAY_US
    rows += draw_late(rng, network, end, number // 200, HOUR_US - GRACE_US)
    rows += [draw_usage(rng, network, end + rng.randrange(3_590_000) * 1000) for _ in range(number // 60)]
    return rows, earning


def draw_heartbeats(rng: random.Random, provisions: Sequence[Provision], end: int) -> list[tuple[str, int, bool]]:
    """Probes every five minutes; some provisions flicker, some are out for hours, some retired ones are still probed."""
    beats = []
    for i, provision in enumerate(provisions):
        misses = 70 if i % 10 == 3 else 15 if i % 6 == 1 else 1 if i % 4 == 0 else 0  # of a thousand
        begin = max(GENESIS_US, provision.registered) + rng.randrange(300_000) * 1000
        stop = min(end, provision.retired + HOUR_US if provision.retired else end)
        out = rng.randrange(19) if i % 13 == 5 else None
        for probed in range(begin, stop, HEARTBEAT_US):
            hour = (probed - GENESIS_US) % DAY_US // HOUR_US
            fine = rng.randrange(1000) >= misses and not (out is not None and out <= hour < out + 5)
            fine = fine and (provision.retired is None or probed < provision.retired)
            beats.append((provision.provision_id, probed, fine))
            if i == 16 and hour == 6:
                beats.append((provision.provision_id, probed, not fine))  # two probers disagree
    return beats


def make_deposits(earning: Sequence[Sequence[Usage]], payer: str) -> Iterator[tuple[int, int, str, int, int, int, int]]:
    """Two deposits an epoch, which add up to the Vault's share of what its earning rows paid."""
    for epoch, rows in enumerate(earning):
        start = GENESIS_US + epoch * DAY_US
        total = sum(row.fee_e8 for row in rows)
        early = sum(row.fee_e8 for row in rows if row.arrived and row.arrived < start + DAY_US // 2)
        for half, fees in enumerate((early, total - early)):
            amount = fees * UNITS_PER_E8 * DEPOSIT_BP // 10_000
            provider, user = amount * 4000 // 10_000, amount * 2000 // 10_000
            at = start + half * DAY_US // 2 + 11 * HOUR_US + 53 * MINUTE_US
            yield at, 1000 + 2 * epoch + half, payer, amount, amount - provider - user, provider, user


def write_table(path: Path, rows: Sequence[tuple[object, ...]], schema: Schema) -> None:
    """One Parquet file; times are given as microseconds, decimals as Decimal or int."""
    raw = {name: pl.Int64 if kind == TIME else kind for name, kind in schema.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame(rows, schema=raw, orient="row").cast({n: TIME for n, k in schema.items() if k == TIME})
    frame.write_parquet(path, compression="zstd", compression_level=19)


def day_of(micros: int) -> date:
    return from_micros(micros).date()


def write_sample(out: Path, seed: int, days: int, rows: int, providers: int, users: int) -> None:
    """Generates everything and writes it under `out`, in files named by their day of arrival."""
    rng = random.Random(seed)
    network = Network(rng, providers, users, days)
    usage, earning = draw_days(rng, network, days, rows)
    end = GENESIS_US + days * DAY_US + HOUR_US
    usage_by_day: dict[date, list[Usage]] = defaultdict(list)
    for row in usage:
        usage_by_day[day_of(row.arrived or row.started or 0)].append(row)
    for day, rows_of_day in usage_by_day.items():
        rows_of_day.sort(key=lambda row: (row.arrived or row.started or 0, row.request_id or "", row.output_tokens))
        table = [(*tuple(vars(r).values())[:-2], Decimal(r.fee_e8).scaleb(-8), r.arrived) for r in rows_of_day]
        write_table(out / "usage_records" / f"{day}.parquet", table, USAGE_SCHEMA)
    beats_by_day: dict[date, list[tuple[str, int, bool]]] = defaultdict(list)
    for beat in draw_heartbeats(rng, network.provisions, end):
        beats_by_day[day_of(beat[1])].append(beat)
    for day, beats in beats_by_day.items():
        write_table(out / "heartbeats" / f"{day}.parquet", sorted(beats, key=lambda b: b[1:]), HEARTBEAT_SCHEMA)
    write_table(out / "provisions.parquet", sorted(astuple(p) for p in network.provisions), PROVISION_SCHEMA)
    accounts = sorted((astuple(a) for a in network.accounts.values()), key=lambda a: str(a[0]))
    write_table(out / "accounts.parquet", accounts, ACCOUNT_SCHEMA)
    write_table(out / "deposits.parquet", list(make_deposits(earning, draw_wallet(rng))), DEPOSIT_SCHEMA)
    last = day_of(GENESIS_US) + timedelta(days=days - 1)
    print(f"{len(usage):,} usage rows, {day_of(GENESIS_US)} to {last}, in {out}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write; holds no input yet")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--days", type=int, default=2, help="complete days from 2026-01-07")
    parser.add_argument("--rows", type=int, default=4000, help="ordinary usage rows a day")
    parser.add_argument("--providers", type=int, default=40)
    parser.add_argument("--users", type=int, default=300)
    chosen = parser.parse_args()
    for name, fewest in FEWEST.items():
        if getattr(chosen, name) < fewest:
            parser.error(f"--{name} {getattr(chosen, name)}: at least {fewest}, so that every kind of row fits")
    if (chosen.out / "usage_records").exists() or (chosen.out / "heartbeats").exists():
        parser.error(f"--out {chosen.out}: holds input already; remove it or name another folder")
    write_sample(chosen.out, chosen.seed, chosen.days, chosen.rows, chosen.providers, chosen.users)


if __name__ == "__main__":
    main()
