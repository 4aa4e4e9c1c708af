"""Two thousand steps of publishing, broken in every way at once: a state machine against a real node."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from rewards.chain.client import Chain
from rewards.chain.intent import Intent, SignedIntent
from rewards.chain.pursuit import Pursuit
from rewards.chain.sender import Sender
from rewards.chain.signers import Signer
from rewards.jobs.intents import LedgerIntents
from tests.faults.machine import PublishingMachine
from tests.faults.trouble import DEAR_PUBLICATIONS, Command
from tests.faults.world import Ground

STORIES, STEPS, ENOUGH = 54, 50, 2000

STORY = settings(
    deadline=None,
    derandomize=True,  # everybody is told the same stories; new ones are for `make soak`
    database=None,
    max_examples=STORIES,
    stateful_step_count=STEPS,
    phases=(Phase.generate,),  # a story takes seconds: it is told as it was found
    report_multiple_bugs=False,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


def _tell_stories(kind: type[PublishingMachine], ground: Ground, folder: Path, chosen: settings) -> Counter[str]:
    """What happened, by name."""
    tally: Counter[str] = Counter()
    machine = type("Story", (kind,), {"ground": ground, "folder": folder, "tally": tally})
    try:
        run_state_machine_as_test(machine, settings=chosen)
    finally:
        print(tally.most_common())
    return tally


@pytest.mark.timeout(1800)
def test_whatever_happens_both_epochs_are_published_once(ground: Ground, tmp_path: Path) -> None:
    tally = _tell_stories(PublishingMachine, ground, tmp_path, STORY)
    assert tally["steps"] >= ENOUGH
    assert set(tally) >= {"refused", "crashed", "succeeded", "replaced", "dead", "reorganise", "restart"}


# That the machine can fail: defects that it must find.


class DearStory(PublishingMachine):
    """Nothing but publications while fees rise, so that a defect is found soon."""

    @rule(step=DEAR_PUBLICATIONS)
    def next(self, step: Command) -> None:
        self.run(step)


def _keep_after_sending(patch: pytest.MonkeyPatch) -> None:
    waiting: list[tuple[LedgerIntents, SignedIntent]] = []
    keep, send = LedgerIntents.keep, Chain.send_raw

    def send_and_keep(chain: Chain, raw: bytes, purpose: str) -> None:
        send(chain, raw, purpose)
        while waiting:
            keep(*waiting.pop(0))

    patch.setattr(LedgerIntents, "keep", lambda store, signed: waiting.append((store, signed)))
    patch.setattr(Chain, "send_raw", send_and_keep)


def _replace_at_the_next_nonce(patch: pytest.MonkeyPatch) -> None:
    def replace(sender: Sender, stored: SignedIntent, intent: Intent, signer: Signer) -> SignedIntent:
        return sender._sign(intent, signer, stored.nonce + 1, stored.gas, stored)

    patch.setattr(Sender, "replace", replace)


def _settle_before_it_is_final(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pursuit, "_is_final", lambda *_: True)
    patch.setattr(Sender, "_wait_until_done", lambda *_: True)


DEFECTS = {
    "was sent before the ledger held it": _keep_after_sending,
    "was sent at nonce": _replace_at_the_next_nonce,
    "is not final": _settle_before_it_is_final,
}


@pytest.mark.parametrize("told", DEFECTS)
def test_a_planted_defect_is_found(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    DEFECTS[told](monkeypatch)
    chosen = settings(STORY, max_examples=5, stateful_step_count=8)
    with pytest.raises(AssertionError, match=told):
        _tell_stories(DearStory, ground, tmp_path, chosen)
