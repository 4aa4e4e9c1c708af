"""The dated policy: the numbers of the rules, parsed from TOML and checked before anything is computed with them."""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rewards.errors import PolicyError
from rewards.units import is_usable

BP = 10_000
TIERS = ("tide_pool", "blue_surge", "open_ocean", "mariana_depth")

Share = Annotated[int, Field(ge=0, le=BP)]
Multiplier = Annotated[int, Field(gt=0, le=10 * BP)]
Knots = tuple[tuple[Annotated[int, Field(le=10**9)], int], ...]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class RowRules(_Section):
    """When a row is late, too late, from the future, impossible; which shares of bad rows stop an epoch."""

    grace_minutes: Annotated[int, Field(ge=0, le=24 * 60)]
    future_minutes: Annotated[int, Field(ge=0, le=24 * 60)]
    too_late_hours: Annotated[int, Field(gt=0, le=48)]
    max_latency_ms: Annotated[int, Field(gt=0, le=10**9)]
    quarantine_limit_bp: Share
    late_limit_bp: Share


class Endpoint(_Section):
    """Milli-points and reference fee (10^-8 CXPT) of one endpoint, by the provision's tier."""

    base_points: dict[str, Annotated[int, Field(ge=0, le=10**6)]]
    reference_fee_e8: dict[str, Annotated[int, Field(gt=0, le=10**12)]]

    @model_validator(mode="after")
    def _every_tier(self) -> Self:
        for name in ("base_points", "reference_fee_e8"):
            given = set(getattr(self, name))
            if given != set(TIERS):
                raise ValueError(f"{name} must name the tiers {', '.join(TIERS)}; it names {', '.join(sorted(given))}")
        return self


def _check_knots(knots: Knots, name: str, first_x: int) -> None:
    xs = [x for x, _ in knots]
    if not xs or xs != sorted(set(xs)) or xs[0] < first_x:
        raise ValueError(f"{name} must rise from {first_x} or more; they are {xs}")
    bad = [y for _, y in knots if not 0 < y <= 10 * BP]
    if bad:
        raise ValueError(f"{name} hold the multiplier {bad[0]} bp; it must be above 0 and at most {10 * BP}")


class Uptime(_Section):
    min_heartbeats: Annotated[int, Field(ge=1, le=10**9)]
    floor_bp: Multiplier
    knots: Knots

    @model_validator(mode="after")
    def _knots(self) -> Self:
        _check_knots(self.knots, "uptime knots", 0)
        return self


class ResponseTime(_Section):
    edges_ms: tuple[Annotated[int, Field(gt=0)], ...]
    knots: Knots

    @model_validator(mode="after")
    def _shape(self) -> Self:
        _check_knots(self.knots, "response time knots", 0)
        if list(self.edges_ms) != sorted(set(self.edges_ms)) or not self.edges_ms:
            raise ValueError(f"edges_ms must rise; they are {list(self.edges_ms)}")
        return self


class Demand(_Section):
    epochs: Annotated[int, Field(ge=1, le=366)]
    offset: Annotated[int, Field(ge=1, le=10**6)]
    min_bp: Multiplier
    max_bp: Multiplier

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.min_bp > self.max_bp:
            raise ValueError(f"demand min_bp {self.min_bp} is above max_bp {self.max_bp}")
        return self


class Loyalty(_Section):
    min_fee_e8: Annotated[int, Field(gt=0, le=10**17)]
    steps: Knots

    @model_validator(mode="after")
    def _steps(self) -> Self:
        _check_knots(self.steps, "loyalty steps", 0)
        if self.steps[0][0] != 0:
            raise ValueError(f"loyalty steps must start at 0 epochs; they start at {self.steps[0][0]}")
        return self


class Referral(_Section):
    provider_bp: tuple[Share, Share, Share]
    user_bp: tuple[Share, Share, Share]
    referee_days: Annotated[int, Field(ge=0, le=3660)]


class Caps(_Section):
    deposit_bp: Share
    provider_bp: Share
    user_bp: Share
    funded_band_bp: Share


class Pools(_Section):
    release_bp: Share
    hold_epochs: Annotated[int, Field(gt=0, le=10**9)]


class CorrectionRules(_Section):
    """Whose corrections enter an epoch, and the most that those of one epoch may come to, credits and debts of both pools
    added up without their signs."""

    signers: tuple[Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")], ...] = ()
    epoch_limit_cxpt: Annotated[int, Field(ge=0, le=10**9)] = 0

    @field_validator("signers")
    @classmethod
    def _usable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        bad = next((signer for signer in value if not is_usable(signer)), None)
        if bad is not None:
            raise ValueError(f"{bad} is no usable address; give it with a right checksum, or in lower case")
        return value

    @model_validator(mode="after")
    def _limit_for_signers(self) -> Self:
        if self.signers and not self.epoch_limit_cxpt:
            raise ValueError("corrections.signers are named, but corrections.epoch_limit_cxpt is 0; give their limit")
        return self


class VolumeBand(_Section):
    """How far an epoch may be from the median of the last ones, and how many of those, and how large, are needed to
    judge it."""

    epochs: Annotated[int, Field(ge=1, le=366)]
    min_epochs: Annotated[int, Field(ge=1, le=366)]
    min_rows: Annotated[int, Field(ge=0, le=10**12)]
    low_bp: Share
    high_bp: Annotated[int, Field(ge=BP, le=1000 * BP)]

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.min_epochs > self.epochs:
            raise ValueError(f"volume min_epochs {self.min_epochs} is above epochs {self.epochs}")
        return self


class Concentration(_Section):
    """Which share of a pool one recipient, or all young accounts together, may get, and how many recipients are needed
    to judge it."""

    recipient_bp: Share
    young_bp: Share
    young_days: Annotated[int, Field(ge=0, le=3660)]
    min_recipients: Annotated[int, Field(ge=1, le=10**9)]


class Policy(_Section):
    """Every number that a ruleset or a gate reads. Frozen; compare by value."""

    ruleset: str
    rows: RowRules
    endpoints: dict[str, Endpoint]
    uptime: Uptime
    response_time: ResponseTime
    demand: Demand
    loyalty: Loyalty
    referral: Referral
    caps: Caps
    pools: Pools
    corrections: CorrectionRules = CorrectionRules()
    volume: VolumeBand
    concentration: Concentration

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if not self.endpoints:
            raise ValueError("endpoints: none is named")
        if self.response_time.edges_ms[-1] != self.rows.max_latency_ms:
            raise ValueError(
                f"the last edge {self.response_time.edges_ms[-1]} ms must be rows.max_latency_ms {self.rows.max_latency_ms}"
            )
        won = self.ring_return_e8()
        if won >= BP * BP:
            raise ValueError(
                f"a ring of accounts would win: caps and referrals return {won // BP} bp of what it pays in; "
                f"lower caps or referral until it is below {BP}"
            )
        return self

    def ring_return_e8(self) -> int:
        """What a ring gets back of each deposited unit, in 10^-8: (1 + Σ referral) × cap, both sides; must stay below
        10^8."""
        provider = (BP + sum(self.referral.provider_bp)) * self.caps.provider_bp
        user = (BP + sum(self.referral.user_bp)) * self.caps.user_bp
        return provider + user


@dataclass(frozen=True)
class DatedPolicy:
    """A policy, the day from which it rules, its file's bytes and their SHA-256."""

    since: date
    policy: Policy
    source: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.source).hexdigest()


def parse_policy(source: bytes, name: str) -> Policy:
    """A checked policy from TOML bytes; raises PolicyError with the file's `name`, the setting and its value."""
    try:
        content: dict[str, Any] = tomllib.loads(source.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"policy {name} is not TOML: {error}") from error
    try:
        return Policy.model_validate(_tuples(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the policy"
        given = "" if isinstance(first["input"], dict | BaseModel) else f" (given: {first['input']!r})"
        raise PolicyError(f"policy {name}: {where}: {first['msg'].removeprefix('Value error, ')}{given}") from error


def _tuples(value: Any) -> Any:
    """TOML arrays as tuples, which strict frozen models want."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def check_succession(policies: Sequence[DatedPolicy]) -> None:
    """Refuse a change of the numbers that place rows in epochs: a row at the change would count twice or never."""
    for earlier, later in pairwise(policies):
        for name in ("grace_minutes", "future_minutes", "too_late_hours"):
            was, now = getattr(earlier.policy.rows, name), getattr(later.policy.rows, name)
            if was != now:
                raise PolicyError(f"policy {later.since}: rows.{name} changes from {was} to {now}; it may not change")


def policy_for(policies: Sequence[DatedPolicy], day: date) -> DatedPolicy:
    """The newest policy whose date is not after `day`, on which an epoch starts; raises PolicyError when there is
    none."""
    ruling = [p for p in policies if p.since <= day]
    if not ruling:
        known = ", ".join(str(p.since) for p in policies) or "none"
        raise PolicyError(f"no policy rules an epoch that starts {day}; known: {known}")
    return max(ruling, key=lambda p: p.since)
