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
from rewards.ports import Counts, EpochInputs, PoolTotals, Previous
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
    """Every digest, the link to the epoch before, and all numbers recomputed: scores, allocations, claimables, state,
    totals, root. Raises InputError when there is no such bundle; disagreements are checks with a problem."""
    store = BundleStore(data)
    try:
        bundle = store.read(number)
    except Disagreement as error:
        return Verdict(number, "", b"", (Check("manifest", str(error)),))
    manifest = bundle.manifest
    on_stage("digests")
    checks = [
        _try("digests of every file", bundle.check),
        _compare(
            "manifest hash",
            manifest_hash.removeprefix("0x").lower() if manifest_hash else manifest.digest,
            manifest.digest,
        ),
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
    number = manifest.epoch.number
    if manifest.previous is None:
        if store.has(number - 1):  # empty books would forget what everyone had
            return None, Check("previous epoch", f"the manifest names none, yet epoch {number - 1} is here")
        books = {pool: PoolTotals.zero() for pool in POOLS}
        return Previous(None, CLAIMABLES.empty(), STATE.empty(), books), Check(
            "first epoch: empty books before it", None
        )
    try:
        before = store.read(number - 1)
        previous = Previous(
            before.manifest.digest, before.frame(CLAIMABLES), before.frame(STATE), before.manifest.totals
        )
    except RewardsError as error:
        return None, Check("previous epoch", str(error))
    expected = (manifest.previous, number - 1, manifest.epoch.start_us, _binding(manifest))
    found = (previous.digest, before.manifest.epoch.number, before.manifest.epoch.end_us, _binding(before.manifest))
    return previous, _compare("previous manifest", expected, found)


def _binding(manifest: Manifest) -> tuple[int, str, str] | None:
    chain = manifest.chain
    return None if chain is None else (chain.chain_id, chain.vault, chain.token)


def _recompute(store: BundleStore, bundle: Bundle, on_stage: Callable[[str], None]) -> list[Check]:
    previous, link = _read_previous(store, bundle.manifest)
    if previous is None:
        return [link]
    on_stage("recompute")
    try:
        return [link, *_compare_all(bundle, previous, on_stage)]
    except (RewardsError, pl.exceptions.PolarsError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        # Files that a stranger sealed may hold anything; whatever cannot be computed with is no agreement.
        return [link, Check("recomputation", str(error) or type(error).__name__)]


def _compare_all(bundle: Bundle, previous: Previous, on_stage: Callable[[str], None]) -> list[Check]:
    manifest, chain = bundle.manifest, bundle.manifest.chain
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
    on_stage("compare")
    frames = (
        (SCORES, result.scores),
        (PROVISION_SCORES, result.provision_scores),
        (ALLOCATIONS, result.allocations),
        (CLAIMABLES, result.claimables),
        (STATE, result.state),
    )
    published = {table.name: bundle.frame(table) for table, _ in frames}
    root = "0x" + manifest.root.hex()
    return [
        _compare("ruleset", (rules.NAME, rules.VERSION), (manifest.ruleset, manifest.ruleset_version)),
        *(
            Check(
                table.name,
                None
                if frame.equals(published[table.name])
                else _first_difference(table.name, published[table.name], frame),
            )
            for table, frame in frames
        ),
        Check("plain-Python reference", str(reference[0]) if reference else None),
        _compare("totals", dict(result.totals), dict(manifest.totals)),
        _compare("root", "0x" + result.root.hex(), root),
        _compare("leaves", result.leaves, manifest.leaves),
        Check(
            "claim tree file",
            None if result.tree == bundle.content("tree.bin") else "tree.bin differs from the recomputed tree",
        ),
        _compare("root of the published claimables", "0x" + ClaimTree.build(published["claimables"]).root.hex(), root),
        _check_counts(bundle, inputs.rollup),
        _check_deposits(manifest, inputs.deposits),
    ]


def _first_difference(name: str, published: pl.DataFrame, recomputed: pl.DataFrame) -> str:
    if published.height != recomputed.height:
        return f"{name}: {published.height} rows published, {recomputed.height} recomputed"
    for index, (ours, theirs) in enumerate(zip(recomputed.rows(), published.rows(), strict=True)):
        if ours != theirs:
            return f"{name}: row {index} is published as {theirs}, recomputed as {ours}"
    return f"{name}: column types differ"


def _check_counts(bundle: Bundle, rollup: pl.DataFrame) -> Check:
    """Quarantined rows are as many as the manifest counts, the classes add up, and the roll-up holds the earning
    rows."""
    counts = bundle.manifest.counts
    reasons = dict(bundle.frame(QUARANTINE).group_by("reason").len().rows())
    if reasons != dict(counts["quarantined"]):
        return Check(
            "row counts", f"row counts: quarantine holds {reasons}, the manifest counts {counts['quarantined']}"
        )
    counted = Counts(
        earning=counts["earning"],
        not_earning=counts["not_earning"],
        repeated=counts["repeated"],
        quarantined=counts["quarantined"],
        late=counts["late"],
        tier_mismatch=counts["tier_mismatch"],
        earning_fee_e8=int(counts["earning_fee_e8"]),
    )
    findings = gates.check_rows(counted, rollup, counts["rows"])
    return Check("row counts", str(findings[0]) if findings else None)


def _check_deposits(manifest: Manifest, deposits: pl.DataFrame) -> Check:
    """No deposit is from after the epoch's reference block, or end; one counted twice would be money from nowhere."""
    if manifest.chain is None:
        late = deposits.filter(pl.col("deposited_at") >= manifest.epoch.end)
    else:
        late = deposits.filter(pl.col("block_number") > manifest.chain.reference_block.number)
    return Check("deposits", f"deposits: {late.row(0)} is after the epoch" if late.height else None)
