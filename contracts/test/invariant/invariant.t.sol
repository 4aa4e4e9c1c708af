// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ISubscriptionManager} from "../../src/interfaces/ISubscriptionManager.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {Books} from "./Books.sol";
import {World} from "./World.sol";

/// @title Vault, subscriptions and escrow together, with all people acting in any order
/// @notice What must hold after every call. `Books` says what should be so; the contracts are compared with it.
contract InvariantTest is World {
    // ---------------------------------------------------------------- money of the Vault

    /// CXPT balance >= sum of the pools + sum of (promised - claimed), and what is above is the stray CXPT to the unit.
    function invariant_VaultHoldsWhatItOwes() external view {
        ICXPTVault.RewardPool memory pools = vault.pools();
        uint256 owed = pools.protocolAmount + pools.providerAmount + pools.userAmount;
        for (uint8 pool = PROVIDER; pool <= USER; pool++) {
            owed += vault.promised(pool) - vault.claimedTotal(pool);
        }
        vm.assertGe(token.balanceOf(address(vault)), owed, "balance >= pools + liabilities");
        vm.assertEq(token.balanceOf(address(vault)) - owed, books.stray(), "what is above is stray");
    }

    function invariant_SurplusIsTheStrayMoney() external view {
        vm.assertEq(vault.surplus(), books.stray(), "surplus = stray CXPT not yet rescued");
        vm.assertEq(other.balanceOf(address(vault)), books.strayOther(), "other tokens leave by rescue alone");
    }

    function invariant_ClaimedPromisedDeposited() external view {
        for (uint8 pool = PROVIDER; pool <= USER; pool++) {
            vm.assertLe(vault.claimedTotal(pool), vault.promised(pool), "claimed <= promised");
            vm.assertLe(vault.promised(pool), vault.deposited(pool), "promised <= deposited");
            vm.assertEq(vault.deposited(pool), books.deposited(pool), "deposited = what was paid in");
            vm.assertEq(vault.claimedTotal(pool), books.claimedTotal(pool), "claimed = what was paid out");
            (bool active, uint256 epoch) = vault.latestActiveEpoch();
            ICXPTVault.RootRecord memory record = vault.rootAt(epoch);
            uint256 bound = !active ? 0 : pool == PROVIDER ? record.providerTotal : record.userTotal;
            vm.assertLe(vault.claimedTotal(pool), bound, "claimed <= what the newest active root promises");
        }
    }

    function invariant_NobodyGetsMoreThanProven() external view {
        address[] memory earners = books.earners();
        for (uint8 pool = PROVIDER; pool <= USER; pool++) {
            uint256 sum;
            for (uint256 i = 0; i < earners.length; i++) {
                uint256 claimed = vault.claimed(pool, earners[i]);
                vm.assertLe(claimed, books.proven(pool, earners[i]), "claimed <= largest proven amount");
                sum += claimed;
            }
            vm.assertEq(vault.claimedTotal(pool), sum, "claimed in all = sum over accounts");
        }
        for (uint256 i = 0; i < earners.length; i++) {
            if (earners[i] == address(vault)) continue;
            uint256 claimed = vault.claimed(PROVIDER, earners[i]) + vault.claimed(USER, earners[i]);
            vm.assertEq(claimed, books.received(earners[i]), "claimed = what the balance grew by");
        }
    }

    /// Everybody has what the books say: money moved only as its owner, a leaf, the treasurer or the admin said.
    function invariant_MoneyGoesWhereItShould() external view {
        address[] memory tracked = books.tracked();
        uint256 sum;
        for (uint256 i = 0; i < tracked.length; i++) {
            uint256 balance = token.balanceOf(tracked[i]);
            vm.assertEq(balance, books.cash(tracked[i]), "balance = own book-keeping");
            sum += balance;
        }
        vm.assertEq(sum, SUPPLY, "all tracked balances = supply");
        vm.assertEq(token.totalSupply(), SUPPLY, "nobody mints or burns");
        for (uint160 i = 0; i < 3; i++) {
            vm.assertEq(token.balanceOf(address(0xbad0000 + i)), 0, "outsiders got nothing");
        }
    }

    function invariant_ProtocolPool() external view {
        uint256 expected = books.protocolDeposited() - books.withdrawn();
        vm.assertEq(vault.pools().protocolAmount, expected, "protocol = its share of fees - withdrawn");
    }

    // ---------------------------------------------------------------- roots

    /// A revoked root leaves no trace: pools are what was deposited less what the newest live root promises.
    function invariant_RevokedIsAsIfNeverPublished() external view {
        ICXPTVault.RewardPool memory pools = vault.pools();
        uint256 provider = books.deposited(PROVIDER) - books.promised(PROVIDER);
        uint256 user = books.deposited(USER) - books.promised(USER);
        vm.assertEq(pools.providerAmount, provider, "provider pool = deposited - promised by live roots");
        vm.assertEq(pools.userAmount, user, "user pool = deposited - promised by live roots");
        for (uint8 pool = PROVIDER; pool <= USER; pool++) {
            vm.assertEq(vault.promised(pool), books.promised(pool), "promised = newest live total");
            uint256 liability = books.promised(pool) - books.claimedTotal(pool);
            vm.assertEq(vault.liability(pool), liability, "liability = promised - claimed");
        }
    }

    function invariant_NextEpochCountsLiveRoots() external view {
        vm.assertEq(vault.nextEpoch(), FIRST + books.liveCount(), "nextEpoch = first epoch + live roots");
    }

    function invariant_AtMostOnePending() external view {
        uint256 pending;
        for (uint256 epoch = FIRST; epoch < vault.nextEpoch(); epoch++) {
            if (vault.rootAt(epoch).status == ICXPTVault.RootStatus.Pending) pending++;
        }
        vm.assertLe(pending, 1, "at most one root is pending");
        (bool exists, uint256 last) = vault.pendingRoot();
        vm.assertEq(exists, pending == 1, "pendingRoot tells whether");
        vm.assertEq(exists, books.pending() != type(uint256).max, "pending as the books say");
        if (exists) vm.assertEq(last, vault.nextEpoch() - 1, "the pending one is the last");
        (bool active, uint256 newest) = vault.latestActiveEpoch();
        uint256 index = books.newestActive();
        vm.assertEq(active, index != type(uint256).max, "a root is active or none is");
        if (active) vm.assertEq(newest, books.publication(index).epoch, "the newest active epoch");
    }

    /// Records are what was published and confirmed; a root that was activated changes only to Retired.
    function invariant_RecordsDoNotChange() external view {
        for (uint256 i = 0; i < books.liveCount(); i++) {
            uint256 index = books.live(i);
            Books.Publication memory it = books.publication(index);
            ICXPTVault.RootRecord memory record = vault.rootAt(FIRST + i);
            vm.assertEq(record.root, it.root, "root");
            vm.assertEq(record.manifestHash, it.manifest, "manifest");
            vm.assertEq(record.providerTotal, it.providerTotal, "provider total");
            vm.assertEq(record.userTotal, it.userTotal, "user total");
            vm.assertEq(record.activatesAt, it.activatesAt, "time of activation");
            vm.assertEq(record.attestationsMissing, it.missing, "confirmations missing");
            ICXPTVault.RootStatus status =
                books.isActivated(index) ? ICXPTVault.RootStatus.Active : ICXPTVault.RootStatus.Pending;
            if (it.retired) status = ICXPTVault.RootStatus.Retired;
            vm.assertEq(uint256(record.status), uint256(status), "status");
        }
    }

    function invariant_RevokedRootsNeverPay() external view {
        uint256 revoked;
        for (uint256 i = 0; i < books.publicationCount(); i++) {
            Books.Publication memory it = books.publication(i);
            if (!it.revoked) continue;
            revoked++;
            uint256 live = books.liveAt(it.epoch);
            if (live == type(uint256).max) {
                ICXPTVault.RootRecord memory record = vault.rootAt(it.epoch);
                if (record.root == it.root) {
                    vm.assertEq(uint256(record.status), uint256(ICXPTVault.RootStatus.Revoked), "status of the revoked");
                }
            }
            if (!_isLive(it.root)) vm.assertEq(books.paidUnder(it.root), 0, "a revoked root paid nothing");
        }
        vm.assertEq(vault.revocations(), revoked, "every revocation counts for good");
    }

    // ---------------------------------------------------------------- roles and pauses

    function invariant_RolesAreAsGiven() external view {
        address[] memory staff = books.staff();
        uint256 admins;
        for (uint256 i = 0; i < staff.length; i++) {
            ICXPTVault.Role role = vault.roleOf(staff[i]);
            vm.assertEq(uint256(role), uint256(books.roleOf(staff[i])), "one role, and the one that was given");
            if (role == ICXPTVault.Role.Admin) admins++;
        }
        vm.assertGe(admins, 1, "there is an admin");
        for (uint160 i = 0; i < 3; i++) {
            vm.assertEq(uint256(vault.roleOf(address(0xbad0000 + i))), 0, "outsiders have no role");
        }
        vm.assertEq(subscriptions.owner(), _owner(), "owner of the subscriptions");
        vm.assertEq(escrow.owner(), _owner(), "owner of the escrow");
        vm.assertEq(escrow.settler(), books.settler(), "settler");
    }

    function invariant_SettingsAreAsSet() external view {
        (uint256 protocol, uint256 provider, uint256 user) = vault.split();
        vm.assertEq(protocol + provider + user, 10_000, "the split adds up");
        vm.assertLe(protocol, 5_000, "the protocol takes at most half");
        vm.assertEq(provider, books.providerBp(), "providers' share");
        vm.assertEq(user, books.userBp(), "users' share");
        vm.assertEq(vault.activationDelay(), books.activationDelay(), "delay");
        vm.assertEq(vault.attestersRequired(), books.attestersRequired(), "confirmations needed");
        vm.assertEq(vault.claimsPausedUntil(), books.claimsPausedUntil(), "pause of claims");
        vm.assertLe(vault.claimsPausedUntil(), block.timestamp + 14 days, "a pause of claims ends within 14 days");
        vm.assertEq(vault.publishingPausedUntil(), books.publishingPausedUntil(), "pause of publishing");
    }

    // ---------------------------------------------------------------- escrow

    function invariant_EscrowHoldsItsBalances() external view {
        address[] memory customers = books.customers();
        uint256 sum;
        for (uint256 i = 0; i < customers.length; i++) {
            uint256 balance = escrow.balanceOf(customers[i]);
            vm.assertEq(balance, books.escrowed(customers[i]), "balance = own book-keeping");
            sum += balance;
        }
        vm.assertEq(escrow.totalBalance(), sum, "totalBalance = sum of balances");
        uint256 held = token.balanceOf(address(escrow));
        vm.assertGe(held, sum, "CXPT held >= balances");
        vm.assertEq(held - sum, books.strayInEscrow(), "what is above was sent by mistake");
        vm.assertEq(token.allowance(address(escrow), address(vault)), 0, "no allowance is left");
    }

    function invariant_NobodyIsChargedAboveTheLimit() external view {
        address[] memory customers = books.customers();
        uint256[] memory chargedDays = books.chargedDays();
        for (uint256 i = 0; i < customers.length; i++) {
            address account = customers[i];
            for (uint256 j = 0; j < chargedDays.length; j++) {
                uint256 charged = books.chargedOn(account, chargedDays[j]);
                vm.assertLe(charged, books.highestLimitOn(account, chargedDays[j]), "charged in a day <= limit");
            }
            uint256 expected = books.chargeable(account, type(uint256).max);
            vm.assertEq(escrow.chargeable(account), expected, "what could be charged now");
        }
    }

    function invariant_NoBatchIsChargedTwice() external view {
        bytes32[] memory batches = books.batches();
        for (uint256 i = 0; i < batches.length; i++) {
            vm.assertEq(books.timesSettled(batches[i]), 1, "settled once");
            vm.assertTrue(escrow.isSettled(batches[i]), "known as settled");
        }
    }

    // ---------------------------------------------------------------- subscriptions

    function invariant_SubscriptionsNeverShorten() external view {
        address[] memory customers = books.customers();
        for (uint256 i = 0; i < customers.length; i++) {
            ISubscriptionManager.Subscription memory it = subscriptions.subscriptions(customers[i]);
            Books.Subscribed memory promised = books.subscribed(customers[i]);
            vm.assertEq(it.endTime, promised.end, "end as promised at the last payment");
            vm.assertEq(it.startTime, promised.start, "start of the unbroken time");
            vm.assertEq(it.amount, promised.paid, "last payment");
            vm.assertEq(it.isActive, block.timestamp < promised.end, "active until its end");
        }
    }

    function invariant_SubscriptionsHoldNothing() external view {
        vm.assertEq(token.balanceOf(address(subscriptions)), 0, "SubscriptionManager holds no CXPT");
        vm.assertEq(token.allowance(address(subscriptions), address(vault)), 0, "no allowance is left");
    }

    // ---------------------------------------------------------------- the end

    /// From any state everybody can still be paid, and what is left is what the Vault owes.
    function afterInvariant() external {
        if (block.timestamp < books.claimsPausedUntil()) vm.warp(books.claimsPausedUntil());
        _claimEverything();
        escrowUser.withdrawAll();
        vm.assertEq(escrow.totalBalance(), 0, "everybody took everything out of the escrow");
        vm.assertEq(token.balanceOf(address(escrow)), books.strayInEscrow(), "what is left was sent by mistake");
        _takeTheRest();
    }

    function _claimEverything() private {
        uint256 newest = books.newestActive();
        if (newest == type(uint256).max) return;
        claimer.claimAll(newest);
        if (!books.allSound()) return;
        ClaimTree.Leaf[] memory leaves = books.leaves(newest);
        for (uint256 i = 0; i < leaves.length; i++) {
            vm.assertEq(vault.claimed(leaves[i].pool, leaves[i].account), leaves[i].amount, "every leaf was paid");
        }
        for (uint8 pool = PROVIDER; pool <= USER; pool++) {
            vm.assertEq(vault.claimedTotal(pool), books.total(newest, pool), "all that was promised was paid");
        }
    }

    function _takeTheRest() private {
        uint256 protocol = vault.pools().protocolAmount;
        vm.prank(books.holders(ICXPTVault.Role.Treasurer)[0]);
        vault.withdrawProtocol(address(0x72ea5), protocol);
        uint256 surplus = vault.surplus();
        vm.prank(books.holders(ICXPTVault.Role.Admin)[0]);
        vault.rescue(token, address(0x4e5c0e), surplus);
        uint256 owed = vault.pools().providerAmount + vault.pools().userAmount;
        owed += vault.liability(PROVIDER) + vault.liability(USER);
        vm.assertEq(token.balanceOf(address(vault)), owed, "pools and liabilities are left, to the unit");
    }

    // ---------------------------------------------------------------- inside

    function _isLive(bytes32 root) private view returns (bool) {
        for (uint256 i = 0; i < books.liveCount(); i++) {
            if (books.publication(books.live(i)).root == root) return true;
        }
        return false;
    }
}
