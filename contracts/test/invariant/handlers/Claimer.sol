// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../../base/ClaimTree.sol";
import {Books} from "../Books.sol";
import {Player} from "./Player.sol";

/// @title Outsiders who claim for anybody, from any root that was ever published, with any proof
contract Claimer is Player {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    /// @dev A leaf as it is shown, and whether its proof holds against the tree of `publication`.
    struct Shown {
        ClaimTree.Leaf leaf;
        bytes32[] proof;
        bool genuine;
    }

    constructor(Books books_) Player(books_, "claimer") {}

    /// @notice A leaf of the newest active root.
    function claim(uint256 seed) external {
        uint256 index = books.newestActive();
        if (index == NONE) return _idle();
        _claim(seed, index, false);
    }

    /// @notice A leaf of any root: pending, active, revoked, retired.
    function claimFromAny(uint256 seed) external wrongly {
        if (books.publicationCount() == 0) return _idle();
        _claim(seed, _roll(seed, "root", books.publicationCount()), false);
    }

    /// @notice With something about leaf or proof changed.
    function claimMutated(uint256 seed) external wrongly {
        uint256 index = books.newestActive();
        if (index == NONE) return _idle();
        _claim(seed, index, true);
    }

    /// @notice A batch from one root: good items, mutated ones, the same ones again.
    function claimMany(uint256 seed) external {
        uint256 index = books.newestActive();
        if (_roll(seed, "any", 5) == 0 && books.publicationCount() != 0) {
            index = _roll(seed, "root", books.publicationCount());
        }
        if (index == NONE || books.leaves(index).length == 0) return _idle();
        Shown[] memory shown = new Shown[](_roll(seed, "items", 7));
        for (uint256 i = 0; i < shown.length; i++) {
            uint256 item = uint256(keccak256(abi.encode(seed, i)));
            shown[i] = i > 0 && item % 5 == 0 ? shown[i - 1] : _show(index, item, item % 4 == 0);
        }
        _claimMany(seed, index, shown);
    }

    /// @notice Every leaf of a root, one by one.
    function claimAll(uint256 index) external {
        ClaimTree.Leaf[] memory leaves = books.leaves(index);
        bytes32[] memory nodes = leaves.build();
        for (uint256 i = 0; i < leaves.length; i++) {
            _claimShown(i, index, Shown(leaves[i], nodes.prove(leaves[i]), true));
        }
    }

    // ---------------------------------------------------------------- one

    function _claim(uint256 seed, uint256 index, bool mutated) private {
        if (books.leaves(index).length == 0) return _idle();
        _claimShown(seed, index, _show(index, seed, mutated));
    }

    function _claimShown(uint256 seed, uint256 index, Shown memory shown) private {
        ClaimTree.Leaf memory leaf = shown.leaf;
        uint256 epoch = books.publication(index).epoch;
        bytes memory refusal = _closed(epoch);
        uint256 amount;
        if (refusal.length == 0) {
            ICXPTVault.ClaimCode code;
            (amount, code) = _foretell(index, shown, books.claimedTotal(leaf.pool));
            refusal = _words(code, leaf, amount);
        }
        uint256[] memory balances = _balances();
        bytes memory data = abi.encodeCall(vault.claim, (epoch, leaf.pool, leaf.account, leaf.amount, shown.proof));
        (bool succeeded, bytes memory result) = _do(_outsider(seed), address(vault), data, refusal, "claim");
        if (!succeeded) return;
        vm.assertEq(abi.decode(result, (uint256)), amount, "claim: what it says it paid");
        books.prove(leaf);
        if (amount != 0) books.pay(books.publication(index).root, leaf, amount);
        _receive(balances);
    }

    // ---------------------------------------------------------------- many

    function _claimMany(uint256 seed, uint256 index, Shown[] memory shown) private {
        uint256 epoch = books.publication(index).epoch;
        ICXPTVault.ClaimItem[] memory items = new ICXPTVault.ClaimItem[](shown.length);
        for (uint256 i = 0; i < shown.length; i++) {
            ClaimTree.Leaf memory leaf = shown[i].leaf;
            items[i] = ICXPTVault.ClaimItem(leaf.pool, leaf.account, leaf.amount, shown[i].proof);
        }
        bytes memory refusal = _closed(epoch);
        uint256[] memory balances = _balances();
        bytes memory data = abi.encodeCall(vault.claimMany, (epoch, items));
        (bool succeeded, bytes memory result) = _do(_outsider(seed), address(vault), data, refusal, "claimMany");
        if (!succeeded) return;
        uint256 paid;
        for (uint256 i = 0; i < shown.length; i++) {
            paid += _book(index, shown[i]);
        }
        vm.assertEq(abi.decode(result, (uint256)), paid, "claimMany: what it says it paid");
        _receive(balances);
    }

    /// @dev Writes down what an item of a batch that went through should have paid.
    function _book(uint256 index, Shown memory shown) private returns (uint256 amount) {
        ClaimTree.Leaf memory leaf = shown.leaf;
        ICXPTVault.ClaimCode code;
        (amount, code) = _foretell(index, shown, books.claimedTotal(leaf.pool));
        if (code <= ICXPTVault.ClaimCode.NothingDue) books.prove(leaf);
        if (code != ICXPTVault.ClaimCode.Due) return 0;
        books.pay(books.publication(index).root, leaf, amount);
    }

    // ---------------------------------------------------------------- what should happen

    /// @dev Why nobody can claim from an epoch now.
    function _closed(uint256 epoch) private view returns (bytes memory) {
        uint256 until = books.claimsPausedUntil();
        if (block.timestamp < until) return _error(ICXPTVault.ClaimsArePaused.selector, until);
        uint256 live = books.liveAt(epoch);
        if (live == NONE || !books.isActivated(live) || books.publication(live).retired) {
            return _error(ICXPTVault.RootNotActive.selector, epoch);
        }
        return "";
    }

    function _foretell(uint256 index, Shown memory shown, uint256 paidFromPool)
        private
        view
        returns (uint256 amount, ICXPTVault.ClaimCode code)
    {
        ClaimTree.Leaf memory leaf = shown.leaf;
        if (leaf.pool != PROVIDER && leaf.pool != USER) return (0, ICXPTVault.ClaimCode.InvalidPool);
        if (leaf.account == address(0)) return (0, ICXPTVault.ClaimCode.InvalidAccount);
        // A revoked publication's proofs hold for the one that took its epoch only if that has the same root.
        Books.Publication memory publication = books.publication(index);
        bytes32 standing = books.publication(books.liveAt(publication.epoch)).root;
        if (!shown.genuine || standing != publication.root) return (0, ICXPTVault.ClaimCode.InvalidProof);
        uint256 before = books.claimed(leaf.pool, leaf.account);
        if (leaf.amount <= before) return (0, ICXPTVault.ClaimCode.NothingDue);
        amount = leaf.amount - before;
        bool covered = amount <= books.total(books.newestActive(), leaf.pool) - paidFromPool;
        code = covered ? ICXPTVault.ClaimCode.Due : ICXPTVault.ClaimCode.PromiseExceeded;
    }

    function _words(ICXPTVault.ClaimCode code, ClaimTree.Leaf memory leaf, uint256 amount)
        private
        view
        returns (bytes memory)
    {
        if (code == ICXPTVault.ClaimCode.InvalidPool) return _error(ICXPTVault.InvalidPool.selector, leaf.pool);
        if (code == ICXPTVault.ClaimCode.InvalidAccount) return _error(ICXPTVault.InvalidAccount.selector, 0);
        if (code == ICXPTVault.ClaimCode.InvalidProof) {
            return abi.encodeWithSelector(ICXPTVault.InvalidProof.selector, leaf.pool, leaf.account, leaf.amount);
        }
        if (code == ICXPTVault.ClaimCode.PromiseExceeded) {
            uint256 unpaid = books.total(books.newestActive(), leaf.pool) - books.claimedTotal(leaf.pool);
            return _error(ICXPTVault.PromiseExceeded.selector, leaf.pool, unpaid, amount);
        }
        return "";
    }

    // ---------------------------------------------------------------- what is shown

    function _show(uint256 index, uint256 seed, bool mutated) private view returns (Shown memory shown) {
        ClaimTree.Leaf[] memory leaves = books.leaves(index);
        ClaimTree.Leaf memory leaf = leaves[_choose(leaves, seed)];
        shown = Shown(ClaimTree.Leaf(leaf.pool, leaf.account, leaf.amount), leaves.build().prove(leaf), !mutated);
        if (mutated) _mutate(shown, seed, leaves);
    }

    /// @dev Any leaf; one time in four the largest.
    function _choose(ClaimTree.Leaf[] memory leaves, uint256 seed) private pure returns (uint256 chosen) {
        if (_roll(seed, "greed", 4) != 0) return _roll(seed, "leaf", leaves.length);
        for (uint256 i = 1; i < leaves.length; i++) {
            if (leaves[i].amount > leaves[chosen].amount) chosen = i;
        }
    }

    function _mutate(Shown memory shown, uint256 seed, ClaimTree.Leaf[] memory leaves) private pure {
        uint256 kind = _roll(seed, "mutation", 9);
        ClaimTree.Leaf memory leaf = shown.leaf;
        bytes32[] memory proof = shown.proof;
        if (kind == 0) leaf.amount += 1 + _roll(seed, "extra", CXPT);
        else if (kind == 1) leaf.account = _outsider(seed);
        else if (kind == 2) leaf.pool = PROVIDER + USER - (leaf.pool == USER ? USER : PROVIDER);
        else if (kind == 3) leaf.pool = uint8(3 + _roll(seed, "pool", 253));
        else if (kind == 4) leaf.account = address(0);
        else if (kind == 5) shown.proof = _resize(proof, proof.length - 1);
        else if (kind == 6) shown.proof = _resize(proof, proof.length + 1);
        else if (kind == 7) proof[_roll(seed, "node", proof.length)] ^= bytes32(uint256(1));
        else leaf.amount = leaves[_roll(seed, "other", leaves.length)].amount + leaf.amount + 1;
    }

    function _resize(bytes32[] memory proof, uint256 length) private pure returns (bytes32[] memory resized) {
        resized = new bytes32[](length);
        for (uint256 i = 0; i < length && i < proof.length; i++) {
            resized[i] = proof[i];
        }
    }

    // ---------------------------------------------------------------- what really moved

    function _balances() private view returns (uint256[] memory balances) {
        address[] memory earners = books.earners();
        balances = new uint256[](earners.length);
        for (uint256 i = 0; i < earners.length; i++) {
            balances[i] = token.balanceOf(earners[i]);
        }
    }

    /// @dev The Vault as an earner pays itself: nothing moves.
    function _receive(uint256[] memory balances) private {
        address[] memory earners = books.earners();
        for (uint256 i = 0; i < earners.length; i++) {
            if (earners[i] == address(vault)) continue;
            uint256 grown = token.balanceOf(earners[i]) - balances[i];
            if (grown != 0) books.receiveMoney(earners[i], grown);
        }
    }
}
