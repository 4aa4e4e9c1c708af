// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {CXPTToken} from "../../../../src/CXPTToken.sol";
import {Test} from "../../../base/Test.sol";

contract TransferTest is Test {
    address private constant HOLDER = address(0xA1);
    address private constant RECEIVER = address(0xB2);

    CXPTToken private token;

    function setUp() external {
        token = new CXPTToken();
        token.transfer(HOLDER, 100);
    }

    function test_RevertWhen_TheReceiverIsTheZeroAddress() external {
        vm.prank(HOLDER);
        // it should revert with ERC20InvalidReceiver
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0)));
        token.transfer(address(0), 1);
    }

    function test_RevertWhen_MoreIsSentThanTheSenderHolds() external {
        vm.prank(HOLDER);
        // it should revert with ERC20InsufficientBalance
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, HOLDER, 100, 101));
        token.transfer(RECEIVER, 101);
    }

    function test_WhenTheAmountIsZero() external {
        vm.prank(HOLDER);
        // it should change nothing and return true
        vm.assertTrue(token.transfer(RECEIVER, 0), "returned");
        vm.assertEq(token.balanceOf(HOLDER), 100, "sender");
        vm.assertEq(token.balanceOf(RECEIVER), 0, "receiver");
    }

    function test_WhenTheSenderIsTheReceiver() external {
        vm.prank(HOLDER);
        // it should change nothing and return true
        vm.assertTrue(token.transfer(HOLDER, 100), "returned");
        vm.assertEq(token.balanceOf(HOLDER), 100, "balance");
    }

    function test_WhenTheSenderHoldsEnough() external {
        // it should emit Transfer
        vm.expectEmit(true, true, true, true, address(token));
        emit IERC20.Transfer(HOLDER, RECEIVER, 60);
        vm.prank(HOLDER);
        vm.assertTrue(token.transfer(RECEIVER, 60), "returned");
        // it should move just the amount
        vm.assertEq(token.balanceOf(HOLDER), 40, "sender");
        vm.assertEq(token.balanceOf(RECEIVER), 60, "receiver");
        // it should keep the supply
        vm.assertEq(token.totalSupply(), 10 ** 27, "supply");
    }
}
