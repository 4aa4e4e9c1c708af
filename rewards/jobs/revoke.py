"""Withdraw a root that is not active yet."""

from rewards.chain.vault import Vault
from rewards.errors import ChainError
from rewards.jobs.intents import LedgerIntents
from rewards.jobs.proposal import Author, bring_about
from rewards.jobs.workspace import Workspace
from rewards.ports import Receipt


def revoke_epoch(workspace: Workspace, number: int, reason: str, vault: Vault, author: Author) -> Receipt | None:
    """Withdraw a pending root with the guardian's key; a revocation that was begun before is finished, not doubled.
    Null when it had been revoked before. Raises ChainError when there is nothing to revoke, or as the sender does."""
    with workspace.locked():
        record = vault.root_at(number)
        if record is None:
            raise ChainError(f"the Vault has no root of epoch {number}; there is nothing to revoke")
        store = LedgerIntents(workspace, number, "revoke", record.manifest_hash.hex())
        intent = vault.intend_revocation(number, reason)
        for _ in range(2):  # what was begun may have revoked a publication before this one: the calls are the same
            receipt = bring_about(
                vault, author, intent, store, lambda block: is_revoked(vault, number, block), lambda: None
            )
            if is_revoked(vault, number):
                if workspace.has_catalogue():
                    workspace.refresh_catalogue(workspace.find_published(vault))
                return receipt
    raise ChainError(f"the revocation of epoch {number} was sent, yet a root of it is live; run the command again")


def is_revoked(vault: Vault, number: int, block: int | None = None) -> bool:
    """Whether an epoch's newest publication was revoked, now or after a block."""
    record = vault.root_at(number, block)
    return record is not None and record.status == "revoked"
