"""Solidity sources as statements, and their mutants.

A mutator works on lines, so that a statement over several lines would escape it. Here comments go and every statement
becomes one line; the compiler makes the same bytecode of it.
"""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

RULES = Path(__file__).with_name("solidity.rules")
COMMENT_OR_STRING = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
IMPORT = re.compile(r'^import\s[^"\';]*["\']([^"\']+)["\']\s*;', re.MULTILINE)


@dataclass(frozen=True)
class Statement:
    line: int
    function: str
    text: str


@dataclass(frozen=True)
class Mutant:
    file: str
    line: int
    function: str
    original: str
    mutated: str
    text: str  # of the whole file

    @property
    def name(self) -> tuple[str, str, str, str]:
        """What an answer is kept under: line numbers move, statements stay."""
        return self.file, self.function, self.original, self.mutated


def read_statements(text: str) -> list[Statement]:
    """The statements of a source; an opening or closing brace of a block ends one too."""
    bare = COMMENT_OR_STRING.sub(lambda m: m[0] if m[0][0] == '"' else re.sub(r"[^\n]+", " ", m[0]), text)
    statements: list[Statement] = []
    function, start, waiting = "", 0, ""
    for number, line in enumerate(bare.splitlines(), 1):
        piece = line.strip()
        if not piece:
            continue
        if waiting:
            tight = waiting[-1] in "([{" or piece[0] in ")]}"
            waiting += piece if tight else f" {piece}"
        else:
            start, waiting = number, line.rstrip()
        opened = sum(map(waiting.count, "([")) - sum(map(waiting.count, ")]"))
        if opened == 0 and waiting[-1] in ";{}":
            header = re.match(r"\s*(?:(?:function|modifier) (\w+)|(constructor))", waiting)
            function = (header[1] or header[2]) if header else function
            statements.append(Statement(start, function, waiting))
            waiting = ""
    return statements


def render(statements: list[Statement]) -> str:
    return "".join(f"{statement.text}\n" for statement in statements)


def read_code(path: Path) -> str:
    """A source without its comments, one statement a line."""
    return render(read_statements(path.read_text()))


def make_mutants(source: Path) -> list[Mutant]:
    """Every mutant of a file, in the order of the mutator, which is that of the statements."""
    statements = read_statements(source.read_text())
    with tempfile.TemporaryDirectory() as folder:
        flat = Path(folder, source.name)
        flat.write_text(render(statements))
        mutants = Path(folder, "mutants")
        mutants.mkdir()
        mutate = str(Path(sys.executable).with_name("mutate"))
        options = ["--noCheck", "--only", str(RULES), "--mutantDir", str(mutants)]
        done = subprocess.run([mutate, str(flat), "solidity", *options], cwd=folder, capture_output=True, text=True)
        if done.returncode or "FAILED TO COMPILE RULE" in done.stdout or "WARNING" in done.stdout:
            raise RuntimeError(f"universalmutator failed on {source.name}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        count = len(list(mutants.iterdir()))
        texts = [(mutants / f"{source.stem}.mutant.{i}.sol").read_text() for i in range(count)]
    return [describe(source.name, statements, text) for text in texts]


def describe(file: str, statements: list[Statement], text: str) -> Mutant:
    """A statement that a function has twice is told apart by its number."""
    lines = text.splitlines()
    at = next(i for i, statement in enumerate(statements) if lines[i] != statement.text)
    changed = statements[at]
    same = [s for s in statements[: at + 1] if (s.function, s.text) == (changed.function, changed.text)]
    function = changed.function if len(same) == 1 else f"{changed.function} ({len(same)})"
    return Mutant(file, changed.line, function, changed.text.strip(), lines[at].strip(), text)


def list_imports(file: Path, home: Path, found: set[Path] | None = None) -> set[Path]:
    """The file and all that it imports by a relative path, directly or not; all named from `home`."""
    found = set() if found is None else found
    if file not in found:
        found.add(file)
        for target in IMPORT.findall((home / file).read_text()):
            if target.startswith("."):
                list_imports(Path(os.path.normpath(file.parent / target)), home, found)
    return found
