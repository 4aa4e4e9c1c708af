"""The transaction sender: sign, let the caller store, send, wait until final. One intent, one nonce, one effect."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hexbytes import HexBytes
from web3.types import TxReceipt

from rewards.chain.client import Chain
from rewards.chain.signers import Signer
from rewards.errors import ChainError
from rewards.ports import Block, Receipt
from rewards.units import Address, checksum, keccak

GAS_LIMIT = 2**24
"""The most gas that one transaction may use (Osaka)."""


@dataclass(frozen=True)
class Intent:
    """What is to happen: a call of `to`, or a deployment where that is None. `purpose` is for people."""

    purpose: str
    to: Address | None
    data: bytes


@dataclass(frozen=True)
class SignedIntent:
    """What the caller stores before anything is sent: enough to send the same bytes again, and nothing secret.

    Fees are wei per gas; on a chain without a base fee both hold the gas price.
    """

    purpose: str
    chain_id: int
    sender: Address
    nonce: int
    gas: int
    max_fee: int
    priority_fee: int
    raw: bytes
    transaction: bytes

    def to_json(self) -> str:
        fields = asdict(self) | {"raw": "0x" + self.raw.hex(), "transaction": "0x" + self.transaction.hex()}
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "SignedIntent":
        """The stored intent; ChainError when the text is not one or its hash is not that of its bytes."""
        try:
            fields = json.loads(text)
            raw, transaction = (bytes.fromhex(fields.pop(name).removeprefix("0x")) for name in ("raw", "transaction"))
            stored = cls(**fields, raw=raw, transaction=transaction)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ChainError(f"not a stored intent: {text[:80]!r}; look at what was written there") from None
        if keccak(raw) != transaction:
            raise ChainError(f"a stored intent with hash 0x{transaction.hex()} holds other bytes; it must not be sent")
        return stored


OnSigned = Callable[[SignedIntent], None]


@dataclass(frozen=True)
class Patience:
    """How long to wait for a block and for finality: `polls` questions with `pause_s` seconds between them."""

    polls: int = 900
    pause_s: float = 2.0
    pause: Callable[[float], None] = time.sleep


class Sender:
    """Sends transactions of one chain. `max_fee_cap`: wei per gas above which nothing is sent."""

    def __init__(self, chain: Chain, patience: Patience | None = None, max_fee_cap: int | None = None) -> None:
        self.chain = chain
        self._patience = patience or Patience()
        self._max_fee_cap = max_fee_cap
        self.sent: list[bytes] = []
        """The hash of every transaction that the chain took from here, again where it was sent again."""

    def send(self, intent: Intent, signer: Signer, on_signed: OnSigned | None = None) -> Receipt:
        """Signs, calls `on_signed`, sends and waits until the block is final.

        Intents of this signer that are stored and unfinished must be resumed first: this one takes the next nonce.
        ChainError when it would revert (nothing is signed), when it did, or when the chain does not take it.
        """
        stored = self.sign(intent, signer)
        if on_signed is not None:
            on_signed(stored)
        self._submit(stored)
        return self._wait_until_final(stored)

    def resume(self, stored: SignedIntent, *replaced: SignedIntent) -> Receipt:
        """Finishes an intent that was signed before: asks the chain first, sends the same bytes only if unknown. What it
        `replaced` may have been mined in its place."""
        if stored.chain_id != self.chain.chain_id:
            raise ChainError(f"{stored.purpose} was signed for chain {stored.chain_id}, not {self.chain.chain_id}")
        self._submit_if_unknown(stored, *replaced)
        return self._wait_until_final(stored, *replaced)

    def is_stuck(self, stored: SignedIntent, *replaced: SignedIntent) -> bool:
        """Whether an intent is in no block, could be, and pays less than the chain asks now."""
        base_fee, tip = self._ask_for_fees()
        if stored.max_fee >= (base_fee or 0) + tip or self._find_mined(stored, *replaced)[1] is not None:
            return False
        # A nonce that another transaction took is not to be had for any fee.
        return self.chain.count_transactions(stored.sender, "latest") <= stored.nonce

    def replace(self, stored: SignedIntent, intent: Intent, signer: Signer) -> SignedIntent:
        """The same intent signed again: the same nonce and gas, fees that a node takes it for. Sends nothing."""
        return self._sign(intent, signer, stored.nonce, stored.gas, stored)

    def sign(self, intent: Intent, signer: Signer) -> SignedIntent:
        """The signed transaction at the sender's next nonce; ChainError when it would revert or fees pass the cap."""
        call: dict[str, Any] = {"from": checksum(signer.address), "data": intent.data, "value": 0}
        if intent.to is not None:
            call["to"] = checksum(intent.to)
        try:
            estimate = self.chain.estimate_gas(call)
        except ChainError as error:
            raise ChainError(f"{intent.purpose}: {error}") from error
        gas = estimate + estimate // 5
        if gas > GAS_LIMIT:
            raise ChainError(f"{intent.purpose} needs {gas} gas, more than the {GAS_LIMIT} of a transaction; split it")
        return self._sign(intent, signer, self.chain.count_transactions(signer.address, "pending"), gas)

    def _sign(
        self, intent: Intent, signer: Signer, nonce: int, gas: int, replaced: SignedIntent | None = None
    ) -> SignedIntent:
        max_fee, priority_fee, fees = self.choose_fees(replaced)
        call = {"data": intent.data, "value": 0} | ({} if intent.to is None else {"to": checksum(intent.to)})
        raw = signer.sign_transaction(call | fees | {"gas": gas, "nonce": nonce, "chainId": self.chain.chain_id})
        return SignedIntent(
            intent.purpose, self.chain.chain_id, signer.address, nonce, gas, max_fee, priority_fee, raw, keccak(raw)
        )

    def choose_fees(self, replaced: SignedIntent | None = None) -> tuple[int, int, dict[str, int]]:
        """Highest fee, tip, and both as fields of a transaction; ChainError when the highest passes the cap."""
        base_fee, tip = self._ask_for_fees()
        # Twice the base fee outlasts six full blocks in a row.
        max_fee = tip if base_fee is None else 2 * base_fee + tip
        if replaced is not None:
            # Nodes take no replacement that raises either fee by less than an eighth.
            max_fee, tip = max(max_fee, -(-replaced.max_fee * 9 // 8)), max(tip, -(-replaced.priority_fee * 9 // 8))
        if self._max_fee_cap is not None and max_fee > self._max_fee_cap:
            raise ChainError(f"a fee of {max_fee} wei per gas, above the cap of {self._max_fee_cap}; wait or raise it")
        if base_fee is None:
            return max_fee, max_fee, {"gasPrice": max_fee}
        return max_fee, tip, {"maxFeePerGas": max_fee, "maxPriorityFeePerGas": tip}

    def _ask_for_fees(self) -> tuple[int | None, int]:
        """The base fee, None where the chain has none, and the tip or there the gas price."""
        eth = self.chain.web3.eth
        with self.chain.translate_errors("asking for fees"):
            base_fee = eth.get_block("latest").get("baseFeePerGas")
            return base_fee, eth.gas_price if base_fee is None else eth.max_priority_fee

    def _find_mined(self, *versions: SignedIntent) -> tuple[SignedIntent, TxReceipt | None]:
        """The version that is in a block, with its receipt; the first one without any."""
        for version in versions:
            found = self.chain.find_receipt(version.transaction)
            if found is not None:
                return version, found
        return versions[0], None

    def _submit(self, stored: SignedIntent) -> None:
        try:
            with self.chain.translate_errors(stored.purpose):
                self.chain.web3.eth.send_raw_transaction(stored.raw)
        except ChainError as error:
            # Every client words "already known" and "nonce too low" in its own way, and an answer may be lost after
            # the transaction was taken. So the words do not count: if the chain has our hash, it went through.
            if not self.chain.knows_transaction(stored.transaction):
                raise ChainError(f"{error}; nonce {stored.nonce} of {stored.sender}, safe to resume") from error
        self.sent.append(stored.transaction)

    def _submit_if_unknown(self, stored: SignedIntent, *replaced: SignedIntent) -> None:
        if self.chain.knows_transaction(stored.transaction):
            return
        if self.chain.count_transactions(stored.sender, "latest") <= stored.nonce:
            self._submit(stored)
        elif not any(self.chain.knows_transaction(version.transaction) for version in (stored, *replaced)):
            raise ChainError(
                f"{stored.purpose}: nonce {stored.nonce} of {stored.sender} went to another transaction; "
                f"0x{stored.transaction.hex()} can never be mined, decide anew from the chain"
            )

    def _wait_until_final(self, stored: SignedIntent, *replaced: SignedIntent) -> Receipt:
        """Polls until the block of the transaction is final; sends again what a reorganisation put out."""
        found: TxReceipt | None = None
        for _ in range(self._patience.polls):
            last, (mined, found) = found, self._find_mined(stored, *replaced)
            if found is None and last is not None:
                self._submit_if_unknown(stored, *replaced)
            elif found is not None and self._is_final(found):
                return self._finish(mined, found)
            self._patience.pause(self._patience.pause_s)
        state = self._describe_wait(stored) if found is None else f"is in block {found['blockNumber']}, not final yet"
        raise ChainError(
            f"{stored.purpose}: transaction 0x{stored.transaction.hex()} {state}; resume it later: run the same command again"
        )

    def _describe_wait(self, stored: SignedIntent) -> str:
        base_fee, price = self._ask_for_fees()
        asked = f"the gas price is {price}" if base_fee is None else f"the base fee is {base_fee}"
        paid = f"nonce {stored.nonce} of {stored.sender} pays up to {stored.max_fee} wei per gas"
        return f"is in no block yet: {paid}, {asked}"

    def _is_final(self, found: TxReceipt) -> bool:
        number = found["blockNumber"]
        return number <= self.chain.final_block().number and self.chain.block(number).hash == bytes(found["blockHash"])

    def _finish(self, stored: SignedIntent, found: TxReceipt) -> Receipt:
        block = self.chain.block(found["blockNumber"])
        if found["status"] != 1:
            why = self._explain(stored, block)
            raise ChainError(f"{stored.purpose}: transaction 0x{stored.transaction.hex()} {why}")
        return Receipt(stored.transaction, block, int(found["gasUsed"]))

    def _explain(self, stored: SignedIntent, block: Block) -> str:
        """Why a transaction in a block failed, by calling it again on the state that it left."""
        eth = self.chain.web3.eth
        with self.chain.translate_errors("reading a failed transaction"):
            sent: Mapping[str, Any] = eth.get_transaction(HexBytes(stored.transaction))
        call = {name: sent[name] for name in ("from", "to", "value", "gas") if sent.get(name) is not None}
        try:
            self.chain.replay(call | {"data": sent["input"]}, block.number)
        except ChainError as error:
            return f"failed: {error}"
        return f"failed in block {block.number} and would succeed now; it used {stored.gas} gas at most"
