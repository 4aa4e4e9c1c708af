"""Withdraw a root that is not active yet."""

from rewards.chain.vault import Vault
from rewards.errors import ChainError
from rewards.jobs.before_sending import identify_publication
from rewards.jobs.intents import LedgerIntents
from rewards.jobs.proposal import Author, bring_about
from rewards.jobs.workspace import Workspace
from rewards.ledger.intents import Intents
from rewards.ports import Receipt


def revoke_epoch(workspace: Workspace, number: int, reason: str, vault: Vault, author: Author) -> Receipt | None:
    """Withdraw a pending root with the guardian's key; a revocation that was begun before is finished, not doubled.
    Null when it had been revoked before. Raises ChainError when there is nothing to revoke, or as the sender does."""
    with workspace.locked():
        record = vault.root_at(number)
        if record is None:
            raise ChainError(f"the Vault has no root of epoch {number}; there is nothing to revoke")
        asked = identify_publication(vault, record)
        if record.status == "pending":  # else nothing is there to be hit
            _require_no_other(workspace, vault, number, author, asked)

        def is_done(block: int | None) -> bool:  # also where another root stands since, which nobody asked to revoke
            found = vault.root_at(number, block)
            return found is not None and (
                found.status == "revoked" or identify_publication(vault, found, block) != asked
            )

        def confirm() -> None:
            if is_done(None):
                raise ChainError(
                    f"epoch {number}: the root that was to be revoked is gone; nothing was sent again: see `rewards status`"
                )

        store = LedgerIntents(workspace, number, "revoke", record.manifest_hash.hex(), asked)
        intent = vault.intend_revocation(number, reason)
        receipt = bring_about(workspace, vault, author, intent, store, is_done, lambda: None, confirm)
        if workspace.has_catalogue():
            workspace.refresh_catalogue(workspace.find_published(vault))
        return receipt


def _require_no_other(workspace: Workspace, vault: Vault, number: int, author: Author, asked: bytes) -> None:
    """Raises ChainError while a revocation of another root of the epoch is unfinished: its bytes name no root, and sent
    again they would hit this one."""
    for stored in Intents(workspace.ledger).open(vault.chain_id, author.address):
        if (stored.action, stored.epoch) == ("revoke", number) and stored.publication != asked.hex():
            raise ChainError(
                f"epoch {number} has another root than when its revocation was begun, which was for manifest "
                f"{stored.manifest}; run `rewards resume` first, look at the root that is there now, and only then revoke it"
            )


def is_revoked(vault: Vault, number: int, block: int | None = None) -> bool:
    """Whether an epoch's newest publication was revoked, now or after a block."""
    record = vault.root_at(number, block)
    return record is not None and record.status == "revoked"
