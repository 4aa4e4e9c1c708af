// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ICXPTVault} from "./interfaces/ICXPTVault.sol";

/// @title What the Vault stores, and what follows from it
/// @dev Nothing here changes anything. Pools are derived (deposited - promised), so that a revocation restores them by
/// construction, and what is promised is the total of the newest root, so that nothing is counted twice.
abstract contract VaultState is ICXPTVault {
    struct Publication {
        bytes32 root;
        Terms terms;
        bytes32 manifestHash;
    }

    /// @dev One slot, read whole. Status is stored as Pending, Revoked or Retired; Active follows from time and
    /// confirmations.
    struct Terms {
        uint96 providerTotal;
        uint96 userTotal;
        uint40 activatesAt;
        uint8 missing;
        RootStatus status;
    }

    /// @dev One slot, read whole.
    struct Progress {
        uint96 claimedProvider;
        uint96 claimedUser;
        uint40 claimsPausedUntil;
        uint24 nextEpoch;
    }

    struct Deposits {
        uint96 protocol;
        uint96 withdrawn;
        uint96 provider;
        uint96 user;
    }

    struct Settings {
        uint16 protocolBp;
        uint16 providerBp;
        uint16 userBp;
        uint32 activationDelay;
        uint8 attestersRequired;
        uint32 revocations;
        uint40 publishingPausedUntil;
        uint40 publishingPauseBegan;
        uint40 claimsPauseBegan;
    }

    struct PoolPair {
        uint96 provider;
        uint96 user;
    }

    uint8 internal constant PROVIDER = 1;
    uint8 internal constant USER = 2;

    /// @inheritdoc ICXPTVault
    IERC20 public immutable token;
    /// @inheritdoc ICXPTVault
    uint24 public immutable firstEpoch;

    mapping(uint256 epoch => Publication) internal _roots;
    Progress internal _progress;
    mapping(address account => PoolPair) internal _claimed;
    Deposits internal _deposits;
    Settings internal _settings;
    PoolPair internal _maxEpochAmount;
    mapping(address account => Role) internal _roles;
    mapping(bytes32 publication => mapping(address attester => bool)) internal _attested;

    constructor(IERC20 token_, uint24 firstEpoch_) {
        if (address(token_).code.length == 0) revert NotAToken(address(token_));
        token = token_;
        firstEpoch = firstEpoch_;
        _progress.nextEpoch = firstEpoch_;
    }

    // ---------------------------------------------------------------- money

    /// @inheritdoc ICXPTVault
    function pools() external view returns (RewardPool memory) {
        return RewardPool(_protocolAmount(), _poolAmount(PROVIDER), _poolAmount(USER));
    }

    /// @inheritdoc ICXPTVault
    function deposited(uint8 pool) public view returns (uint256) {
        _requirePool(pool);
        return pool == PROVIDER ? _deposits.provider : _deposits.user;
    }

    /// @inheritdoc ICXPTVault
    function promised(uint8 pool) public view returns (uint256) {
        _requirePool(pool);
        (uint256 providerTotal, uint256 userTotal) = _promises();
        return pool == PROVIDER ? providerTotal : userTotal;
    }

    /// @inheritdoc ICXPTVault
    function claimedTotal(uint8 pool) public view returns (uint256) {
        _requirePool(pool);
        return pool == PROVIDER ? _progress.claimedProvider : _progress.claimedUser;
    }

    /// @inheritdoc ICXPTVault
    function claimed(uint8 pool, address account) public view returns (uint256) {
        _requirePool(pool);
        return pool == PROVIDER ? _claimed[account].provider : _claimed[account].user;
    }

    /// @inheritdoc ICXPTVault
    function liability(uint8 pool) public view returns (uint256) {
        return promised(pool) - claimedTotal(pool);
    }

    /// @inheritdoc ICXPTVault
    function surplus() public view returns (uint256) {
        return token.balanceOf(address(this)) - _protocolAmount() - _poolAmount(PROVIDER) - _poolAmount(USER)
            - liability(PROVIDER) - liability(USER);
    }

    // ---------------------------------------------------------------- roots

    /// @inheritdoc ICXPTVault
    function rootAt(uint256 epoch) external view returns (RootRecord memory) {
        Terms memory terms = _roots[epoch].terms;
        return RootRecord({
            root: _roots[epoch].root,
            manifestHash: _roots[epoch].manifestHash,
            providerTotal: terms.providerTotal,
            userTotal: terms.userTotal,
            activatesAt: terms.activatesAt,
            attestationsMissing: terms.missing,
            status: _isActive(terms) ? RootStatus.Active : terms.status
        });
    }

    /// @inheritdoc ICXPTVault
    function nextEpoch() external view returns (uint256) {
        return _progress.nextEpoch;
    }

    /// @inheritdoc ICXPTVault
    function pendingRoot() public view returns (bool exists, uint256 epoch) {
        uint256 next = _progress.nextEpoch;
        if (next == firstEpoch || _isActive(_roots[next - 1].terms)) return (false, 0);
        return (true, next - 1);
    }

    /// @inheritdoc ICXPTVault
    function latestActiveEpoch() public view returns (bool exists, uint256 epoch) {
        uint256 next = _progress.nextEpoch;
        if (next == firstEpoch) return (false, 0);
        if (_isActive(_roots[next - 1].terms)) return (true, next - 1);
        // At most one root is pending, so the one before it is active.
        return next - 1 == firstEpoch ? (false, 0) : (true, next - 2);
    }

    /// @inheritdoc ICXPTVault
    function revocations() external view returns (uint256) {
        return _settings.revocations;
    }

    /// @inheritdoc ICXPTVault
    function publicationHash(uint256 epoch) public view returns (bytes32) {
        _requirePending(epoch);
        Publication memory record = _roots[epoch];
        return keccak256(
            abi.encode(
                epoch,
                record.root,
                record.manifestHash,
                record.terms.providerTotal,
                record.terms.userTotal,
                _settings.revocations
            )
        );
    }

    /// @inheritdoc ICXPTVault
    function hasAttested(bytes32 publication, address attester) external view returns (bool) {
        return _attested[publication][attester];
    }

    // ---------------------------------------------------------------- settings

    /// @inheritdoc ICXPTVault
    function roleOf(address account) external view returns (Role) {
        return _roles[account];
    }

    /// @inheritdoc ICXPTVault
    function split() external view returns (uint256 protocolBp, uint256 providerBp, uint256 userBp) {
        return (_settings.protocolBp, _settings.providerBp, _settings.userBp);
    }

    /// @inheritdoc ICXPTVault
    function activationDelay() external view returns (uint256) {
        return _settings.activationDelay;
    }

    /// @inheritdoc ICXPTVault
    function maxEpochAmount(uint8 pool) public view returns (uint256) {
        _requirePool(pool);
        return pool == PROVIDER ? _maxEpochAmount.provider : _maxEpochAmount.user;
    }

    /// @inheritdoc ICXPTVault
    function attestersRequired() external view returns (uint256) {
        return _settings.attestersRequired;
    }

    /// @inheritdoc ICXPTVault
    function claimsPausedUntil() external view returns (uint256) {
        return _progress.claimsPausedUntil;
    }

    /// @inheritdoc ICXPTVault
    function publishingPausedUntil() external view returns (uint256) {
        return _settings.publishingPausedUntil;
    }

    // ---------------------------------------------------------------- inside

    /// @dev Totals of the newest root, pending or active.
    function _promises() internal view returns (uint256 providerTotal, uint256 userTotal) {
        uint256 next = _progress.nextEpoch;
        if (next == firstEpoch) return (0, 0);
        Terms memory newest = _roots[next - 1].terms;
        return (newest.providerTotal, newest.userTotal);
    }

    function _poolAmount(uint8 pool) internal view returns (uint256) {
        return deposited(pool) - promised(pool);
    }

    function _protocolAmount() internal view returns (uint256) {
        return _deposits.protocol - _deposits.withdrawn;
    }

    function _isActive(Terms memory terms) internal view returns (bool) {
        return terms.status == RootStatus.Pending && terms.missing == 0 && block.timestamp >= terms.activatesAt;
    }

    function _requirePending(uint256 epoch) internal view {
        (bool exists, uint256 pending) = pendingRoot();
        if (!exists || epoch != pending) revert RootNotPending(epoch);
    }

    function _requirePool(uint8 pool) internal pure {
        if (pool != PROVIDER && pool != USER) revert InvalidPool(pool);
    }
}
