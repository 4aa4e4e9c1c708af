// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {FeePayer} from "./FeePayer.sol";
import {ICXPTVault} from "./interfaces/ICXPTVault.sol";
import {IUsageEscrow} from "./interfaces/IUsageEscrow.sol";
import {Intake} from "./libraries/Intake.sol";

/// @title Prepaid balances of the users of the Cxmpute network
/// @dev Words are in the interface. The owner, a timelock in production, can only name the settler.
contract UsageEscrow is IUsageEscrow, FeePayer, Ownable2Step, ReentrancyGuardTransient {
    using Intake for IERC20;
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    struct Account {
        uint96 balance;
        uint96 requested;
        uint40 availableAt;
    }

    /// @dev `charged` counts on `day` (days since 1970) alone.
    struct Limit {
        uint96 daily;
        uint96 charged;
        uint32 day;
    }

    uint256 private constant WITHDRAWAL_DELAY = 1 days;

    /// @inheritdoc IUsageEscrow
    address public settler;
    /// @inheritdoc IUsageEscrow
    uint256 public totalBalance;
    /// @inheritdoc IUsageEscrow
    mapping(bytes32 batchId => bool) public isSettled;
    mapping(address account => Account) private _accounts;
    mapping(address account => Limit) private _limits;

    constructor(ICXPTVault vault_, address owner_, address settler_) FeePayer(vault_) Ownable(owner_) {
        _setSettler(settler_);
    }

    // ---------------------------------------------------------------- users

    /// @inheritdoc IUsageEscrow
    function deposit(uint256 amount) external nonReentrant {
        _deposit(amount);
    }

    /// @inheritdoc IUsageEscrow
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external nonReentrant {
        token.usePermit(amount, deadline, v, r, s);
        _deposit(amount);
    }

    /// @inheritdoc IUsageEscrow
    function setDailyLimit(uint96 amount) external {
        emit DailyLimitSet(msg.sender, _limits[msg.sender].daily, amount);
        _limits[msg.sender].daily = amount;
    }

    /// @inheritdoc IUsageEscrow
    function requestWithdrawal(uint96 amount) external {
        Account storage account = _accounts[msg.sender];
        if (amount > account.balance) revert AmountTooLarge(account.balance, amount);
        uint256 availableAt = amount == 0 ? 0 : block.timestamp + WITHDRAWAL_DELAY;
        account.requested = amount;
        account.availableAt = availableAt.toUint40();
        emit WithdrawalRequested(msg.sender, amount, availableAt);
    }

    /// @inheritdoc IUsageEscrow
    function withdraw() external nonReentrant returns (uint256 amount) {
        Account storage account = _accounts[msg.sender];
        uint256 requested = account.requested;
        if (requested == 0) revert NoWithdrawalRequested(msg.sender);
        if (block.timestamp < account.availableAt) revert WithdrawalNotDue(account.availableAt);
        amount = _min(requested, account.balance);
        account.requested = 0;
        account.availableAt = 0;
        account.balance -= amount.toUint96();
        totalBalance -= amount;
        emit Withdrawn(msg.sender, requested, amount, account.balance);
        token.safeTransfer(msg.sender, amount);
    }

    // ---------------------------------------------------------------- settler and owner

    /// @inheritdoc IUsageEscrow
    function settle(bytes32 batchId, address[] calldata accounts, uint256[] calldata amounts)
        external
        nonReentrant
        returns (uint256 charged)
    {
        if (msg.sender != settler) revert NotSettler(msg.sender);
        if (isSettled[batchId]) revert BatchAlreadySettled(batchId);
        if (accounts.length != amounts.length) revert LengthMismatch(accounts.length, amounts.length);
        isSettled[batchId] = true;
        for (uint256 i = 0; i < accounts.length; i++) {
            charged += _charge(batchId, accounts[i], amounts[i]);
        }
        totalBalance -= charged;
        emit BatchSettled(batchId, msg.sender, charged);
        if (charged != 0) _payFees(charged);
    }

    /// @inheritdoc IUsageEscrow
    function setSettler(address newSettler) external onlyOwner {
        _setSettler(newSettler);
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc IUsageEscrow
    function balanceOf(address account) external view returns (uint256) {
        return _accounts[account].balance;
    }

    /// @inheritdoc IUsageEscrow
    function dailyLimit(address account) external view returns (uint256) {
        return _limits[account].daily;
    }

    /// @inheritdoc IUsageEscrow
    function chargeable(address account) public view returns (uint256) {
        Limit memory limit = _limits[account];
        uint256 charged = limit.day == _today() ? limit.charged : 0;
        return charged < limit.daily ? _min(_accounts[account].balance, limit.daily - charged) : 0;
    }

    /// @inheritdoc IUsageEscrow
    function withdrawalOf(address account) external view returns (uint256 amount, uint256 availableAt) {
        return (_accounts[account].requested, _accounts[account].availableAt);
    }

    // ---------------------------------------------------------------- inside

    function _deposit(uint256 amount) private {
        token.pull(amount);
        Account storage account = _accounts[msg.sender];
        account.balance += amount.toUint96();
        totalBalance += amount;
        emit Deposited(msg.sender, amount, account.balance);
    }

    function _charge(bytes32 batchId, address user, uint256 asked) private returns (uint256 charged) {
        charged = _min(asked, chargeable(user));
        Account storage account = _accounts[user];
        if (charged != 0) {
            Limit storage limit = _limits[user];
            uint256 today = _today();
            if (limit.day != today) (limit.day, limit.charged) = (today.toUint32(), 0);
            limit.charged += charged.toUint96();
            account.balance -= charged.toUint96();
        }
        emit UsageCharged(batchId, user, asked, charged, account.balance);
    }

    function _setSettler(address newSettler) private {
        emit SettlerSet(settler, newSettler);
        settler = newSettler;
    }

    function _today() private view returns (uint256) {
        return block.timestamp / 1 days;
    }

    /// @dev With a branch, unlike OpenZeppelin's: the symbolic checks decide it in seconds.
    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
