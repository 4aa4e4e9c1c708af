// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ThiefTest} from "./ThiefTest.sol";

/// @notice Stolen: the treasurer's key. At worst: takes what is the protocol's.
contract TreasurerThiefTest is ThiefTest {
    function test_WhenTheTreasurerTriesEveryCall() external {
        // it should be refused all but withdrawProtocol
        _assertRefusedAllBut(treasurer, _only(ICXPTVault.withdrawProtocol.selector));
    }

    function test_GivenItTakesWhatItCan() external {
        // it should take the amount of the protocol and not a unit more
        _refused(840 * CXPT + 1, abi.encodeWithSelector(ICXPTVault.AmountTooLarge.selector, 840 * CXPT, 840 * CXPT + 1));
        _take(840 * CXPT);
        _refused(1, abi.encodeWithSelector(ICXPTVault.AmountTooLarge.selector, 0, 1));
        vm.assertEq(token.balanceOf(accomplice), 840 * CXPT, "stolen");
        // it should leave the other pools and all promises
        _assertPools(0, 240 * CXPT, 120 * CXPT);
        _assertPromisesArePaid();
        // it should take the share of later fees too
        _deposit(10 * CXPT);
        _refused(4 * CXPT + 1, abi.encodeWithSelector(ICXPTVault.AmountTooLarge.selector, 4 * CXPT, 4 * CXPT + 1));
        _take(4 * CXPT);
        _assertPools(0, 244 * CXPT, 122 * CXPT);
        _assertSolvent();
        _assertEscrowIsPaid(1_000 * CXPT);
    }

    function test_GivenTheTreasurerIsReplaced() external {
        bytes[] memory calls = _replace(treasurer, ICXPTVault.Role.Treasurer);
        _scheduleBatch(_ofVault(2), calls);
        vm.warp(block.timestamp + WEEK);
        _take(840 * CXPT);
        _executeBatch(_ofVault(2), calls);
        _deposit(10 * CXPT);
        // it should be refused
        _refused(1, _noRole(treasurer));
        // it should leave later fees to the replacement
        vm.prank(replacement);
        vault.withdrawProtocol(replacement, 4 * CXPT);
        vm.assertEq(token.balanceOf(replacement), 4 * CXPT, "the share of later fees");
        _assertPromisesArePaid();
    }

    function _take(uint256 amount) private {
        vm.prank(treasurer);
        vault.withdrawProtocol(accomplice, amount);
    }

    function _refused(uint256 amount, bytes memory reason) private {
        vm.prank(treasurer);
        vm.expectRevert(reason);
        vault.withdrawProtocol(accomplice, amount);
    }
}
