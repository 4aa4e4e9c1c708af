// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract SetActivationDelayTest is VaultTest {
    function test_RevertWhen_TheCallerIsNotTheAdmin() external {
        vm.prank(guardian);
        // it should revert with WrongRole
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, guardian, ICXPTVault.Role.Guardian));
        vault.setActivationDelay(1 hours);
    }

    function test_RevertWhen_TheDelayIsNotOneToTwentyHours() external {
        // it should revert with InvalidActivationDelay
        _refused(0);
        _refused(1 hours - 1);
        _refused(20 hours + 1);
        _refused(type(uint32).max);
    }

    function test_WhenTheDelayIsOneToTwentyHours() external {
        _publish(FIRST, bytes32(uint256(1)), 1, 1);
        // it should emit ActivationDelaySet with both values
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.ActivationDelaySet(2 hours, 20 hours);
        vm.prank(admin);
        vault.setActivationDelay(20 hours);
        // it should leave a root that is published alone
        vm.assertEq(vault.rootAt(FIRST).activatesAt, START + 2 hours, "published before");
        _revoke(FIRST);
        _publish(FIRST, bytes32(uint256(1)), 1, 1);
        // it should hold for later publications
        vm.assertEq(vault.rootAt(FIRST).activatesAt, START + 20 hours, "published after");
        vm.prank(admin);
        vault.setActivationDelay(1 hours);
        vm.assertEq(vault.activationDelay(), 1 hours, "the shortest");
    }

    function _refused(uint32 delay) private {
        vm.prank(admin);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.InvalidActivationDelay.selector, delay));
        vault.setActivationDelay(delay);
    }
}
