"""Rules of the house that no linter knows: what a pure file may touch, names, floats near money, what lies where."""

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PURE = sorted((ROOT / "rewards").glob("*.py"))
ROOMS = sorted(path for path in (ROOT / "rewards").rglob("*.py") if path.parent != ROOT / "rewards")
OURS = sorted(path for folder in ("rewards", "flows", "tests", ".ci") for path in (ROOT / folder).rglob("*.py"))

MONEY = ("allocation", "distribution", "merkle", "reference", "ruleset_v1", "scoring", "units")
DOORS_TO_CLOCK = ("api", "cli", "jobs")
BANNED_WORDS = {"utils", "util", "helpers", "helper", "common", "manager", "handle", "misc", "stuff"}
TOP_LEVEL = {
    ".ci",
    ".editorconfig",
    ".gitignore",
    "LICENSE",
    "Makefile",
    "README.md",
    "contracts",
    "data",
    "docs",
    "flows",
    "prefect.yaml",
    "pyproject.toml",
    "rewards",
    "tests",
}

WORLD_MODULES = {
    "asyncio",
    "ctypes",
    "fcntl",
    "glob",
    "http",
    "mmap",
    "multiprocessing",
    "os",
    "requests",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "urllib",
}
CLOCK_AND_RANDOM_MODULES = {"random", "secrets", "time", "uuid"}
FILE_METHODS = {
    "cwd",
    "exists",
    "glob",
    "home",
    "is_dir",
    "is_file",
    "iterdir",
    "mkdir",
    "open",
    "read_bytes",
    "read_csv",
    "read_ndjson",
    "read_parquet",
    "read_text",
    "rglob",
    "scan_csv",
    "scan_ndjson",
    "scan_parquet",
    "sink_parquet",
    "stat",
    "touch",
    "unlink",
    "write_bytes",
    "write_csv",
    "write_ndjson",
    "write_parquet",
    "write_text",
}
CLOCK_READS = {
    "date.today",
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.time",
    "time.time_ns",
}
RANDOM_AND_ENVIRONMENT = {"os.environ", "os.getenv", "os.urandom", "uuid.uuid1", "uuid.uuid4"}


def name_of(node: ast.AST) -> str:
    """The last two words of a dotted expression: `datetime.now` for `datetime.datetime.now`."""
    words: list[str] = []
    while isinstance(node, ast.Attribute):
        words.insert(0, node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        words.insert(0, node.id)
    return ".".join(words[-2:])


def list_imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Each imported name in full, with its line: `time.time` for `from time import time`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def find_clock(source: str) -> list[str]:
    """Reads of the clock, the environment or a random number, each as `line: what`."""
    tree = ast.parse(source)
    banned = CLOCK_READS | RANDOM_AND_ENVIRONMENT
    found = [f"{line}: {name}" for name, line in list_imports(tree) if name in banned]
    found += [f"{line}: {name}" for name, line in list_imports(tree) if name.split(".")[0] in {"random", "secrets"}]
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return found + [f"{node.lineno}: {name_of(node)}" for node in attributes if name_of(node) in banned]


def find_world(source: str) -> list[str]:
    """What a pure file must not do: the clock's list, and files, sockets, processes, each as `line: what`."""
    tree = ast.parse(source)
    banned = WORLD_MODULES | CLOCK_AND_RANDOM_MODULES
    found = [f"{line}: {name}" for name, line in list_imports(tree) if name.split(".")[0] in banned]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in {"open", "print", "input"}:
            found.append(f"{node.lineno}: {node.func.id}()")
        if isinstance(node.func, ast.Attribute) and node.func.attr in FILE_METHODS:
            found.append(f"{node.lineno}: .{node.func.attr}()")
    return found + find_clock(source)


def find_floats(source: str) -> list[str]:
    """Float literals, uses of the name `float`, float columns and true division of numbers, each as `line: what`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"{node.lineno}: {node.value!r}")
        if isinstance(node, ast.Name) and node.id == "float":
            found.append(f"{node.lineno}: float")
        if isinstance(node, ast.Attribute) and node.attr in {"Float32", "Float64"}:
            found.append(f"{node.lineno}: {node.attr}")
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"{node.lineno}: /")
    return found


def list_names(path: Path) -> Iterator[str]:
    """The file, its folders and every function and class in it."""
    yield from path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def split_words(name: str) -> set[str]:
    """`FileManager` and `file_manager` both give `file` and `manager`."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name)}


def tracked_files() -> list[Path]:
    """Files of the repository, relative; where git does not answer, all that is neither hidden nor made."""
    asked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if asked.returncode == 0:
        return [Path(name) for name in asked.stdout.split("\0") if name and (ROOT / name).is_file()]
    found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
    return [path for path in found if path.parts[0] == ".ci" or not any(is_made(part) for part in path.parts)]


def is_made(part: str) -> bool:
    """Whether tools make it, or it is hidden, going by one part of its path."""
    return part.startswith(".") or part.endswith(".egg-info") or part in {"build", "node_modules", "out", "__pycache__"}


def as_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PURE, ids=as_id)
def test_plain_file_is_pure(path: Path) -> None:
    assert find_world(path.read_text()) == []


@pytest.mark.parametrize("path", ROOMS, ids=as_id)
def test_clock_environment_and_random_have_their_doors(path: Path) -> None:
    if path.relative_to(ROOT / "rewards").parts[0] not in DOORS_TO_CLOCK:
        assert find_clock(path.read_text()) == []


@pytest.mark.parametrize("path", [path for path in PURE if path.stem in MONEY], ids=as_id)
def test_money_file_has_no_float(path: Path) -> None:
    assert find_floats(path.read_text()) == []


@pytest.mark.parametrize("path", OURS, ids=as_id)
def test_names_say_something(path: Path) -> None:
    assert [name for name in list_names(path) if split_words(name) & BANNED_WORDS or name == "process_data"] == []


def test_nothing_is_left_to_do() -> None:
    mark = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    texts = [path for path in tracked_files() if path.suffix in {".py", ".sol", ".md", ".js", ".mjs", ".toml", ".yaml"}]
    found = [
        f"{path}:{number}"
        for path in texts
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if mark.search(line) and path != Path("tests/test_house.py")
    ]
    assert found == []


def test_top_level_holds_only_what_the_house_names() -> None:
    assert {path.parts[0] for path in tracked_files()} == TOP_LEVEL


def test_lock_files_hold_no_address() -> None:
    locks = [path for path in tracked_files() if path.suffix == ".lock" or path.name == "package-lock.json"]
    assert Path(".ci/requirements.lock") in locks
    found = [
        str(path)
        for path in locks
        if re.search(r'"resolved"|--(extra-)?index-url|--find-links', (ROOT / path).read_text())
    ]
    python_lock = (ROOT / ".ci/requirements.lock").read_text()
    assert found == []
    assert "://" not in python_lock


def test_every_locked_package_has_a_hash() -> None:
    entries = (ROOT / ".ci/requirements.lock").read_text().replace("\\\n", "").splitlines()
    assert entries
    assert [entry[:60] for entry in entries if not re.search(r"==\S+.*--hash=sha256:[0-9a-f]{64}", entry)] == []


def test_set_up_takes_the_pythons_that_the_project_declares() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    accepted = re.findall(r"3\.(\d+)\.\*", (ROOT / ".ci/set-up").read_text())
    assert declared == f">=3.{min(accepted, key=int)},<3.{int(max(accepted, key=int)) + 1}"


def test_every_target_of_make_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    command = ["make", "--silent", "--no-print-directory"]
    shown = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    ).stdout
    assert [line.split()[0] for line in shown.splitlines()[1:]] == phony[1].split()


def test_no_setting_of_a_person_reaches_a_test() -> None:
    assert Path.cwd() != ROOT
    assert not Path(".env").exists()
    assert [name for name in os.environ if name.startswith("REWARDS_")] == []


@pytest.mark.parametrize(
    "source",
    [
        "open('a')",
        "Path.cwd()",
        "path.read_text()",
        "frame.write_parquet(p)",
        "import os",
        "from time import time",
        "import datetime\ndatetime.datetime.now()",
        "from random import random",
        "import socket",
    ],
)
def test_world_is_seen(source: str) -> None:
    assert find_world(source)


@pytest.mark.parametrize("source", ["x = 0.5", "float(a)", "a / b", "a /= 2", "pl.Float64", "def f(a: float): ..."])
def test_float_is_seen(source: str) -> None:
    assert find_floats(source)


@pytest.mark.parametrize("source", ["a // b", "x = 10**18", "from decimal import Decimal", "'1.5'"])
def test_integer_work_is_no_float(source: str) -> None:
    assert find_floats(source) == []


@pytest.mark.parametrize(
    "source", ["import os\nos.environ['A']", "from os import getenv", "from datetime import date\ndate.today()"]
)
def test_clock_and_environment_are_seen(source: str) -> None:
    assert find_clock(source)
