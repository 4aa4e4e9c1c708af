"""Amounts and addresses go there and back; what looks like one and is not, is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.errors import UsageError
from rewards.units import (
    MAX_AMOUNT,
    SUPPLY,
    UNITS_PER_CXPT,
    checksum,
    format_cxpt,
    is_usable,
    keccak,
    parse_address,
    parse_cxpt,
    parse_root,
)

# The test cases of EIP-55 (https://eips.ethereum.org/EIPS/eip-55): all caps, all lower, normal.
EIP_55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]
NORMAL = EIP_55[4]


@pytest.mark.parametrize("address", EIP_55)
def test_checksums_of_eip_55(address: str) -> None:
    assert checksum(address.lower()) == address
    assert checksum(address) == address
    assert is_usable(address) and is_usable(address.lower()) and is_usable("0x" + address[2:].upper())
    assert parse_address(address) == address.lower()


@given(st.binary(min_size=20, max_size=20).filter(any), st.integers(0, 39))
def test_a_checksum_is_right_or_the_address_is_refused(raw: bytes, place: int) -> None:
    right = checksum("0x" + raw.hex())
    assert parse_address(right) == "0x" + raw.hex()
    digits = right[2:]
    wrong = "0x" + digits[:place] + digits[place].swapcase() + digits[place + 1 :]
    lower_or_upper = digits[:place] + digits[place].swapcase() + digits[place + 1 :] in (digits.lower(), digits.upper())
    assert is_usable(wrong) == (wrong == right or lower_or_upper)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "0x",
        "0x" + "0" * 40,
        NORMAL[:-1],
        NORMAL + "0",
        NORMAL[2:],
        "0X" + NORMAL[2:],
        NORMAL + "\n",
        " " + NORMAL,
        NORMAL + "\x00",
        "\u202e" + NORMAL,
        NORMAL.swapcase().replace("X", "x"),
        NORMAL.replace("5aA", "5AA"),  # one letter of another case
        NORMAL.replace("e", "\u0435"),  # Cyrillic
        "0x" + "\uff11" * 40,  # full-width digits
        "0x" + "\u0661" * 40,  # Arabic digits, decimal for Python
        "0x" + "g" * 40,
    ],
)
def test_look_alikes_are_not_usable(text: str | None) -> None:
    assert not is_usable(text)
    if text is not None:
        with pytest.raises(UsageError, match="not a usable address") as refused:
            parse_address(text)
        assert "\n" not in str(refused.value)


@given(st.integers(0, 10**28 * UNITS_PER_CXPT - 1))
def test_amounts_go_there_and_back(units: int) -> None:
    text = format_cxpt(units)
    assert parse_cxpt(text.replace(",", "")) == units
    assert "e" not in text.lower() and not (("." in text) and text.endswith("0"))


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (0, "0"),
        (1, "0.000000000000000001"),
        (UNITS_PER_CXPT * 3 // 2, "1.5"),
        (-UNITS_PER_CXPT, "-1"),
        (-1, "-0.000000000000000001"),
        (SUPPLY, "1,000,000,000"),
        (MAX_AMOUNT, "79,228,162,514.264337593543950335"),
    ],
)
def test_amounts_for_people(units: int, text: str) -> None:
    assert format_cxpt(units) == text


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("0", 0),
        ("007", 7 * UNITS_PER_CXPT),
        ("12.5", 125 * 10**17),
        ("0.000000000000000001", 1),
        ("9" * 28 + "." + "9" * 18, 10**46 - 1),
    ],
)
def test_amounts_are_read_exactly(text: str, units: int) -> None:
    assert parse_cxpt(text) == units


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1e3", "1.", ".5", "1,000", " 1", "1\n", "0x1", "nan", "inf", "-0", "1_0", "1.5.1", "1" * 29,
     "0." + "0" * 18 + "1", "\u0661", "\uff11", "1\u200f"],
)  # fmt: skip
def test_what_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not an amount of CXPT") as refused:
        parse_cxpt(text)
    assert "\n" not in str(refused.value)


@given(st.binary(min_size=32, max_size=32))
def test_roots_go_there_and_back(root: bytes) -> None:
    assert parse_root("0x" + root.hex()) == root
    assert parse_root("0x" + root.hex().upper()) == root


@pytest.mark.parametrize(
    "text", ["", "0x", "00" * 32, "0x" + "0" * 63, "0x" + "0" * 65, "0x" + "g" * 64, "0x" + "0" * 64 + "\n"]
)
def test_what_is_not_a_root_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a 32-byte hash"):
        parse_root(text)


def test_keccak_is_the_one_of_ethereum() -> None:
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
