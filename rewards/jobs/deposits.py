"""The money that came in up to an epoch's end: from the chain, as of its reference block, or from a table without one."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from rewards.epoch import Epoch
from rewards.errors import ChainError, ChainUnavailable
from rewards.manifest import ChainFacts, Manifest
from rewards.ports import Block, Deposit, VaultReader
from rewards.schemas import DEPOSITS
from rewards.sources.folder import InputFolder
from rewards.units import POOLS


def read_table(folder: InputFolder, epoch: Epoch) -> pl.DataFrame:
    """Every deposit of the table before the epoch's end."""
    return folder.deposits().filter(pl.col("deposited_at") < epoch.end)


def read_chain(
    vault: VaultReader, first_epoch: int, epoch: Epoch, patience_s: float
) -> tuple[ChainFacts, pl.DataFrame]:
    """The reference block, the Vault's limits, and every deposit up to that block, once it is final. ChainError when it
    is not after `patience_s` seconds."""
    reference = _wait_for_reference(vault, epoch, patience_s)
    facts = ChainFacts(
        chain_id=vault.chain_id,
        token=vault.token,
        vault=vault.address,
        limits={pool: vault.max_epoch_amount_at(pool, reference.number) for pool in POOLS},
        reference_block=reference,
        first_epoch=first_epoch,
    )
    return facts, _tabulate(vault.deposits(reference.number))


def _wait_for_reference(vault: VaultReader, epoch: Epoch, patience_s: float) -> Block:
    """The last block before the epoch's end, once a block after the end is final: then no reorganisation can move it."""
    deadline = time.monotonic() + patience_s
    end_s = -(-epoch.end_us // 1_000_000)
    while not _is_reached(vault, epoch, end_s, may_wait=time.monotonic() < deadline):
        time.sleep(1.0)
    return vault.last_block_before(end_s)


def _is_reached(vault: VaultReader, epoch: Epoch, end_s: int, may_wait: bool) -> bool:
    """Whether a block at or after `end_s` is final; where it is not, or no node says, ChainError unless there is time to
    wait."""
    try:
        final = vault.final_block()
    except ChainUnavailable:
        if may_wait:
            return False
        raise
    if final.timestamp < end_s and not may_wait:
        raise ChainError(
            f"epoch {epoch.number} ends {epoch.end.isoformat()}, the newest final block {final.number} is of "
            f"{datetime.fromtimestamp(final.timestamp, UTC).isoformat()}: not final yet; run again later"
        )
    return final.timestamp >= end_s


def _tabulate(deposits: Sequence[Deposit]) -> pl.DataFrame:
    """Deposit events as `schemas.DEPOSITS`."""
    rows = [
        (
            datetime.fromtimestamp(d.timestamp, UTC),
            d.block_number,
            d.payer,
            d.amount,
            d.protocol_amount,
            d.provider_amount,
            d.user_amount,
            d.funding,
        )
        for d in deposits
    ]
    return pl.DataFrame(rows, schema=dict(DEPOSITS.columns), orient="row")


def choose_since(deposits: pl.DataFrame, before: Manifest | None) -> pl.DataFrame:
    """The deposits that the epoch before had not seen: after its reference block, or after its end without a chain."""
    if before is None:
        return deposits
    if before.chain is not None:
        return deposits.filter(pl.col("block_number") > before.chain.reference_block.number)
    return deposits.filter(pl.col("deposited_at") >= before.epoch.end)
