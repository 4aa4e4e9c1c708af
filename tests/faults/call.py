"""A request on its way through the proxy, as faults see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.pool import GethPool
from tests.faults.rpc import Answer, Upstream
from tests.faults.transactions import Transaction


@dataclass
class Call:
    """`node` answers questions of the fault's own, which no record shows. `accepted`: what went to the node through this
    proxy and was taken, by hash. `told`: what the node answered to this request, None as long as it was not forwarded."""

    method: str
    params: list[Any]
    node: Upstream | GethPool
    accepted: Mapping[str, Transaction]
    told: Answer | None = None

    def forward(self) -> Answer:
        """Gives the request to the node."""
        self.told = self.node.call(self.method, self.params)
        return self.told
