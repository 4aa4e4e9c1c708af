// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CXPTToken} from "../../../../src/CXPTToken.sol";
import {Test, Vm} from "../../../base/Test.sol";

contract CXPTTokenConstructorTest is Test {
    function test_WhenItIsDeployed() external {
        vm.recordLogs();
        CXPTToken token = new CXPTToken();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        // it should mint one billion CXPT once to the deployer
        vm.assertEq(token.totalSupply(), 10 ** 27, "supply");
        vm.assertEq(token.balanceOf(address(this)), 10 ** 27, "all of it is the deployer's");
        // it should emit Transfer from the zero address
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], keccak256("Transfer(address,address,uint256)"), "Transfer");
        vm.assertEq(logs[0].topics[1], bytes32(0), "from nobody");
        vm.assertEq(logs[0].topics[2], bytes32(uint256(uint160(address(this)))), "to the deployer");
        vm.assertEq(abi.decode(logs[0].data, (uint256)), 10 ** 27, "amount");
        // it should have the name and the symbol and 18 decimals
        vm.assertEq(token.name(), "Cxmpute Token", "name");
        vm.assertEq(token.symbol(), "CXPT", "symbol");
        vm.assertEq(token.decimals(), 18, "decimals");
        // it should have no function that mints
        (bool minted,) = address(token).call(abi.encodeWithSignature("mint(address,uint256)", address(this), 1));
        vm.assertFalse(minted, "mint");
        vm.assertEq(token.totalSupply(), 10 ** 27, "supply afterwards");
    }
}
