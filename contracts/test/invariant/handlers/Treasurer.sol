// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../src/interfaces/ICXPTVault.sol";
import {Books} from "../Books.sol";
import {Player} from "./Player.sol";

/// @title Who takes the protocol's share
contract Treasurer is Player {
    constructor(Books books_) Player(books_, "treasurer") {}

    function withdraw(uint256 seed, uint256 amount) external {
        uint256 available = books.protocolDeposited() - books.withdrawn();
        amount = bound(amount, 0, available + available / 8);
        bytes memory refusal =
            amount > available ? _error(ICXPTVault.AmountTooLarge.selector, available, amount) : bytes("");
        address[4] memory targets = [address(0x72ea5), address(0x72ea6), address(vault), address(escrow)];
        address to = targets[_roll(seed, "to", 4)];
        bytes memory data = abi.encodeCall(vault.withdrawProtocol, (to, amount));
        address treasurer = _holder(ICXPTVault.Role.Treasurer, seed);
        (bool withdrawn,) = _do(treasurer, address(vault), data, refusal, "withdrawProtocol");
        if (withdrawn) books.withdraw(to, amount);
    }
}
