"""Seconds by size on logarithmic axes, as SVG that reads well on light and on dark."""

import math
from collections.abc import Sequence
from itertools import groupby

from tests.bench.growth import Point

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 160, 24, 52
COLORS = ("#3b82f6", "#e8833a")
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#57606a}.grid{stroke:#8b949e;stroke-opacity:.3}"
    ".line{fill:none;stroke-width:2.5}.proportional{fill:none;stroke-width:1.2;stroke-dasharray:5 5;opacity:.7}"
    "@media(prefers-color-scheme:dark){text{fill:#c9d1d9}}"
)


def draw(points: Sequence[Point]) -> str:
    """One curve for each name among the points, its lowest and highest as bars, a dashed line for time proportional to
    size."""
    sizes = [point.size for point in points]
    curves = [list(some) for _, some in groupby(points, key=lambda point: point.curve)]
    seconds = [value for point in points for value in (point.seconds.lowest, point.seconds.highest)]
    seconds += [grow(some) for some in curves]
    across, up = Axis(sizes, LEFT, WIDTH - RIGHT), Axis(seconds, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>Seconds by size</title><style>{STYLE}</style>",
    ]
    for power in across.powers:
        x = across.place(10**power)
        parts.append(f'<path class="grid" d="M{x} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{name_size(power)}</text>')
    for power in up.powers:
        y = up.place(10**power)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{10.0**power:g} s</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) // 2}" y="{HEIGHT - 10}" text-anchor="middle">claims or rows</text>'
    )
    for color, some in zip(COLORS, curves, strict=False):
        parts += draw_curve(some, color, across, up)
    return "\n".join([*parts, "</svg>", ""])


def grow(points: Sequence[Point]) -> float:
    """Seconds of the last point if time grew with size from the first."""
    return points[0].seconds.median * points[-1].size / points[0].size


def draw_curve(points: Sequence[Point], color: str, across: "Axis", up: "Axis") -> list[str]:
    last = points[-1]
    spots = [(across.place(point.size), up.place(point.seconds.median)) for point in points]
    end = up.place(grow(points))
    path = "M" + "L".join(f"{x} {y}" for x, y in spots)
    parts = [
        f'<path class="proportional" stroke="{color}" d="M{spots[0][0]} {spots[0][1]}L{spots[-1][0]} {end}"/>',
        f'<path class="line" stroke="{color}" d="{path}"/>',
    ]
    for point, (x, y) in zip(points, spots, strict=True):
        low, high = up.place(point.seconds.lowest), up.place(point.seconds.highest)
        parts.append(f'<path stroke="{color}" d="M{x} {low}V{high}"/><circle cx="{x}" cy="{y}" r="4" fill="{color}"/>')
    x, y = spots[-1]
    return [
        *parts,
        f'<text x="{x + 10}" y="{y + 4}" style="fill:{color}">{last.curve}, {last.seconds.median:.3g} s</text>',
    ]


def name_size(power: int) -> str:
    """Ten to a power as people write it: 10k, 1M."""
    return f"{10 ** (power % 3)}" + ("", "k", "M", "G")[power // 3]


class Axis:
    """From whole powers of ten below the least value to above the greatest, between two places on the drawing."""

    def __init__(self, values: Sequence[float], start: int, end: int) -> None:
        first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self.powers = range(first, max(last, first + 1) + 1)
        self._start, self._span = start, end - start

    def place(self, value: float) -> float:
        share = (math.log10(value) - self.powers[0]) / (self.powers[-1] - self.powers[0])
        return round(self._start + share * self._span, 1)
