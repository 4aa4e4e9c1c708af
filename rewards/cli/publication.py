"""The plan of a publication, for people and for programs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.cli.answers import (
    open_console,
    print_json,
    print_lines,
    print_pairs,
    single_line,
    state_amounts,
)

if TYPE_CHECKING:
    from rewards.errors import RewardsError
    from rewards.jobs.publish import Mover, PublicationPlan

WEI_PER_GWEI = 10**9


def print_plan(plan: "PublicationPlan", as_json: bool) -> None:
    """The plan on stdout; raises what forbids it, so that the exit status says so too."""
    from rewards.cli.failures import Unfinished

    forbids = _find_refusal(plan)
    if not as_json:
        _print_for_people(plan)
        if forbids is not None:
            raise forbids
        return
    document = _describe(plan)
    if forbids is not None:
        raise Unfinished(forbids, document) from forbids
    print_json(document)


def _find_refusal(plan: "PublicationPlan") -> "RewardsError | None":
    from rewards.errors import GateRefused, refuse

    try:
        refuse(f"publishing epoch {plan.manifest.epoch.number}", plan.findings)
    except GateRefused as refused:
        return refused
    return plan.obstacle


def tell_owners(path: Path, lines: list[str]) -> None:
    """On stderr, while the command waits: what the owners of a Safe are asked to sign, and where its file is."""
    console = open_console(stderr=True)
    console.print(f"owners of the Safe must sign {single_line(str(path))} (import it into the Transaction Builder):")
    for line in lines:
        console.print(f"  {single_line(line)}")


def _describe(plan: "PublicationPlan") -> dict[str, Any]:
    from rewards.units import POOL_NAMES, POOLS

    manifest, fees = plan.manifest, plan.fees
    return {
        "epoch": manifest.epoch.number,
        "root": "0x" + manifest.root.hex(),
        "manifest": manifest.digest,
        "leaves": manifest.leaves,
        "done": plan.record is not None,
        "may_be_sent": plan.may_be_sent,
        "pools": [
            {"pool": POOL_NAMES[pool], **state_amounts(total=manifest.total(pool), increase=plan.increase[pool])}
            for pool in POOLS
        ],
        "movers": [
            {
                "pool": POOL_NAMES[m.pool],
                "account": m.account,
                **state_amounts(before=m.before, after=m.after, change=m.change),
            }
            for m in plan.movers
        ],
        "call": {
            "from": plan.sender,
            "to": plan.intent.to,
            "function": "publishRoot",
            "arguments": dict(_list_arguments(plan)),
            "calldata": "0x" + plan.intent.data.hex(),
        },
        "obstacle": None if plan.obstacle is None else str(plan.obstacle),
        "gas": plan.gas,
        "max_fee_wei": None if fees is None else str(fees.max_fee),
        "priority_fee_wei": None if fees is None else str(fees.tip),
        "max_cost_wei": None if fees is None or plan.gas is None else str(fees.max_fee * plan.gas),
        "unsettled_transactions": plan.unsettled,
        "findings": [
            {"gate": f.gate, "finding": f.message, "expected": f.expected, "observed": f.observed, "refuses": f.refuses}
            for f in plan.findings
        ],
    }


def _list_arguments(plan: "PublicationPlan") -> list[tuple[str, str]]:
    from rewards.units import PROVIDER, USER

    manifest = plan.manifest
    return [
        ("epoch", str(manifest.epoch.number)),
        ("root", "0x" + manifest.root.hex()),
        ("providerTotal", str(manifest.total(PROVIDER))),
        ("userTotal", str(manifest.total(USER))),
        ("manifestHash", "0x" + manifest.digest),
        ("revocationCount", str(plan.revocations)),
    ]


def _print_for_people(plan: "PublicationPlan") -> None:
    """Nothing that people compare or copy is folded: at 80 columns a table would break addresses and amounts in two."""
    manifest = plan.manifest
    print_lines([f"plan: publish epoch {manifest.epoch.number}, {manifest.leaves} leaves"])
    print_pairs(_list_totals(plan))
    if plan.movers:
        print_lines(["", f"the {len(plan.movers)} largest changes since the epoch before, CXPT"])
        print_lines(line for mover in plan.movers for line in _list_mover(mover))
    print_lines(["", f"publishRoot of the Vault {plan.intent.to}", f"from {plan.sender}"])
    print_lines(f"{name}: {value}" for name, value in _list_arguments(plan))
    print_lines([f"calldata: 0x{plan.intent.data.hex()}", ""])
    print_pairs(_list_costs(plan))
    print_lines(["", *_conclude(plan)])


def _list_totals(plan: "PublicationPlan") -> Iterator[tuple[str, str]]:
    from rewards.units import POOL_NAMES, POOLS, format_cxpt

    for pool in POOLS:
        total, increase = plan.manifest.total(pool), plan.increase[pool]
        for what, amount in (("promised before", total - increase), ("increase", increase), ("total", total)):
            yield f"{POOL_NAMES[pool]} pool, {what}", f"{format_cxpt(amount)} CXPT"


def _list_mover(mover: "Mover") -> tuple[str, str]:
    from rewards.units import POOL_NAMES, format_cxpt

    before, after, change = map(format_cxpt, (mover.before, mover.after, mover.change))
    sign = "+" if mover.change > 0 else ""
    return f"{POOL_NAMES[mover.pool]} {mover.account}", f"  {sign}{change}, from {before} to {after}"


def _list_costs(plan: "PublicationPlan") -> list[tuple[str, str]]:
    if plan.gas is None:
        why = "the call would revert" if plan.record is None else "nothing is to be sent"
        return [("gas", f"not estimated: {why}")]
    if plan.fees is None:
        return [("gas", f"{plan.gas} at most"), ("fee", "not chosen: see below")]
    fees = plan.fees
    return [
        ("gas", f"{plan.gas} at most"),
        ("fee", f"{_gwei(fees.max_fee)} gwei per gas at most, {_gwei(fees.tip)} of it the tip"),
        ("cost", f"{_gwei(fees.max_fee * plan.gas)} gwei at most"),
    ]


def _gwei(wei: int) -> str:
    whole, rest = divmod(wei, WEI_PER_GWEI)
    return f"{whole:,}" + (f".{rest:09d}".rstrip("0") if rest else "")


def _conclude(plan: "PublicationPlan") -> list[str]:
    number = plan.manifest.epoch.number
    if plan.record is not None:
        return [f"done before: the root is {plan.record.status}; nothing is left to send"]
    begun = [f"{plan.unsettled} transaction(s) of this sender are unfinished and are finished or replaced first"]
    notes = [f"note: {finding}" for finding in plan.findings if not finding.refuses]
    if not plan.may_be_sent:
        return [*notes, *(begun if plan.unsettled else []), "it may not be sent:"]
    return [*notes, *(begun if plan.unsettled else []), f"every gate agrees; send it: rewards publish {number} --apply"]
