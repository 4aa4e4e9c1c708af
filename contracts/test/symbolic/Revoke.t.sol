// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {Symbolic} from "./Symbolic.sol";

contract RevokeChecks is Symbolic {
    /// @notice A revoke restores the pools exactly, whatever was published on top of whatever.
    function check_revoke_restores_the_pools(uint256 first, uint256 firstUser, uint256 second, uint256 secondUser)
        external
    {
        _activate(FIRST, bytes32(uint256(1)), first, firstUser);
        ICXPTVault.RewardPool memory before = vault.pools();
        uint256 promised = vault.promised(PROVIDER);
        uint256 promisedUser = vault.promised(USER);
        _publish(FIRST + 1, bytes32(uint256(2)), second, secondUser);
        _revoke(FIRST + 1);
        ICXPTVault.RewardPool memory restored = vault.pools();
        assert(restored.protocolAmount == before.protocolAmount);
        assert(restored.providerAmount == before.providerAmount);
        assert(restored.userAmount == before.userAmount);
        assert(vault.promised(PROVIDER) == promised);
        assert(vault.promised(USER) == promisedUser);
        assert(vault.nextEpoch() == FIRST + 1);
    }

    /// @notice Only the guardian revokes.
    function check_only_the_guardian_revokes(address caller, uint256 epoch) external {
        _publish(FIRST, bytes32(uint256(1)), 7, 5);
        vm.prank(caller);
        (bool done,) = address(vault).call(abi.encodeCall(ICXPTVault.revokeRoot, (epoch, "")));
        assert(!done || caller == guardian);
        assert(!done || epoch == FIRST);
    }
}
