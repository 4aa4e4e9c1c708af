// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../../../base/ClaimTree.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract ClaimManyTest is VaultTest {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    function test_RevertGiven_ClaimsArePaused() external {
        (, ICXPTVault.ClaimItem[] memory items) = _ready(100);
        vm.prank(guardian);
        vault.pauseClaims();
        uint256 until = vault.claimsPausedUntil();
        // it should revert with ClaimsArePaused
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.ClaimsArePaused.selector, until));
        vault.claimMany(FIRST, items);
    }

    function test_RevertGiven_TheRootIsNotActive() external {
        (, ICXPTVault.ClaimItem[] memory items) = _ready(100);
        // it should revert with RootNotActive
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST + 1));
        vault.claimMany(FIRST + 1, items);
    }

    function test_WhenTheBatchIsEmpty() external {
        _ready(100);
        // it should pay nothing
        vm.assertEq(vault.claimMany(FIRST, new ICXPTVault.ClaimItem[](0)), 0, "paid");
    }

    function test_WhenEveryItemIsDue() external {
        (, ICXPTVault.ClaimItem[] memory items) = _ready(100);
        // it should emit Claimed for each
        for (uint256 i = 0; i < 2; i++) {
            vm.expectEmit(true, true, true, true, address(vault));
            emit ICXPTVault.Claimed(FIRST, PROVIDER, items[i].account, 60 - 20 * i, 60 - 20 * i, stranger);
        }
        vm.prank(stranger);
        // it should pay each and return the sum
        vm.assertEq(vault.claimMany(FIRST, items), 100, "paid");
        vm.assertEq(token.balanceOf(provider), 60, "provider");
        vm.assertEq(token.balanceOf(user), 40, "user");
        vm.assertEq(vault.claimedTotal(PROVIDER), 100, "counted");
        _assertSolvent();
    }

    function test_WhenItemsAreBad() external {
        (, ICXPTVault.ClaimItem[] memory good) = _ready(100);
        ICXPTVault.ClaimItem[] memory items = new ICXPTVault.ClaimItem[](7);
        items[0] = good[0];
        items[1] = good[0];
        items[2] = ICXPTVault.ClaimItem(3, user, 40, good[1].proof);
        items[3] = ICXPTVault.ClaimItem(PROVIDER, address(0), 40, good[1].proof);
        items[4] = ICXPTVault.ClaimItem(PROVIDER, user, 41, good[1].proof);
        items[5] = ICXPTVault.ClaimItem(USER, user, 40, new bytes32[](0));
        items[6] = good[1];
        // it should emit ClaimSkipped with index and code for each bad one
        _expectSkip(1, provider, ICXPTVault.ClaimCode.NothingDue);
        _expectSkip(2, user, ICXPTVault.ClaimCode.InvalidPool);
        _expectSkip(3, address(0), ICXPTVault.ClaimCode.InvalidAccount);
        _expectSkip(4, user, ICXPTVault.ClaimCode.InvalidProof);
        _expectSkip(5, user, ICXPTVault.ClaimCode.InvalidProof);
        // it should pay the rest
        vm.assertEq(vault.claimMany(FIRST, items), 100, "paid");
        vm.assertEq(token.balanceOf(provider), 60, "once");
        vm.assertEq(token.balanceOf(user), 40, "the last one too");
    }

    function test_WhenTheLeavesExceedTheTotal() external {
        (bytes32[] memory nodes, ICXPTVault.ClaimItem[] memory items) = _ready(75);
        // it should skip with PromiseExceeded what passes the total, counting what the same batch paid
        _expectSkip(1, user, ICXPTVault.ClaimCode.PromiseExceeded);
        vm.assertEq(vault.claimMany(FIRST, items), 60, "the first comer");
        // it should pay one that still fits
        items[0] = ICXPTVault.ClaimItem(PROVIDER, stranger, 15, nodes.prove(ClaimTree.Leaf(PROVIDER, stranger, 15)));
        vm.assertEq(vault.claimMany(FIRST, items), 15, "fits to the unit");
        vm.assertEq(vault.liability(PROVIDER), 0, "all is paid");
        _assertSolvent();
    }

    function test_WhenBothPoolsAreInOneBatch() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], _total(leaves, PROVIDER), _total(leaves, USER));
        ICXPTVault.ClaimItem[] memory items = new ICXPTVault.ClaimItem[](leaves.length);
        for (uint256 i = 0; i < leaves.length; i++) {
            items[i] = ICXPTVault.ClaimItem(leaves[i].pool, leaves[i].account, leaves[i].amount, nodes.prove(leaves[i]));
        }
        vault.claimMany(FIRST, items);
        // it should count each pool for itself
        vm.assertEq(vault.claimedTotal(PROVIDER), _total(leaves, PROVIDER), "provider pool");
        vm.assertEq(vault.claimedTotal(USER), _total(leaves, USER), "user pool");
        vm.assertEq(token.balanceOf(provider), 79, "one account, both pools");
    }

    /// @dev Provider 60, user 40 and stranger 15 in the provider pool, and items that claim them.
    function _ready(uint256 total) private returns (bytes32[] memory nodes, ICXPTVault.ClaimItem[] memory items) {
        ClaimTree.Leaf[] memory leaves = new ClaimTree.Leaf[](3);
        leaves[0] = ClaimTree.Leaf(PROVIDER, provider, 60);
        leaves[1] = ClaimTree.Leaf(PROVIDER, user, 40);
        leaves[2] = ClaimTree.Leaf(PROVIDER, stranger, 15);
        nodes = leaves.build();
        _activate(FIRST, nodes[0], total, 0);
        items = new ICXPTVault.ClaimItem[](2);
        for (uint256 i = 0; i < items.length; i++) {
            items[i] = ICXPTVault.ClaimItem(PROVIDER, leaves[i].account, leaves[i].amount, nodes.prove(leaves[i]));
        }
    }

    function _expectSkip(uint256 index, address account, ICXPTVault.ClaimCode code) private {
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.ClaimSkipped(index, account, code);
    }
}
