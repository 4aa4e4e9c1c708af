// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CXPTToken} from "../../src/CXPTToken.sol";
import {CXPTVault} from "../../src/CXPTVault.sol";
import {SubscriptionManager} from "../../src/SubscriptionManager.sol";
import {UsageEscrow} from "../../src/UsageEscrow.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ISubscriptionManager} from "../../src/interfaces/ISubscriptionManager.sol";
import {VaultTest} from "../base/VaultTest.sol";
import {Books} from "./Books.sol";
import {Admin} from "./handlers/Admin.sol";
import {Attester} from "./handlers/Attester.sol";
import {Claimer} from "./handlers/Claimer.sol";
import {Clock} from "./handlers/Clock.sol";
import {Depositor} from "./handlers/Depositor.sol";
import {EscrowUser} from "./handlers/EscrowUser.sol";
import {Guardian} from "./handlers/Guardian.sol";
import {Hostile} from "./handlers/Hostile.sol";
import {Publisher} from "./handlers/Publisher.sol";
import {Settler} from "./handlers/Settler.sol";
import {Subscriber} from "./handlers/Subscriber.sol";
import {Treasurer} from "./handlers/Treasurer.sol";

/// @title Vault, subscriptions and escrow, the books, and everybody who acts
abstract contract World is VaultTest {
    uint256 internal constant SUPPLY = 1_000_000_000 * CXPT;

    Books internal books;
    SubscriptionManager internal subscriptions;
    UsageEscrow internal escrow;
    CXPTToken internal other;
    Claimer internal claimer;
    EscrowUser internal escrowUser;

    function setUp() public override {
        vm.warp(START);
        token = new CXPTToken();
        other = new CXPTToken();
        vault = new CXPTVault(_invariantConfig());
        ISubscriptionManager.Plan[] memory plans = new ISubscriptionManager.Plan[](2);
        plans[0] = ISubscriptionManager.Plan(uint96(10 * CXPT), 10 days);
        plans[1] = ISubscriptionManager.Plan(uint96(25 * CXPT), 30 days);
        subscriptions = new SubscriptionManager(vault, _person("owner"), plans);
        escrow = new UsageEscrow(vault, _person("owner"), address(0x5e77001));
        books = Books(
            vm.deployCode("test/invariant/Books.sol:Books", abi.encode(token, other, vault, subscriptions, escrow))
        );
        _openBooks(plans);
        _introduceCustomers();
        _introducePlayers();
    }

    // ---------------------------------------------------------------- set-up

    function _invariantConfig() private returns (ICXPTVault.Config memory config) {
        config = _config(token);
        config.attesters = new address[](3);
        (config.attesters[0], config.attesters[1], config.attesters[2]) = (attester, attester2, _person("attester3"));
    }

    function _openBooks(ISubscriptionManager.Plan[] memory plans) private {
        books.mint(address(this), SUPPLY);
        books.setMaxEpochAmount(PROVIDER, 1_000 * CXPT);
        books.setMaxEpochAmount(USER, 500 * CXPT);
        books.setSettler(address(0x5e77001));
        for (uint256 i = 0; i < plans.length; i++) {
            books.addPlan(plans[i].price, plans[i].period);
        }
        books.addStaff(admin, ICXPTVault.Role.Admin);
        books.addStaff(publisher, ICXPTVault.Role.Publisher);
        books.addStaff(attester, ICXPTVault.Role.Attester);
        books.addStaff(attester2, ICXPTVault.Role.Attester);
        books.addStaff(_person("attester3"), ICXPTVault.Role.Attester);
        books.addStaff(guardian, ICXPTVault.Role.Guardian);
        books.addStaff(treasurer, ICXPTVault.Role.Treasurer);
        for (uint160 i = 0; i < 3; i++) {
            books.addStaff(address(0x59a4e00 + i), ICXPTVault.Role.None);
            books.track(address(0xbad0000 + i));
        }
    }

    function _introduceCustomers() private {
        for (uint256 key = 1; key <= 4; key++) {
            address customer = vm.addr(key);
            books.addCustomer(customer);
            token.transfer(customer, 10_000_000 * CXPT);
            books.move(address(this), customer, 10_000_000 * CXPT);
            vm.startPrank(customer);
            token.approve(address(vault), type(uint256).max);
            token.approve(address(subscriptions), type(uint256).max);
            token.approve(address(escrow), type(uint256).max);
            escrow.deposit(400 * CXPT);
            escrow.setDailyLimit(uint96(100 * CXPT));
            vm.stopPrank();
            books.depositInEscrow(customer, 400 * CXPT);
            books.setLimit(customer, 100 * CXPT);
        }
        books.addEarner(provider);
        books.addEarner(user);
        books.addEarner(vm.addr(1));
        books.addEarner(vm.addr(2));
        books.addEarner(address(vault));
        books.addEarner(address(escrow));
    }

    /// @dev Every function is called as often as any other; who should act more often is there twice.
    function _introducePlayers() private {
        address depositor = _player("Depositor");
        other.transfer(depositor, SUPPLY);
        _target(depositor, Depositor.depositFees.selector, Depositor.depositFeesWithPermit.selector);
        _target(depositor, Depositor.fundPool.selector, Depositor.transferByMistake.selector);
        _target(depositor, Depositor.transferOtherToken.selector, 0);
        for (uint256 i = 0; i < 3; i++) {
            address player = _player("Publisher");
            _target(player, Publisher.publish.selector, i < 2 ? Publisher.publishUnsound.selector : bytes4(0));
            if (i == 0) _target(player, Publisher.publishRefused.selector, Publisher.publishAgain.selector);
            player = _player("Attester");
            _target(player, Attester.attest.selector, i == 0 ? Attester.attestWrongly.selector : bytes4(0));
            claimer = Claimer(_player("Claimer"));
            _target(address(claimer), Claimer.claim.selector, Claimer.claimMany.selector);
            if (i == 0) _target(address(claimer), Claimer.claimFromAny.selector, Claimer.claimMutated.selector);
            _target(_player("Guardian"), Guardian.watch.selector, i == 0 ? Guardian.revoke.selector : bytes4(0));
        }
        _introduceCustomersAndSettler();
        _introduceOffice();
    }

    function _introduceCustomersAndSettler() private {
        escrowUser = EscrowUser(_player("EscrowUser"));
        _target(address(escrowUser), EscrowUser.deposit.selector, EscrowUser.depositWithPermit.selector);
        _target(address(escrowUser), EscrowUser.setDailyLimit.selector, EscrowUser.requestWithdrawal.selector);
        _target(address(escrowUser), EscrowUser.withdraw.selector, 0);
        address player = _player("Subscriber");
        _target(player, Subscriber.subscribe.selector, Subscriber.subscribeWithPermit.selector);
        _target(player, Subscriber.subscribeWrongly.selector, Subscriber.cancel.selector);
        player = _player("Settler");
        _target(player, Settler.settle.selector, Settler.settleAgain.selector);
        _target(player, Settler.settleUnequalLists.selector, 0);
    }

    function _introduceOffice() private {
        _target(_player("Guardian"), Guardian.pauseOrResume.selector, 0);
        address player = _player("Admin");
        _target(player, Admin.changeSettings.selector, Admin.changeRoles.selector);
        _target(player, Admin.changeSales.selector, Admin.retire.selector);
        _target(player, Admin.rescue.selector, 0);
        _target(_player("Treasurer"), Treasurer.withdraw.selector, 0);
        player = _player("Clock");
        _target(player, Clock.passSeconds.selector, Clock.passHours.selector);
        _target(player, Clock.passDays.selector, Clock.toActivation.selector);
        _target(player, Clock.toMidnightOrEndOfPause.selector, 0);
        player = _player("Hostile");
        _target(player, Hostile.tryEverything.selector, Hostile.claimGarbage.selector);
    }

    /// @dev By its artifact: with all of them inside, this contract would be larger than the compiler lets pass.
    function _player(string memory name) private returns (address) {
        string memory artifact = string.concat("test/invariant/handlers/", name, ".sol:", name);
        return vm.deployCode(artifact, abi.encode(books));
    }

    /// @dev All calls of all players, one a line.
    function _allCalls() internal view returns (address[] memory players, bytes4[] memory selectors) {
        (players, selectors) = (new address[](2 * _selectors.length), new bytes4[](2 * _selectors.length));
        uint256 count;
        for (uint256 i = 0; i < _selectors.length; i++) {
            for (uint256 j = 0; j < _selectors[i].selectors.length; j++) {
                (players[count], selectors[count]) = (_selectors[i].addr, _selectors[i].selectors[j]);
                count++;
            }
        }
        assembly ("memory-safe") {
            mstore(players, count)
            mstore(selectors, count)
        }
    }

    function _target(address player, bytes4 a, bytes4 b) private {
        bytes4[] memory selectors = new bytes4[](b == 0 ? 1 : 2);
        selectors[0] = a;
        if (b != 0) selectors[1] = b;
        if (_targets.length == 0 || _targets[_targets.length - 1] != player) _targets.push(player);
        _selectors.push(FuzzSelector(player, selectors));
    }

    function _owner() internal pure returns (address) {
        return address(uint160(uint256(keccak256("owner"))));
    }
}
