"""What goes to which stream, how the command ends, what it never shows, and that help is light."""

import http.server
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
from eth_account import Account

from rewards.chain.blot import redact
from rewards.cli.answers import print_json, print_lines, print_pairs, print_table
from rewards.cli.failures import describe_error
from rewards.jobs.settings import load_settings
from tests.cli.conftest import Rewards, clean_environment, spawn_rewards
from tests.cli.people import KEYS, People, list_bytes
from tests.faults.faults import Fault, gateway_error, revert_on_estimate
from tests.faults.proxy import FOREVER, Proxy
from tests.faults.rpc import refuse

COMMANDS = (
    "demo", "run", "deploy", "publish", "attest", "revoke", "resume", "claim", "reconcile", "status", "proof", "verify",
    "export", "history",
)  # fmt: skip
HEAVY = ("duckdb", "pandera", "polars", "prefect", "pydantic", "web3")
CALL = "import sys; from rewards.cli import main; sys.argv[0] = 'rewards'; main()"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

KEY = "5ec7e7" * 10 + "beef"
URL_PATH, URL_USER, URL_PASSWORD, KEYSTORE_PASSWORD = (
    "v3-project-of-mine",
    "operator-name",
    "pass w0rd!",
    "open-sesame-2",
)
PASSWORD_IN_FILE, SECOND_PATH, THIRD_PATH = "open-sesame-3", "path-of-the-second", "path-of-the-third"


def list_imported(calls: Sequence[Sequence[str]]) -> tuple[set[str], str]:
    """Which heavy libraries a process has imported after these calls, each of which must succeed; and its stdout."""
    code = (
        "import json, sys\nfrom rewards.cli import run_command\n"
        f"statuses = [run_command(call) for call in {calls!r}]\n"
        f"print(json.dumps([statuses, sorted(set({HEAVY!r}) & set(sys.modules))]), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean_environment())
    statuses, imported = json.loads(done.stderr)
    assert statuses == [0] * len(calls)
    return set(imported), done.stdout


def test_help_imports_nothing_heavy() -> None:
    imported, shown = list_imported([["--help"], ["--version"]])
    assert imported == set()
    assert [name for name in COMMANDS if name not in shown] == []
    assert f"rewards {version('cxpt-rewards')}" in shown
    # Typer itself parses the parameters of any command with pydantic.
    assert list_imported([[name, "--help"] for name in COMMANDS])[0] <= {"pydantic"}


def test_no_arguments_print_help(rewards: Rewards) -> None:
    said = rewards()
    assert (said.status, said.err) == (0, "")
    assert "Usage: rewards" in said.out


def test_streams_and_statuses_of_a_process(sealed: Path) -> None:
    missing = spawn_rewards("verify", 9, "--data", sealed)
    assert (missing.status, missing.out, len(missing.err.splitlines())) == (5, "", 1)
    misused = spawn_rewards("verify", "nine")
    assert (misused.status, misused.out, len(misused.err.splitlines())) == (2, "", 1)


def test_an_error_is_one_json_document_too(rewards: Rewards, sealed: Path) -> None:
    for arguments, kind, status in ((("verify", 9), "InputError", 5), (("verify", "x"), "UsageError", 2)):
        said = rewards(*arguments, "--data", sealed, "--json")
        told = said.document["error"]
        assert (said.status, told["kind"], told["exit_code"]) == (status, kind, status)
        assert said.error == f"error: {told['message']}"


def test_traceback_only_when_asked(rewards: Rewards, sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" not in rewards("verify", 9, "--data", sealed).err
    assert "Traceback" in rewards("verify", 9, "--data", sealed, "--traceback").err
    monkeypatch.setenv("REWARDS_TRACEBACK", "0")
    assert "Traceback" not in rewards("verify", 9, "--data", sealed).err
    monkeypatch.setenv("REWARDS_TRACEBACK", "1")
    assert "Traceback" in rewards("verify", 9, "--data", sealed).err


def test_an_unforeseen_error_says_its_type(rewards: Rewards, monkeypatch: pytest.MonkeyPatch) -> None:
    from rewards.jobs import status

    def fail(*_: object) -> None:
        raise ZeroDivisionError("on\nseveral\x1b[31m lines")

    monkeypatch.setattr(status, "read_status", fail)
    said = rewards("status")
    assert (said.status, said.out, len(said.err.splitlines())) == (1, "", 1)
    assert "ZeroDivisionError" in said.error
    assert "REWARDS_TRACEBACK=1" in said.error
    assert "\x1b" not in said.err
    assert describe_error(ZeroDivisionError("x")).exit_code == 1


def test_a_closed_pipe_is_silent(sealed: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", CALL, "export", "1", "--data", str(sealed)]
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, env=clean_environment()
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_interrupt_is_one_line_and_the_next_run_works(rewards: Rewards, sample: Path, tmp_path: Path) -> None:
    arguments = ["run", "--inputs", str(sample), "--data", str(tmp_path), "--epochs", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, *arguments, "--verbose"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment(),
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline() == "epoch 0: read tables\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert [line for line in err.splitlines() if not line.startswith("epoch 0: ")] == [
        "error: interrupted; run the command again, it goes on where it stopped"
    ]
    assert not (tmp_path / "epochs").exists()
    assert rewards(*arguments).status == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("Query interrupted")], ids=["python", "duckdb"])
def test_an_interrupt_reads_the_same_wherever_it_strikes(
    rewards: Rewards, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    from rewards.jobs import status

    def interrupt(*_: object) -> None:
        raise error

    monkeypatch.setattr(status, "read_status", interrupt)
    said = rewards("status")
    assert (said.status, said.out, len(said.err.splitlines())) == (130, "", 1)
    assert "interrupted" in said.error


def run_on_terminal(*arguments: object, **more: str) -> tuple[str, str]:
    """Stdout and stderr of a command that believes both to be terminals of their own."""
    ends = [pty.openpty() for _ in range(2)]
    environment = clean_environment(TERM="xterm-256color", COLUMNS="160", **more)
    command = [sys.executable, "-c", CALL, *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=ends[0][1], stderr=ends[1][1], env=environment)
    shown: list[list[bytes]] = [[], []]

    def read(which: int) -> None:
        while True:
            try:
                part = os.read(ends[which][0], 65536)
            except OSError:
                return
            shown[which].append(part)

    for _, child in ends:
        os.close(child)
    readers = [threading.Thread(target=read, args=(which,)) for which in range(2)]
    for reader in readers:
        reader.start()
    assert process.wait(timeout=60) == 0
    for reader in readers:
        reader.join(timeout=10)
    for parent, _ in ends:
        os.close(parent)
    return b"".join(shown[0]).decode(), b"".join(shown[1]).decode()


def test_a_terminal_gets_colour_unless_told_not_to(sealed: Path) -> None:
    assert COLOUR.search(run_on_terminal("status", "--data", sealed)[0])
    out, err = run_on_terminal("verify", 1, "--data", sealed, NO_COLOR="1")
    assert "✓ root" in out
    assert "recompute" not in out
    assert "recompute" in err  # the bar, which moves the cursor
    assert "\x1b[" in err
    assert not COLOUR.search(out + err)


class _Node(http.server.BaseHTTPRequestHandler):
    """Answers every call as chain 1, or refuses it as a node does that wants another password, or quotes in an error what
    it was asked at; refusals quote that too."""

    refuses = quotes = False

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        quoted = {"code": -32000, "message": f"no access by {KEY[:20]} at {URL_PATH}: {self.path}"}
        told = {"error": quoted} if self.quotes or self.refuses else {"result": "0x1"}
        answer = json.dumps({"jsonrpc": "2.0", "id": asked["id"], **told}).encode()
        self.send_response(401 if self.refuses else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is the command's."""


@pytest.fixture
def node() -> Iterator[tuple[type[_Node], str]]:
    """A node on a free port: its behaviour, and its address with every kind of secret in it."""
    answering = type("_Answering", (_Node,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        credentials = f"{URL_USER}:{URL_PASSWORD.replace(' ', '%20')}"
        yield answering, f"http://{credentials}@127.0.0.1:{server.server_port}/{URL_PATH}?token={KEY[:20]}"
        server.shutdown()


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record of a Vault that no chain has."""
    account = "0x" + "12" * 20
    fields = {
        "chain_id": 31337,
        "token": account,
        "vault": account,
        "deployed_block": 1,
        "first_epoch": 0,
        "admin": account,
    }
    path = tmp_path / "deployment.json"
    path.write_text(json.dumps(fields | {"block_hash": "0x" + "34" * 32}))
    return path


def test_a_wrong_chain_id_is_told_before_anything_is_done(
    rewards: Rewards,
    node: tuple[type[_Node], str],
    record: Path,
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REWARDS_RPC_URL", node[1])
    said = rewards("run", "--inputs", sample, "--data", tmp_path / "data", "--epochs", "0", "--deployment", record)
    assert (said.status, len(said.err.splitlines())) == (4, 1)
    assert "is chain 1, not 31337" in said.error
    assert not (tmp_path / "data").exists()


def test_no_secret_is_ever_shown(
    rewards: Rewards,
    node: tuple[type[_Node], str],
    record: Path,
    sealed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keystore, password = tmp_path / "keystore.json", tmp_path / "password"
    keystore.write_text(json.dumps(Account.encrypt(bytes.fromhex(KEY), "another password", iterations=2)))
    password.write_text(PASSWORD_IN_FILE)
    password.chmod(0o600)
    everything = ""

    def collect(*arguments: object, status: int) -> None:
        nonlocal everything
        for more in ((), ("--traceback",), ("--json", "--traceback")):
            said = rewards(*arguments, "--data", sealed, *more)
            assert said.status == status, said.err
            everything += said.out + said.err

    deployment = ("--deployment", record)
    monkeypatch.setenv("REWARDS_RPC_URL", node[1])
    monkeypatch.setenv("REWARDS_PUBLISHER_KEY", "0x" + KEY)
    monkeypatch.setenv("REWARDS_KEYSTORE_PASSWORD", KEYSTORE_PASSWORD)
    monkeypatch.setenv("REWARDS_GUARDIAN_KEYSTORE", str(keystore))
    collect("publish", 0, *deployment, status=4)  # the wrong chain
    monkeypatch.setattr(node[0], "refuses", True)
    collect("publish", 0, *deployment, status=4)  # a refusal that quotes the address
    monkeypatch.setattr(node[0], "quotes", True)
    monkeypatch.setattr(node[0], "refuses", False)
    collect("publish", 0, *deployment, status=4)  # an error that quotes pieces of the address
    several = f"{node[1]} http://127.0.0.1:9/{SECOND_PATH}"
    monkeypatch.setenv("REWARDS_RPC_URL", several)
    collect("status", *deployment, status=4)  # several endpoints, one of which is down
    collect("resume", *deployment, status=2)  # a password that does not open
    monkeypatch.setenv("REWARDS_RPC_URL", f"{several} http://[{THIRD_PATH}")
    collect("status", *deployment, status=4)  # one of which is no address
    monkeypatch.setenv("REWARDS_RPC_URL", node[1])
    collect("revoke", 0, "--reason", "x", *deployment, status=2)
    monkeypatch.delenv("REWARDS_KEYSTORE_PASSWORD")
    monkeypatch.setenv("REWARDS_KEYSTORE_PASSWORD_FILE", str(password))
    collect("revoke", 0, "--reason", "x", *deployment, status=2)  # one from a file
    password.chmod(0o644)
    collect("revoke", 0, "--reason", "x", *deployment, status=2)  # which others may read
    monkeypatch.setenv("REWARDS_RPC_URL", node[1].replace("http://", "ftp://"))
    collect("status", *deployment, status=4)  # not an address
    monkeypatch.setenv("REWARDS_RPC_URL", node[1].replace("127.0.0.1", "127.0.0.1:x"))
    collect("status", *deployment, status=4)
    monkeypatch.setenv("REWARDS_RPC_URL", node[1])
    monkeypatch.setenv("REWARDS_PUBLISHER_KEY", KEY + "00")
    collect("publish", 0, *deployment, status=2)  # not a key
    monkeypatch.setenv("REWARDS_CHAIN_ID", "one")
    collect("status", status=2)  # a setting that does not parse, beside the secrets
    assert "Traceback" in everything
    planted = (KEY, KEY[:20], URL_PATH, URL_USER, URL_PASSWORD, URL_PASSWORD.replace(" ", "%20"), KEYSTORE_PASSWORD)
    planted += (PASSWORD_IN_FILE, SECOND_PATH, THIRD_PATH)
    assert [secret for secret in planted if secret in everything] == []


def quote(words: str) -> Fault:
    """A node's refusal in these words."""
    return Fault("quotes", (), lambda _: refuse(-32000, words))


def test_no_secret_reaches_a_file(people: People, rewards: Rewards, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publisher, attester and guardian work, and fail, through an endpoint that throws its token back at them."""
    planted = {
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjEXAMPLETOKEN",
        "REWARDS_PUBLISHER_KEY": KEYS["publisher"].hex(),
        "REWARDS_GUARDIAN_KEY": KEYS["guardian"].hex(),
        "REWARDS_KEYSTORE_PASSWORD": KEYSTORE_PASSWORD,
    }
    tokens, everything = (URL_PATH, KEY[:20], URL_USER, SECOND_PATH), ""
    publisher, ada = people.meet("publisher", sealed=True), people.meet_key("ada", "attester")
    ada.drop_row()
    for name, value in (publisher.environment | planted).items():
        monkeypatch.setenv(name, value)

    def collect(*arguments: object, status: int) -> None:
        nonlocal everything
        said = rewards(*arguments, "--traceback")
        assert said.status == status, said.err
        everything += said.out + said.err

    with Proxy(people.node.url) as proxy:
        first = proxy.url.replace("http://", f"http://{URL_USER}:{URL_PASSWORD.replace(' ', '%20')}@")
        one = f"{first}/v3/{URL_PATH}?token={KEY[:20]}"
        monkeypatch.setenv("REWARDS_RPC_URL", f"{one} {people.node.url}/{SECOND_PATH}")
        reason = f"denied: {' '.join(tokens)}".encode()
        reverts = revert_on_estimate("0x08c379a0" + f"{32:064x}{len(reason):064x}" + reason.hex().ljust(256, "0"))
        proxy.inject(reverts)
        collect("publish", 0, "--apply", status=4)
        for _ in range(3):  # the obstacle of a plan goes to stdout
            proxy.inject(reverts)
        collect("publish", 0, "--plan", status=4)
        for fault in (quote(f"asked at {one}"), gateway_error(401)):
            monkeypatch.setenv("REWARDS_RPC_URL", one)
            proxy.inject(fault, times=FOREVER)
            collect("publish", 0, "--apply", status=4)
            collect("revoke", 0, "--reason", "x", status=4)
            collect("reconcile", status=4)
            proxy.heal()
        collect("publish", 0, "--apply", status=0)
        collect("publish", 0, "--plan", status=0)
        monkeypatch.setenv("REWARDS_ATTESTER_KEY", ada.settings["ATTESTER_KEY"])
        collect("attest", 0, "--inputs", ada.inputs, "--data", ada.data, status=6)
        collect("revoke", 0, "--reason", "no secret", status=0)
        collect("publish", 0, "--apply", status=3)
        collect("status", status=0)
    safe = people.meet_safe("guardian")
    monkeypatch.delenv("REWARDS_GUARDIAN_KEY")
    monkeypatch.setenv("REWARDS_GUARDIAN_SAFE", safe.settings["GUARDIAN_SAFE"])
    collect("revoke", 0, "--reason", "x", "--data", safe.data, status=4)

    secrets = [*tokens, URL_PASSWORD, URL_PASSWORD.replace(" ", "%20"), *planted.values(), KEYS["ada"].hex()]
    assert "Traceback" in everything
    assert [secret for secret in secrets if secret in everything] == []
    for folder in (publisher.data, ada.data):
        files = list_bytes(folder)
        assert {"ledger.duckdb"} <= set(files)
        assert [(name, secret) for name in files for secret in secrets if secret.encode() in files[name]] == []


def test_redacting_blots_out_each_secret() -> None:
    assert redact("a pass, a word, a pass", ["pass", "word"]) == "a [secret], a [secret], a [secret]"


def test_redacting_leaves_short_ones_and_digits_within_words_and_amounts() -> None:
    told = "1234 of 99123499 CXPT, 0x1234ab, rpcs, at /1234/rpc-1 and %2Frpcs%2Fkey1"
    shown = "[secret] of 99123499 CXPT, 0x1234ab, [secret], at /[secret]/rpc-1 and %2F[secret]%2F[secret]"
    assert redact(told, ["rpcs", "1234", "key1", "12349"]) == shown
    assert redact("rpcs, RPCS", ["rpcs"]) == "[secret], RPCS"
    assert redact("nothing", []) == "nothing"


@pytest.mark.parametrize("secrets", [["ger-secret", "secret-of"], ["secret-of", "ger-secret"]])
def test_redacting_leaves_no_tail_of_secrets_that_overlap(secrets: list[str]) -> None:
    assert redact("a longer-secret-of-it", secrets) == "a lon[secret]-it"
    assert redact("xabcabcabcabcx", ["abcabcabc"]) == "x[secret]x"


def test_redacting_finds_long_ones_in_capitals_too() -> None:
    """Also behind a letter that is two when it is small."""
    assert redact("İİ at ABCDEF01, abcDEF01!", ["aBcDeF01"]) == "İİ at [secret], [secret]!"


def test_a_cell_that_is_folded_shows_no_half_of_a_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_settings()
    monkeypatch.setenv("REWARDS_RPC_URL", f"https://node.example/v3/{URL_PATH}")
    monkeypatch.setenv("COLUMNS", "40")
    for start in range(20, 40):
        told = f"{'x' * start}{URL_PATH}"
        print_pairs([("note", told)])
        print_table({"note": "left"}, [[told]])
        shown = "".join(capsys.readouterr().out.split())
        assert URL_PATH not in shown and shown.count("[secret]") == 2


def test_an_answer_shows_no_secret_and_keeps_its_amounts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a node said may stand in a finding; a password of digits may stand in an amount."""
    load_settings()
    monkeypatch.setenv("REWARDS_RPC_URL", f"https://node.example/v3/{URL_PATH}?token=say%22it%22twice")
    monkeypatch.setenv("REWARDS_KEYSTORE_PASSWORD", "00000000")
    told = [f"a note: asked at /v3/{URL_PATH}", 'a note: say"it"twice', "1000000000000000000 units"]
    print_json({"notes": told})
    print_lines(told)
    print_pairs([("note", one) for one in told])
    print_table({"note": "left"}, [[one] for one in told])
    shown = capsys.readouterr().out
    assert (URL_PATH in shown, 'say"it' in shown, 'say\\"it' in shown) == (False, False, False)
    assert (shown.count("1000000000000000000 units"), shown.count("[secret]") >= 8) == (4, True)


def test_a_short_or_usual_secret_takes_nothing_out_of_our_own_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_settings()
    monkeypatch.setenv("REWARDS_RPC_URL", "http://user:31337@node.example")
    monkeypatch.setenv("REWARDS_KEYSTORE_PASSWORD", "2024")
    monkeypatch.setenv("REWARDS_PUBLISHER_KEY", "manifest_hash")
    document = {
        "manifest_hash": "0x12",
        "pools": [{"pool": "user", "user_total": "5"}],
        "chain_id": 31337,
        "epoch": 2024,
        "since": "2024-01-05",
        "asked": (None, True, "the manifest_hash"),
    }
    print_json(document)
    told = json.loads(capsys.readouterr().out)
    assert told == document | {"asked": [None, True, "the [secret]"]}
    print_lines(["user pool of chain 31337, epoch 2024"])
    print_table({"pool": "left", "epoch": "right"}, [["user", "2024"]])
    assert "[secret]" not in capsys.readouterr().out
