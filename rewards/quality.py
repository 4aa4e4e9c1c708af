"""The row rules, once, as SQL expressions that an engine runs.

They are SQL that DuckDB and Spark both read; `whole(a, b)`, which an engine defines, is a divided by b without the rest.
An engine lays usage rows out as `r` (texts as they came, integers as BIGINT, `fee` in CXPT as DECIMAL(20, 8), times as
microseconds since 1970: `started_us`, `ingested_us`, and `arrival_us`, which is never null), with `bad_column` and
`bad_value` for what did not parse. It joins `p` (provisions; `provider_is_user` is null where the provider has no
account), `ua` (the user's account), and `k` (what is known of an id: `contents` in this epoch, `place` among equal
rows, `counted_before`: null, 'same' or 'other'). `wallet_no` is one number for one wallet, `reference_fee_e8_<i>` of
`p` the fee at which a request to the policy's endpoint i has full weight. What a row says by itself is asked once, before
any join (`said`): `endpoint_no`, `tier_no`, `fee_e8`, each null where it is no value of the page's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rewards.epoch import Epoch
from rewards.policy import BP, TIERS, Policy
from rewards.schemas import MAX_FEE_E8, USAGE_COLUMNS

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
E8_PER_CXPT = 10**8
FIRST_YEAR_US = -62_135_596_800_000_000
LAST_YEAR_US = 253_402_300_799_999_999
"""Times outside the years 1 to 9999 do not parse, so that differences of times never overflow."""


@dataclass(frozen=True)
class Rule:
    """One line of the page: the class and reason a row gets when `condition` is the first that holds, and where it
    shows."""

    group: str
    reason: str
    condition: str
    column: str = "''"
    value: str = "NULL"


def _quoted(names: Iterable[str]) -> str:
    return ", ".join("'" + n.replace("'", "''") + "'" for n in names)


def _first_of(cases: list[tuple[str, str]]) -> str:
    return "CASE " + " ".join(f"WHEN {condition} THEN {result}" for condition, result in cases) + " END"


def is_in_the_future(policy: Policy) -> str:
    """Whether a row says that it started after it arrived, by more than clocks differ."""
    return f"r.started_us > r.arrival_us + {policy.rows.future_minutes * MINUTE_US}"


def placed_us(policy: Policy) -> str:
    """The time that decides which epoch counts a row: max(started, arrived − grace); arrival alone where started is no
    guide."""
    arrived = f"(r.arrival_us - {policy.rows.grace_minutes * MINUTE_US})"
    return (
        f"CASE WHEN r.started_us IS NULL OR {is_in_the_future(policy)} OR r.started_us < {arrived} "
        f"THEN {arrived} ELSE r.started_us END"
    )


def is_late(epoch: Epoch) -> str:
    """Whether a row that `epoch` counts started in an earlier one."""
    return f"(r.started_us IS NOT NULL AND r.started_us < {epoch.start_us})"


def _missing() -> list[tuple[str, str]]:
    """Per column that may not be missing: the condition that it is."""
    conditions = []
    for name, kind in USAGE_COLUMNS.items():
        if name in ("started_at", "ingested_at"):
            continue
        column = "fee" if name == "fee_cxpt" else name
        empty = f" OR r.{column} = ''" if kind == "text" else ""
        conditions.append((f"(r.{column} IS NULL{empty})", f"'{name}'"))
    return conditions


def _impossible(policy: Policy) -> list[tuple[str, str, str]]:
    return [
        (
            f"NOT r.latency_ms BETWEEN 0 AND {policy.rows.max_latency_ms}",
            "'latency_ms'",
            "CAST(r.latency_ms AS STRING)",
        ),
        ("r.input_tokens < 0", "'input_tokens'", "CAST(r.input_tokens AS STRING)"),
        ("r.output_tokens < 0", "'output_tokens'", "CAST(r.output_tokens AS STRING)"),
        ("NOT r.status_code BETWEEN 100 AND 599", "'status_code'", "CAST(r.status_code AS STRING)"),
        ("r.fee_e8 IS NULL", "'fee_cxpt'", "r.fee_text"),
    ]


def is_too_late(policy: Policy) -> str:
    """Whether a row arrived longer after its start than rows are counted."""
    return f"r.arrival_us > r.started_us + {policy.rows.too_late_hours * HOUR_US}"


def has_credible_times(policy: Policy) -> str:
    """Whether nothing is wrong with the times of a row, whatever its other values are."""
    return f"(r.started_us IS NOT NULL AND NOT {is_in_the_future(policy)} AND NOT {is_too_late(policy)})"


def early_rules(policy: Policy) -> list[Rule]:
    """The rules that come before repeats are looked for."""
    return [
        Rule("quarantined", "bad_type", "r.bad_column IS NOT NULL OR r.started_us IS NULL",
             "coalesce(r.bad_column, 'started_at')", "r.bad_value"),
        Rule("quarantined", "in_the_future", is_in_the_future(policy), "'started_at'", "r.started_text"),
        Rule("quarantined", "too_late", is_too_late(policy), "'ingested_at'", "r.ingested_text"),
    ]  # fmt: skip


def row_rules(policy: Policy) -> list[Rule]:
    """Every rule in the page's order; the first whose condition holds names the row, a row without one earns."""
    return [*early_rules(policy), *repeat_rules(), *said_rules(), *joined_rules(policy)]


def repeat_rules() -> list[Rule]:
    """The rules of rows whose id, which is not empty, occurs more than once."""
    return [
        Rule("quarantined", "conflicting_repeat", "k.contents > 1", "'request_id'", "r.request_id"),
        Rule("repeated", "repeated", "k.counted_before = 'same' OR (k.counted_before IS NULL AND k.place > 1)"),
        Rule("quarantined", "conflicting_repeat", "k.counted_before = 'other'", "'request_id'", "r.request_id"),
    ]


def said_rules() -> list[Rule]:
    """The rules after repeats that name a row by what it says."""
    missing = _missing()
    return [
        Rule("quarantined", "missing_value", " OR ".join(c for c, _ in missing), _first_of(missing)),
        Rule("quarantined", "unknown_endpoint", "r.endpoint_no IS NULL", "'endpoint'", "r.endpoint"),
        Rule("quarantined", "unknown_tier", "r.tier_no IS NULL", "'service_tier'", "r.service_tier"),
    ]


def joined_rules(policy: Policy) -> list[Rule]:
    """The rules that name a row by its provision and account, and what follows them."""
    impossible = _impossible(policy)
    started = "r.started_us"
    provider_side, user_side = earns_provider(), earns_user()
    return [
        Rule("quarantined", "unknown_provision", "p.provision_id IS NULL OR p.provider_is_user IS NULL",
             "'provision_id'", "r.provision_id"),
        Rule("quarantined", "wrong_kind", "coalesce(ua.is_provider, FALSE) OR p.provider_is_user",
             "CASE WHEN coalesce(ua.is_provider, FALSE) THEN 'user_id' ELSE 'provision_id' END",
             "CASE WHEN coalesce(ua.is_provider, FALSE) THEN r.user_id ELSE r.provision_id END"),
        Rule("quarantined", "not_registered",
             f"{started} < p.registered_us OR coalesce({started} >= p.retired_us, FALSE)", "'started_at'", "r.started_text"),
        Rule("quarantined", "impossible_value", " OR ".join(f"({c})" for c, _, _ in impossible),
             _first_of([(c, name) for c, name, _ in impossible]), _first_of([(c, text) for c, _, text in impossible])),
        Rule("not_earning", "status", "r.status_code <> 200"),
        Rule("not_earning", "one_person", "coalesce(ua.wallet_no = p.provider_wallet_no, FALSE)"),
        Rule("not_earning", "suspended", f"NOT {provider_side} AND NOT {user_side}"),
    ]  # fmt: skip


def earns_provider() -> str:
    """Whether an earning row earns its provider something: not suspended when it started."""
    return "NOT coalesce(r.started_us >= p.provider_suspended_us, FALSE)"


def earns_user() -> str:
    """Whether an earning row earns its user something; an id without an account is never suspended."""
    return "NOT coalesce(r.started_us >= ua.suspended_us, FALSE)"


def first_rule(rules: Sequence[tuple[int, Rule]], otherwise: str = "-1") -> str:
    """SQL for the number of the first rule that holds."""
    return (
        _first_of([(f"({rule.condition})", str(number)) for number, rule in rules])[: -len(" END")]
        + f" ELSE {otherwise} END"
    )


def said(policy: Policy) -> dict[str, str]:
    """SQL of what a row says, by name, null for what is no value of the page's: which of the policy's endpoints and of the
    tiers, counted from 0, and the fee in units of 10⁻⁸ CXPT."""
    # As DECIMAL(18, 8), a machine word, a fee below 100 CXPT is multiplied in a twentieth of the time.
    small, wide = (f"CAST({fee} * {E8_PER_CXPT} AS BIGINT)" for fee in ("CAST(r.fee AS DECIMAL(18, 8))", "r.fee"))
    most = MAX_FEE_E8 // E8_PER_CXPT
    return {
        "endpoint_no": f"CAST({_place('r.endpoint', policy.endpoints)} AS SMALLINT)",
        "tier_no": f"CAST({_place('r.service_tier', TIERS)} AS SMALLINT)",
        "fee_e8": f"CASE WHEN r.fee >= 0 AND r.fee < 100 THEN {small} WHEN r.fee BETWEEN 0 AND {most} THEN {wide} END",
    }


def _place(column: str, names: Iterable[str]) -> str:
    return _first_of([(f"{column} = {_quoted([name])}", str(i)) for i, name in enumerate(names)])


def weight(policy: Policy) -> str:
    """A request's weight from its fee and the reference fee of its endpoint and provision's tier; 0 where one is
    missing."""
    reference = _first_of([(f"r.endpoint_no = {i}", f"p.reference_fee_e8_{i}") for i in range(len(policy.endpoints))])
    return (
        f"CASE WHEN r.fee_e8 >= {reference} THEN {BP} "
        f"WHEN r.fee_e8 < {reference} THEN whole(r.fee_e8 * {BP}, {reference}) ELSE 0 END"
    )


def latency_bucket(policy: Policy) -> str:
    """Index of the histogram bucket (lower, upper] that a latency falls in."""
    return _first_of([(f"r.latency_ms <= {edge}", str(i)) for i, edge in enumerate(policy.response_time.edges_ms)])


def hour_of_day() -> str:
    """Hour of the day (UTC) of `started_us`, which lies after 1970 in every earning row."""
    return f"whole(r.started_us, {HOUR_US}) % 24"
