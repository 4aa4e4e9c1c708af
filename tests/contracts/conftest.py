"""Every test of the contracts starts from one snapshot and ends with the Vault's invariants."""

from collections.abc import Iterator

import pytest

from rewards.chain.deploy import VaultSettings, deploy_token, deploy_vault
from rewards.chain.deployment import Deployment
from rewards.chain.embedded import EmbeddedChain
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from tests.contracts.world import CXPT, HOUR, NAMES, START, HostileWorld, World


@pytest.fixture(scope="session")
def deployed() -> tuple[EmbeddedChain, Deployment]:
    embedded = EmbeddedChain(START)
    sender = Sender(embedded.chain, Patience(polls=3, pause_s=0))
    address = {name: signer.address for name, signer in zip(NAMES, embedded.signers, strict=True)}
    token = deploy_token(sender, embedded.signers[0])
    settings = VaultSettings(
        admin=address["admin"],
        publishers=[address["publisher"]],
        attesters=[address["attester"], address["attester2"]],
        guardians=[address["guardian"]],
        treasurers=[address["treasurer"]],
        first_epoch=5,
        activation_delay_s=2 * HOUR,
        max_provider_amount=1000 * CXPT,
        max_user_amount=500 * CXPT,
    )
    return embedded, deploy_vault(sender, embedded.signers[0], token, settings)


@pytest.fixture
def world(deployed: tuple[EmbeddedChain, Deployment]) -> Iterator[World]:
    """The Vault as deployed: first epoch 5, delay two hours, limits 1000 and 500 CXPT, one attester of two needed."""
    embedded, deployment = deployed
    snapshot = embedded.take_snapshot()
    world = World(embedded, deployment)
    try:
        yield world
        world.check_invariants()
    finally:
        embedded.revert(snapshot)


@pytest.fixture
def funded(world: World) -> World:
    """The same with 2000 CXPT of fees: 800 protocol, 800 provider, 400 user."""
    world.deposit(2000 * CXPT)
    return world


@pytest.fixture
def hostile(world: World) -> HostileWorld:
    """A Vault over a token that keeps fees or calls back in the middle of a transfer."""
    return HostileWorld(world)
