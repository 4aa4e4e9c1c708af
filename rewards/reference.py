"""Reward rules, version 1, in plain integers: the definition of scores, caps, referral and allocation.

Slow and short on purpose; every faster way to the same numbers must agree with it to the unit. Scores of providers are
milli-points, scores of users 10^-8 CXPT; caps and amounts are base units of CXPT; multipliers are bp (1/10,000).
All division rounds down, also below zero.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rewards.epoch import DAY_US, Epoch
from rewards.errors import InputError
from rewards.policy import BP, Policy
from rewards.units import POOLS, PROVIDER, UNITS_PER_E8, USER, Address

LATE = -1
"""The slot of late rows in the roll-up."""
HOURS = 24
NOT_EARNING = ("provision_not_counted", "user_not_counted")


@dataclass(frozen=True)
class Account:
    """An account of the epoch's snapshot. `wallet` is null when it is not usable; times are microseconds since 1970."""

    account_id: str
    kind: str
    wallet: Address | None
    suspended_us: int | None
    referred_by: str | None
    created_us: int


@dataclass(frozen=True)
class Provision:
    """A node, the account that runs it, and its tier."""

    provision_id: str
    provider_id: str
    service_tier: str


@dataclass(frozen=True)
class Usage:
    """One row of the roll-up (its `reason` left out); `weight` is Σw, `fee_e8` is in 10^-8 CXPT."""

    part: str
    subject_id: str
    endpoint: str
    slot: int
    requests: int
    weight: int
    fee_e8: int


@dataclass(frozen=True)
class Scored:
    """What one account earned in one pool, before the pool is split; `streak` is 0 for providers."""

    own_score: int
    referral_earned: int
    referral_counted: int
    score: int
    own_cap: int
    cap: int
    streak: int


@dataclass(frozen=True)
class _Own:
    """What an account brought itself: its score, its fees in 10^-8 CXPT, its epochs in a row."""

    score: int
    fee_e8: int
    streak: int


def interpolate(x: int, knots: Sequence[tuple[int, int]]) -> int:
    """The y of x on the line through `knots` (x ascending, at least one); their first and last y outside."""
    if x <= knots[0][0]:
        return knots[0][1]
    for (x0, y0), (x1, y1) in pairwise(knots):
        if x <= x1:
            return y0 + (x - x0) * (y1 - y0) // (x1 - x0)
    return knots[-1][1]


def request_weight(fee_e8: int, endpoint: str, tier: str, policy: Policy) -> int:
    """Weight of one earning request, 0 to 10,000: its fee (10^-8 CXPT) against the reference fee."""
    return min(BP, fee_e8 * BP // policy.endpoints[endpoint].reference_fee_e8[tier])


def demand_multiplier(hour_weight: int, day_weight: int, policy: Policy) -> int:
    """Multiplier in bp from the Σw of an hour of day and of all 24 hours, both over the epochs before."""
    rules = policy.demand
    hour, day = hour_weight // BP, day_weight // BP
    raw = (hour + rules.offset) * HOURS * BP // (day + HOURS * rules.offset)
    return max(rules.min_bp, min(rules.max_bp, raw))


def uptime_multiplier(ok: int, total: int, policy: Policy) -> int:
    """Multiplier in bp from a provision's heartbeats of the epoch and how many of them were ok."""
    if total < policy.uptime.min_heartbeats:
        return policy.uptime.floor_bp
    return interpolate(ok * BP // total, policy.uptime.knots)


def median_latency(histogram: Mapping[int, int], policy: Policy) -> int | None:
    """Upper edge (ms) of the first bucket where the running count reaches half, rounded up; None without requests.

    `histogram` gives requests by index of the policy's `edges_ms`.
    """
    half = (sum(histogram.values()) + 1) // 2
    running = 0
    for bucket in sorted(histogram):
        running += histogram[bucket]
        if running >= half > 0:
            return policy.response_time.edges_ms[bucket]
    return None


def latency_multiplier(median: int | None, policy: Policy) -> int:
    """Multiplier in bp from a median latency in ms; neutral when there is none."""
    return BP if median is None else interpolate(median, policy.response_time.knots)


def loyalty_multiplier(streak: int, policy: Policy) -> int:
    """Multiplier in bp of the highest step that `streak` epochs in a row have reached."""
    return max((epochs, bp) for epochs, bp in policy.loyalty.steps if epochs <= streak)[1]


def score_epoch(
    usage: Iterable[Usage],
    heartbeats: Mapping[str, tuple[int, int]],
    provisions: Mapping[str, Provision],
    accounts: Mapping[str, Account],
    streaks: Mapping[str, int],
    demand: Mapping[tuple[str, str, int], int],
    policy: Policy,
    epoch: Epoch,
) -> dict[tuple[int, str], Scored]:
    """Scores and caps by (pool, account id), of every account with rows of its side or that a counting link leads to.

    `heartbeats` gives (ok, all) by provision, `streaks` epochs in a row by user before this one, `demand` the Σw by
    (endpoint, tier, hour of day) over the epochs before, late rows left out. Raises InputError for a row of the
    roll-up whose part, provision, endpoint or slot does not exist.
    """
    rows = list(usage)
    for row in rows:
        _check_row(row, provisions, policy)
    own = {
        PROVIDER: _score_providers(rows, heartbeats, provisions, demand, policy),
        USER: _score_users(rows, streaks, policy),
    }
    return {
        (pool, account_id): scored
        for pool in POOLS
        for account_id, scored in _add_referral(pool, own[pool], accounts, policy, epoch).items()
    }


def _check_row(row: Usage, provisions: Mapping[str, Provision], policy: Policy) -> None:
    if row.part in NOT_EARNING:
        return
    slots = {
        "provision": range(LATE, HOURS),
        "latency": range(len(policy.response_time.edges_ms)),
        "user": range(LATE, 1),
    }.get(row.part)
    if slots is None:
        raise InputError(f"rollup: the part {row.part!r} does not exist; roll the usage up again")
    if row.slot not in slots:
        raise InputError(f"rollup: {row.part} {row.subject_id!r} has the slot {row.slot}; roll the usage up again")
    if row.part == "user":
        return
    if row.subject_id not in provisions:
        raise InputError(f"rollup: the provision {row.subject_id!r} is not in provisions; quarantine its rows")
    if row.endpoint not in policy.endpoints:
        raise InputError(f"rollup: the endpoint {row.endpoint!r} is not in the policy; quarantine its rows")


def _score_providers(
    rows: Sequence[Usage],
    heartbeats: Mapping[str, tuple[int, int]],
    provisions: Mapping[str, Provision],
    demand: Mapping[tuple[str, str, int], int],
    policy: Policy,
) -> dict[str, _Own]:
    """Own scores by provider: (endpoint, hour) groups × demand, endpoints × response time, provisions × uptime."""
    weights: dict[tuple[str, str, int], int] = defaultdict(int)
    histograms: dict[tuple[str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    fees: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.part == "provision":
            weights[row.subject_id, row.endpoint, row.slot] += row.weight
            fees[provisions[row.subject_id].provider_id] += row.fee_e8
        elif row.part == "latency":
            histograms[row.subject_id, row.endpoint][row.slot] += row.requests

    days: dict[tuple[str, str], int] = defaultdict(int)
    for (endpoint, tier, _), weight in demand.items():
        days[endpoint, tier] += weight

    endpoint_points: dict[tuple[str, str], int] = defaultdict(int)
    for (provision_id, endpoint, hour), weight in weights.items():
        tier = provisions[provision_id].service_tier
        demand_bp = BP
        if hour != LATE:
            demand_bp = demand_multiplier(demand.get((endpoint, tier, hour), 0), days[endpoint, tier], policy)
        base = policy.endpoints[endpoint].base_points[tier]
        endpoint_points[provision_id, endpoint] += weight * base * demand_bp // BP**2

    provision_points: dict[str, int] = defaultdict(int)
    for (provision_id, endpoint), points in endpoint_points.items():
        median = median_latency(histograms[provision_id, endpoint], policy)
        provision_points[provision_id] += points * latency_multiplier(median, policy) // BP

    scores: dict[str, int] = defaultdict(int)
    for provision_id, points in provision_points.items():
        ok, total = heartbeats.get(provision_id, (0, 0))
        scores[provisions[provision_id].provider_id] += points * uptime_multiplier(ok, total, policy) // BP
    return {provider_id: _Own(score, fees[provider_id], 0) for provider_id, score in scores.items()}


def _score_users(rows: Sequence[Usage], streaks: Mapping[str, int], policy: Policy) -> dict[str, _Own]:
    """Own scores by user id: fees × loyalty. Late fees earn, but do not carry a streak on."""
    fees: dict[str, int] = defaultdict(int)
    in_time: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.part == "user":
            fees[row.subject_id] += row.fee_e8
            in_time[row.subject_id] += 0 if row.slot == LATE else row.fee_e8
    own = {}
    for user_id, fee_e8 in fees.items():
        streak = streaks.get(user_id, 0) + 1 if in_time[user_id] >= policy.loyalty.min_fee_e8 else 0
        own[user_id] = _Own(fee_e8 * loyalty_multiplier(streak, policy) // BP, fee_e8, streak)
    return own


def _add_referral(
    pool: int, own: Mapping[str, _Own], accounts: Mapping[str, Account], policy: Policy, epoch: Epoch
) -> dict[str, Scored]:
    """Scores and caps of one pool: what each account brought itself, and its part of what its referees brought."""
    cap_bp = policy.caps.provider_bp if pool == PROVIDER else policy.caps.user_bp
    level_bp = policy.referral.provider_bp if pool == PROVIDER else policy.referral.user_bp
    own_caps = {i: one.fee_e8 * UNITS_PER_E8 * policy.caps.deposit_bp * cap_bp // BP**2 for i, one in own.items()}
    bonuses: dict[str, int] = defaultdict(int)
    caps: dict[str, int] = defaultdict(int, own_caps)
    for referee_id, one in own.items():
        for bp, referrer_id in zip(level_bp, _find_referrers(referee_id, accounts, epoch), strict=False):
            caps[referrer_id] += own_caps[referee_id] * bp // BP
            # An old referee brings no more bonus, but what its referrers may earn is still bounded by what it pays.
            if epoch.start_us - accounts[referee_id].created_us < policy.referral.referee_days * DAY_US:
                bonuses[referrer_id] += one.score * bp // BP
    scored = {}
    for account_id, cap in caps.items():
        one = own.get(account_id, _Own(0, 0, 0))
        earned = bonuses[account_id]
        counted = min(earned, one.score)
        own_cap = own_caps.get(account_id, 0)
        scored[account_id] = Scored(one.score, earned, counted, one.score + counted, own_cap, cap, one.streak)
    return scored


def _find_referrers(account_id: str, accounts: Mapping[str, Account], epoch: Epoch) -> Iterator[str]:
    """Who referred the account, who referred that one, and so on, up to the first link that does not count.

    Ends, because every link that counts leads to a strictly older account.
    """
    referee = accounts.get(account_id)
    while referee is not None and referee.referred_by is not None:
        referrer = accounts.get(referee.referred_by)
        if referrer is None or not _does_link_count(referee, referrer, epoch):
            return
        yield referrer.account_id
        referee = referrer


def _does_link_count(referee: Account, referrer: Account, epoch: Epoch) -> bool:
    return (
        referrer.kind == referee.kind
        and referrer.created_us < referee.created_us
        and (referee.wallet is None or referee.wallet != referrer.wallet)
        and not any(one.suspended_us is not None and one.suspended_us < epoch.end_us for one in (referee, referrer))
    )


def credit_held(room: int | None, held: Mapping[tuple[int, str], int]) -> dict[tuple[int, str], int]:
    """What is credited of one pool's held amounts by (epoch, account id) whose accounts have wallets: all without a
    limit, else up to `room`, the oldest first, then ascending by the id's UTF-8 bytes."""
    if room is None:
        return dict(held)
    credited, left = {}, max(0, room)
    for key in sorted(held, key=lambda key: (key[0], key[1].encode())):
        credited[key] = min(held[key], left)
        left -= credited[key]
    return credited


def allocate(pool: int, scores: Mapping[str, int]) -> dict[str, int]:
    """A pool (base units) split by score: by account id, adding up to the pool; empty without a positive score.

    What rounding down leaves goes, a unit each, to the largest fractional parts, ties ascending by the id's UTF-8
    bytes. Raises InputError for a pool or score below zero.
    """
    if pool < 0:
        raise InputError(f"a pool of {pool} base units cannot be split; it must be 0 or more")
    for account_id, score in scores.items():
        if score < 0:
            raise InputError(f"account {account_id!r} has the score {score}; it must be 0 or more")
    total = sum(scores.values())
    if total == 0:
        return {}
    shares = {account_id: pool * score // total for account_id, score in scores.items()}
    left = pool - sum(shares.values())
    by_fraction = sorted(scores, key=lambda account_id: (-(pool * scores[account_id] % total), account_id.encode()))
    for account_id in by_fraction[:left]:
        shares[account_id] += 1
    return shares


def amounts(pool: int, scored: Mapping[str, Scored]) -> dict[str, int]:
    """What the accounts of one pool get of it (base units): their share, cut at their cap; what is cut carries over."""
    shares = allocate(pool, {account_id: one.score for account_id, one in scored.items()})
    return {account_id: min(share, scored[account_id].cap) for account_id, share in shares.items()}
