"""`prefect.yaml`: what it declares exists, fits the flow, and comes after the grace."""

import asyncio
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from prefect import Flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.exceptions import ParameterTypeError
from prefect.flows import load_flow_from_entrypoint
from prefect.server.schemas.schedules import CronSchedule


@pytest.fixture(scope="module")
def deployment(repository: Path) -> dict[str, Any]:
    (found,) = yaml.safe_load((repository / "prefect.yaml").read_text())["deployments"]
    return dict(found)


@pytest.fixture
def flow(deployment: dict[str, Any], repository: Path, monkeypatch: pytest.MonkeyPatch) -> Flow[..., Any]:
    """What the entrypoint leads to, loaded as a worker does."""
    monkeypatch.chdir(repository)
    return load_flow_from_entrypoint(deployment["entrypoint"])


def test_entrypoint_is_the_flow_of_that_name(deployment: dict[str, Any], flow: Flow[..., Any]) -> None:
    assert flow.name == deployment["name"] == "nightly"


def test_parameters_fit_the_flow(deployment: dict[str, Any], flow: Flow[..., Any]) -> None:
    assert set(deployment["parameters"]) == set(flow.parameters.properties)
    assert flow.validate_parameters(deployment["parameters"]) == deployment["parameters"]
    with pytest.raises(ParameterTypeError, match="greater than or equal to 0"):
        flow.validate_parameters(deployment["parameters"] | {"epoch": -1})


def test_runs_every_night_after_the_grace(deployment: dict[str, Any], repository: Path) -> None:
    (schedule,) = deployment["schedules"]
    policy = tomllib.loads(sorted((repository / "data" / "policies").glob("*.toml"))[-1].read_text())
    grace = timedelta(minutes=policy["rows"]["grace_minutes"])
    midnight = datetime(2026, 10, 25, tzinfo=UTC)  # clocks change in many places on this day
    starts = asyncio.run(CronSchedule(**schedule).get_dates(n=3, start=midnight))
    assert starts == [midnight + timedelta(days=day, minutes=45) for day in range(3)]
    assert starts[0] > midnight + grace


def test_one_run_at_a_time_and_none_is_lost(deployment: dict[str, Any]) -> None:
    limit = ConcurrencyLimitConfig(**deployment["concurrency_limit"])
    assert (limit.limit, limit.collision_strategy) == (1, ConcurrencyLimitStrategy.ENQUEUE)


def test_worker_keeps_prefect_quiet(deployment: dict[str, Any]) -> None:
    quiet = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    assert deployment["work_pool"]["job_variables"]["env"] == quiet
