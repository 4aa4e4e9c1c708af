"""Reconcile: what the Vault says, holds and paid against what the bundles promise; every difference is a finding."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from rewards.errors import Finding
from rewards.manifest import FILES, Manifest
from rewards.ports import Claim, Counts, PoolTotals, RewardPool, RootRecord
from rewards.reconcile import VaultBooks, reconcile_claims, reconcile_pools, reconcile_roots
from rewards.units import POOLS, PROVIDER, USER, ZERO_ROOT
from tests.worlds import CALENDAR, WALLETS

FIRST, SECOND, THIRD = WALLETS[:3]
LEAVES: Mapping[int, Mapping[tuple[int, Any], int]] = {
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


def _record(number: int, **changes: Any) -> RootRecord:
    manifest = MANIFESTS[number]
    record = RootRecord(
        number, manifest.root, manifest.hash, manifest.total(PROVIDER), manifest.total(USER), 0, 0, "active"
    )
    return replace(record, **changes)


def _claim(epoch: int, pool: int, account: Any, amount: int, cumulative: int) -> Claim:
    return Claim(1, bytes(32), epoch, pool, account, amount, cumulative)


ROOTS = [_record(0), _record(1)]
CLAIMS = [
    _claim(0, PROVIDER, FIRST, 60, 60),
    _claim(0, USER, SECOND, 40, 40),
    _claim(1, PROVIDER, FIRST, 30, 90),
]
BOOKS = VaultBooks(
    roots=ROOTS,
    claims=CLAIMS,
    pools=RewardPool(500, 900, 960),
    deposited={PROVIDER: 1000, USER: 1000},
    claimed={PROVIDER: 90, USER: 40},
    balance=500 + 900 + 960 + 10,
)


def _only(findings: list[Finding], message: str) -> Finding:
    [finding] = findings
    assert finding.gate == "reconcile" and message in finding.message and finding.expected != finding.observed
    return finding


def test_what_agrees_has_no_finding() -> None:
    """The balance is exactly what is owed."""
    assert reconcile_roots(MANIFESTS, ROOTS) == []
    assert reconcile_claims(LEAVES, CLAIMS) == []
    assert reconcile_pools(MANIFESTS[1], BOOKS) == []
    assert reconcile_roots({}, []) == reconcile_roots(MANIFESTS, []) == reconcile_roots(MANIFESTS, ROOTS[:1]) == []
    empty = VaultBooks([], [], RewardPool(0, 0, 0), dict.fromkeys(POOLS, 0), dict.fromkeys(POOLS, 0), 0)
    assert reconcile_pools(None, empty) == []


# Roots


def test_a_root_that_nobody_here_published() -> None:
    stranger = replace(_record(1), epoch=2, root=b"\x09" * 32)
    finding = _only(reconcile_roots(MANIFESTS, [*ROOTS, stranger]), "epoch 2 has a root that nobody here published")
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
    _only(reconcile_roots(MANIFESTS, [ROOTS[0], _record(1, **changes)]), f"epoch 1: {what} differs")


def test_a_root_that_is_missing_before_a_later_one() -> None:
    finding = _only(reconcile_roots(MANIFESTS, ROOTS[1:]), "epoch 0 has no root on chain, though a later one has")
    assert finding.expected == "0x" + "01" * 32


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
    findings = reconcile_claims(LEAVES, [*CLAIMS, claim])
    assert [next(m for m in messages if m in f.message) for f in findings] == messages
    assert all(str(claim.account) in f.message and f.expected != f.observed for f in findings)


def test_a_leaf_that_is_gone_is_named() -> None:
    without = {**LEAVES, 1: {k: v for k, v in LEAVES[1].items() if k != (PROVIDER, FIRST)}}
    finding = _only(
        reconcile_claims(without, CLAIMS), f"claim of {FIRST} from the provider pool in epoch 1 is not of a leaf"
    )
    assert (finding.expected, finding.observed) == ("None", "90")
    assert len(reconcile_claims({}, CLAIMS)) == 3


# Money


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"balance": BOOKS.balance - 1}, "holds less CXPT than it owes"),
        ({"claimed": {PROVIDER: 91, USER: 40}}, "provider pool: claim events do not add up"),
        ({"claimed": {PROVIDER: 90, USER: 39}}, "user pool: claim events do not add up"),
        ({"deposited": {PROVIDER: 1001, USER: 1000}}, "provider pool is not deposits less promises"),
        ({"deposited": {PROVIDER: 1000, USER: 999}}, "user pool is not deposits less promises"),
        ({"pools": replace(BOOKS.pools, provider=899)}, "provider pool is not deposits less promises"),
    ],
)
def test_money_that_is_not_there(changes: dict[str, Any], message: str) -> None:
    _only(reconcile_pools(MANIFESTS[1], replace(BOOKS, **changes)), message)


def test_a_gift_to_the_vault_is_no_finding() -> None:
    assert reconcile_pools(MANIFESTS[1], replace(BOOKS, balance=BOOKS.balance + 1)) == []


def test_more_is_claimed_than_promised() -> None:
    greedy = [*CLAIMS, _claim(1, USER, THIRD, 1, 1)]
    books = replace(BOOKS, claims=greedy, claimed={PROVIDER: 90, USER: 41})
    finding = _only(reconcile_pools(MANIFESTS[1], books), "user pool: more was claimed than promised")
    assert (finding.expected, finding.observed) == ("40", "41")


def test_promises_without_a_manifest() -> None:
    """A root whose bundle is not here: its money is missing from the books."""
    messages = [f.message for f in reconcile_pools(None, BOOKS)]
    assert (
        "provider pool is not deposits less promises" in messages
        and "user pool: more was claimed than promised" in messages
    )
