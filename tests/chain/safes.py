"""A real Safe on a test chain, from its npm package: two of three owners sign, anyone may send."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eth_keys.datatypes import PrivateKey
from web3 import Web3
from web3.contract import Contract

from rewards.chain.sender import Intent
from rewards.chain.signers import LocalSigner, Signer
from rewards.ports import Receipt
from rewards.units import ZERO_ADDRESS, Address, checksum, keccak, parse_address
from tests.chain.networks import Network

OWNER_KEYS = tuple(keccak(b"owner %d" % i) for i in range(3))
OWNERS = tuple(LocalSigner(key).address for key in OWNER_KEYS)


class Safe:
    """A fresh 2-of-3 Safe behind its proxy."""

    def __init__(self, contracts: Path, network: Network, payer: Signer) -> None:
        self._network, self._payer = network, payer
        self._artifacts = contracts / "node_modules" / "@safe-global" / "safe-contracts" / "build" / "artifacts"
        singleton = self._deploy("Safe.sol/Safe")
        self.address = self._deploy("proxies/SafeProxy.sol/SafeProxy", [checksum(singleton)])
        abi = self._read("Safe.sol/Safe")["abi"]
        self.contract: Contract = network.chain.web3.eth.contract(
            address=Web3.to_checksum_address(self.address), abi=abi
        )
        owners, nobody = [checksum(owner) for owner in OWNERS], ZERO_ADDRESS
        self._send("setup", [owners, 2, nobody, b"", nobody, nobody, 0, nobody])

    @property
    def nonce(self) -> int:
        return int(self.contract.functions.nonce().call())

    def hash_transaction(self, to: str, data: bytes) -> bytes:
        """What the Safe itself says that its owners sign, at its next nonce."""
        fields = [to, 0, data, 0, 0, 0, 0, ZERO_ADDRESS, ZERO_ADDRESS, self.nonce]
        return bytes(self.contract.functions.getTransactionHash(*fields).call())

    def execute(self, to: str, data: bytes, digest: bytes, keys: Sequence[bytes] = OWNER_KEYS[:2]) -> Receipt:
        """Sends a call that these owners signed as `digest`."""
        signed = sorted((LocalSigner(key).address, PrivateKey(key).sign_msg_hash(digest)) for key in keys)
        signatures = b"".join(s.r.to_bytes(32) + s.s.to_bytes(32) + bytes([27 + s.v]) for _, s in signed)
        fields = [to, 0, data, 0, 0, 0, 0, ZERO_ADDRESS, ZERO_ADDRESS, signatures]
        return self._send("execTransaction", fields)

    def _deploy(self, name: str, arguments: Sequence[Any] = ()) -> Address:
        artifact = self._read(name)
        factory = self._network.chain.web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
        code = bytes.fromhex(factory.constructor(*arguments).data_in_transaction[2:])
        done = self._network.sender.send(Intent(name, None, code), self._payer)
        receipt = self._network.chain.find_receipt(done.transaction)
        assert receipt is not None and receipt["contractAddress"] is not None
        return parse_address(receipt["contractAddress"])

    def _send(self, function: str, arguments: Sequence[Any]) -> Receipt:
        data = bytes.fromhex(self.contract.encode_abi(function, arguments)[2:])
        return self._network.sender.send(Intent(function, self.address, data), self._payer)

    def _read(self, name: str) -> Any:
        return json.loads((self._artifacts / "contracts" / f"{name}.json").read_text())
