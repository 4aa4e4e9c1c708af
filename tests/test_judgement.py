"""The gates of judgement: fixtures that break each, one at the exact boundary that passes, what only notes; and what an
override passes, and what it does not."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards import judgement
from rewards.corrections import is_seen
from rewards.epoch import DAY_US
from rewards.errors import Finding, UsageError
from rewards.judgement import JUDGEMENT, Volume, check_overrides, override_findings, require_overridable
from rewards.policy import BP
from rewards.ports import Counts, EpochInputs
from rewards.reference import Account
from rewards.schemas import ALLOCATIONS, CORRECTIONS, DEPOSITS, HEARTBEATS_ROLLUP, PROVISIONS, ROLLUP
from rewards.units import PROVIDER, UNITS_PER_E8, USER, Address
from tests.worlds import CALENDAR, POLICY, WALLETS, accounts_frame, change, deposits_frame

EPOCH = CALENDAR.epoch(30)


def _only(findings: list[Finding], gate: str, message: str, refuses: bool = True) -> Finding:
    """The one finding; it carries two different values."""
    [finding] = findings
    assert (finding.gate, finding.refuses) == (gate, refuses)
    assert message in finding.message
    assert finding.expected and finding.observed and finding.expected != finding.observed
    return finding


def _counts(rows: int, quarantined: int = 0, late: int = 0, fee_e8: int = 0) -> Counts:
    return Counts(rows - quarantined, {}, 0, {"bad_type": quarantined}, late, 0, fee_e8)


# quality


@pytest.mark.parametrize(("rows", "bad"), [(10_000, 100), (10_099, 100), (100, 1), (99, 0), (0, 0)])
def test_quality_passes_up_to_the_limit(rows: int, bad: int) -> None:
    assert judgement.check_quality(_counts(rows, quarantined=bad, late=5 * bad), POLICY) == []


@pytest.mark.parametrize(("rows", "bad"), [(10_000, 101), (9_999, 100), (99, 1), (1, 1)])
def test_quality_refuses_one_row_above(rows: int, bad: int) -> None:
    finding = _only(judgement.check_quality(_counts(rows, quarantined=bad), POLICY), "quality", "quarantined")
    assert finding.observed == f"{bad} rows" and str(rows) in finding.expected


@pytest.mark.parametrize(("rows", "late"), [(10_000, 501), (9_999, 500), (19, 1)])
def test_quality_refuses_late_rows(rows: int, late: int) -> None:
    finding = _only(judgement.check_quality(_counts(rows, late=late), POLICY), "quality", "late")
    assert finding.observed == f"{late} rows"


# volume

CALM = Volume(rows=4001, fees_e8=5 * 10**7, provider_scores=10**9 + 1, user_scores=2**62)


def _volume(now: Volume, before: Sequence[Volume] = (CALM,) * 7, known: int = 7, **settings: int) -> list[Finding]:
    return judgement.check_volume(now, before, known, change(POLICY, volume=settings))


def test_volume_passes_at_both_ends_of_the_band() -> None:
    halves = {name: -(-value // 2) for name, value in asdict(CALM).items()}
    doubles = {name: 2 * value for name, value in asdict(CALM).items()}
    for volume in (CALM, Volume(**halves), Volume(**doubles)):
        assert _volume(volume) == []


@pytest.mark.parametrize("name", asdict(CALM))
def test_volume_refuses_one_below_and_one_above_the_band(name: str) -> None:
    median = getattr(CALM, name)
    for value, side in ((-(-median // 2) - 1, "below"), (2 * median + 1, "above"), (0, "below")):
        finding = _only(_volume(replace(CALM, **{name: value})), "volume", f"{name.replace('_', ' ')} are {side}")
        assert finding.observed == str(value)
        assert finding.expected == f"{-(-median // 2)} to {2 * median}, around {median}"


def test_volume_is_measured_by_the_median_so_that_a_few_odd_epochs_move_nothing() -> None:
    odd = replace(CALM, rows=10**9)
    assert _volume(CALM, [odd, CALM, odd, CALM, odd, CALM, CALM]) == []
    # Of an even number the lower of the two in the middle.
    assert _volume(CALM, [odd, CALM], 2, min_epochs=2) == []
    _only(_volume(odd, [odd, CALM], 2, min_epochs=2), "volume", "rows are above the band around the last 2 epochs")


@pytest.mark.parametrize(("here", "known", "wanted"), [(0, 0, 3), (2, 2, 3), (1, 7, 7), (6, 7, 7), (3, 4, 4)])
def test_volume_only_notes_where_epochs_before_are_missing(here: int, known: int, wanted: int) -> None:
    note = _only(_volume(replace(CALM, rows=1), [CALM] * here, known), "volume", "not judged: too few", refuses=False)
    assert note.message.startswith("not judged")
    assert (note.expected, note.observed) == (f"{wanted} epochs", f"{here} epochs")


def test_volume_judges_a_young_network_as_soon_as_there_are_enough_epochs() -> None:
    assert _volume(CALM, [CALM] * 3, 3) == []
    _only(_volume(replace(CALM, rows=1), [CALM] * 3, 3), "volume", "rows are below")


def test_volume_only_notes_on_few_rows_and_refuses_when_either_side_has_many() -> None:
    few, bound = replace(CALM, rows=300), POLICY.volume.min_rows
    _only(_volume(replace(few, rows=bound - 1), [few] * 7), "volume", "above", refuses=False)
    _only(_volume(replace(few, rows=bound), [few] * 7), "volume", "above")
    many = replace(CALM, rows=bound)
    _only(_volume(replace(many, rows=1), [many] * 7), "volume", "below")


def test_volume_adds_up_the_scores_of_each_side() -> None:
    allocations = _allocations([(PROVIDER, "a", 2**62, 1), (PROVIDER, "b", 5, 0), (USER, "a", 7, 1)])
    assert judgement.measure_volume(3, 4, allocations) == Volume(3, 4, 2**62 + 5, 7)


# concentration


def _allocations(rows: Sequence[tuple[int, str, int, int]]) -> pl.DataFrame:
    """`schemas.ALLOCATIONS` from (pool, account, score, amount)."""
    filled = [(pool, account, score, amount, amount, amount) for pool, account, score, amount in rows]
    return pl.DataFrame(filled, schema=dict(ALLOCATIONS.columns), orient="row")


def _world(accounts: Sequence[Account], number: int = EPOCH.number, **changes: Any) -> EpochInputs:
    empty = (table.empty() for table in (PROVISIONS, DEPOSITS, CORRECTIONS))
    provisions, deposits, corrections = empty
    return EpochInputs(
        epoch=CALENDAR.epoch(number), rollup=ROLLUP.empty(), heartbeats=HEARTBEATS_ROLLUP.empty(),
        accounts=accounts_frame(accounts), provisions=provisions, deposits=deposits, corrections=corrections, **changes,
    )  # fmt: skip


def _account(name: str, wallet: Address | None = None, age_us: int = 100 * DAY_US) -> Account:
    return Account(name, "provider", wallet, None, None, EPOCH.start_us - age_us)


CROWD = [_account(f"a{i:02}") for i in range(24)]
AGE_US = POLICY.concentration.young_days * DAY_US


def _concentration(
    amounts: Sequence[int], accounts: Sequence[Account] = CROWD, pool: int = PROVIDER, number: int = EPOCH.number
) -> list[Finding]:
    """What the gate finds when the crowd's first accounts get these amounts of a pool; the other pool is even."""
    rows = [(pool, f"a{i:02}", 1, amount) for i, amount in enumerate(amounts)]
    rows += [(PROVIDER + USER - pool, f"a{i:02}", 1, 50) for i in range(24)]
    return judgement.check_concentration(_world(accounts, number), _allocations(rows), POLICY)


@pytest.mark.parametrize("pool", [PROVIDER, USER])
def test_concentration_passes_up_to_the_share_of_one_recipient_and_refuses_a_unit_beyond(pool: int) -> None:
    share = POLICY.concentration.recipient_bp * 10**18
    even = (BP * 10**18 - share) // 20
    assert _concentration([share, *[even] * 20], pool=pool) == []
    finding = _only(_concentration([share + 1, *[even] * 20], pool=pool), "concentration", "one recipient")
    assert finding.message.endswith(", a00") and finding.observed == str(share + 1)
    assert finding.expected == f"at most 4000 bp of {BP * 10**18 + 1}"


@pytest.mark.parametrize("unit", [2**82 + 1, 2**82 + 49])
def test_concentration_is_exact_to_the_unit_among_the_largest_amounts(unit: int) -> None:
    """Times 10^4 these have more digits than a Decimal of Python's keeps."""
    share = POLICY.concentration.recipient_bp * unit
    even = (BP * unit - share) // 20
    assert share > 2**93
    assert _concentration([share, *[even] * 20]) == []
    finding = _only(_concentration([share + 1, *[even] * 20]), "concentration", "one recipient")
    assert (finding.expected, finding.observed) == (f"at most 4000 bp of {BP * unit + 1}", str(share + 1))


def test_concentration_takes_accounts_of_one_wallet_for_one_recipient() -> None:
    pair = [_account("a00", WALLETS[0]), _account("a01", WALLETS[0]), *CROWD[2:]]
    amounts = [25, 25, *[3] * 22]
    assert _concentration(amounts) == []
    finding = _only(_concentration(amounts, pair), "concentration", WALLETS[0])
    assert (finding.expected, finding.observed) == ("at most 4000 bp of 116", "50")
    # A wallet that cannot be paid joins nobody.
    held = _world(pair, forbidden=frozenset({WALLETS[0]}))
    rows = [(PROVIDER, f"a{i:02}", 1, amount) for i, amount in enumerate(amounts)]
    assert judgement.check_concentration(held, _allocations(rows), POLICY) == []


@pytest.mark.parametrize("age_us", [0, -5, AGE_US - 1])
def test_concentration_refuses_too_much_for_young_accounts_together(age_us: int) -> None:
    young = [_account(f"a{i:02}", age_us=age_us) for i in range(6)]
    assert _concentration([1] * 24, young + CROWD[6:]) == []
    found = _concentration([*[1] * 5, 2, *[1] * 18], young + CROWD[6:])
    finding = _only(found, "concentration", "accounts younger than 7 days")
    assert (finding.expected, finding.observed) == ("at most 2500 bp of 25", "7")
    grown = [replace(one, created_us=EPOCH.start_us - AGE_US) for one in young]
    assert _concentration([*[1] * 5, 2, *[1] * 18], grown + CROWD[6:]) == []


def test_concentration_counts_ids_without_an_account_as_young() -> None:
    _only(_concentration([2] * 24, CROWD[8:], USER)[:1], "concentration", "provider pool: accounts younger")
    assert {f.message.split(" pool")[0] for f in _concentration([2] * 24, CROWD[8:], USER)} == {"provider", "user"}
    assert _concentration([2] * 24, CROWD[6:], USER) == []


def test_concentration_only_notes_among_few_recipients() -> None:
    assert POLICY.concentration.min_recipients == 20
    for others, refuses in ((18, False), (19, True)):
        finding = _only(_concentration([100, *[1] * others]), "concentration", "one recipient", refuses)
        assert finding.observed == "100"
    assert _concentration([0] * 24) == []
    assert _concentration([]) == []


def test_concentration_only_notes_young_accounts_of_a_network_that_is_itself_young() -> None:
    everyone = [replace(one, created_us=CALENDAR.genesis_us) for one in CROWD]
    for number, refuses in ((0, False), (6, False)):
        found = _concentration([50] * 24, everyone, number=number)
        assert [(f.gate, f.refuses) for f in found] == [("concentration", refuses)] * 2
    assert _concentration([50] * 24, everyone, number=7) == []
    fresh = [replace(one, created_us=CALENDAR.genesis_us + DAY_US) for one in CROWD]
    assert [f.refuses for f in _concentration([50] * 24, fresh, number=7)] == [True, True]


# funded


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_funded_passes_within_the_band_and_refuses_a_unit_beyond(off: int) -> None:
    fee_e8 = 10**9
    expected = fee_e8 * UNITS_PER_E8 * POLICY.caps.deposit_bp // BP
    band = expected * POLICY.caps.funded_band_bp // BP
    for edge in (expected - band + min(off, 0), expected + band + max(off, 0)):
        findings = judgement.check_funded(_counts(1, fee_e8=fee_e8), deposits_frame(EPOCH, [(edge, 0)]), POLICY)
        if off == 0 or edge in (expected - band, expected + band):
            assert findings == []
        else:
            assert _only(findings, "funded", "counted fees and deposits disagree").observed == str(edge)


def test_funded_refuses_fees_without_deposits_and_deposits_without_fees() -> None:
    paid = deposits_frame(EPOCH, [(5 * 10**7, 5 * 10**7)])
    assert judgement.check_funded(_counts(1), paid.head(0), POLICY) == []
    _only(judgement.check_funded(_counts(1, fee_e8=1), paid.head(0), POLICY), "funded", "disagree")
    _only(judgement.check_funded(_counts(1), paid, POLICY), "funded", "disagree")
    half = _counts(1, fee_e8=1)
    assert judgement.check_funded(half, deposits_frame(EPOCH, [(10**8, 10**8)]), POLICY) == []
    funding = deposits_frame(EPOCH, [(10**8, 10**8)]).with_columns(funding=pl.lit(True))
    assert _only(judgement.check_funded(half, funding, POLICY), "funded", "disagree").observed == "0"


# Overrides

LATE = Finding("quality", "too many rows are late", "at most 500 bp of 100", "6 rows")
BAD = Finding("quality", "too many rows are quarantined", "at most 100 bp of 100", "2 rows")
SHORT = Finding("funded", "counted fees and deposits disagree", "200 ± 100 bp", "100")
NOTE = Finding("volume", "not judged: too few of the last epochs are here", "7 epochs", "1 epochs", refuses=False)
BROKEN = Finding("conserve", "provider pool: deposited is not claimables + held + carry-over", "1", "2")


def test_an_override_passes_every_finding_of_its_gate_and_no_other() -> None:
    found, records = override_findings([LATE, BAD, SHORT, BROKEN], {"quality": "a known fault of the export"})
    assert [f.refuses for f in found] == [False, False, True, True]
    assert [f.message for f in found[:2]] == [
        f"{f.message}; overridden: a known fault of the export" for f in (LATE, BAD)
    ]
    assert (found[0].expected, found[0].observed) == (LATE.expected, LATE.observed)
    assert found[2:] == [SHORT, BROKEN]
    assert [dict(one) for one in records] == [
        {"gate": "quality", "reason": "a known fault of the export", "message": f.message,
         "expected": f.expected, "observed": f.observed}
        for f in (LATE, BAD)
    ]  # fmt: skip


def test_an_override_of_what_was_not_found_is_a_note_and_no_record() -> None:
    for findings in ([], [NOTE], [SHORT]):
        found, records = override_findings(findings, {"volume": "a holiday"})
        assert records == () and found[:-1] == findings
        _only(found[-1:], "volume", "nothing to override", refuses=False)


def test_a_stored_override_passes_the_very_finding_that_it_was_given_for() -> None:
    _, stored = override_findings([LATE, SHORT], {"quality": "seen", "funded": "a gift"})
    again, records = override_findings([SHORT, LATE], {}, stored)
    assert records == stored and not any(f.refuses for f in again)
    for other in (replace(SHORT, observed="101"), replace(SHORT, expected="201 ± 100 bp")):
        found, records = override_findings([other], {}, stored)
        assert (found, records) == ([other], ())
    # Given anew, the new reason counts.
    _, records = override_findings([SHORT], {"funded": "a gift, confirmed"}, stored)
    assert [one["reason"] for one in records] == ["a gift, confirmed"]
    # A ledger that was tampered with passes no arithmetic.
    forged = [{"gate": "conserve", "reason": "trust me", "message": BROKEN.message, "expected": "1", "observed": "2"}]
    assert override_findings([BROKEN], {}, forged) == ([BROKEN], ())


@pytest.mark.parametrize(
    "gate", ["complete", "conserve", "successor", "reference", "solvent", "chain state", "", "Quality"]
)
def test_no_other_gate_can_be_overridden(gate: str) -> None:
    with pytest.raises(UsageError, match="quality, volume, concentration, funded") as refused:
        require_overridable({"quality": "fine", gate: "because"})
    assert repr(gate) in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(UsageError):
        override_findings([BROKEN], {gate: "because"})


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "a\tb", "right\u202eleft", "\udcff", "x" * 501])
def test_a_reason_that_nobody_can_judge_is_refused(reason: str) -> None:
    with pytest.raises(UsageError, match=r"the reason for overriding volume is .*; write one line") as refused:
        require_overridable({"volume": reason})
    assert str(refused.value).isprintable()
    require_overridable({"volume": "x" * 500, "funded": "un dépôt tardif — подтверждено"})


def test_an_override_that_comes_after_the_seal_is_noted() -> None:
    given_now = {"funded": "seen", "quality": "known"}
    _, recorded = override_findings([SHORT], {"funded": "seen"})
    assert judgement.note_unrecorded({"funded": "seen"}, recorded) == []
    note = _only(judgement.note_unrecorded(given_now, recorded), "quality", "sealed before", refuses=False)
    assert (note.expected, note.observed) == ("an epoch not sealed", "known")
    assert [f.observed for f in judgement.note_unrecorded({"funded": "otherwise"}, recorded)] == ["otherwise"]


texts = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=9)
found_by_gates = st.lists(
    st.builds(Finding, st.sampled_from([*JUDGEMENT, "conserve"]), texts, texts, texts, st.booleans()),
    max_size=6,
    unique_by=lambda f: (f.gate, f.message, f.expected, f.observed),
)


@given(found_by_gates, st.dictionaries(st.sampled_from(JUDGEMENT), texts.filter(is_seen)), st.randoms())
def test_what_a_run_records_agrees_with_what_is_asked_again(
    findings: list[Finding], reasons: dict[str, str], shuffled: Any
) -> None:
    passed, records = override_findings(findings, reasons)
    refusing = [f for f in findings if f.refuses]
    assert [f.gate for f in passed if f.refuses] == [f.gate for f in refusing if f.gate not in reasons]
    assert len(records) == sum(f.gate in reasons for f in refusing)
    left = [f for f in refusing if f.gate not in reasons and f.gate in JUDGEMENT]
    assert check_overrides(records, findings, JUDGEMENT) == left
    # The order of the findings does not reach the manifest, and a second run without the option records the same.
    mixed = findings[:]
    shuffled.shuffle(mixed)
    assert override_findings(mixed, reasons)[1] == records == override_findings(findings, {}, records)[1]


def _recorded(finding: Finding, **changes: str) -> dict[str, str]:
    _, [record] = override_findings([finding], {finding.gate: "seen"})
    return {**record, **changes}


def test_what_a_manifest_says_of_overrides_must_be_what_is_found() -> None:
    assert check_overrides([_recorded(SHORT)], [SHORT], JUDGEMENT) == []
    assert check_overrides([], [SHORT, NOTE], JUDGEMENT) == [SHORT]
    _only(check_overrides([_recorded(SHORT)], [], JUDGEMENT), "funded", "overrides what the gate does not find")
    _only(check_overrides([_recorded(SHORT)], [replace(SHORT, refuses=False)], JUDGEMENT), "funded", "does not find")
    other = check_overrides([_recorded(SHORT, observed="7")], [SHORT], JUDGEMENT)
    assert [f.message for f in other] == ["the manifest overrides what the gate does not find", SHORT.message]
    # A gate that could not be asked is taken at its word, as long as the word has a form.
    assert check_overrides([_recorded(SHORT)], [], {"quality"}) == []
    assert check_overrides([], [SHORT], {"quality"}) == []


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (_recorded(SHORT, gate="conserve"), "'conserve' cannot be overridden"),
        (_recorded(SHORT, reason=" "), "the reason for overriding funded"),
        ({"gate": "funded", "reason": "seen"}, "another form"),
        ({"gate": "funded"}, "the reason for overriding funded is ''"),
        ({**_recorded(SHORT), "more": "x"}, "another form"),
        ({}, "'' cannot be overridden"),
    ],
)
def test_overrides_that_no_one_may_give_are_found(record: dict[str, str], message: str) -> None:
    for asked in (JUDGEMENT, ()):
        [fault] = check_overrides([record], [], asked)
        assert message in fault.message and fault.refuses
        assert fault.gate == record.get("gate", "")
        assert (fault.expected, fault.observed) == ("gate, reason, finding", str(record))


def test_every_override_that_no_one_may_give_is_found() -> None:
    """The one before, and sound ones between, hide none; their findings still refuse."""
    forged, short = _recorded(LATE, reason=" "), {"gate": "volume", "reason": "seen"}
    faults = check_overrides([forged, _recorded(SHORT), short], [LATE, SHORT], JUDGEMENT)
    assert [fault.gate for fault in faults] == ["quality", "volume", "quality"]
    assert [fault.observed for fault in faults] == [str(forged), str(short), LATE.observed]


def test_overrides_that_are_doubled_or_out_of_order_are_found() -> None:
    """Two manifests of the same epoch have the same bytes, so each override is there once, in its place."""
    first, second, third = (_recorded(finding) for finding in (SHORT, LATE, BAD))
    findings = [SHORT, LATE, BAD]
    assert check_overrides([first, second, third], findings, JUDGEMENT) == []
    for records, misplaced in (
        ([first, first, second, third], SHORT),
        ([second, first, third], SHORT),
        ([first, third, second], LATE),
        ([first, second, _recorded(LATE, reason="seen twice"), third], LATE),
    ):
        [fault] = check_overrides(records, findings, JUDGEMENT)
        names = (misplaced.gate, misplaced.message, misplaced.expected, misplaced.observed)
        assert fault == Finding(
            misplaced.gate, "the manifest's overrides are doubled or out of order", "ascending order", str(names)
        )
        assert fault.refuses
