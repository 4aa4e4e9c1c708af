"""The same inputs give the same bytes: whatever the order of rows, their files and formats, the threads, the zone, the
language, the seed of hashing. Every environment is a process of its own."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from tests.engines.test_spark import needs_spark
from tests.shapes import SHAPES, close_epochs, write_base, write_shapes

NAMES = ("as-is", "small-row-groups", *SHAPES)
THREADS = (1, 2, 8)
ENVIRONMENTS = [
    {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0", "POLARS_MAX_THREADS": "1"},
    {"TZ": "America/St_Johns", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1", "POLARS_MAX_THREADS": "2"},
    {"TZ": "Pacific/Kiritimati", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "2", "POLARS_MAX_THREADS": "8"},
    {"TZ": "Asia/Kathmandu", "LC_ALL": "de_DE.UTF-8", "PYTHONHASHSEED": "3", "POLARS_MAX_THREADS": "1"},
    {"TZ": "Pacific/Pago_Pago", "LC_ALL": "C", "PYTHONHASHSEED": "4294967295", "POLARS_MAX_THREADS": "3"},
    {"TZ": "Europe/London", "LC_ALL": "ar_EG.UTF-8", "PYTHONHASHSEED": "random", "NUMBA_NUM_THREADS": "1"},
    {"TZ": "Antarctica/Troll", "LC_ALL": "POSIX", "PYTHONHASHSEED": "random", "PYTHONOPTIMIZE": "1"},
    {"TZ": "Asia/Shanghai", "LC_ALL": "ja_JP.UTF-8", "PYTHONHASHSEED": "12345", "PYTHONUTF8": "1"},
]
Digests = dict[str, str]


@pytest.fixture(scope="module")
def expected(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Digests:
    base = write_base(repository / "data" / "sample", tmp_path_factory.mktemp("base"))
    return close_epochs(base, tmp_path_factory.mktemp("expected"), threads=1)


@pytest.fixture(scope="module")
def found(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], Digests]:
    """Digests by environment and shape, two processes at a time."""
    folder = tmp_path_factory.mktemp("shapes")
    write_shapes(repository / "data" / "sample", folder)

    def run(number: int) -> list[tuple[tuple[int, str], Digests]]:
        turned = THREADS[number % 3 :] + THREADS[: number % 3]
        command = [sys.executable, "-m", "tests.shapes", str(folder), *map(str, turned)]
        environment = os.environ | {"PYTHONPATH": str(repository)} | ENVIRONMENTS[number]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return [((number, line["shape"]), line["digests"]) for line in lines]

    with ThreadPoolExecutor(2) as pool:
        return dict(entry for entries in pool.map(run, range(len(ENVIRONMENTS))) for entry in entries)


def test_the_combinations_are_many(found: dict[tuple[int, str], Digests]) -> None:
    assert len(found) == len(ENVIRONMENTS) * len(NAMES) >= 64


@pytest.mark.timeout(900)
@pytest.mark.parametrize("shape", NAMES)
@pytest.mark.parametrize("number", range(len(ENVIRONMENTS)), ids=[e["TZ"] for e in ENVIRONMENTS])
def test_the_bytes_are_the_same(
    expected: Digests, found: dict[tuple[int, str], Digests], number: int, shape: str
) -> None:
    assert len(expected) == 32
    assert found[number, shape] == expected


@needs_spark
@pytest.mark.timeout(900)
def test_spark_gives_the_same_bytes_of_another_shape_elsewhere(
    expected: Digests, repository: Path, tmp_path: Path
) -> None:
    write_shapes(repository / "data" / "sample", tmp_path)
    command = [sys.executable, "-m", "tests.shapes", str(tmp_path), "spark", "2", "mixed"]
    environment = os.environ | {"PYTHONPATH": str(repository)} | ENVIRONMENTS[2]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["digests"] == expected


@pytest.mark.parametrize("language", sorted({e["LC_ALL"] for e in ENVIRONMENTS}))
def test_the_languages_are_there(language: str) -> None:
    """Without its data a language is C under another name, and compares nothing: so it is told, not passed over."""
    command = [sys.executable, "-c", "import locale; locale.setlocale(locale.LC_ALL, '')"]
    done = subprocess.run(command, env=os.environ | {"LC_ALL": language}, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"{language} is not installed here; .ci/run installs locales-all")


def test_another_row_gives_other_bytes(expected: Digests, repository: Path, tmp_path: Path) -> None:
    """So that the comparison can fail."""
    base = write_base(repository / "data" / "sample", tmp_path / "base")
    path = base / "usage_records" / "2026-01-08.parquet"
    pl.read_parquet(path)[1:].write_parquet(path)
    changed = close_epochs(base, tmp_path / "data", threads=2)
    assert changed.keys() == expected.keys() and changed != expected
