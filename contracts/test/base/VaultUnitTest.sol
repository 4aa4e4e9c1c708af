// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {CXPTToken} from "../../src/CXPTToken.sol";
import {CXPTVault} from "../../src/CXPTVault.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "./ClaimTree.sol";
import {FaultyToken} from "./FaultyToken.sol";
import {VaultTest} from "./VaultTest.sol";
import {HostileToken} from "../HostileToken.sol";

/// @notice The Vault of VaultTest, on any token, and what its unit tests assert alike.
abstract contract VaultUnitTest is VaultTest {
    using ClaimTree for ClaimTree.Leaf[];

    uint256 internal constant TOP = type(uint96).max;
    bytes32 internal constant ROOT = keccak256("root");

    // ---------------------------------------------------------------- other tokens

    /// @notice The same Vault with the same 2,000 of fees, on a token that can keep a fee and call back.
    function _onHostile() internal returns (HostileToken hostile) {
        // By their artifacts: every test would carry the code of both.
        hostile = HostileToken(vm.deployCode("HostileToken.sol:HostileToken", ""));
        _rebuild(address(hostile));
    }

    /// @notice The same on a token that can revert and return false.
    function _onFaulty() internal returns (FaultyToken faulty) {
        faulty = FaultyToken(vm.deployCode("FaultyToken.sol:FaultyToken", ""));
        _rebuild(address(faulty));
    }

    function _rebuild(address onToken) private {
        token = CXPTToken(onToken);
        vault = new CXPTVault(_config(IERC20(onToken)));
        token.transfer(payer, 2 ** 100);
        vm.prank(payer);
        token.approve(address(vault), type(uint256).max);
        _deposit(2_000 * CXPT);
    }

    /// @notice A call of everything that moves money. The guard comes before every other check, so it is what stops them.
    function _moneyCalls() internal view returns (bytes[] memory calls) {
        calls = new bytes[](7);
        calls[0] = abi.encodeCall(ICXPTVault.depositFees, (1));
        calls[1] = abi.encodeCall(ICXPTVault.depositFeesWithPermit, (1, 0, 0, 0, 0));
        calls[2] = abi.encodeCall(ICXPTVault.fundPool, (PROVIDER, 1));
        calls[3] = abi.encodeCall(ICXPTVault.claim, (FIRST, PROVIDER, provider, 70, new bytes32[](0)));
        calls[4] = abi.encodeCall(ICXPTVault.claimMany, (FIRST, new ICXPTVault.ClaimItem[](0)));
        calls[5] = abi.encodeCall(ICXPTVault.withdrawProtocol, (stranger, 1));
        calls[6] = abi.encodeCall(ICXPTVault.rescue, (token, stranger, 0));
    }

    function _assertGuarded(HostileToken hostile) internal view {
        vm.assertFalse(hostile.lastCallSucceeded(), "the call from inside");
        vm.assertEq(
            keccak256(hostile.lastCallResult()),
            keccak256(abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)),
            "its error"
        );
    }

    // ---------------------------------------------------------------- roots

    /// @notice Publishes and activates the tree of `_leaves` in the first epoch.
    function _activateLeaves(uint256 providerAmount, uint256 userAmount)
        internal
        returns (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes)
    {
        leaves = _leaves(providerAmount, userAmount);
        nodes = leaves.build();
        _activate(FIRST, nodes[0], _total(leaves, PROVIDER), _total(leaves, USER));
    }

    // ---------------------------------------------------------------- what is checked

    function _wrongRole(address caller, ICXPTVault.Role held) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ICXPTVault.WrongRole.selector, caller, held);
    }

    /// @notice Calls the Vault as everybody with no role or another than these and expects a refusal each time.
    function _assertRefusedToOthers(bytes memory data, ICXPTVault.Role allowed, ICXPTVault.Role also) internal {
        address[7] memory callers = [stranger, address(0), admin, publisher, attester, guardian, treasurer];
        for (uint256 i = 0; i < callers.length; i++) {
            ICXPTVault.Role held = vault.roleOf(callers[i]);
            if (held == allowed || held == also) continue;
            vm.prank(callers[i]);
            (bool success, bytes memory result) = address(vault).call(data);
            vm.assertFalse(success, "a call by another role");
            vm.assertEq(result, _wrongRole(callers[i], held), "WrongRole");
        }
    }

    function _assertPools(uint256 protocol, uint256 providerAmount, uint256 userAmount) internal view {
        ICXPTVault.RewardPool memory pools = vault.pools();
        vm.assertEq(pools.protocolAmount, protocol, "protocol pool");
        vm.assertEq(pools.providerAmount, providerAmount, "provider pool");
        vm.assertEq(pools.userAmount, userAmount, "user pool");
    }

    function _assertStatus(uint256 epoch, ICXPTVault.RootStatus status) internal view {
        vm.assertEq(uint8(vault.rootAt(epoch).status), uint8(status), "status");
    }

    function _assertPending(bool exists, uint256 epoch) internal view {
        (bool found, uint256 pending) = vault.pendingRoot();
        vm.assertEq(found, exists, "a pending root");
        vm.assertEq(pending, epoch, "its epoch");
    }

    function _assertNewest(bool exists, uint256 epoch) internal view {
        (bool found, uint256 newest) = vault.latestActiveEpoch();
        vm.assertEq(found, exists, "an active root");
        vm.assertEq(newest, epoch, "its epoch");
    }
}
