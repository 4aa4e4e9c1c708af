"""What is mutated, and which tests judge it: the one table to change when a file or its tests move."""

import ast
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "out" / "mutation"
MUTATE = ROOT / ".ci" / "audit" / "mutate"
PYTHON = ROOT / ".venv" / "audit" / "mutmut" / "bin" / "python"


@dataclass(frozen=True)
class Group:
    """Files with one score, and the arguments of pytest for each stage: what survives one goes to the next."""

    name: str
    files: tuple[str, ...]
    stages: tuple[tuple[str, ...], ...]

    @property
    def tests(self) -> list[Path]:
        """The test files of all stages."""
        return sorted({ROOT / w.split("::")[0] for stage in self.stages for w in stage if w.startswith("tests/")})


FAULTS = (
    "tests/faults/test_rpc.py::test_the_words_of_other_clients_end_in_one_root[already known (anvil)]",
    "tests/faults/test_rpc.py::test_the_words_of_other_clients_end_in_one_root[nonce too low (anvil)]",
    "tests/faults/test_rpc.py::test_the_words_of_other_clients_end_in_one_root[underpriced (erigon)]",
    "tests/faults/test_rpc.py::test_the_words_of_other_clients_end_in_one_root[pool is full (nethermind)]",
    "tests/faults/test_reorganisations.py::test_an_intent_whose_nonce_is_gone_for_good_is_signed_anew",
    "tests/faults/test_reorganisations.py::test_a_nonce_that_another_took_in_a_block_that_goes_away_is_not_given_up",
    "tests/faults/test_reorganisations.py::test_on_a_fork_with_a_rival_root_nothing_of_ours_goes_through[pooled-2]",
    "tests/faults/test_rpc.py::test_above_the_cap_nothing_is_replaced_and_the_wait_is_told",
    "tests/faults/test_rpc.py::test_a_transaction_below_the_base_fee_is_replaced_by_the_rule_of_geth",
)
"""A few of hundreds, each another way through; all of them would take minutes for each survivor."""

GROUPS = (
    Group("allocation", ("rewards/allocation.py",), (("tests/test_allocation.py",), ("tests/test_reference.py",))),
    Group(
        "distribution",
        ("rewards/distribution.py",),
        (
            ("tests/test_distribution.py", "-k", "not order_of_rows"),
            ("tests/test_compute.py", "-k", "not week and not order_of_rows"),
        ),
    ),
    Group(
        "merkle",
        ("rewards/merkle.py",),
        (
            ("tests/test_merkle.py", "-k", "not library and not kernel_hashes and not thousands and not damaged"),
            ("tests/test_merkle.py", "-k", "kernel_hashes or thousands or damaged"),
        ),
    ),
    Group(
        "gates",
        ("rewards/gates.py",),
        (
            ("tests/test_gates.py", "-k", "not seals and not reference"),
            ("tests/test_history.py", "-k", "found or passes or pass"),
        ),
    ),
    Group("judgement", ("rewards/judgement.py",), (("tests/test_judgement.py",),)),
    Group(
        "transactions",
        tuple(f"rewards/chain/{name}.py" for name in ("fees", "intent", "pursuit", "sender", "endpoints")),
        (
            ("tests/chain/test_fees.py", "tests/chain/test_endpoints.py", "tests/chain/test_execute.py"),
            ("tests/chain/test_sender.py", "tests/chain/test_client.py"),
            FAULTS,
        ),
    ),
)


@dataclass(frozen=True)
class Mutant:
    """A file with one change. `part` is the function or class that has it, `text` all. Line numbers move; `name` stays as
    long as the statement does."""

    file: str
    line: int
    function: str
    original: str
    mutated: str
    part: str
    text: str

    @property
    def name(self) -> tuple[str, str, str, str]:
        """What results and answers are kept under."""
        return self.file, self.function, self.original, self.mutated


def digest(*texts: str) -> str:
    """SHA-256 of texts in their order, in hex."""
    return sha256("\0".join(texts).encode()).hexdigest()


def list_mutants(file: str) -> list[Mutant]:
    """Every mutant of a file, made by `.ci/audit/mutate` or kept from when the file was the same."""
    code = ast.dump(ast.parse((ROOT / file).read_text()))
    kept = KEPT / f"{digest(code, MUTATE.read_text())}.jsonl"
    if not kept.exists():
        made = subprocess.run([PYTHON, MUTATE, ROOT / file], check=True, capture_output=True, text=True).stdout
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(made)
    return [Mutant(file, **json.loads(line)) for line in kept.read_text().splitlines()]


def draw(mutants: list[Mutant], most: int | None, seed: int) -> Iterator[Mutant]:
    """A sample that a larger one contains; all of them where there are no more."""
    return iter(sorted(mutants, key=lambda mutant: digest(str(seed), *mutant.name))[:most])
