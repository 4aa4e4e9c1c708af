"""Commands against the configured chain: publish, attest, revoke, resume, reconcile, claim; and proofs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewards.cli.answers import describe_receipt, print_json, print_lines, state_amounts
from rewards.cli.epochs import ask_chain, print_findings
from rewards.cli.failures import Unfinished, describe_finding, finding_line
from rewards.cli.options import (
    Account,
    AsJson,
    Data,
    Deployment,
    Epoch,
    Genesis,
    Inputs,
    MaybeEpoch,
    Overrides,
    Policies,
    Verbose,
    parse_overrides,
)
from rewards.cli.publication import print_plan, tell_owners
from rewards.cli.stages import Stages
from rewards.errors import RewardsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rewards.chain.vault import Vault
    from rewards.jobs.claims import Payment
    from rewards.jobs.publish import ChainOutcome
    from rewards.jobs.resume import Resumed
    from rewards.ports import Receipt
    from rewards.units import Address


def publish(
    epoch: Epoch,
    data: Data = None,
    deployment: Deployment = None,
    plan: Annotated[
        bool, typer.Option("--plan/--apply", help="Show what would be sent, which is the default, or send it.")
    ] = True,
    again: Annotated[bool, typer.Option("--again", help="Even though this very root was revoked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Plan the publication of a sealed epoch's root, or with --apply send it by the publisher's key; twice is once."""
    from rewards.jobs.chain import choose_author, find_safe, lock_author, open_vault
    from rewards.jobs.publish import plan_publication, publish_epoch
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace

    settings = load_settings(data=data, deployment=deployment)
    workspace = Workspace(settings.data)
    with Stages(1, verbose=False) as stages:
        author, vault = choose_author(settings, "publisher", tell_owners), open_vault(settings)
        if plan:
            stages.report(f"ask every gate about epoch {epoch}")
            planned = plan_publication(workspace, epoch, vault, author.address, again)
        else:
            stages.report(f"publish epoch {epoch}, and wait until it is final")
            with lock_author(author, vault.chain_id):
                outcome = publish_epoch(workspace, epoch, vault, author, again)
    if plan:
        print_plan(planned, as_json)
    else:
        _print_chain_outcome(outcome, "published", find_safe(settings, "publisher"), as_json)


def resume(data: Data = None, deployment: Deployment = None, as_json: AsJson = False) -> None:
    """Finish every transaction that was signed here and is not final; without its key the same bytes are sent again."""
    from contextlib import ExitStack

    from rewards.jobs.chain import lock_author, open_configured, open_vault
    from rewards.jobs.resume import resume_all
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace

    settings = load_settings(data=data, deployment=deployment)
    with Stages(1, verbose=False) as stages, ExitStack() as held:
        signers, vault = open_configured(settings), open_vault(settings)
        stages.report("finish what was begun, and wait until it is final")
        for signer in signers.values():
            held.enter_context(lock_author(signer, vault.chain_id))
        done, refusal = _collect(resume_all(Workspace(settings.data), vault, signers))
    document = {"resumed": [_describe_resumed(one) for one in done]}
    if as_json and refusal is not None:
        raise Unfinished(refusal, document)
    if as_json:
        print_json(document)
        return
    lines = [f"{d.action} of epoch {d.epoch}: {_tell_resumed(d)}" for d in done]
    print_lines(lines or ([] if refusal else ["nothing was left unfinished"]))
    if refusal is not None:
        raise refusal


def _collect(resumed: "Iterator[Resumed]") -> "tuple[list[Resumed], RewardsError | None]":
    """All that was finished, and what stopped the rest."""
    done: list[Resumed] = []
    try:
        for one in resumed:
            done.append(one)
    except RewardsError as refusal:
        return done, refusal
    return done, None


def _describe_resumed(one: "Resumed") -> dict[str, Any]:
    known = {"action": one.action, "epoch": one.epoch, "signed": "0x" + one.transaction.hex()}
    return known | {"overtaken": one.overtaken, "sent": describe_receipt(one.receipt)}


def _tell_resumed(one: "Resumed") -> str:
    if one.overtaken is None:
        return _describe_deed(one.receipt)
    return f"{one.overtaken}; cancelled, {_describe_deed(one.receipt)}"


def attest(
    epoch: Epoch,
    inputs: Inputs = None,
    data: Data = None,
    genesis: Genesis = None,
    policies: Policies = None,
    deployment: Deployment = None,
    override: Overrides = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Recompute a published epoch from inputs of one's own and confirm it with the attester's key."""
    from rewards.jobs.attest import attest_epoch
    from rewards.jobs.chain import choose_author, find_safe, lock_author, open_vault
    from rewards.jobs.prepare import run_settings, share_before
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace

    overrides = parse_overrides(override)
    settings = load_settings(data=data, inputs=inputs, genesis=genesis, policies=policies, deployment=deployment)
    with Stages(1, verbose) as stages:
        author, vault = choose_author(settings, "attester", tell_owners), open_vault(settings)

        def report(stage: str) -> None:
            stages.report(stage, share_before(stage))

        with lock_author(author, vault.chain_id):
            bound = run_settings(settings, vault, overrides)
            outcome = attest_epoch(Workspace(settings.data), bound, epoch, vault, author, report)
    _print_chain_outcome(outcome, "attested", find_safe(settings, "attester"), as_json)


def _print_chain_outcome(outcome: "ChainOutcome", deed: str, safe: "Address | None", as_json: bool) -> None:
    from rewards.epoch import from_micros

    record, receipt = outcome.record, outcome.receipt
    activates = from_micros(record.activates_at * 1_000_000).isoformat()
    if as_json:
        known: dict[str, Any] = {"epoch": record.epoch, "state": record.status, "root": "0x" + record.root.hex()}
        known |= {"manifest": record.manifest_hash.hex(), "activates_at": activates}
        known |= {"attestations_missing": record.attestations_missing, "sent": describe_receipt(receipt)}
        known |= {"totals": state_amounts(provider=record.provider_total, user=record.user_total)}
        known |= {"findings": [describe_finding(f) for f in outcome.findings]}
        print_json(known)
        return
    missing = record.attestations_missing
    then = f"{missing} attestation(s) missing" if missing else f"claimable from {activates}"
    print_lines(
        [
            f"epoch {record.epoch} {deed}: root 0x{record.root.hex()}, {record.status}",
            f"  {_describe_deed(receipt, safe)}; {then}",
            *(f"  note: {finding_line(f)}" for f in outcome.findings),
        ]
    )


def _describe_deed(receipt: "Receipt | None", safe: "Address | None" = None) -> str:
    if receipt is None:
        return (
            "done before, nothing sent"
            if safe is None
            else f"nothing sent from here: the owners of the Safe {safe} send"
        )
    return f"transaction 0x{receipt.transaction.hex()}, block {receipt.block.number}"


def revoke(
    epoch: Epoch,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it goes on chain.", show_default=False)],
    data: Data = None,
    deployment: Deployment = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw a root that is not active yet, with the guardian's key."""
    from rewards.jobs.chain import choose_author, find_safe, lock_author, open_vault
    from rewards.jobs.revoke import revoke_epoch
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace

    settings = load_settings(data=data, deployment=deployment)
    with Stages(1, verbose=False) as stages:
        stages.report(f"revoke epoch {epoch}, and wait until it is final")
        author, vault = choose_author(settings, "guardian", tell_owners), open_vault(settings)
        with lock_author(author, vault.chain_id):
            receipt = revoke_epoch(Workspace(settings.data), epoch, reason, vault, author)
    if as_json:
        print_json({"epoch": epoch, "reason": reason, "sent": describe_receipt(receipt)})
    else:
        print_lines([f"epoch {epoch} revoked: {_describe_deed(receipt, find_safe(settings, 'guardian'))}"])


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


def reconcile(
    data: Data = None,
    deployment: Deployment = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Forget what was read of the chain, and read it anew.")
    ] = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Compare claims, pools, roots and transactions on the chain with what was sealed and signed here."""
    from rewards.jobs.chain import open_vault
    from rewards.jobs.reconcile import reconcile as compare
    from rewards.jobs.settings import load_settings
    from rewards.jobs.workspace import Workspace

    settings = load_settings(data=data, deployment=deployment)
    with Stages(1, verbose) as stages:
        vault = open_vault(settings)
        found = compare(Workspace(settings.data), vault, settings.log_range, from_start, stages.report)
    print_findings(found, as_json, "chain and bundles agree")
