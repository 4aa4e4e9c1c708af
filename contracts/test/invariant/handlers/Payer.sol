// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Books} from "../Books.sol";
import {Player} from "./Player.sol";

/// @title A customer that pays by ERC-2612 permit: a good one, one that somebody used first, a spoilt one
abstract contract Payer is Player {
    struct Permit {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    enum PermitKind {
        Good,
        UsedFirst,
        SpoiltWithAllowance,
        Spoilt
    }

    bytes32 private constant PERMIT_TYPE =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    constructor(Books books_, string memory name_) Player(books_, name_) {}

    /// @dev Leaves the spender with what this kind of permit gives it.
    function _signPermit(address owner, address spender, uint256 amount, PermitKind kind)
        internal
        returns (Permit memory permit)
    {
        vm.prank(owner);
        token.approve(spender, kind == PermitKind.SpoiltWithAllowance ? amount : 0);
        permit.deadline = block.timestamp;
        bytes32 content =
            keccak256(abi.encode(PERMIT_TYPE, owner, spender, amount, token.nonces(owner), permit.deadline));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), content));
        (permit.v, permit.r, permit.s) = vm.sign(_keyOf(owner), digest);
        if (kind == PermitKind.UsedFirst) {
            token.permit(owner, spender, amount, permit.deadline, permit.v, permit.r, permit.s);
        } else if (kind != PermitKind.Good) {
            permit.r = ~permit.r;
        }
    }

    function _permitRefusal(address spender, uint256 amount, PermitKind kind) internal pure returns (bytes memory) {
        if (kind != PermitKind.Spoilt || amount == 0) return "";
        return abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, spender, 0, amount);
    }

    function _approveAgain(address owner, address spender) internal {
        vm.prank(owner);
        token.approve(spender, type(uint256).max);
    }

    function _kind(uint256 seed) internal pure returns (PermitKind) {
        return PermitKind(_roll(seed, "permit", 4));
    }
}
