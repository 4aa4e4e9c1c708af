"""The chain goes back under a publication, in every state that its intent can have, and onto a fork where somebody else
published first. Nobody has to do more than run the command again."""

import pytest

from rewards.ledger.intents import Intents
from rewards.ports import Receipt
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.faults.proxy import Proxy
from tests.faults.states import (
    DEPTHS,
    Stop,
    finish,
    last_sent,
    mine_a_replacement,
    mined,
    pooled,
    refuse_beside_a_rival,
    signed,
    stop,
)
from tests.faults.world import DEPLOYER, PUBLISHER, World


def _replaced(world: World, patch: pytest.MonkeyPatch) -> None:
    """Signed twice, the newer version in a block."""
    pooled(world, patch)
    world.node.drop(last_sent(world))
    world.node.set_base_fee(world.proxy.sent_transactions()[-1].fees[0] * 3)
    mine_a_replacement(world)


STATES = {"signed": signed, "pooled": pooled, "mined": mined, "replaced": _replaced}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("state", STATES)
def test_a_publication_survives_a_reorganisation(
    world: World, monkeypatch: pytest.MonkeyPatch, state: str, depth: int
) -> None:
    STATES[state](world, monkeypatch)
    world.reorganise(depth)
    finish(world)


@pytest.mark.parametrize("depth", DEPTHS)
def test_two_reorganisations_in_a_row_while_it_waits(world: World, depth: int) -> None:
    """Nobody restarts anything: the command that waits for finality sees its block vanish twice, and sends again."""
    at = [2, 4]

    def reorganise() -> None:
        sent = [each for each in world.proxy.sent_transactions() if each.is_accepted]
        if at and sent and world.proxy.count("eth_getTransactionReceipt") >= at[0]:
            at.pop(0)
            world.reorganise(depth)

    world.on_pause = reorganise
    outcome = world.publish()
    assert isinstance(outcome.receipt, Receipt) and at == []
    assert len(world.versions()) == 1
    world.check_settled()


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_node_that_pools_again_what_it_took_back_changes_nothing(world: World, depth: int) -> None:
    """As geth does; the sender's own bytes then find themselves known."""
    with Proxy(world.node.url, reinject=True) as kind:
        world.proxy = kind
        mined(world, pytest.MonkeyPatch())
        world.reorganise(depth)
        finish(world)
        assert len(world.versions()) == 1


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("state", ["pooled", "mined"])
def test_on_a_fork_with_a_rival_root_nothing_of_ours_goes_through(
    world: World, monkeypatch: pytest.MonkeyPatch, state: str, depth: int
) -> None:
    STATES[state](world, monkeypatch)
    world.on_pause = lambda: None
    world.reorganise(depth)
    world.node.ask("anvil_dropAllTransactions")
    world.publish_rival()
    refuse_beside_a_rival(world)


@pytest.mark.parametrize("depth", [1, 7, 64])
@pytest.mark.parametrize("action", ["attest", "revoke"])
def test_attestations_and_revocations_survive_it_too(world: World, action: str, depth: int) -> None:
    world.publish()
    world.node.mine(depth)  # the publication itself stays
    step = world.attest if action == "attest" else world.revoke
    world.on_pause = stop
    with pytest.raises(Stop):
        step()
    world.proxy.mine()
    world.on_pause = lambda: None
    world.reorganise(depth)
    step()
    world.check()
    assert Intents(world.workspace().ledger).open(ANVIL_CHAIN_ID) == []
    record = world.truth.root_at(0)
    assert record is not None
    assert (record.attestations_missing == 0) if action == "attest" else (record.status == "revoked")


def test_resume_heals_a_reorganisation_of_64_blocks_without_a_person(world: World) -> None:
    mined(world, pytest.MonkeyPatch())
    world.on_pause = lambda: None
    world.reorganise(64)
    [resumed] = world.resume()
    assert (resumed.action, resumed.epoch, resumed.overtaken) == ("publish", 0, None)
    assert resumed.receipt is not None
    world.check_settled()
    assert world.resume() == []


def test_a_nonce_that_another_took_in_a_block_that_goes_away_is_not_given_up(world: World) -> None:
    """The foreign transaction is not final when it is seen, and vanishes: the intent keeps its nonce."""
    signed(world, pytest.MonkeyPatch())
    world.send_past_the_proxy(PUBLISHER, "0x")
    depth = 1

    def reorganise() -> None:
        nonlocal depth
        if depth:
            world.reorganise(depth)
            world.node.ask("anvil_dropAllTransactions")
            depth = 0

    world.on_pause = reorganise
    world.publish()
    assert len(world.versions()) == 1 and world.node.nonce(PUBLISHER.address) == 1
    world.check_settled()


def test_an_intent_whose_nonce_is_gone_for_good_is_signed_anew(world: World) -> None:
    signed(world, pytest.MonkeyPatch())
    world.send_past_the_proxy(PUBLISHER, "0x")
    assert world.node.nonce(DEPLOYER.address) > 0
    world.publish()
    outcomes = [i.outcome for i in Intents(world.workspace().ledger).all(ANVIL_CHAIN_ID)]
    assert outcomes == ["dead", "succeeded"]
    world.check_settled()
