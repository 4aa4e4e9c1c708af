// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title The token of the Cxmpute network
/// @notice One billion CXPT, minted once to the deployer. Holders may burn their own; nobody can mint.
contract CXPTToken is ERC20, ERC20Burnable, ERC20Permit {
    uint256 private constant SUPPLY = 1_000_000_000 * 1e18;

    constructor() ERC20("Cxmpute Token", "CXPT") ERC20Permit("Cxmpute Token") {
        _mint(msg.sender, SUPPLY);
    }
}
