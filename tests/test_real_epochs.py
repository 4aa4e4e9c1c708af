"""Four real days: sealed without a chain, then bound to a Vault, published, attested and paid. Skipped where the data
is not there."""

import io
import itertools
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from rewards import gates
from rewards.bundles.store import Bundle
from rewards.chain.deploy import VaultSettings, deploy_token, deploy_vault
from rewards.chain.embedded import EmbeddedChain
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.vault import Vault
from rewards.epoch import Calendar
from rewards.jobs.attest import attest_epoch
from rewards.jobs.claims import find_claimables
from rewards.jobs.prepare import RunSettings
from rewards.jobs.publish import publish_epoch
from rewards.jobs.reconcile import reconcile
from rewards.jobs.run import run_epochs
from rewards.jobs.settings import POLICIES
from rewards.jobs.status import read_status
from rewards.jobs.verify import verify_epoch
from rewards.jobs.workspace import Workspace
from rewards.merkle import ClaimTree
from rewards.schemas import ALLOCATIONS, CLAIMABLES, PUBLISHED, QUARANTINE
from rewards.units import POOLS, PROVIDER
from tests.oracle.rows import EpochCount, count_rows

EPOCHS = range(4)
CALENDAR = Calendar.from_genesis(datetime(2026, 1, 7, tzinfo=UTC))
SALT = 20260107


def _settings(inputs: Path, vault: Vault | None = None, threads: int | None = None) -> RunSettings:
    return RunSettings(inputs, POLICIES, CALENDAR, vault, threads=threads)


def _published_bytes(data: Path) -> dict[str, bytes]:
    folder = data / "epochs"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def shuffled_inputs(real_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows in another order, the usage of one day split over two files."""
    folder = tmp_path_factory.mktemp("shuffled")
    for path in sorted(real_inputs.rglob("*.parquet")):
        target = folder / path.relative_to(real_inputs)
        target.parent.mkdir(parents=True, exist_ok=True)
        frame = pl.read_parquet(path).sample(fraction=1.0, shuffle=True, seed=SALT)
        if target.name == "2026-01-08.parquet":
            frame.head(1000).write_parquet(target.with_name("2026-01-08-part-2.parquet"))
            frame = frame.slice(1000)
        frame.write_parquet(target)
    return folder


@pytest.fixture(scope="module")
def sealed(real_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The four epochs, sealed without a chain."""
    workspace = Workspace(tmp_path_factory.mktemp("sealed"))
    outcomes = list(run_epochs(workspace, _settings(real_inputs), EPOCHS))
    assert [o.already_sealed for o in outcomes] == [False] * 4
    return workspace


@pytest.fixture(scope="module")
def counted(real_inputs: Path) -> dict[int, EpochCount]:
    return count_rows(real_inputs)


def _bundles(workspace: Workspace) -> Iterator[Bundle]:
    return (workspace.store.read(number) for number in EPOCHS)


@pytest.mark.parametrize("number", EPOCHS)
def test_every_row_is_counted_as_the_independent_count_says(
    sealed: Workspace, counted: dict[int, EpochCount], number: int
) -> None:
    """I17, by class and reason, and the exact fees."""
    bundle, expected = sealed.store.read(number), counted[number]
    counts = bundle.manifest.counts
    assert counts["quarantined"] == {k: v for k, v in expected.quarantined.items() if v}
    assert counts["not_earning"] == {k: v for k, v in expected.not_earning.items() if v}
    assert (counts["earning"], counts["repeated"], counts["late"]) == (
        expected.earning,
        expected.repeated,
        expected.late,
    )
    assert counts["rows"] == expected.counted
    assert int(counts["earning_fee_e8"]) == expected.earning_fee_e8
    reasons = dict(bundle.frame(QUARANTINE).group_by("reason").len().rows())
    assert reasons == counts["quarantined"]


def test_every_row_read_is_counted_in_one_epoch(real_inputs: Path, counted: dict[int, EpochCount]) -> None:
    rows = pl.scan_parquet(real_inputs / "usage_records" / "*.parquet").select(pl.len()).collect().item()
    assert sum(count.counted for count in counted.values()) == rows


def test_amounts_add_up_and_claimables_only_rise(sealed: Workspace) -> None:
    """I1, I2, I18, I19 on four epochs in a row."""
    before = CLAIMABLES.empty()
    for bundle in _bundles(sealed):
        allocations, claimables = bundle.frame(ALLOCATIONS), bundle.frame(CLAIMABLES)
        for pool in POOLS:
            books, rows = bundle.manifest.totals[pool], allocations.filter(pool=pool)
            assert sum(rows["share"].to_list()) == books.pool
            assert sum(rows["amount"].to_list()) == books.allocated <= books.pool
            assert (rows["amount"] <= rows["cap"]).all()
            assert books.deposited == books.claimables + books.held + books.carry_over
            assert books.claimables == sum(claimables.filter(pool=pool)["cumulative_amount"].to_list())
        assert gates.check_successor(before, claimables) == []
        before = claimables


@pytest.mark.parametrize("threads", [1, 8])
def test_bytes_do_not_depend_on_row_order_file_split_or_threads(
    sealed: Workspace, shuffled_inputs: Path, tmp_path: Path, threads: int
) -> None:
    """I4."""
    again = Workspace(tmp_path / "again")
    for _ in run_epochs(again, _settings(shuffled_inputs, threads=threads), EPOCHS):
        pass
    ours, theirs = _published_bytes(sealed.data), _published_bytes(again.data)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_no_float_is_published(sealed: Workspace) -> None:
    """I8: no float column, no float in JSON, money as DECIMAL(38,0) also in DuckDB's eyes."""
    for bundle in _bundles(sealed):
        for table in PUBLISHED:
            frame = pl.read_parquet(io.BytesIO(bundle.content(f"{table.name}.parquet")))
            assert not [c for c, t in frame.schema.items() if t.is_float()], table.name
        text = (bundle.folder / "manifest.json").read_text()
        json.loads(text, parse_float=lambda number: pytest.fail(f"a float in the manifest: {number}"))


def test_proofs_verify_and_forgeries_do_not(sealed: Workspace) -> None:
    """I5 and I6 on a sample of each epoch's leaves, read from the file."""
    for bundle in _bundles(sealed):
        for pool, account, amount in bundle.frame(CLAIMABLES).gather_every(997).rows():
            [leaf] = [c for c in find_claimables(sealed, account, bundle.manifest.epoch.number) if c.pool == pool]
            assert leaf.cumulative_amount == amount
            assert ClaimTree.verify(bundle.manifest.root, pool, account, int(amount), leaf.proof)
            assert not ClaimTree.verify(bundle.manifest.root, pool, account, int(amount) + 1, leaf.proof)
            assert not ClaimTree.verify(bundle.manifest.root, 3 - pool, account, int(amount), leaf.proof)
            assert not ClaimTree.verify(bundle.manifest.root, pool, account, int(amount), leaf.proof[:-1])


def test_openzeppelins_library_agrees_on_every_root_and_proof(
    sealed: Workspace, contracts: Path, tmp_path: Path
) -> None:
    """Each epoch's dump is loaded by the JavaScript library, which builds the same tree from the values and proves
    every leaf."""
    dumps, answers = tmp_path / "dumps", tmp_path / "answers"
    trees = [ClaimTree.build(bundle.frame(CLAIMABLES)) for bundle in _bundles(sealed)]
    dumps.write_text("".join(json.dumps(tree.dump()) + "\n" for tree in trees))
    with dumps.open() as asked, answers.open("w") as answered:
        oracle = Path(__file__).with_name("oracle_openzeppelin.mjs")
        subprocess.run(["node", str(oracle), str(contracts)], stdin=asked, stdout=answered, check=True)
    for bundle, tree, line in zip(_bundles(sealed), trees, answers.read_text().splitlines(), strict=True):
        answer = json.loads(line)
        assert answer["root"] == "0x" + bundle.manifest.root.hex()
        leaves = zip(answer["dump"]["values"], answer["proofs"], strict=True)
        for entry, proof in itertools.islice(leaves, 0, None, 97):
            pool, account, _ = entry["value"]
            assert ["0x" + node.hex() for node in tree.prove(int(pool), account)] == proof


def test_a_second_run_leaves_sealed_epochs_alone(sealed: Workspace, real_inputs: Path) -> None:
    before = _published_bytes(sealed.data)
    assert [o.already_sealed for o in run_epochs(sealed, _settings(real_inputs), EPOCHS)] == [True] * 4
    assert _published_bytes(sealed.data) == before


@pytest.mark.parametrize("number", EPOCHS)
def test_verify_agrees(sealed: Workspace, number: int) -> None:
    verdict = verify_epoch(sealed.data, number, sealed.store.read(number).manifest.digest)
    assert verdict.agrees, [c.problem for c in verdict.checks if c.problem]
    assert verdict.root == sealed.store.read(number).manifest.root
    assert not verify_epoch(sealed.data, number, "00" * 32).agrees


@dataclass(frozen=True)
class Night:
    """The network of the test: chain, Vault, its keys, the publisher's folder and the attester's."""

    embedded: EmbeddedChain
    vault: Vault
    published: Workspace
    attested: Workspace
    inputs: Path
    own_copy: Path

    def close(self, number: int) -> None:
        """Run, publish and attest one epoch, and pass the delay."""
        _, publisher, attester, _, _, _ = self.embedded.signers[:6]
        end = CALENDAR.epoch(number).end_us // 1_000_000
        if self.embedded.chain.head().timestamp < end + 2700:
            self.embedded.set_time(end + 2700)
        [outcome] = run_epochs(self.published, _settings(self.inputs, self.vault), [number])
        assert outcome.bundle.manifest.chain is not None
        assert publish_epoch(self.published, number, self.vault, publisher).receipt is not None
        assert publish_epoch(self.published, number, self.vault, publisher).receipt is None
        record = attest_epoch(self.attested, _settings(self.own_copy, self.vault), number, self.vault, attester).record
        assert record.attestations_missing == 0
        self.embedded.set_time(record.activates_at)


@pytest.fixture(scope="module")
def night(real_inputs: Path, shuffled_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A Vault deployed a day before genesis, with the real deposits at their times."""
    embedded = EmbeddedChain(CALENDAR.genesis_us // 1_000_000 - 86_400)
    deployer, publisher, attester, guardian, treasurer, admin = embedded.signers[:6]
    sender = Sender(embedded.chain, Patience(polls=5, pause_s=0, pause=lambda _: None))
    roles = VaultSettings(
        admin=admin.address,
        publishers=[publisher.address],
        attesters=[attester.address],
        guardians=[guardian.address],
        treasurers=[treasurer.address],
        activation_delay_s=3600,
    )
    vault = Vault(embedded.chain, deploy_vault(sender, deployer, deploy_token(sender, deployer), roles), sender)
    folders = [Workspace(tmp_path_factory.mktemp(name)) for name in ("published", "attested")]
    return Night(embedded, vault, *folders, real_inputs, shuffled_inputs)


def _deposit_until(night: Night, number: int) -> None:
    epoch = CALENDAR.epoch(number)
    table = pl.read_parquet(night.inputs / "deposits.parquet").sort("deposited_at")
    rows = table.filter(pl.col("deposited_at").is_between(epoch.start, epoch.end, closed="left"))
    for when, amount in rows.select("deposited_at", "amount").rows():
        night.embedded.set_time(int(when.timestamp()))
        night.vault.deposit_fees(int(amount), night.embedded.signers[0])


def test_four_epochs_are_published_attested_and_paid(night: Night, sealed: Workspace, real_inputs: Path) -> None:
    """A provider claims after the second epoch with the first one's proof and after the fourth with the fourth's."""
    caller = night.embedded.signers[5]
    paid: list[int] = []
    provider, first = "", 0
    for number in EPOCHS:
        _deposit_until(night, number)
        night.close(number)
        if number == 1:
            leaves = night.published.store.read(0).frame(CLAIMABLES).filter(pool=PROVIDER).sort("cumulative_amount")
            provider, first = leaves.row(-1)[1], int(leaves.row(-1)[2])
            paid.append(_claim(night, provider, 0, caller))
    paid.append(_claim(night, provider, 3, caller))
    fourth = (
        night.published.store.read(3).frame(CLAIMABLES).filter(pool=PROVIDER, account=provider)["cumulative_amount"][0]
    )
    assert paid == [first, int(fourth) - first]
    assert night.vault.balance_of(provider) == int(fourth) > first > 0
    assert _claim(night, provider, 3, caller) == 0
    assert _claim(night, provider, 1, caller) == 0

    # The same deposits at the same times give the same money as without a chain.
    for number in EPOCHS:
        ours, theirs = night.published.store.read(number).manifest, sealed.store.read(number).manifest
        assert (ours.root, ours.totals, ours.counts) == (theirs.root, theirs.totals, theirs.counts)
        assert ours.digest != theirs.digest
        assert verify_epoch(night.published.data, number).agrees
    assert _published_bytes(night.published.data) == _published_bytes(night.attested.data)
    assert reconcile(night.published, night.vault) == []
    assert [row.state for row in read_status(night.published, night.vault)] == ["active"] * 4


def _claim(night: Night, account: str, epoch: int, caller) -> int:  # type: ignore[no-untyped-def]
    [leaf] = [c for c in find_claimables(night.published, account, epoch) if c.pool == PROVIDER]
    before = night.vault.balance_of(account)
    night.vault.claim(epoch, PROVIDER, account, leaf.cumulative_amount, leaf.proof, caller)
    return night.vault.balance_of(account) - before
