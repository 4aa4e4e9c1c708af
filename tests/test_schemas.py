"""Sums that neither wrap nor round, and frames in order."""

from decimal import Decimal
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.errors import InputError, LimitError
from rewards.schemas import MONEY, ROLLUP, STATE, add_up

WHOLE = st.integers(-(10**36), 10**36)


@given(st.lists(WHOLE, max_size=30))
def test_a_sum_is_exact(values: list[int]) -> None:
    assert add_up(pl.Series(values, dtype=pl.Int128)) == sum(values)
    assert add_up(pl.Series([Decimal(v) for v in values], dtype=MONEY)) == sum(values)


@pytest.mark.parametrize("values", [[10**38 - 1, 1], [1 - 10**38, -1], [2**126] * 4])
def test_a_sum_past_38_digits_is_a_limit(values: list[int]) -> None:
    dtype = pl.Int128 if values[0] == 2**126 else MONEY
    column = pl.Series("amount", [v if dtype == pl.Int128 else Decimal(v) for v in values], dtype=dtype)
    with pytest.raises(LimitError, match="amount adds up to more than 38 digits"):
        add_up(column)


NAMES = st.sampled_from(["", "a", "b", "é", "zz"])
SLOTS = st.integers(-2, 2)


@given(st.lists(st.tuples(NAMES, NAMES, NAMES, SLOTS, NAMES), max_size=8, unique=True), st.randoms())
def test_a_frame_is_arranged_by_its_key_whatever_its_order(rows: list[tuple[str, ...]], rng: Random) -> None:
    key = ("part", "subject_id", "endpoint", "slot", "reason")
    frames = []
    for order in (sorted(rows), rng.sample(rows, len(rows))):
        schema = {name: ROLLUP.columns[name] for name in key}
        frame = pl.DataFrame(order, schema=schema, orient="row").with_columns(requests=1, weight=2, fee_e8=3)
        frames.append(ROLLUP.arrange(frame))
    assert [tuple(row[:5]) for row in frames[0].rows()] == sorted(rows)
    assert frames[0].equals(frames[1])


def test_nulls_come_first() -> None:
    rows = [("held", 1, name, 0, "", "", 0, 1) for name in ("b", None, "a")]
    frame = pl.DataFrame(rows, schema=dict(STATE.columns), orient="row")
    assert STATE.arrange(frame)["id"].to_list() == [None, "a", "b"]
    assert STATE.arrange(STATE.arrange(frame)).equals(STATE.arrange(frame))


@pytest.mark.parametrize("names", [["a", "b", "b"], ["b", "a", "b"], ["a", "a"]])
def test_a_key_that_occurs_twice_is_named_in_order_or_not(names: list[str]) -> None:
    rows = [("user", name, "", 0, "", 1, 0, 0) for name in names]
    frame = pl.DataFrame(rows, schema=dict(ROLLUP.columns), orient="row")
    with pytest.raises(InputError, match=f"holds 'user', '{names[-1]}', '', 0, '' more than once"):
        ROLLUP.check(frame)
    assert ROLLUP.check(frame[:1]).height == 1
