"""The correct commands: add, replay, list and remove signed corrections."""

import re
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewards.cli.answers import print_json, print_lines, print_table, single_line, state_amounts
from rewards.cli.epochs import open_vault_lazily
from rewards.cli.failures import Unfinished
from rewards.cli.options import (
    AsJson,
    Data,
    Deployment,
    Engine,
    Epoch,
    Genesis,
    Inputs,
    Master,
    Policies,
    Verbose,
)
from rewards.cli.replay_answers import describe_plan, find_refusal, print_plan
from rewards.cli.stages import Stages
from rewards.errors import UsageError

if TYPE_CHECKING:
    from rewards.corrections import Correction
    from rewards.jobs.correct import CorrectionQueue, ListedCorrection

app = typer.Typer(
    help="Signed corrections of what accounts have, for an epoch to come.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class PoolName(StrEnum):
    """Pools that pay accounts."""

    PROVIDER = "provider"
    USER = "user"


def _parse_change(text: str) -> int:
    """CXPT with a sign, or without, to base units."""
    from rewards.units import parse_cxpt

    units = parse_cxpt(text.removeprefix("-"))
    return -units if text.startswith("-") else units


def _parse_signature(text: str) -> bytes:
    if not re.fullmatch(r"0x[0-9a-fA-F]{130}", text):
        raise UsageError(f"--signature {text[:140]!r} is not 65 bytes; give 0x and the 130 hex digits of the wallet")
    return bytes.fromhex(text[2:])


def _open_queue(
    data: Path | None,
    inputs: Path | None,
    policies: Path | None,
    genesis: str | None,
    deployment: Path | None,
    **more: object,
) -> "CorrectionQueue":
    from rewards.jobs.correct import CorrectionQueue
    from rewards.jobs.settings import load_settings

    settings = load_settings(
        data=data, inputs=inputs, policies=policies, genesis=genesis, deployment=deployment, **more
    )
    is_connected = settings.deployment is not None and settings.rpc_url is not None
    return CorrectionQueue(settings, partial(open_vault_lazily, settings) if is_connected else None)


@app.command()
def add(
    account: Annotated[str, typer.Option(metavar="ID", help="Account as in accounts.", show_default=False)],
    amount: Annotated[
        str, typer.Option(metavar="CXPT", help="12.5 credits, -12.5 becomes a debt.", show_default=False)
    ],
    pool: Annotated[PoolName, typer.Option(help="Pool that pays, or is paid back.", show_default=False)],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is published.", show_default=False)],
    epoch: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Epoch it enters; else the next that is not sealed.", show_default=False),
    ] = None,
    typed_data: Annotated[
        bool, typer.Option("--typed-data", help="Print what a wallet signs, and add nothing.")
    ] = False,
    signature: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="Signature that a wallet made; else the corrector's key.", show_default=False),
    ] = None,
    inputs: Inputs = None,
    data: Data = None,
    genesis: Genesis = None,
    policies: Policies = None,
    deployment: Deployment = None,
    as_json: AsJson = False,
) -> None:
    """Sign a correction and keep it with the inputs; it enters its epoch when that is run."""
    from rewards.jobs.correct import read_correction
    from rewards.units import POOL_NAMES

    if typed_data and signature is not None:
        raise UsageError(
            "--typed-data and --signature are given together; print what is signed, or add what was signed"
        )
    queue = _open_queue(data, inputs, policies, genesis, deployment)
    number = queue.next_epoch() if epoch is None else epoch
    pools = {name: pool_number for pool_number, name in POOL_NAMES.items()}
    correction = read_correction(number, pools[pool.value], account, _parse_change(amount), reason)
    if typed_data:
        queue.check(correction)
        print_json(correction.to_typed_data(queue.domain))
        return
    added = _add(queue, correction, signature)
    if as_json:
        print_json(_describe(added))
    else:
        print_lines([f"correction {added.id} enters epoch {number}: {queue.path}, signed by {added.record.signer}"])


def _add(queue: "CorrectionQueue", correction: "Correction", signature: str | None) -> "ListedCorrection":
    if signature is not None:
        return queue.add(correction, _parse_signature(signature))
    from rewards.jobs.chain import open_digest_signer

    return queue.add(correction, open_digest_signer(queue.settings, "corrector"))


@app.command()
def replay(
    epoch: Epoch,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="What was mended; it is published.", show_default=False)],
    enters: Annotated[
        int | None,
        typer.Option(
            "--epoch",
            min=0,
            metavar="N",
            help="Epoch that the corrections enter; else the next that is not sealed.",
            show_default=False,
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Credit the K largest; the rest by a later replay.", show_default=False),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan/--apply", help="Show what would be credited, which is the default, or sign and keep it."),
    ] = True,
    inputs: Inputs = None,
    data: Data = None,
    genesis: Genesis = None,
    policies: Policies = None,
    deployment: Deployment = None,
    engine: Engine = None,
    master: Master = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Count what a sealed epoch quarantined again, by mended inputs; credit what it would have earned.

    Shows a plan; with --apply, one correction for each account that gains is signed and kept. Nobody loses.
    """
    from rewards.jobs.engines import check_engine
    from rewards.jobs.replay import apply_replay, plan_replay

    queue = _open_queue(data, inputs, policies, genesis, deployment, engine=engine, spark_master=master)
    check_engine(queue.settings.engine)
    signer = None
    if not plan:
        from rewards.jobs.chain import open_digest_signer

        signer = open_digest_signer(queue.settings, "corrector")  # a missing key is told before the long work
    with Stages(1, verbose) as stages:
        planned = plan_replay(queue, epoch, reason, enters, most, stages.report)
    refusal = find_refusal(planned)
    added = [] if signer is None or refusal else apply_replay(queue, planned, signer)
    answer = {**describe_plan(planned), "applied": bool(added), "corrections": [_describe(one) for one in added]}
    if not as_json:
        print_plan(planned)
    if refusal is not None:
        raise Unfinished(refusal, answer)
    if as_json:
        print_json(answer)
    elif added:
        print_lines([f"added: {queue.path} has them, signed by {added[0].record.signer}"])
    elif planned.corrections:
        print_lines(["add them: the same command with --apply"])


@app.command("list")
def list_corrections(
    inputs: Inputs = None,
    data: Data = None,
    genesis: Genesis = None,
    policies: Policies = None,
    deployment: Deployment = None,
    as_json: AsJson = False,
) -> None:
    """Every correction that waits, is refused, entered an epoch, or came too late for its own, as far as known."""
    queue = _open_queue(data, inputs, policies, genesis, deployment)
    listed = queue.list_all()
    if as_json:
        print_json({"corrections": [_describe(one) for one in listed]})
    elif listed:
        _print_table(listed)
    else:
        print_lines([f"no correction, neither in {queue.path} nor in a sealed epoch"])


SHOWN_ID = 18
"""Characters of an id in the table; `remove` takes them."""


def _print_table(listed: "list[ListedCorrection]") -> None:
    from rewards.units import POOL_NAMES, format_cxpt

    sides = {"epoch": "right", "state": "left", "pool": "left", "account": "left", "CXPT": "right", "reason": "left"}
    sides |= {"signer": "left", "id": "left"}
    rows = []
    for one in listed:
        record = one.record
        amount, pool = format_cxpt(record.units), POOL_NAMES[record.pool]
        rows.append(
            (
                str(record.epoch),
                one.state,
                pool,
                record.account_id,
                amount,
                record.reason,
                record.signer,
                one.id[:SHOWN_ID],
            )
        )
    print_table(sides, rows)
    print_lines(f"{one.id[:SHOWN_ID]}: {one.problem}" for one in listed if one.problem)


@app.command()
def remove(
    correction: Annotated[
        str, typer.Argument(metavar="ID", help="Id that list shows, or its beginning.", show_default=False)
    ],
    inputs: Inputs = None,
    data: Data = None,
    genesis: Genesis = None,
    policies: Policies = None,
    deployment: Deployment = None,
    as_json: AsJson = False,
) -> None:
    """Take a correction out of the inputs; one that entered an epoch stays in what is sealed."""
    queue = _open_queue(data, inputs, policies, genesis, deployment)
    removed = queue.remove(correction)
    if as_json:
        print_json(_describe(removed))
    else:
        epoch = removed.record.epoch
        print_lines([f"correction {removed.id} of epoch {epoch} is removed from {queue.path}", *_tell_kept(removed)])


def _tell_kept(removed: "ListedCorrection") -> list[str]:
    if removed.state != "entered":
        return []
    epoch = removed.record.epoch
    return [
        f"  epoch {epoch} stays as it is sealed; only where the chain revoked it, the next run computes it without this"
    ]


def _describe(one: "ListedCorrection") -> dict[str, Any]:
    from rewards.units import POOL_NAMES

    record = one.record
    known: dict[str, Any] = {"id": one.id, "state": one.state, "problem": one.problem and single_line(one.problem)}
    known |= {"epoch": record.epoch, "pool": POOL_NAMES[record.pool], "account_id": record.account_id}
    known |= {**state_amounts(amount=record.units), "reason": record.reason}
    return known | {"signer": record.signer, "signature": record.signature}
