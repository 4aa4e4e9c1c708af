"""What a root commits to: one epoch's facts and the digests of its files, as canonical JSON (RFC 8785), and its
SHA-256."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any

import rfc8785

from rewards.epoch import Epoch, from_micros, to_micros
from rewards.errors import Disagreement, UsageError
from rewards.ports import Block, Counts, EpochResult, PoolTotals
from rewards.schemas import NOT_EARNING_REASONS, QUARANTINE_REASONS
from rewards.typed_data import Domain
from rewards.units import POOL_NAMES, POOLS, ZERO_ROOT, Address, parse_address, parse_root

FORMAT = "cxpt-epoch-1"
MAX_NATURAL = 2**53 - 1
"""The largest number that every reader of JSON takes exactly; amounts are strings."""
MAX_DEPTH = 32

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
    """The Vault an epoch is bound to, its first epoch, its limits per pool at the reference block, and that block."""

    chain_id: int
    token: Address
    vault: Address
    limits: Mapping[int, int]
    reference_block: Block
    first_epoch: int = 0

    @property
    def domain(self) -> Domain:
        """What corrections of the epoch are signed for."""
        return Domain(self.chain_id, self.vault)


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

    @property
    def first_epoch(self) -> int:
        """The number of the network's first epoch."""
        return self.chain.first_epoch if self.chain else 0

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
            "first_epoch": chain.first_epoch,
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
        require_shallow(source)
        manifest = _from_json(json.loads(source))
        canonical = manifest.to_bytes()
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, UsageError) as error:
        raise Disagreement(
            f"{origin} is not a manifest of format {FORMAT}: {error!r}; get the published file again"
        ) from error
    if canonical != source:
        raise Disagreement(f"{origin} is not in canonical form (RFC 8785), so its digest means nothing; get it again")
    return manifest


def require_shallow(source: bytes) -> None:
    """Raise ValueError for JSON nested deeper than MAX_DEPTH. The parser itself may crash on it: libraries lift
    Python's limit."""
    depth = 0
    for bracket in re.findall(rb"[\[\]{}]", re.sub(rb'"(?:[^"\\]|\\.)*"', b"", source)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _from_json(content: dict[str, Any]) -> Manifest:
    """The manifest with every value checked: whoever wrote the bytes is a stranger."""
    _require(content["format"] == FORMAT, "format", content["format"])
    differing = sorted(set(content["files"]) ^ set(FILES))
    _require(not differing, "files", ", ".join(differing))
    window = {k: to_micros(datetime.fromisoformat(content["window"][k])) for k in ("start", "end")}
    _require(window["start"] < window["end"], "window", content["window"])
    policy = content["policy"]
    _require(date.fromisoformat(policy).isoformat() == policy, "policy", policy)
    root, leaves = parse_root(content["root"]), _natural(content["leaves"], "leaves")
    _require((root == ZERO_ROOT) == (leaves == 0), "root of so many leaves", (content["root"], leaves))
    return Manifest(
        epoch=Epoch(_natural(content["epoch"], "epoch"), window["start"], window["end"]),
        chain=None if content["chain"] is None else _read_chain(content["chain"], content["reference_block"]),
        ruleset=_text(content["ruleset"]["name"], "ruleset"),
        ruleset_version=_text(content["ruleset"]["version"], "ruleset version"),
        policy_since=policy,
        previous=None if content["previous"] is None else _digest(content["previous"], "previous"),
        counts=_read_counts(content["counts"]),
        totals={p: _read_totals(content["totals"][POOL_NAMES[p]]) for p in POOLS},
        leaves=leaves,
        root=root,
        overrides=tuple({_text(k, "override"): _text(v, k) for k, v in one.items()} for one in content["overrides"]),
        files={name: _digest(digest, name) for name, digest in content["files"].items()},
    )


def _require(fits: bool, name: str, value: object) -> None:
    if not fits:
        raise ValueError(f"{name}: {value!r}")


def _natural(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_NATURAL:
        raise ValueError(f"{name}: {value!r}")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: {value!r}")
    return value


def _digest(value: object, name: str) -> str:
    text = _text(value, name)
    _require(re.fullmatch(r"[0-9a-f]{64}", text) is not None, name, value)
    return text


def _amount(value: object, name: str) -> int:
    """A decimal string of at most 38 digits; nothing that a manifest holds is below zero."""
    text = _text(value, name)
    _require(re.fullmatch(r"0|[1-9][0-9]{0,37}", text) is not None, name, value)
    return int(text)


def _read_chain(chain: Mapping[str, Any], block: Mapping[str, Any]) -> ChainFacts:
    return ChainFacts(
        chain_id=_amount(chain["chain_id"], "chain_id"),
        token=parse_address(_text(chain["token"], "token")),
        vault=parse_address(_text(chain["vault"], "vault")),
        limits={p: _amount(chain["limits"][POOL_NAMES[p]], "limits") for p in POOLS},
        reference_block=Block(
            _natural(block["number"], "block number"),
            parse_root(block["hash"]),
            _natural(block["timestamp"], "block timestamp"),
        ),
        first_epoch=_natural(chain["first_epoch"], "first_epoch"),
    )


def _read_totals(totals: Mapping[str, Any]) -> PoolTotals:
    return PoolTotals(**{f.name: _amount(totals[f.name], f.name) for f in fields(PoolTotals)})


def _read_counts(counts: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: _natural(counts[name], name) for name in ("rows", "earning", "repeated", "late", "tier_mismatch")}
    groups = {
        group: {reason: _natural(counts[group][reason], reason) for reason in reasons if reason in counts[group]}
        for group, reasons in (("not_earning", NOT_EARNING_REASONS), ("quarantined", QUARANTINE_REASONS))
    }
    return {**plain, **groups, "earning_fee_e8": str(_amount(counts["earning_fee_e8"], "earning_fee_e8"))}
