"""What is measured on: made once for each size, by a process of its own, and kept under `out/bench-input`."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import ROOT, BenchError, Meter

KEPT = ROOT / "out" / "bench-input"
SEED = 7
PROVISIONS = 20_000
_BYTES_A_ROW, _BYTES_A_CLAIM = 115, 260


@dataclass(frozen=True)
class Network:
    """A month of usage: how many rows of how many users and provisions."""

    rows: int
    users: int
    provisions: int

    @classmethod
    def of(cls, rows: int) -> "Network":
        """A thousand rows a provision and a hundred a user, up to the network of 20 million rows."""
        provisions = max(1, min(PROVISIONS, rows // 1000))
        return cls(rows, 10 * provisions, provisions)

    @property
    def name(self) -> str:
        return f"{self.rows}-rows-{self.users}-users-{self.provisions}-provisions-{SEED}"


def keep_network(network: Network, meter: Meter) -> Path:
    """The folder of a network's input."""
    return _keep(
        KEPT / network.name,
        network.rows * _BYTES_A_ROW + network.users * 100,
        lambda folder: meter.run_ours(
            f"making {network.rows:,} rows",
            "make-network",
            folder,
            network.rows,
            network.users,
            network.provisions,
            SEED,
        ),
    )


def keep_claims(claims: int, meter: Meter) -> Path:
    """The folder of some claims: as a frame, and as competitors read them."""
    return _keep(
        KEPT / f"{claims}-claims-{SEED}",
        claims * _BYTES_A_CLAIM,
        lambda folder: meter.run_ours(f"making {claims:,} claims", "make-claims", folder, claims, SEED),
    )


def check_room(size: int) -> None:
    """Raise BenchError unless so many bytes, and as many again to work in, are free."""
    KEPT.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(KEPT).free
    if free < 2 * size:
        raise BenchError(
            f"{size / 1e9:.1f} GB of input and as much to work in, {free / 1e9:.1f} GB are free; "
            "make room, give smaller sizes, or remove out/bench-input"
        )


def _keep(folder: Path, size: int, make: Callable[[Path], object]) -> Path:
    if not folder.is_dir():
        check_room(size)
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.rename(folder)
    return folder
