"""The result of a run, as a table and as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from records import Name
from rich.console import Console
from rich.table import Table
from source import Mutant


@dataclass
class Count:
    mutants: int = 0
    invalid: int = 0  # does not compile
    equal: int = 0  # bytecode of the original or of another mutant
    killed: int = 0
    survived: int = 0
    seconds: float = 0.0

    @property
    def score(self) -> float:
        tested = self.killed + self.survived
        return self.killed / tested if tested else 1.0


@dataclass(frozen=True)
class Survivor:
    path: str
    mutant: Mutant
    answer: str | None


@dataclass(frozen=True)
class Report:
    counts: dict[str, Count]
    survivors: list[Survivor]
    stale: list[tuple[Name, str]]

    @property
    def total(self) -> Count:
        total = Count()
        for count in self.counts.values():
            for field, value in asdict(count).items():
                setattr(total, field, getattr(total, field) + value)
        return total


def print_report(report: Report) -> None:
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 110)
    table = Table("file", *(("mutants", "invalid", "equal", "killed", "survived", "answered", "killed %", "s each")))
    for column in table.columns[1:]:
        column.justify = "right"
    for path, count in [*report.counts.items(), ("all", report.total)]:
        answered = sum(1 for s in report.survivors if s.answer and path in (s.path, "all"))
        tested = count.killed + count.survived
        numbers = [count.mutants, count.invalid, count.equal, count.killed, count.survived, answered]
        rate = f"{count.seconds / tested:.2f}" if tested else "-"
        table.add_row(path, *map(str, numbers), f"{100 * count.score:.1f}", rate, end_section=path != "all")
    console.print(table)
    for survivor in sorted(report.survivors, key=lambda s: s.answer is None):
        mutant = survivor.mutant
        console.print(f"\n{survivor.path}:{mutant.line} {mutant.function}")
        console.print(f"- {mutant.original}\n+ {mutant.mutated}", soft_wrap=True)
        console.print(
            f"  {survivor.answer or 'no answer: write the missing test, or say in mutants.json why it may live'}"
        )
    for name, reason in report.stale:
        console.print(f"\nstale answer, {reason}:\n{name[0]} {name[1]}\n- {name[2]}\n+ {name[3]}", soft_wrap=True)
    unanswered = sum(1 for s in report.survivors if s.answer is None)
    console.print(f"\n{report.total.killed} killed, {report.total.survived} survived, {unanswered} of them unanswered")


def describe(report: Report) -> dict[str, Any]:
    """What print_report says, for other programs; survivors have the form of mutants.json."""
    return {
        "files": {path: asdict(count) | {"score": count.score} for path, count in report.counts.items()},
        "survivors": [
            {
                "file": survivor.mutant.file,
                "line": survivor.mutant.line,
                "function": survivor.mutant.function,
                "original": survivor.mutant.original,
                "mutated": survivor.mutant.mutated,
                "answer": survivor.answer,
            }
            for survivor in report.survivors
        ],
        "stale": [{"name": list(name), "reason": reason} for name, reason in report.stale],
    }
