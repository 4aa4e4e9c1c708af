"""Publish a sealed epoch, and plan it first: what would be sent, and whether it may."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from rewards.bundles.store import Bundle
from rewards.chain.fees import Fees
from rewards.chain.intent import Intent, SignedIntent
from rewards.chain.vault import Vault
from rewards.errors import ChainError, ChainUnavailable, Disagreement, Finding, refuse
from rewards.jobs.before_sending import find_objections, find_publication_hash
from rewards.jobs.history import extend_history
from rewards.jobs.intents import LedgerIntents
from rewards.jobs.proposal import Author, bring_about
from rewards.jobs.workspace import Workspace, find_live, is_of, now
from rewards.manifest import Manifest
from rewards.ports import Receipt, RootRecord
from rewards.schemas import CLAIMABLES, MONEY
from rewards.units import POOLS, PROVIDER, USER, Address

MOVERS = 10
"""How many of the largest changes a plan names."""


@dataclass(frozen=True)
class ChainOutcome:
    """What a step on the chain came to: the root's record, the receipt, or null when it had been done before, and what an
    attester's gates noted."""

    record: RootRecord
    receipt: Receipt | None
    findings: Sequence[Finding] = ()


def publish_epoch(workspace: Workspace, number: int, vault: Vault, author: Author, again: bool = False) -> ChainOutcome:
    """Post the root of a sealed epoch, and wait until that is final. Asks the chain first, so that a second call, or one
    after a crash, sends nothing twice. A publication that was revoked is refused, unless it is to be sent `again`.

    Raises GateRefused, ChainError, Disagreement (another root stands on chain) or InputError (no such bundle).
    """
    with workspace.locked():
        bundle = workspace.store.read(number)
        manifest = bundle.manifest

        intent, publication = intend_publication(vault, manifest), find_publication_hash(vault, manifest)
        store = LedgerIntents(workspace, number, "publish", manifest.digest, publication)

        def is_done(block: int | None) -> bool:
            return find_published(vault, manifest, block) is not None

        def check() -> None:
            # What was signed for this very call passed the question whether it may be sent again.
            begun = any(v.serves(intent) for v in store.open(vault.chain_id, author.address))
            findings = find_objections(workspace, bundle, vault, author.address, again or begun)
            workspace.ledger.record_findings(number, "publish", findings, now())
            refuse(f"publishing epoch {number}", findings)

        receipt = bring_about(workspace, vault, author, intent, store, is_done, check)
        record = find_published(vault, manifest)
        if record is None:
            raise ChainError(f"epoch {number} was sent, yet the Vault has no root of it; run the command again")
        extend_history(workspace, vault)
        workspace.refresh_catalogue(workspace.find_published(vault))
        return ChainOutcome(record, receipt)


def intend_publication(vault: Vault, manifest: Manifest) -> Intent:
    """The call that publishes an epoch as the Vault stands now: it dies with the next revocation."""
    totals = manifest.total(PROVIDER), manifest.total(USER)
    return vault.intend_publication(
        manifest.epoch.number, manifest.root, *totals, manifest.hash, vault.revocations()
    )  # fmt: skip


def find_published(vault: Vault, manifest: Manifest, block: int | None = None) -> RootRecord | None:
    """The chain's record of this very publication, now or after a block; null when nothing live is published for the
    epoch. Raises Disagreement when something else is."""
    record = find_live(vault, manifest.epoch.number, block)
    if record is None:
        return None
    if not is_of(record, manifest):
        raise Disagreement(
            f"epoch {manifest.epoch.number} on chain has root 0x{record.root.hex()} and manifest {record.manifest_hash.hex()}; "
            f"sealed here are 0x{manifest.root.hex()} and {manifest.digest}: have the guardian revoke it while it is pending, "
            "or, where it is the right one, work on from its folder (docs/runbook.md#chain-state)"
        )
    return record


@dataclass(frozen=True)
class Mover:
    """One claimable that changed: its cumulative amounts before and with this root, in base units."""

    pool: int
    account: Address
    before: int
    after: int

    @property
    def change(self) -> int:
        return self.after - self.before


@dataclass(frozen=True)
class PublicationPlan:
    """What `publish` would do: nothing where `record` is the publication that stands already. `increase` in base units by
    pool; `obstacle` is what the chain or the cap on fees has against it, and then `gas` or `fees` is null."""

    manifest: Manifest
    record: RootRecord | None
    findings: tuple[Finding, ...]
    increase: Mapping[int, int]
    movers: tuple[Mover, ...]
    intent: Intent
    revocations: int
    sender: Address
    gas: int | None
    fees: Fees | None
    obstacle: ChainError | None
    unsettled: int

    @property
    def may_be_sent(self) -> bool:
        """Whether `publish` would send it now."""
        refused = any(finding.refuses for finding in self.findings)
        return self.record is None and not refused and self.obstacle is None


def plan_publication(
    workspace: Workspace, number: int, vault: Vault, sender: Address, again: bool = False
) -> PublicationPlan:
    """What `publish_epoch` by `sender` would do now; sends, signs and writes nothing. Raises as that does, but for the
    gates and what the chain has against the call, which are part of the plan."""
    bundle = workspace.store.read(number)
    manifest = bundle.manifest
    record = find_published(vault, manifest)
    intent, publication = intend_publication(vault, manifest), find_publication_hash(vault, manifest)
    begun = LedgerIntents(workspace, number, "publish", manifest.digest, publication).open(vault.chain_id, sender)
    findings: list[Finding] = []
    if record is None:
        served = any(version.serves(intent) for version in begun)
        findings = find_objections(workspace, bundle, vault, sender, again or served)
    movers, note = _find_movers(workspace, bundle, is_whole=not any(f.gate == "bundle" for f in findings))
    gas, fees, obstacle = (None, None, None) if record else _ask_chain(vault, intent, sender, begun)
    return PublicationPlan(
        manifest=manifest,
        record=record,
        findings=(*findings, *note),
        increase={pool: 0 if record else manifest.total(pool) - vault.promised(pool) for pool in POOLS},
        movers=movers,
        intent=intent,
        revocations=vault.revocations(),
        sender=sender,
        gas=gas,
        fees=fees,
        obstacle=obstacle,
        unsettled=len(begun),
    )


def _ask_chain(
    vault: Vault, intent: Intent, sender: Address, begun: Sequence[SignedIntent]
) -> tuple[int | None, Fees | None, ChainError | None]:
    """Gas, fees, and what forbids either."""
    gas: int | None = None
    try:
        gas = vault.sender.estimate(intent, sender)
        return gas, vault.sender.choose_fees(begun[-1] if begun else None), None
    except ChainUnavailable:
        raise
    except ChainError as obstacle:
        return gas, None, obstacle


def _find_movers(workspace: Workspace, bundle: Bundle, is_whole: bool) -> tuple[tuple[Mover, ...], list[Finding]]:
    """The largest changes since the epoch before, largest first, all of it where there is none; none of a bundle that is
    not whole. A damaged epoch before is a note."""
    if not is_whole:
        return (), []
    number, after = bundle.manifest.epoch.number, bundle.frame(CLAIMABLES)
    try:
        before = (
            workspace.store.read(number - 1).frame(CLAIMABLES) if workspace.store.has(number - 1) else after.clear()
        )
    except Disagreement as damage:
        return (), [
            Finding("bundle", f"no changes are shown: {damage}", "a whole epoch before", "damage", refuses=False)
        ]
    was = before.select("pool", "account", before="cumulative_amount")
    both = after.join(was, on=["pool", "account"], how="full", coalesce=True).with_columns(
        pl.col("before", "cumulative_amount").fill_null(pl.lit(0, MONEY))
    )
    changed = both.with_columns(change=(pl.col("cumulative_amount") - pl.col("before")).abs())
    largest = changed.filter(pl.col("change") > 0).sort(["change", "pool", "account"], descending=[True, False, False])
    rows = largest.head(MOVERS).select("pool", "account", "before", "cumulative_amount").rows()
    return tuple(Mover(pool, Address(account), int(was), int(now)) for pool, account, was, now in rows), []
