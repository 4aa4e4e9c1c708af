"""The command.

    python -m tests.mutation                        every mutant of every file; hours
    python -m tests.mutation --groups merkle gates  of these groups
    python -m tests.mutation --sample 100           at most so many of each file, drawn by --seed; a larger sample holds it
    python -m tests.mutation --known                tries nothing: what is known of all

An interrupted run goes on where it stopped. What is known is kept in `out/mutation/`: a kill holds until its function
or the test that failed changes, a survival until its file or any of its tests does. Exits 1 where a group's score is too
low or a survivor has no answer in tests/mutation/mutants.json.
"""

import argparse
import gc
import json
import os
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.mutation.records import Trials, read_answers
from tests.mutation.report import TOO_LONG, Count, Report, describe, print_report
from tests.mutation.targets import GROUPS, KEPT, Group, Mutant, draw, list_mutants
from tests.mutation.trial import QUIET, load_libraries, try_mutant

SLACK = 5
"""How many times as long as the undisturbed tests a mutant may take."""


def _try_all(waiting: list[tuple[Group, Mutant]], trials: Trials, console: Console) -> None:
    load_libraries()
    limits = {}
    for group in dict.fromkeys(group for group, _ in waiting):
        console.print(f"{group.name}: the tests without a mutant")
        sound = try_mutant(group, None, 3600, 3600)
        if sound.killed:
            raise SystemExit(f"{group.name}: {sound.by} fails without any mutant")
        limits[group.name] = int(SLACK * sound.cpu) + 5, SLACK * sound.seconds + 30
        console.print(f"{group.name}: {sound.seconds:.1f} s, {sound.cpu:.1f} s of processor")
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    # A thread that draws the bar would be lost in every child.
    with Progress(TextColumn("{task.description}"), *columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task("", total=len(waiting))
        for group, mutant in waiting:
            trials.add(group, mutant, try_mutant(group, mutant, *limits[group.name], trials.last_killer(mutant)))
            progress.update(task, advance=1, description=mutant.file, refresh=console.is_terminal)
    gc.unfreeze()


def _count(group: Group, mutants: list[Mutant], made: int, trials: Trials) -> Count:
    count = Count(made=made)
    for mutant in mutants:
        trial = trials.find(group, mutant)
        if trial is not None and trial["killed"]:
            count.killed += 1
            count.too_long += trial["by"] == TOO_LONG
        elif trial is not None:
            count.survivors.append(mutant)
    return count


def _choose(options: argparse.Namespace) -> Iterator[tuple[Group, str, list[Mutant], list[Mutant]]]:
    """Group, file, all its mutants, those that are asked about."""
    for group in GROUPS:
        for file in group.files:
            if group.name in options.groups and (not options.files or file in options.files):
                mutants = list_mutants(file)
                yield group, file, mutants, list(draw(mutants, options.sample, options.seed))


def main() -> int:
    """Try, count, print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description="which changes of code no test notices"
    )
    names = [group.name for group in GROUPS]
    parser.add_argument("--groups", nargs="+", choices=names, default=names, metavar="GROUP", help=", ".join(names))
    parser.add_argument("--files", nargs="+", metavar="FILE", help="such as rewards/merkle.py")
    parser.add_argument("--sample", type=int, metavar="N", help="at most N mutants of each file")
    parser.add_argument("--seed", type=int, default=0, help="which sample (0)")
    parser.add_argument("--known", action="store_true", help="try nothing, show what is known")
    parser.add_argument("--json", action="store_true", help="survivors in the form of tests/mutation/mutants.json")
    options = parser.parse_args()
    console = Console(stderr=True, highlight=False, markup=False)
    answers, trials = read_answers(), Trials()
    KEPT.mkdir(parents=True, exist_ok=True)
    chosen = list(_choose(options))
    waiting = [(g, mutant) for g, _, _, drawn in chosen for mutant in drawn if trials.find(g, mutant) is None]
    if waiting and not options.known:
        _try_all(waiting, trials, console)
    report = Report({}, answers, [])
    for group, file, mutants, drawn in chosen:
        shown = mutants if options.known else drawn
        count = report.groups.setdefault(group.name, {})[file] = _count(group, shown, len(mutants), trials)
        alive = {mutant.name for mutant in count.survivors}
        tried = {mutant.name for mutant in shown if trials.find(group, mutant)}
        made = {mutant.name for mutant in mutants}
        report.stale += [n for n in answers if n[0] == file and (n not in made or n in tried - alive)]
    if options.json:
        print(json.dumps(describe(report), indent=1))
    else:
        print_report(report)
    return 1 if report.faults else 0


if __name__ == "__main__":
    if any(name not in os.environ for name in QUIET):
        os.execve(sys.executable, [sys.executable, "-m", "tests.mutation", *sys.argv[1:]], os.environ | QUIET)
    sys.exit(main())
