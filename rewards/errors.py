"""The error tree, by who must act. Every message is one line: what is wrong, its value, what to do."""

from collections.abc import Sequence
from dataclasses import dataclass


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
    """The chain is unreachable, is another one, or refused a transaction."""

    exit_code = 4


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


@dataclass(frozen=True)
class Finding:
    """One typed disagreement with both values. `refuses` says whether it forbids the next step; `gate` is its runbook
    line."""

    gate: str
    message: str
    expected: str
    observed: str
    refuses: bool = True

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
