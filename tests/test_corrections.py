"""The file of corrections and the gate: what is read, what is refused and how it is said."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.corrections import (
    MAX_BYTES,
    MAX_REASON,
    MAX_RECORDS,
    SHOWN,
    Correction,
    SignedCorrection,
    check_corrections,
    check_unsigned,
    decode_records,
    encode_records,
    is_seen,
    list_records,
    tabulate_records,
)
from rewards.errors import Finding, InputError
from rewards.policy import CorrectionRules
from rewards.typed_data import CURVE_ORDER, Domain
from rewards.units import SUPPLY, UNITS_PER_CXPT, Address
from tests.signed import CORRECTOR, STRANGER, sign

DOMAIN = Domain(31337, Address("0x" + "ab" * 20))
RULES = CorrectionRules(signers=(CORRECTOR.address.upper().replace("0X", "0x"),), epoch_limit_cxpt=10)
KINDS = {"ann": "provider", "bob": "provider", "cyd": "user"}
GOOD = sign(3, 1, "ann", 5, "hours lost", DOMAIN)


def find(*records: SignedCorrection, rules: CorrectionRules = RULES, limits: Any = None) -> list[Finding]:
    return check_corrections(records, 3, KINDS, DOMAIN, rules, limits)


# The file

signed = st.builds(
    sign,
    st.integers(0, 10**9),
    st.sampled_from([1, 2]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.integers(-SUPPLY, SUPPLY).filter(bool),
    st.text("aé字1 ", min_size=1, max_size=12).filter(lambda text: text == text.strip()),
)


@given(st.lists(signed, max_size=4), st.randoms())
def test_records_round_trip_in_any_order(records: list[SignedCorrection], lots: Any) -> None:
    content = encode_records(records)
    assert content.isascii()
    assert encode_records(lots.sample(records, len(records)) + records[:1]) == content
    read = decode_records(content, "f")
    assert set(read) == set(records) and encode_records(read) == content
    spaced = json.dumps(json.loads(content), indent=4).encode()
    assert encode_records(decode_records(spaced, "f")) == content


@given(st.lists(signed, max_size=4, unique_by=lambda r: r.content[:4]), st.randoms())
def test_a_table_of_records_is_the_same_in_any_order(records: list[SignedCorrection], lots: Any) -> None:
    table = tabulate_records(records)
    assert tabulate_records(lots.sample(records, len(records))).equals(table)
    assert set(list_records(table)) == set(records)


def test_no_record_is_an_empty_list() -> None:
    assert encode_records([]) == b"[]\n"
    assert list(decode_records(b"[]\n", "f")) == []
    assert tabulate_records([]).height == 0


def change(**fields: Any) -> bytes:
    return json.dumps([GOOD.model_dump(), {**GOOD.model_dump(), **fields}]).encode()


REFUSED = {
    "no JSON": (b"[", "the file"),
    "no list": (b"{}", "the file"),
    "null": (b"null", "the file"),
    "no text": (b"\xff\xfe", "the file"),
    "nested without end": (b"[" * 100_000, "the file"),
    "nested in a field": (change(reason=json.loads("[" * 150 + "]" * 150)), "entry 2 reason"),
    "no object": (b"[1]", "entry 1"),
    "a field too many": (change(note="x"), "entry 2 note"),
    "a field twice": (change().replace(b'"reason"', b'"pool": 1, "reason"', 1), "names a field twice"),
    "a pool that pays nobody": (change(pool=0), "entry 2 pool"),
    "a pool as text": (change(pool="1"), "entry 2 pool"),
    "a pool that is true": (change(pool=True), "entry 2 pool"),
    "an epoch below 0": (change(epoch=-1), "entry 2 epoch"),
    "an epoch as a float": (change(epoch=3.0), "entry 2 epoch"),
    "an epoch beyond all dates": (change(epoch=10**9 + 1), "entry 2 epoch"),
    "no account": (change(account_id=""), "entry 2 account_id"),
    "a long account": (change(account_id="a" * 1001), "entry 2 account_id"),
    "an amount of 0": (change(amount="0"), "entry 2 amount"),
    "an amount as a number": (change(amount=5), "entry 2 amount"),
    "an amount above the supply": (change(amount=str(SUPPLY + 1)), "entry 2 amount"),
    "a debt above the supply": (change(amount=str(-SUPPLY - 1)), "entry 2 amount"),
    "no reason": (change(reason=""), "entry 2 reason"),
    "a reason too long": (change(reason="a" * (MAX_REASON + 1)), "entry 2 reason"),
    "a signer in capitals": (change(signer="0x" + "AB" * 20), "entry 2 signer"),
    "a short signature": (change(signature="0x00"), "entry 2 signature"),
    "no signature": (
        json.dumps([{k: v for k, v in GOOD.model_dump().items() if k != "signature"}]).encode(),
        "signature",
    ),
    "half a character": (change().replace(b"hours", b"\\ud800"), "the file"),
}
for text in ("01", "-0", "+1", " 1", "1 ", "1.0", "1e3", "NaN", "٣", "1\n", "", "-", "1_0", "9" * 5000):
    REFUSED[f"the amount {text[:9]!r}"] = (change(amount=text), "entry 2 amount")
for text in ("=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\tx", " a", "a ", "a\nb", "a\rb", "a\x1b[31m", "a\x00", "\u202eabc",
             "a\u202eb", "a\u2066b", "a\u200bb", "a\u200eb", "a\ufeffb", "a\u061cb", "a\x85b", "_a", "a\u2028b",
             "\uff1d1", "\u22121", "a\u3000", "a\xa0", "a\U000e0041b", "a\u3164b", "a\ufe0fb", "a\u034fb", "a\u2800b",
             "a\ufff9b", "a\u180bb", "a\U000e0101b"):  # fmt: skip
    REFUSED[f"the reason {text!a}"] = (change(reason=text), "entry 2 reason")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_record_is_refused_with_its_place(name: str) -> None:
    content, place = REFUSED[name]
    with pytest.raises(InputError, match=r"^inputs/corrections\.json: .*") as refused:
        decode_records(content, "inputs/corrections.json")
    text = str(refused.value)
    assert place in text
    assert text.isprintable() and len(text) < 400


def test_a_file_beyond_its_limits_is_refused_by_the_limit_s_name() -> None:
    with pytest.raises(InputError, match=f"the limit is {MAX_BYTES}"):
        decode_records(b" " * (MAX_BYTES + 1), "f")
    line = GOOD.model_dump_json().encode()
    with pytest.raises(InputError, match=f"the limit is {MAX_RECORDS}"):
        decode_records(b"[" + b",".join([line] * (MAX_RECORDS + 1)) + b"]", "f")
    assert len(decode_records(b"[" + b",".join([line] * MAX_RECORDS) + b"]", "f")) == MAX_RECORDS


# The gate


def test_what_is_rightly_signed_has_no_finding() -> None:
    assert find() == []
    assert find(GOOD, sign(3, 1, "bob", -5, "hours lost", DOMAIN), sign(3, 2, "cyd", 5, "hours lost", DOMAIN)) == []


def _mirror(record: SignedCorrection) -> SignedCorrection:
    raw = bytes.fromhex(record.signature[2:])
    s = CURVE_ORDER - int.from_bytes(raw[32:64], "big")
    mirrored = raw[:32] + s.to_bytes(32, "big") + bytes([55 - raw[64]])
    return record.model_copy(update={"signature": "0x" + mirrored.hex()})


def _elsewhere(domain: Domain | None) -> SignedCorrection:
    return sign(3, 1, "ann", 5, "hours lost", domain)


NOT_SIGNED, LIMIT = "is not signed by its signer", "pass the policy's corrections.epoch_limit_cxpt"
ATTACKS: dict[str, tuple[list[SignedCorrection], str]] = {
    "for another chain": ([_elsewhere(replace(DOMAIN, chain_id=1))], NOT_SIGNED),
    "for another Vault": ([_elsewhere(replace(DOMAIN, vault=Address("0x" + "ac" * 20)))], NOT_SIGNED),
    "for no chain": ([_elsewhere(None)], NOT_SIGNED),
    "for another epoch": ([sign(2, 1, "ann", 5, "hours lost", DOMAIN)], "is of another epoch"),
    "replayed in this epoch": ([sign(2, 1, "ann", 5, "a", DOMAIN).model_copy(update={"epoch": 3})], NOT_SIGNED),
    "for another account": ([GOOD.model_copy(update={"account_id": "bob"})], NOT_SIGNED),
    "for the other pool": ([GOOD.model_copy(update={"pool": 2})], NOT_SIGNED),
    "of another amount": ([GOOD.model_copy(update={"amount": "6"})], NOT_SIGNED),
    "of the other sign": ([GOOD.model_copy(update={"amount": "-5"})], NOT_SIGNED),
    "for another reason": ([GOOD.model_copy(update={"reason": "hours lost, again"})], NOT_SIGNED),
    "in another's name": ([sign(3, 1, "ann", 5, "a", DOMAIN, STRANGER).model_copy(update={"signer": CORRECTOR.address})],
                          NOT_SIGNED),
    "by a stranger": ([sign(3, 1, "ann", 5, "a", DOMAIN, STRANGER)], "whom the policy does not name"),
    "with the mirrored signature": ([_mirror(GOOD)], NOT_SIGNED),
    "without a signature": ([GOOD.model_copy(update={"signature": "0x" + "00" * 65})], NOT_SIGNED),
    "from the pool that pays the others": ([sign(3, 2, "ann", 5, "a", DOMAIN)], "the pool that pays the other kind"),
    "a debt to that pool": ([sign(3, 1, "cyd", -5, "a", DOMAIN)], "the pool that pays the other kind"),
    "for nobody": ([sign(3, 1, "eve", 5, "a", DOMAIN)], "an account that does not exist"),
    "of two amounts for one reason": ([GOOD, sign(3, 1, "ann", 6, "hours lost", DOMAIN)], "two corrections with one reason"),
    "above the limit": ([sign(3, 1, "ann", 10 * UNITS_PER_CXPT + 1, "a", DOMAIN)], LIMIT),
    "a debt above the limit": ([sign(3, 1, "ann", -10 * UNITS_PER_CXPT - 1, "a", DOMAIN)], LIMIT),
    "above the limit together": ([sign(3, 1, "ann", 5 * UNITS_PER_CXPT, "a", DOMAIN),
                                  sign(3, 2, "cyd", -5 * UNITS_PER_CXPT, "a", DOMAIN), GOOD], LIMIT),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_one_finding_that_refuses(name: str) -> None:
    records, message = ATTACKS[name]
    (finding,) = find(*records)
    assert (finding.gate, finding.refuses) == ("correction", True)
    assert message in finding.message
    # One that is refused beside good ones is still refused, whatever their order.
    other = sign(3, 2, "cyd", 1, "b", DOMAIN)
    assert find(other, *records) == find(*records, other) != []


def test_a_finding_names_the_id_and_both_signers() -> None:
    record = sign(3, 1, "ann", 5, "a", DOMAIN, STRANGER)
    (finding,) = find(record)
    assert record.identify(DOMAIN) in finding.message
    assert (finding.expected.lower(), finding.observed) == (CORRECTOR.address, STRANGER.address)


def test_a_reason_reads_the_same_whatever_unicode_the_python_knows() -> None:
    """Letters of Unicode 15 and 17, which Python 3.11 and 3.13 do not know."""
    for letter in ("\U00031350", "\U00033000", "é", "字", "Ж", "\u0d15", "1"):
        assert sign(3, 1, "ann", 5, f"{letter} reason").reason == f"{letter} reason"
        assert is_seen(f"reason {letter}")
    for text in ("", " ", "\u3000\xa0", "a\nb", "a\u202eb", "\ud800", "\ue000"):
        assert not is_seen(text)


def test_ten_thousand_forged_ones_are_told_in_a_few_lines() -> None:
    forged = [GOOD.model_copy(update={"reason": f"r{i}"}) for i in range(MAX_RECORDS)]
    found = find(*forged)
    assert [f.message for f in found if "more corrections are refused" in f.message] == [
        f"{MAX_RECORDS - SHOWN} more corrections are refused for the like"
    ]
    assert len(found) == SHOWN + 1


def test_before_it_is_signed_all_but_the_signature_is_checked() -> None:
    def ask(account: str, pool: int = 1, amount: int = 5, reason: str = "a") -> list[str]:
        correction = Correction(epoch=3, pool=pool, account_id=account, amount=str(amount), reason=reason)
        return [f.message for f in check_unsigned([correction], [GOOD], 3, KINDS, DOMAIN, RULES)]

    assert ask("ann") == [] == ask("ann", reason="hours lost")
    for found, message in (
        (ask("eve"), "does not exist"),
        (ask("ann", pool=2), "the other kind"),
        (ask("ann", amount=6, reason="hours lost"), "two corrections with one reason"),
        (ask("ann", amount=10 * UNITS_PER_CXPT), LIMIT),
    ):
        assert len(found) == 1 and message in found[0]


def test_at_the_limit_is_within_it() -> None:
    half = 5 * UNITS_PER_CXPT
    assert find(sign(3, 1, "ann", half, "a", DOMAIN), sign(3, 1, "bob", -half, "a", DOMAIN)) == []
    top = CorrectionRules(signers=(CORRECTOR.address,), epoch_limit_cxpt=SUPPLY // UNITS_PER_CXPT)
    for units in (SUPPLY, -SUPPLY):
        assert find(sign(3, 1, "ann", units, "a", DOMAIN), rules=top) == []


def test_the_vault_s_limit_holds_for_credits_of_each_pool() -> None:
    records = [sign(3, 1, "ann", 7, "a", DOMAIN), sign(3, 1, "bob", 3, "a", DOMAIN), sign(3, 1, "ann", -9, "b", DOMAIN)]
    assert find(*records, limits={1: 10, 2: 0}) == []
    (finding,) = find(*records, limits={1: 9, 2: 10**9})
    assert (finding.expected, finding.observed) == ("at most 9", "10")


def test_without_signers_nothing_is_accepted() -> None:
    assert find(rules=CorrectionRules()) == []
    found = find(GOOD, rules=CorrectionRules())
    assert ["nobody" in f.expected or LIMIT in f.message for f in found] == [True, True]


def test_one_content_signed_twice_counts_once() -> None:
    """By two who may, or by one with another random number: the same row whatever the order."""
    rules = CorrectionRules(signers=(CORRECTOR.address, STRANGER.address), epoch_limit_cxpt=1)
    again = sign(3, 1, "ann", 5, "hours lost", DOMAIN, STRANGER)
    assert find(GOOD, again, GOOD, rules=rules) == []
    table = tabulate_records([GOOD, again, GOOD])
    assert table.equals(tabulate_records([again, GOOD]))
    assert table["amount"].to_list() == [5]


def test_a_hostile_account_is_shown_escaped() -> None:
    for account in ("\u202egnp", "a\x1b[31mb", "a\nb"):
        (finding,) = find(sign(3, 1, account, 5, "a", DOMAIN))
        assert finding.message.isprintable()
