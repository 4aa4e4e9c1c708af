"""What may happen to a command while it runs, as values that hypothesis draws and prints."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.faults.crashes import PLACES, Crash
from tests.faults.faults import FAULTS
from tests.faults.world import DAY_S, FEE_CAP

if TYPE_CHECKING:
    from tests.faults.machine import PublishingMachine

POLLS = 14
METHODS = ("eth_sendRawTransaction", "eth_getTransactionReceipt", "eth_getBlockByNumber", "eth_call")
SLOW = {"hang", "hang after accept"}
"""A client waits for these until it gives up: one of them at a time is enough."""


@dataclass(frozen=True)
class BadAnswer:
    """A fault of FAULTS that meets `times` requests of `method` (None: of those that it is for), the first `after` not."""

    name: str
    method: str | None = None
    after: int = 0
    times: int = 1


@dataclass(frozen=True)
class Event:
    """Something that happens to chain, node or clock: the name of what `PublishingMachine.happen` does, how much of it."""

    name: str
    size: int = 1


@dataclass(frozen=True)
class Trouble:
    """Everything that is wrong with one run of a command. `at`: after how many pauses `event` happens. Nothing
    is signed for more than `cap`."""

    bad_answer: BadAnswer | None = None
    crash: Crash | None = None
    event: Event | None = None
    at: int = 0
    polls: int = POLLS
    cap: int = FEE_CAP

    @contextmanager
    def arranged(self, machine: "PublishingMachine") -> Iterator[None]:
        """Within, a command runs into it; afterwards nothing of it is left but what it did."""
        world = machine.world
        world.polls, world.fee_cap = self.polls, self.cap
        pauses = iter(range(1 << 30))

        def pause() -> None:
            if self.event is not None and next(pauses) == self.at:
                machine.happen(self.event)

        world.on_pause = pause
        with ExitStack() as stack:
            if self.bad_answer is not None:
                bad = self.bad_answer
                world.proxy.inject(bad.name, bad.method, bad.times, bad.after)
            if self.crash is not None:
                stack.enter_context(self.crash.planted())
            try:
                yield
            finally:
                world.on_pause = lambda: None
                world.proxy.heal()


FEES = st.builds(Event, st.just("spike"), st.sampled_from([7, 10**9, 10**11, 10**12]))
LOSSES = st.builds(Event, st.sampled_from(["drop the pool"] * 4 + ["restart"]))
DEPTHS = st.builds(Event, st.just("reorganise"), st.one_of(st.sampled_from([1, 2, 3, 7, 32, 64]), st.integers(1, 64)))
BLOCKS = st.builds(
    Event, st.just("mine"), st.one_of(st.integers(1, 6), st.integers(1, 6), st.sampled_from([12, 30, 64]))
)
ELSEWHERE = st.just(Event("use the key elsewhere"))
TIME = st.builds(Event, st.just("advance"), st.sampled_from([1800, 4000, 8000, 15 * DAY_S]))
CLOCK = st.builds(Event, st.just("set the clock"), st.integers(-72, 72))
GUARDIAN_ACTS = st.just(Event("pause or resume publishing"))
RIVALS = st.builds(Event, st.just("publish a rival"), st.sampled_from([0, 0, 1]))
EVENTS = st.one_of(FEES, LOSSES, DEPTHS, BLOCKS, ELSEWHERE)


def _draw_bad_answer(name: str) -> st.SearchStrategy[BadAnswer]:
    """At any request of a command, for faults that any request may meet."""
    if FAULTS[name].methods:
        return st.builds(BadAnswer, st.just(name), st.none(), st.integers(0, 2), st.integers(1, 3))
    times = st.just(1) if name in SLOW else st.integers(1, 6)
    somewhere = st.builds(BadAnswer, st.just(name), st.none(), st.integers(0, 30), times)
    return st.builds(BadAnswer, st.just(name), st.sampled_from(METHODS), st.integers(0, 3), times) | somewhere


BAD_ANSWERS = st.sampled_from(sorted(FAULTS)).flatmap(_draw_bad_answer)
CRASHES = st.builds(Crash, st.sampled_from(sorted(PLACES)), st.booleans(), st.sampled_from([1, 1, 1, 2]))
PAUSES, FEW_POLLS = st.integers(0, 3), st.integers(1, 10)
TROUBLES = st.one_of(
    st.builds(Trouble, polls=st.sampled_from([POLLS, POLLS, 1, 2, 3, 5, 10])),
    st.builds(Trouble, bad_answer=BAD_ANSWERS),
    st.builds(Trouble, crash=CRASHES),
    st.builds(Trouble, event=EVENTS, at=PAUSES),
    st.builds(Trouble, event=FEES | ELSEWHERE, at=PAUSES),
    st.builds(Trouble, event=FEES, at=PAUSES, cap=st.sampled_from([10**9, 10**10, 10**12])),
    st.builds(Trouble, bad_answer=BAD_ANSWERS, crash=CRASHES, event=EVENTS, at=PAUSES, polls=FEW_POLLS),
)


@dataclass(frozen=True)
class Command:
    """What an operator runs: publish (`other`: --again), attest (`other`: the second attester), revoke or resume."""

    name: str
    epoch: int = 0
    other: bool = False
    trouble: Trouble = Trouble()


COMMANDS = st.builds(
    Command,
    st.sampled_from(["publish", "publish", "publish", "attest", "revoke", "resume"]),
    st.sampled_from([0, 0, 1]),
    st.booleans(),
    TROUBLES,
)
_OFTEN = {
    "commands": 4,
    "fees": 1,
    "losses": 1,
    "depths": 2,
    "blocks": 2,
    "elsewhere": 1,
    "time": 1,
    "clock": 1,
    "acts": 1,
}
_WHAT: dict[str, st.SearchStrategy[Command | Event]] = {
    "commands": COMMANDS,
    "fees": FEES,
    "losses": LOSSES,
    "depths": DEPTHS,
    "blocks": BLOCKS,
    "elsewhere": ELSEWHERE,
    "time": TIME,
    "clock": CLOCK,
    "acts": GUARDIAN_ACTS | RIVALS,
}
STEPS = st.sampled_from([kind for kind, often in _OFTEN.items() for _ in range(often)]).flatmap(_WHAT.__getitem__)

SPIKES = st.builds(Event, st.just("spike"), st.sampled_from([10**11, 10**12]))
DEAR_PUBLICATIONS = st.builds(Command, st.just("publish"), trouble=st.builds(Trouble, event=SPIKES))
"""Publications whose first version is too cheap for the next block."""
