"""`rewards publish N --plan`: what would be sent, for people and for programs, without sending or writing anything."""

from pathlib import Path

import pytest

from rewards.chain.contracts import load_artifact
from rewards.units import POOLS, PROVIDER, USER, checksum, format_cxpt
from tests.cli.conftest import Rewards
from tests.cli.people import SIGNERS, People, Person, list_bytes


def test_look(people: People, rewards: Rewards, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = people.meet_key("publisher", "publisher", sealed=True)
    for name, value in publisher.environment.items():
        monkeypatch.setenv(name, value)
    for columns in ("80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        said = rewards("publish", 0, "--plan")
        Path(f"/tmp/plan{columns}.txt").write_text(said.out + said.err)
        said = rewards("publish", 1, "--plan")
        Path(f"/tmp/planb{columns}.txt").write_text(said.out + said.err)
    said = rewards("publish", 0, "--plan", "--json")
    Path("/tmp/plan.json").write_text(said.out + said.err)
