"""Fresh processes, turns, medians and spreads: what every part of the bench measures with.

This process stays small, imports no data library and only waits: a child's peak memory cannot be below its parent's.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
_TICK_S = 0.1


class BenchError(Exception):
    """Nothing can be measured; the text says what to do."""


@dataclass(frozen=True)
class Spread:
    """Median of some runs, with the lowest and the highest."""

    median: float
    lowest: float
    highest: float
    runs: int


@dataclass(frozen=True)
class Run:
    """One fresh process: its answer, and the most memory that it held, in MB."""

    answer: Mapping[str, Any]
    peak_mb: float

    @property
    def seconds(self) -> float:
        return float(self.answer["seconds"])


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values), len(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours by theirs, pair by pair, as far as both were measured."""
    return spread([one / other for one, other in zip(ours, theirs, strict=False)])


def alternate(contenders: Mapping[str, Callable[[], Run]], turns: Mapping[str, int]) -> dict[str, list[Run]]:
    """Let contenders run in turn, each as often as `turns` says; another one begins every time."""
    found: dict[str, list[Run]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(max(turns.values())):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if turn < turns[name]:
                found[name].append(contenders[name]())
    return found


def check_same(what: str, answers: Mapping[str, Sequence[object]]) -> None:
    """A benchmark whose answers differ is none: raise BenchError naming them."""
    if len({answer for some in answers.values() for answer in some}) > 1:
        told = "; ".join(f"{name}: {', '.join(sorted(set(map(str, some))))}" for name, some in answers.items())
        raise BenchError(f"{what} differs, so that nothing is compared: {told}; one of them is wrong, find out which")


class Meter:
    """Runs processes and shows on stderr how far the bench is and how long it may take."""

    def __init__(self, progress: Progress, seconds: float) -> None:
        self._progress = progress
        self._whole = progress.add_task("all parts", total=seconds)
        self._now = progress.add_task("", total=None)
        self._done, self._end = 0.0, 0.0

    def begin(self, seconds: float) -> None:
        """The next part begins, which may take so long."""
        self._done, self._end = self._end, self._end + seconds
        self._progress.update(self._whole, completed=self._done)

    def show(self, what: str) -> None:
        """Name the step of now."""
        self._progress.reset(self._now, description=what)

    def finish(self) -> None:
        self._progress.update(self._whole, completed=self._end)

    def run(self, what: str, command: Sequence[str]) -> Run:
        """A fresh process that prints one line of JSON. Raises BenchError when it fails."""
        self.show(what)
        with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as told:
            child = subprocess.Popen(command, stdout=printed, stderr=told, cwd=ROOT)
            peak_kb = self._wait(child)
            printed.seek(0)
            told.seek(0)
            if child.returncode:
                last = told.read().decode(errors="replace").strip().splitlines()[-1:] or ["it says nothing"]
                raise BenchError(f"{what} ended with {child.returncode}: {last[0]}; run by hand: {' '.join(command)}")
            answer = json.loads(printed.read().decode().splitlines()[-1])
        return Run(answer, answer.get("peak_mb", peak_kb / 1024))

    def run_ours(self, what: str, task: str, *arguments: object) -> Run:
        """A fresh process of `tests.bench.child`."""
        return self.run(what, [sys.executable, "-m", "tests.bench.child", task, *map(str, arguments)])

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        try:
            while True:
                began = time.monotonic()
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    child.returncode = os.waitstatus_to_exitcode(status)
                    return usage.ru_maxrss
                time.sleep(_TICK_S)
                self._done = min(self._done + time.monotonic() - began, self._end)
                self._progress.update(self._whole, completed=self._done)
        except BaseException:
            child.kill()
            raise
