// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {FaultyToken} from "../../../base/FaultyToken.sol";
import {OtherTokenTest} from "../../../base/OtherTokenTest.sol";
import {HostileToken} from "../../../HostileToken.sol";

contract WithdrawProtocolTest is OtherTokenTest {
    function test_RevertWhen_TheCallerIsNotATreasurer() external {
        vm.prank(admin);
        // it should revert with WrongRole, for the admin too
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, admin, ICXPTVault.Role.Admin));
        vault.withdrawProtocol(admin, 1);
    }

    function test_RevertWhen_TheAmountPassesTheProtocolsPool() external {
        // it should revert with AmountTooLarge and both values
        _refused(
            stranger,
            800 * CXPT + 1,
            abi.encodeWithSelector(ICXPTVault.AmountTooLarge.selector, 800 * CXPT, 800 * CXPT + 1)
        );
        uint256 top = type(uint256).max;
        _refused(stranger, top, abi.encodeWithSelector(ICXPTVault.AmountTooLarge.selector, 800 * CXPT, top));
    }

    function test_RevertWhen_TheReceiverIsZero() external {
        // it should revert as the token does and keep the money
        _refused(address(0), 1, abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0)));
        vm.assertEq(vault.pools().protocolAmount, 800 * CXPT, "kept");
    }

    function test_RevertGiven_TheTokenFails() external {
        FaultyToken faulty = _onFaulty();
        faulty.setReverting(true);
        // it should revert as the token does
        _refused(stranger, 1, abi.encodeWithSelector(FaultyToken.OutOfOrder.selector));
        faulty.setReverting(false);
        faulty.setSilent(true);
        // it should revert with SafeERC20FailedOperation where the token returns false
        _refused(stranger, 1, abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(faulty)));
        vm.assertEq(vault.pools().protocolAmount, 4_000, "kept");
    }

    function test_GivenTheTokenCallsBack() external {
        HostileToken hostile = _onHostile();
        hostile.setCall(address(vault), abi.encodeCall(ICXPTVault.withdrawProtocol, (stranger, 1)));
        _withdraw(stranger, 100);
        // it should refuse the call inside
        vm.assertFalse(hostile.lastCallSucceeded(), "refused");
        vm.assertEq(
            bytes32(hostile.lastCallResult()),
            bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "by the guard"
        );
        // it should pay once
        vm.assertEq(hostile.balanceOf(stranger), 100, "paid");
    }

    function test_WhenAPartIsTaken() external {
        // it should emit ProtocolWithdrawn
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.ProtocolWithdrawn(stranger, 300 * CXPT);
        _withdraw(stranger, 300 * CXPT);
        // it should pay it
        vm.assertEq(token.balanceOf(stranger), 300 * CXPT, "paid");
        // it should leave the rest and the other pools
        vm.assertEq(vault.pools().protocolAmount, 500 * CXPT, "protocol");
        vm.assertEq(vault.pools().providerAmount, 800 * CXPT, "provider");
        _withdraw(stranger, 500 * CXPT);
        vm.assertEq(vault.pools().protocolAmount, 0, "all of it");
        _refused(stranger, 1, abi.encodeWithSelector(ICXPTVault.AmountTooLarge.selector, 0, 1));
        _assertSolvent();
    }

    function test_WhenNothingIsTaken() external {
        _withdraw(stranger, 0);
        // it should move nothing
        vm.assertEq(vault.pools().protocolAmount, 800 * CXPT, "protocol");
    }

    function test_WhenTheReceiverIsTheVault() external {
        _withdraw(address(vault), 5);
        // it should become surplus
        vm.assertEq(vault.surplus(), 5, "surplus");
        _assertSolvent();
    }

    function test_GivenClaimsAndPublishingArePaused() external {
        vm.startPrank(guardian);
        vault.pauseClaims();
        vault.pausePublishing();
        vm.stopPrank();
        _withdraw(stranger, 1);
        // it should pay all the same
        vm.assertEq(token.balanceOf(stranger), 1, "paid");
    }

    function _withdraw(address to, uint256 amount) private {
        vm.prank(treasurer);
        vault.withdrawProtocol(to, amount);
    }

    function _refused(address to, uint256 amount, bytes memory reason) private {
        vm.prank(treasurer);
        vm.expectRevert(reason);
        vault.withdrawProtocol(to, amount);
    }
}
