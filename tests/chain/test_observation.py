"""Events of a range: every kind as the Vault emits it, and a node that answers with other logs than it was asked for."""

from collections.abc import Callable
from typing import Any

import pytest

from rewards.chain.observation import read_counters, read_events
from rewards.errors import ChainError
from rewards.events import add_up_events
from rewards.units import PROVIDER, USER
from tests.chain.conftest import make_embedded
from tests.jobs import small_vault
from tests.jobs.small_vault import CXPT, FIRST, SECOND, SmallVault, change_logs, with_answers

Log = dict[str, Any]


@pytest.fixture(scope="module")
def lived() -> SmallVault:
    small = small_vault.deploy(make_embedded())
    small_vault.live_through(small)
    small.send("retireRoot", 1, 3)
    return small


def _bounds(small: SmallVault) -> tuple[int, int]:
    return small.vault.deployment.deployed_block, small.vault.final_block().number


def test_every_kind_of_event_is_read(lived: SmallVault) -> None:
    events = read_events(lived.vault, *_bounds(lived))
    assert events.last == lived.vault.final_block()
    kinds = [(t.kind, t.protocol_amount, t.provider_amount, t.user_amount) for t in events.transfers]
    shares = [amount for kind, *amounts in kinds if kind == "fees" for amount in amounts]
    assert [kind for kind, *_ in kinds] == ["fees", "funding", "withdrawal", "fees"]
    assert sum(shares) == 300 * CXPT + 7 and kinds[1][1:] == (0, 0, 40 * CXPT) and kinds[2][1:] == (-CXPT, 0, 0)
    assert [(c.epoch, c.pool, c.account, c.amount) for c in events.claims[:2]] == [
        (3, PROVIDER, FIRST, 60 * CXPT + 1),
        (3, USER, SECOND, 4 * CXPT),
    ]
    assert len({(c.block_number, c.log_index) for c in events.claims}) == 4
    told = [(e.action, e.epoch) for e in events.root_events]
    assert told[:3] == [("publish", 3), ("attest", 3), ("publish", 4)] and told[-1] == ("retire", 3)
    manifest, first, attested = small_vault.make_manifest(3), *events.root_events[:2]
    assert (first.root, first.manifest_hash) == (manifest.root, manifest.hash)
    assert (first.provider_total, first.user_total) == (manifest.total(PROVIDER), manifest.total(USER))
    assert attested.attester == lived.network.signers[3].address


def test_events_add_up_to_what_the_vault_counts_after_every_block(lived: SmallVault) -> None:
    first, last = _bounds(lived)
    for block in range(first, last + 1):
        assert add_up_events(read_events(lived.vault, first, block)) == read_counters(lived.vault, block)


def _last(changes: dict[str, Any]) -> Callable[[list[Log], Any], list[Log]]:
    return lambda logs, _: [*logs[:-1], logs[-1] | changes] if logs else logs


def _first(changes: dict[str, Any]) -> Callable[[list[Log], Any], list[Log]]:
    return lambda logs, _: [logs[0] | changes, *logs[1:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_last({"removed": True}), "was removed by a reorganisation"),
        (_last({"blockNumber": hex(10**6)}), "is not between the blocks"),
        (_last({"blockNumber": "0x0"}), "is not between the blocks"),
        (_last({"address": "0x" + "11" * 20}), "is not an event of the Vault"),
        (_last({"topics": []}), "is not an event of the Vault"),
        (_last({"topics": ["0x" + "22" * 32]}), "is not an event of the Vault"),
        (_first({"data": "0x"}), "log [0-9]+ of block [0-9]+ is no FeesDeposited"),
        (_first({"data": "0x" + "ff" * 128}), "has amount [0-9]+, which no Vault can hold"),
        (lambda logs, _: [*logs, logs[-1]], "comes after log"),
        (lambda logs, _: logs[::-1], "comes after log"),
    ],
)
def test_what_was_not_asked_for_is_refused(
    lived: SmallVault, change: Callable[[list[Log], Any], list[Log]], message: str
) -> None:
    vault, (first, last) = with_answers(lived, change_logs(change)), _bounds(lived)
    with pytest.raises(ChainError, match=message):
        read_events(vault, first, last)
    with pytest.raises(ChainError, match=message):
        vault.deposits(last)


@pytest.mark.parametrize(
    ("event", "name", "bound"), [("RootRetired", "epoch", 2**24), ("FeesDeposited", "amount", 2**96)]
)
def test_what_the_vault_stores_bounds_its_events(lived: SmallVault, event: str, name: str, bound: int) -> None:
    """Its epochs have 24 bits and its amounts 96: the largest is read, the one after is nothing that it could hold."""
    topic = lived.vault._contract.events[event]().topic

    def holding(value: int) -> Callable[[list[Log], Any], list[Log]]:
        def change(logs: list[Log], _: Any) -> list[Log]:
            return [_with_value(log, value) if log["topics"][0] == topic else log for log in logs]

        return change

    read_events(with_answers(lived, change_logs(holding(bound - 1))), *_bounds(lived))
    with pytest.raises(ChainError, match=f"has {name} {bound}, which no Vault can hold"):
        read_events(with_answers(lived, change_logs(holding(bound))), *_bounds(lived))


def _with_value(log: Log, value: int) -> Log:
    """With another first number: in the data, or indexed where there is none."""
    word = f"{value:064x}"
    if log["data"] in ("0x", b"", None):
        return log | {"topics": [log["topics"][0], "0x" + word]}
    return log | {"data": "0x" + word + log["data"][2:][64:]}


def test_logs_of_another_block_of_the_same_number_are_refused(lived: SmallVault) -> None:
    """Two nodes behind one address, one of which follows another branch."""
    first, _ = _bounds(lived)
    block = read_events(lived.vault, *_bounds(lived)).root_events[0].block_number
    vault = with_answers(lived, change_logs(_last({"blockHash": "0x" + "33" * 32})))
    with pytest.raises(ChainError, match="is of another block than 0x"):
        read_events(vault, first, block)
