// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFeePayer} from "./IFeePayer.sol";

/// @title Subscriptions to the Cxmpute network
/// @notice Sells time on plans for CXPT. What is paid becomes fees of the Vault in the same transaction; this contract
/// holds none of it. Nothing that is paid for can be taken away: not by the owner, not by `cancel`.
/// @dev Prices are base units of CXPT (10^-18) for one period, periods are seconds, times are seconds since 1970.
interface ISubscriptionManager is IFeePayer {
    /// @notice What can be bought. A price of zero: not sold at present. The period of a plan never changes.
    struct Plan {
        uint96 price;
        uint32 period;
    }

    /// @notice An account's subscription as it stands now.
    /// @param amount The last payment
    /// @param startTime When the unbroken time on this plan began
    /// @param endTime When it ends; at that second it is over
    /// @param isActive Whether it is running
    struct Subscription {
        uint256 amount;
        uint256 startTime;
        uint256 endTime;
        bool isActive;
    }

    event PlanAdded(uint256 indexed plan, uint256 price, uint256 period);
    event PriceSet(uint256 indexed plan, uint256 oldPrice, uint256 newPrice);
    /// @notice `start` is that of the unbroken time, so a renewal repeats it; `end` is the new end.
    event Subscribed(address indexed account, uint256 indexed plan, uint256 paid, uint256 start, uint256 end);
    /// @notice The account does not wish to renew. Its time still runs to `end`.
    event Cancelled(address indexed account, uint256 indexed plan, uint256 end);

    /// @notice A plan needs a price and a period above zero.
    error InvalidPlan(uint256 price, uint256 period);
    /// @notice The plan does not exist, or has no price at present.
    error PlanNotSold(uint256 plan);
    /// @notice One payment buys 1 to 24 periods.
    error InvalidPeriods(uint256 periods);
    /// @notice The price is above what the caller agreed to.
    error TotalAboveMaximum(uint256 maxTotal, uint256 total);
    /// @notice Another plan may begin once this one has ended.
    error OtherPlanRunning(uint256 plan, uint256 end);
    /// @notice There is nothing running that could be cancelled.
    error NotSubscribed(address account);

    /// @notice Adds a plan; owner only.
    /// @return plan Its number; plans are counted from 0
    function addPlan(uint96 price, uint32 period) external returns (uint256 plan);

    /// @notice Sets what later payments cost, zero to stop selling; owner only. Paid time is not touched.
    function setPrice(uint256 plan, uint96 price) external;

    /// @notice Buys `periods` (1 to 24) of a plan for the caller, who also pays. Before the end of a subscription to the
    /// same plan this extends it; after the end a new one begins now.
    /// @param maxTotal Most that the caller agrees to pay: a price that rises meanwhile takes no more
    function subscribe(uint256 plan, uint256 periods, uint256 maxTotal) external;

    /// @notice As `subscribe`, with the caller's ERC-2612 permit over `maxTotal`. A permit that fails does not matter when
    /// the allowance suffices. What of `maxTotal` is not spent stays as an allowance, which only the caller can use.
    function subscribeWithPermit(
        uint256 plan,
        uint256 periods,
        uint256 maxTotal,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Records that the caller does not wish to renew. Nothing that is paid for stops.
    function cancel() external;

    /// @notice The subscription of an account; all zero if it never had one.
    function subscriptions(address account) external view returns (Subscription memory);

    /// @notice The plan of an account's newest subscription; means nothing if it never had one.
    function planOf(address account) external view returns (uint256 plan);

    /// @notice A plan; all zero if there is none of that number.
    function plans(uint256 plan) external view returns (Plan memory);

    /// @notice How many plans there are.
    function planCount() external view returns (uint256);
}
