// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../../../base/ClaimTree.sol";
import {FaultyToken} from "../../../base/FaultyToken.sol";
import {Vm} from "../../../base/Test.sol";
import {HostileToken} from "../../../HostileToken.sol";
import {VaultUnitTest} from "../../../base/VaultUnitTest.sol";

/// @notice Any call of it reverts.
contract Closed {
    fallback() external payable {
        revert("closed");
    }
}

contract ClaimTest is VaultUnitTest {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    // ---------------------------------------------------------------- pauses

    function test_RevertGiven_ItIsTheLastSecondOfThePause() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        uint256 until = block.timestamp + 14 days;
        vm.prank(guardian);
        vault.pauseClaims();
        // it should revert with ClaimsArePaused
        _refused(FIRST, leaves[0], nodes, abi.encodeWithSelector(ICXPTVault.ClaimsArePaused.selector, until));
        vm.warp(until - 1);
        _refused(FIRST, leaves[0], nodes, abi.encodeWithSelector(ICXPTVault.ClaimsArePaused.selector, until));
    }

    function test_GivenThePauseIsOver() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        vm.prank(guardian);
        vault.pauseClaims();
        vm.warp(block.timestamp + 14 days);
        // it should pay
        vm.assertEq(_claim(FIRST, nodes, leaves[0]), 70, "paid");
    }

    // ---------------------------------------------------------------- roots that do not pay

    function test_RevertGiven_NothingWasPublished() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        uint256[5] memory epochs = [uint256(0), FIRST - 1, FIRST, FIRST + 1, type(uint256).max];
        for (uint256 i = 0; i < epochs.length; i++) {
            // it should revert with RootNotActive
            _refused(epochs[i], leaves[0], leaves.build(), _notActive(epochs[i]));
        }
        // Nor do the epochs beside one that is active, or one that has the same last 24 bits.
        _activateLeaves(70, 30);
        uint256[4] memory others = [uint256(FIRST - 1), FIRST + 1, FIRST + 2 ** 24, FIRST + 2 ** 255];
        for (uint256 i = 0; i < others.length; i++) {
            _refused(others[i], leaves[0], leaves.build(), _notActive(others[i]));
        }
    }

    function test_RevertGiven_AConfirmationIsMissing() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _publish(FIRST, nodes[0], 595, 39);
        vm.warp(START + 365 days);
        // it should revert with RootNotActive however late it is
        _refused(FIRST, leaves[0], nodes, _notActive(FIRST));
    }

    function test_RevertGiven_TheActivationIsASecondAway() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _publish(FIRST, nodes[0], 595, 39);
        _attest(FIRST);
        vm.warp(START + 2 hours - 1);
        // it should revert with RootNotActive
        _refused(FIRST, leaves[0], nodes, _notActive(FIRST));
    }

    function test_RevertGiven_TheRootWasRevoked() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _publish(FIRST, nodes[0], 595, 39);
        _attest(FIRST);
        _revoke(FIRST);
        vm.warp(START + 2 hours);
        // it should revert with RootNotActive
        _refused(FIRST, leaves[0], nodes, _notActive(FIRST));
    }

    function test_RevertGiven_TheRootWasRetired() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        _activate(FIRST + 1, nodes[0], 595, 39);
        vm.prank(admin);
        vault.retireRoot(FIRST);
        // it should revert with RootNotActive
        _refused(FIRST, leaves[0], nodes, _notActive(FIRST));
        vm.assertEq(_claim(FIRST + 1, nodes, leaves[0]), 70, "the later root pays");
    }

    function test_GivenTheActivationSecondHasCome() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _publish(FIRST, nodes[0], 595, 39);
        _attest(FIRST);
        vm.warp(START + 2 hours);
        // it should pay
        vm.assertEq(_claim(FIRST, nodes, leaves[0]), 70, "paid");
    }

    // ---------------------------------------------------------------- leaves that are refused

    function test_RevertWhen_ThePoolIsNeitherOfTheTwo() external {
        uint8[3] memory wrong = [0, 3, 255];
        for (uint256 i = 0; i < wrong.length; i++) {
            ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
            leaves[0].pool = wrong[i];
            bytes32[] memory nodes = leaves.build();
            _activate(FIRST + i, nodes[0], 595, 39);
            // it should revert with InvalidPool
            bytes memory reason = abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, wrong[i]);
            _refused(FIRST + i, leaves[0], nodes, reason);
        }
    }

    function test_RevertWhen_TheAccountIsTheZeroAddress() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        leaves[0].account = address(0);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 595, 39);
        // it should revert with InvalidAccount although the leaf is proven
        _refused(FIRST, leaves[0], nodes, abi.encodeWithSelector(ICXPTVault.InvalidAccount.selector, address(0)));
    }

    function test_RevertWhen_OneOfItsValuesIsAnother() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        bytes32[] memory proof = nodes.prove(leaves[0]);
        // it should revert with InvalidProof
        _unproven(FIRST, USER, provider, 70, proof);
        _unproven(FIRST, PROVIDER, stranger, 70, proof);
        _unproven(FIRST, PROVIDER, provider, 71, proof);
        _unproven(FIRST, PROVIDER, provider, 69, proof);
        _unproven(FIRST, PROVIDER, provider, 0, proof);
        _unproven(FIRST, PROVIDER, provider, type(uint256).max, proof);
    }

    function test_RevertWhen_TheProofIsAnother() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        bytes32[] memory proof = nodes.prove(leaves[0]);
        // it should revert with InvalidProof
        _unproven(FIRST, PROVIDER, provider, 70, new bytes32[](0));
        _unproven(FIRST, PROVIDER, provider, 70, new bytes32[](proof.length));
        _unproven(FIRST, PROVIDER, provider, 70, nodes.prove(leaves[1]));
        bytes32[] memory other = new bytes32[](proof.length - 1);
        for (uint256 i = 0; i < other.length; i++) {
            other[i] = proof[i];
        }
        _unproven(FIRST, PROVIDER, provider, 70, other);
        other = new bytes32[](proof.length + 1);
        for (uint256 i = 0; i < proof.length; i++) {
            other[i] = proof[i];
        }
        _unproven(FIRST, PROVIDER, provider, 70, other);
        (proof[0], proof[1]) = (proof[1], proof[0]);
        _unproven(FIRST, PROVIDER, provider, 70, proof);
    }

    function test_RevertWhen_TheLeafBelongsToAnotherEpoch() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        ClaimTree.Leaf[] memory later = _leaves(90, 30);
        bytes32[] memory laterNodes = later.build();
        _activate(FIRST + 1, laterNodes[0], 615, 39);
        // it should revert with InvalidProof
        _unproven(FIRST + 1, PROVIDER, provider, 70, nodes.prove(leaves[0]));
        _unproven(FIRST, PROVIDER, provider, 90, laterNodes.prove(later[0]));
    }

    function test_RevertWhen_TheLeafWasHashedOnce() external {
        // Leaves are hashed twice and nodes once, so that no node can be taken for a leaf.
        bytes32 node = keccak256(abi.encode(PROVIDER, provider, 70));
        _activate(FIRST, node, 70, 0);
        // it should revert with InvalidProof
        _unproven(FIRST, PROVIDER, provider, 70, new bytes32[](0));
    }

    function test_RevertGiven_TheRootIsZero() external {
        _activate(FIRST, 0, 0, 0);
        // it should revert with InvalidProof
        _unproven(FIRST, PROVIDER, provider, 70, new bytes32[](0));
        _unproven(FIRST, PROVIDER, provider, 0, new bytes32[](0));
        _unproven(FIRST, USER, provider, 70, new bytes32[](2));
    }

    // ---------------------------------------------------------------- more than is promised

    function test_RevertWhen_ItIsOneUnitMore() external {
        ClaimTree.Leaf[] memory leaves = _leaves(596, 40);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 595, 39);
        // it should revert with PromiseExceeded and record nothing
        _refused(FIRST, leaves[0], nodes, _exceeded(PROVIDER, 595, 596));
        _refused(FIRST, leaves[1], nodes, _exceeded(USER, 39, 40));
    }

    function test_RevertWhen_ItIsTheLargestOf256Bits() external {
        ClaimTree.Leaf[] memory leaves = _leaves(type(uint256).max, type(uint256).max);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 595, 39);
        // it should revert with PromiseExceeded
        _refused(FIRST, leaves[0], nodes, _exceeded(PROVIDER, 595, type(uint256).max));
        _refused(FIRST, leaves[1], nodes, _exceeded(USER, 39, type(uint256).max));
        // Nor one that would be small in 96 bits.
        leaves = _leaves(2 ** 96 + 1, 30);
        nodes = leaves.build();
        _activate(FIRST + 1, nodes[0], 595, 39);
        _refused(FIRST + 1, leaves[0], nodes, _exceeded(PROVIDER, 595, 2 ** 96 + 1));
    }

    function test_RevertGiven_APartOfTheLargestWasClaimed() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        _claim(FIRST, nodes, leaves[0]);
        leaves = _leaves(type(uint256).max, 30);
        nodes = leaves.build();
        _activate(FIRST + 1, nodes[0], 595, 39);
        vm.prank(stranger);
        // it should revert with PromiseExceeded of the difference
        vm.expectRevert(_exceeded(PROVIDER, 525, type(uint256).max - 70));
        vault.claim(FIRST + 1, PROVIDER, provider, type(uint256).max, nodes.prove(leaves[0]));
        _assertPaid(70, 0);
    }

    function test_RevertGiven_OthersWerePaidBefore() external {
        ClaimTree.Leaf[] memory leaves = _leaves(100, 30);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 202, 30);
        _claim(FIRST, nodes, leaves[3]);
        vm.prank(stranger);
        // it should revert with PromiseExceeded of what is left
        vm.expectRevert(_exceeded(PROVIDER, 99, 100));
        vault.claim(FIRST, PROVIDER, provider, 100, nodes.prove(leaves[0]));
        _claim(FIRST, nodes, leaves[1]);
        vm.prank(stranger);
        vm.expectRevert(_exceeded(USER, 0, 9));
        vault.claim(FIRST, USER, provider, 9, nodes.prove(leaves[2]));
        _assertPaid(103, 30);
    }

    function test_RevertGiven_APendingRootPromisesMore() external {
        ClaimTree.Leaf[] memory leaves = _leaves(596, 40);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 595, 39);
        _publish(FIRST + 1, nodes[0], 1_000, 1_000);
        // it should revert with PromiseExceeded of what the active one promises
        _refused(FIRST, leaves[0], nodes, _exceeded(PROVIDER, 595, 596));
        _refused(FIRST, leaves[1], nodes, _exceeded(USER, 39, 40));
    }

    // ---------------------------------------------------------------- nothing due

    function test_WhenTheAmountIsZero() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(0, 30);
        bytes32[] memory proof = nodes.prove(leaves[0]);
        vm.recordLogs();
        uint256 paid = vault.claim(FIRST, PROVIDER, provider, 0, proof);
        // it should emit ClaimSkipped
        _assertSkipped(vm.getRecordedLogs());
        // it should pay nothing
        vm.assertEq(paid, 0, "paid");
        _assertPaid(0, 0);
    }

    function test_GivenTheLeafWasClaimed() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        _claim(FIRST, nodes, leaves[0]);
        vm.recordLogs();
        uint256 paid = _claim(FIRST, nodes, leaves[0]);
        // it should emit ClaimSkipped
        _assertSkipped(vm.getRecordedLogs());
        // it should pay nothing
        vm.assertEq(paid, 0, "paid");
        vm.assertEq(token.balanceOf(provider), 70, "what the provider has");
        _assertPaid(70, 0);
    }

    function test_GivenALaterRootWasClaimed() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        ClaimTree.Leaf[] memory later = _leaves(90, 30);
        bytes32[] memory laterNodes = later.build();
        _activate(FIRST + 1, laterNodes[0], 615, 39);
        _claim(FIRST + 1, laterNodes, later[0]);
        vm.recordLogs();
        uint256 paid = _claim(FIRST, nodes, leaves[0]);
        // it should emit ClaimSkipped and keep what is recorded
        _assertSkipped(vm.getRecordedLogs());
        vm.assertEq(paid, 0, "paid");
        vm.assertEq(vault.claimed(PROVIDER, provider), 90, "claimed");
        _assertPaid(90, 0);
    }

    // ---------------------------------------------------------------- due

    function test_WhenThePoolIsTheProviderPool() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        // it should emit Claimed
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.Claimed(FIRST, PROVIDER, provider, 70, 70, stranger);
        vm.assertEq(_claim(FIRST, nodes, leaves[0]), 70, "returned");
        // it should pay the account and not the caller
        vm.assertEq(token.balanceOf(provider), 70, "what the provider has");
        vm.assertEq(token.balanceOf(stranger), 0, "what the caller has");
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT - 70, "what the Vault holds");
        // it should record what was paid
        vm.assertEq(vault.claimed(PROVIDER, provider), 70, "claimed by the provider");
        vm.assertEq(vault.claimed(USER, provider), 0, "claimed by the provider as a user");
        vm.assertEq(vault.claimedTotal(PROVIDER), 70, "claimed of the provider pool");
        vm.assertEq(vault.claimedTotal(USER), 0, "claimed of the user pool");
        vm.assertEq(vault.liability(PROVIDER), 525, "liability of the provider pool");
        // it should leave pools and promises
        _assertPools(800 * CXPT, 800 * CXPT - 595, 400 * CXPT - 39);
        vm.assertEq(vault.promised(PROVIDER), 595, "promised");
        vm.assertEq(vault.surplus(), 0, "surplus");
        _assertSolvent();
    }

    function test_WhenThePoolIsTheUserPool() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        bytes32[] memory proof = nodes.prove(leaves[1]);
        // it should emit Claimed
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.Claimed(FIRST, USER, user, 30, 30, user);
        vm.prank(user);
        vm.assertEq(vault.claim(FIRST, USER, user, 30, proof), 30, "returned");
        // it should pay the account from the user pool alone
        vm.assertEq(token.balanceOf(user), 30, "what the user has");
        vm.assertEq(vault.claimed(USER, user), 30, "claimed by the user");
        vm.assertEq(vault.claimed(PROVIDER, user), 0, "claimed by the user as a provider");
        _assertPaid(0, 30);
        _claim(FIRST, nodes, leaves[2]);
        vm.assertEq(vault.claimed(USER, provider), 9, "claimed by the provider as a user");
        vm.assertEq(vault.claimed(PROVIDER, provider), 0, "claimed by the provider");
        _assertPaid(0, 39);
    }

    function test_GivenAPartWasClaimedBefore() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        _claim(FIRST, nodes, leaves[0]);
        _claim(FIRST, nodes, leaves[1]);
        leaves = _leaves(100, 31);
        nodes = leaves.build();
        _activate(FIRST + 1, nodes[0], 625, 40);
        // it should pay the difference
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.Claimed(FIRST + 1, PROVIDER, provider, 30, 100, stranger);
        vm.assertEq(_claim(FIRST + 1, nodes, leaves[0]), 30, "paid to the provider");
        vm.assertEq(_claim(FIRST + 1, nodes, leaves[1]), 1, "paid to the user");
        vm.assertEq(token.balanceOf(provider), 100, "what the provider has");
        vm.assertEq(vault.claimed(PROVIDER, provider), 100, "claimed by the provider");
        _assertPaid(100, 31);
    }

    function test_WhenTheTreeIsASingleLeaf() external {
        ClaimTree.Leaf memory leaf = ClaimTree.Leaf(PROVIDER, provider, 70);
        _activate(FIRST, ClaimTree.hash(leaf), 70, 0);
        // it should pay for an empty proof
        vm.assertEq(vault.claim(FIRST, PROVIDER, provider, 70, new bytes32[](0)), 70, "paid");
        _assertPaid(70, 0);
    }

    function test_GivenEveryLeafIsClaimed() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        for (uint256 i = 0; i < leaves.length; i++) {
            vm.assertEq(_claim(FIRST, nodes, leaves[i]), leaves[i].amount, "paid");
        }
        // it should leave no liability
        vm.assertEq(vault.liability(PROVIDER), 0, "liability of the provider pool");
        vm.assertEq(vault.liability(USER), 0, "liability of the user pool");
        _assertPaid(595, 39);
    }

    function test_GivenTheLeavesAddUpToMoreThanTheTotal() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 70, 0);
        // it should pay the first comers
        vm.assertEq(_claim(FIRST, nodes, leaves[0]), 70, "paid to the first");
        vm.expectRevert(_exceeded(PROVIDER, 0, 103));
        vault.claim(FIRST, PROVIDER, leaves[3].account, 103, nodes.prove(leaves[3]));
        _assertPaid(70, 0);
    }

    function test_GivenTheNewestIsActive() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 69, 29);
        _activate(FIRST + 1, ROOT, 70, 30);
        // it should pay up to what the newest promises
        vm.assertEq(_claim(FIRST, nodes, leaves[0]), 70, "paid to the provider");
        vm.assertEq(_claim(FIRST, nodes, leaves[1]), 30, "paid to the user");
        _assertPaid(70, 30);
    }

    function test_GivenTheNewestIsPending() external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 50, 20);
        _activate(FIRST + 1, ROOT, 70, 29);
        _publish(FIRST + 2, ROOT, 800, 300);
        // it should pay up to what the one before it promises
        vm.assertEq(_claim(FIRST, nodes, leaves[0]), 70, "paid to the provider");
        vm.expectRevert(_exceeded(USER, 29, 30));
        vault.claim(FIRST, USER, user, 30, nodes.prove(leaves[1]));
        _assertPaid(70, 0);
        _attest(FIRST + 2);
        vm.warp(vault.rootAt(FIRST + 2).activatesAt);
        vm.assertEq(_claim(FIRST, nodes, leaves[1]), 30, "paid once the newest is active");
    }

    function test_GivenPublishingIsPaused() external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        vm.prank(guardian);
        vault.pausePublishing();
        // it should pay
        vm.assertEq(_claim(FIRST, nodes, leaves[0]), 70, "paid");
    }

    // ---------------------------------------------------------------- receivers

    function test_WhenTheAccountIsAContract() external {
        address closed = address(new Closed());
        (bool open,) = closed.call("");
        vm.assertFalse(open, "a call of it");
        ClaimTree.Leaf memory leaf = _activateSingle(closed);
        // it should pay it and call nothing of it
        vm.assertEq(vault.claim(FIRST, PROVIDER, leaf.account, 70, new bytes32[](0)), 70, "paid");
        vm.assertEq(token.balanceOf(closed), 70, "what the contract has");
    }

    function test_WhenTheAccountIsTheVault() external {
        _activateSingle(address(vault));
        // it should record the amount and keep it as surplus
        vm.assertEq(vault.claim(FIRST, PROVIDER, address(vault), 70, new bytes32[](0)), 70, "paid");
        vm.assertEq(vault.claimed(PROVIDER, address(vault)), 70, "claimed by the Vault");
        vm.assertEq(vault.claimedTotal(PROVIDER), 70, "claimed in all");
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT, "what the Vault holds");
        vm.assertEq(vault.surplus(), 70, "surplus");
        _assertSolvent();
    }

    function test_WhenTheAccountIsTheToken() external {
        _activateSingle(address(token));
        // it should pay it like anyone
        vm.assertEq(vault.claim(FIRST, PROVIDER, address(token), 70, new bytes32[](0)), 70, "paid");
        vm.assertEq(token.balanceOf(address(token)), 70, "what the token has");
        _assertPaid(70, 0);
    }

    function test_WhenTheAmountFillsThe96Bits() external {
        _onHostile();
        vm.startPrank(payer);
        vault.fundPool(PROVIDER, TOP - 800 * CXPT);
        vault.fundPool(USER, TOP - 400 * CXPT);
        vm.stopPrank();
        vm.startPrank(admin);
        vault.setMaxEpochAmount(PROVIDER, uint96(TOP));
        vault.setMaxEpochAmount(USER, uint96(TOP));
        vm.stopPrank();
        ClaimTree.Leaf[] memory leaves = _leaves(TOP, TOP);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], TOP, TOP);
        // it should pay it whole
        vm.assertEq(_claim(FIRST, nodes, leaves[0]), TOP, "paid to the provider");
        vm.assertEq(_claim(FIRST, nodes, leaves[1]), TOP, "paid to the user");
        vm.assertEq(vault.claimed(PROVIDER, provider), TOP, "claimed by the provider");
        vm.assertEq(vault.claimed(USER, user), TOP, "claimed by the user");
        vm.assertEq(token.balanceOf(address(vault)), 800 * CXPT, "what the Vault holds");
        vm.assertEq(vault.liability(PROVIDER) + vault.liability(USER), 0, "liability");
    }

    // ---------------------------------------------------------------- other tokens

    function test_GivenTheTokenKeepsAFee() external {
        HostileToken hostile = _onHostile();
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        hostile.setFee(1_000);
        // it should pay the amount out and record it
        vm.assertEq(_claim(FIRST, nodes, leaves[0]), 70, "paid");
        vm.assertEq(token.balanceOf(provider), 63, "what the provider has");
        _assertPaid(70, 0);
    }

    function test_RevertGiven_TheTokenReverts() external {
        FaultyToken faulty = _onFaulty();
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        faulty.setReverting(true);
        // it should revert as the token does and record nothing
        _refused(FIRST, leaves[0], nodes, abi.encodeWithSelector(FaultyToken.OutOfOrder.selector));
    }

    function test_RevertGiven_TheTokenReturnsFalse() external {
        FaultyToken faulty = _onFaulty();
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        faulty.setSilent(true);
        // it should revert with SafeERC20FailedOperation and record nothing
        bytes memory reason = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token));
        _refused(FIRST, leaves[0], nodes, reason);
    }

    function test_GivenTheTokenCallsBack() external {
        HostileToken hostile = _onHostile();
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateLeaves(70, 30);
        bytes[] memory calls = _moneyCalls();
        // The last leaf is due, and claimed by nobody else here.
        calls[3] = abi.encodeCall(ICXPTVault.claim, (FIRST, PROVIDER, leaves[7].account, 107, nodes.prove(leaves[7])));
        uint256 paid = 0;
        for (uint256 i = 0; i < calls.length; i++) {
            hostile.setCall(address(vault), calls[i]);
            paid += _claim(FIRST, nodes, leaves[i]);
            // it should refuse everything that moves money
            _assertGuarded(hostile);
            // it should pay once
            vm.assertEq(vault.claimedTotal(PROVIDER) + vault.claimedTotal(USER), paid, "claimed in all");
            vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT - paid, "what the Vault holds");
        }
        vm.assertEq(token.balanceOf(provider), 79, "what the provider has");
        _assertPools(800 * CXPT, 800 * CXPT - 595, 400 * CXPT - 39);
    }

    // ---------------------------------------------------------------- inside

    function _activateSingle(address account) private returns (ClaimTree.Leaf memory leaf) {
        leaf = ClaimTree.Leaf(PROVIDER, account, 70);
        _activate(FIRST, ClaimTree.hash(leaf), 70, 0);
    }

    /// @dev Nothing was paid before.
    function _refused(uint256 epoch, ClaimTree.Leaf memory leaf, bytes32[] memory nodes, bytes memory reason) private {
        bytes32[] memory proof = nodes.prove(leaf);
        vm.prank(leaf.account);
        vm.expectRevert(reason);
        vault.claim(epoch, leaf.pool, leaf.account, leaf.amount, proof);
        vm.assertEq(token.balanceOf(leaf.account), 0, "what the account has");
        _assertPaid(0, 0);
    }

    function _unproven(uint256 epoch, uint8 pool, address account, uint256 amount, bytes32[] memory proof) private {
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.InvalidProof.selector, pool, account, amount));
        vault.claim(epoch, pool, account, amount, proof);
        _assertPaid(0, 0);
    }

    function _assertPaid(uint256 fromProviderPool, uint256 fromUserPool) private view {
        vm.assertEq(vault.claimedTotal(PROVIDER), fromProviderPool, "claimed of the provider pool");
        vm.assertEq(vault.claimedTotal(USER), fromUserPool, "claimed of the user pool");
        uint256 left = 2_000 * CXPT - fromProviderPool - fromUserPool;
        vm.assertEq(token.balanceOf(address(vault)), left, "what the Vault holds");
    }

    function _assertSkipped(Vm.Log[] memory logs) private view {
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].emitter, address(vault), "by the Vault");
        vm.assertEq(logs[0].topics[0], ICXPTVault.ClaimSkipped.selector, "ClaimSkipped");
        vm.assertEq(logs[0].topics[1], bytes32(0), "index");
        vm.assertEq(logs[0].topics[2], bytes32(uint256(uint160(provider))), "account");
        vm.assertEq(logs[0].data, abi.encode(ICXPTVault.ClaimCode.NothingDue), "code");
    }

    function _notActive(uint256 epoch) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, epoch);
    }

    function _exceeded(uint8 pool, uint256 unpaid, uint256 amount) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ICXPTVault.PromiseExceeded.selector, pool, unpaid, amount);
    }
}
