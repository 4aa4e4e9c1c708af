"""The history beside the chain: one entry a publication, revoked or not; a fork of it stops the next one."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rewards.bundles import history as bundles_history
from rewards.bundles.disk import write_file
from rewards.bundles.history import HistoryStore
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.vault import Vault
from rewards.errors import ChainError, Disagreement, GateRefused, InputError, UsageError
from rewards.history import ENTRY_SIZE, History, name_origin, verify_consistency, verify_inclusion
from rewards.jobs import night, publish
from rewards.jobs.history import check_folder, extend_history, prove_publication, read_history
from rewards.jobs.night import publish_up_to
from rewards.units import PROVIDER, USER
from tests.chain.networks import Network
from tests.jobs import test_publish as publishing
from tests.jobs.small_vault import SmallVault, change_logs, with_answers
from tests.jobs.test_publish import Crash, Net

deployed, net = publishing.deployed, publishing.net


def read_files(data: Path) -> dict[str, bytes]:
    folder = data / "history"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def read_data(net: Net) -> Path:
    return net.workspace().data


def republish(net: Net) -> tuple[str, str]:
    """Publish, revoke, compute again from other inputs, publish; manifests of both."""
    old = net.publish().record.manifest_hash.hex()
    net.revoke()
    net.run([0], net.mend_inputs())
    return old, net.publish().record.manifest_hash.hex()


def seal_epoch_1(net: Net) -> None:
    """Epoch 0 is active, epoch 1 sealed, of the inputs that `republish` mended."""
    net.end_epoch_1(net.attest(net.folder / "mended").record.activates_at)
    net.run([1], net.folder / "mended")


def crash(*_: object) -> None:
    raise Crash


def as_bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def verify_stored(data: Path) -> None:
    """Every proof file against the checkpoints, by the rules of the RFC."""
    history = read_history(data)
    for size in range(1, len(history) + 1):
        told = json.loads((data / "history" / "proofs" / f"{size}.json").read_text())
        assert (data / "history" / "checkpoints" / str(size)).read_text() == told["checkpoint"]
        path, root = list(map(as_bytes, told["inclusion"])), as_bytes(told["root"])
        assert verify_inclusion(as_bytes(told["leaf"]), told["index"], size, path, root)
        if size > 1:
            since = told["consistency"]
            path, old = list(map(as_bytes, since["path"])), as_bytes(since["root"])
            assert history.checkpoint(size - 1).root == old
            assert verify_consistency(size - 1, size, path, old, root)


def test_every_publication_is_an_entry_the_revoked_one_too(net: Net) -> None:
    data = read_data(net)
    manifests = republish(net)
    two = read_files(data)
    seal_epoch_1(net)
    last = net.publish(1).record.manifest_hash.hex()
    history = read_history(data)
    assert history.origin == f"eip155:{net.vault.chain_id}:{net.vault.address}/publications"
    told = [(one.epoch, one.manifest_hash.hex(), one.revocations) for one in history.publications]
    assert told == [(0, manifests[0], 0), (0, manifests[1], 1), (1, last, 1)]
    assert len(set(manifests)) == 2
    for one in history.publications[1:]:
        record = net.vault.root_at(one.epoch)
        assert record is not None
        assert (one.root, one.provider_total, one.user_total) == (
            record.root,
            record.provider_total,
            record.user_total,
        )
    three = read_files(data)
    assert {name: three[name] for name in two if name != "log.bin"} == {n: c for n, c in two.items() if n != "log.bin"}
    assert three["log.bin"].startswith(two["log.bin"]) and len(three["log.bin"]) == 3 * ENTRY_SIZE
    verify_stored(data)
    assert check_folder(data) == []


def test_a_second_call_writes_nothing(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    net.publish()
    monkeypatch.setattr(bundles_history, "write_file", crash)
    net.publish()
    extend_history(net.workspace(), net.vault)
    assert read_history(read_data(net)).checkpoint().size == 1


def test_a_revocation_alone_adds_nothing(net: Net) -> None:
    net.publish()
    before = read_files(read_data(net))
    net.revoke()
    extend_history(net.workspace(), net.vault)
    assert read_files(read_data(net)) == before


def test_what_is_not_final_is_not_logged(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    block = net.vault.final_block()
    with monkeypatch.context() as patch:
        patch.setattr(Vault, "final_block", lambda _: block)
        net.publish()
        assert not (read_data(net) / "history").exists()
    extend_history(net.workspace(), net.vault)
    assert len(read_history(read_data(net))) == 1


@pytest.mark.parametrize("turn", range(5))
def test_a_kill_while_it_is_written_changes_nothing(net: Net, monkeypatch: pytest.MonkeyPatch, turn: int) -> None:
    """Both publications are missing: log, and proof and checkpoint of two sizes."""
    republish(net)
    data = read_data(net)
    whole, turns = read_files(data), iter(range(5))
    shutil.rmtree(data / "history")

    def stop(path: Path, content: bytes) -> None:
        if next(turns) == turn:
            raise Crash
        write_file(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(bundles_history, "write_file", stop)
        with pytest.raises(Crash):
            net.publish()
    assert net.publish().receipt is None
    assert read_files(data) == whole


@pytest.mark.parametrize("how", ["publish again", "the next night"])
def test_a_kill_between_the_final_block_and_the_history_is_made_good(
    net: Net, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(publish, "extend_history", crash)
        patch.setattr(night, "extend_history", crash)
        with pytest.raises(Crash):
            net.publish()
    assert not (read_data(net) / "history").exists()
    if how == "publish again":
        assert net.publish().receipt is None
    else:
        assert list(publish_up_to(net.workspace(), 0, net.vault, net.publisher)) == []
    assert len(read_history(read_data(net))) == 1 and net.sent(net.publisher) == 1


def test_a_lost_history_comes_back_with_the_same_bytes(net: Net) -> None:
    republish(net)
    data = read_data(net)
    whole = read_files(data)
    shutil.rmtree(data / "history")
    with pytest.raises(InputError, match="no history"):
        read_history(data)
    assert net.publish().receipt is None
    assert read_files(data) == whole and len(whole) == 5


def test_what_somebody_else_published_is_logged_too(net: Net) -> None:
    manifest = net.workspace().store.read(0).manifest
    totals = manifest.total(PROVIDER), manifest.total(USER)
    net.vault.publish_root(0, b"\x07" * 32, *totals, b"\x08" * 32, 0, net.publisher)
    net.revoke()
    net.publish()
    foreign, ours = read_history(read_data(net)).publications
    assert (foreign.root, foreign.manifest_hash, foreign.revocations) == (b"\x07" * 32, b"\x08" * 32, 0)
    assert (ours.manifest_hash, ours.revocations) == (manifest.hash, 1)


# The gate


def change_entry(folder: Path) -> None:
    log = bytearray((folder / "log.bin").read_bytes())
    log[40] ^= 1
    (folder / "log.bin").write_bytes(log)


def drop_entry(folder: Path) -> None:
    (folder / "log.bin").write_bytes((folder / "log.bin").read_bytes()[ENTRY_SIZE:])


def cut_log(folder: Path) -> None:
    (folder / "log.bin").write_bytes((folder / "log.bin").read_bytes()[:-7])


def swap_checkpoint(folder: Path) -> None:
    (folder / "checkpoints" / "2").write_bytes((folder / "checkpoints" / "1").read_bytes())


def empty_proof(folder: Path) -> None:
    (folder / "proofs" / "1.json").write_bytes(b"")


def fork_history(folder: Path) -> None:
    """A history that agrees with itself and has another publication."""
    history = read_history(folder.parent)
    first, *others = history.publications
    shutil.rmtree(folder)
    HistoryStore(folder.parent).extend(History(history.origin, [replace(first, root=b"\x09" * 32), *others]))


def move_to_another_chain(folder: Path) -> None:
    history = read_history(folder.parent)
    origin = name_origin(1, history.origin.split(":")[2].removesuffix("/publications"))  # type: ignore[arg-type]
    shutil.rmtree(folder)
    HistoryStore(folder.parent).extend(History(origin, history.publications))


def add_publication(folder: Path) -> None:
    """One that the chain never had."""
    history = read_history(folder.parent)
    one = replace(history.publications[-1], epoch=7)
    HistoryStore(folder.parent).extend(History(history.origin, [*history.publications, one]))


DAMAGES: list[Callable[[Path], None]] = [
    change_entry,
    drop_entry,
    cut_log,
    swap_checkpoint,
    empty_proof,
    fork_history,
    move_to_another_chain,
    add_publication,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_gate_history_sends_nothing(net: Net, damage: Callable[[Path], None]) -> None:
    republish(net)
    seal_epoch_1(net)
    data = read_data(net)
    whole, sent = read_files(data), net.sent(net.publisher)
    damage(data / "history")
    damaged = read_files(data)
    with pytest.raises(GateRefused, match="history") as refused:
        net.publish(1)
    assert {f.gate for f in refused.value.findings} == {"history"}
    assert all(f.expected != f.observed for f in refused.value.findings)
    assert "history" in {f.gate for f in net.workspace().ledger.findings()[1] if f.refuses}
    with pytest.raises(GateRefused, match="extending the history refused"):
        extend_history(net.workspace(), net.vault)
    assert net.sent(net.publisher) == sent and net.vault.root_at(1) is None
    assert read_files(data) == damaged != whole
    # What the runbook says: move it away; the chain gives it back.
    (data / "history").rename(data / "history.damaged")
    net.publish(1)
    assert {name: read_files(data)[name] for name in whole if name != "log.bin"} == {
        name: content for name, content in whole.items() if name != "log.bin"
    }


def test_a_chain_that_forgot_a_publication_stops_the_next(net: Net) -> None:
    """The node was set back below a block that was final: it is another chain now."""
    before = net.embedded.take_snapshot()
    net.publish()
    net.embedded.revert(before)
    with pytest.raises(GateRefused, match="fewer final publications") as refused:
        net.publish()
    assert [(f.expected, f.observed) for f in refused.value.findings] == [("1 or more", "0")]
    assert net.vault.root_at(0) is None


# Proofs for others


def test_the_newest_publication_of_an_epoch_is_proved(net: Net, tmp_path: Path) -> None:
    _, new = republish(net)
    data = read_data(net)
    kept = tmp_path / "kept"
    shutil.copyfile(data / "history" / "checkpoints" / "1", kept)
    told: dict[str, Any] = prove_publication(data, 0, since=kept)
    assert (told["index"], told["size"], told["publication"]["manifest"]) == (1, 2, new)
    assert told["consistency"]["since"] == 1
    with pytest.raises(UsageError, match="no publication of epoch 1 in the history; there: 0"):
        prove_publication(data, 1)
    swap_checkpoint(data / "history")
    with pytest.raises(Disagreement, match="is damaged"):
        prove_publication(data, 0)


@pytest.mark.parametrize("how", ["rewritten", "cut", "another Vault"])
def test_a_history_that_does_not_continue_what_was_kept_proves_nothing(net: Net, tmp_path: Path, how: str) -> None:
    """The folder agrees with itself; only what somebody kept tells."""
    republish(net)
    data, kept = read_data(net), tmp_path / "kept"
    shutil.copyfile(data / "history" / "checkpoints" / "2", kept)
    first, second = read_history(data).publications
    told, origin = {
        "rewritten": ([replace(first, root=b"\x07" * 32), second], read_history(data).origin),
        "cut": ([first], read_history(data).origin),
        "another Vault": ([first, second], name_origin(1, net.vault.address)),
    }[how]
    shutil.rmtree(data / "history")
    HistoryStore(data).extend(History(origin, told))
    assert check_folder(data) == []
    with pytest.raises(Disagreement, match="does not continue what was seen then"):
        prove_publication(data, 0, since=kept)


def test_what_is_no_checkpoint_is_told(net: Net, tmp_path: Path) -> None:
    net.publish()
    for name, content in (
        ("absent", None),
        ("a proof", b"{}"),
        ("size 0", b"x/publications\n0\n" + b"A" * 43 + b"=\n"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            prove_publication(read_data(net), 0, since=tmp_path / name)


# A node that tells other events


def _is_revocation(net: Net, log: dict[str, Any]) -> bool:
    topic = log["topics"][0]
    told = topic if isinstance(topic, str) else "0x" + bytes(topic).hex()
    return bool(told == net.vault._contract.events["RootRevoked"]().topic)


def see_through(net: Net, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Vault:
    """The Vault through a node that changes the logs it gives."""
    network = Network("the net's", net.embedded.chain, (), net.embedded.advance, net.embedded.mine)
    seen = with_answers(SmallVault(network, net.vault), change_logs(lambda logs, _: change(logs)))
    return Vault(seen.chain, seen.deployment, Sender(seen.chain, Patience(polls=3, pause_s=0, pause=lambda _: None)))


WRONG_LOGS: dict[str, tuple[Callable[[dict[str, Any]], list[dict[str, Any]]], str]] = {
    "twice": (lambda log: [log, log], "comes after log"),
    "of another event": (lambda log: [log | {"topics": ["0x" + "12" * 32]}], "is not an event of the Vault"),
    "without topics": (lambda log: [log | {"topics": []}], "is not an event of the Vault"),
    "removed": (lambda log: [log | {"removed": True}], "was removed by a reorganisation"),
    "beyond": (lambda log: [log | {"blockNumber": hex(10**6)}], "is not between the blocks"),
    "hidden": (lambda _: [], "hides or adds events"),
}


@pytest.mark.parametrize("how", WRONG_LOGS)
def test_a_node_that_tells_other_publications_adds_nothing(net: Net, how: str) -> None:
    net.publish()
    data = read_data(net)
    shutil.rmtree(data / "history")
    change, words = WRONG_LOGS[how]
    vault = see_through(net, lambda logs: [*logs[:-1], *change(logs[-1])] if logs else logs)
    with pytest.raises(ChainError, match=words) as told:
        extend_history(net.workspace(), vault)
    assert "\n" not in str(told.value) and not (data / "history").exists()
    extend_history(net.workspace(), net.vault)
    assert len(read_history(data)) == 1


def test_a_node_that_hides_a_revocation_does_not_poison_the_log(net: Net) -> None:
    net.publish()
    net.revoke()
    net.run([0], net.mend_inputs())
    vault = see_through(net, lambda logs: [log for log in logs if not _is_revocation(net, log)])
    with pytest.raises(ChainError, match="the Vault counts 0 after 1; use another endpoint"):
        publish.publish_epoch(net.workspace(), 0, vault, net.publisher)
    net.publish()
    assert [one.revocations for one in read_history(read_data(net)).publications] == [0, 1]
