// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IUsageEscrow} from "../../../../src/interfaces/IUsageEscrow.sol";
import {Intake} from "../../../../src/libraries/Intake.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";
import {HostileToken} from "../../../HostileToken.sol";

contract DepositWithPermitTest is PlatformTest {
    uint256 private constant DEADLINE = START + 1 hours;

    function test_RevertWhen_TheAmountIsZero() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(escrow), 0, DEADLINE);
        vm.prank(guest);
        // it should revert with ZeroAmount
        vm.expectRevert(abi.encodeWithSelector(Intake.ZeroAmount.selector));
        escrow.depositWithPermit(0, DEADLINE, v, r, s);
    }

    function test_RevertWhen_ThePermitIsOfAnotherAccount() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(escrow), 70, DEADLINE);
        vm.prank(stranger);
        // it should revert with ERC20InsufficientAllowance and use nobody elses allowance
        vm.expectRevert(_allowance(0, 70));
        escrow.depositWithPermit(70, DEADLINE, v, r, s);
        vm.assertEq(token.nonces(guest), 0, "the guest's permit is unused");
        vm.assertEq(token.balanceOf(guest), 10_000 * CXPT, "the guest's CXPT");
        _assertBalance(stranger, 0);
    }

    function test_RevertWhen_ThePermitHasExpired() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(escrow), 70, START - 1);
        vm.prank(guest);
        // it should revert with ERC20InsufficientAllowance
        vm.expectRevert(_allowance(0, 70));
        escrow.depositWithPermit(70, START - 1, v, r, s);
    }

    function test_RevertWhen_ThePermitIsForAnotherAmount() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(escrow), 69, DEADLINE);
        vm.prank(guest);
        // it should revert with ERC20InsufficientAllowance
        vm.expectRevert(_allowance(0, 70));
        escrow.depositWithPermit(70, DEADLINE, v, r, s);
    }

    function test_WhenThePermitIsOfNoUseAndTheAllowanceSuffices() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(escrow), 70, DEADLINE);
        vm.prank(customer);
        escrow.depositWithPermit(70, DEADLINE, v, r, s);
        // it should deposit by the allowance of the caller
        _assertBalance(customer, 70);
        _assertBalance(guest, 0);
        vm.assertEq(token.balanceOf(customer), 10_000 * CXPT - 70, "the customer's CXPT");
        vm.assertEq(token.balanceOf(guest), 10_000 * CXPT, "the guest's CXPT");
    }

    function test_GivenSomebodyUsedThePermitFirst() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(escrow), 70, DEADLINE);
        vm.prank(stranger);
        token.permit(guest, address(escrow), 70, DEADLINE, v, r, s);
        vm.prank(guest);
        escrow.depositWithPermit(70, DEADLINE, v, r, s);
        // it should deposit by the allowance that it gave
        _assertBalance(guest, 70);
        vm.assertEq(token.allowance(guest, address(escrow)), 0, "allowance");
    }

    function test_RevertGiven_SomebodyUsedThePermitFirstAndTheAllowanceForSomethingElse() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(escrow), 70, DEADLINE);
        token.permit(guest, address(escrow), 70, DEADLINE, v, r, s);
        _top(guest, 30);
        vm.prank(guest);
        // it should revert with ERC20InsufficientAllowance
        vm.expectRevert(_allowance(40, 70));
        escrow.depositWithPermit(70, DEADLINE, v, r, s);
        _assertBalance(guest, 30);
    }

    function test_GivenTheTokenKnowsNoPermits() external {
        _build(address(new HostileToken()));
        _fund(customer, 100);
        vm.prank(customer);
        escrow.depositWithPermit(70, DEADLINE, 27, bytes32("r"), bytes32("s"));
        // it should deposit by the allowance
        _assertBalance(customer, 70);
    }

    function test_WhenThePermitIsGood() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, address(escrow), 70, DEADLINE);
        // it should emit Deposited
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IUsageEscrow.Deposited(guest, 70, 70);
        vm.prank(guest);
        escrow.depositWithPermit(70, DEADLINE, v, r, s);
        // it should add the amount to the balance of the caller
        _assertBalance(guest, 70);
        vm.assertEq(escrow.totalBalance(), 70, "sum of the balances");
        vm.assertEq(token.balanceOf(address(escrow)), 70, "held");
        // it should use the allowance up
        vm.assertEq(token.allowance(guest, address(escrow)), 0, "allowance");
        vm.assertEq(token.nonces(guest), 1, "nonce");
    }

    function _allowance(uint256 given, uint256 needed) private view returns (bytes memory) {
        return abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(escrow), given, needed);
    }
}
