// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {ISubscriptionManager} from "../../../../src/interfaces/ISubscriptionManager.sol";
import {Intake} from "../../../../src/libraries/Intake.sol";
import {FaultyToken} from "../../../base/FaultyToken.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";
import {HostileToken} from "../../../HostileToken.sol";

contract SubscribeTest is PlatformTest {
    uint256 private constant ANY = type(uint256).max;

    // ---------------------------------------------------------------- refused

    function test_RevertWhen_ThereIsNoSuchPlan() external {
        // it should revert with PlanNotSold
        _refused(2, 1, ANY, abi.encodeWithSelector(ISubscriptionManager.PlanNotSold.selector, 2));
        _refused(ANY, 1, ANY, abi.encodeWithSelector(ISubscriptionManager.PlanNotSold.selector, ANY));
    }

    function test_RevertGiven_ThePlanHasNoPriceAtPresent() external {
        _asOwner();
        subscriptions.setPrice(MONTHLY, 0);
        // it should revert with PlanNotSold
        _refused(MONTHLY, 1, ANY, abi.encodeWithSelector(ISubscriptionManager.PlanNotSold.selector, MONTHLY));
    }

    function test_RevertWhen_NoPeriodIsBought() external {
        // it should revert with InvalidPeriods
        _refused(MONTHLY, 0, ANY, abi.encodeWithSelector(ISubscriptionManager.InvalidPeriods.selector, 0));
    }

    function test_RevertWhen_25PeriodsAreBought() external {
        // it should revert with InvalidPeriods
        _refused(MONTHLY, 25, ANY, abi.encodeWithSelector(ISubscriptionManager.InvalidPeriods.selector, 25));
        _refused(MONTHLY, ANY, ANY, abi.encodeWithSelector(ISubscriptionManager.InvalidPeriods.selector, ANY));
    }

    function test_RevertWhen_TheTotalIsAboveTheMaximum() external {
        uint256 total = 3 * uint256(MONTHLY_PRICE);
        // it should revert with TotalAboveMaximum
        _refused(MONTHLY, 3, total - 1, _aboveMaximum(total - 1, total));
        _refused(MONTHLY, 3, 0, _aboveMaximum(0, total));
    }

    function test_RevertGiven_ThePriceRoseSinceTheCallerAgreed() external {
        uint256 agreed = 3 * uint256(MONTHLY_PRICE);
        _asOwner();
        subscriptions.setPrice(MONTHLY, MONTHLY_PRICE + 1);
        // it should revert with TotalAboveMaximum and take nothing
        _refused(MONTHLY, 3, agreed, _aboveMaximum(agreed, agreed + 3));
    }

    function test_RevertGiven_TheTotalDoesNotFit96Bits() external {
        _asOwner();
        subscriptions.setPrice(MONTHLY, type(uint96).max);
        uint256 total = 2 * TOP;
        // it should revert with SafeCastOverflowedUintDowncast
        _refused(MONTHLY, 2, ANY, abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 96, total));
    }

    function test_RevertGiven_TheEndDoesNotFit40Bits() external {
        _asOwner();
        uint256 plan = subscriptions.addPlan(1, type(uint32).max);
        uint256 span = 24 * uint256(type(uint32).max);
        uint256 end = START;
        while (end + span <= type(uint40).max) {
            _subscribe(customer, plan, 24);
            end += span;
        }
        _assertSubscription(customer, 24, START, end, true);
        bytes memory overflow = abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 40, end + span);
        vm.prank(customer);
        // it should revert with SafeCastOverflowedUintDowncast
        vm.expectRevert(overflow);
        subscriptions.subscribe(plan, 24, ANY);
    }

    function test_RevertGiven_TheAllowanceIsTooSmall() external {
        vm.prank(customer);
        token.approve(address(subscriptions), MONTHLY_PRICE - 1);
        // it should revert with ERC20InsufficientAllowance and sell nothing
        _refused(
            MONTHLY,
            1,
            ANY,
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector,
                address(subscriptions),
                MONTHLY_PRICE - 1,
                MONTHLY_PRICE
            )
        );
    }

    function test_RevertGiven_TheWalletHoldsTooLittle() external {
        vm.prank(customer);
        token.transfer(stranger, 10_000 * CXPT - MONTHLY_PRICE + 1);
        // it should revert with ERC20InsufficientBalance and sell nothing
        _refused(
            MONTHLY,
            1,
            ANY,
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientBalance.selector, customer, MONTHLY_PRICE - 1, MONTHLY_PRICE
            )
        );
    }

    function test_RevertGiven_TheVaultIsFull() external {
        _onHostile();
        _fund(payer, TOP);
        vm.startPrank(payer);
        vault.fundPool(PROVIDER, TOP - 5);
        vm.stopPrank();
        // it should revert with DepositTooLarge and sell nothing
        _refused(
            MONTHLY,
            1,
            ANY,
            abi.encodeWithSelector(ICXPTVault.DepositTooLarge.selector, 5, uint256(MONTHLY_PRICE) * 4_000 / 10_000)
        );
        vm.assertEq(vault.deposited(PROVIDER), TOP - 5, "provider pool as before");
    }

    function test_RevertGiven_TheTokenKeepsAFee() external {
        _onHostile().setFee(100);
        // it should revert with WrongAmountReceived and sell nothing
        _refused(
            MONTHLY,
            1,
            ANY,
            abi.encodeWithSelector(
                Intake.WrongAmountReceived.selector, MONTHLY_PRICE, uint256(MONTHLY_PRICE) * 99 / 100
            )
        );
    }

    function test_RevertGiven_TheTokenReverts() external {
        _onFaulty().setReverting(true);
        // it should revert as the token does and sell nothing
        _refused(MONTHLY, 1, ANY, abi.encodeWithSelector(FaultyToken.OutOfOrder.selector));
    }

    function test_RevertGiven_TheTokenReturnsFalse() external {
        _onFaulty().setSilent(true);
        // it should revert with SafeERC20FailedOperation and sell nothing
        _refused(MONTHLY, 1, ANY, abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
    }

    // ---------------------------------------------------------------- sold in spite of it

    function test_GivenTheTokenCallsBack() external {
        HostileToken hostile = _onHostile();
        hostile.setCall(address(subscriptions), abi.encodeCall(ISubscriptionManager.subscribe, (MONTHLY, 1, ANY)));
        _subscribe(customer, MONTHLY, 1);
        // it should refuse a second subscription inside
        vm.assertFalse(hostile.lastCallSucceeded(), "the call from inside");
        vm.assertEq(
            keccak256(hostile.lastCallResult()),
            keccak256(abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)),
            "its error"
        );
        // it should sell once
        _assertSubscription(customer, MONTHLY_PRICE, START, START + MONTH, true);
        _assertSubscription(address(hostile), 0, 0, 0, false);
        _assertPools(4 * CXPT, 4 * CXPT, 2 * CXPT);
    }

    function test_GivenCXPTCameByAPlainTransfer() external {
        vm.prank(payer);
        token.transfer(address(subscriptions), 7 * CXPT);
        _subscribe(customer, MONTHLY, 1);
        // it should leave it and pass on just the total
        _assertPassedOn(address(subscriptions), 7 * CXPT);
        _assertPools(804 * CXPT, 804 * CXPT, 402 * CXPT);
    }

    function test_GivenClaimsAndPublishingArePaused() external {
        vm.startPrank(guardian);
        vault.pauseClaims();
        vault.pausePublishing();
        vm.stopPrank();
        // it should sell all the same
        _subscribe(customer, MONTHLY, 1);
        _assertSubscription(customer, MONTHLY_PRICE, START, START + MONTH, true);
        _assertPools(804 * CXPT, 804 * CXPT, 402 * CXPT);
    }

    // ---------------------------------------------------------------- sold

    function test_GivenTheCallerNeverSubscribed() external {
        uint256 odd = 5;
        _asOwner();
        subscriptions.setPrice(MONTHLY, uint96(odd));
        // it should emit Subscribed and FeesDeposited
        vm.expectEmit(true, true, true, true, address(subscriptions));
        emit ISubscriptionManager.Subscribed(customer, MONTHLY, 3 * odd, START, START + 3 * MONTH);
        // 15 units: 40 % are 6 for the providers, 20 % are 3 for the users, the rest is the protocol's.
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.FeesDeposited(address(subscriptions), 15, 6, 6, 3);
        vm.prank(customer);
        subscriptions.subscribe(MONTHLY, 3, 15);
        // it should take just the total from the caller
        vm.assertEq(token.balanceOf(customer), 10_000 * CXPT - 15, "the customer's CXPT");
        // it should pass it on to the vault as fees in the same transaction
        _assertPools(800 * CXPT + 6, 800 * CXPT + 6, 400 * CXPT + 3);
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT + 15, "the Vault's CXPT");
        // it should keep no balance and no allowance
        _assertPassedOn(address(subscriptions), 0);
        // it should begin now and end after the periods
        _assertSubscription(customer, 15, START, START + 3 * MONTH, true);
        vm.assertEq(subscriptions.planOf(customer), MONTHLY, "plan");
        vm.warp(START + 3 * MONTH - 1);
        _assertSubscription(customer, 15, START, START + 3 * MONTH, true);
        vm.warp(START + 3 * MONTH);
        _assertSubscription(customer, 15, START, START + 3 * MONTH, false);
        // it should change nobody else
        _assertSubscription(guest, 0, 0, 0, false);
    }

    function test_WhenOnePeriodIsBoughtAtJustTheMaximum() external {
        vm.prank(customer);
        subscriptions.subscribe(YEARLY, 1, YEARLY_PRICE);
        // it should pay the price once
        vm.assertEq(token.balanceOf(customer), 10_000 * CXPT - YEARLY_PRICE, "the customer's CXPT");
        _assertSubscription(customer, YEARLY_PRICE, START, START + YEAR, true);
        vm.assertEq(subscriptions.planOf(customer), YEARLY, "plan");
    }

    function test_When24PeriodsAreBought() external {
        _subscribe(customer, MONTHLY, 24);
        // it should pay 24 times and run 24 periods
        vm.assertEq(token.balanceOf(customer), 9_760 * CXPT, "the customer's CXPT");
        _assertSubscription(customer, 240 * CXPT, START, START + 24 * MONTH, true);
        _assertPools(896 * CXPT, 896 * CXPT, 448 * CXPT);
    }

    function test_GivenOneSecondIsLeftOfTheSamePlan() external {
        _subscribe(customer, MONTHLY, 3);
        vm.warp(START + 3 * MONTH - 1);
        // it should emit Subscribed with the old start and the new end
        vm.expectEmit(true, true, true, true, address(subscriptions));
        emit ISubscriptionManager.Subscribed(customer, MONTHLY, 2 * MONTHLY_PRICE, START, START + 5 * MONTH);
        _subscribe(customer, MONTHLY, 2);
        // it should extend from the end
        vm.assertEq(subscriptions.subscriptions(customer).endTime, START + 5 * MONTH, "endTime");
        // it should keep the start
        vm.assertEq(subscriptions.subscriptions(customer).startTime, START, "startTime");
        // it should show the last payment alone
        vm.assertEq(subscriptions.subscriptions(customer).amount, 2 * MONTHLY_PRICE, "amount");
        vm.warp(START + 5 * MONTH - 1);
        vm.assertTrue(subscriptions.subscriptions(customer).isActive, "active to the last second");
    }

    function test_GivenTheSamePlanHasJustEnded() external {
        _subscribe(customer, MONTHLY, 3);
        uint256 now_ = START + 3 * MONTH;
        vm.warp(now_);
        vm.expectEmit(true, true, true, true, address(subscriptions));
        emit ISubscriptionManager.Subscribed(customer, MONTHLY, MONTHLY_PRICE, now_, now_ + MONTH);
        _subscribe(customer, MONTHLY, 1);
        // it should begin anew
        _assertSubscription(customer, MONTHLY_PRICE, now_, now_ + MONTH, true);
    }

    function test_RevertGiven_AnotherPlanHasOneSecondLeft() external {
        _subscribe(customer, MONTHLY, 1);
        vm.warp(START + MONTH - 1);
        vm.prank(customer);
        // it should revert with OtherPlanRunning
        vm.expectRevert(abi.encodeWithSelector(ISubscriptionManager.OtherPlanRunning.selector, MONTHLY, START + MONTH));
        subscriptions.subscribe(YEARLY, 1, ANY);
    }

    function test_GivenAnotherPlanHasJustEnded() external {
        _subscribe(customer, MONTHLY, 1);
        vm.warp(START + MONTH);
        _subscribe(customer, YEARLY, 1);
        // it should begin the new plan
        _assertSubscription(customer, YEARLY_PRICE, START + MONTH, START + MONTH + YEAR, true);
        vm.assertEq(subscriptions.planOf(customer), YEARLY, "plan");
    }

    // ---------------------------------------------------------------- inside

    /// @dev Nothing is sold, nothing is paid.
    function _refused(uint256 plan, uint256 periods, uint256 maxTotal, bytes memory reason) private {
        uint256 held = token.balanceOf(customer);
        uint256 inVault = token.balanceOf(address(vault));
        vm.prank(customer);
        vm.expectRevert(reason);
        subscriptions.subscribe(plan, periods, maxTotal);
        _assertSubscription(customer, 0, 0, 0, false);
        vm.assertEq(token.balanceOf(customer), held, "the customer's balance");
        vm.assertEq(token.balanceOf(address(vault)), inVault, "the Vault's balance");
        _assertPassedOn(address(subscriptions), 0);
    }

    function _aboveMaximum(uint256 maxTotal, uint256 total) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ISubscriptionManager.TotalAboveMaximum.selector, maxTotal, total);
    }

    function _onHostile() private returns (HostileToken hostile) {
        hostile = new HostileToken();
        _build(address(hostile));
        _fund(customer, 10_000 * CXPT);
    }

    function _onFaulty() private returns (FaultyToken faulty) {
        faulty = new FaultyToken();
        _build(address(faulty));
        _fund(customer, 10_000 * CXPT);
    }
}
