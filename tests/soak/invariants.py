"""What must hold of a world in which all has come to rest, as pairs of an invariant and what is wrong with it."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from rewards.jobs.history import check_history
from rewards.jobs.reconcile import reconcile
from rewards.ledger.catalogue import read_shown
from rewards.ledger.intents import Intents, StoredIntent
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.faults.commands import list_leftovers
from tests.faults.world import EPOCHS, World

FOLDERS = ("data", "attester")
Wrong = tuple[str, str]


def find_wrong_at_any_moment(world: World) -> Iterator[Wrong]:
    """While nothing is under way, settled or not."""
    for number, live in count_live_roots(world).items():
        if live not in (0, 1):
            yield "roots doubled", f"epoch {number} has {live} live roots"
    kept = {"0x" + intent.hash for name in FOLDERS for intent in _intents(world, name)}
    for sent in world.proxy.sent_transactions():
        if sent.transaction.hash not in kept:
            yield "kept before sent", f"{sent.transaction.hash} was sent and no ledger knows it"
    yield from _catch("one nonce per intent", world._check_nonces)


def find_wrong_at_rest(world: World) -> Iterator[Wrong]:
    """Both epochs published, attested and final."""
    yield from find_wrong_at_any_moment(world)
    yield from _find_wrong_roots(world)
    for name in FOLDERS:
        yield from _find_wrong_folder(world, name)
    workspace, expected = world.workspace(), {n: world.manifest(n).digest for n in EPOCHS}
    if (shown := read_shown(workspace.data / "rewards.duckdb")) != expected:
        yield "catalogue", f"it shows {shown} instead of {expected}"
    for finding in (*check_history(workspace, world.truth), *reconcile(workspace, world.truth)):
        yield finding.gate, str(finding)
    logged, published = len(list((workspace.data / "history" / "checkpoints").iterdir())), len(_published(world))
    if logged != published:
        yield "history", f"{logged} publications logged, {published} on the chain"


def count_live_roots(world: World) -> dict[int, int]:
    """By the events of the chain, past the proxy."""
    vault = world.truth
    revoked = [event["args"]["epoch"] for event in vault._events(("RootRevoked",), vault.head().number)]
    return {number: _published(world).count(number) - revoked.count(number) for number in EPOCHS}


def _published(world: World) -> list[int]:
    vault = world.truth
    return [event["args"]["epoch"] for event in vault._events(("RootPublished",), vault.head().number)]


def _find_wrong_roots(world: World) -> Iterator[Wrong]:
    vault = world.truth
    for number in EPOCHS:
        record = vault.root_at(number, vault.final_block().number)
        if record is None or record.status == "revoked":
            yield "roots lost", f"epoch {number} has no live root in a final block"
        elif (record.root, record.manifest_hash) != (world.manifest(number).root, world.manifest(number).hash):
            yield "on chain = manifest", f"epoch {number} has root 0x{record.root.hex()} on the chain"
        published = _published(world).count(number)
        done = [
            i for i in _intents(world, "data") if (i.action, i.epoch, i.outcome) == ("publish", number, "succeeded")
        ]
        if published != len(done):
            yield "one effect", f"epoch {number} was published {published} times, {len(done)} of them by an intent"


def _find_wrong_folder(world: World, name: str) -> Iterator[Wrong]:
    workspace, ground = world.workspace(name), world.ground
    for number in EPOCHS:
        if _digest(workspace.store.folder(number)) != _digest(ground.data / "epochs" / str(number)):
            yield "same bytes", f"epoch {number} in {name} is not what an undisturbed run gives"
    if (sealed := [epoch.number for epoch in workspace.ledger.sealed()]) != list(EPOCHS):
        yield "no lost epoch", f"sealed in {name} are {sealed}"
    for intent in _intents(world, name):
        if intent.outcome is None:
            yield "nothing open", f"{intent.action} of epoch {intent.epoch}, {intent.hash}, in {name}"
    if leftovers := list_leftovers(workspace.data):
        yield "nothing half-written", f"in {name}: {', '.join(leftovers)}"


def _intents(world: World, name: str) -> list[StoredIntent]:
    return Intents(world.workspace(name).ledger).all(ANVIL_CHAIN_ID)


def _digest(folder: Path) -> dict[str, str]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _catch(invariant: str, check: Callable[[], None]) -> Iterator[Wrong]:
    try:
        check()
    except AssertionError as wrong:
        yield invariant, str(wrong)
