"""Read the Vault's events into the ledger up to the final block, range by range: a kill anywhere loses nothing and
counts nothing twice."""

from collections.abc import Callable

from rewards.chain.observation import read_counters, read_events
from rewards.chain.vault import Vault
from rewards.errors import ChainError, Finding
from rewards.events import add_counters, add_up_events
from rewards.jobs.workspace import now
from rewards.ledger.observed import Cursor, ObservedChain
from rewards.ports import Block, VaultCounters, VaultEvents
from rewards.reconcile import reconcile_counters
from rewards.units import POOLS

OnRange = Callable[[str, float], None]
"""Called before each range with its name and the share of the blocks that is read already."""

_NOTHING = VaultCounters(dict.fromkeys(POOLS, 0), dict.fromkeys(POOLS, 0), 0, 0, 0)


def observe_chain(
    observed: ObservedChain, vault: Vault, range_size: int, on_range: OnRange
) -> tuple[Cursor, list[Finding]]:
    """The cursor once every final block is read, and notes on what could not be checked.

    Where the chain is no longer the one that was read, what was read is forgotten, the break is kept, and all is read
    anew. Raises ChainError where the node hides logs, answers with others than asked, or nothing is final yet;
    StorageError where another process reads the chain too.
    """
    final, first = vault.final_block(), vault.deployment.deployed_block
    if final.number < first:
        raise ChainError(f"block {first}, the Vault's first, is not final yet (final: {final.number}); run again later")
    cursor = observed.cursor()
    broken = find_break(cursor, vault) if cursor is not None else None
    if broken is not None:
        observed.forget_broken(broken, now())
        cursor = None
    sums = observed.counters() if cursor is not None else _NOTHING
    notes: list[Finding] = []
    for start in range(first if cursor is None else cursor.block + 1, final.number + 1, range_size):
        last = min(start + range_size - 1, final.number)
        on_range(f"read blocks {start} to {last} of {final.number}", (start - first) / (final.number + 1 - first))
        events = read_events(vault, start, last)
        sums = add_counters(sums, add_up_events(events))
        if last == final.number:
            _require_same_block(events, final)
            _require_complete(sums, read_counters(vault, last), events, vault)
        elif not notes:
            notes += _check_where_kept(sums, events, vault)
        cursor = observed.store(events, cursor, vault.chain_id, vault.address)
    assert cursor is not None  # the first block is final, so at least one range was read, now or before
    return cursor, notes


def find_break(cursor: Cursor, vault: Vault) -> Finding | None:
    """Why the chain cannot be the one that was read up to `cursor`; null when it is."""
    read = f"chain {cursor.chain_id}, Vault {cursor.vault}"
    asked = f"chain {vault.chain_id}, Vault {vault.address}"
    if read != asked:
        return Finding("reconcile", "what was read before is of another Vault; it was read anew", asked, read)
    wanted, head = f"block 0x{cursor.hash.hex()}", vault.head().number
    if head < cursor.block:
        message = f"block {cursor.block} was final, the chain ends before it; it was read anew"
        return Finding("reconcile", message, wanted, f"newest block {head}")
    found = vault.chain.block(cursor.block).hash
    if found != cursor.hash:
        message = f"block {cursor.block} was final and is another one now; the chain was read anew"
        return Finding("reconcile", message, wanted, f"block 0x{found.hex()}")
    return None


def _require_same_block(events: VaultEvents, final: Block) -> None:
    if events.last.hash != final.hash:
        raise ChainError(
            f"block {final.number} was called final as 0x{final.hash.hex()} and is 0x{events.last.hash.hex()} now; "
            "nothing of it was stored, run again or use another endpoint"
        )


def _require_complete(sums: VaultCounters, counted: VaultCounters, events: VaultEvents, vault: Vault) -> None:
    missing = reconcile_counters(sums, counted)
    if missing:
        told = "; ".join(f"{f.message} ({f.expected}, {f.observed})" for f in missing)
        raise ChainError(
            f"{vault.chain.where} hides events up to block {events.last.number}: {told}; blocks from {events.first} on "
            "were not stored; use another endpoint, and `rewards reconcile --from-start` if that does not help"
        )


def _check_where_kept(sums: VaultCounters, events: VaultEvents, vault: Vault) -> list[Finding]:
    """Check a range that is not the last one. Many nodes keep no state of old blocks; then a note says so, and the check
    of the last range, which no node may refuse, covers all."""
    last = events.last.number
    try:
        counted = read_counters(vault, last)
    except ChainError as error:
        message = f"events up to block {last} were not checked by themselves, only at the end"
        return [Finding("reconcile", message, "the Vault's counters at that block", str(error), refuses=False)]
    _require_complete(sums, counted, events, vault)
    return []
