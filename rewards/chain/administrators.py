"""Who can act through the admin of a Vault: a timelock or a Safe that was there before, and what waits in a timelock."""

from collections.abc import Iterator
from typing import Any

from web3 import Web3
from web3._utils.error_formatters_utils import MISSING_DATA
from web3.contract import Contract
from web3.exceptions import BadFunctionCallOutput, ContractLogicError
from web3.types import FilterParams, LogReceipt

from rewards.chain.client import Chain
from rewards.chain.contracts import bind_contract
from rewards.chain.deploy import ADMIN_ROLE, CANCELLER_ROLE, EXECUTOR_ROLE, PROPOSER_ROLE, WEEK_S
from rewards.chain.facts import Fact
from rewards.chain.networks import is_public
from rewards.chain.plan import TIMELOCK
from rewards.chain.request import MAX_TIMELOCK_S, Request
from rewards.errors import ChainError, UsageError
from rewards.units import Address, checksum

TIMELOCK_ROLES = {
    "administrator": ADMIN_ROLE,
    "proposer": PROPOSER_ROLE,
    "canceller": CANCELLER_ROLE,
    "executor": EXECUTOR_ROLE,
}
_FIT_ADMIN = (
    f"a timelock of {WEEK_S} to {MAX_TIMELOCK_S} seconds that nobody else administers, with a proposer, a canceller, an "
    "executor, and nobody who is both of the first two; or a Safe without modules that two owners or more must sign"
)
_DELEGATED = bytes.fromhex("ef0100")
"""How the code of an account begins that a key holds and another contract's code acts for (EIP-7702)."""
_FIRST_MODULE = "0x" + "0" * 39 + "1"
"""Where the list of a Safe's modules begins."""


def _view(name: str, inputs: tuple[str, ...], *outputs: str) -> dict[str, Any]:
    """One entry of an ABI: a function that only answers."""
    given, answered = ([{"name": "", "type": kind} for kind in kinds] for kinds in (inputs, outputs))
    return {"type": "function", "name": name, "inputs": given, "outputs": answered, "stateMutability": "view"}


_SAFE = [
    _view("getThreshold", (), "uint256"),
    _view("getOwners", (), "address[]"),
    _view("getModulesPaginated", ("address", "uint256"), "address[]", "address"),
]


def require_fit_admin(chain: Chain, request: Request) -> None:
    """Raises UsageError naming why the admin that was there before must not be the Vault's."""
    if request.admin is None:
        return
    where = f"--admin {checksum(request.admin)}"
    code = chain.read_code(request.admin)
    if is_public(request.network) and (not code or code.startswith(_DELEGATED)):
        found = f"one key holds it, delegated to 0x{code[3:].hex()}" if code else "no contract is there"
        raise UsageError(f"{where}: {found} on {chain.where}; the admin of a public Vault is a timelock or a multisig")
    for fact in inspect_admin_kind(chain, request):
        if not fact.agrees:
            raise UsageError(
                f"{where} is {fact.observed}; give {fact.expected}; or add --admin-unchecked if you know who can act "
                "through it"
            )
    for fact in inspect_admin(chain, request):
        if not fact.agrees:
            raise UsageError(
                f"{where}: {fact}; a key of this deployment must have no part in its admin, let it renounce or give "
                "another admin"
            )


def require_nothing_waiting(chain: Chain, request: Request) -> None:
    """Raises UsageError naming what was scheduled in the timelock that is to be the admin: nobody can tell here what it
    does, nor who may execute it."""
    if request.admin is None or request.admin_unchecked:
        return
    waiting = list_waiting(chain, request.admin, 0)
    if waiting:
        raise UsageError(
            f"--admin {checksum(request.admin)}: operations waiting in the timelock: expected none, observed "
            f"{', '.join(waiting)}; execute or cancel them first, or add --admin-unchecked if you know what each one does"
        )


def inspect_admin(chain: Chain, request: Request) -> Iterator[Fact]:
    """That no key of this deployment has a part in an admin that was there before: no role of a timelock, no owner of a
    Safe. An account that is neither has none to look at.

    A timelock whose own deployment was broken off still has its deployer as administrator.
    """
    if request.admin is None:
        return
    keys = [(who, account) for who, account in request.holders() if who != "admin"]
    timelock = bind_contract(chain.web3, TIMELOCK, request.admin)
    if _ask_if_there(chain, timelock, "getMinDelay") is not None:
        for who, account in keys:
            with chain.translate_errors("asking the admin for roles"):
                held = [
                    label
                    for label, role in TIMELOCK_ROLES.items()
                    if timelock.functions.hasRole(role, checksum(account)).call()
                ]
            yield Fact(f"role of the {who} {account} in the timelock", "none", ", ".join(held) or "none")
    owners = _ask_if_there(chain, _bind_safe(chain, request.admin), "getOwners")
    if owners is not None:
        owning = {owner.lower() for owner in owners}
        for who, account in keys:
            yield Fact(f"role of the {who} {account} in the Safe", "none", "owner" if account in owning else "none")


def inspect_admin_kind(chain: Chain, request: Request) -> Iterator[Fact]:
    """That no single key can act through the admin that a public Vault is given, nor in less than a week."""
    if request.admin is None or request.admin_unchecked or not is_public(request.network):
        return
    fits, found = _judge_admin(chain, request.admin)
    yield Fact("admin", _FIT_ADMIN, _FIT_ADMIN if fits else found)


def list_waiting(chain: Chain, timelock: Address, first: int) -> tuple[str, ...]:
    """The operations that wait in a timelock since the block `first`, none where the contract is no timelock. Whoever
    scheduled one may have lost its role since: the operation stays, and its time comes."""
    contract = bind_contract(chain.web3, TIMELOCK, timelock)
    if _ask_if_there(chain, contract, "getMinDelay") is None:
        return ()
    scheduled = {_read_topic(log, 1) for log in _list_logs(chain, contract, "CallScheduled", first)}
    with chain.translate_errors("asking the timelock for operations"):
        return tuple(f"0x{one.hex()}" for one in sorted(scheduled) if contract.functions.isOperationPending(one).call())


def _judge_admin(chain: Chain, admin: Address) -> tuple[bool, str]:
    """Whether a public Vault may have this admin, and what it is."""
    timelock = bind_contract(chain.web3, TIMELOCK, admin)
    delay = _ask_if_there(chain, timelock, "getMinDelay")
    if delay is not None:
        held = _list_holders(chain, timelock)
        proposers, cancellers = held["proposer"], held["canceller"]
        fits = proposers and cancellers and held["executor"] and not proposers & cancellers
        told = ", ".join(f"{label} {join(accounts)}" for label, accounts in held.items())
        fits = fits and WEEK_S <= delay <= MAX_TIMELOCK_S and held["administrator"] <= {admin}
        return bool(fits), f"a timelock of {delay} seconds ({told})"
    safe = _bind_safe(chain, admin)
    threshold, owners = (_ask_if_there(chain, safe, name) for name in ("getThreshold", "getOwners"))
    if threshold is None or not owners:
        return False, "neither (it answers no getMinDelay(), nor getThreshold() and getOwners())"
    modules = (_ask_if_there(chain, safe, "getModulesPaginated", _FIRST_MODULE, 1) or [()])[0]
    told = f"a Safe that {threshold} of {len(set(owners))} owners must sign"
    if modules:
        # A module acts without any owner.
        return False, f"{told}, with the module {modules[0].lower()}"
    return 2 <= threshold <= len(set(owners)), told


def _bind_safe(chain: Chain, address: Address) -> Contract:
    return chain.web3.eth.contract(Web3.to_checksum_address(checksum(address)), abi=_SAFE)


def _ask_if_there(chain: Chain, contract: Contract, function: str, *arguments: Any) -> Any:
    """What a contract answers, None when it does not know the function: it reverts, or answers nothing of that shape.
    ChainError when the node does not answer: that says nothing about the contract."""
    with chain.translate_errors(f"calling {function} of the admin {contract.address}"):
        try:
            return contract.functions[function](*arguments).call()
        except BadFunctionCallOutput:
            return None
        except ContractLogicError as error:
            if not _is_revert(error):
                raise
            return None


def _is_revert(error: ContractLogicError) -> bool:
    """Whether a contract said it: web3 takes whatever has data for a revert, so also a node that is asked too often."""
    if isinstance(error.data, str):
        return error.data.startswith(("0x", "Reverted ")) or error.data == MISSING_DATA
    return "revert" in str(error.message).removeprefix("execution reverted: ").lower()


def _list_holders(chain: Chain, timelock: Contract) -> dict[str, set[Address]]:
    """Who holds each role of a timelock that was there before. Since which block it stands is not known."""
    accounts = {Address("0x" + _read_topic(log, 2)[12:].hex()) for log in _list_logs(chain, timelock, "RoleGranted", 0)}
    with chain.translate_errors("asking the admin for roles"):
        return {
            label: {one for one in accounts if timelock.functions.hasRole(role, checksum(one)).call()}
            for label, role in TIMELOCK_ROLES.items()
        }


def _list_logs(chain: Chain, contract: Contract, event: str, first: int) -> list[LogReceipt]:
    topic, last = contract.events[event]().topic, chain.head().number
    query: FilterParams = {"address": contract.address, "topics": [topic], "fromBlock": first, "toBlock": last}
    try:
        with chain.translate_errors(f"reading every {event} of a timelock"):
            return list(chain.web3.eth.get_logs(query))
    except ChainError:
        # A node that refuses so wide a range is asked piece by piece, which takes minutes on an old chain.
        return list(chain.logs(Address(contract.address.lower()), [topic], first, last))


def _read_topic(log: LogReceipt, number: int) -> bytes:
    """An indexed value of an event; ChainError when the contract wrote the event without it."""
    topics = log["topics"]
    if len(topics) <= number:
        raise ChainError(
            f"{log['address']} wrote an event of a timelock with {len(topics)} topics instead of {number + 1} or more, so "
            "it is no timelock of OpenZeppelin; give another --admin"
        )
    return bytes(topics[number])


def join(accounts: set[Address]) -> str:
    return ", ".join(sorted(accounts)) or "none"
