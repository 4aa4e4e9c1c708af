"""Deposits, pools, withdrawals and rescue."""

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from rewards.chain.contracts import bind_contract, load_artifact
from rewards.chain.deploy import deploy_token
from rewards.chain.intent import Intent
from rewards.errors import ChainError
from rewards.units import SUPPLY, Address, checksum
from tests.contracts.world import CXPT, HOUR, HostileWorld, Tree, World


def test_supply_is_minted_once_to_the_deployer(world: World) -> None:
    assert world.token.functions.totalSupply().call() == SUPPLY == world.balance(world["payer"])
    assert not [entry for entry in load_artifact("CXPTToken").abi if "mint" in str(entry.get("name")).lower()]


def test_holder_burns_its_own(world: World) -> None:
    world.send_token("payer", "burn", 7 * CXPT)
    assert world.token.functions.totalSupply().call() == SUPPLY - 7 * CXPT
    with pytest.raises(ChainError, match="InsufficientAllowance"):
        world.send_token("stranger", "burnFrom", checksum(world["payer"]), 1)


def test_fees_are_split_and_the_remainder_is_the_protocols(world: World) -> None:
    receipt = world.deposit(99)
    assert world.view("pools") == (99 - 39 - 19, 39, 19)
    assert [world.view("deposited", pool) for pool in (1, 2)] == [39, 19]
    [(name, args)] = world.events(receipt)
    assert name == "FeesDeposited"
    assert args == {
        "payer": checksum(world["payer"]),
        "amount": 99,
        "protocolAmount": 41,
        "providerAmount": 39,
        "userAmount": 19,
    }


def test_split_of_a_later_deposit_follows_the_new_setting(world: World) -> None:
    world.deposit(10_000)
    receipt = world.send("admin", "setSplit", 5000, 1000, 4000)
    assert world.events(receipt)[0][1] == {
        "oldProtocolBp": 4000,
        "oldProviderBp": 4000,
        "oldUserBp": 2000,
        "protocolBp": 5000,
        "providerBp": 1000,
        "userBp": 4000,
    }
    assert world.view("pools") == (4000, 4000, 2000)
    world.deposit(10_000)
    assert world.view("pools") == (9000, 5000, 6000)


def test_nothing_and_too_much_are_not_deposited(world: World) -> None:
    assert world.refused("payer", "depositFees", 0) == "ZeroAmount()"
    assert world.refused("stranger", "depositFees", 1).startswith("ERC20InsufficientAllowance(")


def test_funding_adds_to_one_pool(world: World) -> None:
    world.vault.fund_pool(1, 5, world.signers["payer"])
    receipt = world.vault.fund_pool(2, 7, world.signers["payer"])
    assert world.view("pools") == (0, 5, 7)
    assert world.events(receipt) == [("PoolFunded", {"payer": checksum(world["payer"]), "pool": 2, "amount": 7})]
    assert [world.refused("payer", "fundPool", pool, 1) for pool in (0, 3)] == [
        "InvalidPool(pool=0)",
        "InvalidPool(pool=3)",
    ]


def sign_permit(world: World, amount: int, deadline: int) -> tuple[int, bytes, bytes]:
    """A permit of the account with private key 9 (the user) for the Vault."""
    token = world.token
    message = encode_typed_data(
        domain_data={
            "name": "Cxmpute Token",
            "version": "1",
            "chainId": world.vault.chain_id,
            "verifyingContract": token.address,
        },
        message_types={
            "Permit": [
                {"name": "owner", "type": "address"},
                {"name": "spender", "type": "address"},
                {"name": "value", "type": "uint256"},
                {"name": "nonce", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
            ]
        },
        message_data={
            "owner": checksum(world["user"]),
            "spender": checksum(world.deployment.vault),
            "value": amount,
            "nonce": token.functions.nonces(checksum(world["user"])).call(),
            "deadline": deadline,
        },
    )
    signed = Account.sign_message(message, (9).to_bytes(32))
    return signed.v, signed.r.to_bytes(32), signed.s.to_bytes(32)


def test_permit_pays_without_an_approval(world: World) -> None:
    world.send_token("payer", "transfer", checksum(world["user"]), 100)
    deadline = world.now() + HOUR
    world.send("user", "depositFeesWithPermit", 100, deadline, *sign_permit(world, 100, deadline))
    assert world.view("pools") == (40, 40, 20)


def test_permit_that_somebody_used_first_does_not_stop_the_deposit(world: World) -> None:
    world.send_token("payer", "transfer", checksum(world["user"]), 100)
    deadline = world.now() + HOUR
    permit = sign_permit(world, 100, deadline)
    parties = checksum(world["user"]), checksum(world.deployment.vault)
    world.send_token("stranger", "permit", *parties, 100, deadline, *permit)
    world.send("user", "depositFeesWithPermit", 100, deadline, *permit)
    assert world.view("pools") == (40, 40, 20)


def test_permit_of_another_pays_for_nobody_else(world: World) -> None:
    world.send_token("payer", "transfer", checksum(world["user"]), 100)
    deadline = world.now() + HOUR
    permit = sign_permit(world, 100, deadline)
    refused = world.refused("stranger", "depositFeesWithPermit", 100, deadline, *permit)
    assert refused.startswith("ERC20InsufficientAllowance(")


def test_treasurer_withdraws_the_protocols_pool_and_no_more(funded: World) -> None:
    available = 800 * CXPT
    to = checksum(funded["stranger"])
    refused = funded.refused("treasurer", "withdrawProtocol", to, available + 1)
    assert refused == f"AmountTooLarge(available={available}, given={available + 1})"
    receipt = funded.send("treasurer", "withdrawProtocol", to, available)
    assert funded.events(receipt) == [("ProtocolWithdrawn", {"to": to, "amount": available})]
    assert funded.balance(funded["stranger"]) == available
    assert funded.view("pools") == (0, 800 * CXPT, 400 * CXPT)
    assert funded.refused("treasurer", "withdrawProtocol", to, 1) == "AmountTooLarge(available=0, given=1)"


def test_rescue_takes_the_surplus_of_cxpt_and_any_other_token(funded: World) -> None:
    tree = Tree([(1, funded["provider"], 10 * CXPT)])
    funded.activate(5, tree)
    vault, to = checksum(funded.deployment.vault), checksum(funded["stranger"])
    assert funded.view("surplus") == 0
    assert funded.refused("admin", "rescue", funded.token.address, to, 1) == "AmountTooLarge(available=0, given=1)"
    funded.send_token("payer", "transfer", vault, 3)
    assert funded.view("surplus") == 3
    assert funded.refused("admin", "rescue", funded.token.address, to, 4) == "AmountTooLarge(available=3, given=4)"
    receipt = funded.send("admin", "rescue", funded.token.address, to, 3)
    assert funded.events(receipt) == [("Rescued", {"token": funded.token.address, "to": to, "amount": 3})]
    other = bind_contract(funded.embedded.chain.web3, "CXPTToken", deploy_token(funded.sender, funded.signers["payer"]))
    data = bytes.fromhex(other.encode_abi("transfer", [vault, 9])[2:])
    funded.sender.send(Intent("stray tokens", Address(other.address.lower()), data), funded.signers["payer"])
    funded.send("admin", "rescue", other.address, to, 9)
    assert other.functions.balanceOf(to).call() == 9


def test_deposits_stop_where_96_bits_end(hostile: HostileWorld) -> None:
    assert hostile.refused("fundPool", 1, 2**96) == f"DepositTooLarge(room={2**96 - 1}, amount={2**96})"
    hostile.send("fundPool", 1, 2**96 - 1)
    assert hostile.refused("fundPool", 1, 1) == "DepositTooLarge(room=0, amount=1)"


def test_token_that_keeps_a_fee_is_refused(hostile: HostileWorld) -> None:
    hostile.configure("setFee", 100)
    assert hostile.refused("depositFees", 10_000) == "WrongAmountReceived(expected=10000, received=9900)"
    assert hostile.refused("fundPool", 1, 10_000) == "WrongAmountReceived(expected=10000, received=9900)"


@pytest.mark.parametrize("inner", ["depositFees", "fundPool", "withdrawProtocol", "rescue", "claim", "claimMany"])
def test_no_call_that_moves_money_can_be_entered_again(hostile: HostileWorld, inner: str) -> None:
    stranger = "0x" + "11" * 20
    arguments = {
        "depositFees": [1],
        "fundPool": [1, 1],
        "withdrawProtocol": [stranger, 1],
        "rescue": [stranger, stranger, 1],
        "claim": [0, 1, stranger, 1, []],
        "claimMany": [0, []],
    }[inner]
    hostile.configure("setCall", hostile.vault.address, hostile.vault.encode_abi(inner, arguments))
    hostile.send("depositFees", 1000)
    assert hostile.token.functions.lastCallSucceeded().call() is False
    assert hostile.token.functions.lastCallResult().call()[:4].hex() == "3ee5aeb5"  # ReentrancyGuardReentrantCall()
    assert hostile.vault.functions.pools().call() == (400, 400, 200)
