"""Answers of a node that is behind, on another fork, or asks too much: consistent over every method that tells it."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.faults.call import Call
from tests.faults.rpc import Answer, Outcome, refuse

BLOCK_PARAMETER = {
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getStorageAt": 2,
    "eth_getTransactionCount": 1,
}
"""Which parameter of a method names the block."""


class Lag:
    """A node whose newest block is the `blocks`-th before the true one, or stays `at` a height.

    It has a pool: what was sent to it is pending for it, even if the others have it in a block.
    """

    def __init__(self, blocks: int | None = None, at: int | None = None) -> None:
        self._blocks = blocks
        self._at = at

    def __call__(self, call: Call) -> Outcome | None:
        head = self._find_head(call)
        name = call.method
        if name == "eth_blockNumber":
            return {"result": hex(head)}
        if name == "eth_getBlockByNumber":
            number = _find_height(call, call.params[0], head)
            return {"result": None if number > head else call.node.ask(name, hex(number), *call.params[1:])}
        if name == "eth_getTransactionCount" and call.params[1:] == ["pending"]:
            return {"result": hex(self._count_pending(call, head))}
        if name in BLOCK_PARAMETER:
            return _ask_at(call, head)
        if name == "eth_getLogs":
            return _find_logs(call, head)
        return None

    def cut(self, call: Call, answer: Answer) -> Outcome | None:
        """What is true and beyond the newest block is unknown; a transaction that was sent here still waits."""
        found: Any = answer.get("result")
        is_block = call.method == "eth_getBlockByHash" and found is not None
        number = int(found["number"], 16) if is_block else _read_height(found)
        if number is None or number <= self._find_head(call):
            return None
        accepted = call.accepted.get(found["hash"]) if call.method == "eth_getTransactionByHash" else None
        return {"result": None if accepted is None else accepted.as_pending()}

    def _find_head(self, call: Call) -> int:
        head = int(call.node.ask("eth_blockNumber"), 16)
        if self._at is not None:
            return min(self._at, head)
        return max(0, head - (self._blocks or 0))

    def _count_pending(self, call: Call, head: int) -> int:
        account = call.params[0]
        nonce = int(call.node.ask("eth_getTransactionCount", account, hex(head)), 16)
        accepted = {each.key for each in call.accepted.values()}
        while (account.lower(), nonce) in accepted:
            nonce += 1
        return nonce


class OtherFork:
    """A node on whose fork every block from the height `first` on has another hash: the true one with all bits turned."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __call__(self, call: Call) -> Outcome | None:
        """Blocks are found by the hashes that they have here, and by no others."""
        if call.method != "eth_getBlockByHash":
            return None
        wanted, *rest = call.params
        shared, own = call.node.ask(call.method, wanted, *rest), call.node.ask(call.method, turn(wanted), *rest)
        if shared is not None and int(shared["number"], 16) < self._first:
            return {"result": shared}
        if own is not None and int(own["number"], 16) >= self._first:
            return {"result": self._turn_block(own)}
        return {"result": None}

    def edit(self, call: Call, answer: Answer) -> Outcome | None:
        found = answer.get("result")
        if call.method == "eth_getBlockByNumber" and found is not None:
            changed = self._turn_block(found)
        else:
            changed = self._turn_places(found)
        return None if changed == found else {"result": changed}

    def _turn_block(self, block: Mapping[str, Any]) -> dict[str, Any]:
        number = int(block["number"], 16)
        turned = dict(block)
        if number >= self._first and block["hash"] is not None:
            turned["hash"] = turn(block["hash"])
        if number > self._first:
            turned["parentHash"] = turn(block["parentHash"])
        turned["transactions"] = self._turn_places(block["transactions"])
        return turned

    def _turn_places(self, found: Any) -> Any:
        """Receipts, transactions and logs say in which block they are."""
        if isinstance(found, list):
            return [self._turn_places(item) for item in found]
        if not isinstance(found, dict):
            return found
        turned = {name: self._turn_places(value) for name, value in found.items()}
        number = _read_height(found)
        if number is not None and number >= self._first:
            turned["blockHash"] = turn(found["blockHash"])
        return turned


def turn(block_hash: str) -> str:
    """The hash with all its bits turned; twice gives the first again."""
    return "0x" + bytes(255 - byte for byte in bytes.fromhex(block_hash[2:])).hex()


class FeeSpike:
    """A node for which everything costs `factor` times as much; what the blocks take does not change."""

    def __init__(self, factor: int) -> None:
        self._factor = factor

    def __call__(self, call: Call, answer: Answer) -> Outcome | None:
        found = answer.get("result")
        if found is None:
            return None
        if call.method in ("eth_gasPrice", "eth_maxPriorityFeePerGas"):
            return {"result": self._raise(found)}
        if call.method == "eth_feeHistory":
            return {"result": found | dict(self._raise_history(found))}
        if found.get("baseFeePerGas") is None:
            return None
        return {"result": found | {"baseFeePerGas": self._raise(found["baseFeePerGas"])}}

    def _raise_history(self, found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        yield "baseFeePerGas", [self._raise(fee) for fee in found["baseFeePerGas"]]
        if found.get("reward") is not None:
            yield "reward", [[self._raise(tip) for tip in tips] for tips in found["reward"]]

    def _raise(self, fee: str) -> str:
        return hex(int(fee, 16) * self._factor)


def _read_height(found: Any) -> int | None:
    """The block that a receipt, transaction or log is in."""
    if not isinstance(found, dict) or found.get("blockNumber") is None or found.get("blockHash") is None:
        return None
    return int(found["blockNumber"], 16)


def _find_height(call: Call, tag: str | None, head: int) -> int:
    """The number that a tag means to a node whose newest block is `head`: it finalizes as far behind as the true one."""
    if tag in (None, "latest", "pending"):
        return head
    if tag == "earliest":
        return 0
    if tag in ("finalized", "safe"):
        true_head = int(call.node.ask("eth_blockNumber"), 16)
        return max(0, head - true_head + int(call.node.ask("eth_getBlockByNumber", tag, False)["number"], 16))
    return int(str(tag), 16)


def _ask_at(call: Call, head: int) -> Outcome:
    """State as of the newest block; geth's words for a block that it does not have."""
    place = BLOCK_PARAMETER[call.method]
    before, tag, beyond = call.params[:place], call.params[place : place + 1], call.params[place + 1 :]
    number = _find_height(call, tag[0] if tag else None, head)
    if number > head:
        return refuse(-32000, "header not found")
    return call.node.call(call.method, [*before, hex(number), *beyond])


def _find_logs(call: Call, head: int) -> Outcome:
    query = dict(call.params[0])
    if "blockHash" in query:
        block = call.node.ask("eth_getBlockByHash", query["blockHash"], False)
        is_known = block is not None and int(block["number"], 16) <= head
        return {"result": call.node.ask("eth_getLogs", query)} if is_known else refuse(-32000, "unknown block")
    first, last = (_find_height(call, query.get(name), head) for name in ("fromBlock", "toBlock"))
    if first > head:
        return {"result": []}
    return {"result": call.node.ask("eth_getLogs", query | {"fromBlock": hex(first), "toBlock": hex(min(last, head))})}
