"""Which engine rolls usage up: DuckDB on this machine, or Apache Spark on one or many."""

import os
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from rewards.engines.duckdb import DuckDBEngine
from rewards.engines.spark import SparkEngine
from rewards.engines.spark_session import check_installed
from rewards.errors import UsageError
from rewards.jobs.settings import EngineName
from rewards.ports import Engine


def check_engine(name: EngineName) -> None:
    """Raise UsageError where an engine cannot run."""
    if name != "spark":
        return
    check_installed()
    if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
        raise UsageError(
            "the engine spark needs Java 17, which is not here; install it, or set JAVA_HOME to where it is"
        )


def open_engine(
    name: EngineName,
    master: str,
    memory: str,
    spill: str | None,
    threads: int | None,
    scratch: Path,
    on_stage: Callable[[str], None],
) -> Engine:
    """The engine of a run; `master` is Spark's alone, `threads` and `spill` DuckDB's."""
    if name == "spark":
        return SparkEngine(scratch, master, memory, on_stage)
    return DuckDBEngine(scratch, memory, threads, on_stage, spill)


def engine_versions(name: EngineName) -> dict[str, str]:
    """The libraries that read the input; DuckDB checks it before Spark reads."""
    return {"duckdb": version("duckdb")} | ({"pyspark": version("pyspark")} if name == "spark" else {})
