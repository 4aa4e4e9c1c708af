// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {CXPTToken} from "../../../../src/CXPTToken.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";
import {HostileToken} from "../../../HostileToken.sol";

contract RescueTest is VaultTest {
    function test_RevertWhen_TheCallerIsNotTheAdmin() external {
        vm.prank(treasurer);
        // it should revert with WrongRole
        vm.expectRevert(abi.encodeWithSelector(ICXPTVault.WrongRole.selector, treasurer, ICXPTVault.Role.Treasurer));
        vault.rescue(token, stranger, 0);
    }

    function test_RevertWhen_CXPTBeyondTheSurplusIsAsked() external {
        // it should revert with AmountTooLarge where nothing is stray
        _refused(token, stranger, 1, abi.encodeWithSelector(ICXPTVault.AmountTooLarge.selector, 0, 1));
        token.transfer(address(vault), 3);
        // it should revert with AmountTooLarge above what is stray
        _refused(token, stranger, 4, abi.encodeWithSelector(ICXPTVault.AmountTooLarge.selector, 3, 4));
    }

    function test_RevertWhen_TheReceiverIsZero() external {
        token.transfer(address(vault), 3);
        // it should revert as the token does
        _refused(token, address(0), 3, abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0)));
    }

    function test_RevertWhen_TheTokenHasNoCode() external {
        // it should revert with SafeERC20FailedOperation
        _refused(
            IERC20(stranger), stranger, 1, abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, stranger)
        );
    }

    function test_WhenStrayCXPTIsRescued() external {
        token.transfer(address(vault), 3);
        // it should emit Rescued
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.Rescued(address(token), stranger, 3);
        _rescue(token, 3);
        // it should pay what nobody owns and leave pools and promises alone
        vm.assertEq(token.balanceOf(stranger), 3, "paid");
        vm.assertEq(vault.surplus(), 0, "surplus");
        vm.assertEq(vault.pools().providerAmount, 800 * CXPT, "provider pool");
        _assertSolvent();
    }

    function test_WhenAnotherTokenIsRescued() external {
        CXPTToken other = new CXPTToken();
        other.transfer(address(vault), 9);
        _rescue(other, 9);
        // it should pay all of it
        vm.assertEq(other.balanceOf(stranger), 9, "paid");
    }

    function test_WhenTheOtherTokenCallsBack() external {
        HostileToken other = new HostileToken();
        other.transfer(address(vault), 9);
        other.setCall(address(vault), abi.encodeCall(ICXPTVault.depositFees, (1)));
        _rescue(other, 9);
        // it should refuse the call inside
        vm.assertFalse(other.lastCallSucceeded(), "refused");
        vm.assertEq(
            bytes32(other.lastCallResult()),
            bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "by the guard"
        );
    }

    function _rescue(IERC20 stray, uint256 amount) private {
        vm.prank(admin);
        vault.rescue(stray, stranger, amount);
    }

    function _refused(IERC20 stray, address to, uint256 amount, bytes memory reason) private {
        vm.prank(admin);
        vm.expectRevert(reason);
        vault.rescue(stray, to, amount);
    }
}
