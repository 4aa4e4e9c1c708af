// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ICXPTVault} from "./interfaces/ICXPTVault.sol";
import {Intake} from "./libraries/Intake.sol";
import {VaultAdministration} from "./VaultAdministration.sol";
import {VaultState} from "./VaultState.sol";

/// @title The Vault of the Cxmpute network
/// @dev Words are in the interface, storage in VaultState, roles and settings in VaultAdministration. Here is what moves
/// money: deposits, roots, claims.
contract CXPTVault is VaultAdministration, ReentrancyGuardTransient {
    using Intake for IERC20;
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    /// @dev What claims of one call are checked against: the root, and what the newest active one promises and has not
    /// paid, less what this call has paid so far.
    struct Basis {
        bytes32 root;
        uint256 providerUnpaid;
        uint256 userUnpaid;
    }

    uint256 private constant DELAY_AFTER_ATTESTATION = 1 hours;

    constructor(Config memory config) VaultState(config.token, config.firstEpoch) VaultAdministration(config) {}

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
        token.usePermit(amount, deadline, v, r, s);
        _depositFees(amount);
    }

    /// @inheritdoc ICXPTVault
    function fundPool(uint8 pool, uint256 amount) external nonReentrant {
        _requirePool(pool);
        token.pull(amount);
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
        (uint256 providerLast, uint256 userLast) = _promises();
        uint256 providerIncrease =
            _checkIncrease(PROVIDER, providerLast, providerTotal, _deposits.provider, _maxEpochAmount.provider);
        uint256 userIncrease = _checkIncrease(USER, userLast, userTotal, _deposits.user, _maxEpochAmount.user);
        uint256 activatesAt = block.timestamp + _settings.activationDelay;

        _roots[epoch] = Publication(root, _openTerms(providerTotal, userTotal, activatesAt), manifestHash);
        _progress.nextEpoch += 1;
        emit RootPublished(
            epoch, root, manifestHash, providerTotal, userTotal, providerIncrease, userIncrease, activatesAt
        );
    }

    /// @inheritdoc ICXPTVault
    function attestRoot(uint256 epoch, bytes32 publication) external only(Role.Attester) whilePublishing {
        bytes32 expected = publicationHash(epoch); // reverts unless this root is pending
        Terms storage terms = _roots[epoch].terms;
        if (publication != expected) revert WrongPublication(expected, publication);
        if (_attested[publication][msg.sender]) revert AlreadyAttested(epoch, msg.sender);
        uint8 missing = terms.missing;
        if (missing == 0) revert AttestationsComplete(epoch);

        _attested[publication][msg.sender] = true;
        missing -= 1;
        terms.missing = missing;
        uint256 activatesAt = terms.activatesAt;
        uint256 earliest = block.timestamp + DELAY_AFTER_ATTESTATION;
        if (missing == 0 && earliest > activatesAt) {
            activatesAt = earliest;
            terms.activatesAt = earliest.toUint40();
        }
        emit RootAttested(epoch, msg.sender, publication, missing, activatesAt);
    }

    /// @inheritdoc ICXPTVault
    function revokeRoot(uint256 epoch, string calldata reason) external only(Role.Guardian) {
        _requirePending(epoch);
        uint256 providerTotal = promised(PROVIDER);
        uint256 userTotal = promised(USER);
        _roots[epoch].terms.status = RootStatus.Revoked;
        _progress.nextEpoch = epoch.toUint24();
        _settings.revocations += 1;
        emit RootRevoked(epoch, providerTotal - promised(PROVIDER), userTotal - promised(USER), reason);
    }

    /// @inheritdoc ICXPTVault
    function retireRoot(uint256 epoch) external only(Role.Admin) {
        if (!_isActive(_roots[epoch].terms)) revert RootNotActive(epoch);
        (, uint256 newest) = latestActiveEpoch();
        if (epoch == newest) revert RootStillNewest(epoch);
        _roots[epoch].terms.status = RootStatus.Retired;
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
        if (code == ClaimCode.Due) _pay(basis, epoch, pool, account, amount, cumulativeAmount);
        else if (code == ClaimCode.NothingDue) emit ClaimSkipped(0, account, code);
        else if (code == ClaimCode.InvalidPool) revert InvalidPool(pool);
        else if (code == ClaimCode.InvalidAccount) revert InvalidAccount(account);
        else if (code == ClaimCode.InvalidProof) revert InvalidProof(pool, account, cumulativeAmount);
        else revert PromiseExceeded(pool, _unpaid(basis, pool), amount);
    }

    /// @inheritdoc ICXPTVault
    function claimMany(uint256 epoch, ClaimItem[] calldata items) external nonReentrant returns (uint256 paid) {
        Basis memory basis = _openClaims(epoch);
        for (uint256 i = 0; i < items.length; i++) {
            ClaimItem calldata item = items[i];
            (uint256 amount, ClaimCode code) =
                _assess(basis, item.pool, item.account, item.cumulativeAmount, item.proof);
            if (code == ClaimCode.Due) {
                _pay(basis, epoch, item.pool, item.account, amount, item.cumulativeAmount);
                paid += amount;
            } else {
                emit ClaimSkipped(i, item.account, code);
            }
        }
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

    // ---------------------------------------------------------------- money out

    /// @inheritdoc ICXPTVault
    function withdrawProtocol(address to, uint256 amount) external nonReentrant only(Role.Treasurer) {
        uint256 available = _protocolAmount();
        if (amount > available) revert AmountTooLarge(available, amount);
        _deposits.withdrawn += amount.toUint96();
        emit ProtocolWithdrawn(to, amount);
        token.safeTransfer(to, amount);
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

    // ---------------------------------------------------------------- inside

    function _depositFees(uint256 amount) private {
        token.pull(amount);
        if (amount > type(uint96).max) revert DepositTooLarge(type(uint96).max, amount);
        uint256 providerAmount = amount * _settings.providerBp / ALL_BP;
        uint256 userAmount = amount * _settings.userBp / ALL_BP;
        uint256 protocolAmount = amount - providerAmount - userAmount;
        _deposits.protocol = _add(_deposits.protocol, protocolAmount);
        _deposits.provider = _add(_deposits.provider, providerAmount);
        _deposits.user = _add(_deposits.user, userAmount);
        emit FeesDeposited(msg.sender, amount, protocolAmount, providerAmount, userAmount);
    }

    function _add(uint96 sum, uint256 amount) private pure returns (uint96) {
        uint256 room = type(uint96).max - sum;
        if (amount > room) revert DepositTooLarge(room, amount);
        return sum + amount.toUint96();
    }

    function _requireNext(uint256 epoch, uint256 revocationCount) private view {
        (bool exists, uint256 pending) = pendingRoot();
        if (exists) revert RootPending(pending);
        if (epoch != _progress.nextEpoch) revert NotNextEpoch(_progress.nextEpoch, epoch);
        if (revocationCount != _settings.revocations) revert WrongRevocations(_settings.revocations, revocationCount);
    }

    function _checkIncrease(uint8 pool, uint256 last, uint256 total, uint256 everDeposited, uint256 limit)
        private
        pure
        returns (uint256 increase)
    {
        if (total < last) revert TotalFell(pool, last, total);
        increase = total - last;
        uint256 available = everDeposited - last;
        if (increase > available) revert PoolTooSmall(pool, available, increase);
        if (increase > limit) revert EpochLimitExceeded(pool, limit, increase);
    }

    /// @dev The casts of totals never fail: each is at most what was deposited.
    function _openTerms(uint256 providerTotal, uint256 userTotal, uint256 activatesAt)
        private
        view
        returns (Terms memory)
    {
        return Terms({
            providerTotal: providerTotal.toUint96(),
            userTotal: userTotal.toUint96(),
            activatesAt: activatesAt.toUint40(),
            missing: _settings.attestersRequired,
            status: RootStatus.Pending
        });
    }

    function _openClaims(uint256 epoch) private view returns (Basis memory basis) {
        Progress memory progress = _progress;
        if (block.timestamp < progress.claimsPausedUntil) revert ClaimsArePaused(progress.claimsPausedUntil);
        Terms memory terms = _roots[epoch].terms;
        if (!_isActive(terms)) revert RootNotActive(epoch);
        basis.root = _roots[epoch].root;

        // At most one root is pending, so the newest active one is the last or the one before it.
        uint256 last = progress.nextEpoch - 1;
        if (epoch != last) {
            terms = _roots[last].terms;
            if (!_isActive(terms)) terms = _roots[last - 1].terms;
        }
        basis.providerUnpaid = terms.providerTotal - progress.claimedProvider;
        basis.userUnpaid = terms.userTotal - progress.claimedUser;
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
        uint256 before = pool == PROVIDER ? _claimed[account].provider : _claimed[account].user;
        if (cumulativeAmount <= before) return (0, ClaimCode.NothingDue);
        amount = cumulativeAmount - before;
        code = amount > _unpaid(basis, pool) ? ClaimCode.PromiseExceeded : ClaimCode.Due;
    }

    function _unpaid(Basis memory basis, uint8 pool) private pure returns (uint256) {
        return pool == PROVIDER ? basis.providerUnpaid : basis.userUnpaid;
    }

    /// @dev The casts never fail: what is paid is at most a root's total, and that is 96 bits.
    function _pay(
        Basis memory basis,
        uint256 epoch,
        uint8 pool,
        address account,
        uint256 amount,
        uint256 cumulativeAmount
    ) private {
        if (pool == PROVIDER) {
            basis.providerUnpaid -= amount;
            _claimed[account].provider = cumulativeAmount.toUint96();
            _progress.claimedProvider += amount.toUint96();
        } else {
            basis.userUnpaid -= amount;
            _claimed[account].user = cumulativeAmount.toUint96();
            _progress.claimedUser += amount.toUint96();
        }
        emit Claimed(epoch, pool, account, amount, cumulativeAmount, msg.sender);
        token.safeTransfer(account, amount);
    }
}
