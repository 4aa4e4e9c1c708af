"""SIGKILL before and after every named step of the protocol. The same command is run again, and everything is as if
nothing had happened: the same bytes, one live root, one nonce for one intent, nothing open, nothing half-written (I10)."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.bundles.forge import edit_table
from tests.faults.commands import Operator, State, read_state
from tests.faults.nursery import Nursery
from tests.faults.process import AFTER, BEFORE, Ended, KillPoint
from tests.faults.proxy import Proxy
from tests.faults.world import ATTESTER, GUARDIAN, PUBLISHER, Ground, World, make_world

CHAIN, JOBS = "rewards.chain", "rewards.jobs"
KEEP, SETTLE = "rewards.ledger.intents.Intents.keep", "rewards.ledger.intents.Intents.settle"
SIGN, SEND = f"{CHAIN}.signers.LocalSigner.sign_transaction", f"{CHAIN}.client.Chain.send_raw"
RECEIPT, FINAL = f"{CHAIN}.client.Chain.find_receipt", f"{CHAIN}.pursuit.Pursuit._is_final"
CHECK, HISTORY = f"{JOBS}.before_sending.find_objections", f"{JOBS}.history.extend_history"
WRITE, PUT = "rewards.bundles.disk._write", "rewards.bundles.disk.write_file"
PLACE, SEAL = "rewards.bundles.disk.move_into_place", "rewards.ledger.store.Ledger.seal"
FINDINGS = "rewards.ledger.store.Ledger.record_findings"
REFRESH, SWAP = f"{JOBS}.workspace.Workspace.refresh_catalogue", "rewards.ledger.catalogue._sync"
BUNDLES = "rewards.bundles.store.BundleStore"


@dataclass(frozen=True)
class Story:
    """A command in a world that was brought to where it begins; `steps`: which calls of which functions to die at."""

    command: Sequence[str]
    steps: Mapping[str, Sequence[int]]
    prepare: Callable[[Operator], None] = lambda _: None
    meanwhile: Callable[[World], None] = lambda _: None
    folder: str = "data"
    inputs: str | None = None

    @property
    def points(self) -> list[KillPoint]:
        return [KillPoint(s, when, n) for s, numbers in self.steps.items() for n in numbers for when in (BEFORE, AFTER)]


def _unseal(operator: Operator) -> None:
    shutil.rmtree(operator.world.folder / "data")


def _publish(operator: Operator) -> None:
    _succeed(operator, "publish", "0", "--apply")


def _revoke(operator: Operator) -> None:
    """And other inputs of the first day: a row less."""
    _publish(operator)
    _succeed(operator, "revoke", "0", "--reason", "a test")
    own = operator.world.folder / "mended"
    shutil.copytree(operator.world.ground.inputs, own)
    edit_table(own / "usage_records" / "2026-01-07.parquet", lambda frame: frame.slice(1))


def _sign(operator: Operator) -> None:
    """A publication that is signed and kept, and went to nobody."""
    assert operator.run("publish", "0", "--apply", kill=KillPoint(SEND)).was_killed


def _raise_base_fee(world: World) -> None:
    """Until what was sent has been replaced."""

    def act() -> None:
        sent = world.proxy.sent_transactions()
        if len({each.transaction.hash for each in sent}) == 1:
            world.node.set_base_fee(sent[0].fees[0] * 3)

    world.on_pause = act


STORIES = {
    "run": Story(
        ["run", "--epochs", "0"],
        {
            "rewards.engines.duckdb.DuckDBEngine.roll_up": [1],
            "rewards.compute.compute_epoch": [1],
            f"{JOBS}.prepare.encode_files": [1],
            f"{JOBS}.prepare._ask_gates": [1],
            FINDINGS: [1],
            f"{BUNDLES}.write_provenance": [1],
            "rewards.bundles.disk.move_file": [1],
            f"{BUNDLES}.stage": [1],
            WRITE: [1, 9],
            SEAL: [1],
            PLACE: [1],
            "rewards.bundles.store.Bundle.check": [1],
            REFRESH: [1],
            SWAP: [1, 2],
        },
        _unseal,
    ),
    "publish": Story(
        ["publish", "0", "--apply"],
        {
            CHECK: [1],
            FINDINGS: [1],
            SIGN: [1],
            KEEP: [1],
            SEND: [1],
            RECEIPT: [2],
            FINAL: [1, 2],
            SETTLE: [1],
            HISTORY: [1],
            PUT: [1, 2, 3],
            WRITE: [2],
            REFRESH: [1],
            SWAP: [1, 2],
        },
    ),
    "replace": Story(
        ["publish", "0", "--apply"],
        {f"{CHAIN}.sender.Sender.replace": [1], KEEP: [2], SEND: [2], SETTLE: [1]},
        meanwhile=_raise_base_fee,
    ),
    "attest": Story(
        ["attest", "0"],
        {
            f"{JOBS}.prepare.prepare_epoch": [1],
            f"{JOBS}.attest._compare": [1],
            SEAL: [1],
            PLACE: [1],
            f"{JOBS}.attest._require_same": [1],
            KEEP: [1],
            SEND: [1],
            SETTLE: [1],
        },
        _publish,
        folder="attester",
    ),
    "revoke": Story(
        ["revoke", "0", "--reason", "a test"],
        {KEEP: [1], SEND: [1], FINAL: [1], SETTLE: [1], REFRESH: [1]},
        _publish,
    ),
    "resume": Story(
        ["resume"],
        {CHECK: [1], SEND: [1], SETTLE: [1], HISTORY: [1]},
        _sign,
    ),
    "withdraw": Story(
        ["run", "--epochs", "0"],
        {
            f"{JOBS}.workspace.Workspace.withdraw": [1],
            f"{JOBS}.workspace.Workspace._set_aside": [1, 2],
            "rewards.ledger.store.Ledger.withdraw": [1],
            SEAL: [1],
            PLACE: [3],
        },
        _revoke,
        inputs="mended",
    ),
}
"""The calls counted in `steps` are those of one undisturbed run. `PLACE` 1 and 2 of `withdraw` are its folders set aside."""

POINTS = [(name, point) for name, story in STORIES.items() for point in story.points]


def _succeed(operator: Operator, *command: str) -> None:
    ended = operator.run(*command)
    assert ended.status == 0, ended.err


# Worlds


class Stage:
    """Where each story begins, made once, and what its command does there undisturbed."""

    def __init__(self, ground: Ground, nursery: Nursery, folder: Path) -> None:
        self._ground, self._nursery, self._folder = ground, nursery, folder
        self._beginnings: dict[str, Ground] = {}
        self._calm: dict[str, tuple[Ended, State]] = {}

    def enter(self, name: str, proxy: Proxy, folder: Path) -> Operator:
        """A world at the beginning of a story."""
        story, beginning = STORIES[name], self._beginning(name)
        operator = self._operate(beginning, proxy, folder)
        operator.more = {"REWARDS_DATA": str(folder / story.folder)}
        if story.inputs is not None:
            operator.inputs = beginning.data.parent / story.inputs
            operator.world.rivals.add(self._revoked_root(operator.world))
        story.meanwhile(operator.world)
        return operator

    def calm(self, name: str) -> tuple[Ended, State]:
        """An undisturbed run, and what it leaves."""
        if name not in self._calm:
            folder = self._folder / f"{name}-calm"
            folder.mkdir()
            story = STORIES[name]
            with Proxy(self._ground.node.url) as proxy:
                operator = self.enter(name, proxy, folder)
                ended = operator.run(*story.command, steps=story.steps)
                assert ended.status == 0, ended.err
                operator.world.check()
                self._calm[name] = ended, read_state(operator.world, story.folder)
        return self._calm[name]

    def _beginning(self, name: str) -> Ground:
        if name not in self._beginnings:
            folder = self._folder / name
            folder.mkdir()
            with Proxy(self._ground.node.url) as proxy:
                operator = self._operate(self._ground, proxy, folder)
                STORIES[name].prepare(operator)
            (folder / "data").mkdir(exist_ok=True)
            beginning = self._ground.node.snapshot(durable=True)
            self._beginnings[name] = replace(self._ground, beginning=beginning, data=folder / "data")
        return self._beginnings[name]

    def _operate(self, ground: Ground, proxy: Proxy, folder: Path) -> Operator:
        return Operator(make_world(ground, proxy, folder), self._nursery)

    def _revoked_root(self, world: World) -> bytes:
        record = world.truth.root_at(0)
        assert record is not None and record.status == "revoked"
        return record.root


@pytest.fixture(scope="session")
def stage(ground: Ground, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(ground, nursery, tmp_path_factory.mktemp("stories"))


@pytest.fixture
def proxy(ground: Ground) -> Iterator[Proxy]:
    with Proxy(ground.node.url) as started:
        yield started


# Tests


def test_at_least_sixty_points_are_died_at() -> None:
    steps = {(name, point.step, point.number) for name, point in POINTS}
    assert len(steps) >= 30
    assert len(set(POINTS)) == len(POINTS) == 2 * len(steps) >= 60


@pytest.mark.parametrize("name", STORIES)
def test_an_undisturbed_run_reaches_every_step(stage: Stage, name: str) -> None:
    ended, _ = stage.calm(name)
    assert set(STORIES[name].points) - set(ended.points) == set()


EXPECTED: dict[str, tuple[list[tuple[str, int, str | None]], str | None, list[int]]] = {
    "run": ([], None, []),
    "publish": ([("publish", 0, "succeeded")], "pending", [0]),
    "replace": ([("publish", 0, "replaced"), ("publish", 0, "succeeded")], "pending", [0]),
    "attest": ([("attest", 0, "succeeded")], "pending", []),
    "revoke": ([("publish", 0, "succeeded"), ("revoke", 0, "succeeded")], "revoked", []),
    "resume": ([("publish", 0, "succeeded")], "pending", [0]),
    "withdraw": ([("publish", 0, "succeeded"), ("revoke", 0, "succeeded")], "revoked", []),
}
"""What became of each transaction, the state of epoch 0 on the chain, the epochs that analysts see."""


@pytest.mark.parametrize("name", STORIES)
def test_an_undisturbed_run_leaves_what_it_should(stage: Stage, name: str) -> None:
    _, state = stage.calm(name)
    outcomes, status, shown = EXPECTED[name]
    assert (state.outcomes, list(state.shown or [])) == (outcomes, shown)
    assert (state.roots[0] and state.roots[0][0], state.roots[1]) == (status, None)
    assert (state.unsettled, state.leftovers) == (0, [])
    spent = {"publish": PUBLISHER, "attest": ATTESTER, "revoke": GUARDIAN}
    done = {action for action, _, outcome in outcomes if outcome == "succeeded"}
    done |= {"publish"} if status else set()  # an attester's ledger knows its own transactions alone
    assert state.nonces == {signer.address: int(action in done) for action, signer in spent.items()}
    assert ("history/log.bin" in state.files) == (name not in ("run", "attest"))
    assert [e.number for e in state.sealed] == ([0] if name in ("run", "attest", "withdraw") else [0, 1])


@pytest.mark.parametrize(("name", "point"), POINTS, ids=[f"{name}: {point}" for name, point in POINTS])
def test_killed_there_and_run_again_nothing_has_happened(
    stage: Stage, proxy: Proxy, tmp_path: Path, name: str, point: KillPoint
) -> None:
    story = STORIES[name]
    _, calm = stage.calm(name)
    operator = stage.enter(name, proxy, tmp_path)
    ended = operator.run(*story.command, kill=point)
    assert ended.was_killed and ended.points[-1] == point, ended.err
    if operator.world.workspace().store.has(0):  # what was withdrawn may not be computed again yet
        operator.world.check()
    _succeed(operator, *story.command)
    operator.world.check()
    assert read_state(operator.world, story.folder) == calm
