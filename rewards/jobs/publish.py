"""Publish a sealed epoch, attest it from an own recomputation, revoke it: each a transaction intent that is stored
before it is sent."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rewards import gates
from rewards.bundles.store import Bundle
from rewards.chain.sender import OnSigned, SignedIntent
from rewards.chain.signers import Signer
from rewards.chain.vault import Vault, publication_hash
from rewards.errors import ChainError, Disagreement, Finding, RewardsError, refuse
from rewards.jobs.prepare import Prepared, RunSettings, StageClock, prepare_epoch
from rewards.jobs.run import describe_sealed, seal_prepared
from rewards.jobs.workspace import Workspace, now
from rewards.judgement import JUDGEMENT
from rewards.ledger.store import StoredIntent
from rewards.manifest import Manifest
from rewards.merkle import ClaimTree
from rewards.ports import Receipt, RootRecord
from rewards.schemas import CLAIMABLES, add_up
from rewards.units import POOLS, PROVIDER, USER


@dataclass(frozen=True)
class ChainOutcome:
    """What a step on the chain came to: the root's record, and the receipt, or null when it had been done before."""

    record: RootRecord
    receipt: Receipt | None


def publish_epoch(workspace: Workspace, number: int, vault: Vault, signer: Signer, again: bool = False) -> ChainOutcome:
    """Post the root of a sealed epoch. Asks the chain first, so that a second call, or one after a crash, sends
    nothing twice. A publication that was revoked is refused, unless it is to be sent `again`.

    Raises GateRefused, ChainError, Disagreement (another root stands on chain) or InputError (no such bundle).
    """
    with workspace.locked():
        bundle = workspace.store.read(number)
        record = _done(vault, bundle.manifest)
        receipt = _resume(workspace, vault, number, "publish", done=record is not None)
        if record is None and receipt is not None:
            record = _done(vault, bundle.manifest)
        if record is None:
            receipt = _publish(workspace, bundle, vault, signer, again)
            record = _require(_done(vault, bundle.manifest), number)
        workspace.refresh_catalogue(workspace.find_published(vault))
        return ChainOutcome(record, receipt)


def _done(vault: Vault, manifest: Manifest) -> RootRecord | None:
    """The chain's record of this very publication; null when nothing live is published for the epoch."""
    record = vault.root_at(manifest.epoch.number)
    if record is None or record.status == "revoked":
        return None
    if not _is_of(record, manifest):
        raise Disagreement(
            f"epoch {manifest.epoch.number} on chain has root 0x{record.root.hex()} and manifest {record.manifest_hash.hex()}; "
            f"sealed here are 0x{manifest.root.hex()} and {manifest.digest}: if it is pending, have the guardian revoke it"
        )
    return record


def _is_of(record: RootRecord, manifest: Manifest) -> bool:
    wanted = (manifest.root, manifest.hash, manifest.total(PROVIDER), manifest.total(USER))
    return wanted == (record.root, record.manifest_hash, record.provider_total, record.user_total)


def check_not_revoked(vault: Vault, manifest: Manifest) -> list[Finding]:
    """Gate `chain state`: this very publication was not revoked."""
    record = vault.root_at(manifest.epoch.number)
    if record is None or record.status != "revoked" or not _is_of(record, manifest):
        return []
    message = "this very root was revoked; find out why, then compute the epoch again or publish it with --again"
    return [Finding("chain state", message, "another manifest", manifest.digest)]


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


def _publish(workspace: Workspace, bundle: Bundle, vault: Vault, signer: Signer, again: bool) -> Receipt:
    manifest = bundle.manifest
    number = manifest.epoch.number
    state = read_vault_state(vault, signer)
    findings = [
        *check_bundle(bundle),
        *check_sealed(workspace, manifest),
        *gates.check_chain_state(manifest, state),
        *gates.check_solvent(manifest, state),
        *([] if again else check_not_revoked(vault, manifest)),
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
    intents = workspace.ledger.intents(number, action, vault.chain_id)
    if not intents or intents[-1].final_at is not None:  # none is signed before the one before it is final or dead
        return None
    signed = SignedIntent.from_json(intents[-1].record)
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
    otherwise, or when the attester holds another copy of the epoch that was not revoked.

    `workspace` is the attester's: it needs the bundle of the epoch before and the provenance of the three before that;
    to override `volume` as the publisher did, also the bundles of the epochs before that it looks at.
    """
    with workspace.locked():
        record = _require_published(vault, number)
        prepared = prepare_epoch(workspace, settings, number, StageClock(on_stage))
        refuse(f"attesting epoch {number}", prepared.findings, _advise_overriding(prepared.findings))
        manifest = prepared.manifest
        totals = manifest.total(PROVIDER), manifest.total(USER)
        found = (record.root, record.manifest_hash, record.provider_total, record.user_total)
        if found != (manifest.root, manifest.hash, *totals):
            raise Disagreement(
                f"epoch {number}: recomputed root 0x{manifest.root.hex()}, manifest {manifest.digest} and totals {totals}; "
                f"on chain stand 0x{record.root.hex()}, {record.manifest_hash.hex()} and "
                f"{(record.provider_total, record.user_total)}: do not attest, {_advise_disagreeing(record, prepared)}"
            )
        _keep_copy(workspace, vault, prepared)
        publication = publication_hash(number, manifest.root, manifest.hash, *totals, vault.revocations())
        done = _is_attested(vault, record, publication, signer)
        receipt = _resume(workspace, vault, number, "attest", done)
        record = _require_published(vault, number)
        if done or _is_attested(vault, record, publication, signer):
            return ChainOutcome(record, receipt)
        receipt = vault.attest_root(number, publication, signer, _store(workspace, number, "attest"))
        return ChainOutcome(_require(vault.root_at(number), number), _settle(workspace, receipt))


def _advise_overriding(findings: Sequence[Finding]) -> str:
    """What an attester can do about gates that the publisher may have overridden."""
    gates_ = sorted({f.gate for f in findings if f.refuses and f.gate in JUDGEMENT})
    if not gates_:
        return ""
    return (
        f"; the chain does not tell whether the publisher overrode {', '.join(gates_)}, the published manifest.json does; "
        "where you agree, repeat each override word for word, --override GATE=REASON"
    )


def _advise_disagreeing(record: RootRecord, prepared: Prepared) -> str:
    """What to do about another result; where only the manifest differs, its overrides may be all that does."""
    manifest = prepared.manifest
    totals = manifest.total(PROVIDER), manifest.total(USER)
    if (record.root, record.provider_total, record.user_total) != (manifest.root, *totals):
        return "and have the guardian revoke it"
    recorded = ", ".join(sorted({one["gate"] for one in manifest.overrides})) or "none"
    return (
        f"before you have read the published manifest.json; the money agrees, and overrides here are of {recorded}: "
        "give --override GATE=REASON word for word as it has them, or, where it has another content, "
        "have the guardian revoke it"
    )


def _is_attested(vault: Vault, record: RootRecord, publication: bytes, signer: Signer) -> bool:
    """Whether nothing is left to confirm, be it by this signer or by enough others."""
    enough = record.status != "pending" or record.attestations_missing == 0
    return enough or vault.has_attested(publication, signer.address)


def _keep_copy(workspace: Workspace, vault: Vault, prepared: Prepared) -> None:
    """Seal the attester's own copy, on which its next epoch builds; one that the chain revoked is withdrawn first."""
    manifest = prepared.manifest
    number = manifest.epoch.number
    held = {e.number: e.manifest for e in workspace.ledger.sealed()}.get(number)
    placed = workspace.store.has(number)
    if held == manifest.digest and placed:
        return
    if held is None and placed:
        held = workspace.store.read(number).manifest.digest
    if held not in (None, manifest.digest):
        if bytes.fromhex(str(held)) not in vault.revoked_manifests(number, vault.final_block().number):
            raise Disagreement(
                f"epoch {number} here is {held}, recomputed and on chain it is {manifest.digest}, and no final block "
                "revokes the former; run again when its revocation is final, or look for who changed the folder"
            )
        workspace.withdraw(number, vault)
    if number > vault.deployment.first_epoch and not workspace.ledger.sealed():
        _adopt_previous(workspace, vault, number - 1)
    seal_prepared(workspace, prepared)


def _adopt_previous(workspace: Workspace, vault: Vault, number: int) -> None:
    """Begin an attester's ledger with the bundle that it was given, once checked against the chain."""
    bundle = workspace.store.read(number)
    bundle.check()
    record = _require_published(vault, number)
    if not _is_of(record, bundle.manifest):
        raise Disagreement(
            f"{bundle.folder} has manifest {bundle.manifest.digest}; on chain stands {record.manifest_hash.hex()}; "
            "get the published folder of the epoch before"
        )
    workspace.ledger.adopt(describe_sealed(bundle.manifest), now())


def _require_published(vault: Vault, number: int) -> RootRecord:
    record = vault.root_at(number)
    if record is None or record.status == "revoked":
        raise ChainError(f"the Vault has no live root of epoch {number}; publish it first")
    return record


def revoke_epoch(workspace: Workspace, number: int, reason: str, vault: Vault, signer: Signer) -> Receipt | None:
    """Withdraw a pending root with the guardian's key; a revocation that was begun before is finished, not doubled.
    Null when it had been revoked before."""
    with workspace.locked():
        receipt = _resume(workspace, vault, number, "revoke", done=_is_revoked(vault, number))
        if not _is_revoked(vault, number):
            revoked = vault.revoke_root(number, reason, signer, _store(workspace, number, "revoke"))
            receipt = _settle(workspace, revoked)
        if workspace.has_catalogue():
            workspace.refresh_catalogue(workspace.find_published(vault))
        return receipt


def _is_revoked(vault: Vault, number: int) -> bool:
    record = vault.root_at(number)
    return record is not None and record.status == "revoked"
