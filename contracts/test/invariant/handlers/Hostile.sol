// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ICXPTVault} from "../../../src/interfaces/ICXPTVault.sol";
import {IUsageEscrow} from "../../../src/interfaces/IUsageEscrow.sol";
import {Books} from "../Books.sol";
import {Player} from "./Player.sol";

/// @title Outsiders, and people with another role, who try everything
contract Hostile is Player {
    constructor(Books books_) Player(books_, "hostile") {}

    function tryEverything(uint256 seed) external {
        _callVault(seed);
        _callOwners(seed);
        _callEscrow(seed);
        _takeTokens(seed);
    }

    /// @notice Every privileged function of the Vault, by somebody without a role or with the wrong one.
    function _callVault(uint256 seed) private {
        address[] memory staff = books.staff();
        address caller = _outsider(seed);
        if (_roll(seed, "staff", 2) == 0) caller = staff[_roll(seed, "who", staff.length)];
        ICXPTVault.Role held = books.roleOf(caller);
        bytes memory refusal = abi.encodeWithSelector(ICXPTVault.WrongRole.selector, caller, held);
        (bytes[15] memory calls, ICXPTVault.Role[15] memory roles) = _vaultCalls(seed, caller);
        for (uint256 i = 0; i < calls.length; i++) {
            if (held == roles[i]) continue;
            bool resumes = i == 13 || i == 14;
            if (resumes && held == ICXPTVault.Role.Admin) continue;
            _do(caller, address(vault), calls[i], refusal, "a call without its role");
        }
    }

    function _callOwners(uint256 seed) private {
        address caller = _outsider(seed);
        bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, caller);
        address to = address(subscriptions);
        _do(caller, to, abi.encodeCall(subscriptions.addPlan, (1, 1)), refusal, "addPlan");
        _do(caller, to, abi.encodeCall(subscriptions.setPrice, (0, 1)), refusal, "setPrice");
        _do(caller, to, abi.encodeCall(subscriptions.transferOwnership, (caller)), refusal, "transferOwnership");
        _do(caller, to, abi.encodeCall(subscriptions.acceptOwnership, ()), refusal, "acceptOwnership");
        to = address(escrow);
        _do(caller, to, abi.encodeCall(escrow.setSettler, (caller)), refusal, "setSettler");
        _do(caller, to, abi.encodeCall(escrow.renounceOwnership, ()), refusal, "renounceOwnership");
    }

    function _callEscrow(uint256 seed) private {
        address caller = _outsider(seed);
        uint256 amount = 1 + _roll(seed, "amount", 1_000 * CXPT);
        (address[] memory accounts, uint256[] memory amounts) = (books.customers(), new uint256[](4));
        amounts[0] = amount;
        bytes memory refusal = abi.encodeWithSelector(IUsageEscrow.NotSettler.selector, caller);
        _do(caller, address(escrow), abi.encodeCall(escrow.settle, (0, accounts, amounts)), refusal, "settle");
        refusal = _error(IUsageEscrow.AmountTooLarge.selector, 0, amount);
        bytes memory data = abi.encodeCall(escrow.requestWithdrawal, (uint96(amount)));
        _do(caller, address(escrow), data, refusal, "requestWithdrawal");
        refusal = abi.encodeWithSelector(IUsageEscrow.NoWithdrawalRequested.selector, caller);
        _do(caller, address(escrow), abi.encodeCall(escrow.withdraw, ()), refusal, "withdraw");
    }

    /// @notice A claim for itself with a made-up proof, on any epoch.
    function claimGarbage(uint256 seed, uint256 amount, bytes32[] memory proof) external {
        address caller = _outsider(seed);
        uint256 epoch = books.firstEpoch() + _roll(seed, "epoch", books.liveCount() + 2) - 1;
        uint8 pool = uint8(_roll(seed, "pool", 5));
        uint256 live = books.liveAt(epoch);
        bytes memory refusal;
        if (block.timestamp < books.claimsPausedUntil()) {
            refusal = _error(ICXPTVault.ClaimsArePaused.selector, books.claimsPausedUntil());
        } else if (live == NONE || !books.isActivated(live) || books.publication(live).retired) {
            refusal = _error(ICXPTVault.RootNotActive.selector, epoch);
        } else if (pool != PROVIDER && pool != USER) {
            refusal = _error(ICXPTVault.InvalidPool.selector, pool);
        } else {
            refusal = abi.encodeWithSelector(ICXPTVault.InvalidProof.selector, pool, caller, amount);
        }
        bytes memory data = abi.encodeCall(vault.claim, (epoch, pool, caller, amount, proof));
        _do(caller, address(vault), data, refusal, "claim");
    }

    /// @notice Money that others allowed the contracts to pull, and the contracts' own.
    function _takeTokens(uint256 seed) private {
        address caller = _outsider(seed);
        uint256 amount = 1 + _roll(seed, "amount", 1_000 * CXPT);
        address[4] memory owners = [address(vault), address(escrow), address(subscriptions), _customer(seed)];
        bytes memory refusal = _allowanceRefusal(caller, amount);
        for (uint256 i = 0; i < owners.length; i++) {
            bytes memory data = abi.encodeCall(token.transferFrom, (owners[i], caller, amount));
            _do(caller, address(token), data, refusal, "transferFrom");
        }
        refusal = _allowanceRefusal(address(vault), amount);
        _do(caller, address(vault), abi.encodeCall(vault.depositFees, (amount)), refusal, "depositFees");
        _do(caller, address(vault), abi.encodeCall(vault.fundPool, (USER, amount)), refusal, "fundPool");
        refusal = _allowanceRefusal(address(escrow), amount);
        _do(caller, address(escrow), abi.encodeCall(escrow.deposit, (amount)), refusal, "deposit");
    }

    // ---------------------------------------------------------------- inside

    function _allowanceRefusal(address spender, uint256 amount) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, spender, 0, amount);
    }

    function _vaultCalls(uint256 seed, address caller)
        private
        view
        returns (bytes[15] memory calls, ICXPTVault.Role[15] memory roles)
    {
        uint256 epoch = books.nextEpoch() - _roll(seed, "epoch", 3);
        uint256 revocations = books.revocations();
        bytes32 root = keccak256(abi.encode(seed));
        calls[0] = abi.encodeCall(vault.publishRoot, (books.nextEpoch(), root, seed, seed, root, revocations));
        calls[1] = abi.encodeCall(vault.attestRoot, (epoch, root));
        calls[2] = abi.encodeCall(vault.revokeRoot, (epoch, "mine"));
        calls[3] = abi.encodeCall(vault.pauseClaims, ());
        calls[4] = abi.encodeCall(vault.pausePublishing, ());
        calls[5] = abi.encodeCall(vault.withdrawProtocol, (caller, seed));
        calls[6] = abi.encodeCall(vault.retireRoot, (epoch));
        calls[7] = abi.encodeCall(vault.rescue, (IERC20(token), caller, seed));
        calls[8] = abi.encodeCall(vault.setRole, (caller, ICXPTVault.Role.Admin));
        calls[9] = abi.encodeCall(vault.setSplit, (0, 0, 10_000));
        calls[10] = abi.encodeCall(vault.setActivationDelay, (1 hours));
        calls[11] = abi.encodeCall(vault.setMaxEpochAmount, (PROVIDER, type(uint96).max));
        calls[12] = abi.encodeCall(vault.setAttestersRequired, (1));
        calls[13] = abi.encodeCall(vault.resumeClaims, ());
        calls[14] = abi.encodeCall(vault.resumePublishing, ());
        roles[0] = ICXPTVault.Role.Publisher;
        roles[1] = ICXPTVault.Role.Attester;
        (roles[2], roles[3], roles[4]) = (ICXPTVault.Role.Guardian, ICXPTVault.Role.Guardian, ICXPTVault.Role.Guardian);
        roles[5] = ICXPTVault.Role.Treasurer;
        for (uint256 i = 6; i <= 12; i++) {
            roles[i] = ICXPTVault.Role.Admin;
        }
        (roles[13], roles[14]) = (ICXPTVault.Role.Guardian, ICXPTVault.Role.Guardian);
    }
}
