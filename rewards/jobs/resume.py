"""Finish what was signed and is not settled, by whatever command it was begun."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rewards.chain.intent import Intent, SignedIntent
from rewards.chain.signers import Signer
from rewards.chain.vault import Vault
from rewards.errors import NotSigned, refuse
from rewards.jobs.attest import is_attested
from rewards.jobs.before_sending import find_objections
from rewards.jobs.history import extend_history
from rewards.jobs.intents import LedgerIntents
from rewards.jobs.publish import find_published
from rewards.jobs.revoke import is_revoked
from rewards.jobs.workspace import Workspace
from rewards.ledger.intents import Intents, StoredIntent
from rewards.ports import Receipt
from rewards.units import Address


@dataclass(frozen=True)
class Resumed:
    """An unfinished action and what it came to: `receipt` is null where it had been done otherwise; `overtaken` says
    why it is left alone."""

    action: str
    epoch: int
    transaction: bytes
    receipt: Receipt | None
    overtaken: str | None = None


class AbsentSigner:
    """An account whose key is not here: what it signed before can be sent again, and not replaced."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def sign_transaction(self, _: Mapping[str, Any]) -> bytes:
        raise NotSigned(f"no key of {self.address} is configured here; set it and run again if the fees stay above it")


def resume_all(workspace: Workspace, vault: Vault, signers: Mapping[Address, Signer]) -> Iterator[Resumed]:
    """Finish every transaction that was signed here and is not settled, one sender after another. Without the key of a
    sender among `signers` the same bytes are sent again, and nothing is replaced.

    Raises GateRefused, ChainError or Disagreement; what is left stays as it was.
    """
    with workspace.locked():
        for sender in dict.fromkeys(stored.sender for stored in Intents(workspace.ledger).open(vault.chain_id)):
            newest = Intents(workspace.ledger).open(vault.chain_id, sender)[-1]
            address = Address(sender)
            yield _resume(workspace, vault, newest, signers.get(address) or AbsentSigner(address))
        extend_history(workspace, vault)
        if workspace.has_catalogue():
            workspace.refresh_catalogue(workspace.find_published(vault))


def _resume(workspace: Workspace, vault: Vault, stored: StoredIntent, signer: Signer) -> Resumed:
    signed = SignedIntent.from_json(stored.record)
    store = LedgerIntents(workspace, stored.epoch, stored.action, stored.manifest)
    wanted = _Wanted(workspace, vault, stored, signed)
    try:
        receipt = vault.sender.execute(
            Intent(signed.purpose, *signed.call), signer, store, wanted.is_done, wanted.check
        )
    except _Overtaken as overtaken:
        return Resumed(stored.action, stored.epoch, signed.transaction, None, str(overtaken))
    return Resumed(stored.action, stored.epoch, signed.transaction, receipt)


class _Overtaken(Exception):
    """What was signed is no longer to happen; it may only be replaced by the next transaction of its sender."""


@dataclass(frozen=True)
class _Wanted:
    """What an unfinished transaction was to bring about, and whether it still should."""

    workspace: Workspace
    vault: Vault
    stored: StoredIntent
    signed: SignedIntent

    def is_done(self, block: int | None) -> bool:
        return self._actions[self.stored.action][0](block)

    def check(self) -> None:
        self._actions[self.stored.action][1]()

    @property
    def _actions(self) -> Mapping[str, tuple[Callable[[int | None], bool], Callable[[], None]]]:
        return {
            "publish": (self._is_published, self._check_publication),
            "attest": (self._is_attested, self._require_root),
            "revoke": (lambda block: is_revoked(self.vault, self.stored.epoch, block), self._require_root),
        }

    def _is_published(self, block: int | None) -> bool:
        store = self.workspace.store
        if not store.has(self.stored.epoch):
            return False
        return find_published(self.vault, store.read(self.stored.epoch).manifest, block) is not None

    def _check_publication(self) -> None:
        """The gates again: the chain and the disk may have changed since it was signed."""
        store, number = self.workspace.store, self.stored.epoch
        bundle = store.read(number) if store.has(number) else None
        if bundle is None or bundle.manifest.digest != self.stored.manifest:
            raise _Overtaken(
                f"epoch {number} was computed again since; `rewards publish {number} --apply` sends the new root"
            )
        refuse(
            f"publishing epoch {number}", find_objections(self.workspace, bundle, self.vault, self.signed.sender, False)
        )

    def _is_attested(self, block: int | None) -> bool:
        publication = self.signed.call[1][-32:]
        manifest = bytes.fromhex(self.stored.manifest)
        return is_attested(self.vault, self.stored.epoch, manifest, publication, self.signed.sender, block)

    def _require_root(self) -> None:
        """The root that it was signed for is still the pending one: a revocation names none, and must hit no other."""
        record = self.vault.root_at(self.stored.epoch)
        if record is None or record.status != "pending":
            state = "none" if record is None else record.status
            raise _Overtaken(f"epoch {self.stored.epoch} has no pending root any more (state: {state})")
        if record.manifest_hash.hex() != self.stored.manifest:
            raise _Overtaken(
                f"epoch {self.stored.epoch} has another pending root since, of manifest {record.manifest_hash.hex()}"
            )
