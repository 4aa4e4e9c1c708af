"""The `.tree` specifications and the Solidity tests beside them say the same, and no function goes without."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

TESTS = ROOT / "contracts" / "test"
TREES = sorted(TESTS.rglob("*.tree"))
UNITS = TESTS / "unit"

# Functions of OpenZeppelin's that are not specified here again: they are its own, tested by it, and used by every test.
INHERITED = {"approve", "transferFrom"}
# Functions whose folder has another name.
ELSEWHERE = dict.fromkeys(("acceptOwnership", "renounceOwnership", "transferOwnership"), "ownership")


@dataclass(frozen=True)
class Branch:
    """One path of a tree: its last condition, and its leaves."""

    condition: str
    leaves: tuple[str, ...]

    @property
    def test(self) -> str:
        """The name of its test: `test_WhenTheBatchIsEmpty`, `test_RevertGiven_ThePoolIsFull`."""
        kind, _, rest = self.condition.partition(" ")
        words = "".join(word[0].upper() + word[1:] for word in rest.split())
        if any(leaf.startswith("it should revert") for leaf in self.leaves):
            return f"test_Revert{kind.capitalize()}_{words}"
        return f"test_{kind.capitalize()}{words}"


def read_tree(text: str) -> Iterator[Branch | str]:
    """The branches of a specification; a line that is none is given as a complaint."""
    conditions: list[str] = []
    found: dict[tuple[str, ...], list[str]] = {}
    for number, line in enumerate(text.rstrip("\n").splitlines()[1:], 2):
        match = re.fullmatch(r"((?:│   |    )*)[├└]── (.+)", line)
        if match is None:
            yield f"line {number} is no line of a tree: {line!r}"
            continue
        depth, words = len(match[1]) // 4, match[2]
        del conditions[depth:]
        if words.startswith("it should "):
            found.setdefault(tuple(conditions), []).append(words)
        elif re.fullmatch(r"(when|given) [\w ]+", words) and len(conditions) == depth:
            conditions.append(words)
            found.setdefault(tuple(conditions), [])
        else:
            yield f"line {number}: begin with when, given or it should: {words!r}"
    for path, leaves in found.items():
        if leaves and path:
            yield Branch(path[-1], tuple(leaves))
        elif not any(other[: len(path)] == path and other != path for other in found):
            yield f"{path[-1] if path else 'the root'}: say what it should do"


def read_tests(text: str) -> dict[str, tuple[str, ...]]:
    """Test functions of a Solidity file, with their `// it should …` comments in order."""
    bodies = re.finditer(r"function (test\w*)\([^)]*\)[^{;]*\{(.*?)\n    \}", text, re.DOTALL)
    return {m[1]: tuple(re.findall(r"//\s*(it should .*)", m[2])) for m in bodies}


def compare(tree: str, solidity: str) -> list[str]:
    """What differs between a specification and its tests, each with what to do."""
    branches = list(read_tree(tree))
    complaints = [b for b in branches if isinstance(b, str)]
    tests = read_tests(solidity)
    specified = [b for b in branches if isinstance(b, Branch)]
    names = [b.test for b in specified]
    complaints += [f"two branches are named {name}; tell them apart" for name in set(names) if names.count(name) > 1]
    for branch in specified:
        if branch.test not in tests:
            complaints.append(f"write {branch.test}, or take {branch.condition!r} out of the tree")
        elif tests[branch.test] != branch.leaves:
            complaints.append(f"{branch.test}: its comments are {tests[branch.test]}, the tree says {branch.leaves}")
    complaints += [f"{name} has no branch; add it to the tree" for name in tests if name not in names]
    return complaints


@pytest.mark.parametrize("tree", TREES, ids=lambda path: str(path.relative_to(TESTS)))
def test_tree_and_tests_agree(tree: Path) -> None:
    root = tree.read_text().splitlines()[0]
    assert root.endswith(f"::{tree.stem}"), f"the first line of {tree.name} must end with ::{tree.stem}"
    assert compare(tree.read_text(), tree.with_suffix(".t.sol").read_text()) == []


@pytest.mark.parametrize("contract", ["CXPTToken", "CXPTVault", "SubscriptionManager", "UsageEscrow"])
def test_every_function_that_changes_state_has_its_folder(contract: str) -> None:
    abi = json.loads((ROOT / "contracts" / "artifacts" / f"{contract}.json").read_text())["abi"]
    changing = {e["name"] for e in abi if e["type"] == "function" and e["stateMutability"] not in ("view", "pure")}
    wanted = {ELSEWHERE.get(name, name) for name in changing - INHERITED} | {"constructor"}
    present = {tree.stem for tree in (UNITS / contract).glob("*/*.tree")}
    assert wanted - present == set(), f"specify them in contracts/test/unit/{contract}/<function>/"


def test_every_unit_test_has_a_tree() -> None:
    tests = {path.with_suffix("").with_suffix("") for path in UNITS.rglob("*.t.sol")}
    assert tests == {tree.with_suffix("") for tree in TREES if tree.is_relative_to(UNITS)}
    assert len(TREES) > 50


TREE = """A::b
├── when it rains
│   ├── it should be wet
│   └── it should be grey
└── given a cage
    └── when the door is shut
        └── it should revert with Shut
"""
SOLIDITY = """
    function test_WhenItRains() external {
        // it should be wet
        x;
        // it should be grey
    }

    function test_RevertWhen_TheDoorIsShut() external view {
        // it should revert with Shut
    }
"""


def test_a_tree_like_its_tests_is_fine() -> None:
    assert compare(TREE, SOLIDITY) == []


@pytest.mark.parametrize(
    ("tree", "solidity", "complaint"),
    [
        (TREE, SOLIDITY.replace("test_WhenItRains", "test_WhenItSnows"), "write test_WhenItRains"),
        (TREE, SOLIDITY.replace("test_WhenItRains", "test_WhenItSnows"), "test_WhenItSnows has no branch"),
        (TREE, SOLIDITY.replace("// it should be grey", ""), "the tree says ('it should be wet', 'it should be grey')"),
        (TREE.replace("it should revert with", "it should open with"), SOLIDITY, "write test_WhenTheDoorIsShut"),
        (TREE.replace("├── when it rains", "when it rains"), SOLIDITY, "line 2 is no line of a tree"),
        (TREE.replace("when it rains", "as it rains"), SOLIDITY, "begin with when, given or it should"),
        (TREE + "└── when nothing follows\n", SOLIDITY, "say what it should do"),
    ],
)
def test_a_difference_is_told(tree: str, solidity: str, complaint: str) -> None:
    assert complaint in "\n".join(compare(tree, solidity))
