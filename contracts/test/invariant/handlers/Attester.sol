// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../src/interfaces/ICXPTVault.sol";
import {Books} from "../Books.sol";
import {Player} from "./Player.sol";

/// @title Who confirms roots; some attesters confirm what is wrong
contract Attester is Player {
    constructor(Books books_) Player(books_, "attester") {}

    /// @notice Every confirmation that the pending root still needs, or just one.
    function attest(uint256 seed) external {
        uint256 pending = books.pending();
        if (pending == NONE || !_agrees(pending)) return _idle();
        Books.Publication memory publication = books.publication(pending);
        uint256 number = _roll(seed, "one", 3) == 0 ? 1 : publication.missing;
        for (uint256 i = 0; i < number; i++) {
            address attester = _pick(pending, seed, false);
            if (attester == address(0)) return _idle();
            _attest(attester, publication.epoch, _hash(publication), _refusal(pending, attester));
        }
    }

    /// @notice Twice, another hash, an epoch that does not wait, an earlier publication of the same epoch.
    function attestWrongly(uint256 seed) external wrongly {
        address attester = _holder(ICXPTVault.Role.Attester, seed);
        uint256 pending = books.pending();
        if (pending == NONE) {
            uint256 epoch = books.nextEpoch() - _roll(seed, "epoch", 2);
            bytes memory refusal = _error(ICXPTVault.RootNotPending.selector, epoch);
            return _attest(attester, epoch, keccak256("hash"), _whilePublishing(refusal));
        }
        Books.Publication memory publication = books.publication(pending);
        bytes32 expected = _hash(publication);
        if (_roll(seed, "kind", 3) == 0) {
            publication.revocations += 1;
            bytes32 given = _hash(publication);
            bytes memory refusal = abi.encodeWithSelector(ICXPTVault.WrongPublication.selector, expected, given);
            return _attest(attester, publication.epoch, given, _whilePublishing(refusal));
        }
        attester = _pick(pending, seed, _roll(seed, "again", 3) != 0);
        bool complete = publication.missing == 0;
        if (attester == address(0) || !(complete || books.attested(pending, attester))) return _idle();
        _attest(attester, publication.epoch, expected, _refusal(pending, attester));
    }

    // ---------------------------------------------------------------- inside

    function _attest(address attester, uint256 epoch, bytes32 hash, bytes memory refusal) private {
        bytes memory data = abi.encodeCall(vault.attestRoot, (epoch, hash));
        (bool attested,) = _do(attester, address(vault), data, refusal, "attestRoot");
        if (attested) books.attest(attester);
    }

    /// @dev One wrong root in two finds attesters that confirm it.
    function _agrees(uint256 publication) private view returns (bool) {
        return books.publication(publication).sound || uint256(books.publication(publication).root) % 2 == 0;
    }

    /// @dev An attester that has confirmed the root or one that has not, if there is one.
    function _pick(uint256 pending, uint256 seed, bool attested) private view returns (address) {
        address[] memory attesters = books.holders(ICXPTVault.Role.Attester);
        uint256 start = _roll(seed, "attester", attesters.length);
        for (uint256 i = 0; i < attesters.length; i++) {
            address attester = attesters[(start + i) % attesters.length];
            if (books.attested(pending, attester) == attested) return attester;
        }
        return address(0);
    }

    function _refusal(uint256 pending, address attester) private view returns (bytes memory refusal) {
        Books.Publication memory publication = books.publication(pending);
        if (books.attested(pending, attester)) {
            refusal = abi.encodeWithSelector(ICXPTVault.AlreadyAttested.selector, publication.epoch, attester);
        } else if (publication.missing == 0) {
            refusal = _error(ICXPTVault.AttestationsComplete.selector, publication.epoch);
        }
        return _whilePublishing(refusal);
    }

    function _whilePublishing(bytes memory refusal) private view returns (bytes memory) {
        uint256 until = books.publishingPausedUntil();
        return block.timestamp < until ? _error(ICXPTVault.PublishingIsPaused.selector, until) : refusal;
    }

    function _hash(Books.Publication memory it) private pure returns (bytes32) {
        return keccak256(abi.encode(it.epoch, it.root, it.manifest, it.providerTotal, it.userTotal, it.revocations));
    }
}
