"""What is wrong is named in one line with the right exit status, nothing half-written stays, and the next run works."""

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.cli.conftest import Rewards

DAY = "2026-01-07.parquet"


def drop_folder(inputs: Path) -> str:
    shutil.rmtree(inputs / "heartbeats")
    return "heartbeats"


def drop_day(inputs: Path) -> str:
    (inputs / "usage_records" / DAY).unlink()
    return "2026-01-07"


def drop_table(inputs: Path) -> str:
    (inputs / "provisions.parquet").unlink()
    return "provisions"


def _rewrite(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    change(pl.read_parquet(path)).write_parquet(path)


def add_column_to_usage(inputs: Path) -> str:
    _rewrite(inputs / "usage_records" / DAY, lambda f: f.with_columns(surcharge=pl.lit(1)))
    return "surcharge"


def drop_column_of_usage(inputs: Path) -> str:
    _rewrite(inputs / "usage_records" / DAY, lambda f: f.drop("fee_cxpt"))
    return "fee_cxpt"


def add_column_to_accounts(inputs: Path) -> str:
    _rewrite(inputs / "accounts.parquet", lambda f: f.with_columns(surcharge=pl.lit(1)))
    return "surcharge"


def retype_usage(inputs: Path) -> str:
    _rewrite(
        inputs / "usage_records" / DAY,
        lambda f: f.with_columns(pl.col("started_at").dt.timestamp("us").cast(pl.Float64)),
    )
    return "started_at"


def retype_accounts(inputs: Path) -> str:
    _rewrite(inputs / "accounts.parquet", lambda f: f.with_columns(created_at=pl.lit(True)))
    return "created_at"


def empty_usage(inputs: Path) -> str:
    (inputs / "usage_records" / DAY).write_bytes(b"")
    return DAY


def empty_accounts(inputs: Path) -> str:
    (inputs / "accounts.parquet").write_bytes(b"")
    return "accounts.parquet"


def corrupt_usage(inputs: Path) -> str:
    path = inputs / "usage_records" / DAY
    path.write_bytes(path.read_bytes()[:-200])
    return DAY


def corrupt_accounts(inputs: Path) -> str:
    path = inputs / "accounts.parquet"
    path.write_bytes(b"PAR1 of another kind PAR1")
    return "accounts.parquet"


def misname_day(inputs: Path) -> str:
    (inputs / "heartbeats" / DAY).rename(inputs / "heartbeats" / "2026-13-07.parquet")
    return "2026-13-07"


FAULTS: dict[Callable[[Path], str], int] = {
    drop_folder: 5,
    drop_day: 3,
    drop_table: 5,
    add_column_to_usage: 5,
    drop_column_of_usage: 5,
    add_column_to_accounts: 5,
    retype_usage: 5,
    retype_accounts: 5,
    empty_usage: 5,
    empty_accounts: 5,
    corrupt_usage: 5,
    corrupt_accounts: 5,
    misname_day: 5,
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_bad_inputs(fault: Callable[[Path], str], rewards: Rewards, sample: Path, tmp_path: Path) -> None:
    inputs, data = tmp_path / "inputs", tmp_path / "data"
    shutil.copytree(sample, inputs)
    named = fault(inputs)
    said = rewards("run", "--inputs", inputs, "--data", data, "--epochs", "0")
    assert said.status == FAULTS[fault], said.err
    assert said.error
    assert named in said.err
    assert said.out == ""
    if said.status != 3:  # a gate adds a line a finding
        assert len(said.err.splitlines()) == 1, said.err
    assert not (data / "epochs").exists()
    assert not list(data.glob("staging/*"))
    assert rewards("verify", 0, "--data", data).status == 5
    mended = rewards("run", "--inputs", sample, "--data", data, "--epochs", "0")
    assert mended.status == 0, mended.err
    assert rewards("verify", 0, "--data", data).status == 0


def test_missing_inputs(rewards: Rewards, tmp_path: Path) -> None:
    said = rewards("run", "--inputs", tmp_path / "nowhere", "--data", tmp_path / "data", "--epochs", "0")
    assert (said.status, len(said.err.splitlines())) == (5, 1)
    assert "nowhere" in said.error
    unnamed = rewards("run", "--data", tmp_path / "data", "--epochs", "0")
    assert unnamed.status == 2
    assert "--inputs" in unnamed.error


def test_a_gate_that_refuses_names_values_and_runbook(
    rewards: Rewards, sample: Path, tmp_path: Path, repository: Path
) -> None:
    # The sample's feed ends with the first hour of its third day.
    arguments = ("run", "--inputs", sample, "--data", tmp_path, "--epochs", "0..2")
    said = rewards(*arguments)
    assert said.status == 3
    assert "epoch 1 sealed" in said.out
    head, *findings = said.err.splitlines()
    assert head.startswith("error: sealing epoch 2 refused by ")
    assert findings
    assert [f for f in findings if "expected" not in f or "observed" not in f or "docs/runbook.md#" not in f] == []
    again = rewards(*arguments, "--json")
    assert again.status == 3
    assert [(e["epoch"], e["already_sealed"]) for e in again.document["epochs"]] == [(0, True), (1, True)]
    told = again.document["error"]
    assert (told["kind"], told["exit_code"]) == ("GateRefused", 3)
    titles = [line[4:] for line in (repository / "docs/runbook.md").read_text().splitlines() if line.startswith("### ")]
    anchors = {f"docs/runbook.md#{title.lower().replace(' ', '-')}" for title in titles}
    assert {f["runbook"] for f in told["findings"]} <= anchors
    assert sorted(p.name for p in (tmp_path / "epochs").iterdir()) == ["0", "1"]


def test_a_policy_that_contradicts_itself(rewards: Rewards, sample: Path, tmp_path: Path, repository: Path) -> None:
    policies = tmp_path / "policies"
    shutil.copytree(repository / "data" / "policies", policies)
    path = next(policies.glob("*.toml"))
    good = path.read_text()
    caps = good[good.index("[caps]") :]
    path.write_text(good.replace(caps, caps.replace("provider_bp = 5500", "provider_bp = 9500", 1)))
    assert path.read_text() != good
    given = ("run", "--inputs", sample, "--data", tmp_path / "data", "--epochs", "0", "--policies", policies)
    said = rewards(*given)
    assert (said.status, len(said.err.splitlines())) == (2, 1)
    assert path.name in said.error
    assert not (tmp_path / "data" / "epochs").exists()
    path.write_text("caps = not TOML")
    assert rewards(*given).status == 2
    path.write_text(good)
    assert rewards(*given).status == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--epochs"),
        (("--epochs", "3..1"), "3..1"),
        (("--epochs", "one"), "'one'"),
        (("--epochs", "0..1..2"), "0..1..2"),
        (("--epochs", "-1"), "-1"),
        (("--epochs", "0", "--engine", "abacus"), "abacus"),
        (("--epochs", "0", "--master", "yarn"), "given: 'yarn'"),
        (("--epochs", "0", "--master", "yarn"), "mend --master"),
        (("--epochs", "0", "--genesis", "yesterday"), "genesis"),
        (("--epochs", "0", "--fast"), "--fast"),
        (("--epochs", "0", "--deployment", "none.json"), "REWARDS_RPC_URL"),
        (("--epochs", "999999999"), "epoch 999999999 ends after the year 9999"),
        (("--epochs", "0..999999999"), "epoch 999999999 ends after the year 9999"),
        (("--epochs", "0", "--genesis", "yesterday"), "given: 'yesterday'"),
        (("--epochs", "0", "--genesis", "yesterday"), "mend --genesis"),
    ],
)
def test_bad_arguments_of_run(
    arguments: tuple[str, ...], named: str, rewards: Rewards, sample: Path, tmp_path: Path
) -> None:
    said = rewards("run", "--inputs", sample, "--data", tmp_path / "data", *arguments)
    assert (said.status, len(said.err.splitlines()), said.out) == (2, 1, ""), said.err
    assert named in said.error
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("fly",), "fly"),
        (("proof", "0xnot"), "0xnot"),
        (("proof", "0x" + "0" * 40), "0x000"),
        (("verify", "-1"), "-1"),
        (("verify",), "EPOCH"),
        (("verify", "0", "--manifest-hash", "12ab"), "'12ab'"),
        (("verify", "0", "--manifest-hash", "0x" + "g" * 64), "64 hex digits"),
        (("export", "0", "--format", "csv"), "csv"),
        (("publish", "0"), "REWARDS_PUBLISHER"),
        (("claim", "0x" + "12" * 20), "REWARDS_CLAIMER"),
        (("revoke", "0", "--reason", "x"), "REWARDS_GUARDIAN"),
        (("reconcile",), "REWARDS_RPC_URL"),
        (("deploy", "--admin", "0x" + "12" * 20), "--network"),
        (("deploy", "--network", "mainnet"), "local, agung, peaq, custom"),
        (("deploy", "--network", "agung"), "REWARDS_RPC_URL"),
        (("deploy", "--network", "custom"), "REWARDS_CHAIN_ID"),
    ],
)
def test_bad_arguments_are_usage_errors(arguments: tuple[str, ...], named: str, rewards: Rewards) -> None:
    said = rewards(*arguments)
    assert (said.status, len(said.err.splitlines()), said.out) == (2, 1, ""), said.err
    assert named in said.error


def test_bad_settings_are_named(
    rewards: Rewards, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REWARDS_CONFIG", str(tmp_path / "none.toml"))
    said = rewards("status", "--data", sealed)
    assert (said.status, "none.toml" in said.error) == (2, True)
    (tmp_path / "none.toml").write_text("memory = 4\ndata = [")
    assert rewards("status", "--data", sealed).status == 2
    (tmp_path / "none.toml").write_text("memory = '4 elephants'")
    said = rewards("status", "--data", sealed)
    assert (said.status, "memory" in said.error) == (2, True)


def test_a_chain_that_is_not_there_or_another_one(
    rewards: Rewards, sample: Path, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    record = tmp_path / "deployment.json"
    account = "0x" + "12" * 20
    record.write_text(
        f'{{"admin": "{account}", "block_hash": "0x{"34" * 32}", "chain_id": 31337, "deployed_block": 1, '
        f'"first_epoch": 0, "token": "{account}", "vault": "{account}"}}'
    )
    local = rewards("status", "--data", sealed).out
    monkeypatch.setenv("REWARDS_RPC_URL", "http://127.0.0.1:9")
    data = tmp_path / "data"
    given = ("run", "--inputs", sample, "--data", data, "--epochs", "0", "--deployment", record)
    said = rewards(*given)
    assert (said.status, len(said.err.splitlines())) == (4, 1), said.err
    assert "127.0.0.1:9" in said.error
    assert not data.exists()
    assert rewards("reconcile", "--data", sealed, "--deployment", record).status == 4
    look = ("--data", sealed, "--deployment", record)
    seen = rewards("status", *look)
    assert (seen.status, seen.out) == (4, local), seen.err
    assert len([line for line in local.splitlines() if " sealed " in line]) == 2
    assert seen.err.startswith("chain: not reachable: ") and "127.0.0.1:9" in seen.err
    told = rewards("status", *look, "--json")
    assert (told.status, told.document["vault"], len(told.document["epochs"])) == (4, None, 2)
    assert "127.0.0.1:9" in told.document["unreachable"]
    earner = pl.read_parquet(sealed / "epochs/1/claimables.parquet")["account"][0]
    proved = rewards("proof", earner, *look)
    assert (proved.status, len(proved.err.splitlines())) == (0, 1), proved.err
    assert proved.err.startswith("chain: not reachable: ")
    assert proved.document["claimables"] != []
    assert [c for c in proved.document["claimables"] if {"claimed", "outstanding"} & set(c)] == []
    monkeypatch.setenv("REWARDS_RPC_URL", "ws://127.0.0.1:9")
    assert rewards(*given).status == 4
    monkeypatch.delenv("REWARDS_RPC_URL")
    assert rewards("run", "--inputs", sample, "--data", data, "--epochs", "0").status == 0


@pytest.mark.parametrize("character", "*?[")
def test_a_folder_that_readers_would_take_for_a_pattern(
    rewards: Rewards, sample: Path, tmp_path: Path, character: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / f"a{character}b"
    for inputs, data, option in ((sample, odd / "data", "--data"), (odd, tmp_path / "data", "--inputs")):
        said = rewards("run", "--inputs", inputs, "--data", data, "--epochs", "0")
        assert (said.status, len(said.err.splitlines())) == (2, 1), said.err
        assert repr(character) in said.error and option in said.error
    assert rewards("demo", "--data", odd).status == 2
    monkeypatch.setenv("REWARDS_DATA", str(odd))
    assert rewards("status").status == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["the environment", ".env"])
def test_an_unknown_setting_is_refused_by_its_own_name(
    rewards: Rewards, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if place == "the environment":
        monkeypatch.setenv("REWARDS_INPTUS", "secret-value")
    else:
        (tmp_path / ".env").write_text("REWARDS_INPTUS=secret-value\n")
    said = rewards("status", "--data", sealed)
    assert (said.status, len(said.err.splitlines())) == (2, 1)
    assert said.error == f"error: unknown setting REWARDS_INPTUS in {place}; did you mean REWARDS_INPUTS?"


def test_names_of_others_in_dotenv_are_left_alone(
    rewards: Rewards, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REWARDS_TRACEBACK", "0")
    (tmp_path / ".env").write_text(f"COMPOSE_PROJECT_NAME=of-others\nDATA=nowhere\nREWARDS_DATA={sealed}\n")
    said = rewards("status", "--json")
    assert (said.status, len(said.document["epochs"])) == (0, 2), said.err
    (tmp_path / ".env").write_text("REWARDS_CONFIG=other.toml\n")
    said = rewards("status", "--data", sealed)
    assert (said.status, "REWARDS_CONFIG has no effect in .env" in said.error) == (2, True)


def test_a_wrong_value_is_shown_unless_it_may_be_secret(
    rewards: Rewards, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REWARDS_THREADS", "many")
    said = rewards("status", "--data", sealed)
    assert (said.status, "given: 'many'" in said.error, "REWARDS_THREADS" in said.error) == (2, True, True)
    monkeypatch.delenv("REWARDS_THREADS")
    for line in ("publisher_key = 715517", "publisher_kye = '715517'"):
        (tmp_path / "rewards.toml").write_text(f"{line}\n")
        said = rewards("status", "--data", sealed)
        assert (said.status, "715517" in said.err, "publisher_key" in said.error) == (2, False, True), said.err
