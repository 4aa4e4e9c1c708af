"""Two thousand steps of publishing, broken in every way at once: a state machine against a real node."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.machine import PublishingMachine
from tests.faults.world import Ground

PARTS, STORIES, STEPS = 4, 7, 75
TALLY: Counter[str] = Counter()

STORY = settings(
    deadline=None,
    max_examples=STORIES,
    stateful_step_count=STEPS,
    phases=(Phase.reuse, Phase.generate),
    report_multiple_bugs=False,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


def _tell_stories(ground: Ground, folder: Path, name: str, chosen: settings) -> None:
    """The name is a part of what hypothesis seeds with where it is to do the same each time."""
    machine = type(name, (PublishingMachine,), {"ground": ground, "folder": folder, "tally": TALLY})
    run_state_machine_as_test(machine, settings=chosen)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_both_epochs_are_published_once(ground: Ground, tmp_path: Path, part: int) -> None:
    _tell_stories(ground, tmp_path, f"Stories{part}", STORY)


def test_at_least_two_thousand_steps_were_made() -> None:
    if TALLY:  # alone it has nothing to count
        assert TALLY["steps"] >= 2000
