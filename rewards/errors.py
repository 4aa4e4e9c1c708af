"""The error tree, by who must act. Every message is one line: what is wrong, its value, what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class RewardsError(Exception):
    """Base of every error that a person is meant to read; `exit_code` is the command's exit status."""

    exit_code = 1


class UsageError(RewardsError):
    """The caller asked for something that cannot be: a setting, an argument, a policy."""

    exit_code = 2


class PolicyError(UsageError):
    """A policy file contradicts itself or would let a ring of accounts win."""


class GateRefused(RewardsError):
    """A gate forbids the next step; the findings say why."""

    exit_code = 3

    def __init__(self, message: str, findings: "Sequence[Finding]" = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class ChainError(RewardsError):
    """The chain is unreachable, is another one, or refused a transaction; `said`: the words of a node, where it is theirs."""

    exit_code = 4

    def __init__(self, message: str, said: str | None = None) -> None:
        super().__init__(message)
        self.said = message if said is None else said


class ChainUnavailable(ChainError):
    """A node did not answer, or not now: the same question may be answered later, and nothing is known."""


class NotSigned(ChainError):
    """A transaction that may not be signed, or not here; what was signed before may still be mined."""


class FeeAboveCap(NotSigned):
    """What the chain asks for is above what the settings allow."""


class InputError(RewardsError):
    """An input file or table is missing, unreadable or of the wrong shape."""

    exit_code = 5


class LimitError(InputError):
    """A value passes the bound within which the arithmetic is exact."""


class Disagreement(RewardsError):
    """Two records of the same fact differ: verify, reconcile, a ledger against a bundle."""

    exit_code = 6


class StorageError(RewardsError):
    """The disk refused: full, read-only, or a file that another process holds."""


class Severity(StrEnum):
    """How bad a finding is: critical (money, or a step, is in question), warning (someone should look), note."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One typed disagreement with both values. `refuses` says whether it forbids the next step; `gate` is its runbook
    line. What does not refuse is never critical: it is a note, unless it is given as a warning."""

    gate: str
    message: str
    expected: str
    observed: str
    refuses: bool = True
    severity: Severity = Severity.CRITICAL

    def __post_init__(self) -> None:
        harmless = not self.refuses and self.severity == Severity.CRITICAL
        object.__setattr__(self, "severity", Severity.NOTE if harmless else Severity(self.severity))

    def __str__(self) -> str:
        return f"{self.gate}: {self.message} (expected {self.expected}, observed {self.observed})"


def refuse(step: str, findings: Sequence[Finding], advice: str = "") -> None:
    """Raise GateRefused naming every refusing finding, with advice of one clause; nothing when there is none."""
    refusing = [f for f in findings if f.refuses]
    if refusing:
        lines = "; ".join(str(f) for f in refusing)
        raise GateRefused(
            f"{step} refused by {len(refusing)} finding(s){advice}: {lines}; see docs/runbook.md", refusing
        )
