// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {FuzzTest} from "./FuzzTest.sol";

/// @notice What the Vault believes of a claim tree, tried on the tree alone with OpenZeppelin's verifier.
contract ClaimTreeFuzz is FuzzTest {
    using ClaimTree for ClaimTree.Leaf;
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    /// @dev Trees need no Vault.
    function setUp() public override {}

    /// @notice Every leaf of every tree is proven, by a path no longer than the tree is deep.
    function testFuzz_EveryLeafIsProven(uint256 seed, uint256 count) external pure {
        count = bound(count, 1, 20);
        ClaimTree.Leaf[] memory leaves = _randomLeaves(seed, count, type(uint96).max);
        bytes32[] memory nodes = leaves.build();
        uint256 depth;
        while (1 << depth < count) depth++;
        for (uint256 i = 0; i < count; i++) {
            bytes32[] memory proof = nodes.prove(leaves[i]);
            vm.assertTrue(MerkleProof.verify(proof, nodes[0], leaves[i].hash()), "proven");
            vm.assertLe(proof.length, depth, "length");
        }
    }

    /// @notice A leaf hash is keccak256 twice over three words written by hand, and a pair's hash is OpenZeppelin's.
    function testFuzz_HashesAreThoseOfTheStandard(uint8 pool, address account, uint256 amount, bytes32 other)
        external
        pure
    {
        bytes32 leaf = ClaimTree.Leaf(pool, account, amount).hash();
        bytes memory words = bytes.concat(bytes31(0), bytes1(pool), bytes12(0), bytes20(account), bytes32(amount));
        vm.assertEq(words.length, 96, "three words");
        vm.assertEq(leaf, keccak256(bytes.concat(keccak256(words))), "leaf");
        vm.assertEq(ClaimTree.pair(leaf, other), Hashes.commutativeKeccak256(other, leaf), "pair");
        vm.assertEq(ClaimTree.pair(leaf, other), ClaimTree.pair(other, leaf), "either order");
    }

    /// @notice The root does not depend on the order of the leaves.
    function testFuzz_TheOrderOfLeavesDoesNotMatter(uint256 seed, uint256 count) external pure {
        count = bound(count, 1, 16);
        ClaimTree.Leaf[] memory leaves = _randomLeaves(seed, count, type(uint96).max);
        uint256[] memory order = _shuffle(seed, count);
        ClaimTree.Leaf[] memory shuffled = new ClaimTree.Leaf[](count);
        for (uint256 i = 0; i < count; i++) {
            shuffled[i] = leaves[order[i]];
        }
        vm.assertEq(shuffled.build()[0], leaves.build()[0], "root");
    }

    /// @notice The root changes with any leaf: its pool, its account, its amount.
    function testFuzz_EveryLeafMatters(uint256 seed, uint256 count, uint256 index, uint256 choice, uint256 noise)
        external
        pure
    {
        count = bound(count, 1, 16);
        ClaimTree.Leaf[] memory leaves = _randomLeaves(seed, count, type(uint96).max);
        bytes32 root = leaves.build()[0];
        _change(leaves[index % count], choice, noise);
        vm.assertFalse(leaves.build()[0] == root, "another root");
    }

    /// @notice A value that is in no leaf is not proven by the path of any leaf.
    function testFuzz_AnotherValueIsNotProven(uint256 seed, uint256 index, uint256 choice, uint256 noise)
        external
        pure
    {
        ClaimTree.Leaf[] memory leaves = _randomLeaves(seed, 9, type(uint96).max);
        bytes32[] memory nodes = leaves.build();
        bytes32[][] memory proofs = new bytes32[][](9);
        for (uint256 i = 0; i < 9; i++) {
            proofs[i] = nodes.prove(leaves[i]);
        }
        ClaimTree.Leaf memory leaf = leaves[index % 9];
        _change(leaf, choice, noise);
        for (uint256 i = 0; i < 9; i++) {
            vm.assertFalse(MerkleProof.verify(proofs[i], nodes[0], leaf.hash()), "not proven");
        }
    }

    /// @notice The path of one leaf proves no other leaf of the tree, and no part of a path proves its own leaf.
    function testFuzz_APathProvesOneLeafAndOnlyWhole(uint256 seed, uint256 count, uint256 index) external pure {
        count = bound(count, 2, 16);
        ClaimTree.Leaf[] memory leaves = _randomLeaves(seed, count, type(uint96).max);
        bytes32[] memory nodes = leaves.build();
        ClaimTree.Leaf memory leaf = leaves[index % count];
        bytes32[] memory proof = nodes.prove(leaf);
        for (uint256 i = 0; i < count; i++) {
            bool own = i == index % count;
            vm.assertEq(MerkleProof.verify(proof, nodes[0], leaves[i].hash()), own, "its own leaf alone");
        }
        bytes32[] memory part = new bytes32[](proof.length - 1);
        for (uint256 i = 0; i < proof.length; i++) {
            for (uint256 j = 0; j < part.length; j++) {
                part[j] = proof[j < i ? j : j + 1];
            }
            vm.assertFalse(MerkleProof.verify(part, nodes[0], leaf.hash()), "a node is missing");
        }
    }

    /// @notice A tree of wrong bytes by one bit, in any node of a path, has no such root.
    function testFuzz_EveryBitOfAPathMatters(uint256 seed, uint256 index, uint256 node, uint256 bit) external pure {
        ClaimTree.Leaf[] memory leaves = _randomLeaves(seed, 11, type(uint96).max);
        bytes32[] memory nodes = leaves.build();
        ClaimTree.Leaf memory leaf = leaves[index % 11];
        bytes32[] memory proof = nodes.prove(leaf);
        proof[node % proof.length] ^= bytes32(1 << bit % 256);
        vm.assertFalse(MerkleProof.verify(proof, nodes[0], leaf.hash()), "not proven");
    }

    function _change(ClaimTree.Leaf memory leaf, uint256 choice, uint256 noise) private pure {
        if (choice % 3 == 0) leaf.pool ^= uint8(bound(noise, 1, 255));
        if (choice % 3 == 1) leaf.account = address(uint160(leaf.account) ^ uint160(bound(noise, 1, 2 ** 160 - 1)));
        if (choice % 3 == 2) leaf.amount ^= bound(noise, 1, type(uint256).max);
    }
}
