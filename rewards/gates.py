"""What must hold before an epoch is sealed and before its root is sent. Each gate answers findings; any that refuses
stops the step. Those that judge are in `judgement.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from rewards.distribution import add_wallets, successor_faults, unusable_wallets
from rewards.epoch import Calendar, from_micros
from rewards.errors import Finding
from rewards.history import StoredHistory, decode_entry, describe_publication, encode_entry, find_damage, split_entries
from rewards.manifest import Manifest
from rewards.policy import BP, Policy
from rewards.ports import Counts, Coverage, EpochInputs, EpochResult, Previous, Publication, RewardPool
from rewards.quality import HOUR_US, MINUTE_US
from rewards.schemas import LATE, add_up
from rewards.units import POOL_NAMES, POOLS, PROVIDER, USER

SHOWN = 3
"""How many examples a finding names."""


def check_complete(
    usage: Coverage, heartbeats: Coverage, inputs: EpochInputs, calendar: Calendar, policy: Policy
) -> list[Finding]:
    """Both feeds have the epoch's day files, reach past its end (usage: past the grace), and leave no hour empty."""
    epoch, findings = inputs.epoch, []
    hours = frozenset(range(-(-calendar.length_us // HOUR_US)))
    until = {
        "usage_records": epoch.end_us + policy.rows.grace_minutes * MINUTE_US,
        "heartbeats": epoch.end_us - HOUR_US,
    }
    for name, coverage in (("usage_records", usage), ("heartbeats", heartbeats)):
        if coverage.rows == 0:
            findings.append(Finding("complete", f"{name} has no row of epoch {epoch.number}", "rows", "0"))
        days = {d for d in _day_ends(epoch.start_us, epoch.end_us) if d not in coverage.days}
        if days:
            missing = ", ".join(_day(d) for d in sorted(days))
            findings.append(Finding("complete", f"{name} lacks a day's file", f"a file {missing}", "none"))
        if coverage.closed_us < until[name]:
            findings.append(
                Finding(
                    "complete",
                    f"{name} ends too early; wait for the feed",
                    _moment(until[name]),
                    _moment(coverage.closed_us),
                )
            )
        if not coverage.after_end:
            message = f"nothing of {name} arrived in the hour after the epoch's end, where the last of its rows arrive"
            findings.append(Finding("complete", message, f"arrivals after {_moment(epoch.end_us)}", "none"))
        empty = sorted(hours - coverage.hours)
        if empty and coverage.rows:
            shown = ", ".join(map(str, empty))
            findings.append(
                Finding("complete", f"{name} has empty hours", f"rows in all {len(hours)} hours", f"none in {shown}")
            )
    return findings


def _day_ends(start_us: int, end_us: int) -> list[int]:
    """Ends of every day that the epoch touches."""
    day = 24 * HOUR_US
    first = (start_us // day + 1) * day
    return list(range(first, end_us + day, day))


def _moment(micros: int) -> str:
    return from_micros(micros).isoformat()


def _day(end_us: int) -> str:
    return _moment(end_us - 1)[:10]


def check_conserved(
    inputs: EpochInputs, result: EpochResult, previous: Previous, known_deposits: Mapping[int, int]
) -> list[Finding]:
    """Per pool: deposited = claimables + held + carry-over, nothing below zero, amounts within the pool, the books
    continue.

    `known_deposits` are all deposits up to the epoch's end or reference block, summed afresh: one that turned up for a
    time before the previous epoch's end would be in no epoch.
    """
    findings = []
    for pool in POOLS:
        name, books = POOL_NAMES[pool], result.totals[pool]
        accounted = books.claimables + books.held + books.carry_over
        if books.deposited != accounted:
            findings.append(Finding("conserve", f"{name} pool: deposited is not claimables + held + carry-over",
                                    str(books.deposited), str(accounted)))  # fmt: skip
        if books.deposited != known_deposits[pool]:
            findings.append(Finding("conserve", f"{name} pool: deposits of earlier epochs changed since they were sealed",
                                    str(books.deposited), str(known_deposits[pool])))  # fmt: skip
        if books.carry_over < 0:
            findings.append(
                Finding("conserve", f"{name} pool: more is paid than was deposited", "0 or more", str(books.carry_over))
            )
        if books.allocated > books.pool:
            findings.append(
                Finding("conserve", f"{name} pool: allocations pass the pool", str(books.pool), str(books.allocated))
            )
        frame = result.allocations.filter(pl.col("pool") == pool)
        over = frame.filter(pl.col("amount") > pl.col("cap"))
        if over.height:
            account, cap, amount = over.select("account_id", "cap", "amount").row(0)
            message = f"{name} pool: {over.height} amounts pass their cap, such as of {account}"
            findings.append(Finding("conserve", message, str(cap), str(amount)))
        shares = add_up(frame["share"])
        if frame.height and shares != books.pool:
            findings.append(
                Finding("conserve", f"{name} pool: shares do not add up to the pool", str(books.pool), str(shares))
            )
        increase = books.claimables - previous.totals[pool].claimables
        if inputs.limits is not None and increase > inputs.limits[pool]:  # sealed, it could never be published
            message = f"{name} pool: claimables grow by more than the Vault's limit"
            findings.append(Finding("conserve", message, f"at most {inputs.limits[pool]}", str(increase)))
        findings += _check_sums(pool, result)
    return findings


def _check_sums(pool: int, result: EpochResult) -> list[Finding]:
    """The rows that are published add up to the books: a leaf that nobody booked would be money from nowhere."""
    books, held = result.totals[pool], result.state.filter(pl.col("kind") == "held")
    sums = (
        ("allocations", result.allocations, "amount", books.allocated),
        ("claimables", result.claimables, "cumulative_amount", books.claimables),
        ("held amounts", held, "amount", books.held),
    )
    return [
        Finding("conserve", f"{POOL_NAMES[pool]} pool: {what} do not add up to the books", str(expected), str(found))
        for what, frame, column, expected in sums
        if (found := add_up(frame.filter(pl.col("pool") == pool)[column])) != expected
    ]


def check_rows(counts: Counts, rollup: pl.DataFrame, rows_read: int) -> list[Finding]:
    """Row classes add up to the rows read for the epoch, and the roll-up holds every earning row of each side."""
    findings = []
    if counts.rows != rows_read:
        findings.append(
            Finding("conserve", "row classes do not add up to the rows read", str(rows_read), str(counts.rows))
        )
    for part in ("provision", "user"):
        rolled = int(rollup.filter(pl.col("part") == part)["requests"].sum())
        suspended = int(
            rollup.filter((pl.col("part") == f"{part}_not_counted") & (pl.col("reason") == "suspended"))[
                "requests"
            ].sum()
        )
        if not rolled <= counts.earning <= rolled + suspended:
            findings.append(
                Finding(
                    "conserve", f"the {part} roll-up does not hold the earning rows", str(counts.earning), f"{rolled}"
                )
            )
    return findings


def check_rollup(counts: Counts, rollup: pl.DataFrame, heartbeats: pl.DataFrame) -> list[Finding]:
    """The roll-up does not contradict itself: no weight above full, no median of rows that are not there, no fee above
    what the earning rows paid, no heartbeat more often ok than sent."""
    on_time = pl.col("slot") != LATE
    served = rollup.filter(pl.col("part") == "provision")
    timed = rollup.filter(pl.col("part") == "latency").group_by("subject_id", "endpoint").agg(pl.col("requests").sum())
    known = served.filter(on_time).group_by("subject_id", "endpoint").agg(rows=pl.col("requests").sum())
    timed = timed.join(known, on=["subject_id", "endpoint"], how="left").with_columns(pl.col("rows").fill_null(0))
    below = (pl.col("requests") <= 0) | (pl.col("weight") < 0) | (pl.col("fee_e8") < 0)
    faults = (
        ("counts or sums below what a row gives", rollup.filter(below)),
        ("more weight than its requests can have", served.filter(pl.col("weight") > pl.col("requests") * BP)),
        ("more rows with a latency than rows", timed.filter(pl.col("requests") > pl.col("rows"))),
        ("heartbeats more often ok than sent", heartbeats.filter(~pl.col("ok").is_between(0, pl.col("heartbeats")))),
    )
    findings = [
        Finding("conserve", f"the roll-up has {what}", "none", f"{frame.height} rows, such as {frame.row(0)}")
        for what, frame in faults
        if frame.height
    ]
    for part in ("provision", "user"):
        side = rollup.filter(pl.col("part") == part)
        fees, rows = add_up(side["fee_e8"]), int(side["requests"].sum())
        if fees > counts.earning_fee_e8 or (rows == counts.earning and fees != counts.earning_fee_e8):
            message = f"the {part} roll-up has other fees than the earning rows"
            findings.append(Finding("conserve", message, str(counts.earning_fee_e8), str(fees)))
    return findings


def check_successor(previous: pl.DataFrame, claimables: pl.DataFrame) -> list[Finding]:
    """Against the claimables of the epoch before, none fell, vanished or doubled."""
    faults = successor_faults(previous, claimables)
    return [
        Finding(
            "successor",
            f"{faults.height} claimables fell, vanished or doubled, such as {POOL_NAMES.get(pool, pool)} {account}",
            str(was),
            f"{now} ({times} times)",
        )
        for pool, account, was, now, times in faults.head(SHOWN).rows()
    ]


def note_oddities(inputs: EpochInputs, counts: Counts, odd_heartbeats: Mapping[str, int]) -> list[Finding]:
    """What refuses nothing but should be seen: wallets that cannot be paid, rows of another tier, heartbeats of
    nobody, credits that nobody gets."""
    notes = []
    accounts = add_wallets(inputs.accounts, inputs.forbidden)
    wallets = unusable_wallets(accounts)
    if wallets.height:
        account, wallet = wallets.row(0)
        notes.append(Finding("wallet", f"{wallets.height} accounts name a wallet that cannot be paid, such as {account}",
                             "a usable address", repr(wallet), refuses=False))  # fmt: skip
    if counts.tier_mismatch:
        notes.append(Finding("tier", "earning rows name another tier than their provision; the provision's counts",
                             "0 rows", str(counts.tier_mismatch), refuses=False))  # fmt: skip
    lost = accounts.filter(pl.col("wallet").is_null() & (pl.col("suspended_at") < inputs.epoch.end))
    credits = inputs.corrections.filter(pl.col("amount") > 0).join(lost, on="account_id", how="semi")
    for account, amount in credits.select("account_id", "amount").head(SHOWN).rows():
        message = f"a correction credits {account!r}, which is suspended without a wallet; the pool has the money back"
        notes.append(Finding("correction", message, "an account that keeps it", str(int(amount)), refuses=False))
    for reason, number in sorted(odd_heartbeats.items()):
        notes.append(Finding("heartbeat", f"heartbeats were left out: {reason}", "0", str(number), refuses=False))
    return notes


@dataclass(frozen=True)
class VaultState:
    """What the gates before sending read of the chain. `role` is the sender's; `pending` the epoch of a pending root,
    or null; `before` the manifest digest of the live root of the epoch before, null where there is none."""

    chain_id: int
    address: str
    next_epoch: int
    pending: int | None
    paused: bool
    role: str
    pools: RewardPool
    limits: Mapping[int, int]
    promised: Mapping[int, int]
    before: str | None


def check_solvent(manifest: Manifest, vault: VaultState) -> list[Finding]:
    """The Vault's pools and its limit per epoch cover the increase over what it has promised."""
    findings = []
    available = {PROVIDER: vault.pools.provider, USER: vault.pools.user}
    for pool in POOLS:
        name, increase = POOL_NAMES[pool], manifest.total(pool) - vault.promised[pool]
        if increase < 0:
            findings.append(Finding("solvent", f"{name} pool: the total falls below what is promised",
                                    f"{vault.promised[pool]} or more", str(manifest.total(pool))))  # fmt: skip
        if increase > available[pool]:
            findings.append(
                Finding(
                    "solvent", f"{name} pool does not cover the increase", f"at most {available[pool]}", str(increase)
                )
            )
        if increase > vault.limits[pool]:
            findings.append(Finding("solvent", f"{name} pool: the increase passes the Vault's limit per epoch",
                                    f"at most {vault.limits[pool]}", str(increase)))  # fmt: skip
    return findings


def check_chain_state(manifest: Manifest, vault: VaultState) -> list[Finding]:
    """The chain is the manifest's, its next epoch is this one and continues the live one before, no root is pending,
    publishing is open, the sender may publish."""
    chain = manifest.chain
    if chain is None:
        return [
            Finding("chain state", f"epoch {manifest.epoch.number} was computed without a chain", "a Vault", "none")
        ]
    # Where the Vault is not that far, there is nothing to be continued yet.
    before = vault.before if vault.next_epoch == manifest.epoch.number else manifest.previous
    compared: Sequence[tuple[str, object, object]] = (
        ("the chain is another one", chain.chain_id, vault.chain_id),
        ("the Vault is another one", chain.vault, vault.address),
        ("the Vault expects another epoch", manifest.epoch.number, vault.next_epoch),
        ("the Vault holds another epoch before it; run that one again", manifest.previous, before),
        ("a root is pending", None, vault.pending),
        ("publishing is paused", False, vault.paused),
        ("the sender is not the publisher", "publisher", vault.role),
    )
    return [
        Finding("chain state", message, str(expected), str(observed))
        for message, expected, observed in compared
        if expected != observed
    ]


def check_history(stored: StoredHistory, origin: str, published: Sequence[Publication]) -> list[Finding]:
    """The log gives every checkpoint that was written, and the final publications of the chain begin with it.

    `origin` names the Vault, `published` is all that its chain shows as final, in order.
    """
    findings = find_damage(stored, origin)
    logged = split_entries(stored.log)
    for index, (entry, publication) in enumerate(zip(logged, published, strict=False)):
        if entry != encode_entry(publication):
            message = f"the chain has another publication than entry {index}"
            texts = describe_publication(decode_entry(entry)), describe_publication(publication)
            findings.append(Finding("history", message, *texts))
            break
    if len(published) < len(logged):
        message = "the chain shows fewer final publications than were logged"
        findings.append(Finding("history", message, f"{len(logged)} or more", str(len(published))))
    return findings
