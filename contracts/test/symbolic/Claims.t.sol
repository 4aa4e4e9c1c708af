// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {Symbolic} from "./Symbolic.sol";

contract ClaimChecks is Symbolic {
    bytes32[] private _none;

    /// @notice One leaf, claimed twice by anyone, is paid once.
    function check_a_leaf_is_paid_once(uint256 total, address account, address caller) external {
        _assumePayable(account);
        uint8 pool = _anyPool("pool");
        uint256 amount = _anyAmount("amount");
        _activate(FIRST, ClaimTree.hash(ClaimTree.Leaf(pool, account, amount)), total, total);

        uint256 held = token.balanceOf(account);
        vm.prank(caller);
        (bool first,) = address(vault).call(_claimCall(FIRST, pool, account, amount));
        uint256 paid = token.balanceOf(account) - held;
        assert(paid == (first ? amount : 0));
        vm.prank(caller);
        vault.claimMany(FIRST, _batchOfTwo(pool, account, amount));
        assert(token.balanceOf(account) - held == (amount <= total ? amount : 0));
    }

    /// @notice From two active roots, in either order, an account is paid its largest proven amount and no more.
    function check_two_roots_pay_the_larger_amount(uint256 smaller, uint256 larger, bool newestFirst) external {
        uint8 pool = _anyPool("pool");
        vm.assume(smaller <= larger && larger <= 400 * CXPT);
        _activate(FIRST, ClaimTree.hash(ClaimTree.Leaf(pool, provider, smaller)), 400 * CXPT, 400 * CXPT);
        _activate(FIRST + 1, ClaimTree.hash(ClaimTree.Leaf(pool, provider, larger)), 400 * CXPT, 400 * CXPT);
        if (newestFirst) vault.claim(FIRST + 1, pool, provider, larger, _none);
        vault.claim(FIRST, pool, provider, smaller, _none);
        assert(token.balanceOf(provider) == (newestFirst ? larger : smaller));
        vault.claim(FIRST + 1, pool, provider, larger, _none);
        vault.claim(FIRST, pool, provider, smaller, _none);
        assert(token.balanceOf(provider) == larger);
        assert(vault.claimed(pool, provider) == larger);
    }

    /// @notice A claim moves money to the account of the leaf alone, never more than its amount or than the root's total.
    function check_only_the_account_is_paid(uint256 total, bytes32 sibling, address caller, address other) external {
        uint8 pool = _anyPool("pool");
        uint256 amount = _anyAmount("amount");
        vm.assume(other != provider && other != address(vault));
        bytes32 leaf = ClaimTree.hash(ClaimTree.Leaf(pool, provider, amount));
        _activate(FIRST, ClaimTree.pair(leaf, sibling), total, total);

        uint256 others = token.balanceOf(other);
        uint256 held = token.balanceOf(address(vault));
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = sibling;
        vm.prank(caller);
        (bool done,) = address(vault).call(abi.encodeCall(ICXPTVault.claim, (FIRST, pool, provider, amount, proof)));
        uint256 paid = token.balanceOf(provider);
        assert(paid == (done ? amount : 0));
        assert(paid <= total);
        assert(held - token.balanceOf(address(vault)) == paid);
        assert(token.balanceOf(other) == others);
    }

    /// @notice A root that is pending, unattested, revoked or never was pays nothing, whatever the time.
    function check_no_root_pays_before_it_is_active(uint256 amount, uint256 epoch, uint256 later, uint8 state)
        external
    {
        vm.assume(later < 10_000 days);
        _publish(FIRST, ClaimTree.hash(ClaimTree.Leaf(PROVIDER, provider, amount)), amount, 0);
        if (state > 0) _attest(FIRST);
        if (state > 1) _revoke(FIRST);
        uint256 activatesAt = vault.rootAt(FIRST).activatesAt;
        vm.warp(START + later);
        (bool done,) = address(vault).call(_claimCall(epoch, PROVIDER, provider, amount));
        assert(!done || (epoch == FIRST && state == 1 && START + later >= activatesAt));
        assert(done || token.balanceOf(provider) == 0);
    }

    function _assumePayable(address account) private view {
        vm.assume(account != address(0) && account != address(vault) && account != address(this) && account != payer);
    }

    function _claimCall(uint256 epoch, uint8 pool, address account, uint256 amount)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(ICXPTVault.claim, (epoch, pool, account, amount, _none));
    }

    function _batchOfTwo(uint8 pool, address account, uint256 amount)
        private
        view
        returns (ICXPTVault.ClaimItem[] memory items)
    {
        items = new ICXPTVault.ClaimItem[](2);
        items[0] = ICXPTVault.ClaimItem(pool, account, amount, _none);
        items[1] = items[0];
    }
}
