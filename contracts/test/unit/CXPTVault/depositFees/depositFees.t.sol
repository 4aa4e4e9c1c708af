// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {Intake} from "../../../../src/libraries/Intake.sol";
import {FaultyToken} from "../../../base/FaultyToken.sol";
import {OtherTokenTest} from "../../../base/OtherTokenTest.sol";
import {HostileToken} from "../../../HostileToken.sol";

contract DepositFeesTest is OtherTokenTest {
    function test_RevertWhen_TheAmountIsZero() external {
        // it should revert with ZeroAmount
        _refused(0, abi.encodeWithSelector(Intake.ZeroAmount.selector));
    }

    function test_RevertGiven_TheAllowanceIsTooSmall() external {
        vm.prank(stranger);
        // it should revert as the token does
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(vault), 0, 7));
        vault.depositFees(7);
    }

    function test_RevertGiven_TheTokenKeepsAFee() external {
        _onHostile().setFee(100);
        // it should revert with WrongAmountReceived
        _refused(10_000, abi.encodeWithSelector(Intake.WrongAmountReceived.selector, 10_000, 9_900));
    }

    function test_RevertGiven_TheTokenReverts() external {
        _onFaulty().setReverting(true);
        // it should revert as the token does
        _refused(100, abi.encodeWithSelector(FaultyToken.OutOfOrder.selector));
    }

    function test_RevertGiven_TheTokenReturnsFalse() external {
        FaultyToken faulty = _onFaulty();
        faulty.setSilent(true);
        // it should revert with SafeERC20FailedOperation
        _refused(100, abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(faulty)));
    }

    function test_RevertWhen_TheAmountDoesNotFit96Bits() external {
        _onHostile();
        // it should revert with DepositTooLarge
        _refused(2 ** 96, abi.encodeWithSelector(ICXPTVault.DepositTooLarge.selector, 2 ** 96 - 1, 2 ** 96));
        _refused(2 ** 119, abi.encodeWithSelector(ICXPTVault.DepositTooLarge.selector, 2 ** 96 - 1, 2 ** 119));
    }

    function test_RevertGiven_APoolIsFull() external {
        _onHostile();
        vm.prank(payer);
        vault.fundPool(USER, 2 ** 96 - 1 - 2_000 - 3);
        // it should revert with DepositTooLarge and the room left
        _refused(20, abi.encodeWithSelector(ICXPTVault.DepositTooLarge.selector, 3, 4));
        _deposit(15);
        vm.assertEq(vault.deposited(USER), 2 ** 96 - 1, "the last unit fits");
    }

    function test_GivenTheTokenCallsBack() external {
        HostileToken hostile = _onHostile();
        bytes[6] memory calls = [
            abi.encodeCall(ICXPTVault.depositFees, (1)),
            abi.encodeCall(ICXPTVault.fundPool, (1, 1)),
            abi.encodeCall(ICXPTVault.claim, (FIRST, 1, user, 1, new bytes32[](0))),
            abi.encodeCall(ICXPTVault.claimMany, (FIRST, new ICXPTVault.ClaimItem[](0))),
            abi.encodeCall(ICXPTVault.withdrawProtocol, (stranger, 1)),
            abi.encodeCall(ICXPTVault.rescue, (hostile, stranger, 1))
        ];
        for (uint256 i = 0; i < calls.length; i++) {
            hostile.setCall(address(vault), calls[i]);
            uint256 before = vault.deposited(PROVIDER);
            _deposit(10);
            // it should refuse every call that moves money
            vm.assertFalse(hostile.lastCallSucceeded(), "refused");
            vm.assertEq(
                bytes32(hostile.lastCallResult()),
                bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
                "by the guard"
            );
            // it should deposit once
            vm.assertEq(vault.deposited(PROVIDER), before + 4, "once");
        }
    }

    function test_WhenTheAmountIsSplit() external {
        ICXPTVault.RewardPool memory before = vault.pools();
        // it should emit FeesDeposited with the three shares, the remainder to the protocol
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.FeesDeposited(payer, 99, 41, 39, 19);
        _deposit(99);
        ICXPTVault.RewardPool memory grown = vault.pools();
        // it should credit the pools
        vm.assertEq(grown.protocolAmount - before.protocolAmount, 41, "protocol");
        vm.assertEq(grown.providerAmount - before.providerAmount, 39, "provider");
        vm.assertEq(grown.userAmount - before.userAmount, 19, "user");
        // it should hold what it owes
        vm.assertEq(vault.surplus(), 0, "surplus");
        _assertSolvent();
    }

    function test_WhenOneUnitIsDeposited() external {
        ICXPTVault.RewardPool memory before = vault.pools();
        _deposit(1);
        // it should go to the protocol
        vm.assertEq(vault.pools().protocolAmount - before.protocolAmount, 1, "protocol");
    }

    function test_RevertWhen_TheVaultItselfIsThePayer() external {
        // it should revert, since it never approved itself
        vm.prank(address(vault));
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(vault), 0, 7));
        vault.depositFees(7);
    }

    function _refused(uint256 amount, bytes memory reason) private {
        ICXPTVault.RewardPool memory before = vault.pools();
        vm.prank(payer);
        vm.expectRevert(reason);
        vault.depositFees(amount);
        vm.assertEq(vault.pools().protocolAmount, before.protocolAmount, "nothing is credited");
    }
}
