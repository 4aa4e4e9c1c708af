"""An epoch is published while the chain moves between true siblings, and the finalized tag with it or not at all. The node
keeps both forks, and a transaction that pays less than the base fee."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rewards.errors import ChainError
from rewards.ledger.intents import Intents
from rewards.ports import Receipt
from tests.bundles.forge import CALENDAR
from tests.chain.conftest import ANVIL_CHAIN_ID
from tests.faults.forking import ForkingNode, run_forking_node
from tests.faults.proxy import Proxy
from tests.faults.rpc import RpcError
from tests.faults.states import (
    DEPTHS,
    finish,
    last_sent,
    mine_a_replacement,
    mined,
    pooled,
    refuse_beside_a_rival,
    signed,
)
from tests.faults.world import DAY_S, DEPLOYER, PUBLISHER, Ground, World, make_world, prepare_ground

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ground(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    start = CALENDAR.genesis_us // 1_000_000 - DAY_S
    package = repository / "tests" / "faults" / "ethereumjs"
    with run_forking_node(package, tmp_path_factory.mktemp("node"), start) as node:
        yield prepare_ground(node, repository / "data" / "sample", tmp_path_factory.mktemp("ground"))


@pytest.fixture
def world(ground: Ground, tmp_path: Path) -> Iterator[World]:
    with Proxy(ground.node.url, geth=False) as started:
        yield make_world(ground, started, tmp_path, polls=200, timeout_s=10)


@pytest.fixture
def node(world: World) -> ForkingNode:
    return world.node


def _replaced(world: World, patch: pytest.MonkeyPatch) -> None:
    """Signed twice: the base fee rose above the first version, the second is in a block."""
    pooled(world, patch)
    world.node.raise_base_fee(world.proxy.sent_transactions()[-1].fees[0])
    mine_a_replacement(world)


STATES = {"signed": signed, "pooled": pooled, "mined": mined, "replaced": _replaced}


def _reorganise_while_it_waits(world: World, moves: list[Callable[[], object]]) -> Callable[[], None]:
    """Makes the next of `moves` each time that the publication is in a block, none of which is final; the ledger must hold
    it open."""

    def move() -> None:
        sent = world.proxy.sent_transactions()
        if not moves or not sent or world.node.find_receipt(last_sent(world)) is None:
            return
        assert world.truth.root_at(0, world.truth.final_block().number) is None
        assert [i.hash for i in Intents(world.workspace().ledger).open(ANVIL_CHAIN_ID)] == [last_sent(world)[2:]]
        moves.pop(0)()

    return move


# What the node does


def test_both_forks_stay_and_the_head_goes_where_it_is_told(node: ForkingNode) -> None:
    node.mine(3)
    height, old = node.head(), [node.hash_at(node.head() - i) for i in (2, 1, 0)]
    made = node.fork(3)
    assert node.hash_at("latest") == old[-1]
    node.adopt(made[-1])
    assert [node.hash_at(height - i) for i in (2, 1, 0)] == made and not set(made) & set(old)
    assert node.block(old[0])["parentHash"] == node.block(made[0])["parentHash"]
    node.adopt(old[-1])
    assert [node.hash_at(height - i) for i in (2, 1, 0)] == old


def test_the_tags_move_as_told_and_the_finalized_one_never_back(node: ForkingNode) -> None:
    stood = node.final()
    node.lag = 4
    node.mine()
    assert (node.final(), node.safe()) == (node.head() - 4, node.head() - 2) and node.final() > stood
    final = node.final()
    node.lag = 8
    node.mine(2)
    assert (node.final(), node.head()) == (final, final + 6)
    with pytest.raises(RpcError, match="finalized"):
        node.reorganise(7)
    assert node.final() == final


# What becomes of a publication


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("state", STATES)
def test_a_publication_survives_a_move_to_siblings(
    world: World, monkeypatch: pytest.MonkeyPatch, state: str, depth: int
) -> None:
    STATES[state](world, monkeypatch)
    gone = world.node.block()["hash"]
    world.node.reorganise(depth)
    assert world.node.block(gone)["number"] == world.node.block()["number"] != world.node.final()
    world.node.lag = 2
    finish(world)
    assert len(world.versions()) == 1


@pytest.mark.parametrize("depth", DEPTHS)
def test_two_moves_in_a_row_while_it_waits(world: World, depth: int) -> None:
    """The finalized tag stands right below the siblings, so that depth is all that may still change."""
    world.node.lag = depth
    moves: list[Callable[[], object]] = [lambda: world.node.reorganise(depth)] * 2
    world.on_pause = _reorganise_while_it_waits(world, moves)
    outcome = world.publish()
    assert isinstance(outcome.receipt, Receipt) and moves == []
    assert [len(versions) for versions in world.versions().values()] == [1]
    world.check_settled()


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_first_fork_comes_back(world: World, depth: int) -> None:
    """It is in a block of both forks, and where it is now counts."""
    world.node.lag = depth + 4
    first: list[str] = []

    def leave() -> None:
        first.append(world.node.hash_at("latest"))
        world.node.reorganise(depth)

    moves: list[Callable[[], object]] = [leave, lambda: world.node.adopt(first[0])]
    world.on_pause = _reorganise_while_it_waits(world, moves)
    outcome = world.publish()
    assert isinstance(outcome.receipt, Receipt) and moves == []
    assert outcome.receipt.block.hash.hex() == first[0][2:]
    assert [len(versions) for versions in world.versions().values()] == [1]
    world.check_settled()


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("state", ["pooled", "mined"])
def test_on_a_fork_with_a_rival_root_nothing_of_ours_goes_through(
    world: World, monkeypatch: pytest.MonkeyPatch, state: str, depth: int
) -> None:
    STATES[state](world, monkeypatch)
    world.on_pause = lambda: None
    world.node.reorganise(depth)
    world.publish_rival()
    world.node.lag = 2
    refuse_beside_a_rival(world)


def test_nothing_is_settled_while_the_finalized_tag_stands_still(world: World) -> None:
    """The safe tag passes the block; that is not enough."""
    world.node.lag, world.polls = 64, 40
    with pytest.raises(ChainError, match="not final yet"):
        world.publish()
    receipt = world.node.find_receipt(last_sent(world))
    assert receipt is not None
    assert world.node.final() < int(receipt["blockNumber"], 16) < world.node.safe()
    assert [i.outcome for i in Intents(world.workspace().ledger).all(ANVIL_CHAIN_ID)] == [None]
    world.node.lag = 2
    finish(world)
    assert [len(versions) for versions in world.versions().values()] == [1]


# Below the base fee


def test_what_is_stuck_below_the_base_fee_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pooled(world, monkeypatch)
    first = world.proxy.sent_transactions()[-1].transaction
    world.node.raise_base_fee(first.max_fee)
    world.node.mine()
    assert world.node.is_pooled(first.hash) and world.node.find_receipt(first.hash) is None
    world.node.raise_base_fee(first.max_fee)
    world.node.lag = 2
    finish(world)
    [versions] = world.versions().values()
    assert [version.nonce for version in versions] == [first.nonce] * 2
    assert not world.node.is_pooled(first.hash) and world.node.find_receipt(versions[1].hash) is not None
    outcomes = [i.outcome for i in Intents(world.workspace().ledger).all(ANVIL_CHAIN_ID)]
    assert outcomes == ["replaced", "succeeded"]


def test_what_was_stuck_goes_through_by_itself_when_fees_fall(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anvil would have dropped it. Nobody runs a command before it is in a block, and none signs it again."""
    pooled(world, monkeypatch)
    first = world.proxy.sent_transactions()[-1].transaction
    world.node.raise_base_fee(first.max_fee)
    world.node.mine()
    assert world.node.is_pooled(first.hash)
    world.node.mine(3)
    assert world.node.find_receipt(first.hash) is not None
    world.node.lag = 2
    finish(world)
    assert [len(versions) for versions in world.versions().values()] == [1]
    assert world.node.nonce(PUBLISHER.address) == 1 and world.node.nonce(DEPLOYER.address) > 0
