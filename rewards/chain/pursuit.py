"""One nonce until it is final: sent, sent again, replaced when stuck, followed through reorganisations."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from web3.types import TxReceipt

from rewards.chain.client import Chain
from rewards.chain.fees import ask_for_fees
from rewards.chain.intent import SignedIntent
from rewards.errors import ChainError, ChainUnavailable, NotSigned
from rewards.units import checksum

MOST_REPLACEMENTS = 11
"""In one run: they raise a fee at least three and a half times. The next run may raise it further, up to the cap."""

_TOO_CHEAP = re.compile(r"underpriced|fee ?too ?low|base ?fee|fee cap less|replace", re.IGNORECASE)
_NOT_NOW = re.compile(r"nonce|full|overflow", re.IGNORECASE)

Found = TypeVar("Found")

AtOnce = Literal["at once"]
"""What was just done may show already: look again without a pause."""

Fate = Literal["dead", "open"]
"""What a nonce came to without a version of ours in a block: another's for good, or free."""

Replace = Callable[[SignedIntent], SignedIntent]
"""Signs the same content at the same nonce for higher fees and keeps it; NotSigned above the cap, or without a key."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a block and for finality: `polls` questions with `pause_s` seconds between them. What pays
    enough and is in no block after `blocks` more of them counts as stuck."""

    polls: int = 900
    pause_s: float = 2.0
    pause: Callable[[float], None] = time.sleep
    blocks: int = 12

    def wait(self, look: Callable[[], Found | AtOnce | None]) -> Found | None:
        """What `look` finds, asked until it does, `at once` without a pause; None when patience ends before. A node that
        does not answer for a while is asked again; ChainUnavailable when it still does not at the end."""
        trouble: ChainUnavailable | None = None
        for _ in range(self.polls):
            try:
                found = look()
                trouble = None
                if found == "at once":
                    continue
                if found is not None:
                    return found
            except ChainUnavailable as unavailable:
                trouble = unavailable
            self.pause(self.pause_s)
        if trouble is not None:
            raise trouble
        return None


@dataclass(frozen=True)
class Mined:
    """The signed version that is in a final block, and its receipt."""

    version: SignedIntent
    receipt: TxReceipt


@dataclass
class Pursuit:
    """Brings one of `versions` (newest first) into a final block. `rivals` are other intents signed with the same nonce,
    any of which may be mined instead. Without `replace` nothing new is signed."""

    chain: Chain
    patience: Patience
    versions: list[SignedIntent]
    rivals: Sequence[SignedIntent] = ()
    replace: Replace | None = None
    on_sent: Callable[[SignedIntent], None] = lambda _: None
    confirm: Callable[[], None] = lambda: None
    """Asked before anything is sent, again and again; raises what forbids it by now."""
    _was_sent: bool = field(default=False, init=False)
    _since: int | None = field(default=None, init=False)
    _replacements: int = field(default=0, init=False)
    _unsigned: NotSigned | None = field(default=None, init=False)

    def run(self) -> Mined | None:
        """What is final at the nonce, after sending what must be sent; None when that is nothing of ours: all versions are
        dead.

        Raises ChainError when a node refuses for good, or patience ends; everything signed is kept, and may be resumed.
        A node that does not answer for a while is asked again.
        """
        found = self._follow(self._advance)
        return found if isinstance(found, Mined) else None

    def watch(self) -> Mined | Fate:
        """As `run`, but sends nothing: `open` when no version is in a block and the nonce is free, as after a
        reorganisation."""
        return self._follow(self._look)

    def _follow(self, advance: Callable[[], Fate | AtOnce | None]) -> Mined | Fate:
        def look() -> Mined | Fate | AtOnce | None:
            mined = self._find_mined()
            if mined is None:
                return advance()
            if not self._is_final(mined.receipt):
                return None
            self._require_credible(mined)
            return mined

        try:
            found: Mined | Fate | None = self.patience.wait(look)
        except ChainUnavailable as trouble:
            raise ChainUnavailable(f"{self._purpose}: {trouble}; {self._resumable}") from trouble
        if found is None:
            raise ChainError(f"{self._purpose}: {self._describe_wait()}; resume it later: run the same command again")
        return found

    @property
    def _newest(self) -> SignedIntent:
        return self.versions[0]

    @property
    def _purpose(self) -> str:
        return self._newest.purpose

    @property
    def _resumable(self) -> str:
        return f"nonce {self._newest.nonce} of {self._newest.sender}, safe to resume"

    def _find_mined(self) -> Mined | None:
        for version in (*self.versions, *self.rivals):
            receipt = self.chain.find_receipt(version.transaction)
            if receipt is not None:
                return Mined(version, receipt)
        return None

    def _is_final(self, receipt: TxReceipt) -> bool:
        number = receipt["blockNumber"]
        return number <= self.chain.final_block().number and (
            self.chain.block(number).hash == bytes(receipt["blockHash"])
        )

    def _require_credible(self, mined: Mined) -> None:
        """Raises ChainUnavailable where a receipt tells of a failure and the logs of its block of an effect: what failed
        left none, so one of the two answers is wrong."""
        to, _ = mined.version.call
        if mined.receipt["status"] == 1 or to is None:
            return
        number, ours = mined.receipt["blockNumber"], mined.version.transaction
        if any(bytes(log["transactionHash"]) == ours for log in self.chain.logs(to, [], number, number)):
            raise ChainUnavailable(
                f"{self.chain.where} tells that transaction 0x{ours.hex()} failed in block {number}, and has events of it "
                "there; use another endpoint"
            )

    def _advance(self) -> Fate | AtOnce | None:
        """One step towards a block; `dead` when the nonce is another's for good."""
        fate = self._look()
        if fate != "open":
            return fate
        if not self.chain.knows_transaction(self._newest.transaction):
            return "at once" if self._submit() else None
        if self._is_stuck():
            self._sign_again()
        return None

    def _look(self) -> Fate | None:
        if not self._is_nonce_taken("latest"):
            return "open"
        return "dead" if self._is_dead() else None

    def _is_nonce_taken(self, block: int | str) -> bool:
        count = self.chain.count_transactions(self._newest.sender, block)  # type: ignore[arg-type]
        return count > self._newest.nonce

    def _is_dead(self) -> bool:
        """Whether a final block has the nonce, and no version is known: a reorganisation cannot give it back, and it is
        no node that lost a receipt."""
        if not self._is_nonce_taken(self.chain.final_block().number):
            return False
        return not any(self.chain.knows_transaction(v.transaction) for v in (*self.versions, *self.rivals))

    def _submit(self) -> bool:
        """Sends the newest version, and whether a node took it; what one says counts less than what it knows afterwards."""
        stored = self._newest
        self.confirm()
        if self._was_sent and self._is_in_vain(stored):
            return False
        try:
            self.chain.send_raw(stored.raw, stored.purpose)
        except ChainUnavailable:
            raise
        except ChainError as refusal:
            # Every client words "already known" and "nonce too low" in its own way, and an answer may be lost after
            # the transaction was taken. So the words do not count: if the chain has our hash, it went through.
            if not self.chain.knows_transaction(stored.transaction):
                self._answer_refusal(refusal)
                return False
        self._since, self._was_sent = None, True
        self.on_sent(stored)
        return True

    def _is_in_vain(self, stored: SignedIntent) -> bool:
        """Whether there is nothing to send again after all, since it came into a block meanwhile. Raises ChainError where
        it would revert by now, as on a fork where another was first."""
        to, data = stored.call
        call = {"from": checksum(stored.sender), "data": data} | ({} if to is None else {"to": checksum(to)})
        try:
            self.chain.replay(call, "latest")
        except ChainUnavailable:
            raise
        except ChainError as refusal:
            if self._find_mined() is not None or self._is_nonce_taken("latest"):
                return True  # what it would bring about stands already: by itself
            raise ChainError(
                f"{stored.purpose}: not sent again, it would revert: {refusal}; {self._resumable}"
            ) from refusal
        return False

    def _answer_refusal(self, refusal: ChainError) -> None:
        if self._is_nonce_taken("latest"):
            return  # the next look finds by what
        if _TOO_CHEAP.search(refusal.said):
            self._sign_again()  # where it may not be, fees may fall until patience ends
            return
        # A node that lags knows another nonce than the one we asked; a pool may be full.
        if _NOT_NOW.search(refusal.said):
            raise ChainUnavailable(str(refusal)) from refusal
        raise ChainError(f"{refusal}; {self._resumable}") from refusal

    def _is_stuck(self) -> bool:
        """Whether it pays less than the chain asks now, or has waited for too many blocks."""
        if self.replace is None:
            return False
        head = self.chain.head().number
        if self._since is None or head < self._since:
            self._since = head
        return self._newest.max_fee < ask_for_fees(self.chain).least or head - self._since >= self.patience.blocks

    def _sign_again(self) -> bool:
        """A version with higher fees, which the next step sends; False where none may be signed."""
        if self.replace is None or self._replacements >= MOST_REPLACEMENTS:
            return False
        try:
            self.versions.insert(0, self.replace(self._newest))
        except NotSigned as unsigned:  # fees may fall again; if they do not, the end of patience tells
            self._unsigned = unsigned
            return False
        self._since = None
        self._replacements += 1
        return True

    def _describe_wait(self) -> str:
        newest = self._newest
        mined = self._find_mined()
        if mined is not None:
            where = f"is in block {mined.receipt['blockNumber']}, not final yet"
            return f"transaction 0x{mined.version.transaction.hex()} {where}"
        asked = ask_for_fees(self.chain)
        told = f"the gas price is {asked.tip}" if asked.base_fee is None else f"the base fee is {asked.base_fee}"
        paid = f"nonce {newest.nonce} of {newest.sender} pays up to {newest.max_fee} wei per gas"
        unsigned = "" if self._unsigned is None else f"; it was not replaced: {self._unsigned}"
        if self._replacements >= MOST_REPLACEMENTS:
            unsigned += f"; it was replaced {self._replacements} times, the next run goes on"
        return f"transaction 0x{newest.transaction.hex()} is in no block yet: {paid}, {told}{unsigned}"
