// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {ThiefTest} from "./ThiefTest.sol";

/// @notice Stolen: the key of one of two attesters, both of whom are needed. At worst: withholds, so that nothing
/// activates until it is replaced.
contract AttesterThiefTest is ThiefTest {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    uint256 private constant OWED_PROVIDER = 700 * CXPT;
    uint256 private constant OWED_USER = 350 * CXPT;

    bytes32 private _publication;

    /// @dev An honest root is pending.
    function setUp() public override {
        super.setUp();
        _asOwner();
        vault.setAttestersRequired(2);
        _publication = _publish(NEXT, _owed().build()[0], OWED_PROVIDER, OWED_USER);
    }

    function test_WhenTheAttesterTriesEveryCall() external {
        // it should be refused all but attestRoot
        _assertRefusedAllBut(attester, _only(ICXPTVault.attestRoot.selector));
    }

    function test_WhenItConfirmsWhatIsNotPendingOrTwiceOrSomethingElse() external {
        vm.startPrank(attester);
        // it should be refused with the rule
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotPending.selector, FIRST));
        vault.attestRoot(FIRST, _publication);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotPending.selector, NEXT + 1));
        vault.attestRoot(NEXT + 1, _publication);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongPublication.selector, _publication, bytes32("other")));
        vault.attestRoot(NEXT, bytes32("other"));
        vault.attestRoot(NEXT, _publication);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.AlreadyAttested.selector, NEXT, attester));
        vault.attestRoot(NEXT, _publication);
        vm.stopPrank();
    }

    function test_WhenItConfirmsAlone() external {
        vm.prank(attester);
        vault.attestRoot(NEXT, _publication);
        vm.warp(block.timestamp + 365 days);
        // it should activate nothing
        vm.assertTrue(vault.rootAt(NEXT).status == ICXPTVault.RootStatus.Pending, "pending");
        vm.assertEq(vault.rootAt(NEXT).attestationsMissing, 1, "missing");
    }

    function test_GivenItWithholds() external {
        _confirm(attester2);
        vm.warp(block.timestamp + 365 days);
        // it should keep the pending root from activating
        (bool exists, uint256 newest) = vault.latestActiveEpoch();
        vm.assertTrue(exists, "an active root");
        vm.assertEq(newest, FIRST, "the newest active root");
        bytes32[] memory proof = _owed().build().prove(_owed()[0]);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, NEXT));
        vault.claim(NEXT, PROVIDER, provider, OWED_PROVIDER, proof);
        // it should keep later roots from being published
        vm.prank(publisher);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootPending.selector, NEXT));
        vault.publishRoot(NEXT + 1, bytes32("later"), OWED_PROVIDER, OWED_USER, MANIFEST, 0);
        // it should leave claims of the active root alone
        _assertPromisesArePaid();
    }

    function test_GivenTheAttesterIsReplaced() external {
        _confirm(attester2);
        bytes[] memory calls = _replace(attester, ICXPTVault.Role.Attester);
        _scheduleBatch(_ofVault(2), calls);
        vm.warp(block.timestamp + WEEK);
        _executeBatch(_ofVault(2), calls);
        // it should be refused
        vm.prank(attester);
        vm.expectRevert(_noRole(attester));
        vault.attestRoot(NEXT, _publication);
        // it should not keep the root from activating an hour after the replacement confirms
        _confirm(replacement);
        vm.assertEq(vault.rootAt(NEXT).activatesAt, block.timestamp + 1 hours, "activatesAt");
        vm.warp(block.timestamp + 1 hours);
        bytes32[] memory nodes = _owed().build();
        vm.assertEq(_claim(NEXT, nodes, _owed()[0]), OWED_PROVIDER, "paid to the provider");
        vm.assertEq(_claim(NEXT, nodes, _owed()[1]), OWED_USER, "paid to the user");
        _assertSolvent();
    }

    function _confirm(address who) private {
        vm.prank(who);
        vault.attestRoot(NEXT, _publication);
    }

    function _owed() private view returns (ClaimTree.Leaf[] memory leaves) {
        leaves = _honestLeaves();
        leaves[0].amount = OWED_PROVIDER;
        leaves[1].amount = OWED_USER;
    }
}
