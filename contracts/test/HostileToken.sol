// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice A token that keeps a fee of every transfer, or calls somebody back in the middle of one. For tests only.
contract HostileToken is ERC20 {
    uint256 public feeBp;
    address public target;
    bytes public call;
    bool public lastCallSucceeded;
    bytes public lastCallResult;

    constructor() ERC20("Hostile", "HOST") {
        _mint(msg.sender, 2 ** 128);
    }

    function setFee(uint256 newFeeBp) external {
        feeBp = newFeeBp;
    }

    /// @notice Makes every later transfer call `newTarget` first, once each.
    function setCall(address newTarget, bytes calldata newCall) external {
        target = newTarget;
        call = newCall;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (feeBp != 0 && from != address(0)) super._update(to, address(this), value * feeBp / 10_000);
        if (target != address(0)) {
            address callee = target;
            target = address(0);
            (lastCallSucceeded, lastCallResult) = callee.call(call);
            target = callee;
        }
    }
}
