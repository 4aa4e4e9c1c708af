"""Everything in one night: the first answer is lost, fees rise, the node restarts in the middle; and there is one root."""

from collections.abc import Callable

from rewards.ledger.intents import Intents
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.faults.world import World


def test_a_lost_answer_a_fee_spike_and_a_restart_end_in_one_root(world: World) -> None:
    told: list[str] = []
    tell = told.append

    def spike() -> None:
        [sent] = {each.transaction.hash: each for each in world.proxy.sent_transactions()}.values()
        world.node.set_base_fee(sent.fees[0] * 3)
        tell(f"fees rise above what {sent.transaction.hash[:10]}… pays, which is {sent.fees[0]} wei per gas")

    def restart() -> None:
        known = len(world.proxy.sent_transactions())
        world.node.restart()
        tell(f"the node restarts after {known} sendings; its pool is empty")

    events: list[tuple[int, Callable[[], None]]] = [(1, spike), (2, restart)]
    pauses = 0

    def pause() -> None:
        nonlocal pauses
        pauses += bool(world.proxy.sent_transactions())
        if events and pauses == events[0][0]:
            events.pop(0)[1]()

    world.on_pause = pause
    world.proxy.inject("answer lost after accept")
    tell("the first answer to a sent transaction is lost")
    outcome = world.publish()
    assert events == [] and outcome.receipt is not None
    [versions] = world.versions().values()
    for version in versions:
        tell(f"nonce {version.nonce}: {version.hash[:10]}… up to {version.max_fee} wei per gas")
    outcomes = {i.hash[:8]: i.outcome for i in Intents(world.workspace().ledger).all(ANVIL_CHAIN_ID)}
    tell(f"final in block {outcome.receipt.block.number}: root 0x{outcome.record.root.hex()[:8]}…, intents {outcomes}")
    assert sorted(outcomes.values()) == ["replaced", "succeeded"]
    world.check_settled()
    print("\n".join(told))
