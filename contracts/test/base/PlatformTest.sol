// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {CXPTToken} from "../../src/CXPTToken.sol";
import {CXPTVault} from "../../src/CXPTVault.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ISubscriptionManager} from "../../src/interfaces/ISubscriptionManager.sol";
import {SubscriptionManager} from "../../src/SubscriptionManager.sol";
import {UsageEscrow} from "../../src/UsageEscrow.sol";
import {VaultTest} from "./VaultTest.sol";

/// @notice All four contracts. A timelock of seven days is admin of the Vault and owner of the others: one proposer, one
/// canceller that is neither proposer nor guardian, anybody executes, the deployer has renounced. Two plans are sold:
/// 10 CXPT for 30 days and 100 CXPT for a year. The customer holds 10,000 CXPT and allows both contracts to pull them.
abstract contract PlatformTest is VaultTest {
    uint256 internal constant WEEK = 7 days;
    uint256 internal constant MONTHLY = 0;
    uint256 internal constant YEARLY = 1;
    uint96 internal constant MONTHLY_PRICE = uint96(10 * CXPT);
    uint96 internal constant YEARLY_PRICE = uint96(100 * CXPT);
    uint32 internal constant MONTH = 30 days;
    uint32 internal constant YEAR = 365 days;
    uint256 internal constant CUSTOMER_KEY = 0xC0570;
    uint256 internal constant GUEST_KEY = 0x60E57;
    bytes32 internal constant BATCH = keccak256("batch");
    uint256 internal constant TOP = type(uint96).max;

    address internal immutable proposer = _person("proposer");
    address internal immutable canceller = _person("canceller");
    address internal immutable settler = _person("settler");
    /// @dev A customer with CXPT and allowances, and a guest with CXPT and none.
    address internal immutable customer = vm.addr(CUSTOMER_KEY);
    address internal immutable guest = vm.addr(GUEST_KEY);

    TimelockController internal timelock;
    SubscriptionManager internal subscriptions;
    UsageEscrow internal escrow;

    function setUp() public virtual override {
        vm.warp(START);
        vm.label(customer, "customer");
        vm.label(guest, "guest");
        timelock = _newTimelock();
        _build(address(new CXPTToken()));
        _fund(payer, 1_000_000 * CXPT);
        _fund(customer, 10_000 * CXPT);
        token.transfer(guest, 10_000 * CXPT);
        _deposit(2_000 * CXPT);
    }

    // ---------------------------------------------------------------- deploying

    function _newTimelock() internal returns (TimelockController made) {
        // By its artifact: its code is large, and every test that stands on this would carry it.
        bytes memory arguments = abi.encode(WEEK, _list(proposer), _list(address(0)), address(this));
        made = TimelockController(payable(vm.deployCode("TimelockController.sol:TimelockController", arguments)));
        made.grantRole(made.CANCELLER_ROLE(), canceller);
        // The constructor lets every proposer cancel; one whose key was stolen could cancel its own removal.
        made.revokeRole(made.CANCELLER_ROLE(), proposer);
        made.renounceRole(made.DEFAULT_ADMIN_ROLE(), address(this));
    }

    /// @notice Vault, subscriptions and escrow anew, on any token; nobody holds or allows anything yet.
    function _build(address onToken) internal {
        token = CXPTToken(onToken);
        vault = new CXPTVault(_platformConfig());
        subscriptions = new SubscriptionManager(vault, address(timelock), _plans());
        escrow = new UsageEscrow(vault, address(timelock), settler);
    }

    function _platformConfig() internal view returns (ICXPTVault.Config memory config) {
        config = _config(IERC20(address(token)));
        config.admin = address(timelock);
    }

    function _plans() internal pure returns (ISubscriptionManager.Plan[] memory list) {
        list = new ISubscriptionManager.Plan[](2);
        list[0] = ISubscriptionManager.Plan(MONTHLY_PRICE, MONTH);
        list[1] = ISubscriptionManager.Plan(YEARLY_PRICE, YEAR);
    }

    /// @notice Gives `account` tokens, and every contract an allowance of them without bound.
    function _fund(address account, uint256 amount) internal {
        token.transfer(account, amount);
        vm.startPrank(account);
        token.approve(address(vault), type(uint256).max);
        token.approve(address(subscriptions), type(uint256).max);
        token.approve(address(escrow), type(uint256).max);
        vm.stopPrank();
    }

    // ---------------------------------------------------------------- administration

    /// @notice The next call is the owner's, without the seven days.
    function _asOwner() internal {
        vm.prank(address(timelock));
    }

    function _schedule(address target, bytes memory data) internal returns (bytes32 operation) {
        vm.prank(proposer);
        timelock.schedule(target, 0, data, 0, 0, WEEK);
        return timelock.hashOperation(target, 0, data, 0, 0);
    }

    /// @notice Anybody executes.
    function _execute(address target, bytes memory data) internal {
        vm.prank(stranger);
        timelock.execute(target, 0, data, 0, 0);
    }

    /// @notice The whole way: proposed, seven days, executed.
    function _administer(address target, bytes memory data) internal {
        _schedule(target, data);
        vm.warp(block.timestamp + WEEK);
        _execute(target, data);
    }

    function _setRole(address account, ICXPTVault.Role role) internal pure returns (bytes memory) {
        return abi.encodeCall(ICXPTVault.setRole, (account, role));
    }

    // ---------------------------------------------------------------- what people do

    function _top(address account, uint256 amount) internal {
        vm.prank(account);
        escrow.deposit(amount);
    }

    function _limit(address account, uint256 amount) internal {
        vm.prank(account);
        escrow.setDailyLimit(uint96(amount));
    }

    function _settle(bytes32 batchId, address account, uint256 asked) internal returns (uint256 charged) {
        vm.prank(settler);
        return escrow.settle(batchId, _list(account), _amounts(asked));
    }

    function _subscribe(address account, uint256 plan, uint256 periods) internal {
        vm.prank(account);
        subscriptions.subscribe(plan, periods, type(uint256).max);
    }

    function _permit(uint256 key, address spender, uint256 amount, uint256 deadline)
        internal
        view
        returns (uint8 v, bytes32 r, bytes32 s)
    {
        address holder = vm.addr(key);
        bytes32 content = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                holder,
                spender,
                amount,
                token.nonces(holder),
                deadline
            )
        );
        return vm.sign(key, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), content)));
    }

    // ---------------------------------------------------------------- what is checked

    function _assertPools(uint256 protocol, uint256 provider_, uint256 user_) internal view {
        ICXPTVault.RewardPool memory pools = vault.pools();
        vm.assertEq(pools.protocolAmount, protocol, "protocol pool");
        vm.assertEq(pools.providerAmount, provider_, "provider pool");
        vm.assertEq(pools.userAmount, user_, "user pool");
    }

    /// @notice What passes fees on keeps no money and leaves no allowance.
    function _assertPassedOn(address feePayer, uint256 kept) internal view {
        vm.assertEq(token.balanceOf(feePayer), kept, "what the fee payer holds");
        vm.assertEq(token.allowance(feePayer, address(vault)), 0, "allowance to the Vault");
    }

    function _assertSubscription(address account, uint256 amount, uint256 start, uint256 end, bool active)
        internal
        view
    {
        ISubscriptionManager.Subscription memory found = subscriptions.subscriptions(account);
        vm.assertEq(found.amount, amount, "amount");
        vm.assertEq(found.startTime, start, "startTime");
        vm.assertEq(found.endTime, end, "endTime");
        vm.assertEq(found.isActive, active, "isActive");
    }

    function _assertBalance(address account, uint256 balance) internal view {
        vm.assertEq(escrow.balanceOf(account), balance, "balance in escrow");
    }

    function _assertRequest(address account, uint256 amount, uint256 availableAt) internal view {
        (uint256 requested, uint256 due) = escrow.withdrawalOf(account);
        vm.assertEq(requested, amount, "requested");
        vm.assertEq(due, availableAt, "availableAt");
    }

    // ---------------------------------------------------------------- what things are

    function _amounts(uint256 a) internal pure returns (uint256[] memory list) {
        list = new uint256[](1);
        list[0] = a;
    }

    function _amounts(uint256 a, uint256 b) internal pure returns (uint256[] memory list) {
        list = new uint256[](2);
        (list[0], list[1]) = (a, b);
    }
}
