"""The roll-up of an epoch, once: SQL that DuckDB and Spark both read, step by step, each a table that the next reads.

    feed     every row of the files, laid out as `quality` describes; beats likewise
    r        the rows that the epoch counts: number, digests of id and content, the rule that names the row by itself,
             and what it would count for
    suspects ids that occur more than once, here or in the epochs before
    wide     whole rows whose id is a suspect or whose content is shown: a few in a hundred
    k        the rules of repeats for rows of `wide`, from their exact contents
    named    r with the rule that holds in the end, to sum up: a row that a repeat's rule names is there once more with
             everything negative, which takes it back, and once under that rule

`file_no` and `row_number` name a row; nothing depends on their order but which of two equal rows is called the repeat.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import polars as pl

from rewards import quality
from rewards.engines.subjects import Subjects
from rewards.epoch import Epoch
from rewards.errors import LimitError
from rewards.policy import BP, Policy
from rewards.ports import Counts, Coverage, FeedFile, RollUp
from rewards.schemas import HEARTBEATS_ROLLUP, LATE, QUARANTINE, ROLLUP, USAGE_COLUMNS

OVERRUN_US = 24 * quality.HOUR_US
"""How far past the end of its day a file's times are believed: the newest file may go on into the next day."""

USAGE_LAYOUT: Mapping[str, str] = {
    "request_id": "STRING",
    "started_us": "BIGINT",
    "started_raw": "BIGINT",
    "started_given": "STRING",
    "user_id": "STRING",
    "provision_id": "STRING",
    "endpoint": "STRING",
    "model": "STRING",
    "service_tier": "STRING",
    "latency_ms": "BIGINT",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "status_code": "BIGINT",
    "fee": "DECIMAL(20, 8)",
    "fee_given": "STRING",
    "ingested_us": "BIGINT",
    "ingested_raw": "BIGINT",
    "ingested_given": "STRING",
    "bad_column": "STRING",
    "bad_given": "STRING",
    "file_no": "INT",
    "row_number": "BIGINT",
    "arrival_us": "BIGINT",
    "day_end_us": "BIGINT",
}
"""Columns of `feed`; `beats` has provision_id, probed_us, ok, day_end_us."""

_COLUMNS = {"started_at": "started_us", "fee_cxpt": "fee", "ingested_at": "ingested_us"}
_TEXTS = {"started_at": "started_text", "ingested_at": "ingested_text", "fee_cxpt": "fee_text"}
_CONTENT = [_COLUMNS.get(n, n) for n in USAGE_COLUMNS if n != "ingested_at"]
_ID, _ID_CHECK = ("r.request_id",), ("'#' || r.request_id",)

_SUMS = {
    "subject_no": "INT",
    "user_id": "STRING",
    "endpoint_no": "SMALLINT",
    "slot": "SMALLINT",
    "rule": "SMALLINT",
    "weight": "BIGINT",
    "fee_e8": "DECIMAL(38, 0)",
}
_NOTHING = {
    "subject_no": "NULL",
    "user_id": "NULL",
    "endpoint_no": "-1",
    "slot": "0",
    "rule": "-1",
    "weight": "0",
    "fee_e8": "0",
}

_ROW_BYTES, _LETTER_BYTES = 700, 4
"""What a quarantined row and each letter of its texts may take on the way to a file."""

T = TypeVar("T")


class Database(Protocol):
    """What runs the SQL. It has the functions `whole(a, b)`, a division without rest, and `time_text(micros)`, which gives
    `2026-01-07T12:00:00.000000Z` or, outside the years 1 to 9999, the number and what it counts. `room` is the bytes
    that an answer may take."""

    room: int

    def read_feed(self, usage: Sequence[FeedFile], heartbeats: Sequence[FeedFile]) -> None:
        """Make `feed` and `beats`, views over the files."""
        ...

    def read_counted(self, paths: Sequence[Path]) -> None:
        """Make `known` (id, id_check, content): the rows that epochs before have counted."""
        ...

    def define_picked(self, name: str, table: str) -> None:
        """Give the rows of `feed` that a table picks, by file_no and row_number, a name."""
        ...

    def load(self, name: str, frame: pl.DataFrame) -> None: ...
    def create(self, name: str, sql: str) -> None:
        """Run a query and keep its rows."""
        ...

    def drop(self, name: str) -> None:
        """Let go of what `create` kept."""
        ...

    def define(self, name: str, sql: str) -> None:
        """Give a query a name; it runs where it is used."""
        ...

    def query(self, sql: str) -> pl.DataFrame: ...
    def create_doubled(self, name: str, table: str, condition: str) -> None:
        """Keep the values of `id` that more than one row of `table` under a condition has."""
        ...

    def digest(self, columns: Sequence[str]) -> str:
        """SQL for 64 bits of some values, quick and the same in every run of this engine."""
        ...

    def write_counted(self, sql: str) -> Path:
        """Write the rows (id, id_check, content) of a query to a file that `read_counted` of this engine reads."""
        ...


def digest_ids(database: Database, request_ids: pl.Series) -> pl.DataFrame:
    """See `rewards.ports.Engine.digest_ids`."""
    database.load("given", pl.DataFrame({"request_id": request_ids}, schema={"request_id": pl.String}))
    return database.query(f"SELECT {database.digest(_ID)} AS id, {database.digest(_ID_CHECK)} AS id_check FROM given r")


class Night:
    """One roll-up in one database."""

    def __init__(self, database: Database, epoch: Epoch, policy: Policy, on_stage: Callable[[str], None]) -> None:
        self._db, self._epoch, self._policy, self._on_stage = database, epoch, policy, on_stage
        self._rules = quality.row_rules(policy)
        numbered = iter(enumerate(self._rules))
        self._early = list(islice(numbered, len(quality.early_rules(policy))))
        self._repeats = list(islice(numbered, len(quality.repeat_rules())))
        self._said = self._early + list(islice(numbered, len(quality.said_rules())))
        self._joined = list(numbered)
        self._columns_said = ", ".join(f"{sql} AS {name}" for name, sql in quality.said(policy).items())
        self._quarantining = _list(i for i, rule in enumerate(self._rules) if rule.group == "quarantined")

    def run(
        self,
        usage: Sequence[FeedFile],
        heartbeats: Sequence[FeedFile],
        accounts: pl.DataFrame,
        provisions: pl.DataFrame,
        counted_before: Sequence[Path],
    ) -> RollUp:
        """See `rewards.ports.Engine.roll_up`."""
        self._subjects = Subjects(accounts, provisions)
        for name, frame in self._subjects.tables(self._policy).items():
            self._db.load(name, frame)
        self._db.read_feed(usage, heartbeats)
        self._db.read_counted(counted_before)
        self._stage("read usage", self._read_rows)
        self._stage("find repeats", self._find_repeats)
        beats, beat_coverage, odd = self._stage("read heartbeats", lambda: self._heartbeats(heartbeats))
        return self._stage("roll up", lambda: self._collect(usage, beats, beat_coverage, odd))

    def _stage(self, name: str, step: Callable[[], T]) -> T:
        self._on_stage(name)
        return step()

    def _read_rows(self) -> None:
        """The one pass over every column of every row. What a row says by itself comes before the joins, where texts that
        repeat are still numbers of a dictionary."""
        placed = quality.placed_us(self._policy)
        inside = f"r.started_us >= {self._epoch.start_us} AND r.started_us < {self._epoch.end_us}"
        slot = f"CASE WHEN {quality.is_late(self._epoch)} THEN {LATE} ELSE {quality.hour_of_day()} END"
        content = self._db.digest([f"r.{c}" for c in _CONTENT if c != "request_id"])
        self._db.create(
            "r",
            f"""WITH laid_out AS (
                SELECT r.*, {self._columns_said} FROM feed r
                WHERE {placed} >= {self._epoch.start_us} AND {placed} < {self._epoch.end_us}
            ), said AS (
                SELECT r.file_no, r.row_number,
                    CASE WHEN r.request_id <> '' THEN {self._db.digest(_ID)} END AS id,
                    {self._db.digest(_ID_CHECK)} AS id_check, {content} AS content,
                    CAST({quality.first_rule(self._said)} AS SMALLINT) AS rule,
                    CAST({quality.latency_bucket(self._policy)} AS SMALLINT) AS bucket,
                    r.started_us, r.user_id, r.provision_id, r.endpoint_no, r.tier_no, r.fee_e8, r.latency_ms,
                    r.input_tokens, r.output_tokens, r.status_code
                FROM laid_out r
            )
            SELECT r.file_no, r.row_number, r.id, r.id_check, r.content,
                CAST(CASE WHEN r.rule >= 0 THEN r.rule ELSE {quality.first_rule(self._joined)} END AS SMALLINT) AS rule,
                CAST(CASE WHEN {inside} THEN whole(r.started_us - {self._epoch.start_us}, {quality.HOUR_US}) END AS INT)
                    AS hour_of_epoch,
                {quality.earns_provider()} AS earns_provider, {quality.earns_user()} AS earns_user,
                coalesce(r.tier_no <> p.tier_no, FALSE) AS tier_differs,
                p.provision_no, ua.account_no, CASE WHEN ua.account_no IS NULL THEN r.user_id END AS user_id,
                r.endpoint_no, CAST({slot} AS SMALLINT) AS slot,
                CAST({quality.weight(self._policy)} AS SMALLINT) AS weight, r.bucket,
                CAST(r.fee_e8 AS DECIMAL(18, 0)) AS fee_e8
            FROM said r LEFT JOIN provisions p ON p.provision_id = r.provision_id
                LEFT JOIN accounts ua ON ua.account_id = r.user_id""",
        )

    def _find_repeats(self) -> None:
        timely = f"r.rule NOT IN ({_list(i for i, _ in self._early)}) AND r.id IS NOT NULL"
        self._db.create_doubled("doubled", "r", timely)
        self._db.create(
            "suspects",
            f"SELECT id FROM doubled UNION SELECT r.id FROM r WHERE r.id IN (SELECT id FROM known) AND {timely}",
        )
        self._db.create(
            "picked",
            f"""SELECT r.file_no, r.row_number, r.id, r.id_check, r.content, r.rule, s.id IS NOT NULL AND {timely} AS suspect
            FROM r LEFT JOIN suspects s ON s.id = r.id WHERE r.rule IN ({self._quarantining}) OR s.id IS NOT NULL""",
        )
        self._db.define_picked("rows_picked", "picked")
        listed = ", ".join(f"f.{name}" for name in USAGE_LAYOUT)
        self._db.create(
            "wide",
            f"""SELECT {listed}, d.id, d.id_check, d.content, d.rule, d.suspect FROM rows_picked f JOIN picked d
                ON d.file_no = f.file_no AND d.row_number = f.row_number""",
        )
        content = ", ".join(_CONTENT)
        self._db.create(
            "k",
            f"""WITH suspected AS (SELECT * FROM wide WHERE suspect), contents AS (
                SELECT request_id, count(*) AS contents FROM (SELECT DISTINCT {content} FROM suspected) d
                GROUP BY request_id
            ), counted AS (
                SELECT id, id_check, min(content) AS content FROM known WHERE id IN (SELECT id FROM suspected)
                GROUP BY id, id_check
            ), k AS (
                SELECT w.file_no, w.row_number, c.contents, row_number() OVER (
                        PARTITION BY w.request_id ORDER BY w.arrival_us, w.ingested_us NULLS LAST, w.file_no, w.row_number
                    ) AS place,
                    CASE WHEN b.id IS NULL THEN NULL WHEN b.content = w.content THEN 'same' ELSE 'other' END
                        AS counted_before
                FROM suspected w JOIN contents c ON c.request_id = w.request_id LEFT JOIN counted b
                    ON b.id = w.id AND b.id_check = w.id_check
            ) SELECT * FROM (
                SELECT file_no, row_number, {quality.first_rule(self._repeats, "NULL")} AS rule FROM k
            ) named WHERE rule IS NOT NULL""",
        )
        same = "earns_provider, earns_user, tier_differs, provision_no, account_no, user_id, endpoint_no, slot, bucket"
        self._db.create(
            "changed",
            f"""SELECT r.rule AS rule_before, k.rule, {same}, weight, fee_e8
            FROM r JOIN k ON k.file_no = r.file_no AND k.row_number = r.row_number""",
        )
        once, back = "CAST(1 AS SMALLINT) AS n", "CAST(-1 AS SMALLINT) AS n"
        self._db.define(
            "named",
            f"""SELECT rule, {once}, {same}, weight, fee_e8 FROM r
            UNION ALL SELECT rule_before AS rule, {back}, {same}, -weight AS weight, -fee_e8 AS fee_e8 FROM changed
            UNION ALL SELECT rule, {once}, {same}, weight, fee_e8 FROM changed""",
        )

    def _heartbeats(self, files: Sequence[FeedFile]) -> tuple[pl.DataFrame, Coverage, dict[str, int]]:
        start, end = self._epoch.start_us, self._epoch.end_us
        inside = f"probed_us >= {start} AND probed_us < {end}"
        self._db.create("probes", f"SELECT * FROM beats WHERE ({inside}) OR probed_us IS NULL")
        (odd,) = self._db.query(
            """SELECT count(*) FILTER (WHERE b.probed_us IS NULL OR b.provision_id IS NULL) AS not_readable,
                count(*) FILTER (WHERE b.provision_id IS NOT NULL AND p.provision_id IS NULL) AS unknown_provision,
                count(b.probed_us) AS inside
            FROM probes b LEFT JOIN provisions p ON p.provision_id = b.provision_id"""
        ).to_dicts()
        rows = int(odd.pop("inside"))
        frame = self._db.query(
            """SELECT provision_no, count(*) AS heartbeats, count(*) FILTER (WHERE ok) AS ok FROM (
                SELECT p.provision_no, b.probed_us, bool_and(coalesce(b.ok, FALSE)) AS ok
                FROM probes b JOIN provisions p ON p.provision_id = b.provision_id
                WHERE b.probed_us >= p.registered_us AND coalesce(b.probed_us < p.retired_us, TRUE)
                GROUP BY p.provision_no, b.probed_us
            ) once GROUP BY provision_no"""
        )
        frame = frame.with_columns(provision_id=self._subjects.provisions.gather(frame["provision_no"]))
        hours = self._db.query(
            f"SELECT DISTINCT whole(probed_us - {start}, {quality.HOUR_US}) FROM probes WHERE {inside}"
        )
        closed = self._number(f"SELECT max(probed_us) FROM beats WHERE probed_us <= day_end_us + {OVERRUN_US}")
        coverage = Coverage(frozenset(f.day_end_us for f in files), _numbers(hours), closed, rows)
        return HEARTBEATS_ROLLUP.arrange(frame), coverage, {k.replace("_", " "): int(v) for k, v in odd.items() if v}

    def _number(self, sql: str) -> int:
        return int(self._db.query(sql).item() or 0)

    def _usage_coverage(self, files: Sequence[FeedFile]) -> Coverage:
        # A feed is closed up to its newest arrival, of rows whose own times are credible: one absurd row closes
        # nothing. A feed without arrival times is whole where a day's file is there: it closes that day and its grace.
        credible = f"{quality.has_credible_times(self._policy)} AND r.ingested_us <= r.day_end_us + {OVERRUN_US}"
        grace = self._policy.rows.grace_minutes * quality.MINUTE_US
        end = self._epoch.end_us
        after = f"r.ingested_us >= {end} AND r.ingested_us < {end + quality.HOUR_US}"
        (found,) = self._db.query(
            f"""SELECT count(*) FILTER (WHERE {credible} AND {after}) AS arrived, count(r.ingested_us) AS timed,
                max(r.ingested_us) FILTER (WHERE {credible}) AS newest,
                max(r.arrival_us) FILTER (WHERE r.ingested_us IS NULL) AS newest_file
            FROM feed r"""
        ).to_dicts()
        closed = found["newest"]
        if closed is None:
            closed = 0 if found["newest_file"] is None else found["newest_file"] + grace
        hours = self._db.query("SELECT DISTINCT hour_of_epoch FROM r WHERE hour_of_epoch IS NOT NULL")
        days = frozenset(f.day_end_us for f in files)
        after_end = found["arrived"] > 0 or found["timed"] == 0
        return Coverage(days, _numbers(hours), int(closed), self._number("SELECT count(*) FROM r"), after_end=after_end)

    def _counts(self) -> Counts:
        found = self._db.query(
            f"""SELECT rule, CAST(sum(n) AS BIGINT) AS seen,
                CAST(coalesce(sum(n) FILTER (WHERE slot = {LATE}), 0) AS BIGINT) AS late,
                CAST(coalesce(sum(n) FILTER (WHERE tier_differs), 0) AS BIGINT) AS differing,
                CAST(sum(fee_e8) AS DECIMAL(38, 0)) AS fee_e8
            FROM named GROUP BY rule HAVING sum(n) <> 0"""
        ).to_dicts()
        by_rule = {int(row["rule"]): row for row in found}
        groups: dict[str, dict[str, int]] = {"quarantined": {}, "not_earning": {}, "repeated": {}}
        for index, rule in enumerate(self._rules):
            if index in by_rule:
                reasons = groups[rule.group]
                reasons[rule.reason] = reasons.get(rule.reason, 0) + int(by_rule[index]["seen"])
        earning = by_rule.get(-1, {"seen": 0, "differing": 0, "fee_e8": 0})
        return Counts(
            earning=int(earning["seen"]),
            not_earning=groups["not_earning"],
            repeated=groups["repeated"].get("repeated", 0),
            quarantined=groups["quarantined"],
            late=sum(int(row["late"]) for row in found),
            tier_mismatch=int(earning["differing"]),
            earning_fee_e8=int(earning["fee_e8"]),
        )

    def _reason(self) -> str:
        cases = " ".join(f"WHEN {i} THEN '{rule.reason}'" for i, rule in enumerate(self._rules))
        return f"CASE rule {cases} ELSE 'suspended' END"

    def _rollup(self) -> pl.DataFrame:
        """The sums under numbers, which sort and travel lightly, then under their names."""
        fee = {"fee_e8": "sum(fee_e8)"}
        both = fee | {"weight": "sum(weight)"}
        provider, user = "rule = -1 AND earns_provider", "rule = -1 AND earns_user AND account_no IS"
        late = {"slot": f"CASE WHEN slot = {LATE} THEN slot ELSE 0 END"}
        # Rows that earn one side nothing though no rule names them are suspended on that side.
        names = [rule.reason for rule in self._rules]
        same = " ".join(f"WHEN {i} THEN {names.index(name)}" for i, name in enumerate(names) if names.index(name) != i)
        reason = {"rule": f"CASE rule {same} WHEN -1 THEN {names.index('suspended')} ELSE rule END"}
        provision, account = {"subject_no": "provision_no"}, {"subject_no": "account_no"}
        of_endpoint = provision | {"endpoint_no": "endpoint_no"}
        full = f"slot <> {LATE} AND abs(weight) = {BP}"
        sums = [
            self._sum_up(1, provider, of_endpoint | {"slot": "slot"}, both),
            self._sum_up(0, f"{provider} AND {full}", of_endpoint | {"slot": "bucket"}),
            self._sum_up(3, f"{user} NOT NULL", account | late, fee),
            self._sum_up(3, f"{user} NULL", {"user_id": "user_id"} | late, fee),
            self._sum_up(2, "provision_no IS NOT NULL AND (rule >= 0 OR NOT earns_provider)", provision | reason),
            self._sum_up(4, "account_no IS NOT NULL AND (rule >= 0 OR NOT earns_user)", account | reason),
        ]
        self._db.drop("r")  # nothing more is asked of it, and names need room
        return ROLLUP.arrange(self._subjects.name(pl.concat(sums), self._rules, list(self._policy.endpoints)))

    def _sum_up(self, part: int, where: str, keys: dict[str, str], sums: dict[str, str] | None = None) -> pl.DataFrame:
        columns = (_NOTHING | keys | (sums or {})).items()
        listed = ", ".join(f"CAST({sql} AS {_SUMS[name]}) AS {name}" for name, sql in columns)
        return self._db.query(
            f"""SELECT CAST({part} AS INT) AS part, {listed}, CAST(sum(n) AS BIGINT) AS requests
            FROM named WHERE {where} GROUP BY {", ".join(keys.values())} HAVING sum(n) <> 0"""
        )

    def _shown(self, part: str, default: str) -> str:
        cases = " ".join(
            f"WHEN {i} THEN {rule.column if part == 'column' else rule.value}"
            for i, rule in enumerate(self._rules)
            if rule.group == "quarantined"
        )
        return f"CASE r.rule {cases} ELSE {default} END"

    def _check_room(self, counts: Counts) -> None:
        """Refuse a quarantine that is more than memory holds, by what is in it: its rows are published whole."""
        letters = " + ".join(
            f"coalesce(length(w.{name}), 0)" for name, kind in USAGE_LAYOUT.items() if kind == "STRING"
        )
        rows = sum(counts.quarantined.values())
        found = self._number(
            f"""SELECT sum({letters}) FROM wide w LEFT JOIN k ON k.file_no = w.file_no AND k.row_number = w.row_number
            WHERE coalesce(k.rule, w.rule) IN ({self._quarantining})"""
        )
        size = rows * _ROW_BYTES + found * _LETTER_BYTES
        if size > self._db.room:
            reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(counts.quarantined.items()))
            raise LimitError(
                f"epoch {self._epoch.number}: {rows:,} of {counts.rows:,} rows are quarantined ({reasons}), about "
                f"{size:,} bytes where {self._db.room:,} are left for them; mend the export, or raise memory"
            )

    def _quarantine(self) -> pl.DataFrame:
        """Every quarantined row with its content as text, and where it stood."""
        texts = ", ".join(f"CAST(r.{_TEXTS.get(n, n)} AS STRING) AS {n}" for n in USAGE_COLUMNS)
        times = [("started_at", "started"), ("ingested_at", "ingested")]
        cases = " ".join(f"WHEN '{name}' THEN coalesce(time_text(w.{x}_raw), w.{x}_given)" for name, x in times)
        shown_bad = f"coalesce(w.bad_given, CASE w.bad_column {cases} END)"
        return self._db.query(
            f"""WITH named_wide AS (
                SELECT w.*, k.rule AS repeat_rule FROM wide w
                LEFT JOIN k ON k.file_no = w.file_no AND k.row_number = w.row_number
            ), r AS (
                SELECT coalesce(w.repeat_rule, w.rule) AS rule, {", ".join(f"w.{c}" for c in USAGE_LAYOUT)},
                    coalesce(time_text(w.started_raw), w.started_given) AS started_text,
                    coalesce(time_text(w.ingested_raw), w.ingested_given) AS ingested_text,
                    coalesce(CAST(w.fee AS STRING), w.fee_given) AS fee_text, {shown_bad} AS bad_value
                FROM named_wide w WHERE coalesce(w.repeat_rule, w.rule) IN ({self._quarantining})
            ), said AS (SELECT r.*, {self._columns_said} FROM r)
            SELECT {texts}, {self._reason().replace("CASE rule", "CASE r.rule")} AS reason,
                {self._shown("column", "''")} AS shown_column, {self._shown("value", "NULL")} AS shown_value,
                r.file_no, r.row_number
            FROM said r LEFT JOIN accounts ua ON ua.account_id = r.user_id"""
        ).rename({"shown_column": "column", "shown_value": "value"})

    def _collect(
        self, files: Sequence[FeedFile], beats: pl.DataFrame, beat_coverage: Coverage, odd: dict[str, int]
    ) -> RollUp:
        counts = self._counts()
        self._check_room(counts)
        shown = self._quarantine()
        coverage = self._usage_coverage(files)
        counted = self._db.write_counted(
            f"""SELECT r.id, r.id_check, r.content
            FROM r LEFT JOIN k ON k.file_no = r.file_no AND k.row_number = r.row_number
            WHERE coalesce(k.rule, r.rule) NOT IN ({self._quarantining}) AND r.id IS NOT NULL"""
        )
        names = pl.Series([str(f.path) for f in files], dtype=pl.String)
        bad = shown.select(
            file=names.gather(shown["file_no"]),
            row="row_number",
            request_id="request_id",
            reason="reason",
            column="column",
        )
        return RollUp(
            rollup=self._rollup(),
            quarantine=QUARANTINE.arrange(shown.drop("file_no", "row_number")),
            heartbeats=beats,
            counts=counts,
            usage_coverage=coverage,
            heartbeat_coverage=beat_coverage,
            odd_heartbeats=odd,
            bad_rows=bad.sort(pl.all(), nulls_last=True),
            counted_ids=counted,
        )


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _numbers(frame: pl.DataFrame) -> frozenset[int]:
    return frozenset(int(value) for value in frame.to_series().to_list())
