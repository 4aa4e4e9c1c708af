"""Resuming without the key: the same bytes while the fees allow it, a plain sentence while they do not."""

import re

import pytest

from rewards.errors import ChainError
from rewards.jobs.resume import Resumed, resume_all
from rewards.ledger.intents import Intents
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.faults.world import FEE_CAP, PUBLISHER, World


def resume_without_keys(world: World) -> list[Resumed]:
    return list(resume_all(world.workspace(), world.connect(), {}))


def test_a_stuck_transaction_without_its_key_is_told_and_goes_through_once_fees_fall(world: World) -> None:
    world.polls = 6
    world.node.set_base_fee(7)
    world.on_pause = lambda: world.node.set_base_fee(10**11)
    world.fee_cap = 10**10  # so that the publisher does not replace it either
    with pytest.raises(ChainError, match="above the cap"):
        world.publish()
    [signed] = Intents(world.workspace().ledger).open(ANVIL_CHAIN_ID)

    world.fee_cap = FEE_CAP
    told = (
        rf"is in no block yet: .* it was not replaced: no key of {PUBLISHER.address} is configured here; set it and run"
    )
    with pytest.raises(ChainError, match=told) as caught:
        resume_without_keys(world)
    assert re.search(r"pays up to \d+ wei per gas, the base fee is \d+", str(caught.value))
    assert Intents(world.workspace().ledger).open(ANVIL_CHAIN_ID) == [signed]
    world.check()

    world.on_pause = lambda: world.node.set_base_fee(7)
    world.polls = 30
    [resumed] = resume_without_keys(world)
    assert resumed.receipt is not None
    assert resumed.transaction == resumed.receipt.transaction == bytes.fromhex(signed.hash)
    world.check_settled()
    assert resume_without_keys(world) == []
