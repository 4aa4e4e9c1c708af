"""The Engine API, by which a consensus client tells an execution client which blocks there are and which is the head; and
the blocks that it tells of."""

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

import rlp

from rewards.units import keccak
from tests.faults.rpc import Upstream

ZERO = "0x" + "00" * 32
NOBODY = "0x" + "00" * 20
EMPTY_TRIE = "0x" + keccak(rlp.encode(b"")).hex()
NO_UNCLES = "0x" + keccak(rlp.encode([])).hex()
SLOT_S = 12

Payload = dict[str, Any]
"""A block as the Engine API has it (ExecutionPayloadV3); quantities in hexadecimal digits."""


def authorise(secret: bytes) -> dict[str, str]:
    """The header of a request: a JSON Web Token of this second."""
    head = _to_base64(b'{"alg":"HS256","typ":"JWT"}') + b"." + _to_base64(b'{"iat":%d}' % time.time())
    return {"Authorization": "Bearer " + (head + b"." + _to_base64(hmac.digest(secret, head, hashlib.sha256))).decode()}


@dataclass
class Engine:
    """Cancun's version of the methods: the rules that the contracts are compiled for."""

    upstream: Upstream

    def build(self, parent: Payload, timestamp: int, final: str) -> Payload:
        """A block on `parent`, which becomes the head, of what the node's pool holds; it is delivered and not the head."""
        attributes = {
            "timestamp": hex(timestamp),
            "prevRandao": ZERO,
            "suggestedFeeRecipient": NOBODY,
            "withdrawals": [],
            "parentBeaconBlockRoot": ZERO,
        }
        begun = self._choose(parent["blockHash"], final, final, attributes)
        built: Payload = self.upstream.ask("engine_getPayloadV3", begun["payloadId"])["executionPayload"]
        self.deliver(built)
        return built

    def deliver(self, block: Payload) -> None:
        """Tells the node of a block, which it checks; the head stays."""
        _require_valid(self.upstream.ask("engine_newPayloadV3", block, [], ZERO))

    def choose(self, head: str, safe: str, final: str) -> None:
        """Makes a delivered block the head, and moves both tags."""
        self._choose(head, safe, final, None)

    def _choose(self, head: str, safe: str, final: str, attributes: dict[str, Any] | None) -> dict[str, Any]:
        state = {"headBlockHash": head, "safeBlockHash": safe, "finalizedBlockHash": final}
        answer: dict[str, Any] = self.upstream.ask("engine_forkchoiceUpdatedV3", state, attributes)
        _require_valid(answer["payloadStatus"])
        return answer


def make_empty_block(parent: Payload, timestamp: int, recipient: str) -> Payload:
    """A block without transactions, as from elsewhere. It leaves the state as it is; another `recipient` makes a sibling."""
    block = parent | {
        "parentHash": parent["blockHash"],
        "feeRecipient": recipient,
        "receiptsRoot": EMPTY_TRIE,
        "logsBloom": "0x" + "00" * 256,
        "prevRandao": ZERO,
        "blockNumber": hex(int(parent["blockNumber"], 16) + 1),
        "gasUsed": "0x0",
        "timestamp": hex(timestamp),
        "baseFeePerGas": hex(next_base_fee(parent)),
        "transactions": [],
    }
    return block | {"blockHash": _hash(block)}


def next_base_fee(parent: Payload) -> int:
    """EIP-1559: an eighth more after a full block, an eighth less after an empty one."""
    base, used, target = (
        int(parent["baseFeePerGas"], 16),
        int(parent["gasUsed"], 16),
        int(parent["gasLimit"], 16) // 2,
    )
    if used <= target:
        return base - base * (target - used) // target // 8
    return base + max(1, base * (used - target) // target // 8)


def _hash(block: Payload) -> str:
    """Of the header of a block without transactions and withdrawals."""
    header = [
        *(bytes.fromhex(text[2:]) for text in (block["parentHash"], NO_UNCLES, block["feeRecipient"])),
        *(bytes.fromhex(text[2:]) for text in (block["stateRoot"], EMPTY_TRIE, EMPTY_TRIE, block["logsBloom"])),
        0,  # difficulty
        *(int(block[name], 16) for name in ("blockNumber", "gasLimit", "gasUsed", "timestamp")),
        bytes.fromhex(block["extraData"][2:]),
        bytes.fromhex(block["prevRandao"][2:]),
        bytes(8),  # nonce
        int(block["baseFeePerGas"], 16),
        bytes.fromhex(EMPTY_TRIE[2:]),  # withdrawals
        *(int(block[name], 16) for name in ("blobGasUsed", "excessBlobGas")),
        bytes.fromhex(ZERO[2:]),  # of the beacon chain's parent block
    ]
    return "0x" + keccak(rlp.encode(header)).hex()


def _require_valid(status: dict[str, Any]) -> None:
    assert status["status"] == "VALID", json.dumps(status)


def _to_base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
