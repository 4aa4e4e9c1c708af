"""Resuming what the ledger says: nothing that others wrote there is signed, and every refusal is told."""

from dataclasses import replace
from pathlib import Path

import pytest

from rewards.chain.intent import SignedIntent
from rewards.chain.signers import LocalSigner
from rewards.chain.vault import _encode, encode_attest, encode_publish, encode_revoke
from rewards.errors import ChainError, GateRefused
from rewards.jobs import resume
from rewards.jobs.resume import resume_all
from rewards.jobs.workspace import Workspace
from rewards.ledger.intents import Intents, StoredIntent
from rewards.units import Address, checksum
from tests.chain.conftest import make_embedded
from tests.jobs import small_vault
from tests.jobs.small_vault import NOW, SmallVault

PUBLISHER, ATTESTER, GUARDIAN, THIEF = 2, 3, 4, 8
EMPTY = bytes(32)


@pytest.fixture
def small() -> SmallVault:
    return small_vault.deploy(make_embedded())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return small_vault.seal(tmp_path / "data")


def _sign(small: SmallVault, signer: LocalSigner, to: Address, data: bytes) -> SignedIntent:
    """For so little that no node takes it: whoever resumes it signs it anew."""
    chain = small.network.chain
    fees = {"maxFeePerGas": 1, "maxPriorityFeePerGas": 1}
    nonce = chain.count_transactions(signer.address, "latest")
    call = {"to": checksum(to), "data": data, "value": 0, "gas": 300_000, "nonce": nonce, "chainId": chain.chain_id}
    return SignedIntent.from_raw("publication of epoch 3", signer.sign_transaction(call | fees))


def _store(workspace: Workspace, signed: SignedIntent, action: str, epoch: int = 3) -> None:
    known = signed.transaction.hex(), epoch, action, "00" * 32, "00" * 32
    stored = StoredIntent(*known, signed.chain_id, signed.sender, signed.nonce, signed.to_json())
    Intents(workspace.ledger).keep(stored, NOW)


def _resume(workspace: Workspace, small: SmallVault, signer: LocalSigner) -> None:
    count = small.network.chain.count_transactions(signer.address, "latest")
    try:
        assert list(resume_all(workspace, small.vault, {signer.address: signer})) == []
    finally:
        assert small.network.chain.count_transactions(signer.address, "latest") == count
        assert len(Intents(workspace.ledger).all(small.vault.chain_id)) == 1


@pytest.mark.parametrize("action", ["cancel", "publish"])
def test_bytes_that_another_key_signed_are_not_resumed(workspace: Workspace, small: SmallVault, action: str) -> None:
    """The row and its record name the publisher; the bytes are of who wrote them there."""
    publisher, thief = small.network.signers[PUBLISHER], small.network.signers[THIEF]
    foreign = _sign(small, thief, small.vault.address, encode_publish(3, b"\x66" * 32, 1, 1, EMPTY, 0))
    _store(workspace, replace(foreign, sender=publisher.address), action)
    with pytest.raises(ChainError, match=f"says sender {publisher.address}, its signed bytes say {thief.address}"):
        _resume(workspace, small, publisher)
    assert small.vault.root_at(3) is None


def test_a_row_that_names_another_sender_than_its_record_is_not_resumed(
    workspace: Workspace, small: SmallVault
) -> None:
    publisher, thief = small.network.signers[PUBLISHER], small.network.signers[THIEF]
    foreign = _sign(small, thief, thief.address, b"")
    stored = StoredIntent(
        foreign.transaction.hex(), 3, "cancel", "", "", foreign.chain_id, publisher.address, foreign.nonce,
        foreign.to_json(),
    )  # fmt: skip
    Intents(workspace.ledger).keep(stored, NOW)
    with pytest.raises(
        ChainError, match=r"the ledger has a transaction .*; it must not be sent, find out who wrote it"
    ):
        _resume(workspace, small, publisher)


@pytest.mark.parametrize(
    ("action", "to", "data"),
    [
        ("cancel", "vault", encode_publish(3, b"\x66" * 32, 1, 1, EMPTY, 0)),
        ("cancel", "own", b"\1"),
        ("publish", "vault", encode_publish(4, EMPTY, 0, 0, EMPTY, 0)),
        ("publish", "vault", encode_revoke(3, "a test")),
        ("attest", "vault", encode_publish(3, EMPTY, 0, 0, EMPTY, 0)),
        ("attest", "token", encode_attest(3, EMPTY)),
        ("revoke", "vault", encode_revoke(4, "a test")),
        ("grantRole", "vault", encode_attest(3, EMPTY)),
        ("transfer", "token", _encode("CXPTToken", "transfer", ["0x" + "66" * 20, 10**18])),
    ],
    ids=lambda value: value.hex()[:8] if isinstance(value, bytes) else value,
)
def test_only_the_call_of_its_action_is_resumed(
    workspace: Workspace, small: SmallVault, action: str, to: str, data: bytes
) -> None:
    """Even bytes that the key itself signed once: what another call asks for is never signed anew."""
    signer = small.network.signers[PUBLISHER]
    places = {"vault": small.vault.address, "token": small.vault.token, "own": signer.address}
    _store(workspace, _sign(small, signer, places[to], data), action)
    with pytest.raises(
        ChainError, match=f"for {action} of epoch 3, and it calls {places[to]} with 0x.*: it is not resumed"
    ):
        _resume(workspace, small, signer)


def test_every_refusal_is_told(workspace: Workspace, small: SmallVault, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise GateRefused("extending the history refused by 1 finding(s): another story")

    signer = small.network.signers[PUBLISHER]
    _store(workspace, _sign(small, signer, signer.address, b"\1"), "cancel")
    monkeypatch.setattr(resume, "extend_history", refuse)
    with pytest.raises(ChainError, match=r"it is not resumed, .*; and extending the history refused by 1 finding"):
        _resume(workspace, small, signer)
