"""Corrections from the file to the claimables, over three nights: credited once, owed until withheld, refused otherwise.
After every night the books close (I18) and a stranger agrees (I15)."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import polars as pl
import pytest

from rewards.bundles.store import BundleStore
from rewards.chain.deploy import VaultSettings, deploy_token, deploy_vault
from rewards.chain.deployment import Deployment
from rewards.chain.embedded import EmbeddedChain
from rewards.chain.sender import Patience, Sender
from rewards.chain.vault import Vault
from rewards.corrections import FILE, MAX_BYTES, SignedCorrection, encode_records, list_records
from rewards.errors import ChainError, Disagreement, Finding, GateRefused, InputError, StorageError, UsageError
from rewards.jobs import chain
from rewards.jobs.attest import attest_epoch
from rewards.jobs.correct import CorrectionQueue, read_correction
from rewards.jobs.prepare import RunSettings
from rewards.jobs.replay import apply_replay, plan_replay
from rewards.jobs.run import run_epochs
from rewards.jobs.settings import Settings
from rewards.jobs.verify import verify_epoch
from rewards.jobs.workspace import Workspace
from rewards.manifest import Manifest
from rewards.ports import RootRecord, VaultReader
from rewards.schemas import ACCOUNTS, ALLOCATIONS, CLAIMABLES, CORRECTIONS, STATE
from rewards.sources.folder import InputFolder
from rewards.typed_data import Domain
from rewards.units import POOLS, PROVIDER, USER
from tests.bundles.forge import CALENDAR, edit_table, seal_sample, settings_for
from tests.jobs.test_publish import Net, _deploy
from tests.signed import CORRECTOR, STRANGER, copy_with_third_epoch, keep, sign, write_policies

EARNER = "fc132d0d-113d-417d-b0cb-c97d0fef7928"
"""Whose provider pool amounts are large and whose wallet nobody shares."""


@dataclass(frozen=True)
class Nights:
    """Inputs of three epochs, and a data folder to run them in."""

    inputs: Path
    settings: RunSettings
    workspace: Workspace

    def run(self, last: int, first: int = 0) -> list[Finding]:
        """Epochs up to `last`; the findings of the last one. The books close and `verify` agrees after each."""
        findings: list[Finding] = []
        for outcome in run_epochs(self.workspace, self.settings, range(first, last + 1)):
            manifest, findings = outcome.bundle.manifest, list(outcome.findings)
            for books in manifest.totals.values():
                assert books.deposited == books.claimables + books.held + books.carry_over
            verdict = verify_epoch(self.workspace.data, manifest.epoch.number)
            assert verdict.agrees, verdict.checks
        return findings

    def books(self, epoch: int, pool: int) -> tuple[int, int, int]:
        """Credited by corrections, withheld for debts, carried over."""
        books = self.workspace.store.read(epoch).manifest.totals[pool]
        return books.corrected, books.withheld, books.carry_over

    def debt(self, epoch: int) -> list[tuple[int, str, int]]:
        state = self.workspace.store.read(epoch).frame(STATE).filter(kind="debt")
        return [(pool, account, int(amount)) for pool, account, amount in state.select("pool", "id", "amount").rows()]

    def allocated(self, epoch: int, account: str) -> int:
        frame = self.workspace.store.read(epoch).frame(ALLOCATIONS)
        return int(frame.filter(pool=PROVIDER, account_id=account)["amount"].sum())

    def claimable(self, epoch: int, account: str, pool: int = PROVIDER) -> int:
        wallet = (
            self.workspace.store.read(epoch).frame(ACCOUNTS).filter(account_id=account)["wallet_address"][0].lower()
        )
        frame = self.workspace.store.read(epoch).frame(CLAIMABLES)
        return int(frame.filter(pool=pool, account=wallet)["cumulative_amount"].sum())

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.workspace.data / "rewards.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def three_days(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_with_third_epoch(repository / "data" / "sample", tmp_path_factory.mktemp("three") / "inputs")


@pytest.fixture
def nights(three_days: Path, tmp_path: Path) -> Nights:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for path in three_days.iterdir():
        (inputs / path.name).symlink_to(path)
    settings = replace(settings_for(inputs), policies=write_policies(tmp_path / "policies"))
    return Nights(inputs, settings, Workspace(tmp_path / "data"))


@pytest.fixture
def earner(nights: Nights) -> str:
    accounts = pl.read_parquet(nights.inputs / "accounts.parquet")
    alone = accounts.filter(pl.col("wallet_address").str.to_lowercase().is_unique(), kind="provider")
    assert EARNER in alone["account_id"].to_list()
    return EARNER


def test_a_debt_is_carried_withheld_and_cleared(nights: Nights, earner: str) -> None:
    """Owed: all of epoch 1 and a half of epoch 2. What is withheld goes back to the pool."""
    nights.run(1)
    first, second = nights.allocated(0, earner), nights.allocated(1, earner)
    owed = second + second // 2
    calm = nights.claimable(1, earner)
    assert calm == first + second

    again = Nights(nights.inputs, nights.settings, Workspace(nights.workspace.data.with_name("corrected")))
    keep(nights.inputs, sign(1, PROVIDER, earner, -owed, "paid twice"))
    again.run(2)
    assert again.debt(0) == []
    assert again.allocated(1, earner) == second  # the split does not change, only what is paid of it
    assert again.claimable(1, earner) == first
    assert again.debt(1) == [(PROVIDER, earner, owed - second)]
    assert again.books(1, PROVIDER)[:2] == (0, second)
    left = owed - second
    assert again.debt(2) == []
    assert again.books(2, PROVIDER)[:2] == (0, left)
    assert again.claimable(2, earner) == first + again.allocated(2, earner) - left
    assert [again.books(n, USER)[:2] for n in range(3)] == [(0, 0)] * 3
    assert again.ask("SELECT epoch, pool, account_id, amount FROM debts") == [(1, PROVIDER, earner, left)]
    assert again.ask("SELECT epoch, pool, account_id, amount, reason FROM corrections") == [
        (1, PROVIDER, earner, -owed, "paid twice")
    ]


def test_a_credit_is_paid_once_however_often_it_was_written(nights: Nights, earner: str) -> None:
    credit = sign(1, PROVIDER, earner, 10**12, "rows lost")
    line = encode_records([credit])[2:-3]
    (nights.inputs / FILE).write_bytes(b"[" + line + b"," + line + b"]")
    nights.run(2)
    before, then = nights.claimable(0, earner), nights.claimable(1, earner)
    assert then - before == nights.allocated(1, earner) + 10**12
    assert nights.claimable(2, earner) - then == nights.allocated(2, earner)
    assert [nights.books(n, PROVIDER)[0] for n in range(3)] == [0, 10**12, 0]
    assert list_records(nights.workspace.store.read(1).corrections()) == [credit]
    assert nights.workspace.store.read(2).corrections().height == 0


def test_the_pool_gives_what_it_has_and_no_unit_more(nights: Nights) -> None:
    nights.run(0)
    deposits = pl.read_parquet(nights.inputs / "deposits.parquet")
    new = deposits.filter(
        pl.col("deposited_at").is_between(CALENDAR.epoch(1).start, CALENDAR.epoch(1).end, closed="left")
    )
    free = nights.books(0, USER)[2] + int(new["user_amount"].sum())
    accounts = pl.read_parquet(nights.inputs / "accounts.parquet")
    earner = accounts.filter(pl.col("wallet_address").is_not_null(), kind="user")["account_id"][0]
    keep(nights.inputs, sign(1, USER, earner, free + 1))
    with pytest.raises(
        InputError, match=f"corrections credit {free + 1} base units of the user pool, which has {free}"
    ):
        nights.run(1, first=1)
    keep(nights.inputs, sign(1, USER, earner, free))
    nights.run(1, first=1)
    assert nights.books(1, USER) == (free, 0, 0)
    assert nights.workspace.store.read(1).manifest.totals[USER].allocated == 0


Refused = Callable[[str], list[SignedCorrection]]

REFUSED: dict[str, Refused] = {
    "signed by a stranger": lambda a: [sign(1, PROVIDER, a, 1, signer=STRANGER)],
    "signed for a Vault": lambda a: [sign(1, PROVIDER, a, 1, domain=Domain(1, STRANGER.address))],
    "entered in epoch 0, replayed": lambda a: [
        sign(0, PROVIDER, a, 1), sign(0, PROVIDER, a, 1).model_copy(update={"epoch": 1})
    ],
    "for an unknown account": lambda _: [sign(1, PROVIDER, "nobody", 1)],
    "from the pool that pays the others": lambda a: [sign(1, USER, a, -5, "paid twice")],
    "above the policy's limit": lambda a: [sign(1, PROVIDER, a, -1001 * 10**18)],
    "a bad one beside a good one": lambda a: [
        sign(1, PROVIDER, a, 1), sign(1, USER, a, 1).model_copy(update={"amount": "2"})
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_night_with_a_bad_correction_is_refused_and_sealed_once_it_is_gone(
    nights: Nights, earner: str, name: str
) -> None:
    records = REFUSED[name](earner)
    keep(nights.inputs, *records)
    nights.run(0)
    with pytest.raises(GateRefused, match="sealing epoch 1 refused by 1") as refused:
        nights.run(1, first=1)
    assert [f.gate for f in refused.value.findings] == ["correction"]
    assert [f.gate for f in nights.workspace.ledger.findings()[1] if f.refuses] == ["correction"]
    assert not nights.workspace.store.has(1)
    keep(nights.inputs, *records[:-1])
    nights.run(1, first=1)


def test_one_that_came_too_late_is_a_note_and_enters_nowhere(nights: Nights, earner: str) -> None:
    entered, late = sign(0, PROVIDER, earner, 5), sign(0, PROVIDER, earner, 7, "too late")
    keep(nights.inputs, entered)
    nights.run(0)
    keep(nights.inputs, entered, late, sign(9, PROVIDER, earner, 5, "not yet"))
    notes = [f for f in nights.run(1, first=1) if f.gate == "correction"]
    assert [(f.refuses, f.observed) for f in notes] == [(False, "0: too late")]
    assert nights.books(1, PROVIDER)[0] == 0
    keep(nights.inputs, entered, *(sign(0, PROVIDER, earner, 7, f"too late {n}") for n in range(9)))
    notes = [f for f in nights.run(2, first=2) if f.gate == "correction"]
    assert [f.observed for f in notes] == ["0: too late 0", "0: too late 1", "0: too late 2", "9"]


def test_a_night_is_refused_for_a_file_that_cannot_be_read(nights: Nights) -> None:
    path = nights.inputs / FILE
    for content, message in ((b"[{}]", "entry 1"), (b" " * (MAX_BYTES + 10), "limit is"), (b"", "the file")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"{FILE}.*{message}"):
            nights.run(0)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=rf"{FILE} cannot be read"):
        nights.run(0)


def test_an_epoch_without_the_file_has_the_bytes_of_one_with_an_empty_file(nights: Nights) -> None:
    nights.run(0)
    other = Nights(nights.inputs, nights.settings, Workspace(nights.workspace.data.with_name("other")))
    keep(nights.inputs)
    other.run(0)
    assert other.workspace.store.read(0).manifest.digest == nights.workspace.store.read(0).manifest.digest
    assert nights.workspace.store.read(0).content(FILE) == b"[]\n"


def test_the_shipped_policy_takes_nobody_s_corrections(repository: Path, tmp_path: Path) -> None:
    inputs = copy_with_third_epoch(repository / "data" / "sample", tmp_path / "inputs")
    account = pl.read_parquet(inputs / "accounts.parquet")["account_id"][0]
    keep(inputs, sign(0, PROVIDER, account, 1))
    with pytest.raises(GateRefused, match="whom the policy does not name"):
        seal_sample(tmp_path / "data", inputs, last=0)


# Bound to a Vault


@pytest.fixture(scope="module")
def vault(repository: Path) -> Vault:
    """A Vault with epoch 0's deposits, the epoch ended; it takes a limited amount a night."""
    embedded = EmbeddedChain(CALENDAR.genesis_us // 1_000_000 - 86_400)
    deployer, *others = embedded.signers
    names = [[signer.address] for signer in others[:5]]
    sender = Sender(embedded.chain, Patience(polls=3, pause_s=0, pause=lambda _: None))
    settings = VaultSettings(
        admin=names[0][0],
        publishers=names[1],
        attesters=names[2],
        guardians=names[3],
        treasurers=names[4],
        activation_delay_s=3600,
        max_provider_amount=10**15,
    )
    vault = Vault(embedded.chain, deploy_vault(sender, deployer, deploy_token(sender, deployer), settings), sender)
    table = pl.read_parquet(repository / "data" / "sample" / "deposits.parquet").sort("deposited_at")
    for when, amount in table.select("deposited_at", "amount").rows():
        if when < CALENDAR.epoch(0).end:
            embedded.set_time(int(when.timestamp()))
            vault.deposit_fees(int(amount), deployer)
    embedded.set_time(CALENDAR.epoch(0).end_us // 1_000_000 + 2700)
    return vault


def _bind(nights: Nights, vault: VaultReader) -> Nights:
    return Nights(nights.inputs, replace(nights.settings, vault=vault), nights.workspace)


def test_an_epoch_of_a_vault_takes_what_is_signed_for_it_alone(nights: Nights, earner: str, vault: Vault) -> None:
    domain, bound = Domain(vault.chain_id, vault.address), _bind(nights, vault)
    for other in (None, replace(domain, chain_id=domain.chain_id + 1), replace(domain, vault=STRANGER.address)):
        keep(nights.inputs, sign(0, PROVIDER, earner, 10**12, domain=other))
        with pytest.raises(GateRefused, match="is not signed by its signer"):
            bound.run(0)
    keep(nights.inputs, sign(0, PROVIDER, earner, 10**12, domain=domain))
    bound.run(0)
    assert bound.books(0, PROVIDER)[0] == 10**12
    # Allocations make room for it within the Vault's limit.
    manifest = bound.workspace.store.read(0).manifest
    assert manifest.totals[PROVIDER].pool == 10**15 - 10**12
    assert manifest.total(PROVIDER) <= 10**15


def test_more_credit_than_the_vault_takes_a_night_is_refused_before_sealing(
    nights: Nights, earner: str, vault: Vault
) -> None:
    domain = Domain(vault.chain_id, vault.address)
    keep(nights.inputs, sign(0, PROVIDER, earner, 10**15 + 1, domain=domain))
    with pytest.raises(GateRefused, match="more provider money than the Vault's limit"):
        _bind(nights, vault).run(0)
    assert not nights.workspace.store.has(0)


def test_an_account_that_lost_its_wallet_is_credited_in_its_held_amount(nights: Nights, earner: str) -> None:
    accounts = (nights.inputs / "accounts.parquet").resolve()
    (nights.inputs / "accounts.parquet").unlink()
    pl.read_parquet(accounts).write_parquet(nights.inputs / "accounts.parquet")
    gone = pl.when(pl.col("account_id") == earner).then(None).otherwise("wallet_address").alias("wallet_address")
    edit_table(nights.inputs / "accounts.parquet", lambda frame: frame.with_columns(gone))
    keep(nights.inputs, sign(0, PROVIDER, earner, 10**12))
    nights.run(0)
    held = nights.workspace.store.read(0).frame(STATE).filter(kind="held", pool=PROVIDER, id=earner)
    assert int(held["amount"].sum()) == nights.allocated(0, earner) + 10**12


def test_the_published_table_names_who_signed(nights: Nights, earner: str) -> None:
    record = sign(0, PROVIDER, earner, 5)
    keep(nights.inputs, record)
    nights.run(0)
    frame = nights.workspace.store.read(0).corrections()
    assert frame.columns == list(CORRECTIONS.columns)
    assert frame.select("signer", "signature").rows() == [(record.signer, record.signature)]
    assert nights.ask("SELECT signer FROM corrections") == [(record.signer,)]
    assert len(POOLS) == len(nights.ask("SELECT corrected FROM pools"))


def test_a_signer_of_transactions_alone_is_told_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere:
        address = STRANGER.address

    monkeypatch.setattr(chain, "open_signer", lambda *_: Elsewhere())
    with pytest.raises(UsageError, match="--typed-data"):
        chain.open_digest_signer(Settings(), "corrector")
    monkeypatch.setattr(chain, "open_signer", lambda *_: STRANGER)
    assert chain.open_digest_signer(Settings(), "corrector") is STRANGER


def test_a_credit_that_nobody_gets_is_told(nights: Nights) -> None:
    """Suspended and without a wallet: the pool has the money back at once."""
    path = nights.inputs / "accounts.parquet"
    accounts = pl.read_parquet(path)
    account = accounts.filter(kind="user")["account_id"][3]
    gone = [
        pl.when(pl.col("account_id") == account)
        .then(pl.lit(value))
        .otherwise(name)
        .cast(accounts.schema[name])
        .alias(name)
        for name, value in (("wallet_address", None), ("suspended_at", CALENDAR.epoch(0).start))
    ]
    path.unlink()
    accounts.with_columns(gone).write_parquet(path)
    keep(nights.inputs, sign(0, USER, account, 10**12, "hours lost"))
    notes = [f for f in nights.run(0) if f.gate == "correction"]
    assert [(account in f.message, f.observed, f.refuses) for f in notes] == [(True, str(10**12), False)]
    assert nights.workspace.store.read(0).manifest.totals[USER].returned == 10**12


# Where a correction stands


def _queue(nights: Nights, open_vault: Callable[[], Vault] | None = None, **changes: object) -> CorrectionQueue:
    known = {"data": nights.workspace.data, "inputs": nights.inputs, "policies": nights.settings.policies}
    return CorrectionQueue(Settings(**{**known, **changes}), open_vault)


def _stand(queue: CorrectionQueue) -> list[tuple[int, str]]:
    return [(one.record.epoch, one.state) for one in queue.list_all()]


def test_what_entered_an_epoch_whose_bundle_is_not_in_place_is_not_called_missed(
    nights: Nights, earner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between sealing and the rename, it would be signed again for the next epoch, and paid twice."""
    record = sign(1, PROVIDER, earner, 10**12, "rows lost")
    keep(nights.inputs, record)
    nights.run(0)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BundleStore, "place", die)
        with pytest.raises(KeyboardInterrupt):
            nights.run(1, first=1)
    assert _stand(_queue(nights)) == [(1, "unknown")]
    with pytest.raises(UsageError, match="may have entered epoch 1, which is sealed and whose bundle is not here"):
        _queue(nights).remove(record.identify(None))
    nights.run(1, first=1)
    assert _stand(_queue(nights)) == [(1, "entered")]
    assert nights.books(1, PROVIDER)[0] == 10**12
    nights.workspace.store.folder(1).rename(nights.inputs.with_name("archived"))
    assert _stand(_queue(nights)) == [(1, "unknown")]


def test_with_a_new_vault_over_the_same_inputs_it_is_not_known_what_entered(nights: Nights, earner: str) -> None:
    keep(nights.inputs, sign(3, PROVIDER, earner, 10**12, domain=Domain(1, STRANGER.address)))
    path = nights.inputs.with_name("deployment.json")
    path.write_text(
        Deployment(
            1, STRANGER.address, CORRECTOR.address, 1, bytes(32), first_epoch=10, admin=STRANGER.address
        ).to_json()
    )
    [one] = _queue(nights, data=nights.inputs.with_name("new"), deployment=path).list_all()
    assert one.state == "unknown" and "do not sign it again before you have looked" in str(one.problem)


def test_after_a_lost_ledger_no_epoch_with_a_bundle_takes_one(nights: Nights, earner: str) -> None:
    nights.run(1)
    (nights.workspace.data / "ledger.duckdb").unlink()
    assert _queue(nights).next_epoch() == 2
    with pytest.raises(UsageError, match="epoch 1 is sealed or before the first; give --epoch 2"):
        _queue(nights).add(read_correction(1, PROVIDER, earner, 5, "rows lost"), CORRECTOR)


def test_an_epoch_beyond_all_dates_or_policies_spoils_no_list(nights: Nights, earner: str) -> None:
    far = sign(10**8, PROVIDER, earner, 5, "a typo")
    keep(nights.inputs, sign(2, PROVIDER, earner, 5, "good"), far)
    listed = _queue(nights).list_all()
    assert [(one.record.epoch, one.state) for one in listed] == [(2, "waiting"), (10**8, "refused")]
    assert "after the year 9999" in str(listed[1].problem)
    assert _queue(nights).remove(far.identify(None)).state == "refused"
    assert _stand(_queue(nights)) == [(2, "waiting")]


def test_two_data_folders_over_one_folder_of_inputs_lose_nothing(
    nights: Nights, earner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = _queue(nights, data=nights.inputs.with_name("other"))
    write = CorrectionQueue._write

    def interrupted(queue: CorrectionQueue, records: Sequence[SignedCorrection]) -> None:
        monkeypatch.setattr(CorrectionQueue, "_write", write)
        with pytest.raises(StorageError, match="is held by process"):
            other.add(read_correction(5, PROVIDER, earner, 7, "second"), CORRECTOR)
        queue._write(records)

    monkeypatch.setattr(CorrectionQueue, "_write", interrupted)
    _queue(nights).add(read_correction(5, PROVIDER, earner, 6, "first"), CORRECTOR)
    other.add(read_correction(5, PROVIDER, earner, 7, "second"), CORRECTOR)
    assert [r.reason for r in InputFolder(nights.inputs).corrections()] == ["first", "second"]


def test_corrections_behind_a_link_are_read_and_never_written(nights: Nights, earner: str) -> None:
    record = sign(5, PROVIDER, earner, 6, "first")
    keep(nights.inputs, record)
    file, link = nights.inputs.with_name("shared.json"), nights.inputs / "corrections.json"
    link.rename(file)
    link.symlink_to(file)
    before, another = file.read_bytes(), read_correction(5, PROVIDER, earner, 7, "second")
    queue = _queue(nights)
    assert _stand(queue) == [(5, "waiting")]
    for write in (
        lambda: queue.add(another, CORRECTOR),
        lambda: queue.check(another),
        lambda: queue.remove(record.identify(None)),
    ):
        with pytest.raises(
            StorageError, match=r"corrections.json is a link to .*shared.json, which nothing here writes"
        ):
            write()
    assert link.is_symlink() and file.read_bytes() == before


def test_a_link_to_no_corrections_is_not_taken_for_none(nights: Nights) -> None:
    (nights.inputs / "corrections.json").symlink_to(nights.inputs.with_name("gone.json"))
    with pytest.raises(InputError, match=r"is a link to .*gone.json, which is not there; mend the link"):
        nights.run(0)
    assert not nights.workspace.store.has(0)


# Together with a Vault


@dataclass
class Bound:
    """A network whose inputs carry corrections."""

    net: Net
    settings: RunSettings
    domain: Domain
    deployment: Path

    def run(self, number: int) -> Manifest:
        [outcome] = run_epochs(self.net.workspace(), self.settings, [number])
        assert verify_epoch(self.net.workspace().data, number).agrees
        return outcome.bundle.manifest

    def attest(self, number: int) -> RootRecord:
        return attest_epoch(
            self.net.workspace("attester"), self.settings, number, self.net.vault, self.net.attester
        ).record

    def queue(self) -> CorrectionQueue:
        settings = Settings(
            data=self.net.workspace().data, inputs=self.settings.inputs, policies=self.settings.policies,
            deployment=self.deployment,
        )  # fmt: skip
        return CorrectionQueue(settings, lambda: self.net.vault)


def _bind_network(inputs: Path, folder: Path, limit: int = 10**27) -> Bound:
    net = _deploy(inputs, folder, limit=limit)
    (path := folder / "deployment.json").write_text(net.vault.deployment.to_json())
    settings = replace(settings_for(inputs, net.vault), policies=write_policies(folder / "policies"))
    return Bound(net, settings, Domain(net.vault.chain_id, net.vault.address), path)


@pytest.fixture
def bound(repository: Path, tmp_path: Path) -> Bound:
    shutil.copytree(repository / "data" / "sample", tmp_path / "inputs")
    return _bind_network(tmp_path / "inputs", tmp_path)


def test_a_wrong_correction_that_was_published_is_taken_back_with_its_revocation(bound: Bound) -> None:
    wrong = sign(0, PROVIDER, EARNER, 10**15, "a typo", bound.domain)
    keep(bound.settings.inputs, wrong)
    assert bound.run(0).totals[PROVIDER].corrected == 10**15
    bound.net.publish()
    right = read_correction(0, PROVIDER, EARNER, 10**12, "rows lost")
    with pytest.raises(UsageError, match="epoch 0 is sealed"):
        bound.queue().add(right, CORRECTOR)

    bound.net.revoke()
    removed = bound.queue().remove(wrong.identify(bound.domain))
    assert (removed.state, removed.record) == ("entered", wrong)
    with pytest.raises(UsageError, match="entered epoch 0 and is not in"):
        bound.queue().remove(wrong.identify(bound.domain))
    added = bound.queue().add(right, CORRECTOR)
    assert sorted(one.state for one in bound.queue().list_all()) == ["entered", "waiting"]
    assert bound.run(0).totals[PROVIDER].corrected == 10**12
    assert [(one.id, one.state) for one in bound.queue().list_all()] == [(added.id, "entered")]
    assert bound.net.publish().record.status == "pending"
    assert bound.attest(0).attestations_missing == 0


def test_one_that_was_computed_with_again_is_taken_back_all_the_same(bound: Bound) -> None:
    wrong = sign(0, PROVIDER, EARNER, 10**15, "a typo", bound.domain)
    keep(bound.settings.inputs, wrong)
    bound.run(0)
    bound.net.publish()
    bound.net.revoke()
    assert bound.run(0).totals[PROVIDER].corrected == 10**15
    bound.queue().remove(wrong.identify(bound.domain))
    assert bound.run(0).totals[PROVIDER].corrected == 0
    assert bound.net.publish().record.status == "pending"


def test_a_chain_that_does_not_answer_leaves_it_open_what_a_late_one_is(bound: Bound) -> None:
    bound.run(0)
    keep(bound.settings.inputs, sign(0, PROVIDER, EARNER, 5, "late", bound.domain))
    assert [one.state for one in bound.queue().list_all()] == ["missed"]

    def silent() -> Vault:
        raise ChainError("no answer")

    queue = CorrectionQueue(bound.queue().settings, silent)
    [one] = queue.list_all()
    assert one.state == "unknown" and "whether the Vault revoked epoch 0 is not known: no answer" in str(one.problem)


def test_attesters_agree_on_corrections_and_one_who_lacks_them_is_told_where_to_look(bound: Bound) -> None:
    record = sign(0, PROVIDER, EARNER, 10**12, "rows lost", bound.domain)
    keep(bound.settings.inputs, record)
    bound.run(0)
    bound.net.publish()
    keep(bound.settings.inputs)
    with pytest.raises(Disagreement, match=r"lack what the publisher's have, such as a record of corrections\.json"):
        bound.attest(0)
    keep(bound.settings.inputs, record)
    assert bound.attest(0).attestations_missing == 0
    held = bound.net.workspace("attester").store.read(0).corrections()
    assert list_records(held) == [record]


def test_held_money_and_corrections_of_a_night_stay_within_the_vault_s_limit(repository: Path, tmp_path: Path) -> None:
    """The account has its wallet from the second night on. What has no room is credited later."""
    inputs, limit = tmp_path / "inputs", 10**15
    shutil.copytree(repository / "data" / "sample", inputs)
    accounts = pl.read_parquet(inputs / "accounts.parquet")
    none = pl.when(pl.col("account_id") == EARNER).then(None).otherwise("wallet_address").alias("wallet_address")
    accounts.with_columns(none).write_parquet(inputs / "accounts.parquet")
    bound = _bind_network(inputs, tmp_path, limit)
    first = sign(0, PROVIDER, EARNER, limit * 9 // 10, "epoch -1 lost", bound.domain)
    keep(inputs, first)
    before = bound.run(0).totals[PROVIDER]
    bound.net.publish(0)
    bound.net.end_epoch_1(after=bound.attest(0).activates_at)
    accounts.write_parquet(inputs / "accounts.parquet")
    keep(inputs, first, sign(1, PROVIDER, EARNER, limit * 9 // 10, "epoch 0 lost", bound.domain))
    after = bound.run(1).totals[PROVIDER]
    assert after.claimables - before.claimables == limit
    assert after.held >= limit * 8 // 10
    assert bound.net.publish(1).record.status == "pending"
    assert bound.attest(1).attestations_missing == 0


def test_a_vault_s_epoch_is_replayed_once_its_root_is_active(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository / "data" / "sample", tmp_path / "inputs")
    late, table = "460bf2e5-9074-46d8-b765-d42b9b419837", tmp_path / "inputs" / "provisions.parquet"
    whole = pl.read_parquet(table)
    whole.filter(pl.col("provision_id") != late).write_parquet(table)
    bound = _bind_network(tmp_path / "inputs", tmp_path, limit=10**15)
    bound.run(0)
    for step, state in ((bound.net.publish, "not on the chain"), (lambda: bound.attest(0), "pending")):
        with pytest.raises(UsageError, match=f"epoch 0 is {state}.*; replay it once its root is active"):
            plan_replay(bound.queue(), 0, "registered late")
        step()
    with pytest.raises(UsageError, match="epoch 0 is pending"):
        plan_replay(bound.queue(), 0, "registered late")
    bound.net.embedded.set_time(CALENDAR.epoch(0).end_us // 1_000_000 + 86_400)

    whole.write_parquet(table)
    plan = plan_replay(bound.queue(), 0, "registered late")
    (provider,) = [one for one in plan.corrections if one.pool == PROVIDER]
    owner = whole.filter(provision_id=late)["provider_id"][0]
    lost = sum(one.change.difference for one in plan.changes if one.change.pool == PROVIDER)
    # Where the Vault's limit is the pool and no cap cuts, one's gain is what the others would have lost.
    pool = bound.net.workspace().store.read(0).manifest.totals[PROVIDER].pool
    assert (provider.account_id, pool, lost) == (owner, 10**15, 0)
    for one in apply_replay(bound.queue(), plan, CORRECTOR):
        assert one.record.recover(bound.domain) == CORRECTOR.address
        assert one.record.recover(None) != CORRECTOR.address
    assert plan_replay(bound.queue(), 0, "again").corrections == []


def test_a_revoked_epoch_is_not_replayed(bound: Bound) -> None:
    bound.run(0)
    bound.net.publish()
    bound.net.revoke()
    for enters in (0, 1):
        with pytest.raises(UsageError, match="epoch 0 is not on the chain"):
            plan_replay(bound.queue(), 0, "registered late", enters)
