// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IUsageEscrow} from "../../../../src/interfaces/IUsageEscrow.sol";
import {Intake} from "../../../../src/libraries/Intake.sol";
import {FaultyToken} from "../../../base/FaultyToken.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";
import {HostileToken} from "../../../HostileToken.sol";

contract DepositTest is PlatformTest {
    function test_RevertWhen_TheAmountIsZero() external {
        // it should revert with ZeroAmount
        _refused(0, abi.encodeWithSelector(Intake.ZeroAmount.selector));
    }

    function test_RevertWhen_TheAmountDoesNotFit96Bits() external {
        _onHostile();
        // it should revert with SafeCastOverflowedUintDowncast
        _refused(TOP + 1, abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 96, TOP + 1));
    }

    function test_RevertGiven_TheBalanceWouldNotFit96Bits() external {
        _onHostile();
        _top(customer, TOP);
        vm.prank(customer);
        // it should revert with an arithmetic panic
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        escrow.deposit(1);
        _assertBalance(customer, TOP);
        vm.assertEq(escrow.totalBalance(), TOP, "sum of the balances");
        vm.assertEq(token.balanceOf(address(escrow)), TOP, "held");
    }

    function test_RevertGiven_TheAllowanceIsTooSmall() external {
        vm.prank(customer);
        token.approve(address(escrow), 69);
        // it should revert with ERC20InsufficientAllowance
        _refused(70, abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(escrow), 69, 70));
    }

    function test_RevertGiven_TheWalletHoldsTooLittle() external {
        uint256 held = 10_000 * CXPT;
        // it should revert with ERC20InsufficientBalance
        _refused(
            held + 1, abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, customer, held, held + 1)
        );
    }

    function test_RevertGiven_TheTokenKeepsAFee() external {
        _onHostile().setFee(1);
        // it should revert with WrongAmountReceived
        _refused(10_000, abi.encodeWithSelector(Intake.WrongAmountReceived.selector, 10_000, 9_999));
    }

    function test_RevertGiven_TheTokenReverts() external {
        _onFaulty().setReverting(true);
        // it should revert as the token does
        _refused(70, abi.encodeWithSelector(FaultyToken.OutOfOrder.selector));
    }

    function test_RevertGiven_TheTokenReturnsFalse() external {
        _onFaulty().setSilent(true);
        // it should revert with SafeERC20FailedOperation
        _refused(70, abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
    }

    function test_GivenTheTokenCallsBack() external {
        HostileToken hostile = _onHostile();
        // The token itself may charge here, so that only the guard stops it.
        _asOwner();
        escrow.setSettler(address(hostile));
        bytes[] memory calls = new bytes[](4);
        calls[0] = abi.encodeCall(IUsageEscrow.deposit, (1));
        calls[1] = abi.encodeCall(IUsageEscrow.depositWithPermit, (1, START, 27, 0, 0));
        calls[2] = abi.encodeCall(IUsageEscrow.withdraw, ());
        calls[3] = abi.encodeCall(IUsageEscrow.settle, (BATCH, _list(customer), _amounts(1)));
        for (uint256 i = 0; i < calls.length; i++) {
            hostile.setCall(address(escrow), calls[i]);
            _top(customer, 70);
            // it should refuse a deposit and a withdrawal and a batch inside
            vm.assertFalse(hostile.lastCallSucceeded(), "the call from inside");
            vm.assertEq(
                keccak256(hostile.lastCallResult()),
                keccak256(abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)),
                "its error"
            );
            // it should count the deposit once
            _assertBalance(customer, 70 * (i + 1));
            vm.assertEq(escrow.totalBalance(), 70 * (i + 1), "sum of the balances");
        }
        vm.assertFalse(escrow.isSettled(BATCH), "no batch was settled inside");
    }

    function test_WhenTheAmountFillsThe96Bits() external {
        _onHostile();
        _fund(payer, TOP);
        _top(customer, TOP);
        _top(payer, TOP);
        // it should hold it beside the balances of others
        _assertBalance(customer, TOP);
        _assertBalance(payer, TOP);
        vm.assertEq(escrow.totalBalance(), 2 * TOP, "sum of the balances");
        vm.assertEq(token.balanceOf(address(escrow)), 2 * TOP, "held");
    }

    function test_GivenCXPTCameByAPlainTransfer() external {
        vm.prank(customer);
        token.transfer(address(escrow), 900);
        // it should belong to nobody
        _assertBalance(customer, 0);
        vm.assertEq(escrow.totalBalance(), 0, "sum of the balances");
        // it should not count towards a deposit
        _top(customer, 70);
        _assertBalance(customer, 70);
        vm.assertEq(escrow.totalBalance(), 70, "sum of the balances");
        vm.assertEq(token.balanceOf(address(escrow)), 970, "held");
    }

    function test_GivenClaimsAndPublishingArePaused() external {
        vm.startPrank(guardian);
        vault.pauseClaims();
        vault.pausePublishing();
        vm.stopPrank();
        _top(customer, 70);
        // it should take the deposit
        _assertBalance(customer, 70);
    }

    function test_GivenTheWalletCanPay() external {
        _top(customer, 30);
        // it should emit Deposited with the new balance
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.Deposited(customer, 70, 100);
        _top(customer, 70);
        // it should take just the amount from the caller
        vm.assertEq(token.balanceOf(customer), 10_000 * CXPT - 100, "the customer's CXPT");
        vm.assertEq(token.balanceOf(address(escrow)), 100, "held");
        // it should add it to the balance of the caller and to the sum
        _assertBalance(customer, 100);
        vm.assertEq(escrow.totalBalance(), 100, "sum of the balances");
        // it should let nothing be charged before a limit is set
        vm.assertEq(escrow.dailyLimit(customer), 0, "limit");
        vm.assertEq(escrow.chargeable(customer), 0, "chargeable");
        // it should change nobody else
        _assertBalance(guest, 0);
        _assertPools(800 * CXPT, 800 * CXPT, 400 * CXPT);
    }

    /// @dev Nothing is counted, nothing is taken.
    function _refused(uint256 amount, bytes memory reason) private {
        uint256 held = token.balanceOf(customer);
        vm.prank(customer);
        vm.expectRevert(reason);
        escrow.deposit(amount);
        _assertBalance(customer, 0);
        vm.assertEq(escrow.totalBalance(), 0, "sum of the balances");
        vm.assertEq(token.balanceOf(customer), held, "the customer's tokens");
        vm.assertEq(token.balanceOf(address(escrow)), 0, "held");
    }

    function _onHostile() private returns (HostileToken hostile) {
        hostile = new HostileToken();
        _build(address(hostile));
        _fund(customer, 4 * TOP);
    }

    function _onFaulty() private returns (FaultyToken faulty) {
        faulty = new FaultyToken();
        _build(address(faulty));
        _fund(customer, 1_000);
    }
}
