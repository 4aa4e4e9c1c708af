"""Writing that a crash cannot leave half done: write aside, fsync, rename, fsync the folder."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from rewards.errors import StorageError


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_file(path: Path, content: bytes) -> None:
    """Replace one file as a whole; raises StorageError and leaves the old one when the disk refuses."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(aside, content)
        aside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise StorageError(
            f"{path} cannot be written: {error.strerror}; free space or give another --data folder"
        ) from error


def move_file(source: Path, target: Path) -> None:
    """Sync a finished file and rename it to its place on the same disk; raises StorageError when it cannot be."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as file:
            os.fsync(file.fileno())
        source.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise StorageError(
            f"{source} cannot be moved to {target}: {error.strerror}; free space or give another --data folder"
        ) from error


def stage_folder(staging: Path, files: dict[str, bytes]) -> None:
    """Write a fresh folder of files, each synced; what stood there is replaced. Raises StorageError, leaving nothing
    behind."""
    try:
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir(parents=True)
        for name, content in files.items():
            _write(staging / name, content)
        _sync_folder(staging)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise StorageError(
            f"{staging} cannot be written: {error.strerror}; free space or give another --data folder"
        ) from error


def move_into_place(staging: Path, target: Path) -> None:
    """Rename a staged folder to its final name, which must not exist."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging.rename(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise StorageError(
            f"{staging} cannot be renamed to {target}: {error.strerror}; look at what stands there"
        ) from error


def remove_leftovers(data: Path) -> None:
    """Remove what killed runs left aside under a data folder; only for who holds its lock."""
    for pattern in (
        ".rewards.duckdb.*.new*",
        "scratch/.*.new",
        "history/.*.new",
        "history/*/.*.new",
        "provenance/*/.*.new",
    ):
        for leftover in data.glob(pattern):
            try:
                leftover.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(f"{leftover} cannot be removed: {error.strerror}; remove it by hand") from error
