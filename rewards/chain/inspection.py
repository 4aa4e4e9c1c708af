"""A deployment against its chain: code, fixed values, roles and settings, each with what was asked and what stands."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hexbytes import HexBytes
from web3 import Web3
from web3.contract import Contract

from rewards.chain.administrators import TIMELOCK_ROLES, inspect_admin, inspect_admin_kind, join
from rewards.chain.client import Chain
from rewards.chain.contracts import bind_contract, load_artifact
from rewards.chain.deploy import encode_creation
from rewards.chain.deployment import Deployment
from rewards.chain.facts import Fact
from rewards.chain.plan import (
    ESCROW,
    SUBSCRIPTIONS,
    TIMELOCK,
    TOKEN,
    VAULT,
    describe_creation,
    digest_bytecode,
    list_arguments,
    list_created,
)
from rewards.chain.request import DAY_S, Request
from rewards.chain.vault import ROLES
from rewards.errors import UsageError
from rewards.units import PROVIDER, SUPPLY, USER, ZERO_ADDRESS, Address, checksum, keccak

_TOKEN_NAME, _TOKEN_SYMBOL, _TOKEN_DECIMALS = b"Cxmpute Token", "CXPT", 18
_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


def inspect_code(chain: Chain, deployment: Deployment) -> Iterator[Fact]:
    """Where every contract that `rewards deploy` made came from, and its code; ChainError when the chain does not
    answer."""
    yield from inspect_record(deployment)
    for name in _list_known(deployment):
        yield from _inspect_creation(chain, deployment, name)
        address = deployment.contracts[name].address
        yield from _inspect_code(chain, name, address, _list_immutables(deployment, name))
    if deployment.supply_transaction is not None:
        expected = f"{SUPPLY} from {deployment.asked['deployer']} to {deployment.asked['supply_to']}"
        yield Fact("transfer of the supply", expected, _tell_transfer(chain, deployment))


def inspect_record(deployment: Deployment) -> Iterator[Fact]:
    """That the record does not contradict itself: what other programs read of it is what was asked for and made."""
    request, made = Request.from_json(deployment.asked), deployment.contracts
    yield Fact("contracts of the record", ", ".join(sorted(list_created(request))), ", ".join(sorted(made)))
    vault = made.get(VAULT)
    expected: dict[str, object] = {
        "chain_id": request.chain_id,
        "network": request.network,
        "first_epoch": request.first_epoch,
        "settler": request.settler,
        "deployed_block": vault and vault.block,
        "block_hash": vault and vault.block_hash,
    }
    given = {"token": request.token, "admin": request.admin}
    contracts = {"token": TOKEN, "admin": TIMELOCK, "vault": VAULT, "subscription_manager": SUBSCRIPTIONS}
    for field, name in {**contracts, "usage_escrow": ESCROW}.items():
        expected[field] = given.get(field) or (made[name].address if name in made else None)
    expected["timelock"] = None if request.admin else expected["admin"]
    for field, value in expected.items():
        held = getattr(deployment, field)
        yield Fact(f"{field} of the record", str(value), "0x" + held.hex() if isinstance(held, bytes) else str(held))
    supply = "recorded" if request.supply_to else "none"
    yield Fact("transfer of the supply in the record", supply, "recorded" if deployment.supply_transaction else "none")
    for name in _list_known(deployment):
        asked = _flatten(describe_creation(name, _list_arguments(deployment, name)))
        held = _flatten(made[name].arguments)
        for argument in dict.fromkeys((*asked, *held)):
            label = f"argument {argument} of {name} in the record"
            yield Fact(label, asked.get(argument, "none"), held.get(argument, "none"))


def _list_known(deployment: Deployment) -> list[str]:
    """The contracts of a record that a deployment makes; any other is a fact that differs, and has no artifact."""
    return [name for name in list_created(Request.from_json(deployment.asked)) if name in deployment.contracts]


def _list_arguments(deployment: Deployment, name: str) -> Sequence[Any]:
    """What the constructor of a contract was given, if it was what was asked for."""
    at = {TOKEN: deployment.token, TIMELOCK: deployment.admin, VAULT: deployment.vault}
    return list_arguments(Request.from_json(deployment.asked), name, at)


def _flatten(arguments: Mapping[str, Any], above: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in arguments.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{above}{name}.")
        else:
            flat[above + name] = json.dumps(value, sort_keys=True)
    return flat


def inspect_state(chain: Chain, deployment: Deployment) -> Iterator[Fact]:
    """Roles and settings as they are now. Contracts with another code may answer anything, or nothing: look there
    first."""
    subscriptions, escrow = deployment.subscription_manager, deployment.usage_escrow
    if subscriptions is None or escrow is None or not {VAULT, SUBSCRIPTIONS, ESCROW} <= set(deployment.contracts):
        raise UsageError(
            "the record names no subscription manager and escrow; only what `rewards deploy` made is checked"
        )
    look = _Look(chain, deployment)
    yield from inspect_token(chain, deployment.token)
    if deployment.timelock is not None:
        yield from look.at_timelock(deployment.timelock)
    else:
        request = Request.from_json(deployment.asked)
        yield from inspect_admin_kind(chain, request)
        yield from inspect_admin(chain, request)
    yield from look.at_vault()
    yield from look.at_subscriptions(subscriptions)
    yield from look.at_escrow(escrow)


def inspect_token(chain: Chain, token: Address) -> Iterator[Fact]:
    """That a token calls itself CXPT; also one that was there before."""
    contract = bind_contract(chain.web3, TOKEN, token)
    for function, expected in (("symbol", _TOKEN_SYMBOL), ("decimals", str(_TOKEN_DECIMALS))):
        with chain.translate_errors(f"calling {function} of the token"):
            yield Fact(f"{function} of the token", expected, str(contract.functions[function]().call()))


def _tell_transfer(chain: Chain, deployment: Deployment) -> str:
    """What the transaction moved of the token that is recorded as the transfer of the supply."""
    transfer = bind_contract(chain.web3, TOKEN, deployment.token).events.Transfer()
    found = chain.find_receipt(bytes.fromhex((deployment.supply_transaction or "")[2:]))
    if found is None or found["status"] != 1:
        return "unknown transaction" if found is None else "failed transaction"
    ours = [
        log
        for log in found["logs"]
        if (log["address"].lower(), log["topics"][0].to_0x_hex()) == (deployment.token, transfer.topic)
    ]
    with chain.translate_errors("reading a transfer of the token"):
        moved = [transfer.process_log(log)["args"] for log in ours]
    return ", ".join(_plain(f"{one['value']} from {one['from']} to {one['to']}") for one in moved) or "no transfer"


def _inspect_creation(chain: Chain, deployment: Deployment, name: str) -> Iterator[Fact]:
    """Where and by what a contract came to be, and that the artifact is still what it was."""
    record = deployment.contracts[name]
    yield Fact(f"bytecode of {name} (sha256)", record.bytecode_sha256, digest_bytecode(name))
    found = chain.find_receipt(bytes.fromhex(record.transaction[2:]))
    if found is None:
        yield Fact(f"transaction of {name}", record.transaction, "unknown")
        return
    yield Fact(f"address of {name}", record.address, str(found["contractAddress"]).lower())
    block = f"{record.block} {record.block_hash}"
    yield Fact(f"block of {name}", block, f"{found['blockNumber']} 0x{bytes(found['blockHash']).hex()}")
    yield Fact(f"deployer of {name}", str(deployment.asked["deployer"]), str(found["from"]).lower())
    with chain.translate_errors(f"asking for the transaction of {name}"):
        sent = bytes(chain.web3.eth.get_transaction(HexBytes(record.transaction))["input"])
    expected = encode_creation(name, _list_arguments(deployment, name))
    yield Fact(f"creation code and arguments of {name}", _digest(expected), _digest(sent))


def _inspect_code(chain: Chain, name: str, address: Address, expected: Mapping[str, bytes]) -> Iterator[Fact]:
    """The code on the chain is the artifact's, but for the fixed values, and those are what they should be."""
    artifact = load_artifact(name)
    with chain.translate_errors(f"asking for the code of {name}"):
        code = bytes(chain.web3.eth.get_code(Web3.to_checksum_address(checksum(address))))
    masked = bytearray(code)
    for places in artifact.immutables:
        for start in places:
            masked[start : start + 32] = bytes(len(masked[start : start + 32]))
    yield Fact(f"code of {name}", _digest(artifact.runtime), _digest(bytes(masked)))
    for (label, value), places in zip(expected.items(), artifact.immutables, strict=True):
        # The same value stands wherever the code uses it.
        held = sorted({code[start : start + 32].hex() for start in places})
        yield Fact(f"{label} in the code of {name}", "0x" + value.hex(), ", ".join("0x" + one for one in held))


def _digest(code: bytes) -> str:
    return f"sha256 {hashlib.sha256(code).hexdigest()} of {len(code)} bytes"


def _list_immutables(deployment: Deployment, name: str) -> dict[str, bytes]:
    """What the code of a contract holds for good, in the order of declaration."""
    if name == TOKEN:
        return _list_token_immutables(deployment)
    if name == VAULT:
        return {"token": _pad(deployment.token), "firstEpoch": deployment.first_epoch.to_bytes(32)}
    if name in (SUBSCRIPTIONS, ESCROW):
        return {"vault": _pad(deployment.vault), "token": _pad(deployment.token)}
    return {}


def _list_token_immutables(deployment: Deployment) -> dict[str, bytes]:
    """What OpenZeppelin's EIP712 fixes: the domain that permits are signed for."""
    chain_id, this = deployment.chain_id.to_bytes(32), _pad(deployment.token)
    name, version = keccak(_TOKEN_NAME), keccak(b"1")
    return {
        "domain separator": keccak(keccak(_DOMAIN_TYPE) + name + version + chain_id + this),
        "chain id": chain_id,
        "own address": this,
        "hash of the name": name,
        "hash of the version": version,
        "name": _TOKEN_NAME.ljust(31, b"\0") + bytes([len(_TOKEN_NAME)]),
        "version": b"1".ljust(31, b"\0") + b"\1",
    }


def _pad(address: Address) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])


class _Look:
    """The contracts of a deployment, asked one after the other."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self._chain, self._deployment = chain, deployment
        self._request = Request.from_json(deployment.asked)
        self._bound: dict[tuple[str, Address], Contract] = {}

    def at_timelock(self, timelock: Address) -> Iterator[Fact]:
        request = self._request
        delay = str(request.timelock_delay_s)
        yield Fact("delay of the timelock", delay, str(self._ask(TIMELOCK, timelock, "getMinDelay")))
        expected = {
            "administrator": {timelock},
            "proposer": set(request.proposers),
            "canceller": {*request.cancellers},
            "executor": {ZERO_ADDRESS},
        }
        granted = self._list_accounts(TIMELOCK, timelock, "RoleGranted")
        for label, role in TIMELOCK_ROLES.items():
            candidates = expected[label] | granted | {request.deployer}
            held = {a for a in candidates if self._ask(TIMELOCK, timelock, "hasRole", role, checksum(a))}
            yield Fact(f"{label}s of the timelock", join(expected[label]), join(held))

    def at_vault(self) -> Iterator[Fact]:
        request, vault = self._request, self._deployment.vault
        settings = request.settings(self._deployment.admin)
        fields: dict[str, tuple[str, tuple[Any, ...], object]] = {
            "token": ("token", (), self._deployment.token),
            "first epoch": ("firstEpoch", (), request.first_epoch),
            "split": ("split", (), [settings.protocol_bp, settings.provider_bp, settings.user_bp]),
            "activation delay": ("activationDelay", (), request.activation_delay_s),
            "attesters needed": ("attestersRequired", (), request.attesters_required),
            "limit of the provider pool": ("maxEpochAmount", (PROVIDER,), request.max_epoch_amount),
            "limit of the user pool": ("maxEpochAmount", (USER,), request.max_epoch_amount),
        }
        for label, (function, arguments, expected) in fields.items():
            observed = self._ask(VAULT, vault, function, *arguments)
            yield Fact(f"{label} of the Vault", _plain(expected), _plain(observed))
        groups = {
            "admin": {self._deployment.admin},
            "publisher": set(request.publishers),
            "attester": set(request.attesters),
            "guardian": set(request.guardians),
            "treasurer": set(request.treasurers),
        }
        asked = {account: role for role, accounts in groups.items() for account in accounts}
        known = {*asked, request.deployer} | self._list_accounts(VAULT, vault, "RoleSet")
        for account in sorted(known):
            observed = ROLES[self._ask(VAULT, vault, "roleOf", checksum(account))]
            yield Fact(f"role of {account} in the Vault", asked.get(account, "none"), observed)

    def at_subscriptions(self, address: Address) -> Iterator[Fact]:
        yield from self._at_fee_payer(SUBSCRIPTIONS, address)
        count = int(self._ask(SUBSCRIPTIONS, address, "planCount"))
        yield Fact(f"plans of {SUBSCRIPTIONS}", str(len(self._request.offers)), str(count))
        for number, offer in enumerate(self._request.offers):
            expected = [offer.price, offer.days * DAY_S]
            observed = self._ask(SUBSCRIPTIONS, address, "plans", number)
            yield Fact(f"plan {number} of {SUBSCRIPTIONS}", _plain(expected), _plain(observed))

    def at_escrow(self, address: Address) -> Iterator[Fact]:
        yield from self._at_fee_payer(ESCROW, address)
        yield Fact(f"settler of {ESCROW}", self._request.settler, _plain(self._ask(ESCROW, address, "settler")))

    def _at_fee_payer(self, name: str, address: Address) -> Iterator[Fact]:
        expected = {
            "vault": self._deployment.vault,
            "token": self._deployment.token,
            "owner": self._deployment.admin,
            "pendingOwner": ZERO_ADDRESS,
        }
        for function, value in expected.items():
            yield Fact(f"{function} of {name}", value, _plain(self._ask(name, address, function)))

    def _ask(self, name: str, address: Address, function: str, *arguments: Any) -> Any:
        contract = self._bind(name, address)
        with self._chain.translate_errors(f"calling {function} of {name}"):
            return contract.functions[function](*arguments).call()

    def _bind(self, name: str, address: Address) -> Contract:
        if (name, address) not in self._bound:
            self._bound[name, address] = bind_contract(self._chain.web3, name, address)
        return self._bound[name, address]

    def _list_accounts(self, name: str, address: Address, event: str) -> set[Address]:
        """Every account that ever was given a role: nobody holds one whom these events do not name."""
        made = self._bind(name, address).events[event]()
        first = self._deployment.contracts[name].block
        logs = self._chain.logs(address, [made.topic], first, self._chain.head().number)
        with self._chain.translate_errors(f"reading {event} of {name}"):
            return {Address(made.process_log(log)["args"]["account"].lower()) for log in logs}


def _plain(value: object) -> str:
    """What a call answers, as the requests write it: addresses in lower case, lists with commas."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return value.lower() if isinstance(value, str) else str(value)
