"""The plan of a replay, for people and for programs."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from rewards.cli.answers import print_lines, print_table, state_amounts

if TYPE_CHECKING:
    from rewards.errors import GateRefused
    from rewards.jobs.replay import ReplayedChange, ReplayPlan


def find_refusal(plan: "ReplayPlan") -> "GateRefused | None":
    """What forbids the corrections of a plan, so that the exit status can say so."""
    from rewards.errors import GateRefused, refuse

    try:
        refuse(f"replaying epoch {plan.epoch}", plan.findings)
    except GateRefused as refused:
        return refused
    return None


SHOWN_LOSSES = 10
"""Accounts in the table that would have had less; JSON has all."""


def print_plan(plan: "ReplayPlan") -> None:
    """Rows by reason, every account that gains, the largest losses, and what is to be done."""
    from rewards.units import format_cxpt

    reasons = {*plan.quarantined_then, *plan.quarantined_now}
    counts = [
        (reason, str(plan.quarantined_then.get(reason, 0)), str(plan.quarantined_now.get(reason, 0)))
        for reason in sorted(reasons)
    ]
    print_lines([f"replay of epoch {plan.epoch}, sealed as {plan.manifest}"])
    if counts:
        print_table({"quarantined": "left", "then": "right", "now": "right"}, counts)
    print_lines([f"rows that count now: {plan.earning} earning, {plan.not_earning} not earning"])
    losses = sorted((one for one in plan.changes if one.change.difference < 0), key=lambda one: one.change.difference)
    others = [one for one in plan.changes if one.change.difference >= 0]
    shown = [*others, *losses[:SHOWN_LOSSES]]
    if shown:
        sides = {"pool": "left", "account": "left", "had": "right", "would have": "right", "difference, CXPT": "right"}
        print_table({**sides, "credited before": "right", "to credit": "right"}, map(_list_change, shown))
    if len(losses) > SHOWN_LOSSES:
        less = format_cxpt(-sum(one.change.difference for one in losses))
        print_lines(
            [f"in all {len(losses)} would have had less, {less} CXPT together: not taken back; --json lists them"]
        )
    print_lines(_conclude(plan))


def _list_change(one: "ReplayedChange") -> tuple[str, ...]:
    from rewards.units import POOL_NAMES, format_cxpt

    change = one.change
    amounts = map(format_cxpt, (change.had, change.would_have, change.difference, one.credited_before))
    outcome = format_cxpt(one.credit) if one.credit and not one.waits else _name_outcome(one)
    return POOL_NAMES[change.pool], change.account_id, *amounts, outcome


def _name_outcome(one: "ReplayedChange") -> str:
    """Why nothing is credited, or that something is."""
    if one.credit:
        return "later" if one.waits else "to credit"
    if one.credited_before > max(0, one.change.difference):
        return "credited too much"
    if one.change.difference < 0:
        return "not taken back"
    if one.change.difference == 0:
        return "nothing"
    return "credited before" if one.has_account else "no account"


def _conclude(plan: "ReplayPlan") -> list[str]:
    from rewards.units import format_cxpt

    total = sum(one.units for one in plan.corrections)
    said = [
        f"{len(plan.corrections)} corrections of {format_cxpt(total)} CXPT together, for epoch {plan.enters}: {plan.reason}"
        if plan.corrections
        else f"nothing to credit: by the inputs as they are now nobody has more of epoch {plan.epoch} to get"
    ]
    outcomes = Counter(map(_name_outcome, plan.changes))
    if later := outcomes["later"]:
        left = format_cxpt(sum(one.credit for one in plan.changes if one.waits))
        said.append(f"note: {later} more gain {left} CXPT together; replay again to credit them once these are added")
    if homeless := outcomes["no account"]:
        said.append(f"note: {homeless} gain under an id without an account; when it has one, replay again")
    if excess := outcomes["credited too much"]:
        said.append(
            f"note: replays credited {excess} more than they would have had; remove what waits, or add a negative correction"
        )
    if plan.open_epochs:
        listed = ", ".join(map(str, plan.open_epochs))
        said.append(
            f"note: {listed} not sealed yet: a row of epoch {plan.epoch} that is exported for them once more is paid there "
            "as well; do not, or replay when they are sealed"
        )
    return said


def describe_plan(plan: "ReplayPlan") -> dict[str, Any]:
    """The plan as JSON, every change in it."""
    from rewards.units import POOL_NAMES

    return {
        "epoch": plan.epoch,
        "manifest": plan.manifest,
        "enters": plan.enters,
        "reason": plan.reason,
        "quarantined_then": dict(plan.quarantined_then),
        "quarantined_now": dict(plan.quarantined_now),
        "counted_now": {"earning": plan.earning, "not_earning": plan.not_earning},
        "open_epochs": list(plan.open_epochs),
        "accounts": [
            {
                "pool": POOL_NAMES[one.change.pool],
                "account_id": one.change.account_id,
                **state_amounts(
                    had=one.change.had,
                    would_have=one.change.would_have,
                    difference=one.change.difference,
                    credited_before=one.credited_before,
                    credit=one.credit,
                ),
                "outcome": _name_outcome(one),
            }
            for one in plan.changes
        ],
    }
