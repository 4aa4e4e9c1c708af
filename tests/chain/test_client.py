"""Connecting, and everything that is wrong with an endpoint, in one line."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from rewards.chain.client import adopt, connect, describe_endpoint
from rewards.chain.embedded import EMBEDDED_CHAIN_ID, EmbeddedChain
from rewards.errors import ChainError
from tests.chain.networks import START, Network


@contextmanager
def serve(answer: Callable[[dict[str, Any]], bytes]) -> Iterator[str]:
    """A node that answers as told, on loopback."""

    class Node(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
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
