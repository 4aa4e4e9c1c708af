"""The claim tree against OpenZeppelin's algorithm in plain Python, its JavaScript library, and golden vectors."""

import json
import mmap
import random
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards import merkle
from rewards.errors import InputError, LimitError, RewardsError, UsageError
from rewards.keccak import FEW, load_kernel
from rewards.merkle import ClaimTree, LevelTree, NotClaimable, hash_leaf, hash_pair, read_proof
from rewards.units import MAX_AMOUNT, ZERO_ROOT, keccak

ROOT = Path(__file__).parent.parent
CONTRACTS = ROOT / "contracts"
VECTORS = ROOT / "data" / "vectors"

Row = tuple[int, str, int]

ACCOUNT = "0x" + "ab" * 20


# ── OpenZeppelin's algorithm, as its documentation tells it ──────────────────────────────────────────────────────────


def reference_leaf(pool: int, account: str, amount: int) -> bytes:
    words = pool.to_bytes(32) + int(account, 16).to_bytes(32) + amount.to_bytes(32)
    return keccak(keccak(words))


def reference_nodes(rows: list[Row]) -> list[bytes]:
    """A complete binary tree in an array: root first, children of i at 2i + 1 and 2i + 2, leaves from the end."""
    leaves = sorted(reference_leaf(*row) for row in rows)
    nodes = [b""] * (len(leaves) - 1) + leaves[::-1]
    for i in reversed(range(len(leaves) - 1)):
        nodes[i] = keccak(b"".join(sorted(nodes[2 * i + 1 : 2 * i + 3])))
    return nodes


def reference_path(nodes: list[bytes], index: int) -> list[bytes]:
    path = []
    while index > 0:
        path.append(nodes[index + 1 if index % 2 else index - 1])
        index = (index - 1) // 2
    return path


def reference_file(rows: list[Row]) -> bytes:
    """`tree.bin` as the module describes it, written record by record."""
    nodes = reference_nodes(rows)[::-1]
    header = b"CXPTTREE" + (1).to_bytes(4) + len(rows).to_bytes(4)
    places = {node: number for number, node in enumerate(nodes)}
    records = [
        pool.to_bytes() + bytes.fromhex(account[2:]) + amount.to_bytes(12)
        + places[reference_leaf(pool, account, amount)].to_bytes(4)
        for pool, account, amount in sorted(rows)
    ]  # fmt: skip
    return b"".join([header, *records, *nodes])


# ── Claimables ───────────────────────────────────────────────────────────────────────────────────────────────────────


def make_frame(rows: list[Row]) -> pl.DataFrame:
    schema = {"pool": pl.UInt8(), "account": pl.String(), "cumulative_amount": pl.Decimal(38, 0)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def make_rows(count: int) -> list[Row]:
    """`count` rows, the same for the same count; both pools, some accounts in both."""
    source = random.Random(count)
    accounts = ["0x" + source.randbytes(20).hex() for _ in range(count // 2 + 1)]
    return [(1 + i % 2, accounts[i // 2], source.randrange(1, 2 ** source.randrange(1, 97))) for i in range(count)]


accounts = st.binary(min_size=20, max_size=20).filter(any).map(lambda raw: "0x" + raw.hex())
keys = st.tuples(st.sampled_from((1, 2)), accounts)
claimables = st.dictionaries(keys, st.integers(1, MAX_AMOUNT), min_size=1, max_size=40).map(
    lambda chosen: [(pool, account, amount) for (pool, account), amount in chosen.items()]
)


@given(claimables)
def test_equals_the_reference(rows: list[Row]) -> None:
    tree, nodes = ClaimTree.build(make_frame(rows)), reference_nodes(rows)
    assert tree.root == nodes[0]
    assert len(tree) == len(rows)
    for pool, account, amount in rows:
        assert tree.prove(pool, account) == reference_path(nodes, nodes.index(reference_leaf(pool, account, amount)))
    dump = tree.dump()
    assert dump["tree"] == ["0x" + node.hex() for node in nodes]
    assert {tuple(entry["value"]): nodes[entry["treeIndex"]] for entry in dump["values"]} == {
        (str(pool), account, str(amount)): reference_leaf(pool, account, amount) for pool, account, amount in rows
    }


@pytest.mark.parametrize("count", [255, 256, 257, 1000])
def test_equals_the_reference_where_the_tree_is_large(count: int) -> None:
    rows = make_rows(count)
    tree, nodes = ClaimTree.build(make_frame(rows)), reference_nodes(rows)
    places = {node: index for index, node in enumerate(nodes)}
    assert tree.root == nodes[0]
    for row in rows:
        assert tree.prove(*row[:2]) == reference_path(nodes, places[reference_leaf(*row)])


def prove_all(tree: ClaimTree) -> list[list[bytes]]:
    """The bulk proofs as lists, in the order of the leaf table."""
    proofs = []
    for batch in tree.prove_all():
        assert batch.nodes.shape == (batch.offsets[-1], 32)
        for start, end in pairwise(batch.offsets):
            proofs.append([node.tobytes() for node in batch.nodes[start:end]])
    return proofs


def check_against_reference(rows: list[Row]) -> None:
    """Root, bytes, dump, every proof by each way there is."""
    tree, nodes = ClaimTree.build(make_frame(rows)), reference_nodes(rows)
    places = {node: index for index, node in enumerate(nodes)}
    content, ordered = tree.to_bytes(), sorted(rows)
    leaves = [places[reference_leaf(*row)] for row in ordered]
    proofs = [reference_path(nodes, index) for index in leaves]
    assert tree.root == nodes[0]
    assert content == reference_file(rows)
    assert tree.dump() == {
        "format": "standard-v1",
        "leafEncoding": ["uint8", "address", "uint256"],
        "tree": ["0x" + node.hex() for node in nodes],
        "values": [
            {"value": [str(pool), account, str(amount)], "treeIndex": index}
            for (pool, account, amount), index in zip(ordered, leaves, strict=True)
        ],
    }
    assert prove_all(tree) == proofs
    assert [tree.prove(*row[:2]) for row in ordered] == proofs
    assert [read_proof(content, *row[:2]) for row in ordered] == [
        (row[2], proof) for row, proof in zip(ordered, proofs, strict=True)
    ]
    assert ClaimTree.from_bytes(content).to_bytes() == content


@pytest.mark.parametrize("seed", range(10))
def test_thousands_of_sets_equal_the_reference(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(200):
        # Of few different bytes, so that accounts share long beginnings and some tables are far from even.
        alphabet = source.randbytes(source.choice((2, 3, 256)))
        keys = {(source.randint(1, 2), bytes(source.choices(alphabet, k=20))) for _ in range(source.randint(1, 40))}
        check_against_reference(
            [
                (pool, "0x" + account.hex(), source.choice((1, MAX_AMOUNT, source.randrange(1, 2**96))))
                for pool, account in keys
                if any(account)
            ]
            or make_rows(1)
        )


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7, 8, 12, 13, 64, 65, 300])
@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_steps_that_are_not_full_change_nothing(monkeypatch: pytest.MonkeyPatch, count: int, step: int) -> None:
    monkeypatch.setattr(merkle, "_STEP", step)
    monkeypatch.setattr(merkle, "_HASHED", step + 1)
    check_against_reference(make_rows(count))


def test_a_tree_that_the_kernel_hashes_equals_the_reference() -> None:
    rows = make_rows(FEW + 1000)
    tree, nodes = ClaimTree.build(make_frame(rows)), reference_nodes(rows)
    assert load_kernel() is not None
    assert tree.to_bytes() == reference_file(rows)
    places = {node: index for index, node in enumerate(nodes)}
    assert prove_all(tree) == [reference_path(nodes, places[reference_leaf(*row)]) for row in sorted(rows)]


@given(
    st.lists(st.lists(st.sampled_from(b"\x00\x01\x80\xff"), min_size=33, max_size=33).map(bytes), max_size=30),
    st.data(),
)
def test_rows_are_sorted_by_all_their_bytes(rows: list[bytes], data: st.DataObject) -> None:
    alike = data.draw(st.integers(0, 33))
    rows = [rows[0][:alike] + row[alike:] for row in rows]
    order, same = merkle._sort_rows(np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 33))
    in_order = [rows[rank] for rank in order]
    assert in_order == sorted(rows)
    assert sorted(order) == list(range(len(rows)))
    assert list(same) == [i for i in range(len(rows) - 1) if in_order[i][:8] == in_order[i + 1][:8]]


@given(
    st.lists(st.tuples(keys, st.booleans()), min_size=1, max_size=60), st.binary(min_size=20, max_size=20), st.data()
)
def test_a_leaf_is_found_or_refused(
    chosen: list[tuple[tuple[int, str], bool]], near: bytes, data: st.DataObject
) -> None:
    """In tables that crowd around one account too, each key that is there is found, and no other."""
    alike = data.draw(st.integers(0, 19))
    crowded = {
        (pool, "0x" + near.hex()[: 2 * alike] + account[2 + 2 * alike :]): there for (pool, account), there in chosen
    }
    held = [key for key, there in crowded.items() if there and int(key[1], 16)]
    content = ClaimTree.build(make_frame([(*key, 7) for key in held])).to_bytes()
    for key in crowded:
        if key in held:
            assert read_proof(content, *key)[0] == 7
        else:
            with pytest.raises(NotClaimable):
                read_proof(content, *key)


def test_a_leaf_is_found_in_few_reads_where_guesses_mislead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone can make accounts that lie as unevenly as these: each is twice the one before."""
    rows = [(pool, f"0x{1 << bit:040x}", 7) for pool in (1, 2) for bit in range(160)]
    content, read, reads = ClaimTree.build(make_frame(rows)).to_bytes(), merkle._read_key, []

    def count(view: memoryview, rank: int) -> bytes:
        reads.append(rank)
        return read(view, rank)

    monkeypatch.setattr(merkle, "_read_key", count)
    for pool, account, amount in rows:
        reads.clear()
        assert read_proof(content, pool, account)[0] == amount
        assert len(reads) <= 4 * len(rows).bit_length()


@pytest.mark.parametrize("pool", [-1, 0, 3, 256, 2**200])
def test_a_pool_that_does_not_pay_has_no_leaf(pool: int) -> None:
    content = ClaimTree.build(make_frame(make_rows(50))).to_bytes()
    with pytest.raises(NotClaimable, match=f"pool {pool}"):
        read_proof(content, pool, ACCOUNT)


@given(claimables)
def test_every_proof_verifies(rows: list[Row]) -> None:
    tree = ClaimTree.build(make_frame(rows))
    assert all(ClaimTree.verify(tree.root, *row, tree.prove(*row[:2])) for row in rows)


@given(claimables, st.data())
def test_nothing_but_the_leaf_and_its_whole_proof_verifies(rows: list[Row], data: st.DataObject) -> None:
    tree = ClaimTree.build(make_frame(rows))
    pool, account, amount = row = data.draw(st.sampled_from(rows))
    proof = tree.prove(pool, account)
    other = data.draw(keys)

    assert not ClaimTree.verify(ZERO_ROOT, *row, proof)
    assert not any(ClaimTree.verify(tree.root, *row, proof[:i] + proof[i + 1 :]) for i in range(len(proof)))
    assert not ClaimTree.verify(tree.root, *row, [*proof, tree.root])
    assert not ClaimTree.verify(tree.root, 3 - pool, account, amount, proof)
    assert not ClaimTree.verify(tree.root, pool, account, amount + 1, proof)
    assert other == (pool, account) or not ClaimTree.verify(tree.root, *other, amount, proof)
    assert not any(ClaimTree.verify(tree.root, *swapped, proof) for swapped in rows if swapped != row)
    if proof:
        index = data.draw(st.integers(0, 32 * len(proof) - 1))
        joined = bytearray(b"".join(proof))
        joined[index] ^= data.draw(st.integers(1, 255))
        damaged = [bytes(joined[i : i + 32]) for i in range(0, len(joined), 32)]
        assert not ClaimTree.verify(tree.root, *row, damaged)


@given(claimables)
def test_no_inner_node_passes_for_a_leaf(rows: list[Row]) -> None:
    """The 64 bytes below an inner node, read as account and amount and proved by that node's path, do not verify."""
    tree, nodes = ClaimTree.build(make_frame(rows)), reference_nodes(rows)
    for index in range(len(rows) - 1):
        left, right = sorted(nodes[2 * index + 1 : 2 * index + 3])
        path = reference_path(nodes, index)
        account = "0x" + left[12:].hex()
        assert not any(ClaimTree.verify(tree.root, pool, account, int.from_bytes(right), path) for pool in (0, 1, 2))


def test_a_leaf_hashed_once_does_not_verify() -> None:
    once = keccak((1).to_bytes(32) + int(ACCOUNT, 16).to_bytes(32) + (7).to_bytes(32))
    assert hash_leaf(1, ACCOUNT, 7) == keccak(once)
    assert ClaimTree.verify(keccak(once), 1, ACCOUNT, 7, [])
    assert not ClaimTree.verify(once, 1, ACCOUNT, 7, [])


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_proof_of_other_than_whole_nodes_does_not_verify(length: int) -> None:
    """Not even to the root that hashing it would give: the Vault takes 32-byte words only."""
    sibling = bytes(length)
    assert not ClaimTree.verify(hash_pair(hash_leaf(1, ACCOUNT, 7), sibling), 1, ACCOUNT, 7, [sibling])


def fold(digests: list[bytes]) -> bytes:
    """The tree of RFC 9162, split below the largest power of two, with sorted pairs."""
    if len(digests) == 1:
        return digests[0]
    half = 1 << (len(digests) - 1).bit_length() - 1
    return keccak(b"".join(sorted((fold(digests[:half]), fold(digests[half:])))))


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40))
def test_the_pymerkle_tree_is_whole_at_every_size(digests: list[bytes]) -> None:
    """Perfect or not, each state is RFC 9162's with sorted pairs, and pymerkle's own paths lead to it."""
    nodes = np.zeros((2 * len(digests), 32), np.uint8)
    nodes[: len(digests)] = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
    LevelTree.fill(nodes, len(digests))
    tree = LevelTree(nodes, len(digests))
    assert [tree.get_leaf(index + 1) for index in range(len(digests))] == digests
    for start in range(len(digests)):  # what pymerkle asks a store for in bulk
        assert tree._get_leaves(start, len(digests) - start) == digests[start:]
    for size in range(1, len(digests) + 1):
        assert tree.get_root(size) == fold(digests[:size])
        node, *path = tree.prove_inclusion(size).path
        for sibling in path:
            node = hash_pair(node, sibling)
        assert node == tree.get_root()


@given(claimables, st.randoms())
def test_row_order_changes_nothing(rows: list[Row], shuffler: random.Random) -> None:
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    assert ClaimTree.build(make_frame(shuffled)).to_bytes() == ClaimTree.build(make_frame(rows)).to_bytes()


def test_one_leaf_is_the_root() -> None:
    tree = ClaimTree.build(make_frame([(2, ACCOUNT, 5)]))
    assert tree.root == hash_leaf(2, ACCOUNT, 5)
    assert tree.prove(2, ACCOUNT) == []


@pytest.mark.parametrize("frame", [make_frame([]), pl.DataFrame({"pool": [], "account": [], "cumulative_amount": []})])
def test_no_claimables_give_the_zero_root(frame: pl.DataFrame) -> None:
    tree = ClaimTree.build(frame)
    assert tree.root == bytes(32)
    assert len(tree) == 0
    assert tree.to_bytes() == b"CXPTTREE" + bytes([0, 0, 0, 1, 0, 0, 0, 0])
    assert tree.dump()["tree"] == tree.dump()["values"] == []
    assert ClaimTree.from_bytes(tree.to_bytes()).root == bytes(32)
    with pytest.raises(NotClaimable):
        tree.prove(1, ACCOUNT)
    with pytest.raises(NotClaimable):
        read_proof(tree.to_bytes(), 1, ACCOUNT)


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64, pl.Int128])
def test_amounts_come_in_every_exact_type(dtype: pl.DataType) -> None:
    row = (1, ACCOUNT, 2**62 + 1)
    frame = make_frame([row]).cast({"cumulative_amount": dtype})
    assert ClaimTree.build(frame).root == reference_leaf(*row)


# ── Refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ((1, "", 5), "account ''"),
        ((1, ACCOUNT[:-1], 5), ACCOUNT[:-1]),
        ((1, ACCOUNT + "\n", 5), "\\n"),
        ((1, ACCOUNT.upper().replace("X", "x"), 5), "0xABAB"),
        ((1, "0x" + "0" * 40, 5), "0x0000"),
        ((1, None, 5), "account None"),
        ((0, ACCOUNT, 5), "pool 0"),
        ((3, ACCOUNT, 5), "pool 3"),
        ((None, ACCOUNT, 5), "pool None"),
        ((1, ACCOUNT, 0), "amount 0"),
        ((1, ACCOUNT, -5), "amount -5"),
        ((1, ACCOUNT, None), "amount None"),
        ((1, ACCOUNT, 2**96), f"amount {2**96}"),
    ],
)
def test_a_bad_row_is_refused_by_its_values(row: tuple[Any, Any, Any], named: str) -> None:
    with pytest.raises(InputError) as refusal:
        ClaimTree.build(make_frame([(2, "0x" + "cd" * 20, 1), row]))
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "account",
    [
        "ab" * 21,
        "0X" + "ab" * 20,
        "0x" + " a" * 20,
        "0x" + "ab" * 19 + "\u00e9",
        "0x" + "ab" * 19 + "g0",
        "0x" + "ab" * 19 + "AB",
        "0x" + "\uff11" * 40,
        "0x" + "\0" * 40,
        " " * 42,
    ],
)
def test_forty_two_bytes_make_no_account(account: str) -> None:
    with pytest.raises(InputError, match="not a usable lower-case address"):
        ClaimTree.build(make_frame([(1, ACCOUNT, 5), (2, account, 5)]))


def test_the_first_bad_row_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merkle, "_STEP", 4)
    rows: list[Any] = [list(row) for row in make_rows(20)]
    rows[9][2], rows[10][0], rows[11][1], rows[19][2] = -9, 3, "nobody", 2**96
    for place, named in ((9, "amount -9"), (10, "pool 3"), (11, "account 'nobody'"), (19, f"amount {2**96}")):
        with pytest.raises(InputError, match=named):
            ClaimTree.build(make_frame(rows))
        rows[place] = list(make_rows(20)[place])
    assert ClaimTree.build(make_frame(rows)).to_bytes() == reference_file(make_rows(20))


def test_rows_checked_one_by_one_give_the_same_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merkle, "_encode_rows", lambda rows, leaves: False)
    rows = [*make_rows(20), (1, ACCOUNT, 1), (2, ACCOUNT, MAX_AMOUNT)]
    assert ClaimTree.build(make_frame(rows)).to_bytes() == reference_file(rows)


def test_sound_rows_are_not_checked_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million would take seconds, and their objects more memory than the tree."""
    monkeypatch.setattr(merkle, "_check_row", None)
    rows = [*make_rows(20), (1, ACCOUNT, 1), (2, ACCOUNT, MAX_AMOUNT)]
    content = ClaimTree.build(make_frame(rows)).to_bytes()
    assert content == reference_file(rows) == ClaimTree.from_bytes(content).to_bytes()


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt64, pl.Int128, pl.UInt128])
def test_numbers_are_not_wrapped(dtype: Any) -> None:
    """What would be 1 or 2 in eight bits, or a small amount in 128, is refused."""
    frame = make_frame(make_rows(3))
    assert ClaimTree.build(frame.cast({"pool": dtype})).to_bytes() == reference_file(make_rows(3))
    if dtype != pl.Int8:
        with pytest.raises(InputError, match="pool 257"):
            ClaimTree.build(frame.with_columns(pool=pl.lit(257, dtype)))
    if dtype == pl.UInt128:
        with pytest.raises(LimitError, match=f"amount {2**128 - 1}"):
            ClaimTree.build(frame.with_columns(cumulative_amount=pl.lit(2**128 - 1, dtype)))


@pytest.mark.parametrize("amount", [1, 2**32 - 1, 2**32, 2**63, 2**64 - 1, 2**64, 2**64 + 1, 2**95, MAX_AMOUNT])
def test_no_bit_of_an_amount_is_lost(amount: int) -> None:
    assert ClaimTree.build(make_frame([(1, ACCOUNT, amount)])).to_bytes() == reference_file([(1, ACCOUNT, amount)])


def test_the_largest_amount_is_the_vaults() -> None:
    assert ClaimTree.build(make_frame([(1, ACCOUNT, MAX_AMOUNT)])).root == reference_leaf(1, ACCOUNT, MAX_AMOUNT)
    with pytest.raises(LimitError):
        ClaimTree.build(make_frame([(1, ACCOUNT, MAX_AMOUNT + 1)]))


def test_a_pair_that_occurs_twice_is_refused() -> None:
    rows = [(1, ACCOUNT, 5), (2, ACCOUNT, 5), (1, ACCOUNT, 6)]
    with pytest.raises(InputError, match=f"pool 1, account {ACCOUNT} occurs twice"):
        ClaimTree.build(make_frame(rows))


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        ("cumulative_amount", pl.Float64),
        ("cumulative_amount", pl.Decimal(38, 2)),
        ("pool", pl.String),
        ("pool", pl.Boolean),
    ],
)
def test_a_column_of_another_type_is_refused(column: str, dtype: pl.DataType) -> None:
    with pytest.raises(InputError, match="columns of"):
        ClaimTree.build(make_frame([(1, ACCOUNT, 5)]).cast({column: dtype}))


def test_a_missing_column_is_refused() -> None:
    with pytest.raises(InputError, match="no column account"):
        ClaimTree.build(make_frame([(1, ACCOUNT, 5)]).rename({"account": "wallet"}))


def test_an_absent_leaf_is_refused() -> None:
    tree = ClaimTree.build(make_frame([(1, ACCOUNT, 5)]))
    for prove in (tree.prove, lambda pool, account: read_proof(tree.to_bytes(), pool, account)):
        with pytest.raises(NotClaimable, match=f"pool 2, account {ACCOUNT}"):
            prove(2, ACCOUNT)
        with pytest.raises(UsageError, match="not a lower-case address: 'nobody'"):
            prove(1, "nobody")


@pytest.mark.parametrize(
    ("pool", "account", "amount"),
    [(256, ACCOUNT, 1), (-1, ACCOUNT, 1), (1, ACCOUNT, -1), (1, ACCOUNT, 2**256), (1, ACCOUNT[2:], 1)],
)
def test_what_no_leaf_can_hold_is_refused(pool: int, account: str, amount: int) -> None:
    with pytest.raises(UsageError):
        ClaimTree.verify(ZERO_ROOT, pool, account, amount, [])


# ── tree.bin ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(claimables)
def test_a_tree_read_back_is_the_same(rows: list[Row]) -> None:
    tree = ClaimTree.build(make_frame(rows))
    content = tree.to_bytes()
    again = ClaimTree.from_bytes(memoryview(content))
    assert again.root == tree.root
    assert again.to_bytes() == content
    for pool, account, amount in rows:
        proof = tree.prove(pool, account)
        assert again.prove(pool, account) == proof
        assert read_proof(content, pool, account) == (amount, proof)


@given(claimables, st.data())
def test_a_damaged_file_never_gives_a_wrong_answer(rows: list[Row], data: st.DataObject) -> None:
    tree = ClaimTree.build(make_frame(rows))
    damaged = bytearray(tree.to_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InputError):
        ClaimTree.from_bytes(damaged)
    pool, account, amount = data.draw(st.sampled_from(rows))
    try:
        answer = read_proof(damaged, pool, account)
    except RewardsError:
        return
    assert answer == (amount, tree.prove(pool, account))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda content: b"", "0 bytes: shorter"),
        (lambda content: content[:15], "15 bytes: shorter"),
        (lambda content: content[:-1], f"{16 + 3 * 37 + 5 * 32 - 1} bytes: 3 leaves need {16 + 3 * 37 + 5 * 32}"),
        (lambda content: content + b"\0", "3 leaves need"),
        (lambda content: b"PAR1" + content[4:], "PAR1TREE"),
        (lambda content: content[:11] + b"\2" + content[12:], "version 2"),
    ],
)
def test_a_file_that_is_no_tree_is_refused(damage: Any, named: str) -> None:
    content = damage(ClaimTree.build(make_frame(make_rows(3))).to_bytes())
    for read in (ClaimTree.from_bytes, lambda buffer: read_proof(buffer, 1, ACCOUNT)):
        with pytest.raises(InputError) as refusal:
            read(content)
        assert named in str(refusal.value)


def test_a_mapped_file_can_be_closed_after_any_answer(tmp_path: Path) -> None:
    rows = make_rows(100)
    path = tmp_path / "tree.bin"
    path.write_bytes(ClaimTree.build(make_frame(rows)).to_bytes())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert read_proof(mapped, *rows[0][:2])[0] == rows[0][2]
        with pytest.raises(NotClaimable) as refusal:
            read_proof(mapped, 1, ACCOUNT)
        mapped.close()  # raises while anything still holds on to the mapping, the refusal's traceback included
    assert ACCOUNT in str(refusal.value)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_mapped_file_can_be_closed_after_it_was_checked(tmp_path: Path, count: int) -> None:
    content = ClaimTree.build(make_frame(make_rows(count))).to_bytes()
    path = tmp_path / "tree.bin"
    path.write_bytes(content)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        tree = ClaimTree.from_bytes(mapped)
        mapped.close()
    assert tree.to_bytes() == content
    for place in (16, -1):
        damaged = bytearray(content)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            with pytest.raises(InputError) as refusal:
                ClaimTree.from_bytes(mapped)
            mapped.close()
        assert "\n" not in str(refusal.value)


def test_an_unchecked_proof_is_left_to_be_verified() -> None:
    rows = make_rows(20)
    tree = ClaimTree.build(make_frame(rows))
    damaged = bytearray(tree.to_bytes())
    damaged[-32] ^= 1
    for row in rows:
        with pytest.raises(InputError, match="does not lead to its root"):
            read_proof(damaged, *row[:2])
        amount, proof = read_proof(damaged, *row[:2], check=False)
        assert ClaimTree.verify(tree.root, *row[:2], amount, proof)


# ── Golden vectors, and the JavaScript library itself ────────────────────────────────────────────────────────────────


def to_bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def to_row(leaf: dict[str, Any]) -> Row:
    return leaf["pool"], leaf["account"], int(leaf["cumulativeAmount"])


def read_vectors() -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((VECTORS / "claim_tree.json").read_text())
    return vectors


@pytest.mark.parametrize("vector", read_vectors()["trees"], ids=lambda vector: str(len(vector["leaves"])))
def test_golden_trees(vector: dict[str, Any]) -> None:
    tree = ClaimTree.build(make_frame([to_row(leaf) for leaf in vector["leaves"]]))
    assert tree.root == to_bytes(vector["root"])
    for leaf in vector["leaves"]:
        row = to_row(leaf)
        assert hash_leaf(*row) == to_bytes(leaf["leaf"])
        assert tree.prove(*row[:2]) == [to_bytes(node) for node in leaf["proof"]]


@pytest.mark.parametrize("vector", read_vectors()["badProofs"], ids=lambda vector: vector["why"])
def test_golden_bad_proofs(vector: dict[str, Any]) -> None:
    proof = [to_bytes(node) for node in vector["proof"]]
    assert not ClaimTree.verify(to_bytes(vector["root"]), *to_row(vector), proof)


def test_golden_vectors_are_what_the_library_says(contracts: Path) -> None:
    command = ["node", str(VECTORS / "make_claim_tree.mjs"), str(contracts)]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert made == (VECTORS / "claim_tree.json").read_text()


# Every size up to 40, then powers of two and their neighbours.
SIZES = [*range(1, 41), *(2**k + step for k in range(6, 13) for step in (-1, 0, 1))]


def test_the_library_agrees_on_every_root_proof_and_dump(contracts: Path, tmp_path: Path) -> None:
    assert len(SIZES) >= 60
    trees = [ClaimTree.build(make_frame(make_rows(size))) for size in SIZES]
    dumps, answers = tmp_path / "dumps", tmp_path / "answers"
    dumps.write_text("".join(json.dumps(tree.dump()) + "\n" for tree in trees))
    with dumps.open() as asked, answers.open("w") as answered:
        command = ["node", str(ROOT / "tests" / "oracle_openzeppelin.mjs"), str(contracts)]
        subprocess.run(command, stdin=asked, stdout=answered, check=True)

    lines = answers.read_text().splitlines()
    for size, tree, line in zip(SIZES, trees, lines, strict=True):
        answer = json.loads(line)
        assert answer["root"] == "0x" + tree.root.hex(), size
        assert answer["dump"] == tree.dump(), size
        rows = [entry["value"] for entry in answer["dump"]["values"]]
        proofs = [["0x" + node.hex() for node in tree.prove(int(pool), account)] for pool, account, _ in rows]
        assert answer["proofs"] == proofs, size
        assert len(proofs) == size
