// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CXPTVault} from "../../../../src/CXPTVault.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract PublishRootTest is VaultTest {
    bytes32 private constant ROOT = bytes32(uint256(0x11));

    // ---------------------------------------------------------------- refused

    function test_RevertWhen_TheCallerIsNotAPublisher() external {
        vm.prank(guardian);
        // it should revert with WrongRole and the role held
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, guardian, ICXPTVault.Role.Guardian));
        vault.publishRoot(FIRST, ROOT, 1, 1, MANIFEST, 0);
    }

    function test_RevertGiven_PublishingIsPaused() external {
        vm.prank(guardian);
        vault.pausePublishing();
        uint256 until = vault.publishingPausedUntil();
        vm.warp(until - 1);
        // it should revert with PublishingIsPaused until the last second
        _refused(FIRST, ROOT, 1, 1, 0, abi.encodeWithSelector(ICXPTVault.PublishingIsPaused.selector, until));
        vm.warp(until);
        _publish(FIRST, ROOT, 1, 1);
        vm.assertEq(vault.nextEpoch(), FIRST + 1, "published at the second of the lapse");
    }

    function test_RevertWhen_TheEpochIsNotNext() external {
        // it should revert with NotNextEpoch for an earlier or later one
        _refused(FIRST - 1, ROOT, 1, 1, 0, abi.encodeWithSelector(ICXPTVault.NotNextEpoch.selector, FIRST, FIRST - 1));
        _refused(FIRST + 1, ROOT, 1, 1, 0, abi.encodeWithSelector(ICXPTVault.NotNextEpoch.selector, FIRST, FIRST + 1));
        uint256 top = type(uint256).max;
        _refused(top, ROOT, 1, 1, 0, abi.encodeWithSelector(ICXPTVault.NotNextEpoch.selector, FIRST, top));
    }

    function test_RevertGiven_AnotherRootIsPending() external {
        _publish(FIRST, ROOT, 1, 1);
        bytes memory pending = abi.encodeWithSelector(ICXPTVault.RootPending.selector, FIRST);
        // it should revert with RootPending, also once that one is confirmed
        _refused(FIRST + 1, ROOT, 2, 2, 0, pending);
        _refused(FIRST, ROOT, 2, 2, 0, pending);
        _attest(FIRST);
        _refused(FIRST + 1, ROOT, 2, 2, 0, pending);
        vm.warp(vault.rootAt(FIRST).activatesAt);
        _publish(FIRST + 1, ROOT, 2, 2);
        vm.assertEq(vault.nextEpoch(), FIRST + 2, "published once it is active");
    }

    function test_RevertWhen_TheCountOfRevocationsIsAnother() external {
        // it should revert with WrongRevocations before and after a revocation
        _refused(FIRST, ROOT, 1, 1, 1, abi.encodeWithSelector(ICXPTVault.WrongRevocations.selector, 0, 1));
        _publish(FIRST, ROOT, 1, 1);
        _revoke(FIRST);
        _refused(FIRST, ROOT, 1, 1, 0, abi.encodeWithSelector(ICXPTVault.WrongRevocations.selector, 1, 0));
    }

    function test_RevertWhen_TheZeroRootPromisesMoney() external {
        // it should revert with ZeroRoot for either pool
        _refused(FIRST, 0, 1, 0, 0, abi.encodeWithSelector(ICXPTVault.ZeroRoot.selector));
        _refused(FIRST, 0, 0, 1, 0, abi.encodeWithSelector(ICXPTVault.ZeroRoot.selector));
    }

    function test_RevertWhen_ATotalFalls() external {
        _activate(FIRST, ROOT, 70, 30);
        // it should revert with TotalFell and both values
        _refused(FIRST + 1, ROOT, 69, 30, 0, abi.encodeWithSelector(ICXPTVault.TotalFell.selector, PROVIDER, 70, 69));
        _refused(FIRST + 1, ROOT, 70, 29, 0, abi.encodeWithSelector(ICXPTVault.TotalFell.selector, USER, 30, 29));
        _refused(FIRST + 1, ROOT, 70, 0, 0, abi.encodeWithSelector(ICXPTVault.TotalFell.selector, USER, 30, 0));
    }

    function test_RevertWhen_TheIncreasePassesThePool() external {
        // it should revert with PoolTooSmall and both values
        _refused(
            FIRST,
            ROOT,
            800 * CXPT + 1,
            0,
            0,
            abi.encodeWithSelector(ICXPTVault.PoolTooSmall.selector, PROVIDER, 800 * CXPT, 800 * CXPT + 1)
        );
        _refused(
            FIRST,
            ROOT,
            0,
            400 * CXPT + 1,
            0,
            abi.encodeWithSelector(ICXPTVault.PoolTooSmall.selector, USER, 400 * CXPT, 400 * CXPT + 1)
        );
    }

    function test_RevertWhen_ATotalIsTheLargestOf256Bits() external {
        uint256 top = type(uint256).max;
        // it should revert with PoolTooSmall
        _refused(
            FIRST, ROOT, top, 0, 0, abi.encodeWithSelector(ICXPTVault.PoolTooSmall.selector, PROVIDER, 800 * CXPT, top)
        );
        _refused(
            FIRST, ROOT, 0, top, 0, abi.encodeWithSelector(ICXPTVault.PoolTooSmall.selector, USER, 400 * CXPT, top)
        );
    }

    function test_RevertWhen_TheIncreasePassesTheLimitOfAnEpoch() external {
        _deposit(10_000 * CXPT);
        // it should revert with EpochLimitExceeded and both values
        _refused(
            FIRST,
            ROOT,
            1_000 * CXPT + 1,
            0,
            0,
            abi.encodeWithSelector(ICXPTVault.EpochLimitExceeded.selector, PROVIDER, 1_000 * CXPT, 1_000 * CXPT + 1)
        );
        _refused(
            FIRST,
            ROOT,
            0,
            500 * CXPT + 1,
            0,
            abi.encodeWithSelector(ICXPTVault.EpochLimitExceeded.selector, USER, 500 * CXPT, 500 * CXPT + 1)
        );
        _activate(FIRST, ROOT, 1_000 * CXPT, 500 * CXPT);
        _publish(FIRST + 1, ROOT, 2_000 * CXPT, 1_000 * CXPT);
        vm.assertEq(vault.promised(PROVIDER), 2_000 * CXPT, "the limit is for each epoch");
    }

    function test_RevertGiven_TheEpochNumbersAreUsedUp() external {
        ICXPTVault.Config memory config = _config(token);
        config.firstEpoch = type(uint24).max;
        vault = new CXPTVault(config);
        // it should revert with the panic of an overflow and record nothing
        _refused(type(uint24).max, 0, 0, 0, 0, abi.encodeWithSignature("Panic(uint256)", 0x11));
        vm.assertEq(vault.nextEpoch(), type(uint24).max, "unchanged");
        vm.assertEq(uint256(vault.rootAt(type(uint24).max).status), 0, "no record");
    }

    // ---------------------------------------------------------------- published

    function test_WhenEveryRuleHolds() external {
        // it should emit RootPublished with totals and increases and the time of activation
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.RootPublished(FIRST, ROOT, MANIFEST, 70, 30, 70, 30, START + 2 hours);
        _publish(FIRST, ROOT, 70, 30);
        ICXPTVault.RootRecord memory record = vault.rootAt(FIRST);
        // it should record what was published
        vm.assertEq(record.root, ROOT, "root");
        vm.assertEq(record.manifestHash, MANIFEST, "manifest");
        vm.assertEq(record.providerTotal, 70, "provider total");
        vm.assertEq(record.userTotal, 30, "user total");
        vm.assertEq(record.activatesAt, START + 2 hours, "activation");
        vm.assertEq(record.attestationsMissing, 1, "missing");
        vm.assertEq(uint256(record.status), uint256(ICXPTVault.RootStatus.Pending), "status");
        // it should promise the totals out of the pools
        vm.assertEq(vault.promised(PROVIDER), 70, "promised");
        vm.assertEq(vault.promised(USER), 30, "promised");
        vm.assertEq(vault.pools().providerAmount, 800 * CXPT - 70, "provider pool");
        vm.assertEq(vault.pools().userAmount, 400 * CXPT - 30, "user pool");
        vm.assertEq(vault.pools().protocolAmount, 800 * CXPT, "protocol pool");
        // it should be the pending one
        (bool exists, uint256 epoch) = vault.pendingRoot();
        vm.assertTrue(exists && epoch == FIRST, "pending");
        vm.assertEq(vault.nextEpoch(), FIRST + 1, "next");
        _assertSolvent();
    }

    function test_WhenTheIncreaseIsJustThePool() external {
        _publish(FIRST, ROOT, 800 * CXPT, 400 * CXPT);
        // it should promise all of it
        vm.assertEq(vault.pools().providerAmount, 0, "provider pool");
        vm.assertEq(vault.pools().userAmount, 0, "user pool");
        _assertSolvent();
    }

    function test_GivenAnEarlierRoot() external {
        _activate(FIRST, ROOT, 70, 30);
        // it should promise the increase alone
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.RootPublished(FIRST + 1, ROOT, MANIFEST, 71, 30, 1, 0, block.timestamp + 2 hours);
        _publish(FIRST + 1, ROOT, 71, 30);
        vm.assertEq(vault.pools().providerAmount, 800 * CXPT - 71, "provider pool");
    }

    function test_WhenNothingIsPromised() external {
        _publish(FIRST, 0, 0, 0);
        // it should take the zero root
        vm.assertEq(vault.rootAt(FIRST).root, 0, "root");
        vm.assertEq(vault.nextEpoch(), FIRST + 1, "next");
    }

    function test_GivenMoreAttestersAreNeeded() external {
        vm.prank(admin);
        vault.setAttestersRequired(2);
        _publish(FIRST, ROOT, 1, 1);
        vm.prank(admin);
        vault.setAttestersRequired(1);
        // it should need the number that held at publication
        vm.assertEq(vault.rootAt(FIRST).attestationsMissing, 2, "missing");
    }

    function _refused(
        uint256 epoch,
        bytes32 root,
        uint256 forProviders,
        uint256 forUsers,
        uint256 revocations,
        bytes memory reason
    ) private {
        vm.prank(publisher);
        vm.expectRevert(reason);
        vault.publishRoot(epoch, root, forProviders, forUsers, MANIFEST, revocations);
    }
}
