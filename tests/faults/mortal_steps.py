"""Steps of the small program."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Store:
    path: Path

    def place(self, number: int) -> None:
        with self.path.open("a") as log:
            log.write(f"placed {number}\n")

    @staticmethod
    def describe(rounds: int) -> str:
        return f"{rounds} rounds"


def stage(store: Store, number: int) -> None:
    with store.path.open("a") as log:
        log.write(f"staged {number}\n")


def finish() -> str:
    return "finished"
