"""Who brings a transaction about: a key here, or the owners of a Safe, who get a file and sign elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rewards.bundles.disk import write_file
from rewards.chain.intent import Intent, IntentStore
from rewards.chain.safe import build_batch, describe_call, read_call
from rewards.chain.sender import IsDone
from rewards.chain.signers import Signer
from rewards.chain.vault import Vault
from rewards.jobs.workspace import now
from rewards.ports import Receipt
from rewards.units import Address


@dataclass(frozen=True)
class SafeOwners:
    """The owners of a Safe that holds a role. `folder`: where the file for its Transaction Builder goes; `tell` gets the
    file and the call in lines that owners compare."""

    address: Address
    folder: Path
    tell: Callable[[Path, list[str]], None]


Author = Signer | SafeOwners


def bring_about(
    vault: Vault, author: Author, intent: Intent, store: IntentStore, is_done: IsDone, check: Callable[[], None]
) -> Receipt | None:
    """Sends by a key, or asks the owners and waits until the chain shows the effect in a final block; the receipt is null
    in the latter case, or where it was done before. Raises as `Sender.execute`."""
    if not isinstance(author, SafeOwners):
        return vault.sender.execute(intent, author, store, is_done, check)
    if not is_done(None):
        check()
        _ask_owners(vault, author, intent)
    vault.sender.wait_until(intent, is_done)
    return None


def _ask_owners(vault: Vault, owners: SafeOwners, intent: Intent) -> None:
    call, chain_id = read_call(vault.address, intent.data), vault.chain_id
    lines = describe_call(chain_id, owners.address, call)
    created_at_ms = int(now().timestamp() * 1000)
    content = build_batch(chain_id, owners.address, [call], intent.purpose, "; ".join(lines[:-1]), created_at_ms)
    path = owners.folder / f"{intent.purpose.replace(' ', '-')}.json"
    write_file(path, content)
    owners.tell(path, lines)
