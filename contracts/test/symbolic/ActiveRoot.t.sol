// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {Symbolic} from "./Symbolic.sol";

/// @notice Once active, a root's record is changed by no call of anybody; only the admin retires it, once a later one is
/// active. Every state-changing call of the Vault is tried, by a caller and with arguments that stand for all.
contract ActiveRootChecks is Symbolic {
    bytes32[] private _none;

    function setUp() public override {
        super.setUp();
        _activate(FIRST, bytes32(uint256(1)), 70, 30);
    }

    function check_no_call_changes_an_active_root(address caller, uint256 call, uint256 a, uint256 b, bytes32 c)
        external
    {
        _assertUnchanged(caller, _anyCall(call, a, b, c));
    }

    /// @notice The same while a later root is pending, and once it is active.
    function check_no_call_changes_an_older_root(
        address caller,
        uint256 call,
        uint256 a,
        uint256 b,
        bytes32 c,
        bool laterIsActive
    ) external {
        _publish(FIRST + 1, bytes32(uint256(2)), 170, 130);
        if (laterIsActive) {
            _attest(FIRST + 1);
            vm.warp(vault.rootAt(FIRST + 1).activatesAt);
        }
        _assertUnchanged(caller, _anyCall(call, a, b, c));
    }

    function check_only_the_admin_retires(address caller, uint256 epoch, bool laterIsActive) external {
        _publish(FIRST + 1, bytes32(uint256(2)), 170, 130);
        if (laterIsActive) {
            _attest(FIRST + 1);
            vm.warp(vault.rootAt(FIRST + 1).activatesAt);
        }
        vm.prank(caller);
        (bool done,) = address(vault).call(abi.encodeCall(ICXPTVault.retireRoot, (epoch)));
        assert(done == (caller == admin && epoch == FIRST && laterIsActive));
    }

    function _assertUnchanged(address caller, bytes memory data) private {
        ICXPTVault.RootRecord memory before = vault.rootAt(FIRST);
        assert(before.status == ICXPTVault.RootStatus.Active);
        _send(caller, data);
        ICXPTVault.RootRecord memory later = vault.rootAt(FIRST);
        assert(later.root == before.root);
        assert(later.manifestHash == before.manifestHash);
        assert(later.providerTotal == before.providerTotal);
        assert(later.userTotal == before.userTotal);
        assert(later.activatesAt == before.activatesAt);
        assert(later.attestationsMissing == before.attestationsMissing);
        assert(later.status == before.status);
    }

    /// @dev All but retireRoot, which has a check of its own.
    function _anyCall(uint256 call, uint256 a, uint256 b, bytes32 c) private view returns (bytes memory) {
        if (call == 0) return abi.encodeCall(ICXPTVault.publishRoot, (a, c, b, b, c, 0));
        if (call == 1) return abi.encodeCall(ICXPTVault.attestRoot, (a, c));
        if (call == 2) return abi.encodeCall(ICXPTVault.revokeRoot, (a, ""));
        if (call == 3) return abi.encodeCall(ICXPTVault.claim, (a, 1, provider, b, _none));
        if (call == 4) return abi.encodeCall(ICXPTVault.depositFees, (a));
        if (call == 5) return abi.encodeCall(ICXPTVault.fundPool, (1, a));
        if (call == 6) return abi.encodeCall(ICXPTVault.withdrawProtocol, (stranger, a));
        if (call == 7) return abi.encodeCall(ICXPTVault.pauseClaims, ());
        if (call == 8) return abi.encodeCall(ICXPTVault.resumeClaims, ());
        if (call == 9) return abi.encodeCall(ICXPTVault.pausePublishing, ());
        if (call == 10) return abi.encodeCall(ICXPTVault.resumePublishing, ());
        if (call == 11) return abi.encodeCall(ICXPTVault.setSplit, (uint16(a), uint16(b), uint16(uint256(c))));
        if (call == 12) return abi.encodeCall(ICXPTVault.setActivationDelay, (uint32(a)));
        if (call == 13) return abi.encodeCall(ICXPTVault.setMaxEpochAmount, (uint8(a), uint96(b)));
        if (call == 14) return abi.encodeCall(ICXPTVault.setAttestersRequired, (uint8(a)));
        if (call == 15) {
            return abi.encodeCall(ICXPTVault.setRole, (address(uint160(a)), ICXPTVault.Role(b % 6)));
        }
        return abi.encodeCall(ICXPTVault.rescue, (token, stranger, a));
    }
}
