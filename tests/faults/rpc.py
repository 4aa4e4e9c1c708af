"""JSON-RPC over one kept connection, and what may come of a request: an answer, or something that is none."""

import http.client
import json
import select
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

Answer = dict[str, Any]
"""Holds `result`, or `error` with its code and message; no id."""


@dataclass(frozen=True)
class Http:
    """An answer of HTTP itself."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """The true answer, of which the last half is missing; `announced`: the length says so only of the whole."""

    answer: Answer
    announced: bool = False


@dataclass(frozen=True)
class Reset:
    """The connection is torn down without an answer. `closed_s`: nobody listens for so long afterwards."""

    closed_s: float = 0


@dataclass(frozen=True)
class Hang:
    """No answer until the client gives up or `seconds` are over; then the connection is torn down."""

    seconds: float | None = None


Outcome = Answer | Http | Cut | Reset | Hang


class RpcError(Exception):
    """The node answered with an error; holds it as it came."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        super().__init__(f"{method}: {error.get('message')} ({error.get('code')})")
        self.error = error


def refuse(code: int, message: str, data: str | None = None) -> Answer:
    """An answer that is an error."""
    return {"error": {"code": code, "message": message} | ({} if data is None else {"data": data})}


class Upstream:
    """A node's endpoint. One thread at a time; a connection that the node closed is opened anew. `headers`: what each
    request carries besides."""

    def __init__(self, url: str, timeout_s: float = 30, headers: Callable[[], dict[str, str]] = dict) -> None:
        where = urlsplit(url)
        self._headers = headers
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, params: Sequence[Any] = ()) -> Answer:
        """The node's answer, error or not; OSError or HTTPException when there is none."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        self._drop_dead_connection()
        try:
            self._connection.request("POST", "/", body, {"Content-Type": "application/json"} | self._headers())
            answer: Answer = json.loads(self._connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        return {name: answer[name] for name in ("result", "error") if name in answer}

    def ask(self, method: str, *params: Any) -> Any:
        """The result; RpcError when the node answers with an error."""
        answer = self.call(method, params)
        if "error" in answer:
            raise RpcError(method, answer["error"])
        return answer["result"]

    def close(self) -> None:
        self._connection.close()

    def _drop_dead_connection(self) -> None:
        """Nothing is to be read between requests, so a readable socket is one that the other side has closed."""
        open_socket: socket.socket | None = self._connection.sock
        if open_socket is not None and select.select([open_socket], [], [], 0)[0]:
            self.close()
