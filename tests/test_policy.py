"""The shipped policy is read as written; every contradiction is refused with the setting, its value, in one line."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.errors import PolicyError
from rewards.policy import BP, DatedPolicy, Policy, check_succession, parse_policy, policy_for
from tests.worlds import POLICY, POLICY_FILE, change

SOURCE = POLICY_FILE.read_text()


def refusal(source: str) -> str:
    with pytest.raises(PolicyError) as refused:
        parse_policy(source.encode(), "2026-01-01.toml")
    text = str(refused.value)
    assert text.startswith("policy 2026-01-01.toml") and "\n" not in text
    return text


def test_the_shipped_policy_says_what_the_page_says() -> None:
    assert POLICY.endpoints["/chat/completions"].base_points == {
        "tide_pool": 1000, "blue_surge": 3000, "open_ocean": 7000, "mariana_depth": 15000
    }  # fmt: skip
    assert {e: set(n.base_points.values()) for e, n in POLICY.endpoints.items() if e != "/chat/completions"} == {
        "/embeddings": {1000}, "/tts": {2000}, "/scrape": {500}
    }  # fmt: skip
    assert all(n.base_points == n.reference_fee_e8 for n in POLICY.endpoints.values())
    assert POLICY.uptime.knots == ((9500, 8000), (9900, 10000), (9990, 12000))
    assert POLICY.response_time.knots == ((2000, 11000), (10000, 9000))
    assert POLICY.loyalty.steps == ((0, 10000), (1, 10000), (7, 11000), (30, 12000), (90, 13000))
    assert (POLICY.referral.provider_bp, POLICY.referral.user_bp) == ((1000, 500, 250), (1500, 800, 400))
    assert (POLICY.caps.deposit_bp, POLICY.caps.provider_bp, POLICY.caps.user_bp) == (200, 5500, 2500)
    # 1.175 × 5500 + 1.27 × 2500 = 9637.5 bp
    assert POLICY.ring_return_e8() == 96_375_000


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        # Not TOML, unknown and missing keys
        ("[rows]", "[rows", "is not TOML"),
        ('ruleset = "v1"', 'ruleset = "v1"\nsurprise = 1', "surprise"),
        ("grace_minutes = 30", "grace_minutes = 30\ngrace_seconds = 1", "rows.grace_seconds"),
        ("grace_minutes = 30", "", "rows.grace_minutes"),
        ('ruleset = "v1"', "", "ruleset"),
        ("[demand]", "[demands]", "demand"),
        ("tide_pool = 500", "", "must name the tiers"),
        ("tide_pool = 500", "tide_pool = 500\nabyss = 1", "abyss"),
        # Wrong types: nothing is coerced
        ("grace_minutes = 30 ", 'grace_minutes = "30"', "'30'"),
        ("grace_minutes = 30 ", "grace_minutes = 30.0", "30.0"),
        ("grace_minutes = 30 ", "grace_minutes = true", "True"),
        ("release_bp = 10000", "release_bp = nan", "nan"),
        ("release_bp = 10000", "release_bp = inf", "inf"),
        ("knots = [[2000, 11000], [10000, 9000]]", "knots = [[2000, 11000], [10000]]", "response_time.knots"),
        ("knots = [[2000, 11000], [10000, 9000]]", "knots = 5", "response_time.knots"),
        ('ruleset = "v1"', "ruleset = 1", "ruleset"),
        # Out of range
        ("grace_minutes = 30 ", "grace_minutes = -1", "rows.grace_minutes"),
        ("too_late_hours = 48", "too_late_hours = 49", "rows.too_late_hours"),
        ("too_late_hours = 48", "too_late_hours = 0", "rows.too_late_hours"),
        ("release_bp = 10000", "release_bp = 10001", "pools.release_bp"),
        ("hold_epochs = 180", "hold_epochs = 0", "pools.hold_epochs"),
        ("quarantine_limit_bp = 100", "quarantine_limit_bp = 10001", "rows.quarantine_limit_bp"),
        ("min_heartbeats = 24", "min_heartbeats = 0", "uptime.min_heartbeats"),
        ("signers = []", 'signers = ["0x12"]', "corrections.signers"),
        ("signers = []", "signers = [5]", "corrections.signers"),
        ("signers = []", f'signers = ["0x{"ab" * 20}"]', "epoch_limit_cxpt is 0"),
        ("epoch_limit_cxpt = 0", "epoch_limit_cxpt = -1", "corrections.epoch_limit_cxpt"),
        ("epoch_limit_cxpt = 0", "epoch_limit_cxpt = 1000000001", "corrections.epoch_limit_cxpt"),
        ("epoch_limit_cxpt = 0", "epoch_limit_cxpt = 1.5", "corrections.epoch_limit_cxpt"),
        ("floor_bp = 8000", "floor_bp = 0", "uptime.floor_bp"),
        ("min_fee_e8 = 10_000", "min_fee_e8 = 0", "loyalty.min_fee_e8"),
        ("epochs = 7", "epochs = 0", "demand.epochs"),
        ("offset = 100", "offset = 0", "demand.offset"),
        ("provider_bp = [1000, 500, 250]", "provider_bp = [1000, 500]", "referral.provider_bp"),
        ("provider_bp = [1000, 500, 250]", "provider_bp = [1000, 500, 250, 100]", "referral.provider_bp"),
        ("user_bp = [1500, 800, 400]", "user_bp = [1500, 800, -1]", "referral.user_bp"),
        ("reference_fee_e8]\ntide_pool = 500", "reference_fee_e8]\ntide_pool = 0", "reference_fee_e8.tide_pool"),
        # Knots and edges that do not rise, multipliers that are none
        ("knots = [[2000, 11000], [10000, 9000]]", "knots = [[10000, 9000], [2000, 11000]]", "[10000, 2000]"),
        ("knots = [[2000, 11000], [10000, 9000]]", "knots = [[2000, 11000], [2000, 9000]]", "[2000, 2000]"),
        ("knots = [[2000, 11000], [10000, 9000]]", "knots = []", "must rise"),
        ("knots = [[2000, 11000], [10000, 9000]]", "knots = [[-1, 11000]]", "[-1]"),
        ("[9990, 12000]]", "[9990, 0]]", "multiplier 0 bp"),
        ("[9990, 12000]]", "[9990, 100001]]", "multiplier 100001 bp"),
        ("edges_ms = [100, 200,", "edges_ms = [200, 100,", "must rise"),
        ("edges_ms = [100, 200,", "edges_ms = [100, 100,", "must rise"),
        ("steps = [[0, 10000],", "steps = [[1, 9999], [2, 10000],", "loyalty"),
        ("steps = [[0, 10000], [1, 10000],", "steps = [[1, 10000],", "must start at 0"),
        # Settings that contradict each other
        ("max_latency_ms = 3_600_000", "max_latency_ms = 3_600_001", "must be rows.max_latency_ms 3600001"),
        ("min_bp = 5000", "min_bp = 20001", "min_bp 20001 is above max_bp 20000"),
        ("provider_bp = 5500", "provider_bp = 5809", "a ring of accounts would win"),
        ("user_bp = 2500", "user_bp = 2786", "a ring of accounts would win"),
        ("user_bp = [1500, 800, 400]", "user_bp = [2000, 1000, 1200]", "a ring of accounts would win"),
        # What the gates judge by
        ("[volume]", "[loudness]", "volume"),
        ("min_epochs = 3 ", "min_epochs = 8 ", "min_epochs 8 is above epochs 7"),
        ("min_epochs = 3 ", "min_epochs = 0 ", "volume.min_epochs"),
        ("min_rows = 1000 ", "min_rows = -1 ", "volume.min_rows"),
        ("low_bp = 5000 ", "low_bp = 10001 ", "volume.low_bp"),
        ("high_bp = 20000 ", "high_bp = 9999 ", "volume.high_bp"),
        ("recipient_bp = 4000 ", "recipient_bp = 10001 ", "concentration.recipient_bp"),
        ("young_bp = 2500 ", "young_bp = 0.25 ", "concentration.young_bp"),
        ("young_days = 7 ", "young_days = -7 ", "concentration.young_days"),
        ("min_recipients = 20 ", "min_recipients = 0 ", "concentration.min_recipients"),
        ("min_recipients = 20 ", "", "concentration.min_recipients"),
        # Numbers that no computation holds
        ("referee_days = 180 ", "referee_days = 999_999_999_999 ", "referral.referee_days"),
        ("hold_epochs = 180 ", f"hold_epochs = {10**23} ", "pools.hold_epochs"),
        ("min_heartbeats = 24 ", f"min_heartbeats = {10**23} ", "uptime.min_heartbeats"),
        ("min_fee_e8 = 10_000 ", f"min_fee_e8 = {10**40} ", "loyalty.min_fee_e8"),
        ("steps = [[0, 10000],", f"steps = [[0, 10000], [{10**20}, 13000],", "loyalty.steps"),
        ("knots = [[2000, 11000],", f"knots = [[2000, 11000], [{10**20}, 9000],", "response_time.knots"),
        ("min_recipients = 20 ", f"min_recipients = {10**22} ", "concentration.min_recipients"),
        # A corrector whose address was mistyped
        ("signers = []", 'signers = ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeE"]', "is no usable address"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_setting(old: str, new: str, named: str) -> None:
    assert SOURCE.count(old) >= 1
    assert named in refusal(SOURCE.replace(old, new, 1))


def test_no_endpoint_at_all_is_refused() -> None:
    head, tail = SOURCE.split("# Milli-points")[0], SOURCE[SOURCE.index("[uptime]") :]
    assert "none is named" in refusal(head + "[endpoints]\n" + tail)


@pytest.mark.parametrize("source", [b"\xff\xfe", b"a = '\x00'", b"", b"a = 1\na = 2"])
def test_bytes_that_are_no_policy_are_refused(source: bytes) -> None:
    with pytest.raises(PolicyError, match=r"^policy x\.toml") as refused:
        parse_policy(source, "x.toml")
    assert "\n" not in str(refused.value)


shares = st.integers(0, BP)


@given(
    provider=shares,
    user=shares,
    provider_levels=st.tuples(shares, shares, shares),
    user_levels=st.tuples(shares, shares, shares),
)
def test_a_policy_is_valid_exactly_when_no_ring_wins(
    provider: int, user: int, provider_levels: tuple[int, int, int], user_levels: tuple[int, int, int]
) -> None:
    caps, referral = (
        {"provider_bp": provider, "user_bp": user},
        {"provider_bp": provider_levels, "user_bp": user_levels},
    )
    ring = (10_000 + sum(provider_levels)) * provider + (10_000 + sum(user_levels)) * user
    if ring < 10_000 * 10_000:
        assert change(POLICY, caps=caps, referral=referral).ring_return_e8() == ring
    else:
        with pytest.raises(ValueError, match="a ring of accounts would win"):
            change(POLICY, caps=caps, referral=referral)


def test_the_ring_is_refused_at_the_bound_itself() -> None:
    even: dict[str, Any] = {"provider_bp": (0, 0, 0), "user_bp": (0, 0, 0)}
    assert change(POLICY, caps={"provider_bp": 7500, "user_bp": 2499}, referral=even).ring_return_e8() == 99_990_000
    with pytest.raises(ValueError, match="return 10000 bp"):
        change(POLICY, caps={"provider_bp": 7500, "user_bp": 2500}, referral=even)


def dated(day: str, policy: Policy = POLICY) -> DatedPolicy:
    return DatedPolicy(date.fromisoformat(day), policy, day.encode())


def test_a_policy_rules_from_the_epoch_that_starts_on_its_day() -> None:
    old, new = dated("2025-06-14"), dated("2026-01-09")
    for order in ([old, new], [new, old]):
        assert policy_for(order, date(2026, 1, 8)) is old
        assert policy_for(order, date(2026, 1, 9)) is new
        assert policy_for(order, date(9999, 12, 31)) is new
        assert policy_for(order, date(2025, 6, 14)) is old
        with pytest.raises(PolicyError, match=r"2025-06-13; known: 20"):
            policy_for(order, date(2025, 6, 13))
    with pytest.raises(PolicyError, match="known: none"):
        policy_for([], date(2026, 1, 1))


@pytest.mark.parametrize(("name", "now"), [("grace_minutes", 31), ("future_minutes", 6), ("too_late_hours", 47)])
def test_what_places_rows_in_epochs_may_not_change(name: str, now: int) -> None:
    same = change(POLICY, pools={"hold_epochs": 90})
    check_succession([dated("2025-06-14"), dated("2026-01-01", same)])
    later = change(POLICY, rows={name: now})
    with pytest.raises(PolicyError, match=f"policy 2026-02-01: rows.{name} changes from .* to {now}"):
        check_succession([dated("2025-06-14"), dated("2026-01-01", same), dated("2026-02-01", later)])


def test_a_digest_is_of_the_bytes() -> None:
    # sha256 of the empty string
    assert (
        DatedPolicy(date(2026, 1, 1), POLICY, b"").digest
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_nobody_signs_corrections_unless_the_policy_says_so() -> None:
    assert (POLICY.corrections.signers, POLICY.corrections.epoch_limit_cxpt) == ((), 0)
    start, end = SOURCE.index("[corrections]"), SOURCE.index("# What follows stops")
    older = SOURCE[:start] + SOURCE[end:]
    assert parse_policy(older.encode(), "2026-01-01.toml") == POLICY
