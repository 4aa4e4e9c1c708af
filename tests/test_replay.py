"""What a replay credits: never below zero, never more than the gain, once; and which of today's tables it believes."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from rewards import replay
from rewards.corrections import Correction
from rewards.ports import EpochInputs, PoolTotals, Previous
from rewards.replay import Change
from rewards.schemas import ALLOCATIONS, CLAIMABLES, MONEY, STATE, TIME
from rewards.units import POOLS, PROVIDER, USER
from tests import worlds
from tests.worlds import CALENDAR, GENESIS, POLICY, World, draw_world

EPOCH = CALENDAR.epoch(9)
EMPTY = Previous(None, CLAIMABLES.empty(), STATE.empty(), {pool: PoolTotals.zero() for pool in POOLS})


def make_inputs(world: World) -> EpochInputs:
    return EpochInputs(
        epoch=EPOCH,
        rollup=worlds.rollup_frame(world.usage),
        heartbeats=worlds.heartbeats_frame(world.heartbeats),
        accounts=worlds.accounts_frame(world.accounts),
        provisions=worlds.provisions_frame(world.provisions),
        deposits=worlds.deposits_frame(EPOCH, []),
        corrections=worlds.corrections_frame([]),
    )


def amounts(frame: pl.DataFrame) -> dict[tuple[int, str], int]:
    return {(pool, name): int(amount) for pool, name, amount in frame.select("pool", "account_id", "amount").rows()}


def total(amounts: dict[tuple[int, str], int], pool: int) -> int:
    return sum(amount for (of, _), amount in amounts.items() if of == pool)


@given(st.integers(0, 10**9), st.integers(0, 10**24), st.integers(0, 10**24))
def test_gains_are_credited_to_the_unit_and_once(seed: int, provider_pool: int, user_pool: int) -> None:
    """Rows of a world are held back, as if quarantined, and counted in two replays."""
    rng, pools = Random(seed), {PROVIDER: provider_pool, USER: user_pool}
    world = draw_world(seed, 12, EPOCH)
    world.demand.clear()
    lots = [rng.randrange(3) for _ in world.usage]
    parts = [[row for row, lot in zip(world.usage, lots, strict=True) if lot == n] for n in range(3)]
    counted, first, second = (make_inputs(replace(world, usage=part)) for part in parts)
    accounts = {account.account_id for account in world.accounts}

    then = replay.allocate_again(counted, EMPTY, pools, POLICY)
    made: list[Correction] = []
    rollup, now = counted.rollup, then
    for fresh, text in ((first, "one"), (second, "two"), (second, "again")):
        if text != "again":
            rollup = replay.merge_rollups(rollup, fresh.rollup)
        now = replay.allocate_again(replace(counted, rollup=rollup), EMPTY, pools, POLICY)
        changes = replay.compare_allocations(then, now)
        credited = replay.add_up_replays(made, 9)
        more = replay.choose_corrections(changes, credited, accounts, 10, replay.name_replay(9, text))
        assert text != "again" or more == []
        made += more

    had, would = amounts(then), amounts(now)
    for change in changes:
        key = (change.pool, change.account_id)
        assert (change.had, change.would_have) == (had.get(key, 0), would.get(key, 0))
    assert sum(c.difference for c in changes) == sum(would.values()) - sum(had.values())
    for pool in POOLS:
        assert total(would, pool) <= pools[pool]
    assert all(correction.units > 0 and correction.epoch == 10 for correction in made)
    # What an account was credited is its largest gain: nothing is taken back where the second replay left it less.
    paid = replay.add_up_replays(made, 9)
    for key in {*paid, *would}:
        gain = would.get(key, 0) - had.get(key, 0)
        assert paid.get(key, 0) >= (gain if key[1] in accounts else 0)
    # The world as a whole is what the two replays counted together.
    whole = replay.allocate_again(make_inputs(world), EMPTY, pools, POLICY)
    assert amounts(whole) == would


@given(st.integers(0, 10**9))
def test_an_epoch_without_mended_rows_changes_nothing(seed: int) -> None:
    inputs = make_inputs(draw_world(seed, 8, EPOCH))
    pools = {PROVIDER: 10**20, USER: 10**20}
    merged = replace(inputs, rollup=replay.merge_rollups(inputs.rollup, inputs.rollup.head(0)))
    then, now = (replay.allocate_again(one, EMPTY, pools, POLICY) for one in (inputs, merged))
    assert replay.compare_allocations(then, now) == []


def test_what_did_not_earn_stays_out_of_a_merged_roll_up() -> None:
    row = worlds.rollup_frame([worlds.Usage("provision_not_counted", "p", "", 0, 3, 0, 0)])
    assert replay.merge_rollups(row.head(0), row).height == 0
    assert replay.merge_rollups(row, row).equals(row)


def allocations(*rows: tuple[int, str, int]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={"pool": pl.Int8, "account_id": pl.String, "amount": MONEY}, orient="row")
    filled = frame.with_columns(score=pl.lit(0), share="amount", cap="amount")
    return ALLOCATIONS.arrange(filled)


def test_every_difference_is_found_and_those_that_were_credited() -> None:
    then = allocations((1, "a", 5), (1, "b", 7), (1, "same", 3), (2, "a", 1))
    now = allocations((1, "a", 4), (1, "new", 9), (1, "same", 3), (2, "a", 3))
    found = [Change(1, "a", 5, 4), Change(1, "b", 7, 0), Change(1, "new", 0, 9), Change(2, "a", 1, 3)]
    assert replay.compare_allocations(then, now) == found
    also = {(1, "same"): 2, (2, "gone"): 4}
    assert set(replay.compare_allocations(then, now, also)) == {
        *found,
        Change(1, "same", 3, 3),
        Change(2, "gone", 0, 0),
    }


def correct(pool: int, account: str, units: int, reason: str, epoch: int = 10) -> Correction:
    return Correction(epoch=epoch, pool=pool, account_id=account, amount=str(units), reason=reason)


def test_only_replays_of_this_epoch_are_subtracted_each_once() -> None:
    one = correct(1, "a", 5, "replay of epoch 9: x")
    others = [
        correct(1, "a", 7, "replay of epoch 9: y", epoch=11),
        correct(1, "a", -2, "replay of epoch 9: z"),
        correct(2, "a", 1, "replay of epoch 9: x"),
        correct(1, "a", 100, "replay of epoch 99: x"),
        correct(1, "a", 100, "hours lost; replay of epoch 9: x"),
    ]
    assert replay.add_up_replays([one, one, *others], 9) == {(1, "a"): 10, (2, "a"): 1}


def test_what_is_left_to_credit() -> None:
    gain = Change(1, "a", 5, 15)
    for credited, left in ((0, 10), (4, 6), (10, 0), (11, 0), (-3, 10)):
        assert replay.find_credit(gain, {(1, "a"): credited}) == left
    assert replay.find_credit(Change(1, "a", 15, 5), {}) == 0
    assert replay.choose_corrections([gain, Change(1, "nobody", 0, 1)], {}, {"a"}, 3, "r") == [
        correct(1, "a", 10, "r", 3)
    ]


def test_the_largest_are_chosen_first_and_the_rest_is_left() -> None:
    gains = [
        Change(1, "a", 0, 5),
        Change(1, "b", 3, 12),
        Change(2, "a", 0, 5),
        Change(2, "b", 0, 9),
        Change(2, "c", 9, 0),
    ]
    people = {"a", "b", "c"}
    ranked = [(1, "b", 9), (2, "b", 9), (1, "a", 5), (2, "a", 5)]
    for most in range(1, 6):
        chosen = replay.choose_corrections(gains, {}, people, 3, "r", most)
        assert [(one.pool, one.account_id, one.units) for one in chosen] == sorted(ranked[:most])
    first = replay.choose_corrections(gains, {(1, "b"): 6}, people, 3, "r", 1)  # what is left counts, not the gain
    assert [(one.pool, one.account_id, one.units) for one in first] == [(2, "b", 9)]


def test_a_row_of_two_epochs_has_one_payer_or_none_that_is_known() -> None:
    for replayed, payer in (((), 4), ((4,), 4), ((6,), 6), ((4, 6), None), ((5,), 4)):
        assert replay.find_payer(4, 6, replayed) == replay.find_payer(6, 4, replayed) == payer


# Today's tables

BORN = GENESIS - timedelta(days=30)


def people(*rows: tuple[object, ...]) -> pl.DataFrame:
    """account, kind, wallet, suspended, referred by, created."""
    return pl.DataFrame(rows, schema=dict(replay.ACCOUNTS.columns), orient="row")


def nodes(*rows: tuple[object, ...]) -> pl.DataFrame:
    """provision, provider, tier, registered, retired."""
    filled = [(name, owner, tier, None, since, until) for name, owner, tier, since, until in rows]
    return pl.DataFrame(filled, schema=dict(replay.PROVISIONS.columns), orient="row")


def test_of_an_account_of_the_snapshot_the_kind_alone_is_believed() -> None:
    then = people(
        ("a", "user", None, EPOCH.start, None, BORN),
        ("b", "user", "0x1", None, None, BORN),
        ("gone", "user", None, None, None, BORN),
    )
    now = people(("a", "provider", "0x2", None, "b", EPOCH.end), ("b", "user", "0x3", BORN, "a", BORN))
    assert replay.mend_accounts(then, now, EPOCH).rows() == [
        ("a", "provider", None, EPOCH.start, None, BORN), then.row(1), then.row(2),
    ]  # fmt: skip


def test_an_account_that_was_missing_comes_as_it_is_but_late_without_a_link() -> None:
    then, late = people(("a", "user", None, None, None, BORN)), EPOCH.end
    now = people(("n", "user", "0x1", late, "a", BORN), ("o", "user", None, None, "a", late))
    assert replay.mend_accounts(then, now, EPOCH).rows() == [
        then.row(0), now.row(0), ("o", "user", None, None, None, late),
    ]  # fmt: skip


def test_a_provision_keeps_its_provider_and_tier_and_its_registration_only_widens() -> None:
    owners = people(("ann", "provider", None, None, None, BORN), ("ulf", "user", None, None, None, BORN))
    early, noon, late = EPOCH.start, EPOCH.start + timedelta(hours=12), EPOCH.end
    then = nodes(
        ("kept", "ann", "tide_pool", noon, noon),
        ("narrow", "ann", "tide_pool", early, late),
        ("open", "ann", "tide_pool", early, None),
        ("lost", "nobody", "tide_pool", early, None),
        ("users", "ulf", "tide_pool", early, None),
        ("gone", "nobody", "tide_pool", early, noon),
    )
    now = nodes(
        ("kept", "bob", "open_ocean", early, late),
        ("narrow", "ann", "tide_pool", noon, noon),
        ("open", "ann", "tide_pool", early, noon),
        ("lost", "ann", "open_ocean", noon, None),
        ("users", "ann", "blue_surge", early, None),
        ("new", "bob", "blue_surge", noon, late),
    )
    assert replay.mend_provisions(then, now, owners).equals(
        replay.PROVISIONS.arrange(
            nodes(
                ("kept", "ann", "tide_pool", early, late),
                ("narrow", "ann", "tide_pool", early, late),
                ("open", "ann", "tide_pool", early, None),
                ("lost", "ann", "open_ocean", early, None),
                ("users", "ann", "blue_surge", early, None),
                ("gone", "nobody", "tide_pool", early, noon),
                ("new", "bob", "blue_surge", noon, late),
            )
        )
    )
    reopened = replay.mend_provisions(then, nodes(("kept", "ann", "tide_pool", noon, None)), owners)
    assert reopened.filter(provision_id="kept")["retired_at"].to_list() == [None]


def test_heartbeats_are_counted_again_where_the_registration_is_another() -> None:
    schema = dict(replay.HEARTBEATS_ROLLUP.columns)
    then = nodes(("open", "a", "tide_pool", BORN, None), ("moved", "a", "tide_pool", EPOCH.end, None))
    mended = nodes(*[(n, "a", "tide_pool", BORN, None) for n in ("open", "moved", "new")])
    counted = pl.DataFrame([("open", 9, 9), ("moved", 1, 1)], schema=schema, orient="row")
    fresh = pl.DataFrame([("open", 5, 0), ("moved", 7, 6), ("new", 3, 3)], schema=schema, orient="row")
    merged = replay.merge_heartbeats(counted, fresh, then, mended)
    assert merged.rows() == [("moved", 7, 6), ("new", 3, 3), ("open", 9, 9)]
    assert mended.schema["retired_at"] == TIME


def test_heartbeats_that_went_missing_are_found() -> None:
    schema = dict(replay.HEARTBEATS_ROLLUP.columns)
    counted = pl.DataFrame(
        [("same", 9, 9), ("none", 2, 1), ("fewer", 3, 0), ("more", 1, 1)], schema=schema, orient="row"
    )
    now = pl.DataFrame([("same", 9, 8), ("fewer", 2, 2), ("more", 2, 0), ("new", 3, 3)], schema=schema, orient="row")
    assert replay.find_fewer_heartbeats(counted, now).rows() == [("fewer", 3, 2), ("none", 2, 0)]
