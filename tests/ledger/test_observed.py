"""The observed chain: rows and cursor move together or not at all, money is exact, a break stays until it is cleared."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rewards.errors import Finding, StorageError
from rewards.ledger.observed import Cursor, ObservedChain
from rewards.ledger.store import Ledger
from rewards.ports import Block, Claim, RootEvent, Transfer, VaultEvents
from rewards.units import MAX_AMOUNT, PROVIDER, USER, Address
from tests.worlds import WALLETS

VAULT, NOW = Address("0x" + "aa" * 20), datetime(2026, 1, 8, tzinfo=UTC)
CHAIN_ID = 2**63
"""Larger than a signed integer."""


def _range(first: int, last: int) -> VaultEvents:
    """One event of each kind in its last block, amounts at their bounds."""
    place = {"block_number": last, "transaction": bytes([last]) * 32}
    return VaultEvents(
        first,
        Block(last, bytes([last]) * 32, 0),
        [Claim(epoch=0, pool=USER, account=WALLETS[0], amount=MAX_AMOUNT, cumulative=MAX_AMOUNT, log_index=7, **place)],
        [Transfer(log_index=8, kind="withdrawal", protocol_amount=-MAX_AMOUNT, provider_amount=MAX_AMOUNT,
                  user_amount=0, **place)],
        [RootEvent(log_index=9, action="publish", epoch=last, root=b"\x01" * 32, manifest_hash=b"\x02" * 32,
                   provider_total=MAX_AMOUNT, user_total=0, **place),
         RootEvent(log_index=10, action="attest", epoch=last, attester=WALLETS[1], **place)],
    )  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.duckdb")


def _store(observed: ObservedChain, events: VaultEvents, before: Cursor | None) -> Cursor:
    return observed.store(events, before, CHAIN_ID, VAULT)


def test_nothing_was_read_before_the_first_range(ledger: Ledger) -> None:
    observed = ObservedChain(ledger)
    assert (observed.cursor(), observed.breaks()) == (None, []) and not ledger.exists()


def test_what_was_stored_comes_back_exactly(ledger: Ledger) -> None:
    observed = ObservedChain(ledger)
    cursor = _store(observed, _range(1, 5), None)
    cursor = _store(observed, _range(6, 9), cursor)
    assert cursor == observed.cursor() == Cursor(CHAIN_ID, VAULT, 9, b"\x09" * 32)
    seen = observed.read(cursor)
    assert seen.root_events == [event for events in (_range(1, 5), _range(6, 9)) for event in events.root_events]
    assert seen.claims.select("block", "log_index", "epoch", "pool", "account").rows() == [
        (5, 7, 0, USER, WALLETS[0]),
        (9, 7, 0, USER, WALLETS[0]),
    ]
    assert [int(amount) for amount in seen.claims["cumulative_amount"]] == [MAX_AMOUNT, MAX_AMOUNT]
    assert seen.counters.claimed == {PROVIDER: 0, USER: 2 * MAX_AMOUNT}
    assert seen.counters.deposited == {PROVIDER: 2 * MAX_AMOUNT, USER: 0}
    assert (seen.counters.protocol, seen.counters.live_roots) == (-2 * MAX_AMOUNT, 2)


def test_sums_of_many_large_claims_are_exact(ledger: Ledger) -> None:
    """Where 64 bits and floats end."""
    observed = ObservedChain(ledger)
    claims = [Claim(1, bytes(32), 0, PROVIDER, WALLETS[0], MAX_AMOUNT, MAX_AMOUNT, i) for i in range(1000)]
    _store(observed, VaultEvents(1, Block(1, bytes(32), 0), claims, [], []), None)
    assert observed.counters().claimed[PROVIDER] == 1000 * MAX_AMOUNT


def test_a_range_that_is_stored_twice_is_refused(ledger: Ledger) -> None:
    observed = ObservedChain(ledger)
    first = _store(observed, _range(1, 5), None)
    for before in (None, Cursor(CHAIN_ID, VAULT, 4, first.hash), Cursor(1, VAULT, 5, first.hash)):
        with pytest.raises(StorageError, match="read up to block 5 now"):
            _store(observed, _range(1, 5), before)
    with pytest.raises(StorageError, match="read up to block 5 now"):
        observed.read(Cursor(CHAIN_ID, VAULT, 4, first.hash))
    assert observed.read(first).claims.height == 1


def test_a_range_that_cannot_be_stored_leaves_nothing(ledger: Ledger) -> None:
    """An event that was there before: the claims of the range were written already."""
    observed = ObservedChain(ledger)
    first = _store(observed, _range(1, 5), None)
    again = VaultEvents(6, Block(9, bytes(32), 0), _range(6, 9).claims, [], _range(1, 5).root_events)
    with pytest.raises(StorageError):
        _store(observed, again, first)
    assert observed.cursor() == first and observed.read(first).claims.height == 1


def test_a_break_stays_until_a_person_clears_it(ledger: Ledger) -> None:
    observed = ObservedChain(ledger)
    _store(observed, _range(1, 5), None)
    broken = Finding("reconcile", "block 5 is another one", "one", "other")
    observed.forget_broken(broken, NOW)
    assert (observed.cursor(), observed.breaks()) == (None, [broken])
    again = _store(observed, _range(1, 5), None)
    assert observed.read(again).claims.height == 1 and observed.breaks() == [broken]
    observed.forget()
    observed.clear_told_breaks()
    assert (observed.cursor(), observed.breaks()) == (None, [broken])  # nobody was told of it
    observed.note_told()
    observed.clear_told_breaks()
    assert observed.breaks() == []
