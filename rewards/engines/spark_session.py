"""One Spark for all roll-ups of a process: it starts in seconds, lives under one folder, and stops with the process."""

import atexit
import contextlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rewards.engines.readers import one_line
from rewards.errors import UsageError

LOOPBACK = "127.0.0.1"
_STOP_S = 20


@dataclass(frozen=True)
class _Running:
    """A Spark that has started: for which master and memory, its folder, session and Java process."""

    master: str
    memory: str
    folder: Path
    session: Any
    gateway: Any

    @property
    def is_alive(self) -> bool:
        return self.folder.is_dir() and self.gateway.proc.poll() is None

    def stop(self) -> None:
        from pyspark import SparkContext

        with contextlib.suppress(Exception):  # it may have died already
            self.session.stop()
        end_java(self.gateway)
        SparkContext._gateway = SparkContext._jvm = None
        shutil.rmtree(self.folder, ignore_errors=True)


_running: list[_Running] = []


def open_session(master: str, memory: str, scratch: Path) -> Any:
    """A fresh session, with views of its own, of the process's Spark, which is started when none runs for this master
    and memory. Raises UsageError when it cannot be."""
    if _running and not (_running[0].is_alive and (_running[0].master, _running[0].memory) == (master, memory)):
        close_sessions()
    if not _running:
        _running.append(_start(master, memory, scratch))
        atexit.register(close_sessions)
    return _running[0].session.newSession()


def close_sessions() -> None:
    """Stop Spark, its Java process too, and remove what it wrote."""
    atexit.unregister(close_sessions)
    while _running:
        _running.pop().stop()


def check_installed() -> None:
    """Raise UsageError where the extra is not installed."""
    if find_spec("pyspark") is None:
        raise UsageError(
            "the engine spark is not installed; install it with pip install '.[spark]' and Java 17, or take --engine duckdb"
        )


def _start(master: str, memory: str, scratch: Path) -> _Running:
    check_installed()
    from py4j.protocol import Py4JError
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway
    from pyspark.logger import PySparkLogger
    from pyspark.sql import SparkSession

    for name in ("DataFrameQueryContextLogger", "SQLQueryContextLogger"):
        PySparkLogger.getLogger(name).disabled = True  # they tell on stderr what is then raised
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="spark-", dir=scratch.resolve()))
    conf = SparkConf(loadDefaults=False).setMaster(master).setAppName("CXPT Rewards")
    conf.setAll(list(_configuration(master, memory, folder).items()))
    submit = _make_home(folder, _is_here(master)) / "bin" / "spark-submit"
    log = folder / "log"
    gateway = None
    try:
        with log.open("w") as said:
            streams = {"stdout": said, "stderr": subprocess.STDOUT, "cwd": folder, "executable": str(submit)}
            gateway = launch_gateway(conf, streams)
        if _is_here(master):
            gateway.jvm.org.apache.spark.util.Utils.setCustomHostname(LOOPBACK)
        session = SparkSession(SparkContext(conf=conf, gateway=gateway))
    except (PySparkException, Py4JError, OSError) as error:
        reason = _last_line(log) if gateway is None else one_line(error)
        if gateway is not None:
            end_java(gateway)
        SparkContext._gateway = SparkContext._jvm = None
        shutil.rmtree(folder, ignore_errors=True)
        raise UsageError(
            f"Spark does not start with master {master} and memory {memory}: {reason}; it needs Java 17 "
            "(on Debian: apt-get install openjdk-17-jre-headless)"
        ) from error
    return _Running(master, memory, folder, session, gateway)


def end_java(gateway: Any) -> None:
    """End the Java process behind a gateway."""
    with contextlib.suppress(Exception):
        gateway.shutdown()
    with contextlib.suppress(OSError):
        gateway.proc.stdin.close()
    try:
        gateway.proc.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()


def _is_here(master: str) -> bool:
    """Whether all processes of a master run on this machine, started by this one."""
    return master.startswith("local")


def _configuration(master: str, memory: str, folder: Path) -> dict[str, str]:
    heap = f"{int(float(memory[:-2]) * (1024 if memory.endswith('GB') else 1))}m"
    cluster = re.fullmatch(r"local-cluster\[\s*\d+\s*,\s*\d+\s*,\s*(\d+)\s*]", master)
    return {
        "spark.driver.memory": heap,
        "spark.executor.memory": f"{cluster[1]}m" if cluster else heap,
        "spark.local.dir": str(folder / "local"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
        "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
        **({"spark.sql.shuffle.partitions": "8"} if _is_here(master) else {}),
        # Without check-sum files and marks of success, each of which costs a process of its own (chmod).
        "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "WARN",
        **(_loopback(folder) if _is_here(master) else {}),
    }


def _loopback(folder: Path) -> dict[str, str]:
    temporary = folder / "tmp"
    temporary.mkdir()
    options = f'-Djava.io.tmpdir="{temporary}" -XX:-UsePerfData'
    return {
        "spark.driver.host": LOOPBACK,
        "spark.driver.bindAddress": LOOPBACK,
        "spark.driver.extraJavaOptions": options,
        "spark.executor.extraJavaOptions": options,
    }


def _make_home(folder: Path, on_loopback: bool) -> Path:
    """A home for Spark that is links to its programs: the workers of `local-cluster` write into their home, and serve
    pages on every interface unless its settings name one."""
    found = find_spec("pyspark")
    assert found is not None
    assert found.submodule_search_locations is not None
    home = folder / "home"
    home.mkdir()
    for path in Path(found.submodule_search_locations[0]).iterdir():
        if path.is_dir():
            (home / path.name).symlink_to(path)
    if on_loopback and not (home / "conf").exists():
        (home / "conf").mkdir()
        (home / "conf" / "spark-env.sh").write_text(f"SPARK_LOCAL_IP={LOOPBACK}\n")
    return home


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no Java answers"
