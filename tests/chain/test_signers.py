"""Keys: taken in several forms, shown in none; every signer signs what the others sign."""

import copy
import json
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account
from pydantic import SecretBytes, SecretStr

from rewards.chain.kms import KmsSigner
from rewards.chain.signers import LocalSigner, Signer
from rewards.errors import UsageError
from rewards.units import checksum
from tests.chain.kms import KEY_ID, SECRET, TOKEN, FakeKms, point_at, serve
from tests.chain.networks import Network

KEY = "ab" * 32
ADDRESS = Account.from_key(KEY).address.lower()
PASSWORD = "correct horse"


def _keystore() -> str:
    return json.dumps(Account.encrypt(bytes.fromhex(KEY), PASSWORD, kdf="scrypt", iterations=2))


@pytest.fixture(params=["key", "keystore", "KMS", "KMS that answers in the upper half"])
def signer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Signer]:
    """Each kind of signer, all with the same key."""
    if request.param == "key":
        yield LocalSigner(SecretStr(KEY))
    elif request.param == "keystore":
        yield LocalSigner.from_keystore(_keystore(), SecretStr(PASSWORD))
    else:
        with serve(FakeKms(bytes.fromhex(KEY), high_s="upper" in request.param)) as kms:
            point_at(kms, monkeypatch)
            yield KmsSigner(KEY_ID)


FEES: dict[str, dict[str, Any]] = {
    "EIP-1559": {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**9},
    "legacy": {"gasPrice": 3 * 10**9},
}
CONTENTS: dict[str, dict[str, Any]] = {
    "call": {"to": checksum("0x" + "c3" * 20), "data": b"\x01\x02", "value": 5},
    # Code that returns one byte, STOP, as the code of the contract.
    "creation": {"data": bytes.fromhex("60015ff3"), "value": 0},
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("fees", FEES)
def test_a_chain_takes_what_every_signer_signs(signer: Signer, embedded: Network, fees: str, content: str) -> None:
    eth = embedded.chain.web3.eth
    fund = {"to": checksum(signer.address), "value": 10**18, "data": b"", "nonce": 0, "gas": 21_000}
    eth.send_raw_transaction(
        embedded.signers[0].sign_transaction(fund | FEES["legacy"] | {"chainId": embedded.chain.chain_id})
    )
    transaction = CONTENTS[content] | FEES[fees] | {"nonce": 0, "gas": 100_000, "chainId": embedded.chain.chain_id}
    raw = signer.sign_transaction(transaction)
    assert Account.recover_transaction(raw).lower() == signer.address == ADDRESS
    receipt = eth.wait_for_transaction_receipt(eth.send_raw_transaction(raw))
    assert (receipt["status"], receipt["from"].lower()) == (1, signer.address)
    if content == "creation":
        assert bytes(eth.get_code(receipt["contractAddress"])) == b"\x00"
    else:
        assert eth.get_balance(CONTENTS["call"]["to"]) == 5


def test_no_signer_shows_its_key(signer: Signer) -> None:
    with pytest.raises(TypeError) as caught:
        signer.sign_transaction({"nonce": "no number"})
    failed = "".join(traceback.format_exception(caught.value))
    for text in (repr(signer), str(signer), f"{signer}", str(vars(signer)), failed):
        assert [secret for secret in (KEY, PASSWORD, SECRET, TOKEN) if secret in text] == []
    assert signer.address in repr(signer)


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_no_signer_leaves_its_process(signer: Signer, take: Any) -> None:
    with pytest.raises(TypeError, match=r"a signer is not pickled: its .* in this process"):
        take(signer)


@pytest.mark.parametrize(
    "key", [SecretStr(KEY), SecretStr("0x" + KEY), SecretBytes(bytes.fromhex(KEY)), bytes.fromhex(KEY)]
)
def test_forms_of_a_key(key: SecretStr | SecretBytes | bytes) -> None:
    assert LocalSigner(key).address == ADDRESS


@pytest.mark.parametrize("bad", ["", KEY[:-2], KEY + "00", "zz" * 32, "00" * 32, "ff" * 32])
def test_bad_key_is_refused_without_repeating_it(bad: str) -> None:
    with pytest.raises(UsageError, match="the private key is not 32 bytes in hex") as caught:
        LocalSigner(SecretStr(bad))
    told = "".join(traceback.format_exception(caught.value)).split("During handling")[0]
    assert not bad or f"'{bad}'" not in told


def test_keystore_opens_with_its_password() -> None:
    assert LocalSigner.from_keystore(_keystore(), SecretStr(PASSWORD)).address == ADDRESS


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json"])
def test_broken_keystore_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the keystore does not open; check the file and its password"):
        LocalSigner.from_keystore(text, SecretStr(PASSWORD))


def test_wrong_password_is_refused_without_repeating_it() -> None:
    wrong = "-".join(["hunter2"] * 2)
    with pytest.raises(UsageError, match="the keystore does not open") as caught:
        LocalSigner.from_keystore(_keystore(), SecretStr(wrong))
    assert caught.value.__cause__ is None
    assert wrong not in "".join(traceback.format_exception(caught.value))
