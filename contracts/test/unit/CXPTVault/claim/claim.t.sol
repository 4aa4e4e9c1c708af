// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ClaimTree} from "../../../base/ClaimTree.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract ClaimTest is VaultTest {
    using ClaimTree for ClaimTree.Leaf[];

    function test_WhenTheLeafIsDue() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], _total(leaves, PROVIDER), _total(leaves, USER));
        for (uint256 i = 0; i < leaves.length; i++) {
            vm.assertEq(_claim(FIRST, nodes, leaves[i]), leaves[i].amount, "paid");
        }
        vm.assertEq(vault.liability(PROVIDER), 0, "everything was paid");
        _assertSolvent();
    }
}
