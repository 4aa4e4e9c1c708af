"""What the rows that an epoch quarantined would earn in it, were they counted now, and what of it is still to credit.

What the epoch counted stays as it was counted, with its pools, its policy, its snapshot and the state before it: tables
hold the present alone, and a wallet, a tier or a suspension of today is none of that day's."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from rewards.corrections import Correction
from rewards.distribution import add_wallets
from rewards.epoch import Epoch
from rewards.policy import Policy
from rewards.ports import EpochInputs, Previous
from rewards.rulesets import ruleset_for
from rewards.schemas import ACCOUNTS, ALLOCATIONS, HEARTBEATS_ROLLUP, MONEY, PROVISIONS, ROLLUP

WIDE = pl.Int128
EARNING_PARTS = ("provision", "latency", "user")
"""The parts of a roll-up that scores are made of."""


@dataclass(frozen=True)
class Change:
    """What an account had from a pool in an epoch, and what it would have had; base units."""

    pool: int
    account_id: str
    had: int
    would_have: int

    @property
    def difference(self) -> int:
        return self.would_have - self.had


def mend_accounts(then: pl.DataFrame, now: pl.DataFrame, epoch: Epoch) -> pl.DataFrame:
    """`schemas.ACCOUNTS`: the epoch's snapshot, with kinds as they are now, and the accounts that it lacks. One that was
    created after the epoch brings it no link."""
    kinds = now.select("account_id", kind_now="kind")
    known = then.join(kinds, on="account_id", how="left").with_columns(kind=pl.coalesce("kind_now", "kind"))
    existed = pl.col("created_at") < epoch.end
    new = now.join(then, on="account_id", how="anti").with_columns(referred_by=pl.when(existed).then("referred_by"))
    columns = list(ACCOUNTS.columns)
    return ACCOUNTS.arrange(pl.concat([known.select(columns), new.select(columns)]))


def mend_provisions(then: pl.DataFrame, now: pl.DataFrame, accounts_then: pl.DataFrame) -> pl.DataFrame:
    """`schemas.PROVISIONS`: the epoch's snapshot and the provisions that it lacks. One that had a provider keeps it and
    its tier; a registration is as wide as then or now, since a narrower one would take counted time away."""
    owners = accounts_then.filter(kind="provider").select(provider_id="account_id", sound=True)
    known = then.join(owners, on="provider_id", how="left").join(now, on="provision_id", how="left", suffix="_now")
    there = pl.col("registered_at_now").is_not_null()
    stays = pl.col("sound").fill_null(False) | ~there
    kept = [
        pl.when(stays).then(name).otherwise(f"{name}_now").alias(name)
        for name in ("provider_id", "service_tier", "country")
    ]
    is_open = pl.col("retired_at").is_null() | (there & pl.col("retired_at_now").is_null())
    widened = known.with_columns(
        *kept,
        registered_at=pl.min_horizontal("registered_at", "registered_at_now"),
        retired_at=pl.when(~is_open).then(pl.max_horizontal("retired_at", "retired_at_now")),
    )
    new = now.join(then, on="provision_id", how="anti")
    columns = list(PROVISIONS.columns)
    return PROVISIONS.arrange(pl.concat([widened.select(columns), new.select(columns)]))


def merge_rollups(counted: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    """`schemas.ROLLUP`: what an epoch counted, and of `fresh` the parts that earn."""
    earning = fresh.filter(pl.col("part").is_in(EARNING_PARTS))
    sums = pl.concat([counted, earning]).group_by(ROLLUP.key)
    return ROLLUP.arrange(sums.agg(pl.col("requests", "weight").sum(), pl.col("fee_e8").cast(WIDE).sum().cast(MONEY)))


def merge_heartbeats(
    counted: pl.DataFrame, fresh: pl.DataFrame, then: pl.DataFrame, mended: pl.DataFrame
) -> pl.DataFrame:
    """`schemas.HEARTBEATS_ROLLUP`: as the epoch counted them, but `fresh` of provisions (`then` the epoch's,
    `mended` today's) that are new or registered otherwise."""
    as_then = mended.join(
        then.select("provision_id", "registered_at", "retired_at"),
        on=["provision_id", "registered_at", "retired_at"],
        nulls_equal=True,
    ).select("provision_id")
    kept = counted.join(as_then, on="provision_id")
    return HEARTBEATS_ROLLUP.arrange(pl.concat([kept, fresh.join(as_then, on="provision_id", how="anti")]))


def find_fewer_heartbeats(counted: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """Columns provision_id, then, now: provisions that have fewer heartbeats now than were counted, by their id. Mended
    registrations are as wide as they were, so each has as many or files are missing."""
    both = counted.select("provision_id", then="heartbeats").join(
        now.select("provision_id", now="heartbeats"), on="provision_id", how="left"
    )
    return both.with_columns(pl.col("now").fill_null(0)).filter(pl.col("now") < pl.col("then")).sort("provision_id")


def allocate_again(inputs: EpochInputs, previous: Previous, pools: Mapping[int, int], policy: Policy) -> pl.DataFrame:
    """`schemas.ALLOCATIONS` of an epoch whose `pools` (base units that each splits) are known. Raises LimitError where a
    number leaves its exact range."""
    rules = ruleset_for(inputs.epoch.number, policy)
    scores = rules.score(inputs, add_wallets(inputs.accounts, inputs.forbidden), previous, policy)
    allocations: pl.DataFrame = rules.allocate(pools, scores.scores)
    return allocations


def compare_allocations(
    had: pl.DataFrame, would_have: pl.DataFrame, also: Collection[tuple[int, str]] = ()
) -> list[Change]:
    """Every (pool, account) whose amount differs between two `schemas.ALLOCATIONS`, and those of `also`, in their
    order."""
    key = list(ALLOCATIONS.key)
    schema = {name: ALLOCATIONS.columns[name] for name in key}
    named = pl.DataFrame(sorted(also), schema=schema, orient="row").with_columns(named=True)
    both = (
        had.select(*key, had=pl.col("amount").cast(WIDE))
        .join(would_have.select(*key, would=pl.col("amount").cast(WIDE)), on=key, how="full", coalesce=True)
        .join(named, on=key, how="full", coalesce=True)
        .with_columns(pl.col("had", "would").fill_null(0))
        .filter((pl.col("had") != pl.col("would")) | pl.col("named").is_not_null())
        .sort(key)
    )
    return [Change(*row) for row in both.select(*key, "had", "would").rows()]


def name_replay(epoch: int, text: str) -> str:
    """The reason of every correction that credits a replay of an epoch."""
    return f"replay of epoch {epoch}: {text}"


def add_up_replays(corrections: Iterable[Correction], epoch: int) -> dict[tuple[int, str], int]:
    """By (pool, account), what corrections that name themselves a replay of `epoch` come to, each once; base units, signed."""
    begins, sums = name_replay(epoch, ""), dict[tuple[int, str], int]()
    for _, pool, account, reason, units in {one.content for one in corrections}:
        if reason.startswith(begins):
            sums[pool, account] = sums.get((pool, account), 0) + units
    return sums


def find_payer(epoch: int, other: int, replayed: Collection[int]) -> int | None:
    """Which of two epochs pays for a row that was quarantined in both and would count in both: the earlier, unless the
    later alone was replayed. None where both were: corrections do not tell rows, so which one paid is not known."""
    were = [one for one in (epoch, other) if one in replayed]
    return None if len(were) == 2 else min(were or (epoch, other))


def find_credit(change: Change, credited: Mapping[tuple[int, str], int]) -> int:
    """What is still to credit of a change, given what replays `credited` before: never below 0, never above the gain."""
    return max(0, change.difference - max(0, credited.get((change.pool, change.account_id), 0)))


def choose_corrections(
    changes: Sequence[Change],
    credited: Mapping[tuple[int, str], int],
    accounts: Collection[str],
    enters: int,
    reason: str,
    most: int | None = None,
) -> list[Correction]:
    """One correction for epoch `enters` for each (pool, account) that has something to be credited, or for the `most`
    that have the largest. An id without an account can get none until it has one."""
    corrections = [
        Correction(epoch=enters, pool=one.pool, account_id=one.account_id, amount=str(units), reason=reason)
        for one in changes
        if one.account_id in accounts and (units := find_credit(one, credited))
    ]
    largest = sorted(corrections, key=lambda one: (-one.units, one.pool, one.account_id))[:most]
    return sorted(largest, key=lambda one: (one.pool, one.account_id))
