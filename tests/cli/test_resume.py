"""`rewards resume` after a kill: with the key, without any, after others were quicker, and with nothing to do."""

import pytest

from rewards.chain.vault import encode_revoke
from rewards.jobs.publish import publish_epoch
from rewards.jobs.run import run_epochs
from rewards.jobs.workspace import Workspace
from rewards.units import checksum
from tests.bundles.forge import settings_for
from tests.cli.conftest import Rewards, Said
from tests.cli.people import SIGNERS, People, Person
from tests.faults.process import AFTER, BEFORE, KillPoint

SIGNED = KillPoint("rewards.jobs.intents.LedgerIntents.keep", AFTER)
"""What was signed is stored, and was not sent."""
ABOUT_TO_SEND = KillPoint("rewards.chain.client.Chain.send_raw", BEFORE)
SENT = KillPoint("rewards.chain.client.Chain.send_raw", AFTER)


class Operator:
    """Runs commands in this process with the settings of a person, with or without their key."""

    def __init__(self, rewards: Rewards, patch: pytest.MonkeyPatch) -> None:
        self._rewards, self._patch = rewards, patch

    def __call__(self, person: Person, *arguments: object, key: bool = True, status: int = 0) -> Said:
        with self._patch.context() as patch:
            for name, value in person.environment.items():
                if key or not name.endswith("_KEY"):
                    patch.setenv(name, value)
            said = self._rewards(*arguments)
        assert said.status == status, said.out + said.err
        return said


@pytest.fixture
def operate(rewards: Rewards, monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(rewards, monkeypatch)


def publish(people: People, publisher: Person) -> None:
    publish_epoch(Workspace(publisher.data), 0, people.vault, SIGNERS["publisher"])


def test_what_was_signed_and_not_sent_goes_out_without_any_key(people: People, operate: Operator) -> None:
    publisher = people.meet_key("publisher", "publisher", sealed=True)
    publisher.dies(SIGNED, "publish", 0, "--apply")
    [signed] = publisher.intents()
    assert (people.record_of(), people.sent("publisher")) == (None, 0)
    planned = operate(publisher, "publish", 0, "--plan")
    assert "1 transaction(s) of this sender are unfinished and are finished or replaced first" in planned.out
    assert operate(publisher, "publish", 0, "--json").document["unsettled_transactions"] == 1

    [resumed] = operate(publisher, "resume", "--json", key=False).document["resumed"]
    assert (resumed["action"], resumed["epoch"], resumed["overtaken"]) == ("publish", 0, None)
    assert resumed["signed"] == resumed["sent"]["transaction"] == f"0x{signed.hash}"
    assert (people.record_of().status, people.sent("publisher")) == ("pending", 1)
    [settled] = publisher.intents()
    assert settled.outcome == "succeeded"
    assert [one["epoch"] for one in operate(publisher, "history", "--json").document["entries"]] == [0]
    assert operate(publisher, "resume").out == "nothing was left unfinished\n"
    assert operate(publisher, "resume", "--json", key=False).document == {"resumed": []}


def test_attestation_and_revocation_are_finished_by_their_keys(people: People, operate: Operator) -> None:
    publish(people, people.meet_key("publisher", "publisher", sealed=True))
    ada, guardian = people.meet_key("ada", "attester"), people.meet_key("guardian", "guardian")
    ada.dies(SENT, "attest", 0)
    [signed] = ada.intents()
    told = operate(ada, "resume").out
    assert told.startswith(f"attest of epoch 0: transaction 0x{signed.hash}, block ")
    assert (people.record_of().attestations_missing, people.sent("ada")) == (1, 1)
    assert operate(ada, "attest", 0, "--json").document["sent"] is None

    guardian.dies(ABOUT_TO_SEND, "revoke", 0, "--reason", "a test")
    assert people.record_of().status == "pending"
    told = operate(guardian, "resume").out
    assert told.startswith("revoke of epoch 0: transaction 0x")
    assert (people.record_of().status, people.sent("guardian")) == ("revoked", 1)


def test_a_revocation_does_not_hit_the_root_that_came_after_the_one_meant(people: People, operate: Operator) -> None:
    publisher = people.meet_key("publisher", "publisher", sealed=True)
    guardian = people.meet_key("guardian", "guardian")
    publish(people, publisher)
    guardian.dies(SIGNED, "revoke", 0, "--reason", "a bad root")
    safe, to = people.safe("guardian"), checksum(people.vault.address)
    data = encode_revoke(0, "others were quicker")
    safe.execute(to, data, safe.hash_transaction(to, data))
    people.settle()
    publisher.drop_row()
    list(run_epochs(Workspace(publisher.data), settings_for(publisher.inputs, people.vault), [0]))
    publish(people, publisher)
    good = publisher.manifest()

    since = f"epoch 0 has another pending root since, of manifest {good.digest}"
    refused = operate(guardian, "resume", key=False, status=4).error
    assert since in refused and "run `rewards resume` again, which cancels it" in refused
    [resumed] = operate(guardian, "resume", "--json").document["resumed"]
    assert resumed["overtaken"] == since and resumed["sent"]["transaction"].startswith("0x")
    record = people.record_of()
    assert (record.status, record.manifest_hash) == ("pending", good.hash)
    assert (people.vault.revocations(), people.sent("guardian")) == (1, 1)
    assert operate(guardian, "resume").out == "nothing was left unfinished\n"
