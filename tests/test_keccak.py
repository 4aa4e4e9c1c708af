"""The batch Keccak-256 against safe-pysha3, and what happens where Numba is absent, cold, cached, threaded or forked."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sha3 import keccak_256

from rewards import keccak
from rewards.errors import UsageError

ROOT = Path(__file__).parent.parent
SIZES = (32, 64, 96)
BACKENDS = ("numba", "pysha3")

Bytes = NDArray[np.uint8]


def make_messages(count: int, size: int, seed: int = 1) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (count, size), dtype=np.uint8)


def hash_one_by_one(messages: Bytes) -> list[bytes]:
    return [keccak_256(row.tobytes()).digest() for row in messages]


def order_one_by_one(nodes: Bytes) -> list[bytes]:
    rows = [row.tobytes() for row in nodes]
    return [keccak_256(b"".join(sorted(rows[i : i + 2]))).digest() for i in range(0, len(rows), 2)]


def to_rows(digests: Bytes) -> list[bytes]:
    assert digests.dtype == np.uint8
    assert digests.shape[1] == 32
    return [row.tobytes() for row in digests]


def choose(patch: pytest.MonkeyPatch, backend: str) -> None:
    patch.setattr(keccak, "_choose_kernel", lambda count: keccak.load_kernel() if backend == "numba" else None)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every batch, however small, goes to this one."""
    choose(monkeypatch, request.param)
    return str(request.param)


def run_python(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_kernel_is_there() -> None:
    assert keccak.backend() == "numba"


columns = st.sampled_from(SIZES).flatmap(
    lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=40)
)


@pytest.mark.parametrize("backend", BACKENDS)
@given(rows=columns)
def test_equals_one_by_one(backend: str, rows: list[bytes]) -> None:
    messages = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
    with pytest.MonkeyPatch.context() as patch:
        choose(patch, backend)
        assert to_rows(keccak.hash_column(messages)) == [keccak_256(row).digest() for row in rows]


# Few different bytes, so that nodes of a pair often begin alike or are equal.
nodes = st.lists(st.lists(st.sampled_from(b"\x00\x01\x7f\x80\xff"), min_size=32, max_size=32).map(bytes), max_size=40)


@pytest.mark.parametrize("backend", BACKENDS)
@given(rows=nodes, alike=st.integers(0, 32))
def test_pairs_equal_one_by_one(backend: str, rows: list[bytes], alike: int) -> None:
    rows = [rows[0][:alike] + row[alike:] for row in rows[: len(rows) // 2 * 2]]
    column = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)
    with pytest.MonkeyPatch.context() as patch:
        choose(patch, backend)
        assert to_rows(keccak.hash_pairs(column)) == order_one_by_one(column)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("byte", [0x00, 0x01, 0x80, 0xFF])
def test_messages_of_one_byte(backend: str, byte: int, size: int) -> None:
    messages = np.full((9, size), byte, np.uint8)
    assert to_rows(keccak.hash_column(messages)) == [keccak_256(bytes([byte]) * size).digest()] * 9


@pytest.mark.parametrize("size", SIZES)
def test_every_bit_counts(backend: str, size: int) -> None:
    messages = np.packbits(np.eye(8 * size, dtype=np.uint8), axis=1)
    assert to_rows(keccak.hash_column(messages)) == hash_one_by_one(messages)


@pytest.mark.parametrize("size", SIZES)
def test_no_messages(backend: str, size: int) -> None:
    assert keccak.hash_column(np.empty((0, size), np.uint8)).shape == (0, 32)
    assert keccak.hash_pairs(np.empty((0, 32), np.uint8)).shape == (0, 32)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 63, 64, 65, 4095, 4096, 4097, 12_345])
def test_pieces_and_lanes_that_are_not_full(backend: str, count: int) -> None:
    messages = make_messages(count, 64)
    assert to_rows(keccak.hash_column(messages)) == hash_one_by_one(messages)
    column = make_messages(2 * count, 32)
    assert to_rows(keccak.hash_pairs(column)) == order_one_by_one(column)


@pytest.mark.parametrize("size", SIZES)
def test_rows_that_lie_apart_or_askew(backend: str, size: int) -> None:
    wide = make_messages(200, size + 5)
    for messages in (wide[:, 3 : size + 3], wide[::-2, :size], np.asfortranarray(wide[:, :size])):
        assert to_rows(keccak.hash_column(messages)) == hash_one_by_one(messages)
    askew = np.frombuffer(bytes(3) + wide.tobytes(), np.uint8, count=size * 100, offset=3).reshape(100, size)
    assert to_rows(keccak.hash_column(askew)) == hash_one_by_one(askew)


@pytest.mark.parametrize("size", SIZES)
def test_messages_are_left_alone(backend: str, size: int) -> None:
    messages = make_messages(100, size)
    before = messages.copy()
    keccak.hash_column(messages)
    if size == 32:
        keccak.hash_pairs(messages)
    assert np.array_equal(messages, before)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 64), np.int8),
        np.zeros((2, 8), np.uint64),
        np.zeros((2, 33), np.uint8),
        np.zeros((2, 128), np.uint8),
        np.zeros((2, 0), np.uint8),
        np.zeros(64, np.uint8),
        np.zeros((2, 2, 32), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_another_array_is_refused(array: NDArray[Any]) -> None:
    for hashed in (keccak.hash_column, keccak.hash_pairs):
        with pytest.raises(UsageError, match="not a column of messages") as refusal:
            hashed(array)
        assert str(array.dtype) in str(refusal.value)
        assert str(array.shape) in str(refusal.value)


@pytest.mark.parametrize("count", [3, 10_000])
def test_digests_go_where_they_are_asked_to(backend: str, count: int) -> None:
    messages, wide = make_messages(count, 64), np.zeros((count, 40), np.uint8)
    found = keccak.hash_column(messages, wide[:, 5:37])
    assert found.base is wide
    assert to_rows(found) == hash_one_by_one(messages)
    assert not wide[:, :5].any() and not wide[:, 37:].any()
    keccak.hash_pairs(messages.reshape(-1, 32), out=wide[:, 8:])
    assert to_rows(wide[:, 8:]) == order_one_by_one(messages.reshape(-1, 32))


@pytest.mark.parametrize("out", [np.zeros((2, 32), np.uint8), np.zeros((3, 33), np.uint8), np.zeros((3, 32), np.int8)])
def test_another_place_is_refused(out: NDArray[Any]) -> None:
    for hashed, messages in ((keccak.hash_column, make_messages(3, 64)), (keccak.hash_pairs, make_messages(6, 32))):
        with pytest.raises(UsageError, match=r"no place for digests: .*; give uint8 of shape \(3, 32\)"):
            hashed(messages, out)


@pytest.mark.parametrize("length", [0, 1, 31, 32, 64, 96, 134, 135])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 20, 64])
def test_a_few_messages_of_any_length_below_a_block(
    monkeypatch: pytest.MonkeyPatch, backend: str, count: int, length: int
) -> None:
    messages = [row.tobytes() for row in make_messages(count, length)]
    if messages or backend == "pysha3":
        assert keccak.hash_few(messages) == b"".join(keccak_256(message).digest() for message in messages)
    monkeypatch.undo()
    assert keccak.hash_few(messages) == b"".join(keccak_256(message).digest() for message in messages)


def test_what_has_no_pairs_is_refused() -> None:
    with pytest.raises(UsageError, match=r"shape \(2, 64\); give uint8 of shape \(n, 32\)"):
        keccak.hash_pairs(np.zeros((2, 64), np.uint8))
    with pytest.raises(UsageError, match="no pairs: 3 nodes"):
        keccak.hash_pairs(np.zeros((3, 32), np.uint8))


# ── With and without Numba ───────────────────────────────────────────────────────────────────────────────────────────

ANSWER = """
import numpy as np
from rewards import keccak
messages = np.arange(192 * 200, dtype=np.uint64).astype(np.uint8).reshape(-1, 96)
keccak.FEW = 100
found = keccak.hash_column(messages)
print(keccak.backend(), keccak_256(found.tobytes()).hexdigest())
"""


def test_without_numba_the_answers_are_the_same() -> None:
    begin = "import sys\nfrom sha3 import keccak_256\n"
    fast = run_python(begin + ANSWER).split()
    slow = run_python(begin + 'sys.modules["numba"] = None\n' + ANSWER).split()
    assert (fast[0], slow[0]) == BACKENDS
    assert fast[1] == slow[1]


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    script = (
        "from rewards.keccak import load_kernel\n"
        "stats = load_kernel().stats\n"
        "print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))"
    )
    assert [run_python(script, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)] == ["0 1", "1 0"]


def test_nothing_loads_numba_before_it_pays() -> None:
    script = (
        "import sys, numpy as np, rewards.cli, rewards.merkle\n"
        "from rewards.keccak import FEW, hash_column, hash_pairs\n"
        "hash_column(np.zeros((FEW, 32), np.uint8)), hash_pairs(np.zeros((1000, 32), np.uint8))\n"
        "print('numba' in sys.modules)\n"
        "hash_column(np.zeros((FEW + 1, 32), np.uint8))\n"
        "print('numba' in sys.modules)"
    )
    assert run_python(script).split() == ["False", "True"]


def refuse_cache(**options: Any) -> Any:
    import numba

    if options["cache"]:
        raise RuntimeError("cannot cache function '_permute': no locator available")
    return numba.jit(nopython=True, **options)


def give_up(**options: Any) -> Any:
    raise RuntimeError("no compiler")


def miscompile(**options: Any) -> Any:
    return lambda function: lambda states: None


@pytest.mark.parametrize(("njit", "found"), [(refuse_cache, True), (give_up, False), (miscompile, False)])
def test_a_kernel_is_used_when_it_works(monkeypatch: pytest.MonkeyPatch, njit: Any, found: bool) -> None:
    monkeypatch.setattr("numba.njit", njit)
    assert bool(keccak.load_kernel.__wrapped__()) is found


def test_threads_hash_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, "numba")
    batches = [make_messages(10_000, 64, seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(keccak.hash_column, batches * 4))
    monkeypatch.undo()
    assert all(np.array_equal(digests, found[i % 8]) for i, digests in enumerate(found))
    assert to_rows(found[7]) == hash_one_by_one(batches[7])


def test_a_forked_process_hashes_too() -> None:
    script = (
        "import os, numpy as np\n"
        "from rewards import keccak\n"
        "keccak.FEW = 100\n"
        "messages = np.ones((100_000, 64), np.uint8)\n"
        "before = keccak.hash_column(messages)\n"
        "if (child := os.fork()) == 0:\n"
        "    os._exit(0 if np.array_equal(keccak.hash_column(messages), before) else 1)\n"
        "print(os.waitpid(child, 0)[1], keccak.backend())"
    )
    assert run_python(script).split() == ["0", "numba"]
