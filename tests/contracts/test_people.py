"""Roles, pauses and settings, and what a thief can do with each key."""

from typing import Any

import pytest

from rewards.chain.deploy import deploy_timelock
from rewards.chain.vault import ROLES
from rewards.units import ZERO_ADDRESS, checksum
from tests.contracts.world import CXPT, DAY, HOUR, STAFF, Caller, Tree, World

STRANGER = checksum("0x" + "77" * 20)
CALLS: dict[str, tuple[set[str], list[Any]]] = {
    "publishRoot": ({"publisher"}, [5, b"\1" * 32, 1, 1, b"\2" * 32, 0]),
    "attestRoot": ({"attester", "attester2"}, [5, b"\1" * 32]),
    "revokeRoot": ({"guardian"}, [5, "reason"]),
    "retireRoot": ({"admin"}, [5]),
    "withdrawProtocol": ({"treasurer"}, [STRANGER, 1]),
    "pauseClaims": ({"guardian"}, []),
    "resumeClaims": ({"guardian", "admin"}, []),
    "pausePublishing": ({"guardian"}, []),
    "resumePublishing": ({"guardian", "admin"}, []),
    "setSplit": ({"admin"}, [4000, 4000, 2000]),
    "setActivationDelay": ({"admin"}, [HOUR]),
    "setMaxEpochAmount": ({"admin"}, [1, 1]),
    "setAttestersRequired": ({"admin"}, [1]),
    "setRole": ({"admin"}, [STRANGER, 2]),
    "rescue": ({"admin"}, [STRANGER, STRANGER, 1]),
}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_only_the_right_role_may(funded: World, name: str) -> None:
    allowed, arguments = CALLS[name]
    for caller in (*STAFF, "payer", "stranger"):
        if caller in allowed:
            continue
        role = funded.vault.role_of(funded[caller])
        expected = f"WrongRole(caller={funded[caller]}, held={ROLES.index(role)})"
        assert funded.refused(caller, name, *arguments).lower() == expected.lower()


def test_roles_are_as_deployed(world: World) -> None:
    roles = {name: world.vault.role_of(world[name]) for name in STAFF}
    assert roles == {name: name.rstrip("2") for name in STAFF}
    assert world.vault.role_of(world["stranger"]) == "none"


def test_no_address_holds_two_roles(world: World) -> None:
    account = checksum(world["publisher"])
    receipt = world.send("admin", "setRole", account, ROLES.index("attester"))
    assert world.events(receipt) == [("RoleSet", {"account": account, "oldRole": 2, "newRole": 3})]
    assert world.refused("publisher", "publishRoot", *CALLS["publishRoot"][1]).startswith("WrongRole(")
    world.send("admin", "setRole", account, 0)
    assert world.vault.role_of(world["publisher"]) == "none"


def test_there_is_always_an_admin(world: World) -> None:
    me, next_admin = checksum(world["admin"]), checksum(world["stranger"])
    assert world.refused("admin", "setRole", me, 0).startswith("RoleNotChangeable(")
    assert world.refused("admin", "setRole", checksum(ZERO_ADDRESS), 1).startswith("RoleNotChangeable(")
    world.send("admin", "setRole", next_admin, 1)
    world.send("stranger", "setRole", me, 0)
    assert world.vault.role_of(world["admin"]) == "none"
    assert world.refused("admin", "setActivationDelay", HOUR).startswith("WrongRole(")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (("setSplit", 5001, 4999, 0), "InvalidSplit(protocolBp=5001, providerBp=4999, userBp=0)"),
        (("setSplit", 4000, 4000, 1999), "InvalidSplit(protocolBp=4000, providerBp=4000, userBp=1999)"),
        (("setSplit", 5000, 65535, 65535), "InvalidSplit(protocolBp=5000, providerBp=65535, userBp=65535)"),
        (("setActivationDelay", HOUR - 1), "InvalidActivationDelay(given=3599)"),
        (("setActivationDelay", 20 * HOUR + 1), "InvalidActivationDelay(given=72001)"),
        (("setAttestersRequired", 0), "InvalidAttestersRequired(given=0)"),
        (("setMaxEpochAmount", 0, 1), "InvalidPool(pool=0)"),
    ],
)
def test_bad_settings_are_refused(world: World, call: tuple[Any, ...], error: str) -> None:
    assert world.refused("admin", *call) == error


def test_delay_of_later_publications_only(funded: World) -> None:
    funded.publish(5, Tree([(1, funded["provider"], 5)]))
    activates_at = funded.view("rootAt", 5)[4]
    receipt = funded.send("admin", "setActivationDelay", 20 * HOUR)
    assert funded.events(receipt) == [("ActivationDelaySet", {"oldDelay": 2 * HOUR, "newDelay": 20 * HOUR})]
    assert funded.view("rootAt", 5)[4] == activates_at
    funded.send("guardian", "revokeRoot", 5, "")
    funded.publish(5, Tree([(1, funded["provider"], 5)]), revocations=1)
    assert funded.view("rootAt", 5)[4] == funded.now() + 20 * HOUR
    funded.send("admin", "setActivationDelay", HOUR)
    assert funded.view("activationDelay") == HOUR, "the shortest delay"


@pytest.mark.parametrize("kind", ["Claims", "Publishing"])
def test_pause_lapses_after_14_days_and_may_begin_again_44_days_later(world: World, kind: str) -> None:
    getter = "claimsPausedUntil" if kind == "Claims" else "publishingPausedUntil"
    assert world.refused("guardian", f"resume{kind}") == "NotPaused()"
    receipt = world.send("guardian", f"pause{kind}")
    began = receipt.block.timestamp
    assert world.events(receipt) == [(f"{kind}Paused", {"until": began + 14 * DAY})]
    assert world.view(getter) == began + 14 * DAY
    again = f"PauseTooSoon(earliest={began + 44 * DAY})"
    assert world.refused("guardian", f"pause{kind}") == again
    assert world.events(world.send("admin", f"resume{kind}")) == [(f"{kind}Resumed", {})]
    assert world.refused("guardian", f"pause{kind}") == again
    world.embedded.set_time(began + 44 * DAY - 2)  # the next block comes a second later
    assert world.refused("guardian", f"pause{kind}") == again
    world.embedded.mine()
    world.send("guardian", f"pause{kind}")
    until = world.view(getter)
    world.embedded.set_time(until - 1)
    assert world.refused("admin", f"resume{kind}") == "NotPaused()", "at the second of the lapse"


def test_the_two_pauses_are_independent(world: World) -> None:
    world.send("guardian", "pauseClaims")
    assert (world.vault.are_claims_paused(), world.vault.is_publishing_paused()) == (True, False)
    world.send("guardian", "pausePublishing")
    world.send("guardian", "resumeClaims")
    assert (world.vault.are_claims_paused(), world.vault.is_publishing_paused()) == (False, True)


def test_paused_publishing_stops_attesting_but_not_activation(funded: World) -> None:
    tree = Tree([(1, funded["provider"], 5)])
    publication = funded.publish(5, tree)
    funded.send("guardian", "pausePublishing")
    until = funded.view("publishingPausedUntil")
    assert funded.refused("attester", "attestRoot", 5, publication) == f"PublishingIsPaused(until={until})"
    refused = funded.refused("publisher", "publishRoot", *CALLS["publishRoot"][1])
    assert refused == f"PublishingIsPaused(until={until})"
    funded.embedded.set_time(until - 2)  # the next block comes a second later
    assert funded.refused("attester", "attestRoot", 5, publication) == f"PublishingIsPaused(until={until})"
    funded.embedded.mine()
    receipt = funded.send("attester", "attestRoot", 5, publication)
    assert receipt.block.timestamp == until, "a pause lapses by itself"
    funded.embedded.advance(2 * HOUR)
    funded.claim(5, tree, tree.leaves[0])
    assert funded.balance(funded["provider"]) == 5


# ---------------------------------------------------------------- stolen keys


def test_publishers_thief_only_blocks(funded: World) -> None:
    """A wrong root without an attester pays nothing; the guardian revokes it and the admin replaces the key."""
    loot = Tree([(1, funded["stranger"], 800 * CXPT)])
    funded.publish(5, loot)
    funded.embedded.advance(30 * DAY)
    arguments: tuple[Any, ...] = (1, checksum(funded["stranger"]), 800 * CXPT, [])
    assert funded.refused("stranger", "claim", 5, *arguments) == "RootNotActive(epoch=5)"
    funded.send("guardian", "pausePublishing")
    funded.send("guardian", "revokeRoot", 5, "not ours")
    again = 5, loot.root, 1, 0, b"\0" * 32, 1
    assert funded.refused("publisher", "publishRoot", *again).startswith("PublishingIsPaused(")
    funded.send("admin", "setRole", checksum(funded["publisher"]), 0)
    funded.send("admin", "setRole", checksum(funded["payer"]), 2)
    funded.send("admin", "resumePublishing")
    assert funded.refused("publisher", "publishRoot", *again).startswith("WrongRole(")


def test_thief_with_publisher_and_attester_is_bound_by_the_limit_of_an_epoch(world: World) -> None:
    world.deposit(100_000 * CXPT)
    everything = world.view("pools")[1]
    limit = 1000 * CXPT
    greedy = Tree([(1, world["stranger"], everything)])
    refused = world.refused("publisher", "publishRoot", 5, greedy.root, everything, 0, b"\0" * 32, 0)
    assert refused.startswith("EpochLimitExceeded(")
    loot = Tree([(1, world["stranger"], everything)])
    what = (5, loot.root, limit, 0, b"\0" * 32, 0)
    world.send("publisher", "publishRoot", *what)
    world.send("attester", "attestRoot", 5, world.view("publicationHash", 5))
    world.embedded.advance(2 * HOUR)
    arguments: tuple[Any, ...] = (1, checksum(world["stranger"]), everything, [])
    refused = world.refused("stranger", "claim", 5, *arguments)
    assert refused == f"PromiseExceeded(pool=1, unpaid={limit}, amount={everything})"


def test_guardian_stops_both_within_the_delay(funded: World) -> None:
    loot = Tree([(1, funded["stranger"], 800 * CXPT)])
    publication = funded.publish(5, loot)
    funded.send("attester", "attestRoot", 5, publication)
    funded.embedded.advance(2 * HOUR - 10)
    funded.send("guardian", "revokeRoot", 5, "stolen keys")
    funded.embedded.advance(DAY)
    arguments: tuple[Any, ...] = (1, checksum(funded["stranger"]), 800 * CXPT, [])
    assert funded.refused("stranger", "claim", 5, *arguments) == "RootNotActive(epoch=5)"


def test_attesters_thief_only_withholds(funded: World) -> None:
    publication = funded.publish(5, Tree([(1, funded["provider"], 5)]))
    funded.embedded.advance(10 * DAY)
    assert funded.view("pendingRoot") == [True, 5]
    funded.send("admin", "setRole", checksum(funded["attester"]), 0)
    assert funded.refused("attester", "attestRoot", 5, publication).startswith("WrongRole(")
    funded.send("attester2", "attestRoot", 5, publication)
    funded.embedded.advance(HOUR)
    assert funded.view("latestActiveEpoch") == [True, 5]


def test_guardians_thief_holds_claims_for_14_of_44_days(funded: World) -> None:
    tree = Tree([(1, funded["provider"], 5)])
    funded.activate(5, tree)
    funded.send("guardian", "pauseClaims")
    funded.embedded.advance(14 * DAY)
    funded.claim(5, tree, tree.leaves[0])
    assert funded.refused("guardian", "pauseClaims").startswith("PauseTooSoon(")
    assert funded.refused("guardian", "revokeRoot", 5, "mine") == "RootNotPending(epoch=5)"
    assert funded.balance(funded["provider"]) == 5


def test_treasurers_thief_takes_the_protocols_pool_only(funded: World) -> None:
    funded.send("treasurer", "withdrawProtocol", STRANGER, 800 * CXPT)
    assert funded.refused("treasurer", "withdrawProtocol", STRANGER, 1) == "AmountTooLarge(available=0, given=1)"
    assert funded.view("pools") == (0, 800 * CXPT, 400 * CXPT)


def test_outsiders_change_nothing_about_who_is_paid(funded: World) -> None:
    tree = Tree([(1, funded["provider"], 50), (2, funded["user"], 40)])
    funded.activate(5, tree)
    funded.send_token("payer", "transfer", checksum(funded["stranger"]), 1000)
    funded.vault.deposit_fees(500, funded.signers["stranger"])
    funded.vault.fund_pool(1, 500, funded.signers["stranger"])
    for leaf in tree.leaves:
        funded.claim(5, tree, leaf, by="stranger")
    assert (funded.balance(funded["provider"]), funded.balance(funded["user"])) == (50, 40)
    assert funded.balance(funded["stranger"]) == 0


def test_timelock_is_a_public_week_that_a_canceller_can_end(world: World) -> None:
    """The admin's proposer can do anything, after seven days, unless the canceller says no."""
    proposer, canceller = world.signers["payer"], world.signers["stranger"]
    timelock = deploy_timelock(world.sender, proposer, [proposer.address], [canceller.address])
    world.send("admin", "setRole", checksum(timelock), ROLES.index("admin"))
    held = Caller(world, "TimelockController", timelock)
    call = bytes.fromhex(world.contract.encode_abi("setRole", [checksum(world["admin"]), 0])[2:])
    operation = (world.contract.address, 0, call, bytes(32), bytes(32))
    held("payer", "schedule", *operation, 7 * DAY)
    assert "TimelockUnexpectedOperationState" in held("user", "execute", *operation, refused=True)
    world.embedded.advance(7 * DAY)
    held("user", "execute", *operation)
    assert world.vault.role_of(world["admin"]) == "none"
    other = (world.contract.address, 0, call, bytes(32), b"\1" * 32)
    held("payer", "schedule", *other, 7 * DAY)
    held("stranger", "cancel", held.contract.functions.hashOperation(*other).call())
    world.embedded.advance(8 * DAY)
    assert "TimelockUnexpectedOperationState" in held("user", "execute", *other, refused=True)
    assert "AccessControlUnauthorizedAccount" in held("stranger", "schedule", *other, 7 * DAY, refused=True)
    admin_role = bytes(32)
    assert held.contract.functions.hasRole(admin_role, checksum(proposer.address)).call() is False
