"""Connecting, and everything that is wrong with an endpoint, in one line."""

import json
import logging
import threading
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import quote, unquote

import pytest
import requests

from rewards.chain.blot import BLOT, list_parts, order_secrets, redact
from rewards.chain.client import adopt, connect
from rewards.chain.embedded import EMBEDDED_CHAIN_ID, EmbeddedChain
from rewards.chain.endpoints import describe_endpoint
from rewards.errors import ChainError
from rewards.units import Address, checksum
from tests.chain.networks import START, Network


@contextmanager
def serve(answer: Callable[[dict[str, Any]], bytes], status: int = 200) -> Iterator[str]:
    """A node that answers as told, on loopback."""

    class Node(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Node)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v2/secret-key"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _reply(request: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": request["id"]} | fields).encode()


def _is_one_line_without_the_key(error: BaseException) -> bool:
    return "\n" not in str(error) and "secret" not in str(error)


def test_unreachable_endpoint_is_one_line_without_its_path() -> None:
    with pytest.raises(ChainError, match=r"^connecting: http://127\.0\.0\.1:9 does not answer") as caught:
        connect("http://user:secret@127.0.0.1:9/v2/secret-key", 3338)
    assert _is_one_line_without_the_key(caught.value)


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 401), (b"not JSON", 200), (b'{"jsonrpc": "2.0", "id": 0, "error": "no"}', 200)]
)
def test_the_key_in_an_endpoint_is_in_no_traceback(body: bytes, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Also where somebody logs the error with everything that led to it, as an orchestrator does."""
    with serve(lambda _: body, status) as url, caplog.at_level(logging.INFO):
        with pytest.raises(ChainError) as caught:
            connect(url, 1)
        logging.getLogger("a flow").error("it failed", exc_info=caught.value)
    assert "secret-key" not in "".join(traceback.format_exception(caught.value, chain=True))
    assert "it failed" in caplog.text and "secret-key" not in caplog.text


@pytest.mark.parametrize(
    "words", ["no archive at https://node/v2/secret-key", "secret-key is spent", "x" * 195 + " secret-key"]
)
def test_a_refusal_that_quotes_the_address_is_told_without_its_key(words: str) -> None:
    """As the error is made, since it may be stored; also where the words are cut, or come as the reason of a revert."""
    reason = words.encode()
    data = "0x08c379a0" + f"{32:064x}{len(reason):064x}" + reason.hex().ljust(512, "0")

    def answer(request: dict[str, Any]) -> bytes:
        if request["method"] == "eth_chainId":
            return _reply(request, result="0x1")
        if request["method"] == "eth_call":
            return _reply(request, error={"code": 3, "message": "execution reverted", "data": data})
        if request["method"] == "eth_getCode":
            return _reply(request, words=[words])
        code = -32005 if request["method"] == "eth_getTransactionCount" else -32000
        return _reply(request, error={"code": code, "message": words})

    account = Address("0x" + "11" * 20)
    with serve(answer) as url:
        chain = connect(url, 1)
        for ask in (
            chain.head,
            lambda: chain.replay({"to": checksum(account), "data": b""}, "latest"),
            lambda: chain.count_transactions(account, "latest"),
            lambda: chain.read_code(account),
        ):
            with pytest.raises(ChainError) as caught:
                ask()
            assert "secre" not in str(caught.value).replace(BLOT, "")
            assert BLOT in str(caught.value) or len(words) > 100


TOKEN = "to/ken é+&=42"
USER_INFO = "us%20er:p%C3%A4ss"


@pytest.mark.parametrize("place", ["", "/{}", "?key={}", "/v3?net=1&key={}", "#{}"])
def test_no_form_of_a_key_is_told(place: str, caplog: pytest.LogCaptureFixture) -> None:
    """In the path, the query, the fragment or for a user; as it is typed, as it is meant, and encoded in either way."""
    encoded = quote(TOKEN, safe="")
    forms = [encoded, TOKEN, encoded.lower(), quote(TOKEN), unquote(USER_INFO.partition(":")[2])]
    forms += [b64encode(unquote(USER_INFO).encode(encoding)).decode() for encoding in ("utf-8", "latin-1")]
    if not place:
        forms = forms[4:]
    words = " ".join(f"%2F{form}" for form in forms)

    def answer(request: dict[str, Any]) -> bytes:
        told = {"result": "0x1"} if request["method"] == "eth_chainId" else {"error": {"code": -1, "message": words}}
        return _reply(request, **told)

    with serve(answer) as url, caplog.at_level(logging.DEBUG):
        address = url.replace("://", f"://{USER_INFO}@").replace("/v2/secret-key", place.format(encoded))
        with pytest.raises(ChainError) as caught:
            connect(address, 1).head()
    everything = str(caught.value) + caplog.text
    assert [form for form in forms if form in everything] == []
    assert BLOT in str(caught.value) and "Making request HTTP" in caplog.text


@pytest.mark.parametrize(
    ("address", "said", "told"),
    [
        ("bot123456:AAEKEYKEYKEY/x", "bad token AAEKEYKEYKEY", "bad token [secret]"),
        ("bot123456%3AAAEKEYKEYKEY/x", "bad token AAEKEYKEYKEY", "bad token [secret]"),
        ("v3?apikey=KEYKEYKEY1;x=2", "apikey KEYKEYKEY1", "apikey [secret]"),
        ("v3?x=2;apikey=KEYKEYKEY1", "apikey KEYKEYKEY1", "apikey [secret]"),
        ("v3?keys=a1b2,KEYKEYKEY1", "keys a1b2 and KEYKEYKEY1", "keys [secret] and [secret]"),
        ("v3/AbCdEf0123456789", "GET /v3/abcdef0123456789", "GET /[secret]"),
        ("full/base/137/KEYKEYKEY1", "txpool is full, base fee 137", "txpool is full, base fee 137"),
        ("Full/fulla1?token=base", "Full, fulla1 and base", "[secret], [secret] and [secret]"),
    ],
)
def test_no_piece_of_a_key_is_told(address: str, said: str, told: str) -> None:
    assert redact(said, order_secrets(list_parts(f"https://node.example/{address}"))) == told


@pytest.mark.parametrize(("user", "told"), [("user", "user"), ("us%20er", "us er"), ("operator", BLOT)])
def test_a_short_user_name_stays_and_its_password_does_not(user: str, told: str) -> None:
    """Every answer has something called user."""
    secrets = order_secrets(list_parts(f"https://{user}:p4ss@h.example/"))
    assert redact(f'{{"{unquote(user)}": "p4ss"}}', secrets) == f'{{"{told}": "{BLOT}"}}'


def test_what_is_sent_for_a_user_is_told_in_no_case() -> None:
    """By requests itself, which encodes what it can as Latin-1."""
    address = f"http://{USER_INFO}@h.example/"
    sent = requests.Request("POST", address).prepare().headers["Authorization"]
    assert redact(sent, order_secrets(list_parts(address))) == f"Basic {BLOT}"


def test_wrong_chain_id_names_both() -> None:
    with (
        serve(lambda request: _reply(request, result="0x1")) as url,
        pytest.raises(ChainError, match=r"is chain 1, not 3338; check the endpoint") as caught,
    ):
        connect(url, 3338)
    assert _is_one_line_without_the_key(caught.value)


def test_wrong_chain_id_in_the_process() -> None:
    web3 = EmbeddedChain(START).chain.web3
    with pytest.raises(ChainError, match=f"the embedded chain is chain {EMBEDDED_CHAIN_ID}, not 1"):
        adopt(web3, 1, "the embedded chain")


REFUSAL = b'{"jsonrpc": "2.0", "id": 0, "error": {"code": -1, "message": "no such method"}}'


@pytest.mark.parametrize("body", [b"", b"<html>bad gateway</html>", b"[]", REFUSAL])
def test_nonsense_from_a_node_is_a_chain_error(body: bytes) -> None:
    with (
        serve(lambda _: body) as url,
        pytest.raises(ChainError, match=r"^connecting: http://127\.0\.0\.1:\d+ ") as caught,
    ):
        connect(url, 1)
    assert _is_one_line_without_the_key(caught.value)


@pytest.mark.parametrize("url", ["", "localhost:8545", "ftp://host", "http://", "http://host:port", "http://[::1"])
def test_what_is_no_endpoint(url: str) -> None:
    with pytest.raises(ChainError, match="give http://host:port"):
        connect(url, 1)


def test_endpoints_are_told_by_host() -> None:
    assert describe_endpoint("https://user:secret@rpc.example/v3/secret?key=secret") == "https://rpc.example"


def test_chain_without_a_finalized_tag_counts_blocks() -> None:
    def answer(request: dict[str, Any]) -> bytes:
        if request["method"] == "eth_chainId":
            return _reply(request, result="0x1")
        tag = request["params"][0]
        if tag == "finalized":
            return _reply(request, error={"code": -32602, "message": "unknown block tag"})
        number = 100 if tag == "latest" else int(tag, 16)
        block = {"number": hex(number), "hash": "0x" + f"{number:064x}", "timestamp": hex(START + number)}
        return _reply(request, result=block)

    with serve(answer) as url:
        assert connect(url, 1, depth=12).final_block().number == 88
        assert connect(url, 1, depth=500).final_block().number == 0


def _answer_blocks(finalized: list[dict[str, Any]]) -> Callable[[dict[str, Any]], bytes]:
    """A node at block 100; what it says of the final block, one answer after the other, the last one forever."""

    def answer(request: dict[str, Any]) -> bytes:
        if request["method"] == "eth_chainId":
            return _reply(request, result="0x1")
        tag = request["params"][0]
        if tag == "finalized":
            return _reply(request, **(finalized.pop(0) if len(finalized) > 1 else finalized[0]))
        number = 100 if tag == "latest" else int(tag, 16)
        return _reply(request, result=_block(number))

    return answer


def _block(number: int) -> dict[str, str]:
    return {"number": hex(number), "hash": "0x" + f"{number:064x}", "timestamp": hex(START + number)}


BUSY = {"error": {"code": -32005, "message": "rate limit exceeded"}}


def test_a_busy_node_never_makes_a_block_final() -> None:
    """Neither before nor after it has shown that it knows the tag."""
    answers = [BUSY, {"result": _block(60)}, {"result": _block(61)}, BUSY]
    with serve(_answer_blocks(answers)) as url:
        chain = connect(url, 1, depth=1)
        with pytest.raises(ChainError, match="rate limit"):
            chain.final_block()
        assert chain.final_block().number == 61
        for _ in range(2):
            with pytest.raises(ChainError, match="rate limit"):
                chain.final_block()


@pytest.mark.parametrize(
    "unknown",
    [
        {"error": {"code": -32602, "message": "invalid argument"}},
        {"error": {"code": -39001, "message": "no"}},
        {"error": {"code": -32000, "message": "finalized block not found"}},
        {"result": None},
    ],
)
def test_a_chain_without_the_tag_is_asked_once(unknown: dict[str, Any]) -> None:
    with serve(_answer_blocks([unknown, {"result": _block(99)}])) as url:
        chain = connect(url, 1, depth=12)
        assert [chain.final_block().number for _ in range(2)] == [88, 88]


def test_final_block_lags_on_a_real_node(anvil: Network) -> None:
    for _ in range(3):
        anvil.mine()
    assert anvil.chain.final_block().number == anvil.chain.head().number - 2


def test_embedded_chain_is_the_same_every_time() -> None:
    hashes = []
    for _ in range(2):
        embedded = EmbeddedChain(START)
        assert (embedded.chain.block(0).timestamp, embedded.chain.head().timestamp) == (START, START + 1)
        embedded.advance(100)
        embedded.mine(2)
        assert embedded.chain.head().timestamp == START + 103
        hashes.append(embedded.chain.head().hash)
    assert hashes[0] == hashes[1]


def test_embedded_time_goes_forward_and_snapshots_back() -> None:
    embedded = EmbeddedChain(START)
    snapshot, head = embedded.take_snapshot(), embedded.chain.head()
    embedded.advance(86400)
    with pytest.raises(ChainError, match="its time cannot go back"):
        embedded.set_time(START)
    embedded.revert(snapshot)
    assert embedded.chain.head() == head
    embedded.advance(5)
    assert embedded.chain.head().timestamp == head.timestamp + 5
