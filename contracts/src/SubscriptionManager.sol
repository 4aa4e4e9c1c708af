// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {FeePayer} from "./FeePayer.sol";
import {ICXPTVault} from "./interfaces/ICXPTVault.sol";
import {ISubscriptionManager} from "./interfaces/ISubscriptionManager.sol";
import {Intake} from "./libraries/Intake.sol";

/// @title Subscriptions to the Cxmpute network
/// @dev Words are in the interface. The owner, a timelock in production, can only add plans and set prices.
contract SubscriptionManager is ISubscriptionManager, FeePayer, Ownable2Step, ReentrancyGuardTransient {
    using Intake for IERC20;
    using SafeCast for uint256;

    struct Record {
        uint96 paid;
        uint40 start;
        uint40 end;
        uint32 plan;
    }

    uint256 private constant MAX_PERIODS = 24;

    Plan[] private _plans;
    mapping(address account => Record) private _records;

    constructor(ICXPTVault vault_, address owner_, Plan[] memory plans_) FeePayer(vault_) Ownable(owner_) {
        for (uint256 i = 0; i < plans_.length; i++) {
            _addPlan(plans_[i].price, plans_[i].period);
        }
    }

    // ---------------------------------------------------------------- owner

    /// @inheritdoc ISubscriptionManager
    function addPlan(uint96 price, uint32 period) external onlyOwner returns (uint256 plan) {
        return _addPlan(price, period);
    }

    /// @inheritdoc ISubscriptionManager
    function setPrice(uint256 plan, uint96 price) external onlyOwner {
        if (plan >= _plans.length) revert PlanNotSold(plan);
        emit PriceSet(plan, _plans[plan].price, price);
        _plans[plan].price = price;
    }

    // ---------------------------------------------------------------- subscribers

    /// @inheritdoc ISubscriptionManager
    function subscribe(uint256 plan, uint256 periods, uint256 maxTotal) external nonReentrant {
        _subscribe(plan, periods, maxTotal);
    }

    /// @inheritdoc ISubscriptionManager
    function subscribeWithPermit(
        uint256 plan,
        uint256 periods,
        uint256 maxTotal,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        token.usePermit(maxTotal, deadline, v, r, s);
        _subscribe(plan, periods, maxTotal);
    }

    /// @inheritdoc ISubscriptionManager
    function cancel() external {
        Record memory record = _records[msg.sender];
        if (block.timestamp >= record.end) revert NotSubscribed(msg.sender);
        emit Cancelled(msg.sender, record.plan, record.end);
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc ISubscriptionManager
    function subscriptions(address account) external view returns (Subscription memory) {
        Record memory record = _records[account];
        return Subscription(record.paid, record.start, record.end, block.timestamp < record.end);
    }

    /// @inheritdoc ISubscriptionManager
    function planOf(address account) external view returns (uint256 plan) {
        return _records[account].plan;
    }

    /// @inheritdoc ISubscriptionManager
    function plans(uint256 plan) external view returns (Plan memory) {
        return plan < _plans.length ? _plans[plan] : Plan(0, 0);
    }

    /// @inheritdoc ISubscriptionManager
    function planCount() external view returns (uint256) {
        return _plans.length;
    }

    // ---------------------------------------------------------------- inside

    function _addPlan(uint96 price, uint32 period) private returns (uint256 plan) {
        if (price == 0 || period == 0) revert InvalidPlan(price, period);
        plan = _plans.length;
        _plans.push(Plan(price, period));
        emit PlanAdded(plan, price, period);
    }

    function _subscribe(uint256 plan, uint256 periods, uint256 maxTotal) private {
        if (plan >= _plans.length || _plans[plan].price == 0) revert PlanNotSold(plan);
        if (periods == 0 || periods > MAX_PERIODS) revert InvalidPeriods(periods);
        uint256 total = _plans[plan].price * periods;
        if (total > maxTotal) revert TotalAboveMaximum(maxTotal, total);

        Record memory record = _records[msg.sender];
        uint256 end = record.end;
        if (block.timestamp < end) {
            if (plan != record.plan) revert OtherPlanRunning(record.plan, end);
        } else {
            record.plan = plan.toUint32();
            record.start = block.timestamp.toUint40();
            end = block.timestamp;
        }
        record.end = (end + _plans[plan].period * periods).toUint40();
        record.paid = total.toUint96();
        _records[msg.sender] = record;
        emit Subscribed(msg.sender, plan, total, record.start, record.end);

        token.pull(total);
        _payFees(total);
    }
}
