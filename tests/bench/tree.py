"""The claim tree against OpenZeppelin's library, pymerkle's own tree and a floor in C; and its proofs."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.inputs import keep_claims
from tests.bench.measure import ROOT, BenchError, Meter, Run, alternate, check_same, ratios, spread

COMPETITORS = Path(__file__).parent / "competitors"
CONTRACTS = ROOT / "contracts"
SCALE = 1_000_000
"""Goals are for so many claims or more."""
CORES = os.cpu_count() or 1

OURS, NODE, PYMERKLE = "ours", "@openzeppelin/merkle-tree in Node", "pymerkle, its own in-memory tree"
REMARKS = {
    OURS: "frame in memory to root, leaves encoded and sorted, kernel loaded",
    NODE: "StandardMerkleTree.of",
    PYMERKLE: "append_entry; one hash a leaf instead of two, no sorting",
}


@dataclass(frozen=True)
class Floor:
    """One way to run the program in C: how many threads, and how many messages side by side."""

    threads: int
    lanes: int = 1
    goal: float | None = 3

    @property
    def name(self) -> str:
        side = f", {self.lanes} messages side by side" if self.lanes > 1 else ""
        return f"C, {self.threads} thread{'s'[: self.threads > 1]}{side}"


FLOORS = (Floor(1), Floor(max(2, CORES)), Floor(max(2, CORES), lanes=8, goal=None))


def estimate(claims: int, runs: int) -> float:
    """Seconds that this part may take."""
    return 20 + claims * (30e-6 + 290e-6 + runs * 45e-6)


def measure_tree(claims: int, runs: int, node_runs: int, meter: Meter) -> Iterator[Figure]:
    """Everything of this part, roots compared."""
    folder = keep_claims(claims, meter)
    with tempfile.TemporaryDirectory(prefix="bench-floor-") as made:
        contenders: dict[str, Callable[[], Run]] = {
            OURS: lambda: meter.run_ours("claim tree: ours", "build-tree", folder),
            PYMERKLE: partial(run_pymerkle, meter, folder),
        }
        compiled = {floor.name: run for floor in FLOORS if (run := prepare_floor(floor, Path(made), meter, folder))}
        contenders |= compiled
        missing = find_missing_node()
        if not missing:
            contenders[NODE] = partial(run_node, meter, folder)
        turns = dict.fromkeys(contenders, runs) | ({} if missing else {NODE: node_runs})
        found = alternate(contenders, turns)
    same_shape = {name: [run.answer["root"] for run in some] for name, some in found.items() if name != PYMERKLE}
    check_same("the root", same_shape)
    yield from _describe(found, claims >= SCALE, missing)
    yield from _measure_proofs(folder, claims, runs, meter)


def prepare_floor(floor: Floor, made: Path, meter: Meter, folder: Path) -> Callable[[], Run] | None:
    """Compile it; None where there is no compiler."""
    program = compile_floor(made, floor.lanes)
    if program is None:
        return None
    command = [str(program), str(folder / "claims.bin"), str(floor.threads)]
    return lambda: meter.run(f"claim tree: {floor.name}", command)


def compile_floor(made: Path, lanes: int) -> Path | None:
    """The program for so many messages side by side; None where there is no compiler. BenchError when it refuses."""
    compiler, program = shutil.which("cc"), made / f"keccak_floor_{lanes}"
    if compiler is None:
        return None
    command = [compiler, "-std=c11", "-O3", "-march=native", "-pthread", f"-DLANES={lanes}", "-o", str(program)]
    done = subprocess.run([*command, str(COMPETITORS / "keccak_floor.c")], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"the floor in C does not compile: {done.stderr.splitlines()[0]}; give --only without tree")
    return program


def find_missing_node() -> str | None:
    """What is missing to measure OpenZeppelin's library."""
    if shutil.which("node") is None:
        return "no Node here"
    if not (CONTRACTS / "node_modules" / "@openzeppelin" / "merkle-tree").is_dir():
        return "contracts/node_modules is missing: make contracts"
    return None


def run_node(meter: Meter, folder: Path) -> Run:
    script = str(COMPETITORS / "openzeppelin.mjs")
    command = ["node", "--max-old-space-size=8192", script, str(CONTRACTS), str(folder / "claims.csv")]
    return meter.run(f"claim tree: {NODE}", command)


def run_pymerkle(meter: Meter, folder: Path) -> Run:
    command = [sys.executable, "-m", "tests.bench.competitors.pymerkle_tree", str(folder / "claims.bin")]
    return meter.run(f"claim tree: {PYMERKLE}", command)


def _describe(found: dict[str, list[Run]], at_scale: bool, missing_node: str | None) -> Iterator[Figure]:
    figure = partial(Figure, "tree")
    ours = [run.seconds for run in found[OURS]]
    for name, some in found.items():
        once = ", measured once: it takes minutes" if len(some) < len(ours) else ""
        remark = f"{REMARKS.get(name, 'preimages in memory to root')}{once}; peak {_peak(some):,.0f} MB"
        yield figure(name, "s", spread([run.seconds for run in some]), note=remark)
    if missing_node:
        yield figure(NODE, "s", None, note=missing_node)
    if not any(floor.name in found for floor in FLOORS):
        yield figure("floor in C", "s", None, note="no compiler")
    loading = [run.answer["load_seconds"] for run in found[OURS]]
    yield figure("ours, loading the kernel before", "s", spread(loading), note=found[OURS][0].answer["backend"])
    goals = {NODE: 1 / 150, PYMERKLE: 1 / 15} | {floor.name: floor.goal for floor in FLOORS}
    for name in [name for name in found if name != OURS]:
        ratio = ratios(ours, [run.seconds for run in found[name]])
        yield figure(f"ours / {name}", "ratio", ratio, goals[name] if at_scale else None)
    yield figure("peak memory, ours", "MB", spread([run.peak_mb for run in found[OURS]]), 400 if at_scale else None)


def _peak(some: Sequence[Run]) -> float:
    return max(run.peak_mb for run in some)


def _measure_proofs(folder: Path, claims: int, runs: int, meter: Meter) -> Iterator[Figure]:
    some = [meter.run_ours("proofs", "prove", folder) for _ in range(runs)]
    check_same("the number of proofs", {"all": [claims], "found": [run.answer["proofs"] for run in some]})
    proof = partial(Figure, "tree", unit="µs", note="tree.bin mapped; a process's median over 10,000 random accounts")
    unchecked, checked = (spread([run.answer[key] for run in some]) for key in ("unchecked_us", "checked_us"))
    yield proof(what="one proof, to be verified", spread=unchecked, goal=30 if claims >= SCALE else None)
    yield proof(what="one proof, checked up to the file's root", spread=checked)
    bulk = spread([run.seconds for run in some])
    yield Figure("tree", "all proofs in bulk", "s", bulk, 5 if claims >= SCALE else None, f"{claims:,} proofs")
