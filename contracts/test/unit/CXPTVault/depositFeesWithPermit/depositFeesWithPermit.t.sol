// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {VaultTest} from "../../../base/VaultTest.sol";

/// @dev The holder has 1,000 units and a key that signs.
contract DepositFeesWithPermitTest is VaultTest {
    uint256 private constant KEY = 0xA11CE;
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    address private immutable _holder = vm.addr(KEY);

    struct Signed {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    function setUp() public override {
        super.setUp();
        token.transfer(_holder, 1_000);
    }

    function test_WhenThePermitIsGood() external {
        Signed memory permit = _sign(100, START);
        // it should deposit the signer's money without an approval, still at the second of the deadline
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.FeesDeposited(_holder, 100, 40, 40, 20);
        vm.prank(_holder);
        vault.depositFeesWithPermit(100, START, permit.v, permit.r, permit.s);
        vm.assertEq(token.balanceOf(_holder), 900, "paid");
        // it should leave no allowance
        vm.assertEq(token.allowance(_holder, address(vault)), 0, "allowance");
    }

    function test_GivenSomebodyUsedThePermitFirst() external {
        Signed memory permit = _sign(100, START);
        vm.prank(stranger);
        token.permit(_holder, address(vault), 100, START, permit.v, permit.r, permit.s);
        vm.prank(_holder);
        // it should deposit all the same
        vault.depositFeesWithPermit(100, START, permit.v, permit.r, permit.s);
        vm.assertEq(token.balanceOf(_holder), 900, "paid");
    }

    function test_GivenTheAllowanceSuffices() external {
        vm.startPrank(_holder);
        token.approve(address(vault), 100);
        // it should not need the permit
        vault.depositFeesWithPermit(100, 0, 0, 0, 0);
        vm.stopPrank();
        vm.assertEq(token.balanceOf(_holder), 900, "paid");
    }

    function test_RevertWhen_ThePermitIsOfAnother() external {
        Signed memory permit = _sign(100, START);
        vm.prank(stranger);
        // it should revert for want of an allowance of the caller
        vm.expectRevert(_noAllowance());
        vault.depositFeesWithPermit(100, START, permit.v, permit.r, permit.s);
        vm.assertEq(token.balanceOf(_holder), 1_000, "untouched");
    }

    function test_RevertWhen_ThePermitIsForAnotherAmount() external {
        Signed memory permit = _sign(99, START);
        vm.prank(_holder);
        // it should revert for want of an allowance
        vm.expectRevert(_noAllowance());
        vault.depositFeesWithPermit(100, START, permit.v, permit.r, permit.s);
    }

    function test_RevertGiven_TheDeadlineHasPassed() external {
        Signed memory permit = _sign(100, START);
        vm.warp(START + 1);
        vm.prank(_holder);
        // it should revert for want of an allowance
        vm.expectRevert(_noAllowance());
        vault.depositFeesWithPermit(100, START, permit.v, permit.r, permit.s);
    }

    function test_RevertWhen_ThePermitIsUsedAgain() external {
        Signed memory permit = _sign(100, START);
        vm.prank(_holder);
        vault.depositFeesWithPermit(100, START, permit.v, permit.r, permit.s);
        vm.prank(_holder);
        // it should revert for want of an allowance
        vm.expectRevert(_noAllowance());
        vault.depositFeesWithPermit(100, START, permit.v, permit.r, permit.s);
    }

    function _noAllowance() private view returns (bytes memory) {
        return abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(vault), 0, 100);
    }

    function _sign(uint256 amount, uint256 deadline) private view returns (Signed memory signed) {
        bytes32 message =
            keccak256(abi.encode(PERMIT, _holder, address(vault), amount, token.nonces(_holder), deadline));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), message));
        (signed.v, signed.r, signed.s) = vm.sign(KEY, digest);
    }
}
