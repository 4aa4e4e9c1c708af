"""What the node really does when blocks are taken back, fees rise, states return: the tests of others build on it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.node import Node, run_node
from tests.faults.rpc import RpcError
from tests.faults.wallets import GWEI, TO, Wallet

WALLET = Wallet()


def pool(node: Node, nonce: int) -> str:
    return str(node.ask("eth_sendRawTransaction", WALLET.pay(nonce).raw))


def send(node: Node, nonce: int) -> str:
    """In a block of its own."""
    node.set_automine(False)
    transaction = pool(node, nonce)
    node.mine()
    return transaction


def is_mined(node: Node, transaction: str) -> bool:
    return node.ask("eth_getTransactionReceipt", transaction) is not None


@pytest.mark.parametrize("depth", [1, 2, 7, 32, 64])
def test_reorganisation_loses_transactions_and_keeps_the_height(node: Node, depth: int) -> None:
    old = send(node, 0)
    node.mine(70)
    transaction = send(node, 1)
    node.mine(depth - 1)
    head, stays = node.head(), node.hash_at(node.head() - depth)
    node.reorganise(depth)
    assert node.head() == head
    assert node.hash_at(head - depth) == stays
    assert not is_mined(node, transaction) and not node.is_pooled(transaction)
    assert is_mined(node, old)
    assert node.nonce(WALLET.address) == node.nonce(WALLET.address, "pending") == 1
    assert {node.block(head - i)["timestamp"] for i in range(depth)} == {node.block(head - depth)["timestamp"]}
    assert pool(node, 1) == transaction


def test_reorganisation_onto_a_fork_with_other_transactions(node: Node) -> None:
    rival, late = WALLET.pay(0, value=7), WALLET.pay(1)
    ours = send(node, 0)
    node.mine(2)
    node.reorganise(3, [(rival.raw, 0), (late.raw, 2)])
    assert [is_mined(node, each) for each in (ours, rival.hash, late.hash)] == [False, True, True]
    assert node.ask("eth_getTransactionReceipt", late.hash)["blockNumber"] == hex(node.head())


def test_transaction_that_the_fork_does_not_take_is_left_out(node: Node) -> None:
    node.mine(1)
    node.reorganise(1, [(WALLET.pay(5).raw, 0)])
    assert node.block()["transactions"] == []


def test_reorganisation_of_empty_blocks_gives_other_hashes_each_time(node: Node) -> None:
    node.set_base_fee(0)
    node.mine(66)
    hashes = {node.hash_at("latest")}
    for _ in range(3):
        node.reorganise(64)
        hashes.add(node.hash_at("latest"))
    assert len(hashes) == 4


def test_reorganisation_deeper_than_the_chain_is_refused(node: Node) -> None:
    with pytest.raises(RpcError, match="must not exceed current chain height"):
        node.ask("anvil_reorg", node.head() + 1, [])


def test_finality_is_arithmetic_and_protects_nothing(node: Node) -> None:
    node.mine(10)
    final, final_hash = node.final(), node.hash_at("finalized")
    assert final == node.head() - 2
    node.reorganise(5)
    assert node.final() == final
    assert node.hash_at(final) != final_hash
    node.roll_back(5)
    assert node.final() == final - 5


def test_finality_is_behind_by_two_epochs_of_slots(contracts: Path) -> None:
    with run_node(contracts, slots=32) as node:
        node.mine(100)
        assert node.head() - node.final() == 64
        node.reorganise(64)
        assert node.final() == 36


def test_rollback_shortens_the_chain_and_loses_transactions(node: Node) -> None:
    head = node.head()
    transaction = send(node, 0)
    node.roll_back(1)
    assert node.head() == head
    assert not is_mined(node, transaction) and not node.is_pooled(transaction)


def test_pool_survives_what_happens_to_blocks(node: Node) -> None:
    snapshot = node.ask("evm_snapshot")
    node.mine(3)
    waiting = pool(node, 0)
    node.reorganise(2)
    assert node.is_pooled(waiting)
    node.roll_back(1)
    assert node.is_pooled(waiting)
    node.ask("evm_revert", snapshot)
    assert node.is_pooled(waiting)
    node.drop(waiting)
    assert not node.is_pooled(waiting)


def test_pooled_transaction_is_thrown_out_by_a_block_that_costs_more(node: Node) -> None:
    waiting = pool(node, 0)
    node.set_base_fee(50 * GWEI)
    assert node.is_pooled(waiting)
    node.mine()
    assert node.block()["baseFeePerGas"] == hex(50 * GWEI)
    assert not node.is_pooled(waiting) and not is_mined(node, waiting)


def test_snapshot_is_restored_again_and_again(node: Node) -> None:
    snapshot = node.snapshot()
    head, head_hash, base_fee = node.head(), node.hash_at("latest"), node.next_base_fee()
    for _ in range(3):
        mined = [send(node, 0), send(node, 1)]
        node.advance(10**7)
        waiting = pool(node, 2)
        snapshot.restore()
        assert (node.head(), node.hash_at("latest"), node.next_base_fee()) == (head, head_hash, base_fee)
        assert node.nonce(WALLET.address, "pending") == 0
        assert not node.is_pooled(waiting)
        assert not any(is_mined(node, each) for each in mined)
        send(node, 0)
        assert int(node.block()["timestamp"], 16) < int(node.block(head)["timestamp"], 16) + 3600
        snapshot.restore()


def test_durable_snapshot_is_restored_after_its_own_block_was_taken_back(contracts: Path) -> None:
    with run_node(contracts) as node:
        deployment = node.network().deploy()
        durable, other = node.snapshot(durable=True), node.snapshot()
        head, head_hash, base_fee = node.head(), node.hash_at("latest"), node.next_base_fee()
        for _ in range(2):
            node.roll_back(2)
            node.advance(10**6)
            with pytest.raises(AssertionError, match="the snapshot's block was taken back"):
                other.restore()
            durable.restore()
            assert (node.head(), node.hash_at("latest"), node.next_base_fee()) == (head, head_hash, base_fee)
            node.mine()
            assert int(node.block()["timestamp"], 16) < int(node.block(head)["timestamp"], 16) + 3600
        durable.restore(fresh=True)
        assert node.hash_at("latest") == head_hash
        assert node.connect().has_code(deployment.vault)


@pytest.mark.parametrize("take_back", [Node.reorganise, Node.roll_back])
def test_contracts_keep_their_code_below_a_restart(contracts: Path, take_back: Callable[[Node, int], None]) -> None:
    with run_node(contracts) as node:
        node.mine()
        deployment = node.network().deploy()
        node.mine(3)
        code = node.ask("eth_getCode", deployment.vault, "latest")
        node.restart()
        take_back(node, 2)
        node.mine(2)
        take_back(node, 1)
        assert node.ask("eth_getCode", deployment.vault, "latest") == code
        take_back(node, node.head() - 1)
        assert node.ask("eth_getCode", deployment.vault, "latest") == "0x"


def test_vault_is_deployed_once_and_used_in_many_tests(node: Node) -> None:
    deployment = node.network().deploy()
    snapshot = node.snapshot()
    for _ in range(20):
        assert node.ask("eth_getCode", deployment.vault, "latest") != "0x"
        node.ask("anvil_setCode", deployment.vault, "0x00")
        snapshot.restore()
    assert len(node.ask("eth_getCode", deployment.vault, "latest")) > 1000


def test_node_restarts_on_its_port_with_its_chain_and_without_its_pool(contracts: Path) -> None:
    with run_node(contracts) as node:
        mined = send(node, 0)
        node.mine(5)
        waiting = pool(node, 1)
        url, head, first = node.url, node.hash_at("latest"), node.hash_at(1)
        with node.down(), pytest.raises(OSError, match="refused"):
            node.ask("eth_chainId")
        assert (node.url, node.hash_at("latest"), node.hash_at(1)) == (url, head, first)
        assert is_mined(node, mined)
        assert not node.is_pooled(waiting)
        assert node.nonce(WALLET.address, 0) == 0
        pool(node, 1)
        assert node.nonce(WALLET.address) == 1, "it still mines on demand only"
        node.reorganise(6)
        assert not is_mined(node, mined)


def test_dumped_chain_is_loaded_into_another_node(contracts: Path) -> None:
    with run_node(contracts) as node, run_node(contracts) as other:
        send(node, 0)
        other.load(node.dump())
        assert other.hash_at("latest") == node.hash_at("latest")
        assert other.ask("eth_getBalance", TO, "latest") == node.ask("eth_getBalance", TO, "latest")
