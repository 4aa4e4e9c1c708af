"""Commands against the configured chain: deploy, publish, attest, revoke, reconcile, claim; and proofs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewards.cli.answers import describe_receipt, print_json, print_lines, print_pairs, state_amounts
from rewards.cli.epochs import ask_chain, print_findings
from rewards.cli.options import Account, AsJson, Data, Deployment, Epoch, Genesis, Inputs, MaybeEpoch, Policies, Verbose
from rewards.cli.stages import Stages
from rewards.errors import UsageError

if TYPE_CHECKING:
    from rewards.chain.vault import Vault
    from rewards.jobs.claims import Payment
    from rewards.jobs.publish import ChainOutcome
    from rewards.ports import Receipt


def _holder(name: str, who: str) -> Any:
    return typer.Option(name, metavar="ADDRESS", help=f"{who}", show_default=False)


def deploy(
    admin: Annotated[str, _holder("--admin", "Changes settings; a timelock, in production.")],
    publisher: Annotated[list[str], _holder("--publisher", "Posts roots; may be repeated.")],
    attester: Annotated[list[str], _holder("--attester", "Confirms roots; may be repeated.")],
    guardian: Annotated[list[str], _holder("--guardian", "Revokes and pauses; may be repeated.")],
    treasurer: Annotated[list[str], _holder("--treasurer", "Takes the protocol's part; may be repeated.")],
    token: Annotated[str | None, _holder("--token", "CXPT that exists; else it is deployed too.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to record it.", show_default=False)] = None,
    first_epoch: Annotated[int, typer.Option(min=0, metavar="N", help="First epoch to be published.")] = 0,
    activation_delay: Annotated[
        int, typer.Option(min=0, metavar="SECONDS", help="From publication to claims.")
    ] = 43_200,
    attesters: Annotated[int, typer.Option(min=1, metavar="N", help="Confirmations that a root needs.")] = 1,
    max_epoch_amount: Annotated[
        str | None, typer.Option(metavar="CXPT", help="Most that an epoch may add to a pool.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Deploy the Vault, and the token unless one is given, with the deployer's key, and record it."""
    from rewards.jobs.chain import deploy as deploy_contracts
    from rewards.jobs.settings import load_settings
    from rewards.units import MAX_AMOUNT, parse_cxpt

    limit = MAX_AMOUNT if max_epoch_amount is None else parse_cxpt(max_epoch_amount)
    if limit > MAX_AMOUNT:
        raise UsageError(
            f"--max-epoch-amount {max_epoch_amount} is more than the Vault can hold; leave it out for no limit"
        )
    roles = {
        "admin": [admin],
        "publisher": publisher,
        "attester": attester,
        "guardian": guardian,
        "treasurer": treasurer,
    }
    with Stages(1, verbose=False) as stages:
        stages.report("deploy, and wait until it is final")
        deployment, path = deploy_contracts(
            load_settings(),
            roles,
            token,
            out,
            first_epoch=first_epoch,
            activation_delay_s=activation_delay,
            attesters_required=attesters,
            max_provider_amount=limit,
            max_user_amount=limit,
        )
    known = {"chain_id": deployment.chain_id, "token": deployment.token, "vault": deployment.vault}
    known |= {"deployed_block": deployment.deployed_block, "first_epoch": deployment.first_epoch, "record": str(path)}
    if as_json:
        print_json(known)
    else:
        print_pairs((name.replace("_", " "), str(value)) for name, value in known.items())


def publish(
    epoch: Epoch,
    data: Data = None,
    deployment: Deployment = None,
    again: Annotated[bool, typer.Option("--again", help="Even though this very root was revoked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Post the root of a sealed epoch with the publisher's key; a second time is nothing."""
    from rewards.jobs.chain import open_signer, open_vault
    from rewards.jobs.publish import publish_epoch
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace

    settings = load_settings(data=data, deployment=deployment)
    with Stages(1, verbose=False) as stages:
        stages.report(f"publish epoch {epoch}, and wait until it is final")
        signer = open_signer(settings, "publisher")
        outcome = publish_epoch(Workspace(settings.data), epoch, open_vault(settings), signer, again)
    _print_chain_outcome(outcome, "published", as_json)


def attest(
    epoch: Epoch,
    inputs: Inputs = None,
    data: Data = None,
    genesis: Genesis = None,
    policies: Policies = None,
    deployment: Deployment = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Recompute a published epoch from inputs of one's own and confirm it with the attester's key."""
    from rewards.jobs.chain import open_signer, open_vault
    from rewards.jobs.prepare import run_settings
    from rewards.jobs.publish import attest_epoch
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace

    settings = load_settings(data=data, inputs=inputs, genesis=genesis, policies=policies, deployment=deployment)
    with Stages(1, verbose) as stages:
        signer = open_signer(settings, "attester")
        vault = open_vault(settings)
        outcome = attest_epoch(
            Workspace(settings.data), run_settings(settings, vault), epoch, vault, signer, stages.report
        )
    _print_chain_outcome(outcome, "attested", as_json)


def _print_chain_outcome(outcome: "ChainOutcome", deed: str, as_json: bool) -> None:
    from rewards.epoch import from_micros

    record, receipt = outcome.record, outcome.receipt
    activates = from_micros(record.activates_at * 1_000_000).isoformat()
    if as_json:
        known: dict[str, Any] = {"epoch": record.epoch, "state": record.status, "root": "0x" + record.root.hex()}
        known |= {"manifest": record.manifest_hash.hex(), "activates_at": activates}
        known |= {"attestations_missing": record.attestations_missing, "sent": describe_receipt(receipt)}
        known |= {"totals": state_amounts(provider=record.provider_total, user=record.user_total)}
        print_json(known)
        return
    missing = record.attestations_missing
    then = f"{missing} attestation(s) missing" if missing else f"claimable from {activates}"
    print_lines(
        [
            f"epoch {record.epoch} {deed}: root 0x{record.root.hex()}, {record.status}",
            f"  {_describe_deed(receipt)}; {then}",
        ]
    )


def _describe_deed(receipt: "Receipt | None") -> str:
    if receipt is None:
        return "done before, nothing sent"
    return f"transaction 0x{receipt.transaction.hex()}, block {receipt.block.number}"


def revoke(
    epoch: Epoch,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it goes on chain.", show_default=False)],
    data: Data = None,
    deployment: Deployment = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw a root that is not active yet, with the guardian's key."""
    from rewards.jobs.chain import open_signer, open_vault
    from rewards.jobs.publish import revoke_epoch
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace

    settings = load_settings(data=data, deployment=deployment)
    with Stages(1, verbose=False) as stages:
        stages.report(f"revoke epoch {epoch}, and wait until it is final")
        signer = open_signer(settings, "guardian")
        receipt = revoke_epoch(Workspace(settings.data), epoch, reason, open_vault(settings), signer)
    if as_json:
        print_json({"epoch": epoch, "reason": reason, "sent": describe_receipt(receipt)})
    else:
        print_lines([f"epoch {epoch} revoked: {_describe_deed(receipt)}"])


def claim(
    address: Account,
    epoch: MaybeEpoch = None,
    data: Data = None,
    deployment: Deployment = None,
    as_json: AsJson = False,
) -> None:
    """Claim all that an address has outstanding, with the claimer's key; the money goes to the address."""
    from rewards.jobs.chain import open_signer, open_vault
    from rewards.jobs.claims import claim_all
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace
    from rewards.units import parse_address

    account = parse_address(address)
    settings = load_settings(data=data, deployment=deployment)
    with Stages(1, verbose=False) as stages:
        stages.report("claim, and wait until it is final")
        signer = open_signer(settings, "claimer")
        payments = claim_all(Workspace(settings.data), account, open_vault(settings), signer, epoch)
    if as_json:
        paid = sum(p.paid for p in payments)
        print_json(
            {"account": account, **state_amounts(paid=paid), "payments": [_describe_payment(p) for p in payments]}
        )
    else:
        print_lines(_payment_line(p) for p in payments)


def _describe_payment(payment: "Payment") -> dict[str, Any]:
    leaf = payment.claimable
    return {**leaf.to_json(), **state_amounts(cumulative_amount=leaf.cumulative_amount, paid=payment.paid),
            "sent": describe_receipt(payment.receipt)}  # fmt: skip


def _payment_line(payment: "Payment") -> str:
    from rewards.units import POOL_NAMES, format_cxpt

    leaf = payment.claimable
    pool = f"{POOL_NAMES[leaf.pool]} pool, epoch {leaf.epoch}"
    if payment.receipt is None:
        return f"{pool}: nothing outstanding of {format_cxpt(leaf.cumulative_amount)} CXPT"
    transaction = payment.receipt.transaction.hex()
    return f"{pool}: {format_cxpt(payment.paid)} CXPT paid to {leaf.account}, transaction 0x{transaction}"


def proof(
    address: Account,
    epoch: MaybeEpoch = None,
    data: Data = None,
    deployment: Deployment = None,
    as_json: AsJson = False,
) -> None:
    """What an address may claim, with proofs, as JSON; with a chain configured also what it has claimed, and the state of
    the epoch's root (default: the latest active one)."""
    from rewards.jobs.claims import find_claimables, find_claimables_on_chain
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace
    from rewards.units import parse_address

    account = parse_address(address)
    settings = load_settings(data=data, deployment=deployment)
    workspace = Workspace(settings.data)

    def ask(vault: "Vault | None") -> dict[str, Any]:
        if vault is None:
            leaves, state = find_claimables(workspace, account, epoch), None
        else:
            leaves, state = find_claimables_on_chain(workspace, account, vault, epoch)
        claims = []
        for leaf in leaves:
            amounts = {"cumulative_amount": leaf.cumulative_amount}
            if vault is not None:
                claimed = vault.claimed(leaf.pool, account)
                amounts |= {"claimed": claimed, "outstanding": max(0, leaf.cumulative_amount - claimed)}
            claims.append({**leaf.to_json(), **state_amounts(**amounts)})
        return {"account": account, "vault": vault.address if vault else None, "state": state, "claimables": claims}

    print_json(ask_chain(settings, ask)[0])


def reconcile(data: Data = None, deployment: Deployment = None, as_json: AsJson = False) -> None:
    """Compare claims, pools and roots on the chain with what was sealed here."""
    from rewards.jobs.chain import open_vault
    from rewards.jobs.reconcile import reconcile as compare
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace

    settings = load_settings(data=data, deployment=deployment)
    print_findings(compare(Workspace(settings.data), open_vault(settings)), as_json, "chain and bundles agree")
