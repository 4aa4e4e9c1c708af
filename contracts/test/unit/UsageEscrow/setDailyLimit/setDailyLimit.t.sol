// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IUsageEscrow} from "../../../../src/interfaces/IUsageEscrow.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";
import {HostileToken} from "../../../HostileToken.sol";

contract SetDailyLimitTest is PlatformTest {
    function setUp() public override {
        super.setUp();
        _top(customer, 1_000);
    }

    function test_GivenNoneWasSet() external {
        // it should emit DailyLimitSet from zero
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.DailyLimitSet(customer, 0, 100);
        _limit(customer, 100);
        vm.assertEq(escrow.dailyLimit(customer), 100, "limit");
        // it should hold at once
        vm.assertEq(escrow.chargeable(customer), 100, "chargeable");
        vm.assertEq(_settle(BATCH, customer, 101), 100, "charged");
        // it should change nobody else
        vm.assertEq(escrow.dailyLimit(guest), 0, "limit of another");
    }

    function test_WhenItIsSetToZero() external {
        _limit(customer, 100);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.DailyLimitSet(customer, 100, 0);
        _limit(customer, 0);
        // it should let nothing more be charged
        vm.assertEq(escrow.chargeable(customer), 0, "chargeable");
        vm.assertEq(_settle(BATCH, customer, 1), 0, "charged");
        _assertBalance(customer, 1_000);
    }

    function test_WhenItIsLoweredBelowWhatWasChargedToday() external {
        _limit(customer, 100);
        vm.assertEq(_settle("first", customer, 80), 80, "charged before");
        _limit(customer, 79);
        // it should let nothing more be charged today
        vm.assertEq(escrow.chargeable(customer), 0, "chargeable");
        vm.assertEq(_settle("second", customer, 1), 0, "charged today");
        _assertBalance(customer, 920);
        // it should let the new limit be charged tomorrow
        vm.warp(START + 1 days);
        vm.assertEq(escrow.chargeable(customer), 79, "chargeable tomorrow");
        vm.assertEq(_settle("third", customer, 80), 79, "charged tomorrow");
    }

    function test_WhenItIsRaisedAfterACharge() external {
        _limit(customer, 100);
        _settle("first", customer, 100);
        vm.assertEq(escrow.chargeable(customer), 0, "used up");
        _limit(customer, 130);
        // it should let the difference be charged today
        vm.assertEq(escrow.chargeable(customer), 30, "chargeable");
        vm.assertEq(_settle("second", customer, 31), 30, "charged");
        _assertBalance(customer, 870);
    }

    function test_WhenItIsAboveTheBalance() external {
        _limit(customer, 1_001);
        // it should let the balance be charged
        vm.assertEq(escrow.chargeable(customer), 1_000, "chargeable");
    }

    function test_WhenItIsTheLargestOf96Bits() external {
        _build(address(new HostileToken()));
        _fund(customer, 2 * TOP);
        _top(customer, TOP);
        _limit(customer, TOP);
        // it should let any balance be charged
        vm.assertEq(escrow.chargeable(customer), TOP, "chargeable");
        vm.assertEq(_settle(BATCH, customer, type(uint256).max), TOP, "charged");
        _top(customer, 1);
        vm.assertEq(escrow.chargeable(customer), 0, "the limit of today is used up");
    }
}
