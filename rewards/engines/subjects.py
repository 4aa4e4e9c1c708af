"""Accounts and provisions by number, which joins, groups and sorts take lightly; and names for the numbers again."""

from collections.abc import Mapping, Sequence

import polars as pl

from rewards.policy import TIERS, Policy
from rewards.quality import Rule

PARTS = ("latency", "provision", "provision_not_counted", "user", "user_not_counted")
"""Of the roll-up, in their order; the first three are of provisions."""


class Subjects:
    """Accounts and provisions, numbered in the order of their names."""

    def __init__(self, accounts: pl.DataFrame, provisions: pl.DataFrame) -> None:
        number = pl.int_range(pl.len(), dtype=pl.Int32)
        self._people = accounts.sort("account_id").with_columns(account_no=number)
        self._nodes = provisions.sort("provision_id").with_columns(provision_no=number)
        self.accounts, self.provisions = self._people["account_id"], self._nodes["provision_id"]

    def tables(self, policy: Policy) -> Mapping[str, pl.DataFrame]:
        """The tables `accounts` and `provisions` that `quality` describes; times are microseconds since 1970."""
        number = pl.int_range(pl.len(), dtype=pl.Int32)
        suspended = pl.col("suspended_at").dt.timestamp("us").alias("suspended_us")
        people = self._people.select("account_id", "kind", "wallet", "account_no", suspended)
        providers = people.join(self._nodes.select(account_id="provider_id").unique(), on="account_id", how="semi")
        wallets = providers.select("wallet").drop_nulls().unique().with_columns(wallet_no=number)
        people = people.join(wallets, on="wallet", how="left")
        told = people.select(
            provider_id="account_id",
            provider_is_user=pl.col("kind") == "user",
            provider_suspended_us="suspended_us",
            provider_wallet_no="wallet_no",
        )
        tier = pl.col("service_tier")
        fees = {
            f"reference_fee_e8_{i}": tier.replace_strict(
                dict(numbers.reference_fee_e8), default=None, return_dtype=pl.Int64
            )
            for i, numbers in enumerate(policy.endpoints.values())
        }
        tiers = {name: i for i, name in enumerate(TIERS)}
        nodes = self._nodes.join(told, on="provider_id", how="left").select(
            "provision_id",
            "provision_no",
            *told.columns[1:],
            registered_us=pl.col("registered_at").dt.timestamp("us"),
            retired_us=pl.col("retired_at").dt.timestamp("us"),
            tier_no=tier.replace_strict(tiers, default=None, return_dtype=pl.Int16),
            **fees,
        )
        is_provider = pl.col("kind") == "provider"
        return {
            "accounts": people.select("account_id", "account_no", "suspended_us", "wallet_no", is_provider=is_provider),
            "provisions": nodes,
        }

    def name(self, sums: pl.DataFrame, rules: Sequence[Rule], endpoints: Sequence[str]) -> pl.DataFrame:
        """Sums by numbers (part, subject_no or user_id, endpoint_no, slot, rule) as sums by names, in the order of the
        names."""
        strangers = sums["user_id"].drop_nulls().unique()
        users = pl.concat([self.accounts, strangers]).sort()
        if len(strangers):
            numbers = pl.DataFrame({"user_id": users, "user_no": pl.int_range(len(users), dtype=pl.Int32, eager=True)})
            known = self._people.select(user_id="account_id").join(numbers, on="user_id", maintain_order="left")[
                "user_no"
            ]
            sums = sums.join(numbers, on="user_id", how="left")
            is_known = pl.col("part").is_in([3, 4]) & pl.col("subject_no").is_not_null()
            number = pl.when(is_known).then(known.gather(sums["subject_no"].clip(0, max(len(known) - 1, 0))))
            sums = sums.with_columns(subject_no=number.otherwise(pl.coalesce("subject_no", "user_no")))
        reasons = sorted({rule.reason for rule in rules})
        reason = sums["rule"].replace_strict(
            {-1: 0} | {i: 1 + reasons.index(rule.reason) for i, rule in enumerate(rules)}, return_dtype=pl.Int8
        )
        places = {-1: 0} | {i: 1 + sorted(endpoints).index(name) for i, name in enumerate(endpoints)}
        place = sums["endpoint_no"].replace_strict(places, return_dtype=pl.Int8)
        sums = sums.with_columns(reason=reason, endpoint=place).sort("part", "subject_no", "endpoint", "slot", "reason")
        of_provision = sums["part"] < 3
        numbers_of = sums["subject_no"].filter
        subjects = pl.concat(
            [self.provisions.gather(numbers_of(of_provision)), users.gather(numbers_of(~of_provision))]
        )
        return sums.with_columns(
            part=pl.Series(PARTS).gather(sums["part"]),
            subject_id=subjects,
            endpoint=pl.Series(["", *sorted(endpoints)]).gather(sums["endpoint"]),
            reason=pl.Series(["", *reasons]).gather(sums["reason"]),
        )
