"""The default engine: DuckDB reads an epoch's rows, names each by the row rules and rolls them up, out of core."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb
import polars as pl

from rewards import quality
from rewards.engines.readers import find_unreadable, lay_out, one_line, quote
from rewards.epoch import Epoch
from rewards.errors import InputError, LimitError
from rewards.policy import BP, Policy
from rewards.ports import Counts, Coverage, FeedFile, RollUp
from rewards.schemas import HEARTBEAT_COLUMNS, HEARTBEATS_ROLLUP, QUARANTINE, ROLLUP, USAGE_COLUMNS

OVERRUN_US = 24 * quality.HOUR_US
"""How far past the end of its day a file's times are believed: the newest file may go on into the next day."""

T = TypeVar("T")
_TEXTS = {"started_at": "started_text", "ingested_at": "ingested_text", "fee_cxpt": "fee_text"}
_CONTENT = [n for n in USAGE_COLUMNS if n != "ingested_at"]


class DuckDBEngine:
    """Rolls an epoch up with DuckDB; `memory` bounds what stays in RAM ("4GB"), the rest spills to `scratch`."""

    def __init__(
        self,
        scratch: Path,
        memory: str = "4GB",
        threads: int | None = None,
        on_stage: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._scratch, self._memory, self._threads, self._on_stage = scratch, memory, threads, on_stage

    def roll_up(
        self,
        usage: Sequence[FeedFile],
        heartbeats: Sequence[FeedFile],
        accounts: pl.DataFrame,
        provisions: pl.DataFrame,
        counted_before: Sequence[Path],
        epoch: Epoch,
        policy: Policy,
    ) -> RollUp:
        """See `rewards.ports.Engine.roll_up`."""
        for name, files in (("usage", usage), ("heartbeats", heartbeats)):
            if not files:
                raise InputError(
                    f"epoch {epoch.number}: no file of {name} to read; give the days of the epoch and the next"
                )
        self._scratch.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as connection:
            connection.execute(f"SET TimeZone = 'UTC'; SET memory_limit = {quote(self._memory)}")
            connection.execute(f"SET temp_directory = {quote(str(self._scratch))}; SET enable_progress_bar = false")
            if self._threads:
                connection.execute(f"SET threads = {self._threads}")
            try:
                return _Night(connection, epoch, policy, self._on_stage).run(
                    usage, heartbeats, accounts, provisions, counted_before
                )
            except duckdb.OutOfRangeException as error:
                raise LimitError(f"epoch {epoch.number}: a sum of usage passes its bound: {one_line(error)}") from error
            except duckdb.OutOfMemoryException as error:
                raise LimitError(
                    f"epoch {epoch.number}: the roll-up needs more than memory {self._memory}; raise it: {one_line(error)}"
                ) from error
            except duckdb.Error as error:
                raise InputError(f"epoch {epoch.number}: the input cannot be read: {one_line(error)}") from error


class _Night:
    """One roll-up on one connection: the steps in order, each a table that the next reads."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, epoch: Epoch, policy: Policy, on_stage: Callable[[str], None]
    ) -> None:
        self._db, self._epoch, self._policy, self._on_stage = connection, epoch, policy, on_stage
        self._rules = quality.row_rules(policy)

    def run(
        self,
        usage: Sequence[FeedFile],
        heartbeats: Sequence[FeedFile],
        accounts: pl.DataFrame,
        provisions: pl.DataFrame,
        counted_before: Sequence[Path],
    ) -> RollUp:
        self._stage("read usage", lambda: self._read_usage(usage, accounts, provisions))
        self._stage("find repeats", lambda: self._find_repeats(counted_before))
        self._stage("name rows", self._name_rows)
        beats, beat_coverage, odd = self._stage("read heartbeats", lambda: self._heartbeats(heartbeats))
        return self._stage("roll up", lambda: self._collect(usage, beats, beat_coverage, odd))

    def _stage(self, name: str, step: Callable[[], T]) -> T:
        self._on_stage(name)
        return step()

    def _frame(self, sql: str) -> pl.DataFrame:
        return pl.DataFrame(self._db.sql(sql).to_arrow_table())

    def _number(self, sql: str) -> int:
        return int(self._db.execute(sql).fetchall()[0][0] or 0)

    @contextmanager
    def _naming_the_file(self, files: Sequence[FeedFile], laid_out: Sequence[str]) -> Iterator[None]:
        """A read over all files fails without saying which of them is at fault: look for it then, not before."""
        try:
            yield
        except duckdb.Error as error:
            raise find_unreadable(self._db, files, laid_out) or error from error

    def _read_usage(self, files: Sequence[FeedFile], accounts: pl.DataFrame, provisions: pl.DataFrame) -> None:
        parts = []
        for file in files:
            rows = lay_out(self._db, file, USAGE_COLUMNS, frozenset({"ingested_at"}))
            columns = f"coalesce(ingested_us, {file.day_end_us}) AS arrival_us, {file.day_end_us} AS day_end_us"
            parts.append(f"SELECT *, {columns} FROM ({rows})")
        self._db.execute("CREATE TEMP VIEW feed AS " + " UNION ALL ".join(parts))
        placed = quality.placed_us(self._policy)
        with self._naming_the_file(files, parts):
            self._db.execute(
                f"CREATE TEMP TABLE r AS SELECT *, row_number() OVER () AS key FROM feed r "
                f"WHERE {placed} >= {self._epoch.start_us} AND {placed} < {self._epoch.end_us}"
            )
        self._db.register("accounts_in", accounts.to_arrow())
        self._db.register("provisions_in", provisions.to_arrow())
        self._db.execute(
            "CREATE TEMP TABLE accounts AS "
            "SELECT account_id, kind, wallet, epoch_us(suspended_at) AS suspended_us FROM accounts_in"
        )
        self._db.execute(
            "CREATE TEMP TABLE provisions AS SELECT provision_id, provider_id, service_tier, "
            "epoch_us(registered_at) AS registered_us, epoch_us(retired_at) AS retired_us FROM provisions_in"
        )
        self._db.execute("CREATE TEMP TABLE rates (endpoint VARCHAR, service_tier VARCHAR, reference_fee_e8 BIGINT)")
        rates = [
            (endpoint, tier, fee)
            for endpoint, numbers in self._policy.endpoints.items()
            for tier, fee in numbers.reference_fee_e8.items()
        ]
        self._db.executemany("INSERT INTO rates VALUES (?, ?, ?)", rates)

    def _find_repeats(self, counted_before: Sequence[Path]) -> None:
        early = quality.first_rule(quality.early_rules(self._policy))
        content = [_column(n) for n in _CONTENT]
        self._db.execute(
            f"CREATE TEMP TABLE candidates AS SELECT key, request_id FROM r "
            f"WHERE ({early}) = -1 AND request_id IS NOT NULL AND request_id <> ''"
        )
        self._db.execute(
            "CREATE TEMP TABLE doubled AS SELECT r.* FROM r SEMI JOIN candidates USING (key) WHERE request_id IN "
            "(SELECT request_id FROM candidates GROUP BY request_id HAVING count(*) > 1)"
        )
        known = "SELECT NULL::BLOB AS id, NULL::BLOB AS content WHERE FALSE"
        if counted_before:
            listed = ", ".join(quote(str(path)) for path in counted_before)
            known = f"SELECT DISTINCT id, content FROM read_parquet([{listed}])"
        self._db.execute(
            f"""CREATE TEMP TABLE seen AS
            SELECT c.key, CASE WHEN {_content_digest("r")} = known.content THEN 'same' ELSE 'other' END AS
            counted_before FROM candidates c JOIN ({known}) known ON known.id = {_digest("c.request_id")} JOIN r USING
            (key)"""
        )
        self._db.execute(
            f"""CREATE TEMP TABLE k AS
            WITH contents AS (
                SELECT request_id, count(*) AS contents FROM (SELECT DISTINCT {", ".join(content)} FROM doubled) GROUP
                BY request_id
            ), placed AS (
                SELECT key, request_id, row_number() OVER (
                    PARTITION BY request_id ORDER BY arrival_us, ingested_us NULLS LAST, file, row_number
                ) AS place FROM doubled
            )
            SELECT coalesce(placed.key, seen.key) AS key, coalesce(contents, 1) AS contents, coalesce(place, 1) AS
            place,
                   counted_before
            FROM placed JOIN contents USING (request_id) FULL JOIN seen ON seen.key = placed.key"""
        )

    def _name_rows(self) -> None:
        self._db.execute(
            f"""CREATE TEMP TABLE named AS SELECT r.key, {quality.first_rule(self._rules)} AS rule,
                {quality.is_late(self._epoch)} AS late,
                {quality.earns_provider()} AS earns_provider, {quality.earns_user()} AS earns_user,
                r.service_tier <> p.service_tier AS tier_differs, p.service_tier AS tier,
                p.provision_id AS known_provision, ua.account_id AS known_user
            FROM r LEFT JOIN k ON k.key = r.key
                LEFT JOIN provisions p ON p.provision_id = r.provision_id
                LEFT JOIN accounts pa ON pa.account_id = p.provider_id
                LEFT JOIN accounts ua ON ua.account_id = r.user_id"""
        )
        self._db.execute(
            f"""CREATE TEMP TABLE earning AS SELECT r.key, r.provision_id, r.user_id, r.endpoint, r.fee_e8, late,
                earns_provider, earns_user, tier_differs, {quality.hour_of_day()} AS hour,
                CAST({quality.weight()} AS BIGINT) AS weight, {quality.latency_bucket(self._policy)} AS bucket
            FROM named JOIN r USING (key) JOIN rates q ON q.endpoint = r.endpoint AND q.service_tier = named.tier
            WHERE rule = -1"""
        )

    def _heartbeats(self, files: Sequence[FeedFile]) -> tuple[pl.DataFrame, Coverage, dict[str, int]]:
        parts = [
            f"SELECT *, {file.day_end_us} AS day_end_us FROM ({lay_out(self._db, file, HEARTBEAT_COLUMNS)})"
            for file in files
        ]
        self._db.execute("CREATE TEMP VIEW beats AS " + " UNION ALL ".join(parts))
        inside = f"probed_us >= {self._epoch.start_us} AND probed_us < {self._epoch.end_us}"
        with self._naming_the_file(files, parts):
            self._db.execute(f"CREATE TEMP TABLE probes AS SELECT * FROM beats WHERE {inside} OR probed_us IS NULL")
        odd = {
            "not readable": self._number("SELECT count(*) FROM probes WHERE probed_us IS NULL OR provision_id IS NULL"),
            "unknown provision": self._number(
                "SELECT count(*) FROM probes b ANTI JOIN provisions p USING (provision_id) WHERE b.provision_id IS NOT NULL"
            ),
        }
        frame = self._frame(
            """SELECT provision_id, count(*) AS heartbeats, CAST(count(*) FILTER (ok) AS BIGINT) AS ok FROM (
                SELECT provision_id, probed_us, bool_and(coalesce(ok, FALSE)) AS ok
                FROM probes JOIN provisions USING (provision_id)
                WHERE probed_us >= registered_us AND coalesce(probed_us < retired_us, TRUE)
                GROUP BY provision_id, probed_us
            ) GROUP BY provision_id"""
        )
        rows = self._number(f"SELECT count(*) FROM probes WHERE {inside}")
        hours = self._hours("probes", "probed_us", inside)
        closed = self._number(f"SELECT max(probed_us) FROM beats WHERE probed_us <= day_end_us + {OVERRUN_US}")
        coverage = Coverage(frozenset(f.day_end_us for f in files), hours, closed, rows)
        return HEARTBEATS_ROLLUP.arrange(frame), coverage, {k: v for k, v in odd.items() if v}

    def _hours(self, table: str, column: str, condition: str) -> frozenset[int]:
        found = self._db.execute(
            f"SELECT DISTINCT ({column} - {self._epoch.start_us}) // {quality.HOUR_US} FROM {table} WHERE {condition}"
        ).fetchall()
        return frozenset(int(row[0]) for row in found)

    def _usage_coverage(self, files: Sequence[FeedFile]) -> Coverage:
        inside = f"started_us >= {self._epoch.start_us} AND started_us < {self._epoch.end_us}"
        # A feed is closed up to its newest arrival, of rows whose own times are credible: one absurd row closes
        # nothing. A feed without arrival times is whole where a day's file is there: it closes that day and its grace.
        early = quality.first_rule(quality.early_rules(self._policy))
        credible = f"({early}) = -1 AND ingested_us <= day_end_us + {OVERRUN_US}"
        grace = self._policy.rows.grace_minutes * quality.MINUTE_US
        after = f"ingested_us >= {self._epoch.end_us} AND ingested_us < {self._epoch.end_us + quality.HOUR_US}"
        arrived = self._number(
            f"SELECT count(*) FILTER ({credible} AND {after}) + CAST(count(ingested_us) = 0 AS INTEGER) FROM feed r"
        )
        closed = self._number(
            f"SELECT coalesce(max(ingested_us) FILTER ({credible}), "
            f"max(arrival_us) FILTER (ingested_us IS NULL) + {grace}) FROM feed r"
        )
        return Coverage(
            frozenset(f.day_end_us for f in files),
            self._hours("r", "started_us", inside),
            closed,
            self._number("SELECT count(*) FROM r"),
            after_end=arrived > 0,
        )

    def _counts(self) -> Counts:
        by_rule = {
            int(rule): int(n)
            for rule, n in self._db.execute("SELECT rule, count(*) FROM named GROUP BY rule").fetchall()
        }
        groups: dict[str, dict[str, int]] = {"quarantined": {}, "not_earning": {}, "repeated": {}}
        for index, rule in enumerate(self._rules):
            if index in by_rule:
                reasons = groups[rule.group]
                reasons[rule.reason] = reasons.get(rule.reason, 0) + by_rule[index]
        return Counts(
            earning=by_rule.get(-1, 0),
            not_earning=groups["not_earning"],
            repeated=groups["repeated"].get("repeated", 0),
            quarantined=groups["quarantined"],
            late=self._number("SELECT count(*) FROM named WHERE late"),
            tier_mismatch=self._number("SELECT count(*) FROM earning WHERE tier_differs"),
            earning_fee_e8=self._number("SELECT sum(fee_e8) FROM earning"),
        )

    def _reason(self) -> str:
        cases = " ".join(f"WHEN {i} THEN {quote(rule.reason)}" for i, rule in enumerate(self._rules))
        return f"CASE rule {cases} ELSE 'suspended' END"

    def _rollup(self) -> pl.DataFrame:
        reason = self._reason()
        columns = "part, subject_id, endpoint, CAST(slot AS SMALLINT) AS slot, reason, requests"
        return ROLLUP.arrange(
            self._frame(
                f"""SELECT {columns}, CAST(weight AS BIGINT) AS weight, CAST(fee_e8 AS DECIMAL(38, 0)) AS fee_e8 FROM (
                SELECT 'provision' AS part, provision_id AS subject_id, endpoint, CASE WHEN late THEN -1 ELSE hour END
                AS slot,
                    '' AS reason, count(*) AS requests, sum(weight) AS weight, sum(fee_e8) AS fee_e8
                FROM earning WHERE earns_provider GROUP BY ALL
                UNION ALL SELECT 'latency', provision_id, endpoint, bucket, '', count(*), 0, 0
                FROM earning WHERE earns_provider AND NOT late AND weight = {BP} GROUP BY ALL
                UNION ALL SELECT 'user', user_id, '', CASE WHEN late THEN -1 ELSE 0 END AS slot, '', count(*), 0,
                sum(fee_e8) FROM earning WHERE earns_user GROUP BY ALL
                UNION ALL SELECT 'provision_not_counted', known_provision, '', 0, {reason} AS why, count(*), 0, 0
                FROM named WHERE known_provision IS NOT NULL AND (rule >= 0 OR NOT earns_provider) GROUP BY ALL
                UNION ALL SELECT 'user_not_counted', known_user, '', 0, {reason} AS why, count(*), 0, 0
                FROM named WHERE known_user IS NOT NULL AND (rule >= 0 OR NOT earns_user) GROUP BY ALL
            )"""
            )
        )

    def _shown(self, part: str, default: str) -> str:
        cases = " ".join(
            f"WHEN {i} THEN {rule.column if part == 'column' else rule.value}"
            for i, rule in enumerate(self._rules)
            if rule.group == "quarantined"
        )
        return f"CASE rule {cases} ELSE {default} END"

    def _collect(
        self, files: Sequence[FeedFile], beats: pl.DataFrame, beat_coverage: Coverage, odd: dict[str, int]
    ) -> RollUp:
        bad = [str(i) for i, rule in enumerate(self._rules) if rule.group == "quarantined"]
        texts = ", ".join(f'CAST(r.{_TEXTS.get(n, n)} AS VARCHAR) AS "{n}"' for n in USAGE_COLUMNS)
        self._db.execute(
            f"""CREATE TEMP TABLE quarantine AS SELECT {texts}, {self._reason()} AS reason,
                {self._shown("column", "''")} AS "column", {self._shown("value", "NULL")} AS "value",
                r.file AS file, r.row_number AS row
            FROM named JOIN r USING (key) LEFT JOIN accounts ua ON ua.account_id = r.user_id
                LEFT JOIN provisions p ON p.provision_id = r.provision_id LEFT JOIN accounts pa ON pa.account_id =
                p.provider_id
            WHERE rule IN ({", ".join(bad)})"""
        )
        counted = [str(i) for i, rule in enumerate(self._rules) if rule.group != "quarantined"]
        ids = f"SELECT DISTINCT {_digest('r.request_id')} AS id, {_content_digest('r')} AS content"
        return RollUp(
            rollup=self._rollup(),
            quarantine=QUARANTINE.arrange(self._frame('SELECT * EXCLUDE (file, "row") FROM quarantine')),
            heartbeats=beats,
            counts=self._counts(),
            usage_coverage=self._usage_coverage(files),
            heartbeat_coverage=beat_coverage,
            odd_heartbeats=odd,
            bad_rows=self._frame('SELECT file, "row", request_id, reason, "column" FROM quarantine ORDER BY ALL'),
            counted_ids=self._frame(
                f"{ids} FROM named JOIN r USING (key) WHERE rule IN (-1, {', '.join(counted)}) ORDER BY ALL"
            ),
        )


def _column(name: str) -> str:
    """The laid-out column that a row's content is compared by."""
    return {"started_at": "started_us", "fee_cxpt": "fee_e8"}.get(name, name)


def _digest(sql: str) -> str:
    return f"unhex(left(sha256({sql}), 32))"


def _content_digest(alias: str) -> str:
    """128 bits over the content of a row; every value carries its length, so that no two contents read the same."""
    parts = []
    for name in _CONTENT:
        text = f"CAST({alias}.{_column(name)} AS VARCHAR)"
        parts.append(f"coalesce(CAST(length({text}) AS VARCHAR) || ':' || {text}, '-')")
    return _digest(" || ".join(parts))
