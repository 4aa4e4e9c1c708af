"""What a transaction pays, in whole wei per gas: asked of the chain, raised for a replacement, never above the cap."""

from dataclasses import dataclass

from rewards.chain.client import Chain
from rewards.chain.intent import SignedIntent
from rewards.errors import FeeAboveCap

MOST_FEE = 500 * 10**9
"""The cap in wei per gas where none is set: 500 gwei, so that a node that asks for a fortune gets nothing."""

RAISE = 9, 8
"""By what a replacement raises both fees: nodes ask for a tenth (geth) or less, and compare what is left of a division."""


@dataclass(frozen=True)
class Asked:
    """What the chain asks now: `base_fee` is None where there is none, and the tip is then the gas price."""

    base_fee: int | None
    tip: int

    @property
    def least(self) -> int:
        """What a transaction must offer to enter the next block."""
        return (self.base_fee or 0) + self.tip


@dataclass(frozen=True)
class Fees:
    """The highest fee and the tip; without a base fee both are the gas price."""

    max_fee: int
    tip: int
    has_base_fee: bool

    def to_fields(self) -> dict[str, int]:
        """The fields of a transaction."""
        if not self.has_base_fee:
            return {"gasPrice": self.max_fee}
        return {"maxFeePerGas": self.max_fee, "maxPriorityFeePerGas": self.tip}


def ask_for_fees(chain: Chain) -> Asked:
    """ChainError when the chain does not tell."""
    eth = chain.web3.eth
    with chain.translate_errors("asking for fees"):
        base_fee = eth.get_block("latest").get("baseFeePerGas")
        return Asked(base_fee, int(eth.gas_price if base_fee is None else eth.max_priority_fee))


def choose_fees(asked: Asked, cap: int, replaced: SignedIntent | None = None) -> Fees:
    """Fees that outlast six full blocks in a row, or as many as the cap lets; above what is `replaced` by an eighth.

    Raises FeeAboveCap when what the chain or a replacement asks for is above the cap.
    """
    max_fee, tip, least = 2 * (asked.base_fee or 0) + asked.tip, asked.tip, asked.least
    if replaced is not None:
        above = _raise(replaced.max_fee)
        max_fee, least, tip = max(max_fee, above), max(least, above), max(tip, _raise(replaced.priority_fee))
    if least > cap:
        raise FeeAboveCap(f"a fee of {least} wei per gas, above the cap of {cap}; wait or raise REWARDS_MAX_FEE_WEI")
    max_fee = min(max_fee, cap)
    if asked.base_fee is None:
        return Fees(max_fee, max_fee, has_base_fee=False)
    return Fees(max_fee, tip, has_base_fee=True)


def _raise(fee: int) -> int:
    """At least one more: a tenth of nothing is nothing."""
    return max(fee + 1, -(-fee * RAISE[0] // RAISE[1]))
