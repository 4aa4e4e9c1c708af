// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice A token whose transfers revert, or return false and move nothing, once it is told so. For tests only.
contract FaultyToken is ERC20 {
    error OutOfOrder();

    bool public isReverting;
    bool public isSilent;

    constructor() ERC20("Faulty", "FAULT") {
        _mint(msg.sender, 2 ** 128);
    }

    function setReverting(bool on) external {
        isReverting = on;
    }

    function setSilent(bool on) external {
        isSilent = on;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (isReverting) revert OutOfOrder();
        return isSilent ? false : super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (isReverting) revert OutOfOrder();
        return isSilent ? false : super.transferFrom(from, to, amount);
    }
}
