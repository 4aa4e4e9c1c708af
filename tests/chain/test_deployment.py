"""The record of a deployment, and that nothing half-written is ever read."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rewards.chain.deployment import (
    ContractRecord,
    Deployment,
    deployment_path,
    read_deployment,
    write_deployment,
    write_durably,
)
from rewards.errors import UsageError
from rewards.units import Address

RECORD = Deployment(
    chain_id=9990,
    token=Address("0x" + "01" * 20),
    vault=Address("0x" + "02" * 20),
    deployed_block=17,
    block_hash=bytes(range(32)),
    first_epoch=4,
    admin=Address("0x" + "03" * 20),
)


FULL = replace(
    RECORD,
    network="agung",
    timelock=RECORD.admin,
    subscription_manager=Address("0x" + "04" * 20),
    usage_escrow=Address("0x" + "05" * 20),
    settler=Address("0x" + "06" * 20),
    supply_transaction="0x" + "07" * 32,
    contracts={
        "UsageEscrow": ContractRecord(
            address=Address("0x" + "05" * 20),
            arguments={"owner": "0x" + "03" * 20, "plans": [{"price": "1"}]},
            block=19,
            block_hash="0x" + "08" * 32,
            transaction="0x" + "09" * 32,
            bytecode_sha256="0a" * 32,
        )
    },
    asked={"network": "agung", "publisher": ["0x" + "0b" * 20]},
)


def test_full_record_survives_the_file(tmp_path: Path) -> None:
    write_deployment(FULL, tmp_path / "9990.json")
    assert read_deployment(tmp_path / "9990.json") == FULL
    assert "null" not in (tmp_path / "9990.json").read_text()
    assert isinstance(hash(FULL), int)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block": -1}, "block of UsageEscrow is -1"),
        ({"block_hash": "0x12"}, "not a 32-byte hash: '0x12'"),
        ({"address": "0x12"}, "not a usable address: '0x12'"),
        ({"arguments": 3}, "arguments of UsageEscrow is 3; give an object"),
        ({"more": 1}, "UsageEscrow needs exactly address, arguments, block"),
    ],
)
def test_wrong_field_of_a_contract_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    known = json.loads(FULL.to_json())
    known["contracts"]["UsageEscrow"] |= change
    (tmp_path / "record.json").write_text(json.dumps(known))
    with pytest.raises(UsageError, match=message):
        read_deployment(tmp_path / "record.json")


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
        ({"network": 7}, "network is 7; give a text"),
        ({"supply_transaction": "0xzz"}, "not a 32-byte hash: '0xzz'"),
        ({"contracts": []}, r"contracts is \[\]; give an object"),
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


def test_record_is_read_without_web3(tmp_path: Path) -> None:
    code = "import sys, rewards.chain.deployment; print('web3' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_writing_leaves_every_other_file_alone(tmp_path: Path) -> None:
    others = [tmp_path / f"r.json{ending}" for ending in (".new", ".tmp", ".partial")]
    for other in others:
        other.write_text("another")
    record = tmp_path / "r.json"
    write_durably(record, "first")
    write_durably(record, "second")
    assert (record.read_text(), record.stat().st_mode & 0o777) == ("second", 0o644)
    folder = tmp_path / "folder.json"
    (folder / "full").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_durably(folder, "third")
    assert {other.read_text() for other in others} == {"another"}
    assert sorted(tmp_path.iterdir()) == sorted([*others, record, folder])
