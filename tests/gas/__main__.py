"""The command.

    python -m tests.gas                   prints the figures
    python -m tests.gas --write           writes contracts/gas.json and the tables of contracts/GAS.md
    python -m tests.gas --check           fails on any difference from contracts/gas.json, naming both figures
    python -m tests.gas --chain embedded  the EVM inside the process instead of anvil (slower)
    python -m tests.gas --json            the figures as JSON

The slot-by-slot accounts are read from traces of a second, small run, on anvil in any case.
"""

import argparse
import sys

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.chain.conftest import find_anvil
from tests.gas.bench import Extent
from tests.gas.distributors import UNISWAP
from tests.gas.document import DOCUMENT, render, spread
from tests.gas.leaves import LEAVES
from tests.gas.record import TRACKED, Record, compare, list_goals, measure, trace
from tests.gas.station import CONTRACTS


def _print_tables(record: Record, console: Console) -> None:
    goals = Table("goal", "reached", "limit", "", title="against a distributor in Uniswap's style, same compiler")
    for goal in list_goals(record.figures):
        goals.add_row(
            goal.what, goal.show(goal.reached), goal.show(goal.limit), "met" if goal.is_met else "[red]missed"
        )
    table = Table("gas", "average", "lowest", "highest", "times", title=f"{LEAVES:,} leaves")
    for name, each in record.figures.items():
        table.add_row(name, *spread(record.figures, name), str(len(each)))
    console.print(goals)
    console.print(table)
    for name, lines in record.accounts.items():
        account = Table("where", "what", "gas", title=f"{name}: {sum(line.gas for line in lines):,}")
        for line in lines:
            account.add_row(line.part, line.what, f"{line.gas:,}")
        console.print(account)


def main() -> int:
    """Measure; print, write or check."""
    parser = argparse.ArgumentParser(prog="python -m tests.gas", description="what everything costs on chain")
    parser.add_argument("--chain", choices=("anvil", "embedded"), default="anvil")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", action="store_true", help="write contracts/gas.json and contracts/GAS.md")
    action.add_argument("--check", action="store_true", help="fail on any difference from contracts/gas.json")
    options = parser.parse_args()
    for path in (find_anvil(CONTRACTS), UNISWAP):
        if not path.is_file():
            print(f"no {path.name} in contracts/node_modules; run `npm ci` in contracts/", file=sys.stderr)
            return 2
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True) as progress:
        record = measure(options.chain, Extent(), progress)
        traced = trace(progress)
    differences = compare(record, Record(traced.figures, {}, traced.sizes, {}), whole=False)
    record.accounts.update(traced.accounts)
    if options.check:
        differences += compare(Record.from_json(TRACKED.read_text()), record, whole=True)
    elif options.write:
        TRACKED.write_text(record.to_json())
        DOCUMENT.write_text(render(DOCUMENT.read_text(), record))
    if options.json:
        print(record.to_json(), end="")
    else:
        _print_tables(record, Console(width=120))
    missed = [f"goal missed: {goal.what}" for goal in list_goals(record.figures) if not goal.is_met]
    for line in differences + missed:
        errors.print(line, style="red", highlight=False, soft_wrap=True)
    return 1 if differences or missed else 0


if __name__ == "__main__":
    sys.exit(main())
