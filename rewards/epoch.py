"""Epochs: numbered half-open ranges of UTC time, one day long by default."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rewards.errors import UsageError

DAY_US = 86_400_000_000
_ORIGIN = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 in UTC; exact, without a float. Naive times are refused."""
    if moment.tzinfo is None:
        raise UsageError(f"a time without a zone: {moment.isoformat()}; add an offset, such as Z")
    return (moment - _ORIGIN) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The UTC time of a count of microseconds since 1970."""
    return _ORIGIN + timedelta(microseconds=micros)


@dataclass(frozen=True, order=True)
class Epoch:
    """Epoch `number`, from `start_us` up to but without `end_us` (microseconds since 1970)."""

    number: int
    start_us: int
    end_us: int

    @property
    def start(self) -> datetime:
        return from_micros(self.start_us)

    @property
    def end(self) -> datetime:
        return from_micros(self.end_us)

    def contains(self, micros: int) -> bool:
        return self.start_us <= micros < self.end_us


@dataclass(frozen=True)
class Calendar:
    """The network's two settings: when epoch 0 starts and how long an epoch is."""

    genesis_us: int
    length_us: int = DAY_US

    def __post_init__(self) -> None:
        if self.length_us <= 0:
            raise UsageError(f"an epoch of {self.length_us} µs; its length must be positive")

    @classmethod
    def from_genesis(cls, genesis: datetime, length: timedelta = timedelta(days=1)) -> "Calendar":
        return cls(to_micros(genesis), length // timedelta(microseconds=1))

    def epoch(self, number: int) -> Epoch:
        """The epoch of a number; raises UsageError when it is negative or ends after the year 9999."""
        if number < 0:
            raise UsageError(f"epoch {number}: epochs are numbered from 0")
        start = self.genesis_us + number * self.length_us
        if start + self.length_us > to_micros(_LAST):
            newest = (to_micros(_LAST) - self.genesis_us) // self.length_us - 1
            raise UsageError(f"epoch {number} ends after the year 9999; give a number up to {newest}")
        return Epoch(number, start, start + self.length_us)

    def number_at(self, micros: int) -> int:
        """Number of the epoch that holds a time; negative before genesis."""
        return (micros - self.genesis_us) // self.length_us

    def between(self, first: int, last: int) -> Iterator[Epoch]:
        """Epochs `first` to `last`, both included."""
        if last < first:
            raise UsageError(f"epochs {first}..{last}: the last is before the first")
        return (self.epoch(n) for n in range(first, last + 1))
