"""Expected and observed to findings: what the bundles promise against what the Vault holds, says and paid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rewards.errors import Finding
from rewards.manifest import Manifest
from rewards.ports import Claim, RewardPool, RootRecord
from rewards.units import POOL_NAMES, POOLS, PROVIDER, USER, Address


@dataclass(frozen=True)
class VaultBooks:
    """The Vault as observed at one block: live roots, claims so far, pools, deposits per pool, claimed totals, CXPT
    balance."""

    roots: Sequence[RootRecord]
    claims: Sequence[Claim]
    pools: RewardPool
    deposited: Mapping[int, int]
    claimed: Mapping[int, int]
    balance: int


def _finding(message: str, expected: object, observed: object) -> Finding:
    return Finding("reconcile", message, str(expected), str(observed))


def reconcile_roots(manifests: Mapping[int, Manifest], roots: Sequence[RootRecord]) -> list[Finding]:
    """Every live root on chain is one that was sealed here, and no epoch before the newest of them is missing there."""
    findings = []
    live = {record.epoch for record in roots}
    for epoch in sorted(set(manifests) - live):
        if live and epoch < max(live):
            ours = "0x" + manifests[epoch].root.hex()
            findings.append(_finding(f"epoch {epoch} has no root on chain, though a later one has", ours, "none"))
    for record in roots:
        manifest = manifests.get(record.epoch)
        if manifest is None:
            findings.append(
                _finding(
                    f"epoch {record.epoch} has a root that nobody here published", "none", "0x" + record.root.hex()
                )
            )
            continue
        compared = (
            ("root", "0x" + manifest.root.hex(), "0x" + record.root.hex()),
            ("manifest hash", manifest.digest, record.manifest_hash.hex()),
            ("provider total", manifest.total(PROVIDER), record.provider_total),
            ("user total", manifest.total(USER), record.user_total),
        )
        findings += [
            _finding(f"epoch {record.epoch}: {what} differs", ours, theirs)
            for what, ours, theirs in compared
            if ours != theirs
        ]
    return findings


def reconcile_claims(
    claimables: Mapping[int, Mapping[tuple[int, Address], int]], claims: Sequence[Claim]
) -> list[Finding]:
    """Every claim is of a leaf that its epoch's bundle holds, for its amount, and an account's claims add up to the
    largest."""
    findings = []
    paid: dict[tuple[int, Address], int] = {}
    for claim in claims:
        key = (claim.pool, claim.account)
        name = f"claim of {claim.account} from the {POOL_NAMES.get(claim.pool, claim.pool)} pool in epoch {claim.epoch}"
        leaf = claimables.get(claim.epoch, {}).get(key)
        if leaf != claim.cumulative:
            findings.append(_finding(f"{name} is not of a leaf of that epoch", leaf, claim.cumulative))
        paid[key] = paid.get(key, 0) + claim.amount
        if paid[key] != claim.cumulative:
            findings.append(_finding(f"{name}: what was paid does not add up to the leaf", claim.cumulative, paid[key]))
    return findings


def reconcile_pools(latest: Manifest | None, books: VaultBooks) -> list[Finding]:
    """Pools, claimed totals and the CXPT balance are what deposits, the latest live root and the claims make them."""
    findings = []
    free = {PROVIDER: books.pools.provider, USER: books.pools.user}
    outstanding = 0
    for pool in POOLS:
        name = POOL_NAMES[pool]
        promised = latest.total(pool) if latest else 0
        claimed = sum(c.amount for c in books.claims if c.pool == pool)
        if books.deposited[pool] - promised != free[pool]:
            findings.append(
                _finding(f"{name} pool is not deposits less promises", books.deposited[pool] - promised, free[pool])
            )
        if claimed != books.claimed[pool]:
            findings.append(
                _finding(f"{name} pool: claim events do not add up to its claimed total", claimed, books.claimed[pool])
            )
        if claimed > promised:
            findings.append(_finding(f"{name} pool: more was claimed than promised", promised, claimed))
        outstanding += promised - claimed
    owed = books.pools.protocol + sum(free.values()) + outstanding
    if books.balance < owed:
        findings.append(_finding("the Vault holds less CXPT than it owes", owed, books.balance))
    return findings
