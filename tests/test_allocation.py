"""The split of a pool: adds up to the unit, follows the scores, and equals the reference at every size."""

from collections.abc import Mapping
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards import reference
from rewards.allocation import MAX_TOTAL_SCORE, allocate
from rewards.errors import LimitError
from rewards.units import MAX_AMOUNT

SCHEMA = {"account_id": pl.String, "score": pl.Int64}
IDS = st.text(st.sampled_from("abzAZé\ufffd\U00010000"), min_size=1, max_size=3)
SCORES = st.dictionaries(IDS, st.one_of(st.integers(0, 9), st.integers(0, 2**63 // 40)), max_size=24)
POOLS = st.one_of(st.integers(0, 100), st.integers(0, MAX_AMOUNT))


def frame(scores: Mapping[str, int]) -> pl.DataFrame:
    return pl.DataFrame(list(scores.items()), schema=SCHEMA, orient="row")


def split(pool: int, scores: Mapping[str, int]) -> dict[str, int]:
    found = allocate(pool, frame(scores))
    assert found.schema == {"account_id": pl.String, "amount": pl.Decimal(38, 0)}
    assert found["account_id"].to_list() == list(scores)
    return {account: int(amount) for account, amount in found.iter_rows()}


@given(POOLS, SCORES)
def test_equals_the_reference_and_adds_up_to_the_pool(pool: int, scores: dict[str, int]) -> None:
    found = split(pool, scores)
    assert found == (reference.allocate(pool, scores) or dict.fromkeys(scores, 0))
    assert sum(found.values()) == (pool if any(scores.values()) else 0)
    assert all(found[account] == 0 for account, score in scores.items() if score == 0)


@given(POOLS, SCORES, st.integers(0, 2**32))
def test_the_order_of_rows_changes_nothing(pool: int, scores: dict[str, int], seed: int) -> None:
    shuffled = list(scores.items())
    Random(seed).shuffle(shuffled)
    assert split(pool, dict(shuffled)) == split(pool, scores)


@given(POOLS, SCORES, st.integers(1, 1000))
def test_scaling_every_score_changes_nothing(pool: int, scores: dict[str, int], factor: int) -> None:
    small = {account: score % 10**12 for account, score in scores.items()}
    assert split(pool, {account: score * factor for account, score in small.items()}) == split(pool, small)


@given(POOLS, SCORES)
def test_a_higher_score_never_gets_less(pool: int, scores: dict[str, int]) -> None:
    found = split(pool, scores)
    amounts = [found[account] for account in sorted(scores, key=lambda a: (scores[a], found[a]))]
    ranked = sorted(scores.values())
    assert all(
        more >= less
        for (less, low), (more, high) in zip(
            zip(amounts, ranked, strict=True), zip(amounts[1:], ranked[1:], strict=True), strict=False
        )
        if high > low
    )


@given(POOLS, SCORES)
def test_nobody_is_a_unit_or_more_away_from_the_exact_share(pool: int, scores: dict[str, int]) -> None:
    total = sum(scores.values())
    for account, amount in split(pool, scores).items():
        assert abs(amount * total - pool * scores[account]) < max(total, 1)


def test_a_larger_pool_may_take_a_unit_away() -> None:
    scores = {"a": 1, "b": 3, "c": 3}
    assert split(3, scores) == {"a": 1, "b": 1, "c": 1}
    assert split(4, scores) == {"a": 0, "b": 2, "c": 2}


def test_ties_go_by_the_bytes_of_the_id() -> None:
    ids = ["B", "a", "é", "\ufffd", "\U00010000"]  # UTF-16 would put the last two the other way round
    for left in range(5):
        assert split(left, dict.fromkeys(reversed(ids), 9)) == {name: int(i < left) for i, name in enumerate(ids)}


@pytest.mark.parametrize("scores", [{}, {"a": 0}, {"a": 0, "b": 0}])
def test_a_pool_without_scores_is_not_split(scores: dict[str, int]) -> None:
    assert split(MAX_AMOUNT, scores) == dict.fromkeys(scores, 0)


@pytest.mark.parametrize(
    "scores",
    [
        {"a": MAX_TOTAL_SCORE},
        {"a": MAX_TOTAL_SCORE - 1, "b": 1},
        {"a": 2**62, "b": 2**62 - 1},
        {f"a{i}": (2**63 - 1) // 7 for i in range(7)},
        {f"a{i}": 2**63 // 1000 - i for i in range(1000)},
    ],
)
def test_the_largest_pool_and_scores_are_exact(scores: dict[str, int]) -> None:
    assert MAX_TOTAL_SCORE == 2**63 - 1 and MAX_AMOUNT == 2**96 - 1
    for pool in (MAX_AMOUNT, MAX_AMOUNT - 1, sum(scores.values()) - 1):
        assert split(pool, scores) == reference.allocate(pool, scores)


@pytest.mark.parametrize(
    ("pool", "scores", "named"),
    [
        (MAX_AMOUNT + 1, {"a": 1}, str(2**96)),
        (-1, {"a": 1}, "-1"),
        (1, {"a": 2**62, "b": 2**62}, str(2**63)),
        (1, {"a": 2**63 - 1, "b": 2**63 - 1, "c": 2}, str(2**64)),  # 64 bits would wrap to 0
        (1, {"a": 5, "b": -1}, "-1"),
    ],
)
def test_one_above_the_bound_is_refused(pool: int, scores: dict[str, int], named: str) -> None:
    with pytest.raises(LimitError, match=named) as refused:
        allocate(pool, frame(scores))
    assert "\n" not in str(refused.value)
