"""Disks that fill up and processes that die in the midst of a write: defects that a command plants into itself. The kernel
refuses every byte of a file beyond a limit, as it does on a full disk."""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rewards.jobs import publish, workspace
from rewards.ledger.intents import Intents
from rewards.ledger.store import Ledger


@contextmanager
def limit_files(size: int) -> Iterator[None]:
    """Writing beyond `size` bytes of a file fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _fill_while(owner: Any, name: str, size: int = 0) -> None:
    whole: Callable[..., Any] = getattr(owner, name)

    def act(*arguments: Any, **named: Any) -> Any:
        with limit_files(size):
            return whole(*arguments, **named)

    setattr(owner, name, act)


while_keeping_0, while_keeping_1, while_keeping_100, while_keeping_4096, while_keeping_20000 = (
    partial(_fill_while, Intents, "keep", size) for size in (0, 1, 100, 4096, 20_000)
)
while_settling = partial(_fill_while, Intents, "settle")
while_logging = partial(_fill_while, publish, "extend_history")
while_cataloguing = partial(_fill_while, workspace, "write_catalogue")


def die_in_the_log() -> None:
    """As soon as the intent is committed, before the file is closed: it is in the log beside the ledger alone."""
    transaction = Ledger.transaction

    @contextmanager
    def die(self: Ledger) -> Iterator[Any]:
        with transaction(self) as connection:
            yield connection
            connection.execute("COMMIT")
            os.kill(os.getpid(), signal.SIGKILL)

    keep = Intents.keep

    def keep_and_die(*arguments: Any) -> None:
        Ledger.transaction = die  # type: ignore[method-assign]
        keep(*arguments)

    setattr(Intents, "keep", keep_and_die)  # noqa: B010
