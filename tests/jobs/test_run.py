"""Runs that are interrupted, repeated, refused: the same bytes afterwards, nothing half-written, no second effect
(I10, I13)."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from rewards.bundles.store import BundleStore
from rewards.epoch import Calendar
from rewards.errors import Disagreement, GateRefused, InputError, StorageError
from rewards.jobs.prepare import RunSettings
from rewards.jobs.run import run_epochs
from rewards.jobs.settings import POLICIES
from rewards.jobs.verify import verify_epoch
from rewards.jobs.workspace import Workspace
from rewards.ledger.store import Ledger, SealedEpoch

CALENDAR = Calendar.from_genesis(datetime(2026, 1, 7, tzinfo=UTC))

RUN = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from rewards.epoch import Calendar
from rewards.jobs.prepare import RunSettings
from rewards.jobs.run import run_epochs
from rewards.jobs.workspace import Workspace
inputs, policies, data = map(Path, sys.argv[1:])
print("ready", flush=True)
settings = RunSettings(inputs, policies, Calendar.from_genesis(datetime(2026, 1, 7, tzinfo=UTC)))
for _ in run_epochs(Workspace(data), settings, range(2)):
    pass
"""


def _run(data: Path, inputs: Path, last: int = 1) -> Workspace:
    workspace = Workspace(data)
    for _ in run_epochs(workspace, RunSettings(inputs, POLICIES, CALENDAR), range(last + 1)):
        pass
    return workspace


def _published(data: Path) -> dict[str, bytes]:
    folder = data / "epochs"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def sample(repository: Path) -> Path:
    return repository / "data" / "sample"


@pytest.fixture(scope="module")
def expected(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a run that nothing disturbed."""
    return _published(_run(tmp_path_factory.mktemp("calm"), sample).data)


def _kill_at(moment: float, sample: Path, data: Path) -> bool:
    """Start a run, kill -9 it `moment` seconds after it is ready; whether it was still running."""
    process = subprocess.Popen([sys.executable, "-c", RUN, sample, POLICIES, data], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(moment)
    killed = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return killed


def test_kill_at_ten_random_moments(sample: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    moments = random.Random(10)
    killed = sum(_kill_at(moments.uniform(0.0, 1.0), sample, tmp_path) for _ in range(10))
    assert killed > 0
    workspace = _run(tmp_path, sample)
    assert _published(tmp_path) == expected
    assert [e.number for e in workspace.ledger.sealed()] == [0, 1]
    assert all(verify_epoch(tmp_path, number).agrees for number in range(2))


STEPS = [(BundleStore, "write_provenance"), (BundleStore, "stage"), (Ledger, "seal"), (BundleStore, "place")]


@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[step for _, step in STEPS])
@pytest.mark.parametrize("persisted", [False, True], ids=["not persisted", "persisted anyway"])
def test_each_step_fails_once(
    owner: type,
    step: str,
    persisted: bool,
    sample: Path,
    expected: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step fails before it did anything, or after it did all: the next run ends in the same bytes."""
    whole: Callable[..., object] = getattr(owner, step)

    def fail(*arguments: object, **named: object) -> object:
        if persisted:
            whole(*arguments, **named)
        raise StorageError(f"{step} fails")

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, fail)
        with pytest.raises(StorageError, match=f"{step} fails"):
            _run(tmp_path, sample)
    _run(tmp_path, sample)
    assert _published(tmp_path) == expected


def test_a_lost_ledger_is_rebuilt_from_equal_bundles(sample: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    _run(tmp_path, sample)
    (tmp_path / "ledger.duckdb").unlink()
    workspace = _run(tmp_path, sample)
    assert [e.number for e in workspace.ledger.sealed()] == [0, 1]
    assert _published(tmp_path) == expected


def test_a_changed_input_never_replaces_a_sealed_epoch(sample: Path, tmp_path: Path) -> None:
    """Sealed in the ledger, its folder gone, the inputs changed since: refused, not sealed anew."""
    inputs, data = tmp_path / "inputs", tmp_path / "data"
    shutil.copytree(sample, inputs)
    _run(data, inputs, last=0)
    shutil.rmtree(data / "epochs" / "0")
    path = inputs / "usage_records" / "2026-01-07.parquet"
    pl.read_parquet(path).slice(3).write_parquet(path)
    with pytest.raises((Disagreement, GateRefused)):
        _run(data, inputs, last=0)
    assert _published(data) == {}


def test_a_second_runner_is_refused_with_the_owner(sample: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.locked(), pytest.raises(StorageError, match=f"held by process {os.getpid()}"):
        _run(tmp_path, sample)


def test_epochs_run_in_order(sample: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs the bundle of epoch 0"):
        list(run_epochs(Workspace(tmp_path), RunSettings(sample, POLICIES, CALENDAR), [1]))


def test_an_epoch_that_has_not_ended_is_refused(sample: Path, tmp_path: Path) -> None:
    """The sample holds only the first hour of epoch 2."""
    with pytest.raises(GateRefused) as refused:
        _run(tmp_path, sample, last=2)
    assert "complete" in {f.gate for f in refused.value.findings}
    assert sorted(p.name for p in (tmp_path / "epochs").iterdir()) == ["0", "1"]
    assert [e.number for e in Workspace(tmp_path).ledger.sealed()] == [0, 1]


def test_a_folder_of_another_network_is_not_taken_for_ours(sample: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    _run(ours, sample, last=0)
    shutil.copytree(ours / "epochs", theirs / "epochs")
    manifest = theirs / "epochs" / "0" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"late":52', b'"late":53'))
    with pytest.raises(Disagreement, match="manifest"):
        _run(theirs, sample, last=0)
    with pytest.raises(Disagreement, match="builds on"):
        Ledger(ours / "ledger.duckdb").seal(SealedEpoch(1, "ab" * 32, "cd" * 32, "0x" + "00" * 32), datetime.now(UTC))


def test_a_read_only_folder_is_one_clear_error(sample: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        _run(blocked / "data", sample)


def test_rows_without_arrival_do_not_close_a_day(sample: Path, tmp_path: Path) -> None:
    """The last day's file has a row without `ingested_at`; the rows of the grace, in the next day's file, are still to
    come."""
    inputs = tmp_path / "inputs"
    shutil.copytree(sample, inputs)
    assert pl.read_parquet(inputs / "usage_records" / "2026-01-08.parquet")["ingested_at"].null_count() > 0
    (inputs / "usage_records" / "2026-01-09.parquet").unlink()
    with pytest.raises(GateRefused, match="usage_records ends too early"):
        _run(tmp_path / "data", inputs)


def test_one_absurd_arrival_does_not_close_a_feed(sample: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    shutil.copytree(sample, inputs)
    (inputs / "usage_records" / "2026-01-09.parquet").unlink()
    path = inputs / "usage_records" / "2026-01-08.parquet"
    rows = pl.read_parquet(path)
    absurd = rows.head(1).with_columns(
        ingested_at=pl.lit(datetime(2999, 1, 1, tzinfo=UTC)).cast(rows.schema["ingested_at"])
    )
    pl.concat([rows, absurd]).write_parquet(path)
    with pytest.raises(GateRefused, match="usage_records ends too early"):
        _run(tmp_path / "data", inputs)


def test_an_export_without_arrival_times_closes_its_days(sample: Path, tmp_path: Path) -> None:
    """Its rows arrive at the end of their file's day, so nothing of a day can be in the next day's file."""
    inputs = tmp_path / "inputs"
    shutil.copytree(sample, inputs)
    (inputs / "usage_records" / "2026-01-09.parquet").unlink()
    for path in (inputs / "usage_records").iterdir():
        pl.read_parquet(path).drop("ingested_at").write_parquet(path)
    assert [e.number for e in _run(tmp_path / "data", inputs).ledger.sealed()] == [0, 1]


def test_another_genesis_does_not_continue_a_folder(sample: Path, tmp_path: Path) -> None:
    _run(tmp_path, sample, last=0)
    shifted = Calendar(CALENDAR.genesis_us + 3_600_000_000)
    with pytest.raises(Disagreement, match="--genesis"):
        list(run_epochs(Workspace(tmp_path), RunSettings(sample, POLICIES, shifted), [1]))


def test_the_day_after_the_epoch_is_asked_for_although_later_days_are_there(sample: Path, tmp_path: Path) -> None:
    """The last rows of epoch 0 arrive in the first minutes of 2026-01-08, in that day's file."""
    inputs = tmp_path / "inputs"
    shutil.copytree(sample, inputs)
    (inputs / "usage_records" / "2026-01-08.parquet").unlink()
    with pytest.raises(GateRefused, match="in the hour after the epoch's end"):
        _run(tmp_path / "data", inputs, last=0)


def test_a_row_whose_two_clocks_are_years_ahead_closes_nothing(sample: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    shutil.copytree(sample, inputs)
    for feed, columns in (("usage_records", ["started_at", "ingested_at"]), ("heartbeats", ["probed_at"])):
        for path in (inputs / feed).glob("2026-01-09*"):
            path.unlink()
        path = inputs / feed / "2026-01-08.parquet"
        rows = pl.read_parquet(path)
        ahead = [pl.lit(datetime(2031, 1, 1, tzinfo=UTC)).cast(rows.schema[c]).alias(c) for c in columns]
        pl.concat([rows, rows.head(1).with_columns(ahead)]).write_parquet(path)
    with pytest.raises(GateRefused, match="usage_records ends too early"):
        _run(tmp_path / "data", inputs)


def test_a_new_vault_does_not_count_repeats_of_the_old_ones_epochs(sample: Path, tmp_path: Path) -> None:
    """It starts at epoch 1 in a folder of its own: the ids of epoch 0 are read again from the inputs."""
    old = _run(tmp_path / "old", sample)
    settings = RunSettings(sample, POLICIES, CALENDAR, first_epoch=1)
    [outcome] = run_epochs(Workspace(tmp_path / "new"), settings, [1])
    assert outcome.bundle.manifest.counts == old.store.read(1).manifest.counts
    assert outcome.bundle.manifest.counts["repeated"] > 0
