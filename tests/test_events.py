"""A Vault's events: publications with what became of them, and sums that add up however the blocks are cut."""

from hypothesis import given
from hypothesis import strategies as st

from rewards.events import add_counters, add_up_events, find_newest, order_publications
from rewards.ports import Block, Claim, RootEvent, Transfer, VaultCounters, VaultEvents
from rewards.units import MAX_AMOUNT, POOLS
from tests.worlds import WALLETS


def _event(block: int, action: str, epoch: int) -> RootEvent:
    return RootEvent(block, 0, bytes(32), action, epoch, root=bytes([block]) * 32 if action == "publish" else None)


def test_each_publication_has_its_own_events() -> None:
    told = [
        _event(1, "publish", 0),
        _event(2, "attest", 0),
        _event(3, "publish", 1),
        _event(4, "revoke", 1),
        _event(5, "publish", 1),
        _event(6, "attest", 1),
        _event(7, "retire", 0),
    ]
    found = order_publications(reversed(told))
    assert [(p.event.block_number, [e.block_number for e in p.later]) for p in found] == [
        (1, [2, 7]),
        (3, [4]),
        (5, [6]),
    ]
    assert [(p.revoked, p.retired) for p in found] == [(False, True), (True, False), (False, False)]
    assert find_newest(found) == found[2] and find_newest(found[:2]) == found[0] and find_newest([]) is None


amounts = st.integers(0, MAX_AMOUNT)
claims = st.builds(Claim, st.integers(0, 9), st.just(bytes(32)), st.just(0), st.sampled_from(POOLS),
                   st.sampled_from(WALLETS), amounts, amounts)  # fmt: skip
transfers = st.builds(Transfer, st.integers(0, 9), st.just(0), st.just(bytes(32)), st.just("fees"),
                      st.integers(-MAX_AMOUNT, MAX_AMOUNT), amounts, amounts)  # fmt: skip
roots = st.builds(_event, st.integers(0, 9), st.sampled_from(("publish", "attest", "revoke", "retire")), st.just(0))


@given(st.lists(claims), st.lists(transfers), st.lists(roots), st.integers(0, 9))
def test_two_ranges_add_up_to_one(
    claimed: list[Claim], moved: list[Transfer], events: list[RootEvent], cut: int
) -> None:
    def add_up(first: int, last: int) -> VaultCounters:
        kept = (
            [e for e in kind if first <= e.block_number <= last]  # type: ignore[attr-defined]
            for kind in (claimed, moved, events)
        )
        return add_up_events(VaultEvents(first, Block(last, bytes(32), 0), *kept))

    assert add_counters(add_up(0, cut), add_up(cut + 1, 9)) == add_up(0, 9)
    assert add_up(0, 9).claimed == {p: sum(c.amount for c in claimed if c.pool == p) for p in POOLS}
    assert add_up(0, 9).protocol == sum(t.protocol_amount for t in moved)
