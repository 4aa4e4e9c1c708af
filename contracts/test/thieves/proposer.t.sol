// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {IUsageEscrow} from "../../src/interfaces/IUsageEscrow.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {ThiefTest} from "./ThiefTest.sol";

/// @notice Stolen: the key of the admin's proposer. At worst: anything, after seven public days in which the canceller
/// can cancel.
contract ProposerThiefTest is ThiefTest {
    using ClaimTree for ClaimTree.Leaf[];

    function test_WhenTheProposerTriesEveryCall() external {
        // it should be refused all but schedule and scheduleBatch
        _assertRefusedAllBut(
            proposer, _only(TimelockController.schedule.selector, TimelockController.scheduleBatch.selector)
        );
    }

    function test_WhenItProposesAShorterDelay() external {
        bytes memory call = _setRole(accomplice, ICXPTVault.Role.Publisher);
        vm.prank(proposer);
        // it should be refused with TimelockInsufficientDelay
        vm.expectRevert(abi.encodeWithSelector(TimelockController.TimelockInsufficientDelay.selector, WEEK - 1, WEEK));
        timelock.schedule(address(vault), 0, call, 0, 0, WEEK - 1);
    }

    function test_GivenItsOperationIsCancelled() external {
        (address[] memory targets, bytes[] memory calls) = _takeover();
        _scheduleBatch(targets, calls);
        bytes32 operation = timelock.hashOperationBatch(targets, new uint256[](targets.length), calls, 0, 0);
        vm.warp(block.timestamp + WEEK);
        vm.prank(canceller);
        timelock.cancel(operation);
        // it should do nothing
        vm.prank(proposer);
        vm.expectRevert(_notReady(operation));
        timelock.executeBatch(targets, new uint256[](targets.length), calls, 0, 0);
        vm.assertTrue(vault.roleOf(accomplice) == ICXPTVault.Role.None, "role");
        vm.assertEq(escrow.settler(), settler, "settler");
        _assertPools(840 * CXPT, 240 * CXPT, 120 * CXPT);
        _assertPromisesArePaid();
        _assertEscrowIsPaid(1_000 * CXPT);
    }

    function test_GivenNobodyCancels() external {
        (address[] memory targets, bytes[] memory calls) = _takeover();
        _scheduleBatch(targets, calls);
        bytes32 operation = timelock.hashOperationBatch(targets, new uint256[](targets.length), calls, 0, 0);
        // it should do nothing in the seven days
        vm.warp(block.timestamp + WEEK - 1);
        vm.prank(proposer);
        vm.expectRevert(_notReady(operation));
        timelock.executeBatch(targets, new uint256[](targets.length), calls, 0, 0);
        // it should take everything from the vault afterwards
        vm.warp(block.timestamp + 1);
        _executeBatch(targets, calls);
        _emptyTheVault();
        vm.assertEq(token.balanceOf(accomplice), 2_100 * CXPT, "stolen");
        vm.assertEq(token.balanceOf(address(vault)), 0, "left in the Vault");
        // it should charge no more than the limits of the escrow and leave the rest to its owners
        vm.prank(proposer);
        vm.assertEq(escrow.settle(BATCH, _list(customer), _amounts(type(uint256).max)), 100 * CXPT, "charged");
        _assertEscrowIsPaid(900 * CXPT);
    }

    function test_GivenTheProposerIsReplaced() external {
        (address[] memory wrongTargets, bytes[] memory wrongCalls) = _takeover();
        _scheduleBatch(wrongTargets, wrongCalls);
        bytes32 wrong = timelock.hashOperationBatch(wrongTargets, new uint256[](wrongTargets.length), wrongCalls, 0, 0);
        // The key was copied, not lost: its owner proposes the replacement, the canceller stops the rest.
        bytes32 role = timelock.PROPOSER_ROLE();
        address[] memory targets = _list(address(timelock), address(timelock));
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IAccessControl.grantRole, (role, replacement));
        calls[1] = abi.encodeCall(IAccessControl.revokeRole, (role, proposer));
        _scheduleBatch(targets, calls);
        bytes32 operation = timelock.hashOperationBatch(targets, new uint256[](2), calls, 0, 0);
        vm.prank(canceller);
        timelock.cancel(wrong);
        // it should not be able to cancel that
        bytes32 cancellerRole = timelock.CANCELLER_ROLE();
        vm.prank(proposer);
        vm.expectRevert(_missing(proposer, cancellerRole));
        timelock.cancel(operation);
        vm.warp(block.timestamp + WEEK);
        _executeBatch(targets, calls);
        // it should propose nothing more
        vm.prank(proposer);
        vm.expectRevert(_missing(proposer, role));
        timelock.schedule(address(vault), 0, wrongCalls[0], 0, 0, WEEK);
        vm.prank(replacement);
        timelock.schedule(address(vault), 0, wrongCalls[0], 0, 0, WEEK);
        _assertPromisesArePaid();
    }

    function test_GivenTheProposerWasLeftACanceller() external {
        // As OpenZeppelin's constructor leaves it.
        bytes memory arguments = abi.encode(WEEK, _list(proposer), _list(address(0)), address(0));
        timelock = TimelockController(payable(vm.deployCode("TimelockController.sol:TimelockController", arguments)));
        bytes memory call = abi.encodeCall(IAccessControl.revokeRole, (timelock.PROPOSER_ROLE(), proposer));
        bytes32 operation = _schedule(address(timelock), call);
        vm.warp(block.timestamp + WEEK);
        // it should be able to stop its own removal
        vm.prank(proposer);
        timelock.cancel(operation);
        vm.expectRevert(_notReady(operation));
        timelock.execute(address(timelock), 0, call, 0, 0);
    }

    /// @dev Every role that moves money to the thief, no more guardian, no more canceller, no limits.
    function _takeover() private view returns (address[] memory targets, bytes[] memory calls) {
        targets = _ofVault(9);
        calls = new bytes[](9);
        calls[0] = _setRole(proposer, ICXPTVault.Role.Publisher);
        calls[1] = _setRole(replacement, ICXPTVault.Role.Attester);
        calls[2] = _setRole(accomplice, ICXPTVault.Role.Treasurer);
        calls[3] = _setRole(guardian, ICXPTVault.Role.None);
        calls[4] = abi.encodeCall(ICXPTVault.setMaxEpochAmount, (PROVIDER, type(uint96).max));
        calls[5] = abi.encodeCall(ICXPTVault.setMaxEpochAmount, (USER, type(uint96).max));
        calls[6] = abi.encodeCall(ICXPTVault.setActivationDelay, (1 hours));
        (targets[7], calls[7]) = (address(escrow), abi.encodeCall(IUsageEscrow.setSettler, (proposer)));
        (targets[8], calls[8]) =
        (address(timelock), abi.encodeCall(IAccessControl.revokeRole, (timelock.CANCELLER_ROLE(), canceller)));
    }

    function _emptyTheVault() private {
        ClaimTree.Leaf[] memory leaves = _treeFor(accomplice, 840 * CXPT, 420 * CXPT);
        bytes32[] memory nodes = leaves.build();
        vm.prank(proposer);
        vault.publishRoot(NEXT, nodes[0], 840 * CXPT, 420 * CXPT, MANIFEST, 0);
        bytes32 publication = vault.publicationHash(NEXT);
        vm.prank(replacement);
        vault.attestRoot(NEXT, publication);
        vm.warp(block.timestamp + 1 hours);
        _claim(NEXT, nodes, leaves[0]);
        _claim(NEXT, nodes, leaves[1]);
        vm.prank(accomplice);
        vault.withdrawProtocol(accomplice, 840 * CXPT);
    }
}
