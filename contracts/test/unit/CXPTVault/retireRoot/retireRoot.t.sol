// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract RetireRootTest is VaultTest {
    function test_RevertWhen_TheCallerIsNotTheAdmin() external {
        _activate(FIRST, bytes32(uint256(1)), 70, 30);
        vm.prank(guardian);
        // it should revert with WrongRole
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, guardian, ICXPTVault.Role.Guardian));
        vault.retireRoot(FIRST);
    }

    function test_RevertGiven_TheRootIsNotActive() external {
        // it should revert with RootNotActive where there is none
        _refused(FIRST, abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST));
        _publish(FIRST, bytes32(uint256(1)), 70, 30);
        // it should revert with RootNotActive for a pending one
        _refused(FIRST, abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST));
        _revoke(FIRST);
        // it should revert with RootNotActive for a revoked one
        _refused(FIRST, abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST));
    }

    function test_RevertGiven_NoLaterRootIsActive() external {
        _activate(FIRST, bytes32(uint256(1)), 70, 30);
        // it should revert with RootStillNewest
        _refused(FIRST, abi.encodeWithSelector(ICXPTVault.RootStillNewest.selector, FIRST));
        _publish(FIRST + 1, bytes32(uint256(2)), 70, 30);
        _attest(FIRST + 1);
        vm.warp(vault.rootAt(FIRST + 1).activatesAt - 1);
        // it should revert with RootStillNewest a second before the later one activates
        _refused(FIRST, abi.encodeWithSelector(ICXPTVault.RootStillNewest.selector, FIRST));
    }

    function test_GivenALaterRootIsActive() external {
        _activate(FIRST, bytes32(uint256(1)), 70, 30);
        _activate(FIRST + 1, bytes32(uint256(2)), 80, 30);
        // it should emit RootRetired
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.RootRetired(FIRST);
        vm.prank(admin);
        vault.retireRoot(FIRST);
        // it should be retired for good
        vm.assertEq(uint256(vault.rootAt(FIRST).status), uint256(ICXPTVault.RootStatus.Retired), "status");
        _refused(FIRST, abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST));
        // it should leave promises and pools alone
        vm.assertEq(vault.promised(PROVIDER), 80, "promised");
        (, uint256 newest) = vault.latestActiveEpoch();
        vm.assertEq(newest, FIRST + 1, "newest");
        _assertSolvent();
    }

    function _refused(uint256 epoch, bytes memory reason) private {
        vm.prank(admin);
        vm.expectRevert(reason);
        vault.retireRoot(epoch);
    }
}
