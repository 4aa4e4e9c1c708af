"""A story: commands that are killed, a node that fails, a chain that goes back, a guardian who interferes; then all is
healed, the commands are run until they have nothing to do, and everything is looked at."""

import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from rewards.errors import RewardsError, UsageError
from tests.faults.commands import Operator
from tests.faults.faults import FAULTS, Fault, hang
from tests.faults.process import AFTER, ANY_STEP, BEFORE, Ended, KillPoint
from tests.faults.world import EPOCHS, GUARDIAN, World
from tests.soak.invariants import Wrong, find_wrong_at_any_moment, find_wrong_at_rest
from tests.soak.tally import Tally

BLOCKS = 8
"""How many come whenever a command waits: finality is 64 behind."""
DEEPEST = 64
MOST_TRIES = 12
USUAL_S = 1.0
"""Seconds of a command, until one of its kind has ended undisturbed."""
SLOWEST_S = 60.0
MOST_POINTS = 40
"""That a command reaches of those in STEPS, roughly."""

RUN = ("run", "--epochs", "0..1")
ATTEST = {number: ("attest", str(number)) for number in EPOCHS}
PUBLISH = {number: ("publish", str(number), "--apply", "--again") for number in EPOCHS}
REVOKE = {number: ("revoke", str(number), "--reason", "a story") for number in EPOCHS}
RESUME = ("resume",)
COMMANDS = [RUN, RESUME, *PUBLISH.values(), *ATTEST.values(), *REVOKE.values()]

LEDGER, BUNDLES, CHAIN, JOBS = "rewards.ledger", "rewards.bundles", "rewards.chain", "rewards.jobs"
SEALING = (
    f"{JOBS}.prepare.prepare_epoch",
    f"{BUNDLES}.store.BundleStore.write_provenance",
    f"{BUNDLES}.store.BundleStore.stage",
    f"{BUNDLES}.disk._write",
    f"{BUNDLES}.disk.move_into_place",
    f"{LEDGER}.store.Ledger.seal",
    f"{LEDGER}.store.Ledger._migrate",
)
SENDING = (
    f"{CHAIN}.sender.Sender.estimate",
    f"{CHAIN}.signers.LocalSigner.sign_transaction",
    f"{LEDGER}.intents.Intents.keep",
    f"{CHAIN}.client.Chain.send_raw",
    f"{CHAIN}.client.Chain.find_receipt",
    f"{CHAIN}.pursuit.Pursuit._is_final",
    f"{LEDGER}.intents.Intents.settle",
)
LOGGING = (
    f"{JOBS}.history.extend_history",
    f"{BUNDLES}.disk.write_file",
    f"{JOBS}.workspace.Workspace.refresh_catalogue",
    f"{LEDGER}.catalogue._fill",
    f"{LEDGER}.catalogue._sync",
)
WITHDRAWING = (f"{JOBS}.workspace.Workspace._set_aside", f"{LEDGER}.store.Ledger.withdraw")
STEPS = {
    "run": (*WITHDRAWING, *SEALING, *LOGGING[2:]),
    "publish": (f"{JOBS}.before_sending.find_objections", *SENDING, *LOGGING),
    "attest": (*SEALING, *SENDING),
    "revoke": (*SENDING, *LOGGING[2:]),
    "resume": (*SENDING, *LOGGING),
}
"""Where each command may be killed; what has been done before is not reached again."""

TOLD = {kind.exit_code for kind in RewardsError.__subclasses__()} - {UsageError.exit_code} | {0}
"""How a command may end: done, or refused in one line that an operator understands; never by surprise."""


@dataclass
class Story:
    """One story, decided by `chance` alone, but for the moments of kills. `is_over`: no more troubles are begun; `usual_s`:
    how long commands take on this machine, learned over stories."""

    number: int
    operator: Operator
    chance: random.Random
    tally: Tally
    is_over: Callable[[], bool] = lambda: False
    usual_s: dict[str, float] = field(default_factory=dict)

    @property
    def world(self) -> World:
        return self.operator.world

    def tell(self) -> None:
        """Everything, and what does not hold goes to the tally."""
        if self.chance.random() < 0.2:
            shutil.rmtree(self.world.folder / "data")  # to be computed anew
        for _ in range(self.chance.randint(15, 30)):
            if self.is_over():
                break
            self._make_trouble()
            self._run_disturbed(self._choose_command())
            self.look_at_once()
        self._heal()
        if self.settle():
            self.look(find_wrong_at_rest)

    # What goes wrong.

    def _make_trouble(self) -> None:
        for likely, trouble in (
            (0.3, self._fail_requests),
            (0.3, self._reorganise),
            (0.1, self._raise_base_fee),
            (0.05, self._restart_node),
            (0.15, self._let_time_pass),
            (0.4 if self.world.truth.is_publishing_paused() else 0.05, self._pause_or_resume),
        ):
            if self.chance.random() < likely:
                trouble()

    def _fail_requests(self) -> None:
        """One or two faults, each from a random request on."""
        for _ in range(self.chance.randint(1, 2)):
            name = self.chance.choice(sorted(FAULTS))
            fault = hang(0.05, name.endswith("accept")) if name.startswith("hang") else FAULTS[name]
            self.world.proxy.inject(fault, times=self._choose_times(fault), after=self.chance.randint(0, 60))

    def _choose_times(self, fault: Fault) -> int:
        """A command asks for the id of the chain once, and for all else many times."""
        return self.chance.randint(1, 2 if fault.name == "wrong chain id" else 25 if fault.lasting else 4)

    def _reorganise(self) -> None:
        """Above the blocks that the inputs depend on, and what was final stays."""
        node = self.world.node
        deepest = min(DEEPEST, node.head() - node.final())
        node.reorganise(self.chance.randint(1, deepest))
        self.tally.add("reorganisations")

    def _raise_base_fee(self) -> None:
        self.world.node.set_base_fee(10 ** self.chance.randint(9, 12))
        self.tally.add("fee_spikes")

    def _restart_node(self) -> None:
        self.world.node.restart()
        self.world.node.advance(1)  # one that was started anew is back at its first time
        self.tally.add("restarts")

    def _let_time_pass(self) -> None:
        """Longer than the delay after which an attested root is active."""
        self.world.node.advance(4000)

    def _pause_or_resume(self) -> None:
        """By the guardian, past everything that waits."""
        paused = self.world.truth.is_publishing_paused()
        self.world.node.ask("anvil_dropAllTransactions")
        self.world.node.set_base_fee(10**9)
        self.world.call_vault(GUARDIAN, "resumePublishing" if paused else "pausePublishing")
        self.tally.add("pauses", int(not paused))

    def _choose_command(self) -> tuple[str, ...]:
        """What comes next, or anything."""
        if self.chance.random() < 0.4:
            return self.chance.choice(COMMANDS)
        pending = self.world.truth.pending_epoch()
        if pending is not None and self.chance.random() < 0.2:
            return REVOKE[pending]
        if not all(self.world.workspace().store.has(number) for number in EPOCHS):
            return RUN
        for number in EPOCHS:
            record = self.world.truth.root_at(number)
            if record is None or record.status == "revoked":
                return PUBLISH[number]
            if record.attestations_missing:
                return ATTEST[number]
        return RESUME

    def _run_disturbed(self, command: tuple[str, ...]) -> None:
        """Killed at a step of a name, at one of any name, at a random moment, or not at all."""
        way, usual = self.chance.random(), self.usual_s.get(command[0], USUAL_S)
        kill, max_seconds = None, self.chance.uniform(0.0, usual)
        if way < 0.5:
            kill = self._choose_point(command[0])
            max_seconds += 2 * usual
        elif way > 0.9:
            max_seconds = SLOWEST_S
        self.run(command, kill, max_seconds)

    def _choose_point(self, command: str) -> KillPoint:
        if self.chance.random() < 0.5:
            return KillPoint(ANY_STEP, number=self.chance.randint(1, MOST_POINTS))
        when, number = self.chance.choice((BEFORE, AFTER)), self.chance.choice((1, 1, 1, 1, 2, 3))
        return KillPoint(self.chance.choice(STEPS[command]), when, number)

    def run(self, command: tuple[str, ...], kill: KillPoint | None = None, max_seconds: float = SLOWEST_S) -> Ended:
        folder = "attester" if command[0] == "attest" else "data"
        self.operator.more = {"REWARDS_DATA": str(self.world.folder / folder)}
        before, began = self._count_faults(), time.monotonic()
        ended = self.operator.run(*command, kill=kill, steps=STEPS[command[0]], max_seconds=max_seconds)
        if ended.status == 0:
            self.usual_s[command[0]] = time.monotonic() - began
        self.tally.add("commands")
        self.tally.add("rpc_faults", self._count_faults() - before)
        self.tally.add("kills", int(ended.was_killed))
        self.tally.add("named_kills", int(ended.died_at(kill)))
        self.tally.add("revocations", int(command[0] == "revoke" and ended.status == 0))
        if not ended.was_killed and (ended.status not in TOLD or "error: unexpected" in ended.err):
            last = (ended.err.strip().splitlines() or ["nothing said"])[0]
            self.tally.report(self.number, "told errors", f"{' '.join(command)} ended with {ended.status}: {last}")
        return ended

    def _count_faults(self) -> int:
        return sum(seen.fault is not None for seen in self.world.proxy.seen)

    # What follows.

    def _heal(self) -> None:
        self.world.proxy.heal()
        self.operator.mine_when_asked()
        if self.world.truth.is_publishing_paused():
            self._pause_or_resume()
        self.world.node.set_base_fee(10**9)
        self.world.proxy.mine(DEEPEST + 2)

    def settle(self) -> bool:
        """The commands of two nights, until each has had its effect; a bounded number of times."""
        for command in self._list_commands_left():
            ended = self.run(command)
            tries = 1
            while ended.status != 0 and tries < MOST_TRIES:
                ended = self.run(command)
                tries += 1
            if ended.status != 0:
                told = (ended.err.strip().splitlines() or ["killed after a minute"])[0]
                self.tally.report(self.number, "settled", f"{' '.join(command)} in {MOST_TRIES} tries: {told}")
                return False
        return True

    def _list_commands_left(self) -> Iterator[tuple[str, ...]]:
        yield RESUME
        yield RUN
        for number in EPOCHS:
            yield PUBLISH[number]
            yield ATTEST[number]
            self._let_time_pass()
            self.world.proxy.mine(DEEPEST + 2)
        yield RESUME

    def look_at_once(self) -> None:
        self.look(find_wrong_at_any_moment)

    def look(self, find_wrong: Callable[[World], Iterable[Wrong]]) -> None:
        for invariant, message in find_wrong(self.world):
            self.tally.report(self.number, invariant, message)
