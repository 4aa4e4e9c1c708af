"""What earlier runs found out, so that a run goes on where the last one stopped; and the answers to survivors."""

import gzip
import hashlib
import json
import threading
from pathlib import Path
from typing import Any

Code = dict[str, dict[str, str]]  # contract: bytecode, deployedBytecode
Name = tuple[str, str, str, str]  # file, function, statement, mutated statement


def digest(*texts: str) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


class Journal:
    """Records of one kind in a file of JSON lines; the last one under a key holds. Safe between threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._records: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                if line.endswith("}"):  # an interrupted write left less
                    record = json.loads(line)
                    self._records[record["key"]] = record

    def find(self, key: str) -> dict[str, Any] | None:
        return self._records.get(key)

    def add(self, key: str, **fields: object) -> None:
        record = {"key": key, **fields}
        with self._lock:
            self._records[key] = record
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(json.dumps(record) + "\n")


def save_code(folder: Path, code: Code) -> str:
    """Under its digest, which tells mutants apart."""
    text = json.dumps(code, sort_keys=True)
    name = digest(text)
    path = folder / "code" / f"{name}.gz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode(), 1))
    return name


def load_code(folder: Path, name: str) -> Code:
    code: Code = json.loads(gzip.decompress((folder / "code" / f"{name}.gz").read_bytes()))
    return code


def read_answers(path: Path) -> dict[Name, str]:
    """Why each accepted survivor may live."""
    answers: dict[Name, str] = {}
    for entry in json.loads(path.read_text()):
        name = (entry["file"], entry["function"], entry["original"], entry["mutated"])
        if name in answers or not entry["answer"].strip():
            raise ValueError(f"{path.name}: repeated or empty answer: {' | '.join(name)}")
        answers[name] = entry["answer"]
    return answers
