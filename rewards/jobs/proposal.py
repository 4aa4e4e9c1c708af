"""Who brings a transaction about: a key here, or the owners of a Safe, who get a file and sign elsewhere."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rewards.bundles.disk import write_file
from rewards.chain.intent import Intent, IntentStore
from rewards.chain.safe import build_batch, describe_call, find_nonce, read_call
from rewards.chain.sender import IsDone
from rewards.chain.signers import Signer
from rewards.chain.vault import Vault
from rewards.errors import StorageError
from rewards.jobs.workspace import Workspace, now
from rewards.ports import Receipt
from rewards.units import Address


@dataclass(frozen=True)
class SafeOwners:
    """The owners of a Safe that holds a role. `folder`: where the file for its Transaction Builder is while they are asked;
    `tell` gets the file and the call in lines that owners compare."""

    address: Address
    folder: Path
    tell: Callable[[Path, list[str]], None]


Author = Signer | SafeOwners


def bring_about(
    workspace: Workspace,
    vault: Vault,
    author: Author,
    intent: Intent,
    store: IntentStore,
    is_done: IsDone,
    check: Callable[[], None],
    confirm: Callable[[], None] = lambda: None,
) -> Receipt | None:
    """Sends by a key, or asks the owners and waits until the chain shows the effect in a final block; the receipt is null
    in the latter case, or where it was done before. Owners take hours: meanwhile other processes may use the `workspace`,
    which is locked before and after. Raises as `Sender.execute`."""
    if not isinstance(author, SafeOwners):
        return vault.sender.execute(intent, author, store, is_done, check, confirm)
    path = author.folder / f"{intent.purpose.replace(' ', '-')}.json"
    if not is_done(None):
        check()
        vault.sender.estimate(intent, author.address)  # nobody is asked to sign what would revert
        _ask_owners(vault, author, intent, path)
    with workspace.unlocked():
        vault.sender.wait_until(intent, is_done)
    _withdraw_file(path)
    return None


def _ask_owners(vault: Vault, owners: SafeOwners, intent: Intent, path: Path) -> None:
    call, chain_id, safe = read_call(vault.address, intent.data), vault.chain_id, owners.address
    description = "; ".join(describe_call(chain_id, safe, call)[:-1])

    def build(created_at_ms: int) -> bytes:
        return build_batch(chain_id, safe, [call], intent.purpose, description, created_at_ms)

    asked_at_ms = _read_time(path)
    if asked_at_ms is None or build(asked_at_ms) != path.read_bytes():  # owners may have imported the one that is there
        write_file(path, build(int(now().timestamp() * 1000)))
    owners.tell(path, describe_call(chain_id, safe, call, find_nonce(vault.chain, safe)))


def _read_time(path: Path) -> int | None:
    """When a file was made, in milliseconds; None without one that can be read."""
    try:
        return int(json.loads(path.read_bytes())["createdAt"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _withdraw_file(path: Path) -> None:
    """What is done must not be signed again: a revocation would hit whatever root is pending then."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be removed: {error.strerror}; remove it, nobody may sign it again"
        ) from error
