// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title Taking tokens from the caller: the whole amount or nothing
/// @notice The payer is always the caller, so an allowance is only ever used by whoever gave it.
library Intake {
    using SafeERC20 for IERC20;

    error ZeroAmount();
    /// @notice The balance grew by something else than the amount.
    error WrongAmountReceived(uint256 expected, uint256 received);

    /// @notice Pulls `amount` from the caller; reverts unless this contract's balance grows by just that.
    function pull(IERC20 token, uint256 amount) internal {
        if (amount == 0) revert ZeroAmount();
        uint256 balance = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - balance;
        if (received != amount) revert WrongAmountReceived(amount, received);
    }

    /// @notice Uses the caller's ERC-2612 permit. One that fails does not matter when the allowance suffices: a permit is
    /// public once sent, and whoever uses it first must not be able to make the payment fail.
    function usePermit(IERC20 token, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) internal {
        try IERC20Permit(address(token)).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
    }
}
