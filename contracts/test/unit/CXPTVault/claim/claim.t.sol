// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../../../base/ClaimTree.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

/// @dev In epoch 5 the provider has 70 in the provider pool and 9 in the user pool, the user 30, others a little.
contract ClaimTest is VaultTest {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    ClaimTree.Leaf[] private _tree;
    bytes32[] private _nodes;

    function setUp() public override {
        super.setUp();
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        for (uint256 i = 0; i < leaves.length; i++) {
            _tree.push(leaves[i]);
        }
        _nodes = leaves.build();
        _publish(FIRST, _nodes[0], _total(leaves, PROVIDER), _total(leaves, USER));
        _attest(FIRST);
        vm.warp(vault.rootAt(FIRST).activatesAt);
    }

    // ---------------------------------------------------------------- refused

    function test_RevertGiven_ClaimsArePaused() external {
        vm.prank(guardian);
        vault.pauseClaims();
        uint256 until = vault.claimsPausedUntil();
        vm.warp(until - 1);
        // it should revert with ClaimsArePaused until the last second
        _refused(FIRST, _tree[0], abi.encodeWithSelector(ICXPTVault.ClaimsArePaused.selector, until));
        vm.warp(until);
        vm.assertEq(_claim(FIRST, _nodes, _tree[0]), 70, "paid at the second of the lapse");
    }

    function test_RevertGiven_TheEpochWasNeverPublished() external {
        // it should revert with RootNotActive
        _refused(FIRST + 1, _tree[0], abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST + 1));
        _refused(0, _tree[0], abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, 0));
        _refused(
            type(uint256).max, _tree[0], abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, type(uint256).max)
        );
    }

    function test_RevertGiven_TheRootIsNotActiveYet() external {
        _publish(FIRST + 1, _nodes[0], 1_000, 1_000);
        // it should revert with RootNotActive without attestations
        vm.warp(block.timestamp + 30 days);
        _refused(FIRST + 1, _tree[0], abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST + 1));
        _attest(FIRST + 1);
        uint256 activatesAt = vault.rootAt(FIRST + 1).activatesAt;
        vm.warp(activatesAt - 1);
        // it should revert with RootNotActive a second before its activation
        _refused(FIRST + 1, _tree[0], abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST + 1));
        vm.warp(activatesAt);
        vm.assertEq(_claim(FIRST + 1, _nodes, _tree[0]), 70, "paid at that second");
    }

    function test_RevertGiven_TheRootWasRevoked() external {
        _publish(FIRST + 1, _nodes[0], 1_000, 1_000);
        _attest(FIRST + 1);
        _revoke(FIRST + 1);
        vm.warp(block.timestamp + 30 days);
        // it should revert with RootNotActive
        _refused(FIRST + 1, _tree[0], abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST + 1));
    }

    function test_RevertGiven_TheRootWasRetired() external {
        _activate(FIRST + 1, _nodes[0], 1_000, 1_000);
        vm.prank(admin);
        vault.retireRoot(FIRST);
        // it should revert with RootNotActive
        _refused(FIRST, _tree[0], abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST));
        vm.assertEq(_claim(FIRST + 1, _nodes, _tree[0]), 70, "the later root pays");
    }

    function test_RevertWhen_ThePoolIsNeitherProviderNorUser() external {
        // it should revert with InvalidPool
        _refusedLeaf(ClaimTree.Leaf(0, provider, 70), abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, 0));
        _refusedLeaf(ClaimTree.Leaf(3, provider, 70), abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, 3));
        _refusedLeaf(ClaimTree.Leaf(255, provider, 70), abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, 255));
    }

    function test_RevertWhen_TheAccountIsZero() external {
        // it should revert with InvalidAccount
        _refusedLeaf(
            ClaimTree.Leaf(PROVIDER, address(0), 70),
            abi.encodeWithSelector(ICXPTVault.InvalidAccount.selector, address(0))
        );
    }

    function test_RevertWhen_TheLeafIsNotInTheTree() external {
        // it should revert with InvalidProof for another pool, account or amount
        _refusedLeaf(ClaimTree.Leaf(USER, provider, 70), _invalidProof(USER, provider, 70));
        _refusedLeaf(ClaimTree.Leaf(PROVIDER, stranger, 70), _invalidProof(PROVIDER, stranger, 70));
        _refusedLeaf(ClaimTree.Leaf(PROVIDER, provider, 71), _invalidProof(PROVIDER, provider, 71));
        uint256 top = type(uint256).max;
        _refusedLeaf(ClaimTree.Leaf(PROVIDER, provider, top), _invalidProof(PROVIDER, provider, top));
    }

    function test_RevertWhen_TheProofIsOfAnotherLeaf() external {
        bytes32[] memory proof = _nodes.prove(_tree[1]);
        // it should revert with InvalidProof
        vm.expectRevert(_invalidProof(PROVIDER, provider, 70));
        vault.claim(FIRST, PROVIDER, provider, 70, proof);
    }

    function test_RevertWhen_TheLeafPromisesMoreThanTheNewestTotal() external {
        ClaimTree.Leaf memory greedy = ClaimTree.Leaf(PROVIDER, stranger, 801 * CXPT);
        uint256 promised = vault.promised(PROVIDER);
        _activate(FIRST + 1, ClaimTree.hash(greedy), promised + 40, vault.promised(USER));
        // it should revert with PromiseExceeded and what is unpaid of the newest total
        vm.expectRevert(
            abi.encodeWithSelector(ICXPTVault.PromiseExceeded.selector, PROVIDER, promised + 40, 801 * CXPT)
        );
        vault.claim(FIRST + 1, PROVIDER, stranger, 801 * CXPT, new bytes32[](0));
    }

    function test_RevertWhen_AProvenAmountIsTheLargestOf256Bits() external {
        uint256 top = type(uint256).max;
        uint256 promised = vault.promised(USER);
        _activate(FIRST + 1, ClaimTree.hash(ClaimTree.Leaf(USER, stranger, top)), vault.promised(PROVIDER), promised);
        // it should revert with PromiseExceeded
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.PromiseExceeded.selector, USER, promised, top));
        vault.claim(FIRST + 1, USER, stranger, top, new bytes32[](0));
    }

    // ---------------------------------------------------------------- paid

    function test_WhenTheLeafIsDue() external {
        bytes32[] memory proof = _nodes.prove(_tree[0]);
        // it should emit Claimed with the caller
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.Claimed(FIRST, PROVIDER, provider, 70, 70, stranger);
        vm.prank(stranger);
        // it should return what was paid
        vm.assertEq(vault.claim(FIRST, PROVIDER, provider, 70, proof), 70, "returned");
        // it should pay the account of the leaf and nobody else
        vm.assertEq(token.balanceOf(provider), 70, "paid");
        vm.assertEq(token.balanceOf(stranger), 0, "the caller gets nothing");
        // it should count it for account and pool
        vm.assertEq(vault.claimed(PROVIDER, provider), 70, "claimed of the account");
        vm.assertEq(vault.claimedTotal(PROVIDER), 70, "claimed of the pool");
        vm.assertEq(vault.claimed(USER, provider), 0, "the other pool is its own");
        vm.assertEq(vault.claimedTotal(USER), 0, "the other pool is its own");
        _assertSolvent();
    }

    function test_WhenEveryLeafIsClaimed() external {
        for (uint256 i = 0; i < _tree.length; i++) {
            vm.assertEq(_claim(FIRST, _nodes, _tree[i]), _tree[i].amount, "paid");
        }
        // it should owe nothing more
        vm.assertEq(vault.liability(PROVIDER), 0, "owed to providers");
        vm.assertEq(vault.liability(USER), 0, "owed to users");
        _assertSolvent();
    }

    function test_WhenNothingIsDue() external {
        _claim(FIRST, _nodes, _tree[0]);
        bytes32[] memory proof = _nodes.prove(_tree[0]);
        // it should emit ClaimSkipped
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.ClaimSkipped(0, provider, ICXPTVault.ClaimCode.NothingDue);
        // it should pay nothing
        vm.assertEq(vault.claim(FIRST, PROVIDER, provider, 70, proof), 0, "returned");
        vm.assertEq(token.balanceOf(provider), 70, "paid once");
    }

    function test_WhenTheLeafHoldsZero() external {
        bytes32 root = ClaimTree.hash(ClaimTree.Leaf(PROVIDER, stranger, 0));
        _activate(FIRST + 1, root, vault.promised(PROVIDER), vault.promised(USER));
        // it should pay nothing
        vm.assertEq(vault.claim(FIRST + 1, PROVIDER, stranger, 0, new bytes32[](0)), 0, "returned");
    }

    function test_GivenAnEarlierClaim() external {
        ClaimTree.Leaf[] memory later = _leaves(170, 30);
        bytes32[] memory nodes = later.build();
        _claim(FIRST, _nodes, _tree[0]);
        _activate(FIRST + 1, nodes[0], _total(later, PROVIDER), _total(later, USER));
        // it should pay the difference
        vm.assertEq(_claim(FIRST + 1, nodes, later[0]), 100, "the difference");
        // it should pay nothing for the older root then
        vm.assertEq(_claim(FIRST, _nodes, _tree[0]), 0, "nothing more");
        vm.assertEq(token.balanceOf(provider), 170, "the larger amount in all");
    }

    function test_GivenALaterRootIsPending() external {
        _publish(FIRST + 1, _nodes[0], 1_000, 1_000);
        // it should pay from the active one, bound by the active one's total
        vm.assertEq(_claim(FIRST, _nodes, _tree[0]), 70, "paid");
    }

    function test_GivenAnOlderRootsLeavesExceedItsTotal() external {
        uint256 first = vault.promised(PROVIDER);
        uint256 users = vault.promised(USER);
        uint256 amount = first + 400;
        bytes32[] memory none = new bytes32[](0);
        _activate(FIRST + 1, ClaimTree.hash(ClaimTree.Leaf(PROVIDER, stranger, amount)), first + 1, users);
        // it should refuse what passes the newest active total
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.PromiseExceeded.selector, PROVIDER, first + 1, amount));
        vault.claim(FIRST + 1, PROVIDER, stranger, amount, none);
        _activate(FIRST + 2, _nodes[0], amount, users);
        // it should pay once a later total allows it
        vm.assertEq(vault.claim(FIRST + 1, PROVIDER, stranger, amount, none), amount, "paid");
        _assertSolvent();
    }

    function test_WhenTheAccountIsTheVaultOrTheToken() external {
        ClaimTree.Leaf[] memory leaves = new ClaimTree.Leaf[](2);
        leaves[0] = ClaimTree.Leaf(PROVIDER, address(vault), 5);
        leaves[1] = ClaimTree.Leaf(PROVIDER, address(token), 6);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST + 1, nodes[0], vault.promised(PROVIDER) + 11, vault.promised(USER));
        // it should pay them like anyone
        vm.assertEq(_claim(FIRST + 1, nodes, leaves[0]), 5, "the vault");
        vm.assertEq(_claim(FIRST + 1, nodes, leaves[1]), 6, "the token");
        // it should leave the vault's own share as surplus
        vm.assertEq(vault.surplus(), 5, "surplus");
        _assertSolvent();
    }

    function test_WhenTheAccountIsAContract() external {
        Recorder receiver = new Recorder();
        bytes32 root = ClaimTree.hash(ClaimTree.Leaf(USER, address(receiver), 8));
        _activate(FIRST + 1, root, vault.promised(PROVIDER), vault.promised(USER) + 8);
        // it should pay it
        vm.assertEq(vault.claim(FIRST + 1, USER, address(receiver), 8, new bytes32[](0)), 8, "paid");
        // it should call nothing of it
        vm.assertEq(receiver.calls(), 0, "calls");
    }

    // ---------------------------------------------------------------- inside

    function _refused(uint256 epoch, ClaimTree.Leaf memory leaf, bytes memory reason) private {
        bytes32[] memory proof = _nodes.prove(leaf);
        vm.expectRevert(reason);
        vault.claim(epoch, leaf.pool, leaf.account, leaf.amount, proof);
    }

    /// @dev With the proof of the provider's leaf.
    function _refusedLeaf(ClaimTree.Leaf memory leaf, bytes memory reason) private {
        bytes32[] memory proof = _nodes.prove(_tree[0]);
        vm.expectRevert(reason);
        vault.claim(FIRST, leaf.pool, leaf.account, leaf.amount, proof);
    }

    function _invalidProof(uint8 pool, address account, uint256 amount) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ICXPTVault.InvalidProof.selector, pool, account, amount);
    }
}

/// @notice Counts every call that it gets.
contract Recorder {
    uint256 public calls;

    fallback() external {
        calls++;
    }
}
