"""Keccak-256 over a column of messages of one length: a Numba kernel, or safe-pysha3 where Numba is not to be had.

Eight messages go through the permutation side by side, word by word, so that the compiler makes vector instructions of
it. The kernel is compiled at its first use and kept on disk; a few messages do not wait for it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numpy.typing import NDArray

from rewards.errors import UsageError
from rewards.units import keccak

Bytes = NDArray[np.uint8]
States = NDArray[np.uint64]
Kernel = Callable[[States], None]

FEW = 1 << 16
"""Up to so many messages in a call, safe-pysha3 takes less time than loading Numba."""

_HANDFUL = 8  # up to so many, it takes less time than setting up a call of the kernel
_SIZES = (32, 40, 64, 96)
_RATE = 136  # bytes of a block, which takes a message below that, a bit after it, and a bit at its end
_LAST_BIT = np.uint64(1 << 63)  # in the last of its 17 words
_LANES = 8
_PIECE = 1 << 12  # messages that a thread takes at a time; their states fit into its cache

_ROUND_CONSTANTS = np.array(
    [
        0x0000000000000001,
        0x0000000000008082,
        0x800000000000808A,
        0x8000000080008000,
        0x000000000000808B,
        0x0000000080000001,
        0x8000000080008081,
        0x8000000000008009,
        0x000000000000008A,
        0x0000000000000088,
        0x0000000080008009,
        0x000000008000000A,
        0x000000008000808B,
        0x800000000000008B,
        0x8000000000008089,
        0x8000000000008003,
        0x8000000000008002,
        0x8000000000000080,
        0x000000000000800A,
        0x800000008000000A,
        0x8000000080008081,
        0x8000000000008080,
        0x0000000080000001,
        0x8000000080008008,
    ],
    dtype=np.uint64,
)


def hash_column(messages: Bytes, out: Bytes | None = None) -> Bytes:
    """Keccak-256 of each row: (n, 32 | 40 | 64 | 96) to (n, 32) bytes, a new array or `out`, which must not overlap.

    Raises UsageError for any other array.
    """
    _check(messages, _SIZES)
    return _hash(messages, out)


def hash_pairs(nodes: Bytes, out: Bytes | None = None) -> Bytes:
    """Keccak-256 of each two consecutive rows, the lesser first: (2m, 32) to (m, 32) bytes, one level of a tree.

    Otherwise as `hash_column`.
    """
    _check(nodes, (32,))
    if len(nodes) % 2:
        raise UsageError(f"no pairs: {len(nodes)} nodes; give an even number")
    return _hash(np.ascontiguousarray(nodes).reshape(-1, 64), out, in_order=True)


def hash_few(messages: Sequence[bytes]) -> bytes:
    """Keccak-256 of a few messages of one length, below 136 bytes, one digest after another.

    All at once where the kernel is loaded, which takes a third of the time; otherwise one by one.
    """
    if not (kernel := _choose_kernel(len(messages))):
        return b"".join([keccak(message) for message in messages])
    groups, length = -(-len(messages) // _LANES), len(messages[0])
    padding = b"\x01".ljust(_RATE - length, b"\0")
    blocks = padding.join([*messages, b""]) + bytes((groups * _LANES - len(messages)) * _RATE)
    states = np.zeros((groups, 25, _LANES), np.uint64)
    states[:, : _RATE // 8] = np.frombuffer(blocks, "<u8").reshape(groups, _LANES, -1).swapaxes(1, 2)
    states[:, 16] |= _LAST_BIT
    kernel(states.reshape(groups, -1))
    return states[:, :4].swapaxes(1, 2).astype("<u8", copy=False).tobytes()[: len(messages) * 32]


def backend() -> str:
    """What hashes more than a few messages here: `numba`, or `pysha3` where no kernel can be had."""
    return "numba" if load_kernel() else "pysha3"


@cache
def load_kernel() -> Kernel | None:
    """The compiled permutation, or None where it cannot be had. The first call imports Numba and may compile.

    A process that is to answer many small calls makes it at its start: those do not load it.
    """
    for cached in (True, False):  # without a folder to write to, each process compiles for itself
        try:
            import numba

            kernel: Kernel = numba.njit(nogil=True, cache=cached)(_permute)
            probe = np.arange(9 * 96, dtype=np.uint16).astype(np.uint8).reshape(9, 96)
            if np.array_equal(_hash_piece(kernel, probe), _hash_rows(probe)):
                return kernel
        except Exception:  # of a compiler, its cache, this machine: hashing goes on without
            continue
    return None


def _check(array: Bytes, sizes: tuple[int, ...]) -> None:
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] not in sizes:
        raise UsageError(
            f"not a column of messages: {array.dtype} of shape {array.shape}; "
            f"give uint8 of shape (n, {' | '.join(map(str, sizes))})"
        )


def _choose_kernel(count: int) -> Kernel | None:
    loaded = load_kernel.cache_info().currsize
    return load_kernel() if count > (_HANDFUL if loaded else FEW) else None


def _hash(messages: Bytes, out: Bytes | None, in_order: bool = False) -> Bytes:
    kernel = _choose_kernel(len(messages))
    digests = np.empty((len(messages), 32), np.uint8) if out is None else out
    if digests.dtype != np.uint8 or digests.shape != (len(messages), 32):
        raise UsageError(
            f"no place for digests: {digests.dtype} of shape {digests.shape}; give uint8 of shape ({len(messages)}, 32)"
        )

    def hash_from(start: int) -> None:
        piece = np.ascontiguousarray(messages[start : start + _PIECE])
        if in_order:
            piece = _order(piece)
        digests[start : start + _PIECE] = _hash_piece(kernel, piece) if kernel else _hash_rows(piece)

    starts = range(0, len(messages), _PIECE)
    if kernel and len(starts) > 1:
        # Threads of the call's own, not Numba's pool, which two callers at once or a fork would bring down.
        with ThreadPoolExecutor() as threads:
            list(threads.map(hash_from, starts))
    else:
        for start in starts:
            hash_from(start)
    return digests


def _order(pairs: Bytes) -> Bytes:
    """(m, 64) bytes with the halves of each row in ascending order."""
    halves = pairs.view("S32")  # compared as bytes, unsigned, from the first
    return np.where(halves[:, :1] > halves[:, 1:], halves[:, ::-1], halves).view(np.uint8)


def _hash_rows(messages: Bytes) -> Bytes:
    digests = b"".join([keccak(row) for row in messages.view(f"V{messages.shape[1]}")[:, 0].tolist()])
    return np.frombuffer(digests, np.uint8).reshape(-1, 32)


def _hash_piece(kernel: Kernel, messages: Bytes) -> Bytes:
    count, size = messages.shape
    groups, words = -(-count // _LANES), size // 8
    rows = np.zeros((groups * _LANES, words), "<u8")
    rows[:count] = messages.view("<u8")
    states = np.zeros((groups, 25, _LANES), np.uint64)
    states[:, :words] = rows.reshape(groups, _LANES, words).swapaxes(1, 2)
    states[:, words], states[:, 16] = 1, _LAST_BIT
    kernel(states.reshape(groups, -1))
    digests = np.ascontiguousarray(states[:, :4].swapaxes(1, 2), "<u8")
    return digests.reshape(-1, 4)[:count].view(np.uint8)


def _permute(states: States) -> None:
    """Keccak-f[1600] in place on each row of a (groups, 200) array: word i of message j of the group at 8 i + j."""
    for group in range(len(states)):
        state = states[group]
        for constant in _ROUND_CONSTANTS:
            for j in range(_LANES):
                # theta: every word takes in the parity of two columns
                a0, a1, a2, a3, a4 = state[j], state[8 + j], state[16 + j], state[24 + j], state[32 + j]
                a5, a6, a7, a8, a9 = state[40 + j], state[48 + j], state[56 + j], state[64 + j], state[72 + j]
                a10, a11, a12, a13, a14 = state[80 + j], state[88 + j], state[96 + j], state[104 + j], state[112 + j]
                a15, a16, a17, a18, a19 = state[120 + j], state[128 + j], state[136 + j], state[144 + j], state[152 + j]
                a20, a21, a22, a23, a24 = state[160 + j], state[168 + j], state[176 + j], state[184 + j], state[192 + j]
                c0 = a0 ^ a5 ^ a10 ^ a15 ^ a20
                c1 = a1 ^ a6 ^ a11 ^ a16 ^ a21
                c2 = a2 ^ a7 ^ a12 ^ a17 ^ a22
                c3 = a3 ^ a8 ^ a13 ^ a18 ^ a23
                c4 = a4 ^ a9 ^ a14 ^ a19 ^ a24
                d0 = c4 ^ (c1 << 1 | c1 >> 63)
                d1 = c0 ^ (c2 << 1 | c2 >> 63)
                d2 = c1 ^ (c3 << 1 | c3 >> 63)
                d3 = c2 ^ (c4 << 1 | c4 >> 63)
                d4 = c3 ^ (c0 << 1 | c0 >> 63)

                # rho and pi: words rotate and change places
                b0 = a0 ^ d0
                b1 = (a6 ^ d1) << 44 | (a6 ^ d1) >> 20
                b2 = (a12 ^ d2) << 43 | (a12 ^ d2) >> 21
                b3 = (a18 ^ d3) << 21 | (a18 ^ d3) >> 43
                b4 = (a24 ^ d4) << 14 | (a24 ^ d4) >> 50
                b5 = (a3 ^ d3) << 28 | (a3 ^ d3) >> 36
                b6 = (a9 ^ d4) << 20 | (a9 ^ d4) >> 44
                b7 = (a10 ^ d0) << 3 | (a10 ^ d0) >> 61
                b8 = (a16 ^ d1) << 45 | (a16 ^ d1) >> 19
                b9 = (a22 ^ d2) << 61 | (a22 ^ d2) >> 3
                b10 = (a1 ^ d1) << 1 | (a1 ^ d1) >> 63
                b11 = (a7 ^ d2) << 6 | (a7 ^ d2) >> 58
                b12 = (a13 ^ d3) << 25 | (a13 ^ d3) >> 39
                b13 = (a19 ^ d4) << 8 | (a19 ^ d4) >> 56
                b14 = (a20 ^ d0) << 18 | (a20 ^ d0) >> 46
                b15 = (a4 ^ d4) << 27 | (a4 ^ d4) >> 37
                b16 = (a5 ^ d0) << 36 | (a5 ^ d0) >> 28
                b17 = (a11 ^ d1) << 10 | (a11 ^ d1) >> 54
                b18 = (a17 ^ d2) << 15 | (a17 ^ d2) >> 49
                b19 = (a23 ^ d3) << 56 | (a23 ^ d3) >> 8
                b20 = (a2 ^ d2) << 62 | (a2 ^ d2) >> 2
                b21 = (a8 ^ d3) << 55 | (a8 ^ d3) >> 9
                b22 = (a14 ^ d4) << 39 | (a14 ^ d4) >> 25
                b23 = (a15 ^ d0) << 41 | (a15 ^ d0) >> 23
                b24 = (a21 ^ d1) << 2 | (a21 ^ d1) >> 62

                # chi and iota: the only step that is not linear, and the constant of the round
                state[j] = b0 ^ (~b1 & b2) ^ constant
                state[8 + j] = b1 ^ (~b2 & b3)
                state[16 + j] = b2 ^ (~b3 & b4)
                state[24 + j] = b3 ^ (~b4 & b0)
                state[32 + j] = b4 ^ (~b0 & b1)
                state[40 + j] = b5 ^ (~b6 & b7)
                state[48 + j] = b6 ^ (~b7 & b8)
                state[56 + j] = b7 ^ (~b8 & b9)
                state[64 + j] = b8 ^ (~b9 & b5)
                state[72 + j] = b9 ^ (~b5 & b6)
                state[80 + j] = b10 ^ (~b11 & b12)
                state[88 + j] = b11 ^ (~b12 & b13)
                state[96 + j] = b12 ^ (~b13 & b14)
                state[104 + j] = b13 ^ (~b14 & b10)
                state[112 + j] = b14 ^ (~b10 & b11)
                state[120 + j] = b15 ^ (~b16 & b17)
                state[128 + j] = b16 ^ (~b17 & b18)
                state[136 + j] = b17 ^ (~b18 & b19)
                state[144 + j] = b18 ^ (~b19 & b15)
                state[152 + j] = b19 ^ (~b15 & b16)
                state[160 + j] = b20 ^ (~b21 & b22)
                state[168 + j] = b21 ^ (~b22 & b23)
                state[176 + j] = b22 ^ (~b23 & b24)
                state[184 + j] = b23 ^ (~b24 & b20)
                state[192 + j] = b24 ^ (~b20 & b21)
