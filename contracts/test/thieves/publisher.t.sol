// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {ThiefTest} from "./ThiefTest.sol";

/// @notice Stolen: the publisher's key. At worst: blocks publishing until paused and replaced.
contract PublisherThiefTest is ThiefTest {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    uint256 private constant WRONG_PROVIDER = 840 * CXPT;
    uint256 private constant WRONG_USER = 420 * CXPT;

    function test_WhenThePublisherTriesEveryCall() external {
        // it should be refused all but publishRoot
        _assertRefusedAllBut(publisher, _only(ICXPTVault.publishRoot.selector));
    }

    function test_WhenThePublisherBreaksARuleOfPublishing() external {
        // it should be refused with the rule
        _refused(FIRST, 1, 0, abi.encodeWithSelector(ICXPTVault.NotNextEpoch.selector, NEXT, FIRST));
        _refused(NEXT + 1, 1, 0, abi.encodeWithSelector(ICXPTVault.NotNextEpoch.selector, NEXT, NEXT + 1));
        _refused(NEXT, 1, 1, abi.encodeWithSelector(ICXPTVault.WrongRevocations.selector, 0, 1));
        _refused(
            NEXT,
            PROMISED_PROVIDER - 1,
            0,
            abi.encodeWithSelector(ICXPTVault.TotalFell.selector, PROVIDER, PROMISED_PROVIDER, PROMISED_PROVIDER - 1)
        );
        _refused(
            NEXT,
            WRONG_PROVIDER + 1,
            0,
            abi.encodeWithSelector(ICXPTVault.PoolTooSmall.selector, PROVIDER, 240 * CXPT, 240 * CXPT + 1)
        );
    }

    function test_GivenNobodyConfirmsItsRoot() external {
        _publishWrong();
        // it should never activate
        vm.warp(block.timestamp + 365 days);
        vm.assertTrue(vault.rootAt(NEXT).status == ICXPTVault.RootStatus.Pending, "pending");
        bytes32[] memory proof = _wrongLeaves().build().prove(_wrongLeaves()[0]);
        vm.prank(publisher);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, NEXT));
        vault.claim(NEXT, PROVIDER, accomplice, WRONG_PROVIDER, proof);
        // it should block every other root
        _refused(NEXT, WRONG_PROVIDER, 0, abi.encodeWithSelector(ICXPTVault.RootPending.selector, NEXT));
        _refused(NEXT + 1, WRONG_PROVIDER, 0, abi.encodeWithSelector(ICXPTVault.RootPending.selector, NEXT));
        // it should leave claims of the active root alone
        _assertPromisesArePaid();
    }

    function test_GivenTheGuardianRevokesEachOfItsRoots() external {
        for (uint256 i = 0; i < 10; i++) {
            // it should publish the next at once
            _publishWrong();
            _assertPools(840 * CXPT, 0, 0);
            _revoke(NEXT);
            // it should leave the pools as they were each time
            _assertPools(840 * CXPT, 240 * CXPT, 120 * CXPT);
        }
        vm.assertEq(vault.revocations(), 10, "revocations");
        _assertPromisesArePaid();
    }

    function test_GivenPublishingIsPausedAndThePublisherReplaced() external {
        _publishWrong();
        vm.prank(guardian);
        vault.pausePublishing();
        _revoke(NEXT);
        uint256 until = vault.publishingPausedUntil();
        bytes[] memory calls = new bytes[](3);
        bytes[] memory replace = _replace(publisher, ICXPTVault.Role.Publisher);
        (calls[0], calls[1], calls[2]) = (replace[0], replace[1], abi.encodeCall(ICXPTVault.resumePublishing, ()));
        _scheduleBatch(_ofVault(3), calls);
        // it should publish nothing from the pause on
        bytes memory paused = abi.encodeWithSelector(ICXPTVault.PublishingIsPaused.selector, until);
        _refused(NEXT, WRONG_PROVIDER, 1, paused);
        vm.warp(block.timestamp + WEEK);
        _refused(NEXT, WRONG_PROVIDER, 1, paused);
        _executeBatch(_ofVault(3), calls);
        // it should have no role after seven days
        vm.assertTrue(vault.roleOf(publisher) == ICXPTVault.Role.None, "role");
        _refused(NEXT, WRONG_PROVIDER, 1, _noRole(publisher));
        // it should not keep the replacement from publishing what everybody is owed
        ClaimTree.Leaf[] memory leaves = _honestLeaves();
        leaves[0].amount += 240 * CXPT;
        leaves[1].amount += 120 * CXPT;
        bytes32[] memory nodes = leaves.build();
        vm.prank(replacement);
        vault.publishRoot(NEXT, nodes[0], leaves[0].amount, leaves[1].amount, MANIFEST, 1);
        _attest(NEXT);
        vm.warp(vault.rootAt(NEXT).activatesAt);
        vm.assertEq(_claim(NEXT, nodes, leaves[0]), WRONG_PROVIDER, "paid to the provider");
        vm.assertEq(_claim(NEXT, nodes, leaves[1]), WRONG_USER, "paid to the user");
        vm.assertEq(token.balanceOf(accomplice) + token.balanceOf(publisher), 0, "stolen");
        _assertEscrowIsPaid(1_000 * CXPT);
    }

    function _wrongLeaves() private view returns (ClaimTree.Leaf[] memory) {
        return _treeFor(accomplice, WRONG_PROVIDER, WRONG_USER);
    }

    function _publishWrong() private {
        _publish(NEXT, _wrongLeaves().build()[0], WRONG_PROVIDER, WRONG_USER);
    }

    function _refused(uint256 epoch, uint256 providerTotal, uint256 revocations, bytes memory reason) private {
        vm.prank(publisher);
        vm.expectRevert(reason);
        vault.publishRoot(epoch, bytes32("wrong"), providerTotal, PROMISED_USER, MANIFEST, revocations);
    }
}
