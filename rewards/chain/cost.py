"""What the rest of a deployment costs at most, before anything is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from web3 import Web3

from rewards.chain.client import Chain
from rewards.chain.contracts import load_artifact
from rewards.chain.intent import SignedIntent
from rewards.chain.plan import ESCROW, SUBSCRIPTIONS, VAULT, Plan, Step
from rewards.chain.sender import Sender
from rewards.errors import ChainError
from rewards.units import Address, checksum

# What every EVM charges: a transaction, a creation, a byte of data or code, a word of creation code.
_TRANSACTION, _CREATION = 21_000, 32_000
_ZERO_BYTE, _BYTE, _CODE_BYTE, _INIT_WORD = 4, 16, 200, 2
# A word of a constructor's arguments becomes at most one new slot and one event. The rest is above what was measured.
_ARGUMENT_WORD, _CONSTRUCTOR, _CALL = 30_000, 150_000, 100_000

# TSTORE, TLOAD and MCOPY, with PUSH0 for their arguments: the newest instructions that the contracts use.
_CANCUN = bytes.fromhex("5f5f5d5f5c5f5f5e00")


@dataclass(frozen=True)
class Cost:
    """`gas`: the limit of every step that is not in a block yet. `max_fee` and money in the chain's own base units."""

    gas: Mapping[str, int]
    max_fee: int
    balance: int

    @property
    def need(self) -> int:
        return sum(self.gas.values()) * self.max_fee

    @property
    def shortfall(self) -> int:
        return max(0, self.need - self.balance)


def require_instructions(chain: Chain, deployer: Address) -> None:
    """ChainError where the chain's EVM is older than Cancun: contracts would stand there that no deposit can enter."""
    try:
        chain.replay({"from": checksum(deployer), "data": _CANCUN}, "latest")
    except ChainError as error:
        raise ChainError(f"{error}; it does not run the instructions of Cancun, which the contracts need") from None


def estimate_cost(sender: Sender, plan: Plan, deployer: Address, signed: Mapping[str, Sequence[SignedIntent]]) -> Cost:
    """The chain's own estimate for what can stand by itself, a bound for what needs contracts that do not exist yet.

    A chain that charges more gas than the EVM does (for the size of a proof, say) shows it in its own estimates, and the
    bounds grow by the same ratio. ChainError when a step would revert, or fees pass the cap.
    """
    chain = sender.chain
    max_fee = sender.choose_fees().max_fee
    open_steps = [step for step in plan.steps if step.name not in signed]
    standing = [step for step in open_steps if _can_stand(chain, plan, step)]
    estimates = {step.name: _estimate(chain, step, deployer, bool(signed)) for step in standing}
    bounds = {step.name: bound_gas(step) for step in open_steps}
    per_mille = max([1000, *(-(-gas * 1000 // bounds[name]) for name, gas in estimates.items())])
    gas = {name: estimates.get(name, bound * per_mille // 1000) for name, bound in bounds.items()}
    # The sender puts a fifth on top of every estimate.
    limits = {name: limit + limit // 5 for name, limit in gas.items()}
    for name, versions in signed.items():
        if all(chain.find_receipt(one.transaction) is None for one in versions):
            limits[name] = versions[0].gas
    with chain.translate_errors("asking for the deployer's balance"):
        balance = int(chain.web3.eth.get_balance(Web3.to_checksum_address(checksum(deployer))))
    return Cost(limits, max_fee, balance)


def tell_nothing_sent(resumes: bool) -> str:
    """The end of a refusal; an earlier run has sent something where this one `resumes` it."""
    return "nothing more was sent" if resumes else "nothing was sent"


def bound_gas(step: Step) -> int:
    """More gas than a step uses on an EVM."""
    gas = _TRANSACTION + sum(_BYTE if byte else _ZERO_BYTE for byte in step.data)
    if not step.creates:
        return gas + _CALL
    artifact = load_artifact(step.contract)
    gas += _CREATION + _INIT_WORD * -(-len(step.data) // 32) + _CODE_BYTE * len(artifact.runtime)
    return gas + _CONSTRUCTOR + _ARGUMENT_WORD * ((len(step.data) - len(artifact.bytecode)) // 32)


def _can_stand(chain: Chain, plan: Plan, step: Step) -> bool:
    """Whether all that a step builds on is there already."""
    if not step.creates:
        return chain.has_code(step.address)
    needed = {VAULT: plan.token, SUBSCRIPTIONS: plan.vault, ESCROW: plan.vault}.get(step.contract)
    return needed is None or chain.has_code(needed)


def _estimate(chain: Chain, step: Step, deployer: Address, resumes: bool) -> int:
    call = {"from": checksum(deployer), "data": step.data, "value": 0}
    if step.to is not None:
        call["to"] = checksum(step.to)
    try:
        return chain.estimate_gas(call)
    except ChainError as error:
        raise ChainError(f"{step.purpose}: {error}; {tell_nothing_sent(resumes)}") from error
