"""The one table: epoch range to ruleset."""

from types import ModuleType

from rewards import ruleset_v1
from rewards.errors import PolicyError
from rewards.policy import Policy

RULESETS: tuple[tuple[int, ModuleType], ...] = ((0, ruleset_v1),)
"""First epoch of each ruleset, ascending; it rules until the next one starts."""


def ruleset_for(number: int, policy: Policy) -> ModuleType:
    """The ruleset of an epoch; raises PolicyError when the epoch's policy is written for another one."""
    ruleset = [rules for first, rules in RULESETS if first <= number][-1]
    if policy.ruleset != ruleset.NAME:
        raise PolicyError(
            f"epoch {number} follows ruleset {ruleset.NAME}; its policy is written for {policy.ruleset!r}"
        )
    return ruleset
