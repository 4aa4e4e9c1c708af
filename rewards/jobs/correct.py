"""Corrections on their way: signed, kept with the inputs until their epoch is sealed, listed, taken back."""

from collections.abc import Callable, Sequence
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
    decode_records,
    encode_records,
    find_excess,
    list_records,
)
from rewards.errors import Finding, UsageError, refuse
from rewards.jobs.settings import Settings
from rewards.jobs.workspace import Workspace
from rewards.policy import CorrectionRules, DatedPolicy, policy_for
from rewards.sources.folder import InputFolder, read_policies
from rewards.typed_data import SIGNATURE_BYTES, Domain, recover_signer

if TYPE_CHECKING:  # eth-account is slow to import, and to list takes no key
    from rewards.chain.signers import DigestSigner

SHORTEST_ID = 10
"""Characters of the shortest beginning of an id, `0x` included, that names a correction."""


@dataclass(frozen=True)
class ListedCorrection:
    """A correction and where it stands: waiting, refused (`problem` says why), entered, or missed (its epoch was sealed
    without it)."""

    id: str
    record: SignedCorrection
    state: str
    problem: str | None


class CorrectionQueue:
    """The corrections of one network: those that wait in its folder of inputs, and those in its sealed epochs."""

    def __init__(self, settings: Settings) -> None:
        """Raises UsageError where no inputs are named, or the deployment is not the one that the epochs here are bound
        to."""
        if settings.inputs is None:
            raise UsageError("no folder of inputs is named; give --inputs or set REWARDS_INPUTS")
        self.settings = settings
        self.path: Path = settings.inputs / FILE
        self.workspace = Workspace(settings.data)
        deployment = read_deployment(settings.deployment) if settings.deployment else None
        self.domain = Domain(deployment.chain_id, deployment.vault) if deployment else None
        self._first = deployment.first_epoch if deployment else 0
        self.folder = InputFolder(settings.inputs)
        self._check_binding()

    def _check_binding(self) -> None:
        placed = self.workspace.sealed_bundles()[-1:]
        chain = placed[0].manifest.chain if placed else None
        bound = chain.domain if chain else None
        if placed and bound != self.domain:
            raise UsageError(
                f"epoch {placed[0].manifest.epoch.number} here is bound to {bound or 'no chain'}, corrections would be "
                f"signed for {self.domain or 'no chain'}; give its --deployment, or none"
            )

    def next_epoch(self) -> int:
        """The first epoch that is not sealed here."""
        return max((epoch.number + 1 for epoch in self.workspace.ledger.sealed()), default=self._first)

    def add(self, correction: Correction, signer: "DigestSigner | bytes") -> ListedCorrection:
        """Sign a correction, or take the signature that was made elsewhere, and keep it, durably. Raises UsageError for
        an epoch that is sealed and for a signature that is none, GateRefused where the night would refuse it."""
        return self.add_all(correction.epoch, lambda: [correction], signer)[0]

    def add_all(
        self, epoch: int, choose: Callable[[], Sequence[Correction]], signer: "DigestSigner | bytes"
    ) -> list[ListedCorrection]:
        """As `add`, for all corrections of one epoch that are chosen while nobody else may write; all are kept, or
        none."""
        with self.workspace.locked():
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

    def _write(self, records: Records) -> None:
        content = encode_records(records)
        decode_records(content, str(self.path))  # a file beyond its limits would stop the night
        write_file(self.path, content)

    def require_open(self, epoch: int) -> None:
        """Raise UsageError for an epoch that takes no corrections any more."""
        if epoch < (first := self.next_epoch()):
            raise UsageError(f"epoch {epoch} is sealed or before the first; give --epoch {first} or a later one")

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
        """What will be said of corrections of one epoch before they are signed: whether they pass its limit, together with
        those that wait."""
        waiting = {record.content for record in self.folder.corrections() if record.epoch == epoch}
        together = waiting | {correction.content for correction in added}
        return find_excess([content[4] for content in together], epoch, self._rules(epoch)) if added else []

    def _rules(self, epoch: int) -> CorrectionRules:
        return policy_for(self._policies, self.settings.calendar.epoch(epoch).start.date()).policy.corrections

    @cached_property
    def _policies(self) -> list[DatedPolicy]:
        return read_policies(self.settings.policies)

    @cached_property
    def accounts(self) -> frozenset[str]:
        return frozenset(self.folder.accounts()["account_id"].to_list())

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
        """Where records of one epoch stand that did not enter; a fault of all together is a fault of each."""
        problems: dict[SignedCorrection, Sequence[Finding]] = {}
        if epoch >= (first := self.next_epoch()):
            problems = {record: self._check([record], epoch) for record in records}
            together = self._check([record for record in records if not problems[record]], epoch)
            problems = {record: found or together for record, found in problems.items()}
        missed = f"epoch {epoch} was sealed without it; sign it for epoch {first} or a later one"
        listed = []
        for record in records:
            found = problems.get(record, ())
            state = "missed" if epoch < first else "refused" if found else "waiting"
            problem = missed if epoch < first else str(found[0]) if found else None
            listed.append(ListedCorrection(record.identify(self.domain), record, state, problem))
        return listed

    def remove(self, given: str) -> ListedCorrection:
        """Take back one that has not entered, by its id or a beginning of it that no other has; UsageError otherwise."""
        with self.workspace.locked():
            found = [one for one in self.list_all() if one.id.startswith(given.lower())]
            names = {one.id for one in found}
            if len(given) < SHORTEST_ID or len(names) != 1:
                raise UsageError(
                    f"{given!r} names {len(names)} corrections; give an id that `rewards correct list` shows, or the first "
                    f"{SHORTEST_ID} characters of it or more"
                )
            if found[0].state == "entered":
                raise UsageError(
                    f"{found[0].id} entered epoch {found[0].record.epoch}, which is sealed; only another correction "
                    "can change that"
                )
            left = [r for r in self.folder.corrections() if r.content != found[0].record.content]
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
