"""The folder of the history: written once and in order, the same after a kill at any write, never written over."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rewards.bundles import history as module
from rewards.bundles.disk import remove_leftovers, write_file
from rewards.bundles.history import HistoryStore
from rewards.errors import Disagreement, StorageError
from rewards.history import ENTRY_SIZE, History, find_damage, name_origin
from rewards.ports import Publication
from rewards.units import Address

ORIGIN = name_origin(31337, Address("0x" + "cd" * 20))
PUBLICATIONS = [
    Publication(n, bytes([n + 1]) * 32, bytes([n + 101]) * 32, n * 10**18, n * 10**17, n // 2) for n in range(12)
]


def first(size: int) -> History:
    return History(ORIGIN, PUBLICATIONS[:size])


def read_files(data: Path) -> dict[str, bytes]:
    folder = data / "history"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Kill(BaseException):
    """The process ends here."""


def test_a_folder_that_is_not_there_is_an_empty_history(tmp_path: Path) -> None:
    stored = HistoryStore(tmp_path).read()
    assert (stored.log, stored.checkpoints, stored.proofs, stored.size, stored.origin) == (b"", {}, {}, 0, "")
    HistoryStore(tmp_path).extend(first(0))
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    HistoryStore(tmp_path).extend(first(11))
    stored = HistoryStore(tmp_path).read()
    assert stored.log == b"".join(first(11).entries)
    assert list(stored.checkpoints) == list(stored.proofs) == list(range(1, 12))
    assert (stored.size, stored.origin) == (11, ORIGIN)
    assert find_damage(stored, ORIGIN) == []


def test_a_history_grows_without_touching_what_stands(tmp_path: Path) -> None:
    """One at a time or all at once: the same bytes; and files of earlier sizes are the same files."""
    store = HistoryStore(tmp_path / "steps")
    for size in range(1, 8):
        standing = {p: p.stat().st_ino for p in store.folder.glob("*/*")}
        store.extend(first(size))
        assert {p: p.stat().st_ino for p in standing} == standing
    HistoryStore(tmp_path / "whole").extend(first(7))
    assert read_files(tmp_path / "steps") == read_files(tmp_path / "whole")


def test_nothing_is_written_when_nothing_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = HistoryStore(tmp_path)
    store.extend(first(4))
    written: list[Path] = []
    monkeypatch.setattr(module, "write_file", lambda path, content: written.append(path))
    store.extend(first(4))
    assert written == []


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
@pytest.mark.parametrize("turn", range(7))
def test_a_kill_at_any_write_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int, after: bool
) -> None:
    """Two entries stand, three are added in seven writes. What stands in between is sound."""
    store, turns = HistoryStore(tmp_path / "killed"), iter(range(7))
    store.extend(first(2))

    def stop(path: Path, content: bytes) -> None:
        now = next(turns)
        if now < turn or after:
            write_file(path, content)
        if now == turn:
            raise Kill

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_file", stop)
        with pytest.raises(Kill):
            store.extend(first(5))
    assert find_damage(store.read(), ORIGIN) == []
    store.extend(first(5))
    HistoryStore(tmp_path / "whole").extend(first(5))
    assert read_files(tmp_path / "killed") == read_files(tmp_path / "whole")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_what_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    store = HistoryStore(tmp_path)
    store.extend(first(2))
    before = read_files(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync", refuse) if call == "fsync" else (Path, "replace", refuse)))
        with pytest.raises(StorageError, match="No space left"):
            store.extend(first(3))
    assert read_files(tmp_path) == before
    store.extend(first(3))
    assert find_damage(store.read(), ORIGIN) == [] and store.read().size == 3


def test_what_a_killed_write_left_aside_is_not_read_and_is_removed(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    store.extend(first(2))
    aside = [store.folder / name for name in (".log.bin.7.new", "proofs/.3.json.7.new", "checkpoints/.3.7.new")]
    for path in aside:
        path.write_bytes(b"half")
    assert store.read().size == 2 and find_damage(store.read(), ORIGIN) == []
    remove_leftovers(tmp_path)
    assert not any(path.exists() for path in aside)
    assert store.read().size == 2


Damage = Callable[[Path], object]
DAMAGES: dict[str, Damage] = {
    "another log": lambda folder: (folder / "log.bin").write_bytes(bytes(2 * ENTRY_SIZE)),
    "a longer log": lambda folder: (folder / "log.bin").write_bytes(b"".join(first(4).entries)),
    "a cut log": lambda folder: (folder / "log.bin").write_bytes(b"".join(first(2).entries)[:-1] + b"\xff"),
    "another proof": lambda folder: (folder / "proofs" / "3.json").write_bytes(b"{}"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_stands_is_never_written_over(tmp_path: Path, name: str) -> None:
    store = HistoryStore(tmp_path)
    store.extend(first(2))
    DAMAGES[name](store.folder)
    before = read_files(tmp_path)
    with pytest.raises(Disagreement, match="history"):
        store.extend(first(3))
    found = read_files(tmp_path)
    assert {name: found[name] for name in before if name != "log.bin"} == {
        name: content for name, content in before.items() if name != "log.bin"
    }
    assert found["log.bin"] == (before["log.bin"] if name != "another proof" else b"".join(first(3).entries))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    store.extend(first(1))
    checkpoint = store.folder / "checkpoints" / "1"
    checkpoint.unlink()
    checkpoint.mkdir()
    with pytest.raises(StorageError, match="checkpoints/1 cannot be read"):
        store.read()
