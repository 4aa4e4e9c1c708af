// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../../../base/ClaimTree.sol";
import {VaultUnitTest} from "../../../base/VaultUnitTest.sol";

contract ClaimableTest is VaultUnitTest {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    function test_RevertGiven_ItIsTheLastSecondOfAPause() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        bytes32[] memory proof = nodes.prove(leaves[0]);
        uint256 until = block.timestamp + 14 days;
        vm.prank(guardian);
        vault.pauseClaims();
        vm.warp(until - 1);
        // it should revert with ClaimsArePaused
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.ClaimsArePaused.selector, until));
        vault.claimable(FIRST, PROVIDER, provider, 70, proof);
        vm.warp(until);
        _assertClaimable(FIRST, leaves[0], nodes, 70, ICXPTVault.ClaimCode.Due);
    }

    function test_RevertGiven_TheRootIsNotActive() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        bytes32[] memory proof = nodes.prove(leaves[0]);
        _publish(FIRST, nodes[0], 595, 39);
        _attest(FIRST);
        vm.warp(START + 2 hours - 1);
        // it should revert with RootNotActive
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST));
        vault.claimable(FIRST, PROVIDER, provider, 70, proof);
        vm.warp(START + 2 hours);
        _assertClaimable(FIRST, leaves[0], nodes, 70, ICXPTVault.ClaimCode.Due);
    }

    function test_WhenThePoolIsNeitherOfTheTwo() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        leaves[0].pool = 3;
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 595, 39);
        // it should give InvalidPool and zero
        _assertClaimable(FIRST, leaves[0], nodes, 0, ICXPTVault.ClaimCode.InvalidPool);
    }

    function test_WhenTheAccountIsTheZeroAddress() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        leaves[0].account = address(0);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 595, 39);
        // it should give InvalidAccount and zero
        _assertClaimable(FIRST, leaves[0], nodes, 0, ICXPTVault.ClaimCode.InvalidAccount);
    }

    function test_WhenTheLeafIsNotProven() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        // it should give InvalidProof and zero
        (uint256 amount, ICXPTVault.ClaimCode code) =
            vault.claimable(FIRST, PROVIDER, provider, 71, nodes.prove(leaves[0]));
        vm.assertEq(amount, 0, "amount");
        vm.assertEq(uint8(code), uint8(ICXPTVault.ClaimCode.InvalidProof), "code");
    }

    function test_WhenTheAmountIsZero() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(0, 30);
        // it should give NothingDue and zero
        _assertClaimable(FIRST, leaves[0], nodes, 0, ICXPTVault.ClaimCode.NothingDue);
    }

    function test_GivenTheLeafWasClaimed() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        _claim(FIRST, nodes, leaves[0]);
        // it should give NothingDue and zero
        _assertClaimable(FIRST, leaves[0], nodes, 0, ICXPTVault.ClaimCode.NothingDue);
        _assertClaimable(FIRST, leaves[1], nodes, 30, ICXPTVault.ClaimCode.Due);
    }

    function test_WhenTheAmountIsMoreThanIsPromisedAndNotPaid() external {
        ClaimTree.Leaf[] memory leaves = _leaves(100, 40);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 202, 39);
        _assertClaimable(FIRST, leaves[0], nodes, 100, ICXPTVault.ClaimCode.Due);
        _claim(FIRST, nodes, leaves[3]);
        // it should give PromiseExceeded and zero
        _assertClaimable(FIRST, leaves[0], nodes, 0, ICXPTVault.ClaimCode.PromiseExceeded);
        _assertClaimable(FIRST, leaves[1], nodes, 0, ICXPTVault.ClaimCode.PromiseExceeded);
    }

    function test_WhenTheAmountIsTheLargestOf256Bits() external {
        ClaimTree.Leaf[] memory leaves = _leaves(type(uint256).max, 30);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 595, 39);
        // it should give PromiseExceeded and zero
        _assertClaimable(FIRST, leaves[0], nodes, 0, ICXPTVault.ClaimCode.PromiseExceeded);
    }

    function test_GivenAPartWasClaimedBefore() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        _claim(FIRST, nodes, leaves[0]);
        leaves = _leaves(75, 30);
        nodes = leaves.build();
        _activate(FIRST + 1, nodes[0], 600, 39);
        // it should give Due and the difference
        _assertClaimable(FIRST + 1, leaves[0], nodes, 5, ICXPTVault.ClaimCode.Due);
    }

    function test_GivenAnOlderRootIsAskedAbout() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 50, 20);
        _activate(FIRST + 1, ROOT, 70, 29);
        // it should give Due up to what the newest promises
        _assertClaimable(FIRST, leaves[0], nodes, 70, ICXPTVault.ClaimCode.Due);
        _assertClaimable(FIRST, leaves[1], nodes, 0, ICXPTVault.ClaimCode.PromiseExceeded);
        _publish(FIRST + 2, ROOT, 100, 30);
        _assertClaimable(FIRST, leaves[0], nodes, 70, ICXPTVault.ClaimCode.Due);
        _assertClaimable(FIRST, leaves[1], nodes, 0, ICXPTVault.ClaimCode.PromiseExceeded);
    }

    function test_WhenTheLeafIsDue() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        for (uint256 i = 0; i < leaves.length; i++) {
            // it should give Due and the amount
            _assertClaimable(FIRST, leaves[i], nodes, leaves[i].amount, ICXPTVault.ClaimCode.Due);
        }
        // it should change nothing
        _assertClaimable(FIRST, leaves[0], nodes, 70, ICXPTVault.ClaimCode.Due);
        vm.assertEq(vault.claimedTotal(PROVIDER) + vault.claimedTotal(USER), 0, "claimed");
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT, "what the Vault holds");
    }

    function _assertClaimable(
        uint256 epoch,
        ClaimTree.Leaf memory leaf,
        bytes32[] memory nodes,
        uint256 amount,
        ICXPTVault.ClaimCode code
    ) private view {
        (uint256 found, ICXPTVault.ClaimCode answer) =
            vault.claimable(epoch, leaf.pool, leaf.account, leaf.amount, nodes.prove(leaf));
        vm.assertEq(found, amount, "amount");
        vm.assertEq(uint8(answer), uint8(code), "code");
    }
}
