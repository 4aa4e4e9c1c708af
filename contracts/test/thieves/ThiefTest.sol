// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ISubscriptionManager} from "../../src/interfaces/ISubscriptionManager.sol";
import {IUsageEscrow} from "../../src/interfaces/IUsageEscrow.sol";
import {ClaimTree} from "../base/ClaimTree.sol";
import {PlatformTest} from "../base/PlatformTest.sol";

/// @notice What a thief finds: 2,100 CXPT in the Vault, of which an active root promises 600 to the provider and 300 to
/// the user, nothing claimed yet; 840 are the protocol's. A customer with a year paid for, and 1,000 CXPT in escrow of
/// which 100 may be charged in a day.
abstract contract ThiefTest is PlatformTest {
    using ClaimTree for ClaimTree.Leaf[];
    using ClaimTree for bytes32[];

    /// @dev A call that needs a key or somebody else's money, and how it is refused to who has neither.
    struct Call {
        string name;
        address target;
        bytes data;
        bytes refusal;
    }

    uint256 internal constant PROMISED_PROVIDER = 600 * CXPT;
    uint256 internal constant PROMISED_USER = 300 * CXPT;
    uint256 internal constant NEXT = 6;

    address internal immutable replacement = _person("replacement");
    address internal immutable accomplice = _person("accomplice");

    Call[] private _calls;

    function setUp() public virtual override {
        super.setUp();
        _subscribe(customer, YEARLY, 1);
        _top(customer, 1_000 * CXPT);
        _limit(customer, 100 * CXPT);
        _activate(FIRST, _honestTree()[0], PROMISED_PROVIDER, PROMISED_USER);
    }

    // ---------------------------------------------------------------- what is tried

    /// @notice `thief` is refused every call that needs a key or takes from somebody, but for those of `allowed`.
    function _assertRefusedAllBut(address thief, bytes4[] memory allowed) internal {
        _listCalls(thief);
        uint256 skipped = 0;
        for (uint256 i = 0; i < _calls.length; i++) {
            Call memory tried = _calls[i];
            if (_isIn(bytes4(tried.data), allowed)) {
                skipped++;
                continue;
            }
            vm.prank(thief);
            (bool done, bytes memory answer) = tried.target.call(tried.data);
            vm.assertFalse(done, string.concat(tried.name, " is refused"));
            vm.assertEq(keccak256(answer), keccak256(tried.refusal), string.concat("why ", tried.name, " is refused"));
        }
        vm.assertEq(skipped, allowed.length, "every call allowed is in the list");
        delete _calls;
        _assertClaimsNothing(thief);
    }

    /// @dev A batch of claims does not revert for a bad item; it pays nothing.
    function _assertClaimsNothing(address thief) private {
        ClaimTree.Leaf memory leaf = _honestLeaves()[0];
        ICXPTVault.ClaimItem[] memory items = new ICXPTVault.ClaimItem[](1);
        items[0] = ICXPTVault.ClaimItem(PROVIDER, thief, leaf.amount, _honestTree().prove(leaf));
        vm.prank(thief);
        vm.assertEq(vault.claimMany(FIRST, items), 0, "a batch pays what is promised to another");
        vm.assertEq(token.balanceOf(thief), 0, "the thief's CXPT");
    }

    function _listCalls(address thief) private {
        _listVaultCalls(thief);
        _listOwnerCalls(thief, address(escrow));
        _listOwnerCalls(thief, address(subscriptions));
        _listTimelockCalls(thief);
        _listCustomerCalls(thief);
    }

    function _listVaultCalls(address thief) private {
        bytes memory refusal = abi.encodeWithSelector(ICXPTVault.WrongRole.selector, thief, vault.roleOf(thief));
        address target = address(vault);
        _add("publishRoot", target, _publishCall(NEXT, bytes32("root"), PROMISED_PROVIDER, PROMISED_USER, 0), refusal);
        _add("attestRoot", target, abi.encodeCall(ICXPTVault.attestRoot, (NEXT, bytes32(0))), refusal);
        _add("revokeRoot", target, abi.encodeCall(ICXPTVault.revokeRoot, (FIRST, "")), refusal);
        _add("retireRoot", target, abi.encodeCall(ICXPTVault.retireRoot, (FIRST)), refusal);
        _add("withdrawProtocol", target, abi.encodeCall(ICXPTVault.withdrawProtocol, (thief, 1)), refusal);
        _add("pauseClaims", target, abi.encodeCall(ICXPTVault.pauseClaims, ()), refusal);
        _add("resumeClaims", target, abi.encodeCall(ICXPTVault.resumeClaims, ()), refusal);
        _add("pausePublishing", target, abi.encodeCall(ICXPTVault.pausePublishing, ()), refusal);
        _add("resumePublishing", target, abi.encodeCall(ICXPTVault.resumePublishing, ()), refusal);
        _add("setSplit", target, abi.encodeCall(ICXPTVault.setSplit, (5_000, 5_000, 0)), refusal);
        _add("setActivationDelay", target, abi.encodeCall(ICXPTVault.setActivationDelay, (1 hours)), refusal);
        _add("setMaxEpochAmount", target, abi.encodeCall(ICXPTVault.setMaxEpochAmount, (USER, 1)), refusal);
        _add("setAttestersRequired", target, abi.encodeCall(ICXPTVault.setAttestersRequired, (1)), refusal);
        _add("setRole", target, _setRole(accomplice, ICXPTVault.Role.Publisher), refusal);
        _add("rescue", target, abi.encodeCall(ICXPTVault.rescue, (IERC20(address(token)), thief, 1)), refusal);
    }

    function _listOwnerCalls(address thief, address target) private {
        bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, thief);
        _add("transferOwnership", target, abi.encodeCall(Ownable.transferOwnership, (thief)), refusal);
        _add("acceptOwnership", target, abi.encodeCall(Ownable2Step.acceptOwnership, ()), refusal);
        _add("renounceOwnership", target, abi.encodeCall(Ownable.renounceOwnership, ()), refusal);
        if (target == address(escrow)) {
            _add("setSettler", target, abi.encodeCall(IUsageEscrow.setSettler, (thief)), refusal);
            bytes memory call = abi.encodeCall(IUsageEscrow.settle, (BATCH, _list(customer), _amounts(1)));
            _add("settle", target, call, abi.encodeWithSelector(IUsageEscrow.NotSettler.selector, thief));
        } else {
            _add("addPlan", target, abi.encodeCall(ISubscriptionManager.addPlan, (1, 1)), refusal);
            _add("setPrice", target, abi.encodeCall(ISubscriptionManager.setPrice, (MONTHLY, 1)), refusal);
        }
    }

    function _listTimelockCalls(address thief) private {
        address target = address(timelock);
        bytes memory call = _setRole(thief, ICXPTVault.Role.Admin);
        bytes32 role = timelock.PROPOSER_ROLE();
        bytes memory notProposer = _missing(thief, role);
        bytes memory data = abi.encodeCall(TimelockController.schedule, (address(vault), 0, call, 0, 0, WEEK));
        _add("schedule", target, data, notProposer);
        data = abi.encodeCall(
            TimelockController.scheduleBatch,
            (_list(address(vault)), new uint256[](1), new bytes[](1), bytes32(0), bytes32(0), WEEK)
        );
        _add("scheduleBatch", target, data, notProposer);
        bytes32 operation = timelock.hashOperation(address(vault), 0, call, 0, 0);
        bytes memory notCanceller = _missing(thief, timelock.CANCELLER_ROLE());
        _add("cancel", target, abi.encodeCall(TimelockController.cancel, (operation)), notCanceller);
        data = abi.encodeCall(TimelockController.execute, (address(vault), 0, call, 0, 0));
        _add("execute", target, data, _notReady(operation));
        address[] memory targets = _list(address(vault));
        bytes[] memory calls = new bytes[](1);
        calls[0] = call;
        operation = timelock.hashOperationBatch(targets, new uint256[](1), calls, 0, 0);
        data = abi.encodeCall(TimelockController.executeBatch, (targets, new uint256[](1), calls, 0, 0));
        _add("executeBatch", target, data, _notReady(operation));
        _add("grantRole", target, abi.encodeCall(IAccessControl.grantRole, (role, thief)), _missing(thief, 0));
        _add("revokeRole", target, abi.encodeCall(IAccessControl.revokeRole, (role, proposer)), _missing(thief, 0));
        data = abi.encodeCall(IAccessControl.renounceRole, (role, address(timelock)));
        _add("renounceRole", target, data, abi.encodeWithSelector(IAccessControl.AccessControlBadConfirmation.selector));
        _add(
            "updateDelay",
            target,
            abi.encodeCall(TimelockController.updateDelay, (0)),
            abi.encodeWithSelector(TimelockController.TimelockUnauthorizedCaller.selector, thief)
        );
    }

    /// @dev What anybody may call: it takes from the caller alone, and pays what is promised to whom it is promised.
    function _listCustomerCalls(address thief) private {
        address target = address(vault);
        _add("depositFees", target, abi.encodeCall(ICXPTVault.depositFees, (1)), _unpaid(target, 1));
        _add("fundPool", target, abi.encodeCall(ICXPTVault.fundPool, (USER, 1)), _unpaid(target, 1));
        (uint8 v, bytes32 r, bytes32 s) = _permit(CUSTOMER_KEY, target, 1, block.timestamp);
        bytes memory call = abi.encodeCall(ICXPTVault.depositFeesWithPermit, (1, block.timestamp, v, r, s));
        _add("depositFeesWithPermit", target, call, _unpaid(target, 1));
        bytes32[] memory proof = _honestTree().prove(_honestLeaves()[0]);
        _add(
            "claim",
            target,
            abi.encodeCall(ICXPTVault.claim, (FIRST, PROVIDER, thief, PROMISED_PROVIDER, proof)),
            abi.encodeWithSelector(ICXPTVault.InvalidProof.selector, PROVIDER, thief, PROMISED_PROVIDER)
        );
        target = address(escrow);
        _add("deposit", target, abi.encodeCall(IUsageEscrow.deposit, (1)), _unpaid(target, 1));
        (v, r, s) = _permit(CUSTOMER_KEY, target, 1, block.timestamp);
        call = abi.encodeCall(IUsageEscrow.depositWithPermit, (1, block.timestamp, v, r, s));
        _add("depositWithPermit", target, call, _unpaid(target, 1));
        _add(
            "requestWithdrawal",
            target,
            abi.encodeCall(IUsageEscrow.requestWithdrawal, (1)),
            abi.encodeWithSelector(IUsageEscrow.AmountTooLarge.selector, 0, 1)
        );
        _add(
            "withdraw",
            target,
            abi.encodeCall(IUsageEscrow.withdraw, ()),
            abi.encodeWithSelector(IUsageEscrow.NoWithdrawalRequested.selector, thief)
        );
        target = address(subscriptions);
        _add(
            "subscribe",
            target,
            abi.encodeCall(ISubscriptionManager.subscribe, (MONTHLY, 1, MONTHLY_PRICE)),
            _unpaid(target, MONTHLY_PRICE)
        );
        (v, r, s) = _permit(CUSTOMER_KEY, target, MONTHLY_PRICE, block.timestamp);
        call = abi.encodeCall(
            ISubscriptionManager.subscribeWithPermit, (MONTHLY, 1, MONTHLY_PRICE, block.timestamp, v, r, s)
        );
        _add("subscribeWithPermit", target, call, _unpaid(target, MONTHLY_PRICE));
        _add(
            "cancel a subscription",
            target,
            abi.encodeCall(ISubscriptionManager.cancel, ()),
            abi.encodeWithSelector(ISubscriptionManager.NotSubscribed.selector, thief)
        );
        target = address(token);
        _add("transferFrom", target, abi.encodeCall(IERC20.transferFrom, (customer, thief, 1)), _unpaid(thief, 1));
        _add("burnFrom", target, abi.encodeCall(ERC20Burnable.burnFrom, (customer, 1)), _unpaid(thief, 1));
    }

    // ---------------------------------------------------------------- what people get all the same

    /// @notice Both get all that the first root promises, whoever sends the claim.
    function _assertPromisesArePaid() internal {
        ClaimTree.Leaf[] memory leaves = _honestLeaves();
        bytes32[] memory nodes = leaves.build();
        uint256 before = token.balanceOf(provider);
        vm.assertEq(_claim(FIRST, nodes, leaves[0]), PROMISED_PROVIDER, "paid to the provider");
        vm.assertEq(_claim(FIRST, nodes, leaves[1]), PROMISED_USER, "paid to the user");
        vm.assertEq(token.balanceOf(provider) - before, PROMISED_PROVIDER, "the provider's CXPT");
        _assertSolvent();
    }

    /// @notice The customer gets all of its balance, a day after it asks.
    function _assertEscrowIsPaid(uint256 expected) internal {
        _assertBalance(customer, expected);
        uint256 before = token.balanceOf(customer);
        vm.prank(customer);
        escrow.requestWithdrawal(uint96(expected));
        vm.warp(block.timestamp + 1 days);
        vm.prank(customer);
        escrow.withdraw();
        vm.assertEq(token.balanceOf(customer) - before, expected, "withdrawn from escrow");
    }

    // ---------------------------------------------------------------- what is done about it

    function _scheduleBatch(address[] memory targets, bytes[] memory data) internal {
        vm.prank(proposer);
        timelock.scheduleBatch(targets, new uint256[](targets.length), data, 0, 0, WEEK);
    }

    function _executeBatch(address[] memory targets, bytes[] memory data) internal {
        vm.prank(stranger);
        timelock.executeBatch(targets, new uint256[](targets.length), data, 0, 0);
    }

    /// @notice `number` calls of the Vault.
    function _ofVault(uint256 number) internal view returns (address[] memory targets) {
        targets = new address[](number);
        for (uint256 i = 0; i < number; i++) {
            targets[i] = address(vault);
        }
    }

    /// @notice Takes a role from one and gives it to the replacement.
    function _replace(address old, ICXPTVault.Role role) internal view returns (bytes[] memory data) {
        data = new bytes[](2);
        data[0] = _setRole(old, ICXPTVault.Role.None);
        data[1] = _setRole(replacement, role);
    }

    // ---------------------------------------------------------------- what things are

    function _honestLeaves() internal view returns (ClaimTree.Leaf[] memory leaves) {
        leaves = new ClaimTree.Leaf[](2);
        leaves[0] = ClaimTree.Leaf(PROVIDER, provider, PROMISED_PROVIDER);
        leaves[1] = ClaimTree.Leaf(USER, user, PROMISED_USER);
    }

    function _honestTree() internal view returns (bytes32[] memory) {
        return _honestLeaves().build();
    }

    /// @notice A root that promises `account` these amounts and nobody anything else.
    function _treeFor(address account, uint256 providerAmount, uint256 userAmount)
        internal
        pure
        returns (ClaimTree.Leaf[] memory leaves)
    {
        leaves = new ClaimTree.Leaf[](2);
        leaves[0] = ClaimTree.Leaf(PROVIDER, account, providerAmount);
        leaves[1] = ClaimTree.Leaf(USER, account, userAmount);
    }

    function _publishCall(uint256 epoch, bytes32 root, uint256 providerTotal, uint256 userTotal, uint256 revocations)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(ICXPTVault.publishRoot, (epoch, root, providerTotal, userTotal, MANIFEST, revocations));
    }

    /// @notice The refusal of who had a role and has none now.
    function _noRole(address account) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ICXPTVault.WrongRole.selector, account, ICXPTVault.Role.None);
    }

    function _notReady(bytes32 operation) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(
            TimelockController.TimelockUnexpectedOperationState.selector,
            operation,
            bytes32(1 << uint8(TimelockController.OperationState.Ready))
        );
    }

    function _missing(address account, bytes32 role) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, account, role);
    }

    function _only(bytes4 a) internal pure returns (bytes4[] memory list) {
        list = new bytes4[](1);
        list[0] = a;
    }

    function _only(bytes4 a, bytes4 b) internal pure returns (bytes4[] memory list) {
        list = new bytes4[](2);
        (list[0], list[1]) = (a, b);
    }

    function _unpaid(address spender, uint256 amount) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, spender, 0, amount);
    }

    function _add(string memory name, address target, bytes memory data, bytes memory refusal) private {
        _calls.push(Call(name, target, data, refusal));
    }

    function _isIn(bytes4 selector, bytes4[] memory list) private pure returns (bool) {
        for (uint256 i = 0; i < list.length; i++) {
            if (list[i] == selector) return true;
        }
        return false;
    }
}
