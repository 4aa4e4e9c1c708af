"""The record of a deployment, and that nothing half-written is ever read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rewards.chain.deployment import Deployment, deployment_path, read_deployment, write_deployment
from rewards.errors import UsageError
from rewards.jobs import chain as jobs
from rewards.jobs.settings import Settings
from rewards.units import Address
from tests.chain.networks import Network

RECORD = Deployment(
    chain_id=9990,
    token=Address("0x" + "01" * 20),
    vault=Address("0x" + "02" * 20),
    deployed_block=17,
    block_hash=bytes(range(32)),
    first_epoch=4,
    admin=Address("0x" + "03" * 20),
)


def test_record_survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deployments" / "9990.json"
    write_deployment(RECORD, path)
    assert read_deployment(path) == RECORD
    assert [file.name for file in path.parent.iterdir()] == ["9990.json"]
    assert deployment_path(9990).parts[-3:] == ("contracts", "deployments", "9990.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vault": "0x12"}, "not a usable address: '0x12'"),
        ({"chain_id": "9990"}, "chain_id is '9990'; give a whole number"),
        ({"deployed_block": True}, "deployed_block is True"),
        ({"deployed_block": -1}, "deployed_block is -1"),
        ({"block_hash": "0x00"}, "not a 32-byte hash"),
        ({"extra": 1}, "needs exactly"),
    ],
)
def test_wrong_field_is_named_with_the_file(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(json.loads(RECORD.to_json()) | change))
    with pytest.raises(UsageError, match=message) as caught:
        read_deployment(path)
    assert str(path) in str(caught.value)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the deployment .*none\.json"):
        read_deployment(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text(RECORD.to_json()[:50])
    with pytest.raises(UsageError, match=r"broken\.json: not a deployment record"):
        read_deployment(tmp_path / "broken.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the deployment") as caught:
        write_deployment(RECORD, tmp_path / "file" / "x.json")
    text = str(caught.value)
    assert Deployment.from_json(text[text.index("{") :]) == RECORD  # a Vault whose address is lost is money lost


def test_a_folder_that_cannot_be_written_costs_nothing(
    embedded: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "open_chain", lambda _: embedded.chain)
    monkeypatch.setattr(jobs, "open_signer", lambda _, __: embedded.signers[0])
    names = ("admin", "publisher", "attester", "guardian", "treasurer")
    roles = {name: [signer.address] for name, signer in zip(names, embedded.signers[1:6], strict=True)}
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="give a folder that can be written"):
        jobs.deploy(Settings(), roles, None, tmp_path / "file" / "x.json")
    assert embedded.chain.count_transactions(embedded.signers[0].address, "latest") == 0
    deployment, path = jobs.deploy(Settings(poll_seconds=0.001), roles, None, tmp_path / "deep" / "x.json")
    assert read_deployment(path) == deployment
    assert [file.name for file in path.parent.iterdir()] == ["x.json"]


def test_record_is_read_without_web3(tmp_path: Path) -> None:
    code = "import sys, rewards.chain.deployment; print('web3' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
