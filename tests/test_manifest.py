"""The manifest: one form, one digest, and every other form refused."""

import hashlib
import json
import string
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from rewards.epoch import Epoch
from rewards.errors import Disagreement
from rewards.manifest import (
    FILES,
    MAX_DEPTH,
    MAX_NATURAL,
    ChainFacts,
    Manifest,
    build_manifest,
    parse_manifest,
    require_shallow,
)
from rewards.ports import Block, Counts, EpochResult, PoolTotals
from rewards.schemas import NOT_EARNING_REASONS, QUARANTINE_REASONS
from rewards.units import POOLS, ZERO_ROOT, Address, is_usable
from tests.worlds import CALENDAR

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
MONEY = st.integers(0, 10**38 - 1)
NATURAL = st.integers(0, MAX_NATURAL)
ADDRESSES = st.text("0123456789abcdef", min_size=40, max_size=40).map(lambda t: Address("0x" + t)).filter(is_usable)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    leaves = draw(NATURAL)
    start = draw(st.integers(0, 4 * 10**15))
    counts = Counts(
        draw(st.integers(0, 10**12)),
        draw(st.dictionaries(st.sampled_from(NOT_EARNING_REASONS), st.integers(0, 10**9))),
        draw(st.integers(0, 10**9)),
        draw(st.dictionaries(st.sampled_from(QUARANTINE_REASONS), st.integers(0, 10**9))),
        draw(st.integers(0, 10**9)),
        draw(st.integers(0, 10**9)),
        draw(MONEY),
    )
    chain = ChainFacts(
        draw(MONEY),
        draw(ADDRESSES),
        draw(ADDRESSES),
        {p: draw(MONEY) for p in POOLS},
        Block(draw(NATURAL), draw(st.binary(min_size=32, max_size=32)), draw(NATURAL)),
    )
    return Manifest(
        epoch=Epoch(draw(NATURAL), start, start + draw(st.integers(1, 10**12))),
        chain=draw(st.sampled_from([None, chain])),
        ruleset=draw(TEXT),
        ruleset_version=draw(TEXT),
        policy_since=draw(st.dates()).isoformat(),
        previous=draw(st.none() | HEX),
        counts=counts.to_json(),
        totals={p: PoolTotals(*(draw(MONEY) for _ in range(9))) for p in POOLS},
        leaves=leaves,
        root=draw(st.binary(min_size=32, max_size=32).filter(lambda r: r != ZERO_ROOT)) if leaves else ZERO_ROOT,
        overrides=tuple(draw(st.lists(st.dictionaries(TEXT, TEXT, max_size=2), max_size=2))),
        files={name: draw(HEX) for name in FILES},
    )


@given(manifests())
def test_round_trip(manifest: Manifest) -> None:
    source = manifest.to_bytes()
    again = parse_manifest(source, "manifest.json")
    assert again == manifest
    assert again.to_bytes() == source
    assert again.digest == manifest.digest == hashlib.sha256(source).hexdigest() == manifest.hash.hex()
    assert json.loads(source, parse_float=lambda text: pytest.fail(f"a float: {text}")) == json.loads(
        rfc8785.dumps(json.loads(source))
    )


FACTS = ChainFacts(
    3338,
    Address("0x" + "ab" * 20),
    Address("0x" + "cd" * 20),
    dict.fromkeys(POOLS, 5),
    Block(7, bytes(32), 1_767_744_000),
)
BOOKS = PoolTotals(10, 10, 9, 0, 0, 0, 9, 0, 1)
SOUND = Manifest(
    epoch=CALENDAR.epoch(1),
    chain=FACTS,
    ruleset="v1",
    ruleset_version="1.0.0",
    policy_since="2025-06-14",
    previous="ab" * 32,
    counts=Counts(5, {"status": 1}, 2, {"bad_type": 1}, 1, 0, 77).to_json(),
    totals=dict.fromkeys(POOLS, BOOKS),
    leaves=2,
    root=b"\x01" * 32,
    overrides=({"gate": "quality", "reason": "a known fault of the export"},),
    files=dict.fromkeys(FILES, "00" * 32),
)


def test_the_digest_of_a_known_manifest_never_changes() -> None:
    """Frozen: a change of this value breaks every root that was published."""
    assert SOUND.to_bytes().startswith(
        b'{"chain":{"chain_id":"3338","first_epoch":0,"limits":{"provider":"5","user":"5"},"token":"0xabab'
    )
    assert SOUND.digest == "9a2326aa3a5bb1e5d1a811a86c56dfeef27b0aa246d99592b83d81c1c590ba23"
    assert parse_manifest(SOUND.to_bytes(), "here") == SOUND


def _set(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: Any) -> None:
        *way, last = path
        for step in way:
            content = content[step]
        content[last] = to

    return change


def _drop(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(content: Any) -> None:
        *way, last = path
        for step in way:
            content = content[step]
        del content[last]

    return change


HOSTILE: dict[str, list[tuple[tuple[str | int, ...], list[Any]]]] = {
    "text": [
        (("format",), ["cxpt-epoch-2", "", None, 1]),
        (("policy",), ["2025-13-01", "20250614", "yesterday", 5, None]),
        (("previous",), ["ab" * 31, "AB" * 32, "0x" + "ab" * 32, 7, ""]),
        (("root",), ["0x" + "00" * 32, "01" * 32, "0x01", 1, None]),
        (("ruleset", "name"), [None, 1, ["v1"]]),
        (("ruleset", "version"), [1.5, {}]),
        (
            ("window", "start"),
            ["2026-01-08T00:00:00", "2026-01-09T00:00:00Z", "2026-01-08T01:00:00+01:00", 0, None, "x"],
        ),
        (("window", "end"), ["2026-01-08T00:00:00Z", "9999-99-99"]),
        (("overrides",), [None, "abc", [1], [{"gate": 1}], {"gate": "quality"}]),
    ],
    "numbers": [
        (("epoch",), [-1, 1.5, True, "1", None, 2**53, 10**30]),
        (("leaves",), [-1, 0, 0.5, "2", False, 2**53]),
        (("counts", "rows"), [-1, 9.5, "9", None, 2**64]),
        (("counts", "earning"), [-5, 5.5, True]),
        (("counts", "late"), [-1, 1e400]),
        (("counts", "quarantined"), [None, [], 3, {"bad_type": -1}, {"bad_type": 1.5}, {"no_such_reason": 1}]),
        (("counts", "not_earning"), [{"status": "1"}, {"bad_type": 1}]),
        (("counts", "earning_fee_e8"), [77, "-77", "77.0", "1e9", "077", " 77", "7_7", "٧٧"]),
        (("reference_block", "number"), [-1, "7", 7.5]),
        (("reference_block", "timestamp"), [-1, None]),
        (("reference_block", "hash"), ["0x", "00" * 32, 0]),
    ],
    "money": [
        (("totals", "provider", name), ["-1", -1, 9, 9.0, "9.0", "1e3", "09", "+9", "", "1" * 39, None, "NaN"])
        for name in ("deposited", "claimables", "held", "carry_over")
    ]
    + [
        (("chain", "limits", "user"), ["-1", 5, "5.0"]),
        (("chain", "first_epoch"), [-1, "0", 0.5, None]),
        (("chain", "chain_id"), [3338, "-1", "0x1", None]),
        (("chain", "token"), ["0x" + "AB" * 20, "0x" + "00" * 20, "", None, ["0x"], "0x" + "ab" * 19]),
        (("chain", "vault"), ["../../etc", 5, "0x" + "cd" * 20 + "\n"]),
    ],
    "files": [
        (("files", "tree.bin"), ["00" * 31, "0" * 63 + "g", "AA" * 32, None, 0, "00" * 32 + "\n"]),
        (("files", "../../outside"), ["00" * 32]),
        (("files", "/outside"), ["00" * 32]),
        (("files", "manifest.json"), ["00" * 32]),
        (("files", "tree.bin\x00"), ["00" * 32]),
        (("files",), [None, [], {}, "tree.bin"]),
    ],
    "extra": [
        (("extra",), [1]),
        (("totals", "protocol"), [{}]),
        (("totals", "provider", "extra"), ["0"]),
        (("counts", "extra"), [0]),
        (("chain", "extra"), [0]),
        (("window", "extra"), ["2026-01-08T00:00:00Z"]),
        (("reference_block",), [None, 7]),
        (("chain",), [7, "none", {}]),
    ],
}
CASES = [(path, value) for group in HOSTILE.values() for path, values in group for value in values]


def _dump(content: Any) -> bytes:
    """As canonical as the hostile value allows, so that no check but its own stops it."""
    try:
        return rfc8785.dumps(content)
    except rfc8785.CanonicalizationError:
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(("path", "value"), CASES, ids=[f"{'.'.join(map(repr, p))}={v!r:.20}" for p, v in CASES])
def test_a_doctored_field_is_refused(path: tuple[str | int, ...], value: Any) -> None:
    content = json.loads(SOUND.to_bytes())
    _set(*path, to=value)(content)
    with pytest.raises(Disagreement, match=r"^here is not .*; get ") as refused:
        parse_manifest(_dump(content), "here")
    assert "\n" not in str(refused.value)


def _paths(content: Any, *way: str) -> list[tuple[str, ...]]:
    if not isinstance(content, dict):
        return [way]
    return [way] * bool(way) + [path for key, value in content.items() for path in _paths(value, *way, key)]


OPTIONAL = {("counts", "quarantined", "bad_type"), ("counts", "not_earning", "status")}


@pytest.mark.parametrize("path", _paths(json.loads(SOUND.to_bytes())), ids=".".join)
def test_a_missing_field_is_refused(path: tuple[str, ...]) -> None:
    content = json.loads(SOUND.to_bytes())
    _drop(*path)(content)
    if path in OPTIONAL:
        assert parse_manifest(_dump(content), "here").digest != SOUND.digest
        return
    with pytest.raises(Disagreement):
        parse_manifest(_dump(content), "here")


SOURCE = SOUND.to_bytes()
FORMS = {
    "a space": SOURCE.replace(b'":"', b'": "', 1),
    "a line break at the end": SOURCE + b"\n",
    "a byte order mark": b"\xef\xbb\xbf" + SOURCE,
    "utf-16": SOURCE.decode().encode("utf-16"),
    "another order": json.dumps(dict(reversed(json.loads(SOURCE).items())), separators=(",", ":")).encode(),
    "a key twice": SOURCE.replace(b'"leaves":2', b'"leaves":1,"leaves":2'),
    "a key twice, equal": SOURCE.replace(b'"leaves":2', b'"leaves":2,"leaves":2'),
    "an escape": SOURCE.replace(b'"v1"', b'"\\u00761"'),
    "minus zero": SOURCE.replace(b'"tier_mismatch":0', b'"tier_mismatch":-0'),
    "an exponent": SOURCE.replace(b'"leaves":2', b'"leaves":2e0'),
    "not a number": SOURCE.replace(b'"leaves":2', b'"leaves":NaN'),
    "infinity": SOURCE.replace(b'"leaves":2', b'"leaves":Infinity'),
    "a number of five thousand digits": SOURCE.replace(b'"leaves":2', b'"leaves":' + b"9" * 5000),
    "a lone surrogate": SOURCE.replace(b'"v1"', b'"\\ud800"'),
    "not utf-8": SOURCE.replace(b'"v1"', b'"\xff1"'),
    "deep": b"[" * 100_000,
    "deep inside": SOURCE.replace(b'"overrides":[', b'"overrides":[' + b"[" * 50_000 + b"]" * 50_000 + b","),
    "deep behind strings that close": b'["]",' * 100_000,
    "half": SOURCE[: len(SOURCE) // 2],
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
}


@pytest.mark.parametrize("form", FORMS)
def test_another_form_of_the_same_facts_is_refused(form: str) -> None:
    assert FORMS[form] != SOURCE
    with pytest.raises(Disagreement, match=r"^here is not"):
        parse_manifest(FORMS[form], "here")


@given(st.integers(0, len(SOURCE) - 1), st.integers(1, 255))
def test_every_changed_byte_changes_the_digest_or_is_refused(position: int, flip: int) -> None:
    doctored = bytearray(SOURCE)
    doctored[position] ^= flip
    try:
        manifest = parse_manifest(bytes(doctored), "here")
    except Disagreement:
        return
    assert manifest.to_bytes() == doctored
    assert manifest.digest != SOUND.digest


@given(st.binary(max_size=200) | st.text(string.printable, max_size=200).map(str.encode))
def test_any_bytes_are_a_manifest_or_one_error(source: bytes) -> None:
    with pytest.raises(Disagreement):
        parse_manifest(source, "here")


def test_build_manifest_digests_its_files() -> None:
    empty = pl.DataFrame()
    result = EpochResult(empty, empty, empty, empty, empty, SOUND.totals, b"\x02" * 32, 2, b"")
    files = {name: name.encode() for name in FILES}
    counts = Counts(1, {}, 0, {}, 0, 0, 3)
    built = build_manifest(CALENDAR.epoch(0), result, counts, files, ("v1", "1.0.0"), "2025-06-14", None, None)
    assert built.files["tree.bin"] == hashlib.sha256(b"tree.bin").hexdigest()
    assert built.total(1) == 9 and built.previous is None
    assert parse_manifest(built.to_bytes(), "here") == built


@given(st.recursive(st.text('[]{}"\\', max_size=4), lambda inner: st.lists(inner, max_size=2), max_leaves=40))
def test_brackets_in_texts_do_not_count_as_depth(content: Any) -> None:
    def depth(value: Any) -> int:
        return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0

    require_shallow(json.dumps([content] * 2).encode())
    for extra in (MAX_DEPTH - depth(content), MAX_DEPTH - depth(content) + 1):
        nested = content
        for _ in range(extra):
            nested = [nested]
        if depth(nested) <= MAX_DEPTH:
            require_shallow(json.dumps(nested).encode())
        else:
            with pytest.raises(ValueError, match="nested deeper than 32"):
                require_shallow(json.dumps(nested).encode())
