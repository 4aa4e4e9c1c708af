"""Where every epoch stands: sealed here, pending, active or revoked on the chain, with its findings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewards.errors import Disagreement, Finding
from rewards.jobs.workspace import Workspace
from rewards.ledger.store import SealedEpoch
from rewards.manifest import Manifest

if TYPE_CHECKING:  # the state here needs no chain, and web3 is slow to import
    from rewards.chain.vault import Vault


@dataclass(frozen=True)
class EpochStatus:
    """One epoch; `state` is unplaced, sealed, pending, attested, active, retired, foreign (another root on chain), damaged
    (its manifest is not the one that was sealed) or refused (a gate stopped it before sealing). `manifest` is null where
    there is no bundle or a damaged one."""

    number: int
    state: str
    manifest: Manifest | None
    findings: tuple[Finding, ...]


def read_status(workspace: Workspace, vault: "Vault | None" = None) -> list[EpochStatus]:
    """Every epoch that the ledger knows, ascending; with a Vault, as the chain sees it."""
    sealed = {e.number: e for e in workspace.ledger.sealed()}
    findings = workspace.ledger.findings()
    rows = []
    for number in sorted(set(sealed) | set(findings)):
        found = tuple(findings.get(number, ()))
        if number not in sealed:
            rows.append(EpochStatus(number, "refused", None, found))
        elif not workspace.store.has(number):
            rows.append(EpochStatus(number, "unplaced", None, found))
        else:
            rows.append(_read_placed(workspace, sealed[number], vault, found))
    return rows


def _read_placed(
    workspace: Workspace, sealed: SealedEpoch, vault: "Vault | None", found: tuple[Finding, ...]
) -> EpochStatus:
    """A damaged bundle is a state to show, beside all the others, and not an error that hides them."""
    try:
        manifest = workspace.store.read(sealed.number).manifest
        damage = None if manifest.digest == sealed.manifest else (f"{manifest.digest}", "restore the published folder")
    except Disagreement as error:
        damage = ("unreadable", str(error))
    if damage is not None:
        finding = Finding("bundle", f"the manifest is not the sealed one; {damage[1]}", sealed.manifest, damage[0])
        return EpochStatus(sealed.number, "damaged", None, (*found, finding))
    return EpochStatus(sealed.number, _state(manifest, vault), manifest, found)


def _state(manifest: Manifest, vault: "Vault | None") -> str:
    record = vault.root_at(manifest.epoch.number) if vault is not None else None
    if record is None or record.status == "revoked":
        return "sealed"
    if (record.root, record.manifest_hash) != (manifest.root, manifest.hash):
        return "foreign"
    if record.status == "pending" and record.attestations_missing == 0:
        return "attested"
    return record.status
