"""Every RPC fault at every step of a publication: whatever a node says or does not say, the operator runs the same command
again, and in the end there is one root, from one nonce, for fees below the cap."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest

from rewards.chain.vault import ROLES
from rewards.errors import ChainError, Disagreement, GateRefused, RewardsError
from rewards.ledger.intents import Intents
from rewards.units import checksum
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.faults.call import Call
from tests.faults.faults import VARIANTS
from tests.faults.pool import may_replace
from tests.faults.proxy import Proxy
from tests.faults.world import ADMIN, GUARDIAN, PUBLISHER, World, persist

TRIES = 5


@dataclass(frozen=True)
class Step:
    """A moment of a publication: from the `number`-th request of `method` on that comes after `after` was asked."""

    name: str
    method: str
    number: int = 1
    after: str | None = None


STEPS = (
    Step("connect", "eth_chainId"),
    Step("gates", "eth_call", 4),
    Step("estimate", "eth_estimateGas"),
    Step("nonce", "eth_getTransactionCount"),
    Step("fees", "eth_maxPriorityFeePerGas"),
    Step("send", "eth_sendRawTransaction"),
    Step("receipt", "eth_getTransactionReceipt", 1, "eth_sendRawTransaction"),
    Step("finality", "eth_getBlockByNumber", 3, "eth_sendRawTransaction"),
    Step("catalogue", "eth_call", 1, "eth_sendRawTransaction"),
)

EVENTS = {
    "answer lost after accept": 1,
    "already known": 1,
    "nonce too low": 2,
    "nonce too high": 2,
    "underpriced": 2,
    "replacement underpriced": 1,
    "insufficient funds": 1,
    "revert on estimate": 1,
    "failed receipt": 1,
    "dropped": 1,
    "accepted but never forwarded": 2,
    "lagging node": 25,
    "other fork": 6,
    "wrong chain id": 1,
    "fee spike": 12,
    "missing receipt": 3,
    "missing log": 3,
    "429": 4,
    "hang": 1,
    "502": 4,
    "truncated JSON": 2,
    "connection refused": 1,
}
"""What a node does, and how many requests it meets: more than one where one would pass unnoticed."""


class Reached:
    """Whether a step has begun; once it has, it stays so."""

    def __init__(self, proxy: Proxy, step: Step) -> None:
        self._proxy, self._step, self._begun = proxy, step, False

    def __call__(self, call: Call) -> bool:
        if not self._begun:
            seen = [each.method for each in self._proxy.seen]
            if self._step.after is not None:
                seen = seen[seen.index(self._step.after) + 1 :] if self._step.after in seen else []
            count = seen.count(self._step.method) + (call.method == self._step.method)
            self._begun = count >= self._step.number
        return self._begun


def _publish_through(world: World) -> list[Exception]:
    """As an operator would: again and again. What was refused was refused in one line, and nothing was lost by it."""

    def attempt() -> None:
        try:
            world.publish()
        finally:
            world.check()

    errors = persist(attempt, TRIES, [ChainError])
    assert not any("\n" in str(error) for error in errors)
    return errors


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@pytest.mark.parametrize("fault", EVENTS)
def test_a_fault_of_the_node_ends_in_one_root(world: World, fault: str, step: Step) -> None:
    world.proxy.inject(fault, times=EVENTS[fault], when=Reached(world.proxy, step))
    _publish_through(world)
    world.check_settled()
    world.proxy.heal()
    assert world.publish().receipt is None


@pytest.mark.parametrize("times", [1, 5, 100])
def test_a_failure_that_left_events_is_not_believed(world: World, times: int) -> None:
    """A receipt that lies: what it says of a transaction would stay in the ledger for good."""
    world.proxy.inject("failed receipt", times=times)
    errors = _publish_through(world)
    world.proxy.heal()
    world.publish()
    world.check_settled()
    [stored] = Intents(world.workspace().ledger).all(ANVIL_CHAIN_ID)
    assert stored.outcome == "succeeded"
    assert all("failed in block" in str(error) and "has events of it" in str(error) for error in errors)


@pytest.mark.parametrize("fault", sorted(VARIANTS))
def test_the_words_of_other_clients_end_in_one_root(world: World, fault: str) -> None:
    """Twice, since one refusal may be answered by a replacement."""
    world.proxy.inject(VARIANTS[fault], times=2)
    _publish_through(world)
    world.check_settled()


STATES: dict[str, tuple[Callable[[World], None], Callable[[World], None]]] = {
    "paused": (
        lambda world: world.call_vault(GUARDIAN, "pausePublishing"),
        lambda world: world.call_vault(GUARDIAN, "resumePublishing"),
    ),
    "role revoked": (
        lambda world: world.call_vault(ADMIN, "setRole", checksum(PUBLISHER.address), ROLES.index("none")),
        lambda world: world.call_vault(ADMIN, "setRole", checksum(PUBLISHER.address), ROLES.index("publisher")),
    ),
    "rival root": (lambda world: world.publish_rival(), lambda world: world.call_vault(GUARDIAN, "revokeRoot", 0, "x")),
}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@pytest.mark.parametrize("state", STATES)
def test_what_others_do_to_the_vault_meanwhile_ends_in_one_root(world: World, state: str, step: Step) -> None:
    """The Vault is changed right before a request. Nothing goes through against it; once it is changed back, all does."""
    change, change_back = STATES[state]
    changed = []

    def act(call: Call) -> bool:
        if not changed and reached(call):
            changed.append(step)
            if not _is_published(world):
                change(world)
                changed.append(step)
        return False

    reached = Reached(world.proxy, step)
    world.proxy.inject("request lost", when=act)
    errors: list[RewardsError] = []
    try:
        world.publish()
    except (ChainError, GateRefused, Disagreement) as error:
        errors.append(error)
    if len(changed) == 2:
        assert errors or _is_published(world)
        world.check()
        change_back(world)
        world.node.mine(3)
        world.publish()
    world.check_settled()


def _is_published(world: World) -> bool:
    record = world.truth.root_at(0)
    return record is not None and record.status != "revoked"


# Fees


def test_a_transaction_below_the_base_fee_is_replaced_by_the_rule_of_geth(world: World) -> None:
    """The node keeps it, as geth does; the base fee stays above it."""
    spiked = []

    def spike() -> None:
        if world.proxy.sent_transactions() and len(spiked) < 4:
            spiked.append(1)
            world.node.set_base_fee(10 ** (10 + len(spiked)) // 2)

    world.on_pause = spike
    world.proxy.inject("dropped", times=0)
    world.node.set_base_fee(7)
    _hold_blocks(world, until=3)
    world.publish()
    [versions] = world.versions().values()
    assert len(versions) > 1
    assert all(may_replace(older, newer) for older, newer in pairwise(versions))
    world.check_settled()


def _hold_blocks(world: World, until: int) -> None:
    """The first blocks after the transaction was sent cost more than it pays."""
    pause = world.on_pause
    held = []

    def hold() -> None:
        pause()
        if world.proxy.sent_transactions() and len(held) < until:
            held.append(1)
            dearest = max(sent.fees[0] for sent in world.proxy.sent_transactions())
            world.node.set_base_fee(min(dearest * 2, world.fee_cap // 100))

    world.on_pause = hold


def test_above_the_cap_nothing_is_replaced_and_the_wait_is_told(world: World) -> None:
    world.polls, world.fee_cap = 8, 10**10
    world.node.set_base_fee(7)
    world.on_pause = lambda: world.node.set_base_fee(10**11)
    with pytest.raises(
        ChainError, match=r"it was not replaced: a fee of \d+ wei per gas, above the cap of 10000000000"
    ):
        world.publish()
    assert len(world.proxy.sent_transactions()) >= 1
    world.check()
    world.on_pause = lambda: world.node.set_base_fee(7)
    _publish_through(world)
    world.check_settled()
