"""What a Vault's events come to: publications with what became of them, and sums that the Vault counts as well."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rewards.ports import RootEvent, VaultCounters, VaultEvents
from rewards.units import POOLS, PROVIDER, USER

RootIdentity = tuple[bytes | None, bytes | None, int | None, int | None]
"""Root, manifest hash, provider total, user total: what makes a publication ours."""


@dataclass(frozen=True)
class PublishedRoot:
    """One publication of a root and the events that concern it, in the chain's order."""

    event: RootEvent
    later: Sequence[RootEvent] = ()

    @property
    def epoch(self) -> int:
        return self.event.epoch

    @property
    def identity(self) -> RootIdentity:
        event = self.event
        return event.root, event.manifest_hash, event.provider_total, event.user_total

    @property
    def revoked(self) -> bool:
        return any(event.action == "revoke" for event in self.later)

    @property
    def retired(self) -> bool:
        return any(event.action == "retire" for event in self.later)


def order_publications(events: Iterable[RootEvent]) -> list[PublishedRoot]:
    """Every publication with what became of it, oldest first."""
    later: list[tuple[RootEvent, list[RootEvent]]] = []
    live: dict[int, list[RootEvent]] = {}
    for event in sorted(events, key=lambda e: (e.block_number, e.log_index)):
        if event.action == "publish":
            live[event.epoch] = []
            later.append((event, live[event.epoch]))
        elif event.epoch in live:  # one whose publication is not among the events shows in the counters
            live[event.epoch].append(event)
    return [PublishedRoot(event, tuple(concerning)) for event, concerning in later]


def find_newest(publications: Iterable[PublishedRoot]) -> PublishedRoot | None:
    """The newest live one: what the Vault promises."""
    live = {p.epoch: p for p in publications if not p.revoked}
    return live[max(live)] if live else None


def add_up_events(events: VaultEvents) -> VaultCounters:
    """What a range of events adds to the Vault's counters."""
    publications, revocations = (sum(e.action == a for e in events.root_events) for a in ("publish", "revoke"))
    return VaultCounters(
        deposited={
            PROVIDER: sum(t.provider_amount for t in events.transfers),
            USER: sum(t.user_amount for t in events.transfers),
        },
        claimed={pool: sum(c.amount for c in events.claims if c.pool == pool) for pool in POOLS},
        protocol=sum(t.protocol_amount for t in events.transfers),
        live_roots=publications - revocations,
        revocations=revocations,
    )


def add_counters(before: VaultCounters, more: VaultCounters) -> VaultCounters:
    """Both together."""
    return VaultCounters(
        deposited={pool: before.deposited[pool] + more.deposited[pool] for pool in POOLS},
        claimed={pool: before.claimed[pool] + more.claimed[pool] for pool in POOLS},
        protocol=before.protocol + more.protocol,
        live_roots=before.live_roots + more.live_roots,
        revocations=before.revocations + more.revocations,
    )
