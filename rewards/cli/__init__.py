"""The `rewards` command: arguments in, one job called, its answer on stdout, everything else on stderr."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from typer.exceptions import TyperException

from rewards.cli.app import app
from rewards.cli.failures import INTERRUPTED, Failure, describe_error, describe_misuse, report_failure

DUCKDB_INTERRUPT = "Query interrupted"
"""What DuckDB makes of Ctrl-C within a query: a RuntimeError with this text, without its cause."""

BROKEN_PIPE = 141
"""128 + SIGPIPE: whoever read the answer went away."""


def main() -> None:
    """Entry point of the installed command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that knows no ✓ gets its number, not an error
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; a failure is one line on stderr, never a traceback unasked."""
    with_traceback = "--traceback" in arguments or os.environ.get("REWARDS_TRACEBACK", "") not in ("", "0")
    given = [a for a in arguments if a != "--traceback"] or ["--help"]
    try:
        status, failure, error = _call(given)
        if failure is not None:
            report_failure(failure, error, "--json" in given, with_traceback)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # Typer turns a broken pipe within a command into a SystemExit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return status


def _call(arguments: Sequence[str]) -> tuple[int, Failure | None, BaseException | None]:
    """Exit status, and what there is to report: a command that has told its failure itself leaves by `typer.Exit`."""
    try:
        status = app(args=arguments, prog_name="rewards", standalone_mode=False) or 0
        return status, (INTERRUPTED if status == INTERRUPTED.exit_code else None), None
    except KeyboardInterrupt:
        return INTERRUPTED.exit_code, INTERRUPTED, None
    except TyperException as error:
        failure = describe_misuse(error)
        return failure.exit_code, failure, error
    except BrokenPipeError:
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and str(error) == DUCKDB_INTERRUPT:
            return INTERRUPTED.exit_code, INTERRUPTED, None
        failure = describe_error(error)
        return failure.exit_code, failure, error
