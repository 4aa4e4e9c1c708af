"""Publisher, attester and guardian that are Safes: the command asks the owners by a file, waits, and ends as if it had sent."""

import json
import signal
from pathlib import Path
from typing import Any

from rewards.chain.safe import hash_batch
from rewards.jobs.workspace import Workspace
from rewards.units import PROVIDER, USER, checksum
from tests.chain.test_safe import read_back
from tests.cli.people import SIGNERS, People, Person, Running, list_bytes

REQUESTS = {"publish": "publication", "attest": "attestation", "revoke": "revocation"}


def ask(person: Person, *arguments: object) -> tuple[Running, Path]:
    """The command up to where it waits for the owners, and the file that it told them of."""
    running = person.start(*arguments)
    line = running.wait_for("must sign")
    running.wait_for("safeTxHash")
    path = person.data / "safe" / f"{REQUESTS[str(arguments[0])]}-of-epoch-{arguments[1]}.json"
    assert str(path) in line
    return running, path


def read_request(path: Path) -> Any:
    """The one call of the file, once its checksum is found right."""
    batch = json.loads(path.read_text())
    expected = batch["meta"].pop("checksum")
    assert hash_batch(batch) == expected
    [call] = batch["transactions"]
    return call


def test_owners_publish_by_what_the_file_says(people: People) -> None:
    publisher, safe = people.meet_safe("publisher", sealed=True), people.safe("publisher")
    planned = publisher("publish", 0, "--plan", "--json").document
    assert planned["call"]["from"] == safe.address
    running, path = ask(publisher, "publish", 0, "--apply", "--json")
    call, manifest = read_request(path), publisher.manifest()
    assert (call["to"], call["contractMethod"]["name"]) == (checksum(people.vault.address), "publishRoot")
    assert call["contractInputsValues"] == {
        "epoch": "0",
        "root": f"0x{manifest.root.hex()}",
        "providerTotal": str(manifest.total(PROVIDER)),
        "userTotal": str(manifest.total(USER)),
        "manifestHash": f"0x{manifest.digest}",
        "revocationCount": "0",
    }
    assert f"0x{read_back(call).hex()}" == planned["call"]["calldata"]
    told = "".join(running.read)
    digest = safe.hash_transaction(call["to"], read_back(call))
    assert f"safeTxHash at nonce {safe.nonce}: 0x{digest.hex()}" in told
    assert all(value in told for value in call["contractInputsValues"].values())
    with Workspace(publisher.data).locked():  # the night may go on while owners think
        people.sign_file("publisher", path)
    published = running.end().document
    assert (published["root"], published["state"], published["sent"]) == (f"0x{manifest.root.hex()}", "pending", None)
    assert list(path.parent.iterdir()) == []
    assert [entry["epoch"] for entry in publisher("history", "--json").document["entries"]] == [0]

    nonce = safe.nonce
    again = publisher("publish", 0, "--apply")
    assert f"nothing sent from here: the owners of the Safe {safe.address} send" in again.out
    assert (again.err, list(path.parent.iterdir()), safe.nonce) == ("", [], nonce)


def test_an_interrupt_leaves_the_request_and_a_later_run_finds_it_done(people: People) -> None:
    publisher = people.meet_safe("publisher", sealed=True)
    running, path = ask(publisher, "publish", 0, "--apply", "--json")
    running.process.send_signal(signal.SIGINT)
    interrupted = running.end(130)
    assert interrupted.document["error"]["kind"] == "Interrupted"
    assert interrupted.err.splitlines()[-1] == "error: interrupted; run the command again, it goes on where it stopped"
    asked = path.read_bytes()
    running, path = ask(publisher, "publish", 0, "--apply")
    assert path.read_bytes() == asked
    running.process.send_signal(signal.SIGINT)
    running.end(130)

    people.sign_file("publisher", path)
    assert publisher("publish", 0, "--apply", "--json").document["state"] == "pending"
    assert not path.exists()


def test_nobody_is_asked_for_what_a_gate_refuses_or_would_revert(people: People) -> None:
    publisher = people.meet_safe("publisher", sealed=True)
    tree = publisher.data / "epochs" / "0" / "tree.bin"
    whole = tree.read_bytes()
    tree.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert "bundle" in publisher("publish", 0, "--apply", status=3).err
    tree.write_bytes(whole)
    guardian = people.meet("not a guardian", GUARDIAN_SAFE=people.safe("attester").address)
    people.meet_key("publisher", "publisher", sealed=True)("publish", 0, "--apply")
    refused = guardian("revoke", 0, "--reason", "x", status=4)
    assert "NotPermitted" in refused.error or "refuses" in refused.error, refused.error
    assert not any((person.data / "safe").exists() for person in (publisher, guardian))


def test_another_root_meanwhile_is_a_disagreement(people: People) -> None:
    publisher = people.meet_safe("publisher", sealed=True)
    running, path = ask(publisher, "publish", 0, "--apply")
    manifest, vault = publisher.manifest(), people.vault
    totals = manifest.total(PROVIDER), manifest.total(USER)
    rival = vault.intend_publication(0, b"\x07" * 32, *totals, manifest.hash, vault.revocations())
    vault.sender.send(rival, SIGNERS["publisher"])
    said = running.end(6)
    assert f"epoch 0 on chain has root 0x{'07' * 32}" in said.err.splitlines()[-1]
    assert "have the guardian revoke it" in said.err
    assert path.exists()


def test_owners_attest_and_revoke(people: People) -> None:
    attester, guardian = people.meet_safe("attester"), people.meet_safe("guardian")
    people.meet_key("publisher", "publisher", sealed=True)("publish", 0, "--apply")
    running, path = ask(attester, "attest", 0)
    people.sign_file("attester", path)
    assert "epoch 0 attested" in running.end().out
    assert people.record_of().attestations_missing == 1
    assert not path.exists()

    running, path = ask(guardian, "revoke", 0, "--reason", 'a "test", of owners', "--json")
    assert read_request(path)["contractInputsValues"] == {"epoch": "0", "reason": 'a "test", of owners'}
    people.sign_file("guardian", path)
    assert running.end().document["sent"] is None
    assert people.record_of().status == "revoked"
    assert not path.exists()
    assert "the owners of the Safe" in guardian("revoke", 0, "--reason", "again").out
    assert list_bytes(guardian.data / "safe") == {}
