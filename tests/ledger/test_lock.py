"""The lock: one writing process, named while it holds; gone with its process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rewards.errors import StorageError
from rewards.ledger.lock import hold_lock

HOLD = """
import sys
from pathlib import Path
from rewards.ledger.lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _held_elsewhere(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_second_process_is_refused_with_the_pid_until_the_first_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "data" / ".lock"
    with _held_elsewhere(path) as process:
        for _ in range(2):  # asking does not take it away
            with (
                pytest.raises(StorageError, match=f"held by process {process.pid}; wait until it ends"),
                hold_lock(path),
            ):
                pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        with hold_lock(path):
            assert path.read_text() == f"{os.getpid()}\n"


def test_it_is_released_after_the_block_and_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), hold_lock(path):
            raise ZeroDivisionError
    with hold_lock(path), pytest.raises(StorageError, match=f"held by process {os.getpid()}"), hold_lock(path):
        pass
    with hold_lock(path):
        pass


def test_a_stale_file_says_nothing(tmp_path: Path) -> None:
    """The number of a process that is long gone, or bytes of anything: the kernel's lock counts."""
    path = tmp_path / ".lock"
    for content in (b"999999999999999999999999999999999999\n", b"\xff\xfe", b""):
        path.write_bytes(content)
        with hold_lock(path):
            assert path.read_text() == f"{os.getpid()}\n"


def test_a_place_that_cannot_be_locked_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / ".lock", tmp_path / "folder"):
        with pytest.raises(StorageError, match="cannot be opened"), hold_lock(path):
            pass

    def fill(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fill)
    with pytest.raises(StorageError, match="cannot be locked: No space left"), hold_lock(tmp_path / ".lock"):
        pass
    monkeypatch.undo()
    with hold_lock(tmp_path / ".lock"), pytest.raises(OSError, match="of the block"):
        raise OSError("of the block")


def test_a_lock_that_is_a_link_is_refused_and_what_it_names_is_left_alone(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / ".lock").symlink_to(victim)
    with (
        pytest.raises(StorageError, match=r"\.lock cannot be opened: .*; remove that link"),
        hold_lock(tmp_path / ".lock"),
    ):
        pass
    assert victim.read_text() == "kept"
