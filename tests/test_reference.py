"""The readable reference against arithmetic done by hand, at every edge, and against what must hold for any input."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.epoch import DAY_US, Calendar
from rewards.errors import InputError
from rewards.policy import Policy, parse_policy
from rewards.reference import (
    Account,
    Provision,
    Scored,
    Usage,
    allocate,
    amounts,
    demand_multiplier,
    interpolate,
    latency_multiplier,
    loyalty_multiplier,
    median_latency,
    request_weight,
    score_epoch,
    uptime_multiplier,
)
from rewards.units import PROVIDER, USER, Address

POLICY_FILE = Path(__file__).parents[1] / "data" / "policies" / "2025-06-14.toml"
POLICY = parse_policy(POLICY_FILE.read_bytes(), POLICY_FILE.name)
EPOCH = Calendar.from_genesis(datetime(2026, 1, 7, tzinfo=UTC)).epoch(3)
LATE = -1


def change(policy: Policy, **sections: Mapping[str, Any]) -> Policy:
    """The policy with some settings replaced, checked again."""
    content = policy.model_dump()
    for section, settings in sections.items():
        content[section].update(settings)
    return Policy.model_validate(content)


def account(account_id: str, kind: str = "user", age_days: int = 10, **changes: Any) -> Account:
    created_us = EPOCH.start_us - age_days * DAY_US
    return replace(Account(account_id, kind, None, None, None, created_us), **changes)


def wallet(digit: str) -> Address:
    return Address("0x" + digit * 40)


def spend(user: str, fee_e8: int, late: bool = False) -> Usage:
    return Usage("user", user, "", LATE if late else 0, 1, 0, fee_e8)


def serve(provision: str, endpoint: str, hour: int, weight: int, fee_e8: int = 0) -> Usage:
    return Usage("provision", provision, endpoint, hour, 1, weight, fee_e8)


def answer(provision: str, endpoint: str, bucket: int, requests: int) -> Usage:
    return Usage("latency", provision, endpoint, bucket, requests, 0, 0)


def score(
    usage: Iterable[Usage],
    provisions: Iterable[Provision] = (),
    accounts: Iterable[Account] = (),
    heartbeats: Mapping[str, tuple[int, int]] | None = None,
    streaks: Mapping[str, int] | None = None,
    demand: Mapping[tuple[str, str, int], int] | None = None,
    policy: Policy = POLICY,
) -> dict[tuple[int, str], Scored]:
    return score_epoch(
        usage,
        heartbeats or {},
        {one.provision_id: one for one in provisions},
        {one.account_id: one for one in accounts},
        streaks or {},
        demand or {},
        policy,
        EPOCH,
    )


# Multipliers


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (-5, 100),
        (10, 100),
        (11, 103),  # 100 + 1 × 10 // 3
        (13, 110),
        (14, 109),  # 110 + 1 × −3 // 4: −0.75 rounds down to −1
        (17, 107),
        (18, 107),
    ],
)
def test_interpolation_rounds_down_between_knots_and_clamps_outside(x: int, y: int) -> None:
    assert interpolate(x, [(10, 100), (13, 110), (17, 107)]) == y


@pytest.mark.parametrize("x", [4, 5, 6])
def test_one_knot_is_a_constant(x: int) -> None:
    assert interpolate(x, [(5, 42)]) == 42


@pytest.mark.parametrize(
    ("fee_e8", "endpoint", "tier", "weight"),
    [
        (0, "/tts", "tide_pool", 0),
        (1, "/chat/completions", "mariana_depth", 0),  # 10,000 // 15,000
        (7, "/chat/completions", "mariana_depth", 4),  # 70,000 // 15,000
        (999, "/embeddings", "open_ocean", 9990),
        (1000, "/embeddings", "open_ocean", 10_000),
        (10**17, "/embeddings", "open_ocean", 10_000),
        (2999, "/chat/completions", "blue_surge", 9996),  # 29,990,000 // 3000 = 9996.67
    ],
)
def test_a_request_weighs_what_it_paid_up_to_the_reference_fee(
    fee_e8: int, endpoint: str, tier: str, weight: int
) -> None:
    assert request_weight(fee_e8, endpoint, tier, POLICY) == weight


@pytest.mark.parametrize(
    ("hour", "day", "bp"),
    [
        (0, 0, 10_000),  # 100 × 240,000 // 2400
        (9_999, 9_999, 10_000),  # less than one full request counts as none
        (0, 2399, 5001),  # 24,000,000 // 4799 = 5001.04
        (0, 2400, 5000),  # 24,000,000 // 4800
        (0, 2401, 5000),  # 24,000,000 // 4801 = 4998, clamped
        (100, 400, 17_142),  # 48,000,000 // 2800 = 17,142.9
        (110, 120, 20_000),  # 50,400,000 // 2520
        (110, 119, 20_000),  # 50,400,000 // 2519 = 20,007, clamped
        (110, 121, 19_992),  # 50,400,000 // 2521 = 19,992.1
    ],
)
def test_demand(hour: int, day: int, bp: int) -> None:
    scale = 1 if hour == 9_999 else 10_000
    assert demand_multiplier(hour * scale, day * scale, POLICY) == bp


@pytest.mark.parametrize(
    ("ok", "total", "bp"),
    [
        (0, 0, 8000),
        (23, 23, 8000),  # too few heartbeats
        (24, 24, 12_000),
        (0, 24, 8000),
        (1899, 2000, 8000),  # 9495: clamped
        (190, 200, 8000),  # 9500: a knot
        (191, 200, 8250),  # 9550: 8000 + 50 × 2000 // 400
        (198, 200, 10_000),  # 9900: a knot
        (199, 200, 11_111),  # 9950: 10,000 + 50 × 2000 // 90
        (999, 1000, 12_000),  # 9990: a knot
        (9989, 10_000, 11_977),  # 10,000 + 89 × 2000 // 90 = 11,977.8
        (10_000, 10_001, 12_000),  # 9999: clamped
    ],
)
def test_uptime(ok: int, total: int, bp: int) -> None:
    assert uptime_multiplier(ok, total, POLICY) == bp


@pytest.mark.parametrize(
    ("histogram", "median"),
    [
        ({}, None),
        ({3: 0}, None),
        ({0: 1}, 100),
        ({0: 0, 1: 1}, 200),  # an empty bucket is nobody's median
        ({3: 1, 5: 1}, 500),  # ⌈2/2⌉ = 1 is reached in bucket 3
        ({3: 1, 5: 2}, 1200),  # ⌈3/2⌉ = 2 is not
        ({3: 2, 5: 2}, 500),  # ⌈4/2⌉ = 2 is
        ({3: 2, 5: 3}, 1200),  # ⌈5/2⌉ = 3 is not
        ({5: 3, 3: 3}, 500),  # whatever order the buckets come in
        ({16: 9}, 3_600_000),
    ],
)
def test_median_is_the_edge_where_half_the_requests_are_reached(histogram: dict[int, int], median: int | None) -> None:
    assert median_latency(histogram, POLICY) == median


@pytest.mark.parametrize(
    ("median", "bp"),
    [
        (None, 10_000),
        (100, 11_000),
        (2000, 11_000),
        (2001, 10_999),  # 11,000 + 1 × −2000 // 8000: −0.25 rounds down to −1
        (3000, 10_750),  # 11,000 + 1000 × −2000 // 8000
        (6000, 10_000),
        (9999, 9000),  # 11,000 + 7999 × −2000 // 8000: −1999.75 rounds down to −2000
        (10_000, 9000),
        (3_600_000, 9000),
    ],
)
def test_response_time(median: int | None, bp: int) -> None:
    assert latency_multiplier(median, POLICY) == bp


@pytest.mark.parametrize(
    ("streak", "bp"),
    [
        (0, 10_000),
        (1, 10_000),
        (6, 10_000),
        (7, 11_000),
        (29, 11_000),
        (30, 12_000),
        (89, 12_000),
        (90, 13_000),
        (5000, 13_000),
    ],
)
def test_loyalty_is_a_staircase(streak: int, bp: int) -> None:
    assert loyalty_multiplier(streak, POLICY) == bp


# Providers

CHAT = "/chat/completions"
P1, P2 = Provision("p1", "prov", "blue_surge"), Provision("p2", "prov", "tide_pool")


def test_a_provider_by_hand() -> None:
    usage = [
        serve("p1", CHAT, 9, 25_000, fee_e8=8_000),
        serve("p1", CHAT, 10, 10_001, fee_e8=4_000),
        serve("p1", CHAT, LATE, 5_000, fee_e8=2_000),
        answer("p1", CHAT, 5, 1),
        answer("p1", CHAT, 7, 2),
        serve("p1", "/tts", 9, 7_777, fee_e8=1_000),
        serve("p2", "/scrape", 0, 30_000, fee_e8=1_500),
    ]
    demand = {(CHAT, "blue_surge", 9): 1_000_000, (CHAT, "blue_surge", 10): 3_000_000, (CHAT, "tide_pool", 9): 10**9}
    found = score(usage, [P1, P2], heartbeats={"p1": (199, 200)}, demand=demand)
    # p1 chat at 9:  h = 100, E = 400, demand 48,000,000 // 2800 = 17,142; 25,000 × 3000 × 17,142 // 10^8 = 12,856
    # p1 chat at 10: h = 300, E = 400, demand 34,285, clamped to 20,000; 10,001 × 3000 × 20,000 // 10^8 = 6000
    # p1 chat late:  5000 × 3000 × 10,000 // 10^8 = 1500
    # p1 chat:       12,856 + 6000 + 1500 = 20,356; median 3000 ms, 10,750: 20,356 × 10,750 // 10^4 = 21,882
    # p1 tts at 9:   no demand known, 10,000: 7777 × 2000 × 10,000 // 10^8 = 1555; no latency, 10,000: 1555
    # p1:            21,882 + 1555 = 23,437; uptime 9950, 11,111: 23,437 × 11,111 // 10^4 = 26,040
    # p2:            30,000 × 500 × 10,000 // 10^8 = 1500; no heartbeats, 8000: 1200
    # cap:           16,500 × 10^10 × 200 × 5500 // 10^8 = 16,500 × 110,000,000
    cap = 1_815_000_000_000
    assert found == {(PROVIDER, "prov"): Scored(27_240, 0, 0, 27_240, cap, cap, 0)}


def test_every_group_of_an_endpoint_rounds_down_by_itself() -> None:
    # 15 × 500 × 10,000 // 10^8 = 0 in each hour and in the late group, although the three together make 2
    usage = [serve("p2", "/scrape", hour, 15) for hour in (1, 2, LATE)]
    assert score(usage, [P2])[PROVIDER, "prov"].own_score == 0
    # In one hour they make 45 × 500 // 10^4 = 2, then 2 × 8000 // 10^4 = 1
    usage = [serve("p2", "/scrape", 1, 15) for _ in range(3)]
    assert score(usage, [P2])[PROVIDER, "prov"].own_score == 1


def test_every_endpoint_and_every_provision_rounds_down_by_itself() -> None:
    # Each endpoint: 3 points at 9000 bp are 2; two endpoints of one provision: 4 at 12,000 bp are 4, not 4.8
    usage = [serve("p2", "/scrape", 1, 60), serve("p2", "/embeddings", 1, 30)]
    usage += [answer("p2", "/scrape", 16, 1), answer("p2", "/embeddings", 16, 1)]
    assert score(usage, [P2], heartbeats={"p2": (24, 24)})[PROVIDER, "prov"].own_score == 4
    # Two provisions: 4 points each at 8000 bp are 3 + 3, not 6.4; 8 points in one are 6 all the same, 9 are 7
    provisions = [Provision("a", "prov", "tide_pool"), Provision("b", "prov", "tide_pool")]
    usage = [serve("a", "/scrape", 1, 90), serve("b", "/scrape", 1, 90)]
    assert score(usage, provisions)[PROVIDER, "prov"].own_score == 6
    assert score([serve("a", "/scrape", 1, 180)], provisions)[PROVIDER, "prov"].own_score == 7


def test_rows_of_one_key_are_one_row() -> None:
    # Two requests in bucket 5 and three in bucket 16: the median is in bucket 16, 9000 bp; 5000 × 9000 × 8000 // 10^8
    usage = [serve("p2", "/scrape", 1, 50_000), serve("p2", "/scrape", 1, 50_000)]
    usage += [answer("p2", "/scrape", 16, 2), answer("p2", "/scrape", 5, 2), answer("p2", "/scrape", 16, 1)]
    assert score(usage, [P2])[PROVIDER, "prov"].own_score == 3600


def test_late_rows_get_no_demand_and_the_tier_is_the_provisions() -> None:
    demand = {("/scrape", "tide_pool", 1): 10**9, ("/scrape", "blue_surge", 1): 0, ("/scrape", "blue_surge", 2): 10**9}
    in_time, late = serve("p2", "/scrape", 1, 100_000), serve("p2", "/scrape", LATE, 100_000)
    # tide_pool: 100,000 × 500 // 10^4 = 5000, doubled by demand, × 8000 bp; late: not doubled
    assert score([in_time], [P2], demand=demand)[PROVIDER, "prov"].own_score == 8000
    assert score([late], [P2], demand=demand)[PROVIDER, "prov"].own_score == 4000
    # blue_surge: the quiet hour of a busy day, halved
    other = [replace(P2, service_tier="blue_surge")]
    assert score([in_time], other, demand=demand)[PROVIDER, "prov"].own_score == 2000


def test_day_of_demand_rounds_down_once() -> None:
    # E = (2 × 5000) // 10,000 = 1, not 0 + 0: 100 × 240,000 // 2401 = 9995; 20,000 × 500 × 9995 // 10^8 = 999, not 1000
    demand = {("/scrape", "tide_pool", 4): 5_000, ("/scrape", "tide_pool", 5): 5_000}
    found = score([serve("p2", "/scrape", 1, 20_000)], [P2], heartbeats={"p2": (198, 200)}, demand=demand)
    assert found[PROVIDER, "prov"].own_score == 999


def test_a_provider_whose_rows_weigh_nothing_is_listed_with_score_0() -> None:
    assert score([serve("p2", "/scrape", 1, 0)], [P2]) == {(PROVIDER, "prov"): Scored(0, 0, 0, 0, 0, 0, 0)}


# Users


def test_users_earn_by_fee_and_loyalty_and_late_fees_keep_no_streak() -> None:
    usage = [
        spend("seventh", 10_000),
        spend("short", 9_999),
        spend("short", 50_000, late=True),
        spend("first", 9_999),
        spend("first", 1),
        spend("nothing", 0),
    ]
    found = score(usage, streaks={"seventh": 6, "short": 89, "absent": 100})
    # cap: fee × 10^10 × 200 × 2500 // 10^8 = fee × 50,000,000
    assert found == {
        (USER, "seventh"): Scored(11_000, 0, 0, 11_000, 500_000_000_000, 500_000_000_000, 7),
        (USER, "short"): Scored(59_999, 0, 0, 59_999, 2_999_950_000_000, 2_999_950_000_000, 0),
        (USER, "first"): Scored(10_000, 0, 0, 10_000, 500_000_000_000, 500_000_000_000, 1),
        (USER, "nothing"): Scored(0, 0, 0, 0, 0, 0, 0),
    }


def test_a_loyal_users_score_rounds_down() -> None:
    assert score([spend("u", 10_009)], streaks={"u": 6})[USER, "u"].own_score == 11_009  # 110,099,000 // 10^4


# Referral: a was referred by b, b by c, c by d, d by e; only a has usage

CHAIN = [
    account("a", age_days=10, referred_by="b"),
    account("b", age_days=20, referred_by="c"),
    account("c", age_days=30, referred_by="d"),
    account("d", age_days=40, referred_by="e"),
    account("e", age_days=500),
]
A_FEE = 100_000
A_CAP = 5_000_000_000_000  # 100,000 × 50,000,000


def refer(**changes: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """(bonus earned, cap) by referrer, when some accounts of the chain are otherwise."""
    chain = [replace(one, **changes.get(one.account_id, {})) for one in CHAIN]
    found = score([spend("a", A_FEE)], accounts=chain)
    assert found[USER, "a"] == Scored(A_FEE, 0, 0, A_FEE, A_CAP, A_CAP, 1)
    return {name: (one.referral_earned, one.cap) for (_, name), one in found.items() if name != "a"}


B, C, D = (15_000, 750_000_000_000), (8_000, 400_000_000_000), (4_000, 200_000_000_000)


def test_three_levels_and_no_fourth() -> None:
    assert refer() == {"b": B, "c": C, "d": D}


NOW = EPOCH.end_us
BEFORE = EPOCH.end_us - 1


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"a": {"referred_by": None}}, {}),
        ({"a": {"referred_by": "nobody"}}, {}),
        ({"b": {"referred_by": None}}, {"b": B}),
        ({"c": {"referred_by": "nobody"}}, {"b": B, "c": C}),
        ({"a": {"referred_by": "a"}}, {}),
        ({"b": {"kind": "provider"}}, {}),
        ({"c": {"kind": "provider"}}, {"b": B}),
        ({"b": {"created_us": CHAIN[0].created_us}}, {}),
        ({"b": {"created_us": CHAIN[0].created_us + 1}}, {}),
        ({"b": {"created_us": CHAIN[0].created_us - 1}}, {"b": B, "c": C, "d": D}),
        ({"c": {"created_us": CHAIN[1].created_us}}, {"b": B}),
        ({"c": {"referred_by": "a"}}, {"b": B, "c": C}),
        ({"a": {"wallet": wallet("1")}, "b": {"wallet": wallet("1")}}, {}),
        ({"a": {"wallet": wallet("1")}, "b": {"wallet": wallet("2")}}, {"b": B, "c": C, "d": D}),
        ({"b": {"wallet": wallet("1")}, "c": {"wallet": wallet("1")}}, {"b": B}),
        ({"a": {"wallet": wallet("1")}, "c": {"wallet": wallet("1")}}, {"b": B, "c": C, "d": D}),
        ({"a": {"suspended_us": BEFORE}}, {}),
        ({"a": {"suspended_us": NOW}}, {"b": B, "c": C, "d": D}),
        ({"b": {"suspended_us": BEFORE}}, {}),
        ({"b": {"suspended_us": 0}}, {}),
        ({"c": {"suspended_us": BEFORE}}, {"b": B}),
        ({"c": {"suspended_us": NOW}}, {"b": B, "c": C, "d": D}),
        ({"e": {"suspended_us": BEFORE}}, {"b": B, "c": C, "d": D}),
    ],
)
def test_the_first_link_that_does_not_count_ends_the_chain(
    changes: dict[str, dict[str, Any]], found: dict[str, tuple[int, int]]
) -> None:
    assert refer(**changes) == found


def test_an_old_referee_brings_no_bonus_and_still_a_cap() -> None:
    just = EPOCH.start_us - 180 * DAY_US
    older = {name: {"created_us": just - days * DAY_US} for name, days in [("b", 20), ("c", 30), ("d", 40)]}
    assert refer(a={"created_us": just + 1}, **older) == {"b": B, "c": C, "d": D}
    assert refer(a={"created_us": just}, **older) == {"b": (0, B[1]), "c": (0, C[1]), "d": (0, D[1])}


def test_a_referee_that_joins_during_the_epoch_brings_a_bonus() -> None:
    assert refer(a={"created_us": EPOCH.start_us + 5}) == {"b": B, "c": C, "d": D}


def test_bonus_is_trimmed_at_the_own_score_and_the_cap_is_not() -> None:
    found = score([spend("a", A_FEE), spend("b", 10)], accounts=CHAIN)
    # b: own 10, earned 15,000 of a, counted 10; c: 8000 of a and 10 × 1500 // 10^4 = 1 of b, none counted
    assert found[USER, "b"] == Scored(10, 15_000, 10, 20, 500_000_000, 500_000_000 + B[1], 0)
    assert found[USER, "c"] == Scored(0, 8_001, 0, 0, 0, C[1] + 75_000_000, 0)
    # A bonus earns no bonus: d gets 4000 of a and 10 × 800 // 10^4 = 0 of b
    assert found[USER, "d"].referral_earned == 4_000


def test_a_bonus_below_the_own_score_counts_whole() -> None:
    found = score([spend("a", A_FEE), spend("b", 20_000)], accounts=CHAIN, streaks={"b": 6})
    # b: 20,000 at 11,000 bp = 22,000, and 15,000
    assert found[USER, "b"] == Scored(22_000, 15_000, 15_000, 37_000, 10**12, 10**12 + B[1], 7)


def test_bonuses_round_down_one_by_one() -> None:
    accounts = [account("x", referred_by="r"), account("y", referred_by="r"), account("r", age_days=50)]
    # 6 × 1500 // 10^4 = 0 from each, although both together make 1
    assert score([spend("x", 6), spend("y", 6)], accounts=accounts)[USER, "r"].referral_earned == 0
    assert score([spend("x", 12)], accounts=accounts)[USER, "r"].referral_earned == 1


def test_cap_additions_round_down_one_by_one() -> None:
    policy = change(POLICY, caps={"deposit_bp": 1, "user_bp": 1}, referral={"user_bp": (33, 0, 0)})
    accounts = [account("x", referred_by="r"), account("y", referred_by="r"), account("r", age_days=50)]
    # own cap: 2 × 10^10 × 1 × 1 // 10^8 = 200; 200 × 33 // 10^4 = 0 from each, although both together make 1
    found = score([spend("x", 2), spend("y", 2)], accounts=accounts, policy=policy)
    assert (found[USER, "x"].cap, found[USER, "r"].cap) == (200, 0)
    assert score([spend("x", 4)], accounts=accounts, policy=policy)[USER, "r"].cap == 1


def test_providers_have_their_own_levels_and_caps() -> None:
    accounts = [
        account("prov", "provider", 10, referred_by="q1"),
        account("q1", "provider", 20, referred_by="q2"),
        account("q2", "provider", 30, referred_by="q3"),
        account("q3", "provider", 40),
    ]
    found = score([serve("p2", "/scrape", 1, 30_000, fee_e8=1_500)], [P2], accounts)
    # own 1200 as above; own cap 1500 × 110,000,000; referrers 1000, 500 and 250 bp of each
    assert found == {
        (PROVIDER, "prov"): Scored(1200, 0, 0, 1200, 165_000_000_000, 165_000_000_000, 0),
        (PROVIDER, "q1"): Scored(0, 120, 0, 0, 0, 16_500_000_000, 0),
        (PROVIDER, "q2"): Scored(0, 60, 0, 0, 0, 8_250_000_000, 0),
        (PROVIDER, "q3"): Scored(0, 30, 0, 0, 0, 4_125_000_000, 0),
    }


def test_sides_are_scored_apart() -> None:
    found = score([spend("same", 7), serve("p2", "/scrape", 1, 0)], [replace(P2, provider_id="same")])
    assert set(found) == {(PROVIDER, "same"), (USER, "same")}
    assert found[PROVIDER, "same"].cap == 0
    assert found[USER, "same"].own_score == 7


# What the roll-up may not hold


def test_rows_that_earn_nothing_change_nothing() -> None:
    idle = [Usage(f"{side}_not_counted", "ghost", "", 0, 5, 0, 99) for side in ("provision", "user")]
    assert score(idle) == {}


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (serve("ghost", "/scrape", 1, 5), "ghost"),
        (answer("ghost", "/scrape", 1, 5), "ghost"),
        (serve("p2", "/dance", 1, 5), "/dance"),
        (serve("p2", "/scrape", 24, 5), "24"),
        (serve("p2", "/scrape", -2, 5), "-2"),
        (answer("p2", "/scrape", 17, 5), "17"),
        (answer("p2", "/scrape", -1, 5), "-1"),
        (Usage("user", "u", "", 1, 1, 0, 5), "1"),
        (Usage("users", "u", "", 0, 1, 0, 5), "users"),
    ],
)
def test_a_row_that_cannot_be_is_refused_by_its_value(row: Usage, named: str) -> None:
    with pytest.raises(InputError, match=named) as refused:
        score([row], [P2])
    assert "\n" not in str(refused.value)


# Allocation


@pytest.mark.parametrize(
    ("pool", "shares"),
    [
        (3, [1, 1, 1]),  # 3/7, 9/7, 9/7: 0, 1, 1, and the one left to the fraction 3/7
        (4, [0, 2, 2]),  # 4/7, 12/7, 12/7: 0, 1, 1, and the two left to the fractions 5/7
        (7, [1, 3, 3]),
        (0, [0, 0, 0]),
    ],
)
def test_scores_1_3_3(pool: int, shares: list[int]) -> None:
    assert allocate(pool, {"a": 1, "b": 3, "c": 3}) == dict(zip("abc", shares, strict=True))


def test_ties_go_by_the_bytes_of_the_id() -> None:
    # UTF-8: 42 < 61 < c3 a9 < ef bf bd < f0 90 80 80; UTF-16 would put the last two the other way round
    ids = ["B", "a", "é", "\ufffd", "\U00010000"]
    for left in range(5):
        expected = {name: int(place < left) for place, name in enumerate(ids)}
        assert allocate(left, dict.fromkeys(reversed(ids), 9)) == expected


def test_a_pool_without_scores_is_not_split() -> None:
    assert allocate(10, {}) == {}
    assert allocate(10, {"a": 0, "b": 0}) == {}
    assert allocate(10, {"a": 0, "b": 1}) == {"a": 0, "b": 10}


def test_negative_pools_and_scores_are_refused() -> None:
    with pytest.raises(InputError, match="-1"):
        allocate(-1, {"a": 1})
    with pytest.raises(InputError, match=r"'b'.*-2"):
        allocate(1, {"a": 5, "b": -2})


def test_a_share_above_its_cap_is_cut_and_nobody_else_gets_it() -> None:
    def scored(score: int, cap: int) -> Scored:
        return Scored(score, 0, 0, score, cap, cap, 0)

    assert amounts(7, {"a": scored(1, 1), "b": scored(3, 0), "c": scored(3, 5)}) == {"a": 1, "b": 0, "c": 3}
    assert amounts(7, {"a": scored(0, 5)}) == {}


SCORES = st.dictionaries(st.text(max_size=4), st.one_of(st.integers(0, 3), st.integers(0, 2**63)), max_size=9)
POOL = st.one_of(st.integers(0, 30), st.integers(0, 10**27))


@given(POOL, SCORES)
def test_shares_add_up_and_the_largest_fractions_win(pool: int, scores: dict[str, int]) -> None:
    shares = allocate(pool, scores)
    total = sum(scores.values())
    if total == 0:
        assert shares == {}
        return
    assert sum(shares.values()) == pool
    exact = {name: divmod(pool * score, total) for name, score in scores.items()}
    extra = {name: shares[name] - exact[name][0] for name in scores}
    assert set(extra.values()) <= {0, 1}
    ranked = sorted(scores, key=lambda name: (-exact[name][1], name.encode()))
    assert [extra[name] for name in ranked] == sorted(extra.values(), reverse=True)
    assert all(shares[name] == 0 for name, score in scores.items() if score == 0)


@given(POOL, SCORES, st.integers(1, 10**6), st.randoms(use_true_random=False))
def test_order_and_scale_of_scores_do_not_matter(
    pool: int, scores: dict[str, int], factor: int, random: Random
) -> None:
    names = list(scores)
    random.shuffle(names)
    assert allocate(pool, {name: factor * scores[name] for name in names}) == allocate(pool, scores)


# Rings


@dataclass(frozen=True)
class Ring:
    """Accounts that pay each other: the inputs of an epoch, and all that was paid (10^-8 CXPT)."""

    usage: list[Usage]
    provisions: list[Provision]
    accounts: list[Account]
    heartbeats: dict[str, tuple[int, int]]
    streaks: dict[str, int]
    paid_e8: int

    def score(self, policy: Policy) -> dict[tuple[int, str], Scored]:
        return score(self.usage, self.provisions, self.accounts, self.heartbeats, self.streaks, policy=policy)


@st.composite
def rings(draw: st.DrawFn) -> Ring:
    """Any referrers, ages, wallets and suspensions; fees from one unit to the whole supply, late or in time."""
    names = {kind: [f"{kind}{n}" for n in range(draw(st.integers(1, 6)))] for kind in ("provider", "user")}
    everyone = names["provider"] + names["user"]
    accounts = [
        Account(
            name,
            kind,
            draw(st.sampled_from([None, wallet("1"), wallet("2")])),
            draw(st.sampled_from([None, None, None, 0, EPOCH.end_us])),
            draw(st.sampled_from([None, *everyone, *names[kind], *names[kind]])),
            EPOCH.start_us - draw(st.integers(0, 200)) * DAY_US,
        )
        for kind in names
        for name in names[kind]
    ]
    usage, paid = [], 0
    for _ in range(draw(st.integers(1, 8))):
        fee = draw(st.one_of(st.integers(1, 50), st.integers(1, 10**17)))
        user, provider = draw(st.sampled_from(names["user"])), draw(st.sampled_from(names["provider"]))
        slot = draw(st.sampled_from([LATE, 0, 12]))
        usage += [spend(user, fee, slot == LATE), serve(f"node of {provider}", "/tts", slot, min(10_000, fee * 5), fee)]
        paid += fee
    provisions = [Provision(f"node of {name}", name, "tide_pool") for name in names["provider"]]
    heartbeats = {one.provision_id: (draw(st.integers(0, 60)), 60) for one in provisions}
    return Ring(usage, provisions, accounts, heartbeats, {name: draw(st.integers(0, 100)) for name in everyone}, paid)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Caps and referral shares up to the very edge of what a policy may say."""
    referral = {side: tuple(draw(st.integers(0, 3000)) for _ in range(3)) for side in ("provider_bp", "user_bp")}
    provider_gain, user_gain = 10_000 + sum(referral["provider_bp"]), 10_000 + sum(referral["user_bp"])
    provider_bp = draw(st.integers(0, (10**8 - 1) // provider_gain))
    most = (10**8 - 1 - provider_bp * provider_gain) // user_gain
    user_bp = draw(st.one_of(st.just(most), st.integers(0, most)))
    deposit_bp = draw(st.integers(1, 10_000))
    caps = {"provider_bp": provider_bp, "user_bp": user_bp, "deposit_bp": deposit_bp}
    return change(POLICY, caps=caps, referral=referral)


@given(rings(), st.one_of(st.just(POLICY), policies()), st.integers(0, 10**30))
def test_a_ring_never_gets_back_what_it_pays(ring: Ring, policy: Policy, pool: int) -> None:
    found = ring.score(policy)
    caps = sum(one.cap for one in found.values())
    assert caps * 10_000 < ring.paid_e8 * 10**10 * policy.caps.deposit_bp
    for side in (PROVIDER, USER):
        scored = {name: one for (of, name), one in found.items() if of == side}
        for name, amount in amounts(pool, scored).items():
            assert 0 <= amount <= scored[name].cap


@given(rings(), st.randoms(use_true_random=False))
def test_order_of_inputs_does_not_matter(ring: Ring, random: Random) -> None:
    usage, accounts, provisions = list(ring.usage), list(ring.accounts), list(ring.provisions)
    for rows in (usage, accounts, provisions):
        random.shuffle(rows)
    other = replace(ring, usage=usage, accounts=accounts, provisions=provisions)
    assert other.score(POLICY) == ring.score(POLICY)


def test_the_best_ring_gets_back_96_percent() -> None:
    # Four providers and four users in a chain each, only the newest pays: every level of both sides counts.
    accounts = [
        account(f"{kind}{n}", kind, age_days=n + 1, referred_by=f"{kind}{n + 1}" if n < 3 else None)
        for kind in ("provider", "user")
        for n in range(4)
    ]
    node = Provision("node", "provider0", "tide_pool")
    found = score([spend("user0", 10**8), serve("node", "/tts", 0, 10_000, 10**8)], [node], accounts)
    # 1.175 × 5500 + 1.27 × 2500 = 9637.5 bp of the 0.02 CXPT that reach the Vault
    assert len(found) == 8
    assert sum(one.cap for one in found.values()) == 2 * 10**16 * 96_375 // 100_000
