"""What happened, counted; and every invariant that did not hold, with what replays it."""

import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

COUNTED = {
    "stories": "stories",
    "commands": "commands run",
    "kills": "commands killed (SIGKILL)",
    "named_kills": "of them at a named step",
    "rpc_faults": "requests that met a fault",
    "reorganisations": "reorganisations",
    "restarts": "restarts of the node",
    "fee_spikes": "spikes of the base fee",
    "revocations": "revocations",
    "pauses": "pauses",
    "roots_lost": "roots lost",
    "roots_doubled": "roots doubled",
    "invariants_broken": "invariants broken",
}


@dataclass(frozen=True)
class Broken:
    """An invariant that did not hold; `seed` and `story` replay it."""

    seed: int
    story: int
    invariant: str
    message: str


@dataclass
class Tally:
    """Counts of COUNTED, from several threads."""

    seed: int
    broken: list[Broken] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, number: int = 1) -> None:
        with self._turn:
            self._counts[what] += number

    def report(self, story: int, invariant: str, message: str) -> None:
        """A broken invariant; `roots lost` and `roots doubled` are also counted apart."""
        with self._turn:
            self.broken.append(Broken(self.seed, story, invariant, message))
            self._counts["invariants_broken"] += 1
            if (name := invariant.replace(" ", "_")) in ("roots_lost", "roots_doubled"):
                self._counts[name] += 1

    def count(self, what: str) -> int:
        return self._counts[what]

    @property
    def line(self) -> str:
        """All that fits beside a bar."""
        short = ("stories", "kills", "rpc_faults", "reorganisations", "invariants_broken")
        return ", ".join(f"{self.count(what):,} {COUNTED[what].removesuffix(' (SIGKILL)')}" for what in short)

    def make_table(self, seconds: float) -> Table:
        table = Table(title=f"soak of {seconds / 60:.1f} minutes, seed {self.seed}")
        table.add_column("what")
        table.add_column("how many", justify="right")
        for what, text in COUNTED.items():
            table.add_row(text, f"{self.count(what):,}")
        for one in self.broken:
            table.add_row(f"[red]{one.invariant}[/] in story {one.story}", one.message.splitlines()[0][:80])
        return table

    def to_json(self, minutes: float, seconds: float) -> dict[str, Any]:
        counts = {what: self.count(what) for what in COUNTED}
        return counts | {
            "seed": self.seed,
            "minutes": minutes,
            "seconds": round(seconds),
            "broken": [asdict(one) | {"replay": f"SOAK_SEED={one.seed} SOAK_STORY={one.story}"} for one in self.broken],
        }
