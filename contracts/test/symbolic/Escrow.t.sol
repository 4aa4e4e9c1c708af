// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {UsageEscrow} from "../../src/UsageEscrow.sol";
import {IUsageEscrow} from "../../src/interfaces/IUsageEscrow.sol";
import {Symbolic} from "./Symbolic.sol";

contract EscrowChecks is Symbolic {
    UsageEscrow private _escrow;
    address private immutable _settler = _person("settler");

    function setUp() public override {
        super.setUp();
        _escrow = new UsageEscrow(vault, admin, _settler);
        for (uint256 i = 0; i < 2; i++) {
            address account = i == 0 ? user : provider;
            token.transfer(account, 1_000 * CXPT);
            vm.prank(account);
            token.approve(address(_escrow), type(uint256).max);
        }
    }

    /// @notice The escrow holds its balances, their sum is `totalBalance`, and what is charged is in the Vault: across
    /// deposits, a batch with one account twice, a request and a withdrawal, for any amounts.
    function check_the_escrow_equals_its_balances(uint256 first, uint256 second, uint96 limit, uint256 asked) external {
        _deposit(user, first);
        _check(0);
        _deposit(provider, second);
        _check(0);
        vm.prank(user);
        _escrow.setDailyLimit(limit);
        uint256 held = token.balanceOf(address(vault));
        uint256 charged = _settle(asked);
        assert(charged <= limit && charged <= first);
        assert(token.balanceOf(address(vault)) - held == charged);
        _check(0);
    }

    function check_a_withdrawal_leaves_the_rest(
        uint256 first,
        uint256 second,
        uint96 requested,
        uint96 limit,
        uint256 asked
    ) external {
        _deposit(user, first);
        _deposit(provider, second);
        vm.prank(user);
        _escrow.requestWithdrawal(requested);
        vm.prank(user);
        _escrow.setDailyLimit(limit);
        uint256 charged = _settle(asked);
        vm.warp(block.timestamp + 1 days);
        uint256 held = token.balanceOf(user);
        vm.prank(user);
        uint256 paid = _escrow.withdraw();
        assert(token.balanceOf(user) - held == paid);
        assert(paid == (requested < first - charged ? requested : first - charged));
        _check(0);
        assert(_escrow.balanceOf(provider) == second);
    }

    /// @notice No call by anybody but the settler and the account itself lowers an account's balance.
    function check_nobody_else_touches_a_balance(address caller, uint256 first, uint256 call, uint256 a, bytes32 b)
        external
    {
        vm.assume(caller != user && caller != _settler);
        _deposit(user, first);
        vm.prank(user);
        _escrow.setDailyLimit(type(uint96).max);
        bytes memory data;
        if (call == 0) data = abi.encodeCall(IUsageEscrow.deposit, (a));
        else if (call == 1) data = abi.encodeCall(IUsageEscrow.requestWithdrawal, (uint96(a)));
        else if (call == 2) data = abi.encodeCall(IUsageEscrow.withdraw, ());
        else if (call == 3) data = abi.encodeCall(IUsageEscrow.settle, (b, _list(user), _amounts(a)));
        else if (call == 4) data = abi.encodeCall(IUsageEscrow.setDailyLimit, (uint96(a)));
        else data = abi.encodeCall(IUsageEscrow.setSettler, (address(uint160(a))));
        vm.prank(caller);
        (bool done,) = address(_escrow).call(data);
        assert(_escrow.balanceOf(user) == first);
        assert(!done || call != 3);
        _check(call == 0 && done && caller != provider ? a : 0);
    }

    function _deposit(address account, uint256 amount) private {
        vm.prank(account);
        _escrow.deposit(amount);
    }

    function _settle(uint256 asked) private returns (uint256) {
        uint256[] memory amounts = new uint256[](2);
        (amounts[0], amounts[1]) = (asked, asked);
        vm.prank(_settler);
        return _escrow.settle("batch", _list(user, user), amounts);
    }

    function _amounts(uint256 amount) private pure returns (uint256[] memory amounts) {
        amounts = new uint256[](1);
        amounts[0] = amount;
    }

    function _check(uint256 ofOthers) private view {
        uint256 sum = _escrow.balanceOf(user) + _escrow.balanceOf(provider) + ofOthers;
        assert(_escrow.totalBalance() == sum);
        assert(token.balanceOf(address(_escrow)) >= sum);
    }
}
