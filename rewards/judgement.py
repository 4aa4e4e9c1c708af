"""Gates before sealing that judge what no arithmetic decides, and their overrides: an operator may pass them, with a
reason that the manifest records. The texts of their findings are in manifests, so that they may not change."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from itertools import pairwise
from statistics import median_low

import polars as pl

from rewards.corrections import is_seen
from rewards.distribution import add_wallets
from rewards.epoch import DAY_US, Epoch
from rewards.errors import Finding, UsageError
from rewards.policy import BP, Policy
from rewards.ports import Counts, EpochInputs
from rewards.schemas import add_up
from rewards.units import POOL_NAMES, POOLS, PROVIDER, UNITS_PER_E8, USER

JUDGEMENT = ("quality", "volume", "concentration", "funded")
"""The gates that may be overridden; every other one is arithmetic."""
LONGEST_REASON = 500

Override = Mapping[str, str]
"""What a manifest records: `gate`, `reason`, and `message`, `expected`, `observed` of the finding that it passes."""
_RECORDED = frozenset(("gate", "reason", "message", "expected", "observed"))


def check_quality(counts: Counts, policy: Policy) -> list[Finding]:
    """Quarantined and late rows stay within the policy's shares of all rows."""
    findings = []
    for name, bad, limit in (
        ("quarantined", sum(counts.quarantined.values()), policy.rows.quarantine_limit_bp),
        ("late", counts.late, policy.rows.late_limit_bp),
    ):
        if bad * BP > limit * counts.rows:
            findings.append(
                Finding("quality", f"too many rows are {name}", f"at most {limit} bp of {counts.rows}", f"{bad} rows")
            )
    return findings


@dataclass(frozen=True)
class Volume:
    """How much an epoch was: rows, fees of its earning rows (10^-8 CXPT), scores of both sides added up."""

    rows: int
    fees_e8: int
    provider_scores: int
    user_scores: int


def measure_volume(rows: int, fees_e8: int, allocations: pl.DataFrame) -> Volume:
    """The volume of an epoch with these `schemas.ALLOCATIONS`, which hold every score that is not zero."""
    scores = {pool: add_up(allocations.filter(pl.col("pool") == pool)["score"]) for pool in POOLS}
    return Volume(rows, fees_e8, scores[PROVIDER], scores[USER])


def check_volume(now: Volume, before: Sequence[Volume], known: int, policy: Policy) -> list[Finding]:
    """Rows, fees and scores stay within the policy's band around the (lower) median of the last epochs.

    `known` is how many epochs the network has before this one, up to `volume.epochs`, `before` those that are here. It
    only notes while one of them is not here (two who judge must judge alike), while there are fewer than
    `volume.min_epochs`, and where neither this epoch nor the median has `volume.min_rows`.
    """
    band = policy.volume
    if len(before) < max(known, band.min_epochs):
        message = "not judged: too few of the last epochs are here"
        wanted = max(known, band.min_epochs)
        return [Finding("volume", message, f"{wanted} epochs", f"{len(before)} epochs", refuses=False)]
    medians = {name: median_low(getattr(volume, name) for volume in before) for name in asdict(now)}
    large = max(now.rows, medians["rows"]) >= band.min_rows
    findings = []
    for name, value in asdict(now).items():
        low, high = -(-medians[name] * band.low_bp // BP), medians[name] * band.high_bp // BP
        if not low <= value <= high:
            side = "below" if value < low else "above"
            message = f"{name.replace('_', ' ')} are {side} the band around the last {len(before)} epochs"
            expected = f"{low} to {high}, around {medians[name]}"
            findings.append(Finding("volume", message, expected, str(value), refuses=large))
    return findings


def check_concentration(inputs: EpochInputs, allocations: pl.DataFrame, policy: Policy) -> list[Finding]:
    """Per pool, no recipient and not the young accounts together get more than the policy's shares of what was
    allocated. Accounts with one usable wallet are one recipient; an id without an account counts as young.

    It only notes where fewer than `concentration.min_recipients` are paid, and, on young accounts, in a network that
    is itself younger than they may be.
    """
    limits, epoch = policy.concentration, inputs.epoch
    paid = allocations.filter(pl.col("amount") > 0).select("pool", "account_id", pl.col("amount").cast(pl.Int128))
    accounts = add_wallets(inputs.accounts.join(paid, on="account_id", how="semi"), inputs.forbidden)
    paid = paid.join(accounts.select("account_id", "wallet", "created_at"), on="account_id", how="left").with_columns(
        recipient=pl.coalesce("wallet", "account_id"),
        young=(pl.col("created_at") > epoch.start - timedelta(days=limits.young_days)).fill_null(True),
    )
    findings = []
    for pool in POOLS:
        rows, name = paid.filter(pl.col("pool") == pool), POOL_NAMES[pool]
        total = add_up(rows["amount"])
        recipients = rows.group_by("recipient").agg(pl.col("amount").sum())
        many = recipients.height >= limits.min_recipients
        largest = recipients.sort("amount", "recipient", descending=[True, False]).head(1)
        for recipient, amount in largest.rows():
            if amount * BP > limits.recipient_bp * total:
                message = f"{name} pool: one recipient gets more than its share, {recipient}"
                expected = f"at most {limits.recipient_bp} bp of {total}"
                findings.append(Finding("concentration", message, expected, str(amount), refuses=many))
        young = add_up(rows.filter("young")["amount"])
        if young * BP > limits.young_bp * total:
            message = f"{name} pool: accounts younger than {limits.young_days} days get more than their share"
            grown = not _is_younger(epoch, limits.young_days)
            expected = f"at most {limits.young_bp} bp of {total}"
            findings.append(Finding("concentration", message, expected, str(young), refuses=many and grown))
    return findings


def _is_younger(epoch: Epoch, days: int) -> bool:
    """Whether the network began less than so many days before the epoch."""
    return epoch.number * (epoch.end_us - epoch.start_us) < days * DAY_US


def check_funded(counts: Counts, deposits: pl.DataFrame, policy: Policy) -> list[Finding]:
    """Fees of the earning rows × deposit share agree with the epoch's fee deposits within the policy's band."""
    expected = counts.earning_fee_e8 * UNITS_PER_E8 * policy.caps.deposit_bp // BP
    arrived = add_up(deposits.filter(~pl.col("funding"))["amount"])
    if abs(arrived - expected) * BP <= policy.caps.funded_band_bp * expected:
        return []
    return [
        Finding(
            "funded",
            "counted fees and deposits disagree",
            f"{expected} ± {policy.caps.funded_band_bp} bp",
            str(arrived),
        )
    ]


# Overrides


def require_overridable(given: Mapping[str, str]) -> None:
    """Raise UsageError for a gate that may not be overridden or a reason that nobody could read; `given` maps gates to
    reasons."""
    for gate, reason in given.items():
        if fault := _find_fault(gate, reason):
            raise UsageError(fault)


def _find_fault(gate: str, reason: str) -> str | None:
    if gate not in JUDGEMENT:
        return f"the gate {gate!r} cannot be overridden; those that can: {', '.join(JUDGEMENT)}"
    if not is_seen(reason) or len(reason) > LONGEST_REASON:
        return (
            f"the reason for overriding {gate} is {reason[:50]!r}; write one line of 1 to {LONGEST_REASON} letters "
            "that others can judge"
        )
    return None


def override_findings(
    findings: Iterable[Finding], given: Mapping[str, str], stored: Sequence[Override] = ()
) -> tuple[list[Finding], tuple[Override, ...]]:
    """The findings with those overridden refusing no more, and what the manifest records of them.

    `given` maps gates to reasons and passes whatever such a gate finds; an override that was `stored` before passes
    the very finding that it was given for. One that passes nothing is not recorded; a note says so.
    """
    require_overridable(given)
    known = {_identify(one): one["reason"] for one in stored if one["gate"] in JUDGEMENT}
    passed: list[Finding] = []
    records: list[Override] = []
    for finding in findings:
        record = _record(finding, "")
        reason = given.get(finding.gate) or known.get(_identify(record))
        if not finding.refuses or reason is None:
            passed.append(finding)
            continue
        records.append(_record(finding, reason))
        passed.append(replace(finding, message=f"{finding.message}; overridden: {reason}", refuses=False))
    used = {one["gate"] for one in records}
    passed += [
        Finding(gate, "there was nothing to override, and no override is recorded", "a finding", "none", refuses=False)
        for gate in given
        if gate not in used
    ]
    return passed, tuple(sorted(records, key=_identify))


def note_unrecorded(given: Mapping[str, str], recorded: Iterable[Override]) -> list[Finding]:
    """Notes on overrides that a sealed epoch does not have in its manifest: it is too late for them."""
    known = {(one.get("gate"), one.get("reason")) for one in recorded}
    message = "the epoch was sealed before, without this override; nothing was changed"
    return [
        Finding(g, message, "an epoch not sealed", r, refuses=False) for g, r in given.items() if (g, r) not in known
    ]


def check_overrides(recorded: Iterable[Override], findings: Iterable[Finding], asked: Collection[str]) -> list[Finding]:
    """What disagrees between the overrides of a manifest and the refusing findings of the gates that were `asked`
    again: overrides that no one may give, findings without an override, overrides without their finding."""
    recorded = list(recorded)
    faults, passed = [], set()
    found = {_identify(_record(f, "")): f for f in findings if f.refuses and f.gate in asked}
    for one in recorded:
        gate = one.get("gate", "")
        fault = _find_fault(gate, one.get("reason", ""))
        if fault is not None or set(one) != _RECORDED:
            faults.append(
                Finding(gate, fault or "an override of another form", "gate, reason, finding", str(dict(one)))
            )
            continue
        passed.add(_identify(one))
        if gate in asked and _identify(one) not in found:
            observed = f"{one['message']}: {one['observed']}"
            faults.append(Finding(gate, "the manifest overrides what the gate does not find", "no override", observed))
    order = [_identify(one) for one in recorded] if not faults else []
    faults += [
        Finding(later[0], "the manifest's overrides are doubled or out of order", "ascending order", str(later))
        for earlier, later in pairwise(order)
        if earlier >= later
    ]
    return [*faults, *(finding for key, finding in found.items() if key not in passed)]


def _record(finding: Finding, reason: str) -> dict[str, str]:
    return {
        "gate": finding.gate,
        "reason": reason,
        "message": finding.message,
        "expected": finding.expected,
        "observed": finding.observed,
    }


def _identify(override: Override) -> tuple[str, ...]:
    """What an override passes, without its reason; also the order in which a manifest has them."""
    return tuple(override[name] for name in ("gate", "message", "expected", "observed"))
