"""The gates before sending: the bundle as it is on disk and the Vault as it stands now."""

import hashlib

from rewards import gates
from rewards.bundles.store import Bundle
from rewards.chain.vault import Vault, publication_hash
from rewards.errors import Finding, RewardsError
from rewards.jobs.history import check_history
from rewards.jobs.workspace import Workspace, find_live, is_of
from rewards.manifest import Manifest
from rewards.merkle import ClaimTree
from rewards.ports import RootRecord
from rewards.schemas import CLAIMABLES, add_up
from rewards.units import POOLS, PROVIDER, USER, Address


def find_objections(workspace: Workspace, bundle: Bundle, vault: Vault, sender: Address, again: bool) -> list[Finding]:
    """What every gate before sending says of a publication by `sender`; `again` lets one pass that was revoked."""
    manifest = bundle.manifest
    state = read_vault_state(vault, sender, manifest.epoch.number)
    return [
        *check_bundle(bundle),
        *check_sealed(workspace, manifest),
        *gates.check_chain_state(manifest, state),
        *gates.check_solvent(manifest, state),
        *check_history(workspace, vault),
        *([] if again else check_not_revoked(vault, manifest)),
    ]


def identify_publication(vault: Vault, record: RootRecord, block: int | None = None) -> bytes:
    """The Vault's own hash of what it holds of an epoch: another root, another total or another publication of the same
    after a revocation has another."""
    totals = record.provider_total, record.user_total
    return publication_hash(record.epoch, record.root, record.manifest_hash, *totals, vault.revocations(block))


def find_publication_hash(vault: Vault, manifest: Manifest) -> bytes:
    """The Vault's hash of a manifest's publication while it counts so many revocations: what an attester confirms."""
    totals = manifest.total(PROVIDER), manifest.total(USER)
    return publication_hash(manifest.epoch.number, manifest.root, manifest.hash, *totals, vault.revocations())


def check_not_revoked(vault: Vault, manifest: Manifest) -> list[Finding]:
    """Gate `chain state`: this very publication was never revoked, whatever was published since."""
    revoked = vault.revoked_publications(manifest.epoch.number, vault.head().number)
    if not any(is_of(one, manifest) for one in revoked):
        return []
    message = "this very root was revoked; find out why, then compute the epoch again or publish it with --again"
    return [Finding("chain state", message, "another manifest", manifest.digest)]


def read_vault_state(vault: Vault, sender: Address, number: int) -> gates.VaultState:
    """What the gates before sending an epoch ask of the chain."""
    before = find_live(vault, number - 1)
    return gates.VaultState(
        chain_id=vault.chain_id,
        address=vault.address,
        next_epoch=vault.next_epoch(),
        pending=vault.pending_epoch(),
        paused=vault.is_publishing_paused(),
        role=vault.role_of(sender),
        pools=vault.reward_pool(),
        limits={pool: vault.max_epoch_amount(pool) for pool in POOLS},
        promised={pool: vault.promised(pool) for pool in POOLS},
        before=None if before is None else before.manifest_hash.hex(),
    )


def check_bundle(bundle: Bundle) -> list[Finding]:
    """Gate `bundle`: the published files, read back, give the manifest's digests, totals and root."""
    manifest, gate = bundle.manifest, "bundle"
    try:
        bundle.check()
        claimables = bundle.frame(CLAIMABLES)
        tree, published = ClaimTree.build(claimables), bundle.content("tree.bin")
    except RewardsError as error:
        return [Finding(gate, str(error), "the manifest's digests", "other bytes")]
    findings = []
    if tree.to_bytes() != published:
        expected, observed = (hashlib.sha256(content).hexdigest() for content in (tree.to_bytes(), published))
        findings.append(Finding(gate, "tree.bin is not the tree of the claimables", expected, observed))
    if tree.root != manifest.root:
        findings.append(
            Finding(gate, "the claimables give another root", f"0x{manifest.root.hex()}", f"0x{tree.root.hex()}")
        )
    if len(tree) != manifest.leaves:
        findings.append(Finding(gate, "the claimables are another number", str(manifest.leaves), str(len(tree))))
    for pool in POOLS:
        total = add_up(claimables.filter(pool=pool)["cumulative_amount"])
        if total != manifest.total(pool):
            findings.append(
                Finding(gate, f"claimables of pool {pool} do not add up", str(manifest.total(pool)), str(total))
            )
    return findings


def check_sealed(workspace: Workspace, manifest: Manifest) -> list[Finding]:
    """Gate `bundle`: the folder holds what the ledger sealed; digests alone would pass for one that was sealed anew."""
    sealed = {e.number: e.manifest for e in workspace.ledger.sealed()}.get(manifest.epoch.number)
    if sealed == manifest.digest:
        return []
    message = "the folder is not what the ledger sealed; run the epoch, or restore it"
    return [Finding("bundle", message, str(sealed), manifest.digest)]
