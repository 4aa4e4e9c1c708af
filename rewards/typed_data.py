"""EIP-712: what a wallet shows before it signs, the 32 bytes that are signed, and who signed them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coincurve import PublicKey

from rewards.units import Address, keccak

Fields = Sequence[tuple[str, str]]
"""Names and types of a struct, in their order; types are string, address, int256 and unsigned integers."""

NAME, VERSION = "CXPT Rewards", "1"
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SIGNATURE_BYTES = 65


@dataclass(frozen=True)
class Domain:
    """The Vault for which a signature is good."""

    chain_id: int
    vault: Address

    def __str__(self) -> str:
        return f"Vault {self.vault} on chain {self.chain_id}"


def _domain_struct(domain: Domain | None) -> tuple[Fields, dict[str, Any]]:
    fields, values = [("name", "string"), ("version", "string")], {"name": NAME, "version": VERSION}
    if domain is None:
        return fields, values
    bound = {"chainId": domain.chain_id, "verifyingContract": domain.vault}
    return [*fields, ("chainId", "uint256"), ("verifyingContract", "address")], values | bound


def _hash_struct(name: str, fields: Fields, values: Mapping[str, Any]) -> bytes:
    words = [keccak(f"{name}({','.join(f'{kind} {field}' for field, kind in fields)})".encode())]
    for field, kind in fields:
        value = values[field]
        if kind == "string":
            words.append(keccak(value.encode()))
        else:
            number = int(value, 16) if kind == "address" else value
            words.append(number.to_bytes(32, "big", signed=kind.startswith("int")))
    return keccak(b"".join(words))


def hash_typed(domain: Domain | None, name: str, fields: Fields, values: Mapping[str, Any]) -> bytes:
    """The 32 bytes that are signed for a struct; integers are given as int. Without a Vault the domain has name and
    version alone."""
    return keccak(
        b"\x19\x01" + _hash_struct("EIP712Domain", *_domain_struct(domain)) + _hash_struct(name, fields, values)
    )


def show_typed(domain: Domain | None, name: str, fields: Fields, values: Mapping[str, Any]) -> dict[str, Any]:
    """The same struct as the document of `eth_signTypedData_v4`; integers are decimal strings, which every wallet takes
    exactly."""
    about, bound = _domain_struct(domain)
    return {
        "types": {
            kind: [{"name": field, "type": type_} for field, type_ in struct]
            for kind, struct in (("EIP712Domain", about), (name, fields))
        },
        "primaryType": name,
        "domain": {k: str(v) for k, v in bound.items()},
        "message": {k: str(v) for k, v in values.items()},
    }


def recover_signer(digest: bytes, signature: bytes) -> Address | None:
    """Who signed 32 bytes; null where the signature is none: not r, s and v (27 or 28), or with the s of the upper half
    of the curve, by which anybody can write another signature for the same key and digest."""
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        return None
    if int.from_bytes(signature[32:64], "big") > CURVE_ORDER // 2:
        return None
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), digest, hasher=None)
    except Exception:  # coincurve raises ValueError or Exception itself for points that are not on the curve
        return None
    return Address("0x" + keccak(key.format(compressed=False)[1:])[-20:].hex())
