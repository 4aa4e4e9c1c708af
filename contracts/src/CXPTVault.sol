// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ICXPTVault} from "./interfaces/ICXPTVault.sol";

/// @title The Vault of the Cxmpute network
/// @dev Words are in the interface. Pools are derived (deposited - promised), so that a revocation restores them by
/// construction, and what is promised is the total of the newest root, so that nothing is counted twice.
contract CXPTVault is ICXPTVault, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev Status is stored as Pending, Revoked or Retired; Active follows from time and confirmations.
    struct Publication {
        bytes32 root;
        uint96 providerTotal;
        uint96 userTotal;
        uint40 activatesAt;
        uint8 missing;
        RootStatus status;
        bytes32 manifestHash;
    }

    /// @dev One slot, because a claim needs all of it.
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

    /// @dev What every item of one batch is checked against.
    struct Basis {
        bytes32 root;
        uint256 providerTotal;
        uint256 userTotal;
    }

    uint8 private constant PROVIDER = 1;
    uint8 private constant USER = 2;
    uint256 private constant ALL_BP = 10_000;
    uint256 private constant MAX_PROTOCOL_BP = 5_000;
    uint256 private constant MIN_DELAY = 1 hours;
    uint256 private constant MAX_DELAY = 20 hours;
    uint256 private constant DELAY_AFTER_ATTESTATION = 1 hours;
    uint256 private constant PAUSE_LENGTH = 14 days;
    uint256 private constant PAUSE_INTERVAL = 44 days;

    /// @inheritdoc ICXPTVault
    IERC20 public immutable token;
    /// @inheritdoc ICXPTVault
    uint24 public immutable firstEpoch;

    mapping(uint256 epoch => Publication) private _roots;
    Progress private _progress;
    mapping(address account => PoolPair) private _claimed;
    Deposits private _deposits;
    Settings private _settings;
    PoolPair private _maxEpochAmount;
    mapping(address account => Role) private _roles;
    mapping(bytes32 publication => mapping(address attester => bool)) private _attested;

    modifier only(Role role) {
        if (_roles[msg.sender] != role) revert WrongRole(msg.sender, _roles[msg.sender]);
        _;
    }

    modifier onlyGuardianOrAdmin() {
        Role held = _roles[msg.sender];
        if (held != Role.Guardian && held != Role.Admin) revert WrongRole(msg.sender, held);
        _;
    }

    modifier whilePublishing() {
        uint256 until = _settings.publishingPausedUntil;
        if (block.timestamp < until) revert PublishingIsPaused(until);
        _;
    }

    constructor(Config memory config) {
        if (address(config.token).code.length == 0) revert NotAToken(address(config.token));
        token = config.token;
        firstEpoch = config.firstEpoch;
        _progress.nextEpoch = config.firstEpoch;
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

    // ---------------------------------------------------------------- money in

    /// @inheritdoc ICXPTVault
    function depositFees(uint256 amount) external nonReentrant {
        _depositFees(amount);
    }

    /// @inheritdoc ICXPTVault
    function depositFeesWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        nonReentrant
    {
        // A permit is public once sent: whoever uses it first must not be able to make this call fail.
        try IERC20Permit(address(token)).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _depositFees(amount);
    }

    /// @inheritdoc ICXPTVault
    function fundPool(uint8 pool, uint256 amount) external nonReentrant {
        _requirePool(pool);
        _pull(amount);
        if (pool == PROVIDER) _deposits.provider = _add(_deposits.provider, amount);
        else _deposits.user = _add(_deposits.user, amount);
        emit PoolFunded(msg.sender, pool, amount);
    }

    // ---------------------------------------------------------------- roots

    /// @inheritdoc ICXPTVault
    function publishRoot(
        uint256 epoch,
        bytes32 root,
        uint256 providerTotal,
        uint256 userTotal,
        bytes32 manifestHash,
        uint256 revocationCount
    ) external only(Role.Publisher) whilePublishing {
        _requireNext(epoch, revocationCount);
        if (root == 0 && (providerTotal != 0 || userTotal != 0)) revert ZeroRoot();
        uint256 providerIncrease = _checkIncrease(PROVIDER, providerTotal);
        uint256 userIncrease = _checkIncrease(USER, userTotal);
        uint256 activatesAt = block.timestamp + _settings.activationDelay;

        // The totals fit 96 bits: each is at most what was deposited.
        Publication storage record = _roots[epoch];
        record.root = root;
        record.manifestHash = manifestHash;
        record.providerTotal = uint96(providerTotal);
        record.userTotal = uint96(userTotal);
        record.activatesAt = uint40(activatesAt);
        record.missing = _settings.attestersRequired;
        record.status = RootStatus.Pending;
        _progress.nextEpoch += 1;
        emit RootPublished(
            epoch, root, manifestHash, providerTotal, userTotal, providerIncrease, userIncrease, activatesAt
        );
    }

    /// @inheritdoc ICXPTVault
    function attestRoot(uint256 epoch, bytes32 publication) external only(Role.Attester) whilePublishing {
        _requirePending(epoch);
        Publication storage record = _roots[epoch];
        bytes32 expected = publicationHash(epoch);
        if (publication != expected) revert WrongPublication(expected, publication);
        if (_attested[publication][msg.sender]) revert AlreadyAttested(epoch, msg.sender);
        uint8 missing = record.missing;
        if (missing == 0) revert AttestationsComplete(epoch);

        _attested[publication][msg.sender] = true;
        missing -= 1;
        record.missing = missing;
        uint256 activatesAt = record.activatesAt;
        uint256 earliest = block.timestamp + DELAY_AFTER_ATTESTATION;
        if (missing == 0 && earliest > activatesAt) {
            activatesAt = earliest;
            record.activatesAt = uint40(earliest);
        }
        emit RootAttested(epoch, msg.sender, publication, missing, activatesAt);
    }

    /// @inheritdoc ICXPTVault
    function revokeRoot(uint256 epoch, string calldata reason) external only(Role.Guardian) {
        _requirePending(epoch);
        uint256 providerTotal = promised(PROVIDER);
        uint256 userTotal = promised(USER);
        _roots[epoch].status = RootStatus.Revoked;
        _progress.nextEpoch = uint24(epoch);
        _settings.revocations += 1;
        emit RootRevoked(epoch, providerTotal - promised(PROVIDER), userTotal - promised(USER), reason);
    }

    /// @inheritdoc ICXPTVault
    function retireRoot(uint256 epoch) external only(Role.Admin) {
        if (!_isActive(_roots[epoch])) revert RootNotActive(epoch);
        (, uint256 newest) = latestActiveEpoch();
        if (epoch == newest) revert RootStillNewest(epoch);
        _roots[epoch].status = RootStatus.Retired;
        emit RootRetired(epoch);
    }

    // ---------------------------------------------------------------- claims

    /// @inheritdoc ICXPTVault
    function claim(uint256 epoch, uint8 pool, address account, uint256 cumulativeAmount, bytes32[] calldata proof)
        external
        nonReentrant
        returns (uint256 amount)
    {
        Basis memory basis = _openClaims(epoch);
        ClaimCode code;
        (amount, code) = _assess(basis, pool, account, cumulativeAmount, proof);
        if (code == ClaimCode.InvalidPool) revert InvalidPool(pool);
        if (code == ClaimCode.InvalidAccount) revert InvalidAccount(account);
        if (code == ClaimCode.InvalidProof) revert InvalidProof(pool, account, cumulativeAmount);
        if (code == ClaimCode.PromiseExceeded) revert PromiseExceeded(pool, _unpaid(basis, pool), amount);
        if (code == ClaimCode.NothingDue) emit ClaimSkipped(0, account, code);
        else _pay(epoch, pool, account, amount, cumulativeAmount);
    }

    /// @inheritdoc ICXPTVault
    function claimMany(uint256 epoch, ClaimItem[] calldata items) external nonReentrant returns (uint256 paid) {
        Basis memory basis = _openClaims(epoch);
        for (uint256 i = 0; i < items.length; i++) {
            ClaimItem calldata item = items[i];
            (uint256 amount, ClaimCode code) =
                _assess(basis, item.pool, item.account, item.cumulativeAmount, item.proof);
            if (code == ClaimCode.Due) {
                _pay(epoch, item.pool, item.account, amount, item.cumulativeAmount);
                paid += amount;
            } else {
                emit ClaimSkipped(i, item.account, code);
            }
        }
    }

    // ---------------------------------------------------------------- roles of people

    /// @inheritdoc ICXPTVault
    function withdrawProtocol(address to, uint256 amount) external nonReentrant only(Role.Treasurer) {
        uint256 available = _protocolAmount();
        if (amount > available) revert AmountTooLarge(available, amount);
        _deposits.withdrawn += uint96(amount);
        emit ProtocolWithdrawn(to, amount);
        token.safeTransfer(to, amount);
    }

    /// @inheritdoc ICXPTVault
    function pauseClaims() external only(Role.Guardian) {
        uint40 until = _beginPause(_settings.claimsPauseBegan);
        _settings.claimsPauseBegan = uint40(block.timestamp);
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
        _settings.publishingPauseBegan = uint40(block.timestamp);
        _settings.publishingPausedUntil = until;
        emit PublishingPaused(until);
    }

    /// @inheritdoc ICXPTVault
    function resumePublishing() external onlyGuardianOrAdmin {
        if (block.timestamp >= _settings.publishingPausedUntil) revert NotPaused();
        _settings.publishingPausedUntil = 0;
        emit PublishingResumed();
    }

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
        _requirePool(pool);
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

    /// @inheritdoc ICXPTVault
    function rescue(IERC20 stray, address to, uint256 amount) external nonReentrant only(Role.Admin) {
        if (address(stray) == address(token)) {
            uint256 available = surplus();
            if (amount > available) revert AmountTooLarge(available, amount);
        }
        emit Rescued(address(stray), to, amount);
        stray.safeTransfer(to, amount);
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc ICXPTVault
    function roleOf(address account) external view returns (Role) {
        return _roles[account];
    }

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
        uint256 next = _progress.nextEpoch;
        if (next == firstEpoch) return 0;
        Publication storage record = _roots[next - 1];
        return pool == PROVIDER ? record.providerTotal : record.userTotal;
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

    /// @inheritdoc ICXPTVault
    function claimable(uint256 epoch, uint8 pool, address account, uint256 cumulativeAmount, bytes32[] calldata proof)
        external
        view
        returns (uint256 amount, ClaimCode code)
    {
        (amount, code) = _assess(_openClaims(epoch), pool, account, cumulativeAmount, proof);
        if (code != ClaimCode.Due) amount = 0;
    }

    /// @inheritdoc ICXPTVault
    function rootAt(uint256 epoch) external view returns (RootRecord memory) {
        Publication storage record = _roots[epoch];
        return RootRecord({
            root: record.root,
            manifestHash: record.manifestHash,
            providerTotal: record.providerTotal,
            userTotal: record.userTotal,
            activatesAt: record.activatesAt,
            attestationsMissing: record.missing,
            status: _isActive(record) ? RootStatus.Active : record.status
        });
    }

    /// @inheritdoc ICXPTVault
    function nextEpoch() external view returns (uint256) {
        return _progress.nextEpoch;
    }

    /// @inheritdoc ICXPTVault
    function pendingRoot() public view returns (bool exists, uint256 epoch) {
        uint256 next = _progress.nextEpoch;
        if (next == firstEpoch || _isActive(_roots[next - 1])) return (false, 0);
        return (true, next - 1);
    }

    /// @inheritdoc ICXPTVault
    function latestActiveEpoch() public view returns (bool exists, uint256 epoch) {
        uint256 next = _progress.nextEpoch;
        if (next == firstEpoch) return (false, 0);
        if (_isActive(_roots[next - 1])) return (true, next - 1);
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
        Publication storage record = _roots[epoch];
        return keccak256(
            abi.encode(
                epoch,
                record.root,
                record.manifestHash,
                record.providerTotal,
                record.userTotal,
                _settings.revocations
            )
        );
    }

    /// @inheritdoc ICXPTVault
    function hasAttested(bytes32 publication, address attester) external view returns (bool) {
        return _attested[publication][attester];
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

    function _depositFees(uint256 amount) private {
        _pull(amount);
        uint256 providerAmount = amount * _settings.providerBp / ALL_BP;
        uint256 userAmount = amount * _settings.userBp / ALL_BP;
        uint256 protocolAmount = amount - providerAmount - userAmount;
        _deposits.protocol = _add(_deposits.protocol, protocolAmount);
        _deposits.provider = _add(_deposits.provider, providerAmount);
        _deposits.user = _add(_deposits.user, userAmount);
        emit FeesDeposited(msg.sender, amount, protocolAmount, providerAmount, userAmount);
    }

    function _pull(uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        uint256 balance = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - balance;
        if (received != amount) revert WrongAmountReceived(amount, received);
    }

    function _add(uint96 sum, uint256 amount) private pure returns (uint96) {
        uint256 cumulative = sum + amount;
        if (cumulative > type(uint96).max) revert DepositTooLarge(cumulative);
        return uint96(cumulative);
    }

    function _requireNext(uint256 epoch, uint256 revocationCount) private view {
        (bool exists, uint256 pending) = pendingRoot();
        if (exists) revert RootPending(pending);
        if (epoch != _progress.nextEpoch) revert NotNextEpoch(_progress.nextEpoch, epoch);
        if (revocationCount != _settings.revocations) revert WrongRevocations(_settings.revocations, revocationCount);
    }

    function _checkIncrease(uint8 pool, uint256 total) private view returns (uint256 increase) {
        uint256 last = promised(pool);
        if (total < last) revert TotalFell(pool, last, total);
        increase = total - last;
        uint256 available = _poolAmount(pool);
        if (increase > available) revert PoolTooSmall(pool, available, increase);
        uint256 limit = maxEpochAmount(pool);
        if (increase > limit) revert EpochLimitExceeded(pool, limit, increase);
    }

    function _openClaims(uint256 epoch) private view returns (Basis memory basis) {
        uint256 until = _progress.claimsPausedUntil;
        if (block.timestamp < until) revert ClaimsArePaused(until);
        Publication storage record = _roots[epoch];
        if (!_isActive(record)) revert RootNotActive(epoch);
        (, uint256 newest) = latestActiveEpoch();
        Publication storage bound = _roots[newest];
        basis = Basis(record.root, bound.providerTotal, bound.userTotal);
    }

    function _assess(
        Basis memory basis,
        uint8 pool,
        address account,
        uint256 cumulativeAmount,
        bytes32[] calldata proof
    ) private view returns (uint256 amount, ClaimCode code) {
        if (pool != PROVIDER && pool != USER) return (0, ClaimCode.InvalidPool);
        if (account == address(0)) return (0, ClaimCode.InvalidAccount);
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(pool, account, cumulativeAmount))));
        if (!MerkleProof.verifyCalldata(proof, basis.root, leaf)) return (0, ClaimCode.InvalidProof);
        uint256 before = claimed(pool, account);
        if (cumulativeAmount <= before) return (0, ClaimCode.NothingDue);
        amount = cumulativeAmount - before;
        code = amount > _unpaid(basis, pool) ? ClaimCode.PromiseExceeded : ClaimCode.Due;
    }

    function _unpaid(Basis memory basis, uint8 pool) private view returns (uint256) {
        return (pool == PROVIDER ? basis.providerTotal : basis.userTotal) - claimedTotal(pool);
    }

    /// @dev The casts fit: what is paid is at most a root's total, and that is 96 bits.
    function _pay(uint256 epoch, uint8 pool, address account, uint256 amount, uint256 cumulativeAmount) private {
        if (pool == PROVIDER) {
            _claimed[account].provider = uint96(cumulativeAmount);
            _progress.claimedProvider += uint96(amount);
        } else {
            _claimed[account].user = uint96(cumulativeAmount);
            _progress.claimedUser += uint96(amount);
        }
        emit Claimed(epoch, pool, account, amount, cumulativeAmount, msg.sender);
        token.safeTransfer(account, amount);
    }

    function _poolAmount(uint8 pool) private view returns (uint256) {
        return deposited(pool) - promised(pool);
    }

    function _protocolAmount() private view returns (uint256) {
        return _deposits.protocol - _deposits.withdrawn;
    }

    function _isActive(Publication storage record) private view returns (bool) {
        return
            record.status == RootStatus.Pending && record.missing == 0 && block.timestamp >= record.activatesAt;
    }

    function _requirePending(uint256 epoch) private view {
        (bool exists, uint256 pending) = pendingRoot();
        if (!exists || epoch != pending) revert RootNotPending(epoch);
    }

    function _requirePool(uint8 pool) private pure {
        if (pool != PROVIDER && pool != USER) revert InvalidPool(pool);
    }

    function _beginPause(uint256 lastBegan) private view returns (uint40 until) {
        if (lastBegan != 0 && block.timestamp < lastBegan + PAUSE_INTERVAL) {
            revert PauseTooSoon(lastBegan + PAUSE_INTERVAL);
        }
        until = uint40(block.timestamp + PAUSE_LENGTH);
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
        emit SplitSet(
            settings.protocolBp, settings.providerBp, settings.userBp, protocolBp, providerBp, userBp
        );
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
