"""The Vault's port, the same on an EVM in the process and on a real node."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode
from hexbytes import HexBytes
from web3.types import LogReceipt

from rewards.chain.embedded import EmbeddedChain
from rewards.chain.intent import SignedIntent
from rewards.chain.observation import read_events
from rewards.chain.vault import ClaimItem, Vault, encode_publish, publication_hash
from rewards.errors import ChainError
from rewards.ports import Block, Claim, Deposit, RewardPool, RootRecord, VaultReader
from rewards.units import PROVIDER, SUPPLY, USER, ZERO_ROOT, Address, checksum, keccak
from tests.chain.networks import HOUR, START, Network

MANIFEST = keccak(b"manifest")
PROVIDER_WALLET = Address("0x" + "a1" * 20)
USER_WALLET = Address("0x" + "b2" * 20)


def _leaf(pool: int, account: Address, amount: int) -> bytes:
    return keccak(keccak(encode(["uint8", "address", "uint256"], [pool, checksum(account), amount])))


def _pair(provider: int, user: int) -> tuple[bytes, list[bytes], list[bytes]]:
    """Root of a tree of two leaves, and their proofs."""
    left, right = _leaf(PROVIDER, PROVIDER_WALLET, provider), _leaf(USER, USER_WALLET, user)
    return keccak(b"".join(sorted((left, right)))), [right], [left]


def test_an_epoch_from_deposit_to_claims(network: Network) -> None:
    vault = Vault(network.chain, network.deploy(), network.sender)
    reader: VaultReader = vault
    payer, _, publisher, attester, guardian = network.signers[:5]

    first = vault.deposit_fees(1000, payer)
    second = vault.fund_pool(USER, 50, payer)
    third = vault.fund_pool(PROVIDER, 60, payer)
    moments = [(receipt.block.number, receipt.block.timestamp) for receipt in (first, second, third)]
    expected = [
        Deposit(*moments[0], payer.address, 1000, 400, 400, 200, funding=False),
        Deposit(*moments[1], payer.address, 50, 0, 0, 50, funding=True),
        Deposit(*moments[2], payer.address, 60, 0, 60, 0, funding=True),
    ]
    assert reader.deposits(reader.final_block().number) == expected
    assert reader.deposits(second.block.number) == expected[:2]
    assert reader.deposits(first.block.number - 1) == []
    assert reader.reward_pool() == RewardPool(400, 460, 250)
    assert reader.balance_of(vault.address) == 1110
    assert reader.balance_of(payer.address) == SUPPLY - 1110
    assert (reader.next_epoch(), reader.pending_epoch(), reader.latest_active_epoch()) == (3, None, None)
    assert reader.root_at(3) is None

    root, provider_proof, user_proof = _pair(300, 70)
    published = vault.publish_root(3, root, 300, 70, MANIFEST, 0, publisher)
    record = RootRecord(3, root, MANIFEST, 300, 70, published.block.timestamp + HOUR, 1, "pending")
    assert reader.root_at(3) == record
    assert (reader.next_epoch(), reader.pending_epoch()) == (4, 3)
    publication = publication_hash(3, root, MANIFEST, 300, 70, 0)
    attested = vault.attest_root(3, publication, attester)
    assert vault.has_attested(publication, attester.address)
    network.advance(HOUR)
    record = replace(record, attestations_missing=0, activates_at=attested.block.timestamp + HOUR)
    network.advance(1)
    assert reader.root_at(3) == replace(record, status="active")
    assert (reader.latest_active_epoch(), reader.pending_epoch()) == (3, None)
    assert [one.root for one in reader.publications(network.chain.head().number)] == [record.root]
    assert reader.publications(published.block.number - 1) == []
    assert reader.root_at(3, published.block.number - 1) is None

    with pytest.raises(ChainError, match=r"claim of .* refuses: InvalidProof\(pool=1, account=0xa1"):
        vault.claim(3, PROVIDER, PROVIDER_WALLET, 301, provider_proof, payer)
    claimed = vault.claim(3, PROVIDER, PROVIDER_WALLET, 300, provider_proof, payer)
    items = [ClaimItem(PROVIDER, PROVIDER_WALLET, 300, provider_proof), ClaimItem(USER, USER_WALLET, 70, user_proof)]
    batch = vault.claim_many(3, items, guardian)
    events = read_events(vault, vault.deployment.deployed_block, reader.final_block().number)
    assert [replace(claim, log_index=0) for claim in events.claims] == [
        Claim(claimed.block.number, claimed.transaction, 3, PROVIDER, PROVIDER_WALLET, 300, 300),
        Claim(batch.block.number, batch.transaction, 3, USER, USER_WALLET, 70, 70),
    ]
    assert [reader.balance_of(wallet) for wallet in (PROVIDER_WALLET, USER_WALLET)] == [300, 70]
    assert reader.claimed(PROVIDER, PROVIDER_WALLET) == vault.claimed_total(PROVIDER) == vault.promised(PROVIDER) == 300
    assert vault.surplus() == 0


def test_revoked_epoch_comes_back_with_the_next_count(network: Network) -> None:
    vault = Vault(network.chain, network.deploy(), network.sender)
    payer, _, publisher, _, guardian = network.signers[:5]
    vault.deposit_fees(1000, payer)
    stored: list[SignedIntent] = []
    vault.publish_root(3, keccak(b"wrong"), 300, 70, MANIFEST, 0, publisher, stored.append)
    vault.revoke_root(3, "wrong", guardian)
    revoked = vault.root_at(3)
    assert revoked is not None
    assert (revoked.status, vault.revocations(), vault.next_epoch()) == ("revoked", 1, 3)
    assert [one.revocations for one in vault.publications(network.chain.head().number)] == [0]
    assert vault.reward_pool() == RewardPool(400, 400, 200)
    with pytest.raises(ChainError, match=r"WrongRevocations\(expected=1, given=0\)"):
        vault.publish_root(3, keccak(b"wrong"), 300, 70, MANIFEST, 0, publisher)
    vault.publish_root(3, ZERO_ROOT, 0, 0, MANIFEST, 1, publisher)
    _, newest = vault.publications(network.chain.head().number)
    record = vault.root_at(3)
    assert record is not None
    assert (newest.root, newest.revocations, record.root, record.status) == (ZERO_ROOT, 1, ZERO_ROOT, "pending")


def test_roles_limits_and_pauses_are_read(network: Network) -> None:
    vault = Vault(network.chain, network.deploy(), network.sender)
    roles = [vault.role_of(signer.address) for signer in network.signers[:7]]
    assert roles == ["none", "admin", "publisher", "attester", "guardian", "treasurer", "none"]
    assert vault.max_epoch_amount(PROVIDER) == 2**96 - 1
    assert not vault.is_publishing_paused()
    assert not vault.are_claims_paused()
    with pytest.raises(ChainError, match=r"InvalidPool\(pool=3\)"):
        vault.max_epoch_amount(3)


def test_reference_block_is_the_last_before_and_known_to_be(network: Network) -> None:
    vault = Vault(network.chain, network.deploy(), network.sender)
    network.advance(500)
    before = network.chain.head()
    network.advance(100)
    after = network.chain.head()
    assert after.timestamp == before.timestamp + 100
    assert vault.last_block_before(before.timestamp + 1) == before
    assert vault.last_block_before(after.timestamp) == before
    assert vault.last_block_before(before.timestamp).number == before.number - 1
    with pytest.raises(ChainError, match=f"newest block .* has time {after.timestamp}; wait for one at"):
        vault.last_block_before(after.timestamp + 1)
    with pytest.raises(ChainError, match=r"first block of .* not before"):
        vault.last_block_before(network.chain.block(0).timestamp)


def test_calldata_for_a_signer_elsewhere_is_what_is_sent(network: Network) -> None:
    deployment = network.deploy()
    vault = Vault(network.chain, deployment, network.sender)
    stored: list[SignedIntent] = []
    vault.publish_root(3, ZERO_ROOT, 0, 0, MANIFEST, 0, network.signers[2], stored.append)
    sent = network.chain.web3.eth.get_transaction(HexBytes(stored[0].transaction))
    assert bytes(sent["input"]) == encode_publish(3, ZERO_ROOT, 0, 0, MANIFEST, 0)


def test_record_of_another_chain_is_refused(network: Network) -> None:
    deployment = network.deploy()
    cases = [
        (replace(deployment, chain_id=1), "the deployment is on chain 1, the endpoint is"),
        (replace(deployment, block_hash=bytes(32)), "the record is of another chain"),
        (replace(deployment, deployed_block=10**6), "the record is of another chain"),
        (replace(deployment, vault=PROVIDER_WALLET), "no contract at 0xa1a1"),
        (replace(deployment, token=PROVIDER_WALLET), "the deployment record says 0xa1a1"),
    ]
    for wrong, message in cases:
        with pytest.raises(ChainError, match=message):
            Vault(network.chain, wrong, network.sender)


def test_the_first_epoch_is_the_records(network: Network) -> None:
    deployment = network.deploy()
    with pytest.raises(ChainError, match="the Vault's first epoch is 3, the deployment record says 4"):
        Vault(network.chain, replace(deployment, first_epoch=4), network.sender)


def test_revoked_publications_are_told_apart(network: Network) -> None:
    vault = Vault(network.chain, network.deploy(), network.sender)
    publisher, guardian = network.signers[2], network.signers[4]
    for turn, name in enumerate((b"one", b"two", b"three")):
        vault.publish_root(3, ZERO_ROOT, 0, 0, keccak(name), turn, publisher)
        if name == b"two":
            between = vault.final_block().number
        if name != b"three":
            vault.revoke_root(3, "a test", guardian)
    revoked = vault.revoked_publications(3, vault.final_block().number)
    assert [(one.manifest_hash, one.revocations) for one in revoked] == [(keccak(b"one"), 0), (keccak(b"two"), 1)]
    assert vault.revoked_publications(3, between) == revoked[:1]
    assert vault.revoked_publications(4, vault.final_block().number) == []


def count_ranges(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The ranges of blocks for which logs are asked from now on."""
    asked: list[tuple[int, int]] = []
    ask = vault.chain.logs

    def logs(address: Address, topics: Sequence[Any], first: int, last: int) -> Iterator[LogReceipt]:
        asked.append((first, last))
        return ask(address, topics, first, last)

    monkeypatch.setattr(vault.chain, "logs", logs)
    return asked


def test_publications_that_were_read_are_not_read_again(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each publication the history asks for them up to the final block, and the question what was revoked up to the
    newest: only what lies between is asked for, and nothing where a later question ends earlier."""
    vault = Vault(network.chain, network.deploy(), network.sender)
    publisher, guardian = network.signers[2], network.signers[4]
    vault.publish_root(3, ZERO_ROOT, 0, 0, keccak(b"one"), 0, publisher)
    vault.revoke_root(3, "a test", guardian)
    asked, first = count_ranges(vault, monkeypatch), network.chain.head().number
    assert [one.manifest_hash for one in vault.publications(first)] == [keccak(b"one")]
    vault.publish_root(3, ZERO_ROOT, 0, 0, keccak(b"two"), 1, publisher)
    vault.revoke_root(3, "a test", guardian)
    newest = network.chain.head().number
    assert [one.manifest_hash for one in vault.revoked_publications(3, newest)] == [keccak(b"one"), keccak(b"two")]
    assert [one.manifest_hash for one in vault.publications(first)] == [keccak(b"one")]
    assert [one.manifest_hash for one in vault.publications(newest)] == [keccak(b"one"), keccak(b"two")]
    assert asked == [(vault.deployment.deployed_block, first), (first + 1, newest)]


@pytest.mark.parametrize("deeper", [0, 3])
def test_publications_of_a_branch_that_is_gone_are_read_again(deeper: int) -> None:
    """Whether the new branch has reached the block that was read, or ends before it."""
    embedded = EmbeddedChain(START)
    network = Network("embedded", embedded.chain, embedded.signers, embedded.advance, embedded.mine)
    vault = Vault(network.chain, network.deploy(), network.sender)
    snapshot = embedded.take_snapshot()
    vault.publish_root(3, ZERO_ROOT, 0, 0, keccak(b"one"), 0, network.signers[2])
    if deeper:
        embedded.mine(deeper)
    assert [one.manifest_hash for one in vault.publications(network.chain.head().number)] == [keccak(b"one")]
    embedded.revert(snapshot)
    embedded.advance(7)
    vault.publish_root(3, ZERO_ROOT, 0, 0, keccak(b"two"), 0, network.signers[2])
    assert [one.manifest_hash for one in vault.publications(network.chain.head().number)] == [keccak(b"two")]


def test_what_a_node_hides_of_the_newest_blocks_is_told_and_not_remembered(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(network.chain, network.deploy(), network.sender)
    read = network.chain.head().number
    assert vault.publications(read) == []
    vault.publish_root(3, ZERO_ROOT, 0, 0, keccak(b"one"), 0, network.signers[2])
    newest = network.chain.head().number
    with monkeypatch.context() as hiding:
        hiding.setattr(vault.chain, "logs", lambda *_: iter(()))
        for _ in range(2):
            with pytest.raises(ChainError, match="hides or adds events"):
                vault.publications(newest)
    assert [one.manifest_hash for one in vault.publications(newest)] == [keccak(b"one")]


def test_a_branch_that_changes_between_two_questions_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block at which the last reading ended stands when it is asked for, and is gone before the next question: what is
    remembered must be of one branch."""
    embedded = EmbeddedChain(START)
    network = Network("embedded", embedded.chain, embedded.signers, embedded.advance, embedded.mine)
    vault = Vault(network.chain, network.deploy(), network.sender)
    snapshot = embedded.take_snapshot()
    vault.publish_root(3, ZERO_ROOT, 0, 0, keccak(b"one"), 0, network.signers[2])
    read = network.chain.head().number
    assert [one.manifest_hash for one in vault.publications(read)] == [keccak(b"one")]
    embedded.mine(1)
    ask = vault.chain.block

    def reorganise(number: Any) -> Block:
        if number == read + 1:
            monkeypatch.setattr(vault.chain, "block", ask)
            embedded.revert(snapshot)
            embedded.advance(7)
            vault.publish_root(3, ZERO_ROOT, 0, 0, keccak(b"two"), 0, network.signers[2])
            embedded.mine(1)
        return ask(number)

    monkeypatch.setattr(vault.chain, "block", reorganise)
    for last in (read + 1, network.chain.head().number):
        assert [one.manifest_hash for one in vault.publications(last)] == [keccak(b"two")]


def test_deposits_that_a_node_hides_are_told(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has not come so far answers with none; the Vault counts them itself. It is asked at a final block, since not
    every node knows what it counted when an epoch ended."""
    vault, payer = Vault(network.chain, network.deploy(), network.sender), network.signers[0]
    first, second = vault.deposit_fees(1000, payer), vault.fund_pool(USER, 50, payer)
    for _ in range(6):
        network.mine()
    asked, ask = list[Any](), vault.deposited
    monkeypatch.setattr(vault, "deposited", lambda pool, block: asked.append(block) or ask(pool, block))
    assert [one.amount for one in vault.deposits(first.block.number)] == [1000]
    assert vault.deposits(first.block.number - 1) == []
    assert set(asked) == {vault.final_block().number} and second.block.number < asked[0]
    monkeypatch.setattr(vault.chain, "logs", lambda *_: iter(()))
    for block in (first.block.number - 1, second.block.number):
        with pytest.raises(ChainError, match=r"hides or adds deposits .* the Vault counts 400 and 250"):
            vault.deposits(block)
    assert vault.deposits(vault.deployment.deployed_block - 1) == []
