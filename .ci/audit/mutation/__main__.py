"""Mutation testing of the contracts: which changes of the code no test notices.

A survivor is either a missing test or a change that nobody can observe; the latter is answered in contracts/mutants.json.
"""

import argparse
import json
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from laboratory import NotMeasurable
from records import Name, read_answers
from report import Count, Report, Survivor, describe, print_report
from run import Run, console
from source import Mutant
from targets import CONTRACTS, SOURCES, Target, read_target


@dataclass
class Sample:
    """Which mutants of a target are asked about, and which of them must be tested to know.

    Of mutants with the same bytecode one stands for all: an answered one before others, so that a sample asks no question
    that is answered already.
    """

    target: Target
    drawn: set[int]
    answered: set[int]

    @property
    def built(self) -> list[int]:
        return sorted(self.drawn | self.answered, key=lambda i: (i not in self.answered, i))

    def list_texts(self, names: Collection[Name] | None = None) -> list[tuple[Target, str]]:
        """What is to be compiled: the original and the mutants, or those of the given names."""
        mutants = [self.target.mutants[i] for i in self.built]
        texts = [mutant.text for mutant in mutants if names is None or mutant.name in names]
        return [(self.target, text) for text in [self.target.original, *texts]]

    def reduce(self, run: Run) -> tuple[Count, list[Mutant]]:
        """What is known without a test, and the mutants that need one."""
        groups: dict[str | None, list[int]] = {}
        for i in self.built:
            groups.setdefault(run.code_of(self.target, self.target.mutants[i].text), []).append(i)
        sizes = {code: len(self.drawn & set(group)) for code, group in groups.items()}
        original = run.code_of(self.target, self.target.original)
        alike = [size - (code != original) for code, size in sizes.items() if code and size]
        count = Count(mutants=len(self.drawn), invalid=sizes.get(None, 0), equal=sum(alike))
        tested = [group[0] for code, group in groups.items() if code and code != original and sizes[code]]
        return count, [self.target.mutants[i] for i in sorted(tested)]


def draw_samples(targets: list[Target], answers: dict[Name, str], every: int, limit: int | None) -> Iterator[Sample]:
    left = sys.maxsize if limit is None else limit
    for target in targets:
        drawn = set(list(range(len(target.mutants)))[::every][:left])
        left -= len(drawn)
        yield Sample(target, drawn, {i for i, mutant in enumerate(target.mutants) if mutant.name in answers})


def judge(run: Run, samples: list[Sample], answers: dict[Name, str]) -> Report:
    run.build([item for sample in samples for item in sample.list_texts()])
    reduced = [sample.reduce(run) for sample in samples]
    waiting = [(s.target, mutant) for s, (_, mutants) in zip(samples, reduced, strict=True) for mutant in mutants]
    run.test(waiting)
    trials = {mutant.name: run.find(target, mutant) for target, mutant in waiting}
    alive = {name for name, trial in trials.items() if trial and not trial["by"]}
    optimized = [item for sample in samples for item in sample.list_texts(alive | answers.keys())]
    run.build(optimized, optimized=True)

    report = Report({}, [], [])
    for sample, (count, mutants) in zip(samples, reduced, strict=True):
        target = sample.target
        report.counts[target.path] = count
        count.seconds = sum(trial["seconds"] for m in mutants if (trial := trials[m.name]))
        count.killed = sum(m.name not in alive for m in mutants)
        # What the optimizer makes equal is equal; answered ones come first, so that their answer holds for the others.
        seen = {run.code_of(target, target.original, True)} if mutants else set()
        for mutant in sorted((m for m in mutants if m.name in alive), key=lambda m: m.name not in answers):
            code = run.code_of(target, mutant.text, True)
            if code in seen:
                count.equal += 1
            else:
                seen.add(code)
                count.survived += 1
                report.survivors.append(Survivor(target.path, mutant, answers.get(mutant.name)))
    shown = {survivor.mutant.name for survivor in report.survivors}
    report.stale.extend(find_stale(samples, answers, set(trials), shown))
    return report


def find_stale(
    samples: list[Sample], answers: dict[Name, str], tested: set[Name], alive: set[Name]
) -> Iterator[tuple[Name, str]]:
    made = {mutant.name for sample in samples for mutant in sample.target.mutants}
    drawn = {sample.target.mutants[i].name for sample in samples for i in sample.drawn}
    files = {mutant[0] for mutant in made}
    for name in answers:
        if name[0] in files and name not in made:
            yield name, "nothing in the source makes this mutant any more"
        elif name in tested - alive:
            yield name, "a test kills it now, or the optimizer makes it equal to another"
        elif name in drawn - tested:
            yield name, "it does not compile, or its bytecode is that of another mutant"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run-mutation", description=__doc__)
    parser.add_argument("--files", nargs="+", choices=SOURCES, default=SOURCES, metavar="FILE", help=", ".join(SOURCES))
    parser.add_argument("--every", type=int, default=1, metavar="K", help="one mutant of K")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N mutants")
    parser.add_argument("--jobs", type=int, default=2, help="workers (2)")
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    try:
        answers = read_answers(CONTRACTS / "mutants.json")
        targets = [read_target(path) for path in SOURCES if path in arguments.files]
        samples = list(draw_samples(targets, answers, arguments.every, arguments.limit))
        report = judge(Run(targets, arguments.jobs), samples, answers)
    except (NotMeasurable, ValueError) as error:
        console.print(f"mutation: {error}", style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("mutation: interrupted; the next run goes on from here")
        return 130
    if arguments.json:
        print(json.dumps(describe(report), indent=1))
    else:
        print_report(report)
    return 1 if any(survivor.answer is None for survivor in report.survivors) else 0


if __name__ == "__main__":
    sys.exit(main())
