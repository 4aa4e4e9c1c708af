// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {CXPTVault} from "../../../../src/CXPTVault.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

contract ConstructorTest is VaultTest {
    function test_RevertWhen_TheTokenHasNoCode() external {
        ICXPTVault.Config memory config = _config(IERC20(stranger));
        // it should revert with NotAToken
        _refused(config, abi.encodeWithSelector(ICXPTVault.NotAToken.selector, stranger));
        config.token = IERC20(address(0));
        _refused(config, abi.encodeWithSelector(ICXPTVault.NotAToken.selector, address(0)));
    }

    function test_RevertWhen_ARoleGoesToZero() external {
        ICXPTVault.Config memory config = _config(token);
        bytes memory reason =
            abi.encodeWithSelector(ICXPTVault.RoleNotChangeable.selector, address(0), ICXPTVault.Role.None);
        config.admin = address(0);
        // it should revert with RoleNotChangeable
        _refused(config, reason);
        config = _config(token);
        config.guardians = _list(address(0));
        _refused(config, reason);
    }

    function test_RevertWhen_AnAddressWouldHoldTwoRoles() external {
        ICXPTVault.Config memory config = _config(token);
        config.treasurers = _list(guardian);
        // it should revert with RoleNotChangeable and the role it has
        _refused(
            config, abi.encodeWithSelector(ICXPTVault.RoleNotChangeable.selector, guardian, ICXPTVault.Role.Guardian)
        );
        config = _config(token);
        config.attesters = _list(attester, attester);
        _refused(
            config, abi.encodeWithSelector(ICXPTVault.RoleNotChangeable.selector, attester, ICXPTVault.Role.Attester)
        );
    }

    function test_RevertWhen_MoreAttestersAreNeededThanNamed() external {
        ICXPTVault.Config memory config = _config(token);
        config.attestersRequired = 3;
        // it should revert with InvalidAttestersRequired
        _refused(config, abi.encodeWithSelector(ICXPTVault.InvalidAttestersRequired.selector, 3));
        config.attestersRequired = 0;
        _refused(config, abi.encodeWithSelector(ICXPTVault.InvalidAttestersRequired.selector, 0));
    }

    function test_RevertWhen_ASettingIsOutOfBounds() external {
        ICXPTVault.Config memory config = _config(token);
        config.userBp = 2_001;
        // it should revert as its setter does
        _refused(config, abi.encodeWithSelector(ICXPTVault.InvalidSplit.selector, 4_000, 4_000, 2_001));
        config = _config(token);
        config.activationDelay = 1 hours - 1;
        _refused(config, abi.encodeWithSelector(ICXPTVault.InvalidActivationDelay.selector, 1 hours - 1));
    }

    function test_WhenTheSettingsAreGood() external {
        // it should emit an event for every role and setting
        vm.expectEmit(true, true, true, true);
        emit ICXPTVault.RoleSet(admin, ICXPTVault.Role.None, ICXPTVault.Role.Admin);
        vm.expectEmit(true, true, true, true);
        emit ICXPTVault.RoleSet(publisher, ICXPTVault.Role.None, ICXPTVault.Role.Publisher);
        vm.expectEmit(true, true, true, true);
        emit ICXPTVault.RoleSet(attester, ICXPTVault.Role.None, ICXPTVault.Role.Attester);
        vm.expectEmit(true, true, true, true);
        emit ICXPTVault.RoleSet(attester2, ICXPTVault.Role.None, ICXPTVault.Role.Attester);
        vm.expectEmit(true, true, true, true);
        emit ICXPTVault.RoleSet(guardian, ICXPTVault.Role.None, ICXPTVault.Role.Guardian);
        vm.expectEmit(true, true, true, true);
        emit ICXPTVault.RoleSet(treasurer, ICXPTVault.Role.None, ICXPTVault.Role.Treasurer);
        vm.expectEmit(true, true, true, true);
        emit ICXPTVault.SplitSet(0, 0, 0, 4_000, 4_000, 2_000);
        vm.expectEmit(true, true, true, true);
        emit ICXPTVault.ActivationDelaySet(0, 2 hours);
        vm.expectEmit(true, true, true, true);
        emit ICXPTVault.AttestersRequiredSet(0, 1);
        vm.expectEmit(true, true, true, true);
        emit ICXPTVault.MaxEpochAmountSet(PROVIDER, 0, 1_000 * CXPT);
        vm.expectEmit(true, true, true, true);
        emit ICXPTVault.MaxEpochAmountSet(USER, 0, 500 * CXPT);
        CXPTVault made = new CXPTVault(_config(token));
        // it should start with token and first epoch, and nothing else
        vm.assertEq(address(made.token()), address(token), "token");
        vm.assertEq(made.firstEpoch(), FIRST, "first epoch");
        vm.assertEq(made.nextEpoch(), FIRST, "next epoch");
        vm.assertEq(made.revocations(), 0, "revocations");
        vm.assertEq(made.surplus(), 0, "surplus");
    }

    function _refused(ICXPTVault.Config memory config, bytes memory reason) private {
        vm.expectRevert(reason);
        new CXPTVault(config);
    }
}
