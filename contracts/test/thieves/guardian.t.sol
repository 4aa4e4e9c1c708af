// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {ThiefTest} from "./ThiefTest.sol";

/// @notice Stolen: the guardian's key. At worst: holds claims for 14 days, and revokes until it is replaced.
contract GuardianThiefTest is ThiefTest {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    uint256 private _began;

    function setUp() public override {
        super.setUp();
        _began = block.timestamp;
    }

    function test_WhenTheGuardianTriesEveryCall() external {
        bytes4[] memory allowed = new bytes4[](5);
        allowed[0] = ICXPTVault.revokeRoot.selector;
        allowed[1] = ICXPTVault.pauseClaims.selector;
        allowed[2] = ICXPTVault.resumeClaims.selector;
        allowed[3] = ICXPTVault.pausePublishing.selector;
        allowed[4] = ICXPTVault.resumePublishing.selector;
        // it should be refused all but revokeRoot and the pauses
        _assertRefusedAllBut(guardian, allowed);
    }

    function test_RevertWhen_ItRevokesAnActiveRoot() external {
        vm.prank(guardian);
        // it should revert with RootNotPending
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotPending.selector, FIRST));
        vault.revokeRoot(FIRST, "stolen");
    }

    function test_GivenItPausesClaims() external {
        _pauseClaims();
        // it should hold them for 14 days to the second
        vm.warp(_began + 14 days - 1);
        _assertClaimsHeldUntil(_began + 14 days);
        // it should not hold them again before 44 days have passed
        bytes memory tooSoon = abi.encodeWithSelector(ICXPTVault.PauseTooSoon.selector, _began + 44 days);
        vm.prank(guardian);
        vm.expectRevert(tooSoon);
        vault.pauseClaims();
        // it should not gain time by resuming and pausing again
        vm.prank(guardian);
        vault.resumeClaims();
        vm.prank(guardian);
        vm.expectRevert(tooSoon);
        vault.pauseClaims();
        vm.warp(_began + 44 days - 1);
        vm.prank(guardian);
        vm.expectRevert(tooSoon);
        vault.pauseClaims();
        _assertPromisesArePaid();
        vm.warp(_began + 44 days);
        _pauseClaims();
        vm.assertEq(vault.claimsPausedUntil(), _began + 58 days, "the second pause");
    }

    function test_GivenItPausesPublishingAndRevokesEveryRoot() external {
        vm.prank(guardian);
        vault.pausePublishing();
        vm.prank(publisher);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.PublishingIsPaused.selector, _began + 14 days));
        vault.publishRoot(NEXT, bytes32("root"), PROMISED_PROVIDER, PROMISED_USER, MANIFEST, 0);
        vm.warp(_began + 14 days);
        for (uint256 i = 0; i < 5; i++) {
            _publish(NEXT, bytes32("root"), 840 * CXPT, 420 * CXPT);
            _attest(NEXT);
            vm.warp(vault.rootAt(NEXT).activatesAt - 1);
            _revoke(NEXT);
            // it should keep new roots from activating
            (, uint256 newest) = vault.latestActiveEpoch();
            vm.assertEq(newest, FIRST, "the newest active root");
            // it should leave the pools as they were
            _assertPools(840 * CXPT, 240 * CXPT, 120 * CXPT);
        }
        _assertPromisesArePaid();
    }

    function test_GivenTheGuardianIsReplaced() external {
        _pauseClaims();
        vm.prank(guardian);
        vault.pausePublishing();
        bytes[] memory replace = _replace(guardian, ICXPTVault.Role.Guardian);
        bytes[] memory calls = new bytes[](4);
        (calls[0], calls[1]) = (replace[0], replace[1]);
        calls[2] = abi.encodeCall(ICXPTVault.resumeClaims, ());
        calls[3] = abi.encodeCall(ICXPTVault.resumePublishing, ());
        _scheduleBatch(_ofVault(4), calls);
        vm.warp(block.timestamp + WEEK);
        _assertClaimsHeldUntil(_began + 14 days);
        _executeBatch(_ofVault(4), calls);
        // it should be refused after seven days
        _publish(NEXT, _owed().build()[0], 840 * CXPT, 420 * CXPT);
        vm.prank(guardian);
        vm.expectRevert(_noRole(guardian));
        vault.revokeRoot(NEXT, "stolen");
        vm.prank(guardian);
        vm.expectRevert(_noRole(guardian));
        vault.pauseClaims();
        // it should not keep the admin from resuming claims at once
        _assertPromisesArePaid();
        // it should not keep the next root from paying what everybody is owed
        _attest(NEXT);
        vm.warp(vault.rootAt(NEXT).activatesAt);
        vm.assertEq(_claim(NEXT, _owed().build(), _owed()[0]), 240 * CXPT, "paid to the provider");
        vm.assertEq(_claim(NEXT, _owed().build(), _owed()[1]), 120 * CXPT, "paid to the user");
        _assertSolvent();
    }

    function _pauseClaims() private {
        vm.prank(guardian);
        vault.pauseClaims();
    }

    function _assertClaimsHeldUntil(uint256 until) private {
        bytes32[] memory proof = _honestTree().prove(_honestLeaves()[0]);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.ClaimsArePaused.selector, until));
        vault.claim(FIRST, PROVIDER, provider, PROMISED_PROVIDER, proof);
    }

    function _owed() private view returns (ClaimTree.Leaf[] memory leaves) {
        leaves = _honestLeaves();
        leaves[0].amount = 840 * CXPT;
        leaves[1].amount = 420 * CXPT;
    }
}
