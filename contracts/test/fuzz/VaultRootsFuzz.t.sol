// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {FuzzTest} from "./FuzzTest.sol";

contract VaultRootsFuzz is FuzzTest {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    bytes32 private constant ROOT = keccak256("root");

    /// @notice What one publication is made of, beside its epoch.
    struct Draft {
        bytes32 root;
        uint256 providerTotal;
        uint256 userTotal;
        bytes32 manifestHash;
    }

    /// @notice Any totals after any last totals, in pools and under limits of any size: a publication is refused exactly
    /// when a rule is broken, with the first broken rule's error, and is otherwise stored as given.
    function testFuzz_APublicationIsStoredOrRefused(
        Draft memory draft,
        uint256[2] memory last,
        uint256[2] memory limits,
        uint256 choice
    ) external {
        uint256[2] memory held = [800 * CXPT, 400 * CXPT];
        for (uint256 i = 0; i < 2; i++) {
            last[i] = bound(last[i], 0, 300 * CXPT);
            limits[i] = bound(limits[i], 0, 600 * CXPT);
        }
        draft.providerTotal = _nearARule(draft.providerTotal, last[0], held[0], limits[0], choice % 16);
        draft.userTotal = _nearARule(draft.userTotal, last[1], held[1], limits[1], choice / 16 % 16);
        if (choice / 256 % 5 == 0) draft.root = 0;
        if (choice / 256 % 20 == 0) (last, draft.providerTotal, draft.userTotal) = ([uint256(0), 0], 0, 0);
        _activate(FIRST, ROOT, last[0], last[1]);
        vm.startPrank(admin);
        vault.setMaxEpochAmount(PROVIDER, uint96(limits[0]));
        vault.setMaxEpochAmount(USER, uint96(limits[1]));
        vm.stopPrank();

        bytes memory refusal = _findBrokenRule(draft, last, held, limits);
        bytes memory data = abi.encodeCall(
            vault.publishRoot, (FIRST + 1, draft.root, draft.providerTotal, draft.userTotal, draft.manifestHash, 0)
        );
        _expect(refusal, publisher, address(vault), data, "publication");

        ICXPTVault.RootRecord memory record = vault.rootAt(FIRST + 1);
        if (refusal.length != 0) draft = Draft(0, last[0], last[1], 0);
        bool stored = refusal.length == 0;
        vm.assertEq(record.root, draft.root, "root");
        vm.assertEq(record.manifestHash, draft.manifestHash, "manifest hash");
        vm.assertEq(record.providerTotal, stored ? draft.providerTotal : 0, "provider total");
        vm.assertEq(record.userTotal, stored ? draft.userTotal : 0, "user total");
        vm.assertEq(record.activatesAt, stored ? block.timestamp + 2 hours : 0, "activation");
        vm.assertEq(record.attestationsMissing, stored ? 1 : 0, "missing");
        vm.assertEq(uint8(record.status), uint8(stored ? 1 : 0), "status");
        vm.assertEq(vault.nextEpoch(), stored ? FIRST + 2 : FIRST + 1, "next epoch");
        vm.assertEq(vault.promised(PROVIDER), draft.providerTotal, "promised to providers");
        vm.assertEq(vault.promised(USER), draft.userTotal, "promised to users");
        vm.assertEq(vault.pools().providerAmount, held[0] - draft.providerTotal, "provider pool");
        vm.assertEq(vault.pools().userAmount, held[1] - draft.userTotal, "user pool");
        vm.assertEq(vault.pools().protocolAmount, 800 * CXPT, "protocol pool");
    }

    /// @notice Only the next epoch, and only with the Vault's count of revocations, can be published.
    function testFuzz_OnlyTheNextEpochIsPublished(uint256 epoch, uint256 count, uint256 revoked) external {
        revoked = bound(revoked, 0, 3);
        for (uint256 i = 0; i < revoked; i++) {
            _publish(FIRST, ROOT, i, i);
            _revoke(FIRST);
        }
        epoch = epoch % 3 == 0 ? epoch : bound(epoch, FIRST - 2, FIRST + 2);
        count = count % 3 == 0 ? count : bound(count, 0, 4);
        bytes memory refusal;
        if (epoch != FIRST) {
            refusal = abi.encodeWithSelector(ICXPTVault.NotNextEpoch.selector, FIRST, epoch);
        } else if (count != revoked) {
            refusal = abi.encodeWithSelector(ICXPTVault.WrongRevocations.selector, revoked, count);
        }
        bytes memory data = abi.encodeCall(vault.publishRoot, (epoch, ROOT, 1, 1, MANIFEST, count));
        _expect(refusal, publisher, address(vault), data, "publication");
    }

    /// @notice While a root waits, whatever is missing, no other can be published; once it is active the next can.
    function testFuzz_OneRootWaitsAtATime(uint256 epoch, uint256 wait, bool attested) external {
        wait = bound(wait, 0, 1 days);
        _publish(FIRST, ROOT, 1, 1);
        if (attested) _attest(FIRST);
        vm.warp(START + wait);
        bool active = attested && wait >= 2 hours;
        epoch = active ? FIRST + 1 : epoch;
        bytes memory refusal =
            active ? bytes("") : abi.encodeWithSelector(ICXPTVault.RootPending.selector, uint256(FIRST));
        bytes memory data = abi.encodeCall(vault.publishRoot, (epoch, ROOT, 2, 2, MANIFEST, 0));
        _expect(refusal, publisher, address(vault), data, "publication");
        (bool exists, uint256 pending) = vault.pendingRoot();
        vm.assertTrue(exists, "one root waits");
        vm.assertEq(pending, active ? FIRST + 1 : FIRST, "which one");
    }

    /// @notice With m of n confirmations at any times, a root is active from max(publication + delay, m-th confirmation
    /// + one hour) on, and not a second earlier; a delay changed meanwhile does not matter.
    function testFuzz_ActivationIsTheLaterOfDelayAndAttestation(
        uint256 delay,
        uint256 later,
        uint256 needed,
        uint256[3] memory gaps,
        uint256 asked
    ) external {
        delay = bound(delay, 1 hours, 20 hours);
        needed = bound(needed, 1, 3);
        vm.startPrank(admin);
        vault.setRole(stranger, ICXPTVault.Role.Attester);
        vault.setActivationDelay(uint32(delay));
        vault.setAttestersRequired(uint8(needed));
        vm.stopPrank();
        bytes32 publication = _publish(FIRST, ROOT, 1, 1);
        vm.startPrank(admin);
        vault.setActivationDelay(uint32(bound(later, 1 hours, 20 hours)));
        vault.setAttestersRequired(uint8(bound(later, 1, 3)));
        vm.stopPrank();

        address[3] memory attesters = [attester2, stranger, attester];
        uint256 time = START;
        for (uint256 i = 0; i < needed; i++) {
            time += bound(gaps[i], 0, 12 hours);
            vm.warp(time);
            vm.assertEq(uint8(vault.rootAt(FIRST).status), 1, "pending until confirmed");
            vm.assertEq(vault.rootAt(FIRST).activatesAt, START + delay, "the earliest time until then");
            vm.prank(attesters[i]);
            vault.attestRoot(FIRST, publication);
        }
        uint256 expected = START + delay > time + 1 hours ? START + delay : time + 1 hours;
        vm.assertEq(vault.rootAt(FIRST).activatesAt, expected, "activation");
        vm.assertEq(vault.rootAt(FIRST).attestationsMissing, 0, "missing");
        asked = bound(asked, time, expected + 1 days);
        if (asked % 3 == 0) asked = expected - asked % 2;
        vm.warp(asked);
        vm.assertEq(uint8(vault.rootAt(FIRST).status), asked < expected ? 1 : 2, "active on the second");
    }

    /// @notice Whoever of three confirms, in whatever order and how often: each counts once, and none counts once there
    /// are enough.
    function testFuzz_AnAttesterCountsOnce(uint256 needed, uint8[6] calldata order) external {
        needed = bound(needed, 1, 4);
        vm.startPrank(admin);
        vault.setRole(stranger, ICXPTVault.Role.Attester);
        vault.setAttestersRequired(uint8(needed));
        vm.stopPrank();
        bytes32 publication = _publish(FIRST, ROOT, 1, 1);
        address[3] memory attesters = [attester, attester2, stranger];
        bool[3] memory confirmed;
        uint256 missing = needed;
        for (uint256 i = 0; i < 6; i++) {
            uint256 who = order[i] % 3;
            bytes memory refusal;
            if (confirmed[who]) {
                refusal = abi.encodeWithSelector(ICXPTVault.AlreadyAttested.selector, FIRST, attesters[who]);
            } else if (missing == 0) {
                refusal = abi.encodeWithSelector(ICXPTVault.AttestationsComplete.selector, FIRST);
            } else {
                confirmed[who] = true;
                missing--;
            }
            bytes memory data = abi.encodeCall(vault.attestRoot, (FIRST, publication));
            _expect(refusal, attesters[who], address(vault), data, "attestation");
            vm.assertEq(vault.rootAt(FIRST).attestationsMissing, missing, "missing");
            vm.assertEq(vault.hasAttested(publication, attesters[who]), confirmed[who], "recorded");
        }
        vm.warp(START + 1 days);
        vm.assertEq(uint8(vault.rootAt(FIRST).status), missing == 0 ? 2 : 1, "active with enough alone");
    }

    /// @notice Whatever time passes, a root short of confirmations never pays.
    function testFuzz_AnUnattestedRootNeverPays(uint256 wait, uint256 needed, uint256 given) external {
        needed = bound(needed, 1, 255);
        given = bound(given, 0, needed > 2 ? 2 : needed - 1);
        vm.prank(admin);
        vault.setAttestersRequired(uint8(needed));
        ClaimTree.Leaf[] memory leaves = _leaves(70, 30);
        bytes32[] memory nodes = leaves.build();
        bytes32 publication = _publish(FIRST, nodes[0], 2_000, 100);
        for (uint256 i = 0; i < given; i++) {
            vm.prank(i == 0 ? attester : attester2);
            vault.attestRoot(FIRST, publication);
        }
        vm.warp(START + bound(wait, 0, 1_000 * 365 days));
        bytes memory data =
            abi.encodeCall(vault.claim, (FIRST, PROVIDER, provider, uint256(70), nodes.prove(leaves[0])));
        bytes memory refusal = abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, uint256(FIRST));
        _expect(refusal, stranger, address(vault), data, "claim");
        vm.assertEq(vault.rootAt(FIRST).attestationsMissing, needed - given, "missing");
    }

    /// @notice The publication hash is keccak256 of six words in a row.
    function testFuzz_ThePublicationHashIsOverSixWords(Draft memory draft, uint24 first, uint256 revoked) external {
        draft.providerTotal = bound(draft.providerTotal, 0, 800 * CXPT);
        draft.userTotal = bound(draft.userTotal, 0, 400 * CXPT);
        revoked = bound(revoked, 0, 2);
        uint256 epoch = uint256(FIRST) + first % 2;
        if (epoch != FIRST) _activate(FIRST, ROOT, 0, 0);
        for (uint256 i = 0; i < revoked; i++) {
            _publish(epoch, ROOT, i, i);
            _revoke(epoch);
        }
        if (draft.root == 0) draft.root = ROOT;
        vm.prank(publisher);
        vault.publishRoot(epoch, draft.root, draft.providerTotal, draft.userTotal, draft.manifestHash, revoked);
        bytes memory words = bytes.concat(
            bytes32(epoch),
            draft.root,
            draft.manifestHash,
            bytes32(draft.providerTotal),
            bytes32(draft.userTotal),
            bytes32(revoked)
        );
        vm.assertEq(vault.publicationHash(epoch), keccak256(words), "publication hash");
    }

    /// @notice An attester confirms the exact publication or nothing: any other hash or epoch is refused.
    function testFuzz_OnlyTheExactPublicationIsConfirmed(bytes32 noise, uint256 epoch, uint256 choice) external {
        bytes32 publication = _publish(FIRST, ROOT, 3, 2);
        if (choice % 3 != 0) epoch = FIRST;
        bytes32 given = choice % 3 == 1 ? noise : publication;
        bytes memory refusal;
        if (epoch != FIRST) {
            refusal = abi.encodeWithSelector(ICXPTVault.RootNotPending.selector, epoch);
        } else if (given != publication) {
            refusal = abi.encodeWithSelector(ICXPTVault.WrongPublication.selector, publication, given);
        }
        _expect(refusal, attester, address(vault), abi.encodeCall(vault.attestRoot, (epoch, given)), "attestation");
        bool confirmed = refusal.length == 0;
        vm.assertEq(vault.rootAt(FIRST).attestationsMissing, confirmed ? 0 : 1, "missing");
        vm.assertEq(vault.hasAttested(publication, attester), confirmed, "recorded");
    }

    /// @notice A publication of other content, or after another number of revocations, has another hash: a confirmation
    /// of a revoked one is worth nothing.
    function testFuzz_AConfirmationDiesWithARevocation(uint256 providerTotal, uint256 userTotal) external {
        providerTotal = bound(providerTotal, 0, 800 * CXPT);
        userTotal = bound(userTotal, 0, 400 * CXPT);
        bytes32 old = _publish(FIRST, ROOT, providerTotal, userTotal);
        _attest(FIRST);
        _revoke(FIRST);
        bytes memory again = abi.encodeCall(vault.publishRoot, (FIRST, ROOT, providerTotal, userTotal, MANIFEST, 0));
        bytes memory refusal = abi.encodeWithSelector(ICXPTVault.WrongRevocations.selector, 1, 0);
        _expect(refusal, publisher, address(vault), again, "the same transaction again");

        bytes32 renewed = _publish(FIRST, ROOT, providerTotal, userTotal);
        vm.assertFalse(old == renewed, "another hash");
        vm.assertEq(vault.rootAt(FIRST).attestationsMissing, 1, "confirmations start anew");
        refusal = abi.encodeWithSelector(ICXPTVault.WrongPublication.selector, renewed, old);
        _expect(refusal, attester, address(vault), abi.encodeCall(vault.attestRoot, (FIRST, old)), "the old hash");
    }

    /// @notice After any revocation pools, promises and the next epoch are what they were before the publication.
    function testFuzz_ARevocationRestoresThePools(
        uint256[2] memory first,
        uint256[2] memory second,
        bool attested,
        uint256 wait
    ) external {
        first = [bound(first[0], 0, 800 * CXPT), bound(first[1], 0, 400 * CXPT)];
        second = [bound(second[0], first[0], 800 * CXPT), bound(second[1], first[1], 400 * CXPT)];
        _activate(FIRST, ROOT, first[0], first[1]);
        bytes32 before = keccak256(abi.encode(vault.pools(), vault.promised(1), vault.promised(2), vault.nextEpoch()));
        _publish(FIRST + 1, keccak256("wrong"), second[0], second[1]);
        if (attested) _attest(FIRST + 1);
        vm.warp(block.timestamp + bound(wait, 0, attested ? 2 hours - 1 : 365 days));

        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.RootRevoked(FIRST + 1, second[0] - first[0], second[1] - first[1], "a reason");
        _revoke(FIRST + 1);
        bytes32 afterwards =
            keccak256(abi.encode(vault.pools(), vault.promised(1), vault.promised(2), vault.nextEpoch()));
        vm.assertEq(afterwards, before, "as if never published");
        vm.assertEq(vault.revocations(), 1, "revocations");
        vm.assertEq(uint8(vault.rootAt(FIRST + 1).status), 3, "revoked");
        vm.assertEq(uint8(vault.rootAt(FIRST).status), 2, "the one before stays active");
        _assertSolvent();
    }

    /// @notice A root can be revoked until the second before it is active, and never from that second on.
    function testFuzz_ARootIsRevocableExactlyUntilItIsActive(uint256 confirmed, uint256 asked) external {
        confirmed = bound(confirmed, 0, 3 hours);
        asked = bound(asked, confirmed, 5 hours);
        _publish(FIRST, ROOT, 5, 5);
        vm.warp(START + confirmed);
        _attest(FIRST);
        uint256 active = confirmed + 1 hours > 2 hours ? confirmed + 1 hours : 2 hours;
        if (asked % 3 == 0) asked = active - asked % 2;
        vm.warp(START + asked);
        bytes memory refusal =
            asked < active ? bytes("") : abi.encodeWithSelector(ICXPTVault.RootNotPending.selector, uint256(FIRST));
        _expect(refusal, guardian, address(vault), abi.encodeCall(vault.revokeRoot, (FIRST, "late")), "revocation");
        vm.assertEq(vault.promised(PROVIDER), asked < active ? 0 : 5, "promised");
    }

    /// @notice Over any row of publications that end active or revoked: the next epoch, the promises and the count of
    /// revocations are what the row adds up to, and pools plus promises stay what was deposited.
    function testFuzz_ARowOfPublicationsAddsUp(uint256 seed, uint8 outcomes) external {
        uint256 epoch = FIRST;
        uint256 revoked;
        uint256[2] memory totals;
        for (uint256 i = 0; i < 8; i++) {
            uint256 providerTotal = totals[0] + _draw(seed, i) % (100 * CXPT);
            uint256 userTotal = totals[1] + _draw(seed, i + 100) % (50 * CXPT);
            _publish(epoch, keccak256(abi.encode(i)), providerTotal, userTotal);
            if (outcomes >> i & 1 == 0) {
                _revoke(epoch);
                revoked++;
            } else {
                _attest(epoch);
                vm.warp(vault.rootAt(epoch).activatesAt);
                totals = [providerTotal, userTotal];
                epoch++;
            }
        }
        vm.assertEq(vault.nextEpoch(), epoch, "next epoch");
        vm.assertEq(vault.revocations(), revoked, "revocations");
        vm.assertEq(vault.promised(PROVIDER), totals[0], "promised to providers");
        vm.assertEq(vault.promised(USER), totals[1], "promised to users");
        vm.assertEq(vault.pools().providerAmount, 800 * CXPT - totals[0], "provider pool");
        vm.assertEq(vault.pools().userAmount, 400 * CXPT - totals[1], "user pool");
        (bool exists, uint256 newest) = vault.latestActiveEpoch();
        vm.assertEq(exists, epoch > FIRST, "an active root");
        vm.assertEq(newest, exists ? epoch - 1 : 0, "the newest active one");
        (exists,) = vault.pendingRoot();
        vm.assertFalse(exists, "none waits");
    }

    /// @notice A root is retired exactly when it is active and a later one is too; it then pays no more.
    function testFuzz_ARootIsRetiredOnceALaterOneIsActive(uint256 count, uint256 epoch, bool waiting) external {
        count = bound(count, 0, 4);
        epoch = epoch % 5 == 0 ? epoch : bound(epoch, FIRST - 1, FIRST + 5);
        for (uint256 i = 0; i < count; i++) {
            _activate(FIRST + i, ROOT, i, i);
        }
        if (waiting) _publish(FIRST + count, ROOT, count, count);
        bytes memory refusal;
        if (epoch < FIRST || epoch >= FIRST + count) {
            refusal = abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, epoch);
        } else if (epoch == FIRST + count - 1) {
            refusal = abi.encodeWithSelector(ICXPTVault.RootStillNewest.selector, epoch);
        }
        bytes memory data = abi.encodeCall(vault.retireRoot, (epoch));
        _expect(refusal, admin, address(vault), data, "retirement");
        if (refusal.length == 0) {
            refusal = abi.encodeWithSelector(ICXPTVault.RootNotActive.selector, epoch);
            _expect(refusal, admin, address(vault), data, "a second time");
            data = abi.encodeCall(vault.claim, (epoch, PROVIDER, provider, 1, new bytes32[](0)));
            _expect(refusal, stranger, address(vault), data, "claim");
        }
    }

    /// @notice Publishing and attesting are refused exactly from the start of a pause until 14 days later, while revoking
    /// goes on and a root that was confirmed before still activates.
    function testFuzz_PublishingStopsForExactlyThePause(uint256 began, uint256 wait) external {
        began = bound(began, 0, 10 days);
        wait = bound(wait, 0, 30 days);
        if (wait % 3 == 0) wait = 14 days - wait % 2;
        _publish(FIRST, ROOT, 1, 1);
        _attest(FIRST);
        vm.warp(START + began);
        vm.prank(guardian);
        vault.pausePublishing();
        uint256 end = START + began + 14 days;
        vm.warp(START + began + wait);
        bool paused = wait < 14 days;
        bytes memory refusal = paused ? abi.encodeWithSelector(ICXPTVault.PublishingIsPaused.selector, end) : bytes("");
        bool active = began + wait >= 2 hours;
        vm.assertEq(uint8(vault.rootAt(FIRST).status), active ? 2 : 1, "the confirmed root");
        if (!active) return _revoke(FIRST);

        bytes memory data = abi.encodeCall(vault.publishRoot, (FIRST + 1, ROOT, 2, 2, MANIFEST, 0));
        _expect(refusal, publisher, address(vault), data, "publication");
        bytes32 words = keccak256(abi.encode(FIRST + 1, ROOT, MANIFEST, 2, 2, 0));
        _expect(refusal, attester, address(vault), abi.encodeCall(vault.attestRoot, (FIRST + 1, words)), "attestation");
        vm.assertEq(vault.publishingPausedUntil(), end, "until");
    }

    /// @dev Any total, one that most rules allow, or one on either side of a rule's edge.
    function _nearARule(uint256 total, uint256 last, uint256 held, uint256 limit, uint256 choice)
        private
        pure
        returns (uint256)
    {
        if (choice == 0) return total;
        if (choice == 1) return held;
        if (choice == 2) return held + 1;
        if (choice == 3) return last + limit;
        if (choice == 4) return last + limit + 1;
        if (choice == 5) return last;
        if (choice == 6 && last > 0) return last - 1;
        return bound(total, last, held + 50 * CXPT);
    }

    /// @dev The rules in the order in which the specification names them; provider pool before user pool.
    function _findBrokenRule(
        Draft memory draft,
        uint256[2] memory last,
        uint256[2] memory held,
        uint256[2] memory limits
    ) private pure returns (bytes memory) {
        uint256[2] memory totals = [draft.providerTotal, draft.userTotal];
        if (draft.root == 0 && totals[0] | totals[1] != 0) return abi.encodeWithSelector(ICXPTVault.ZeroRoot.selector);
        for (uint8 i = 0; i < 2; i++) {
            uint8 pool = i + 1;
            if (totals[i] < last[i]) {
                return abi.encodeWithSelector(ICXPTVault.TotalFell.selector, pool, last[i], totals[i]);
            }
            uint256 increase = totals[i] - last[i];
            if (totals[i] > held[i]) {
                uint256 available = held[i] - last[i];
                return abi.encodeWithSelector(ICXPTVault.PoolTooSmall.selector, pool, available, increase);
            }
            if (increase > limits[i]) {
                return abi.encodeWithSelector(ICXPTVault.EpochLimitExceeded.selector, pool, limits[i], increase);
            }
        }
        return "";
    }
}
