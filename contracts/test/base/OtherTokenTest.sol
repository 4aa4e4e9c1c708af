// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {CXPTVault} from "../../src/CXPTVault.sol";
import {HostileToken} from "../HostileToken.sol";
import {FaultyToken} from "./FaultyToken.sol";
import {VaultTest} from "./VaultTest.sol";

/// @notice The Vault of `VaultTest` once more, over a token that is not CXPT; the payer has 2^120 of it and has paid
/// 10,000 units of fees: 4,000 protocol, 4,000 provider, 2,000 user.
abstract contract OtherTokenTest is VaultTest {
    function _onHostile() internal returns (HostileToken hostile) {
        hostile = new HostileToken();
        _adopt(hostile);
    }

    function _onFaulty() internal returns (FaultyToken faulty) {
        faulty = new FaultyToken();
        _adopt(faulty);
    }

    function _adopt(IERC20 other) private {
        vault = new CXPTVault(_config(other));
        other.transfer(payer, 2 ** 120);
        vm.prank(payer);
        other.approve(address(vault), type(uint256).max);
        _deposit(10_000);
    }
}
