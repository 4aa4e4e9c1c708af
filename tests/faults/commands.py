"""An operator who has nothing but the `rewards` command: each is a process of its own, against the proxy of a world; and
what is there once it has ended."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from rewards.errors import Finding
from rewards.ledger.catalogue import read_shown
from rewards.ledger.intents import Intents
from rewards.ledger.store import SealedEpoch
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.faults.call import Call
from tests.faults.faults import ANY, Fault
from tests.faults.nursery import Nursery
from tests.faults.process import Ended, KillPoint
from tests.faults.world import ATTESTER, EPOCHS, GUARDIAN, PUBLISHER, World, write_record

KEYS = {"PUBLISHER": 2, "ATTESTER": 3, "GUARDIAN": 4}
"""The private keys of `world`'s signers."""

_WAITING = Fault("time goes on", ANY)


@dataclass
class Operator:
    """Runs commands in a world. `blocks` come whenever somebody asks for a receipt or for the final block, so that what
    waits goes on at once, and always in the same way."""

    world: World
    nursery: Nursery
    inputs: Path | None = None
    plant: str | None = None
    more: dict[str, str] = field(default_factory=dict)
    blocks: int = 1

    def __post_init__(self) -> None:
        self.record = write_record(self.world)
        self.mine_when_asked()

    def mine_when_asked(self) -> None:
        """Again, after the proxy was healed of everything."""
        self.world.proxy.inject(_WAITING, when=self._mine)

    def _mine(self, call: Call) -> bool:
        waits = call.method == "eth_getTransactionReceipt" or call.params[:1] == ["finalized"]
        if waits:
            with suppress(OSError, HTTPException):  # the node is down
                self.world.on_pause()
                self.world.proxy.mine(self.blocks)
        return False

    @property
    def env(self) -> dict[str, str]:
        keys = {f"REWARDS_{role}_KEY": key.to_bytes(32, "big").hex() for role, key in KEYS.items()}
        return keys | {
            "REWARDS_RPC_URL": self.world.proxy.url,
            "REWARDS_DEPLOYMENT": str(self.record),
            "REWARDS_INPUTS": str(self.inputs or self.world.ground.inputs),
            "REWARDS_DATA": str(self.world.folder / "data"),
            "REWARDS_POLL_SECONDS": "0.001",
            "REWARDS_MAX_FEE_WEI": str(self.world.fee_cap),
            "REWARDS_THREADS": "1",
            "XDG_STATE_HOME": str(self.world.folder / "state"),
            **self.more,
        }

    def run(
        self,
        *command: str,
        kill: KillPoint | None = None,
        steps: Iterable[str] = (),
        max_seconds: float = 120,
    ) -> Ended:
        """One command, which ends, dies at `kill`, or is killed after `max_seconds`."""
        return self.nursery.run(
            ["rewards", *command],
            kill,
            steps,
            env=self.env,
            cwd=self.world.folder,
            max_seconds=max_seconds,
            plant=self.plant,
        )


@dataclass(frozen=True)
class State:
    """All that commands leave behind: digests of published files, what the ledger, the catalogue and the chain say."""

    files: dict[str, str]
    provenance: list[str]
    leftovers: list[str]
    sealed: list[SealedEpoch]
    findings: dict[int, list[Finding]]
    unsettled: int
    outcomes: list[tuple[str, int, str | None]]
    shown: dict[int, str] | None
    roots: dict[int, tuple[str, bytes, bytes, int] | None]
    nonces: dict[str, int]


def read_state(world: World, folder: str = "data") -> State:
    """Of one data folder, and of the chain past the proxy."""
    workspace = world.workspace(folder)
    data, intents = workspace.data, Intents(workspace.ledger)
    published = [path for name in ("epochs", "history") for path in sorted((data / name).rglob("*")) if path.is_file()]
    return State(
        files={str(p.relative_to(data)): hashlib.sha256(p.read_bytes()).hexdigest() for p in published},
        provenance=[str(p.relative_to(data)) for p in sorted((data / "provenance").rglob("*"))],
        leftovers=list_leftovers(data),
        sealed=workspace.ledger.sealed(),
        findings=workspace.ledger.findings(),
        unsettled=len(intents.open(ANVIL_CHAIN_ID)),
        outcomes=sorted((i.action, i.epoch, i.outcome) for i in intents.all(ANVIL_CHAIN_ID)),
        shown=read_shown(data / "rewards.duckdb"),
        roots={number: _read_root(world, number) for number in EPOCHS},
        nonces={signer.address: world.node.nonce(signer.address) for signer in (PUBLISHER, ATTESTER, GUARDIAN)},
    )


def list_leftovers(data: Path) -> list[str]:
    """What only a command that is under way may have: staged epochs, files not yet renamed."""
    found = [*data.rglob("*.new"), *data.rglob("*.new.*"), *(data / "staging").glob("*")]
    return sorted(str(path.relative_to(data)) for path in found)


def _read_root(world: World, number: int) -> tuple[str, bytes, bytes, int] | None:
    record = world.truth.root_at(number)
    return None if record is None else (record.status, record.root, record.manifest_hash, record.attestations_missing)
