"""What a night has left to do: close every epoch that has ended, publish every sealed one; and tell it as tables."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import datetime

from rewards.chain.vault import Vault
from rewards.epoch import Calendar, to_micros
from rewards.errors import Finding, UsageError
from rewards.jobs.chain import open_vault
from rewards.jobs.history import extend_history
from rewards.jobs.prepare import RunSettings, run_settings
from rewards.jobs.proposal import Author
from rewards.jobs.publish import ChainOutcome, publish_epoch
from rewards.jobs.run import EpochOutcome, run_epochs
from rewards.jobs.settings import Settings
from rewards.jobs.workspace import Workspace
from rewards.ledger.intents import Intents
from rewards.units import POOL_NAMES, POOLS, format_cxpt

Table = list[dict[str, str]]


def choose_epoch(calendar: Calendar, asked: int | None, moment: datetime) -> int:
    """The epoch that is asked for, or else the newest that has ended by `moment`; UsageError when it has not ended."""
    newest = calendar.number_at(to_micros(moment)) - 1
    if newest < 0:
        raise UsageError(f"no epoch has ended by {moment.isoformat()}; mend REWARDS_GENESIS (start of epoch 0) or wait")
    if asked is not None and asked > newest:
        raise UsageError(f"epoch {asked} has not ended by {moment.isoformat()}; the newest that has is {newest}")
    return newest if asked is None else asked


def bind_run(settings: Settings) -> RunSettings:
    """What a run needs, bound to the Vault of the deployment that is configured, if any.

    Raises UsageError naming a setting that is missing, ChainError when the chain does not answer.
    """
    return run_settings(settings, open_vault(settings) if settings.deployment else None)


def close_up_to(workspace: Workspace, run: RunSettings, last: int) -> Generator[EpochOutcome, None, None]:
    """Close every epoch up to `last` that is not sealed and in place, in order, one outcome each; with none left, look
    at `last` as it stands. Holds the directory until exhausted or closed. Raises what `run_epochs` raises."""
    with workspace.locked():  # before asking what is due: a revoked epoch is
        workspace.withdraw_revoked(run.vault)
    sealed = {e.number for e in workspace.ledger.sealed()}
    due = [n for n in range(run.first_epoch, last + 1) if n not in sealed or not workspace.store.has(n)]
    yield from run_epochs(workspace, run, due or [last])


def publish_up_to(workspace: Workspace, last: int, vault: Vault, author: Author) -> Iterator[ChainOutcome]:
    """Finish every publication that was begun, then publish the epochs up to `last` that the Vault still lacks, in
    order; what was done before is not told. History and catalogue are up to date afterwards, also when nothing was left
    to do.

    Raises what `publish_epoch` raises; a root that was revoked is not sent again.
    """
    for number in _find_begun(workspace, vault):
        outcome = publish_epoch(workspace, number, vault, author)
        if outcome.receipt is not None:
            yield outcome
    with workspace.locked():
        extend_history(workspace, vault)
        workspace.refresh_catalogue(workspace.find_published(vault))
    for number in range(vault.next_epoch(), last + 1):
        yield publish_epoch(workspace, number, vault, author)


def _find_begun(workspace: Workspace, vault: Vault) -> list[int]:
    """Epochs whose publication was signed and is not settled, as they are sealed now."""
    sealed = {(e.number, e.manifest) for e in workspace.ledger.sealed()}
    begun = Intents(workspace.ledger).open(vault.chain_id)
    return sorted({i.epoch for i in begun if i.action == "publish" and (i.epoch, i.manifest) in sealed})


def tabulate_epoch(outcome: EpochOutcome) -> Table:
    """An epoch for people, as rows `what`, `value`: root, rows by class, pools in CXPT."""
    manifest = outcome.bundle.manifest
    counts = manifest.counts
    lines = {
        "epoch": str(manifest.epoch.number),
        "window": f"{manifest.epoch.start.isoformat()} to {manifest.epoch.end.isoformat()}",
        "sealed": "before this run" if outcome.already_sealed else "now",
        "root": "0x" + manifest.root.hex(),
        "manifest": manifest.digest,
        "leaves": str(manifest.leaves),
        "rows": str(counts["rows"]),
        "rows earning": str(counts["earning"]),
        **_prefix("rows not earning", counts["not_earning"]),
        "rows repeated": str(counts["repeated"]),
        **_prefix("rows quarantined", counts["quarantined"]),
        "rows late (counted above too)": str(counts["late"]),
    }
    for pool in POOLS:
        books = manifest.totals[pool]
        amounts = {
            "pool": books.pool,
            "allocated": books.allocated,
            "credited by corrections": books.corrected,
            "withheld for debts": books.withheld,
            "claimable in all": books.claimables,
            "held": books.held,
            "carry-over": books.carry_over,
        }
        lines |= {f"{POOL_NAMES[pool]}, {name}": f"{format_cxpt(amount)} CXPT" for name, amount in amounts.items()}
    return [{"what": what, "value": value} for what, value in lines.items()]


def _prefix(name: str, counts: Mapping[str, int]) -> dict[str, str]:
    return {f"{name}, {reason}": str(count) for reason, count in counts.items()}


def tabulate_findings(findings: Sequence[Finding]) -> Table:
    """Findings as rows `gate`, `forbids the next step`, `finding`, `expected`, `observed`."""
    return [
        {
            "gate": f.gate,
            "forbids the next step": "yes" if f.refuses else "no",
            "finding": f.message,
            "expected": f.expected,
            "observed": f.observed,
        }
        for f in findings
    ]
