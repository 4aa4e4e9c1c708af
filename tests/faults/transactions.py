"""Signed transactions read back from their bytes: who sends what, at which nonce, for which fees."""

from dataclasses import dataclass
from functools import lru_cache

import rlp
from eth_account import Account
from hexbytes import HexBytes

from rewards.units import keccak

# Where the fields lie in the list that the bytes encode, by type: legacy (0), access list (1), fee market (2).
_FIELDS = {
    0: ("nonce", "price", "gas", "to", "value", "data"),
    1: ("chain", "nonce", "price", "gas", "to", "value", "data"),
    2: ("chain", "nonce", "tip", "price", "gas", "to", "value", "data"),
}


@dataclass(frozen=True)
class Transaction:
    """What a node reads in a raw transaction. Fees are wei per gas; before the fee market both are the gas price."""

    raw: str
    hash: str
    sender: str
    nonce: int
    max_fee: int
    priority_fee: int
    gas: int
    to: str | None
    value: int
    data: bytes
    chain_id: int | None
    type: int
    signature: tuple[int, int, int]

    @property
    def key(self) -> tuple[str, int]:
        """What a pool holds one transaction of."""
        return self.sender, self.nonce

    def as_pending(self) -> dict[str, object]:
        """The transaction as a node shows it while it is in no block."""
        v, r, s = self.signature
        fees = {"gasPrice": hex(self.max_fee)}
        if self.type == 2:
            fees |= {"maxFeePerGas": hex(self.max_fee), "maxPriorityFeePerGas": hex(self.priority_fee)}
        return fees | {
            "hash": self.hash,
            "from": self.sender,
            "to": self.to,
            "nonce": hex(self.nonce),
            "gas": hex(self.gas),
            "value": hex(self.value),
            "input": "0x" + self.data.hex(),
            "chainId": None if self.chain_id is None else hex(self.chain_id),
            "type": hex(self.type),
            "v": hex(v),
            "r": hex(r),
            "s": hex(s),
            "blockHash": None,
            "blockNumber": None,
            "transactionIndex": None,
        }


@lru_cache(maxsize=4096)
def decode_transaction(raw: str) -> Transaction:
    """Reads `raw` (0x and hexadecimal digits); ValueError when it is no signed transaction of a type above."""
    data = bytes(HexBytes(raw))
    kind = data[0] if data and data[0] < 0x80 else 0
    if kind not in _FIELDS:
        raise ValueError(f"a transaction of type {kind}, which is not read here")
    try:
        items = rlp.decode(data[1:] if kind else data)
        fields = dict(zip(_FIELDS[kind], items, strict=False))
        number = {name: int.from_bytes(item, "big") for name, item in fields.items() if isinstance(item, bytes)}
        v, r, s = (int.from_bytes(item, "big") for item in items[-3:])
        sender = Account.recover_transaction(data).lower()
    except Exception as error:
        raise ValueError(f"no signed transaction: {raw[:40]}") from error
    legacy_chain = (v - 35) // 2 if v >= 35 else None
    return Transaction(
        raw=raw,
        hash="0x" + keccak(data).hex(),
        sender=sender,
        nonce=number["nonce"],
        max_fee=number["price"],
        priority_fee=number["tip"] if kind == 2 else number["price"],
        gas=number["gas"],
        to="0x" + fields["to"].hex() if fields["to"] else None,
        value=number["value"],
        data=fields["data"],
        chain_id=number["chain"] if kind else legacy_chain,
        type=kind,
        signature=(v, r, s),
    )
