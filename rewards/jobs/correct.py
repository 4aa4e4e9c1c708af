"""Corrections on their way: signed, kept with the inputs until their epoch is sealed, listed, taken back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from rewards.bundles.disk import write_file
from rewards.chain.deployment import read_deployment
from rewards.corrections import (
    FILE,
    Correction,
    Records,
    SignedCorrection,
    check_corrections,
    check_room,
    check_unsigned,
    decode_records,
    encode_records,
    list_records,
)
from rewards.errors import ChainError, Finding, InputError, StorageError, UsageError, refuse
from rewards.jobs.settings import Settings
from rewards.jobs.workspace import Workspace
from rewards.ledger.lock import hold_lock
from rewards.policy import CorrectionRules, DatedPolicy, Policy, policy_for
from rewards.ports import VaultReader
from rewards.sources.folder import InputFolder, read_policies
from rewards.typed_data import SIGNATURE_BYTES, Domain, recover_signer

if TYPE_CHECKING:  # eth-account is slow to import, and to list takes no key
    from rewards.chain.signers import DigestSigner

SHORTEST_ID = 10
"""Characters of the shortest beginning of an id, `0x` included, that names a correction."""


@dataclass(frozen=True)
class ListedCorrection:
    """A correction and where it stands: waiting, refused (`problem` says why), entered, missed (its epoch was sealed
    without it), or unknown (that epoch's bundle is not here)."""

    id: str
    record: SignedCorrection
    state: str
    problem: str | None


class CorrectionQueue:
    """The corrections of one network: those that wait in its folder of inputs, and those in its sealed epochs."""

    def __init__(self, settings: Settings, open_vault: Callable[[], VaultReader] | None = None) -> None:
        """Raises UsageError where no inputs are named, or the deployment is not the one that the epochs here are bound
        to. The Vault is opened where it is asked what it revoked."""
        if settings.inputs is None:
            raise UsageError("no folder of inputs is named; give --inputs or set REWARDS_INPUTS")
        self.settings = settings
        self.path: Path = settings.inputs / FILE
        self.workspace = Workspace(settings.data)
        deployment = read_deployment(settings.deployment) if settings.deployment else None
        self.domain = Domain(deployment.chain_id, deployment.vault) if deployment else None
        self._first = deployment.first_epoch if deployment else 0
        self._open_vault = open_vault
        self.folder = InputFolder(settings.inputs)
        self._check_binding()

    def _check_binding(self) -> None:
        newest = self.workspace.store.numbers()[-1:]
        if not newest:
            return
        chain = self.workspace.store.read(newest[0]).manifest.chain
        bound = chain.domain if chain else None
        if bound != self.domain:
            raise UsageError(
                f"epoch {newest[0]} here is bound to {bound or 'no chain'}, corrections would be "
                f"signed for {self.domain or 'no chain'}; give its --deployment, or none"
            )

    def next_epoch(self) -> int:
        """The first epoch that is not sealed here. A bundle counts also where the ledger was lost."""
        known = [*self.workspace.store.numbers(), *(epoch.number for epoch in self.workspace.ledger.sealed())]
        return max(known, default=self._first - 1) + 1

    def open_vault(self) -> VaultReader:
        """The Vault that the deployment names; UsageError where no node is named to ask it."""
        if self._open_vault is None:
            raise UsageError("no node is named to ask the Vault; set REWARDS_RPC_URL and REWARDS_DEPLOYMENT")
        return self._open_vault()

    @cached_property
    def _reopened(self) -> int | None:
        """The sealed epoch that the next run computes again, with every later one: the Vault revoked it for good."""
        return None if self._open_vault is None else self.workspace.find_revoked(self._open_vault())

    def _is_open(self, epoch: int) -> bool:
        """Whether a run to come computes the epoch; asks the Vault only about a sealed one."""
        return epoch >= self.next_epoch() or (self._reopened is not None and epoch >= self._reopened)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else runs here, and nobody else writes the file, be it for another data folder."""
        if not self.path.parent.is_dir():
            raise InputError(f"no folder {self.path.parent}; give --inputs or set REWARDS_INPUTS")
        self._require_no_link()
        with self.workspace.locked(), hold_lock(self.path.with_name(f".{FILE}.lock")):
            yield

    def _require_no_link(self) -> None:
        """Raises StorageError where the file is a link: a write would leave a copy in its place, and who else has the file
        that it leads to is not kept from writing by a lock here."""
        if self.path.is_symlink():
            raise StorageError(
                f"{self.path} is a link to {self.path.readlink()}, which nothing here writes through; give the --inputs that "
                "hold the file itself, or replace the link by the file"
            )

    def add(self, correction: Correction, signer: "DigestSigner | bytes") -> ListedCorrection:
        """Sign a correction, or take the signature that was made elsewhere, and keep it, durably. Raises UsageError for
        an epoch that is sealed and for a signature that is none, GateRefused where the night would refuse it."""
        return self.add_all(correction.epoch, lambda: [correction], signer)[0]

    def add_all(
        self, epoch: int, choose: Callable[[], Sequence[Correction]], signer: "DigestSigner | bytes"
    ) -> list[ListedCorrection]:
        """As `add`, for all corrections of one epoch that are chosen while nobody else may write; all are kept, or
        none."""
        with self._locked():
            self.require_open(epoch)
            added = [self._sign(correction, signer) for correction in choose()]
            if added:
                self._keep(added, epoch)
        return [ListedCorrection(record.identify(self.domain), record, "waiting", None) for record in added]

    def _keep(self, added: Records, epoch: int) -> None:
        contents = {record.content for record in added}
        # A copy of the same content goes: its signature may be damaged.
        records = [*(r for r in self.folder.corrections() if r.content not in contents), *added]
        ours = [record for record in records if record.epoch == epoch]
        refuse(
            "adding a correction" if len(added) == 1 else f"adding {len(added)} corrections", self._check(ours, epoch)
        )
        self._write(records)

    def check(self, correction: Correction) -> None:
        """Raise UsageError, StorageError or GateRefused where `add` would, but for the signature."""
        self._require_no_link()
        self.require_open(correction.epoch)
        refuse("adding a correction", self.foresee([correction], correction.epoch))

    def _write(self, records: Records) -> None:
        content = encode_records(records)
        decode_records(content, str(self.path))  # a file beyond its limits would stop the night
        write_file(self.path, content)

    def require_open(self, epoch: int) -> None:
        """Raise UsageError for an epoch that takes no corrections any more."""
        if not self._is_open(epoch):
            raise UsageError(
                f"epoch {epoch} is sealed or before the first; give --epoch {self.next_epoch()} or a later one"
            )

    def _sign(self, correction: Correction, signer: "DigestSigner | bytes") -> SignedCorrection:
        digest = correction.digest(self.domain)
        signature = signer if isinstance(signer, bytes) else signer.sign_digest(digest)
        address = recover_signer(digest, signature)
        if address is None:
            raise UsageError(
                f"0x{signature.hex()} is no signature; give the {SIGNATURE_BYTES} bytes r, s, v that the wallet answers"
            )
        return SignedCorrection.of(correction, address, signature)

    def _check(self, records: Records, epoch: int) -> list[Finding]:
        """What the night will say, but for the Vault's limits, which it reads of the chain."""
        return check_corrections(records, epoch, self.accounts, self.domain, self._rules(epoch), None)

    def foresee(self, added: Sequence[Correction], epoch: int) -> list[Finding]:
        """What the night will say of corrections of one epoch, together with those that wait, before they are signed."""
        waiting = [record for record in self.folder.corrections() if record.epoch == epoch]
        return check_unsigned(added, waiting, epoch, self.accounts, self.domain, self._rules(epoch)) if added else []

    def foresee_room(self, added: Sequence[Correction]) -> list[Finding]:
        """What the file will not hold, before they are signed."""
        return check_room(self.folder.corrections(), added) if added else []

    def _rules(self, epoch: int) -> CorrectionRules:
        return self.find_policy(epoch).corrections

    def find_policy(self, epoch: int) -> Policy:
        """The policy that a night to come takes for an epoch; PolicyError where none rules it."""
        return policy_for(self._policies, self.settings.calendar.epoch(epoch).start.date()).policy

    @cached_property
    def _policies(self) -> list[DatedPolicy]:
        return read_policies(self.settings.policies)

    @cached_property
    def accounts(self) -> Mapping[str, str]:
        """The kind of each."""
        return dict(self.folder.accounts().select("account_id", "kind").rows())

    def list_all(self) -> list[ListedCorrection]:
        """Every correction that waits or entered, by epoch."""
        listed = []
        for epoch in self.workspace.store.numbers():
            bundle = self.workspace.store.read(epoch)
            domain = bundle.manifest.chain.domain if bundle.manifest.chain else None
            records = list_records(bundle.corrections())
            listed += [ListedCorrection(record.identify(domain), record, "entered", None) for record in records]
        entered = {one.record.content for one in listed}
        waiting = {record for record in self.folder.corrections() if record.content not in entered}
        for epoch in sorted({record.epoch for record in waiting}):
            listed += self._judge([record for record in waiting if record.epoch == epoch], epoch)
        return sorted(listed, key=lambda one: (one.record.content, one.record.signer, one.record.signature))

    def _judge(self, records: Records, epoch: int) -> list[ListedCorrection]:
        """Where records of one epoch stand that are in no bundle here; a fault of all together is a fault of each."""
        closed = self._find_closed(epoch)
        problems = dict.fromkeys(records, closed[1]) if closed else self._find_problems(records, epoch)
        listed = []
        for record, problem in problems.items():
            state = closed[0] if closed else "refused" if problem else "waiting"
            listed.append(ListedCorrection(record.identify(self.domain), record, state, problem))
        return listed

    def _find_closed(self, epoch: int) -> tuple[str, str] | None:
        """State and problem of such records where no run to come computes their epoch."""
        try:
            if self._is_open(epoch):
                return None
        except ChainError as error:
            return "unknown", f"whether the Vault revoked epoch {epoch} is not known: {error}"
        if not self.workspace.store.has(epoch):
            return (
                "unknown",
                f"the bundle of epoch {epoch} is not here; do not sign it again before you have looked there",
            )
        return "missed", f"epoch {epoch} was sealed without it; sign it for epoch {self.next_epoch()} or a later one"

    def _find_problems(self, records: Records, epoch: int) -> Mapping[SignedCorrection, str | None]:
        """Why the night would refuse each."""
        try:
            self._rules(epoch)
        except UsageError as error:  # no policy rules such an epoch, or it is beyond all dates
            return dict.fromkeys(records, str(error))
        alone = {record: self._check([record], epoch) for record in records}
        together = self._check([record for record in records if not alone[record]], epoch)
        return {record: next((str(f) for f in (*found, *together)), None) for record, found in alone.items()}

    def remove(self, given: str) -> ListedCorrection:
        """Take one out of the file, by its id or a beginning of it that no other has. One that entered stays in what is
        sealed. UsageError for none, and while it is not known whether it entered."""
        with self._locked():
            found = [one for one in self.list_all() if one.id.startswith(given.lower())]
            names = {one.id for one in found}
            if len(given) < SHORTEST_ID or len(names) != 1:
                raise UsageError(
                    f"{given!r} names {len(names)} corrections; give an id that `rewards correct list` shows, or the first "
                    f"{SHORTEST_ID} characters of it or more"
                )
            record, kept = found[0].record, self.folder.corrections()
            sealed = {epoch.number for epoch in self.workspace.ledger.sealed()}
            if record.epoch in sealed and not self.workspace.store.has(record.epoch):
                raise UsageError(
                    f"{found[0].id} may have entered epoch {record.epoch}, which is sealed and whose bundle is not here; "
                    "restore it, or run that epoch again"
                )
            left = [r for r in kept if r.content != record.content]
            if len(left) == len(kept):
                raise UsageError(
                    f"{found[0].id} entered epoch {record.epoch} and is not in {self.path}; only another correction can "
                    "change what it did"
                )
            self._write(left)
        return found[0]


def read_correction(epoch: int, pool: int, account: str, units: int, reason: str) -> Correction:
    """A correction of checked values; UsageError naming the one that is wrong."""
    try:
        return Correction(epoch=epoch, pool=pool, account_id=account, amount=str(units), reason=reason)
    except ValidationError as error:
        wrong = error.errors()[0]
    # Not as its cause: pydantic's error is in a cycle that Python cannot collect, and DuckDB then complains at the end.
    raise UsageError(f"{wrong['loc'][0]}: {wrong['msg'].removeprefix('Value error, ')} (given: {wrong['input']!r})")
