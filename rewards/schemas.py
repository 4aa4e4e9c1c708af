"""pandera models of every table that crosses a boundary, their column order and their sort keys.

Money is `Decimal(38, 0)` in base units, fees of usage are 10^-8 CXPT (`_e8`); times are UTC with microseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaError, SchemaErrors

from rewards.errors import InputError, LimitError

MONEY = pl.Decimal(38, 0)
TIME = pl.Datetime("us", "UTC")

USAGE_COLUMNS: Mapping[str, str] = {
    "request_id": "text",
    "started_at": "time",
    "user_id": "text",
    "provision_id": "text",
    "endpoint": "text",
    "model": "text",
    "service_tier": "text",
    "latency_ms": "integer",
    "input_tokens": "integer",
    "output_tokens": "integer",
    "status_code": "integer",
    "fee_cxpt": "decimal",
    "ingested_at": "time",
}
"""Columns of a usage record in their canonical order and what each holds; `ingested_at` may be absent."""

HEARTBEAT_COLUMNS: Mapping[str, str] = {"provision_id": "text", "probed_at": "time", "ok": "boolean"}

QUARANTINE_REASONS = (
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
NOT_EARNING_REASONS = ("status", "one_person", "suspended")

MAX_FEE_E8 = 10**17
"""The whole supply: a larger fee is an impossible value, and sums of fees stay exact."""


@dataclass(frozen=True)
class Table:
    """One table: polars types by column, which columns may be null, the key that is unique, and checks of values."""

    name: str
    columns: Mapping[str, pl.DataType | type[pl.DataType]]
    key: tuple[str, ...]
    nullable: frozenset[str] = frozenset()
    unique: bool = True
    checks: Mapping[str, pa.Check] = field(default_factory=dict)

    def model(self) -> pa.DataFrameSchema:
        """The pandera schema: these columns in this order and no others. That keys are unique is checked apart, by
        neighbours where rows are in order."""
        return pa.DataFrameSchema(
            {
                name: pa.Column(dtype, self.checks.get(name), nullable=name in self.nullable)
                for name, dtype in self.columns.items()
            },
            strict=True,
            ordered=True,
            name=self.name,
        )

    def empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=dict(self.columns))

    def arrange(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame in canonical form: these columns, sorted by key (then by every column where the key repeats), one
        chunk."""
        order = list(self.key) if self.unique else list(dict.fromkeys((*self.key, *self.columns)))
        frame = frame.select(pl.col(n).cast(t) for n, t in self.columns.items())
        # To see that millions of rows are in order takes a tenth of sorting them again.
        return (frame if _is_sorted(frame, order) else frame.sort(order, nulls_last=False)).rechunk()

    def check(self, frame: pl.DataFrame, origin: str = "") -> pl.DataFrame:
        """The frame itself when it fits the model; else InputError with table, column and the first wrong value."""
        where = f"{self.name}{f' ({origin})' if origin else ''}"
        missing = [c for c in self.columns if c not in frame.columns]
        unknown = [c for c in frame.columns if c not in self.columns]
        if missing or unknown:
            parts = [f"lacks the column {c}" for c in missing] + [f"has the unknown column {c}" for c in unknown]
            raise InputError(f"{where} {', '.join(parts)}; it must have exactly {', '.join(self.columns)}")
        try:
            self.model().validate(frame)
        except (SchemaError, SchemaErrors) as error:
            raise InputError(f"{where}: {_first_failure(error)}") from error
        if self.unique and (repeated := _find_repeated(frame.select(self.key))) is not None:
            shown = ", ".join(map(repr, repeated))
            raise InputError(f"{where}: column {', '.join(self.key)} holds {shown} more than once; keep one row")
        return frame


def _find_repeated(keys: pl.DataFrame) -> tuple[object, ...] | None:
    """A key that two rows have, if any does."""
    if _is_sorted(keys, keys.columns):
        alike = [pl.col(n).slice(1).eq_missing(pl.col(n).slice(0, pl.len() - 1)) for n in keys.columns]
        repeated = keys[1:].filter(keys.select(pl.all_horizontal(alike)).to_series()) if keys.height > 1 else keys[:0]
    else:
        repeated = keys.filter(keys.is_duplicated())
    return repeated.row(0) if repeated.height else None


def add_up(column: pl.Series) -> int:
    """The exact sum of integers or of decimals without a fraction; LimitError past 38 digits, where others wrap."""
    try:
        return int(column.cast(MONEY).sum())
    except pl.exceptions.PolarsError as error:
        raise LimitError(f"{column.name or 'a column'} adds up to more than 38 digits: {error}") from error


def _is_sorted(frame: pl.DataFrame, order: Sequence[str]) -> bool:
    """Whether rows ascend by the columns of `order`, nulls first."""
    ascends = pl.lit(True)
    for name in reversed(order):
        this, before = pl.col(name).slice(1), pl.col(name).slice(0, pl.len() - 1)
        less = before.is_null() & this.is_not_null() | (before < this).fill_null(False)
        ascends = less | before.eq_missing(this) & ascends
    return frame.height < 2 or bool(frame.select(ascends.all()).item())


def _first_failure(error: SchemaError | SchemaErrors) -> str:
    first = error.schema_errors[0] if isinstance(error, SchemaErrors) else error
    if isinstance(first, dict):  # pandera's summary form
        return str(first)
    cases = first.failure_cases
    value = ""
    if isinstance(cases, pl.DataFrame) and cases.height:
        value = f"; first: {cases.row(0)}"
    elif cases is not None and not isinstance(cases, pl.DataFrame):
        value = f"; found {cases}"
    column = getattr(first.schema, "name", None)
    return f"column {column}: {first.reason_code.name.lower() if first.reason_code else 'check'} failed: {first.check}{value}"


ACCOUNTS = Table(
    "accounts",
    {
        "account_id": pl.String,
        "kind": pl.String,
        "wallet_address": pl.String,
        "suspended_at": TIME,
        "referred_by": pl.String,
        "created_at": TIME,
    },
    key=("account_id",),
    nullable=frozenset({"wallet_address", "suspended_at", "referred_by"}),
    checks={"account_id": pa.Check.str_length(min_value=1), "kind": pa.Check.isin(["provider", "user"])},
)

PROVISIONS = Table(
    "provisions",
    {
        "provision_id": pl.String,
        "provider_id": pl.String,
        "service_tier": pl.String,
        "country": pl.String,
        "registered_at": TIME,
        "retired_at": TIME,
    },
    key=("provision_id",),
    nullable=frozenset({"country", "retired_at"}),
    checks={
        "provision_id": pa.Check.str_length(min_value=1),
        "service_tier": pa.Check.isin(["tide_pool", "blue_surge", "open_ocean", "mariana_depth"]),
    },
)

DEPOSITS = Table(
    "deposits",
    {
        "deposited_at": TIME,
        "block_number": pl.Int64,
        "payer": pl.String,
        "amount": MONEY,
        "protocol_amount": MONEY,
        "provider_amount": MONEY,
        "user_amount": MONEY,
        "funding": pl.Boolean,
    },
    key=("block_number", "deposited_at", "payer"),
    nullable=frozenset({"block_number"}),
    unique=False,
)
"""`funding` is true for `PoolFunded`, which is no fee; a deposits file may leave it out (then all are fees)."""

HEARTBEATS_ROLLUP = Table(
    "heartbeats_rollup",
    {"provision_id": pl.String, "heartbeats": pl.Int64, "ok": pl.Int64},
    key=("provision_id",),
)
"""Per provision, distinct probe times of the epoch while it was registered, and how many of them were ok."""

ROLLUP = Table(
    "rollup",
    {
        "part": pl.String,
        "subject_id": pl.String,
        "endpoint": pl.String,
        "slot": pl.Int16,
        "reason": pl.String,
        "requests": pl.Int64,
        "weight": pl.Int64,
        "fee_e8": MONEY,
    },
    key=("part", "subject_id", "endpoint", "slot", "reason"),
)
"""Integer counts and sums of usage per key. What the columns mean depends on `part`:

| part | subject_id | endpoint | slot | reason | rows |
|---|---|---|---|---|---|
| provision | provision | endpoint | hour of day 0–23 of started_at, −1 for late rows | "" | the provider's rows |
| latency | provision | endpoint | index of the histogram bucket | "" | provider's rows, not late, weight 10000 |
| user | user id | "" | 0, or −1 for late rows | "" | the user's rows |
| provision_not_counted | provision | "" | 0 | class or reason | rows that earn its provider nothing |
| user_not_counted | user id | "" | 0 | class or reason | rows that earn the user nothing |

`weight` is Σw and is 0 outside `provision`; `fee_e8` is Σ fee in 10^-8 CXPT of `provision` and `user`, else 0.
"""
LATE = -1

QUARANTINE = Table(
    "quarantine",
    {**dict.fromkeys(USAGE_COLUMNS, pl.String), "reason": pl.String, "column": pl.String, "value": pl.String},
    key=("request_id", "reason"),
    nullable=frozenset({*USAGE_COLUMNS, "value"}),
    unique=False,
    checks={"reason": pa.Check.isin(list(QUARANTINE_REASONS))},
)
"""Bad rows with their content as text (times as ISO 8601 in UTC, fees with 8 places), the reason, the column and its
value."""

SCORES = Table(
    "scores",
    {
        "pool": pl.Int8,
        "account_id": pl.String,
        "requests": pl.Int64,
        "weight": pl.Int64,
        "fee_e8": MONEY,
        "loyalty_epochs": pl.Int64,
        "loyalty_bp": pl.Int64,
        "own_score": pl.Int64,
        "referral_earned": pl.Int64,
        "referral_counted": pl.Int64,
        "score": pl.Int64,
        "own_cap": MONEY,
        "cap": MONEY,
    },
    key=("pool", "account_id"),
)
"""One row per (pool, account id) with rows of its side or a referee that has some; `referral_counted` is
`referral_earned` cut at the own score."""

PROVISION_SCORES = Table(
    "provision_scores",
    {
        "provision_id": pl.String,
        "endpoint": pl.String,
        "account_id": pl.String,
        "requests": pl.Int64,
        "weight": pl.Int64,
        "base_points": pl.Int64,
        "demand_points": pl.Int64,
        "median_ms": pl.Int64,
        "latency_bp": pl.Int64,
        "endpoint_points": pl.Int64,
        "heartbeats": pl.Int64,
        "heartbeats_ok": pl.Int64,
        "uptime_bp": pl.Int64,
        "next_median_ms": pl.Int64,
        "next_ok": pl.Int64,
    },
    key=("provision_id", "endpoint"),
    nullable=frozenset({"median_ms", "next_median_ms", "next_ok"}),
)
"""Why a provider's own score is what it is, per provision and endpoint, in milli-points.

`base_points` is Σw × base // 10^4 before demand; `demand_points` after demand; `endpoint_points` after response time;
the provision's points are Σ endpoint_points × uptime_bp // 10^4. `next_median_ms` and `next_ok` are what the next knot
of each multiplier needs (null where there is none).
"""

ALLOCATIONS = Table(
    "allocations",
    {
        "pool": pl.Int8,
        "account_id": pl.String,
        "score": pl.Int64,
        "share": MONEY,
        "cap": MONEY,
        "amount": MONEY,
    },
    key=("pool", "account_id"),
)
"""`share` is the account's part of the pool, `amount` = min(share, cap)."""

CLAIMABLES = Table(
    "claimables",
    {"pool": pl.Int8, "account": pl.String, "cumulative_amount": MONEY},
    key=("pool", "account"),
)

STATE = Table(
    "state",
    {
        "kind": pl.String,
        "pool": pl.Int8,
        "id": pl.String,
        "epoch": pl.Int64,
        "endpoint": pl.String,
        "service_tier": pl.String,
        "hour": pl.Int16,
        "amount": MONEY,
    },
    key=("kind", "pool", "id", "epoch", "endpoint", "service_tier", "hour"),
)
"""What travels from epoch to epoch; unused columns hold 0 or "".

`streak`: id = user, amount = epochs in a row. `held`: pool, id = account, epoch in which it was allocated, amount.
`debt`: pool, id = account, amount still to withhold. `demand`: epoch, endpoint, service_tier, hour, amount = Σw.
"""

CORRECTIONS = Table(
    "corrections",
    {
        "epoch": pl.Int64,
        "pool": pl.Int8,
        "account_id": pl.String,
        "amount": MONEY,
        "reason": pl.String,
        "signer": pl.String,
        "signature": pl.String,
    },
    key=("epoch", "pool", "account_id", "reason"),
    checks={"pool": pa.Check.isin([1, 2]), "reason": pa.Check.str_length(min_value=1)},
)
"""Signed amounts that enter an epoch: positive ones are credited, negative ones become debt. `signer` and `signature`
(65 bytes) are `0x` and lower-case hex; `rewards.corrections` says what is signed."""

PUBLISHED = (
    ACCOUNTS,
    PROVISIONS,
    DEPOSITS,
    HEARTBEATS_ROLLUP,
    ROLLUP,
    QUARANTINE,
    SCORES,
    PROVISION_SCORES,
    ALLOCATIONS,
    CLAIMABLES,
    STATE,
)
