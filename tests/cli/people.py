"""People with keys, folders and inputs of their own on one network, where two of three attesters and three Safes have roles:
each of them runs the command in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import polars as pl

from rewards.chain.deploy import VaultSettings, deploy_token, deploy_vault
from rewards.chain.deployment import read_deployment, write_deployment
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.signers import LocalSigner
from rewards.chain.vault import Vault
from rewards.jobs.run import run_epochs
from rewards.jobs.workspace import Workspace
from rewards.ledger.intents import Intents, StoredIntent
from rewards.manifest import Manifest
from rewards.units import Address, checksum
from tests.bundles.forge import CALENDAR, edit_table, settings_for
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.chain.safes import Safe
from tests.chain.test_safe import read_back
from tests.cli.conftest import Said, clean_environment
from tests.faults.node import Node, Snapshot
from tests.faults.process import Ended, KillPoint, run_until
from tests.faults.rpc import Upstream

START = CALENDAR.genesis_us // 1_000_000 - 86_400
DELAY_S = 3600
CALL = "import sys; from rewards.cli import main; sys.argv[0] = 'rewards'; main()"
KEYS = {
    name: (0xBEEF00 + i).to_bytes(32)
    for i, name in enumerate(
        ("deployer", "publisher", "ada", "ben", "cleo", "guardian", "treasurer", "admin", "claimer", "stranger")
    )
}
"""Ada, Ben and Cleo attest."""
SIGNERS = {name: LocalSigner(key) for name, key in KEYS.items()}
SAFES = ("publisher", "attester", "guardian")


@dataclass(frozen=True)
class Ground:
    """What every network starts from: a node where both epochs of the sample have ended, and their folder, sealed."""

    node: Node
    beginning: Snapshot
    folder: Path
    inputs: Path
    safes: Mapping[str, Safe]

    @property
    def record(self) -> Path:
        return self.folder / "deployment.json"


def prepare_ground(node: Node, contracts: Path, inputs: Path, folder: Path) -> Ground:
    """Deploys Safes and the Vault, deposits the sample's fees at their times, seals both epochs."""
    node.fund(*(signer.address for signer in SIGNERS.values()))
    chain = node.connect()
    sender = Sender(chain, Patience(polls=30, pause_s=0, pause=lambda _: node.mine()))
    deployer, address = SIGNERS["deployer"], {name: signer.address for name, signer in SIGNERS.items()}
    safes = {role: Safe(contracts, node.network(), deployer) for role in SAFES}
    roles = VaultSettings(
        admin=address["admin"],
        publishers=[address["publisher"], safes["publisher"].address],
        attesters=[address["ada"], address["ben"], address["cleo"], safes["attester"].address],
        guardians=[address["guardian"], safes["guardian"].address],
        treasurers=[address["treasurer"]],
        attesters_required=2,
        activation_delay_s=DELAY_S,
    )
    deployment = deploy_vault(sender, deployer, deploy_token(sender, deployer), roles)
    vault = Vault(chain, deployment, sender)
    table = pl.read_parquet(inputs / "deposits.parquet").sort("deposited_at")
    end = CALENDAR.epoch(1).end
    for when, amount in table.filter(pl.col("deposited_at") < end).select("deposited_at", "amount").rows():
        if int(when.timestamp()) > chain.head().timestamp:
            node.set_next_time(int(when.timestamp()))
            node.mine()
        vault.deposit_fees(int(amount), deployer)
    node.set_next_time(int(end.timestamp()) + 2700)
    node.mine(70)
    list(run_epochs(Workspace(folder / "sealed"), settings_for(inputs, vault), (0, 1)))
    ground = Ground(node, node.snapshot(durable=True), folder, inputs, safes)
    write_deployment(deployment, ground.record)
    return ground


@contextmanager
def mining(node: Node, pause_s: float = 0.1) -> Iterator[None]:
    """Blocks come by themselves, ten a second, and finality with them."""
    end, rpc = Event(), Upstream(node.url)

    def mine() -> None:
        while not end.wait(pause_s):
            rpc.ask("evm_mine")

    miner = Thread(target=mine)
    miner.start()
    try:
        yield
    finally:
        end.set()
        miner.join(timeout=10)
        rpc.close()


@dataclass
class Running:
    """A command under way in its own process."""

    process: subprocess.Popen[str]
    read: list[str] = field(default_factory=list)

    def wait_for(self, words: str) -> str:
        """The first line of stderr that holds these words; fails when the command ends without."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.read.append(line)
            if words in line:
                return line
        raise AssertionError(f"ended with {self.process.wait()} and never said {words!r}: {''.join(self.read)}")

    def end(self, status: int = 0) -> Said:
        out, err = self.process.communicate(timeout=120)
        said = Said(self.process.returncode, out, "".join(self.read) + err)
        assert said.status == status, said.out + said.err
        return said


@dataclass(frozen=True)
class Person:
    """Somebody with settings of their own; calling them runs a command to its end."""

    name: str
    folder: Path
    settings: Mapping[str, str]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def inputs(self) -> Path:
        return self.folder / "inputs"

    @property
    def environment(self) -> dict[str, str]:
        own = {"REWARDS_DATA": str(self.data), "REWARDS_INPUTS": str(self.inputs)}
        return own | {f"REWARDS_{name}": value for name, value in self.settings.items()}

    def __call__(self, *arguments: object, status: int = 0) -> Said:
        return self.start(*arguments).end(status)

    def start(self, *arguments: object) -> Running:
        return Running(
            subprocess.Popen(
                [sys.executable, "-c", CALL, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=clean_environment(**self.environment),
                cwd=self.folder,
            )
        )

    def dies(self, point: KillPoint, *arguments: object) -> Ended:
        """The command, killed at a named step."""
        ended = run_until(["rewards", *map(str, arguments)], point, env=self.environment, cwd=self.folder)
        assert ended.was_killed, ended.err
        return ended

    def drop_row(self, file: str = "usage_records/2026-01-07.parquet") -> None:
        """Their copy of the inputs has a row less."""
        edit_table(self.inputs / file, lambda frame: frame.slice(1))

    def mend_inputs(self, inputs: Path) -> None:
        shutil.rmtree(self.inputs)
        shutil.copytree(inputs, self.inputs)

    def manifest(self, number: int = 0) -> Manifest:
        return Workspace(self.data).store.read(number).manifest

    def intents(self) -> list[StoredIntent]:
        return Intents(Workspace(self.data).ledger).all(ANVIL_CHAIN_ID)


@dataclass(frozen=True)
class People:
    """One network for one test."""

    ground: Ground
    folder: Path

    @property
    def node(self) -> Node:
        return self.ground.node

    @property
    def vault(self) -> Vault:
        chain = self.node.connect()
        return Vault(chain, read_deployment(self.ground.record), Sender(chain, Patience(pause_s=0.05)))

    def meet(self, name: str, sealed: bool = False, **settings: str) -> Person:
        """Somebody new with a copy of the inputs, and of what is sealed where told so."""
        common = {
            "RPC_URL": self.node.url,
            "CHAIN_ID": str(ANVIL_CHAIN_ID),
            "DEPLOYMENT": str(self.ground.record),
            "POLL_SECONDS": "0.05",
        }
        person = Person(name, self.folder / name, common | settings)
        shutil.copytree(self.ground.inputs, person.inputs)
        if sealed:
            shutil.copytree(self.ground.folder / "sealed", person.data)
        return person

    def meet_key(self, name: str, role: str, sealed: bool = False, **settings: str) -> Person:
        """Somebody who signs for a role with a key of their own."""
        return self.meet(name, sealed, **{f"{role.upper()}_KEY": KEYS[name].hex()}, **settings)

    def meet_safe(self, role: str, sealed: bool = False, **settings: str) -> Person:
        """The operator of a role whose key is a Safe."""
        return self.meet(f"safe of the {role}", sealed, **{f"{role.upper()}_SAFE": self.safe(role).address}, **settings)

    def safe(self, role: str) -> Safe:
        return self.ground.safes[role]

    def sign_file(self, role: str, path: Path) -> None:
        """Two owners of a Safe import the file and do what it says."""
        safe = self.safe(role)
        [transaction] = json.loads(path.read_text())["transactions"]
        to, data = transaction["to"], read_back(transaction)
        safe.execute(to, data, safe.hash_transaction(to, data))

    def sent(self, name: str) -> int:
        """How many transactions an account has sent."""
        return self.node.nonce(checksum(SIGNERS[name].address))

    def wait_for_activation(self) -> None:
        self.node.advance(2 * DELAY_S)
        self.settle()

    def settle(self) -> None:
        """Until what is mined now is final."""
        head = self.node.head()
        while self.node.final() < head:
            self.node.mine()

    def record_of(self, number: int = 0) -> Any:
        return self.vault.root_at(number)


def find_richest(person: Person, pool: int) -> tuple[Address, int]:
    """The account with the largest leaf of a pool in epoch 0, and that leaf's amount."""
    frame = pl.read_parquet(person.data / "epochs" / "0" / "claimables.parquet")
    largest = frame.filter(pool=pool).sort("cumulative_amount", "account").row(-1, named=True)
    return Address(largest["account"]), int(largest["cumulative_amount"])


def list_bytes(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {
        os.fspath(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
