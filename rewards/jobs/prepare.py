"""Everything of an epoch up to its sealing, in memory: read, roll up, compute, encode, ask the gates. Writes
nothing."""

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from rewards import gates
from rewards.agreement import check_reference
from rewards.bundles.store import encode_corrections, encode_frame, encode_parquet
from rewards.compute import compute_epoch
from rewards.corrections import SHOWN, Records, check_corrections, list_records, tabulate_records
from rewards.distribution import add_wallets
from rewards.epoch import Calendar, Epoch
from rewards.errors import Disagreement, Finding, InputError, UsageError
from rewards.jobs.deposits import choose_since, read_chain, read_table
from rewards.jobs.engines import check_engine, engine_versions, open_engine
from rewards.jobs.judgement import ask_judgement
from rewards.jobs.settings import EngineName, Settings
from rewards.jobs.workspace import Workspace, find_live, is_of, now
from rewards.judgement import override_findings, require_overridable
from rewards.manifest import ChainFacts, Manifest, build_manifest
from rewards.policy import DatedPolicy, Policy, policy_for
from rewards.ports import Engine, EpochInputs, EpochResult, PoolTotals, Previous, RollUp, VaultReader
from rewards.rulesets import ruleset_for
from rewards.schemas import (
    ACCOUNTS,
    ALLOCATIONS,
    CLAIMABLES,
    DEPOSITS,
    HEARTBEATS_ROLLUP,
    PROVISION_SCORES,
    PROVISIONS,
    QUARANTINE,
    ROLLUP,
    SCORES,
    STATE,
    add_up,
)
from rewards.sources.folder import InputFolder, read_policies
from rewards.units import POOLS, PROVIDER

if TYPE_CHECKING:
    from rewards.chain.vault import Vault

REPEAT_EPOCHS = 3
"""Rows repeat within 48 h and the grace: ids of so many epochs before are compared."""

OnStage = Callable[[str], None]


@dataclass(frozen=True)
class RunSettings:
    """What a run is given: input folder, policies, calendar, first epoch, and the Vault it is bound to, if any.
    `overrides` are gates of judgement to pass, each with its reason; UsageError for any other."""

    inputs: Path
    policies: Path
    calendar: Calendar
    vault: VaultReader | None = None
    first_epoch: int = 0
    memory: str = "4GB"
    spill: str | None = None
    threads: int | None = None
    finality_s: float = 0.0
    engine: EngineName = "duckdb"
    spark_master: str = "local[2]"
    overrides: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_overridable(self.overrides)


def run_settings(
    settings: Settings, vault: "Vault | None" = None, overrides: Mapping[str, str] | None = None
) -> RunSettings:
    """What the configuration says of a run that is bound to `vault`; raises UsageError when no inputs are named,
    its engine is not here, or a gate may not be overridden."""
    if settings.inputs is None:
        raise UsageError("no folder of inputs is named; give --inputs or set REWARDS_INPUTS")
    check_engine(settings.engine)
    return RunSettings(
        inputs=settings.inputs,
        policies=settings.policies,
        calendar=settings.calendar,
        vault=vault,
        first_epoch=vault.deployment.first_epoch if vault else 0,
        memory=settings.memory,
        spill=settings.spill,
        threads=settings.threads,
        finality_s=settings.finality_seconds,
        engine=settings.engine,
        spark_master=settings.spark_master,
        overrides=overrides or {},
    )


@dataclass(frozen=True)
class Prepared:
    """A computed epoch and what its gates found: inputs, result, the manifest with the overrides that passed a
    finding, every file's bytes, and the provenance."""

    inputs: EpochInputs
    result: EpochResult
    roll_up: RollUp
    policy: DatedPolicy
    manifest: Manifest
    files: Mapping[str, bytes]
    findings: Sequence[Finding]
    provenance: Mapping[str, bytes | Path]


@dataclass
class StageClock:
    """Passes stages on and keeps how long each took."""

    report: OnStage
    seconds: dict[str, float] = field(default_factory=dict)
    _stage: str = ""
    _since: float = field(default_factory=time.perf_counter)

    def __call__(self, stage: str) -> None:
        self.stop()
        self._stage = stage
        self.report(stage)

    def stop(self) -> None:
        at = time.perf_counter()
        if self._stage:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + at - self._since
        self._stage, self._since = "", at


SHARES: Mapping[str, int] = {
    "read tables": 7,
    "read usage": 23,
    "find repeats": 9,
    "read heartbeats": 2,
    "roll up": 18,
    "score and allocate": 18,
    "encode": 11,
    "gates": 9,
    "seal": 3,
}
"""The stages of an epoch in their order, and what each takes of its time in a hundred, as measured on 20 million rows and
a million accounts: where a bar stands."""


def share_before(stage: str) -> float | None:
    """What share of an epoch's work is done when a stage begins; None for a stage that only some runs have."""
    stages = list(SHARES)
    return sum(list(SHARES.values())[: stages.index(stage)]) / 100 if stage in SHARES else None


def read_previous(workspace: Workspace, number: int, first_epoch: int) -> tuple[Previous, Manifest | None]:
    """What the epoch before left; empty books before the first. Raises InputError when its bundle is missing."""
    if number == first_epoch:
        books = {pool: PoolTotals.zero() for pool in POOLS}
        return Previous(None, CLAIMABLES.empty(), STATE.empty(), books), None
    if not workspace.store.has(number - 1):
        raise InputError(
            f"epoch {number} needs the bundle of epoch {number - 1}, which is not under {workspace.data}; run it first"
        )
    bundle = workspace.store.read(number - 1)
    manifest = bundle.manifest
    previous = Previous(manifest.digest, bundle.frame(CLAIMABLES), bundle.frame(STATE), manifest.totals)
    return previous, manifest


def prepare_epoch(workspace: Workspace, settings: RunSettings, number: int, clock: StageClock) -> Prepared:
    """Everything of an epoch up to its gates, without writing: read, roll up, compute, encode, and ask every gate."""
    clock("read tables")
    folder = InputFolder(settings.inputs)
    epoch = settings.calendar.epoch(number)
    policy = policy_for(read_policies(settings.policies), epoch.start.date())
    if number < settings.first_epoch:
        raise InputError(f"epoch {number} is before the first epoch of this Vault, {settings.first_epoch}; start there")
    previous, before = read_previous(workspace, number, settings.first_epoch)
    if before is not None:
        _check_continues(before, epoch, settings.vault)
    accounts, provisions = ACCOUNTS.arrange(folder.accounts()), PROVISIONS.arrange(folder.provisions())
    facts, deposits = _read_deposits(settings, folder, epoch)
    forbidden = frozenset({facts.token, facts.vault}) if facts else frozenset()

    usage, heartbeats = folder.usage(), folder.heartbeats()
    scratch = workspace.data / "scratch"
    reading = epoch

    def report(stage: str) -> None:
        clock(stage if reading == epoch else f"read epoch {reading.number} again")

    engine = open_engine(
        settings.engine, settings.spark_master, settings.memory, settings.spill, settings.threads, scratch, report
    )
    payable = add_wallets(accounts, forbidden)
    corrections, corrected = _take_corrections(workspace, folder, number, accounts, facts, policy.policy)

    def read(e: Epoch, counted_before: Sequence[Path]) -> RollUp:
        nonlocal reading
        reading = e
        return engine.roll_up(usage, heartbeats, payable, provisions, counted_before, e, policy.policy)

    roll_up = read(epoch, _counted_before(workspace, settings, number, engine, read))

    clock("score and allocate")
    inputs = EpochInputs(
        epoch=epoch,
        rollup=roll_up.rollup,
        heartbeats=roll_up.heartbeats,
        accounts=accounts,
        provisions=provisions,
        deposits=choose_since(deposits, before),
        corrections=corrections,
        forbidden=forbidden,
        limits=facts.limits if facts else None,
    )
    result = compute_epoch(inputs, previous, policy.policy)

    clock("encode")
    files = encode_files(inputs, roll_up.quarantine, result, policy.source)
    rules = ruleset_for(number, policy.policy)
    manifest = build_manifest(
        epoch,
        result,
        roll_up.counts,
        files,
        (rules.NAME, rules.VERSION),
        policy.since.isoformat(),
        previous.digest,
        facts,
    )

    clock("gates")
    judged = ask_judgement(
        workspace.store, inputs, result, previous, roll_up.counts, settings.first_epoch, policy.policy
    )
    found = _ask_gates(inputs, result, previous, roll_up, deposits, settings.calendar, policy.policy)
    stored = workspace.ledger.overrides(number)
    findings, overrides = override_findings([*corrected, *judged.findings, *found], settings.overrides, stored)
    manifest = replace(manifest, overrides=overrides)
    digests = {str(f.path.relative_to(settings.inputs)): f.digest for f in (*usage, *heartbeats)}
    provenance = _provenance(roll_up, digests | folder.digests, clock.seconds, settings.engine)
    return Prepared(inputs, result, roll_up, policy, manifest, files, findings, provenance)


def _take_corrections(
    workspace: Workspace,
    folder: InputFolder,
    number: int,
    accounts: pl.DataFrame,
    facts: ChainFacts | None,
    policy: Policy,
) -> tuple[pl.DataFrame, list[Finding]]:
    """The epoch's corrections and what the gate says of them. Where one is refused, none is computed with."""
    records = folder.corrections()
    ours = [record for record in records if record.epoch == number]
    kinds = dict(accounts.select("account_id", "kind").rows()) if ours else {}
    domain, limits = (facts.domain, facts.limits) if facts else (None, None)
    findings = check_corrections(ours, number, kinds, domain, policy.corrections, limits)
    taken = () if findings else ours
    return tabulate_records(taken), [*findings, *_note_missed(workspace, records, number)]


def _note_missed(workspace: Workspace, records: Records, number: int) -> list[Finding]:
    """Notes on corrections that name an epoch which was sealed without them: they never enter."""
    late: list[tuple[int, str, str]] = []
    for epoch in sorted({record.epoch for record in records if record.epoch < number}):
        if not workspace.store.has(epoch):  # of an earlier Vault, or archived
            continue
        entered = {record.content for record in list_records(workspace.store.read(epoch).corrections())}
        missed = sorted({r.content for r in records if r.epoch == epoch} - entered)
        late += [(epoch, account, reason) for _, _, account, reason, _ in missed]
    notes = [
        Finding("correction", f"a correction of {account!r} came after its epoch was sealed; sign it for a later one",
                f"an epoch from {number} on", f"{epoch}: {reason}", refuses=False)
        for epoch, account, reason in late[:SHOWN]
    ]  # fmt: skip
    if len(late) > SHOWN:
        message = f"{len(late) - SHOWN} more corrections came after their epochs were sealed"
        notes.append(Finding("correction", message, "none", str(len(late)), refuses=False))
    return notes


def _ask_gates(
    inputs: EpochInputs,
    result: EpochResult,
    previous: Previous,
    roll_up: RollUp,
    deposits: pl.DataFrame,
    calendar: Calendar,
    policy: Policy,
) -> list[Finding]:
    """Every gate before sealing that judges nothing; `deposits` are all that is known up to the epoch's end or
    reference block."""
    known = {pool: add_up(deposits["provider_amount" if pool == PROVIDER else "user_amount"]) for pool in POOLS}
    return [
        *gates.check_complete(roll_up.usage_coverage, roll_up.heartbeat_coverage, inputs, calendar, policy),
        *gates.check_rows(roll_up.counts, roll_up.rollup, roll_up.usage_coverage.rows),
        *gates.check_rollup(roll_up.counts, roll_up.rollup, roll_up.heartbeats),
        *gates.check_conserved(inputs, result, previous, known),
        *gates.check_successor(previous.claimables, result.claimables),
        *check_reference(inputs, result, previous, policy),
        *gates.note_oddities(inputs, roll_up.counts, roll_up.odd_heartbeats),
    ]


def _check_continues(before: Manifest, epoch: Epoch, vault: VaultReader | None) -> None:
    """The epoch before ends where this one starts, is bound to the same Vault and is the one that the Vault holds, if it
    holds any; else Disagreement."""
    if before.epoch.end_us != epoch.start_us:
        raise Disagreement(
            f"epoch {before.epoch.number} here ends {before.epoch.end.isoformat()}, epoch {epoch.number} would start "
            f"{epoch.start.isoformat()}; give the --genesis that the folder was begun with"
        )
    check_binding(before, vault)
    number = before.epoch.number
    require_held(
        before,
        vault,
        f"`rewards run --epochs {number}..{number}` computes it again from mended inputs, once the revocation of the one here "
        "is final; was it never revoked, see docs/runbook.md#chain-state",
    )


def require_held(manifest: Manifest, vault: VaultReader | None, way_out: str) -> None:
    """Raises Disagreement, with the way out, where the Vault holds another publication of an epoch than the one here:
    whatever is computed from it differs."""
    live = None if vault is None else find_live(vault, manifest.epoch.number)
    if live is not None and not is_of(live, manifest):
        raise Disagreement(
            f"epoch {manifest.epoch.number} here is {manifest.digest} (root 0x{manifest.root.hex()}), the Vault holds "
            f"{live.manifest_hash.hex()} (root 0x{live.root.hex()}): {way_out}"
        )


def check_binding(manifest: Manifest, vault: VaultReader | None) -> None:
    """Raise Disagreement unless an epoch is bound to this very Vault, or to no chain where none is given."""
    bound = None if manifest.chain is None else (manifest.chain.chain_id, manifest.chain.vault)
    wanted = None if vault is None else (vault.chain_id, vault.address)
    if bound != wanted:
        raise Disagreement(
            f"epoch {manifest.epoch.number} here is bound to {_name(bound)}, this run to {_name(wanted)}; "
            "use another --data folder for each"
        )


def _name(binding: tuple[int, str] | None) -> str:
    return "no chain" if binding is None else f"Vault {binding[1]} on chain {binding[0]}"


def _counted_before(
    workspace: Workspace,
    settings: RunSettings,
    number: int,
    engine: Engine,
    read: Callable[[Epoch, Sequence[Path]], RollUp],
) -> list[Path]:
    """The ids counted in the epochs before: from their provenance, or read again for epochs of an earlier Vault and for
    those that another engine has digested."""
    paths: list[Path] = []
    for earlier in range(max(0, number - REPEAT_EPOCHS), number):
        path = workspace.store.provenance(earlier, "counted_ids.parquet")
        if not path.is_file() and earlier >= settings.first_epoch:
            raise InputError(
                f"{path} is missing, so repeats of epoch {earlier} cannot be seen; run epoch {earlier} again here"
            )
        if not path.is_file() or not engine.reads_counted(path):
            path = workspace.data / "scratch" / f"counted-ids-{earlier}.parquet"
            read(settings.calendar.epoch(earlier), tuple(paths)).counted_ids.replace(path)
        paths.append(path)
    return paths


def _read_deposits(settings: RunSettings, folder: InputFolder, epoch: Epoch) -> tuple[ChainFacts | None, pl.DataFrame]:
    """Every deposit that is known up to the epoch's end, and the chain that it is known from, if any."""
    if settings.vault is None:
        return None, read_table(folder, epoch)
    return read_chain(settings.vault, settings.first_epoch, epoch, settings.finality_s)


def encode_files(inputs: EpochInputs, quarantine: pl.DataFrame, result: EpochResult, policy: bytes) -> dict[str, bytes]:
    """Every file of the promise, by name."""
    frames = (
        (ACCOUNTS, inputs.accounts),
        (PROVISIONS, inputs.provisions),
        (DEPOSITS, inputs.deposits),
        (HEARTBEATS_ROLLUP, inputs.heartbeats),
        (ROLLUP, inputs.rollup),
        (QUARANTINE, quarantine),
        (SCORES, result.scores),
        (PROVISION_SCORES, result.provision_scores),
        (ALLOCATIONS, result.allocations),
        (CLAIMABLES, result.claimables),
        (STATE, result.state),
    )
    return {
        **{f"{table.name}.parquet": encode_frame(table, frame) for table, frame in frames},
        "corrections.json": encode_corrections(inputs.corrections),
        "policy.toml": policy,
        "tree.bin": result.tree,
    }


def _provenance(
    roll_up: RollUp, read: Mapping[str, str], seconds: Mapping[str, float], engine: EngineName
) -> dict[str, bytes | Path]:
    python = {"python": platform.python_version(), "polars": pl.__version__}
    record = {
        "inputs": read,
        "engine": engine,
        "versions": python | engine_versions(engine),
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        "computed_at": now().isoformat(),
    }
    return {
        "record.json": (json.dumps(record, indent=2) + "\n").encode(),
        "bad_rows.parquet": encode_parquet(roll_up.bad_rows),
        "counted_ids.parquet": roll_up.counted_ids,
    }
