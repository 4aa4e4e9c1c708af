"""Sending: stored before sent, sent once, finished after a crash."""

from dataclasses import replace
from typing import Any

import pytest
from hexbytes import HexBytes

from rewards.chain.client import request
from rewards.chain.fees import Fees
from rewards.chain.intent import Intent, SignedIntent
from rewards.chain.pursuit import Patience, Pursuit
from rewards.chain.sender import Sender
from rewards.errors import ChainError, FeeAboveCap
from rewards.units import Address, checksum, keccak
from tests.chain.networks import Network

TO = Address("0x" + "c3" * 20)
NOTHING = Intent("an empty call", TO, b"")
# Creation code that reverts when it holds less than a wei: 0 value, so the deployment always fails.
FAILS = Intent("a failing deployment", None, bytes.fromhex("60006000fd"))


class Crash(Exception):
    """Stands for a process that ends here."""


def _crash(stored: list[SignedIntent]) -> Any:
    def on_signed(intent: SignedIntent) -> None:
        stored.append(intent)
        raise Crash

    return on_signed


def _nonce(network: Network) -> int:
    return network.chain.count_transactions(network.signers[7].address, "latest")


def test_intent_is_stored_before_it_is_sent(network: Network) -> None:
    seen: list[tuple[SignedIntent, bool]] = []

    def on_signed(intent: SignedIntent) -> None:
        seen.append((intent, network.chain.knows_transaction(intent.transaction)))

    nonce = _nonce(network)
    receipt = network.sender.send(NOTHING, network.signers[7], on_signed)
    [(stored, was_known)] = seen
    assert not was_known
    assert keccak(stored.raw) == stored.transaction == receipt.transaction
    assert (stored.nonce, stored.sender, stored.chain_id) == (nonce, network.signers[7].address, network.chain.chain_id)
    assert stored.max_fee >= stored.priority_fee > 0
    assert network.chain.block(receipt.block.number) == receipt.block
    assert receipt.block.number <= network.chain.final_block().number
    assert receipt.gas_used == 21000


def test_crash_after_signing_sends_the_same_bytes(network: Network) -> None:
    nonce = _nonce(network)
    stored: list[SignedIntent] = []
    with pytest.raises(Crash):
        network.sender.send(NOTHING, network.signers[7], _crash(stored))
    assert _nonce(network) == nonce
    again = SignedIntent.from_json(stored[0].to_json())
    assert again == stored[0]
    receipt = network.sender.resume(again)
    assert receipt.transaction == stored[0].transaction
    assert _nonce(network) == nonce + 1


def test_crash_after_sending_sends_nothing_more(network: Network) -> None:
    stored: list[SignedIntent] = []
    receipt = network.sender.send(NOTHING, network.signers[7], stored.append)
    nonce = _nonce(network)
    assert network.sender.resume(stored[0]) == receipt
    assert network.sender.resume(stored[0]) == receipt
    assert _nonce(network) == nonce


def test_nonce_that_another_transaction_took_is_told(network: Network) -> None:
    stored: list[SignedIntent] = []
    with pytest.raises(Crash):
        network.sender.send(NOTHING, network.signers[7], _crash(stored))
    network.sender.send(Intent("another call", TO, b"\1"), network.signers[7])
    with pytest.raises(ChainError, match=r"nonce \d+ of 0x\w+ went to another transaction"):
        network.sender.resume(stored[0])


def test_answer_that_was_lost_counts_as_sent(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    eth = network.chain.web3.eth
    send = type(eth).send_raw_transaction

    def send_and_lose(raw: bytes) -> None:
        send(eth, raw)
        raise ConnectionResetError("the answer was lost")

    monkeypatch.setattr(eth, "send_raw_transaction", send_and_lose)
    receipt = network.sender.send(NOTHING, network.signers[7])
    assert network.chain.knows_transaction(receipt.transaction)


def _pursue(network: Network, stored: SignedIntent) -> Pursuit:
    return Pursuit(network.chain, network.sender._patience, [stored])


def test_duplicate_is_success_only_for_our_hash(network: Network) -> None:
    """The node refuses the same bytes twice in words of its own; and another transaction at a used nonce."""
    stored: list[SignedIntent] = []
    receipt = network.sender.send(NOTHING, network.signers[7], stored.append)
    _pursue(network, stored[0])._submit()
    assert network.sender.resume(stored[0]) == receipt
    call = {"to": stored[0].sender, "value": 0, "data": b"", "gas": 21000, "nonce": stored[0].nonce}
    fees = {"maxFeePerGas": stored[0].max_fee, "maxPriorityFeePerGas": stored[0].priority_fee}
    raw = network.signers[7].sign_transaction(call | fees | {"to": "0x" + "11" * 20, "chainId": network.chain.chain_id})
    other = _pursue(network, replace(stored[0], raw=raw, transaction=keccak(raw)))
    other._submit()
    assert other.run() is None


def test_what_would_revert_is_not_signed(network: Network) -> None:
    nonce = _nonce(network)
    stored: list[SignedIntent] = []
    with pytest.raises(ChainError, match=r"a failing deployment: .* refuses: no reason given"):
        network.sender.send(FAILS, network.signers[7], _crash(stored))
    assert stored == []
    assert _nonce(network) == nonce


def test_transaction_that_failed_in_a_block_is_an_error(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """It passed the estimate and failed later, as when somebody else was faster."""
    monkeypatch.setattr(network.chain, "estimate_gas", lambda _: 100_000)
    stored: list[SignedIntent] = []
    with pytest.raises(ChainError, match=r"transaction 0x[0-9a-f]{64} failed: .* refuses: no reason given"):
        network.sender.send(FAILS, network.signers[7], stored.append)
    with pytest.raises(ChainError, match="failed: "):
        network.sender.resume(stored[0])


def test_fee_above_the_cap_is_not_sent(network: Network) -> None:
    sender = Sender(network.chain, Patience(polls=1, pause_s=0), max_fee_cap=1)
    with pytest.raises(ChainError, match="wei per gas, above the cap of 1; wait or raise REWARDS_MAX_FEE_WEI"):
        sender.send(NOTHING, network.signers[7])


def test_a_node_that_asks_for_a_fortune_gets_nothing_where_no_cap_is_set(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    nonce = _nonce(network)
    monkeypatch.setattr(type(network.chain.web3.eth), "max_priority_fee", 10**16)
    with pytest.raises(FeeAboveCap, match=r"above the cap of 500000000000; wait or raise REWARDS_MAX_FEE_WEI"):
        Sender(network.chain, Patience(polls=1, pause_s=0)).send(NOTHING, network.signers[7])
    assert _nonce(network) == nonce


def test_chain_without_a_base_fee_gets_a_gas_price(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    eth = network.chain.web3.eth
    get_block = eth.get_block

    def get_block_of_old(number: Any) -> Any:
        return {name: value for name, value in get_block(number).items() if name != "baseFeePerGas"}

    monkeypatch.setattr(eth, "get_block", get_block_of_old)
    stored: list[SignedIntent] = []
    network.sender.send(NOTHING, network.signers[7], stored.append)
    sent = eth.get_transaction(HexBytes(stored[0].transaction))
    assert (sent["type"], sent["gasPrice"]) == (0, stored[0].max_fee)
    assert stored[0].max_fee == stored[0].priority_fee


def test_intent_of_another_chain_is_not_resumed(network: Network) -> None:
    stored: list[SignedIntent] = []
    network.sender.send(NOTHING, network.signers[7], stored.append)
    with pytest.raises(ChainError, match="was signed for chain 1, not"):
        network.sender.resume(replace(stored[0], chain_id=1))


def test_batch_too_large_for_a_transaction_is_told(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.chain, "estimate_gas", lambda _: 2**24)
    with pytest.raises(ChainError, match="more than the 16777216 of a transaction; split it"):
        network.sender.send(NOTHING, network.signers[7])


def test_waiting_for_finality_ends_and_says_where_it_stands(anvil: Network) -> None:
    """Nobody mines: the transaction is in the newest block, two short of final; later it is resumed."""
    stored: list[SignedIntent] = []
    impatient = Sender(anvil.chain, Patience(polls=2, pause_s=0))
    with pytest.raises(ChainError, match=r"is in block \d+, not final yet; resume it later"):
        impatient.send(NOTHING, anvil.signers[7], stored.append)
    anvil.mine()
    anvil.mine()
    assert impatient.resume(stored[0]).transaction == stored[0].transaction


def test_block_that_is_replaced_gets_the_same_transaction_again(anvil: Network) -> None:
    stored: list[SignedIntent] = []
    impatient = Sender(anvil.chain, Patience(polls=2, pause_s=0))
    with pytest.raises(ChainError, match="not final yet"):
        impatient.send(NOTHING, anvil.signers[7], stored.append)
    request(anvil.chain, "anvil_rollback", [1])
    assert not anvil.chain.knows_transaction(stored[0].transaction)
    assert anvil.sender.resume(stored[0]).transaction == stored[0].transaction


def test_changed_bytes_of_a_stored_intent_are_refused(embedded: Network) -> None:
    stored: list[SignedIntent] = []
    embedded.sender.send(NOTHING, embedded.signers[7], stored.append)
    text = stored[0].to_json()
    assert SignedIntent.from_json(text) == stored[0]
    broken = text.replace(stored[0].transaction.hex(), stored[0].transaction.hex()[:-2] + "00")
    with pytest.raises(ChainError, match=r"says transaction .*, its signed bytes say .*; it must not be sent"):
        SignedIntent.from_json(broken)
    cut = text.replace(stored[0].raw.hex(), stored[0].raw.hex()[:-2])
    no_transaction = text.replace(stored[0].raw.hex(), "02c8c0c0c0c0c0c0c0c0")
    for nonsense in ("", "[]", "{}", text.replace("nonce", "once"), cut, no_transaction):
        with pytest.raises(ChainError, match="not a stored intent"):
            SignedIntent.from_json(nonsense)


@pytest.mark.parametrize("has_base_fee", [True, False])
@pytest.mark.parametrize(
    ("name", "value"),
    [("sender", TO), ("nonce", 3), ("chain_id", 1), ("gas", 1), ("max_fee", 1), ("priority_fee", 2)],
)
def test_a_stored_intent_says_what_its_signed_bytes_say(
    embedded: Network, name: str, value: Any, has_base_fee: bool
) -> None:
    """Who may write the text beside the bytes has no say in what is sent."""
    fees = Fees(10**9, 10**9, has_base_fee)
    known = {"chainId": 3338, "nonce": 5, "gas": 21000, "to": checksum(TO), "data": b"\1", "value": 0}
    raw = embedded.signers[7].sign_transaction(known | fees.to_fields())
    signed = SignedIntent.from_raw("a call", raw)
    assert (signed.sender, signed.call) == (embedded.signers[7].address, (TO, b"\1"))
    assert (signed.chain_id, signed.nonce, signed.gas) == (3338, 5, 21000)
    assert (signed.max_fee, signed.priority_fee) == (10**9, 10**9)
    with pytest.raises(ChainError, match=f"'a call' says {name} {value}, its signed bytes say"):
        SignedIntent.from_json(replace(signed, **{name: value}).to_json())


def test_a_receipt_of_a_block_that_was_replaced_is_not_final(
    embedded: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The height is final, the receipt names another block at it: a node behind the others still answers so."""
    stored: list[SignedIntent] = []
    embedded.sender.send(NOTHING, embedded.signers[7], stored.append)
    found = embedded.chain.find_receipt(stored[0].transaction)
    stale: Any = {**dict(found or {}), "blockHash": HexBytes(b"\7" * 32)}
    answers = [stale, stale, stale, found]
    monkeypatch.setattr(embedded.chain, "find_receipt", lambda _: answers.pop(0) if len(answers) > 1 else answers[0])
    with pytest.raises(ChainError, match="not final yet"):
        Sender(embedded.chain, Patience(polls=2, pause_s=0)).resume(stored[0])
    assert embedded.sender.resume(stored[0]).block.hash == bytes(found["blockHash"] if found else b"")
