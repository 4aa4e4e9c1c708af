"""Where a publication can stand when the chain goes back under it, and how it ends."""

from collections.abc import Callable

import pytest

from rewards.errors import ChainError, Disagreement
from tests.faults.world import World, persist

DEPTHS = (1, 2, 7, 32, 64)


class Stop(BaseException):
    """The process ends here."""


def stop(*_: object) -> None:
    raise Stop


def stop_after(world: World, number: int) -> Callable[[], None]:
    """Ends the process once it has sent so many transactions."""

    def end() -> None:
        if len(world.proxy.sent_transactions()) >= number:
            raise Stop

    return end


def last_sent(world: World) -> str:
    """The hash of the newest transaction that went out."""
    return world.proxy.sent_transactions()[-1].transaction.hash


def signed(world: World, patch: pytest.MonkeyPatch) -> None:
    """Kept in the ledger, given to no node."""
    with patch.context() as patched:
        patched.setattr("rewards.chain.pursuit.Pursuit.run", stop)
        with pytest.raises(Stop):
            world.publish()


def pooled(world: World, patch: pytest.MonkeyPatch) -> None:
    """Given to the node, in no block."""
    world.on_pause = stop
    with pytest.raises(Stop):
        world.publish()
    assert world.node.is_pooled(last_sent(world))


def mined(world: World, patch: pytest.MonkeyPatch) -> None:
    """In the newest block, which is not final."""
    pooled(world, patch)
    world.proxy.mine()
    assert not world.node.is_pooled(last_sent(world))


def mine_a_replacement(world: World) -> None:
    """Runs the command until a second version went out, and mines it."""
    world.on_pause = stop_after(world, 2)
    with pytest.raises(Stop):
        world.publish()
    world.proxy.mine()
    assert len(next(iter(world.versions().values()))) == 2


def finish(world: World) -> None:
    """Runs the command again, as an operator does, and checks what it left."""
    world.on_pause = lambda: None
    persist(world.publish, 3, [ChainError])
    world.check_settled()


def refuse_beside_a_rival(world: World) -> None:
    """The rival has the nonce and the epoch: the publisher stops, the guardian revokes, the right root goes out."""
    for _ in range(2):
        with pytest.raises((Disagreement, ChainError)):
            world.publish()
        world.check()
    world.node.mine(3)
    with pytest.raises(Disagreement, match="have the guardian revoke it"):
        world.publish()
    world.revoke()
    finish(world)
