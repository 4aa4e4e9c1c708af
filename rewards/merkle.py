"""The claim tree: claimables as leaves of OpenZeppelin's `standard-v1` tree, held and proved by a pymerkle tree.

With n leaves in ascending order of their hashes, number the 2n − 1 nodes so that leaves come first and each pair's hash
is appended in turn: node j has the sibling `j ^ 1` and the parent `n + j // 2`, and the root is the last. This is
OpenZeppelin's array read backwards. Its last 2h − 1 nodes, h the largest power of two ≤ n, are a perfect tree, which is
where pymerkle agrees with OpenZeppelin; the 2(n − h) nodes before it are leaves folded into pairs.

`tree.bin`, all integers big-endian:

    offset            bytes
    0                 8          magic `CXPTTREE`
    8                 4          version, 1
    12                4          n, the number of leaves
    16                37 n       leaves, ascending by (pool, account):
                                 pool 1 · account 20 · cumulative amount 12 · node number 4
    16 + 37 n         32 (2n−1)  nodes in the order above (none when n is 0)
"""

import re
import struct
from bisect import bisect_left
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
from pymerkle import BaseMerkleTree

from rewards.errors import InputError, LimitError, UsageError
from rewards.units import MAX_AMOUNT, POOLS, ZERO_ROOT, is_usable, keccak

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LEAF_ENCODING = ("uint8", "address", "uint256")

_MAGIC, _VERSION = b"CXPTTREE", 1
_HEADER = struct.Struct(">8sII")
_RECORD = struct.Struct(">B20s12sI")
_NODE = 32
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


class NotClaimable(UsageError, LookupError):
    """The tree has no leaf for this pool and account."""


class Record(NamedTuple):
    """One row of the leaf table; `node` is the leaf's node number, its rank among the leaf hashes."""

    pool: int
    account: bytes
    amount: int
    node: int

    @property
    def address(self) -> str:
        return "0x" + self.account.hex()


def hash_pair(one: bytes, other: bytes) -> bytes:
    """Keccak-256 of two nodes in ascending order."""
    return keccak(one + other if one < other else other + one)


def hash_leaf(pool: int, account: str, cumulative_amount: int) -> bytes:
    """keccak256(keccak256(abi.encode(uint8, address, uint256))); UsageError when a value does not fit its type."""
    if not 0 <= pool < 2**8 or not 0 <= cumulative_amount < 2**256:
        raise UsageError(f"not a leaf: pool {pool}, amount {cumulative_amount}; give a uint8 and a uint256")
    return _hash_words(pool, _parse_account(account), cumulative_amount)


class LevelTree(BaseMerkleTree):  # type: ignore[misc]
    """A pymerkle tree over ready digests, whose nodes hash their two sides in ascending order; every level is kept.

    On a perfect tree its root and inclusion paths are OpenZeppelin's. An empty one has the zero root.
    """

    def __init__(self, digests: Iterable[bytes] = ()) -> None:
        super().__init__("keccak_256", disable_security=True)
        self._levels: list[bytearray] = []
        self.append_entries(digests)

    def to_bytes(self) -> bytes:
        """All nodes, 32 bytes each: the digests in order, then each level above, the root last."""
        return b"".join(self._levels)

    def hash_empty(self) -> bytes:
        return ZERO_ROOT

    def hash_buff(self, data: bytes) -> bytes:
        return data

    def hash_pair(self, left: bytes, right: bytes) -> bytes:
        return hash_pair(left, right)

    def _encode_entry(self, data: bytes) -> bytes:
        return data

    def _store_leaf(self, data: bytes, digest: bytes) -> int:
        for level in self._levels:
            level.extend(digest)
            if len(level) % (2 * _NODE):
                return self._get_size()
            digest = hash_pair(bytes(level[-2 * _NODE : -_NODE]), bytes(level[-_NODE:]))
        self._levels.append(bytearray(digest))
        return self._get_size()

    def _get_leaf(self, index: int) -> bytes:
        return self._get_subroot(index - 1, 1)

    def _get_leaves(self, offset: int, width: int) -> list[bytes]:
        return [self._get_subroot(position, 1) for position in range(offset, offset + width)]

    def _get_size(self) -> int:
        return len(self._levels[0]) // _NODE if self._levels else 0

    def _get_subroot(self, offset: int, width: int) -> bytes:
        # pymerkle asks for aligned power-of-two ranges only: each is one stored node.
        start = offset // width * _NODE
        return bytes(self._levels[width.bit_length() - 1][start : start + _NODE])


class ClaimTree:
    """The leaves of one epoch and their tree. Made by `build` or `from_bytes`; immutable afterwards."""

    def __init__(self, content: bytes, perfect: LevelTree) -> None:
        self._content = content
        self._perfect = perfect

    @classmethod
    def build(cls, claimables: pl.DataFrame) -> "ClaimTree":
        """The tree over `pool` (1 or 2), `account` (lower-case address), `cumulative_amount` (base units, below 2^96).

        Row order does not matter; other columns are ignored. No rows give no leaves and the zero root. Raises
        InputError naming the column or row that is wrong, LimitError for an amount that the Vault cannot store.
        """
        return cls._from_rows(_read_rows(claimables))

    @classmethod
    def from_bytes(cls, buffer: "ReadableBuffer") -> "ClaimTree":
        """The tree that `to_bytes` wrote. Every node is hashed again; any byte that differs is an InputError."""
        with memoryview(buffer) as view:
            records = [_read_record(view, rank) for rank in range(_read_count(view))]
            tree = cls._from_rows((r.pool, r.address, r.amount) for r in records)
            if tree._content != view:
                raise InputError(f"claim tree file: its {len(tree)} leaves give other nodes or order; build it again")
        return tree

    @classmethod
    def _from_rows(cls, rows: Iterable[tuple[object, object, object]]) -> "ClaimTree":
        leaves = sorted(_check_row(*row) for row in rows)
        for (pool, account, _), following in pairwise(leaves):
            if (pool, account) == following[:2]:
                raise InputError(f"claimables: pool {pool}, account 0x{account.hex()} occurs twice; give one row each")
        hashes = [_hash_words(*leaf) for leaf in leaves]
        by_hash = sorted(range(len(leaves)), key=hashes.__getitem__)
        nodes = {rank: node for node, rank in enumerate(by_hash)}
        table = (_RECORD.pack(p, a, m.to_bytes(12), nodes[rank]) for rank, (p, a, m) in enumerate(leaves))

        ordered = [hashes[rank] for rank in by_hash]
        folded = ordered[: _count_folded(len(ordered))]
        pairs = [hash_pair(folded[i], folded[i + 1]) for i in range(0, len(folded), 2)]
        perfect = LevelTree(ordered[len(folded) :] + pairs)
        header = _HEADER.pack(_MAGIC, _VERSION, len(leaves))
        return cls(b"".join((header, *table, *folded, perfect.to_bytes())), perfect)

    @property
    def root(self) -> bytes:
        """32 bytes."""
        root: bytes = self._perfect.get_root()
        return root

    def __len__(self) -> int:
        """The number of leaves."""
        _, _, count = _HEADER.unpack_from(self._content)
        return int(count)

    def prove(self, pool: int, account: str) -> list[bytes]:
        """Siblings from the leaf up to below the root, 32 bytes each. Raises NotClaimable when the leaf is absent."""
        count = len(self)
        folded = _count_folded(count)
        with memoryview(self._content) as view:
            node = _find_record(view, count, pool, account).node
            if node >= folded:
                return self._prove_in_perfect(node - folded)
            return [_read_node(view, count, node ^ 1), *self._prove_in_perfect(count - folded + node // 2)]

    def _prove_in_perfect(self, position: int) -> list[bytes]:
        path: list[bytes] = self._perfect.prove_inclusion(position + 1).path
        return path[1:]  # pymerkle's path begins with the entry itself

    @staticmethod
    def verify(root: bytes, pool: int, account: str, cumulative_amount: int, proof: Iterable[bytes]) -> bool:
        """Whether the proof leads from this leaf to `root`, as the Vault computes it.

        Raises UsageError when the leaf cannot be encoded: a pool, address or amount out of its type's range.
        """
        node = hash_leaf(pool, account, cumulative_amount)
        for sibling in proof:
            if len(sibling) != _NODE:
                return False
            node = hash_pair(node, sibling)
        return node == root

    def dump(self) -> dict[str, Any]:
        """OpenZeppelin's `standard-v1` dump, values in ascending order of (pool, account); ready for JSON."""
        count = len(self)
        last = 2 * count - 2
        with memoryview(self._content) as view:
            records = [_read_record(view, rank) for rank in range(count)]
            nodes = ["0x" + _read_node(view, count, node).hex() for node in range(last, -1, -1)]
        return {
            "format": "standard-v1",
            "leafEncoding": list(LEAF_ENCODING),
            "tree": nodes,
            "values": [{"value": [str(r.pool), r.address, str(r.amount)], "treeIndex": last - r.node} for r in records],
        }

    def to_bytes(self) -> bytes:
        """`tree.bin` as the module describes it; equal leaves give equal bytes."""
        return self._content


def read_proof(buffer: "ReadableBuffer", pool: int, account: str) -> tuple[int, list[bytes]]:
    """Cumulative amount (base units) and proof of one leaf, by a handful of reads from a `tree.bin`, mapped or not.

    The proof is checked against the file's own root. Raises NotClaimable for an absent leaf, InputError for a bad file.
    """
    # No slice of the view outlives its block, so that a mapping can be closed while an error is on its way.
    with memoryview(buffer) as view:
        count = _read_count(view)
        record = _find_record(view, count, pool, account)
        node, last, proof = record.node, 2 * count - 2, []
        while node < last:
            proof.append(_read_node(view, count, node ^ 1))
            node = count + node // 2
        root = _read_node(view, count, last)
    if not ClaimTree.verify(root, pool, account, record.amount, proof):
        raise InputError(f"claim tree file: pool {pool}, account {account} does not lead to its root; build it again")
    return record.amount, proof


def _read_rows(claimables: pl.DataFrame) -> Iterable[tuple[object, object, object]]:
    columns = ("pool", "account", "cumulative_amount")
    for name in columns:
        if name not in claimables.columns:
            raise InputError(f"claimables: no column {name} among {claimables.columns}; give {', '.join(columns)}")
    if claimables.is_empty():
        return []
    pool, account, amount = (claimables.schema[name] for name in columns)
    if not pool.is_integer() or account != pl.String or not (amount.is_integer() or amount == pl.Decimal(38, 0)):
        raise InputError(
            f"claimables: columns of {pool}, {account}, {amount}; give an integer, String, integer or Decimal(38, 0)"
        )
    return claimables.select(columns).iter_rows()


def _check_row(pool: object, account: object, amount: object) -> tuple[int, bytes, int]:
    """One claimable as (pool, 20 bytes, base units)."""
    row = f"claimables: pool {pool}, account {account!r}, amount {amount}"
    if not isinstance(pool, int) or pool not in POOLS:
        raise InputError(f"{row}: no such pool; give 1 (provider) or 2 (user)")
    if not isinstance(account, str) or not is_usable(account) or account != account.lower():
        raise InputError(f"{row}: not a usable lower-case address; give 0x and 40 hex digits, not all zero")
    if not isinstance(amount, int | Decimal) or amount <= 0:
        raise InputError(f"{row}: only positive amounts become leaves; leave the row out or correct it")
    if amount > MAX_AMOUNT:
        raise LimitError(f"{row}: above 2^96 - 1, the most that the Vault stores; correct the row")
    return pool, bytes.fromhex(account[2:]), int(amount)


def _parse_account(account: str) -> bytes:
    if not _ADDRESS.fullmatch(account):
        raise UsageError(f"not a lower-case address: {account!r}; give 0x and 40 hex digits")
    return bytes.fromhex(account[2:])


def _hash_words(pool: int, account: bytes, amount: int) -> bytes:
    return keccak(keccak(pool.to_bytes(32) + bytes(12) + account + amount.to_bytes(32)))


def _count_folded(leaves: int) -> int:
    """How many of the first leaves pair up so that a power of two of nodes is left."""
    return 2 * (leaves - (1 << leaves.bit_length() - 1)) if leaves else 0


def _read_count(view: memoryview) -> int:
    """Leaf count of a whole `tree.bin`; InputError when magic, version or length are not its own."""
    if len(view) < _HEADER.size:
        raise InputError(f"claim tree file of {len(view)} bytes: shorter than its header; build it again")
    magic, version, count = _HEADER.unpack_from(view)
    if (magic, version) != (_MAGIC, _VERSION):
        raise InputError(
            f"claim tree file: begins with {magic!r}, version {version}; give a version {_VERSION} tree.bin"
        )
    length = _HEADER.size + count * _RECORD.size + max(2 * count - 1, 0) * _NODE
    if len(view) != length:
        raise InputError(f"claim tree file of {len(view)} bytes: {count} leaves need {length}; build it again")
    return int(count)


def _read_record(view: memoryview, rank: int) -> Record:
    pool, account, amount, node = _RECORD.unpack_from(view, _HEADER.size + rank * _RECORD.size)
    return Record(pool, account, int.from_bytes(amount), node)


def _read_node(view: memoryview, count: int, node: int) -> bytes:
    start = _HEADER.size + count * _RECORD.size + node * _NODE
    return bytes(view[start : start + _NODE])


def _find_record(view: memoryview, count: int, pool: int, account: str) -> Record:
    key = (pool, _parse_account(account))
    rank = bisect_left(range(count), key, key=lambda rank: _read_record(view, rank)[:2])
    if rank < count and (record := _read_record(view, rank))[:2] == key:
        return record
    raise NotClaimable(f"no claimable for pool {pool}, account {account}; check the pool, the account and the epoch")
