// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {CXPTToken} from "../../src/CXPTToken.sol";
import {FuzzTest} from "./FuzzTest.sol";

contract CXPTTokenFuzz is FuzzTest {
    uint256 private constant SUPPLY = 1_000_000_000 * CXPT;

    /// @dev The token alone, all of it with this contract.
    function setUp() public override {
        vm.warp(START);
        token = new CXPTToken();
    }

    /// @notice A transfer moves the amount from one balance to the other, or is refused exactly above the balance.
    function testFuzz_ATransferMovesTheAmount(address to, uint256 balance, uint256 amount) external {
        vm.assume(to != address(0) && to != stranger && to != address(this));
        balance = bound(balance, 0, SUPPLY);
        amount = bound(amount, 0, SUPPLY);
        token.transfer(stranger, balance);
        bytes memory refusal = amount <= balance
            ? bytes("")
            : abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, stranger, balance, amount);
        _expect(refusal, stranger, address(token), abi.encodeCall(token.transfer, (to, amount)), "transfer");
        uint256 moved = amount <= balance ? amount : 0;
        vm.assertEq(token.balanceOf(stranger), balance - moved, "sender");
        vm.assertEq(token.balanceOf(to), moved, "recipient");
        vm.assertEq(token.totalSupply(), SUPPLY, "supply");
    }

    /// @notice An allowance is used up by what is spent, unless it is the largest there is; nothing beyond it is spent.
    function testFuzz_AnAllowanceIsUsedUp(uint256 allowance, uint256[3] calldata amounts, bool unlimited) external {
        allowance = unlimited ? type(uint256).max : bound(allowance, 0, 100 * CXPT);
        token.approve(stranger, allowance);
        uint256 spent;
        for (uint256 i = 0; i < 3; i++) {
            uint256 amount = bound(amounts[i], 0, 60 * CXPT);
            uint256 left = unlimited ? allowance : allowance - spent;
            bytes memory refusal = amount <= left
                ? bytes("")
                : abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, stranger, left, amount);
            bytes memory data = abi.encodeCall(token.transferFrom, (address(this), user, amount));
            _expect(refusal, stranger, address(token), data, "transfer");
            if (amount <= left) spent += amount;
        }
        vm.assertEq(token.balanceOf(user), spent, "spent");
        vm.assertEq(token.allowance(address(this), stranger), unlimited ? allowance : allowance - spent, "left");
    }

    /// @notice Who burns loses the amount, the supply falls by it, and nobody else is poorer.
    function testFuzz_BurningTakesFromTheBurnerAlone(uint256 balance, uint256 amount, bool byAllowance) external {
        balance = bound(balance, 0, SUPPLY);
        amount = bound(amount, 0, SUPPLY);
        token.transfer(stranger, balance);
        vm.prank(stranger);
        token.approve(user, amount);
        bytes memory refusal = amount <= balance
            ? bytes("")
            : abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, stranger, balance, amount);
        bytes memory data =
            byAllowance ? abi.encodeCall(token.burnFrom, (stranger, amount)) : abi.encodeCall(token.burn, (amount));
        _expect(refusal, byAllowance ? user : stranger, address(token), data, "burning");
        uint256 burnt = amount <= balance ? amount : 0;
        vm.assertEq(token.balanceOf(stranger), balance - burnt, "the burner");
        vm.assertEq(token.totalSupply(), SUPPLY - burnt, "supply");
        vm.assertEq(token.balanceOf(address(this)), SUPPLY - balance, "somebody else");
    }

    /// @notice No call of any caller makes the supply grow.
    function testFuzz_NobodyMints(address caller, bytes4 selector, address a, address b, uint256 amount, uint256 choice)
        external
    {
        token.transfer(stranger, bound(amount, 0, SUPPLY));
        bytes4[8] memory known = [
            token.transfer.selector,
            token.transferFrom.selector,
            token.approve.selector,
            token.burn.selector,
            token.burnFrom.selector,
            bytes4(keccak256("mint(address,uint256)")),
            bytes4(keccak256("mint(uint256)")),
            selector
        ];
        if (choice % 3 == 0) caller = stranger;
        bytes4 name = known[choice % 8];
        bytes memory data = abi.encodeWithSelector(name, a, amount, amount);
        if (name == token.transferFrom.selector) data = abi.encodeWithSelector(name, a, b, amount);
        if (name == token.burn.selector) data = abi.encodeWithSelector(name, amount);
        vm.prank(caller);
        (bool success,) = address(token).call(data);
        vm.assertLe(token.totalSupply(), SUPPLY, "supply");
        bool burns = success && (name == token.burn.selector || name == token.burnFrom.selector);
        if (!burns) vm.assertEq(token.totalSupply(), SUPPLY, "supply stays");
    }

    /// @notice A valid permit sets the allowance it names, once.
    function testFuzz_APermitSetsItsAllowanceOnce(address spender, uint256 value, uint256 deadline) external {
        vm.assume(spender != address(0));
        deadline = bound(deadline, START, type(uint256).max);
        address owner = vm.addr(KEY);
        (uint8 v, bytes32 r, bytes32 s) = _sign(Permit(KEY, owner, spender, value, 0, deadline));
        token.permit(owner, spender, value, deadline, v, r, s);
        vm.assertEq(token.allowance(owner, spender), value, "allowance");
        vm.assertEq(token.nonces(owner), 1, "nonce");
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        token.permit(owner, spender, value, deadline, v, r, s);
        vm.assertEq(token.allowance(owner, spender), value, "as before");
    }

    /// @notice A permit of which any one field is wrong, or whose signature has a wrong bit, sets no allowance.
    function testFuzz_AWrongPermitSetsNothing(uint256 value, uint256 choice, uint256 noise) external {
        choice = bound(choice, 0, 8);
        address owner = vm.addr(KEY);
        (uint8 v, bytes32 r, bytes32 s) = _sign(_spoil(Permit(KEY, owner, stranger, value, 0, START), choice, noise));
        if (choice == 6) v = uint8(bound(noise, 0, 255)) == v ? v ^ 7 : uint8(bound(noise, 0, 255));
        if (choice == 7) r ^= bytes32(bound(noise, 1, type(uint256).max));
        if (choice == 8) s ^= bytes32(bound(noise, 1, type(uint256).max));
        vm.prank(user);
        (bool success,) = address(token).call(abi.encodeCall(token.permit, (owner, stranger, value, START, v, r, s)));
        vm.assertFalse(success, "refused");
        vm.assertEq(token.allowance(owner, stranger), 0, "allowance");
        vm.assertEq(token.nonces(owner), 0, "nonce");
    }

    /// @notice A permit counts until its deadline, that second included, and not later.
    function testFuzz_APermitEndsAfterItsDeadline(uint256 deadline, uint256 value) external {
        deadline = deadline % 2 == 0 ? START - deadline / 2 % 2 : bound(deadline, 0, 2 * START);
        address owner = vm.addr(KEY);
        (uint8 v, bytes32 r, bytes32 s) = _sign(Permit(KEY, owner, stranger, value, 0, deadline));
        bytes memory refusal = deadline >= START
            ? bytes("")
            : abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, deadline);
        bytes memory data = abi.encodeCall(token.permit, (owner, stranger, value, deadline, v, r, s));
        _expect(refusal, user, address(token), data, "permit");
        vm.assertEq(token.allowance(owner, stranger), deadline >= START ? value : 0, "allowance");
    }
}
