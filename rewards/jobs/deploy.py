"""All contracts onto a chain, by one key that holds nothing in the end: planned, sent once, recorded, verified."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rewards.chain.administrators import list_waiting, require_fit_admin, require_nothing_waiting
from rewards.chain.client import Chain, connect
from rewards.chain.cost import Cost, estimate_cost, require_instructions, tell_nothing_sent
from rewards.chain.deploy import WEEK_S
from rewards.chain.deployment import (
    ContractRecord,
    Deployment,
    deployment_path,
    read_deployment,
    require_writable,
    write_deployment,
)
from rewards.chain.inspection import inspect_code, inspect_state, inspect_token
from rewards.chain.intent import Intent, SignedIntent
from rewards.chain.journal import JOURNAL_ENDING, Journal, journal_path, read_journal
from rewards.chain.locks import hold_folder, hold_key
from rewards.chain.networks import DevelopmentChain, Network, choose_network
from rewards.chain.plan import (
    SUPPLY_STEP,
    TIMELOCK,
    VAULT,
    Plan,
    Step,
    digest_bytecode,
    list_created,
    make_plan,
)
from rewards.chain.pursuit import Patience
from rewards.chain.request import Offer, Request, check_request, compare_requests, require_holders
from rewards.chain.resumption import count_unknown, has_failed, require_fresh_key, require_newest, require_recorded
from rewards.chain.sender import Sender
from rewards.chain.signers import Signer
from rewards.errors import ChainError, Disagreement, UsageError
from rewards.jobs.chain import choose_locks, name_lock, name_source, open_signer
from rewards.jobs.settings import Settings
from rewards.ports import Receipt
from rewards.units import MAX_AMOUNT, Address, checksum, parse_address, parse_cxpt

OnStage = Callable[[str], None]


@dataclass(frozen=True)
class Arguments:
    """What a person gives, as text; `holders` maps each role to addresses."""

    holders: Mapping[str, Sequence[str]]
    token: str | None = None
    admin: str | None = None
    supply_to: str | None = None
    plans: Sequence[str] = ()
    timelock_delay_s: int | None = None
    first_epoch: int = 0
    activation_delay_s: int = 12 * 3600
    attesters_required: int = 1
    max_epoch_amount: str | None = None
    admin_unchecked: bool = False
    begin_anew: bool = False


@dataclass(frozen=True)
class Planned:
    """What would be sent, what it costs at most, and which steps an earlier run has signed."""

    request: Request
    plan: Plan
    cost: Cost
    signed: frozenset[str]
    path: Path

    @property
    def shortage(self) -> str | None:
        """Why the balance does not suffice, if it does not."""
        cost = self.cost
        if not cost.shortfall:
            return None
        return (
            f"the deployer {checksum(self.request.deployer)} has {cost.balance} wei and needs up to {cost.need}: "
            f"{cost.shortfall} too little; {tell_nothing_sent(bool(self.signed))}"
        )


@dataclass(frozen=True)
class Deployed:
    """A deployment that stands as it was asked for: `facts` were compared, `sent` transactions went out in this run,
    `waiting` are the operations that its timelock may execute later."""

    deployment: Deployment
    path: Path
    sent: int
    facts: int
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ground:
    """Where a deployment goes: the chain with its id checked, the key, what is asked for, and where it is recorded.
    `locks`: the folder in which all deployments of a user find each other's. `begin_anew`: whether a new set of contracts
    may begin where the key has sent what nothing here knows."""

    sender: Sender
    signer: Signer
    request: Request
    path: Path
    locks: Path = field(default_factory=choose_locks)
    begin_anew: bool = False

    @property
    def chain(self) -> Chain:
        return self.sender.chain


def survey(settings: Settings, network_name: str, arguments: Arguments, out: Path | None) -> Ground:
    """Everything that can be refused without asking for more than the chain's id; UsageError or ChainError."""
    network = choose_network(network_name, settings.chain_id)
    chain = open_network(settings, network)
    signer = _open_deployer(settings)
    request = make_request(arguments, network, signer.address)
    check_request(request, network)
    _require_contracts(chain, request)
    sender = Sender(chain, Patience(pause_s=settings.poll_seconds), settings.max_fee_wei)
    return Ground(sender, signer, request, _choose_record(out, network), begin_anew=arguments.begin_anew)


def _open_deployer(settings: Settings) -> Signer:
    """The deployer's key; UsageError naming the setting that is wrong."""
    name = name_source(settings, "deployer") or "REWARDS_DEPLOYER_KEYSTORE"
    try:
        return open_signer(settings, "deployer")
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None


def open_network(settings: Settings, network: Network) -> Chain:
    """The network's chain at the configured endpoint; ChainError when that is another chain."""
    url = settings.rpc_url.get_secret_value() if settings.rpc_url is not None else network.rpc_url
    if url is None:
        raise UsageError(f"--network {network.name} needs an endpoint; set REWARDS_RPC_URL")
    chain = connect(url, network.chain_id, settings.confirmations)
    return chain if network.public else DevelopmentChain(chain.web3, chain.chain_id, chain.where)


def _choose_record(out: Path | None, network: Network) -> Path:
    if out is not None and out.is_dir():
        raise UsageError(f"--out {out} is a folder; give a file, such as {out / f'{network.chain_id}.json'}")
    if out is not None and out.name.endswith(JOURNAL_ENDING):
        raise UsageError(
            f"--out {out} is the name of a journal; leave out {JOURNAL_ENDING}, it is written beside the record"
        )
    return out or deployment_path(network.chain_id)


def make_request(arguments: Arguments, network: Network, deployer: Address) -> Request:
    """The arguments, parsed; UsageError naming the option of what does not read."""

    def many(role: str) -> tuple[Address, ...]:
        return tuple(sorted(_parse(role, text) for text in arguments.holders.get(role, ())))

    def one(name: str, text: str | None) -> Address | None:
        return None if text is None else _parse(name, text)

    require_holders([role for role, texts in arguments.holders.items() if texts], arguments.admin is not None)
    settlers = many("settler")
    if len(settlers) != 1:
        raise UsageError(f"{len(settlers)} settlers are given, {', '.join(settlers)}; give one --settler ADDRESS")
    limit, delay_s = arguments.max_epoch_amount, arguments.timelock_delay_s
    return Request(
        network=network.name,
        chain_id=network.chain_id,
        deployer=deployer,
        token=one("token", arguments.token),
        admin=one("admin", arguments.admin),
        proposers=many("proposer"),
        cancellers=many("canceller"),
        timelock_delay_s=WEEK_S if delay_s is None and arguments.admin is None else delay_s,
        publishers=many("publisher"),
        attesters=many("attester"),
        guardians=many("guardian"),
        treasurers=many("treasurer"),
        settler=settlers[0],
        offers=tuple(Offer.parse(text) for text in arguments.plans),
        supply_to=one("supply-to", arguments.supply_to),
        first_epoch=arguments.first_epoch,
        activation_delay_s=arguments.activation_delay_s,
        attesters_required=arguments.attesters_required,
        max_epoch_amount=MAX_AMOUNT if limit is None else parse_cxpt(limit),
        admin_unchecked=arguments.admin_unchecked,
    )


def _parse(name: str, text: str) -> Address:
    try:
        return parse_address(text)
    except UsageError as error:
        raise UsageError(f"--{name}: {error}") from None


def _require_contracts(chain: Chain, request: Request) -> None:
    """What is said to exist does, and is what it is said to be."""
    if request.token is not None:
        where = f"--token {checksum(request.token)}"
        if not chain.has_code(request.token):
            raise UsageError(f"{where}: no contract is there on {chain.where}")
        for fact in inspect_token(chain, request.token):
            if not fact.agrees:
                raise UsageError(f"{where} is another token: {fact}")
    require_fit_admin(chain, request)


def plan_deployment(ground: Ground) -> Planned | Deployed:
    """What `deploy` would send, without sending it; what stands already is verified instead."""
    require_writable(ground.path)
    return _find_deployed(ground, _ignore) or _prepare(ground)[0]


def deploy(ground: Ground, on_stage: OnStage | None = None) -> Deployed:
    """Sends what is not sent yet, waits until it is final, verifies and records. A second time sends nothing.

    ChainError and UsageError come before anything is sent; killed or refused later, the next call goes on. Disagreement
    when the chain has another value than was asked for.
    """
    report = on_stage or _ignore
    with _alone(ground):
        deployed = _find_deployed(ground, report)
        if deployed is not None:
            journal_path(ground.path).unlink(missing_ok=True)
            return deployed
        planned, journal = _prepare(ground)
        if planned.shortage is not None:
            raise ChainError(planned.shortage)
        before = len(ground.sender.sent)
        receipts = _send_all(ground, planned.plan, journal, report)
        deployment = _describe(ground, planned.plan, receipts)
        report("verify code, roles and settings")
        facts, waiting = verify_deployment(ground.chain, deployment), _list_waiting(ground.chain, deployment)
        if waiting and deployment.timelock is not None:
            raise Disagreement(
                f"operations waiting in the timelock {deployment.timelock}: expected none, observed {', '.join(waiting)}; "
                "a new timelock has none unless the deployer's key is in other hands, see docs/runbook.md#deploying"
            )
        write_deployment(deployment, ground.path)
        journal.remove()
        return Deployed(deployment, ground.path, len(set(ground.sender.sent[before:])), facts, waiting)


def check_deployment(settings: Settings, network_name: str, out: Path | None) -> Deployed:
    """Verifies what is recorded and sends nothing; needs no key."""
    network = choose_network(network_name, settings.chain_id)
    chain = open_network(settings, network)
    path = _choose_record(out, network)
    if not path.exists() and read_journal(journal_path(path)) is not None:
        raise UsageError(f"the deployment is half finished, see {journal_path(path)}; run `rewards deploy` again")
    return _verify_recorded(chain, read_deployment(path), path)


def _verify_recorded(chain: Chain, deployment: Deployment, path: Path) -> Deployed:
    """What stands, verified. Operations wait in the timelock of every deployment that is looked after."""
    facts = verify_deployment(chain, deployment)
    return Deployed(deployment, path, 0, facts, _list_waiting(chain, deployment))


def _list_waiting(chain: Chain, deployment: Deployment) -> tuple[str, ...]:
    """The operations that wait in the admin; an admin that was not to be checked is not asked for them either."""
    if deployment.timelock is not None:
        return list_waiting(chain, deployment.timelock, deployment.contracts[TIMELOCK].block)
    unchecked = Request.from_json(deployment.asked).admin_unchecked
    return () if unchecked else list_waiting(chain, deployment.admin, 0)


def verify_deployment(chain: Chain, deployment: Deployment) -> int:
    """How many facts agree, which is all of them; Disagreement naming those that do not, with both values."""
    if deployment.chain_id != chain.chain_id:
        raise Disagreement(f"the record is of chain {deployment.chain_id}, {chain.where} is chain {chain.chain_id}")
    facts = 0
    for inspect in (inspect_code, inspect_state):
        found = list(inspect(chain, deployment))
        wrong = [str(fact) for fact in found if not fact.agrees]
        if wrong:
            raise Disagreement(
                f"{len(wrong)} of {len(found)} facts of the deployment differ: {'; '.join(wrong)}; "
                "see docs/runbook.md#deploying"
            )
        facts += len(found)
    return facts


@contextmanager
def _alone(ground: Ground) -> Iterator[None]:
    require_writable(ground.path)
    request = ground.request
    otherwise = f"another deployment by {checksum(request.deployer)} on chain {request.chain_id} is at work"
    lock = name_lock(ground.locks, request.chain_id, request.deployer)
    with hold_folder(ground.path.parent), hold_key(lock, otherwise):
        yield


def _ignore(_: str) -> None: ...


def _find_deployed(ground: Ground, report: OnStage) -> Deployed | None:
    """The finished deployment that is recorded, verified; UsageError when it is of another request."""
    path = ground.path
    if not path.exists():
        return None
    deployment = read_deployment(path)
    if not deployment.asked:
        raise UsageError(f"{path} records a deployment that another tool made; give --out for a new one")
    _require_same(f"{path} records a deployment", Request.from_json(deployment.asked), ground.request)
    require_recorded(ground.chain, deployment, path)
    report("verify code, roles and settings")
    return _verify_recorded(ground.chain, deployment, path)


def _require_same(what: str, then: Request, now: Request) -> None:
    differences = compare_requests(then, now)
    if differences:
        told = "; ".join(differences)
        raise UsageError(f"{what} with other arguments: {told}; give the same ones, or --out for another deployment")


def _prepare(ground: Ground) -> tuple[Planned, Journal]:
    """The plan from where an earlier run ended, with its cost."""
    require_nothing_waiting(ground.chain, ground.request)
    journal = _open_journal(ground)
    for step, versions in list(journal.intents.items()):
        if any(has_failed(ground.chain, stored) for stored in versions):
            journal.forget(step)
    signed = {step: versions[0].nonce for step, versions in journal.intents.items()}
    counted = ground.chain.count_transactions(ground.request.deployer, "pending")
    plan = make_plan(ground.request, max([counted, *(nonce + 1 for nonce in signed.values())]), signed)
    require_instructions(ground.chain, ground.request.deployer)
    cost = estimate_cost(ground.sender, plan, ground.request.deployer, journal.intents)
    return Planned(ground.request, plan, cost, frozenset(signed), ground.path), journal


def _open_journal(ground: Ground) -> Journal:
    path = journal_path(ground.path)
    bytecodes = {name: digest_bytecode(name) for name in list_created(ground.request)}
    journal = read_journal(path)
    if journal is None or not journal.intents:
        if not ground.begin_anew:
            require_fresh_key(ground.chain, ground.request, ground.path)
        return Journal(path, ground.request, bytecodes)
    if ground.begin_anew and count_unknown(ground.chain, ground.request, journal):
        return Journal(path, ground.request, bytecodes, aside=path.with_name(f"{path.name}.{journal.next_nonce}"))
    require_newest(ground.chain, ground.request, journal)
    _require_same(f"{path} is a half-finished deployment", journal.asked, ground.request)
    changed = [name for name, digest in bytecodes.items() if journal.bytecodes.get(name) != digest]
    if changed:
        raise UsageError(
            f"{path} is a half-finished deployment of another {', '.join(changed)}; go on with the version of this "
            "program that began it, or give --out for another deployment"
        )
    return journal


def _send_all(ground: Ground, plan: Plan, journal: Journal, report: OnStage) -> dict[str, Receipt]:
    receipts = {}
    for number, step in enumerate(plan.steps, 1):
        # The wait stands first: a narrow terminal cuts the end off.
        report(f"{number} of {len(plan.steps)}: wait until final: {step.purpose} at {checksum(step.address)}")
        intent, sender = Intent(step.purpose, step.to, step.data), ground.sender
        if step.name not in journal.intents:
            receipts[step.name] = sender.send(intent, ground.signer, partial(_keep, journal, step))
            continue
        versions = journal.intents[step.name]
        if sender.is_stuck(*versions):
            report(f"{number} of {len(plan.steps)}: sign {step.purpose} again for a higher fee")
            journal.keep(step.name, sender.replace(versions[0], intent, ground.signer))
        receipts[step.name] = sender.resume(*journal.intents[step.name])
    return receipts


def _keep(journal: Journal, step: Step, stored: SignedIntent) -> None:
    if stored.nonce != step.nonce:
        raise ChainError(
            f"{step.purpose} was planned with nonce {step.nonce}, the chain gives {stored.nonce}: the deployer's key sent "
            "something else meanwhile; this step was not sent, find out what it was and see docs/runbook.md#deploying"
        )
    journal.keep(step.name, stored)


def _describe(ground: Ground, plan: Plan, receipts: Mapping[str, Receipt]) -> Deployment:
    request = ground.request
    contracts = {
        step.contract: ContractRecord(
            address=step.address,
            arguments=step.arguments,
            block=receipts[step.name].block.number,
            block_hash="0x" + receipts[step.name].block.hash.hex(),
            transaction="0x" + receipts[step.name].transaction.hex(),
            bytecode_sha256=digest_bytecode(step.contract),
        )
        for step in plan.steps
        if step.creates
    }
    supply = receipts.get(SUPPLY_STEP)
    vault_block = receipts[VAULT].block
    return Deployment(
        chain_id=request.chain_id,
        token=plan.token,
        vault=plan.vault,
        deployed_block=vault_block.number,
        block_hash=vault_block.hash,
        first_epoch=request.first_epoch,
        admin=plan.admin,
        network=request.network,
        timelock=plan.admin if TIMELOCK in contracts else None,
        subscription_manager=plan.subscription_manager,
        usage_escrow=plan.usage_escrow,
        settler=request.settler,
        supply_transaction=None if supply is None else "0x" + supply.transaction.hex(),
        contracts=contracts,
        asked=request.to_json(),
    )
