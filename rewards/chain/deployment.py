"""The record of a deployment: which Vault, on which chain, since which block. Reads without web3."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rewards.errors import RewardsError, UsageError
from rewards.units import Address, parse_address, parse_root

DEPLOYMENTS = Path(__file__).resolve().parents[2] / "contracts" / "deployments"


@dataclass(frozen=True)
class Deployment:
    """One Vault and its token. `deployed_block` and `block_hash` (32 bytes) are those of the Vault's creation."""

    chain_id: int
    token: Address
    vault: Address
    deployed_block: int
    block_hash: bytes
    first_epoch: int
    admin: Address

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"block_hash": "0x" + self.block_hash.hex()}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Deployment":
        """The record in a text; UsageError that names what is missing or wrong."""
        try:
            fields = json.loads(text)
        except ValueError as error:
            raise UsageError(f"not a deployment record: {error}; give a file that `rewards deploy` wrote") from None
        names = set(cls.__dataclass_fields__)
        if not isinstance(fields, dict) or set(fields) != names:
            raise UsageError(f"not a deployment record: it needs exactly {', '.join(sorted(names))}")
        for name in ("chain_id", "deployed_block", "first_epoch"):
            if type(fields[name]) is not int or fields[name] < 0:
                raise UsageError(f"deployment record: {name} is {fields[name]!r}; give a whole number")
        return cls(
            chain_id=fields["chain_id"],
            token=parse_address(str(fields["token"])),
            vault=parse_address(str(fields["vault"])),
            deployed_block=fields["deployed_block"],
            block_hash=parse_root(str(fields["block_hash"])),
            first_epoch=fields["first_epoch"],
            admin=parse_address(str(fields["admin"])),
        )


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
    """Raises UsageError unless a record can be written at `path`: asked before money is spent on what it records."""
    aside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.touch()
        aside.unlink()
    except OSError as error:
        raise UsageError(f"cannot write the deployment {path}: {error}; give a folder that can be written") from None


def write_deployment(deployment: Deployment, path: Path) -> None:
    """Writes the record aside and renames it into place, so that a reader never sees half of it."""
    aside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w") as file:
            file.write(deployment.to_json())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        record = " ".join(deployment.to_json().split())
        raise UsageError(
            f"cannot write the deployment {path}: {error}; write there what was deployed: {record}"
        ) from None
