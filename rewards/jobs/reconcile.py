"""Compare the Vault with the ledger and the bundles, at the last final block, and report every disagreement."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from rewards.bundles.store import Bundle, open_bundle
from rewards.chain.client import LOG_RANGE
from rewards.chain.intent import read_called
from rewards.chain.observation import read_counters
from rewards.chain.vault import Vault
from rewards.errors import Finding, RewardsError, Severity
from rewards.events import PublishedRoot, RootIdentity, find_newest, order_publications
from rewards.jobs.observe import OnRange, observe_chain
from rewards.jobs.workspace import Workspace, now
from rewards.ledger.intents import Intents, StoredIntent
from rewards.ledger.observed import ObservedChain
from rewards.ledger.store import SealedEpoch
from rewards.reconcile import (
    KnownIntent,
    VaultBooks,
    identify,
    reconcile_claims,
    reconcile_intents,
    reconcile_pools,
    reconcile_roots,
)
from rewards.schemas import CLAIMABLES
from rewards.units import Address

_WORST_FIRST = list(Severity)


def reconcile(
    workspace: Workspace,
    vault: Vault,
    range_size: int = LOG_RANGE,
    from_start: bool = False,
    on_range: OnRange = lambda _, __: None,
) -> list[Finding]:
    """Findings, worst first, most of them none; they are kept in the ledger under the newest sealed epoch, in place of
    those of the last call.

    Sends nothing. The chain is read on from where the last call ended, at most `range_size` blocks at once, or
    `from_start`, which also clears the breaks that were told. Raises as `observe_chain` does; what is wrong with a bundle
    is a finding.
    """
    observed = ObservedChain(workspace.ledger)
    if from_start:
        observed.forget()
    cursor, notes = observe_chain(observed, vault, range_size, on_range)
    seen, books = observed.read(cursor), read_books(vault, cursor.block)
    if from_start:
        observed.clear_told_breaks()
    known = _KnownHere.read(workspace)
    publications = order_publications(seen.root_events)
    findings = [
        *observed.breaks(),
        *notes,
        *reconcile_roots(known.sealed, publications, known.set_aside),
        *reconcile_intents(
            list_known_intents(workspace, vault, publications, cursor.block),
            publications,
            {*known.sealed.values(), *known.set_aside},
            cursor.block,
        ),
        *reconcile_claims(known.leaves_of, seen.claims),
        *reconcile_pools(find_newest(publications), seen.counters, books),
        *known.damage,
    ]
    findings.sort(key=lambda f: _WORST_FIRST.index(f.severity))
    kept = findings if known.sealed else []
    workspace.ledger.record_findings(max(known.sealed, default=0), "reconcile", kept, now(), of_all=True)
    observed.note_told()
    return findings


@dataclass
class _KnownHere:
    """What the ledger sealed and the bundles tell of it. The ledger decides what is ours; a bundle that is missing or
    damaged is a finding in `damage`, and all else is compared."""

    sealed: dict[int, RootIdentity] = field(default_factory=dict)
    set_aside: set[RootIdentity] = field(default_factory=set)
    bundles: dict[int, Bundle] = field(default_factory=dict)
    damage: list[Finding] = field(default_factory=list)

    @classmethod
    def read(cls, workspace: Workspace) -> "_KnownHere":
        known = cls()
        for epoch in workspace.ledger.sealed():
            known._read_sealed(workspace, epoch)
        for folder in workspace.set_aside_folders():
            try:
                known.set_aside.add(identify(open_bundle(folder).manifest))
            except RewardsError as error:
                known._note_damage(f"the withdrawn bundle {folder.name} is damaged", "a whole bundle", str(error))
        return known

    def _read_sealed(self, workspace: Workspace, epoch: SealedEpoch) -> None:
        number, store = epoch.number, workspace.store
        self.sealed[number] = (bytes.fromhex(epoch.root.removeprefix("0x")), bytes.fromhex(epoch.manifest), None, None)
        if not store.has(number):
            self._note_damage(f"the bundle of epoch {number} is missing", epoch.manifest, "no folder")
            return
        try:
            bundle = store.read(number)
        except RewardsError as error:
            self._note_damage(f"the bundle of epoch {number} is damaged", epoch.manifest, str(error))
            return
        if bundle.manifest.digest != epoch.manifest:
            message = f"the bundle of epoch {number} is another than was sealed"
            self._note_damage(message, epoch.manifest, bundle.manifest.digest)
            return
        self.sealed[number], self.bundles[number] = identify(bundle.manifest), bundle

    def leaves_of(self, epoch: int) -> pl.DataFrame | None:
        """The claimables of an epoch, none where it was not sealed here; null where what was sealed does not tell."""
        bundle = self.bundles.get(epoch)
        if bundle is None:
            is_foreign = epoch not in self.sealed and epoch >= min(self.sealed, default=0)
            return CLAIMABLES.empty() if is_foreign else None
        try:
            return bundle.frame(CLAIMABLES)
        except RewardsError as error:
            self._note_damage(f"the bundle of epoch {epoch} is damaged", bundle.manifest.digest, str(error))
            return None

    def _note_damage(self, message: str, expected: str, observed: str) -> None:
        self.damage.append(Finding("reconcile", message, expected, observed))


def read_books(vault: Vault, block: int) -> VaultBooks:
    """The Vault's own word, as it stood after a block."""
    counters = read_counters(vault, block)
    newest = vault.next_epoch(block) - 1 if counters.live_roots else None
    return VaultBooks(
        counters=counters,
        pools=vault.reward_pool(block),
        balance=vault.balance_of(vault.address, block),
        newest=vault.root_at(newest, block) if newest is not None else None,
    )


def list_known_intents(
    workspace: Workspace, vault: Vault, publications: Sequence[PublishedRoot], last_block: int
) -> Sequence[KnownIntent]:
    """The transactions that were signed in this workspace for this Vault; without any, none is compared."""
    told = {event.transaction for p in publications for event in (p.event, *p.later)}

    def stands(stored: StoredIntent) -> bool:
        """An attestation is the one deed that no counter of the Vault would miss."""
        if (stored.action, stored.outcome) != ("attest", "succeeded") or bytes.fromhex(stored.hash) in told:
            return False
        return vault.has_attested(bytes.fromhex(stored.publication), Address(stored.sender), last_block)

    return [
        KnownIntent(
            stored.epoch,
            stored.action,
            bytes.fromhex(stored.hash),
            Address(stored.sender),
            stored.outcome or "open",
            stored.block,
            stands(stored),
        )
        for stored in Intents(workspace.ledger).all(vault.chain_id)
        if read_called(stored.record) == vault.address
    ]
