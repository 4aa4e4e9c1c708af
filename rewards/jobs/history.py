"""The history of publications: extended from the chain once they are final, checked against it before the next is sent,
told and proved offline."""

from pathlib import Path
from typing import Any

from rewards import gates
from rewards.bundles.history import HistoryStore
from rewards.chain.vault import Vault
from rewards.errors import Disagreement, Finding, InputError, UsageError, refuse
from rewards.history import (
    Checkpoint,
    History,
    StoredHistory,
    decode_entry,
    find_damage,
    name_origin,
    read_checkpoint,
    split_entries,
)
from rewards.jobs.workspace import Workspace


def check_history(workspace: Workspace, vault: Vault) -> list[Finding]:
    """Gate `history`: the folder agrees with itself and with the final publications of the chain."""
    return _compare(HistoryStore(workspace.data), _read_chain(vault))


def extend_history(workspace: Workspace, vault: Vault) -> None:
    """Log every final publication that is not logged yet, with its checkpoint and proof; nothing when none is new.

    The workspace is locked by the caller. Raises GateRefused when the chain does not continue what is logged.
    """
    store, history = HistoryStore(workspace.data), _read_chain(vault)
    refuse("extending the history", _compare(store, history))
    store.extend(history)


def _read_chain(vault: Vault) -> History:
    """The history as the chain tells it, up to its last final block."""
    publications = vault.publications(vault.final_block().number)
    return History(name_origin(vault.chain_id, vault.address), publications)


def _compare(store: HistoryStore, history: History) -> list[Finding]:
    return gates.check_history(store.read(), history.origin, history.publications)


def check_folder(data: Path) -> list[Finding]:
    """Whether the files of a history agree with each other, offline; InputError when there are none."""
    stored = _read_stored(data)
    return find_damage(stored, stored.origin)


def read_history(data: Path) -> History:
    """The history up to its newest checkpoint. Raises InputError when there is none, Disagreement when it is damaged."""
    stored = _read_stored(data)
    findings = find_damage(stored, stored.origin)
    if findings:
        raise Disagreement(
            f"{data / 'history'} is damaged: {'; '.join(map(str, findings))}; see docs/runbook.md#history"
        )
    return History(stored.origin, [decode_entry(entry) for entry in split_entries(stored.log)[: stored.size]])


def _read_stored(data: Path) -> StoredHistory:
    stored = HistoryStore(data).read()
    if not stored.checkpoints:
        raise InputError(f"no history under {data}; rewards publish begins it, or give another --data folder")
    return stored


def prove_publication(data: Path, epoch: int, since: Path | None = None) -> dict[str, Any]:
    """That the newest publication of an epoch is in the newest checkpoint, which continues the one in the file `since`.

    Raises UsageError when there is no such publication, InputError when the file holds no checkpoint, Disagreement when
    the history does not continue it, and what `read_history` raises.
    """
    history = read_history(data)
    kept = None if since is None else _read_kept(since)
    if kept is not None:
        history.require_continued(kept)
    places = [index for index, one in enumerate(history.publications) if one.epoch == epoch]
    if not places:
        known = ", ".join(map(str, sorted({one.epoch for one in history.publications})))
        raise UsageError(f"no publication of epoch {epoch} in the history; there: {known}")
    return history.prove(places[-1], len(history), None if kept is None else kept.size)


def _read_kept(path: Path) -> Checkpoint:
    try:
        kept = read_checkpoint(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; give the file of a checkpoint") from error
    if kept is None:
        raise InputError(f"{path} is no checkpoint; give a file that was kept from history/checkpoints, as it was")
    return kept
