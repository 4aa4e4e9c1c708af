"""Stories of the publishing protocol: operators run commands, nodes and chain do what they can, and after each step the
chain, the ledger and the history are compared with plain models of them.

Every story ends with all faults healed; a few runs of the same commands must then bring it to a good end.
"""

import shutil
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rewards.bundles.history import HistoryStore
from rewards.errors import RewardsError, Severity
from rewards.jobs import attest, workspace
from rewards.jobs.prepare import Prepared, RunSettings, StageClock, prepare_epoch
from rewards.jobs.publish import find_published
from rewards.jobs.reconcile import reconcile
from rewards.units import PROVIDER, USER
from tests.faults.crashes import Crashed
from tests.faults.ledger_model import LedgerModel
from tests.faults.proxy import Proxy
from tests.faults.trouble import STEPS, Command, Event, Trouble
from tests.faults.vault_model import FINALITY, CanonicalChain, VaultState, ask_vault, succeeds
from tests.faults.world import (
    ATTESTER,
    EPOCHS,
    FEE_CAP,
    GUARDIAN,
    PUBLISHER,
    SECOND_ATTESTER,
    Ground,
    World,
    make_world,
)

DEEPEST = 64
ROUNDS = 5
"""How often an operator may have to run the commands again once nothing is broken any more."""
FRESH_AFTER = 6
"""Stories until the node is started anew, because it grows heavy."""


class PublishingMachine(RuleBasedStateMachine):
    """Subclasses say on which `ground` and in which `folder`, and count what happened."""

    ground: ClassVar[Ground]
    folder: ClassVar[Path]
    tally: ClassVar[Counter[str]]
    _stories: ClassVar["count[int]"] = count()

    prepared: ClassVar[dict[int, Prepared]] = {}

    world: World

    @initialize(reinject=st.booleans())
    def begin(self, reinject: bool) -> None:
        """`reinject`: whether the node pools again what a reorganisation put out of a block, as geth does."""
        number = next(self._stories)
        if number % FRESH_AFTER == FRESH_AFTER - 1:
            self.ground.beginning.restore(fresh=True)
        folder = self.folder / str(number)
        folder.mkdir()
        proxy = Proxy(self.ground.node.url, reinject=reinject)
        proxy.open()
        self.world = make_world(self.ground, proxy, folder)
        self.truth = self.world.truth
        node = self.ground.node
        self.chain = CanonicalChain(node, self.ground.deployment.vault, node.head() - DEEPEST)
        self.ledger = LedgerModel(self.world, self.chain)
        self.ledger.watch()
        self.manifests = {epoch: self.world.manifest(epoch) for epoch in EPOCHS}
        self.compared = ""
        self.back = timedelta()
        self.patch = pytest.MonkeyPatch()
        _patch_clock(self.patch, lambda: self.back)
        self.patch.setattr(attest, "prepare_epoch", self._prepare_once)

    def _prepare_once(
        self, folder: workspace.Workspace, inputs: RunSettings, number: int, clock: StageClock
    ) -> Prepared:
        """The same inputs give the same epoch, and computing it takes as long as all of the rest."""
        if number not in self.prepared:
            self.prepared[number] = prepare_epoch(folder, inputs, number, clock)
        return self.prepared[number]

    @rule(step=STEPS)
    def next(self, step: Command | Event) -> None:
        """One rule for all, so that each story has everything: hypothesis would leave half of the rules out of each."""
        self.run(step) if isinstance(step, Command) else self.happen(step)

    def run(self, command: Command) -> None:
        """A command, and what must be true if it says that it succeeded."""
        epoch, world, final = command.epoch, self.world, lambda: self.chain.final.state
        match command.name:
            case "publish":
                done = self._run(lambda: world.publish(epoch, command.other), command.trouble)
                assert not done or self._stands(final(), epoch)
            case "attest":
                attester = SECOND_ATTESTER if command.other else ATTESTER
                done = self._run(lambda: world.attest(epoch, attester), command.trouble)
                assert not done or final().roots[epoch].missing == 0
            case "revoke":
                done = self._run(lambda: world.revoke(epoch), command.trouble)
                assert not done or not final().is_live(epoch)
            case "resume":
                self._run(world.resume, command.trouble)

    def happen(self, event: Event) -> None:
        """An event, now."""
        self.tally[event.name] += 1
        node, world = self.ground.node, self.world
        self.chain.follow()
        state = self.chain.head.state
        match event.name:
            case "mine":
                world.proxy.mine(event.size) if event.size < DEEPEST // 4 else node.mine(event.size)
            case "spike":
                node.set_base_fee(event.size)
            case "reorganise":
                self._reorganise(min(event.size, self.chain.head.number - self.chain.floor))
            case "drop the pool":
                node.ask("anvil_dropAllTransactions")
            case "restart":
                node.restart()
                node.set_next_time(int(node.block()["timestamp"], 16) + 1)
            case "use the key elsewhere":
                world.send_past_the_proxy(PUBLISHER, "0x")
            case "advance":
                node.advance(event.size)
            case "set the clock":
                self.back = timedelta(hours=event.size)
            case "pause or resume publishing":
                world.call_vault(GUARDIAN, "resumePublishing" if state.paused else "pausePublishing")
            case "publish a rival":
                if event.size and not world.rivals and state.pending is None and state.next_epoch in EPOCHS:
                    world.publish_rival(state.next_epoch)
        self.chain.follow()

    def _reorganise(self, depth: int) -> None:
        """As deep as that; where anvil loses code by it, no final block may be one that lacks it."""
        if depth and self.ground.node.reorganise(depth):
            self.ground.node.mine(FINALITY + 1)

    # What must hold.

    @invariant()
    def the_chain_is_as_modelled(self) -> None:
        self.tally["steps"] += 1
        self.chain.follow()
        head = self.chain.head
        if head.hash == self.compared:
            return
        self.compared = head.hash
        node, vault = self.ground.node, self.ground.deployment.vault
        for height in (head, self.chain.final):
            assert ask_vault(node, vault, height.number, height.state) == height.state.answers()
        for epoch in EPOCHS:
            assert not head.state.is_live(epoch) or head.state.roots[epoch].root in self._known_roots(epoch)
        self._require_revoked_is_dead()

    def _known_roots(self, epoch: int) -> set[bytes]:
        return {self.manifests[epoch].root, *self.world.rivals}

    def _require_revoked_is_dead(self) -> None:
        """Nothing that was signed for fewer revocations goes through any more."""
        vault, revocations = self.ground.deployment.vault, self.chain.head.state.revocations
        for data in self.ledger.publications:
            if int.from_bytes(data[-32:]) < revocations:
                came_back = succeeds(self.ground.node, PUBLISHER.address, vault, data)
                assert not came_back, f"a publication that was revoked would go through again: {data.hex()}"

    def _run(self, command: Callable[[], Any], trouble: Trouble) -> bool:
        """Whether it succeeded. It may be refused in one line or die; then what it left must be in order."""
        refusal = "none"
        end = "done"
        try:
            with trouble.arranged(self):
                command()
        except RewardsError as error:
            refusal, end = str(error), "refused"
        except Crashed:
            end = "crashed"
        self.tally[end] += 1
        assert len(refusal.splitlines()) == 1, f"a refusal is one line, not {refusal!r}"
        self.ledger.watch()
        self.chain.follow()
        self.ledger.compare(trouble.cap)
        self._compare_history()
        return end == "done"

    def _compare_history(self) -> None:
        """What is logged is the beginning of what is final; the code finds every final publication of ours."""
        final = self.chain.final
        log = HistoryStore(self.world.workspace().data).read().log
        assert b"".join(final.state.entries).startswith(log)
        for epoch in EPOCHS:
            if self._stands(final.state, epoch):
                assert find_published(self.truth, self.manifests[epoch], final.number) is not None

    def _stands(self, state: VaultState, epoch: int) -> bool:
        """Whether our own publication of an epoch is live."""
        manifest = self.manifests[epoch]
        ours = manifest.root, manifest.hash, (manifest.total(PROVIDER), manifest.total(USER))
        root = state.roots.get(epoch)
        return root is not None and state.is_live(epoch) and ours == (root.root, root.manifest, root.totals)

    # The end.

    def teardown(self) -> None:
        """The good end, unless the story was broken off."""
        if not hasattr(self, "patch"):
            return
        try:
            if sys.exc_info()[0] is None:
                self._end_well()
        finally:
            self.tally.update(str(row.outcome) for row in self.ledger.seen.values())
            self.tally.update(seen.fault for seen in self.world.proxy.seen if seen.fault)
            self.patch.undo()
            self.world.proxy.close()
            shutil.rmtree(self.world.folder, ignore_errors=True)

    def _end_well(self) -> None:
        self.ground.node.set_base_fee(7)
        if self.chain.head.state.paused:
            self.world.call_vault(GUARDIAN, "resumePublishing")
        refusals = [self._run_everything() for _ in range(ROUNDS) if not self._is_well()]
        assert self._is_well(), f"not well after {ROUNDS} rounds: {refusals}"
        sent = len(self.world.proxy.sent_transactions())
        left = {resumed.transaction.hex() for resumed in self.world.resume() if resumed.receipt is None}
        self.ledger.compare(FEE_CAP)
        assert len(self.world.proxy.sent_transactions()) == sent
        assert {row.hash for row in self.ledger.open[-1:]} <= left
        findings = reconcile(self.world.workspace(), self.truth)
        if not self.world.rivals and not self.ledger.lied_about:
            assert [one for one in findings if one.severity == Severity.CRITICAL] == []

    def _run_everything(self) -> list[str]:
        """All commands that still have something to do, once, as operators run them; what was refused."""
        refusals = [self._note(self.world.resume)]
        for epoch in EPOCHS:
            state = self.chain.head.state
            if state.is_live(epoch) and state.roots[epoch].root in self.world.rivals:
                refusals.append(self._note(lambda epoch=epoch: self.world.revoke(epoch)))
            if not self._is_well(epoch):
                refusals.append(self._note(lambda epoch=epoch: self.world.publish(epoch, again=True)))
                refusals.append(self._note(lambda epoch=epoch: self.world.attest(epoch)))
            self.ground.node.advance(4000)
            self.chain.follow()
        return [told for told in refusals if told]

    def _note(self, command: Callable[[], Any]) -> str:
        told = ""

        def noting() -> None:
            nonlocal told
            try:
                command()
            except RewardsError as error:
                told = f"{type(error).__name__}: {error}"
                raise

        self._run(noting, Trouble(polls=30))
        return told

    def _is_well(self, *epochs: int) -> bool:
        """These epochs, or all, stand and are attested, finally."""
        state = self.chain.final.state
        return all(self._stands(state, epoch) and state.roots[epoch].missing == 0 for epoch in epochs or EPOCHS)


def _patch_clock(patch: pytest.MonkeyPatch, back: Callable[[], timedelta]) -> None:
    """`now` of every job goes wrong by what `back` says."""
    real = workspace.now

    def now() -> datetime:
        return real() - back()

    for name, module in sys.modules.copy().items():  # while others import
        if name.startswith("rewards.jobs.") and getattr(module, "now", None) is real:
            patch.setattr(module, "now", now)
