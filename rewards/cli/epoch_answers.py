"""How epochs are told: a run's outcomes, where epochs stand, what verifying came to; for people and as JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rewards.cli.answers import print_lines, print_table, state_amounts
from rewards.cli.failures import describe_finding, finding_line

if TYPE_CHECKING:
    from rewards.chain.vault import Vault
    from rewards.jobs.run import EpochOutcome
    from rewards.jobs.status import EpochStatus
    from rewards.jobs.verify import Verdict
    from rewards.manifest import Manifest


def describe_outcome(outcome: "EpochOutcome") -> dict[str, Any]:
    """One epoch of a run as JSON; `seconds` by stage."""
    return {
        **_describe_manifest(outcome.bundle.manifest),
        "already_sealed": outcome.already_sealed,
        "findings": [describe_finding(f) for f in outcome.findings],
        "seconds": dict(outcome.seconds),
        "folder": str(outcome.bundle.folder),
    }


def print_outcome(outcome: "EpochOutcome") -> None:
    """One epoch of a run for people."""
    from rewards.units import POOL_NAMES, POOLS, format_cxpt

    manifest = outcome.bundle.manifest
    counts, root = manifest.counts, f"root 0x{manifest.root.hex()}"
    notes = [f"  note: {finding_line(f)}" for f in outcome.findings]
    if outcome.already_sealed:
        print_lines([f"epoch {manifest.epoch.number} already sealed, left alone: {root}", *notes])
        return
    earned = ", ".join(f"{format_cxpt(manifest.totals[p].allocated)} CXPT {POOL_NAMES[p]}s" for p in POOLS)
    bound = (
        f"Vault {manifest.chain.vault} on chain {manifest.chain.chain_id}" if manifest.chain else "bound to no chain"
    )
    rows = (
        f"{counts['rows']} rows: {counts['earning']} earning, {_sum(counts['not_earning'])} not earning, "
        f"{counts['repeated']} repeated, {_sum(counts['quarantined'])} quarantined; {counts['late']} late"
    )
    print_lines(
        [
            f"epoch {manifest.epoch.number} sealed: {root}, {manifest.leaves} leaves",
            f"  {rows}",
            f"  earned {earned}; {bound}",
            *_tell_corrections(manifest),
            *notes,
        ]
    )


def _tell_corrections(manifest: "Manifest") -> list[str]:
    """A line where corrections credited something or debts were paid."""
    from rewards.units import POOL_NAMES, POOLS, format_cxpt

    told = [
        f"{format_cxpt(units)} CXPT {POOL_NAMES[pool]} {what}"
        for pool in POOLS
        for what, units in (
            ("credited by corrections", manifest.totals[pool].corrected),
            ("withheld for debts", manifest.totals[pool].withheld),
        )
        if units
    ]
    return [f"  {', '.join(told)}"] if told else []


def _sum(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def _describe_manifest(manifest: "Manifest") -> dict[str, Any]:
    """An epoch as JSON for programs; the manifest itself stays what its digest says."""
    from rewards.units import POOL_NAMES

    chain = manifest.chain
    return {
        "epoch": manifest.epoch.number,
        "window": {"start": manifest.epoch.start.isoformat(), "end": manifest.epoch.end.isoformat()},
        "manifest": manifest.digest,
        "root": "0x" + manifest.root.hex(),
        "leaves": manifest.leaves,
        "counts": dict(manifest.counts),
        "pools": {POOL_NAMES[pool]: state_amounts(**asdict(books)) for pool, books in manifest.totals.items()},
        "chain": {"chain_id": chain.chain_id, "vault": chain.vault, "token": chain.token} if chain else None,
    }


def describe_vault(vault: "Vault | None") -> dict[str, Any] | None:
    """Where a Vault stands, as JSON; null without one. Raises ChainError."""
    if vault is None:
        return None
    return {
        "chain_id": vault.chain_id,
        "address": vault.address,
        "next_epoch": vault.next_epoch(),
        "pending_epoch": vault.pending_epoch(),
        "latest_active_epoch": vault.latest_active_epoch(),
    }


def describe_status(status: "EpochStatus") -> dict[str, Any]:
    """An epoch and its state as JSON."""
    known = _describe_manifest(status.manifest) if status.manifest else {"epoch": status.number}
    return {**known, "state": status.state, "findings": [describe_finding(f) for f in status.findings]}


def print_status(epochs: "Iterable[EpochStatus]") -> None:
    """Epochs as a table, their findings below it."""
    from rewards.units import POOLS, format_cxpt

    rows: list[tuple[str, ...]] = []
    notes = []
    for epoch in epochs:
        manifest, found = epoch.manifest, str(len(epoch.findings))
        notes += [f"epoch {epoch.number}: {finding_line(f)}" for f in epoch.findings]
        if manifest is None:
            rows.append((str(epoch.number), "", epoch.state, "", "", "", "", "", found))
            continue
        window = f"{manifest.epoch.start:%Y-%m-%d %H:%M} to {manifest.epoch.end:%Y-%m-%d %H:%M}"
        counts, root = manifest.counts, manifest.root.hex()
        earned = (format_cxpt(manifest.totals[pool].allocated) for pool in POOLS)
        rows.append(
            (
                str(epoch.number),
                window,
                epoch.state,
                f"{counts['rows']:,}",
                f"{_sum(counts['quarantined']):,}",
                *earned,
                f"0x{root[:8]}…{root[-8:]}",
                found,
            )
        )
    sides = {"epoch": "right", "window (UTC)": "left", "state": "left", "rows": "right", "quarantined": "right"}
    sides |= {"providers (CXPT)": "right", "users (CXPT)": "right", "root": "left", "findings": "right"}
    print_table(sides, rows)
    print_lines(notes)


def describe_verdict(verdict: "Verdict") -> dict[str, Any]:
    """A verdict as JSON; manifest and root are null where the manifest cannot be read."""
    return {
        "epoch": verdict.epoch,
        "agrees": verdict.agrees,
        "manifest": verdict.manifest or None,
        "root": "0x" + verdict.root.hex() if verdict.root else None,
        "checks": [{"name": check.name, "problem": check.problem} for check in verdict.checks],
        "overrides": [dict(one) for one in verdict.overrides],
    }


def tell_overrides(verdict: "Verdict") -> list[str]:
    """A line for each override of a manifest; one of another form is a failed check."""
    return [
        f"· {one.get('gate')} overridden: {one.get('reason')} ({one.get('message')}: expected {one.get('expected')}, "
        f"observed {one.get('observed')})"
        for one in verdict.overrides
    ]
