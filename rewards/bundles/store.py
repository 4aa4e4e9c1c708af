"""Epoch folders under `data/`: complete or absent, named by number, never changed; and the provenance beside them."""

import hashlib
import io
import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rewards.bundles.disk import move_file, move_into_place, stage_folder, write_file
from rewards.corrections import FILE, decode_records, encode_records, list_records, tabulate_records
from rewards.errors import Disagreement, InputError
from rewards.manifest import FILES, Manifest, parse_manifest
from rewards.ports import EpochInputs
from rewards.schemas import ACCOUNTS, DEPOSITS, HEARTBEATS_ROLLUP, PROVISIONS, PUBLISHED, ROLLUP, Table

ROW_GROUP = 1 << 17
TABLES = {f"{table.name}.parquet": table for table in PUBLISHED}


def encode_frame(table: Table, frame: pl.DataFrame) -> bytes:
    """A frame as Parquet bytes: canonical order, one compression, a fixed row-group size. Equal values give equal
    bytes."""
    buffer = io.BytesIO()
    table.check(table.arrange(frame)).write_parquet(
        buffer, compression="zstd", row_group_size=ROW_GROUP, statistics=True
    )
    return buffer.getvalue()


def encode_corrections(frame: pl.DataFrame) -> bytes:
    """`schemas.CORRECTIONS` as the canonical file."""
    return encode_records(list_records(frame))


def decode_corrections(content: bytes) -> pl.DataFrame:
    """The corrections of `corrections.json`; raises InputError where the file is not what `encode_corrections`
    writes."""
    try:
        frame = tabulate_records(decode_records(content, FILE))
    except InputError as error:
        raise InputError(f"{error}; get the published file again") from error
    if encode_corrections(frame) != content:
        raise InputError(f"{FILE} is not in its canonical form; get the published file again")
    return frame


@dataclass(frozen=True)
class Bundle:
    """One published epoch, read from its folder."""

    folder: Path
    manifest: Manifest

    def content(self, name: str) -> bytes:
        """A file's bytes; raises Disagreement when they are not those the manifest commits to."""
        path = self.folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Disagreement(f"{path} cannot be read: {error.strerror}; get the published file again") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.manifest.files[name]:
            raise Disagreement(
                f"{path} has SHA-256 {found}; the manifest says {self.manifest.files[name]}; get it again"
            )
        return content

    def frame(self, table: Table) -> pl.DataFrame:
        """A table of the bundle, its digest and its model checked; raises Disagreement where either does not fit."""
        name = f"{table.name}.parquet"
        content = self.content(name)
        try:
            frame = pl.read_parquet(io.BytesIO(content))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise Disagreement(f"{self.folder / name} is not Parquet: {error}; get the published file again") from error
        try:
            return table.check(frame, str(self.folder / name))
        except InputError as error:
            raise Disagreement(f"{error}; get the published file again") from error

    def inputs(self) -> EpochInputs:
        """All that the epoch was computed from, but for the epoch before and the policy; raises Disagreement as `frame`
        does."""
        chain = self.manifest.chain
        return EpochInputs(
            epoch=self.manifest.epoch,
            rollup=self.frame(ROLLUP),
            heartbeats=self.frame(HEARTBEATS_ROLLUP),
            accounts=self.frame(ACCOUNTS),
            provisions=self.frame(PROVISIONS),
            deposits=self.frame(DEPOSITS),
            corrections=self.corrections(),
            forbidden=frozenset({chain.token, chain.vault}) if chain else frozenset(),
            limits=chain.limits if chain else None,
        )

    def corrections(self) -> pl.DataFrame:
        """The corrections that entered the epoch; raises Disagreement as `frame` does."""
        content = self.content(FILE)
        try:
            return decode_corrections(content)
        except InputError as error:
            raise Disagreement(f"{self.folder}: {error}") from error

    @contextmanager
    def tree(self) -> Iterator[mmap.mmap]:
        """`tree.bin` mapped into memory: a proof is a handful of reads. Its digest is not checked here; proofs check
        themselves."""
        path = self.folder / "tree.bin"
        try:
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # an empty file cannot be mapped
            raise Disagreement(f"{path} cannot be read: {error}; get the published file again") from error
        with mapped:
            yield mapped

    def check(self) -> None:
        """Raise Disagreement unless every file of the promise, and no other, is there with the digest of the
        manifest."""
        try:
            found = {p.name for p in self.folder.iterdir()}
        except OSError as error:
            raise Disagreement(
                f"{self.folder} cannot be read: {error.strerror}; get the published folder again"
            ) from error
        wanted = {*FILES, "manifest.json", "manifest.sha256"}
        if found != wanted:
            raise Disagreement(
                f"{self.folder} differs from its format in {', '.join(sorted(found ^ wanted))}; get it again"
            )
        for name in FILES:
            self.content(name)


class BundleStore:
    """The folders `epochs/` and `provenance/` of one data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def folder(self, number: int) -> Path:
        return self.data / "epochs" / str(number)

    def provenance(self, number: int, name: str) -> Path:
        return self.data / "provenance" / str(number) / name

    def numbers(self) -> list[int]:
        """Epochs with a bundle in place, ascending."""
        folder = self.data / "epochs"
        return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []

    def has(self, number: int) -> bool:
        return self.folder(number).is_dir()

    def read(self, number: int) -> Bundle:
        """The bundle of an epoch with its manifest checked against `manifest.sha256`; files are checked as they are
        read."""
        folder = self.folder(number)
        if not folder.is_dir():
            known = ", ".join(map(str, self.numbers())) or "none"
            raise InputError(f"no bundle of epoch {number} under {self.data}; there: {known}")
        return open_bundle(folder)

    def stage(self, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
        """Write a bundle aside, ready to be moved into place."""
        staging = self.data / "staging" / str(manifest.epoch.number)
        source = manifest.to_bytes()
        seal = f"{hashlib.sha256(source).hexdigest()}  manifest.json\n".encode()
        stage_folder(staging, {**files, "manifest.json": source, "manifest.sha256": seal})
        return staging

    def place(self, staging: Path, number: int) -> Bundle:
        """Rename a staged bundle into place and read it back, every digest checked."""
        move_into_place(staging, self.folder(number))
        bundle = self.read(number)
        bundle.check()
        return bundle

    def write_provenance(self, number: int, files: Mapping[str, bytes | Path]) -> None:
        """Write files, or move those that lie elsewhere under the data folder."""
        for name, content in files.items():
            if isinstance(content, Path):
                move_file(content, self.provenance(number, name))
            else:
                write_file(self.provenance(number, name), content)


def open_bundle(folder: Path) -> Bundle:
    """The bundle in a folder; raises Disagreement when the manifest is not the one that `manifest.sha256` names."""
    try:
        source = (folder / "manifest.json").read_bytes()
        seal = (folder / "manifest.sha256").read_text(errors="replace")
    except OSError as error:
        raise Disagreement(f"{folder} has no readable manifest: {error}; get the published folder again") from error
    found = hashlib.sha256(source).hexdigest()
    if seal != f"{found}  manifest.json\n":
        raise Disagreement(
            f"{folder}/manifest.json has SHA-256 {found}; manifest.sha256 says {seal.strip()!r}; get both again"
        )
    return Bundle(folder, parse_manifest(source, str(folder / "manifest.json")))


def encode_parquet(frame: pl.DataFrame) -> bytes:
    """A frame of the provenance as Parquet bytes, no model asked."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", row_group_size=ROW_GROUP)
    return buffer.getvalue()
