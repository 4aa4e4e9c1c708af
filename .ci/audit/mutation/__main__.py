"""Mutation testing of the contracts: which changes of the code no test notices.

A survivor is either a missing test or a change that nobody can observe; the latter is answered in contracts/mutants.json.
"""

import argparse
import json
import queue
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from laboratory import SHORT_RUNS, Failure, Laboratory, NotMeasurable, build_project
from records import Journal, Name, digest, load_code, read_answers, save_code
from report import Count, Report, Survivor, describe, print_report
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from source import Mutant, list_imports, make_mutants, read_statements, render

ROOT = Path(__file__).resolve().parents[3]
CONTRACTS = ROOT / "contracts"
KEPT = ROOT / "build" / "mutation"
DEPLOYED = ["CXPTVault", "SubscriptionManager", "UsageEscrow", "CXPTToken"]
SOURCES = [
    "CXPTVault.sol",
    "VaultState.sol",
    "VaultAdministration.sol",
    "SubscriptionManager.sol",
    "UsageEscrow.sol",
    "FeePayer.sol",
    "libraries/Intake.sol",
    "CXPTToken.sol",
]
# These tests do not judge behaviour, or are somebody else's run.
NOT_RUN = {"gas", "symbolic"}
console = Console(stderr=True)
Item = TypeVar("Item")


@dataclass
class Target:
    """A source that is mutated: what is built from it, and the tests that see it, likeliest killers first."""

    path: str
    contracts: dict[str, str]
    stages: list[list[str]]
    mutants: list[Mutant]
    original: str
    ground: str  # digest of all that goes into a build beside the mutated source


class Run:
    def __init__(self, targets: list[Target], jobs: int) -> None:
        self._targets = targets
        self._jobs = jobs
        self._builds = Journal(KEPT / "builds.jsonl")
        self._trials = Journal(KEPT / "trials.jsonl")
        self._tests = sorted({file for target in targets for stage in target.stages for file in stage})
        self._ground = digest(
            *(path.read_text() for path in sorted((CONTRACTS / "src").rglob("*.sol"))),
            *(path.read_text() for path in sorted((ROOT / "data" / "vectors").glob("*.json"))),
            (CONTRACTS / "foundry.toml").read_text(),
            json.dumps(SHORT_RUNS),
        )

    # ------------------------------------------------------------ first all are built

    def build(self, wanted: list[tuple[Target, str]], optimized: bool = False) -> None:
        """Compiles what is not known yet; tests run without the optimizer, which takes most of the time."""
        unknown = [item for item in wanted if not self._builds.find(self._key(*item, optimized))]
        if not unknown:
            return
        with self._laboratories(None) as borrow:
            verb = "optimizing" if optimized else "compiling"
            self._each(verb, unknown, lambda item: borrow(lambda lab: self._compile(lab, *item, optimized)))

    def _compile(self, lab: Laboratory, target: Target, text: str, optimized: bool) -> None:
        code = lab.compile(f"src/{target.path}", text, target.contracts, optimized)
        self._builds.add(self._key(target, text, optimized), code=save_code(KEPT, code) if code else None)

    def _key(self, target: Target, text: str, optimized: bool) -> str:
        return digest(target.ground, target.path, text, *target.contracts, str(optimized))

    def code_of(self, target: Target, text: str, optimized: bool = False) -> str | None:
        """The digest of the bytecode, or None when there is none."""
        record = self._builds.find(self._key(target, text, optimized))
        assert record
        found: str | None = record["code"]
        return found

    # ------------------------------------------------------------ then those that differ are tested

    def test(self, waiting: list[tuple[Target, Mutant]]) -> None:
        """Tests what is not known yet."""
        unknown = [(target, mutant) for target, mutant in waiting if not self.find(target, mutant)]
        if not unknown:
            return
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            console.print(f"building {len(self._tests)} test files")
            project = build_project(CONTRACTS, Path(folder, "project"), self._tests)
            with self._laboratories(project) as borrow:
                borrow(self._check_ground)
                self._each("testing", unknown, lambda item: borrow(lambda lab: self._try(lab, *item)))

    def _check_ground(self, lab: Laboratory) -> None:
        """Whether the tests pass, run what is built here, and notice a contract that does nothing at all."""
        for target in self._targets:
            path = f"src/{target.path}"
            if lab.compile(path, target.original, target.contracts, True) != lab.read_code(target.contracts):
                raise NotMeasurable(f"{target.path}: this compiler and forge make different bytecode")
            code = lab.compile(path, target.original, target.contracts, False)
            assert code
            for stage in target.stages:
                if failure := lab.test(code, stage):
                    raise NotMeasurable(f"{failure.test} in {failure.file} fails without any mutant")
            dead = {contract: {"bytecode": "0xfe", "deployedBytecode": "0xfe"} for contract in target.contracts}
            if all(lab.test(dead, stage) is None for stage in target.stages):
                raise NotMeasurable(f"{target.path}: no test deploys what is built from it")

    def _try(self, lab: Laboratory, target: Target, mutant: Mutant) -> None:
        began = time.monotonic()
        found = self.code_of(target, mutant.text)
        assert found
        code = load_code(KEPT, found)
        stages = target.stages
        earlier = self._trials.find(digest(*mutant.name))
        if earlier and earlier["by"] and (CONTRACTS / earlier["by"][0]).exists():
            stages = [[earlier["by"][0]], *stages]
        failure: Failure | None = None
        for stage in stages:
            if failure := lab.test(code, stage):
                break
        self._trials.add(
            digest(*mutant.name),
            code=found,
            evidence=self._evidence([failure.file] if failure else self._seen(target)),
            by=[failure.file, failure.test] if failure else None,
            seconds=round(time.monotonic() - began, 2),
        )

    def find(self, target: Target, mutant: Mutant) -> dict[str, Any] | None:
        """The trial of this mutant, if neither it nor the tests that decided it have changed since."""
        trial = self._trials.find(digest(*mutant.name))
        if not trial or trial["code"] != self.code_of(target, mutant.text):
            return None
        files = [trial["by"][0]] if trial["by"] else self._seen(target)
        if any(not (CONTRACTS / file).exists() for file in files):
            return None
        return trial if trial["evidence"] == self._evidence(files) else None

    def _seen(self, target: Target) -> list[str]:
        return [file for stage in target.stages for file in stage]

    def _evidence(self, files: list[str]) -> str:
        needed: set[Path] = set()
        for file in files:
            list_imports(Path(file), CONTRACTS, needed)
        tests = sorted(path for path in needed if path.parts[0] == "test")
        return digest(self._ground, *(f"{path}\n{(CONTRACTS / path).read_text()}" for path in tests))

    # ------------------------------------------------------------ workers

    @contextmanager
    def _laboratories(self, project: Path | None) -> Iterator[Callable[[Callable[[Laboratory], object]], object]]:
        free: queue.SimpleQueue[Laboratory] = queue.SimpleQueue()
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            # Benches share files by hard links, so they lie beside the project.
            home = project.parent.parent if project else Path(folder)
            laboratories = [Laboratory(CONTRACTS, home / f"worker-{i}", project) for i in range(self._jobs)]
            for laboratory in laboratories:
                free.put(laboratory)

            def borrow(work: Callable[[Laboratory], object]) -> object:
                laboratory = free.get()
                try:
                    return work(laboratory)
                finally:
                    free.put(laboratory)

            try:
                yield borrow
            finally:
                for laboratory in laboratories:
                    laboratory.close()

    def _each(self, verb: str, items: Sequence[Item], work: Callable[[Item], object]) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        pool = ThreadPoolExecutor(self._jobs)
        with Progress(TextColumn(verb), *columns, console=console) as progress:
            task = progress.add_task(verb, total=len(items))
            try:
                for done in as_completed([pool.submit(work, item) for item in items]):
                    done.result()
                    progress.advance(task)
                    if not console.is_terminal and progress.tasks[0].completed % 50 == 0:
                        console.print(f"{verb}: {progress.tasks[0].completed:.0f} of {len(items)}")
            finally:
                pool.shutdown(cancel_futures=True)


# ------------------------------------------------------------ what is mutated


def read_target(path: str) -> Target:
    contracts = {
        name: f"src/{name}.sol"
        for name in DEPLOYED
        if Path("src", path) in list_imports(Path("src", f"{name}.sol"), CONTRACTS)
    }
    stages: list[list[str]] = [[], [], []]
    for file in sorted((CONTRACTS / "test").rglob("*.t.sol")):
        test = file.relative_to(CONTRACTS)
        needed = list_imports(test, CONTRACTS)
        if NOT_RUN & set(test.parts) or not any(Path(source) in needed for source in contracts.values()):
            continue
        own = test.parts[1] == "unit" and test.parts[2] in contracts
        stages[2 if "invariant" in test.parts else 0 if own else 1].append(str(test))
    source = CONTRACTS / "src" / path
    stages = [stage for stage in stages if stage]
    original = render(read_statements(source.read_text()))
    needed = {file for main in contracts.values() for file in list_imports(Path(main), CONTRACTS)}
    ground = digest(*((CONTRACTS / file).read_text() for file in [*sorted(needed), Path("artifacts/input.json")]))
    return Target(path, contracts, stages, make_mutants(source), original, ground)


# ------------------------------------------------------------ what is said of it


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
