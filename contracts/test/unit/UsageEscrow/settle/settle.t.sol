// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {IUsageEscrow} from "../../../../src/interfaces/IUsageEscrow.sol";
import {Intake} from "../../../../src/libraries/Intake.sol";
import {FaultyToken} from "../../../base/FaultyToken.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";
import {Vm} from "../../../base/Test.sol";
import {HostileToken} from "../../../HostileToken.sol";

contract SettleTest is PlatformTest {
    /// @dev The customer has 1,000 units and a limit of 300, the guest 50 and a limit of 1,000.
    function setUp() public override {
        super.setUp();
        _fund(guest, 0);
        _prepare();
    }

    // ---------------------------------------------------------------- refused

    function test_RevertWhen_TheCallerIsNotTheSettler() external {
        address[3] memory callers = [stranger, customer, address(timelock)];
        for (uint256 i = 0; i < callers.length; i++) {
            vm.prank(callers[i]);
            // it should revert with NotSettler
            vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.NotSettler.selector, callers[i]));
            escrow.settle(BATCH, _list(customer), _amounts(1));
        }
        _assertUntouched();
    }

    function test_RevertGiven_TheBatchWasSettledBefore() external {
        _settle(BATCH, customer, 10);
        vm.prank(settler);
        // it should revert with BatchAlreadySettled
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.BatchAlreadySettled.selector, BATCH));
        escrow.settle(BATCH, _list(customer), _amounts(10));
        _assertBalance(customer, 990);
    }

    function test_RevertWhen_TheLengthsDiffer() external {
        vm.startPrank(settler);
        // it should revert with LengthMismatch and leave the batch open
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.LengthMismatch.selector, 2, 1));
        escrow.settle(BATCH, _list(customer, guest), _amounts(1));
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.LengthMismatch.selector, 1, 2));
        escrow.settle(BATCH, _list(customer), _amounts(1, 1));
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.LengthMismatch.selector, 0, 1));
        escrow.settle(BATCH, new address[](0), _amounts(1));
        vm.stopPrank();
        _assertUntouched();
    }

    function test_RevertGiven_TheVaultIsFull() external {
        _onHostile();
        vm.prank(payer);
        vault.fundPool(PROVIDER, TOP - 39);
        // it should revert with DepositTooLarge and leave balances and the batch
        _refused(100, abi.encodeWithSelector(ICXPTVault.DepositTooLarge.selector, 39, 40));
        // One unit less fits.
        vm.assertEq(_settle(BATCH, customer, 99), 99, "charged");
        vm.assertEq(vault.deposited(PROVIDER), TOP, "the pool is full to the unit");
    }

    function test_RevertGiven_TheTokenKeepsAFee() external {
        _onHostile().setFee(1_000);
        // it should revert with WrongAmountReceived and leave balances and the batch
        _refused(100, abi.encodeWithSelector(Intake.WrongAmountReceived.selector, 100, 90));
    }

    function test_RevertGiven_TheTokenReverts() external {
        _onFaulty().setReverting(true);
        // it should revert as the token does and leave balances and the batch
        _refused(100, abi.encodeWithSelector(FaultyToken.OutOfOrder.selector));
    }

    function test_RevertGiven_TheTokenReturnsFalse() external {
        _onFaulty().setSilent(true);
        // it should revert with SafeERC20FailedOperation and leave balances and the batch
        _refused(100, abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
    }

    function test_GivenTheTokenCallsBack() external {
        HostileToken hostile = _onHostile();
        bytes[] memory calls = new bytes[](3);
        calls[0] = abi.encodeCall(IUsageEscrow.settle, ("inside", _list(customer), _amounts(1)));
        calls[1] = abi.encodeCall(IUsageEscrow.deposit, (1));
        calls[2] = abi.encodeCall(IUsageEscrow.withdraw, ());
        // The token is the settler: only the guard stops it.
        _asOwner();
        escrow.setSettler(address(hostile));
        for (uint256 i = 0; i < calls.length; i++) {
            hostile.setCall(address(escrow), calls[i]);
            vm.prank(address(hostile));
            escrow.settle(bytes32(i), _list(customer), _amounts(70));
            // it should refuse a batch and a deposit and a withdrawal inside
            vm.assertFalse(hostile.lastCallSucceeded(), "the call from inside");
            vm.assertEq(
                keccak256(hostile.lastCallResult()),
                keccak256(abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)),
                "its error"
            );
            // it should charge once
            _assertBalance(customer, 1_000 - 70 * (i + 1));
            _assertPools(28 * (i + 1), 28 * (i + 1), 14 * (i + 1));
        }
        vm.assertFalse(escrow.isSettled("inside"), "the batch from inside");
    }

    // ---------------------------------------------------------------- nothing to charge

    function test_WhenTheBatchIsEmpty() external {
        vm.recordLogs();
        vm.prank(settler);
        uint256 charged = escrow.settle(BATCH, new address[](0), new uint256[](0));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        // it should emit BatchSettled of zero
        vm.assertEq(logs.length, 1, "one event");
        _assertBatchSettled(logs[0], 0);
        // it should deposit nothing
        vm.assertEq(charged, 0, "charged");
        _assertPools(800 * CXPT, 800 * CXPT, 400 * CXPT);
        // it should be settled for good
        vm.assertTrue(escrow.isSettled(BATCH), "settled");
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.BatchAlreadySettled.selector, BATCH));
        escrow.settle(BATCH, new address[](0), new uint256[](0));
    }

    function test_GivenAllChargesAreZero() external {
        vm.recordLogs();
        vm.prank(settler);
        uint256 charged = escrow.settle(BATCH, _list(customer, stranger), _amounts(0, 5));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        // it should emit UsageCharged and BatchSettled of zero
        vm.assertEq(logs.length, 3, "two items and the batch, no deposit");
        _assertUsageCharged(logs[0], customer, 0, 0, 1_000);
        _assertUsageCharged(logs[1], stranger, 5, 0, 0);
        _assertBatchSettled(logs[2], 0);
        // it should deposit nothing
        vm.assertEq(charged, 0, "charged");
        _assertPools(800 * CXPT, 800 * CXPT, 400 * CXPT);
        _assertPassedOn(address(escrow), 1_050);
        // it should be settled for good
        vm.assertTrue(escrow.isSettled(BATCH), "settled");
    }

    // ---------------------------------------------------------------- the smallest of the three

    function test_WhenTheAskedAmountBinds() external {
        vm.recordLogs();
        uint256 charged = _settle(BATCH, customer, 299);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        // it should emit UsageCharged and FeesDeposited and BatchSettled
        _assertUsageCharged(logs[0], customer, 299, 299, 701);
        _assertBatchSettled(logs[1], 299);
        // 299 units: 40 % are 119 for the providers, 20 % are 59 for the users, the rest is the protocol's.
        Vm.Log memory last = logs[logs.length - 1];
        vm.assertEq(last.emitter, address(vault), "by the Vault");
        vm.assertEq(last.topics[0], ICXPTVault.FeesDeposited.selector, "FeesDeposited");
        vm.assertEq(last.topics[1], bytes32(uint256(uint160(address(escrow)))), "payer");
        vm.assertEq(keccak256(last.data), keccak256(abi.encode(299, 121, 119, 59)), "amounts");
        // it should charge what was asked
        vm.assertEq(charged, 299, "charged");
        // it should take it from balance and sum and limit
        _assertBalance(customer, 701);
        vm.assertEq(escrow.totalBalance(), 751, "sum of the balances");
        vm.assertEq(escrow.chargeable(customer), 1, "limit left");
        // it should pass it on to the vault in the same transaction
        _assertPools(800 * CXPT + 121, 800 * CXPT + 119, 400 * CXPT + 59);
        _assertPassedOn(address(escrow), 751);
        // it should give the settler nothing
        vm.assertEq(token.balanceOf(settler), 0, "the settler's CXPT");
    }

    function test_GivenTheBalanceBinds() external {
        // it should emit UsageCharged with both figures
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.UsageCharged(BATCH, guest, 51, 50, 0);
        // it should charge the whole balance
        vm.assertEq(_settle(BATCH, guest, 51), 50, "charged");
        _assertBalance(guest, 0);
        vm.assertEq(escrow.totalBalance(), 1_000, "sum of the balances");
    }

    function test_GivenTheLimitBinds() external {
        _settle("earlier", customer, 100);
        // it should emit UsageCharged with both figures
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.UsageCharged(BATCH, customer, 201, 200, 700);
        // it should charge what the limit leaves
        vm.assertEq(_settle(BATCH, customer, 201), 200, "charged");
        _assertBalance(customer, 700);
        vm.assertEq(escrow.chargeable(customer), 0, "limit left");
    }

    function test_GivenTheAccountSetNoLimit() external {
        _top(payer, 100);
        // it should charge nothing
        vm.assertEq(_settle(BATCH, payer, 100), 0, "charged");
        _assertBalance(payer, 100);
    }

    function test_WhenTheAskedAmountIsTheLargestOf256Bits() external {
        vm.prank(settler);
        uint256 charged = escrow.settle(BATCH, _list(customer, guest), _amounts(type(uint256).max, type(uint256).max));
        // it should charge what balance and limit allow
        vm.assertEq(charged, 350, "charged");
        _assertBalance(customer, 700);
        _assertBalance(guest, 0);
    }

    function test_WhenAnAccountStandsInTheBatchTwice() external {
        // it should emit UsageCharged for each item
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.UsageCharged(BATCH, customer, 200, 200, 800);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.UsageCharged(BATCH, customer, 200, 100, 700);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.BatchSettled(BATCH, settler, 300);
        vm.prank(settler);
        uint256 charged = escrow.settle(BATCH, _list(customer, customer), _amounts(200, 200));
        // it should charge the second by what the first left
        vm.assertEq(charged, 300, "charged");
        _assertBalance(customer, 700);
        vm.assertEq(escrow.totalBalance(), 750, "sum of the balances");
    }

    function test_WhenSeveralAccountsAreCharged() external {
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.UsageCharged(BATCH, customer, 400, 300, 700);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.UsageCharged(BATCH, guest, 20, 20, 30);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.BatchSettled(BATCH, settler, 320);
        vm.prank(settler);
        uint256 charged = escrow.settle(BATCH, _list(customer, guest), _amounts(400, 20));
        // it should charge each by its own balance and limit
        vm.assertEq(charged, 320, "charged");
        _assertBalance(customer, 700);
        _assertBalance(guest, 30);
        vm.assertEq(escrow.chargeable(guest), 30, "chargeable of the guest");
        _assertPools(800 * CXPT + 128, 800 * CXPT + 128, 400 * CXPT + 64);
        _assertPassedOn(address(escrow), 730);
    }

    function test_WhenTheZeroAddressStandsInTheBatch() external {
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.UsageCharged(BATCH, address(0), 5, 0, 0);
        vm.prank(settler);
        uint256 charged = escrow.settle(BATCH, _list(address(0), guest), _amounts(5, 5));
        // it should charge it nothing and the others as ever
        vm.assertEq(charged, 5, "charged");
        _assertBalance(guest, 45);
    }

    function test_WhenTheBatchIdIsZero() external {
        vm.assertEq(_settle(bytes32(0), customer, 5), 5, "charged");
        vm.prank(settler);
        // it should settle it once as any other
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.BatchAlreadySettled.selector, bytes32(0)));
        escrow.settle(bytes32(0), _list(customer), _amounts(5));
    }

    // ---------------------------------------------------------------- days

    function test_GivenTheLimitWasUsedUpOneSecondBeforeMidnight() external {
        vm.warp(START + 1 days - 1);
        vm.assertEq(_settle("first", customer, 300), 300, "the whole limit");
        // it should charge nothing in the last second of the day
        vm.assertEq(escrow.chargeable(customer), 0, "chargeable before midnight");
        vm.assertEq(_settle("second", customer, 1), 0, "charged before midnight");
        // it should charge the whole limit at midnight
        vm.warp(START + 1 days);
        vm.assertEq(escrow.chargeable(customer), 300, "chargeable at midnight");
        vm.assertEq(_settle("third", customer, 301), 300, "charged at midnight");
        _assertBalance(customer, 400);
    }

    function test_GivenTheLimitWasUsedInPartOnAnEarlierDay() external {
        _settle("first", customer, 100);
        vm.warp(START + 3 days);
        // it should leave the whole limit today
        vm.assertEq(_settle("second", customer, 250), 250, "charged");
        vm.assertEq(_settle("third", customer, 250), 50, "charged from what is left");
        _assertBalance(customer, 600);
    }

    // ---------------------------------------------------------------- in spite of it

    function test_GivenAWithdrawalWasRequested() external {
        vm.prank(guest);
        escrow.requestWithdrawal(50);
        vm.warp(START + 2 days);
        // it should charge what was requested too
        vm.assertEq(_settle(BATCH, guest, 30), 30, "charged");
        vm.prank(guest);
        vm.assertEq(escrow.withdraw(), 20, "withdrawn");
    }

    function test_GivenCXPTCameByAPlainTransfer() external {
        vm.prank(payer);
        token.transfer(address(escrow), 5_000);
        // it should charge balances alone
        vm.assertEq(_settle(BATCH, guest, 5_000), 50, "charged");
        vm.assertEq(escrow.totalBalance(), 1_000, "sum of the balances");
        _assertPassedOn(address(escrow), 6_000);
    }

    function test_GivenClaimsAndPublishingArePaused() external {
        vm.startPrank(guardian);
        vault.pauseClaims();
        vault.pausePublishing();
        vm.stopPrank();
        // it should charge all the same
        vm.assertEq(_settle(BATCH, customer, 10), 10, "charged");
        _assertPools(800 * CXPT + 4, 800 * CXPT + 4, 400 * CXPT + 2);
    }

    function test_GivenTheSplitWasChanged() external {
        _asOwner();
        vault.setSplit(0, 9_000, 1_000);
        _settle(BATCH, customer, 10);
        // it should pay fees by the new split
        _assertPools(800 * CXPT, 800 * CXPT + 9, 400 * CXPT + 1);
    }

    function test_WhenOneUnitIsCharged() external {
        _settle(BATCH, customer, 1);
        // it should give it to the protocol
        _assertPools(800 * CXPT + 1, 800 * CXPT, 400 * CXPT);
    }

    function test_GivenBalanceAndLimitFillThe96Bits() external {
        _onHostile();
        _top(customer, TOP - 1_000);
        _limit(customer, TOP);
        // it should charge them whole
        vm.assertEq(_settle(BATCH, customer, type(uint256).max), TOP, "charged");
        _assertBalance(customer, 0);
        vm.assertEq(escrow.totalBalance(), 50, "sum of the balances");
        vm.assertEq(escrow.chargeable(customer), 0, "chargeable");
    }

    // ---------------------------------------------------------------- inside

    function _prepare() private {
        _top(customer, 1_000);
        _limit(customer, 300);
        _top(guest, 50);
        _limit(guest, 1_000);
    }

    function _refused(uint256 asked, bytes memory reason) private {
        vm.prank(settler);
        vm.expectRevert(reason);
        escrow.settle(BATCH, _list(customer), _amounts(asked));
        _assertUntouched();
    }

    function _assertUntouched() private view {
        vm.assertFalse(escrow.isSettled(BATCH), "the batch is open");
        _assertBalance(customer, 1_000);
        _assertBalance(guest, 50);
        vm.assertEq(escrow.totalBalance(), 1_050, "sum of the balances");
        vm.assertEq(escrow.chargeable(customer), 300, "chargeable");
        _assertPassedOn(address(escrow), 1_050);
    }

    function _assertUsageCharged(Vm.Log memory log, address account, uint256 asked, uint256 charged, uint256 balance)
        private
        view
    {
        vm.assertEq(log.emitter, address(escrow), "by the escrow");
        vm.assertEq(log.topics[0], IUsageEscrow.UsageCharged.selector, "UsageCharged");
        vm.assertEq(log.topics[1], BATCH, "batch");
        vm.assertEq(log.topics[2], bytes32(uint256(uint160(account))), "account");
        vm.assertEq(keccak256(log.data), keccak256(abi.encode(asked, charged, balance)), "figures");
    }

    function _assertBatchSettled(Vm.Log memory log, uint256 charged) private view {
        vm.assertEq(log.emitter, address(escrow), "by the escrow");
        vm.assertEq(log.topics[0], IUsageEscrow.BatchSettled.selector, "BatchSettled");
        vm.assertEq(log.topics[1], BATCH, "batch");
        vm.assertEq(log.topics[2], bytes32(uint256(uint160(settler))), "settler");
        vm.assertEq(abi.decode(log.data, (uint256)), charged, "charged in all");
    }

    function _onHostile() private returns (HostileToken hostile) {
        hostile = new HostileToken();
        _build(address(hostile));
        _fund(customer, 2 * TOP);
        _fund(guest, 50);
        _fund(payer, TOP);
        _prepare();
    }

    function _onFaulty() private returns (FaultyToken faulty) {
        faulty = new FaultyToken();
        _build(address(faulty));
        _fund(customer, 1_000);
        _fund(guest, 50);
        _prepare();
    }
}
