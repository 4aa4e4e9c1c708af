"""What of an endpoint's address may be a key, and the one rule by which secrets are blotted out of what is told: in errors,
on stdout and stderr, in the ledger, in logs."""

import json
import logging
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, unquote, urlsplit

BLOT = "[secret]"
SHORTEST_SECRET = 4
"""Characters of the shortest text that is blotted out: shorter ones would take half of every message, and protect
nothing."""
LONG_SECRET = 8
"""Characters from which on a secret is blotted out wherever it stands, in small letters or capitals. Shorter ones, and
digits alone, stand in amounts and words too: they are blotted out as they are, where they are a word of their own."""

_SEPARATORS = re.compile("[:;,]")
_ALPHANUMERIC, _ESCAPE = re.compile("[0-9A-Za-z]"), re.compile("%[0-9A-Fa-f]{2}")

_LOGGERS = (
    "urllib3.connectionpool",
    "web3._utils.http_session_manager.HTTPSessionManager",
    "web3.providers.HTTPProvider",
)
"""Who quotes addresses in its own log, where somebody turns that on."""


def redact(text: str, secrets: Iterable[str]) -> str:
    """A text without these secrets; where two overlap, nothing of either stays."""
    told, folded, shown = list[str](), _fold(text), 0
    for start, end in _merge(span for secret in secrets for span in _find(secret, text, folded)):
        told += text[shown:start], BLOT
        shown = end
    return "".join(told) + text[shown:]


def order_secrets(found: Iterable[str]) -> list[str]:
    """What is long enough to be blotted out, also as JSON writes it, longest first."""
    forms = {form for secret in found for form in (secret, json.dumps(secret)[1:-1])}
    return sorted((form for form in forms if len(form) >= SHORTEST_SECRET), key=lambda form: (-len(form), form))


def list_parts(url: str) -> Iterator[str]:
    """What may be secret in an address: as a whole, and each piece that a node may quote alone, as it is, decoded and
    encoded; and what is sent for user and password. A short number is none, nor a short word of the path, such as 137 and
    full: chains and networks are named so, and what nodes say is told apart by words; nor is a short user name."""
    try:
        split = urlsplit(url)
    except ValueError:  # no address
        yield url
        return
    pairs = (pair.partition("=") for pair in re.split("[&;]", split.query))
    path = [split.path.strip("/"), *split.path.split("/")]
    pieces = [piece for piece in path if not _is_plain_word(piece)]
    pieces += [*(value or name for name, _, value in pairs), split.fragment]
    parts = [part for piece in pieces for form in (piece, unquote(piece)) for part in (form, *_SEPARATORS.split(form))]
    parts.append(split.query)
    yield from _list_forms(*(part for part in parts if not _is_short(part) or not part.isdecimal()))
    user, password = split.username or "", split.password or ""
    yield from _list_forms(*([] if _is_short(unquote(user)) else [user]), password)
    if user or password:
        yield from _list_authorizations(f"{unquote(user)}:{unquote(password)}")


def keep_out_of_logs(secrets: Sequence[str]) -> None:
    """Blots these secrets out of the logs of the libraries that talk to nodes."""
    _IN_LOGS.update(secrets)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_blot_record)  # the same one again is nothing


_IN_LOGS = set[str]()


def _blot_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = redact(record.getMessage(), order_secrets(_IN_LOGS)), ()
    return True


def _list_forms(*parts: str) -> Iterator[str]:
    for part in parts:
        plain = unquote(part)
        yield from (part, plain)
        for encoded in (quote(plain, safe=safe, errors="surrogateescape") for safe in ("", "/", "/=&")):
            yield from (encoded, re.sub("%..", lambda escape: escape[0].lower(), encoded))


def _is_short(text: str) -> bool:
    return len(text) < LONG_SECRET


def _is_plain_word(text: str) -> bool:
    return _is_short(text) and text.isascii() and text.isalpha() and text.islower()


def _list_authorizations(credentials: str) -> Iterator[str]:
    """As the header of a request holds them: what sends it encodes Latin-1, others UTF-8."""
    yield b64encode(credentials.encode(errors="surrogateescape")).decode()
    yield b64encode(credentials.encode("latin-1", errors="replace")).decode()  # none is sent for what is not Latin-1


def _find(secret: str, text: str, folded: str) -> Iterator[tuple[int, int]]:
    """Where a secret stands in a text, also where it overlaps itself."""
    is_long = len(secret) >= LONG_SECRET and not secret.isdecimal()
    within, sought = (folded, _fold(secret)) if is_long else (text, secret)
    start = within.find(sought)
    while start >= 0:
        end = start + len(sought)
        if is_long or _is_word(text, start, end):
            yield start, end
        start = within.find(sought, start + 1)


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether no letter or digit goes on before or after it; what an escape like %2F stands for is none."""
    before = text[max(0, start - 3) : start]
    is_begun = not _ALPHANUMERIC.match(before[-1:]) or _ESCAPE.fullmatch(before) is not None
    return is_begun and not _ALPHANUMERIC.match(text[end : end + 1])


def _merge(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _fold(text: str) -> str:
    """In small letters, and as long as before: İ alone would become two."""
    return text.replace("İ", "i").lower()
