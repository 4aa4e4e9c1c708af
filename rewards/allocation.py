"""A pool and scores to amounts that add up to the unit: the largest-remainder rule, exact."""

import polars as pl

from rewards.errors import LimitError
from rewards.schemas import MONEY, add_up
from rewards.units import MAX_AMOUNT

_WIDE = pl.Int128
MAX_TOTAL_SCORE = 2**63 - 1


def allocate(pool: int, scores: pl.DataFrame) -> pl.DataFrame:
    """Split `pool` base units by score.

    `scores`: account_id (unique), score (integer, not negative). Gives account_id, amount (Decimal(38, 0)) for every
    row of `scores`, in its order. Each gets floor(pool × score / Σ score); what is left goes one unit each to the
    largest fractional parts, ties in ascending order of account id (UTF-8 bytes). The amounts add up to `pool`, or to
    0 where no score is positive. Raises LimitError outside the range in which 128 bits are exact: pool ≤ 2^96 − 1, Σ
    score < 2^63.
    """
    if not 0 <= pool <= MAX_AMOUNT:
        raise LimitError(f"a pool of {pool} base units; a pool is between 0 and {MAX_AMOUNT}")
    values = scores["score"].to_list()
    total = sum(values)
    if values and min(values) < 0:
        raise LimitError(f"a score of {min(values)}; scores are not negative")
    if total > MAX_TOTAL_SCORE:
        raise LimitError(f"scores add up to {total}; the split is exact below {MAX_TOTAL_SCORE + 1}")
    if total == 0:
        return scores.select("account_id", amount=pl.lit(0).cast(MONEY))
    # pool × score may need 160 bits; pool = quotient × total + rest keeps every product below 2^126.
    quotient, rest = divmod(pool, total)
    score = pl.col("score").cast(_WIDE)
    rests = score * pl.lit(rest, dtype=_WIDE)
    split = scores.select(
        "account_id",
        whole=score * pl.lit(quotient, dtype=_WIDE) + rests // total,
        fraction=rests % total,
    )
    left = pool - add_up(split["whole"])
    lucky = (
        split.sort("fraction", "account_id", descending=[True, False])
        .head(left)
        .select("account_id", unit=pl.lit(1, dtype=_WIDE))
    )
    return split.join(lucky, on="account_id", how="left", maintain_order="left").select(
        "account_id", amount=(pl.col("whole") + pl.col("unit").fill_null(0)).cast(MONEY)
    )
