"""A result that was revoked stays behind somewhere: in a restored copy, on a second machine, with an attester."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from rewards.bundles.history import HistoryStore
from rewards.chain.vault import Vault
from rewards.errors import ChainError, Disagreement, GateRefused
from rewards.history import find_settled
from rewards.jobs.attest import attest_epoch
from rewards.jobs.history import read_history
from rewards.jobs.night import close_up_to, publish_up_to
from rewards.jobs.publish import publish_epoch
from rewards.jobs.run import run_epochs
from rewards.units import PROVIDER, USER
from tests.bundles.forge import settings_for
from tests.jobs import test_publish as publishing
from tests.jobs.test_publish import Net

deployed, net = publishing.deployed, publishing.net

OTHER = "another machine"


def copy_folder(net: Net) -> None:
    shutil.copytree(net.workspace().data, net.workspace(OTHER).data)


def replace_root(net: Net) -> tuple[bytes, bytes, Path]:
    """The publisher's epoch 0 is revoked, mended, published again and active; manifest hashes of both, and the inputs."""
    revoked = net.vault.root_at(0).manifest_hash  # type: ignore[union-attr]
    net.revoke()
    mended = net.mend_inputs()
    net.run([0], mended)
    live = net.publish().record
    net.embedded.set_time(net.attest(mended).record.activates_at)
    assert revoked != live.manifest_hash
    return revoked, live.manifest_hash, mended


def spend_a_night(net: Net, inputs: Path, name: str, last: int) -> list[Any]:
    workspace = net.workspace(name)
    list(close_up_to(workspace, settings_for(inputs, net.vault), last))
    return list(publish_up_to(workspace, last, net.vault, net.publisher))


def test_no_epoch_is_published_on_a_revoked_one(net: Net) -> None:
    """Both epochs were sealed before the revocation, which this machine did not see."""
    net.publish()
    net.end_epoch_1()
    copy_folder(net)
    net.run([1], name=OTHER)
    revoked, live, mended = replace_root(net)
    workspace, sent = net.workspace(OTHER), net.sent(net.publisher)
    with pytest.raises(GateRefused) as refused:
        publish_epoch(workspace, 1, net.vault, net.publisher)
    [finding] = [f for f in refused.value.findings if f.gate == "chain state"]
    assert "the Vault holds another epoch before it" in finding.message
    assert (finding.expected, finding.observed) == (revoked.hex(), live.hex())
    assert net.sent(net.publisher) == sent and net.vault.next_epoch() == 1
    [done] = spend_a_night(net, mended, OTHER, 1)
    assert done.record.epoch == 1 and workspace.store.read(1).manifest.previous == live.hex()


def test_a_night_computes_anew_what_was_revoked_and_replaced_elsewhere(net: Net) -> None:
    net.publish()
    copy_folder(net)
    _, live, mended = replace_root(net)
    net.end_epoch_1()
    [done] = spend_a_night(net, mended, OTHER, 1)
    manifests = [net.workspace(OTHER).store.read(n).manifest for n in (0, 1)]
    assert manifests[0].hash == live and manifests[1].previous == live.hex()
    assert done.record.manifest_hash == manifests[1].hash


def test_no_epoch_is_closed_on_one_that_the_vault_does_not_hold(net: Net) -> None:
    net.run([0], net.mend_inputs(), OTHER)
    live = net.publish().record.manifest_hash.hex()
    net.end_epoch_1()
    way_out = r"`rewards run --epochs 0..0` computes it again .*docs/runbook.md#chain-state"
    with pytest.raises(Disagreement, match=rf"the Vault holds {live} \(root 0x[0-9a-f]{{64}}\): {way_out}"):
        net.run([1], net.folder / "mended", OTHER)
    assert not net.workspace(OTHER).store.has(1)


def revoke_a_rival(net: Net) -> None:
    """Another holder of the publisher's key had a root of their own revoked: the newest record is no longer ours."""
    manifest = net.workspace().store.read(0).manifest
    totals = manifest.total(PROVIDER), manifest.total(USER)
    net.vault.publish_root(0, b"\x07" * 32, *totals, b"\x09" * 32, net.vault.revocations(), net.publisher)
    net.revoke()


def test_a_revoked_root_is_refused_whatever_was_revoked_after_it(net: Net) -> None:
    net.publish()
    net.revoke()
    revoke_a_rival(net)
    with pytest.raises(GateRefused, match="this very root was revoked"):
        list(publish_up_to(net.workspace(), 0, net.vault, net.publisher))
    mended = net.mend_inputs()
    [outcome] = run_epochs(net.workspace(), settings_for(mended, net.vault), [0])
    assert not outcome.already_sealed
    assert net.publish().record.manifest_hash == outcome.bundle.manifest.hash
    assert [folder.name.split(".")[0] for folder in net.workspace().set_aside_folders()] == ["0"]


def test_the_first_of_two_revoked_roots_is_refused(net: Net) -> None:
    first = net.publish().record
    net.revoke()
    net.run([0], net.mend_inputs())
    net.publish()
    net.revoke()
    net.run([0])
    assert net.workspace().store.read(0).manifest.hash == first.manifest_hash
    with pytest.raises(GateRefused, match="this very root was revoked"):
        net.publish()
    assert net.publish(again=True).record.manifest_hash == first.manifest_hash
    net.run([0])
    assert net.workspace().store.read(0).manifest.hash == first.manifest_hash  # live again: not withdrawn


def test_an_attester_with_a_revoked_epoch_before_is_told_so_and_led_out(net: Net) -> None:
    net.publish()
    net.attest()
    net.revoke()
    mended = net.mend_inputs()
    net.run([0], mended)
    net.publish()
    settings, others = settings_for(mended, net.vault), net.workspace("others")
    record = attest_epoch(others, settings, 0, net.vault, net.embedded.signers[6]).record
    net.end_epoch_1(record.activates_at)
    net.run([1], mended)
    net.publish(1)
    workspace, sent = net.workspace("attester"), net.sent(net.attester)
    with pytest.raises(Disagreement, match="run `rewards attest 0` first") as told:
        attest_epoch(workspace, settings, 1, net.vault, net.attester)
    assert "guardian" not in str(told.value) and net.sent(net.attester) == sent
    assert attest_epoch(workspace, settings, 0, net.vault, net.attester).receipt is None
    assert attest_epoch(workspace, settings, 1, net.vault, net.attester).record.attestations_missing == 0


def publish_as_ours(net: Net, name: str) -> None:
    """Another holder of the publisher's key publishes a root of their own under the manifest of a folder here."""
    manifest = net.workspace(name).store.read(0).manifest
    totals = manifest.total(PROVIDER), manifest.total(USER)
    net.vault.publish_root(0, b"\x07" * 32, *totals, manifest.hash, net.vault.revocations(), net.publisher)


def test_a_root_that_came_while_a_revocation_was_asked_for_is_left_alone(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine revokes the one that was meant, and publishes anew: the Vault's call would name no root."""
    net.publish()
    sender = net.vault.sender
    estimate = sender.estimate

    def replace(intent: Any, account: Any) -> int:
        gas = estimate(intent, account)
        monkeypatch.undo()
        replace_elsewhere(net)
        return gas

    monkeypatch.setattr(sender, "estimate", replace)
    with pytest.raises(ChainError, match="the root that was to be revoked is gone; nothing was sent"):
        net.revoke()
    record = net.vault.root_at(0)
    assert record is not None and (record.status, record.root) == ("pending", b"\x07" * 32)
    assert net.vault.revocations() == 1


def replace_elsewhere(net: Net) -> None:
    net.vault.revoke_root(0, "the same guardian elsewhere", net.guardian)
    publish_as_ours(net, "publisher")


def test_another_root_under_an_attesters_manifest_was_revoked_and_not_its_copy(net: Net) -> None:
    net.run([0], net.mend_inputs(), "attester")
    publish_as_ours(net, "attester")
    net.revoke()
    net.publish()
    workspace = net.workspace("attester")
    held = workspace.ledger.sealed()
    with pytest.raises(Disagreement, match=r"no final block revokes the former.*docs/runbook.md#attest"):
        net.attest()
    assert workspace.ledger.sealed() == held and workspace.set_aside_folders() == []
    assert net.sent(net.attester) == 0


def test_no_epoch_is_closed_on_another_root_under_its_manifest(net: Net) -> None:
    publish_as_ours(net, "publisher")
    net.end_epoch_1()
    with pytest.raises(Disagreement, match=r"the Vault holds [0-9a-f]{64} \(root 0x(07){32}\): `rewards run"):
        net.run([1])
    with pytest.raises(Disagreement, match="work on from its folder"):
        net.publish()


def test_an_active_root_that_differs_is_not_to_be_revoked(net: Net) -> None:
    net.publish()
    net.embedded.set_time(net.attest().record.activates_at)
    with pytest.raises(Disagreement, match="do not attest, and have the guardian pause claims: it is active"):
        net.attest(net.mend_inputs(), "others")


def test_what_is_settled_is_not_asked_for_again(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    net.publish()
    _, live, mended = replace_root(net)
    net.end_epoch_1()
    spend_a_night(net, mended, "publisher", 1)
    workspace, asked = net.workspace(), list[int]()
    root_at = Vault.root_at

    def ask(self: Vault, epoch: int, block: int | None = None) -> Any:
        asked.append(epoch)
        return root_at(self, epoch, block)

    monkeypatch.setattr(Vault, "root_at", ask)
    assert workspace.find_published(net.vault) == {0, 1}
    workspace.withdraw_revoked(net.vault)
    assert set(asked) == {1}
    settled = find_settled(HistoryStore(workspace.data).read(), read_history(workspace.data).origin)
    assert {epoch: one.manifest_hash for epoch, one in settled.items()} == {0: live}
    (workspace.data / "history" / "checkpoints" / "1").write_bytes(b"damaged")
    assert workspace.find_published(net.vault) == {0, 1} and set(asked) == {0, 1}


def test_a_settled_epoch_is_ours_only_with_our_manifest(net: Net) -> None:
    net.publish()
    copy_folder(net)
    _, _, mended = replace_root(net)
    net.end_epoch_1()
    spend_a_night(net, mended, "publisher", 1)
    behind = net.workspace(OTHER)
    shutil.rmtree(behind.data / "history")
    shutil.copytree(net.workspace().data / "history", behind.data / "history")
    assert behind.find_published(net.vault) == set()
    behind.withdraw_revoked(net.vault)
    assert not behind.store.has(0)


def test_nothing_is_sealed_beside_another_live_root(net: Net) -> None:
    """What is sealed and was never published no command takes back; so it must not come to be."""
    net.publish()
    live, other, mended = net.vault.root_at(0), net.workspace("other"), net.mend_inputs()
    assert live is not None
    with pytest.raises(Disagreement, match=rf"the Vault holds {live.manifest_hash.hex()}.* not sealed: mend .* revoke"):
        net.run((0,), mended, "other")
    assert (other.ledger.sealed(), other.store.has(0)) == ([], False)
    net.embedded.set_time(net.attest().record.activates_at)
    with pytest.raises(Disagreement, match=r"not sealed: mend .* work on from a copy .* \(it is active\)"):
        net.run((0,), mended, "other")
    net.run((0,), net.inputs, "other")
    assert [epoch.manifest for epoch in other.ledger.sealed()] == [live.manifest_hash.hex()]


def test_a_gate_speaks_before_another_root_does(net: Net) -> None:
    """What a gate refuses is no other result: exit code 3, not an alarm."""
    net.publish()
    spoiled = net.mend_inputs()
    (spoiled / "usage_records" / "2026-01-07.parquet").unlink()
    with pytest.raises(GateRefused, match="complete"):
        net.run((0,), spoiled, "other")
    assert "complete" in {f.gate for f in net.workspace("other").ledger.findings()[0] if f.refuses}
