"""Typed data against an independent library; whatever is changed, the signature is another's or nobody's."""

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from rewards.corrections import Correction, is_seen
from rewards.typed_data import CURVE_ORDER, Domain, recover_signer
from rewards.units import SUPPLY, Address, parse_address
from tests.signed import CORRECTOR

DOMAIN = Domain(31337, Address("0x" + "ab" * 20))
PINNED = "b1f3ed383b22636f74dda44fd33cdfbb93eae735faf51feb693c469f1b634b6f"

reasons = st.tuples(
    st.sampled_from("aZ9\u00e9\u0416\u5b57"), st.text(st.characters(categories=["L", "N"]), max_size=39)
)
corrections = st.builds(
    lambda epoch, pool, account, units, reason: Correction(
        epoch=epoch, pool=pool, account_id=account, amount=str(units), reason=reason
    ),
    st.integers(0, 10**9),
    st.sampled_from([1, 2]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.integers(-SUPPLY, SUPPLY).filter(bool),
    reasons.map("".join).filter(is_seen),
)
domains = st.none() | st.builds(
    lambda chain, vault: Domain(chain, Address("0x" + vault.hex())),
    st.integers(1, 2**64),
    st.binary(min_size=20, max_size=20),
)


@given(corrections, domains)
def test_the_digest_is_the_one_that_eth_account_signs(correction: Correction, domain: Domain | None) -> None:
    message = encode_typed_data(full_message=correction.to_typed_data(domain))
    key = Account.from_key(b"\x07" * 32)
    signed = key.sign_message(message)
    assert bytes(signed.message_hash) == correction.digest(domain)
    assert recover_signer(correction.digest(domain), bytes(signed.signature)) == parse_address(key.address)
    ours = CORRECTOR.sign_digest(correction.digest(domain))
    assert parse_address(Account.recover_message(message, signature=ours)) == CORRECTOR.address


@given(corrections, domains, st.data())
def test_a_changed_field_is_not_what_was_signed(
    correction: Correction, domain: Domain | None, data: st.DataObject
) -> None:
    signature = CORRECTOR.sign_digest(correction.digest(domain))
    other, elsewhere = data.draw(corrections), data.draw(domains)
    for name in Correction.model_fields:
        changed = correction.model_copy(update={name: getattr(other, name)})
        if changed != correction:
            assert recover_signer(changed.digest(domain), signature) != CORRECTOR.address, name
    if elsewhere != domain:
        assert recover_signer(correction.digest(elsewhere), signature) != CORRECTOR.address


@given(st.binary(min_size=32, max_size=32))
def test_the_other_signature_of_the_same_key_is_none(digest: bytes) -> None:
    """(r, n − s, the other v) is as good to the curve; taken, one correction would have two signatures."""
    signature = CORRECTOR.sign_digest(digest)
    s = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    mirrored = signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])
    assert recover_signer(digest, signature) == CORRECTOR.address
    assert parse_address(Account._recover_hash(digest, signature=mirrored)) == CORRECTOR.address
    assert recover_signer(digest, mirrored) is None


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(64),
        bytes(65),
        bytes(64) + b"\x1b",
        bytes(32) + b"\x01" * 32 + b"\x1b",
        b"\x01" * 32 + bytes(32) + b"\x1b",
        b"\xff" * 32 + b"\x01" * 32 + b"\x1b",
        CORRECTOR.sign_digest(bytes(32))[:64] + b"\x00",
        CORRECTOR.sign_digest(bytes(32))[:64] + b"\x1d",
        CORRECTOR.sign_digest(bytes(32)) + b"\x00",
    ],
)
def test_what_is_no_signature_has_no_signer(signature: bytes) -> None:
    assert recover_signer(bytes(32), signature) is None


def test_one_digest_is_pinned() -> None:
    """So that both implementations cannot drift together."""
    correction = Correction(epoch=143, pool=1, account_id="ann", amount="-1500000000000000000", reason="paid twice")
    assert correction.digest(DOMAIN).hex() == PINNED
    assert correction.to_typed_data(DOMAIN)["message"] == {
        "epoch": "143",
        "pool": "provider",
        "account": "ann",
        "amount": "-1500000000000000000",
        "reason": "paid twice",
    }
