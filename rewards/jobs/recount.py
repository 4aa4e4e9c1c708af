"""A sealed epoch read back and checked, and the rows that it did not count, counted by the inputs as they are now."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from rewards.bundles.store import Bundle
from rewards.distribution import add_wallets
from rewards.epoch import Epoch
from rewards.errors import Disagreement, InputError, StorageError, UsageError
from rewards.jobs.correct import CorrectionQueue
from rewards.jobs.engines import open_engine
from rewards.jobs.prepare import REPEAT_EPOCHS, OnStage, read_previous
from rewards.jobs.workspace import find_live, is_of
from rewards.manifest import Manifest
from rewards.policy import Policy, parse_policy
from rewards.ports import Counts, Engine, EpochInputs, Previous, RollUp, VaultReader
from rewards.replay import (
    allocate_again,
    compare_allocations,
    mend_accounts,
    mend_provisions,
    merge_heartbeats,
    merge_rollups,
)
from rewards.rulesets import ruleset_for
from rewards.schemas import (
    ACCOUNTS,
    ALLOCATIONS,
    PROVISIONS,
    QUARANTINE,
    QUARANTINE_REASONS,
)
from rewards.units import POOLS

AFTER_REPEATS = QUARANTINE_REASONS[QUARANTINE_REASONS.index("conflicting_repeat") + 1 :]
"""Reasons that a row gets once repeats were looked for, so that equal rows of its epoch are repeats of it."""


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
    that was sealed, or that was replayed."""
    sealed = {epoch.number: epoch.manifest for epoch in queue.workspace.ledger.sealed()}
    if number not in sealed:
        known = ", ".join(map(str, sealed)) or "none"
        raise UsageError(f"epoch {number} is not sealed here, so nothing of it can be replayed; sealed: {known}")
    bundle = queue.workspace.store.read(number)
    if bundle.manifest.digest != sealed[number]:
        raise Disagreement(
            f"{bundle.folder} has manifest {bundle.manifest.digest}; epoch {number} was sealed as {sealed[number]}; "
            "restore the published folder"
        )
    if manifest not in (None, sealed[number]):
        raise Disagreement(
            f"epoch {number} was replayed as {manifest} and is sealed as {sealed[number]} by now; replay it again"
        )
    if bundle.manifest.chain is not None:
        _require_active(queue.open_vault(), bundle.manifest)
    return bundle


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
    policy = parse_policy(bundle.content("policy.toml"), str(bundle.folder / "policy.toml"))
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


def count_again(queue: CorrectionQueue, sealed: SealedEpochFiles, on_stage: OnStage) -> tuple[EpochInputs, Counts]:
    """The epoch's inputs with what counts now beside what it counted, and the classes of its rows: whatever this or
    another epoch has counted, or will, is a repeat. Raises InputError where the inputs are worse than they were."""
    manifest, then = sealed.manifest, sealed.inputs
    accounts, provisions = ACCOUNTS.arrange(queue.folder.accounts()), PROVISIONS.arrange(queue.folder.provisions())
    mended = replace(
        then,
        accounts=mend_accounts(then.accounts, accounts, then.epoch),
        provisions=mend_provisions(then.provisions, provisions, then.accounts),
    )
    with _open_scratch(queue.workspace.data) as scratch:
        reader = _Reader(queue, sealed, mended, (accounts, provisions), scratch, on_stage)
        roll_up = reader.read(then.epoch, reader.list_counted())
    _require_better(manifest, roll_up.counts)
    inputs = replace(
        mended,
        rollup=merge_rollups(then.rollup, roll_up.rollup),
        heartbeats=merge_heartbeats(then.heartbeats, roll_up.heartbeats, then.provisions, mended.provisions),
    )
    return inputs, roll_up.counts


@contextmanager
def _open_scratch(data: Path) -> Iterator[Path]:
    """A folder of this replay alone: a night may run meanwhile, and nothing of a replay stays."""
    try:
        (data / "scratch").mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="replay-", dir=data / "scratch", ignore_cleanup_errors=True)
    except OSError as error:
        raise StorageError(
            f"{data / 'scratch'} cannot be written: {error.strerror}; free space or give another --data folder"
        ) from error
    with folder as name:
        yield Path(name)


class _Reader:
    """Reads epochs by the inputs as they are now: the replayed one with its mended tables, its neighbours with today's."""

    def __init__(
        self,
        queue: CorrectionQueue,
        sealed: SealedEpochFiles,
        mended: EpochInputs,
        today: tuple[pl.DataFrame, pl.DataFrame],
        scratch: Path,
        on_stage: OnStage,
    ) -> None:
        self._queue, self._sealed, self._scratch, self._report = queue, sealed, scratch, on_stage
        self._number = mended.epoch.number
        self._tables = {True: (mended.accounts, mended.provisions), False: today}
        self._reading = mended.epoch
        settings = queue.settings
        self._engine: Engine = open_engine(
            settings.engine,
            settings.spark_master,
            settings.memory,
            settings.spill,
            settings.threads,
            scratch,
            self._tell,
        )
        self._usage, self._heartbeats = queue.folder.usage(), queue.folder.heartbeats()
        self._sealed_numbers = {epoch.number for epoch in queue.workspace.ledger.sealed()}

    def _tell(self, stage: str) -> None:
        here = self._reading.number == self._number
        self._report(stage if here else f"read epoch {self._reading.number} again")

    def read(self, epoch: Epoch, counted_before: Sequence[Path]) -> RollUp:
        self._reading = epoch
        accounts, provisions = self._tables[epoch.number == self._number]
        payable = add_wallets(accounts, self._sealed.inputs.forbidden)
        return self._engine.roll_up(
            self._usage, self._heartbeats, payable, provisions, counted_before, epoch, self._sealed.policy
        )

    def list_counted(self) -> list[Path]:
        """Files of the ids that count elsewhere, or here already: in this epoch and the three before and after it, as they
        were counted; in the three before also what would count now, and would be credited by a replay of those; in later
        ones that are not sealed, what has come so far."""
        number, first = self._number, self._sealed.manifest.first_epoch
        before = range(max(0, number - REPEAT_EPOCHS), number)
        counted = {e: self._find_counted(e) for e in (*before, number) if e >= first}
        read: list[Path] = []
        for earlier in before:
            read.append(self._read_counted(earlier, read))
        for later in range(number + 1, number + REPEAT_EPOCHS + 1):
            known = [counted[e] for e in range(later - REPEAT_EPOCHS, later) if e in counted]
            is_sealed = later in self._sealed_numbers
            counted[later] = self._find_counted(later) if is_sealed else self._read_counted(later, known)
        return [*self._release(counted), *read]

    def _release(self, counted: Mapping[int, Path]) -> list[Path]:
        """The files without ids that were counted as repeats of a quarantined row alone: no row of theirs was paid, in the
        epoch or later."""
        reason = pl.col("reason").is_in(AFTER_REPEATS) & pl.col("request_id").is_not_null()
        bad = self._sealed.bundle.frame(QUARANTINE).filter(reason)["request_id"]
        here = pl.scan_parquet(counted[self._number])
        twins = here.join(self._engine.digest_ids(bad).lazy(), on=["id", "id_check"], how="semi").collect().lazy()
        released = []
        for number, path in counted.items():
            if number >= self._number:
                path = self._scratch / f"released-{number}.parquet"
                rows = pl.scan_parquet(counted[number]).join(twins, on=["id", "id_check"], how="anti")
                rows.sink_parquet(path)
            released.append(path)
        return released

    def _read_counted(self, number: int, before: Sequence[Path]) -> Path:
        return self.read(self._queue.settings.calendar.epoch(number), tuple(before)).counted_ids

    def _find_counted(self, number: int) -> Path:
        path = self._queue.workspace.store.provenance(number, "counted_ids.parquet")
        if not path.is_file():
            raise InputError(
                f"{path} is missing, so rows that epoch {number} counted cannot be told from others; restore it from where "
                "the epoch was sealed"
            )
        if not self._engine.reads_counted(path):
            raise InputError(
                f"{path} is of another engine or version than is used here; replay with the one that sealed epoch {number}"
            )
        return path


def order_reasons(reasons: Mapping[str, int]) -> dict[str, int]:
    """Counts of quarantined rows by reason, in the order of the rules, without zeros."""
    return {reason: reasons[reason] for reason in QUARANTINE_REASONS if reasons.get(reason)}


def _require_better(manifest: Manifest, counts: Counts) -> None:
    """Raise InputError where the inputs now are worse than those that were sealed: then they are not mended, or not all
    there."""
    number, then = manifest.epoch.number, manifest.counts["quarantined"]
    before, after = sum(then.values()), sum(counts.quarantined.values())
    if after > before:
        grown = [
            f"{reason} {then.get(reason, 0)} then, {now} now"
            for reason, now in order_reasons(counts.quarantined).items()
            if now > then.get(reason, 0)
        ]
        raise InputError(
            f"the inputs now quarantine {after} rows of epoch {number}, {before} when it was sealed ({'; '.join(grown)}); "
            "mend them, and leave rows that were counted as they were"
        )
    counted = manifest.counts["earning"] + sum(manifest.counts["not_earning"].values())
    if counts.repeated < counted:
        raise InputError(
            f"the inputs now hold {counts.repeated} of the {counted} rows that epoch {number} counted; give the folder "
            "that holds all of its days, rows that were counted unchanged"
        )
