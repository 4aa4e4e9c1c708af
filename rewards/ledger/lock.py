"""One runner at a time: an advisory lock of the kernel, which dies with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rewards.errors import StorageError


@contextmanager
def hold_lock(path: Path, patient: bool = False) -> Iterator[None]:
    """Hold `path` for as long as the block runs; raises StorageError naming the owner's pid when another holds it, or waits
    for that one where `patient`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        mend = "remove that link" if path.is_symlink() else "give a folder that can be written"
        raise StorageError(f"{path} cannot be opened: {error.strerror}; {mend}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB))
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            owner = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            raise StorageError(f"{path} is held by process {owner}; wait until it ends") from error
        except OSError as error:
            raise StorageError(f"{path} cannot be locked: {error.strerror}; give a folder on a local disk") from error
        yield
    finally:
        os.close(handle)
