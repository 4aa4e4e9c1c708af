"""What an address can claim, with its proofs, and the claim itself."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.bundles.disk import write_file
from rewards.errors import Disagreement, InputError, UsageError
from rewards.jobs.workspace import Workspace
from rewards.merkle import ClaimTree, NotClaimable, read_proof
from rewards.ports import Receipt
from rewards.schemas import CLAIMABLES
from rewards.units import POOL_NAMES, POOLS, Address

if TYPE_CHECKING:  # proofs and exports need no chain, and web3 is slow to import
    from rewards.chain.signers import Signer
    from rewards.chain.vault import Vault


@dataclass(frozen=True)
class Claimable:
    """One leaf of an epoch: what the address may have claimed in all from a pool, and the proof for the Vault."""

    epoch: int
    pool: int
    account: Address
    cumulative_amount: int
    proof: Sequence[bytes]
    root: bytes

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "pool_name": POOL_NAMES[self.pool],
            "cumulative_amount": str(self.cumulative_amount),
            "proof": ["0x" + p.hex() for p in self.proof],
            "root": "0x" + self.root.hex(),
        }


@dataclass(frozen=True)
class Payment:
    """A claim that was made: base units that arrived, and the receipt (null when nothing was outstanding)."""

    claimable: Claimable
    paid: int
    receipt: Receipt | None


def find_claimables(workspace: Workspace, account: Address, epoch: int | None = None) -> list[Claimable]:
    """The leaves of an address in one epoch (default: the newest here), read from `tree.bin` without loading it."""
    numbers = workspace.store.numbers()
    if not numbers:
        raise InputError(f"no epoch under {workspace.data}; give --data with published epochs")
    bundle = workspace.store.read(numbers[-1] if epoch is None else epoch)
    if bundle.manifest.leaves == 0:
        return []
    found = []
    with bundle.tree() as tree:
        for pool in POOLS:
            try:
                amount, proof = read_proof(tree, pool, account, check=False)  # the root that counts is below
            except NotClaimable:
                continue
            if not ClaimTree.verify(bundle.manifest.root, pool, account, amount, proof):
                raise InputError(
                    f"{bundle.folder}/tree.bin does not lead to the manifest's root; get the published file again"
                )
            found.append(Claimable(bundle.manifest.epoch.number, pool, account, amount, proof, bundle.manifest.root))
    return found


def find_claimables_on_chain(
    workspace: Workspace, account: Address, vault: "Vault", epoch: int | None = None
) -> tuple[list[Claimable], str]:
    """The leaves of an address in one epoch (default: the latest active one, else the newest here), and the state of the
    epoch's root: not published, pending, active or retired. Only an active one pays."""
    active = vault.latest_active_epoch() if epoch is None else epoch
    leaves = find_claimables(workspace, account, active)
    manifest = workspace.store.read(workspace.store.numbers()[-1] if active is None else active).manifest
    record = vault.root_at(manifest.epoch.number)
    if record is None or record.status == "revoked" or record.manifest_hash != manifest.hash:
        return leaves, "not published"
    return leaves, record.status


def claim_all(
    workspace: Workspace, account: Address, vault: "Vault", signer: "Signer", epoch: int | None = None
) -> list[Payment]:
    """Claim every pool of an address against an active root (default: the newest active one). Anyone may; it pays the
    account."""
    active = vault.latest_active_epoch() if epoch is None else epoch
    if active is None:
        raise UsageError("no root is active yet; a published root is, once attested and after the delay")
    payments = []
    for claimable in find_claimables(workspace, account, active):
        outstanding = claimable.cumulative_amount - vault.claimed(claimable.pool, account)
        if outstanding <= 0:
            payments.append(Payment(claimable, 0, None))
            continue
        before = vault.balance_of(account)
        receipt = vault.claim(active, claimable.pool, account, claimable.cumulative_amount, claimable.proof, signer)
        payments.append(Payment(claimable, vault.balance_of(account) - before, receipt))
    if not payments:
        raise UsageError(f"{account} has nothing claimable in epoch {active}; check the address")
    return payments


def dump_tree(workspace: Workspace, epoch: int) -> dict[str, Any]:
    """The claim tree of an epoch in the `standard-v1` format; raises Disagreement when it has not the manifest's
    root."""
    bundle = workspace.store.read(epoch)
    tree = ClaimTree.build(bundle.frame(CLAIMABLES))
    if tree.root != bundle.manifest.root:
        raise Disagreement(
            f"{bundle.folder}/claimables.parquet gives root 0x{tree.root.hex()}, "
            f"the manifest says 0x{bundle.manifest.root.hex()}; get the published files again"
        )
    return tree.dump()


def write_dump(dump: Mapping[str, Any], path: Path) -> None:
    """Write a dumped tree as a whole; raises StorageError."""
    write_file(path, (json.dumps(dump) + "\n").encode())
