"""One node for all tests of this folder; each starts where it started. Blocks come when a test mines them: anvil mines a
transaction at once only after it has answered, so that nobody can say which of two requests sees the block."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.node import Node, Snapshot, run_node
from tests.faults.proxy import Proxy


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
