"""Sending thousands of transactions and reading what they cost, on either chain."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hexbytes import HexBytes
from web3.contract import Contract

from rewards.chain.contracts import ARTIFACTS
from rewards.chain.sender import GAS_LIMIT
from rewards.units import keccak
from tests.chain.conftest import make_anvil, make_embedded, start_anvil
from tests.chain.networks import START, Network
from tests.gas.leaves import to_address

CONTRACTS = ARTIFACTS.parent
ANVIL_OPTIONS = ("--hardfork", "prague")
FEE = 10**11
"""Wei per gas that every transaction offers; gas does not depend on it."""


@contextmanager
def open_network(chain: str, *options: str) -> Iterator[Network]:
    """A fresh chain: `anvil`, a node of its own for as long as this lasts, or `embedded`."""
    if chain == "embedded":
        yield make_embedded()
    else:
        with start_anvil(CONTRACTS, START, *ANVIL_OPTIONS, *options) as url:
            yield make_anvil(url)


@dataclass(frozen=True)
class Sent:
    gas: int
    transaction: bytes
    contract: Any
    failed: bool


class Station:
    """Sends and reads receipts. Nothing is estimated, and nonces are counted here: a run is thousands of transactions."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.web3 = network.chain.web3
        self.signers = list(network.signers)
        self._nonces: defaultdict[int, int] = defaultdict(int)

    def address(self, by: int) -> Any:
        return to_address(bytes.fromhex(self.signers[by].address[2:]))

    def submit(self, by: int, to: str | None, data: str, value: int = 0) -> Sent:
        """One mined transaction, whether it fails or not."""
        fields: dict[str, Any] = {"data": data, "value": value, "gas": GAS_LIMIT, "nonce": self._nonces[by]}
        fields |= {"maxFeePerGas": FEE, "maxPriorityFeePerGas": 1, "chainId": self.network.chain.chain_id}
        if to is not None:
            fields["to"] = to
        raw = self.signers[by].sign_transaction(fields)
        self._nonces[by] += 1
        hashed = HexBytes(keccak(raw))
        self.web3.eth.send_raw_transaction(HexBytes(raw))
        receipt = self.web3.eth.wait_for_transaction_receipt(hashed, timeout=60, poll_latency=0.001)
        return Sent(int(receipt["gasUsed"]), bytes(hashed), receipt["contractAddress"], receipt["status"] != 1)

    def call(self, by: int, contract: Contract, name: str, *arguments: Any, fails: bool = False) -> Sent:
        """A call that must succeed, or must fail."""
        sent = self.submit(by, contract.address, contract.encode_abi(name, list(arguments)))
        assert sent.failed is fails, f"{name}{arguments[:3]}: {'failed' if sent.failed else 'did not fail'}"
        return sent

    def deploy(self, abi: Any, bytecode: bytes, *arguments: Any) -> tuple[Contract, Sent]:
        factory = self.web3.eth.contract(abi=abi, bytecode=bytecode)
        sent = self.submit(0, None, str(factory.constructor(*arguments).data_in_transaction))
        assert not sent.failed, "a deployment failed"
        return self.web3.eth.contract(address=sent.contract, abi=abi), sent
