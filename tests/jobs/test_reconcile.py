"""Reconciling a real Vault: read range by range, killed and restarted, lied to by its node, on a chain that changes."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from rewards.chain.client import request
from rewards.chain.deployment import write_deployment
from rewards.chain.intent import SignedIntent
from rewards.chain.sender import Intent
from rewards.chain.vault import Vault, _encode, publication_hash
from rewards.errors import ChainError, Finding, Severity, StorageError
from rewards.jobs import observe
from rewards.jobs.intents import LedgerIntents
from rewards.jobs.observe import observe_chain
from rewards.jobs.reconcile import reconcile
from rewards.jobs.workspace import Workspace
from rewards.ledger import observed as observed_chain
from rewards.ledger.intents import Intents
from rewards.ledger.observed import Observed, ObservedChain
from rewards.ledger.store import Ledger, SealedEpoch
from rewards.merkle import ClaimTree
from rewards.units import PROVIDER, USER, checksum
from tests.chain.conftest import make_anvil, make_embedded, start_anvil
from tests.chain.networks import START
from tests.jobs import small_vault
from tests.jobs.small_vault import CXPT, FIRST, FOREIGN_ROOT, SECOND, SmallVault, change_logs, with_answers


class Crash(BaseException):
    """Stands for a process that ends here; nothing catches it."""


@pytest.fixture(scope="module")
def lived() -> SmallVault:
    """A Vault with every kind of event, on a chain that nobody changes any more."""
    small = small_vault.deploy(make_embedded())
    small_vault.live_through(small)
    return small


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return small_vault.seal(tmp_path / "data")


def read_all(workspace: Workspace) -> Observed:
    observed = ObservedChain(workspace.ledger)
    cursor = observed.cursor()
    assert cursor is not None
    return observed.read(cursor)


def assert_same(found: Observed, expected: Observed) -> None:
    assert found.claims.equals(expected.claims)
    assert (found.root_events, found.counters) == (expected.root_events, expected.counters)


def critical(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.severity is Severity.CRITICAL]


def test_a_vault_that_agrees_has_one_warning_of_the_past(lived: SmallVault, workspace: Workspace) -> None:
    [past] = reconcile(workspace, lived.vault)
    assert past.severity is Severity.WARNING and past.observed == "0x" + FOREIGN_ROOT.hex()
    assert "nobody here sealed; it was revoked" in past.message
    assert workspace.ledger.findings() == {4: [past]}
    seen = read_all(workspace)
    assert seen.claims["amount"].to_list() == [60 * CXPT + 1, 4 * CXPT, 30 * CXPT, 10 * CXPT]
    assert seen.counters.claimed == {PROVIDER: 100 * CXPT + 1, USER: 4 * CXPT}
    actions = [event.action for event in seen.root_events]
    assert actions == ["publish", "attest", "publish", "revoke", "publish", "attest"]


@pytest.fixture(scope="module")
def whole(lived: SmallVault, tmp_path_factory: pytest.TempPathFactory) -> tuple[Observed, list[Finding]]:
    """What one range over everything gives."""
    workspace = small_vault.seal(tmp_path_factory.mktemp("whole") / "data")
    findings = reconcile(workspace, lived.vault)
    return read_all(workspace), findings


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_the_size_of_a_range_changes_nothing(
    lived: SmallVault, workspace: Workspace, whole: tuple[Observed, list[Finding]], size: int
) -> None:
    said: list[tuple[str, float]] = []
    findings = reconcile(workspace, lived.vault, size, on_range=lambda *told: said.append(told))
    assert_same(read_all(workspace), whole[0])
    assert findings == whole[1]
    blocks = lived.vault.final_block().number - lived.vault.deployment.deployed_block + 1
    assert len(said) == -(-blocks // size) and [share for _, share in said] == sorted({share for _, share in said})
    # A second time reads nothing, and says the same.
    assert reconcile(workspace, lived.vault, size, on_range=lambda *told: said.append(told)) == whole[1]
    assert len(said) == -(-blocks // size)


@pytest.mark.parametrize("moment", ["before", "in the middle", "after"])
@pytest.mark.parametrize("number", [1, 3])
def test_a_crash_loses_nothing_and_counts_nothing_twice(
    lived: SmallVault,
    workspace: Workspace,
    whole: tuple[Observed, list[Finding]],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    number: int,
) -> None:
    """The `number`-th range is stored: not yet begun, its rows written but not committed, or all of it."""
    _crash_while_storing(monkeypatch, moment, number, lambda: _raise(Crash()))
    with pytest.raises(Crash):
        reconcile(workspace, lived.vault, 7)
    monkeypatch.undo()
    cursor = ObservedChain(workspace.ledger).cursor()
    stored = number if moment == "after" else number - 1
    expected = lived.vault.deployment.deployed_block + 7 * stored - 1 if stored else None
    assert (cursor.block if cursor else None) == expected
    assert reconcile(workspace, lived.vault, 5) == whole[1]
    assert_same(read_all(workspace), whole[0])


def _raise(error: BaseException) -> None:
    raise error


def _crash_while_storing(monkeypatch: pytest.MonkeyPatch, moment: str, number: int, die: Any) -> None:
    """Dies at the `number`-th range."""
    store, insert, left = ObservedChain.store, observed_chain._insert, [number]

    def dying_store(self: ObservedChain, *arguments: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and moment == "before":
            die()
        cursor = store(self, *arguments)
        if left[0] == 0 and moment == "after":
            die()
        return cursor

    def dying_insert(connection: Any, table: str, *arguments: Any) -> None:
        insert(connection, table, *arguments)
        if left[0] == 0 and moment == "in the middle" and table == "observed_transfers":
            die()

    monkeypatch.setattr(ObservedChain, "store", dying_store)
    monkeypatch.setattr(observed_chain, "_insert", dying_insert)


# What the node does


def test_busy_between_ranges_goes_on_where_it_ended(
    lived: SmallVault, workspace: Workspace, whole: tuple[Observed, list[Finding]]
) -> None:
    asked = []

    def answer(method: str, params: Any, ask: Any) -> Any:
        if method == "eth_getLogs":
            asked.append(int(params[0]["fromBlock"], 16))
            if len(asked) in (3, 5):
                raise requests.HTTPError("429 Client Error: Too Many Requests")
        return ask(method, params)

    vault = with_answers(lived, answer)
    for _ in range(2):
        with pytest.raises(ChainError, match="does not answer"):
            reconcile(workspace, vault, 7)
    assert reconcile(workspace, vault, 7) == whole[1]
    assert_same(read_all(workspace), whole[0])
    assert asked[2] == asked[3] and asked[4] == asked[5] and len(set(asked)) == len(asked) - 2


@pytest.mark.parametrize("size", [7, 10_000])
@pytest.mark.parametrize("hidden", ["claim", "deposit", "publication", "revocation", "withdrawal"])
def test_a_node_that_hides_a_log_is_found(
    lived: SmallVault, workspace: Workspace, whole: tuple[Observed, list[Finding]], hidden: str, size: int
) -> None:
    event = {"claim": "Claimed", "deposit": "FeesDeposited", "publication": "RootPublished"}
    name = event | {"revocation": "RootRevoked", "withdrawal": "ProtocolWithdrawn"}
    topic = lived.vault._contract.events[name[hidden]]().topic

    def without_the_first(logs: list[dict[str, Any]], _: Any) -> list[dict[str, Any]]:
        found = next((log for log in logs if _hex(log["topics"][0]) == topic), None)
        return [log for log in logs if log is not found]

    with pytest.raises(ChainError, match=r"a faulty node hides events up to block \d+: .*do not add up"):
        reconcile(workspace, with_answers(lived, change_logs(without_the_first)), size)
    assert reconcile(workspace, lived.vault, size) == whole[1]
    assert_same(read_all(workspace), whole[0])


def _hex(value: Any) -> str:
    return str(value) if isinstance(value, str) else "0x" + bytes(value).hex()


def test_a_node_without_old_state_is_checked_at_the_end(
    lived: SmallVault, workspace: Workspace, whole: tuple[Observed, list[Finding]]
) -> None:
    final = lived.vault.final_block().number

    def answer(method: str, params: Any, ask: Any) -> Any:
        if method == "eth_call" and params[1] != "latest" and int(params[1], 16) < final:
            return {"jsonrpc": "2.0", "id": 0, "error": {"code": -32000, "message": "missing trie node"}}
        return ask(method, params)

    *others, note = reconcile(workspace, with_answers(lived, answer), 7)
    assert others == whole[1]
    assert note.severity is Severity.NOTE and "missing trie node" in note.observed
    claim = lived.vault._contract.events["Claimed"]().topic

    def and_hides(method: str, params: Any, ask: Any) -> Any:
        found = answer(method, params, ask)
        if method == "eth_getLogs":
            return {**found, "result": [log for log in found["result"] if _hex(log["topics"][0]) != claim]}
        return found

    other = small_vault.seal(workspace.data.parent / "other")
    with pytest.raises(ChainError, match=f"hides events up to block {final}.*--from-start"):
        reconcile(other, with_answers(lived, and_hides), 7)
    # What was stored before the check lacks the claims; the whole is read anew when a person says so.
    with pytest.raises(ChainError, match="--from-start"):
        reconcile(other, lived.vault, 7)
    assert reconcile(other, lived.vault, 7, from_start=True) == whole[1]
    assert_same(read_all(other), whole[0])


def test_the_final_block_must_stay(lived: SmallVault, workspace: Workspace) -> None:
    """Two nodes behind one address: one calls a block final that the other does not have."""
    final = lived.vault.final_block().number

    def answer(method: str, params: Any, ask: Any) -> Any:
        found = ask(method, params)
        if method == "eth_getBlockByNumber" and params[0] == "finalized":
            return {**found, "result": {**found["result"], "hash": "0x" + "66" * 32}}
        return found

    with pytest.raises(ChainError, match=f"block {final} was called final as 0x66"):
        reconcile(workspace, with_answers(lived, answer))
    assert ObservedChain(workspace.ledger).cursor() is None


def test_the_vault_itself_is_not_final_yet(lived: SmallVault, workspace: Workspace) -> None:
    def answer(method: str, params: Any, ask: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == "finalized":
            return ask(method, ["0x1", False])
        return ask(method, params)

    with pytest.raises(ChainError, match=r"the Vault's first, is not final yet \(final: 1\)"):
        reconcile(workspace, with_answers(lived, answer))


def test_a_node_whose_final_block_lags_reads_nothing_twice(
    lived: SmallVault, workspace: Workspace, whole: tuple[Observed, list[Finding]]
) -> None:
    reconcile(workspace, lived.vault)
    behind = lived.vault.final_block().number - 6

    def answer(method: str, params: Any, ask: Any) -> Any:
        return ask(method, [hex(behind), False] if params and params[0] == "finalized" else params)

    vault = with_answers(lived, answer)
    assert vault.final_block().number == behind
    assert reconcile(workspace, vault) == whole[1]
    assert_same(read_all(workspace), whole[0])


# Another chain, another Vault, another process


def _break(workspace: Workspace, vault: Vault) -> Finding:
    """The break is told with all else compared, stays until a person clears it, and then is gone."""
    [first, *rest] = reconcile(workspace, vault)
    assert first.severity is Severity.CRITICAL
    assert reconcile(workspace, vault) == [first, *rest]
    assert first in workspace.ledger.findings()[4]
    assert reconcile(workspace, vault, from_start=True) == rest
    return first


def test_another_vault_is_told(workspace: Workspace) -> None:
    one = small_vault.deploy(make_embedded())
    reconcile(workspace, one.vault)
    other = small_vault.deploy(one.network)
    [first, *rest] = reconcile(workspace, other.vault)
    assert first.severity is Severity.CRITICAL and "is of another Vault" in first.message
    assert other.vault.address in first.expected and one.vault.address in first.observed
    assert rest == [] and read_all(workspace).claims.is_empty()


@pytest.fixture
def anvil(contracts: Path) -> Iterator[SmallVault]:
    """A node of one's own whose blocks are final two behind the head."""
    with start_anvil(contracts, START) as url:
        small = small_vault.deploy(make_anvil(url))
        small_vault.live_through(small)
        yield small


def test_finality_that_broke_is_told_and_all_is_read_anew(anvil: SmallVault, workspace: Workspace) -> None:
    """A block that was final has another hash; then the chain ends before it."""
    expected = reconcile(workspace, anvil.vault, 7)
    before = read_all(workspace)
    request(anvil.network.chain, "anvil_reorg", [4, []])
    broken = _break(workspace, anvil.vault)
    assert "was final and is another one now" in broken.message and broken.expected != broken.observed
    assert_same(read_all(workspace), before)
    request(anvil.network.chain, "anvil_rollback", [4])
    [shorter, *rest] = reconcile(workspace, anvil.vault)
    assert "the chain ends before it" in shorter.message and rest == expected


def test_nothing_that_is_not_final_is_kept(anvil: SmallVault, workspace: Workspace) -> None:
    """A claim in the newest block: unknown, then lost in a reorganisation, then made again and final."""
    reconcile(workspace, anvil.vault)
    claims = read_all(workspace).claims
    chain = anvil.network.chain
    raw = _sign_claim(anvil)
    request(chain, "eth_sendRawTransaction", [raw])
    assert anvil.vault.claimed(USER, SECOND) == 9 * CXPT
    reconcile(workspace, anvil.vault)
    assert read_all(workspace).claims.equals(claims)
    request(chain, "anvil_rollback", [1])
    assert anvil.vault.claimed(USER, SECOND) == 4 * CXPT
    for _ in range(4):
        anvil.network.mine()
    assert critical(reconcile(workspace, anvil.vault)) == []
    assert read_all(workspace).claims.equals(claims)
    anvil.claim(4, (USER, SECOND))
    assert critical(reconcile(workspace, anvil.vault)) == []
    assert read_all(workspace).claims.height == claims.height + 1


def _sign_claim(small: SmallVault) -> str:
    proof = ClaimTree.build(small_vault.make_claimables(4)).prove(USER, SECOND)
    data = _encode("CXPTVault", "claim", [4, USER, checksum(SECOND), 9 * CXPT, proof])
    signed = small.vault.sender.sign(Intent("a claim", small.vault.address, data), small.network.signers[8])
    return "0x" + signed.raw.hex()


CHILD = """
import os, signal, sys
from pathlib import Path
import pytest
from rewards.chain.client import connect
from rewards.chain.deployment import read_deployment
from rewards.chain.vault import Vault
from rewards.jobs.reconcile import reconcile
from rewards.jobs.workspace import Workspace
from tests.jobs.test_reconcile import _crash_while_storing
url, record, data, moment, number = sys.argv[1:]
_crash_while_storing(pytest.MonkeyPatch(), moment, int(number), lambda: os.kill(os.getpid(), signal.SIGKILL))
reconcile(Workspace(Path(data)), Vault(connect(url, 31337), read_deployment(Path(record))), 7)
"""


def test_killed_at_every_moment_it_ends_the_same(contracts: Path, workspace: Workspace, tmp_path: Path) -> None:
    """SIGKILL in a process of its own, at each of three moments of one range after the other, on one ledger."""
    with start_anvil(contracts, START) as url:
        small = small_vault.deploy(make_anvil(url))
        small_vault.live_through(small)
        record = tmp_path / "record.json"
        write_deployment(small.vault.deployment, record)
        other = small_vault.seal(tmp_path / "other")
        expected = reconcile(other, small.vault)
        for moment in ("before", "in the middle", "after", "in the middle"):
            arguments = [url, str(record), str(workspace.data), moment, "1"]
            root = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
            child = subprocess.run(
                [sys.executable, "-c", CHILD, *arguments], env=os.environ | root, capture_output=True
            )
            assert child.returncode == -signal.SIGKILL, child.stderr.decode()
        assert ObservedChain(workspace.ledger).cursor() is not None
        assert reconcile(workspace, small.vault, 7) == expected
        assert_same(read_all(workspace), read_all(other))


def test_of_two_that_read_at_once_one_is_refused(
    lived: SmallVault, workspace: Workspace, whole: tuple[Observed, list[Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = observe.read_events

    def overtaken(vault: Vault, first: int, last: int) -> Any:
        monkeypatch.undo()
        observe_chain(ObservedChain(Ledger(workspace.data / "ledger.duckdb")), vault, 7, lambda *_: None)
        return read(vault, first, last)

    monkeypatch.setattr(observe, "read_events", overtaken)
    with pytest.raises(StorageError, match="another process reads the chain too"):
        reconcile(workspace, lived.vault, 7)
    assert reconcile(workspace, lived.vault, 7) == whole[1]
    assert_same(read_all(workspace), whole[0])


# What is compared


def test_a_root_that_nobody_here_published_is_critical(workspace: Workspace) -> None:
    """Pending on chain; here nothing was sealed of that epoch. Once it is revoked it is a warning."""
    small = small_vault.deploy(make_embedded())
    small.publish(3)
    small.activate(3)
    assert reconcile(workspace, small.vault) == []
    small.publish(4, root=FOREIGN_ROOT)
    workspace.ledger.withdraw(4, small_vault.NOW)
    shutil.rmtree(workspace.store.folder(4))
    [finding] = reconcile(workspace, small.vault)
    assert "epoch 4 has a root that nobody here published" in finding.message
    assert (finding.severity, finding.observed) == (Severity.CRITICAL, "0x" + FOREIGN_ROOT.hex())
    small.revoke(4)
    [past] = reconcile(workspace, small.vault)
    assert (past.severity, past.observed) == (Severity.WARNING, finding.observed)


def test_a_revoked_root_that_was_withdrawn_here_is_known(workspace: Workspace) -> None:
    small = small_vault.deploy(make_embedded())
    small.publish(3)
    small.revoke(3)
    for number in (4, 3):
        workspace._set_aside(number, small_vault.make_manifest(number).digest)
    workspace.ledger.withdraw(3, small_vault.NOW)
    assert reconcile(workspace, small.vault) == []


def test_a_retired_root_is_a_warning(workspace: Workspace) -> None:
    small = small_vault.deploy(make_embedded())
    small_vault.live_through(small)
    small.send("retireRoot", 1, 3)
    findings = reconcile(workspace, small.vault)
    assert {f.severity for f in findings} == {Severity.WARNING}
    assert any("epoch 3: the root was retired" in f.message for f in findings)


def test_a_claim_of_no_leaf_is_critical(lived: SmallVault, workspace: Workspace) -> None:
    """The bundle here has another leaf than the tree that was published."""
    bundle = workspace.store.read(4)
    frame = small_vault.make_claimables(4).filter(account=FIRST)
    small_vault.replace_claimables(bundle.folder, frame)
    manifest = workspace.store.read(4).manifest
    workspace.ledger.withdraw(4, small_vault.NOW)
    sealed = SealedEpoch(4, manifest.digest, manifest.previous, "0x" + manifest.root.hex())
    workspace.ledger.seal(sealed, small_vault.NOW)
    findings = critical(reconcile(workspace, lived.vault))
    assert any("claim of" in f.message and "not of a leaf" in f.message for f in findings)


def test_a_ledger_without_the_first_epochs_says_so(lived: SmallVault, tmp_path: Path) -> None:
    workspace = small_vault.seal(tmp_path / "late", numbers=(4,))
    findings = reconcile(workspace, lived.vault)
    assert critical(findings) == []
    assert any("epoch 3 was published before the first epoch sealed here (4)" in f.message for f in findings)


def test_nothing_sealed_makes_every_root_foreign(lived: SmallVault, tmp_path: Path) -> None:
    findings = critical(reconcile(Workspace(tmp_path / "empty"), lived.vault))
    assert sum("nobody here published" in f.message for f in findings) == 2


# What the ledger sealed decides, and a bundle that is gone or damaged hides nothing


def _messages(findings: list[Finding], severity: Severity = Severity.CRITICAL) -> list[str]:
    return [f.message for f in findings if f.severity is severity]


def test_a_folder_that_agrees_with_itself_and_not_with_the_ledger_is_told(workspace: Workspace) -> None:
    """Who can write the folder cannot make a foreign root look like one that was sealed here."""
    small = small_vault.deploy(make_embedded())
    small.publish(3)
    small.activate(3)
    folder = workspace.store.folder(4)
    forged = replace(small_vault.make_manifest(4), root=FOREIGN_ROOT)
    source = forged.to_bytes()
    (folder / "manifest.json").write_bytes(source)
    (folder / "manifest.sha256").write_text(f"{hashlib.sha256(source).hexdigest()}  manifest.json\n")
    small.publish(4, root=FOREIGN_ROOT, manifest_hash=forged.hash)
    told = _messages(reconcile(workspace, small.vault))
    assert "the bundle of epoch 4 is another than was sealed" in told
    assert {"epoch 4: root differs", "epoch 4: manifest hash differs"} <= set(told)


@pytest.mark.parametrize("number", [3, 4])
def test_a_folder_that_is_gone_is_told_as_what_it_is(lived: SmallVault, workspace: Workspace, number: int) -> None:
    """No theft, as the ledger still knows the root; nor is the first epoch here another one."""
    shutil.rmtree(workspace.store.folder(number))
    findings = reconcile(workspace, lived.vault)
    assert _messages(findings) == [f"the bundle of epoch {number} is missing"]
    assert not any("before the first epoch" in f.message for f in findings)


def test_a_rogue_root_stays_critical_without_the_first_folder(workspace: Workspace) -> None:
    small = small_vault.deploy(make_embedded())
    small.publish(3, root=FOREIGN_ROOT)
    shutil.rmtree(workspace.store.folder(3))
    told = _messages(reconcile(workspace, small.vault))
    assert "epoch 3: root differs" in told and "the bundle of epoch 3 is missing" in told


def test_damage_hides_no_rogue_root(workspace: Workspace) -> None:
    """An empty folder of a withdrawn result, a damaged file, a damaged manifest: each is told, and all is compared."""
    small = small_vault.deploy(make_embedded())
    small_vault.live_through(small)
    totals, publisher = (100 * CXPT + 1, 9 * CXPT), small.network.signers[2]
    small.vault.publish_root(5, FOREIGN_ROOT, *totals, b"\x01" * 32, small.vault.revocations(), publisher)
    rogue = "epoch 5 has a root that nobody here published"
    assert _messages(reconcile(workspace, small.vault)) == [rogue]
    (workspace.data / "epochs" / "1.revoked-00000000").mkdir()
    (workspace.store.folder(3) / "claimables.parquet").write_bytes(b"x")
    (workspace.store.folder(4) / "manifest.json").write_bytes(b"{}")
    findings = reconcile(workspace, small.vault)
    assert _messages(findings) == [
        rogue,
        "the bundle of epoch 4 is damaged",
        "the withdrawn bundle 1.revoked-00000000 is damaged",
        "the bundle of epoch 3 is damaged",
    ]
    assert all(f.observed for f in findings) and workspace.ledger.findings()[4]


def test_findings_are_in_one_place_and_go_with_their_cause(tmp_path: Path) -> None:
    workspace = small_vault.seal(tmp_path / "data", numbers=(3,))
    small = small_vault.deploy(make_embedded())
    small.publish(3)
    small.activate(3)
    small.publish(4, root=FOREIGN_ROOT)
    assert _messages(reconcile(workspace, small.vault)) == ["epoch 4 has a root that nobody here published"]
    assert list(workspace.ledger.findings()) == [3]
    small.revoke(4)
    small.publish(4)
    small_vault.seal(tmp_path / "data", numbers=(4,))
    [past] = reconcile(workspace, small.vault)
    assert past.severity is Severity.WARNING
    assert workspace.ledger.findings() == {4: [past]}


def test_a_break_is_told_before_a_person_can_clear_it(lived: SmallVault, workspace: Workspace) -> None:
    """The first reading after it fails: --from-start reads anew, tells the break, and only then may it be cleared."""
    reconcile(workspace, lived.vault)
    cursor = ObservedChain(workspace.ledger).cursor()
    assert cursor is not None
    claim = lived.vault._contract.events["Claimed"]().topic

    def answer(method: str, params: Any, ask: Any) -> Any:
        found = ask(method, params)
        if method == "eth_getBlockByNumber" and params[0] == hex(cursor.block):
            return {**found, "result": {**found["result"], "hash": "0x" + "66" * 32}}
        if method == "eth_getLogs":
            return {**found, "result": [log for log in found["result"] if _hex(log["topics"][0]) != claim]}
        return found

    with pytest.raises(ChainError):
        reconcile(workspace, with_answers(lived, answer))
    [broken, *rest] = reconcile(workspace, lived.vault, from_start=True)
    assert "was final and is another one now" in broken.message
    assert reconcile(workspace, lived.vault, from_start=True) == rest


def _keep(workspace: Workspace, small: SmallVault, action: str, outcome: str) -> None:
    """A publication or attestation of epoch 3 that was signed here, with what the ledger says became of it."""
    manifest, signed = small_vault.make_manifest(3), list[SignedIntent]()
    totals = manifest.total(PROVIDER), manifest.total(USER)
    publication = publication_hash(3, manifest.root, manifest.hash, *totals, 0)
    store = LedgerIntents(workspace, 3, action, manifest.digest, publication)

    def on_signed(one: SignedIntent) -> None:
        signed.append(one)
        store.keep(one)

    signers = small.network.signers
    if action == "publish":
        small.vault.publish_root(3, manifest.root, *totals, manifest.hash, 0, signers[2], on_signed)
    else:
        small.vault.attest_root(3, publication, signers[3], on_signed)
    final = small.vault.final_block().number
    Intents(workspace.ledger).settle({signed[-1].transaction.hex(): outcome}, final, small_vault.NOW)


def test_what_was_signed_for_another_vault_of_the_chain_is_not_compared(workspace: Workspace) -> None:
    one = small_vault.deploy(make_embedded())
    _keep(workspace, one, "publish", "succeeded")
    assert reconcile(workspace, one.vault) == []
    other = small_vault.deploy(one.network)
    assert ["is of another Vault" in message for message in _messages(reconcile(workspace, other.vault))] == [True]
    assert reconcile(workspace, other.vault, from_start=True) == []


def test_a_hidden_attestation_is_asked_of_the_vault(workspace: Workspace) -> None:
    small = small_vault.deploy(make_embedded())
    small.publish(3)
    _keep(workspace, small, "attest", "succeeded")
    topic = small.vault._contract.events["RootAttested"]().topic
    hides = change_logs(lambda logs, _: [log for log in logs if _hex(log["topics"][0]) != topic])
    for vault in (with_answers(small, hides), small.vault):  # the event stays out until all is read anew
        [finding] = reconcile(workspace, vault)
        assert finding.severity is Severity.WARNING and "an endpoint left its event out" in finding.message
    assert reconcile(workspace, small.vault, from_start=True) == []
