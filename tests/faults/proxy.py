"""A JSON-RPC proxy in front of a node, which fails as told and remembers everything.

    with Proxy(node.url) as proxy:
        proxy.inject("answer lost after accept")                    # the next eth_sendRawTransaction
        proxy.inject(refusal("nonce too low"), times=2, after=1)    # the second and third one
        lag = proxy.inject(lagging(blocks=5))                       # a state: until lag.stop() or proxy.heal()
        ... connect to proxy.url ...
        assert [sent.nonce for sent in proxy.sent_transactions()] == [0, 0]

Requests are answered one after the other, in the order in which they came.
"""

import http.client
import json
import select
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.faults.call import Call
from tests.faults.faults import FAULTS, Fault
from tests.faults.pool import GethPool
from tests.faults.rpc import Answer, Cut, Hang, Http, Outcome, Reset, Upstream
from tests.faults.transactions import Transaction, decode_transaction

FOREVER = 1 << 62


@dataclass
class Rule:
    """A fault that was asked for: it lets `after` matching requests pass, then meets the next `times`."""

    fault: Fault
    methods: tuple[str, ...]
    times: int
    after: int
    when: Callable[[Call], bool] | None
    applied: int = 0

    def stop(self) -> None:
        """Ends a lasting fault."""
        self.times = self.applied

    def meets(self, call: Call) -> bool:
        """Whether the request is one that the fault is for; counts those that are to pass."""
        if self.applied >= self.times or (self.methods and call.method not in self.methods):
            return False
        if self.when is not None and not self.when(call):
            return False
        self.after -= 1
        return self.after < 0


@dataclass(frozen=True)
class Seen:
    """A request as it came, what the node `told` (None: it never saw the request) and what the client was `given`."""

    method: str
    params: list[Any]
    fault: str | None
    told: Answer | None
    given: Outcome

    @property
    def is_accepted(self) -> bool:
        """Whether the node, or geth's pool in front of it, took it; the client may have heard otherwise."""
        return self.told is not None and "result" in self.told


@dataclass(frozen=True)
class Sent:
    """A raw transaction that a client sent, read from its bytes."""

    transaction: Transaction
    seen: Seen

    @property
    def is_accepted(self) -> bool:
        return self.seen.is_accepted

    @property
    def nonce(self) -> int:
        return self.transaction.nonce

    @property
    def fees(self) -> tuple[int, int]:
        """The highest fee and the tip."""
        return self.transaction.max_fee, self.transaction.priority_fee


@dataclass
class Proxy:
    """Listens on a free port of this machine while it is entered. `geth`: the rules of its pool hold (see `pool`);
    `reinject`: it pools again what a reorganisation put out of a block. `front`: what stands before the node instead."""

    upstream_url: str
    geth: bool = True
    reinject: bool = False
    front: Callable[[Upstream], Any] | None = None
    seen: list[Seen] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    accepted: dict[str, Transaction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._node = Upstream(self.upstream_url)
        before = self.front or (partial(GethPool, reinject=self.reinject) if self.geth else None)
        self._pool = None if before is None else before(self._node)
        self._turn = threading.RLock()
        self._listener: _Listener | None = None
        self._timer: threading.Timer | None = None
        self._port = 0

    def __enter__(self) -> "Proxy":
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.close()
        self._node.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def inject(
        self,
        fault: Fault | str,
        method: str | Sequence[str] | None = None,
        times: int | None = None,
        after: int = 0,
        when: Callable[[Call], bool] | None = None,
    ) -> Rule:
        """Lets a fault (or the one of that name in FAULTS) meet requests: of `method`, else of those that it is for;
        `times` of them, else one, or all when the fault is lasting; the first `after` of them pass."""
        chosen = FAULTS[fault] if isinstance(fault, str) else fault
        methods = chosen.methods if method is None else (method,) if isinstance(method, str) else tuple(method)
        limit = times if times is not None else FOREVER if chosen.lasting else 1
        rule = Rule(chosen, methods, limit, after, when)
        with self._turn:
            self.rules.append(rule)
        return rule

    def heal(self) -> None:
        """Ends every fault, and listens again if it did not."""
        with self._turn:
            self.rules.clear()
        self.open()

    def open(self) -> None:
        """Listens (again, on the same port)."""
        with self._turn:
            if self._listener is None:
                self._listener = _Listener(self, self._port)
                self._port = self._listener.server_address[1]
                threading.Thread(target=self._listener.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Refuses connections from now on and tears down those that there are."""
        with self._turn:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown()
            listener.server_close()
            listener.cut_all()

    def close_for(self, seconds: float) -> None:
        """Refuses connections for a while."""
        self.close()
        self._timer = threading.Timer(seconds, self.open)
        self._timer.daemon = True
        self._timer.start()

    def mine(self, blocks: int = 1) -> None:
        """Blocks one after the other; what waited for a lower base fee enters as soon as it can pay."""
        with self._turn:
            for _ in range(blocks):
                self.settle()
                self._node.ask("evm_mine")
            self.settle()

    def settle(self) -> None:
        """Brings geth's pool up to the chain; each request does, and nothing else."""
        with self._turn:
            if self._pool is not None:
                self._pool.settle()

    @property
    def held(self) -> list[Transaction]:
        """What waits in geth's pool for a lower base fee."""
        return [] if self._pool is None else self._pool.held

    def count(self, method: str) -> int:
        """Requests of a method that came."""
        return sum(seen.method == method for seen in self.seen)

    def sent_transactions(self) -> list[Sent]:
        """Every raw transaction that came, in order, repeated ones too."""
        return [
            Sent(decode_transaction(seen.params[0]), seen)
            for seen in self.seen
            if seen.method == "eth_sendRawTransaction"
        ]

    def answer(self, requests: Sequence[dict[str, Any]]) -> list[Outcome]:
        """What is given to each request of a batch, up to the first that is no answer."""
        outcomes: list[Outcome] = []
        with self._turn:
            for asked in requests:
                outcomes.append(self._answer(asked["method"], list(asked.get("params", []))))
                if not isinstance(outcomes[-1], dict):
                    break
        return outcomes

    def _answer(self, method: str, params: list[Any]) -> Outcome:
        call = Call(method, params, self._pool or self._node, self.accepted)
        met = [rule for rule in self.rules if rule.meets(call)]
        names: list[str] = []
        try:
            given = self._apply(call, met, names)
        except (OSError, http.client.HTTPException):
            given = Reset()  # the node is down
        if call.told is not None and "result" in call.told and method == "eth_sendRawTransaction":
            self.accepted[call.told["result"]] = decode_transaction(params[0])
        self.seen.append(Seen(method, params, " + ".join(names) or None, call.told, given))
        return given

    def _apply(self, call: Call, met: Sequence[Rule], names: list[str]) -> Outcome:
        """The first fault that acts instead of the node decides; then faults act on the answer, one after the other."""
        given: Outcome | None = None
        for rule in met:
            if given is None and rule.fault.instead is not None:
                given = rule.fault.instead(call)
                _count_use(rule, given, names)
        if given is None:
            given = call.forward()
        for rule in met:
            if isinstance(given, dict) and rule.fault.edit is not None:
                edited = rule.fault.edit(call, given)
                _count_use(rule, edited, names)
                given = given if edited is None else edited
        return given


def _count_use(rule: Rule, outcome: Outcome | None, names: list[str]) -> None:
    if outcome is not None:
        rule.applied += 1
        names.append(rule.fault.name)


class _Listener(ThreadingHTTPServer):
    """One thread for each connection, all of which can be torn down."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, proxy: Proxy, port: int) -> None:
        self.proxy = proxy
        self.is_cut = threading.Event()
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Exchange)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def cut_all(self) -> None:
        self.is_cut.set()
        for connection in list(self._connections):
            with suppress(OSError):  # its own thread was faster
                connection.shutdown(socket.SHUT_RDWR)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the proxy; everything else is shown."""
        with suppress(ConnectionError):
            super().finish_request(request, client_address)


class _Exchange(BaseHTTPRequestHandler):
    """HTTP/1.1 with kept connections and no delay by Nagle."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Listener

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the client was killed while it wrote
            self.close_connection = True
            return
        asked = json.loads(body)
        requests = asked if isinstance(asked, list) else [asked]
        outcomes = self.server.proxy.answer(requests)
        match outcomes[-1] if outcomes else Http(400, b""):
            case Hang(seconds):
                self._wait(seconds)
                self._reset()
            case Reset(closed_s):
                if closed_s:  # first nobody listens, then the client hears of it: its next attempt is refused
                    self.server.proxy.close_for(closed_s)
                self._reset()
            case Http(status, body, headers):
                self._write(status, body, headers)
            case Cut(answer, announced):
                body = _to_json(requests, [*outcomes[:-1], answer], isinstance(asked, list))
                self._write(200, body[: len(body) // 2], {}, len(body) if announced else None)
            case _:
                self._write(200, _to_json(requests, outcomes, isinstance(asked, list)), {})

    def _write(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        self.close_connection = length is not None

    def _wait(self, seconds: float | None) -> None:
        """Until the client closes the connection, the time is over, or the proxy closes."""
        left = float("inf") if seconds is None else seconds
        while left > 0 and not self.server.is_cut.is_set():
            if select.select([self.connection], [], [], min(0.02, left))[0]:
                return
            left -= 0.02

    def _reset(self) -> None:
        """Closing without lingering sends a reset instead of an orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(self.connection.detach())

    def log_message(self, *_: Any) -> None:
        """Nothing: what came is in `seen`."""


def _to_json(requests: Sequence[dict[str, Any]], answers: Sequence[Any], is_batch: bool) -> bytes:
    found = [
        {"jsonrpc": "2.0", "id": asked.get("id")} | answer for asked, answer in zip(requests, answers, strict=True)
    ]
    return json.dumps(found if is_batch else found[0]).encode()
