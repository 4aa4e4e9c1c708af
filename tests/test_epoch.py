"""Every time lies in exactly one epoch, and only in the one that a count by hand finds."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.epoch import DAY_US, Calendar, Epoch, from_micros, to_micros
from rewards.errors import UsageError

GENESIS = datetime(2026, 1, 7, tzinfo=UTC)
DAYS = Calendar.from_genesis(GENESIS)
MICROS = st.integers(to_micros(datetime(1, 1, 2, tzinfo=UTC)), to_micros(datetime(7999, 12, 30, tzinfo=UTC)))
LENGTHS = st.sampled_from([1, 7, 3_600_000_000, DAY_US, 7 * DAY_US + 1])


def search(calendar: Calendar, micros: int) -> int:
    """The epoch of a time by walking epoch after epoch from genesis."""
    number, start = 0, calendar.genesis_us
    while micros < start:
        number, start = number - 1, start - calendar.length_us
    while micros >= start + calendar.length_us:
        number, start = number + 1, start + calendar.length_us
    return number


@given(genesis=MICROS, length=LENGTHS, offset=st.integers(-50, 50), within=st.integers(0, 8 * DAY_US))
def test_a_walk_finds_the_same_epoch(genesis: int, length: int, offset: int, within: int) -> None:
    calendar = Calendar(genesis, length)
    moment = genesis + offset * length + within % length
    assert calendar.number_at(moment) == search(calendar, moment) == offset


@given(genesis=MICROS, length=LENGTHS, number=st.integers(0, 10**5), distance=st.integers(-3, 3))
def test_every_time_lies_in_exactly_one_epoch(genesis: int, length: int, number: int, distance: int) -> None:
    calendar = Calendar(genesis, length)
    moment = calendar.epoch(number).start_us + distance
    holder = calendar.number_at(moment)
    holders = [n for n in range(max(0, holder - 4), holder + 5) if calendar.epoch(n).contains(moment)]
    assert holders == ([holder] if holder >= 0 else [])


@given(genesis=MICROS, length=LENGTHS, number=st.integers(0, 10**5))
def test_epochs_meet_without_gap_or_overlap(genesis: int, length: int, number: int) -> None:
    calendar = Calendar(genesis, length)
    one, following = calendar.epoch(number), calendar.epoch(number + 1)
    assert one.end_us == following.start_us
    assert one.contains(one.start_us) and one.contains(one.end_us - 1)
    assert not one.contains(one.start_us - 1) and not one.contains(one.end_us)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        (datetime(2026, 1, 6, 23, 59, 59, 999_999, UTC), -1),
        (datetime(2026, 1, 7, tzinfo=UTC), 0),
        (datetime(2026, 1, 7, 23, 59, 59, 999_999, UTC), 0),
        (datetime(2026, 1, 8, tzinfo=UTC), 1),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), 24),
        (datetime(2026, 2, 1, tzinfo=UTC), 25),
        (datetime(2028, 2, 28, 23, 59, 59, tzinfo=UTC), 782),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), 783),  # a leap day is an epoch of its own
        (datetime(2028, 3, 1, tzinfo=UTC), 784),
        (datetime(2026, 1, 8, 1, 30, tzinfo=timezone(timedelta(hours=2))), 0),  # 23:30 UTC of the day before
        (datetime(2026, 3, 29, 1, tzinfo=UTC), 81),  # clocks of Europe change; UTC's do not
        (datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC), -3294),
    ],
)
def test_days_from_genesis(moment: datetime, number: int) -> None:
    assert DAYS.number_at(to_micros(moment)) == number
    assert (moment.astimezone(UTC).date() - GENESIS.date()).days == number


def test_an_epoch_knows_its_times() -> None:
    assert DAYS.epoch(783) == Epoch(
        783, to_micros(datetime(2028, 2, 29, tzinfo=UTC)), to_micros(datetime(2028, 3, 1, tzinfo=UTC))
    )
    assert (DAYS.epoch(0).start, DAYS.epoch(0).end) == (GENESIS, GENESIS + timedelta(days=1))


@given(MICROS)
def test_micros_go_there_and_back(micros: int) -> None:
    assert to_micros(from_micros(micros)) == micros
    assert from_micros(micros).utcoffset() == timedelta(0)


def test_a_range_includes_both_ends() -> None:
    assert [epoch.number for epoch in DAYS.between(2, 4)] == [2, 3, 4]
    assert [epoch.number for epoch in DAYS.between(3, 3)] == [3]


@pytest.mark.parametrize("days", [timedelta(0), timedelta(days=-1)])
def test_a_length_must_be_positive(days: timedelta) -> None:
    with pytest.raises(UsageError, match="must be positive"):
        Calendar.from_genesis(GENESIS, days)


def test_what_cannot_be_is_refused_by_its_value() -> None:
    with pytest.raises(UsageError, match="epoch -1"):
        DAYS.epoch(-1)
    with pytest.raises(UsageError, match=r"epochs 4\.\.3"):
        DAYS.between(4, 3)
    with pytest.raises(UsageError, match="2026-01-07T00:00:00; add an offset"):
        to_micros(datetime(2026, 1, 7))  # noqa: DTZ001


@pytest.mark.parametrize("length", [timedelta(days=1), timedelta(hours=1), timedelta(days=30)])
def test_a_number_beyond_the_year_9999_is_refused(length: timedelta) -> None:
    calendar = Calendar.from_genesis(GENESIS, length)
    newest = (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC) - GENESIS) // length - 1
    assert calendar.epoch(newest).end.year == 9999
    for number in (newest + 1, 10**9, 10**30):
        with pytest.raises(UsageError, match=f"epoch {number} ends after the year 9999; give a number up to {newest}"):
            calendar.epoch(number)
