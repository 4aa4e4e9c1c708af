// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../../../base/ClaimTree.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

/// @dev One leaf: the provider with 70 in the provider pool, of a total of 60.
contract ClaimableTest is VaultTest {
    function test_RevertGiven_ClaimsArePaused() external {
        _ready(70);
        vm.prank(guardian);
        vault.pauseClaims();
        // it should revert with ClaimsArePaused
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.ClaimsArePaused.selector, vault.claimsPausedUntil()));
        vault.claimable(FIRST, PROVIDER, provider, 70, new bytes32[](0));
    }

    function test_RevertGiven_TheRootIsNotActive() external {
        // it should revert with RootNotActive
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, FIRST));
        vault.claimable(FIRST, PROVIDER, provider, 70, new bytes32[](0));
    }

    function test_WhenTheLeafIsDue() external {
        _ready(70);
        // it should say what a claim would pay
        _assertAnswer(PROVIDER, provider, 70, 70, ICXPTVault.ClaimCode.Due);
    }

    function test_WhenAClaimWouldPayNothing() external {
        _ready(60);
        // it should say why
        _assertAnswer(PROVIDER, provider, 70, 0, ICXPTVault.ClaimCode.PromiseExceeded);
        _assertAnswer(PROVIDER, provider, 71, 0, ICXPTVault.ClaimCode.InvalidProof);
        _assertAnswer(4, provider, 70, 0, ICXPTVault.ClaimCode.InvalidPool);
        _assertAnswer(USER, address(0), 70, 0, ICXPTVault.ClaimCode.InvalidAccount);
    }

    function test_GivenItWasClaimed() external {
        _ready(70);
        vault.claim(FIRST, PROVIDER, provider, 70, new bytes32[](0));
        // it should say that nothing is due
        _assertAnswer(PROVIDER, provider, 70, 0, ICXPTVault.ClaimCode.NothingDue);
    }

    function _ready(uint256 total) private {
        _activate(FIRST, ClaimTree.hash(ClaimTree.Leaf(PROVIDER, provider, 70)), total, 0);
    }

    function _assertAnswer(uint8 pool, address account, uint256 given, uint256 amount, ICXPTVault.ClaimCode code)
        private
        view
    {
        (uint256 found, ICXPTVault.ClaimCode why) = vault.claimable(FIRST, pool, account, given, new bytes32[](0));
        vm.assertEq(found, amount, "amount");
        vm.assertEq(uint256(why), uint256(code), "code");
    }
}
