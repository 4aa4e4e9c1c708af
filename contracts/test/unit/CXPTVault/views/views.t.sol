// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../../../base/ClaimTree.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract ViewsTest is VaultTest {
    function test_RevertWhen_ThePoolIsNeitherProviderNorUser() external {
        uint8[3] memory pools = [0, 3, 255];
        for (uint256 i = 0; i < pools.length; i++) {
            bytes memory reason = abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, pools[i]);
            // it should revert with InvalidPool in every view that takes one
            vm.expectRevert(reason);
            vault.deposited(pools[i]);
            vm.expectRevert(reason);
            vault.promised(pools[i]);
            vm.expectRevert(reason);
            vault.claimedTotal(pools[i]);
            vm.expectRevert(reason);
            vault.claimed(pools[i], user);
            vm.expectRevert(reason);
            vault.liability(pools[i]);
            vm.expectRevert(reason);
            vault.maxEpochAmount(pools[i]);
        }
    }

    function test_RevertWhen_TheHashOfARootThatIsNotPendingIsAsked() external {
        // it should revert with RootNotPending
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotPending.selector, FIRST));
        vault.publicationHash(FIRST);
    }

    function test_GivenNothingWasPublished() external {
        // it should know no root
        _assertRoots(false, 0, false, 0);
        vm.assertEq(uint256(vault.rootAt(FIRST).status), uint256(ICXPTVault.RootStatus.None), "status");
        vm.assertEq(vault.promised(PROVIDER) + vault.promised(USER), 0, "promised");
    }

    function test_GivenOneRootIsPending() external {
        bytes32 hash = _publish(FIRST, bytes32(uint256(1)), 70, 30);
        // it should be the pending one, and none active
        _assertRoots(true, FIRST, false, 0);
        // it should hash the publication with the count of revocations
        bytes32 expected = keccak256(abi.encode(uint256(FIRST), bytes32(uint256(1)), MANIFEST, 70, 30, 0));
        vm.assertEq(hash, expected, "hash");
    }

    function test_GivenARootIsActiveAndALaterOnePending() external {
        _activate(FIRST, bytes32(uint256(1)), 70, 30);
        // it should be the newest active one
        _assertRoots(false, 0, true, FIRST);
        _publish(FIRST + 1, bytes32(uint256(2)), 170, 130);
        // it should stay the newest active one until the later one activates
        _assertRoots(true, FIRST + 1, true, FIRST);
        // it should promise the pending totals already
        vm.assertEq(vault.promised(PROVIDER), 170, "promised");
        _attest(FIRST + 1);
        vm.warp(vault.rootAt(FIRST + 1).activatesAt);
        _assertRoots(false, 0, true, FIRST + 1);
    }

    function test_GivenMoneyCameAndWent() external {
        _activate(FIRST, ClaimTree.hash(ClaimTree.Leaf(PROVIDER, provider, 70)), 100, 30);
        vault.claim(FIRST, PROVIDER, provider, 70, new bytes32[](0));
        token.transfer(address(vault), 11);
        // it should tell deposited, promised, claimed and owed apart
        vm.assertEq(vault.deposited(PROVIDER), 800 * CXPT, "deposited");
        vm.assertEq(vault.promised(PROVIDER), 100, "promised");
        vm.assertEq(vault.claimedTotal(PROVIDER), 70, "claimed");
        vm.assertEq(vault.claimed(PROVIDER, provider), 70, "claimed of the account");
        vm.assertEq(vault.liability(PROVIDER), 30, "owed to providers");
        vm.assertEq(vault.liability(USER), 30, "owed to users");
        // it should count as surplus what nobody owns
        vm.assertEq(vault.surplus(), 11, "surplus");
    }

    function _assertRoots(bool isPending, uint256 pending, bool isActive, uint256 active) private view {
        (bool exists, uint256 epoch) = vault.pendingRoot();
        vm.assertEq(exists, isPending, "whether one is pending");
        vm.assertEq(epoch, pending, "which is pending");
        (exists, epoch) = vault.latestActiveEpoch();
        vm.assertEq(exists, isActive, "whether one is active");
        vm.assertEq(epoch, active, "which is active");
    }
}
