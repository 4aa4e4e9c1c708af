"""One data directory: its bundles, its ledger, its lock, its catalogue."""

import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rewards.bundles.disk import move_into_place, remove_leftovers
from rewards.bundles.history import HistoryStore
from rewards.bundles.store import Bundle, BundleStore
from rewards.history import find_settled, name_origin
from rewards.ledger.catalogue import read_shown, write_catalogue
from rewards.ledger.lock import hold_lock
from rewards.ledger.store import Ledger, SealedEpoch
from rewards.manifest import Manifest
from rewards.ports import Publication, RootRecord, VaultReader
from rewards.units import PROVIDER, USER


def now() -> datetime:
    """The wall clock, for records of when something was done; no rule reads it."""
    return datetime.now(UTC)


class Workspace:
    """What stands under `data`: `epochs/`, `provenance/`, `ledger.duckdb`, `rewards.duckdb`."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.store = BundleStore(data)
        self.ledger = Ledger(data / "ledger.duckdb")
        self._held = ExitStack()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for one writing process, rid of what killed ones left aside; raises StorageError naming the
        owner's pid."""
        with ExitStack() as held:
            held.enter_context(hold_lock(self.data / ".lock"))
            self._held = held
            remove_leftovers(self.data)
            yield

    @contextmanager
    def unlocked(self) -> Iterator[None]:
        """Within `locked`: lets other processes in while the block waits for people, then holds the directory again."""
        self._held.close()
        yield
        self._held.enter_context(hold_lock(self.data / ".lock", patient=True))

    def sealed_bundles(self) -> list[Bundle]:
        """The bundles of every sealed epoch that is in place, ascending."""
        return [self.store.read(e.number) for e in self.ledger.sealed() if self.store.has(e.number)]

    def set_aside_folders(self) -> list[Path]:
        """Where the bundles are that were withdrawn because the chain revoked their root."""
        return sorted((self.data / "epochs").glob("*.revoked-*"))

    def has_catalogue(self) -> bool:
        return (self.data / "rewards.duckdb").exists()

    def refresh_catalogue(self, published: Collection[int] = ()) -> None:
        """Swap in a catalogue of the epochs that analysts may see: those bound to a Vault while `published`, those
        without a chain once sealed."""
        shown = [b for b in self.sealed_bundles() if b.manifest.chain is None or b.manifest.epoch.number in published]
        path = self.data / "rewards.duckdb"
        if read_shown(path) != {b.manifest.epoch.number: b.manifest.digest for b in shown}:
            write_catalogue(path, [(b.manifest, b.folder) for b in shown])

    def find_published(self, vault: VaultReader | None) -> set[int]:
        """The sealed epochs whose live root and manifest hash on the chain are ours, in a final block and still; none
        without a Vault. Only those that the history does not show as settled are asked for."""
        if vault is None:
            return set()
        settled, end, final = self._find_settled(vault), vault.next_epoch(), vault.final_block().number
        return {
            epoch.number
            for epoch in self.ledger.sealed()
            if _is_result(settled.get(epoch.number), epoch)
            or (
                epoch.number < end
                and _is_live(vault.root_at(epoch.number), epoch)
                and _is_live(vault.root_at(epoch.number, final), epoch)
            )
        }

    def withdraw_revoked(self, vault: VaultReader | None) -> None:
        """Withdraw the first sealed epoch that the chain revoked and does not hold again, and every later one, once that
        is final; also where another root of it is live by now, which was published elsewhere."""
        number = None if vault is None else self.find_revoked(vault)
        if vault is not None and number is not None:
            self.withdraw(number, vault)

    def find_revoked(self, vault: VaultReader) -> int | None:
        """The first sealed epoch that `withdraw_revoked` would withdraw; None without one."""
        settled = self._find_settled(vault)
        numbers = (
            epoch.number
            for epoch in self.ledger.sealed()
            if not _is_result(settled.get(epoch.number), epoch) and _is_revoked(vault, epoch)
        )
        return next(numbers, None)

    def _find_settled(self, vault: VaultReader) -> Mapping[int, Publication]:
        return find_settled(HistoryStore(self.data).read(), name_origin(vault.chain_id, vault.address))

    def withdraw(self, number: int, vault: VaultReader) -> None:
        """Take an epoch and every later one back: folders stay as `<number>.revoked-<first 8 of the digest>`, the ledger
        keeps a finding. After a kill at any point, the same call ends the same."""
        if self.has_catalogue():  # it names the folders by their paths
            self.refresh_catalogue(self.find_published(vault))
        sealed = {e.number: e.manifest for e in self.ledger.sealed()}
        # Folders first: the ledger's row is what the next run finds a revoked epoch by, and a folder that the ledger
        # had already forgotten would be taken for another network's.
        for later in sorted(self.store.numbers(), reverse=True):
            if later >= number:
                self._set_aside(later, sealed.get(later) or self.store.read(later).manifest.digest)
        self.ledger.withdraw(number, now())

    def _set_aside(self, number: int, digest: str) -> None:
        folder = self.store.folder(number)
        target = folder.with_name(f"{number}.revoked-{digest[:8]}")
        if target.exists():  # computed again with the same result, and still revoked: one copy is enough
            target = self.data / "staging" / str(number)
            shutil.rmtree(target, ignore_errors=True)
        move_into_place(folder, target)


def find_live(vault: VaultReader, number: int, block: int | None = None) -> RootRecord | None:
    """The Vault's live record of an epoch, now or after a block; null where there is none."""
    record = vault.root_at(number, block) if number >= 0 else None
    return None if record is None or record.status == "revoked" else record


def is_of(record: RootRecord | Publication, manifest: Manifest) -> bool:
    """Whether what the chain holds of an epoch is this very publication."""
    return pays_as(record, manifest) and record.manifest_hash == manifest.hash


def pays_as(record: RootRecord | Publication, manifest: Manifest) -> bool:
    """Whether what the chain holds of an epoch pays the same leaves, whatever else its manifest says."""
    wanted = (manifest.root, manifest.total(PROVIDER), manifest.total(USER))
    return wanted == (record.root, record.provider_total, record.user_total)


def was_revoked(vault: VaultReader, epoch: SealedEpoch) -> bool:
    """Whether a final block revoked a publication of this very result."""
    revoked = vault.revoked_publications(epoch.number, vault.final_block().number)
    return any(_is_result(one, epoch) for one in revoked)


def _is_result(record: RootRecord | Publication | None, epoch: SealedEpoch) -> bool:
    return record is not None and (record.manifest_hash.hex(), "0x" + record.root.hex()) == (epoch.manifest, epoch.root)


def _is_live(record: RootRecord | None, epoch: SealedEpoch) -> bool:
    return record is not None and record.status != "revoked" and _is_result(record, epoch)


def _is_revoked(vault: VaultReader, epoch: SealedEpoch) -> bool:
    """Whether a publication of this result was revoked in a final block, and none of it is live, there or now."""
    now_held = vault.root_at(epoch.number)
    if now_held is None or _is_live(now_held, epoch):
        return False
    if _is_live(vault.root_at(epoch.number, vault.final_block().number), epoch):
        return False
    return was_revoked(vault, epoch)
