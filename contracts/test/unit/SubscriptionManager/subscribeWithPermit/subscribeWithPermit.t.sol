// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ISubscriptionManager} from "../../../../src/interfaces/ISubscriptionManager.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";
import {HostileToken} from "../../../HostileToken.sol";

contract SubscribeWithPermitTest is PlatformTest {
    uint256 private constant DEADLINE = START + 1 hours;

    function test_RevertWhen_ThePermitIsOfAnotherAccount() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(subscriptions), MONTHLY_PRICE, DEADLINE);
        vm.prank(stranger);
        // it should revert with ERC20InsufficientAllowance and use nobody elses allowance
        vm.expectRevert(_noAllowance(MONTHLY_PRICE));
        subscriptions.subscribeWithPermit(MONTHLY, 1, MONTHLY_PRICE, DEADLINE, v, r, s);
        vm.assertEq(token.balanceOf(guest), 10_000 * CXPT, "the guest's CXPT");
        vm.assertEq(token.nonces(guest), 0, "the guest's permit is unused");
    }

    function test_RevertWhen_ThePermitHasExpired() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(subscriptions), MONTHLY_PRICE, START - 1);
        vm.prank(guest);
        // it should revert with ERC20InsufficientAllowance
        vm.expectRevert(_noAllowance(MONTHLY_PRICE));
        subscriptions.subscribeWithPermit(MONTHLY, 1, MONTHLY_PRICE, START - 1, v, r, s);
    }

    function test_RevertWhen_ThePermitIsBelowTheTotal() external {
        uint256 total = 2 * uint256(MONTHLY_PRICE);
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(subscriptions), total - 1, DEADLINE);
        vm.prank(guest);
        // it should revert with TotalAboveMaximum
        vm.expectRevert(abi.encodeWithSelector(ISubscriptionManager.TotalAboveMaximum.selector, total - 1, total));
        subscriptions.subscribeWithPermit(MONTHLY, 2, total - 1, DEADLINE, v, r, s);
        vm.assertEq(token.nonces(guest), 0, "the permit is unused");
    }

    function test_WhenThePermitIsOfNoUseAndTheAllowanceSuffices() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(subscriptions), MONTHLY_PRICE, DEADLINE);
        vm.prank(customer);
        subscriptions.subscribeWithPermit(MONTHLY, 1, MONTHLY_PRICE, DEADLINE, v, r, s);
        // it should sell by the allowance
        _assertSubscription(customer, MONTHLY_PRICE, START, START + MONTH, true);
        _assertSubscription(guest, 0, 0, 0, false);
        vm.assertEq(token.balanceOf(guest), 10_000 * CXPT, "the guest's CXPT");
    }

    function test_GivenSomebodyUsedThePermitFirst() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(subscriptions), MONTHLY_PRICE, DEADLINE);
        vm.prank(stranger);
        token.permit(guest, address(subscriptions), MONTHLY_PRICE, DEADLINE, v, r, s);
        vm.prank(guest);
        subscriptions.subscribeWithPermit(MONTHLY, 1, MONTHLY_PRICE, DEADLINE, v, r, s);
        // it should sell by the allowance that it gave
        _assertSubscription(guest, MONTHLY_PRICE, START, START + MONTH, true);
        vm.assertEq(token.allowance(guest, address(subscriptions)), 0, "allowance");
    }

    function test_GivenTheTokenKnowsNoPermits() external {
        _build(address(new HostileToken()));
        _fund(customer, 100 * CXPT);
        vm.prank(customer);
        subscriptions.subscribeWithPermit(MONTHLY, 1, MONTHLY_PRICE, DEADLINE, 27, bytes32("r"), bytes32("s"));
        // it should sell by the allowance
        _assertSubscription(customer, MONTHLY_PRICE, START, START + MONTH, true);
    }

    function test_GivenTheTokenCallsBack() external {
        HostileToken hostile = new HostileToken();
        _build(address(hostile));
        _fund(customer, 100 * CXPT);
        hostile.setCall(
            address(subscriptions),
            abi.encodeCall(
                ISubscriptionManager.subscribeWithPermit,
                (MONTHLY, 1, MONTHLY_PRICE, DEADLINE, 27, bytes32("r"), bytes32("s"))
            )
        );
        _subscribe(customer, MONTHLY, 1);
        // it should refuse a second subscription inside
        vm.assertFalse(hostile.lastCallSucceeded(), "the call from inside");
        vm.assertEq(
            keccak256(hostile.lastCallResult()),
            keccak256(abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)),
            "its error"
        );
        _assertSubscription(customer, MONTHLY_PRICE, START, START + MONTH, true);
    }

    function test_WhenItIsForJustTheTotal() external {
        uint256 total = 3 * uint256(MONTHLY_PRICE);
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(subscriptions), total, DEADLINE);
        // it should emit Subscribed
        vm.expectEmit(true, true, true, true, address(subscriptions));
        emit ISubscriptionManager.Subscribed(guest, MONTHLY, total, START, START + 3 * MONTH);
        vm.prank(guest);
        subscriptions.subscribeWithPermit(MONTHLY, 3, total, DEADLINE, v, r, s);
        // it should sell and use the allowance up
        _assertSubscription(guest, total, START, START + 3 * MONTH, true);
        vm.assertEq(token.allowance(guest, address(subscriptions)), 0, "allowance");
        vm.assertEq(token.balanceOf(guest), 9_970 * CXPT, "the guest's CXPT");
        // it should pass the total on to the vault
        _assertPools(812 * CXPT, 812 * CXPT, 406 * CXPT);
        _assertPassedOn(address(subscriptions), 0);
    }

    function test_WhenItIsAboveTheTotal() external {
        uint256 agreed = MONTHLY_PRICE + 7;
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(subscriptions), agreed, DEADLINE);
        vm.prank(guest);
        subscriptions.subscribeWithPermit(MONTHLY, 1, agreed, DEADLINE, v, r, s);
        // it should leave the rest as an allowance
        vm.assertEq(token.allowance(guest, address(subscriptions)), 7, "allowance");
        vm.assertEq(token.balanceOf(guest), 9_990 * CXPT, "the guest's CXPT");
    }

    function test_GivenTheSamePlanRuns() external {
        _subscribe(customer, MONTHLY, 1);
        (uint8 v, bytes32 r, bytes32 s) = _permit(CUSTOMER_KEY, address(subscriptions), MONTHLY_PRICE, DEADLINE);
        vm.prank(customer);
        subscriptions.subscribeWithPermit(MONTHLY, 1, MONTHLY_PRICE, DEADLINE, v, r, s);
        // it should extend it
        _assertSubscription(customer, MONTHLY_PRICE, START, START + 2 * MONTH, true);
        vm.assertEq(token.nonces(customer), 1, "the permit was used");
    }

    function _noAllowance(uint256 needed) private view returns (bytes memory) {
        return
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(subscriptions), 0, needed);
    }
}
