// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IUsageEscrow} from "../../../../src/interfaces/IUsageEscrow.sol";
import {FaultyToken} from "../../../base/FaultyToken.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";
import {HostileToken} from "../../../HostileToken.sol";

contract WithdrawTest is PlatformTest {
    uint256 private constant DUE = START + 1 days;
    uint256 private constant LEFT = 10_000 * CXPT - 1_000;

    /// @dev The customer has 1,000 units, of which it requests 400 at START; 1,000 may be charged in a day.
    function setUp() public override {
        super.setUp();
        _prepare();
    }

    function test_RevertGiven_NothingWasRequested() external {
        vm.prank(stranger);
        // it should revert with NoWithdrawalRequested
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.NoWithdrawalRequested.selector, stranger));
        escrow.withdraw();
    }

    function test_RevertGiven_TheRequestIsOneSecondShortOfADayOld() external {
        vm.warp(DUE - 1);
        vm.prank(customer);
        // it should revert with WithdrawalNotDue
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.WithdrawalNotDue.selector, DUE));
        escrow.withdraw();
        _assertBalance(customer, 1_000);
        _assertRequest(customer, 400, DUE);
    }

    function test_RevertGiven_TheTokenReverts() external {
        FaultyToken faulty = _onFaulty();
        vm.warp(DUE);
        faulty.setReverting(true);
        vm.prank(customer);
        // it should revert as the token does and keep the request
        vm.expectRevert(abi.encodeWithSelector(FaultyToken.OutOfOrder.selector));
        escrow.withdraw();
        _assertKeptAndPaidOnceTheTokenWorks(faulty);
    }

    function test_RevertGiven_TheTokenReturnsFalse() external {
        FaultyToken faulty = _onFaulty();
        vm.warp(DUE);
        faulty.setSilent(true);
        vm.prank(customer);
        // it should revert with SafeERC20FailedOperation and keep the request
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
        escrow.withdraw();
        _assertKeptAndPaidOnceTheTokenWorks(faulty);
    }

    function test_RevertGiven_TheRequestWasPaidBefore() external {
        vm.warp(DUE);
        _withdraw(400);
        vm.prank(customer);
        // it should revert with NoWithdrawalRequested
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.NoWithdrawalRequested.selector, customer));
        escrow.withdraw();
        _assertBalance(customer, 600);
    }

    function test_GivenNothingWasChargedMeanwhile() external {
        vm.warp(DUE);
        // it should emit Withdrawn
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.Withdrawn(customer, 400, 400, 600);
        // it should pay the caller what it requested
        _withdraw(400);
        vm.assertEq(token.balanceOf(customer), LEFT + 400, "the customer's CXPT");
        // it should take it from the balance and from the sum
        _assertBalance(customer, 600);
        vm.assertEq(escrow.totalBalance(), 600, "sum of the balances");
        vm.assertEq(token.balanceOf(address(escrow)), 600, "held");
        // it should leave no request
        _assertRequest(customer, 0, 0);
    }

    function test_GivenLessThanTheRestWasChargedMeanwhile() external {
        _settle(BATCH, customer, 600);
        vm.warp(DUE);
        // it should pay all that was requested
        _withdraw(400);
        _assertBalance(customer, 0);
        vm.assertEq(escrow.totalBalance(), 0, "sum of the balances");
    }

    function test_GivenMoreThanTheRestWasChargedMeanwhile() external {
        _settle(BATCH, customer, 601);
        vm.warp(DUE);
        // it should emit Withdrawn with both figures
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.Withdrawn(customer, 400, 399, 0);
        // it should pay what is left
        _withdraw(399);
        vm.assertEq(token.balanceOf(customer), LEFT + 399, "the customer's CXPT");
        _assertBalance(customer, 0);
        _assertRequest(customer, 0, 0);
    }

    function test_GivenEverythingWasChargedMeanwhile() external {
        _settle(BATCH, customer, 1_000);
        vm.warp(DUE);
        // it should emit Withdrawn of zero
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.Withdrawn(customer, 400, 0, 0);
        // it should pay nothing and close the request
        _withdraw(0);
        vm.assertEq(token.balanceOf(customer), LEFT, "the customer's CXPT");
        _assertRequest(customer, 0, 0);
    }

    function test_GivenEverythingWasChargedAndANewDepositCame() external {
        _settle(BATCH, customer, 1_000);
        vm.warp(DUE + 30 days);
        _top(customer, 500);
        // it should pay from the new deposit at once
        _withdraw(400);
        _assertBalance(customer, 100);
        vm.assertEq(escrow.totalBalance(), 100, "sum of the balances");
    }

    function test_GivenSettlerAndOwnerAndGuardianAreAllAgainstIt() external {
        _asOwner();
        escrow.setSettler(stranger);
        _asOwner();
        escrow.renounceOwnership();
        vm.startPrank(guardian);
        vault.pauseClaims();
        vault.pausePublishing();
        vm.stopPrank();
        vm.warp(DUE);
        // it should pay all the same
        _withdraw(400);
        vm.assertEq(token.balanceOf(customer), LEFT + 400, "the customer's CXPT");
    }

    function test_GivenTheVaultIsFull() external {
        _onHostile();
        vm.prank(payer);
        vault.fundPool(PROVIDER, TOP);
        vm.warp(DUE);
        // it should pay all the same
        _withdraw(400);
        _assertBalance(customer, 600);
    }

    function test_GivenCXPTCameByAPlainTransfer() external {
        vm.prank(payer);
        token.transfer(address(escrow), 5_000);
        vm.warp(DUE);
        // it should pay the request alone
        _withdraw(400);
        vm.assertEq(token.balanceOf(address(escrow)), 5_600, "held");
        vm.assertEq(escrow.totalBalance(), 600, "sum of the balances");
    }

    function test_GivenTheTokenKeepsAFee() external {
        HostileToken hostile = _onHostile();
        _top(payer, 50);
        hostile.setFee(1_000);
        uint256 before = token.balanceOf(customer);
        vm.warp(DUE);
        // it should take the whole amount from the balance and leave what others have
        _withdraw(400);
        vm.assertEq(token.balanceOf(customer), before + 360, "what the token let through");
        _assertBalance(customer, 600);
        _assertBalance(payer, 50);
        vm.assertEq(token.balanceOf(address(escrow)), 650, "held");
    }

    function test_GivenTheTokenCallsBack() external {
        HostileToken hostile = _onHostile();
        // The token is a customer with a request that is due, and may charge here: only the guard stops it.
        vm.prank(payer);
        token.transfer(address(hostile), 100);
        vm.startPrank(address(hostile));
        token.approve(address(escrow), 100);
        escrow.deposit(100);
        escrow.requestWithdrawal(100);
        vm.stopPrank();
        _asOwner();
        escrow.setSettler(address(hostile));
        bytes[] memory calls = new bytes[](3);
        calls[0] = abi.encodeCall(IUsageEscrow.withdraw, ());
        calls[1] = abi.encodeCall(IUsageEscrow.deposit, (1));
        calls[2] = abi.encodeCall(IUsageEscrow.settle, (BATCH, _list(customer), _amounts(1)));
        uint256 before = token.balanceOf(customer);
        for (uint256 i = 0; i < calls.length; i++) {
            vm.prank(customer);
            escrow.requestWithdrawal(100);
            vm.warp(block.timestamp + 1 days);
            hostile.setCall(address(escrow), calls[i]);
            _withdraw(100);
            // it should refuse a second withdrawal and a deposit and a batch inside
            vm.assertFalse(hostile.lastCallSucceeded(), "the call from inside");
            vm.assertEq(
                keccak256(hostile.lastCallResult()),
                keccak256(abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)),
                "its error"
            );
            // it should pay once
            vm.assertEq(token.balanceOf(customer), before + 100 * (i + 1), "the customer's tokens");
            _assertBalance(customer, 1_000 - 100 * (i + 1));
        }
        _assertBalance(address(hostile), 100);
    }

    function test_GivenTheReceiverDepositsAgainAfterwards() external {
        vm.warp(DUE);
        _withdraw(400);
        _top(customer, 400);
        // it should need a new request
        vm.prank(customer);
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.NoWithdrawalRequested.selector, customer));
        escrow.withdraw();
    }

    function test_GivenTheBalanceFillsThe96Bits() external {
        _onHostile();
        _top(customer, TOP - 1_000);
        vm.prank(customer);
        escrow.requestWithdrawal(type(uint96).max);
        vm.warp(DUE);
        uint256 before = token.balanceOf(customer);
        // it should pay it whole
        _withdraw(TOP);
        vm.assertEq(token.balanceOf(customer), before + TOP, "the customer's tokens");
        vm.assertEq(escrow.totalBalance(), 0, "sum of the balances");
    }

    function _prepare() private {
        _top(customer, 1_000);
        _limit(customer, 1_000);
        vm.prank(customer);
        escrow.requestWithdrawal(400);
    }

    function _withdraw(uint256 expected) private {
        vm.prank(customer);
        uint256 amount = escrow.withdraw();
        vm.assertEq(amount, expected, "withdrawn");
    }

    function _assertKeptAndPaidOnceTheTokenWorks(FaultyToken faulty) private {
        _assertBalance(customer, 1_000);
        _assertRequest(customer, 400, DUE);
        vm.assertEq(escrow.totalBalance(), 1_000, "sum of the balances");
        faulty.setReverting(false);
        faulty.setSilent(false);
        _withdraw(400);
    }

    function _onHostile() private returns (HostileToken hostile) {
        hostile = new HostileToken();
        _build(address(hostile));
        _fund(customer, 2 * TOP);
        _fund(payer, 2 * TOP);
        _prepare();
    }

    function _onFaulty() private returns (FaultyToken faulty) {
        faulty = new FaultyToken();
        _build(address(faulty));
        _fund(customer, 1_000);
        _prepare();
    }
}
