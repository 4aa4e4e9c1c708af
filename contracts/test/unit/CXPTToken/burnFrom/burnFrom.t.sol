// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {CXPTToken} from "../../../../src/CXPTToken.sol";
import {Test} from "../../../base/Test.sol";

contract BurnFromTest is Test {
    address private constant HOLDER = address(0xA1);
    address private constant SPENDER = address(0xB2);

    CXPTToken private token;

    function setUp() external {
        token = new CXPTToken();
        token.transfer(HOLDER, 100);
    }

    function test_RevertGiven_TheAllowanceIsTooSmall() external {
        _allow(59);
        vm.prank(SPENDER);
        // it should revert with ERC20InsufficientAllowance
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, SPENDER, 59, 60));
        token.burnFrom(HOLDER, 60);
    }

    function test_RevertGiven_TheBalanceIsTooSmall() external {
        _allow(1_000);
        vm.prank(SPENDER);
        // it should revert with ERC20InsufficientBalance
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, HOLDER, 100, 101));
        token.burnFrom(HOLDER, 101);
    }

    function test_GivenTheHolderAllowsIt() external {
        _allow(70);
        // it should emit Transfer to the zero address
        vm.expectEmit(true, true, true, true, address(token));
        emit IERC20.Transfer(HOLDER, address(0), 60);
        vm.prank(SPENDER);
        token.burnFrom(HOLDER, 60);
        // it should take it from the holder and from the supply
        vm.assertEq(token.balanceOf(HOLDER), 40, "balance");
        vm.assertEq(token.totalSupply(), 10 ** 27 - 60, "supply");
        // it should use the allowance up
        vm.assertEq(token.allowance(HOLDER, SPENDER), 10, "allowance");
    }

    function _allow(uint256 amount) private {
        vm.prank(HOLDER);
        token.approve(SPENDER, amount);
    }
}
