"""Replay a sealed epoch: count the rows that it quarantined again, by the inputs as they are now, and credit what they
would have earned by corrections. Whatever was sealed stays as it is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewards.corrections import Correction, SignedCorrection
from rewards.errors import Finding, UsageError
from rewards.jobs.correct import CorrectionQueue, ListedCorrection, read_correction
from rewards.jobs.prepare import REPEAT_EPOCHS, OnStage
from rewards.jobs.recount import count_again, order_reasons
from rewards.jobs.sealed import read_sealed, require_sealed
from rewards.replay import Change, add_up_replays, choose_corrections, compare_allocations, find_credit, name_replay
from rewards.units import PROVIDER

if TYPE_CHECKING:  # eth-account is slow to import, and a plan takes no key
    from rewards.chain.signers import DigestSigner


@dataclass(frozen=True)
class ReplayedChange:
    """A change that a replay found, what replays before credited of it, and what is left to credit (base units); an
    account that is missing can get nothing, and what `waits` is left to the next replay."""

    change: Change
    credited_before: int
    credit: int
    has_account: bool
    waits: bool


@dataclass(frozen=True)
class ReplayPlan:
    """What a replay of `epoch`, sealed as `manifest`, comes to: rows by reason that were quarantined then and are now,
    rows that count now (`earning`, `not_earning`), every change of an amount, the corrections for epoch `enters` and what
    forbids them.
    `open_epochs` may still count rows of the replayed one: rows that arrive late. `replayed` are the epochs around it, and
    itself, that were replayed before."""

    epoch: int
    manifest: str
    enters: int
    reason: str
    quarantined_then: Mapping[str, int]
    quarantined_now: Mapping[str, int]
    earning: int
    not_earning: int
    changes: Sequence[ReplayedChange]
    corrections: Sequence[Correction]
    findings: Sequence[Finding]
    open_epochs: Sequence[int]
    replayed: frozenset[int]


def plan_replay(
    queue: CorrectionQueue,
    number: int,
    text: str,
    enters: int | None = None,
    most: int | None = None,
    on_stage: OnStage = lambda _: None,
) -> ReplayPlan:
    """Count epoch `number` again and say what is to be credited; signs and keeps nothing. `text` is why; the corrections
    enter epoch `enters`, or the next that is not sealed; with `most`, the so many largest.

    Raises UsageError for an epoch that is not sealed, one that takes no corrections, and rows that another replay may have
    paid, InputError where the inputs now quarantine more than then, lack what was counted, or have rows that were not
    there, Disagreement where the bundle is not what was sealed.
    """
    reason = name_replay(number, text)
    enters = queue.next_epoch() if enters is None else enters
    queue.require_open(enters)
    read_correction(enters, PROVIDER, "any", 1, reason)  # what cannot be signed is refused before the long work
    on_stage("read the sealed epoch")
    sealed = read_sealed(queue, number)
    signed = _list_replays(queue, number)
    replayed = _find_replayed(signed, number)
    inputs, counts = count_again(queue, sealed, replayed, on_stage)
    on_stage("score and allocate")
    credited, accounts = add_up_replays(signed, number), queue.accounts
    changes = compare_allocations(sealed.allocations, sealed.allocate(inputs), credited)
    corrections = choose_corrections(changes, credited, accounts, enters, reason, most)
    _require_new_reason(queue, corrections)
    return ReplayPlan(
        epoch=number,
        manifest=sealed.manifest.digest,
        enters=enters,
        reason=reason,
        quarantined_then=order_reasons(sealed.manifest.counts["quarantined"]),
        quarantined_now=order_reasons(counts.quarantined),
        earning=counts.earning,
        not_earning=sum(counts.not_earning.values()),
        changes=_tell_changes(changes, credited, accounts, corrections),
        corrections=corrections,
        findings=[*queue.foresee(corrections, enters), *queue.foresee_room(corrections)],
        open_epochs=[e for e in range(number + 1, number + REPEAT_EPOCHS + 1) if e >= queue.next_epoch()],
        replayed=replayed,
    )


def _tell_changes(
    changes: Sequence[Change],
    credited: Mapping[tuple[int, str], int],
    accounts: Collection[str],
    corrections: Sequence[Correction],
) -> list[ReplayedChange]:
    chosen = {(one.pool, one.account_id) for one in corrections}
    told = []
    for one in changes:
        key, has_account = (one.pool, one.account_id), one.account_id in accounts
        credit = find_credit(one, credited) if has_account else 0
        waits = credit > 0 and key not in chosen
        told.append(ReplayedChange(one, credited.get(key, 0), credit, has_account, waits))
    return told


def apply_replay(queue: CorrectionQueue, plan: ReplayPlan, signer: "DigestSigner") -> list[ListedCorrection]:
    """Sign the corrections of a plan and keep them with the inputs, all or none. What replays have credited is looked up
    once more, so that two at the same time credit once. Raises as `CorrectionQueue.add`, Disagreement where the epoch is
    no longer the one that was replayed, and UsageError where an epoch around it was replayed since."""
    planned = {(one.pool, one.account_id) for one in plan.corrections}
    changes = [one.change for one in plan.changes if (one.change.pool, one.change.account_id) in planned]

    def choose() -> list[Correction]:
        require_sealed(queue, plan.epoch, plan.manifest)
        signed = _list_replays(queue, plan.epoch)
        # Another replay of the same epoch is subtracted; one of its neighbours decides which of them pays a row of both.
        if (now := _find_replayed(signed, plan.epoch)) not in (plan.replayed, plan.replayed | {plan.epoch}):
            changed = ", ".join(map(str, sorted(now ^ plan.replayed)))
            raise UsageError(
                f"replays of epoch {changed} were signed or removed since this one was planned; replay it again"
            )
        credited = add_up_replays(signed, plan.epoch)
        chosen = choose_corrections(changes, credited, queue.accounts, plan.enters, plan.reason)
        _require_new_reason(queue, chosen)
        return chosen

    return queue.add_all(plan.enters, choose, signer)


def _require_new_reason(queue: CorrectionQueue, chosen: Sequence[Correction]) -> None:
    """One reason stands for one amount; what an earlier replay named so is another amount."""
    waiting = {record.content[:4] for record in queue.folder.corrections()}
    for correction in chosen:
        if correction.content[:4] in waiting:
            raise UsageError(
                f"{correction.account_id!r} has a correction of epoch {correction.epoch} for the reason "
                f"{correction.reason!r} already; give another --reason"
            )


def _list_replays(queue: CorrectionQueue, number: int) -> list[SignedCorrection]:
    """Corrections that replay an epoch or one of the three before and after it, be they entered or waiting. UsageError for
    one that the night would refuse, that missed its epoch, or whose epoch is not here: whether it is paid nobody knows."""
    begins = tuple(name_replay(epoch, "") for epoch in _list_around(number))
    listed = [one for one in queue.list_all() if one.record.reason.startswith(begins)]
    for one in listed:
        if one.state not in ("entered", "waiting"):
            raise UsageError(
                f"{one.id} replays epoch {_find_epoch(one.record, number)} and is {one.state} "
                f"({one.problem}); settle that, or remove it by rewards correct remove, then replay again"
            )
    return [one.record for one in listed]


def _find_replayed(signed: Sequence[SignedCorrection], number: int) -> frozenset[int]:
    return frozenset(_find_epoch(record, number) for record in signed)


def _find_epoch(record: SignedCorrection, number: int) -> int:
    return next(epoch for epoch in _list_around(number) if record.reason.startswith(name_replay(epoch, "")))


def _list_around(number: int) -> range:
    return range(max(0, number - REPEAT_EPOCHS), number + REPEAT_EPOCHS + 1)
