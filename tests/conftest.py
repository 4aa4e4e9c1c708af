"""What every test stands on: a clean environment, an empty folder to run in, reproducible examples, the real inputs."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

ROOT = Path(__file__).resolve().parent.parent
REAL_INPUTS = ROOT.parent / "shared" / "data" / "real"

settings.register_profile(
    "dev",
    deadline=None,
    max_examples=60,
    database=DirectoryBasedExampleDatabase(ROOT / ".hypothesis" / "examples"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "ci",
    deadline=None,
    max_examples=120,
    database=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module is imported: no setting of the person who runs the tests, no telemetry."""
    chosen = config.getoption("--hypothesis-profile", default=None)
    settings.load_profile(chosen or ("ci" if os.environ.get("CI") else "dev"))
    for name in [name for name in os.environ if name.upper().startswith(("REWARDS_", "PREFECT_"))]:
        del os.environ[name]
    home = tempfile.TemporaryDirectory(prefix="prefect-", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    os.environ |= {"DO_NOT_TRACK": "1", "PREFECT_HOME": home.name, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


@pytest.fixture(scope="session", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests run in an empty folder: no `.env` is read, nothing lands in the repository. Paths start at `repository`. No
    terminal has a width: workers of xdist are told one."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COLUMNS", "LINES"):
            patch.delenv(name, raising=False)
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def real_inputs() -> Path:
    """The folder of real input tables; skips where it is not there."""
    if not REAL_INPUTS.is_dir():
        pytest.skip("no real inputs: the folder ../shared/data/real is not beside this repository")
    return REAL_INPUTS


def has_locked_packages(home: Path) -> bool:
    """Whether npm has installed what the lock file says now; packages for other machines may be missing."""
    installed = home / "node_modules" / ".package-lock.json"
    if not installed.is_file():
        return False
    here, locked = (json.loads(path.read_text())["packages"] for path in (installed, home / "package-lock.json"))
    return all(
        package["integrity"] == here.get(name, {}).get("integrity") or (package.get("optional") and name not in here)
        for name, package in locked.items()
        if name
    )


@pytest.fixture(scope="session")
def contracts(repository: Path) -> Path:
    """The contracts' folder with its npm packages (compiler, OpenZeppelin's libraries, anvil) installed.

    Skips where Node is missing or npm cannot install; in CI both are failures.
    """
    home = repository / "contracts"
    problem = None if shutil.which("node") and shutil.which("npm") else "Node and npm are not installed"
    with (home / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if problem is None and not has_locked_packages(home):
            command = ["npm", "ci", "--no-audit", "--no-fund"]
            installed = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=280, check=False)
            if installed.returncode:
                problem = f"npm ci failed: {installed.stderr.strip().splitlines()[-1:]}"
    if problem and os.environ.get("CI") == "true":
        pytest.fail(f"{problem}; CI must run the compiler, OpenZeppelin's JavaScript library and anvil")
    if problem:
        pytest.skip(f"{problem}: nothing to run the compiler, OpenZeppelin's JavaScript library or anvil with")
    return home
