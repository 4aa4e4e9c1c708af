"""An EVM inside the process, with its own clock and funded keys: for the demo and for tests, never for money.

The same calls give the same blocks: time moves by one second a block unless it is set, and nothing is random.
"""

import ast
from collections.abc import Iterable
from typing import Any

from eth.abc import BlockHeaderAPI
from eth.rlp.headers import BlockHeader
from eth.vm.forks.prague import PragueVM
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from web3 import EthereumTesterProvider, Web3
from web3.types import RPCEndpoint, RPCResponse

from rewards.chain.client import Chain, adopt
from rewards.chain.signers import LocalSigner
from rewards.errors import ChainError

EMBEDDED_CHAIN_ID = 131277322940537
"""Fixed inside eth-tester."""

_COINBASE = bytes(20)


class EmbeddedChain:
    """A fresh chain whose first block has time `start` (seconds since 1970).

    `signers` are ten accounts with a million coins each; their keys are 1 to 10, known to everyone.
    """

    def __init__(self, start: int) -> None:
        genesis = PyEVMBackend.generate_genesis_params({"timestamp": start})
        self._backend = _SteadyBackend(genesis_parameters=genesis, vm_configuration=((0, _SteadyVM),))
        self._tester = EthereumTester(self._backend)
        web3 = Web3(_Provider(self._tester))
        self.chain: Chain = adopt(web3, EMBEDDED_CHAIN_ID, "the embedded chain")
        self.signers = tuple(LocalSigner(key.to_bytes()) for key in self._backend.account_keys)
        # A snapshot of the genesis block would make a new chain object; one block later it does not.
        self.mine()

    def set_time(self, timestamp: int) -> None:
        """Mines a block at `timestamp`, which must be after the newest block's; ChainError otherwise."""
        now = self.chain.head().timestamp
        if timestamp <= now:
            raise ChainError(f"the embedded chain is at {now}; its time cannot go back to {timestamp}")
        self._backend.chain.set_header_timestamp(timestamp)
        self.mine()

    def advance(self, seconds: int) -> None:
        """Mines a block `seconds` after the newest one."""
        self.set_time(self.chain.head().timestamp + seconds)

    def mine(self, blocks: int = 1) -> None:
        self._tester.mine_blocks(blocks)

    def take_snapshot(self) -> int:
        return int(self._tester.take_snapshot())

    def revert(self, snapshot: int) -> None:
        """Goes back to a snapshot, which stays usable."""
        self._tester.revert_to_snapshot(snapshot)


class _SteadyVM(PragueVM):
    """A block comes one second after its parent, whatever the wall clock says; calls and estimates see that too."""

    @staticmethod
    def create_header_from_parent(parent_header: BlockHeaderAPI | None, **header_params: Any) -> BlockHeader:
        if parent_header is not None:
            header_params.setdefault("timestamp", parent_header.timestamp + 1)
        header: BlockHeader = PragueVM.create_header_from_parent(parent_header, **header_params)
        return header


class _SteadyBackend(PyEVMBackend):  # type: ignore[misc]
    """py-evm without random numbers in its blocks."""

    def mine_blocks(self, num_blocks: int = 1, coinbase: bytes = _COINBASE) -> Iterable[bytes]:
        fields = {"coinbase": coinbase, "mix_hash": bytes(32), "blob_gas_used": 0}
        return tuple(self.chain.mine_block(**fields).hash for _ in range(num_blocks))


class _Provider(EthereumTesterProvider):
    """Answers failures as a node does, so that they are read in one way everywhere."""

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        try:
            return super().make_request(method, params)
        except TransactionFailed as error:
            return _refuse(3, "execution reverted", _read_revert(str(error.args[0])))
        except Exception as error:  # py-evm, rlp and eth-tester share no base class
            return _refuse(-32000, " ".join(str(error).split()))


def _refuse(code: int, message: str, data: str | None = None) -> RPCResponse:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": 0, "error": error}  # type: ignore[typeddict-item]


def _read_revert(text: str) -> str:
    """eth-tester prints the revert data as a bytes literal; a plain text stands for Error(string)."""
    text = text.removeprefix("execution reverted: ")
    try:
        data = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        data = None
    if isinstance(data, bytes):
        return "0x" + data.hex()
    message = text.encode()
    padded = message + bytes(-len(message) % 32)
    return "0x08c379a0" + (32).to_bytes(32).hex() + len(message).to_bytes(32).hex() + padded.hex()
