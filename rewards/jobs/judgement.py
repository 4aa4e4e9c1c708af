"""The gates of judgement asked with what the epochs before left in a data folder: by a run, an attester, a verifier."""

from dataclasses import dataclass

import polars as pl

from rewards import judgement
from rewards.bundles.store import BundleStore
from rewards.errors import Finding
from rewards.judgement import Volume, measure_volume
from rewards.policy import Policy
from rewards.ports import Counts, EpochInputs, EpochResult, Previous
from rewards.schemas import ALLOCATIONS


@dataclass(frozen=True)
class Judged:
    """What the gates of judgement found, and which of them could be asked with the epochs that are here."""

    findings: tuple[Finding, ...]
    asked: frozenset[str]


def ask_judgement(
    store: BundleStore,
    inputs: EpochInputs,
    result: EpochResult,
    previous: Previous,
    counts: Counts,
    first_epoch: int,
    policy: Policy,
) -> Judged:
    """Quality, volume, concentration and funded of a computed epoch. Raises Disagreement when one of the earlier
    bundles is damaged."""
    number = inputs.epoch.number
    known = min(policy.volume.epochs, number - first_epoch)
    before = read_volumes(store, number, previous.digest, known)
    now = measure_volume(counts.rows, counts.earning_fee_e8, result.allocations)
    of_the_epoch = inputs.deposits.filter(pl.col("deposited_at") >= inputs.epoch.start)
    findings = (
        *judgement.check_quality(counts, policy),
        *judgement.check_volume(now, before, known, policy),
        *judgement.check_concentration(inputs, result.allocations, policy),
        *judgement.check_funded(counts, of_the_epoch, policy),
    )
    unknown = {"volume"} if len(before) < known else set()
    return Judged(findings, frozenset(judgement.JUDGEMENT) - unknown)


def read_volumes(store: BundleStore, number: int, previous: str | None, wanted: int) -> list[Volume]:
    """Volumes of the epochs before `number`, the newest first, up to `wanted` of them: as far as bundles are here and
    each is the one that its successor names (`previous`: the digest that this epoch names)."""
    volumes: list[Volume] = []
    while len(volumes) < wanted and previous is not None and store.has(number - 1):
        number -= 1
        bundle = store.read(number)
        if bundle.manifest.digest != previous:
            break
        counts = bundle.manifest.counts
        volumes.append(measure_volume(counts["rows"], int(counts["earning_fee_e8"]), bundle.frame(ALLOCATIONS)))
        previous = bundle.manifest.previous
    return volumes
