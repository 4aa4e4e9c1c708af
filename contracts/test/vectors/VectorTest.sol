// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CXPTVault} from "../../src/CXPTVault.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {HostileToken} from "../HostileToken.sol";
import {VaultTest} from "../base/VaultTest.sol";

/// @notice Vectors hold amounts up to 2^96 - 1, many times what there is of CXPT; so the Vault here pays in a coin of which
/// there is more, has both pools full to the last unit, and sets no limit to an epoch.
abstract contract VectorTest is VaultTest {
    uint256 internal constant MOST = type(uint96).max;

    HostileToken internal coin;

    function setUp() public virtual override {
        vm.warp(START);
        coin = new HostileToken();
    }

    function _openVault(uint256 firstEpoch) internal {
        ICXPTVault.Config memory config = _config(coin);
        config.firstEpoch = uint24(firstEpoch);
        config.maxProviderAmount = uint96(MOST);
        config.maxUserAmount = uint96(MOST);
        vault = new CXPTVault(config);
        coin.approve(address(vault), 2 * MOST);
        vault.fundPool(PROVIDER, MOST);
        vault.fundPool(USER, MOST);
    }
}
