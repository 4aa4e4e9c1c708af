// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract SetAttestersRequiredTest is VaultTest {
    function test_RevertWhen_TheCallerIsNotTheAdmin() external {
        vm.prank(guardian);
        // it should revert with WrongRole
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, guardian, ICXPTVault.Role.Guardian));
        vault.setAttestersRequired(1);
    }

    function test_RevertWhen_NoneWouldBeNeeded() external {
        vm.prank(admin);
        // it should revert with InvalidAttestersRequired
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.InvalidAttestersRequired.selector, 0));
        vault.setAttestersRequired(0);
    }

    function test_WhenTheNumberIsSet() external {
        // it should emit AttestersRequiredSet with both values
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.AttestersRequiredSet(1, 2);
        vm.prank(admin);
        vault.setAttestersRequired(2);
        vm.assertEq(vault.attestersRequired(), 2, "number");
        _publish(FIRST, bytes32(uint256(1)), 1, 1);
        // it should hold for later publications
        vm.assertEq(vault.rootAt(FIRST).attestationsMissing, 2, "missing");
    }

    function test_WhenMoreAreNeededThanThereAre() external {
        vm.prank(admin);
        // it should be taken
        vault.setAttestersRequired(255);
        _publish(FIRST, bytes32(uint256(1)), 1, 1);
        _attest(FIRST);
        vm.warp(START + 30 days);
        (bool exists,) = vault.latestActiveEpoch();
        // it should keep roots from activating
        vm.assertFalse(exists, "active");
    }
}
