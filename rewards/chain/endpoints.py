"""Several nodes of one chain behind one web3 provider: the next one answers for one that does not, and every one of them
gets what is sent."""

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

from web3 import HTTPProvider
from web3.providers.base import JSONBaseProvider
from web3.providers.rpc.utils import REQUEST_RETRY_ALLOWLIST
from web3.types import RPCEndpoint, RPCResponse

from rewards.chain.answers import is_answer
from rewards.chain.blot import keep_out_of_logs, list_parts, order_secrets, redact
from rewards.errors import ChainError

SEND = "eth_sendRawTransaction"
_HEX = re.compile("0x[0-9a-fA-F]*")
_FIELDS = ("code", "message", "data")
_PORTS = {"http": 80, "https": 443}


class NoAnswer(Exception):
    """A node answered that it will not answer now, or nothing that JSON-RPC knows."""


NO_ANSWER = (OSError, JSONDecodeError, UnicodeDecodeError, NoAnswer)
"""What says that a node gave no usable answer: no connection, an HTTP status, half an answer, a refusal for now."""

CHAIN_ID = "eth_chainId"
RECHECK = 500
"""After how many questions a node is asked for its chain again."""

REST = 50
"""For how many questions a node that did not answer is left alone while another one answers."""
WAKING_S = 3.0
"""How long one that rests has to tell its chain before it is asked what all are asked: what is final, and what is sent."""
LIMIT_EXCEEDED = -32005
"""How a node says that it was asked too often (EIP-1474)."""


@dataclass(eq=False)
class Endpoint:
    """One node: its provider, another that waits less for it, how it is called in messages, what of its address it must
    not be quoted with, and the numbers of the questions from which on it is asked again after a failure, and for its
    chain."""

    provider: HTTPProvider
    hasty: HTTPProvider
    where: str
    secrets: Sequence[str] = ()
    rests_until: int = 0
    checked_until: int = 0

    def quote(self, said: object) -> str:
        """What the node said, cut, without the key that its address may hold: refusals quote addresses."""
        return redact(str(said), self.secrets)[:100]

    def blot(self, error: object) -> Any:
        """A node's error of whatever shape, every text in it without that key, but for the names of its fields; the data
        of a revert is decoded before."""
        if isinstance(error, str):
            return redact(error, self.secrets)
        if isinstance(error, dict):
            return {
                k if k in _FIELDS else self.blot(k): v if _is_data(k, v) else self.blot(v) for k, v in error.items()
            }
        return [self.blot(one) for one in error] if isinstance(error, list) else error


class Endpoints(JSONBaseProvider):
    """Reads ask one node after another until one answers; a raw transaction goes to all of them."""

    def __init__(self, endpoints: Sequence[Endpoint], chain_id: int) -> None:
        super().__init__()
        self.endpoints = list(endpoints)
        self._chain_id = chain_id
        self._asked = 0

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """The first answer; the last failure when none answers. ChainError when a node is of another chain."""
        if method == SEND:
            return self._send(params)
        failure: Exception | None = None
        awake = list(self._awake())
        for endpoint in (*awake, *(one for one in self.endpoints if one not in awake)):
            try:
                if method == CHAIN_ID and self._is_checked(endpoint):  # web3 asks before every other question
                    return {"jsonrpc": "2.0", "id": 0, "result": hex(self._chain_id)}
                return self._ask(endpoint, method, params)
            except NO_ANSWER as error:
                failure = error
        raise failure or NoAnswer("no endpoint is configured")

    def ask_each(self, method: str, params: Sequence[Any]) -> list[tuple[Endpoint, RPCResponse]]:
        """The answer of every node that gives one, refusals too; of those that rest as well, where they are back."""
        return self._ask_all(self._wake(), method, params)

    def ask_awake(self, method: str, params: Sequence[Any]) -> list[tuple[Endpoint, RPCResponse]]:
        """The same of those that answered lately: after `ask_each`, those that answered that."""
        return self._ask_all(list(self._awake()), method, params)

    def _ask_all(
        self, endpoints: Sequence[Endpoint], method: str, params: Sequence[Any]
    ) -> list[tuple[Endpoint, RPCResponse]]:
        answers = []
        for endpoint in endpoints:
            try:
                answers.append((endpoint, self._ask(endpoint, RPCEndpoint(method), params)))
            except NO_ANSWER:
                continue  # it rests now
        return answers

    def prefer(self, endpoint: Endpoint) -> None:
        """Ask this node first from now on."""
        self.endpoints.remove(endpoint)
        self.endpoints.insert(0, endpoint)

    def _send(self, params: Any) -> RPCResponse:
        """Once to every node that is there, so that one that forgets or withholds a transaction does not decide; taken if
        one takes it."""
        answers: list[RPCResponse] = []
        failure: Exception | None = None
        for endpoint in self._wake():
            try:
                answers.append(self._ask(endpoint, RPCEndpoint(SEND), params))
            except NO_ANSWER as error:
                failure = error
        taken = [answer for answer in answers if "error" not in answer]
        if taken or (answers and failure is None):
            return (taken or answers)[0]
        # One may have taken it without our hearing of that: what the others refuse says nothing.
        raise failure or NoAnswer("no endpoint is configured")

    def _awake(self) -> Iterator[Endpoint]:
        """Those that answered lately, or all of them where none did."""
        self._asked += 1
        awake = [endpoint for endpoint in self.endpoints if endpoint.rests_until <= self._asked]
        yield from awake or list(self.endpoints)

    def _wake(self) -> list[Endpoint]:
        """Those that answered lately, and those that rest and are back: one dropped answer must not make a node silent in
        what all are asked. One that is gone costs little, and gets nothing sent of which nobody knew whether it came."""
        awake = list(self._awake())
        return [endpoint for endpoint in self.endpoints if endpoint in awake or self._is_back(endpoint)]

    def _is_back(self, endpoint: Endpoint) -> bool:
        try:
            self._check_chain(endpoint, endpoint.hasty)
        except NO_ANSWER:
            return False  # its rest stays as long: one that is slow is then waited for again
        return True

    def _ask(self, endpoint: Endpoint, method: RPCEndpoint, params: Any) -> RPCResponse:
        try:
            if not self._is_checked(endpoint):
                self._check_chain(endpoint, endpoint.provider)
            answer = endpoint.provider.make_request(method, params)
            _require_answer(answer, endpoint)
            if not answer.get("error") and not is_answer(method, answer.get("result")):
                told = endpoint.quote(answer.get("result"))
                raise NoAnswer(f"{endpoint.where} answers {method} with {told}; use another endpoint")
        except NO_ANSWER:
            endpoint.rests_until = self._asked + REST
            raise
        endpoint.rests_until = 0
        if answer.get("error", ...) is None:
            del answer["error"]  # some nodes name it beside a result
        if "error" in answer:
            answer["error"] = endpoint.blot(answer["error"])
        return answer

    def _is_checked(self, endpoint: Endpoint) -> bool:
        return self._asked < endpoint.checked_until

    def _check_chain(self, endpoint: Endpoint, provider: HTTPProvider) -> None:
        """Behind an address may be another node than before: its chain is asked for now and then."""
        answer = provider.make_request(RPCEndpoint(CHAIN_ID), [])
        _require_answer(answer, endpoint)
        found = answer.get("result")
        try:
            number = int(str(found), 16)
        except ValueError:
            raise NoAnswer(f"{endpoint.where} tells no chain id ({endpoint.quote(answer)})") from None
        if number != self._chain_id:
            raise ChainError(
                f"{endpoint.where} is chain {number}, not {self._chain_id}; check the endpoint and the chain id"
            )
        endpoint.checked_until = self._asked + RECHECK


def open_endpoints(rpc_urls: str, chain_id: int, timeout_s: float) -> Endpoints:
    """The nodes at addresses that are separated by spaces; ChainError when one is no address."""
    urls = _list_distinct(rpc_urls.split())
    endpoints = []
    for url in urls:
        provider = _open(url, timeout_s, tries=3 if len(urls) == 1 else 1)  # with others to ask, asking twice is slow
        hasty = _open(url, min(timeout_s, WAKING_S), tries=1)
        secrets = order_secrets(list_parts(url))
        keep_out_of_logs(secrets)
        endpoints.append(Endpoint(provider, hasty, describe_endpoint(url), secrets))
    if not endpoints:
        raise ChainError("no endpoint is given; give http://host:port, several with spaces between them")
    return Endpoints(endpoints, chain_id)


def describe_endpoint(rpc_url: str) -> str:
    """Scheme and host of an endpoint: paths and user names often hold keys, so they are never shown."""
    try:
        parts = urlsplit(rpc_url)
        port = parts.port
    except ValueError:
        raise ChainError("the endpoint is not an address; give http://host:port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ChainError(f"the endpoint has scheme {parts.scheme!r}; give http://host:port or https://host")
    return f"{parts.scheme}://{parts.hostname}" + (f":{port}" if port else "")


def _open(url: str, timeout_s: float, tries: int) -> HTTPProvider:
    provider = HTTPProvider(url, {"timeout": timeout_s})
    retry = provider.exception_retry_configuration
    # A raw transaction is never sent again behind the sender's back.
    retry.method_allowlist = [method for method in REQUEST_RETRY_ALLOWLIST if method != SEND]
    retry.retries = tries
    return provider


def _list_distinct(urls: Sequence[str]) -> list[str]:
    """Without those that spell an address anew, for a node that is named twice has one voice; ChainError when one is no
    address."""
    distinct: dict[Hashable, str] = {}
    for url in urls:
        describe_endpoint(url)
        distinct.setdefault(_normalize(url), url)
    return list(distinct.values())


def _normalize(url: str) -> Hashable:
    """What of an address tells nodes apart: no capitals of scheme and host, no port that goes without saying, no slash at
    the end."""
    parts = urlsplit(url)
    user_info = parts.netloc.rpartition("@")[0]
    port = parts.port or _PORTS[parts.scheme]
    return parts.scheme, user_info, parts.hostname, port, parts.path.rstrip("/"), parts.query


def _is_data(name: str, value: object) -> bool:
    return name == "data" and isinstance(value, str) and _HEX.fullmatch(value) is not None


def _require_answer(answer: RPCResponse | None, endpoint: Endpoint) -> None:
    """Raises NoAnswer where a node answered that it will not answer now, or nothing that JSON-RPC knows."""
    if not isinstance(answer, dict) or not ({"result", "error"} & answer.keys()):
        raise NoAnswer(f"{endpoint.where} answers no JSON-RPC: {endpoint.quote(answer)}")
    error = answer.get("error")
    if isinstance(error, dict) and error.get("code") == LIMIT_EXCEEDED:
        told = endpoint.quote(error.get("message"))
        raise NoAnswer(f"{endpoint.where} was asked too often: {told}; wait, or add an endpoint")
