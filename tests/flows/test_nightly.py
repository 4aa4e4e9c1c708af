"""The nightly flow on the sample: closes, shows, tries again where that helps, fails when a gate refuses (I10, I13)."""

import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from prefect import State, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.runtime import flow_run
from prefect.types import DateTime

from flows import nightly
from rewards.errors import (
    ChainError,
    Disagreement,
    Finding,
    GateRefused,
    InputError,
    RewardsError,
    StorageError,
    UsageError,
)
from rewards.jobs.night import bind_run
from rewards.jobs.prepare import RunSettings
from rewards.jobs.settings import Settings
from rewards.jobs.workspace import Workspace

USAGE_OF_EPOCH_1 = "usage_records/2026-01-08.parquet"
Rows = list[dict[str, str]]


def run(**parameters: object) -> State[Any]:
    """The final state of a run with these parameters."""
    given = {name: str(value) if isinstance(value, Path) else value for name, value in parameters.items()}
    state: State[Any] = nightly.nightly(**given, return_state=True)
    return state


def read_newest_run() -> tuple[FlowRun, list[tuple[str, str, Rows]]]:
    """The newest run, and its tables, oldest first, as (key, description, rows)."""
    with get_client(sync_client=True) as client:
        newest = max(client.read_flow_runs(), key=lambda found: str(found.created))
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[newest.id]))
        artifacts = sorted(client.read_artifacts(artifact_filter=wanted), key=lambda a: str(a.created))
    return newest, [(str(a.key), str(a.description), json.loads(str(a.data))) for a in artifacts if a.type == "table"]


def sealed(data: Path) -> dict[int, str]:
    """Root by number of every sealed epoch."""
    return {epoch.number: epoch.root for epoch in Workspace(data).ledger.sealed()}


def on_attempt(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> list[int]:
    """Does something as attempt `number` (1 first) at closing begins; gives the list of attempts, which grows."""
    attempts: list[int] = []

    def bind(settings: Settings) -> RunSettings:
        attempts.append(len(attempts) + 1)
        if attempts[-1] == number:
            act()
        return bind_run(settings)

    monkeypatch.setattr(nightly, "bind_run", bind)
    return attempts


@pytest.fixture
def late_sample(night: None, sample: Path, tmp_path: Path) -> Path:
    """The sample before the usage of epoch 1 has arrived; epoch 0 is closed in `data` beside it."""
    assert run(epoch=0, inputs=sample, data=tmp_path / "data").is_completed()
    shutil.copytree(sample, tmp_path / "late")
    (tmp_path / "late" / USAGE_OF_EPOCH_1).unlink()
    return tmp_path / "late"


@pytest.mark.usefixtures("night")
def test_closes_every_epoch_that_has_ended_and_a_second_run_nothing(sample: Path, tmp_path: Path) -> None:
    state = run(inputs=sample, data=tmp_path)
    assert state.is_completed(), state.message
    assert state.message == "up to epoch 1: closed [0, 1], published nothing"
    roots = sealed(tmp_path)
    assert list(roots) == [0, 1]
    newest, artifacts = read_newest_run()
    assert newest.name == "epoch 1"
    assert [key for key, _, _ in artifacts] == ["epoch", "findings"] * 2
    for number, (_, description, rows) in enumerate(artifacts[::2]):
        told = {row["what"]: row["value"] for row in rows}
        manifest = Workspace(tmp_path).store.read(number).manifest
        assert description == f"epoch {number}"
        assert (told["root"], told["manifest"]) == (roots[number], manifest.digest)
        classes = [int(value) for what, value in told.items() if what.startswith("rows ") and "above" not in what]
        assert sum(classes) == int(told["rows"]) == manifest.counts["rows"]
        assert told["provider, pool"].endswith(" CXPT")
        assert "user, carry-over" in told
    assert [row["gate"] for row in artifacts[1][2]] == ["volume", "wallet"]

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "epochs").rglob("*")}
    state = run(inputs=sample, data=tmp_path)
    assert state.message == "up to epoch 1: closed nothing, all was sealed, published nothing"
    _, artifacts = read_newest_run()
    assert [(key, description) for key, description, _ in artifacts] == [("epoch", "epoch 1")]
    assert {"what": "sealed", "value": "before this run"} in artifacts[0][2]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "epochs").rglob("*")} == before


@pytest.mark.usefixtures("night")
def test_missed_night_is_caught_up(sample: Path, tmp_path: Path) -> None:
    first = run(epoch=0, inputs=sample, data=tmp_path)
    assert first.message == "up to epoch 0: closed [0], published nothing"
    assert run(inputs=sample, data=tmp_path).message == "up to epoch 1: closed [1], published nothing"


def test_refusing_gate_fails_the_run_and_its_findings_are_shown(
    late_sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = on_attempt(monkeypatch, 0, lambda: None)
    monkeypatch.setenv("REWARDS_INPUTS", str(late_sample))
    monkeypatch.setenv("REWARDS_DATA", str(tmp_path / "data"))
    assert nightly.main() == GateRefused.exit_code
    assert "sealing epoch 1 refused" in capsys.readouterr().err
    assert len(attempts) == 1 + len(nightly.RETRY_AFTER_S)
    assert list(sealed(tmp_path / "data")) == [0]
    newest, artifacts = read_newest_run()
    assert newest.state is not None
    assert newest.state.is_failed()
    key, description, rows = artifacts[-1]
    assert key == "findings"
    assert description.startswith("sealing epoch 1 refused")
    assert {row["gate"] for row in rows} == {"complete", "funded"}
    assert {row["forbids the next step"] for row in rows} == {"yes"}


def test_late_feed_is_waited_for(
    late_sample: Path, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = on_attempt(
        monkeypatch, 3, lambda: shutil.copy(sample / USAGE_OF_EPOCH_1, late_sample / USAGE_OF_EPOCH_1)
    )
    assert run(inputs=late_sample, data=tmp_path / "data").is_completed()
    assert attempts == [1, 2, 3]
    assert list(sealed(tmp_path / "data")) == [0, 1]


@pytest.mark.parametrize(("days", "tries"), [(2, 1 + len(nightly.RETRY_AFTER_S)), (3, 1)])
def test_feed_that_is_days_late_is_not_waited_for(
    late_sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, tries: int
) -> None:
    """Epoch 1 ended with 8 January."""
    monkeypatch.setitem(vars(flow_run), "scheduled_start_time", DateTime(2026, 1, 8 + days, 23, 59, tzinfo=UTC))
    attempts = on_attempt(monkeypatch, 0, lambda: None)
    with pytest.raises(GateRefused, match="sealing epoch 1 refused"):
        nightly.nightly(epoch=1, inputs=str(late_sample), data=str(tmp_path / "data"))
    assert len(attempts) == tries


@pytest.mark.usefixtures("night")
def test_run_beside_another_waits_for_it(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as other:
        other.enter_context(Workspace(tmp_path).locked())
        attempts = on_attempt(monkeypatch, 2, other.close)
        assert run(epoch=0, inputs=sample, data=tmp_path).is_completed()
    assert attempts == [1, 2]


@pytest.mark.usefixtures("night")
def test_run_beside_another_that_does_not_end_fails_and_does_nothing(sample: Path, tmp_path: Path) -> None:
    with Workspace(tmp_path).locked():
        state = run(inputs=sample, data=tmp_path)
    assert state.is_failed()
    assert f"is held by process {os.getpid()}" in str(state.message)
    assert sealed(tmp_path) == {}


@pytest.mark.usefixtures("night")
def test_what_a_person_must_mend_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = on_attempt(monkeypatch, 0, lambda: None)
    monkeypatch.setenv("REWARDS_INPUTS", str(tmp_path / "nowhere"))
    assert nightly.main() == InputError.exit_code
    assert attempts == [1]
    assert f"no folder {tmp_path / 'nowhere'}" in capsys.readouterr().err


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epoch": -1}, "epoch: Input should be greater than or equal to 0"),
        ({"epoch": "one"}, "epoch: Input should be a valid integer"),
        ({"inputs": ""}, "inputs: String should have at least 1 character"),
        ({"epoch": 2}, "epoch 2 has not ended by 2026-01-09T00:45:00+00:00; the newest that has is 1"),
        ({}, "no folder of inputs is named; give --inputs or set REWARDS_INPUTS"),
    ],
)
def test_wrong_parameters_fail_the_run_by_name(parameters: dict[str, object], message: str, tmp_path: Path) -> None:
    state = run(data=tmp_path, **parameters)
    assert state.is_failed()
    assert message in str(state.message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("night")
def test_nothing_is_asked_outside_this_machine(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    connect = socket.socket.connect

    def watch(self: socket.socket, address: Any) -> None:
        asked.append(str(address[0] if isinstance(address, tuple) else address))
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watch)
    assert run(epoch=0, inputs=sample, data=tmp_path).is_completed()
    assert set(asked) == {"127.0.0.1"}


@pytest.mark.usefixtures("server")
def test_module_run_as_a_program_exits_with_the_status_of_the_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REWARDS_GENESIS", "2999-01-01T00:00:00Z")
    monkeypatch.delitem(sys.modules, "flows.nightly")
    with pytest.raises(SystemExit) as left:
        runpy.run_module("flows.nightly", run_name="__main__")
    assert left.value.code == UsageError.exit_code
    assert "no epoch has ended by " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (ChainError("the node does not answer"), True),
        (StorageError("held by process 1"), True),
        (GateRefused("", [Finding("complete", "", "", "")]), True),
        (GateRefused("", [Finding("funded", "", "", ""), Finding("complete", "", "", "")]), True),
        (GateRefused("", [Finding("funded", "", "", "")]), False),
        (GateRefused("", []), False),
        (nightly.Overdue("", [Finding("complete", "", "", "")]), False),
        (InputError("a column is missing"), False),
        (Disagreement("sealed as something else"), False),
        (UsageError("no key"), False),
        (RewardsError("any other"), False),
        (KeyError("a fault of ours"), False),
    ],
)
def test_only_what_passes_by_itself_is_tried_again(error: Exception, helps: bool) -> None:
    task_run: Any = None
    failed: State[Any] = State(type=StateType.FAILED, data=error)
    assert nightly.may_pass(nightly.close, task_run, failed) is helps


def test_importing_the_flows_keeps_prefect_quiet(repository: Path) -> None:
    loud = {name: value for name, value in os.environ.items() if name not in {"DO_NOT_TRACK", "CI"}}
    loud.pop("PREFECT_SERVER_ANALYTICS_ENABLED", None)
    show = "import flows, os; print(os.environ['DO_NOT_TRACK'], os.environ['PREFECT_SERVER_ANALYTICS_ENABLED'])"
    done = subprocess.run(
        [sys.executable, "-c", show], cwd=repository, env=loud, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "false"]
