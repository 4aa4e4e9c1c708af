"""What a deployment has signed so far, on disk before it is sent: a run that was killed goes on from here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rewards.chain.deployment import write_durably
from rewards.chain.intent import SignedIntent
from rewards.chain.request import Request
from rewards.errors import RewardsError, StorageError, UsageError

JOURNAL_ENDING = ".partial"


@dataclass
class Journal:
    """`asked` is the request, `bytecodes` the digest of each contract's creation code, `intents` what was signed, by
    step: the newest first, then what it replaced, any of which may be mined. `aside` is where an older journal is moved
    before this one is written over it."""

    path: Path
    asked: Request
    bytecodes: Mapping[str, str]
    intents: dict[str, tuple[SignedIntent, ...]] = field(default_factory=dict)
    aside: Path | None = None

    @property
    def next_nonce(self) -> int:
        """The first nonce that nothing in here was signed with."""
        return max((one.nonce + 1 for versions in self.intents.values() for one in versions), default=0)

    def keep(self, step: str, stored: SignedIntent) -> None:
        """Remembers an intent; after the return it is on disk. StorageError when it cannot be, and then nothing may be
        sent."""
        self.intents[step] = stored, *self.intents.get(step, ())
        self.write()

    def forget(self, step: str) -> None:
        """Drops an intent that can never take effect, so that its step is signed anew; the file keeps it until then."""
        del self.intents[step]

    def write(self) -> None:
        intents = [
            {"step": step, **json.loads(stored.to_json())}
            for step, versions in self.intents.items()
            for stored in versions
        ]
        known = {"asked": self.asked.to_json(), "bytecodes": self.bytecodes, "intents": intents}
        try:
            if self.aside is not None:
                self.path.rename(self.aside)
                self.aside = None
            write_durably(self.path, json.dumps(known, indent=2) + "\n")
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be written: {error.strerror}; nothing more is sent, mend the disk and run again"
            ) from None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def journal_path(record: Path) -> Path:
    """Where the journal of a record is: beside it."""
    return record.with_name(record.name + JOURNAL_ENDING)


def read_journal(path: Path) -> Journal | None:
    """The journal in a file, None where there is none; UsageError when it does not read."""
    try:
        known = json.loads(path.read_text())
        intents: dict[str, tuple[SignedIntent, ...]] = {}
        for one in known["intents"]:
            step = one.pop("step")
            intents[step] = *intents.get(step, ()), SignedIntent.from_json(json.dumps(one))
        return Journal(path, Request.from_json(known["asked"]), dict(known["bytecodes"]), intents)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RewardsError) as error:
        raise UsageError(
            f"{path} is not the journal of a deployment ({error}); restore it, it says what was sent already"
        ) from None
