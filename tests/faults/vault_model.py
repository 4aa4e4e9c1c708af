"""What the Vault must be after every block, worked out in plain Python from the transactions of the blocks alone.

Nothing here asks the Vault anything or uses the code that the pipeline asks it with; `ask_vault` does ask, past the proxy
and by hand, so that a test compares the two.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from eth_abi import decode, encode
from eth_utils import keccak

from tests.faults.node import Node
from tests.faults.world import ATTESTER, EPOCHS, GUARDIAN, PUBLISHER, SECOND_ATTESTER

FINALITY = 2
"""How many blocks below the head anvil's final one is."""
ACTIVATION_S, AFTER_ATTESTATION_S, PAUSE_S, PAUSE_INTERVAL_S = 3600, 3600, 14 * 86_400, 44 * 86_400
NONE, PENDING, ACTIVE, REVOKED = range(4)
ATTESTERS = (ATTESTER.address, SECOND_ATTESTER.address)

_PUBLICATION = ("uint256", "bytes32", "uint256", "uint256", "bytes32", "uint256")


def select(signature: str) -> bytes:
    """The four bytes that a call of a function begins with."""
    return keccak(text=signature)[:4]


PUBLISH = select(f"publishRoot({','.join(_PUBLICATION)})")


@dataclass(frozen=True)
class Root:
    """A publication as it stands; `entry` is what its hash is of: the six words that attesters confirm."""

    root: bytes
    manifest: bytes
    totals: tuple[int, int]
    activates_at: int
    entry: bytes
    missing: int = 1
    revoked: bool = False


@dataclass(frozen=True)
class VaultState:
    """The Vault after a block. `entries`: every publication so far, in the words of the history."""

    time: int = 0
    next_epoch: int = 0
    revocations: int = 0
    paused_until: int = 0
    pause_began: int = 0
    roots: Mapping[int, Root] = field(default_factory=dict)
    attested: frozenset[tuple[bytes, str]] = frozenset()
    entries: tuple[bytes, ...] = ()

    def status(self, epoch: int) -> int:
        root = self.roots.get(epoch)
        if root is None:
            return NONE
        if root.revoked:
            return REVOKED
        return ACTIVE if root.missing == 0 and self.time >= root.activates_at else PENDING

    @property
    def pending(self) -> int | None:
        newest = self.next_epoch - 1
        return newest if newest >= 0 and self.status(newest) != ACTIVE else None

    @property
    def paused(self) -> bool:
        return self.time < self.paused_until

    def is_live(self, epoch: int) -> bool:
        return self.status(epoch) in (PENDING, ACTIVE)

    def apply(self, sender: str, data: bytes) -> "VaultState | None":
        """The state after a call; None where it reverts."""
        move = _MOVES.get(data[:4])
        return None if move is None else move(self, sender, data[4:])

    def answers(self) -> dict[str, Any]:
        """What the Vault must say when it is asked, as `ask_vault` gives it."""
        pending, newest = self.pending, self.next_epoch - 1
        active = newest if pending is None else newest - 1
        said: dict[str, Any] = {
            "nextEpoch": (self.next_epoch,),
            "revocations": (self.revocations,),
            "pendingRoot": (pending is not None, pending or 0),
            "latestActiveEpoch": (active >= 0, max(active, 0)),
            "publishingPausedUntil": (self.paused_until,),
        }
        for epoch in EPOCHS:
            root = self.roots.get(epoch) or Root(bytes(32), bytes(32), (0, 0), 0, b"", missing=0)
            told = (root.root, root.manifest, *root.totals, root.activates_at, root.missing, self.status(epoch))
            said[f"rootAt {epoch}"] = (told,)
            for attester in ATTESTERS if root.entry else ():
                said[f"hasAttested {epoch} {attester}"] = ((keccak(root.entry), attester) in self.attested,)
        return said


# What a call does; None where it reverts.


def _publish(state: VaultState, sender: str, words: bytes) -> VaultState | None:
    epoch, root, provider_total, user_total, manifest, revocations = decode(_PUBLICATION, words)
    if sender != PUBLISHER.address or state.paused or state.pending is not None:
        return None
    if (epoch, revocations) != (state.next_epoch, state.revocations):
        return None
    entry = encode(
        ("uint256", "bytes32", "bytes32", "uint256", "uint256", "uint256"),
        (epoch, root, manifest, provider_total, user_total, revocations),
    )
    new = Root(root, manifest, (provider_total, user_total), state.time + ACTIVATION_S, entry)
    return replace(
        state, next_epoch=epoch + 1, roots={**state.roots, epoch: new}, entries=(*state.entries, entry)
    )  # fmt: skip


def _attest(state: VaultState, sender: str, words: bytes) -> VaultState | None:
    epoch, publication = decode(("uint256", "bytes32"), words)
    if sender not in ATTESTERS or state.paused or epoch != state.pending:
        return None
    root = state.roots[epoch]
    if publication != keccak(root.entry) or root.missing == 0:
        return None
    confirmed = replace(root, missing=0, activates_at=max(root.activates_at, state.time + AFTER_ATTESTATION_S))
    return replace(
        state, roots={**state.roots, epoch: confirmed}, attested=state.attested | {(publication, sender)}
    )  # fmt: skip


def _revoke(state: VaultState, sender: str, words: bytes) -> VaultState | None:
    epoch, _ = decode(("uint256", "string"), words)
    if sender != GUARDIAN.address or epoch != state.pending:
        return None
    revoked = replace(state.roots[epoch], revoked=True)
    return replace(
        state, next_epoch=epoch, revocations=state.revocations + 1, roots={**state.roots, epoch: revoked}
    )  # fmt: skip


def _pause(state: VaultState, sender: str, _: bytes) -> VaultState | None:
    too_soon = state.pause_began and state.time < state.pause_began + PAUSE_INTERVAL_S
    if sender != GUARDIAN.address or too_soon:
        return None
    return replace(state, paused_until=state.time + PAUSE_S, pause_began=state.time)


def _resume(state: VaultState, sender: str, _: bytes) -> VaultState | None:
    return replace(state, paused_until=0) if sender == GUARDIAN.address and state.paused else None


_MOVES: Mapping[bytes, Callable[[VaultState, str, bytes], VaultState | None]] = {
    PUBLISH: _publish,
    select("attestRoot(uint256,bytes32)"): _attest,
    select("revokeRoot(uint256,string)"): _revoke,
    select("pausePublishing()"): _pause,
    select("resumePublishing()"): _resume,
}


# The blocks.


@dataclass(frozen=True)
class Mined:
    """A transaction in a block, and whether it succeeded, as the model says."""

    hash: str
    sender: str
    nonce: int
    data: bytes
    succeeded: bool


@dataclass(frozen=True)
class Height:
    """A block of the canonical chain, and the Vault after it."""

    number: int
    hash: str
    state: VaultState
    mined: tuple[Mined, ...] = ()


class CanonicalChain:
    """The blocks from `first` on, which nothing may take back; goes back with the chain where that goes back."""

    def __init__(self, node: Node, vault: str, first: int) -> None:
        self._node, self._vault = node, vault
        block = node.block(first)
        self._heights = [Height(first, block["hash"], VaultState(int(block["timestamp"], 16)))]
        self.floor = first
        """The newest block that was final at some time and has a transaction: no honest chain takes it back."""
        self.follow()

    @property
    def head(self) -> Height:
        return self._heights[-1]

    @property
    def final(self) -> Height:
        return self.at(self.head.number - FINALITY)

    def at(self, number: int) -> Height:
        return self._heights[max(0, number - self._heights[0].number)]

    def find(self, sender: str, nonce: int) -> tuple[Height, Mined] | None:
        """Where a nonce was taken, and by what."""
        for height in reversed(self._heights):
            for mined in height.mined:
                if (mined.sender, mined.nonce) == (sender, nonce):
                    return height, mined
        return None

    def follow(self) -> None:
        """Takes over what the node calls its chain now. Raises AssertionError where a transaction came to something else
        than it must, or where a block is gone that was final and not empty."""
        head = self._node.head()
        while self.head.number > head or self._node.hash_at(self.head.number) != self.head.hash:
            gone = self._heights.pop()
            assert gone.number > self.floor, f"block {gone.number} was final and is gone; the test went too deep"
        for number in range(self.head.number + 1, head + 1):
            self._heights.append(self._read(number))
        used = [height.number for height in self._heights if height.mined and height.number <= self.final.number]
        self.floor = max(self.floor, *used[-1:]) if used else self.floor

    def _read(self, number: int) -> Height:
        block = self._node.block(number, full=True)
        assert block["parentHash"] == self.head.hash
        state = replace(self.head.state, time=int(block["timestamp"], 16))
        mined = []
        for found in block["transactions"]:
            data, sender = bytes.fromhex(found["input"][2:]), found["from"].lower()
            elsewhere = (found["to"] or "").lower() != self._vault  # an empty transfer, as a cancellation is
            after = state if elsewhere else state.apply(sender, data)
            receipt = self._node.ask("eth_getTransactionReceipt", found["hash"])
            assert (receipt["status"] == "0x1") == (after is not None), (
                f"{found['hash']} in block {number} has status {receipt['status']}, of which the model says {after}"
            )
            state = after or state
            mined.append(Mined(found["hash"], sender, int(found["nonce"], 16), data, after is not None))
        return Height(number, block["hash"], state, tuple(mined))


# The Vault's own words.

_ROOT = "(bytes32,bytes32,uint256,uint256,uint256,uint8,uint8)"


def ask_vault(node: Node, vault: str, number: int, state: VaultState) -> dict[str, Any]:
    """What the Vault on the chain says after a block, of all that `state` has an answer to."""
    return {name: _call(node, vault, number, *question) for name, question in _list_questions(state)}


def _list_questions(state: VaultState) -> Iterator[tuple[str, tuple[str, bytes, tuple[str, ...]]]]:
    for name in ("nextEpoch", "revocations", "publishingPausedUntil"):
        yield name, (f"{name}()", b"", ("uint256",))
    for name in ("pendingRoot", "latestActiveEpoch"):
        yield name, (f"{name}()", b"", ("bool", "uint256"))
    for epoch in EPOCHS:
        yield f"rootAt {epoch}", ("rootAt(uint256)", encode(("uint256",), (epoch,)), (_ROOT,))
        root = state.roots.get(epoch)
        for attester in ATTESTERS if root else ():
            asked = encode(("bytes32", "address"), (keccak(root.entry), attester)) if root else b""
            yield f"hasAttested {epoch} {attester}", ("hasAttested(bytes32,address)", asked, ("bool",))


def _call(node: Node, vault: str, number: int, signature: str, asked: bytes, types: tuple[str, ...]) -> tuple[Any, ...]:
    answer = node.ask("eth_call", {"to": vault, "data": "0x" + (select(signature) + asked).hex()}, hex(number))
    return tuple(decode(types, bytes.fromhex(answer[2:])))


def succeeds(node: Node, sender: str, vault: str, data: bytes) -> bool:
    """Whether a call would go through now."""
    return "error" not in node._rpc.call(
        "eth_call", [{"from": sender, "to": vault, "data": "0x" + data.hex()}, "latest"]
    )
