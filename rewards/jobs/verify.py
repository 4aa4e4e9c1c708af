"""Recompute an epoch from its published files and the ones before it, offline, and compare everything."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rewards import gates
from rewards.bundles.store import Bundle, BundleStore
from rewards.compute import compute_epoch
from rewards.errors import Disagreement, RewardsError
from rewards.manifest import Manifest
from rewards.merkle import ClaimTree
from rewards.policy import parse_policy
from rewards.ports import EpochInputs, PoolTotals, Previous
from rewards.rulesets import ruleset_for
from rewards.schemas import (
    ACCOUNTS,
    ALLOCATIONS,
    CLAIMABLES,
    DEPOSITS,
    HEARTBEATS_ROLLUP,
    PROVISION_SCORES,
    PROVISIONS,
    QUARANTINE,
    ROLLUP,
    SCORES,
    STATE,
)
from rewards.units import POOLS


@dataclass(frozen=True)
class Check:
    """One thing that was compared, and what came of it: null when it agrees, else the disagreement in a line."""

    name: str
    problem: str | None


@dataclass(frozen=True)
class Verdict:
    """What verifying an epoch came to; it agrees when no check has a problem."""

    epoch: int
    manifest: str
    root: bytes
    checks: tuple[Check, ...]

    @property
    def agrees(self) -> bool:
        return all(check.problem is None for check in self.checks)


def verify_epoch(
    data: Path, number: int, manifest_hash: str | None = None, on_stage: Callable[[str], None] = lambda _: None
) -> Verdict:
    """Every digest, the link to the epoch before, and all numbers recomputed: scores, allocations, claimables, state, totals,
    root. Raises InputError when there is no such bundle; disagreements are checks with a problem."""
    store = BundleStore(data)
    try:
        bundle = store.read(number)
    except Disagreement as error:
        return Verdict(number, "", b"", (Check("manifest", str(error)),))
    manifest = bundle.manifest
    on_stage("digests")
    checks = [
        _try("digests of every file", bundle.check),
        _compare("manifest hash", manifest_hash.removeprefix("0x").lower() if manifest_hash else manifest.digest, manifest.digest),
        _compare("epoch number", number, manifest.epoch.number),
    ]
    if checks[0].problem is None:
        checks += _recompute(store, bundle, on_stage)
    return Verdict(number, manifest.digest, manifest.root, tuple(checks))


def _try(name: str, step: Callable[[], object]) -> Check:
    try:
        step()
    except RewardsError as error:
        return Check(name, str(error))
    return Check(name, None)


def _compare(name: str, expected: object, found: object) -> Check:
    return Check(name, None if expected == found else f"{name}: expected {expected}, found {found}")


def _read_previous(store: BundleStore, manifest: Manifest) -> tuple[Previous | None, Check]:
    if manifest.previous is None:
        books = {pool: PoolTotals.zero() for pool in POOLS}
        return Previous(None, CLAIMABLES.empty(), STATE.empty(), books), Check("first epoch: empty books before it", None)
    try:
        before = store.read(manifest.epoch.number - 1)
        previous = Previous(
            before.manifest.digest, before.frame(CLAIMABLES), before.frame(STATE), before.manifest.totals
        )
    except RewardsError as error:
        return None, Check("previous epoch", str(error))
    return previous, _compare("previous manifest", manifest.previous, previous.digest)


def _recompute(store: BundleStore, bundle: Bundle, on_stage: Callable[[str], None]) -> list[Check]:
    manifest, chain = bundle.manifest, bundle.manifest.chain
    previous, link = _read_previous(store, manifest)
    if previous is None:
        return [link]
    on_stage("recompute")
    try:
        policy = parse_policy(bundle.content("policy.toml"), str(bundle.folder / "policy.toml"))
        inputs = EpochInputs(
            epoch=manifest.epoch,
            rollup=bundle.frame(ROLLUP),
            heartbeats=bundle.frame(HEARTBEATS_ROLLUP),
            accounts=bundle.frame(ACCOUNTS),
            provisions=bundle.frame(PROVISIONS),
            deposits=bundle.frame(DEPOSITS),
            corrections=bundle.corrections(),
            forbidden=frozenset({chain.token, chain.vault}) if chain else frozenset(),
            limits=chain.limits if chain else None,
        )
        result = compute_epoch(inputs, previous, policy)
        rules = ruleset_for(manifest.epoch.number, policy)
        reference = gates.check_reference(inputs, result, previous, policy)
    except RewardsError as error:
        return [link, Check("recomputation", str(error))]
    on_stage("compare")
    frames = (
        (SCORES, result.scores),
        (PROVISION_SCORES, result.provision_scores),
        (ALLOCATIONS, result.allocations),
        (CLAIMABLES, result.claimables),
        (STATE, result.state),
    )
    published = {table.name: bundle.frame(table) for table, _ in frames}
    return [
        link,
        _compare("ruleset", (rules.NAME, rules.VERSION), (manifest.ruleset, manifest.ruleset_version)),
        *(
            Check(table.name, None if frame.equals(published[table.name]) else _first_difference(table.name, published[table.name], frame))
            for table, frame in frames
        ),
        Check("plain-Python reference", str(reference[0]) if reference else None),
        _compare("totals", dict(result.totals), dict(manifest.totals)),
        _compare("root", "0x" + result.root.hex(), "0x" + manifest.root.hex()),
        _compare("leaves", result.leaves, manifest.leaves),
        Check("claim tree file", None if result.tree == bundle.content("tree.bin") else "tree.bin differs from the recomputed tree"),
        _compare("root of the published claimables", "0x" + ClaimTree.build(published["claimables"]).root.hex(), "0x" + manifest.root.hex()),
        _check_counts(bundle),
    ]


def _first_difference(name: str, published: pl.DataFrame, recomputed: pl.DataFrame) -> str:
    if published.height != recomputed.height:
        return f"{name}: {published.height} rows published, {recomputed.height} recomputed"
    for index, (ours, theirs) in enumerate(zip(recomputed.rows(), published.rows(), strict=True)):
        if ours != theirs:
            return f"{name}: row {index} is published as {theirs}, recomputed as {ours}"
    return f"{name}: column types differ"


def _check_counts(bundle: Bundle) -> Check:
    """The quarantined rows and the earning rows of the roll-up are as many as the manifest counts."""
    counts = bundle.manifest.counts
    reasons = dict(bundle.frame(QUARANTINE).group_by("reason").len().rows())
    if reasons != dict(counts["quarantined"]):
        return Check("row counts", f"row counts: quarantine holds {reasons}, the manifest counts {counts['quarantined']}")
    rows = counts["earning"] + counts["repeated"] + sum(counts["not_earning"].values()) + sum(counts["quarantined"].values())
    return _compare("row counts", counts["rows"], rows)
