// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ClaimTree} from "../base/ClaimTree.sol";
import {VaultTest} from "../base/VaultTest.sol";

/// @notice What properties share: a call whose outcome is compared with what was worked out by hand, and permits.
abstract contract FuzzTest is VaultTest {
    bytes32 internal constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    uint256 internal constant KEY = 0xC0FFEE;

    /// @notice ERC-2612, field by field, with the key that signs.
    struct Permit {
        uint256 key;
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }

    /// @notice Calls as `caller`; the call must fail with `expected`, or succeed where that is empty.
    function _expect(bytes memory expected, address caller, address callee, bytes memory data, string memory label)
        internal
        returns (bytes memory result)
    {
        bool success;
        vm.prank(caller);
        (success, result) = callee.call(data);
        if (expected.length == 0) vm.assertTrue(success, label);
        else vm.assertFalse(success, label);
        if (!success) vm.assertEq(result, expected, label);
    }

    function _sign(Permit memory permit) internal view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 content =
            keccak256(abi.encode(PERMIT, permit.owner, permit.spender, permit.value, permit.nonce, permit.deadline));
        return vm.sign(permit.key, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), content)));
    }

    /// @notice The permit with one field changed, by `choice`: key, owner, spender, value, nonce, deadline.
    function _spoil(Permit memory permit, uint256 choice, uint256 noise) internal pure returns (Permit memory) {
        if (choice == 0) permit.key = bound(noise, 1, KEY - 1);
        if (choice == 1) permit.owner = address(uint160(permit.owner) ^ uint160(bound(noise, 1, type(uint160).max)));
        if (choice == 2) permit.spender = address(uint160(permit.spender) ^ uint160(bound(noise, 1, 2 ** 160 - 1)));
        if (choice == 3) permit.value ^= bound(noise, 1, type(uint256).max);
        if (choice == 4) permit.nonce ^= bound(noise, 1, type(uint256).max);
        if (choice == 5) permit.deadline ^= bound(noise, 1, type(uint256).max);
        return permit;
    }

    /// @notice An account that holds `amount` CXPT and signs with KEY.
    function _signer(uint256 amount) internal returns (address account) {
        account = vm.addr(KEY);
        token.transfer(account, amount);
    }

    /// @notice `count` leaves of either pool, of accounts that may repeat across pools; amounts up to `most`.
    function _randomLeaves(uint256 seed, uint256 count, uint256 most)
        internal
        pure
        returns (ClaimTree.Leaf[] memory leaves)
    {
        leaves = new ClaimTree.Leaf[](count);
        for (uint256 i = 0; i < count; i++) {
            uint256 word = _draw(seed, i);
            leaves[i] = ClaimTree.Leaf({
                pool: uint8(1 + i % 2),
                account: address(uint160(uint256(keccak256(abi.encode(seed, "account", i / 2))))),
                amount: 1 + word % most
            });
        }
    }

    /// @notice The `index`-th of a row of random words.
    function _draw(uint256 seed, uint256 index) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, index)));
    }

    /// @notice 0 to count - 1 in a random order.
    function _shuffle(uint256 seed, uint256 count) internal pure returns (uint256[] memory order) {
        order = new uint256[](count);
        for (uint256 i = 0; i < count; i++) {
            uint256 other = _draw(seed, i) % (i + 1);
            order[i] = order[other];
            order[other] = i;
        }
    }

    /// @notice Someone who holds no role and no tokens and is none of the contracts.
    function _isOutsider(address account) internal view returns (bool) {
        return account != address(0) && account.code.length == 0 && uint160(account) > 0xffff
            && uint8(vault.roleOf(account)) == 0 && account != payer && account != provider && account != user;
    }
}
