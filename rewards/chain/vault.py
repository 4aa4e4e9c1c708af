"""The Vault on a chain: the reader that the jobs ask, and its transactions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from web3 import Web3
from web3.types import EventData

from rewards.chain.client import Chain
from rewards.chain.contracts import bind_contract, load_artifact
from rewards.chain.deployment import Deployment
from rewards.chain.intent import Intent, OnSigned
from rewards.chain.logs import read_logs
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.signers import Signer
from rewards.errors import ChainError, UsageError
from rewards.history import encode_entry
from rewards.ports import Block, Deposit, Publication, Receipt, RewardPool, RootRecord
from rewards.units import POOL_NAMES, PROVIDER, USER, Address, checksum, keccak, parse_address

ROLES = ("none", "admin", "publisher", "attester", "guardian", "treasurer")
STATUSES = ("none", "pending", "active", "revoked", "retired")


@dataclass(frozen=True)
class ClaimItem:
    """One claim: pool 1 or 2, cumulative amount in base units, proof as 32-byte siblings from the leaf up."""

    pool: int
    account: Address
    cumulative: int
    proof: Sequence[bytes]


def publication_hash(
    epoch: int, root: bytes, manifest_hash: bytes, provider_total: int, user_total: int, revocations: int
) -> bytes:
    """What attesters confirm: the Vault's own hash over a publication (32 bytes)."""
    return keccak(encode_entry(Publication(epoch, root, manifest_hash, provider_total, user_total, revocations)))


def encode_publish(
    epoch: int, root: bytes, provider_total: int, user_total: int, manifest_hash: bytes, revocations: int
) -> bytes:
    """Calldata of `publishRoot`, for a signer that is elsewhere (a multisig, a hardware wallet)."""
    return _encode("CXPTVault", "publishRoot", [epoch, root, provider_total, user_total, manifest_hash, revocations])


def encode_attest(epoch: int, publication: bytes) -> bytes:
    """Calldata of `attestRoot`."""
    return _encode("CXPTVault", "attestRoot", [epoch, publication])


def encode_revoke(epoch: int, reason: str) -> bytes:
    """Calldata of `revokeRoot`; UsageError where the reason cannot be written as UTF-8."""
    try:
        reason.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the reason {reason!a} is not text; write it in UTF-8") from None
    return _encode("CXPTVault", "revokeRoot", [epoch, reason])


def encode_beginnings(epoch: int) -> dict[str, bytes]:
    """How the calldata of each action on an epoch begins, whatever else it holds: 36 bytes."""
    empty = bytes(32)
    whole = {
        "publish": encode_publish(epoch, empty, 0, 0, empty, 0),
        "attest": encode_attest(epoch, empty),
        "revoke": encode_revoke(epoch, ""),
    }
    return {action: data[:36] for action, data in whole.items()}


@dataclass(frozen=True)
class _RootEvents:
    """Publications and revocations from the Vault's first block up to `end`."""

    end: Block
    events: Sequence[EventData]


class Vault:
    """A deployed CXPTVault: reads as `rewards.ports.VaultReader`, and writes through a Sender.

    Every call raises ChainError. Writes return once their block is final; `on_signed` is called with the signed
    intent before it is sent.
    """

    def __init__(self, chain: Chain, deployment: Deployment, sender: Sender | None = None) -> None:
        if chain.chain_id != deployment.chain_id:
            raise ChainError(f"the deployment is on chain {deployment.chain_id}, the endpoint is {chain.chain_id}")
        self.chain = chain
        self.deployment = deployment
        self.sender = sender or Sender(chain, Patience())
        self._roots: _RootEvents | None = None
        self._contract = bind_contract(chain.web3, "CXPTVault", deployment.vault)
        self._token = bind_contract(chain.web3, "CXPTToken", deployment.token)
        self._require_deployment()

    # ---------------------------------------------------------------- reads

    @property
    def chain_id(self) -> int:
        return self.chain.chain_id

    @property
    def address(self) -> Address:
        return self.deployment.vault

    @property
    def token(self) -> Address:
        return self.deployment.token

    def head(self) -> Block:
        return self.chain.head()

    def final_block(self) -> Block:
        return self.chain.final_block()

    def last_block_before(self, timestamp: int) -> Block:
        """The last block whose timestamp is below `timestamp`; ChainError until there is a later one."""
        return self.chain.last_block_before(timestamp)

    def deposits(self, last_block: int) -> Sequence[Deposit]:
        """Every `FeesDeposited` and `PoolFunded` up to `last_block`, in the order of the chain; ChainError where the Vault
        counts other sums of the two pools than the node tells."""
        if last_block < self.deployment.deployed_block:
            return []
        # Up to a block that is new, or nearly: not every node can be asked what the Vault counted long ago.
        newest = max(last_block, self.chain.final_block().number)
        found = self._read_deposits(newest)
        told = sum(one.provider_amount for one in found), sum(one.user_amount for one in found)
        counted = self.deposited(PROVIDER, newest), self.deposited(USER, newest)
        if told != counted:
            raise ChainError(
                f"{self.chain.where} hides or adds deposits up to block {newest}: they bring {told[0]} to the provider pool "
                f"and {told[1]} to the user pool, the Vault counts {counted[0]} and {counted[1]}; use another endpoint"
            )
        return [one for one in found if one.block_number <= last_block]

    def _read_deposits(self, last_block: int) -> list[Deposit]:
        found = []
        for event in self._events(("FeesDeposited", "PoolFunded"), last_block):
            args = event["args"]
            funding = event["event"] == "PoolFunded"
            if not funding:
                shares = args["protocolAmount"], args["providerAmount"], args["userAmount"]
            else:
                shares = (0, args["amount"], 0) if args["pool"] == PROVIDER else (0, 0, args["amount"])
            timestamp = self.chain.timestamp_of(bytes(event["blockHash"]))
            payer = parse_address(args["payer"])
            found.append(Deposit(event["blockNumber"], timestamp, payer, args["amount"], *shares, funding))
        return found

    def publications(self, last_block: int) -> Sequence[Publication]:
        """Every publication up to `last_block`, revoked ones too, in the order of the chain; ChainError where the Vault
        counts others than the node tells."""
        return [publication for publication, _ in self._publications(last_block)]

    def _publications(self, last_block: int) -> Sequence[tuple[Publication, bool]]:
        """Every publication, and whether it was revoked up to `last_block`."""
        if last_block < self.deployment.deployed_block:
            return []
        read = self._read_roots(last_block)
        found, revocations = list[Publication](), 0
        for event in read.events:
            if event["blockNumber"] > last_block:
                break
            if event["event"] == "RootRevoked":
                revocations += 1
                continue
            args = event["args"]
            hashes = bytes(args["root"]), bytes(args["manifestHash"])
            found.append(Publication(args["epoch"], *hashes, args["providerTotal"], args["userTotal"], revocations))
        told = len(found) - revocations, revocations
        counted = self.next_epoch(last_block) - self.deployment.first_epoch, self.revocations(last_block)
        if told != counted:
            raise ChainError(
                f"{self.chain.where} hides or adds events up to block {last_block}: they leave {told[0]} live roots after "
                f"{told[1]} revocation(s), the Vault counts {counted[0]} after {counted[1]}; use another endpoint"
            )
        self._roots = read  # not before, so that nobody goes on from what a node hid
        # A revocation takes back the newest publication: only that one can be pending.
        after = [*(one.revocations for one in found), revocations][1:]
        return [(one, count > one.revocations) for one, count in zip(found, after, strict=True)]

    def _read_roots(self, last_block: int) -> _RootEvents:
        """What was read of publications and revocations, and where it ends before `last_block` what came since; all anew
        where the chain took back the block at which it ended."""
        read, names = self._roots, ("RootPublished", "RootRevoked")
        if read is not None and self._stands(read.end.number, read.end.hash):
            if last_block <= read.end.number:
                return read
            end, more = read_logs(self.chain, self._contract, names, read.end.number + 1, last_block)
            # Once more: what came since may be of a fork that took the place of the other meanwhile.
            if self._stands(read.end.number, read.end.hash):
                return _RootEvents(end, [*read.events, *more])
        return _RootEvents(*read_logs(self.chain, self._contract, names, self.deployment.deployed_block, last_block))

    def _stands(self, number: int, block_hash: bytes) -> bool:
        """Whether the chain has this very block."""
        return self.chain.head().number >= number and self.chain.block(number).hash == block_hash

    def root_at(self, epoch: int, block: int | None = None) -> RootRecord | None:
        """The record of an epoch as it stands now (or stood after `block`), also a revoked one; None if there was none."""
        record = self._call("rootAt", epoch, block=block)
        root, manifest_hash, provider_total, user_total, activates_at, missing, status = record
        if STATUSES[status] == "none":
            return None
        totals = provider_total, user_total
        return RootRecord(epoch, root, manifest_hash, *totals, activates_at, missing, STATUSES[status])

    def revoked_publications(self, epoch: int, last_block: int) -> Sequence[Publication]:
        """Every publication of an epoch that was revoked up to `last_block`, in the order of the chain."""
        return [one for one, revoked in self._publications(last_block) if revoked and one.epoch == epoch]

    def next_epoch(self, block: int | None = None) -> int:
        return int(self._call("nextEpoch", block=block))

    def pending_epoch(self) -> int | None:
        exists, epoch = self._call("pendingRoot")
        return epoch if exists else None

    def latest_active_epoch(self) -> int | None:
        exists, epoch = self._call("latestActiveEpoch")
        return epoch if exists else None

    def revocations(self, block: int | None = None) -> int:
        return int(self._call("revocations", block=block))

    def reward_pool(self, block: int | None = None) -> RewardPool:
        """The pools as they stand now, or stood after `block`."""
        return RewardPool(*self._call("pools", block=block))

    def max_epoch_amount(self, pool: int) -> int:
        return int(self._call("maxEpochAmount", pool))

    def max_epoch_amount_at(self, pool: int, last_block: int) -> int:
        """The limit as it stood after `last_block`, from events: no node needs to keep old state for it."""
        set_so_far = [
            e["args"]["newAmount"]
            for e in self._events(("MaxEpochAmountSet",), last_block)
            if e["args"]["pool"] == pool
        ]
        if not set_so_far:
            raise ChainError(
                f"the Vault set no limit of pool {pool} up to block {last_block}; that block is before the Vault"
            )
        return int(set_so_far[-1])

    def promised(self, pool: int) -> int:
        return int(self._call("promised", pool))

    def deposited(self, pool: int, block: int | None = None) -> int:
        return int(self._call("deposited", pool, block=block))

    def claimed_total(self, pool: int, block: int | None = None) -> int:
        return int(self._call("claimedTotal", pool, block=block))

    def claimed(self, pool: int, account: Address) -> int:
        return int(self._call("claimed", pool, checksum(account)))

    def surplus(self) -> int:
        return int(self._call("surplus"))

    def role_of(self, account: Address) -> str:
        """One of none, admin, publisher, attester, guardian, treasurer."""
        return ROLES[self._call("roleOf", checksum(account))]

    def is_publishing_paused(self) -> bool:
        return self.head().timestamp < int(self._call("publishingPausedUntil"))

    def are_claims_paused(self) -> bool:
        return self.head().timestamp < int(self._call("claimsPausedUntil"))

    def has_attested(self, publication: bytes, attester: Address, block: int | None = None) -> bool:
        return bool(self._call("hasAttested", publication, checksum(attester), block=block))

    def balance_of(self, account: Address, block: int | None = None) -> int:
        with self.chain.translate_errors("reading a balance"):
            return int(self._token.functions.balanceOf(checksum(account)).call(block_identifier=block))

    # ---------------------------------------------------------------- writes

    def deposit_fees(self, amount: int, signer: Signer, on_signed: OnSigned | None = None) -> Receipt:
        """Deposits fees of the signer, after an approval of exactly that amount if the allowance is smaller."""
        self._approve(amount, signer, on_signed)
        return self._send(f"deposit of {amount} in fees", "depositFees", [amount], signer, on_signed)

    def fund_pool(self, pool: int, amount: int, signer: Signer, on_signed: OnSigned | None = None) -> Receipt:
        """Adds money of the signer to one pool, after an approval as for `deposit_fees`."""
        self._approve(amount, signer, on_signed)
        purpose = f"funding of the {POOL_NAMES.get(pool, pool)} pool with {amount}"
        return self._send(purpose, "fundPool", [pool, amount], signer, on_signed)

    def publish_root(
        self,
        epoch: int,
        root: bytes,
        provider_total: int,
        user_total: int,
        manifest_hash: bytes,
        revocations: int,
        signer: Signer,
        on_signed: OnSigned | None = None,
    ) -> Receipt:
        intent = self.intend_publication(epoch, root, provider_total, user_total, manifest_hash, revocations)
        return self.sender.send(intent, signer, on_signed)

    def attest_root(self, epoch: int, publication: bytes, signer: Signer, on_signed: OnSigned | None = None) -> Receipt:
        """Confirms the pending root; `publication` is the attester's own `publication_hash`."""
        return self.sender.send(self.intend_attestation(epoch, publication), signer, on_signed)

    def revoke_root(self, epoch: int, reason: str, signer: Signer, on_signed: OnSigned | None = None) -> Receipt:
        return self.sender.send(self.intend_revocation(epoch, reason), signer, on_signed)

    def intend_publication(
        self, epoch: int, root: bytes, provider_total: int, user_total: int, manifest_hash: bytes, revocations: int
    ) -> Intent:
        """The call that publishes a root; it reverts once `revocations` is no longer the Vault's count."""
        data = encode_publish(epoch, root, provider_total, user_total, manifest_hash, revocations)
        return Intent(f"publication of epoch {epoch}", self.address, data)

    def intend_attestation(self, epoch: int, publication: bytes) -> Intent:
        """The call that confirms a pending root; it reverts for any other publication."""
        return Intent(f"attestation of epoch {epoch}", self.address, encode_attest(epoch, publication))

    def intend_revocation(self, epoch: int, reason: str) -> Intent:
        """The call that withdraws the pending root of an epoch, whichever that is; UsageError as `encode_revoke`."""
        return Intent(f"revocation of epoch {epoch}", self.address, encode_revoke(epoch, reason))

    def claim(
        self,
        epoch: int,
        pool: int,
        account: Address,
        cumulative: int,
        proof: Sequence[bytes],
        signer: Signer,
        on_signed: OnSigned | None = None,
    ) -> Receipt:
        """Claims for `account` against the active root of `epoch`; the signer only pays the gas."""
        purpose = f"claim of {account} in epoch {epoch}"
        arguments = [epoch, pool, checksum(account), cumulative, list(proof)]
        return self._send(purpose, "claim", arguments, signer, on_signed)

    def claim_many(
        self, epoch: int, items: Sequence[ClaimItem], signer: Signer, on_signed: OnSigned | None = None
    ) -> Receipt:
        """Claims for many in one transaction; the Vault skips a bad item and says so in an event."""
        batch = [(item.pool, checksum(item.account), item.cumulative, list(item.proof)) for item in items]
        purpose = f"{len(items)} claims in epoch {epoch}"
        return self._send(purpose, "claimMany", [epoch, batch], signer, on_signed)

    # ---------------------------------------------------------------- inside

    def _require_deployment(self) -> None:
        record = self.deployment
        if not self._stands(record.deployed_block, record.block_hash):
            raise ChainError(
                f"block {record.deployed_block} is not that of Vault {record.vault}; the record is of another chain"
            )
        if not self.chain.has_code(record.vault):
            raise ChainError(f"no contract at {record.vault}; check the deployment record")
        token = parse_address(self._call("token"))
        if token != record.token:
            raise ChainError(f"the Vault's token is {token}, the deployment record says {record.token}")
        first = int(self._call("firstEpoch"))
        if first != record.first_epoch:
            raise ChainError(f"the Vault's first epoch is {first}, the deployment record says {record.first_epoch}")

    def _call(self, name: str, *arguments: Any, block: int | None = None) -> Any:
        with self.chain.translate_errors(f"calling {name} of the Vault"):
            return self._contract.functions[name](*arguments).call(
                block_identifier="latest" if block is None else block
            )

    def _events(self, names: Sequence[str], last_block: int) -> Sequence[EventData]:
        """Decoded events of these names from the Vault's first block to `last_block`."""
        return read_logs(self.chain, self._contract, names, self.deployment.deployed_block, last_block)[1]

    def _approve(self, amount: int, signer: Signer, on_signed: OnSigned | None) -> None:
        with self.chain.translate_errors("reading an allowance"):
            allowance = self._token.functions.allowance(checksum(signer.address), checksum(self.address)).call()
        if allowance < amount:
            data = _encode("CXPTToken", "approve", [checksum(self.address), amount])
            self.sender.send(Intent(f"approval of {amount} CXPT units", self.token, data), signer, on_signed)

    def _send(
        self, purpose: str, name: str, arguments: Sequence[Any], signer: Signer, on_signed: OnSigned | None
    ) -> Receipt:
        data = _encode("CXPTVault", name, arguments)
        return self.sender.send(Intent(purpose, self.address, data), signer, on_signed)


def _encode(contract: str, name: str, arguments: Sequence[Any]) -> bytes:
    data = Web3().eth.contract(abi=load_artifact(contract).abi).encode_abi(name, arguments)
    return bytes.fromhex(data[2:])
