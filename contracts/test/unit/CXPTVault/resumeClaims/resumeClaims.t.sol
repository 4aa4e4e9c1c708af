// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract ResumeClaimsTest is VaultTest {
    function test_RevertWhen_TheCallerIsNeitherGuardianNorAdmin() external {
        vm.prank(guardian);
        vault.pauseClaims();
        vm.prank(publisher);
        // it should revert with WrongRole
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, publisher, ICXPTVault.Role.Publisher));
        vault.resumeClaims();
    }

    function test_RevertGiven_NothingIsPaused() external {
        vm.prank(admin);
        // it should revert with NotPaused where no pause ever began
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.NotPaused.selector));
        vault.resumeClaims();
        vm.prank(guardian);
        vault.pauseClaims();
        vm.warp(START + 14 days);
        vm.prank(admin);
        // it should revert with NotPaused at the second of the lapse
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.NotPaused.selector));
        vault.resumeClaims();
    }

    function test_WhenTheGuardianLiftsIt() external {
        // it should emit ClaimsResumed, still in the last second
        _assertLifted(guardian);
        // it should be over
        vm.assertEq(vault.claimsPausedUntil(), 0, "until");
    }

    function test_WhenTheAdminLiftsIt() external {
        // it should emit ClaimsResumed, still in the last second
        _assertLifted(admin);
        // it should be over
        vm.assertEq(vault.claimsPausedUntil(), 0, "until");
    }

    function _assertLifted(address by) private {
        vm.prank(guardian);
        vault.pauseClaims();
        vm.warp(START + 14 days - 1);
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.ClaimsResumed();
        vm.prank(by);
        vault.resumeClaims();
    }
}
