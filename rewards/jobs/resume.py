"""Finish what was signed and is not settled, by whatever command it was begun."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rewards.chain.intent import Intent, SignedIntent
from rewards.chain.signers import Signer
from rewards.chain.vault import Vault, encode_beginnings
from rewards.errors import ChainError, Disagreement, GateRefused, NotSigned, RewardsError, refuse
from rewards.jobs.attest import is_attested
from rewards.jobs.before_sending import find_objections, identify_publication
from rewards.jobs.history import extend_history
from rewards.jobs.intents import LedgerIntents, read_signed
from rewards.jobs.publish import find_published, intend_publication
from rewards.jobs.revoke import is_revoked
from rewards.jobs.workspace import Workspace
from rewards.ledger.intents import Intents, StoredIntent
from rewards.ports import Receipt
from rewards.units import Address

REFUSALS = (GateRefused, ChainError, Disagreement)
"""What stops one sender and not the others."""


@dataclass(frozen=True)
class Resumed:
    """An unfinished action and what it came to: `receipt` is null where it had been done otherwise; `overtaken` says
    why it is not to happen any more, and then the receipt is that of its cancellation."""

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
    sender among `signers` the same bytes are sent again, and nothing is replaced. What is no longer to happen is cancelled
    by its key: an empty transfer to oneself takes its nonce.

    Raises GateRefused, ChainError or Disagreement, of the first kind that came, naming all of them, once every sender had
    its turn and the history its own; what is left stays as it was.
    """
    refusals: list[RewardsError] = []
    with workspace.locked():
        for sender in dict.fromkeys(stored.sender for stored in Intents(workspace.ledger).open(vault.chain_id)):
            newest = Intents(workspace.ledger).open(vault.chain_id, sender)[-1]
            address = Address(sender)
            try:
                yield _resume(workspace, vault, newest, signers.get(address) or AbsentSigner(address))
            except REFUSALS as refusal:
                refusals.append(refusal)
        try:
            extend_history(workspace, vault)
            if workspace.has_catalogue():
                workspace.refresh_catalogue(workspace.find_published(vault))
        except REFUSALS as refusal:
            refusals.append(refusal)
    if len(refusals) == 1:
        raise refusals[0]
    if refusals:
        raise type(refusals[0])("; and ".join(map(str, refusals)))


def _resume(workspace: Workspace, vault: Vault, stored: StoredIntent, signer: Signer) -> Resumed:
    signed = read_signed(stored)
    _require_own_call(vault, stored, signed)
    publication = bytes.fromhex(stored.publication)
    store = LedgerIntents(workspace, stored.epoch, stored.action, stored.manifest, publication)
    wanted = _Wanted(workspace, vault, stored, signed)
    intent = Intent(signed.purpose, *signed.call)
    try:
        receipt = vault.sender.execute(intent, signer, store, wanted.is_done, wanted.check, wanted.confirm)
    except _Overtaken as overtaken:
        if isinstance(signer, AbsentSigner):
            raise NotSigned(
                f"{stored.action} of epoch {stored.epoch}: {overtaken}; what was signed may still be mined: set the key of "
                f"{signer.address} and run `rewards resume` again, which cancels it"
            ) from None
        cancelled = _cancel(workspace, vault, stored, signer)
        return Resumed(stored.action, stored.epoch, signed.transaction, cancelled, str(overtaken))
    return Resumed(stored.action, stored.epoch, signed.transaction, receipt)


def _require_own_call(vault: Vault, stored: StoredIntent, signed: SignedIntent) -> None:
    """Raises ChainError unless the bytes do what their row says: what is signed anew is what they call."""
    to, data = signed.call
    if stored.action == "cancel":
        is_own = (to, data) == (signed.sender, b"")
    else:
        is_own = to == vault.address and data[:36] == encode_beginnings(stored.epoch).get(stored.action)
    if not is_own:
        raise ChainError(
            f"the ledger has a transaction 0x{stored.hash} for {stored.action} of epoch {stored.epoch}, and it calls {to} with "
            f"0x{data[:36].hex()}: it is not resumed, find out who signed and who stored it"
        )


def _cancel(workspace: Workspace, vault: Vault, stored: StoredIntent, signer: Signer) -> Receipt | None:
    """Takes the nonce of what is no longer to happen, so that no node can mine it later; null when it is taken already.
    Raises NotSigned where the key is not here."""
    store = LedgerIntents(workspace, stored.epoch, "cancel", stored.manifest, bytes.fromhex(stored.publication))
    intent = Intent(f"cancellation of the {stored.action} of epoch {stored.epoch}", signer.address, b"")

    def is_done(block: int | None) -> bool:
        count = vault.chain.count_transactions(signer.address, "latest" if block is None else block)
        return count > stored.nonce

    return vault.sender.execute(intent, signer, store, is_done, lambda: None)


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

    def confirm(self) -> None:
        """Before each sending, also after a reorganisation: only a revocation could hit another root by then."""
        if self.stored.action == "revoke":
            self._require_root()

    @property
    def _actions(self) -> Mapping[str, tuple[Callable[[int | None], bool], Callable[[], None]]]:
        return {
            "publish": (self._is_published, self._check_publication),
            "attest": (self._is_attested, self._require_root),
            "revoke": (self._is_revoked, self._require_root),
            "cancel": (self._is_nonce_taken, lambda: None),
        }

    def _is_nonce_taken(self, block: int | None) -> bool:
        chain = self.vault.chain
        return chain.count_transactions(self.signed.sender, "latest" if block is None else block) > self.signed.nonce

    def _is_revoked(self, block: int | None) -> bool:
        """Also where this very revocation is final and another root was published since."""
        intents, signed = Intents(self.workspace.ledger), self.signed
        ended = {one.outcome for one in intents.of_nonce(signed.chain_id, signed.sender, signed.nonce)}
        return "succeeded" in ended or is_revoked(self.vault, self.stored.epoch, block)

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
        if intend_publication(self.vault, bundle.manifest).data != self.signed.call[1]:
            raise _Overtaken(f"a root was revoked since; `rewards publish {number} --apply` asks the gates anew")
        # That it may be sent although it was revoked once was said when it was signed.
        findings = find_objections(self.workspace, bundle, self.vault, self.signed.sender, again=True)
        refuse(f"publishing epoch {number}", findings)

    @property
    def _publication(self) -> bytes:
        """What it was signed for: an attestation says so itself, a revocation does not."""
        return self.signed.call[1][-32:] if self.stored.action == "attest" else bytes.fromhex(self.stored.publication)

    def _is_attested(self, block: int | None) -> bool:
        return is_attested(self.vault, self.stored.epoch, self._publication, self.signed.sender, block)

    def _require_root(self) -> None:
        """The root that it was signed for is still the pending one: a revocation names none, and must hit no other."""
        record = self.vault.root_at(self.stored.epoch)
        if record is None or record.status != "pending":
            state = "none" if record is None else record.status
            raise _Overtaken(f"epoch {self.stored.epoch} has no pending root any more (state: {state})")
        if identify_publication(self.vault, record) != self._publication:
            raise _Overtaken(
                f"epoch {self.stored.epoch} has another pending root since, of manifest {record.manifest_hash.hex()}"
            )
