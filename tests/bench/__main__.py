"""`make bench`: what everything costs, beside its competitors and its goals. Prints one table and writes
`out/bench.json`.

All of a run is measured on one machine, every run in a fresh process, competitors in turn. Nothing is asserted but
that the answers are the same.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.bench import epoch, growth, rollup, tree
from tests.bench.figures import Figure, describe_machine, make_page, make_table, where
from tests.bench.inputs import Network
from tests.bench.measure import ROOT, BenchError, Meter
from tests.bench.plot import draw

REAL = ROOT.parent / "shared" / "data" / "real"
SAMPLE = ROOT / "data" / "sample"
PARTS = ("tree", "rollup", "large", "epoch", "growth", "stages")


@dataclass(frozen=True)
class Part:
    """One part of the bench: its heading, the seconds that it may take, and how its figures are had."""

    title: str
    seconds: float
    measure: Callable[[Meter], Iterator[Figure]]


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="what everything costs")
    parser.add_argument("--only", help=f"parts to measure, such as tree,rollup; of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, about a minute; goals are for large ones")
    parser.add_argument("--runs", type=int, default=3, help="fresh processes for each figure")
    parser.add_argument("--claims", type=int, help="of the claim tree (1,000,000)")
    parser.add_argument("--rows", type=int, help="of the roll-up and the epoch (20,000,000)")
    parser.add_argument("--accounts", type=int, help="of the epoch (1,000,000)")
    parser.add_argument("--large", action="store_true", help="also roll up --rows-large rows; input of 11 GB")
    parser.add_argument("--rows-large", type=int, default=100_000_000)
    parser.add_argument("--inputs", type=Path, default=REAL if REAL.is_dir() else SAMPLE, help="of the stages")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "bench.json")
    parser.add_argument(
        "--publish", type=Path, nargs="?", const=ROOT / "docs", help="write benchmarks.md and benchmarks.svg to docs/"
    )
    options = parser.parse_args(arguments)
    options.claims = options.claims or (20_000 if options.quick else 1_000_000)
    options.rows = options.rows or (200_000 if options.quick else 20_000_000)
    options.accounts = options.accounts or (20_000 if options.quick else 1_000_000)
    asked = options.only.split(",") if options.only else [part for part in PARTS if part != "large" or options.large]
    if unknown := [part for part in asked if part not in PARTS]:
        parser.error(f"no part {', '.join(unknown)}; give some of {', '.join(PARTS)}")
    if options.runs < 1:
        parser.error("--runs takes a number from 1")
    if options.publish and "growth" not in asked:
        parser.error("--publish draws the growth; measure that too")
    options.parts = [part for part in PARTS if part in asked]
    return options


def name_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments to run the bench again with, without a folder of one machine."""
    again: list[str] = []
    for argument in arguments:
        if not (again and again[-1] == "--publish" and not argument.startswith("-")):
            again.append(argument)
    return again


class Bench:
    """What was asked for, and the points of the plot once they are measured."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.points: list[growth.Point] = []
        few = options.quick
        self._tree_sizes = (1_000, 3_000, 10_000, 30_000) if few else growth.TREE_SIZES
        self._rollup_sizes = (30_000, 100_000, 300_000) if few else growth.ROLLUP_SIZES
        if options.large:
            self._rollup_sizes = (*self._rollup_sizes, options.rows_large)
        provisions = max(1, options.accounts // 50)
        self._month = Network(options.rows, options.accounts - provisions, provisions)
        self._network = Network.of(options.rows)

    def part(self, name: str) -> Part:
        o = self.options
        large = Network.of(o.rows_large)
        last = 1 if o.inputs.resolve() == SAMPLE else 3
        return {
            "tree": lambda: Part(
                f"Claim tree of {o.claims:,} claims",
                tree.estimate(o.claims, o.runs),
                lambda meter: tree.measure_tree(o.claims, o.runs, o.runs if o.quick else 1, meter),
            ),
            "rollup": lambda: Part(
                f"Roll-up of {o.rows:,} rows over {epoch.MONTH_DAYS} days",
                rollup.estimate(o.rows, o.runs),
                lambda meter: rollup.measure_rollup(self._network, o.runs, meter),
            ),
            "large": lambda: Part(
                f"Roll-up of {o.rows_large:,} rows",
                rollup.estimate(o.rows_large, o.runs) + o.rows * o.runs * 2e-6,
                lambda meter: rollup.measure_large(large, self._network, o.runs, meter),
            ),
            "epoch": lambda: Part(
                f"Epoch of a month: {o.rows:,} rows, {o.accounts:,} accounts",
                epoch.estimate(o.rows, self._month.users, o.runs),
                lambda meter: epoch.measure_epoch(self._month, o.runs, meter),
            ),
            "growth": lambda: Part(
                "Growth", growth.estimate(self._tree_sizes, self._rollup_sizes, o.runs), self._measure_growth
            ),
            "stages": lambda: Part(
                f"Daily epochs of {o.inputs.name} input",
                epoch.estimate_stages(o.runs),
                lambda meter: epoch.measure_stages(o.inputs, last, o.runs, meter),
            ),
        }[name]()

    def _measure_growth(self, meter: Meter) -> Iterator[Figure]:
        self.points = list(growth.measure_growth(self._tree_sizes, self._rollup_sizes, self.options.runs, meter))
        return growth.list_figures(self.points)


def measure(parts: Sequence[Part], console: Console) -> list[Figure]:
    """Every figure of some parts, in their order, with a bar for the whole and the step of now."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    left = TimeRemainingColumn(compact=True, elapsed_when_finished=True)
    figures: list[Figure] = []
    with Progress(*columns, left, console=console, transient=True, speed_estimate_period=600) as progress:
        meter = Meter(progress, sum(part.seconds for part in parts))
        meter.run_ours("loading the kernel", "load-kernel")  # compiles it, if that was never done here
        for part in parts:
            meter.begin(part.seconds)
            figures += part.measure(meter)
            meter.finish()
    return figures


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write; 2 when that cannot be."""
    options = read_options(arguments)
    console, bench = Console(stderr=True), Bench(options)
    parts = {name: bench.part(name) for name in options.parts}
    began = datetime.now(UTC)
    try:
        figures = measure(list(parts.values()), console)
    except BenchError as error:
        console.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        return 2
    titles = {name: part.title for name, part in parts.items()}
    Console(width=None if sys.stdout.isatty() else 160).print(make_table(figures, titles))
    document = {
        "date": began.date().isoformat(),
        "arguments": shlex.join(name_arguments(arguments)),
        "took_seconds": round((datetime.now(UTC) - began).total_seconds()),
        "machine": describe_machine(),
        "parts": titles,
        "figures": [figure.to_json() for figure in figures],
        "growth": [asdict(point) for point in bench.points],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    console.print(f"written to {where(options.out)}", highlight=False)
    if options.publish:
        options.publish.mkdir(parents=True, exist_ok=True)
        (options.publish / "benchmarks.svg").write_text(draw(bench.points))
        (options.publish / "benchmarks.md").write_text(make_page(document, figures, titles, "benchmarks.svg"))
        console.print(f"written to {where(options.publish)}/benchmarks.md and benchmarks.svg", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
