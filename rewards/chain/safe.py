"""What the owners of a Safe are asked to sign: a file for its Transaction Builder, and the same in words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_account.messages import encode_typed_data
from web3 import Web3
from web3.exceptions import BadFunctionCallOutput, ContractLogicError, Web3Exception

from rewards.chain.client import Chain
from rewards.chain.contracts import load_artifact
from rewards.chain.deploy import encode_call
from rewards.errors import UsageError
from rewards.units import ZERO_ADDRESS, Address, checksum, format_cxpt, keccak

BUILDER_VERSION = "1.18.0"
"""The Transaction Builder whose format this is; files say by which version they were made."""

_AMOUNTS = ("providerTotal", "userTotal")
_NONCE = [
    {
        "type": "function",
        "name": "nonce",
        "inputs": [],
        "outputs": [{"name": "", "type": "uint256"}],
        "stateMutability": "view",
    }
]
_SAFE_TX = {
    "to": "address",
    "value": "uint256",
    "data": "bytes",
    "operation": "uint8",
    "safeTxGas": "uint256",
    "baseGas": "uint256",
    "gasPrice": "uint256",
    "gasToken": "address",
    "refundReceiver": "address",
    "nonce": "uint256",
}


@dataclass(frozen=True)
class Call:
    """A call of the Vault at `to`: the function's name and its arguments in order (integers, 32 bytes, text)."""

    to: Address
    function: str
    arguments: tuple[int | bytes | str, ...]

    def encode(self) -> bytes:
        """The calldata."""
        return encode_call("CXPTVault", self.function, self.arguments)


def read_call(to: Address, data: bytes) -> Call:
    """The call of the Vault that calldata is; UsageError when it is none."""
    contract = Web3().eth.contract(abi=load_artifact("CXPTVault").abi)
    try:
        function, arguments = contract.decode_function_input(data)
    except (Web3Exception, ValueError) as error:
        raise UsageError(f"no call of the Vault: 0x{data[:8].hex()}… ({error})") from None
    return Call(to, function.fn_name, tuple(arguments.values()))


def build_batch(
    chain_id: int, safe: Address, calls: Sequence[Call], name: str, description: str, created_at_ms: int
) -> bytes:
    """A file that the Safe's Transaction Builder imports, calls decoded; the same bytes for the same arguments."""
    batch: dict[str, Any] = {
        "version": "1.0",
        "chainId": str(chain_id),
        "createdAt": created_at_ms,
        "meta": {
            "name": name,
            "description": description,
            "txBuilderVersion": BUILDER_VERSION,
            "createdFromSafeAddress": checksum(safe),
            "createdFromOwnerAddress": "",
        },
        "transactions": [_describe_transaction(call) for call in calls],
    }
    batch["meta"]["checksum"] = hash_batch(batch)
    return (json.dumps(batch, indent=2, ensure_ascii=False) + "\n").encode()


def hash_batch(batch: Mapping[str, Any]) -> str:
    """The Transaction Builder's checksum of a file, by which it sees changes: over all but its name, which people may
    change there. A checksum inside must be taken out first."""
    return "0x" + keccak(_serialize({**batch, "meta": {**batch["meta"], "name": None}}).encode()).hex()


def describe_call(chain_id: int, safe: Address, call: Call, nonce: int | None = None) -> list[str]:
    """A call in lines for people, with all that a careful owner compares; with the Safe's nonce also its hash there."""
    data = call.encode()
    lines = [f"{call.function} of the Vault {checksum(call.to)} on chain {chain_id}, by the Safe {checksum(safe)}"]
    for entry, value in zip(_find_inputs(call), call.arguments, strict=True):
        amount = f" ({format_cxpt(int(value))} CXPT)" if entry["name"] in _AMOUNTS else ""
        lines.append(f"{entry['name']}: {_show(value)}{amount}")
    lines += [f"calldata: 0x{data.hex()}", f"keccak of the calldata: 0x{keccak(data).hex()}"]
    lines.append("Safe transaction: value 0, operation 0 (call), safeTxGas 0, baseGas 0, gasPrice 0")
    if nonce is not None:
        lines.append(f"safeTxHash at nonce {nonce}: 0x{hash_safe_transaction(chain_id, safe, call, nonce).hex()}")
    return lines


def find_nonce(chain: Chain, safe: Address) -> int | None:
    """The nonce at which the Safe's owners sign next; None where what stands at the address knows none."""
    contract = chain.web3.eth.contract(Web3.to_checksum_address(checksum(safe)), abi=_NONCE)
    with chain.translate_errors(f"asking the Safe {checksum(safe)} for its nonce"):
        try:
            return int(contract.functions.nonce().call())
        except (BadFunctionCallOutput, ContractLogicError):
            return None


def hash_safe_transaction(chain_id: int, safe: Address, call: Call, nonce: int) -> bytes:
    """The EIP-712 hash that owners sign (Safe 1.3 and later) for this call alone, without a refund of gas."""
    message = {
        "to": checksum(call.to),
        "data": call.encode(),
        "nonce": nonce,
        **dict.fromkeys(("value", "operation", "safeTxGas", "baseGas", "gasPrice"), 0),
        **dict.fromkeys(("gasToken", "refundReceiver"), ZERO_ADDRESS),
    }
    types = {"SafeTx": [{"name": name, "type": kind} for name, kind in _SAFE_TX.items()]}
    signable = encode_typed_data({"chainId": chain_id, "verifyingContract": checksum(safe)}, types, message)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def _describe_transaction(call: Call) -> dict[str, Any]:
    """One transaction of a file. The Builder shows owners the function only where `data` is null, and encodes it anew."""
    inputs = _find_inputs(call)
    values = {entry["name"]: _show(value) for entry, value in zip(inputs, call.arguments, strict=True)}
    return {
        "to": checksum(call.to),
        "value": "0",
        "data": None,
        "contractMethod": {"inputs": inputs, "name": call.function, "payable": False},
        "contractInputsValues": values,
    }


def _find_inputs(call: Call) -> list[dict[str, str]]:
    abi: Sequence[Any] = load_artifact("CXPTVault").abi
    [entry] = [entry for entry in abi if entry.get("name") == call.function and entry["type"] == "function"]
    return [{key: one[key] for key in ("internalType", "name", "type")} for one in entry["inputs"]]


def _show(value: int | bytes | str) -> str:
    """A value as the Builder reads it: numbers in decimal digits, never as JSON numbers, which would be rounded."""
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


def _serialize(value: Any) -> str:
    """What the checksum is over: JSON, but an object is the list of its sorted keys and then each value with a comma."""
    if isinstance(value, Mapping):
        keys = sorted(value)
        return "{" + _to_json(keys) + "".join(f"{_serialize(value[key])}," for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_serialize, value)) + "]"
    return _to_json(value)


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
