"""What a run leaves to look at in Prefect: each epoch as a table, and what its gates found."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.artifacts import create_table_artifact

from rewards.errors import GateRefused
from rewards.jobs.night import tabulate_epoch, tabulate_findings
from rewards.jobs.run import EpochOutcome


def show_epoch(outcome: EpochOutcome) -> None:
    """Artifact `epoch`; when it was sealed just now, `findings` too, also with no rows."""
    number = outcome.bundle.manifest.epoch.number
    create_table_artifact(tabulate_epoch(outcome), key="epoch", description=f"epoch {number}")
    if not outcome.already_sealed:
        found = f"epoch {number}: {len(outcome.findings)} finding(s), none forbids the next step"
        create_table_artifact(tabulate_findings(outcome.findings), key="findings", description=found)


@contextmanager
def shown_refusal() -> Iterator[None]:
    """When a gate refuses inside, leave what it found as artifact `findings`; the error goes on."""
    try:
        yield
    except GateRefused as refused:
        create_table_artifact(tabulate_findings(refused.findings), key="findings", description=str(refused))
        raise
