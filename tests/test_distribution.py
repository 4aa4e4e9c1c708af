"""Crediting an epoch: nothing falls, nothing vanishes, nothing is made; held amounts and debts by hand."""

from collections import Counter
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.distribution import (
    Distribution,
    add_wallets,
    distribute,
    fit_credits,
    settle_held,
    successor_faults,
    sum_by_pool,
    unusable_wallets,
)
from rewards.epoch import DAY_US
from rewards.errors import LimitError
from rewards.reference import Account, credit_held
from rewards.schemas import CLAIMABLES, MONEY
from rewards.units import MAX_AMOUNT, POOLS, PROVIDER, USER, Address, checksum, is_usable
from tests.worlds import CALENDAR, WALLETS, accounts_frame, corrections_frame, draw_accounts, money_frame, with_wallets

EPOCH = CALENDAR.epoch(20)
HOLD = 3
A, B = WALLETS[:2]

Amounts = list[tuple[int, str, int]]
Aged = list[tuple[int, str, int, int]]


def person(name: str, wallet: Address | None = None, suspended: int | None = None, kind: str = "user") -> Account:
    return Account(name, kind, wallet, suspended, None, EPOCH.start_us - 30 * DAY_US)


def held_frame(rows: Aged) -> pl.DataFrame:
    return money_frame(rows, pool=pl.Int8, id=pl.String, epoch=pl.Int64)


def claimables_frame(rows: Amounts) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(CLAIMABLES.columns), orient="row")


def spread(
    accounts: list[Account],
    allocations: Amounts = [],  # noqa: B006
    before: Amounts = [],  # noqa: B006
    held: Aged = [],  # noqa: B006
    debts: Amounts = [],  # noqa: B006
    corrections: Amounts = [],  # noqa: B006
) -> Distribution:
    people = with_wallets(accounts)
    return distribute(
        claimables_frame(before),
        settle_held(held_frame(held), people, EPOCH, HOLD),
        money_frame(debts, pool=pl.Int8, id=pl.String),
        money_frame(allocations, pool=pl.Int8, account_id=pl.String),
        corrections_frame(corrections),
        people,
        EPOCH,
    )


def rows(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return sorted((*row[:-1], int(row[-1])) for row in frame.iter_rows())


# By hand


def test_held_amounts_are_credited_oldest_first_as_far_as_there_is_room() -> None:
    people = with_wallets([person("a", A), person("b", B), person("c")])
    aged: Aged = [
        (USER, "b", 3, 10),
        (USER, "a", 3, 10),
        (USER, "b", 2, 10),
        (PROVIDER, "a", 4, 10),
        (USER, "c", 19, 1),
    ]
    waiting = {(epoch, name): amount for pool, name, epoch, amount in aged if pool == USER and name != "c"}
    for room, credited, kept in (
        (0, [], [("a", 3, 10), ("b", 2, 10), ("b", 3, 10)]),
        (1, [("b", 2, 1)], [("a", 3, 10), ("b", 2, 9), ("b", 3, 10)]),
        (9, [("b", 2, 9)], [("a", 3, 10), ("b", 2, 1), ("b", 3, 10)]),
        (10, [("b", 2, 10)], [("a", 3, 10), ("b", 3, 10)]),
        (25, [("a", 3, 10), ("b", 2, 10), ("b", 3, 5)], [("b", 3, 5)]),
        (MAX_AMOUNT, [("a", 3, 10), ("b", 2, 10), ("b", 3, 10)], []),
    ):
        held = fit_credits(settle_held(held_frame(aged), people, EPOCH, HOLD), {USER: room, PROVIDER: 10})
        of_users = [rows(f.filter(pool=USER).select("id", "epoch", "amount")) for f in (held.credited, held.kept)]
        assert of_users == [credited, [*kept, ("c", 19, 1)]]
        assert rows(held.credited.filter(pool=PROVIDER).select("id", "amount")) == [("a", 10)]
        assert held.credited["amount"].dtype == held.kept["amount"].dtype == MONEY
        plain = credit_held(room, waiting)
        assert sorted((name, epoch, amount) for (epoch, name), amount in plain.items() if amount) == credited


def test_accounts_that_share_a_wallet_share_its_leaf() -> None:
    found = spread(
        [person("a", A), person("b", A), person("c", B)],
        [(USER, "a", 5), (USER, "b", 7), (USER, "c", 1), (PROVIDER, "a", 2)],
    )
    assert rows(found.claimables) == [(PROVIDER, A, 2), (USER, A, 12), (USER, B, 1)]


def test_a_later_change_of_wallet_moves_future_earnings_only() -> None:
    found = spread([person("a", B)], [(USER, "a", 5)], before=[(USER, A, 100)])
    assert rows(found.claimables) == [(USER, A, 100), (USER, B, 5)]


def test_without_a_wallet_or_an_account_it_is_held() -> None:
    found = spread([person("a")], [(USER, "a", 5), (USER, "stranger", 7)])
    assert found.claimables.is_empty()
    assert rows(found.held) == [(USER, "a", 20, 5), (USER, "stranger", 20, 7)]


def test_held_amounts_are_credited_when_a_wallet_appears() -> None:
    found = spread(
        [person("a", A)],
        [(USER, "a", 1)],
        before=[(USER, A, 3)],
        held=[(USER, "a", 18, 10), (USER, "a", 19, 20), (PROVIDER, "a", 19, 4)],
    )
    assert rows(found.claimables) == [(PROVIDER, A, 4), (USER, A, 34)]
    assert found.held.is_empty() and found.returned == {PROVIDER: 0, USER: 0}


def test_each_held_amount_ages_on_its_own() -> None:
    found = spread(
        [person("a")],
        held=[(USER, "a", 16, 1), (USER, "a", 17, 10), (USER, "a", 18, 100), (USER, "stranger", 17, 1000)],
    )
    assert rows(found.held) == [(USER, "a", 18, 100)]
    assert found.returned == {PROVIDER: 0, USER: 1011}


@pytest.mark.parametrize(
    ("wallet", "suspended", "epoch", "fate"),
    [
        (A, EPOCH.end_us - 1, 10, "returned"),  # suspension before crediting
        (A, EPOCH.end_us, 10, "credited"),  # crediting before ageing
        (A, None, 10, "credited"),
        (None, EPOCH.end_us - 1, 19, "returned"),
        (None, EPOCH.end_us, 19, "kept"),
        (None, None, 18, "kept"),
        (None, None, 17, "returned"),
    ],
)
def test_suspension_then_crediting_then_ageing(
    wallet: Address | None, suspended: int | None, epoch: int, fate: str
) -> None:
    people = with_wallets([person("a", wallet, suspended)])
    decided = settle_held(held_frame([(USER, "a", epoch, 9)]), people, EPOCH, HOLD)
    assert {"credited": decided.credited, "kept": decided.kept, "returned": decided.returned}[fate].height == 1
    assert decided.credited.height + decided.kept.height + decided.returned.height == 1


def test_what_a_suspended_account_earned_before_is_paid_to_its_wallet_or_returns() -> None:
    people = [person("a", A, EPOCH.end_us - 1), person("b", None, EPOCH.end_us - 1)]
    found = spread(people, [(USER, "a", 5), (USER, "b", 7)])
    assert rows(found.claimables) == [(USER, A, 5)]
    assert found.held.is_empty() and found.returned == {PROVIDER: 0, USER: 7}


def test_a_debt_is_withheld_over_several_epochs_and_returned() -> None:
    people, debts, paid, withheld = [person("a", A)], [(USER, "a", 25)], [], []
    for amount in (10, 0, 10, 10):
        found = spread(people, [(USER, "a", amount)] if amount else [], debts=debts)
        debts = [(p, i, int(a)) for p, i, a in found.debts.iter_rows()]
        paid.append(sum_by_pool(found.claimables, "cumulative_amount")[USER])
        withheld.append(found.withheld[USER])
    assert (paid, withheld, debts) == ([0, 0, 0, 5], [10, 0, 10, 5], [])


def test_a_negative_correction_is_a_debt_of_its_pool_only() -> None:
    found = spread(
        [person("a", A)], [(USER, "a", 10), (PROVIDER, "a", 10)], corrections=[(USER, "a", -4), (USER, "a", -3)]
    )
    assert rows(found.claimables) == [(PROVIDER, A, 10), (USER, A, 3)]
    assert found.withheld == {PROVIDER: 0, USER: 7}
    found = spread([person("a", A)], before=[(USER, A, 50)], corrections=[(USER, "a", -4)])
    assert rows(found.claimables) == [(USER, A, 50)]
    assert rows(found.debts) == [(USER, "a", 4)]


def test_a_positive_correction_is_credited_or_held_and_pays_no_debt() -> None:
    found = spread([person("a", A), person("b")], debts=[(USER, "a", 9)], corrections=[(USER, "a", 5), (USER, "b", 6)])
    assert rows(found.claimables) == [(USER, A, 5)]
    assert rows(found.held) == [(USER, "b", 20, 6)]
    assert rows(found.debts) == [(USER, "a", 9)]


def test_who_gains_nothing_gets_no_row() -> None:
    """Nothing is held for one whose debt took it all, nor for one with debts or corrections of nothing only."""
    found = spread(
        [person("a"), person("b")],
        [(USER, "a", 10)],
        debts=[(USER, "a", 10)],
        corrections=[(USER, "b", -4), (PROVIDER, "b", 0), (USER, "stranger", -1)],
    )
    assert found.held.is_empty() and found.claimables.is_empty()
    assert rows(found.debts) == [(USER, "b", 4), (USER, "stranger", 1)]
    assert (found.withheld, found.returned) == ({PROVIDER: 0, USER: 10}, {PROVIDER: 0, USER: 0})


def test_the_vaults_bound_is_exact() -> None:
    found = spread([person("a", A)], [(USER, "a", 1)], before=[(USER, B, MAX_AMOUNT - 1)])
    assert sum_by_pool(found.claimables, "cumulative_amount")[USER] == MAX_AMOUNT
    with pytest.raises(LimitError, match=str(2**96)):
        spread([person("a", A)], [(USER, "a", 2)], before=[(USER, B, MAX_AMOUNT - 1)])


@given(
    st.lists(
        st.tuples(
            st.binary(min_size=20, max_size=20), st.sampled_from(["lower", "upper", "sum", "swapped", "cut", "line"])
        )
    )
)
def test_a_column_of_wallets_is_judged_as_each_alone(drawn: list[tuple[bytes, str]]) -> None:
    forms = {"lower": str, "upper": lambda a: "0x" + a[2:].upper(), "sum": checksum, "cut": lambda a: a[:-1],
             "swapped": lambda a: "0x" + checksum(a)[2:].swapcase(), "line": lambda a: a + "\n"}  # fmt: skip
    texts = [forms[form]("0x" + content.hex()) for content, form in drawn]
    people = accounts_frame([person(f"a{i}") for i in range(len(texts))]).with_columns(
        wallet_address=pl.Series(texts, dtype=pl.String)
    )
    expected = [text.lower() if is_usable(text) else None for text in texts]
    assert add_wallets(people, frozenset())["wallet"].to_list() == expected


def test_wallets_that_cannot_be_paid_are_named() -> None:
    token = Address("0x" + "ab" * 20)
    texts = [A, A.upper().replace("X", "x"), token, "0x" + "AB" * 20, "0x" + "00" * 20, "0x123", "", None]
    people = accounts_frame([person(f"a{i}") for i in range(len(texts))]).with_columns(wallet_address=pl.Series(texts))
    found = add_wallets(people, frozenset({token}))
    assert found["wallet"].to_list() == [A, A.lower(), None, None, None, None, None, None]
    assert unusable_wallets(found)["account_id"].to_list() == ["a2", "a3", "a4", "a5"]


# For any input


@st.composite
def spreads(draw: st.DrawFn) -> dict[str, object]:
    rng = Random(draw(st.integers(0, 2**32)))
    accounts = draw_accounts(rng, draw(st.integers(0, 8)), EPOCH)
    names = [a.account_id for a in accounts] + ["stranger"]

    def amounts(low: int, high: int) -> Amounts:
        keys = {(rng.choice(POOLS), rng.choice(names)) for _ in range(rng.randrange(8))}
        return [(pool, name, rng.randrange(low, high)) for pool, name in keys]

    top = rng.choice((3, 100, 2**90))
    return {
        "accounts": accounts,
        "allocations": amounts(0, top),
        "before": [(pool, wallet, rng.randrange(1, top)) for pool in POOLS for wallet in WALLETS if rng.random() < 0.4],
        "held": [
            (pool, name, epoch, rng.randrange(1, top))
            for pool, name, _ in amounts(0, 1)
            for epoch in rng.sample(range(15, 20), 2)
        ],
        "debts": amounts(1, top),
        "corrections": amounts(-top, top),
    }


@given(spreads())
def test_nothing_falls_vanishes_or_is_made(world: dict[str, object]) -> None:
    found = spread(**world)  # type: ignore[arg-type]
    CLAIMABLES.check(found.claimables)
    before = claimables_frame(world["before"])  # type: ignore[arg-type]
    assert successor_faults(before, found.claimables).is_empty()
    assert found.claimables.filter(pl.col("cumulative_amount") <= 0).is_empty()

    def total(name: str, pool: int) -> int:
        return sum(row[-1] for row in world[name] if row[0] == pool)  # type: ignore[attr-defined]

    claimable, held, debts = (
        sum_by_pool(found.claimables, "cumulative_amount"),
        sum_by_pool(found.held),
        sum_by_pool(found.debts),
    )
    for pool in POOLS:
        gained = [row[2] for row in world["corrections"] if row[0] == pool]  # type: ignore[attr-defined]
        came_in = (
            total("before", pool) + total("held", pool) + total("allocations", pool) + sum(g for g in gained if g > 0)
        )
        assert claimable[pool] + held[pool] + found.returned[pool] + found.withheld[pool] == came_in
        assert debts[pool] + found.withheld[pool] == total("debts", pool) - sum(g for g in gained if g < 0)


@given(spreads(), st.integers(0, 2**32))
def test_the_order_of_rows_changes_nothing(world: dict[str, list[object]], seed: int) -> None:
    rng = Random(seed)
    shuffled = {name: rng.sample(given, len(given)) for name, given in world.items()}
    one, other = spread(**world), spread(**shuffled)  # type: ignore[arg-type]
    assert one.claimables.equals(other.claimables)
    assert (rows(one.held), rows(one.debts), one.returned, one.withheld) == (
        rows(other.held),
        rows(other.debts),
        other.returned,
        other.withheld,
    )


# What the successor rule finds

BEFORE: Amounts = [(PROVIDER, A, 5), (USER, A, 7), (USER, B, 9)]


@pytest.mark.parametrize(
    ("after", "faults"),
    [
        (BEFORE, []),
        ([*BEFORE, (PROVIDER, B, 1)], []),
        ([(PROVIDER, A, 6), (USER, A, 7), (USER, B, 10)], []),
        ([(PROVIDER, A, 4), (USER, A, 7), (USER, B, 9)], [(PROVIDER, A, 5, 4)]),
        ([(USER, A, 7), (USER, B, 9)], [(PROVIDER, A, 5, None)]),
        ([*BEFORE, (USER, B, 11)], [(USER, B, 9, 11)]),
        ([(PROVIDER, A, 7), (USER, A, 5), (USER, B, 9)], [(USER, A, 7, 5)]),
        ([*BEFORE, (PROVIDER, B, 1), (PROVIDER, B, 1)], [(PROVIDER, B, None, 1)]),
        ([], [(PROVIDER, A, 5, None), (USER, A, 7, None), (USER, B, 9, None)]),
    ],
)
def test_pairs_that_break_the_rule_of_a_successor(after: Amounts, faults: list[tuple[object, ...]]) -> None:
    found = successor_faults(claimables_frame(BEFORE), claimables_frame(after))
    assert found.select("pool", "account", "was", "now").rows() == faults


def test_suspended_and_homeless_occur_in_what_is_drawn() -> None:
    met: Counter[str] = Counter()
    for seed in range(200):
        for one in draw_accounts(Random(seed), 8, EPOCH):
            met["suspended without a wallet"] += one.wallet is None and one.suspended_us == EPOCH.end_us - 1
            met["suspended with a wallet"] += one.wallet is not None and one.suspended_us == EPOCH.end_us - 1
    assert min(met.values()) > 5 and len(met) == 2
