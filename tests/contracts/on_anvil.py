"""Anvil as a chain that a test may steer."""

from rewards.chain.client import Chain, connect, request
from rewards.chain.signers import LocalSigner
from rewards.units import checksum
from tests.chain.conftest import ANVIL_CHAIN_ID


class AnvilChain:
    """A node at `url`; ten funded signers with keys 1 to 10, as on the embedded chain."""

    def __init__(self, url: str) -> None:
        self.chain: Chain = connect(url, ANVIL_CHAIN_ID)
        self.signers = tuple(LocalSigner(i.to_bytes(32)) for i in range(1, 11))
        for signer in self.signers:
            request(self.chain, "anvil_setBalance", [checksum(signer.address), hex(10**24)])

    def set_time(self, timestamp: int) -> None:
        request(self.chain, "evm_setNextBlockTimestamp", [timestamp])
        self.mine()

    def advance(self, seconds: int) -> None:
        self.set_time(self.chain.head().timestamp + seconds)

    def mine(self) -> None:
        request(self.chain, "evm_mine")

    def take_snapshot(self) -> str:
        return str(request(self.chain, "evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        """Goes back to a snapshot, which is used up by that."""
        request(self.chain, "evm_revert", [snapshot])
