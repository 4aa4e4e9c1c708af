// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IUsageEscrow} from "../../../src/interfaces/IUsageEscrow.sol";
import {Books} from "../Books.sol";
import {Player} from "./Player.sol";

/// @title Who charges usage: customers, people without a balance, the same one twice in a batch
contract Settler is Player {
    uint256 private _fresh;

    constructor(Books books_) Player(books_, "settler") {}

    function settle(uint256 seed) external {
        _settle(seed, bytes32(++_fresh));
    }

    /// @notice A batch that was settled, with other contents.
    function settleAgain(uint256 seed) external wrongly {
        bytes32[] memory batches = books.batches();
        if (batches.length == 0) return _idle();
        _settle(seed, batches[_roll(seed, "batch", batches.length)]);
    }

    function settleUnequalLists(uint256 seed) external wrongly {
        (address[] memory accounts,) = _batch(seed);
        uint256[] memory amounts = new uint256[](accounts.length + 1);
        bytes memory refusal = _error(IUsageEscrow.LengthMismatch.selector, accounts.length, accounts.length + 1);
        bytes memory data = abi.encodeCall(escrow.settle, (bytes32(_fresh + 1), accounts, amounts));
        _do(books.settler(), address(escrow), data, refusal, "settle");
    }

    // ---------------------------------------------------------------- inside

    function _settle(uint256 seed, bytes32 batch) private {
        (address[] memory accounts, uint256[] memory amounts) = _batch(seed);
        bytes memory refusal = books.timesSettled(batch) == 0
            ? bytes("")
            : abi.encodeWithSelector(IUsageEscrow.BatchAlreadySettled.selector, batch);
        uint256[] memory before = _balances();
        bytes memory data = abi.encodeCall(escrow.settle, (batch, accounts, amounts));
        (bool settled, bytes memory result) = _do(books.settler(), address(escrow), data, refusal, "settle");
        if (!settled) return;
        uint256 charged;
        for (uint256 i = 0; i < accounts.length; i++) {
            uint256 amount = books.chargeable(accounts[i], amounts[i]);
            books.charge(accounts[i], amount);
            charged += amount;
        }
        books.settle(batch, charged);
        vm.assertEq(abi.decode(result, (uint256)), charged, "settle: what it says it charged");
        _assertMeasured(before, charged);
    }

    /// @dev What the customers' balances fell by is what was charged.
    function _assertMeasured(uint256[] memory before, uint256 charged) private view {
        uint256[] memory balances = _balances();
        uint256 fallen;
        for (uint256 i = 0; i < before.length; i++) {
            fallen += before[i] - balances[i];
        }
        vm.assertEq(fallen, charged, "settle: what balances fell by");
    }

    function _batch(uint256 seed) private view returns (address[] memory accounts, uint256[] memory amounts) {
        accounts = new address[](_roll(seed, "size", 6));
        amounts = new uint256[](accounts.length);
        for (uint256 i = 0; i < accounts.length; i++) {
            uint256 item = uint256(keccak256(abi.encode(seed, i)));
            accounts[i] = item % 8 == 0 ? _outsider(item) : _customer(item);
            amounts[i] = item % 7 == 0 ? NONE - i : _roll(item, "amount", 120 * CXPT);
        }
    }

    function _balances() private view returns (uint256[] memory balances) {
        address[] memory customers = books.customers();
        balances = new uint256[](customers.length);
        for (uint256 i = 0; i < customers.length; i++) {
            balances[i] = escrow.balanceOf(customers[i]);
        }
    }
}
