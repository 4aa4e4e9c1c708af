// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {CXPTToken} from "../../../../src/CXPTToken.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";

contract PermitTest is PlatformTest {
    uint256 private constant AMOUNT = 70;

    function test_RevertWhen_TheDeadlineHasPassed() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, stranger, AMOUNT, START - 1);
        // it should revert with ERC2612ExpiredSignature
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, START - 1));
        token.permit(guest, stranger, AMOUNT, START - 1, v, r, s);
    }

    function test_RevertWhen_AnotherSigned() external {
        bytes32 digest = _digest(address(token), 0);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(CUSTOMER_KEY, digest);
        // it should revert with ERC2612InvalidSigner
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612InvalidSigner.selector, customer, guest));
        token.permit(guest, stranger, AMOUNT, START, v, r, s);
    }

    function test_RevertGiven_ThePermitWasUsedBefore() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, stranger, AMOUNT, START);
        token.permit(guest, stranger, AMOUNT, START, v, r, s);
        (address recovered,,) = ECDSA.tryRecover(_digest(address(token), 1), v, r, s);
        // it should revert with ERC2612InvalidSigner for the next nonce
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612InvalidSigner.selector, recovered, guest));
        token.permit(guest, stranger, AMOUNT, START, v, r, s);
    }

    function test_RevertWhen_ThePermitIsForAnotherToken() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, stranger, AMOUNT, START);
        CXPTToken other = new CXPTToken();
        (address recovered,,) = ECDSA.tryRecover(_digest(address(other), 0), v, r, s);
        // it should revert with ERC2612InvalidSigner for this domain
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612InvalidSigner.selector, recovered, guest));
        other.permit(guest, stranger, AMOUNT, START, v, r, s);
    }

    function test_WhenTheHolderSigned() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(GUEST_KEY, stranger, AMOUNT, START + 1 hours);
        // it should set the allowance whoever sends it
        // it should count the nonce up
        // it should emit Approval
        // it should be good until the second of the deadline
        vm.warp(START + 1 hours);
        vm.expectEmit(true, true, true, true, address(token));
        emit IERC20.Approval(guest, stranger, AMOUNT);
        vm.prank(payer);
        token.permit(guest, stranger, AMOUNT, START + 1 hours, v, r, s);
        vm.assertEq(token.allowance(guest, stranger), AMOUNT, "allowance");
        vm.assertEq(token.nonces(guest), 1, "nonce");
    }

    /// @dev Signed again by the rule of the standard, apart from the base's own.
    function _digest(address of_, uint256 nonce) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Cxmpute Token"),
                keccak256("1"),
                block.chainid,
                of_
            )
        );
        bytes32 content = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                guest,
                stranger,
                AMOUNT,
                nonce,
                START
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, content));
    }
}
