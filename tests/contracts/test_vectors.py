"""The vectors that Python and Solidity share (contracts/test/vectors reads the same files), against the real Vault too."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rewards.chain.vault import publication_hash
from rewards.errors import UsageError
from rewards.merkle import ClaimTree, hash_leaf
from rewards.units import ZERO_ROOT, checksum
from tests.contracts.world import CXPT, World, manifest_of

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "data" / "vectors"
READERS = ROOT / "contracts" / "test" / "vectors"
CODES = ("Due", "NothingDue", "InvalidPool", "InvalidAccount", "InvalidProof", "PromiseExceeded")
TOTALS = 100 * CXPT, 50 * CXPT  # what every root here promises, but the zero root

# What an attacker tries, by the words of the vectors.
ATTACKS = (
    r"proof of another leaf",
    r"inner node in the place of a leaf",
    r"root's two nodes in the place of a leaf",
    r"node is missing",
    r"every node is missing",
    r"leaves hashed once",
    r"64 bytes",
    r"packed leaves",
    r"other pool, by the account's proof",
    r"amount and 2\^96",
    r"largest amount of all",
    r"zero root",
    r"zero account",
    r"pool 0",
    r"lone leaf",
)


def read(name: str) -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((VECTORS / name).read_text())
    return vectors


def to_bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def to_nodes(vector: dict[str, Any]) -> list[bytes]:
    return [to_bytes(node) for node in vector["proof"]]


TREES = read("claim_tree.json")["trees"]
BAD_PROOFS = read("claim_tree.json")["badProofs"]
PUBLICATIONS = read("publication_hash.json")["publications"]


def test_both_languages_read_the_same_files() -> None:
    named = {
        name for path in READERS.glob("*.t.sol") for name in re.findall(r'"\.\./data/vectors/(.*)"', path.read_text())
    }
    assert named == {"claim_tree.json", "publication_hash.json"}
    assert {path.name for path in VECTORS.glob("*.json")} == named


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_known_attack_is_among_the_bad_proofs(attack: str) -> None:
    assert any(re.search(attack, vector["why"]) for vector in BAD_PROOFS)


def test_every_leaf_verifies_in_its_tree_alone() -> None:
    for tree in TREES:
        for leaf in tree["leaves"]:
            value = leaf["pool"], leaf["account"], int(leaf["cumulativeAmount"])
            assert hash_leaf(*value) == to_bytes(leaf["leaf"])
            verdicts = [ClaimTree.verify(to_bytes(other["root"]), *value, to_nodes(leaf)) for other in TREES]
            assert verdicts == [other is tree for other in TREES]


@pytest.mark.parametrize(
    ("pool", "account", "amount"),
    [(256, "0x" + "11" * 20, 1), (1, "0x" + "11" * 21, 1), (1, "0x" + "11" * 20, 2**256), (1, "0x" + "11" * 20, -1)],
)
def test_a_value_beyond_its_type_is_no_leaf(pool: int, account: str, amount: int) -> None:
    with pytest.raises(UsageError):
        ClaimTree.verify(ZERO_ROOT, pool, account, amount, [])


# ── The Vault ────────────────────────────────────────────────────────────────────────────────────────────────────────


def activate(world: World, root: bytes) -> int:
    """The epoch in which a root is now active; it promises nothing if it is zero, and TOTALS otherwise."""
    epoch = world.view("nextEpoch")
    totals = (0, 0) if root == ZERO_ROOT else TOTALS
    world.send("publisher", "publishRoot", epoch, root, *totals, manifest_of(epoch), 0)
    world.send("attester", "attestRoot", epoch, publication_hash(epoch, root, manifest_of(epoch), *totals, 0))
    world.embedded.set_time(world.view("rootAt", epoch)[4])
    return int(epoch)


def to_arguments(vector: dict[str, Any]) -> tuple[int, str, int, list[bytes]]:
    return vector["pool"], checksum(vector["account"]), int(vector["cumulativeAmount"]), to_nodes(vector)


def group_by_root(vectors: list[dict[str, Any]]) -> Iterator[tuple[bytes, list[dict[str, Any]]]]:
    """The zero root first: totals never fall."""
    for root in sorted({to_bytes(vector["root"]) for vector in vectors}):
        yield root, [vector for vector in vectors if to_bytes(vector["root"]) == root]


def test_the_vault_knows_every_leaf(funded: World) -> None:
    for tree in TREES:
        epoch = activate(funded, to_bytes(tree["root"]))
        for leaf in tree["leaves"]:
            amount = int(leaf["cumulativeAmount"])
            payable = amount <= TOTALS[leaf["pool"] - 1]
            answer = funded.view("claimable", epoch, *to_arguments(leaf))
            assert answer == ([amount, CODES.index("Due")] if payable else [0, CODES.index("PromiseExceeded")])


def test_the_vault_refuses_every_bad_proof(funded: World) -> None:
    before = funded.balance(funded.deployment.vault)
    for root, vectors in group_by_root(BAD_PROOFS):
        epoch = activate(funded, root)
        answers = {vector["why"]: funded.view("claimable", epoch, *to_arguments(vector)) for vector in vectors}
        assert answers == {vector["why"]: [0, CODES.index(vector["refusal"])] for vector in vectors}
        receipt = funded.send("stranger", "claimMany", epoch, [to_arguments(vector) for vector in vectors])
        skips = [
            {"index": index, "account": checksum(vector["account"]), "code": CODES.index(vector["refusal"])}
            for index, vector in enumerate(vectors)
        ]
        assert funded.events(receipt) == [("ClaimSkipped", skip) for skip in skips]
    assert funded.balance(funded.deployment.vault) == before


# ── Publication hashes ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("vector", PUBLICATIONS, ids=lambda vector: str(vector["epoch"]))
def test_golden_publication_hashes(vector: dict[str, Any]) -> None:
    root, manifest_hash, expected = (to_bytes(vector[name]) for name in ("root", "manifestHash", "publicationHash"))
    totals = int(vector["providerTotal"]), int(vector["userTotal"])
    assert publication_hash(vector["epoch"], root, manifest_hash, *totals, vector["revocations"]) == expected


def test_golden_publication_hashes_are_what_eth_abi_says() -> None:
    command = [sys.executable, str(VECTORS / "make_publication_hash.py")]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert made == (VECTORS / "publication_hash.json").read_text()


def test_publications_differ_in_every_part() -> None:
    assert len({vector["publicationHash"] for vector in PUBLICATIONS}) == len(PUBLICATIONS) >= 10
    for name in ("epoch", "root", "providerTotal", "userTotal", "revocations"):
        assert len({vector[name] for vector in PUBLICATIONS}) > 1, name
