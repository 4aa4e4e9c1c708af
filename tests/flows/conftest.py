"""One Prefect server for all tests of the flows; no attempt waits, and the night is that after epoch 1."""

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness
from prefect.types import DateTime

from flows import nightly


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of a Prefect server on loopback, with a database of its own."""
    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())


@pytest.fixture
def night(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is scheduled for 00:45 after epoch 1, and tries again at once."""
    monkeypatch.setitem(vars(flow_run), "scheduled_start_time", DateTime(2026, 1, 9, 0, 45, tzinfo=UTC))
    for step in (nightly.close, nightly.publish):
        monkeypatch.setattr(step, "retry_delay_seconds", 0)


@pytest.fixture(scope="session")
def sample(repository: Path) -> Path:
    return repository / "data" / "sample"
