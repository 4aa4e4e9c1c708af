"""The transactions of a deployment: their order, and every address before anything is sent."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.chain.contracts import load_artifact
from rewards.chain.deploy import WEEK_S, encode_call, encode_creation, timelock_arguments, timelock_calls
from rewards.chain.request import DAY_S, Request
from rewards.errors import UsageError
from rewards.units import SUPPLY, UNITS_PER_CXPT, Address, checksum, keccak

TOKEN, TIMELOCK, VAULT = "CXPTToken", "TimelockController", "CXPTVault"
SUBSCRIPTIONS, ESCROW = "SubscriptionManager", "UsageEscrow"
SUPPLY_STEP = "supply"


@dataclass(frozen=True)
class Step:
    """One transaction. `address` is the contract that it creates or calls; `arguments` those of the constructor or the
    function, by name; `contract` the artifact, `function` what is called of it, empty where it is created."""

    name: str
    contract: str
    function: str
    nonce: int
    address: Address
    arguments: Mapping[str, Any]
    data: bytes

    @property
    def creates(self) -> bool:
        return not self.function

    @property
    def to(self) -> Address | None:
        return None if self.creates else self.address

    @property
    def purpose(self) -> str:
        if self.creates:
            return f"deployment of {self.contract}"
        # A grant says nothing without its role and account, which are its name.
        return f"{self.name} of the timelock" if self.function == "grantRole" else f"{self.function} of {self.contract}"


@dataclass(frozen=True)
class Plan:
    """All steps in their order, and the addresses that the contracts have then."""

    steps: tuple[Step, ...]
    token: Address
    admin: Address
    vault: Address
    subscription_manager: Address
    usage_escrow: Address


def list_created(request: Request) -> list[str]:
    """The contracts that a deployment makes, in their order."""
    given = {TOKEN: request.token, TIMELOCK: request.admin}
    return [name for name in (TOKEN, TIMELOCK, VAULT, SUBSCRIPTIONS, ESCROW) if given.get(name) is None]


def make_plan(request: Request, next_nonce: int, signed: Mapping[str, int] | None = None) -> Plan:
    """The steps; those in `signed` keep their nonce, the others take the next ones. The same request and nonces give the
    same addresses."""
    made = _Steps(request.deployer, next_nonce, signed or {})
    at: dict[str, Address] = {}
    for contract, given in ((TOKEN, request.token), (TIMELOCK, request.admin), (VAULT, None)):
        at[contract] = given or made.create(contract, list_arguments(request, contract, at))
        if contract == TIMELOCK and given is None:
            for name, function, arguments in timelock_calls(request.proposers, request.cancellers, request.deployer):
                made.call(name, TIMELOCK, at[TIMELOCK], function, arguments)
    token, admin, vault = at.values()
    subscriptions, escrow = (made.create(name, list_arguments(request, name, at)) for name in (SUBSCRIPTIONS, ESCROW))
    if request.supply_to is not None:
        made.call(SUPPLY_STEP, TOKEN, token, "transfer", (checksum(request.supply_to), SUPPLY))
    plan = Plan(tuple(made.steps), token, admin, vault, subscriptions, escrow)
    _refuse_contracts_as_holders(request, plan)
    return plan


def list_arguments(request: Request, contract: str, at: Mapping[str, Address]) -> Sequence[Any]:
    """What the constructor of a contract is given; `at` has the addresses of token, admin and Vault that it names."""
    if contract == TIMELOCK:
        delay_s = WEEK_S if request.timelock_delay_s is None else request.timelock_delay_s
        return timelock_arguments(delay_s, request.deployer)
    if contract == VAULT:
        return request.settings(at[TIMELOCK]).arguments(at[TOKEN])
    if contract == SUBSCRIPTIONS:
        offers = [(offer.price, offer.days * DAY_S) for offer in request.offers]
        return checksum(at[VAULT]), checksum(at[TIMELOCK]), offers
    if contract == ESCROW:
        return checksum(at[VAULT]), checksum(at[TIMELOCK]), checksum(request.settler)
    return ()


def describe_creation(contract: str, arguments: Sequence[Any]) -> dict[str, Any]:
    """The arguments of a constructor by name, as JSON."""
    found = [entry for entry in load_artifact(contract).abi if entry["type"] == "constructor"]
    return name_arguments(found[0].get("inputs", ()) if found else (), arguments)


def _refuse_contracts_as_holders(request: Request, plan: Plan) -> None:
    """No role and no supply goes to a contract that the plan itself makes."""
    made = {step.address: step.contract for step in plan.steps if step.creates}
    given = [*request.holders(), *((("supply", request.supply_to),) if request.supply_to else ())]
    for role, account in given:
        if account in made:
            raise UsageError(f"{role} {checksum(account)} is where {made[account]} will be; give another address")


class _Steps:
    def __init__(self, deployer: Address, next_nonce: int, signed: Mapping[str, int]) -> None:
        self.steps: list[Step] = []
        self._deployer, self._next, self._signed = deployer, next_nonce, signed

    def create(self, contract: str, arguments: Sequence[Any]) -> Address:
        nonce = self._take_nonce(contract)
        address = find_created_address(self._deployer, nonce)
        known = describe_creation(contract, arguments)
        self.steps.append(Step(contract, contract, "", nonce, address, known, encode_creation(contract, arguments)))
        return address

    def call(self, name: str, contract: str, to: Address, function: str, arguments: Sequence[Any]) -> None:
        data = encode_call(contract, function, arguments)
        (entry,) = (e for e in load_artifact(contract).abi if e["type"] == "function" and e["name"] == function)
        known = name_arguments(entry.get("inputs", ()), arguments)
        self.steps.append(Step(name, contract, function, self._take_nonce(name), to, known, data))

    def _take_nonce(self, name: str) -> int:
        if name in self._signed:
            return self._signed[name]
        self._next += 1
        return self._next - 1


def name_arguments(inputs: Sequence[Any], values: Sequence[Any]) -> dict[str, Any]:
    """Arguments by name, as JSON: bytes as hex, integers that other programs would round as text."""
    return {i["name"].rstrip("_"): _describe(i, value) for i, value in zip(inputs, values, strict=True)}


def _describe(entry: Any, value: Any) -> Any:
    if isinstance(value, list):
        return [_describe(entry, item) for item in value]
    if isinstance(value, tuple):
        return name_arguments(entry["components"], value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value) if isinstance(value, int) and value >= UNITS_PER_CXPT else value


def find_created_address(creator: Address, nonce: int) -> Address:
    """Where a contract lands: the last 20 bytes of the hash of the RLP list of creator and nonce."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8)
    if nonce == 0 or nonce >= 0x80:
        number = bytes([0x80 + len(number)]) + number
    body = b"\x94" + bytes.fromhex(creator[2:]) + number
    return Address("0x" + keccak(bytes([0xC0 + len(body)]) + body)[12:].hex())


def digest_bytecode(contract: str) -> str:
    """SHA-256 of the creation code that the artifact has, in hex."""
    return hashlib.sha256(load_artifact(contract).bytecode).hexdigest()
