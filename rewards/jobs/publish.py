"""Publish a sealed epoch, and plan it first: what would be sent, and whether it may."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from rewards.chain.fees import Fees
from rewards.chain.intent import Intent
from rewards.chain.vault import Vault
from rewards.errors import ChainError, ChainUnavailable, Disagreement, FeeAboveCap, Finding, refuse
from rewards.jobs.before_sending import find_objections, is_of
from rewards.jobs.history import extend_history
from rewards.jobs.intents import LedgerIntents
from rewards.jobs.proposal import Author, bring_about
from rewards.jobs.workspace import Workspace, now
from rewards.manifest import Manifest
from rewards.ports import Receipt, RootRecord
from rewards.schemas import CLAIMABLES, MONEY
from rewards.units import POOLS, PROVIDER, USER, Address

MOVERS = 10
"""How many of the largest changes a plan names."""


@dataclass(frozen=True)
class ChainOutcome:
    """What a step on the chain came to: the root's record, and the receipt, or null when it had been done before."""

    record: RootRecord
    receipt: Receipt | None


def publish_epoch(workspace: Workspace, number: int, vault: Vault, author: Author, again: bool = False) -> ChainOutcome:
    """Post the root of a sealed epoch, and wait until that is final. Asks the chain first, so that a second call, or one
    after a crash, sends nothing twice. A publication that was revoked is refused, unless it is to be sent `again`.

    Raises GateRefused, ChainError, Disagreement (another root stands on chain) or InputError (no such bundle).
    """
    with workspace.locked():
        bundle = workspace.store.read(number)
        manifest = bundle.manifest

        def check() -> None:
            findings = find_objections(workspace, bundle, vault, author.address, again)
            workspace.ledger.record_findings(number, "publish", findings, now())
            refuse(f"publishing epoch {number}", findings)

        store = LedgerIntents(workspace, number, "publish", manifest.digest)
        for _ in range(2):  # what was begun may be final and revoked since
            receipt = bring_about(
                workspace,
                vault,
                author,
                intend_publication(vault, manifest),
                store,
                lambda block: find_published(vault, manifest, block) is not None,
                check,
            )
            record = find_published(vault, manifest)
            if record is not None:
                extend_history(workspace, vault)
                workspace.refresh_catalogue(workspace.find_published(vault))
                return ChainOutcome(record, receipt)
    raise ChainError(f"epoch {number} was sent, yet the Vault has no root of it; run the command again")


def intend_publication(vault: Vault, manifest: Manifest) -> Intent:
    """The call that publishes an epoch as the Vault stands now: it dies with the next revocation."""
    totals = manifest.total(PROVIDER), manifest.total(USER)
    return vault.intend_publication(
        manifest.epoch.number, manifest.root, *totals, manifest.hash, vault.revocations()
    )  # fmt: skip


def find_published(vault: Vault, manifest: Manifest, block: int | None = None) -> RootRecord | None:
    """The chain's record of this very publication, now or after a block; null when nothing live is published for the
    epoch. Raises Disagreement when something else is."""
    record = vault.root_at(manifest.epoch.number, block)
    if record is None or record.status == "revoked":
        return None
    if not is_of(record, manifest):
        raise Disagreement(
            f"epoch {manifest.epoch.number} on chain has root 0x{record.root.hex()} and manifest {record.manifest_hash.hex()}; "
            f"sealed here are 0x{manifest.root.hex()} and {manifest.digest}: if it is pending, have the guardian revoke it"
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
    pool; `gas` is null where the call would revert, `fees` where the chain asks for more than the cap."""

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
    unsettled: int

    @property
    def refused(self) -> bool:
        return any(finding.refuses for finding in self.findings)


def plan_publication(
    workspace: Workspace, number: int, vault: Vault, sender: Address, again: bool = False
) -> PublicationPlan:
    """What `publish_epoch` by `sender` would do now; sends, signs and writes nothing. Raises as that does, but for the
    gates, whose findings are part of the plan."""
    bundle = workspace.store.read(number)
    manifest = bundle.manifest
    record = find_published(vault, manifest)
    intent = intend_publication(vault, manifest)
    findings = [] if record else find_objections(workspace, bundle, vault, sender, again)
    return PublicationPlan(
        manifest=manifest,
        record=record,
        findings=tuple(findings),
        increase={pool: 0 if record else manifest.total(pool) - vault.promised(pool) for pool in POOLS},
        movers=_find_movers(workspace, number),
        intent=intent,
        revocations=vault.revocations(),
        sender=sender,
        gas=None if record else _estimate(vault, intent, sender),
        fees=_choose_fees(vault),
        unsettled=len(LedgerIntents(workspace, number, "publish", manifest.digest).open(vault.chain_id, sender)),
    )


def _find_movers(workspace: Workspace, number: int) -> tuple[Mover, ...]:
    """The largest changes since the epoch before, largest first; all of it where there is none."""
    after = workspace.store.read(number).frame(CLAIMABLES)
    before = workspace.store.read(number - 1).frame(CLAIMABLES) if workspace.store.has(number - 1) else after.clear()
    was = before.select("pool", "account", before="cumulative_amount")
    both = after.join(was, on=["pool", "account"], how="full", coalesce=True).with_columns(
        pl.col("before", "cumulative_amount").fill_null(pl.lit(0, MONEY))
    )
    changed = both.with_columns(change=(pl.col("cumulative_amount") - pl.col("before")).abs())
    largest = changed.filter(pl.col("change") > 0).sort(["change", "pool", "account"], descending=[True, False, False])
    return tuple(
        Mover(pool, Address(account), int(before), int(now))
        for pool, account, before, now in largest.head(MOVERS)
        .select("pool", "account", "before", "cumulative_amount")
        .rows()
    )


def _estimate(vault: Vault, intent: Intent, sender: Address) -> int | None:
    try:
        return vault.sender.estimate(intent, sender)
    except ChainUnavailable:
        raise
    except ChainError:
        return None  # the gates say why


def _choose_fees(vault: Vault) -> Fees | None:
    try:
        return vault.sender.choose_fees()
    except FeeAboveCap:
        return None
