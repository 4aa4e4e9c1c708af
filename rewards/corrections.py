"""Corrections: the record that is signed, the file that holds them among the inputs and in a bundle, and what refuses
one."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from rewards.errors import Finding, InputError
from rewards.policy import CorrectionRules
from rewards.schemas import CORRECTIONS
from rewards.typed_data import SIGNATURE_BYTES, Domain, Fields, hash_typed, recover_signer, show_typed
from rewards.units import POOL_NAMES, POOLS, PROVIDER, SUPPLY, UNITS_PER_CXPT, USER, Address, format_cxpt

FILE = "corrections.json"
MAX_BYTES = 8 << 20
MAX_RECORDS = 10_000
MAX_REASON = 200
MAX_EPOCH = 10**9
SHOWN = 3
"""How many of a kind the gate names."""

STRUCT = "Correction"
FIELDS: Fields = (
    ("epoch", "uint64"),
    ("pool", "string"),
    ("account", "string"),
    ("amount", "int256"),
    ("reason", "string"),
)

# Ranges, not str.isprintable or \w: those ask the Unicode tables of the Python that runs, and a bundle must read the same
# on all. Unseen is what has no width, turns the text, stands for nothing, or changes how its neighbour looks.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U0010ffff]"
)
_SPACES = " \xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
_AMOUNT = re.compile(r"-?[1-9][0-9]*")
# Letters and digits, and what stands among those of other scripts; no sign that a spreadsheet begins a formula with.
_FIRST = re.compile(
    "[0-9A-Za-z\xc0-\xd6\xd8-\xf6\xf8-\u02af\u0370-\u167f\u1681-\u1fff\u2c00-\u2dff\u3040-\ud7ff\uf900-\ufdff\ufe70-\ufefe"
    "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uffdc\U00010000-\U0001efff\U00020000-\U0003ffff]"
)
_LAST = re.compile(f"[{_SPACES}]\\Z")


def is_seen(text: str) -> bool:
    """Whether a text is one line of characters that people see, and not spaces alone."""
    return not _UNSEEN.search(text) and bool(re.search(f"[^{_SPACES}]", text))


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
        if not is_seen(value) or not _FIRST.match(value) or _LAST.search(value):
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
    kinds: Mapping[str, str],
    domain: Domain | None,
    rules: CorrectionRules,
    limits: Mapping[int, int] | None,
) -> list[Finding]:
    """Gate `correction`: every record is of the epoch, signed for this Vault by one whom the policy names, for an account
    that there is and that earns from its pool (`kinds` by account), said once, and together they are within the policy's
    limit and the Vault's `limits` by pool. Names the first few of many."""
    refused = []
    for record in records:
        finding = _check_signer(record, epoch, domain, rules) or _check_account(record, kinds, domain)
        refused += [finding] if finding else []
    findings = [*refused[:SHOWN], *_check_together(records, epoch, rules, limits)]
    if len(refused) > SHOWN:
        message = f"{len(refused) - SHOWN} more corrections are refused for the like"
        findings.append(Finding("correction", message, "none", str(len(refused))))
    return findings


def check_unsigned(
    added: Sequence[Correction],
    others: Records,
    epoch: int,
    kinds: Mapping[str, str],
    domain: Domain | None,
    rules: CorrectionRules,
) -> list[Finding]:
    """What the gate will say of corrections beside others of their epoch, but for their signatures."""
    refused = [found for correction in added if (found := _check_account(correction, kinds, domain))]
    return [*refused[:SHOWN], *_check_together([*others, *added], epoch, rules, None)]


def check_room(waiting: Records, added: Sequence[Correction]) -> list[Finding]:
    """What the file of corrections cannot hold once some that are not signed yet are added to those that wait."""
    contents = {correction.content for correction in added}
    unsigned = [SignedCorrection.of(one, Address("0x" + "0" * 40), bytes(SIGNATURE_BYTES)) for one in added]
    records = [*(record for record in waiting if record.content not in contents), *unsigned]
    sizes = (("corrections", len(records), MAX_RECORDS), ("bytes", len(encode_records(records)), MAX_BYTES))
    return [
        Finding("correction", f"{FILE} would hold too many {what}; credit the largest first by --most, or take out what "
                "entered long ago", f"at most {limit}", str(found))
        for what, found, limit in sizes
        if found > limit
    ]  # fmt: skip


def _check_together(
    records: Sequence[Correction], epoch: int, rules: CorrectionRules, limits: Mapping[int, int] | None
) -> list[Finding]:
    findings = []
    contents = sorted({record.content for record in records})
    doubled = [key for key, times in Counter(content[:4] for content in contents).items() if times > 1]
    for _, pool, account, reason in doubled[:SHOWN]:
        message = f"{POOL_NAMES[pool]} {account!r} has two corrections with one reason, {reason!r}; remove one"
        findings.append(Finding("correction", message, "one amount", "two"))
    limit, total = rules.epoch_limit_cxpt * UNITS_PER_CXPT, sum(abs(content[4]) for content in contents)
    if contents and total > limit:
        message = f"the corrections of epoch {epoch} pass the policy's corrections.epoch_limit_cxpt"
        findings.append(Finding("correction", message, f"at most {limit}", str(total)))
    for pool in POOLS if limits is not None else ():
        credited = sum(content[4] for content in contents if content[1] == pool and content[4] > 0)
        if limits is not None and credited > limits[pool]:
            message = f"the corrections of epoch {epoch} credit more {POOL_NAMES[pool]} money than the Vault's limit"
            findings.append(Finding("correction", message, f"at most {limits[pool]}", str(credited)))
    return findings


def _name(correction: Correction, domain: Domain | None) -> str:
    return f"{correction.identify(domain)} ({format_cxpt(correction.units)} CXPT, {correction.account_id!r})"


def _check_signer(
    record: SignedCorrection, epoch: int, domain: Domain | None, rules: CorrectionRules
) -> Finding | None:
    name = _name(record, domain)
    if record.epoch != epoch:
        return Finding("correction", f"{name} is of another epoch", str(epoch), str(record.epoch))
    found = record.recover(domain)
    if found != record.signer:
        message = f"{name} is not signed by its signer for this epoch, {domain or 'without a chain'}"
        return Finding("correction", message, record.signer, found or "no signature")
    if record.signer not in {signer.lower() for signer in rules.signers}:
        allowed = ", ".join(rules.signers) or "nobody"
        return Finding("correction", f"{name} is signed by one whom the policy does not name", allowed, record.signer)
    return None


def _check_account(correction: Correction, kinds: Mapping[str, str], domain: Domain | None) -> Finding | None:
    kind, pool = kinds.get(correction.account_id), POOL_NAMES[correction.pool]
    if kind is None:
        message = f"{_name(correction, domain)} is for an account that does not exist"
        return Finding("correction", message, "an account", correction.account_id)
    if kind != pool:  # a debt there would never be withheld
        return Finding("correction", f"{_name(correction, domain)} is of the pool that pays the other kind", kind, pool)
    return None
