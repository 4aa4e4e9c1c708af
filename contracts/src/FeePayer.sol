// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ICXPTVault} from "./interfaces/ICXPTVault.sol";
import {IFeePayer} from "./interfaces/IFeePayer.sol";

/// @title What a contract has that takes money and turns it into fees of the Vault
abstract contract FeePayer is IFeePayer {
    using SafeERC20 for IERC20;

    /// @inheritdoc IFeePayer
    ICXPTVault public immutable vault;
    /// @inheritdoc IFeePayer
    IERC20 public immutable token;

    constructor(ICXPTVault vault_) {
        if (address(vault_).code.length == 0) revert NotAVault(address(vault_));
        vault = vault_;
        token = vault_.token();
    }

    /// @dev The allowance is for this payment alone and is used up by it.
    function _payFees(uint256 amount) internal {
        token.forceApprove(address(vault), amount);
        vault.depositFees(amount);
    }
}
