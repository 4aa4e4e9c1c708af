// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {Symbolic} from "./Symbolic.sol";

contract SolvencyChecks is Symbolic {
    bytes32[] private _none;

    /// @notice Solvent at every step of a night: published, attested, active, claimed, for any totals and any leaf.
    function check_solvent_across_publish_attest_claim(uint256 total, uint256 other) external {
        uint8 pool = _anyPool("pool");
        uint256 amount = _anyAmount("amount");
        _publish(FIRST, ClaimTree.hash(ClaimTree.Leaf(pool, provider, amount)), total, other);
        _check();
        _attest(FIRST);
        _check();
        vm.warp(vault.rootAt(FIRST).activatesAt);
        _tryClaim(FIRST, pool, amount);
        _check();
    }

    /// @notice The same where something was claimed before, the new root is revoked after it was attested, and another one
    /// takes its place.
    function check_solvent_across_a_revoke(uint256 paid, uint256 second, uint256 third) external {
        uint8 pool = _anyPool("pool");
        vm.assume(paid > 0 && paid <= 70);
        _activate(FIRST, ClaimTree.hash(ClaimTree.Leaf(pool, provider, paid)), 70, 70);
        _tryClaim(FIRST, pool, paid);
        _publish(FIRST + 1, bytes32(uint256(2)), second, second);
        _attest(FIRST + 1);
        _revoke(FIRST + 1);
        _check();
        uint256 later = _anyAmount("later");
        _activate(FIRST + 1, ClaimTree.hash(ClaimTree.Leaf(pool, provider, later)), third, third);
        _tryClaim(FIRST + 1, pool, later);
        _check();
    }

    /// @notice A deposit of any size under any split is accounted for to the unit, or reverts.
    function check_a_deposit_is_split_to_the_unit(uint256 amount, uint16 protocolBp, uint16 providerBp, uint16 userBp)
        external
    {
        vm.prank(admin);
        vault.setSplit(protocolBp, providerBp, userBp);
        ICXPTVault.RewardPool memory before = vault.pools();
        _deposit(amount);
        ICXPTVault.RewardPool memory grown = vault.pools();
        uint256 protocolAmount = grown.protocolAmount - before.protocolAmount;
        uint256 providerAmount = grown.providerAmount - before.providerAmount;
        uint256 userAmount = grown.userAmount - before.userAmount;
        assert(protocolAmount + providerAmount + userAmount == amount);
        assert(vault.surplus() == 0);
        _check();
    }

    /// @notice The protocol's pool falls only by what the treasurer takes, and no further than to zero.
    function check_only_the_treasurer_takes_the_protocols_pool(address caller, uint256 amount) external {
        uint256 before = vault.pools().protocolAmount;
        vm.prank(caller);
        (bool done,) = address(vault).call(abi.encodeCall(ICXPTVault.withdrawProtocol, (stranger, amount)));
        assert(!done || caller == treasurer);
        assert(vault.pools().protocolAmount == before - (done ? amount : 0));
        assert(token.balanceOf(stranger) == (done ? amount : 0));
        _check();
    }

    /// @notice Of CXPT the admin can take what nobody owns, and no more.
    function check_rescue_takes_the_surplus_alone(address caller, uint256 stray, uint256 amount) external {
        vm.assume(stray <= 1_000 * CXPT);
        vm.prank(payer);
        token.transfer(address(vault), stray);
        vm.prank(caller);
        (bool done,) = address(vault).call(abi.encodeCall(ICXPTVault.rescue, (token, stranger, amount)));
        assert(!done || (caller == admin && amount <= stray));
        _check();
    }

    function _tryClaim(uint256 epoch, uint8 pool, uint256 amount) private {
        bool done = _send(stranger, abi.encodeCall(ICXPTVault.claim, (epoch, pool, provider, amount, _none)));
        assert(!done || vault.claimed(pool, provider) >= amount);
    }

    /// @dev As `_assertSolvent`, with plain assertions, which halmos reads.
    function _check() private view {
        for (uint8 pool = PROVIDER; pool <= USER; pool++) {
            assert(vault.claimedTotal(pool) <= vault.promised(pool));
            assert(vault.promised(pool) <= vault.deposited(pool));
        }
        // Only now: the pools are differences, which revert where they would be negative.
        ICXPTVault.RewardPool memory pools = vault.pools();
        uint256 owed = pools.protocolAmount + pools.providerAmount + pools.userAmount;
        owed += vault.liability(PROVIDER) + vault.liability(USER);
        assert(token.balanceOf(address(vault)) >= owed);
    }
}
