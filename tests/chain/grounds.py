"""Where a deployment is tried: a chain, a key, a request, a folder; and senders that die on the way."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rewards.chain import networks
from rewards.chain.intent import Intent, SignedIntent
from rewards.chain.networks import DevelopmentChain
from rewards.chain.pursuit import Mined, Patience
from rewards.chain.request import Offer, Request
from rewards.chain.sender import Sender
from rewards.chain.signers import Signer
from rewards.jobs.deploy import Ground
from rewards.units import Address
from tests.chain.networks import Network

CXPT = 10**18
ROLES = ("proposer", "canceller", "publisher", "attester", "guardian", "treasurer", "settler")
HOLDERS = {role: Address("0x" + f"{0xA0 + i:02x}" * 20) for i, role in enumerate(ROLES)}
SECOND_CANCELLER = Address("0x" + "b1" * 20)
RICH = Address("0x" + "b2" * 20)
STEPS = 10
"""Transactions of `make_request`: five contracts, a proposer, two cancellers, the administrator's leave, the supply."""


def make_request(deployer: Address, chain_id: int, **changes: Any) -> Request:
    """Every role another address, two cancellers, two plans, the supply given away."""
    request = Request(
        network="local",
        chain_id=chain_id,
        deployer=deployer,
        token=None,
        admin=None,
        proposers=(HOLDERS["proposer"],),
        cancellers=(HOLDERS["canceller"], SECOND_CANCELLER),
        timelock_delay_s=3600,
        publishers=(HOLDERS["publisher"],),
        attesters=(HOLDERS["attester"],),
        guardians=(HOLDERS["guardian"],),
        treasurers=(HOLDERS["treasurer"],),
        settler=HOLDERS["settler"],
        offers=(Offer(9 * CXPT + CXPT // 2, 30), Offer(100 * CXPT, 365)),
        supply_to=RICH,
        first_epoch=3,
        activation_delay_s=2 * 3600,
        max_epoch_amount=1000 * CXPT,
    )
    return replace(request, **changes)


LOCAL = networks.Network("local", 31337, public=False)
PUBLIC = networks.Network("agung", 9990)


def make_ground(network: Network, signer: Signer, folder: Path, **changes: Any) -> Ground:
    """A deployment by `signer`, recorded in `folder`; what is in a block is final."""
    chain = DevelopmentChain(network.chain.web3, network.chain.chain_id, network.chain.where)
    patience = Patience(polls=30, pause_s=0, pause=lambda _: network.mine())
    request = make_request(signer.address, chain.chain_id, **changes)
    return Ground(Sender(chain, patience), signer, request, folder / "record.json", folder.parent)


class Crash(BaseException):
    """Stands for a process that ends here; nothing catches it."""


def no_crash(_: str) -> None: ...


@dataclass
class Moment:
    """Dies at the `number`-th time (from 1) that a sender comes to the point `name`."""

    name: str
    number: int

    def __call__(self, name: str) -> None:
        if name == self.name:
            self.number -= 1
            if self.number == 0:
                raise Crash


class MortalSender(Sender):
    """Calls `reach` with the name of each point that it comes to, for what was not sent before."""

    reach: Callable[[str], None] = staticmethod(no_crash)

    def sign(self, intent: Intent, signer: Signer) -> SignedIntent:
        self.reach("before signing")
        stored = super().sign(intent, signer)
        self.reach("signed, not stored")
        return stored

    def _run(self, versions: list[SignedIntent], *others: Any, **more: Any) -> Mined | None:
        if not self.chain.knows_transaction(versions[0].transaction):
            self.reach("stored, not sent")
        mined = super()._run(versions, *others, **more)
        self.reach("final")
        return mined

    def _note_sent(self, stored: SignedIntent) -> None:
        super()._note_sent(stored)
        self.reach("sent, not mined")


POINTS = ("before signing", "signed, not stored", "stored, not sent", "sent, not mined", "final")


def with_mortal_sender(ground: Ground, moment: Moment) -> Ground:
    """The same ground with a sender that dies at a moment."""
    sender = MortalSender(ground.chain, ground.sender._patience)
    sender.reach = moment
    return replace(ground, sender=sender)
