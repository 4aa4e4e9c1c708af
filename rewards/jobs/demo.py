"""One epoch from usage to paid claims, on a chain inside the process: the main job, end to end, for a first look."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from rewards.chain.deploy import VaultSettings, deploy_token, deploy_vault
from rewards.chain.embedded import EmbeddedChain
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.signers import Signer
from rewards.chain.vault import Vault
from rewards.epoch import Calendar
from rewards.errors import ChainError, Disagreement, UsageError
from rewards.jobs.attest import attest_epoch
from rewards.jobs.claims import Claimable, Payment, claim_all
from rewards.jobs.prepare import RunSettings
from rewards.jobs.publish import publish_epoch
from rewards.jobs.reconcile import reconcile
from rewards.jobs.run import run_epochs
from rewards.jobs.settings import GENESIS, POLICIES
from rewards.jobs.verify import verify_epoch
from rewards.jobs.workspace import Workspace
from rewards.manifest import Manifest
from rewards.ports import PoolTotals
from rewards.schemas import CLAIMABLES
from rewards.sources.folder import InputFolder
from rewards.units import POOL_NAMES, POOLS, Address, checksum, format_cxpt

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
EPOCH = 0
DAY_S = 86_400
MARK = "this-is-a-demo"
"""A file in the demo's folder, so that only a folder the demo made is ever cleared."""


@dataclass(frozen=True)
class DemoReport:
    """What the demo did, for people and as JSON."""

    manifest: Manifest
    payments: tuple[Payment, ...]
    refused: str
    folder: Path
    activated_at: datetime

    @property
    def queries(self) -> list[str]:
        """SQL to try on the catalogue."""
        return [
            "SELECT class, reason, rows FROM row_counts ORDER BY rows DESC;",
            "SELECT account_id, amount FROM allocations WHERE pool = 1 ORDER BY amount DESC LIMIT 5;",
            'SELECT reason, "column", value, count(*) AS rows FROM quarantine GROUP BY ALL ORDER BY rows DESC, ALL LIMIT 10;',
        ]

    def lines(self) -> list[tuple[str, str]]:
        """The summary as (label, text)."""
        epoch, counts = self.manifest.epoch, self.manifest.counts
        return [
            ("epoch", f"{epoch.number}: {_moment(epoch.start)} to {_moment(epoch.end)} UTC"),
            ("rows read", f"{counts['rows']:,}, of which {counts['late']} late and {counts['repeated']} repeated"),
            ("quarantined", _tell_reasons(counts["quarantined"])),
            ("not earning", _tell_reasons(counts["not_earning"])),
            ("earning", f"{counts['earning']:,}"),
            *((f"{POOL_NAMES[pool]} pool", _tell_books(self.manifest.totals[pool])) for pool in POOLS),
            ("root", f"0x{self.manifest.root.hex()}, {self.manifest.leaves} leaves"),
            ("active since", f"{_moment(self.activated_at)} UTC, attested by a second key that recomputed it"),
            ("manifest", self.manifest.digest),
            *(
                (
                    f"paid to a {POOL_NAMES[p.claimable.pool]}",
                    f"{format_cxpt(p.paid)} CXPT to {checksum(p.claimable.account)}",
                )
                for p in self.payments
            ),
            ("forged claim", f"refused: {self.refused}"),
            ("reconciled", "chain and bundles agree; the bundle verifies against the digest on chain"),
            ("bundle", f"{self.folder}/epochs/{epoch.number}"),
            ("catalogue", f"{self.folder}/rewards.duckdb"),
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "epoch": self.manifest.epoch.number,
            "counts": dict(self.manifest.counts),
            "root": "0x" + self.manifest.root.hex(),
            "manifest": self.manifest.digest,
            "leaves": self.manifest.leaves,
            "payments": [p.claimable.to_json() | {"paid": str(p.paid)} for p in self.payments],
            "forged_claim_refused": self.refused,
            "folder": str(self.folder),
            "queries": self.queries,
        }


def run_demo(data: Path, on_stage: Callable[[str], None] = lambda _: None) -> DemoReport:
    """Run the demo in `data`, which must be absent, empty, or left by an earlier demo. Raises whatever a step
    refuses."""
    _clear(data)
    inputs = InputFolder(SAMPLE)
    calendar = Calendar.from_genesis(GENESIS)
    epoch = calendar.epoch(EPOCH)

    on_stage("start a chain in the process")
    embedded = EmbeddedChain(epoch.start_us // 1_000_000 - DAY_S)
    deployer, publisher, attester, guardian, treasurer, payer, stranger = embedded.signers[:7]
    sender = Sender(embedded.chain, Patience(polls=5, pause_s=0, pause=lambda _: None))

    on_stage("deploy CXPTToken and CXPTVault")
    token = deploy_token(sender, deployer)
    roles = VaultSettings(
        admin=payer.address,
        publishers=[publisher.address],
        attesters=[attester.address],
        guardians=[guardian.address],
        treasurers=[treasurer.address],
    )
    vault = Vault(embedded.chain, deploy_vault(sender, deployer, token, roles), sender)

    on_stage("deposit the fees of the day")
    for when, amount in (
        inputs.deposits().filter(pl.col("deposited_at") < epoch.end).select("deposited_at", "amount").rows()
    ):
        embedded.set_time(int(when.timestamp()))
        vault.deposit_fees(int(amount), deployer)
    embedded.set_time(epoch.end_us // 1_000_000 + 45 * 60)

    workspace, own = Workspace(data), Workspace(data / "attester")
    run = RunSettings(SAMPLE, POLICIES, calendar, vault)
    for outcome in run_epochs(workspace, run, [EPOCH], lambda _, stage: on_stage(stage)):
        manifest = outcome.bundle.manifest

    on_stage("publish the root")
    publish_epoch(workspace, EPOCH, vault, publisher)
    on_stage("recompute it with the attester's key")
    record = attest_epoch(own, run, EPOCH, vault, attester).record
    on_stage("pass the activation delay")
    embedded.set_time(record.activates_at)

    on_stage("claim")
    payments = [claim for pool in POOLS for claim in _claim_largest(workspace, vault, stranger, pool)]
    on_stage("try a forged claim")
    refused = _forge(vault, stranger, payments[0].claimable)
    on_stage("reconcile and verify")
    findings = reconcile(workspace, vault)
    verdict = verify_epoch(data, EPOCH, vault_manifest_hash(vault))
    if findings or not verdict.agrees:
        problems = [str(f) for f in findings] + [c.problem for c in verdict.checks if c.problem]
        raise Disagreement(f"the demo does not reconcile: {problems[0]}")
    activated = datetime.fromtimestamp(record.activates_at, UTC)
    return DemoReport(manifest, tuple(payments), refused, data, activated)


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M}"


def _tell_reasons(reasons: Mapping[str, int]) -> str:
    listed = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    return f"{sum(reasons.values())}: {listed}" if listed else "none"


def _tell_books(books: PoolTotals) -> str:
    return (
        f"{format_cxpt(books.pool)} CXPT split, {format_cxpt(books.allocated)} allocated, "
        f"{format_cxpt(books.held)} held, {format_cxpt(books.carry_over)} carried over"
    )


def vault_manifest_hash(vault: Vault) -> str:
    """The manifest's digest as the Vault holds it."""
    record = vault.root_at(EPOCH)
    if record is None:
        raise ChainError(f"the Vault has no root of epoch {EPOCH}; the demo's chain is broken")
    return record.manifest_hash.hex()


def _clear(data: Path) -> None:
    if data.exists() and any(data.iterdir()):
        if not (data / MARK).is_file():
            raise UsageError(f"{data} holds something that the demo did not make; give another --data folder")
        shutil.rmtree(data)
    data.mkdir(parents=True, exist_ok=True)
    (data / MARK).write_text("`rewards demo` clears this folder when it runs again.\n")


def _claim_largest(workspace: Workspace, vault: Vault, caller: Signer, pool: int) -> list[Payment]:
    """Claim for the account with the largest leaf of a pool; whoever calls, the money goes to the account."""
    leaves = workspace.store.read(EPOCH).frame(CLAIMABLES).filter(pool=pool).sort("cumulative_amount", descending=True)
    if leaves.height == 0:
        raise Disagreement(f"nobody earned from the {POOL_NAMES[pool]} pool of the sample; generate it again")
    account = Address(leaves["account"][0])
    return [p for p in claim_all(workspace, account, vault, caller, EPOCH) if p.claimable.pool == pool]


def _forge(vault: Vault, caller: Signer, claimable: Claimable) -> str:
    """Ask for one unit more than the leaf says; the Vault's refusal, in its words."""
    try:
        vault.claim(EPOCH, claimable.pool, claimable.account, claimable.cumulative_amount + 1, claimable.proof, caller)
    except ChainError as error:
        return str(error)
    raise Disagreement("the Vault paid a forged claim; do not deploy these contracts")
