// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {CXPTToken} from "../../src/CXPTToken.sol";
import {CXPTVault} from "../../src/CXPTVault.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "./ClaimTree.sol";
import {Test} from "./Test.sol";

/// @notice A Vault with one address for every role and 2,000 CXPT of fees in it: 800 protocol, 800 provider, 400 user.
/// First epoch 5, delay two hours, limits 1,000 (provider) and 500 (user) CXPT an epoch, one attester of two needed.
abstract contract VaultTest is Test {
    using ClaimTree for bytes32[];

    uint8 internal constant PROVIDER = 1;
    uint8 internal constant USER = 2;
    uint256 internal constant CXPT = 1e18;
    uint256 internal constant START = 1_767_744_000; // 2026-01-07
    uint24 internal constant FIRST = 5;
    bytes32 internal constant MANIFEST = keccak256("manifest");

    address internal immutable admin = _person("admin");
    address internal immutable publisher = _person("publisher");
    address internal immutable attester = _person("attester");
    address internal immutable attester2 = _person("attester2");
    address internal immutable guardian = _person("guardian");
    address internal immutable treasurer = _person("treasurer");
    address internal immutable payer = _person("payer");
    address internal immutable provider = _person("provider");
    address internal immutable user = _person("user");
    address internal immutable stranger = _person("stranger");

    CXPTToken internal token;
    CXPTVault internal vault;

    function setUp() public virtual {
        vm.warp(START);
        token = new CXPTToken();
        vault = new CXPTVault(_config(token));
        token.transfer(payer, 1_000_000 * CXPT);
        vm.prank(payer);
        token.approve(address(vault), type(uint256).max);
        _deposit(2_000 * CXPT);
    }

    // ---------------------------------------------------------------- what people do

    function _deposit(uint256 amount) internal {
        vm.prank(payer);
        vault.depositFees(amount);
    }

    function _publish(uint256 epoch, bytes32 root, uint256 providerTotal, uint256 userTotal)
        internal
        returns (bytes32 publication)
    {
        uint256 revocations = vault.revocations();
        vm.prank(publisher);
        vault.publishRoot(epoch, root, providerTotal, userTotal, MANIFEST, revocations);
        return vault.publicationHash(epoch);
    }

    function _attest(uint256 epoch) internal {
        bytes32 publication = vault.publicationHash(epoch);
        vm.prank(attester);
        vault.attestRoot(epoch, publication);
    }

    /// @notice Publishes, attests, and lets the delay pass.
    function _activate(uint256 epoch, bytes32 root, uint256 providerTotal, uint256 userTotal) internal {
        _publish(epoch, root, providerTotal, userTotal);
        _attest(epoch);
        vm.warp(vault.rootAt(epoch).activatesAt);
    }

    function _revoke(uint256 epoch) internal {
        vm.prank(guardian);
        vault.revokeRoot(epoch, "a reason");
    }

    function _claim(uint256 epoch, bytes32[] memory nodes, ClaimTree.Leaf memory leaf) internal returns (uint256) {
        bytes32[] memory proof = nodes.prove(leaf);
        vm.prank(stranger);
        return vault.claim(epoch, leaf.pool, leaf.account, leaf.amount, proof);
    }

    // ---------------------------------------------------------------- what things are

    function _config(IERC20 token_) internal view returns (ICXPTVault.Config memory) {
        return ICXPTVault.Config({
            token: token_,
            admin: admin,
            firstEpoch: FIRST,
            publishers: _list(publisher),
            attesters: _list(attester, attester2),
            guardians: _list(guardian),
            treasurers: _list(treasurer),
            protocolBp: 4_000,
            providerBp: 4_000,
            userBp: 2_000,
            activationDelay: 2 hours,
            attestersRequired: 1,
            maxProviderAmount: uint96(1_000 * CXPT),
            maxUserAmount: uint96(500 * CXPT)
        });
    }

    /// @notice The provider with `providerAmount`, the user with `userAmount`, the provider as a user with 9, and others.
    function _leaves(uint256 providerAmount, uint256 userAmount)
        internal
        view
        returns (ClaimTree.Leaf[] memory leaves)
    {
        leaves = new ClaimTree.Leaf[](8);
        leaves[0] = ClaimTree.Leaf(PROVIDER, provider, providerAmount);
        leaves[1] = ClaimTree.Leaf(USER, user, userAmount);
        leaves[2] = ClaimTree.Leaf(USER, provider, 9);
        for (uint160 i = 3; i < 8; i++) {
            leaves[i] = ClaimTree.Leaf(PROVIDER, address(0x1000 + i), 100 + i);
        }
    }

    function _total(ClaimTree.Leaf[] memory leaves, uint8 pool) internal pure returns (uint256 total) {
        for (uint256 i = 0; i < leaves.length; i++) {
            if (leaves[i].pool == pool) total += leaves[i].amount;
        }
    }

    /// @notice CXPT held is at least all pools and all that is promised and not claimed; claimed <= promised <= deposited.
    function _assertSolvent() internal view {
        ICXPTVault.RewardPool memory pools = vault.pools();
        uint256 owed = pools.protocolAmount + pools.providerAmount + pools.userAmount;
        for (uint8 pool = PROVIDER; pool <= USER; pool++) {
            vm.assertLe(vault.claimedTotal(pool), vault.promised(pool), "claimed <= promised");
            vm.assertLe(vault.promised(pool), vault.deposited(pool), "promised <= deposited");
            owed += vault.promised(pool) - vault.claimedTotal(pool);
        }
        vm.assertGe(token.balanceOf(address(vault)), owed, "the Vault holds what it owes");
    }

    function _person(string memory name) internal returns (address account) {
        account = address(uint160(uint256(keccak256(bytes(name)))));
        vm.label(account, name);
    }

    function _list(address a) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = a;
    }

    function _list(address a, address b) internal pure returns (address[] memory list) {
        list = new address[](2);
        (list[0], list[1]) = (a, b);
    }
}
