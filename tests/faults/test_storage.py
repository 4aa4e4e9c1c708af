"""A disk that fills up, a folder that cannot be written, files that are torn, others at the same folder or key, a clock that
goes back: nothing is sent that was not kept, nothing kept is lost, and the refusal is one line."""

import os
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from rewards.chain.locks import hold_key
from rewards.errors import ChainError, StorageError
from rewards.jobs.chain import name_lock
from rewards.ledger.intents import Intents
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.faults.commands import Operator, list_leftovers
from tests.faults.nursery import Nursery
from tests.faults.process import AFTER, Ended, KillPoint
from tests.faults.world import PUBLISHER, World

PUBLISH = ("publish", "0", "--apply")
SEND = KillPoint("rewards.chain.client.Chain.send_raw")
SIZES = (0, 1, 100, 4096, 20_000)
"""Bytes of any file up to which the disk still takes something."""


@pytest.fixture
def operator(world: World, nursery: Nursery) -> Operator:
    return Operator(world, nursery)


def _publish(operator: Operator) -> None:
    ended = operator.run(*PUBLISH)
    assert ended.status == 0, ended.err
    operator.world.check_settled()
    assert len(operator.world.versions()) == 1
    assert list_leftovers(operator.world.folder / "data") == []


def _refusal(ended: Ended) -> str:
    assert ended.status == StorageError.exit_code, (ended.status, ended.out, ended.err)
    assert "unexpected" not in ended.err and "Traceback" not in ended.err
    return ended.err.splitlines()[0]


# A full disk


@pytest.mark.parametrize("size", SIZES)
def test_a_disk_that_is_full_when_the_intent_is_kept_sends_nothing(operator: Operator, size: int) -> None:
    """Whatever part of it still fits: what is not kept as a whole is not sent."""
    operator.plant = f"tests.faults.full_disk:while_keeping_{size}"
    ended = operator.run(*PUBLISH)
    sent = operator.world.proxy.sent_transactions()
    if ended.status == 0:
        assert len(Intents(operator.world.workspace().ledger).all(ANVIL_CHAIN_ID)) == 1
    else:
        assert "cannot be used" in (told := _refusal(ended)) and "free space" in told
        assert sent == []
    operator.plant = None
    _publish(operator)


@pytest.mark.parametrize("step", ["settling", "logging", "cataloguing"])
def test_a_disk_that_fills_up_after_sending_loses_nothing(operator: Operator, step: str) -> None:
    operator.plant = f"tests.faults.full_disk:while_{step}"
    assert "cannot be" in _refusal(operator.run(*PUBLISH))
    assert len(operator.world.versions()) == 1
    operator.plant = None
    _publish(operator)


# Folders that cannot be written


@pytest.mark.parametrize("where", ["ledger.duckdb", "history", ".lock"])
def test_what_is_in_the_way_of_a_file_is_one_error(operator: Operator, where: str) -> None:
    """A folder in place of a file or a file in place of a folder, which stops the administrator too."""
    path = operator.world.folder / "data" / where
    aside = operator.world.folder / "aside"
    if path.exists():
        path.rename(aside)
    path.write_text("") if where == "history" else path.mkdir()
    assert str(path) in _refusal(operator.run(*PUBLISH))
    operator.world.check()
    path.unlink() if where == "history" else path.rmdir()
    if aside.exists():
        aside.rename(path)
    _publish(operator)


# Torn files


def test_a_log_of_the_ledger_that_is_torn_anywhere_loses_no_more_than_its_last_row(operator: Operator) -> None:
    """A kill in the midst of writing the intent: it is there as a whole or not at all, and nothing was sent."""
    data, whole = operator.world.folder / "data", operator.world.folder / "whole"
    operator.plant = "tests.faults.full_disk:die_in_the_log"
    assert operator.run(*PUBLISH).was_killed
    operator.plant = None
    assert operator.world.proxy.sent_transactions() == []
    log = data / "ledger.duckdb.wal"
    size = log.stat().st_size
    assert size > 500
    data.rename(whole)
    for length in (*range(0, size, max(1, size // 12)), size - 1, size):
        shutil.copytree(whole, data, dirs_exist_ok=True)
        log.write_bytes((whole / log.name).read_bytes()[:length])
        workspace = operator.world.workspace()
        assert [e.number for e in workspace.ledger.sealed()] == [0, 1], length
        kept = Intents(workspace.ledger).all(ANVIL_CHAIN_ID)
        assert len(kept) == (length == size), length
        shutil.rmtree(data)
    whole.rename(data)
    _publish(operator)


@pytest.mark.parametrize("name", ["ledger.duckdb", "history/log.bin", "history/checkpoints/1", "history/proofs/1.json"])
@pytest.mark.parametrize("left", [0, 0.5], ids=["emptied", "halved"])
def test_a_torn_file_stops_the_next_publication_until_it_is_restored(
    operator: Operator, name: str, left: float
) -> None:
    _publish(operator)
    assert operator.run("attest", "0").status == 0
    operator.world.node.advance(4000)
    path = operator.world.folder / "data" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * left)])
    sent = len(operator.world.proxy.sent_transactions())
    ended = operator.run("publish", "1", "--apply")
    assert ended.status not in (0, -9) and "unexpected" not in ended.err, ended.err
    assert len(operator.world.proxy.sent_transactions()) == sent
    assert operator.world.truth.root_at(1) is None
    path.write_bytes(whole)
    assert operator.run("publish", "1", "--apply").status == 0
    operator.world.check_settled(1)


def _send_and_forget(operator: Operator) -> None:
    """The ledger is restored from a copy of before: the intent is unknown, its transaction waits."""
    ledger = operator.world.folder / "data" / "ledger.duckdb"
    before = ledger.read_bytes()
    assert operator.run(*PUBLISH, kill=KillPoint(SEND.step, AFTER)).was_killed
    ledger.write_bytes(before)
    ledger.with_name("ledger.duckdb.wal").unlink(missing_ok=True)


def test_a_ledger_of_before_the_publication_sends_nothing_twice(operator: Operator) -> None:
    _send_and_forget(operator)
    operator.world.proxy.heal()  # no blocks come
    ended = operator.run(*PUBLISH)
    assert ended.status == ChainError.exit_code and "were not signed here; nothing was sent" in ended.err, ended.err
    operator.mine_when_asked()
    _publish(operator)
    assert operator.world.node.nonce(PUBLISHER.address) == 1


def test_a_ledger_of_before_the_publication_is_no_alarm_when_the_block_comes_meanwhile(operator: Operator) -> None:
    _send_and_forget(operator)
    _publish(operator)
    assert operator.world.node.nonce(PUBLISHER.address) == 1


# Others


def test_a_second_runner_on_the_folder_is_refused_with_the_pid_of_the_first(operator: Operator) -> None:
    with operator.world.workspace().locked():
        for command in (PUBLISH, ("run", "--epochs", "0"), ("resume",), ("attest", "0")):
            told = _refusal(operator.run(*command))
            assert f"is held by process {os.getpid()}; wait until it ends" in told
    assert operator.world.proxy.sent_transactions() == []
    _publish(operator)


def test_the_same_key_from_another_folder_is_refused_with_the_pid_of_its_user(operator: Operator) -> None:
    shutil.copytree(operator.world.folder / "data", operator.world.folder / "other")
    operator.more = {"REWARDS_DATA": str(operator.world.folder / "other")}
    locks = operator.world.folder / "state" / "cxpt-rewards" / "locks"
    with hold_key(name_lock(locks, ANVIL_CHAIN_ID, PUBLISHER.address), "in use"):
        for command in (PUBLISH, ("resume",)):
            assert f"is in use (process {os.getpid()})" in _refusal(operator.run(*command))
    assert operator.world.proxy.sent_transactions() == []
    operator.more = {}
    _publish(operator)


# The clock


def test_a_clock_that_goes_back_between_two_versions_changes_no_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest version is the one that was signed last, whatever its time says; a killed sender goes on from it."""
    moments = iter(datetime(2026, 3, 1, tzinfo=UTC) - timedelta(days=day) for day in range(100))
    monkeypatch.setattr("rewards.jobs.intents.now", lambda: next(moments))

    class Stop(BaseException):
        pass

    def stop_once_replaced() -> None:
        sent = world.proxy.sent_transactions()
        if len({each.transaction.hash for each in sent}) == 2:
            raise Stop
        if sent:
            world.node.set_base_fee(sent[0].fees[0] * 3)

    world.on_pause = stop_once_replaced
    with pytest.raises(Stop):
        world.publish()
    older, newer = Intents(world.workspace().ledger).open(ANVIL_CHAIN_ID)
    sent = [each.transaction.hash for each in world.proxy.sent_transactions()]
    assert ["0x" + older.hash, "0x" + newer.hash] == list(dict.fromkeys(sent))
    world.on_pause = lambda: None
    assert world.publish().receipt is not None
    assert len(world.versions()) == 1
    outcomes = [intent.outcome for intent in Intents(world.workspace().ledger).all(ANVIL_CHAIN_ID)]
    assert outcomes == ["replaced", "succeeded"]
    world.check_settled()
