// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ISubscriptionManager} from "../../../../src/interfaces/ISubscriptionManager.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";

contract AddPlanTest is PlatformTest {
    function test_RevertWhen_TheCallerIsNotTheOwner() external {
        vm.prank(stranger);
        // it should revert with OwnableUnauthorizedAccount
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        subscriptions.addPlan(1, 1);
    }

    function test_RevertWhen_ThePriceIsZero() external {
        _asOwner();
        // it should revert with InvalidPlan
        vm.expectRevert(abi.encodeWithSelector(ISubscriptionManager.InvalidPlan.selector, 0, 7));
        subscriptions.addPlan(0, 7);
    }

    function test_RevertWhen_ThePeriodIsZero() external {
        _asOwner();
        // it should revert with InvalidPlan
        vm.expectRevert(abi.encodeWithSelector(ISubscriptionManager.InvalidPlan.selector, 7, 0));
        subscriptions.addPlan(7, 0);
    }

    function test_WhenPriceAndPeriodAreAboveZero() external {
        // it should emit PlanAdded
        vm.expectEmit(true, true, true, true, address(subscriptions));
        emit ISubscriptionManager.PlanAdded(2, 7, 11);
        _asOwner();
        uint256 plan = subscriptions.addPlan(7, 11);
        // it should return the next number
        vm.assertEq(plan, 2, "number");
        vm.assertEq(subscriptions.planCount(), 3, "plans");
        // it should sell the plan
        _subscribe(customer, plan, 3);
        _assertSubscription(customer, 21, START, START + 33, true);
        // it should leave the other plans as they were
        vm.assertEq(subscriptions.plans(MONTHLY).price, MONTHLY_PRICE, "monthly price");
        vm.assertEq(subscriptions.plans(YEARLY).period, YEAR, "yearly period");
        // it should leave numbers beyond the last one empty
        for (uint256 beyond = 3; beyond < 5; beyond++) {
            vm.assertEq(subscriptions.plans(beyond).price, 0, "no price");
            vm.assertEq(subscriptions.plans(beyond).period, 0, "no period");
        }
    }
}
