"""Golden publication hashes, by eth_abi and keccak alone: python make_publication_hash.py > publication_hash.json."""

import json
from hashlib import sha256

from eth_abi.abi import encode
from eth_utils.crypto import keccak

TYPES = ["uint256", "bytes32", "bytes32", "uint256", "uint256", "uint256"]
ZERO = bytes(32)
MOST = 2**96 - 1
LAST_EPOCH = 2**24 - 2  # a Vault counts one further

# Epoch, root, totals of the provider and of the user pool, revocations; the manifest hash follows from the place.
PUBLICATIONS = [
    (0, ZERO, 0, 0, 0),
    (0, b"root", 1, 0, 0),
    (0, b"root", 0, 1, 0),
    (1, b"root", 0, 1, 0),
    (1, b"root", 0, 1, 1),
    (1, b"other root", 0, 1, 1),
    (5, b"root", 800 * 10**18, 400 * 10**18, 2),
    (5, b"root", 400 * 10**18, 800 * 10**18, 2),
    (LAST_EPOCH, b"root", MOST, MOST, 0),
    (LAST_EPOCH, b"root", MOST, MOST - 1, 3),
    (260_107, ZERO, 0, 0, 3),
]


def describe(place: int, epoch: int, name: bytes, *numbers: int) -> dict[str, int | str]:
    provider_total, user_total, revocations = numbers
    root = name if name == ZERO else sha256(name).digest()
    manifest_hash = sha256(b"manifest %d" % place).digest()
    words = [epoch, root, manifest_hash, provider_total, user_total, revocations]
    return {
        "epoch": epoch,
        "root": "0x" + root.hex(),
        "manifestHash": "0x" + manifest_hash.hex(),
        "providerTotal": str(provider_total),
        "userTotal": str(user_total),
        "revocations": revocations,
        "publicationHash": "0x" + keccak(encode(TYPES, words)).hex(),
    }


if __name__ == "__main__":
    publications = [describe(place, *publication) for place, publication in enumerate(PUBLICATIONS)]
    print(json.dumps({"encoding": TYPES, "publications": publications}, indent=1))
