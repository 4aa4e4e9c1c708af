"""The run: everything of ours that stands on chain, and what is done with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.progress import Progress
from web3.contract import Contract

from rewards.chain.contracts import load_artifact
from rewards.chain.sender import GAS_LIMIT
from rewards.chain.signers import LocalSigner
from rewards.chain.vault import publication_hash
from rewards.units import MAX_AMOUNT, PROVIDER, UNITS_PER_CXPT, USER, ZERO_ADDRESS, keccak
from tests.chain.networks import HOUR
from tests.gas.leaves import SAMPLES, Earnings
from tests.gas.station import Sent, Station

NIGHTS = 30
BATCHES = (1, 10, 50, 50, 50, 50, 100)
ESCROW_ACCOUNTS = 50
DAY, DELAY = 24 * HOUR, 12 * HOUR

Figures = dict[str, list[int]]
"""Gas of transactions by what they do, in the order of sending."""


@dataclass(frozen=True)
class Extent:
    """How much of the bench runs. Every figure of a smaller extent is a beginning of the same figure of a larger."""

    samples: int = SAMPLES
    nights: int = NIGHTS + 2
    batches: Sequence[int] = BATCHES
    whole: bool = True
    """With the largest batches and thirty nights."""


SMALL = Extent(samples=3, nights=3, batches=BATCHES[:3], whole=False)
TRACED = Extent(samples=1, nights=2, batches=(), whole=False)


class Bench:
    """Everything that stands on chain, and what is done with it.

    Signers: 0 deploys and pays, 1 admin, 2 publisher, 3 attester, 4 guardian, 5 treasurer, 6 and 7 subscribe, 8 settles,
    9 claims for others; from 10 on, the accounts of the escrow.
    """

    def __init__(self, station: Station, extent: Extent, progress: Progress) -> None:
        self.station, self.extent, self._progress = station, extent, progress
        self.figures: Figures = {}
        self.sizes: dict[str, int] = {}
        self.transactions: dict[str, bytes] = {}
        self.batch_sizes: dict[str, int] = {}
        self._task = progress.add_task("rows")
        self.earnings = Earnings()
        sample, k = self.earnings.sample, extent.samples
        self.nightly, self.late = sample.nightly[:k], sample.late[:k]
        self.older, self.pending = sample.older[:k], sample.pending[:k]
        self.both = sample.both[:k]

    def run(self) -> None:
        """All of ours that the extent covers."""
        self.deploy()
        self.pay_in()
        for epoch in range(self.extent.nights):
            self.run_epoch(epoch)
        if self.extent.samples > 1:
            self.revoke()
            self.subscribe()
            self.settle()

    def begin(self, what: str, total: int | None = None) -> None:
        self._progress.update(self._task, description=what, completed=0, total=total)

    def note(self, name: str, sent: Sent) -> None:
        self.figures.setdefault(name, []).append(sent.gas)
        self.transactions.setdefault(name, sent.transaction)
        self._progress.advance(self._task)

    # ------------------------------------------------ contracts and money

    def deploy(self) -> None:
        self.begin("deployments", 5)
        people = [self.station.address(i) for i in range(10)]
        self.token = self._deploy("CXPTToken")
        roles = [[person] for person in people[2:6]]
        config = (self.token.address, people[1], 0, *roles, 4000, 4000, 2000, DELAY, 1, MAX_AMOUNT, MAX_AMOUNT)
        self.vault = self._deploy("CXPTVault", config)
        plans = [(10 * UNITS_PER_CXPT, 30 * DAY)]
        self.subscriptions = self._deploy("SubscriptionManager", self.vault.address, people[1], plans)
        self.escrow = self._deploy("UsageEscrow", self.vault.address, people[1], people[8])
        self._deploy("TimelockController", 7 * DAY, [people[1]], [ZERO_ADDRESS], ZERO_ADDRESS)

    def _deploy(self, name: str, *arguments: Any) -> Contract:
        artifact = load_artifact(name)
        contract, sent = self.station.deploy(artifact.abi, artifact.bytecode, *arguments)
        self.note(f"deploy {name}", sent)
        self.sizes[name] = len(self.station.web3.eth.get_code(contract.address))
        return contract

    def pay_in(self) -> None:
        """Deposits by a payer that approved once without limit."""
        self.begin("money", 4)
        self.station.call(0, self.token, "approve", self.vault.address, 2**256 - 1)
        for name in ("deposit fees, first of a Vault", "deposit fees, later"):
            self.note(name, self.station.call(0, self.vault, "depositFees", 1000 * UNITS_PER_CXPT))
        for pool in (PROVIDER, USER):
            sent = self.station.call(0, self.vault, "fundPool", pool, 100_000_000 * UNITS_PER_CXPT)
            self.note("fund a pool", sent)

    # ------------------------------------------------ roots and claims

    def run_epoch(self, epoch: int) -> None:
        """A night of the Vault: a root, while it waits those who claim on the one before, then everyone."""
        self.begin(f"epoch {epoch}")
        publication = self.publish(epoch, self.earnings.earn(epoch))
        kind = {1: "first", 2: "later"}.get(epoch)
        if kind:
            self.claim_all(f"{kind} claim, a newer root pending", epoch - 1, self.pending)
        self.note("attest a root", self.station.call(3, self.vault, "attestRoot", epoch, publication))
        self.station.network.advance(DELAY)
        if kind:
            self.claim_all(f"{kind} claim on an older root", epoch - 1, self.older)
        if epoch == 0:
            self.claim_all("first claim", 0, self.nightly)
            self.claim_first_things()
        elif epoch == 1:
            self.claim_all("later claim", 1, self.nightly)
            self.claim_later_things()
        elif epoch == NIGHTS - 1:
            self.claim_all("thirty nights at once, first claim", epoch, self.late)
        elif epoch == NIGHTS + 1:
            self.claim_all("thirty nights at once, later claim", epoch, self.nightly)

    def publish(self, epoch: int, root: bytes, revocations: int = 0, name: str | None = None) -> bytes:
        totals = (self.earnings.totals[PROVIDER], self.earnings.totals[USER])
        manifest = keccak(b"manifest %d" % epoch)
        sent = self.station.call(2, self.vault, "publishRoot", epoch, root, *totals, manifest, revocations)
        self.note(name or ("root post, later" if epoch else "root post, first"), sent)
        return publication_hash(epoch, root, manifest, *totals, revocations)

    def claim_all(self, name: str, epoch: int, rows: Sequence[int]) -> None:
        self.begin(name, len(rows))
        for row in rows:
            self.note(name, self.station.call(9, self.vault, "claim", epoch, *self.earnings.item(epoch, row)))

    def claim_first_things(self) -> None:
        self.claim_all("claim that is skipped (nothing due)", 0, self.nightly)
        self.claim_all("first claim of an account with both pools", 0, [one for one, _ in self.both])
        self.claim_all("first claim from its other pool", 0, [other for _, other in self.both])
        name = "claim with a wrong amount (reverts)"
        self.begin(name, len(self.nightly))
        for row in self.nightly:
            pool, account, amount, proof = self.earnings.item(0, row)
            self.note(name, self.station.call(9, self.vault, "claim", 0, pool, account, amount + 1, proof, fails=True))
        used = self.claim_batches("first", 0)
        if self.extent.whole:
            most = self.find_most("first", 0, self.earnings.sample.crowd[used:])
            # Enough accounts for the largest batch of later claims.
            for start in (used + most, used + most + 200):
                rows = self.earnings.sample.crowd[start : start + 200]
                self.station.call(9, self.vault, "claimMany", 0, [self.earnings.item(0, row) for row in rows])

    def claim_later_things(self) -> None:
        name = "later claim of both pools of an account, a batch of two"
        self.begin(name, len(self.both))
        for pair in self.both:
            items = [self.earnings.item(1, row) for row in pair]
            self.note(name, self.station.call(9, self.vault, "claimMany", 1, items))
        used = self.claim_batches("later", 1)
        if self.extent.whole:
            self.find_most("later", 1, self.earnings.sample.crowd[used:])

    def claim_batches(self, kind: str, epoch: int) -> int:
        """Batches of all sizes; how many of the crowd they used."""
        self.begin(f"batches of {kind} claims", len(self.extent.batches))
        used = 0
        for size in self.extent.batches:
            rows = self.earnings.sample.crowd[used : used + size]
            items = [self.earnings.item(epoch, row) for row in rows]
            name = f"batch of {size}, {kind} claims"
            self.note(name, self.station.call(9, self.vault, "claimMany", epoch, items))
            self.batch_sizes[name] = size
            used += size
        return used

    def find_most(self, kind: str, epoch: int, crowd: Sequence[int]) -> int:
        """The largest batch within the gas of one transaction: one more item fails. Its size."""
        name = f"largest batch, {kind} claims"
        self.begin(name)
        small, large = (self.figures[f"batch of {size}, {kind} claims"][0] for size in (50, 100))
        size = 100 + (GAS_LIMIT - large) * 50 // (large - small) + 4
        items = [self.earnings.item(epoch, row) for row in crowd[:size]]
        assert len(items) == size, f"{len(crowd)} accounts are too few for a batch of {size}"
        while (sent := self._try_batch(epoch, items)).failed:
            items.pop()
        assert len(items) < size, f"a batch of {size} still fits; begin above it"
        self.note(name, sent)
        self.batch_sizes[name] = len(items)
        return len(items)

    def _try_batch(self, epoch: int, items: Sequence[Any]) -> Sent:
        return self.station.submit(9, self.vault.address, self.vault.encode_abi("claimMany", [epoch, items]))

    def revoke(self) -> None:
        self.begin("revoke", 3)
        epoch = self.extent.nights
        root = keccak(b"withdrawn")
        self.publish(epoch, root, name="root post that is revoked")
        self.note("revoke a root", self.station.call(4, self.vault, "revokeRoot", epoch, "wrong inputs"))
        self.publish(epoch, root, 1, name="root post after a revocation")

    # ------------------------------------------------ what is sold

    def subscribe(self) -> None:
        """Subscribers that approved once without limit."""
        self.begin("subscriptions", 4)
        for person in (6, 7):
            self._equip(person, self.subscriptions)
            for name in ("subscribe, first", "subscribe, renew"):
                total = 10 * UNITS_PER_CXPT
                self.note(name, self.station.call(person, self.subscriptions, "subscribe", 0, 1, total))

    def settle(self) -> None:
        """Fifty accounts that approved once without limit, each charged in full."""
        self.begin("escrow", 3 * ESCROW_ACCOUNTS)
        people = []
        for number in range(ESCROW_ACCOUNTS):
            people.append(len(self.station.signers))
            self.station.signers.append(LocalSigner(keccak(b"user %d" % number)))
            self.station.submit(0, self.station.address(people[-1]), "0x", value=10 * 10**18)
            self._equip(people[-1], self.escrow)
            for name in ("escrow deposit, first", "escrow deposit, later"):
                self.note(name, self.station.call(people[-1], self.escrow, "deposit", 10 * UNITS_PER_CXPT))
            sent = self.station.call(people[-1], self.escrow, "setDailyLimit", 5 * UNITS_PER_CXPT)
            self.note("set the daily limit, first", sent)
        addresses = [self.station.address(person) for person in people]
        amounts = [10**15 * (number + 1) for number in range(ESCROW_ACCOUNTS)]
        for name in ("first charge", "later the same day", "next day"):
            if name == "next day":
                self.station.network.advance(DAY)
            sent = self.station.call(8, self.escrow, "settle", keccak(name.encode()), addresses, amounts)
            self.note(f"settle 50 accounts, {name}", sent)
            self.batch_sizes[f"settle 50 accounts, {name}"] = ESCROW_ACCOUNTS

    def _equip(self, person: int, seller: Contract) -> None:
        self.station.call(0, self.token, "transfer", self.station.address(person), 1000 * UNITS_PER_CXPT)
        self.station.call(person, self.token, "approve", seller.address, 2**256 - 1)
