"""`make bench`: what an epoch costs, stage by stage. Prints a table and writes JSON; nothing is asserted.

Each run is a fresh process that closes every epoch of the input into an empty folder; figures are medians over runs,
with the lowest and highest beside them. `rewards --help` is timed against a bare Typer program, in turn.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data" / "real"
SAMPLE = ROOT / "data" / "sample"
BARE = "import typer\napp = typer.Typer()\n@app.command()\ndef one(): ...\n@app.command()\ndef two(): ...\napp()\n"


def close_epochs(inputs: Path, data: Path, last: int) -> dict[str, Any]:
    """Close epochs 0 to `last` in this process: seconds by stage and rows by epoch, and the process's peak memory in
    MB."""
    from rewards.epoch import Calendar
    from rewards.jobs.prepare import RunSettings
    from rewards.jobs.run import run_epochs
    from rewards.jobs.settings import POLICIES
    from rewards.jobs.verify import verify_epoch
    from rewards.jobs.workspace import Workspace

    calendar = Calendar.from_genesis(datetime(2026, 1, 7, tzinfo=UTC))
    settings = RunSettings(inputs, POLICIES, calendar)
    epochs = []
    began = time.perf_counter()
    for outcome in run_epochs(Workspace(data), settings, range(last + 1)):
        took = time.perf_counter() - began
        manifest = outcome.bundle.manifest
        epochs.append(
            {
                "rows": manifest.counts["rows"],
                "leaves": manifest.leaves,
                "seconds": took,
                "stages": dict(outcome.seconds),
            }
        )
        began = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.perf_counter()
    verify_epoch(data, last)
    return {"epochs": epochs, "peak_mb": peak, "verify_seconds": time.perf_counter() - began}


def _run_child(inputs: Path, last: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-") as data:
        command = [sys.executable, "-m", "tests.bench", "--child", str(inputs), data, str(last)]
        found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
        return found


def _time(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _show(spread: dict[str, float], digits: int = 2) -> str:
    return f"{spread['median']:.{digits}f} ({spread['min']:.{digits}f}–{spread['max']:.{digits}f})"


def measure(inputs: Path, last: int, runs: int, progress: Progress) -> dict[str, Any]:
    """All figures of `runs` runs and as many pairs of start-up times."""
    task = progress.add_task("closing epochs", total=runs)
    found = []
    for _ in range(runs):
        found.append(_run_child(inputs, last))
        progress.advance(task)
    epochs = [epoch for run in found for epoch in run["epochs"]]
    stages = {name: _spread([e["stages"][name] for e in epochs]) for name in epochs[0]["stages"]}
    task = progress.add_task("start-up", total=4 * runs)
    bare, ours = [], []
    command = str(Path(sys.executable).with_name("rewards"))
    for _ in range(4 * runs):
        bare.append(_time([sys.executable, "-c", BARE, "--help"]))
        ours.append(_time([command, "--help"]))
        progress.advance(task)
    return {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "input": inputs.name,
        "runs": runs,
        "epochs_per_run": last + 1,
        "rows_per_epoch": statistics.median(e["rows"] for e in epochs),
        "leaves": epochs[-1]["leaves"],
        "epoch_seconds": _spread([e["seconds"] for e in epochs]),
        "stage_seconds": stages,
        "rows_per_second": _spread([e["rows"] / e["seconds"] for e in epochs]),
        "peak_mb": _spread([run["peak_mb"] for run in found]),
        "verify_seconds": _spread([run["verify_seconds"] for run in found]),
        "help_ratio": _spread([o / b for o, b in zip(ours, bare, strict=True)]),
        "help_seconds": _spread(ours),
    }


def _table(figures: dict[str, Any]) -> Table:
    runs = f"{figures['runs']} runs of {figures['epochs_per_run']} epochs"
    title = f"{figures['input']}: {figures['rows_per_epoch']:,.0f} rows an epoch, {runs}"
    table = Table("what", "median (lowest–highest)", title=title)
    for stage, spread in figures["stage_seconds"].items():
        table.add_row(f"  {stage}", f"{_show(spread, 3)} s")
    table.add_section()
    table.add_row("one epoch, files to sealed bundle", f"{_show(figures['epoch_seconds'])} s")
    table.add_row("rows a second", _show(figures["rows_per_second"], 0))
    table.add_row("peak memory of a run", f"{_show(figures['peak_mb'], 0)} MB")
    table.add_row("verify one epoch", f"{_show(figures['verify_seconds'])} s")
    table.add_row("rewards --help / bare Typer program", _show(figures["help_ratio"]))
    return table


def main() -> None:
    """Measure, print, write `out/bench.json`."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(close_epochs(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
        return
    parser = argparse.ArgumentParser(description="what an epoch costs")
    parser.add_argument("--inputs", type=Path, default=REAL if REAL.is_dir() else SAMPLE)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "bench.json")
    options = parser.parse_args()
    last = 1 if options.inputs.resolve() == SAMPLE else 3
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        figures = measure(options.inputs, last, options.runs, progress)
    Console(width=100).print(_table(figures))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"written to {options.out}")


if __name__ == "__main__":
    main()
