"""The result of a run: a table by file and group, and every survivor with its answer."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.mutation.records import Name
from tests.mutation.targets import Mutant

LEAST_SCORE = 0.85
TOO_LONG = "it takes too long"


@dataclass
class Count:
    """How many mutants there are, were tried, and what became of them."""

    made: int = 0
    killed: int = 0
    too_long: int = 0
    survivors: list[Mutant] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return self.killed + len(self.survivors)

    @property
    def score(self) -> float:
        """Killed of tried; an answer makes no survivor a kill."""
        return self.killed / self.tried if self.tried else 1.0

    def add(self, other: "Count") -> None:
        self.made += other.made
        self.killed += other.killed
        self.too_long += other.too_long
        self.survivors += other.survivors


@dataclass
class Report:
    """Counts by group and file; answers by the name of a mutant."""

    groups: dict[str, dict[str, Count]]
    answers: dict[Name, str]
    stale: list[Name]

    def total(self, group: str) -> Count:
        """Of all files of a group."""
        total = Count()
        for count in self.groups[group].values():
            total.add(count)
        return total

    @property
    def survivors(self) -> list[Mutant]:
        """Of all files."""
        return [mutant for group in self.groups for mutant in self.total(group).survivors]

    @property
    def faults(self) -> list[str]:
        """Why the run fails, one line each."""
        low = [name for name in self.groups if self.total(name).score < LEAST_SCORE]
        open_ = [mutant for mutant in self.survivors if mutant.name not in self.answers]
        return [
            *(f"{name}: {self.total(name).score:.1%} killed, less than {LEAST_SCORE:.0%}" for name in low),
            *([f"{len(open_)} survivors have no answer in tests/mutation/mutants.json"] if open_ else []),
        ]


def print_report(report: Report) -> None:
    """Survivors without an answer last, where they are seen."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.width = max(console.width, 110)
    for mutant in sorted(report.survivors, key=lambda mutant: mutant.name not in report.answers):
        answer = report.answers.get(mutant.name)
        console.print(f"\n{mutant.file}:{mutant.line} {mutant.function}\n- {mutant.original}\n+ {mutant.mutated}")
        console.print(
            f"  {answer or 'no answer: write the missing test, or say in tests/mutation/mutants.json why it may live'}"
        )
    for name in report.stale:
        console.print(f"\nstale answer, a test kills it now or nothing makes it any more:\n{' | '.join(name)}")
    table = Table("file", *("mutants", "tried", "killed", "too long", "survived", "answered", "killed %"))
    for column in table.columns[1:]:
        column.justify = "right"
    for group, files in report.groups.items():
        rows = [*files.items(), *([(group, report.total(group))] if len(files) > 1 else [])]
        for number, (name, count) in enumerate(rows, 1):
            answered = sum(mutant.name in report.answers for mutant in count.survivors)
            numbers = (count.made, count.tried, count.killed, count.too_long, len(count.survivors), answered)
            table.add_row(name, *map(str, numbers), f"{100 * count.score:.1f}", end_section=number == len(rows))
    console.print(table)
    for fault in report.faults:
        console.print(fault, style="red")


def describe(report: Report) -> dict[str, Any]:
    """The same for programs; survivors in the form of tests/mutation/mutants.json."""
    return {
        "files": {
            name: {
                "mutants": count.made,
                "tried": count.tried,
                "killed": count.killed,
                "too_long": count.too_long,
                "survived": len(count.survivors),
                "score": count.score,
            }
            for files in report.groups.values()
            for name, count in files.items()
        },
        "survivors": [
            {
                "file": mutant.file,
                "function": mutant.function,
                "original": mutant.original,
                "mutated": mutant.mutated,
                "answer": report.answers.get(mutant.name, ""),
            }
            for mutant in report.survivors
        ],
        "faults": report.faults,
    }
