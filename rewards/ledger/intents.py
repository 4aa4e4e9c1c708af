"""Signed transactions of the pipeline, kept before they are sent, with what became of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rewards.ledger.store import Ledger

_COLUMNS = "hash, epoch, action, manifest, publication, chain_id, sender, nonce, record, outcome, block"


@dataclass(frozen=True)
class StoredIntent:
    """A signed transaction: `action` (publish, attest, revoke, cancel) on a publication, told by the digest `manifest` and
    by the Vault's hash of it, `publication`, both in hex; `record` is the sender's own text; `outcome` (succeeded, failed,
    replaced, dead) is null until a final block, `block`, decided."""

    hash: str
    epoch: int
    action: str
    manifest: str
    publication: str
    chain_id: int
    sender: str
    nonce: int
    record: str
    outcome: str | None = None
    block: int | None = None


class Intents:
    """The table of transactions in a ledger. Raises StorageError when the file cannot be used."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def keep(self, intent: StoredIntent, now: datetime) -> None:
        """Remember a signed transaction before it is sent; the same one again is nothing."""
        with self._ledger.transaction() as connection:
            connection.execute(
                "INSERT INTO transactions SELECT coalesce(max(number), 0) + 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL "
                "FROM transactions ON CONFLICT DO NOTHING",
                [intent.hash, intent.epoch, intent.action, intent.manifest, intent.publication, str(intent.chain_id),
                 intent.sender, intent.nonce, intent.record, now],
            )  # fmt: skip

    def settle(self, outcomes: Mapping[str, str], block: int, now: datetime) -> None:
        """Remember what became of transactions, by hash, as of the final block that decided: all of them or none."""
        with self._ledger.transaction() as connection:
            for hash_, outcome in outcomes.items():
                connection.execute(
                    "UPDATE transactions SET outcome = ?, settled_at = ?, block = ? WHERE hash = ?",
                    [outcome, now, block, hash_],
                )

    def of_epoch(self, epoch: int, action: str, chain_id: int) -> list[StoredIntent]:
        """What was signed for one action on one epoch, oldest first."""
        return self._select("epoch = ? AND action = ? AND chain_id = ?", [epoch, action, str(chain_id)])

    def open(self, chain_id: int, sender: str | None = None) -> list[StoredIntent]:
        """What is not settled, of one sender or of all, oldest first."""
        whose = ("", []) if sender is None else (" AND sender = ?", [sender])
        return self._select(f"outcome IS NULL AND chain_id = ?{whose[0]}", [str(chain_id), *whose[1]])

    def of_nonce(self, chain_id: int, sender: str, nonce: int) -> list[StoredIntent]:
        """What a sender signed with one nonce, oldest first."""
        return self._select("chain_id = ? AND sender = ? AND nonce = ?", [str(chain_id), sender, nonce])

    def all(self, chain_id: int) -> list[StoredIntent]:
        """Every transaction that was ever signed here, oldest first."""
        return self._select("chain_id = ?", [str(chain_id)])

    def _select(self, condition: str, values: list[object]) -> list[StoredIntent]:
        if not self._ledger.exists():
            return []
        with self._ledger.reading() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM transactions WHERE {condition} ORDER BY number", values
            ).fetchall()
        return [StoredIntent(*r[:5], int(r[5]), *r[6:]) for r in rows]  # type: ignore[call-arg]
