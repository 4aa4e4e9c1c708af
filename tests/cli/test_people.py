"""Publisher, three attesters of whom two must agree, guardian: each a process with a key, a folder and inputs of its own."""

import shutil
from threading import Event

from rewards.jobs.workspace import Workspace
from rewards.units import POOLS, PROVIDER, checksum
from tests.cli.people import SIGNERS, People, Person, find_richest
from tests.faults.faults import hang
from tests.faults.proxy import Proxy


def meet_attesters(people: People) -> list[Person]:
    return [people.meet_key(name, "attester") for name in ("ada", "ben", "cleo")]


def meet_claimer(people: People, publisher: Person) -> Person:
    """Somebody who pays the gas of claims, and got the published folder."""
    claimer = people.meet_key("claimer", "claimer")
    shutil.copytree(publisher.data, claimer.data)
    return claimer


def alarms(attester: Person) -> dict[str, tuple[str, str]]:
    """What an attester's ledger keeps of a root that is not theirs: what differs, recomputed, on chain."""
    found = Workspace(attester.data).ledger.findings().get(0, [])
    return {f.message.split()[4]: (f.expected, f.observed) for f in found if f.gate == "attest"}


def test_two_of_three_attesters_suffice_and_the_third_keeps_its_alarm(people: People) -> None:
    publisher = people.meet_key("publisher", "publisher", sealed=True)
    ada, ben, cleo = meet_attesters(people)
    cleo.drop_row()
    published = publisher("publish", 0, "--apply", "--json").document
    assert (published["state"], published["attestations_missing"]) == ("pending", 2)

    under_way = [ada.start("attest", 0, "--json"), ben.start("attest", 0, "--json")]
    documents = [running.end().document for running in under_way]
    assert {document["root"] for document in documents} == {published["root"]}
    assert min(document["attestations_missing"] for document in documents) == 0
    assert [people.sent(name) for name in ("ada", "ben")] == [1, 1]

    refused = cleo("attest", 0, status=6)
    assert "do not attest, and have the guardian revoke it" in refused.error
    assert people.sent("cleo") == 0
    theirs = publisher.manifest()
    kept = alarms(cleo)
    assert kept["root"][1] == f"0x{theirs.root.hex()}" != kept["root"][0]
    assert kept["manifest"][1] == theirs.digest != kept["manifest"][0]
    assert all(value in refused.error for value in (*kept["root"], *kept["manifest"]))

    assert people.record_of().status == "pending"
    people.wait_for_activation()
    assert people.record_of().status == "active"
    assert ada("attest", 0, "--json").document["sent"] is None


def test_one_attestation_too_few_pays_nobody(people: People) -> None:
    publisher = people.meet_key("publisher", "publisher", sealed=True)
    ada = people.meet_key("ada", "attester")
    publisher("publish", 0, "--apply")
    assert ada("attest", 0, "--json").document["attestations_missing"] == 1
    people.wait_for_activation()
    account, _ = find_richest(publisher, PROVIDER)
    refused = meet_claimer(people, publisher)("claim", account, status=2)
    assert "no root is active" in refused.error
    assert people.record_of().status == "pending"
    assert people.vault.balance_of(account) == 0


def test_a_bad_root_is_found_revoked_computed_again_and_paid(people: People) -> None:
    publisher = people.meet_key("publisher", "publisher")
    guardian = people.meet_key("guardian", "guardian")
    ada, ben, _ = meet_attesters(people)
    publisher.drop_row()
    publisher("run", "--epochs", "0", "--deployment", people.ground.record)
    bad = publisher("publish", 0, "--apply", "--json").document

    for attester in (ada, ben):
        alarm = attester("attest", 0, "--json", status=6).document["error"]
        assert alarm["kind"] == "Disagreement"
        assert bad["root"] in alarm["message"]
        assert alarms(attester)["root"][1] == bad["root"]
    assert (people.sent("ada"), people.sent("ben")) == (0, 0)

    revoked = guardian("revoke", 0, "--reason", "two attesters came to another root", "--json").document
    assert revoked["sent"]["transaction"].startswith("0x")
    assert guardian("revoke", 0, "--reason", "again", "--json").document["sent"] is None
    people.settle()

    publisher.mend_inputs(people.ground.inputs)
    assert publisher("publish", 0, "--apply", status=3).error.startswith("error: publishing epoch 0 refused")
    publisher("run", "--epochs", "0", "--deployment", people.ground.record)
    good = publisher("publish", 0, "--apply", "--json").document
    assert good["root"] != bad["root"]
    assert (people.record_of().status, people.vault.revocations()) == ("pending", 1)
    for running in [attester.start("attest", 0) for attester in (ada, ben)]:
        running.end()
    assert (alarms(ada), alarms(ben)) == ({}, {})

    people.wait_for_activation()
    claimer = meet_claimer(people, publisher)
    account, amount = find_richest(publisher, PROVIDER)
    assert int(claimer("claim", account, "--json").document["paid"]) >= amount
    assert people.vault.claimed(PROVIDER, account) == amount
    assert people.vault.balance_of(account) == sum(people.vault.claimed(pool, account) for pool in POOLS)


def test_a_key_signs_in_one_process_at_a_time(people: People) -> None:
    reached = Event()

    def is_reached(_: object) -> bool:
        reached.set()
        return True

    with Proxy(people.node.url) as proxy:
        proxy.inject(hang(), "eth_estimateGas", when=is_reached)
        slow = people.meet_key("publisher", "publisher", sealed=True, RPC_URL=proxy.url)
        quick = people.meet("same key elsewhere", sealed=True, PUBLISHER_KEY=slow.settings["PUBLISHER_KEY"])
        first = slow.start("publish", 0, "--apply")
        assert reached.wait(120)
        for command in (("publish", 0, "--apply"), ("resume",)):
            refused = quick(*command, status=1)
            assert refused.error == (
                f"error: the key of {checksum(SIGNERS['publisher'].address)} on chain {people.vault.chain_id} is in use "
                f"(process {first.process.pid}); wait until it ends"
            )
        first.process.kill()
        first.process.wait(60)
    assert quick("publish", 0, "--apply", "--json").document["state"] == "pending"
    assert people.sent("publisher") == 1
