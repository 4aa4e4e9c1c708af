"""Events of the Vault as a node tells them, held against what it was asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from eth_abi.exceptions import DecodingError
from web3.contract import Contract
from web3.exceptions import Web3Exception
from web3.types import EventData, LogReceipt

from rewards.chain.client import Chain
from rewards.errors import ChainError
from rewards.ports import Block
from rewards.units import MAX_AMOUNT, Address

MAX_EPOCH = 2**24 - 1


def read_logs(
    chain: Chain, contract: Contract, names: Sequence[str], first: int, last: int
) -> tuple[Block, list[EventData]]:
    """Block `last`, and the contract's events of these names from block `first` to it, both included, in their order.

    Raises ChainError, also where the node answers what it was not asked for: logs of other blocks, of another
    contract, removed by a reorganisation, twice or out of order, of another block than the one called `last`.
    """
    # Before the logs: one that is of another block at this height is found by its hash.
    end = chain.block(last)
    address = Address(contract.address.lower())
    events = {bytes.fromhex(contract.events[name]().topic[2:]): name for name in names}
    logs = list(chain.logs(address, [["0x" + topic.hex() for topic in events]], first, last))
    _require_asked_for(logs, chain, address, first, end, set(events))
    return end, [_decode(contract, events[bytes(log["topics"][0])], log) for log in logs]


def _decode(contract: Contract, name: str, log: LogReceipt) -> EventData:
    try:
        event: EventData = contract.events[name]().process_log(log)
    except (Web3Exception, DecodingError, ValueError) as error:
        raise ChainError(f"{_describe(log)} is no {name}: {error}; use another endpoint") from None
    _require_bounds(event["args"], log)
    return event


def _require_asked_for(
    logs: Sequence[LogReceipt], chain: Chain, address: Address, first: int, end: Block, topics: set[bytes]
) -> None:
    before = (-1, -1)
    for log in logs:
        number, place = log["blockNumber"], (log["blockNumber"], log["logIndex"])
        if log.get("removed"):
            raise _refuse(log, chain, "was removed by a reorganisation, though its block was final")
        if not first <= number <= end.number:
            raise _refuse(log, chain, f"is not between the blocks {first} and {end.number} that were asked for")
        if log["address"].lower() != address or not log["topics"] or bytes(log["topics"][0]) not in topics:
            raise _refuse(log, chain, "is not an event of the Vault that was asked for")
        if place <= before:
            raise _refuse(log, chain, f"comes after log {before[1]} of block {before[0]}")
        if number == end.number and bytes(log["blockHash"]) != end.hash:
            raise _refuse(log, chain, f"is of another block than 0x{end.hash.hex()}, which has that number")
        before = place


def _refuse(log: LogReceipt, chain: Chain, why: str) -> ChainError:
    return ChainError(f"{chain.where}: {_describe(log)} {why}; nothing was stored, use another endpoint")


def _describe(log: LogReceipt) -> str:
    return f"log {log['logIndex']} of block {log['blockNumber']}"


def _require_bounds(args: Mapping[str, Any], log: LogReceipt) -> None:
    """The Vault stores amounts in 96 bits and epochs in 24; an event beyond that is not of its making."""
    for name, value in args.items():
        if isinstance(value, int) and value > (MAX_EPOCH if name == "epoch" else MAX_AMOUNT):
            raise ChainError(f"{_describe(log)} has {name} {value}, which no Vault can hold; use another endpoint")
