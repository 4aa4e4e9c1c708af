"""The plan of a publication, for people and for programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.cli.answers import (
    open_console,
    print_json,
    print_lines,
    print_pairs,
    print_table,
    single_line,
    state_amounts,
)

if TYPE_CHECKING:
    from rewards.jobs.publish import Mover, PublicationPlan

WEI_PER_GWEI = 10**9


def print_plan(plan: "PublicationPlan", as_json: bool) -> None:
    """The plan on stdout; raises what refuses it, so that the exit status says so too."""
    from rewards.errors import refuse

    if as_json:
        print_json(_describe(plan))
    else:
        _print_for_people(plan)
    refuse(f"publishing epoch {plan.manifest.epoch.number}", plan.findings)


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
        "may_be_sent": plan.record is None and not plan.refused,
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
        ("expectedRevocations", str(plan.revocations)),
    ]


def _print_for_people(plan: "PublicationPlan") -> None:
    from rewards.units import POOL_NAMES, POOLS, format_cxpt

    manifest = plan.manifest
    print_lines([f"plan: publish epoch {manifest.epoch.number}, {manifest.leaves} leaves"])
    print_table(
        {"pool": "left", "promised before, CXPT": "right", "increase": "right", "total": "right"},
        [
            (
                POOL_NAMES[pool],
                format_cxpt(manifest.total(pool) - plan.increase[pool]),
                format_cxpt(plan.increase[pool]),
                format_cxpt(manifest.total(pool)),
            )
            for pool in POOLS
        ],
    )
    if plan.movers:
        print_lines(["", f"the {len(plan.movers)} largest changes since the epoch before"])
        print_table({"pool": "left", "account": "left", "before": "right", "after": "right", "change": "right"},
                    map(_list_mover, plan.movers))  # fmt: skip
    print_lines(["", "the call"])
    print_pairs([("from", plan.sender), ("to", f"{plan.intent.to} publishRoot"), *_list_arguments(plan),
                 ("calldata", "0x" + plan.intent.data.hex()), *_list_costs(plan)])  # fmt: skip
    print_lines(["", *_conclude(plan)])


def _list_mover(mover: "Mover") -> tuple[str, ...]:
    from rewards.units import POOL_NAMES, format_cxpt

    amounts = (mover.before, mover.after, mover.change)
    return (POOL_NAMES[mover.pool], mover.account, *map(format_cxpt, amounts))


def _list_costs(plan: "PublicationPlan") -> list[tuple[str, str]]:
    if plan.gas is None:
        return [("gas", "not estimated: nothing is to be sent")]
    if plan.fees is None:
        return [("gas", f"{plan.gas} at most"), ("fee", "above REWARDS_MAX_FEE_WEI; raise it or wait")]
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
    if plan.refused:
        return [*notes, *(begun if plan.unsettled else []), "it may not be sent:"]
    return [*notes, *(begun if plan.unsettled else []), f"every gate agrees; send it: rewards publish {number} --apply"]
