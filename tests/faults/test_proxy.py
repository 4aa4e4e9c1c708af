"""Every fault of the proxy does what its name says, to the requests that it is for, as often as it was asked."""

import http.client
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests

from rewards.chain.client import connect
from rewards.errors import ChainError
from rewards.units import checksum
from tests.faults.faults import (
    FAULTS,
    SEND,
    VARIANTS,
    Fault,
    connection_refused,
    fee_spike,
    hang,
    lagging,
    other_fork,
    refusal,
)
from tests.faults.lies import turn
from tests.faults.node import Node
from tests.faults.proxy import Proxy
from tests.faults.rpc import Answer, Upstream
from tests.faults.wallets import GWEI, Wallet
from tests.faults.words import REFUSALS

WALLET = Wallet()
PAYMENT = WALLET.pay(0)
# Creation code of a contract that logs on every call: the init code returns `60006000a000` (LOG0 of nothing, STOP).
LOGGER = bytes.fromhex("6560006000a000" + "6000526006601af3")


class Client(requests.Session):
    """Asks through the proxy over a kept connection, gives up after ten seconds."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def call(self, method: str, *params: Any, timeout: float = 10) -> requests.Response:
        asked: Any = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        return self.post(self._url, json=asked, timeout=timeout)

    def ask(self, method: str, *params: Any) -> Answer:
        answer: Answer = self.call(method, *params).json()
        assert (answer.pop("jsonrpc"), answer.pop("id")) == ("2.0", 7)
        return answer

    def pay(self) -> Answer:
        return self.ask(*SEND, PAYMENT.raw)


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    with Client(proxy.url) as started:
        yield started


def is_known(node: Node) -> bool:
    return bool(node.ask("eth_getTransactionByHash", PAYMENT.hash))


def deploy_logger(node: Node) -> str:
    """A contract that logs, already called once in the newest block; its address."""
    node.ask("eth_sendRawTransaction", WALLET.pay(0, gas=100_000, data=LOGGER, to=b"").raw)
    node.mine()
    address = str(node.ask("eth_getTransactionReceipt", node.block()["transactions"][0])["contractAddress"])
    node.ask("eth_sendRawTransaction", WALLET.pay(1, gas=100_000, to=bytes.fromhex(address[2:])).raw)
    node.mine()
    return address


# Passing through.


def test_answers_are_those_of_the_node(node: Node, client: Client) -> None:
    assert client.ask("eth_chainId") == {"result": "0x7a69"}
    assert client.ask("eth_getBlockByNumber", "latest", False)["result"] == node.block()
    assert client.ask("no_such_method")["error"]["code"] == -32601
    assert client.pay() == {"result": PAYMENT.hash}
    assert is_known(node)


def test_requests_are_remembered_in_their_order(proxy: Proxy, client: Client) -> None:
    client.ask("eth_chainId")
    client.pay()
    client.pay()
    assert [(seen.method, seen.fault) for seen in proxy.seen] == [("eth_chainId", None)] + [(SEND[0], None)] * 2
    first, second = proxy.sent_transactions()
    assert (first.transaction, second.transaction) == (PAYMENT, PAYMENT)
    assert (first.is_accepted, second.is_accepted) == (True, False)
    assert (first.nonce, first.fees) == (0, (3 * GWEI, GWEI))
    assert second.seen.given == {"error": {"code": -32000, "message": "already known"}}


def test_batch_is_answered_in_its_order(proxy: Proxy, client: Client) -> None:
    proxy.inject("limit exceeded", method="eth_gasPrice")
    asked: Any = [{"jsonrpc": "2.0", "id": i, "method": each} for i, each in enumerate(["eth_chainId", "eth_gasPrice"])]
    first, second = client.post(proxy.url, json=asked, timeout=10).json()
    assert (first["id"], first["result"]) == (0, "0x7a69")
    assert (second["id"], second["error"]["code"]) == (1, -32005)
    proxy.inject("answer breaks off", method="eth_gasPrice")
    with pytest.raises(requests.RequestException):
        client.post(proxy.url, json=asked, timeout=10)


def test_connection_is_kept_over_many_requests(node: Node, proxy: Proxy) -> None:
    with Upstream(proxy.url) as rpc:
        rpc.ask("eth_chainId")
        socket = rpc._connection.sock
        for _ in range(50):
            rpc.ask("eth_chainId")
        assert rpc._connection.sock is socket


def test_stopped_node_resets_and_comes_back(node: Node, proxy: Proxy, client: Client) -> None:
    with node.down(), pytest.raises(requests.ConnectionError):
        client.ask("eth_chainId")
    assert client.ask("eth_chainId") == {"result": "0x7a69"}


# Rules.


def test_fault_meets_the_requests_that_were_asked_for(proxy: Proxy, client: Client) -> None:
    rule = proxy.inject("limit exceeded", method="eth_gasPrice", times=2, after=1)
    answers = [client.ask(method) for method in ("eth_chainId", *["eth_gasPrice"] * 4)]
    assert ["error" in answer for answer in answers] == [False, False, True, True, False]
    assert rule.applied == 2
    assert [seen.fault for seen in proxy.seen] == [None, None, "limit exceeded", "limit exceeded", None]


def test_fault_is_bound_to_a_condition(proxy: Proxy, client: Client) -> None:
    proxy.inject("missing transaction", when=lambda call: call.params[0] == PAYMENT.hash)
    client.pay()
    assert client.ask("eth_getTransactionByHash", "0x" + "11" * 32) == {"result": None}
    assert client.ask("eth_getTransactionByHash", PAYMENT.hash) == {"result": None}
    assert client.ask("eth_getTransactionByHash", PAYMENT.hash)["result"]["hash"] == PAYMENT.hash


def test_fault_with_nothing_to_do_is_not_used_up(proxy: Proxy, client: Client) -> None:
    rule = proxy.inject("failed receipt")
    client.pay()
    assert client.ask("eth_getTransactionReceipt", PAYMENT.hash) == {"result": None}
    assert rule.applied == 0
    proxy.mine()
    statuses = [client.ask("eth_getTransactionReceipt", PAYMENT.hash)["result"]["status"] for _ in range(2)]
    assert statuses == ["0x0", "0x1"]


def test_lasting_fault_ends_when_told(proxy: Proxy, client: Client) -> None:
    for end in (proxy.inject("wrong chain id").stop, proxy.heal):
        proxy.inject("wrong chain id") if end == proxy.heal else None
        assert [client.ask("eth_chainId")["result"] for _ in range(2)] == ["0x1", "0x1"]
        end()
        assert client.ask("eth_chainId")["result"] == "0x7a69"


def test_several_faults_act_on_one_answer(proxy: Proxy, client: Client) -> None:
    proxy.inject(fee_spike(2))
    proxy.inject(fee_spike(3))
    before = int(client.ask("eth_gasPrice")["result"], 16)
    assert proxy.seen[-1].fault == "fee spike + fee spike"
    proxy.heal()
    assert before == 6 * int(client.ask("eth_gasPrice")["result"], 16)


def test_unknown_fault_is_an_error(proxy: Proxy) -> None:
    with pytest.raises(KeyError):
        proxy.inject("no such fault")


# Connection and HTTP.


@pytest.mark.parametrize(
    ("fault", "arrives"),
    [
        ("answer lost after accept", True),
        ("request lost", False),
        ("hang", False),
        ("hang after accept", True),
        ("truncated JSON", True),
        ("answer breaks off", True),
        ("connection refused", False),
        ("429", False),
        ("429 with Retry-After", False),
        ("500", False),
        ("502", False),
        ("503", False),
        ("504", False),
        ("504 after accept", True),
    ],
)
def test_client_gets_no_answer(node: Node, proxy: Proxy, client: Client, fault: str, arrives: bool) -> None:
    rule = proxy.inject(fault, method=SEND[0])
    with pytest.raises((requests.RequestException, ValueError, KeyError)):
        client.call(*SEND, PAYMENT.raw, timeout=0.3).json()["result"].lower()
    assert is_known(node) == arrives
    [sent] = proxy.sent_transactions()
    assert (sent.is_accepted, sent.seen.fault, rule.applied) == (arrives, fault, 1)
    proxy.heal()
    assert ("error" in client.pay()) == arrives


def test_lost_answer_is_a_reset(proxy: Proxy) -> None:
    proxy.inject("request lost")
    with Upstream(proxy.url) as rpc, pytest.raises(ConnectionResetError):
        rpc.ask("eth_chainId")


def test_client_that_goes_away_is_no_error(proxy: Proxy, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("request lost", "hang", "429", "answer breaks off", "connection refused"):
        proxy.inject(name)
        with Upstream(proxy.url, timeout_s=0.1) as rpc, suppress(OSError, ValueError, http.client.HTTPException):
            rpc.call("eth_chainId")
        proxy.heal()
    assert proxy.count("eth_chainId") == 5
    assert capfd.readouterr().err == ""


def test_broken_off_answer_is_shorter_than_announced(proxy: Proxy) -> None:
    proxy.inject("answer breaks off")
    with Upstream(proxy.url) as rpc, pytest.raises(http.client.IncompleteRead):
        rpc.ask("eth_chainId")


def test_truncated_answer_is_no_json(proxy: Proxy, client: Client) -> None:
    proxy.inject("truncated JSON")
    with pytest.raises(json.JSONDecodeError):
        client.call("eth_chainId").json()


def test_gateways_speak_for_themselves(proxy: Proxy, client: Client) -> None:
    for name in ("429", "429 with Retry-After", "502"):
        proxy.inject(name)
    plain, waiting, broken = (client.call("eth_chainId") for _ in range(3))
    assert (plain.status_code, plain.headers.get("Retry-After"), plain.json()["error"]["code"]) == (429, None, 429)
    assert (waiting.status_code, waiting.headers["Retry-After"]) == (429, "1")
    assert (broken.status_code, broken.headers["Content-Type"], "<html>" in broken.text) == (502, "text/html", True)


def test_hang_ends_by_itself_after_its_time(proxy: Proxy, client: Client) -> None:
    proxy.inject(hang(seconds=0.05))
    with pytest.raises(requests.ConnectionError):
        client.call("eth_chainId")


def test_closed_proxy_refuses_and_opens_on_the_same_port(proxy: Proxy, client: Client) -> None:
    url = proxy.url
    client.ask("eth_chainId")
    proxy.close()
    with pytest.raises(requests.ConnectionError, match="refused"):
        Client(url).ask("eth_chainId")
    proxy.open()
    assert proxy.url == url
    assert client.ask("eth_chainId") == {"result": "0x7a69"}


def test_connections_are_refused_until_it_is_healed(proxy: Proxy, client: Client) -> None:
    proxy.inject(connection_refused(seconds=60))
    with pytest.raises(requests.ConnectionError):
        client.ask("eth_chainId")
    with pytest.raises(requests.ConnectionError, match="refused"):
        client.ask("eth_chainId")
    proxy.heal()
    assert client.ask("eth_chainId") == {"result": "0x7a69"}


# Words of the node.


@pytest.mark.parametrize("kind", REFUSALS)
def test_refusals_come_in_the_words_of_each_client(proxy: Proxy, client: Client, kind: str) -> None:
    for words in REFUSALS[kind].items():
        name, (code, message) = words
        proxy.inject(refusal(kind, name))
        assert client.pay() == {"error": {"code": code, "message": message}}
    assert any(sent.is_accepted for sent in proxy.sent_transactions()) == (kind == "already known")


def test_every_kind_of_refusal_has_a_variant_for_each_client() -> None:
    assert len(VARIANTS) == len(REFUSALS) * 3
    assert not VARIANTS.keys() & FAULTS.keys()


def test_estimate_reverts_with_its_reason(node: Node, proxy: Proxy) -> None:
    proxy.inject("revert on estimate")
    chain = node.connect(proxy.url)
    call = {"from": checksum(WALLET.address), "to": checksum(WALLET.address), "value": 0}
    with pytest.raises(ChainError, match="not now"):
        chain.estimate_gas(call)
    assert chain.estimate_gas(call) == 21000


# The fate of a transaction.


@pytest.mark.parametrize("mines_at_once", [False, True])
@pytest.mark.parametrize(("fault", "accepted"), [("dropped", True), ("accepted but never forwarded", False)])
def test_transaction_is_taken_and_gone(
    node: Node, proxy: Proxy, client: Client, fault: str, accepted: bool, mines_at_once: bool
) -> None:
    node.set_automine(mines_at_once)
    proxy.inject(fault)
    assert client.pay() == {"result": PAYMENT.hash}
    assert proxy.sent_transactions()[0].is_accepted == accepted
    assert node.ask("anvil_getAutomine") == mines_at_once
    proxy.mine()
    assert client.ask("eth_getTransactionByHash", PAYMENT.hash) == {"result": None}
    node.set_automine(False)
    assert client.pay() == {"result": PAYMENT.hash}
    proxy.mine()
    assert client.ask("eth_getTransactionReceipt", PAYMENT.hash)["result"]["status"] == "0x1"


def test_transaction_below_the_base_fee_is_dropped_as_well(node: Node, proxy: Proxy, client: Client) -> None:
    node.set_base_fee(50 * GWEI)
    proxy.inject("dropped")
    assert client.pay() == {"result": PAYMENT.hash}
    assert proxy.held == []


def test_receipt_is_missing_for_a_known_transaction(proxy: Proxy, client: Client) -> None:
    client.pay()
    proxy.mine()
    proxy.inject("missing receipt")
    assert client.ask("eth_getTransactionByHash", PAYMENT.hash)["result"]["blockNumber"] is not None
    found = [client.ask("eth_getTransactionReceipt", PAYMENT.hash)["result"] for _ in range(2)]
    assert found[0] is None and found[1]["status"] == "0x1"


def test_logs_are_missing(node: Node, proxy: Proxy, client: Client) -> None:
    query = {"fromBlock": "earliest", "toBlock": "latest", "address": deploy_logger(node)}
    [log] = client.ask("eth_getLogs", query)["result"]
    proxy.inject("missing log")
    assert client.ask("eth_getLogs", query) == {"result": []}
    assert client.ask("eth_getTransactionReceipt", log["transactionHash"])["result"]["logs"] == []


# States of the node.


def test_lagging_node_knows_nothing_beyond_its_newest_block(node: Node, proxy: Proxy, client: Client) -> None:
    address = deploy_logger(node)
    [called] = node.block()["transactions"]
    head, log_query = node.head(), {"fromBlock": "0x0", "toBlock": "latest", "address": address}
    proxy.inject(lagging(blocks=2))
    assert client.ask("eth_blockNumber") == {"result": hex(head - 2)}
    for tag in ("latest", "pending"):
        assert client.ask("eth_getBlockByNumber", tag, False)["result"]["hash"] == node.hash_at(head - 2)
    assert client.ask("eth_getBlockByNumber", "finalized", False)["result"]["number"] == hex(head - 4)
    assert client.ask("eth_getBlockByNumber", hex(head), False) == {"result": None}
    assert client.ask("eth_getTransactionReceipt", called) == {"result": None}
    assert client.ask("eth_getTransactionByHash", called) == {"result": None}
    assert client.ask("eth_getTransactionCount", WALLET.address, "latest") == {"result": "0x0"}
    assert client.ask("eth_getTransactionCount", WALLET.address, "pending") == {"result": "0x0"}
    assert client.ask("eth_getCode", address, "latest") == {"result": "0x"}
    assert client.ask("eth_call", {"to": address}, hex(head))["error"]["message"] == "header not found"
    assert client.ask("eth_getLogs", log_query) == {"result": []}
    assert client.ask("eth_getLogs", log_query | {"fromBlock": hex(head)}) == {"result": []}
    node.mine(2)
    assert len(client.ask("eth_getLogs", log_query)["result"]) == 1
    assert client.ask("eth_getTransactionReceipt", called)["result"]["blockNumber"] == hex(head)


def test_block_beyond_a_lagging_node_is_unknown_by_its_hash(node: Node, proxy: Proxy, client: Client) -> None:
    proxy.inject(lagging(blocks=1))
    assert client.ask("eth_getBlockByHash", node.hash_at("latest"), False) == {"result": None}
    below = node.hash_at(node.head() - 1)
    assert client.ask("eth_getBlockByHash", below, False)["result"]["hash"] == below
    assert "error" in client.ask("eth_getLogs", {"blockHash": node.hash_at("latest")})
    assert client.ask("eth_getLogs", {"blockHash": below}) == {"result": []}


def test_node_that_stands_still_keeps_what_was_sent_to_it_in_its_pool(node: Node, proxy: Proxy, client: Client) -> None:
    head = node.head()
    proxy.inject(lagging(at=head))
    client.pay()
    proxy.mine(3)
    assert client.ask("eth_blockNumber") == {"result": hex(head)}
    assert client.ask("eth_getTransactionByHash", PAYMENT.hash)["result"]["blockNumber"] is None
    assert client.ask("eth_getTransactionReceipt", PAYMENT.hash) == {"result": None}
    assert client.ask("eth_getTransactionCount", WALLET.address, "latest") == {"result": "0x0"}
    assert client.ask("eth_getTransactionCount", WALLET.address, "pending") == {"result": "0x1"}
    proxy.heal()
    assert client.ask("eth_getTransactionCount", WALLET.address, "latest") == {"result": "0x1"}


def test_fee_spike_is_told_by_every_method(node: Node, proxy: Proxy, client: Client) -> None:
    def ask_for_fees() -> list[int]:
        block, history = (
            client.ask("eth_getBlockByNumber", "latest", False),
            client.ask("eth_feeHistory", 1, "latest", []),
        )
        found = [client.ask("eth_gasPrice")["result"], client.ask("eth_maxPriorityFeePerGas")["result"]]
        found += [block["result"]["baseFeePerGas"], *history["result"]["baseFeePerGas"]]
        return [int(fee, 16) for fee in found]

    before = ask_for_fees()
    proxy.inject(fee_spike(7))
    assert ask_for_fees() == [7 * fee for fee in before]


def test_wrong_chain_id_is_refused_by_our_client(node: Node, proxy: Proxy) -> None:
    proxy.inject("wrong chain id")
    with pytest.raises(ChainError, match="is chain 1, not 31337"):
        connect(proxy.url, 31337)


def test_two_nodes_disagree_from_a_height_on(node: Node, proxy: Proxy, client: Client) -> None:
    client.pay()
    proxy.mine(2)
    first = node.head() - 1
    with Proxy(node.url) as other, Client(other.url) as second:
        other.inject(other_fork(first))
        for number in range(node.head() + 1):
            ours, theirs = (each.ask("eth_getBlockByNumber", hex(number), False)["result"] for each in (client, second))
            assert (ours["hash"] == theirs["hash"]) == (number < first)
            assert (ours["parentHash"] == theirs["parentHash"]) == (number <= first)
            assert second.ask("eth_getBlockByHash", theirs["hash"], False)["result"] == theirs
            if number >= first:
                assert theirs["hash"] == turn(ours["hash"])
                assert second.ask("eth_getBlockByHash", ours["hash"], False) == {"result": None}
        [mined] = node.block(first)["transactions"]
        for method in ("eth_getTransactionReceipt", "eth_getTransactionByHash"):
            assert second.ask(method, mined)["result"]["blockHash"] == turn(node.hash_at(first))


# All of them.


@pytest.mark.parametrize("fault", [*FAULTS.values(), *VARIANTS.values()], ids=lambda fault: fault.name)
def test_each_fault_shows_in_a_transaction_s_life_and_heals(node: Node, proxy: Proxy, fault: Fault) -> None:
    """Whatever a client asks on the way of one transaction, the fault meets it; once healed the proxy tells the truth."""
    deploy_logger(node)
    [called] = node.block()["transactions"]
    asked: list[tuple[str, list[Any]]] = [
        ("eth_chainId", []),
        ("eth_estimateGas", [{"from": WALLET.address, "to": WALLET.address}]),
        ("eth_getBlockByNumber", ["latest", False]),
        ("eth_getTransactionReceipt", [called]),
        ("eth_getTransactionByHash", [called]),
        (SEND[0], [WALLET.pay(2).raw]),
    ]
    rule = proxy.inject(fault, method=fault.methods or "eth_getBlockByNumber")
    for each in asked:
        ask_with_patience(proxy, *each)
    proxy.heal()
    assert rule.applied >= 1
    assert any(seen.fault == fault.name for seen in proxy.seen)
    for method, params in asked[:-1]:
        assert ask_with_patience(proxy, method, params) == {"result": node.ask(method, *params)}


def ask_with_patience(proxy: Proxy, method: str, params: list[Any]) -> Answer | None:
    """None where no answer comes within the tenth of a second."""
    try:
        with Upstream(proxy.url, timeout_s=0.1 if proxy.rules else 10) as rpc:
            return rpc.call(method, params)
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None
