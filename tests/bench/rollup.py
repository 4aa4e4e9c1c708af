"""The roll-up against the bare scan: DuckDB and Polars that decode the same values and do nothing else."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.inputs import Network, keep_network
from tests.bench.measure import Meter, Run, alternate, check_same, ratios, spread

SCALE = 20_000_000
"""Goals are for so many rows or more."""
MEMORY, MEMORY_MB = "4GB", 4096
OURS = "roll-up"
SCANS = {"duckdb": "bare scan by DuckDB", "polars": "bare scan by Polars, streaming"}


def estimate(rows: int, runs: int) -> float:
    """Seconds that this part may take."""
    return 10 + rows * (4e-6 + runs * 2.5e-6)


def roll_up(folder: Path, meter: Meter) -> Run:
    return meter.run_ours("roll-up", "roll-up", folder, MEMORY)


def scan(folder: Path, engine: str, meter: Meter) -> Run:
    command = [sys.executable, "-m", "tests.bench.competitors.scan", engine, str(folder)]
    return meter.run(SCANS[engine], command)


def measure_rollup(network: Network, runs: int, meter: Meter) -> Iterator[Figure]:
    """Everything of this part, row counts compared."""
    folder, figure = keep_network(network, meter), partial(Figure, "rollup")
    contenders = {OURS: partial(roll_up, folder, meter)}
    contenders |= {name: partial(scan, folder, engine, meter) for engine, name in SCANS.items()}
    found = alternate(contenders, dict.fromkeys(contenders, runs))
    check_same("the rows of the files", {name: [run.answer["rows"] for run in found[name]] for name in SCANS.values()})
    check_same("what earns", {OURS: [run.answer["earning"] for run in found[OURS]]})

    at_scale = network.rows >= SCALE
    ours = [run.seconds for run in found[OURS]]
    rows = found[OURS][0].answer["rows"]
    yield figure(OURS, "s", spread(ours), note=f"memory {MEMORY}; {rows:,} rows of the epoch")
    for stage in found[OURS][0].answer["stages"]:
        yield figure(f"  {stage}", "s", spread([run.answer["stages"][stage] for run in found[OURS]]))
    for name in SCANS.values():
        note = f"a hash of all 13 columns; peak {max(run.peak_mb for run in found[name]):,.0f} MB"
        yield figure(name, "s", spread([run.seconds for run in found[name]]), note=note)
    by_time = sorted(SCANS.values(), key=lambda name: spread([run.seconds for run in found[name]]).median)
    for name, speed in zip(by_time, ("the faster", "the slower"), strict=True):
        ratio = ratios(ours, [run.seconds for run in found[name]])
        yield figure(f"roll-up / {name}", "ratio", ratio, 4 if at_scale else None, speed)
    yield figure("rows a second", "rows/s", spread([run.answer["rows"] / run.seconds for run in found[OURS]]))
    yield figure("peak memory of the roll-up", "MB", spread([run.peak_mb for run in found[OURS]]))


def measure_large(network: Network, base: Network, runs: int, meter: Meter) -> Iterator[Figure]:
    """Whether more rows take more time each, and whether they stay within the memory given."""
    large, small = keep_network(network, meter), keep_network(base, meter)
    contenders = {"base": partial(roll_up, small, meter), "large": partial(roll_up, large, meter)}
    found = alternate(contenders, {"base": runs, "large": runs})
    figure = partial(Figure, "large")
    yield figure("roll-up", "s", spread([run.seconds for run in found["large"]]), note=f"memory {MEMORY}")
    yield figure(f"roll-up of {base.rows:,} rows", "s", spread([run.seconds for run in found["base"]]))
    each = {name: [run.seconds / run.answer["rows"] for run in some] for name, some in found.items()}
    goal = 1.2 if network.rows >= 5 * SCALE else None
    yield figure(f"time a row / at {base.rows:,} rows", "ratio", ratios(each["large"], each["base"]), goal)
    yield figure("peak memory", "MB", spread([run.peak_mb for run in found["large"]]), MEMORY_MB if goal else None)
