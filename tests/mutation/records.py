"""What earlier runs found out, so that a run goes on where the last one stopped, and the answers to survivors."""

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.mutation.targets import KEPT, ROOT, Group, Mutant, digest
from tests.mutation.trial import Verdict

ANSWERS = ROOT / "tests" / "mutation" / "mutants.json"
Name = tuple[str, str, str, str]


class Trials:
    """Verdicts in a file of JSON lines; the last of a mutant holds as long as nothing changes that it was about: of a kill
    the function or class and the test, of a survival the whole file and all tests."""

    def __init__(self) -> None:
        self._path = KEPT / "trials.jsonl"
        self._records: dict[str, dict[str, Any]] = {}
        if self._path.exists():
            for line in self._path.read_text().splitlines():
                if line.endswith("}"):  # an interrupted write left less
                    record = json.loads(line)
                    self._records[record["key"]] = record

    def add(self, group: Group, mutant: Mutant, verdict: Verdict) -> None:
        """Keep a verdict; what the judges are is kept with it."""
        record = {
            "key": digest(*mutant.name),
            "about": digest(mutant.part if verdict.killed else mutant.text),
            "killed": verdict.killed,
            "by": verdict.by,
            "judges": _describe_judges(group, verdict.killed, verdict.by),
        }
        self._records[record["key"]] = record
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def find(self, group: Group, mutant: Mutant) -> dict[str, Any] | None:
        """The verdict, where it still holds."""
        record = self._records.get(digest(*mutant.name))
        if record is None or record["about"] != digest(mutant.part if record["killed"] else mutant.text):
            return None
        return record if record["judges"] == _describe_judges(group, record["killed"], record["by"]) else None

    def last_killer(self, mutant: Mutant) -> str | None:
        """The test that killed it once, if it is still there."""
        record = self._records.get(digest(*mutant.name))
        by: str = record["by"] if record else ""
        return by if "::" in by and (ROOT / by.split("::")[0]).exists() else None


def _describe_judges(group: Group, killed: bool, by: str) -> str:
    """Of a kill, the test that failed; of a survival, all test files and how they were run."""
    if not killed:
        return digest(repr(group.stages), *(path.read_text() for path in group.tests))
    return digest(*_read_tests(ROOT / by.split("::")[0]).get(by.split("::")[-1].split("[")[0], ["gone"]))


@cache
def _read_tests(path: Path) -> dict[str, list[str]]:
    """The functions of a test file by their names."""
    if not path.is_file():
        return {}
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    return {node.name: [ast.dump(node)] for node in nodes}


def read_answers(path: Path = ANSWERS) -> dict[Name, str]:
    """Why each accepted survivor may live; ValueError for an empty or repeated answer."""
    answers: dict[Name, str] = {}
    for entry in json.loads(path.read_text()):
        name = (entry["file"], entry["function"], entry["original"], entry["mutated"])
        if name in answers or not entry["answer"].strip():
            raise ValueError(f"{path.name}: repeated or empty answer: {' | '.join(name)}")
        answers[name] = entry["answer"]
    return answers
