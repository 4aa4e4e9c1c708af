"""Asking the owners of a Safe: one file while they are asked, the folder free meanwhile, only the root that was meant."""

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from rewards.chain.vault import Vault
from rewards.errors import ChainError, ChainUnavailable, StorageError
from rewards.jobs.proposal import SafeOwners
from rewards.jobs.revoke import revoke_epoch
from rewards.jobs.workspace import Workspace
from rewards.ports import RootRecord
from tests.jobs import test_publish as publishing
from tests.jobs.test_publish import Net

deployed, net = publishing.deployed, publishing.net


def revoke_by_owners(net: Net, answer: Callable[[Path], object], reason: str = "a test") -> list[str]:
    """A revocation by owners who do `answer` once they are asked; what they were told. Any account stands for the Safe."""
    told: list[str] = []

    def tell(path: Path, lines: list[str]) -> None:
        told.extend(lines)
        answer(path)

    workspace = net.workspace("guardian")
    owners = SafeOwners(net.guardian.address, workspace.data / "safe", tell)
    revoke_epoch(workspace, 0, reason, net.vault, owners)
    return told


def list_requests(net: Net) -> list[Path]:
    return list((net.folder / "guardian" / "safe").glob("*"))


def test_a_root_that_took_the_place_of_the_one_meant_stays(net: Net) -> None:
    net.publish()

    def replace_root(_: Path) -> None:
        net.revoke()
        net.run([0], net.mend_inputs())
        net.publish()

    revoke_by_owners(net, replace_root)
    record = net.vault.root_at(0)
    assert record is not None
    assert (record.status, net.vault.revocations()) == ("pending", 1)
    assert list_requests(net) == []


def test_what_would_revert_is_asked_of_nobody(net: Net) -> None:
    net.publish()
    net.guardian = net.attester
    with pytest.raises(ChainError, match=r"revocation of epoch 0: .*refuses"):
        revoke_by_owners(net, lambda _: pytest.fail("asked"))
    assert list_requests(net) == []


def test_the_same_request_is_the_same_file(net: Net) -> None:
    net.publish()
    files = []
    for reason in ("first", "first", "second"):
        with pytest.raises(ChainError, match="the chain does not show it yet; run the same command again later"):
            revoke_by_owners(net, lambda path: files.append(path.read_bytes()), reason)
    assert files[0] == files[1] != files[2]
    [path] = list_requests(net)
    path.write_bytes(b"cut")
    told = revoke_by_owners(net, lambda _: net.revoke(), "second")
    assert "reason: second" in told
    assert not any("safeTxHash" in line for line in told)  # an account without code has no nonce of a Safe


def test_a_node_that_is_away_for_a_while_ends_no_waiting(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    net.publish()
    failures: list[ChainError] = []
    ask = Vault.root_at

    def root_at(vault: Vault, epoch: int, block: int | None = None) -> RootRecord | None:
        if failures:
            raise failures.pop()
        return ask(vault, epoch, block)

    monkeypatch.setattr(Vault, "root_at", root_at)

    def answer(_: Path) -> None:
        net.revoke()
        failures.extend([ChainUnavailable("away"), ChainUnavailable("away")])

    revoke_by_owners(net, answer)
    assert failures == []
    net.run()
    net.publish(again=True)
    with pytest.raises(ChainUnavailable, match="revocation of epoch 0: away; run the same command again later"):
        revoke_by_owners(net, lambda _: failures.extend(ChainUnavailable("away") for _ in range(9)))


def test_the_folder_is_free_while_people_are_waited_for(tmp_path: Path) -> None:
    workspace, other = Workspace(tmp_path), Workspace(tmp_path)
    with workspace.locked():
        with workspace.unlocked(), other.locked():
            pass
        with pytest.raises(StorageError, match="is held by process"), other.locked():
            pass
        with pytest.raises(KeyboardInterrupt), workspace.unlocked():
            raise KeyboardInterrupt
    with other.locked():
        pass


def test_who_comes_back_waits_for_who_uses_the_folder(tmp_path: Path) -> None:
    workspace, other = Workspace(tmp_path), Workspace(tmp_path)
    order, came = [], Event()

    def use() -> None:
        with other.locked():
            came.set()
            order.append("other ends")

    with workspace.locked(), workspace.unlocked():
        visitor = Thread(target=use)
        visitor.start()
        assert came.wait(10)
    order.append("held again")
    visitor.join(10)
    assert order == ["other ends", "held again"]
