"""Addresses, amounts, roots: parsed once, bounded, printed one way. No floats."""

import re
from typing import NewType

from sha3 import keccak_256 as _keccak_256

from rewards.errors import UsageError

Address = NewType("Address", str)
"""Twenty bytes as `0x` and forty lower-case hex digits."""

Amount = NewType("Amount", int)
"""Base units of CXPT: 10^-18 of a token."""

UNITS_PER_CXPT = 10**18
UNITS_PER_E8 = 10**10
SUPPLY = 10**9 * UNITS_PER_CXPT
MAX_AMOUNT = 2**96 - 1
"""What the Vault stores per pool, cumulatively (uint96)."""

PROTOCOL, PROVIDER, USER = 0, 1, 2
POOLS = (PROVIDER, USER)
POOL_NAMES = {PROVIDER: "provider", USER: "user"}

ZERO_ROOT = bytes(32)
ZERO_ADDRESS = Address("0x" + "0" * 40)

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def keccak(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (the padding from before FIPS 202)."""
    digest: bytes = _keccak_256(data).digest()
    return digest


def checksum(address: str) -> str:
    """EIP-55 form of a lower-case address."""
    digits = address[2:].lower()
    hashed = keccak(digits.encode()).hex()
    return "0x" + "".join(c.upper() if int(h, 16) >= 8 else c for c, h in zip(digits, hashed, strict=False))


def is_usable(text: str | None) -> bool:
    """Whether a wallet can be paid: 20 bytes in hex, a right checksum if in mixed case, not zero."""
    if text is None or not _ADDRESS.fullmatch(text):
        return False
    if int(text, 16) == 0:
        return False
    digits = text[2:]
    mixed = digits != digits.lower() and digits != digits.upper()
    return not mixed or checksum(text) == text


def parse_address(text: str) -> Address:
    """Lower-case form of a usable address; raises UsageError naming what was given."""
    if not is_usable(text):
        raise UsageError(
            f"not a usable address: {text!r}; give 0x and 40 hex digits (with a right checksum if in mixed case)"
        )
    return Address(text.lower())


def format_cxpt(units: int) -> str:
    """Base units as CXPT for people, exact: `1.5`, never `1.50` or `1e0`."""
    sign, whole = ("-" if units < 0 else ""), abs(units)
    text = f"{whole // UNITS_PER_CXPT:,}"
    part = f"{whole % UNITS_PER_CXPT:018d}".rstrip("0")
    return sign + text + (f".{part}" if part else "")


def parse_cxpt(text: str) -> Amount:
    """CXPT in decimal notation to base units; refuses more than 18 places, signs, exponents."""
    match = re.fullmatch(r"([0-9]{1,28})(?:\.([0-9]{1,18}))?", text)
    if match is None:
        raise UsageError(f"not an amount of CXPT: {text!r}; write digits with at most 18 places, such as 12.5")
    # Not Decimal: its context rounds at 28 digits.
    return Amount(int(match[1] + (match[2] or "").ljust(18, "0")))


def parse_root(text: str) -> bytes:
    """Thirty-two bytes from `0x` and 64 hex digits."""
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", text):
        raise UsageError(f"not a 32-byte hash: {text!r}; give 0x and 64 hex digits")
    return bytes.fromhex(text[2:])
