"""Stories that once went wrong, each as short as it can be told."""

from dataclasses import replace
from typing import Any

import pytest

from rewards.chain.client import Chain
from rewards.chain.intent import SignedIntent
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.vault import ROLES, Vault
from rewards.errors import ChainError
from rewards.jobs.intents import LedgerIntents
from rewards.jobs.night import publish_up_to
from rewards.jobs.publish import find_published, intend_publication, plan_publication
from rewards.jobs.run import run_epochs
from rewards.ledger.catalogue import read_shown
from rewards.ledger.intents import Intents
from rewards.units import checksum
from tests.bundles.forge import settings_for
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.faults.crashes import Crash, Crashed
from tests.faults.node import RICH
from tests.faults.world import ADMIN, PUBLISHER, World, persist

SECOND_GUARDIAN = RICH[8]


def _begin(world: World, step: Any) -> str:
    """A step that is signed and sent, and lost by every node before a block has it; the raw bytes."""
    world.polls, world.on_pause = 2, lambda: world.node.ask("anvil_dropAllTransactions")
    with pytest.raises(ChainError):
        step()
    world.polls, world.on_pause = 60, lambda: None
    stored = Intents(world.workspace().ledger).open(ANVIL_CHAIN_ID)[-1]
    return "0x" + SignedIntent.from_json(stored.record).raw.hex()


def _state(world: World) -> tuple[str, bool]:
    record = world.truth.root_at(0)
    assert record is not None
    return record.status, record.root == world.manifest().root


def _open(world: World) -> list[str]:
    return [i.action for i in Intents(world.workspace().ledger).open(ANVIL_CHAIN_ID)]


def _replace_rival(world: World, step: Any) -> str:
    """A revocation of a rival root is begun and lost; another guardian revokes it, and our root goes out."""
    world.fee_cap = 10**16
    world.publish_rival()
    raw = _begin(world, step)
    world.node.fund(SECOND_GUARDIAN.address)
    world.call_vault(ADMIN, "setRole", checksum(SECOND_GUARDIAN.address), ROLES.index("guardian"))
    world.call_vault(SECOND_GUARDIAN, "revokeRoot", 0, "the other guardian")
    world.publish()
    assert _state(world) == ("pending", True)
    return raw


def test_a_revocation_that_is_final_is_not_taken_for_one_of_the_next_root(world: World) -> None:
    world.publish()
    world.polls = 2
    with pytest.raises(ChainError):
        world.revoke()
    world.polls = 60
    world.node.mine(6)
    world.publish(again=True)
    with pytest.raises(ChainError, match="has another root than when its revocation was begun"):
        world.revoke()
    [resumed] = world.resume()
    assert (resumed.action, resumed.overtaken) == ("revoke", None) and resumed.receipt is not None
    assert _state(world) == ("pending", True)
    assert world.revoke() is not None
    assert _state(world) == ("revoked", True)


def test_the_same_revocation_again_spares_a_root_that_came_since(world: World) -> None:
    _replace_rival(world, world.revoke)
    with pytest.raises(ChainError, match="run `rewards resume` first"):
        world.revoke()
    assert _state(world) == ("pending", True)


def test_a_revocation_that_is_overtaken_is_cancelled_for_good(world: World) -> None:
    """Although a rival took our own manifest hash, and a node kept the old bytes."""
    raw = _replace_rival(world, world.revoke)
    [resumed] = world.resume()
    assert resumed.overtaken is not None and resumed.receipt is not None
    assert _open(world) == []
    with pytest.raises(Exception, match="nonce too low"):
        world.node.ask("eth_sendRawTransaction", raw)
    world.node.mine()
    assert _state(world) == ("pending", True)


def test_a_revocation_is_not_sent_again_on_a_fork_where_our_root_stands(world: World) -> None:
    intent = intend_publication(world.truth, world.manifest())
    fields = {"to": world.truth._contract.address, "value": 0, "data": "0x" + intent.data.hex(), "gas": 400_000}
    fees = {"maxFeePerGas": 10**14, "maxPriorityFeePerGas": 10**13, "chainId": ANVIL_CHAIN_ID}
    nonce = {"nonce": world.node.nonce(PUBLISHER.address)}
    ours, before = "0x" + PUBLISHER.sign_transaction(fields | fees | nonce).hex(), world.node.head()
    world.publish_rival()
    world.fee_cap = 10**16
    pauses: list[int] = []

    def reorganise() -> None:
        pauses.append(1)
        if len(pauses) == 2:
            world.node.reorganise(world.node.head() - before, [(ours, 0)])

    world.on_pause = reorganise
    with pytest.raises(ChainError, match="the root that was to be revoked is gone"):
        world.revoke()
    assert _state(world) == ("pending", True)


def test_analysts_see_nothing_that_is_not_final(world: World) -> None:
    world.polls = 2
    with pytest.raises(ChainError, match="not final yet"):
        world.publish()
    list(run_epochs(world.workspace(), settings_for(world.ground.inputs, world.connect()), [1]))
    assert read_shown(world.folder / "data" / "rewards.duckdb") == {}


def test_a_plan_forbids_what_applying_would_refuse(world: World) -> None:
    chain = world.node.connect()
    mean = Vault(chain, world.ground.deployment, Sender(chain, Patience(), 1))
    plan = plan_publication(world.workspace(), 0, mean, PUBLISHER.address)
    assert not plan.may_be_sent and plan.fees is None and "above the cap of 1" in str(plan.obstacle)
    assert plan_publication(world.workspace(), 0, world.connect(), PUBLISHER.address).may_be_sent


def test_a_plan_of_a_damaged_bundle_shows_what_is_damaged(world: World) -> None:
    path = world.workspace().store.folder(0) / "claimables.parquet"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    plan = plan_publication(world.workspace(), 0, world.connect(), PUBLISHER.address)
    assert not plan.may_be_sent and plan.movers == ()
    assert "bundle" in {finding.gate for finding in plan.findings if finding.refuses}


def test_a_node_that_wants_more_for_a_while_does_not_use_up_all_replacements(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ChainError("transaction underpriced")

    world.polls = 30
    with monkeypatch.context() as patch:
        patch.setattr(Chain, "send_raw", refuse)
        with pytest.raises(ChainError, match="it was replaced 11 times, the next run goes on"):
            world.publish()
    newest = Intents(world.workspace().ledger).open(ANVIL_CHAIN_ID)[-1]
    world.node.set_base_fee(SignedIntent.from_json(newest.record).max_fee * 2)
    world.node.mine()
    world.publish()
    world.check_settled()


def test_what_nobody_has_need_not_be_outbid_above_the_cap(world: World) -> None:
    """Signed right at the cap and lost; the cap lets no eighth more, and fees have fallen."""
    world.node.set_base_fee(10**9)
    world.node.mine()
    world.fee_cap = 12 * 10**8 + 10**9
    _begin(world, world.publish)
    intents = LedgerIntents(world.workspace(), 0, "attest", "00" * 32, bytes(32))
    other = replace(intend_publication(world.truth, world.manifest()), data=b"\x01\x02\x03\x04")
    [signed] = intents.open(ANVIL_CHAIN_ID, PUBLISHER.address)
    assert signed.max_fee == world.fee_cap and not signed.serves(other)
    world.publish_rival()
    world.call_vault(RICH[3], "revokeRoot", 0, "a rival")
    world.publish()
    world.check_settled()


def test_a_publication_that_was_sent_again_on_purpose_is_finished_by_a_night(world: World) -> None:
    world.publish()
    world.revoke()
    _begin(world, lambda: world.publish(again=True))
    list(publish_up_to(world.workspace(), 0, world.connect(), PUBLISHER))
    assert _state(world) == ("pending", True) and _open(world) == []


def test_what_came_into_a_block_meanwhile_is_not_called_in_vain(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropped, asked about again, and mined between two questions: a replay then says that a root is pending, which is
    ours."""
    replay, told = Chain.replay, []

    def mine_first(self: Chain, transaction: Any, block: Any) -> None:
        if not told:
            told.append(1)
            stored = Intents(world.workspace().ledger).open(ANVIL_CHAIN_ID)[-1]
            world.node.ask("eth_sendRawTransaction", "0x" + SignedIntent.from_json(stored.record).raw.hex())
            world.node.mine()
        replay(self, transaction, block)

    drops = [1]
    world.on_pause = lambda: world.node.ask("anvil_dropAllTransactions") if drops and drops.pop() else None
    monkeypatch.setattr(Chain, "replay", mine_first)
    assert world.publish().receipt is not None and told == [1]
    world.check_settled()


def test_two_open_nonces_of_one_sender_are_brought_to_an_end(world: World) -> None:
    """As an older ledger may hold them, which signed at the pending count."""
    intent = intend_publication(world.truth, world.manifest())
    stale = replace(intent, data=intent.data[:-1] + b"\x09")
    sender = Sender(world.node.connect(), Patience(), world.fee_cap)
    store = LedgerIntents(world.workspace(), 0, "publish", world.manifest().digest, bytes(32))
    nonce = world.node.nonce(PUBLISHER.address)
    store.keep(sender._sign(stale, PUBLISHER, nonce, 200_000))
    store.keep(sender._sign(intent, PUBLISHER, nonce + 1, 400_000))
    world.publish()
    assert find_published(world.truth, world.manifest()) is not None
    world.check()


def test_a_kill_while_versions_are_settled_settles_all_or_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def dear() -> None:
        sent = world.proxy.sent_transactions()
        if len(sent) == 1:
            world.node.set_base_fee(sent[0].fees[0] * 3)

    world.on_pause = dear
    world.publish()
    outcomes = [i.outcome for i in Intents(world.workspace().ledger).all(ANVIL_CHAIN_ID)]
    assert sorted(map(str, outcomes)) == ["replaced", "succeeded"]
    assert "intent" not in {f.gate for f in world.workspace().ledger.findings().get(0, [])}


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
