"""The ledger as the place where the sender keeps what it signed."""

from collections.abc import Mapping, Sequence

from rewards.chain.intent import Outcome, SignedIntent
from rewards.errors import ChainError, Finding
from rewards.jobs.workspace import Workspace, now
from rewards.ledger.intents import Intents, StoredIntent
from rewards.units import Address


class LedgerIntents:
    """`rewards.chain.intent.IntentStore` over a ledger, for one action on one publication: what is kept here is of that
    one; what is open may be of others."""

    def __init__(self, workspace: Workspace, epoch: int, action: str, manifest: str, publication: bytes) -> None:
        self._workspace = workspace
        self._intents = Intents(workspace.ledger)
        self._epoch, self._action, self._manifest, self._publication = epoch, action, manifest, publication

    def open(self, chain_id: int, sender: Address) -> Sequence[SignedIntent]:
        return [read_signed(stored) for stored in self._intents.open(chain_id, sender)]

    def keep(self, signed: SignedIntent) -> None:
        stored = StoredIntent(
            signed.transaction.hex(),
            self._epoch,
            self._action,
            self._manifest,
            self._publication.hex(),
            signed.chain_id,
            signed.sender,
            signed.nonce,
            signed.to_json(),
        )
        self._intents.keep(stored, now())

    def settle(self, outcomes: Mapping[bytes, Outcome], block: int) -> None:
        self._intents.settle({hash_.hex(): outcome for hash_, outcome in outcomes.items()}, block, now())
        message = "a signed transaction can never be mined: its nonce went to one that was not signed here"
        dead = [
            Finding("intent", message, f"0x{hash_.hex()}", f"another, by block {block}", refuses=False)
            for hash_, outcome in outcomes.items()
            if outcome == "dead"
        ]
        if dead:
            self._workspace.ledger.record_findings(self._epoch, "resume", dead, now())


def read_signed(stored: StoredIntent) -> SignedIntent:
    """What a row holds; ChainError where its columns, or its record, are not what the signed bytes say."""
    signed = SignedIntent.from_json(stored.record)
    said = (stored.hash, stored.chain_id, stored.sender, stored.nonce)
    found = (signed.transaction.hex(), signed.chain_id, signed.sender, signed.nonce)
    if said != found:
        raise ChainError(
            f"the ledger has a transaction {', '.join(map(str, said))} (hash, chain, sender, nonce), its signed bytes are "
            f"{', '.join(map(str, found))}; it must not be sent, find out who wrote it"
        )
    return signed
