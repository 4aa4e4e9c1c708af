// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CXPTToken} from "../../../src/CXPTToken.sol";
import {CXPTVault} from "../../../src/CXPTVault.sol";
import {SubscriptionManager} from "../../../src/SubscriptionManager.sol";
import {UsageEscrow} from "../../../src/UsageEscrow.sol";
import {ICXPTVault} from "../../../src/interfaces/ICXPTVault.sol";
import {Test} from "../../base/Test.sol";
import {Books} from "../Books.sol";

/// @title One who acts on the contracts: foretells from the books what a call does, calls, and writes it down
abstract contract Player is Test {
    uint8 internal constant PROVIDER = 1;
    uint8 internal constant USER = 2;
    uint256 internal constant CXPT = 1e18;
    uint256 internal constant NONE = type(uint256).max;

    Books internal immutable books;
    CXPTToken internal immutable token;
    CXPTVault internal immutable vault;
    SubscriptionManager internal immutable subscriptions;
    UsageEscrow internal immutable escrow;
    string public name;
    bool private _onPurpose;

    constructor(Books books_, string memory name_) {
        books = books_;
        token = books_.token();
        vault = books_.vault();
        subscriptions = books_.subscriptions();
        escrow = books_.escrow();
        name = name_;
    }

    /// @dev A call that is wrong on purpose is counted apart.
    modifier wrongly() {
        _onPurpose = true;
        _;
        _onPurpose = false;
    }

    /// @dev Without `refusal` the call must succeed; with one it must revert with just these bytes. A refusal that
    /// nobody foretold is shown by its first 32 bytes.
    function _do(address caller, address target, bytes memory data, bytes memory refusal, string memory label)
        internal
        returns (bool succeeded, bytes memory result)
    {
        vm.prank(caller);
        (succeeded, result) = target.call(data);
        if (refusal.length != 0) {
            vm.assertFalse(succeeded, string.concat(label, ": is refused"));
            vm.assertEq(keccak256(result), keccak256(refusal), string.concat(label, ": in these words"));
            books.countRefused(_tallied(), bytes4(refusal));
        } else {
            vm.assertEq(bytes32(result), succeeded ? bytes32(result) : bytes32(0), string.concat(label, ": no refusal"));
            vm.assertTrue(succeeded, string.concat(label, ": goes through"));
            books.countDone(_tallied());
        }
    }

    function _tallied() private view returns (string memory) {
        return _onPurpose ? string.concat(name, ", wrongly") : name;
    }

    function _idle() internal {
        books.countIdle(_tallied());
    }

    /// @dev A number below `n` that depends on seed and purpose alone.
    function _roll(uint256 seed, string memory purpose, uint256 n) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, purpose))) % n;
    }

    function _customer(uint256 seed) internal view returns (address) {
        address[] memory customers = books.customers();
        return customers[_roll(seed, "customer", customers.length)];
    }

    /// @dev Customers' keys are 1, 2, 3, ... in their order.
    function _keyOf(address customer) internal view returns (uint256 key) {
        address[] memory customers = books.customers();
        while (customers[key] != customer) key++;
        return key + 1;
    }

    function _holder(ICXPTVault.Role role, uint256 seed) internal view returns (address) {
        address[] memory holders = books.holders(role);
        return holders[_roll(seed, "holder", holders.length)];
    }

    function _outsider(uint256 seed) internal pure returns (address) {
        return address(uint160(0xbad0000 + _roll(seed, "outsider", 3)));
    }

    function _error(bytes4 selector) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector);
    }

    function _error(bytes4 selector, uint256 a) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, a);
    }

    function _error(bytes4 selector, uint256 a, uint256 b) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, a, b);
    }

    function _error(bytes4 selector, uint256 a, uint256 b, uint256 c) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, a, b, c);
    }
}
