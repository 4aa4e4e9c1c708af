// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CXPTToken} from "../../src/CXPTToken.sol";
import {CXPTVault} from "../../src/CXPTVault.sol";
import {SubscriptionManager} from "../../src/SubscriptionManager.sol";
import {UsageEscrow} from "../../src/UsageEscrow.sol";
import {ICXPTVault} from "../../src/interfaces/ICXPTVault.sol";
import {ClaimTree} from "../base/ClaimTree.sol";

/// @title What should be so, written down by those who act and never read back from the contracts
/// @notice Plain sums of what was paid in, promised and paid out. Invariants compare the contracts with these books;
/// handlers foretell from them what a call does, or with which words it is refused.
contract Books {
    struct Publication {
        uint256 epoch;
        bytes32 root;
        bytes32 manifest;
        uint256 providerTotal;
        uint256 userTotal;
        uint256 activatesAt;
        uint256 missing;
        uint256 revocations;
        uint256 baseline;
        bool revoked;
        bool retired;
        bool sound;
    }

    /// @notice What the Vault said just before a publication.
    struct Before {
        ICXPTVault.RewardPool pools;
        uint256 providerDeposited;
        uint256 userDeposited;
        uint256 protocolDeposited;
        uint256 withdrawn;
        uint256 providerPromised;
        uint256 userPromised;
        uint256 nextEpoch;
    }

    struct Tally {
        uint256 done;
        uint256 refused;
        uint256 idle;
    }

    struct Subscribed {
        uint256 paid;
        uint256 start;
        uint256 end;
        uint256 plan;
    }

    uint8 public constant PROVIDER = 1;
    uint8 public constant USER = 2;
    uint256 public constant NONE = type(uint256).max;

    CXPTToken public immutable token;
    CXPTToken public immutable other;
    CXPTVault public immutable vault;
    SubscriptionManager public immutable subscriptions;
    UsageEscrow public immutable escrow;
    uint256 public immutable firstEpoch;

    // ---------------------------------------------------------------- money

    mapping(address account => uint256) public cash;
    address[] private _tracked;
    mapping(address account => bool) private _isTracked;
    uint256 public protocolDeposited;
    uint256 public withdrawn;
    mapping(uint8 pool => uint256) public deposited;
    mapping(uint8 pool => uint256) public claimedTotal;
    mapping(uint8 pool => mapping(address account => uint256)) public claimed;
    mapping(uint8 pool => mapping(address account => uint256)) public proven;
    mapping(address account => uint256) public received;
    mapping(bytes32 root => uint256) public paidUnder;
    uint256 public stray;
    uint256 public strayInEscrow;
    uint256 public strayOther;

    // ---------------------------------------------------------------- roots

    Publication[] private _publications;
    mapping(uint256 publication => ClaimTree.Leaf[]) private _leaves;
    mapping(uint256 publication => Before) private _before;
    uint256[] private _live;
    uint256 public revocations;
    mapping(uint256 publication => mapping(address attester => bool)) public attested;

    // ---------------------------------------------------------------- settings

    address[] private _staff;
    mapping(address account => ICXPTVault.Role) public roleOf;
    uint256 public protocolBp = 4_000;
    uint256 public providerBp = 4_000;
    uint256 public userBp = 2_000;
    uint256 public activationDelay = 2 hours;
    uint256 public attestersRequired = 1;
    mapping(uint8 pool => uint256) public maxEpochAmount;
    uint256 public claimsPausedUntil;
    uint256 public claimsPauseBegan;
    uint256 public publishingPausedUntil;
    uint256 public publishingPauseBegan;

    // ---------------------------------------------------------------- subscriptions and escrow

    address[] private _customers;
    address[] private _earners;
    mapping(address account => Subscribed) private _subscribed;
    mapping(uint256 plan => uint256) public priceOf;
    mapping(uint256 plan => uint256) public periodOf;
    uint256 public planCount;
    address public settler;
    mapping(address account => uint256) public escrowed;
    mapping(address account => uint256) public limitOf;
    mapping(address account => uint256) public requested;
    mapping(address account => uint256) public dueAt;
    mapping(address account => mapping(uint256 day => uint256)) public chargedOn;
    mapping(address account => mapping(uint256 day => uint256)) public highestLimitOn;
    uint256[] private _days;
    bytes32[] private _batches;
    mapping(bytes32 batch => uint256) public timesSettled;

    mapping(string name => Tally) private _tallies;
    mapping(bytes4 refusal => uint256) public timesRefused;

    constructor(
        CXPTToken token_,
        CXPTToken other_,
        CXPTVault vault_,
        SubscriptionManager subscriptions_,
        UsageEscrow escrow_
    ) {
        token = token_;
        other = other_;
        vault = vault_;
        subscriptions = subscriptions_;
        escrow = escrow_;
        firstEpoch = vault_.firstEpoch();
        track(address(vault_));
        track(address(subscriptions_));
        track(address(escrow_));
    }

    // ---------------------------------------------------------------- people

    function addCustomer(address account) external {
        _customers.push(account);
        track(account);
    }

    function addEarner(address account) external {
        _earners.push(account);
        track(account);
    }

    function addStaff(address account, ICXPTVault.Role role) external {
        _staff.push(account);
        roleOf[account] = role;
        track(account);
    }

    function customers() external view returns (address[] memory) {
        return _customers;
    }

    function earners() external view returns (address[] memory) {
        return _earners;
    }

    function staff() external view returns (address[] memory) {
        return _staff;
    }

    function tracked() external view returns (address[] memory) {
        return _tracked;
    }

    function holders(ICXPTVault.Role role) public view returns (address[] memory list) {
        list = new address[](_staff.length);
        uint256 count;
        for (uint256 i = 0; i < _staff.length; i++) {
            if (roleOf[_staff[i]] == role) list[count++] = _staff[i];
        }
        assembly ("memory-safe") {
            mstore(list, count)
        }
    }

    function setRole(address account, ICXPTVault.Role role) external {
        roleOf[account] = role;
    }

    // ---------------------------------------------------------------- money moves

    function track(address account) public {
        if (_isTracked[account]) return;
        _isTracked[account] = true;
        _tracked.push(account);
    }

    function move(address from, address to, uint256 amount) public {
        track(from);
        track(to);
        cash[from] -= amount;
        cash[to] += amount;
    }

    function mint(address to, uint256 amount) external {
        track(to);
        cash[to] += amount;
    }

    /// @notice Fees of `payer` reached the Vault.
    function payFees(address payer, uint256 amount) public {
        move(payer, address(vault), amount);
        uint256 provider = amount * providerBp / 10_000;
        uint256 user = amount * userBp / 10_000;
        deposited[PROVIDER] += provider;
        deposited[USER] += user;
        protocolDeposited += amount - provider - user;
    }

    function fundPool(address payer, uint8 pool, uint256 amount) external {
        move(payer, address(vault), amount);
        deposited[pool] += amount;
    }

    function strayTransfer(address from, address to, uint256 amount) external {
        move(from, to, amount);
        if (to == address(vault)) stray += amount;
        if (to == address(escrow)) strayInEscrow += amount;
    }

    function addStrayOther(uint256 amount) external {
        strayOther += amount;
    }

    function withdraw(address to, uint256 amount) external {
        withdrawn += amount;
        move(address(vault), to, amount);
        if (to == address(vault)) stray += amount;
        if (to == address(escrow)) strayInEscrow += amount;
    }

    function rescue(address to, uint256 amount) external {
        move(address(vault), to, amount);
        if (to != address(vault)) stray -= amount;
        if (to == address(escrow)) strayInEscrow += amount;
    }

    function rescueOther(address to, uint256 amount) external {
        if (to != address(vault)) strayOther -= amount;
    }

    function pay(bytes32 root, ClaimTree.Leaf calldata leaf, uint256 amount) external {
        claimed[leaf.pool][leaf.account] += amount;
        claimedTotal[leaf.pool] += amount;
        paidUnder[root] += amount;
        move(address(vault), leaf.account, amount);
        if (leaf.account == address(vault)) stray += amount;
        if (leaf.account == address(escrow)) strayInEscrow += amount;
    }

    /// @notice A valid proof of an active root was shown.
    function prove(ClaimTree.Leaf calldata leaf) external {
        if (leaf.amount > proven[leaf.pool][leaf.account]) proven[leaf.pool][leaf.account] = leaf.amount;
    }

    /// @notice What a balance grew by in a claim.
    function receiveMoney(address account, uint256 amount) external {
        received[account] += amount;
    }

    // ---------------------------------------------------------------- roots

    function publish(Publication calldata publication_, ClaimTree.Leaf[] calldata leaves_, Before calldata before_)
        external
        returns (uint256 index)
    {
        index = _publications.length;
        _publications.push(publication_);
        if (publication_.sound) _publications[index].baseline = index;
        for (uint256 i = 0; i < leaves_.length; i++) {
            _leaves[index].push(leaves_[i]);
        }
        _before[index] = before_;
        _live.push(index);
    }

    function attest(address attester) external {
        uint256 index = _live[_live.length - 1];
        attested[index][attester] = true;
        Publication storage last = _publications[index];
        last.missing -= 1;
        if (last.missing == 0 && block.timestamp + 1 hours > last.activatesAt) {
            last.activatesAt = block.timestamp + 1 hours;
        }
    }

    function revoke() external {
        _publications[_live[_live.length - 1]].revoked = true;
        _live.pop();
        revocations += 1;
    }

    function retire(uint256 epoch) external {
        _publications[_live[epoch - firstEpoch]].retired = true;
    }

    function publicationCount() external view returns (uint256) {
        return _publications.length;
    }

    function publication(uint256 index) external view returns (Publication memory) {
        return _publications[index];
    }

    function leaves(uint256 index) external view returns (ClaimTree.Leaf[] memory) {
        return _leaves[index];
    }

    function beforePublication(uint256 index) external view returns (Before memory) {
        return _before[index];
    }

    function liveCount() external view returns (uint256) {
        return _live.length;
    }

    function live(uint256 i) external view returns (uint256) {
        return _live[i];
    }

    function nextEpoch() external view returns (uint256) {
        return firstEpoch + _live.length;
    }

    function newest() external view returns (uint256 index) {
        return _live.length == 0 ? NONE : _live[_live.length - 1];
    }

    /// @notice The live publication of an epoch.
    function liveAt(uint256 epoch) external view returns (uint256 index) {
        if (epoch < firstEpoch || epoch - firstEpoch >= _live.length) return NONE;
        return _live[epoch - firstEpoch];
    }

    /// @notice Whether a publication was not revoked, is confirmed, and its time has come; retired or not.
    function isActivated(uint256 index) public view returns (bool) {
        Publication storage it = _publications[index];
        return !it.revoked && it.missing == 0 && block.timestamp >= it.activatesAt;
    }

    function pending() external view returns (uint256 index) {
        if (_live.length == 0) return NONE;
        index = _live[_live.length - 1];
        if (isActivated(index)) index = NONE;
    }

    function newestActive() external view returns (uint256 index) {
        for (uint256 i = _live.length; i > 0; i--) {
            if (isActivated(_live[i - 1])) return _live[i - 1];
        }
        return NONE;
    }

    /// @notice Total of the newest live root.
    function promised(uint8 pool) external view returns (uint256) {
        return _live.length == 0 ? 0 : total(_live[_live.length - 1], pool);
    }

    function total(uint256 index, uint8 pool) public view returns (uint256) {
        if (index == NONE) return 0;
        return pool == PROVIDER ? _publications[index].providerTotal : _publications[index].userTotal;
    }

    /// @notice Whether every root that ever became active added up and took nothing back.
    function allSound() external view returns (bool) {
        for (uint256 i = 0; i < _live.length; i++) {
            if (isActivated(_live[i]) && !_publications[_live[i]].sound) return false;
        }
        return true;
    }

    // ---------------------------------------------------------------- settings

    function setSplit(uint256 protocol, uint256 provider, uint256 user) external {
        (protocolBp, providerBp, userBp) = (protocol, provider, user);
    }

    function setActivationDelay(uint256 delay) external {
        activationDelay = delay;
    }

    function setAttestersRequired(uint256 number) external {
        attestersRequired = number;
    }

    function setMaxEpochAmount(uint8 pool, uint256 amount) external {
        maxEpochAmount[pool] = amount;
    }

    function pauseClaims() external {
        (claimsPauseBegan, claimsPausedUntil) = (block.timestamp, block.timestamp + 14 days);
    }

    function pausePublishing() external {
        (publishingPauseBegan, publishingPausedUntil) = (block.timestamp, block.timestamp + 14 days);
    }

    function resumeClaims() external {
        claimsPausedUntil = 0;
    }

    function resumePublishing() external {
        publishingPausedUntil = 0;
    }

    // ---------------------------------------------------------------- subscriptions

    function addPlan(uint256 price, uint256 period) external {
        (priceOf[planCount], periodOf[planCount]) = (price, period);
        planCount += 1;
    }

    function setPrice(uint256 plan, uint256 price) external {
        priceOf[plan] = price;
    }

    function subscribe(address account, uint256 plan, uint256 periods) external {
        Subscribed storage it = _subscribed[account];
        if (block.timestamp >= it.end) (it.start, it.end, it.plan) = (block.timestamp, block.timestamp, plan);
        it.end += periods * periodOf[plan];
        it.paid = periods * priceOf[plan];
        payFees(account, it.paid);
    }

    function subscribed(address account) external view returns (Subscribed memory) {
        return _subscribed[account];
    }

    // ---------------------------------------------------------------- escrow

    function setSettler(address account) external {
        settler = account;
    }

    function depositInEscrow(address account, uint256 amount) external {
        move(account, address(escrow), amount);
        escrowed[account] += amount;
    }

    function setLimit(address account, uint256 amount) external {
        limitOf[account] = amount;
    }

    function request(address account, uint256 amount) external {
        requested[account] = amount;
        dueAt[account] = amount == 0 ? 0 : block.timestamp + 1 days;
    }

    function withdrawFromEscrow(address account) external returns (uint256 amount) {
        amount = requested[account] < escrowed[account] ? requested[account] : escrowed[account];
        (requested[account], dueAt[account]) = (0, 0);
        escrowed[account] -= amount;
        move(address(escrow), account, amount);
    }

    /// @notice What a charge of `asked` should take now.
    function chargeable(address account, uint256 asked) external view returns (uint256 amount) {
        uint256 before = chargedOn[account][block.timestamp / 1 days];
        uint256 left = limitOf[account] > before ? limitOf[account] - before : 0;
        amount = asked < left ? asked : left;
        if (amount > escrowed[account]) amount = escrowed[account];
    }

    function charge(address account, uint256 amount) external {
        uint256 day = block.timestamp / 1 days;
        if (_days.length == 0 || _days[_days.length - 1] != day) _days.push(day);
        escrowed[account] -= amount;
        chargedOn[account][day] += amount;
        if (amount != 0 && limitOf[account] > highestLimitOn[account][day]) {
            highestLimitOn[account][day] = limitOf[account];
        }
    }

    function settle(bytes32 batch, uint256 charged) external {
        if (timesSettled[batch] == 0) _batches.push(batch);
        timesSettled[batch] += 1;
        payFees(address(escrow), charged);
    }

    function chargedDays() external view returns (uint256[] memory) {
        return _days;
    }

    function batches() external view returns (bytes32[] memory) {
        return _batches;
    }

    // ---------------------------------------------------------------- how often

    function countDone(string calldata name) external {
        _tallies[name].done += 1;
    }

    function countRefused(string calldata name, bytes4 refusal) external {
        _tallies[name].refused += 1;
        timesRefused[refusal] += 1;
    }

    function countIdle(string calldata name) external {
        _tallies[name].idle += 1;
    }

    function tally(string calldata name) external view returns (Tally memory) {
        return _tallies[name];
    }
}
