// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {ThiefTest} from "./ThiefTest.sol";

/// @notice Stolen: the publisher's key and as many attesters' keys as a root needs. At worst: a wrong root, bounded by
/// the limits of an epoch and unclaimed promises, unless the guardian revokes within the delay.
contract PublisherAndAttesterThiefTest is ThiefTest {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    uint256 private constant LIMIT_PROVIDER = 100 * CXPT;
    uint256 private constant LIMIT_USER = 50 * CXPT;
    uint256 private constant WRONG_PROVIDER = PROMISED_PROVIDER + LIMIT_PROVIDER;
    uint256 private constant WRONG_USER = PROMISED_USER + LIMIT_USER;

    function setUp() public override {
        super.setUp();
        _asOwner();
        vault.setMaxEpochAmount(PROVIDER, uint96(LIMIT_PROVIDER));
        _asOwner();
        vault.setMaxEpochAmount(USER, uint96(LIMIT_USER));
    }

    function test_WhenThePairTriesEveryCall() external {
        // it should be refused all but publishRoot and attestRoot
        _assertRefusedAllBut(publisher, _only(ICXPTVault.publishRoot.selector));
        _assertRefusedAllBut(attester, _only(ICXPTVault.attestRoot.selector));
    }

    function test_WhenThePairAsksForMoreThanAnEpochMayPromise() external {
        vm.startPrank(publisher);
        // it should be refused with EpochLimitExceeded
        vm.expectRevert(
            abi.encodeWithSelector(ICXPTVault.EpochLimitExceeded.selector, PROVIDER, LIMIT_PROVIDER, LIMIT_PROVIDER + 1)
        );
        vault.publishRoot(NEXT, bytes32("wrong"), WRONG_PROVIDER + 1, WRONG_USER, MANIFEST, 0);
        vm.expectRevert(
            abi.encodeWithSelector(ICXPTVault.EpochLimitExceeded.selector, USER, LIMIT_USER, LIMIT_USER + 1)
        );
        vault.publishRoot(NEXT, bytes32("wrong"), WRONG_PROVIDER, WRONG_USER + 1, MANIFEST, 0);
        vm.stopPrank();
    }

    function test_GivenTheGuardianDoesNothing() external {
        // Leaves may promise anything: what is paid is bounded by the totals.
        ClaimTree.Leaf[] memory leaves = _treeFor(accomplice, WRONG_PROVIDER + 1, WRONG_USER);
        bytes32[] memory nodes = leaves.build();
        _activate(NEXT, nodes[0], WRONG_PROVIDER, WRONG_USER);
        // it should take no more than the limit of the epoch and the unclaimed promises
        bytes32[] memory proof = nodes.prove(leaves[0]);
        vm.expectRevert(
            abi.encodeWithSelector(ICXPTVault.PromiseExceeded.selector, PROVIDER, WRONG_PROVIDER, WRONG_PROVIDER + 1)
        );
        vault.claim(NEXT, PROVIDER, accomplice, WRONG_PROVIDER + 1, proof);
        vm.assertEq(_claim(NEXT, nodes, leaves[1]), WRONG_USER, "taken from the user pool");
        _takeNext(NEXT + 1, WRONG_PROVIDER + LIMIT_PROVIDER, WRONG_USER + LIMIT_USER);
        // it should take the limit again with each later root
        uint256 taken = WRONG_PROVIDER + LIMIT_PROVIDER + WRONG_USER + LIMIT_USER;
        vm.assertEq(token.balanceOf(accomplice), taken, "stolen with two roots");
        // it should leave the protocol and the rest of the pools and the escrow
        _assertPools(840 * CXPT, 40 * CXPT, 20 * CXPT);
        _assertSolvent();
        // it should not keep the pair from being replaced and people from being paid with new money
        _repair(NEXT + 2, WRONG_PROVIDER + LIMIT_PROVIDER, WRONG_USER + LIMIT_USER);
        _assertEscrowIsPaid(1_000 * CXPT);
    }

    function test_GivenTheGuardianRevokesInTheLastSecondOfTheDelay() external {
        ClaimTree.Leaf[] memory leaves = _treeFor(accomplice, WRONG_PROVIDER, WRONG_USER);
        bytes32[] memory nodes = leaves.build();
        _publish(NEXT, nodes[0], WRONG_PROVIDER, WRONG_USER);
        _attest(NEXT);
        vm.warp(vault.rootAt(NEXT).activatesAt - 1);
        _revoke(NEXT);
        vm.warp(block.timestamp + 1);
        // it should take nothing
        bytes32[] memory proof = nodes.prove(leaves[0]);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, NEXT));
        vault.claim(NEXT, PROVIDER, accomplice, WRONG_PROVIDER, proof);
        vm.assertEq(token.balanceOf(accomplice), 0, "stolen");
        // it should leave the pools as if the root had never been published
        _assertPools(840 * CXPT, 240 * CXPT, 120 * CXPT);
        vm.assertEq(vault.promised(PROVIDER), PROMISED_PROVIDER, "promised to providers");
        vm.assertEq(vault.promised(USER), PROMISED_USER, "promised to users");
        vm.assertEq(vault.nextEpoch(), NEXT, "next epoch");
        // it should leave everybody paid and the pair replaced
        _assertPromisesArePaid();
        vm.prank(guardian);
        vault.pausePublishing();
        _replacePair();
        vm.prank(publisher);
        vm.expectRevert(_noRole(publisher));
        vault.publishRoot(NEXT, nodes[0], WRONG_PROVIDER, WRONG_USER, MANIFEST, 1);
        vm.prank(attester);
        vm.expectRevert(_noRole(attester));
        vault.attestRoot(NEXT, bytes32(0));
        vm.assertEq(token.balanceOf(provider), PROMISED_PROVIDER, "the provider's CXPT");
        vm.assertEq(token.balanceOf(user), PROMISED_USER, "the user's CXPT");
    }

    function test_RevertGiven_TheGuardianIsOneSecondLate() external {
        _activate(NEXT, _treeFor(accomplice, WRONG_PROVIDER, WRONG_USER).build()[0], WRONG_PROVIDER, WRONG_USER);
        vm.prank(guardian);
        // it should revert with RootNotPending
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotPending.selector, NEXT));
        vault.revokeRoot(NEXT, "too late");
    }

    function _takeNext(uint256 epoch, uint256 providerTotal, uint256 userTotal) private {
        ClaimTree.Leaf[] memory leaves = _treeFor(accomplice, providerTotal, userTotal);
        bytes32[] memory nodes = leaves.build();
        _activate(epoch, nodes[0], providerTotal, userTotal);
        _claim(epoch, nodes, leaves[0]);
        _claim(epoch, nodes, leaves[1]);
        // Nobody else can be paid from what the thief was paid.
        ClaimTree.Leaf memory robbed = _honestLeaves()[0];
        bytes32[] memory proof = _honestTree().prove(robbed);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.PromiseExceeded.selector, PROVIDER, 0, PROMISED_PROVIDER));
        vault.claim(FIRST, PROVIDER, provider, PROMISED_PROVIDER, proof);
    }

    function _replacePair() private {
        bytes[] memory calls = new bytes[](6);
        calls[0] = _setRole(publisher, ICXPTVault.Role.None);
        calls[1] = _setRole(replacement, ICXPTVault.Role.Publisher);
        calls[2] = _setRole(attester, ICXPTVault.Role.None);
        calls[3] = abi.encodeCall(ICXPTVault.setMaxEpochAmount, (PROVIDER, uint96(1_000 * CXPT)));
        calls[4] = abi.encodeCall(ICXPTVault.setMaxEpochAmount, (USER, uint96(500 * CXPT)));
        calls[5] = abi.encodeCall(ICXPTVault.resumePublishing, ());
        _scheduleBatch(_ofVault(6), calls);
        vm.warp(block.timestamp + WEEK);
        _executeBatch(_ofVault(6), calls);
    }

    /// @dev Publishing paused, the pair replaced, the loss funded, and all that people are owed promised anew.
    function _repair(uint256 epoch, uint256 stolenProvider, uint256 stolenUser) private {
        vm.prank(guardian);
        vault.pausePublishing();
        _replacePair();
        vm.startPrank(payer);
        vault.fundPool(PROVIDER, PROMISED_PROVIDER - 40 * CXPT);
        vault.fundPool(USER, PROMISED_USER - 20 * CXPT);
        vm.stopPrank();
        bytes32[] memory nodes = _honestTree();
        vm.prank(replacement);
        vault.publishRoot(epoch, nodes[0], stolenProvider + PROMISED_PROVIDER, stolenUser + PROMISED_USER, MANIFEST, 0);
        bytes32 publication = vault.publicationHash(epoch);
        vm.prank(attester2);
        vault.attestRoot(epoch, publication);
        vm.warp(vault.rootAt(epoch).activatesAt);
        vm.assertEq(_claim(epoch, nodes, _honestLeaves()[0]), PROMISED_PROVIDER, "paid to the provider");
        vm.assertEq(_claim(epoch, nodes, _honestLeaves()[1]), PROMISED_USER, "paid to the user");
    }
}
