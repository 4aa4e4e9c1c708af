"""correct add, replay, list, remove: what is kept, what is refused with which status, what is shown."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from rewards import corrections
from rewards.corrections import FILE, decode_records
from rewards.jobs.run import run_epochs
from rewards.jobs.workspace import Workspace
from rewards.ledger.lock import hold_lock
from rewards.typed_data import Domain
from tests.bundles.forge import settings_for
from tests.cli.conftest import Rewards, Said
from tests.signed import CORRECTOR, STRANGER, keep, sign, write_policies

KEY, OTHER_KEY = "07" * 32, "08" * 32


@pytest.fixture(scope="module")
def begun(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with inputs, a policy that names a corrector, and epoch 0 sealed under it."""
    folder = tmp_path_factory.mktemp("begun")
    shutil.copytree(sample, folder / "inputs")
    settings = replace(settings_for(folder / "inputs"), policies=write_policies(folder / "policies"))
    list(run_epochs(Workspace(folder / "data"), settings, [0]))
    return folder


@pytest.fixture
def network(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that is configured, with the corrector's key; its folder of inputs."""
    for name in ("inputs", "data", "policies"):
        shutil.copytree(begun / name, tmp_path / name)
        monkeypatch.setenv(f"REWARDS_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("REWARDS_CORRECTOR_KEY", KEY)
    return tmp_path / "inputs"


@pytest.fixture
def account(sample: Path) -> str:
    name: str = pl.read_parquet(sample / "accounts.parquet").filter(kind="provider")["account_id"][0]
    return name


def _add(rewards: Rewards, account: str, amount: object = "0.000001", *more: object, reason: str = "rows lost") -> Said:
    return rewards(
        "correct", "add", "--account", account, "--amount", amount, "--pool", "provider", "--reason", reason, *more
    )


def test_a_correction_waits_enters_and_stays_in_the_list(rewards: Rewards, network: Path, account: str) -> None:
    assert "no correction" in rewards("correct", "list").out
    added = _add(rewards, account, "-0.0000015", "--json")
    assert (added.status, added.err) == (0, "")
    known = added.document
    assert (known["epoch"], known["state"], known["amount"], known["amount_cxpt"]) == (
        1, "waiting", "-1500000000000", "-0.0000015",
    )  # fmt: skip
    assert known["signer"] == CORRECTOR.address
    assert rewards("correct", "list", "--json").document == {"corrections": [known]}
    assert sorted(p.name for p in network.iterdir() if "corrections" in p.name) == [f".{FILE}.lock", FILE]

    run = rewards("run", "--epochs", "1")
    assert run.status == 0, run.err
    assert "withheld for debts" in run.out
    assert rewards("correct", "list", "--json").document == {"corrections": [{**known, "state": "entered"}]}
    (network / FILE).unlink()
    assert rewards("correct", "list", "--json").document == {"corrections": [{**known, "state": "entered"}]}
    assert rewards("verify", 1).status == 0
    refused = rewards("correct", "remove", known["id"])
    assert (refused.status, "entered epoch 1" in refused.error) == (2, True)


def test_the_same_correction_twice_is_one(rewards: Rewards, network: Path, account: str) -> None:
    assert _add(rewards, account).status == _add(rewards, account).status == 0
    assert len(decode_records((network / FILE).read_bytes(), FILE)) == 1
    assert _add(rewards, account, "0.000002").status == 3  # another amount for the same reason
    assert _add(rewards, account, "0.000002", reason="rows lost, the rest").status == 0
    assert len(decode_records((network / FILE).read_bytes(), FILE)) == 2


def test_a_damaged_copy_is_shown_and_goes_when_it_is_signed_again(
    rewards: Rewards, network: Path, account: str
) -> None:
    good = sign(1, 1, account, 10**12, "rows lost")
    keep(network, good, good.model_copy(update={"signature": "0x" + "00" * 65}))
    listed = rewards("correct", "list", "--json").document["corrections"]
    assert sorted(one["state"] for one in listed) == ["refused", "waiting"]
    assert rewards("run", "--epochs", "1").status == 3
    assert _add(rewards, account).status == 0
    assert list(decode_records((network / FILE).read_bytes(), FILE)) == [good]
    keep(network, good, good.model_copy(update={"signature": "0x" + "00" * 65}))
    assert rewards("correct", "remove", listed[0]["id"]).status == 0
    assert (network / FILE).read_bytes() == b"[]\n"


def test_a_file_that_is_full_takes_no_more(
    rewards: Rewards, network: Path, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _add(rewards, account).status == 0
    before = (network / FILE).read_bytes()
    monkeypatch.setattr(corrections, "MAX_RECORDS", 1)
    said = _add(rewards, account, reason="another")
    assert (said.status, "the limit is 1" in said.error) == (5, True)
    assert (network / FILE).read_bytes() == before


MISUSED = {
    "an amount of 0": ({"amount": "0"}, 2, "amount"),
    "an amount that is none": ({"amount": "1e3"}, 2, "not an amount of CXPT: '1e3'"),
    "a sign twice": ({"amount": "--1"}, 2, "not an amount of CXPT: '-1'"),
    "19 places": ({"amount": "0.0000000000000000001"}, 2, "not an amount of CXPT"),
    "more than there is": ({"amount": "1000000000.1"}, 2, "the whole supply"),
    "above the policy's limit": ({"amount": "1000.1"}, 3, "refused by 1 finding"),
    "an unknown account": ({"account": "nobody"}, 3, "refused by 1 finding"),
    "no reason": ({"reason": ""}, 2, "reason"),
    "a formula": ({"reason": "=1+1"}, 2, "reason"),
    "a turned reason": ({"reason": "a\u202eb"}, 2, r"a\u202eb"),
    "a sealed epoch": ({"epoch": "0"}, 2, "epoch 0 is sealed"),
    "an epoch beyond all dates": ({"epoch": "999999999"}, 2, "after the year 9999"),
    "a pool that pays nobody": ({"pool": "protocol"}, 2, "protocol"),
    "half a signature": ({"signature": "0x12"}, 2, "is not 65 bytes"),
    "no signature": ({"signature": "0x" + "00" * 65}, 2, "is no signature"),
}


@pytest.mark.parametrize("name", MISUSED)
def test_what_no_night_would_take_is_not_kept(rewards: Rewards, network: Path, account: str, name: str) -> None:
    changed, status, message = MISUSED[name]
    options = {"account": account, "amount": "1", "pool": "provider", "reason": "rows lost", **changed}
    said = rewards("correct", "add", *(text for k, v in options.items() for text in (f"--{k}", v)))
    assert (said.status, said.out) == (status, "")
    assert message in said.error and said.error.isprintable()
    assert not (network / FILE).exists()


def test_keys_that_may_not_sign_or_are_missing(
    rewards: Rewards, network: Path, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REWARDS_CORRECTOR_KEY", OTHER_KEY)
    said = _add(rewards, account)
    assert said.status == 3
    assert "whom the policy does not name" in said.err and "docs/runbook.md#correction" in said.err
    monkeypatch.delenv("REWARDS_CORRECTOR_KEY")
    said = _add(rewards, account)
    assert (said.status, "REWARDS_CORRECTOR_KEYSTORE" in said.error) == (2, True)
    assert "KMS" not in said.error  # no setting of a corrector
    assert not (network / FILE).exists()


@pytest.mark.parametrize("name", [n for n in MISUSED if "signature" not in n])
def test_what_no_night_would_take_is_not_printed_to_be_signed(
    rewards: Rewards, network: Path, account: str, name: str
) -> None:
    changed, status, message = MISUSED[name]
    options = {"account": account, "amount": "1", "pool": "provider", "reason": "rows lost", **changed}
    said = rewards("correct", "add", "--typed-data", *(text for k, v in options.items() for text in (f"--{k}", v)))
    assert (said.status, said.out) == (status, "")
    assert message in said.error


def test_printing_and_adding_are_two_commands(rewards: Rewards, network: Path, account: str) -> None:
    said = _add(rewards, account, "1", "--typed-data", "--signature", "0x" + "00" * 65)
    assert (said.status, "--typed-data and --signature are given together" in said.error) == (2, True)


def test_what_entered_is_taken_out_of_the_inputs_alone(rewards: Rewards, network: Path, account: str) -> None:
    known = _add(rewards, account, "0.000001", "--json").document
    assert rewards("run", "--epochs", "1").status == 0
    said = rewards("correct", "remove", known["id"])
    assert said.status == 0
    assert "epoch 1 stays as it is sealed; only where the chain revoked it" in said.out
    assert rewards("correct", "list", "--json").document["corrections"][0]["state"] == "entered"
    assert (network / FILE).read_bytes() == b"[]\n"
    assert rewards("run", "--epochs", "1").status == 0


def test_a_wallet_signs_what_is_printed(rewards: Rewards, network: Path, account: str) -> None:
    printed = _add(rewards, account, "-2", "--epoch", 3, "--typed-data")
    assert not (network / FILE).exists()
    message = encode_typed_data(full_message=printed.document)
    signature = Account.from_key(bytes.fromhex(KEY)).sign_message(message).signature.hex()
    said = _add(rewards, account, "-2", "--epoch", 3, "--signature", "0x" + signature, "--json")
    assert (said.status, said.document["epoch"], said.document["signer"]) == (0, 3, CORRECTOR.address)
    # Given for another amount it is another's, whom nobody named.
    assert _add(rewards, account, "-3", "--epoch", 3, "--signature", "0x" + signature, reason="other").status == 3


def test_removed_by_the_beginning_of_its_id(rewards: Rewards, network: Path, account: str) -> None:
    ids = [_add(rewards, account, f"0.00{n}", "--json", reason=f"reason {n}").document["id"] for n in (1, 2)]
    for given, found in ((ids[0][:9], 1), ("0x", 2), ("0x" + "0" * 64, 0), ("", 2)):
        said = rewards("correct", "remove", given)
        assert (said.status, f"names {found} corrections" in said.error) == (2, True)
    said = rewards("correct", "remove", ids[0][:10].upper().replace("0X", "0x"))
    assert (said.status, ids[0] in said.out) == (0, True)
    assert [one["id"] for one in rewards("correct", "list", "--json").document["corrections"]] == ids[1:]
    assert rewards("correct", "remove", ids[1]).status == 0
    assert (network / FILE).read_bytes() == b"[]\n"


def test_the_list_says_what_is_refused_and_what_is_too_late(rewards: Rewards, network: Path, account: str) -> None:
    hostile = sign(1, 1, "evil\u202e\x1b[2J\naccount", 10**12, "rows lost")
    records = [
        sign(0, 1, account, 5, "too late"),
        hostile,
        sign(1, 1, account, 5, "by a stranger", signer=STRANGER),
        sign(1, 1, account, 5, "good"),
        sign(1, 1, account, 5, "for a Vault", Domain(1, CORRECTOR.address)),
    ]
    keep(network, *records)
    listed = rewards("correct", "list", "--json").document["corrections"]
    assert {one["reason"]: one["state"] for one in listed} == {
        "too late": "missed", "rows lost": "refused", "by a stranger": "refused", "for a Vault": "refused", "good": "waiting",
    }  # fmt: skip
    assert all(bool(one["problem"]) == (one["state"] != "waiting") for one in listed)
    table = rewards("correct", "list")
    assert table.status == 0
    assert all(line.isprintable() for line in table.out.splitlines())
    assert "sign it for epoch 1 or a later one" in table.out
    refused = rewards("run", "--epochs", "1")
    assert refused.status == 3
    assert all(line.isprintable() for line in refused.err.splitlines())
    for one in listed:
        if one["state"] != "waiting":
            assert rewards("correct", "remove", one["id"]).status == 0
    assert rewards("run", "--epochs", "1").status == 0


def test_all_of_an_epoch_are_refused_when_they_pass_its_limit(rewards: Rewards, network: Path, account: str) -> None:
    keep(network, *(sign(2, 1, account, 600 * 10**18, f"reason {n}") for n in (1, 2)))
    listed = rewards("correct", "list", "--json").document["corrections"]
    assert [(one["state"], "epoch_limit_cxpt" in one["problem"]) for one in listed] == [("refused", True)] * 2


def test_a_broken_file_is_named_with_its_entry(rewards: Rewards, network: Path, account: str) -> None:
    (network / FILE).write_text(json.dumps([{"amount": 1.5}]))
    for said in (rewards("correct", "list"), _add(rewards, account), rewards("run", "--epochs", "1")):
        assert said.status == 5
        assert f"{network / FILE}: entry 1" in said.error


def test_another_deployment_than_the_epochs_is_refused(
    rewards: Rewards, network: Path, account: str, tmp_path: Path
) -> None:
    record = {
        "chain_id": 1, "token": "0x" + "11" * 20, "vault": "0x" + "22" * 20, "deployed_block": 1,
        "block_hash": "0x" + "00" * 32, "first_epoch": 0, "admin": "0x" + "33" * 20,
    }  # fmt: skip
    (tmp_path / "1.json").write_text(json.dumps(record))
    said = _add(rewards, account, "1", "--deployment", tmp_path / "1.json")
    assert said.status == 2
    assert "epoch 0 here is bound to no chain" in said.error
    fresh = _add(
        rewards, account, "1", "--deployment", tmp_path / "1.json", "--data", tmp_path / "fresh", "--typed-data"
    )
    assert fresh.document["domain"] == {
        "name": "CXPT Rewards", "version": "1", "chainId": "1", "verifyingContract": record["vault"],
    }  # fmt: skip


def test_nothing_is_added_while_a_run_holds_the_folder(rewards: Rewards, network: Path, account: str) -> None:
    with hold_lock(network.parent / "data" / ".lock"):
        said = _add(rewards, account)
    assert said.status == 1
    assert not (network / FILE).exists()


def test_a_disk_that_refuses_leaves_the_file_as_it_was(
    rewards: Rewards, network: Path, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _add(rewards, account).status == 0
    before = (network / FILE).read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        said = _add(rewards, account, reason="another")
    assert (said.status, "No space left" in said.error) == (1, True)
    assert (network / FILE).read_bytes() == before
    assert [p.name for p in network.iterdir() if p.name.startswith(".")] == [f".{FILE}.lock"]


def test_the_key_is_never_shown(rewards: Rewards, network: Path, account: str) -> None:
    for said in (
        _add(rewards, account),
        rewards("correct", "list", "--json"),
        _add(rewards, "nobody", "1", "--traceback"),
    ):
        assert KEY not in said.out + said.err
    assert KEY not in (network / FILE).read_text()


# Replays

LATE = "460bf2e5-9074-46d8-b765-d42b9b419837"


@pytest.fixture(scope="module")
def unregistered(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Epoch 0 sealed while a provision with 20 rows was not registered; its inputs since mended."""
    folder = tmp_path_factory.mktemp("unregistered")
    shutil.copytree(sample, folder / "inputs")
    table = folder / "inputs" / "provisions.parquet"
    whole = pl.read_parquet(table)
    whole.filter(pl.col("provision_id") != LATE).write_parquet(table)
    settings = replace(settings_for(folder / "inputs"), policies=write_policies(folder / "policies"))
    list(run_epochs(Workspace(folder / "data"), settings, [0]))
    whole.write_parquet(table)
    return folder


@pytest.fixture
def mended(unregistered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("inputs", "data", "policies"):
        shutil.copytree(unregistered / name, tmp_path / name)
        monkeypatch.setenv(f"REWARDS_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("REWARDS_CORRECTOR_KEY", KEY)
    return tmp_path / "inputs"


def _replay(rewards: Rewards, *more: object, epoch: int = 0) -> Said:
    return rewards("correct", "replay", epoch, "--reason", "registered late", *more)


def test_a_replay_is_planned_applied_once_and_paid(
    rewards: Rewards, mended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REWARDS_CORRECTOR_KEY")
    shown = _replay(rewards)
    assert (shown.status, shown.err) == (0, "")
    assert "unknown_provision" in shown.out and "rows that count now: 19 earning, 1 not earning" in shown.out
    assert "not taken back" in shown.out and "add them: the same command with --apply" in shown.out
    assert not (mended / FILE).exists()
    missing = _replay(rewards, "--apply")
    assert (missing.status, "REWARDS_CORRECTOR_KEYSTORE" in missing.error) == (2, True)

    monkeypatch.setenv("REWARDS_CORRECTOR_KEY", KEY)
    plan, done = _replay(rewards, "--json").document, _replay(rewards, "--apply", "--json").document
    assert (plan["applied"], plan["corrections"], done["applied"]) == (False, [], True)
    assert {k: v for k, v in plan.items() if k not in ("applied", "corrections")} == {
        k: v for k, v in done.items() if k not in ("applied", "corrections")
    }
    gains = [one for one in plan["accounts"] if one["outcome"] == "to credit"]
    assert {one["outcome"] for one in plan["accounts"]} == {"to credit", "not taken back"}
    for one in plan["accounts"]:
        assert int(one["would_have"]) - int(one["had"]) == int(one["difference"])
        assert one["credit"] == (one["difference"] if one in gains else "0")
    signed = [(one["pool"], one["account_id"], one["amount"]) for one in done["corrections"]]
    assert sorted(signed) == sorted((one["pool"], one["account_id"], one["credit"]) for one in gains)
    assert {(one["epoch"], one["state"], one["reason"], one["signer"]) for one in done["corrections"]} == {
        (1, "waiting", "replay of epoch 0: registered late", CORRECTOR.address)
    }
    assert rewards("correct", "list", "--json").document["corrections"] == sorted(
        done["corrections"], key=lambda one: (one["pool"], one["account_id"])
    )

    again = _replay(rewards, "--apply")
    assert (again.status, "nothing to credit" in again.out, "credited before" in again.out) == (0, True, True)
    assert rewards("run", "--epochs", "1").status == 0
    assert rewards("verify", 1).status == 0
    assert "nothing to credit" in _replay(rewards, "--apply").out
    assert KEY not in shown.out + again.out + again.err


def test_a_replay_credits_the_largest_first_and_then_what_is_left(rewards: Rewards, mended: Path) -> None:
    whole = _replay(rewards, "--json").document["accounts"]
    due = sorted((int(one["credit"]) for one in whole if one["outcome"] == "to credit"), reverse=True)
    shown = _replay(rewards, "--most", 3)
    assert (shown.status, "3 corrections of" in shown.out) == (0, True)
    assert f"note: {len(due) - 3} more gain" in shown.out and "later" in shown.out
    first = _replay(rewards, "--most", 3, "--apply", "--json").document
    assert sorted((int(one["amount"]) for one in first["corrections"]), reverse=True) == due[:3]
    assert [one["outcome"] for one in first["accounts"]].count("later") == len(due) - 3
    rest = _replay(rewards, "--apply", "--json").document
    assert sorted((int(one["amount"]) for one in rest["corrections"]), reverse=True) == due[3:]
    assert [one["outcome"] for one in rest["accounts"]].count("credited before") == 3
    assert _replay(rewards, "--most", 0).status == 2


def test_a_replay_of_more_than_the_file_holds_is_shown_and_refused(
    rewards: Rewards, mended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "MAX_RECORDS", 10)
    for more in ((), ("--apply",)):
        said = _replay(rewards, *more)
        assert (said.status, "to credit" in said.out) == (3, True)
        assert "too many corrections; credit the largest first by --most" in said.err
        assert not (mended / FILE).exists()
    assert _replay(rewards, "--most", 10, "--apply").status == 0


def test_a_replay_of_an_epoch_where_nothing_was_mended_credits_nothing(rewards: Rewards, network: Path) -> None:
    for more in ((), ("--apply",)):
        said = _replay(rewards, *more)
        assert (said.status, said.err, "nothing to credit" in said.out) == (0, "", True)
    assert _replay(rewards, "--json").document["accounts"] == []
    assert not (network / FILE).exists()


def test_a_replay_that_cannot_be_is_told_in_one_line(rewards: Rewards, mended: Path) -> None:
    scores = mended.parent / "data" / "epochs" / "0" / "scores.parquet"
    for said, status, message in (
        (_replay(rewards, epoch=7), 2, "epoch 7 is not sealed here"),
        (_replay(rewards, "--epoch", 0), 2, "epoch 0 is sealed or before the first; give --epoch 1"),
        (rewards("correct", "replay", 0), 2, "--reason"),
        (rewards("correct", "replay", 0, "--reason", "a\u202eb"), 2, "reason"),
        (_replay(rewards, "--genesis", "2026-01-08"), 6, "give the --genesis that it was sealed with"),
    ):
        assert (said.status, said.out, message in said.error) == (status, "", True), said.err
        assert said.error.isprintable()
    scores.write_bytes(b"")
    said = _replay(rewards, "--json")
    assert (said.status, said.document["error"]["kind"]) == (6, "Disagreement")
    assert "scores.parquet has SHA-256" in said.error


def test_a_replay_above_the_limit_is_shown_and_refused(rewards: Rewards, mended: Path, account: str) -> None:
    keep(mended, sign(1, 1, account, 1000 * 10**18, "all that there is"))
    before = (mended / FILE).read_bytes()
    for more in ((), ("--apply",)):
        said = _replay(rewards, *more)
        assert (said.status, "to credit" in said.out) == (3, True)
        assert "epoch_limit_cxpt" in said.err and "docs/runbook.md#correction" in said.err
    told = _replay(rewards, "--apply", "--json").document
    assert (told["applied"], told["error"]["exit_code"], len(told["accounts"]) > 20) == (False, 3, True)
    assert (mended / FILE).read_bytes() == before
    assert _replay(rewards, "--apply", "--epoch", 2).status == 0


def test_a_replay_names_its_stages_and_needs_no_lock_to_plan(rewards: Rewards, mended: Path) -> None:
    with hold_lock(mended.parent / "data" / ".lock"):
        planned, applied = _replay(rewards, "--verbose"), _replay(rewards, "--apply")
    assert planned.status == 0
    stages = planned.err.splitlines()
    assert stages[0] == "read the sealed epoch" and stages[-1] == "score and allocate"
    assert "read epoch 1 again" in stages
    assert (applied.status, "is held by process" in applied.error) == (1, True)
    assert not (mended / FILE).exists()
