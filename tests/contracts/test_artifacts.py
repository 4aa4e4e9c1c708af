"""The tracked artifacts are what the sources compile to."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from rewards.chain.contracts import NAMES, describe_revert, load_artifact
from rewards.errors import UsageError
from rewards.units import keccak


def _check(home: Path) -> subprocess.CompletedProcess[str]:
    command = ["node", "script/compile.js", "--check"]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=240, check=False)


def test_artifacts_equal_a_fresh_build(contracts: Path) -> None:
    result = _check(contracts)
    assert result.returncode == 0, result.stderr


def test_check_sees_drift(contracts: Path, tmp_path: Path) -> None:
    """A changed source, a missing artifact and one too many are named."""
    for name in ("src", "test", "script", "artifacts"):
        shutil.copytree(contracts / name, tmp_path / name)
    (tmp_path / "node_modules").symlink_to(contracts / "node_modules")
    source = tmp_path / "src" / "CXPTToken.sol"
    source.write_text(source.read_text().replace("1_000_000_000", "1_000_000_001"))
    (tmp_path / "artifacts" / "TimelockController.json").unlink()
    (tmp_path / "artifacts" / "Other.json").write_text("{}")
    result = _check(tmp_path)
    assert result.returncode == 1
    assert "artifacts/CXPTToken.json differs from a fresh build at line " in result.stderr
    assert "artifacts/TimelockController.json is missing" in result.stderr
    assert "artifacts/Other.json is not built from any source" in result.stderr
    assert "CXPTVault.json" not in result.stderr


def test_lock_holds_hashes_and_no_addresses(repository: Path) -> None:
    packages = json.loads((repository / "contracts" / "package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert installed
    assert all(package["integrity"].startswith("sha512-") for package in installed.values())
    assert not [name for name, package in packages.items() if "resolved" in package]


def test_missing_and_broken_artifacts_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no contract artifact .*CXPTVault\.json; run from a checkout"):
        load_artifact("CXPTVault", tmp_path)
    (tmp_path / "CXPTToken.json").write_text('{"abi": []}')
    with pytest.raises(UsageError, match=r"not a contract artifact: .*CXPTToken\.json"):
        load_artifact("CXPTToken", tmp_path)


def test_a_claim_touches_four_slots_of_the_vault(repository: Path) -> None:
    """The layout that was measured: totals, times and status in one slot; progress in one; an account in one."""
    layout = json.loads((repository / "contracts" / "artifacts" / "CXPTVault.json").read_text())["storageLayout"]
    slots = {
        name.partition("(")[2].partition(")")[0]: {m["label"]: int(m["slot"]) for m in kind["members"]}
        for name, kind in layout["types"].items()
        if "members" in kind
    }
    assert slots["Publication"] == {"root": 0, "terms": 1, "manifestHash": 2}
    assert set(slots["Terms"].values()) == {0}
    assert set(slots["Progress"].values()) == {0}
    assert set(slots["PoolPair"].values()) == {0}
    assert set(slots["Settings"].values()) == {0}


def test_reverts_are_told_by_name() -> None:
    assert {len(load_artifact(name).bytecode) > 1000 for name in NAMES} == {True}
    selector = keccak(b"NotNextEpoch(uint256,uint256)")[:4]
    assert describe_revert(selector + (3).to_bytes(32) + (4).to_bytes(32)) == "NotNextEpoch(expected=3, given=4)"
    assert describe_revert(selector + b"\0" * 5) == "NotNextEpoch with malformed arguments"
    panic = keccak(b"Panic(uint256)")[:4]
    assert describe_revert(panic + (0x11).to_bytes(32)) == "Panic(code=17)"
    assert describe_revert(b"\1\2\3\4") == "unknown error 0x01020304"
    assert describe_revert(b"") == "no reason given"
