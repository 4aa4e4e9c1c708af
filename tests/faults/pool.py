"""The transaction pool of geth in front of anvil's, where the two differ.

- A second transaction at a nonce replaces the first when *both* its fees are at least 10 % higher. Anvil takes any raise.
- A transaction that pays less than the base fee waits until the base fee falls. Anvil refuses it; one that it holds it
  throws away in the first block that costs more.

What anvil loses for any other reason (told to drop it, restarted, rolled back) is lost here as well.
"""

from collections.abc import Sequence
from typing import Any

from tests.faults.rpc import Answer, Upstream, refuse
from tests.faults.transactions import Transaction, decode_transaction

PRICE_BUMP = 10
"""Percent; geth's default `txpool.pricebump`."""

BELOW_BASE_FEE = "max fee per gas less than block base fee"
"""How anvil refuses what geth keeps."""


def may_replace(old: Transaction, new: Transaction) -> bool:
    """The rule of geth: both fees higher, and both at least `old * 110 / 100`, divided as integers."""

    def is_raised(before: int, now: int) -> bool:
        return now > before and now >= before * (100 + PRICE_BUMP) // 100

    return is_raised(old.max_fee, new.max_fee) and is_raised(old.priority_fee, new.priority_fee)


class GethPool:
    """An upstream like the node itself. `reinject`: what a reorganisation put out of its block is pooled again, as
    geth does; otherwise it is lost, as with anvil, which is the harder case."""

    def __init__(self, node: Upstream, reinject: bool = False) -> None:
        self._node = node
        self._reinject = reinject
        self._open: dict[tuple[str, int], Transaction] = {}
        self._mined: dict[tuple[str, int], Transaction] = {}
        self._since: dict[str, int] = {}
        self._held: set[str] = set()

    @property
    def held(self) -> list[Transaction]:
        """What waits here for a lower base fee, and is unknown to anvil."""
        return [transaction for transaction in self._open.values() if transaction.hash in self._held]

    def ask(self, method: str, *params: Any) -> Any:
        return self._node.ask(method, *params)

    def call(self, method: str, params: Sequence[Any] = ()) -> Answer:
        """The answer as geth would give it; OSError or HTTPException when the node gives none."""
        self.settle()
        if method == "eth_sendRawTransaction":
            return self._submit(params)
        if method == "anvil_dropTransaction":
            self._forget(params[0])
        answer = self._node.call(method, params)
        if not self._open or "error" in answer:
            return answer
        if method == "eth_getTransactionByHash" and answer["result"] is None:
            return {"result": self._find_held(params[0])}
        if method == "eth_getTransactionCount" and params[1:] == ["pending"]:
            return {"result": hex(self._count_pending(params[0].lower(), int(answer["result"], 16)))}
        return answer

    def settle(self) -> None:
        """Brings the pool up to the chain: what is mined leaves it, what was lost is forgotten, what can be paid now
        goes to anvil."""
        for transaction in list(self._mined.values()):
            if self._count_mined(transaction.sender) <= transaction.nonce:
                del self._mined[transaction.key]
                self._admit(transaction)
                self._held.add(transaction.hash)
        for transaction in sorted(self._open.values(), key=lambda each: each.nonce):
            if self._count_mined(transaction.sender) > transaction.nonce:
                self._leave(transaction)
            elif transaction.hash in self._held:
                self._offer(transaction)
            elif self.ask("eth_getTransactionByHash", transaction.hash) is None:
                self._miss(transaction)

    def _submit(self, params: Sequence[Any]) -> Answer:
        try:
            transaction = decode_transaction(params[0])
        except ValueError:
            return self._node.call("eth_sendRawTransaction", params)
        rival = self._open.get(transaction.key)
        if rival is not None and rival.hash == transaction.hash:
            return refuse(-32000, "already known")
        if rival is not None and not may_replace(rival, transaction):
            return refuse(-32000, "replacement transaction underpriced")
        answer = self._node.call("eth_sendRawTransaction", params)
        if BELOW_BASE_FEE in answer.get("error", {}).get("message", ""):
            answer = self._hold(transaction, rival)
        elif "result" in answer:
            self._admit(transaction)
        return answer

    def _hold(self, transaction: Transaction, rival: Transaction | None) -> Answer:
        if int(self.ask("eth_getBalance", transaction.sender, "latest"), 16) < _cost(transaction):
            return refuse(-32000, "insufficient funds for gas * price + value")
        if rival is not None:
            self.ask("anvil_dropTransaction", rival.hash)
        self._admit(transaction)
        self._held.add(transaction.hash)
        return {"result": transaction.hash}

    def _admit(self, transaction: Transaction) -> None:
        replaced = self._open.get(transaction.key)
        if replaced is not None:
            self._held.discard(replaced.hash)
        self._open[transaction.key] = transaction
        self._since[transaction.hash] = int(self.ask("eth_blockNumber"), 16)

    def _offer(self, transaction: Transaction) -> None:
        error = self._node.call("eth_sendRawTransaction", [transaction.raw]).get("error", {}).get("message", "")
        if BELOW_BASE_FEE in error:
            return
        self._held.discard(transaction.hash)
        if error and "already imported" not in error:
            self._forget(transaction.hash)

    def _miss(self, transaction: Transaction) -> None:
        """Anvil does not know it any more: too cheap for a block since, which geth would not mind, or lost."""
        if self._was_too_cheap(transaction):
            self._held.add(transaction.hash)
            self._offer(transaction)
        else:
            self._forget(transaction.hash)

    def _was_too_cheap(self, transaction: Transaction) -> bool:
        head = int(self.ask("eth_blockNumber"), 16)
        heights = [hex(number) for number in range(self._since[transaction.hash] + 1, head + 1)]
        blocks = (self.ask("eth_getBlockByNumber", height, False) for height in [*heights, "pending"])
        return any(int(block["baseFeePerGas"], 16) > transaction.max_fee for block in blocks)

    def _leave(self, transaction: Transaction) -> None:
        is_mined = self.ask("eth_getTransactionReceipt", transaction.hash) is not None
        self._forget(transaction.hash)
        if is_mined and self._reinject:
            self._mined[transaction.key] = transaction

    def _forget(self, transaction_hash: str) -> None:
        self._open = {key: each for key, each in self._open.items() if each.hash != transaction_hash}
        self._held.discard(transaction_hash)

    def _find_held(self, transaction_hash: str) -> dict[str, object] | None:
        return next((each.as_pending() for each in self.held if each.hash == transaction_hash), None)

    def _count_mined(self, sender: str) -> int:
        return int(self.ask("eth_getTransactionCount", sender, "latest"), 16)

    def _count_pending(self, sender: str, nonce: int) -> int:
        while (sender, nonce) in self._open:
            nonce += 1
        return nonce


def _cost(transaction: Transaction) -> int:
    """The most that a transaction may take from its sender, in wei."""
    return transaction.value + transaction.gas * transaction.max_fee
