"""What is to be sent, and what was signed for it: kept durably before anything is sent."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

import rlp
from eth_account import Account
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException

from rewards.errors import ChainError
from rewards.units import Address, keccak, parse_address

_WITH_BASE_FEE = 2
"""The type with which such transactions begin (EIP-1559); the others here are RLP lists themselves (EIP-155)."""

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
        _, to, data = _read_content(self.raw)
        return to, data

    def serves(self, intent: Intent) -> bool:
        """Whether this transaction, once mined, is what the intent asks for."""
        return self.call == (intent.to, intent.data)

    def to_json(self) -> str:
        fields = asdict(self) | {"raw": "0x" + self.raw.hex(), "transaction": "0x" + self.transaction.hex()}
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_raw(cls, purpose: str, raw: bytes) -> "SignedIntent":
        """What signed bytes say, and whose signature they bear; ValueError where they are no transaction of ours."""
        try:
            numbers, _, _ = _read_content(raw)
            sender = parse_address(Account.recover_transaction(raw))
        except (RLPException, BadSignature, ValidationError, IndexError, TypeError) as error:
            raise ValueError(str(error)) from None
        return cls(purpose, sender=sender, raw=raw, transaction=keccak(raw), **numbers)

    @classmethod
    def from_json(cls, text: str) -> "SignedIntent":
        """The stored intent; ChainError when the text is not one, or says what its signed bytes do not: who may write
        the text may not be who holds the key."""
        try:
            fields = json.loads(text)
            raw, transaction = (bytes.fromhex(fields.pop(name).removeprefix("0x")) for name in ("raw", "transaction"))
            stated = cls(**fields, raw=raw, transaction=transaction)
            signed = cls.from_raw(stated.purpose, raw)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ChainError(f"not a stored intent: {text[:80]!r}; look at what was written there") from None
        for name, value in asdict(stated).items():
            found = getattr(signed, name)
            if found != value:
                said, holds = (one.hex() if isinstance(one, bytes) else one for one in (value, found))
                raise ChainError(
                    f"the stored intent {stated.purpose!r} says {name} {said}, its signed bytes say {holds}; it must not be "
                    "sent, find out who wrote it"
                )
        return signed


def read_called(text: str) -> Address | None:
    """The address that a stored intent calls, by its bytes, without a look at who signed; None where it reads as none."""
    try:
        return _read_content(bytes.fromhex(json.loads(text)["raw"].removeprefix("0x")))[1]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RLPException):
        return None


def _read_content(raw: bytes) -> tuple[dict[str, int], Address | None, bytes]:
    """The numbers of a signed transaction by their names in a SignedIntent, the address called and the calldata."""
    if raw[0] == _WITH_BASE_FEE:
        chain_id, nonce, tip, max_fee, gas, to, _, data = rlp.decode(raw[1:])[:8]
        found = {"chain_id": chain_id, "priority_fee": tip}
    else:
        nonce, max_fee, gas, to, _, data, v = rlp.decode(raw)[:7]
        chain_id = (int.from_bytes(v) - 35) // 2  # below zero without one, which no stored intent says
        found = {"chain_id": chain_id, "priority_fee": max_fee}
    found |= {"nonce": nonce, "gas": gas, "max_fee": max_fee}
    numbers = {name: one if isinstance(one, int) else int.from_bytes(one) for name, one in found.items()}
    return numbers, (Address("0x" + to.hex()) if to else None), bytes(data)


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
