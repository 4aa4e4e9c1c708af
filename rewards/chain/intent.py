"""What is to be sent, and what was signed for it: kept durably before anything is sent."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

import rlp

from rewards.errors import ChainError
from rewards.units import Address, keccak

_FIRST_OF_A_LIST = 0xC0
"""Transactions that are RLP lists themselves begin here (before EIP-2718); typed ones begin with their type."""

Outcome = Literal["succeeded", "failed", "replaced", "dead"]
"""What became of a signed transaction: in a final block, with its effect or reverted; another version or intent was mined
at its nonce; or a transaction that nothing here signed took the nonce."""


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

    @property
    def call(self) -> tuple[Address | None, bytes]:
        """Address called (None: a deployment) and calldata, read from the signed bytes themselves."""
        typed = self.raw[0] < _FIRST_OF_A_LIST
        fields = rlp.decode(self.raw[1:] if typed else self.raw)
        to, _, data = fields[5:8] if typed else fields[3:6]
        return (Address("0x" + to.hex()) if to else None), bytes(data)

    def serves(self, intent: Intent) -> bool:
        """Whether this transaction, once mined, is what the intent asks for."""
        return self.call == (intent.to, intent.data)

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


class IntentStore(Protocol):
    """Where signed transactions are kept. Each method is durable when it returns, or raises StorageError."""

    def open(self, chain_id: int, sender: Address) -> Sequence[SignedIntent]:
        """Every signed transaction of a sender that is not settled, oldest first, whatever it is for."""
        ...

    def keep(self, signed: SignedIntent) -> None:
        """Remember a transaction that is about to be sent."""
        ...

    def settle(self, outcomes: Mapping[bytes, Outcome], block: int) -> None:
        """Remember what became of transactions, all of them or none; `block` is the final one that decided."""
        ...
