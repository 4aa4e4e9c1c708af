"""From settings to signers: each way of holding a key, one for a role, and passwords that stay where they are."""

import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from rewards.errors import UsageError
from rewards.jobs.chain import find_safe, name_source, open_chain, open_signer
from rewards.jobs.settings import list_secrets, load_settings
from rewards.units import Address
from tests.chain.kms import KEY_ID, FakeKms, point_at, serve
from tests.chain.test_client import serve as serve_node

KEY = "ab" * 32
ADDRESS = Account.from_key(KEY).address.lower()
PASSWORD = "correct horse"
SAFE = "0xDF8a1Ce35c9a6ACE153B4e0767942f1E2291a1Aa"

WAYS = {"KEY": KEY, "KEYSTORE": "keystore.json", "KMS_KEY": KEY_ID, "SAFE": SAFE}


@pytest.fixture
def keystore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The publisher's keystore, configured without its password."""
    path = tmp_path / "keystore.json"
    path.write_text(json.dumps(Account.encrypt(KEY, PASSWORD, kdf="pbkdf2", iterations=2)))
    monkeypatch.setenv("REWARDS_PUBLISHER_KEYSTORE", str(path))
    return path


@pytest.fixture
def password_file(keystore: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = keystore.parent / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    monkeypatch.setenv("REWARDS_KEYSTORE_PASSWORD_FILE", str(path))
    return path


def open_publisher() -> str:
    return open_signer(load_settings(), "publisher").address


def refuse(message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_publisher()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_keystore_opens_with_the_password_of_a_file(password_file: Path, ending: str, mode: int) -> None:
    password_file.write_bytes(f"{PASSWORD}{ending}".encode())
    password_file.chmod(mode)
    assert open_publisher() == ADDRESS


@pytest.mark.parametrize("content", [f"{PASSWORD} ", f"{PASSWORD}\n\n", f"\n{PASSWORD}"])
def test_only_one_line_ending_is_no_part_of_the_password(password_file: Path, content: str) -> None:
    password_file.write_text(content)
    refuse("the keystore does not open; check the file and its password")


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o601, 0o777])
def test_a_password_that_others_may_read_is_refused(password_file: Path, mode: int) -> None:
    password_file.chmod(mode)
    refuse(rf"may be read by others \(mode {mode:04o}\); chmod 600 {password_file}")


def test_two_passwords_are_refused(password_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARDS_KEYSTORE_PASSWORD", PASSWORD)
    refuse("REWARDS_KEYSTORE_PASSWORD and REWARDS_KEYSTORE_PASSWORD_FILE are both set; unset one")


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"\n", "is empty"), (b"\xff", "is not UTF-8 text")]
)
def test_a_file_without_a_password_is_told(password_file: Path, content: bytes, message: str) -> None:
    password_file.write_bytes(content)
    refuse(f"the password file {password_file} {message}; write the password")


def test_a_file_that_cannot_be_read_is_told(password_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARDS_KEYSTORE_PASSWORD_FILE", str(password_file.parent))
    refuse("cannot be read: Is a directory; mend REWARDS_KEYSTORE_PASSWORD_FILE")
    password_file.unlink()
    monkeypatch.setenv("REWARDS_KEYSTORE_PASSWORD_FILE", str(password_file))
    refuse("cannot be read: No such file or directory; mend REWARDS_KEYSTORE_PASSWORD_FILE")


def test_the_password_of_a_file_is_a_secret(password_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list_secrets() == [PASSWORD]
    password_file.chmod(0o644)
    assert list_secrets() == [PASSWORD]
    monkeypatch.setenv("REWARDS_KEYSTORE_PASSWORD", "battery staple")
    assert list_secrets() == ["battery staple", PASSWORD]
    password_file.unlink()
    assert list_secrets() == ["battery staple"]


@pytest.mark.parametrize(
    ("urls", "secrets"),
    [
        ("http://127.0.0.1:8545", []),
        (
            "https://one.example/v3/path-one https://two.example/path-two",
            ["v3/path-one", "v3%2Fpath-one", "v3%2fpath-one", "path-one", "path-two"],
        ),
        (
            "https://op%20erator:pass%20word@one.example",
            ["pass%20word", "pass word", "op%20erator", "op erator", b64encode(b"op erator:pass word").decode()],
        ),
        (
            "https://one.example/?token=abcdef&net=1",
            ["token=abcdef&net=1", "token%3Dabcdef%26net%3D1", "token%3dabcdef%26net%3d1", "abcdef"],
        ),
        ("https://one.example/3338/abcde1", ["3338/abcde1", "3338%2Fabcde1", "3338%2fabcde1", "abcde1"]),
        ("https://one.example/3338?chain=9990", ["chain=9990", "chain%3D9990", "chain%3d9990"]),
        ("https://one.example/mainnet/", []),
        ("https://one.example/12345678", ["12345678"]),
        ("https://one.example/say%22it", ["say%22it", 'say"it', 'say\\"it']),
        ("https://one.example/rpc?bare-key#a-fragment", ["a-fragment", "bare-key"]),
        ("http://[bad/secret-of-it http://127.0.0.1/Other", ["http://[bad/secret-of-it", "Other"]),
    ],
)
def test_every_part_of_every_endpoint_is_a_secret(
    monkeypatch: pytest.MonkeyPatch, urls: str, secrets: list[str]
) -> None:
    monkeypatch.setenv("REWARDS_RPC_URL", urls)
    assert set(list_secrets()) == set(secrets)
    assert list_secrets() == sorted(list_secrets(), key=len, reverse=True)


def test_credentials_of_aws_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "IQoJb3JpZ2luX2Vj")
    assert list_secrets() == ["wJalrXUtnFEMI/K7MDENG", "IQoJb3JpZ2luX2Vj"]


def test_a_keystore_without_a_password_names_both_settings(keystore: Path) -> None:
    refuse(f"{keystore} needs a password; set REWARDS_KEYSTORE_PASSWORD or REWARDS_KEYSTORE_PASSWORD_FILE")


def test_a_key_at_kms_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(FakeKms(bytes.fromhex(KEY))) as kms:
        point_at(kms, monkeypatch)
        monkeypatch.setenv("REWARDS_PUBLISHER_KMS_KEY", KEY_ID)
        assert open_publisher() == ADDRESS
        assert name_source(load_settings(), "publisher") == "REWARDS_PUBLISHER_KMS_KEY"


def test_kms_without_boto3_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARDS_PUBLISHER_KMS_KEY", KEY_ID)
    monkeypatch.delitem(sys.modules, "rewards.chain.kms", raising=False)
    monkeypatch.setitem(sys.modules, "boto3", None)
    refuse(r"keys at AWS KMS need boto3; run pip install '\.\[kms\]'")


def test_only_a_key_at_kms_loads_boto3(repository: Path) -> None:
    program = (
        "import sys, rewards.cli, rewards.jobs.chain; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=repository, check=True, timeout=60)


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_a_role_signs_in_one_way(monkeypatch: pytest.MonkeyPatch, first: str, second: str) -> None:
    if first == second:
        return
    for name in (first, second):
        monkeypatch.setenv(f"REWARDS_ATTESTER_{name}", WAYS[name])
    names = " and ".join(f"REWARDS_ATTESTER_{name}" for name in WAYS if name in (first, second))
    settings = load_settings()
    for ask in (open_signer, find_safe, name_source):
        with pytest.raises(UsageError, match=f"{names} are set together; the attester signs from one"):
            ask(settings, "attester")
    assert find_safe(settings, "publisher") is None


def test_a_safe_signs_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARDS_PUBLISHER_SAFE", SAFE)
    settings = load_settings()
    assert find_safe(settings, "publisher") == SAFE.lower()
    assert find_safe(settings, "attester") is find_safe(settings, "claimer") is None
    with pytest.raises(UsageError, match=f"the Safe {SAFE.lower()} is the publisher; its owners sign"):
        open_signer(settings, "publisher")


@pytest.mark.parametrize("wrong", ["0x12", SAFE.replace("DF", "Df"), "0x" + "0" * 40])
def test_a_safe_is_an_address(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("REWARDS_GUARDIAN_SAFE", wrong)
    with pytest.raises(UsageError, match=f"setting guardian_safe: not a usable address: '{wrong}'"):
        load_settings()


def test_nothing_configured_names_every_way() -> None:
    refuse("set REWARDS_PUBLISHER_KEYSTORE .*, REWARDS_PUBLISHER_KMS_KEY or REWARDS_PUBLISHER_KEY")
    assert name_source(load_settings(), "publisher") is None


def test_logs_are_asked_for_in_the_range_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = []

    def answer(asked: dict[str, Any]) -> bytes:
        if asked["method"] == "eth_getLogs":
            ranges.append(tuple(int(asked["params"][0][end], 16) for end in ("fromBlock", "toBlock")))
        result = [] if asked["method"] == "eth_getLogs" else hex(3338)
        return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()

    with serve_node(answer) as url:
        for name, value in {"RPC_URL": url, "CHAIN_ID": "3338", "LOG_RANGE": "10"}.items():
            monkeypatch.setenv(f"REWARDS_{name}", value)
        assert list(open_chain(load_settings()).logs(Address(ADDRESS), [], 5, 29)) == []
    assert ranges == [(5, 14), (15, 24), (25, 29)]
