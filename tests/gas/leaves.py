"""100,000 leaves: who earns what in a night, as the Vault's tree and as a distributor's."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from web3 import Web3

from rewards.units import PROVIDER, USER, checksum, keccak

ACCOUNTS, LEAVES, WORD = 90_000, 100_000, 256
SAMPLES = 40


class Row(NamedTuple):
    """What is paid every night to `account` from `pool`. Its number is the index in a distributor's bitmap."""

    account: bytes
    pool: int


class Tree:
    """A complete binary tree over sorted leaf hashes, pairs sorted: the shape of OpenZeppelin, in one loop."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        hashes = sorted(leaves)
        nodes = [b""] * (len(hashes) - 1) + hashes[::-1]
        for i in range(len(hashes) - 2, -1, -1):
            one, other = nodes[2 * i + 1], nodes[2 * i + 2]
            nodes[i] = keccak(one + other if one < other else other + one)
        self.root = nodes[0]
        self._nodes = nodes
        self._positions = {leaf: len(nodes) - 1 - rank for rank, leaf in enumerate(hashes)}

    def prove(self, leaf: bytes) -> list[bytes]:
        at, proof = self._positions[leaf], []
        while at > 0:
            proof.append(self._nodes[at + 1 if at % 2 else at - 1])
            at = (at - 1) // 2
        return proof


def hash_vault_leaf(row: Row, cumulative_amount: int) -> bytes:
    return keccak(keccak(row.pool.to_bytes(32) + bytes(12) + row.account + cumulative_amount.to_bytes(32)))


def hash_distributor_leaf(index: int, row: Row, amount: int) -> bytes:
    return keccak(index.to_bytes(32) + row.account + amount.to_bytes(32))


def list_rows() -> list[Row]:
    """100,000 rows of 90,000 accounts, by address; every ninth account is paid from both pools."""
    rows = []
    for number in range(ACCOUNTS):
        kind = number % 9
        pools = (PROVIDER, USER) if kind == 0 else (PROVIDER,) if kind < 5 else (USER,)
        rows += [Row(keccak(b"account %d" % number)[12:], pool) for pool in pools]
    return sorted(rows)


def list_amounts(night: int) -> list[int]:
    """What each row earns in a night: at most about one CXPT."""
    draw = Random(night)
    return [draw.getrandbits(60) + 1 for _ in range(LEAVES)]


@dataclass(frozen=True)
class Sample:
    """Numbers of the rows that claim. Sets are disjoint; those of single rows have a bitmap word each, in which the row's
    neighbour (its number xor 1) is free too. `both` are the two rows of one account."""

    nightly: Sequence[int]
    late: Sequence[int]
    older: Sequence[int]
    pending: Sequence[int]
    both: Sequence[tuple[int, int]]
    crowd: Sequence[int]

    @classmethod
    def choose(cls, rows: Sequence[Row]) -> "Sample":
        shared = {i for i in range(1, LEAVES) if rows[i].account == rows[i - 1].account}
        single = set(range(LEAVES)) - shared - {i - 1 for i in shared}
        by_hash = sorted(range(LEAVES // WORD), key=lambda word: keccak(b"word %d" % word))
        starts = (word * WORD + keccak(b"row %d" % word)[0] // 2 * 2 for word in by_hash)
        chosen = [i for i in starts if i in single and i + 1 in single]
        nightly, late, older, pending = (chosen[k * SAMPLES : (k + 1) * SAMPLES] for k in range(4))
        taken = {i for row in chosen[: 4 * SAMPLES] for i in (row, row + 1)}
        crowd = sorted(single - taken, key=lambda i: keccak(b"crowd" + rows[i].account))
        pairs = sorted(shared, key=lambda i: keccak(b"pair" + rows[i].account))
        return cls(nightly, late, older, pending, [(i - 1, i) for i in pairs[:SAMPLES]], crowd)


class Earnings:
    """All nights: what each row earned, as the Vault counts it (cumulative) and as a distributor does (of a night)."""

    def __init__(self) -> None:
        self.rows = list_rows()
        self.sample = Sample.choose(self.rows)
        self.totals = {PROVIDER: 0, USER: 0}
        self._sums = [0] * LEAVES
        self._epochs: dict[int, tuple[Tree, list[int]]] = {}

    def earn(self, night: int) -> bytes:
        """Adds a night; the root over what everyone has earned by then."""
        for i, amount in enumerate(list_amounts(night)):
            self._sums[i] += amount
            self.totals[self.rows[i].pool] += amount
        tree = Tree([hash_vault_leaf(row, amount) for row, amount in zip(self.rows, self._sums, strict=True)])
        self._epochs[night] = (tree, list(self._sums))
        # Nobody here claims on a root older than the one before.
        self._epochs.pop(night - 2, None)
        return tree.root

    def item(self, epoch: int, index: int) -> tuple[int, str, int, list[bytes]]:
        """Pool, account, cumulative amount and proof: the arguments of a claim."""
        row = self.rows[index]
        tree, sums = self._epochs[epoch]
        return row.pool, to_address(row.account), sums[index], tree.prove(hash_vault_leaf(row, sums[index]))


class Night:
    """One night as a distributor's tree."""

    def __init__(self, rows: Sequence[Row], night: int) -> None:
        self._rows = rows
        self._amounts = list_amounts(night)
        leaves = zip(rows, self._amounts, strict=True)
        self._tree = Tree([hash_distributor_leaf(i, row, amount) for i, (row, amount) in enumerate(leaves)])
        self.root = self._tree.root
        self.total = sum(self._amounts)

    def item(self, index: int) -> tuple[int, str, int, list[bytes]]:
        """Index, account, amount and proof: the arguments of a distributor's claim."""
        row, amount = self._rows[index], self._amounts[index]
        proof = self._tree.prove(hash_distributor_leaf(index, row, amount))
        return index, to_address(row.account), amount, proof


def to_address(account: bytes) -> Any:
    return Web3.to_checksum_address(checksum("0x" + account.hex()))
