// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {CXPTToken} from "../../../../src/CXPTToken.sol";
import {Test} from "../../../base/Test.sol";

contract BurnTest is Test {
    address private constant HOLDER = address(0xA1);

    CXPTToken private token;

    function setUp() external {
        token = new CXPTToken();
        token.transfer(HOLDER, 100);
    }

    function test_RevertWhen_TheAmountIsAboveTheBalance() external {
        vm.prank(HOLDER);
        // it should revert with ERC20InsufficientBalance
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, HOLDER, 100, 101));
        token.burn(101);
    }

    function test_WhenTheAmountIsZero() external {
        vm.prank(HOLDER);
        token.burn(0);
        // it should change nothing
        vm.assertEq(token.balanceOf(HOLDER), 100, "balance");
        vm.assertEq(token.totalSupply(), 10 ** 27, "supply");
    }

    function test_WhenTheAmountIsWithinTheBalance() external {
        // it should take it from the caller and from the supply
        // it should emit Transfer to the zero address
        vm.expectEmit(true, true, true, true, address(token));
        emit IERC20.Transfer(HOLDER, address(0), 100);
        vm.prank(HOLDER);
        token.burn(100);
        vm.assertEq(token.balanceOf(HOLDER), 0, "balance");
        vm.assertEq(token.totalSupply(), 10 ** 27 - 100, "supply");
        vm.assertEq(token.balanceOf(address(this)), 10 ** 27 - 100, "balance of another");
    }
}
