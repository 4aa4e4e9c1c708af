"""--override by command: a refusal is passed with a reason, shown by status; what cannot be overridden is told."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from tests.bundles.forge import edit_table
from tests.cli.conftest import Rewards

REASON = "a gift = no fee; told by its payer"


@pytest.fixture
def unfunded(sample: Path, tmp_path: Path) -> Path:
    """The sample without the fees of its days."""
    shutil.copytree(sample, tmp_path / "inputs")
    edit_table(tmp_path / "inputs" / "deposits.parquet", lambda frame: frame.with_columns(funding=pl.lit(True)))
    return tmp_path / "inputs"


def test_a_refusal_is_passed_with_a_reason_and_stays_visible(rewards: Rewards, unfunded: Path, tmp_path: Path) -> None:
    run = ("run", "--inputs", unfunded, "--data", tmp_path / "data", "--epochs", "0")
    refused = rewards(*run)
    assert refused.status == 3 and "funded: " in refused.err
    both = ("--override", f"funded={REASON}", "--override", "quality=a day of repairs")
    sealed = rewards(*run, *both, "--json")
    assert sealed.status == 0, sealed.err
    notes = {f["gate"]: f for f in sealed.document["epochs"][0]["findings"] if f["gate"] in ("funded", "quality")}
    assert f"overridden: {REASON}" in notes["funded"]["message"] and not notes["funded"]["refuses"]
    assert "nothing to override" in notes["quality"]["message"]
    manifest = json.loads((tmp_path / "data" / "epochs" / "0" / "manifest.json").read_text())
    assert [(o["gate"], o["reason"]) for o in manifest["overrides"]] == [("funded", REASON)]
    status = rewards("status", "--data", tmp_path / "data")
    assert REASON in status.out and "docs/runbook.md#funded" in status.out
    again = rewards(*run, "--override", "funded=another")
    assert again.status == 0 and "sealed before, without this override" in again.out
    verified = rewards("verify", 0, "--data", tmp_path / "data")
    assert verified.status == 0 and f"· funded overridden: {REASON} (counted fees and deposits disagree" in verified.out
    document = rewards("verify", 0, "--data", tmp_path / "data", "--json").document
    assert document["overrides"] == manifest["overrides"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["conserve=trust me"], "'conserve' cannot be overridden; those that can: quality, volume, concentration"),
        (["reference=trust me"], "'reference' cannot be overridden"),
        (["chain state=trust me"], "'chain state' cannot be overridden"),
        (["funded"], "'funded' gives no reason; write GATE=REASON"),
        (["funded="], "the reason for overriding funded is ''"),
        (["funded=a", "funded=b"], "names the gate 'funded' twice"),
    ],
)
@pytest.mark.parametrize("command", ["run", "attest"])
def test_what_cannot_be_overridden_is_told(
    rewards: Rewards, sample: Path, tmp_path: Path, command: str, given: list[str], told: str
) -> None:
    arguments = ["run", "--epochs", "0"] if command == "run" else ["attest", "0"]
    overrides = [part for text in given for part in ("--override", text)]
    said = rewards(*arguments, "--inputs", sample, "--data", tmp_path / "data", *overrides)
    assert said.status == 2 and told in said.error
    assert not (tmp_path / "data").exists()


def test_a_range_of_epochs_is_not_overridden(rewards: Rewards, sample: Path, tmp_path: Path) -> None:
    run = ("run", "--inputs", sample, "--data", tmp_path / "data", "--override", "funded=a gift")
    said = rewards(*run, "--epochs", "0..1")
    assert said.status == 2 and "an override is for one epoch" in said.error
