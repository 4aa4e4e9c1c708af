// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ICXPTVault} from "../../../../src/interfaces/ICXPTVault.sol";
import {IFeePayer} from "../../../../src/interfaces/IFeePayer.sol";
import {IUsageEscrow} from "../../../../src/interfaces/IUsageEscrow.sol";
import {UsageEscrow} from "../../../../src/UsageEscrow.sol";
import {PlatformTest} from "../../../base/PlatformTest.sol";
import {Vm} from "../../../base/Test.sol";

contract UsageEscrowConstructorTest is PlatformTest {
    function test_RevertWhen_TheVaultHasNoCode() external {
        // it should revert with NotAVault
        vm.expectRevert(abi.encodeWithSelector(IFeePayer.NotAVault.selector, stranger));
        new UsageEscrow(ICXPTVault(stranger), admin, settler);
        vm.expectRevert(abi.encodeWithSelector(IFeePayer.NotAVault.selector, address(0)));
        new UsageEscrow(ICXPTVault(address(0)), admin, settler);
    }

    function test_RevertWhen_TheVaultIsAContractWithoutAToken() external {
        // it should revert without a reason
        vm.expectRevert(bytes(""));
        new UsageEscrow(ICXPTVault(address(token)), admin, settler);
    }

    function test_RevertWhen_TheOwnerIsTheZeroAddress() external {
        // it should revert with OwnableInvalidOwner
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableInvalidOwner.selector, address(0)));
        new UsageEscrow(vault, address(0), settler);
    }

    function test_WhenTheSettlerIsTheZeroAddress() external {
        escrow = new UsageEscrow(vault, admin, address(0));
        // it should let nobody charge until one is named
        vm.assertEq(escrow.settler(), address(0), "settler");
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IUsageEscrow.NotSettler.selector, settler));
        escrow.settle(BATCH, _list(customer), _amounts(0));
        vm.prank(admin);
        escrow.setSettler(settler);
        _settle(BATCH, customer, 0);
        vm.assertTrue(escrow.isSettled(BATCH), "settled by who was named");
    }

    function test_WhenEveryArgumentIsValid() external {
        vm.recordLogs();
        escrow = new UsageEscrow(vault, admin, settler);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        // it should emit SettlerSet
        vm.assertEq(logs.length, 2, "the owner and the settler");
        vm.assertEq(logs[1].topics[0], IUsageEscrow.SettlerSet.selector, "SettlerSet");
        vm.assertEq(logs[1].topics[1], bytes32(0), "nobody before");
        vm.assertEq(logs[1].topics[2], bytes32(uint256(uint160(settler))), "the settler now");
        // it should take the token of the vault
        vm.assertEq(address(escrow.vault()), address(vault), "vault");
        vm.assertEq(address(escrow.token()), address(token), "token");
        // it should name the owner and the settler
        vm.assertEq(escrow.owner(), admin, "owner");
        vm.assertEq(escrow.pendingOwner(), address(0), "next owner");
        vm.assertEq(escrow.settler(), settler, "settler");
        // it should begin with no balance
        vm.assertEq(escrow.totalBalance(), 0, "sum of the balances");
        _assertBalance(customer, 0);
        vm.assertFalse(escrow.isSettled(bytes32(0)), "the zero batch");
    }
}
