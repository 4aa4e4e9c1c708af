// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The claim tree in the fewest lines: leaves sorted by hash, a complete binary tree, sorted pairs (`standard-v1`)
library ClaimTree {
    struct Leaf {
        uint8 pool;
        address account;
        uint256 amount;
    }

    /// @notice keccak256 of keccak256 of the 96 bytes of a leaf.
    function hash(Leaf memory leaf) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(leaf.pool, leaf.account, leaf.amount))));
    }

    /// @notice keccak256 of two nodes, the smaller first.
    function pair(bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    /// @notice All nodes, the root first: children of node i are 2i + 1 and 2i + 2.
    function build(Leaf[] memory leaves) internal pure returns (bytes32[] memory nodes) {
        uint256 count = leaves.length;
        nodes = new bytes32[](2 * count - 1);
        for (uint256 i = 0; i < count; i++) {
            bytes32 leaf = hash(leaves[i]);
            // Insertion from the end: the last node is the smallest leaf.
            uint256 node = nodes.length - 1 - i;
            while (node < nodes.length - 1 && nodes[node + 1] > leaf) {
                nodes[node] = nodes[node + 1];
                node++;
            }
            nodes[node] = leaf;
        }
        for (uint256 i = count - 1; i > 0; i--) {
            nodes[i - 1] = pair(nodes[2 * i - 1], nodes[2 * i]);
        }
    }

    /// @notice Siblings from the leaf up to the root; reverts where the tree has no such leaf.
    function prove(bytes32[] memory nodes, Leaf memory leaf) internal pure returns (bytes32[] memory proof) {
        bytes32 wanted = hash(leaf);
        uint256 node = nodes.length / 2;
        while (nodes[node] != wanted) node++;
        uint256 depth = 0;
        for (uint256 i = node; i > 0; i = (i - 1) / 2) {
            depth++;
        }
        proof = new bytes32[](depth);
        for (uint256 i = 0; i < depth; i++) {
            proof[i] = nodes[node % 2 == 1 ? node + 1 : node - 1];
            node = (node - 1) / 2;
        }
    }
}
