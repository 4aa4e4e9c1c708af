"""The ledger as the place where the sender keeps what it signed."""

from collections.abc import Sequence

from rewards.chain.intent import Outcome, SignedIntent
from rewards.errors import Finding
from rewards.jobs.workspace import Workspace, now
from rewards.ledger.intents import Intents, StoredIntent
from rewards.units import Address


class LedgerIntents:
    """`rewards.chain.intent.IntentStore` over a ledger, for one action on one publication: what is kept here is of that
    one; what is open may be of others."""

    def __init__(self, workspace: Workspace, epoch: int, action: str, manifest: str) -> None:
        self._workspace = workspace
        self._intents = Intents(workspace.ledger)
        self._epoch, self._action, self._manifest = epoch, action, manifest

    def open(self, chain_id: int, sender: Address) -> Sequence[SignedIntent]:
        return [SignedIntent.from_json(stored.record) for stored in self._intents.open(chain_id, sender)]

    def keep(self, signed: SignedIntent) -> None:
        stored = StoredIntent(
            signed.transaction.hex(),
            self._epoch,
            self._action,
            self._manifest,
            signed.chain_id,
            signed.sender,
            signed.nonce,
            signed.to_json(),
        )
        self._intents.keep(stored, now())

    def settle(self, transaction: bytes, outcome: Outcome, block: int | None) -> None:
        self._intents.settle(transaction.hex(), outcome, block, now())
        if outcome == "dead":
            message = "a signed transaction can never be mined: its nonce went to one that was not signed here"
            finding = Finding("intent", message, f"0x{transaction.hex()}", f"another, by block {block}", refuses=False)
            self._workspace.ledger.record_findings(self._epoch, "resume", [finding], now())
