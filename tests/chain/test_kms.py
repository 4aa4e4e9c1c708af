"""Signing by AWS KMS, reached by boto3 itself: what comes back is proved, every refusal is one line without a secret."""

import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from rewards.chain.kms import BOUNDS, CURVE_ORDER, KmsSigner
from rewards.chain.signers import LocalSigner
from rewards.errors import ChainError, RewardsError, UsageError
from rewards.units import checksum
from tests.chain.kms import IMPATIENT, KEY_ID, SECRET, TOKEN, FakeKms, encode_public_key, point_at, serve

KEY = bytes.fromhex("ab" * 32)
CALL: Mapping[str, Any] = {
    "chainId": 1,
    "nonce": 7,
    "gas": 50_000,
    "maxFeePerGas": 10**9,
    "maxPriorityFeePerGas": 1,
    "to": checksum("0x" + "c3" * 20),
    "value": 0,
    "data": b"\x01",
}


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKms]:
    with serve(FakeKms(KEY)) as kms:
        point_at(kms, monkeypatch)
        yield kms


def refuse_to_open(message: str, kind: type[RewardsError], bounds: Any = IMPATIENT) -> None:
    with pytest.raises(kind, match=message) as caught:
        KmsSigner(KEY_ID, bounds)
    require_clean(caught.value)


def require_clean(error: Exception) -> None:
    """One line, and no secret in it or in what its traceback shows."""
    assert len(str(error).splitlines()) == 1
    told = "".join(traceback.format_exception(error))
    assert SECRET not in told and TOKEN not in told


transactions = st.fixed_dictionaries(
    {
        "chainId": st.integers(1, 2**63),
        "nonce": st.integers(0, 2**64 - 2),
        "gas": st.integers(21_000, 2**24),
        "value": st.integers(0, 2**96),
        "data": st.binary(max_size=200),
        "fees": st.one_of(
            st.integers(0, 10**12).map(lambda price: {"gasPrice": price}),
            st.integers(0, 10**12).map(lambda fee: {"maxFeePerGas": fee, "maxPriorityFeePerGas": fee // 2}),
        ),
        "to": st.one_of(
            st.just({}), st.binary(min_size=20, max_size=20).map(lambda to: {"to": checksum("0x" + to.hex())})
        ),
    }
).map(lambda given: {k: v for k, v in given.items() if k not in ("fees", "to")} | given["fees"] | given["to"])


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[FakeKms, KmsSigner]]:
    """One signer for many examples."""
    with serve(FakeKms(KEY)) as kms, pytest.MonkeyPatch.context() as patch:
        point_at(kms, patch)
        yield kms, KmsSigner(KEY_ID)


@given(transactions, st.booleans())
def test_every_transaction_is_signed_as_the_key_itself_signs_it(
    opened: tuple[FakeKms, KmsSigner], transaction: Mapping[str, Any], high_s: bool
) -> None:
    kms, signer = opened
    kms.high_s = high_s
    raw = signer.sign_transaction(transaction)
    assert Account.recover_transaction(raw).lower() == signer.address
    # The fake chooses the same nonces as eth-account does.
    assert raw == LocalSigner(KEY).sign_transaction(transaction)


def test_a_signature_of_another_key_is_not_used(kms: FakeKms) -> None:
    signer = KmsSigner(KEY_ID)
    kms.key = bytes.fromhex("cd" * 32)
    with pytest.raises(ChainError, match=f"a signature that is not of {signer.address}"):
        signer.sign_transaction(CALL)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"no signature",
        encode_dss_signature(0, 1),
        encode_dss_signature(1, 0),
        encode_dss_signature(CURVE_ORDER, 1),
        encode_dss_signature(1, CURVE_ORDER),
        encode_dss_signature(1, 2**300),
    ],
)
def test_what_is_no_signature_is_not_used(kms: FakeKms, signature: bytes) -> None:
    signer = KmsSigner(KEY_ID)
    kms.signature = signature
    with pytest.raises(ChainError, match="answers with what is no signature; nothing is sent"):
        signer.sign_transaction(CALL)


def test_a_point_off_the_curve_is_not_used(kms: FakeKms) -> None:
    signer = KmsSigner(KEY_ID)
    kms.signature = encode_dss_signature(5, 1)  # no point of the curve has this r
    with pytest.raises(ChainError, match="a signature that is not of"):
        signer.sign_transaction(CALL)


def test_a_transaction_for_every_chain_is_refused_unasked(kms: FakeKms) -> None:
    signer = KmsSigner(KEY_ID)
    legacy = {"nonce": 0, "gas": 21_000, "gasPrice": 1, "to": CALL["to"], "value": 0, "data": b""}
    with pytest.raises(UsageError, match="give chainId"):
        signer.sign_transaction(legacy)
    assert kms.asked == ["TrentService.GetPublicKey"]


@pytest.mark.parametrize(("spec", "usage"), [("ECC_NIST_P256", "SIGN_VERIFY"), ("ECC_SECG_P256K1", "KEY_AGREEMENT")])
def test_a_key_for_something_else_is_refused(kms: FakeKms, spec: str, usage: str) -> None:
    kms.spec, kms.usage = spec, usage
    refuse_to_open(f"'alias/publisher' is {spec} for {usage}; make one with ECC_SECG_P256K1", UsageError)


def test_another_curve_is_seen_in_the_key_itself(kms: FakeKms) -> None:
    kms.public_key = encode_public_key(KEY, ec.SECP256R1())
    refuse_to_open("on another curve than secp256k1", UsageError)


def test_what_is_no_public_key_is_refused(kms: FakeKms) -> None:
    kms.public_key = kms.public_key[:-1]
    refuse_to_open("answers with what is no public key", ChainError)


@pytest.mark.parametrize(
    ("status", "code", "kind", "advice"),
    [
        (400, "AccessDeniedException", UsageError, "the key policy must allow kms:GetPublicKey and kms:Sign"),
        (400, "DisabledException", UsageError, "enable it"),
        (400, "KMSInvalidStateException", UsageError, "scheduled for deletion"),
        (400, "UnsupportedOperationException", UsageError, "make one with ECC_SECG_P256K1"),
        (400, "ExpiredTokenException", UsageError, "renew them"),
        (400, "InvalidSignatureException", UsageError, "this machine's clock"),
        (400, "SomethingNew", UsageError, "SomethingNew; mend it"),
        (400, "ThrottlingException", ChainError, "too many requests, run it again later"),
        (400, "LimitExceededException", ChainError, "too many requests, run it again later"),
        (500, "KMSInternalException", ChainError, "AWS has a failure of its own, run it again"),
        (503, "SomethingNew", ChainError, "AWS has a failure of its own, run it again"),
    ],
)
def test_refusals_say_what_to_do(kms: FakeKms, status: int, code: str, kind: type[RewardsError], advice: str) -> None:
    kms.failures = [(status, code)]
    refuse_to_open(f"the KMS key 'alias/publisher': GetPublicKey: {code}; .*", kind)
    kms.failures = [(status, code)]
    refuse_to_open(advice, kind)
    signer = KmsSigner(KEY_ID, IMPATIENT)
    kms.failures = [(status, code)]
    with pytest.raises(kind, match=f"Sign: {code}; ") as caught:
        signer.sign_transaction(CALL)
    require_clean(caught.value)


def test_a_key_that_is_not_there_is_named(kms: FakeKms) -> None:
    with pytest.raises(UsageError, match="'alias/other': GetPublicKey: NotFoundException; there is no such key"):
        KmsSigner("alias/other", IMPATIENT)
    with pytest.raises(UsageError, match=r"the KMS key '': .*; mend the key's name"):
        KmsSigner("", IMPATIENT)


def test_a_throttled_request_is_made_again(kms: FakeKms) -> None:
    signer = KmsSigner(KEY_ID)
    kms.failures = [(400, "ThrottlingException")]
    assert Account.recover_transaction(signer.sign_transaction(CALL)).lower() == signer.address
    assert kms.asked[1:] == ["TrentService.Sign"] * 2


def test_silence_ends(kms: FakeKms) -> None:
    signer = KmsSigner(KEY_ID, IMPATIENT)
    kms.hangs = True
    refuse_to_open(r"no answer \(ReadTimeoutError\); check endpoint and network, run it again", ChainError)
    with pytest.raises(ChainError, match=r"Sign: no answer \(ReadTimeoutError\)"):
        signer.sign_transaction(CALL)
    assert (BOUNDS.connect_timeout, BOUNDS.read_timeout, BOUNDS.retries["total_max_attempts"]) == (5, 5, 3)


def test_an_answer_that_is_no_json_is_told(kms: FakeKms) -> None:
    kms.body = f"<html>{TOKEN}".encode()
    refuse_to_open("answers with what is no public key; check endpoint and network", ChainError)


def test_an_endpoint_where_nobody_listens_is_told(kms: FakeKms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:1/{TOKEN}")
    refuse_to_open(r"no answer \(EndpointConnectionError\)", ChainError)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", TOKEN)
    refuse_to_open("opening: ValueError; mend", UsageError)


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        (("AWS_REGION", "AWS_DEFAULT_REGION"), "NoRegionError; no region is configured; set AWS_REGION"),
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "NoCredentialsError; no credentials are"),
        (("AWS_SECRET_ACCESS_KEY",), "PartialCredentialsError; mend"),
    ],
)
def test_missing_settings_of_boto3_are_named(
    kms: FakeKms, monkeypatch: pytest.MonkeyPatch, removed: tuple[str, ...], message: str
) -> None:
    for name in removed:
        monkeypatch.delenv(name)
    refuse_to_open(message, UsageError)


def test_a_profile_that_is_not_there_is_told(kms: FakeKms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    refuse_to_open("ProfileNotFound; mend", UsageError)
