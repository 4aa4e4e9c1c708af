// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IUsageEscrow} from "../../../../src/interfaces/IUsageEscrow.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";

contract RequestWithdrawalTest is PlatformTest {
    function setUp() public override {
        super.setUp();
        _top(customer, 1_000);
    }

    function test_RevertWhen_TheAmountIsAboveTheBalance() external {
        _request(400);
        vm.warp(START + 1 hours);
        vm.prank(customer);
        // it should revert with AmountTooLarge and keep the earlier request
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.AmountTooLarge.selector, 1_000, 1_001));
        escrow.requestWithdrawal(1_001);
        _assertRequest(customer, 400, START + 1 days);
    }

    function test_RevertGiven_TheAccountHasNothing() external {
        vm.prank(stranger);
        // it should revert with AmountTooLarge
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.AmountTooLarge.selector, 0, 1));
        escrow.requestWithdrawal(1);
    }

    function test_WhenTheAmountIsZero() external {
        _request(400);
        // it should emit WithdrawalRequested of zero
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.WithdrawalRequested(customer, 0, 0);
        _request(0);
        // it should take an earlier request back
        _assertRequest(customer, 0, 0);
        vm.warp(START + 1 days);
        vm.prank(customer);
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.NoWithdrawalRequested.selector, customer));
        escrow.withdraw();
        _assertBalance(customer, 1_000);
    }

    function test_WhenTheAmountIsZeroAndNothingWasRequested() external {
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.WithdrawalRequested(stranger, 0, 0);
        vm.prank(stranger);
        escrow.requestWithdrawal(0);
        // it should change nothing
        _assertRequest(stranger, 0, 0);
    }

    function test_GivenAnEarlierRequestIsOpen() external {
        _request(400);
        vm.warp(START + 1 days - 1);
        _request(300);
        // it should replace amount and time
        _assertRequest(customer, 300, START + 2 days - 1);
        // it should make the old time worthless
        vm.warp(START + 1 days);
        vm.prank(customer);
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.WithdrawalNotDue.selector, START + 2 days - 1));
        escrow.withdraw();
    }

    function test_WhenTheAmountIsWithinTheBalance() external {
        _limit(customer, 1_000);
        // it should emit WithdrawalRequested a day ahead
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.WithdrawalRequested(customer, 1_000, START + 1 days);
        _request(1_000);
        _assertRequest(customer, 1_000, START + 1 days);
        // it should keep balance and sum as they were
        _assertBalance(customer, 1_000);
        vm.assertEq(escrow.totalBalance(), 1_000, "sum of the balances");
        vm.assertEq(token.balanceOf(customer), 10_000 * CXPT - 1_000, "nothing is paid yet");
        // it should leave it chargeable
        vm.assertEq(escrow.chargeable(customer), 1_000, "chargeable");
        // it should change nobody else
        _assertRequest(guest, 0, 0);
    }

    function _request(uint256 amount) private {
        vm.prank(customer);
        escrow.requestWithdrawal(uint96(amount));
    }
}
