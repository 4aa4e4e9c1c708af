"""What a deployment may be asked for: every refusal names what is wrong with its value."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import rlp

from rewards.chain.networks import Network, choose_network
from rewards.chain.plan import find_created_address, list_created, make_plan, name_arguments
from rewards.chain.request import Offer, Request, check_request, compare_requests
from rewards.errors import UsageError
from rewards.units import MAX_AMOUNT, SUPPLY, Address, checksum, keccak
from tests.chain.grounds import CXPT, HOLDERS, LOCAL, PUBLIC, ROLES, make_request

DEPLOYER = Address("0x" + "c1" * 20)
OTHER = Address("0x" + "c2" * 20)
WEEK = 604_800
FIELDS = {role: f"{role}s" for role in ("proposer", "canceller", "publisher", "attester", "guardian", "treasurer")}


def ask(**changes: Any) -> Request:
    return make_request(DEPLOYER, 31337, **changes)


def give(request: Request, role: str, account: Address) -> Request:
    if role in ("deployer", "settler"):
        return replace(request, **{role: account})
    return replace(request, **{FIELDS[role]: (account,)})


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(("deployer", *ROLES), 2)])
def test_two_roles_never_share_a_key(one: str, other: str, public: bool) -> None:
    network = PUBLIC if public else LOCAL
    request = ask(timelock_delay_s=WEEK)
    check_request(request, network)
    with pytest.raises(UsageError) as caught:
        check_request(give(give(request, one, OTHER), other, OTHER), network)
    assert str(caught.value) == f"{one} and {other} are both {checksum(OTHER)}; each needs a key of its own"


@pytest.mark.parametrize("role", ["deployer", *ROLES])
def test_no_role_is_the_admin_or_the_token(role: str) -> None:
    owned = ask(admin=OTHER, proposers=(), cancellers=(), timelock_delay_s=None, supply_to=None)
    check_request(owned, LOCAL)
    given = ask(token=OTHER, supply_to=None)
    check_request(given, LOCAL)
    with pytest.raises(UsageError, match=f"{role} is the token itself, {checksum(OTHER)}"):
        check_request(give(given, role, OTHER), LOCAL)
    if role not in ("proposer", "canceller"):
        pair = f"deployer and admin are both {checksum(OTHER)}" if role == "deployer" else f"admin and {role} are both"
        with pytest.raises(UsageError, match=pair):
            check_request(give(owned, role, OTHER), LOCAL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"publishers": (OTHER, OTHER)}, f"publisher is twice {checksum(OTHER)}"),
        ({"publishers": ()}, "nobody is given as publisher; give --publisher ADDRESS"),
        ({"treasurers": ()}, "nobody is given as treasurer; give --treasurer ADDRESS"),
        ({"proposers": ()}, "nobody is given as proposer; give --proposer ADDRESS"),
        (
            {"cancellers": (), "attesters": (), "guardians": ()},
            (
                "nobody is given as canceller, attester, guardian; "
                "give --canceller ADDRESS, --attester ADDRESS, --guardian ADDRESS"
            ),
        ),
        ({"admin": OTHER}, f"--proposer {HOLDERS['proposer']} with --admin {OTHER}"),
        ({"admin": OTHER, "proposers": ()}, "--canceller 0x"),
        ({"admin": OTHER, "proposers": (), "cancellers": ()}, "--timelock-delay 3600 with --admin"),
        ({"admin_unchecked": True}, "--admin-unchecked without --admin"),
        ({"token": OTHER}, "--supply-to with --token"),
        ({"supply_to": DEPLOYER}, f"--supply-to {checksum(DEPLOYER)} is the deployer"),
        ({"activation_delay_s": 3599}, "--activation-delay 3599: give 3600 to 72000"),
        ({"activation_delay_s": 72_001}, "--activation-delay 72001: give 3600 to 72000"),
        ({"attesters_required": 2}, "--attesters-required 2: give 1 to 1"),
        ({"attesters_required": 0}, "--attesters-required 0: give 1 to 1"),
        ({"first_epoch": 2**24 - 1}, "--first-epoch 16777215: give 0 to 16777214"),
        ({"max_epoch_amount": 2**96}, "--max-epoch-amount 79,228,162,514.264337593543950336 is more than"),
        ({"timelock_delay_s": -1}, "--timelock-delay -1 on local"),
    ],
)
def test_what_no_deployment_may_have(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_request(ask(**changes), LOCAL)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (MAX_AMOUNT, "no limit of an epoch is given for agung; give --max-epoch-amount CXPT, above zero and below"),
        (0, "--max-epoch-amount 0 for agung; give "),
        (SUPPLY, "--max-epoch-amount 1,000,000,000 for agung; give "),
    ],
)
def test_a_public_network_needs_a_limit_of_an_epoch_that_limits(limit: int, told: str) -> None:
    with pytest.raises(UsageError, match=f"^{told}"):
        check_request(ask(timelock_delay_s=WEEK, max_epoch_amount=limit), PUBLIC)
    check_request(ask(max_epoch_amount=limit), LOCAL)
    for fit in (1, SUPPLY - 1):
        check_request(ask(timelock_delay_s=WEEK, max_epoch_amount=fit), PUBLIC)


@pytest.mark.parametrize(
    ("network", "least", "refused"),
    [(LOCAL, 0, (-1, 90 * 86_400 + 1)), (PUBLIC, WEEK, (0, WEEK - 1, 90 * 86_400 + 1, 2**256))],
)
def test_delay_of_the_timelock_is_a_week_to_ninety_days_and_shorter_on_local_alone(
    network: Network, least: int, refused: tuple[int, ...]
) -> None:
    for delay in (least, 90 * 86_400):
        check_request(ask(timelock_delay_s=delay), network)
    for delay in refused:
        with pytest.raises(
            UsageError, match=f"--timelock-delay {delay} on {network.name}: give {least} to 7776000 sec"
        ):
            check_request(ask(timelock_delay_s=delay), network)


@pytest.mark.parametrize(
    ("text", "offer"), [("9.5/30", Offer(9 * CXPT + CXPT // 2, 30)), ("1200/49710", Offer(1200 * CXPT, 49_710))]
)
def test_plan_reads_and_writes(text: str, offer: Offer) -> None:
    assert Offer.parse(text) == offer
    assert str(offer) == text


@pytest.mark.parametrize("text", ["", "9.5", "9.5/", "/30", "9.5/0", "0/30", "-1/30", "1e3/30", "1/٣", "1/49711",
                                  "79228162515/1", "1/30/2"])  # fmt: skip
def test_plan_that_does_not_read_is_named(text: str) -> None:
    with pytest.raises(UsageError):
        Offer.parse(text)


@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32])
def test_created_address_is_that_of_the_rlp_library(nonce: int) -> None:
    expected = keccak(rlp.encode([bytes.fromhex(DEPLOYER[2:]), nonce]))[12:].hex()
    assert find_created_address(DEPLOYER, nonce) == f"0x{expected}"


def test_plan_has_one_order_and_consecutive_nonces() -> None:
    plan = make_plan(ask(), 7)
    assert [step.name for step in plan.steps if step.creates] == list_created(ask())
    assert [step.nonce for step in plan.steps] == list(range(7, 17))
    assert [step.name.split()[0] for step in plan.steps] == [
        "CXPTToken",
        "TimelockController",
        "proposer",
        "canceller",
        "canceller",
        "renounce",
        "CXPTVault",
        "SubscriptionManager",
        "UsageEscrow",
        "supply",
    ]
    assert make_plan(ask(), 7) == plan
    later = make_plan(ask(), 20, {"CXPTToken": 7, "TimelockController": 8})
    assert (later.token, later.admin) == (plan.token, plan.admin)
    assert [step.nonce for step in later.steps] == [7, 8, *range(20, 28)]
    assert later.vault == find_created_address(DEPLOYER, 24)


def test_what_exists_is_not_made_again() -> None:
    request = ask(token=OTHER, admin=Address("0x" + "c3" * 20), proposers=(), cancellers=(), supply_to=None)
    plan = make_plan(request, 0)
    assert [step.name for step in plan.steps] == list_created(request)
    assert list_created(request) == ["CXPTVault", "SubscriptionManager", "UsageEscrow"]
    assert plan.token == OTHER


def test_no_role_and_no_supply_goes_to_a_contract_of_the_plan() -> None:
    plan = make_plan(ask(), 0)
    with pytest.raises(UsageError, match=f"settler {checksum(plan.vault)} is where CXPTVault will be"):
        make_plan(ask(settler=plan.vault), 0)
    with pytest.raises(UsageError, match=f"supply {checksum(plan.token)} is where CXPTToken will be"):
        make_plan(ask(supply_to=plan.token), 0)


def test_request_survives_its_record_and_differences_have_both_values() -> None:
    request = ask()
    assert Request.from_json(request.to_json()) == request
    other = replace(request, publishers=(OTHER,), supply_to=None, offers=())
    assert compare_requests(request, request) == []
    assert compare_requests(request, other) == [
        f"--publisher was {HOLDERS['publisher']}, is now {OTHER}",
        "--plan was 9.5/30, 100/365, is now not given",
        f"--supply-to was {request.supply_to}, is now not given",
    ]
    other = replace(
        request,
        network="custom",
        chain_id=5,
        deployer=OTHER,
        admin_unchecked=True,
        max_epoch_amount=1_234 * CXPT + CXPT // 2,
    )
    assert compare_requests(request, other) == [
        "--network was local (chain 31337), is now custom (chain 5)",
        "--admin-unchecked was not given, is now given",
        "--max-epoch-amount was 1000, is now 1234.5",
        f"the deployer's key is that of {checksum(OTHER)}, was that of {checksum(DEPLOYER)}: give that one",
    ]
    assert compare_requests(request, replace(request, max_epoch_amount=MAX_AMOUNT)) == [
        "--max-epoch-amount was 1000, is now not given"
    ]
    with pytest.raises(UsageError, match="does not read"):
        Request.from_json({"network": "local"})


def test_arguments_stay_exact_as_json() -> None:
    inputs = [
        {"name": "a_", "type": "tuple[]", "components": [{"name": "price", "type": "uint96"}]},
        {"name": "b", "type": "bytes32"},
        {"name": "c", "type": "uint256"},
    ]
    assert name_arguments(inputs, ([(10**18,)], b"\1\2", 5)) == {"a": [{"price": str(10**18)}], "b": "0x0102", "c": 5}


def test_networks_have_their_ids_and_contradictions_are_named() -> None:
    known = [(choose_network(n, None).chain_id, choose_network(n, None).public) for n in ("local", "agung", "peaq")]
    assert known == [(31337, False), (9990, True), (3338, True)]
    assert choose_network("local", 31337).rpc_url == "http://127.0.0.1:8545"
    custom = choose_network("custom", 5)
    assert (custom.name, custom.chain_id, custom.public, custom.rpc_url) == ("custom", 5, True, None)
    with pytest.raises(UsageError, match="REWARDS_CHAIN_ID is 1, --network peaq is chain 3338"):
        choose_network("peaq", 1)
    with pytest.raises(UsageError, match="no network 'main'; give one of local, agung, peaq, custom"):
        choose_network("main", None)
    with pytest.raises(UsageError, match="needs a chain id; set REWARDS_CHAIN_ID"):
        choose_network("custom", None)
