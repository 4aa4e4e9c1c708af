// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ISubscriptionManager} from "../../../src/interfaces/ISubscriptionManager.sol";
import {Books} from "../Books.sol";
import {Payer} from "./Payer.sol";

/// @title Customers who subscribe, renew, change plans and cancel
contract Subscriber is Payer {
    constructor(Books books_) Payer(books_, "subscriber") {}

    /// @notice The plan that is running, or any.
    function subscribe(uint256 seed) external {
        address account = _customer(seed);
        _subscribe(account, _wantedPlan(account, seed), 1 + _roll(seed, "periods", 24), NONE);
    }

    function subscribeWithPermit(uint256 seed) external {
        address account = _customer(seed);
        uint256 plan = _wantedPlan(account, seed);
        uint256 periods = 1 + _roll(seed, "periods", 24);
        uint256 total = periods * books.priceOf(plan);
        Permit memory permit = _signPermit(account, address(subscriptions), total, _kind(seed));
        bytes memory data = abi.encodeCall(
            subscriptions.subscribeWithPermit, (plan, periods, total, permit.deadline, permit.v, permit.r, permit.s)
        );
        bytes memory refusal = _refusal(account, plan, periods, total);
        if (refusal.length == 0) refusal = _permitRefusal(address(subscriptions), total, _kind(seed));
        (bool paid,) = _do(account, address(subscriptions), data, refusal, "subscribeWithPermit");
        if (paid) books.subscribe(account, plan, periods);
        _approveAgain(account, address(subscriptions));
    }

    /// @notice Any plan, any number of periods, a price that may be above what was agreed.
    function subscribeWrongly(uint256 seed) external wrongly {
        uint256 plan = _roll(seed, "plan", books.planCount() + 1);
        uint256 periods = _roll(seed, "periods", 30);
        uint256 total = periods * books.priceOf(plan);
        if (total != 0 && _roll(seed, "agreed", 3) == 0) total -= 1;
        _subscribe(_customer(seed), plan, periods, total);
    }

    function cancel(uint256 seed) external {
        address account = _customer(seed);
        bytes memory refusal = block.timestamp < books.subscribed(account).end
            ? bytes("")
            : abi.encodeWithSelector(ISubscriptionManager.NotSubscribed.selector, account);
        _do(account, address(subscriptions), abi.encodeCall(subscriptions.cancel, ()), refusal, "cancel");
    }

    // ---------------------------------------------------------------- inside

    function _subscribe(address account, uint256 plan, uint256 periods, uint256 maxTotal) private {
        bytes memory data = abi.encodeCall(subscriptions.subscribe, (plan, periods, maxTotal));
        bytes memory refusal = _refusal(account, plan, periods, maxTotal);
        (bool paid,) = _do(account, address(subscriptions), data, refusal, "subscribe");
        if (paid) books.subscribe(account, plan, periods);
    }

    function _wantedPlan(address account, uint256 seed) private view returns (uint256) {
        Books.Subscribed memory it = books.subscribed(account);
        return block.timestamp < it.end ? it.plan : _roll(seed, "plan", books.planCount());
    }

    function _refusal(address account, uint256 plan, uint256 periods, uint256 maxTotal)
        private
        view
        returns (bytes memory)
    {
        uint256 price = books.priceOf(plan);
        if (price == 0) return _error(ISubscriptionManager.PlanNotSold.selector, plan);
        if (periods == 0 || periods > 24) return _error(ISubscriptionManager.InvalidPeriods.selector, periods);
        if (price * periods > maxTotal) {
            return _error(ISubscriptionManager.TotalAboveMaximum.selector, maxTotal, price * periods);
        }
        Books.Subscribed memory it = books.subscribed(account);
        if (block.timestamp < it.end && plan != it.plan) {
            return _error(ISubscriptionManager.OtherPlanRunning.selector, it.plan, it.end);
        }
        return "";
    }
}
