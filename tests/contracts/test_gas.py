"""What the contracts cost is tracked, meets its goals, and comes out the same again."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from rich.progress import Progress

from rewards.merkle import ClaimTree
from rewards.units import PROVIDER, USER
from tests.gas import __main__ as command
from tests.gas.account import ACCOUNTS_OF, Line, name_slots
from tests.gas.bench import BATCHES, NIGHTS, SMALL
from tests.gas.distributors import PUBLISHED, STYLE
from tests.gas.document import DOCUMENT, render
from tests.gas.leaves import LEAVES, SAMPLES, WORD, Earnings, Row, Tree, hash_vault_leaf, list_rows
from tests.gas.record import CODE_LIMIT, TRACKED, Record, average, compare, list_goals, measure, trace


@pytest.fixture(scope="module")
def tracked() -> Record:
    return Record.from_json(TRACKED.read_text())


def test_goals_are_met(tracked: Record) -> None:
    assert [goal.what for goal in list_goals(tracked.figures) if not goal.is_met] == []


def test_goals_are_met_beside_the_published_bytecode(tracked: Record) -> None:
    """The reference is the harder of the two."""
    assert [goal.what for goal in list_goals(tracked.figures, PUBLISHED) if not goal.is_met] == []
    for what in ("new word, new holder", "new word, old holder", "dirty word, old holder"):
        style, published = (average(tracked.figures, f"{name}: {what}") for name in (STYLE, PUBLISHED))
        assert style < published, what


def test_every_average_has_its_samples(tracked: Record) -> None:
    counts = {name: len(each) for name, each in tracked.figures.items()}
    averaged = [name for name in counts if "word" in name or "nights" in name or name.endswith(("claim", "pending"))]
    assert {name: counts[name] for name in averaged if counts[name] < SAMPLES} == {}
    assert {counts[name] for name in averaged} == {SAMPLES}
    assert counts["root post, later"] == NIGHTS + 1
    assert counts["batch of 50, first claims"] == BATCHES.count(50)


def test_a_small_run_agrees_on_anvil(tracked: Record, contracts: Path) -> None:
    with Progress(disable=True) as progress:
        assert compare(tracked, measure("anvil", SMALL, progress), whole=False) == []


def test_a_small_run_agrees_on_the_embedded_chain(tracked: Record, contracts: Path) -> None:
    with Progress(disable=True) as progress:
        assert compare(tracked, measure("embedded", SMALL, progress), whole=False) == []


def test_accounts_agree_and_add_up(tracked: Record, contracts: Path) -> None:
    with Progress(disable=True) as progress:
        fresh = trace(progress)
    assert compare(tracked, fresh, whole=False) == []
    for name in ACCOUNTS_OF:
        assert sum(line.gas for line in tracked.accounts[name]) == fresh.figures[name][0], name


def test_a_claim_touches_four_slots_of_the_vault_and_two_of_the_token(tracked: Record) -> None:
    for name in ("first claim", "later claim"):
        slots = [line.part for line in tracked.accounts[name] if line.what.startswith("slot")]
        assert (slots.count("Vault"), slots.count("token")) == (4, 2), name


def test_document_follows_the_record(tracked: Record) -> None:
    text = DOCUMENT.read_text()
    assert render(text, tracked) == text


def test_contracts_fit_their_limit(tracked: Record) -> None:
    assert {name: size for name, size in tracked.sizes.items() if size > CODE_LIMIT} == {}
    assert len(tracked.sizes) == 7


def test_record_keeps_everything(tracked: Record) -> None:
    text = tracked.to_json()
    assert text == TRACKED.read_text()
    assert json.loads(text)["goals"]["later claim"]["met"] is True


def test_differences_are_named(tracked: Record) -> None:
    first = tracked.figures["first claim"]
    worse = replace(
        tracked,
        figures=tracked.figures | {"first claim": [first[0] + 1, *first[1:]]},
        sizes=tracked.sizes | {"CXPTVault": 1},
        accounts=tracked.accounts | {"later claim": [Line("Vault", "slot of no name", 7)]},
    )
    found = compare(tracked, worse, whole=True)
    assert f"first claim, number 0: {first[0]}, now {first[0] + 1}" in found
    assert f"size of CXPTVault: {tracked.sizes['CXPTVault']}, now 1" in found
    assert "account of later claim: Vault, slot of no name: none, now 7" in found
    fewer = replace(tracked, figures={"first claim": first[:3]}, sizes={}, batch_sizes={}, accounts={})
    assert compare(tracked, fewer, whole=False) == []
    assert len(compare(tracked, fewer, whole=True)) > len(tracked.figures)


def test_a_goal_is_missed_above_its_limit(tracked: Record) -> None:
    dearer = tracked.figures | {"later claim": [gas * 11 // 10 for gas in tracked.figures["later claim"]]}
    assert [goal.what for goal in list_goals(dearer) if not goal.is_met] == ["later claim"]


@pytest.mark.parametrize(("change", "code"), [(0, 0), (1, 1)])
def test_check_fails_on_a_difference(
    tracked: Record,
    contracts: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: int,
    code: int,
) -> None:
    fresh = replace(tracked, figures=tracked.figures | {"revoke a root": [50_000 + change]}, accounts={})
    kept = replace(tracked, figures=tracked.figures | {"revoke a root": [50_000]})
    monkeypatch.setattr(command, "measure", lambda *_: fresh)
    monkeypatch.setattr(command, "trace", lambda _: replace(tracked, figures={}, sizes={}, batch_sizes={}))
    monkeypatch.setattr(command, "TRACKED", SimpleNamespace(read_text=kept.to_json))
    monkeypatch.setattr("sys.argv", ["gas", "--check", "--json"])
    assert command.main() == code
    written, said = capsys.readouterr()
    assert json.loads(written)["figures"]["revoke a root"]["each"] == [50_000 + change]
    assert ("revoke a root, number 0: 50000, now 50001" in said) is bool(change)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 33])
def test_tree_is_the_claim_tree(count: int) -> None:
    rows = [Row(bytes(19) + bytes([i + 1]), (PROVIDER, USER)[i % 2]) for i in range(count)]
    tree = Tree([hash_vault_leaf(row, 1000 + i) for i, row in enumerate(rows)])
    table = {
        "pool": [row.pool for row in rows],
        "account": ["0x" + row.account.hex() for row in rows],
        "cumulative_amount": [1000 + i for i in range(count)],
    }
    claims = ClaimTree.build(pl.DataFrame(table))
    assert tree.root == claims.root
    for i, row in enumerate(rows):
        assert tree.prove(hash_vault_leaf(row, 1000 + i)) == claims.prove(row.pool, "0x" + row.account.hex())


def test_sampled_rows_stand_alone() -> None:
    """Every sampled row has a bitmap word and an account of its own."""
    rows = list_rows()
    sample = Earnings().sample
    singles = [*sample.nightly, *sample.late, *sample.older, *sample.pending]
    assert (len(rows), len({row.account for row in rows})) == (LEAVES, 90_000)
    assert len({row // WORD for row in singles}) == len(singles) == 4 * SAMPLES
    claiming = [
        *singles,
        *(row ^ 1 for row in singles),
        *sample.crowd[:2000],
        *(i for pair in sample.both for i in pair),
    ]
    assert len(set(claiming)) == len(claiming)
    assert len({rows[i].account for i in claiming}) == len(claiming) - len(sample.both)
    assert [rows[one].account == rows[other].account for one, other in sample.both] == [True] * SAMPLES


def test_slots_are_named_by_the_layout(repository: Path) -> None:
    layout = json.loads((repository / "contracts" / "artifacts" / "CXPTVault.json").read_text())["storageLayout"]
    names = dict(name_slots(layout, {"_roots": {"0": bytes(32)}}))
    assert names[1] == "_progress {claimedProvider, claimedUser, claimsPausedUntil, nextEpoch}"
    assert {name for name in names.values() if name.startswith("_roots")} == {
        "_roots[0].root",
        "_roots[0].terms {providerTotal, userTotal, activatesAt, missing, status}",
        "_roots[0].manifestHash",
    }
