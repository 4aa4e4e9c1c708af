"""Corrections: the record that is signed, the file that holds them among the inputs and in a bundle, and what refuses
one."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from rewards.errors import Finding, InputError
from rewards.policy import CorrectionRules
from rewards.schemas import CORRECTIONS
from rewards.typed_data import Domain, Fields, hash_typed, recover_signer, show_typed
from rewards.units import POOL_NAMES, POOLS, PROVIDER, SUPPLY, UNITS_PER_CXPT, USER, Address, format_cxpt

FILE = "corrections.json"
MAX_BYTES = 8 << 20
MAX_RECORDS = 10_000
MAX_REASON = 200
MAX_EPOCH = 10**9

STRUCT = "Correction"
FIELDS: Fields = (
    ("epoch", "uint64"),
    ("pool", "string"),
    ("account", "string"),
    ("amount", "int256"),
    ("reason", "string"),
)

# Not str.isprintable: which characters it takes depends on the Python that runs, and a bundle must read the same on all.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_AMOUNT = re.compile(r"-?[1-9][0-9]*")
_FIRST = re.compile(r"[^\W_]")


class Correction(BaseModel):
    """A change of what an account has from a pool: `amount` in base units as a decimal string, positive to credit,
    negative to owe. It enters the epoch it names and no other."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    epoch: Annotated[int, Field(ge=0, le=MAX_EPOCH)]
    pool: Annotated[int, Field(ge=PROVIDER, le=USER)]
    account_id: Annotated[str, Field(min_length=1, max_length=1000)]
    amount: Annotated[str, Field(max_length=39)]
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)]

    @field_validator("amount")
    @classmethod
    def _within_supply(cls, value: str) -> str:
        """One text for one amount."""
        if not _AMOUNT.fullmatch(value):
            raise ValueError("an amount is whole base units other than 0, plain digits after a minus or nothing")
        if abs(int(value)) > SUPPLY:
            raise ValueError(f"an amount is at most the whole supply, {SUPPLY}")
        return value

    @field_validator("reason")
    @classmethod
    def _plain(cls, value: str) -> str:
        """No invisible or turning characters, and nothing that a spreadsheet would run."""
        if _UNSEEN.search(value) or not _FIRST.match(value) or value != value.strip():
            raise ValueError("a reason begins with a letter or digit and is one line of visible characters")
        return value

    @property
    def units(self) -> int:
        """The amount in base units, signed."""
        return int(self.amount)

    @property
    def content(self) -> tuple[int, int, str, str, int]:
        """All that is signed, in the order of the table's key: what makes two records one correction."""
        return self.epoch, self.pool, self.account_id, self.reason, self.units

    def digest(self, domain: Domain | None) -> bytes:
        """The 32 bytes that are signed."""
        return hash_typed(domain, STRUCT, FIELDS, self._message())

    def identify(self, domain: Domain | None) -> str:
        """The correction's id: its digest as `0x` and hex."""
        return "0x" + self.digest(domain).hex()

    def to_typed_data(self, domain: Domain | None) -> dict[str, Any]:
        """What a wallet shows and signs (`eth_signTypedData_v4`)."""
        return show_typed(domain, STRUCT, FIELDS, self._message())

    def _message(self) -> dict[str, Any]:
        values = {"epoch": self.epoch, "pool": POOL_NAMES[self.pool], "account": self.account_id}
        return values | {"amount": self.units, "reason": self.reason}


class SignedCorrection(Correction):
    """A correction with its signer and the signature (r, s, v), both `0x` and lower-case hex."""

    signer: Annotated[str, Field(pattern=r"^0x[0-9a-f]{40}$")]
    signature: Annotated[str, Field(pattern=r"^0x[0-9a-f]{130}$")]

    @classmethod
    def of(cls, correction: Correction, signer: Address, signature: bytes) -> "SignedCorrection":
        return cls(**correction.model_dump(), signer=signer, signature="0x" + signature.hex())

    def recover(self, domain: Domain | None) -> Address | None:
        """Who signed it for this domain; null where the signature is none."""
        return recover_signer(self.digest(domain), bytes.fromhex(self.signature[2:]))


Records = Sequence[SignedCorrection]
_RECORDS = TypeAdapter(list[SignedCorrection])


def _order(record: SignedCorrection) -> tuple[object, ...]:
    return *record.content, record.signer, record.signature


def encode_records(records: Iterable[SignedCorrection]) -> bytes:
    """The canonical file: one array, a record a line, in order, ASCII."""
    lines = [
        json.dumps(r.model_dump(), sort_keys=True, separators=(",", ":")) for r in sorted(set(records), key=_order)
    ]
    return ("[" + "".join(f"\n{line}," for line in lines)[:-1] + ("\n]\n" if lines else "]\n")).encode()


def decode_records(content: bytes, origin: str) -> Records:
    """The records of a file, whose order and spaces do not matter; raises InputError naming `origin`, the entry (from 1)
    and what is wrong with it."""
    if len(content) > MAX_BYTES:
        raise InputError(f"{origin} has {len(content)} bytes; the limit is {MAX_BYTES}: take out what entered long ago")
    try:
        records = _RECORDS.validate_json(content)
        json.loads(content, object_pairs_hook=_require_distinct)  # shallow, or the line before had refused it
        problem = None
    except ValidationError as error:
        problem = _describe_fault(error)
    except ValueError as error:
        problem = f"the file: {error}"
    if problem is not None:  # not from within: pydantic's error as a cause is in a cycle that Python cannot collect
        raise InputError(f"{origin}: {problem}; mend or remove it")
    if len(records) > MAX_RECORDS:
        raise InputError(
            f"{origin} holds {len(records)} corrections; the limit is {MAX_RECORDS}: take out what entered long ago"
        )
    return records


def _describe_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    entry, *column = first["loc"] or ("the file",)
    name = " ".join([f"entry {entry + 1}" if isinstance(entry, int) else str(entry), *map(str, column)])
    shown = isinstance(first["input"], str | int) and first["type"] != "json_invalid"
    given = f" (given: {str(first['input'])[:80]!r})" if shown else ""
    return f"{name}: {first['msg'].removeprefix('Value error, ')}{given}"


def _require_distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"an entry names a field twice: {', '.join(names)}")
    return dict(pairs)


def tabulate_records(records: Iterable[SignedCorrection]) -> pl.DataFrame:
    """`schemas.CORRECTIONS`, one row for each content whatever the order and however often it was signed; raises
    InputError where two differ in the amount alone."""
    once = {record.content: record for record in sorted(records, key=_order, reverse=True)}
    rows = [{**record.model_dump(), "amount": record.units} for record in once.values()]
    return CORRECTIONS.check(CORRECTIONS.arrange(pl.DataFrame(rows, schema=dict(CORRECTIONS.columns))))


def list_records(frame: pl.DataFrame) -> Records:
    """The records of `schemas.CORRECTIONS`; raises InputError for values that no record may have."""
    rows = [{**row, "amount": str(int(row["amount"]))} for row in frame.to_dicts()]
    try:
        return _RECORDS.validate_python(rows)
    except ValidationError as error:
        problem = _describe_fault(error)
    raise InputError(f"corrections: {problem}")


def check_corrections(
    records: Records,
    epoch: int,
    accounts: Collection[str],
    domain: Domain | None,
    rules: CorrectionRules,
    limits: Mapping[int, int] | None,
) -> list[Finding]:
    """Gate `correction`: every record is of the epoch, signed for this Vault by one whom the policy names, for an account
    that there is, said once, and together they are within the policy's limit and the Vault's `limits` by pool."""
    findings = [finding for record in records if (finding := _check_one(record, epoch, accounts, domain, rules))]
    contents = sorted({record.content for record in records})
    doubled = [key for key, times in Counter(content[:4] for content in contents).items() if times > 1]
    for _, pool, account, reason in doubled:
        message = f"{POOL_NAMES[pool]} {account!r} has two corrections with one reason, {reason!r}; remove one"
        findings.append(Finding("correction", message, "one amount", "two"))
    findings += find_excess([content[4] for content in contents], epoch, rules)
    for pool in POOLS if limits is not None else ():
        credited = sum(content[4] for content in contents if content[1] == pool and content[4] > 0)
        if limits is not None and credited > limits[pool]:
            message = f"the corrections of epoch {epoch} credit more {POOL_NAMES[pool]} money than the Vault's limit"
            findings.append(Finding("correction", message, f"at most {limits[pool]}", str(credited)))
    return findings


def find_excess(amounts: Sequence[int], epoch: int, rules: CorrectionRules) -> list[Finding]:
    """The finding of corrections of an epoch (base units, signed) that together pass the policy's limit."""
    limit, total = rules.epoch_limit_cxpt * UNITS_PER_CXPT, sum(map(abs, amounts))
    if not amounts or total <= limit:
        return []
    message = f"the corrections of epoch {epoch} pass the policy's corrections.epoch_limit_cxpt"
    return [Finding("correction", message, f"at most {limit}", str(total))]


def _check_one(
    record: SignedCorrection, epoch: int, accounts: Collection[str], domain: Domain | None, rules: CorrectionRules
) -> Finding | None:
    name = f"{record.identify(domain)} ({format_cxpt(record.units)} CXPT, {record.account_id!r})"
    if record.epoch != epoch:
        return Finding("correction", f"{name} is of another epoch", str(epoch), str(record.epoch))
    found = record.recover(domain)
    if found != record.signer:
        message = f"{name} is not signed by its signer for this epoch, {domain or 'without a chain'}"
        return Finding("correction", message, record.signer, found or "no signature")
    if record.signer not in {signer.lower() for signer in rules.signers}:
        allowed = ", ".join(rules.signers) or "nobody"
        return Finding("correction", f"{name} is signed by one whom the policy does not name", allowed, record.signer)
    if record.account_id not in accounts:
        return Finding("correction", f"{name} is for an account that does not exist", "an account", record.account_id)
    return None
