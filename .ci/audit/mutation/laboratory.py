"""Where mutants are built and tested: a compiler that stays, and benches, which are scratch copies of the contracts.

Forge links tests to contracts through build artifacts (`dynamic_test_linking`), so a mutant is tested by writing its
bytecode into the artifact: no test is compiled again. A filter of tests would make forge compile to find out what it
matches, so a bench holds only the test files that it runs, and forge gets no filter.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from records import Code
from source import list_imports

FORGE = "bin/forge"
SHORT_RUNS = {
    "FOUNDRY_FUZZ_RUNS": "32",
    "FOUNDRY_INVARIANT_RUNS": "4",
    "FOUNDRY_INVARIANT_DEPTH": "50",
    "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0",
}
PARTS = ["bytecode", "deployedBytecode"]
# Failures that forge remembers would be tried on the next mutant first.
REMEMBERED = ["cache/fuzz", "cache/invariant", "cache/test-failures"]
SECONDS = 180


class NotMeasurable(Exception):
    """The run says nothing about a mutant: the tests or the build are broken without it."""


@dataclass(frozen=True)
class Failure:
    file: str
    test: str


def run_forge(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("FOUNDRY_")}
    environment |= SHORT_RUNS | {"NO_COLOR": "1"}
    return subprocess.run(
        [FORGE, *arguments], cwd=home, env=environment, capture_output=True, text=True, timeout=SECONDS
    )


def build_project(contracts: Path, folder: Path, test_files: list[str]) -> Path:
    """A copy with these tests, built by forge; benches are made from it."""
    home = folder / "contracts"
    for name in ("artifacts", "bin", "script", "src"):
        shutil.copytree(contracts / name, home / name)
    shutil.copy2(contracts / "foundry.toml", home)
    copy_tests(contracts, home, test_files)
    shutil.copytree(contracts.parent / "data" / "vectors", folder / "data" / "vectors")
    (home / "node_modules").symlink_to((contracts / "node_modules").resolve())
    done = run_forge(home, "build")
    if done.returncode:
        raise NotMeasurable(f"forge does not build the project:\n{done.stdout}{done.stderr}")
    # From here on nothing is to be compiled, and asking npm's compiler for its version takes longer than the tests.
    compiler = home / "bin" / "solc"
    version = subprocess.run([compiler, "--version"], cwd=home, capture_output=True, text=True, check=True).stdout
    compiler.write_text(f'#!/bin/sh\n[ "$1" = --version ] && printf %s {shlex.quote(version)}\n')
    return home


def copy_tests(contracts: Path, home: Path, files: list[str]) -> None:
    for file in files:
        for needed in list_imports(Path(file), contracts):
            target = home / needed
            if needed.parts[0] == "test" and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(contracts / needed, target)


class Laboratory:
    """One compiler process, ended by `close`, and benches made from a built project as they are needed."""

    def __init__(self, contracts: Path, folder: Path, project: Path | None) -> None:
        self._folder = folder
        self._project = project
        self._benches: dict[tuple[str, ...], Path] = {}
        self._compiler = subprocess.Popen(
            ["node", "script/mutate.js"], cwd=contracts, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        assert self._compiler.stdin
        self._compiler.stdin.close()
        self._compiler.wait()

    def compile(self, file: str, text: str, contracts: dict[str, str], optimized: bool) -> Code | None:
        """Bytecodes of the contracts with this text of a source, or None when it does not compile."""
        assert self._compiler.stdin and self._compiler.stdout
        request = {"sources": {file: text}, "contracts": contracts, "optimized": optimized}
        self._compiler.stdin.write(json.dumps(request) + "\n")
        self._compiler.stdin.flush()
        answer = self._compiler.stdout.readline()
        if not answer:
            raise NotMeasurable("the compiler ended; run script/mutate.js by hand to see why")
        code: Code | None = json.loads(answer)
        return code

    def read_code(self, contracts: Iterable[str]) -> Code:
        """What forge built."""
        assert self._project
        code = {}
        for contract in contracts:
            artifact = json.loads(locate_artifact(self._project, contract).read_text())
            code[contract] = {part: artifact[part]["object"] for part in PARTS}
        return code

    def test(self, code: Code, files: list[str]) -> Failure | None:
        """Runs these test files against this code, and all other contracts as they are, until a test fails."""
        home = self._bench(files)
        for contract, parts in code.items():
            path = locate_artifact(home, contract)
            artifact = json.loads(path.read_text())
            for part in PARTS:
                artifact[part]["object"] = parts[part]
            replace(path, json.dumps(artifact))
        try:
            return self._run(home, files)
        finally:
            assert self._project
            for contract in code:
                replace(locate_artifact(home, contract), locate_artifact(self._project, contract).read_text())

    def _run(self, home: Path, files: list[str]) -> Failure | None:
        for name in REMEMBERED:
            shutil.rmtree(home / name, ignore_errors=True)
        try:
            done = run_forge(home, "test", "--fail-fast", "--threads", "1")
        except subprocess.TimeoutExpired:
            return Failure(files[0], f"more than {SECONDS} seconds")
        if "No files changed" not in done.stdout:
            raise NotMeasurable(f"forge compiled again, so it did not test the mutant:\n{done.stdout}{done.stderr}")
        if not done.returncode:
            return None
        return find_failure(done.stdout)

    def _bench(self, files: list[str]) -> Path:
        name = tuple(files)
        if name not in self._benches:
            assert self._project
            folder = self._folder / str(len(self._benches))
            home = folder / "contracts"
            shutil.copytree(self._project / "out", home / "out", copy_function=os.link)
            for part in ("bin", "cache", "src"):
                shutil.copytree(self._project / part, home / part)
            shutil.copy2(self._project / "foundry.toml", home)
            copy_tests(self._project, home, files)
            shutil.copytree(self._project.parent / "data", folder / "data")
            (home / "node_modules").symlink_to((self._project / "node_modules").resolve())
            self._benches[name] = home
        return self._benches[name]


def find_failure(output: str) -> Failure:
    """The first failure; the name of an invariant stands after the calls that broke it."""
    suite = ""
    lines = iter(output.splitlines())
    for line in lines:
        if header := re.match(r"Ran \d+ tests? for (\S+):\w+", line):
            suite = header[1]
        if line.startswith("[FAIL"):
            named = next(
                (found for text in (line, *lines) if (found := re.search(r"^(?:\[FAIL.*\])? (\w+)\(", text))), None
            )
            return Failure(suite, named[1] if named else "?")
    raise NotMeasurable(f"forge failed, but no test did:\n{output}")


def locate_artifact(home: Path, contract: str) -> Path:
    return home / "out" / f"{contract}.sol" / f"{contract}.json"


def replace(path: Path, text: str) -> None:
    """As a new file: benches share the others by hard links."""
    path.unlink()
    path.write_text(text)
