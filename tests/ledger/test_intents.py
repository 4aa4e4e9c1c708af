"""Signed transactions in the ledger: kept in their order whatever the clock says, settled once, taken over from before."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from rewards.ledger.intents import Intents, StoredIntent
from rewards.ledger.migrations import MIGRATIONS
from rewards.ledger.store import Ledger

NOW = datetime(2026, 1, 8, 1, tzinfo=UTC)
SENDER, OTHER = "0x" + "a1" * 20, "0x" + "b2" * 20


@pytest.fixture
def intents(tmp_path: Path) -> Intents:
    return Intents(Ledger(tmp_path / "ledger.duckdb"))


def _intent(
    hash_: str, epoch: int = 0, action: str = "publish", chain: int = 3338, sender: str = SENDER
) -> StoredIntent:
    return StoredIntent(hash_, epoch, action, "9" * 64, "7" * 64, chain, sender, 7, f"record of {hash_}")


def test_they_come_back_in_the_order_in_which_they_were_kept(intents: Intents) -> None:
    """Also when the clock was set back between two of them."""
    for minute, name in enumerate(("bb", "aa", "cc")):
        intents.keep(_intent(name), NOW - timedelta(minutes=minute))
    intents.keep(_intent("dd", epoch=1), NOW)
    intents.keep(_intent("ee", action="attest", sender=OTHER), NOW)
    intents.keep(_intent("ff", chain=131277322940537), NOW)
    assert [i.hash for i in intents.of_epoch(0, "publish", 3338)] == ["bb", "aa", "cc"]
    assert intents.of_epoch(0, "publish", 131277322940537) == [_intent("ff", chain=131277322940537)]
    assert [i.hash for i in intents.open(3338)] == ["bb", "aa", "cc", "dd", "ee"]
    assert [i.hash for i in intents.open(3338, OTHER)] == ["ee"]
    assert [i.hash for i in intents.all(3338)] == ["bb", "aa", "cc", "dd", "ee"]


def test_what_is_settled_is_open_no_more(intents: Intents) -> None:
    for name in ("aa", "bb", "cc"):
        intents.keep(_intent(name), NOW)
    intents.settle({"bb": "succeeded", "aa": "replaced"}, 77, NOW)
    assert [i.hash for i in intents.open(3338, SENDER)] == ["cc"]
    assert [(i.hash, i.outcome, i.block) for i in intents.all(3338)] == [
        ("aa", "replaced", 77),
        ("bb", "succeeded", 77),
        ("cc", None, None),
    ]


def test_the_same_bytes_again_do_not_open_it_anew(intents: Intents) -> None:
    intents.keep(_intent("aa"), NOW)
    intents.settle({"aa": "failed"}, 77, NOW)
    intents.keep(_intent("aa"), NOW + timedelta(days=1))
    [stored] = intents.all(3338)
    assert (stored.outcome, stored.block) == ("failed", 77)


def test_without_a_ledger_there_are_none(intents: Intents, tmp_path: Path) -> None:
    assert (intents.open(3338), intents.all(3338), intents.of_epoch(0, "publish", 3338)) == ([], [], [])
    assert list(tmp_path.iterdir()) == []


def test_intents_of_an_older_ledger_are_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger.duckdb"
    record = json.dumps({"chain_id": 3338, "nonce": 12, "sender": SENDER, "raw": "0x00"}, sort_keys=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY)")
        connection.execute(MIGRATIONS[0])
        connection.execute("INSERT INTO migrations VALUES (0)")
        connection.execute("INSERT INTO epochs VALUES (4, 'its manifest', NULL, '0x00', now())")
        connection.execute("INSERT INTO intents VALUES ('cc', 9, 'attest', '3338', 'damaged', ?, NULL, NULL)", [NOW])
        for name, final_at, block in (("aa", NOW, 5), ("bb", None, None)):
            connection.execute(
                "INSERT INTO intents VALUES (?, 4, 'publish', '3338', ?, ?, ?, ?)", [name, record, NOW, final_at, block]
            )
    old, new, damaged = Intents(Ledger(path)).all(3338)
    assert old == StoredIntent("aa", 4, "publish", "its manifest", "", 3338, SENDER, 12, record, "succeeded", 5)
    assert new == StoredIntent("bb", 4, "publish", "its manifest", "", 3338, SENDER, 12, record)
    assert (damaged.manifest, damaged.sender, damaged.nonce) == ("", "", 0)
