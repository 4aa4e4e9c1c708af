"""The append-only log of publications: an RFC 9162 tree with SHA-256, its checkpoints and its proofs.

An entry is the 192 bytes whose Keccak-256 is the Vault's own publication hash: epoch, root, manifest hash, provider
total, user total and the revocations before it, each a big-endian word of 32 bytes. There is one for each
`RootPublished` in the order of the chain, revoked ones included, so that anybody can make the log from events.

Checkpoints are the text of a C2SP tlog-checkpoint without signatures: the chain speaks for them.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pymerkle import InmemoryTree

from rewards.errors import Disagreement, Finding, UsageError
from rewards.ports import Publication
from rewards.units import Address

ENTRY_SIZE = 192
_WORD, _NODE = 32, 32
_CHECKPOINT = re.compile(
    rb"(eip155:[1-9][0-9]*:0x[0-9a-f]{40}/publications)\n([1-9][0-9]{0,17})\n([A-Za-z0-9+/]{43}=)\n"
)


def encode_entry(publication: Publication) -> bytes:
    """The 192 bytes of an entry, `abi.encode` of its six fields."""
    one = publication
    numbers = (one.provider_total, one.user_total, one.revocations)
    return one.epoch.to_bytes(_WORD) + one.root + one.manifest_hash + b"".join(n.to_bytes(_WORD) for n in numbers)


def decode_entry(entry: bytes) -> Publication:
    """What 192 bytes say; every such entry says something."""
    epoch, root, manifest_hash, *numbers = (entry[i : i + _WORD] for i in range(0, ENTRY_SIZE, _WORD))
    provider_total, user_total, revocations = map(int.from_bytes, numbers)
    return Publication(int.from_bytes(epoch), root, manifest_hash, provider_total, user_total, revocations)


def split_entries(log: bytes) -> list[bytes]:
    """The whole entries of a log; what is left of one that was cut is left out."""
    return [log[i : i + ENTRY_SIZE] for i in range(0, len(log) - ENTRY_SIZE + 1, ENTRY_SIZE)]


def describe_publication(publication: Publication) -> str:
    """A publication on one line, every field."""
    one = publication
    return (
        f"epoch {one.epoch}, root 0x{one.root.hex()}, manifest {one.manifest_hash.hex()}, "
        f"totals {one.provider_total} and {one.user_total}, after {one.revocations} revocation(s)"
    )


def name_origin(chain_id: int, vault: Address) -> str:
    """Which log this is: the Vault as CAIP-10 names it, and what of it is logged."""
    return f"eip155:{chain_id}:{vault}/publications"


def hash_leaf(entry: bytes) -> bytes:
    """SHA-256 of a zero byte and the entry (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def _hash_pair(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Checkpoint:
    """What a log of a size comes to; `root` is 32 bytes."""

    origin: str
    size: int
    root: bytes

    def to_text(self) -> str:
        """Three lines: origin, size, root in Base64."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def read_checkpoint(text: bytes) -> Checkpoint | None:
    """The checkpoint of a text; null when it is not the text of one."""
    match = _CHECKPOINT.fullmatch(text)
    return Checkpoint(match[1].decode(), int(match[2]), base64.b64decode(match[3])) if match else None


class _EntryTree(InmemoryTree):  # type: ignore[misc]
    """A pymerkle tree that also tells the root over a range of leaves, of which RFC 9162 makes its proofs."""

    def hash_range(self, start: int, end: int) -> bytes:
        digest: bytes = self._get_root(start, end)
        return digest


class History:
    """Publications in the order of the chain and the tree over their entries; held in memory, immutable.

    Leaves count from zero, sizes from one. Paths are those of RFC 9162: nodes of 32 bytes, the deepest first.
    """

    def __init__(self, origin: str, publications: Sequence[Publication]) -> None:
        self.origin = origin
        self.publications = tuple(publications)
        self.entries = tuple(map(encode_entry, self.publications))
        self._tree = _EntryTree.init_from_entries(self.entries)

    def __len__(self) -> int:
        return len(self.publications)

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        """The checkpoint of the first `size` entries, or of all; UsageError when there are not as many."""
        size = len(self) if size is None else size
        self._require_size(size)
        return Checkpoint(self.origin, size, self._tree.get_root(size))

    def prove_inclusion(self, index: int, size: int) -> list[bytes]:
        """Siblings of a leaf in the tree of a size (RFC 9162, 2.1.3.1); UsageError when it is not in there."""
        self._require_size(size)
        if not 0 <= index < size:
            raise UsageError(f"no entry {index} among the first {size}; give 0 to {size - 1}")
        path: list[bytes] = self._tree.prove_inclusion(index + 1, size).path
        return path[1:]  # pymerkle's begins with the leaf

    def prove_consistency(self, first: int, second: int) -> list[bytes]:
        """Nodes that lead to the roots of both sizes (RFC 9162, 2.1.4.1); UsageError unless 1 ≤ first ≤ second.

        pymerkle's own consistency proofs have other nodes where `first` fills a left side.
        """
        self._require_size(second)
        if not 1 <= first <= second:
            raise UsageError(f"no checkpoint of size {first} up to {second}; give 1 to {second}")
        start, old, width = 0, first, second
        path = []
        while old != width:
            half = 1 << (width - 1).bit_length() - 1  # the largest power of two below width
            if old <= half:
                path.append(self._tree.hash_range(start + half, start + width))
                width = half
            else:
                path.append(self._tree.hash_range(start, start + half))
                start, old, width = start + half, old - half, width - half
        if start:
            path.append(self._tree.hash_range(start, start + width))
        return path[::-1]

    def require_continued(self, kept: Checkpoint) -> None:
        """Raises Disagreement unless this log begins with the one of a checkpoint that somebody kept."""
        own = self.checkpoint(kept.size) if kept.size <= len(self) else self.checkpoint()
        if own != kept:
            raise Disagreement(
                f"the checkpoint that was kept says {_tell(kept.to_text().encode())}, the history has "
                f"{_tell(own.to_text().encode())}: it does not continue what was seen then; see docs/runbook.md#history"
            )

    def prove(self, index: int, size: int, since: int | None = None) -> dict[str, Any]:
        """A document for strangers: entry, checkpoint, inclusion, and consistency with the checkpoint of size `since`.

        Raises UsageError as the proofs do, and Disagreement rather than hand out what does not verify.
        """
        inclusion, checkpoint = self.prove_inclusion(index, size), self.checkpoint(size)
        leaf = hash_leaf(self.entries[index])
        sound = verify_inclusion(leaf, index, size, inclusion, checkpoint.root)
        consistency = None
        if since is not None:
            path, old = self.prove_consistency(since, size), self.checkpoint(since).root
            sound = sound and verify_consistency(since, size, path, old, checkpoint.root)
            consistency = {"since": since, "root": _hex(old), "path": [_hex(node) for node in path]}
        if not sound:
            raise Disagreement(f"the proof of entry {index} in size {size} does not verify; report this fault")
        return {
            "origin": self.origin,
            "publication": publication_to_json(self.publications[index]),
            "entry": _hex(self.entries[index]),
            "leaf": _hex(leaf),
            "index": index,
            "size": size,
            "root": _hex(checkpoint.root),
            "checkpoint": checkpoint.to_text(),
            "inclusion": [_hex(node) for node in inclusion],
            "consistency": consistency,
        }

    def prove_growth(self, size: int) -> bytes:
        """The proof file of a size: its last entry is in it, and it continues the size before."""
        document = self.prove(size - 1, size, since=size - 1 or None)
        return (json.dumps(document, indent=2) + "\n").encode()

    def _require_size(self, size: int) -> None:
        if not 1 <= size <= len(self):
            raise UsageError(f"the history has {len(self)} entries, none of size {size}; give 1 to {len(self)}")


def publication_to_json(publication: Publication) -> dict[str, Any]:
    """A publication for JSON; totals are decimal strings."""
    return {
        "epoch": publication.epoch,
        "root": _hex(publication.root),
        "manifest": publication.manifest_hash.hex(),
        "provider_total": str(publication.provider_total),
        "user_total": str(publication.user_total),
        "revocations": publication.revocations,
    }


def _hex(content: bytes) -> str:
    return "0x" + content.hex()


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether a leaf hash stands at `index` of the tree of this size and root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size or not _are_nodes(leaf, *path):
        return False
    place, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = _hash_pair(sibling, node)
            place, last = _climb(place, last, until=1)
        else:
            node = _hash_pair(node, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and node == root


def verify_consistency(first: int, second: int, path: Sequence[bytes], first_root: bytes, second_root: bytes) -> bool:
    """Whether the tree of size and root `second` begins with the one of `first` (RFC 9162, 2.1.4.2)."""
    if not 1 <= first <= second or not _are_nodes(first_root, *path):
        return False
    if first == second:
        return not path and first_root == second_root
    nodes = [first_root, *path] if first & (first - 1) == 0 else list(path)
    place, last = _climb(first - 1, second - 1, until=0)
    if not nodes:
        return False
    old = new = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = _hash_pair(sibling, old), _hash_pair(sibling, new)
            place, last = _climb(place, last, until=1)
        else:
            new = _hash_pair(new, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and (old, new) == (first_root, second_root)


def _climb(place: int, last: int, until: int) -> tuple[int, int]:
    """Both a level up and again until the lowest bit of `place` is `until`, or `place` is zero."""
    while place and place & 1 != until:
        place, last = place >> 1, last >> 1
    return place, last


def _are_nodes(*hashes: bytes) -> bool:
    return all(len(node) == _NODE for node in hashes)


@dataclass(frozen=True)
class StoredHistory:
    """The files of a history as they were read; checkpoints and proofs by size."""

    log: bytes = b""
    checkpoints: Mapping[int, bytes] = field(default_factory=dict)
    proofs: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The size of the newest checkpoint, 0 without one."""
        return max(self.checkpoints, default=0)

    @property
    def origin(self) -> str:
        """What the newest checkpoint names; empty when there is none, or none that can be read."""
        newest = read_checkpoint(self.checkpoints.get(self.size, b""))
        return newest.origin if newest else ""


def find_damage(stored: StoredHistory, origin: str) -> list[Finding]:
    """Where the files contradict each other: every checkpoint is of the first entries and of this origin, every proof
    is theirs, none is missing. Entries beyond the newest checkpoint are a writing that was not finished."""
    findings = []
    entries, newest = split_entries(stored.log), stored.size
    history = History(origin, [decode_entry(entry) for entry in entries])
    if len(stored.log) % ENTRY_SIZE:
        whole = f"a multiple of {ENTRY_SIZE} bytes"
        findings.append(Finding("history", "the log ends within an entry", whole, f"{len(stored.log)} bytes"))
    if newest > len(entries):
        expected, observed = f"{newest} entries or more", f"{len(entries)}"
        findings.append(Finding("history", "the log has fewer entries than a checkpoint", expected, observed))
    made = {size: history.checkpoint(size).to_text().encode() for size in range(1, min(newest, len(entries)) + 1)}
    findings += _compare_files("checkpoint", made, stored.checkpoints)
    proofs = {size: content for size, content in stored.proofs.items() if size <= newest}
    return findings + _compare_files("proof", {size: history.prove_growth(size) for size in made}, proofs)


def find_settled(stored: StoredHistory, origin: str) -> Mapping[int, Publication]:
    """The publication of each epoch that a later epoch's followed: active for good, since the Vault takes no root while
    one is pending. Empty where the files are damaged or of another Vault."""
    if find_damage(stored, origin):
        return {}
    logged = [decode_entry(entry) for entry in split_entries(stored.log)[: stored.size]]
    return {one.epoch: one for one, after in pairwise(logged) if after.epoch > one.epoch}


def _compare_files(kind: str, made: Mapping[int, bytes], stored: Mapping[int, bytes]) -> list[Finding]:
    """What is wrong with the smallest size whose file is missing or another one, and with how many it is so."""
    wrong = [size for size in sorted(made) if stored.get(size) != made[size]]
    if not wrong:
        return []
    size = wrong[0]
    message = f"{len(wrong)} {kind}(s) are not of these entries, the first of size {size}"
    observed = _tell(stored[size]) if size in stored else "none"
    return [Finding("history", message, _tell(made[size]), observed)]


def _tell(content: bytes) -> str:
    """A checkpoint by its lines; what is longer by its digest."""
    if len(content) <= ENTRY_SIZE:
        return " ".join(content.decode(errors="replace").split())
    return f"SHA-256 {hashlib.sha256(content).hexdigest()}"
