// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IUsageEscrow} from "../../src/interfaces/IUsageEscrow.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {ThiefTest} from "./ThiefTest.sol";

/// @notice Stolen: the settler's key. At worst: charges up to the accounts' daily limits, into fees of the Vault only.
contract SettlerThiefTest is ThiefTest {
    using ClaimTree for ClaimTree.Leaf[];

    function test_WhenTheSettlerTriesEveryCall() external {
        // it should be refused all but settle
        _assertRefusedAllBut(settler, _only(IUsageEscrow.settle.selector));
    }

    function test_GivenItChargesAsMuchAsItCan() external {
        uint256 midnight = (block.timestamp / 1 days + 1) * 1 days;
        vm.warp(midnight - 1);
        // it should charge no more than the limit of the day in any number of batches
        vm.assertEq(_chargeAll(0), 100 * CXPT, "charged today");
        vm.assertEq(_chargeAll(1), 0, "charged today again");
        // it should charge the limit again at midnight
        vm.warp(midnight);
        vm.assertEq(_chargeAll(2), 100 * CXPT, "charged a second later");
        _assertBalance(customer, 800 * CXPT);
        // it should pay all of it into the vault as fees
        _assertPools(920 * CXPT, 320 * CXPT, 160 * CXPT);
        _assertPassedOn(address(escrow), 800 * CXPT);
        // it should have nothing itself
        vm.assertEq(token.balanceOf(settler), 0, "the settler's CXPT");
        vm.assertEq(escrow.balanceOf(settler), 0, "the settler's balance");
    }

    function test_GivenTheCustomerSetsItsLimitToZero() external {
        _chargeAll(0);
        _limit(customer, 0);
        vm.warp(block.timestamp + 1 days);
        // it should charge nothing more
        vm.assertEq(_chargeAll(1), 0, "charged");
        // it should not keep the customer from withdrawing the rest a day later
        _assertEscrowIsPaid(900 * CXPT);
    }

    function test_GivenTheSettlerIsReplaced() external {
        bytes memory call = abi.encodeCall(IUsageEscrow.setSettler, (replacement));
        _schedule(address(escrow), call);
        for (uint256 day = 0; day < 7; day++) {
            _chargeAll(day);
            vm.warp(block.timestamp + 1 days);
        }
        _chargeAll(7);
        _execute(address(escrow), call);
        // it should have charged eight limits at most before
        _assertBalance(customer, 200 * CXPT);
        // it should be refused
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.NotSettler.selector, settler));
        escrow.settle("late", _list(customer), _amounts(1));
        // it should leave what it charged where the customer can be paid it back
        uint256 before = token.balanceOf(customer);
        _correct(320 * CXPT, 160 * CXPT);
        vm.prank(treasurer);
        vault.withdrawProtocol(customer, 320 * CXPT);
        vm.assertEq(token.balanceOf(customer) - before, 800 * CXPT, "paid back");
        _assertPools(840 * CXPT, 240 * CXPT, 120 * CXPT);
        _assertPromisesArePaid();
        _assertEscrowIsPaid(200 * CXPT);
    }

    /// @dev The most that can be asked, and twice in the batch.
    function _chargeAll(uint256 batch) private returns (uint256 charged) {
        vm.prank(settler);
        return escrow.settle(bytes32(batch), _list(customer, customer), _amounts(type(uint256).max, type(uint256).max));
    }

    /// @dev A root with what the customer is owed beside what the first promised.
    function _correct(uint256 providerAmount, uint256 userAmount) private {
        ClaimTree.Leaf[] memory honest = _honestLeaves();
        ClaimTree.Leaf[] memory owed = _treeFor(customer, providerAmount, userAmount);
        ClaimTree.Leaf[] memory leaves = new ClaimTree.Leaf[](4);
        (leaves[0], leaves[1], leaves[2], leaves[3]) = (honest[0], honest[1], owed[0], owed[1]);
        bytes32[] memory nodes = leaves.build();
        _activate(NEXT, nodes[0], PROMISED_PROVIDER + providerAmount, PROMISED_USER + userAmount);
        _claim(NEXT, nodes, owed[0]);
        _claim(NEXT, nodes, owed[1]);
    }
}
