"""One process at a time: locks of the kernel on a folder or a key, which end with the process that holds them."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EPERM
from pathlib import Path

from rewards.errors import StorageError


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Makes a folder and keeps other deployments away from it for as long as the block runs; StorageError when one is at
    work there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StorageError(f"{folder} cannot be opened: {error.strerror}; give a folder that can be written") from None
    with _lock(held, f"another deployment is at work in {folder}"):
        yield


@contextmanager
def hold_key(lock: Path, otherwise: str) -> Iterator[None]:
    """Keeps other processes away from a key, whose nonces they would take; StorageError that begins with `otherwise` and
    names the process that has it, or when another user could take the lock. The file stays: to remove it would let in two
    at once."""
    with _open_own(lock) as held, _lock(held, otherwise, named=True):
        yield


@contextmanager
def _open_own(lock: Path) -> Iterator[int]:
    """The lock file, in a folder that belongs to this user and that nobody else enters."""
    opened = []
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened.append(os.open(lock.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
        _require_own(opened[0], lock.parent)
        os.fchmod(opened[0], 0o700)
        opened.append(os.open(lock.name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=opened[0]))
        _require_own(opened[1], lock)
    except OSError as error:
        for one in opened:
            os.close(one)
        raise StorageError(
            f"the lock {lock} cannot be made: {error.strerror}; set XDG_STATE_HOME to a folder of this user"
        ) from None
    os.close(opened[0])
    yield opened[1]


def _require_own(held: int, path: Path) -> None:
    owner = os.fstat(held).st_uid
    if owner != os.getuid():
        raise PermissionError(EPERM, f"{path} belongs to user {owner}, not {os.getuid()}")


@contextmanager
def _lock(held: int, otherwise: str, named: bool = False) -> Iterator[None]:
    """Only a file can be `named`: its content is the owner's process id."""
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(held, 32, 0).decode(errors="replace").strip() if named else ""
            raise StorageError(f"{otherwise}{f' (process {owner})' if owner else ''}; wait until it ends") from None
        if named:
            os.ftruncate(held, 0)
            os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(held)
