// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../../../base/ClaimTree.sol";
import {FaultyToken} from "../../../base/FaultyToken.sol";
import {Vm} from "../../../base/Test.sol";
import {HostileToken} from "../../../HostileToken.sol";
import {VaultUnitTest} from "../../../base/VaultUnitTest.sol";

contract ClaimManyTest is VaultUnitTest {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    // ---------------------------------------------------------------- refused whole

    function test_RevertGiven_ItIsTheLastSecondOfAPause() external {
        ICXPTVault.ClaimItem[] memory items = _activateItems();
        uint256 until = block.timestamp + 14 days;
        vm.prank(guardian);
        vault.pauseClaims();
        vm.warp(until - 1);
        // it should revert with ClaimsArePaused
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.ClaimsArePaused.selector, until));
        vault.claimMany(FIRST, items);
        vm.warp(until);
        vm.assertEq(vault.claimMany(FIRST, items), 634, "paid when it is over");
    }

    function test_RevertGiven_TheRootIsNotActive() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _publish(FIRST, nodes[0], 595, 39);
        _attest(FIRST);
        vm.warp(START + 2 hours - 1);
        // it should revert with RootNotActive even for no items
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST));
        vault.claimMany(FIRST, _items(leaves, nodes));
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST));
        vault.claimMany(FIRST, new ICXPTVault.ClaimItem[](0));
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST + 1));
        vault.claimMany(FIRST + 1, new ICXPTVault.ClaimItem[](0));
        _assertPaid(0, 0);
        vm.warp(START + 2 hours);
        vm.assertEq(vault.claimMany(FIRST, _items(leaves, nodes)), 634, "paid a second later");
    }

    function test_RevertWhen_TheCalldataIsNotWellFormed() external {
        ICXPTVault.ClaimItem[] memory items = _activateItems();
        bytes memory data = abi.encodeCall(ICXPTVault.claimMany, (FIRST, items));
        assembly ("memory-safe") {
            mstore(data, sub(mload(data), 1))
        }
        // it should revert and pay nothing
        (bool success,) = address(vault).call(data);
        vm.assertFalse(success, "a batch cut short");
        // A pool of more than eight bits, in the first item: its head is nine words in, after epoch, place and eight places.
        data = abi.encodeCall(ICXPTVault.claimMany, (FIRST, items));
        assembly ("memory-safe") {
            mstore(add(data, add(36, mul(32, 10))), 257)
        }
        (success,) = address(vault).call(data);
        vm.assertFalse(success, "a pool of more than eight bits");
        _assertPaid(0, 0);
    }

    function test_RevertGiven_TheTokenReverts() external {
        FaultyToken faulty = _onFaulty();
        ICXPTVault.ClaimItem[] memory items = _activateItems();
        faulty.setReverting(true);
        // it should revert as the token does and record nothing
        vm.expectRevert(abi.encodeWithSelector(FaultyToken.OutOfOrder.selector));
        vault.claimMany(FIRST, items);
        _assertPaid(0, 0);
        vm.assertEq(vault.claimed(PROVIDER, provider), 0, "claimed");
    }

    function test_RevertGiven_TheTokenReturnsFalse() external {
        FaultyToken faulty = _onFaulty();
        ICXPTVault.ClaimItem[] memory items = _activateItems();
        faulty.setSilent(true);
        // it should revert with SafeERC20FailedOperation and record nothing
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
        vault.claimMany(FIRST, items);
        _assertPaid(0, 0);
        vm.assertEq(vault.claimed(PROVIDER, provider), 0, "claimed");
    }

    // ---------------------------------------------------------------- paid

    function test_WhenThereAreNoItems() external {
        _activateItems();
        vm.recordLogs();
        // it should pay nothing and emit nothing
        vm.assertEq(vault.claimMany(FIRST, new ICXPTVault.ClaimItem[](0)), 0, "returned");
        vm.assertEq(vm.getRecordedLogs().length, 0, "events");
        _assertPaid(0, 0);
    }

    function test_WhenEveryItemIsDue() external {
        ICXPTVault.ClaimItem[] memory items = _activateItems();
        // it should emit Claimed for each
        for (uint256 i = 0; i < items.length; i++) {
            uint256 amount = items[i].cumulativeAmount;
            vm.expectEmit(true, true, true, true, address(vault));
            emit ICXPTVault.Claimed(FIRST, items[i].pool, items[i].account, amount, amount, stranger);
        }
        vm.prank(stranger);
        uint256 paid = vault.claimMany(FIRST, items);
        // it should pay each account what is its own
        vm.assertEq(token.balanceOf(provider), 79, "what the provider has");
        vm.assertEq(token.balanceOf(user), 30, "what the user has");
        vm.assertEq(token.balanceOf(items[7].account), 107, "what the last has");
        vm.assertEq(token.balanceOf(stranger), 0, "what the caller has");
        vm.assertEq(vault.claimed(PROVIDER, provider), 70, "claimed by the provider");
        vm.assertEq(vault.claimed(USER, provider), 9, "claimed by the provider as a user");
        // it should return the sum
        vm.assertEq(paid, 634, "returned");
        _assertPaid(595, 39);
        _assertPools(800 * CXPT, 800 * CXPT - 595, 400 * CXPT - 39);
        vm.assertEq(vault.liability(PROVIDER) + vault.liability(USER), 0, "liability");
    }

    function test_WhenEveryItemIsBad() external {
        ClaimTree.Leaf[] memory leaves = _leaves(0, 30);
        leaves[3].account = address(0);
        leaves[4].pool = 3;
        leaves[5].amount = 596;
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 595, 39);
        ICXPTVault.ClaimItem[] memory all = _items(leaves, nodes);
        ICXPTVault.ClaimItem[] memory items = new ICXPTVault.ClaimItem[](5);
        (items[0], items[1], items[2], items[3], items[4]) = (all[4], all[3], all[1], all[0], all[5]);
        items[2].cumulativeAmount = 31;
        // it should emit ClaimSkipped with the index and the code of each
        _expectSkipped(0, leaves[4].account, ICXPTVault.ClaimCode.InvalidPool);
        _expectSkipped(1, address(0), ICXPTVault.ClaimCode.InvalidAccount);
        _expectSkipped(2, user, ICXPTVault.ClaimCode.InvalidProof);
        _expectSkipped(3, provider, ICXPTVault.ClaimCode.NothingDue);
        _expectSkipped(4, leaves[5].account, ICXPTVault.ClaimCode.PromiseExceeded);
        vm.recordLogs();
        uint256 paid = vault.claimMany(FIRST, items);
        // it should pay nothing
        vm.assertEq(paid, 0, "returned");
        vm.assertEq(vm.getRecordedLogs().length, 5, "events");
        _assertPaid(0, 0);
    }

    function test_WhenABadItemStandsBetweenGoodOnes() external {
        ICXPTVault.ClaimItem[] memory items = _activateItems();
        items[1].proof = new bytes32[](0);
        // it should skip it and pay the rest
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.Claimed(FIRST, PROVIDER, provider, 70, 70, address(this));
        _expectSkipped(1, user, ICXPTVault.ClaimCode.InvalidProof);
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.Claimed(FIRST, USER, provider, 9, 9, address(this));
        vm.assertEq(vault.claimMany(FIRST, items), 604, "returned");
        vm.assertEq(token.balanceOf(user), 0, "what the user has");
        _assertPaid(595, 9);
    }

    function test_WhenAnItemStandsThereTwice() external {
        ICXPTVault.ClaimItem[] memory items = _activateItems();
        items[1] = items[0];
        // it should pay it once and skip the second
        _expectSkipped(1, provider, ICXPTVault.ClaimCode.NothingDue);
        vm.assertEq(vault.claimMany(FIRST, items), 604, "returned");
        vm.assertEq(vault.claimed(PROVIDER, provider), 70, "claimed by the provider");
        _assertPaid(595, 9);
    }

    function test_WhenTheItemsAddUpToMoreThanIsPromisedAndNotPaid() external {
        ClaimTree.Leaf[] memory leaves = _leaves(1, 30);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 208, 30);
        ICXPTVault.ClaimItem[] memory all = _items(leaves, nodes);
        ICXPTVault.ClaimItem[] memory items = new ICXPTVault.ClaimItem[](6);
        (items[0], items[1], items[2]) = (all[3], all[4], all[5]);
        (items[3], items[4], items[5]) = (all[0], all[1], all[2]);
        // 103 and 104 of 208 leave 1: 105 is too much and 1 is not. Of the users' 30 nothing is left for 9.
        // it should skip what no longer fits
        _expectSkipped(2, leaves[5].account, ICXPTVault.ClaimCode.PromiseExceeded);
        _expectSkipped(5, provider, ICXPTVault.ClaimCode.PromiseExceeded);
        uint256 paid = vault.claimMany(FIRST, items);
        // it should pay what comes first
        vm.assertEq(token.balanceOf(leaves[3].account), 103, "what the first has");
        vm.assertEq(token.balanceOf(leaves[4].account), 104, "what the second has");
        // it should pay a smaller one after it
        vm.assertEq(token.balanceOf(provider), 1, "what the provider has");
        vm.assertEq(token.balanceOf(leaves[5].account), 0, "what the skipped one has");
        vm.assertEq(paid, 238, "returned");
        _assertPaid(208, 30);
    }

    function test_WhenAnAmountIsTheLargestOf256Bits() external {
        ClaimTree.Leaf[] memory leaves = _leaves(type(uint256).max, type(uint256).max);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 595, 39);
        // it should skip it and pay the rest
        _expectSkipped(0, provider, ICXPTVault.ClaimCode.PromiseExceeded);
        _expectSkipped(1, user, ICXPTVault.ClaimCode.PromiseExceeded);
        vm.assertEq(vault.claimMany(FIRST, _items(leaves, nodes)), 534, "returned");
        _assertPaid(525, 9);
    }

    function test_GivenAnOlderRootIsClaimed() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 70, 30);
        _activate(FIRST + 1, ROOT, 278, 38);
        _publish(FIRST + 2, ROOT, 1_000, 1_000);
        // it should pay up to what the newest active one promises
        _expectSkipped(2, provider, ICXPTVault.ClaimCode.PromiseExceeded);
        _expectSkipped(5, leaves[5].account, ICXPTVault.ClaimCode.PromiseExceeded);
        vm.assertEq(vault.claimMany(FIRST, _items(leaves, nodes)), 307, "returned");
        _assertPaid(277, 30);
    }

    function test_GivenAPartWasClaimedBefore() external {
        vault.claimMany(FIRST, _activateItems());
        ClaimTree.Leaf[] memory leaves = _leaves(75, 37);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST + 1, nodes[0], 600, 46);
        // it should pay the differences
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.Claimed(FIRST + 1, PROVIDER, provider, 5, 75, address(this));
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.Claimed(FIRST + 1, USER, user, 7, 37, address(this));
        for (uint256 i = 2; i < leaves.length; i++) {
            _expectSkipped(i, leaves[i].account, ICXPTVault.ClaimCode.NothingDue);
        }
        vm.assertEq(vault.claimMany(FIRST + 1, _items(leaves, nodes)), 12, "returned");
        _assertPaid(600, 46);
    }

    function test_WhenTheItemsAreOfContracts() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        // The cheat codes' neighbour: this test, which no token calls either.
        (leaves[0].account, leaves[1].account, leaves[3].account) = (address(vault), address(token), address(this));
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 595, 39);
        uint256 before = token.balanceOf(address(this));
        // it should pay the vault and the token and others alike
        vm.assertEq(vault.claimMany(FIRST, _items(leaves, nodes)), 634, "returned");
        vm.assertEq(vault.claimed(PROVIDER, address(vault)), 70, "claimed by the Vault");
        vm.assertEq(vault.surplus(), 70, "surplus");
        vm.assertEq(token.balanceOf(address(token)), 30, "what the token has");
        vm.assertEq(token.balanceOf(address(this)) - before, 103, "what the other contract was paid");
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT - 634 + 70, "what the Vault holds");
    }

    function test_GivenTheTokenCallsBack() external {
        HostileToken hostile = _onHostile();
        ICXPTVault.ClaimItem[] memory items = _activateItems();
        ICXPTVault.ClaimItem[] memory one = new ICXPTVault.ClaimItem[](1);
        bytes[] memory calls = _moneyCalls();
        // The last leaf is due, and claimed by nobody else here.
        ICXPTVault.ClaimItem memory last = items[7];
        one[0] = last;
        calls[3] = abi.encodeCall(ICXPTVault.claim, (FIRST, PROVIDER, last.account, 107, last.proof));
        calls[4] = abi.encodeCall(ICXPTVault.claimMany, (FIRST, one));
        uint256 paid = 0;
        for (uint256 i = 0; i < calls.length; i++) {
            hostile.setCall(address(vault), calls[i]);
            one[0] = items[i];
            paid += vault.claimMany(FIRST, one);
            // it should refuse everything that moves money
            _assertGuarded(hostile);
            // it should pay each item once
            vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT - paid, "what the Vault holds");
        }
        vm.assertEq(vault.claimMany(FIRST, items), 107, "the one that is left");
        _assertPaid(595, 39);
    }

    // ---------------------------------------------------------------- inside

    function _activateItems() private returns (ICXPTVault.ClaimItem[] memory) {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        return _items(leaves, nodes);
    }

    function _items(ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes)
        private
        pure
        returns (ICXPTVault.ClaimItem[] memory items)
    {
        items = new ICXPTVault.ClaimItem[](leaves.length);
        for (uint256 i = 0; i < leaves.length; i++) {
            ClaimTree.Leaf memory leaf = leaves[i];
            items[i] = ICXPTVault.ClaimItem(leaf.pool, leaf.account, leaf.amount, nodes.prove(leaf));
        }
    }

    function _expectSkipped(uint256 index, address account, ICXPTVault.ClaimCode code) private {
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.ClaimSkipped(index, account, code);
    }

    function _assertPaid(uint256 fromProviderPool, uint256 fromUserPool) private view {
        vm.assertEq(vault.claimedTotal(PROVIDER), fromProviderPool, "claimed of the provider pool");
        vm.assertEq(vault.claimedTotal(USER), fromUserPool, "claimed of the user pool");
        uint256 left = 2_000 * CXPT - fromProviderPool - fromUserPool;
        vm.assertEq(token.balanceOf(address(vault)), left, "what the Vault holds");
    }
}
