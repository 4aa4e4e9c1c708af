"""Reconcile: what the Vault says, holds and paid against what was sealed and signed here; every difference is a
finding with its severity."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.errors import Finding, LimitError, Severity
from rewards.events import PublishedRoot
from rewards.manifest import FILES, Manifest
from rewards.ports import Claim, Counts, PoolTotals, RewardPool, RootEvent, RootRecord, VaultCounters
from rewards.reconcile import (
    SHOWN,
    KnownIntent,
    VaultBooks,
    identify,
    reconcile_claims,
    reconcile_counters,
    reconcile_intents,
    reconcile_pools,
    reconcile_roots,
)
from rewards.schemas import CLAIMABLES, MONEY
from rewards.units import MAX_AMOUNT, POOL_NAMES, POOLS, PROVIDER, USER, ZERO_ROOT, Address
from tests.worlds import CALENDAR, WALLETS

FIRST, SECOND, THIRD = WALLETS[:3]
LEAVES: Mapping[int, Mapping[tuple[int, Address], int]] = {
    0: {(PROVIDER, FIRST): 60, (USER, SECOND): 40},
    1: {(PROVIDER, FIRST): 90, (PROVIDER, THIRD): 10, (USER, SECOND): 40},
}


def _manifest(number: int) -> Manifest:
    totals = {p: sum(v for (pool, _), v in LEAVES[number].items() if pool == p) for p in POOLS}
    books = {p: PoolTotals(1000, 0, 0, 0, 0, 0, totals[p], 0, 1000 - totals[p]) for p in POOLS}
    return Manifest(
        epoch=CALENDAR.epoch(number),
        chain=None,
        ruleset="v1",
        ruleset_version="1.0.0",
        policy_since="2025-06-14",
        previous=None,
        counts=Counts(0, {}, 0, {}, 0, 0, 0).to_json(),
        totals=books,
        leaves=len(LEAVES[number]),
        root=bytes([number + 1]) * 32,
        overrides=(),
        files=dict.fromkeys(FILES, "00" * 32),
    )


MANIFESTS = {number: _manifest(number) for number in LEAVES}
SEALED = {number: identify(manifest) for number, manifest in MANIFESTS.items()}


def _published(number: int, revoked: bool = False, retired: bool = False, **changes: Any) -> PublishedRoot:
    manifest = MANIFESTS.get(number, MANIFESTS[1])
    block = 10 * number + 1
    told: dict[str, Any] = {"root": manifest.root, "manifest_hash": manifest.hash}
    told |= {"provider_total": manifest.total(PROVIDER), "user_total": manifest.total(USER)} | changes
    event = RootEvent(block, 0, bytes([block]) * 32, "publish", number, **told)
    later = [("revoke", revoked), ("retire", retired)]
    return PublishedRoot(event, tuple(_later(block + 1, action, number) for action, done in later if done))


def _later(block: int, action: str, number: int, attester: Address | None = None) -> RootEvent:
    return RootEvent(block, 0, bytes([block]) * 32, action, number, attester=attester)


def _claim(epoch: int, pool: int, account: Any, amount: int, cumulative: int, block: int = 1) -> Claim:
    return Claim(block, bytes(32), epoch, pool, account, amount, cumulative)


ROOTS = [_published(0), _published(1)]
CLAIMS = [
    _claim(0, PROVIDER, FIRST, 60, 60),
    _claim(0, USER, SECOND, 40, 40),
    _claim(1, PROVIDER, FIRST, 30, 90),
]
COUNTERS = VaultCounters({PROVIDER: 1000, USER: 1000}, {PROVIDER: 90, USER: 40}, 500, 2, 0)
BOOKS = VaultBooks(
    counters=COUNTERS,
    pools=RewardPool(500, 900, 960),
    balance=500 + 900 + 960 + 10,
    newest=RootRecord(1, MANIFESTS[1].root, MANIFESTS[1].hash, 100, 40, 0, 0, "active"),
)


def _only(findings: list[Finding], message: str, severity: Severity = Severity.CRITICAL) -> Finding:
    [finding] = findings
    assert finding.gate == "reconcile" and message in finding.message and finding.expected != finding.observed
    assert (finding.severity, finding.refuses) == (severity, severity is Severity.CRITICAL)
    return finding


def _frame(claims: Sequence[Claim]) -> pl.DataFrame:
    """As the ledger gives them: their place is their order."""
    rows = [(1, i, "00", c.epoch, c.pool, c.account, c.amount, c.cumulative) for i, c in enumerate(claims)]
    schema = {"block": pl.Int64, "log_index": pl.Int32, "transaction": pl.String, "epoch": pl.Int64, "pool": pl.Int8,
              "account": pl.String, "amount": MONEY, "cumulative_amount": MONEY}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _leaves(
    leaves: Mapping[int, Mapping[tuple[int, Address], int]], unknown: Sequence[int] = ()
) -> Callable[[int], pl.DataFrame | None]:
    def leaves_of(epoch: int) -> pl.DataFrame | None:
        if epoch in unknown:
            return None
        rows = [(pool, account, amount) for (pool, account), amount in leaves.get(epoch, {}).items()]
        return pl.DataFrame(rows, schema=dict(CLAIMABLES.columns), orient="row")

    return leaves_of


def _reconcile_claims(
    leaves: Mapping[int, Mapping[tuple[int, Address], int]], claims: Sequence[Claim]
) -> list[Finding]:
    return reconcile_claims(_leaves(leaves), _frame(claims))


def test_what_agrees_has_no_finding() -> None:
    """The balance is exactly what is owed."""
    assert reconcile_roots(SEALED, ROOTS) == []
    assert _reconcile_claims(LEAVES, CLAIMS) == []
    assert reconcile_pools(ROOTS[1], COUNTERS, BOOKS) == []
    assert reconcile_roots({}, []) == reconcile_roots(SEALED, []) == reconcile_roots(SEALED, ROOTS[:1]) == []
    nothing = VaultCounters(dict.fromkeys(POOLS, 0), dict.fromkeys(POOLS, 0), 0, 0, 0)
    assert reconcile_pools(None, nothing, VaultBooks(nothing, RewardPool(0, 0, 0), 0, None)) == []
    assert _reconcile_claims({}, []) == []


# Roots


def test_a_root_that_nobody_here_published() -> None:
    stranger = _published(2, root=b"\x09" * 32)
    finding = _only(reconcile_roots(SEALED, [*ROOTS, stranger]), "epoch 2 has a root that nobody here published")
    assert (finding.expected, finding.observed) == ("none", "0x" + "09" * 32)
    assert len(reconcile_roots({}, ROOTS)) == 2


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"root": ZERO_ROOT}, "root"),
        ({"manifest_hash": bytes(32)}, "manifest hash"),
        ({"provider_total": 101}, "provider total"),
        ({"user_total": 39}, "user total"),
    ],
)
def test_a_root_that_differs(changes: dict[str, Any], what: str) -> None:
    """Critical while it lives; once revoked a warning, for it was not ours in one part."""
    _only(reconcile_roots(SEALED, [ROOTS[0], _published(1, **changes)]), f"epoch 1: {what} differs")
    past = [*ROOTS, _published(1, revoked=True, **changes)]
    _only(reconcile_roots(SEALED, past), "nobody here sealed; it was revoked", Severity.WARNING)


def test_a_revoked_root_of_ours_is_no_finding() -> None:
    """One that is still sealed, and one that was withdrawn."""
    assert reconcile_roots(SEALED, [ROOTS[0], _published(1, revoked=True)]) == []
    gone = [ROOTS[0], _published(1, revoked=True)]
    only_first = {0: SEALED[0]}
    assert reconcile_roots(only_first, gone, {SEALED[1]}) == []
    _only(reconcile_roots(only_first, gone), "epoch 1 had a root that nobody here sealed", Severity.WARNING)


def test_a_retired_root_is_a_warning() -> None:
    found = reconcile_roots(SEALED, [_published(0, retired=True), ROOTS[1]])
    _only(found, "epoch 0: the root was retired", Severity.WARNING)


def test_a_root_that_is_missing_before_a_later_one() -> None:
    found = reconcile_roots(SEALED, ROOTS[1:])
    finding = _only(found, "epoch 0 has no root on chain, though a later one has", Severity.WARNING)
    assert finding.expected == "0x" + "01" * 32


def test_roots_from_before_this_ledger_are_not_compared() -> None:
    found = reconcile_roots({1: SEALED[1]}, ROOTS)
    _only(found, "epoch 0 was published before the first epoch sealed here (1)", Severity.WARNING)


# Claims


@pytest.mark.parametrize(
    ("claim", "messages"),
    [
        (_claim(1, PROVIDER, THIRD, 11, 11), ["not of a leaf"]),
        (_claim(1, USER, THIRD, 10, 10), ["not of a leaf"]),
        (_claim(1, PROVIDER, SECOND, 5, 5), ["not of a leaf"]),
        (_claim(2, PROVIDER, THIRD, 10, 10), ["not of a leaf"]),
        (_claim(1, PROVIDER, THIRD, 9, 10), ["does not add up"]),
        (_claim(1, PROVIDER, FIRST, 1, 90), ["does not add up"]),
        (_claim(0, PROVIDER, FIRST, 60, 60), ["does not add up"]),
        (_claim(7, 3, THIRD, 1, 2), ["not of a leaf", "does not add up"]),
    ],
)
def test_a_claim_that_no_leaf_pays(claim: Claim, messages: list[str]) -> None:
    findings = _reconcile_claims(LEAVES, [*CLAIMS, claim])
    assert [next(m for m in messages if m in f.message) for f in findings] == messages
    assert all(str(claim.account) in f.message and f.expected != f.observed and f.refuses for f in findings)


def test_a_leaf_that_is_gone_is_named() -> None:
    without = {**LEAVES, 1: {k: v for k, v in LEAVES[1].items() if k != (PROVIDER, FIRST)}}
    finding = _only(
        _reconcile_claims(without, CLAIMS), f"claim of {FIRST} from the provider pool in epoch 1 (block 1): is not of"
    )
    assert (finding.expected, finding.observed) == ("None", "90")
    assert len(_reconcile_claims({}, CLAIMS)) == 3


def test_claims_of_leaves_that_are_not_at_hand_are_asked_for_their_sums_alone() -> None:
    later = _leaves({1: LEAVES[1]}, unknown=[0])
    assert reconcile_claims(later, _frame(CLAIMS)) == []
    doubled = [*CLAIMS, _claim(0, USER, SECOND, 40, 40)]
    _only(reconcile_claims(later, _frame(doubled)), "does not add up")


def test_a_flood_of_claims_is_counted() -> None:
    flood = [_claim(1, PROVIDER, Address(f"0x{i:040x}"), i, i) for i in range(1, 3 * SHOWN)]
    *named, rest = _reconcile_claims(LEAVES, flood)
    assert len(named) == SHOWN and rest.observed == f"{3 * SHOWN - 1} in all"


def test_sums_are_exact_at_the_bound_and_refused_beyond() -> None:
    steps = [_claim(0, PROVIDER, FIRST, MAX_AMOUNT, n * MAX_AMOUNT) for n in range(1, 4)]
    leaves = {0: {(PROVIDER, FIRST): MAX_AMOUNT}}
    assert [f.observed for f in _reconcile_claims(leaves, steps)] == [str(2 * MAX_AMOUNT), str(3 * MAX_AMOUNT)]
    with pytest.raises(LimitError, match="pass 38 digits"):
        _reconcile_claims(leaves, [_claim(0, PROVIDER, FIRST, 5 * 10**37, 0)] * 2)


def _reference_claims(
    leaves: Mapping[int, Mapping[tuple[int, Address], int]], claims: Sequence[Claim]
) -> list[tuple[str, str, str]]:
    """The rule in plain Python: claims that are of no leaf, then those after which the sum is not the leaf."""
    paid: defaultdict[tuple[int, Address], int] = defaultdict(int)
    strange, unequal = [], []
    for claim in claims:
        key = claim.pool, claim.account
        name = f"claim of {claim.account} from the {POOL_NAMES[claim.pool]} pool in epoch {claim.epoch}"
        leaf = leaves.get(claim.epoch, {}).get(key)
        if leaf != claim.cumulative:
            strange.append((name, str(leaf), str(claim.cumulative)))
        paid[key] += claim.amount
        if paid[key] != claim.cumulative:
            unequal.append((name, str(claim.cumulative), str(paid[key])))
    return sorted(strange) + unequal


small = st.integers(1, 4)
keys = st.tuples(st.sampled_from(POOLS), st.sampled_from([FIRST, SECOND]))


@given(
    st.dictionaries(st.integers(0, 2), st.dictionaries(keys, small)),
    st.lists(st.builds(lambda e, k, a, c: _claim(e, *k, a, c), st.integers(0, 2), keys, small, small), max_size=8),
)
def test_frames_find_what_the_plain_rule_finds(
    leaves: dict[int, dict[tuple[int, Address], int]], claims: list[Claim]
) -> None:
    found = _reconcile_claims(leaves, claims)
    told = [(f.message.partition(" (block")[0], f.expected, f.observed) for f in found]
    strange = [one for one, f in zip(told, found, strict=True) if "not of a leaf" in f.message]
    unequal = [one for one, f in zip(told, found, strict=True) if "add up" in f.message]
    assert sorted(strange) + unequal == _reference_claims(leaves, claims)


# Money


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        ({"claimed": {PROVIDER: 91, USER: 40}}, "provider pool: claim events do not add up to its claimed total"),
        ({"claimed": {PROVIDER: 90, USER: 39}}, "user pool: claim events do not add up to its claimed total"),
        ({"deposited": {PROVIDER: 1001, USER: 1000}}, "provider pool: deposit events do not add up"),
        ({"deposited": {PROVIDER: 1000, USER: 999}}, "user pool: deposit events do not add up"),
        ({"protocol": 499}, "deposits and withdrawals do not add up to the protocol's money"),
        ({"live_roots": 3}, "root events do not add up"),
        ({"revocations": 1}, "revocation events do not add up"),
    ],
)
def test_events_that_do_not_add_up(observed: dict[str, Any], message: str) -> None:
    _only(reconcile_counters(replace(COUNTERS, **observed), COUNTERS), message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"balance": BOOKS.balance - 1}, "holds less CXPT than it owes"),
        ({"pools": replace(BOOKS.pools, provider=899)}, "provider pool is not deposits less promises"),
        ({"pools": replace(BOOKS.pools, user=959)}, "user pool is not deposits less promises"),
        ({"newest": None}, "newest root is not the one"),
        ({"newest": replace(BOOKS.newest, root=ZERO_ROOT)}, "newest root is not the one"),  # type: ignore[type-var]
    ],
)
def test_money_that_is_not_there(changes: dict[str, Any], message: str) -> None:
    _only(reconcile_pools(ROOTS[1], COUNTERS, replace(BOOKS, **changes)), message)


def test_a_gift_to_the_vault_is_no_finding() -> None:
    assert reconcile_pools(ROOTS[1], COUNTERS, replace(BOOKS, balance=BOOKS.balance + 1)) == []


def test_more_is_claimed_than_promised() -> None:
    greedy = replace(COUNTERS, claimed={PROVIDER: 90, USER: 41})
    finding = _only(
        reconcile_pools(ROOTS[1], greedy, replace(BOOKS, counters=greedy)), "user pool: more was claimed than promised"
    )
    assert (finding.expected, finding.observed) == ("40", "41")


# Intents

OURS = set(SEALED.values())
PUBLISHER, ATTESTER = WALLETS[3:5]


def _intent(event: RootEvent, outcome: str = "succeeded", sender: Address = PUBLISHER) -> KnownIntent:
    block = event.block_number if outcome == "succeeded" else None
    return KnownIntent(event.epoch, event.action, event.transaction, sender, outcome, block)


def _signed(*publications: PublishedRoot) -> list[KnownIntent]:
    return [_intent(event) for p in publications for event in (p.event, *p.later)]


def test_intents_that_ended_as_the_chain_says_are_no_finding() -> None:
    revoked = _published(1, revoked=True)
    assert reconcile_intents(_signed(ROOTS[0], revoked), [ROOTS[0], revoked], OURS, 99) == []
    failed = replace(_signed(ROOTS[0])[0], transaction=b"\x55" * 32, outcome="reverted", block=None)
    waiting = replace(failed, outcome="open")
    assert reconcile_intents([*_signed(ROOTS[0]), failed, waiting], [ROOTS[0]], OURS, 99) == []


def test_a_ledger_that_signs_no_publications_does_not_ask_for_them() -> None:
    """An attester's; and attestations of others are theirs."""
    own = _later(14, "attest", 1, ATTESTER)
    attested = replace(ROOTS[1], later=(own, _later(15, "attest", 1, THIRD)))
    assert reconcile_intents([], [attested], OURS, 99) == []
    assert reconcile_intents([_intent(own, sender=ATTESTER)], [attested], OURS, 99) == []


def test_our_root_by_another_machine_is_a_warning() -> None:
    found = reconcile_intents(_signed(ROOTS[0]), ROOTS, OURS, 99)
    finding = _only(found, "the publication of epoch 1 is of a transaction that was not signed here", Severity.WARNING)
    assert finding.observed == "0x" + ROOTS[1].event.transaction.hex()


def test_a_foreign_root_by_another_machine_is_critical_until_it_is_revoked() -> None:
    foreign = _published(1, root=ZERO_ROOT)
    found = reconcile_intents(_signed(ROOTS[0]), [ROOTS[0], foreign], OURS, 99)
    _only(found, "not signed here, and its root was not sealed here")
    revoked = _published(1, revoked=True, root=ZERO_ROOT)
    found = reconcile_intents(_signed(ROOTS[0]), [ROOTS[0], revoked], OURS, 99)
    _only(found, "not signed here, and its root was not sealed here", Severity.WARNING)


def test_our_key_attested_elsewhere() -> None:
    """The same attester, a transaction that this ledger does not know: of our root, and of a foreign one."""
    known = _later(5, "attest", 0, ATTESTER)
    first = replace(ROOTS[0], later=(known,))
    other = _later(14, "attest", 1, ATTESTER)
    for root, severity in ((ROOTS[1], Severity.WARNING), (_published(1, root=ZERO_ROOT), Severity.CRITICAL)):
        attested = replace(root, later=(other,))
        found = reconcile_intents([_intent(known, sender=ATTESTER)], [first, attested], OURS, 99)
        _only(found, "the attestation of epoch 1 is of a transaction that was not signed here", severity)


@pytest.mark.parametrize("action", ["publish", "attest", "revoke"])
def test_a_success_that_the_chain_does_not_know_is_critical(action: str) -> None:
    lost = KnownIntent(2, action, b"\x55" * 32, PUBLISHER, "succeeded", 30)
    intents = [*_signed(ROOTS[0]), lost]
    found = reconcile_intents(intents, [ROOTS[0]], OURS, 30)
    finding = _only(found, "of epoch 2 is settled as a success here, the chain has no event of it")
    assert "in block 30" in finding.expected
    # Blocks that were not read yet say nothing of it.
    assert reconcile_intents(intents, [ROOTS[0]], OURS, 29) == []
    assert reconcile_intents([*_signed(ROOTS[0]), replace(lost, action="claim")], [ROOTS[0]], OURS, 99) == []


def test_an_intent_that_is_final_on_chain_is_to_be_settled() -> None:
    found = reconcile_intents([_intent(ROOTS[0].event, "open")], [ROOTS[0]], OURS, 99)
    finding = _only(found, "is final on chain, its intent is not settled here; run rewards resume", Severity.WARNING)
    assert (finding.expected, finding.observed) == ("succeeded in block 1", "open")


@pytest.mark.parametrize("outcome", ["dead", "failed", "replaced"])
def test_an_intent_that_was_settled_otherwise_is_not_to_be_resumed(outcome: str) -> None:
    """There is nothing left to resume: what was seen when it was settled is no longer the chain."""
    found = reconcile_intents([_intent(ROOTS[0].event, outcome)], [ROOTS[0]], OURS, 99)
    finding = _only(found, f"its intent was settled here as {outcome}: another chain was seen then", Severity.WARNING)
    assert "resume" not in finding.message and finding.expected == "succeeded in block 1"


def test_an_attestation_that_the_vault_knows_and_no_event_tells_is_a_warning() -> None:
    lost = KnownIntent(1, "attest", b"\x55" * 32, ATTESTER, "succeeded", 30, stands=True)
    found = reconcile_intents([lost], ROOTS, OURS, 30)
    _only(found, "the attestation of epoch 1 stands in the Vault, an endpoint left its event out", Severity.WARNING)


# Sealed here, and the bundle that tells the totals is not at hand


def test_a_sealed_epoch_without_its_bundle_is_known_by_root_and_manifest() -> None:
    known = {number: (root, hash_, None, None) for number, (root, hash_, _, _) in SEALED.items()}
    assert reconcile_roots(known, ROOTS) == []
    _only(reconcile_roots(known, [ROOTS[0], _published(1, root=ZERO_ROOT)]), "epoch 1: root differs")
    revoked = _published(1, revoked=True)
    assert reconcile_roots({0: known[0]}, [ROOTS[0], revoked], {known[1]}) == []
    other = replace(_signed(ROOTS[0])[0], transaction=b"\x55" * 32, outcome="open", block=None)
    _only(reconcile_intents([other], [ROOTS[0]], set(known.values()), 99), "was not signed here", Severity.WARNING)
