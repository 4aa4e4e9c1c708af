"""A process dies exactly where it is told, and what it did before is there."""

import subprocess
from pathlib import Path

import pytest

from tests.faults.process import AFTER, ANY_STEP, BEFORE, KillPoint, kill_randomly, list_steps, run_until

WORK = "tests.faults.mortal:work"
STEPS = "tests.faults.mortal_steps"
STAGE, PLACE = f"{STEPS}.stage", f"{STEPS}.Store.place"
ALL = [STAGE, PLACE, f"{STEPS}.Store.describe", f"{STEPS}.finish"]


def read(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_undisturbed_run_lists_every_point_in_order(tmp_path: Path) -> None:
    ended = list_steps(WORK, ALL, arguments=[str(tmp_path), 2])
    assert ended.steps == ["stage", "place", "stage", "place", "describe", "finish"]
    assert ended.points[:6] == [
        KillPoint(STAGE, BEFORE, 1),
        KillPoint(STAGE, AFTER, 1),
        KillPoint(PLACE, BEFORE, 1),
        KillPoint(PLACE, AFTER, 1),
        KillPoint(STAGE, BEFORE, 2),
        KillPoint(STAGE, AFTER, 2),
    ]
    assert (ended.status, ended.out, ended.err) == (0, "done 2 rounds finished\n", "")


@pytest.mark.parametrize(
    ("point", "left"),
    [
        (KillPoint(STAGE), []),
        (KillPoint(STAGE, AFTER), ["staged 0"]),
        (KillPoint(PLACE, BEFORE, 2), ["staged 0", "placed 0", "staged 1"]),
        (KillPoint(PLACE, AFTER, 2), ["staged 0", "placed 0", "staged 1", "placed 1"]),
    ],
    ids=str,
)
def test_process_dies_at_the_point(tmp_path: Path, point: KillPoint, left: list[str]) -> None:
    ended = run_until(WORK, point, arguments=[str(tmp_path), 3])
    assert ended.was_killed
    assert ended.points[-1] == point
    assert read(tmp_path) == left
    assert ended.out == ""


def test_every_point_of_a_list_can_be_died_at(tmp_path: Path) -> None:
    points = list_steps(WORK, ALL, arguments=[str(tmp_path), 1]).points
    assert len(points) == 8
    for number, point in enumerate(points, 1):
        for kill in (point, KillPoint(ANY_STEP, number=number)):
            ended = run_until(WORK, kill, ALL, arguments=[str(tmp_path), 1])
            assert ended.was_killed and ended.died_at(kill)
            assert ended.points == points[:number]


def test_a_child_that_ends_before_its_point_has_not_died_at_it(tmp_path: Path) -> None:
    beyond = KillPoint(ANY_STEP, number=9)
    ended = run_until(WORK, beyond, ALL, arguments=[str(tmp_path), 1])
    assert ended.status == 0 and not ended.died_at(beyond) and not ended.died_at(None)


def test_point_that_is_not_reached_kills_nothing(tmp_path: Path) -> None:
    ended = run_until(WORK, KillPoint(PLACE, AFTER, 4), arguments=[str(tmp_path), 3])
    assert (ended.status, ended.was_killed) == (0, False)


def test_step_that_fails_has_no_after(tmp_path: Path) -> None:
    ended = run_until("tests.faults.mortal:fail", KillPoint(PLACE, AFTER), arguments=[str(tmp_path)])
    assert ended.status == 1
    assert ended.points == [KillPoint(PLACE, BEFORE, 1)]
    assert "FileNotFoundError" in ended.err


def test_undisturbed_run_must_succeed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended with 1: Traceback"):
        list_steps("tests.faults.mortal:fail", [PLACE], arguments=[str(tmp_path)])


@pytest.mark.parametrize("step", ["tests.faults.no_such_module.function", f"{STEPS}.no_such_function"])
def test_step_that_does_not_exist_is_told(tmp_path: Path, step: str) -> None:
    ended = run_until(WORK, KillPoint(step), arguments=[str(tmp_path), 1])
    assert ended.status == 1
    assert "no_such" in ended.err
    assert read(tmp_path) == []


def test_command_runs_as_the_installed_one(tmp_path: Path) -> None:
    step = "rewards.cli.run_command"
    ended = run_until(["rewards", "--help"], steps=[step], env={"COLUMNS": "100"}, cwd=tmp_path)
    assert ended.status == 0
    assert "Usage: rewards" in ended.out
    assert [point.when for point in ended.points] == [BEFORE, AFTER]
    wrong = run_until(["rewards", "no-such-command"], cwd=tmp_path)
    assert wrong.status == 2
    assert run_until(["rewards", "--help"], KillPoint(step), cwd=tmp_path).was_killed


def test_random_kill_ends_what_would_not_end(tmp_path: Path) -> None:
    ended = kill_randomly(
        "tests.faults.mortal:work_slowly", seed=3, max_seconds=0.5, steps=[PLACE], arguments=[str(tmp_path)]
    )
    assert ended.was_killed
    placed = len(read(tmp_path))
    begun, over = (sum(point.when == when for point in ended.points) for when in (BEFORE, AFTER))
    assert over <= placed <= begun


def test_random_kill_may_come_too_late(tmp_path: Path) -> None:
    ended = kill_randomly(WORK, seed=1, max_seconds=1000, arguments=[str(tmp_path), 1])
    assert (ended.status, ended.was_killed) == (0, False)


def test_process_that_does_not_end_is_killed(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_until("tests.faults.mortal:work_slowly", arguments=[str(tmp_path)], timeout_s=0.3)
    placed = read(tmp_path)
    assert read(tmp_path) == placed
