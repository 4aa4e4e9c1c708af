"""The history's tree against a reference of its own: RFC 6962 by the letter, in plain Python; every wrong proof is
refused."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards import history as module
from rewards.chain.vault import publication_hash
from rewards.errors import Disagreement, UsageError
from rewards.gates import check_history
from rewards.history import (
    ENTRY_SIZE,
    History,
    StoredHistory,
    decode_entry,
    encode_entry,
    find_damage,
    hash_leaf,
    name_origin,
    read_checkpoint,
    split_entries,
    verify_consistency,
    verify_inclusion,
)
from rewards.ports import Publication
from rewards.units import Address, keccak

LARGEST = 130
ORIGIN = name_origin(31337, Address("0x" + "ab" * 20))


# RFC 6962, section 2.1, as it is written there: D is the list of entries, m a leaf's index or an older size


def mth(entries: Sequence[bytes]) -> bytes:
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = split(len(entries))
    return hashlib.sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path_of(m: int, entries: Sequence[bytes]) -> list[bytes]:
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path_of(m, entries[:k]), mth(entries[k:])]
    return [*path_of(m - k, entries[k:]), mth(entries[:k])]


def subproof(m: int, entries: Sequence[bytes], whole: bool = True) -> list[bytes]:
    if m == len(entries):
        return [] if whole else [mth(entries)]
    k = split(len(entries))
    if m <= k:
        return [*subproof(m, entries[:k], whole), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def make_publication(number: int) -> Publication:
    root, manifest = (hashlib.sha256(f"{what} {number}".encode()).digest() for what in ("root", "manifest"))
    return Publication(number, root, manifest, 10**18 * number, 7 * number, number // 3)


HISTORY = History(ORIGIN, [make_publication(number) for number in range(LARGEST)])
ENTRIES = HISTORY.entries

# Roots of this page's reference over the entries 0x00, 0x01, 0x02, … of one byte each, so that a change of it is seen.
KNOWN_ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
}


def test_the_reference_is_that_of_the_rfc() -> None:
    """The empty tree and a leaf by their definition; seven leaves with the proofs that the RFC draws."""
    assert {n: mth([bytes([i]) for i in range(n)]).hex() for n in KNOWN_ROOTS} == KNOWN_ROOTS
    d = [bytes([i]) for i in range(7)]
    b, c, f, j = (mth([one]) for one in (d[1], d[2], d[5], d[6]))
    h, g, i, k, root_l = mth(d[2:4]), mth(d[0:2]), mth(d[4:6]), mth(d[0:4]), mth(d[4:7])
    assert path_of(0, d) == [b, h, root_l]
    assert path_of(3, d) == [c, g, root_l]
    assert path_of(4, d) == [f, j, k]
    assert path_of(6, d) == [i, k]
    assert subproof(3, d) == [c, mth([d[3]]), g, root_l]
    assert subproof(4, d) == [root_l]
    assert subproof(6, d) == [i, j, k]


# Agreement


@pytest.mark.parametrize("size", range(1, LARGEST + 1))
def test_roots_are_those_of_the_reference(size: int) -> None:
    assert HISTORY.checkpoint(size).root == mth(ENTRIES[:size])


@given(st.data())
def test_proofs_are_those_of_the_reference_and_verify(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, LARGEST))
    index, first = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    inclusion, consistency = HISTORY.prove_inclusion(index, size), HISTORY.prove_consistency(first, size)
    assert inclusion == path_of(index, ENTRIES[:size])
    assert consistency == subproof(first, ENTRIES[:size])
    assert verify_inclusion(hash_leaf(ENTRIES[index]), index, size, inclusion, mth(ENTRIES[:size]))
    assert verify_consistency(first, size, consistency, mth(ENTRIES[:first]), mth(ENTRIES[:size]))


def test_every_proof_up_to_a_size_is_that_of_the_reference() -> None:
    for size in range(1, 34):
        for m in range(size):
            assert HISTORY.prove_inclusion(m, size) == path_of(m, ENTRIES[:size])
            assert HISTORY.prove_consistency(m + 1, size) == subproof(m + 1, ENTRIES[:size])


def test_a_longer_history_begins_with_the_shorter() -> None:
    for size in range(1, 20):
        assert History(ORIGIN, HISTORY.publications[:size]).checkpoint() == HISTORY.checkpoint(size)


# Wrong proofs


def spoil(path: Sequence[bytes]) -> list[list[bytes]]:
    """Every way to change a path a little: a node flipped, cut, left out, doubled, swapped; one more at either end."""
    wrong = [[*path, bytes(32)], [bytes(32), *path]]
    for i, node in enumerate(path):
        before, after = list(path[:i]), list(path[i + 1 :])
        wrong += [[*before, bytes([node[0] ^ 1]) + node[1:], *after], [*before, node[:31], *after]]
        wrong += [[*before, node + b"\x00", *after], [*before, *after], [*before, node, node, *after]]
        if after and after[0] != node:
            wrong.append([*before, after[0], node, *after[1:]])
    return wrong


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 16, 21])
def test_no_wrong_inclusion_proof_verifies(size: int) -> None:
    root, leaves = mth(ENTRIES[:size]), [hash_leaf(entry) for entry in ENTRIES]
    for index in range(size):
        path = HISTORY.prove_inclusion(index, size)
        assert verify_inclusion(leaves[index], index, size, path, root)
        for wrong in spoil(path):
            assert not verify_inclusion(leaves[index], index, size, wrong, root)
        for other in range(-1, size + 2):
            if other != index:
                assert not verify_inclusion(leaves[index], other, size, path, root)
                assert not verify_inclusion(leaves[other], index, size, path, root)
        assert not verify_inclusion(leaves[index], index, size, path, bytes(32))
        assert not verify_inclusion(leaves[index][:31], index, size, path, root)
        assert not verify_inclusion(leaves[index], index, 0, path, root)


def test_no_inner_node_verifies_as_a_leaf() -> None:
    assert not verify_inclusion(mth(ENTRIES[:2]), 0, 4, [mth(ENTRIES[2:4])], mth(ENTRIES[:4]))
    assert verify_inclusion(mth(ENTRIES[:2]), 0, 2, [mth(ENTRIES[2:4])], mth(ENTRIES[:4]))  # why the size is asked


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 16, 21])
def test_no_wrong_consistency_proof_verifies(size: int) -> None:
    root = mth(ENTRIES[:size])
    for first in range(1, size + 1):
        path, old = HISTORY.prove_consistency(first, size), mth(ENTRIES[:first])
        assert verify_consistency(first, size, path, old, root)
        for wrong in spoil(path):
            assert not verify_consistency(first, size, wrong, old, root)
        assert not verify_consistency(first, size, path, bytes(32), root)
        assert not verify_consistency(first, size, path, old, bytes(32))
        assert not verify_consistency(first, size, path, old[:31], root)
        if first < size:
            assert not verify_consistency(size, first, path, root, old)
            assert not verify_consistency(first, size, [], old, root)
        assert not verify_consistency(0, size, path, mth([]), root)


@given(st.data())
def test_a_history_that_was_rewritten_is_not_consistent(data: st.DataObject) -> None:
    first = data.draw(st.integers(1, 40))
    size, changed = data.draw(st.integers(first, 60)), data.draw(st.integers(0, first - 1))
    fork = [*ENTRIES[:changed], encode_entry(make_publication(999)), *ENTRIES[changed + 1 : size]]
    path = subproof(first, fork)
    assert not verify_consistency(first, size, path, mth(ENTRIES[:first]), mth(fork))


def test_what_is_not_there_is_not_proved() -> None:
    small = History(ORIGIN, HISTORY.publications[:3])
    for refused in (
        lambda: small.checkpoint(0),
        lambda: small.checkpoint(4),
        lambda: History(ORIGIN, []).checkpoint(),
        lambda: small.prove_inclusion(3, 3),
        lambda: small.prove_inclusion(-1, 3),
        lambda: small.prove_inclusion(0, 4),
        lambda: small.prove_consistency(0, 3),
        lambda: small.prove_consistency(3, 2),
        lambda: small.prove(3, 3),
        lambda: small.prove(0, 3, since=4),
    ):
        with pytest.raises(UsageError, match="give"):
            refused()


@pytest.mark.parametrize("broken", ["verify_inclusion", "verify_consistency"])
def test_a_proof_that_does_not_verify_is_not_handed_out(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setattr(module, broken, lambda *_: False)
    with pytest.raises(Disagreement, match="does not verify"):
        HISTORY.prove(2, 5, since=3)


# Entries, checkpoints, documents


@given(st.tuples(st.integers(0, 2**256 - 1), st.binary(min_size=32, max_size=32)))
def test_an_entry_says_what_was_published(drawn: tuple[int, bytes]) -> None:
    number, content = drawn
    one = Publication(number, content, content[::-1], number // 2, number // 3, number // 5)
    entry = encode_entry(one)
    assert len(entry) == ENTRY_SIZE and decode_entry(entry) == one


def test_an_entry_hashes_to_the_publication_hash_of_the_vault(repository: Path) -> None:
    vectors = json.loads((repository / "data" / "vectors" / "publication_hash.json").read_text())["publications"]
    assert len(vectors) > 3
    for known in vectors:
        hashes = bytes.fromhex(known["root"][2:]), bytes.fromhex(known["manifestHash"][2:])
        fields = (known["epoch"], *hashes, int(known["providerTotal"]), int(known["userTotal"]), known["revocations"])
        assert "0x" + keccak(encode_entry(Publication(*fields))).hex() == known["publicationHash"]
        assert "0x" + publication_hash(*fields).hex() == known["publicationHash"]


def test_each_field_makes_another_entry() -> None:
    one = make_publication(5)
    changed: list[dict[str, Any]] = [{"epoch": 6}, {"root": bytes(32)}, {"manifest_hash": bytes(32)}]
    changed += [{"provider_total": 1}, {"user_total": 1}, {"revocations": 2}]
    assert len({encode_entry(one), *(encode_entry(replace(one, **change)) for change in changed)}) == 7


def test_a_checkpoint_is_three_lines() -> None:
    text = HISTORY.checkpoint(5).to_text()
    origin, size, root, rest = text.split("\n")
    assert (origin, size, rest) == (f"eip155:31337:0x{'ab' * 20}/publications", "5", "")
    assert base64.b64decode(root, validate=True) == mth(ENTRIES[:5])
    assert read_checkpoint(text.encode()) == HISTORY.checkpoint(5)
    for wrong in (b"", text[:-1].encode(), b" " + text.encode(), text.replace("5\n", "05\n").encode(), b"\xff\n1\n"):
        assert read_checkpoint(wrong) is None


def test_a_document_is_enough_for_a_stranger() -> None:
    """Only what the document says, and the hashes of the RFC."""
    told = json.loads(json.dumps(HISTORY.prove(2, 7, since=3)))
    leaf, root, old = (bytes.fromhex(t[2:]) for t in (told["leaf"], told["root"], told["consistency"]["root"]))
    paths = [[bytes.fromhex(n[2:]) for n in nodes] for nodes in (told["inclusion"], told["consistency"]["path"])]
    assert hashlib.sha256(b"\x00" + bytes.fromhex(told["entry"][2:])).digest() == leaf
    assert paths == [path_of(2, ENTRIES[:7]), subproof(3, ENTRIES[:7])]
    assert (root, old) == (mth(ENTRIES[:7]), mth(ENTRIES[:3]))
    assert told["checkpoint"].splitlines() == [told["origin"], "7", base64.b64encode(root).decode()]
    assert told["publication"] == {
        "epoch": 2,
        "root": "0x" + make_publication(2).root.hex(),
        "manifest": make_publication(2).manifest_hash.hex(),
        "provider_total": str(2 * 10**18),
        "user_total": "14",
        "revocations": 0,
    }
    assert (told["index"], told["size"], told["consistency"]["since"]) == (2, 7, 3)
    assert HISTORY.prove(2, 7)["consistency"] is None


# The gate


def store(size: int, history: History = HISTORY) -> StoredHistory:
    sizes = range(1, size + 1)
    checkpoints = {n: history.checkpoint(n).to_text().encode() for n in sizes}
    return StoredHistory(b"".join(history.entries[:size]), checkpoints, {n: history.prove_growth(n) for n in sizes})


def look(stored: StoredHistory, published: int = 6) -> list[str]:
    """Messages of the gate; every finding has its name and two values that differ."""
    findings = check_history(stored, ORIGIN, HISTORY.publications[:published])
    assert all(f.gate == "history" and f.refuses and f.expected != f.observed for f in findings)
    return [f.message for f in findings]


FORK = History(ORIGIN, [*HISTORY.publications[:2], make_publication(999), *HISTORY.publications[3:6]])


def test_a_history_that_the_chain_continues_passes() -> None:
    for size in range(7):
        assert look(store(size)) == []
        assert find_damage(store(size), ORIGIN) == []


def test_entries_beyond_the_newest_checkpoint_pass() -> None:
    """A writing that was killed: log, then proof, then checkpoint of each size."""
    whole = store(6)
    first = {n: c for n, c in whole.checkpoints.items() if n <= 3}
    assert look(replace(whole, checkpoints=first)) == []
    assert look(replace(whole, checkpoints={}, proofs={})) == []


def test_a_changed_entry_is_found() -> None:
    log = bytearray(store(5).log)
    log[2 * ENTRY_SIZE + 100] ^= 1
    checkpoints, proofs, chain = look(replace(store(5), log=bytes(log)))
    assert checkpoints == "3 checkpoint(s) are not of these entries, the first of size 3"
    assert proofs == "3 proof(s) are not of these entries, the first of size 3"
    assert chain == "the chain has another publication than entry 2"


def test_a_dropped_entry_is_found() -> None:
    whole = store(5)
    assert look(replace(whole, log=whole.log[:-ENTRY_SIZE])) == ["the log has fewer entries than a checkpoint"]
    middle = whole.log[:ENTRY_SIZE] + whole.log[2 * ENTRY_SIZE :]
    assert "the chain has another publication than entry 1" in look(replace(whole, log=middle))
    assert look(replace(whole, log=b"")) == ["the log has fewer entries than a checkpoint"]


def test_a_checkpoint_of_another_tree_is_found() -> None:
    whole = store(5)
    other = {**whole.checkpoints, 4: FORK.checkpoint(4).to_text().encode()}
    assert look(replace(whole, checkpoints=other)) == ["1 checkpoint(s) are not of these entries, the first of size 4"]
    swapped = {**whole.checkpoints, 4: whole.checkpoints[3]}
    assert look(replace(whole, checkpoints=swapped)) == [
        "1 checkpoint(s) are not of these entries, the first of size 4"
    ]


def test_checkpoints_of_another_vault_are_found() -> None:
    other = History(name_origin(1, Address("0x" + "ab" * 20)), HISTORY.publications)
    message = "3 checkpoint(s) are not of these entries, the first of size 1"
    assert message in look(store(3, other))
    assert find_damage(store(3, other), other.origin) == []


def test_a_chain_with_another_publication_is_found() -> None:
    """The folder agrees with itself: only the chain tells."""
    [finding] = check_history(store(6, FORK), ORIGIN, HISTORY.publications[:6])
    assert finding.message == "the chain has another publication than entry 2"
    assert "epoch 999," in finding.expected and "epoch 2," in finding.observed
    assert find_damage(store(6, FORK), ORIGIN) == []


def test_a_chain_with_fewer_publications_is_found() -> None:
    [finding] = check_history(store(6), ORIGIN, HISTORY.publications[:4])
    assert finding.message == "the chain shows fewer final publications than were logged"
    assert (finding.expected, finding.observed) == ("6 or more", "4")


def test_a_cut_file_is_found() -> None:
    whole = store(5)
    assert look(replace(whole, log=whole.log[:-1])) == [
        "the log ends within an entry",
        "the log has fewer entries than a checkpoint",
    ]
    cut = {**whole.checkpoints, 5: whole.checkpoints[5][:-3]}
    assert look(replace(whole, checkpoints=cut)) == ["1 checkpoint(s) are not of these entries, the first of size 5"]
    proofs = {**whole.proofs, 2: b""}
    assert look(replace(whole, proofs=proofs)) == ["1 proof(s) are not of these entries, the first of size 2"]


def test_a_missing_file_is_found() -> None:
    whole = store(5)
    without = {n: c for n, c in whole.checkpoints.items() if n != 2}
    [finding] = check_history(replace(whole, checkpoints=without), ORIGIN, HISTORY.publications[:6])
    assert finding.observed == "none" and finding.expected.endswith(whole.checkpoints[2].decode().split()[-1])
    without = {n: c for n, c in whole.proofs.items() if n != 5}
    assert look(replace(whole, proofs=without)) == ["1 proof(s) are not of these entries, the first of size 5"]


@given(st.data())
def test_no_byte_can_change_unseen(data: st.DataObject) -> None:
    whole = store(data.draw(st.integers(1, 6)))
    part = data.draw(st.sampled_from(["log", "checkpoints", "proofs"]))
    size = data.draw(st.integers(1, whole.size))
    content = whole.log if part == "log" else getattr(whole, part)[size]
    changed = bytearray(content)
    changed[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    damaged: Any = bytes(changed) if part == "log" else {**getattr(whole, part), size: bytes(changed)}
    assert look(replace(whole, **{part: damaged})) != []


def test_a_log_splits_into_its_whole_entries() -> None:
    log = store(3).log
    assert split_entries(log) == list(ENTRIES[:3])
    assert split_entries(log[:-1]) == split_entries(log[: 2 * ENTRY_SIZE]) == list(ENTRIES[:2])
    assert split_entries(b"") == split_entries(log[:191]) == []
