"""Attest a published epoch from an own recomputation."""

from collections.abc import Callable, Sequence

from rewards.chain.vault import Vault
from rewards.errors import ChainError, Disagreement, Finding, refuse
from rewards.jobs.before_sending import find_publication_hash, identify_publication
from rewards.jobs.intents import LedgerIntents
from rewards.jobs.prepare import Prepared, RunSettings, StageClock, prepare_epoch, require_held
from rewards.jobs.proposal import Author, bring_about
from rewards.jobs.publish import ChainOutcome
from rewards.jobs.run import describe_sealed, seal_prepared
from rewards.jobs.workspace import Workspace, is_of, now, pays_as, was_revoked
from rewards.judgement import JUDGEMENT
from rewards.ledger.store import SealedEpoch
from rewards.manifest import Manifest
from rewards.ports import RootRecord
from rewards.units import PROVIDER, USER, Address


def attest_epoch(
    workspace: Workspace,
    settings: RunSettings,
    number: int,
    vault: Vault,
    author: Author,
    on_stage: Callable[[str], None] = lambda _: None,
) -> ChainOutcome:
    """Recompute a pending epoch from the attester's own inputs and confirm it; raises Disagreement when the chain says
    otherwise, or when the attester holds another copy of the epoch that was not revoked.

    `workspace` is the attester's: it needs the bundle of the epoch before and the provenance of the three before that;
    to override `volume` as the publisher did, also the bundles of the epochs before that it looks at.
    """
    with workspace.locked():
        record = require_published(vault, number)
        _require_previous(workspace, vault, number - 1)
        _forget_revoked(workspace, vault, number)
        prepared = prepare_epoch(workspace, settings, number, StageClock(on_stage))
        workspace.ledger.record_findings(number, "seal", prepared.findings, now())
        refuse(f"attesting epoch {number}", prepared.findings, _advise_overriding(prepared.findings))
        manifest = prepared.manifest
        _compare(workspace, manifest, record)
        _keep_copy(workspace, vault, prepared)
        publication = find_publication_hash(vault, manifest)
        receipt = bring_about(
            workspace,
            vault,
            author,
            vault.intend_attestation(number, publication),
            LedgerIntents(workspace, number, "attest", manifest.digest, publication),
            lambda block: is_attested(vault, number, publication, author.address, block),
            lambda: _require_same(vault, manifest),
        )
        return ChainOutcome(require_published(vault, number), receipt, prepared.findings)


def _forget_revoked(workspace: Workspace, vault: Vault, number: int) -> None:
    """Drop the overrides of a copy that the chain revoked: what was judged then is to be judged again."""
    held = _find_held(workspace, number)
    if held is not None and was_revoked(vault, held):
        workspace.ledger.store_overrides(number, (), now())


def _find_held(workspace: Workspace, number: int) -> SealedEpoch | None:
    """The attester's own copy, by the ledger, or by its folder where that was lost."""
    held = {e.number: e for e in workspace.ledger.sealed()}.get(number)
    if held is None and workspace.store.has(number):
        return describe_sealed(workspace.store.read(number).manifest)
    return held


def _require_previous(workspace: Workspace, vault: Vault, number: int) -> None:
    """Raises Disagreement where the folder of the epoch before, if it is here, is not the one on the chain; before a long
    computation, since the root that is to be attested may well be right."""
    if workspace.store.has(number):
        way_out = f"run `rewards attest {number}` first, or get the published folder of the epoch before"
        require_held(workspace.store.read(number).manifest, vault, way_out)


def _compare(workspace: Workspace, manifest: Manifest, record: RootRecord) -> None:
    """Raises Disagreement, the alarm, unless the chain holds what was recomputed; the ledger keeps the finding."""
    number, totals = manifest.epoch.number, (manifest.total(PROVIDER), manifest.total(USER))
    compared = (
        ("root", f"0x{manifest.root.hex()}", f"0x{record.root.hex()}"),
        ("manifest", manifest.digest, record.manifest_hash.hex()),
        ("totals", str(totals), str((record.provider_total, record.user_total))),
    )
    findings = [
        Finding("attest", f"the chain has another {what} than was recomputed", ours, theirs)
        for what, ours, theirs in compared
        if ours != theirs
    ]
    workspace.ledger.record_findings(number, "attest", findings, now())
    if findings:
        raise Disagreement(
            f"epoch {number}: recomputed root {compared[0][1]}, manifest {manifest.digest} and totals {totals}; "
            f"on chain stand {compared[0][2]}, {record.manifest_hash.hex()} and {compared[2][2]}: "
            f"do not attest, {_advise_disagreeing(manifest, record)}"
        )


def _advise_overriding(findings: Sequence[Finding]) -> str:
    """What an attester can do about gates that the publisher may have overridden."""
    gates = sorted({f.gate for f in findings if f.refuses and f.gate in JUDGEMENT})
    if not gates:
        return ""
    return (
        f"; the chain does not tell whether the publisher overrode {', '.join(gates)}, the published manifest.json does; "
        "where you agree, repeat each override word for word, --override GATE=REASON"
    )


def _advise_disagreeing(manifest: Manifest, record: RootRecord) -> str:
    """What to do about another result; where only the manifest differs, its overrides may be all that does."""
    stop = "have the guardian revoke it"
    if record.status != "pending":
        stop = f"have the guardian pause claims: it is {record.status}, and no root can be revoked once it is active"
    if not pays_as(record, manifest):
        return f"and {stop}, unless your inputs lack what the publisher's have, such as a record of corrections.json"
    recorded = ", ".join(sorted({one["gate"] for one in manifest.overrides})) or "none"
    return (
        f"before you have read the published manifest.json; the money agrees, and overrides here are of {recorded}: "
        f"give --override GATE=REASON word for word as it has them, or, where it has another content, {stop}"
    )


def is_attested(vault: Vault, number: int, publication: bytes, attester: Address, block: int | None = None) -> bool:
    """Whether nothing is left to confirm of a publication, be it by this attester or by enough others."""
    record = vault.root_at(number, block)
    if record is None or record.status == "revoked" or identify_publication(vault, record, block) != publication:
        return False
    enough = record.status != "pending" or record.attestations_missing == 0
    return enough or vault.has_attested(publication, attester, block)


def _require_same(vault: Vault, manifest: Manifest) -> None:
    """Right before sending: the root is still there, and still this one."""
    if not is_of(require_published(vault, manifest.epoch.number), manifest):
        raise Disagreement(
            f"epoch {manifest.epoch.number}: the root on chain was replaced while it was recomputed; run the command again"
        )


def _keep_copy(workspace: Workspace, vault: Vault, prepared: Prepared) -> None:
    """Seal the attester's own copy, on which its next epoch builds; one that the chain revoked is withdrawn first."""
    manifest = prepared.manifest
    number = manifest.epoch.number
    sealed = any(e.number == number for e in workspace.ledger.sealed())
    held = _find_held(workspace, number)
    if sealed and held is not None and held.manifest == manifest.digest and workspace.store.has(number):
        return
    if held is not None and held.manifest != manifest.digest:
        if not was_revoked(vault, held):
            raise Disagreement(
                f"epoch {number} here is {held.manifest}, recomputed and on chain it is {manifest.digest}, and no final block "
                "revokes the former; run again when its revocation is final, or look for who changed the folder; was it "
                "never published, see docs/runbook.md#attest"
            )
        workspace.withdraw(number, vault)
    if number > vault.deployment.first_epoch and not workspace.ledger.sealed():
        _adopt_previous(workspace, number - 1)
    seal_prepared(workspace, prepared)


def _adopt_previous(workspace: Workspace, number: int) -> None:
    """Begin an attester's ledger with the bundle that it was given."""
    bundle = workspace.store.read(number)
    bundle.check()
    workspace.ledger.adopt(describe_sealed(bundle.manifest), now())


def require_published(vault: Vault, number: int) -> RootRecord:
    record = vault.root_at(number)
    if record is None or record.status == "revoked":
        raise ChainError(f"the Vault has no live root of epoch {number}; publish it first")
    return record
