// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract SetRoleTest is VaultTest {
    function test_RevertWhen_TheCallerIsNotTheAdmin() external {
        vm.prank(guardian);
        // it should revert with WrongRole
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, guardian, ICXPTVault.Role.Guardian));
        vault.setRole(stranger, ICXPTVault.Role.Publisher);
    }

    function test_RevertWhen_TheAccountIsZero() external {
        vm.prank(admin);
        // it should revert with RoleNotChangeable
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RoleNotChangeable.selector, address(0), ICXPTVault.Role.None));
        vault.setRole(address(0), ICXPTVault.Role.Publisher);
    }

    function test_RevertWhen_TheAdminWouldChangeItsOwn() external {
        vm.prank(admin);
        // it should revert with RoleNotChangeable, so that there is always an admin
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RoleNotChangeable.selector, admin, ICXPTVault.Role.Admin));
        vault.setRole(admin, ICXPTVault.Role.None);
    }

    function test_WhenAnAccountGetsARole() external {
        // it should emit RoleSet with both roles
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.RoleSet(stranger, ICXPTVault.Role.None, ICXPTVault.Role.Guardian);
        vm.prank(admin);
        vault.setRole(stranger, ICXPTVault.Role.Guardian);
        vm.prank(stranger);
        // it should be able to act at once
        vault.pauseClaims();
    }

    function test_WhenARoleIsReplaced() external {
        vm.prank(admin);
        vault.setRole(publisher, ICXPTVault.Role.Attester);
        // it should hold the new one and no longer the old
        vm.assertEq(uint256(vault.roleOf(publisher)), uint256(ICXPTVault.Role.Attester), "role");
        vm.prank(publisher);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, publisher, ICXPTVault.Role.Attester));
        vault.publishRoot(FIRST, bytes32(uint256(1)), 1, 1, MANIFEST, 0);
    }

    function test_WhenARoleIsTaken() external {
        vm.prank(admin);
        vault.setRole(guardian, ICXPTVault.Role.None);
        vm.prank(guardian);
        // it should hold none
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, guardian, ICXPTVault.Role.None));
        vault.pauseClaims();
    }

    function test_WhenTheAdminHandsOver() external {
        vm.prank(admin);
        vault.setRole(stranger, ICXPTVault.Role.Admin);
        vm.prank(stranger);
        vault.setRole(admin, ICXPTVault.Role.None);
        // it should leave the new admin alone in charge
        vm.assertEq(uint256(vault.roleOf(admin)), 0, "old");
        vm.assertEq(uint256(vault.roleOf(stranger)), uint256(ICXPTVault.Role.Admin), "new");
    }
}
