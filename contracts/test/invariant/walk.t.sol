// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ISubscriptionManager} from "../../src/interfaces/ISubscriptionManager.sol";
import {IUsageEscrow} from "../../src/interfaces/IUsageEscrow.sol";
import {Books} from "./Books.sol";
import {Clock} from "./handlers/Clock.sol";
import {World} from "./World.sol";

/// @title One long fixed walk through the same calls: proves that the invariants are asked of a world where things happen
contract WalkTest is World {
    uint256 private constant STEPS = 5_000;

    address private constant CONSOLE = 0x000000000000000000636F6e736F6c652e6c6f67;

    function test_MostCallsSucceedAndEveryStateIsReached() external {
        (address[] memory players, bytes4[] memory selectors) = _allCalls();
        for (uint256 i = 0; i < STEPS; i++) {
            uint256 seed = uint256(keccak256(abi.encode("walk", i)));
            _call(players[seed % players.length], selectors[seed % players.length], seed);
        }
        _assertRates();
        _assertReached();
        _assertRefusalsMet();
    }

    // ---------------------------------------------------------------- inside

    /// @dev The words after the second are the list of nodes of `claimGarbage`, empty.
    function _call(address player, bytes4 selector, uint256 seed) private {
        bool flags = selector == Clock.toActivation.selector || selector == Clock.toMidnightOrEndOfPause.selector;
        uint256 first = uint256(keccak256(abi.encode(seed)));
        uint256 amount = uint256(keccak256(abi.encode(seed, "amount"))) >> 160;
        if (flags) (first, amount) = (first % 2, amount % 2);
        (bool succeeded, bytes memory result) = player.call(abi.encodeWithSelector(selector, first, amount, 96, 0));
        if (succeeded) return;
        assembly ("memory-safe") {
            revert(add(result, 32), mload(result))
        }
    }

    /// @dev Of the calls that were made; one in which a player finds nothing to do makes none.
    function _assertRates() private view {
        string[11] memory honest = [
            "depositor",
            "publisher",
            "attester",
            "guardian",
            "admin",
            "treasurer",
            "claimer",
            "clock",
            "subscriber",
            "escrow user",
            "settler"
        ];
        for (uint256 i = 0; i < honest.length; i++) {
            Books.Tally memory tally = _print(honest[i]);
            vm.assertGe(tally.done, 20, string.concat(honest[i], " acts"));
            vm.assertGe(tally.done, 2 * tally.refused, string.concat(honest[i], " mostly succeeds"));
            _print(string.concat(honest[i], ", wrongly"));
        }
        vm.assertEq(_print("hostile").done, 0, "the hostile never succeed");
        vm.assertGe(books.tally("hostile").refused, 500, "the hostile try");
    }

    function _assertReached() private view {
        (uint256 revoked, uint256 retired, uint256 unsound, uint256 paying) = _countRoots();
        vm.assertGe(revoked, 3, "roots were revoked");
        vm.assertGe(retired, 1, "roots were retired");
        vm.assertGe(unsound, 1, "a wrong root became active");
        vm.assertGe(paying, 3, "several roots paid");
        vm.assertGe(books.nextEpoch(), FIRST + 10, "epochs passed");
        vm.assertGe(books.withdrawn(), 1, "the treasurer took money");
        vm.assertGe(books.chargedDays().length, 3, "usage was charged on several days");
        vm.assertGe(books.claimsPauseBegan(), 1, "claims were paused");
        vm.assertGe(books.publishingPauseBegan(), 1, "publishing was paused");
        vm.assertTrue(books.holders(ICXPTVault.Role.Admin)[0] != admin, "the admin was replaced");
    }

    function _assertRefusalsMet() private view {
        bytes4[29] memory refusals = [
            ICXPTVault.WrongRole.selector,
            ICXPTVault.RoleNotChangeable.selector,
            ICXPTVault.InvalidPool.selector,
            ICXPTVault.NotNextEpoch.selector,
            ICXPTVault.RootPending.selector,
            ICXPTVault.WrongRevocations.selector,
            ICXPTVault.TotalFell.selector,
            ICXPTVault.PoolTooSmall.selector,
            ICXPTVault.EpochLimitExceeded.selector,
            ICXPTVault.ZeroRoot.selector,
            ICXPTVault.RootNotPending.selector,
            ICXPTVault.RootNotActive.selector,
            ICXPTVault.RootStillNewest.selector,
            ICXPTVault.WrongPublication.selector,
            ICXPTVault.AlreadyAttested.selector,
            ICXPTVault.InvalidProof.selector,
            ICXPTVault.PromiseExceeded.selector,
            ICXPTVault.AmountTooLarge.selector,
            ICXPTVault.ClaimsArePaused.selector,
            ICXPTVault.PublishingIsPaused.selector,
            ICXPTVault.InvalidSplit.selector,
            ISubscriptionManager.PlanNotSold.selector,
            ISubscriptionManager.OtherPlanRunning.selector,
            ISubscriptionManager.TotalAboveMaximum.selector,
            ISubscriptionManager.InvalidPeriods.selector,
            IUsageEscrow.BatchAlreadySettled.selector,
            IUsageEscrow.LengthMismatch.selector,
            IUsageEscrow.WithdrawalNotDue.selector,
            IUsageEscrow.NotSettler.selector
        ];
        for (uint256 i = 0; i < refusals.length; i++) {
            uint256 times = books.timesRefused(refusals[i]);
            _log(string.concat("refusal ", vm.toString(i), ": ", vm.toString(times)));
            vm.assertGe(times, 1, string.concat("refusal ", vm.toString(i), " was met"));
        }
    }

    function _countRoots() private view returns (uint256 revoked, uint256 retired, uint256 unsound, uint256 paying) {
        for (uint256 i = 0; i < books.publicationCount(); i++) {
            Books.Publication memory it = books.publication(i);
            if (it.revoked) revoked++;
            if (it.retired) retired++;
            if (!it.sound && books.isActivated(i)) unsound++;
            if (books.paidUnder(it.root) != 0) paying++;
        }
    }

    function _print(string memory name) private view returns (Books.Tally memory tally) {
        tally = books.tally(name);
        string memory figures =
            string.concat(": done ", vm.toString(tally.done), ", refused ", vm.toString(tally.refused));
        _log(string.concat(name, figures, ", idle ", vm.toString(tally.idle)));
    }

    function _log(string memory line) private view {
        (bool printed,) = CONSOLE.staticcall(abi.encodeWithSignature("log(string)", line));
        vm.assertTrue(printed, "printed");
    }
}
