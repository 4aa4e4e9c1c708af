"""The deploy command: every contract onto a network, or what that would take, or whether what stands is right."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewards.cli.answers import print_json, print_lines, print_pairs, print_table
from rewards.cli.failures import Unfinished
from rewards.cli.options import AsJson, Verbose
from rewards.cli.stages import Stages
from rewards.errors import ChainError, UsageError

if TYPE_CHECKING:
    from rewards.jobs.deploy import Deployed, Planned


def _address(name: str, who: str) -> Any:
    return typer.Option(name, metavar="ADDRESS", help=who, show_default=False)


def _text(name: str, metavar: str, what: str) -> Any:
    return typer.Option(name, metavar=metavar, help=what, show_default=False)


def deploy(
    network: Annotated[str, _text("--network", "NAME", "local, agung, peaq, or custom (REWARDS_CHAIN_ID).")],
    publisher: Annotated[list[str] | None, _address("--publisher", "Posts roots; may be repeated.")] = None,
    attester: Annotated[list[str] | None, _address("--attester", "Confirms roots; may be repeated.")] = None,
    guardian: Annotated[list[str] | None, _address("--guardian", "Revokes and pauses; may be repeated.")] = None,
    treasurer: Annotated[
        list[str] | None, _address("--treasurer", "Takes the protocol's part; may be repeated.")
    ] = None,
    settler: Annotated[list[str] | None, _address("--settler", "Charges usage from prepaid balances.")] = None,
    proposer: Annotated[
        list[str] | None, _address("--proposer", "Proposes changes to the timelock; may be repeated.")
    ] = None,
    canceller: Annotated[list[str] | None, _address("--canceller", "May cancel them; may be repeated.")] = None,
    admin: Annotated[
        str | None, _address("--admin", "Timelock or multisig that exists; else a timelock is deployed.")
    ] = None,
    admin_unchecked: Annotated[
        bool,
        typer.Option(
            "--admin-unchecked", help="Take an --admin that is no timelock of a week and no Safe of two, as it is."
        ),
    ] = False,
    token: Annotated[str | None, _address("--token", "CXPT that exists; else it is deployed.")] = None,
    supply_to: Annotated[
        str | None, _address("--supply-to", "Gets the whole supply; else the deployer keeps it.")
    ] = None,
    plan: Annotated[
        list[str] | None, _text("--plan", "CXPT/DAYS", "A subscription's price and days; may be repeated.")
    ] = None,
    timelock_delay: Annotated[
        int | None, typer.Option(min=0, metavar="SECONDS", help="Seven days, unless given.", show_default=False)
    ] = None,
    first_epoch: Annotated[int, typer.Option(min=0, metavar="N", help="First epoch to be published.")] = 0,
    activation_delay: Annotated[
        int, typer.Option(min=0, metavar="SECONDS", help="From publication to claims.")
    ] = 43_200,
    attesters_required: Annotated[
        int, typer.Option("--attesters-required", min=1, metavar="N", help="Confirmations that a root needs.")
    ] = 1,
    max_epoch_amount: Annotated[
        str | None, _text("--max-epoch-amount", "CXPT", "Most that an epoch may add to a pool.")
    ] = None,
    out: Annotated[
        Path | None, _text("--out", "FILE", "Where it is recorded (contracts/deployments/<chain id>.json).")
    ] = None,
    begin_anew: Annotated[
        bool, typer.Option("--begin-anew", help="Begin a new set where the key has sent what no journal here knows.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show steps, addresses and cost; send nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only verify what is recorded; needs no key.")] = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Deploy every contract with the deployer's key, hand all roles over, verify and record it.

    Run again, it goes on where it ended, or verifies what stands; nothing is sent twice.

    Reads REWARDS_RPC_URL, REWARDS_DEPLOYER_KEYSTORE with REWARDS_KEYSTORE_PASSWORD
    or REWARDS_KEYSTORE_PASSWORD_FILE, REWARDS_DEPLOYER_KMS_KEY or REWARDS_DEPLOYER_KEY,
    REWARDS_CHAIN_ID for a custom network, REWARDS_MAX_FEE_WEI, REWARDS_CONFIRMATIONS
    and REWARDS_POLL_SECONDS.
    """
    from rewards.jobs.deploy import Arguments, Planned, check_deployment, plan_deployment, survey
    from rewards.jobs.deploy import deploy as deploy_contracts
    from rewards.jobs.settings import load_settings

    arguments = Arguments(
        holders={
            "proposer": proposer or (),
            "canceller": canceller or (),
            "publisher": publisher or (),
            "attester": attester or (),
            "guardian": guardian or (),
            "treasurer": treasurer or (),
            "settler": settler or (),
        },
        token=token,
        admin=admin,
        admin_unchecked=admin_unchecked,
        supply_to=supply_to,
        plans=plan or (),
        timelock_delay_s=timelock_delay,
        first_epoch=first_epoch,
        activation_delay_s=activation_delay,
        attesters_required=attesters_required,
        max_epoch_amount=max_epoch_amount,
        begin_anew=begin_anew,
    )
    if check and (dry_run or arguments != Arguments(holders=dict.fromkeys(arguments.holders, ()))):
        raise UsageError(
            "--check compares the chain with the record, not with options; leave out all but --network, --out, --json"
        )
    settings = load_settings()
    outcome: Planned | Deployed
    with Stages(1, verbose) as stages:
        if check:
            stages.report("verify code, roles and settings")
            outcome = check_deployment(settings, network, out)
        else:
            stages.report("ask the chain what a deployment takes")
            ground = survey(settings, network, arguments, out)
            outcome = plan_deployment(ground) if dry_run else deploy_contracts(ground, stages.report)
    if isinstance(outcome, Planned):
        _print_plan(outcome, as_json)
    else:
        _print_deployed(outcome, as_json)


def _print_deployed(done: "Deployed", as_json: bool) -> None:
    record = done.deployment
    known: dict[str, Any] = {"network": record.network, "chain_id": record.chain_id}
    known |= {"token": record.token, "admin": record.admin, "vault": record.vault}
    known |= {"subscription_manager": record.subscription_manager, "usage_escrow": record.usage_escrow}
    known |= {"settler": record.settler, "deployed_block": record.deployed_block, "first_epoch": record.first_epoch}
    known |= {"record": str(done.path), "sent": done.sent, "facts_verified": done.facts}
    if as_json:
        known |= {"waiting_operations": list(done.waiting)}
        print_json(known | {"contracts": {name: asdict(one) for name, one in record.contracts.items()}})
        return
    known["sent"] = f"{done.sent} transactions" if done.sent else "nothing: it stood already"
    if done.waiting:
        known["waiting_operations"] = f"{', '.join(done.waiting)} (scheduled in the timelock, see what they do)"
    print_pairs((name.replace("_", " "), str(value)) for name, value in known.items())


def _print_plan(planned: "Planned", as_json: bool) -> None:
    if as_json:
        _print_plan_json(planned)
        return
    request, cost = planned.request, planned.cost
    print_lines([f"plan for {request.network}, chain {request.chain_id}; nothing is sent"])
    print_table({"step": "right", "what": "left", "address": "left", "nonce": "right", "gas at most": "right"},
                _list_steps(planned))  # fmt: skip
    print_table({"role": "left", "in": "left", "holder": "left"}, _list_roles(planned))
    print_table({"setting": "left", "value": "left"}, _list_settings(planned))
    if _keeps_supply(planned):
        print_lines([f"the whole supply stays with the deployer {request.deployer}; --supply-to ADDRESS gives it away"])
    print_pairs(
        [
            ("gas at most", f"{sum(cost.gas.values()):,}"),
            ("fee at most", f"{cost.max_fee:,} wei per gas"),
            ("cost at most", f"{cost.need:,} wei"),
            ("balance", f"{cost.balance:,} wei of {request.deployer}"),
            ("record", str(planned.path)),
        ]
    )
    if planned.shortage is not None:
        raise ChainError(planned.shortage)


def _list_steps(planned: "Planned") -> Iterator[tuple[str, ...]]:
    for number, step in enumerate(planned.plan.steps, 1):
        gas = planned.cost.gas.get(step.name)
        told = "signed before" if step.name in planned.signed else f"{gas:,}"
        yield str(number), step.purpose, step.address, str(step.nonce), told


def _list_roles(planned: "Planned") -> Iterator[tuple[str, str, str]]:
    request, plan = planned.request, planned.plan
    homes = {"proposer": "timelock", "canceller": "timelock", "settler": "UsageEscrow"}
    if request.admin is None:
        yield "admin", "CXPTVault", f"{plan.admin} (the timelock, {request.timelock_delay_s} s)"
        yield "executor", "timelock", "anyone"
    for role, account in request.holders():
        if role != "deployer":
            yield role, homes.get(role, "CXPTVault"), account
    yield "owner", "SubscriptionManager, UsageEscrow", plan.admin
    if request.token is None:
        yield "supply", "CXPTToken", request.supply_to or request.deployer
    yield "none", "", f"{request.deployer} (the deployer)"


def _list_settings(planned: "Planned") -> Iterator[tuple[str, str]]:
    from rewards.units import MAX_AMOUNT, format_cxpt

    request = planned.request
    settings = request.settings(planned.plan.admin)
    yield "first epoch", str(settings.first_epoch)
    yield "activation delay", f"{settings.activation_delay_s} s"
    yield "attesters needed", f"{settings.attesters_required} of {len(settings.attesters)}"
    limit = request.max_epoch_amount
    yield "limit of an epoch", "none" if limit == MAX_AMOUNT else f"{format_cxpt(limit)} CXPT for each pool"
    shares = {"protocol": settings.protocol_bp, "providers": settings.provider_bp, "users": settings.user_bp}
    yield "split", ", ".join(f"{name} {bp / 100:g} %" for name, bp in shares.items())
    for number, offer in enumerate(request.offers):
        yield f"plan {number}", f"{format_cxpt(offer.price)} CXPT for {offer.days} days"
    if not request.offers:
        yield "plans", "none"


def _keeps_supply(planned: "Planned") -> bool:
    return planned.request.token is None and planned.request.supply_to is None


def _print_plan_json(planned: "Planned") -> None:
    request, cost = planned.request, planned.cost
    steps = [
        {
            "step": step.name,
            "purpose": step.purpose,
            "address": step.address,
            "nonce": step.nonce,
            "arguments": step.arguments,
            "signed_before": step.name in planned.signed,
            "gas": cost.gas.get(step.name),
        }
        for step in planned.plan.steps
    ]
    money = {"gas": sum(cost.gas.values()), "max_fee_wei": str(cost.max_fee), "need_wei": str(cost.need)}
    money |= {"balance_wei": str(cost.balance), "shortfall_wei": str(cost.shortfall)}
    roles = [{"role": role, "in": home, "holder": holder} for role, home, holder in _list_roles(planned)]
    settings = [{"setting": name, "value": value} for name, value in _list_settings(planned)]
    answer: dict[str, Any] = {"asked": request.to_json(), "steps": steps, "roles": roles, "settings": settings}
    answer |= {"deployer_keeps_supply": _keeps_supply(planned), **money, "record": str(planned.path)}
    if planned.shortage is not None:
        raise Unfinished(ChainError(planned.shortage), answer)
    print_json(answer)
