"""Options and arguments that several commands share, and what their texts mean."""

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rewards.errors import UsageError


class EngineName(StrEnum):
    """Engines that can roll usage up."""

    DUCKDB = "duckdb"
    SPARK = "spark"


class ExportFormat(StrEnum):
    """Formats of an exported claim tree."""

    OPENZEPPELIN = "openzeppelin"


def _folder(name: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(name, metavar="DIR", help=text, show_default=False)
    return option


Data = Annotated[Path | None, _folder("--data", "Folder of epochs, provenance and ledger (REWARDS_DATA, else data).")]
Inputs = Annotated[
    Path | None, _folder("--inputs", "Folder of usage_records/, heartbeats/, accounts, … (REWARDS_INPUTS).")
]
Policies = Annotated[Path | None, _folder("--policies", "Folder of dated policies (REWARDS_POLICIES).")]
Genesis = Annotated[
    str | None,
    typer.Option(
        metavar="DATE", help="Start of epoch 0 in UTC (REWARDS_GENESIS, else 2026-01-07).", show_default=False
    ),
]
Deployment = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Record of the Vault, as deploy wrote it (REWARDS_DEPLOYMENT).", show_default=False
    ),
]
Engine = Annotated[
    EngineName | None,
    typer.Option(help="What rolls usage up (REWARDS_ENGINE, else duckdb).", show_default=False),
]
Master = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where Spark runs: local[2], local-cluster[2,1,1024], spark://… (REWARDS_SPARK_MASTER, else local[2]).",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--override",
        metavar="GATE=REASON",
        help="Pass a gate of judgement, for one epoch; the manifest records why. May be repeated.",
        show_default=False,
    ),
]
Epoch = Annotated[int, typer.Argument(metavar="EPOCH", min=0, help="Number of the epoch.", show_default=False)]
MaybeEpoch = Annotated[
    int | None, typer.Option("--epoch", min=0, metavar="N", help="Epoch to prove against.", show_default=False)
]
Account = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="Wallet that earned: 0x and 40 hex digits.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Name each stage on stderr.")]


def parse_epochs(text: str) -> range:
    """`A..B`, both included, or `A` alone; UsageError otherwise."""
    match = re.fullmatch(r"([0-9]{1,9})(?:\.\.([0-9]{1,9}))?", text)
    if match is None:
        raise UsageError(f"not a range of epochs: {text!r}; write A..B, such as 0..3, or one number")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise UsageError(f"epochs {text}: the last is before the first; write {last}..{first}")
    return range(first, last + 1)


def parse_overrides(texts: Sequence[str] | None) -> dict[str, str]:
    """Reasons by gate from GATE=REASON; UsageError for another form, a gate named twice or not to be overridden."""
    from rewards.judgement import require_overridable

    overrides: dict[str, str] = {}
    for text in texts or ():
        gate, sign, reason = text.partition("=")
        if not sign:
            raise UsageError(f"--override {text!r} gives no reason; write GATE=REASON, such as funded='why'")
        if gate in overrides:
            raise UsageError(f"--override names the gate {gate!r} twice; give one reason")
        overrides[gate] = reason
    require_overridable(overrides)
    return overrides
