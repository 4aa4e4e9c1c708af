"""Commands on epochs under one data folder: demo, run, status, verify, export."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from rewards.cli.answers import print_json, print_lines, print_pairs
from rewards.cli.epoch_answers import (
    describe_outcome,
    describe_status,
    describe_vault,
    describe_verdict,
    print_outcome,
    print_status,
    tell_overrides,
)
from rewards.cli.failures import Failure, Unfinished, describe_finding, finding_line, report_failure, report_note
from rewards.cli.options import (
    AsJson,
    Data,
    Deployment,
    Engine,
    Epoch,
    ExportFormat,
    Genesis,
    Inputs,
    Master,
    Overrides,
    Policies,
    Verbose,
    parse_epochs,
    parse_overrides,
)
from rewards.cli.stages import Stages
from rewards.errors import ChainError, Disagreement, RewardsError, Severity, UsageError

if TYPE_CHECKING:
    from rewards.chain.vault import Vault
    from rewards.errors import Finding
    from rewards.jobs.run import EpochOutcome
    from rewards.jobs.settings import Settings
    from rewards.jobs.status import EpochStatus

Told = TypeVar("Told")

LOOK_TIMEOUT_S = 5
"""For commands that have an answer without the chain too."""


def demo(data: Data = None, verbose: Verbose = False, as_json: AsJson = False) -> None:
    """Run one sample epoch to paid claims, on a chain inside this process."""
    with Stages(1, verbose) as stages:
        stages.report("import libraries")
        from rewards.jobs.demo import run_demo
        from rewards.jobs.settings import load_settings

        folder = load_settings(data=data).data
        report = run_demo(folder if data is not None else folder / "demo", stages.report)
    if as_json:
        print_json(report.to_json())
        return
    print_pairs(report.lines())
    opened = f"duckdb.connect({str(report.folder / 'rewards.duckdb')!r}, read_only=True)"
    print_lines(["", f"Try in .venv/bin/python, after import duckdb; db = {opened}:"])
    print_lines([f'  db.sql("""{query}""").show()' for query in report.queries])


def run(
    epochs: Annotated[str, typer.Option(metavar="A..B", help="First and last epoch, or one.", show_default=False)],
    inputs: Inputs = None,
    data: Data = None,
    genesis: Genesis = None,
    policies: Policies = None,
    deployment: Deployment = None,
    engine: Engine = None,
    master: Master = None,
    override: Overrides = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Compute, gate and seal epochs in order; sealed ones are left alone.

    With --deployment they are bound to that Vault; without, to no chain, and cannot be published.
    """
    from rewards.jobs.prepare import run_settings, share_before
    from rewards.jobs.run import run_epochs
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace

    numbers, overrides = parse_epochs(epochs), parse_overrides(override)
    settings = load_settings(
        data=data,
        inputs=inputs,
        genesis=genesis,
        policies=policies,
        deployment=deployment,
        engine=engine,
        spark_master=master,
    )
    settings.calendar.epoch(numbers[-1])  # a number beyond all dates is refused before the first epoch is touched
    vault = open_vault_lazily(settings) if settings.deployment else None
    given = run_settings(settings, vault, overrides)
    done: list[EpochOutcome] = []

    def answer() -> dict[str, Any]:
        return {"engine": settings.engine, "epochs": [describe_outcome(o) for o in done]}

    with Stages(len(numbers), verbose) as stages:

        def report(number: int, stage: str) -> None:
            stages.report(f"epoch {number}: {stage}", share_before(stage))

        try:
            for outcome in run_epochs(Workspace(settings.data), given, numbers, report):
                stages.finish_part()
                done.append(outcome)
                if not as_json:
                    print_outcome(outcome)
        except RewardsError as error:
            raise Unfinished(error, answer()) from error
    if as_json:
        print_json(answer())


def open_vault_lazily(settings: "Settings", timeout_s: int = 15) -> "Vault":
    """The configured Vault; web3, a second of imports, is what a command without a chain does not wait for."""
    from rewards.jobs.chain import open_vault

    return open_vault(settings, timeout_s)


def ask_chain(settings: "Settings", ask: "Callable[[Vault | None], Told]") -> tuple[Told, str | None]:
    """What a question comes to with the configured Vault, or without one where no chain is configured or it does not
    answer; in the last case also why, which is then said on stderr."""
    if settings.rpc_url is None:
        return ask(None), None
    try:
        with Stages(1, verbose=False) as stages:
            stages.report("ask the chain")
            return ask(open_vault_lazily(settings, LOOK_TIMEOUT_S)), None
    except ChainError as error:
        report_note(f"chain: not reachable: {error}")
        return ask(None), str(error)


def status(data: Data = None, deployment: Deployment = None, as_json: AsJson = False) -> None:
    """Epochs and their states, roots, totals, findings; on the chain too when one is configured."""
    from rewards.jobs.settings import load_settings
    from rewards.jobs.status import read_status
    from rewards.jobs.workspace import Workspace

    settings = load_settings(data=data, deployment=deployment)

    def ask(vault: "Vault | None") -> "tuple[dict[str, Any] | None, list[EpochStatus]]":
        return describe_vault(vault), read_status(Workspace(settings.data), vault)

    (known, epochs), trouble = ask_chain(settings, ask)
    if as_json:
        print_json({"vault": known, "unreachable": trouble, "epochs": [describe_status(e) for e in epochs]})
    elif epochs:
        print_status(epochs)
    else:
        print_lines([f"no epoch under {settings.data}; rewards run makes one"])
    if trouble is not None:
        raise typer.Exit(ChainError.exit_code)


def verify(
    epoch: Epoch,
    data: Data = None,
    manifest_hash: Annotated[
        str | None,
        typer.Option(metavar="H", help="SHA-256 that the manifest must have, such as the Vault's.", show_default=False),
    ] = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Recompute an epoch from its published files and the ones before it, and check every digest."""
    from rewards.jobs.settings import load_settings
    from rewards.jobs.verify import verify_epoch

    if manifest_hash is not None and not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", manifest_hash):
        raise UsageError(f"--manifest-hash {manifest_hash!r} is no SHA-256; give 64 hex digits, with or without 0x")
    folder = load_settings(data=data).data
    with Stages(1, verbose) as stages:
        verdict = verify_epoch(folder, epoch, manifest_hash, stages.report)
    if as_json:
        print_json(describe_verdict(verdict))
    else:
        print_lines(
            f"{'✗' if c.problem else '✓'} {c.name}{f': {c.problem}' if c.problem else ''}" for c in verdict.checks
        )
        print_lines(tell_overrides(verdict))
    if not verdict.agrees:
        wrong = sum(1 for check in verdict.checks if check.problem)
        _end_in_disagreement(
            f"epoch {epoch} under {folder} fails {wrong} of {len(verdict.checks)} checks; trust none of its numbers"
        )
    if not as_json:
        print_lines([f"epoch {epoch} agrees: root 0x{verdict.root.hex()}, manifest {verdict.manifest}"])


def _end_in_disagreement(message: str) -> None:
    """Leave with status 6 after an answer that already tells the disagreement: a line on stderr, no second document."""
    report_failure(Failure("Disagreement", message, Disagreement.exit_code), None, as_json=False, with_traceback=False)
    raise typer.Exit(Disagreement.exit_code)


_MARKS = {Severity.CRITICAL: "✗", Severity.WARNING: "!", Severity.NOTE: "·"}


def print_findings(findings: "Iterable[Finding]", as_json: bool, agreement: str) -> None:
    """Findings of a comparison with their severity; leaves with status 6 when any is critical."""
    found = list(findings)
    critical = [f for f in found if f.severity is Severity.CRITICAL]
    if as_json:
        print_json({"agrees": not critical, "findings": [describe_finding(f) for f in found]})
    else:
        lines = [f"{_MARKS[f.severity]} {f.severity}: {finding_line(f)}" for f in found]
        print_lines([*lines, *([] if critical else [f"✓ {agreement}"])])
    if critical:
        _end_in_disagreement(f"{len(critical)} critical finding(s); see {describe_finding(critical[0])['runbook']}")


def export(
    epoch: Epoch,
    format: Annotated[
        ExportFormat, typer.Option("--format", help="Format of the claim tree.")
    ] = ExportFormat.OPENZEPPELIN,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write; else stdout.", show_default=False)
    ] = None,
    data: Data = None,
) -> None:
    """The claim tree of an epoch as JSON that @openzeppelin/merkle-tree loads."""
    from rewards.jobs.claims import dump_tree, write_dump
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace

    dump = dump_tree(Workspace(load_settings(data=data).data), epoch)
    if out is None:
        print_json(dump)
    else:
        write_dump(dump, out)
