"""The error tree, by who must act. Every message is one line: what is wrong, its value, what to do."""


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
