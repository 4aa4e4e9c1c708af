"""Several nodes behind one provider: one that fails is passed over, all get what is sent, and a fork among them is told."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from time import sleep
from typing import Any

import pytest

from rewards.chain.client import Chain, connect
from rewards.chain.endpoints import REST, Endpoints, open_endpoints
from rewards.errors import ChainError, ChainUnavailable
from rewards.units import Address
from tests.chain.networks import START
from tests.chain.test_client import serve

CHAIN_ID = 3338
ADDRESS = "0x" + "11" * 20


@dataclass
class Node:
    """A node that answers as it is told, with a block every `pace` seconds; `fork` makes its blocks others, `down` makes it
    answer with nonsense, `results` are what it answers whatever is asked."""

    head: int = 100
    final: int | None = 90
    fork: int = 0
    chain_id: int = CHAIN_ID
    down: bool = False
    pace: int = 1
    refusal: str | None = None
    asked: list[str] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    named: dict[str, Any] = field(default_factory=dict)
    """What it answers for a block of this name or number."""

    def __call__(self, request: dict[str, Any]) -> bytes:
        method, params = request["method"], request["params"]
        self.asked.append(method)
        if self.down:
            return b"<html>bad gateway</html>"
        answers: dict[str, Callable[[], Any]] = {
            "eth_chainId": lambda: hex(self.chain_id),
            "eth_getBlockByNumber": lambda: self._block(params[0]),
            "eth_sendRawTransaction": lambda: "0x" + "11" * 32,
            "eth_blockNumber": lambda: hex(self.head),
        }
        known: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        if method == "eth_sendRawTransaction" and self.refusal is not None:
            return json.dumps(known | {"error": {"code": -32000, "message": self.refusal}}).encode()
        if method in self.results:
            return json.dumps(known | {"result": self.results[method]}).encode()
        return json.dumps(known | {"result": answers[method]()}).encode()

    def _block(self, which: str) -> dict[str, str] | None:
        if which in self.named:
            return self.named[which]
        named = {"latest": self.head, "finalized": self.final}
        number = named[which] if which in named else int(which, 16)
        if number is None or number > self.head:
            return None
        timestamp = hex(START + self.pace * number)
        return {"number": hex(number), "hash": f"0x{self.fork:02x}{number:062x}", "timestamp": timestamp}


@contextmanager
def joined(*nodes: Node) -> Iterator[Chain]:
    with ExitStack() as stack:
        yield connect(" ".join(stack.enter_context(serve(node)) for node in nodes), CHAIN_ID, timeout_s=5)


def provider_of(chain: Chain) -> Endpoints:
    provider = chain.web3.provider
    assert isinstance(provider, Endpoints)
    return provider


def test_a_node_that_fails_is_passed_over_and_left_alone() -> None:
    first, second = Node(), Node(head=101)
    with joined(first, second) as chain:
        assert chain.head().number == 100
        first.down = True
        assert chain.head().number == 101
        asked = len(first.asked)
        assert chain.head().number == 101
        assert len(first.asked) == asked


def test_a_node_is_asked_again_after_its_rest() -> None:
    first, second = Node(), Node(head=101)
    with joined(first, second) as chain:
        first.down = True
        assert chain.head().number == 101
        first.down = False
        heads = [chain.head().number for _ in range(2 * REST)]
        assert heads[0] == 101 and heads[-1] == 100 and 0 < heads.count(101) <= REST


def test_when_all_rest_all_are_asked() -> None:
    first, second = Node(down=False), Node()
    with joined(first, second) as chain:
        first.down = second.down = True
        with pytest.raises(ChainUnavailable, match="answers no JSON"):
            chain.head()
        second.down = False
        assert chain.head().number == 100


class Busy(Node):
    """Says that it was asked too often, in the words of EIP-1474."""

    def __call__(self, request: dict[str, Any]) -> bytes:
        if request["method"] == "eth_chainId":
            return super().__call__(request)
        error = {"code": -32005, "message": "limit exceeded"}
        return json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode()


def test_a_node_that_was_asked_too_often_is_passed_over() -> None:
    with joined(Busy(), Node(head=101)) as chain:
        assert chain.head().number == 101
    with joined(Busy()) as chain, pytest.raises(ChainUnavailable, match="was asked too often: limit exceeded"):
        chain.head()


def test_every_node_is_asked_also_after_one_that_does_not_answer() -> None:
    first, second = Node(), Node(head=101)
    with joined(first, second) as chain:
        first.down = True
        [(endpoint, answer)] = provider_of(chain).ask_each("eth_blockNumber", [])
        assert (endpoint, answer["result"]) == (provider_of(chain).endpoints[1], hex(101))


def test_what_is_sent_goes_to_every_node() -> None:
    first, second = Node(), Node()
    with joined(first, second) as chain:
        chain.send_raw(b"\x01", "a call")
    assert [n.asked.count("eth_sendRawTransaction") for n in (first, second)] == [1, 1]


def test_one_node_that_takes_it_suffices() -> None:
    with joined(Node(refusal="already known"), Node()) as chain:
        chain.send_raw(b"\x01", "a call")
    with joined(Node(refusal="nonce too low"), Node(refusal="nonce too low")) as chain:
        with pytest.raises(ChainError, match="nonce too low") as caught:
            chain.send_raw(b"\x01", "a call")
        assert not isinstance(caught.value, ChainUnavailable)


def test_a_refusal_means_nothing_while_another_node_may_have_taken_it() -> None:
    second = Node()
    with joined(Node(refusal="nonce too low"), second) as chain:
        second.down = True
        with pytest.raises(ChainUnavailable, match="a call"):
            chain.send_raw(b"\x01", "a call")


def test_what_is_sent_goes_to_a_node_that_rests_too_and_once_to_each() -> None:
    """What those that are awake refuse says nothing while it takes it."""
    first, second = Node(refusal="nonce too low"), Node()
    with joined(first, second) as chain:
        second.down = True
        provider_of(chain).ask_each("eth_blockNumber", [])
        second.down = False
        chain.send_raw(b"\x01", "a call")
    assert [n.asked.count("eth_sendRawTransaction") for n in (first, second)] == [1, 1]


def test_a_refusal_counts_where_the_node_that_rests_is_gone_and_got_nothing() -> None:
    first, second = Node(refusal="insufficient funds"), Node()
    with joined(first, second) as chain:
        second.down = True
        provider_of(chain).ask_each("eth_blockNumber", [])
        with pytest.raises(ChainError, match="insufficient funds") as caught:
            chain.send_raw(b"\x01", "a call")
        assert not isinstance(caught.value, ChainUnavailable)
    assert "eth_sendRawTransaction" not in second.asked


def test_a_sole_node_is_sent_it_once_also_while_it_rests() -> None:
    node = Node()
    with joined(node) as chain:
        node.down = True
        for ask in (chain.head, lambda: chain.send_raw(b"\x01", "a call")):
            with pytest.raises(ChainUnavailable):
                ask()
    assert node.asked.count("eth_sendRawTransaction") == 1


def test_a_node_of_another_chain_is_told_at_once() -> None:
    with pytest.raises(ChainError, match=f"is chain 1, not {CHAIN_ID}"), joined(Node(), Node(chain_id=1)):
        pass


def test_a_node_that_comes_back_as_another_chain_is_told() -> None:
    first, second = Node(), Node(down=True, chain_id=1)
    with joined(first, second) as chain:
        first.down, second.down = True, False
        with pytest.raises(ChainError, match=f"is chain 1, not {CHAIN_ID}"):
            chain.head()


def test_final_is_what_every_node_calls_final() -> None:
    with joined(Node(final=90), Node(final=88)) as chain:
        assert chain.final_block().number == 88


@pytest.mark.parametrize("final", [1699, 0])
def test_a_node_far_behind_a_majority_has_no_say(final: int) -> None:
    with joined(Node(head=3000, final=final), Node(head=3000, final=2900), Node(head=3000, final=2901)) as chain:
        assert chain.final_block().number == 2900


def test_a_node_far_ahead_of_a_majority_has_no_say_and_is_not_asked_first() -> None:
    with joined(Node(head=1000, final=900), Node(head=1001, final=899), Node(head=9000, final=5000)) as chain:
        first = provider_of(chain).endpoints[0]
        assert chain.final_block().number == 899
        assert provider_of(chain).endpoints[0] is first and chain.head().number == 1000


@pytest.mark.parametrize("finals", [(2900, 1699), (1699, 2900), (100, 1500, 2900), (100, 110, 1500, 1510)])
def test_without_a_majority_that_keeps_together_nothing_is_final(finals: tuple[int, ...]) -> None:
    """Of two, neither the one that lags nor the one that runs ahead is believed; they may come together again."""
    nodes = [Node(head=3000, final=final) for final in finals]
    with joined(*nodes) as chain:
        first = provider_of(chain).endpoints[0]
        told = rf"more than 20 minutes apart in what is final: {finals[0]} at http"
        with pytest.raises(ChainUnavailable, match=told):
            chain.final_block()
        assert provider_of(chain).endpoints[0] is first
        for node in nodes:
            node.final = 2900
        assert chain.final_block().number == 2900


@pytest.mark.parametrize(("pace", "apart"), [(2, 600), (12, 100)])
def test_how_far_nodes_may_be_apart_is_told_by_time_and_not_by_blocks(pace: int, apart: int) -> None:
    """Where a block takes two seconds, what is final moves on by hundreds at once, and both nodes are right."""
    ahead, behind = (Node(head=3000, final=2000 - lag, pace=pace) for lag in (0, apart))
    with joined(ahead, behind) as chain:
        assert chain.final_block().number == 2000 - apart
        behind.final = 2000 - apart - 1
        with pytest.raises(ChainUnavailable, match="20 minutes apart"):
            chain.final_block()


@pytest.mark.parametrize("lie", [0, 890, 899, 950, 5000])
def test_a_node_that_lies_about_times_too_moves_nothing_beyond_the_others(lie: int) -> None:
    """Its final block is any, and has the time that suits: be it never, or as the others' have it."""
    for time in (0, START + 900, START + 10**6):
        liar = Node(head=9000, final=lie)
        block = {"number": hex(lie), "hash": f"0x{lie:064x}", "timestamp": hex(time)}
        liar.named["finalized"] = block
        with joined(Node(head=1000, final=900), liar, Node(head=1000, final=890)) as chain:
            assert 890 <= chain.final_block().number <= 900


@pytest.mark.parametrize(("configured", "needed"), [(2, 1), (3, 2), (4, 2), (5, 3)])
def test_half_of_the_configured_nodes_must_answer_before_anything_is_final(configured: int, needed: int) -> None:
    nodes = [Node() for _ in range(configured)]
    with joined(*nodes) as chain:
        wheres = [endpoint.where for endpoint in provider_of(chain).endpoints]
        for node in nodes[needed:]:
            node.down = True
        assert chain.final_block().number == 90
        nodes[needed - 1].down = True
        with pytest.raises(ChainUnavailable) as told:
            chain.final_block()
        assert f"{needed - 1} of {configured} endpoints tell it, {needed} must" in str(told.value)
        silent = str(told.value).partition("silent: ")[2]
        assert [where in silent for where in wheres] == [place >= needed - 1 for place in range(configured)]
        assert needed == 1 or chain.head().number == 100  # what is not to be final is read all the same


def test_whether_the_chain_has_the_tag_is_no_single_node_to_say() -> None:
    nodes = [Node(final=None), Node(down=True), Node(down=True)]
    with joined(*nodes) as chain:
        with pytest.raises(ChainUnavailable, match="1 of 3 endpoints tell it, 2 must"):
            chain.final_block()
        nodes[1].down = nodes[2].down = False
        assert chain.final_block().number == 90


def test_nodes_that_rest_are_asked_where_too_few_others_answer() -> None:
    nodes = [Node(), Node(), Node()]
    with joined(*nodes) as chain:
        nodes[1].down = nodes[2].down = True
        with pytest.raises(ChainUnavailable, match="1 of 3"):
            chain.final_block()
        nodes[1].down = nodes[2].down = False
        assert chain.final_block().number == 90


def test_a_node_that_dropped_one_answer_has_its_say_as_soon_as_it_is_back() -> None:
    behind, ahead = Node(head=100, final=90), Node(head=400, final=390)
    with joined(behind, ahead) as chain:
        assert chain.final_block().number == 90
        for _ in range(5):  # also when it drops several
            behind.down = True
            assert [chain.head().number, chain.final_block().number] == [400, 390]
        behind.down = False
        assert chain.final_block().number == 90


def test_a_majority_is_one_again_as_soon_as_a_node_is_back() -> None:
    nodes = [Node(head=10_000, final=final) for final in (9990, 9990, 100)]
    with joined(*nodes) as chain:
        assert chain.final_block().number == 9990
        nodes[1].down = True
        with pytest.raises(ChainUnavailable, match="apart"):
            chain.final_block()
        nodes[1].down = False
        assert chain.final_block().number == 9990


class Slow(Node):
    """Answers later than one waits that has others to ask, from when it is told to."""

    delay_s: float = 0.0

    def __call__(self, request: dict[str, Any]) -> bytes:
        sleep(self.delay_s)
        return super().__call__(request)


def test_a_node_that_hangs_is_not_waited_for_long_while_it_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rewards.chain.endpoints.WAKING_S", 0.05)
    slow = Slow(head=100, final=80)
    with joined(slow, Node()) as chain:
        assert chain.final_block().number == 80
        slow.down, slow.delay_s = True, 0.3
        assert chain.final_block().number == 90
        slow.down, asked = False, slow.asked.count("eth_getBlockByNumber")
        assert chain.final_block().number == 90
        assert slow.asked.count("eth_getBlockByNumber") == asked
        for _ in range(REST):  # when it is due again it is waited for as any
            chain.head()
        assert chain.final_block().number == 80


def test_what_is_final_is_asked_twice_of_each_and_once_more_where_they_differ() -> None:
    nodes = [Node(), Node(), Node()]
    with joined(*nodes) as chain:
        for final, asked in ((90, 6), (89, 9)):
            nodes[0].final = final
            chain.final_block()
            before = sum(len(node.asked) for node in nodes)
            chain.final_block()
            assert sum(len(node.asked) for node in nodes) - before == asked


def test_a_node_with_the_right_hash_and_another_time_is_told() -> None:
    """Deadlines are counted from the time of what is final."""
    liar = Node()
    liar.named["0x5a"] = {"number": "0x5a", "hash": f"0x{90:064x}", "timestamp": hex(START + 10**6)}
    with joined(liar, Node(), Node()) as chain, pytest.raises(ChainError, match="disagree on block 90") as caught:
        chain.final_block()
    assert str(START + 10**6) in str(caught.value) and str(START + 90) in str(caught.value)


def test_of_five_two_that_agree_are_too_few_while_a_third_strays() -> None:
    nodes = [Node(head=3000, final=final) for final in (2900, 2901, 100)]
    with joined(*nodes, Node(down=True), Node(down=True)) as chain, pytest.raises(ChainUnavailable, match="apart"):
        chain.final_block()


def test_a_block_that_too_few_nodes_hold_is_not_final() -> None:
    """All call it final, and one alone can show it."""
    nodes = [Node(), Node(), Node()]
    for node in nodes[1:]:
        node.named["0x5a"] = None
    with joined(*nodes) as chain, pytest.raises(ChainUnavailable, match="1 of 3 endpoints tell it, 2 must"):
        chain.final_block()


@pytest.mark.parametrize("again", ["{}", "{}/", "HTTP{}", "{}#x"])
def test_one_node_that_is_named_twice_has_one_voice(again: str) -> None:
    with serve(Node()) as url:
        spelled = again.format(url.removeprefix("http") if again.startswith("HTTP") else url)
        [endpoint] = provider_of(connect(f"{url} {spelled}", CHAIN_ID, timeout_s=5)).endpoints
        assert endpoint.provider.endpoint_uri == url


@pytest.mark.parametrize(
    ("urls", "distinct"),
    [
        ("https://Node.example/k https://node.example:443/k/ HTTPS://node.example/k", 1),
        ("http://node.example http://node.example:80/", 1),
        ("https://node.example/k http://node.example/k", 2),
        ("https://node.example/k https://node.example/K", 2),
        ("https://node.example/k https://node.example:8443/k", 2),
        ("https://node.example/k?net=1 https://node.example/k?net=2", 2),
    ],
)
def test_addresses_of_one_node_are_told_from_those_of_two(urls: str, distinct: int) -> None:
    endpoints = open_endpoints(urls, CHAIN_ID, timeout_s=5).endpoints
    assert len(endpoints) == distinct and endpoints[0].provider.endpoint_uri == urls.split()[0]


@pytest.mark.parametrize(("finals", "number"), [((None, 90, 90), 90), ((90, None, None), 36)])
def test_most_nodes_say_whether_the_chain_has_the_tag(finals: tuple[int | None, ...], number: int) -> None:
    with joined(*(Node(final=final) for final in finals)) as chain:
        assert chain.final_block().number == number


def test_of_two_of_which_one_lacks_the_tag_none_is_believed() -> None:
    lacking = Node(final=None)
    with joined(lacking, Node(final=90)) as chain:
        with pytest.raises(ChainUnavailable, match="say that the chain has none"):
            chain.final_block()
        lacking.final = 89
        assert chain.final_block().number == 89


def test_of_two_that_keep_together_the_lower_counts() -> None:
    with joined(Node(head=3000, final=2900), Node(head=3000, final=1700)) as chain:
        assert chain.final_block().number == 1700


def test_the_node_that_is_ahead_is_asked_first_from_then_on() -> None:
    behind, ahead = Node(head=100, final=90), Node(head=110, final=95)
    with joined(behind, ahead) as chain:
        assert chain.head().number == 100
        assert chain.final_block().number == 90
        assert chain.head().number == 110


def test_nodes_that_disagree_on_a_final_block_are_told() -> None:
    with joined(Node(fork=1), Node(fork=2)) as chain, pytest.raises(ChainError, match="disagree on block 90") as caught:
        chain.final_block()
    assert "0x01" in str(caught.value) and "0x02" in str(caught.value) and "REWARDS_RPC_URL" in str(caught.value)


def test_without_a_tag_the_depth_counts_from_the_lowest_head() -> None:
    with joined(Node(head=100, final=None), Node(head=97, final=None)) as chain:
        assert chain.final_block().number == 97 - 64


def test_the_key_of_no_endpoint_is_in_an_error() -> None:
    with joined(Node(), Node()) as chain:
        for endpoint in provider_of(chain).endpoints:
            endpoint.provider.endpoint_uri = "http://127.0.0.1:9/secret-key"  # type: ignore[assignment]
        with pytest.raises(ChainError) as caught:
            chain.head()
    assert "secret-key" not in str(caught.value)


@pytest.mark.parametrize("ahead", [1060, 1065, 5000])
def test_a_node_far_ahead_on_another_fork_is_told_too(ahead: int) -> None:
    honest = [Node(head=1100, final=1000, fork=1), Node(head=1100, final=1000, fork=1)]
    with joined(*honest, Node(head=6000, final=ahead, fork=2)) as chain, pytest.raises(ChainError, match="disagree on"):
        chain.final_block()


ODD = (None, "abc", "0x", {}, [], [{}], 5, "0x" + "f" * 80)
QUESTIONS: dict[str, tuple[Callable[[Chain], Any], Sequence[Any]]] = {
    "eth_call": (lambda chain: chain.replay({"to": ADDRESS, "data": "0x"}, "latest"), ("0x", "0x" + "f" * 80)),
    "eth_getCode": (lambda chain: chain.read_code(Address(ADDRESS)), ("0x", "0x" + "f" * 80)),
    "eth_getLogs": (lambda chain: list(chain.logs(Address(ADDRESS), [], 1, 2)), ([],)),
    "eth_getBlockByNumber": (lambda chain: chain.block(7), (None,)),
    "eth_getBlockByHash": (lambda chain: chain.timestamp_of(bytes(32)), (None,)),
    "eth_getTransactionCount": (lambda chain: chain.count_transactions(Address(ADDRESS), "latest"), ()),
    "eth_getTransactionReceipt": (lambda chain: chain.find_receipt(bytes(32)), (None,)),
    "eth_getTransactionByHash": (lambda chain: chain.knows_transaction(bytes(32)), (None,)),
    "eth_estimateGas": (lambda chain: chain.estimate_gas({"to": ADDRESS, "data": "0x"}), ()),
    "eth_sendRawTransaction": (lambda chain: chain.send_raw(b"\x01", "sending"), ()),
}


@pytest.mark.parametrize("method", QUESTIONS)
def test_a_result_of_another_shape_is_no_answer(method: str) -> None:
    """It is one line, and another node is asked; what the method may well answer is left out."""
    ask, sound = QUESTIONS[method]
    node = Node()
    with joined(node) as chain:
        for odd in ODD:
            if odd in sound:
                continue
            node.results[method] = odd
            with pytest.raises(ChainUnavailable, match=f"answers {method} with") as told:
                ask(chain)
            assert "\n" not in str(told.value)


def test_another_node_answers_for_one_with_an_odd_result() -> None:
    first, second = Node(), Node(head=101)
    with joined(first, second) as chain:
        first.results["eth_getBlockByNumber"] = {"number": "0x1"}
        assert chain.head().number == 101


class Reverting(Node):
    """Refuses every call with the same data."""

    data: str = "0x"

    def __call__(self, request: dict[str, Any]) -> bytes:
        if request["method"] != "eth_call":
            return super().__call__(request)
        error = {"code": 3, "message": "execution reverted", "data": self.data}
        return json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode()


def test_data_of_a_revert_stays_as_it_is_also_where_it_holds_a_part_of_an_address() -> None:
    """The id of the chain in the path is no rarity, and its digits are in every other number."""
    node = Reverting()
    reason = "holds 3338 CXPT"
    packed = reason.encode().hex().ljust(64, "0")
    node.data = f"0x08c379a0{32:064x}{len(reason):064x}{packed}"
    with serve(node) as url, pytest.raises(ChainError, match="holds 3338 CXPT"):
        connect(f"{url}/0000", CHAIN_ID, timeout_s=5).replay({"to": ADDRESS, "data": "0x"}, "latest")


@pytest.mark.parametrize("path", ["3338", "v2/3338", "rpc?chain=3338", "0000", "00003338"])
def test_numbers_that_people_need_stay_in_the_reason_of_a_revert(path: str) -> None:
    node, reason = Reverting(), "3338 holds 100003338000000003338 CXPT"
    packed = reason.encode().hex().ljust(128, "0")
    node.data = f"0x08c379a0{32:064x}{len(reason):064x}{packed}"
    with serve(node) as url, pytest.raises(ChainError, match=reason):
        connect(url.replace("v2/secret-key", path), CHAIN_ID, timeout_s=5).replay(
            {"to": ADDRESS, "data": "0x"}, "latest"
        )


@pytest.mark.parametrize("path", ["data", "code", "message"])
def test_the_fields_of_an_error_keep_their_names_whatever_an_address_holds(path: str) -> None:
    node, reason = Reverting(), "no such claim"
    node.data = f"0x08c379a0{32:064x}{len(reason):064x}{reason.encode().hex().ljust(64, '0')}"
    with serve(node) as url:
        chain = connect(url.replace("/v2/", f"/{path}/"), CHAIN_ID, timeout_s=5)
        with pytest.raises(ChainError, match=reason):
            chain.replay({"to": ADDRESS, "data": "0x"}, "latest")
        blotted = provider_of(chain).endpoints[0].blot({"code": 3, "secret-key": {"data": "0x"}})
        assert blotted == {"code": 3, "[secret]": {"data": "0x"}}


@pytest.mark.parametrize("data", ["0x123", "0xzz", "0x08c379a0"])
def test_data_of_a_revert_that_cannot_be_read_is_one_line(data: str) -> None:
    node = Reverting()
    node.data = data
    with joined(node) as chain, pytest.raises(ChainError) as told:
        chain.replay({"to": ADDRESS, "data": "0x"}, "latest")
    assert "\n" not in str(told.value)


class NullError(Node):
    """Names an error that is none beside every result."""

    def __call__(self, request: dict[str, Any]) -> bytes:
        return json.dumps(json.loads(super().__call__(request)) | {"error": None}).encode()


def test_an_error_that_is_null_is_none() -> None:
    with joined(NullError()) as chain:
        assert chain.head().number == 100
        chain.send_raw(b"\x01", "sending")


def test_nodes_that_are_all_down_are_not_said_to_disagree() -> None:
    node = Node()
    with joined(node, Node(down=True)) as chain:
        node.down = True
        with pytest.raises(ChainUnavailable, match="0 of 2 endpoints tell it"):
            chain.final_block()
