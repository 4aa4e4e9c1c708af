"""A gate of judgement that refuses, passed with a reason: sealed, recorded, agreed to by an attester, verified; killed on
the way, forgotten after a revocation; and what no reason passes."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from rewards.bundles.store import BundleStore
from rewards.errors import Disagreement, GateRefused, InputError, UsageError
from rewards.jobs.attest import attest_epoch
from rewards.jobs.judgement import read_volumes
from rewards.jobs.night import bind_run
from rewards.jobs.prepare import RunSettings
from rewards.jobs.run import EpochOutcome, run_epochs
from rewards.jobs.settings import Settings
from rewards.jobs.status import read_status
from rewards.jobs.verify import verify_epoch
from rewards.jobs.workspace import Workspace, now
from rewards.ledger.store import OVERRIDE, Ledger
from rewards.schemas import ALLOCATIONS
from tests.bundles.forge import CALENDAR, POLICIES, edit_table, reseal, seal_sample, settings_for
from tests.jobs.test_publish import Crash, Net, _deploy

REASON = "a gift of 1 CXPT, not a fee; told by its payer"
POLICY = "2025-06-14.toml"


def _run(workspace: Workspace, settings: RunSettings, number: int, **overrides: str) -> EpochOutcome:
    [outcome] = run_epochs(workspace, replace(settings, overrides=overrides), [number])
    return outcome


def _published(workspace: Workspace) -> dict[str, bytes]:
    folder = workspace.data / "epochs"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def sample(repository: Path) -> Path:
    return repository / "data" / "sample"


@pytest.fixture(scope="module")
def unfunded(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> RunSettings:
    """The sample, of whose deposits one is twice as large as the fees ask for."""
    inputs = tmp_path_factory.mktemp("unfunded") / "inputs"
    shutil.copytree(sample, inputs)
    more = [pl.when(pl.int_range(pl.len()) == 0).then(pl.col(n) * 2).otherwise(n).cast(pl.Decimal(38, 0)).alias(n)
            for n in ("amount", "protocol_amount", "provider_amount", "user_amount")]  # fmt: skip
    edit_table(inputs / "deposits.parquet", lambda frame: frame.sort("deposited_at").with_columns(more))
    return settings_for(inputs)


# Funded, which anybody's deposit can refuse, end to end on a chain


@pytest.fixture(scope="module")
def given_to(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Net:
    """A network whose Vault got a fee of 1 CXPT from a stranger on the first day."""
    return _deploy(sample, tmp_path_factory.mktemp("given"))


@pytest.fixture
def net(given_to: Net, tmp_path: Path) -> Iterator[Net]:
    snapshot = given_to.embedded.take_snapshot()
    yield replace(given_to, folder=tmp_path)
    given_to.embedded.revert(snapshot)


def _give(net: Net) -> None:
    """A stranger deposits on the second day; the day's own deposits follow, and it ends."""
    net.vault.deposit_fees(10**18, net.embedded.signers[0])
    net.end_epoch_1()


def _attest(net: Net, number: int, **overrides: str) -> Any:
    settings = replace(settings_for(net.inputs, net.vault), overrides=overrides)
    return attest_epoch(net.workspace("attester"), settings, number, net.vault, net.attester)


def test_a_strangers_deposit_stops_an_epoch_and_an_override_carries_it_to_its_claims(net: Net) -> None:
    net.run([0])
    net.publish()
    net.embedded.set_time(net.attest().record.activates_at)
    _give(net)
    workspace, settings = net.workspace(), settings_for(net.inputs, net.vault)
    with pytest.raises(GateRefused, match="funded") as refused:
        net.run([1])
    assert refused.value.exit_code == 3 and [f.gate for f in refused.value.findings] == ["funded"]
    assert [(s.number, s.state) for s in read_status(workspace)] == [(0, "sealed"), (1, "refused")]

    manifest = _run(workspace, settings, 1, funded=REASON).bundle.manifest
    [finding] = refused.value.findings
    assert [dict(one) for one in manifest.overrides] == [
        {"gate": "funded", "reason": REASON, "message": finding.message,
         "expected": finding.expected, "observed": finding.observed}
    ]  # fmt: skip
    [shown] = [f for f in read_status(workspace)[1].findings if f.gate == "funded"]
    assert REASON in shown.message and not shown.refuses
    assert (shown.expected, shown.observed) == (finding.expected, finding.observed)
    assert all(verify_epoch(workspace.data, number).agrees for number in (0, 1))

    net.publish(1)
    with pytest.raises(GateRefused, match=r"published manifest\.json does; .*--override GATE=REASON: funded"):
        _attest(net, 1)
    with pytest.raises(Disagreement, match=r"the money agrees, and overrides here are of funded: .* word for word"):
        _attest(net, 1, funded="another reason")
    assert net.vault.root_at(1).attestations_missing == 1 and not net.workspace("attester").store.has(1)
    assert _attest(net, 1, funded=REASON).record.attestations_missing == 0
    assert _published(net.workspace("attester")) == _published(workspace)
    # What is sealed needs no further word.
    assert _attest(net, 1).receipt is None
    assert verify_epoch(net.workspace("attester").data, 1, manifest.digest).agrees


def test_an_attester_who_overrides_what_the_publisher_did_not_need_agrees_all_the_same(net: Net) -> None:
    net.run([0])
    net.publish()
    assert _attest(net, 0, quality="to be safe").record.attestations_missing == 0
    assert net.workspace("attester").store.read(0).manifest.overrides == ()


def test_an_attester_judges_again_what_was_revoked_and_published_again(net: Net) -> None:
    own = net.folder / "own"
    shutil.copytree(net.inputs, own)
    path = own / "usage_records" / "2026-01-07.parquet"
    edit_table(path, lambda f: f.with_columns(fee_cxpt=(pl.col("fee_cxpt") * 2).cast(f.schema["fee_cxpt"])))
    net = replace(net, inputs=own)
    _run(net.workspace(), settings_for(own, net.vault), 0, funded=REASON)
    net.publish()
    assert _attest(net, 0, funded=REASON).record.attestations_missing == 0
    net.revoke()
    _run(net.workspace(), settings_for(own, net.vault), 0, funded=REASON)
    net.publish(again=True)
    with pytest.raises(GateRefused, match=r"attesting epoch 0 refused by 1 .*funded"):
        _attest(net, 0)
    assert net.vault.root_at(0).attestations_missing == 1
    assert _attest(net, 0, funded=REASON).record.attestations_missing == 0


def test_an_attester_sees_what_the_gates_note(net: Net) -> None:
    publisher = net.run([0])
    net.publish()
    own = net.workspace("attester")
    found = _attest(net, 0, quality="to be safe").findings
    assert [f.gate for f in found if "nothing to override" in f.message] == ["quality"]
    noted = [f for f in own.ledger.findings()[0] if "nothing to override" not in f.message]
    assert noted == publisher.ledger.findings()[0] != []


def test_an_override_is_forgotten_with_the_epoch_that_was_revoked(net: Net) -> None:
    workspace, own = net.workspace(), net.folder / "own"
    shutil.copytree(net.inputs, own)
    path = own / "usage_records" / "2026-01-07.parquet"
    edit_table(path, lambda f: f.with_columns(fee_cxpt=(pl.col("fee_cxpt") * 2).cast(f.schema["fee_cxpt"])))
    settings = settings_for(own, net.vault)
    first = _run(workspace, settings, 0, funded=REASON).bundle.manifest
    assert [one["gate"] for one in first.overrides] == ["funded"] == [o["gate"] for o in workspace.ledger.overrides(0)]
    net.publish()
    net.revoke()
    with pytest.raises(GateRefused, match="funded"):
        _run(workspace, settings, 0)
    assert workspace.ledger.overrides(0) == [] and workspace.ledger.sealed() == []
    again = _run(workspace, settings, 0, funded="the guardian looked at it too").bundle.manifest
    assert [one["reason"] for one in again.overrides] == ["the guardian looked at it too"]
    assert (again.root, again.digest == first.digest) == (first.root, False)


# Without a chain: kills, repetitions, ranges

STEPS = [(Ledger, "store_overrides"), (BundleStore, "write_provenance"), (BundleStore, "stage"), (Ledger, "seal"),
         (BundleStore, "place")]  # fmt: skip


@pytest.fixture(scope="module")
def calm(unfunded: RunSettings, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("calm"))
    _run(workspace, unfunded, 0, funded=REASON)
    return workspace


@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[step for _, step in STEPS])
@pytest.mark.parametrize("persisted", [False, True], ids=["before it", "after it"])
def test_a_run_that_was_killed_goes_on_without_being_told_again(
    owner: type, step: str, persisted: bool, unfunded: RunSettings, calm: Workspace, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """From the moment that the override is stored, which is before anything of the epoch is."""
    workspace, whole = Workspace(tmp_path), getattr(owner, step)

    def die(*arguments: Any) -> None:
        if persisted:
            whole(*arguments)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, die)
        with pytest.raises(Crash):
            _run(workspace, unfunded, 0, funded=REASON)
    if (step, persisted) == ("store_overrides", False):
        with pytest.raises(GateRefused, match="funded"):
            _run(workspace, unfunded, 0)
        assert workspace.store.numbers() == [] == workspace.ledger.sealed()
        return
    assert _run(workspace, unfunded, 0).bundle.manifest.overrides != ()
    assert _published(workspace) == _published(calm)
    assert verify_epoch(workspace.data, 0).agrees


def _die_before_it_is_placed(unfunded: RunSettings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A run with an override that sealed its epoch and was killed then."""

    def die(*_: Any) -> None:
        raise Crash

    workspace = Workspace(folder)
    with monkeypatch.context() as patch:
        patch.setattr(BundleStore, "place", die)
        with pytest.raises(Crash):
            _run(workspace, unfunded, 0, funded=REASON)
    return workspace


def test_a_killed_run_goes_on_with_the_override_that_was_sealed_however_it_is_told_again(
    unfunded: RunSettings, calm: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the epoch were computed with the other reason, to another digest than the sealed one, and never placed."""

    workspace = _die_before_it_is_placed(unfunded, tmp_path, monkeypatch)
    notes = [f for f in _run(workspace, unfunded, 0, funded=f"{REASON}!").findings if "without this" in f.message]
    assert [(f.gate, f.observed, f.refuses) for f in notes] == [("funded", f"{REASON}!", False)]
    assert _published(workspace) == _published(calm)
    assert [one["reason"] for one in workspace.ledger.overrides(0)] == [REASON]


def test_nothing_that_is_stored_of_a_sealed_epoch_is_replaced_by_another_result(
    unfunded: RunSettings, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = _die_before_it_is_placed(unfunded, tmp_path, monkeypatch)
    before = workspace.ledger.overrides(0), workspace.ledger.findings()
    with pytest.raises(Disagreement, match="inputs, policy or code changed since"):
        _run(workspace, settings_for(sample), 0)
    assert (workspace.ledger.overrides(0), workspace.ledger.findings()) == before
    assert _run(workspace, unfunded, 0).bundle.manifest.overrides != ()


def test_a_stored_override_passes_no_other_finding(
    unfunded: RunSettings, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run died before sealing, and the inputs changed before the next: the operator has not seen that."""

    def die(*_: Any) -> None:
        raise Crash

    workspace, inputs = Workspace(tmp_path / "data"), tmp_path / "inputs"
    with monkeypatch.context() as patch:
        patch.setattr(BundleStore, "stage", die)
        with pytest.raises(Crash):
            _run(workspace, unfunded, 0, funded=REASON)
    shutil.copytree(unfunded.inputs, inputs)
    path = inputs / "deposits.parquet"
    edit_table(path, lambda f: f.with_columns(pl.col("^.*amount$") * 3).cast(dict(f.schema)))
    with pytest.raises(GateRefused, match="funded"):
        _run(workspace, replace(unfunded, inputs=inputs), 0)
    # Mended inputs need none, and none is recorded.
    assert _run(workspace, settings_for(sample), 0).bundle.manifest.overrides == ()
    assert workspace.ledger.overrides(0) == []


def test_a_second_run_with_the_same_or_another_reason_changes_nothing(unfunded: RunSettings, calm: Workspace) -> None:
    before = _published(calm)
    assert _run(calm, unfunded, 0, funded=REASON).findings == []
    [note] = _run(calm, unfunded, 0, funded="another").findings
    assert (note.gate, note.observed, note.refuses) == ("funded", "another", False)
    assert _published(calm) == before and calm.ledger.overrides(0)[0]["reason"] == REASON


def test_an_override_is_for_one_epoch_and_for_a_gate_of_judgement(unfunded: RunSettings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="an override is for one epoch"):
        list(run_epochs(Workspace(tmp_path), replace(unfunded, overrides={"funded": REASON}), [0, 1]))
    with pytest.raises(UsageError, match="'conserve' cannot be overridden; those that can: quality, volume"):
        replace(unfunded, overrides={"conserve": REASON})
    assert not any(tmp_path.iterdir())


def test_an_override_passes_no_gate_beside_its_own(unfunded: RunSettings, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    shutil.copytree(unfunded.inputs, inputs)
    (inputs / "heartbeats" / "2026-01-07.parquet").unlink()
    workspace = Workspace(tmp_path / "data")
    with pytest.raises(GateRefused) as refused:
        _run(workspace, replace(unfunded, inputs=inputs), 0, funded=REASON)
    assert {f.gate for f in refused.value.findings} == {"complete"}
    assert workspace.ledger.sealed() == [] == workspace.ledger.overrides(0)


def test_the_night_overrides_nothing(unfunded: RunSettings) -> None:
    assert bind_run(Settings(inputs=unfunded.inputs, policies=POLICIES)).overrides == {}


# Volume, which looks at the epochs before


def _narrow(folder: Path, **settings: int) -> Path:
    """The policy with other numbers in its section on volume."""
    source = (POLICIES / POLICY).read_text()
    head, tail = source.split("[volume]")
    for name, value in settings.items():
        old = next(line for line in tail.splitlines() if line.startswith(f"{name} = "))
        tail = tail.replace(old, f"{name} = {value}", 1)
    folder.mkdir(exist_ok=True)
    (folder / POLICY).write_text(f"{head}[volume]{tail}")
    return folder


@pytest.fixture(scope="module")
def narrow(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> RunSettings:
    """The sample under a policy by which its second day, busier by a few parts in a thousand, is out of the band."""
    policies = _narrow(tmp_path_factory.mktemp("narrow"), epochs=2, min_epochs=1, high_bp=10_000)
    return replace(settings_for(sample), policies=policies)


def test_volume_of_an_epoch_out_of_the_band_is_refused_until_overridden(narrow: RunSettings, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "data")
    _run(workspace, narrow, 0)
    assert [f.refuses for f in workspace.ledger.findings()[0] if f.gate == "volume"] == [False]
    with pytest.raises(GateRefused) as refused:
        _run(workspace, narrow, 1)
    assert {f.gate for f in refused.value.findings} == {"volume"}
    manifest = _run(workspace, narrow, 1, volume="the day of the launch").bundle.manifest
    assert [(o["message"], o["observed"]) for o in manifest.overrides] == sorted(
        (f.message, f.observed) for f in refused.value.findings
    )
    verdict = verify_epoch(workspace.data, 1)
    assert verdict.agrees and verdict.overrides == manifest.overrides
    with duckdb.connect(str(workspace.data / "rewards.duckdb"), read_only=True) as connection:
        shown = connection.execute("SELECT epoch, gate, reason, message, expected, observed FROM overrides").fetchall()
    assert shown == [(1, *(one[name] for name in OVERRIDE)) for one in manifest.overrides]

    # Who changes what it says is found, and so is who leaves it out.
    for change in (
        lambda m: m.update(overrides=[]),
        lambda m: m["overrides"][0].update(observed="5"),
        lambda m: m["overrides"].append({**m["overrides"][0], "reason": "another"}),
        lambda m: m["overrides"].append(m["overrides"][-1]),
        lambda m: m["overrides"].reverse(),
    ):
        copy = Workspace(tmp_path / "copy")
        shutil.copytree(workspace.data, copy.data)
        reseal(copy.store.folder(1), {}, change)
        problems = [c.problem for c in verify_epoch(copy.data, 1).checks if c.problem]
        assert len(problems) == 1 and problems[0].startswith("volume: ")
        shutil.rmtree(copy.data)


def test_an_epoch_has_the_same_bytes_whatever_is_here_of_the_epochs_before(sample: Path, tmp_path: Path) -> None:
    """The gate looks further back than the bundle before; what it cannot see is a note and changes nothing."""
    policies = _narrow(tmp_path / "policies", epochs=2, min_epochs=1, low_bp=0, high_bp=10**7)
    half_days = replace(CALENDAR, length_us=CALENDAR.length_us // 2)
    settings = replace(settings_for(sample), policies=policies, calendar=half_days)
    whole, alone, given = Workspace(tmp_path / "whole"), Workspace(tmp_path / "alone"), "deposits come once a day"
    for number in range(3):
        _run(whole, settings, number, funded=given)
    for path in ("epochs/1", "provenance"):  # as an attester begins
        shutil.copytree(whole.data / path, alone.data / path)
    alone.ledger.adopt(whole.ledger.sealed()[1], now())

    findings = {True: [], False: []}
    for workspace, is_whole in ((whole, True), (alone, False)):
        if is_whole:
            shutil.rmtree(workspace.store.folder(2))
        outcome = _run(workspace, settings, 2, funded=given, volume="a launch")
        findings[is_whole] = [f for f in outcome.findings if f.gate == "volume"]
        assert verify_epoch(workspace.data, 2).agrees
    assert _published(alone) == {k: v for k, v in _published(whole).items() if not k.startswith("0/")}
    [late] = findings[True]
    assert "sealed before, without this override" in late.message
    note, unused = findings[False]
    assert "nothing to override" in unused.message
    assert (note.expected, note.observed, note.refuses) == ("2 epochs", "1 epochs", False)
    names = [[c.name for c in verify_epoch(w.data, 2).checks if c.name.startswith("policy")] for w in (whole, alone)]
    assert names == [
        ["policy and concentration, funded, quality, volume"],
        ["policy and concentration, funded, quality"],
    ]


def test_a_bundle_that_is_moved_away_does_not_silence_the_gate(sample: Path, tmp_path: Path) -> None:
    policies = _narrow(tmp_path / "policies", epochs=2, min_epochs=1, low_bp=0, high_bp=10**7)
    half_days = replace(CALENDAR, length_us=CALENDAR.length_us // 2)
    settings = replace(settings_for(sample), policies=policies, calendar=half_days)
    workspace, given = Workspace(tmp_path / "data"), "deposits come once a day"
    for number in range(2):
        _run(workspace, settings, number, funded=given)
    workspace.store.folder(0).rename(tmp_path / "0")
    with pytest.raises(
        InputError, match=r"the bundle of epoch 0 is missing under .*, and epoch 2 is judged by it; restore"
    ):
        _run(workspace, settings, 2, funded=given)
    (tmp_path / "0").rename(workspace.store.folder(0))
    assert [f.message for f in _run(workspace, settings, 2, funded=given).findings if f.gate == "volume"] == []


def test_volumes_are_read_back_as_far_as_digests_lead(sample: Path, tmp_path: Path) -> None:
    workspace = seal_sample(tmp_path, sample)
    store, manifests = workspace.store, [workspace.store.read(n).manifest for n in range(2)]
    volumes = read_volumes(store, 2, manifests[1].digest, 7)
    assert [v.rows for v in volumes] == [m.counts["rows"] for m in reversed(manifests)]
    assert [v.fees_e8 for v in volumes] == [int(m.counts["earning_fee_e8"]) for m in reversed(manifests)]
    scores = store.read(1).frame(ALLOCATIONS).group_by("pool").agg(pl.col("score").sum()).sort("pool")["score"]
    assert scores.to_list() == [volumes[0].provider_scores, volumes[0].user_scores]
    assert read_volumes(store, 2, manifests[1].digest, 1) == volumes[:1]
    assert read_volumes(store, 2, manifests[0].digest, 7) == [] == read_volumes(store, 2, None, 7)
    assert read_volumes(store, 3, manifests[1].digest, 7) == []
    (store.folder(0) / "allocations.parquet").write_bytes(b"")
    with pytest.raises(Disagreement, match=r"allocations\.parquet"):
        read_volumes(store, 2, manifests[1].digest, 7)
