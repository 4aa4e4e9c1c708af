"""A chain to test on, whichever it is: its accounts, its time, its patience."""

from collections.abc import Callable
from dataclasses import dataclass

from rewards.chain.client import Chain
from rewards.chain.deploy import VaultSettings, deploy_token, deploy_vault
from rewards.chain.deployment import Deployment
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.signers import LocalSigner

START = 1_767_744_000  # 2026-01-07
HOUR = 3600


@dataclass(frozen=True)
class Network:
    """`advance(seconds)` mines a block that much later; waiting for finality mines, so that no test sleeps."""

    name: str
    chain: Chain
    signers: tuple[LocalSigner, ...]
    advance: Callable[[int], None]
    mine: Callable[[], None]

    @property
    def sender(self) -> Sender:
        return Sender(self.chain, Patience(polls=30, pause_s=0, pause=lambda _: self.mine()))

    def deploy(self) -> Deployment:
        """A token and a Vault of which signers 1 to 5 are admin, publisher, attester, guardian, treasurer."""
        admin, publisher, attester, guardian, treasurer = (signer.address for signer in self.signers[1:6])
        settings = VaultSettings(
            admin, [publisher], [attester], [guardian], [treasurer], first_epoch=3, activation_delay_s=HOUR
        )
        token = deploy_token(self.sender, self.signers[0])
        return deploy_vault(self.sender, self.signers[0], token, settings)
