"""What a claim tree costs: `python -m tests.benchmarks.bench_tree [leaves]`. Prints figures; nothing is asserted.

One fresh process; figures are medians over runs with the lowest and highest beside them. Memory is the process's peak,
and how much of it was added after the frame was there.
"""

import mmap
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from rewards import merkle
from rewards.keccak import backend, hash_column, hash_pairs

RUNS = 7


def make_claimables(leaves: int) -> pl.DataFrame:
    """Rows in no order, half of them in each pool or so, amounts of up to 96 bits."""
    source = np.random.default_rng(leaves)
    digits = source.bytes(20 * leaves).hex()
    frame = pl.DataFrame(
        {
            "pool": source.integers(1, 3, leaves),
            "account": ["0x" + digits[i : i + 40] for i in range(0, len(digits), 40)],
            "cumulative_amount": source.integers(1, 2**63, leaves),
        }
    )
    wide = pl.col("cumulative_amount").cast(pl.Int128) * pl.lit(2**32, pl.Int128)
    return frame.with_columns(pl.col("pool").cast(pl.UInt8), wide.cast(pl.Decimal(38, 0)))


def report(name: str, run: Callable[[], object], runs: int = RUNS, unit: str = "s", scale: float = 1) -> None:
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        run()
        seconds.append((time.perf_counter() - began) * scale)
    print(f"{name:<34}{statistics.median(seconds):9.3f} {unit}  ({min(seconds):.3f} to {max(seconds):.3f})")


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    leaves = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    if len(sys.argv) > 2:
        make_claimables(leaves).write_parquet(sys.argv[2])
        return
    began = time.perf_counter()
    print(f"{'backend':<34}{backend()}, loaded in {time.perf_counter() - began:.2f} s; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stored = Path(folder) / "claimables.parquet"
        # Made in another process: what it takes is no part of the peak.
        subprocess.run([sys.executable, "-m", "tests.benchmarks.bench_tree", str(leaves), str(stored)], check=True)
        claimables = pl.read_parquet(stored)
        before = peak()
        tree = merkle.ClaimTree.build(claimables)
        print(f"{'peak memory':<34}{peak():9.0f} MB  ({peak() - before:.0f} above the frame's)")

        messages = np.random.default_rng(1).integers(0, 256, (1 << 18, 64), dtype=np.uint8)
        scale = 1e6 / len(messages)
        report("Keccak-256 of 64 bytes", lambda: hash_column(messages), unit="µs", scale=scale)
        report("the same of a sorted pair", lambda: hash_pairs(messages.reshape(-1, 32)), unit="µs", scale=scale)
        report("frame to root", lambda: merkle.ClaimTree.build(claimables).root)
        encoded = merkle._encode_leaves(claimables)
        report("  encode leaves", lambda: merkle._encode_leaves(claimables))
        report("  sort by key", lambda: merkle._sort_rows(encoded))
        content = tree.to_bytes()
        report("read back, every node hashed", lambda: merkle.ClaimTree.from_bytes(content))
        report("all proofs", lambda: [len(batch.nodes) for batch in tree.prove_all()])

        path = Path(folder) / "tree.bin"
        path.write_bytes(content)
        keys = claimables.select("pool", "account").sample(2000, seed=1).rows()
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            for check in (True, False):
                turn = iter(keys * 2)
                for _ in keys:
                    merkle.read_proof(mapped, *next(turn), check=check)
                name = "one proof, mapped" if check else "one proof, not checked"
                report(name, lambda: merkle.read_proof(mapped, *next(turn), check=check), len(keys), "µs", 1e6)  # noqa: B023
        turn = iter(keys)
        report("one proof through pymerkle", lambda: tree.prove(*next(turn)), len(keys), "µs", 1e6)


if __name__ == "__main__":
    main()
