"""Whether the lock files are in step with pyproject.toml: what is declared, all it needs, nothing else; hashes, no URL.

Reads the metadata of what is installed here, so the closure is that of this Python on this system. Exit code 1 with one
line for each disagreement.
"""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = ".ci/requirements.lock"
SPARK_LOCK = ".ci/spark.lock"
"""Of the extra `spark`, which need not be installed here: only its form and versions are checked."""


def read_declared() -> tuple[list[Requirement], list[Requirement]]:
    """What the project and its developers need, and what Spark's engine needs besides."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    all_needs = project["dependencies"] + extras["dev"]
    return [Requirement(text) for text in all_needs], [Requirement(text) for text in extras["spark"]]


def read_locked(lock: str) -> tuple[dict[str, Requirement], list[str]]:
    """Requirements of a lock file that hold here by name, and faults of form."""
    text = (ROOT / lock).read_text()
    faults = [
        f"{lock}: holds an address: {line}" for line in text.splitlines() if re.search("://|--.*(index|find)", line)
    ]
    locked = {}
    for entry in re.sub(r"\\\n", " ", text).splitlines():
        pin, *hashes = entry.split("--hash=")
        requirement = Requirement(pin)
        if not hashes or any(not re.fullmatch(r"sha256:[0-9a-f]{64}\s*", text) for text in hashes):
            faults.append(f"{lock}: {requirement.name} has no sha256")
        if holds(requirement, set()):
            locked[canonicalize_name(requirement.name)] = requirement
    return locked, faults


def holds(requirement: Requirement, extras: set[str]) -> bool:
    """Whether the requirement's marker applies here, with any of the extras or none."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})


def find_faults(declared: list[Requirement], locked: dict[str, Requirement]) -> list[str]:
    """Walks from the declared packages through all that they need."""
    faults: list[str] = []
    walked: set[tuple[str, frozenset[str]]] = set()
    waiting = [("pyproject.toml", requirement) for requirement in declared]
    while waiting:
        origin, requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in locked:
            faults.append(f"{origin} needs {requirement}, which {LOCK} lacks")
            continue
        version = next(iter(locked[name].specifier)).version
        if not requirement.specifier.contains(version, prereleases=True):
            faults.append(f"{origin} needs {requirement}, {LOCK} has {version}")
        step = (name, frozenset(requirement.extras))
        if step not in walked:
            walked.add(step)
            needs = [Requirement(text) for text in metadata.requires(name) or []]
            waiting += [(name, need) for need in needs if holds(need, requirement.extras)]
    reached = {name for name, _ in walked}
    return faults + [f"{LOCK} has {name}, which nothing needs" for name in sorted(locked.keys() - reached)]


def find_strays(locked: dict[str, Requirement]) -> list[str]:
    """Packages that are installed in another version than the locked one, which would mislead the walk."""
    found = {name: metadata.version(name) for name in sorted(locked)}
    return [
        f"{name} {found[name]} is installed, not {pin}"
        for name, pin in locked.items()
        if found[name] not in pin.specifier
    ]


def find_wrong_versions(declared: list[Requirement], locked: dict[str, Requirement]) -> list[str]:
    """Declared packages that Spark's lock file lacks or has in another version."""
    found = {need.name: locked.get(canonicalize_name(need.name)) for need in declared}
    return [
        f"pyproject.toml needs {need}, {SPARK_LOCK} has {pin or 'none'}"
        for need in declared
        if (pin := found[need.name]) is None or pin.specifier != need.specifier
    ]


def main() -> int:
    declared, for_spark = read_declared()
    locked, faults = read_locked(LOCK)
    spark_locked, spark_faults = read_locked(SPARK_LOCK)
    faults += find_faults(declared, locked) + find_strays(locked)
    faults += spark_faults + find_wrong_versions(for_spark, spark_locked)
    for fault in faults:
        print(fault)
    if faults:
        print("lock file: run `make lock`, then `make`")
    else:
        print(f"lock file: {len(locked)} packages, in step")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
