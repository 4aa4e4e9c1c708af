"""The row rules, once, as SQL expressions that an engine runs.

An engine lays usage rows out as `r` (texts as they came, integers as BIGINT, `fee_e8` in 10^-8 CXPT, times as
microseconds since 1970: `started_us`, `ingested_us`, and `arrival_us`, which is never null), with `bad_column` and
`bad_value` for what did not parse. It joins `p` (provisions), `pa` (the provider's account), `ua` (the user's
account), and `k` (what is known of the row's id: `contents` in this epoch, `place` among equal rows, `counted_before`:
null, 'same' or 'other').
"""

from dataclasses import dataclass

from rewards.epoch import Epoch
from rewards.policy import BP, TIERS, Policy
from rewards.schemas import MAX_FEE_E8, USAGE_COLUMNS

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
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


def _quoted(names: tuple[str, ...] | list[str]) -> str:
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
        column = "fee_e8" if name == "fee_cxpt" else name
        empty = f" OR r.{column} = ''" if kind == "text" else ""
        conditions.append((f"(r.{column} IS NULL{empty})", f"'{name}'"))
    return conditions


def _impossible(policy: Policy) -> list[tuple[str, str, str]]:
    return [
        (
            f"NOT r.latency_ms BETWEEN 0 AND {policy.rows.max_latency_ms}",
            "'latency_ms'",
            "CAST(r.latency_ms AS VARCHAR)",
        ),
        ("r.input_tokens < 0", "'input_tokens'", "CAST(r.input_tokens AS VARCHAR)"),
        ("r.output_tokens < 0", "'output_tokens'", "CAST(r.output_tokens AS VARCHAR)"),
        ("NOT r.status_code BETWEEN 100 AND 599", "'status_code'", "CAST(r.status_code AS VARCHAR)"),
        (f"NOT r.fee_e8 BETWEEN 0 AND {MAX_FEE_E8}", "'fee_cxpt'", "r.fee_text"),
    ]


def early_rules(policy: Policy) -> list[Rule]:
    """The rules that come before repeats are looked for."""
    return [
        Rule("quarantined", "bad_type", "r.bad_column IS NOT NULL OR r.started_us IS NULL",
             "coalesce(r.bad_column, 'started_at')", "r.bad_value"),
        Rule("quarantined", "in_the_future", is_in_the_future(policy), "'started_at'", "r.started_text"),
        Rule("quarantined", "too_late", f"r.arrival_us > r.started_us + {policy.rows.too_late_hours * HOUR_US}",
             "'ingested_at'", "r.ingested_text"),
    ]  # fmt: skip


def row_rules(policy: Policy) -> list[Rule]:
    """Every rule in the page's order; the first whose condition holds names the row, a row without one earns."""
    missing, impossible = _missing(), _impossible(policy)
    started = "r.started_us"
    has_id = "(r.request_id IS NOT NULL AND r.request_id <> '')"
    provider_side, user_side = earns_provider(), earns_user()
    return [
        *early_rules(policy),
        Rule("quarantined", "conflicting_repeat", f"{has_id} AND k.contents > 1", "'request_id'", "r.request_id"),
        Rule("repeated", "repeated", f"{has_id} AND (k.counted_before = 'same' OR (k.counted_before IS NULL AND k.place > 1))"),
        Rule("quarantined", "conflicting_repeat", f"{has_id} AND k.counted_before = 'other'", "'request_id'", "r.request_id"),
        Rule("quarantined", "missing_value", " OR ".join(c for c, _ in missing), _first_of(missing)),
        Rule("quarantined", "unknown_endpoint", f"r.endpoint NOT IN ({_quoted(list(policy.endpoints))})",
             "'endpoint'", "r.endpoint"),
        Rule("quarantined", "unknown_tier", f"r.service_tier NOT IN ({_quoted(TIERS)})", "'service_tier'", "r.service_tier"),
        Rule("quarantined", "unknown_provision", "p.provision_id IS NULL OR pa.account_id IS NULL",
             "'provision_id'", "r.provision_id"),
        Rule("quarantined", "wrong_kind", "coalesce(ua.kind = 'provider', FALSE) OR pa.kind = 'user'",
             "CASE WHEN coalesce(ua.kind = 'provider', FALSE) THEN 'user_id' ELSE 'provision_id' END",
             "CASE WHEN coalesce(ua.kind = 'provider', FALSE) THEN r.user_id ELSE r.provision_id END"),
        Rule("quarantined", "not_registered",
             f"{started} < p.registered_us OR coalesce({started} >= p.retired_us, FALSE)", "'started_at'", "r.started_text"),
        Rule("quarantined", "impossible_value", " OR ".join(f"({c})" for c, _, _ in impossible),
             _first_of([(c, name) for c, name, _ in impossible]), _first_of([(c, text) for c, _, text in impossible])),
        Rule("not_earning", "status", "r.status_code <> 200"),
        Rule("not_earning", "one_person", "coalesce(ua.wallet = pa.wallet, FALSE)"),
        Rule("not_earning", "suspended", f"NOT {provider_side} AND NOT {user_side}"),
    ]  # fmt: skip


def earns_provider() -> str:
    """Whether an earning row earns its provider something: not suspended when it started."""
    return "NOT coalesce(r.started_us >= pa.suspended_us, FALSE)"


def earns_user() -> str:
    """Whether an earning row earns its user something; an id without an account is never suspended."""
    return "NOT coalesce(r.started_us >= ua.suspended_us, FALSE)"


def first_rule(rules: list[Rule]) -> str:
    """SQL for the index of the first rule that holds, or −1."""
    return _first_of([(f"({rule.condition})", str(i)) for i, rule in enumerate(rules)])[: -len(" END")] + " ELSE -1 END"


def weight() -> str:
    """A request's weight from its fee and the reference fee `q.reference_fee_e8` of its endpoint and provision's
    tier."""
    return f"CASE WHEN r.fee_e8 >= q.reference_fee_e8 THEN {BP} ELSE r.fee_e8 * {BP} // q.reference_fee_e8 END"


def latency_bucket(policy: Policy) -> str:
    """Index of the histogram bucket (lower, upper] that a latency falls in."""
    return _first_of([(f"r.latency_ms <= {edge}", str(i)) for i, edge in enumerate(policy.response_time.edges_ms)])


def hour_of_day() -> str:
    """Hour of the day (UTC) of `started_us`, which lies after 1970 in every earning row."""
    return f"(r.started_us // {HOUR_US}) % 24"
