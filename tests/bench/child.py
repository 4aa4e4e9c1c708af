"""What runs in a fresh process: `python -m tests.bench.child TASK ARGUMENTS` prints one line of JSON.

Clocks start when libraries are imported and inputs are in memory, for ours as for competitors.
"""

import json
import mmap
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

Answer = dict[str, Any]
PROOFS = 10_000
WORK = Path(__file__).resolve().parents[2] / "out"


def make_network(folder: Path, rows: int, users: int, provisions: int, seed: int) -> Answer:
    from tests.bench.network import Size, write_network

    write_network(folder, Size(rows, provisions, users, seed=seed))
    return {}


def make_claims(folder: Path, claims: int, seed: int) -> Answer:
    """Claims in no order, half of them in each pool: a frame, text for Node, and the 96 bytes that are hashed."""
    import numpy as np

    source = np.random.default_rng([seed, claims])
    digits = source.bytes(20 * claims).hex()
    accounts = pl.Series([digits[start : start + 40] for start in range(0, len(digits), 40)], dtype=pl.String)
    wide = pl.col("cumulative_amount").cast(pl.Int128) * pl.lit(2**32, pl.Int128)
    frame = pl.DataFrame(
        {
            "pool": source.integers(1, 3, claims, dtype=np.uint8),
            "account": pl.select("0x" + accounts).to_series(),
            "cumulative_amount": source.integers(1, 2**63, claims),
        }
    ).with_columns(wide.cast(pl.Decimal(38, 0)))
    folder.mkdir(parents=True)
    frame.write_parquet(folder / "claims.parquet")
    frame.write_csv(folder / "claims.csv", include_header=False)
    with (folder / "claims.bin").open("wb") as file:
        for pool, account, amount in frame.iter_rows():
            file.write(pool.to_bytes(32) + bytes(12) + bytes.fromhex(account[2:]) + int(amount).to_bytes(32))
    return {}


def load_kernel() -> Answer:
    from rewards.keccak import backend

    return {"backend": backend()}


def build_tree(folder: Path) -> Answer:
    """A frame in memory to the root, first tree of the process; loading the kernel is timed by itself."""
    from rewards.keccak import backend
    from rewards.merkle import ClaimTree

    claims = pl.read_parquet(folder / "claims.parquet")
    began = time.perf_counter()
    kernel = backend()
    loaded = time.perf_counter()
    root = ClaimTree.build(claims).root
    return {
        "root": "0x" + root.hex(),
        "seconds": time.perf_counter() - loaded,
        "load_seconds": loaded - began,
        "backend": kernel,
    }


def prove(folder: Path) -> Answer:
    """Single proofs from a mapped `tree.bin`, in µs: checked and unchecked; and all proofs in seconds."""
    from rewards.keccak import backend
    from rewards.merkle import ClaimTree, read_proof

    backend()
    claims = pl.read_parquet(folder / "claims.parquet")
    tree = ClaimTree.build(claims)
    keys = claims.select("pool", "account").sample(PROOFS, with_replacement=True, seed=1).rows()
    with _working_folder() as work:
        path = work / "tree.bin"
        path.write_bytes(tree.to_bytes())
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            checked = [_time(partial(read_proof, mapped, *key)) for key in keys]
            unchecked = [_time(partial(read_proof, mapped, *key, check=False)) for key in keys]
    began = time.perf_counter()
    proofs = sum(len(batch.offsets) - 1 for batch in tree.prove_all())
    return {
        "proofs": proofs,
        "seconds": time.perf_counter() - began,
        "checked_us": statistics.median(checked) * 1e6,
        "unchecked_us": statistics.median(unchecked) * 1e6,
    }


def roll_up(folder: Path, memory: str) -> Answer:
    """Usage, heartbeats, accounts and provisions of a month to the roll-up."""
    from rewards.distribution import add_wallets
    from rewards.engines.duckdb import DuckDBEngine
    from rewards.jobs.prepare import StageClock
    from rewards.sources.folder import InputFolder
    from tests.bench.network import month
    from tests.worlds import POLICY

    inputs = InputFolder(folder)
    usage, heartbeats = inputs.usage(), inputs.heartbeats()
    accounts, provisions = add_wallets(inputs.accounts(), frozenset()), inputs.provisions()
    clock = StageClock(lambda _: None)
    with _working_folder() as work:
        engine = DuckDBEngine(work, memory, on_stage=clock)
        began = time.perf_counter()
        found = engine.roll_up(usage, heartbeats, accounts, provisions, [], month().epoch(0), POLICY)
        seconds = time.perf_counter() - began
        clock.stop()
    counts = found.counts
    return {"rows": counts.rows, "earning": counts.earning, "seconds": seconds, "stages": clock.seconds}


def close_epochs(inputs: Path, last: int, days: int) -> Answer:
    """Epochs 0 to `last` of so many days, files to sealed bundle, and one verified; peak memory is of closing them."""
    from rewards.epoch import Calendar
    from rewards.jobs.prepare import RunSettings
    from rewards.jobs.run import run_epochs
    from rewards.jobs.settings import POLICIES
    from rewards.jobs.verify import verify_epoch
    from rewards.jobs.workspace import Workspace
    from tests.bench.network import GENESIS

    calendar = Calendar.from_genesis(GENESIS, timedelta(days=days))
    epochs = []
    with _working_folder() as data:
        began = time.perf_counter()
        for outcome in run_epochs(Workspace(data), RunSettings(inputs, POLICIES, calendar), range(last + 1)):
            took = time.perf_counter() - began
            manifest = outcome.bundle.manifest
            rows, leaves = manifest.counts["rows"], manifest.leaves
            epochs.append({"rows": rows, "leaves": leaves, "seconds": took, "stages": dict(outcome.seconds)})
            began = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        began = time.perf_counter()
        verdict = verify_epoch(data, last)
        seconds = time.perf_counter() - began
    if problems := [f"{check.name}: {check.problem}" for check in verdict.checks if check.problem]:
        sys.exit(f"the epoch does not verify: {'; '.join(problems)}")
    return {"epochs": epochs, "peak_mb": peak, "verify_seconds": seconds}


@contextmanager
def _working_folder() -> Iterator[Path]:
    """Beside the inputs: where memory passes for a disk, spilling would count twice."""
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=WORK) as folder:
        yield Path(folder)


def _time(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    task, *rest = sys.argv[1:]
    folder, *rest = rest or [""]
    numbers = [int(text) for text in rest if text.isdigit()]
    tasks: dict[str, Callable[[], Answer]] = {
        "load-kernel": load_kernel,
        "make-network": lambda: make_network(Path(folder), *numbers),
        "make-claims": lambda: make_claims(Path(folder), *numbers),
        "build-tree": lambda: build_tree(Path(folder)),
        "prove": lambda: prove(Path(folder)),
        "roll-up": lambda: roll_up(Path(folder), rest[0]),
        "close-epochs": lambda: close_epochs(Path(folder), *numbers),
    }
    print(json.dumps(tasks[task]()))


if __name__ == "__main__":
    main()
