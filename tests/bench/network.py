"""Writes a large network's month of input fast: usage and heartbeats by day of arrival, provisions, accounts, deposits.

One seed gives one set of rows. Each day is drawn by itself, so days can be written in any order and memory holds one.
The rows are mostly clean, as a real feed's are, with exact repeats (in the same file and in the next day's), late rows,
conflicting repeats, failed requests and quarantined rows in shares that the gates let pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from rewards.epoch import DAY_US, Calendar, to_micros
from rewards.units import UNITS_PER_E8

GENESIS = datetime(2026, 1, 7, tzinfo=UTC)
DAYS = 31
SECOND_US, MINUTE_US, HOUR_US = 10**6, 60 * 10**6, 3600 * 10**6
TIME = pl.Datetime("us", "UTC")
TIERS = ("tide_pool", "blue_surge", "open_ocean", "mariana_depth")
ENDPOINTS = ("/chat/completions", "/embeddings", "/tts", "/scrape")
MODELS = ("llama3.1:8b", "nomic-embed-text", "kokoro", "chromium")
COUNTRIES = ("DE", "US", "IN", "BR", "JP", "KE", "CA")
FEE_E8 = np.array([[1000, 3000, 7000, 15000], [1000] * 4, [2000] * 4, [500] * 4])
DEPOSIT_BP, SPLIT = 200, (4, 4, 2)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Size:
    """How much to write: usage `rows` in all, `provisions` (one provider each) and `users` with an account each."""

    rows: int
    provisions: int = 20_000
    users: int = 200_000
    days: int = DAYS
    seed: int = 7


def month(days: int = DAYS) -> Calendar:
    """A calendar whose epoch 0 is the whole of what is written."""
    return Calendar.from_genesis(GENESIS, timedelta(days=days))


def draw_ids(rng: np.random.Generator, count: int) -> pl.Series:
    """Random ids in the form of a UUID."""
    digits = pl.Series("h", _to_binary(rng.bytes(16 * count), 16)).bin.encode("hex")
    parts = [digits.str.slice(start, length) for start, length in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]
    return pl.select(pl.concat_str(parts, separator="-")).to_series()


def write_network(folder: Path, size: Size, on_day: Callable[[int], None] = lambda _: None) -> None:
    """Write all tables under `folder`; the file after the last day holds the repeats and the rows that close the
    epoch."""
    rng = np.random.default_rng([size.seed, 0])
    users, provisions = draw_ids(rng, size.users), draw_ids(rng, size.provisions)
    tiers = rng.integers(0, len(TIERS), size.provisions)
    _write_tables(folder, size, rng, users, provisions, tiers)
    (folder / "usage_records").mkdir(parents=True, exist_ok=True)
    (folder / "heartbeats").mkdir(exist_ok=True)
    repeats, fees = _no_rows(), 0
    for day in range(size.days + 1):
        rows, following, paid = _draw_day(size, day, users, provisions, tiers)
        _write(folder / "usage_records", day, pl.concat([rows, repeats]))
        _write(folder / "heartbeats", day, _draw_heartbeats(size, day, provisions))
        repeats, fees = following, fees + paid
        on_day(day)
    _write_deposits(folder, size, fees)


def _write(folder: Path, day: int, frame: pl.DataFrame) -> None:
    name = (GENESIS + timedelta(days=day)).date().isoformat()
    frame.write_parquet(folder / f"{name}.parquet", compression="snappy", statistics=True)


def _write_tables(
    folder: Path, size: Size, rng: np.random.Generator, users: pl.Series, provisions: pl.Series, tiers: Ints
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    providers = draw_ids(rng, size.provisions)
    accounts = pl.concat([providers, users])
    born = to_micros(GENESIS) - rng.integers(1, 400, len(accounts)) * DAY_US
    oldest_first = np.argsort(-born, kind="stable")[::-1]
    referrers = np.full(len(accounts), -1)
    # A third was referred by somebody of its kind who is older: the one before in order of age, or none.
    for first, last in ((0, size.provisions), (size.provisions, len(accounts))):
        order = oldest_first[(oldest_first >= first) & (oldest_first < last)]
        chosen = np.flatnonzero(rng.random(len(order) - 1) < 1 / 3) + 1
        referrers[order[chosen]] = order[(chosen * rng.random(len(chosen))).astype(np.int64)]
    wallets = pl.Series(_to_binary(rng.bytes(20 * len(accounts)), 20)).bin.encode("hex")
    frame = pl.DataFrame(
        {
            "account_id": accounts,
            "kind": pl.Series(["provider"] * size.provisions + ["user"] * size.users),
            "wallet_address": pl.select(pl.concat_str([pl.lit("0x"), wallets])).to_series(),
            "suspended_at": pl.Series([None] * len(accounts), dtype=TIME),
            "referred_by": accounts.gather(np.where(referrers < 0, 0, referrers)),
            "created_at": pl.Series(born).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        }
    ).with_columns(pl.when(pl.Series(referrers >= 0)).then(pl.col("referred_by")))
    frame.write_parquet(folder / "accounts.parquet")
    pl.DataFrame(
        {
            "provision_id": provisions,
            "provider_id": providers,
            "service_tier": pl.Series(TIERS).gather(tiers),
            "country": pl.Series(COUNTRIES).gather(rng.integers(0, len(COUNTRIES), size.provisions)),
            "registered_at": pl.Series([GENESIS - timedelta(days=400)] * size.provisions, dtype=TIME),
            "retired_at": pl.Series([None] * size.provisions, dtype=TIME),
        }
    ).write_parquet(folder / "provisions.parquet")


def _draw_day(
    size: Size, day: int, users: pl.Series, provisions: pl.Series, tiers: Ints
) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """The rows that arrive on a day, repeats of them for the next day's file, and the fees (10^-8 CXPT) they earn on."""
    rng = np.random.default_rng([size.seed, 1, day])
    closing = day == size.days
    count = max(size.rows // size.days, 1) if not closing else 200
    start = to_micros(GENESIS) + day * DAY_US
    started = start + np.sort(rng.integers(0, HOUR_US // 4 if closing else DAY_US - 2 * MINUTE_US, count))
    late = (rng.random(count) < 0.003) & (day > 0)
    started = np.where(late, start - rng.integers(HOUR_US, 40 * HOUR_US, count), started)
    arrived = np.where(late, start + HOUR_US // 8, started + rng.integers(SECOND_US, MINUTE_US, count))
    if closing:
        arrived = np.maximum(arrived, start + 35 * MINUTE_US)
    provision, endpoint = rng.integers(0, len(provisions), count), _draw_endpoints(rng, count)
    tier = tiers[provision]
    fee = FEE_E8[endpoint, tier] * rng.integers(50, 300, count) // 100
    status = np.where(rng.random(count) < 0.03, 500, 200).astype(np.int16)
    latency = np.minimum(rng.lognormal(7.0, 1.0, count).astype(np.int64), 3_600_000)
    latency = np.where(rng.random(count) < 0.0005, -1, latency)
    ids = draw_ids(rng, count)
    names = provisions.gather(provision)
    names = pl.select(pl.when(pl.Series(rng.random(count) < 0.0002)).then(pl.lit("unheard-of")).otherwise(names))
    rows = pl.DataFrame(
        {
            "request_id": ids,
            "started_at": _time(started),
            "user_id": users.gather(rng.integers(0, len(users), count)),
            "provision_id": names.to_series(),
            "endpoint": pl.Series(ENDPOINTS).gather(endpoint),
            "model": pl.Series(MODELS).gather(endpoint),
            "service_tier": pl.Series(TIERS).gather(tier),
            "latency_ms": latency,
            "input_tokens": rng.integers(10, 4000, count),
            "output_tokens": rng.integers(0, 2000, count),
            "status_code": status,
            "fee_cxpt": pl.select(pl.Series(fee).cast(pl.Decimal(20, 0)) * pl.lit("0.00000001").cast(pl.Decimal(20, 8)))
            .to_series()
            .cast(pl.Decimal(20, 8)),
            "ingested_at": _time(arrived),
        }
    )
    again = rows.filter(pl.Series(rng.random(count) < 0.01))
    half = again.height // 2
    soon = again.head(half).with_columns(pl.col("ingested_at") + timedelta(seconds=50))
    next_day = pl.lit(start + DAY_US).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    following = again.tail(again.height - half).with_columns(ingested_at=next_day + timedelta(minutes=1))
    conflicts = soon.filter(pl.Series(rng.random(half) < 0.02)).with_columns(pl.col("output_tokens") + 1)
    earning = (status == 200) & (latency >= 0) & ~late
    return pl.concat([rows, soon, conflicts]), following, 0 if closing else int(fee[earning].sum())


def _draw_endpoints(rng: np.random.Generator, count: int) -> Ints:
    return np.searchsorted([0.8, 0.89, 0.94], rng.random(count), side="right")


def _draw_heartbeats(size: Size, day: int, provisions: pl.Series) -> pl.DataFrame:
    """Each provision is probed every four hours, at an hour of its own."""
    rng = np.random.default_rng([size.seed, 2, day])
    start = to_micros(GENESIS) + day * DAY_US
    turns = 1 if day == size.days else 6
    who = np.tile(np.arange(len(provisions)), turns)
    hour = np.repeat(np.arange(turns), len(provisions)) * 4 + who % 4
    at = start + hour * HOUR_US + rng.integers(0, HOUR_US - MINUTE_US, len(who))
    order = np.argsort(at, kind="stable")
    ok = rng.random(len(who)) >= 0.004
    return pl.DataFrame({"provision_id": provisions.gather(who[order]), "probed_at": _time(at[order]), "ok": ok[order]})


def _write_deposits(folder: Path, size: Size, fees_e8: int) -> None:
    """The Vault's share of what the earning rows paid, once a day."""
    rows = []
    for day in range(size.days):
        share = fees_e8 * UNITS_PER_E8 * DEPOSIT_BP // 10_000 // size.days
        protocol, provider = (share * part // sum(SPLIT) for part in SPLIT[:2])
        moment = GENESIS + timedelta(days=day, hours=20)
        rows.append((moment, 1000 + day, "0x" + "07" * 20, share, protocol, provider, share - protocol - provider))
    units = pl.Decimal(38, 0)
    schema = {"deposited_at": TIME, "block_number": pl.Int64, "payer": pl.String, "amount": units}
    schema |= {"protocol_amount": units, "provider_amount": units, "user_amount": units}
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / "deposits.parquet")


def _time(micros: Ints) -> pl.Series:
    return pl.Series(micros).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _to_binary(content: bytes, width: int) -> pl.Series:
    """Fixed-width values one after the other as a column of bytes."""
    count = len(content) // width
    hexes = pl.Series([content.hex()]) if count else pl.Series([], dtype=pl.String)
    return hexes.str.extract_all(f"[0-9a-f]{{{2 * width}}}").explode().str.decode("hex")


def _no_rows() -> pl.DataFrame:
    size = Size(rows=1, provisions=1, users=1)
    rows, _, _ = _draw_day(size, 0, pl.Series(["u"]), pl.Series(["p"]), np.zeros(1, dtype=np.int64))
    return rows.clear()
