"""Epoch after epoch against the books kept in plain dictionaries: what is paid, held, owed, carried, and the root."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import fields, replace
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards import reference
from rewards.compute import compute_epoch
from rewards.distribution import successor_faults
from rewards.epoch import Epoch
from rewards.errors import InputError, PolicyError
from rewards.merkle import ClaimTree
from rewards.policy import BP, Policy
from rewards.ports import EpochInputs, EpochResult, PoolTotals, Previous
from rewards.reference import LATE, Account, Scored
from rewards.schemas import ALLOCATIONS, CLAIMABLES, PROVISION_SCORES, SCORES, STATE
from rewards.units import POOLS, PROVIDER, USER, ZERO_ROOT
from tests import worlds
from tests.worlds import CALENDAR, POLICY, WALLETS, Demand, World, change

# Short memories, so that a handful of epochs reaches every end.
SHORT = change(
    POLICY, pools={"hold_epochs": 2}, demand={"epochs": 3}, loyalty={"steps": ((0, 10000), (2, 11000), (3, 12000))}
)
EPOCHS = 7


def make_inputs(
    world: World, epoch: Epoch, deposits: list[tuple[int, int]], corrections: list[tuple[int, str, int]]
) -> EpochInputs:
    return EpochInputs(
        epoch=epoch,
        rollup=worlds.rollup_frame(world.usage),
        heartbeats=worlds.heartbeats_frame(world.heartbeats),
        accounts=worlds.accounts_frame(world.accounts),
        provisions=worlds.provisions_frame(world.provisions),
        deposits=worlds.deposits_frame(epoch, deposits),
        corrections=worlds.corrections_frame(corrections),
    )


def start() -> Previous:
    return Previous(None, CLAIMABLES.empty(), STATE.empty(), {pool: PoolTotals.zero() for pool in POOLS})


def follow(result: EpochResult) -> Previous:
    return Previous("0" * 64, result.claimables, result.state, result.totals)


class Books:
    """The page's rules of pools, claimables, held amounts and debts, with the reference for scores and amounts."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.deposited: dict[int, int] = dict.fromkeys(POOLS, 0)
        self.claimable: dict[tuple[int, str], int] = defaultdict(int)
        self.held: dict[tuple[int, str, int], int] = {}
        self.debts: dict[tuple[int, str], int] = defaultdict(int)
        self.streaks: dict[str, int] = {}
        self.demand: list[Demand] = []

    def free(self, pool: int) -> int:
        claimable = sum(amount for (p, _), amount in self.claimable.items() if p == pool)
        return self.deposited[pool] - claimable - sum(amount for (p, *_), amount in self.held.items() if p == pool)

    def score(self, world: World, epoch: Epoch) -> dict[tuple[int, str], Scored]:
        provisions = {p.provision_id: p for p in world.provisions}
        demand = worlds.add_demand(self.demand[-self.policy.demand.epochs :])
        scored = reference.score_epoch(
            world.usage,
            world.heartbeats,
            provisions,
            {a.account_id: a for a in world.accounts},
            self.streaks,
            demand,
            self.policy,
            epoch,
        )
        used: Demand = defaultdict(int)
        for row in world.usage:
            if row.part == "provision" and row.slot != LATE:
                used[row.endpoint, provisions[row.subject_id].service_tier, row.slot] += row.weight
        self.demand.append(dict(used))
        self.streaks = {name: one.streak for (pool, name), one in scored.items() if pool == USER and one.streak}
        return scored

    def close(
        self,
        world: World,
        epoch: Epoch,
        deposits: list[tuple[int, int]],
        corrections: list[tuple[int, str, int]],
        limits: Mapping[int, int] | None,
    ) -> tuple[dict[int, int], dict[tuple[int, str], int]]:
        """One epoch: the pools it split and the amounts by (pool, account id)."""
        people = {a.account_id: a for a in world.accounts}
        scored = self.score(world, epoch)
        for provider, user in deposits:
            self.deposited[PROVIDER] += provider
            self.deposited[USER] += user
        gained = {pool: sum(a for p, _, a in corrections if p == pool and a > 0) for pool in POOLS}
        free = {pool: max(0, self.free(pool) - gained[pool]) * self.policy.pools.release_bp // BP for pool in POOLS}
        room = None if limits is None else {pool: max(0, limits[pool] - gained[pool]) for pool in POOLS}
        credited = self.settle_held(people, epoch, room)
        if limits is not None:
            free = {pool: max(0, min(free[pool], limits[pool] - credited[pool] - gained[pool])) for pool in POOLS}
        amounts: dict[tuple[int, str], int] = {}
        for pool in POOLS:
            split = reference.amounts(free[pool], {name: one for (p, name), one in scored.items() if p == pool})
            amounts |= {(pool, name): amount for name, amount in split.items()}
        self.credit(amounts, corrections, people, epoch)
        return free, amounts

    def settle_held(
        self, people: Mapping[str, Account], epoch: Epoch, room: Mapping[int, int] | None
    ) -> dict[int, int]:
        credited = dict.fromkeys(POOLS, 0)
        oldest_first = sorted(self.held.items(), key=lambda item: (item[0][2], item[0][1].encode()))
        for (pool, name, since), amount in oldest_first:
            one = people.get(name)
            if one is not None and one.suspended_us is not None and one.suspended_us < epoch.end_us:
                del self.held[pool, name, since]
            elif one is not None and one.wallet is not None:
                paid = amount if room is None else min(amount, room[pool] - credited[pool])
                self.held[pool, name, since] -= paid
                if paid == amount:
                    del self.held[pool, name, since]
                self.claimable[pool, one.wallet] += paid
                credited[pool] += paid
            elif epoch.number - since >= self.policy.pools.hold_epochs:
                del self.held[pool, name, since]
        return credited

    def credit(
        self,
        amounts: Mapping[tuple[int, str], int],
        corrections: list[tuple[int, str, int]],
        people: Mapping[str, Account],
        epoch: Epoch,
    ) -> None:
        earned = dict(amounts)
        for pool, name, amount in corrections:
            self.debts[pool, name] -= min(amount, 0)
        for key in earned:
            taken = min(earned[key], self.debts[key])
            earned[key] -= taken
            self.debts[key] -= taken
        for pool, name, amount in corrections:
            earned[pool, name] = earned.get((pool, name), 0) + max(amount, 0)
        for (pool, name), amount in earned.items():
            one = people.get(name)
            if amount and one is not None and one.wallet is not None:
                self.claimable[pool, one.wallet] += amount
            elif amount and not (one is not None and one.suspended_us is not None and one.suspended_us < epoch.end_us):
                self.held[pool, name, epoch.number] = amount


def check_epoch(
    inputs: EpochInputs,
    previous: Previous,
    result: EpochResult,
    books: Books,
    pools: Mapping[int, int],
    amounts: Mapping[tuple[int, str], int],
) -> None:
    """Equality with the books, then the invariants as they are written."""
    for table, frame in (
        (SCORES, result.scores),
        (PROVISION_SCORES, result.provision_scores),
        (ALLOCATIONS, result.allocations),
        (CLAIMABLES, result.claimables),
        (STATE, result.state),
    ):
        table.check(frame)
        assert table.arrange(frame).equals(frame)
    paid = {(p, name): int(a) for p, name, a in result.allocations.select("pool", "account_id", "amount").iter_rows()}
    assert paid == {key: amount for key, amount in amounts.items() if key in paid}
    assert not any(amount for key, amount in amounts.items() if key not in paid)
    claimables = {(p, account): int(a) for p, account, a in result.claimables.iter_rows()}
    assert claimables == {key: amount for key, amount in books.claimable.items() if amount}
    state = {kind: result.state.filter(pl.col("kind") == kind) for kind in ("held", "debt", "streak", "demand")}
    assert {
        (p, i, e): int(a) for p, i, e, a in state["held"].select("pool", "id", "epoch", "amount").iter_rows()
    } == books.held
    assert {(p, i): int(a) for p, i, a in state["debt"].select("pool", "id", "amount").iter_rows()} == {
        k: a for k, a in books.debts.items() if a
    }
    assert {i: int(a) for i, a in state["streak"].select("id", "amount").iter_rows()} == books.streaks
    assert set(state["demand"]["epoch"]) <= set(
        range(inputs.epoch.number + 1 - books.policy.demand.epochs, inputs.epoch.number + 1)
    )

    for pool in POOLS:
        totals = result.totals[pool]
        shares = result.allocations.filter(pl.col("pool") == pool)
        assert totals.pool == pools[pool] and totals.allocated == sum(int(a) for a in shares["amount"])
        assert sum(int(s) for s in shares["share"]) == (
            pools[pool] if shares.height else 0
        )  # I1: the pool is split whole
        assert totals.deposited == totals.claimables + totals.held + totals.carry_over  # I18
        assert totals.carry_over == books.free(pool)
    assert successor_faults(previous.claimables, result.claimables).is_empty()  # I2
    assert result.allocations.filter(pl.col("amount") > pl.col("cap")).is_empty()  # I19
    cap = sum(int(c) for c in result.allocations["cap"])
    fees = sum(int(f) for f in result.scores["fee_e8"])
    assert (
        cap <= fees * 10**10 * POLICY.caps.deposit_bp // BP
    )  # ... so that all together get less than reached the Vault for both sides
    tree = ClaimTree.build(result.claimables)
    assert (result.root, result.tree, result.leaves) == (tree.root, tree.to_bytes(), result.claimables.height)
    if result.claimables.equals(previous.claimables):
        assert result.root == ClaimTree.build(previous.claimables).root


def move(rng: Random, accounts: list[Account], epoch: Epoch) -> list[Account]:
    """A later snapshot: wallets appear, change and vanish, accounts are suspended, and newcomers are referred."""
    moved = []
    for one in accounts:
        choice = rng.random()
        if choice < 0.3:
            one = replace(one, wallet=rng.choice((None, *WALLETS)))
        elif choice < 0.36:
            one = replace(one, suspended_us=rng.choice((epoch.start_us, epoch.end_us - 1, epoch.end_us)))
        moved.append(one)
    return moved


def draw_epoch(
    rng: Random, accounts: list[Account], epoch: Epoch, books: Books
) -> tuple[World, list[tuple[int, int]], list[tuple[int, str, int]]]:
    """Usage, deposits of the order of the caps, and corrections that the carry-over can bear."""
    provisions = worlds.draw_provisions(Random(5), accounts)
    usage = [] if rng.random() < 0.15 else worlds.draw_usage(rng, provisions, accounts, digits=rng.choice((5, 9)))
    fees = sum(u.fee_e8 for u in usage)
    deposits = [(fees * 8 * 10**7, fees * 4 * 10**7 + rng.randrange(7))] if rng.random() < 0.9 else []
    corrections = []
    for pool in POOLS:
        if rng.random() < 0.4:
            name = rng.choice([a.account_id for a in accounts] + ["stranger"])
            corrections.append((pool, name, -worlds.draw_number(rng, 18)))
        if rng.random() < 0.4 and books.free(pool) > 10:
            corrections.append((pool, rng.choice(accounts).account_id, books.free(pool) // rng.randrange(2, 9)))
    beats = worlds.draw_heartbeats(rng, provisions)
    return World(accounts, provisions, usage, beats), deposits, corrections


@given(st.integers(0, 2**32), st.integers(1, 9), st.sampled_from([SHORT, change(SHORT, pools={"release_bp": 7_000})]))
@settings(max_examples=15)
def test_a_week_keeps_the_books(seed: int, number: int, policy: Policy) -> None:
    rng, books, previous = Random(seed), Books(policy), start()
    accounts = worlds.draw_accounts(rng, number, CALENDAR.epoch(0))
    for epoch in CALENDAR.between(0, EPOCHS - 1):
        accounts = move(rng, accounts, epoch)
        world, deposits, corrections = draw_epoch(rng, accounts, epoch, books)
        limits = {pool: worlds.draw_number(rng, 20) for pool in POOLS} if rng.random() < 0.4 else None
        inputs = replace(make_inputs(world, epoch, deposits, corrections), limits=limits)
        result = compute_epoch(inputs, previous, policy)
        for pool in POOLS if limits is not None else ():
            corrected = sum(amount for p, _, amount in corrections if p == pool and amount > 0)
            grown = result.totals[pool].claimables - previous.totals[pool].claimables
            assert grown <= max(limits[pool], corrected)
        pools, amounts = books.close(world, epoch, deposits, corrections, limits)
        check_epoch(inputs, previous, result, books, pools, amounts)
        previous = follow(result)


def shuffle(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    return frame.sample(fraction=1, shuffle=True, seed=seed)


@given(st.integers(0, 2**32))
@settings(max_examples=12)
def test_the_order_of_rows_changes_no_byte(seed: int) -> None:
    rng, books, previous = Random(seed), Books(SHORT), start()
    accounts = worlds.draw_accounts(rng, 8, CALENDAR.epoch(0))
    for epoch in CALENDAR.between(0, 2):
        accounts = move(rng, accounts, epoch)
        world, deposits, corrections = draw_epoch(rng, accounts, epoch, books)
        inputs = make_inputs(world, epoch, deposits, corrections)
        result = compute_epoch(inputs, previous, SHORT)
        mixed = replace(
            inputs,
            rollup=shuffle(inputs.rollup, seed),
            heartbeats=shuffle(inputs.heartbeats, seed),
            accounts=shuffle(inputs.accounts, seed),
            provisions=shuffle(inputs.provisions, seed),
            deposits=shuffle(inputs.deposits, seed),
            corrections=shuffle(inputs.corrections, seed),
        )
        again = compute_epoch(
            mixed,
            replace(previous, claimables=shuffle(previous.claimables, seed), state=shuffle(previous.state, seed)),
            SHORT,
        )
        for part in fields(EpochResult):
            one, other = getattr(result, part.name), getattr(again, part.name)
            assert one.equals(other) if isinstance(one, pl.DataFrame) else one == other, part.name
        books.close(world, epoch, deposits, corrections, None)
        previous = follow(result)


# By hand

ALICE = Account("alice", "user", WALLETS[0], None, None, CALENDAR.genesis_us - 1)
SPENT = World([ALICE], usage=[reference.Usage("user", "alice", "", 0, 1, 0, 1_000_000)])
CAP = 1_000_000 * 50_000_000  # fee × 10^10 × 200 × 2500 // 10^8


def run(
    number: int,
    previous: Previous,
    world: World = SPENT,
    deposit: int = 0,
    limit: int | None = None,
    policy: Policy = POLICY,
) -> EpochResult:
    inputs = make_inputs(world, CALENDAR.epoch(number), [(0, deposit)] if deposit else [], [])
    return compute_epoch(
        inputs if limit is None else replace(inputs, limits={PROVIDER: 0, USER: limit}), previous, policy
    )


def test_the_vaults_limit_makes_the_rest_wait() -> None:
    paid, previous = [], start()
    for number, limit in enumerate((400, 400, 400)):
        result = run(number, previous, deposit=1000 if number == 0 else 0, limit=limit)
        paid.append((result.totals[USER].pool, result.totals[USER].claimables, result.totals[USER].carry_over))
        previous = follow(result)
    assert paid == [(400, 400, 600), (400, 800, 200), (200, 1000, 0)]


def test_what_is_held_and_credited_counts_towards_the_limit() -> None:
    homeless = replace(SPENT, accounts=[replace(ALICE, wallet=None)])
    previous = follow(run(0, start(), homeless, deposit=300))
    assert previous.totals[USER].held == 300
    result = run(1, previous, deposit=1000, limit=350)
    assert (result.totals[USER].pool, result.totals[USER].claimables) == (50, 350)
    result = run(1, previous, deposit=1000, limit=200)
    assert (result.totals[USER].pool, result.totals[USER].claimables, result.totals[USER].held) == (0, 200, 100)
    result = run(2, follow(result), limit=200)
    assert (result.totals[USER].pool, result.totals[USER].claimables, result.totals[USER].held) == (100, 400, 0)


def test_what_the_cap_cuts_waits_for_the_next_epoch() -> None:
    previous = follow(run(0, start(), deposit=CAP + 5))
    assert (previous.totals[USER].claimables, previous.totals[USER].carry_over) == (CAP, 5)
    result = run(1, previous)
    assert (result.totals[USER].pool, result.totals[USER].claimables) == (5, CAP + 5)


def test_release_splits_a_part_of_what_is_free() -> None:
    half = change(POLICY, pools={"release_bp": 5000})
    result = run(0, start(), deposit=101, policy=half)
    assert (result.totals[USER].pool, result.totals[USER].carry_over) == (50, 51)


def test_an_epoch_that_changes_nothing_keeps_the_root() -> None:
    nobody = World([ALICE])
    first = run(0, start(), nobody, deposit=10)
    assert (first.root, first.leaves) == (ZERO_ROOT, 0)
    paid = run(1, follow(first))
    assert paid.root != ZERO_ROOT
    assert run(2, follow(paid), nobody, deposit=10).root == paid.root
    # Money that is only held changes no claimable, and so no root
    bob = replace(ALICE, account_id="bob", wallet=None)
    world = World([ALICE, bob], usage=[reference.Usage("user", "bob", "", 0, 1, 0, 1_000_000)])
    held = run(2, follow(paid), world, deposit=10)
    assert (held.root, held.totals[USER].held) == (paid.root, 10)


def test_the_token_and_the_vault_are_never_paid() -> None:
    inputs = make_inputs(SPENT, CALENDAR.epoch(0), [(0, 10)], [])
    result = compute_epoch(replace(inputs, forbidden=frozenset({WALLETS[0]})), start(), POLICY)
    assert (result.leaves, result.totals[USER].held) == (0, 10)


def test_corrections_credit_at_most_what_the_pool_holds() -> None:
    previous = follow(run(0, start(), World([ALICE]), deposit=10))

    def correct(amount: int) -> EpochResult:
        return compute_epoch(
            make_inputs(World([ALICE]), CALENDAR.epoch(1), [(0, 5)], [(USER, "alice", amount)]), previous, POLICY
        )

    assert (correct(15).totals[USER].claimables, correct(15).totals[USER].carry_over) == (15, 0)
    with pytest.raises(InputError, match="corrections credit 16 base units of the user pool, which has 15 to give"):
        correct(16)


def test_a_policy_of_other_rules_is_refused() -> None:
    other = Policy.model_validate(POLICY.model_dump() | {"ruleset": "v9"})
    with pytest.raises(PolicyError, match="'v9'"):
        run(0, start(), policy=other)
