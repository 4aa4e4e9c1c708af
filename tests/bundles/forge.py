"""Sealing the sample, and forging what was sealed: a stranger who changes files and then makes every digest right
again."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import rfc8785

from rewards.bundles.store import Bundle, encode_frame
from rewards.epoch import Calendar
from rewards.jobs.prepare import RunSettings
from rewards.jobs.run import run_epochs
from rewards.jobs.settings import Settings
from rewards.jobs.workspace import Workspace
from rewards.ports import VaultReader
from rewards.schemas import PUBLISHED

CALENDAR = Calendar.from_genesis(datetime(2026, 1, 7, tzinfo=UTC))
POLICIES: Path = Settings.model_fields["policies"].default
TABLES = {table.name: table for table in PUBLISHED}


def settings_for(inputs: Path, vault: VaultReader | None = None) -> RunSettings:
    return RunSettings(inputs, POLICIES, CALENDAR, vault, threads=1)


def seal_sample(data: Path, inputs: Path, last: int = 1) -> Workspace:
    """Epochs 0 to `last` of an input folder, sealed without a chain."""
    workspace = Workspace(data)
    for _ in run_epochs(workspace, settings_for(inputs), range(last + 1)):
        pass
    return workspace


def edit_table(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Rewrite one Parquet file of an input folder."""
    change(pl.read_parquet(path)).write_parquet(path)


def encode_changed(bundle: Bundle, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> bytes:
    """A table of the bundle, changed, in its published form."""
    frame = pl.read_parquet(io.BytesIO((bundle.folder / f"{name}.parquet").read_bytes()))
    return encode_frame(TABLES[name], change(frame))


def reseal(
    folder: Path, files: Mapping[str, bytes], change: Callable[[dict[str, Any]], object] = lambda _: None
) -> None:
    """Replace files of a bundle, change its manifest, and make every digest agree again."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for name, content in files.items():
        (folder / name).write_bytes(content)
        manifest["files"][name] = hashlib.sha256(content).hexdigest()
    change(manifest)
    source = rfc8785.dumps(manifest)
    (folder / "manifest.json").write_bytes(source)
    (folder / "manifest.sha256").write_text(f"{hashlib.sha256(source).hexdigest()}  manifest.json\n")


def add_unit(frame: pl.DataFrame, column: str, row: int = 0, units: int = 1) -> pl.DataFrame:
    """One number of one row raised (or lowered) by some units."""
    values = frame[column].to_list()
    values[row] += units
    return frame.with_columns(pl.Series(column, values, dtype=frame.schema[column]))
