"""The rules of geth's pool in front of anvil: replacing needs ten percent, cheap transactions wait for a lower base fee."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rewards.chain.signers import LocalSigner
from tests.faults.node import Node
from tests.faults.pool import may_replace
from tests.faults.proxy import Proxy
from tests.faults.rpc import Upstream
from tests.faults.transactions import decode_transaction
from tests.faults.wallets import GWEI, TO, Wallet

WALLET = Wallet()
FEES = st.integers(1, 10**12)


class Client(Upstream):
    """Asks through the proxy."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(proxy.url)

    def __call__(self, method: str, *params: Any) -> Any:
        return self.ask(method, *params)

    def send(self, raw: str) -> str:
        """The hash, or what the node says against it."""
        answer = self.call("eth_sendRawTransaction", [raw])
        return str(answer["result"] if "result" in answer else answer["error"]["message"])

    def state(self, transaction: str) -> str:
        found = self("eth_getTransactionByHash", transaction)
        return "unknown" if found is None else "waits" if found["blockNumber"] is None else "mined"


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    with Client(proxy) as started:
        yield started


@given(FEES, FEES, FEES, FEES)
@example(old_max=1, old_tip=1, new_max=1, new_tip=1)
@example(old_max=9, old_tip=9, new_max=10, new_tip=10)
@example(old_max=100, old_tip=10, new_max=110, new_tip=11)
@example(old_max=100, old_tip=10, new_max=109, new_tip=11)
@example(old_max=100, old_tip=10, new_max=110, new_tip=10)
def test_replacement_raises_both_fees_by_ten_percent(old_max: int, old_tip: int, new_max: int, new_tip: int) -> None:
    old, new = (WALLET.pay(0, max_fee + tip, tip) for max_fee, tip in ((old_max, old_tip), (new_max, new_tip)))
    needed = [int(Fraction(fee) * Fraction(11, 10)) for fee in (old.max_fee, old.priority_fee)]
    enough = new.max_fee >= needed[0] and new.priority_fee >= needed[1]
    higher = new.max_fee > old.max_fee and new.priority_fee > old.priority_fee
    assert may_replace(old, new) == (enough and higher)


@given(st.integers(0, 2**32), FEES, FEES, st.integers(0, 10**20))
def test_raw_transactions_are_read_as_they_were_signed(nonce: int, max_fee: int, tip: int, value: int) -> None:
    market = WALLET.pay(nonce, max_fee + tip, tip, value, data=b"\1\2")
    assert (market.type, market.sender, market.to, market.chain_id) == (2, WALLET.address, TO, 31337)
    assert (market.nonce, market.max_fee, market.priority_fee) == (nonce, max_fee + tip, tip)
    assert (market.value, market.data, market.gas) == (value, b"\1\2", 21000)
    legacy = WALLET.pay_legacy(nonce, max_fee, value)
    assert (legacy.type, legacy.sender, legacy.to, legacy.chain_id) == (0, WALLET.address, TO, 31337)
    assert (legacy.nonce, legacy.max_fee, legacy.priority_fee, legacy.value) == (nonce, max_fee, max_fee, value)


@pytest.mark.parametrize("raw", ["0x", "0x1234", "0x02c0", "0x03f0"])
def test_what_is_no_transaction_is_told(raw: str) -> None:
    with pytest.raises(ValueError, match="transaction"):
        decode_transaction(raw)


def test_node_takes_a_replacement_only_by_the_rule(node: Node, proxy: Proxy, client: Client) -> None:
    first = WALLET.pay(0, 300 * GWEI, 100 * GWEI)
    assert client.send(first.raw) == first.hash
    assert client.send(first.raw) == "already known"
    for max_fee, tip in ((329, 110), (330, 109), (400, 100), (300, 120)):
        cheap = WALLET.pay(0, max_fee * GWEI, tip * GWEI)
        assert client.send(cheap.raw) == "replacement transaction underpriced"
    second = WALLET.pay(0, 330 * GWEI, 110 * GWEI)
    assert client.send(second.raw) == second.hash
    proxy.mine()
    assert (client.state(first.hash), client.state(second.hash)) == ("unknown", "mined")
    assert client.send(first.raw) == "nonce too low"


def test_without_the_rule_the_node_takes_any_raise(node: Node) -> None:
    with Proxy(node.url, geth=False) as lenient, Client(lenient) as client:
        client.send(WALLET.pay(0).raw)
        second = WALLET.pay(0, max_fee=3 * GWEI + 1, tip=GWEI + 1)
        assert client.send(second.raw) == second.hash
        assert "base fee" in client.send(WALLET.pay(1, max_fee=1, tip=1).raw)


def test_price_of_a_legacy_transaction_is_both_fees(node: Node, client: Client) -> None:
    client.send(WALLET.pay_legacy(0, 10 * GWEI).raw)
    assert client.send(WALLET.pay(0, 20 * GWEI, 10 * GWEI).raw) == "replacement transaction underpriced"
    second = WALLET.pay_legacy(0, 11 * GWEI)
    assert client.send(second.raw) == second.hash


@pytest.mark.parametrize("cheap", [WALLET.pay(0, 2 * GWEI), WALLET.pay_legacy(0, 2 * GWEI)], ids=["market", "legacy"])
def test_transaction_below_the_base_fee_waits_until_it_can_pay(
    node: Node, proxy: Proxy, client: Client, cheap: Any
) -> None:
    node.set_base_fee(5 * GWEI)
    assert client.send(cheap.raw) == cheap.hash
    assert client.state(cheap.hash) == "waits"
    assert client("eth_getTransactionCount", WALLET.address, "pending") == "0x1"
    assert client("eth_getTransactionCount", WALLET.address, "latest") == "0x0"
    assert client.send(cheap.raw) == "already known"
    assert proxy.held == [cheap]
    found = client("eth_getTransactionByHash", cheap.hash)
    proxy.mine()
    assert client.state(cheap.hash) == "waits", "4.4 gwei"
    node.set_base_fee(GWEI)
    assert client.state(cheap.hash) == "waits"
    assert proxy.held == []
    proxy.mine()
    mined = client("eth_getTransactionByHash", cheap.hash)
    places = ("blockHash", "blockNumber", "transactionIndex", "gasPrice", "yParity", "accessList", "blockTimestamp")
    assert {name: found[name] for name in found if name not in places} == {
        name: mined[name] for name in found if name not in places
    }


def test_base_fee_falls_by_itself_until_the_transaction_is_mined(node: Node, proxy: Proxy, client: Client) -> None:
    node.set_base_fee(5 * GWEI)
    cheap = WALLET.pay(0, 2 * GWEI)
    client.send(cheap.raw)
    proxy.mine(7)
    assert client.state(cheap.hash) == "waits"
    proxy.mine(2)
    assert client.state(cheap.hash) == "mined"


def test_waiting_transaction_is_replaced_by_the_rule(node: Node, proxy: Proxy, client: Client) -> None:
    node.set_base_fee(50 * GWEI)
    client.send(WALLET.pay(0, 10 * GWEI, GWEI).raw)
    assert client.send(WALLET.pay(0, 60 * GWEI, GWEI).raw) == "replacement transaction underpriced"
    dearer = WALLET.pay(0, 20 * GWEI, 2 * GWEI)
    assert client.send(dearer.raw) == dearer.hash
    assert proxy.held == [dearer]
    rich = WALLET.pay(0, 80 * GWEI, 3 * GWEI)
    assert client.send(rich.raw) == rich.hash
    assert proxy.held == []
    proxy.mine()
    assert [client.state(each.hash) for each in (rich, dearer)] == ["mined", "unknown"]


def test_transaction_that_the_base_fee_overtakes_waits_too(node: Node, proxy: Proxy, client: Client) -> None:
    """Anvil throws it away in the block that costs more; geth does not."""
    overtaken = WALLET.pay(0, 3 * GWEI)
    client.send(overtaken.raw)
    node.set_base_fee(5 * GWEI)
    node.mine()
    assert not node.is_pooled(overtaken.hash)
    assert client.state(overtaken.hash) == "waits"
    node.set_base_fee(GWEI)
    proxy.mine()
    assert client.state(overtaken.hash) == "mined"


def test_later_nonces_wait_behind_a_cheap_one(node: Node, proxy: Proxy, client: Client) -> None:
    node.set_base_fee(5 * GWEI)
    cheap, dear = WALLET.pay(0, 2 * GWEI), WALLET.pay(1, 20 * GWEI)
    client.send(cheap.raw)
    client.send(dear.raw)
    assert client("eth_getTransactionCount", WALLET.address, "pending") == "0x2"
    proxy.mine()
    assert client.state(dear.hash) == "waits"
    node.set_base_fee(GWEI)
    proxy.mine(2)
    assert [client.state(each.hash) for each in (cheap, dear)] == ["mined", "mined"]


def test_poor_sender_does_not_wait(node: Node, client: Client) -> None:
    node.set_base_fee(5 * GWEI)
    poor = Wallet(LocalSigner(b"\7" * 32))
    assert client.send(poor.pay(0, GWEI).raw) == "insufficient funds for gas * price + value"


@pytest.mark.parametrize("loss", ["dropped", "restarted", "rolled back"])
def test_what_the_node_loses_otherwise_is_lost(node: Node, client: Client, loss: str) -> None:
    transaction = WALLET.pay(0)
    client.send(transaction.raw)
    if loss == "dropped":
        node.drop(transaction.hash)
    elif loss == "restarted":
        node.ask("anvil_dropAllTransactions")
    else:
        node.mine()
        client("eth_chainId")
        node.roll_back(1)
    assert client.state(transaction.hash) == "unknown"
    assert client("eth_getTransactionCount", WALLET.address, "pending") == "0x0"


def test_reorganised_transaction_is_pooled_again_where_asked_for(node: Node) -> None:
    with Proxy(node.url, reinject=True) as proxy, Client(proxy) as client:
        transaction = WALLET.pay(0)
        client.send(transaction.raw)
        proxy.mine()
        assert client.state(transaction.hash) == "mined"
        node.reorganise(1)
        assert client.state(transaction.hash) == "waits"
        proxy.mine()
        assert client.state(transaction.hash) == "mined"


def test_what_waits_here_is_dropped_through_the_proxy(node: Node, client: Client) -> None:
    node.set_base_fee(5 * GWEI)
    cheap = WALLET.pay(0, 2 * GWEI)
    client.send(cheap.raw)
    client("anvil_dropTransaction", cheap.hash)
    assert client.state(cheap.hash) == "unknown"
