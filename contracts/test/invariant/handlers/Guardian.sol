// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../src/interfaces/ICXPTVault.sol";
import {Books} from "../Books.sol";
import {Player} from "./Player.sol";

/// @title Who revokes and pauses
contract Guardian is Player {
    constructor(Books books_) Player(books_, "guardian") {}

    /// @notice Takes the pending root back, or tries to where none is.
    function revoke(uint256 seed) external {
        uint256 pending = books.pending();
        if (pending == NONE && _roll(seed, "try", 4) != 0) return _idle();
        uint256 epoch = pending == NONE ? books.nextEpoch() - _roll(seed, "epoch", 2) : books.publication(pending).epoch;
        _revoke(seed, epoch, pending == NONE ? _error(ICXPTVault.RootNotPending.selector, epoch) : bytes(""));
    }

    /// @notice Takes the pending root back if it is wrong and attesters do not confirm it.
    function watch(uint256 seed) external {
        uint256 pending = books.pending();
        if (pending == NONE || books.publication(pending).sound) return _idle();
        if (uint256(books.publication(pending).root) % 2 == 0) return _idle();
        _revoke(seed, books.publication(pending).epoch, "");
    }

    function pauseOrResume(uint256 seed) external {
        bool paused = block.timestamp < books.claimsPausedUntil() || block.timestamp < books.publishingPausedUntil();
        if (paused ? _roll(seed, "resume", 8) != 0 : _roll(seed, "resume", 8) == 0) _resume(seed);
        else _pause(seed);
    }

    function _pause(uint256 seed) private {
        bool claims = _roll(seed, "kind", 2) == 0;
        uint256 began = claims ? books.claimsPauseBegan() : books.publishingPauseBegan();
        bytes memory refusal;
        if (began != 0 && block.timestamp < began + 44 days) {
            if (_roll(seed, "try", 4) != 0) return _idle();
            refusal = _error(ICXPTVault.PauseTooSoon.selector, began + 44 days);
        }
        bytes memory data = claims ? abi.encodeCall(vault.pauseClaims, ()) : abi.encodeCall(vault.pausePublishing, ());
        (bool paused,) = _do(_holder(ICXPTVault.Role.Guardian, seed), address(vault), data, refusal, "pause");
        if (!paused) return;
        if (claims) books.pauseClaims();
        else books.pausePublishing();
    }

    /// @notice By a guardian or the admin.
    function _resume(uint256 seed) private {
        bool claims = block.timestamp < books.claimsPausedUntil();
        bool publishing = block.timestamp < books.publishingPausedUntil();
        if (!claims && !publishing && _roll(seed, "try", 4) != 0) return _idle();
        ICXPTVault.Role role = _roll(seed, "role", 2) == 0 ? ICXPTVault.Role.Guardian : ICXPTVault.Role.Admin;
        if (!claims) claims = !publishing && _roll(seed, "kind", 2) == 0;
        bytes memory data = claims ? abi.encodeCall(vault.resumeClaims, ()) : abi.encodeCall(vault.resumePublishing, ());
        uint256 until = claims ? books.claimsPausedUntil() : books.publishingPausedUntil();
        bytes memory refusal = block.timestamp < until ? bytes("") : _error(ICXPTVault.NotPaused.selector);
        (bool resumed,) = _do(_holder(role, seed), address(vault), data, refusal, "resume");
        if (!resumed) return;
        if (claims) books.resumeClaims();
        else books.resumePublishing();
    }

    // ---------------------------------------------------------------- inside

    function _revoke(uint256 seed, uint256 epoch, bytes memory refusal) private {
        uint256 newest = books.newest();
        bytes memory data = abi.encodeCall(vault.revokeRoot, (epoch, "a reason"));
        (bool revoked,) = _do(_holder(ICXPTVault.Role.Guardian, seed), address(vault), data, refusal, "revokeRoot");
        if (!revoked) return;
        books.revoke();
        _assertAsBefore(books.beforePublication(newest));
    }

    /// @dev The Vault against what it said before the publication, and what came and went since.
    function _assertAsBefore(Books.Before memory before) private view {
        ICXPTVault.RewardPool memory pools = vault.pools();
        uint256 provider = before.pools.providerAmount + books.deposited(PROVIDER) - before.providerDeposited;
        uint256 user = before.pools.userAmount + books.deposited(USER) - before.userDeposited;
        uint256 protocol = before.pools.protocolAmount + books.protocolDeposited() - before.protocolDeposited
            - (books.withdrawn() - before.withdrawn);
        vm.assertEq(pools.providerAmount, provider, "a revoke restores the provider pool");
        vm.assertEq(pools.userAmount, user, "a revoke restores the user pool");
        vm.assertEq(pools.protocolAmount, protocol, "a revoke leaves the protocol's pool");
        vm.assertEq(vault.promised(PROVIDER), before.providerPromised, "a revoke restores what providers are promised");
        vm.assertEq(vault.promised(USER), before.userPromised, "a revoke restores what users are promised");
        vm.assertEq(vault.nextEpoch(), before.nextEpoch, "a revoke restores the next epoch");
    }
}
