// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract SetMaxEpochAmountTest is VaultTest {
    function test_RevertWhen_TheCallerIsNotTheAdmin() external {
        vm.prank(guardian);
        // it should revert with WrongRole
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, guardian, ICXPTVault.Role.Guardian));
        vault.setMaxEpochAmount(1, 1);
    }

    function test_RevertWhen_ThePoolIsNeitherProviderNorUser() external {
        vm.startPrank(admin);
        // it should revert with InvalidPool
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, 0));
        vault.setMaxEpochAmount(0, 1);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, 3));
        vault.setMaxEpochAmount(3, 1);
        vm.stopPrank();
    }

    function test_WhenALimitIsSet() external {
        // it should emit MaxEpochAmountSet with both values
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.MaxEpochAmountSet(USER, 500 * CXPT, 7);
        vm.prank(admin);
        vault.setMaxEpochAmount(USER, 7);
        // it should hold for that pool alone
        vm.assertEq(vault.maxEpochAmount(USER), 7, "user");
        vm.assertEq(vault.maxEpochAmount(PROVIDER), 1_000 * CXPT, "provider");
        vm.prank(publisher);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.EpochLimitExceeded.selector, USER, 7, 8));
        vault.publishRoot(FIRST, bytes32(uint256(1)), 0, 8, MANIFEST, 0);
        _publish(FIRST, bytes32(uint256(1)), 0, 7);
    }

    function test_WhenTheLimitIsZero() external {
        vm.prank(admin);
        vault.setMaxEpochAmount(PROVIDER, 0);
        // it should let nothing be promised
        vm.prank(publisher);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.EpochLimitExceeded.selector, PROVIDER, 0, 1));
        vault.publishRoot(FIRST, bytes32(uint256(1)), 1, 0, MANIFEST, 0);
    }
}
