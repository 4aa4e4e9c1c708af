"""Replays over whole nights: a provision that was registered late, what it would have earned, and who pays it when."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from rewards import corrections
from rewards.corrections import FILE, decode_records, list_records
from rewards.errors import Disagreement, GateRefused, InputError, RewardsError, StorageError, UsageError
from rewards.jobs.correct import CorrectionQueue, read_correction
from rewards.jobs.replay import ReplayPlan, apply_replay, plan_replay
from rewards.jobs.run import run_epochs
from rewards.jobs.settings import Settings
from rewards.jobs.verify import verify_epoch
from rewards.jobs.workspace import Workspace
from rewards.schemas import ACCOUNTS, ALLOCATIONS, CLAIMABLES, STATE
from rewards.units import PROVIDER
from tests.bundles.forge import CALENDAR, edit_table, reseal, settings_for
from tests.signed import CORRECTOR, STRANGER, copy_with_third_epoch, keep, sign, write_policies

LATE = "460bf2e5-9074-46d8-b765-d42b9b419837"
"""A provision with 20 sound rows in epoch 0, one of which has another status than 200."""


@dataclass(frozen=True)
class Network:
    """Inputs, policies and a data folder that a test may change."""

    folder: Path

    @property
    def inputs(self) -> Path:
        return self.folder / "inputs"

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.folder / "data")

    def run(self, *epochs: int, data: str = "data", **overrides: str) -> None:
        settings = replace(settings_for(self.inputs), policies=self.folder / "policies", overrides=overrides)
        for outcome in run_epochs(Workspace(self.folder / data), settings, epochs):
            assert verify_epoch(self.folder / data, outcome.bundle.manifest.epoch.number).agrees

    def open(self) -> CorrectionQueue:
        return CorrectionQueue(
            Settings(data=self.folder / "data", inputs=self.inputs, policies=self.folder / "policies", threads=1)
        )

    def plan(
        self, epoch: int = 0, text: str = "registered late", enters: int | None = None, most: int | None = None
    ) -> ReplayPlan:
        return plan_replay(self.open(), epoch, text, enters, most)

    def apply(self, epoch: int = 0, text: str = "registered late", most: int | None = None) -> ReplayPlan:
        plan = self.plan(epoch, text, most=most)
        added = apply_replay(self.open(), plan, CORRECTOR)
        assert [one.record.content for one in added] == [one.content for one in plan.corrections]
        return plan

    def mend(self) -> None:
        """The provision is in its table, as it should have been."""
        shutil.copy(self.inputs / "provisions.whole", self.inputs / "provisions.parquet")

    def edit(self, name: str, *changes: pl.Expr) -> None:
        edit_table(self.inputs / f"{name}.parquet", lambda frame: frame.with_columns(*changes))

    def copy_rows(self, hours: int = 0, to: str = "2026-01-07", count: int = 99) -> None:
        """Rows of the provision in epoch 0 are exported once more, arriving later."""
        files = [self.inputs / "usage_records" / f"2026-01-{day}.parquet" for day in ("07", "08")]
        arrived = pl.concat(pl.read_parquet(path) for path in files).filter(provision_id=LATE)
        rows = arrived.filter(pl.col("ingested_at") < CALENDAR.epoch(1).start + timedelta(minutes=30)).head(count)
        moved = rows.with_columns(pl.col("ingested_at") + timedelta(hours=hours))
        edit_table(self.inputs / "usage_records" / f"{to}.parquet", lambda frame: pl.concat([frame, moved]))

    def edit_rows(self, change: Callable[[pl.DataFrame], pl.DataFrame], *days: str) -> None:
        for day in days or ("07", "08"):
            edit_table(self.inputs / "usage_records" / f"2026-01-{day}.parquet", change)

    def amounts(self, epoch: int, data: str = "data") -> dict[tuple[int, str], int]:
        frame = Workspace(self.folder / data).store.read(epoch).frame(ALLOCATIONS)
        return {(pool, name): int(amount) for pool, name, amount in frame.select("pool", "account_id", "amount").rows()}

    def granted(self, epoch: int) -> dict[tuple[int, str], int]:
        """By (pool, wallet, or account without one), what is claimable or held."""
        bundle = self.workspace.store.read(epoch)
        held = bundle.frame(STATE).filter(kind="held").group_by("pool", "id").agg(pl.col("amount").sum())
        return {
            (pool, name): int(amount)
            for frame in (bundle.frame(CLAIMABLES), held)
            for pool, name, amount in frame.rows()
        }

    def digest(self, *folders: str) -> dict[str, str]:
        paths = [p for name in folders for p in sorted((self.folder / name).rglob("*"))]
        return {
            str(p.relative_to(self.folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in paths
            if p.is_file() and p.name not in (".lock", FILE, f".{FILE}.lock")
        }


@pytest.fixture(scope="module")
def begun(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Epoch 0 sealed while the provision was not registered."""
    folder = tmp_path_factory.mktemp("begun")
    copy_with_third_epoch(repository / "data" / "sample", folder / "inputs")
    write_policies(folder / "policies")
    table = folder / "inputs" / "provisions.parquet"
    shutil.copy(table, table.with_suffix(".whole"))
    edit_table(table, lambda frame: frame.filter(pl.col("provision_id") != LATE))
    Network(folder).run(0)
    return folder


@pytest.fixture
def network(begun: Path, tmp_path: Path) -> Network:
    shutil.copytree(begun, tmp_path / "network")
    return Network(tmp_path / "network")


def test_a_provision_registered_late_is_paid_the_next_night(network: Network) -> None:
    network.mend()
    before = network.digest("data", "inputs")
    plan = network.apply()
    assert network.digest("data", "inputs") == before
    assert list((network.folder / "data" / "scratch").iterdir()) == []
    assert (plan.earning, plan.not_earning) == (19, 1)
    then, now = plan.quarantined_then, dict(plan.quarantined_now)
    assert then["unknown_provision"] - now["unknown_provision"] == 20
    assert now == {**then, "unknown_provision": 2}
    assert list(plan.open_epochs) == [1, 2, 3]

    # What it would have been is what a night gives that had these inputs from the beginning.
    network.run(0, data="afresh")
    would, had = network.amounts(0, "afresh"), network.amounts(0)
    gains = {key: gain for key in {*would, *had} if (gain := would.get(key, 0) - had.get(key, 0)) > 0}
    assert {(one.pool, one.account_id): one.units for one in plan.corrections} == gains
    assert len(gains) > 20 and any(pool == PROVIDER for pool, _ in gains)
    lost = [one for one in plan.changes if one.change.difference < 0]
    assert lost and all(one.credit == 0 for one in lost)

    shutil.copytree(network.folder / "data", network.folder / "attester")
    network.run(1)
    network.run(1, data="attester")
    digests = [Workspace(network.folder / data).store.read(1).manifest.digest for data in ("data", "attester")]
    assert digests[0] == digests[1]
    accounts = network.workspace.store.read(1).frame(ACCOUNTS)
    wallets = {name: (wallet or "").lower() for name, wallet in accounts.select("account_id", "wallet_address").rows()}
    first, second, earned = network.granted(0), network.granted(1), network.amounts(1)
    names = {(pool, name): name for pool, name in gains}
    for pool, name in names:
        for place in (wallets.get(name, ""), name):
            if (pool, place) in second:
                sharing = {other for other, wallet in wallets.items() if place in (wallet, other)}
                grown = sum(earned.get((pool, other), 0) + gains.get((pool, other), 0) for other in sharing)
                assert second[pool, place] - first.get((pool, place), 0) == grown
    for pool in (1, 2):
        credited = sum(units for (of, _), units in gains.items() if of == pool)
        assert network.workspace.store.read(1).manifest.totals[pool].corrected == credited


def test_a_second_replay_credits_what_is_new_and_a_third_nothing(network: Network) -> None:
    rows = network.inputs / "usage_records" / "2026-01-07.parquet"
    whole = pl.read_parquet(rows)
    network.mend()
    some = whole.filter((pl.col("provision_id") != LATE) | (pl.col("started_at").dt.hour() < 12))
    some.write_parquet(rows)
    first = network.apply(text="the morning")
    assert 0 < first.earning < 19
    assert network.plan(text="the morning").corrections == []
    network.run(1)
    whole.write_parquet(rows)
    second = network.apply(text="the rest")
    assert (second.earning, second.enters) == (19, 2)
    paid: dict[tuple[int, str], int] = {}
    for one in (*first.corrections, *second.corrections):
        paid[one.pool, one.account_id] = paid.get((one.pool, one.account_id), 0) + one.units
    for change in second.changes:
        key = (change.change.pool, change.change.account_id)
        assert paid.get(key, 0) >= max(0, change.change.difference)
    again = network.apply(text="once more")
    assert again.corrections == [] and again.enters == 2
    assert all(one.credit == 0 for one in again.changes)


def test_rows_that_another_epoch_pays_are_not_paid_again(network: Network) -> None:
    """Exported once more, they are late rows of epoch 1, before it is sealed and after."""
    network.mend()
    network.copy_rows(hours=25, to="2026-01-08")
    for _ in range(2):
        plan = network.plan()
        assert (plan.earning, plan.corrections) == (0, [])
        assert plan.quarantined_now["unknown_provision"] == 2
        network.run(1)
    assert network.workspace.store.read(1).manifest.counts["late"] > 58


def test_rows_that_are_bad_in_two_epochs_are_paid_by_the_replay_of_the_first(network: Network) -> None:
    network.copy_rows(hours=25, to="2026-01-08")
    network.run(1, quality="a provision is not registered")
    network.mend()
    first, second = network.plan(0), network.plan(1)
    assert (first.earning, first.not_earning) == (19, 1)
    bad = [sum(plan.values()) for plan in (second.quarantined_then, second.quarantined_now)]
    assert bad[0] - bad[1] == second.earning + second.not_earning + 20
    early = pl.col("ingested_at") < CALENDAR.epoch(1).start + timedelta(minutes=30)
    for day in ("07", "08"):
        path = network.inputs / "usage_records" / f"2026-01-{day}.parquet"
        edit_table(path, lambda frame: frame.filter(~early | (pl.col("provision_id") != LATE)))
    alone = network.plan(1)
    assert alone.earning + alone.not_earning == second.earning + second.not_earning + 20


EARLY = pl.col("ingested_at") < CALENDAR.epoch(1).start + timedelta(minutes=30)
OF_LATE = pl.col("provision_id") == LATE


def damage(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of the provision as epoch 0 has them name an endpoint that there is none."""
    wrong = pl.lit("/none/") + pl.col("endpoint")
    return frame.with_columns(endpoint=pl.when(EARLY & OF_LATE).then(wrong).otherwise("endpoint"))


def repair(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("endpoint").str.strip_prefix("/none/"))


@pytest.fixture
def doubly_bad(network: Network) -> Network:
    """20 rows are in both sealed epochs: damaged in the first, of an unknown provision in both."""
    shutil.rmtree(network.folder / "data")
    network.copy_rows(hours=25, to="2026-01-08")
    network.edit_rows(damage)
    network.run(0)
    network.run(1, quality="a provision is not registered")
    network.mend()
    return network


def test_rows_that_the_replay_of_a_later_epoch_paid_are_not_paid_again(doubly_bad: Network) -> None:
    """Only the copies of the later epoch are sound at first; once they are credited, those of the first are mended."""
    network = doubly_bad
    assert network.plan(0).earning == 0
    later = network.apply(1)
    assert later.earning > 19
    network.edit_rows(repair)
    for _ in range(2):  # while the corrections wait, and once they entered
        plan = network.plan(0)
        assert (plan.earning, plan.not_earning, plan.corrections) == (0, 0, [])
        again = network.plan(1, text="again")
        assert (again.earning, again.not_earning, again.corrections) == (later.earning, later.not_earning, [])
        network.run(2)


def require_doubt(network: Network) -> None:
    for epoch, other in ((0, 1), (1, 0)):
        doubt = rf"20 rows count now in epoch {epoch} and in epoch {other}, .*rewards correct remove"
        with pytest.raises(UsageError, match=doubt):
            network.plan(epoch, text="again")


def test_which_of_two_replays_paid_a_row_of_both_is_not_guessed(doubly_bad: Network) -> None:
    """The way out: their copies leave the epoch that did not pay them. Here the later one has paid."""
    network = doubly_bad
    (account, *_) = [one.account_id for one in network.apply(1).corrections if one.pool == PROVIDER]
    other = sign(2, PROVIDER, account, 1, "replay of epoch 0: by hand")
    keep(network.inputs, *network.open().folder.corrections(), other)
    network.edit_rows(repair)
    require_doubt(network)
    network.edit_rows(lambda frame: frame.filter(~(EARLY & OF_LATE)))
    assert (network.plan(0).earning, network.plan(0).corrections) == (0, [])
    assert network.plan(1, text="again").corrections == []


def test_rows_that_the_first_of_two_replays_paid_leave_the_later_epoch(doubly_bad: Network) -> None:
    network = doubly_bad
    network.edit_rows(repair)
    first, second = network.apply(0), network.apply(1)
    assert first.earning == 19 and second.corrections
    require_doubt(network)
    rows = pl.concat(pl.read_parquet(path) for path in (network.inputs / "usage_records").glob("*.parquet"))
    ids = rows.filter(EARLY & OF_LATE)["request_id"].to_list()
    network.edit_rows(lambda frame: frame.filter(EARLY | ~pl.col("request_id").is_in(ids)))
    for epoch, paid in ((0, first), (1, second)):
        again = network.plan(epoch, text="again")
        assert (again.earning, again.corrections) == (paid.earning, [])


def test_a_sealed_neighbour_is_judged_by_its_own_tables(doubly_bad: Network) -> None:
    """Its rows count for it by what it knew of the provision, whatever the table says by now."""
    network = doubly_bad
    shutil.rmtree(network.folder / "data")
    misspelt = pl.when(OF_LATE).then(pl.lit("/none/") + pl.col("endpoint")).otherwise("endpoint")
    network.edit_rows(lambda frame: repair(frame).with_columns(endpoint=misspelt))
    network.run(0)
    network.run(1, quality="an endpoint is misspelt")
    network.edit_rows(repair)
    before = network.plan(1)
    moved = pl.when(OF_LATE).then(pl.col("registered_at") + timedelta(days=300)).otherwise("registered_at")
    network.edit("provisions", moved.alias("registered_at"))
    assert network.plan(0).earning == 19
    after = network.plan(1)
    assert (after.earning, after.not_earning) == (before.earning, before.not_earning)


def test_an_epoch_to_come_is_judged_by_its_own_policy(network: Network) -> None:
    """Rows that it will refuse are not left to it."""
    network.mend()
    network.copy_rows(hours=25, to="2026-01-08")
    assert network.plan().earning == 0
    old = (network.folder / "policies" / "2025-06-14.toml").read_text()
    renamed = old.replace('[endpoints."/', '[endpoints."/v2/')
    assert renamed != old
    (network.folder / "policies" / "2026-01-08.toml").write_text(renamed)
    plan = network.plan()
    assert (plan.earning, plan.not_earning) == (19, 1)


def test_equal_rows_of_one_epoch_are_paid_once(repository: Path, tmp_path: Path, begun: Path) -> None:
    """A repeat of a quarantined row was counted as such, and hides it neither here nor in the next epoch."""
    shutil.copytree(begun, tmp_path / "network")
    network = Network(tmp_path / "network")
    shutil.rmtree(network.folder / "data")
    network.copy_rows(hours=0, count=5)
    network.copy_rows(hours=25, to="2026-01-08", count=5)
    network.run(0, 1)
    assert network.workspace.store.read(0).manifest.counts["repeated"] > 14
    network.mend()
    plan = network.plan()
    assert (plan.earning, plan.not_earning) == (19, 1)
    assert plan.quarantined_now["unknown_provision"] == 2


def test_what_changed_since_without_being_wrong_changes_nothing(network: Network) -> None:
    """Wallets, suspensions, tiers, providers and links of today, and rows of later days."""
    providers = pl.read_parquet(network.inputs / "accounts.parquet").filter(kind="provider")["account_id"]
    sold = pl.when(pl.col("provider_id").is_in(providers.to_list())).then(pl.lit(providers[0])).otherwise("provider_id")
    network.edit("provisions", pl.lit("mariana_depth").alias("service_tier"), sold.alias("provider_id"))
    network.edit("provisions", pl.col("registered_at") + timedelta(days=300))
    network.edit(
        "accounts", pl.lit(None, pl.String).alias("wallet_address"), pl.lit(None, pl.String).alias("referred_by")
    )
    network.edit("accounts", pl.lit(None, pl.Datetime("us", "UTC")).alias("suspended_at"))
    plan = network.plan()
    assert (plan.changes, plan.corrections, plan.earning) == ([], [], 0)
    assert dict(plan.quarantined_now) == dict(plan.quarantined_then)


def test_an_id_without_an_account_waits_for_one(network: Network) -> None:
    network.mend()
    user = next(one.account_id for one in network.plan().corrections if one.pool == 2)
    accounts = pl.read_parquet(network.inputs / "accounts.parquet")
    accounts.filter(pl.col("account_id") != user).write_parquet(network.inputs / "accounts.parquet")
    plan = network.apply()
    (left,) = [one for one in plan.changes if one.change.account_id == user]
    assert (left.has_account, left.credit) == (False, 0) and left.change.difference > 0
    accounts.write_parquet(network.inputs / "accounts.parquet")
    (late,) = network.apply(text="the account is there").corrections
    assert (late.account_id, late.units) == (user, left.change.difference)


# What cannot be


def drop_provision(network: Network) -> None:
    """Rows that were counted stay so, but a new one is worse than none."""
    network.copy_rows(to="2026-01-07", count=3)
    edit_table(
        network.inputs / "usage_records" / "2026-01-07.parquet",
        lambda frame: frame.with_columns(
            request_id=pl.when(frame.is_duplicated()).then(pl.col("request_id") + pl.int_range(pl.len()).cast(pl.String))
            .otherwise("request_id")
        ),
    )  # fmt: skip


def change_counted(network: Network) -> None:
    network.mend()
    edit_table(
        network.inputs / "usage_records" / "2026-01-07.parquet",
        lambda frame: frame.with_columns(output_tokens=pl.col("output_tokens") + 1),
    )


def lose_day(network: Network) -> None:
    network.mend()
    (network.inputs / "usage_records" / "2026-01-07.parquet").unlink()


def lose_some_counted(network: Network) -> None:
    """Fewer than the epoch had repeats."""
    network.mend()
    network.edit_rows(lambda frame: frame.filter(~OF_LATE).tail(-3).vstack(frame.filter(OF_LATE)), "07")


def add_rows(network: Network) -> None:
    """Three that were there neither counted nor quarantined, of a provision that was always known."""
    network.mend()
    network.edit_rows(
        lambda frame: pl.concat([frame, frame.filter(~OF_LATE).head(3).with_columns(pl.col("request_id") + "-new")]),
        "07",
    )


def lose_heartbeats(network: Network) -> None:
    network.mend()
    (network.inputs / "heartbeats" / "2026-01-07.parquet").unlink()


def spoil_bundle(network: Network) -> None:
    path = network.folder / "data" / "epochs" / "0" / "scores.parquet"
    path.write_bytes(path.read_bytes() + b"x")


def forge_bundle(network: Network) -> None:
    folder = network.folder / "data" / "epochs" / "0"
    reseal(folder, {}, lambda manifest: manifest["counts"].update(late=1))


def lose_bundle(network: Network) -> None:
    shutil.rmtree(network.folder / "data" / "epochs" / "0")


def lose_provenance(network: Network) -> None:
    (network.folder / "data" / "provenance" / "0" / "counted_ids.parquet").unlink()


def change_engine(network: Network) -> None:
    path = network.folder / "data" / "provenance" / "0" / "counted_ids.parquet"
    pl.read_parquet(path).write_parquet(path)


BROKEN: dict[str, tuple[Callable[[Network], None], type[RewardsError], str]] = {
    "more is quarantined": (drop_provision, InputError, r"now quarantine 46 rows .*unknown_provision 22 then, 25 now"),
    "counted rows changed": (change_counted, InputError, r"conflicting_repeat 2 then, \d{4} now"),
    "the day is not there": (lose_day, InputError, r"hold \d+ of the 4062 rows that epoch 0 counted or found repeated"),
    "some counted rows are not there": (lose_some_counted, InputError, r"hold 4059 of the 4062 rows that epoch 0 counted"),
    "rows came that were not there": (add_rows, InputError, r"hold 4\d{3} rows of epoch 0, which had 4\d{3} when .*at least 3"),
    "heartbeats are not there": (lose_heartbeats, InputError, r"heartbeats holds 0 of provision '.*' in epoch 0, \d+ when"),
    "a file of the bundle differs": (spoil_bundle, Disagreement, r"scores.parquet has SHA-256"),
    "the bundle is another": (forge_bundle, Disagreement, r"epoch 0 was sealed as"),
    "the bundle is gone": (lose_bundle, InputError, r"no bundle of epoch 0"),
    "what was counted is unknown": (lose_provenance, InputError, r"counted_ids.parquet is missing"),
    "another engine counted": (change_engine, InputError, r"another engine or version"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_no_replay_of_what_is_not_whole(network: Network, name: str) -> None:
    spoil, kind, message = BROKEN[name]
    spoil(network)
    with pytest.raises(kind, match=message) as refused:
        network.plan()
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 600
    assert not (network.inputs / FILE).exists()


def test_only_sealed_epochs_are_replayed_into_open_ones(network: Network) -> None:
    with pytest.raises(UsageError, match=r"epoch 1 is not sealed here.*sealed: 0"):
        network.plan(1)
    with pytest.raises(UsageError, match="epoch 0 is sealed or before the first"):
        network.plan(0, enters=0)
    with pytest.raises(UsageError, match=r"reason: .*200"):
        network.plan(0, text="x" * 190)
    with pytest.raises(UsageError, match="reason: "):
        network.plan(0, text="")


def test_two_replays_at_once_credit_once(network: Network) -> None:
    network.mend()
    plans = [network.plan(text=text) for text in ("one", "other")]
    assert plans[0].corrections and len(plans[0].corrections) == len(plans[1].corrections)
    assert len(apply_replay(network.open(), plans[0], CORRECTOR)) == len(plans[0].corrections)
    assert apply_replay(network.open(), plans[1], CORRECTOR) == []


def test_a_plan_of_an_epoch_that_was_computed_again_is_void(network: Network) -> None:
    network.mend()
    plan = replace(network.plan(), manifest="0" * 64)
    with pytest.raises(Disagreement, match="replay it again"):
        apply_replay(network.open(), plan, CORRECTOR)


def test_a_waiting_replay_that_would_be_refused_comes_first(network: Network) -> None:
    network.mend()
    account = network.plan().corrections[0].account_id
    keep(network.inputs, sign(1, 1, account, 5, "replay of epoch 0: x", signer=STRANGER))
    with pytest.raises(UsageError, match=r"replays epoch 0 and is refused .*rewards correct remove"):
        network.plan()


def test_a_replay_that_missed_its_epoch_comes_first(network: Network) -> None:
    """It would enter where that epoch is revoked and computed again."""
    network.mend()
    account = network.plan().corrections[0].account_id
    keep(network.inputs, sign(0, PROVIDER, account, 5, "replay of epoch 0: x"))
    with pytest.raises(UsageError, match=r"replays epoch 0 and is missed .*rewards correct remove"):
        network.plan()
    (missed,) = network.open().list_all()
    network.open().remove(missed.id)
    assert network.plan().corrections


def test_no_replay_while_a_later_epoch_is_not_here(network: Network) -> None:
    """Replays may have entered it."""
    network.mend()
    plan = network.plan(enters=9)
    network.run(1)
    network.run(2)
    shutil.move(network.folder / "data" / "epochs" / "1", network.folder / "away")
    for attempt in (network.plan, lambda: apply_replay(network.open(), plan, CORRECTOR)):
        with pytest.raises(InputError, match=r"epoch 1 is sealed and its bundle is not here.*restore"):
            attempt()


def test_more_than_the_file_holds_is_foreseen_and_credited_in_parts(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.mend()
    whole = network.plan()
    monkeypatch.setattr(corrections, "MAX_RECORDS", len(whole.corrections) - 1)
    (finding,) = network.plan().findings
    assert "--most" in str(finding) and str(len(whole.corrections) - 1) in str(finding)
    with pytest.raises(InputError, match="the limit is"):
        apply_replay(network.open(), whole, CORRECTOR)
    monkeypatch.undo()
    monkeypatch.setattr(corrections, "MAX_BYTES", 5000)
    assert ["--most" in str(finding) for finding in network.plan().findings] == [True]
    assert network.plan(most=5).findings == []
    monkeypatch.undo()

    first = network.apply(most=5)
    ranked = sorted(whole.corrections, key=lambda one: (-one.units, one.pool, one.account_id))
    assert sorted(one.content for one in first.corrections) == sorted(one.content for one in ranked[:5])
    assert [one.waits for one in first.changes if one.credit].count(False) == 5
    rest = network.apply()
    assert sorted(one.content for one in rest.corrections) == sorted(one.content for one in ranked[5:])
    assert network.plan().corrections == []


def test_two_replays_of_the_largest_at_once_credit_them_once(network: Network) -> None:
    network.mend()
    plans = [network.plan(text=text, most=5) for text in ("one", "other")]
    assert len(apply_replay(network.open(), plans[0], CORRECTOR)) == 5
    assert apply_replay(network.open(), plans[1], CORRECTOR) == []


def test_a_plan_from_before_other_replays_is_void(network: Network) -> None:
    """Which epoch pays a row that is in two depends on which was replayed."""
    network.mend()
    plan = network.plan()
    account = plan.corrections[0].account_id
    keep(network.inputs, sign(1, plan.corrections[0].pool, account, 5, "replay of epoch 1: x"))
    with pytest.raises(UsageError, match="replay it again"):
        apply_replay(network.open(), plan, CORRECTOR)


def test_one_reason_for_two_amounts_is_told_before(network: Network) -> None:
    network.mend()
    plan = network.apply()
    first = plan.corrections[0]
    queue = network.open()
    records = [r for r in decode_records((network.inputs / FILE).read_bytes(), FILE) if r.content != first.content]
    less = read_correction(1, first.pool, first.account_id, first.units - 1, first.reason)
    keep(network.inputs, *records)
    queue.add(less, CORRECTOR)
    with pytest.raises(UsageError, match="give another --reason"):
        network.plan()
    (rest,) = network.apply(text="the last unit").corrections
    assert (rest.account_id, rest.units) == (first.account_id, 1)


def test_all_are_kept_or_none(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    network.mend()
    plan = network.plan()
    with pytest.raises(GateRefused, match="whom the policy does not name"):
        apply_replay(network.open(), plan, STRANGER)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(StorageError, match="No space left"):
            apply_replay(network.open(), plan, CORRECTOR)
    assert not (network.inputs / FILE).exists()


def test_what_passes_the_policy_s_limit_is_foreseen(network: Network) -> None:
    network.mend()
    account = network.plan().corrections[0].account_id
    keep(network.inputs, sign(1, 1, account, 1000 * 10**18, "all that there is"))
    plan = network.plan()
    assert ["epoch_limit_cxpt" in str(finding) for finding in plan.findings] == [True]
    with pytest.raises(GateRefused, match="epoch_limit_cxpt"):
        apply_replay(network.open(), plan, CORRECTOR)
    assert network.plan(enters=2).findings == []


def test_an_epoch_that_counts_them_itself_makes_a_replay_too_much(network: Network) -> None:
    """As after a revocation: computed again from mended inputs, the epoch pays what a correction still promises."""
    network.mend()
    made = network.apply().corrections
    shutil.rmtree(network.folder / "data")
    network.run(0)
    plan = network.plan()
    assert plan.corrections == []
    over = {
        (one.change.pool, one.change.account_id) for one in plan.changes if one.credited_before > one.change.difference
    }
    assert over == {(one.pool, one.account_id) for one in made}


def test_the_bundle_names_the_epoch_that_was_replayed(network: Network) -> None:
    network.mend()
    plan = network.apply()
    network.run(1)
    records = list_records(network.workspace.store.read(1).corrections())
    assert {record.reason for record in records} == {"replay of epoch 0: registered late"}
    assert sorted(r.content for r in records) == sorted(c.content for c in plan.corrections)
    assert json.loads(network.workspace.store.read(1).content(FILE))[0]["signer"] == CORRECTOR.address
