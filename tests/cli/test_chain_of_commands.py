"""From deployment to paid claims by command alone, on a node of its own: nothing twice, no secret in any output."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from rewards.chain.client import Chain, connect, request
from rewards.chain.deployment import read_deployment
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.signers import LocalSigner
from rewards.chain.vault import Vault
from rewards.units import POOLS, Address, checksum
from tests.chain.conftest import ANVIL_CHAIN_ID, start_anvil
from tests.chain.networks import START
from tests.cli.conftest import Rewards, Said

DAY = 86_400
ROLES = ("deployer", "publisher", "attester", "guardian", "claimer")
KEYS = {role: LocalSigner((0xC0FFEE + i).to_bytes(32)) for i, role in enumerate(ROLES)}
SECRETS = {role: (0xC0FFEE + i).to_bytes(32).hex() for i, role in enumerate(ROLES)}
OTHERS = ("treasurer", "settler", "proposer", "canceller")
PASSWORD = "pass-that-nobody-may-read"


@pytest.fixture(scope="module")
def node(contracts: Path) -> Iterator[str]:
    """A node that mines ten blocks a second, so that finality comes by itself; its address without credentials."""
    with start_anvil(contracts, START + 3600, "--block-time", "0.1", "--mixed-mining") as url:
        yield url.removeprefix("http://")


@dataclass
class Network:
    """The commands with their settings, the chain's clock, and everything that was ever printed."""

    rewards: Rewards
    chain: Chain
    folder: Path
    sample: Path
    said: list[Said] = field(default_factory=list)

    @property
    def record(self) -> Path:
        return self.folder / "deployment.json"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def __call__(self, *arguments: object, status: int = 0) -> Said:
        said = self.rewards(*arguments)
        self.said.append(said)
        assert said.status == status, f"{arguments}: {said.out}{said.err}"
        return said

    def run(self, epoch: int) -> Said:
        return self("run", "--inputs", self.sample, "--data", self.data, "--epochs", epoch, "--deployment", self.record)

    def set_time(self, timestamp: int) -> None:
        request(self.chain, "evm_increaseTime", [timestamp - self.chain.head().timestamp])
        head = self.chain.head().number
        while self.chain.final_block().number <= head:
            request(self.chain, "evm_mine")

    def deposit(self, vault: Vault, epoch: int) -> None:
        """The sample's deposits of one epoch, in one transaction each."""
        days = pl.read_parquet(self.sample / "deposits.parquet").with_columns(
            epoch=(pl.col("deposited_at").dt.timestamp("ms") // 1000 - START) // DAY
        )
        for amount in days.filter(epoch=epoch)["amount"].to_list():
            vault.deposit_fees(int(amount), KEYS["deployer"])

    def addresses(self) -> Sequence[Address]:
        """An account that earned from the provider pool, and one from the user pool."""
        frame = pl.read_parquet(self.data / "epochs" / "0" / "claimables.parquet")
        return [Address(frame.filter(pool=pool).sort("cumulative_amount")["account"][-1]) for pool in POOLS]


@pytest.fixture
def network(node: str, rewards: Rewards, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    chain = connect(f"http://{node}", ANVIL_CHAIN_ID)
    for signer in KEYS.values():
        request(chain, "anvil_setBalance", [checksum(signer.address), hex(10**24)])
    for role, key in SECRETS.items():
        monkeypatch.setenv(f"REWARDS_{role.upper()}_KEY", key)
    monkeypatch.setenv("REWARDS_RPC_URL", f"http://operator:{PASSWORD}@{node}/")
    monkeypatch.setenv("REWARDS_CHAIN_ID", str(ANVIL_CHAIN_ID))
    monkeypatch.setenv("REWARDS_POLL_SECONDS", "0.05")
    return Network(rewards, chain, tmp_path, sample)


def test_deploy_to_paid_claims_and_a_revoked_root(network: Network) -> None:
    others = {role: LocalSigner(bytes(31) + bytes([9 + i])).address for i, role in enumerate(OTHERS)}
    holders = [
        *(argument for role, address in others.items() for argument in (f"--{role}", address)),
        *("--publisher", KEYS["publisher"].address, "--attester", KEYS["attester"].address),
        *("--guardian", KEYS["guardian"].address, "--activation-delay", "3600", "--max-epoch-amount", "12.5"),
        *("--network", "local", "--out", network.record),
    ]
    deployed = network("deploy", *holders, "--json").document
    record = read_deployment(network.record)
    assert (deployed["vault"], deployed["token"], deployed["chain_id"]) == (record.vault, record.token, ANVIL_CHAIN_ID)
    again = network("deploy", *holders, "--json").document
    assert (again["sent"], again["vault"]) == (0, record.vault)

    vault = Vault(network.chain, record, Sender(network.chain, Patience(pause_s=0.05)))
    assert vault.max_epoch_amount(POOLS[0]) == 12_500_000_000_000_000_000
    network.deposit(vault, 0)

    too_early = network(
        "run",
        "--inputs",
        network.sample,
        "--data",
        network.data,
        "--epochs",
        "0",
        "--deployment",
        network.record,
        status=4,
    )
    assert "not final yet" in too_early.error
    assert not (network.data / "epochs").exists()

    network.set_time(START + DAY + 3600)
    network.run(0)
    on_chain = ("--data", network.data, "--deployment", network.record, "--json")
    published = network("publish", 0, "--apply", *on_chain).document
    assert published["state"] == "pending"
    assert published["sent"]["transaction"].startswith("0x")
    sent = network.chain.count_transactions(KEYS["publisher"].address, "latest")
    assert network("publish", 0, "--apply", *on_chain).document["sent"] is None
    assert network.chain.count_transactions(KEYS["publisher"].address, "latest") == sent

    provider, user = network.addresses()
    assert network("claim", provider, *on_chain, status=2).document["error"]["kind"] == "UsageError"
    own = ("--inputs", network.sample, "--data", network.folder / "attester", "--deployment", network.record)
    attested = network("attest", 0, *own, "--json").document
    assert attested["attestations_missing"] == 0
    assert attested["root"] == published["root"]
    assert "volume" in [f["gate"] for f in attested["findings"]]  # a note: it is the first epoch
    states = network("status", *on_chain).document
    assert [(e["epoch"], e["state"]) for e in states["epochs"]] == [(0, "attested")]

    network.set_time(START + DAY + 4 * 3600)
    before = network("proof", provider, "--data", network.data, "--deployment", network.record).document["claimables"][
        0
    ]
    assert (before["claimed"], before["outstanding"]) == ("0", before["cumulative_amount"])
    paid = network("claim", provider, *on_chain).document
    assert int(paid["paid"]) == int(before["cumulative_amount"]) == vault.balance_of(provider) > 0
    told = network("claim", user, "--data", network.data, "--deployment", network.record)
    assert "CXPT paid to" in told.out
    assert network("claim", provider, *on_chain).document["paid"] == "0"
    after = network("proof", provider, "--data", network.data, "--deployment", network.record).document["claimables"][0]
    assert after["outstanding"] == "0"
    assert network("reconcile", *on_chain).document == {"agrees": True, "findings": []}
    assert network("reconcile", *on_chain, "--from-start").document == {"agrees": True, "findings": []}

    network.deposit(vault, 1)
    network.set_time(START + 2 * DAY + 3600)
    network.run(1)
    network("publish", 1, "--apply", *on_chain)
    revoked = network("revoke", 1, "--reason", "a test of the guardian", *on_chain).document
    assert revoked["sent"]["transaction"].startswith("0x")
    states = network("status", *on_chain).document
    assert [(e["epoch"], e["state"]) for e in states["epochs"]] == [(0, "active"), (1, "sealed")]
    assert (states["vault"]["next_epoch"], states["vault"]["pending_epoch"]) == (1, None)
    assert network("revoke", 1, "--reason", "the same", *on_chain).document["sent"] is None
    refused = network("publish", 1, "--apply", *on_chain, status=3)
    assert "this very root was revoked" in refused.err
    logged = network("history", "--data", network.data, "--json").document["entries"]
    assert [(one["epoch"], one["revocations"]) for one in logged] == [(0, 0), (1, 0)]
    network("history", "--check", "--data", network.data)
    proven = network("proof", provider, "--data", network.data, "--deployment", network.record).document
    assert (proven["state"], {leaf["epoch"] for leaf in proven["claimables"]}) == ("active", {0})
    forbidden = network("attest", 1, *own, status=4)
    assert "epoch 1" in forbidden.error

    everything = "".join(said.out + said.err for said in network.said)
    assert [s for s in (*SECRETS.values(), PASSWORD) if s in everything] == []
