"""Where the gas of one transaction goes: by slot, event, call and contract, adding up to its `gasUsed`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hexbytes import HexBytes

from rewards.chain.client import request
from rewards.chain.contracts import ARTIFACTS
from rewards.units import keccak
from tests.gas.bench import Bench


class Line(NamedTuple):
    """One line of an account: whose gas, for what, how much."""

    part: str
    what: str
    gas: int


@dataclass(frozen=True)
class Step:
    """One instruction: what it took itself, without what a call that it made took."""

    op: str
    contract: str
    gas: int
    stack: Sequence[int]


INTRINSIC, CALLDATA_TOKEN, FLOOR_TOKEN = 21_000, 4, 10
ACCOUNTS_OF = ("first claim", "later claim", "claim with a wrong amount (reverts)", "root post, later")


def take_account(bench: Bench, name: str) -> list[Line]:
    """Every unit of gas of a transaction, by slot, event, call and contract; the lines add up to its gasUsed."""
    station = bench.station
    transaction = bench.transactions[name]
    sent: Any = station.web3.eth.get_transaction(HexBytes(transaction))
    receipt: Any = station.web3.eth.get_transaction_receipt(HexBytes(transaction))
    options = {"disableMemory": True, "disableStorage": True}
    trace: Any = request(station.network.chain, "debug_traceTransaction", ["0x" + transaction.hex(), options])
    steps = read_steps(trace["structLogs"], str(sent["to"]).lower())
    names = {bench.vault.address.lower(): "Vault", bench.token.address.lower(): "token"}
    slots = _name_all_slots(bench)

    data = bytes(sent["input"])
    zeros = data.count(0)
    tokens = zeros + 4 * (len(data) - zeros)
    lines = [
        Line("transaction", "every transaction", INTRINSIC),
        Line("transaction", f"calldata, {len(data):,} bytes of which {zeros} zero", CALLDATA_TOKEN * tokens),
    ]
    assert sent["gas"] - trace["structLogs"][0]["gas"] == sum(line.gas for line in lines), "intrinsic gas"
    lines += _account_storage([step for step in steps if step.op in ("SLOAD", "SSTORE")], names, slots)
    proof, rest = _split_proof(steps)
    if proof:
        pairs = sum(step.op == "KECCAK256" for step in proof)
        lines.append(Line("Vault", f"proof, {pairs} pairs sorted and hashed", sum(step.gas for step in proof)))
    lines += _account_code(rest, names, _name_events(bench))
    missing = int(receipt["gasUsed"]) - sum(line.gas for line in lines)
    if missing and int(receipt["gasUsed"]) == INTRINSIC + FLOOR_TOKEN * tokens:
        lines.append(Line("transaction", "rise to the least that calldata costs (EIP-7623)", missing))
    assert sum(line.gas for line in lines) == receipt["gasUsed"], f"{name}: the account does not add up"
    return lines


def read_steps(logs: Sequence[Any], contract: str) -> list[Step]:
    """The trace as steps, each with the gas that went before the next step of its own frame."""
    steps, frames = [], [contract]
    after: dict[int, int] = {}
    nexts = [0] * len(logs)
    # Backwards: the gas at the next step of the same frame, none where the frame ends.
    for i in range(len(logs) - 1, -1, -1):
        depth = logs[i]["depth"]
        nexts[i] = after.get(depth, -1)
        after[depth] = i
        after = {d: at for d, at in after.items() if d <= depth}
    for i, log in enumerate(logs):
        depth = log["depth"]
        del frames[depth:]
        if depth > len(frames):
            frames.append(f"0x{int(logs[i - 1]['stack'][-2], 16):040x}")
        end = nexts[i]
        took = log["gas"] - logs[end]["gas"] if end >= 0 else log["gasCost"]
        if end > i + 1:
            took -= sum(_took_alone(logs, nexts, k) for k in range(i + 1, end) if logs[k]["depth"] == depth + 1)
        stack = [int(word, 16) for word in (log["stack"] or [])[-7:]]
        steps.append(Step(log["op"], frames[-1], took, stack))
    return steps


def _took_alone(logs: Sequence[Any], nexts: Sequence[int], i: int) -> int:
    """Gas of one step with all that it called."""
    return int(logs[i]["gas"] - logs[nexts[i]]["gas"] if nexts[i] >= 0 else logs[i]["gasCost"])


def _account_storage(
    steps: Sequence[Step], names: Mapping[str, str], slots: Mapping[tuple[str, int], str]
) -> Iterator[Line]:
    by_slot: dict[tuple[str, int], list[Step]] = {}
    for step in steps:
        by_slot.setdefault((step.contract, step.stack[-1]), []).append(step)
    for (contract, slot), touches in by_slot.items():
        reads = [step.gas for step in touches if step.op == "SLOAD"]
        writes = [step.gas for step in touches if step.op == "SSTORE"]
        words = [f"cold read {gas:,}" for gas in reads if gas > 100]
        warm = reads.count(100)
        words += [f"{warm} warm read{'s' if warm > 1 else ''} of 100"] if warm else []
        words += [f"write {gas:,}" for gas in writes]
        what = f"slot `{slots[contract, slot]}`: {', '.join(words)}"
        yield Line(names[contract], what, sum(step.gas for step in touches))


def _split_proof(steps: Sequence[Step]) -> tuple[list[Step], list[Step]]:
    """The steps of the proof's loop, and all others. It begins after the leaf, the only hash of 32 bytes; the last hash
    before the next read of storage, if one follows, is that of the slot."""
    leaf = next((i for i, s in enumerate(steps) if s.op == "KECCAK256" and s.stack[-2] == 32), None)
    if leaf is None:
        return [], list(steps)
    read = next((i for i in range(leaf, len(steps)) if steps[i].op == "SLOAD"), None)
    hashes = [i for i in range(leaf + 1, read or len(steps)) if steps[i].op == "KECCAK256"]
    last = hashes[-2] if read else hashes[-1]
    return list(steps[leaf + 1 : last + 1]), [*steps[: leaf + 1], *steps[last + 1 :]]


def _account_code(steps: Sequence[Step], names: Mapping[str, str], events: Mapping[int, str]) -> Iterator[Line]:
    """Everything but storage and proof: hashes, events, calls, and what the rest of each contract's code takes."""
    sums: dict[tuple[str, str], list[int]] = {}
    for step in steps:
        if step.op in ("SLOAD", "SSTORE"):
            continue
        if step.op in ("TLOAD", "TSTORE"):
            what = "guard against reentrancy, transient"
        elif step.op == "KECCAK256":
            what = "other hashes"
        elif step.op.startswith("LOG"):
            what = f"event `{events[step.stack[-3]]}`: {step.op[3:]} topics, {step.stack[-2]} bytes"
        elif step.op in ("CALL", "STATICCALL"):
            what = f"call of the {names[f'0x{step.stack[-2]:040x}']}, cold"
            assert step.gas == 2600, "a call costs what a cold account does"
        else:
            what = "rest of the code"
        sums.setdefault((names[step.contract], what), []).append(step.gas)
    for (name, what), costs in sorted(sums.items(), key=lambda entry: (entry[0][0], entry[0][1] == "rest of the code")):
        count = f" ({len(costs)})" if what == "other hashes" else f" ({len(costs):,} steps)" if "rest" in what else ""
        yield Line(name, what + count, sum(costs))


def _name_all_slots(bench: Bench) -> dict[tuple[str, int], str]:
    row = bench.earnings.rows[bench.nightly[0]]
    publisher = bytes.fromhex(bench.station.signers[2].address[2:])
    vault = bytes.fromhex(bench.vault.address[2:])
    keys = {
        "_roots": {"epoch before": bytes(32), "epoch": (1).to_bytes(32)},
        "_claimed": {"account": bytes(12) + row.account},
        "_roles": {"publisher": bytes(12) + publisher},
        "_balances": {"Vault": bytes(12) + vault, "account": bytes(12) + row.account},
    }
    found = {}
    for contract, name in ((bench.vault, "CXPTVault"), (bench.token, "CXPTToken")):
        layout = json.loads((ARTIFACTS / f"{name}.json").read_text())["storageLayout"]
        for slot, text in name_slots(layout, keys):
            found[contract.address.lower(), slot] = text
    return found


def name_slots(layout: Mapping[str, Any], keys: Mapping[str, Mapping[str, bytes]]) -> Iterator[tuple[int, str]]:
    """Every slot of a compiler's storage layout by name; of a mapping, those of the keys given under its name."""
    for entry in layout["storage"]:
        place = int(entry["slot"])
        yield from _name_place(layout["types"], entry["type"], place, entry["label"], keys.get(entry["label"], {}))


def _name_place(
    types: Mapping[str, Any], kind: str, place: int, name: str, keys: Mapping[str, bytes]
) -> Iterator[tuple[int, str]]:
    described = types[kind]
    if described["encoding"] == "mapping":
        for key, word in keys.items():
            slot = int.from_bytes(keccak(word + place.to_bytes(32)))
            yield from _name_place(types, described["value"], slot, f"{name}[{key}]", {})
    elif "members" in described:
        by_slot: dict[int, list[Any]] = {}
        for member in described["members"]:
            by_slot.setdefault(int(member["slot"]), []).append(member)
        for offset, members in by_slot.items():
            if len(members) == 1:
                inner = f"{name}.{members[0]['label']}"
                yield from _name_place(types, members[0]["type"], place + offset, inner, {})
            else:
                yield place + offset, f"{name} {{{', '.join(m['label'] for m in members)}}}"
    else:
        yield place, name


def _name_events(bench: Bench) -> dict[int, str]:
    entries = [entry for contract in (bench.vault, bench.token) for entry in contract.abi if entry["type"] == "event"]
    signatures = ((e["name"], f"{e['name']}({','.join(i['type'] for i in e['inputs'])})") for e in entries)
    return {int.from_bytes(keccak(signature.encode())): name for name, signature in signatures}
