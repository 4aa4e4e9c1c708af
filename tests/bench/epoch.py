"""Whole epochs from files to sealed bundle; and what a command costs to start."""

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure
from tests.bench.inputs import Network, keep_network
from tests.bench.measure import Meter, Run, check_same, ratios, spread

SCALE = 20_000_000
"""Goals are for so many rows or more."""
BARE = "import typer\napp = typer.Typer()\n@app.command()\ndef one(): ...\n@app.command()\ndef two(): ...\napp()\n"
STARTS_A_RUN = 4
MONTH_DAYS = 31


def estimate(rows: int, users: int, runs: int) -> float:
    """Seconds that a month may take."""
    return 10 + rows * (4e-6 + runs * 1.5e-6) + runs * users * 35e-6


def estimate_stages(runs: int) -> float:
    return 15 * runs


def measure_epoch(network: Network, runs: int, meter: Meter) -> Iterator[Figure]:
    """A month as one epoch."""
    folder = keep_network(network, meter)
    some = [meter.run_ours("epoch of a month", "close-epochs", folder, 0, MONTH_DAYS) for _ in range(runs)]
    epochs = _list_epochs(some)
    check_same("the tree", {"leaves": [epoch["leaves"] for epoch in epochs]})
    goal = 60 if network.rows >= SCALE else None
    note = f"{epochs[0]['rows']:,} rows, {epochs[0]['leaves']:,} leaves"
    seconds = spread([epoch["seconds"] for epoch in epochs])
    yield Figure("epoch", "one epoch, files to sealed bundle", "s", seconds, goal, note)
    yield from _describe("epoch", some)


def measure_stages(inputs: Path, last: int, runs: int, meter: Meter) -> Iterator[Figure]:
    """Daily epochs of some input, one after the other; and the command's start against a bare program's, in turn."""
    some = [meter.run_ours("daily epochs", "close-epochs", inputs, last, 1) for _ in range(runs)]
    epochs = _list_epochs(some)
    note = f"{len(epochs)} epochs of about {sum(epoch['rows'] for epoch in epochs) // len(epochs):,} rows"
    seconds = spread([epoch["seconds"] for epoch in epochs])
    yield Figure("stages", "one epoch, files to sealed bundle", "s", seconds, note=note)
    yield from _describe("stages", some)
    meter.show("start of the command")
    bare, ours = [], []
    command = str(Path(sys.executable).with_name("rewards"))
    for _ in range(STARTS_A_RUN * runs):
        bare.append(_time([sys.executable, "-c", BARE, "--help"]))
        ours.append(_time([command, "--help"]))
    yield Figure("stages", "rewards --help", "s", spread(ours))
    yield Figure("stages", "rewards --help / bare Typer program", "ratio", ratios(ours, bare))


def _describe(part: str, some: list[Run]) -> Iterator[Figure]:
    figure, epochs = partial(Figure, part), _list_epochs(some)
    for stage in epochs[0]["stages"]:
        yield figure(f"  {stage}", "s", spread([epoch["stages"][stage] for epoch in epochs]))
    yield figure("rows a second", "rows/s", spread([epoch["rows"] / epoch["seconds"] for epoch in epochs]))
    yield figure("peak memory of a run", "MB", spread([run.peak_mb for run in some]))
    yield figure("verify one epoch", "s", spread([run.answer["verify_seconds"] for run in some]))


def _list_epochs(some: list[Run]) -> list[dict[str, Any]]:
    return [epoch for run in some for epoch in run.answer["epochs"]]


def _time(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began
