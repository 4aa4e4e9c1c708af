// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IUsageEscrow} from "../../../../src/interfaces/IUsageEscrow.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";

contract SetSettlerTest is PlatformTest {
    function test_RevertWhen_TheCallerIsNotTheOwner() external {
        address[2] memory callers = [stranger, settler];
        for (uint256 i = 0; i < callers.length; i++) {
            vm.prank(callers[i]);
            // it should revert with OwnableUnauthorizedAccount
            vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, callers[i]));
            escrow.setSettler(callers[i]);
        }
        vm.assertEq(escrow.settler(), settler, "settler");
    }

    function test_WhenTheNewSettlerIsTheZeroAddress() external {
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.SettlerSet(settler, address(0));
        _asOwner();
        escrow.setSettler(address(0));
        // it should let nobody charge
        vm.assertEq(escrow.settler(), address(0), "settler");
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.NotSettler.selector, settler));
        escrow.settle(BATCH, _list(customer), _amounts(1));
    }

    function test_WhenTheNewSettlerIsAnother() external {
        _settle(BATCH, customer, 1);
        // it should emit SettlerSet
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.SettlerSet(settler, stranger);
        _asOwner();
        escrow.setSettler(stranger);
        // it should let the new one charge and the old one no more
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.NotSettler.selector, settler));
        escrow.settle("next", _list(customer), _amounts(1));
        vm.prank(stranger);
        escrow.settle("next", _list(customer), _amounts(1));
        vm.assertTrue(escrow.isSettled("next"), "settled by the new one");
        // it should remember the batches of the old one
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.BatchAlreadySettled.selector, BATCH));
        escrow.settle(BATCH, _list(customer), _amounts(1));
    }
}
