"""Files for a Safe: what its Transaction Builder needs, what owners see, and calldata that is the Vault's own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from rewards.chain.deploy import VaultSettings, deploy_token, deploy_vault
from rewards.chain.safe import (
    Call,
    build_batch,
    describe_call,
    hash_batch,
    hash_safe_transaction,
    read_call,
)
from rewards.chain.vault import Vault, encode_attest, encode_publish, encode_revoke, publication_hash
from rewards.errors import ChainError, UsageError
from rewards.units import Address, checksum, keccak
from tests.chain.networks import Network
from tests.chain.safes import OWNER_KEYS, Safe

SAFE, VAULT = Address("0x" + "a1" * 20), Address("0x" + "b2" * 20)
ROOT, MANIFEST = keccak(b"root"), keccak(b"manifest")
# Above 2^53, where a JavaScript number would be another one.
PROVIDER_TOTAL, USER_TOTAL = 123_456_789_012_345_678_901_234_567, 2**96 - 1
PUBLICATION = read_call(VAULT, encode_publish(143, ROOT, PROVIDER_TOTAL, USER_TOTAL, MANIFEST, 2))
CALLS = {
    "publishRoot": PUBLICATION,
    "attestRoot": read_call(VAULT, encode_attest(143, MANIFEST)),
    "revokeRoot": read_call(VAULT, encode_revoke(143, '[1] "wrong" — \\ root\n\u2028é')),
}


def build(*calls: Call, description: str = "what it is", name: str = "Epoch 143") -> Any:
    return json.loads(build_batch(9990, SAFE, calls, name, description, 1_767_744_000_123))


def read_back(transaction: Mapping[str, Any]) -> bytes:
    """Calldata as the Builder makes it: from the names, types and texts of the file alone."""
    method, texts = transaction["contractMethod"], transaction["contractInputsValues"]
    kinds = [entry["type"] for entry in method["inputs"]]
    parse = {"uint256": int, "bytes32": lambda text: bytes.fromhex(text[2:]), "string": str}
    values = [parse[entry["type"]](texts[entry["name"]]) for entry in method["inputs"]]
    return keccak(f"{method['name']}({','.join(kinds)})".encode())[:4] + encode(kinds, values)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_builder_makes_the_calldata_of_the_vault(call: Call) -> None:
    [transaction] = build(call)["transactions"]
    assert read_back(transaction) == call.encode()


def test_a_publication_is_the_one_that_a_key_would_send() -> None:
    expected = encode_publish(143, ROOT, PROVIDER_TOTAL, USER_TOTAL, MANIFEST, 2)
    [transaction] = build(PUBLICATION)["transactions"]
    assert read_back(transaction) == PUBLICATION.encode() == expected


@given(st.integers(0, 2**256 - 1), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_epoch_and_reason_come_through(epoch: int, reason: str) -> None:
    call = read_call(VAULT, encode_revoke(epoch, reason))
    batch = build(call, description=reason)
    assert read_back(batch["transactions"][0]) == call.encode()
    checksum = batch["meta"].pop("checksum")
    assert hash_batch(batch) == checksum


def test_the_file_has_what_wallets_require() -> None:
    batch = build(*CALLS.values())
    assert batch["version"] == "1.0"
    assert batch["chainId"] == "9990"
    assert batch["createdAt"] == 1_767_744_000_123
    meta = batch["meta"]
    assert (meta["name"], meta["description"]) == ("Epoch 143", "what it is")
    assert (meta["createdFromSafeAddress"], meta["createdFromOwnerAddress"]) == (checksum(SAFE), "")
    assert [one["contractMethod"]["name"] for one in batch["transactions"]] == list(CALLS)
    for one in batch["transactions"]:
        assert (one["to"], one["value"], one["data"]) == (checksum(VAULT), "0", None)
        assert one["contractMethod"]["payable"] is False
        assert all(isinstance(value, str) for value in one["contractInputsValues"].values())
        assert all(set(entry) == {"internalType", "name", "type"} for entry in one["contractMethod"]["inputs"])


def test_equal_arguments_give_equal_bytes() -> None:
    first, second = (build_batch(1, SAFE, [PUBLICATION], "a", "b", 5) for _ in range(2))
    assert first == second


def test_the_checksum_is_the_builders() -> None:
    """A file and its checksum from the tests of the Transaction Builder."""
    owner = "0x49d4450977E2c95362C13D3a31a09311E0Ea26A6"

    def method(name: str, parameter: str, kind: str) -> dict[str, Any]:
        return {"inputs": [{"internalType": kind, "name": parameter, "type": kind}], "name": name, "payable": False}

    first = {"contractMethod": method("testAddress", "paramAddress", "address")}
    second = {"contractMethod": method("testBool", "paramBool", "bool")}
    batch = {
        "version": "1.0",
        "chainId": "4",
        "createdAt": 1646321521061,
        "meta": {
            "name": "test batch file",
            "txBuilderVersion": "1.4.0",
            "checksum": "",
            "createdFromSafeAddress": "0xDF8a1Ce35c9a6ACE153B4e0767942f1E2291a1Aa",
            "createdFromOwnerAddress": owner,
        },
        "transactions": [
            {"to": owner, "value": "0", **first, "contractInputsValues": {"paramAddress": owner}},
            {"to": owner, "value": "0", **second, "contractInputsValues": {"paramAddress": "", "paramBool": "false"}},
            {"to": owner, "value": "2000000000000000000", "data": "0x42f45790" + owner[2:].lower().rjust(64, "0")},
        ],
    }
    assert hash_batch(batch) == "0x4ecbfd364aa6759983915644e73f8bd411e85a2dc306f252a387c2728c4db64c"


def test_the_checksum_sees_a_change_and_no_other_name() -> None:
    checksums = {
        build(PUBLICATION)["meta"]["checksum"],
        build(PUBLICATION, name="Another name")["meta"]["checksum"],
        build(PUBLICATION, description="another")["meta"]["checksum"],
        build(PUBLICATION, PUBLICATION)["meta"]["checksum"],
    }
    assert len(checksums) == 3


def test_owners_read_what_they_sign() -> None:
    data = PUBLICATION.encode()
    assert describe_call(9990, SAFE, PUBLICATION) == [
        f"publishRoot of the Vault {checksum(VAULT)} on chain 9990, by the Safe {checksum(SAFE)}",
        "epoch: 143",
        f"root: 0x{ROOT.hex()}",
        f"providerTotal: {PROVIDER_TOTAL} (123,456,789.012345678901234567 CXPT)",
        f"userTotal: {USER_TOTAL} (79,228,162,514.264337593543950335 CXPT)",
        f"manifestHash: 0x{MANIFEST.hex()}",
        "revocationCount: 2",
        f"calldata: 0x{data.hex()}",
        f"keccak of the calldata: 0x{keccak(data).hex()}",
        "Safe transaction: value 0, operation 0 (call), safeTxGas 0, baseGas 0, gasPrice 0",
    ]


def test_a_reason_that_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError, match=r"the reason 'bad \\udcff' is not text"):
        encode_revoke(1, "bad \udcff")


def test_owners_of_a_real_safe_publish_attest_and_revoke_by_the_file(contracts: Path, network: Network) -> None:
    admin, treasurer = network.signers[1].address, network.signers[5].address
    safes = [Safe(contracts, network, network.signers[0]) for _ in range(3)]
    publisher, attester, guardian = ([safe.address] for safe in safes)
    settings = VaultSettings(admin, publisher, attester, guardian, [treasurer], first_epoch=3)
    token = deploy_token(network.sender, network.signers[0])
    deployment = deploy_vault(network.sender, network.signers[0], token, settings)
    vault = Vault(network.chain, deployment, network.sender)
    publication = publication_hash(3, bytes(32), MANIFEST, 0, 0, 0)
    moves = [
        (encode_publish(3, bytes(32), 0, 0, MANIFEST, 0), "pending", 1),
        (encode_attest(3, publication), "pending", 0),
        (encode_revoke(3, "[a test]"), "revoked", 0),
    ]
    chain_id = network.chain.chain_id
    for safe, (calldata, status, missing) in zip(safes, moves, strict=True):
        call = read_call(vault.address, calldata)
        file = build_batch(chain_id, safe.address, [call], "a test", "", 0)
        [transaction] = json.loads(file)["transactions"]
        to, data = transaction["to"], read_back(transaction)
        digest = hash_safe_transaction(chain_id, safe.address, call, safe.nonce)
        assert digest == safe.hash_transaction(to, data)
        assert f"safeTxHash at nonce 0: 0x{digest.hex()}" in describe_call(chain_id, safe.address, call, safe.nonce)
        with pytest.raises(ChainError, match="GS020"):  # one owner's signature is too short
            safe.execute(to, data, digest, OWNER_KEYS[2:])
        safe.execute(to, data, digest)
        record = vault.root_at(3)
        assert record is not None
        assert (record.manifest_hash, record.status, record.attestations_missing) == (MANIFEST, status, missing)
