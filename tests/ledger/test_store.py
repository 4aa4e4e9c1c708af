"""The ledger: one result an epoch, in order; intents that are never forgotten; findings by step; a file that may be
damaged."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from rewards.errors import Disagreement, Finding, StorageError
from rewards.ledger import store
from rewards.ledger.intents import Intents
from rewards.ledger.migrations import MIGRATIONS
from rewards.ledger.store import Ledger, SealedEpoch

NOW = datetime(2026, 1, 8, 1, tzinfo=UTC)


def _digest(number: int, branch: str = "a") -> str:
    return f"{branch}{number}" * 32


def _epoch(number: int, branch: str = "a", on: str | None = "a") -> SealedEpoch:
    previous = None if number == 0 or on is None else _digest(number - 1, on)
    return SealedEpoch(number, _digest(number, branch), previous, "0x" + _digest(number, branch))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "deep" / "ledger.duckdb")


def test_nothing_is_there_before_the_first_write(ledger: Ledger) -> None:
    assert (ledger.sealed(), Intents(ledger).all(1), ledger.findings(), ledger.exists()) == ([], [], {}, False)


# Compare and swap


def test_epochs_are_sealed_in_order_and_once(ledger: Ledger) -> None:
    epochs = [_epoch(n) for n in range(3)]
    for epoch in epochs:
        ledger.seal(epoch, NOW)
        ledger.seal(epoch, NOW + timedelta(days=1))
    assert ledger.sealed() == epochs
    # Also an earlier one: its folder may have been lost and computed again.
    ledger.seal(epochs[0], NOW)
    assert ledger.sealed() == epochs


@pytest.mark.parametrize(
    ("epoch", "message"),
    [
        (_epoch(2, "b"), "epoch 2 is sealed as a2"),
        (_epoch(1, "b"), "epoch 1 is sealed as a1"),
        (_epoch(3, on="b"), "builds on b2"),
        (_epoch(3, on=None), "builds on None; the newest sealed epoch is 2"),
        (SealedEpoch(4, _digest(4), _digest(2), "0x"), "epoch 4 builds on a2.*newest sealed epoch is 2"),
        (_epoch(5), "builds on a4"),
    ],
)
def test_another_result_or_predecessor_is_refused(ledger: Ledger, epoch: SealedEpoch, message: str) -> None:
    for number in range(3):
        ledger.seal(_epoch(number), NOW)
    with pytest.raises(Disagreement, match=message):
        ledger.seal(epoch, NOW)
    assert [e.number for e in ledger.sealed()] == [0, 1, 2]
    ledger.seal(_epoch(3), NOW)


def test_of_two_successors_one_wins(ledger: Ledger) -> None:
    ledger.seal(_epoch(0), NOW)
    ledger.seal(_epoch(1, "b"), NOW)
    with pytest.raises(Disagreement, match=r"epoch 1 is sealed as b1.* computed again it is c1"):
        ledger.seal(_epoch(1, "c"), NOW)
    assert [e.manifest for e in ledger.sealed()] == [_digest(0), _digest(1, "b")]


def test_a_first_epoch_that_is_not_zero(ledger: Ledger) -> None:
    """A new Vault starts where its first epoch says, from empty books."""
    ledger.seal(SealedEpoch(143, _digest(1), None, "0x"), NOW)
    with pytest.raises(Disagreement, match="builds on None"):
        ledger.seal(SealedEpoch(142, _digest(2), None, "0x"), NOW)
    assert [e.number for e in ledger.sealed()] == [143]


def test_an_empty_ledger_wants_a_first_epoch(ledger: Ledger) -> None:
    with pytest.raises(Disagreement, match=r"builds on a0.*; no epoch is sealed"):
        ledger.seal(_epoch(1), NOW)


def test_a_withdrawn_epoch_takes_its_successors_with_it(ledger: Ledger) -> None:
    for number in range(4):
        ledger.seal(_epoch(number), NOW)
    ledger.withdraw(2, NOW)
    assert [e.number for e in ledger.sealed()] == [0, 1]
    assert {n: [f.observed for f in found] for n, found in ledger.findings().items()} == {
        2: [_digest(2)],
        3: [_digest(3)],
    }
    ledger.seal(SealedEpoch(2, _digest(2, "b"), _digest(1), "0x"), NOW)
    ledger.withdraw(2, NOW)
    [finding] = ledger.findings()[2]
    assert (finding.gate, finding.observed, finding.refuses) == ("chain state", _digest(2, "b"), False)
    ledger.seal(_epoch(2), NOW)
    assert [e.manifest for e in ledger.sealed()] == [_digest(n) for n in range(3)]


def _override(gate: str, reason: str = "seen") -> dict[str, str]:
    return {"gate": gate, "reason": reason, "message": "m", "expected": "1", "observed": "2"}


def test_overrides_are_replaced_by_epoch_and_forgotten_when_it_is_withdrawn(ledger: Ledger) -> None:
    assert ledger.overrides(0) == []
    for number in range(3):
        ledger.store_overrides(number, [_override("quality"), _override("funded", "it is late")], NOW)
        assert ledger.overrides(number) == [_override("funded", "it is late"), _override("quality")]
        ledger.seal(_epoch(number), NOW)
    ledger.store_overrides(0, [_override("volume")], NOW)
    ledger.withdraw(1, NOW)
    assert [ledger.overrides(number) for number in range(3)] == [[_override("volume")], [], []]
    ledger.store_overrides(0, [], NOW)
    assert ledger.overrides(0) == []


def test_only_an_empty_ledger_adopts(ledger: Ledger) -> None:
    ledger.adopt(_epoch(5), NOW)
    ledger.seal(_epoch(6), NOW)
    with pytest.raises(Disagreement, match="epoch 4 cannot begin"):
        ledger.adopt(_epoch(4), NOW)
    assert [e.number for e in ledger.sealed()] == [5, 6]


# Findings


def test_findings_are_replaced_by_step(ledger: Ledger) -> None:
    first = [Finding("quality", 'it\'s "bad"', "1", "2"), Finding("wallet", "odd", "a", "b", refuses=False)]
    ledger.record_findings(0, "seal", first, NOW)
    ledger.record_findings(0, "publish", [Finding("solvent", "poor", "3", "4")], NOW)
    ledger.record_findings(1, "seal", [Finding("complete", "short", "5", "6")], NOW)
    assert {(f.gate, f.refuses) for f in ledger.findings()[0]} == {
        ("quality", True),
        ("wallet", False),
        ("solvent", True),
    }
    ledger.record_findings(0, "seal", first[1:], NOW)
    assert {f.gate for f in ledger.findings()[0]} == {"wallet", "solvent"}
    ledger.record_findings(0, "seal", [], NOW)
    ledger.record_findings(0, "publish", [], NOW)
    assert ledger.findings() == {1: [Finding("complete", "short", "5", "6")]}


# The file


def test_an_older_ledger_is_brought_up_to_date_once(ledger: Ledger, tmp_path: Path) -> None:
    """A file from before the first migration, and one that is opened over and over."""
    path = tmp_path / "deep" / "ledger.duckdb"
    path.parent.mkdir()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY)")
    ledger.seal(_epoch(0), NOW)
    for _ in range(3):
        assert [e.number for e in Ledger(path).sealed()] == [0]
    with duckdb.connect(str(path), read_only=True) as connection:
        numbers = connection.execute("SELECT number FROM migrations ORDER BY number").fetchall()
    assert numbers == [(n,) for n in range(len(MIGRATIONS))]


def test_a_newer_ledger_is_left_alone(ledger: Ledger, tmp_path: Path) -> None:
    ledger.seal(_epoch(0), NOW)
    with duckdb.connect(str(tmp_path / "deep" / "ledger.duckdb")) as connection:
        connection.execute("INSERT INTO migrations VALUES (99)")
    for step in (ledger.sealed, lambda: ledger.seal(_epoch(1), NOW)):
        with pytest.raises(StorageError, match=r"newer version \(migration 99\)"):
            step()


def test_a_failed_transaction_leaves_nothing(ledger: Ledger) -> None:
    ledger.seal(_epoch(0), NOW)
    too_long = Finding("gate", "message", "expected", "observed")
    with pytest.raises(StorageError, match="cannot be used"):
        ledger.record_findings(2**40, "seal", [too_long], NOW)
    with pytest.raises(StorageError, match="cannot be used"):
        ledger.record_findings(0, "seal", [too_long, Finding("gate", None, "", "")], NOW)  # type: ignore[arg-type]
    assert ledger.findings() == {}


@pytest.mark.parametrize("where", ["all", "head", "header", "middle", "cut", "text"])
def test_a_damaged_ledger_is_one_error(ledger: Ledger, tmp_path: Path, where: str) -> None:
    path = tmp_path / "deep" / "ledger.duckdb"
    for number in range(3):
        ledger.seal(_epoch(number), NOW)
    whole = path.read_bytes()
    damaged = {
        "all": b"\xff" * len(whole),
        "head": b"\0" * 64 + whole[64:],
        "header": whole[:4096] + b"\xa5" * 8192 + whole[12288:],
        "middle": whole[:12288] + bytes(b ^ 0x5A for b in whole[12288:]),
        "cut": whole[:12288],
        "text": b"this is no database\n" * 1000,
    }[where]
    path.write_bytes(damaged)
    for step in (ledger.sealed, ledger.findings, lambda: ledger.seal(_epoch(3), NOW)):
        with pytest.raises(StorageError, match=r"ledger\.duckdb cannot be used: .*move it away") as refused:
            step()
        assert "\n" not in str(refused.value)
    path.write_bytes(whole)
    assert [e.number for e in ledger.sealed()] == [0, 1, 2]


def test_a_path_that_duckdb_cannot_use_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="question mark"):
        Ledger(tmp_path / "what?" / "ledger.duckdb").seal(_epoch(0), NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_is_a_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.duckdb").mkdir()
    with pytest.raises(StorageError, match=r"ledger\.duckdb cannot be used"):
        Ledger(tmp_path / "ledger.duckdb").sealed()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        Ledger(tmp_path / "file" / "ledger.duckdb").seal(_epoch(0), NOW)


# Others, and disks

HOLD = """
import sys, duckdb
with duckdb.connect(sys.argv[1]) as held:
    print("open", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(ledger: Ledger, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the ledger, with epoch 0 in it, open until it is sent a line."""
    ledger.seal(_epoch(0), NOW)
    command = [sys.executable, "-c", HOLD, str(tmp_path / "deep" / "ledger.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        if process.poll() is None:
            process.communicate("end\n")


def test_a_ledger_that_another_holds_for_a_moment_is_waited_for(
    ledger: Ledger, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []

    def wait(_: float) -> None:
        waits.append(holder.poll())
        if len(waits) == 3:
            holder.communicate("end\n")

    monkeypatch.setattr(store.time, "sleep", wait)
    ledger.seal(_epoch(1), NOW)
    assert waits == [None] * 3
    assert [e.number for e in ledger.sealed()] == [0, 1]


def test_a_ledger_that_another_keeps_names_the_process(
    ledger: Ledger, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(store.time, "sleep", waits.append)
    for step in (ledger.sealed, lambda: ledger.seal(_epoch(1), NOW)):
        waits.clear()
        with pytest.raises(StorageError, match=rf"in use by process {holder.pid}; try again$"):
            step()
        assert 5 <= sum(waits) <= 15


def test_reading_creates_and_changes_nothing(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.seal(_epoch(0), NOW)
    opened: list[bool] = []
    connect = duckdb.connect

    def watch(path: str, read_only: bool = False) -> duckdb.DuckDBPyConnection:
        opened.append(read_only)
        return connect(path, read_only=read_only)

    monkeypatch.setattr(duckdb, "connect", watch)
    before = (tmp_path / "deep" / "ledger.duckdb").read_bytes()
    assert (len(ledger.sealed()), ledger.findings(), Intents(ledger).all(1)) == (1, {}, [])
    assert opened == [True] * 3
    assert (tmp_path / "deep" / "ledger.duckdb").read_bytes() == before
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["ledger.duckdb"]


def test_rows_that_a_killed_writer_left_in_the_log_are_read(ledger: Ledger, tmp_path: Path) -> None:
    ledger.seal(_epoch(0), NOW)
    path, row = tmp_path / "deep" / "ledger.duckdb", _epoch(1)
    insert = f"INSERT INTO epochs VALUES (1, '{row.manifest}', '{row.previous}', '{row.root}', now())"
    code = f"import duckdb, os; c = duckdb.connect({str(path)!r}); c.execute({insert!r}); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert path.with_name("ledger.duckdb.wal").exists()
    assert ledger.sealed() == [_epoch(0), row]


def test_an_empty_ledger_is_brought_up_to_date_by_reading(tmp_path: Path) -> None:
    path = tmp_path / "ledger.duckdb"
    duckdb.connect(str(path)).close()
    assert Ledger(path).sealed() == []


@pytest.mark.parametrize(
    "error",
    [
        duckdb.IOException('IO Error: Cannot open file "x": Read-only file system'),
        duckdb.IOException('IO Error: Cannot open file "x": Permission denied'),
        duckdb.IOException(
            "IO Error: Could not write all bytes: No space left on device. See also https://example.org"
        ),
        OSError(30, "Read-only file system"),
    ],
)
def test_a_disk_that_refuses_is_not_called_damage(
    ledger: Ledger, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(duckdb, "connect", refuse)
    with pytest.raises(StorageError, match=r"cannot be used: .*; free space, or give a --data folder") as refused:
        ledger.seal(_epoch(0), NOW)
    assert "move it away" not in str(refused.value)
    assert "://" not in str(refused.value)
