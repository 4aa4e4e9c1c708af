"""Which engine a run takes, and that a missing one is said before anything is touched."""

from pathlib import Path

import pytest

from rewards.engines import spark_session
from rewards.engines.duckdb import DuckDBEngine
from rewards.errors import UsageError
from rewards.jobs.engines import check_engine, engine_versions, open_engine
from rewards.jobs.prepare import run_settings
from rewards.jobs.settings import load_settings


def test_duckdb_is_the_engine_unless_another_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert (load_settings().engine, load_settings().spark_master) == ("duckdb", "local[2]")
    monkeypatch.setenv("REWARDS_ENGINE", "spark")
    monkeypatch.setenv("REWARDS_SPARK_MASTER", "spark://host:7077")
    assert (load_settings().engine, load_settings().spark_master) == ("spark", "spark://host:7077")
    engine = open_engine("duckdb", "local[2]", "1GB", None, 1, tmp_path, lambda _: None)
    assert isinstance(engine, DuckDBEngine)
    assert set(engine_versions("duckdb")) == {"duckdb"}


@pytest.mark.parametrize("master", ["yarn", "local[", "local-cluster[2]", "spark://", "local[2] "])
def test_another_master_is_refused(master: str) -> None:
    with pytest.raises(UsageError, match="mend --master"):
        load_settings(spark_master=master)


def test_a_missing_spark_or_java_is_said_before_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load_settings(inputs=tmp_path, engine="spark")
    monkeypatch.setattr(spark_session, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install '\.\[spark\]' and Java 17"):
        run_settings(settings)
    monkeypatch.setattr(spark_session, "find_spec", lambda _: object())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(UsageError, match="needs Java 17"):
        run_settings(settings)
    check_engine("duckdb")
