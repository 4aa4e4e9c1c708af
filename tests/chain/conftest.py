"""The chains: an EVM in the process, and anvil where npm installed it."""

import platform
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rewards.chain.client import Chain, connect, request
from rewards.chain.embedded import EmbeddedChain
from rewards.chain.signers import LocalSigner
from rewards.errors import ChainError
from rewards.units import checksum
from tests.chain.networks import START, Network

ANVIL_CHAIN_ID = 31337


def find_anvil(contracts: Path) -> Path:
    """The node's binary inside its npm package; its JavaScript wrapper would outlive a kill."""
    machine = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "unknown")
    package = f"anvil-{platform.system().lower()}-{machine}"
    return contracts / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"


@contextmanager
def start_anvil(contracts: Path, start: int, *options: str) -> Iterator[str]:
    """A fresh anvil whose clock starts at `start`, on a free port, finality two blocks behind; gives its URL. Skips where
    npm's package has none for this machine."""
    binary = find_anvil(contracts)
    if not binary.is_file():
        pytest.skip(f"anvil is not packaged for this machine: no {binary.name} in {binary.parent.parent.name}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, settings = f"http://127.0.0.1:{port}", ["--slots-in-an-epoch", "1", "--timestamp", str(start), "--silent"]
    states = tempfile.TemporaryDirectory(prefix="anvil-", ignore_cleanup_errors=True)  # that it moves out of memory
    command = [str(binary), "--port", str(port), "--cache-path", states.name, *settings, *options]
    node = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        chain_id = int(options[options.index("--chain-id") + 1]) if "--chain-id" in options else ANVIL_CHAIN_ID
        _wait_for(url, node, chain_id)
        yield url
    finally:
        node.terminate()
        node.wait(timeout=10)
        states.cleanup()


@pytest.fixture(scope="session")
def anvil_url(contracts: Path) -> Iterator[str]:
    """The node that the tests of this folder share."""
    with start_anvil(contracts, START) as url:
        yield url


def _wait_for(url: str, node: subprocess.Popen[bytes], chain_id: int) -> Chain:
    for _ in range(100):
        try:
            return connect(url, chain_id)
        except ChainError:
            assert node.poll() is None, "anvil stopped while starting"
            time.sleep(0.1)
    pytest.fail("anvil does not answer after ten seconds")


def make_embedded() -> Network:
    embedded = EmbeddedChain(START)
    return Network("embedded", embedded.chain, embedded.signers, embedded.advance, embedded.mine)


def make_anvil(url: str) -> Network:
    chain = connect(url, ANVIL_CHAIN_ID)
    signers = tuple(LocalSigner(i.to_bytes(32)) for i in range(1, 11))
    for signer in signers:
        request(chain, "anvil_setBalance", [checksum(signer.address), hex(10**24)])

    def mine() -> None:
        request(chain, "evm_mine")

    def advance(seconds: int) -> None:
        request(chain, "evm_setNextBlockTimestamp", [chain.head().timestamp + seconds])
        mine()

    return Network("anvil", chain, signers, advance, mine)


@pytest.fixture(params=["embedded", "anvil"])
def network(request: pytest.FixtureRequest) -> Network:
    """Both chains in turn; anvil is one node for the whole run, so a test deploys what it needs."""
    if request.param == "embedded":
        return make_embedded()
    return make_anvil(request.getfixturevalue("anvil_url"))


@pytest.fixture
def anvil(anvil_url: str) -> Network:
    return make_anvil(anvil_url)


@pytest.fixture
def embedded() -> Network:
    return make_embedded()
