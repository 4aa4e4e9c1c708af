"""A list of attacks, each sent as a real transaction to a Vault on anvil: mined, failed for the stated reason, and
nothing moved. The admin is a timelock of seven days, as in production."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hexbytes import HexBytes

from rewards.chain.client import request
from rewards.chain.contracts import bind_contract, describe_revert, load_artifact
from rewards.chain.deploy import VaultSettings, deploy_timelock, deploy_token, deploy_vault
from rewards.chain.intent import Intent
from rewards.chain.sender import Sender
from rewards.errors import ChainError
from rewards.units import SUPPLY, Address, checksum, keccak
from tests.chain.conftest import start_anvil
from tests.contracts.on_anvil import AnvilChain
from tests.contracts.test_money import sign_permit
from tests.contracts.world import CXPT, DAY, HOUR, START, Caller, HostileWorld, Tree, World, manifest_of, patience_on

ROOT = b"\x11" * 32


class Attacked(World):
    """The Vault with its pools, watched: after every attack, nothing may have changed."""

    def attack(self, by: str, name: str, *arguments: Any) -> str:
        """Sends a call of the Vault that must fail, without asking first; the error that it was mined with."""
        return self.attack_with(by, self.deployment.vault, self.contract.encode_abi(name, list(arguments)))

    def attack_with(self, by: str, to: Address, calldata: str) -> str:
        chain, signer = self.embedded.chain, self.signers[by]
        before = self.count_money()
        call = {"to": checksum(to), "data": HexBytes(calldata), "value": 0, "gas": 1_000_000}
        fees = {"maxFeePerGas": 10**12, "maxPriorityFeePerGas": 10**9, "chainId": chain.chain_id}
        nonce = chain.count_transactions(signer.address, "latest")
        raw = signer.sign_transaction(call | fees | {"nonce": nonce})
        found = chain.web3.eth.wait_for_transaction_receipt(chain.web3.eth.send_raw_transaction(raw), timeout=10)
        assert found["status"] == 0, "the attack went through"
        assert not found["logs"]
        assert self.count_money() == before
        reason = self.explain(signer.address, to, calldata)
        assert reason != "no reason given"
        return reason

    def explain(self, sender: Address, to: Address, calldata: str) -> str:
        """What the same call answers now."""
        call = {"from": checksum(sender), "to": checksum(to), "data": calldata}
        answer = self.embedded.chain.web3.provider.make_request("eth_call", [call, "latest"])  # type: ignore[arg-type]
        return describe_revert(bytes.fromhex(answer["error"]["data"][2:]))

    def count_money(self) -> list[Any]:
        """Pools, promises, payments and balances: all that an attack could be after."""
        views = [self.view(name, pool) for name in ("promised", "claimedTotal", "deposited") for pool in (1, 2)]
        balances = [self.balance(signer.address) for signer in self.signers.values()]
        state = [self.view(name) for name in ("pools", "split", "nextEpoch", "revocations", "pendingRoot", "surplus")]
        return [*views, *balances, *state]

    @property
    def loot(self) -> Tree:
        """A root that gives the stranger all there is."""
        return Tree([(1, self["stranger"], 800 * CXPT), (2, self["stranger"], 39)])


@pytest.fixture(scope="module")
def attacked_vault(contracts: Path) -> Iterator[Attacked]:
    with start_anvil(contracts, START) as url:
        anvil = AnvilChain(url)
        sender = Sender(anvil.chain, patience_on(anvil))
        people = anvil.signers
        timelock = deploy_timelock(sender, people[0], [people[1].address], [people[9].address])
        settings = VaultSettings(
            timelock,
            [people[2].address, people[8].address],
            [people[3].address, people[4].address],
            [people[5].address],
            [people[6].address],
            first_epoch=5,
            activation_delay_s=2 * HOUR,
            max_provider_amount=1000 * CXPT,
            max_user_amount=500 * CXPT,
        )
        world = Attacked(anvil, deploy_vault(sender, people[0], deploy_token(sender, people[0]), settings))
        world.deposit(2000 * CXPT)
        yield world


@pytest.fixture
def world(attacked_vault: Attacked) -> Iterator[Attacked]:
    """2000 CXPT of fees; an honest tree is active in epoch 5, of which nothing is claimed yet."""
    anvil = attacked_vault.embedded
    assert isinstance(anvil, AnvilChain)
    snapshot = anvil.take_snapshot()
    attacked_vault.activate(5, honest(attacked_vault))
    yield attacked_vault
    attacked_vault.check_invariants()
    anvil.revert(snapshot)


def honest(world: World) -> Tree:
    others = [(1, Address(f"0x{i:040x}"), 100 + i) for i in range(1, 6)]
    return Tree([(1, world["provider"], 70), (2, world["user"], 30), (2, world["provider"], 9), *others])


def claim_of(world: World, tree: Tree, leaf: tuple[int, Address, int]) -> tuple[int, str, int, list[bytes]]:
    return leaf[0], checksum(leaf[1]), leaf[2], tree.prove(leaf)


def test_reentrancy_through_a_hook_of_the_token(world: Attacked) -> None:
    """A token that calls the Vault back in the middle of a payment, to be paid twice; CXPT has no such hook."""
    hostile = HostileWorld(world)
    hostile.send("depositFees", 1000)
    account = world["payer"]
    tree = Tree([(1, account, 100)])
    hostile.activate(0, tree)
    calldata = hostile.vault.encode_abi("claim", [0, 1, checksum(account), 100, []])
    hostile.configure("setCall", hostile.vault.address, calldata)
    held = hostile.token.functions.balanceOf(checksum(account)).call()
    hostile.send("claim", 0, 1, checksum(account), 100, [])
    assert hostile.token.functions.balanceOf(checksum(account)).call() == held + 100, "paid once"
    assert hostile.token.functions.lastCallSucceeded().call() is False
    assert describe_revert(hostile.token.functions.lastCallResult().call()) == "ReentrancyGuardReentrantCall()"


def test_replay_on_another_pool(world: Attacked) -> None:
    tree = honest(world)
    _, account, amount, proof = claim_of(world, tree, tree.leaves[0])
    world.claim(5, tree, tree.leaves[0])
    assert world.attack("stranger", "claim", 5, 2, account, amount, proof).startswith("InvalidProof(pool=2")


def test_replay_of_a_paid_claim_pays_nothing(world: Attacked) -> None:
    """The one entry of the list that is no failure: it says that nothing is due, and pays nothing."""
    tree = honest(world)
    world.claim(5, tree, tree.leaves[0])
    before = world.count_money()
    receipt = world.send("stranger", "claimMany", 5, [claim_of(world, tree, tree.leaves[0])] * 3)
    assert [(name, args["code"]) for name, args in world.events(receipt)] == [("ClaimSkipped", 1)] * 3
    assert world.count_money() == before


def test_inner_node_as_a_leaf(world: Attacked) -> None:
    """The 64 bytes of an inner node read as account and amount, with the path of that node; and the node itself hashed."""
    tree = honest(world)
    left, right = sorted(tree.nodes[3:5])
    account, amount = "0x" + left[12:].hex(), int.from_bytes(right)
    for pool in (1, 2):
        refused = world.attack("stranger", "claim", 5, pool, checksum(account), amount, [tree.nodes[2]])
        assert refused.startswith(f"InvalidProof(pool={pool}")
    assert world.attack("stranger", "claim", 5, 0, checksum(account), amount, [tree.nodes[2]]) == "InvalidPool(pool=0)"


def test_revoked_root(world: Attacked) -> None:
    publication = world.publish(6, world.loot)
    world.send("attester", "attestRoot", 6, publication)
    world.send("guardian", "revokeRoot", 6, "stolen keys")
    world.embedded.advance(3 * DAY)
    claim = claim_of(world, world.loot, world.loot.leaves[0])
    assert world.attack("stranger", "claim", 6, *claim) == "RootNotActive(epoch=6)"
    assert world.attack("stranger", "claimMany", 6, [claim]) == "RootNotActive(epoch=6)"
    assert world.attack("attester2", "attestRoot", 6, publication) == "RootNotPending(epoch=6)"


def test_revoked_publication_sent_again(world: Attacked) -> None:
    """The very bytes that were signed, brought back by a reorganisation that drops the first inclusion, and the same call
    signed anew: both carry a count of revocations that is over."""
    anvil, publisher = world.embedded, world.signers["publisher"]
    assert isinstance(anvil, AnvilChain)
    calldata = world.contract.encode_abi("publishRoot", [6, world.loot.root, 800 * CXPT, 39, manifest_of(6), 0])
    signed = world.sender.sign(Intent("publication", world.deployment.vault, bytes.fromhex(calldata[2:])), publisher)
    fork = anvil.take_snapshot()
    world.sender.resume(signed)
    world.send("guardian", "revokeRoot", 6, "wrong")
    assert world.attack_with("publisher", world.deployment.vault, calldata) == "WrongRevocations(expected=1, given=0)"
    # On the other fork the second publisher's root was revoked: the stale bytes are valid by nonce, and still dead.
    anvil.revert(fork)
    world.send("user", "publishRoot", 6, ROOT, 800 * CXPT, 39, manifest_of(6), 0)
    world.send("guardian", "revokeRoot", 6, "wrong")
    before = world.count_money()
    with pytest.raises(ChainError, match=r"failed: .* refuses: WrongRevocations\(expected=1, given=0\)"):
        world.sender.resume(signed)
    assert anvil.chain.knows_transaction(signed.transaction), "it was mined, and failed"
    assert world.count_money() == before


def test_unattested_root_after_its_delay(world: Attacked) -> None:
    world.publish(6, world.loot)
    world.embedded.advance(30 * DAY)
    claim = claim_of(world, world.loot, world.loot.leaves[0])
    assert world.attack("stranger", "claim", 6, *claim) == "RootNotActive(epoch=6)"
    assert world.attack("publisher", "attestRoot", 6, world.view("publicationHash", 6)).startswith("WrongRole(")


def test_attested_root_a_second_early(world: Attacked) -> None:
    world.send("attester", "attestRoot", 6, world.publish(6, world.loot))
    activates_at = world.view("rootAt", 6)[4]
    claim = claim_of(world, world.loot, world.loot.leaves[0])
    request(world.embedded.chain, "evm_setNextBlockTimestamp", [activates_at - 1])
    assert world.attack("stranger", "claim", 6, *claim) == "RootNotActive(epoch=6)"


def test_two_pending_roots(world: Attacked) -> None:
    world.publish(6, Tree([(1, world["provider"], 800)]), totals=(800, 39))
    for epoch in (6, 7):
        refused = world.attack("publisher", "publishRoot", epoch, ROOT, 900, 39, manifest_of(7), 0)
        assert refused == "RootPending(epoch=6)"


@pytest.mark.parametrize("epoch", [0, 4, 5, 7, 2**24, 2**256 - 1])
def test_root_for_a_past_or_later_epoch(world: Attacked, epoch: int) -> None:
    refused = world.attack("publisher", "publishRoot", epoch, ROOT, 900, 39, manifest_of(7), 0)
    assert refused == f"NotNextEpoch(expected=6, given={epoch})"


def test_front_run_permit(world: Attacked) -> None:
    """Somebody takes the permit out of the pool of transactions: the deposit goes through all the same, and the thief
    has won nothing: only its signer's deposit uses it."""
    world.send_token("payer", "transfer", checksum(world["user"]), 100)
    deadline = world.now() + DAY
    permit = sign_permit(world, 100, deadline)
    calldata = world.contract.encode_abi("depositFeesWithPermit", [100, deadline, *permit])
    assert world.attack_with("stranger", world.deployment.vault, calldata).startswith("ERC20InsufficientAllowance(")
    world.send_token(
        "stranger", "permit", checksum(world["user"]), checksum(world.deployment.vault), 100, deadline, *permit
    )
    assert world.attack_with("stranger", world.deployment.vault, calldata).startswith("ERC20InsufficientAllowance(")
    before = world.view("deposited", 1)
    world.send("user", "depositFeesWithPermit", 100, deadline, *permit)
    assert (world.view("deposited", 1) - before, world.balance(world["user"])) == (40, 0)


def test_total_that_falls(world: Attacked) -> None:
    provider, user = world.view("promised", 1), world.view("promised", 2)
    refused = world.attack("publisher", "publishRoot", 6, ROOT, provider - 1, user, manifest_of(6), 0)
    assert refused == f"TotalFell(pool=1, last={provider}, given={provider - 1})"
    refused = world.attack("publisher", "publishRoot", 6, ROOT, provider, user - 1, manifest_of(6), 0)
    assert refused == f"TotalFell(pool=2, last={user}, given={user - 1})"


def test_claim_while_paused(world: Attacked) -> None:
    world.send("guardian", "pauseClaims")
    until = world.view("claimsPausedUntil")
    claim = claim_of(world, honest(world), honest(world).leaves[0])
    assert world.attack("stranger", "claim", 5, *claim) == f"ClaimsArePaused(until={until})"
    assert world.attack("stranger", "claimMany", 5, [claim]) == f"ClaimsArePaused(until={until})"


def test_split_changed_without_notice(world: Attacked) -> None:
    """By the proposer alone, by executing what nobody scheduled, and a second before the seven days are over."""
    split = (5000, 4999, 1)
    assert world.attack("admin", "setSplit", *split).startswith("WrongRole(")
    timelock = Caller(world, "TimelockController", world.deployment.admin)
    call = HexBytes(world.contract.encode_abi("setSplit", list(split)))
    operation = (world.contract.address, 0, call, bytes(32), bytes(32))
    execute = timelock.contract.encode_abi("execute", list(operation))
    address = world.deployment.admin
    assert world.attack_with("admin", address, execute).startswith("TimelockUnexpectedOperationState(")
    timelock("admin", "schedule", *operation, 7 * DAY)
    request(world.embedded.chain, "evm_setNextBlockTimestamp", [world.now() + 7 * DAY - 30])
    assert world.attack_with("admin", address, execute).startswith("TimelockUnexpectedOperationState(")
    shorter = timelock.contract.encode_abi("schedule", [*operation[:4], b"\1" * 32, 7 * DAY - 1])
    assert world.attack_with("admin", address, shorter).startswith("TimelockInsufficientDelay(")


def test_rescue_of_cxpt(world: Attacked) -> None:
    """By an outsider; and by the admin itself, after its week, beyond what nobody owns."""
    token, thief = world.token.address, checksum(world["stranger"])
    for by in ("stranger", "treasurer", "guardian", "publisher", "admin"):
        assert world.attack(by, "rescue", token, thief, 1).startswith("WrongRole(")
    timelock = Caller(world, "TimelockController", world.deployment.admin)
    call = HexBytes(world.contract.encode_abi("rescue", [token, thief, 1]))
    operation = (world.contract.address, 0, call, bytes(32), bytes(32))
    timelock("admin", "schedule", *operation, 7 * DAY)
    world.embedded.advance(7 * DAY)
    refused = world.attack_with(
        "admin", world.deployment.admin, timelock.contract.encode_abi("execute", list(operation))
    )
    assert refused == "AmountTooLarge(available=0, given=1)"


def test_cut_swapped_and_lengthened_proofs(world: Attacked) -> None:
    tree = honest(world)
    pool, account, amount, proof = claim_of(world, tree, tree.leaves[0])
    forgeries = [proof[1:], proof[:-1], [], proof[::-1], [*proof, tree.root], tree.prove(tree.leaves[1])]
    for forged in forgeries:
        assert world.attack("stranger", "claim", 5, pool, account, amount, forged).startswith("InvalidProof(")
    for wrong in (amount + 1, 2**96, 2**256 - 1):
        assert world.attack("stranger", "claim", 5, pool, account, wrong, proof).startswith("InvalidProof(")


def test_root_of_the_size_of_the_whole_vault(world: Attacked) -> None:
    """Publisher and attester stolen: more than the limit of an epoch never gets published."""
    world.deposit(100_000 * CXPT)
    everything = world.view("pools")[1]
    refused = world.attack("publisher", "publishRoot", 6, ROOT, everything, 39, manifest_of(6), 0)
    assert refused.startswith(f"EpochLimitExceeded(pool=1, limit={1000 * CXPT}")


def test_the_deployer_has_no_power_left(world: Attacked) -> None:
    assert world.vault.role_of(world["payer"]) == "none"
    held = bind_contract(world.embedded.chain.web3, "TimelockController", world.deployment.admin)
    grant = held.encode_abi("grantRole", [keccak(b"PROPOSER_ROLE"), checksum(world["payer"])])
    assert world.attack_with("payer", world.deployment.admin, grant).startswith("AccessControlUnauthorizedAccount(")
    assert world.token.functions.totalSupply().call() == SUPPLY
    assert not [
        e for e in load_artifact("CXPTToken").abi if e.get("name") in ("mint", "owner", "pause", "transferOwnership")
    ]
