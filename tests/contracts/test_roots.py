"""Publishing, attesting, activation, revoking, retiring."""

from dataclasses import replace
from typing import Any

import pytest

from rewards.chain.deploy import VaultSettings, deploy_vault
from rewards.chain.vault import publication_hash
from rewards.errors import ChainError
from rewards.units import ZERO_ADDRESS, ZERO_ROOT, checksum
from tests.contracts.world import CXPT, HOUR, Tree, World, manifest_of

ROOT, MANIFEST = b"\x11" * 32, b"\x22" * 32


def _tree(world: World, provider: int, user: int = 0) -> Tree:
    leaves = [(1, world["provider"], provider), (2, world["user"], user)]
    return Tree([leaf for leaf in leaves if leaf[2]])


def test_publication_is_recorded_and_promised(funded: World) -> None:
    receipt = funded.send("publisher", "publishRoot", 5, ROOT, 30, 20, MANIFEST, 0)
    activates_at = receipt.block.timestamp + 2 * HOUR
    assert funded.view("rootAt", 5) == (ROOT, MANIFEST, 30, 20, activates_at, 1, 1)
    assert funded.events(receipt) == [
        (
            "RootPublished",
            {
                "epoch": 5,
                "root": ROOT,
                "manifestHash": MANIFEST,
                "providerTotal": 30,
                "userTotal": 20,
                "providerIncrease": 30,
                "userIncrease": 20,
                "activatesAt": activates_at,
            },
        )
    ]
    assert funded.view("pools")[1:] == (800 * CXPT - 30, 400 * CXPT - 20)
    assert (funded.view("promised", 1), funded.view("liability", 2), funded.view("nextEpoch")) == (30, 20, 6)
    assert (funded.view("pendingRoot"), funded.view("latestActiveEpoch")) == ([True, 5], [False, 0])


def test_epochs_follow_each_other(funded: World) -> None:
    for epoch in (4, 6, 2**200):
        refused = funded.refused("publisher", "publishRoot", epoch, ROOT, 1, 1, MANIFEST, 0)
        assert refused == f"NotNextEpoch(expected=5, given={epoch})"
    tree = _tree(funded, 5)
    funded.activate(5, tree)
    assert funded.refused("publisher", "publishRoot", 5, ROOT, 5, 1, MANIFEST, 0) == "NotNextEpoch(expected=6, given=5)"


def test_one_root_is_pending_at_a_time(funded: World) -> None:
    publication = funded.publish(5, _tree(funded, 5))
    for epoch in (5, 6):
        assert funded.refused("publisher", "publishRoot", epoch, ROOT, 5, 1, MANIFEST, 0) == "RootPending(epoch=5)"
    funded.send("attester", "attestRoot", 5, publication)
    assert funded.refused("publisher", "publishRoot", 6, ROOT, 5, 1, MANIFEST, 0) == "RootPending(epoch=5)"
    funded.embedded.advance(2 * HOUR)
    funded.send("publisher", "publishRoot", 6, ROOT, 5, 1, MANIFEST, 0)


def test_totals_never_fall_and_are_covered(funded: World) -> None:
    funded.activate(5, _tree(funded, 10, 7))
    refuse = funded.refused
    assert refuse("publisher", "publishRoot", 6, ROOT, 9, 7, MANIFEST, 0) == "TotalFell(pool=1, last=10, given=9)"
    assert refuse("publisher", "publishRoot", 6, ROOT, 10, 6, MANIFEST, 0) == "TotalFell(pool=2, last=7, given=6)"
    left = 800 * CXPT - 10
    refused = refuse("publisher", "publishRoot", 6, ROOT, 800 * CXPT + 1, 7, MANIFEST, 0)
    assert refused == f"PoolTooSmall(pool=1, available={left}, increase={left + 1})"
    assert refuse("publisher", "publishRoot", 6, ROOT, 2**255, 7, MANIFEST, 0).startswith("PoolTooSmall(pool=1")
    assert refuse("publisher", "publishRoot", 6, ROOT, 10, 2**96, MANIFEST, 0).startswith("PoolTooSmall(pool=2")
    left = 400 * CXPT - 7
    refused = refuse("publisher", "publishRoot", 6, ROOT, 10, 400 * CXPT + 1, MANIFEST, 0)
    assert refused == f"PoolTooSmall(pool=2, available={left}, increase={left + 1})"
    funded.send("publisher", "publishRoot", 6, ROOT, 800 * CXPT, 7, MANIFEST, 0)


def test_one_epoch_promises_at_most_its_limit(world: World) -> None:
    world.deposit(10_000 * CXPT)
    refused = world.refused("publisher", "publishRoot", 5, ROOT, 1000 * CXPT + 1, 0, MANIFEST, 0)
    assert refused == f"EpochLimitExceeded(pool=1, limit={1000 * CXPT}, increase={1000 * CXPT + 1})"
    refused = world.refused("publisher", "publishRoot", 5, ROOT, 0, 500 * CXPT + 1, MANIFEST, 0)
    assert refused == f"EpochLimitExceeded(pool=2, limit={500 * CXPT}, increase={500 * CXPT + 1})"
    receipt = world.send("admin", "setMaxEpochAmount", 2, 600 * CXPT)
    [(name, args)] = world.events(receipt)
    assert (name, args) == ("MaxEpochAmountSet", {"pool": 2, "oldAmount": 500 * CXPT, "newAmount": 600 * CXPT})
    world.activate(5, Tree([(1, world["provider"], 1000 * CXPT), (2, world["user"], 500 * CXPT + 1)]))
    refused = world.refused("publisher", "publishRoot", 6, ROOT, 2000 * CXPT + 1, 500 * CXPT + 1, MANIFEST, 0)
    assert refused == f"EpochLimitExceeded(pool=1, limit={1000 * CXPT}, increase={1000 * CXPT + 1})"
    world.send("publisher", "publishRoot", 6, ROOT, 2000 * CXPT, 1100 * CXPT + 1, MANIFEST, 0)


def test_zero_root_promises_nothing(funded: World) -> None:
    for totals in ((1, 0), (0, 1)):
        assert funded.refused("publisher", "publishRoot", 5, ZERO_ROOT, *totals, MANIFEST, 0) == "ZeroRoot()"
    funded.send("publisher", "publishRoot", 5, ZERO_ROOT, 0, 0, MANIFEST, 0)
    funded.send("attester", "attestRoot", 5, publication_hash(5, ZERO_ROOT, MANIFEST, 0, 0, 0))
    funded.embedded.advance(2 * HOUR)
    account = checksum(funded["provider"])
    assert funded.refused("stranger", "claim", 5, 1, account, 1, []).startswith("InvalidProof(pool=1")
    assert funded.refused("stranger", "claim", 5, 1, account, 0, [ZERO_ROOT]).startswith("InvalidProof(pool=1")


def test_publication_hash_in_python_is_the_vaults(funded: World) -> None:
    publication = funded.publish(5, _tree(funded, 123, 45))
    assert funded.view("publicationHash", 5) == publication
    funded.send("guardian", "revokeRoot", 5, "")
    again = funded.publish(5, _tree(funded, 123, 45), revocations=1)
    assert funded.view("publicationHash", 5) == again != publication


def test_attestation_confirms_exactly_what_is_published(funded: World) -> None:
    publication = funded.publish(5, _tree(funded, 5))
    wrong = publication_hash(5, ROOT, manifest_of(5), 5, 0, 0)
    refused = funded.refused("attester", "attestRoot", 5, wrong)
    assert refused == f"WrongPublication(expected=0x{publication.hex()}, given=0x{wrong.hex()})"
    assert funded.refused("attester", "attestRoot", 6, publication) == "RootNotPending(epoch=6)"
    receipt = funded.send("attester", "attestRoot", 5, publication)
    assert funded.events(receipt) == [
        (
            "RootAttested",
            {
                "epoch": 5,
                "attester": checksum(funded["attester"]),
                "publicationHash": publication,
                "missing": 0,
                "activatesAt": funded.view("rootAt", 5)[4],
            },
        )
    ]
    assert funded.view("hasAttested", publication, checksum(funded["attester"])) is True
    assert funded.refused("attester2", "attestRoot", 5, publication) == "AttestationsComplete(epoch=5)"
    assert funded.refused("attester", "attestRoot", 5, publication).startswith("AlreadyAttested(epoch=5")


def test_early_attestation_waits_for_the_delay(funded: World) -> None:
    funded.publish(5, _tree(funded, 5))
    published_at = funded.now()
    funded.send("attester", "attestRoot", 5, funded.view("publicationHash", 5))
    assert funded.view("rootAt", 5)[4] == published_at + 2 * HOUR
    funded.embedded.set_time(published_at + 2 * HOUR - 1)
    assert funded.view("latestActiveEpoch") == [False, 0]
    funded.embedded.set_time(published_at + 2 * HOUR)
    assert funded.view("latestActiveEpoch") == [True, 5]
    assert funded.view("rootAt", 5)[6] == 2
    assert funded.view("pendingRoot") == [False, 0]


def test_late_attestation_leaves_the_guardian_an_hour(funded: World) -> None:
    publication = funded.publish(5, _tree(funded, 5))
    funded.embedded.advance(90 * HOUR)
    assert funded.view("pendingRoot") == [True, 5], "a root without attestations never activates"
    funded.send("attester", "attestRoot", 5, publication)
    attested_at = funded.now()
    assert funded.view("rootAt", 5)[4] == attested_at + HOUR
    funded.embedded.set_time(attested_at + HOUR - 1)
    assert funded.view("pendingRoot") == [True, 5]
    funded.embedded.set_time(attested_at + HOUR)
    assert funded.view("latestActiveEpoch") == [True, 5]


@pytest.mark.parametrize("past", [-1, 0, 1])
def test_activation_is_the_later_of_delay_and_attestation(funded: World, past: int) -> None:
    """Around the second where an hour after the attestation passes the delay after publication."""
    publication = funded.publish(5, _tree(funded, 5))
    published_at = funded.now()
    funded.embedded.set_time(published_at + HOUR + past - 1)  # the next block comes a second later
    attested_at = funded.send("attester", "attestRoot", 5, publication).block.timestamp
    assert attested_at == published_at + HOUR + past
    assert funded.view("rootAt", 5)[4] == published_at + 2 * HOUR + max(past, 0)


def test_two_of_two_attesters(funded: World) -> None:
    receipt = funded.send("admin", "setAttestersRequired", 2)
    assert funded.events(receipt) == [("AttestersRequiredSet", {"oldNumber": 1, "newNumber": 2})]
    publication = funded.publish(5, _tree(funded, 5))
    funded.send("admin", "setAttestersRequired", 1)
    before = funded.view("rootAt", 5)
    assert before[5] == 2, "the number needed is fixed at publication"
    funded.embedded.advance(90 * 60)
    funded.send("attester", "attestRoot", 5, publication)
    assert funded.view("rootAt", 5)[4] == before[4], "only the completing attestation moves the activation"
    refused = funded.refused("attester", "attestRoot", 5, publication)
    assert refused == f"AlreadyAttested(epoch=5, attester={checksum(funded['attester']).lower()})"
    funded.embedded.advance(9 * HOUR)
    assert funded.view("pendingRoot") == [True, 5]
    funded.send("admin", "setRole", checksum(funded["attester"]), 0)
    funded.send("attester2", "attestRoot", 5, publication)
    assert funded.view("rootAt", 5)[4] == funded.now() + HOUR, "the hour begins with the completing attestation"
    funded.embedded.advance(HOUR - 1)
    assert funded.view("latestActiveEpoch") == [False, 0]
    funded.embedded.advance(1)
    assert funded.view("latestActiveEpoch") == [True, 5], "a removed attester's confirmation counts"


def test_revoking_is_as_if_never_published(funded: World) -> None:
    funded.activate(5, _tree(funded, 10, 5))
    before = [funded.view(name) for name in ("pools", "nextEpoch", "pendingRoot", "latestActiveEpoch")]
    old = funded.publish(6, _tree(funded, 40, 11))
    receipt = funded.send("guardian", "revokeRoot", 6, "totals of another policy")
    assert funded.events(receipt) == [
        ("RootRevoked", {"epoch": 6, "providerRefund": 30, "userRefund": 6, "reason": "totals of another policy"})
    ]
    assert [funded.view(name) for name in ("pools", "nextEpoch", "pendingRoot", "latestActiveEpoch")] == before
    assert (funded.view("revocations"), funded.view("rootAt", 6)[6]) == (1, 3)
    assert funded.refused("attester", "attestRoot", 6, old) == "RootNotPending(epoch=6)"
    refused = funded.refused("publisher", "publishRoot", 6, ROOT, 40, 11, MANIFEST, 0)
    assert refused == "WrongRevocations(expected=1, given=0)"
    new = funded.publish(6, _tree(funded, 40, 11), revocations=1)
    assert new != old
    assert funded.refused("attester", "attestRoot", 6, old).startswith("WrongPublication(")
    assert funded.view("rootAt", 6)[5] == 1


def test_what_replaces_a_revoked_root_starts_afresh(funded: World) -> None:
    """Nothing of the revoked publication is left: root, totals, times, confirmations."""
    wrong, right = _tree(funded, 40, 11), _tree(funded, 30, 8)
    funded.send("attester", "attestRoot", 5, funded.publish(5, wrong))
    funded.send("guardian", "revokeRoot", 5, "")
    funded.embedded.advance(3 * HOUR)
    publication = funded.publish(5, right, revocations=1)
    activates_at = funded.now() + 2 * HOUR
    assert funded.view("rootAt", 5) == (right.root, manifest_of(5), 30, 8, activates_at, 1, 1)
    assert (funded.view("pendingRoot"), funded.view("latestActiveEpoch")) == ([True, 5], [False, 0])
    funded.send("attester", "attestRoot", 5, publication)
    funded.embedded.set_time(activates_at)
    funded.claim(5, right, right.leaves[0])
    assert funded.balance(funded["provider"]) == 30
    account, proof = checksum(funded["user"]), wrong.prove(wrong.leaves[1])
    assert funded.refused("user", "claim", 5, 2, account, 11, proof).startswith("InvalidProof(")


def test_the_first_root_can_be_revoked_too_and_while_paused(funded: World) -> None:
    publication = funded.publish(5, _tree(funded, 10))
    funded.send("attester", "attestRoot", 5, publication)
    funded.send("guardian", "pausePublishing")
    funded.send("guardian", "pauseClaims")
    funded.send("guardian", "revokeRoot", 5, "wrong")
    assert funded.view("pools") == (800 * CXPT, 800 * CXPT, 400 * CXPT)
    assert (funded.view("nextEpoch"), funded.view("promised", 1)) == (5, 0)
    assert funded.refused("guardian", "revokeRoot", 5, "twice") == "RootNotPending(epoch=5)"


def test_an_active_root_is_not_revoked(funded: World) -> None:
    funded.activate(5, _tree(funded, 10))
    assert funded.refused("guardian", "revokeRoot", 5, "late") == "RootNotPending(epoch=5)"
    funded.publish(6, _tree(funded, 20))
    assert funded.refused("guardian", "revokeRoot", 5, "later") == "RootNotPending(epoch=5)"
    funded.send("guardian", "revokeRoot", 6, "the pending one is")
    assert funded.refused("guardian", "revokeRoot", 5, "late") == "RootNotPending(epoch=5)"
    assert funded.refused("attester", "attestRoot", 5, ROOT) == "RootNotPending(epoch=5)"


def test_retiring_needs_a_later_active_root(funded: World) -> None:
    assert funded.refused("admin", "retireRoot", 5) == "RootNotActive(epoch=5)"
    funded.activate(5, _tree(funded, 10))
    assert funded.refused("admin", "retireRoot", 5) == "RootStillNewest(epoch=5)"
    publication = funded.publish(6, _tree(funded, 20))
    assert funded.refused("admin", "retireRoot", 5) == "RootStillNewest(epoch=5)"
    assert funded.refused("admin", "retireRoot", 6) == "RootNotActive(epoch=6)"
    funded.send("attester", "attestRoot", 6, publication)
    funded.embedded.advance(2 * HOUR)
    receipt = funded.send("admin", "retireRoot", 5)
    assert funded.events(receipt) == [("RootRetired", {"epoch": 5})]
    assert funded.view("rootAt", 5)[6] == 4
    assert funded.refused("admin", "retireRoot", 5) == "RootNotActive(epoch=5)"
    account = checksum(funded["provider"])
    assert funded.refused("stranger", "claim", 5, 1, account, 10, []) == "RootNotActive(epoch=5)"
    assert funded.refused("admin", "retireRoot", 6) == "RootStillNewest(epoch=6)"
    newest = _tree(funded, 20)
    funded.claim(6, newest, newest.leaves[0])
    assert funded.balance(funded["provider"]) == 20


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"admin": ZERO_ADDRESS}, "RoleNotChangeable"),
        ({"guardians": ["publisher"]}, "RoleNotChangeable"),
        ({"attesters_required": 0}, "InvalidAttestersRequired"),
        ({"attesters_required": 3}, "InvalidAttestersRequired"),
        ({"protocol_bp": 5001, "user_bp": 999}, "InvalidSplit"),
        ({"user_bp": 2001}, "InvalidSplit"),
        ({"activation_delay_s": HOUR - 1}, "InvalidActivationDelay"),
        ({"activation_delay_s": 20 * HOUR + 1}, "InvalidActivationDelay"),
    ],
)
def test_vault_does_not_start_with_bad_settings(world: World, changes: dict[str, Any], error: str) -> None:
    good = VaultSettings(
        world["admin"], [world["publisher"]], [world["attester"], world["attester2"]], [world["guardian"]], []
    )
    if "guardians" in changes:
        changes = {"guardians": [world["publisher"]]}
    with pytest.raises(ChainError, match=error):
        deploy_vault(world.sender, world.signers["payer"], world.deployment.token, replace(good, **changes))


def test_vault_needs_a_token_with_code(world: World) -> None:
    settings = VaultSettings(world["admin"], [], [world["attester"]], [], [])
    with pytest.raises(ChainError, match="NotAToken"):
        deploy_vault(world.sender, world.signers["payer"], world["stranger"], settings)
