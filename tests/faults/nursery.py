"""Children without the seconds that imports take: a process that has imported the whole of `rewards`, and done nothing
else, forks one for each order. What dies is a process of its own, by SIGKILL, as in `process`.

    with Nursery() as nursery:
        ended = nursery.run(["rewards", "publish", "0", "--apply"], KillPoint("rewards.chain.client.Chain.send_raw"))
        ended = nursery.run(["rewards", "resume"], max_seconds=0.2)     # killed from outside, unless it has ended before
"""

import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.process import ROOT, Ended, KillPoint, Target, _run_order, list_watched


class Nursery:
    """One child at a time; several nurseries run beside each other."""

    def __enter__(self) -> "Nursery":
        self._folder = tempfile.TemporaryDirectory(prefix="nursery-")
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def run(
        self,
        target: Target,
        kill: KillPoint | None = None,
        steps: Iterable[str] = (),
        arguments: Sequence[Any] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        max_seconds: float = 120,
        plant: str | None = None,
    ) -> Ended:
        """Runs `target` in a child that kills itself at `kill`, or is killed after `max_seconds`. `steps`: functions to
        watch besides; `plant`: `module:function` that the child calls first, to put a defect into itself."""
        trace, out, err = (Path(self._folder.name) / name for name in ("trace", "out", "err"))
        trace.write_text("")
        order = {
            "target": target if isinstance(target, str) else list(target),
            "arguments": list(arguments),
            "steps": list_watched(steps, kill),
            "kill": asdict(kill) if kill else None,
            "trace": str(trace),
            "out": str(out),
            "err": str(err),
            "env": os.environ | dict(env or {}),
            "cwd": str(cwd or Path.cwd()),
            "max_seconds": max_seconds,
            "plant": plant,
        }
        with self._turn:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            status = int(self._process.stdout.readline())
            points = [KillPoint(**json.loads(line)) for line in trace.read_text().splitlines()]
            return Ended(status, points, out.read_text(), err.read_text())


# In the process that forks.


def _import_everything() -> None:
    """Also what is imported and compiled at first use. Nothing that starts threads, which a fork would lose."""
    import rewards
    from rewards.keccak import load_kernel

    load_kernel()
    importlib.import_module("pandera.backends.polars.builtin_checks")
    for module in pkgutil.walk_packages(rewards.__path__, "rewards."):
        if module.name not in ("rewards.chain.kms", "rewards.engines.spark"):  # they need extras
            importlib.import_module(module.name)


def _serve() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _live(order)
        print(_wait(child, order["max_seconds"]), flush=True)


def _wait(child: int, max_seconds: float) -> int:
    handle = os.pidfd_open(child)
    try:
        if not select.select([handle], [], [], max_seconds)[0]:
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# In the child.


def _live(order: Mapping[str, Any]) -> None:
    """Ends as an interpreter would that had been started with the order."""
    status = 1
    try:
        for number, path in enumerate((os.devnull, order["out"], order["err"])):
            os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.environ.clear()
        os.environ.update(order["env"])
        os.chdir(order["cwd"])
        if order["plant"]:
            module, function = order["plant"].split(":")
            getattr(importlib.import_module(module), function)()
        _run_order(order)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _import_everything()
    _serve()
