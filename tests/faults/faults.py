"""What can go wrong between a sender and its node, each as one small object; all of them in `FAULTS`.

A fault acts in one of two ways: `instead` of the node's answer (it may ask the node itself), or on the answer (`edit`).
Either gives None when it has nothing to do, and then is not used up.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.faults.call import Call
from tests.faults.lies import FeeSpike, Lag, OtherFork
from tests.faults.rpc import Answer, Cut, Hang, Http, Outcome, Reset, refuse
from tests.faults.transactions import decode_transaction
from tests.faults.words import CLIENTS, GETH, REFUSALS

SEND = ("eth_sendRawTransaction",)
RECEIPT = ("eth_getTransactionReceipt",)
FEES = ("eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_feeHistory", "eth_getBlockByNumber", "eth_getBlockByHash")
ANY: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fault:
    """`methods`: what it meets unless told otherwise; none means all. `lasting`: a state of the node, which stays until
    it is healed, rather than an event, which happens once."""

    name: str
    methods: tuple[str, ...]
    instead: Callable[[Call], Outcome | None] | None = None
    edit: Callable[[Call, Answer], Outcome | None] | None = None
    lasting: bool = False

    def __repr__(self) -> str:
        return f"<{self.name}>"


# The connection.


def _lose_answer(call: Call) -> Outcome:
    call.forward()
    return Reset()


def hang(seconds: float | None = None, forwarded: bool = False) -> Fault:
    """No answer until the client gives up, or for `seconds`; `forwarded`: the node has the request."""

    def wait(call: Call) -> Outcome:
        if forwarded:
            call.forward()
        return Hang(seconds)

    return Fault("hang after accept" if forwarded else "hang", SEND if forwarded else ANY, wait)


def connection_refused(seconds: float = 0.05) -> Fault:
    """The connection is reset, unforwarded, and nobody listens for a while."""
    return Fault("connection refused", ANY, lambda _: Reset(closed_s=seconds))


# HTTP.


def rate_limited(retry_after_s: int | None = None) -> Fault:
    """429 of a gateway, with its own JSON error; tells how long to wait where that is given."""
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": 429, "message": "Too Many Requests"}}).encode()
    headers = {"Content-Type": "application/json"} | (
        {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    )
    name = "429" if retry_after_s is None else "429 with Retry-After"
    return Fault(name, ANY, lambda _: Http(429, body, headers))


def gateway_error(status: int, forwarded: bool = False) -> Fault:
    """A gateway's page of HTML; `forwarded`: only the answer was lost, the node has the request."""
    page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n".encode()

    def fail(call: Call) -> Outcome:
        if forwarded:
            call.forward()
        return Http(status, page, {"Content-Type": "text/html"})

    return Fault(f"{status} after accept" if forwarded else f"{status}", SEND if forwarded else ANY, fail)


# Words of the node.


def refusal(kind: str, client: str = GETH) -> Fault:
    """One of REFUSALS, unforwarded, except "already known": then the node does know the transaction."""
    code, message = REFUSALS[kind][client]

    def say_no(call: Call) -> Outcome:
        if kind == "already known":
            call.forward()
        return refuse(code, message)

    return Fault(kind if client == GETH else f"{kind} ({client})", SEND, say_no)


def revert_on_estimate(data: str = "0x08c379a0" + f"{32:064x}{7:064x}" + b"not now".hex().ljust(64, "0")) -> Fault:
    """The estimate reverts with `data`, by default `Error("not now")`."""
    return Fault("revert on estimate", ("eth_estimateGas",), lambda _: refuse(3, "execution reverted", data))


# The fate of a transaction.


def _drop(call: Call) -> Outcome:
    """Anvil must not mine it at once, or there is nothing to drop."""
    mines_at_once = call.node.ask("anvil_getAutomine")
    call.node.ask("evm_setAutomine", False)
    answer = call.forward()
    if "result" in answer:
        call.node.call("anvil_dropTransaction", [answer["result"]])
    call.node.ask("evm_setAutomine", mines_at_once)
    return answer


def _swallow(call: Call) -> Outcome:
    return {"result": decode_transaction(call.params[0]).hash}


def _fail_receipt(_: Call, answer: Answer) -> Outcome | None:
    found = answer.get("result")
    bloom = "0x" + "00" * 256
    return None if found is None else {"result": found | {"status": "0x0", "logs": [], "logsBloom": bloom}}


def _hide(_: Call, answer: Answer) -> Outcome | None:
    return None if answer.get("result") is None else {"result": None}


def _hide_logs(_: Call, answer: Answer) -> Outcome | None:
    """The last log of a range, all of a receipt."""
    found: Any = answer.get("result")
    if not found:
        return None
    if isinstance(found, list):
        return {"result": found[:-1]}
    return {"result": found | {"logs": []}} if found["logs"] else None


# States of the node.


def lagging(blocks: int | None = None, at: int | None = None) -> Fault:
    """Answers everything as of `blocks` blocks ago, or stands still `at` a height."""
    lag = Lag(blocks, at)
    return Fault("lagging node", ANY, lag, lag.cut, lasting=True)


def fee_spike(factor: int = 100) -> Fault:
    """Every answer about fees is `factor` times as high."""
    return Fault("fee spike", FEES, edit=FeeSpike(factor), lasting=True)


def other_fork(first: int = 1) -> Fault:
    """Blocks from height `first` on have other hashes than on the node: for a second proxy in front of it."""
    fork = OtherFork(first)
    return Fault("other fork", ANY, fork, fork.edit, lasting=True)


def wrong_chain_id(other: int = 1) -> Fault:
    """Says that it is the chain `other`."""

    def lie(call: Call) -> Outcome:
        return {"result": hex(other) if call.method == "eth_chainId" else str(other)}

    return Fault("wrong chain id", ("eth_chainId", "net_version"), lie, lasting=True)


_ALL = [
    Fault("answer lost after accept", SEND, _lose_answer),
    Fault("request lost", ANY, lambda _: Reset()),
    *(refusal(kind) for kind in REFUSALS),
    revert_on_estimate(),
    Fault("failed receipt", RECEIPT, edit=_fail_receipt),
    Fault("dropped", SEND, _drop),
    Fault("accepted but never forwarded", SEND, _swallow),
    lagging(blocks=2),
    other_fork(),
    wrong_chain_id(),
    fee_spike(),
    Fault("missing receipt", RECEIPT, edit=_hide),
    Fault("missing transaction", ("eth_getTransactionByHash",), edit=_hide),
    Fault("missing log", ("eth_getLogs", *RECEIPT), edit=_hide_logs, lasting=True),
    rate_limited(),
    rate_limited(retry_after_s=1),
    *(gateway_error(status) for status in (500, 502, 503, 504)),
    gateway_error(504, forwarded=True),
    Fault("limit exceeded", ANY, lambda _: refuse(-32005, "daily request count exceeded, request rate limited")),
    hang(),
    hang(forwarded=True),
    Fault("truncated JSON", ANY, edit=lambda _, answer: Cut(answer)),
    Fault("answer breaks off", ANY, edit=lambda _, answer: Cut(answer, announced=True)),
    connection_refused(),
]

FAULTS = {fault.name: fault for fault in _ALL}
"""Every kind once, by name, with what it does where nothing else is said."""

VARIANTS = {
    fault.name: fault for kind in REFUSALS for client in CLIENTS if client != GETH for fault in [refusal(kind, client)]
}
"""The refusals in the words of other clients."""
