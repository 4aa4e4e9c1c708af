"""A Vault with one address for every role, a claim tree, and the invariants of both."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from eth_abi.abi import encode
from web3 import Web3
from web3.contract import Contract

from rewards.chain.client import Chain
from rewards.chain.contracts import ARTIFACTS, bind_contract, load_artifact
from rewards.chain.deploy import VaultSettings, deploy_vault
from rewards.chain.deployment import Deployment
from rewards.chain.intent import Intent
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.signers import LocalSigner
from rewards.chain.vault import Vault, publication_hash
from rewards.errors import ChainError
from rewards.ports import Receipt
from rewards.units import POOLS, PROVIDER, USER, Address, checksum, keccak

START = 1_767_744_000  # 2026-01-07
HOUR, DAY = 3600, 86400
CXPT = 10**18
STAFF = ("admin", "publisher", "attester", "attester2", "guardian", "treasurer")
NAMES = ("payer", *STAFF, "provider", "user", "stranger")

EVENTS = tuple(entry["name"] for entry in load_artifact("CXPTVault").abi if entry["type"] == "event")

Leaf = tuple[int, Address, int]


class SteeredChain(Protocol):
    """A chain that a test may steer: the embedded one, or anvil. Ten signers, keys 1 to 10."""

    chain: Chain
    signers: tuple[LocalSigner, ...]

    def set_time(self, timestamp: int) -> None: ...
    def advance(self, seconds: int) -> None: ...
    def mine(self) -> None: ...


def patience_on(embedded: SteeredChain) -> Patience:
    """Waiting for finality mines, so that no test sleeps."""
    return Patience(polls=30, pause_s=0, pause=lambda _: embedded.mine())


@dataclass(frozen=True)
class Tree:
    """The claim tree in the fewest lines: sorted leaves, a complete binary tree, sorted pairs."""

    leaves: Sequence[Leaf]
    nodes: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        hashes = sorted(self.hash_leaf(leaf) for leaf in self.leaves)
        nodes = [b""] * (len(hashes) - 1) + hashes[::-1]
        for i in range(len(hashes) - 2, -1, -1):
            nodes[i] = keccak(b"".join(sorted(nodes[2 * i + 1 : 2 * i + 3])))
        self.nodes.extend(nodes)

    @staticmethod
    def hash_leaf(leaf: Leaf) -> bytes:
        return keccak(keccak(encode(["uint8", "address", "uint256"], [leaf[0], checksum(leaf[1]), leaf[2]])))

    @property
    def root(self) -> bytes:
        return self.nodes[0]

    def total(self, pool: int) -> int:
        return sum(leaf[2] for leaf in self.leaves if leaf[0] == pool)

    def prove(self, leaf: Leaf) -> list[bytes]:
        at, proof = self.nodes.index(self.hash_leaf(leaf)), []
        while at > 0:
            proof.append(self.nodes[at + 1 if at % 2 else at - 1])
            at = (at - 1) // 2
        return proof


class World:
    """The chain, the Vault and its people; calls by name, as anyone may send them."""

    def __init__(self, embedded: SteeredChain, deployment: Deployment) -> None:
        self.embedded = embedded
        self.sender = Sender(embedded.chain, patience_on(embedded))
        self.vault = Vault(embedded.chain, deployment, self.sender)
        self.signers = dict(zip(NAMES, embedded.signers, strict=True))
        self.deployment = deployment
        self.contract = bind_contract(embedded.chain.web3, "CXPTVault", deployment.vault)
        self.token = bind_contract(embedded.chain.web3, "CXPTToken", deployment.token)

    def __getitem__(self, name: str) -> Address:
        return self.signers[name].address

    def send(self, by: str, name: str, *arguments: Any) -> Receipt:
        """One transaction of the Vault; ChainError with the name of the custom error when it would revert."""
        data = bytes.fromhex(self.contract.encode_abi(name, list(arguments))[2:])
        return self.sender.send(Intent(name, self.deployment.vault, data), self.signers[by])

    def send_token(self, by: str, name: str, *arguments: Any) -> Receipt:
        data = bytes.fromhex(self.token.encode_abi(name, list(arguments))[2:])
        return self.sender.send(Intent(name, self.deployment.token, data), self.signers[by])

    def refused(self, by: str, name: str, *arguments: Any) -> str:
        """The custom error, with arguments, that a transaction would revert with."""
        with pytest.raises(ChainError) as caught:
            self.send(by, name, *arguments)
        return str(caught.value).partition(" refuses: ")[2]

    def view(self, name: str, *arguments: Any) -> Any:
        return self.contract.functions[name](*arguments).call()

    def events(self, receipt: Receipt) -> list[tuple[str, dict[str, Any]]]:
        """The Vault's own events of a transaction, in order."""
        found = self.embedded.chain.find_receipt(receipt.transaction)
        assert found is not None
        named = {bytes.fromhex(event.topic[2:]): event for event in (self.contract.events[name]() for name in EVENTS)}
        logs = [log for log in found["logs"] if log["address"] == self.contract.address]
        decoded = [named[bytes(log["topics"][0])].process_log(log) for log in logs]
        return [(event["event"], dict(event["args"])) for event in decoded]

    def now(self) -> int:
        return self.embedded.chain.head().timestamp

    def deposit(self, amount: int) -> Receipt:
        return self.vault.deposit_fees(amount, self.signers["payer"])

    def publish(self, epoch: int, tree: Tree, revocations: int = 0, totals: tuple[int, int] | None = None) -> bytes:
        """Publishes a tree with its true totals (provider, user) or those given; the publication's hash."""
        provider, user = totals or (tree.total(PROVIDER), tree.total(USER))
        self.send("publisher", "publishRoot", epoch, tree.root, provider, user, manifest_of(epoch), revocations)
        return publication_hash(epoch, tree.root, manifest_of(epoch), provider, user, revocations)

    def activate(self, epoch: int, tree: Tree, revocations: int = 0, totals: tuple[int, int] | None = None) -> None:
        """Publishes, attests and lets the delay pass."""
        self.send("attester", "attestRoot", epoch, self.publish(epoch, tree, revocations, totals))
        self.embedded.set_time(self.view("rootAt", epoch)[4])

    def claim(self, epoch: int, tree: Tree, leaf: Leaf, by: str = "stranger") -> Receipt:
        return self.send(by, "claim", epoch, leaf[0], checksum(leaf[1]), leaf[2], tree.prove(leaf))

    def balance(self, account: Address) -> int:
        return self.vault.balance_of(account)

    def check_invariants(self) -> None:
        """What must hold after every sequence of calls."""
        owed = sum(self.view("pools"))
        for pool in POOLS:
            claimed, promised, deposited = (self.view(n, pool) for n in ("claimedTotal", "promised", "deposited"))
            assert claimed <= promised <= deposited
            owed += promised - claimed
        assert self.balance(self.deployment.vault) == owed + self.view("surplus")


class Caller:
    """Any other contract: a call sends a transaction, or gives the reason why it would revert."""

    def __init__(self, world: World, name: str, address: Address) -> None:
        self._world, self._address = world, address
        self.contract = bind_contract(world.embedded.chain.web3, name, address)

    def __call__(self, by: str, name: str, *arguments: Any, refused: bool = False) -> str:
        data = bytes.fromhex(self.contract.encode_abi(name, list(arguments))[2:])
        intent = Intent(name, self._address, data)
        if refused:
            with pytest.raises(ChainError) as caught:
                self._world.sender.send(intent, self._world.signers[by])
            return str(caught.value)
        self._world.sender.send(intent, self._world.signers[by])
        return ""


class HostileWorld:
    """A Vault over a token that cheats."""

    def __init__(self, world: World) -> None:
        artifact = load_artifact("HostileToken", ARTIFACTS.parent / "test" / "artifacts")
        self._world, self._signer = world, world.signers["payer"]
        web3 = world.embedded.chain.web3
        receipt = world.sender.send(Intent("hostile token", None, artifact.bytecode), self._signer)
        found = world.embedded.chain.find_receipt(receipt.transaction)
        assert found is not None
        address = Web3.to_checksum_address(str(found["contractAddress"]))
        self.token = web3.eth.contract(address=address, abi=artifact.abi)
        settings = VaultSettings(
            world["admin"], [world["publisher"]], [world["attester"]], [], [], activation_delay_s=HOUR
        )
        record = deploy_vault(world.sender, self._signer, Address(self.token.address.lower()), settings)
        self.vault = bind_contract(web3, "CXPTVault", record.vault)
        self.configure("approve", self.vault.address, 2**256 - 1)

    def activate(self, epoch: int, tree: Tree) -> None:
        """Publishes a tree of the provider pool, attests it and lets the delay pass."""
        publication = epoch, tree.root, tree.total(PROVIDER), 0, manifest_of(epoch), 0
        self._send(self.vault, "publishRoot", publication, "publisher")
        expected = self.vault.functions.publicationHash(epoch).call()
        self._send(self.vault, "attestRoot", (epoch, expected), "attester")
        self._world.embedded.advance(HOUR)

    def configure(self, name: str, *arguments: object) -> None:
        self._send(self.token, name, arguments)

    def send(self, name: str, *arguments: object) -> None:
        self._send(self.vault, name, arguments)

    def refused(self, name: str, *arguments: object) -> str:
        with pytest.raises(ChainError) as caught:
            self.send(name, *arguments)
        return str(caught.value).partition(" refuses: ")[2]

    def _send(self, contract: Contract, name: str, arguments: tuple[object, ...], by: str = "payer") -> None:
        data = bytes.fromhex(contract.encode_abi(name, list(arguments))[2:])
        self._world.sender.send(Intent(name, Address(contract.address.lower()), data), self._world.signers[by])


def manifest_of(epoch: int) -> bytes:
    return keccak(b"manifest %d" % epoch)
