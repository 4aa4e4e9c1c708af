// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SubscriptionManager} from "../../src/SubscriptionManager.sol";
import {ISubscriptionManager} from "../../src/interfaces/ISubscriptionManager.sol";
import {FuzzTest} from "./FuzzTest.sol";

/// @notice Plan 0 costs 10 CXPT for 30 days, plan 1 costs 90 CXPT for 365 days; the payer is rich and has allowed all.
contract SubscriptionManagerFuzz is FuzzTest {
    uint256 private constant MOST_PERIODS = 24;

    SubscriptionManager private manager;

    function setUp() public override {
        super.setUp();
        manager = new SubscriptionManager(vault, admin, new ISubscriptionManager.Plan[](0));
        vm.startPrank(admin);
        manager.addPlan(uint96(10 * CXPT), 30 days);
        manager.addPlan(uint96(90 * CXPT), 365 days);
        vm.stopPrank();
        vm.prank(payer);
        token.approve(address(manager), type(uint256).max);
    }

    /// @notice A payment is price times periods, buys period times periods from now on, and is in the Vault's pools, split
    /// by hand, when the call returns.
    function testFuzz_APaymentBuysTimeAndBecomesFees(uint96 price, uint32 period, uint256 periods) external {
        price = uint96(bound(price, 1, 40_000 * CXPT));
        period = uint32(bound(period, 1, type(uint32).max));
        periods = bound(periods, 1, MOST_PERIODS);
        vm.prank(admin);
        uint256 plan = manager.addPlan(price, period);
        uint256 paid = uint256(price) * periods;
        vm.prank(payer);
        manager.subscribe(plan, periods, paid);

        ISubscriptionManager.Subscription memory bought = manager.subscriptions(payer);
        vm.assertEq(bought.amount, paid, "amount");
        vm.assertEq(bought.startTime, START, "start");
        vm.assertEq(bought.endTime, START + uint256(period) * periods, "end");
        vm.assertTrue(bought.isActive, "it runs");
        vm.assertEq(manager.planOf(payer), plan, "plan");
        vm.assertEq(token.balanceOf(payer), 1_000_000 * CXPT - 2_000 * CXPT - paid, "the payer");
        vm.assertEq(token.balanceOf(address(manager)), 0, "nothing stays");
        vm.assertEq(token.allowance(address(manager), address(vault)), 0, "no allowance stays");
        vm.assertEq(vault.pools().providerAmount, 800 * CXPT + paid * 4_000 / 10_000, "provider pool");
        vm.assertEq(vault.pools().userAmount, 400 * CXPT + paid * 2_000 / 10_000, "user pool");
        uint256 rest = paid - paid * 4_000 / 10_000 - paid * 2_000 / 10_000;
        vm.assertEq(vault.pools().protocolAmount, 800 * CXPT + rest, "protocol pool");
    }

    /// @notice A purchase is refused exactly when the plan is not sold, the periods are not 1 to 24, or the price is above
    /// what was agreed to; in that order.
    function testFuzz_APurchaseIsRefusedExactlyByTheRules(
        uint256 plan,
        uint96 price,
        uint256 periods,
        uint256 maxTotal,
        uint256 near
    ) external {
        price = uint96(bound(price, 0, 40_000 * CXPT));
        vm.prank(admin);
        manager.setPrice(1, price);
        if (near % 4 != 0) plan = bound(plan, 0, 2);
        if (near % 5 != 0) periods = bound(periods, 0, 26);
        uint256 unit = plan == 0 ? 10 * CXPT : price;
        uint256 total = periods <= MOST_PERIODS ? unit * periods : 0;
        if (near % 3 != 0) maxTotal = near % 3 == 1 && total != 0 ? total - 1 : total;
        bytes memory refusal;
        if (plan > 1 || unit == 0) {
            refusal = abi.encodeWithSelector(ISubscriptionManager.PlanNotSold.selector, plan);
        } else if (periods < 1 || periods > 24) {
            refusal = abi.encodeWithSelector(ISubscriptionManager.InvalidPeriods.selector, periods);
        } else if (total > maxTotal) {
            refusal = abi.encodeWithSelector(ISubscriptionManager.TotalAboveMaximum.selector, maxTotal, total);
        }
        bytes memory data = abi.encodeCall(manager.subscribe, (plan, periods, maxTotal));
        _expect(refusal, payer, address(manager), data, "purchase");
        uint256 paid = refusal.length == 0 ? total : 0;
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT + paid, "the Vault");
        vm.assertEq(manager.subscriptions(payer).isActive, refusal.length == 0, "it runs");
    }

    /// @notice Over any row of purchases with any gaps: before the end the time grows at its end and the start stays, from
    /// the end on it begins anew; another plan is sold exactly from the end on.
    function testFuzz_RenewalsAddUp(uint256[6] calldata gaps, uint8[6] calldata periods, uint8 choices) external {
        uint256 time = START;
        uint256 start;
        uint256 end;
        uint256 plan;
        uint256 paid;
        for (uint256 i = 0; i < 6; i++) {
            time = gaps[i] % 3 == 0 && end > time ? end - gaps[i] % 2 : time + bound(gaps[i], 0, 200 days);
            vm.warp(time);
            uint256 wanted = choices >> i & 1;
            uint256 count = 1 + periods[i] % 3;
            uint256 total = count * (wanted == 0 ? 10 * CXPT : 90 * CXPT);
            bytes memory refusal = time < end && wanted != plan
                ? abi.encodeWithSelector(ISubscriptionManager.OtherPlanRunning.selector, plan, end)
                : bytes("");
            bytes memory data = abi.encodeCall(manager.subscribe, (wanted, count, total));
            _expect(refusal, payer, address(manager), data, "purchase");
            if (refusal.length == 0) {
                if (time >= end) (start, end, plan) = (time, time, wanted);
                end += count * (wanted == 0 ? 30 days : 365 days);
                paid += total;
                vm.assertEq(manager.subscriptions(payer).amount, total, "the last payment");
            }
            vm.assertEq(manager.subscriptions(payer).startTime, start, "start");
            vm.assertEq(manager.subscriptions(payer).endTime, end, "end");
            vm.assertEq(manager.subscriptions(payer).isActive, time < end, "whether it runs");
            vm.assertEq(manager.planOf(payer), plan, "plan");
        }
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT + paid, "all of it is fees");
    }

    /// @notice A subscription runs until the second before its end, and is over at its end.
    function testFuzz_ItEndsOnTheSecond(uint256 periods, uint256 asked) external {
        periods = bound(periods, 1, MOST_PERIODS);
        uint256 length = periods * 30 days;
        asked = asked % 2 == 0 ? bound(asked, length - 2, length + 2) : bound(asked, 0, 1_000 days);
        vm.prank(payer);
        manager.subscribe(0, periods, type(uint256).max);
        vm.warp(START + asked);
        bool running = asked < length;
        vm.assertEq(manager.subscriptions(payer).isActive, running, "whether it runs");
        bytes memory refusal =
            running ? bytes("") : abi.encodeWithSelector(ISubscriptionManager.NotSubscribed.selector, payer);
        _expect(refusal, payer, address(manager), abi.encodeCall(manager.cancel, ()), "cancel");
    }

    /// @notice Neither a cancellation nor any price set later changes time that is paid for.
    function testFuzz_PaidTimeStays(uint256 periods, uint96 price, uint256 wait, bool cancelled) external {
        periods = bound(periods, 1, MOST_PERIODS);
        wait = bound(wait, 0, periods * 30 days - 1);
        vm.prank(payer);
        manager.subscribe(0, periods, type(uint256).max);
        bytes32 before = keccak256(abi.encode(manager.subscriptions(payer)));
        vm.warp(START + wait);
        if (cancelled) {
            vm.prank(payer);
            manager.cancel();
        }
        vm.prank(admin);
        manager.setPrice(0, price);
        vm.assertEq(keccak256(abi.encode(manager.subscriptions(payer))), before, "the subscription");
        vm.assertEq(manager.plans(0).price, price, "later payments");
        vm.assertEq(manager.plans(0).period, 30 days, "the period");
        vm.assertEq(manager.plans(1).price, 90 * CXPT, "the other plan");
    }

    /// @notice One account's subscription is nobody else's.
    function testFuzz_ASubscriptionIsItsPayers(address other, uint256 plan, uint256 periods) external {
        vm.assume(other != payer);
        vm.prank(payer);
        manager.subscribe(bound(plan, 0, 1), bound(periods, 1, MOST_PERIODS), type(uint256).max);
        ISubscriptionManager.Subscription memory theirs = manager.subscriptions(other);
        vm.assertEq(theirs.amount | theirs.startTime | theirs.endTime, 0, "nothing");
        vm.assertFalse(theirs.isActive, "none runs");
    }

    /// @notice With a valid permit a purchase needs no allowance before, takes the price and not the permitted maximum,
    /// and a stranger who sends the permit first changes nothing.
    function testFuzz_APermitPaysThePurchase(uint256 periods, uint256 more, bool sentByAStranger) external {
        periods = bound(periods, 1, MOST_PERIODS);
        uint256 total = periods * 10 * CXPT;
        uint256 most = total + bound(more, 0, 1_000 * CXPT);
        address signer = _signer(most);
        (uint8 v, bytes32 r, bytes32 s) = _sign(Permit(KEY, signer, address(manager), most, 0, START));
        if (sentByAStranger) {
            vm.prank(stranger);
            token.permit(signer, address(manager), most, START, v, r, s);
        }
        vm.prank(signer);
        manager.subscribeWithPermit(0, periods, most, START, v, r, s);
        vm.assertEq(token.balanceOf(signer), most - total, "the price alone");
        vm.assertEq(manager.subscriptions(signer).endTime, START + periods * 30 days, "end");
    }

    /// @notice A permit of which any one field is wrong, or that another account sends, buys nothing and moves no money.
    function testFuzz_AWrongPermitBuysNothing(uint256 periods, uint256 choice, uint256 noise) external {
        periods = bound(periods, 1, MOST_PERIODS);
        choice = bound(choice, 0, 6);
        uint256 total = periods * 10 * CXPT;
        address signer = _signer(total);
        (uint8 v, bytes32 r, bytes32 s) =
            _sign(_spoil(Permit(KEY, signer, address(manager), total, 0, START), choice, noise));
        bytes memory refusal =
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(manager), 0, total);
        bytes memory data = abi.encodeCall(manager.subscribeWithPermit, (0, periods, total, START, v, r, s));
        _expect(refusal, choice == 6 ? stranger : signer, address(manager), data, "purchase");
        vm.assertEq(token.balanceOf(signer), total, "the signer's money");
        vm.assertFalse(manager.subscriptions(signer).isActive, "nothing is bought");
    }

    /// @notice Plans are added and priced by the owner alone, and a plan needs a price and a period.
    function testFuzz_OnlyTheOwnerSells(address caller, uint96 price, uint32 period, uint256 plan, uint256 choice)
        external
    {
        if (choice % 2 == 0) caller = admin;
        if (choice % 3 == 0) (price, period) = (price % 2, period % 2);
        if (choice % 5 != 0) plan = plan % 3;
        bytes memory stranger_ =
            caller == admin ? bytes("") : abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, caller);
        bytes memory refusal = stranger_;
        if (caller == admin && (price == 0 || period == 0)) {
            refusal = abi.encodeWithSelector(ISubscriptionManager.InvalidPlan.selector, price, period);
        }
        _expect(refusal, caller, address(manager), abi.encodeCall(manager.addPlan, (price, period)), "a plan");
        uint256 count = refusal.length == 0 ? 3 : 2;
        vm.assertEq(manager.planCount(), count, "plans");
        refusal = stranger_;
        if (caller == admin && plan >= count) {
            refusal = abi.encodeWithSelector(ISubscriptionManager.PlanNotSold.selector, plan);
        }
        _expect(refusal, caller, address(manager), abi.encodeCall(manager.setPrice, (plan, 7)), "a price");
        if (refusal.length == 0) vm.assertEq(manager.plans(plan).price, 7, "the new price");
    }
}
