"""Anvil as a node that tests may do anything to: hold its blocks, change its fees, take blocks back, stop it, go back.

What anvil 1.7.1 really does (test_node.py asserts each line):

- Finality is arithmetic: finalized is `2 × slots` blocks below the head, safe is `slots` below. Nothing protects it: a
  reorganisation as deep as the chain changes finalized blocks too, and the tag follows the head back.
- `anvil_reorg(depth, transactions)` replaces the last `depth` blocks by as many new ones. Transactions of the old blocks
  are lost: in no block, not in the pool; the nonces of their senders fall. New blocks hold only the transactions given
  (raw bytes and the offset of a block), and one that is not valid there is left out without a word. All new blocks have
  the time of the last block that stays; their base fee goes on from the one that was next before.
- Empty blocks at the same time with the same fees have the same hash as before: no reorganisation at all. `reorganise`
  therefore changes who is paid.
- `anvil_rollback(depth)` takes blocks away and leaves a shorter chain; transactions are lost in the same way.
- What waits in the pool survives both, and `evm_revert`; none of it enters the new blocks by itself.
- `evm_revert` restores blocks, state and time, but neither the pool nor the next base fee. An id works once, and not at
  all when the block of the snapshot was taken back meanwhile.
- A block whose base fee is above what a pooled transaction pays throws that transaction out of the pool.
- A dumped state brings back blocks, receipts and their hashes. State of older blocks comes along only when asked for;
  without it neither a reorganisation nor a read of the past works. Pool and mining mode are not in the dump.
- Taking blocks back to one whose state was loaded, or left memory for the disk (from about 500 blocks on), loses the
  code of every contract, and nothing else of the state. `reorganise` and `roll_back` put the code back.
- It grows heavy: after some hundred blocks mining and dumping take ten times as long. Start anew now and then.
- A transaction is mined "at once" a little after its hash was answered. Mine yourself where the order matters.
"""

import gzip
import http.client
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rewards.chain.client import Chain, connect
from rewards.chain.signers import LocalSigner
from rewards.units import checksum
from tests.chain.conftest import ANVIL_CHAIN_ID, find_anvil
from tests.chain.networks import START, Network
from tests.faults.rpc import RpcError, Upstream

RICH = tuple(LocalSigner(i.to_bytes(32, "big")) for i in range(1, 11))
"""The signers of the tests' networks; each holds a million ether on a node that starts."""


class Node:
    """An anvil on a port of its own, which stays the same over stops and starts."""

    def __init__(self, contracts: Path, *options: str, slots: int = 1, start: int = START) -> None:
        """`slots`: half of how many blocks finality is behind."""
        self._binary = find_anvil(contracts)
        if not self._binary.is_file():
            pytest.skip(f"anvil is not packaged for this machine: no {self._binary.name}")
        self._options = [
            "--slots-in-an-epoch",
            str(slots),
            "--timestamp",
            str(start),
            "--silent",
            "--no-request-size-limit",
            *options,
        ]
        self._port = find_free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._rpc = Upstream(self.url)
        self._reorganisations = 0
        self._codes: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    # Running.

    def start(self) -> None:
        """Starts empty; a state is for `load`."""
        # States that it moves out of memory, gigabytes in an hour: a killed one leaves them behind.
        self._states = tempfile.TemporaryDirectory(prefix="anvil-", ignore_cleanup_errors=True)
        command = [str(self._binary), "--port", str(self._port), "--cache-path", self._states.name, *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1000):
            assert self._process.poll() is None, "anvil stopped while starting"
            try:
                self.ask("eth_chainId")
                return
            except (OSError, http.client.HTTPException):
                time.sleep(0.005)
        pytest.fail("anvil does not answer after five seconds")

    def kill(self) -> None:
        """The process ends at once; the chain is gone."""
        self._rpc.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None
            self._states.cleanup()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Nobody answers within; afterwards the same chain is there on the same port. Its pool is lost."""
        state, base_fee, mines_at_once = self.dump(), self.next_base_fee(), self.ask("anvil_getAutomine")
        self.kill()
        try:
            yield
        finally:
            self.start()
            self.load(state)
            self.set_base_fee(base_fee)
            self.set_automine(mines_at_once)

    def restart(self) -> None:
        with self.down():
            pass

    # Asking.

    def ask(self, method: str, *params: Any) -> Any:
        """The result; RpcError when the node answers with an error."""
        return self._rpc.ask(method, *params)

    def head(self) -> int:
        return int(self.ask("eth_blockNumber"), 16)

    def final(self) -> int:
        return int(self.block("finalized")["number"], 16)

    def block(self, number: int | str = "latest", full: bool = False) -> dict[str, Any]:
        """A block by its number or tag; with its transactions where `full`."""
        found: dict[str, Any] = self.ask("eth_getBlockByNumber", to_hex(number), full)
        return found

    def hash_at(self, number: int | str) -> str:
        return str(self.block(number)["hash"])

    def nonce(self, account: str, block: int | str = "latest") -> int:
        return int(self.ask("eth_getTransactionCount", account, to_hex(block)), 16)

    def next_base_fee(self) -> int:
        return int(self.block("pending")["baseFeePerGas"], 16)

    def is_pooled(self, transaction: str) -> bool:
        found = self.ask("eth_getTransactionByHash", transaction)
        return found is not None and found["blockNumber"] is None

    # Blocks and the pool.

    def mine(self, blocks: int = 1) -> None:
        self.ask("anvil_mine", hex(blocks))

    def mine_reversibly(self, blocks: int) -> None:
        """Blocks that tests may take back."""
        self.mine(blocks)

    def advance(self, seconds: int) -> None:
        """Mines a block that much later."""
        self.set_next_time(int(self.block()["timestamp"], 16) + seconds)
        self.mine()

    def set_next_time(self, timestamp: int) -> None:
        self.ask("evm_setNextBlockTimestamp", timestamp)

    def set_base_fee(self, wei: int) -> None:
        """Of the next block; from there on it moves as usual."""
        self.ask("anvil_setNextBlockBaseFeePerGas", hex(wei))

    def set_automine(self, on: bool) -> None:
        """Whether each transaction gets its block at once, which is how the node starts."""
        self.ask("evm_setAutomine", on)

    def drop(self, transaction: str) -> None:
        """Takes a transaction out of the pool."""
        self.ask("anvil_dropTransaction", transaction)

    def clear_pool(self, account: str) -> None:
        """Takes all that an account sent out of the pool."""
        self.ask("anvil_removePoolTransactions", account)

    def fund(self, *accounts: str) -> None:
        for account in accounts:
            self.ask("anvil_setBalance", checksum(account), hex(10**24))

    # Taking back.

    def reorganise(self, depth: int, transactions: Sequence[tuple[str, int]] = ()) -> list[str]:
        """Other blocks in place of the last `depth`: empty, but for raw transactions at offsets from the first of them.
        Gives the contracts that have their code again, but not in what is asked of these blocks once there are later ones.
        """
        self._remember_code()
        first = self.head() - depth + 1
        before = self.hash_at(first)
        self._reorganisations += 1
        self.ask("anvil_setCoinbase", "0x" + self._reorganisations.to_bytes(20, "big").hex())
        self.ask("anvil_reorg", depth, [])
        lost = self._restore_code()
        if transactions:
            assert not lost, "no code to run transactions with: reorganise less deep, or before the node restarts"
            self.ask("anvil_reorg", depth, [list(transaction) for transaction in transactions])
        assert self.hash_at(first) != before, f"block {first} is the same after a reorganisation of {depth}"
        return lost

    def roll_back(self, depth: int) -> None:
        """Takes the last `depth` blocks away."""
        self._remember_code()
        self.ask("anvil_rollback", depth)
        self._restore_code()

    def snapshot(self, durable: bool = False) -> "Snapshot":
        """A place to come back to, again and again, in a millisecond or two. `durable`: even when its block was taken
        back or the node restarted; for a young node, since all its past is dumped."""
        return Snapshot(self, durable)

    def dump(self) -> str:
        """The whole chain with the states of the past."""
        return str(self.ask("anvil_dumpState", True))

    def load(self, state: str) -> None:
        """A dumped chain, on a node that has just started."""
        assert self.ask("anvil_loadState", state), "anvil does not take the state"

    def _remember_code(self) -> None:
        state = json.loads(gzip.decompress(bytes.fromhex(self.ask("anvil_dumpState")[2:])))
        self._codes |= {name: each["code"] for name, each in state["accounts"].items() if each["code"] != "0x"}

    def _restore_code(self) -> list[str]:
        """Gives contracts back what they lost; a contract that exists has a nonce. Their addresses."""
        lost = [each for each in self._codes if self.nonce(each) and self.ask("eth_getCode", each, "latest") == "0x"]
        for each in lost:
            self.ask("anvil_setCode", each, self._codes[each])
        return lost

    # Views for other tests.

    def connect(self, url: str | None = None) -> Chain:
        """The chain behind `url`: a proxy of this node, or itself."""
        return connect(url or self.url, ANVIL_CHAIN_ID)

    def network(self, url: str | None = None) -> Network:
        """The node as the tests of the chain know one."""
        return Network("anvil", self.connect(url), RICH, self.advance, self.mine)


class Snapshot:
    """A state of a node: chain, time, next base fee; with an empty pool and mining at once."""

    def __init__(self, node: Node, durable: bool) -> None:
        self._node = node
        self._base_fee = node.next_base_fee()
        self._state = node.dump() if durable else None
        self._id = node.ask("evm_snapshot")

    def restore(self, fresh: bool = False) -> None:
        """`fresh`: in a new process, which a durable snapshot also gets by itself where anvil does not know it any more:
        a tenth of a second, and the weight of all blocks mined since is gone."""
        if fresh or not self._revert():
            assert self._state is not None, "the snapshot's block was taken back; mine first, or take it durable"
            self._node.kill()
            self._node.start()
            self._node.load(self._state)
        self._id = self._node.ask("evm_snapshot")
        self._node.ask("anvil_dropAllTransactions")
        self._node.set_base_fee(self._base_fee)
        self._node.set_automine(True)

    def _revert(self) -> bool:
        try:
            return bool(self._node.ask("evm_revert", self._id))
        except RpcError:
            return False


@contextmanager
def run_node(contracts: Path, *options: str, slots: int = 1, start: int = START) -> Iterator[Node]:
    """A node with funded signers, killed at the end. Skips where npm's package has none for this machine."""
    node = Node(contracts, *options, slots=slots, start=start)
    try:
        node.start()
        node.fund(*(signer.address for signer in RICH))
        yield node
    finally:
        node.kill()


def find_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def to_hex(block: int | str) -> str:
    return hex(block) if isinstance(block, int) else block
