"""The networks that contracts are deployed on: names, chain ids, and what counts as final there."""

from dataclasses import dataclass

from rewards.chain.client import Chain
from rewards.errors import UsageError
from rewards.ports import Block

CUSTOM = "custom"
"""The name of any other EVM chain, whose endpoint and id come from the settings."""


@dataclass(frozen=True)
class Network:
    """A chain by name. On a `public` one nothing that protects other people's money may be shortened."""

    name: str
    chain_id: int
    public: bool = True
    rpc_url: str | None = None


NETWORKS = {
    network.name: network
    for network in (
        Network("local", 31337, public=False, rpc_url="http://127.0.0.1:8545"),
        Network("agung", 9990),
        Network("peaq", 3338),
    )
}


def is_public(name: str) -> bool:
    """Whether other people's money is on a network; so it is on one that has no name here."""
    return name not in NETWORKS or NETWORKS[name].public


class DevelopmentChain(Chain):
    """A node of one's own: what is in a block stays, so nobody waits for blocks that nobody mines."""

    def final_block(self) -> Block:
        return self.head()


def choose_network(name: str, chain_id: int | None) -> Network:
    """The network of a name; `chain_id` is the configured one, which must not contradict it. UsageError otherwise."""
    if name == CUSTOM:
        if chain_id is None:
            raise UsageError("--network custom needs a chain id; set REWARDS_CHAIN_ID")
        return Network(CUSTOM, chain_id)
    if name not in NETWORKS:
        raise UsageError(f"no network {name!r}; give one of {', '.join((*NETWORKS, CUSTOM))}")
    network = NETWORKS[name]
    if chain_id not in (None, network.chain_id):
        raise UsageError(f"REWARDS_CHAIN_ID is {chain_id}, --network {name} is chain {network.chain_id}; mend one")
    return network
