"""`@ethereumjs/client` as a node whose head and finality tests decide, as a consensus client does: blocks on any parent,
true siblings that stay readable by hash, safe and finalized tags that move or stand still.

What version 0.10.5 really does:

- A block that was delivered changes nothing that anybody sees, until it is chosen as the head. One that the node built
  itself cannot be built on before.
- A transaction that pays less than the base fee stays in the pool. Beside one of another account it makes the node build
  no block at all. What was in a block that left the chain is in no pool again.
- The finalized tag never goes back, and no fork below it is taken.
- Receipts and logs of a block that leaves the chain are gone for good, also when the block comes back; `eth_getLogs`
  compares the first topic only. So they are kept here. It shows no pooled transaction by its hash, counts what an account
  has pooled only under the account's name in small letters, and advises no tip. `Mended` answers all of this as the
  clients of the main network do.
"""

import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rewards.chain.client import Chain, connect
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.conftest import has_locked_packages
from tests.faults.engine import (
    NOBODY,
    SLOT_S,
    ZERO,
    Engine,
    Payload,
    authorise,
    make_empty_block,
    next_base_fee,
)
from tests.faults.node import RICH, find_free_port, to_hex
from tests.faults.proxy import Proxy
from tests.faults.rpc import Answer, Upstream

GAS_LIMIT = 30_000_000
BASE_FEE = 10**13
"""Of the first block; it falls by an eighth with each empty one."""
SECRET = bytes(range(32))
FILLER = RICH[9]
HARD_FORKS = (
    "homestead",
    "eip150",
    "eip155",
    "eip158",
    "byzantium",
    "constantinople",
    "petersburg",
    "istanbul",
    "berlin",
)


class ForkingNode:
    """Offers what Node does, as far as it can. `lag`: how many blocks the finalized tag is behind the head."""

    def __init__(self, package: Path, folder: Path, start: int) -> None:
        self._program = package / "node_modules" / "@ethereumjs" / "client" / "dist" / "esm" / "bin" / "cli.js"
        if not has_locked_packages(package):
            pytest.fail("@ethereumjs/client is not installed: `make slow` installs it")
        self._folder = folder
        self._ports = find_free_port(), find_free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._rpc = Upstream(f"http://127.0.0.1:{self._ports[0]}")
        self._front = Proxy(f"http://127.0.0.1:{self._ports[0]}", front=lambda upstream: Mended(self, upstream))
        self._engine = Engine(Upstream(f"http://127.0.0.1:{self._ports[1]}", headers=lambda: authorise(SECRET)))
        self._blocks: dict[str, Payload] = {}
        self._receipts: dict[str, list[dict[str, Any]]] = {}
        self._head = self._final = ZERO
        self._next_time = 0
        self._forks = 0
        self.lag = 2
        (folder / "genesis.json").write_text(json.dumps(_make_genesis(start)))
        (folder / "secret").write_text(SECRET.hex())

    @property
    def url(self) -> str:
        """Of what answers as other clients do."""
        return self._front.url

    # Running.

    def start(self) -> None:
        """With the chain that its folder holds, else a new one."""
        options = [
            f"--gethGenesis={self._folder / 'genesis.json'}",
            f"--dataDir={self._folder / 'data'}",
            f"--jwtSecret={self._folder / 'secret'}",
            *("--rpc", "--rpcAddr=127.0.0.1", f"--rpcPort={self._ports[0]}"),
            *("--rpcEngine", "--rpcEngineAddr=127.0.0.1", f"--rpcEnginePort={self._ports[1]}"),
            *("--isSingleNode", "--sync=none", "--maxPeers=0", "--port=0", "--discDns=false", "--discV4=false"),
            *("--logLevel=error", "--logFile=false"),
        ]
        command = ["node", str(self._program), *options]
        self._front.open()
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, cwd=self._folder, **quiet)  # it leaves files where it runs
        for _ in range(600):
            assert self._process.poll() is None, "the node stopped while starting"
            try:
                self.ask("eth_chainId")
                break
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
        else:
            pytest.fail("the node does not answer after thirty seconds")
        if not self._blocks:
            self._head = self._final = self._adopt_first_block()

    def stop(self, orderly: bool = False) -> None:
        """Orderly: all that it knows is in its folder."""
        self._front.close()
        self._rpc.close()
        self._engine.upstream.close()
        if self._process is not None:
            self._process.terminate() if orderly else self._process.kill()
            self._process.wait(timeout=30)
            self._process = None

    # Asking.

    def ask(self, method: str, *params: Any) -> Any:
        """The result; RpcError when the node answers with an error."""
        return self._rpc.ask(method, *params)

    def head(self) -> int:
        return int(self.ask("eth_blockNumber"), 16)

    def final(self) -> int:
        return int(self.block("finalized")["number"], 16)

    def safe(self) -> int:
        return int(self.block("safe")["number"], 16)

    def block(self, number: int | str = "latest", full: bool = False) -> dict[str, Any]:
        """A block by its number, tag or hash."""
        by = "Hash" if isinstance(number, str) and number.startswith("0x") else "Number"
        found: dict[str, Any] = self.ask(f"eth_getBlockBy{by}", to_hex(number), full)
        return found

    def hash_at(self, number: int | str) -> str:
        return str(self.block(number)["hash"])

    def nonce(self, account: str, block: int | str = "latest") -> int:
        return int(self.ask("eth_getTransactionCount", account.lower(), to_hex(block)), 16)

    def next_base_fee(self) -> int:
        return next_base_fee(self._blocks[self._head])

    def find_pooled(self, transaction: str) -> dict[str, Any] | None:
        pools = self.ask("txpool_content")["pending"].values()
        return next((each for pool in pools for each in pool.values() if each["hash"] == transaction), None)

    def is_pooled(self, transaction: str) -> bool:
        return self.find_pooled(transaction) is not None

    def find_receipt(self, transaction: str) -> dict[str, Any] | None:
        """Where a block of the chain holds the transaction."""
        receipts = (
            each for block in self._ancestors(self._head) for each in self._receipts.get(block["blockHash"], ())
        )
        return next((each for each in receipts if each["transactionHash"] == transaction), None)

    def find_logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        """Of contracts, between two blocks that are named by number."""
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        line = [block for block in self._ancestors(self._head) if first <= int(block["blockNumber"], 16) <= last]
        receipts = [each for block in reversed(line) for each in self._receipts.get(block["blockHash"], ())]
        return [log for receipt in receipts for log in receipt["logs"] if _meets(log, query)]

    def connect(self, url: str | None = None) -> Chain:
        """The chain behind `url`: a proxy of this node, or itself."""
        return connect(url or self.url, ANVIL_CHAIN_ID)

    # Blocks and the pool.

    def set_automine(self, on: bool) -> None:
        """Blocks come when they are asked for."""
        assert not on

    def mine(self, blocks: int = 1) -> None:
        """Of what the pool holds, on the head. An empty one is made here, which takes the node less than half as long."""
        for _ in range(blocks):
            parent = self._blocks[self._head]
            timestamp = self._take_time(parent)
            if self.ask("txpool_content")["pending"]:
                block = self._engine.build(parent, timestamp, self._final)
            else:
                block = make_empty_block(parent, timestamp, NOBODY)
                self._engine.deliver(block)
            self._keep(block)
            self.adopt(block["blockHash"])
            if block["transactions"]:
                self._receipts[block["blockHash"]] = self.ask("eth_getBlockReceipts", block["blockNumber"])

    def mine_reversibly(self, blocks: int) -> None:
        """Blocks that tests may take back: from here on the finalized tag is almost as far behind."""
        self.lag = blocks - 4
        self.mine(blocks)

    def set_next_time(self, timestamp: int) -> None:
        self._next_time = timestamp

    def clear_pool(self, account: str) -> None:
        """Nothing can be taken out of this pool: what is to go in its place must pay more."""

    def raise_base_fee(self, wei: int) -> None:
        """Above `wei`, by full blocks: one transaction in each takes all gas."""
        fees = {"maxFeePerGas": 10 * wei, "maxPriorityFeePerGas": 10 * wei, "chainId": ANVIL_CHAIN_ID}
        burn = {"data": "0xfe", "value": 0, "gas": GAS_LIMIT} | fees  # an invalid instruction as the code of a creation
        while self.next_base_fee() <= wei:
            raw = FILLER.sign_transaction(burn | {"nonce": self.nonce(FILLER.address)})
            self.ask("eth_sendRawTransaction", "0x" + raw.hex())
            self.mine()

    # Forks.

    def fork(self, depth: int) -> list[str]:
        """Empty siblings of the last `depth` blocks, delivered, not chosen: their hashes."""
        old = [block for block, _ in zip(self._ancestors(self._head), range(depth + 1), strict=False)]
        self._forks += 1
        parent, made = old.pop(), []
        for sibling in reversed(old):
            recipient = "0x" + self._forks.to_bytes(20, "big").hex()
            parent = make_empty_block(parent, int(sibling["timestamp"], 16), recipient)
            self._engine.deliver(parent)
            self._keep(parent)
            made.append(parent["blockHash"])
        return made

    def adopt(self, head: str) -> None:
        """Another head, on whatever fork. The finalized tag follows at its distance and never goes back; the safe tag is
        half as far behind."""
        line = [block["blockHash"] for block in self._ancestors(head)]
        if self._final in line[self.lag :]:
            self._final = line[self.lag]
        behind = line.index(self._final) if self._final in line else self.lag  # the node refuses what is not in line
        safe = line[min(self.lag // 2, behind)]
        self._engine.choose(head, safe, self._final)
        self._head = head

    def reorganise(self, depth: int) -> list[str]:
        """Makes empty siblings of the last `depth` blocks the chain."""
        made = self.fork(depth)
        self.adopt(made[-1])
        return made

    def snapshot(self, durable: bool = True) -> "Snapshot":
        """What to come back to; with an empty pool."""
        return Snapshot(self)

    def _ancestors(self, head: str) -> Iterator[Payload]:
        """A block and those below it."""
        while head in self._blocks:
            yield self._blocks[head]
            head = self._blocks[head]["parentHash"]

    def _keep(self, block: Payload) -> None:
        self._blocks[block["blockHash"]] = block

    def _take_time(self, parent: Payload) -> int:
        chosen, self._next_time = max(self._next_time, int(parent["timestamp"], 16) + SLOT_S), 0
        return chosen

    def _adopt_first_block(self) -> str:
        block = self.block(0)
        same = "parentHash stateRoot gasLimit gasUsed timestamp extraData baseFeePerGas blobGasUsed excessBlobGas"
        first = {name: block[name] for name in same.split()}
        self._keep(first | {"blockNumber": "0x0", "blockHash": block["hash"], "transactions": [], "withdrawals": []})
        return str(block["hash"])


class Snapshot:
    """A folder of the node as it was, and what the test knew of its blocks."""

    def __init__(self, node: ForkingNode) -> None:
        self._node = node
        self._copy = node._folder / "copy"
        node.stop(orderly=True)
        shutil.copytree(node._folder / "data", self._copy)
        self._known = dict(node._blocks), dict(node._receipts), node._head, node._final, node.lag
        node.start()

    def restore(self) -> None:
        """In a new process, since the finalized tag never goes back."""
        node = self._node
        node.stop()
        shutil.rmtree(node._folder / "data")
        shutil.copytree(self._copy, node._folder / "data")
        blocks, receipts, node._head, node._final, node.lag = self._known
        node._blocks, node._receipts = dict(blocks), dict(receipts)
        node.start()
        node._engine.choose(node._head, node._final, node._final)


class Mended:
    """The node, answering as the clients of the main network do where it does not. What a reorganisation put out of its
    block stays lost, which is the harder case."""

    def __init__(self, node: ForkingNode, upstream: Upstream) -> None:
        self._node = node
        self._upstream = upstream

    def settle(self) -> None:
        """The node has a true pool."""

    def call(self, method: str, params: Sequence[Any] = ()) -> Answer:
        match method:
            case "evm_mine":
                self._node.mine()
                return {"result": "0x0"}
            case "eth_maxPriorityFeePerGas":
                return {"result": hex(self._node.next_base_fee() // 3)}
            case "eth_getTransactionCount":
                return self._upstream.call(method, [params[0].lower(), *params[1:]])
            case "eth_getTransactionReceipt":
                return {"result": self._node.find_receipt(params[0])}
            case "eth_getTransactionByHash":
                return self._look_up(params[0])
            case "eth_getLogs":
                return {"result": self._node.find_logs(params[0])}
            case _:
                return self._upstream.call(method, params)

    def _look_up(self, transaction: str) -> Answer:
        found = self._node.find_receipt(transaction)
        if found is None:
            return {"result": self._node.find_pooled(transaction)}
        place = [found["blockNumber"], found["transactionIndex"]]
        return self._upstream.call("eth_getTransactionByBlockNumberAndIndex", place)


@contextmanager
def run_forking_node(package: Path, folder: Path, start: int) -> Iterator[ForkingNode]:
    """A node with funded signers, killed at the end."""
    node = ForkingNode(package, folder, start)
    try:
        node.start()
        yield node
    finally:
        node.stop()


def _meets(log: dict[str, Any], query: dict[str, Any]) -> bool:
    """Whether the log is of a contract that was asked for and has, at each place, one of the topics."""
    asked = [[each] if isinstance(each, str) else each for each in query["topics"]]
    if log["address"].lower() not in [each.lower() for each in query["address"]] or len(log["topics"]) < len(asked):
        return False
    return all(choices is None or topic in choices for topic, choices in zip(log["topics"], asked, strict=False))


def _make_genesis(start: int) -> dict[str, Any]:
    """Cancun from the first block on; proof of stake."""
    rules: dict[str, Any] = {f"{name}Block": 0 for name in (*HARD_FORKS, "london", "mergeFork")}
    rules |= {"chainId": ANVIL_CHAIN_ID, "shanghaiTime": 0, "cancunTime": 0}
    rules |= {"terminalTotalDifficulty": 0, "terminalTotalDifficultyPassed": True}
    rules["blobSchedule"] = {"cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477}}
    return {
        "config": rules,
        "timestamp": hex(start),
        "gasLimit": hex(GAS_LIMIT),
        "baseFeePerGas": hex(BASE_FEE),
        "alloc": {signer.address: {"balance": hex(10**24)} for signer in RICH},
        "coinbase": NOBODY,
        "extraData": "0x",
        **dict.fromkeys(("mixHash", "parentHash"), ZERO),
        **dict.fromkeys(("nonce", "difficulty", "number", "gasUsed"), "0x0"),
    }
