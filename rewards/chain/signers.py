"""Who signs: keys that stay where they are. Nothing here ever shows a key."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol, runtime_checkable

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32
from pydantic import SecretBytes, SecretStr

from rewards.errors import UsageError
from rewards.units import Address, parse_address


class Signer(Protocol):
    """An account that signs transactions; the key may be in this process or elsewhere."""

    @property
    def address(self) -> Address: ...

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """The signed raw bytes of a transaction with every field filled in."""
        ...


@runtime_checkable
class DigestSigner(Protocol):
    """An account that signs 32 bytes as they are, such as the digest of typed data."""

    @property
    def address(self) -> Address: ...

    def sign_digest(self, digest: bytes) -> bytes:
        """The signature as r, s and v (27 or 28), 65 bytes, with the s of the lower half of the curve."""
        ...


class LocalSigner:
    """A private key in this process."""

    def __init__(self, key: SecretStr | SecretBytes | bytes) -> None:
        """Takes 32 bytes, or 64 hex digits with or without `0x`; UsageError otherwise."""
        secret = key if isinstance(key, bytes) else key.get_secret_value()
        # The error must not carry the key, neither in its text nor as its cause.
        try:
            raw = bytes.fromhex(secret.removeprefix("0x")) if isinstance(secret, str) else secret
            account: LocalAccount = Account.from_key(raw)
        except Exception:
            raise UsageError("the private key is not 32 bytes in hex within the curve; check the setting") from None
        self._account = account
        self._address = parse_address(account.address)

    @classmethod
    def from_keystore(cls, text: str, password: SecretStr) -> "LocalSigner":
        """The key of an encrypted keystore (JSON, version 3); UsageError when the password or the file is wrong."""
        try:
            key = Account.decrypt(json.loads(text), password.get_secret_value())
        except Exception:
            raise UsageError("the keystore does not open; check the file and its password") from None
        return cls(bytes(key))

    @property
    def address(self) -> Address:
        return self._address

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        return bytes(self._account.sign_transaction(dict(transaction)).raw_transaction)

    def sign_digest(self, digest: bytes) -> bytes:
        return bytes(self._account.unsafe_sign_hash(Hash32(digest)).signature)

    def __repr__(self) -> str:
        return f"LocalSigner({self._address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not pickled: its key stays in this process")
