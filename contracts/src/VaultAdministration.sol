// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ICXPTVault} from "./interfaces/ICXPTVault.sol";
import {VaultState} from "./VaultState.sol";

/// @title Who may do what in the Vault: roles, settings and pauses
/// @dev Moves no money. The admin of a production Vault is a timelock.
abstract contract VaultAdministration is VaultState {
    using SafeCast for uint256;

    uint256 internal constant ALL_BP = 10_000;
    uint256 private constant MAX_PROTOCOL_BP = 5_000;
    uint256 private constant MIN_DELAY = 1 hours;
    uint256 private constant MAX_DELAY = 20 hours;
    uint256 private constant PAUSE_LENGTH = 14 days;
    uint256 private constant PAUSE_INTERVAL = 44 days;

    modifier only(Role role) {
        _requireRole(role);
        _;
    }

    modifier onlyGuardianOrAdmin() {
        if (_roles[msg.sender] != Role.Guardian) _requireRole(Role.Admin);
        _;
    }

    modifier whilePublishing() {
        uint256 until = _settings.publishingPausedUntil;
        if (block.timestamp < until) revert PublishingIsPaused(until);
        _;
    }

    constructor(Config memory config) {
        _appoint(config.admin, Role.Admin);
        _appointAll(config.publishers, Role.Publisher);
        _appointAll(config.attesters, Role.Attester);
        _appointAll(config.guardians, Role.Guardian);
        _appointAll(config.treasurers, Role.Treasurer);
        if (config.attestersRequired > config.attesters.length) {
            revert InvalidAttestersRequired(config.attestersRequired);
        }
        _setSplit(config.protocolBp, config.providerBp, config.userBp);
        _setActivationDelay(config.activationDelay);
        _setAttestersRequired(config.attestersRequired);
        _setMaxEpochAmount(PROVIDER, config.maxProviderAmount);
        _setMaxEpochAmount(USER, config.maxUserAmount);
    }

    // ---------------------------------------------------------------- pauses

    /// @inheritdoc ICXPTVault
    function pauseClaims() external only(Role.Guardian) {
        uint40 until = _beginPause(_settings.claimsPauseBegan);
        _settings.claimsPauseBegan = block.timestamp.toUint40();
        _progress.claimsPausedUntil = until;
        emit ClaimsPaused(until);
    }

    /// @inheritdoc ICXPTVault
    function resumeClaims() external onlyGuardianOrAdmin {
        if (block.timestamp >= _progress.claimsPausedUntil) revert NotPaused();
        _progress.claimsPausedUntil = 0;
        emit ClaimsResumed();
    }

    /// @inheritdoc ICXPTVault
    function pausePublishing() external only(Role.Guardian) {
        uint40 until = _beginPause(_settings.publishingPauseBegan);
        _settings.publishingPauseBegan = block.timestamp.toUint40();
        _settings.publishingPausedUntil = until;
        emit PublishingPaused(until);
    }

    /// @inheritdoc ICXPTVault
    function resumePublishing() external onlyGuardianOrAdmin {
        if (block.timestamp >= _settings.publishingPausedUntil) revert NotPaused();
        _settings.publishingPausedUntil = 0;
        emit PublishingResumed();
    }

    // ---------------------------------------------------------------- settings

    /// @inheritdoc ICXPTVault
    function setSplit(uint16 protocolBp, uint16 providerBp, uint16 userBp) external only(Role.Admin) {
        _setSplit(protocolBp, providerBp, userBp);
    }

    /// @inheritdoc ICXPTVault
    function setActivationDelay(uint32 delay) external only(Role.Admin) {
        _setActivationDelay(delay);
    }

    /// @inheritdoc ICXPTVault
    function setMaxEpochAmount(uint8 pool, uint96 amount) external only(Role.Admin) {
        _setMaxEpochAmount(pool, amount);
    }

    /// @inheritdoc ICXPTVault
    function setAttestersRequired(uint8 number) external only(Role.Admin) {
        _setAttestersRequired(number);
    }

    /// @inheritdoc ICXPTVault
    function setRole(address account, Role role) external only(Role.Admin) {
        if (account == address(0) || account == msg.sender) revert RoleNotChangeable(account, _roles[account]);
        _setRole(account, role);
    }

    // ---------------------------------------------------------------- inside

    function _requireRole(Role role) private view {
        Role held = _roles[msg.sender];
        if (held != role) revert WrongRole(msg.sender, held);
    }

    function _beginPause(uint256 lastBegan) private view returns (uint40 until) {
        if (lastBegan != 0 && block.timestamp < lastBegan + PAUSE_INTERVAL) {
            revert PauseTooSoon(lastBegan + PAUSE_INTERVAL);
        }
        until = (block.timestamp + PAUSE_LENGTH).toUint40();
    }

    function _appointAll(address[] memory accounts, Role role) private {
        for (uint256 i = 0; i < accounts.length; i++) {
            _appoint(accounts[i], role);
        }
    }

    function _appoint(address account, Role role) private {
        if (account == address(0) || _roles[account] != Role.None) revert RoleNotChangeable(account, _roles[account]);
        _setRole(account, role);
    }

    function _setRole(address account, Role role) private {
        emit RoleSet(account, _roles[account], role);
        _roles[account] = role;
    }

    function _setSplit(uint16 protocolBp, uint16 providerBp, uint16 userBp) private {
        if (uint256(protocolBp) + providerBp + userBp != ALL_BP || protocolBp > MAX_PROTOCOL_BP) {
            revert InvalidSplit(protocolBp, providerBp, userBp);
        }
        Settings storage settings = _settings;
        emit SplitSet(settings.protocolBp, settings.providerBp, settings.userBp, protocolBp, providerBp, userBp);
        (settings.protocolBp, settings.providerBp, settings.userBp) = (protocolBp, providerBp, userBp);
    }

    function _setActivationDelay(uint32 delay) private {
        if (delay < MIN_DELAY || delay > MAX_DELAY) revert InvalidActivationDelay(delay);
        emit ActivationDelaySet(_settings.activationDelay, delay);
        _settings.activationDelay = delay;
    }

    function _setMaxEpochAmount(uint8 pool, uint96 amount) private {
        emit MaxEpochAmountSet(pool, maxEpochAmount(pool), amount);
        if (pool == PROVIDER) _maxEpochAmount.provider = amount;
        else _maxEpochAmount.user = amount;
    }

    function _setAttestersRequired(uint8 number) private {
        if (number == 0) revert InvalidAttestersRequired(number);
        emit AttestersRequiredSet(_settings.attestersRequired, number);
        _settings.attestersRequired = number;
    }
}
