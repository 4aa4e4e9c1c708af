"""What of an endpoint's address may be a key, and how it is blotted out of what a node says."""

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote, urlsplit

BLOT = "[secret]"
SHORTEST_SECRET = 4
"""Characters of the shortest text that is blotted out: shorter ones would take half of every message, and protect
nothing."""


def redact(text: str, secrets: Sequence[str]) -> str:
    """A text without these secrets, which come longest first."""
    for secret in secrets:
        text = text.replace(secret, BLOT)
    return text


def order_secrets(found: Iterable[str]) -> list[str]:
    """What is long enough to be blotted out, longest first."""
    return sorted({s for s in found if len(s) >= SHORTEST_SECRET}, key=len, reverse=True)


def list_parts(url: str) -> Iterator[str]:
    """What may be secret in an address, as it is and decoded: as a whole, and each piece that a node may quote alone."""
    try:
        split = urlsplit(url)
    except ValueError:  # no address
        yield url
        return
    parts = [split.username or "", split.password or "", split.path.strip("/"), split.query, split.fragment]
    parts += split.path.split("/")
    parts += [value or name for name, _, value in (pair.partition("=") for pair in split.query.split("&"))]
    for part in parts:
        yield part
        yield unquote(part)
