"""Building and testing mutants with a few workers, each thing once: what is known from earlier runs is not done again."""

import json
import queue
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from laboratory import SHORT_RUNS, Failure, Laboratory, NotMeasurable, build_project
from records import Journal, digest, load_code, save_code
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from source import Mutant, list_imports, read_code
from targets import CONTRACTS, ROOT, Target

KEPT = ROOT / "build" / "mutation"
console = Console(stderr=True)
Item = TypeVar("Item")


class Run:
    def __init__(self, targets: list[Target], jobs: int) -> None:
        self._targets = targets
        self._jobs = jobs
        self._builds = Journal(KEPT / "builds.jsonl")
        self._trials = Journal(KEPT / "trials.jsonl")
        self._tests = sorted({file for target in targets for stage in target.stages for file in stage})
        self._ground = digest(
            *(read_code(path) for path in sorted((CONTRACTS / "src").rglob("*.sol"))),
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
        codes = {}
        for target in self._targets:
            path = f"src/{target.path}"
            if lab.compile(path, target.original, target.contracts, True) != lab.read_code(target.contracts):
                raise NotMeasurable(f"{target.path}: this compiler and forge make different bytecode")
            codes[tuple(target.contracts)] = target, lab.compile(path, target.original, target.contracts, False)
        for target, code in codes.values():
            assert code
            for stage in target.stages:
                if failure := lab.test(code, stage):
                    raise NotMeasurable(f"{failure.test} in {failure.file} fails without any mutant")
            dead = {contract: {"bytecode": "0xfe", "deployedBytecode": "0xfe"} for contract in target.contracts}
            if all(lab.test(dead, stage) is None for stage in target.stages):
                raise NotMeasurable(f"{', '.join(dead)}: the tests pass without it")

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
        # Benches share files by hard links, so they lie beside the project; who only compiles needs none.
        home = project.parent.parent if project else CONTRACTS
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
