"""The same inputs in other shapes, and what a process of its own makes of each: digests of every file of its bundles.

    python -m tests.shapes FOLDER THREADS...

FOLDER holds input folders; for each, and each number of threads in turn, a line of JSON: shape, threads, digests.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import polars as pl

from rewards.jobs.run import run_epochs
from rewards.jobs.settings import EngineName
from rewards.jobs.workspace import Workspace
from tests.bundles.forge import settings_for
from tests.worlds import HEARTBEAT_SCHEMA, USAGE_SCHEMA, write_feed

FEEDS = {"usage_records": USAGE_SCHEMA, "heartbeats": HEARTBEAT_SCHEMA}
TABLES = ("accounts", "provisions", "deposits")
Cut = Callable[[pl.DataFrame, Random], list[tuple[pl.DataFrame, str]]]
"""A day's rows to the files that they lie in: rows and suffix of each."""


def _shuffle(frame: pl.DataFrame, rng: Random) -> pl.DataFrame:
    return frame[rng.sample(range(frame.height), frame.height)]


def _split(frame: pl.DataFrame, rng: Random, suffixes: tuple[str, ...]) -> list[tuple[pl.DataFrame, str]]:
    """Shuffled rows in files of uneven sizes."""
    rows, parts = _shuffle(frame, rng), []
    for suffix in suffixes[:-1]:
        size = rng.randrange(rows.height // 2) + 1
        parts.append((rows[:size], suffix))
        rows = rows[size:]
    return [*parts, (rows, suffixes[-1])]


SHAPES: dict[str, Cut] = {
    "shuffled": lambda frame, rng: [(_shuffle(frame, rng), "parquet")],
    "reversed": lambda frame, _: [(frame.reverse(), "parquet")],
    "split": lambda frame, rng: _split(frame, rng, ("parquet",) * 4),
    "csv": lambda frame, _: [(frame, "csv")],
    "ndjson": lambda frame, rng: [(_shuffle(frame, rng), "ndjson")],
    "mixed": lambda frame, rng: _split(frame, rng, ("csv", "parquet", "ndjson")),
}


def write_shapes(inputs: Path, folder: Path) -> None:
    """The inputs as they are and in every shape, each an input folder of its own; single tables are shuffled too."""
    inputs = write_base(inputs, folder / "as-is")
    for shape, cut in SHAPES.items():
        rng = Random(shape)
        for name in TABLES:
            (folder / shape).mkdir(parents=True, exist_ok=True)
            _shuffle(pl.read_parquet(inputs / f"{name}.parquet"), rng).write_parquet(folder / shape / f"{name}.parquet")
        for feed, schema in FEEDS.items():
            for path in sorted((inputs / feed).glob("*.parquet")):
                _write_day(folder / shape / feed, path, cut, rng, schema)
    _write_small_pieces(inputs, folder / "small-row-groups")


def write_base(inputs: Path, target: Path) -> Path:
    """The inputs with null for an empty text, which no CSV file can tell from it."""
    for path in sorted(inputs.rglob("*.parquet")):
        place = target / path.relative_to(inputs)
        place.parent.mkdir(parents=True, exist_ok=True)
        told = pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)).name.keep()
        pl.read_parquet(path).with_columns(told).write_parquet(place)
    return target


def _write_day(target: Path, path: Path, cut: Cut, rng: Random, schema: dict[str, pl.DataType]) -> None:
    frame = pl.read_parquet(path)
    if feed_is_beats := "ok" in frame.columns:
        frame = frame.select(list(schema))
    for number, (rows, suffix) in enumerate(cut(frame, rng)):
        # A truth value has no text of its own in the writer of test feeds; Parquet keeps it.
        suffix = "parquet" if feed_is_beats else suffix
        write_feed(target, f"{path.stem}-{number}", rows.to_dicts(), suffix, {n: schema[n] for n in rows.columns})


def _write_small_pieces(inputs: Path, target: Path) -> None:
    for path in sorted(inputs.rglob("*.parquet")):
        place = target / path.relative_to(inputs)
        place.parent.mkdir(parents=True, exist_ok=True)
        pl.read_parquet(path).write_parquet(place, row_group_size=97, compression="uncompressed")


def close_epochs(
    inputs: Path, data: Path, threads: int, last: int = 1, engine: EngineName = "duckdb"
) -> dict[str, str]:
    """Digests of every file of the bundles of epochs 0 to `last`, by their path."""
    settings = replace(settings_for(inputs), threads=threads, engine=engine)
    for _ in run_epochs(Workspace(data), settings, range(last + 1)):
        pass
    return dict(_digest(data / "epochs"))


def _digest(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """See the module."""
    folder, threads = Path(sys.argv[1]), [int(n) for n in sys.argv[2:] if n.isdigit()]
    engine: EngineName = "spark" if "spark" in sys.argv else "duckdb"
    names = [name for name in sys.argv[2:] if name in SHAPES]
    for place, inputs in enumerate(sorted(p for p in folder.iterdir() if not names or p.name in names)):
        number = threads[place % len(threads)]
        with tempfile.TemporaryDirectory() as data:
            digests = close_epochs(inputs, Path(data), number, engine=engine)
        print(json.dumps({"shape": inputs.name, "threads": number, "digests": digests}), flush=True)


if __name__ == "__main__":
    main()
