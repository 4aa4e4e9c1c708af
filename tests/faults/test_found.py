"""What stories of the state machine found, each as the shortest one that shows it."""

import pytest

from rewards.errors import ChainError
from tests.faults.crashes import Crash, Crashed
from tests.faults.world import PUBLISHER, World, persist


def test_a_nonce_is_not_built_on_one_that_may_vanish(world: World) -> None:
    """Somebody else's transaction with the publisher's key is in a block that goes away: ours must not wait for it."""
    world.send_past_the_proxy(PUBLISHER, "0x")
    with Crash("submit", after=True).planted(), pytest.raises(Crashed):
        world.publish()
    world.node.reorganise(1)
    world.node.ask("anvil_dropAllTransactions")
    world.polls = 20
    persist(world.publish, 3, [ChainError])
    world.check_settled()


def test_a_revocation_of_an_earlier_root_is_none_of_this_one(world: World) -> None:
    """The first revocation is final, and the ledger was not told of it; its call is the same as that of the second."""
    world.publish()
    with Crash("pursue", after=True).planted(), pytest.raises(Crashed):
        world.revoke()
    world.publish(again=True)
    assert world.revoke() is not None
    record = world.truth.root_at(0, world.truth.final_block().number)
    assert record is not None and record.status == "revoked" and world.truth.revocations() == 2
