// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";

contract UsageEscrowOwnershipTest is PlatformTest {
    function test_RevertWhen_AStrangerTransfersIt() external {
        vm.prank(stranger);
        // it should revert with OwnableUnauthorizedAccount
        vm.expectRevert(_unauthorized(stranger));
        escrow.transferOwnership(stranger);
    }

    function test_RevertWhen_AStrangerAcceptsIt() external {
        vm.prank(stranger);
        // it should revert with OwnableUnauthorizedAccount
        vm.expectRevert(_unauthorized(stranger));
        escrow.acceptOwnership();
    }

    function test_RevertWhen_AStrangerRenouncesIt() external {
        vm.prank(stranger);
        // it should revert with OwnableUnauthorizedAccount
        vm.expectRevert(_unauthorized(stranger));
        escrow.renounceOwnership();
    }

    function test_WhenTheOwnerTransfersIt() external {
        // it should emit OwnershipTransferStarted
        vm.expectEmit(true, true, true, true, address(escrow));
        emit Ownable2Step.OwnershipTransferStarted(address(timelock), admin);
        _asOwner();
        escrow.transferOwnership(admin);
        // it should change nothing until the next owner accepts
        vm.assertEq(escrow.owner(), address(timelock), "owner");
        vm.assertEq(escrow.pendingOwner(), admin, "next owner");
        vm.prank(admin);
        vm.expectRevert(_unauthorized(admin));
        escrow.setSettler(stranger);
        _asOwner();
        escrow.setSettler(stranger);
    }

    function test_RevertWhen_TheOwnerTakesTheTransferBack() external {
        _asOwner();
        escrow.transferOwnership(admin);
        _asOwner();
        escrow.transferOwnership(address(0));
        vm.prank(admin);
        // it should revert for who was named
        vm.expectRevert(_unauthorized(admin));
        escrow.acceptOwnership();
    }

    function test_WhenTheNextOwnerAccepts() external {
        _asOwner();
        escrow.transferOwnership(admin);
        // it should emit OwnershipTransferred
        vm.expectEmit(true, true, true, true, address(escrow));
        emit Ownable.OwnershipTransferred(address(timelock), admin);
        vm.prank(admin);
        escrow.acceptOwnership();
        // it should give the new owner all and the old one nothing
        vm.prank(admin);
        escrow.setSettler(stranger);
        vm.assertEq(escrow.settler(), stranger, "named by the new owner");
        _asOwner();
        vm.expectRevert(_unauthorized(address(timelock)));
        escrow.setSettler(stranger);
        // it should leave nobody named as the next
        vm.assertEq(escrow.pendingOwner(), address(0), "next owner");
    }

    function test_WhenTheOwnerRenouncesIt() external {
        _asOwner();
        escrow.renounceOwnership();
        // it should keep the settler for good
        vm.assertEq(escrow.owner(), address(0), "owner");
        _asOwner();
        vm.expectRevert(_unauthorized(address(timelock)));
        escrow.setSettler(stranger);
        vm.assertEq(escrow.settler(), settler, "settler");
        // it should leave withdrawals to their owners
        _top(customer, 70);
        vm.prank(customer);
        escrow.requestWithdrawal(70);
        vm.warp(START + 1 days);
        vm.prank(customer);
        vm.assertEq(escrow.withdraw(), 70, "withdrawn");
    }

    function _unauthorized(address account) private pure returns (bytes memory) {
        return abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, account);
    }
}
