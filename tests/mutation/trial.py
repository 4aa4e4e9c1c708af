"""One mutant before its tests, in a child process: libraries are loaded once, in the parent, and code of ours only in the
child, which takes the mutated file for the real one. Nothing is written beside the sources."""

import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.targets import ROOT, Group, Mutant

PROFILE = "mutation"
LIBRARIES = (
    "numpy", "polars", "pyarrow", "pandera.polars", "duckdb", "numba", "pymerkle", "pydantic_settings", "rich.progress",
    "typer", "pytest_timeout", "_hypothesis_pytestplugin", "web3", "eth_account", "rlp", "coincurve", "sha3",
)  # fmt: skip
PLUGINS = [
    f"-p{name}" for name in ("_hypothesis_pytestplugin", "pytest_timeout", "no:cacheprovider", "no:unraisableexception")
]
"""No others are looked for: that takes longer than most tests."""
QUIET = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "_RJEM_MALLOC_CONF": "background_thread:false",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""So that libraries start no threads on import, which a fork would lose."""
IDLE = {"polars-ooc-clea"}
"""A thread of Polars that cleans up what it spills to disk; nothing spills here."""
MEMORY = 6 << 30
BROKEN = 70
MEANINGLESS = pytest.ExitCode.NO_TESTS_COLLECTED
"""All else but success is a kill: a mutant that cannot be imported fails a collection or, in a conftest, the call."""


@dataclass(frozen=True)
class Verdict:
    """Whether a test failed, which, and how long it took; `by` tells of a mutant that ended otherwise how it did."""

    killed: bool
    by: str
    seconds: float
    cpu: float


def load_libraries() -> None:
    """Once, before the first trial. RuntimeError where threads run that a child would miss."""
    settings.register_profile(
        PROFILE,
        deadline=None,
        derandomize=True,
        database=None,
        max_examples=40,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # a child need not look through what was here before it
    tasks = [path for path in Path("/proc/self/task").iterdir() if path.name != str(os.getpid())]
    running = {(path / "comm").read_text().strip() for path in tasks} - IDLE
    if running:
        raise RuntimeError(f"threads run before a fork: {', '.join(sorted(running))}; see QUIET in {__file__}")


def try_mutant(group: Group, mutant: Mutant | None, cpu_s: int, wall_s: float, first: str | None = None) -> Verdict:
    """Runs the stages until a test fails; without a mutant, on the code as it is. `first` names a test to begin with."""
    home = Path(tempfile.mkdtemp(prefix="mutation-"))
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _run_child(group, mutant, cpu_s, home, first)
    try:
        status, cpu = _wait(child, started + wall_s)
        seconds = time.monotonic() - started
        said = home / "by"
        by = said.read_text() if said.exists() else ""
        if status is None:
            return Verdict(True, "it takes too long", seconds, cpu)
        if os.WIFSIGNALED(status):
            return Verdict(True, signal.Signals(os.WTERMSIG(status)).name, seconds, cpu)
        code = os.WEXITSTATUS(status)
        if code == BROKEN:
            raise RuntimeError(f"pytest did not run: {(home / 'output').read_text()[-2000:]}")
        return Verdict(code != 0, by or ("its tests cannot be collected" if code else ""), seconds, cpu)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # nodes that its tests started
        shutil.rmtree(home, ignore_errors=True)


def _wait(child: int, until: float) -> tuple[int | None, float]:
    while True:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            return status, usage.ru_utime + usage.ru_stime
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            _, _, usage = os.wait4(child, 0)
            return None, usage.ru_utime + usage.ru_stime
        time.sleep(0.01)


def _run_child(group: Group, mutant: Mutant | None, cpu_s: int, home: Path, first: str | None) -> None:
    code = BROKEN
    try:
        os.setsid()
        output = os.open(home / "output", os.O_CREAT | os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(output, stream)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.environ["TMPDIR"] = tempfile.tempdir = str(home)
        os.chdir(ROOT)
        if mutant is not None:
            sys.dont_write_bytecode = True
            sys.meta_path.insert(0, _Finder(mutant))
        code = _run_stages([*([(first,)] if first else []), *group.stages], home)
    finally:
        os._exit(code)


def _run_stages(stages: Sequence[Sequence[str]], home: Path) -> int:
    for number, stage in enumerate(stages):
        options = [
            "-x",
            "-q",
            "--tb=short",
            "--assert=plain",
            f"--hypothesis-profile={PROFILE}",
            f"--basetemp={home / str(number)}",
        ]
        result = pytest.main([*stage, *options, *PLUGINS], plugins=[_Listener(home / "by")])
        if result != pytest.ExitCode.OK:
            return BROKEN if result == MEANINGLESS else 1
    return 0


class _Listener:
    """Notes the first test that fails."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self._path.exists():
            self._path.write_text(report.nodeid)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutated text for the module of its file."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = mutant.file.removesuffix(".py").replace("/", ".")

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, ROOT / self._mutant.file, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._mutant.text, str(ROOT / self._mutant.file), "exec"), module.__dict__)
