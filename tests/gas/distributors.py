"""The competitors: a bitmap distributor for every night, as Uniswap published it and as we would write it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from web3.contract import Contract

from rewards.chain.contracts import load_artifact
from tests.gas.bench import NIGHTS, Bench
from tests.gas.leaves import Night
from tests.gas.station import CONTRACTS

STYLE, PUBLISHED = "Uniswap's style, our writing", "Uniswap 1.0.1 as published"
UNISWAP = CONTRACTS / "node_modules" / "@uniswap" / "merkle-distributor" / "build" / "MerkleDistributor.json"


@dataclass(frozen=True)
class Competitor:
    """A distributor: its code, deployed anew for every night, and the token in which it pays."""

    name: str
    abi: Any
    bytecode: bytes
    token: Contract


class Distributors:
    """Both competitors, night by night, on the chain of a bench and with its rows."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._station = bench, bench.station
        self._sums: dict[str, dict[int, int]] = {}

    def run(self) -> None:
        """`nightly` claim on every night's distributor, `late` on the first thirty; on the first two, neighbours too."""
        style = load_artifact("BitmapDistributor", CONTRACTS / "test" / "artifacts")
        published = json.loads(UNISWAP.read_text())
        competitors = [
            self._prepare(STYLE, style.abi, style.bytecode),
            self._prepare(PUBLISHED, published["abi"], bytes.fromhex(published["bytecode"].removeprefix("0x"))),
        ]
        extent = self._bench.extent
        for number in range(extent.nights if extent.whole else 2):
            night = Night(self._bench.earnings.rows, number)
            for competitor in competitors:
                self._bench.begin(f"night {number}: {competitor.name}")
                self._run_night(competitor, self._deploy(competitor, night, number), night, number)
        if extent.whole:
            for name, by_row in self._sums.items():
                self._note(name, by_row)

    def _prepare(self, name: str, abi: Any, bytecode: bytes) -> Competitor:
        token = load_artifact("CXPTToken")
        return Competitor(name, abi, bytecode, self._station.deploy(token.abi, token.bytecode)[0])

    def _deploy(self, competitor: Competitor, night: Night, number: int) -> Contract:
        token = competitor.token
        contract, sent = self._station.deploy(competitor.abi, competitor.bytecode, token.address, night.root)
        if number == 0:
            self._bench.note(f"deploy {competitor.name}", sent)
            self._bench.sizes[competitor.name] = len(self._station.web3.eth.get_code(contract.address))
        self._station.call(0, token, "transfer", contract.address, night.total)
        return contract

    def _run_night(self, competitor: Competitor, contract: Contract, night: Night, number: int) -> None:
        bench, name = self._bench, competitor.name
        if number < NIGHTS:
            self._add(f"{name}: thirty nights, new holder", self._claim(contract, night, bench.late))
        often = self._claim(contract, night, bench.nightly)
        if number < 2:
            holder = "new holder" if number == 0 else "old holder"
            self._note(f"{name}: new word, {holder}", often)
            beside = self._claim(contract, night, [row ^ 1 for row in bench.nightly])
            self._note(f"{name}: dirty word, {holder}", beside)
        else:
            self._add(f"{name}: thirty nights, old holder", often)

    def _claim(self, contract: Contract, night: Night, rows: Sequence[int]) -> dict[int, int]:
        return {row: self._station.call(9, contract, "claim", *night.item(row)).gas for row in rows}

    def _note(self, name: str, by_row: Mapping[int, int]) -> None:
        self._bench.figures.setdefault(name, []).extend(by_row.values())

    def _add(self, name: str, by_row: Mapping[int, int]) -> None:
        sums = self._sums.setdefault(name, {})
        for row, gas in by_row.items():
            sums[row] = sums.get(row, 0) + gas
