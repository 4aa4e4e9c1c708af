// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFeePayer} from "./IFeePayer.sol";

/// @title Prepaid balances of the users of the Cxmpute network
/// @notice A user deposits CXPT and sets what may be charged in a day. The settler charges usage; all that is charged
/// becomes fees of the Vault in the same transaction, so the settler can take nothing for itself. A withdrawal is
/// requested, and due a day later; nobody can stop it.
/// @dev Amounts are base units of CXPT (10^-18) and fit 96 bits, days are UTC days, times are seconds since 1970.
/// Invariant: CXPT held >= sum of the balances = `totalBalance`. CXPT sent here by a plain transfer belongs to nobody and
/// stays.
interface IUsageEscrow is IFeePayer {
    event Deposited(address indexed account, uint256 amount, uint256 balance);
    event DailyLimitSet(address indexed account, uint256 oldLimit, uint256 newLimit);
    /// @notice An amount of zero: an earlier request is taken back.
    event WithdrawalRequested(address indexed account, uint256 amount, uint256 availableAt);
    /// @notice `amount` is less than `requested` where usage was charged meanwhile.
    event Withdrawn(address indexed account, uint256 requested, uint256 amount, uint256 balance);
    /// @notice One charge of a batch; `charged` is less than `asked` where balance or daily limit did not suffice.
    event UsageCharged(
        bytes32 indexed batchId, address indexed account, uint256 asked, uint256 charged, uint256 balance
    );
    event BatchSettled(bytes32 indexed batchId, address indexed settler, uint256 charged);
    event SettlerSet(address indexed oldSettler, address indexed newSettler);

    error NotSettler(address caller);
    error BatchAlreadySettled(bytes32 batchId);
    /// @notice Every account of a batch needs one amount.
    error LengthMismatch(uint256 accounts, uint256 amounts);
    error AmountTooLarge(uint256 available, uint256 given);
    error NoWithdrawalRequested(address account);
    error WithdrawalNotDue(uint256 availableAt);

    /// @notice Adds `amount` CXPT of the caller to its balance.
    function deposit(uint256 amount) external;

    /// @notice As `deposit`, with the caller's ERC-2612 permit. A permit that fails does not matter when the allowance
    /// suffices.
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Sets the most that may be charged from the caller in one UTC day, at once; zero until it is set. It is the
    /// caller's protection against a settler that lies. Twice the limit can be charged within a moment around midnight.
    function setDailyLimit(uint96 amount) external;

    /// @notice Asks for `amount` of the caller's balance, due a day from now, in place of any earlier request; zero takes
    /// that back. What is requested can be charged until it is withdrawn. A request does not lapse: once due, it can be
    /// withdrawn in any block, so who gives credit must not count on requested money.
    function requestWithdrawal(uint96 amount) external;

    /// @notice Pays the caller what it requested at least a day ago, or what is left of it.
    /// @return amount What was paid
    function withdraw() external returns (uint256 amount);

    /// @notice Charges usage; settler only, once for a batch id. Each account pays min(asked, balance, limit left), and the
    /// sum goes to the Vault as fees.
    /// @return charged The sum
    function settle(bytes32 batchId, address[] calldata accounts, uint256[] calldata amounts)
        external
        returns (uint256 charged);

    /// @notice Sets who may charge; owner only. The zero address: nobody.
    function setSettler(address newSettler) external;

    /// @notice Who may charge.
    function settler() external view returns (address);

    /// @notice What an account has here, requested or not.
    function balanceOf(address account) external view returns (uint256);

    /// @notice Sum of all balances.
    function totalBalance() external view returns (uint256);

    /// @notice The most that may be charged from an account in one UTC day.
    function dailyLimit(address account) external view returns (uint256);

    /// @notice What could be charged from an account now: min(balance, limit left today).
    function chargeable(address account) external view returns (uint256);

    /// @notice The open request of an account: how much, and when it is due; zero if there is none.
    function withdrawalOf(address account) external view returns (uint256 amount, uint256 availableAt);

    /// @notice Whether a batch was settled.
    function isSettled(bytes32 batchId) external view returns (bool);
}
