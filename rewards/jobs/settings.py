"""Configuration: environment (`REWARDS_…`), `.env`, and a TOML file (`rewards.toml`, or the one that REWARDS_CONFIG
names)."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from rewards.chain.blot import list_parts, order_secrets
from rewards.epoch import Calendar
from rewards.errors import UsageError
from rewards.units import Address, parse_address

POLICIES = Path(__file__).resolve().parents[2] / "data" / "policies"
"""The policies that this project ships."""
GENESIS = datetime(2026, 1, 7, tzinfo=UTC)

EngineName = Literal["duckdb", "spark"]
Role = Literal["deployer", "publisher", "attester", "guardian", "claimer", "corrector"]

PREFIX = "REWARDS_"
FROM_ENVIRONMENT_ALONE = ("REWARDS_CONFIG", "REWARDS_TRACEBACK")
"""Names that the command reads itself; no setting."""

MASTERS = r"^(local|local\[(\d+|\*)\]|local-cluster\[\d+,\d+,\d+\]|spark://\S+)$"
OPTIONS = {"spark_master": "master"}
"""Options that have another name than their setting."""

AWS_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""What boto3 reads from the environment and nobody else may."""


class Settings(BaseSettings):
    """Every setting of the `rewards` command and of the flows; secrets never show in a repr, a log or an error."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="forbid", hide_input_in_errors=True)

    data: Path = Path("data")
    inputs: Path | None = None
    policies: Path = POLICIES
    genesis: datetime = GENESIS
    memory: str = Field(default="4GB", pattern=r"^\d+(\.\d+)?(MB|GB)$")
    spill: str | None = Field(default=None, pattern=r"^\d+(\.\d+)?(MB|GB)$")
    threads: int | None = Field(default=None, ge=1)
    engine: EngineName = "duckdb"
    spark_master: str = Field(default="local[2]", pattern=MASTERS)
    finality_seconds: float = Field(default=0.0, ge=0)
    poll_seconds: float = Field(default=2.0, gt=0)

    rpc_url: SecretStr | None = None
    chain_id: int | None = None
    deployment: Path | None = None
    confirmations: int = Field(default=64, ge=1)
    log_range: int = Field(default=10_000, ge=1)
    max_fee_wei: int | None = Field(default=None, ge=1)

    deployer_key: SecretStr | None = None
    publisher_key: SecretStr | None = None
    attester_key: SecretStr | None = None
    guardian_key: SecretStr | None = None
    claimer_key: SecretStr | None = None
    corrector_key: SecretStr | None = None
    deployer_keystore: Path | None = None
    publisher_keystore: Path | None = None
    attester_keystore: Path | None = None
    guardian_keystore: Path | None = None
    claimer_keystore: Path | None = None
    corrector_keystore: Path | None = None
    keystore_password: SecretStr | None = None
    keystore_password_file: Path | None = None
    deployer_kms_key: str | None = None
    publisher_kms_key: str | None = None
    attester_kms_key: str | None = None
    guardian_kms_key: str | None = None
    claimer_kms_key: str | None = None
    publisher_safe: Address | None = None
    attester_safe: Address | None = None
    guardian_safe: Address | None = None

    @field_validator("data", "inputs")
    @classmethod
    def _without_pattern(cls, value: Path | None) -> Path | None:
        """DuckDB reads the files below these folders, and takes such a character for a pattern."""
        pattern = next((c for c in str(value.resolve()) if c in "*?["), None) if value is not None else None
        if pattern is not None:
            raise ValueError(f"the path holds {pattern!r}, which readers take for a pattern; give another folder")
        return value

    @field_validator("publisher_safe", "attester_safe", "guardian_safe")
    @classmethod
    def _as_address(cls, value: str | None) -> Address | None:
        try:
            return None if value is None else parse_address(value)
        except UsageError as error:
            raise ValueError(str(error)) from None

    @field_validator("genesis")
    @classmethod
    def _in_utc(cls, value: datetime) -> datetime:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = Path(os.environ.get("REWARDS_CONFIG", "rewards.toml"))
        _refuse_unknown(os.environ, "the environment", FROM_ENVIRONMENT_ALONE)
        if isinstance(dotenv_settings, DotEnvSettingsSource):
            _refuse_unknown(dotenv_settings.env_vars, ".env")
            # The file may serve other programs too.
            ours = {k: v for k, v in dotenv_settings.env_vars.items() if k.upper().startswith(PREFIX)}
            dotenv_settings.env_vars = ours
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls, path)

    @property
    def calendar(self) -> Calendar:
        return Calendar.from_genesis(self.genesis)

    def read_keystore_password(self) -> SecretStr | None:
        """The password of keystores, from the environment or its file; UsageError when both are given, or when the file
        is empty, unreadable or readable by others. None without either."""
        path = self.keystore_password_file
        if path is None:
            return self.keystore_password
        if self.keystore_password is not None:
            raise UsageError(
                "REWARDS_KEYSTORE_PASSWORD and REWARDS_KEYSTORE_PASSWORD_FILE are both set; unset one of them"
            )
        with _name_password_file(path), path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            if mode & 0o077:
                raise UsageError(f"the password file {path} may be read by others (mode {mode:04o}); chmod 600 {path}")
            password = _strip_newline(file.read().decode())
        if not password:
            raise UsageError(f"the password file {path} is empty; write the password of the keystore into it")
        return SecretStr(password)


def load_settings(**given: object) -> Settings:
    """Settings from arguments (those not None), environment, `.env` and file; raises UsageError naming the wrong
    one."""
    named = os.environ.get("REWARDS_CONFIG")
    if named is not None and not Path(named).is_file():
        raise UsageError(f"REWARDS_CONFIG names {named}, which is no file; mend or unset it")
    try:
        return Settings(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UsageError(_describe_unknown(name, "the settings file", Settings.model_fields)) from None
        # The input itself stays out of sight where it may be a secret.
        value = f" (given: {str(first['input'])!r})" if _may_be_shown(name) else ""
        message = first["msg"].removeprefix("Value error, ")
        where = (
            f"--{OPTIONS.get(name, name)}"
            if given.get(name) is not None
            else f"{PREFIX}{name.upper()}, .env or the settings file"
        )
        raise UsageError(f"setting {name}: {message}{value}; mend {where}") from None
    except ValueError as error:  # a settings file that is not TOML
        raise UsageError(f"the settings file cannot be read: {error}; mend rewards.toml or REWARDS_CONFIG") from error


@contextmanager
def _name_password_file(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"the password file {path} cannot be read: {error.strerror}; mend REWARDS_KEYSTORE_PASSWORD_FILE"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"the password file {path} is not UTF-8 text; write the password into it") from None


def _strip_newline(text: str) -> str:
    """Without the one line ending that editors and `echo` add."""
    return text.removesuffix("\n").removesuffix("\r")


def _may_be_shown(name: str) -> bool:
    known = Settings.model_fields.get(name)
    return known is not None and SecretStr not in (known.annotation, *get_args(known.annotation))


def _refuse_unknown(found: Mapping[str, object], where: str, more: Iterable[str] = ()) -> None:
    known = {*(f"{PREFIX}{name.upper()}" for name in Settings.model_fields), *more}
    for name in sorted(found):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            raise UsageError(_describe_unknown(name.upper(), where, known))


def _describe_unknown(name: str, where: str, known: Iterable[str]) -> str:
    if name in FROM_ENVIRONMENT_ALONE:
        return f"{name} has no effect in {where}; set it in the environment"
    close = get_close_matches(name, sorted(known), n=1)
    return f"unknown setting {name} in {where}; " + (f"did you mean {close[0]}?" if close else "remove it")


def list_secrets() -> list[str]:
    """What no output may show, longest first: keys, passwords, AWS's credentials, and every part of the RPC URLs but scheme,
    host and port."""
    settings = load_settings()
    held = {name: value.get_secret_value() for name, value in settings if isinstance(value, SecretStr)}
    if settings.keystore_password_file is not None:
        # Whatever is wrong with the file, what it holds may not be shown; what cannot be read cannot be shown either.
        with suppress(OSError, UnicodeDecodeError):
            held["keystore_password_file"] = _strip_newline(settings.keystore_password_file.read_text())
    found = [part for url in held.pop("rpc_url", "").split() for part in list_parts(url)]
    found += [text for secret in held.values() for text in (secret, secret.removeprefix("0x"))]
    found += [os.environ.get(name, "") for name in AWS_SECRETS]
    return order_secrets(found)
