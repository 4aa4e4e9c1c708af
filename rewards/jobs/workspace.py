"""One data directory: its bundles, its ledger, its lock, its catalogue."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rewards.bundles.store import Bundle, BundleStore
from rewards.ledger.catalogue import write_catalogue
from rewards.ledger.lock import hold_lock
from rewards.ledger.store import Ledger


def now() -> datetime:
    """The wall clock, for records of when something was done; no rule reads it."""
    return datetime.now(UTC)


class Workspace:
    """What stands under `data`: `epochs/`, `provenance/`, `ledger.duckdb`, `rewards.duckdb`."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.store = BundleStore(data)
        self.ledger = Ledger(data / "ledger.duckdb")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for one writing process; raises StorageError naming the owner's pid."""
        with hold_lock(self.data / ".lock"):
            yield

    def sealed_bundles(self) -> list[Bundle]:
        """The bundles of every sealed epoch that is in place, ascending."""
        return [self.store.read(e.number) for e in self.ledger.sealed() if self.store.has(e.number)]

    def has_catalogue(self) -> bool:
        return (self.data / "rewards.duckdb").exists()

    def refresh_catalogue(self, published: int | None = None) -> None:
        """Swap in a catalogue of the epochs that analysts may see: those bound to a Vault once published (up to
        `published`), those without a chain once sealed."""
        bundles = self.sealed_bundles()
        shown = [
            b
            for b in bundles
            if b.manifest.chain is None or (published is not None and b.manifest.epoch.number <= published)
        ]
        write_catalogue(self.data / "rewards.duckdb", [(b.manifest, b.folder) for b in shown])
