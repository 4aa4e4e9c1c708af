"""An export in a folder: `usage_records/` and `heartbeats/` by day of arrival, `accounts`, `provisions`, `deposits` as
single files, and `corrections.json`, if there is one."""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from rewards import corrections
from rewards.corrections import Records, decode_records
from rewards.epoch import DAY_US, to_micros
from rewards.errors import InputError
from rewards.policy import DatedPolicy, check_succession, parse_policy
from rewards.ports import PATTERNS, FeedFile
from rewards.schemas import ACCOUNTS, DEPOSITS, PROVISIONS, Table

FORMATS = {".parquet": "parquet", ".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:[._-].*)?")
_NULLABLE_DEFAULTS = {"funding": False}

_TIME_TEXT = r"^\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,6})?(Z|[+-](0\d|1[0-4])(:?[0-5]\d)?)$"
_WHOLE_TEXT = r"^-?\d{1,38}$"
MAX_BRACKETS = 100
"""In one line of NDJSON, which has one pair and perhaps some in its texts; thousands would crash the parser."""
_BOOLEANS = {"true": True, "false": False}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; export the day again") from error


class InputFolder:
    """The tables of `docs/reward-spec.md` under one folder. Every method raises InputError naming file and column."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"no folder {folder}; give the folder that holds usage_records/ and accounts")
        self.folder = folder
        self.digests: dict[str, str] = {}
        """SHA-256 of each single-file table that was read, by file name."""

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
        for protocol, provider, user, amount in (tuple(map(int, row)) for row in parts):
            if min(protocol, provider, user) < 0 or protocol + provider + user != amount:
                raise InputError(
                    f"deposits under {self.folder}: column amount holds {amount}, which is not the sum of its parts "
                    f"{protocol}, {provider}, {user}, each 0 or more; mend the row"
                )
        return frame.sort("deposited_at", "block_number")

    def corrections(self) -> Records:
        """The signed corrections of `corrections.json`, of whichever epochs; none where there is no such file."""
        path = self.folder / corrections.FILE
        try:
            with path.open("rb") as file:
                content = file.read(corrections.MAX_BYTES + 1)
        except FileNotFoundError:
            if path.is_symlink():  # without it, what was signed would be left out in silence
                raise InputError(
                    f"{path} is a link to {path.readlink()}, which is not there; mend the link, or remove it"
                ) from None
            return ()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}; mend it") from error
        self.digests[path.name] = hashlib.sha256(content).hexdigest()
        return decode_records(content, str(path))

    def _feed(self, name: str) -> list[FeedFile]:
        folder = self.folder / name
        if not folder.is_dir():
            raise InputError(f"no folder {folder}; it holds one file a day of arrival, named YYYY-MM-DD")
        files = []
        for path in sorted(p for p in folder.iterdir() if not p.name.startswith(".")):
            if pattern := next((c for c in path.name if c in PATTERNS), None):
                raise InputError(f"{path} holds {pattern!r}, which readers take for a pattern; rename the file")
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
        self.digests[path.name] = _digest(path)
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty; export it again")
        try:
            frame = _read(path, table)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path} cannot be read: {_first_line(error)}; export it again") from error
        # CSV cannot tell an empty text from none, so no format does.
        frame = frame.with_columns(pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)).name.keep())
        for column, value in _NULLABLE_DEFAULTS.items():
            if column in table.columns and column not in frame.columns:
                frame = frame.with_columns(pl.lit(value).alias(column))
        if path.suffix != ".parquet":
            frame = _parse(frame, table, path)
        known = [c for c in table.columns if c in frame.columns]
        return table.check(frame.select(*known, *(c for c in frame.columns if c not in table.columns)), str(path))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _read(path: Path, table: Table) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    if path.suffix == ".csv":
        return pl.read_csv(path, infer_schema=False)
    return _read_ndjson(path, table)


def _read_ndjson(path: Path, table: Table) -> pl.DataFrame:
    """Every value as text. Not polars' reader: it takes numbers through floats, and they may be money."""
    lines = [line for line in path.read_text().split("\n") if line.strip()]
    if any(line.count("[") + line.count("{") > MAX_BRACKETS for line in lines):
        raise ValueError("a line nests values; every value is a text, a whole number, true, false or null")
    rows = [
        json.loads(line, parse_float=_refuse_float, parse_constant=_refuse_float, object_pairs_hook=_require_distinct)
        for line in lines
    ]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line is not a JSON object")
    names = list(dict.fromkeys(name for row in rows for name in row))
    texts = {name: [_to_text(name, row.get(name), table) for row in rows] for name in names}
    return pl.DataFrame(texts, schema=dict.fromkeys(names, pl.String))


def _refuse_float(literal: str) -> str:
    raise ValueError(f"the number {literal} is not an integer; write it as a string")


def _require_distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"a line names a column twice: {', '.join(names)}")
    return dict(pairs)


def _to_text(name: str, value: object, table: Table) -> str | None:
    dtype = table.columns.get(name, pl.String())
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        if dtype == pl.Boolean:
            return str(value).lower()
    elif isinstance(value, int) and dtype.is_numeric():
        return str(value)
    raise ValueError(f"column {name} holds {value!r}, which is not {dtype}")


def _parse(frame: pl.DataFrame, table: Table, path: Path) -> pl.DataFrame:
    """Texts of a small table as the types of its model; raises InputError with the first value that does not parse."""
    for column, dtype in table.columns.items():
        if column not in frame.columns or frame[column].dtype == dtype:
            continue
        text = frame[column]
        if isinstance(dtype, pl.Datetime):
            fits = text.str.contains(_TIME_TEXT)
            parsed = text.str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
        elif dtype == pl.Boolean:
            fits = text.is_in(list(_BOOLEANS))
            parsed = text.replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
        else:
            # A cast alone would round a fraction in silence.
            fits = text.str.contains(_WHOLE_TEXT)
            parsed = text.cast(dtype, strict=False)
        wrong = text.filter(text.is_not_null() & (parsed.is_null() | ~fits))
        if len(wrong):
            raise InputError(
                f"{path}: column {column} holds {wrong[0]!r}, which is not {_name(dtype)}; mend the export"
            )
        frame = frame.with_columns(parsed.alias(column))
    return frame


def _name(dtype: object) -> str:
    if isinstance(dtype, pl.Datetime):
        return "a time with a zone, such as 2026-01-07T00:00:00Z"
    return "true or false" if dtype == pl.Boolean else "a whole number within its bounds"


def read_policies(folder: Path) -> list[DatedPolicy]:
    """Every policy `<date>.toml` of a folder, oldest first; raises PolicyError or InputError naming the file."""
    paths = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    if not paths:
        raise InputError(f"no policy in {folder}; give a folder with files named YYYY-MM-DD.toml")
    policies = []
    for path in paths:
        try:
            since = date.fromisoformat(path.stem)
            if since.isoformat() != path.stem:  # 20250614 is a date too, and the same day twice
                raise ValueError(path.stem)
        except ValueError as error:
            raise InputError(
                f"{path} is not named YYYY-MM-DD.toml; rename it to the day from which it rules"
            ) from error
        try:
            source = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}; give the policy file again") from error
        policies.append(DatedPolicy(since, parse_policy(source, path.name), source))
    check_succession(policies)
    return policies
