// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {VaultTest} from "../base/VaultTest.sol";

/// @notice The part of halmos's cheat codes that these checks use. The names and types are halmos's.
interface Svm {
    function createUint256(string calldata name) external returns (uint256);
    function createUint(uint256 bits, string calldata name) external returns (uint256);
    function createAddress(string calldata name) external returns (address);
    function createBytes32(string calldata name) external returns (bytes32);
    function createBool(string calldata name) external returns (bool);
}

/// @notice A Vault with money in it, and values that stand for every value.
abstract contract Symbolic is VaultTest {
    Svm internal constant svm = Svm(address(uint160(uint256(keccak256("svm cheat code")))));

    /// @notice Any amount that the Vault can account for.
    function _anyAmount(string memory name) internal returns (uint256) {
        return svm.createUint(96, name);
    }

    /// @notice Sends a call to the Vault, whatever becomes of it.
    function _send(address caller, bytes memory data) internal returns (bool done) {
        vm.prank(caller);
        (done,) = address(vault).call(data);
    }

    /// @notice 1 or 2.
    function _anyPool(string memory name) internal returns (uint8) {
        return svm.createBool(name) ? PROVIDER : USER;
    }
}
