// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract SetSplitTest is VaultTest {
    function test_RevertWhen_TheCallerIsNotTheAdmin() external {
        vm.prank(guardian);
        // it should revert with WrongRole
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, guardian, ICXPTVault.Role.Guardian));
        vault.setSplit(4_000, 4_000, 2_000);
    }

    function test_RevertWhen_TheSharesDoNotAddUp() external {
        // it should revert with InvalidSplit
        _refused(4_000, 4_000, 1_999);
        _refused(4_000, 4_000, 2_001);
        _refused(0, 0, 0);
        _refused(5_000, type(uint16).max, type(uint16).max);
    }

    function test_RevertWhen_TheProtocolTakesMoreThanHalf() external {
        // it should revert with InvalidSplit
        _refused(5_001, 4_999, 0);
    }

    function test_WhenTheSharesAddUp() external {
        // it should emit SplitSet with old and new shares
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.SplitSet(4_000, 4_000, 2_000, 5_000, 0, 5_000);
        vm.prank(admin);
        vault.setSplit(5_000, 0, 5_000);
        (uint256 protocolBp, uint256 providerBp, uint256 userBp) = vault.split();
        vm.assertEq(protocolBp * 1e10 + providerBp * 1e5 + userBp, 5_000 * 1e10 + 5_000, "split");
        // it should leave earlier deposits as they were split
        vm.assertEq(vault.pools().providerAmount, 800 * CXPT, "before");
        _deposit(100);
        // it should split later ones anew
        vm.assertEq(vault.pools().providerAmount, 800 * CXPT, "provider");
        vm.assertEq(vault.pools().userAmount, 400 * CXPT + 50, "user");
        _assertSolvent();
    }

    function test_GivenThreeDifferentShares() external {
        vm.startPrank(admin);
        vault.setSplit(5_000, 3_000, 2_000);
        // it should tell each old share by its own name
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.SplitSet(5_000, 3_000, 2_000, 1_000, 2_000, 7_000);
        vault.setSplit(1_000, 2_000, 7_000);
        vm.stopPrank();
    }

    function test_WhenTheProtocolTakesNothing() external {
        vm.prank(admin);
        vault.setSplit(0, 10_000, 0);
        _deposit(100);
        // it should give all to the others
        vm.assertEq(vault.pools().providerAmount, 800 * CXPT + 100, "provider");
    }

    function _refused(uint16 protocolBp, uint16 providerBp, uint16 userBp) private {
        vm.prank(admin);
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.InvalidSplit.selector, protocolBp, providerBp, userBp));
        vault.setSplit(protocolBp, providerBp, userBp);
    }
}
