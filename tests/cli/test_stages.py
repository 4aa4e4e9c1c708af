"""The bar on a terminal."""

import io
import sys
from pathlib import Path

import pytest

from rewards.cli.stages import Stages
from rewards.jobs.prepare import RunSettings, share_before
from rewards.jobs.run import run_epochs
from rewards.jobs.settings import POLICIES
from rewards.jobs.workspace import Workspace
from tests.worlds import CALENDAR


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watch(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setenv("TERM", "xterm")
    return found


def test_a_bar_stands_where_the_work_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)
    with Stages(2, verbose=False) as stages:
        stages.report("epoch 0: roll up", 0.5)
        assert "epoch 0: roll up" in terminal.getvalue() and " 25%" in terminal.getvalue()
        stages.finish_part()
        stages.report("epoch 1: roll up", 0.5)
        assert " 75%" in terminal.getvalue()


def test_a_bar_of_one_part_without_shares_tells_no_percentage(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)
    with Stages(1, verbose=False) as stages:
        stages.report("ask the chain")
    assert "ask the chain" in terminal.getvalue() and "%" not in terminal.getvalue()


def test_every_stage_of_a_run_has_its_place(tmp_path: Path, sample: Path) -> None:
    stages: list[str] = []
    settings = RunSettings(sample, POLICIES, CALENDAR)
    list(run_epochs(Workspace(tmp_path), settings, [0], lambda _, stage: stages.append(stage)))
    shares = [share_before(stage) for stage in stages]
    assert None not in shares and shares == sorted(set(shares)), dict(zip(stages, shares, strict=True))
    assert shares[0] == 0 and share_before("start Spark") is None
