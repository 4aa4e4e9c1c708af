"""Deploying the token, the admin's timelock and the Vault. A new Vault needs no further transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from web3 import Web3

from rewards.chain.contracts import load_artifact
from rewards.chain.deployment import Deployment
from rewards.chain.sender import Intent, OnSigned, Sender
from rewards.chain.signers import Signer
from rewards.errors import ChainError
from rewards.ports import Receipt
from rewards.units import MAX_AMOUNT, ZERO_ADDRESS, Address, checksum, parse_address

WEEK_S = 7 * 24 * 3600


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
    """Deploys the timelock that a production Vault has as its admin. Anyone may execute what is due.

    OpenZeppelin makes proposers cancellers too; further cancellers are granted by the timelock itself, so the signer
    is its temporary administrator only while there are some.
    """
    administrator = signer.address if cancellers else ZERO_ADDRESS
    arguments = (delay_s, [checksum(p) for p in proposers], [ZERO_ADDRESS], checksum(administrator))
    timelock = _deploy(sender, signer, "TimelockController", arguments, on_signed)[0]
    contract = Web3().eth.contract(abi=load_artifact("TimelockController").abi)
    canceller_role = Web3.keccak(text="CANCELLER_ROLE")
    grants = [("grantRole", [canceller_role, checksum(account)]) for account in cancellers]
    if grants:
        grants.append(("renounceRole", [bytes(32), checksum(signer.address)]))
    for name, values in grants:
        data = bytes.fromhex(contract.encode_abi(name, values)[2:])
        sender.send(Intent(f"{name} of the timelock", timelock, data), signer, on_signed)
    return timelock


def deploy_vault(
    sender: Sender, signer: Signer, token: Address, settings: VaultSettings, on_signed: OnSigned | None = None
) -> Deployment:
    """Deploys CXPTVault with its roles and settings; ChainError names the setting that the contract refuses."""
    config = (
        checksum(token),
        checksum(settings.admin),
        settings.first_epoch,
        *([checksum(a) for a in group] for group in _groups(settings)),
        settings.protocol_bp,
        settings.provider_bp,
        settings.user_bp,
        settings.activation_delay_s,
        settings.attesters_required,
        settings.max_provider_amount,
        settings.max_user_amount,
    )
    vault, receipt = _deploy(sender, signer, "CXPTVault", (config,), on_signed)
    return Deployment(
        chain_id=sender.chain.chain_id,
        token=token,
        vault=vault,
        deployed_block=receipt.block.number,
        block_hash=receipt.block.hash,
        first_epoch=settings.first_epoch,
        admin=settings.admin,
    )


def _groups(settings: VaultSettings) -> tuple[Sequence[Address], ...]:
    return settings.publishers, settings.attesters, settings.guardians, settings.treasurers


def _deploy(
    sender: Sender, signer: Signer, name: str, arguments: Sequence[Any], on_signed: OnSigned | None
) -> tuple[Address, Receipt]:
    artifact = load_artifact(name)
    factory = Web3().eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    data = bytes.fromhex(str(factory.constructor(*arguments).data_in_transaction)[2:])
    receipt = sender.send(Intent(f"deployment of {name}", None, data), signer, on_signed)
    found = sender.chain.find_receipt(receipt.transaction)
    if found is None or found["contractAddress"] is None:
        raise ChainError(f"deployment of {name}: transaction 0x{receipt.transaction.hex()} made no contract")
    return parse_address(found["contractAddress"]), receipt
