"""What the Vault's logs say in a range of blocks, and what the Vault counts itself: one is checked against the other."""

from collections.abc import Callable, Mapping
from typing import Any

from web3.types import EventData

from rewards.chain.contracts import bind_contract
from rewards.chain.logs import read_logs
from rewards.chain.vault import Vault
from rewards.ports import Claim, RootEvent, Transfer, VaultCounters, VaultEvents
from rewards.units import POOLS, PROVIDER, USER, Address

_Place = Mapping[str, Any]


def read_events(vault: Vault, first: int, last: int) -> VaultEvents:
    """Claims, transfers and root events of the Vault from block `first` to block `last`, both included.

    Raises ChainError as `read_logs`.
    """
    contract = bind_contract(vault.chain.web3, "CXPTVault", vault.address)
    end, events = read_logs(vault.chain, contract, list(_KINDS), first, last)
    found: dict[type, list[Any]] = {Claim: [], Transfer: [], RootEvent: []}
    for event in events:
        one = _KINDS[event["event"]](event["args"], _place_of(event))
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


def _place_of(event: EventData) -> _Place:
    return {
        "block_number": event["blockNumber"],
        "log_index": event["logIndex"],
        "transaction": bytes(event["transactionHash"]),
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
