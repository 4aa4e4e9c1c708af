// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IUsageEscrow} from "../../../src/interfaces/IUsageEscrow.sol";
import {Intake} from "../../../src/libraries/Intake.sol";
import {Books} from "../Books.sol";
import {Payer} from "./Payer.sol";

/// @title Customers with a prepaid balance
contract EscrowUser is Payer {
    constructor(Books books_) Payer(books_, "escrow user") {}

    function deposit(uint256 seed, uint256 amount) external {
        address account = _customer(seed);
        amount = bound(amount, 0, 900 * CXPT);
        bytes memory refusal = amount == 0 ? _error(Intake.ZeroAmount.selector) : bytes("");
        bytes memory data = abi.encodeCall(escrow.deposit, (amount));
        (bool paid,) = _do(account, address(escrow), data, refusal, "deposit");
        if (paid) books.depositInEscrow(account, amount);
    }

    function depositWithPermit(uint256 seed, uint256 amount) external {
        address account = _customer(seed);
        amount = bound(amount, 1, 900 * CXPT);
        Permit memory permit = _signPermit(account, address(escrow), amount, _kind(seed));
        bytes memory data =
            abi.encodeCall(escrow.depositWithPermit, (amount, permit.deadline, permit.v, permit.r, permit.s));
        bytes memory refusal = _permitRefusal(address(escrow), amount, _kind(seed));
        (bool paid,) = _do(account, address(escrow), data, refusal, "depositWithPermit");
        if (paid) books.depositInEscrow(account, amount);
        _approveAgain(account, address(escrow));
    }

    function setDailyLimit(uint256 seed, uint96 amount) external {
        address account = _customer(seed);
        amount = uint96(bound(amount, 0, 300 * CXPT));
        _do(account, address(escrow), abi.encodeCall(escrow.setDailyLimit, (amount)), "", "setDailyLimit");
        books.setLimit(account, amount);
    }

    function requestWithdrawal(uint256 seed, uint96 amount) public {
        address account = _customer(seed);
        uint256 balance = books.escrowed(account);
        amount = uint96(bound(amount, 0, balance + balance / 8));
        bytes memory refusal =
            amount > balance ? _error(IUsageEscrow.AmountTooLarge.selector, balance, amount) : bytes("");
        _request(account, amount, refusal);
    }

    /// @notice Often on the first second of its time.
    function withdraw(uint256 seed) external {
        address account = _customer(seed);
        if (books.requested(account) == 0 && _roll(seed, "try", 4) != 0) return _idle();
        uint256 due = books.dueAt(account);
        if (block.timestamp < due && _roll(seed, "wait", 2) != 0) vm.warp(due);
        _withdraw(account);
    }

    /// @notice Everybody takes everything out, a day later.
    function withdrawAll() external {
        address[] memory customers = books.customers();
        for (uint256 i = 0; i < customers.length; i++) {
            _request(customers[i], uint96(books.escrowed(customers[i])), "");
        }
        vm.warp(block.timestamp + 1 days);
        for (uint256 i = 0; i < customers.length; i++) {
            if (books.requested(customers[i]) != 0) _withdraw(customers[i]);
        }
    }

    // ---------------------------------------------------------------- inside

    function _request(address account, uint96 amount, bytes memory refusal) private {
        bytes memory data = abi.encodeCall(escrow.requestWithdrawal, (amount));
        (bool requested,) = _do(account, address(escrow), data, refusal, "requestWithdrawal");
        if (requested) books.request(account, amount);
    }

    function _withdraw(address account) private {
        bytes memory refusal;
        if (books.requested(account) == 0) {
            refusal = abi.encodeWithSelector(IUsageEscrow.NoWithdrawalRequested.selector, account);
        } else if (block.timestamp < books.dueAt(account)) {
            refusal = _error(IUsageEscrow.WithdrawalNotDue.selector, books.dueAt(account));
        }
        bytes memory data = abi.encodeCall(escrow.withdraw, ());
        (bool paid, bytes memory result) = _do(account, address(escrow), data, refusal, "withdraw");
        if (!paid) return;
        vm.assertEq(abi.decode(result, (uint256)), books.withdrawFromEscrow(account), "withdraw: what it says it paid");
    }
}
