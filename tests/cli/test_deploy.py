"""The deploy command: on all networks, refused by one line, killed by the kernel, no secret in any output."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from rewards.chain.client import Chain, connect, request
from rewards.chain.client import request as request_of
from rewards.chain.contracts import load_artifact
from rewards.chain.deploy import (
    ADMIN_ROLE,
    CANCELLER_ROLE,
    PROPOSER_ROLE,
    encode_call,
    encode_creation,
    timelock_arguments,
)
from rewards.chain.deployment import Deployment, read_deployment
from rewards.chain.intent import Intent
from rewards.chain.plan import find_created_address
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.signers import LocalSigner
from rewards.jobs.settings import Settings
from rewards.units import ZERO_ADDRESS, Address, checksum, keccak
from tests.chain.conftest import start_anvil
from tests.chain.grounds import HOLDERS, RICH
from tests.chain.networks import START
from tests.cli.conftest import Rewards, Said, clean_environment
from tests.cli.test_streams import run_on_terminal

KEY = "5ec7e7" * 10 + "beef"
DEPLOYER = LocalSigner(bytes.fromhex(KEY)).address
PASSWORD = "pass-of-the-endpoint"
STRANGER = "0x" + "ee" * 20
IDS = {"local": 31337, "agung": 9990, "peaq": 3338, "custom": 424_242}
STEPS = 9
"""Transactions of `roles`: five contracts, a proposer, a canceller, the administrator's leave, the supply."""


def roles(**changes: str | None) -> list[str]:
    """One address for each role, and a plan; `None` leaves one out."""
    given: dict[str, str | None] = {
        **HOLDERS,
        "plan": "9.5/30",
        "supply_to": RICH,
        "max_epoch_amount": "1000",
        **changes,
    }
    return [
        part
        for name, value in given.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", value)
    ]  # fmt: skip


@dataclass
class Station:
    """The command against one node, and all that it said."""

    rewards: Rewards
    chain: Chain
    url: str
    network: str
    record: Path
    said: list[Said] = field(default_factory=list)

    def __call__(self, *arguments: object, status: int = 0, network: str | None = None) -> Said:
        said = self.rewards("deploy", "--network", network or self.network, "--out", self.record, *arguments)
        self.said.append(said)
        assert said.status == status, f"{arguments}: {said.out}{said.err}"
        return said

    @property
    def sent(self) -> int:
        return self.chain.count_transactions(DEPLOYER, "pending")

    def set_balance(self, wei: int) -> None:
        request(self.chain, "anvil_setBalance", [checksum(DEPLOYER), hex(wei)])


@pytest.fixture(scope="module")
def urls(contracts: Path) -> Iterator[dict[str, str]]:
    """A node for each network. The local one mines on demand alone; the others ten blocks a second, final two later."""
    found = {}
    with (
        start_anvil(contracts, START) as found["local"],
        start_anvil(contracts, START, *_public("agung")) as found["agung"],
        start_anvil(contracts, START, *_public("peaq")) as found["peaq"],
        start_anvil(contracts, START, *_public("custom")) as found["custom"],
    ):
        yield found


def _public(network: str) -> Sequence[str]:
    return "--chain-id", str(IDS[network]), "--block-time", "0.1", "--mixed-mining"


@pytest.fixture(params=["local"])
def station(
    request: pytest.FixtureRequest,
    urls: dict[str, str],
    rewards: Rewards,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Station]:
    url = urls[request.param]
    monkeypatch.setenv("REWARDS_RPC_URL", url.replace("//", f"//operator:{PASSWORD}@"))
    monkeypatch.setenv("REWARDS_DEPLOYER_KEY", KEY)
    monkeypatch.setenv("REWARDS_POLL_SECONDS", "0.02")
    if request.param == "custom":
        monkeypatch.setenv("REWARDS_CHAIN_ID", str(IDS["custom"]))
    station = Station(rewards, connect(url, IDS[request.param]), url, request.param, tmp_path / "folder" / "r.json")
    snapshot = request_of(station.chain, "evm_snapshot")
    station.set_balance(10**21)
    yield station
    request_of(station.chain, "evm_revert", [snapshot])
    said = "".join(one.out + one.err for one in station.said)
    written = "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    assert [secret for secret in (KEY, PASSWORD) if secret in said + written] == []


@pytest.mark.parametrize("station", ["local", "agung", "peaq", "custom"], indirect=True)
def test_one_command_and_a_second_that_sends_nothing(station: Station) -> None:
    first = station.sent
    plan = station(*roles(), "--dry-run", "--json").document
    assert station.sent == first
    assert not station.record.parent.exists()
    assert [step["nonce"] for step in plan["steps"]] == list(range(first, first + STEPS))
    assert [step["address"] for step in plan["steps"][:2]] == [
        find_created_address(DEPLOYER, first + i) for i in (0, 1)
    ]
    assert plan["shortfall_wei"] == "0"
    assert int(plan["need_wei"]) == plan["gas"] * int(plan["max_fee_wei"]) > 0
    assert {"role": "attester", "in": "CXPTVault", "holder": HOLDERS["attester"]} in plan["roles"]

    done = station(*roles(), "--json", "--verbose")
    assert f"{STEPS} of {STEPS}: wait until final: transfer of CXPTToken at" in done.err
    answer = done.document
    assert (answer["sent"], station.sent - first) == (STEPS, STEPS)
    assert (answer["chain_id"], answer["network"]) == (IDS[station.network], station.network)
    assert answer["vault"] == plan["steps"][5]["address"]
    record = read_deployment(station.record)
    assert record.asked["timelock_delay"] == 604_800
    assert record.block_hash == station.chain.block(record.deployed_block).hash
    assert station(*roles(), "--json").document == {**answer, "sent": 0}
    assert answer["waiting_operations"] == []
    told = station("--check")
    assert "waiting operations" not in told.out
    assert f"facts verified        {answer['facts_verified']}" in told.out
    assert "nothing: it stood already" in told.out
    assert station.sent - first == STEPS


def test_plan_for_people_has_steps_addresses_roles_and_cost(station: Station) -> None:
    first = station.sent
    shown = station(*roles(), "--dry-run").out
    for text in (
        "plan for local, chain 31337; nothing is sent",
        find_created_address(DEPLOYER, first + 5),
        "deployment of UsageEscrow",
        f"{DEPLOYER} (the deployer)",
        RICH,
        f"proposer {HOLDERS['proposer']} of the timelock",
        f"canceller {HOLDERS['canceller']} of the timelock",
        "first epoch         0",
        "activation delay    43200 s",
        "attesters needed    1 of 1",
        "limit of an epoch   1,000 CXPT for each pool",
        "split               protocol 40 %, providers 40 %, users 20 %",
        "plan 0              9.5 CXPT for 30 days",
        "cost at most",
        "1,000,000,000,000,000,000,000 wei",
    ):
        assert text in shown
    assert "the whole supply stays" not in shown
    kept = roles(supply_to=None, plan=None, max_epoch_amount=None)
    shown = station(*kept, "--dry-run").out
    assert f"the whole supply stays with the deployer {DEPLOYER}; --supply-to ADDRESS gives it away" in shown
    assert ("limit of an epoch   none" in shown, f"{'plans':<20}none" in shown) == (True, True)
    document = station(*kept, "--dry-run", "--json").document
    assert document["deployer_keeps_supply"] is True
    assert {"setting": "limit of an epoch", "value": "none"} in document["settings"]
    station.set_balance(10)
    short = station(*roles(), "--dry-run", status=4)
    assert "cost at most" in short.out
    assert "has 10 wei and needs up to " in short.error
    answer = station(*roles(), "--dry-run", "--json", status=4).document
    assert answer["balance_wei"] == "10"
    assert answer["error"]["kind"] == "ChainError"
    assert len(answer["steps"]) == STEPS
    assert station.sent == first


def test_check_finds_what_was_changed_and_needs_no_key(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    done = station(*roles(), "--json").document
    monkeypatch.delenv("REWARDS_DEPLOYER_KEY")
    assert station("--check", "--json").document["sent"] == 0
    station.record.write_text(station.record.read_text().replace(HOLDERS["settler"], RICH))
    said = station("--check", status=6)
    values = (checksum(Address(account)) for account in (RICH, HOLDERS["settler"]))
    assert 'argument settler of UsageEscrow in the record: expected "{}", observed "{}"'.format(*values) in said.error
    assert "creation code and arguments of UsageEscrow: expected sha256" in said.error
    station.record.unlink()
    assert str(station.record) in station("--check", status=2).error
    assert done["usage_escrow"] is not None


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (roles(guardian=HOLDERS["canceller"]), 2, "canceller and guardian are both"),
        (roles(attester=DEPLOYER), 2, "deployer and attester are both"),
        (roles(attester="0x12"), 2, "--attester: not a usable address: '0x12'"),
        (roles(supply_to="0x" + "0" * 40), 2, "--supply-to: not a usable address"),
        (roles(settler=None), 2, "nobody is given as settler; give --settler ADDRESS"),
        ([*roles(), "--settler", RICH], 2, f"2 settlers are given, {HOLDERS['settler']}, {RICH}; give one --settler"),
        (
            roles(proposer=None, settler=None),
            2,
            "nobody is given as proposer, settler; give --proposer ADDRESS, --settler",
        ),
        (roles(admin=RICH, proposer=None, canceller=None, attester=None), 2, "nobody is given as attester; give"),
        (roles(publisher=None), 2, "nobody is given as publisher"),
        (roles(plan="9.5"), 2, "not a plan: '9.5'"),
        (roles(token="0x" + "12" * 20, supply_to=None), 2, "no contract is there"),
        ([*roles(), "--activation-delay", "60"], 2, "--activation-delay 60: give 3600 to 72000"),
        ([*roles(), "--max-epoch-amount", "1e9"], 2, "not an amount of CXPT: '1e9'"),
        ([*roles(), "--max-epoch-amount", "79228162515"], 2, "more than the Vault can hold"),
        ([*roles(), "--attesters-required", "2"], 2, "--attesters-required 2: give 1 to 1"),
    ],
)
def test_refusals_are_one_line_and_send_nothing(
    station: Station, arguments: list[str], status: int, named: str
) -> None:
    first = station.sent
    said = station(*arguments, status=status)
    assert (named in said.error, len(said.err.splitlines()), said.out) == (True, 1, ""), said.err
    assert station(*arguments, "--dry-run", status=status).error == said.error
    assert (station.sent, station.record.exists()) == (first, False)


@pytest.mark.parametrize("station", ["agung"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([*roles(), "--timelock-delay", "604799"], "--timelock-delay 604799 on agung: give 604800 to 7776000 seconds"),
        (roles(admin="0x" + "12" * 20, proposer=None, canceller=None), "no contract is there"),
    ],
)
def test_what_only_local_allows_is_refused_in_public(station: Station, arguments: list[str], named: str) -> None:
    first = station.sent
    assert named in station(*arguments, status=2).error
    assert station.sent == first


def answer(**answers: bytes) -> str:
    """Code that answers these functions, which take nothing unless their name says what, and refuses all else."""
    table, bodies = bytes.fromhex("5f3560e01c"), b""
    start = len(table) + 11 * len(answers) + 4
    for name, data in answers.items():
        place = start + len(bodies)
        signature = name if "(" in name else f"{name}()"
        table += b"\x80\x63" + keccak(signature.encode())[:4] + b"\x14\x61" + place.to_bytes(2) + b"\x57"
        size = len(data).to_bytes(2)
        bodies += b"\x5b\x61" + size + b"\x61" + (place + 14).to_bytes(2) + b"\x5f\x39\x61" + size + b"\x5f\xf3" + data
    return "0x" + (table + bytes.fromhex("5f5ffd00") + bodies).hex()


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32) for number in numbers)


def safe(threshold: int, *owners: str, modules: Sequence[str] | None = None) -> str:
    """Without `modules` a Safe so old that it does not list them by the page."""
    answers = {"getThreshold": words(threshold), "getOwners": words(32, len(owners), *(int(one, 16) for one in owners))}
    if modules is not None:
        listed = words(64, 1, len(modules), *(int(one, 16) for one in modules))
        answers["getModulesPaginated(address,uint256)"] = listed
    return answer(**answers)


@pytest.mark.parametrize("station", ["agung"], indirect=True)
@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("0x00", " is neither (it answers no getMinDelay(), nor getThreshold() and getOwners()); give a timelock of "),
        (answer(owner=b""), " is neither (it answers no getMinDelay()"),
        (safe(1, RICH, HOLDERS["proposer"]), " is a Safe that 1 of 2 owners must sign; give a timelock of "),
        (safe(2, RICH, RICH), " is a Safe that 2 of 1 owners must sign; give "),
        (safe(3, RICH, HOLDERS["proposer"]), " is a Safe that 3 of 2 owners must sign; give "),
        (
            safe(2, RICH, STRANGER, modules=["0x" + "4d" * 20]),
            f" is a Safe that 2 of 2 owners must sign, with the module 0x{'4d' * 20}; give ",
        ),
        (safe(2, RICH, HOLDERS["proposer"]), None),
        (safe(2, RICH, STRANGER, modules=[]), None),
    ],
)
def test_admin_in_public_is_a_safe_of_two_owners(station: Station, code: str, named: str | None) -> None:
    admin, first = "0x" + "5a" * 20, station.sent
    request(station.chain, "anvil_setCode", [admin, code])
    owned = roles(admin=admin, proposer=None, canceller=None)
    if named is not None:
        said = station(*owned, status=2)
        assert f"--admin {checksum(Address(admin))}{named}" in said.error
        assert "add --admin-unchecked if you know" in said.error
        assert station.sent == first
        owned.append("--admin-unchecked")
    assert station(*owned, "--json").document["admin"] == admin
    assert read_deployment(station.record).asked["admin_unchecked"] == (named is not None)
    assert "facts verified" in station("--check").out
    if named is not None:
        again = station(*owned[:-1], status=2)
        assert "admin" in again.error
    else:
        request(station.chain, "anvil_setCode", [admin, safe(1, RICH)])
        assert "observed a Safe that 1 of 1 owners must sign" in station("--check", status=6).error


@pytest.mark.parametrize("station", ["agung"], indirect=True)
def test_check_lists_what_waits_in_the_timelock_and_calls_it_no_failure(station: Station) -> None:
    timelock = station(*roles(), "--json").document["admin"]
    signer = checksum(HOLDERS["proposer"])
    for method, value in (("anvil_setBalance", [signer, hex(10**20)]), ("anvil_impersonateAccount", [signer])):
        request(station.chain, method, value)
    operation = checksum(Address(RICH)), 0, b"", bytes(32), bytes(32), 604_800
    data = "0x" + encode_call("TimelockController", "schedule", operation).hex()
    call = {"from": signer, "to": checksum(timelock), "data": data, "gas": hex(10**6)}
    request(station.chain, "eth_sendTransaction", [call])
    request(station.chain, "evm_mine")
    (waiting,) = station("--check", "--json").document["waiting_operations"]
    assert f"waiting operations    {waiting} (scheduled in the timelock, see what they do)" in station("--check").out
    assert station(*roles(), "--json").document["waiting_operations"] == [waiting]


@pytest.mark.parametrize("station", ["agung"], indirect=True)
def test_second_folder_with_the_same_key_is_refused_unless_begun_anew(station: Station, tmp_path: Path) -> None:
    station(*roles())
    first, station.record = station.sent, tmp_path / "other.json"
    said = station(*roles(), status=2)
    last = find_created_address(DEPLOYER, first - 2)
    assert f"has made the contract {checksum(last)} on http" in said.error
    assert "or give --begin-anew to start a new set of contracts" in said.error
    assert station.sent == first
    assert station(*roles(), "--begin-anew", "--json").document["sent"] == STEPS
    assert station(*roles(), "--begin-anew", "--json").document["sent"] == 0


@pytest.mark.parametrize("station", ["local", "agung"], indirect=True)
@pytest.mark.parametrize("who", ["deployer", "publisher", "settler"])
def test_safe_that_a_key_of_the_deployment_owns_is_refused_always(station: Station, who: str) -> None:
    admin, first = "0x" + "5a" * 20, station.sent
    owner = DEPLOYER if who == "deployer" else HOLDERS[who]
    request(station.chain, "anvil_setCode", [admin, safe(2, RICH, checksum(owner))])
    for more in ([], ["--admin-unchecked"]):
        said = station(*roles(admin=admin, proposer=None, canceller=None), *more, status=2)
        assert f": role of the {who} {owner} in the Safe: expected none, observed owner; a key of this" in said.error
    assert station.sent == first


@pytest.mark.parametrize("station", ["agung"], indirect=True)
def test_key_that_is_delegated_to_a_contract_is_no_admin_in_public(station: Station) -> None:
    """What such an account answers is the contract's, and its key acts alone all the same."""
    code, key = "0x" + "5a" * 20, "0x" + "5b" * 20
    request(station.chain, "anvil_setCode", [code, safe(2, RICH, STRANGER)])
    request(station.chain, "anvil_setCode", [key, "0xef0100" + code[2:]])
    for more in ([], ["--admin-unchecked"]):
        said = station(*roles(admin=key, proposer=None, canceller=None), *more, status=2)
        assert f"--admin {checksum(Address(key))}: one key holds it, delegated to {code} on http" in said.error


@pytest.mark.parametrize("station", ["agung"], indirect=True)
def test_events_of_another_shape_are_told_in_one_line(station: Station) -> None:
    admin, topic = "0x" + "5c" * 20, keccak(b"RoleGranted(bytes32,address,address)").hex()
    request(station.chain, "anvil_setCode", [admin, f"0x7f{topic}5f5fa100"])
    sender = Sender(station.chain, Patience(pause_s=0.02))
    sender.send(Intent("an event", Address(admin), b""), LocalSigner(bytes.fromhex(KEY)))
    delay = answer(**{"getMinDelay": words(604_800), "hasRole(bytes32,address)": words(0)})
    request(station.chain, "anvil_setCode", [admin, delay])
    said = station(*roles(admin=admin, proposer=None, canceller=None), status=4)
    assert f"{checksum(Address(admin))} wrote an event of a timelock with 1 topics instead of 3 or more" in said.error
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("station", ["agung"], indirect=True)
@pytest.mark.parametrize(
    ("delay", "proposers", "administrator", "named"),
    [
        (7_776_001, [], None, "is a timelock of 7776001 seconds (administrator itself, "),
        (604_800, [], "no executor", f"canceller {STRANGER}, executor none); give a timelock of 604800 to 7776000 "),
        (604_799, [], None, f"is a timelock of 604799 seconds (administrator itself, proposer {RICH}, canceller "),
        (
            604_800,
            [HOLDERS["proposer"]],
            None,
            f"proposer {HOLDERS['proposer']}, {RICH}, canceller {HOLDERS['proposer']}",
        ),
        (604_800, [], "0x" + "ff" * 20, "(administrator itself, 0xffffffff"),
        (604_800, [], None, None),
    ],
)
def test_admin_in_public_is_a_timelock_that_one_key_cannot_turn(
    station: Station, delay: int, proposers: list[str], administrator: str | None, named: str | None
) -> None:
    """OpenZeppelin makes each proposer of the constructor a canceller too."""
    signer, sender = LocalSigner(bytes.fromhex(KEY)), Sender(station.chain, Patience(pause_s=0.02))
    executors = [] if administrator == "no executor" else [ZERO_ADDRESS]
    arguments = delay, [checksum(Address(one)) for one in proposers], executors, checksum(DEPLOYER)
    sender.send(Intent("a timelock", None, encode_creation("TimelockController", arguments)), signer)
    timelock = find_created_address(DEPLOYER, station.sent - 1)
    grants = [(PROPOSER_ROLE, RICH), *([] if proposers else [(CANCELLER_ROLE, STRANGER)])]
    if administrator not in (None, "no executor"):
        grants.append((ADMIN_ROLE, str(administrator)))
    calls = [("grantRole", (role, checksum(Address(account)))) for role, account in grants]
    for name, values in [*calls, ("renounceRole", (ADMIN_ROLE, checksum(DEPLOYER)))]:
        sender.send(Intent(name, timelock, encode_call("TimelockController", name, values)), signer)
    first, owned = station.sent, roles(admin=timelock, proposer=None, canceller=None, guardian="0x" + "ab" * 20)
    if named is None:
        assert station(*owned, "--json").document["admin"] == timelock
        assert "facts verified" in station("--check").out
        return
    said = station(*owned, "--dry-run", status=2)
    assert named in said.error.replace(timelock, "itself")
    assert station.sent == first


def test_local_allows_a_short_delay_an_account_as_admin_and_a_token_that_exists(station: Station) -> None:
    assert station(*roles(), "--timelock-delay", "0", "--json").document["sent"] == STEPS
    station.record.unlink()
    owned = roles(admin="0x" + "12" * 20, proposer=None, canceller=None)
    owned_by_account = station(*owned, "--json").document
    assert owned_by_account["sent"] == STEPS - 4
    station.record.unlink()
    other = owned_by_account["subscription_manager"]
    named = station(*roles(token=other, supply_to=None), status=4).error
    assert "http://127.0.0.1" in named
    again = station(*roles(token=owned_by_account["token"], supply_to=None), "--json").document
    assert (again["token"], again["sent"]) == (owned_by_account["token"], STEPS - 2)


def test_check_takes_no_options_that_it_would_not_compare(station: Station) -> None:
    for more in (["--publisher", HOLDERS["publisher"]], ["--timelock-delay", "1"], ["--dry-run"], ["--begin-anew"]):
        assert (
            "--check compares the chain with the record, not with options" in station("--check", *more, status=2).error
        )


def test_timelock_that_the_deployer_still_administers_is_refused(station: Station) -> None:
    """What a deployment leaves that was broken off before the deployer renounced."""
    signer = LocalSigner(bytes.fromhex(KEY))
    sender = Sender(station.chain, Patience(pause_s=0, pause=lambda _: request(station.chain, "evm_mine")))
    data = encode_creation("TimelockController", timelock_arguments(604_800, signer.address))
    sender.send(Intent("a timelock", None, data), signer)
    first = station.sent
    timelock = find_created_address(DEPLOYER, first - 1)
    owned = roles(admin=timelock, proposer=None, canceller=None)
    said = station(*owned, status=2)
    assert f"role of the deployer {DEPLOYER} in the timelock: expected none, observed administrator" in said.error
    assert station.sent == first
    leave = encode_call("TimelockController", "renounceRole", (ADMIN_ROLE, checksum(DEPLOYER)))
    sender.send(Intent("leave", timelock, leave), signer)
    assert station(*owned, "--json").document["admin"] == timelock
    assert "facts verified" in station("--check").out


def test_token_that_is_not_cxpt_is_refused(station: Station, contracts: Path) -> None:
    artifact = load_artifact("HostileToken", contracts / "test" / "artifacts")
    sender = Sender(station.chain, Patience(pause_s=0, pause=lambda _: request(station.chain, "evm_mine")))
    sender.send(Intent("a token", None, artifact.bytecode), LocalSigner(bytes.fromhex(KEY)))
    first = station.sent
    other = find_created_address(DEPLOYER, first - 1)
    said = station(*roles(token=other, supply_to=None), status=2)
    assert f"--token {checksum(other)} is another token: symbol of the token: expected CXPT, observed " in said.error
    assert station.sent == first


def test_another_chain_is_refused_before_anything_else(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REWARDS_DEPLOYER_KEY")
    said = station("--publisher", "nonsense", status=4, network="peaq")
    assert "is chain 31337, not 3338" in said.error
    monkeypatch.setenv("REWARDS_CHAIN_ID", "9990")
    assert "REWARDS_CHAIN_ID is 9990, --network peaq is chain 3338" in station(status=2, network="peaq").error
    assert "is chain 31337, not 9990" in station(status=4, network="custom").error


def test_missing_key_fee_cap_and_locked_folder_are_named(
    station: Station, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = station.sent
    with monkeypatch.context() as patch:
        patch.delenv("REWARDS_DEPLOYER_KEY")
        assert "REWARDS_DEPLOYER_KEYSTORE" in station(*roles(), status=2).error
    with monkeypatch.context() as patch:
        patch.setenv("REWARDS_DEPLOYER_KEY", "12")
        named = station(*roles(), status=2).error
        assert "REWARDS_DEPLOYER_KEY: the private key is not 32 bytes in hex" in named
    keystore = tmp_path / "keystore.json"
    with monkeypatch.context() as patch:
        patch.delenv("REWARDS_DEPLOYER_KEY")
        patch.setenv("REWARDS_DEPLOYER_KEYSTORE", str(keystore))
        named = station(*roles(), status=2).error
        assert (
            f"REWARDS_DEPLOYER_KEYSTORE: the keystore {keystore} needs a password; set REWARDS_KEYSTORE_PASSW" in named
        )
        patch.setenv("REWARDS_KEYSTORE_PASSWORD", "correct horse")
        named = station(*roles(), status=2).error
        assert f"REWARDS_DEPLOYER_KEYSTORE: the keystore {keystore} cannot be read: No such file" in named
        keystore.write_text(json.dumps(Account.encrypt(KEY, "battery staple", kdf="pbkdf2", iterations=2)))
        named = station(*roles(), status=2).error
        assert "REWARDS_DEPLOYER_KEYSTORE: the keystore does not open; check the file and its password" in named
        patch.setenv("REWARDS_KEYSTORE_PASSWORD", "battery staple")
        assert DEPLOYER in station(*roles(), "--dry-run").out
    with monkeypatch.context() as patch:
        patch.setenv("REWARDS_MAX_FEE_WEI", "7")
        assert "above the cap of 7" in station(*roles(), status=4).error
    (tmp_path / "file").write_text("")
    station.record = tmp_path / "file" / "r.json"
    for more in ([], ["--dry-run"]):
        assert "give a folder that can be written" in station(*roles(), *more, status=2).error
    station.record = tmp_path
    for arguments in (roles(), [*roles(), "--dry-run"], ["--check"]):
        expected = f"--out {tmp_path} is a folder; give a file, such as {tmp_path / '31337.json'}"
        assert expected in station(*arguments, status=2).error
    station.record = tmp_path / "r.json.partial"
    for arguments in (roles(), ["--check"]):
        expected = f"--out {station.record} is the name of a journal; leave out .partial"
        assert expected in station(*arguments, status=2).error
    assert station.sent == first


def test_help_names_the_environment(rewards: Rewards) -> None:
    shown = rewards("deploy", "--help").out
    named = {name.removeprefix("REWARDS_").lower() for name in re.findall("REWARDS_[A-Z_]+", shown)}
    assert named <= set(Settings.model_fields)
    keys = {"deployer_key", "deployer_keystore", "deployer_kms_key", "keystore_password", "keystore_password_file"}
    assert {"rpc_url", "chain_id", "max_fee_wei", *keys} <= named


@pytest.mark.parametrize("station", ["agung"], indirect=True)
def test_waiting_shows_on_a_terminal_without_being_asked_for(station: Station) -> None:
    settings = {"REWARDS_RPC_URL": station.url, "REWARDS_DEPLOYER_KEY": KEY}
    command = "deploy", "--network", "agung", "--out", station.record, *roles()
    out, err = run_on_terminal(*command, REWARDS_POLL_SECONDS="0.2", **settings)
    assert f"of {STEPS}: wait until final: deployment of " in err
    assert ("wait until" in out, "facts verified" in out, KEY in out + err) == (False, True, False)


def test_default_endpoint_of_local_is_the_usual_one(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(url: str, *_: Any) -> Chain:
        asked.append(url)
        return station.chain

    monkeypatch.delenv("REWARDS_RPC_URL")
    monkeypatch.setattr("rewards.jobs.deploy.connect", note)
    station(*roles(), "--dry-run")
    assert asked == ["http://127.0.0.1:8545"]


@pytest.mark.parametrize("station", ["agung"], indirect=True)
def test_killed_by_the_kernel_again_and_again(station: Station) -> None:
    first, call = station.sent, "import sys; from rewards.cli import main; sys.argv[0] = 'rewards'; main()"
    command = [sys.executable, "-c", call, "deploy", "--network", "agung", "--out", str(station.record), *roles()]
    environment = clean_environment(REWARDS_RPC_URL=station.url, REWARDS_DEPLOYER_KEY=KEY, REWARDS_POLL_SECONDS="0.02")
    journal = station.record.with_name("r.json.partial")
    for number in (1, 3, 4, 8):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
            while run.poll() is None and _count_intents(journal) < number:
                time.sleep(0.005)
            os.kill(run.pid, signal.SIGKILL)
    assert "half finished" in station("--check", status=2).error
    whole = journal.read_text()
    journal.write_text(whole[:200])
    assert f"{journal} is not the journal of a deployment" in station("--check", status=2).error
    journal.write_text(whole)
    named = station(*roles(settler=RICH, supply_to=None), status=2).error
    assert f"--settler was {HOLDERS['settler']}, is now {RICH}" in named
    done = station(*roles(), "--json").document
    assert station.sent == first + STEPS
    # The one that was signed at the last kill may have been sent or not.
    assert done["sent"] <= 2
    record: Deployment = read_deployment(station.record)
    made = [Address(one.address) for one in record.contracts.values()]
    assert set(made) <= {find_created_address(DEPLOYER, first + i) for i in range(STEPS)}
    assert not journal.exists()


def _count_intents(journal: Path) -> int:
    return len(json.loads(journal.read_text())["intents"]) if journal.exists() else 0
