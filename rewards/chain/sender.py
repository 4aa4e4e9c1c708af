"""The transaction sender: sign, keep, send, wait until final. One intent, one nonce, one effect."""

from collections.abc import Callable, Mapping
from typing import Any

from hexbytes import HexBytes

from rewards.chain.client import Chain
from rewards.chain.fees import MOST_FEE, Fees, ask_for_fees, choose_fees
from rewards.chain.intent import Intent, IntentStore, OnSigned, Outcome, SignedIntent
from rewards.chain.pursuit import Mined, Patience, Pursuit, Replace
from rewards.chain.signers import Signer
from rewards.errors import ChainError, ChainUnavailable
from rewards.ports import Block, Receipt
from rewards.units import Address, checksum

GAS_LIMIT = 2**24
"""The most gas that one transaction may use (Osaka)."""

ROUNDS = 4
"""How often an intent is decided anew because its nonce went to something else."""

IsDone = Callable[[int | None], bool]
"""Whether the effect of an intent stands on the chain after a block, or now (None)."""


class Sender:
    """Sends transactions of one chain. `max_fee_cap`: wei per gas above which nothing is sent, MOST_FEE where none is
    given."""

    def __init__(self, chain: Chain, patience: Patience | None = None, max_fee_cap: int | None = None) -> None:
        self.chain = chain
        self._patience = patience or Patience()
        self._max_fee_cap = MOST_FEE if max_fee_cap is None else max_fee_cap
        self.sent: list[bytes] = []
        """The hash of every transaction that the chain took from here, again where it was sent again."""

    def execute(
        self,
        intent: Intent,
        signer: Signer,
        store: IntentStore,
        is_done: IsDone,
        check: Callable[[], None],
        confirm: Callable[[], None] = lambda: None,
    ) -> Receipt | None:
        """Brings about what an intent asks for, once, whatever was signed before and wherever that ended.

        Asks the chain first; finishes what `store` holds of this signer; where it is not done, calls `check`, which may
        raise, and then sends: at the nonce that the chain gives, or the one that an unfinished transaction has, which is
        then replaced. `confirm` is asked before each sending, also long after. Returns when the effect is final: the
        receipt of a transaction that `store` knew or knows now, or None where something else had that effect.

        Raises ChainError when it would revert, did, or the chain does not take it: what is signed is kept, and the
        same call resumes.
        """
        receipt: Receipt | None = None
        for _ in range(ROUNDS):
            mined = self._finish_mined(signer.address, store)
            if mined is None:
                if is_done(None):
                    if self._wait_until_done(intent, is_done):
                        return receipt
                    continue
                self._wait_for_others(intent, signer.address, store)
                if is_done(None):
                    continue  # theirs was this very thing: the ledger is an older copy
                check()
                mined = self._pursue(intent, signer, store, confirm)
            if mined is not None and mined.version.serves(intent):
                receipt = self._require_success(mined)
        raise ChainError(
            f"{intent.purpose}: its nonce went to something else, or its effect was undone, {ROUNDS} times; find out who "
            f"else uses the key of {signer.address}, then run the command again"
        )

    def wait_until(self, intent: Intent, is_done: IsDone) -> None:
        """Waits for what somebody else is to bring about until it is final. ChainError when patience ends before."""

        shown = False

        def look() -> bool | None:
            nonlocal shown
            shown = is_done(None)
            return True if shown and is_done(self.chain.final_block().number) else None

        if self._wait(intent, look) is None:
            state = "it is on the chain and not final yet" if shown else "the chain does not show it yet"
            raise ChainError(f"{intent.purpose}: {state}; run the same command again later")

    def send(self, intent: Intent, signer: Signer, on_signed: OnSigned | None = None) -> Receipt:
        """Signs, calls `on_signed`, sends and waits until the block is final; a stuck one is replaced, each version told
        to `on_signed` before it is sent.

        Intents of this signer that are stored and unfinished must be resumed first: this one takes the next nonce.
        ChainError when it would revert (nothing is signed), when it did, or when the chain does not take it.
        """
        keep = on_signed or (lambda _: None)
        stored = self.sign(intent, signer)
        keep(stored)
        return self._finish(self._run([stored], replace=self._replacing(intent, signer, keep)), stored)

    def resume(self, stored: SignedIntent, *replaced: SignedIntent) -> Receipt:
        """Finishes an intent that was signed before: asks the chain first, sends the same bytes only if unknown. What it
        `replaced` may have been mined in its place."""
        self._require_chain(stored)
        return self._finish(self._run([stored, *replaced]), stored)

    def is_stuck(self, stored: SignedIntent, *replaced: SignedIntent) -> bool:
        """Whether an intent is in no block, could be, and pays less than the chain asks now."""
        if stored.max_fee >= ask_for_fees(self.chain).least:
            return False
        if any(self.chain.find_receipt(version.transaction) is not None for version in (stored, *replaced)):
            return False
        # A nonce that another transaction took is not to be had for any fee.
        return self.chain.count_transactions(stored.sender, "latest") <= stored.nonce

    def replace(self, stored: SignedIntent, intent: Intent, signer: Signer) -> SignedIntent:
        """The same intent signed again: the same nonce and gas, fees that a node takes it for. Sends nothing."""
        return self._sign(intent, signer, stored.nonce, stored.gas, stored)

    def sign(self, intent: Intent, signer: Signer) -> SignedIntent:
        """The signed transaction at the sender's next nonce; ChainError when it would revert or fees pass the cap."""
        gas = self.estimate(intent, signer.address)
        return self._sign(intent, signer, self.chain.count_transactions(signer.address, "pending"), gas)

    def estimate(self, intent: Intent, sender: Address) -> int:
        """The gas that a transaction is given: a fifth above what the chain estimates. ChainError when it would revert."""
        call: dict[str, Any] = {"from": checksum(sender), "data": intent.data, "value": 0}
        if intent.to is not None:
            call["to"] = checksum(intent.to)
        try:
            estimate = self.chain.estimate_gas(call)
        except ChainError as error:
            raise type(error)(f"{intent.purpose}: {error}") from error
        gas = estimate + estimate // 5
        if gas > GAS_LIMIT:
            raise ChainError(f"{intent.purpose} needs {gas} gas, more than the {GAS_LIMIT} of a transaction; split it")
        return gas

    def choose_fees(self, replaced: SignedIntent | None = None) -> Fees:
        """What a transaction pays now; FeeAboveCap when that is too much."""
        return choose_fees(ask_for_fees(self.chain), self._max_fee_cap, replaced)

    # ---------------------------------------------------------------- inside

    def _sign(
        self, intent: Intent, signer: Signer, nonce: int, gas: int, replaced: SignedIntent | None = None
    ) -> SignedIntent:
        fees = self.choose_fees(replaced)
        call = {"data": intent.data, "value": 0} | ({} if intent.to is None else {"to": checksum(intent.to)})
        known = {"gas": gas, "nonce": nonce, "chainId": self.chain.chain_id}
        return SignedIntent.from_raw(intent.purpose, signer.sign_transaction(call | fees.to_fields() | known))

    def _replacing(self, intent: Intent, signer: Signer, keep: OnSigned) -> Replace:
        def replace(stored: SignedIntent) -> SignedIntent:
            newer = self.replace(stored, intent, signer)
            keep(newer)
            return newer

        return replace

    def _run(self, versions: list[SignedIntent], replace: Replace | None = None) -> Mined | None:
        return Pursuit(self.chain, self._patience, versions, replace=replace, on_sent=self._note_sent).run()

    def _note_sent(self, stored: SignedIntent) -> None:
        self.sent.append(stored.transaction)

    def _wait_for_others(self, intent: Intent, account: Address, store: IntentStore) -> None:
        """Until what others signed with this key is final: were it taken back, a transaction with the nonce after it would
        wait behind a gap for good."""
        if store.open(self.chain.chain_id, account):
            return  # it has its nonce already

        def look() -> bool | None:
            mined = self.chain.count_transactions(account, "latest")
            final = self.chain.count_transactions(account, self.chain.final_block().number)
            return True if final >= mined else None

        if self._wait(intent, look) is None:
            raise ChainError(
                f"{intent.purpose}: {account} has transactions in blocks that are not final yet, which were not signed here; "
                "nothing was sent: run the same command again later, and find out who uses the key"
            )

    def _pursue(self, intent: Intent, signer: Signer, store: IntentStore, confirm: Callable[[], None]) -> Mined | None:
        """Sends the intent at the nonce of whatever is unfinished, and settles all that was signed with that nonce."""
        unfinished = self._list_first_open(store, signer.address)
        known = [v for v in unfinished if self.chain.knows_transaction(v.transaction)]
        versions = [v for v in reversed(unfinished) if v.serves(intent)]
        rivals = [v for v in unfinished if not v.serves(intent)]
        if not any(v.serves(intent) for v in known):
            gas = self.estimate(intent, signer.address)  # also for what was signed before: it may revert by now
            if not versions or any(v.max_fee > versions[0].max_fee for v in known):
                versions.insert(0, self._sign_first(intent, signer, gas, unfinished, known))
                store.keep(versions[0])
        replace = self._replacing(intent, signer, store.keep)
        mined = Pursuit(self.chain, self._patience, versions, rivals, replace, self._note_sent, confirm).run()
        self._settle(store, signer.address, versions[0].nonce, mined)
        return mined

    def _sign_first(
        self, intent: Intent, signer: Signer, gas: int, unfinished: list[SignedIntent], known: list[SignedIntent]
    ) -> SignedIntent:
        """At the nonce of what is `unfinished`, for more than any of it that a node has; or at the next one of the chain."""
        if unfinished:
            dearest = max(known, key=lambda v: (v.max_fee, v.priority_fee), default=None)
            return self._sign(intent, signer, unfinished[0].nonce, gas, dearest)
        nonce = self.chain.count_transactions(signer.address, "latest")
        waiting = self.chain.count_transactions(signer.address, "pending") - nonce
        if waiting > 0:
            raise ChainError(
                f"{intent.purpose}: {waiting} transactions of {signer.address} wait for a block that were not signed here; "
                "nothing was sent: wait until they are in one, or find out who uses the key"
            )
        return self._sign(intent, signer, nonce, gas)

    def _finish_mined(self, sender: Address, store: IntentStore) -> Mined | None:
        """Waits for an unfinished transaction that is in a block until it is final, and settles its nonce; settles what is
        dead. None when nothing of this was there. Sends nothing: whether it still should be is for others to say."""
        while versions := self._list_first_open(store, sender):
            fate = Pursuit(self.chain, self._patience, versions[::-1]).watch()
            if fate == "open":
                return None
            mined = None if fate == "dead" else fate
            self._settle(store, sender, versions[0].nonce, mined)
            if mined is not None:
                return mined
        return None

    def _list_first_open(self, store: IntentStore, sender: Address) -> list[SignedIntent]:
        """What is unfinished at the lowest nonce, oldest first: nothing behind it can be mined before."""
        unfinished = store.open(self.chain.chain_id, sender)
        return [v for v in unfinished if v.nonce == min(each.nonce for each in unfinished)]

    def _settle(self, store: IntentStore, sender: Address, nonce: int, mined: Mined | None) -> None:
        at_nonce = [v.transaction for v in store.open(self.chain.chain_id, sender) if v.nonce == nonce]
        if mined is None:
            store.settle(dict.fromkeys(at_nonce, "dead"), self.chain.final_block().number)
            return
        ended: Outcome = "succeeded" if mined.receipt["status"] == 1 else "failed"
        outcomes: dict[bytes, Outcome] = dict.fromkeys(at_nonce, "replaced")
        store.settle(outcomes | {mined.version.transaction: ended}, mined.receipt["blockNumber"])

    def _wait_until_done(self, intent: Intent, is_done: IsDone) -> bool:
        """Until the effect is final too; False when a reorganisation took it back."""

        def look() -> bool | None:
            if is_done(self.chain.final_block().number):
                return True
            return None if is_done(None) else False

        found = self._wait(intent, look)
        if found is None:
            raise ChainError(
                f"{intent.purpose}: it is on the chain and not final yet; run the same command again later"
            )
        return found

    def _wait(self, intent: Intent, look: Callable[[], bool | None]) -> bool | None:
        try:
            return self._patience.wait(look)
        except ChainUnavailable as trouble:
            raise ChainUnavailable(f"{intent.purpose}: {trouble}; run the same command again later") from trouble

    def _require_chain(self, stored: SignedIntent) -> None:
        if stored.chain_id != self.chain.chain_id:
            raise ChainError(f"{stored.purpose} was signed for chain {stored.chain_id}, not {self.chain.chain_id}")

    def _finish(self, mined: Mined | None, stored: SignedIntent) -> Receipt:
        if mined is None:
            raise ChainError(
                f"{stored.purpose}: nonce {stored.nonce} of {stored.sender} went to another transaction; "
                f"0x{stored.transaction.hex()} can never be mined, decide anew from the chain"
            )
        return self._require_success(mined)

    def _require_success(self, mined: Mined) -> Receipt:
        stored, found = mined.version, mined.receipt
        block = self.chain.block(found["blockNumber"])
        if found["status"] != 1:
            why = self._explain(stored, block)
            raise ChainError(f"{stored.purpose}: transaction 0x{stored.transaction.hex()} {why}")
        return Receipt(stored.transaction, block, int(found["gasUsed"]))

    def _explain(self, stored: SignedIntent, block: Block) -> str:
        """Why a transaction in a block failed, by calling it again on the state that it left."""
        eth = self.chain.web3.eth
        with self.chain.translate_errors("reading a failed transaction"):
            sent: Mapping[str, Any] = eth.get_transaction(HexBytes(stored.transaction))
        call = {name: sent[name] for name in ("from", "to", "value", "gas") if sent.get(name) is not None}
        try:
            self.chain.replay(call | {"data": sent["input"]}, block.number)
        except ChainError as error:
            return f"failed: {error}"
        return f"failed in block {block.number} and would succeed now; it used {stored.gas} gas at most"
