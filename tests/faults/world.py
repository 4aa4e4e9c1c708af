"""A network to break: a Vault on a node behind the proxy, the sample's two epochs sealed for it, and what must hold of both
at the end, whatever happened."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from rewards.chain.client import connect
from rewards.chain.deploy import VaultSettings, deploy_token, deploy_vault
from rewards.chain.deployment import Deployment, write_deployment
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.signers import LocalSigner
from rewards.chain.vault import Vault
from rewards.jobs.attest import attest_epoch
from rewards.jobs.publish import ChainOutcome, publish_epoch
from rewards.jobs.resume import Resumed, resume_all
from rewards.jobs.revoke import revoke_epoch
from rewards.jobs.run import run_epochs
from rewards.jobs.workspace import Workspace
from rewards.ledger.intents import Intents
from rewards.manifest import Manifest
from rewards.ports import Receipt
from rewards.units import PROVIDER, USER
from tests.bundles.forge import CALENDAR, settings_for
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.faults.node import RICH, Node, Snapshot
from tests.faults.pool import may_replace
from tests.faults.proxy import Proxy
from tests.faults.transactions import Transaction

DEPLOYER, PUBLISHER, ATTESTER, GUARDIAN, TREASURER, ADMIN, SECOND_ATTESTER = RICH[:7]
EPOCHS = (0, 1)
DAY_S = 86_400
FEE_CAP = 10**13
"""Wei per gas; thousands of times what the node asks."""
TIMEOUT_S = 0.4
POLLS = 60


@dataclass(frozen=True)
class Ground:
    """What every world starts from: the node as it stood when both epochs were sealed, and their folder."""

    node: Node
    beginning: Snapshot
    deployment: Deployment
    data: Path
    inputs: Path


def prepare_ground(node: Node, inputs: Path, folder: Path) -> Ground:
    """Deploys, deposits the sample's fees at their times, and seals both epochs, which nobody has published."""
    chain = node.connect()
    sender = Sender(chain, Patience(polls=30, pause_s=0, pause=lambda _: node.mine()), 100 * FEE_CAP)
    roles = VaultSettings(
        admin=ADMIN.address,
        publishers=[PUBLISHER.address],
        attesters=[ATTESTER.address, SECOND_ATTESTER.address],
        guardians=[GUARDIAN.address],
        treasurers=[TREASURER.address],
        activation_delay_s=3600,
    )
    deployment = deploy_vault(sender, DEPLOYER, deploy_token(sender, DEPLOYER), roles)
    vault = Vault(chain, deployment, sender)
    table = pl.read_parquet(inputs / "deposits.parquet").sort("deposited_at")
    end = CALENDAR.epoch(EPOCHS[-1]).end
    for when, amount in table.filter(pl.col("deposited_at") < end).select("deposited_at", "amount").rows():
        moment = int(when.timestamp())
        if moment > chain.head().timestamp:
            node.set_next_time(moment)
            node.mine()
        vault.deposit_fees(int(amount), DEPLOYER)
    node.set_next_time(int(end.timestamp()) + 2700)
    node.mine_reversibly(70)  # deeper than any reorganisation that tests make: the inputs stay
    data = folder / "data"
    list(run_epochs(Workspace(data), settings_for(inputs, vault), EPOCHS))
    return Ground(node, node.snapshot(durable=True), deployment, data, inputs)


@dataclass
class World:
    """One network for one test. Everything that the pipeline does goes through the proxy; what the test does to the chain
    goes to the node directly."""

    ground: Ground
    proxy: Proxy
    folder: Path
    polls: int = POLLS
    timeout_s: float = TIMEOUT_S
    fee_cap: int = FEE_CAP
    on_pause: Callable[[], None] = lambda: None
    rivals: set[bytes] = field(default_factory=set)
    """Roots that somebody else published with the publisher's key."""

    @property
    def node(self) -> Node:
        return self.ground.node

    def workspace(self, name: str = "data") -> Workspace:
        return Workspace(self.folder / name)

    def manifest(self, number: int = 0) -> Manifest:
        return self.workspace().store.read(number).manifest

    def connect(self) -> Vault:
        """The Vault as a command that starts now connects to it; waiting mines, so that no test sleeps."""
        chain = connect(self.proxy.url, ANVIL_CHAIN_ID, timeout_s=self.timeout_s)
        return Vault(chain, self.ground.deployment, Sender(chain, self._patience, self.fee_cap))

    @cached_property
    def truth(self) -> Vault:
        """The Vault as it is, past the proxy."""
        return Vault(self.node.connect(), self.ground.deployment)

    @property
    def _patience(self) -> Patience:
        return Patience(polls=self.polls, pause_s=0, pause=lambda _: self._pause(), blocks=5)

    def _pause(self) -> None:
        self.on_pause()
        self.proxy.mine()

    # What people do.

    def publish(self, number: int = 0, again: bool = False) -> ChainOutcome:
        return publish_epoch(self.workspace(), number, self.connect(), PUBLISHER, again)

    def attest(self, number: int = 0, signer: LocalSigner = ATTESTER) -> ChainOutcome:
        """From a folder of the attester's own, with the same inputs."""
        vault = self.connect()
        return attest_epoch(self.workspace(), settings_for(self.ground.inputs, vault), number, vault, signer)

    def revoke(self, number: int = 0, reason: str = "a test") -> Receipt | None:
        return revoke_epoch(self.workspace(), number, reason, self.connect(), GUARDIAN)

    def resume(self) -> list[Resumed]:
        signers = {signer.address: signer for signer in (PUBLISHER, ATTESTER, GUARDIAN)}
        return list(resume_all(self.workspace(), self.connect(), signers))

    def publish_rival(self, number: int = 0, root: bytes = b"\x07" * 32) -> None:
        """Another root for the epoch, sent past the proxy with the publisher's own key."""
        manifest, vault = self.manifest(number), self.truth
        self.rivals.add(root)
        totals = manifest.total(PROVIDER), manifest.total(USER)
        intent = vault.intend_publication(number, root, *totals, manifest.hash, vault.revocations())
        self.send_past_the_proxy(PUBLISHER, "0x" + intent.data.hex())

    def call_vault(self, signer: LocalSigner, name: str, *arguments: Any) -> None:
        """A call of the Vault past the proxy, in a block at once."""
        data = self.truth._contract.encode_abi(name, arguments)
        self.send_past_the_proxy(signer, data)

    def reorganise(self, depth: int) -> None:
        """The node's `reorganise`. Where anvil forgets the code of contracts in blocks that could become final, more blocks
        follow, without what waits for one."""
        if not self.node.reorganise(depth):
            return
        waiting = [
            sent.seen.params[0] for sent in self.proxy.sent_transactions() if self.node.is_pooled(sent.transaction.hash)
        ]
        self.node.ask("anvil_dropAllTransactions")
        self.node.mine(self.node.head() - self.node.final() + 1)
        for raw in dict.fromkeys(waiting):
            self.node.ask("eth_sendRawTransaction", raw)

    def send_past_the_proxy(self, signer: LocalSigner, data: str) -> None:
        """In place of whatever waits at the signer's next nonce; for a tip that does not spoil what the node advises."""
        self.node.clear_pool(signer.address)
        nonce = self.node.nonce(signer.address)
        fields = {"nonce": nonce, "gas": 400_000, "maxFeePerGas": 10**14, "maxPriorityFeePerGas": 10**9}
        call = {"to": self.truth._contract.address, "value": 0, "data": data, "chainId": ANVIL_CHAIN_ID}
        self.node.ask("eth_sendRawTransaction", "0x" + signer.sign_transaction(call | fields).hex())
        self.node.mine()
        assert self.node.nonce(signer.address) == nonce + 1

    # What must hold.

    def check(self) -> None:
        """I3, I12 and the ledger's part of I10, at any moment at which nothing is under way."""
        self._check_roots()
        self._check_nonces()

    def check_settled(self, number: int = 0) -> None:
        """The epoch is published once, finally; nothing is left open."""
        self.check()
        record = self.truth.root_at(number, self.truth.final_block().number)
        manifest = self.manifest(number)
        assert record is not None and record.status in ("pending", "active")
        assert (record.root, record.manifest_hash) == (manifest.root, manifest.hash)
        intents = Intents(self.workspace().ledger)
        assert intents.open(ANVIL_CHAIN_ID, PUBLISHER.address) == []
        mined = [i for i in intents.of_epoch(number, "publish", ANVIL_CHAIN_ID) if i.outcome == "succeeded"]
        assert len(mined) <= 1 + self.truth.revocations()

    def _check_roots(self) -> None:
        vault = self.truth
        head = vault.head().number
        published = [e["args"]["epoch"] for e in vault._events(("RootPublished",), head)]
        revoked = [e["args"]["epoch"] for e in vault._events(("RootRevoked",), head)]
        for number in EPOCHS:
            record, live = vault.root_at(number), published.count(number) - revoked.count(number)
            assert live in (0, 1), f"epoch {number} has {live} live roots"
            assert live == (record is not None and record.status != "revoked")
            if record is not None:
                assert record.root in {self.manifest(number).root, *self.rivals}
        assert len(revoked) == vault.revocations()

    def _check_nonces(self) -> None:
        """At one nonce a sender signs one thing, unless another took its place for good; versions obey the node's rule,
        and none pays more than the cap."""
        for versions in self.versions().values():
            for older, newer in pairwise(versions):
                assert older.data != newer.data or may_replace(older, newer), (
                    f"{newer.hash} does not replace {older.hash}"
                )
            assert all(version.max_fee <= self.fee_cap for version in versions)

    def versions(self) -> dict[tuple[str, int], list[Transaction]]:
        """Every different transaction that went out, by sender and nonce, in order."""
        found: dict[tuple[str, int], list[Transaction]] = {}
        for sent in self.proxy.sent_transactions():
            versions = found.setdefault(sent.transaction.key, [])
            if sent.transaction.hash not in {version.hash for version in versions}:
                versions.append(sent.transaction)
        return found


def make_world(ground: Ground, proxy: Proxy, folder: Path, **settings: Any) -> World:
    """A copy of the folder, the chain as it was."""
    node = ground.node
    ground.beginning.restore()
    node.set_automine(False)
    node.set_next_time(int(node.block()["timestamp"], 16) + 1)  # a node that was started anew is back at its first time
    node.mine()
    shutil.copytree(ground.data, folder / "data")
    return World(ground, proxy, folder, **settings)


def write_record(world: World) -> Path:
    """The deployment's record, for commands."""
    path = world.folder / "deployment.json"
    write_deployment(world.ground.deployment, path)
    return path


def persist(attempt: Callable[[], Any], tries: int, errors: Sequence[type[Exception]]) -> list[Exception]:
    """Runs the same command again until it succeeds, as an operator does; the errors on the way."""
    met: list[Exception] = []
    for _ in range(tries):
        try:
            attempt()
            return met
        except tuple(errors) as error:
            met.append(error)
    raise AssertionError(f"it did not succeed in {tries} tries: {met}") from met[-1]
