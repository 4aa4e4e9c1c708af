"""Configuration: environment (`REWARDS_…`), `.env`, and a TOML file (`rewards.toml`, or the one that REWARDS_CONFIG
names)."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from rewards.epoch import Calendar
from rewards.errors import UsageError

POLICIES = Path(__file__).resolve().parents[2] / "data" / "policies"
"""The policies that this project ships."""
GENESIS = datetime(2026, 1, 7, tzinfo=UTC)

Role = Literal["deployer", "publisher", "attester", "guardian", "claimer"]

SHORTEST_SECRET = 4
"""Characters of the shortest text that `list_secrets` names."""


class Settings(BaseSettings):
    """Every setting of the `rewards` command and of the flows; secrets never show in a repr, a log or an error."""

    model_config = SettingsConfigDict(env_prefix="REWARDS_", env_file=".env", extra="forbid", hide_input_in_errors=True)

    data: Path = Path("data")
    inputs: Path | None = None
    policies: Path = POLICIES
    genesis: datetime = GENESIS
    memory: str = Field(default="4GB", pattern=r"^\d+(\.\d+)?(MB|GB)$")
    threads: int | None = Field(default=None, ge=1)
    finality_seconds: float = Field(default=0.0, ge=0)
    poll_seconds: float = Field(default=2.0, gt=0)

    rpc_url: SecretStr | None = None
    chain_id: int | None = None
    deployment: Path | None = None
    confirmations: int = Field(default=64, ge=1)
    max_fee_wei: int | None = Field(default=None, ge=1)

    deployer_key: SecretStr | None = None
    publisher_key: SecretStr | None = None
    attester_key: SecretStr | None = None
    guardian_key: SecretStr | None = None
    claimer_key: SecretStr | None = None
    deployer_keystore: Path | None = None
    publisher_keystore: Path | None = None
    attester_keystore: Path | None = None
    guardian_keystore: Path | None = None
    claimer_keystore: Path | None = None
    keystore_password: SecretStr | None = None

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
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls, path)

    @property
    def calendar(self) -> Calendar:
        return Calendar.from_genesis(self.genesis)


def load_settings(**given: object) -> Settings:
    """Settings from arguments (those not None), environment, `.env` and file; raises UsageError naming the wrong
    one."""
    named = os.environ.get("REWARDS_CONFIG")
    if named is not None and not Path(named).is_file():
        raise UsageError(f"REWARDS_CONFIG names {named}, which is no file; mend or unset it")
    try:
        return Settings(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"setting {name}: {first['msg']}; mend REWARDS_{name.upper()}, .env or the settings file"
        ) from error
    except ValueError as error:  # a settings file that is not TOML
        raise UsageError(f"the settings file cannot be read: {error}; mend rewards.toml or REWARDS_CONFIG") from error


def list_secrets() -> list[str]:
    """What no output may show, longest first: keys, passwords, and every part of the RPC URL but its scheme, host and
    port."""
    settings = load_settings()
    held = {name: value.get_secret_value() for name, value in settings if isinstance(value, SecretStr)}
    url = urlsplit(held.pop("rpc_url", ""))
    parts = [p for p in (url.username, url.password, url.path.strip("/"), url.query, url.fragment) if p]
    found = [text for part in parts for text in (part, unquote(part))]
    found += [text for secret in held.values() for text in (secret, secret.removeprefix("0x"))]
    # Shorter ones would blot out half of every message, and protect nothing.
    return sorted({s for s in found if len(s) >= SHORTEST_SECRET}, key=len, reverse=True)
