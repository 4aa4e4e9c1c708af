"""How time grows with size: the claim tree by claims, the roll-up by rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench import rollup
from tests.bench.figures import Figure
from tests.bench.inputs import Network, keep_claims, keep_network
from tests.bench.measure import Meter, Spread, spread

TREE_SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000)
ROLLUP_SIZES = (1_000_000, 3_000_000, 10_000_000, 20_000_000)


@dataclass(frozen=True)
class Point:
    """One size of one curve, in seconds and MB."""

    curve: str
    size: int
    seconds: Spread
    peak: Spread


def estimate(tree_sizes: Sequence[int], rollup_sizes: Sequence[int], runs: int) -> float:
    """Seconds that this part may take."""
    return sum(size * (2e-6 + runs * 2e-6) + 4 * runs for size in (*tree_sizes, *rollup_sizes))


def measure_growth(tree_sizes: Sequence[int], rollup_sizes: Sequence[int], runs: int, meter: Meter) -> Iterator[Point]:
    """Points of both curves, smallest first."""
    for size in tree_sizes:
        folder = keep_claims(size, meter)
        some = [meter.run_ours(f"{size:,} claims", "build-tree", folder) for _ in range(runs)]
        yield Point("claim tree", size, spread([r.seconds for r in some]), spread([r.peak_mb for r in some]))
    for size in rollup_sizes:
        folder = keep_network(Network.of(size), meter)
        some = [rollup.roll_up(folder, meter) for _ in range(runs if size <= rollup.SCALE else 1)]
        yield Point("roll-up", size, spread([r.seconds for r in some]), spread([r.peak_mb for r in some]))


def list_figures(points: Sequence[Point]) -> Iterator[Figure]:
    """The points as rows of the table."""
    for point in points:
        counted = "claims" if point.curve == "claim tree" else "rows"
        each = f"{point.seconds.median / point.size * 1e6:.2f} µs each, peak {point.peak.median:,.0f} MB"
        yield Figure("growth", f"{point.curve}, {point.size:,} {counted}", "s", point.seconds, note=each)
