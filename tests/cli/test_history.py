"""`rewards history`: entries and checkpoint, proofs for strangers, and the folder against itself; no chain is asked."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from rewards.bundles.history import HistoryStore
from rewards.history import History, name_origin, verify_consistency, verify_inclusion
from rewards.ports import Publication
from rewards.units import Address
from tests.cli.conftest import Rewards

ORIGIN = name_origin(31337, Address("0x" + "cd" * 20))
EPOCHS = (0, 0, 1, 2)
"""The first publication of epoch 0 was revoked."""

PUBLICATIONS = [
    Publication(epoch, bytes([n + 1]) * 32, bytes([n + 101]) * 32, n * 15 * 10**17, n * 10**18, min(n, 1))
    for n, epoch in enumerate(EPOCHS)
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    HistoryStore(tmp_path).extend(History(ORIGIN, PUBLICATIONS))
    return tmp_path


def as_nodes(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text[2:]) for text in texts]


def test_entries_and_the_newest_checkpoint_are_told(rewards: Rewards, data: Path) -> None:
    told = rewards("history", "--data", data, "--json").document
    assert told["origin"] == ORIGIN
    assert [(e["index"], e["epoch"], e["revocations"]) for e in told["entries"]] == [
        (n, epoch, min(n, 1)) for n, epoch in enumerate(EPOCHS)
    ]
    assert told["entries"][3]["provider_total"] == str(45 * 10**17)
    assert told["entries"][2]["root"] == "0x" + "03" * 32
    newest = told["checkpoint"]
    assert newest["size"] == 4 and newest["text"] == (data / "history" / "checkpoints" / "4").read_text()
    assert newest["text"].splitlines()[2] == base64.b64encode(bytes.fromhex(newest["root"][2:])).decode()


def test_people_read_a_table_and_the_text_of_the_checkpoint(rewards: Rewards, data: Path) -> None:
    said = rewards("history", "--data", data)
    assert (said.status, said.err) == (0, "")
    assert "01010101…01010101" in said.out and "4.5" in said.out
    for line in (data / "history" / "checkpoints" / "4").read_text().splitlines():
        assert f"  {line}\n" in said.out


@pytest.mark.parametrize(("epoch", "index"), [(0, 1), (1, 2), (2, 3)])
def test_a_proof_holds_for_who_has_the_checkpoint(rewards: Rewards, data: Path, epoch: int, index: int) -> None:
    kept = data / "history" / "checkpoints" / "3"
    told: Any = rewards("history", "--data", data, "--proof", epoch, "--since", kept).document
    root, leaf = as_nodes([told["root"], told["leaf"]])
    assert told["checkpoint"] == (data / "history" / "checkpoints" / "4").read_text()
    assert (told["index"], told["size"]) == (index, 4)
    assert verify_inclusion(leaf, index, 4, as_nodes(told["inclusion"]), root)
    since = told["consistency"]
    [old] = as_nodes([since["root"]])
    assert base64.b64encode(old).decode() in kept.read_text()
    assert verify_consistency(since["since"], 4, as_nodes(since["path"]), old, root)
    assert rewards("history", "--data", data, "--proof", epoch).document["consistency"] is None


def test_a_whole_folder_passes_its_check(rewards: Rewards, data: Path) -> None:
    said = rewards("history", "--check", "--data", data)
    assert said.status == 0 and said.out.startswith("✓")
    assert rewards("history", "--check", "--data", data, "--json").document == {"agrees": True, "findings": []}


@pytest.mark.parametrize("name", ["log.bin", "checkpoints/2", "proofs/3.json"])
def test_a_damaged_folder_ends_in_disagreement(rewards: Rewards, data: Path, name: str) -> None:
    path = data / "history" / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    said = rewards("history", "--check", "--data", data)
    assert said.status == 6 and said.out.startswith("✗ critical: history: ") and "docs/runbook.md#history" in said.error
    told = rewards("history", "--check", "--data", data, "--json")
    assert told.status == 6 and not told.document["agrees"]
    assert {f["gate"] for f in told.document["findings"]} == {"history"}
    for arguments in ((), ("--json",), ("--proof", 1)):
        refused = rewards("history", "--data", data, *arguments)
        assert refused.status == 6 and "is damaged" in refused.error


def test_what_cannot_be_answered_is_said(rewards: Rewards, data: Path, tmp_path: Path) -> None:
    nothing = rewards("history", "--data", tmp_path / "elsewhere")
    assert nothing.status == 5 and "no history under" in nothing.error
    assert rewards("history", "--check", "--data", tmp_path / "elsewhere").status == 5
    for arguments, words in (
        (("--proof", 9), "no publication of epoch 9"),
        (("--since", "kept"), "--since goes with --proof"),
        (("--check", "--proof", 1), "two questions"),
    ):
        said = rewards("history", "--data", data, *arguments)
        assert said.status == 2 and words in said.error
    said = rewards("history", "--data", data, "--proof", 1, "--since", data / "history" / "log.bin")
    assert said.status == 5 and "log.bin is no checkpoint" in said.error
    failed = rewards("history", "--data", data, "--proof", 9, "--json")
    assert json.loads(failed.out)["error"]["exit_code"] == 2
