"""One node for all tests of this folder; each starts where it started. Blocks come when a test mines them: anvil mines a
transaction at once only after it has answered, so that nobody can say which of two requests sees the block."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles.forge import CALENDAR
from tests.faults.node import Node, Snapshot, run_node
from tests.faults.nursery import Nursery
from tests.faults.proxy import Proxy
from tests.faults.world import DAY_S, Ground, World, make_world, prepare_ground


@pytest.fixture(scope="session")
def _shared_node(contracts: Path) -> Iterator[tuple[Node, Snapshot]]:
    with run_node(contracts) as node:
        node.mine(3)
        yield node, node.snapshot(durable=True)


@pytest.fixture
def node(_shared_node: tuple[Node, Snapshot]) -> Node:
    shared, beginning = _shared_node
    beginning.restore()
    shared.set_automine(False)
    return shared


@pytest.fixture
def proxy(node: Node) -> Iterator[Proxy]:
    with Proxy(node.url) as started:
        yield started


@pytest.fixture(scope="session")
def ground(contracts: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A Vault on a node of its own, with both epochs of the sample sealed for it."""
    start = CALENDAR.genesis_us // 1_000_000 - DAY_S
    with run_node(contracts, start=start) as node:
        yield prepare_ground(node, repository / "data" / "sample", tmp_path_factory.mktemp("ground"))


@pytest.fixture
def world(ground: Ground, tmp_path: Path) -> Iterator[World]:
    with Proxy(ground.node.url) as started:
        yield make_world(ground, started, tmp_path)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as started:
        yield started
