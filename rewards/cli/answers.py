"""Answers on stdout: tables and lines for people through Rich, one JSON document for programs. Amounts stay exact."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rewards.chain.blot import LONG_SECRET, redact
from rewards.errors import RewardsError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPE_WIDTH = 200
"""Columns of an answer that no terminal limits."""


def single_line(text: str) -> str:
    """A text on one line, without characters that move a terminal's cursor."""
    return "".join(c if c.isprintable() else " " if c.isspace() else f"\\x{ord(c):02x}" for c in text)


def list_known_secrets() -> Sequence[str]:
    """What no output may show, longest first, where a command has read its settings."""
    # Settings that do not parse name no value, so then there is nothing to blot out.
    if "rewards.jobs.settings" not in sys.modules:
        return ()
    from rewards.jobs.settings import list_secrets

    try:
        return list_secrets()
    except RewardsError:
        return ()


def _list_shown_secrets() -> Sequence[str]:
    """What an answer must not show: a finding may quote what a node said, which was rid of short ones where it came in.
    Those and digits stand in our own amounts, dates and words too."""
    return [one for one in list_known_secrets() if len(one) >= LONG_SECRET and not one.isdecimal()]


def _blot(document: Any, secrets: Sequence[str]) -> Any:
    """A JSON document, its texts without secrets; its keys and numbers are our own."""
    if isinstance(document, str):
        return redact(document, secrets)
    if isinstance(document, Mapping):
        return {key: _blot(value, secrets) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [_blot(value, secrets) for value in document]
    return document


def _show(text: str, secrets: Sequence[str]) -> str:
    """What a line or cell shows; blotted before it is folded, for half a secret on a line is recognized by nothing."""
    return redact(single_line(text), secrets)


def print_json(document: object) -> None:
    """One JSON document, and nothing else, on stdout."""
    secrets = _list_shown_secrets()
    sys.stdout.write(json.dumps(_blot(document, secrets) if secrets else document, indent=2) + "\n")


def open_console(stderr: bool = False) -> "Console":
    """A Rich console that shows text as it is: no markup, no guessed highlights, no colour under NO_COLOR."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        markup=False,
        highlight=False,
        emoji=False,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        width=None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH,
    )


def print_lines(lines: Iterable[str]) -> None:
    """Lines for people."""
    secrets = _list_shown_secrets()
    sys.stdout.write("".join(f"{_show(line, secrets)}\n" for line in lines))


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Labels and values, aligned; long values are folded, never cut."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    secrets = _list_shown_secrets()
    for label, value in pairs:
        grid.add_row(label, _show(value, secrets))
    _print_block(grid)


def print_table(columns: Mapping[str, str], rows: Iterable[Sequence[str]]) -> None:
    """A table; `columns` maps each heading to `left` or `right`."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, side in columns.items():
        table.add_column(heading, justify="right" if side == "right" else "left", overflow="fold")
    secrets = _list_shown_secrets()
    for row in rows:
        table.add_row(*(_show(cell, secrets) for cell in row))
    _print_block(table)


def _print_block(block: "Table") -> None:
    console = open_console()
    with console.capture() as captured:
        console.print(block)
    # Rich fills every line up with spaces.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def state_amounts(**units: int) -> dict[str, str]:
    """Amounts for JSON: `name` in base units and `name_cxpt` in CXPT, both exact decimal strings."""
    from rewards.units import format_cxpt

    return {
        key: text
        for name, value in units.items()
        for key, text in ((name, str(value)), (f"{name}_cxpt", format_cxpt(value).replace(",", "")))
    }


def describe_receipt(receipt: Any) -> dict[str, Any] | None:
    """A `rewards.ports.Receipt` as JSON; null when nothing was sent."""
    if receipt is None:
        return None
    return {
        "transaction": "0x" + receipt.transaction.hex(),
        "block": receipt.block.number,
        "gas_used": receipt.gas_used,
    }
