// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {IFeePayer} from "../../../../src/interfaces/IFeePayer.sol";
import {ISubscriptionManager} from "../../../../src/interfaces/ISubscriptionManager.sol";
import {SubscriptionManager} from "../../../../src/SubscriptionManager.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";
import {Vm} from "../../../base/Test.sol";

contract SubscriptionManagerConstructorTest is PlatformTest {
    function test_RevertWhen_TheVaultHasNoCode() external {
        // it should revert with NotAVault
        vm.expectRevert(abi.encodeWithSelector(IFeePayer.NotAVault.selector, stranger));
        new SubscriptionManager(ICXPTVault(stranger), admin, _plans());
        vm.expectRevert(abi.encodeWithSelector(IFeePayer.NotAVault.selector, address(0)));
        new SubscriptionManager(ICXPTVault(address(0)), admin, _plans());
    }

    function test_RevertWhen_TheVaultIsAContractWithoutAToken() external {
        // it should revert without a reason
        vm.expectRevert(bytes(""));
        new SubscriptionManager(ICXPTVault(address(token)), admin, _plans());
    }

    function test_RevertWhen_TheOwnerIsTheZeroAddress() external {
        // it should revert with OwnableInvalidOwner
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableInvalidOwner.selector, address(0)));
        new SubscriptionManager(vault, address(0), _plans());
    }

    function test_RevertWhen_APlanHasNoPrice() external {
        ISubscriptionManager.Plan[] memory plans = _plans();
        plans[1].price = 0;
        // it should revert with InvalidPlan
        vm.expectRevert(abi.encodeWithSelector(ISubscriptionManager.InvalidPlan.selector, 0, YEAR));
        new SubscriptionManager(vault, admin, plans);
    }

    function test_RevertWhen_APlanHasNoPeriod() external {
        ISubscriptionManager.Plan[] memory plans = _plans();
        plans[1].period = 0;
        // it should revert with InvalidPlan
        vm.expectRevert(abi.encodeWithSelector(ISubscriptionManager.InvalidPlan.selector, YEARLY_PRICE, 0));
        new SubscriptionManager(vault, admin, plans);
    }

    function test_WhenThereAreNoPlans() external {
        subscriptions = new SubscriptionManager(vault, admin, new ISubscriptionManager.Plan[](0));
        // it should sell nothing
        vm.assertEq(subscriptions.planCount(), 0, "plans");
        vm.prank(customer);
        vm.expectRevert(abi.encodeWithSelector(ISubscriptionManager.PlanNotSold.selector, 0));
        subscriptions.subscribe(0, 1, type(uint256).max);
    }

    function test_WhenThereArePlans() external {
        vm.recordLogs();
        subscriptions = new SubscriptionManager(vault, admin, _plans());
        Vm.Log[] memory logs = vm.getRecordedLogs();
        // it should take the token of the vault
        vm.assertEq(address(subscriptions.vault()), address(vault), "vault");
        vm.assertEq(address(subscriptions.token()), address(token), "token");
        // it should name the owner and nobody as the next
        vm.assertEq(subscriptions.owner(), admin, "owner");
        vm.assertEq(subscriptions.pendingOwner(), address(0), "next owner");
        // it should sell every plan from the first block
        vm.assertEq(subscriptions.planCount(), 2, "plans");
        vm.assertEq(subscriptions.plans(MONTHLY).price, MONTHLY_PRICE, "monthly price");
        vm.assertEq(subscriptions.plans(MONTHLY).period, MONTH, "monthly period");
        vm.assertEq(subscriptions.plans(YEARLY).price, YEARLY_PRICE, "yearly price");
        vm.assertEq(subscriptions.plans(YEARLY).period, YEAR, "yearly period");
        // it should emit PlanAdded for each
        vm.assertEq(logs.length, 3, "the owner and two plans");
        _assertPlanAdded(logs[1], MONTHLY, MONTHLY_PRICE, MONTH);
        _assertPlanAdded(logs[2], YEARLY, YEARLY_PRICE, YEAR);
    }

    function _assertPlanAdded(Vm.Log memory log, uint256 plan, uint256 price, uint256 period) private pure {
        vm.assertEq(log.topics[0], ISubscriptionManager.PlanAdded.selector, "PlanAdded");
        vm.assertEq(log.topics[1], bytes32(plan), "plan");
        vm.assertEq(keccak256(log.data), keccak256(abi.encode(price, period)), "price and period");
    }
}
