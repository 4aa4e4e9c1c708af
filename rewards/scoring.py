"""Usage roll-up and performance to scores, caps and their explanation: exact integers in Polars.

Formulas: docs/reward-spec.md. `rewards.reference` is the definition in plain Python; both must agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from rewards.epoch import Epoch
from rewards.errors import LimitError
from rewards.policy import BP, Policy
from rewards.schemas import LATE, MONEY, PROVISION_SCORES, SCORES
from rewards.units import PROVIDER, UNITS_PER_E8, USER

WIDE = pl.Int128
MAX_SCORE = 2**63 - 1
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Scores:
    """`scores` and `provision_scores` as in `schemas`; `streaks`: user_id, epochs; `demand`: endpoint, service_tier,
    hour, weight."""

    scores: pl.DataFrame
    provision_scores: pl.DataFrame
    streaks: pl.DataFrame
    demand: pl.DataFrame


def interpolate(x: pl.Expr, knots: Sequence[tuple[int, int]]) -> pl.Expr:
    """Points on the straight lines between knots, clamped outside: y0 + (x − x0) × (y1 − y0) // (x1 − x0)."""
    value = pl.lit(knots[-1][1], dtype=pl.Int64)
    for (x0, y0), (x1, y1) in reversed(list(pairwise(knots))):
        value = pl.when(x < x1).then(y0 + (x - x0) * (y1 - y0) // (x1 - x0)).otherwise(value)
    return pl.when(x <= knots[0][0]).then(pl.lit(knots[0][1], dtype=pl.Int64)).otherwise(value)


def step(x: pl.Expr, steps: Sequence[tuple[int, int]]) -> pl.Expr:
    """The value of the last step that starts at or below x."""
    value = pl.lit(steps[0][1], dtype=pl.Int64)
    for start, reached in steps[1:]:
        value = pl.when(x >= start).then(pl.lit(reached, dtype=pl.Int64)).otherwise(value)
    return value


def _within_bound(frame: pl.DataFrame, column: str, what: str) -> pl.DataFrame:
    """Narrow a wide column to 64 bits; raises LimitError with the value that does not fit."""
    total = sum(frame[column].to_list())
    if total > MAX_SCORE:
        raise LimitError(f"the {what} add up to {total}; scores are exact up to {MAX_SCORE}")
    return frame.with_columns(pl.col(column).cast(pl.Int64))


def demand_multipliers(history: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """`demand_bp` by (endpoint, service_tier, hour) from the weights of the epochs before (columns as in
    `Scores.demand`)."""
    rules = policy.demand
    sums = history.group_by("endpoint", "service_tier", "hour").agg(pl.col("weight").cast(WIDE).sum())
    whole = pl.col("weight").sum().over("endpoint", "service_tier") // BP
    hour = pl.col("weight") // BP
    multiplier = (hour + rules.offset) * (24 * BP) // (whole + 24 * rules.offset)
    known = sums.with_columns(demand_bp=multiplier.clip(rules.min_bp, rules.max_bp).cast(pl.Int64)).drop("weight")
    # Hours that saw nothing in the epochs before still belong to a pair that saw something in others.
    pairs = known.select("endpoint", "service_tier").unique()
    every_hour = pairs.join(pl.DataFrame({"hour": range(24)}, schema={"hour": pl.Int16}), how="cross")
    day = sums.group_by("endpoint", "service_tier").agg(whole=pl.col("weight").sum() // BP)
    idle = (pl.lit(rules.offset, dtype=WIDE) * (24 * BP) // (pl.col("whole") + 24 * rules.offset)).clip(
        rules.min_bp, rules.max_bp
    )
    return (
        every_hour.join(known, on=["endpoint", "service_tier", "hour"], how="left")
        .join(day, on=["endpoint", "service_tier"])
        .with_columns(demand_bp=pl.coalesce("demand_bp", idle.cast(pl.Int64)))
        .drop("whole")
    )


def _base_points(policy: Policy) -> pl.DataFrame:
    rows = [(e, t, p) for e, numbers in policy.endpoints.items() for t, p in numbers.base_points.items()]
    return pl.DataFrame(rows, schema={"endpoint": pl.String, "service_tier": pl.String, "base": pl.Int64}, orient="row")


def _medians(rollup: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Per provision and endpoint the upper edge of the bucket in which the running count reaches half, rounded up."""
    edges = pl.DataFrame({"slot": range(len(policy.response_time.edges_ms)), "median_ms": policy.response_time.edges_ms},
                         schema={"slot": pl.Int16, "median_ms": pl.Int64})  # fmt: skip
    key = ["subject_id", "endpoint"]
    counted = rollup.filter(pl.col("part") == "latency").sort(*key, "slot")
    half = (pl.col("requests").sum().over(key) + 1) // 2
    return (
        counted.filter(pl.col("requests").cum_sum().over(key) >= half)
        .group_by(key)
        .agg(pl.col("slot").min())
        .join(edges, on="slot")
        .drop("slot")
    )


def _score_provisions(
    rollup: pl.DataFrame, heartbeats: pl.DataFrame, provisions: pl.DataFrame, demand: pl.DataFrame, policy: Policy
) -> pl.DataFrame:
    """`schemas.PROVISION_SCORES` of every provision with rows of its provider."""
    uptime, latency = policy.uptime, policy.response_time
    weighted = pl.col("weight").cast(WIDE) * pl.col("base")
    endpoints = (
        rollup.filter(pl.col("part") == "provision")
        .join(
            provisions.select(subject_id="provision_id", account_id="provider_id", service_tier="service_tier"),
            on="subject_id",
        )
        .join(_base_points(policy), on=["endpoint", "service_tier"])
        .join(
            demand,
            left_on=["endpoint", "service_tier", "slot"],
            right_on=["endpoint", "service_tier", "hour"],
            how="left",
        )
        .with_columns(
            demand_bp=pl.when(pl.col("slot") == LATE)
            .then(BP)
            .otherwise(pl.col("demand_bp").fill_null(_no_demand(policy)))
        )
        .with_columns(points=weighted * pl.col("demand_bp") // (BP * BP), plain=weighted)
        .group_by("subject_id", "endpoint", "account_id")
        .agg(
            pl.col("requests").sum(),
            pl.col("weight").sum(),
            base_points=pl.col("plain").sum() // BP,
            demand_points=pl.col("points").sum(),
        )
    )
    ok_bp = pl.col("heartbeats_ok") * BP // pl.col("heartbeats").clip(1)
    scored = (
        endpoints.join(_medians(rollup, policy), on=["subject_id", "endpoint"], how="left")
        .join(
            heartbeats.select(subject_id="provision_id", heartbeats="heartbeats", heartbeats_ok="ok"),
            on="subject_id",
            how="left",
        )
        .with_columns(pl.col("heartbeats", "heartbeats_ok").fill_null(0))
        .with_columns(latency_bp=interpolate(pl.col("median_ms"), latency.knots))
        .with_columns(latency_bp=pl.when(pl.col("median_ms").is_null()).then(BP).otherwise("latency_bp"))
        .with_columns(endpoint_points=pl.col("demand_points") * pl.col("latency_bp") // BP)
        .with_columns(
            uptime_bp=pl.when(pl.col("heartbeats") < uptime.min_heartbeats)
            .then(uptime.floor_bp)
            .otherwise(interpolate(ok_bp, uptime.knots)),
            next_median_ms=_next_lower(pl.col("median_ms"), [x for x, _ in latency.knots]),
            next_ok=_next_ok(uptime.knots, uptime.min_heartbeats),
        )
        .rename({"subject_id": "provision_id"})
    )
    for column in ("base_points", "demand_points", "endpoint_points"):
        scored = _within_bound(scored, column, f"{column} of provisions")
    return PROVISION_SCORES.arrange(scored)


def _no_demand(policy: Policy) -> int:
    """The multiplier of a pair that nobody used in the epochs before: offset × 24 × 10^4 // (24 × offset), clamped."""
    return max(policy.demand.min_bp, min(policy.demand.max_bp, BP))


def _next_lower(x: pl.Expr, knots: Sequence[int]) -> pl.Expr:
    """The nearest knot below x: the median that the next better multiplier wants; null when x is at the best
    already."""
    value: pl.Expr = pl.lit(None, dtype=pl.Int64)
    for knot in knots:
        value = pl.when(x > knot).then(pl.lit(knot, dtype=pl.Int64)).otherwise(value)
    return value


def _next_ok(knots: Sequence[tuple[int, int]], at_least: int) -> pl.Expr:
    """How many of the same number of heartbeats would have to be ok to reach the next knot of uptime."""
    share = pl.col("heartbeats_ok") * BP // pl.col("heartbeats").clip(1)
    value: pl.Expr = pl.lit(None, dtype=pl.Int64)
    for knot, _ in reversed(knots):
        value = pl.when(share < knot).then((pl.col("heartbeats") * knot + BP - 1) // BP).otherwise(value)
    return pl.when(pl.col("heartbeats") >= at_least).then(value)


def _score_providers(provision_scores: pl.DataFrame, rollup: pl.DataFrame, provisions: pl.DataFrame) -> pl.DataFrame:
    per_provision = provision_scores.group_by("provision_id", "account_id", "uptime_bp").agg(
        pl.col("endpoint_points").cast(WIDE).sum(), pl.col("requests").sum(), pl.col("weight").sum()
    )
    own = per_provision.group_by("account_id").agg(
        own_score=(pl.col("endpoint_points") * pl.col("uptime_bp") // BP).sum(),
        requests=pl.col("requests").sum(),
        weight=pl.col("weight").sum(),
    )
    fees = (
        rollup.filter(pl.col("part") == "provision")
        .join(provisions.select(subject_id="provision_id", account_id="provider_id"), on="subject_id")
        .group_by("account_id")
        .agg(fee_e8=pl.col("fee_e8").cast(WIDE).sum())
    )
    none = pl.lit(0, dtype=pl.Int64)
    return own.join(fees, on="account_id").with_columns(
        pool=pl.lit(PROVIDER, dtype=pl.Int8), loyalty_epochs=none, loyalty_bp=none + BP
    )


def _score_users(rollup: pl.DataFrame, streaks: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    on_time = pl.col("fee_e8").cast(WIDE).filter(pl.col("slot") != LATE).sum()
    users = (
        rollup.filter(pl.col("part") == "user")
        .group_by(account_id="subject_id")
        .agg(pl.col("requests").sum(), fee_e8=pl.col("fee_e8").cast(WIDE).sum(), on_time=on_time)
        .join(streaks.select(account_id="user_id", before="epochs"), on="account_id", how="left")
    )
    streak = (
        pl.when(pl.col("on_time") >= policy.loyalty.min_fee_e8).then(pl.col("before").fill_null(0) + 1).otherwise(0)
    )
    return (
        users.with_columns(loyalty_epochs=streak)
        .with_columns(loyalty_bp=step(pl.col("loyalty_epochs"), policy.loyalty.steps))
        .with_columns(
            own_score=pl.col("fee_e8") * pl.col("loyalty_bp") // BP,
            weight=pl.lit(0, dtype=pl.Int64),
            pool=pl.lit(USER, dtype=pl.Int8),
        )
    )


def referral_links(accounts: pl.DataFrame, epoch: Epoch) -> pl.DataFrame:
    """Every link that counts: account_id (the referee), referrer, kind, created_at (of the referee)."""
    active = pl.col("suspended_at").is_null() | (pl.col("suspended_at") >= epoch.end)
    living = accounts.filter(active)
    referrers = living.select(
        referrer="account_id", kind="kind", referrer_created="created_at", referrer_wallet="wallet"
    )
    linked = living.join(referrers, left_on=["referred_by", "kind"], right_on=["referrer", "kind"], how="inner")
    one_wallet = (pl.col("wallet") == pl.col("referrer_wallet")).fill_null(False)
    return linked.filter((pl.col("referrer_created") < pl.col("created_at")) & ~one_wallet).select(
        "account_id", "kind", "created_at", referrer="referred_by"
    )


def _referred(own: pl.DataFrame, accounts: pl.DataFrame, policy: Policy, epoch: Epoch) -> pl.DataFrame:
    """Per (pool, referrer): `referral_earned` and `cap_added`, floored for each referee and level before they are
    summed."""
    links = referral_links(accounts, epoch)
    next_link = links.select(referrer="account_id", next_referrer="referrer")
    young_us = policy.referral.referee_days * DAY_US
    age_us = pl.lit(epoch.start_us) - pl.col("created_at").dt.timestamp("us")
    chain = own.select("pool", "account_id", "own_score", "own_cap").join(links, on="account_id")
    levels = []
    for provider_bp, user_bp in zip(policy.referral.provider_bp, policy.referral.user_bp, strict=True):
        bp = pl.when(pl.col("pool") == PROVIDER).then(provider_bp).otherwise(user_bp).cast(WIDE)
        bonus = pl.when(age_us < young_us).then(pl.col("own_score") * bp // BP).otherwise(pl.lit(0, dtype=WIDE))
        levels.append(chain.select("pool", account_id="referrer", bonus=bonus, added=pl.col("own_cap") * bp // BP))
        chain = chain.join(next_link, on="referrer").drop("referrer").rename({"next_referrer": "referrer"})
    return (
        pl.concat(levels)
        .group_by("pool", "account_id")
        .agg(referral_earned=pl.col("bonus").sum(), cap_added=pl.col("added").sum())
    )


def score_epoch(
    rollup: pl.DataFrame,
    heartbeats: pl.DataFrame,
    accounts: pl.DataFrame,
    provisions: pl.DataFrame,
    streaks: pl.DataFrame,
    demand: pl.DataFrame,
    policy: Policy,
    epoch: Epoch,
) -> Scores:
    """Score both pools. `accounts` carries `wallet`; `streaks` (user_id, epochs) and `demand` (endpoint, service_tier,
    hour, weight) are of the epochs before. Raises LimitError where a total would leave the exact range."""
    for column in ("requests", "weight"):
        _within_bound(rollup.filter(pl.col("reason") == ""), column, f"{column} of the roll-up")
    multipliers = demand_multipliers(demand, policy)
    provision_scores = _score_provisions(rollup, heartbeats, provisions, multipliers, policy)
    columns = ["pool", "account_id", "requests", "weight", "fee_e8", "loyalty_epochs", "loyalty_bp", "own_score"]
    own = pl.concat(
        [
            _score_providers(provision_scores, rollup, provisions).select(columns).cast({"own_score": WIDE}),
            _score_users(rollup, streaks, policy).select(columns).cast({"own_score": WIDE, "loyalty_epochs": pl.Int64}),
        ]
    )
    own = _within_bound(own, "fee_e8", "fees").with_columns(pl.col("fee_e8").cast(WIDE))
    caps = policy.caps
    per_e8 = (
        pl.when(pl.col("pool") == PROVIDER).then(caps.provider_bp).otherwise(caps.user_bp).cast(WIDE) * caps.deposit_bp
    )
    own = own.with_columns(own_cap=pl.col("fee_e8") * UNITS_PER_E8 * per_e8 // (BP * BP))
    none = pl.lit(0, dtype=WIDE)
    counted = pl.min_horizontal("referral_earned", "own_score")
    scored = (
        own.join(_referred(own, accounts, policy, epoch), on=["pool", "account_id"], how="full", coalesce=True)
        .with_columns(pl.col("loyalty_bp").fill_null(BP), pl.exclude("pool", "account_id", "loyalty_bp").fill_null(0))
        .with_columns(referral_counted=counted, cap=pl.col("own_cap") + pl.col("cap_added") + none)
        .with_columns(score=pl.col("own_score") + pl.col("referral_counted"))
    )
    for column in ("referral_earned", "referral_counted", "own_score", "score"):
        scored = _within_bound(scored, column, f"{column} of accounts")
    scores = SCORES.arrange(scored.with_columns(pl.col("fee_e8", "own_cap", "cap").cast(MONEY)))
    seen = scores.filter((pl.col("pool") == USER) & (pl.col("loyalty_epochs") > 0))
    used = (
        rollup.filter((pl.col("part") == "provision") & (pl.col("slot") != LATE))
        .join(provisions.select(subject_id="provision_id", service_tier="service_tier"), on="subject_id")
        .group_by("endpoint", "service_tier", hour="slot")
        .agg(pl.col("weight").sum())
    )
    return Scores(scores, provision_scores, seen.select(user_id="account_id", epochs="loyalty_epochs"), used)
