"""`python -m tests.gas`: what everything costs on chain, beside a Merkle distributor in Uniswap's manner.

Whole transactions on one chain in one run: the `gasUsed` of receipts, over 100,000 leaves whose accounts and amounts
follow from their numbers. Each competitor pays in a token of its own, so that one sampled account is new to all of them.
Gas is deterministic: every run gives the same figures, on either chain, and `contracts/gas.json` keeps them.

    python -m tests.gas                   prints the figures
    python -m tests.gas --write           writes contracts/gas.json and the tables of contracts/GAS.md
    python -m tests.gas --check           fails on any difference from contracts/gas.json, naming both figures
    python -m tests.gas --chain embedded  the EVM inside the process instead of anvil (slower)
    python -m tests.gas --json            the figures as JSON

The slot-by-slot account is read from traces of a second, small run on anvil, and adds up to `gasUsed`.
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from eth_account import Account
from hexbytes import HexBytes
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from web3 import Web3
from web3.contract import Contract

from rewards.chain.client import request
from rewards.chain.contracts import ARTIFACTS, load_artifact
from rewards.chain.sender import GAS_LIMIT
from rewards.chain.signers import LocalSigner
from rewards.chain.vault import publication_hash
from rewards.units import MAX_AMOUNT, PROVIDER, UNITS_PER_CXPT, USER, checksum, keccak
from tests.chain.conftest import find_anvil, make_anvil, make_embedded, start_anvil
from tests.chain.networks import HOUR, START, Network

CONTRACTS = ARTIFACTS.parent
TRACKED = CONTRACTS / "gas.json"
DOCUMENT = CONTRACTS / "GAS.md"
TEST_ARTIFACTS = CONTRACTS / "test" / "artifacts"
UNISWAP = CONTRACTS / "node_modules" / "@uniswap" / "merkle-distributor" / "build" / "MerkleDistributor.json"
ANVIL_OPTIONS = ("--hardfork", "prague")

ACCOUNTS, LEAVES, WORD = 90_000, 100_000, 256
SAMPLES = 40
NIGHTS = 30
BATCHES = (1, 10, 50, 50, 50, 50, 100)
ESCROW_ACCOUNTS = 50
CODE_LIMIT = 24_576
DAY, DELAY = 24 * HOUR, 12 * HOUR
ZERO = "0x" + "0" * 40
STYLE, PUBLISHED = "Uniswap's style, our writing", "Uniswap 1.0.1 as published"
FEE = 10**11
"""Wei per gas that every transaction offers; gas does not depend on it."""


# ---------------------------------------------------------------- leaves


class Row(NamedTuple):
    """What is paid every night to `account` from `pool`. Its number is the index in a distributor's bitmap."""

    account: bytes
    pool: int


class Tree:
    """A complete binary tree over sorted leaf hashes, pairs sorted: the shape of OpenZeppelin, in one loop."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        hashes = sorted(leaves)
        nodes = [b""] * (len(hashes) - 1) + hashes[::-1]
        for i in range(len(hashes) - 2, -1, -1):
            one, other = nodes[2 * i + 1], nodes[2 * i + 2]
            nodes[i] = keccak(one + other if one < other else other + one)
        self.root = nodes[0]
        self._nodes = nodes
        self._positions = {leaf: len(nodes) - 1 - rank for rank, leaf in enumerate(hashes)}

    def prove(self, leaf: bytes) -> list[bytes]:
        at, proof = self._positions[leaf], []
        while at > 0:
            proof.append(self._nodes[at + 1 if at % 2 else at - 1])
            at = (at - 1) // 2
        return proof


def hash_vault_leaf(row: Row, cumulative_amount: int) -> bytes:
    return keccak(keccak(row.pool.to_bytes(32) + bytes(12) + row.account + cumulative_amount.to_bytes(32)))


def hash_distributor_leaf(index: int, row: Row, amount: int) -> bytes:
    return keccak(index.to_bytes(32) + row.account + amount.to_bytes(32))


def list_rows() -> list[Row]:
    """100,000 rows of 90,000 accounts, by address; every ninth account is paid from both pools."""
    rows = []
    for number in range(ACCOUNTS):
        kind = number % 9
        pools = (PROVIDER, USER) if kind == 0 else (PROVIDER,) if kind < 5 else (USER,)
        rows += [Row(keccak(b"account %d" % number)[12:], pool) for pool in pools]
    return sorted(rows)


def list_amounts(night: int) -> list[int]:
    """What each row earns in a night: at most about one CXPT."""
    draw = Random(night)
    return [draw.getrandbits(60) + 1 for _ in range(LEAVES)]


@dataclass(frozen=True)
class Sample:
    """Numbers of the rows that claim. Sets are disjoint; those of single rows have a bitmap word each, in which the row's
    neighbour (its number xor 1) is free too. `both` are the two rows of one account."""

    nightly: Sequence[int]
    late: Sequence[int]
    older: Sequence[int]
    pending: Sequence[int]
    both: Sequence[tuple[int, int]]
    crowd: Sequence[int]

    @classmethod
    def choose(cls, rows: Sequence[Row]) -> "Sample":
        shared = {i for i in range(1, LEAVES) if rows[i].account == rows[i - 1].account}
        single = set(range(LEAVES)) - shared - {i - 1 for i in shared}
        by_hash = sorted(range(LEAVES // WORD), key=lambda word: keccak(b"word %d" % word))
        starts = (word * WORD + keccak(b"row %d" % word)[0] // 2 * 2 for word in by_hash)
        chosen = [i for i in starts if i in single and i + 1 in single]
        parts = [chosen[k * SAMPLES : (k + 1) * SAMPLES] for k in range(4)]
        taken = {i for part in parts for row in part for i in (row, row + 1)}
        crowd = sorted(single - taken, key=lambda i: keccak(b"crowd" + rows[i].account))
        pairs = sorted(shared, key=lambda i: keccak(b"pair" + rows[i].account))
        return cls(*parts, both=[(i - 1, i) for i in pairs[:SAMPLES]], crowd=crowd)


class Earnings:
    """All nights: what each row earned, as the Vault counts it (cumulative) and as a distributor does (of a night)."""

    def __init__(self) -> None:
        self.rows = list_rows()
        self.sample = Sample.choose(self.rows)
        self.totals = {PROVIDER: 0, USER: 0}
        self._sums = [0] * LEAVES
        self._epochs: dict[int, tuple[Tree, list[int]]] = {}

    def earn(self, night: int) -> bytes:
        """Adds a night; the root over what everyone has earned by then."""
        for i, amount in enumerate(list_amounts(night)):
            self._sums[i] += amount
            self.totals[self.rows[i].pool] += amount
        tree = Tree([hash_vault_leaf(row, amount) for row, amount in zip(self.rows, self._sums, strict=True)])
        self._epochs[night] = (tree, list(self._sums))
        # Nobody claims on a root older than the one before.
        self._epochs.pop(night - 2, None)
        return tree.root

    def item(self, epoch: int, index: int) -> tuple[int, str, int, list[bytes]]:
        """Pool, account, cumulative amount and proof: the arguments of a claim."""
        row = self.rows[index]
        tree, sums = self._epochs[epoch]
        return row.pool, to_address(row.account), sums[index], tree.prove(hash_vault_leaf(row, sums[index]))


class Night:
    """One night as a distributor's tree."""

    def __init__(self, rows: Sequence[Row], night: int) -> None:
        self._rows = rows
        self._amounts = list_amounts(night)
        leaves = zip(rows, self._amounts, strict=True)
        self._tree = Tree([hash_distributor_leaf(i, row, amount) for i, (row, amount) in enumerate(leaves)])
        self.root = self._tree.root
        self.total = sum(self._amounts)

    def item(self, index: int) -> tuple[int, str, int, list[bytes]]:
        """Index, account, amount and proof: the arguments of a distributor's claim."""
        row, amount = self._rows[index], self._amounts[index]
        proof = self._tree.prove(hash_distributor_leaf(index, row, amount))
        return index, to_address(row.account), amount, proof


def to_address(account: bytes) -> Any:
    return Web3.to_checksum_address(checksum("0x" + account.hex()))


# ---------------------------------------------------------------- transactions


@dataclass(frozen=True)
class Sent:
    gas: int
    transaction: bytes
    contract: Any
    failed: bool


class Station:
    """Sends and reads receipts. Nothing is estimated, and nonces are counted here: a run is thousands of transactions."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.web3 = network.chain.web3
        self.signers = list(network.signers)
        self._nonces: defaultdict[int, int] = defaultdict(int)

    def address(self, by: int) -> Any:
        return to_address(bytes.fromhex(self.signers[by].address[2:]))

    def submit(self, by: int, to: str | None, data: str, value: int = 0) -> Sent:
        """One mined transaction, whether it fails or not."""
        fields: dict[str, Any] = {"data": data, "value": value, "gas": GAS_LIMIT, "nonce": self._nonces[by]}
        fields |= {"maxFeePerGas": FEE, "maxPriorityFeePerGas": 1, "chainId": self.network.chain.chain_id}
        if to is not None:
            fields["to"] = to
        raw = self.signers[by].sign_transaction(fields)
        self._nonces[by] += 1
        hashed = HexBytes(keccak(raw))
        self.web3.eth.send_raw_transaction(HexBytes(raw))
        receipt = self.web3.eth.wait_for_transaction_receipt(hashed, timeout=60, poll_latency=0.001)
        return Sent(int(receipt["gasUsed"]), bytes(hashed), receipt["contractAddress"], receipt["status"] != 1)

    def call(self, by: int, contract: Contract, name: str, *arguments: Any, fails: bool = False) -> Sent:
        """A call that must succeed, or must fail."""
        sent = self.submit(by, contract.address, contract.encode_abi(name, list(arguments)))
        assert sent.failed is fails, f"{name}{arguments[:3]}: {'failed' if sent.failed else 'did not fail'}"
        return sent

    def deploy(self, abi: Any, bytecode: bytes, *arguments: Any) -> tuple[Contract, Sent]:
        factory = self.web3.eth.contract(abi=abi, bytecode=bytecode)
        sent = self.submit(0, None, str(factory.constructor(*arguments).data_in_transaction))
        assert not sent.failed, "a deployment failed"
        return self.web3.eth.contract(address=sent.contract, abi=abi), sent


Figures = dict[str, list[int]]
"""Gas of transactions by what they do, in the order of sending."""


@dataclass(frozen=True)
class Extent:
    """How much of the bench runs. Every figure of a smaller extent is a beginning of the same figure of a larger."""

    samples: int = SAMPLES
    nights: int = NIGHTS + 2
    batches: Sequence[int] = BATCHES
    whole: bool = True


SMALL = Extent(samples=3, nights=3, batches=BATCHES[:3], whole=False)
TRACED = Extent(samples=1, nights=2, batches=(), whole=False)


@dataclass(frozen=True)
class Competitor:
    """A distributor: its code, deployed anew for every night, and the token in which it pays."""

    name: str
    abi: Any
    bytecode: bytes
    token: Contract


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
        self.nightly, self.late, self.older, self.pending, self.both = (
            part[:k] for part in (sample.nightly, sample.late, sample.older, sample.pending, sample.both)
        )

    def run(self) -> None:
        """All that the extent covers."""
        self.deploy()
        self.pay_in()
        for epoch in range(self.extent.nights):
            self.run_epoch(epoch)
        if self.extent.samples > 1:
            self.revoke()
            self.subscribe()
            self.settle()
            self.run_competitors()
        self._progress.remove_task(self._task)

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
        self._deploy("TimelockController", 7 * DAY, [people[1]], [ZERO], ZERO)

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
            self._note_batch(f"batch of {size}, {kind} claims", size, self.vault, epoch, items)
            used += size
        return used

    def _note_batch(self, name: str, size: int, vault: Contract, epoch: int, items: Sequence[Any]) -> None:
        self.note(name, self.station.call(9, vault, "claimMany", epoch, items))
        self.batch_sizes[name] = size

    def find_most(self, kind: str, epoch: int, crowd: Sequence[int]) -> int:
        """The largest batch within the gas of one transaction: one more item fails. Its size."""
        name = f"largest batch, {kind} claims"
        self.begin(name)
        small, large = (self.figures[f"batch of {size}, {kind} claims"][0] for size in (50, 100))
        size = 100 + (GAS_LIMIT - large) * 50 // (large - small) + 4
        items = [self.earnings.item(epoch, row) for row in crowd[:size]]
        assert len(items) == size, f"{len(crowd)} accounts are too few for a batch of {size}"
        failures = 0
        while True:
            data = self.vault.encode_abi("claimMany", [epoch, items])
            sent = self.station.submit(9, self.vault.address, data)
            if not sent.failed:
                break
            failures += 1
            items.pop()
        assert failures, f"a batch of {size} still fits; begin above it"
        self.note(name, sent)
        self.batch_sizes[name] = len(items)
        return len(items)

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
            self.station.signers.append(LocalSigner(bytes(Account.from_key(keccak(b"user %d" % number)).key)))
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

    # ------------------------------------------------ competitors

    def run_competitors(self) -> None:
        """Another distributor every night; `nightly` claim on each, `late` on the first thirty."""
        competitors = [self._prepare(STYLE, *_read_style()), self._prepare(PUBLISHED, *_read_published())]
        nights = self.extent.nights if self.extent.whole else 2
        sums: dict[str, dict[int, int]] = {}
        for number in range(nights):
            night = Night(self.earnings.rows, number)
            for competitor in competitors:
                self.begin(f"night {number}, {competitor.name}")
                contract = self._deploy_night(competitor, night, number)
                late = self._claim_night(contract, night, self.late if number < NIGHTS else [])
                often = self._claim_night(contract, night, self.nightly)
                self._note_night(competitor.name, number, often)
                if number < 2:
                    kind = "new holder" if number == 0 else "old holder"
                    beside = self._claim_night(contract, night, [row ^ 1 for row in self.nightly])
                    self._extend(f"{competitor.name}: dirty word, {kind}", beside)
                _add(sums.setdefault(f"{competitor.name}: thirty nights, new holder", {}), late)
                if number >= 2:
                    _add(sums.setdefault(f"{competitor.name}: thirty nights, old holder", {}), often)
        if self.extent.whole:
            for name, by_row in sums.items():
                self._extend(name, by_row)

    def _prepare(self, name: str, abi: Any, bytecode: bytes) -> Competitor:
        token = load_artifact("CXPTToken")
        return Competitor(name, abi, bytecode, self.station.deploy(token.abi, token.bytecode)[0])

    def _deploy_night(self, competitor: Competitor, night: Night, number: int) -> Contract:
        token = competitor.token
        contract, sent = self.station.deploy(competitor.abi, competitor.bytecode, token.address, night.root)
        if number == 0:
            self.note(f"deploy {competitor.name}", sent)
            self.sizes[competitor.name] = len(self.station.web3.eth.get_code(contract.address))
        self.station.call(0, token, "transfer", contract.address, night.total)
        return contract

    def _claim_night(self, contract: Contract, night: Night, rows: Sequence[int]) -> dict[int, int]:
        return {row: self.station.call(9, contract, "claim", *night.item(row)).gas for row in rows}

    def _note_night(self, name: str, number: int, often: Mapping[int, int]) -> None:
        if number == 0:
            self._extend(f"{name}: new word, new holder", often)
        elif number == 1:
            self._extend(f"{name}: new word, old holder", often)

    def _extend(self, name: str, by_row: Mapping[int, int]) -> None:
        self.figures.setdefault(name, []).extend(by_row.values())


def _add(sums: dict[int, int], more: Mapping[int, int]) -> None:
    for row, gas in more.items():
        sums[row] = sums.get(row, 0) + gas


def _read_style() -> tuple[Any, bytes]:
    artifact = load_artifact("BitmapDistributor", TEST_ARTIFACTS)
    return artifact.abi, artifact.bytecode


def _read_published() -> tuple[Any, bytes]:
    build = json.loads(UNISWAP.read_text())
    return build["abi"], bytes.fromhex(build["bytecode"].removeprefix("0x"))


# ---------------------------------------------------------------- where the gas of one transaction goes


class Line(NamedTuple):
    """One line of an account: whose gas, for what, how much."""

    part: str
    what: str
    gas: int


@dataclass(frozen=True)
class Step:
    """One instruction: what it took itself, without what a call that it made took."""

    op: str
    contract: str
    gas: int
    stack: Sequence[int]


INTRINSIC, CALLDATA_TOKEN, FLOOR_TOKEN = 21_000, 4, 10
COLD = 2000
"""What the first touch of a slot adds to a read; to a write without a read before it, 2,100."""
ACCOUNTS_OF = ("first claim", "later claim", "claim with a wrong amount (reverts)", "root post, later")


def take_account(bench: Bench, name: str) -> list[Line]:
    """Every unit of gas of a transaction, by slot, event, call and contract; the lines add up to its gasUsed."""
    station = bench.station
    transaction = bench.transactions[name]
    sent: Any = station.web3.eth.get_transaction(HexBytes(transaction))
    receipt: Any = station.web3.eth.get_transaction_receipt(HexBytes(transaction))
    options = {"disableMemory": True, "disableStorage": True}
    trace: Any = request(station.network.chain, "debug_traceTransaction", ["0x" + transaction.hex(), options])
    steps = read_steps(trace["structLogs"], str(sent["to"]).lower())
    names = {bench.vault.address.lower(): "Vault", bench.token.address.lower(): "token"}
    slots = _name_all_slots(bench)

    data = bytes(sent["input"])
    zeros = data.count(0)
    tokens = zeros + 4 * (len(data) - zeros)
    lines = [
        Line("transaction", "every transaction", INTRINSIC),
        Line("transaction", f"calldata, {len(data):,} bytes of which {zeros} zero", CALLDATA_TOKEN * tokens),
    ]
    assert sent["gas"] - trace["structLogs"][0]["gas"] == sum(line.gas for line in lines), "intrinsic gas"
    lines += _account_storage([step for step in steps if step.op in ("SLOAD", "SSTORE")], names, slots)
    proof, rest = _split_proof(steps)
    if proof:
        pairs = sum(step.op == "KECCAK256" for step in proof)
        lines.append(Line("Vault", f"proof, {pairs} pairs sorted and hashed", sum(step.gas for step in proof)))
    lines += _account_code(rest, names, _name_events(bench))
    missing = int(receipt["gasUsed"]) - sum(line.gas for line in lines)
    if missing and int(receipt["gasUsed"]) == INTRINSIC + FLOOR_TOKEN * tokens:
        lines.append(Line("transaction", "rise to the least that calldata costs (EIP-7623)", missing))
    assert sum(line.gas for line in lines) == receipt["gasUsed"], f"{name}: the account does not add up"
    return lines


def read_steps(logs: Sequence[Any], contract: str) -> list[Step]:
    """The trace as steps, each with the gas that went before the next step of its own frame."""
    steps, frames = [], [contract]
    after: dict[int, int] = {}
    nexts = [0] * len(logs)
    inner: defaultdict[int, int] = defaultdict(int)
    # Backwards: the gas at the next step of the same frame, none where the frame ends.
    for i in range(len(logs) - 1, -1, -1):
        depth = logs[i]["depth"]
        nexts[i] = after.get(depth, -1)
        after[depth] = i
        after = {d: at for d, at in after.items() if d <= depth}
    for i, log in enumerate(logs):
        depth = log["depth"]
        del frames[depth:]
        if depth > len(frames):
            frames.append(f"0x{int(logs[i - 1]['stack'][-2], 16):040x}")
        end = nexts[i]
        took = log["gas"] - logs[end]["gas"] if end >= 0 else log["gasCost"]
        if end > i + 1:
            took -= sum(_took_alone(logs, nexts, k) for k in range(i + 1, end) if logs[k]["depth"] == depth + 1)
        stack = [int(word, 16) for word in (log["stack"] or [])[-7:]]
        steps.append(Step(log["op"], frames[-1], took, stack))
    return steps


def _took_alone(logs: Sequence[Any], nexts: Sequence[int], i: int) -> int:
    """Gas of one step with all that it called."""
    return int(logs[i]["gas"] - logs[nexts[i]]["gas"] if nexts[i] >= 0 else logs[i]["gasCost"])


def _account_storage(
    steps: Sequence[Step], names: Mapping[str, str], slots: Mapping[tuple[str, int], str]
) -> Iterator[Line]:
    by_slot: dict[tuple[str, int], list[Step]] = {}
    for step in steps:
        by_slot.setdefault((step.contract, step.stack[-1]), []).append(step)
    for (contract, slot), touches in by_slot.items():
        reads = [step.gas for step in touches if step.op == "SLOAD"]
        writes = [step.gas for step in touches if step.op == "SSTORE"]
        words = [f"cold read {gas:,}" for gas in reads if gas > 100]
        warm = reads.count(100)
        words += [f"{warm} warm read{'s' if warm > 1 else ''} of 100"] if warm else []
        words += [f"write {gas:,}" for gas in writes]
        what = f"slot `{slots[contract, slot]}`: {', '.join(words)}"
        yield Line(names[contract], what, sum(step.gas for step in touches))


def _split_proof(steps: Sequence[Step]) -> tuple[list[Step], list[Step]]:
    """The steps of the proof's loop, and all others. It begins after the leaf, the only hash of 32 bytes; the last hash
    before the next read of storage, if one follows, is that of the slot."""
    leaf = next((i for i, s in enumerate(steps) if s.op == "KECCAK256" and s.stack[-2] == 32), None)
    if leaf is None:
        return [], list(steps)
    read = next((i for i in range(leaf, len(steps)) if steps[i].op == "SLOAD"), None)
    hashes = [i for i in range(leaf + 1, read or len(steps)) if steps[i].op == "KECCAK256"]
    last = hashes[-2] if read else hashes[-1]
    return list(steps[leaf + 1 : last + 1]), [*steps[: leaf + 1], *steps[last + 1 :]]


def _account_code(steps: Sequence[Step], names: Mapping[str, str], events: Mapping[int, str]) -> Iterator[Line]:
    """Everything but storage and proof: hashes, events, calls, and what the rest of each contract's code takes."""
    sums: dict[tuple[str, str], list[int]] = {}
    for step in steps:
        if step.op in ("SLOAD", "SSTORE"):
            continue
        if step.op in ("TLOAD", "TSTORE"):
            what = "guard against reentrancy, transient"
        elif step.op == "KECCAK256":
            what = "other hashes"
        elif step.op.startswith("LOG"):
            what = f"event `{events[step.stack[-3]]}`: {step.op[3:]} topics, {step.stack[-2]} bytes"
        elif step.op in ("CALL", "STATICCALL"):
            what = f"call of the {names[f'0x{step.stack[-2]:040x}']}, cold"
            assert step.gas == 2600, "a call costs what a cold account does"
        else:
            what = "rest of the code"
        sums.setdefault((names[step.contract], what), []).append(step.gas)
    for (name, what), costs in sorted(sums.items(), key=lambda entry: (entry[0][0], entry[0][1] == "rest of the code")):
        count = f" ({len(costs)})" if what == "other hashes" else f" ({len(costs):,} steps)" if "rest" in what else ""
        yield Line(name, what + count, sum(costs))


def _name_all_slots(bench: Bench) -> dict[tuple[str, int], str]:
    row = bench.earnings.rows[bench.nightly[0]]
    publisher = bytes.fromhex(bench.station.signers[2].address[2:])
    vault = bytes.fromhex(bench.vault.address[2:])
    keys = {
        "_roots": {"epoch before": bytes(32), "epoch": (1).to_bytes(32)},
        "_claimed": {"account": bytes(12) + row.account},
        "_roles": {"publisher": bytes(12) + publisher},
        "_balances": {"Vault": bytes(12) + vault, "account": bytes(12) + row.account},
    }
    found = {}
    for contract, name in ((bench.vault, "CXPTVault"), (bench.token, "CXPTToken")):
        layout = json.loads((ARTIFACTS / f"{name}.json").read_text())["storageLayout"]
        for slot, text in name_slots(layout, keys):
            found[contract.address.lower(), slot] = text
    return found


def name_slots(layout: Mapping[str, Any], keys: Mapping[str, Mapping[str, bytes]]) -> Iterator[tuple[int, str]]:
    """Every slot of a compiler's storage layout by name; of a mapping, those of the keys given under its name."""
    for entry in layout["storage"]:
        place = int(entry["slot"])
        yield from _name_place(layout["types"], entry["type"], place, entry["label"], keys.get(entry["label"], {}))


def _name_place(
    types: Mapping[str, Any], kind: str, place: int, name: str, keys: Mapping[str, bytes]
) -> Iterator[tuple[int, str]]:
    described = types[kind]
    if described["encoding"] == "mapping":
        for key, word in keys.items():
            slot = int.from_bytes(keccak(word + place.to_bytes(32)))
            yield from _name_place(types, described["value"], slot, f"{name}[{key}]", {})
    elif "members" in described:
        by_slot: dict[int, list[Any]] = {}
        for member in described["members"]:
            by_slot.setdefault(int(member["slot"]), []).append(member)
        for offset, members in by_slot.items():
            if len(members) == 1:
                inner = f"{name}.{members[0]['label']}"
                yield from _name_place(types, members[0]["type"], place + offset, inner, {})
            else:
                yield place + offset, f"{name} {{{', '.join(m['label'] for m in members)}}}"
    else:
        yield place, name


def _name_events(bench: Bench) -> dict[int, str]:
    entries = [entry for contract in (bench.vault, bench.token) for entry in contract.abi if entry["type"] == "event"]
    signatures = ((e["name"], f"{e['name']}({','.join(i['type'] for i in e['inputs'])})") for e in entries)
    return {int.from_bytes(keccak(signature.encode())): name for name, signature in signatures}
