"""One chain: connecting, blocks, finality, logs. Every failure is a ChainError of one line."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any

from eth_utils.exceptions import ValidationError
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3Exception, Web3RPCError
from web3.types import BlockIdentifier, FilterParams, LogReceipt, RPCEndpoint, RPCResponse, TxParams, TxReceipt

from rewards.chain.blot import order_secrets, redact
from rewards.chain.contracts import describe_revert
from rewards.chain.endpoints import Endpoint, Endpoints, NoAnswer, open_endpoints
from rewards.errors import ChainError, ChainUnavailable
from rewards.ports import Block
from rewards.units import Address, checksum

# Nodes refuse wide ranges of logs; ten thousand blocks is what the common ones take.
LOG_RANGE = 10_000

MOST_APART_S = 20 * 60
"""Nodes whose final blocks are more seconds apart than this are out of step; only a majority leaves one out. In time, not
in blocks: where a block takes two seconds, what is final moves on by hundreds of them at once."""

MOST_TOLD = 200
"""Characters of what a node said that a message repeats."""

_HEX = re.compile("0x([0-9a-fA-F]{2})*")
# How nodes say that they do not know a block tag: invalid params, and unknown block.
_UNKNOWN_TAG_CODES = (-32602, -39001)

_AskAll = Callable[[str, Sequence[Any]], list[tuple[Endpoint, RPCResponse]]]


class Chain:
    """A connected chain whose id was checked. `depth`: blocks until final where the chain has no finalized tag;
    `log_range`: for the logs of how many blocks a node is asked at once."""

    def __init__(self, web3: Web3, chain_id: int, where: str, depth: int = 64, log_range: int = LOG_RANGE) -> None:
        self.web3 = web3
        self.chain_id = chain_id
        self.where = where
        self.log_range = log_range
        self._depth = depth
        self._has_final_tag: bool | None = None
        self._timestamps: dict[bytes, int] = {}

    def head(self) -> Block:
        return self._block("latest")

    def final_block(self) -> Block:
        """The newest block that the chain calls final; where it has no such tag, the one `depth` below the head.

        Which of the two is decided once: a node that is busy later must not make a younger block look final.
        """
        provider = self.web3.provider
        several = provider if isinstance(provider, Endpoints) and len(provider.endpoints) > 1 else None
        if self._has_final_tag is None:
            self._has_final_tag = self._agree_on_final_tag(several) if several else self._ask_for_final_tag()
        if several:
            return self._agree_on_final(several)
        if self._has_final_tag:
            return self._block("finalized")
        return self._block(max(0, self.head().number - self._depth))

    def _agree_on_final(self, provider: Endpoints) -> Block:
        """The newest block that as many nodes as must agree call final, of those that keep together.

        No node decides alone, be it far ahead or far behind: ChainUnavailable where too few answer or keep together,
        ChainError when nodes hold different blocks there. Of two configured nodes one suffices while the other is silent;
        then it is believed as the only one of a configuration would be. The one of them that is furthest is asked first
        from then on."""
        tag, depth = ("finalized", 0) if self._has_final_tag else ("latest", self._depth)
        seen = self._read_blocks(tag, provider.ask_each)
        needed = _require_enough(provider, [endpoint for endpoint, _ in seen])
        middle = sorted(block.timestamp for _, block in seen)[(len(seen) - 1) // 2]
        together = [pair for pair in seen if abs(pair[1].timestamp - middle) <= MOST_APART_S]
        reached = sorted((block.number for _, block in together), reverse=True)
        is_agreed = len(together) >= needed
        lowest, final = min(block.number for _, block in seen), reached[needed - 1 if is_agreed else -1]
        heights = sorted({max(0, lowest - depth), max(0, final - depth)})  # mostly one and the same
        holding = [self._require_agreement(provider, height) for height in heights][-1]
        if not is_agreed:
            told = ", ".join(f"{block.number} at {endpoint.where}" for endpoint, block in seen)
            raise ChainUnavailable(
                f"the endpoints are more than {MOST_APART_S // 60} minutes apart in what is final: {told}; wait for those that "
                "lag, or take the wrong one out of REWARDS_RPC_URL"
            )
        ahead, newest = max(together, key=lambda pair: pair[1].number)
        if seen[0][0] is not ahead and (seen[0] not in together or seen[0][1].number < newest.number):
            provider.prefer(ahead)
        _require_enough(provider, [endpoint for endpoint, _ in holding])
        return holding[0][1]

    def _agree_on_final_tag(self, provider: Endpoints) -> bool:
        """What most nodes say; ChainUnavailable where as many have the tag as lack it, or too few say."""
        with self.translate_errors("asking for the final block"):
            answers = provider.ask_each("eth_getBlockByNumber", ["finalized", False])
        having = [endpoint for endpoint, answer in answers if answer.get("result")]
        lacking = [endpoint for endpoint, answer in answers if _lacks_block(answer)]
        needed = _require_enough(provider, [*having, *lacking])
        if max(len(having), len(lacking)) < needed:
            raise ChainUnavailable(
                f"asking for the final block: {_name(having)} have one, {_name(lacking)} say that "
                "the chain has none; take the wrong one out of REWARDS_RPC_URL"
            )
        return len(having) >= needed

    def _require_agreement(self, provider: Endpoints, number: int) -> list[tuple[Endpoint, Block]]:
        """The nodes that hold a final height, each with its block; ChainError when two hold different ones, or one of
        another time."""
        found = self._read_blocks(hex(number), provider.ask_awake)
        held = {block: endpoint.where for endpoint, block in found}
        if len(held) > 1:
            told = ", ".join(f"0x{block.hash.hex()} of {block.timestamp} at {where}" for block, where in held.items())
            raise ChainError(
                f"the endpoints disagree on block {number}, which is final: {told}; find out which of them is on another "
                "fork, and take it out of REWARDS_RPC_URL"
            )
        return found

    def _read_blocks(self, which: str, ask: _AskAll) -> list[tuple[Endpoint, Block]]:
        with self.translate_errors(f"reading block {which}"):
            answers = ask("eth_getBlockByNumber", [which, False])
            blocks = [(endpoint, _read_block(answer)) for endpoint, answer in answers]
        return [(endpoint, block) for endpoint, block in blocks if block is not None]

    def _ask_for_final_tag(self) -> bool:
        with self.translate_errors("asking for the final block"):
            try:
                self.web3.eth.get_block("finalized")
            except (BlockNotFound, Web3RPCError) as error:
                if not _is_unknown_tag(error):
                    raise
                return False
            return True

    def block(self, number: int) -> Block:
        return self._block(number)

    def last_block_before(self, timestamp: int) -> Block:
        """The last block whose timestamp is below `timestamp`, once a later block says that no more will come."""
        low, high = self._block(0), self.head()
        if low.timestamp >= timestamp:
            raise ChainError(f"the first block of {self.where} has time {low.timestamp}, not before {timestamp}")
        if high.timestamp < timestamp:
            raise ChainError(f"the newest block of {self.where} has time {high.timestamp}; wait for one at {timestamp}")
        while high.number - low.number > 1:
            middle = self._block((low.number + high.number) // 2)
            low, high = (middle, high) if middle.timestamp < timestamp else (low, middle)
        return low

    def logs(self, address: Address, topics: Sequence[Any], first: int, last: int) -> Iterator[LogReceipt]:
        """Logs of one contract between two blocks, both included, in their order."""
        for start in range(first, last + 1, self.log_range):
            query: FilterParams = {
                "address": Web3.to_checksum_address(checksum(address)),
                "topics": topics,
                "fromBlock": start,
                "toBlock": min(start + self.log_range - 1, last),
            }
            with self.translate_errors(f"reading events from block {start}"):
                yield from self.web3.eth.get_logs(query)

    def timestamp_of(self, block_hash: bytes) -> int:
        """Time of a block; remembered, because a hash never means another block."""
        if block_hash not in self._timestamps:
            self._timestamps[block_hash] = self._block(HexBytes(block_hash)).timestamp
        return self._timestamps[block_hash]

    def find_receipt(self, transaction: bytes) -> TxReceipt | None:
        with self.translate_errors("asking for a receipt"):
            try:
                return self.web3.eth.get_transaction_receipt(HexBytes(transaction))
            except TransactionNotFound:
                return None

    def knows_transaction(self, transaction: bytes) -> bool:
        """Whether the node holds the transaction, in a block or waiting for one."""
        with self.translate_errors("asking for a transaction"):
            try:
                self.web3.eth.get_transaction(HexBytes(transaction))
            except TransactionNotFound:
                return False
            return True

    def send_raw(self, raw: bytes, purpose: str) -> None:
        """Gives a signed transaction to the node; ChainError when it refuses, ChainUnavailable when it may have it."""
        with self.translate_errors(purpose):
            self.web3.eth.send_raw_transaction(raw)

    def replay(self, transaction: Mapping[str, Any], block: BlockIdentifier) -> None:
        """Calls without sending; ChainError with the decoded reason when the call reverts."""
        with self.translate_errors("replaying a transaction"):
            self.web3.eth.call(_to_params(transaction), block)

    def estimate_gas(self, transaction: Mapping[str, Any]) -> int:
        with self.translate_errors("estimating gas"):
            return self.web3.eth.estimate_gas(_to_params(transaction))

    def count_transactions(self, account: Address, block: BlockIdentifier) -> int:
        with self.translate_errors("asking for a nonce"):
            return self.web3.eth.get_transaction_count(Web3.to_checksum_address(checksum(account)), block)

    def read_code(self, address: Address) -> bytes:
        with self.translate_errors("asking for code"):
            return bytes(self.web3.eth.get_code(Web3.to_checksum_address(checksum(address))))

    def has_code(self, address: Address) -> bool:
        return bool(self.read_code(address))

    @contextmanager
    def translate_errors(self, doing: str) -> Iterator[None]:
        """Turns what web3, sockets and nodes raise into a ChainError that says what was being done.

        The causes stay out of the chain of exceptions: they hold the endpoint's path, and with it its key.
        """
        try:
            yield
        except ContractLogicError as error:
            told = self._tell(_describe(error))
            raise ChainError(f"{self.where} refuses: {told}", told) from None
        except BlockNotFound as error:
            raise ChainError(f"{doing}: {self.where} has no such block ({self._tell(error)})") from None
        except (Web3Exception, ValidationError) as error:
            told = self._tell(error)
            raise ChainError(f"{doing}: {self.where} answers {told}", told) from None
        except NoAnswer as error:
            raise ChainUnavailable(f"{doing}: {error}") from None
        except (JSONDecodeError, UnicodeDecodeError) as error:
            raise ChainUnavailable(f"{doing}: {self.where} answers no JSON ({self._tell(error)})") from None
        except ValueError as error:  # an answer of the right shape that says nothing
            raise ChainUnavailable(f"{doing}: {self.where} answers what cannot be read ({self._tell(error)})") from None
        except OSError as error:
            raise ChainUnavailable(
                f"{doing}: {self.where} does not answer ({type(error).__name__}); check the address and the network"
            ) from None

    def _tell(self, what: object) -> str:
        """What a node said, on one line, without the keys in the addresses of its nodes; cut after that, since half a key
        is one that nothing recognizes."""
        provider = self.web3.provider
        secrets = [s for e in provider.endpoints for s in e.secrets] if isinstance(provider, Endpoints) else []
        return _one_line(redact(str(what), order_secrets(secrets))) or type(what).__name__

    def _block(self, number: BlockIdentifier) -> Block:
        with self.translate_errors(f"reading block {number!r}"):
            return _to_block(self.web3.eth.get_block(number))


def connect(
    rpc_urls: str, expected_chain_id: int, depth: int = 64, timeout_s: float = 15, log_range: int = LOG_RANGE
) -> Chain:
    """The chain behind one HTTP endpoint, or several with spaces between them; ChainError when none answers or one has
    another chain id."""
    endpoints = open_endpoints(rpc_urls, expected_chain_id, timeout_s)
    where = " or ".join(endpoint.where for endpoint in endpoints.endpoints)
    chain = adopt(Web3(endpoints), expected_chain_id, where, depth, log_range)
    with chain.translate_errors("connecting"):
        endpoints.ask_each("eth_chainId", [])  # so that one of another chain is told at once
    return chain


def adopt(web3: Web3, expected_chain_id: int, where: str, depth: int = 64, log_range: int = LOG_RANGE) -> Chain:
    """A Chain over a web3 that exists; ChainError as `connect`."""
    chain = Chain(web3, expected_chain_id, where, depth, log_range)
    with chain.translate_errors("connecting"):
        found = web3.eth.chain_id
    if found != expected_chain_id:
        raise ChainError(f"{where} is chain {found}, not {expected_chain_id}; check the endpoint and the chain id")
    return chain


def request(chain: Chain, method: str, params: Sequence[Any] = ()) -> Any:
    """A raw call for what web3 has no name for; ChainError as everything here."""
    with chain.translate_errors(method):
        return chain.web3.manager.request_blocking(RPCEndpoint(method), list(params))


def _count_half(provider: Endpoints) -> int:
    """How many of the configured nodes must answer before anything is final: one of two, two of three or four."""
    return (len(provider.endpoints) + 1) // 2


def _require_enough(provider: Endpoints, answering: Sequence[Endpoint]) -> int:
    """How many nodes must agree on what is final: half of the configured ones, and most of those that answer. Raises
    ChainUnavailable when fewer than half answer: those that silence the others would decide alone."""
    half = _count_half(provider)
    if len(answering) < half:
        silent = [endpoint for endpoint in provider.endpoints if endpoint not in answering]
        told = f"{len(answering)} of {len(provider.endpoints)} endpoints tell it, {half} must"
        raise ChainUnavailable(
            f"asking for the final block: {told}; silent: {_name(silent)}; check the network, or take those that are gone for "
            "good out of REWARDS_RPC_URL"
        )
    return max(half, len(answering) // 2 + 1)


def _name(endpoints: Sequence[Endpoint]) -> str:
    return ", ".join(endpoint.where for endpoint in endpoints)


def _is_unknown_tag(error: BlockNotFound | Web3RPCError) -> bool:
    return isinstance(error, BlockNotFound) or _lacks_block(error.rpc_response or {"error": {"message": str(error)}})


def _lacks_block(answer: Mapping[str, Any]) -> bool:
    """Whether a node's raw answer says that it knows no such block or tag."""
    error = answer.get("error")
    if not error:
        return not answer.get("result")
    code, message = (error.get("code"), error.get("message")) if isinstance(error, Mapping) else (None, error)
    return code in _UNKNOWN_TAG_CODES or "block not found" in str(message).lower()


def _read_block(answer: Mapping[str, Any]) -> Block | None:
    """The block of a node's raw answer; None where it has none."""
    found = answer.get("result")
    if not found:
        return None
    return Block(int(found["number"], 16), bytes(HexBytes(found["hash"])), int(found["timestamp"], 16))


def _to_block(block: Any) -> Block:
    return Block(int(block["number"]), bytes(block["hash"]), int(block["timestamp"]))


def _to_params(transaction: Mapping[str, Any]) -> TxParams:
    params: TxParams = dict(transaction)  # type: ignore[assignment]
    return params


def _describe(error: ContractLogicError) -> str:
    data = error.data
    if isinstance(data, Mapping):
        data = data.get("data")
    if isinstance(data, str) and _HEX.fullmatch(data):
        return describe_revert(bytes.fromhex(data[2:]))
    return str(error) or type(error).__name__


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return (text[:MOST_TOLD] + "…") if len(text) > MOST_TOLD else text
