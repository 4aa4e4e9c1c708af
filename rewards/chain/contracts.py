"""The tracked contract artifacts: ABI, bytecode, and the names of the errors that they revert with."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_typing import ABI
from eth_utils.abi import collapse_if_tuple
from web3 import Web3
from web3.contract import Contract

from rewards.errors import UsageError
from rewards.units import Address, checksum, keccak

ARTIFACTS = Path(__file__).resolve().parents[2] / "contracts" / "artifacts"
NAMES = ("CXPTToken", "CXPTVault", "SubscriptionManager", "TimelockController", "UsageEscrow")

# What the EVM itself reverts with: require with a text, and failed arithmetic.
_BUILT_IN = {
    keccak(b"Error(string)")[:4]: ("Error", ("message",), ("string",)),
    keccak(b"Panic(uint256)")[:4]: ("Panic", ("code",), ("uint256",)),
}


@dataclass(frozen=True)
class Artifact:
    """One compiled contract; `bytecode` is the creation code without constructor arguments.

    `runtime` is the code that a chain holds, with zeros where `immutables` stand: for each, in the order of their
    declaration, the offsets of its 32 bytes.
    """

    name: str
    abi: ABI
    bytecode: bytes
    runtime: bytes
    immutables: tuple[tuple[int, ...], ...]


def load_artifact(name: str, folder: Path = ARTIFACTS) -> Artifact:
    """The tracked artifact of a contract; UsageError where the file is missing or not an artifact."""
    return _load(name, folder)


@cache
def _load(name: str, folder: Path) -> Artifact:
    path = folder / f"{name}.json"
    try:
        fields = json.loads(path.read_text())
        code, runtime = (bytes.fromhex(fields[key].removeprefix("0x")) for key in ("bytecode", "deployedBytecode"))
        # The compiler numbers the nodes of its syntax tree in the order of the sources.
        places = sorted(fields["immutableReferences"].items(), key=lambda item: int(item[0]))
        immutables = tuple(tuple(place["start"] for place in found) for _, found in places)
        return Artifact(name, fields["abi"], code, runtime, immutables)
    except FileNotFoundError:
        raise UsageError(f"no contract artifact {path}; run from a checkout, with contracts/artifacts in it") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"not a contract artifact: {path} ({error}); restore the tracked file") from None


def bind_contract(web3: Web3, name: str, address: Address) -> Contract:
    """The contract `name` at an address, ready for calls."""
    return web3.eth.contract(address=Web3.to_checksum_address(checksum(address)), abi=load_artifact(name).abi)


def describe_revert(data: bytes) -> str:
    """Revert data as the error's name with its arguments: `NotNextEpoch(expected=3, given=4)`."""
    if not data:
        return "no reason given"
    known = _BUILT_IN.get(data[:4]) or _errors_of_contracts().get(data[:4])
    if known is None:
        return f"unknown error 0x{data[:4].hex()}"
    name, labels, types = known
    try:
        values = decode(types, data[4:])
    except DecodingError:
        return f"{name} with malformed arguments"
    return f"{name}({', '.join(f'{k}={_show(v)}' for k, v in zip(labels, values, strict=True))})"


@cache
def _errors_of_contracts() -> Mapping[bytes, tuple[str, tuple[str, ...], tuple[str, ...]]]:
    entries = (entry for name in NAMES for entry in load_artifact(name).abi if entry["type"] == "error")
    return {_select(entry["name"], entry["inputs"]): _describe_error(entry) for entry in entries}


def _describe_error(entry: Any) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return (
        entry["name"],
        tuple(i["name"] for i in entry["inputs"]),
        tuple(collapse_if_tuple(i) for i in entry["inputs"]),
    )


def _select(name: str, inputs: Sequence[Any]) -> bytes:
    return keccak(f"{name}({','.join(collapse_if_tuple(i) for i in inputs)})".encode())[:4]


def _show(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
