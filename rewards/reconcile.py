"""Expected and observed to findings: what is sealed and signed here against what the Vault holds, says and paid.

Critical is what puts money in question; a warning is what a person should look at; neither is ever left out.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from rewards.errors import Finding, LimitError, Severity
from rewards.events import PublishedRoot, RootIdentity
from rewards.manifest import Manifest
from rewards.ports import RewardPool, RootEvent, RootRecord, VaultCounters
from rewards.units import POOL_NAMES, POOLS, PROVIDER, USER, Address

SHOWN = 50
"""Claims of one kind of fault that get a finding of their own; the rest are counted in one more."""

_TOP = 10**38
_NO_MANIFEST = "none"


@dataclass(frozen=True)
class VaultBooks:
    """The Vault's own word at one block: what it counts, its pools, its CXPT balance, its record of the newest root."""

    counters: VaultCounters
    pools: RewardPool
    balance: int
    newest: RootRecord | None


@dataclass(frozen=True)
class KnownIntent:
    """A transaction that was signed here: `action` is publish, attest or revoke (others are not compared); `outcome` is
    open, succeeded, or how it ended without effect; `block` is null until it is known. `stands`: the Vault itself says
    that it was done, asked where no event says so."""

    epoch: int
    action: str
    transaction: bytes
    sender: Address
    outcome: str
    block: int | None
    stands: bool = False


def _finding(message: str, expected: object, observed: object, severity: Severity = Severity.CRITICAL) -> Finding:
    critical = severity is Severity.CRITICAL
    return Finding("reconcile", message, str(expected), str(observed), refuses=critical, severity=severity)


def _warning(message: str, expected: object, observed: object) -> Finding:
    return _finding(message, expected, observed, Severity.WARNING)


def _hex(value: bytes | None) -> str:
    return "none" if value is None else "0x" + value.hex()


def identify(manifest: Manifest) -> RootIdentity:
    """What a publication of this manifest looks like on chain."""
    return manifest.root, manifest.hash, manifest.total(PROVIDER), manifest.total(USER)


def _is_among(publication: PublishedRoot, known: Collection[RootIdentity]) -> bool:
    """Totals are null where the manifest that tells them is not at hand; its hash is enough then."""
    root, manifest_hash, *_ = publication.identity
    return publication.identity in known or (root, manifest_hash, None, None) in known


def reconcile_counters(observed: VaultCounters, counted: VaultCounters) -> list[Finding]:
    """Events add up to what the Vault counts; where they do not, the node hid some of them."""
    compared = [
        (f"{POOL_NAMES[pool]} pool: {kind} events do not add up to its {total}", events[pool], vault[pool])
        for kind, total, events, vault in (
            ("claim", "claimed total", observed.claimed, counted.claimed),
            ("deposit", "deposits", observed.deposited, counted.deposited),
        )
        for pool in POOLS
    ]
    compared += [
        ("deposits and withdrawals do not add up to the protocol's money", observed.protocol, counted.protocol),
        ("root events do not add up to the live roots", observed.live_roots, counted.live_roots),
        ("revocation events do not add up to the revocations", observed.revocations, counted.revocations),
    ]
    return [_finding(message, events, vault) for message, events, vault in compared if events != vault]


def reconcile_roots(
    sealed: Mapping[int, RootIdentity],
    publications: Sequence[PublishedRoot],
    set_aside: Collection[RootIdentity] = (),
) -> list[Finding]:
    """Every live root on chain is one that was sealed here, no epoch before the newest of them is missing there, and
    every revoked one was sealed here too (`set_aside`: results that were withdrawn)."""
    findings = []
    live = {p.epoch for p in publications if not p.revoked}
    for epoch in sorted(set(sealed) - live):
        if live and epoch < max(live):
            message = f"epoch {epoch} has no root on chain, though a later one has"
            findings.append(_warning(message, _hex(sealed[epoch][0]), "none"))
    ours = {*sealed.values(), *set_aside}
    for publication in publications:
        epoch, root = publication.epoch, _hex(publication.event.root)
        if publication.revoked and not _is_among(publication, ours):
            message = f"epoch {epoch} had a root that nobody here sealed; it was revoked"
            findings.append(_warning(message, _NO_MANIFEST, root))
        elif not publication.revoked:
            findings += _compare_live(sealed, publication)
        if publication.retired:
            findings.append(_warning(f"epoch {epoch}: the root was retired; its proofs pay no more", "active", root))
    return findings


def _compare_live(sealed: Mapping[int, RootIdentity], publication: PublishedRoot) -> list[Finding]:
    epoch, event = publication.epoch, publication.event
    if sealed and epoch < min(sealed):
        message = f"epoch {epoch} was published before the first epoch sealed here ({min(sealed)}); it is not compared"
        return [_warning(message, _NO_MANIFEST, _hex(event.root))]
    if epoch not in sealed:
        message = f"epoch {epoch} has a root that nobody here published"
        return [_finding(message, _NO_MANIFEST, _hex(event.root))]
    root, manifest_hash, provider_total, user_total = sealed[epoch]
    compared = [
        ("root", _hex(root), _hex(event.root)),
        ("manifest hash", _hex(manifest_hash), _hex(event.manifest_hash)),
        ("provider total", provider_total, event.provider_total),
        ("user total", user_total, event.user_total),
    ]
    return [
        _finding(f"epoch {epoch}: {what} differs", here, there)
        for what, here, there in compared
        if here is not None and here != there
    ]


def reconcile_claims(leaves_of: Callable[[int], pl.DataFrame | None], claims: pl.DataFrame) -> list[Finding]:
    """Every claim is of a leaf that its epoch's bundle holds, for its amount, and an account's claims add up to the
    largest.

    `leaves_of` gives an epoch's claimables, empty where it has none, null where they are not at hand: then sums alone are
    compared. `claims` has block, log_index, epoch, pool, account, amount, cumulative_amount. Raises LimitError where
    sums may pass 38 digits.
    """
    largest = int(claims.select(pl.col("amount").max().fill_null(0)).item())
    if largest * claims.height >= _TOP:
        raise LimitError(f"{claims.height} claims of up to {largest} units pass 38 digits when added up")
    claims = claims.sort("block", "log_index")
    strange = [
        _find_strange(claims.filter(epoch=epoch), leaves)
        for epoch in claims["epoch"].unique().sort()
        if (leaves := leaves_of(epoch)) is not None
    ]
    # Sums of decimals may wrap here; the bound above keeps them exact.
    paid = claims.with_columns(paid=pl.col("amount").cum_sum().over("pool", "account"))
    unequal = paid.filter(pl.col("paid") != pl.col("cumulative_amount"))
    rows = pl.concat(strange).rows(named=True) if strange else []
    return [
        *_tell_claims(rows, "is not of a leaf of that epoch", "leaf", "cumulative_amount"),
        *_tell_claims(
            unequal.rows(named=True), "what was paid does not add up to the leaf", "cumulative_amount", "paid"
        ),
    ]


def _find_strange(claims: pl.DataFrame, claimables: pl.DataFrame) -> pl.DataFrame:
    leaves = claimables.select("pool", "account", leaf=pl.col("cumulative_amount"))
    joined = claims.join(leaves, on=["pool", "account"], how="left", maintain_order="left")
    return joined.filter(pl.col("leaf").ne_missing(pl.col("cumulative_amount")))


def _tell_claims(rows: Sequence[Mapping[str, object]], what: str, expected: str, observed: str) -> list[Finding]:
    findings = []
    for row in rows[:SHOWN]:
        pool = row["pool"]
        name = POOL_NAMES.get(pool, pool) if isinstance(pool, int) else pool
        claim = f"claim of {row['account']} from the {name} pool in epoch {row['epoch']} (block {row['block']})"
        findings.append(_finding(f"{claim}: {what}", row[expected], row[observed]))
    if len(rows) > SHOWN:
        findings.append(_finding(f"claims of which each {what}", f"{SHOWN} shown", f"{len(rows)} in all"))
    return findings


def reconcile_pools(newest: PublishedRoot | None, observed: VaultCounters, books: VaultBooks) -> list[Finding]:
    """Pools, counters and the CXPT balance are what deposits, the newest live root and the claims make them."""
    findings = reconcile_counters(observed, books.counters)
    if books.newest is not None or newest is not None:
        findings += _compare_newest(newest, books.newest)
    free = {PROVIDER: books.pools.provider, USER: books.pools.user}
    promised = {
        PROVIDER: (newest.event.provider_total or 0) if newest else 0,
        USER: (newest.event.user_total or 0) if newest else 0,
    }
    outstanding = 0
    for pool in POOLS:
        name, claimed = POOL_NAMES[pool], observed.claimed[pool]
        left = observed.deposited[pool] - promised[pool]
        if left != free[pool]:
            findings.append(_finding(f"{name} pool is not deposits less promises", left, free[pool]))
        if claimed > promised[pool]:
            findings.append(_finding(f"{name} pool: more was claimed than promised", promised[pool], claimed))
        outstanding += promised[pool] - claimed
    owed = books.pools.protocol + sum(free.values()) + outstanding
    if books.balance < owed:
        findings.append(_finding("the Vault holds less CXPT than it owes", owed, books.balance))
    return findings


def _compare_newest(newest: PublishedRoot | None, record: RootRecord | None) -> list[Finding]:
    said = (newest.epoch, *newest.identity) if newest else None
    held = (
        (record.epoch, record.root, record.manifest_hash, record.provider_total, record.user_total) if record else None
    )
    if said == held:
        return []
    event, vault = (f"epoch {one[0]}, root {_hex(one[1])}" if one else "none" for one in (said, held))
    return [_finding("the Vault's newest root is not the one that its event told of", event, vault)]


def reconcile_intents(
    intents: Sequence[KnownIntent],
    publications: Sequence[PublishedRoot],
    ours: Collection[RootIdentity],
    last_block: int,
) -> list[Finding]:
    """Every publication, attestation and revocation by a signer of this ledger is among its intents, and intents ended
    as the chain says, up to `last_block`.

    An action that this ledger never signed belongs to another machine (an attester's ledger holds no publications) and
    is not compared; so are attestations of others.
    """
    known = {intent.transaction: intent for intent in intents}
    events = [(event, p) for p in publications for event in (p.event, *p.later)]
    done = {event.transaction: event for event, _ in events}
    findings = [
        _tell_unsigned(event, publication, ours)
        for event, publication in events
        if event.transaction not in known and _is_signed_here(event, intents)
    ]
    for intent in intents:
        if intent.action in ("publish", "attest", "revoke"):
            findings += _compare_outcome(intent, done.get(intent.transaction), last_block)
    return findings


def _is_signed_here(event: RootEvent, intents: Sequence[KnownIntent]) -> bool:
    signers = {intent.sender for intent in intents if intent.action == event.action}
    return event.attester in signers if event.action == "attest" else bool(signers)


_DEEDS = {"publish": "publication", "attest": "attestation", "revoke": "revocation"}


def _tell_unsigned(event: RootEvent, publication: PublishedRoot, ours: Collection[RootIdentity]) -> Finding:
    foreign = not _is_among(publication, ours)
    message = f"the {_DEEDS[event.action]} of epoch {event.epoch} is of a transaction that was not signed here"
    if foreign:
        message += ", and its root was not sealed here"
    severity = Severity.CRITICAL if foreign and not publication.revoked else Severity.WARNING
    return _finding(message, "an intent of this ledger", _hex(event.transaction), severity)


def _compare_outcome(intent: KnownIntent, event: RootEvent | None, last_block: int) -> list[Finding]:
    deed = f"the {_DEEDS[intent.action]} of epoch {intent.epoch}"
    transaction = f"transaction {_hex(intent.transaction)} in block {intent.block}"
    if event is not None and intent.outcome == "open":
        message = f"{deed} is final on chain, its intent is not settled here; run rewards resume"
        return [_warning(message, f"succeeded in block {event.block_number}", intent.outcome)]
    if event is not None and intent.outcome != "succeeded":
        message = (
            f"{deed} is final on chain, its intent was settled here as {intent.outcome}: another chain was seen then"
        )
        return [_warning(message, f"succeeded in block {event.block_number}", f"{intent.outcome}, {transaction}")]
    seen = intent.block is not None and intent.block <= last_block
    if event is None and intent.outcome == "succeeded" and seen and intent.stands:
        message = f"{deed} stands in the Vault, an endpoint left its event out; use another one, and --from-start"
        return [_warning(message, transaction, "no event")]
    if event is None and intent.outcome == "succeeded" and seen:
        message = f"{deed} is settled as a success here, the chain has no event of it"
        return [_finding(message, transaction, "none")]
    return []
