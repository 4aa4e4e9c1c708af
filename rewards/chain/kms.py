"""A signer whose key never leaves AWS KMS: digests go there, signatures come back and are proved before they are used."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import boto3
from botocore import exceptions as aws
from botocore.config import Config
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from eth_account import Account
from eth_account._utils.legacy_transactions import (
    UnsignedTransaction,
    encode_transaction,
    serializable_unsigned_transaction_from_dict,
)
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from rewards.errors import ChainError, UsageError
from rewards.units import Address, keccak, parse_address

BOUNDS = Config(connect_timeout=5, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
"""A request takes at most three attempts of ten seconds, and a pause of a few seconds after each."""

SPEC, USAGE, ALGORITHM = "ECC_SECG_P256K1", "SIGN_VERIFY", "ECDSA_SHA_256"
CURVE_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141

# What AWS answers, to what a person does about it.
_REFUSALS = {
    "AccessDeniedException": "the key policy must allow kms:GetPublicKey and kms:Sign to these credentials",
    "DisabledException": "the key is disabled; enable it, or configure another",
    "KMSInvalidStateException": "the key is not usable in its state; look whether it is scheduled for deletion",
    "NotFoundException": "there is no such key in this region and account; mend the key's name or AWS_REGION",
    "InvalidArnException": "the key's name is no ARN; mend it",
    "InvalidKeyUsageException": f"the key has another use; make one with {SPEC} and {USAGE}",
    "UnsupportedOperationException": f"the key has another use; make one with {SPEC} and {USAGE}",
    "ExpiredTokenException": "the credentials have expired; renew them",
    "UnrecognizedClientException": "the credentials are not known; mend them",
    "InvalidSignatureException": "the credentials are wrong, or this machine's clock is; mend them",
    "NoRegionError": "no region is configured; set AWS_REGION",
    "NoCredentialsError": "no credentials are found; give them in one of boto3's ways, such as AWS_PROFILE",
}
_PASSING = {"DependencyTimeoutException", "KMSInternalException", "InternalFailure", "KeyUnavailableException"}


class KmsSigner:
    """An asymmetric key at AWS KMS. Region, endpoint and credentials are found in boto3's own ways."""

    def __init__(self, key_id: str, bounds: Config = BOUNDS) -> None:
        """Takes a key's ARN, id or alias, and asks for its public key. UsageError when the key or the access to it is not
        what signing needs, ChainError when AWS does not answer."""
        self._key_id = key_id
        with _explain(key_id, "opening"):
            self._client = boto3.Session().client("kms", config=bounds)
        with _explain(key_id, "GetPublicKey"):
            answer = self._client.get_public_key(KeyId=key_id)
        self._address = _read_address(key_id, answer)

    @property
    def address(self) -> Address:
        return self._address

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """The signed raw bytes; ChainError when KMS fails or its signature is not this key's."""
        unsigned = serializable_unsigned_transaction_from_dict(dict(transaction))
        if isinstance(unsigned, UnsignedTransaction):
            raise UsageError("a transaction without a chain id could be sent again on every chain; give chainId")
        r, s = self._sign(bytes(unsigned.hash()))
        first = 0 if isinstance(unsigned, TypedTransaction) else 35 + 2 * unsigned.v
        for v in (first, first + 1):
            raw = bytes(encode_transaction(unsigned, vrs=(v, r, s)))
            if _recover(raw) == self._address:
                return raw
        raise ChainError(
            f"{_name(self._key_id)} answers with a signature that is not of {self._address}; nothing is sent"
        )

    def _sign(self, digest: bytes) -> tuple[int, int]:
        """r and s over a digest, s in the lower half as Ethereum wants it."""
        with _explain(self._key_id, "Sign"):
            answer = self._client.sign(
                KeyId=self._key_id, Message=digest, MessageType="DIGEST", SigningAlgorithm=ALGORITHM
            )
        try:
            r, s = decode_dss_signature(answer["Signature"])
        except (KeyError, ValueError):
            r = s = 0
        if not (0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER):
            raise ChainError(f"{_name(self._key_id)} answers with what is no signature; nothing is sent")
        return r, min(s, CURVE_ORDER - s)

    def __repr__(self) -> str:
        return f"KmsSigner({self._address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not pickled: its credentials stay in this process")


def _read_address(key_id: str, answer: Mapping[str, Any]) -> Address:
    try:
        spec, usage, encoded = (answer[name] for name in ("KeySpec", "KeyUsage", "PublicKey"))
        key = load_der_public_key(encoded)
    except (KeyError, ValueError):
        raise ChainError(f"{_name(key_id)} answers with what is no public key; check endpoint and network") from None
    if (spec, usage) != (SPEC, USAGE):
        raise UsageError(f"{_name(key_id)} is {spec} for {usage}; make one with {SPEC} and {USAGE}")
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256K1):
        raise UsageError(f"{_name(key_id)} has a public key on another curve than secp256k1; make one with {SPEC}")
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return parse_address("0x" + keccak(point[1:])[12:].hex())


def _recover(raw: bytes) -> Address | None:
    """The sender of signed bytes; None where no key gives such a signature."""
    try:
        return parse_address(Account.recover_transaction(raw))
    except (BadSignature, ValidationError):
        return None


@contextmanager
def _explain(key_id: str, doing: str) -> Iterator[None]:
    """Failures of boto3 as one line. Its own texts stay out: they quote requests, and with them session tokens."""
    try:
        yield
    except aws.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if "Throttl" in code or "LimitExceeded" in code:
            raise ChainError(f"{_name(key_id)}: {doing}: {code}; too many requests, run it again later") from None
        if code in _PASSING or status >= 500:
            raise ChainError(f"{_name(key_id)}: {doing}: {code}; AWS has a failure of its own, run it again") from None
        raise UsageError(f"{_name(key_id)}: {doing}: {code}; {_REFUSALS.get(code, 'mend it')}") from None
    except (aws.ConnectionError, aws.HTTPClientError) as error:
        raise ChainError(
            f"{_name(key_id)}: {doing}: no answer ({type(error).__name__}); check endpoint and network, run it again"
        ) from None
    except (aws.BotoCoreError, ValueError) as error:
        kind = type(error).__name__
        advice = _REFUSALS.get(kind, "mend the key's name or boto3's configuration")
        raise UsageError(f"{_name(key_id)}: {doing}: {kind}; {advice}") from None


def _name(key_id: str) -> str:
    return f"the KMS key {key_id!r}"
