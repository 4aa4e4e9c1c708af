"""What the answer to a question of JSON-RPC looks like: anything else is none, and another node may know better."""

import re
from collections.abc import Callable, Mapping
from typing import Any

_Shape = Callable[[Any], bool]


def is_answer(method: str, result: Any) -> bool:
    """Whether a result can be what was asked for; methods that nothing here reads are not judged."""
    return method not in _SHAPES or _SHAPES[method](result)


def _text(pattern: str) -> _Shape:
    form = re.compile(pattern)
    return lambda value: isinstance(value, str) and form.fullmatch(value) is not None


def _record(shapes: Mapping[str, _Shape]) -> _Shape:
    return lambda value: isinstance(value, dict) and all(shape(value.get(name)) for name, shape in shapes.items())


def _list(shape: _Shape) -> _Shape:
    return lambda value: isinstance(value, list) and all(map(shape, value))


def _maybe(shape: _Shape) -> _Shape:
    return lambda value: value is None or shape(value)


_QUANTITY, _DATA, _HASH = _text("0x[0-9a-fA-F]{1,64}"), _text("0x([0-9a-fA-F]{2})*"), _text("0x[0-9a-fA-F]{64}")
_ADDRESS = _text("0x[0-9a-fA-F]{40}")
_BLOCK = _record({"number": _QUANTITY, "hash": _HASH, "timestamp": _QUANTITY, "baseFeePerGas": _maybe(_QUANTITY)})
_RECEIPT = _record({"blockNumber": _QUANTITY, "blockHash": _HASH, "status": _QUANTITY, "gasUsed": _QUANTITY})
_PLACE = {"blockNumber": _QUANTITY, "blockHash": _HASH, "logIndex": _QUANTITY, "transactionIndex": _QUANTITY}
_LOG = _record(
    {"address": _ADDRESS, "topics": _list(_HASH), "data": _DATA, "transactionHash": _HASH, **_PLACE}
)  # fmt: skip

_SHAPES: Mapping[str, _Shape] = {
    **dict.fromkeys(("eth_call", "eth_getCode"), _DATA),
    **dict.fromkeys(("eth_getBlockByNumber", "eth_getBlockByHash"), _maybe(_BLOCK)),
    **dict.fromkeys(("eth_estimateGas", "eth_gasPrice", "eth_maxPriorityFeePerGas"), _QUANTITY),
    **dict.fromkeys(("eth_getBalance", "eth_getTransactionCount"), _QUANTITY),
    "eth_getLogs": _list(_LOG),
    "eth_getTransactionByHash": _maybe(_record({"input": _DATA})),
    "eth_getTransactionReceipt": _maybe(_RECEIPT),
    "eth_sendRawTransaction": _HASH,
}
