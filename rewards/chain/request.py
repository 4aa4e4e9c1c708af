"""What a deployment is asked for: who holds which role, and the settings. Checked before anything is sent."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rewards.chain.deploy import WEEK_S, VaultSettings
from rewards.chain.networks import Network
from rewards.errors import UsageError
from rewards.units import MAX_AMOUNT, SUPPLY, Address, checksum, format_cxpt, parse_address, parse_cxpt

HOUR_S, DAY_S = 3600, 24 * 3600
MAX_TIMELOCK_S = 90 * DAY_S
"""With a longer delay nobody could replace a lost key in time."""
MIN_ACTIVATION_S, MAX_ACTIVATION_S = HOUR_S, 20 * HOUR_S
FIRST_EPOCH_BOUND = 2**24 - 1
"""The number of this epoch could not be published: the next one would not fit."""
PERIOD_BOUND_S = 2**32


@dataclass(frozen=True)
class Offer:
    """A plan to subscribe to: base units for one period, and its days."""

    price: int
    days: int

    def __str__(self) -> str:
        return f"{format_cxpt(self.price).replace(',', '')}/{self.days}"

    @classmethod
    def parse(cls, text: str) -> "Offer":
        """`PRICE_CXPT/DAYS`, both above zero; UsageError otherwise."""
        price, _, days = text.partition("/")
        if not (days.isascii() and days.isdigit()):
            raise UsageError(f"not a plan: {text!r}; write its price and its days, such as 9.5/30")
        offer = cls(parse_cxpt(price), int(days))
        if not (0 < offer.price <= MAX_AMOUNT and 0 < offer.days * DAY_S < PERIOD_BOUND_S):
            raise UsageError(
                f"plan {text!r}: give a price above zero of at most {format_cxpt(MAX_AMOUNT)} CXPT, and 1 to "
                f"{(PERIOD_BOUND_S - 1) // DAY_S} days"
            )
        return offer


@dataclass(frozen=True)
class Request:
    """What is asked for. `admin` is a timelock or multisig that exists; without one a timelock is made, and proposers and
    cancellers are its own. Lists of addresses are sorted, so that their order on a command line means nothing."""

    network: str
    chain_id: int
    deployer: Address
    token: Address | None
    admin: Address | None
    proposers: tuple[Address, ...]
    cancellers: tuple[Address, ...]
    timelock_delay_s: int | None
    publishers: tuple[Address, ...]
    attesters: tuple[Address, ...]
    guardians: tuple[Address, ...]
    treasurers: tuple[Address, ...]
    settler: Address
    offers: tuple[Offer, ...] = ()
    supply_to: Address | None = None
    first_epoch: int = 0
    activation_delay_s: int = 12 * HOUR_S
    attesters_required: int = 1
    max_epoch_amount: int = MAX_AMOUNT
    admin_unchecked: bool = False

    def holders(self) -> Iterator[tuple[str, Address]]:
        """Every key that must be another than all the others, with what it is for."""
        yield "deployer", self.deployer
        if self.admin is not None:
            yield "admin", self.admin
        for role, accounts in (
            ("proposer", self.proposers),
            ("canceller", self.cancellers),
            ("publisher", self.publishers),
            ("attester", self.attesters),
            ("guardian", self.guardians),
            ("treasurer", self.treasurers),
            ("settler", (self.settler,)),
        ):
            for account in accounts:
                yield role, account

    def settings(self, admin: Address) -> VaultSettings:
        return VaultSettings(
            admin=admin,
            publishers=self.publishers,
            attesters=self.attesters,
            guardians=self.guardians,
            treasurers=self.treasurers,
            first_epoch=self.first_epoch,
            activation_delay_s=self.activation_delay_s,
            attesters_required=self.attesters_required,
            max_provider_amount=self.max_epoch_amount,
            max_user_amount=self.max_epoch_amount,
        )

    def to_json(self) -> dict[str, Any]:
        """The request under the names of the command's options."""
        return {
            "network": self.network,
            "chain_id": self.chain_id,
            "deployer": self.deployer,
            "token": self.token,
            "admin": self.admin,
            "admin_unchecked": self.admin_unchecked,
            "proposer": list(self.proposers),
            "canceller": list(self.cancellers),
            "timelock_delay": self.timelock_delay_s,
            "publisher": list(self.publishers),
            "attester": list(self.attesters),
            "guardian": list(self.guardians),
            "treasurer": list(self.treasurers),
            "settler": self.settler,
            "plan": [str(offer) for offer in self.offers],
            "supply_to": self.supply_to,
            "first_epoch": self.first_epoch,
            "activation_delay": self.activation_delay_s,
            "attesters_required": self.attesters_required,
            "max_epoch_amount": str(self.max_epoch_amount),
        }

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> "Request":
        """What `to_json` gave; UsageError when it is something else."""

        def one(name: str) -> Address | None:
            return None if known[name] is None else parse_address(known[name])

        def many(name: str) -> tuple[Address, ...]:
            return tuple(parse_address(account) for account in known[name])

        try:
            return cls(
                network=str(known["network"]),
                chain_id=int(known["chain_id"]),
                deployer=parse_address(known["deployer"]),
                token=one("token"),
                admin=one("admin"),
                proposers=many("proposer"),
                cancellers=many("canceller"),
                timelock_delay_s=known["timelock_delay"],
                publishers=many("publisher"),
                attesters=many("attester"),
                guardians=many("guardian"),
                treasurers=many("treasurer"),
                settler=parse_address(known["settler"]),
                offers=tuple(Offer.parse(text) for text in known["plan"]),
                supply_to=one("supply_to"),
                first_epoch=int(known["first_epoch"]),
                activation_delay_s=int(known["activation_delay"]),
                attesters_required=int(known["attesters_required"]),
                max_epoch_amount=int(known["max_epoch_amount"]),
                admin_unchecked=bool(known["admin_unchecked"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"what was asked for does not read ({error!r}); restore the record") from None


def check_request(request: Request, network: Network) -> None:
    """Raises UsageError naming what no deployment may have, before anything is asked of the chain."""
    require_holders([role for role, _ in request.holders()], request.admin is not None)
    _check_administration(request, network)
    held: dict[Address, str] = {}
    for role, account in request.holders():
        if account in held:
            pair = f"{held[account]} and {role} are both" if held[account] != role else f"{role} is twice"
            raise UsageError(f"{pair} {checksum(account)}; each needs a key of its own")
        held[account] = role
    if request.token in held:
        raise UsageError(f"{held[request.token]} is the token itself, {checksum(request.token)}; give another")
    if request.supply_to is not None and request.token is not None:
        raise UsageError("--supply-to with --token: the supply of a token that exists is not the deployer's to give")
    if request.supply_to == request.deployer:
        raise UsageError(f"--supply-to {checksum(request.deployer)} is the deployer; leave it out to keep the supply")
    _check_numbers(request, network)


def require_holders(given: Collection[str], has_admin: bool) -> None:
    """Raises UsageError naming every role that nobody is given; an admin that exists has proposers of its own."""
    needed = ("publisher", "attester", "guardian", "treasurer", "settler")
    missing = [role for role in (*(() if has_admin else ("proposer", "canceller")), *needed) if role not in given]
    if missing:
        options = ", ".join(f"--{role} ADDRESS" for role in missing)
        raise UsageError(f"nobody is given as {', '.join(missing)}; give {options}")


def _check_administration(request: Request, network: Network) -> None:
    if request.admin is not None:
        given = {"proposer": request.proposers, "canceller": request.cancellers}
        given["timelock-delay"] = () if request.timelock_delay_s is None else (Address(str(request.timelock_delay_s)),)
        for name, values in given.items():
            if values:
                raise UsageError(f"--{name} {values[0]} with --admin {request.admin}: give one or the other")
        return
    if request.admin_unchecked:
        raise UsageError("--admin-unchecked without --admin: a timelock that is deployed is checked; leave it out")
    delay, least = request.timelock_delay_s, WEEK_S if network.public else 0
    if delay is None or not least <= delay <= MAX_TIMELOCK_S:
        raise UsageError(
            f"--timelock-delay {delay} on {network.name}: give {least} to {MAX_TIMELOCK_S} seconds; less than a week is "
            "for local alone"
        )


def _check_numbers(request: Request, network: Network) -> None:
    bounds = {
        "--first-epoch": (request.first_epoch, 0, FIRST_EPOCH_BOUND - 1),
        "--activation-delay": (request.activation_delay_s, MIN_ACTIVATION_S, MAX_ACTIVATION_S),
        "--attesters-required": (request.attesters_required, 1, min(255, len(request.attesters))),
    }
    for name, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise UsageError(f"{name} {value}: give {low} to {high}")
    limit = request.max_epoch_amount
    if network.public and not 0 < limit < SUPPLY:
        told = "no limit of an epoch is given" if limit == MAX_AMOUNT else f"--max-epoch-amount {format_cxpt(limit)}"
        raise UsageError(
            f"{told} for {network.name}; give --max-epoch-amount CXPT, above zero and below the supply of "
            f"{format_cxpt(SUPPLY)}: it bounds what a wrong root can promise"
        )
    if not 0 <= limit <= MAX_AMOUNT:
        raise UsageError(
            f"--max-epoch-amount {format_cxpt(limit)} is more than the Vault can hold, "
            f"{format_cxpt(MAX_AMOUNT)} CXPT; leave it out for no limit"
        )


def compare_requests(then: Request, now: Request) -> list[str]:
    """What differs, as a person gives it, each with both values."""
    old, new = _list_options(then), _list_options(now)
    differences = [f"{name} was {value}, is now {new[name]}" for name, value in old.items() if value != new[name]]
    if then.deployer != now.deployer:
        was = checksum(then.deployer)
        differences.append(f"the deployer's key is that of {checksum(now.deployer)}, was that of {was}: give that one")
    return differences


def _list_options(request: Request) -> dict[str, str]:
    known = request.to_json()
    del known["deployer"]
    known["network"] = f"{known['network']} (chain {known.pop('chain_id')})"
    limit = request.max_epoch_amount
    known["max_epoch_amount"] = None if limit == MAX_AMOUNT else format_cxpt(limit).replace(",", "")
    return {f"--{name.replace('_', '-')}": _tell(value) for name, value in known.items()}


def _tell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "not given"
    if isinstance(value, bool):
        return "given" if value else "not given"
    return "not given" if value is None else str(value)
