"""What the ledger must hold: every signed transaction before it is sent, and of each what the chain made of it."""

from itertools import groupby, pairwise

from rewards.chain.intent import SignedIntent
from rewards.ledger.intents import Intents, StoredIntent
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.faults.call import Call
from tests.faults.faults import SEND, Fault
from tests.faults.pool import may_replace
from tests.faults.transactions import Transaction, decode_transaction
from tests.faults.vault_model import CanonicalChain
from tests.faults.world import World


class LedgerModel:
    """Follows the table of one world. `seen`: every row as it was last, by its transaction's hash, oldest first."""

    def __init__(self, world: World, chain: CanonicalChain) -> None:
        self._world, self._chain = world, chain
        self.seen: dict[str, StoredIntent] = {}
        self._violations: list[str] = []

    def watch(self) -> None:
        """Looks at everything that is sent before the node does; until the proxy is healed."""
        self._world.proxy.inject(Fault("watch", SEND, self._on_send), times=1 << 30)

    def compare(self, cap: int) -> None:
        """Asserts what must hold of the table now; what was signed since the last time pays at most `cap`."""
        assert not self._violations, self._violations
        rows = {row.hash: row for row in self._read()}
        assert list(rows)[: len(self.seen)] == list(self.seen), "rows are gone from the ledger, or their order changed"
        for name, row in rows.items():
            before = self.seen.get(name)
            if before is None:
                assert _decode(row).max_fee <= cap, f"{name} pays {_decode(row).max_fee}, above the cap of {cap}"
            elif before != row:
                assert before.outcome is None, f"the ledger tells another end of {name}: {before} became {row}"
        self.seen = rows
        self._compare_versions()
        for row in rows.values():
            if row.outcome is not None:
                self._compare_outcome(row)

    @property
    def open(self) -> list[StoredIntent]:
        return [row for row in self.seen.values() if row.outcome is None]

    @property
    def publications(self) -> set[bytes]:
        """The calls of everything that was signed to publish."""
        return {_decode(row).data for row in self.seen.values() if row.action == "publish"}

    def _on_send(self, call: Call) -> None:
        """In the proxy's thread, where nothing can be raised."""
        sent = decode_transaction(call.params[0])
        kept = {"0x" + row.hash: _decode(row) for row in self._read()}
        if sent.hash not in kept or kept[sent.hash].raw != sent.raw:
            self._violations.append(f"{sent.hash} was sent before the ledger held it")
        count = int(call.node.ask("eth_getTransactionCount", sent.sender, "latest"), 16)
        if sent.nonce > count:
            self._violations.append(f"{sent.hash} was sent at nonce {sent.nonce}, and {count} is the next one")

    def _compare_versions(self) -> None:
        """At one nonce there is one transaction after the other, each dearer by the rule of geth."""
        by_nonce = sorted(map(_decode, self.seen.values()), key=lambda sent: sent.key)
        for (sender, nonce), versions in groupby(by_nonce, key=lambda sent: sent.key):
            for older, newer in pairwise(versions):
                # Another purpose need not outbid what no node has; where one has it, the proxy asks for the tenth itself.
                assert older.data != newer.data or may_replace(older, newer), (
                    f"nonce {nonce} of {sender}: {newer} does not replace {older}"
                )

    def _compare_outcome(self, row: StoredIntent) -> None:
        """What was written down as final is so, as of a block that is final."""
        found = self._chain.find(row.sender, row.nonce)
        assert found is not None, f"{row} is settled, and nothing took its nonce"
        height, mined = found
        assert height.number <= self._chain.final.number, (
            f"{row} is settled by block {height.number}, which is not final"
        )
        ours = mined.hash == "0x" + row.hash
        told = {
            "succeeded": ours and mined.succeeded and row.block == height.number,
            "failed": ours and (not mined.succeeded or mined.hash in self.lied_about) and row.block == height.number,
            "replaced": not ours and mined.hash[2:] in self.seen and row.block == height.number,
            "dead": not ours and mined.hash[2:] not in self.seen and (row.block or 0) >= height.number,
        }
        assert told[str(row.outcome)], f"{row} is not what block {height.number} says: {mined}"

    @property
    def lied_about(self) -> set[str]:
        """Transactions of which the node said once that they failed, whatever they did."""
        return {seen.params[0] for seen in self._world.proxy.seen if "failed receipt" in (seen.fault or "")}

    def _read(self) -> list[StoredIntent]:
        return Intents(self._world.workspace().ledger).all(ANVIL_CHAIN_ID)


def _decode(row: StoredIntent) -> Transaction:
    return decode_transaction("0x" + SignedIntent.from_json(row.record).raw.hex())
