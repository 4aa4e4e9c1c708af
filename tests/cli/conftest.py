"""The command in this process or in its own, an epoch folder that tests may read, copies that they may break."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rewards.cli import run_command

if TYPE_CHECKING:  # which imports from here
    from tests.cli.people import Ground, People


@dataclass(frozen=True)
class Said:
    """What a command answered: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The line that tells the failure, which must be the first of stderr; no traceback."""
        assert "Traceback" not in self.err
        first = self.err.splitlines()[0]
        assert first.startswith("error: ")
        return first


Rewards = Callable[..., Said]


@pytest.fixture(scope="session", autouse=True)
def own_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Locks of deployers' keys of this run alone: another run on this machine has the same keys on other chains."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def rewards(capfd: pytest.CaptureFixture[str]) -> Rewards:
    """Runs a command in this process, as the installed entry point does."""

    def run(*arguments: object) -> Said:
        capfd.readouterr()
        status = run_command([str(a) for a in arguments])
        return Said(status, *capfd.readouterr())

    return run


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without anyone's settings, and with these."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("REWARDS_") and k not in ("NO_COLOR", "COLUMNS")}
    return kept | more


def spawn_rewards(*arguments: object, environment: Mapping[str, str] | None = None) -> Said:
    """Runs a command in a process of its own."""
    call = "import sys; from rewards.cli import main; sys.argv[0] = 'rewards'; main()"
    done = subprocess.run(
        [sys.executable, "-c", call, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=dict(environment) if environment is not None else clean_environment(),
        timeout=120,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def sample(repository: Path) -> Path:
    return repository / "data" / "sample"


@pytest.fixture(scope="session")
def first_run(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """Both epochs of the sample, sealed once by the command; its data folder, for reading only, and what it said."""
    data = tmp_path_factory.mktemp("sealed")
    return data, spawn_rewards("run", "--inputs", sample, "--data", data, "--epochs", "0..1", "--verbose")


@pytest.fixture(scope="session")
def sealed(first_run: tuple[Path, Said]) -> Path:
    return first_run[0]


@pytest.fixture
def copy_of_sealed(sealed: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    shutil.copytree(sealed, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="session")
def ground(contracts: Path, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Ground]":
    """A Vault on a node of its own, with both epochs of the sample sealed for it."""
    from tests.cli.people import START, prepare_ground
    from tests.faults.node import run_node

    with run_node(contracts, start=START) as node:
        yield prepare_ground(node, contracts, sample, tmp_path_factory.mktemp("ground"))


@pytest.fixture
def people(ground: "Ground", tmp_path: Path) -> "Iterator[People]":
    """The network as it was, with blocks that come by themselves."""
    from tests.cli.people import People, mining

    ground.beginning.restore()
    with mining(ground.node):
        yield People(ground, tmp_path)
