"""What of an endpoint's address may be a key, and the one rule by which secrets are blotted out of what is told: in errors,
on stdout and stderr, in the ledger, in logs."""

import json
import logging
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

BLOT = "[secret]"
SHORTEST_SECRET = 4
"""Characters of the shortest text that is blotted out: shorter ones would take half of every message, and protect
nothing."""
LONG_SECRET = 8
"""Characters from which on a secret is blotted out wherever it stands. Shorter ones, and digits alone, stand in amounts and
words too: they are blotted out where they are a word of their own."""

_LOGGERS = (
    "urllib3.connectionpool",
    "web3._utils.http_session_manager.HTTPSessionManager",
    "web3.providers.HTTPProvider",
)
"""Who quotes addresses in its own log, where somebody turns that on."""


def redact(text: str, secrets: Sequence[str]) -> str:
    """A text without these secrets, which come longest first."""
    return _match_any(tuple(secrets)).sub(BLOT, text) if secrets else text


def order_secrets(found: Iterable[str]) -> list[str]:
    """What is long enough to be blotted out, also as JSON writes it, longest first."""
    forms = {form for secret in found for form in (secret, json.dumps(secret)[1:-1])}
    return sorted((form for form in forms if len(form) >= SHORTEST_SECRET), key=lambda form: (-len(form), form))


def list_parts(url: str) -> Iterator[str]:
    """What may be secret in an address: as a whole, and each piece that a node may quote alone, as it is, decoded and
    encoded; and what is sent for user and password. A short number in path or query is none: chains are named so."""
    try:
        split = urlsplit(url)
    except ValueError:  # no address
        yield url
        return
    parts = [split.path.strip("/"), split.query, *split.path.split("/"), split.fragment]
    parts += [value or name for name, _, value in (pair.partition("=") for pair in split.query.split("&"))]
    yield from _list_forms(*(part for part in parts if not _is_short_number(part)))
    user, password = split.username or "", split.password or ""
    yield from _list_forms(user, password)
    if user or password:
        yield b64encode(f"{unquote(user)}:{unquote(password)}".encode(errors="surrogateescape")).decode()


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


def _is_short_number(text: str) -> bool:
    return text.isdecimal() and len(text) < LONG_SECRET


@lru_cache(maxsize=16)
def _match_any(secrets: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_match, secrets)))


def _match(secret: str) -> str:
    if len(secret) >= LONG_SECRET and not secret.isdecimal():
        return re.escape(secret)
    return rf"(?:(?<![0-9A-Za-z])|(?<=%[0-9A-Fa-f][0-9A-Fa-f])){re.escape(secret)}(?![0-9A-Za-z])"
