"""Ruleset 1 reads of the state what the page says, carries on what the next epoch needs, and is found by epoch."""

from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards import reference, ruleset_v1, rulesets
from rewards.compute import compute_epoch
from rewards.errors import PolicyError
from rewards.policy import Policy
from rewards.ports import EpochInputs, PoolTotals, Previous
from rewards.schemas import CLAIMABLES, STATE
from rewards.units import POOLS, PROVIDER, USER
from tests import worlds
from tests.worlds import CALENDAR, POLICY, Demand, World, change, draw_world

TODAY = 12


def make_state(demand: dict[int, Demand], streaks: dict[str, int]) -> pl.DataFrame:
    rows = [
        ("demand", 0, "", epoch, *key, weight) for epoch, weights in demand.items() for key, weight in weights.items()
    ] + [("streak", 0, user, 0, "", "", 0, epochs) for user, epochs in streaks.items()]
    return STATE.arrange(pl.DataFrame(rows, schema=dict(STATE.columns), orient="row"))


def make_inputs(world: World) -> EpochInputs:
    return EpochInputs(
        epoch=CALENDAR.epoch(TODAY),
        rollup=worlds.rollup_frame(world.usage),
        heartbeats=worlds.heartbeats_frame(world.heartbeats),
        accounts=worlds.accounts_frame(world.accounts),
        provisions=worlds.provisions_frame(world.provisions),
        deposits=worlds.deposits_frame(CALENDAR.epoch(TODAY), [(10**18, 10**18)]),
        corrections=worlds.corrections_frame([]),
    )


@given(st.integers(0, 2**32), st.sampled_from([1, 3, 7, 9]))
@settings(max_examples=25)
def test_demand_is_of_the_epochs_before_and_no_older(seed: int, epochs: int) -> None:
    policy = change(POLICY, demand={"epochs": epochs})
    world, rng = draw_world(seed, 8, CALENDAR.epoch(TODAY)), Random(seed)
    history = {epoch: worlds.draw_demand(rng) for epoch in range(TODAY - 10, TODAY)}
    previous = Previous(
        None, CLAIMABLES.empty(), make_state(history, world.streaks), {p: PoolTotals.zero() for p in POOLS}
    )
    result = compute_epoch(make_inputs(world), previous, policy)
    expected = reference.score_epoch(
        world.usage,
        world.heartbeats,
        {p.provision_id: p for p in world.provisions},
        {a.account_id: a for a in world.accounts},
        world.streaks,
        worlds.add_demand(history[epoch] for epoch in range(TODAY - epochs, TODAY)),
        policy,
        CALENDAR.epoch(TODAY),
    )
    found = {
        (p, i): (own, score, cap)
        for p, i, own, score, cap in result.scores.select("pool", "account_id", "own_score", "score", "cap").iter_rows()
    }
    assert found == {key: (one.own_score, one.score, one.cap) for key, one in expected.items()}
    kept = result.state.filter((pl.col("kind") == "demand") & (pl.col("epoch") < TODAY))
    wanted = {(e, *key): w for e in range(TODAY + 1 - epochs, TODAY) for key, w in history[e].items()}
    columns = ("epoch", "endpoint", "service_tier", "hour", "amount")
    assert {row[:-1]: int(row[-1]) for row in kept.select(columns).iter_rows()} == wanted


def test_streaks_climb_every_step_and_break() -> None:
    user = reference.Account("u", "user", None, None, None, CALENDAR.genesis_us)
    reached, state = {}, make_state({}, {})
    for day in range(1, 93):
        fee = 9_999 if day == 92 else 10_000
        world = World([user], usage=[reference.Usage("user", "u", "", 0, 1, 0, fee)])
        previous = Previous(None, CLAIMABLES.empty(), state, {p: PoolTotals.zero() for p in POOLS})
        result = compute_epoch(make_inputs(world), previous, POLICY)
        (row,) = result.scores.iter_rows(named=True)
        reached[day] = (row["loyalty_epochs"], row["loyalty_bp"])
        state = result.state.filter(pl.col("kind") == "streak")
    assert [reached[d] for d in (1, 6, 7, 29, 30, 89, 90, 91)] == [
        (1, 10_000), (6, 10_000), (7, 11_000), (29, 11_000), (30, 12_000), (89, 12_000), (90, 13_000), (91, 13_000)
    ]  # fmt: skip
    assert reached[92] == (0, 10_000) and state.is_empty()


def test_a_day_without_usage_breaks_a_streak() -> None:
    previous = Previous(None, CLAIMABLES.empty(), make_state({}, {"u": 50}), {p: PoolTotals.zero() for p in POOLS})
    assert compute_epoch(make_inputs(World()), previous, POLICY).state.is_empty()


def test_deposits_of_both_pools_add_up_to_what_was_there() -> None:
    totals = {PROVIDER: PoolTotals(7, 0, 0, 0, 0, 0, 2, 1, 4), USER: PoolTotals(9, 0, 0, 0, 0, 0, 0, 0, 9)}
    previous = Previous(None, CLAIMABLES.empty(), STATE.empty(), totals)
    inputs = make_inputs(World())
    assert ruleset_v1.deposited(inputs, previous) == {PROVIDER: 10**18 + 7, USER: 10**18 + 9}
    held = compute_epoch(inputs, Previous(None, CLAIMABLES.empty(), STATE.empty(), totals), POLICY)
    assert {pool: one.pool for pool, one in held.totals.items()} == {PROVIDER: 10**18 + 4, USER: 10**18 + 9}


@pytest.mark.parametrize("number", [0, 1, 10**9])
def test_ruleset_1_rules_every_epoch(number: int) -> None:
    assert rulesets.ruleset_for(number, POLICY) is ruleset_v1
    other = Policy.model_validate(POLICY.model_dump() | {"ruleset": "v2"})
    with pytest.raises(PolicyError, match=f"epoch {number} follows ruleset v1; its policy is written for 'v2'"):
        rulesets.ruleset_for(number, other)
