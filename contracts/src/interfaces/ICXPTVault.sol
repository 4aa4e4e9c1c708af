// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title The Vault of the Cxmpute network
/// @notice Takes fees in CXPT, splits them into three pools and pays the provider and the user pool out against
/// Merkle roots, one root an epoch. A leaf is (pool, account, cumulative amount): what the account has earned since the
/// first epoch, so that a claim pays the difference to what it claimed before.
/// @dev Pools are 1 (provider) and 2 (user). Amounts are base units of CXPT (10^-18) and fit 96 bits. Times are seconds
/// since 1970. Invariants: balance >= sum of the pools + sum of what is promised and not claimed;
/// claimed <= promised <= deposited, for each pool.
interface ICXPTVault {
    /// @notice What an address may do. No address holds two roles.
    enum Role {
        None,
        Admin,
        Publisher,
        Attester,
        Guardian,
        Treasurer
    }

    /// @notice Where the root of an epoch stands. A revoked record stays readable until its epoch is published again.
    enum RootStatus {
        None,
        Pending,
        Active,
        Revoked,
        Retired
    }

    /// @notice What becomes of one item of a claim.
    enum ClaimCode {
        Due,
        NothingDue,
        InvalidPool,
        InvalidAccount,
        InvalidProof,
        PromiseExceeded
    }

    /// @notice What a new Vault starts with; a deployment needs no transaction by the admin.
    /// @param token The CXPT token
    /// @param admin Who changes settings and roles; a TimelockController in production
    /// @param firstEpoch The first epoch that may be published
    /// @param publishers Addresses that may publish roots
    /// @param attesters Addresses that may confirm roots; at least `attestersRequired`
    /// @param guardians Addresses that may revoke roots and pause
    /// @param treasurers Addresses that may withdraw the protocol's pool
    /// @param protocolBp Share of a fee, in base points, for the protocol (at most 5,000)
    /// @param providerBp Share of a fee, in base points, for the provider pool
    /// @param userBp Share of a fee, in base points, for the user pool; the three add up to 10,000
    /// @param activationDelay Seconds from publication to activation, 1 to 20 hours
    /// @param attestersRequired Confirmations that a root needs, at least 1
    /// @param maxProviderAmount Most that one epoch may promise from the provider pool
    /// @param maxUserAmount Most that one epoch may promise from the user pool
    struct Config {
        IERC20 token;
        address admin;
        uint24 firstEpoch;
        address[] publishers;
        address[] attesters;
        address[] guardians;
        address[] treasurers;
        uint16 protocolBp;
        uint16 providerBp;
        uint16 userBp;
        uint32 activationDelay;
        uint8 attestersRequired;
        uint96 maxProviderAmount;
        uint96 maxUserAmount;
    }

    /// @notice Money that is deposited and not yet promised (protocol: not yet withdrawn).
    struct RewardPool {
        uint256 protocolAmount;
        uint256 providerAmount;
        uint256 userAmount;
    }

    /// @notice The root of one epoch as it stands now. Totals are cumulative over all epochs.
    struct RootRecord {
        bytes32 root;
        bytes32 manifestHash;
        uint256 providerTotal;
        uint256 userTotal;
        uint256 activatesAt;
        uint256 attestationsMissing;
        RootStatus status;
    }

    /// @notice One claim of a batch.
    struct ClaimItem {
        uint8 pool;
        address account;
        uint256 cumulativeAmount;
        bytes32[] proof;
    }

    event FeesDeposited(
        address indexed payer, uint256 amount, uint256 protocolAmount, uint256 providerAmount, uint256 userAmount
    );
    event PoolFunded(address indexed payer, uint8 indexed pool, uint256 amount);
    event RootPublished(
        uint256 indexed epoch,
        bytes32 root,
        bytes32 manifestHash,
        uint256 providerTotal,
        uint256 userTotal,
        uint256 providerIncrease,
        uint256 userIncrease,
        uint256 activatesAt
    );
    /// @notice `activatesAt` holds once `missing` is zero; until then it is the earliest time.
    event RootAttested(
        uint256 indexed epoch, address indexed attester, bytes32 publicationHash, uint256 missing, uint256 activatesAt
    );
    event RootRevoked(uint256 indexed epoch, uint256 providerRefund, uint256 userRefund, string reason);
    event RootRetired(uint256 indexed epoch);
    event Claimed(
        uint256 indexed epoch,
        uint8 indexed pool,
        address indexed account,
        uint256 amount,
        uint256 cumulativeAmount,
        address caller
    );
    /// @notice An item of a batch, or a lone claim (index 0), that paid nothing.
    event ClaimSkipped(uint256 indexed index, address indexed account, ClaimCode code);
    event ProtocolWithdrawn(address indexed to, uint256 amount);
    event Rescued(address indexed token, address indexed to, uint256 amount);
    event ClaimsPaused(uint256 until);
    event ClaimsResumed();
    event PublishingPaused(uint256 until);
    event PublishingResumed();
    event SplitSet(
        uint256 oldProtocolBp,
        uint256 oldProviderBp,
        uint256 oldUserBp,
        uint256 protocolBp,
        uint256 providerBp,
        uint256 userBp
    );
    event ActivationDelaySet(uint256 oldDelay, uint256 newDelay);
    event MaxEpochAmountSet(uint8 indexed pool, uint256 oldAmount, uint256 newAmount);
    event AttestersRequiredSet(uint256 oldNumber, uint256 newNumber);
    event RoleSet(address indexed account, Role oldRole, Role newRole);

    /// @notice The caller's role does not allow this call.
    error WrongRole(address caller, Role held);
    /// @notice A role cannot go to the zero address, to an address that has one at construction, or change by its own holder.
    error RoleNotChangeable(address account, Role held);
    /// @notice The address is not a token with code.
    error NotAToken(address token);
    error InvalidPool(uint8 pool);
    /// @notice What was ever deposited into a pool would no longer fit 96 bits; `room` is what still does.
    error DepositTooLarge(uint256 room, uint256 amount);
    error NotNextEpoch(uint256 expected, uint256 given);
    /// @notice Another root waits for its activation.
    error RootPending(uint256 epoch);
    /// @notice The publication was made for another count of revocations.
    error WrongRevocations(uint256 expected, uint256 given);
    /// @notice A cumulative total is below that of the last root.
    error TotalFell(uint8 pool, uint256 last, uint256 given);
    /// @notice The increase is more than the pool holds.
    error PoolTooSmall(uint8 pool, uint256 available, uint256 increase);
    /// @notice The increase is more than one epoch may promise.
    error EpochLimitExceeded(uint8 pool, uint256 limit, uint256 increase);
    /// @notice The zero root promises money.
    error ZeroRoot();
    error RootNotPending(uint256 epoch);
    error RootNotActive(uint256 epoch);
    /// @notice No later root is active yet.
    error RootStillNewest(uint256 epoch);
    /// @notice The attester confirms something else than what is published.
    error WrongPublication(bytes32 expected, bytes32 given);
    error AlreadyAttested(uint256 epoch, address attester);
    /// @notice The root already has every confirmation that it needs.
    error AttestationsComplete(uint256 epoch);
    error InvalidAccount(address account);
    error InvalidProof(uint8 pool, address account, uint256 cumulativeAmount);
    /// @notice The claim would pay more than the newest active root promises and has not paid.
    error PromiseExceeded(uint8 pool, uint256 unpaid, uint256 amount);
    error AmountTooLarge(uint256 available, uint256 given);
    error ClaimsArePaused(uint256 until);
    error PublishingIsPaused(uint256 until);
    error NotPaused();
    /// @notice A pause of this kind may begin again at `earliest`.
    error PauseTooSoon(uint256 earliest);
    error InvalidSplit(uint256 protocolBp, uint256 providerBp, uint256 userBp);
    error InvalidActivationDelay(uint256 given);
    error InvalidAttestersRequired(uint256 given);

    /// @notice Pulls `amount` CXPT from the caller and splits it over the pools; the remainder goes to the protocol.
    function depositFees(uint256 amount) external;

    /// @notice As `depositFees`, with the caller's ERC-2612 permit. A permit that fails (someone may have used it
    /// already) does not matter when the allowance suffices.
    function depositFeesWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Pulls `amount` CXPT from the caller into one pool.
    function fundPool(uint8 pool, uint256 amount) external;

    /// @notice Publishes the root of the next epoch; publishers only. It pays once it is active.
    /// @param epoch Must be `nextEpoch`
    /// @param root Root of the claim tree; zero only while both totals are zero
    /// @param providerTotal Sum of the provider pool's cumulative amounts; never falls
    /// @param userTotal Sum of the user pool's cumulative amounts; never falls
    /// @param manifestHash Digest of the epoch's manifest
    /// @param revocationCount Must be the Vault's count, so that a signed publication dies with the next revocation
    function publishRoot(
        uint256 epoch,
        bytes32 root,
        uint256 providerTotal,
        uint256 userTotal,
        bytes32 manifestHash,
        uint256 revocationCount
    ) external;

    /// @notice Confirms the pending root; attesters only, each once. The last confirmation needed sets the time of
    /// activation: max(publication + delay, now + 1 hour).
    /// @param publication keccak256(abi.encode(epoch, root, manifestHash, providerTotal, userTotal, revocations))
    function attestRoot(uint256 epoch, bytes32 publication) external;

    /// @notice Takes a root back that is not active yet; guardians only, also while paused. The pools are then as if it
    /// had never been published.
    function revokeRoot(uint256 epoch, string calldata reason) external;

    /// @notice Ends an active root once a later one is active; admin only.
    function retireRoot(uint256 epoch) external;

    /// @notice Pays `account` what its leaf of an active root promises and it has not claimed. Anyone may call it.
    /// Nothing due pays nothing and emits `ClaimSkipped`.
    /// @return amount What was paid
    function claim(uint256 epoch, uint8 pool, address account, uint256 cumulativeAmount, bytes32[] calldata proof)
        external
        returns (uint256 amount);

    /// @notice Claims for many. A bad item is skipped with a code and does not sink the rest.
    /// @return amount What was paid in all
    function claimMany(uint256 epoch, ClaimItem[] calldata items) external returns (uint256 amount);

    /// @notice Pays from the protocol's pool; treasurers only.
    function withdrawProtocol(address to, uint256 amount) external;

    /// @notice Stops claims for 14 days at most; guardians only, at most once in 44 days.
    function pauseClaims() external;

    /// @notice Ends a pause of claims; guardians and the admin.
    function resumeClaims() external;

    /// @notice Stops publishing and attesting for 14 days at most; guardians only, at most once in 44 days. A root that
    /// is confirmed still activates unless it is revoked.
    function pausePublishing() external;

    /// @notice Ends a pause of publishing; guardians and the admin.
    function resumePublishing() external;

    /// @notice Sets how later deposits are split, in base points that add up to 10,000; admin only.
    function setSplit(uint16 protocolBp, uint16 providerBp, uint16 userBp) external;

    /// @notice Sets the delay of later publications, 1 to 20 hours in seconds; admin only.
    function setActivationDelay(uint32 delay) external;

    /// @notice Sets the most that one epoch may promise from a pool; admin only.
    function setMaxEpochAmount(uint8 pool, uint96 amount) external;

    /// @notice Sets how many confirmations later publications need, at least 1; admin only.
    function setAttestersRequired(uint8 number) external;

    /// @notice Gives an address a role in place of the one it had; admin only, and not for itself, so that there is
    /// always an admin. Removing an attester does not undo its confirmations.
    function setRole(address account, Role role) external;

    /// @notice Sends out tokens that came here by mistake; admin only. Of CXPT at most `surplus`.
    function rescue(IERC20 stray, address to, uint256 amount) external;

    /// @notice The CXPT token.
    function token() external view returns (IERC20);

    /// @notice The first epoch of this Vault.
    function firstEpoch() external view returns (uint24);

    /// @notice The role of an address.
    function roleOf(address account) external view returns (Role);

    /// @notice Money not yet promised, by pool: deposited - promised, and the protocol's deposited - withdrawn.
    function pools() external view returns (RewardPool memory);

    /// @notice All that was ever deposited into a pool.
    function deposited(uint8 pool) external view returns (uint256);

    /// @notice Total of the newest root, pending or active.
    function promised(uint8 pool) external view returns (uint256);

    /// @notice All that was ever paid from a pool.
    function claimedTotal(uint8 pool) external view returns (uint256);

    /// @notice All that an account was ever paid from a pool.
    function claimed(uint8 pool, address account) external view returns (uint256);

    /// @notice What is promised and not yet paid: promised - claimed.
    function liability(uint8 pool) external view returns (uint256);

    /// @notice CXPT held above pools and liabilities.
    function surplus() external view returns (uint256);

    /// @notice What a claim with these arguments would pay now, and why if nothing. Reverts while claims are paused or
    /// the root is not active.
    function claimable(uint256 epoch, uint8 pool, address account, uint256 cumulativeAmount, bytes32[] calldata proof)
        external
        view
        returns (uint256 amount, ClaimCode code);

    /// @notice The root of an epoch as it stands now.
    function rootAt(uint256 epoch) external view returns (RootRecord memory);

    /// @notice The only epoch that may be published next.
    function nextEpoch() external view returns (uint256);

    /// @notice The epoch whose root waits for its activation, if any.
    function pendingRoot() external view returns (bool exists, uint256 epoch);

    /// @notice The newest epoch whose root is active, if any.
    function latestActiveEpoch() external view returns (bool exists, uint256 epoch);

    /// @notice How many roots were ever revoked.
    function revocations() external view returns (uint256);

    /// @notice What attesters of the pending root confirm.
    function publicationHash(uint256 epoch) external view returns (bytes32);

    /// @notice Whether an attester has confirmed a publication.
    function hasAttested(bytes32 publication, address attester) external view returns (bool);

    /// @notice The split of fees in base points.
    function split() external view returns (uint256 protocolBp, uint256 providerBp, uint256 userBp);

    /// @notice Seconds from publication to activation.
    function activationDelay() external view returns (uint256);

    /// @notice The most that one epoch may promise from a pool.
    function maxEpochAmount(uint8 pool) external view returns (uint256);

    /// @notice Confirmations that the next publication will need.
    function attestersRequired() external view returns (uint256);

    /// @notice Claims are paused before this time.
    function claimsPausedUntil() external view returns (uint256);

    /// @notice Publishing and attesting are paused before this time.
    function publishingPausedUntil() external view returns (uint256);
}
