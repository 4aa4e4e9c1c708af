"""Verify: a changed byte of any published file is found, and so is a bundle that was doctored and sealed again
(I15)."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rewards.bundles.store import Bundle, BundleStore
from rewards.compute import compute_epoch
from rewards.corrections import encode_records, tabulate_records
from rewards.errors import Disagreement, InputError
from rewards.jobs.before_sending import check_bundle, check_sealed
from rewards.jobs.claims import find_claimables
from rewards.jobs.prepare import encode_files
from rewards.jobs.run import run_epochs
from rewards.jobs.verify import Verdict, verify_epoch
from rewards.jobs.workspace import Workspace
from rewards.manifest import FILES
from rewards.merkle import ClaimTree
from rewards.policy import parse_policy
from rewards.ports import EpochInputs, Previous
from rewards.schemas import (
    ALLOCATIONS,
    CLAIMABLES,
    DEPOSITS,
    MONEY,
    QUARANTINE,
    STATE,
)
from rewards.units import SUPPLY
from tests.bundles.forge import POLICIES, add_unit, encode_changed, reseal, seal_sample, settings_for
from tests.signed import sign


@pytest.fixture(scope="module")
def sealed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return seal_sample(tmp_path_factory.mktemp("verify"), repository / "data" / "sample")


@pytest.fixture
def copy(sealed: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(sealed.data, tmp_path / "copy")
    return Workspace(tmp_path / "copy")


def _problems(verdict: Verdict) -> list[str]:
    """Names of the checks that failed; each says why in one line."""
    assert all("\n" not in check.problem for check in verdict.checks if check.problem)
    return [check.name for check in verdict.checks if check.problem is not None]


def test_what_was_sealed_agrees(sealed: Workspace) -> None:
    for number in range(2):
        digest = sealed.store.read(number).manifest.digest
        stages: list[str] = []
        for given in (None, digest, "0x" + digest.upper()):
            verdict = verify_epoch(sealed.data, number, given, stages.append)
            assert verdict.agrees, _problems(verdict)
        assert (verdict.manifest, verdict.root) == (digest, sealed.store.read(number).manifest.root)
        assert stages[:3] == ["digests", "recompute", "compare"]


def test_no_bundle_is_an_input_error(sealed: Workspace) -> None:
    with pytest.raises(InputError, match="no bundle of epoch 2"):
        verify_epoch(sealed.data, 2)


@pytest.mark.parametrize("name", [*FILES, "manifest.json", "manifest.sha256"])
def test_one_changed_byte_is_found(copy: Workspace, name: str) -> None:
    path = copy.store.folder(1) / name
    whole = path.read_bytes()
    for position in sorted({0, len(whole) // 3, len(whole) // 2, len(whole) - 1}):
        damaged = bytearray(whole)
        damaged[position] ^= 0x01
        path.write_bytes(damaged)
        assert not verify_epoch(copy.data, 1).agrees, position
    path.write_bytes(whole)
    assert verify_epoch(copy.data, 1).agrees


def test_files_too_many_or_too_few_are_found(copy: Workspace) -> None:
    folder = copy.store.folder(1)
    (folder / "extra").write_text("")
    assert _problems(verify_epoch(copy.data, 1)) == ["digests of every file"]
    (folder / "extra").unlink()
    (folder / "tree.bin").unlink()
    assert _problems(verify_epoch(copy.data, 1)) == ["digests of every file"]


def test_the_epoch_before_must_be_the_one_that_is_named(copy: Workspace) -> None:
    before = copy.store.folder(0)
    path = before / "state.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    assert _problems(verify_epoch(copy.data, 1)) == ["previous epoch"]
    bundle = copy.store.read(0)
    shutil.copy(copy.store.folder(1) / "state.parquet", path)
    reseal(before, {"state.parquet": path.read_bytes()})
    assert "previous manifest" in _problems(verify_epoch(copy.data, 1))
    shutil.rmtree(before)
    assert _problems(verify_epoch(copy.data, 1)) == ["previous epoch"]
    assert bundle.manifest.digest == copy.store.read(1).manifest.previous


# Doctored, and every digest made right again

Forgery = Callable[[Bundle], None]


def _change(name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Forgery:
    return lambda bundle: reseal(bundle.folder, {f"{name}.parquet": encode_changed(bundle, name, change)})


def _edit(change: Callable[[dict[str, Any]], object]) -> Forgery:
    return lambda bundle: reseal(bundle.folder, {}, change)


def _move(column: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda frame: add_unit(add_unit(frame, column, 0, -1), column, 1)


def _raise_whole(bundle: Bundle) -> None:
    """A thorough thief: amount, claimable, tree, root and books of the provider pool, all one unit higher and
    consistent."""
    allocations = pl.read_parquet(io.BytesIO(bundle.content("allocations.parquet")))
    claimables = pl.read_parquet(io.BytesIO(bundle.content("claimables.parquet")))
    _seal_claimables(bundle, add_unit(allocations, "amount"), add_unit(claimables, "cumulative_amount"), 1)


def _move_whole(bundle: Bundle) -> None:
    """One unit from one wallet to another, the tree and the root made anew: no sum changes."""
    allocations = pl.read_parquet(io.BytesIO(bundle.content("allocations.parquet")))
    claimables = pl.read_parquet(io.BytesIO(bundle.content("claimables.parquet")))
    _seal_claimables(bundle, allocations, _move("cumulative_amount")(claimables), 0)


def _seal_claimables(bundle: Bundle, allocations: pl.DataFrame, claimables: pl.DataFrame, more: int) -> None:
    tree = ClaimTree.build(claimables)

    def change(manifest: dict[str, Any]) -> None:
        books = manifest["totals"]["provider"]
        for name, units in (("allocated", more), ("claimables", more), ("carry_over", -more)):
            books[name] = str(int(books[name]) + units)
        manifest["root"] = "0x" + tree.root.hex()

    files = {
        "allocations.parquet": encode_changed(bundle, "allocations", lambda _: allocations),
        "claimables.parquet": encode_changed(bundle, "claimables", lambda _: claimables),
        "tree.bin": tree.to_bytes(),
    }
    reseal(bundle.folder, files, change)


def _raise_caps(bundle: Bundle) -> None:
    source = bundle.content("policy.toml")
    assert b"provider_bp = 5500" in source
    reseal(bundle.folder, {"policy.toml": source.replace(b"provider_bp = 5500", b"provider_bp = 5600")})


def _drop_quarantined(manifest: dict[str, Any]) -> None:
    manifest["counts"]["quarantined"]["bad_type"] -= 1
    manifest["counts"]["rows"] -= 1


def _forget(manifest: dict[str, Any]) -> None:
    manifest["previous"] = None


def _set(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: Any) -> None:
        for step in path[:-1]:
            manifest = manifest[step]
        manifest[path[-1]] = to

    return change


def _late_deposit(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(deposited_at=pl.col("deposited_at") + pl.duration(days=1))


def _raise_fees(frame: pl.DataFrame) -> pl.DataFrame:
    return add_unit(frame, "fee_e8", frame["part"].to_list().index("provision"), 10**6)


def _count_more(manifest: dict[str, Any], name: str, rows: int) -> None:
    manifest["counts"][name] += rows
    manifest["counts"]["rows"] += rows


def _bind(manifest: dict[str, Any]) -> None:
    limits = {"provider": "1", "user": "1"}
    addresses = {"token": "0x" + "12" * 20, "vault": "0x" + "34" * 20}
    manifest["chain"] = {"chain_id": "1", "first_epoch": 0, "limits": limits, **addresses}
    manifest["reference_block"] = {"hash": "0x" + "00" * 32, "number": 1, "timestamp": 1}


def _correct(units: int, account: str = "a") -> Forgery:
    content = encode_records([sign(1, 1, account, units)])
    return lambda bundle: reseal(bundle.folder, {"corrections.json": content})


JUDGED = "policy and concentration, funded, quality, volume"
UNFOUND = {"gate": "quality", "reason": "none", "message": "too many rows", "expected": "1", "observed": "2"}

FOUND: dict[str, tuple[Forgery, str]] = {
    "an amount raised": (_change("allocations", lambda f: add_unit(f, "amount")), "allocations"),
    "a unit moved between accounts": (_change("allocations", _move("amount")), "allocations"),
    "a claimable raised": (_change("claimables", lambda f: add_unit(f, "cumulative_amount")), "claimables"),
    "a claimable moved": (_change("claimables", _move("cumulative_amount")), "claimables"),
    "raised throughout": (_raise_whole, "root"),
    "moved throughout": (_move_whole, "root"),
    "a score": (_change("scores", lambda f: add_unit(f, "score")), "scores"),
    "a provision's score": (_change("provision_scores", lambda f: add_unit(f, "base_points")), "provision_scores"),
    "a cap": (_change("allocations", lambda f: add_unit(f, "cap")), "allocations"),
    "a streak or held amount": (_change("state", lambda f: add_unit(f, "amount", -1)), "state"),
    "a fee of the roll-up": (_change("rollup", _raise_fees), "allocations"),
    "heartbeats": (_change("heartbeats_rollup", lambda f: f.with_columns(ok=pl.lit(0, pl.Int64))), "provision_scores"),
    "a wallet": (_change("accounts", lambda f: f.with_columns(wallet_address=pl.lit("0x" + "99" * 20))), "claimables"),
    "a provision's owner": (_change("provisions", lambda f: f.with_columns(provider_id=pl.lit("x"))), "scores"),
    "a deposit": (_change("deposits", lambda f: add_unit(f, "provider_amount", 0, 10**6)), "totals"),
    "a deposit from after the epoch": (_change("deposits", _late_deposit), "deposits"),
    "a quarantined row dropped": (_change("quarantine", lambda f: f.slice(1)), "row counts"),
    "earning rows": (_edit(lambda m: _count_more(m, "earning", 500)), "row counts"),
    "fees that were counted": (_edit(lambda m: m["counts"].update(earning_fee_e8="1")), "row counts"),
    "a policy of a later day": (_edit(_set("policy", to="2027-01-01")), JUDGED),
    "all rows late": (_edit(lambda m: m["counts"].update(late=m["counts"]["rows"])), JUDGED),
    "an override of what no gate finds": (_edit(_set("overrides", to=[UNFOUND])), JUDGED),
    "an override of arithmetic": (_edit(_set("overrides", to=[{**UNFOUND, "gate": "conserve"}])), JUDGED),
    "an override without a reason": (_edit(_set("overrides", to=[{**UNFOUND, "reason": ""}])), JUDGED),
    "an override of another form": (_edit(_set("overrides", to=[{"gate": "quality", "reason": "none"}])), JUDGED),
    "rows that do not add up": (_edit(lambda m: m["counts"].update(rows=m["counts"]["rows"] + 1)), "row counts"),
    "totals": (_edit(_set("totals", "user", "carry_over", to="1")), "totals"),
    "the root": (_edit(_set("root", to="0x" + "11" * 32)), "root"),
    "leaves": (_edit(_set("leaves", to=7)), "leaves"),
    "the ruleset": (_edit(_set("ruleset", "version", to="9.9.9")), "ruleset"),
    "the epoch's number": (_edit(_set("epoch", to=7)), "epoch number"),
    "the window": (_edit(_set("window", "start", to="2026-01-07T00:00:00Z")), "previous manifest"),
    "the chain": (_edit(_bind), "previous manifest"),
    "the epoch before forgotten": (_edit(_forget), "previous epoch"),
    "another epoch before": (_edit(_set("previous", to="ab" * 32)), "previous manifest"),
    "higher caps": (_raise_caps, "allocations"),
    "no policy": (lambda b: reseal(b.folder, {"policy.toml": b""}), "recomputation"),
    "no Parquet": (lambda b: reseal(b.folder, {"scores.parquet": b"PAR1"}), "recomputation"),
    "no inputs": (lambda b: reseal(b.folder, {"rollup.parquet": b""}), "recomputation"),
    "no tree": (lambda b: reseal(b.folder, {"tree.bin": b""}), "claim tree file"),
    "no corrections": (lambda b: reseal(b.folder, {"corrections.json": b"{}"}), "recomputation"),
    "a correction": (_correct(1), "totals"),
    "a correction beyond the pool": (_correct(SUPPLY), "recomputation"),
    "a table of another kind": (
        lambda b: reseal(b.folder, {"claimables.parquet": b.content("scores.parquet")}), "recomputation",
    ),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FOUND)
def test_a_doctored_and_resealed_bundle_is_found(sealed: Workspace, copy: Workspace, forgery: str) -> None:
    forge, check = FOUND[forgery]
    forge(copy.store.read(1))
    verdict = verify_epoch(copy.data, 1)
    assert check in _problems(verdict), _problems(verdict)
    # It has another hash than the one on the chain, and the ledger knows it before publishing.
    manifest = copy.store.read(1).manifest
    assert manifest.digest != sealed.store.read(1).manifest.digest
    assert [f.gate for f in check_sealed(copy, manifest)] == ["bundle"]


def _drop_row_and_count(bundle: Bundle) -> None:
    content = encode_changed(bundle, "quarantine", lambda f: f.filter(pl.col("reason") != "bad_type"))
    number = bundle.manifest.counts["quarantined"]["bad_type"]

    def change(manifest: dict[str, Any]) -> None:
        del manifest["counts"]["quarantined"]["bad_type"]
        manifest["counts"]["rows"] -= number

    reseal(bundle.folder, {"quarantine.parquet": content}, change)


HASH_ONLY: dict[str, Forgery] = {
    "a quarantined row and its count dropped": _drop_row_and_count,
    "the content of a quarantined row": _change("quarantine", lambda f: f.with_columns(model=pl.lit("m"))),
    "late rows": _edit(lambda m: m["counts"].update(late=0)),
    "rows that did not earn": _edit(lambda m: _count_more(m, "repeated", 1)),
    "the day of the policy": _edit(_set("policy", to="2025-06-15")),
    "a comment in the policy": lambda b: reseal(b.folder, {"policy.toml": b.content("policy.toml") + b"# x\n"}),
    "the country of a provision": _change("provisions", lambda f: f.with_columns(country=pl.lit("XX"))),
    "a payer": _change("deposits", lambda f: f.with_columns(payer=pl.lit("0x" + "77" * 20))),
}
"""No number that is paid depends on these: only the digest that is committed on chain pins them."""


@pytest.mark.parametrize("forgery", HASH_ONLY)
def test_what_no_recomputation_can_see_the_manifest_hash_finds(
    sealed: Workspace, copy: Workspace, forgery: str
) -> None:
    HASH_ONLY[forgery](copy.store.read(1))
    assert verify_epoch(copy.data, 1).agrees
    honest = sealed.store.read(1).manifest.digest
    assert _problems(verify_epoch(copy.data, 1, honest)) == ["manifest hash"]
    assert check_sealed(copy, copy.store.read(1).manifest) != []


def test_a_whole_recomputation_under_another_policy_is_pinned_by_the_hash(
    sealed: Workspace, repository: Path, tmp_path: Path
) -> None:
    """A thief who runs the pipeline with higher caps makes a bundle that agrees with itself, under another hash."""
    policies = tmp_path / "policies"
    policies.mkdir()
    source = (POLICIES / "2025-06-14.toml").read_bytes()
    (policies / "2025-06-14.toml").write_bytes(source.replace(b"provider_bp = 5500", b"provider_bp = 5600"))
    settings = replace(settings_for(repository / "data" / "sample"), policies=policies)
    list(run_epochs(Workspace(tmp_path / "data"), settings, [0]))
    assert verify_epoch(tmp_path / "data", 0).agrees
    honest = sealed.store.read(0).manifest.digest
    assert _problems(verify_epoch(tmp_path / "data", 0, honest)) == ["manifest hash"]


# What the gate before sending and the claim page make of the same damage


@pytest.mark.parametrize("name", FILES)
def test_gate_bundle_refuses_a_changed_byte(copy: Workspace, name: str) -> None:
    bundle = copy.store.read(1)
    assert check_bundle(bundle) == [] == check_sealed(copy, bundle.manifest)
    path = bundle.folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    [finding] = check_bundle(bundle)
    assert finding.gate == "bundle" and finding.refuses and name in finding.message


@pytest.mark.parametrize(
    "forgery", ["a claimable raised", "totals", "the root", "leaves", "no tree", "a table of another kind"]
)
def test_gate_bundle_refuses_what_was_resealed(copy: Workspace, forgery: str) -> None:
    FOUND[forgery][0](copy.store.read(1))
    findings = check_bundle(copy.store.read(1)) + check_sealed(copy, copy.store.read(1).manifest)
    assert findings and {f.gate for f in findings} == {"bundle"}
    assert all(f.expected != f.observed for f in findings)


def test_gate_bundle_names_an_epoch_that_was_never_sealed(copy: Workspace) -> None:
    (copy.data / "ledger.duckdb").unlink()
    [finding] = check_sealed(copy, copy.store.read(1).manifest)
    assert (finding.expected, finding.observed) == ("None", copy.store.read(1).manifest.digest)


def test_a_damaged_tree_gives_no_proof(copy: Workspace) -> None:
    bundle = copy.store.read(1)
    _, account, amount = bundle.frame(CLAIMABLES).row(5)
    assert amount in [c.cumulative_amount for c in find_claimables(copy, account, 1)]
    path = bundle.folder / "tree.bin"
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[:10],
        whole[:-32],
        whole[: len(whole) // 2],
        b"\0" * len(whole),
        whole[:16] + b"\0" * (len(whole) - 16),
    ):
        path.write_bytes(damaged)
        try:
            found = find_claimables(copy, account, 1)
        except (InputError, Disagreement):
            continue
        assert found == []


def test_reading_a_published_epoch_changes_nothing(copy: Workspace) -> None:
    def snapshot() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in copy.data.rglob("*") if p.is_file()}

    before = snapshot()
    verify_epoch(copy.data, 1)
    store = BundleStore(copy.data)
    for table in (ALLOCATIONS, QUARANTINE):
        store.read(1).frame(table)
    assert snapshot() == before


def _recompute_all(bundle: Bundle, before: Bundle, change: Callable[[EpochInputs], EpochInputs]) -> None:
    """What a forger who runs the whole computation over doctored inputs would publish."""
    manifest = bundle.manifest
    inputs = change(bundle.inputs())
    previous = Previous(before.manifest.digest, before.frame(CLAIMABLES), before.frame(STATE), before.manifest.totals)
    policy = bundle.content("policy.toml")
    result = compute_epoch(inputs, previous, parse_policy(policy, "policy.toml"))
    files = encode_files(inputs, bundle.frame(QUARANTINE), result, policy)
    doctored = replace(manifest, totals=result.totals, leaves=result.leaves, root=result.root)
    reseal(
        bundle.folder,
        files,
        lambda m: m.update({k: json.loads(doctored.to_bytes())[k] for k in ("totals", "leaves", "root")}),
    )


def _credit(inputs: EpochInputs, **changed: Any) -> EpochInputs:
    record = sign(1, 1, inputs.accounts["account_id"][0], 10**15).model_copy(update=changed)
    return replace(inputs, corrections=tabulate_records([record]))


def _weigh(inputs: EpochInputs) -> EpochInputs:
    heavy = pl.when(pl.col("part") == "provision").then(pl.col("requests") * 500_000).otherwise("weight")
    return replace(inputs, rollup=inputs.rollup.with_columns(weight=heavy))


def _time(inputs: EpochInputs) -> EpochInputs:
    many = pl.when(pl.col("part") == "latency").then(10**6).otherwise("requests")
    return replace(inputs, rollup=inputs.rollup.with_columns(requests=many.cast(pl.Int64)))


WHOLE: dict[str, tuple[Callable[[EpochInputs, Bundle], EpochInputs], str]] = {
    "deposits of the epoch before, again": (
        lambda i, before: replace(i, deposits=pl.concat([before.frame(DEPOSITS), i.deposits])), "deposits",
    ),
    "a deposit above the sum of its parts": (
        lambda i, _: replace(i, deposits=i.deposits.with_columns((pl.col("provider_amount") * 2).cast(MONEY))), "deposits",
    ),
    "deposits that no fee paid": (
        lambda i, _: replace(i, deposits=i.deposits.with_columns(pl.col("^.*amount$") * 10).cast(dict(DEPOSITS.columns))),
        JUDGED,
    ),
    "more weight than requests can have": (lambda i, _: _weigh(i), "row counts"),
    "more latencies than rows": (lambda i, _: _time(i), "row counts"),
    "more ok than heartbeats": (
        lambda i, _: replace(i, heartbeats=i.heartbeats.with_columns(ok=pl.col("heartbeats") * 1000)), "row counts",
    ),
    "a correction by one whom the policy does not name": (lambda i, _: _credit(i), "corrections"),
    "a correction that nobody signed": (lambda i, _: _credit(i, signature="0x" + "00" * 65), "corrections"),
    "a correction of another epoch": (lambda i, _: _credit(i, epoch=0), "corrections"),
}  # fmt: skip


@pytest.mark.parametrize("forgery", WHOLE)
def test_a_bundle_recomputed_from_doctored_inputs_is_found(copy: Workspace, forgery: str) -> None:
    change, check = WHOLE[forgery]
    before = copy.store.read(0)
    _recompute_all(copy.store.read(1), before, lambda inputs: change(inputs, before))
    verdict = verify_epoch(copy.data, 1)
    assert set(_problems(verdict)) == {check}


def test_an_epoch_is_not_the_first_because_the_one_before_is_gone(copy: Workspace) -> None:
    shutil.rmtree(copy.store.folder(0))
    _edit(_forget)(copy.store.read(1))
    assert "previous epoch" in _problems(verify_epoch(copy.data, 1))
