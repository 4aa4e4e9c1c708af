"""A process that dies at a named step: SIGKILL, before or after the n-th call of a function.

    steps = ["rewards.ledger.store.Ledger.seal", "rewards.bundles.store.BundleStore.place"]
    for point in list_steps(["rewards", "demo"], steps).points:
        ended = run_until(["rewards", "demo"], point)
        assert ended.was_killed

What is run is the `rewards` command with its arguments, or `module:function` with arguments that JSON can hold. The
functions named are wrapped in the child alone; every call of one is a step, told to the parent before and after it
happens. A function that gives a generator or a context manager has returned when it gives it.
"""

import functools
import importlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
BEFORE, AFTER = "before", "after"
ANY_STEP = "*"
"""As the step of a `KillPoint`: the `number`-th point of all that are watched, whatever it is."""

Target = Sequence[str] | str
"""`["rewards", *arguments]`, or `module:function`."""


@dataclass(frozen=True, order=True)
class KillPoint:
    """Before or after (`when`) the `number`-th call, from 1, of the function `step`, a dotted path; or ANY_STEP."""

    step: str
    when: str = BEFORE
    number: int = 1

    def __str__(self) -> str:
        return f"{self.when} {self.step.rsplit('.', 1)[-1]} {self.number}"


@dataclass(frozen=True)
class Ended:
    """How a child ended, and every point that it reached, in order."""

    status: int
    points: list[KillPoint]
    out: str
    err: str

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL

    def died_at(self, kill: KillPoint | None) -> bool:
        """By its own hand, and not by a signal from outside before."""
        if kill is None or not self.was_killed:
            return False
        return len(self.points) == kill.number if kill.step == ANY_STEP else kill in self.points

    @property
    def steps(self) -> list[str]:
        """The calls that began, by the last word of their path."""
        return [point.step.rsplit(".", 1)[-1] for point in self.points if point.when == BEFORE]


def list_watched(steps: Iterable[str], kill: KillPoint | None) -> list[str]:
    """The functions to wrap in a child."""
    named = [kill.step] if kill and kill.step != ANY_STEP else []
    return list(dict.fromkeys([*steps, *named]))


def run_until(
    target: Target,
    kill: KillPoint | None = None,
    steps: Iterable[str] = (),
    arguments: Sequence[Any] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 120,
) -> Ended:
    """Runs `target` in a child of its own, which kills itself at `kill`. `steps`: functions to watch besides.

    `env` is added to the environment of this process. `subprocess.TimeoutExpired` when it does not end; it is killed.
    """
    with _Child(target, kill, steps, arguments, env, cwd) as child:
        return child.wait(timeout_s)


def list_steps(target: Target, steps: Iterable[str], **options: Any) -> Ended:
    """An undisturbed run, whose `points` are all the places to die at; takes the options of `run_until`."""
    ended = run_until(target, None, steps, **options)
    assert ended.status == 0, f"an undisturbed run ended with {ended.status}: {ended.err}"
    return ended


def kill_randomly(
    target: Target,
    seed: int,
    max_seconds: float,
    steps: Iterable[str] = (),
    arguments: Sequence[Any] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Ended:
    """Kills the child from outside after a time below `max_seconds` that the seed decides; it may have ended before."""
    delay = random.Random(seed).uniform(0, max_seconds)
    with _Child(target, None, steps, arguments, env, cwd) as child:
        try:
            return child.wait(delay)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait(10)


class _Child:
    """The process, and the file into which it writes its points: what is written survives a kill."""

    def __init__(
        self,
        target: Target,
        kill: KillPoint | None,
        steps: Iterable[str],
        arguments: Sequence[Any],
        env: Mapping[str, str] | None,
        cwd: Path | None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="steps-")
        self._trace, self._out, self._err = (Path(self._folder.name) / name for name in ("trace", "out", "err"))
        self._trace.touch()
        order = {
            "target": target if isinstance(target, str) else list(target),
            "arguments": list(arguments),
            "steps": list_watched(steps, kill),
            "kill": asdict(kill) if kill else None,
            "trace": str(self._trace),
        }
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.process", json.dumps(order)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=cwd,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | dict(env or {}),
                start_new_session=True,
            )

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.wait()
        self._folder.cleanup()

    def wait(self, timeout_s: float) -> Ended:
        status = self._process.wait(timeout_s)
        points = [KillPoint(**json.loads(line)) for line in self._trace.read_text().splitlines()]
        return Ended(status, points, self._out.read_text(), self._err.read_text())

    def kill(self) -> None:
        """The child and whatever it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)


# In the child.


class _Watch:
    """Counts the calls of the functions watched, writes each point down, and dies at the one that is to be the last."""

    def __init__(self, trace: str, kill: KillPoint | None) -> None:
        self._trace = os.open(trace, os.O_WRONLY | os.O_APPEND)
        self._kill = kill
        self._counts: dict[str, int] = {}
        self._reached = itertools.count(1)
        self._lock = threading.Lock()

    def wrap(self, step: str) -> None:
        """Puts a counting function in place of the one at a dotted path, wherever it was imported to by now."""
        owner, name = _find_owner(step)
        found = vars(owner)[name]
        kind = type(found) if isinstance(found, staticmethod | classmethod) else None
        counted = self._count(step, found.__func__ if kind else found)
        setattr(owner, name, kind(counted) if kind else counted)
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith(("rewards", "flows", "tests")):
                for alias in [alias for alias, value in vars(module).items() if value is found]:
                    setattr(module, alias, counted)

    def _count(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                number = self._counts[step] = self._counts.get(step, 0) + 1
            self._reach(KillPoint(step, BEFORE, number))
            answer = function(*args, **kwargs)
            self._reach(KillPoint(step, AFTER, number))
            return answer

        return counted

    def _reach(self, point: KillPoint) -> None:
        os.write(self._trace, json.dumps(asdict(point)).encode() + b"\n")
        if self._kill in (point, KillPoint(ANY_STEP, number=next(self._reached))):
            os.kill(os.getpid(), signal.SIGKILL)


def _find_owner(step: str) -> tuple[Any, str]:
    """The module or class that a dotted path ends in, and the last name of it."""
    words = step.split(".")
    for length in range(len(words) - 1, 0, -1):
        module = ".".join(words[:length])
        try:
            owner: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not (module + ".").startswith(error.name + "."):
                raise
            continue
        for word in words[length:-1]:
            owner = getattr(owner, word)
        return owner, words[-1]
    raise ModuleNotFoundError(f"no module in {step}")


def _run_order(order: Mapping[str, Any]) -> None:
    watch = _Watch(order["trace"], KillPoint(**order["kill"]) if order["kill"] else None)
    for step in order["steps"]:
        watch.wrap(step)
    target = order["target"]
    if isinstance(target, list):
        sys.argv = target
        importlib.import_module("rewards.cli").main()
    else:
        module, function = target.split(":")
        getattr(importlib.import_module(module), function)(*order["arguments"])


if __name__ == "__main__":
    _run_order(json.loads(sys.argv[1]))
