"""What the operator sees: every epoch, a damaged one among them."""

from pathlib import Path

from rewards.epoch import Calendar
from rewards.jobs.prepare import RunSettings
from rewards.jobs.run import run_epochs
from rewards.jobs.settings import GENESIS, POLICIES
from rewards.jobs.status import read_status
from rewards.jobs.workspace import Workspace


def test_a_damaged_epoch_does_not_hide_the_others(repository: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    settings = RunSettings(repository / "data" / "sample", POLICIES, Calendar.from_genesis(GENESIS))
    assert len(list(run_epochs(workspace, settings, range(2)))) == 2
    manifest = tmp_path / "epochs" / "0" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-1])
    damaged, sound = read_status(workspace)
    assert (damaged.state, damaged.manifest) == ("damaged", None)
    assert str(manifest.parent) in damaged.findings[-1].message
    assert (sound.state, sound.number) == ("sealed", 1)
