"""Bringing an effect about: kept before it is sent, settled by what a final block says, followed until it is final."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from rewards.chain.client import request
from rewards.chain.fees import Asked, ask_for_fees
from rewards.chain.intent import Intent, Outcome, SignedIntent
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.errors import ChainError, ChainUnavailable
from rewards.units import Address
from tests.chain.networks import Network

TO = Address("0x" + "c3" * 20)
CALL = Intent("a call", TO, b"\1\2")
OTHER = Intent("another call", TO, b"\3")
DEPLOYMENT = Intent("a deployment", None, bytes.fromhex("600160005260016001f3"))


@dataclass
class Kept:
    """An intent store in memory that notes what it is told."""

    signed: list[SignedIntent] = field(default_factory=list)
    outcomes: dict[bytes, tuple[Outcome, int]] = field(default_factory=dict)

    def open(self, chain_id: int, sender: Address) -> Sequence[SignedIntent]:
        of_sender = [each for each in self.signed if (each.chain_id, each.sender) == (chain_id, sender)]
        return [each for each in of_sender if each.transaction not in self.outcomes]

    def keep(self, signed: SignedIntent) -> None:
        self.signed.append(signed)

    def settle(self, outcomes: Mapping[bytes, Outcome], block: int) -> None:
        self.outcomes |= {transaction: (outcome, block) for transaction, outcome in outcomes.items()}


def _count(network: Network, block: int | None = None) -> int:
    return network.chain.count_transactions(network.signers[7].address, "latest" if block is None else block)


def _when_used(network: Network) -> Callable[[int | None], bool]:
    """Done when one transaction more of the signer is in a block."""
    before = _count(network)
    return lambda block: _count(network, block) > before


def _nothing() -> None:
    pass


def _impatient(network: Network, polls: int = 1) -> Sender:
    return Sender(network.chain, Patience(polls=polls, pause_s=0))


def _send_and_leave(network: Network, intent: Intent) -> None:
    """In a block that is not final, and nobody waited."""
    account = network.signers[7]
    before = network.chain.count_transactions(account.address, "latest")
    with pytest.raises(ChainError, match=r"not final yet|in no block yet"):
        _impatient(network).send(intent, account)
    while network.chain.count_transactions(account.address, "latest") == before:
        time.sleep(0.01)  # anvil mines a little after it answered


def test_what_is_executed_is_kept_sent_and_settled_once_it_is_final(network: Network) -> None:
    store, sender, signer = Kept(), network.sender, network.signers[7]
    receipt = sender.execute(CALL, signer, store, _when_used(network), _nothing)
    assert receipt is not None
    [signed] = store.signed
    assert receipt.transaction == signed.transaction
    assert sender.sent == [signed.transaction]
    assert store.outcomes == {signed.transaction: ("succeeded", receipt.block.number)}
    assert receipt.block.number <= network.chain.final_block().number


def test_what_stands_already_is_awaited_until_it_is_final(network: Network) -> None:
    is_done, store = _when_used(network), Kept()
    _send_and_leave(network, OTHER)
    for impatient in (_impatient(network), _impatient(network, polls=2)):
        with pytest.raises(ChainError, match="a call: it is on the chain and not final yet"):
            impatient.execute(CALL, network.signers[7], Kept(), lambda block: block is None, _nothing)
    assert network.sender.execute(CALL, network.signers[7], store, is_done, _nothing) is None
    assert is_done(network.chain.final_block().number)
    assert store.signed == []


def test_an_effect_of_others_is_awaited_until_it_is_final(anvil: Network) -> None:
    is_done = _when_used(anvil)
    with pytest.raises(ChainError, match="a call: the chain does not show it yet"):
        _impatient(anvil).wait_until(CALL, is_done)
    _send_and_leave(anvil, CALL)
    with pytest.raises(ChainError, match="a call: it is on the chain and not final yet"):
        _impatient(anvil).wait_until(CALL, is_done)
    anvil.sender.wait_until(CALL, is_done)
    assert is_done(anvil.chain.final_block().number)


def test_a_node_that_is_gone_while_others_act_is_told_or_forgotten(embedded: Network) -> None:
    gone = ChainUnavailable("no answer")
    answers: list[bool | Exception] = [gone, False, gone]

    def is_done(_: int | None) -> bool:
        answer = answers.pop(0) if answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(ChainUnavailable, match="a call: no answer; run the same command again later"):
        _impatient(embedded).wait_until(CALL, is_done)
    with pytest.raises(ChainError, match="the chain does not show it yet"):
        _impatient(embedded).wait_until(CALL, is_done)
    _impatient(embedded, polls=2).wait_until(CALL, is_done)
    answers += [gone, False]
    with pytest.raises(ChainError, match="the chain does not show it yet"):
        _impatient(embedded, polls=2).wait_until(CALL, is_done)


def test_a_check_that_fails_signs_nothing_and_one_before_sending_sends_nothing(network: Network) -> None:
    def refuse() -> None:
        raise ChainError("not today")

    store, signer, is_done = Kept(), network.signers[7], _when_used(network)
    with pytest.raises(ChainError, match="not today"):
        network.sender.execute(CALL, signer, store, is_done, refuse)
    assert store.signed == []
    with pytest.raises(ChainError, match="not today"):
        network.sender.execute(CALL, signer, store, is_done, _nothing, refuse)
    [signed] = store.signed
    assert not network.chain.knows_transaction(signed.transaction)
    receipt = network.sender.execute(CALL, signer, store, is_done, _nothing)
    assert receipt is not None and receipt.transaction == signed.transaction
    assert store.signed == [signed]


def test_what_was_signed_and_overtaken_is_settled_as_dead(network: Network) -> None:
    store, signer = Kept(), network.signers[7]
    store.keep(network.sender.sign(CALL, signer))
    network.sender.send(OTHER, signer)
    receipt = network.sender.execute(CALL, signer, store, _when_used(network), _nothing)
    first, second = store.signed
    assert (store.outcomes[first.transaction][0], store.outcomes[second.transaction][0]) == ("dead", "succeeded")
    assert receipt is not None and receipt.transaction == second.transaction
    assert second.nonce == first.nonce + 1


def test_what_was_sent_before_a_crash_is_finished_and_not_sent_again(network: Network) -> None:
    store, signer, is_done = Kept(), network.signers[7], _when_used(network)
    before = network.sender.send(CALL, signer, store.keep)
    again = network.sender
    assert again.execute(CALL, signer, store, is_done, _nothing) == before
    assert again.sent == []
    assert store.outcomes == {before.transaction: ("succeeded", before.block.number)}


def test_a_call_replaces_another_that_waits_at_its_nonce(anvil: Network) -> None:
    store, signer, is_done = Kept(), anvil.signers[7], _when_used(anvil)
    request(anvil.chain, "evm_setAutomine", [False])
    try:
        with pytest.raises(ChainError, match="is in no block yet"):
            _impatient(anvil).send(OTHER, signer, store.keep)
        assert anvil.chain.knows_transaction(store.signed[0].transaction)
        anvil.sender.execute(CALL, signer, store, is_done, _nothing)
    finally:
        request(anvil.chain, "evm_setAutomine", [True])
    first, second = store.signed
    assert first.nonce == second.nonce
    assert 10 * second.max_fee >= 11 * first.max_fee
    assert (store.outcomes[first.transaction][0], store.outcomes[second.transaction][0]) == ("replaced", "succeeded")


def test_only_what_is_in_no_block_and_pays_too_little_is_stuck(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer, sender = network.signers[7], network.sender
    signed = sender.sign(CALL, signer)
    asked = ask_for_fees(network.chain)
    assert sender.is_stuck(replace(signed, max_fee=asked.least - 1))
    assert not sender.is_stuck(replace(signed, max_fee=asked.least))
    sender.resume(signed)
    assert not sender.is_stuck(replace(signed, max_fee=0))
    # A node that gives the receipt, and a count from before: one version in a block settles it.
    monkeypatch.setattr(network.chain, "count_transactions", lambda *_: signed.nonce)
    other = replace(signed, max_fee=0, transaction=bytes(32))
    assert sender.is_stuck(other)
    assert not sender.is_stuck(other, signed)


def test_a_call_takes_the_nonce_of_another_that_was_never_sent(network: Network) -> None:
    store, signer = Kept(), network.signers[7]
    store.keep(network.sender.sign(OTHER, signer))
    network.sender.execute(CALL, signer, store, _when_used(network), _nothing)
    first, second = store.signed
    assert first.nonce == second.nonce
    assert (store.outcomes[first.transaction][0], store.outcomes[second.transaction][0]) == ("replaced", "succeeded")


@pytest.mark.parametrize("words", ["nonce too high", "txpool is full", "pool overflow"])
def test_a_node_that_lags_or_is_full_is_asked_again(
    network: Network, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    send, refusals = network.chain.send_raw, [words, words]

    def refuse_twice(raw: bytes, purpose: str) -> None:
        if refusals:
            raise ChainError(refusals.pop())
        send(raw, purpose)

    monkeypatch.setattr(network.chain, "send_raw", refuse_twice)
    assert network.chain.knows_transaction(network.sender.send(CALL, network.signers[7]).transaction)
    refusals.append(words)
    with pytest.raises(ChainUnavailable, match=f"a call: {words}; nonce .*, safe to resume"):
        _impatient(network).send(CALL, network.signers[7])


@pytest.mark.parametrize("words", ["already known", "nonce too low", "in words of its own"])
def test_a_refusal_counts_for_nothing_where_the_chain_has_it(
    network: Network, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    send, sender = network.chain.send_raw, network.sender

    def take_and_refuse(raw: bytes, purpose: str) -> None:
        send(raw, purpose)
        raise ChainError(words)

    monkeypatch.setattr(network.chain, "send_raw", take_and_refuse)
    receipt = sender.send(CALL, network.signers[7])
    assert sender.sent == [receipt.transaction]


def test_what_a_node_refuses_for_good_is_told(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(raw: bytes, purpose: str) -> None:
        raise ChainError("insufficient funds")

    monkeypatch.setattr(network.chain, "send_raw", refuse)
    with pytest.raises(ChainError, match=r"^insufficient funds; nonce \d+ of 0x\w+, safe to resume$"):
        network.sender.send(CALL, network.signers[7])


def test_the_name_of_a_node_decides_nothing(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address such as https://fullnode.example, or a purpose, may hold a word by which refusals are told apart."""
    told = "publication: https://fullnode-underpriced.example answers insufficient funds"

    def refuse(raw: bytes, purpose: str) -> None:
        raise ChainError(told, "insufficient funds")

    monkeypatch.setattr(network.chain, "send_raw", refuse)
    with pytest.raises(ChainError, match=f"^{told}; nonce") as refused:
        network.sender.send(CALL, network.signers[7])
    assert not isinstance(refused.value, ChainUnavailable)


def test_a_stuck_one_is_replaced_and_each_version_is_told_before_it_is_sent(anvil: Network) -> None:
    told: list[tuple[SignedIntent, bool]] = []

    def keep(signed: SignedIntent) -> None:
        told.append((signed, anvil.chain.knows_transaction(signed.transaction)))

    def pause(_: float) -> None:
        if len(told) >= 3:
            anvil.mine()

    request(anvil.chain, "evm_setAutomine", [False])
    try:
        sender = Sender(anvil.chain, Patience(polls=30, pause_s=0, pause=pause, blocks=0))
        receipt = sender.send(CALL, anvil.signers[7], keep)
    finally:
        request(anvil.chain, "evm_setAutomine", [True])
    assert len(told) >= 3 and not any(was_known for _, was_known in told)
    assert {signed.nonce for signed, _ in told} == {told[0][0].nonce}
    fees = [signed.max_fee for signed, _ in told]
    assert all(10 * above >= 11 * below for below, above in pairwise(fees))
    assert receipt.transaction in [signed.transaction for signed, _ in told[1:]]


def test_fees_are_those_that_the_chain_asks(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    eth = network.chain.web3.eth
    block = eth.get_block("latest")
    assert ask_for_fees(network.chain) == Asked(block["baseFeePerGas"], eth.max_priority_fee)
    price = eth.gas_price
    monkeypatch.setattr(eth, "get_block", lambda _: {"number": block["number"]})
    assert ask_for_fees(network.chain) == Asked(None, price)


@pytest.mark.parametrize("intent", [CALL, DEPLOYMENT], ids=lambda intent: intent.purpose)
@pytest.mark.parametrize("has_base_fee", [True, False])
def test_what_was_signed_tells_what_it_calls(
    network: Network, monkeypatch: pytest.MonkeyPatch, intent: Intent, has_base_fee: bool
) -> None:
    if not has_base_fee:
        monkeypatch.setattr(network.chain.web3.eth, "get_block", lambda _: {})
    signed = network.sender.sign(intent, network.signers[7])
    assert (signed.raw[0] < 0xC0) is has_base_fee
    assert signed.call == (intent.to, intent.data)
    assert signed.serves(intent)
    assert not signed.serves(Intent(intent.purpose, intent.to, intent.data + b"\0"))
    assert not signed.serves(Intent(intent.purpose, Address("0x" + "c4" * 20), intent.data))
    assert SignedIntent.from_json(signed.to_json()) == signed
