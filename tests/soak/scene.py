"""Where stories happen: nodes whose final blocks are as deep as the deepest reorganisation, each with both epochs sealed
for its Vault; and a folder, a proxy and an operator for each story."""

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bundles.forge import CALENDAR
from tests.conftest import ROOT
from tests.faults.commands import Operator
from tests.faults.node import Node, run_node
from tests.faults.nursery import Nursery
from tests.faults.proxy import Proxy
from tests.faults.world import DAY_S, Ground, make_world, prepare_ground
from tests.soak.story import BLOCKS, DEEPEST, Story
from tests.soak.tally import Tally

START = CALENDAR.genesis_us // 1_000_000 - DAY_S
CONTRACTS = ROOT / "contracts"
FRESH_EVERY = 10
"""Stories after which a node is started anew: it grows heavy."""


@dataclass(frozen=True)
class Scene:
    """A node and a nursery, for one story after another. `plant`: a defect for every command, `module:function`."""

    ground: Ground
    nursery: Nursery
    tally: Tally
    plant: str | None = None
    usual_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def open(self, number: int, is_over: Callable[[], bool] = lambda: False) -> Iterator[Story]:
        """A story in a fresh world."""
        if number % FRESH_EVERY == 0:
            self.ground.beginning.restore(fresh=True)
        with tempfile.TemporaryDirectory(prefix="story-") as folder, Proxy(self.ground.node.url) as proxy:
            world = make_world(self.ground, proxy, Path(folder))
            proxy.mine(DEEPEST + 2)  # what came with the node's state is never taken back
            operator = Operator(world, self.nursery, plant=self.plant, blocks=BLOCKS)
            chance = random.Random(f"{self.tally.seed}/{number}")
            yield Story(number, operator, chance, self.tally, is_over, self.usual_s)

    def tell(self, number: int, is_over: Callable[[], bool] = lambda: False) -> None:
        with self.open(number, is_over) as story:
            story.tell()
        self.tally.add("stories")


@contextmanager
def set_scenes(tally: Tally, count: int, plant: str | None = None) -> Iterator[list[Scene]]:
    """Scenes that may be used at the same time."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        nurseries = [held.enter_context(Nursery()) for _ in range(count)]  # they import while the ground is prepared
        with run_node(CONTRACTS, start=START) as first:
            ground = prepare_ground(first, ROOT / "data" / "sample", folder)
            state = first.dump()
        scenes = []
        for nursery in nurseries:
            node = Node(CONTRACTS, slots=DEEPEST // 2, start=START)
            held.callback(node.kill)
            node.start()
            node.load(state)
            scenes.append(
                Scene(replace(ground, node=node, beginning=node.snapshot(durable=True)), nursery, tally, plant)
            )
        yield scenes
