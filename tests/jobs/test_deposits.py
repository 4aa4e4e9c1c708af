"""The reference block of an epoch is waited for, also while no node says what is final."""

from collections.abc import Callable

import pytest

from rewards.errors import ChainError, ChainUnavailable
from rewards.jobs import deposits
from rewards.jobs.deposits import read_chain
from rewards.ports import Block
from tests.bundles.forge import CALENDAR
from tests.jobs import test_publish as publishing
from tests.jobs.test_publish import Net

deployed, net = publishing.deployed, publishing.net

EPOCH = CALENDAR.epoch(0)
Final = Block | ChainError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that passed: a pause takes no time here."""
    passed = [0.0]
    monkeypatch.setattr(deposits.time, "monotonic", lambda: passed[0])
    monkeypatch.setattr(deposits.time, "sleep", lambda seconds: passed.__setitem__(0, passed[0] + seconds))
    return passed


def tell(net: Net, monkeypatch: pytest.MonkeyPatch, *answers: Final) -> None:
    """These answers to what is final, the last of them for ever."""
    left = list(answers)

    def final_block() -> Block:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, ChainError):
            raise answer
        return answer

    monkeypatch.setattr(net.vault, "final_block", final_block)


def test_an_outage_of_nodes_is_waited_out(net: Net, monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    final, silent = net.vault.final_block(), ChainUnavailable("1 of 3 endpoints tell it, 2 must")
    early = Block(1, bytes(32), EPOCH.end_us // 1_000_000 - 1)
    tell(net, monkeypatch, silent, early, silent, final)
    facts, found = read_chain(net.vault, 0, EPOCH, 60)
    assert facts.reference_block.timestamp < EPOCH.end_us // 1_000_000 and found.height
    assert clock == [3.0]


@pytest.mark.parametrize("patience_s", [0, 5])
def test_patience_ends(net: Net, monkeypatch: pytest.MonkeyPatch, clock: list[float], patience_s: int) -> None:
    early = Block(1, bytes(32), EPOCH.end_us // 1_000_000 - 1)
    ends: list[tuple[Final, Callable[[ChainError], bool]]] = [
        (ChainUnavailable("nobody answers"), lambda error: str(error) == "nobody answers"),
        (early, lambda error: "the newest final block 1 is of 2026-01-07T23:59:59+00:00: not final yet" in str(error)),
        (ChainError("they disagree"), lambda error: clock[0] == 0),
    ]
    for answer, is_told in ends:
        clock[0] = 0
        tell(net, monkeypatch, answer)
        with pytest.raises(ChainError) as refused:
            read_chain(net.vault, 0, EPOCH, patience_s)
        assert is_told(refused.value)
        assert clock[0] in (0, patience_s)
