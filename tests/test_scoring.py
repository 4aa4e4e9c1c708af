"""The fast scoring against the reference, on worlds drawn at random and on bounds."""

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rewards import reference
from rewards.errors import LimitError
from rewards.policy import BP, TIERS, Policy
from rewards.reference import LATE, Provision, Scored, Usage
from rewards.schemas import PROVISION_SCORES, SCORES
from rewards.scoring import Scores, demand_multipliers, interpolate, score_epoch, step
from rewards.units import PROVIDER, USER
from tests import worlds
from tests.worlds import CALENDAR, ENDPOINTS, POLICY, World, draw_world

EPOCH = CALENDAR.epoch(9)
SEEDS = st.integers(0, 2**32)


def score(world: World, policy: Policy = POLICY, shuffled: int | None = None) -> Scores:
    def mix(frame: pl.DataFrame) -> pl.DataFrame:
        return frame if shuffled is None else frame.sample(fraction=1, shuffle=True, seed=shuffled)

    return score_epoch(
        mix(worlds.rollup_frame(world.usage)),
        mix(worlds.heartbeats_frame(world.heartbeats)),
        mix(worlds.with_wallets(world.accounts)),
        mix(worlds.provisions_frame(world.provisions)),
        mix(worlds.streaks_frame(world.streaks)),
        mix(worlds.demand_frame(world.demand)),
        policy,
        EPOCH,
    )


def define(world: World, policy: Policy = POLICY) -> dict[tuple[int, str], Scored]:
    return reference.score_epoch(
        world.usage,
        world.heartbeats,
        {p.provision_id: p for p in world.provisions},
        {a.account_id: a for a in world.accounts},
        world.streaks,
        world.summed_demand(),
        policy,
        EPOCH,
    )


def to_scored(scores: pl.DataFrame) -> dict[tuple[int, str], Scored]:
    columns = ("own_score", "referral_earned", "referral_counted", "score", "own_cap", "cap", "loyalty_epochs")
    return {
        (row["pool"], row["account_id"]): Scored(*(int(row[c]) for c in columns))
        for row in scores.iter_rows(named=True)
    }


@given(SEEDS, st.integers(0, 14))
@settings(max_examples=100)
@example(0, 0)
def test_scores_equal_the_reference(seed: int, accounts: int) -> None:
    world = draw_world(seed, accounts, EPOCH)
    found = score(world)
    SCORES.check(found.scores)
    PROVISION_SCORES.check(found.provision_scores)
    assert to_scored(found.scores) == define(world)


def test_the_worlds_reach_what_they_are_for() -> None:
    """Levels, trims, streaks and clamps do occur in what the test above compares."""
    met = {"third level": 0, "trimmed": 0, "counted whole": 0, "streak": 0, "no account": 0, "old referee": 0}
    for seed in range(60):
        world = draw_world(seed, 14, EPOCH)
        links = {a.account_id: a for a in world.accounts}
        for (_, name), one in define(world).items():
            met["trimmed"] += one.referral_earned > one.referral_counted > 0
            met["counted whole"] += one.referral_earned == one.referral_counted > 0
            met["streak"] += one.streak > 7
            met["no account"] += name not in links and one.score > 0
            met["old referee"] += one.cap > one.own_cap and one.referral_earned == 0
            if name in links:
                met["third level"] += len(list(reference._find_referrers(name, links, EPOCH))) >= 3
    assert all(times >= 3 for times in met.values()), met


@given(SEEDS, st.integers(1, 10), SEEDS)
@settings(max_examples=30)
def test_the_order_of_rows_changes_nothing(seed: int, accounts: int, shuffle: int) -> None:
    world = draw_world(seed, accounts, EPOCH)
    found = score(world)
    again = score(world, shuffled=shuffle)
    assert again.scores.equals(found.scores)
    assert again.provision_scores.equals(found.provision_scores)
    assert again.streaks.sort("user_id").equals(found.streaks.sort("user_id"))
    key = ["endpoint", "service_tier", "hour"]
    assert again.demand.sort(key).equals(found.demand.sort(key))


@given(SEEDS, st.integers(1, 14))
@settings(max_examples=40)
def test_every_providers_score_follows_from_its_explanation(seed: int, accounts: int) -> None:
    found = score(draw_world(seed, accounts, EPOCH))
    points: dict[str, dict[str, int]] = {}
    for row in found.provision_scores.iter_rows(named=True):
        assert row["endpoint_points"] == row["demand_points"] * row["latency_bp"] // BP
        assert row["uptime_bp"] == reference.uptime_multiplier(row["heartbeats_ok"], row["heartbeats"], POLICY)
        assert row["latency_bp"] == reference.latency_multiplier(row["median_ms"], POLICY)
        provisions = points.setdefault(row["account_id"], {})
        provisions[row["provision_id"]] = provisions.get(row["provision_id"], 0) + row["endpoint_points"]
    uptime = dict(found.provision_scores.select("provision_id", "uptime_bp").iter_rows())
    own = {account: sum(p * uptime[i] // BP for i, p in provisions.items()) for account, provisions in points.items()}
    listed = found.scores.filter((pl.col("pool") == PROVIDER) & (pl.col("requests") > 0))
    assert dict(listed.select("account_id", "own_score").iter_rows()) == own


@given(SEEDS, st.integers(1, 14))
@settings(max_examples=40)
def test_the_next_step_is_the_least_that_does_better(seed: int, accounts: int) -> None:
    for row in score(draw_world(seed, accounts, EPOCH)).provision_scores.iter_rows(named=True):
        total, ok, wanted = row["heartbeats"], row["heartbeats_ok"], row["next_ok"]
        if wanted is not None:
            knots = [x for x, _ in POLICY.uptime.knots if x > ok * BP // total]
            assert wanted * BP // total >= knots[0] > (wanted - 1) * BP // total
        faster = row["next_median_ms"]
        if faster is not None:
            assert faster < row["median_ms"] and reference.latency_multiplier(faster, POLICY) >= row["latency_bp"]


@given(SEEDS)
@settings(max_examples=30)
def test_demand_and_streaks_for_the_next_epoch(seed: int) -> None:
    world = draw_world(seed, 8, EPOCH)
    found = score(world)
    tiers = {p.provision_id: p.service_tier for p in world.provisions}
    used: worlds.Demand = {}
    for row in world.usage:
        if row.part == "provision" and row.slot != LATE:
            key = (row.endpoint, tiers[row.subject_id], row.slot)
            used[key] = used.get(key, 0) + row.weight
    assert {
        row[:3]: row[3] for row in found.demand.select("endpoint", "service_tier", "hour", "weight").iter_rows()
    } == used
    streaks = {name: one.streak for (pool, name), one in define(world).items() if pool == USER and one.streak}
    assert dict(found.streaks.select("user_id", "epochs").iter_rows()) == streaks


@given(SEEDS)
@settings(max_examples=30)
def test_demand_multipliers_equal_the_reference(seed: int) -> None:
    world = draw_world(seed, 1, EPOCH)
    summed = world.summed_demand()
    days = {(e, t): sum(w for (a, b, _), w in summed.items() if (a, b) == (e, t)) for e, t, _ in summed}
    found = demand_multipliers(worlds.demand_frame(world.demand), POLICY)
    assert found.height == 24 * len(days)
    for endpoint, tier, hour, bp in found.select("endpoint", "service_tier", "hour", "demand_bp").iter_rows():
        assert bp == reference.demand_multiplier(summed.get((endpoint, tier, hour), 0), days[endpoint, tier], POLICY)


knots = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(1, 20_000)), min_size=1, max_size=5, unique_by=lambda k: k[0]
).map(sorted)


@given(knots, st.lists(st.integers(-10, 10_010), min_size=1, max_size=20))
def test_lines_and_steps_equal_the_reference(points: list[tuple[int, int]], xs: list[int]) -> None:
    wanted = xs + [x for x, _ in points]
    frame = pl.DataFrame({"x": wanted}, schema={"x": pl.Int64})
    found = frame.with_columns(line=interpolate(pl.col("x"), points), step=step(pl.col("x"), points))
    assert found["line"].to_list() == [reference.interpolate(x, points) for x in wanted]
    reached = [max([p for p in points if p[0] <= x] or [points[0]])[1] for x in wanted]
    assert found["step"].to_list() == reached


# Bounds

TOP = 2**63 - 1


def one_user(fee: int) -> World:
    return World(usage=[Usage("user", "u", "", 0, 1, 0, fee)])


def test_the_largest_fee_sum_is_exact() -> None:
    world = one_user(TOP)
    assert to_scored(score(world).scores) == define(world)
    assert score(world).scores["score"].to_list() == [TOP]


@pytest.mark.parametrize(
    "rows",
    [
        [Usage("user", "u", "", 0, 1, 0, TOP + 1)],
        [Usage("user", "u", "", 0, 1, 0, TOP), Usage("user", "v", "", 0, 1, 0, 1)],
        [Usage("user", "u", "", slot, 1, 0, TOP) for slot in (0, LATE)],
        [Usage("provision", "p", ENDPOINTS[0], 3, 1, TOP, 0)],
        [Usage("provision", "p", "/scrape", hour, 1, 2**62, 0) for hour in (1, 2)],
        [Usage("provision", p, "/scrape", 1, 1, 2**62, 0) for p in ("p", "q")],
        [Usage("provision", "p", ENDPOINTS[0], 3, 1, 1, TOP + 1)],
        [Usage("provision", "p", "/scrape", hour, 2**62, 1, 1) for hour in (1, 2)],
    ],
)
def test_sums_above_the_bound_are_refused(rows: list[Usage]) -> None:
    provisions = [Provision("p", "a", "mariana_depth"), Provision("q", "b", "tide_pool")]
    with pytest.raises(LimitError) as refused:
        score(World(provisions=provisions, usage=rows))
    assert "\n" not in str(refused.value) and any(c.isdigit() for c in str(refused.value))


def test_the_demand_of_the_epochs_before_does_not_wrap() -> None:
    world = World(
        provisions=[Provision("p", "a", TIERS[0])],
        usage=[Usage("provision", "p", ENDPOINTS[0], 3, 1, 10_000_000, 5)],
        demand=[{(ENDPOINTS[0], TIERS[0], 3): TOP}] * 3 + [{(ENDPOINTS[0], TIERS[0], 4): TOP}],
    )
    assert to_scored(score(world).scores) == define(world)
