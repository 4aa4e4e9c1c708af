// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ICXPTVault} from "../../../src/interfaces/ICXPTVault.sol";
import {ISubscriptionManager} from "../../../src/interfaces/ISubscriptionManager.sol";
import {Books} from "../Books.sol";
import {Player} from "./Player.sol";

/// @title Who changes settings and roles; also the owner of SubscriptionManager and UsageEscrow
contract Admin is Player {
    address private immutable owner;

    constructor(Books books_) Player(books_, "admin") {
        owner = subscriptions.owner();
    }

    function changeSettings(uint256 seed, uint96 amount) external {
        uint256 kind = _roll(seed, "setting", 4);
        if (kind == 0) _setSplit(seed);
        else if (kind == 1) _setActivationDelay(seed);
        else if (kind == 2) _setMaxEpochAmount(seed, amount);
        else _setAttestersRequired(seed);
    }

    function changeRoles(uint256 seed) external {
        uint256 kind = _roll(seed, "change", 5);
        if (kind == 0) _replace(seed);
        else if (kind == 1) _appointAttester(seed);
        else if (kind == 2) _dismissAttester(seed);
        else if (kind == 3) _promoteAndBack(seed);
        else _setRoleWrongly(seed);
    }

    function changeSales(uint256 seed) external {
        uint256 kind = _roll(seed, "change", 3);
        if (kind == 0) _addPlan(seed);
        else if (kind == 1) _setPrice(seed);
        else _setSettler(seed);
    }

    // ---------------------------------------------------------------- settings

    function _setSplit(uint256 seed) private {
        uint16 protocol = uint16(_roll(seed, "protocol", 5_200));
        uint16 provider = uint16(_roll(seed, "provider", 10_001 - protocol));
        uint16 user = 10_000 - protocol - provider;
        if (_roll(seed, "wrong", 3) == 0) user += 1;
        bytes memory refusal;
        if (protocol > 5_000 || protocol + provider + user != 10_000) {
            refusal = _error(ICXPTVault.InvalidSplit.selector, protocol, provider, user);
        }
        if (_admin(abi.encodeCall(vault.setSplit, (protocol, provider, user)), refusal, "setSplit")) {
            books.setSplit(protocol, provider, user);
        }
    }

    function _setActivationDelay(uint256 seed) private {
        uint32 delay = uint32(bound(seed, 58 minutes, 20 hours + 2 minutes));
        bytes memory refusal =
            delay < 1 hours || delay > 20 hours ? _error(ICXPTVault.InvalidActivationDelay.selector, delay) : bytes("");
        if (_admin(abi.encodeCall(vault.setActivationDelay, (delay)), refusal, "setActivationDelay")) {
            books.setActivationDelay(delay);
        }
    }

    function _setMaxEpochAmount(uint256 seed, uint96 amount) private {
        uint8 pool = uint8(1 + _roll(seed, "pool", 10) % 3);
        amount = uint96(bound(amount, 0, 3_000 * CXPT));
        bytes memory refusal = pool == 3 ? _error(ICXPTVault.InvalidPool.selector, pool) : bytes("");
        if (_admin(abi.encodeCall(vault.setMaxEpochAmount, (pool, amount)), refusal, "setMaxEpochAmount")) {
            books.setMaxEpochAmount(pool, amount);
        }
    }

    function _setAttestersRequired(uint256 seed) private {
        uint8 number = uint8(_roll(seed, "number", 1 + books.holders(ICXPTVault.Role.Attester).length));
        bytes memory refusal = number == 0 ? _error(ICXPTVault.InvalidAttestersRequired.selector, 0) : bytes("");
        if (_admin(abi.encodeCall(vault.setAttestersRequired, (number)), refusal, "setAttestersRequired")) {
            books.setAttestersRequired(number);
        }
    }

    // ---------------------------------------------------------------- roots and money

    function retire(uint256 seed) external {
        if (books.liveCount() == 0) return _idle();
        uint256 index = books.live(_roll(seed, "root", books.liveCount()));
        uint256 epoch = books.publication(index).epoch;
        bytes memory refusal;
        if (!books.isActivated(index) || books.publication(index).retired) {
            refusal = _error(ICXPTVault.RootNotActive.selector, epoch);
        } else if (index == books.newestActive()) {
            refusal = _error(ICXPTVault.RootStillNewest.selector, epoch);
        }
        // Seldom: a retired root is a root less to claim from.
        if (refusal.length == 0 && _roll(seed, "seldom", 3) != 0) return _idle();
        if (_admin(abi.encodeCall(vault.retireRoot, (epoch)), refusal, "retireRoot")) books.retire(epoch);
    }

    function rescue(uint256 seed, uint256 amount) external {
        if (_roll(seed, "other", 4) == 0) return _rescueOther(seed, amount);
        uint256 stray = books.stray();
        amount = bound(amount, 0, stray + stray / 8);
        address to = _target(seed);
        bytes memory refusal = amount > stray ? _error(ICXPTVault.AmountTooLarge.selector, stray, amount) : bytes("");
        if (_admin(abi.encodeCall(vault.rescue, (IERC20(token), to, amount)), refusal, "rescue")) {
            books.rescue(to, amount);
        }
    }

    function _rescueOther(uint256 seed, uint256 amount) private {
        amount = bound(amount, 0, books.strayOther());
        address to = _target(seed);
        if (_admin(abi.encodeCall(vault.rescue, (IERC20(books.other()), to, amount)), "", "rescue of another token")) {
            books.rescueOther(to, amount);
        }
    }

    // ---------------------------------------------------------------- roles

    /// @notice A newcomer takes over somebody's role; the admin's too.
    function _replace(uint256 seed) private {
        ICXPTVault.Role role = ICXPTVault.Role(1 + _roll(seed, "role", 5));
        address old = _holder(role, seed);
        address spare = _spare(seed);
        if (spare == address(0) || role == ICXPTVault.Role.Attester) return _idle();
        _giveRole(_current(), spare, role);
        _giveRole(role == ICXPTVault.Role.Admin ? spare : _current(), old, ICXPTVault.Role.None);
    }

    function _appointAttester(uint256 seed) private {
        address spare = _spare(seed);
        if (spare == address(0)) return _idle();
        _giveRole(_current(), spare, ICXPTVault.Role.Attester);
    }

    /// @notice Never so many that a root waits for ever.
    function _dismissAttester(uint256 seed) private {
        uint256 pending = books.pending();
        uint256 needed = books.attestersRequired() + (pending == NONE ? 0 : books.publication(pending).missing) + 1;
        if (books.holders(ICXPTVault.Role.Attester).length <= needed) return _idle();
        _giveRole(_current(), _holder(ICXPTVault.Role.Attester, seed), ICXPTVault.Role.None);
    }

    /// @notice An attester is a guardian for a moment: it cannot attest then.
    function _promoteAndBack(uint256 seed) private {
        address attester = _holder(ICXPTVault.Role.Attester, seed);
        _giveRole(_current(), attester, ICXPTVault.Role.Guardian);
        bytes memory refusal = abi.encodeWithSelector(ICXPTVault.WrongRole.selector, attester, ICXPTVault.Role.Guardian);
        bytes memory data = abi.encodeCall(vault.attestRoot, (books.nextEpoch(), 0));
        _do(attester, address(vault), data, refusal, "attestRoot by a guardian");
        _giveRole(_current(), attester, ICXPTVault.Role.Attester);
    }

    /// @notice Nobody takes a role from itself, nobody gives one to the zero address.
    function _setRoleWrongly(uint256 seed) private wrongly {
        address account = _roll(seed, "who", 2) == 0 ? address(0) : _current();
        bytes memory refusal =
            abi.encodeWithSelector(ICXPTVault.RoleNotChangeable.selector, account, books.roleOf(account));
        _admin(abi.encodeCall(vault.setRole, (account, ICXPTVault.Role.None)), refusal, "setRole");
    }

    // ---------------------------------------------------------------- the owner of the two others

    function _addPlan(uint256 seed) private {
        uint96 price = uint96(_roll(seed, "price", 80 * CXPT));
        uint32 period = uint32(_roll(seed, "period", 40 days));
        if (_roll(seed, "free", 8) == 0) price = 0;
        if (price != 0 && books.planCount() >= 6) return _idle();
        bytes memory refusal =
            price == 0 || period == 0 ? _error(ISubscriptionManager.InvalidPlan.selector, price, period) : bytes("");
        bytes memory data = abi.encodeCall(subscriptions.addPlan, (price, period));
        (bool added,) = _do(owner, address(subscriptions), data, refusal, "addPlan");
        if (added) books.addPlan(price, period);
    }

    function _setPrice(uint256 seed) private {
        uint256 plan = _roll(seed, "plan", books.planCount() + 1);
        uint96 price = uint96(_roll(seed, "price", 80 * CXPT));
        if (_roll(seed, "stop", 10) == 0) price = 0;
        bytes memory refusal =
            plan >= books.planCount() ? _error(ISubscriptionManager.PlanNotSold.selector, plan) : bytes("");
        bytes memory data = abi.encodeCall(subscriptions.setPrice, (plan, price));
        (bool set,) = _do(owner, address(subscriptions), data, refusal, "setPrice");
        if (set) books.setPrice(plan, price);
    }

    function _setSettler(uint256 seed) private {
        address settler = address(uint160(0x5e77001 + _roll(seed, "settler", 2)));
        _do(owner, address(escrow), abi.encodeCall(escrow.setSettler, (settler)), "", "setSettler");
        books.setSettler(settler);
    }

    // ---------------------------------------------------------------- inside

    function _admin(bytes memory data, bytes memory refusal, string memory label) private returns (bool succeeded) {
        (succeeded,) = _do(_current(), address(vault), data, refusal, label);
    }

    function _giveRole(address by, address account, ICXPTVault.Role role) private {
        _do(by, address(vault), abi.encodeCall(vault.setRole, (account, role)), "", "setRole");
        books.setRole(account, role);
    }

    function _current() private view returns (address) {
        return books.holders(ICXPTVault.Role.Admin)[0];
    }

    function _spare(uint256 seed) private view returns (address) {
        address[] memory spares = books.holders(ICXPTVault.Role.None);
        return spares.length == 0 ? address(0) : spares[_roll(seed, "spare", spares.length)];
    }

    function _target(uint256 seed) private view returns (address) {
        return _roll(seed, "self", 10) == 0 ? address(vault) : address(0x4e5c0e);
    }
}
