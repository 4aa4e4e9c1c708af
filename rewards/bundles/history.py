"""The folder `history/`: a log of entries that grows at its end, and for each size a proof and a checkpoint, written
once."""

import re
from collections.abc import Iterator
from pathlib import Path

from rewards.bundles.disk import write_file
from rewards.errors import Disagreement, StorageError
from rewards.history import History, StoredHistory

_SIZE = re.compile(r"([1-9][0-9]*)(?:\.json)?")


class HistoryStore:
    """The history of one data directory: `log.bin`, `proofs/<size>.json`, `checkpoints/<size>`."""

    def __init__(self, data: Path) -> None:
        self.folder = data / "history"

    def read(self) -> StoredHistory:
        """The files as they are; empty where there are none. Raises StorageError when one cannot be read."""
        # Against the order of writing, so that a reader beside a writer sees no checkpoint without its entry.
        checkpoints, proofs = self._read_folder("checkpoints"), self._read_folder("proofs")
        return StoredHistory(self._read_log(), checkpoints, proofs)

    def extend(self, history: History) -> None:
        """Write what the folder lacks of a history: log, then size by size proof and checkpoint. After a kill at any
        point the same call ends the same.

        Raises Disagreement when something else stands there, StorageError when the disk refuses.
        """
        log = b"".join(history.entries)
        if (found := self._read_log()) != log:
            if not log.startswith(found):
                raise Disagreement(
                    f"{self._log} is not the beginning of what the chain published; see the gate history"
                )
            write_file(self._log, log)
        for size in range(1, len(history) + 1):
            checkpoint = self.folder / "checkpoints" / str(size)
            if not checkpoint.exists():
                _write_once(self.folder / "proofs" / f"{size}.json", history.prove_growth(size))
                _write_once(checkpoint, history.checkpoint(size).to_text().encode())

    @property
    def _log(self) -> Path:
        return self.folder / "log.bin"

    def _read_log(self) -> bytes:
        return _read(self._log) if self._log.exists() else b""

    def _read_folder(self, name: str) -> dict[int, bytes]:
        return {size: _read(path) for size, path in sorted(_list_sizes(self.folder / name))}


def _list_sizes(folder: Path) -> Iterator[tuple[int, Path]]:
    """Files named by a size; what a killed run left aside has another name."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if match := _SIZE.fullmatch(path.name):
            yield int(match[1]), path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}; mend its permissions or the disk") from error


def _write_once(path: Path, content: bytes) -> None:
    if not path.exists():
        write_file(path, content)
    elif _read(path) != content:
        raise Disagreement(f"{path} holds something else than its size comes to; see the gate history")
