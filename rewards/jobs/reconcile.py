"""Compare the Vault with the bundles, at the last final block, and report every disagreement."""

from rewards.chain.vault import Vault
from rewards.errors import Finding
from rewards.jobs.workspace import Workspace, now
from rewards.reconcile import VaultBooks, reconcile_claims, reconcile_pools, reconcile_roots
from rewards.schemas import CLAIMABLES
from rewards.units import POOLS, PROVIDER, Address


def reconcile(workspace: Workspace, vault: Vault) -> list[Finding]:
    """Findings, most of them none. Reads only; what it finds is kept in the ledger under the newest sealed epoch."""
    final = vault.final_block().number
    bundles = {b.manifest.epoch.number: b for b in workspace.sealed_bundles()}
    manifests = {number: bundle.manifest for number, bundle in bundles.items()}
    roots, claims, deposits = vault.roots(final), vault.claims(final), vault.deposits(final)
    claimables = {
        epoch: {
            (pool, Address(account)): int(amount) for pool, account, amount in bundles[epoch].frame(CLAIMABLES).rows()
        }
        for epoch in sorted({c.epoch for c in claims} & set(bundles))
    }
    books = VaultBooks(
        roots=roots,
        claims=claims,
        pools=vault.reward_pool(final),
        deposited={p: sum(d.provider_amount if p == PROVIDER else d.user_amount for d in deposits) for p in POOLS},
        claimed={pool: vault.claimed_total(pool, final) for pool in POOLS},
        balance=vault.balance_of(vault.address, final),
    )
    latest = manifests.get(roots[-1].epoch) if roots else None
    findings = [
        *reconcile_roots(manifests, roots),
        *reconcile_claims(claimables, claims),
        *reconcile_pools(latest, books),
    ]
    if manifests:
        workspace.ledger.record_findings(max(manifests), "reconcile", findings, now())
    return findings
