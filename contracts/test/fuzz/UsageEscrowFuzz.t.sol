// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {UsageEscrow} from "../../src/UsageEscrow.sol";
import {IUsageEscrow} from "../../src/interfaces/IUsageEscrow.sol";
import {FuzzTest} from "./FuzzTest.sol";

/// @notice Three customers with up to 1,000 CXPT each outside of the escrow; the settler is a `publisher` by trade.
contract UsageEscrowFuzz is FuzzTest {
    uint256 private constant WEALTH = 1_000 * CXPT;

    /// @dev What an account should be worth, kept by hand.
    struct Ledger {
        uint256 balance;
        uint256 limit;
        uint256 chargedToday;
        uint256 day;
        uint256 requested;
        uint256 dueAt;
    }

    UsageEscrow private escrow;
    address[3] private customers;

    function setUp() public override {
        super.setUp();
        escrow = new UsageEscrow(vault, admin, publisher);
        customers = [_person("ann"), _person("ben"), _person("cleo")];
        for (uint256 i = 0; i < 3; i++) {
            token.transfer(customers[i], WEALTH);
            vm.prank(customers[i]);
            token.approve(address(escrow), type(uint256).max);
        }
    }

    /// @notice Over any row of charges, days and limits, each charge is the least of what is asked, the balance, and what
    /// the limit leaves of the UTC day.
    function testFuzz_AChargeIsTheLeastOfThree(
        uint96 balance,
        uint256[8] calldata asked,
        uint256[8] calldata limits,
        uint256[8] calldata gaps
    ) external {
        Ledger memory ledger;
        ledger.balance = bound(balance, 0, WEALTH);
        if (ledger.balance != 0) _depositAs(customers[0], ledger.balance);
        uint256 time = START;
        uint256 fees;
        for (uint256 i = 0; i < 8; i++) {
            time += gaps[i] % 4 == 0 ? 1 days - time % 1 days - gaps[i] / 4 % 2 : bound(gaps[i], 0, 12 hours);
            vm.warp(time);
            if (limits[i] % 2 == 0) {
                ledger.limit = limits[i] % 8 == 0 ? type(uint96).max : bound(limits[i], 0, 200 * CXPT);
                vm.prank(customers[0]);
                escrow.setDailyLimit(uint96(ledger.limit));
            }
            uint256 amount = asked[i] % 4 == 0 ? asked[i] : bound(asked[i], 0, 150 * CXPT);
            uint256 expected = _chargeByHand(ledger, amount, time / 86_400);
            vm.assertEq(_charge(customers[0], amount, i), expected, "charged");
            vm.assertEq(escrow.balanceOf(customers[0]), ledger.balance, "balance");
            fees += expected;
        }
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT + fees, "all of it is fees");
        vm.assertEq(token.balanceOf(address(escrow)), ledger.balance, "held");
    }

    /// @notice `chargeable` says beforehand what a charge of any size then takes at most.
    function testFuzz_ChargeableForetellsTheCharge(uint256 balance, uint256 limit, uint256 first, uint256 gap)
        external
    {
        balance = bound(balance, 1, WEALTH);
        limit = bound(limit, 0, WEALTH);
        _depositAs(customers[0], balance);
        vm.prank(customers[0]);
        escrow.setDailyLimit(uint96(limit));
        _charge(customers[0], bound(first, 0, WEALTH), 0);
        vm.warp(START + bound(gap, 0, 2 days));
        uint256 foretold = escrow.chargeable(customers[0]);
        vm.assertEq(_charge(customers[0], type(uint256).max, 1), foretold, "charged");
        vm.assertEq(escrow.chargeable(customers[0]), 0, "what is left after everything was asked for");
    }

    /// @notice A request is accepted up to the balance, due a day later to the second, and pays what was requested or
    /// what charges have left of it; nothing can be withdrawn twice.
    function testFuzz_AWithdrawalPaysWhatIsLeft(uint256 balance, uint256 requested, uint256 charge, uint256 wait)
        external
    {
        balance = bound(balance, 1, WEALTH);
        requested = requested % 8 == 0 ? uint96(requested) : bound(requested, 0, balance);
        charge = bound(charge, 0, WEALTH);
        wait = wait % 2 == 0 ? 1 days - wait / 2 % 2 : bound(wait, 0, 3 days);
        address customer = customers[0];
        _depositAs(customer, balance);
        vm.prank(customer);
        escrow.setDailyLimit(uint96(WEALTH));
        bytes memory refusal = requested <= balance
            ? bytes("")
            : abi.encodeWithSelector(IUsageEscrow.AmountTooLarge.selector, balance, requested);
        bytes memory data = abi.encodeCall(escrow.requestWithdrawal, (uint96(requested)));
        _expect(refusal, customer, address(escrow), data, "request");
        if (refusal.length != 0) requested = 0;
        uint256 charged = _charge(customer, charge, 0);

        vm.warp(START + wait);
        bool due = requested != 0 && wait >= 1 days;
        refusal = "";
        if (requested == 0) refusal = abi.encodeWithSelector(IUsageEscrow.NoWithdrawalRequested.selector, customer);
        else if (!due) refusal = abi.encodeWithSelector(IUsageEscrow.WithdrawalNotDue.selector, START + 1 days);
        _expect(refusal, customer, address(escrow), abi.encodeCall(escrow.withdraw, ()), "withdrawal");
        uint256 left = balance - charged;
        uint256 paid = due ? (requested < left ? requested : left) : 0;
        vm.assertEq(token.balanceOf(customer), WEALTH - balance + paid, "paid");
        vm.assertEq(escrow.balanceOf(customer), left - paid, "balance");
        if (due) {
            refusal = abi.encodeWithSelector(IUsageEscrow.NoWithdrawalRequested.selector, customer);
            _expect(refusal, customer, address(escrow), abi.encodeCall(escrow.withdraw, ()), "a second time");
        }
    }

    /// @notice Over any row of deposits, requests, withdrawals, charges and plain transfers by three customers: every
    /// balance is as kept by hand, their sum is the total, and the escrow holds at least that.
    function testFuzz_BalancesAddUp(uint256 seed) external {
        Ledger[3] memory ledgers;
        uint256 gifts;
        uint256 time = START;
        for (uint256 i = 0; i < 16; i++) {
            uint256 word = _draw(seed, i);
            uint256 who = word % 3;
            uint256 amount = 1 + (word >> 16) % (200 * CXPT);
            Ledger memory ledger = ledgers[who];
            uint256 move = (word >> 8) % 6;
            if (move == 0 && amount <= token.balanceOf(customers[who])) {
                _depositAs(customers[who], amount);
                ledger.balance += amount;
            } else if (move == 1) {
                ledger.limit = amount;
                vm.prank(customers[who]);
                escrow.setDailyLimit(uint96(amount));
            } else if (move == 2 && ledger.balance != 0) {
                (ledger.requested, ledger.dueAt) = (1 + amount % ledger.balance, time + 1 days);
                vm.prank(customers[who]);
                escrow.requestWithdrawal(uint96(ledger.requested));
            } else if (move == 3 && ledger.requested != 0) {
                if (time < ledger.dueAt) time = ledger.dueAt;
                vm.warp(time);
                uint256 paid = ledger.requested < ledger.balance ? ledger.requested : ledger.balance;
                vm.prank(customers[who]);
                vm.assertEq(escrow.withdraw(), paid, "withdrawn");
                (ledger.balance, ledger.requested) = (ledger.balance - paid, 0);
            } else if (move == 4) {
                uint256 expected = _chargeByHand(ledger, amount, time / 86_400);
                vm.assertEq(_charge(customers[who], amount, i), expected, "charged");
            } else if (move == 5) {
                token.transfer(address(escrow), amount);
                gifts += amount;
            }
        }
        uint256 sum;
        for (uint256 i = 0; i < 3; i++) {
            vm.assertEq(escrow.balanceOf(customers[i]), ledgers[i].balance, "balance");
            sum += ledgers[i].balance;
        }
        vm.assertEq(escrow.totalBalance(), sum, "total");
        vm.assertEq(token.balanceOf(address(escrow)), sum + gifts, "held");
    }

    /// @notice A batch charges item by item in order, also where an account comes twice, and pays the sum as fees.
    function testFuzz_ABatchIsItsItemsInOrder(uint256[6] calldata amounts, uint8[6] calldata who, uint256 limit)
        external
    {
        limit = bound(limit, 0, 300 * CXPT);
        Ledger[3] memory ledgers;
        for (uint256 i = 0; i < 3; i++) {
            ledgers[i] = Ledger(100 * CXPT * (i + 1), limit, 0, 0, 0, 0);
            _depositAs(customers[i], ledgers[i].balance);
            vm.prank(customers[i]);
            escrow.setDailyLimit(uint96(limit));
        }
        address[] memory accounts = new address[](6);
        uint256[] memory asked = new uint256[](6);
        uint256 sum;
        for (uint256 i = 0; i < 6; i++) {
            accounts[i] = who[i] % 4 == 3 ? stranger : customers[who[i] % 4];
            asked[i] = amounts[i] % 4 == 0 ? amounts[i] : bound(amounts[i], 0, 200 * CXPT);
            if (who[i] % 4 != 3) sum += _chargeByHand(ledgers[who[i] % 4], asked[i], START / 86_400);
        }
        vm.prank(publisher);
        vm.assertEq(escrow.settle("batch", accounts, asked), sum, "charged");
        for (uint256 i = 0; i < 3; i++) {
            vm.assertEq(escrow.balanceOf(customers[i]), ledgers[i].balance, "balance");
        }
        vm.assertEq(escrow.balanceOf(stranger), 0, "who never deposited");
        vm.assertEq(escrow.totalBalance(), 600 * CXPT - sum, "total");
        vm.assertEq(vault.pools().providerAmount, 800 * CXPT + sum * 4_000 / 10_000, "provider pool");
        vm.assertEq(vault.pools().userAmount, 400 * CXPT + sum * 2_000 / 10_000, "user pool");
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT + sum, "the Vault");
        vm.assertEq(token.allowance(address(escrow), address(vault)), 0, "no allowance stays");
    }

    /// @notice A batch is settled by the settler alone, once for its id, with one amount for each account.
    function testFuzz_ABatchIsSettledOnceBySettlerAlone(
        address caller,
        bytes32 id,
        bytes32 other,
        uint256 accounts,
        uint256 amounts
    ) external {
        accounts = bound(accounts, 0, 3);
        amounts = bound(amounts, 0, 3);
        bytes memory data = abi.encodeCall(escrow.settle, (id, new address[](accounts), new uint256[](amounts)));
        if (caller != publisher) {
            bytes memory foreign = abi.encodeWithSelector(IUsageEscrow.NotSettler.selector, caller);
            _expect(foreign, caller, address(escrow), data, "by somebody else");
        }
        bytes memory refusal = accounts == amounts
            ? bytes("")
            : abi.encodeWithSelector(IUsageEscrow.LengthMismatch.selector, accounts, amounts);
        _expect(refusal, publisher, address(escrow), data, "settled");
        vm.assertEq(escrow.isSettled(id), accounts == amounts, "recorded");
        if (other != id) vm.assertFalse(escrow.isSettled(other), "another id");
        if (refusal.length == 0) {
            refusal = abi.encodeWithSelector(IUsageEscrow.BatchAlreadySettled.selector, id);
            _expect(refusal, publisher, address(escrow), data, "a second time");
        }
    }

    /// @notice What is deposited and never charged comes back to the unit, a day after it was asked for.
    function testFuzz_ARoundTripCostsNothing(uint256[3] memory amounts, uint256 order) external {
        for (uint256 i = 0; i < 3; i++) {
            amounts[i] = bound(amounts[i], 1, WEALTH);
            _depositAs(customers[i], amounts[i]);
            vm.prank(customers[i]);
            escrow.requestWithdrawal(uint96(amounts[i]));
        }
        vm.warp(START + 1 days);
        uint256[] memory turns = _shuffle(order, 3);
        for (uint256 i = 0; i < 3; i++) {
            vm.prank(customers[turns[i]]);
            vm.assertEq(escrow.withdraw(), amounts[turns[i]], "withdrawn");
            vm.assertEq(token.balanceOf(customers[turns[i]]), WEALTH, "whole again");
        }
        vm.assertEq(escrow.totalBalance(), 0, "total");
        vm.assertEq(token.balanceOf(address(escrow)), 0, "held");
    }

    /// @notice Any later request replaces the one before and its date; zero takes it back.
    function testFuzz_ALaterRequestReplacesTheFirst(uint256 first, uint256 second, uint256 gap) external {
        first = bound(first, 1, WEALTH);
        second = bound(second, 0, WEALTH);
        gap = bound(gap, 0, 2 days);
        _depositAs(customers[0], WEALTH);
        vm.prank(customers[0]);
        escrow.requestWithdrawal(uint96(first));
        vm.warp(START + gap);
        vm.prank(customers[0]);
        escrow.requestWithdrawal(uint96(second));
        (uint256 amount, uint256 availableAt) = escrow.withdrawalOf(customers[0]);
        vm.assertEq(amount, second, "amount");
        vm.assertEq(availableAt, second == 0 ? 0 : START + gap + 1 days, "due");
        vm.assertEq(escrow.balanceOf(customers[0]), WEALTH, "balance");
    }

    /// @notice With a valid permit a deposit needs no allowance before, and a stranger who sends it first changes nothing.
    function testFuzz_APermitPaysTheDeposit(uint256 amount, bool sentByAStranger) external {
        amount = bound(amount, 1, 1_000_000 * CXPT);
        address signer = _signer(amount);
        (uint8 v, bytes32 r, bytes32 s) = _sign(Permit(KEY, signer, address(escrow), amount, 0, START));
        if (sentByAStranger) {
            vm.prank(stranger);
            token.permit(signer, address(escrow), amount, START, v, r, s);
        }
        vm.prank(signer);
        escrow.depositWithPermit(amount, START, v, r, s);
        vm.assertEq(escrow.balanceOf(signer), amount, "balance");
        vm.assertEq(token.balanceOf(signer), 0, "paid");
    }

    /// @notice A permit of which any one field is wrong, or that another account sends, never moves money.
    function testFuzz_AWrongPermitMovesNothing(uint256 amount, uint256 choice, uint256 noise) external {
        amount = bound(amount, 1, 1_000_000 * CXPT);
        choice = bound(choice, 0, 6);
        address signer = _signer(amount);
        (uint8 v, bytes32 r, bytes32 s) =
            _sign(_spoil(Permit(KEY, signer, address(escrow), amount, 0, START), choice, noise));
        bytes memory refusal =
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(escrow), 0, amount);
        bytes memory data = abi.encodeCall(escrow.depositWithPermit, (amount, START, v, r, s));
        _expect(refusal, choice == 6 ? stranger : signer, address(escrow), data, "deposit");
        vm.assertEq(token.balanceOf(signer), amount, "the signer's money");
        vm.assertEq(escrow.totalBalance(), 0, "total");
    }

    /// @notice The owner alone names the settler, anybody or nobody; the one before may charge no more.
    function testFuzz_OnlyTheOwnerNamesTheSettler(address caller, address settler) external {
        bytes memory data = abi.encodeCall(escrow.setSettler, (settler));
        if (caller != admin) {
            bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, caller);
            _expect(refusal, caller, address(escrow), data, "by somebody else");
            vm.assertEq(escrow.settler(), publisher, "the settler stays");
        }
        _expect("", admin, address(escrow), data, "by the owner");
        vm.assertEq(escrow.settler(), settler, "the new settler");
        bytes memory expected =
            settler == publisher ? bytes("") : abi.encodeWithSelector(IUsageEscrow.NotSettler.selector, publisher);
        data = abi.encodeCall(escrow.settle, ("batch", new address[](0), new uint256[](0)));
        _expect(expected, publisher, address(escrow), data, "the one before");
    }

    // ---------------------------------------------------------------- by hand, and what people do

    function _chargeByHand(Ledger memory ledger, uint256 asked, uint256 today) private pure returns (uint256 charged) {
        if (ledger.day != today) (ledger.day, ledger.chargedToday) = (today, 0);
        uint256 left = ledger.limit > ledger.chargedToday ? ledger.limit - ledger.chargedToday : 0;
        charged = asked;
        if (charged > ledger.balance) charged = ledger.balance;
        if (charged > left) charged = left;
        ledger.balance -= charged;
        ledger.chargedToday += charged;
    }

    function _charge(address account, uint256 amount, uint256 id) private returns (uint256) {
        uint256[] memory amounts = new uint256[](1);
        amounts[0] = amount;
        vm.prank(publisher);
        return escrow.settle(bytes32(id), _list(account), amounts);
    }

    function _depositAs(address account, uint256 amount) private {
        vm.prank(account);
        escrow.deposit(amount);
    }
}
