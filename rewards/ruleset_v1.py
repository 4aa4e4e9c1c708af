"""The rules of version 1: which scoring, which pools, which distribution. Frozen once an epoch used it."""

from collections.abc import Mapping

import polars as pl

from rewards import allocation, distribution, scoring
from rewards.distribution import Held, sum_by_pool
from rewards.errors import InputError
from rewards.policy import BP, Policy
from rewards.ports import EpochInputs, PoolTotals, Previous
from rewards.schemas import ALLOCATIONS, MONEY, STATE, add_up
from rewards.units import POOL_NAMES, POOLS, PROVIDER, USER

NAME = "v1"
VERSION = "1.0.0"

DEPOSIT_COLUMN = {PROVIDER: "provider_amount", USER: "user_amount"}


def score(inputs: EpochInputs, accounts: pl.DataFrame, previous: Previous, policy: Policy) -> scoring.Scores:
    """Scores of both pools; `accounts` carries `wallet`. Streaks and demand come from the previous state."""
    state = previous.state
    oldest = inputs.epoch.number - policy.demand.epochs
    history = state.filter((pl.col("kind") == "demand") & (pl.col("epoch") >= oldest))
    return scoring.score_epoch(
        inputs.rollup,
        inputs.heartbeats,
        accounts,
        inputs.provisions,
        streaks=state.filter(pl.col("kind") == "streak").select(user_id="id", epochs=pl.col("amount").cast(pl.Int64)),
        demand=history.select("endpoint", "service_tier", "hour", weight=pl.col("amount").cast(pl.Int64)),
        policy=policy,
        epoch=inputs.epoch,
    )


def deposited(inputs: EpochInputs, previous: Previous) -> dict[int, int]:
    """Cumulative deposits per pool up to the epoch's reference block (or end)."""
    return {pool: previous.totals[pool].deposited + add_up(inputs.deposits[DEPOSIT_COLUMN[pool]]) for pool in POOLS}


def positive_corrections(inputs: EpochInputs) -> dict[int, int]:
    """What corrections credit in this epoch, per pool."""
    return sum_by_pool(inputs.corrections.filter(pl.col("amount") > 0))


def limit_credits(inputs: EpochInputs, held: Held) -> Held:
    """Held amounts are credited up to what the Vault's limit leaves beside corrections."""
    if inputs.limits is None:
        return held
    corrected = positive_corrections(inputs)
    return distribution.fit_credits(held, {pool: max(0, inputs.limits[pool] - corrected[pool]) for pool in POOLS})


def size_pools(inputs: EpochInputs, previous: Previous, held: Held, policy: Policy) -> dict[int, int]:
    """Base units that each pool splits: (deposited − claimables − held − corrections) × release, within the Vault's
    limit.

    Raises InputError for corrections that credit more than the pool holds."""
    income, corrected, credited = deposited(inputs, previous), positive_corrections(inputs), sum_by_pool(held.credited)
    pools = {}
    for pool in POOLS:
        before = previous.totals[pool]
        free = max(0, income[pool] - before.claimables - before.held)
        if corrected[pool] > free:
            raise InputError(
                f"corrections credit {corrected[pool]} base units of the {POOL_NAMES[pool]} pool, which has {free} to give; "
                "leave some for a later epoch"
            )
        amount = (free - corrected[pool]) * policy.pools.release_bp // BP
        if inputs.limits is not None:
            amount = max(0, min(amount, inputs.limits[pool] - credited[pool] - corrected[pool]))
        pools[pool] = amount
    return pools


def allocate(pools: Mapping[int, int], scores: pl.DataFrame) -> pl.DataFrame:
    """`schemas.ALLOCATIONS` of both pools: the share by largest remainder, the amount cut at the cap."""
    parts = []
    for pool in POOLS:
        scored = scores.filter((pl.col("pool") == pool) & (pl.col("score") > 0))
        shares = allocation.allocate(pools[pool], scored.select("account_id", "score")).rename({"amount": "share"})
        parts.append(scored.select("pool", "account_id", "score", "cap").join(shares, on="account_id"))
    joined = pl.concat(parts)
    return ALLOCATIONS.arrange(joined.with_columns(amount=pl.min_horizontal("share", "cap").cast(MONEY)))


def carry_on(
    inputs: EpochInputs, previous: Previous, scores: scoring.Scores, spread: distribution.Distribution, policy: Policy
) -> pl.DataFrame:
    """`schemas.STATE`: streaks, held amounts, debts, and the demand of the last epochs that the next one reads."""
    keep_from = inputs.epoch.number + 1 - policy.demand.epochs
    older = previous.state.filter((pl.col("kind") == "demand") & (pl.col("epoch") >= keep_from))
    parts = [
        older,
        _state("demand", scores.demand.rename({"weight": "amount"}), epoch=pl.lit(inputs.epoch.number)),
        _state("streak", scores.streaks.rename({"user_id": "id", "epochs": "amount"})),
        _state("held", spread.held),
        _state("debt", spread.debts),
    ]
    return STATE.arrange(pl.concat(parts))


def _state(kind: str, frame: pl.DataFrame, **columns: pl.Expr) -> pl.DataFrame:
    blank = {name: pl.lit("" if dtype == pl.String else 0) for name, dtype in STATE.columns.items()}
    given = {name: pl.col(name) for name in frame.columns}
    filled = {**blank, "kind": pl.lit(kind), **given, **columns}
    return frame.select(filled[name].cast(dtype).alias(name) for name, dtype in STATE.columns.items())


def total(
    inputs: EpochInputs,
    previous: Previous,
    pools: Mapping[int, int],
    allocations: pl.DataFrame,
    spread: distribution.Distribution,
) -> dict[int, PoolTotals]:
    """The books of each pool after the epoch; the carry-over by what came in and what went out."""
    income, corrected, allocated = deposited(inputs, previous), positive_corrections(inputs), sum_by_pool(allocations)
    claimables, held = sum_by_pool(spread.claimables, "cumulative_amount"), sum_by_pool(spread.held)
    books = {}
    for pool in POOLS:
        before = previous.totals[pool]
        came_in = income[pool] - before.deposited + spread.withheld[pool] + spread.returned[pool]
        books[pool] = PoolTotals(
            deposited=income[pool],
            pool=pools[pool],
            allocated=allocated[pool],
            corrected=corrected[pool],
            withheld=spread.withheld[pool],
            returned=spread.returned[pool],
            claimables=claimables[pool],
            held=held[pool],
            carry_over=before.carry_over + came_in - allocated[pool] - corrected[pool],
        )
    return books
