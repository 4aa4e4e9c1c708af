"""Keys: taken in several forms, shown in none."""

import json
import traceback

import pytest
from eth_account import Account
from pydantic import SecretBytes, SecretStr

from rewards.chain.signers import LocalSigner
from rewards.errors import UsageError

KEY = "ab" * 32
ADDRESS = Account.from_key(KEY).address.lower()
PASSWORD = "correct horse"


def _keystore() -> str:
    return json.dumps(Account.encrypt(bytes.fromhex(KEY), PASSWORD, kdf="scrypt", iterations=2))


@pytest.mark.parametrize(
    "key", [SecretStr(KEY), SecretStr("0x" + KEY), SecretBytes(bytes.fromhex(KEY)), bytes.fromhex(KEY)]
)
def test_forms_of_a_key(key: SecretStr | SecretBytes | bytes) -> None:
    assert LocalSigner(key).address == ADDRESS


def test_key_is_never_shown() -> None:
    signer = LocalSigner(SecretStr(KEY))
    for text in (repr(signer), str(signer), f"{signer}", str(vars(signer))):
        assert KEY not in text
        assert ADDRESS in text.lower()


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
