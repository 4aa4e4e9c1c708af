"""Figures as people and programs read them: one table, one JSON document, one page."""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.bench.measure import ROOT, Spread

PACKAGES = ("polars", "duckdb", "numba", "numpy", "pyarrow", "pymerkle")
_DIGITS = {"s": 3, "µs": 1, "MB": 0, "rows/s": 0}


@dataclass(frozen=True)
class Figure:
    """One row: what was measured in which unit (`ratio` has none), the most that it may be, and what to know of it.

    Without a spread it could not be measured here, and the note says why.
    """

    part: str
    what: str
    unit: str
    spread: Spread | None
    goal: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        return None if self.spread is None or self.goal is None else self.spread.median <= self.goal

    def show_spread(self) -> str:
        if self.spread is None:
            return "–"
        median, lowest, highest = (
            show(value, self.unit) for value in (self.spread.median, self.spread.lowest, self.spread.highest)
        )
        unit = "" if self.unit == "ratio" else f" {self.unit}"
        return f"{median}{unit}" if self.spread.runs == 1 else f"{median} ({lowest}–{highest}){unit}"

    def show_goal(self) -> str:
        return "" if self.goal is None else f"≤ {show(self.goal, self.unit, short=True)}"

    def show_met(self) -> str:
        return {None: "", True: "met", False: "not met"}[self.met]

    def cells(self) -> tuple[str, str, str, str, str, str]:
        runs = str(self.spread.runs) if self.spread else ""
        return self.what, self.show_spread(), runs, self.show_goal(), self.show_met(), self.note

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"met": self.met}


_HOW = (
    "Each run is a fresh process and competitors take turns, so that all share whatever else the machine does. Figures "
    "are medians with the lowest and highest; a ratio is the median of the ratios of pairs, and goals are the most that "
    "a figure may be. Clocks start when libraries are imported and inputs are in memory. Peak memory is that of the "
    "whole process. Roots and row counts are compared: where they differ, nothing is printed."
)
HEADINGS = ("what", "median (lowest–highest)", "runs", "goal", "", "remark")


def show(value: float, unit: str, short: bool = False) -> str:
    """A value in its unit's digits; ratios below a fifth as fractions."""
    if unit == "ratio":
        return f"1/{1 / value:,.0f}" if value < 0.2 else f"{value:.{1 if short else 2}f}"
    return f"{value:,.{0 if short else _DIGITS[unit]}f}"


def make_table(figures: Sequence[Figure], titles: Mapping[str, str]) -> Table:
    table = Table(*HEADINGS, title="what it costs: medians of fresh processes, competitors in turn")
    for part, rows in groupby(figures, key=lambda figure: figure.part):
        table.add_row(f"[bold]{titles[part]}[/]")
        for figure in rows:
            what, *cells, note = figure.cells()
            table.add_row(f"  {what}", *cells, note, style="red" if figure.met is False else "")
        table.add_section()
    return table


def describe_machine() -> dict[str, Any]:
    """The machine in general terms and the versions of what was measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    versions: dict[str, str | None] = {name: version(name) for name in PACKAGES}
    versions["@openzeppelin/merkle-tree"] = _read_npm_version("@openzeppelin/merkle-tree")
    versions |= {tool: _ask_version(tool) for tool in ("node", "cc")}
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: value for name, value in versions.items() if value},
    }


def _ask_version(tool: str) -> str | None:
    if not (path := shutil.which(tool)):
        return None
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return answer.splitlines()[0].split()[-1].removeprefix("v") if answer else None


def _read_npm_version(package: str) -> str | None:
    manifest = ROOT / "contracts" / "node_modules" / package / "package.json"
    return str(json.loads(manifest.read_text())["version"]) if manifest.is_file() else None


def make_page(document: Mapping[str, Any], figures: Sequence[Figure], titles: Mapping[str, str], plot: str) -> str:
    """`docs/benchmarks.md`: what the JSON says, for people."""
    machine = document["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items())
    command = f"make bench ARGS='{document['arguments']}'" if document["arguments"] else "make bench"
    lines = [
        "# Benchmarks",
        "",
        " ".join(
            (
                f"Measured on {document['date']} in one run on one machine: {machine['cores']} cores,",
                f"{machine['memory_gb']} GB of memory, {machine['system']} {machine['architecture']},",
                f"Python {machine['python']}; {versions}. Again: `{command}`.",
            )
        ),
        "",
        _HOW,
        "",
        f"![seconds by size]({plot})",
        "",
        "Bars are lowest to highest; a dashed line is what its smallest size would come to if time grew with size.",
    ]
    for part, rows in groupby(figures, key=lambda figure: figure.part):
        lines += ["", f"## {titles[part]}", "", *_rule(HEADINGS), *(_rule_row(row.cells()) for row in rows)]
    return "\n".join(lines) + "\n"


def _rule(headings: Iterable[str]) -> list[str]:
    names = list(headings)
    return [_rule_row(names), _rule_row(["---"] * len(names))]


def _rule_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def where(path: Path) -> str:
    """A path as people in the repository name it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
