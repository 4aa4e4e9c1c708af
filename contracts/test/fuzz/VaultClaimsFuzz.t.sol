// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CXPTVault} from "../../src/CXPTVault.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {Vm} from "../base/Test.sol";
import {FuzzTest} from "./FuzzTest.sol";

contract VaultClaimsFuzz is FuzzTest {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    uint256 private constant MOST = 20 * CXPT;

    // ---------------------------------------------------------------- one claim

    /// @notice Over rising roots, claimed in any order and as often as one likes, an account is paid the largest amount
    /// that was proven, no more and no less.
    function testFuzz_ClaimsPayTheLargestProvenAmount(uint256[4] memory amounts, uint8[8] calldata order) external {
        bytes32[][4] memory trees;
        uint256 amount;
        for (uint256 i = 0; i < 4; i++) {
            amount += bound(amounts[i], 0, 100 * CXPT);
            amounts[i] = amount;
            ClaimTree.Leaf[] memory leaves = _leaves(amount, 1);
            trees[i] = leaves.build();
            _activate(FIRST + i, trees[i][0], 700 * CXPT, 100 * CXPT);
        }
        uint256 largest;
        for (uint256 i = 0; i < 8; i++) {
            uint256 epoch = order[i] % 4;
            uint256 paid = _claim(FIRST + epoch, trees[epoch], ClaimTree.Leaf(PROVIDER, provider, amounts[epoch]));
            uint256 due = amounts[epoch] > largest ? amounts[epoch] - largest : 0;
            vm.assertEq(paid, due, "paid");
            largest += due;
        }
        vm.assertEq(token.balanceOf(provider), largest, "paid in all");
        vm.assertEq(vault.claimed(PROVIDER, provider), largest, "claimed");
        vm.assertEq(vault.claimed(USER, provider), 0, "the other pool");
        vm.assertEq(vault.claimedTotal(PROVIDER), largest, "claimed from the pool");
        vm.assertEq(vault.claimedTotal(USER), 0, "claimed from the other pool");
        _assertSolvent();
    }

    /// @notice Whoever calls, the money of a leaf goes to its account.
    function testFuzz_WhoIsPaidDoesNotDependOnTheCaller(uint256 seed, uint256 index, address caller, bool batch)
        external
    {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateRandom(seed, 6);
        ClaimTree.Leaf memory leaf = leaves[index % 6];
        vm.assume(caller != address(vault) && caller != leaf.account);
        uint256 before = token.balanceOf(caller);
        vm.prank(caller);
        if (batch) vault.claimMany(FIRST, _items(nodes, leaf));
        else vault.claim(FIRST, leaf.pool, leaf.account, leaf.amount, nodes.prove(leaf));
        vm.assertEq(token.balanceOf(leaf.account), leaf.amount, "the account");
        vm.assertEq(token.balanceOf(caller), before, "the caller");
        vm.assertEq(vault.claimed(leaf.pool, leaf.account), leaf.amount, "claimed");
    }

    /// @notice A leaf with any one thing changed (pool, account, amount, a node's bit, a node more, less, elsewhere, the
    /// epoch) is refused and pays nobody.
    function testFuzz_AChangedClaimPaysNothing(uint256 seed, uint256 index, uint256 choice, uint256 noise) external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateRandom(seed, 7);
        ClaimTree.Leaf memory leaf = leaves[index % 7];
        bytes32[] memory proof = nodes.prove(leaf);
        uint256 epoch = FIRST;
        bytes memory refusal;
        choice = bound(choice, 0, 8);
        if (choice == 0) leaf.amount ^= bound(noise, 1, type(uint256).max);
        if (choice == 1) leaf.account = address(uint160(leaf.account) ^ uint160(bound(noise, 1, type(uint160).max)));
        if (choice == 2) leaf.pool = 3 - leaf.pool;
        if (choice == 3) proof[noise % proof.length] ^= bytes32(1 << (noise >> 8) % 256);
        if (choice == 4) proof = _cut(proof, noise % proof.length);
        if (choice == 5) proof = _insert(proof, noise % (proof.length + 1), keccak256(abi.encode(noise)));
        if (choice == 6) {
            uint256 other = 1 + noise % (proof.length - 1);
            (proof[0], proof[other]) = (proof[other], proof[0]);
        }
        if (choice == 7) {
            leaf.pool ^= uint8(bound(noise, 1, 255));
            if (leaf.pool != 1 && leaf.pool != 2) {
                refusal = abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, leaf.pool);
            }
        }
        if (choice == 8) {
            epoch ^= bound(noise, 1, type(uint256).max);
            refusal = abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, epoch);
        }
        if (choice == 1 && leaf.account == address(0)) {
            refusal = abi.encodeWithSelector(ICXPTVault.InvalidAccount.selector, address(0));
        }
        if (refusal.length == 0) {
            refusal = abi.encodeWithSelector(ICXPTVault.InvalidProof.selector, leaf.pool, leaf.account, leaf.amount);
        }
        bytes memory data = abi.encodeCall(vault.claim, (epoch, leaf.pool, leaf.account, leaf.amount, proof));
        _expect(refusal, stranger, address(vault), data, "claim");
        vm.assertEq(vault.claimedTotal(PROVIDER) + vault.claimedTotal(USER), 0, "nothing is paid");
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT, "held");
    }

    /// @notice No leaf of two nodes' bytes, read in whatever way they fit, is proven by any path of the tree.
    function testFuzz_AnInnerNodeIsNoLeaf(uint256 seed, uint256 count, uint256 index, bool flipped) external {
        count = bound(count, 2, 8);
        (, bytes32[] memory nodes) = _activateRandom(seed, count);
        uint256 node = index % (count - 1);
        (bytes32 left, bytes32 right) = (nodes[2 * node + 1], nodes[2 * node + 2]);
        if (flipped) (left, right) = (right, left);
        bytes32[] memory proof = _path(nodes, node);
        address account = address(uint160(uint256(left)));
        for (uint8 pool = PROVIDER; pool <= USER; pool++) {
            bytes memory refusal =
                abi.encodeWithSelector(ICXPTVault.InvalidProof.selector, pool, account, uint256(right));
            bytes memory data = abi.encodeCall(vault.claim, (FIRST, pool, account, uint256(right), proof));
            _expect(refusal, stranger, address(vault), data, "claim");
        }
    }

    /// @notice `claimable` says beforehand what a claim then does: the same amount, or the code of its refusal.
    function testFuzz_ClaimableForetellsTheClaim(uint256 seed, uint256 index, uint256 total, uint256 choice) external {
        ClaimTree.Leaf[] memory leaves = _randomLeaves(seed, 6, MOST);
        bytes32[] memory nodes = leaves.build();
        total = bound(total, 0, 2 * MOST);
        _activate(FIRST, nodes[0], total, total);
        ClaimTree.Leaf memory leaf = leaves[index % 6];
        bytes32[] memory proof = nodes.prove(leaf);
        if (choice % 4 == 0) proof[0] = 0;
        if (choice % 4 == 1 && leaf.amount <= total) _claim(FIRST, nodes, leaf);

        (uint256 amount, ICXPTVault.ClaimCode code) =
            vault.claimable(FIRST, leaf.pool, leaf.account, leaf.amount, proof);
        bytes memory refusal;
        ICXPTVault.ClaimCode expected = ICXPTVault.ClaimCode.Due;
        if (choice % 4 == 0) {
            expected = ICXPTVault.ClaimCode.InvalidProof;
            refusal = abi.encodeWithSelector(ICXPTVault.InvalidProof.selector, leaf.pool, leaf.account, leaf.amount);
        } else if (leaf.amount > total) {
            expected = ICXPTVault.ClaimCode.PromiseExceeded;
            refusal = abi.encodeWithSelector(ICXPTVault.PromiseExceeded.selector, leaf.pool, total, leaf.amount);
        } else if (choice % 4 == 1) {
            expected = ICXPTVault.ClaimCode.NothingDue;
        }
        vm.assertEq(uint8(code), uint8(expected), "code");
        vm.assertEq(amount, expected == ICXPTVault.ClaimCode.Due ? leaf.amount : 0, "amount");
        bytes memory data = abi.encodeCall(vault.claim, (FIRST, leaf.pool, leaf.account, leaf.amount, proof));
        bytes memory result = _expect(refusal, stranger, address(vault), data, "claim");
        if (refusal.length == 0) vm.assertEq(abi.decode(result, (uint256)), amount, "paid as foretold");
    }

    /// @notice A leaf that was paid, by whichever root, pays nothing a second time and says so.
    function testFuzz_TheSecondClaimPaysNothing(uint256 seed, uint256 index, bool laterRoot) external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateRandom(seed, 5);
        ClaimTree.Leaf memory leaf = leaves[index % 5];
        _claim(FIRST, nodes, leaf);
        if (laterRoot) _activate(FIRST + 1, nodes[0], 200 * CXPT, 200 * CXPT);
        uint256 held = token.balanceOf(address(vault));
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.ClaimSkipped(0, leaf.account, ICXPTVault.ClaimCode.NothingDue);
        vm.assertEq(_claim(laterRoot ? FIRST + 1 : FIRST, nodes, leaf), 0, "paid");
        vm.assertEq(token.balanceOf(address(vault)), held, "held");
        vm.assertEq(vault.claimed(leaf.pool, leaf.account), leaf.amount, "claimed");
    }

    /// @notice A root pays from the second of its activation on and not before.
    function testFuzz_ARootPaysFromItsActivationOn(uint256 confirmed, uint256 asked) external {
        confirmed = bound(confirmed, 0, 3 hours);
        asked = bound(asked, confirmed, 5 hours);
        uint256 active = confirmed + 1 hours > 2 hours ? confirmed + 1 hours : 2 hours;
        if (asked % 3 == 0) asked = active - asked % 2;
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _publish(FIRST, nodes[0], 2_000, 100);
        vm.warp(START + confirmed);
        _attest(FIRST);
        vm.warp(START + asked);
        bytes memory refusal =
            asked >= active ? bytes("") : abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, uint256(FIRST));
        bytes memory data =
            abi.encodeCall(vault.claim, (FIRST, PROVIDER, provider, uint256(70), nodes.prove(leaves[0])));
        _expect(refusal, stranger, address(vault), data, "claim");
        vm.assertEq(token.balanceOf(provider), asked >= active ? 70 : 0, "paid");
    }

    /// @notice Claims stop exactly from the start of a pause until 14 days later or until it is lifted, and what they pay
    /// then is what they would have paid before.
    function testFuzz_ClaimsStopForExactlyThePause(uint256 wait, uint256 lifted, bool byTheAdmin) external {
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], 2_000, 100);
        uint256 began = block.timestamp;
        wait = bound(wait, 0, 20 days);
        lifted = bound(lifted, 0, 20 days);
        if (wait % 3 == 0) wait = 14 days - wait % 2;
        vm.prank(guardian);
        vault.pauseClaims();
        if (lifted < 14 days && lifted <= wait) {
            vm.warp(began + lifted);
            vm.prank(byTheAdmin ? admin : guardian);
            vault.resumeClaims();
        }
        vm.warp(began + wait);
        bool paused = wait < 14 days && lifted > wait;
        bytes memory refusal =
            paused ? abi.encodeWithSelector(ICXPTVault.ClaimsArePaused.selector, began + 14 days) : bytes("");
        bytes memory data = abi.encodeCall(vault.claim, (FIRST, USER, user, uint256(30), nodes.prove(leaves[1])));
        _expect(refusal, user, address(vault), data, "claim");
        vm.assertEq(token.balanceOf(user), paused ? 0 : 30, "paid");
    }

    // ---------------------------------------------------------------- many claims

    /// @notice A batch pays and skips, item by item and with the right code, what single claims in the same order would:
    /// good items, repeated ones, wrong proofs, pools and accounts, and more than is promised.
    function testFuzz_ABatchIsItsItemsInOrder(uint256 seed, uint256[2] memory totals, uint8[8] calldata choices)
        external
    {
        ClaimTree.Leaf[] memory leaves = _randomLeaves(seed, 6, MOST);
        bytes32[] memory nodes = leaves.build();
        totals = [bound(totals[0], 0, 4 * MOST), bound(totals[1], 0, 4 * MOST)];
        CXPTVault twin = new CXPTVault(_config(token));
        token.approve(address(twin), 2_000 * CXPT);
        twin.depositFees(2_000 * CXPT);
        CXPTVault first = vault;
        _activate(FIRST, nodes[0], totals[0], totals[1]);
        vault = twin;
        _activate(FIRST, nodes[0], totals[0], totals[1]);
        vault = first;

        ICXPTVault.ClaimItem[] memory items = new ICXPTVault.ClaimItem[](8);
        for (uint256 i = 0; i < 8; i++) {
            items[i] = _item(nodes, leaves[choices[i] % 6]);
            uint256 fault = choices[i] / 32; // half of the items are good
            if (fault == 1) items[i].pool = choices[i];
            if (fault == 2) items[i].account = address(0);
            if (fault == 3) items[i].cumulativeAmount += 1;
        }
        vm.recordLogs();
        uint256 paid = first.claimMany(FIRST, items);
        Vm.Log[] memory skipped = _skipped(vm.getRecordedLogs());

        uint256 sum;
        uint256 skips;
        for (uint256 i = 0; i < 8; i++) {
            (uint256 amount, ICXPTVault.ClaimCode code) = _claimAlone(twin, items[i]);
            sum += amount;
            if (code == ICXPTVault.ClaimCode.Due) continue;
            vm.assertEq(skipped[skips].topics[1], bytes32(i), "which item");
            vm.assertEq(address(uint160(uint256(skipped[skips].topics[2]))), items[i].account, "whose");
            vm.assertEq(abi.decode(skipped[skips].data, (uint256)), uint256(code), "code");
            skips++;
        }
        vm.assertEq(paid, sum, "paid in all");
        vm.assertEq(skipped.length, skips, "skipped in all");
        for (uint8 pool = PROVIDER; pool <= USER; pool++) {
            vm.assertEq(first.claimedTotal(pool), twin.claimedTotal(pool), "claimed from the pool");
            for (uint256 i = 0; i < 6; i++) {
                address account = leaves[i].account;
                vm.assertEq(first.claimed(pool, account), twin.claimed(pool, account), "claimed by the account");
            }
        }
    }

    /// @notice Where the totals suffice, the order of a batch, and how it is cut in two, changes nobody's money.
    function testFuzz_TheOrderOfABatchDoesNotMatter(uint256 seed, uint256 count, uint256 cut) external {
        count = bound(count, 1, 8);
        cut = bound(cut, 0, count);
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateRandom(seed, count);
        uint256[] memory order = _shuffle(seed, count);
        ICXPTVault.ClaimItem[] memory early = new ICXPTVault.ClaimItem[](cut);
        ICXPTVault.ClaimItem[] memory late = new ICXPTVault.ClaimItem[](count - cut);
        for (uint256 i = 0; i < count; i++) {
            ICXPTVault.ClaimItem memory item = _item(nodes, leaves[order[i]]);
            if (i < cut) early[i] = item;
            else late[i - cut] = item;
        }
        uint256 paid = vault.claimMany(FIRST, early) + vault.claimMany(FIRST, late);
        vm.assertEq(paid, _total(leaves, PROVIDER) + _total(leaves, USER), "paid in all");
        for (uint256 i = 0; i < count; i++) {
            vm.assertEq(vault.claimed(leaves[i].pool, leaves[i].account), leaves[i].amount, "claimed");
        }
        vm.assertEq(vault.liability(PROVIDER) + vault.liability(USER), 0, "nothing is left to pay");
        _assertSolvent();
    }

    /// @notice Where a root promises less than its leaves add up to, a claim is refused exactly when it would pass what
    /// is promised and not yet paid; the pools' own money is never touched.
    function testFuzz_ClaimsNeverPassThePromise(uint256 seed, uint256[2] memory left, uint8[8] calldata order)
        external
    {
        ClaimTree.Leaf[] memory leaves = _randomLeaves(seed, 8, MOST);
        bytes32[] memory nodes = leaves.build();
        left = [bound(left[0], 0, 4 * MOST), bound(left[1], 0, 4 * MOST)];
        _activate(FIRST, nodes[0], left[0], left[1]);
        bytes32 before = keccak256(abi.encode(vault.pools()));
        for (uint256 i = 0; i < 8; i++) {
            ClaimTree.Leaf memory leaf = leaves[order[i] % 8];
            uint256 due = vault.claimed(leaf.pool, leaf.account) == 0 ? leaf.amount : 0;
            uint256 unpaid = left[leaf.pool - 1];
            bytes memory refusal = due <= unpaid
                ? bytes("")
                : abi.encodeWithSelector(ICXPTVault.PromiseExceeded.selector, leaf.pool, unpaid, due);
            bytes memory data =
                abi.encodeCall(vault.claim, (FIRST, leaf.pool, leaf.account, leaf.amount, nodes.prove(leaf)));
            _expect(refusal, stranger, address(vault), data, "claim");
            if (due <= unpaid) left[leaf.pool - 1] -= due;
        }
        vm.assertEq(vault.liability(PROVIDER), left[0], "left of the provider promise");
        vm.assertEq(vault.liability(USER), left[1], "left of the user promise");
        vm.assertEq(keccak256(abi.encode(vault.pools())), before, "the pools");
        _assertSolvent();
    }

    /// @notice An older root pays against the promise of the newest active one, and a root that still waits adds nothing.
    function testFuzz_AnOldRootPaysAgainstTheNewestActiveTotal(uint256[3] memory totals, uint256 amount, bool active)
        external
    {
        uint256 sum;
        for (uint256 i = 0; i < 3; i++) {
            sum += bound(totals[i], 0, 50 * CXPT);
            totals[i] = sum;
        }
        amount = bound(amount, 1, 160 * CXPT);
        ClaimTree.Leaf[] memory leaves = _leaves(amount, 1);
        bytes32[] memory nodes = leaves.build();
        _activate(FIRST, nodes[0], totals[0], 0);
        _activate(FIRST + 1, keccak256("later"), totals[1], 0);
        if (active) _activate(FIRST + 2, keccak256("newest"), totals[2], 0);
        else _publish(FIRST + 2, keccak256("waiting"), totals[2], 0);
        uint256 most = active ? totals[2] : totals[1];
        bytes memory refusal = amount <= most
            ? bytes("")
            : abi.encodeWithSelector(ICXPTVault.PromiseExceeded.selector, PROVIDER, most, amount);
        bytes memory data = abi.encodeCall(vault.claim, (FIRST, PROVIDER, provider, amount, nodes.prove(leaves[0])));
        _expect(refusal, stranger, address(vault), data, "claim");
        vm.assertEq(token.balanceOf(provider), amount <= most ? amount : 0, "paid");
        _assertSolvent();
    }

    /// @notice Whatever is claimed, and in whatever order, before a revocation of the next root: claims go on as if that
    /// root had never been published.
    function testFuzz_ARevocationTakesNothingFromClaims(uint256 seed, uint256 increase, uint8 claimedBefore) external {
        (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes) = _activateRandom(seed, 6);
        increase = bound(increase, 0, 200 * CXPT);
        uint256 providerTotal = _total(leaves, PROVIDER);
        uint256 userTotal = _total(leaves, USER);
        for (uint256 i = 0; i < 6; i++) {
            if (claimedBefore >> i & 1 == 1) _claim(FIRST, nodes, leaves[i]);
        }
        _publish(FIRST + 1, keccak256("wrong"), providerTotal + increase, userTotal + increase);
        _revoke(FIRST + 1);
        for (uint256 i = 0; i < 6; i++) {
            uint256 due = claimedBefore >> i & 1 == 1 ? 0 : leaves[i].amount;
            vm.assertEq(_claim(FIRST, nodes, leaves[i]), due, "paid");
        }
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT - providerTotal - userTotal, "held");
        _assertSolvent();
    }

    // ---------------------------------------------------------------- what things are

    /// @dev A tree of random leaves, active, with true totals.
    function _activateRandom(uint256 seed, uint256 count)
        private
        returns (ClaimTree.Leaf[] memory leaves, bytes32[] memory nodes)
    {
        leaves = _randomLeaves(seed, count, MOST);
        nodes = leaves.build();
        _activate(FIRST, nodes[0], _total(leaves, PROVIDER), _total(leaves, USER));
    }

    function _item(bytes32[] memory nodes, ClaimTree.Leaf memory leaf)
        private
        pure
        returns (ICXPTVault.ClaimItem memory)
    {
        return ICXPTVault.ClaimItem(leaf.pool, leaf.account, leaf.amount, nodes.prove(leaf));
    }

    function _items(bytes32[] memory nodes, ClaimTree.Leaf memory leaf)
        private
        pure
        returns (ICXPTVault.ClaimItem[] memory items)
    {
        items = new ICXPTVault.ClaimItem[](1);
        items[0] = _item(nodes, leaf);
    }

    /// @dev What a lone claim does, its error read as the code that a batch would name.
    function _claimAlone(CXPTVault from, ICXPTVault.ClaimItem memory item)
        private
        returns (uint256 amount, ICXPTVault.ClaimCode code)
    {
        try from.claim(FIRST, item.pool, item.account, item.cumulativeAmount, item.proof) returns (uint256 paid) {
            return (paid, paid == 0 ? ICXPTVault.ClaimCode.NothingDue : ICXPTVault.ClaimCode.Due);
        } catch (bytes memory reason) {
            bytes4 name = bytes4(reason);
            if (name == ICXPTVault.InvalidPool.selector) return (0, ICXPTVault.ClaimCode.InvalidPool);
            if (name == ICXPTVault.InvalidAccount.selector) return (0, ICXPTVault.ClaimCode.InvalidAccount);
            if (name == ICXPTVault.InvalidProof.selector) return (0, ICXPTVault.ClaimCode.InvalidProof);
            vm.assertEq(bytes32(name), bytes32(ICXPTVault.PromiseExceeded.selector), "a known error");
            return (0, ICXPTVault.ClaimCode.PromiseExceeded);
        }
    }

    function _skipped(Vm.Log[] memory logs) private pure returns (Vm.Log[] memory skipped) {
        uint256 count;
        for (uint256 i = 0; i < logs.length; i++) {
            if (logs[i].topics[0] == ICXPTVault.ClaimSkipped.selector) logs[count++] = logs[i];
        }
        skipped = new Vm.Log[](count);
        for (uint256 i = 0; i < count; i++) {
            skipped[i] = logs[i];
        }
    }

    /// @dev Siblings of any node, up to the root.
    function _path(bytes32[] memory nodes, uint256 node) private pure returns (bytes32[] memory proof) {
        proof = new bytes32[](0);
        for (; node > 0; node = (node - 1) / 2) {
            proof = _insert(proof, proof.length, nodes[node % 2 == 1 ? node + 1 : node - 1]);
        }
    }

    function _cut(bytes32[] memory proof, uint256 index) private pure returns (bytes32[] memory shorter) {
        shorter = new bytes32[](proof.length - 1);
        for (uint256 i = 0; i < shorter.length; i++) {
            shorter[i] = proof[i < index ? i : i + 1];
        }
    }

    function _insert(bytes32[] memory proof, uint256 index, bytes32 node)
        private
        pure
        returns (bytes32[] memory longer)
    {
        longer = new bytes32[](proof.length + 1);
        for (uint256 i = 0; i < longer.length; i++) {
            longer[i] = i == index ? node : proof[i < index ? i : i - 1];
        }
    }
}
