"""`rewards publish N --plan`: what would be sent, for people and for programs, without sending or writing anything."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from web3 import Web3

from rewards.chain.contracts import load_artifact
from rewards.units import POOL_NAMES, PROVIDER, USER, checksum, format_cxpt
from tests.cli.conftest import Rewards, Said
from tests.cli.people import SIGNERS, People, Person, list_bytes
from tests.faults.faults import FAULTS
from tests.faults.proxy import Proxy

Plan = Callable[..., Said]


@pytest.fixture
def publisher(people: People, monkeypatch: pytest.MonkeyPatch) -> Person:
    """The publisher, whose settings are those of this process too, on a terminal of 80 columns."""
    publisher = people.meet_key("publisher", "publisher", sealed=True)
    for name, value in (publisher.environment | {"COLUMNS": "80"}).items():
        monkeypatch.setenv(name, value)
    return publisher


@pytest.fixture
def plan(people: People, publisher: Person, rewards: Rewards) -> Plan:
    """Plans an epoch, and looks whether that left a trace."""

    def look(epoch: int, *more: str, status: int = 0) -> Said:
        before = list_bytes(publisher.data), people.sent("publisher")
        said = rewards("publish", epoch, "--plan", *more)
        assert said.status == status, said.out + said.err
        assert (list_bytes(publisher.data), people.sent("publisher")) == before
        return said

    return look


def find_movers(person: Person, number: int) -> list[tuple[str, str, int, int]]:
    """Pool, account, amounts before and after of the ten largest changes, from the published tables."""
    frames = [pl.read_parquet(person.data / "epochs" / str(n) / "claimables.parquet") for n in range(number + 1)]
    now, before = (
        {(pool, account): int(amount) for pool, account, amount in f.rows()} for f in (frames[-1], frames[0])
    )
    was = before if number else {}
    changed = [(now[key] - was.get(key, 0), *key) for key in now if now[key] != was.get(key, 0)]
    changed.sort(key=lambda one: (-one[0], one[1], one[2]))
    return [(POOL_NAMES[p], a, now[p, a] - change, now[p, a]) for change, p, a in changed[:10]]


def test_people_read_whole_numbers_and_addresses_on_a_narrow_terminal(
    plan: Plan, people: People, publisher: Person
) -> None:
    manifest, call = publisher.manifest(), plan(0, "--json").document["call"]
    lines = [
        "plan: publish epoch 0, 308 leaves",
        *(
            f"{f'{name} pool, {what}':<32}{format_cxpt(amount)} CXPT"
            for name, total in (("provider", manifest.total(PROVIDER)), ("user", manifest.total(USER)))
            for what, amount in (("promised before", 0), ("increase", total), ("total", total))
        ),
        "",
        "the 10 largest changes since the epoch before, CXPT",
        *(
            line
            for pool, account, before, after in find_movers(publisher, 0)
            for line in (
                f"{pool} {account}",
                f"  +{format_cxpt(after - before)}, from {format_cxpt(before)} to {format_cxpt(after)}",
            )
        ),
        "",
        f"publishRoot of the Vault {people.vault.address}",
        f"from {SIGNERS['publisher'].address}",
        "epoch: 0",
        f"root: 0x{manifest.root.hex()}",
        f"providerTotal: {manifest.total(PROVIDER)}",
        f"userTotal: {manifest.total(USER)}",
        f"manifestHash: 0x{manifest.digest}",
        "revocationCount: 0",
        f"calldata: {call['calldata']}",
        "",
    ]
    told = plan(0).out.splitlines()
    assert told[: len(lines)] == lines
    costs = told[len(lines) :]
    assert [line.split()[0] for line in costs[:3]] == ["gas", "fee", "cost"]
    assert costs[3:] == ["", "every gate agrees; send it: rewards publish 0 --apply"]
    assert max(len(line) for line in told if not line.startswith("calldata")) <= 80


def test_programs_get_exact_numbers_and_calldata_that_means_them(plan: Plan, publisher: Person) -> None:
    manifest, document = publisher.manifest(), plan(0, "--json").document
    assert (document["may_be_sent"], document["done"], document["findings"]) == (True, False, [])
    assert (document["leaves"], document["unsettled_transactions"]) == (manifest.leaves, 0)
    for pool, number in zip(document["pools"], (PROVIDER, USER), strict=True):
        total = manifest.total(number)
        assert (pool["pool"], int(pool["total"]), int(pool["increase"])) == (POOL_NAMES[number], total, total)
    contract: Any = Web3().eth.contract(abi=load_artifact("CXPTVault").abi)
    function, arguments = contract.decode_function_input(document["call"]["calldata"])
    assert function.fn_name == document["call"]["function"] == "publishRoot"
    assert list(arguments) == list(document["call"]["arguments"])
    told = {k: f"0x{v.hex()}" if isinstance(v, bytes) else str(v) for k, v in arguments.items()}
    assert told == document["call"]["arguments"]
    assert arguments["root"] == manifest.root
    assert int(document["max_cost_wei"]) == document["gas"] * int(document["max_fee_wei"]) > 0


def test_a_refused_plan_is_shown_all_the_same(plan: Plan, publisher: Person) -> None:
    told = plan(1, status=3)
    assert told.out.splitlines()[0] == "plan: publish epoch 1, 315 leaves"
    assert told.out.splitlines()[-1] == "it may not be sent:"
    assert "gas  not estimated: the call would revert" in told.out
    assert told.err.splitlines() == [
        "error: publishing epoch 1 refused by 1 finding(s)",
        "  chain state: the Vault expects another epoch: expected 1, observed 0 (docs/runbook.md#chain-state)",
    ]
    document = plan(1, "--json", status=3).document
    assert (document["may_be_sent"], document["gas"], document["error"]["exit_code"]) == (False, None, 3)
    assert [(f["gate"], f["expected"], f["observed"]) for f in document["findings"]] == [("chain state", "1", "0")]
    movers = [(m["pool"], m["account"], int(m["before"]), int(m["after"])) for m in document["movers"]]
    assert movers == find_movers(publisher, 1)


def test_what_was_published_before_is_no_plan(plan: Plan, rewards: Rewards, publisher: Person) -> None:
    assert rewards("publish", 0, "--apply").status == 0
    told = plan(0)
    assert told.out.splitlines()[-1] == "done before: the root is pending; nothing is left to send"
    assert "gas  not estimated: nothing is to be sent" in told.out
    document = plan(0, "--json").document
    assert (document["done"], document["may_be_sent"], document["gas"]) == (True, False, None)
    assert [pool["increase"] for pool in document["pools"]] == ["0", "0"]


def test_fees_above_the_cap_and_a_call_that_would_revert_are_told(
    plan: Plan, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(people.node.url) as proxy:
        monkeypatch.setenv("REWARDS_RPC_URL", proxy.url)
        proxy.inject(FAULTS["revert on estimate"])
        told = plan(0, status=4)
    assert "gas  not estimated: the call would revert" in told.out
    assert told.out.splitlines()[-1] == "it may not be sent:" and "not now" in told.error
    monkeypatch.setenv("REWARDS_RPC_URL", people.node.url)
    monkeypatch.setenv("REWARDS_MAX_FEE_WEI", "1")
    told = plan(0, status=4)
    assert (
        "fee  not chosen: see below" in told.out
        and "above the cap of 1; wait or raise REWARDS_MAX_FEE_WEI" in told.error
    )
    document = plan(0, "--json", status=4).document
    assert (document["may_be_sent"], document["max_fee_wei"]) == (False, None) and "cap of 1" in document["obstacle"]
    assert document["max_cost_wei"] is None


def test_the_call_comes_from_who_publishes(plan: Plan, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REWARDS_PUBLISHER_KEY")
    monkeypatch.setenv("REWARDS_PUBLISHER_SAFE", checksum(people.safe("publisher").address))
    document = plan(0, "--json").document
    assert (document["call"]["from"], document["may_be_sent"]) == (people.safe("publisher").address, True)
    monkeypatch.setenv("REWARDS_PUBLISHER_SAFE", checksum(people.safe("guardian").address))
    refused = plan(0, "--json", status=3).document
    assert [(f["gate"], f["observed"]) for f in refused["findings"]] == [("chain state", "guardian")]
