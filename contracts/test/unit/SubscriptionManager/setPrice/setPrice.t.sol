// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ISubscriptionManager} from "../../../../src/interfaces/ISubscriptionManager.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";

contract SetPriceTest is PlatformTest {
    function test_RevertWhen_TheCallerIsNotTheOwner() external {
        vm.prank(stranger);
        // it should revert with OwnableUnauthorizedAccount
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        subscriptions.setPrice(MONTHLY, 1);
    }

    function test_RevertWhen_ThereIsNoSuchPlan() external {
        _asOwner();
        // it should revert with PlanNotSold
        vm.expectRevert(abi.encodeWithSelector(ISubscriptionManager.PlanNotSold.selector, 2));
        subscriptions.setPrice(2, 1);
    }

    function test_WhenThePriceIsZero() external {
        _subscribe(customer, MONTHLY, 1);
        vm.expectEmit(true, true, true, true, address(subscriptions));
        emit ISubscriptionManager.PriceSet(MONTHLY, MONTHLY_PRICE, 0);
        _asOwner();
        subscriptions.setPrice(MONTHLY, 0);
        // it should stop the sale and renewals
        vm.prank(customer);
        vm.expectRevert(abi.encodeWithSelector(ISubscriptionManager.PlanNotSold.selector, MONTHLY));
        subscriptions.subscribe(MONTHLY, 1, type(uint256).max);
        // it should let paid time run
        vm.warp(START + MONTH - 1);
        _assertSubscription(customer, MONTHLY_PRICE, START, START + MONTH, true);
    }

    function test_GivenThePriceWasZero() external {
        _asOwner();
        subscriptions.setPrice(MONTHLY, 0);
        vm.expectEmit(true, true, true, true, address(subscriptions));
        emit ISubscriptionManager.PriceSet(MONTHLY, 0, 3);
        _asOwner();
        subscriptions.setPrice(MONTHLY, 3);
        // it should sell again
        _subscribe(customer, MONTHLY, 2);
        _assertSubscription(customer, 6, START, START + 2 * MONTH, true);
    }

    function test_WhenThePriceIsAboveZero() external {
        _subscribe(customer, MONTHLY, 1);
        // it should emit PriceSet
        vm.expectEmit(true, true, true, true, address(subscriptions));
        emit ISubscriptionManager.PriceSet(MONTHLY, MONTHLY_PRICE, 5);
        _asOwner();
        subscriptions.setPrice(MONTHLY, 5);
        // it should set the price of later payments
        vm.assertEq(subscriptions.plans(MONTHLY).price, 5, "price");
        _subscribe(_guestWithAllowance(), MONTHLY, 1);
        _assertSubscription(guest, 5, START, START + MONTH, true);
        // it should leave the period and other plans as they were
        vm.assertEq(subscriptions.plans(MONTHLY).period, MONTH, "period");
        vm.assertEq(subscriptions.plans(YEARLY).price, YEARLY_PRICE, "other price");
        vm.assertEq(subscriptions.planCount(), 2, "plans");
        // it should leave paid time as it was
        _assertSubscription(customer, MONTHLY_PRICE, START, START + MONTH, true);
    }

    function _guestWithAllowance() private returns (address) {
        _fund(guest, CXPT);
        return guest;
    }
}
