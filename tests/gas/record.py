"""The figures as they are tracked, what they are compared with, and the goals that they must meet."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from rich.progress import Progress

from rewards.chain.sender import GAS_LIMIT
from tests.gas.account import ACCOUNTS_OF, Line, take_account
from tests.gas.bench import TRACED, Bench, Extent, Figures
from tests.gas.distributors import STYLE, Distributors
from tests.gas.leaves import LEAVES, SAMPLES
from tests.gas.station import CONTRACTS, Station, open_network

TRACKED = CONTRACTS / "gas.json"
CODE_LIMIT = 24_576


class Goal(NamedTuple):
    what: str
    reached: Fraction
    limit: Fraction
    inverse: bool = False

    @property
    def is_met(self) -> bool:
        return self.reached <= self.limit

    def show(self, value: Fraction) -> str:
        if self.inverse:
            return f"1/{float(1 / value):.1f}" if value == self.reached else f"1/{1 / value}"
        return f"{float(value):.3f}" if value < 10 else f"{float(value):,.0f}"


def average(figures: Figures, name: str) -> Fraction:
    return Fraction(sum(figures[name]), len(figures[name]))


def list_goals(figures: Figures, reference: str = STYLE) -> list[Goal]:
    """The goals, as ratios to one of the distributors; the harder one is our own writing."""
    base = average(figures, f"{reference}: new word, new holder")

    def thirty(kind: str, holder: str) -> Fraction:
        nights = average(figures, f"{reference}: thirty nights, {holder} holder")
        return average(figures, f"thirty nights at once, {kind} claim") / nights

    return [
        Goal("later claim", average(figures, "later claim") / base, Fraction(80, 100)),
        Goal("first claim", average(figures, "first claim") / base, Fraction(120, 100)),
        Goal("item of a batch of 50, first", average(figures, "batch of 50, first claims") / 50 / base, Fraction(3, 4)),
        Goal("item of a batch of 50, later", average(figures, "batch of 50, later claims") / 50 / base, Fraction(2, 5)),
        Goal("thirty nights at once, first claim", thirty("first", "new"), Fraction(1, 20), inverse=True),
        Goal("thirty nights at once, claimed before", thirty("later", "old"), Fraction(1, 30), inverse=True),
        Goal("root post, first (gas)", Fraction(max(figures["root post, first"])), Fraction(130_000)),
        Goal("root post, later (gas, the dearest)", Fraction(max(figures["root post, later"])), Fraction(115_000)),
    ]


@dataclass(frozen=True)
class Record:
    """What `contracts/gas.json` holds."""

    figures: Figures
    batch_sizes: dict[str, int]
    sizes: dict[str, int]
    accounts: dict[str, list[Line]]

    def to_json(self) -> str:
        about = {
            "leaves": LEAVES,
            "samples": SAMPLES,
            "fork": "prague",
            "gas_limit": GAS_LIMIT,
            "code_limit": CODE_LIMIT,
        }
        goals = {
            g.what: {"reached": float(round(g.reached, 6)), "limit": float(round(g.limit, 6)), "met": g.is_met}
            for g in list_goals(self.figures)
        }
        figures = {
            name: {"average": round(average(self.figures, name)), "min": min(each), "max": max(each), "each": each}
            for name, each in self.figures.items()
        }
        sections: list[tuple[str, Mapping[str, Any]]] = [
            ("about", about),
            ("goals", goals),
            ("code_sizes", self.sizes),
            ("batch_sizes", self.batch_sizes),
            ("figures", figures),
            ("accounts", {name: [list(line) for line in lines] for name, lines in self.accounts.items()}),
        ]
        return "{\n" + ",\n".join(f' "{name}": {_format_section(value)}' for name, value in sections) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> "Record":
        fields = json.loads(text)
        return cls(
            {name: figure["each"] for name, figure in fields["figures"].items()},
            fields["batch_sizes"],
            fields["code_sizes"],
            {name: [Line(*line) for line in lines] for name, lines in fields["accounts"].items()},
        )


def _format_section(value: Mapping[str, Any]) -> str:
    """One line an entry, so that a difference is a readable one."""
    entries = (f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
    return "{\n" + ",\n".join(entries) + "\n }"


def measure(chain: str, extent: Extent, progress: Progress) -> Record:
    """The figures of one run on a fresh chain, without accounts."""
    with open_network(chain) as network:
        bench = Bench(Station(network), extent, progress)
        bench.run()
        Distributors(bench).run()
    return Record(bench.figures, bench.batch_sizes, bench.sizes, {})


def trace(progress: Progress) -> Record:
    """The accounts, with the figures of the small run that they are from, on a node that keeps every step."""
    with open_network("anvil", "--steps-tracing") as network:
        bench = Bench(Station(network), TRACED, progress)
        bench.run()
        accounts = {name: take_account(bench, name) for name in ACCOUNTS_OF}
    return Record(bench.figures, bench.batch_sizes, bench.sizes, accounts)


def compare(tracked: Record, fresh: Record, whole: bool) -> list[str]:
    """Differences by name, old and new. A run that is not whole has fewer figures, and the beginnings of others."""
    found: list[str] = []
    olds, news = dict(_list_entries(tracked)), dict(_list_entries(fresh))
    for name in olds.keys() | news.keys() if whole else news.keys():
        if olds.get(name) != news.get(name):
            found.append(f"{name}: {olds.get(name, 'none')}, now {news.get(name, 'none')}")
    return sorted(found)


def _list_entries(record: Record) -> Iterator[tuple[str, int]]:
    """Everything that must agree, one number a name."""
    for name, each in record.figures.items():
        yield from ((f"{name}, number {i}", gas) for i, gas in enumerate(each))
    yield from ((f"size of {name}", size) for name, size in record.sizes.items())
    yield from ((f"items of {name}", size) for name, size in record.batch_sizes.items())
    for name, lines in record.accounts.items():
        yield from ((f"account of {name}: {line.part}, {line.what}", line.gas) for line in lines)
