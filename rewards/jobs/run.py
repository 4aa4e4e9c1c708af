"""Close epochs: prepare, stage, seal, rename into place. Resumable at every step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rewards.bundles.store import Bundle
from rewards.errors import Disagreement, Finding, InputError, UsageError, refuse
from rewards.jobs.prepare import Prepared, RunSettings, StageClock, check_binding, prepare_epoch
from rewards.jobs.workspace import Workspace, find_live, is_of, now, pays_as
from rewards.judgement import note_unrecorded
from rewards.ledger.store import SealedEpoch
from rewards.manifest import Manifest
from rewards.policy import policy_for
from rewards.ports import VaultReader
from rewards.sources.folder import read_policies


@dataclass(frozen=True)
class EpochOutcome:
    """One epoch of a run: its bundle, whether it was sealed before this run, its findings, and seconds by stage."""

    bundle: Bundle
    already_sealed: bool
    findings: Sequence[Finding]
    seconds: Mapping[str, float]


def run_epochs(
    workspace: Workspace,
    settings: RunSettings,
    epochs: Sequence[int],
    on_stage: Callable[[int, str], None] = lambda _, __: None,
) -> Iterator[EpochOutcome]:
    """Compute, gate and seal epochs in order, one outcome each as it is done. A sealed epoch is left alone, unless its
    very root was revoked: then it and every later one are withdrawn first.

    Raises GateRefused, InputError, ChainError, Disagreement or StorageError; nothing half-written stays, and the next
    run goes on where this one ended. UsageError for overrides of more than one epoch.
    """
    if settings.overrides and len(epochs) != 1:
        raise UsageError(
            f"an override is for one epoch, whose finding was looked at; {len(epochs)} are to be run: name one"
        )
    with workspace.locked():
        workspace.withdraw_revoked(settings.vault)
        looked_at_catalogue = False
        for number in epochs:
            clock = StageClock(partial(on_stage, number))
            outcome = _run_epoch(workspace, settings, number, clock)
            # Once also for what was sealed before: a run that was killed may have left an epoch out.
            if not (outcome.already_sealed and looked_at_catalogue):
                workspace.refresh_catalogue(workspace.find_published(settings.vault))
                looked_at_catalogue = True
            yield outcome


def _run_epoch(workspace: Workspace, settings: RunSettings, number: int, clock: StageClock) -> EpochOutcome:
    sealed = {e.number: e for e in workspace.ledger.sealed()}
    if number in sealed and workspace.store.has(number):
        bundle = workspace.store.read(number)
        if bundle.manifest.digest != sealed[number].manifest:
            raise Disagreement(
                f"{bundle.folder} has manifest {bundle.manifest.digest}; "
                f"epoch {number} was sealed as {sealed[number].manifest}; restore the published folder"
            )
        check_binding(bundle.manifest, settings.vault)
        return EpochOutcome(bundle, True, note_unrecorded(settings.overrides, bundle.manifest.overrides), {})
    _require_volumes(workspace, settings, number)
    notes: list[Finding] = []
    if number in sealed:  # a run died before the bundle was in place: it is that run's overrides that were sealed
        notes = note_unrecorded(settings.overrides, workspace.ledger.overrides(number))
        settings = replace(settings, overrides={})
    prepared = prepare_epoch(workspace, settings, number, clock)
    # Before anything that is stored of the sealed epoch is replaced.
    workspace.ledger.require_same(describe_sealed(prepared.manifest))
    findings = [*prepared.findings, *notes]
    workspace.ledger.record_findings(number, "seal", findings, now())
    refuse(f"sealing epoch {number}", findings)
    _require_no_rival(prepared.manifest, settings.vault)
    clock("seal")
    bundle = seal_prepared(workspace, prepared)
    clock.stop()
    return EpochOutcome(bundle, False, findings, clock.seconds)


def _require_no_rival(manifest: Manifest, vault: VaultReader | None) -> None:
    """Raises Disagreement where the Vault holds another result: what is sealed beside it, and never published, no command
    takes back."""
    live = None if vault is None else find_live(vault, manifest.epoch.number)
    if live is None or is_of(live, manifest):
        return
    way_out = "mend the inputs, or, where they are right, "
    if pays_as(live, manifest):
        way_out = "the money agrees: give the overrides of the published manifest.json word for word, or "
    way_out += (
        "have the guardian revoke the one there"
        if live.status == "pending"
        else f"work on from a copy of the folder that it was published from (it is {live.status})"
    )
    raise Disagreement(
        f"epoch {manifest.epoch.number} was computed as {manifest.digest} (root 0x{manifest.root.hex()}), the Vault holds "
        f"{live.manifest_hash.hex()} (root 0x{live.root.hex()}), so it is not sealed: {way_out}"
    )


def _require_volumes(workspace: Workspace, settings: RunSettings, number: int) -> None:
    """Raise InputError where a bundle was sealed here and is gone that the gate `volume` looks at: to move it away would
    pass the gate in silence. The one of the epoch before is asked for by whoever reads it."""
    start = settings.calendar.epoch(number).start.date()
    known = policy_for(read_policies(settings.policies), start).policy.volume.epochs
    for earlier in (epoch.number for epoch in workspace.ledger.sealed()):
        if number - known <= earlier < number - 1 and not workspace.store.has(earlier):
            raise InputError(
                f"the bundle of epoch {earlier} is missing under {workspace.data}, and epoch {number} is judged by it; "
                f"restore it, or run epoch {earlier} again"
            )


def seal_prepared(workspace: Workspace, prepared: Prepared) -> Bundle:
    """Protocol steps 2 to 5: stage, seal by compare and swap, rename, read back. Each may fail or be killed and run
    again."""
    manifest = prepared.manifest
    number = manifest.epoch.number
    # Before sealing, so that a run that was killed goes on to the same bytes without being told them again.
    workspace.ledger.store_overrides(number, manifest.overrides, now())
    if workspace.store.has(number):  # placed, but the ledger does not know it: lost, or another's folder
        placed = workspace.store.read(number)
        if placed.manifest.digest != manifest.digest:
            raise Disagreement(
                f"{placed.folder} has manifest {placed.manifest.digest}; computed again it is {manifest.digest}; "
                "move the folder away if it is not this network's"
            )
        placed.check()
        workspace.store.write_provenance(number, prepared.provenance)
        workspace.ledger.seal(describe_sealed(manifest), now())
        return placed
    workspace.store.write_provenance(number, prepared.provenance)
    staging = workspace.store.stage(manifest, prepared.files)
    workspace.ledger.seal(describe_sealed(manifest), now())
    return workspace.store.place(staging, number)


def describe_sealed(manifest: Manifest) -> SealedEpoch:
    """The ledger's row of a manifest."""
    return SealedEpoch(manifest.epoch.number, manifest.digest, manifest.previous, "0x" + manifest.root.hex())
