// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {CXPTVault} from "../../src/CXPTVault.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {Intake} from "../../src/libraries/Intake.sol";
import {HostileToken} from "../HostileToken.sol";
import {FuzzTest} from "./FuzzTest.sol";

contract VaultMoneyFuzz is FuzzTest {
    uint256 private constant MOST = type(uint96).max;

    /// @notice A deposit is split in base points rounded down, the remainder goes to the protocol, nothing is lost.
    function testFuzz_ADepositIsSplitByHand(uint256 amount, uint256 protocolBp, uint256 providerBp) external {
        amount = bound(amount, 1, 1_000_000_000 * CXPT - 1_000_000 * CXPT);
        protocolBp = bound(protocolBp, 0, 5_000);
        providerBp = bound(providerBp, 0, 10_000 - protocolBp);
        uint256 userBp = 10_000 - protocolBp - providerBp;
        vm.prank(admin);
        vault.setSplit(uint16(protocolBp), uint16(providerBp), uint16(userBp));
        ICXPTVault.RewardPool memory before = vault.pools();

        token.approve(address(vault), amount);
        vault.depositFees(amount);

        ICXPTVault.RewardPool memory pools = vault.pools();
        uint256 providerAmount = amount * providerBp / 10_000;
        uint256 userAmount = amount * userBp / 10_000;
        vm.assertEq(pools.providerAmount - before.providerAmount, providerAmount, "provider");
        vm.assertEq(pools.userAmount - before.userAmount, userAmount, "user");
        vm.assertEq(pools.protocolAmount - before.protocolAmount, amount - providerAmount - userAmount, "protocol");
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT + amount, "held");
        vm.assertEq(vault.surplus(), 0, "nothing is left over");
    }

    /// @notice However fees are cut into deposits, the pools together hold every unit, and rounding costs each of the
    /// two claimable pools less than one unit a deposit.
    function testFuzz_DepositsAddUp(uint96[5] calldata amounts) external {
        uint256 sum;
        for (uint256 i = 0; i < 5; i++) {
            uint256 amount = bound(amounts[i], 1, 100_000 * CXPT);
            _deposit(amount);
            sum += amount;
        }
        ICXPTVault.RewardPool memory pools = vault.pools();
        uint256 all = 2_000 * CXPT + sum;
        vm.assertEq(pools.protocolAmount + pools.providerAmount + pools.userAmount, all, "every unit");
        vm.assertLe(pools.providerAmount, all * 4 / 10, "provider, at most");
        vm.assertGe(pools.providerAmount + 5, all * 4 / 10, "provider, at least");
        vm.assertLe(pools.userAmount, all * 2 / 10, "user, at most");
        vm.assertGe(pools.userAmount + 5, all * 2 / 10, "user, at least");
    }

    /// @notice Funding adds the whole amount to pool 1 or 2 and touches nothing else; no other pool exists.
    function testFuzz_FundingAPoolMovesThatPoolAlone(uint8 pool, uint256 amount) external {
        if (amount % 2 == 0) pool = uint8(1 + pool % 2);
        amount = bound(amount, 1, 990_000 * CXPT);
        ICXPTVault.RewardPool memory before = vault.pools();
        bool exists = pool == 1 || pool == 2;
        bytes memory refusal = exists ? bytes("") : abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, pool);
        _expect(refusal, payer, address(vault), abi.encodeCall(vault.fundPool, (pool, amount)), "funding");

        ICXPTVault.RewardPool memory pools = vault.pools();
        vm.assertEq(pools.protocolAmount, before.protocolAmount, "protocol");
        vm.assertEq(pools.providerAmount, before.providerAmount + (pool == 1 ? amount : 0), "provider");
        vm.assertEq(pools.userAmount, before.userAmount + (pool == 2 ? amount : 0), "user");
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT + (exists ? amount : 0), "held");
    }

    /// @notice A payment needs an amount above zero, the allowance and the balance, in that order, and nothing more.
    function testFuzz_APaymentNeedsAllowanceAndBalance(uint256 amount, uint256 allowance, uint256 balance, bool funding)
        external
    {
        balance = bound(balance, 0, 1_000 * CXPT);
        amount = bound(amount, 0, 2_000 * CXPT);
        allowance = bound(allowance, 0, 2_000 * CXPT);
        token.transfer(stranger, balance);
        vm.prank(stranger);
        token.approve(address(vault), allowance);
        bytes memory refusal;
        if (amount == 0) {
            refusal = abi.encodeWithSelector(Intake.ZeroAmount.selector);
        } else if (allowance < amount) {
            refusal = abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(vault), allowance, amount
            );
        } else if (balance < amount) {
            refusal = abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, stranger, balance, amount);
        }
        bytes memory data =
            funding ? abi.encodeCall(vault.fundPool, (USER, amount)) : abi.encodeCall(vault.depositFees, (amount));
        _expect(refusal, stranger, address(vault), data, "payment");
        uint256 paid = refusal.length == 0 ? amount : 0;
        vm.assertEq(token.balanceOf(stranger), balance - paid, "paid by the caller");
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT + paid, "held");
    }

    /// @notice Over any row of withdrawals each is paid in full or refused, exactly where the protocol's pool ends.
    function testFuzz_TheTreasurerTakesAtMostTheProtocolPool(uint256[6] calldata amounts) external {
        uint256 left = 800 * CXPT;
        for (uint256 i = 0; i < 6; i++) {
            uint256 amount = i % 2 == 0 ? bound(amounts[i], 0, 300 * CXPT) : amounts[i];
            bytes memory refusal =
                amount <= left ? bytes("") : abi.encodeWithSelector(ICXPTVault.AmountTooLarge.selector, left, amount);
            bytes memory data = abi.encodeCall(vault.withdrawProtocol, (stranger, amount));
            _expect(refusal, treasurer, address(vault), data, "withdrawal");
            if (amount <= left) left -= amount;
        }
        vm.assertEq(vault.pools().protocolAmount, left, "left");
        vm.assertEq(token.balanceOf(stranger), 800 * CXPT - left, "taken");
        vm.assertEq(vault.pools().providerAmount + vault.pools().userAmount, 1_200 * CXPT, "the other pools");
    }

    /// @notice Of CXPT a rescue takes exactly what strays into the Vault by plain transfers, never what is owed.
    function testFuzz_ARescueTakesAtMostWhatStrayed(uint256 stray, uint256 total, uint256 amount) external {
        stray = bound(stray, 0, 1_000 * CXPT);
        total = bound(total, 0, 400 * CXPT);
        amount = bound(amount, 0, 4_000 * CXPT);
        token.transfer(address(vault), stray);
        _activate(FIRST, keccak256("root"), total, total);
        bytes memory refusal =
            amount <= stray ? bytes("") : abi.encodeWithSelector(ICXPTVault.AmountTooLarge.selector, stray, amount);
        bytes memory data = abi.encodeCall(vault.rescue, (IERC20(address(token)), stranger, amount));
        _expect(refusal, admin, address(vault), data, "rescue");
        vm.assertEq(token.balanceOf(stranger), amount <= stray ? amount : 0, "rescued");
        vm.assertEq(vault.surplus(), amount <= stray ? stray - amount : stray, "surplus");
        _assertSolvent();
    }

    /// @notice A token of another kind can be rescued to the last unit, and that moves no CXPT.
    function testFuzz_OtherTokensAreRescuedWhole(uint256 stray, uint256 amount) external {
        HostileToken other = new HostileToken();
        stray = bound(stray, 0, 2 ** 128);
        amount = bound(amount, 0, stray);
        other.transfer(address(vault), stray);
        vm.prank(admin);
        vault.rescue(other, stranger, amount);
        vm.assertEq(other.balanceOf(stranger), amount, "rescued");
        vm.assertEq(other.balanceOf(address(vault)), stray - amount, "left");
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT, "CXPT");
    }

    /// @notice With a valid permit a deposit needs no allowance before and leaves none; whoever sends the permit first
    /// changes nothing.
    function testFuzz_APermitPaysTheDeposit(uint256 amount, uint256 deadline, bool sentByAStranger) external {
        amount = bound(amount, 1, 1_000_000 * CXPT);
        deadline = bound(deadline, block.timestamp, type(uint256).max);
        address signer = _signer(amount);
        (uint8 v, bytes32 r, bytes32 s) = _sign(Permit(KEY, signer, address(vault), amount, 0, deadline));
        if (sentByAStranger) {
            vm.prank(stranger);
            token.permit(signer, address(vault), amount, deadline, v, r, s);
        }
        vm.prank(signer);
        vault.depositFeesWithPermit(amount, deadline, v, r, s);
        vm.assertEq(token.balanceOf(signer), 0, "paid");
        vm.assertEq(token.allowance(signer, address(vault)), 0, "allowance");
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT + amount, "held");
    }

    /// @notice A permit of which any one field is wrong, or that another account sends, never moves money.
    function testFuzz_AWrongPermitMovesNothing(uint256 amount, uint256 choice, uint256 noise) external {
        amount = bound(amount, 1, 1_000_000 * CXPT);
        choice = bound(choice, 0, 6);
        address signer = _signer(amount);
        Permit memory permit =
            _spoil(Permit(KEY, signer, address(vault), amount, 0, block.timestamp + 1 hours), choice, noise);
        (uint8 v, bytes32 r, bytes32 s) = _sign(permit);
        address sender = choice == 6 ? stranger : signer;
        bytes memory refusal =
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(vault), 0, amount);
        bytes memory data = abi.encodeCall(vault.depositFeesWithPermit, (amount, block.timestamp + 1 hours, v, r, s));
        _expect(refusal, sender, address(vault), data, "deposit");
        vm.assertEq(token.balanceOf(signer), amount, "the signer's money");
        vm.assertEq(token.balanceOf(address(vault)), 2_000 * CXPT, "held");
    }

    /// @notice A permit that is past its deadline never moves money.
    function testFuzz_ALatePermitMovesNothing(uint256 amount, uint256 deadline) external {
        amount = bound(amount, 1, 1_000_000 * CXPT);
        deadline = bound(deadline, 0, block.timestamp - 1);
        address signer = _signer(amount);
        (uint8 v, bytes32 r, bytes32 s) = _sign(Permit(KEY, signer, address(vault), amount, 0, deadline));
        bytes memory refusal =
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(vault), 0, amount);
        bytes memory data = abi.encodeCall(vault.depositFeesWithPermit, (amount, deadline, v, r, s));
        _expect(refusal, signer, address(vault), data, "deposit");
    }

    /// @notice What is ever deposited into a pool fits 96 bits: the second funding is refused exactly above that.
    function testFuzz_APoolHoldsAtMost96Bits(uint256 first, uint256 second, uint8 pool) external {
        (CXPTVault other, HostileToken coin) = _otherVault();
        pool = uint8(bound(pool, 1, 2));
        first = bound(first, 1, MOST);
        second = bound(second, 1, 2 ** 97);
        coin.approve(address(other), type(uint256).max);
        other.fundPool(pool, first);
        bytes memory refusal = first + second <= MOST
            ? bytes("")
            : abi.encodeWithSelector(ICXPTVault.DepositTooLarge.selector, MOST - first, second);
        _expect(refusal, address(this), address(other), abi.encodeCall(other.fundPool, (pool, second)), "funding");
        vm.assertEq(other.deposited(pool), refusal.length == 0 ? first + second : first, "deposited");
    }

    /// @notice Over any row of fees of any size: a deposit is refused exactly when it, or what a pool was ever given, does
    /// not fit 96 bits, and a refused one leaves every pool as it was.
    function testFuzz_FeesFit96BitsInEveryPool(uint256[4] memory amounts, uint256 protocolBp, uint256 providerBp)
        external
    {
        (CXPTVault other, HostileToken coin) = _otherVault();
        protocolBp = bound(protocolBp, 0, 5_000);
        providerBp = bound(providerBp, 0, 10_000 - protocolBp);
        vm.prank(admin);
        other.setSplit(uint16(protocolBp), uint16(providerBp), uint16(10_000 - protocolBp - providerBp));
        coin.approve(address(other), type(uint256).max);
        uint256[3] memory sums;
        for (uint256 i = 0; i < 4; i++) {
            uint256 amount = amounts[i] % 8 == 0 ? bound(amounts[i], MOST + 1, 2 ** 97) : bound(amounts[i], 1, MOST);
            uint256[3] memory shares;
            shares[1] = amount * providerBp / 10_000;
            shares[2] = amount * (10_000 - protocolBp - providerBp) / 10_000;
            shares[0] = amount - shares[1] - shares[2];
            bytes memory refusal;
            for (uint256 j = 3; j > 0; j--) {
                (uint256 share, uint256 room) = (shares[j - 1], MOST - sums[j - 1]);
                if (share > room) refusal = abi.encodeWithSelector(ICXPTVault.DepositTooLarge.selector, room, share);
            }
            if (amount > MOST) refusal = abi.encodeWithSelector(ICXPTVault.DepositTooLarge.selector, MOST, amount);
            _expect(refusal, address(this), address(other), abi.encodeCall(other.depositFees, (amount)), "deposit");
            for (uint256 j = 0; j < 3 && refusal.length == 0; j++) {
                sums[j] += shares[j];
            }
        }
        vm.assertEq(other.pools().protocolAmount, sums[0], "protocol");
        vm.assertEq(other.pools().providerAmount, sums[1], "provider");
        vm.assertEq(other.pools().userAmount, sums[2], "user");
        vm.assertEq(coin.balanceOf(address(other)), sums[0] + sums[1] + sums[2], "held");
    }

    /// @notice A token that keeps anything of a transfer is refused with what arrived; one that keeps nothing is taken.
    function testFuzz_ATokenThatKeepsAFeeIsRefused(uint256 amount, uint256 feeBp) external {
        (CXPTVault other, HostileToken coin) = _otherVault();
        amount = bound(amount, 1, MOST);
        feeBp = bound(feeBp, 0, 10_000);
        coin.approve(address(other), amount);
        coin.setFee(feeBp);
        uint256 fee = amount * feeBp / 10_000;
        bytes memory refusal =
            fee == 0 ? bytes("") : abi.encodeWithSelector(Intake.WrongAmountReceived.selector, amount, amount - fee);
        _expect(refusal, address(this), address(other), abi.encodeCall(other.depositFees, (amount)), "deposit");
        vm.assertEq(coin.balanceOf(address(other)), fee == 0 ? amount : 0, "held");
    }

    function _otherVault() private returns (CXPTVault other, HostileToken coin) {
        coin = new HostileToken();
        other = new CXPTVault(_config(coin));
    }
}
