"""What went wrong, as one line for people and as JSON for programs, with every secret blotted out."""

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rewards.chain.blot import redact
from rewards.cli.answers import list_known_secrets, print_json, single_line
from rewards.errors import Finding, GateRefused, RewardsError

RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True)
class Failure:
    """A failure ready to be told: its kind, one line, the exit status, the findings of a gate that refused, and, as
    JSON, the part of the answer that was there before."""

    kind: str
    message: str
    exit_code: int
    findings: Sequence[Finding] = field(default=())
    answer: Mapping[str, Any] = field(default_factory=dict)


class Unfinished(RewardsError):
    """An error that came when a part of the answer was there; it keeps both."""

    def __init__(self, error: RewardsError, answer: Mapping[str, Any]) -> None:
        super().__init__(str(error))
        self.error = error
        self.answer = answer


INTERRUPTED = Failure("Interrupted", "interrupted; run the command again, it goes on where it stopped", 130)


def describe_error(error: Exception) -> Failure:
    """An error of ours as it reads; any other with its type and how to see where it comes from."""
    if isinstance(error, Unfinished):
        return replace(describe_error(error.error), answer=error.answer)
    kind = type(error).__name__
    if isinstance(error, GateRefused) and error.findings:
        # The findings get lines of their own; here only "sealing epoch 3 refused by 2 finding(s)".
        return Failure(kind, str(error).partition(": ")[0], error.exit_code, error.findings)
    if isinstance(error, RewardsError):
        return Failure(kind, str(error), error.exit_code)
    text = single_line(str(error))[:300]
    return Failure(kind, f"unexpected {kind}: {text}; REWARDS_TRACEBACK=1 shows where, please report it", 1)


def describe_misuse(error: Exception) -> Failure:
    """What Typer refused: an unknown option, a missing or malformed value."""
    command = getattr(getattr(error, "ctx", None), "command_path", "rewards")
    message = getattr(error, "format_message", error.__str__)()
    return Failure(
        "UsageError", f"{single_line(message).rstrip('.')}; see {command} --help", getattr(error, "exit_code", 2)
    )


def runbook_line(gate: str) -> str:
    """Where the runbook speaks of a gate."""
    return f"{RUNBOOK}#{gate.replace(' ', '-')}"


def describe_finding(finding: Finding) -> dict[str, Any]:
    """A finding as JSON."""
    return {
        "gate": finding.gate,
        "message": finding.message,
        "expected": finding.expected,
        "observed": finding.observed,
        "refuses": finding.refuses,
        "severity": finding.severity,
        "runbook": runbook_line(finding.gate),
    }


def finding_line(finding: Finding) -> str:
    """A finding as one line for people."""
    text = f"{finding.gate}: {finding.message}: expected {finding.expected}, observed {finding.observed}"
    return single_line(f"{text} ({runbook_line(finding.gate)})")


def report_failure(failure: Failure, error: BaseException | None, as_json: bool, with_traceback: bool) -> None:
    """One `error:` line on stderr, one a finding, the traceback if asked for; with JSON also a document on stdout."""
    secrets = list_known_secrets()
    if with_traceback and error is not None:
        sys.stderr.write(redact("".join(traceback.format_exception(error)), secrets))
    lines = [f"error: {single_line(failure.message)}", *(f"  {finding_line(f)}" for f in failure.findings)]
    sys.stderr.write("".join(redact(line, secrets) + "\n" for line in lines))
    if as_json:
        findings = [describe_finding(f) for f in failure.findings]
        told = {
            "kind": failure.kind,
            "message": single_line(failure.message),
            "exit_code": failure.exit_code,
            "findings": findings,
        }
        print_json(
            {**failure.answer, "error": {k: redact(v, secrets) if isinstance(v, str) else v for k, v in told.items()}}
        )


def report_note(text: str) -> None:
    """One line on stderr beside an answer that is not the whole one."""
    sys.stderr.write(redact(single_line(text), list_known_secrets()) + "\n")
    sys.stderr.flush()
