"""Places at which a process may end: before one of its calls begins, or right after it returned."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import pytest
from _pytest.monkeypatch import derive_importpath

PLACES = {
    "keep": "rewards.ledger.intents.Intents.keep",
    "settle": "rewards.ledger.intents.Intents.settle",
    "submit": "rewards.chain.pursuit.Pursuit._submit",
    "send": "rewards.chain.client.Chain.send_raw",
    "pursue": "rewards.chain.pursuit.Pursuit.run",
    "history": "rewards.bundles.history.HistoryStore.extend",
    "write": "rewards.bundles.history.write_file",
    "catalogue": "rewards.jobs.workspace.Workspace.refresh_catalogue",
}


class Crashed(BaseException):
    """The process ends here: nothing of it handles this."""


@dataclass(frozen=True)
class Crash:
    """Where a process ends: at the `number`-th call of a place, before it or `after`."""

    place: str
    after: bool = False
    number: int = 1

    @contextmanager
    def planted(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            name, owner = derive_importpath(PLACES[self.place], raising=True)
            patch.setattr(owner, name, self._wrap(getattr(owner, name)))
            yield

    def _wrap(self, call: Any) -> Any:
        calls = 0

        @wraps(call)
        def crash(*args: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls != self.number:
                return call(*args, **named)
            if self.after:
                call(*args, **named)
            raise Crashed(self.place)

        return crash
