"""Recompute an epoch from its published files and the ones before it, offline, and compare everything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rewards import gates
from rewards.agreement import check_reference
from rewards.bundles.store import Bundle, BundleStore
from rewards.compute import compute_epoch
from rewards.corrections import check_corrections, list_records
from rewards.errors import Disagreement, RewardsError
from rewards.jobs.judgement import ask_judgement
from rewards.judgement import Override, check_overrides
from rewards.manifest import Manifest
from rewards.merkle import ClaimTree
from rewards.policy import Policy, parse_policy
from rewards.ports import Counts, EpochInputs, EpochResult, PoolTotals, Previous
from rewards.rulesets import ruleset_for
from rewards.schemas import (
    ALLOCATIONS,
    CLAIMABLES,
    PROVISION_SCORES,
    QUARANTINE,
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
    """What verifying an epoch came to; it agrees when no check has a problem. `overrides` are the manifest's."""

    epoch: int
    manifest: str
    root: bytes
    checks: tuple[Check, ...]
    overrides: Sequence[Override] = ()

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
    return Verdict(number, manifest.digest, manifest.root, tuple(checks), manifest.overrides)


def _try(name: str, step: Callable[[], object]) -> Check:
    try:
        step()
    except RewardsError as error:
        return Check(name, str(error))
    return Check(name, None)


def _compare(name: str, expected: object, found: object) -> Check:
    return Check(name, None if expected == found else f"{name}: expected {expected}, found {found}")


def _read_previous(store: BundleStore, manifest: Manifest) -> tuple[tuple[Previous, Manifest | None] | None, Check]:
    number = manifest.epoch.number
    if manifest.previous is None:
        first = manifest.first_epoch
        if number != first or store.has(number - 1):  # empty books would forget what everyone had
            return None, Check(
                "previous epoch", f"the manifest names none, and epoch {number} is not the first ({first})"
            )
        books = {pool: PoolTotals.zero() for pool in POOLS}
        previous = Previous(None, CLAIMABLES.empty(), STATE.empty(), books)
        return (previous, None), Check("first epoch: empty books before it", None)
    try:
        before = store.read(number - 1)
        previous = Previous(
            before.manifest.digest, before.frame(CLAIMABLES), before.frame(STATE), before.manifest.totals
        )
    except RewardsError as error:
        return None, Check("previous epoch", str(error))
    ours, theirs = manifest.epoch, before.manifest.epoch
    expected = (manifest.previous, number - 1, ours.start_us, ours.end_us - ours.start_us, _binding(manifest))
    found = (previous.digest, theirs.number, theirs.end_us, theirs.end_us - theirs.start_us, _binding(before.manifest))
    return (previous, before.manifest), _compare("previous manifest", expected, found)


def _binding(manifest: Manifest) -> tuple[int, str, str, int] | None:
    chain = manifest.chain
    return None if chain is None else (chain.chain_id, chain.vault, chain.token, chain.first_epoch)


def _recompute(store: BundleStore, bundle: Bundle, on_stage: Callable[[str], None]) -> list[Check]:
    read, link = _read_previous(store, bundle.manifest)
    if read is None:
        return [link]
    on_stage("recompute")
    try:
        return [link, *_compare_all(store, bundle, *read, on_stage)]
    except (RewardsError, pl.exceptions.PolarsError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        # Files that a stranger sealed may hold anything; whatever cannot be computed with is no agreement.
        return [link, Check("recomputation", str(error) or type(error).__name__)]


def _compare_all(
    store: BundleStore, bundle: Bundle, previous: Previous, before: Manifest | None, on_stage: Callable[[str], None]
) -> list[Check]:
    manifest = bundle.manifest
    policy = parse_policy(bundle.content("policy.toml"), str(bundle.folder / "policy.toml"))
    inputs = bundle.inputs()
    result = compute_epoch(inputs, previous, policy)
    rules = ruleset_for(manifest.epoch.number, policy)
    reference = check_reference(inputs, result, previous, policy)
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
        _check_counts(bundle, inputs),
        _check_deposits(manifest, before, inputs.deposits),
        _check_judgement(store, manifest, inputs, result, previous, policy),
        _check_corrections(manifest, inputs, policy),
    ]


def _first_difference(name: str, published: pl.DataFrame, recomputed: pl.DataFrame) -> str:
    if published.height != recomputed.height:
        return f"{name}: {published.height} rows published, {recomputed.height} recomputed"
    for index, (ours, theirs) in enumerate(zip(recomputed.rows(), published.rows(), strict=True)):
        if ours != theirs:
            return f"{name}: row {index} is published as {theirs}, recomputed as {ours}"
    return f"{name}: column types differ"


def _counts(manifest: Manifest) -> Counts:
    counts = manifest.counts
    return Counts(
        earning=counts["earning"],
        not_earning=counts["not_earning"],
        repeated=counts["repeated"],
        quarantined=counts["quarantined"],
        late=counts["late"],
        tier_mismatch=counts["tier_mismatch"],
        earning_fee_e8=int(counts["earning_fee_e8"]),
    )


def _check_counts(bundle: Bundle, inputs: EpochInputs) -> Check:
    """Quarantined rows are as many as the manifest counts, the classes add up, and the roll-up holds the earning
    rows and does not contradict itself."""
    counted = _counts(bundle.manifest)
    reasons = dict(bundle.frame(QUARANTINE).group_by("reason").len().rows())
    if reasons != dict(counted.quarantined):
        return Check("row counts", f"row counts: quarantine holds {reasons}, the manifest counts {counted.quarantined}")
    findings = [
        *gates.check_rows(counted, inputs.rollup, bundle.manifest.counts["rows"]),
        *gates.check_rollup(counted, inputs.rollup, inputs.heartbeats),
    ]
    return Check("row counts", str(findings[0]) if findings else None)


def _check_judgement(
    store: BundleStore, manifest: Manifest, inputs: EpochInputs, result: EpochResult, previous: Previous, policy: Policy
) -> Check:
    """The gates of judgement, as far as the bundles here let them be asked, find what the manifest says that was
    overridden, and nothing else; and the policy is of no later day."""
    first = manifest.first_epoch
    judged = ask_judgement(store, inputs, result, previous, _counts(manifest), first, policy)
    problems = [str(f) for f in check_overrides(manifest.overrides, judged.findings, judged.asked)]
    if manifest.policy_since > manifest.epoch.start.date().isoformat():
        problems.append(
            f"the policy of {manifest.policy_since} rules no epoch that starts {manifest.epoch.start.date()}"
        )
    return Check(f"policy and {', '.join(sorted(judged.asked))}", problems[0] if problems else None)


def _check_corrections(manifest: Manifest, inputs: EpochInputs, policy: Policy) -> Check:
    """Every correction is signed for this epoch, chain and Vault by one whom the bundle's policy names."""
    records, kinds = list_records(inputs.corrections), dict(inputs.accounts.select("account_id", "kind").rows())
    domain, rules = manifest.chain.domain if manifest.chain else None, policy.corrections
    findings = check_corrections(records, manifest.epoch.number, kinds, domain, rules, inputs.limits)
    return Check("corrections", str(findings[0]) if findings else None)


def _check_deposits(manifest: Manifest, before: Manifest | None, deposits: pl.DataFrame) -> Check:
    """Every deposit is of this epoch, after the one before and up to the reference block (or end), and is the sum of its
    parts: one counted twice would be money from nowhere."""
    parts = ("protocol_amount", "provider_amount", "user_amount")
    odd = deposits.filter((pl.col("amount") != sum(pl.col(p) for p in parts)) | (pl.min_horizontal(*parts) < 0))
    if odd.height:
        return Check("deposits", f"deposits: {odd.row(0)} is not the sum of its parts, each 0 or more")
    if manifest.chain is None:
        when = pl.col("deposited_at")
        outside = when >= manifest.epoch.end
        if before is not None:
            outside |= when < before.epoch.end
    else:
        reference, block = manifest.chain.reference_block, pl.col("block_number")
        earlier = before.chain.reference_block if before is not None and before.chain is not None else None
        if reference.timestamp * 1_000_000 >= manifest.epoch.end_us:
            return Check("deposits", f"the reference block {reference.number} is not before the epoch's end")
        if earlier is not None and (reference.number, reference.timestamp) < (earlier.number, earlier.timestamp):
            return Check("deposits", f"the reference block {reference.number} is before the last one, {earlier.number}")
        outside = (block > reference.number) | block.is_null()
        if earlier is not None:
            outside |= block <= earlier.number
    stray = deposits.filter(outside)
    return Check("deposits", f"deposits: {stray.row(0)} is not of this epoch" if stray.height else None)
