"""Every event carries what an indexer needs: from logs alone, in their order, all that the Vault knows is rebuilt."""

from collections import defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from rewards.units import POOLS, Address, checksum
from tests.contracts.world import CXPT, DAY, EVENTS, HOUR, STAFF, Tree, World

PENDING, ACTIVE, REVOKED, RETIRED = 1, 2, 3, 4


@dataclass
class Indexer:
    """The Vault as its events tell it. `now` decides what is active or paused, as it does on chain."""

    deposited: dict[int, int] = field(default_factory=lambda: {0: 0, 1: 0, 2: 0})
    withdrawn: int = 0
    roots: dict[int, dict[str, Any]] = field(default_factory=dict)
    live: list[int] = field(default_factory=list)
    claimed: dict[tuple[int, str], int] = field(default_factory=lambda: defaultdict(int))
    roles: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    attested: set[tuple[bytes, str]] = field(default_factory=set)
    settings: dict[str, Any] = field(default_factory=dict)
    limits: dict[int, int] = field(default_factory=dict)
    revocations: int = 0
    claims_paused_until: int = 0
    publishing_paused_until: int = 0

    def take(self, name: str, args: dict[str, Any]) -> None:
        getattr(self, f"on_{name}")(**args)

    def on_FeesDeposited(self, payer: str, amount: int, **shares: int) -> None:
        for pool, share in enumerate(("protocolAmount", "providerAmount", "userAmount")):
            self.deposited[pool] += shares[share]
        assert amount == sum(shares.values())

    def on_PoolFunded(self, payer: str, pool: int, amount: int) -> None:
        self.deposited[pool] += amount

    def on_RootPublished(self, epoch: int, **what: Any) -> None:
        before = self.promised(1), self.promised(2)
        self.roots[epoch] = what | {"missing": self.settings["attesters"], "status": PENDING}
        self.live.append(epoch)
        increases = self.promised(1) - before[0], self.promised(2) - before[1]
        assert increases == (what["providerIncrease"], what["userIncrease"])

    def on_RootAttested(
        self, epoch: int, attester: str, publicationHash: bytes, missing: int, activatesAt: int
    ) -> None:
        self.roots[epoch] |= {"missing": missing, "activatesAt": activatesAt}
        self.attested.add((publicationHash, attester))

    def on_RootRevoked(self, epoch: int, providerRefund: int, userRefund: int, reason: str) -> None:
        before = self.promised(1), self.promised(2)
        self.roots[epoch]["status"] = REVOKED
        assert self.live.pop() == epoch
        self.revocations += 1
        assert (before[0] - self.promised(1), before[1] - self.promised(2)) == (providerRefund, userRefund)
        assert reason

    def on_RootRetired(self, epoch: int) -> None:
        self.roots[epoch]["status"] = RETIRED

    def on_Claimed(self, epoch: int, pool: int, account: str, amount: int, cumulativeAmount: int, caller: str) -> None:
        self.claimed[pool, account] += amount
        assert self.claimed[pool, account] == cumulativeAmount

    def on_ClaimSkipped(self, index: int, account: str, code: int) -> None:
        assert code != 0

    def on_ProtocolWithdrawn(self, to: str, amount: int) -> None:
        self.withdrawn += amount

    def on_Rescued(self, token: str, to: str, amount: int) -> None:
        """Touches nothing that the Vault accounts for."""

    def on_ClaimsPaused(self, until: int) -> None:
        self.claims_paused_until = until

    def on_ClaimsResumed(self) -> None:
        self.claims_paused_until = 0

    def on_PublishingPaused(self, until: int) -> None:
        self.publishing_paused_until = until

    def on_PublishingResumed(self) -> None:
        self.publishing_paused_until = 0

    def on_SplitSet(self, protocolBp: int, providerBp: int, userBp: int, **old: int) -> None:
        known = self.settings.get("split", [0, 0, 0])
        assert [old["oldProtocolBp"], old["oldProviderBp"], old["oldUserBp"]] == known
        self.settings["split"] = [protocolBp, providerBp, userBp]

    def on_ActivationDelaySet(self, oldDelay: int, newDelay: int) -> None:
        assert self.settings.get("delay", 0) == oldDelay
        self.settings["delay"] = newDelay

    def on_MaxEpochAmountSet(self, pool: int, oldAmount: int, newAmount: int) -> None:
        assert self.limits.get(pool, 0) == oldAmount
        self.limits[pool] = newAmount

    def on_AttestersRequiredSet(self, oldNumber: int, newNumber: int) -> None:
        assert self.settings.get("attesters", 0) == oldNumber
        self.settings["attesters"] = newNumber

    def on_RoleSet(self, account: str, oldRole: int, newRole: int) -> None:
        assert self.roles[account] == oldRole
        self.roles[account] = newRole

    def promised(self, pool: int) -> int:
        if not self.live:
            return 0
        return int(self.roots[self.live[-1]]["providerTotal" if pool == 1 else "userTotal"])

    def status_at(self, epoch: int, now: int) -> int:
        root = self.roots[epoch]
        activated = root["status"] == PENDING and root["missing"] == 0 and now >= root["activatesAt"]
        return ACTIVE if activated else int(root["status"])


def rebuild(world: World) -> Indexer:
    """The state after every log of the Vault."""
    indexer, named = Indexer(), {world.contract.events[name]().topic: world.contract.events[name]() for name in EVENTS}
    for log in world.embedded.chain.logs(world.deployment.vault, [], 0, world.embedded.chain.head().number):
        event = named["0x" + bytes(log["topics"][0]).hex()].process_log(log)
        indexer.take(event["event"], dict(event["args"]))
    return indexer


def compare(world: World, indexer: Indexer, accounts: list[Address]) -> None:
    """Every view of the Vault against the events."""
    now = world.now()
    deposited = indexer.deposited
    pools = (deposited[0] - indexer.withdrawn, *(deposited[p] - indexer.promised(p) for p in POOLS))
    assert world.view("pools") == pools
    for pool in POOLS:
        total = sum(amount for (p, _), amount in indexer.claimed.items() if p == pool)
        assert (world.view("deposited", pool), world.view("promised", pool), world.view("claimedTotal", pool)) == (
            deposited[pool],
            indexer.promised(pool),
            total,
        )
        assert world.view("maxEpochAmount", pool) == indexer.limits[pool]
        for account in accounts:
            assert world.view("claimed", pool, checksum(account)) == indexer.claimed[pool, checksum(account)]
    first = world.deployment.first_epoch
    assert world.view("nextEpoch") == first + len(indexer.live)
    for epoch, root in indexer.roots.items():
        names = ("root", "manifestHash", "providerTotal", "userTotal", "activatesAt", "missing")
        assert world.view("rootAt", epoch) == (*(root[name] for name in names), indexer.status_at(epoch, now))
    active = [epoch for epoch in indexer.live if indexer.status_at(epoch, now) in (ACTIVE, RETIRED)]
    assert world.view("latestActiveEpoch") == ([True, active[-1]] if active else [False, 0])
    waiting = [epoch for epoch in indexer.live if indexer.status_at(epoch, now) == PENDING]
    assert world.view("pendingRoot") == ([True, waiting[0]] if waiting else [False, 0])
    assert world.view("split") == indexer.settings["split"]
    assert world.view("activationDelay") == indexer.settings["delay"]
    assert world.view("attestersRequired") == indexer.settings["attesters"]
    assert world.view("revocations") == indexer.revocations
    assert world.view("claimsPausedUntil") == indexer.claims_paused_until
    assert world.view("publishingPausedUntil") == indexer.publishing_paused_until
    assert {a: world.view("roleOf", a) for a in indexer.roles} == dict(indexer.roles)
    for publication, attester in indexer.attested:
        assert world.view("hasAttested", publication, attester)


def live_a_while(world: World, random: Random, accounts: list[Address]) -> None:
    """Months of a Vault in a few dozen transactions: deposits, roots good and revoked, claims, pauses, settings."""
    owed = {(pool, account): 0 for pool in POOLS for account in accounts}
    active: list[tuple[int, Tree]] = []
    for night in range(8):
        world.deposit(random.randrange(1, 500) * CXPT + random.randrange(10**6))
        world.vault.fund_pool(random.choice(POOLS), random.randrange(1, CXPT), world.signers["payer"])
        pools = dict(zip(POOLS, world.view("pools")[1:], strict=True))
        before = dict(owed)
        for key in owed:
            owed[key] += random.randrange(pools[key[0]] // (2 * len(accounts)))
        tree = Tree([(pool, account, amount) for (pool, account), amount in owed.items()])
        epoch, revocations = world.view("nextEpoch"), world.view("revocations")
        world.publish(epoch, tree, revocations)
        if night % 3 == 1:
            owed = before
            world.send("guardian", "revokeRoot", epoch, f"night {night}")
        else:
            for attester in ("attester", "attester2")[: world.view("attestersRequired")]:
                world.send(attester, "attestRoot", epoch, world.view("publicationHash", epoch))
            world.embedded.advance(random.choice([2 * HOUR, DAY]))
            active.append((epoch, tree))
            from_epoch, old = random.choice(active)
            world.claim(from_epoch, old, random.choice(old.leaves))
            batch = [(p, checksum(a), n, old.prove((p, a, n))) for p, a, n in random.sample(list(old.leaves), 3)]
            world.send("stranger", "claimMany", from_epoch, [*batch, (7, checksum(accounts[0]), 1, [])])
    world.send("admin", "retireRoot", active[0][0])
    world.send("treasurer", "withdrawProtocol", checksum(world["stranger"]), CXPT)
    world.send("admin", "setSplit", 1000, 8000, 1000)
    world.send("admin", "setActivationDelay", 3 * HOUR)
    world.send("admin", "setMaxEpochAmount", 2, 7)
    world.send("admin", "setAttestersRequired", 2)
    world.send("admin", "setRole", checksum(world["stranger"]), 2)
    world.send_token("payer", "transfer", checksum(world.deployment.vault), 5)
    world.send("admin", "rescue", world.token.address, checksum(world["stranger"]), 5)
    for kind in ("Claims", "Publishing"):
        world.send("guardian", f"pause{kind}")


@pytest.mark.parametrize("seed", [1, 2])
def test_state_is_rebuilt_from_events_alone(world: World, seed: int) -> None:
    accounts = [world["provider"], world["user"], *(Address(f"0x{i:040x}") for i in range(0x100, 0x103))]
    live_a_while(world, Random(seed), accounts)
    indexer = rebuild(world)
    assert {indexer.status_at(epoch, world.now()) for epoch in indexer.roots} >= {ACTIVE, RETIRED}
    compare(world, indexer, accounts)
    world.deposit(100 * CXPT)
    epoch = world.view("nextEpoch")
    for kind in ("Publishing", "Claims"):
        world.send("admin", f"resume{kind}")
    totals = world.view("promised", 1) + 1, world.view("promised", 2)
    world.publish(epoch, Tree([(1, accounts[0], 1)]), world.view("revocations"), totals)
    world.send("attester", "attestRoot", epoch, world.view("publicationHash", epoch))
    indexer = rebuild(world)
    assert indexer.status_at(epoch, world.now()) == PENDING
    compare(world, indexer, [*accounts, *(world[name] for name in STAFF)])
    assert set(EVENTS) == {name.removeprefix("on_") for name in dir(Indexer) if name.startswith("on_")}
