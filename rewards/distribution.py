"""Previous claimables + allocations + corrections to claimables; what is held, owed and handed back on the way."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rewards.epoch import Epoch
from rewards.errors import LimitError
from rewards.keccak import hash_column
from rewards.schemas import CLAIMABLES, MONEY, add_up
from rewards.units import MAX_AMOUNT, POOLS, ZERO_ADDRESS, Address

WIDE = pl.Int128


@dataclass(frozen=True)
class Held:
    """Amounts held before an epoch, by what becomes of them: columns pool, id (account), epoch, amount; `credited` has
    `wallet`."""

    credited: pl.DataFrame
    kept: pl.DataFrame
    returned: pl.DataFrame


@dataclass(frozen=True)
class Distribution:
    """`claimables` as in `schemas`; `held` (pool, id, epoch, amount) and `debts` (pool, id, amount) for the next
    epoch; by pool, what was withheld for debts and what returned to the carry-over."""

    claimables: pl.DataFrame
    held: pl.DataFrame
    debts: pl.DataFrame
    withheld: dict[int, int]
    returned: dict[int, int]


def add_wallets(accounts: pl.DataFrame, forbidden: Collection[Address]) -> pl.DataFrame:
    """The accounts with `wallet`: the lower-case address where the given one can be paid, else null."""
    given = accounts["wallet_address"]
    lower = given.str.to_lowercase()
    sound = given.str.contains("^0x[0-9a-fA-F]{40}$") & (lower != ZERO_ADDRESS)
    if forbidden:
        sound &= ~lower.is_in(sorted(forbidden))
    capitals = (sound & (given != lower)).fill_null(False)
    usable = sound.fill_null(False).to_numpy(writable=True)
    usable[capitals.to_numpy()] = _have_checksums(given.filter(capitals))
    return accounts.with_columns(wallet=pl.select(pl.when(pl.Series(usable)).then(lower)).to_series())


def _have_checksums(addresses: pl.Series) -> NDArray[np.bool_]:
    """Whether each address of 0x and 40 hex digits is in its EIP-55 form or all in capitals: `rewards.units.is_usable`
    for a column."""
    given = np.frombuffer("".join(addresses.str.slice(2).to_list()).encode(), np.uint8).reshape(-1, 40)
    lower = given | np.uint8(0x20)  # of a letter; a digit has that bit
    capitals = np.where(lower >= ord("a"), lower & ~np.uint8(0x20), lower)
    digests = hash_column(lower)[:, :20]
    nibbles = np.stack([digests >> 4, digests & 15], axis=2).reshape(-1, 40)
    wanted = np.where(nibbles >= 8, capitals, lower)
    alike: NDArray[np.bool_] = (wanted == given).all(axis=1) | (capitals == given).all(axis=1)
    return alike


def unusable_wallets(accounts: pl.DataFrame) -> pl.DataFrame:
    """Accounts (with `wallet`) that name a wallet which cannot be paid: a finding each, never an error."""
    given = pl.col("wallet_address").is_not_null() & (pl.col("wallet_address") != "")
    return accounts.filter(given & pl.col("wallet").is_null()).select("account_id", "wallet_address")


def sum_by_pool(frame: pl.DataFrame, column: str = "amount") -> dict[int, int]:
    """Exact sums per pool."""
    return {p: add_up(frame.filter(pl.col("pool") == p)[column]) for p in POOLS}


def settle_held(held: pl.DataFrame, accounts: pl.DataFrame, epoch: Epoch, hold_epochs: int) -> Held:
    """Decide on every held amount (pool, id, epoch, amount): suspension first, then crediting, then ageing."""
    known = held.join(
        accounts.select(id="account_id", wallet="wallet", suspended_at="suspended_at"), on="id", how="left"
    )
    suspended = pl.col("suspended_at") < epoch.end
    aged = pl.lit(epoch.number) - pl.col("epoch") >= hold_epochs
    fate = (
        pl.when(suspended)
        .then(pl.lit("returned"))
        .when(pl.col("wallet").is_not_null())
        .then(pl.lit("credited"))
        .when(aged)
        .then(pl.lit("returned"))
        .otherwise(pl.lit("kept"))
    )
    decided = known.with_columns(fate=fate)
    columns = ["pool", "id", "epoch", "amount"]
    return Held(
        credited=decided.filter(pl.col("fate") == "credited").select(*columns, "wallet"),
        kept=decided.filter(pl.col("fate") == "kept").select(columns),
        returned=decided.filter(pl.col("fate") == "returned").select(columns),
    )


def fit_credits(held: Held, room: Mapping[int, int]) -> Held:
    """Credits cut to what each pool has room for: the oldest first, then in ascending order of account id. What does not
    fit stays held, and does not age: its account has a wallet."""
    rooms = pl.DataFrame(list(room.items()), schema={"pool": pl.Int8, "room": WIDE}, orient="row")
    ordered = held.credited.join(rooms, on="pool").sort("epoch", "id")
    amount = pl.col("amount").cast(WIDE)
    earlier = amount.cum_sum().over("pool") - amount
    cut = ordered.with_columns(fits=(pl.col("room") - earlier).clip(0, amount))
    credited = cut.with_columns(pl.col("fits").cast(MONEY).alias("amount")).filter(pl.col("fits") > 0)
    waiting = cut.filter(pl.col("fits") < amount).with_columns((amount - pl.col("fits")).cast(MONEY))
    columns = held.kept.columns
    return replace(
        held,
        credited=credited.select(*columns, "wallet"),
        kept=pl.concat([held.kept, waiting.select(columns)]),
    )


def _withhold(allocations: pl.DataFrame, debts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Take debts (pool, id, WIDE amount) out of allocations (pool, id, amount): what is left to pay, and the debts left."""
    owed = debts.select("pool", "id", owed="amount")
    both = allocations.select("pool", "id", amount=pl.col("amount").cast(WIDE)).join(
        owed, on=["pool", "id"], how="full", coalesce=True
    )
    both = both.with_columns(pl.col("amount", "owed").fill_null(0)).with_columns(
        taken=pl.min_horizontal("amount", "owed")
    )
    paid = both.select("pool", "id", amount=pl.col("amount") - pl.col("taken"), taken="taken")
    left = both.filter(pl.col("owed") > pl.col("taken")).select("pool", "id", amount=pl.col("owed") - pl.col("taken"))
    return paid, left


def distribute(
    claimables: pl.DataFrame,
    held: Held,
    debts: pl.DataFrame,
    allocations: pl.DataFrame,
    corrections: pl.DataFrame,
    accounts: pl.DataFrame,
    epoch: Epoch,
) -> Distribution:
    """Credit an epoch. `allocations`: pool, account_id, amount; `corrections`: pool, account_id, amount (signed),
    reason; `accounts` carries `wallet`. A claimable never falls. Raises LimitError where a sum passes what the Vault
    can store."""
    signed = pl.col("amount").cast(WIDE)
    added = corrections.group_by("pool", id="account_id").agg(amount=signed.clip(lower_bound=0).sum())
    owed = corrections.select("pool", id="account_id", amount=0 - signed.clip(upper_bound=0))
    debts = pl.concat([debts.select("pool", "id", amount=pl.col("amount").cast(WIDE)), owed])
    debts = debts.group_by("pool", "id").agg(pl.col("amount").sum())

    paid, debts_left = _withhold(allocations.select("pool", "amount", id="account_id"), debts)
    earned = pl.concat([paid.select("pool", "id", "amount"), added.select("pool", "id", "amount")])
    earned = earned.group_by("pool", "id").agg(pl.col("amount").sum()).filter(pl.col("amount") > 0)
    fresh = earned.with_columns(epoch=pl.lit(epoch.number, dtype=pl.Int64)).select("pool", "id", "epoch", "amount")
    # No amount can age in the epoch that allocates it; suspension and wallets are decided as for older ones.
    with_wallet = fresh.join(
        accounts.filter(pl.col("wallet").is_not_null()).select(id="account_id", wallet="wallet"), on="id"
    )
    homeless = fresh.join(with_wallet.select("pool", "id"), on=["pool", "id"], how="anti")
    new = settle_held(homeless, accounts, epoch, hold_epochs=1)

    credits = pl.concat(
        [frame.select("pool", "wallet", pl.col("amount").cast(WIDE)) for frame in (held.credited, with_wallet)]
    )
    before = claimables.select("pool", wallet="account", amount=pl.col("cumulative_amount").cast(WIDE))
    after = (
        pl.concat([before, credits]).group_by("pool", "wallet").agg(pl.col("amount").sum()).filter(pl.col("amount") > 0)
    )
    for pool, total in sum_by_pool(after).items():
        if total > MAX_AMOUNT:
            raise LimitError(f"the claimables of pool {pool} add up to {total}; the Vault stores at most {MAX_AMOUNT}")
    withheld = sum_by_pool(paid, "taken")
    returned = {p: sum_by_pool(held.returned)[p] + sum_by_pool(new.returned)[p] for p in POOLS}
    keep = [f.with_columns(pl.col("amount").cast(MONEY)) for f in (held.kept, new.kept)]
    return Distribution(
        claimables=CLAIMABLES.arrange(
            after.select("pool", account="wallet", cumulative_amount=pl.col("amount").cast(MONEY))
        ),
        held=pl.concat(keep),
        debts=debts_left,
        withheld=withheld,
        returned=returned,
    )


def successor_faults(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Pairs that break the rule of a successor: columns pool, account, was, now (null where it vanished), times (in
    `after`)."""
    now = after.group_by("pool", "account").agg(now=pl.col("cumulative_amount").max(), times=pl.len())
    was = before.select("pool", "account", was="cumulative_amount")
    both = was.join(now, on=["pool", "account"], how="full", coalesce=True)
    fell, vanished, doubled = pl.col("now") < pl.col("was"), pl.col("now").is_null(), pl.col("times") > 1
    return both.filter(fell | vanished | doubled).sort("pool", "account")
