// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICXPTVault} from "../../../src/interfaces/ICXPTVault.sol";
import {Intake} from "../../../src/libraries/Intake.sol";
import {Books} from "../Books.sol";
import {Payer} from "./Payer.sol";

/// @title Who brings money to the Vault: as fees, into a pool, or by mistake
contract Depositor is Payer {
    constructor(Books books_) Payer(books_, "depositor") {}

    function depositFees(uint256 seed, uint256 amount) external {
        address payer = _customer(seed);
        amount = bound(amount, 0, 4_000 * CXPT);
        (bool paid,) =
            _do(payer, address(vault), abi.encodeCall(vault.depositFees, (amount)), _zeroRefusal(amount), "depositFees");
        if (paid) books.payFees(payer, amount);
    }

    function depositFeesWithPermit(uint256 seed, uint256 amount) external {
        address payer = _customer(seed);
        amount = bound(amount, 1, 4_000 * CXPT);
        Permit memory permit = _signPermit(payer, address(vault), amount, _kind(seed));
        bytes memory data =
            abi.encodeCall(vault.depositFeesWithPermit, (amount, permit.deadline, permit.v, permit.r, permit.s));
        bytes memory refusal = _permitRefusal(address(vault), amount, _kind(seed));
        (bool paid,) = _do(payer, address(vault), data, refusal, "depositFeesWithPermit");
        if (paid) books.payFees(payer, amount);
        _approveAgain(payer, address(vault));
    }

    function fundPool(uint256 seed, uint256 amount) external {
        address payer = _customer(seed);
        amount = bound(amount, 0, 2_000 * CXPT);
        uint8 pool = uint8(_roll(seed, "pool", 12));
        if (pool > 3) pool = pool % 2 + 1;
        bytes memory refusal = pool == PROVIDER || pool == USER
            ? _zeroRefusal(amount)
            : abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, pool);
        bytes memory data = abi.encodeCall(vault.fundPool, (pool, amount));
        (bool paid,) = _do(payer, address(vault), data, refusal, "fundPool");
        if (paid) books.fundPool(payer, pool, amount);
    }

    function transferByMistake(uint256 seed, uint256 amount) external {
        address payer = _customer(seed);
        address to = _roll(seed, "to", 2) == 0 ? address(vault) : address(escrow);
        amount = bound(amount, 0, 500 * CXPT);
        _do(payer, address(token), abi.encodeCall(token.transfer, (to, amount)), "", "transfer");
        books.strayTransfer(payer, to, amount);
    }

    function transferOtherToken(uint256 amount) external {
        amount = bound(amount, 1, 500 * CXPT);
        books.other().transfer(address(vault), amount);
        books.addStrayOther(amount);
        books.countDone(name);
    }

    function _zeroRefusal(uint256 amount) private pure returns (bytes memory) {
        return amount == 0 ? _error(Intake.ZeroAmount.selector) : bytes("");
    }
}
