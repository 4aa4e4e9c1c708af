"""The outside as the rules see it: what an input source, an engine and a Vault answer. No implementation lives here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rewards.units import Address


@dataclass(frozen=True)
class Block:
    """A block's number, hash (32 bytes) and timestamp (whole seconds since 1970)."""

    number: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True)
class Deposit:
    """One `FeesDeposited` or `PoolFunded` event; amounts in base units, their sum is `amount`."""

    block_number: int
    timestamp: int
    payer: Address
    amount: int
    protocol_amount: int
    provider_amount: int
    user_amount: int


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


@dataclass(frozen=True)
class Receipt:
    """The fate of one transaction that is in a block. `gas_used` in gas, `block` the block that holds it."""

    transaction: bytes
    block: Block
    gas_used: int


class VaultReader(Protocol):
    """The Vault as anyone may read it. Every call raises ChainError when the chain does not answer or is another one."""

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

    def claims(self, last_block: int) -> Sequence[Claim]: ...
    def roots(self, last_block: int) -> Sequence[RootRecord]:
        """Every epoch ever published up to `last_block`, its state as of now, ascending by epoch, the live one of each epoch only."""
        ...

    def root_at(self, epoch: int) -> RootRecord | None: ...
    def next_epoch(self) -> int: ...
    def pending_epoch(self) -> int | None: ...
    def latest_active_epoch(self) -> int | None: ...
    def revocations(self) -> int: ...
    def reward_pool(self) -> RewardPool: ...
    def max_epoch_amount(self, pool: int) -> int: ...
    def claimed(self, pool: int, account: Address) -> int: ...
    def role_of(self, account: Address) -> str: ...
    def is_publishing_paused(self) -> bool: ...
    def are_claims_paused(self) -> bool: ...
    def balance_of(self, account: Address) -> int:
        """CXPT balance of any account, in base units."""
        ...
