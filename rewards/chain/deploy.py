"""Deploying one contract: its creation code with arguments, and the transaction. A new Vault needs no further one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from web3 import Web3

from rewards.chain.contracts import load_artifact
from rewards.chain.deployment import Deployment
from rewards.chain.intent import Intent, OnSigned
from rewards.chain.sender import Sender
from rewards.chain.signers import Signer
from rewards.errors import ChainError
from rewards.ports import Receipt
from rewards.units import MAX_AMOUNT, ZERO_ADDRESS, Address, checksum, keccak, parse_address

WEEK_S = 7 * 24 * 3600

ADMIN_ROLE = bytes(32)
PROPOSER_ROLE, EXECUTOR_ROLE, CANCELLER_ROLE = (
    keccak(name) for name in (b"PROPOSER_ROLE", b"EXECUTOR_ROLE", b"CANCELLER_ROLE")
)


@dataclass(frozen=True)
class VaultSettings:
    """What a Vault starts with; the contract checks it. Amounts in base units, delay in seconds, shares in bp."""

    admin: Address
    publishers: Sequence[Address]
    attesters: Sequence[Address]
    guardians: Sequence[Address]
    treasurers: Sequence[Address]
    first_epoch: int = 0
    protocol_bp: int = 4000
    provider_bp: int = 4000
    user_bp: int = 2000
    activation_delay_s: int = 12 * 3600
    attesters_required: int = 1
    max_provider_amount: int = MAX_AMOUNT
    max_user_amount: int = MAX_AMOUNT

    def arguments(self, token: Address) -> tuple[Any, ...]:
        """The constructor's one argument, for a Vault over `token`."""
        groups = self.publishers, self.attesters, self.guardians, self.treasurers
        config = (
            checksum(token),
            checksum(self.admin),
            self.first_epoch,
            *([checksum(account) for account in group] for group in groups),
            self.protocol_bp,
            self.provider_bp,
            self.user_bp,
            self.activation_delay_s,
            self.attesters_required,
            self.max_provider_amount,
            self.max_user_amount,
        )
        return (config,)


def encode_creation(name: str, arguments: Sequence[Any]) -> bytes:
    """What a transaction that creates the contract `name` carries."""
    artifact = load_artifact(name)
    factory = Web3().eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    return bytes.fromhex(str(factory.constructor(*arguments).data_in_transaction)[2:])


def encode_call(name: str, function: str, arguments: Sequence[Any]) -> bytes:
    """What a transaction that calls `function` of the contract `name` carries."""
    return bytes.fromhex(Web3().eth.contract(abi=load_artifact(name).abi).encode_abi(function, arguments)[2:])


def timelock_arguments(delay_s: int, administrator: Address) -> tuple[Any, ...]:
    """The constructor's arguments of a timelock that anyone may execute.

    It starts without proposers: OpenZeppelin's constructor would make each of them a canceller too, and a stolen
    proposer could then cancel its own removal. The administrator grants both roles and renounces.
    """
    return delay_s, [], [ZERO_ADDRESS], checksum(administrator)


def timelock_calls(
    proposers: Sequence[Address], cancellers: Sequence[Address], administrator: Address
) -> list[tuple[str, str, tuple[bytes, str]]]:
    """What the administrator of a new timelock does: for each call what it is for, the function and its arguments."""
    grants = [("proposer", PROPOSER_ROLE, account) for account in proposers]
    grants += [("canceller", CANCELLER_ROLE, account) for account in cancellers]
    calls = [(f"{who} {account}", "grantRole", (role, checksum(account))) for who, role, account in grants]
    return [*calls, ("renounce", "renounceRole", (ADMIN_ROLE, checksum(administrator)))]


def deploy_token(sender: Sender, signer: Signer, on_signed: OnSigned | None = None) -> Address:
    """Deploys CXPTToken; the whole supply goes to the signer."""
    return _deploy(sender, signer, "CXPTToken", (), on_signed)[0]


def deploy_timelock(
    sender: Sender,
    signer: Signer,
    proposers: Sequence[Address],
    cancellers: Sequence[Address],
    delay_s: int = WEEK_S,
    on_signed: OnSigned | None = None,
) -> Address:
    """Deploys the timelock that a production Vault has as its admin; the signer administers it only for a moment."""
    arguments = timelock_arguments(delay_s, signer.address)
    timelock = _deploy(sender, signer, "TimelockController", arguments, on_signed)[0]
    for purpose, name, values in timelock_calls(proposers, cancellers, signer.address):
        data = encode_call("TimelockController", name, values)
        sender.send(Intent(f"{purpose} of the timelock", timelock, data), signer, on_signed)
    return timelock


def deploy_vault(
    sender: Sender, signer: Signer, token: Address, settings: VaultSettings, on_signed: OnSigned | None = None
) -> Deployment:
    """Deploys CXPTVault with its roles and settings; ChainError names the setting that the contract refuses."""
    vault, receipt = _deploy(sender, signer, "CXPTVault", settings.arguments(token), on_signed)
    return Deployment(
        chain_id=sender.chain.chain_id,
        token=token,
        vault=vault,
        deployed_block=receipt.block.number,
        block_hash=receipt.block.hash,
        first_epoch=settings.first_epoch,
        admin=settings.admin,
    )


def _deploy(
    sender: Sender, signer: Signer, name: str, arguments: Sequence[Any], on_signed: OnSigned | None
) -> tuple[Address, Receipt]:
    receipt = sender.send(Intent(f"deployment of {name}", None, encode_creation(name, arguments)), signer, on_signed)
    found = sender.chain.find_receipt(receipt.transaction)
    if found is None or found["contractAddress"] is None:
        raise ChainError(f"deployment of {name}: transaction 0x{receipt.transaction.hex()} made no contract")
    return parse_address(found["contractAddress"]), receipt
