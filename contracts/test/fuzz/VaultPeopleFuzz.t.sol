// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {CXPTVault} from "../../src/CXPTVault.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {FuzzTest} from "./FuzzTest.sol";

contract VaultPeopleFuzz is FuzzTest {
    uint256 private constant CALLS = 15;

    /// @notice Nobody without the role gets through any privileged call, whoever asks and with whatever role: the error
    /// names caller and role, and nothing changes.
    function testFuzz_NobodyGetsThroughWithoutTheRole(address caller, uint8 held, uint256 call, uint256 word) external {
        vm.assume(_isOutsider(caller));
        held = uint8(bound(held, 0, 5));
        call = bound(call, 0, CALLS - 1);
        vm.prank(admin);
        vault.setRole(caller, ICXPTVault.Role(held));
        (bytes memory data, uint8 role, bool guardianToo) = _privileged(call, word, caller);
        vm.assume(held != role && !(guardianToo && held == 4));
        bytes32 before = _everything();
        bytes memory refusal = abi.encodeWithSelector(ICXPTVault.WrongRole.selector, caller, held);
        _expect(refusal, caller, address(vault), data, "a privileged call");
        vm.assertEq(_everything(), before, "nothing changes");
    }

    /// @notice A split is accepted exactly when its parts add up to 10,000 and the protocol's is at most 5,000.
    function testFuzz_ASplitIsAcceptedExactlyByTheRules(uint16 protocolBp, uint16 providerBp, uint16 userBp, uint8 near)
        external
    {
        if (near % 2 == 0) {
            protocolBp = uint16(bound(protocolBp, 0, 5_001));
            providerBp = uint16(bound(providerBp, 0, 10_000 - protocolBp));
            userBp = 10_000 - protocolBp - providerBp + (near % 3 == 0 ? near % 5 : 0);
        }
        bool accepted = uint256(protocolBp) + providerBp + userBp == 10_000 && protocolBp <= 5_000;
        bytes memory refusal = accepted
            ? bytes("")
            : abi.encodeWithSelector(ICXPTVault.InvalidSplit.selector, protocolBp, providerBp, userBp);
        bytes memory data = abi.encodeCall(vault.setSplit, (protocolBp, providerBp, userBp));
        _expect(refusal, admin, address(vault), data, "split");
        (uint256 newProtocol, uint256 newProvider, uint256 newUser) = vault.split();
        vm.assertEq(newProtocol, accepted ? protocolBp : 4_000, "protocol");
        vm.assertEq(newProvider, accepted ? providerBp : 4_000, "provider");
        vm.assertEq(newUser, accepted ? userBp : 2_000, "user");
    }

    /// @notice A delay is accepted exactly from 1 to 20 hours, and is that of the next publication.
    function testFuzz_ADelayIsAcceptedExactlyByTheRules(uint32 delay, bool near) external {
        if (near) delay = uint32(bound(delay, 1 hours - 2, 20 hours + 2));
        bool accepted = delay >= 3_600 && delay <= 72_000;
        bytes memory refusal =
            accepted ? bytes("") : abi.encodeWithSelector(ICXPTVault.InvalidActivationDelay.selector, delay);
        _expect(refusal, admin, address(vault), abi.encodeCall(vault.setActivationDelay, (delay)), "delay");
        _publish(FIRST, keccak256("root"), 1, 1);
        vm.assertEq(vault.rootAt(FIRST).activatesAt, START + (accepted ? delay : 2 hours), "activation");
    }

    /// @notice Any number of confirmations but zero can be required; it is fixed at publication.
    function testFuzz_ANumberOfAttestersIsAcceptedExactlyByTheRules(uint8 number, uint8 later) external {
        bytes memory refusal =
            number == 0 ? abi.encodeWithSelector(ICXPTVault.InvalidAttestersRequired.selector, 0) : bytes("");
        _expect(refusal, admin, address(vault), abi.encodeCall(vault.setAttestersRequired, (number)), "number");
        uint256 expected = number == 0 ? 1 : number;
        _publish(FIRST, keccak256("root"), 1, 1);
        vm.prank(admin);
        vault.setAttestersRequired(later == 0 ? 1 : later);
        vm.assertEq(vault.rootAt(FIRST).attestationsMissing, expected, "fixed at publication");
    }

    /// @notice A limit is set for pool 1 or 2, at any height, and for that pool alone.
    function testFuzz_ALimitIsThatOfOnePool(uint8 pool, uint96 amount) external {
        if (amount % 2 == 0) pool = uint8(1 + pool % 2);
        bytes memory refusal =
            pool == 1 || pool == 2 ? bytes("") : abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, pool);
        _expect(refusal, admin, address(vault), abi.encodeCall(vault.setMaxEpochAmount, (pool, amount)), "limit");
        vm.assertEq(vault.maxEpochAmount(PROVIDER), pool == 1 ? amount : 1_000 * CXPT, "provider");
        vm.assertEq(vault.maxEpochAmount(USER), pool == 2 ? amount : 500 * CXPT, "user");
    }

    /// @notice A role goes to any address but the zero address and the admin who gives it, in place of the one it had.
    function testFuzz_ARoleReplacesTheOneBefore(address account, uint8 first, uint8 second, uint256 choice) external {
        if (choice % 8 == 0) account = admin;
        if (choice % 8 == 1) account = address(0);
        if (choice % 8 == 2) account = guardian;
        ICXPTVault.Role old = vault.roleOf(account);
        bytes memory refusal = account == admin || account == address(0)
            ? abi.encodeWithSelector(ICXPTVault.RoleNotChangeable.selector, account, old)
            : bytes("");
        uint8[2] memory roles = [uint8(first % 6), uint8(second % 6)];
        for (uint256 i = 0; i < 2; i++) {
            bytes memory data = abi.encodeCall(vault.setRole, (account, ICXPTVault.Role(roles[i])));
            _expect(refusal, admin, address(vault), data, "role");
            uint8 expected = refusal.length == 0 ? roles[i] : uint8(old);
            vm.assertEq(uint8(vault.roleOf(account)), expected, "what it may do now");
        }
        vm.assertEq(uint8(vault.roleOf(admin)), 1, "there is always an admin");
    }

    /// @notice Whatever the gaps between them, a pause is granted exactly from 44 days after the last began, lasts 14
    /// days, and claims and publishing do not count for each other.
    function testFuzz_PausesComeAtMostOnceIn44Days(uint256[6] calldata gaps, uint8 lifts, bool claims) external {
        uint256 time = START;
        uint256 last;
        uint256 end;
        for (uint256 i = 0; i < 6; i++) {
            time += gaps[i] % 3 == 0 ? 44 days - gaps[i] % 2 : bound(gaps[i], 0, 60 days);
            vm.warp(time);
            bool granted = last == 0 || time >= last + 44 days;
            bytes memory refusal =
                granted ? bytes("") : abi.encodeWithSelector(ICXPTVault.PauseTooSoon.selector, last + 44 days);
            _expect(refusal, guardian, address(vault), _pauseCall(claims, true), "pause");
            if (granted) (last, end) = (time, time + 14 days);
            vm.assertEq(_pausedUntil(claims), end, "until");
            vm.assertEq(_pausedUntil(!claims), 0, "the other kind");
            if (lifts >> i & 1 == 1) {
                refusal = time < end ? bytes("") : abi.encodeWithSelector(ICXPTVault.NotPaused.selector);
                _expect(refusal, i % 2 == 0 ? guardian : admin, address(vault), _pauseCall(claims, false), "resume");
                if (time < end) end = 0;
                vm.assertEq(_pausedUntil(claims), end, "lifted");
            }
        }
    }

    /// @notice A Vault in which one address would hold two roles, or the zero address one, cannot be made.
    function testFuzz_NoAddressStartsWithTwoRoles(uint256 from, uint256 to, bool zero) external {
        address[6] memory people = [admin, publisher, attester, attester2, guardian, treasurer];
        from = bound(from, 0, 5);
        to = bound(to, 0, 5);
        address repeated = zero ? address(0) : people[from];
        people[to] = repeated;
        ICXPTVault.Config memory config = _config(token);
        config.admin = people[0];
        config.publishers = _list(people[1]);
        config.attesters = _list(people[2], people[3]);
        config.guardians = _list(people[4]);
        config.treasurers = _list(people[5]);
        uint8[6] memory roles = [1, 2, 3, 3, 4, 5];
        ICXPTVault.Role held = ICXPTVault.Role(zero ? 0 : roles[from < to ? from : to]);
        bytes memory refusal = zero || from != to
            ? abi.encodeWithSelector(ICXPTVault.RoleNotChangeable.selector, repeated, held)
            : bytes("");
        _expect(refusal, stranger, address(this), abi.encodeCall(this.makeVault, (config)), "a new Vault");
    }

    /// @notice A Vault is made exactly with settings that its setters would accept and with enough attesters, and then
    /// has just these.
    function testFuzz_AVaultStartsWithinTheRules(
        uint24 firstEpoch,
        uint16 protocolBp,
        uint32 delay,
        uint8 required,
        uint96[2] calldata limits
    ) external {
        ICXPTVault.Config memory config = _config(token);
        config.firstEpoch = firstEpoch;
        config.protocolBp = uint16(bound(protocolBp, 0, 6_000));
        config.providerBp = 1_000;
        config.userBp = 9_000 - config.protocolBp;
        config.activationDelay = delay % 2 == 0 ? delay : uint32(bound(delay, 1 hours, 20 hours));
        config.attestersRequired = uint8(bound(required, 0, 3));
        (config.maxProviderAmount, config.maxUserAmount) = (limits[0], limits[1]);
        bytes memory refusal;
        if (config.attestersRequired > 2) {
            refusal = abi.encodeWithSelector(ICXPTVault.InvalidAttestersRequired.selector, config.attestersRequired);
        } else if (config.protocolBp > 5_000) {
            refusal = abi.encodeWithSelector(
                ICXPTVault.InvalidSplit.selector, config.protocolBp, config.providerBp, config.userBp
            );
        } else if (config.activationDelay < 3_600 || config.activationDelay > 72_000) {
            refusal = abi.encodeWithSelector(ICXPTVault.InvalidActivationDelay.selector, config.activationDelay);
        } else if (config.attestersRequired == 0) {
            refusal = abi.encodeWithSelector(ICXPTVault.InvalidAttestersRequired.selector, 0);
        }
        bytes memory result =
            _expect(refusal, stranger, address(this), abi.encodeCall(this.makeVault, (config)), "a new Vault");
        if (refusal.length != 0) return;
        CXPTVault made = CXPTVault(abi.decode(result, (address)));
        vm.assertEq(made.nextEpoch(), firstEpoch, "next epoch");
        (uint256 protocol, uint256 providers, uint256 users) = made.split();
        vm.assertEq(protocol, config.protocolBp, "protocol share");
        vm.assertEq(providers, 1_000, "provider share");
        vm.assertEq(users, 9_000 - protocol, "user share");
        vm.assertEq(made.activationDelay(), config.activationDelay, "delay");
        vm.assertEq(made.attestersRequired(), config.attestersRequired, "attesters required");
        vm.assertEq(made.maxEpochAmount(PROVIDER), limits[0], "provider limit");
        vm.assertEq(made.maxEpochAmount(USER), limits[1], "user limit");
    }

    /// @notice Makes a Vault in a call of its own, so that its refusal can be read.
    function makeVault(ICXPTVault.Config calldata config) external returns (address) {
        return address(new CXPTVault(config));
    }

    // ---------------------------------------------------------------- what things are

    /// @dev Every call that needs a role, with arguments made of `word`; the role, and whether a guardian may too.
    function _privileged(uint256 call, uint256 word, address caller)
        private
        view
        returns (bytes memory data, uint8 role, bool guardianToo)
    {
        if (call == 0) {
            data = abi.encodeCall(vault.publishRoot, (FIRST, bytes32(word), word, word >> 8, bytes32(word), 0));
            return (data, 2, false);
        }
        if (call == 1) return (abi.encodeCall(vault.attestRoot, (FIRST, bytes32(word))), 3, false);
        if (call == 2) return (abi.encodeCall(vault.revokeRoot, (FIRST, "")), 4, false);
        if (call == 3) return (abi.encodeCall(vault.pauseClaims, ()), 4, false);
        if (call == 4) return (abi.encodeCall(vault.pausePublishing, ()), 4, false);
        if (call == 5) return (abi.encodeCall(vault.withdrawProtocol, (caller, word)), 5, false);
        if (call == 6) return (abi.encodeCall(vault.resumeClaims, ()), 1, true);
        if (call == 7) return (abi.encodeCall(vault.resumePublishing, ()), 1, true);
        if (call == 8) return (abi.encodeCall(vault.retireRoot, (FIRST)), 1, false);
        if (call == 9) return (abi.encodeCall(vault.setSplit, (uint16(word), uint16(word), uint16(word))), 1, false);
        if (call == 10) return (abi.encodeCall(vault.setActivationDelay, (uint32(word))), 1, false);
        if (call == 11) return (abi.encodeCall(vault.setMaxEpochAmount, (uint8(word), uint96(word))), 1, false);
        if (call == 12) return (abi.encodeCall(vault.setAttestersRequired, (uint8(word))), 1, false);
        if (call == 13) return (abi.encodeCall(vault.setRole, (caller, ICXPTVault.Role.Admin)), 1, false);
        return (abi.encodeCall(vault.rescue, (IERC20(address(token)), caller, word)), 1, false);
    }

    function _everything() private view returns (bytes32) {
        (uint256 protocolBp, uint256 providerBp, uint256 userBp) = vault.split();
        bytes memory money = abi.encode(
            vault.pools(), token.balanceOf(address(vault)), vault.maxEpochAmount(PROVIDER), vault.maxEpochAmount(USER)
        );
        bytes memory progress = abi.encode(
            vault.nextEpoch(), vault.revocations(), vault.claimsPausedUntil(), vault.publishingPausedUntil()
        );
        bytes memory settings =
            abi.encode(protocolBp, providerBp, userBp, vault.activationDelay(), vault.attestersRequired());
        return keccak256(bytes.concat(money, progress, settings, bytes1(uint8(vault.roleOf(admin)))));
    }

    function _pauseCall(bool claims, bool begins) private view returns (bytes memory) {
        if (begins) return claims ? abi.encodeCall(vault.pauseClaims, ()) : abi.encodeCall(vault.pausePublishing, ());
        return claims ? abi.encodeCall(vault.resumeClaims, ()) : abi.encodeCall(vault.resumePublishing, ());
    }

    function _pausedUntil(bool claims) private view returns (uint256) {
        return claims ? vault.claimsPausedUntil() : vault.publishingPausedUntil();
    }
}
