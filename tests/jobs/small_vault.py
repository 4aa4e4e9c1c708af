"""A Vault with every kind of event, two epochs of a handful of leaves, and the folder of who published them."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from web3 import Web3
from web3.middleware import Web3Middleware

from rewards.bundles.store import encode_frame
from rewards.chain.client import Chain
from rewards.chain.deployment import Deployment
from rewards.chain.vault import ClaimItem, Vault, publication_hash
from rewards.jobs.workspace import Workspace
from rewards.ledger.store import SealedEpoch
from rewards.manifest import FILES, Manifest
from rewards.merkle import ClaimTree
from rewards.ports import Counts, PoolTotals
from rewards.schemas import CLAIMABLES
from rewards.units import POOLS, PROVIDER, USER, Address
from tests.bundles.forge import reseal
from tests.chain.networks import HOUR, Network
from tests.worlds import CALENDAR, WALLETS

CXPT = 10**18
FIRST, SECOND, THIRD = WALLETS[:3]
LEAVES: Mapping[int, Mapping[tuple[int, Address], int]] = {
    3: {(PROVIDER, FIRST): 60 * CXPT + 1, (USER, SECOND): 4 * CXPT},
    4: {(PROVIDER, FIRST): 90 * CXPT + 1, (PROVIDER, THIRD): 10 * CXPT, (USER, SECOND): 9 * CXPT},
}
NOW = datetime(2026, 1, 12, tzinfo=UTC)
FOREIGN_ROOT = b"\x07" * 32


def make_claimables(number: int) -> pl.DataFrame:
    rows = [(pool, account, amount) for (pool, account), amount in LEAVES[number].items()]
    return CLAIMABLES.arrange(pl.DataFrame(rows, schema=dict(CLAIMABLES.columns), orient="row"))


def make_manifest(number: int) -> Manifest:
    claimables = make_claimables(number)
    totals = {p: sum(v for (pool, _), v in LEAVES[number].items() if pool == p) for p in POOLS}
    content = hashlib.sha256(encode_frame(CLAIMABLES, claimables)).hexdigest()
    return Manifest(
        epoch=CALENDAR.epoch(number),
        chain=None,
        ruleset="v1",
        ruleset_version="1.0.0",
        policy_since="2025-06-14",
        previous=None if number == min(LEAVES) else make_manifest(number - 1).digest,
        counts=Counts(0, {}, 0, {}, 0, 0, 0).to_json(),
        totals={p: PoolTotals(10**21, 0, 0, 0, 0, 0, totals[p], 0, 10**21 - totals[p]) for p in POOLS},
        leaves=claimables.height,
        root=ClaimTree.build(claimables).root,
        overrides=(),
        files={**dict.fromkeys(FILES, "00" * 32), "claimables.parquet": content},
    )


def seal(data: Path, numbers: Iterable[int] = LEAVES) -> Workspace:
    """Epochs as far as `reconcile` reads them: sealed, with manifest and claimables."""
    workspace = Workspace(data)
    for number in numbers:
        manifest, folder = make_manifest(number), workspace.store.folder(number)
        folder.mkdir(parents=True)
        source = manifest.to_bytes()
        (folder / "manifest.json").write_bytes(source)
        (folder / "manifest.sha256").write_text(f"{hashlib.sha256(source).hexdigest()}  manifest.json\n")
        (folder / "claimables.parquet").write_bytes(encode_frame(CLAIMABLES, make_claimables(number)))
        sealed = SealedEpoch(number, manifest.digest, manifest.previous, "0x" + manifest.root.hex())
        known = workspace.ledger.sealed()
        (workspace.ledger.seal if known or manifest.previous is None else workspace.ledger.adopt)(sealed, NOW)
    return workspace


def replace_claimables(folder: Path, frame: pl.DataFrame) -> None:
    """Other leaves, and digests that fit them."""
    reseal(folder, {"claimables.parquet": encode_frame(CLAIMABLES, frame)})


@dataclass(frozen=True)
class SmallVault:
    """The Vault and who acts on it."""

    network: Network
    vault: Vault

    def publish(self, number: int, **changes: Any) -> None:
        manifest = make_manifest(number)
        told = {"root": manifest.root, "manifest_hash": manifest.hash} | changes
        totals = manifest.total(PROVIDER), manifest.total(USER)
        count, publisher = self.vault.revocations(), self.network.signers[2]
        self.vault.publish_root(number, told["root"], *totals, told["manifest_hash"], count, publisher)

    def revoke(self, number: int) -> None:
        self.vault.revoke_root(number, "a test", self.network.signers[4])

    def activate(self, number: int) -> None:
        manifest, count = make_manifest(number), self.vault.revocations()
        totals = manifest.total(PROVIDER), manifest.total(USER)
        confirmed = publication_hash(number, manifest.root, manifest.hash, *totals, count)
        self.vault.attest_root(number, confirmed, self.network.signers[3])
        self.network.advance(2 * HOUR)

    def claim(self, number: int, *keys: tuple[int, Address]) -> None:
        tree = ClaimTree.build(make_claimables(number))
        items = [ClaimItem(p, a, LEAVES[number][p, a], tree.prove(p, a)) for p, a in keys]
        self.vault.claim_many(number, items, self.network.signers[7])

    def send(self, name: str, signer: int, *arguments: Any) -> None:
        """A call that no job makes."""
        self.vault._send(name, name, arguments, self.network.signers[signer], None)


def deploy(network: Network) -> SmallVault:
    """A Vault with 300 CXPT of fees and 40 of funding, nothing published yet."""
    small = SmallVault(network, Vault(network.chain, network.deploy(), network.sender))
    payer = network.signers[0]
    small.vault.deposit_fees(300 * CXPT, payer)
    small.vault.fund_pool(USER, 40 * CXPT, payer)
    return small


def live_through(small: SmallVault) -> None:
    """Epochs 3 and 4 with a rival that is revoked in between, claims of both, a withdrawal, and blocks without
    events."""
    small.publish(3)
    small.activate(3)
    small.claim(3, (PROVIDER, FIRST), (USER, SECOND))
    small.send("withdrawProtocol", 5, Web3.to_checksum_address(THIRD), CXPT)
    small.publish(4, root=FOREIGN_ROOT)
    small.revoke(4)
    for _ in range(5):
        small.network.mine()
    small.publish(4)
    small.activate(4)
    small.claim(4, (PROVIDER, FIRST), (PROVIDER, THIRD))
    small.vault.deposit_fees(7, small.network.signers[0])
    for _ in range(3):
        small.network.mine()


Answer = Callable[[str, Any, Callable[[str, Any], Any]], Any]
"""Takes a method, its parameters and the true node; gives what the faulty node answers."""


def with_answers(small: SmallVault, answer: Answer, chain_id: int | None = None) -> Vault:
    """The same Vault seen through a node that answers as it is told."""
    chain, deployment = small.network.chain, small.vault.deployment

    class Faulty(Web3Middleware):
        def wrap_make_request(self, make_request: Any) -> Any:
            return lambda method, params: answer(str(method), params, make_request)

    web3 = Web3(chain.web3.provider)
    web3.middleware_onion.inject(Faulty, layer=0)
    seen = Chain(web3, chain_id or chain.chain_id, "a faulty node")
    return Vault(seen, _rebind(deployment, seen.chain_id))


def _rebind(deployment: Deployment, chain_id: int) -> Deployment:
    return replace(deployment, chain_id=chain_id)


def change_logs(change: Callable[[list[dict[str, Any]], Any], list[dict[str, Any]]]) -> Answer:
    """A node that changes the logs it gives; `change` takes them and the filter."""

    def answer(method: str, params: Any, ask: Callable[[str, Any], Any]) -> Any:
        found = ask(method, params)
        if method != "eth_getLogs" or "result" not in found:
            return found
        return {**found, "result": change([dict(log) for log in found["result"]], params[0])}

    return answer
