"""Raw transactions of a rich account, for tests that look at nodes and pools."""

from dataclasses import dataclass
from typing import Any

from rewards.chain.signers import LocalSigner
from rewards.units import checksum
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.faults.node import RICH
from tests.faults.transactions import Transaction, decode_transaction

GWEI = 10**9
TO = "0x" + "c3" * 20


@dataclass(frozen=True)
class Wallet:
    """Signs; sends nothing."""

    signer: LocalSigner = RICH[0]

    @property
    def address(self) -> str:
        return self.signer.address

    def pay(self, nonce: int, max_fee: int = 3 * GWEI, tip: int = GWEI, value: int = 0, **changes: Any) -> Transaction:
        """A transfer with the fees of the fee market, wei per gas."""
        fees = {"maxFeePerGas": max_fee, "maxPriorityFeePerGas": tip}
        return self._sign({"nonce": nonce, "value": value} | fees | changes)

    def pay_legacy(self, nonce: int, price: int, value: int = 0) -> Transaction:
        """A transfer of the time before the fee market."""
        return self._sign({"nonce": nonce, "value": value, "gasPrice": price})

    def _sign(self, fields: dict[str, Any]) -> Transaction:
        call = {"to": checksum(TO), "gas": 21000, "data": b"", "chainId": ANVIL_CHAIN_ID}
        return decode_transaction("0x" + self.signer.sign_transaction(call | fields).hex())
