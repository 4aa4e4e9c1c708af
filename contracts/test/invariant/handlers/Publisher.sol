// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../../base/ClaimTree.sol";
import {Books} from "../Books.sol";
import {Player} from "./Player.sol";

/// @title Who publishes roots, right ones and wrong ones
contract Publisher is Player {
    using ClaimTree for ClaimTree.Leaf[];

    /// @dev All that a call of publishRoot says, and the leaves behind it.
    struct Draft {
        uint256 epoch;
        bytes32 root;
        uint256 providerTotal;
        uint256 userTotal;
        uint256 revocations;
        ClaimTree.Leaf[] leaves;
    }

    uint256 private _salt;

    constructor(Books books_) Player(books_, "publisher") {}

    /// @notice The next epoch as it should be.
    function publish(uint256 seed, uint256 amount) external {
        if (!_wait(seed)) return _idle();
        _publish(_honest(seed, amount), seed);
    }

    /// @notice Accepted by the Vault and wrong all the same: only attesters can see it.
    function publishUnsound(uint256 seed, uint256 amount) external wrongly {
        if (!_wait(seed)) return _idle();
        Draft memory draft = _honest(seed, amount);
        uint256 kind = _roll(seed, "kind", 8);
        uint256 i = _roll(seed, "leaf", draft.leaves.length - 1);
        uint256 extra = 1 + _roll(seed, "extra", 2_000 * CXPT);
        if (kind >= 5) {
            draft.leaves[i].amount += extra;
        } else if (kind == 1) {
            draft.providerTotal += _roll(seed, "more", 1 + _room(PROVIDER, draft.providerTotal));
        } else if (kind == 2) {
            draft.leaves[i].amount -= _roll(seed, "fall", 1 + draft.leaves[i].amount);
        } else if (kind == 3) {
            draft.leaves[i].account = address(0);
        } else if (kind == 4) {
            draft.leaves[i].pool = 3;
        } else {
            draft.leaves[i] = ClaimTree.Leaf(PROVIDER, draft.leaves[(i + 2) % (draft.leaves.length - 1)].account, extra);
        }
        draft.root = draft.leaves.build()[0];
        _publish(draft, seed);
    }

    /// @notice Refused by the Vault, in most states.
    function publishRefused(uint256 seed, uint256 amount) external wrongly {
        if (!_wait(seed)) return _idle();
        Draft memory draft = _honest(seed, amount);
        uint256 kind = _roll(seed, "kind", 8);
        if (kind == 0) draft.revocations = draft.revocations == 0 ? 1 : draft.revocations - 1;
        else if (kind == 1) draft.epoch += 1;
        else if (kind == 2) draft.epoch -= 1;
        else if (kind == 3 && books.promised(USER) != 0) draft.userTotal = books.promised(USER) - 1;
        else if (kind == 4) draft.providerTotal = books.deposited(PROVIDER) + 1;
        else if (kind == 5) draft.userTotal = books.promised(USER) + books.maxEpochAmount(USER) + 1;
        else if (kind == 6) draft.root = 0;
        else (draft.root, draft.providerTotal, draft.userTotal) = (0, books.promised(PROVIDER), books.promised(USER));
        if (draft.root == 0) draft.leaves = new ClaimTree.Leaf[](0);
        _publish(draft, seed);
    }

    /// @notice What was revoked, once more: word for word, or with the new count.
    function publishAgain(uint256 seed) external wrongly {
        for (uint256 i = books.publicationCount(); i > 0; i--) {
            Books.Publication memory old = books.publication(i - 1);
            if (!old.revoked) continue;
            Draft memory draft =
                Draft(old.epoch, old.root, old.providerTotal, old.userTotal, old.revocations, books.leaves(i - 1));
            if (_roll(seed, "count", 4) != 0) draft.revocations = books.revocations();
            return _publish(draft, seed);
        }
        _idle();
    }

    // ---------------------------------------------------------------- inside

    /// @dev Until a confirmed root is active, mostly; nobody waits for one that is not confirmed.
    function _wait(uint256 seed) private returns (bool) {
        uint256 pending = books.pending();
        if (pending == NONE || _roll(seed, "wait", 10) == 0) return true;
        if (books.publication(pending).missing != 0) return false;
        vm.warp(books.publication(pending).activatesAt);
        return true;
    }

    function _publish(Draft memory draft, uint256 seed) private {
        bytes32 manifest = keccak256(abi.encode("manifest", draft.root));
        bytes memory data = abi.encodeCall(
            vault.publishRoot,
            (draft.epoch, draft.root, draft.providerTotal, draft.userTotal, manifest, draft.revocations)
        );
        bytes memory refusal = _refusal(draft);
        Books.Before memory before = _look();
        bool sound = _isSound(draft);
        address publisher = _holder(ICXPTVault.Role.Publisher, seed);
        (bool published,) = _do(publisher, address(vault), data, refusal, "publishRoot");
        if (!published) return;
        Books.Publication memory publication = Books.Publication({
            epoch: draft.epoch,
            root: draft.root,
            manifest: manifest,
            providerTotal: draft.providerTotal,
            userTotal: draft.userTotal,
            activatesAt: block.timestamp + books.activationDelay(),
            missing: books.attestersRequired(),
            revocations: draft.revocations,
            baseline: _baseline(),
            revoked: false,
            retired: false,
            sound: sound
        });
        books.publish(publication, draft.leaves, before);
    }

    /// @dev In the order in which the Vault looks.
    function _refusal(Draft memory draft) private view returns (bytes memory) {
        uint256 until = books.publishingPausedUntil();
        if (block.timestamp < until) return _error(ICXPTVault.PublishingIsPaused.selector, until);
        uint256 pending = books.pending();
        if (pending != NONE) return _error(ICXPTVault.RootPending.selector, books.publication(pending).epoch);
        if (draft.epoch != books.nextEpoch()) {
            return _error(ICXPTVault.NotNextEpoch.selector, books.nextEpoch(), draft.epoch);
        }
        if (draft.revocations != books.revocations()) {
            return _error(ICXPTVault.WrongRevocations.selector, books.revocations(), draft.revocations);
        }
        if (draft.root == 0 && draft.providerTotal + draft.userTotal != 0) return _error(ICXPTVault.ZeroRoot.selector);
        bytes memory refusal = _poolRefusal(PROVIDER, draft.providerTotal);
        return refusal.length != 0 ? refusal : _poolRefusal(USER, draft.userTotal);
    }

    function _poolRefusal(uint8 pool, uint256 total) private view returns (bytes memory) {
        uint256 last = books.promised(pool);
        if (total < last) return _error(ICXPTVault.TotalFell.selector, pool, last, total);
        uint256 available = books.deposited(pool) - last;
        uint256 increase = total - last;
        if (increase > available) return _error(ICXPTVault.PoolTooSmall.selector, pool, available, increase);
        uint256 limit = books.maxEpochAmount(pool);
        if (increase > limit) return _error(ICXPTVault.EpochLimitExceeded.selector, pool, limit, increase);
        return "";
    }

    /// @dev Every earner in both pools, none below the last right root, and one leaf that makes the tree like no other.
    function _honest(uint256 seed, uint256 amount) private returns (Draft memory draft) {
        (draft.epoch, draft.revocations) = (books.nextEpoch(), books.revocations());
        draft.leaves = _baseLeaves();
        draft.providerTotal = _raise(draft.leaves, PROVIDER, amount);
        draft.userTotal = _raise(draft.leaves, USER, seed);
        draft.leaves[draft.leaves.length - 1] =
            ClaimTree.Leaf(USER, address(uint160(uint256(keccak256(abi.encode(address(this), ++_salt))))), 0);
        draft.root = draft.leaves.build()[0];
    }

    function _baseLeaves() private view returns (ClaimTree.Leaf[] memory leaves) {
        uint256 baseline = _baseline();
        if (baseline != NONE) return books.leaves(baseline);
        address[] memory earners = books.earners();
        leaves = new ClaimTree.Leaf[](2 * earners.length + 1);
        for (uint256 i = 0; i < earners.length; i++) {
            leaves[2 * i] = ClaimTree.Leaf(PROVIDER, earners[i], 0);
            leaves[2 * i + 1] = ClaimTree.Leaf(USER, earners[i], 0);
        }
    }

    /// @dev What the next right root builds on: the last live one that was right.
    function _baseline() private view returns (uint256) {
        uint256 newest = books.newest();
        return newest == NONE ? NONE : books.publication(newest).baseline;
    }

    /// @dev Raises the leaves of a pool so that they add up to a total that the Vault accepts.
    function _raise(ClaimTree.Leaf[] memory leaves, uint8 pool, uint256 amount) private view returns (uint256 total) {
        uint256 last = books.promised(pool);
        total = last + bound(amount, 0, _room(pool, last));
        uint256 left = total;
        uint256 first = pool - 1;
        for (uint256 i = first; i < leaves.length - 1; i += 2) {
            left -= leaves[i].amount;
        }
        for (uint256 i = first; i < leaves.length - 3; i += 2) {
            uint256 share = left * _roll(amount, "share", 3 + i) / (2 + i);
            if (share > left) share = left;
            leaves[i].amount += share;
            left -= share;
        }
        leaves[leaves.length - 3 + first].amount += left;
    }

    /// @dev By how much a total could yet grow.
    function _room(uint8 pool, uint256 total) private view returns (uint256 room) {
        room = books.deposited(pool) - total;
        uint256 limit = books.promised(pool) + books.maxEpochAmount(pool) - total;
        if (room > limit) room = limit;
    }

    function _isSound(Draft memory draft) private view returns (bool) {
        ClaimTree.Leaf[] memory base = _baseLeaves();
        if (draft.leaves.length != base.length) return false;
        uint256[4] memory sums;
        for (uint256 i = 0; i < base.length; i++) {
            ClaimTree.Leaf memory leaf = draft.leaves[i];
            sums[leaf.pool] += leaf.amount;
            if (i == base.length - 1) break;
            if (leaf.pool != base[i].pool || leaf.account != base[i].account || leaf.amount < base[i].amount) {
                return false;
            }
        }
        return sums[PROVIDER] == draft.providerTotal && sums[USER] == draft.userTotal;
    }

    function _look() private view returns (Books.Before memory before) {
        before.pools = vault.pools();
        before.providerDeposited = books.deposited(PROVIDER);
        before.userDeposited = books.deposited(USER);
        before.protocolDeposited = books.protocolDeposited();
        before.withdrawn = books.withdrawn();
        before.providerPromised = vault.promised(PROVIDER);
        before.userPromised = vault.promised(USER);
        before.nextEpoch = vault.nextEpoch();
    }
}
