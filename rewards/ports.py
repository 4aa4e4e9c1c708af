"""The outside as the rules see it: what an input source, an engine and a Vault answer. No implementation lives here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rewards.epoch import Epoch
from rewards.policy import Policy
from rewards.units import Address

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Block:
    """A block's number, hash (32 bytes) and timestamp (whole seconds since 1970)."""

    number: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True)
class Deposit:
    """One `FeesDeposited` or (`funding`) `PoolFunded` event; amounts in base units, the three parts add up to
    `amount`."""

    block_number: int
    timestamp: int
    payer: Address
    amount: int
    protocol_amount: int
    provider_amount: int
    user_amount: int
    funding: bool


@dataclass(frozen=True)
class RootRecord:
    """What the Vault holds of one published epoch. `status`: pending, active, revoked or retired."""

    epoch: int
    root: bytes
    manifest_hash: bytes
    provider_total: int
    user_total: int
    activates_at: int
    attestations_missing: int
    status: str


@dataclass(frozen=True)
class Publication:
    """One `RootPublished` event: both hashes are 32 bytes, totals in base units; `revocations` is the Vault's count
    before it."""

    epoch: int
    root: bytes
    manifest_hash: bytes
    provider_total: int
    user_total: int
    revocations: int


@dataclass(frozen=True)
class RewardPool:
    """Unpromised money of the Vault, in base units."""

    protocol: int
    provider: int
    user: int


@dataclass(frozen=True)
class Claim:
    """One `Claimed` event; `pool` is 1 (provider) or 2 (user), amounts in base units."""

    block_number: int
    transaction: bytes
    epoch: int
    pool: int
    account: Address
    amount: int
    cumulative: int
    log_index: int = 0


@dataclass(frozen=True)
class Transfer:
    """Money that came into the Vault or left it other than by a claim: `kind` is fees, funding or withdrawal (whose
    protocol amount is negative); base units."""

    block_number: int
    log_index: int
    transaction: bytes
    kind: str
    protocol_amount: int
    provider_amount: int
    user_amount: int


@dataclass(frozen=True)
class RootEvent:
    """One `RootPublished`, `RootAttested`, `RootRevoked` or `RootRetired`; `action` is publish, attest, revoke or retire.

    Root, manifest hash (32 bytes) and totals (base units) are of a publication, `attester` of an attestation; else
    null.
    """

    block_number: int
    log_index: int
    transaction: bytes
    action: str
    epoch: int
    root: bytes | None = None
    manifest_hash: bytes | None = None
    provider_total: int | None = None
    user_total: int | None = None
    attester: Address | None = None


@dataclass(frozen=True)
class VaultEvents:
    """What the Vault's logs say from block `first` to block `last`, both included, each kind in the chain's order."""

    first: int
    last: Block
    claims: Sequence[Claim]
    transfers: Sequence[Transfer]
    root_events: Sequence[RootEvent]


@dataclass(frozen=True)
class VaultCounters:
    """What a Vault's events up to a block add up to, or what it counts itself: `deposited` and `claimed` by pool, the
    protocol's money (deposited less withdrawn), live roots, revocations. Base units."""

    deposited: Mapping[int, int]
    claimed: Mapping[int, int]
    protocol: int
    live_roots: int
    revocations: int


@dataclass(frozen=True)
class Receipt:
    """The fate of one transaction that is in a block. `gas_used` in gas, `block` the block that holds it."""

    transaction: bytes
    block: Block
    gas_used: int


@dataclass(frozen=True)
class Counts:
    """Rows counted in an epoch by what became of them; `late` and `tier_mismatch` are sub-counts, the fee is of
    earning rows."""

    earning: int
    not_earning: Mapping[str, int]
    repeated: int
    quarantined: Mapping[str, int]
    late: int
    tier_mismatch: int
    earning_fee_e8: int

    @property
    def rows(self) -> int:
        return self.earning + sum(self.not_earning.values()) + self.repeated + sum(self.quarantined.values())

    def to_json(self) -> dict[str, object]:
        """The manifest's `counts`; fees are decimal strings."""
        return {
            "rows": self.rows,
            "earning": self.earning,
            "not_earning": dict(sorted(self.not_earning.items())),
            "repeated": self.repeated,
            "quarantined": dict(sorted(self.quarantined.items())),
            "late": self.late,
            "tier_mismatch": self.tier_mismatch,
            "earning_fee_e8": str(self.earning_fee_e8),
        }


PATTERNS = "*?[]{}\\"
"""What one reader or another takes for a pattern of names: no file of a feed is called so."""


@dataclass(frozen=True)
class FeedFile:
    """One file of a feed: where it is, the day of arrival in its name (its end, in microseconds), its format and
    digest."""

    path: Path
    day_end_us: int
    format: str
    digest: str


@dataclass(frozen=True)
class Coverage:
    """How far a feed reaches: days with files, hours of the epoch (0 first) that hold rows, the time up to which it is
    closed, rows of the epoch, and whether rows arrived within the hour after the epoch's end (where the last of its
    own arrive)."""

    days: frozenset[int]
    hours: frozenset[int]
    closed_us: int
    rows: int
    after_end: bool = True


@dataclass(frozen=True)
class RollUp:
    """What an engine makes of an epoch's rows. Frames follow `schemas`; `bad_rows` and `counted_ids` go to the
    provenance.

    `counted_ids` is a file with digests of the ids and contents counted as earning, not earning or repeated;
    `bad_rows` has `file, row, request_id, reason, column` of quarantined rows.
    """

    rollup: "pl.DataFrame"
    quarantine: "pl.DataFrame"
    heartbeats: "pl.DataFrame"
    counts: Counts
    usage_coverage: Coverage
    heartbeat_coverage: Coverage
    odd_heartbeats: Mapping[str, int]
    bad_rows: "pl.DataFrame"
    counted_ids: Path


class Engine(Protocol):
    """The only step that touches every row."""

    def reads_counted(self, path: Path) -> bool:
        """Whether a file of counted ids holds digests as this engine makes them."""
        ...

    def digest_ids(self, request_ids: "pl.Series") -> "pl.DataFrame":
        """Columns id, id_check: the digests under which this engine's files of counted ids hold these request ids."""
        ...

    def roll_up(
        self,
        usage: Sequence[FeedFile],
        heartbeats: Sequence[FeedFile],
        accounts: "pl.DataFrame",
        provisions: "pl.DataFrame",
        counted_before: Sequence[Path],
        epoch: Epoch,
        policy: Policy,
    ) -> RollUp:
        """Roll an epoch up. `accounts` has one more column, `wallet` (usable, lower-case, or null); `counted_before`
        are the `counted_ids` files of the three epochs before. Raises InputError naming file and column."""
        ...


@dataclass(frozen=True)
class PoolTotals:
    """One pool after one epoch, in base units; `deposited`, `claimables`, `held`, `carry_over` are cumulative balances.

    `carry_over` is kept by its own bookkeeping (what came in and what went out), so that
    deposited = claimables + held + carry_over is a check and not a definition.
    """

    deposited: int
    pool: int
    allocated: int
    corrected: int
    withheld: int
    returned: int
    claimables: int
    held: int
    carry_over: int

    @classmethod
    def zero(cls) -> "PoolTotals":
        return cls(0, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Previous:
    """What the epoch before left: its manifest's digest (null before the first), claimables, state and totals by
    pool."""

    digest: str | None
    claimables: "pl.DataFrame"
    state: "pl.DataFrame"
    totals: Mapping[int, PoolTotals]


@dataclass(frozen=True)
class EpochInputs:
    """All that `compute_epoch` reads, as it stands in the bundle. `deposits` are those since the epoch before;
    `forbidden` wallets (token, Vault) are never paid; `limits` is the Vault's `maxEpochAmount` by pool, or null."""

    epoch: Epoch
    rollup: "pl.DataFrame"
    heartbeats: "pl.DataFrame"
    accounts: "pl.DataFrame"
    provisions: "pl.DataFrame"
    deposits: "pl.DataFrame"
    corrections: "pl.DataFrame"
    forbidden: frozenset[Address] = frozenset()
    limits: Mapping[int, int] | None = None


@dataclass(frozen=True)
class EpochResult:
    """What an epoch comes to: frames as in `schemas`, the totals by pool, the claim tree's root, leaf count and
    file."""

    scores: "pl.DataFrame"
    provision_scores: "pl.DataFrame"
    allocations: "pl.DataFrame"
    claimables: "pl.DataFrame"
    state: "pl.DataFrame"
    totals: Mapping[int, PoolTotals]
    root: bytes
    leaves: int
    tree: bytes


class VaultReader(Protocol):
    """The Vault as anyone may read it. Every call raises ChainError when the chain does not answer or is another
    one."""

    @property
    def chain_id(self) -> int: ...
    @property
    def address(self) -> Address: ...
    @property
    def token(self) -> Address: ...
    def head(self) -> Block: ...
    def final_block(self) -> Block: ...
    def last_block_before(self, timestamp: int) -> Block:
        """The last block whose timestamp is below `timestamp`."""
        ...

    def deposits(self, last_block: int) -> Sequence[Deposit]:
        """Every deposit and funding from the Vault's first block up to `last_block`, in order."""
        ...

    def publications(self, last_block: int) -> Sequence[Publication]:
        """Every publication up to `last_block`, revoked ones too, in the order of the chain."""
        ...

    def revoked_publications(self, epoch: int, last_block: int) -> Sequence[Publication]:
        """Every publication of an epoch that was revoked up to `last_block`."""
        ...

    def root_at(self, epoch: int, block: int | None = None) -> RootRecord | None: ...
    def next_epoch(self) -> int: ...
    def pending_epoch(self) -> int | None: ...
    def latest_active_epoch(self) -> int | None: ...
    def revocations(self) -> int: ...
    def reward_pool(self, block: int | None = None) -> RewardPool: ...
    def max_epoch_amount_at(self, pool: int, last_block: int) -> int:
        """The Vault's limit per epoch as it stood after a block: the same whenever an epoch is computed again."""
        ...

    def claimed(self, pool: int, account: Address) -> int: ...
    def role_of(self, account: Address) -> str: ...
    def is_publishing_paused(self) -> bool: ...
    def are_claims_paused(self) -> bool: ...
    def balance_of(self, account: Address, block: int | None = None) -> int:
        """CXPT balance of any account, in base units."""
        ...
