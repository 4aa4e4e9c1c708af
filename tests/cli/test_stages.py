"""The bar on a terminal."""

import io
import sys
from pathlib import Path

import polars as pl
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
        stages.report("epoch 0: read epoch 9 again")
        assert "read epoch 9 again" in terminal.getvalue().rpartition(" 25%")[0].rpartition(" 25%")[2]
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


def test_what_is_read_again_has_a_name_of_its_own(tmp_path: Path, sample: Path) -> None:
    """As after a change of engine: then the ids of earlier epochs are not those of this one."""
    workspace, settings = Workspace(tmp_path), RunSettings(sample, POLICIES, CALENDAR)
    list(run_epochs(workspace, settings, [0]))
    path = workspace.store.provenance(0, "counted_ids.parquet")
    pl.read_parquet(path).write_parquet(path)
    stages: list[str] = []
    list(run_epochs(workspace, settings, [1], lambda _, stage: stages.append(stage)))
    assert stages[:7] == ["read tables", *["read epoch 0 again"] * 4, "read usage", "find repeats"]
