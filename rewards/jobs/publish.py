"""Publish a sealed epoch, attest it from an own recomputation, revoke it: each a transaction intent that is stored
before it is sent."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from rewards import gates
from rewards.bundles.store import Bundle
from rewards.chain.sender import OnSigned, SignedIntent
from rewards.chain.signers import Signer
from rewards.chain.vault import Vault, publication_hash
from rewards.errors import ChainError, Disagreement, Finding, RewardsError, refuse
from rewards.jobs.prepare import RunSettings, StageClock, prepare_epoch
from rewards.jobs.run import seal_prepared
from rewards.jobs.workspace import Workspace, now
from rewards.ledger.store import StoredIntent
from rewards.manifest import Manifest
from rewards.merkle import ClaimTree
from rewards.ports import Receipt, RootRecord
from rewards.schemas import CLAIMABLES
from rewards.units import POOLS, PROVIDER, USER


@dataclass(frozen=True)
class ChainOutcome:
    """What a step on the chain came to: the root's record, and the receipt, or null when it had been done before."""

    record: RootRecord
    receipt: Receipt | None


def publish_epoch(workspace: Workspace, number: int, vault: Vault, signer: Signer) -> ChainOutcome:
    """Post the root of a sealed epoch. Asks the chain first, so that a second call, or one after a crash, sends
    nothing twice.

    Raises GateRefused, ChainError, Disagreement (another root stands on chain) or InputError (no such bundle).
    """
    with workspace.locked():
        bundle = workspace.store.read(number)
        record = _done(vault, bundle.manifest)
        receipt = _resume(workspace, vault, number, "publish", done=record is not None)
        if record is None and receipt is not None:
            record = _done(vault, bundle.manifest)
        if record is None:
            receipt = _publish(workspace, bundle, vault, signer)
            record = _require(_done(vault, bundle.manifest), number)
        workspace.refresh_catalogue(published=vault.next_epoch() - 1)
        return ChainOutcome(record, receipt)


def _done(vault: Vault, manifest: Manifest) -> RootRecord | None:
    """The chain's record of this very publication; null when nothing live is published for the epoch."""
    record = vault.root_at(manifest.epoch.number)
    if record is None or record.status == "revoked":
        return None
    wanted = (manifest.root, manifest.hash, manifest.total(PROVIDER), manifest.total(USER))
    found = (record.root, record.manifest_hash, record.provider_total, record.user_total)
    if wanted != found:
        raise Disagreement(
            f"epoch {manifest.epoch.number} on chain has root 0x{record.root.hex()} and manifest {record.manifest_hash.hex()}; "
            f"sealed here are 0x{manifest.root.hex()} and {manifest.digest}: if it is pending, have the guardian revoke it"
        )
    return record


def _require(record: RootRecord | None, number: int) -> RootRecord:
    if record is None:
        raise ChainError(f"epoch {number} was sent, yet the Vault has no root of it; run the command again")
    return record


def read_vault_state(vault: Vault, signer: Signer) -> gates.VaultState:
    """What the gates before sending ask of the chain."""
    return gates.VaultState(
        chain_id=vault.chain_id,
        address=vault.address,
        next_epoch=vault.next_epoch(),
        pending=vault.pending_epoch(),
        paused=vault.is_publishing_paused(),
        role=vault.role_of(signer.address),
        pools=vault.reward_pool(),
        limits={pool: vault.max_epoch_amount(pool) for pool in POOLS},
        promised={pool: vault.promised(pool) for pool in POOLS},
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
        total = sum(int(v) for v in claimables.filter(pool=pool)["cumulative_amount"].to_list())
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


def _publish(workspace: Workspace, bundle: Bundle, vault: Vault, signer: Signer) -> Receipt:
    manifest = bundle.manifest
    number = manifest.epoch.number
    state = read_vault_state(vault, signer)
    findings = [
        *check_bundle(bundle),
        *check_sealed(workspace, manifest),
        *gates.check_chain_state(manifest, state),
        *gates.check_solvent(manifest, state),
    ]
    workspace.ledger.record_findings(number, "publish", findings, now())
    refuse(f"publishing epoch {number}", findings)
    receipt = vault.publish_root(
        number,
        manifest.root,
        manifest.total(PROVIDER),
        manifest.total(USER),
        manifest.hash,
        vault.revocations(),
        signer,
        _store(workspace, number, "publish"),
    )
    return _settle(workspace, receipt)


def _store(workspace: Workspace, number: int, action: str) -> OnSigned:
    def store(signed: SignedIntent) -> None:
        intent = StoredIntent(signed.transaction.hex(), number, action, signed.chain_id, signed.to_json(), None)
        workspace.ledger.store_intent(intent, now())

    return store


def _settle(workspace: Workspace, receipt: Receipt) -> Receipt:
    workspace.ledger.settle_intent(receipt.transaction.hex(), receipt.block.number, now())
    return receipt


def _resume(workspace: Workspace, vault: Vault, number: int, action: str, done: bool = False) -> Receipt | None:
    """Finish the newest intent of an action that is not final yet; null when there is none or it can never be mined.

    Raises ChainError while the chain may still take it: a second transaction beside it would be one too many. Where
    the action is `done`, nothing is sent again; an intent that did it is settled.
    """
    open_intents = [i for i in workspace.ledger.intents(number, action, vault.chain_id) if i.final_at is None]
    if not open_intents:
        return None
    signed = SignedIntent.from_json(open_intents[-1].record)
    if done and not vault.chain.knows_transaction(signed.transaction):
        return None
    try:
        receipt = vault.sender.resume(signed)
    except ChainError as error:
        if _may_be_mined(vault, signed):
            raise
        finding = Finding("intent", str(error), f"0x{signed.transaction.hex()}", "can never be mined", refuses=False)
        workspace.ledger.record_findings(number, "resume", [finding], now())
        return None
    return _settle(workspace, receipt)


def _may_be_mined(vault: Vault, signed: SignedIntent) -> bool:
    """Whether the chain can still take the transaction, or has taken it: its nonce is free, or its receipt says
    success."""
    found = vault.chain.find_receipt(signed.transaction)
    if found is not None:
        return found["status"] == 1
    return vault.chain.count_transactions(signed.sender, "latest") <= signed.nonce


def attest_epoch(
    workspace: Workspace,
    settings: RunSettings,
    number: int,
    vault: Vault,
    signer: Signer,
    on_stage: Callable[[str], None] = lambda _: None,
) -> ChainOutcome:
    """Recompute a pending epoch from the attester's own inputs and confirm it; raises Disagreement when the chain says
    otherwise.

    `workspace` is the attester's: it needs the bundle of the epoch before and the provenance of the three before that.
    """
    with workspace.locked():
        record = _require_published(vault, number)
        prepared = prepare_epoch(workspace, settings, number, StageClock(on_stage))
        refuse(f"attesting epoch {number}", prepared.findings)
        manifest = prepared.manifest
        totals = manifest.total(PROVIDER), manifest.total(USER)
        found = (record.root, record.manifest_hash, record.provider_total, record.user_total)
        if found != (manifest.root, manifest.hash, *totals):
            raise Disagreement(
                f"epoch {number}: recomputed root 0x{manifest.root.hex()}, manifest {manifest.digest} and totals {totals}; "
                f"on chain stand 0x{record.root.hex()}, {record.manifest_hash.hex()} and "
                f"{(record.provider_total, record.user_total)}: do not attest, and have the guardian revoke it"
            )
        if not workspace.store.has(number):  # the attester's own copy, on which its next epoch builds
            seal_prepared(workspace, prepared)
        publication = publication_hash(number, manifest.root, manifest.hash, *totals, vault.revocations())
        done = record.status != "pending" or vault.has_attested(publication, signer.address)
        receipt = _resume(workspace, vault, number, "attest", done)
        if done or vault.has_attested(publication, signer.address):
            return ChainOutcome(_require(vault.root_at(number), number), receipt)
        receipt = vault.attest_root(number, publication, signer, _store(workspace, number, "attest"))
        return ChainOutcome(_require(vault.root_at(number), number), _settle(workspace, receipt))


def _require_published(vault: Vault, number: int) -> RootRecord:
    record = vault.root_at(number)
    if record is None or record.status == "revoked":
        raise ChainError(f"the Vault has no live root of epoch {number}; publish it first")
    return record


def revoke_epoch(workspace: Workspace, number: int, reason: str, vault: Vault, signer: Signer) -> Receipt:
    """Withdraw a pending root with the guardian's key; a revocation that was begun before is finished, not doubled."""
    with workspace.locked():
        receipt, record = _resume(workspace, vault, number, "revoke"), vault.root_at(number)
        if receipt is not None and record is not None and record.status == "revoked":
            return receipt
        return _settle(workspace, vault.revoke_root(number, reason, signer, _store(workspace, number, "revoke")))
