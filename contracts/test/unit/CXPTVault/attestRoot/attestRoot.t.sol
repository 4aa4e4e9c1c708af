// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

/// @dev The root of epoch 5 is pending; it activates two hours after the start at the earliest.
contract AttestRootTest is VaultTest {
    bytes32 private _publication;

    function setUp() public override {
        super.setUp();
        _publication = _publish(FIRST, bytes32(uint256(1)), 70, 30);
    }

    function test_RevertWhen_TheCallerIsNotAnAttester() external {
        vm.prank(publisher);
        // it should revert with WrongRole and the role held
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, publisher, ICXPTVault.Role.Publisher));
        vault.attestRoot(FIRST, _publication);
    }

    function test_RevertGiven_PublishingIsPaused() external {
        vm.prank(guardian);
        vault.pausePublishing();
        // it should revert with PublishingIsPaused
        _refused(
            FIRST,
            _publication,
            abi.encodeWithSelector(ICXPTVault.PublishingIsPaused.selector, vault.publishingPausedUntil())
        );
    }

    function test_RevertWhen_NoSuchRootIsPending() external {
        // it should revert with RootNotPending for another epoch
        _refused(FIRST + 1, _publication, abi.encodeWithSelector(ICXPTVault.RootNotPending.selector, FIRST + 1));
        _revoke(FIRST);
        // it should revert with RootNotPending for a revoked one
        _refused(FIRST, _publication, abi.encodeWithSelector(ICXPTVault.RootNotPending.selector, FIRST));
    }

    function test_RevertGiven_TheRootIsActive() external {
        _attest(FIRST);
        vm.warp(START + 2 hours);
        vm.prank(attester2);
        // it should revert with RootNotPending
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.RootNotPending.selector, FIRST));
        vault.attestRoot(FIRST, _publication);
    }

    function test_RevertWhen_SomethingElseIsConfirmed() external {
        // it should revert with WrongPublication and both hashes
        _refused(
            FIRST,
            bytes32(uint256(1)),
            abi.encodeWithSelector(ICXPTVault.WrongPublication.selector, _publication, bytes32(uint256(1)))
        );
        _revoke(FIRST);
        bytes32 again = _publish(FIRST, bytes32(uint256(1)), 70, 30);
        // it should not take the confirmation of the same root before a revocation
        _refused(FIRST, _publication, abi.encodeWithSelector(ICXPTVault.WrongPublication.selector, again, _publication));
    }

    function test_RevertGiven_TheAttesterConfirmedBefore() external {
        _attest(FIRST);
        // it should revert with AlreadyAttested
        _refused(FIRST, _publication, abi.encodeWithSelector(ICXPTVault.AlreadyAttested.selector, FIRST, attester));
    }

    function test_RevertGiven_NothingIsMissing() external {
        _attest(FIRST);
        vm.prank(attester2);
        // it should revert with AttestationsComplete
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.AttestationsComplete.selector, FIRST));
        vault.attestRoot(FIRST, _publication);
    }

    function test_WhenTheConfirmationComesEarly() external {
        vm.warp(START + 1 hours);
        // it should emit RootAttested with the time of activation as published
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.RootAttested(FIRST, attester, _publication, 0, START + 2 hours);
        _attest(FIRST);
        // it should be remembered
        vm.assertTrue(vault.hasAttested(_publication, attester), "attested");
        vm.assertFalse(vault.hasAttested(_publication, attester2), "the other did not");
        vm.assertEq(vault.rootAt(FIRST).attestationsMissing, 0, "missing");
        // it should activate when the delay is over and not a second before
        _assertActiveFrom(START + 2 hours);
    }

    function test_WhenTheConfirmationComesLate() external {
        vm.warp(START + 1 hours + 1);
        // it should emit RootAttested with the later time of activation
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.RootAttested(FIRST, attester, _publication, 0, START + 2 hours + 1);
        _attest(FIRST);
        // it should activate an hour after it and not a second before
        _assertActiveFrom(START + 2 hours + 1);
    }

    function test_WhenTheConfirmationComesDaysLate() external {
        vm.warp(START + 30 days);
        (bool exists,) = vault.latestActiveEpoch();
        // it should not have been active without it
        vm.assertFalse(exists, "active");
        _attest(FIRST);
        // it should leave the guardian an hour
        _assertActiveFrom(START + 30 days + 1 hours);
    }

    function test_GivenTwoConfirmationsAreNeeded() external {
        _revoke(FIRST);
        vm.prank(admin);
        vault.setAttestersRequired(2);
        _publication = _publish(FIRST, bytes32(uint256(1)), 70, 30);
        vm.warp(START + 90 minutes);
        // it should leave the time of activation alone at the first
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.RootAttested(FIRST, attester, _publication, 1, START + 2 hours);
        _attest(FIRST);
        vm.warp(START + 10 hours);
        (bool exists,) = vault.latestActiveEpoch();
        vm.assertFalse(exists, "not active with one");
        vm.prank(admin);
        vault.setRole(attester, ICXPTVault.Role.None);
        vm.prank(attester2);
        vault.attestRoot(FIRST, _publication);
        // it should activate an hour after the completing one, also when the first attester is gone
        _assertActiveFrom(START + 11 hours);
    }

    function _assertActiveFrom(uint256 time) private {
        vm.assertEq(vault.rootAt(FIRST).activatesAt, time, "time of activation");
        vm.warp(time - 1);
        vm.assertEq(uint256(vault.rootAt(FIRST).status), uint256(ICXPTVault.RootStatus.Pending), "a second before");
        vm.warp(time);
        vm.assertEq(uint256(vault.rootAt(FIRST).status), uint256(ICXPTVault.RootStatus.Active), "at that second");
    }

    function _refused(uint256 epoch, bytes32 publication, bytes memory reason) private {
        vm.prank(attester);
        vm.expectRevert(reason);
        vault.attestRoot(epoch, publication);
    }
}
