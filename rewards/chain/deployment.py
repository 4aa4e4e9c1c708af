"""The record of a deployment: which contracts, on which chain, since which block. Reads without web3."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from tempfile import mkstemp
from typing import Any

from rewards.errors import RewardsError, UsageError
from rewards.units import Address, parse_address, parse_root

DEPLOYMENTS = Path(__file__).resolve().parents[2] / "contracts" / "deployments"


@dataclass(frozen=True)
class ContractRecord:
    """One contract of a deployment. `bytecode_sha256` is that of the artifact's creation code; `arguments` are the
    constructor's, by name, as JSON."""

    address: Address
    arguments: Mapping[str, Any] = field(hash=False)
    block: int
    block_hash: str
    transaction: str
    bytecode_sha256: str


@dataclass(frozen=True)
class Deployment:
    """One Vault, its token, and what was deployed with them. `deployed_block` and `block_hash` (32 bytes) are those of
    the Vault's creation; `asked` is what `rewards deploy` was asked for, empty where another tool made the Vault."""

    chain_id: int
    token: Address
    vault: Address
    deployed_block: int
    block_hash: bytes
    first_epoch: int
    admin: Address
    network: str | None = None
    timelock: Address | None = None
    subscription_manager: Address | None = None
    usage_escrow: Address | None = None
    settler: Address | None = None
    supply_transaction: str | None = None
    contracts: Mapping[str, ContractRecord] = field(default_factory=dict, hash=False)
    asked: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_json(self) -> str:
        known = asdict(self) | {"block_hash": "0x" + self.block_hash.hex()}
        return json.dumps({k: v for k, v in known.items() if v not in (None, {})}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Deployment":
        """The record in a text; UsageError that names what is missing or wrong."""
        try:
            found = json.loads(text)
        except ValueError as error:
            raise UsageError(f"not a deployment record: {error}; give a file that `rewards deploy` wrote") from None
        optional = set(_OPTIONAL)
        needed = {one.name for one in fields(cls)} - optional
        if not isinstance(found, dict) or set(found) - optional != needed:
            raise UsageError(
                f"not a deployment record: it needs exactly {', '.join(sorted(needed))}, "
                f"and may have {', '.join(sorted(optional))}"
            )
        for name in ("chain_id", "deployed_block", "first_epoch"):
            if type(found[name]) is not int or found[name] < 0:
                raise UsageError(f"deployment record: {name} is {found[name]!r}; give a whole number")
        return cls(
            chain_id=found["chain_id"],
            token=parse_address(str(found["token"])),
            vault=parse_address(str(found["vault"])),
            deployed_block=found["deployed_block"],
            block_hash=parse_root(str(found["block_hash"])),
            first_epoch=found["first_epoch"],
            admin=parse_address(str(found["admin"])),
            **{name: read(found[name], name) for name, read in _OPTIONAL.items() if name in found},
        )


def _read_address(value: object, _: str) -> Address:
    return parse_address(str(value))


def _read_text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"deployment record: {name} is {value!r}; give a text")
    return value


def _read_hash(value: object, _: str) -> str:
    return "0x" + parse_root(str(value)).hex()


def _read_object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"deployment record: {name} is {value!r}; give an object")
    return value


def _read_contracts(value: object, name: str) -> Mapping[str, ContractRecord]:
    return {contract: _read_contract(given, contract) for contract, given in _read_object(value, name).items()}


def _read_contract(value: object, name: str) -> ContractRecord:
    found = _read_object(value, name)
    needed = {one.name for one in fields(ContractRecord)}
    if set(found) != needed:
        raise UsageError(f"deployment record: {name} needs exactly {', '.join(sorted(needed))}")
    if type(found["block"]) is not int or found["block"] < 0:
        raise UsageError(f"deployment record: block of {name} is {found['block']!r}; give a whole number")
    for key in ("block_hash", "transaction", "bytecode_sha256"):
        parse_root("0x" + str(found[key]).removeprefix("0x"))
    arguments = _read_object(found["arguments"], f"arguments of {name}")
    return ContractRecord(**{**found, "address": parse_address(str(found["address"])), "arguments": arguments})


_OPTIONAL: Mapping[str, Callable[[object, str], Any]] = {
    "network": _read_text,
    "timelock": _read_address,
    "subscription_manager": _read_address,
    "usage_escrow": _read_address,
    "settler": _read_address,
    "supply_transaction": _read_hash,
    "contracts": _read_contracts,
    "asked": _read_object,
}


def deployment_path(chain_id: int) -> Path:
    """Where the record of a chain is kept in a checkout."""
    return DEPLOYMENTS / f"{chain_id}.json"


def read_deployment(path: Path) -> Deployment:
    """The record in a file; UsageError with the file's name."""
    try:
        return Deployment.from_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the deployment {path}: {error}; run `rewards deploy` or give another") from None
    except RewardsError as error:
        raise UsageError(f"{path}: {error}") from None


def require_writable(path: Path) -> None:
    """Raises UsageError unless a record can be written at `path`: asked before money is spent on what it records. Leaves
    nothing behind, no folder either."""
    folder = next(one for one in path.absolute().parents if os.access(one, os.F_OK))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write the deployment {path}: {folder} refuses; give a folder that can be written")


def write_durably(path: Path, text: str) -> None:
    """Writes aside, waits for the disk and renames into place: a reader never sees half of it, and after the return a
    power cut does not take it back. Raises OSError."""
    held, name = mkstemp(prefix=f".{path.name}.", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(held, "w") as file:
            # A record is read by other users; mkstemp lets nobody.
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        with suppress(OSError):
            aside.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_deployment(deployment: Deployment, path: Path) -> None:
    """Writes the record; what cannot be written is in the error, because a Vault whose address is lost is money lost."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, deployment.to_json())
    except OSError as error:
        record = " ".join(deployment.to_json().split())
        raise UsageError(
            f"cannot write the deployment {path}: {error}; write there what was deployed: {record}"
        ) from None
