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
        asked = record.manifest_hash

        def is_done(block: int | None) -> bool:  # also where another root stands since, which nobody asked to revoke
            found = vault.root_at(number, block)
            return found is not None and (found.status == "revoked" or found.manifest_hash != asked)

        store = LedgerIntents(workspace, number, "revoke", asked.hex())
        intent = vault.intend_revocation(number, reason)
        receipt = bring_about(workspace, vault, author, intent, store, is_done, lambda: None)
        if workspace.has_catalogue():
            workspace.refresh_catalogue(workspace.find_published(vault))
        return receipt


def is_revoked(vault: Vault, number: int, block: int | None = None) -> bool:
    """Whether an epoch's newest publication was revoked, now or after a block."""
    record = vault.root_at(number, block)
    return record is not None and record.status == "revoked"
