"""`make soak`: stories until the time is over. Prints how many of everything there were, and writes `out/soak.json`.

SOAK_MINUTES (60, fractions allowed), SOAK_SEED (else drawn), SOAK_STORY (replay this one alone), SOAK_OUT, SOAK_WORKERS
(2; each has a node and a process of its own). Exit status 1 when an invariant was broken.
"""

import json
import os
import random
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.conftest import ROOT
from tests.soak.scene import Scene, set_scenes
from tests.soak.tally import Tally


@dataclass(frozen=True)
class Options:
    minutes: float
    seed: int
    story: int | None
    out: Path
    workers: int

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Options":
        """Raises ValueError for what is no number, or no time."""
        story = environment.get("SOAK_STORY")
        options = cls(
            float(environment.get("SOAK_MINUTES", "60")),
            int(environment.get("SOAK_SEED", str(random.SystemRandom().randrange(2**32)))),
            None if story is None else int(story),
            Path(environment.get("SOAK_OUT", str(ROOT / "out" / "soak.json"))),
            1 if story is not None else int(environment.get("SOAK_WORKERS", "2")),
        )
        if options.minutes <= 0 or options.workers < 1:
            raise ValueError("SOAK_MINUTES and SOAK_WORKERS are above zero")
        return options


@dataclass
class Soak:
    """Tells stories on every scene until `deadline`; of one that breaks off, the traceback is shown."""

    options: Options
    tally: Tally
    console: Console
    deadline: float = 0
    _numbers: "count[int]" = field(default_factory=count)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
        ) as progress:
            task = progress.add_task("deploy, seal two epochs, start nodes", total=None)
            with set_scenes(self.tally, self.options.workers) as scenes:
                began, total = time.monotonic(), self.options.minutes * 60
                self.deadline = began + total
                with ThreadPoolExecutor(len(scenes)) as pool:
                    working = [pool.submit(self._work, scene) for scene in scenes]
                    while self._go_on(working):
                        progress.update(
                            task,
                            description=self.tally.line,
                            total=total,
                            completed=min(time.monotonic() - began, total),
                        )
                for future in working:
                    future.result()

    def _go_on(self, working: list[Future[None]]) -> bool:
        return bool(wait(working, timeout=0.5, return_when=FIRST_EXCEPTION).not_done)

    def _is_over(self) -> bool:
        return time.monotonic() >= self.deadline

    def _work(self, scene: Scene) -> None:
        if self.options.story is not None:
            return self._tell(scene, self.options.story)
        while not self._is_over():
            with self._turn:
                number = next(self._numbers)
            self._tell(scene, number)
        return None

    def _tell(self, scene: Scene, number: int) -> None:
        try:
            scene.tell(number, self._is_over if self.options.story is None else lambda: False)
        except Exception as error:
            self.console.print(traceback.format_exc(), markup=False)
            self.tally.report(number, "told to its end", f"{type(error).__name__}: {error}")
            scene.ground.beginning.restore(fresh=True)


def main(environment: Mapping[str, str]) -> int:
    """Runs, prints, writes; 1 when something is broken, 2 when it cannot be begun."""
    console = Console(stderr=True)
    try:
        options = Options.read(environment)
    except ValueError as error:
        console.print(f"soak: {error}", style="red", markup=False)
        return 2
    tally, began = Tally(options.seed), time.monotonic()
    Soak(options, tally, console).run()
    seconds = time.monotonic() - began
    Console(width=None if sys.stdout.isatty() else 120).print(tally.make_table(seconds))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(tally.to_json(options.minutes, seconds), indent=2) + "\n")
    console.print(f"written to {options.out}", highlight=False)
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
