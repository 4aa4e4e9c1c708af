// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ICXPTVault} from "./ICXPTVault.sol";

/// @title A contract that pays fees into the Vault
interface IFeePayer {
    /// @notice The address is not a Vault with code.
    error NotAVault(address vault);

    /// @notice Where fees go; fixed for good.
    function vault() external view returns (ICXPTVault);

    /// @notice The Vault's token, CXPT.
    function token() external view returns (IERC20);
}
