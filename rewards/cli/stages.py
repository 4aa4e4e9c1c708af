"""What long work is doing, on stderr: a bar on a terminal, plain lines with --verbose, else nothing."""

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rewards.cli.answers import open_console, single_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Stages:
    """Reports stages of work that has `total` parts. On a terminal the bar stands only while work goes on."""

    def __init__(self, total: int, verbose: bool) -> None:
        self._total = total
        self._verbose = verbose
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._done = 0
        self._before: float | None = None
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def report(self, stage: str, before: float | None = None) -> None:
        """Say what begins now, and what share of its part is done before it, where that is known."""
        if before is not None:
            self._before = before  # a stage without a share stands where the last one with one stood
        if self._live:
            self._show(stage, self._before)
        elif self._verbose:
            sys.stderr.write(f"{single_line(stage)}\n")
            sys.stderr.flush()

    def finish_part(self) -> None:
        """One more part is done; takes the bar away, so that an answer can be printed."""
        self._done += 1
        self._before = None
        self.clear()

    def clear(self) -> None:
        """Take the bar off the terminal; the next stage brings it back."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _show(self, stage: str, before: float | None) -> None:
        if self._progress is None:
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[share]}"),
                TimeElapsedColumn(),
            )
            console = open_console(stderr=True)
            self._progress = Progress(
                *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._task = self._progress.add_task(stage, share="")
            self._progress.start()
        if self._task is not None:
            # One part without known shares has no middle: its bar pulses.
            known = self._total > 1 or before is not None
            done = self._done + (before or 0.0)
            self._progress.update(
                self._task,
                description=stage,
                total=self._total if known else None,
                completed=done,
                share=f"{done / self._total:4.0%}" if known else "",
                refresh=True,
            )
