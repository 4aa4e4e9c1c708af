// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract PausePublishingTest is VaultTest {
    function test_RevertWhen_TheCallerIsNotAGuardian() external {
        vm.prank(admin);
        // it should revert with WrongRole, for the admin too
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, admin, ICXPTVault.Role.Admin));
        vault.pausePublishing();
    }

    function test_RevertGiven_ThePauseBeforeBeganLessThan44DaysAgo() external {
        _pause();
        // it should revert with PauseTooSoon at once and a second early
        _refused();
        vm.warp(START + 44 days - 1);
        _refused();
        vm.warp(START + 44 days);
        // it should begin again at that second
        _pause();
        vm.assertEq(vault.publishingPausedUntil(), START + 58 days, "until");
    }

    function test_RevertGiven_ThePauseBeforeWasLifted() external {
        _pause();
        vm.prank(admin);
        vault.resumePublishing();
        vm.warp(START + 44 days - 1);
        // it should revert with PauseTooSoon all the same
        _refused();
    }

    function test_WhenAGuardianPauses() external {
        // it should emit PublishingPaused with its end
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.PublishingPaused(START + 14 days);
        _pause();
        // it should last 14 days
        vm.assertEq(vault.publishingPausedUntil(), START + 14 days, "until");
        // it should not touch the other kind
        vm.assertEq(vault.claimsPausedUntil(), 0, "the other");
    }

    function _pause() private {
        vm.prank(guardian);
        vault.pausePublishing();
    }

    function _refused() private {
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.PauseTooSoon.selector, START + 44 days));
        vault.pausePublishing();
    }
}
