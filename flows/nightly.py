"""The night: close every epoch that has ended, then, with a deployment configured, publish what is sealed.

Ledger and chain decide what is left to do, so a missed night is caught up and a second run does nothing twice.
Settings that are not parameters come from the configuration (`REWARDS_…`), keys always do.
"""

import sys
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from prefect import State, Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from flows.artifacts import show_epoch, shown_refusal
from rewards.errors import ChainError, GateRefused, InputError, RewardsError, StorageError
from rewards.jobs.chain import choose_author, lock_author, open_vault
from rewards.jobs.night import bind_run, choose_epoch, close_up_to, publish_up_to
from rewards.jobs.settings import Settings, load_settings
from rewards.jobs.workspace import Workspace

RETRY_AFTER_S: list[float] = [60, 300, 900, 1800]
FEED_MAY_BE_LATE = timedelta(hours=48)

EpochNumber = Annotated[int, Field(ge=0)]
FilePath = Annotated[str, Field(min_length=1)]


class Overdue(GateRefused):
    """A gate refused an epoch that is so old that its feed is not merely late."""


def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether waiting can help: a busy chain, disk or lock, a feed that is late. All else needs a person."""
    error: object = state.data
    # A feed that is late trips other gates too, such as `funded`; they mean nothing until it is complete.
    incomplete = isinstance(error, GateRefused) and any(finding.gate == "complete" for finding in error.findings)
    late = incomplete and not isinstance(error, Overdue)
    return late or isinstance(error, ChainError | StorageError)


@task(retries=len(RETRY_AFTER_S), retry_delay_seconds=RETRY_AFTER_S, retry_condition_fn=may_pass, cache_policy=NO_CACHE)
def close(settings: Settings, last: int, patient_since: datetime) -> list[int]:
    """Close what is due up to epoch `last`; the numbers of the epochs that this call sealed. Raises Overdue when a gate
    refuses an epoch that ended before `patient_since`."""
    workspace, bound, closed = Workspace(settings.data), bind_run(settings), []
    try:
        with shown_refusal(), closing(close_up_to(workspace, bound, last)) as outcomes:
            for outcome in outcomes:
                show_epoch(outcome)
                closed += [] if outcome.already_sealed else [outcome.bundle.manifest.epoch.number]
    except GateRefused as refused:
        newest = find_newest_sealed(settings, last)
        epoch = settings.calendar.epoch(bound.first_epoch if newest is None else newest + 1)
        if epoch.end < patient_since:
            raise Overdue(str(refused), refused.findings) from refused
        raise
    return closed


@task(retries=len(RETRY_AFTER_S), retry_delay_seconds=RETRY_AFTER_S, retry_condition_fn=may_pass, cache_policy=NO_CACHE)
def publish(settings: Settings, last: int) -> list[int]:
    """Publish what the Vault lacks up to epoch `last`; the numbers of the epochs that this call published."""
    vault, author = open_vault(settings), choose_author(settings, "publisher", log_for_owners)
    with lock_author(author, vault.chain_id), shown_refusal():
        return [done.record.epoch for done in publish_up_to(Workspace(settings.data), last, vault, author)]


def log_for_owners(path: Path, lines: list[str]) -> None:
    """What the owners of a Safe are asked to sign, in the run's log."""
    get_run_logger().warning("owners of the Safe must sign %s: %s", path, "; ".join(lines))


def find_newest_sealed(settings: Settings, last: int) -> int | None:
    """The newest sealed epoch up to `last`."""
    return max((e.number for e in Workspace(settings.data).ledger.sealed() if e.number <= last), default=None)


def read_clock() -> datetime:
    """The run's clock: its scheduled time, however late it starts."""
    # Prefect's own kind of time does not divide like the standard one.
    return datetime.fromisoformat(flow_run.scheduled_start_time.isoformat())


def find_last(epoch: int | None) -> int:
    """The epoch up to which this run closes."""
    return choose_epoch(load_settings().calendar, epoch, read_clock())


def name_run() -> str:
    """The run's name; never an error, which would leave the run pending: the flow itself raises it."""
    try:
        return f"epoch {find_last(flow_run.parameters['epoch'])}"
    except RewardsError:
        return "no epoch"


@flow(flow_run_name=name_run, log_prints=False, validate_parameters=True)
def nightly(
    epoch: EpochNumber | None = None,
    inputs: FilePath | None = None,
    data: FilePath | None = None,
    deployment: FilePath | None = None,
) -> State[None]:
    """Close, then publish, everything up to `epoch` (default: the newest that had ended at the scheduled start).

    An epoch that cannot be closed fails the run, after the ones before it are published.
    """
    settings = load_settings(inputs=inputs, data=data, deployment=deployment)
    last = find_last(epoch)
    refusal: GateRefused | InputError | None = None
    try:
        closed = close(settings, last, read_clock() - FEED_MAY_BE_LATE)
    except (GateRefused, InputError) as error:
        refusal = error
    sealed = find_newest_sealed(settings, last)
    published = publish(settings, sealed) if settings.deployment is not None and sealed is not None else []
    if refusal is not None:
        raise refusal
    summary = f"up to epoch {last}: closed {closed or 'nothing, all was sealed'}, published {published or 'nothing'}"
    get_run_logger().info(summary)
    return Completed(message=summary)


def main() -> int:
    """Run once, now; the exit status is 0 or that of the error."""
    try:
        nightly()
    except RewardsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
