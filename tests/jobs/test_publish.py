"""Publishing and attesting on the embedded chain: gates that stop it, crashes that double nothing, rivals refused."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from rewards.bundles.store import BundleStore
from rewards.chain.deploy import VaultSettings, deploy_token, deploy_vault
from rewards.chain.embedded import EmbeddedChain
from rewards.chain.intent import SignedIntent
from rewards.chain.pursuit import Patience, Pursuit
from rewards.chain.sender import Sender
from rewards.chain.signers import LocalSigner
from rewards.chain.vault import Vault
from rewards.errors import ChainError, Disagreement, GateRefused
from rewards.jobs.attest import attest_epoch
from rewards.jobs.claims import find_claimables, find_claimables_on_chain
from rewards.jobs.night import close_up_to, publish_up_to
from rewards.jobs.publish import publish_epoch
from rewards.jobs.reconcile import reconcile
from rewards.jobs.revoke import revoke_epoch
from rewards.jobs.run import run_epochs
from rewards.jobs.status import read_status
from rewards.jobs.workspace import Workspace
from rewards.ledger.intents import Intents
from rewards.ledger.store import Ledger
from rewards.schemas import CLAIMABLES
from rewards.units import MAX_AMOUNT, PROVIDER, USER, Address
from tests.bundles.forge import CALENDAR, add_unit, edit_table, encode_changed, reseal, settings_for


@dataclass
class Net:
    """A Vault with the sample's deposits on a chain in the process; the publisher's folder holds epoch 0, sealed."""

    embedded: EmbeddedChain
    vault: Vault
    inputs: Path
    publisher: LocalSigner
    attester: LocalSigner
    guardian: LocalSigner
    folder: Path

    def workspace(self, name: str = "publisher") -> Workspace:
        return Workspace(self.folder / name)

    def publish(self, number: int = 0, again: bool = False) -> Any:
        return publish_epoch(self.workspace(), number, self.vault, self.publisher, again)

    def revoke(self) -> Any:
        return revoke_epoch(self.workspace(), 0, "a test", self.vault, self.guardian)

    def run(self, numbers: Sequence[int] = (0,), inputs: Path | None = None, name: str = "publisher") -> Workspace:
        workspace = self.workspace(name)
        list(run_epochs(workspace, settings_for(inputs or self.inputs, self.vault), numbers))
        return workspace

    def shown(self) -> list[int]:
        """What analysts see."""
        with duckdb.connect(str(self.folder / "publisher" / "rewards.duckdb"), read_only=True) as connection:
            return [row[0] for row in connection.execute("SELECT epoch FROM epochs ORDER BY epoch").fetchall()]

    def mend_inputs(self) -> Path:
        """Other inputs for epoch 0: a row less."""
        own = self.folder / "mended"
        shutil.copytree(self.inputs, own)
        edit_table(own / "usage_records" / "2026-01-07.parquet", lambda frame: frame.slice(1))
        return own

    def end_epoch_1(self, after: int = 0) -> None:
        """Its deposits are made, it has ended, and the time `after` has passed."""
        table = pl.read_parquet(self.inputs / "deposits.parquet").sort("deposited_at")
        later = table.filter(pl.col("deposited_at") >= CALENDAR.epoch(0).end)
        for when, amount in later.select("deposited_at", "amount").rows():
            if int(when.timestamp()) > self.embedded.chain.head().timestamp:
                self.embedded.set_time(int(when.timestamp()))
            self.vault.deposit_fees(int(amount), self.embedded.signers[0])
        self.embedded.set_time(max(after, CALENDAR.epoch(1).end_us // 1_000_000 + 2700))

    def attest(self, inputs: Path | None = None, name: str = "attester") -> Any:
        settings = settings_for(inputs or self.inputs, self.vault)
        return attest_epoch(self.workspace(name), settings, 0, self.vault, self.attester)

    def sent(self, signer: LocalSigner) -> int:
        return self.vault.chain.count_transactions(signer.address, "latest")

    def open_intents(self, action: str) -> list[str]:
        return [i.hash for i in Intents(self.workspace().ledger).open(self.vault.chain_id) if i.action == action]


def _deploy(inputs: Path, folder: Path, limit: int = MAX_AMOUNT) -> Net:
    embedded = EmbeddedChain(CALENDAR.genesis_us // 1_000_000 - 86_400)
    deployer, publisher, attester, guardian, treasurer, admin = embedded.signers[:6]
    sender = Sender(embedded.chain, Patience(polls=3, pause_s=0, pause=lambda _: None))
    roles = VaultSettings(
        admin=admin.address,
        publishers=[publisher.address],
        attesters=[attester.address, embedded.signers[6].address],
        guardians=[guardian.address],
        treasurers=[treasurer.address],
        activation_delay_s=3600,
        max_provider_amount=limit,
    )
    vault = Vault(embedded.chain, deploy_vault(sender, deployer, deploy_token(sender, deployer), roles), sender)
    table = pl.read_parquet(inputs / "deposits.parquet").sort("deposited_at")
    for when, amount in (
        table.filter(pl.col("deposited_at") < CALENDAR.epoch(0).end).select("deposited_at", "amount").rows()
    ):
        embedded.set_time(int(when.timestamp()))
        vault.deposit_fees(int(amount), deployer)
    embedded.set_time(CALENDAR.epoch(0).end_us // 1_000_000 + 2700)
    return Net(embedded, vault, inputs, publisher, attester, guardian, folder)


@pytest.fixture(scope="module")
def deployed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Net:
    net = _deploy(repository / "data" / "sample", tmp_path_factory.mktemp("net"))
    list(run_epochs(net.workspace(), settings_for(net.inputs, net.vault), [0]))
    return net


@pytest.fixture
def net(deployed: Net, tmp_path: Path) -> Iterator[Net]:
    """The chain as it was before any root, and a copy of the folder."""
    shutil.copytree(deployed.folder, tmp_path / "folders")
    snapshot = deployed.embedded.take_snapshot()
    yield replace(deployed, folder=tmp_path / "folders")
    deployed.embedded.revert(snapshot)


# Gates that stop it


def _refused(net: Net, gate: str) -> GateRefused:
    before = net.sent(net.publisher)
    with pytest.raises(GateRefused, match=gate) as refused:
        net.publish()
    assert gate in {f.gate for f in refused.value.findings}
    assert all(f.expected != f.observed for f in refused.value.findings)
    assert net.sent(net.publisher) == before and net.open_intents("publish") == []
    assert net.vault.root_at(0) is None and net.vault.next_epoch() == 0
    assert gate in {f.gate for f in net.workspace().ledger.findings()[0] if f.refuses}
    return refused.value


@pytest.mark.parametrize(
    "name", ["claimables.parquet", "tree.bin", "policy.toml", "quarantine.parquet", "corrections.json"]
)
def test_gate_bundle_sends_nothing(net: Net, name: str) -> None:
    path = net.workspace().store.folder(0) / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    _refused(net, "bundle")
    path.write_bytes(whole)
    assert net.publish().receipt is not None
    assert not any(f.refuses for f in net.workspace().ledger.findings()[0])


def test_a_bundle_that_was_sealed_anew_is_not_published(net: Net) -> None:
    """Every digest agrees; only the ledger knows what was sealed."""
    bundle = net.workspace().store.read(0)
    content = encode_changed(bundle, "quarantine", lambda frame: frame.slice(1))
    reseal(bundle.folder, {"quarantine.parquet": content})
    assert _refused(net, "bundle").findings[0].expected == bundle.manifest.digest


def test_a_changed_manifest_is_not_published(net: Net) -> None:
    path = net.workspace().store.folder(0) / "manifest.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(Disagreement, match="manifest"):
        net.publish()
    assert net.sent(net.publisher) == 0


def test_gate_chain_state_wants_the_role(net: Net) -> None:
    net.publisher = net.attester
    assert "attester" in [f.observed for f in _refused(net, "chain state").findings]
    net.publisher = net.embedded.signers[8]
    assert "none" in [f.observed for f in _refused(net, "chain state").findings]


def test_gate_chain_state_wants_open_publishing(net: Net) -> None:
    net.vault._send("pause", "pausePublishing", [], net.guardian, None)
    assert [f.message for f in _refused(net, "chain state").findings] == ["publishing is paused"]


@pytest.mark.parametrize("field", ["next_epoch", "pending_epoch", "reward_pool", "max_epoch_amount", "chain_id"])
def test_what_the_vault_says_stops_it(net: Net, monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    """The Vault's answers changed one at a time; the bundle is whole."""
    pools, limit = net.vault.reward_pool(), net.workspace().store.read(0).manifest.total(PROVIDER) - 1
    next_epoch = Vault.next_epoch
    answers: dict[str, tuple[Any, str]] = {
        "next_epoch": (lambda self, block=None: 1 if block is None else next_epoch(self, block), "chain state"),
        "pending_epoch": (lambda self: 0, "chain state"),
        "reward_pool": (lambda self: replace(pools, user=0), "solvent"),
        "max_epoch_amount": (lambda self, pool: limit, "solvent"),
        "chain_id": (property(lambda self: 1), "chain state"),
    }
    answer, gate = answers[field]
    with monkeypatch.context() as patch:
        patch.setattr(Vault, field, answer)
        with pytest.raises(GateRefused, match=gate):
            net.publish()
    assert net.sent(net.publisher) == 0 and net.vault.root_at(0) is None
    assert net.publish().record.status == "pending"


def test_a_limit_of_the_vault_below_the_increase_sends_nothing(repository: Path, tmp_path: Path) -> None:
    """The limit is lowered after sealing; the epoch was computed within the higher one."""
    sample = repository / "data" / "sample"
    net = _deploy(sample, tmp_path)
    list(run_epochs(net.workspace(), settings_for(sample, net.vault), [0]))
    total = net.workspace().store.read(0).manifest.total(PROVIDER)
    admin = net.embedded.signers[5]
    net.vault._send("limit", "setMaxEpochAmount", [PROVIDER, total - 1], admin, None)
    finding = _refused(net, "solvent").findings[0]
    assert (finding.expected, finding.observed) == (f"at most {total - 1}", str(total))
    net.vault._send("limit", "setMaxEpochAmount", [PROVIDER, total], admin, None)
    assert net.publish().record.provider_total == total


# Crashes


class Crash(BaseException):
    """The process ends here."""


def _crash(*_: object, **__: object) -> None:
    raise Crash


def test_a_second_call_sends_nothing(net: Net) -> None:
    first = net.publish()
    assert first.receipt is not None and first.record.status == "pending"
    second = net.publish()
    assert second.receipt is None and second.record == first.record
    assert net.sent(net.publisher) == 1 and net.open_intents("publish") == []


def test_crash_before_the_intent_is_stored(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Intents, "keep", _crash)
        with pytest.raises(Crash):
            net.publish()
    assert net.sent(net.publisher) == 0
    assert net.publish().receipt is not None
    assert net.sent(net.publisher) == 1


@pytest.mark.parametrize("action", ["publish", "attest", "revoke"])
def test_crash_after_the_intent_is_stored_but_before_sending(
    net: Net, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """The stored bytes are sent, not new ones: one nonce for one intent (I12)."""
    step, signer = _step(net, action)
    with monkeypatch.context() as patch:
        patch.setattr(Pursuit, "_submit", _crash)
        with pytest.raises(Crash):
            step()
    [stored] = net.open_intents(action)
    assert net.sent(signer) == 0
    outcome = step()
    receipt = getattr(outcome, "receipt", outcome)
    assert receipt.transaction.hex() == stored
    assert net.sent(signer) == 1 and net.open_intents(action) == []


@pytest.mark.parametrize("action", ["publish", "attest", "revoke"])
def test_crash_after_sending_but_before_settling(net: Net, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    step, signer = _step(net, action)
    with monkeypatch.context() as patch:
        patch.setattr(Intents, "settle", _crash)
        with pytest.raises(Crash):
            step()
    assert net.sent(signer) == 1 and len(net.open_intents(action)) == 1
    step()
    assert net.sent(signer) == 1 and net.open_intents(action) == []


def _step(net: Net, action: str) -> tuple[Callable[[], Any], LocalSigner]:
    if action == "publish":
        return net.publish, net.publisher
    net.publish()
    if action == "attest":
        return lambda: net.attest(name="publisher"), net.attester
    return lambda: revoke_epoch(net.workspace(), 0, "a test", net.vault, net.guardian), net.guardian


def test_an_intent_that_may_still_be_mined_is_not_doubled(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain does not answer for a while: the same transaction waits, no second one is signed."""
    with monkeypatch.context() as patch:
        patch.setattr(Pursuit, "_submit", _crash)
        with pytest.raises(Crash):
            net.publish()
    stored = net.open_intents("publish")

    def hang(*_: object) -> None:
        raise ChainError("is in no block yet; resume it later")

    with monkeypatch.context() as patch:
        patch.setattr(Pursuit, "run", hang)
        for _ in range(2):
            with pytest.raises(ChainError, match="resume it later"):
                net.publish()
    assert net.open_intents("publish") == stored and net.sent(net.publisher) == 0
    assert net.publish().receipt.transaction.hex() == stored[0]
    assert net.sent(net.publisher) == 1


def test_an_intent_whose_nonce_is_gone_is_given_up(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Pursuit, "_submit", _crash)
        with pytest.raises(Crash):
            net.publish()
    [dead] = net.open_intents("publish")
    raw = {
        "to": "0x" + "11" * 20,
        "value": 1,
        "gas": 21_000,
        "gasPrice": 10**10,
        "nonce": 0,
        "chainId": net.vault.chain_id,
    }
    net.vault.chain.web3.eth.send_raw_transaction(net.publisher.sign_transaction(raw))
    receipt = net.publish().receipt
    assert receipt is not None and receipt.transaction.hex() != dead
    assert net.vault.root_at(0) is not None and net.sent(net.publisher) == 2
    assert "intent" in {f.gate for f in net.workspace().ledger.findings()[0]}


def test_a_signed_publication_dies_with_a_revocation(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed before another publication was revoked, sent after: the chain refuses it, and a new one is signed."""
    signed: list[SignedIntent] = []

    def keep(pursuit: Pursuit) -> None:
        signed.append(pursuit.versions[0])
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Pursuit, "_submit", keep)
        with pytest.raises(Crash):
            net.publish()
    manifest = net.workspace().store.read(0).manifest
    totals = manifest.total(PROVIDER), manifest.total(USER)
    net.vault.publish_root(0, manifest.root, *totals, manifest.hash, 0, net.publisher)
    revoke_epoch(net.workspace(), 0, "a test", net.vault, net.guardian)
    outcome = net.publish(again=True)
    assert outcome.record.status == "pending" and outcome.receipt.transaction != signed[0].transaction
    assert net.vault.revocations() == 1


# Rivals


def _publish_rival(net: Net, units: int = 0, manifest_hash: bytes | None = None, root: bytes | None = None) -> None:
    """With the publisher's own key: other bytes for the epoch."""
    manifest = net.workspace().store.read(0).manifest
    totals = manifest.total(PROVIDER) - units, manifest.total(USER)
    net.vault.publish_root(0, root or manifest.root, *totals, manifest_hash or manifest.hash, 0, net.publisher)


@pytest.mark.parametrize(
    "rival", [{"root": b"\x07" * 32}, {"manifest_hash": b"\x08" * 32}, {"units": 1}], ids=["root", "manifest", "totals"]
)
def test_a_rival_root_is_a_disagreement_for_everyone(net: Net, rival: dict[str, Any]) -> None:
    _publish_rival(net, **rival)
    sent = net.sent(net.publisher)
    with pytest.raises(Disagreement, match=r"on chain .*guardian revoke"):
        net.publish()
    with pytest.raises(Disagreement, match="do not attest"):
        net.attest()
    record = net.vault.root_at(0)
    assert record is not None and record.attestations_missing == 1
    assert (net.sent(net.publisher), net.sent(net.attester), net.open_intents("attest")) == (sent, 0, [])
    assert reconcile(net.workspace(), net.vault) != []
    # The guardian revokes it; then the right one can go out and be confirmed.
    revoke_epoch(net.workspace(), 0, "a rival", net.vault, net.guardian)
    assert [s.state for s in read_status(net.workspace(), net.vault)] == ["sealed"]
    net.publish()
    assert net.attest().record.attestations_missing == 0
    past = reconcile(net.workspace(), net.vault)
    assert {finding.severity for finding in past} == {"warning"}
    told = sorted(finding.message for finding in past)
    assert len(told) == 2 and "nobody here sealed; it was revoked" in told[0]
    assert "is of a transaction that was not signed here, and its root was not sealed here" in told[1]


def test_an_attester_with_other_inputs_refuses(net: Net, tmp_path: Path) -> None:
    """One request whose fee nobody would miss: the amounts, and so the root, differ."""
    net.publish()
    own = tmp_path / "own"
    shutil.copytree(net.inputs, own)
    path = own / "usage_records" / "2026-01-07.parquet"
    edit_table(path, lambda frame: frame.with_columns(latency_ms=pl.col("latency_ms").shift(1).fill_null(500)))
    with pytest.raises((Disagreement, GateRefused)) as refused:
        net.attest(own)
    assert refused.value.exit_code in (3, 6)
    assert net.sent(net.attester) == 0 and not BundleStore(net.folder / "attester").has(0)
    assert net.attest().record.attestations_missing == 0


def test_an_attester_finds_a_computation_that_was_doctored(net: Net) -> None:
    """The publisher's folder is forged throughout, its ledger too: the recomputation still stands against it."""
    bundle = net.workspace().store.read(0)
    reseal(bundle.folder, {"scores.parquet": encode_changed(bundle, "scores", lambda f: add_unit(f, "score"))})
    forged = net.workspace().store.read(0).manifest
    _publish_rival(net, manifest_hash=forged.hash)
    with pytest.raises(Disagreement, match=forged.digest):
        net.attest()
    assert net.sent(net.attester) == 0


def test_nothing_to_attest_is_an_error(net: Net) -> None:
    with pytest.raises(ChainError, match="no live root of epoch 0"):
        net.attest()
    net.publish()
    revoke_epoch(net.workspace(), 0, "a test", net.vault, net.guardian)
    with pytest.raises(ChainError, match="no live root of epoch 0"):
        net.attest()


def test_a_second_attestation_sends_nothing(net: Net) -> None:
    net.publish()
    assert net.attest().receipt is not None
    again = net.attest()
    assert again.receipt is None and again.record.attestations_missing == 0
    assert net.sent(net.attester) == 1


def test_a_second_revocation_is_one(net: Net) -> None:
    """A new publication after a revoked one can be revoked as well."""
    for turn in (1, 2):
        net.publish(again=turn == 2)
        assert net.shown() == [0]
        assert net.revoke() is not None
        assert net.vault.revocations() == turn == net.sent(net.guardian)
        assert net.shown() == []
    assert net.revoke() is None
    assert net.sent(net.guardian) == 2


def test_a_foreign_root_is_told(net: Net) -> None:
    _publish_rival(net, root=b"\x07" * 32)
    assert [s.state for s in read_status(net.workspace(), net.vault)] == ["foreign"]
    finding, *_ = [f for f in reconcile(net.workspace(), net.vault) if f.refuses]
    assert finding.message == "epoch 0: root differs" and finding.observed == "0x" + "07" * 32


def test_enough_attestations_are_done_for_every_other_attester(net: Net) -> None:
    net.publish()
    net.attest()
    other = net.embedded.signers[6]
    outcome = attest_epoch(net.workspace("other"), settings_for(net.inputs, net.vault), 0, net.vault, other)
    assert outcome.receipt is None and outcome.record.attestations_missing == 0
    assert net.sent(other) == 0 and net.workspace("other").store.has(0)


# Catalogue and nights


def _leave_unfinished(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """The publication is in a block, but waiting for its finality ends before it is final."""

    with monkeypatch.context() as patch:
        patch.setattr(Pursuit, "_is_final", lambda *_: False)
        with pytest.raises(ChainError, match="resume it later"):
            net.publish()
    assert len(net.open_intents("publish")) == 1


def test_what_was_revoked_while_waiting_is_not_published_again(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    _leave_unfinished(net, monkeypatch)
    net.revoke()
    for _ in range(2):
        with pytest.raises(GateRefused, match="this very root was revoked") as refused:
            net.publish()
        [finding] = refused.value.findings
        assert (finding.gate, finding.expected) == ("chain state", "another manifest")
    assert net.sent(net.publisher) == 1 and net.open_intents("publish") == []
    assert net.publish(again=True).record.status == "pending"
    assert net.publish().receipt is None


def test_a_night_finishes_what_was_begun(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    _leave_unfinished(net, monkeypatch)
    assert net.shown() == []
    night = list(publish_up_to(net.workspace(), 0, net.vault, net.publisher))
    assert [outcome.record.epoch for outcome in night] == [0]
    assert net.open_intents("publish") == [] and net.sent(net.publisher) == 1 and net.shown() == [0]


def test_a_night_with_nothing_new_mends_the_catalogue(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "refresh_catalogue", _crash)
        with pytest.raises(Crash):
            net.publish()
    assert net.open_intents("publish") == [] and net.shown() == []
    assert list(publish_up_to(net.workspace(), 0, net.vault, net.publisher)) == []
    assert net.shown() == [0]


def test_the_catalogue_shows_no_epoch_that_the_chain_has_otherwise(net: Net) -> None:
    _publish_rival(net, root=b"\x07" * 32)
    (net.folder / "publisher" / "rewards.duckdb").unlink()
    net.run()
    assert net.shown() == []


def test_proofs_are_of_the_latest_active_epoch(net: Net) -> None:
    workspace = net.workspace()
    account = Address(workspace.store.read(0).frame(CLAIMABLES)["account"][0])

    def ask(epoch: int | None = None) -> tuple[set[int], str]:
        leaves, state = find_claimables_on_chain(workspace, account, net.vault, epoch)
        return {leaf.epoch for leaf in leaves}, state

    assert ask() == ({0}, "not published")
    net.publish()
    assert ask() == ({0}, "pending")
    net.end_epoch_1(net.attest().record.activates_at)
    net.run([1])
    assert ask() == ({0}, "active")
    assert ask(1) == ({1}, "not published")
    assert {leaf.epoch for leaf in find_claimables(workspace, account)} == {1}


# Withdrawing what was revoked


def _folders(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in (workspace.data / "epochs").iterdir())


def test_a_revoked_epoch_and_its_successors_are_computed_again(net: Net) -> None:
    net.publish()
    net.end_epoch_1()
    workspace = net.run([1])
    before = [workspace.store.read(n).manifest.digest for n in (0, 1)]
    net.revoke()
    net.run([0], net.mend_inputs())
    after = workspace.store.read(0).manifest.digest
    assert after != before[0]
    assert _folders(workspace) == ["0", *(f"{n}.revoked-{before[n][:8]}" for n in (0, 1))]
    assert [(e.number, e.manifest) for e in workspace.ledger.sealed()] == [(0, after)]
    withdrawn = {n: [f for f in found if f.gate == "chain state"] for n, found in workspace.ledger.findings().items()}
    assert [f.observed for n in (0, 1) for f in withdrawn[n]] == before
    assert not any(f.refuses for found in withdrawn.values() for f in found)
    assert net.publish().record.manifest_hash.hex() == after
    assert net.shown() == [0]


def test_an_epoch_that_is_not_revoked_is_left_alone(net: Net) -> None:
    """Not published, pending, and revoked in another form."""
    manifest = net.workspace().store.read(0).manifest
    net.run()
    _publish_rival(net, manifest_hash=b"\x08" * 32)
    net.revoke()
    net.run()
    net.publish()
    net.run()
    assert _folders(net.workspace()) == ["0"]
    assert net.workspace().ledger.sealed()[0].manifest == manifest.digest


def test_the_same_result_again_is_sealed_and_not_published(net: Net) -> None:
    digest = net.workspace().store.read(0).manifest.digest
    net.publish()
    net.revoke()
    for _ in range(2):
        outcomes = list(close_up_to(net.workspace(), settings_for(net.inputs, net.vault), 0))
        assert [o.already_sealed for o in outcomes] == [False]
        with pytest.raises(GateRefused, match="this very root was revoked"):
            list(publish_up_to(net.workspace(), 0, net.vault, net.publisher))
    assert net.workspace().store.read(0).manifest.digest == digest
    assert _folders(net.workspace()) == ["0", f"0.revoked-{digest[:8]}"]
    assert net.sent(net.publisher) == 1


@pytest.mark.parametrize("step", ["first folder", "second folder", "ledger", "after"])
def test_a_kill_while_withdrawing_changes_nothing(net: Net, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    net.publish()
    net.end_epoch_1()
    workspace = net.run([1])
    digests = [e.manifest[:8] for e in workspace.ledger.sealed()]
    net.revoke()
    own, withdraw, set_aside = net.mend_inputs(), Ledger.withdraw, Workspace._set_aside

    def stop_at_folder(self: Workspace, number: int, digest: str) -> None:
        if number == (1 if step == "first folder" else 0):
            raise Crash
        set_aside(self, number, digest)

    def stop_after(self: Ledger, *arguments: Any) -> None:
        withdraw(self, *arguments)
        raise Crash

    with monkeypatch.context() as patch:
        if step.endswith("folder"):
            patch.setattr(Workspace, "_set_aside", stop_at_folder)
        else:
            patch.setattr(Ledger, "withdraw", stop_after if step == "after" else _crash)
        with pytest.raises(Crash):
            net.run([0], own)
    net.run([0], own)
    assert _folders(workspace) == ["0", *(f"{n}.revoked-{digests[n]}" for n in (0, 1))]
    [sealed] = workspace.ledger.sealed()
    assert sealed.manifest == workspace.store.read(0).manifest.digest
    assert sealed.manifest[:8] not in digests


def test_an_attester_replaces_a_copy_that_was_revoked(net: Net) -> None:
    net.publish()
    net.attest()
    attester = net.workspace("attester")
    old = attester.store.read(0).manifest.digest
    net.revoke()
    own = net.mend_inputs()
    net.run([0], own)
    net.publish()
    assert net.attest(own).record.attestations_missing == 0
    new = net.workspace().store.read(0).manifest.digest
    assert [e.manifest for e in attester.ledger.sealed()] == [new] == [attester.store.read(0).manifest.digest]
    assert _folders(attester) == ["0", f"0.revoked-{old[:8]}"]
    assert reconcile(attester, net.vault) == []


def test_an_attester_with_another_copy_that_nobody_revoked_stops(net: Net) -> None:
    net.run([0], net.mend_inputs(), "attester")
    held = net.workspace("attester").ledger.sealed()
    net.publish()
    with pytest.raises(Disagreement, match="no final block revokes"):
        net.attest()
    assert net.sent(net.attester) == 0 and net.workspace("attester").ledger.sealed() == held
    assert _folders(net.workspace("attester")) == ["0"]


def test_an_attester_begins_with_the_folder_of_the_epoch_before(net: Net) -> None:
    """Bundle and provenance were copied; there is no ledger. A folder that is not the chain's is refused."""
    net.publish()
    net.end_epoch_1(net.attest().record.activates_at)
    net.run([1])
    net.publish(1)
    late, settings = net.workspace("late"), settings_for(net.inputs, net.vault)
    for part in ("epochs", "provenance"):
        shutil.copytree(net.workspace().data / part / "0", late.data / part / "0")
    extra = late.store.folder(0) / "extra"
    extra.write_text("")
    with pytest.raises(Disagreement, match="extra"):
        attest_epoch(late, settings, 1, net.vault, net.attester)
    extra.unlink()
    assert attest_epoch(late, settings, 1, net.vault, net.attester).record.attestations_missing == 0
    assert [e.manifest for e in late.ledger.sealed()] == [e.manifest for e in net.workspace().ledger.sealed()]
