"""What a transaction pays: enough for the next blocks, never above the cap, above what it replaces by the rule of nodes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.chain.fees import MOST_FEE, Asked, Fees, choose_fees
from rewards.chain.intent import SignedIntent
from rewards.errors import FeeAboveCap
from rewards.units import Address

WEI = st.integers(0, 10**12)
HIGH = 10**30
"""A cap that is never in the way."""
ASKED = st.builds(Asked, WEI | st.none(), WEI)


def signed(max_fee: int, tip: int) -> SignedIntent:
    return SignedIntent("a call", 1, Address("0x" + "11" * 20), 0, 21000, max_fee, tip, b"", b"")


@pytest.mark.parametrize(("base_fee", "least"), [(7, 10), (0, 3), (None, 3)])
def test_the_next_block_asks_for_base_fee_and_tip(base_fee: int | None, least: int) -> None:
    assert Asked(base_fee, 3).least == least


def test_a_fee_lasts_while_the_base_fee_doubles() -> None:
    assert choose_fees(Asked(100, 3), HIGH) == Fees(203, 3, has_base_fee=True)


def test_without_a_base_fee_both_are_the_gas_price() -> None:
    fees = choose_fees(Asked(None, 3), HIGH)
    assert fees == Fees(3, 3, has_base_fee=False)
    assert fees.to_fields() == {"gasPrice": 3}


def test_with_a_base_fee_both_are_told() -> None:
    assert Fees(203, 3, has_base_fee=True).to_fields() == {"maxFeePerGas": 203, "maxPriorityFeePerGas": 3}


@pytest.mark.parametrize(("cap", "max_fee"), [(103, 103), (150, 150), (203, 203), (10**6, 203)])
def test_a_cap_lowers_the_fee_as_far_as_the_next_block_allows(cap: int, max_fee: int) -> None:
    assert choose_fees(Asked(100, 3), cap) == Fees(max_fee, 3, has_base_fee=True)


@pytest.mark.parametrize("asked", [Asked(100, 3), Asked(None, 103)])
def test_a_wei_below_what_the_chain_asks_is_refused(asked: Asked) -> None:
    assert choose_fees(asked, 103).max_fee == 103
    with pytest.raises(FeeAboveCap, match="a fee of 103 wei per gas, above the cap of 102"):
        choose_fees(asked, 102)


def test_a_tip_is_within_the_cap_as_well() -> None:
    with pytest.raises(FeeAboveCap, match="a fee of 10000000000000007 wei per gas, above the cap of 500000000000;"):
        choose_fees(Asked(7, 10**16), MOST_FEE)
    assert choose_fees(Asked(7, MOST_FEE - 7), MOST_FEE) == Fees(MOST_FEE, MOST_FEE - 7, has_base_fee=True)


def test_a_replacement_that_would_pass_the_cap_is_refused_though_the_chain_asks_for_less() -> None:
    assert choose_fees(Asked(0, 1), 900, signed(800, 8)) == Fees(900, 9, has_base_fee=True)
    with pytest.raises(FeeAboveCap, match="a fee of 900 wei per gas, above the cap of 899"):
        choose_fees(Asked(0, 1), 899, signed(800, 8))


@pytest.mark.parametrize(
    ("paid", "raised"),
    [(0, 1), (1, 2), (7, 8), (8, 9), (9, 11), (16, 18), (17, 20), (800, 900), (801, 902)],
)
def test_a_replacement_pays_an_eighth_more_rounded_up(paid: int, raised: int) -> None:
    assert choose_fees(Asked(0, 0), HIGH, signed(paid, paid)) == Fees(raised, raised, has_base_fee=True)
    assert choose_fees(Asked(None, 0), HIGH, signed(paid, paid)) == Fees(raised, raised, has_base_fee=False)


def test_a_replacement_pays_what_the_chain_asks_where_that_is_more() -> None:
    assert choose_fees(Asked(1000, 50), HIGH, signed(800, 8)) == Fees(2050, 50, has_base_fee=True)


@given(ASKED, WEI, WEI, st.integers(0, 10**13) | st.just(HIGH))
def test_every_replacement_obeys_the_rule_of_nodes_and_the_cap(asked: Asked, fee: int, tip: int, cap: int) -> None:
    paid = replace(signed(fee, tip), priority_fee=fee if asked.base_fee is None else min(fee, tip))
    try:
        fees = choose_fees(asked, cap, paid)
    except FeeAboveCap:
        assert cap < max(asked.least, fee + max(1, -(-fee // 8)))
        return
    assert 10 * fees.max_fee >= 11 * fee
    assert 10 * fees.tip >= 11 * paid.priority_fee
    assert fees.max_fee >= asked.least
    assert fees.tip <= fees.max_fee <= cap
