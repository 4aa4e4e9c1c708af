"""A sealed epoch read back and checked: its bundle is the one that was sealed, and gives its own allocations."""

from dataclasses import dataclass

import polars as pl

from rewards.bundles.store import Bundle
from rewards.errors import Disagreement, InputError, UsageError
from rewards.jobs.correct import CorrectionQueue
from rewards.jobs.prepare import read_previous
from rewards.jobs.workspace import Workspace, find_live, is_of
from rewards.manifest import Manifest
from rewards.policy import Policy, parse_policy
from rewards.ports import EpochInputs, Previous, VaultReader
from rewards.replay import allocate_again, compare_allocations
from rewards.rulesets import ruleset_for
from rewards.schemas import ALLOCATIONS
from rewards.units import POOLS


@dataclass(frozen=True)
class SealedEpochFiles:
    """A sealed epoch as its bundle has it."""

    bundle: Bundle
    policy: Policy
    previous: Previous
    inputs: EpochInputs
    allocations: pl.DataFrame

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    def allocate(self, inputs: EpochInputs) -> pl.DataFrame:
        pools = {pool: self.manifest.totals[pool].pool for pool in POOLS}
        return allocate_again(inputs, self.previous, pools, self.policy)


def require_sealed(queue: CorrectionQueue, number: int, manifest: str | None = None) -> Bundle:
    """The bundle of a sealed epoch, its root active where it is bound to a Vault; Disagreement where it is not the one
    that was sealed, or that was replayed, InputError where it or a later one is not here."""
    sealed = {epoch.number: epoch.manifest for epoch in queue.workspace.ledger.sealed()}
    if number not in sealed:
        known = ", ".join(map(str, sealed)) or "none"
        raise UsageError(f"epoch {number} is not sealed here, so nothing of it can be replayed; sealed: {known}")
    bundle = read_bundle(queue.workspace, number)
    if manifest not in (None, sealed[number]):
        raise Disagreement(
            f"epoch {number} was replayed as {manifest} and is sealed as {sealed[number]} by now; replay it again"
        )
    for later in sealed:
        if later > number:
            _require_here(queue.workspace, later)
    if bundle.manifest.chain is not None:
        _require_active(queue.open_vault(), bundle.manifest)
    return bundle


def _require_here(workspace: Workspace, number: int) -> None:
    """Without its bundle nobody knows what an epoch counted, nor which replays entered it."""
    if not workspace.store.has(number):
        raise InputError(
            f"epoch {number} is sealed and its bundle is not here, so what it counted and credited is not known; restore "
            f"{workspace.store.folder(number)}"
        )


def read_bundle(workspace: Workspace, number: int) -> Bundle:
    """The bundle of a sealed epoch; Disagreement where it is not the one that was sealed."""
    sealed = {epoch.number: epoch.manifest for epoch in workspace.ledger.sealed()}
    bundle = workspace.store.read(number)
    if bundle.manifest.digest != sealed.get(number):
        raise Disagreement(
            f"{bundle.folder} has manifest {bundle.manifest.digest}; epoch {number} was sealed as {sealed.get(number)}; "
            "restore the published folder"
        )
    return bundle


def read_policy(bundle: Bundle) -> Policy:
    """The policy that ruled a sealed epoch."""
    return parse_policy(bundle.content("policy.toml"), str(bundle.folder / "policy.toml"))


def _require_active(vault: VaultReader, manifest: Manifest) -> None:
    """A root that may still be revoked may be computed again with the mended rows, which would then be paid twice."""
    number = manifest.epoch.number
    record = find_live(vault, number)
    if record is None or record.status != "active" or not is_of(record, manifest):
        state = "not on the chain as it is sealed here" if record is None or not is_of(record, manifest) else "pending"
        raise UsageError(
            f"epoch {number} is {state}; replay it once its root is active: until then it may be computed again, and would "
            "count the rows itself"
        )


def read_sealed(queue: CorrectionQueue, number: int) -> SealedEpochFiles:
    """A sealed epoch from its bundle and the one before, checked: what they hold gives the sealed allocations."""
    bundle = require_sealed(queue, number)
    bundle.check()
    manifest = bundle.manifest
    if manifest.epoch != queue.settings.calendar.epoch(number):
        raise Disagreement(
            f"epoch {number} here starts {manifest.epoch.start.isoformat()}; give the --genesis that it was sealed with"
        )
    policy = read_policy(bundle)
    rules = ruleset_for(number, policy)
    if (manifest.ruleset, manifest.ruleset_version) != (rules.NAME, rules.VERSION):
        raise Disagreement(
            f"epoch {number} was sealed by ruleset {manifest.ruleset} {manifest.ruleset_version}, here is "
            f"{rules.NAME} {rules.VERSION}; replay it with the version that sealed it"
        )
    previous, _ = read_previous(queue.workspace, number, manifest.first_epoch)
    if previous.digest != manifest.previous:
        raise Disagreement(
            f"epoch {number} follows manifest {manifest.previous}, epoch {number - 1} here has {previous.digest}; "
            "restore the published folder"
        )
    inputs = bundle.inputs()
    sealed = SealedEpochFiles(bundle, policy, previous, inputs, bundle.frame(ALLOCATIONS))
    if compare_allocations(sealed.allocations, sealed.allocate(inputs)):
        raise Disagreement(
            f"{bundle.folder} does not give its own allocations when it is computed again; see rewards verify {number}"
        )
    return sealed
