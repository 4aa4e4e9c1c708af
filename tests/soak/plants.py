"""Defects that a command can be given, to see that the soak finds them."""

from rewards.ledger.intents import Intents


def forget_intents() -> None:
    """A store that keeps nothing of what is sent."""
    Intents.keep = lambda *_: None  # type: ignore[method-assign]
