"""The soak tells stories, counts, writes its document; and its counters can fail."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rewards.chain.vault import Vault
from rewards.ledger.intents import Intents
from tests.conftest import ROOT
from tests.faults.world import World
from tests.soak.__main__ import Options
from tests.soak.invariants import find_wrong_at_rest
from tests.soak.scene import Scene, set_scenes
from tests.soak.story import ATTEST, PUBLISH, REVOKE, Story
from tests.soak.tally import COUNTED, Tally

NEEDED = {"kills", "rpc_faults", "reorganisations", "roots_lost", "roots_doubled", "invariants_broken"}


@pytest.fixture(scope="module")
def scene(contracts: Path) -> Iterator[Scene]:
    with set_scenes(Tally(seed=11), 1) as [only]:
        yield only


@pytest.fixture
def tally() -> Tally:
    return Tally(seed=11)


@pytest.fixture
def story(scene: Scene, tally: Tally) -> Iterator[Story]:
    """One that has come to no harm."""
    with replace(scene, tally=tally).open(1) as opened:
        yield opened


@pytest.fixture
def settled(story: Story) -> Story:
    assert story.settle()
    assert list(find_wrong_at_rest(story.world)) == []
    return story


def _wrong(world: World) -> set[str]:
    return {invariant for invariant, _ in find_wrong_at_rest(world)}


def test_a_quick_run_writes_its_document(contracts: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "soak.json"
    options = {"SOAK_MINUTES": "0.1", "SOAK_SEED": "5", "SOAK_WORKERS": "1", "SOAK_OUT": str(out)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak"],
        env=os.environ | options | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    document = json.loads(out.read_text())
    assert done.returncode == 0, (document["broken"], done.stderr)
    assert document.keys() >= {*NEEDED, *COUNTED, "seed", "minutes", "seconds", "broken"}
    assert (document["seed"], document["minutes"], document["broken"]) == (5, 0.1, [])
    assert all(isinstance(document[name], int) and document[name] >= 0 for name in COUNTED)
    assert document["stories"] >= 1 and document["commands"] >= 1
    assert {document[name] for name in ("roots_lost", "roots_doubled", "invariants_broken")} == {0}
    assert "commands killed" in done.stdout and "roots doubled" in done.stdout


def test_a_story_counts_what_it_does(story: Story, tally: Tally) -> None:
    story.chance.seed(3)
    story.tell()
    assert tally.broken == []
    assert tally.count("kills") > 0 and tally.count("rpc_faults") > 0 and tally.count("reorganisations") > 0


def test_a_store_that_forgets_its_intents_is_found(scene: Scene, tally: Tally) -> None:
    planted = replace(scene, tally=tally, plant="tests.soak.plants:forget_intents")
    with planted.open(1) as story:
        story.run(PUBLISH[0])
        story.look_at_once()
    assert {one.invariant for one in tally.broken} == {"kept before sent"}
    assert tally.to_json(1, 60)["broken"][0]["replay"] == "SOAK_SEED=11 SOAK_STORY=1"


def _lose_a_root(story: Story) -> None:
    """Deeper than any block that was not final."""
    vault, node = story.world.truth, story.world.node
    published = list(vault._events(("RootPublished",), vault.head().number))
    node.reorganise(node.head() - published[-1]["blockNumber"] + 1)
    node.mine(70)


def _change_a_byte(story: Story) -> None:
    path = story.world.workspace("attester").store.folder(1) / "state.parquet"
    path.write_bytes(path.read_bytes() + b"x")


def _forget_an_epoch(story: Story) -> None:
    with story.world.workspace().ledger.transaction() as connection:
        connection.execute("DELETE FROM epochs WHERE number = 1")


def _open_an_intent(story: Story) -> None:
    with story.world.workspace().ledger.transaction() as connection:
        connection.execute("UPDATE transactions SET outcome = NULL WHERE epoch = 1 AND action = 'publish'")


def _forget_an_intent(story: Story) -> None:
    with story.world.workspace("attester").ledger.transaction() as connection:
        connection.execute("DELETE FROM transactions")


def _leave_a_file(story: Story) -> None:
    (story.world.folder / "data" / ".rewards.duckdb.7.new").write_text("half")


def _remove_the_catalogue(story: Story) -> None:
    (story.world.folder / "data" / "rewards.duckdb").unlink()


def _damage_the_history(story: Story) -> None:
    (story.world.folder / "data" / "history" / "proofs" / "2.json").write_text("{}")


DOCTORED: dict[Callable[[Story], None], str] = {
    _lose_a_root: "roots lost",
    _change_a_byte: "same bytes",
    _forget_an_epoch: "no lost epoch",
    _open_an_intent: "nothing open",
    _forget_an_intent: "kept before sent",
    _leave_a_file: "nothing half-written",
    _remove_the_catalogue: "catalogue",
    _damage_the_history: "history",
}


def test_each_doctored_world_is_counted_as_broken(settled: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """One world, doctored again and again: each time one more invariant is broken, by its name."""
    found: set[str] = set()
    for doctor, invariant in sorted(DOCTORED.items(), key=lambda item: item[1] == "roots lost"):
        assert invariant not in found
        doctor(settled)
        found = _wrong(settled.world)
        assert invariant in found, doctor.__name__
    publications = Vault._events

    def double(self: Vault, names: tuple[str, ...], last: int) -> list[Any]:
        events = list(publications(self, names, last))
        return events * 2 if names == ("RootPublished",) else events

    monkeypatch.setattr(Vault, "_events", double)
    assert "roots doubled" in _wrong(settled.world)
    settled.look(find_wrong_at_rest)
    document = settled.tally.to_json(1, 60)
    assert document["roots_lost"] == 1 and document["roots_doubled"] >= 1
    assert document["invariants_broken"] == len(document["broken"]) >= len(DOCTORED)


def test_a_command_that_never_succeeds_is_counted_as_broken(story: Story, tally: Tally) -> None:
    """Epoch 0 is not published, since its folder is not what was sealed."""
    path = story.world.workspace().store.folder(0) / "tree.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    assert not story.settle()
    [broken] = tally.broken
    assert broken.invariant == "settled" and "publish 0" in broken.message


def test_a_revoked_epoch_is_published_again(story: Story, tally: Tally) -> None:
    for command in (PUBLISH[0], ATTEST[0], REVOKE[0]):
        assert story.run(command).status == 0
    assert story.settle()
    assert list(find_wrong_at_rest(story.world)) == []
    assert tally.count("revocations") == 1
    outcomes = [i.outcome for i in Intents(story.world.workspace().ledger).all(31337) if i.action == "publish"]
    assert outcomes == ["succeeded"] * 3


def test_options_are_numbers_and_time() -> None:
    options = Options.read({"SOAK_STORY": "4", "SOAK_SEED": "9", "SOAK_MINUTES": "0.5"})
    assert (options.story, options.seed, options.minutes, options.workers) == (4, 9, 0.5, 1)
    for wrong in ({"SOAK_MINUTES": "0"}, {"SOAK_MINUTES": "long"}, {"SOAK_SEED": "x"}, {"SOAK_WORKERS": "0"}):
        with pytest.raises(ValueError, match=r"above zero|convert|invalid"):
            Options.read(wrong)
