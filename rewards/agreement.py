"""Whether the fast paths agree with the plain-Python reference: on every account of a small epoch, on a sample of a large
one.

The sample cannot be foreseen, since the epoch's own root draws it. What the reference needs for its accounts is cut out
of the inputs: their rows, those of whom they referred, and whatever shares their wallets.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from rewards import reference
from rewards.distribution import add_wallets
from rewards.errors import Finding
from rewards.policy import Policy
from rewards.ports import EpochInputs, EpochResult, Previous
from rewards.units import POOL_NAMES, POOLS, keccak

ALL = 50_000
"""Up to so many rows of the roll-up, every account is compared."""
DRAWN, LARGEST = 1000, 50
"""Of a larger epoch: accounts drawn of each kind, and those with the largest amounts in each pool."""
LEVELS = 3
"""How far down a chain of referrals pays; policies have one rate for each."""
SHOWN = 3


@dataclass(frozen=True)
class _Part:
    """An epoch, or as much of it as decides on some `accounts` and `wallets`; null means all. Totals are the whole
    epoch's, as are the sum of scores by pool and what is `credited` of held amounts by (pool, account, epoch): a limit
    looks at all of them."""

    inputs: EpochInputs
    result: EpochResult
    previous: Previous
    scores: Mapping[int, int]
    credited: Mapping[tuple[int, str, int], int]
    accounts: frozenset[str] | None = None
    wallets: frozenset[str] | None = None


def check_reference(inputs: EpochInputs, result: EpochResult, previous: Previous, policy: Policy) -> list[Finding]:
    """The plain-Python reference gives the same score, cap and amount, and the same balances, for every account looked
    at."""
    part = _choose(inputs, result, previous)
    return [*_check_amounts(part, policy), *_check_credits(part, policy)]


def _choose(inputs: EpochInputs, result: EpochResult, previous: Previous) -> _Part:
    scores = {p: sum(result.allocations.filter(pl.col("pool") == p)["score"].to_list()) for p in POOLS}
    whole = _Part(inputs, result, previous, scores, _credit_held(inputs, previous))
    if inputs.rollup.height + previous.claimables.height <= ALL:
        return whole
    accounts = frozenset(
        name
        for names in (
            *(_top(result.allocations.filter(pl.col("pool") == p)) for p in POOLS),
            result.allocations["account_id"],
            inputs.rollup.filter(pl.col("part") == "user")["subject_id"],
            inputs.provisions["provider_id"],
            previous.state.filter(pl.col("kind").is_in(["held", "debt"]))["id"],
        )
        for name in _draw(names, result.root)
    )
    paid = add_wallets(inputs.accounts, inputs.forbidden)
    wallets = frozenset(
        [
            *paid.filter(pl.col("account_id").is_in(list(accounts)))["wallet"].drop_nulls().to_list(),
            *_draw(result.claimables["account"], result.root),
            *_draw(previous.claimables["account"], result.root),
        ]
    )
    return _cut(whole, accounts, wallets, paid)


def _top(allocations: pl.DataFrame) -> pl.Series:
    return allocations.top_k(LARGEST, by="amount")["account_id"]


def _draw(names: pl.Series, seed: bytes) -> list[str]:
    """Some of the names, by their places, so that none but those drawn becomes a Python object."""
    if len(names) <= DRAWN:
        return names.to_list()
    places = {int.from_bytes(keccak(seed + number.to_bytes(4))) % len(names) for number in range(DRAWN)}
    return names.gather(sorted(places)).to_list()


def _cut(whole: _Part, accounts: frozenset[str], wallets: frozenset[str], paid: pl.DataFrame) -> _Part:
    """The rows that decide on the accounts: their own, their referees' down to the last level that pays, and those of
    whom their wallets are."""
    inputs, result, previous = whole.inputs, whole.result, whole.previous
    deciding = pl.Series(sorted(accounts), dtype=pl.String)
    level = deciding
    for _ in range(LEVELS):
        level = inputs.accounts.filter(pl.col("referred_by").is_in(level.implode()))["account_id"]
        deciding = pl.concat([deciding, level])
    sharing = pl.concat([deciding, paid.filter(pl.col("wallet").is_in(list(wallets)))["account_id"]]).unique().implode()
    provisions = inputs.provisions.filter(pl.col("provider_id").is_in(sharing))
    nodes = provisions["provision_id"].implode()
    of_node = pl.col("part").is_in(["provision", "latency"])
    rows = pl.when(of_node).then(pl.col("subject_id").is_in(nodes)).otherwise(pl.col("subject_id").is_in(sharing))
    theirs = (pl.col("kind") == "demand") | pl.col("id").is_in(sharing)
    paid_to = pl.col("account").is_in(list(wallets))
    return replace(
        whole,
        inputs=replace(
            inputs,
            rollup=inputs.rollup.filter(rows),
            heartbeats=inputs.heartbeats.filter(pl.col("provision_id").is_in(nodes)),
            accounts=inputs.accounts.filter(pl.col("account_id").is_in(sharing)),
            provisions=provisions,
            corrections=inputs.corrections.filter(pl.col("account_id").is_in(sharing)),
        ),
        result=replace(
            result,
            allocations=result.allocations.filter(pl.col("account_id").is_in(sharing)),
            claimables=result.claimables.filter(paid_to),
            state=result.state.filter(theirs),
        ),
        previous=replace(previous, claimables=previous.claimables.filter(paid_to), state=previous.state.filter(theirs)),
        accounts=accounts,
        wallets=wallets,
    )


def _check_amounts(part: _Part, policy: Policy) -> list[Finding]:
    scored = _score(part, policy)
    observed = {
        (pool, account): (score, int(cap), int(share), int(amount))
        for pool, account, score, cap, share, amount in part.result.allocations.select(
            "pool", "account_id", "score", "cap", "share", "amount"
        ).rows()
        if part.accounts is None or account in part.accounts
    }
    expected = {}
    for pool in POOLS:
        ours = {
            account: s
            for (p, account), s in scored.items()
            if p == pool and s.score > 0 and (part.accounts is None or account in part.accounts)
        }
        given = {account: share for (p, account), (_, _, share, _) in observed.items() if p == pool}
        for account, share in _split(part, pool, ours, given).items():
            one = ours[account]
            expected[pool, account] = (one.score, one.cap, share, min(share, one.cap))
    wrong = sorted(k for k in expected.keys() | observed.keys() if expected.get(k) != observed.get(k))
    return [
        Finding("reference", f"{len(wrong)} accounts differ from the reference, such as {account} in pool {POOL_NAMES[pool]}",
                f"score, cap, share, amount {expected.get((pool, account))}", f"{observed.get((pool, account))}")
        for pool, account in wrong[:SHOWN]
    ]  # fmt: skip


def _split(part: _Part, pool: int, scored: Mapping[str, reference.Scored], given: Mapping[str, int]) -> dict[str, int]:
    """The shares of the reference. Who gets a remainder unit depends on everybody: in a part, the accounts that were
    `given` one must be those with the largest fractions, and that all units are given is for the gate `conserve`."""
    units, scores = part.result.totals[pool].pool, {account: one.score for account, one in scored.items()}
    if part.accounts is None:
        return reference.allocate(units, scores)
    total = part.scores[pool]
    if not total:
        return {}
    shares = {account: units * score // total for account, score in scores.items()}
    by_fraction = sorted(sorted(scores), key=lambda account: units * scores[account] % total, reverse=True)
    lucky = sum(given.get(account, 0) > shares[account] for account in scores)
    for account in by_fraction[:lucky]:
        shares[account] += 1
    return shares


def _check_credits(part: _Part, policy: Policy) -> list[Finding]:
    """Claimables, held amounts and debts are what the epoch before left and this one allocated, in plain integers."""
    expected = _expected_balances(part, policy)
    observed = _balances(part.result.claimables, part.result.state)
    keys = expected.keys() | observed.keys()
    if part.wallets is not None:
        keys = {k for k in keys if k[0] != "claimable" or k[2] in part.wallets}
    wrong = sorted(k for k in keys if expected[k] != observed[k])
    return [
        Finding("reference", f"{len(wrong)} balances differ from the reference, such as {kind} of {owner} in pool {pool}",
                str(expected[kind, pool, owner, epoch]), str(observed[kind, pool, owner, epoch]))
        for kind, pool, owner, epoch in wrong[:SHOWN]
    ]  # fmt: skip


_Balances = Counter[tuple[str, int, str, int]]
"""Base units by kind (claimable, held, debt), pool, owner (a wallet for claimables, else an account), epoch of a held
amount."""


def _balances(claimables: pl.DataFrame, state: pl.DataFrame) -> _Balances:
    found: _Balances = Counter()
    for pool, wallet, amount in claimables.select("pool", "account", "cumulative_amount").rows():
        found["claimable", pool, wallet, 0] += int(amount)
    for kind, pool, account, epoch, amount in state.select("kind", "pool", "id", "epoch", "amount").rows():
        if kind in ("held", "debt"):
            found[kind, pool, account, epoch] += int(amount)
    return found


def _credit_held(inputs: EpochInputs, previous: Previous) -> dict[tuple[int, str, int], int]:
    """What the reference credits of held amounts, by (pool, account, epoch)."""
    held = previous.state.filter(kind="held")
    owners = inputs.accounts.join(held.select(account_id="id"), on="account_id", how="semi")
    suspended = (pl.col("suspended_at") < inputs.epoch.end).fill_null(False)
    paid = add_wallets(owners, inputs.forbidden).filter(pl.col("wallet").is_not_null() & ~suspended)
    held = held.join(paid.select(id="account_id"), on="id", how="semi")
    credited = {}
    for pool in POOLS:
        amounts = {(epoch, account): int(amount) for epoch, account, amount in
                   held.filter(pool=pool).select("epoch", "id", "amount").rows()}  # fmt: skip
        corrections = inputs.corrections.filter(pool=pool)["amount"].to_list()
        spent = sum(max(0, int(amount)) for amount in corrections)
        room = None if inputs.limits is None else inputs.limits[pool] - spent
        for (epoch, account), amount in reference.credit_held(room, amounts).items():
            credited[pool, account, epoch] = amount
    return credited


def _expected_balances(part: _Part, policy: Policy) -> _Balances:
    inputs, result, previous = part.inputs, part.result, part.previous
    accounts = add_wallets(inputs.accounts, inputs.forbidden)
    wallets = {
        account: wallet for account, wallet in accounts.select("account_id", "wallet").rows() if wallet is not None
    }
    suspended = set(accounts.filter(pl.col("suspended_at") < inputs.epoch.end)["account_id"].to_list())
    balances = _balances(previous.claimables, previous.state)
    for kind, pool, account, epoch in sorted(k for k in balances if k[0] == "held"):
        if account in wallets and account not in suspended:
            amount = part.credited[pool, account, epoch]
            balances["claimable", pool, wallets[account], 0] += amount
            balances[kind, pool, account, epoch] -= amount
        elif account in suspended or inputs.epoch.number - epoch >= policy.pools.hold_epochs:
            del balances[kind, pool, account, epoch]
    earned: Counter[tuple[int, str]] = Counter()
    for pool, account, amount in inputs.corrections.select("pool", "account_id", "amount").rows():
        balances["debt", pool, account, 0] += max(0, -int(amount))
        earned[pool, account] += max(0, int(amount))
    for pool, account, amount in result.allocations.select("pool", "account_id", "amount").rows():
        withheld = min(int(amount), balances["debt", pool, account, 0])
        balances["debt", pool, account, 0] -= withheld
        earned[pool, account] += int(amount) - withheld
    for (pool, account), amount in earned.items():
        if account in wallets:
            balances["claimable", pool, wallets[account], 0] += amount
        elif account not in suspended:
            balances["held", pool, account, inputs.epoch.number] += amount
    return balances


def _score(part: _Part, policy: Policy) -> dict[tuple[int, str], reference.Scored]:
    """The reference's scores by (pool, account), of the whole part."""
    inputs, previous = part.inputs, part.previous
    accounts = add_wallets(inputs.accounts, inputs.forbidden).with_columns(
        suspended=pl.col("suspended_at").dt.timestamp("us"), created=pl.col("created_at").dt.timestamp("us")
    )
    people = {
        row[0]: reference.Account(*row)
        for row in accounts.select("account_id", "kind", "wallet", "suspended", "referred_by", "created").rows()
    }
    nodes = {
        r[0]: reference.Provision(*r)
        for r in inputs.provisions.select("provision_id", "provider_id", "service_tier").rows()
    }
    usage = [
        reference.Usage(part, subject, endpoint, slot, requests, weight, int(fee))
        for part, subject, endpoint, slot, _, requests, weight, fee in inputs.rollup.rows()
    ]
    demand: dict[tuple[str, str, int], int] = {}
    streaks: dict[str, int] = {}
    for kind, _, name, epoch, endpoint, tier, hour, amount in previous.state.rows():
        if kind == "streak":
            streaks[name] = int(amount)
        elif kind == "demand" and epoch >= inputs.epoch.number - policy.demand.epochs:
            demand[endpoint, tier, hour] = demand.get((endpoint, tier, hour), 0) + int(amount)
    beats = {provision: (ok, beats) for provision, beats, ok in inputs.heartbeats.rows()}
    return reference.score_epoch(usage, beats, nodes, people, streaks, demand, policy, inputs.epoch)
