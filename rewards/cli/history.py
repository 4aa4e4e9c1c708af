"""The command on the history: its entries, a proof of one, and whether its files agree; all of it offline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewards.cli.answers import print_json, print_lines, print_table
from rewards.cli.epochs import print_findings
from rewards.cli.options import AsJson, Data
from rewards.errors import UsageError

if TYPE_CHECKING:
    from rewards.history import History


def history(
    data: Data = None,
    proof: Annotated[
        int | None,
        typer.Option(min=0, metavar="EPOCH", help="Prove an epoch's newest publication, as JSON.", show_default=False),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --proof: also that this checkpoint, which you kept, is continued.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Whether log, checkpoints and proofs agree.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publications in the order of the chain, revoked ones too, and the newest checkpoint; needs no chain."""
    from rewards.jobs.history import check_folder, prove_publication, read_history
    from rewards.jobs.settings import load_settings

    if since is not None and proof is None:
        raise UsageError("--since goes with --proof; give the epoch to prove too, such as --proof 3 --since FILE")
    if check and proof is not None:
        raise UsageError("--check and --proof are two questions; ask one after the other")
    folder = load_settings(data=data).data
    if check:
        print_findings(check_folder(folder), as_json, "log, checkpoints and proofs of the history agree")
    elif proof is not None:
        print_json(prove_publication(folder, proof, since))
    else:
        _print_history(read_history(folder), as_json)


def _print_history(log: "History", as_json: bool) -> None:
    from rewards.history import publication_to_json
    from rewards.units import format_cxpt

    checkpoint = log.checkpoint()
    if as_json:
        entries = [{"index": i, **publication_to_json(one)} for i, one in enumerate(log.publications)]
        newest = {"size": checkpoint.size, "root": "0x" + checkpoint.root.hex(), "text": checkpoint.to_text()}
        print_json({"origin": log.origin, "entries": entries, "checkpoint": newest})
        return
    sides = {"entry": "right", "epoch": "right", "root": "left", "manifest": "left"}
    sides |= {"providers (CXPT)": "right", "users (CXPT)": "right", "revocations before": "right"}
    rows = [
        (
            *(str(index), str(one.epoch)),
            *(f"{digest[:8]}…{digest[-8:]}" for digest in (one.root.hex(), one.manifest_hash.hex())),
            *map(format_cxpt, (one.provider_total, one.user_total)),
            str(one.revocations),
        )
        for index, one in enumerate(log.publications)
    ]
    print_table(sides, rows)
    print_lines(["checkpoint:", *(f"  {line}" for line in checkpoint.to_text().splitlines())])
