// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ISubscriptionManager} from "../../../../src/interfaces/ISubscriptionManager.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";

contract CancelTest is PlatformTest {
    function test_RevertGiven_TheAccountNeverSubscribed() external {
        _subscribe(customer, MONTHLY, 1);
        vm.prank(stranger);
        // it should revert with NotSubscribed
        vm.expectRevert(abi.encodeWithSelector(ISubscriptionManager.NotSubscribed.selector, stranger));
        subscriptions.cancel();
    }

    function test_RevertGiven_TheSubscriptionHasEnded() external {
        _subscribe(customer, MONTHLY, 1);
        vm.warp(START + MONTH);
        vm.prank(customer);
        // it should revert with NotSubscribed
        vm.expectRevert(abi.encodeWithSelector(ISubscriptionManager.NotSubscribed.selector, customer));
        subscriptions.cancel();
    }

    function test_GivenTheSubscriptionRuns() external {
        _subscribe(customer, YEARLY, 1);
        uint256 held = token.balanceOf(customer);
        vm.warp(START + YEAR - 1);
        // it should emit Cancelled
        vm.expectEmit(true, true, true, true, address(subscriptions));
        emit ISubscriptionManager.Cancelled(customer, YEARLY, START + YEAR);
        vm.prank(customer);
        subscriptions.cancel();
        // it should stop nothing that is paid for
        _assertSubscription(customer, YEARLY_PRICE, START, START + YEAR, true);
        vm.assertEq(subscriptions.planOf(customer), YEARLY, "plan");
        // it should give nothing back
        vm.assertEq(token.balanceOf(customer), held, "the customer's CXPT");
        // it should allow a renewal all the same
        _subscribe(customer, YEARLY, 1);
        _assertSubscription(customer, YEARLY_PRICE, START, START + 2 * YEAR, true);
    }
}
