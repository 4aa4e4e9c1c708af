"""What is mutated, what is built from it, and which tests see it."""

from dataclasses import dataclass
from pathlib import Path

from records import digest
from source import Mutant, list_imports, make_mutants, read_code

ROOT = Path(__file__).resolve().parents[3]
CONTRACTS = ROOT / "contracts"
DEPLOYED = ["CXPTVault", "SubscriptionManager", "UsageEscrow", "CXPTToken"]
SOURCES = [
    "CXPTVault.sol",
    "VaultState.sol",
    "VaultAdministration.sol",
    "SubscriptionManager.sol",
    "UsageEscrow.sol",
    "FeePayer.sol",
    "libraries/Intake.sol",
    "CXPTToken.sol",
]
# These tests do not judge behaviour, or are somebody else's run.
NOT_RUN = {"gas", "symbolic"}


@dataclass
class Target:
    """A source that is mutated: what is built from it, and the tests that see it, likeliest killers first."""

    path: str
    contracts: dict[str, str]
    stages: list[list[str]]
    mutants: list[Mutant]
    original: str
    ground: str  # digest of all that goes into a build beside the mutated source


def read_target(path: str) -> Target:
    contracts = {
        name: f"src/{name}.sol"
        for name in DEPLOYED
        if Path("src", path) in list_imports(Path("src", f"{name}.sol"), CONTRACTS)
    }
    stages: list[list[str]] = [[], [], [], []]
    for file in sorted((CONTRACTS / "test").rglob("*.t.sol")):
        test = file.relative_to(CONTRACTS)
        needed = list_imports(test, CONTRACTS)
        if NOT_RUN & set(test.parts) or not any(Path(source) in needed for source in contracts.values()):
            continue
        foreign = any(Path(f"src/{name}.sol") in needed for name in DEPLOYED if name not in {*contracts, "CXPTToken"})
        own = test.parts[1] == "unit" and test.parts[2] in contracts
        stages[3 if "invariant" in test.parts else 0 if own else 2 if foreign else 1].append(str(test))
    source = CONTRACTS / "src" / path
    stages = [stage for stage in stages if stage]
    original = read_code(source)
    needed = {file for main in contracts.values() for file in list_imports(Path(main), CONTRACTS)}
    ground = digest(
        *(read_code(CONTRACTS / file) for file in sorted(needed)), (CONTRACTS / "artifacts/input.json").read_text()
    )
    return Target(path, contracts, stages, make_mutants(source), original, ground)
