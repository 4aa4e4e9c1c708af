"""Every gate that is arithmetic: fixtures that break it, one at the exact boundary that passes; and proof that a
refusal stops the step (I13)."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rewards import agreement, gates
from rewards.agreement import check_reference
from rewards.compute import compute_epoch
from rewards.epoch import DAY_US
from rewards.errors import Finding, GateRefused, refuse
from rewards.jobs import prepare
from rewards.jobs.prepare import Prepared, StageClock, prepare_epoch, read_previous
from rewards.jobs.run import run_epochs
from rewards.jobs.workspace import Workspace
from rewards.manifest import ChainFacts
from rewards.policy import BP
from rewards.ports import Block, Counts, Coverage, EpochResult, Previous, RewardPool
from rewards.schemas import HEARTBEATS_ROLLUP, LATE, ROLLUP, STATE
from rewards.units import POOL_NAMES, POOLS, PROVIDER, USER, Address
from tests.bundles.forge import CALENDAR, add_unit, edit_table, seal_sample, settings_for
from tests.worlds import POLICY, change, corrections_frame, people_frame

HOUR_US = DAY_US // 24
VAULT, TOKEN = Address("0x" + "aa" * 20), Address("0x" + "bb" * 20)


@dataclass(frozen=True)
class Case:
    """Epoch 1 of the sample as computed, what epoch 0 left, and all deposits by then."""

    prepared: Prepared
    previous: Previous
    known: dict[int, int]

    def conserved(self, **changes: Any) -> list[Finding]:
        result = replace(self.prepared.result, **changes)
        return gates.check_conserved(self.prepared.inputs, result, self.previous, self.known)

    def referenced(self, **changes: Any) -> list[Finding]:
        result = replace(self.prepared.result, **changes)
        return check_reference(self.prepared.inputs, result, self.previous, POLICY)


@pytest.fixture(scope="module")
def sample(repository: Path) -> Path:
    return repository / "data" / "sample"


@pytest.fixture(scope="module")
def case(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    workspace = seal_sample(tmp_path_factory.mktemp("gates"), sample, last=0)
    prepared = prepare_epoch(workspace, settings_for(sample), 1, StageClock(lambda _: None))
    previous, _ = read_previous(workspace, 1, 0)
    known = {pool: prepared.result.totals[pool].deposited for pool in POOLS}
    return Case(prepared, previous, known)


def _counts(rows: int, fee_e8: int = 0) -> Counts:
    return Counts(rows, {}, 0, {}, 0, 0, fee_e8)


def _only(findings: list[Finding], gate: str, message: str) -> Finding:
    """The one finding; it refuses, and carries two different values."""
    [finding] = findings
    assert finding.gate == gate and finding.refuses
    assert message in finding.message
    assert finding.expected and finding.observed and finding.expected != finding.observed
    return finding


# complete

EPOCH = CALENDAR.epoch(0)
FULL = Coverage(
    days=frozenset({EPOCH.end_us}), hours=frozenset(range(24)), closed_us=EPOCH.end_us + 30 * 60_000_000, rows=24
)
BEATS = replace(FULL, closed_us=EPOCH.end_us - HOUR_US)


def _complete(case: Case, usage: Coverage = FULL, heartbeats: Coverage = BEATS) -> list[Finding]:
    inputs = replace(case.prepared.inputs, epoch=EPOCH)
    return gates.check_complete(usage, heartbeats, inputs, CALENDAR, POLICY)


def test_complete_passes_when_the_feeds_end_on_the_microsecond(case: Case) -> None:
    assert _complete(case) == []
    assert _complete(case, replace(FULL, rows=1)) == []


@pytest.mark.parametrize(
    ("usage", "heartbeats", "message", "observed"),
    [
        (replace(FULL, days=frozenset()), BEATS, "usage_records lacks a day's file", "none"),
        (FULL, replace(BEATS, days=frozenset({EPOCH.start_us})), "heartbeats lacks a day's file", "none"),
        (replace(FULL, closed_us=FULL.closed_us - 1), BEATS, "ends too early", "2026-01-08T00:29:59.999999+00:00"),
        (FULL, replace(BEATS, closed_us=BEATS.closed_us - 1), "ends too early", "2026-01-07T22:59:59.999999+00:00"),
        (replace(FULL, hours=frozenset(range(23))), BEATS, "usage_records has empty hours", "none in 23"),
        (FULL, replace(BEATS, hours=frozenset(range(1, 24)) - {7}), "heartbeats has empty hours", "none in 0, 7"),
        (replace(FULL, rows=0, hours=frozenset()), BEATS, "usage_records has no row of epoch 0", "0"),
        (FULL, replace(BEATS, rows=0, hours=frozenset()), "heartbeats has no row of epoch 0", "0"),
        (replace(FULL, after_end=False), BEATS, "nothing of usage_records arrived in the hour after", "none"),
        (FULL, replace(BEATS, after_end=False), "nothing of heartbeats arrived in the hour after", "none"),
    ],
)
def test_complete_refuses(case: Case, usage: Coverage, heartbeats: Coverage, message: str, observed: str) -> None:
    assert _only(_complete(case, usage, heartbeats), "complete", message).observed == observed


def test_complete_says_what_it_waits_for(case: Case) -> None:
    late = replace(FULL, days=frozenset(), closed_us=0, after_end=False, hours=frozenset({0}))
    assert [finding.expected for finding in _complete(case, usage=late)] == [
        "a file 2026-01-07",
        "2026-01-08T00:30:00+00:00",
        "arrivals after 2026-01-08T00:00:00+00:00",
        "rows in all 24 hours",
    ]
    assert [finding.expected for finding in _complete(case, heartbeats=replace(BEATS, rows=0))] == ["rows"]


def test_complete_wants_every_day_that_an_odd_genesis_touches(case: Case) -> None:
    shifted = replace(CALENDAR, genesis_us=CALENDAR.genesis_us + HOUR_US)
    epoch = shifted.epoch(0)
    both = replace(
        FULL, days=frozenset({EPOCH.end_us, EPOCH.end_us + DAY_US}), closed_us=epoch.end_us + 30 * 60_000_000
    )
    inputs = replace(case.prepared.inputs, epoch=epoch)
    assert gates.check_complete(both, both, inputs, shifted, POLICY) == []
    one = replace(both, days=frozenset({EPOCH.end_us}))
    assert _only(gates.check_complete(one, both, inputs, shifted, POLICY), "complete", "lacks a day's file")
    none = replace(both, days=frozenset())
    [finding] = gates.check_complete(none, both, inputs, shifted, POLICY)
    assert finding.expected == "a file 2026-01-07, 2026-01-08"


# conserve


def test_conserve_passes_what_was_computed(case: Case) -> None:
    """To the unit: every change of one unit below is refused."""
    assert case.conserved() == []


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(
    ("field", "messages"),
    [
        ("deposited", ["deposited is not", "deposits of earlier epochs changed"]),
        ("claimables", ["deposited is not", "claimables do not add up"]),
        ("held", ["deposited is not", "held amounts do not add up"]),
        ("carry_over", ["deposited is not"]),
        ("allocated", ["allocations do not add up"]),
        ("pool", ["shares do not add up to the pool"]),
    ],
)
def test_conserve_refuses_a_unit_in_the_books(case: Case, pool: int, field: str, messages: list[str]) -> None:
    for unit in (1, -1):
        books = case.prepared.result.totals
        wrong = replace(books[pool], **{field: getattr(books[pool], field) + unit})
        findings = [
            f for f in case.conserved(totals={**books, pool: wrong}) if "allocations pass the pool" not in f.message
        ]
        if (
            field != "carry_over" or books[pool].carry_over or unit > 0
        ):  # one below an empty carry-over is named as well
            assert [next(m for m in messages if m in f.message) for f in findings] == messages
        assert findings and all(f.gate == "conserve" and f.refuses and f.expected != f.observed for f in findings)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("unit", [1, -1])
def test_conserve_says_what_it_added_up(case: Case, pool: int, unit: int) -> None:
    books, message = case.prepared.result.totals, f"{POOL_NAMES[pool]} pool: "
    wrong = replace(books[pool], deposited=books[pool].deposited + unit)
    told = [
        (f.message.removeprefix(message), f.expected, f.observed) for f in case.conserved(totals={**books, pool: wrong})
    ]
    was, now = str(books[pool].deposited), str(wrong.deposited)
    assert told == [
        ("deposited is not claimables + held + carry-over", now, was),
        ("deposits of earlier epochs changed since they were sealed", now, was),
    ]


@pytest.mark.parametrize("pool", POOLS)
def test_conserve_refuses_more_than_was_deposited(case: Case, pool: int) -> None:
    """One unit, which is named; a carry-over of nothing is none."""
    books = case.prepared.result.totals

    def look(carry_over: int) -> list[tuple[str, str]]:
        paid = books[pool].claimables + books[pool].carry_over - carry_over
        spent = replace(books[pool], carry_over=carry_over, claimables=paid)
        findings = case.conserved(totals={**books, pool: spent})
        message = f"{POOL_NAMES[pool]} pool: more is paid than was deposited"
        return [(f.expected, f.observed) for f in findings if f.message == message]

    assert look(0) == []
    assert look(-1) == [("0 or more", "-1")]


@pytest.mark.parametrize("pool", POOLS)
def test_conserve_refuses_a_unit_more_than_the_pool(case: Case, pool: int) -> None:
    books = case.prepared.result.totals
    message = f"{POOL_NAMES[pool]} pool: allocations pass the pool"

    def look(allocated: int) -> list[tuple[str, str, str]]:
        findings = case.conserved(totals={**books, pool: replace(books[pool], allocated=allocated)})
        return [(f.gate, f.expected, f.observed) for f in findings if f.message == message]

    assert look(books[pool].pool) == []
    assert look(books[pool].pool + 1) == [("conserve", str(books[pool].pool), str(books[pool].pool + 1))]


@pytest.mark.parametrize("pool", POOLS)
def test_conserve_refuses_money_from_nowhere(case: Case, pool: int) -> None:
    """One unit more in a row that the books do not know."""
    result, row = case.prepared.result, case.prepared.result.claimables["pool"].to_list().index(pool)
    books, more = result.totals[pool], add_unit(result.claimables, "cumulative_amount", row)
    found = _only(case.conserved(claimables=more), "conserve", "claimables do not add up")
    assert (found.expected, found.observed) == (str(books.claimables), str(books.claimables + 1))
    held = result.state.with_row_index().filter((pl.col("kind") == "held") & (pl.col("pool") == pool))["index"][0]
    found = _only(case.conserved(state=add_unit(result.state, "amount", held)), "conserve", "held amounts do not add")
    assert (found.expected, found.observed) == (str(books.held), str(books.held + 1))


def test_conserve_refuses_an_amount_above_its_cap_and_shares_that_do_not_add_up(case: Case) -> None:
    frame = case.prepared.result.allocations
    lower = frame.with_columns(
        cap=pl.when(pl.int_range(pl.len()) == 0).then(pl.col("amount") - 1).otherwise(pl.col("cap"))
    )
    finding = _only(case.conserved(allocations=lower.cast(frame.schema)), "conserve", "pass their cap")
    assert int(finding.observed) == int(finding.expected) + 1
    assert finding.message.endswith(f"such as of {frame['account_id'][0]}")
    exact = frame.with_columns(cap="amount")
    assert case.conserved(allocations=exact) == []
    _only(case.conserved(allocations=add_unit(frame, "share")), "conserve", "shares do not add up")


def test_conserve_refuses_a_deposit_that_turned_up_for_the_past(case: Case) -> None:
    known = {**case.known, PROVIDER: case.known[PROVIDER] + 1}
    findings = gates.check_conserved(case.prepared.inputs, case.prepared.result, case.previous, known)
    assert _only(findings, "conserve", "earlier epochs changed").observed == str(known[PROVIDER])


def test_conserve_refuses_more_than_the_vault_takes_a_night(case: Case) -> None:
    increase = {p: case.prepared.result.totals[p].claimables - case.previous.totals[p].claimables for p in POOLS}
    for pool, more in ((PROVIDER, 0), (PROVIDER, -1), (USER, -1)):
        limited = replace(case.prepared.inputs, limits={**increase, pool: increase[pool] + more})
        findings = gates.check_conserved(limited, case.prepared.result, case.previous, case.known)
        if not more:
            assert findings == []
            continue
        found = _only(findings, "conserve", "claimables grow by more than the Vault's limit")
        assert (found.expected, found.observed) == (f"at most {increase[pool] - 1}", str(increase[pool]))


def test_conserve_refuses_row_classes_that_do_not_add_up(case: Case) -> None:
    counts, rollup = case.prepared.roll_up.counts, case.prepared.inputs.rollup
    assert gates.check_rows(counts, rollup, counts.rows) == []
    for wrong in (-1, 1):
        found = _only(gates.check_rows(counts, rollup, counts.rows + wrong), "conserve", "row classes do not add up")
        assert (found.expected, found.observed) == (str(counts.rows + wrong), str(counts.rows))
    more = replace(counts, earning=counts.earning + 100)
    assert {f.message for f in gates.check_rows(more, rollup, more.rows)} == {
        "the provision roll-up does not hold the earning rows",
        "the user roll-up does not hold the earning rows",
    }
    fewer = rollup.filter(pl.col("part") != "user")
    assert _only(gates.check_rows(counts, fewer, counts.rows), "conserve", "the user roll-up").observed == "0"


# the roll-up


def _rows(*rows: tuple[str, str, int, int, int, int]) -> pl.DataFrame:
    """Of part, subject, slot, requests, weight, fee."""
    full = [(part, name, "/e" if name == "p" else "", slot, "", *rest) for part, name, slot, *rest in rows]
    return pl.DataFrame(full, schema=dict(ROLLUP.columns), orient="row")


@pytest.mark.parametrize("part", ["provision", "user"])
@pytest.mark.parametrize(
    ("earning", "suspended", "passes"),
    [(4, 0, True), (4, 2, True), (6, 2, True), (3, 2, False), (7, 2, False), (5, 0, False)],
)
def test_the_roll_up_may_lack_earning_rows_of_the_suspended_only(
    part: str, earning: int, suspended: int, passes: bool
) -> None:
    """Four rows of the side are in it; what else was not counted of the side explains none that are missing."""
    other = {"provision": "user", "user": "provision"}[part]
    rows = [(part, "", 4), (f"{part}_not_counted", "suspended", suspended), (f"{part}_not_counted", "capped", 9)]
    filled = [(name, "x", "", 0, reason, number, 0, 0) for name, reason, number in [*rows, (other, "", earning)]]
    rollup = pl.DataFrame(filled, schema=dict(ROLLUP.columns), orient="row")
    counts = replace(_counts(0), earning=earning)
    findings = gates.check_rows(counts, rollup, counts.rows)
    if passes:
        assert findings == []
    else:
        found = _only(findings, "conserve", f"the {part} roll-up does not hold the earning rows")
        assert (found.expected, found.observed) == (str(earning), "4")


ON_TIME = ("provision", "p", 5, 3, 3 * BP, 20)
TARDY = ("provision", "p", LATE, 1, BP, 10)
TIMED = ("latency", "p", 7, 3, 0, 0)
SPENT = ("user", "u", 0, 4, 0, 30)
ALIVE = ("p", 9, 9)


def _beats(*rows: tuple[str, int, int]) -> pl.DataFrame:
    return pl.DataFrame([*rows], schema=dict(HEARTBEATS_ROLLUP.columns), orient="row")


@pytest.mark.parametrize(
    ("rows", "beats"),
    [
        ([ON_TIME, TARDY, TIMED, SPENT], [ALIVE, ("q", 1, 0)]),
        ([ON_TIME, TARDY, SPENT], []),
        ([ON_TIME, TIMED, SPENT], [ALIVE]),  # a suspended provider's row is missing, and its fee
        ([ON_TIME, TARDY, TIMED, ("user", "u", 0, 3, 0, 30)], [ALIVE]),
        ([ON_TIME, TARDY, TIMED, ("user", "u", 0, 3, 0, 0)], [ALIVE]),
    ],
)
def test_rollup_passes_up_to_what_its_rows_can_give(rows: list[Any], beats: list[Any]) -> None:
    assert gates.check_rollup(_counts(4, fee_e8=30), _rows(*rows), _beats(*beats)) == []


@pytest.mark.parametrize(
    ("rows", "beats", "message", "observed"),
    [
        ([ON_TIME, TARDY, TIMED, SPENT, ("user", "v", 0, 0, 0, 0)], [], "counts or sums below", "1 rows, such as"),
        ([ON_TIME, TARDY, ("latency", "p", 7, 3, -1, 0), SPENT], [], "counts or sums below", "-1"),
        ([ON_TIME, TARDY, ("latency", "p", 7, 3, 0, -1), SPENT], [], "counts or sums below", "-1"),
        (
            [("provision", "p", 5, 3, 3 * BP + 1, 20), TARDY, SPENT],
            [],
            "more weight than its requests",
            str(3 * BP + 1),
        ),
        ([ON_TIME, TARDY, TIMED, ("latency", "p", 8, 1, 0, 0), SPENT], [], "more rows with a latency than rows", "4"),
        (
            [("provision", "q", 5, 4, BP, 30), ("latency", "p", 7, 1, 0, 0), SPENT],
            [],
            "more rows with a latency",
            "'p'",
        ),
        ([ON_TIME, TARDY, SPENT], [("p", 9, 10), ALIVE], "heartbeats more often ok than sent", "1 rows, such as"),
        ([ON_TIME, TARDY, SPENT], [("p", 9, -1)], "heartbeats more often ok than sent", "-1"),
        ([ON_TIME, ("provision", "p", LATE, 1, BP, 11), SPENT], [], "the provision roll-up has other fees", "31"),
        ([ON_TIME, ("provision", "p", LATE, 1, BP, 9), SPENT], [], "the provision roll-up has other fees", "29"),
        ([ON_TIME, TARDY, ("user", "u", 0, 3, 0, 31)], [], "the user roll-up has other fees", "31"),
        ([ON_TIME, TARDY, ("user", "u", 0, 4, 0, 29)], [], "the user roll-up has other fees", "29"),
        (
            [ON_TIME, TARDY, SPENT],
            [("p", 1, 2), ("q", 1, 3)],
            "heartbeats more often ok than sent",
            "such as ('p', 1, 2)",
        ),
    ],
)
def test_rollup_refuses_what_no_rows_give(rows: list[Any], beats: list[Any], message: str, observed: str) -> None:
    findings = gates.check_rollup(_counts(4, fee_e8=30), _rows(*rows), _beats(*beats))
    finding = _only(findings, "conserve", message)
    assert observed in finding.observed
    assert finding.expected == ("30" if "fees" in message else "none")


# successor


def test_successor_passes_equal_and_rising_claimables(case: Case) -> None:
    before, after = case.previous.claimables, case.prepared.result.claimables
    assert gates.check_successor(before, after) == []
    assert gates.check_successor(before, before) == []
    assert gates.check_successor(before.head(0), after) == []


@pytest.mark.parametrize(
    ("forge", "observed"),
    [
        (lambda before: add_unit(before, "cumulative_amount", 0, -1), "(1 times)"),
        (lambda before: before.slice(1), "None (None times)"),
        (lambda before: pl.concat([before, before.head(1)]), "(2 times)"),
        (
            lambda before: before.with_columns(pl.lit(3, dtype=pl.Int8).alias("pool")).head(1).vstack(before.slice(1)),
            "None",
        ),
    ],
    ids=["fell by a unit", "vanished", "doubled", "moved to another pool"],
)
def test_successor_refuses(case: Case, forge: Callable[[pl.DataFrame], pl.DataFrame], observed: str) -> None:
    before = case.previous.claimables
    finding = _only(gates.check_successor(before, forge(before)), "successor", before["account"][0])
    assert observed in finding.observed and finding.expected == str(before["cumulative_amount"][0])
    assert finding.message.startswith("1 claimables") and f" {POOL_NAMES[before['pool'][0]]} 0x" in finding.message


def test_successor_names_a_pool_that_nobody_knows(case: Case) -> None:
    odd = case.previous.claimables.head(1).with_columns(pool=pl.lit(7, dtype=pl.Int8))
    finding = _only(gates.check_successor(odd, pl.concat([odd, odd])), "successor", f" 7 {odd['account'][0]}")
    assert finding.observed == f"{odd['cumulative_amount'][0]} (2 times)"


# reference


def test_reference_passes_what_was_computed(case: Case) -> None:
    assert case.referenced() == []


@pytest.mark.parametrize("column", ["amount", "cap", "score"])
def test_reference_refuses_a_unit_in_an_allocation(case: Case, column: str) -> None:
    frame = case.prepared.result.allocations
    findings = case.referenced(allocations=add_unit(frame, column, 3))
    assert findings and {f.gate for f in findings} == {"reference"}
    assert frame["account_id"][3] in findings[0].message and findings[0].expected != findings[0].observed


def test_reference_refuses_a_row_too_few_and_a_row_too_many(case: Case) -> None:
    frame = case.prepared.result.allocations
    stranger = frame.head(1).with_columns(account_id=pl.lit("nobody"))
    assert "None" in case.referenced(allocations=frame.slice(1))[0].observed
    assert "None" in case.referenced(allocations=pl.concat([frame, stranger]))[0].expected


def test_reference_refuses_a_unit_moved_between_wallets_or_holders(case: Case) -> None:
    """The sums stay right, so only a recomputation of every balance sees it."""
    result = case.prepared.result
    moved = add_unit(add_unit(result.claimables, "cumulative_amount", 0, -1), "cumulative_amount", 1)
    findings = case.referenced(claimables=moved)
    assert [f.message.split(" such as ")[1].split(" of ")[0] for f in findings] == ["claimable", "claimable"]
    assert case.conserved(claimables=moved) == []
    rows = (
        result.state.with_row_index().filter((pl.col("kind") == "held") & (pl.col("pool") == USER))["index"].to_list()
    )
    held = add_unit(add_unit(result.state, "amount", rows[0], -1), "amount", rows[1])
    assert {f.message.split(" such as ")[1].split(" of ")[0] for f in case.referenced(state=held)} == {"held"}


def test_reference_follows_held_amounts_debts_and_corrections(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Suspension, crediting, ageing, debts and corrections, against the computation itself."""
    accounts = pl.concat(
        [case.prepared.inputs.accounts, people_frame().filter(pl.col("account_id").is_in(["gone", "left", "prov"]))]
    )
    allocated = case.prepared.result.allocations.filter(pl.col("amount") > 100)["account_id"].to_list()
    rows = [("held", 1, "gone", 0, 7), ("held", 1, "left", 0, 11), ("held", 1, "prov", 0, 13), ("held", 2, "nobody", -400, 17),
            ("held", 2, "nobody", 0, 19), ("debt", 1, allocated[0], 0, 3), ("debt", 1, allocated[1], 0, 10**30)]  # fmt: skip
    blank = {"endpoint": "", "service_tier": "", "hour": 0}
    extra = [dict(zip(("kind", "pool", "id", "epoch", "amount"), row, strict=True)) | blank for row in rows]
    state = pl.concat([case.previous.state, pl.DataFrame(extra, schema=dict(STATE.columns))])
    held = {1: 31, 2: 36}
    totals = {
        p: replace(b, held=b.held + held[p], deposited=b.deposited + held[p]) for p, b in case.previous.totals.items()
    }
    corrections = corrections_frame([(1, "prov", 23), (1, allocated[2], -5), (2, "nobody", 29)])
    inputs = replace(case.prepared.inputs, accounts=accounts, corrections=corrections)
    previous = replace(case.previous, state=state, totals=totals)
    result = compute_epoch(inputs, previous, POLICY)
    assert check_reference(inputs, result, previous, POLICY) == []
    known = {pool: result.totals[pool].deposited for pool in POOLS}
    assert gates.check_conserved(inputs, result, previous, known) == []
    assert check_reference(inputs, result, case.previous, POLICY) != []

    # The Vault leaves room for 9 of the 13 that are held for `prov`; a part of the epoch knows of all that was held.
    tight = replace(inputs, limits={1: 23 + 9, 2: 0})
    cut = compute_epoch(tight, previous, POLICY)
    assert cut.state.filter(kind="held", id="prov")["amount"].to_list() == [4]
    assert check_reference(tight, cut, previous, POLICY) == [] == gates.check_conserved(tight, cut, previous, known)
    assert check_reference(inputs, cut, previous, POLICY) != [] != check_reference(tight, result, previous, POLICY)
    monkeypatch.setattr(agreement, "ALL", 0)
    monkeypatch.setattr(agreement, "DRAWN", 3)
    for seed in range(8):
        assert check_reference(tight, replace(cut, root=bytes([seed]) * 32), previous, POLICY) == []


def test_reference_refuses_another_policy(case: Case) -> None:
    dearer = change(POLICY, caps={"provider_bp": POLICY.caps.provider_bp - 1})
    assert check_reference(case.prepared.inputs, case.prepared.result, case.previous, dearer) != []


@pytest.mark.parametrize("drawn", [1, 7, 60, 10**6])
def test_a_part_of_a_sound_epoch_agrees(case: Case, monkeypatch: pytest.MonkeyPatch, drawn: int) -> None:
    """Cut to a few accounts, the inputs still decide on them: rows of their referees and of who shares their wallets."""
    monkeypatch.setattr(agreement, "ALL", 0)
    monkeypatch.setattr(agreement, "DRAWN", drawn)
    monkeypatch.setattr(agreement, "LARGEST", 2)
    for seed in range(8):
        assert case.referenced(root=bytes([seed]) * 32) == []


def test_what_is_wrong_with_an_account_of_the_part_is_found(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "ALL", 0)
    result = case.prepared.result
    for column in ("score", "cap", "amount", "share"):
        for place in (0, result.allocations.height // 2, result.allocations.height - 1):
            wrong = add_unit(result.allocations, column, place)
            found = case.referenced(allocations=wrong)
            assert found and {f.gate for f in found} == {"reference"}
    _only(case.referenced(claimables=add_unit(result.claimables, "cumulative_amount", 3)), "reference", "1 balances")
    missing = result.allocations.slice(1)
    assert case.referenced(allocations=missing) != []


def test_a_unit_for_another_fraction_is_found_in_a_part(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum of the shares is right, so that only their order tells."""
    monkeypatch.setattr(agreement, "ALL", 0)
    frame, totals = case.prepared.result.allocations, case.prepared.result.totals
    total = sum(frame.filter(pl.col("pool") == USER)["score"].to_list())
    floors = [totals[USER].pool * score // total for score in frame["score"].to_list()]
    users = [i for i, pool in enumerate(frame["pool"].to_list()) if pool == USER]
    units = {i: int(frame["share"][i]) - floors[i] for i in users}
    lucky, unlucky = next(i for i in users if units[i] == 1), next(i for i in users if units[i] == 0)
    shares = [int(s) + (i == unlucky) - (i == lucky) for i, s in enumerate(frame["share"].to_list())]
    swapped = frame.with_columns(share=pl.Series(shares, dtype=frame.schema["share"]))
    assert swapped["share"].sum() == frame["share"].sum()
    assert case.referenced(allocations=swapped) != []


# solvent and chain state


@pytest.fixture(scope="module")
def on_chain(case: Case) -> tuple[Any, gates.VaultState]:
    """A manifest bound to a Vault, and a Vault that covers it to the unit."""
    facts = ChainFacts(31337, TOKEN, VAULT, dict.fromkeys(POOLS, 10**30), Block(9, bytes(32), 1))
    manifest = replace(case.prepared.manifest, chain=facts)
    promised = {pool: case.previous.totals[pool].claimables for pool in POOLS}
    increase = {pool: manifest.total(pool) - promised[pool] for pool in POOLS}
    pools = RewardPool(0, increase[PROVIDER], increase[USER])
    return manifest, gates.VaultState(
        31337, VAULT, 1, None, False, "publisher", pools, increase, promised, manifest.previous
    )


def test_solvent_and_chain_state_pass_to_the_unit(on_chain: tuple[Any, gates.VaultState]) -> None:
    manifest, vault = on_chain
    assert gates.check_solvent(manifest, vault) == []
    assert gates.check_chain_state(manifest, vault) == []


@pytest.mark.parametrize("pool", POOLS)
def test_solvent_refuses_a_unit_too_little(on_chain: tuple[Any, gates.VaultState], pool: int) -> None:
    manifest, vault = on_chain
    name = "provider" if pool == PROVIDER else "user"
    poorer = replace(vault, pools=replace(vault.pools, **{name: getattr(vault.pools, name) - 1}))
    finding = _only(gates.check_solvent(manifest, poorer), "solvent", f"{name} pool does not cover the increase")
    assert int(finding.observed) == int(finding.expected.removeprefix("at most ")) + 1
    limited = replace(vault, limits={**vault.limits, pool: vault.limits[pool] - 1})
    _only(gates.check_solvent(manifest, limited), "solvent", "passes the Vault's limit per epoch")
    generous = replace(vault, promised={**vault.promised, pool: manifest.total(pool) + 1})
    _only(gates.check_solvent(manifest, generous), "solvent", "falls below what is promised")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chain_id": 1}, "the chain is another one"),
        ({"address": TOKEN}, "the Vault is another one"),
        ({"next_epoch": 0}, "expects another epoch"),
        ({"next_epoch": 2}, "expects another epoch"),
        ({"before": "ab" * 32}, "the Vault holds another epoch before it"),
        ({"before": None}, "the Vault holds another epoch before it"),
        ({"pending": 0}, "a root is pending"),
        ({"paused": True}, "publishing is paused"),
        ({"role": "none"}, "not the publisher"),
        ({"role": "attester"}, "not the publisher"),
    ],
)
def test_chain_state_refuses(on_chain: tuple[Any, gates.VaultState], changes: dict[str, Any], message: str) -> None:
    manifest, vault = on_chain
    finding = _only(gates.check_chain_state(manifest, replace(vault, **changes)), "chain state", message)
    assert finding.observed == str(next(iter(changes.values())))


def test_chain_state_refuses_an_epoch_without_a_chain(case: Case, on_chain: tuple[Any, gates.VaultState]) -> None:
    assert _only(gates.check_chain_state(case.prepared.manifest, on_chain[1]), "chain state", "without a chain")


def test_notes_refuse_nothing(case: Case) -> None:
    counts = replace(case.prepared.roll_up.counts, tier_mismatch=2)
    notes = gates.note_oddities(case.prepared.inputs, counts, {"unknown_provision": 5})
    assert all(n.refuses is False for n in notes)
    assert [str(n) for n in notes if n.gate != "wallet"] == [
        "tier: earning rows name another tier than their provision; the provision's counts (expected 0 rows, observed 2)",
        "heartbeat: heartbeats were left out: unknown_provision (expected 0, observed 5)",
    ]
    refuse("sealing", notes)


def test_a_wallet_that_cannot_be_paid_is_noted_by_its_account(case: Case) -> None:
    people = people_frame()
    inputs = replace(case.prepared.inputs, accounts=people)
    assert gates.note_oddities(inputs, _counts(1), {}) == []
    broken = people.with_columns(wallet_address=pl.when(pl.int_range(pl.len()) == 2).then(pl.lit("0x12")))
    [note] = gates.note_oddities(replace(inputs, accounts=broken), _counts(1), {})
    assert (note.gate, note.refuses, note.observed) == ("wallet", False, "'0x12'")
    assert note.message.endswith(people["account_id"][2])


def test_a_wallet_that_is_the_token_or_the_vault_is_noted(case: Case) -> None:
    """An address in good form that the Vault never pays."""
    people = people_frame().with_columns(
        wallet_address=pl.when(pl.int_range(pl.len()) == 1).then(pl.lit(str(VAULT))).otherwise("wallet_address")
    )
    inputs = replace(case.prepared.inputs, accounts=people, forbidden=frozenset())
    assert gates.note_oddities(inputs, _counts(1), {}) == []
    [note] = gates.note_oddities(replace(inputs, forbidden=frozenset({TOKEN, VAULT})), _counts(1), {})
    assert (note.gate, note.observed) == ("wallet", repr(VAULT)) and note.message.endswith(people["account_id"][1])


def test_a_credit_that_goes_straight_back_to_the_pool_is_noted(case: Case) -> None:
    """Of an account that is suspended and has no wallet; one that has either, or owes, is no oddity."""
    people = people_frame()
    name, other, end = people["account_id"][0], people["account_id"][1], case.prepared.inputs.epoch.end
    first, second = pl.col("account_id") == name, pl.col("account_id") == other
    odd = people.with_columns(
        wallet_address=pl.when(~(first | second)).then("wallet_address"),
        suspended_at=pl.when(first).then(pl.lit(end - timedelta(microseconds=1))).when(second).then(pl.lit(end)),
    )
    credits = corrections_frame([(PROVIDER, name, 70), (PROVIDER, other, 5), (USER, name, -3), (USER, name, 0)])
    inputs = replace(case.prepared.inputs, accounts=odd, corrections=credits)
    [note] = gates.note_oddities(inputs, _counts(1), {})
    assert (note.gate, note.expected, note.observed) == ("correction", "an account that keeps it", "70")
    assert repr(name) in note.message and not note.refuses


def test_of_many_such_credits_the_first_few_are_noted(case: Case) -> None:
    suspended = people_frame().with_columns(
        wallet_address=pl.lit(None, pl.String), suspended_at=pl.lit(case.prepared.inputs.epoch.start)
    )
    name = suspended["account_id"][0]
    for number in (gates.SHOWN, gates.SHOWN + 2):
        credits = corrections_frame([(PROVIDER, name, 70 + i) for i in range(number)])
        inputs = replace(case.prepared.inputs, accounts=suspended, corrections=credits)
        notes = gates.note_oddities(inputs, _counts(1), {})
        assert [note.observed for note in notes] == [str(70 + i) for i in range(gates.SHOWN)]


# A refusal stops the step


def _keep_hours(column: str, hour: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda frame: frame.filter(pl.col(column).dt.hour() != hour)


def _drop_day(inputs: Path) -> None:
    (inputs / "usage_records" / "2026-01-07.parquet").unlink()


def _drop_heartbeats(inputs: Path) -> None:
    (inputs / "heartbeats" / "2026-01-07.parquet").unlink()


def _empty_an_hour(inputs: Path) -> None:
    edit_table(inputs / "heartbeats" / "2026-01-07.parquet", _keep_hours("probed_at", 13))


def _spoil_rows(inputs: Path, number: int) -> None:
    """As many failed requests of the first day (they earn nothing, so fees stay) with an impossible latency."""
    path = inputs / "usage_records" / "2026-01-07.parquet"
    frame = pl.read_parquet(path)
    unique = pl.col("request_id").is_unique() & pl.col("request_id").is_not_null()
    failed = frame.with_row_index().filter(
        (pl.col("status_code") == 500) & unique & (pl.col("started_at").dt.hour() > 1)
    )
    chosen = failed.filter(pl.col("latency_ms") >= 0)["index"].head(number).to_list()
    assert len(chosen) == number
    latency = pl.when(pl.int_range(pl.len()).is_in(chosen)).then(-1).otherwise(pl.col("latency_ms"))
    frame.with_columns(latency.cast(frame.schema["latency_ms"]).alias("latency_ms")).write_parquet(path)


def _deposit_too_little(inputs: Path) -> None:
    """1.1 % less than the fees of the first day ask for; the parts still add up."""
    parts = ("protocol_amount", "provider_amount", "user_amount")

    def lower(frame: pl.DataFrame) -> pl.DataFrame:
        amounts = [[int(v) * 989 // 1000 for v in frame[name]] for name in parts]
        columns = dict(zip((*parts, "amount"), (*amounts, list(map(sum, zip(*amounts, strict=True)))), strict=True))
        return frame.with_columns(pl.Series(n, v, dtype=pl.Decimal(38, 0)) for n, v in columns.items())

    edit_table(inputs / "deposits.parquet", lower)


def _assert_nothing_sealed(data: Path) -> None:
    workspace = Workspace(data)
    assert workspace.store.numbers() == [] and workspace.ledger.sealed() == []
    assert any(f.refuses for f in workspace.ledger.findings()[0])
    assert not (data / "rewards.duckdb").exists() and not (data / "staging").exists()


@pytest.mark.parametrize(
    ("spoil", "gate"),
    [
        (_drop_day, "complete"),
        (_drop_heartbeats, "complete"),
        (_empty_an_hour, "complete"),
        (_deposit_too_little, "funded"),
    ],
)
def test_a_spoiled_input_seals_nothing(sample: Path, tmp_path: Path, spoil: Callable[[Path], None], gate: str) -> None:
    inputs, data = tmp_path / "inputs", tmp_path / "data"
    shutil.copytree(sample, inputs)
    spoil(inputs)
    with pytest.raises(GateRefused, match=gate) as refused:
        seal_sample(data, inputs, last=0)
    assert gate in {f.gate for f in refused.value.findings}
    assert all(f.expected != f.observed for f in refused.value.findings)
    _assert_nothing_sealed(data)
    # The next run, on the right input, works.
    seal_sample(data, sample, last=0)
    assert not any(f.refuses for f in Workspace(data).ledger.findings().get(0, []))


def test_one_bad_row_more_than_the_limit_seals_nothing(sample: Path, tmp_path: Path) -> None:
    calm = seal_sample(tmp_path / "calm", sample, last=0).store.read(0).manifest.counts
    room = calm["rows"] * POLICY.rows.quarantine_limit_bp // BP - sum(calm["quarantined"].values())
    for extra, refused in ((0, False), (1, True)):
        inputs, data = tmp_path / f"inputs{extra}", tmp_path / f"data{extra}"
        shutil.copytree(sample, inputs)
        _spoil_rows(inputs, room + extra)
        if refused:
            with pytest.raises(GateRefused, match="too many rows are quarantined") as error:
                seal_sample(data, inputs, last=0)
            assert [f.gate for f in error.value.findings] == ["quality"]
            _assert_nothing_sealed(data)
        else:
            seal_sample(data, inputs, last=0)


def _pay_a_friend(result: EpochResult) -> EpochResult:
    return replace(result, allocations=add_unit(result.allocations, "amount"))


def _raise_a_leaf(result: EpochResult) -> EpochResult:
    return replace(result, claimables=add_unit(result.claimables, "cumulative_amount"))


def _move_a_leaf(result: EpochResult) -> EpochResult:
    lowered = add_unit(result.claimables, "cumulative_amount", 0, -1)
    return replace(result, claimables=add_unit(lowered, "cumulative_amount", 1))


def _raise_everything(result: EpochResult) -> EpochResult:
    """One unit more, booked everywhere: amount, claimable, totals, and taken from the carry-over."""
    raised = _raise_a_leaf(_pay_a_friend(result))
    books = result.totals[PROVIDER]
    more = replace(
        books, allocated=books.allocated + 1, claimables=books.claimables + 1, carry_over=books.carry_over - 1
    )
    return replace(raised, totals={**result.totals, PROVIDER: more})


@pytest.mark.parametrize(
    ("doctor", "gate"),
    [
        (_pay_a_friend, "reference"),
        (_raise_a_leaf, "conserve"),
        (_move_a_leaf, "reference"),
        (_raise_everything, "reference"),
    ],
)
def test_a_doctored_computation_seals_nothing(
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    doctor: Callable[[EpochResult], EpochResult],
    gate: str,
) -> None:
    honest = compute_epoch
    monkeypatch.setattr(prepare, "compute_epoch", lambda *given: doctor(honest(*given)))
    with pytest.raises(GateRefused) as refused:
        seal_sample(tmp_path, sample, last=0)
    assert gate in {f.gate for f in refused.value.findings}
    _assert_nothing_sealed(tmp_path)


def test_a_fallen_claimable_seals_nothing(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = seal_sample(tmp_path, sample, last=0)
    honest = compute_epoch

    def forget(*given: Any) -> EpochResult:
        result = honest(*given)
        return replace(result, claimables=result.claimables.slice(1))

    monkeypatch.setattr(prepare, "compute_epoch", forget)
    with pytest.raises(GateRefused, match="successor"):
        list(run_epochs(workspace, settings_for(sample), [1]))
    assert workspace.store.numbers() == [0] and [e.number for e in workspace.ledger.sealed()] == [0]


def test_a_finding_without_refusal_lets_the_step_go_on() -> None:
    note = Finding("wallet", "odd", "a", "b", refuses=False)
    refuse("sealing", [note])
    with pytest.raises(GateRefused, match=r"1 finding\(s\): quality: bad \(expected c, observed d\)") as refused:
        refuse("sealing", [note, Finding("quality", "bad", "c", "d")])
    assert refused.value.exit_code == 3 and len(refused.value.findings) == 1
    assert "\n" not in str(refused.value)


def test_hours_are_those_of_a_short_epoch(case: Case) -> None:
    """An epoch of ninety minutes has two hours, the second a half one."""
    short = replace(CALENDAR, length_us=timedelta(minutes=90) // timedelta(microseconds=1))
    epoch = short.epoch(0)
    whole = Coverage(frozenset({EPOCH.end_us}), frozenset({0, 1}), epoch.end_us + 30 * 60_000_000, 2)
    inputs = replace(case.prepared.inputs, epoch=epoch)
    assert gates.check_complete(whole, whole, inputs, short, POLICY) == []
    half = replace(whole, hours=frozenset({0}))
    assert (
        _only(gates.check_complete(half, whole, inputs, short, POLICY), "complete", "empty hours").observed
        == "none in 1"
    )
