"""The claim tree: claimables as leaves of OpenZeppelin's `standard-v1` tree, held and proved by a pymerkle tree.

Leaves and nodes are columns of bytes from the frame to the file: a million make no Python object each.

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

import io
import re
import struct
from binascii import hexlify, unhexlify
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pymerkle import BaseMerkleTree

from rewards.errors import InputError, LimitError, UsageError
from rewards.keccak import Bytes, hash_column, hash_few, hash_pairs
from rewards.units import MAX_AMOUNT, POOLS, ZERO_ROOT, is_usable, keccak

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LEAF_ENCODING = ("uint8", "address", "uint256")

_MAGIC, _VERSION = b"CXPTTREE", 1
_HEADER = struct.Struct(">8sII")
_RECORD = struct.Struct(">B20s12sI")
_NODE = 32
_KEY, _LEAF = 21, 33  # the first bytes of a record: pool and account; these and the amount
_STEP, _HASHED = 1 << 15, 1 << 17  # rows at a time, so that what is made of them on the way stays small
_READ_KEY, _READ_PAIR = struct.Struct(f"{_KEY}s").unpack_from, struct.Struct(f"{_NODE}s{_NODE}s").unpack_from
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
    """A pymerkle tree over ready digests, whose nodes hash their two sides in ascending order; it does not grow.

    All nodes lie in one (nodes, 32) array as `fill` leaves it. On a perfect tree the root and inclusion paths are
    OpenZeppelin's. An empty one has the zero root.
    """

    def __init__(self, nodes: Bytes, size: int) -> None:
        super().__init__("keccak_256", disable_security=True)
        self._levels: list[Bytes] = []
        while size:
            self._levels.append(nodes[:size])
            nodes, size = nodes[size:], size // 2

    @staticmethod
    def fill(nodes: Bytes, size: int) -> None:
        """Hash each level above the first `size` nodes into the rows after it, a whole level at once."""
        while size > 1:
            level, nodes, size = nodes[:size], nodes[size:], size // 2
            hash_pairs(level[: 2 * size], out=nodes[:size])

    def hash_empty(self) -> bytes:
        return ZERO_ROOT

    def hash_buff(self, data: bytes) -> bytes:
        return data

    def hash_pair(self, left: bytes, right: bytes) -> bytes:
        return hash_pair(left, right)

    def _encode_entry(self, data: bytes) -> bytes:
        return data

    def _store_leaf(self, data: bytes, digest: bytes) -> int:
        raise UsageError(f"the tree of {self._get_size()} digests is complete; build another")

    def _get_leaf(self, index: int) -> bytes:
        return self._get_subroot(index - 1, 1)

    def _get_leaves(self, offset: int, width: int) -> list[bytes]:
        return [self._get_subroot(position, 1) for position in range(offset, offset + width)]

    def _get_size(self) -> int:
        return len(self._levels[0]) if self._levels else 0

    def _get_subroot(self, offset: int, width: int) -> bytes:
        # pymerkle asks for aligned power-of-two ranges only: each is one stored node.
        node: bytes = self._levels[width.bit_length() - 1][offset // width].tobytes()
        return node


class Proofs(NamedTuple):
    """Proofs of consecutive rows of the leaf table: that of the i-th is `nodes[offsets[i] : offsets[i + 1]]`.

    `nodes` is (nodes, 32) bytes, siblings from the leaf up to below the root; `offsets` has one entry more than rows.
    """

    nodes: Bytes
    offsets: NDArray[np.int64]


class ClaimTree:
    """The leaves of one epoch and their tree. Made by `build` or `from_bytes`; immutable afterwards."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._table, self._nodes = _split(content)
        folded = _count_folded(len(self))
        self._perfect = LevelTree(self._nodes[folded:], len(self) - folded // 2)

    @classmethod
    def build(cls, claimables: pl.DataFrame) -> "ClaimTree":
        """The tree over `pool` (1 or 2), `account` (lower-case address), `cumulative_amount` (base units, below 2^96).

        Row order does not matter; other columns are ignored. No rows give no leaves and the zero root. Raises
        InputError naming the column or row that is wrong, LimitError for an amount that the Vault cannot store.
        """
        return cls._from_leaves(_encode_leaves(claimables))

    @classmethod
    def from_bytes(cls, buffer: "ReadableBuffer") -> "ClaimTree":
        """The tree that `to_bytes` wrote. Every node is hashed again; any byte that differs is an InputError."""
        with memoryview(buffer) as view:
            count = _read_count(view)
            leaves = _copy_leaves(view)
            if not _are_sound(leaves):
                for rank in range(count):
                    record = _read_record(view, rank)
                    _check_row(record.pool, record.address, record.amount)
            tree = cls._from_leaves(leaves)
            if tree._content != view:
                raise InputError(f"claim tree file: its {len(tree)} leaves give other nodes or order; build it again")
        return tree

    @classmethod
    def _from_leaves(cls, leaves: Bytes) -> "ClaimTree":
        order, same = _sort_rows(leaves)
        repeated = same[(leaves[order[same], :_KEY] == leaves[order[same + 1], :_KEY]).all(axis=1)]
        if len(repeated):
            pool, *account = leaves[order[repeated[0]], :_KEY].tolist()
            raise InputError(
                f"claimables: pool {pool}, account 0x{bytes(account).hex()} occurs twice; give one row each"
            )
        file = io.BytesIO(bytes(_measure(len(leaves))))  # written in place and given out as it is, not copied
        with file.getbuffer() as view:
            _write_leaves(view, leaves, order)
            del leaves, order  # before there is as much again in nodes
            _write_nodes(view)
        return cls(file.getvalue())

    @property
    def root(self) -> bytes:
        """32 bytes."""
        root: bytes = self._perfect.get_root()
        return root

    def __len__(self) -> int:
        """The number of leaves."""
        return len(self._table)

    def prove(self, pool: int, account: str) -> list[bytes]:
        """Siblings from the leaf up to below the root, 32 bytes each. Raises NotClaimable when the leaf is absent."""
        count = len(self)
        folded = _count_folded(count)
        with memoryview(self._content) as view:
            node = _find_record(view, count, pool, account).node
            if node >= folded:
                return self._prove_in_perfect(node - folded)
            return [_read_node(view, count, node ^ 1), *self._prove_in_perfect(count - folded + node // 2)]

    def prove_all(self) -> Iterator[Proofs]:
        """Every proof, in batches of consecutive leaves ascending by (pool, account), as `dump` and the file have them.

        Proofs of a million leaves take 640 MB together; a batch takes 21 MB.
        """
        count = len(self)
        deepest = (count - 1).bit_length()
        for start in range(0, count, _STEP):
            numbers = np.ascontiguousarray(self._table[start : start + _STEP, _LEAF:])
            node = numbers.view(">u4")[:, 0].astype(np.int64)
            siblings = np.empty((len(node), deepest), np.int64)
            for level in range(deepest):
                siblings[:, level] = node ^ 1
                node = count + node // 2
            inside = siblings < len(self._nodes)  # the root, which shorter proofs reach a level earlier, has none
            offsets = np.concatenate(([0], np.cumsum(np.count_nonzero(inside, axis=1))))
            yield Proofs(np.take(self._nodes, siblings[inside], axis=0), offsets)

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


def read_proof(buffer: "ReadableBuffer", pool: int, account: str, *, check: bool = True) -> tuple[int, list[bytes]]:
    """Cumulative amount (base units) and proof of one leaf, by a handful of reads from a `tree.bin`, mapped or not.

    Every node on the way to the file's root must be the hash of the two below it. That takes most of the time:
    `check=False` is for who goes on to `verify` the proof against a root from elsewhere. Raises NotClaimable for an
    absent leaf, InputError for a bad file.
    """
    way: list[bytes] = []
    proof: list[bytes] = []
    # No slice of the view outlives its block, so that a mapping can be closed while an error is on its way.
    with memoryview(buffer) as view:
        count = _read_count(view)
        record = _find_record(view, count, pool, account)
        start, node, last = _HEADER.size + count * _RECORD.size, record.node, 2 * count - 2
        while node < last:
            above = node // 2
            one, other = _READ_PAIR(view, start + 2 * _NODE * above)
            if node % 2:
                one, other = other, one
            way.append(one)
            proof.append(other)
            node = count + above
        way.append(_read_node(view, count, last))
    if check:
        below = [one + other if one < other else other + one for one, other in zip(way, proof, strict=False)]
        if b"".join(way) != _hash_words(pool, record.account, record.amount) + hash_few(below):
            raise InputError(
                f"claim tree file: pool {pool}, account {account} does not lead to its root; build it again"
            )
    return record.amount, proof


def _encode_leaves(claimables: pl.DataFrame) -> Bytes:
    """(n, 33) bytes, pool, account and amount of each row as a record begins, in the order of the frame."""
    columns = ("pool", "account", "cumulative_amount")
    for name in columns:
        if name not in claimables.columns:
            raise InputError(f"claimables: no column {name} among {claimables.columns}; give {', '.join(columns)}")
    leaves = np.empty((claimables.height, _LEAF), np.uint8)
    if claimables.is_empty():
        return leaves
    pool, account, amount = (claimables.schema[name] for name in columns)
    if not pool.is_integer() or account != pl.String or not (amount.is_integer() or amount == pl.Decimal(38)):
        raise InputError(
            f"claimables: columns of {pool}, {account}, {amount}; give an integer, String, integer or Decimal(38, 0)"
        )
    for start in range(0, len(leaves), _STEP):
        rows = claimables.select(columns).slice(start, _STEP)
        if not _encode_rows(rows, leaves[start : start + _STEP]):
            checked = [_check_row(*row) for row in rows.iter_rows()]  # names the row that is wrong
            packed = b"".join(pool.to_bytes() + account + amount.to_bytes(12) for pool, account, amount in checked)
            leaves[start : start + _STEP] = np.frombuffer(packed, np.uint8).reshape(-1, _LEAF)
    return leaves


def _encode_rows(rows: pl.DataFrame, leaves: Bytes) -> bool:
    """Write rows into `leaves`; False where one may not be sound."""
    rows = rows.select(
        pl.col("pool").cast(pl.UInt8, strict=False),
        # Null where it is not 42 bytes long.
        pl.col("account").cast(pl.Binary).bin.reinterpret(dtype=pl.Array(pl.UInt8, 42)),
        pl.col("cumulative_amount").cast(pl.Int128, strict=False),
    )
    if any(rows.null_count().row(0)) or not rows["cumulative_amount"].is_between(1, MAX_AMOUNT).all():
        return False
    text = rows["account"].to_numpy()
    digits = text[:, 2:].tobytes()
    try:
        accounts = unhexlify(digits)
    except ValueError:
        return False
    if hexlify(accounts) != digits or (text[:, :2] != tuple(b"0x")).any():
        return False
    word = 1 << 64
    amounts = rows.select(
        high=(pl.col("cumulative_amount") // word).cast(pl.UInt32),
        low=(pl.col("cumulative_amount") % word).cast(pl.UInt64),
    )
    leaves[:, 0] = rows["pool"].to_numpy()
    leaves[:, 1:_KEY] = np.frombuffer(accounts, np.uint8).reshape(-1, 20)
    leaves[:, _KEY : _KEY + 4] = _to_bytes(amounts["high"], ">u4")
    leaves[:, _KEY + 4 :] = _to_bytes(amounts["low"], ">u8")
    return _are_sound(leaves)


def _to_bytes(numbers: pl.Series, dtype: str) -> Bytes:
    return numbers.to_numpy().astype(dtype)[:, None].view(np.uint8)


def _are_sound(leaves: Bytes) -> bool:
    """Whether every leaf has a pool that pays, an account and an amount that are not zero."""
    pool, account, amount = leaves[:, 0], leaves[:, 1:_KEY], leaves[:, _KEY:]
    return bool(np.isin(pool, POOLS).all() and account.any(axis=1).all() and amount.any(axis=1).all())


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


def _sort_rows(rows: Bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order of (n, 8 or more) bytes, by their first eight and by all where these are alike; and the places in it
    whose first eight bytes are those of the next."""
    heads = rows[:, 7::-1].copy().view("<u8")[:, 0]
    order = np.argsort(heads)
    heads = heads[order]
    same = np.flatnonzero(heads[1:] == heads[:-1])
    tied = np.union1d(same, same + 1)
    whole = np.ascontiguousarray(rows[order[tied]]).view(f"S{rows.shape[1]}")[:, 0]
    order[tied] = order[tied][np.argsort(whole)]
    return order, same


def _write_leaves(view: memoryview, leaves: Bytes, order: NDArray[np.int64]) -> None:
    """Write header and leaf table, without the node numbers, into a file of the right size."""
    _HEADER.pack_into(view, 0, _MAGIC, _VERSION, len(leaves))
    table, _ = _split(view)
    for start in range(0, len(leaves), _STEP):
        table[start : start + _STEP, :_LEAF] = np.take(leaves, order[start : start + _STEP], axis=0)


def _write_nodes(view: memoryview) -> None:
    """Add nodes and node numbers to a file that has header and leaf table."""
    table, nodes = _split(view)
    count = len(table)
    # They lie in the last rows until they are sorted into the first; the one row in both is written last.
    hashes = nodes[len(nodes) - count :]
    for start in range(0, count, _HASHED):
        _hash_leaves(table[start : start + _HASHED], out=hashes[start : start + _HASHED])
    by_hash, _ = _sort_rows(hashes)
    for start in range(0, count, _STEP):
        ranks = by_hash[start : start + _STEP]
        nodes[start : start + len(ranks)] = np.take(hashes, ranks, axis=0)
    numbers = np.empty((count, 1), ">u4")
    numbers[by_hash, 0] = np.arange(count)
    table[:, _LEAF:] = numbers.view(np.uint8)

    folded = _count_folded(count)
    hash_pairs(nodes[:folded], out=nodes[count : count + folded // 2])
    LevelTree.fill(nodes[folded:], count - folded // 2)


def _hash_leaves(table: Bytes, out: Bytes) -> None:
    """keccak256(keccak256(abi.encode(pool, account, amount))) of rows of the leaf table."""
    words = np.zeros((len(table), 96), np.uint8)
    words[:, 31], words[:, 44:64], words[:, 84:] = table[:, 0], table[:, 1:_KEY], table[:, _KEY:_LEAF]
    hash_column(hash_column(words), out)


def _split(buffer: bytes | memoryview) -> tuple[Bytes, Bytes]:
    """The leaf table, (n, 37) bytes, and the nodes, (2n - 1, 32) bytes, of a file with header, where they lie."""
    _, _, count = _HEADER.unpack_from(buffer)
    content = np.frombuffer(buffer, np.uint8)
    start = _HEADER.size + count * _RECORD.size
    return content[_HEADER.size : start].reshape(count, _RECORD.size), content[start:].reshape(-1, _NODE)


def _copy_leaves(view: memoryview) -> Bytes:
    """(n, 33) bytes: what nothing holds on to when the file is closed."""
    return _split(view)[0][:, :_LEAF].copy()


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
    if len(view) != (length := _measure(count)):
        raise InputError(f"claim tree file of {len(view)} bytes: {count} leaves need {length}; build it again")
    return int(count)


def _measure(count: int) -> int:
    """Bytes of a `tree.bin` of so many leaves."""
    return _HEADER.size + count * _RECORD.size + max(2 * count - 1, 0) * _NODE


def _read_record(view: memoryview, rank: int) -> Record:
    pool, account, amount, node = _RECORD.unpack_from(view, _HEADER.size + rank * _RECORD.size)
    return Record(pool, account, int.from_bytes(amount), node)


def _read_node(view: memoryview, count: int, node: int) -> bytes:
    start = _HEADER.size + count * _RECORD.size + node * _NODE
    return bytes(view[start : start + _NODE])


def _find_record(view: memoryview, count: int, pool: int, account: str) -> Record:
    digits = _parse_account(account)
    if pool in POOLS:
        rank = _find_rank(view, count, bytes((pool,)) + digits)
        if rank < count and (record := _read_record(view, rank))[:2] == (pool, digits):
            return record
    raise NotClaimable(f"no claimable for pool {pool}, account {account}; check the pool, the account and the epoch")


def _find_rank(view: memoryview, count: int, key: bytes) -> int:
    """Where the record with this key is if there is one. Addresses lie as if at random, so that it can be guessed."""
    number = int.from_bytes(key)
    low, high, below, above = 0, count, POOLS[0] << 160, POOLS[-1] + 1 << 160
    step = 0
    while low < high:
        # Uneven tables mislead guesses: every fourth step halves what is left.
        guess = low + (high - low) * (number - below) // (above - below)
        rank = (low + high) // 2 if step % 4 == 3 else guess
        step += 1
        found = _read_key(view, rank)
        if found == key:
            return rank
        if found < key:
            low, below = rank + 1, int.from_bytes(found)
        else:
            high, above = rank, int.from_bytes(found)
    return low


def _read_key(view: memoryview, rank: int) -> bytes:
    found: bytes
    (found,) = _READ_KEY(view, _HEADER.size + rank * _RECORD.size)
    return found
