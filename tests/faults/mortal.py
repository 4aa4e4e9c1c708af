"""A small program that processes under test run: steps in a loop, one imported by its name, one class, one failure."""

import time
from pathlib import Path

from tests.faults.mortal_steps import Store, finish, stage


def work(folder: str, rounds: int) -> None:
    """Writes a line at each step, so that a test sees how far it came."""
    store = Store(Path(folder) / "log")
    for number in range(rounds):
        stage(store, number)
        store.place(number)
    print("done", Store.describe(rounds), finish())


def work_slowly(folder: str) -> None:
    """Does not end by itself."""
    store = Store(Path(folder) / "log")
    number = 0
    while True:
        store.place(number)
        number += 1
        time.sleep(0.001)


def fail(folder: str) -> None:
    """Ends with an error within a step."""
    Store(Path(folder) / "missing" / "log").place(0)
