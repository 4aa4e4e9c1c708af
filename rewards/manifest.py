"""What a root commits to: one epoch's facts and the digests of its files, as canonical JSON (RFC 8785), and its SHA-256."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import rfc8785

from rewards.epoch import Epoch, from_micros, to_micros
from rewards.errors import Disagreement, UsageError
from rewards.ports import Block, Counts, EpochResult, PoolTotals
from rewards.units import POOL_NAMES, POOLS, Address, parse_root

FORMAT = "cxpt-epoch-1"
FILES = (
    "accounts.parquet",
    "allocations.parquet",
    "claimables.parquet",
    "corrections.json",
    "deposits.parquet",
    "heartbeats_rollup.parquet",
    "policy.toml",
    "provision_scores.parquet",
    "provisions.parquet",
    "quarantine.parquet",
    "rollup.parquet",
    "scores.parquet",
    "state.parquet",
    "tree.bin",
)
"""Every file of the promise; a bundle has these, `manifest.json` and `manifest.sha256`, and nothing else."""


@dataclass(frozen=True)
class ChainFacts:
    """The Vault an epoch is bound to, its limits per pool when the epoch was computed, and the reference block."""

    chain_id: int
    token: Address
    vault: Address
    limits: Mapping[int, int]
    reference_block: Block


@dataclass(frozen=True)
class Manifest:
    """One epoch as published. Amounts are base units; `previous` and `files` are SHA-256 in lower-case hex."""

    epoch: Epoch
    chain: ChainFacts | None
    ruleset: str
    ruleset_version: str
    policy_since: str
    previous: str | None
    counts: Mapping[str, Any]
    totals: Mapping[int, PoolTotals]
    leaves: int
    root: bytes
    overrides: tuple[Mapping[str, str], ...]
    files: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """Canonical JSON: the same manifest always has the same bytes."""
        return rfc8785.dumps(_as_json(self))

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def hash(self) -> bytes:
        """The digest's 32 bytes, as they go on chain."""
        return bytes.fromhex(self.digest)

    def total(self, pool: int) -> int:
        """The cumulative total of the pool's leaves: what the Vault is told."""
        return self.totals[pool].claimables


def build_manifest(
    epoch: Epoch,
    result: EpochResult,
    counts: Counts,
    files: Mapping[str, bytes],
    ruleset: tuple[str, str],
    policy_since: str,
    previous: str | None,
    chain: ChainFacts | None,
    overrides: Sequence[Mapping[str, str]] = (),
) -> Manifest:
    """The manifest of a computed epoch over its files' bytes."""
    return Manifest(
        epoch=epoch,
        chain=chain,
        ruleset=ruleset[0],
        ruleset_version=ruleset[1],
        policy_since=policy_since,
        previous=previous,
        counts=counts.to_json(),
        totals=result.totals,
        leaves=result.leaves,
        root=result.root,
        overrides=tuple(overrides),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )


def _time(micros: int) -> str:
    return from_micros(micros).isoformat().replace("+00:00", "Z")


def _as_json(manifest: Manifest) -> dict[str, Any]:
    chain = manifest.chain
    return {
        "format": FORMAT,
        "epoch": manifest.epoch.number,
        "window": {"start": _time(manifest.epoch.start_us), "end": _time(manifest.epoch.end_us)},
        "chain": None
        if chain is None
        else {
            "chain_id": str(chain.chain_id),
            "token": chain.token,
            "vault": chain.vault,
            "limits": {POOL_NAMES[p]: str(chain.limits[p]) for p in POOLS},
        },
        "reference_block": None
        if chain is None
        else {
            "number": chain.reference_block.number,
            "hash": "0x" + chain.reference_block.hash.hex(),
            "timestamp": chain.reference_block.timestamp,
        },
        "ruleset": {"name": manifest.ruleset, "version": manifest.ruleset_version},
        "policy": manifest.policy_since,
        "previous": manifest.previous,
        "counts": manifest.counts,
        "totals": {POOL_NAMES[p]: {k: str(v) for k, v in asdict(manifest.totals[p]).items()} for p in POOLS},
        "leaves": manifest.leaves,
        "root": "0x" + manifest.root.hex(),
        "overrides": list(manifest.overrides),
        "files": dict(manifest.files),
    }


def parse_manifest(source: bytes, origin: str) -> Manifest:
    """A manifest from its bytes, which must be canonical; raises Disagreement naming `origin` and what is wrong."""
    try:
        content = json.loads(source)
        manifest = _from_json(content)
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise Disagreement(f"{origin} is not a manifest of format {FORMAT}: {error!r}; get the published file again") from error
    if manifest.to_bytes() != source:
        raise Disagreement(f"{origin} is not in canonical form (RFC 8785), so its digest means nothing; get it again")
    return manifest


def _from_json(content: dict[str, Any]) -> Manifest:
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']!r}")
    unknown = sorted(set(content["files"]) ^ set(FILES))
    if unknown:
        raise ValueError(f"files differ from the format's: {', '.join(unknown)}")
    bad = [d for d in content["files"].values() if not re.fullmatch(r"[0-9a-f]{64}", d)]
    if bad:
        raise ValueError(f"{bad[0]!r} is not a digest")
    window = {k: to_micros(datetime.fromisoformat(v)) for k, v in content["window"].items()}
    chain = None
    if content["chain"] is not None:
        block = content["reference_block"]
        chain = ChainFacts(
            chain_id=int(content["chain"]["chain_id"]),
            token=Address(content["chain"]["token"]),
            vault=Address(content["chain"]["vault"]),
            limits={p: int(content["chain"]["limits"][POOL_NAMES[p]]) for p in POOLS},
            reference_block=Block(block["number"], parse_root(block["hash"]), block["timestamp"]),
        )
    return Manifest(
        epoch=Epoch(content["epoch"], window["start"], window["end"]),
        chain=chain,
        ruleset=content["ruleset"]["name"],
        ruleset_version=content["ruleset"]["version"],
        policy_since=content["policy"],
        previous=content["previous"],
        counts=content["counts"],
        totals={p: PoolTotals(**{k: int(v) for k, v in content["totals"][POOL_NAMES[p]].items()}) for p in POOLS},
        leaves=content["leaves"],
        root=parse_root(content["root"]),
        overrides=tuple(content["overrides"]),
        files=content["files"],
    )
