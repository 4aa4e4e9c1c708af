"""Compare the Vault with the ledger and the bundles, at the last final block, and report every disagreement."""

from collections.abc import Sequence

import polars as pl

from rewards.chain.client import LOG_RANGE
from rewards.chain.observation import read_counters
from rewards.chain.vault import Vault
from rewards.errors import Finding, Severity
from rewards.events import find_newest, order_publications
from rewards.jobs.observe import OnRange, observe_chain
from rewards.jobs.workspace import Workspace, now
from rewards.ledger.intents import Intents
from rewards.ledger.observed import ObservedChain
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
    """Findings, worst first, most of them none; they are kept in the ledger under the newest sealed epoch.

    Sends nothing. The chain is read on from where the last call ended, at most `range_size` blocks at once, or
    `from_start`. Raises as `observe_chain` does, and Disagreement where a bundle is damaged.
    """
    observed = ObservedChain(workspace.ledger)
    if from_start:
        observed.clear()
    cursor, notes = observe_chain(observed, vault, range_size, on_range)
    seen, books = observed.read(cursor), read_books(vault, cursor.block)
    bundles = {b.manifest.epoch.number: b for b in workspace.sealed_bundles()}
    sealed = {number: bundle.manifest for number, bundle in bundles.items()}
    set_aside = [bundle.manifest for bundle in workspace.set_aside_bundles()]
    publications = order_publications(seen.root_events)

    def leaves_of(epoch: int) -> pl.DataFrame:
        return bundles[epoch].frame(CLAIMABLES) if epoch in bundles else CLAIMABLES.empty()

    findings = [
        *observed.breaks(),
        *notes,
        *reconcile_roots(sealed, publications, set_aside),
        *reconcile_intents(
            list_known_intents(workspace, vault),
            publications,
            {identify(manifest) for manifest in (*sealed.values(), *set_aside)},
            cursor.block,
        ),
        *reconcile_claims(leaves_of, seen.claims, min(sealed, default=0)),
        *reconcile_pools(find_newest(publications), seen.counters, books),
    ]
    findings.sort(key=lambda f: _WORST_FIRST.index(f.severity))
    if sealed:
        workspace.ledger.record_findings(max(sealed), "reconcile", findings, now())
    return findings


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


def list_known_intents(workspace: Workspace, vault: Vault) -> Sequence[KnownIntent]:
    """The transactions that were signed in this workspace for this chain; without any, none is compared."""
    return [
        KnownIntent(
            stored.epoch,
            stored.action,
            bytes.fromhex(stored.hash),
            Address(stored.sender),
            stored.outcome or "open",
            stored.block,
        )
        for stored in Intents(workspace.ledger).all(vault.chain_id)
    ]
