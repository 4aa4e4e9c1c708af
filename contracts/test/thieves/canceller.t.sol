// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {IUsageEscrow} from "../../src/interfaces/IUsageEscrow.sol";
import {ThiefTest} from "./ThiefTest.sol";

/// @notice Stolen: the canceller's key. At worst: stops administration; nothing else.
contract CancellerThiefTest is ThiefTest {
    function test_WhenTheCancellerTriesEveryCall() external {
        bytes memory call = _setRole(canceller, ICXPTVault.Role.Admin);
        bytes32 operation = _schedule(address(vault), call);
        // it should be refused all but cancel
        vm.prank(canceller);
        timelock.cancel(operation);
        _assertRefusedAllBut(canceller, _only(TimelockController.cancel.selector));
    }

    function test_GivenItCancelsEverything() external {
        // it should stop every operation and its own removal too
        _assertStopped(address(vault), abi.encodeCall(ICXPTVault.setSplit, (3_000, 5_000, 2_000)));
        _assertStopped(address(vault), _setRole(publisher, ICXPTVault.Role.None));
        _assertStopped(address(escrow), abi.encodeCall(IUsageEscrow.setSettler, (replacement)));
        _assertStopped(address(timelock), _removal());
        vm.assertTrue(timelock.hasRole(timelock.CANCELLER_ROLE(), canceller), "still a canceller");
        // it should leave publishing and revoking and claims as they were
        _publish(NEXT, bytes32("root"), PROMISED_PROVIDER, PROMISED_USER);
        _revoke(NEXT);
        _activate(NEXT, _honestTree()[0], PROMISED_PROVIDER, PROMISED_USER);
        _assertPromisesArePaid();
        // it should leave subscriptions and the escrow as they were
        _subscribe(customer, YEARLY, 1);
        vm.assertEq(_settle(BATCH, customer, 200 * CXPT), 100 * CXPT, "charged");
        _assertEscrowIsPaid(900 * CXPT);
    }

    function test_WhenItCancelsWhatIsNotScheduled() external {
        bytes memory call = _setRole(publisher, ICXPTVault.Role.None);
        _administer(address(vault), call);
        bytes32 operation = timelock.hashOperation(address(vault), 0, call, 0, 0);
        bytes32 pending = bytes32(
            1 << uint8(TimelockController.OperationState.Waiting) | 1 << uint8(TimelockController.OperationState.Ready)
        );
        vm.prank(canceller);
        // it should be refused with TimelockUnexpectedOperationState
        vm.expectRevert(
            abi.encodeWithSelector(TimelockController.TimelockUnexpectedOperationState.selector, operation, pending)
        );
        timelock.cancel(operation);
    }

    function test_GivenItMissesItsOwnRemoval() external {
        _administer(address(timelock), _removal());
        bytes memory call = abi.encodeCall(IUsageEscrow.setSettler, (replacement));
        bytes32 operation = _schedule(address(escrow), call);
        bytes32 role = timelock.CANCELLER_ROLE();
        // it should be refused from then on
        vm.prank(canceller);
        vm.expectRevert(_missing(canceller, role));
        timelock.cancel(operation);
        // it should not keep administration from going on
        vm.warp(block.timestamp + WEEK);
        _execute(address(escrow), call);
        vm.assertEq(escrow.settler(), replacement, "settler");
        _administer(address(timelock), abi.encodeCall(IAccessControl.grantRole, (role, replacement)));
        vm.assertTrue(timelock.hasRole(role, replacement), "a new canceller");
        _assertPromisesArePaid();
    }

    function _assertStopped(address target, bytes memory call) private {
        bytes32 operation = _schedule(target, call);
        vm.warp(block.timestamp + WEEK);
        vm.prank(canceller);
        timelock.cancel(operation);
        vm.expectRevert(_notReady(operation));
        timelock.execute(target, 0, call, 0, 0);
    }

    function _removal() private view returns (bytes memory) {
        return abi.encodeCall(IAccessControl.revokeRole, (timelock.CANCELLER_ROLE(), canceller));
    }
}
