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

    /// @notice Two deposits of any size: the escrow holds its balances, and their sum is `totalBalance`.
    function check_deposits_are_held(uint256 first, uint256 second) external {
        _pay(user, first);
        _pay(provider, second);
        assert(_escrow.balanceOf(user) == first && _escrow.balanceOf(provider) == second);
        _check(0);
    }

    /// @notice A charge of any size is at most balance and limit, and is in the Vault when the call is over.
    function check_a_charge_moves_into_the_vault(uint256 amount, uint96 limit, uint256 asked) external {
        _pay(user, amount);
        _pay(provider, 7);
        vm.prank(user);
        _escrow.setDailyLimit(limit);
        uint256 held = token.balanceOf(address(vault));
        uint256 charged = _settle(asked);
        assert(charged <= limit && charged <= amount && charged <= asked);
        assert(charged == limit || charged == amount || charged == asked);
        assert(token.balanceOf(address(vault)) - held == charged);
        assert(_escrow.balanceOf(user) == amount - charged);
        _check(0);
    }

    /// @notice A day's charges together stay within the limit; a batch is charged once.
    function check_a_day_stays_within_the_limit(uint96 limit, uint256 asked, uint256 again) external {
        _pay(user, 1_000 * CXPT);
        vm.prank(user);
        _escrow.setDailyLimit(limit);
        uint256 charged = _settle(asked);
        uint256[] memory amounts = _amounts(again);
        vm.prank(_settler);
        charged += _escrow.settle("another batch", _list(user), amounts);
        assert(charged <= limit);
        vm.prank(_settler);
        (bool done,) = address(_escrow).call(abi.encodeCall(IUsageEscrow.settle, ("batch", _list(user), amounts)));
        assert(!done);
        _check(0);
    }

    /// @notice A withdrawal pays what was requested or what is left of it, and leaves the rest and the others alone.
    function check_a_withdrawal_leaves_the_rest(uint256 amount, uint96 requested, uint256 asked) external {
        _pay(user, amount);
        _pay(provider, 7);
        vm.prank(user);
        _escrow.requestWithdrawal(requested);
        vm.prank(user);
        _escrow.setDailyLimit(type(uint96).max);
        uint256 left = amount - _settle(asked);
        vm.warp(block.timestamp + 1 days);
        uint256 held = token.balanceOf(user);
        vm.prank(user);
        uint256 paid = _escrow.withdraw();
        assert(token.balanceOf(user) - held == paid);
        assert(paid == (requested < left ? requested : left));
        assert(_escrow.balanceOf(user) == left - paid && _escrow.balanceOf(provider) == 7);
        _check(0);
    }

    /// @notice No call by anybody but the settler and the account itself changes an account's balance.
    function check_nobody_else_touches_a_balance(address caller, uint256 first, uint256 call, uint256 a, bytes32 b)
        external
    {
        vm.assume(caller != user && caller != _settler);
        _pay(user, first);
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

    function _pay(address account, uint256 amount) private {
        vm.prank(account);
        _escrow.deposit(amount);
    }

    function _settle(uint256 asked) private returns (uint256) {
        uint256[] memory amounts = _amounts(asked);
        vm.prank(_settler);
        return _escrow.settle("batch", _list(user), amounts);
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
