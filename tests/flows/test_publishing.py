"""The nightly flow with a Vault: publishes what is sealed, one root at a time, and no revoked one again (I3)."""

import shutil
from pathlib import Path

import pytest

from flows import nightly
from rewards.chain.deploy import VaultSettings, deploy_token, deploy_vault
from rewards.chain.deployment import write_deployment
from rewards.chain.embedded import EmbeddedChain
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.vault import Vault
from rewards.errors import GateRefused, InputError
from rewards.jobs import night as steps
from rewards.jobs.revoke import revoke_epoch
from rewards.jobs.settings import Settings
from rewards.jobs.workspace import Workspace
from rewards.sources.folder import InputFolder
from tests.flows.test_nightly import USAGE_OF_EPOCH_1, read_newest_run, run

PUBLISHER_KEY = f"0x{2:064x}"


@pytest.fixture
def chain(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[EmbeddedChain, Vault]:
    """A Vault in the process with the deposits of the sample, 45 minutes after epoch 1; the flow is bound to it."""
    calendar = Settings().calendar
    embedded = EmbeddedChain(calendar.genesis_us // 1_000_000 - 3600)
    deployer, publisher, attester, guardian, treasurer, admin = embedded.signers[:6]
    sender = Sender(embedded.chain, Patience(polls=5, pause_s=0))
    holders = VaultSettings(
        admin.address, [publisher.address], [attester.address], [guardian.address], [treasurer.address]
    )
    deployment = deploy_vault(sender, deployer, deploy_token(sender, deployer), holders)
    vault = Vault(embedded.chain, deployment, sender)
    for when, amount in InputFolder(sample).deposits().select("deposited_at", "amount").rows():
        embedded.set_time(int(when.timestamp()))
        vault.deposit_fees(int(amount), deployer)
    embedded.set_time(calendar.epoch(1).end_us // 1_000_000 + 45 * 60)

    write_deployment(deployment, tmp_path / "deployment.json")
    monkeypatch.setenv("REWARDS_DEPLOYMENT", str(tmp_path / "deployment.json"))
    monkeypatch.setenv("REWARDS_PUBLISHER_KEY", PUBLISHER_KEY)
    for place in (nightly, steps):
        monkeypatch.setattr(place, "open_vault", lambda _: vault)
    return embedded, vault


@pytest.mark.usefixtures("night")
def test_publishes_once_waits_for_a_pending_root_and_leaves_a_revoked_one(
    chain: tuple[EmbeddedChain, Vault], sample: Path, tmp_path: Path
) -> None:
    embedded, vault = chain
    data = tmp_path / "data"
    assert run(epoch=0, inputs=sample, data=data).message == "up to epoch 0: closed [0], published [0]"
    record = vault.root_at(0)
    assert record is not None
    assert (record.status, record.root) == ("pending", Workspace(data).store.read(0).manifest.root)
    head = embedded.chain.head().number
    again = run(epoch=0, inputs=sample, data=data)
    assert again.message == "up to epoch 0: closed nothing, all was sealed, published nothing"
    assert embedded.chain.head().number == head

    failed = run(inputs=sample, data=data)
    assert failed.is_failed()
    _, tables = read_newest_run()
    assert [(key, description) for key, description, _ in tables[:1]] == [("epoch", "epoch 1")]
    assert tables[-1][0] == "findings"
    assert [(row["gate"], row["finding"]) for row in tables[-1][2]] == [("chain state", "a root is pending")]
    assert (vault.next_epoch(), embedded.chain.head().number) == (1, head)

    revoke_epoch(Workspace(data), 0, "a test", vault, embedded.signers[3])
    head = embedded.chain.head().number
    with pytest.raises(GateRefused, match="this very root was revoked"):
        nightly.nightly(epoch=0, inputs=str(sample), data=str(data))
    assert (vault.next_epoch(), embedded.chain.head().number) == (0, head)
    assert PUBLISHER_KEY[2:] not in str(read_newest_run())


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize(("error", "message"), [(GateRefused, "sealing epoch 1 refused"), (InputError, "no folder")])
def test_an_epoch_that_cannot_be_closed_does_not_hold_back_the_sealed_ones(
    error: type[Exception],
    message: str,
    chain: tuple[EmbeddedChain, Vault],
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, vault = chain
    data, inputs = tmp_path / "data", tmp_path / "inputs"
    with monkeypatch.context() as patch:
        patch.setattr(nightly, "publish", lambda *_: [])
        assert run(epoch=0, inputs=sample, data=data).is_completed()
    if error is GateRefused:
        shutil.copytree(sample, inputs)
        (inputs / USAGE_OF_EPOCH_1).unlink()
    assert vault.next_epoch() == 0
    with pytest.raises(error, match=message):
        nightly.nightly(inputs=str(inputs), data=str(data))
    record = vault.root_at(0)
    assert record is not None
    assert (record.status, vault.next_epoch()) == ("pending", 1)
    assert [e.number for e in Workspace(data).ledger.sealed()] == [0]
