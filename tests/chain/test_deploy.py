"""A whole deployment: one set of contracts whatever kills the runs, nothing twice, everything verified."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from web3 import BaseProvider, Web3
from web3.types import RPCEndpoint, RPCResponse

from rewards.chain.administrators import inspect_admin
from rewards.chain.client import Chain, request
from rewards.chain.contracts import bind_contract, load_artifact
from rewards.chain.cost import bound_gas, require_instructions
from rewards.chain.deploy import ADMIN_ROLE, CANCELLER_ROLE, EXECUTOR_ROLE, PROPOSER_ROLE
from rewards.chain.deployment import Deployment, read_deployment
from rewards.chain.intent import Intent, SignedIntent
from rewards.chain.journal import journal_path, read_journal
from rewards.chain.locks import hold_folder, hold_key
from rewards.chain.plan import digest_bytecode, find_created_address
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.signers import LocalSigner
from rewards.chain.vault import Vault
from rewards.errors import ChainError, Disagreement, StorageError, UsageError
from rewards.jobs.deploy import Deployed, Ground, Planned, deploy, plan_deployment, verify_deployment
from rewards.units import SUPPLY, ZERO_ADDRESS, Address, checksum
from tests.chain.conftest import make_anvil, start_anvil
from tests.chain.grounds import (
    HOLDERS,
    POINTS,
    RICH,
    SECOND_CANCELLER,
    STEPS,
    Crash,
    Moment,
    make_ground,
    make_request,
    with_mortal_sender,
)
from tests.chain.networks import START, Network

DEPLOYER = 8
STRANGER = Address("0x" + "ee" * 20)


@pytest.fixture
def ground(network: Network, tmp_path: Path) -> Ground:
    return make_ground(network, network.signers[DEPLOYER], tmp_path)


def count(ground: Ground) -> int:
    """Transactions that the deployer ever sent, waiting ones included."""
    return ground.chain.count_transactions(ground.request.deployer, "pending")


def ask(ground: Ground, name: str, address: Address | None, function: str, *arguments: Any) -> Any:
    assert address is not None
    return bind_contract(ground.chain.web3, name, address).functions[function](*arguments).call()


def call_as(chain: Chain, who: Address, name: str, to: Address | None, function: str, *arguments: Any) -> None:
    """A call as if by `who`, whatever key it has: what a thief of that key, or a passed proposal, would do."""
    assert to is not None
    data = bind_contract(chain.web3, name, to).encode_abi(function, list(arguments))
    request(chain, "anvil_setBalance", [checksum(who), hex(10**20)])
    request(chain, "anvil_impersonateAccount", [checksum(who)])
    call = {"from": checksum(who), "to": checksum(to), "data": data, "gas": hex(10**6)}
    sent = request(chain, "eth_sendTransaction", [call])
    request(chain, "evm_mine")
    found = chain.find_receipt(bytes(sent) if isinstance(sent, bytes) else bytes.fromhex(sent[2:]))
    assert found is not None
    assert found["status"] == 1


def test_every_contract_stands_with_its_roles_and_the_deployer_holds_nothing(ground: Ground) -> None:
    first, stages = count(ground), list[str]()
    planned = plan_deployment(ground)
    assert isinstance(planned, Planned)
    assert (count(ground), [*ground.path.parent.iterdir()]) == (first, [])
    done = deploy(ground, stages.append)
    made, deployer, timelock = done.deployment, checksum(ground.request.deployer), done.deployment.timelock
    assert (done.sent, count(ground) - first, len(planned.plan.steps)) == (STEPS, STEPS, STEPS)
    assert [stage.partition(":")[0] for stage in stages[:-1]] == [f"{n} of {STEPS}" for n in range(1, STEPS + 1)]
    plan = planned.plan
    assert (made.token, made.timelock, made.admin, made.vault) == (plan.token, plan.admin, plan.admin, plan.vault)
    assert (made.subscription_manager, made.usage_escrow) == (plan.subscription_manager, plan.usage_escrow)

    roles = {"administrator": ADMIN_ROLE, "p": PROPOSER_ROLE, "c": CANCELLER_ROLE, "e": EXECUTOR_ROLE}
    for role in roles.values():
        assert ask(ground, "TimelockController", timelock, "hasRole", role, deployer) is False
    for account in (HOLDERS["canceller"], SECOND_CANCELLER):
        assert ask(ground, "TimelockController", timelock, "hasRole", CANCELLER_ROLE, checksum(account)) is True
    assert ask(ground, "TimelockController", timelock, "hasRole", EXECUTOR_ROLE, ZERO_ADDRESS) is True
    assert ask(ground, "TimelockController", timelock, "getMinDelay") == 3600
    vault = Vault(ground.chain, made)
    assert timelock is not None
    assert vault.role_of(timelock) == "admin"
    staff = ("publisher", "attester", "guardian", "treasurer")
    assert [vault.role_of(HOLDERS[role]) for role in staff] == list(staff)
    assert vault.role_of(ground.request.deployer) == "none"
    for name, address in (("SubscriptionManager", made.subscription_manager), ("UsageEscrow", made.usage_escrow)):
        assert ask(ground, name, address, "owner").lower() == timelock
        assert ask(ground, name, address, "vault").lower() == made.vault
    assert ask(ground, "UsageEscrow", made.usage_escrow, "settler").lower() == HOLDERS["settler"]
    assert ask(ground, "SubscriptionManager", made.subscription_manager, "plans", 1) == (100 * 10**18, 365 * 86_400)
    assert (vault.balance_of(RICH), vault.balance_of(ground.request.deployer)) == (SUPPLY, 0)

    assert read_deployment(ground.path) == made
    assert [file.name for file in ground.path.parent.iterdir()] == ["record.json"]
    for step in plan.steps:
        if step.creates:
            record = made.contracts[step.contract]
            found = ground.chain.find_receipt(bytes.fromhex(record.transaction[2:]))
            assert found is not None
            assert found["gasUsed"] < bound_gas(step), step.name
            assert (record.block, record.bytecode_sha256) == (found["blockNumber"], digest_bytecode(step.contract))
    config = made.contracts["CXPTVault"].arguments["config"]
    assert (config["token"], config["maxUserAmount"]) == (checksum(made.token), str(1000 * 10**18))

    again = deploy(ground)
    assert (again.sent, again.facts, again.deployment) == (0, done.facts, made)
    assert plan_deployment(ground) == again
    assert count(ground) - first == STEPS
    assert done.facts > 70


def run_until_done(ground: Ground, name: str) -> tuple[Deployed, int]:
    """Runs again after every death at the point `name`, at each transaction in turn; how often it died."""
    # What a death left undone is done by the next run, which comes to the same point with it first.
    repeated = name in ("before signing", "signed, not stored", "stored, not sent")
    for died in range(STEPS + 1):
        moment = Moment(name, died + 1 if name == "final" else 2 if repeated and died else 1)
        try:
            return deploy(with_mortal_sender(ground, moment)), died
        except Crash:
            continue
    pytest.fail(f"still not deployed after {STEPS + 1} runs")


@pytest.mark.parametrize("name", POINTS)
def test_killed_at_every_transaction_there_is_one_set_of_contracts(anvil: Network, tmp_path: Path, name: str) -> None:
    ground = make_ground(anvil, anvil.signers[DEPLOYER], tmp_path)
    first = count(ground)
    done, died = run_until_done(ground, name)
    assert died == STEPS
    assert count(ground) == first + STEPS
    nonces = []
    for record in done.deployment.contracts.values():
        nonces.append(ground.chain.web3.eth.get_transaction(record.transaction)["nonce"])  # type: ignore[arg-type]
    assert sorted(nonces) == nonces
    assert set(nonces) <= set(range(first, first + STEPS))
    assert not journal_path(ground.path).exists()
    assert deploy(ground).sent == 0


@pytest.mark.parametrize("number", [1, 2, 5, STEPS])
def test_killed_once_the_next_run_sends_the_rest(embedded: Network, tmp_path: Path, number: int) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)
    with pytest.raises(Crash):
        deploy(with_mortal_sender(ground, Moment("stored, not sent", number)))
    journal = read_journal(journal_path(ground.path))
    assert journal is not None
    assert ([one.nonce for (one,) in journal.intents.values()], count(ground)) == (list(range(number)), number - 1)
    planned = plan_deployment(ground)
    assert isinstance(planned, Planned)
    assert len(planned.signed) == number
    assert set(planned.cost.gas) == {step.name for step in planned.plan.steps[number - 1 :]}
    done = deploy(ground)
    # What was signed before goes out as well.
    assert (done.sent, count(ground)) == (STEPS - number + 1, STEPS)


def test_killed_between_the_record_and_the_end_of_the_journal(
    embedded: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)

    def die(_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("rewards.chain.journal.Journal.remove", die)
        with pytest.raises(Crash):
            deploy(ground)
    assert journal_path(ground.path).exists()
    assert (deploy(ground).sent, count(ground)) == (0, STEPS)
    assert not journal_path(ground.path).exists()


def test_killed_while_transactions_wait_for_a_block(anvil: Network, tmp_path: Path) -> None:
    """Blocks come only while the sender waits, so each death leaves a transaction in the pool."""
    ground = make_ground(anvil, anvil.signers[DEPLOYER], tmp_path)
    first = count(ground)
    request(anvil.chain, "evm_setAutomine", [False])
    try:
        for number in range(1, STEPS + 1):
            with pytest.raises(Crash):
                deploy(with_mortal_sender(ground, Moment("sent, not mined", 1)))
            assert count(ground) == first + number
            assert anvil.chain.count_transactions(ground.request.deployer, "latest") == first + number - 1
        assert (deploy(ground).sent, count(ground)) == (0, first + STEPS)
    finally:
        request(anvil.chain, "evm_setAutomine", [True])


def test_other_arguments_than_those_of_a_half_finished_deployment_are_named(
    embedded: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)
    with pytest.raises(Crash):
        deploy(with_mortal_sender(ground, Moment("final", 3)))
    other = replace(ground, request=replace(ground.request, settler=RICH, supply_to=None))
    for attempt in (deploy, plan_deployment):
        with pytest.raises(UsageError) as caught:
            attempt(other)
        assert f"--settler was {HOLDERS['settler']}, is now {RICH}; --supply-to was {RICH}, is now not given" in str(
            caught.value
        )
        assert str(journal_path(ground.path)) in str(caught.value)
    with monkeypatch.context() as patch:
        patch.setattr("rewards.jobs.deploy.digest_bytecode", lambda name: f"of {name}")
        with pytest.raises(
            UsageError,
            match=r"half-finished deployment of another CXPTToken, TimelockController, .*; go on with the version",
        ):
            deploy(ground)
    assert count(ground) == 3
    assert deploy(ground).sent == STEPS - 3
    with pytest.raises(UsageError, match="records a deployment with other arguments: --settler was"):
        deploy(other)
    assert count(ground) == STEPS


def test_journal_that_does_not_read_is_never_taken_for_none(embedded: Network, tmp_path: Path) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)
    with pytest.raises(Crash):
        deploy(with_mortal_sender(ground, Moment("stored, not sent", 1)))
    path = journal_path(ground.path)
    whole = json.loads(path.read_text())
    whole["intents"][0]["raw"] = whole["intents"][0]["raw"][:-2] + "00"
    for text in (path.read_text()[:100], "[]", json.dumps(whole)):
        path.write_text(text)
        with pytest.raises(UsageError, match="is not the journal of a deployment"):
            deploy(ground)
    assert count(ground) == 0


def test_a_step_that_failed_in_a_block_is_signed_anew(anvil: Network, tmp_path: Path) -> None:
    """The first transaction gets too little gas; its nonce is gone, so the contracts move by one."""
    ground = make_ground(anvil, anvil.signers[DEPLOYER], tmp_path)
    first = count(ground)

    class Mean(LocalSigner):
        def sign_transaction(self, transaction: Any) -> bytes:
            return super().sign_transaction({**transaction, "gas": transaction["gas"] // 2})

    mean = Mean((DEPLOYER + 1).to_bytes(32))
    assert mean.address == ground.request.deployer
    with pytest.raises(ChainError, match=r"deployment of CXPTToken: transaction 0x[0-9a-f]{64} failed"):
        deploy(replace(ground, signer=mean))
    done = deploy(ground)
    assert (done.sent, count(ground)) == (STEPS, first + 1 + STEPS)


@pytest.fixture
def dear(contracts: Path) -> Iterator[tuple[Network, Callable[[int], None]]]:
    """A node of its own that mines when it is told to, and what sets the base fee of the next block and mines it."""
    with start_anvil(contracts, START, "--no-mining") as url:
        network = make_anvil(url)

        def mine_for(base_fee: int) -> None:
            request(network.chain, "anvil_setNextBlockBaseFeePerGas", [hex(base_fee)])
            network.mine()

        yield network, mine_for


def read_versions(ground: Ground, step: str) -> tuple[SignedIntent, ...]:
    journal = read_journal(journal_path(ground.path))
    assert journal is not None
    return journal.intents[step]


@pytest.mark.parametrize("dropped", [False, True])
def test_step_whose_fee_became_too_low_is_told_and_replaced(
    dear: tuple[Network, Callable[[int], None]], tmp_path: Path, dropped: bool
) -> None:
    network, mine_for = dear
    ground = make_ground(network, network.signers[DEPLOYER], tmp_path)
    high = 10**11
    impatient = Sender(ground.chain, Patience(polls=3, pause_s=0, pause=lambda _: mine_for(high)), max_fee_cap=high)
    with pytest.raises(ChainError) as caught:
        deploy(replace(ground, sender=impatient))
    (low,) = read_versions(ground, "CXPTToken")
    assert f"deployment of CXPTToken: transaction 0x{low.transaction.hex()} is in no block yet: nonce 0 of " in str(
        caught.value
    )
    assert f"pays up to {low.max_fee} wei per gas, the base fee is {high}; it was not replaced: a fee of " in str(
        caught.value
    )
    assert f"above the cap of {high}; wait or raise REWARDS_MAX_FEE_WEI; resume it later: run the same" in str(
        caught.value
    )
    if dropped:
        request(network.chain, "anvil_dropAllTransactions")
    with pytest.raises(ChainError, match=f"above the cap of {high}; wait or raise"):
        deploy(replace(ground, sender=Sender(ground.chain, Patience(), max_fee_cap=high)))
    with pytest.raises(Crash):
        deploy(with_mortal_sender(ground, Moment("sent, not mined", 1)))
    new, old = read_versions(ground, "CXPTToken")
    assert (old, new.nonce, new.gas, new.max_fee > 2 * high) == (low, 0, low.gas, True)
    assert new.priority_fee * 8 >= old.priority_fee * 9
    done = deploy(ground)
    assert (done.sent, count(ground)) == (STEPS - 1, STEPS)
    assert done.deployment.contracts["CXPTToken"].transaction == "0x" + new.transaction.hex()


def test_replacement_is_sent_and_told(dear: tuple[Network, Callable[[int], None]], tmp_path: Path) -> None:
    network, mine_for = dear
    ground = make_ground(network, network.signers[DEPLOYER], tmp_path)
    with pytest.raises(Crash):
        deploy(with_mortal_sender(ground, Moment("sent, not mined", STEPS)))
    mine_for(10**11)
    assert (deploy(ground).sent, count(ground)) == (1, STEPS)


def test_nonce_of_another_transaction_is_not_to_be_had_for_a_higher_fee(embedded: Network) -> None:
    sender, signer = embedded.sender, embedded.signers[DEPLOYER]
    cheap = replace(sender.sign(Intent("a gift", RICH, b""), signer), max_fee=0)
    assert sender.is_stuck(cheap)
    sender.send(Intent("something else", RICH, b"\x01"), signer)
    assert not sender.is_stuck(cheap)


def test_step_that_was_replaced_may_still_be_mined(dear: tuple[Network, Callable[[int], None]], tmp_path: Path) -> None:
    """The fee falls again before the replacement is sent."""
    network, mine_for = dear
    ground = make_ground(network, network.signers[DEPLOYER], tmp_path)
    with pytest.raises(Crash):
        deploy(with_mortal_sender(ground, Moment("sent, not mined", 1)))
    mine_for(10**11)
    with pytest.raises(Crash):
        deploy(with_mortal_sender(ground, Moment("stored, not sent", 1)))
    _, old = read_versions(ground, "CXPTToken")
    # Another node had kept it in its pool; this one may have dropped it.
    request(network.chain, "anvil_dropAllTransactions")
    mine_for(10**9)
    network.chain.web3.eth.send_raw_transaction(old.raw)
    mine_for(10**9)
    assert ground.chain.find_receipt(old.transaction) is not None
    planned = plan_deployment(ground)
    assert isinstance(planned, Planned)
    assert "CXPTToken" not in planned.cost.gas
    done = deploy(ground)
    assert (done.sent, count(ground)) == (STEPS - 1, STEPS)
    assert done.deployment.contracts["CXPTToken"].transaction == "0x" + old.transaction.hex()


def test_replacement_raises_both_fees_by_an_eighth(embedded: Network) -> None:
    sender, signer = embedded.sender, embedded.signers[DEPLOYER]
    intent = Intent("a gift", RICH, b"")
    first = replace(sender.sign(intent, signer), max_fee=10**11 + 1, priority_fee=10**10 + 1)
    second = sender.replace(first, intent, signer)
    assert (second.max_fee, second.priority_fee) == ((10**11 + 1) * 9 // 8 + 1, (10**10 + 1) * 9 // 8 + 1)
    assert (second.nonce, second.gas) == (first.nonce, first.gas)
    assert not sender.is_stuck(first)


def test_another_use_of_the_key_in_the_middle_stops_before_sending(embedded: Network, tmp_path: Path) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)

    def disturb(stage: str) -> None:
        if stage.startswith("5 of"):
            embedded.sender.send(Intent("something else", RICH, b""), ground.signer)

    with pytest.raises(ChainError, match=r"renounceRole .* planned with nonce 5, the chain gives 6") as caught:
        deploy(ground, lambda stage: disturb(stage.replace("6 of", "5 of") if "6 of" in stage else ""))
    assert "this step was not sent, find out what it was" in str(caught.value)
    assert count(ground) == 6
    path, who = journal_path(ground.path), checksum(ground.request.deployer)
    told = f"{path} ends at nonce 4 of {who}, and the chain counts 6: the key has sent 1 transactions that the journal does"
    for attempt in (deploy, plan_deployment):
        with pytest.raises(UsageError, match=f"{told} not know; restore .* or give --begin-anew to start a new set"):
            attempt(ground)
    before, anew = path.read_text(), replace(ground, begin_anew=True)
    assert isinstance(plan_deployment(anew), Planned)
    assert ([*tmp_path.iterdir()], path.read_text()) == ([path], before)
    with pytest.raises(Crash):
        deploy(with_mortal_sender(anew, Moment("final", 3)))
    aside = tmp_path / f"{path.name}.5"
    assert (aside.read_text(), count(ground)) == (before, 9)
    done = deploy(anew)
    assert (done.sent, count(ground)) == (STEPS - 3, 6 + STEPS)
    assert sorted(tmp_path.iterdir()) == [ground.path, aside]


def test_old_copy_of_a_journal_is_refused(embedded: Network, tmp_path: Path) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)
    path, copies = journal_path(ground.path), []
    for number in (1, 5):
        with pytest.raises(Crash):
            deploy(with_mortal_sender(ground, Moment("final", number)))
        copies.append(path.read_text())
    path.write_text(copies[0])
    with pytest.raises(UsageError, match=r"ends at nonce 0 of 0x\w+, and the chain counts 5: .* sent 4 transactions"):
        deploy(ground)
    other = make_ground(embedded, embedded.signers[DEPLOYER + 1], tmp_path)
    embedded.sender.send(Intent("a gift", RICH, b""), other.signer)
    embedded.sender.send(Intent("a gift", RICH, b""), other.signer)
    with pytest.raises(UsageError, match="the deployer's key is that of"):
        deploy(replace(other, begin_anew=True))
    path.write_text(copies[1])
    assert (deploy(ground).sent, count(ground)) == (STEPS - 5, STEPS)


def test_contracts_of_the_key_that_nothing_tells_of_are_refused_in_public(
    anvil: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = make_ground(anvil, anvil.signers[DEPLOYER], tmp_path / "one")
    ground = replace(ground, request=replace(ground.request, network="agung"))
    anvil.sender.send(Intent("a gift", RICH, b""), ground.signer)
    with pytest.raises(Crash):
        deploy(with_mortal_sender(replace(ground, begin_anew=True), Moment("final", 2)))
    other = replace(ground, path=tmp_path / "two" / "record.json")
    made = find_created_address(ground.request.deployer, count(ground) - 1)
    told = f"has made the contract {checksum(made)} on .* by nonce {count(ground) - 1}, and neither {other.path} nor "
    for attempt in (deploy, plan_deployment):
        with pytest.raises(
            UsageError, match=f"{told}{journal_path(other.path)} tells of it; .* or give --begin-anew to"
        ):
            attempt(other)
    assert isinstance(plan_deployment(replace(other, begin_anew=True)), Planned)
    assert isinstance(plan_deployment(replace(other, request=replace(other.request, network="local"))), Planned)
    token = find_created_address(ground.request.deployer, count(ground) - 2)
    known: dict[str, Any] = {"token": token, "admin": made, "supply_to": None, "proposers": (), "cancellers": ()}
    known |= {"admin_unchecked": True}
    with monkeypatch.context() as patch:
        patch.setattr("rewards.chain.resumption.LOOK_BACK", 2)
        assert isinstance(plan_deployment(replace(other, request=replace(other.request, **known))), Planned)
        anvil.sender.send(Intent("a gift", RICH, b""), ground.signer)
        with pytest.raises(UsageError, match=told):
            plan_deployment(other)
        anvil.sender.send(Intent("a gift", RICH, b""), ground.signer)
        assert isinstance(plan_deployment(other), Planned)


def test_journal_of_another_set_beside_a_record_is_never_thrown_away(embedded: Network, tmp_path: Path) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)
    deploy(ground)
    aside = ground.path.rename(tmp_path / "aside.json")
    with pytest.raises(Crash):
        deploy(with_mortal_sender(ground, Moment("stored, not sent", 1)))
    path = journal_path(ground.path)
    aside.rename(ground.path)
    for attempt in (deploy, plan_deployment):
        with pytest.raises(
            UsageError, match=f"{path} has signed a step that {ground.path} does not record, CXPTToken; "
        ):
            attempt(ground)
    ground.path.rename(aside)
    assert (deploy(ground).sent, count(ground), path.exists()) == (STEPS, 2 * STEPS, False)


def test_call_that_was_never_mined_keeps_its_journal(
    embedded: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("rewards.chain.journal.Journal.remove", lambda _: None)
        deploy(ground)
    journal = read_journal(journal_path(ground.path))
    assert journal is not None
    finished = journal.intents["renounce"]
    journal.intents["renounce"] = (embedded.sender.sign(Intent("a gift", RICH, b""), ground.signer),)
    journal.write()
    with pytest.raises(UsageError, match="does not record, renounce; move the record away"):
        deploy(ground)
    journal.keep("renounce", *finished)
    assert deploy(ground).sent == 0
    assert not journal.path.exists()


def test_nonce_that_went_to_another_transaction_is_never_replaced_by_guess(embedded: Network, tmp_path: Path) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)
    with pytest.raises(Crash):
        deploy(with_mortal_sender(ground, Moment("stored, not sent", 2)))
    embedded.sender.send(Intent("something else", RICH, b""), ground.signer)
    for _ in range(2):
        with pytest.raises(ChainError, match=r"deployment of TimelockController: nonce 1 of 0x.* went to another"):
            deploy(ground)
    assert count(ground) == 2


def test_a_timelock_and_a_token_that_exist_are_used(embedded: Network, tmp_path: Path) -> None:
    made = deploy(make_ground(embedded, embedded.signers[DEPLOYER], tmp_path / "first")).deployment
    changes: dict[str, Any] = {"token": made.token, "admin": made.timelock, "proposers": (), "cancellers": ()}
    changes |= {"timelock_delay_s": None, "supply_to": None, "offers": ()}
    second = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path / "second", **changes)
    done = deploy(second)
    assert (done.sent, done.deployment.token, done.deployment.admin) == (3, made.token, made.timelock)
    assert (done.deployment.timelock, done.deployment.supply_transaction) == (None, None)
    assert sorted(done.deployment.contracts) == ["CXPTVault", "SubscriptionManager", "UsageEscrow"]


# The admin that was there before, and what waits in a timelock


def schedule(ground: Ground, timelock: Address | None, salt: int) -> str:
    """An operation of the proposer, which does nothing; its id."""
    operation = checksum(STRANGER), 0, b"", bytes(32), salt.to_bytes(32)
    act = "TimelockController", timelock, "schedule"
    call_as(ground.chain, HOLDERS["proposer"], *act, *operation, 7200)
    return "0x" + bytes(ask(ground, "TimelockController", timelock, "hashOperation", *operation)).hex()


def cancel(ground: Ground, timelock: Address | None, waiting: str) -> None:
    act = "TimelockController", timelock, "cancel"
    call_as(ground.chain, HOLDERS["canceller"], *act, bytes.fromhex(waiting[2:]))


def test_operation_that_waits_in_a_new_timelock_keeps_it_from_being_recorded(anvil: Network, tmp_path: Path) -> None:
    ground = make_ground(anvil, anvil.signers[DEPLOYER], tmp_path)
    with pytest.raises(Crash):
        deploy(with_mortal_sender(ground, Moment("final", 6)))
    nonce = read_versions(ground, "TimelockController")[0].nonce
    timelock = find_created_address(ground.request.deployer, nonce)
    first, second = schedule(ground, timelock, 1), schedule(ground, timelock, 2)
    cancel(ground, timelock, first)
    message = (
        f"operations waiting in the timelock {timelock}: expected none, observed {second}; a new timelock has none"
    )
    for _ in range(2):
        with pytest.raises(Disagreement, match=message):
            deploy(ground)
        assert (ground.path.exists(), journal_path(ground.path).exists()) == (False, True)
    cancel(ground, timelock, second)
    done = deploy(ground)
    assert (done.deployment.timelock, done.waiting) == (timelock, ())
    third = schedule(ground, timelock, 3)
    again = deploy(ground)
    assert (again.waiting, again.facts) == ((third,), done.facts)
    assert plan_deployment(ground) == again


def test_operation_that_waits_in_the_admin_is_refused_before_sending(anvil: Network, tmp_path: Path) -> None:
    timelock = deploy(make_ground(anvil, anvil.signers[DEPLOYER], tmp_path / "first")).deployment.timelock
    changes: dict[str, Any] = {"admin": timelock, "proposers": (), "cancellers": (), "timelock_delay_s": None}
    ground = make_ground(anvil, anvil.signers[DEPLOYER], tmp_path / "second", **changes)
    waiting, first = schedule(ground, timelock, 1), count(ground)
    for attempt in (deploy, plan_deployment):
        with pytest.raises(UsageError, match=f"waiting in the timelock: expected none, observed {waiting}; execute or"):
            attempt(ground)
    assert count(ground) == first
    unchecked = replace(ground, request=replace(ground.request, admin_unchecked=True))
    assert isinstance(plan_deployment(unchecked), Planned)
    cancel(ground, timelock, waiting)
    assert deploy(ground).waiting == ()
    later = schedule(ground, timelock, 2)
    assert deploy(ground).waiting == (later,)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"code": -32005, "message": "rate limit exceeded"}, "rate limit exceeded"),
        ({"code": -32005, "message": "rate limit exceeded", "data": {"see": "our prices"}}, "rate limit exceeded"),
        ({"code": -32005, "message": "rate limit exceeded", "data": None}, "rate limit exceeded"),
        ({"code": -32005, "message": "rate limit exceeded", "data": "see our prices"}, "see our prices"),
        ({"code": -32000, "message": "header not found"}, "header not found"),
        ({"code": 3, "message": "execution reverted", "data": "0x"}, None),
        ({"code": -32000, "message": "execution reverted"}, None),
        ({"code": -32015, "message": "VM execution error.", "data": "Reverted 0x"}, None),
        ({"code": -32000, "message": "VM Exception: revert", "data": {"stack": "…"}}, None),
    ],
)
def test_node_that_does_not_answer_is_never_taken_for_an_admin_without_the_function(
    answer: dict[str, Any], told: str | None
) -> None:
    class Node(BaseProvider):
        def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
            if method == "eth_chainId":
                return {"jsonrpc": "2.0", "id": 1, "result": "0x7a69"}
            return {"jsonrpc": "2.0", "id": 1, "error": answer}  # type: ignore[typeddict-item]

    chain = Chain(Web3(Node()), 31337, "a node")
    owned = make_request(STRANGER, chain.chain_id, admin=RICH, proposers=(), cancellers=())
    if told is None:
        assert list(inspect_admin(chain, owned)) == []
        return
    with pytest.raises(ChainError, match=told):
        list(inspect_admin(chain, owned))


# What is refused before anything is sent


def test_balance_that_does_not_suffice_is_told_with_need_and_shortfall(anvil: Network, tmp_path: Path) -> None:
    ground = make_ground(anvil, LocalSigner(b"\x77" * 32), tmp_path)
    planned = plan_deployment(ground)
    assert isinstance(planned, Planned)
    need, who = planned.cost.need, checksum(ground.request.deployer)
    request(anvil.chain, "anvil_setBalance", [who, hex(need - 5)])
    with pytest.raises(ChainError) as caught:
        deploy(ground)
    expected = f"the deployer {who} has {need - 5} wei and needs up to {need}: 5 too little; nothing was sent"
    assert (str(caught.value), count(ground)) == (expected, 0)
    assert [*tmp_path.iterdir()] == []
    request(anvil.chain, "anvil_setBalance", [who, hex(need)])
    with pytest.raises(Crash):
        deploy(with_mortal_sender(ground, Moment("final", 2)))
    request(anvil.chain, "anvil_setBalance", [who, "0x5"])
    with pytest.raises(
        ChainError, match=r"has 5 wei and needs up to [0-9]+: [0-9]+ too little; nothing more was sent$"
    ):
        deploy(ground)
    request(anvil.chain, "anvil_setBalance", [who, hex(need)])
    assert (deploy(ground).sent, count(ground)) == (STEPS - 2, STEPS)


def test_chain_that_charges_more_gas_raises_every_bound(
    embedded: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that cannot be estimated yet cost more by what those that can be do."""
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)
    usual = plan_deployment(ground)
    assert isinstance(usual, Planned)
    estimate = ground.chain.estimate_gas
    monkeypatch.setattr(ground.chain, "estimate_gas", lambda call: 5 * estimate(call))
    dear = plan_deployment(ground)
    assert isinstance(dear, Planned)
    assert dear.cost.gas["CXPTToken"] == pytest.approx(5 * usual.cost.gas["CXPTToken"], abs=5)
    assert dear.cost.gas["CXPTVault"] > 4 * usual.cost.gas["CXPTVault"]


def test_fee_above_the_cap_is_refused(ground: Ground) -> None:
    first = count(ground)
    capped = replace(ground, sender=Sender(ground.chain, Patience(), max_fee_cap=7))
    for attempt in (deploy, plan_deployment):
        with pytest.raises(ChainError, match="above the cap of 7"):
            attempt(capped)
    assert count(ground) == first


def test_step_that_the_chain_would_refuse_is_refused_before_the_first(ground: Ground, tmp_path: Path) -> None:
    """What stands by itself is estimated by the chain: here a Vault over a token that exists."""
    token = deploy(ground).deployment.token
    wrong = replace(ground.request, token=token, supply_to=None, activation_delay_s=1)
    first = count(ground)
    with pytest.raises(
        ChainError, match=r"deployment of CXPTVault: .*InvalidActivationDelay\(given=1\); nothing was sent"
    ):
        deploy(replace(ground, request=wrong, path=tmp_path / "second" / "record.json"))
    assert count(ground) == first


def test_folder_that_cannot_be_written_costs_nothing(embedded: Network, tmp_path: Path) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="give a folder that can be written"):
        deploy(replace(ground, path=tmp_path / "file" / "x.json"))
    with hold_folder(tmp_path), pytest.raises(StorageError, match=f"another deployment is at work in {tmp_path}; wait"):
        deploy(ground)
    assert count(ground) == 0


def test_two_deployments_by_one_key_never_run_at_once(embedded: Network, tmp_path: Path) -> None:
    """Into two folders, since one folder is locked by itself."""
    ground, other = (make_ground(embedded, embedded.signers[DEPLOYER], tmp_path / name) for name in ("one", "two"))
    refused = []

    def try_the_other(_: str) -> None:
        with pytest.raises(StorageError) as caught:
            deploy(other)
        refused.append(str(caught.value))

    deploy(ground, try_the_other)
    who = f"{checksum(ground.request.deployer)} on chain {ground.chain.chain_id}"
    assert set(refused) == {f"another deployment by {who} is at work (process {os.getpid()}); wait until it ends"}
    assert count(ground) == STEPS
    (lock,) = tmp_path.glob("*.lock")
    lock.unlink()
    lock.mkdir()
    with pytest.raises(StorageError, match=f"the lock {lock} cannot be made: Is a directory; set XDG_STATE_HOME to a"):
        deploy(other)


def test_locks_are_in_a_folder_of_this_user_alone(
    embedded: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)

    def place() -> Path:
        return Ground(ground.sender, ground.signer, ground.request, ground.path).locks

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for state in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", state)
        assert place() == tmp_path / "home" / ".local" / "state" / "cxpt-rewards" / "locks"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert place() == tmp_path / "state" / "cxpt-rewards" / "locks"
    folder = place()
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with hold_key(folder / "key", "a key"):
        assert folder.stat().st_mode & 0o777 == 0o700
        with (
            pytest.raises(StorageError, match=rf"^a key \(process {os.getpid()}\); wait until it ends"),
            hold_key(folder / "key", "a key"),
        ):
            pass
    link = tmp_path / "link"
    link.symlink_to(folder)
    (tmp_path / "file").write_text("")
    for wrong in (link / "key", tmp_path / "file" / "key"):
        with pytest.raises(StorageError, match=f"the lock {wrong} cannot be made: "), hold_key(wrong, "a key"):
            pass
    monkeypatch.setattr("os.getuid", lambda: 4242)
    told = f"{folder} belongs to user {os.geteuid()}, not 4242; set XDG_STATE_HOME to a folder of this user"
    with pytest.raises(StorageError, match=told), hold_key(folder / "key", "a key"):
        pass


def test_dry_run_writes_nothing(anvil: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> dict[str, str]:
        return {str(path): path.read_text() if path.is_file() else "" for path in tmp_path.rglob("*")}

    class Mean(LocalSigner):
        def sign_transaction(self, transaction: Any) -> bytes:
            return super().sign_transaction({**transaction, "gas": transaction["gas"] // 2})

    ground = make_ground(anvil, Mean((DEPLOYER + 1).to_bytes(32)), tmp_path / "a" / "b")
    plan_deployment(ground)
    assert look() == {}
    with pytest.raises(ChainError, match=r"deployment of CXPTToken: transaction .* failed"):
        deploy(ground)
    before = look()
    planned = plan_deployment(ground)
    assert isinstance(planned, Planned)
    assert (planned.signed, look()) == (frozenset(), before)
    ground = replace(ground, signer=anvil.signers[DEPLOYER])
    with monkeypatch.context() as patch:
        patch.setattr("rewards.chain.journal.Journal.remove", lambda _: None)
        deploy(ground)
    before = look()
    assert isinstance(plan_deployment(ground), Deployed)
    assert look() == before


def test_records_side_by_side_have_journals_of_their_own(tmp_path: Path) -> None:
    names = [journal_path(tmp_path / name).name for name in ("a.json", "a.txt", "a")]
    assert names == ["a.json.partial", "a.txt.partial", "a.partial"]


def test_disk_that_fills_up_stops_before_the_next_transaction(
    embedded: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)
    with pytest.raises(Crash):
        deploy(with_mortal_sender(ground, Moment("final", 2)))

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rewards.chain.journal.write_durably", refuse)
        with pytest.raises(StorageError, match="No space left on device; nothing more is sent"):
            deploy(ground)
    assert count(ground) == 2
    assert deploy(ground).sent == STEPS - 2


def test_chain_without_the_instructions_of_cancun_is_refused(contracts: Path) -> None:
    with start_anvil(contracts, START, "--hardfork", "shanghai") as url:
        old = make_anvil(url)
        with pytest.raises(ChainError, match="does not run the instructions of Cancun"):
            require_instructions(old.chain, old.signers[0].address)


def test_record_of_another_tool_is_left_alone(embedded: Network, tmp_path: Path) -> None:
    ground = make_ground(embedded, embedded.signers[DEPLOYER], tmp_path)
    account = Address("0x" + "01" * 20)
    ground.path.write_text(Deployment(1, account, account, 1, bytes(32), 0, account).to_json())
    with pytest.raises(UsageError, match="a deployment that another tool made; give --out"):
        deploy(ground)


# What stands is compared with what was asked


@pytest.fixture(scope="module")
def standing(anvil_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Ground]:
    network = make_anvil(anvil_url)
    ground = make_ground(network, network.signers[DEPLOYER], tmp_path_factory.mktemp("standing"))
    deploy(ground)
    return network, ground


def change_code(network: Network, address: Address | None, offset: int, value: bytes) -> None:
    assert address is not None
    where = Web3.to_checksum_address(checksum(address))
    code = bytearray(network.chain.web3.eth.get_code(where))
    code[offset : offset + len(value)] = value
    request(network.chain, "anvil_setCode", [where, "0x" + code.hex()])


Tamper = Callable[[Network, Deployment], None]
TAMPERED: dict[str, tuple[Tamper, str]] = {
    "code": (
        lambda n, d: change_code(n, d.vault, 40, b"\x99"),
        r"code of CXPTVault: expected sha256 [0-9a-f]{64} of ([0-9]+) bytes, observed sha256 [0-9a-f]{64} of \1 bytes",
    ),
    "code gone": (
        lambda n, d: request(n.chain, "anvil_setCode", [checksum(d.usage_escrow or ""), "0x"]),
        "code of UsageEscrow: expected sha256 [0-9a-f]{64} of [0-9]+ bytes, observed sha256 [0-9a-f]{64} of 0 bytes",
    ),
    "fixed token in one place": (
        lambda n, d: change_code(n, d.vault, load_artifact("CXPTVault").immutables[0][3], bytes(31) + b"\x66"),
        r"token in the code of CXPTVault: expected 0x0{24}[0-9a-f]{40}, observed 0x0{62}66, 0x0{24}[0-9a-f]{40}",
    ),
    "fixed domain of permits": (
        lambda n, d: change_code(n, d.token, load_artifact("CXPTToken").immutables[0][0], bytes(32)),
        "domain separator in the code of CXPTToken: expected 0x[0-9a-f]{64}, observed 0x0{64}",
    ),
    "publisher lost": (
        lambda n, d: call_as(n.chain, d.admin, "CXPTVault", d.vault, "setRole", checksum(HOLDERS["publisher"]), 0),
        f"role of {HOLDERS['publisher']} in the Vault: expected publisher, observed none",
    ),
    "publisher too many": (
        lambda n, d: call_as(n.chain, d.admin, "CXPTVault", d.vault, "setRole", checksum(STRANGER), 2),
        f"role of {STRANGER} in the Vault: expected none, observed publisher",
    ),
    "split": (
        lambda n, d: call_as(n.chain, d.admin, "CXPTVault", d.vault, "setSplit", 5000, 3000, 2000),
        "split of the Vault: expected 4000, 4000, 2000, observed 5000, 3000, 2000",
    ),
    "limit": (
        lambda n, d: call_as(n.chain, d.admin, "CXPTVault", d.vault, "setMaxEpochAmount", 2, 5),
        f"limit of the user pool of the Vault: expected {1000 * 10**18}, observed 5",
    ),
    "activation delay": (
        lambda n, d: call_as(n.chain, d.admin, "CXPTVault", d.vault, "setActivationDelay", 3600),
        "activation delay of the Vault: expected 7200, observed 3600",
    ),
    "administrator of the timelock": (
        lambda n, d: call_as(
            n.chain, d.admin, "TimelockController", d.timelock, "grantRole", ADMIN_ROLE, checksum(STRANGER)
        ),
        f"administrators of the timelock: expected 0x[0-9a-f]{{40}}, observed .*{STRANGER}",
    ),
    "canceller of the timelock": (
        lambda n, d: call_as(
            n.chain, d.admin, "TimelockController", d.timelock, "revokeRole", CANCELLER_ROLE, checksum(SECOND_CANCELLER)
        ),
        f"cancellers of the timelock: expected .*, {SECOND_CANCELLER}, observed 0x[0-9a-f]{{40}};",
    ),
    "delay of the timelock": (
        lambda n, d: call_as(n.chain, d.admin, "TimelockController", d.timelock, "updateDelay", 5),
        "delay of the timelock: expected 3600, observed 5",
    ),
    "settler": (
        lambda n, d: call_as(n.chain, d.admin, "UsageEscrow", d.usage_escrow, "setSettler", checksum(STRANGER)),
        f"settler of UsageEscrow: expected {HOLDERS['settler']}, observed {STRANGER}",
    ),
    "owner to be": (
        lambda n, d: call_as(n.chain, d.admin, "UsageEscrow", d.usage_escrow, "transferOwnership", checksum(STRANGER)),
        f"pendingOwner of UsageEscrow: expected {ZERO_ADDRESS}, observed {STRANGER}",
    ),
    "price": (
        lambda n, d: call_as(n.chain, d.admin, "SubscriptionManager", d.subscription_manager, "setPrice", 0, 1),
        f"plan 0 of SubscriptionManager: expected {95 * 10**17}, 2592000, observed 1, 2592000",
    ),
    "plan": (
        lambda n, d: call_as(n.chain, d.admin, "SubscriptionManager", d.subscription_manager, "addPlan", 1, 1),
        "plans of SubscriptionManager: expected 2, observed 3",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_changed_is_found(standing: tuple[Network, Ground], name: str) -> None:
    network, ground = standing
    tamper, message = TAMPERED[name]
    deployment = read_deployment(ground.path)
    snapshot = request(network.chain, "evm_snapshot")
    try:
        tamper(network, deployment)
        with pytest.raises(Disagreement, match=message):
            deploy(ground)
    finally:
        request(network.chain, "evm_revert", [snapshot])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block": 1}, "block of UsageEscrow: expected 1 0x"),
        ({"block_hash": "0x" + "00" * 32}, "block of UsageEscrow: expected [0-9]+ 0x0{64}, observed [0-9]+ 0x"),
        ({"transaction": "0x" + "12" * 32}, "transaction of UsageEscrow: expected 0x(12){32}, observed unknown"),
        ({"bytecode_sha256": "12" * 32}, r"bytecode of UsageEscrow \(sha256\): expected (12){32}, observed"),
        ({"address": HOLDERS["settler"]}, f"address of UsageEscrow: expected {HOLDERS['settler']}, observed 0x"),
    ],
)
def test_record_that_is_not_of_these_contracts_is_found(
    standing: tuple[Network, Ground], change: dict[str, Any], message: str
) -> None:
    network, ground = standing
    deployment = read_deployment(ground.path)
    records = {**deployment.contracts, "UsageEscrow": replace(deployment.contracts["UsageEscrow"], **change)}
    with pytest.raises(Disagreement, match=message):
        verify_deployment(network.chain, replace(deployment, contracts=records))
    with pytest.raises(Disagreement, match=r"the record is of chain 1, .* is chain 31337"):
        verify_deployment(network.chain, replace(deployment, chain_id=1))


def test_creation_by_other_arguments_than_the_recorded_ones_is_found(standing: tuple[Network, Ground]) -> None:
    """The record is of one mind with itself; only the transaction on the chain has the truth."""
    network, ground = standing
    deployment = read_deployment(ground.path)
    record = deployment.contracts["UsageEscrow"]
    other = replace(record, arguments={**record.arguments, "settler": checksum(STRANGER)})
    contracts = {**deployment.contracts, "UsageEscrow": other}
    values = (checksum(account) for account in (HOLDERS["settler"], STRANGER))
    message = 'argument settler of UsageEscrow in the record: expected "{}", observed "{}"'.format(*values)
    with pytest.raises(Disagreement, match=message):
        verify_deployment(network.chain, replace(deployment, contracts=contracts))
    asked = {**deployment.asked, "settler": STRANGER}
    forged = replace(deployment, contracts=contracts, settler=STRANGER, asked=asked)
    with pytest.raises(
        Disagreement,
        match=r"^1 of [0-9]+ facts of the deployment differ: creation code and arguments of UsageEscrow: expected sha256",
    ):
        verify_deployment(network.chain, forged)


@pytest.mark.parametrize(
    ("transaction", "observed"),
    [
        (lambda d: "0x" + "12" * 32, "unknown transaction"),
        (lambda d: d.contracts["CXPTVault"].transaction, "no transfer"),
        (lambda d: d.contracts["CXPTToken"].transaction, f"{SUPPLY} from {ZERO_ADDRESS} to 0x"),
    ],
)
def test_supply_that_another_transaction_moved_is_found(
    standing: tuple[Network, Ground], transaction: Callable[[Deployment], str], observed: str
) -> None:
    network, ground = standing
    deployment = read_deployment(ground.path)
    expected = f"{SUPPLY} from {ground.request.deployer} to {RICH}"
    with pytest.raises(Disagreement, match=f"transfer of the supply: expected {expected}, observed {observed}"):
        verify_deployment(network.chain, replace(deployment, supply_transaction=transaction(deployment)))


def test_record_without_its_contracts_is_no_success(standing: tuple[Network, Ground]) -> None:
    network, ground = standing
    with pytest.raises(Disagreement, match=r"contracts of the record: expected CXPTToken, .*, UsageEscrow, observed ;"):
        verify_deployment(network.chain, replace(read_deployment(ground.path), contracts={}))
    deployment = read_deployment(ground.path)
    more = {**deployment.contracts, "Other": deployment.contracts["UsageEscrow"]}
    with pytest.raises(Disagreement, match=r"contracts of the record: expected CXPTToken, .*, observed .*, Other, "):
        verify_deployment(network.chain, replace(deployment, contracts=more))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("deployed_block", 1),
        ("block_hash", b"\x22" * 32),
        ("first_epoch", 4),
        ("network", "peaq"),
        ("settler", HOLDERS["guardian"]),
        ("token", HOLDERS["guardian"]),
        ("admin", HOLDERS["guardian"]),
        ("timelock", None),
        ("usage_escrow", HOLDERS["guardian"]),
        ("supply_transaction", None),
    ],
)
def test_record_that_contradicts_itself_is_found(standing: tuple[Network, Ground], field: str, value: object) -> None:
    """What other programs read of a record, such as the block from which they read events."""
    network, ground = standing
    named = "transfer of the supply in the record" if field == "supply_transaction" else f"{field} of the record"
    with pytest.raises(Disagreement, match=f"{named}: expected .*, observed "):
        verify_deployment(network.chain, replace(read_deployment(ground.path), **{field: value}))
