"""Close epochs: prepare, stage, seal, rename into place. Resumable at every step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rewards.bundles.store import Bundle
from rewards.errors import Disagreement, Finding, refuse
from rewards.jobs.prepare import Prepared, RunSettings, StageClock, check_binding, prepare_epoch
from rewards.jobs.workspace import Workspace, now
from rewards.ledger.store import SealedEpoch
from rewards.manifest import Manifest
from rewards.ports import VaultReader


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
    """Compute, gate and seal epochs in order, one outcome each as it is done. A sealed epoch is left alone.

    Raises GateRefused, InputError, ChainError, Disagreement or StorageError; nothing half-written stays, and the next
    run goes on where this one ended.
    """
    with workspace.locked():
        for number in epochs:
            clock = StageClock(partial(on_stage, number))
            outcome = _run_epoch(workspace, settings, number, clock)
            if not (outcome.already_sealed and workspace.has_catalogue()):
                workspace.refresh_catalogue(_published(settings.vault))
            yield outcome


def _published(vault: VaultReader | None) -> int | None:
    return vault.next_epoch() - 1 if vault is not None else None


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
        return EpochOutcome(bundle, True, [], {})
    prepared = prepare_epoch(workspace, settings, number, clock)
    workspace.ledger.record_findings(number, "seal", prepared.findings, now())
    refuse(f"sealing epoch {number}", prepared.findings)
    clock("seal")
    bundle = seal_prepared(workspace, prepared)
    clock.stop()
    return EpochOutcome(bundle, False, prepared.findings, clock.seconds)


def seal_prepared(workspace: Workspace, prepared: Prepared) -> Bundle:
    """Protocol steps 2 to 5: stage, seal by compare and swap, rename, read back. Each may fail or be killed and run
    again."""
    manifest = prepared.manifest
    number = manifest.epoch.number
    if workspace.store.has(number):  # placed, but the ledger does not know it: lost, or another's folder
        placed = workspace.store.read(number)
        if placed.manifest.digest != manifest.digest:
            raise Disagreement(
                f"{placed.folder} has manifest {placed.manifest.digest}; computed again it is {manifest.digest}; "
                "move the folder away if it is not this network's"
            )
        placed.check()
        workspace.store.write_provenance(number, prepared.provenance)
        workspace.ledger.seal(_sealed(manifest), now())
        return placed
    workspace.store.write_provenance(number, prepared.provenance)
    staging = workspace.store.stage(manifest, prepared.files)
    workspace.ledger.seal(_sealed(manifest), now())
    return workspace.store.place(staging, number)


def _sealed(manifest: Manifest) -> SealedEpoch:
    return SealedEpoch(manifest.epoch.number, manifest.digest, manifest.previous, "0x" + manifest.root.hex())
