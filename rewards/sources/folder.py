"""An export in a folder: `usage_records/` and `heartbeats/` by day of arrival, `accounts`, `provisions`, `deposits` as single files."""

import hashlib
import re
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from rewards.epoch import DAY_US, to_micros
from rewards.errors import InputError
from rewards.policy import DatedPolicy, check_succession, parse_policy
from rewards.ports import FeedFile
from rewards.schemas import ACCOUNTS, DEPOSITS, PROVISIONS, Table

FORMATS = {".parquet": "parquet", ".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:[._-].*)?")
_NULLABLE_DEFAULTS = {"funding": False}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class InputFolder:
    """The tables of `docs/reward-spec.md` under one folder. Every method raises InputError naming file and column."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"no folder {folder}; give the folder that holds usage_records/ and accounts")
        self.folder = folder

    def usage(self) -> list[FeedFile]:
        return self._feed("usage_records")

    def heartbeats(self) -> list[FeedFile]:
        return self._feed("heartbeats")

    def accounts(self) -> pl.DataFrame:
        return self._table(ACCOUNTS)

    def provisions(self) -> pl.DataFrame:
        return self._table(PROVISIONS)

    def deposits(self) -> pl.DataFrame:
        """Every deposit of the table, oldest first; without a `funding` column all are fees."""
        frame = self._table(DEPOSITS)
        parts = frame.select("protocol_amount", "provider_amount", "user_amount", "amount").rows()
        for protocol, provider, user, amount in parts:
            if min(protocol, provider, user) < 0 or protocol + provider + user != amount:
                raise InputError(
                    f"deposits: {amount} is not the sum of its parts {protocol}, {provider}, {user}, each 0 or more; mend the row"
                )
        return frame.sort("deposited_at", "block_number")

    def _feed(self, name: str) -> list[FeedFile]:
        folder = self.folder / name
        if not folder.is_dir():
            raise InputError(f"no folder {folder}; it holds one file a day of arrival, named YYYY-MM-DD")
        files = []
        for path in sorted(p for p in folder.iterdir() if not p.name.startswith(".")):
            match = _DAY.fullmatch(path.name[: -len(path.suffix)] if path.suffix else path.name)
            if path.suffix not in FORMATS or match is None:
                raise InputError(f"{path} is not named YYYY-MM-DD with {', '.join(FORMATS)}; rename or remove it")
            try:
                day = datetime.combine(date.fromisoformat(match[1]), datetime.min.time(), UTC)
            except ValueError as error:
                raise InputError(f"{path} names a day that does not exist: {match[1]}") from error
            files.append(FeedFile(path, to_micros(day) + DAY_US, FORMATS[path.suffix], _digest(path)))
        if not files:
            raise InputError(f"{folder} holds no files; it needs one a day of arrival, named YYYY-MM-DD")
        return files

    def _table(self, table: Table) -> pl.DataFrame:
        paths = [p for suffix in FORMATS if (p := self.folder / f"{table.name}{suffix}").is_file()]
        if len(paths) != 1:
            found = " and ".join(p.name for p in paths) or "none"
            raise InputError(f"{self.folder} must hold one file {table.name} ({', '.join(FORMATS)}); found {found}")
        path = paths[0]
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty; export it again")
        try:
            frame = _read(path)
        except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}; export it again") from error
        for column, value in _NULLABLE_DEFAULTS.items():
            if column in table.columns and column not in frame.columns:
                frame = frame.with_columns(pl.lit(value).alias(column))
        if path.suffix != ".parquet":
            frame = _parse(frame, table, path)
        return table.check(frame.select([c for c in table.columns if c in frame.columns] + [c for c in frame.columns if c not in table.columns]), str(path))


def _read(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    if path.suffix == ".csv":
        return pl.read_csv(path, infer_schema=False)
    return pl.read_ndjson(path, infer_schema_length=None)


def _parse(frame: pl.DataFrame, table: Table, path: Path) -> pl.DataFrame:
    """Texts of a small table as the types of its model; raises InputError with the first value that does not parse."""
    for column, dtype in table.columns.items():
        if column not in frame.columns or frame[column].dtype == dtype:
            continue
        text = frame[column].cast(pl.String)
        text = text.set(text == "", None)
        if isinstance(dtype, pl.Datetime):
            parsed = text.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
        elif dtype == pl.Boolean:
            parsed = text.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
        else:
            parsed = text.cast(dtype, strict=False)
        wrong = text.filter(text.is_not_null() & parsed.is_null())
        if len(wrong):
            raise InputError(f"{path}: column {column} holds {wrong[0]!r}, which is not {dtype}; mend the export")
        frame = frame.with_columns(parsed.alias(column))
    return frame


def read_policies(folder: Path) -> list[DatedPolicy]:
    """Every policy `<date>.toml` of a folder, oldest first; raises PolicyError or InputError naming the file."""
    paths = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    if not paths:
        raise InputError(f"no policy in {folder}; give a folder with files named YYYY-MM-DD.toml")
    policies = []
    for path in paths:
        try:
            since = date.fromisoformat(path.stem)
        except ValueError as error:
            raise InputError(f"{path} is not named YYYY-MM-DD.toml; rename it to the day from which it rules") from error
        source = path.read_bytes()
        policies.append(DatedPolicy(since, parse_policy(source, path.name), source))
    check_succession(policies)
    return policies
