"""The world as it is before anybody breaks it."""

from collections import Counter

from rewards.jobs.reconcile import reconcile
from tests.faults.world import PUBLISHER, World


def test_both_epochs_are_published_attested_and_final(world: World) -> None:
    assert world.publish().receipt is not None
    world.check_settled()
    assert world.attest().record.attestations_missing == 0
    world.node.advance(4000)
    assert world.publish(1).record.status == "pending"
    world.check_settled(1)
    assert world.publish(1).receipt is None
    assert world.resume() == []
    assert Counter(sender for sender, _ in world.versions())[PUBLISHER.address] == 2
    assert reconcile(world.workspace(), world.truth) == []
