// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

/// @dev The root of epoch 5 is active with 70 and 30, that of epoch 6 pending with 170 and 30.
contract RevokeRootTest is VaultTest {
    ICXPTVault.RewardPool private _before;

    function setUp() public override {
        super.setUp();
        _activate(FIRST, bytes32(uint256(1)), 70, 30);
        _before = vault.pools();
        _publish(FIRST + 1, bytes32(uint256(2)), 170, 30);
    }

    function test_RevertWhen_TheCallerIsNotAGuardian() external {
        address[3] memory callers = [admin, publisher, stranger];
        for (uint256 i = 0; i < callers.length; i++) {
            bytes memory wrongRole =
                abi.encodeWithSelector(ICXPTVault.WrongRole.selector, callers[i], vault.roleOf(callers[i]));
            vm.prank(callers[i]);
            // it should revert with WrongRole, for the admin too
            vm.expectRevert(wrongRole);
            vault.revokeRoot(FIRST + 1, "");
        }
    }

    function test_RevertWhen_NoSuchRootIsPending() external {
        // it should revert with RootNotPending for an active one, an unpublished one and any other number
        _refused(FIRST);
        _refused(FIRST + 2);
        _refused(type(uint256).max);
        _revoke(FIRST + 1);
        // it should revert with RootNotPending the second time
        _refused(FIRST + 1);
    }

    function test_RevertGiven_TheRootHasJustBecomeActive() external {
        _attest(FIRST + 1);
        vm.warp(vault.rootAt(FIRST + 1).activatesAt);
        // it should revert with RootNotPending
        _refused(FIRST + 1);
    }

    function test_WhenTheRootIsPending() external {
        // it should emit RootRevoked with both refunds and the reason
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.RootRevoked(FIRST + 1, 100, 0, "a reason");
        _revoke(FIRST + 1);
        // it should restore the pools as if the root had never been published
        _assertRestored();
        // it should count the revocation
        vm.assertEq(vault.revocations(), 1, "revocations");
        // it should leave the record readable as revoked
        vm.assertEq(uint256(vault.rootAt(FIRST + 1).status), uint256(ICXPTVault.RootStatus.Revoked), "status");
        vm.assertEq(vault.rootAt(FIRST + 1).root, bytes32(uint256(2)), "root");
    }

    function test_GivenItIsConfirmedAndASecondFromActive() external {
        _attest(FIRST + 1);
        vm.warp(vault.rootAt(FIRST + 1).activatesAt - 1);
        _revoke(FIRST + 1);
        vm.warp(block.timestamp + 30 days);
        // it should never become active
        vm.assertEq(uint256(vault.rootAt(FIRST + 1).status), uint256(ICXPTVault.RootStatus.Revoked), "status");
        _assertRestored();
    }

    function test_GivenPublishingAndClaimsArePaused() external {
        vm.startPrank(guardian);
        vault.pausePublishing();
        vault.pauseClaims();
        vm.stopPrank();
        // it should revoke all the same
        _revoke(FIRST + 1);
        _assertRestored();
    }

    function test_GivenTheFirstRootOfAll() external {
        super.setUp();
        _publish(FIRST, bytes32(uint256(1)), 5, 6);
        _revoke(FIRST);
        // it should leave nothing promised
        vm.assertEq(vault.promised(PROVIDER), 0, "provider");
        vm.assertEq(vault.promised(USER), 0, "user");
        vm.assertEq(vault.nextEpoch(), FIRST, "next");
        (bool exists,) = vault.pendingRoot();
        vm.assertFalse(exists, "pending");
    }

    function test_WhenTheEpochIsPublishedAgain() external {
        _revoke(FIRST + 1);
        _activate(FIRST + 1, bytes32(uint256(3)), 71, 31);
        // it should hold the new root alone
        vm.assertEq(vault.rootAt(FIRST + 1).root, bytes32(uint256(3)), "root");
        vm.assertEq(vault.promised(PROVIDER), 71, "promised");
        vm.assertEq(vault.revocations(), 1, "revocations stay");
    }

    function _assertRestored() private view {
        ICXPTVault.RewardPool memory pools = vault.pools();
        vm.assertEq(pools.protocolAmount, _before.protocolAmount, "protocol pool");
        vm.assertEq(pools.providerAmount, _before.providerAmount, "provider pool");
        vm.assertEq(pools.userAmount, _before.userAmount, "user pool");
        vm.assertEq(vault.promised(PROVIDER), 70, "promised to providers");
        vm.assertEq(vault.promised(USER), 30, "promised to users");
        vm.assertEq(vault.nextEpoch(), FIRST + 1, "next");
        (bool pending,) = vault.pendingRoot();
        vm.assertFalse(pending, "pending");
        (, uint256 newest) = vault.latestActiveEpoch();
        vm.assertEq(newest, FIRST, "newest");
        _assertSolvent();
    }

    function _refused(uint256 epoch) private {
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotPending.selector, epoch));
        vault.revokeRoot(epoch, "");
    }
}
