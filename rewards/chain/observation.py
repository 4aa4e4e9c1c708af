"""What the Vault's logs say in a range of blocks, and what the Vault counts itself: one is checked against the other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eth_abi.exceptions import DecodingError
from web3.exceptions import Web3Exception
from web3.types import LogReceipt

from rewards.chain.contracts import bind_contract
from rewards.chain.vault import Vault
from rewards.errors import ChainError
from rewards.ports import Block, Claim, RootEvent, Transfer, VaultCounters, VaultEvents
from rewards.units import MAX_AMOUNT, POOLS, PROVIDER, USER, Address

_Place = Mapping[str, Any]


def read_events(vault: Vault, first: int, last: int) -> VaultEvents:
    """Claims, transfers and root events of the Vault from block `first` to block `last`, both included.

    Raises ChainError, also where the node answers what it was not asked for: logs of other blocks, of another
    contract, removed by a reorganisation, twice or out of order, of another block than the one called `last`.
    """
    # Before the logs: one that is of another block at this height is found by its hash.
    end = vault.chain.block(last)
    contract = bind_contract(vault.chain.web3, "CXPTVault", vault.address)
    events = {bytes.fromhex(contract.events[name]().topic[2:]): name for name in _KINDS}
    logs = list(vault.chain.logs(vault.address, [["0x" + topic.hex() for topic in events]], first, last))
    _require_asked_for(logs, vault, first, end, set(events))
    found: dict[type, list[Any]] = {Claim: [], Transfer: [], RootEvent: []}
    for log in logs:
        name = events[bytes(log["topics"][0])]
        try:
            args = contract.events[name]().process_log(log)["args"]
        except (Web3Exception, DecodingError, ValueError) as error:
            raise ChainError(f"{_describe(log)} is no {name}: {error}; use another endpoint") from None
        _require_bounds(args, log)
        one = _KINDS[name](args, _place_of(log))
        found[type(one)].append(one)
    return VaultEvents(first, end, found[Claim], found[Transfer], found[RootEvent])


def read_counters(vault: Vault, block: int) -> VaultCounters:
    """What the Vault itself counts, as it stood after `block`; ChainError where the node keeps no state of that block."""
    return VaultCounters(
        deposited={pool: vault.deposited(pool, block) for pool in POOLS},
        claimed={pool: vault.claimed_total(pool, block) for pool in POOLS},
        protocol=vault.reward_pool(block).protocol,
        live_roots=vault.next_epoch(block) - vault.deployment.first_epoch,
        revocations=vault.revocations(block),
    )


def _require_asked_for(logs: Sequence[LogReceipt], vault: Vault, first: int, end: Block, topics: set[bytes]) -> None:
    before = (-1, -1)
    for log in logs:
        number, place = log["blockNumber"], (log["blockNumber"], log["logIndex"])
        if log.get("removed"):
            raise _refuse(log, vault, "was removed by a reorganisation, though its block was final")
        if not first <= number <= end.number:
            raise _refuse(log, vault, f"is not between the blocks {first} and {end.number} that were asked for")
        if log["address"].lower() != vault.address or not log["topics"] or bytes(log["topics"][0]) not in topics:
            raise _refuse(log, vault, "is not an event of the Vault that was asked for")
        if place <= before:
            raise _refuse(log, vault, f"comes after log {before[1]} of block {before[0]}")
        if number == end.number and bytes(log["blockHash"]) != end.hash:
            raise _refuse(log, vault, f"is of another block than 0x{end.hash.hex()}, which has that number")
        before = place


def _refuse(log: LogReceipt, vault: Vault, why: str) -> ChainError:
    return ChainError(f"{vault.chain.where}: {_describe(log)} {why}; nothing was stored, use another endpoint")


def _describe(log: LogReceipt) -> str:
    return f"log {log['logIndex']} of block {log['blockNumber']}"


def _require_bounds(args: Mapping[str, Any], log: LogReceipt) -> None:
    """The Vault stores amounts in 96 bits and epochs in 24; an event beyond that is not of its making."""
    for name, value in args.items():
        if isinstance(value, int) and value > (2**24 if name == "epoch" else MAX_AMOUNT):
            raise ChainError(f"{_describe(log)} has {name} {value}, which no Vault can hold; use another endpoint")


def _place_of(log: LogReceipt) -> _Place:
    return {
        "block_number": log["blockNumber"],
        "log_index": log["logIndex"],
        "transaction": bytes(log["transactionHash"]),
    }


def _to_address(text: str) -> Address:
    return Address(text.lower())


def _to_claim(args: Any, place: _Place) -> Claim:
    return Claim(
        epoch=args["epoch"],
        pool=args["pool"],
        account=_to_address(args["account"]),
        amount=args["amount"],
        cumulative=args["cumulativeAmount"],
        **place,
    )


def _to_fees(args: Any, place: _Place) -> Transfer:
    amounts = args["protocolAmount"], args["providerAmount"], args["userAmount"]
    return Transfer(place["block_number"], place["log_index"], place["transaction"], "fees", *amounts)


def _to_funding(args: Any, place: _Place) -> Transfer:
    provider, user = (args["amount"] if args["pool"] == pool else 0 for pool in (PROVIDER, USER))
    return Transfer(kind="funding", protocol_amount=0, provider_amount=provider, user_amount=user, **place)


def _to_withdrawal(args: Any, place: _Place) -> Transfer:
    return Transfer(kind="withdrawal", protocol_amount=-args["amount"], provider_amount=0, user_amount=0, **place)


def _to_publication(args: Any, place: _Place) -> RootEvent:
    return RootEvent(
        action="publish",
        epoch=args["epoch"],
        root=bytes(args["root"]),
        manifest_hash=bytes(args["manifestHash"]),
        provider_total=args["providerTotal"],
        user_total=args["userTotal"],
        **place,
    )


def _to_attestation(args: Any, place: _Place) -> RootEvent:
    return RootEvent(action="attest", epoch=args["epoch"], attester=_to_address(args["attester"]), **place)


def _to_revocation(args: Any, place: _Place) -> RootEvent:
    return RootEvent(action="revoke", epoch=args["epoch"], **place)


def _to_retirement(args: Any, place: _Place) -> RootEvent:
    return RootEvent(action="retire", epoch=args["epoch"], **place)


_KINDS: Mapping[str, Callable[[Any, _Place], Claim | Transfer | RootEvent]] = {
    "Claimed": _to_claim,
    "FeesDeposited": _to_fees,
    "PoolFunded": _to_funding,
    "ProtocolWithdrawn": _to_withdrawal,
    "RootPublished": _to_publication,
    "RootAttested": _to_attestation,
    "RootRevoked": _to_revocation,
    "RootRetired": _to_retirement,
}
