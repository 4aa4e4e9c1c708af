"""run, status, proof, verify, export on the sample: what they answer, and that a changed byte is found."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rewards.jobs.workspace import Workspace
from rewards.ledger.catalogue import read_shown, write_catalogue
from rewards.manifest import FILES
from rewards.merkle import ClaimTree
from rewards.units import UNITS_PER_CXPT
from tests.cli.conftest import Rewards, Said

PUBLISHED = (*FILES, "manifest.json", "manifest.sha256")


def find_floats(document: Any) -> list[Any]:
    """Every float of a JSON document but the seconds of stages."""
    if isinstance(document, dict):
        return [f for key, value in document.items() if key != "seconds" for f in find_floats(value)]
    if isinstance(document, list):
        return [f for value in document for f in find_floats(value)]
    return [document] if isinstance(document, float) else []


def test_a_run_seals_and_names_its_stages_on_stderr(first_run: tuple[Path, Said]) -> None:
    data, said = first_run
    assert said.status == 0, said.err
    assert [line.split(":")[0] for line in said.out.splitlines() if " sealed: " in line] == [
        "epoch 0 sealed",
        "epoch 1 sealed",
    ]
    assert "bound to no chain" in said.out
    assert [line for line in said.err.splitlines() if not re.fullmatch(r"epoch [01]: [a-z ]+", line)] == []
    assert "epoch 1: seal" in said.err
    assert sorted(p.name for p in (data / "epochs").iterdir()) == ["0", "1"]


def test_a_second_run_leaves_sealed_epochs_alone(rewards: Rewards, sample: Path, sealed: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (sealed / "epochs").rglob("*")}
    said = rewards("run", "--inputs", sample, "--data", sealed, "--epochs", "0..1")
    assert (said.status, said.err) == (0, "")
    assert [line.split(":")[0] for line in said.out.splitlines()] == [
        "epoch 0 already sealed, left alone",
        "epoch 1 already sealed, left alone",
    ]
    assert {p: p.stat().st_mtime_ns for p in (sealed / "epochs").rglob("*")} == before


def test_one_epoch_alone_and_settings_from_the_environment(
    rewards: Rewards, sample: Path, sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REWARDS_INPUTS", str(sample))
    monkeypatch.setenv("REWARDS_DATA", "nowhere")
    document = rewards("run", "--data", sealed, "--epochs", "1", "--genesis", "2026-01-07", "--json").document
    assert document["engine"] == "duckdb"
    assert [(e["epoch"], e["already_sealed"]) for e in document["epochs"]] == [(1, True)]
    assert not Path("nowhere").exists()


def test_status_for_people_and_for_programs(rewards: Rewards, sealed: Path) -> None:
    table = rewards("status", "--data", sealed)
    assert table.status == 0
    headings = (
        "epoch",
        "window (UTC)",
        "state",
        "rows",
        "quarantined",
        "providers (CXPT)",
        "users (CXPT)",
        "root",
        "findings",
    )
    assert [h for h in headings if h not in table.out] == []
    document = rewards("status", "--data", sealed, "--json").document
    assert [(e["epoch"], e["state"]) for e in document["epochs"]] == [(0, "sealed"), (1, "sealed")]
    assert document["vault"] is None
    assert find_floats(document) == []
    for epoch in document["epochs"]:
        assert epoch["root"][2:10] in table.out
        assert f"{epoch['counts']['rows']:,}" in table.out
        for books in epoch["pools"].values():
            assert books["allocated_cxpt"] in table.out
            whole, _, part = books["allocated_cxpt"].partition(".")
            assert int(whole) * UNITS_PER_CXPT + int(part.ljust(18, "0")) == int(books["allocated"]) > 0


def test_status_where_nothing_is_makes_nothing(rewards: Rewards, tmp_path: Path) -> None:
    assert rewards("status", "--data", tmp_path / "none", "--json").document == {
        "vault": None,
        "unreachable": None,
        "epochs": [],
    }
    assert "no epoch under" in rewards("status", "--data", tmp_path / "none").out
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("epoch", [0, 1])
def test_proof_of_every_pool_verifies(rewards: Rewards, sealed: Path, epoch: int) -> None:
    claimables = pl.read_parquet(sealed / "epochs" / str(epoch) / "claimables.parquet")
    account = claimables.group_by("account").len().sort("len", "account")["account"][-1]
    document = rewards("proof", account, "--data", sealed, "--epoch", epoch).document
    assert document["account"] == account
    assert [(c["pool"], c["cumulative_amount"]) for c in document["claimables"]] == [
        (pool, str(amount))
        for pool, amount in claimables.filter(account=account).sort("pool").select("pool", "cumulative_amount").rows()
    ]
    for leaf in document["claimables"]:
        root, proof = bytes.fromhex(leaf["root"][2:]), [bytes.fromhex(p[2:]) for p in leaf["proof"]]
        assert ClaimTree.verify(root, leaf["pool"], account, int(leaf["cumulative_amount"]), proof)
        assert not ClaimTree.verify(root, leaf["pool"], account, int(leaf["cumulative_amount"]) + 1, proof)


def test_proof_takes_the_newest_epoch_and_knows_who_has_nothing(rewards: Rewards, sealed: Path) -> None:
    account = pl.read_parquet(sealed / "epochs/1/claimables.parquet")["account"][0]
    assert {c["epoch"] for c in rewards("proof", account, "--data", sealed).document["claimables"]} == {1}
    assert rewards("proof", "0x" + "12" * 20, "--data", sealed).document["claimables"] == []


def test_export_is_the_tree_of_the_root(rewards: Rewards, sealed: Path, tmp_path: Path) -> None:
    dump = rewards("export", 1, "--format", "openzeppelin", "--data", sealed).document
    manifest = json.loads((sealed / "epochs/1/manifest.json").read_text())
    assert dump["format"] == "standard-v1"
    assert dump["leafEncoding"] == ["uint8", "address", "uint256"]
    assert dump["tree"][0] == manifest["root"]
    assert len(dump["values"]) == manifest["leaves"]
    out = tmp_path / "tree.json"
    said = rewards("export", 1, "--data", sealed, "--out", out)
    assert (said.status, said.out) == (0, "")
    assert json.loads(out.read_text()) == dump


def test_verify_agrees_offline_and_knows_the_manifest_hash(rewards: Rewards, sealed: Path) -> None:
    digest = (sealed / "epochs/1/manifest.sha256").read_text().split()[0]
    said = rewards("verify", 1, "--data", sealed, "--manifest-hash", digest)
    assert said.status == 0
    assert {line[0] for line in said.out.splitlines()[:-1]} == {"✓"}
    assert digest in said.out
    wrong = rewards("verify", 1, "--data", sealed, "--manifest-hash", "0x" + "00" * 32)
    assert wrong.status == 6
    assert "✗ manifest hash" in wrong.out
    assert "epoch 1" in wrong.error


@pytest.mark.parametrize("name", PUBLISHED)
def test_one_changed_byte_of_any_published_file_is_found(
    rewards: Rewards, sealed: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(sealed / "epochs", tmp_path / "epochs")
    path = tmp_path / "epochs" / "1" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    said = rewards("verify", 1, "--data", tmp_path, "--json")
    assert said.status == 6
    assert said.document["agrees"] is False
    problems = [check["problem"] for check in said.document["checks"] if check["problem"]]
    assert any(name in problem for problem in problems), problems
    assert said.error


def test_a_changed_epoch_before_is_found_too(rewards: Rewards, copy_of_sealed: Path) -> None:
    path = copy_of_sealed / "epochs/0/state.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    said = rewards("verify", 1, "--data", copy_of_sealed)
    assert said.status == 6
    assert "epochs/0/state.parquet" in said.out


def test_a_missing_bundle_is_an_input_error(rewards: Rewards, sealed: Path) -> None:
    for command in (("verify", 7), ("export", 7), ("proof", "0x" + "12" * 20, "--epoch", 7)):
        said = rewards(*command, "--data", sealed)
        assert said.status == 5
        assert "epoch 7" in said.error


def test_demo_ends_with_paid_claims(rewards: Rewards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rewards.jobs import demo

    reports: list[demo.DemoReport] = []
    run_demo = demo.run_demo

    def run_once(data: Path, on_stage: Callable[[str], None]) -> demo.DemoReport:
        if not reports:  # people and programs are told of the same run
            reports.append(run_demo(data, on_stage))
        return reports[0]

    monkeypatch.setattr(demo, "run_demo", run_once)
    folder = tmp_path / "somebody's demo"
    said = rewards("demo", "--data", folder, "--json", "--verbose")
    assert said.status == 0, said.err
    assert "publish the root" in said.err
    assert len(said.document["payments"]) >= 2
    assert all(int(payment["paid"]) > 0 for payment in said.document["payments"])
    people = rewards("demo", "--data", folder)
    assert (people.status, people.err) == (0, "")
    assert said.document["root"] in people.out
    assert [q for q in said.document["queries"] if q not in people.out] == []
    assert f"duckdb.connect({str(folder / 'rewards.duckdb')!r}, read_only=True)" in people.out


def test_an_epoch_that_a_killed_run_left_out_of_the_catalogue_is_shown_by_the_next(
    rewards: Rewards, sample: Path, copy_of_sealed: Path
) -> None:
    bundles = Workspace(copy_of_sealed).sealed_bundles()
    path = copy_of_sealed / "rewards.duckdb"
    given = ("run", "--inputs", sample, "--data", copy_of_sealed, "--epochs", "0..1")
    write_catalogue(path, [(b.manifest, b.folder) for b in bundles[:1]])
    assert rewards(*given).status == 0
    everything = {b.manifest.epoch.number: b.manifest.digest for b in bundles}
    assert read_shown(path) == everything
    path.write_bytes(b"")
    assert rewards(*given).status == 0
    assert read_shown(path) == everything


def test_a_catalogue_that_is_right_is_not_written_again(rewards: Rewards, sample: Path, copy_of_sealed: Path) -> None:
    before = (copy_of_sealed / "rewards.duckdb").stat()
    assert rewards("run", "--inputs", sample, "--data", copy_of_sealed, "--epochs", "1").status == 0
    assert (copy_of_sealed / "rewards.duckdb").stat().st_ino == before.st_ino


def test_what_killed_runs_left_aside_is_removed(rewards: Rewards, sample: Path, copy_of_sealed: Path) -> None:
    left = [
        copy_of_sealed / name
        for name in (".rewards.duckdb.7.new", ".rewards.duckdb.7.new.wal", "provenance/1/.counted_ids.parquet.7.new")
    ]
    for path in left:
        path.write_bytes(b"half")
    others = copy_of_sealed / ".notes.new"
    others.write_bytes(b"of the operator")
    assert rewards("status", "--data", copy_of_sealed).status == 0
    assert [path for path in left if not path.exists()] == []
    assert rewards("run", "--inputs", sample, "--data", copy_of_sealed, "--epochs", "1").status == 0
    assert [path for path in left if path.exists()] == []
    assert others.exists()


def test_status_reads_a_copy_that_may_not_be_written(rewards: Rewards, copy_of_sealed: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in copy_of_sealed.rglob("*")}
    said = rewards("status", "--data", copy_of_sealed, "--json")
    assert (said.status, len(said.document["epochs"])) == (0, 2)
    assert {p: p.stat().st_mtime_ns for p in copy_of_sealed.rglob("*")} == before
