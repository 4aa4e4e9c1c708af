// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";

contract SubscriptionManagerOwnershipTest is PlatformTest {
    function test_RevertWhen_AStrangerTransfersIt() external {
        vm.prank(stranger);
        // it should revert with OwnableUnauthorizedAccount
        vm.expectRevert(_unauthorized(stranger));
        subscriptions.transferOwnership(stranger);
    }

    function test_RevertWhen_AStrangerAcceptsIt() external {
        vm.prank(stranger);
        // it should revert with OwnableUnauthorizedAccount
        vm.expectRevert(_unauthorized(stranger));
        subscriptions.acceptOwnership();
    }

    function test_RevertWhen_AStrangerRenouncesIt() external {
        vm.prank(stranger);
        // it should revert with OwnableUnauthorizedAccount
        vm.expectRevert(_unauthorized(stranger));
        subscriptions.renounceOwnership();
    }

    function test_WhenTheOwnerTransfersIt() external {
        // it should emit OwnershipTransferStarted
        vm.expectEmit(true, true, true, true, address(subscriptions));
        emit Ownable2Step.OwnershipTransferStarted(address(timelock), admin);
        _asOwner();
        subscriptions.transferOwnership(admin);
        // it should change nothing until the next owner accepts
        vm.assertEq(subscriptions.owner(), address(timelock), "owner");
        vm.assertEq(subscriptions.pendingOwner(), admin, "next owner");
        vm.prank(admin);
        vm.expectRevert(_unauthorized(admin));
        subscriptions.addPlan(1, 1);
        _asOwner();
        subscriptions.addPlan(1, 1);
    }

    function test_RevertWhen_TheOwnerTakesTheTransferBack() external {
        _asOwner();
        subscriptions.transferOwnership(admin);
        _asOwner();
        subscriptions.transferOwnership(address(0));
        vm.prank(admin);
        // it should revert for who was named
        vm.expectRevert(_unauthorized(admin));
        subscriptions.acceptOwnership();
    }

    function test_WhenTheNextOwnerAccepts() external {
        _asOwner();
        subscriptions.transferOwnership(admin);
        // it should emit OwnershipTransferred
        vm.expectEmit(true, true, true, true, address(subscriptions));
        emit Ownable.OwnershipTransferred(address(timelock), admin);
        vm.prank(admin);
        subscriptions.acceptOwnership();
        // it should give the new owner all and the old one nothing
        vm.prank(admin);
        vm.assertEq(subscriptions.addPlan(1, 1), 2, "the new owner adds a plan");
        _asOwner();
        vm.expectRevert(_unauthorized(address(timelock)));
        subscriptions.addPlan(1, 1);
        // it should leave nobody named as the next
        vm.assertEq(subscriptions.pendingOwner(), address(0), "next owner");
    }

    function test_WhenTheOwnerRenouncesIt() external {
        _asOwner();
        subscriptions.renounceOwnership();
        // it should freeze plans and prices for good
        vm.assertEq(subscriptions.owner(), address(0), "owner");
        _asOwner();
        vm.expectRevert(_unauthorized(address(timelock)));
        subscriptions.setPrice(MONTHLY, 0);
        // it should go on selling
        _subscribe(customer, MONTHLY, 1);
        _assertSubscription(customer, MONTHLY_PRICE, START, START + MONTH, true);
    }

    function _unauthorized(address account) private pure returns (bytes memory) {
        return abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, account);
    }
}
