// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {Intake} from "../../../../src/libraries/Intake.sol";
import {FaultyToken} from "../../../base/FaultyToken.sol";
import {OtherTokenTest} from "../../../base/OtherTokenTest.sol";
import {HostileToken} from "../../../HostileToken.sol";

contract FundPoolTest is OtherTokenTest {
    function test_RevertWhen_ThePoolIsNeitherProviderNorUser() external {
        // it should revert with InvalidPool, for the protocol's pool too
        _refused(0, 1, abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, 0));
        _refused(3, 1, abi.encodeWithSelector(ICXPTVault.InvalidPool.selector, 3));
    }

    function test_RevertWhen_TheAmountIsZero() external {
        // it should revert with ZeroAmount
        _refused(PROVIDER, 0, abi.encodeWithSelector(Intake.ZeroAmount.selector));
    }

    function test_RevertGiven_TheTokenKeepsAFee() external {
        _onHostile().setFee(100);
        // it should revert with WrongAmountReceived
        _refused(USER, 10_000, abi.encodeWithSelector(Intake.WrongAmountReceived.selector, 10_000, 9_900));
    }

    function test_RevertGiven_TheTokenFails() external {
        FaultyToken faulty = _onFaulty();
        faulty.setReverting(true);
        // it should revert as the token does
        _refused(USER, 7, abi.encodeWithSelector(FaultyToken.OutOfOrder.selector));
        faulty.setReverting(false);
        faulty.setSilent(true);
        // it should revert with SafeERC20FailedOperation where the token returns false
        _refused(USER, 7, abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(faulty)));
    }

    function test_GivenTheTokenCallsBack() external {
        HostileToken hostile = _onHostile();
        hostile.setCall(address(vault), abi.encodeCall(ICXPTVault.fundPool, (PROVIDER, 1)));
        vm.prank(payer);
        vault.fundPool(PROVIDER, 7);
        // it should refuse the call inside and fund once
        vm.assertFalse(hostile.lastCallSucceeded(), "refused");
        vm.assertEq(vault.deposited(PROVIDER), 4_007, "once");
    }

    function test_RevertWhen_ThePoolWouldPass96Bits() external {
        _onHostile();
        uint256 room = 2 ** 96 - 1 - 4_000;
        // it should revert with DepositTooLarge and the room left
        _refused(PROVIDER, room + 1, abi.encodeWithSelector(ICXPTVault.DepositTooLarge.selector, room, room + 1));
        vm.prank(payer);
        vault.fundPool(PROVIDER, room);
        vm.assertEq(vault.deposited(PROVIDER), 2 ** 96 - 1, "the last unit fits");
    }

    function test_WhenTheProviderPoolIsFunded() external {
        // it should emit PoolFunded
        // it should credit all of it to that pool
        _assertFunded(PROVIDER);
        // it should leave the other pools alone
        vm.assertEq(vault.pools().userAmount, 400 * CXPT, "user");
        vm.assertEq(vault.pools().protocolAmount, 800 * CXPT, "protocol");
    }

    function test_WhenTheUserPoolIsFunded() external {
        // it should emit PoolFunded
        // it should credit all of it to that pool
        _assertFunded(USER);
        // it should leave the other pools alone
        vm.assertEq(vault.pools().providerAmount, 800 * CXPT, "provider");
        vm.assertEq(vault.pools().protocolAmount, 800 * CXPT, "protocol");
    }

    function _assertFunded(uint8 pool) private {
        uint256 before = vault.deposited(pool);
        vm.expectEmit(true, true, true, true, address(vault));
        emit ICXPTVault.PoolFunded(payer, pool, 7);
        vm.prank(payer);
        vault.fundPool(pool, 7);
        vm.assertEq(vault.deposited(pool), before + 7, "credited");
        _assertSolvent();
    }

    function _refused(uint8 pool, uint256 amount, bytes memory reason) private {
        vm.prank(payer);
        vm.expectRevert(reason);
        vault.fundPool(pool, amount);
    }
}
