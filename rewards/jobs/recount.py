"""The rows that a sealed epoch did not count, counted by the inputs as they are now."""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from rewards.distribution import add_wallets
from rewards.epoch import Epoch
from rewards.errors import InputError, StorageError, UsageError
from rewards.jobs.correct import CorrectionQueue
from rewards.jobs.engines import open_engine
from rewards.jobs.prepare import REPEAT_EPOCHS, OnStage
from rewards.jobs.sealed import SealedEpochFiles, read_bundle, read_policy
from rewards.manifest import Manifest
from rewards.policy import Policy
from rewards.ports import Counts, Engine, EpochInputs, RollUp
from rewards.replay import (
    find_fewer_heartbeats,
    find_payer,
    mend_accounts,
    mend_provisions,
    merge_heartbeats,
    merge_rollups,
)
from rewards.schemas import ACCOUNTS, PROVISIONS, QUARANTINE, QUARANTINE_REASONS
from rewards.units import Address

AFTER_REPEATS = QUARANTINE_REASONS[QUARANTINE_REASONS.index("conflicting_repeat") + 1 :]
"""Reasons that a row gets once repeats were looked for, so that equal rows of its epoch are repeats of it."""


@dataclass(frozen=True)
class Tables:
    """What an epoch is read by."""

    epoch: Epoch
    accounts: pl.DataFrame
    provisions: pl.DataFrame
    forbidden: frozenset[Address]
    policy: Policy


@dataclass(frozen=True)
class Today:
    """The tables of the inputs as they are now."""

    accounts: pl.DataFrame
    provisions: pl.DataFrame

    def mend(self, then: Tables) -> Tables:
        """A sealed epoch's tables, with what they lacked."""
        return replace(
            then,
            accounts=mend_accounts(then.accounts, self.accounts, then.epoch),
            provisions=mend_provisions(then.provisions, self.provisions, then.accounts),
        )


@dataclass(frozen=True)
class CountedElsewhere:
    """Files of the ids that count in another epoch, or in this one already; `doubtful` are those of epochs that were
    replayed, as this one was."""

    files: Sequence[Path]
    doubtful: Mapping[int, Path]


def count_again(
    queue: CorrectionQueue, sealed: SealedEpochFiles, replayed: Collection[int], on_stage: OnStage
) -> tuple[EpochInputs, Counts]:
    """The epoch's inputs with what counts now beside what it counted, and the classes of its rows: whatever this or
    another epoch has counted, or will, is a repeat; `replayed` are the epochs that were replayed. Raises InputError where
    the inputs are worse than they were, UsageError where two replays may have paid the same rows."""
    then = sealed.inputs
    today = Today(ACCOUNTS.arrange(queue.folder.accounts()), PROVISIONS.arrange(queue.folder.provisions()))
    tables = today.mend(Tables(then.epoch, then.accounts, then.provisions, then.forbidden, sealed.policy))
    with _open_scratch(queue.workspace.data) as scratch:
        reader = _Reader(queue, sealed, tables, today, scratch, on_stage)
        elsewhere = reader.list_counted(replayed)
        roll_up = reader.read(then.epoch.number, elsewhere.files)
        if elsewhere.doubtful:
            without = reader.read(then.epoch.number, [*elsewhere.files, *elsewhere.doubtful.values()])
            _require_undoubted(then.epoch.number, elsewhere.doubtful, _count_new(roll_up) - _count_new(without))
    _require_better(sealed.manifest, roll_up.counts)
    _require_heartbeats(queue, then, roll_up)
    inputs = replace(
        then,
        accounts=tables.accounts,
        provisions=tables.provisions,
        rollup=merge_rollups(then.rollup, roll_up.rollup),
        heartbeats=merge_heartbeats(then.heartbeats, roll_up.heartbeats, then.provisions, tables.provisions),
    )
    return inputs, roll_up.counts


def _count_new(roll_up: RollUp) -> int:
    return roll_up.counts.earning + sum(roll_up.counts.not_earning.values())


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
    """Reads epochs by the inputs as they are now: sealed ones with their own tables, mended, and their own policy, later
    ones with today's."""

    def __init__(
        self,
        queue: CorrectionQueue,
        sealed: SealedEpochFiles,
        tables: Tables,
        today: Today,
        scratch: Path,
        on_stage: OnStage,
    ) -> None:
        self._queue, self._sealed, self._scratch, self._report = queue, sealed, scratch, on_stage
        self._number, self._own, self._today = tables.epoch.number, tables, today
        self._reading = self._number
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
        self._last = max(epoch.number for epoch in queue.workspace.ledger.sealed())

    def _tell(self, stage: str) -> None:
        self._report(stage if self._reading == self._number else f"read epoch {self._reading} again")

    def read(self, number: int, counted_before: Sequence[Path]) -> RollUp:
        self._reading = number
        tables = self._find_tables(number)
        payable = add_wallets(tables.accounts, tables.forbidden)
        return self._engine.roll_up(
            self._usage, self._heartbeats, payable, tables.provisions, counted_before, tables.epoch, tables.policy
        )

    def _find_tables(self, number: int) -> Tables:
        if number == self._number:
            return self._own
        if self._is_sealed(number):
            bundle = read_bundle(self._queue.workspace, number)
            then = bundle.inputs()
            return self._today.mend(
                Tables(then.epoch, then.accounts, then.provisions, then.forbidden, read_policy(bundle))
            )
        epoch = self._queue.settings.calendar.epoch(number)
        if number < self._number:  # of an earlier Vault: read as when this one was sealed
            return replace(self._own, epoch=epoch)
        policy = self._queue.find_policy(number)
        return Tables(epoch, self._today.accounts, self._today.provisions, self._own.forbidden, policy)

    def _is_sealed(self, number: int) -> bool:
        return self._sealed.manifest.first_epoch <= number <= self._last

    def list_counted(self, replayed: Collection[int]) -> CountedElsewhere:
        """What counts in this epoch and the three before and after it: as it was counted where they are sealed, else by
        what has come so far; and what would count in a sealed one now, where that one pays for it."""
        window = range(max(0, self._number - REPEAT_EPOCHS), self._number + REPEAT_EPOCHS + 1)
        counted: dict[int, Path] = {}
        for epoch in window:
            counted[epoch] = self._find_counted(epoch) if self._is_sealed(epoch) else self._read_counted(epoch, counted)
        payers = {
            other: find_payer(self._number, other, replayed)
            for other in window
            if other != self._number and self._is_sealed(other)
        }
        fresh = {other: self._read_counted(other, counted) for other, payer in payers.items() if payer != self._number}
        released = self._release([*counted.items(), *fresh.items()])
        fresh = dict(zip(fresh, released[len(counted) :], strict=True))
        sure = [path for other, path in fresh.items() if payers[other] is not None]
        doubtful = {other: path for other, path in fresh.items() if payers[other] is None}
        return CountedElsewhere([*released[: len(counted)], *sure], doubtful)

    def _release(self, files: Sequence[tuple[int, Path]]) -> list[Path]:
        """The files, each of an epoch, without ids that were counted as repeats of a quarantined row alone: no row of
        theirs was paid, in the epoch or later."""
        reason = pl.col("reason").is_in(AFTER_REPEATS) & pl.col("request_id").is_not_null()
        bad = self._sealed.bundle.frame(QUARANTINE).filter(reason)["request_id"]
        here = pl.scan_parquet(dict(files)[self._number])
        twins = here.join(self._engine.digest_ids(bad).lazy(), on=["id", "id_check"], how="semi").collect().lazy()
        released = []
        for place, (number, path) in enumerate(files):
            if number >= self._number:
                rows = pl.scan_parquet(path).join(twins, on=["id", "id_check"], how="anti")
                path = self._scratch / f"released-{place}.parquet"
                rows.sink_parquet(path)
            released.append(path)
        return released

    def _read_counted(self, number: int, counted: Mapping[int, Path]) -> Path:
        before = [counted[e] for e in range(number - REPEAT_EPOCHS, number) if e in counted]
        return self.read(number, before).counted_ids

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


def _require_undoubted(number: int, others: Collection[int], rows: int) -> None:
    if rows:
        listed = ", ".join(map(str, sorted(others)))
        raise UsageError(
            f"{rows} rows count now in epoch {number} and in epoch {listed}, and each was replayed: which one paid them is "
            "not known; take their copies out of the one that did not, or what waits of its replay by rewards correct remove"
        )


def _require_better(manifest: Manifest, counts: Counts) -> None:
    """Raise InputError where the inputs now are worse than those that were sealed: then they are not mended, or not all
    there; and where they have rows that were not there: those are none that were quarantined."""
    number, sealed = manifest.epoch.number, manifest.counts
    then = sealed["quarantined"]
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
    # A row that was counted repeats itself, and a repeat stays one, be it of a row that counts only now.
    counted = sealed["earning"] + sum(sealed["not_earning"].values()) + sealed["repeated"]
    if counts.repeated < counted:
        raise InputError(
            f"the inputs now hold {counts.repeated} of the {counted} rows that epoch {number} counted or found repeated; "
            "give the folder that holds all of its days, rows that were counted unchanged"
        )
    if counts.rows > sealed["rows"]:
        raise InputError(
            f"the inputs now hold {counts.rows} rows of epoch {number}, which had {sealed['rows']} when it was sealed, so at "
            f"least {counts.rows - sealed['rows']} are new; a replay is for rows that were quarantined: take the new ones out"
        )


def _require_heartbeats(queue: CorrectionQueue, then: EpochInputs, roll_up: RollUp) -> None:
    """Raise InputError where heartbeats are missing that the epoch had: a provision that is new would lack them too."""
    fewer = find_fewer_heartbeats(then.heartbeats, roll_up.heartbeats)
    for provision, had, has in fewer.head(1).rows():
        raise InputError(
            f"{queue.folder.folder / 'heartbeats'} holds {has} of provision {provision!r} in epoch {then.epoch.number}, {had} "
            f"when it was sealed, and fewer of {len(fewer)} provisions in all; give the files of {then.epoch.start:%Y-%m-%d} "
            f"to {then.epoch.end:%Y-%m-%d} as they were"
        )
