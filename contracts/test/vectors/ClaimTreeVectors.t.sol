// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {VectorTest} from "./VectorTest.sol";

/// @notice The trees and bad proofs of data/vectors/claim_tree.json, which OpenZeppelin's JavaScript library made and
/// which Python reads too.
contract ClaimTreeVectors is VectorTest {
    using ClaimTree for ClaimTree.Leaf;
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    struct VectorLeaf {
        uint8 pool;
        address account;
        uint256 cumulativeAmount;
        bytes32 leaf;
        bytes32[] proof;
    }

    struct BadProof {
        string why;
        string refusal;
        bytes32 root;
        uint8 pool;
        address account;
        uint256 cumulativeAmount;
        bytes32[] proof;
    }

    struct VectorTree {
        bytes32 root;
        VectorLeaf[] leaves;
    }

    string private constant LEAF =
        "VectorLeaf(uint8 pool,address account,uint256 cumulativeAmount,bytes32 leaf,bytes32[] proof)";
    string private constant BAD_PROOF = "BadProof(string why,string refusal,bytes32 root,"
        "uint8 pool,address account,uint256 cumulativeAmount,bytes32[] proof)";
    string private constant FILE = "../data/vectors/claim_tree.json";

    string private content;

    function setUp() public override {
        super.setUp();
        content = vm.readFile(FILE);
    }

    /// @notice Leaf hashes, roots and proofs are the same here, in OpenZeppelin's verifier and in its JavaScript library.
    function test_LeavesRootsAndProofsAreTheLibrarys() external view {
        VectorTree[] memory trees = _readTrees();
        vm.assertGe(trees.length, 12, "trees in the file");
        for (uint256 i = 0; i < trees.length; i++) {
            ClaimTree.Leaf[] memory leaves = _toLeaves(trees[i]);
            bytes32[] memory nodes = leaves.build();
            vm.assertEq(nodes[0], trees[i].root, "root");
            for (uint256 j = 0; j < leaves.length; j++) {
                VectorLeaf memory vector = trees[i].leaves[j];
                vm.assertEq(leaves[j].hash(), vector.leaf, "leaf");
                vm.assertEq(abi.encode(nodes.prove(leaves[j])), abi.encode(vector.proof), "proof");
                vm.assertTrue(MerkleProof.verify(vector.proof, trees[i].root, vector.leaf), "OpenZeppelin's verdict");
            }
        }
    }

    /// @notice A deployed Vault pays every leaf of every tree in full, and once.
    function test_TheVaultPaysEveryLeafOnce() external {
        VectorTree[] memory trees = _readTrees();
        for (uint256 i = 0; i < trees.length; i++) {
            VectorLeaf[] memory leaves = trees[i].leaves;
            _openActive(trees[i].root);
            for (uint256 j = 0; j < leaves.length; j++) {
                // One leaf is worth as much as a Vault can ever promise: it gets a Vault of its own below.
                if (leaves[j].cumulativeAmount != MOST) _checkPaidOnce(leaves[j]);
            }
            for (uint256 j = 0; j < leaves.length; j++) {
                if (leaves[j].cumulativeAmount != MOST) continue;
                uint256 before = vault.claimedTotal(leaves[j].pool);
                if (before != 0) {
                    vm.expectRevert(
                        abi.encodeWithSelector(ICXPTVault.PromiseExceeded.selector, leaves[j].pool, MOST - before, MOST)
                    );
                    vault.claim(FIRST, leaves[j].pool, leaves[j].account, MOST, leaves[j].proof);
                }
                _openActive(trees[i].root);
                _checkPaidOnce(leaves[j]);
            }
        }
    }

    /// @notice One batch of all leaves of a tree pays each that the promise still covers, in the order of the batch.
    function test_TheVaultPaysEveryTreeAsABatch() external {
        VectorTree[] memory trees = _readTrees();
        for (uint256 i = 0; i < trees.length; i++) {
            VectorLeaf[] memory leaves = trees[i].leaves;
            _openActive(trees[i].root);
            ICXPTVault.ClaimItem[] memory items = new ICXPTVault.ClaimItem[](leaves.length);
            uint256[2] memory left = [MOST, MOST];
            for (uint256 j = 0; j < leaves.length; j++) {
                uint256 amount = leaves[j].cumulativeAmount;
                items[j] = ICXPTVault.ClaimItem(leaves[j].pool, leaves[j].account, amount, leaves[j].proof);
                if (amount <= left[leaves[j].pool - 1]) left[leaves[j].pool - 1] -= amount;
            }
            vm.assertEq(vault.claimMany(FIRST, items), 2 * MOST - left[0] - left[1], "paid");
            vm.assertEq(vault.liability(PROVIDER), left[0], "left of the provider promise");
            vm.assertEq(vault.liability(USER), left[1], "left of the user promise");
        }
    }

    /// @notice Every bad proof is refused by OpenZeppelin's verifier or, before that, by the Vault's look at pool and
    /// account; alone with the named error, in a batch with its code, and nothing is paid.
    function test_NoBadProofPays() external {
        BadProof[] memory vectors = abi.decode(vm.parseJsonTypeArray(content, ".badProofs", BAD_PROOF), (BadProof[]));
        vm.assertGe(vectors.length, 96, "bad proofs in the file");
        for (uint256 i = 0; i < vectors.length; i++) {
            _openActive(vectors[i].root);
            _checkRefused(vectors[i]);
        }
    }

    /// @notice A good leaf whose words carry bits beyond their types, or whose proof is shorter than it says, is no call at
    /// all: it fails without a reason, alone and as the only item of a batch.
    function test_WordsBeyondTheirTypesAreRefused() external {
        VectorTree memory tree = _readTrees()[4];
        VectorLeaf memory leaf = tree.leaves[0];
        _openActive(tree.root);
        uint256[4] memory words =
            [uint256(leaf.pool), uint256(uint160(leaf.account)), leaf.cumulativeAmount, leaf.proof.length];
        uint256[3] memory noise = [uint256(1) << 8, uint256(1) << 160, 0];
        for (uint256 i = 0; i < 3; i++) {
            uint256[4] memory dirty = [words[0], words[1], words[2], words[3]];
            if (i < 2) dirty[i] |= noise[i];
            else dirty[3] += 1;
            (bool success, bytes memory reason) = address(vault).call(_encodeClaim(dirty, leaf.proof));
            vm.assertFalse(success, "a claim");
            vm.assertEq(reason.length, 0, "no reason");
            (success, reason) = address(vault).call(_encodeBatch(dirty, leaf.proof));
            vm.assertFalse(success, "a batch");
            vm.assertEq(reason.length, 0, "no reason");
        }
        (bool paid,) = address(vault).call(_encodeClaim(words, leaf.proof));
        vm.assertTrue(paid, "the same words, clean");
        vm.assertEq(coin.balanceOf(leaf.account), words[2], "and paid");
        (paid,) = address(vault).call(_encodeBatch(words, leaf.proof));
        vm.assertTrue(paid, "the same batch, clean");
    }

    // ---------------------------------------------------------------- what is checked

    function _checkPaidOnce(VectorLeaf memory leaf) private {
        uint256 amount = leaf.cumulativeAmount;
        uint256 before = coin.balanceOf(leaf.account);
        uint256 held = coin.balanceOf(address(vault));
        vm.prank(stranger);
        uint256 paid = vault.claim(FIRST, leaf.pool, leaf.account, amount, leaf.proof);
        vm.assertEq(paid, amount, "paid in full");
        vm.assertEq(coin.balanceOf(leaf.account) - before, amount, "to the account");
        vm.assertEq(held - coin.balanceOf(address(vault)), amount, "by the Vault");
        paid = vault.claim(FIRST, leaf.pool, leaf.account, amount, leaf.proof);
        vm.assertEq(paid, 0, "once");
        vm.assertEq(vault.claimed(leaf.pool, leaf.account), amount, "claimed");
    }

    function _checkRefused(BadProof memory bad) private {
        uint256 amount = bad.cumulativeAmount;
        bytes32 leaf = ClaimTree.Leaf(bad.pool, bad.account, amount).hash();
        vm.assertFalse(MerkleProof.verify(bad.proof, bad.root, leaf), bad.why);

        (bytes memory refusal, ICXPTVault.ClaimCode expected) = _readRefusal(bad);
        (uint256 due, ICXPTVault.ClaimCode code) = vault.claimable(FIRST, bad.pool, bad.account, amount, bad.proof);
        vm.assertEq(due, 0, bad.why);
        vm.assertEq(uint8(code), uint8(expected), bad.why);

        vm.expectRevert(refusal);
        vault.claim(FIRST, bad.pool, bad.account, amount, bad.proof);

        ICXPTVault.ClaimItem[] memory items = new ICXPTVault.ClaimItem[](1);
        items[0] = ICXPTVault.ClaimItem(bad.pool, bad.account, amount, bad.proof);
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.ClaimSkipped(0, bad.account, expected);
        vm.assertEq(vault.claimMany(FIRST, items), 0, bad.why);
        vm.assertEq(coin.balanceOf(address(vault)), 2 * MOST, bad.why);
        vm.assertEq(vault.claimedTotal(PROVIDER) + vault.claimedTotal(USER), 0, bad.why);
    }

    /// @dev A Vault of its own, in which the root is active and promises all there is; the zero root promises nothing.
    function _openActive(bytes32 root) private {
        _openVault(FIRST);
        uint256 total = root == 0 ? 0 : MOST;
        _activate(FIRST, root, total, total);
    }

    // ---------------------------------------------------------------- reading

    function _readTrees() private view returns (VectorTree[] memory trees) {
        uint256 count;
        while (vm.keyExistsJson(content, string.concat(".trees[", vm.toString(count), "]"))) count++;
        trees = new VectorTree[](count);
        for (uint256 i = 0; i < count; i++) {
            string memory key = string.concat(".trees[", vm.toString(i), "]");
            trees[i].root = vm.parseJsonBytes32(content, string.concat(key, ".root"));
            bytes memory leaves = vm.parseJsonTypeArray(content, string.concat(key, ".leaves"), LEAF);
            trees[i].leaves = abi.decode(leaves, (VectorLeaf[]));
        }
    }

    function _toLeaves(VectorTree memory tree) private pure returns (ClaimTree.Leaf[] memory leaves) {
        leaves = new ClaimTree.Leaf[](tree.leaves.length);
        for (uint256 i = 0; i < leaves.length; i++) {
            VectorLeaf memory vector = tree.leaves[i];
            leaves[i] = ClaimTree.Leaf(vector.pool, vector.account, vector.cumulativeAmount);
        }
    }

    function _readRefusal(BadProof memory bad) private pure returns (bytes memory refusal, ICXPTVault.ClaimCode code) {
        bytes32 name = keccak256(bytes(bad.refusal));
        if (name == keccak256("InvalidPool")) {
            refusal = abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, bad.pool);
            return (refusal, ICXPTVault.ClaimCode.InvalidPool);
        }
        if (name == keccak256("InvalidAccount")) {
            refusal = abi.encodeWithSelector(ICXPTVault.InvalidAccount.selector, bad.account);
            return (refusal, ICXPTVault.ClaimCode.InvalidAccount);
        }
        vm.assertEq(bad.refusal, "InvalidProof", "a known refusal");
        refusal = abi.encodeWithSelector(ICXPTVault.InvalidProof.selector, bad.pool, bad.account, bad.cumulativeAmount);
        return (refusal, ICXPTVault.ClaimCode.InvalidProof);
    }

    // ---------------------------------------------------------------- calls by hand: pool, account, amount, nodes

    function _encodeClaim(uint256[4] memory words, bytes32[] memory proof) private view returns (bytes memory) {
        return bytes.concat(vault.claim.selector, bytes32(uint256(FIRST)), _encodeLeaf(words, 5 * 32, proof));
    }

    function _encodeBatch(uint256[4] memory words, bytes32[] memory proof) private view returns (bytes memory) {
        bytes memory head = abi.encode(uint256(FIRST), 64, 1, 32);
        return bytes.concat(vault.claimMany.selector, head, _encodeLeaf(words, 4 * 32, proof));
    }

    function _encodeLeaf(uint256[4] memory words, uint256 offset, bytes32[] memory proof)
        private
        pure
        returns (bytes memory)
    {
        return bytes.concat(abi.encode(words[0], words[1], words[2], offset, words[3]), abi.encodePacked(proof));
    }
}
