"""The documents say what the code does: worked example, tables of numbers, runbook, glossary, SQL."""

import ast
import csv
import io
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl
import pytest
import typer

from rewards import errors, gates, judgement, reference, scoring
from rewards.agreement import check_reference
from rewards.cli.app import app
from rewards.compute import compute_epoch
from rewards.distribution import add_wallets
from rewards.engines.duckdb import DuckDBEngine
from rewards.jobs.prepare import RunSettings
from rewards.jobs.run import run_epochs
from rewards.jobs.workspace import Workspace
from rewards.manifest import FILES
from rewards.merkle import ClaimTree, hash_leaf, hash_pair
from rewards.policy import TIERS
from rewards.ports import EpochInputs, EpochResult, PoolTotals, Previous, RollUp
from rewards.schemas import (
    ACCOUNTS,
    CLAIMABLES,
    CORRECTIONS,
    DEPOSITS,
    HEARTBEATS_ROLLUP,
    NOT_EARNING_REASONS,
    PROVISIONS,
    QUARANTINE_REASONS,
    STATE,
    Table,
)
from rewards.sources.folder import InputFolder
from rewards.units import POOLS
from tests.conftest import ROOT
from tests.worlds import CALENDAR, POLICY, POLICY_FILE

DOCS = ROOT / "docs"
SPEC = (DOCS / "reward-spec.md").read_text()
EPOCH = CALENDAR.epoch(1)

Line = dict[str, str]


def read_blocks(page: str) -> Iterator[tuple[str, str]]:
    """Every fenced block of a page: the words after the fence, and the text."""
    for match in re.finditer(r"^```([^\n]+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield match[1].strip(), match[2]


def read_example() -> dict[str, str]:
    named = {words.split()[1]: text for words, text in read_blocks(SPEC) if " " in words}
    assert len(named) == sum(" " in words for words, _ in read_blocks(SPEC)), "two blocks of one name"
    return named


EXAMPLE = read_example()


def read_table(name: str) -> list[Line]:
    return list(csv.DictReader(io.StringIO(EXAMPLE[name])))


def as_lines(frame: pl.DataFrame) -> list[Line]:
    """A frame as the page writes it: empty for null."""
    return [{name: "" if v is None else str(v) for name, v in row.items()} for row in frame.iter_rows(named=True)]


def typed(name: str, table: Table, **columns: Any) -> pl.DataFrame:
    """A block as a frame of a model; columns that the block leaves out have the value given, or 0 or ""."""
    defaults = {c: columns.get(c, "" if t == pl.String else 0) for c, t in table.columns.items()}
    rows = [
        {**defaults, **{k: int(v) if table.columns[k] != pl.String else v for k, v in r.items()}}
        for r in read_table(name)
    ]
    integers = {c: pl.String if t == pl.String else pl.Int64 for c, t in table.columns.items()}
    return table.arrange(pl.DataFrame(rows, schema=integers))


class Worked(NamedTuple):
    roll_up: RollUp
    inputs: EpochInputs
    previous: Previous
    result: EpochResult


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Worked:
    """The example of the page, run: its blocks as an input folder, rolled up by the engine and computed."""
    folder = tmp_path_factory.mktemp("example")
    for name in ("accounts", "provisions", "deposits"):
        (folder / f"{name}.csv").write_text(EXAMPLE[name])
    for feed, content in (("usage_records", EXAMPLE["usage_records"]), ("heartbeats", probe_every_quarter())):
        (folder / feed).mkdir()
        (folder / feed / "2026-01-08.csv").write_text(content)
    source = InputFolder(folder)
    accounts, provisions = ACCOUNTS.arrange(source.accounts()), PROVISIONS.arrange(source.provisions())
    wallets = add_wallets(accounts, frozenset())
    engine = DuckDBEngine(folder / "scratch", threads=1)
    roll_up = engine.roll_up(source.usage(), source.heartbeats(), wallets, provisions, [], EPOCH, POLICY)
    inputs = EpochInputs(
        EPOCH,
        roll_up.rollup,
        roll_up.heartbeats,
        accounts,
        provisions,
        DEPOSITS.arrange(source.deposits()),
        CORRECTIONS.empty(),
    )
    state = [typed("previous_demand", STATE, kind="demand"), typed("previous_streaks", STATE, kind="streak")]
    books = {
        int(r["pool"]): PoolTotals(
            int(r["deposited"]), 0, 0, 0, 0, 0, int(r["claimables"]), int(r["held"]), int(r["carry_over"])
        )
        for r in read_table("previous_totals")
    }
    previous = Previous("0" * 64, typed("previous_claimables", CLAIMABLES), STATE.arrange(pl.concat(state)), books)
    return Worked(roll_up, inputs, previous, compute_epoch(inputs, previous, POLICY))


def probe_every_quarter() -> str:
    """Heartbeats that count up to the page's table; the last ones of the day are those that are not ok."""
    lines = ["provision_id,probed_at,ok"]
    for row in read_table("heartbeats_rollup"):
        for i in range(int(row["heartbeats"])):
            moment = (EPOCH.start + timedelta(minutes=15 * i)).isoformat()
            lines.append(f"{row['provision_id']},{moment},{'true' if i < int(row['ok']) else 'false'}")
    return "\n".join(lines) + "\n"


def test_example_names_rows_as_the_engine_does(worked: Worked) -> None:
    counts = worked.roll_up.counts
    classes = Counter((row["class"], row["reason"]) for row in read_table("rows"))
    counted = {("earning", ""): counts.earning, ("repeated", ""): counts.repeated}
    counted |= {("not_earning", reason): n for reason, n in counts.not_earning.items()}
    counted |= {("quarantined", reason): n for reason, n in counts.quarantined.items()}
    assert dict(classes) == counted
    assert sum(row["late"] == "yes" for row in read_table("rows")) == counts.late
    assert [row["request_id"] for row in read_table("rows")] == [
        row["request_id"] for row in read_table("usage_records")
    ]
    bad = [(row["request_id"], row["reason"]) for row in read_table("rows") if row["class"] == "quarantined"]
    assert worked.roll_up.quarantine.select("request_id", "reason").rows() == bad


def test_example_weighs_requests_as_the_reference_does() -> None:
    earning = {row["request_id"] for row in read_table("rows") if row["class"] == "earning"}
    weights = read_table("weights")
    assert {row["request_id"] for row in weights} == earning
    for row in weights:
        fee = int(row["fee_e8"])
        assert int(row["reference_fee_e8"]) == POLICY.endpoints[row["endpoint"]].reference_fee_e8[row["tier"]]
        assert int(row["w"]) == reference.request_weight(fee, row["endpoint"], row["tier"], POLICY), row
    paid = {r["request_id"]: int(r["fee_cxpt"].replace(".", "")) for r in read_table("usage_records")}
    assert {row["request_id"]: int(row["fee_e8"]) for row in weights} == {name: paid[name] for name in earning}


def test_example_rolls_up_as_the_engine_does(worked: Worked) -> None:
    shown = worked.roll_up.rollup.filter(~pl.col("part").str.ends_with("_not_counted")).drop("reason")
    assert as_lines(shown) == read_table("rollup")
    assert as_lines(worked.roll_up.heartbeats) == as_lines(typed("heartbeats_rollup", HEARTBEATS_ROLLUP))


@pytest.mark.parametrize("name", ["provision_scores", "scores", "allocations", "claimables"])
def test_example_gives_the_tables_that_compute_gives(worked: Worked, name: str) -> None:
    assert as_lines(getattr(worked.result, name)) == read_table(name)


def test_example_gives_the_books_and_what_is_held(worked: Worked) -> None:
    for row, pool in zip(read_table("totals"), POOLS, strict=True):
        books = {"pool_split" if k == "pool" else k: str(v) for k, v in worked.result.totals[pool].__dict__.items()}
        assert row == {"pool": str(pool), **books}
    held = worked.result.state.filter(kind="held").select("pool", "id", "epoch", "amount")
    assert as_lines(held) == read_table("held")


def test_example_passes_the_gates_and_the_reference(worked: Worked) -> None:
    _, inputs, previous, result = worked
    known = {
        p: sum(int(v) for v in inputs.deposits[c]) + previous.totals[p].deposited
        for p, c in ((1, "provider_amount"), (2, "user_amount"))
    }
    assert check_reference(inputs, result, previous, POLICY) == []
    assert gates.check_conserved(inputs, result, previous, known) == []
    assert gates.check_successor(previous.claimables, result.claimables) == []
    assert judgement.check_funded(worked.roll_up.counts, inputs.deposits, POLICY) == []


def test_example_hashes_leaves_nodes_and_proof(worked: Worked) -> None:
    tree, root = ClaimTree.from_bytes(worked.result.tree), EXAMPLE["root"].strip()
    amounts = {(r["pool"], r["account"]): int(r["cumulative_amount"]) for r in read_table("claimables")}
    hashes: list[str] = []
    for row in read_table("leaves"):
        assert row["node"] == str(len(hashes))
        hashes.append("0x" + hash_leaf(int(row["pool"]), row["account"], amounts[row["pool"], row["account"]]).hex())
        assert row["hash"] == hashes[-1]
    assert len(hashes) == len(amounts)
    assert hashes == sorted(hashes)
    for row in read_table("nodes"):
        sides = [bytes.fromhex(hashes[int(row[side])][2:]) for side in ("left", "right")]
        assert row["node"] == str(len(hashes))
        hashes.append("0x" + hash_pair(*sides).hex())
        assert row["hash"] == hashes[-1]
    assert hashes == tree.dump()["tree"][::-1]
    assert root == hashes[-1] == "0x" + worked.result.root.hex()
    (leaf,) = read_table("proof")
    siblings = read_table("siblings")
    proof = tree.prove(int(leaf["pool"]), leaf["account"])
    assert [row["hash"] for row in siblings] == ["0x" + node.hex() for node in proof]
    assert [row["hash"] for row in siblings] == [hashes[int(row["node"])] for row in siblings]
    amount = int(leaf["cumulative_amount"])
    assert ClaimTree.verify(worked.result.root, int(leaf["pool"]), leaf["account"], amount, proof)


def test_numbers_in_the_words_of_the_example_stand_in_its_blocks() -> None:
    example = SPEC[SPEC.index("## A worked example") :]
    blocks = "".join(text for _, text in read_blocks(example))
    words = re.sub(r"^```.*?^```$", "", example, flags=re.MULTILINE | re.DOTALL)
    numbers = re.findall(r"(?<![\w^.-])\d{3,}(?![\w-])", words)
    assert len(numbers) > 20
    assert [n for n in numbers if not re.search(rf"(?<!\d){n}(?!\d)", blocks)] == []


OPERATORS: Mapping[type[ast.AST], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


def evaluate(node: ast.expr) -> int:
    """An expression of integers and the operators of the page."""
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](evaluate(node.left), evaluate(node.right))
    assert isinstance(node, ast.Constant)
    assert isinstance(node.value, int)
    return node.value


def test_every_line_of_arithmetic_is_right() -> None:
    lines = [line for words, text in read_blocks(SPEC) if words == "arithmetic" for line in text.splitlines()]
    assert len(lines) > 30
    for line in lines:
        _, formula, result = (part.strip() for part in line.split("="))
        source = formula.replace("×", "*").replace("−", "-").replace("^", "**")
        assert evaluate(ast.parse(source, mode="eval").body) == int(result), line


def test_example_demand_is_what_scoring_reads(worked: Worked) -> None:
    history = worked.previous.state.filter(kind="demand")
    weights = history.select("endpoint", "service_tier", "hour", weight=pl.col("amount").cast(pl.Int64))
    known = scoring.demand_multipliers(weights, POLICY).filter(pl.col("hour").is_in([9, 10])).sort("hour")
    assert known["demand_bp"].to_list() == [16666, 6666]
    assert "= 16666" in SPEC
    assert "= 6666" in SPEC


# The tables of numbers


def table_rows(page: str, *header: str) -> list[list[str]]:
    """Cells of the Markdown table with these headings, without their back-quotes."""
    start = page.index("| " + " | ".join(header) + " |")
    rows = []
    for line in page[start:].splitlines()[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return rows


def test_every_number_of_the_policy_is_on_the_page() -> None:
    stated = {
        name: [int(n) for n in re.findall(r"\d+", value)]
        for name, value, _ in table_rows(SPEC, "setting", "value", "origin")
    }
    sections = POLICY.model_dump()
    del sections["endpoints"], sections["ruleset"]
    actual = {
        f"{section}.{name}": list(flatten(value))
        for section, numbers in sections.items()
        for name, value in numbers.items()
    }
    assert stated == actual


def flatten(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    else:
        for item in value:
            yield from flatten(item)


def test_the_page_and_the_policy_file_call_the_same_numbers_assumed() -> None:
    section, marked = "", {}
    for line in POLICY_FILE.read_text().splitlines():
        if match := re.match(r"\[(\w+)\]", line):
            section = match[1]
        elif (match := re.match(r"(\w+) = ", line)) and section:
            marked[f"{section}.{match[1]}"] = "assumed" if "assumed" in line else "given"
    stated = {name: origin for name, _, origin in table_rows(SPEC, "setting", "value", "origin")}
    assert {name: marked[name] for name in stated} == stated


def test_base_points_and_reference_fees_are_on_the_page() -> None:
    stated = {}
    for endpoint, tier, base, fee in table_rows(SPEC, "endpoint", "tier", "base, milli-points", "reference fee, e8"):
        for one in TIERS if tier == "every tier" else [tier]:
            stated[endpoint, one] = (int(base), int(fee))
    actual = {
        (endpoint, tier): (numbers.base_points[tier], numbers.reference_fee_e8[tier])
        for endpoint, numbers in POLICY.endpoints.items()
        for tier in TIERS
    }
    assert stated == actual
    assert f"It is {POLICY.ring_return_e8()} today" in SPEC


def test_every_reason_and_every_file_of_the_promise_is_on_the_page() -> None:
    reasons = [reason for _, _, reason, _ in table_rows(SPEC, "order", "class", "reason", "when")]
    assert list(dict.fromkeys(r for r in reasons if r)) == [*QUARANTINE_REASONS, *NOT_EARNING_REASONS]
    named = SPEC[SPEC.index("## Manifest") : SPEC.index("## A worked example")]
    for name in FILES:
        assert f"`{name.removesuffix('.parquet')}`" in named, name
    assert f"each of the {len(FILES)} other files" in named


# The runbook

RUNBOOK = (DOCS / "runbook.md").read_text()
ANSWERS = ("Means", "Money at risk", "Safe command", "Wake someone")
ASKED = {"complete", "quality", "volume", "conserve", "successor", "concentration", "funded", "reference"}
ASKED |= {"solvent", "chain state", "bundle"}


def read_entries() -> dict[str, str]:
    """Every third-level heading of the runbook and what stands under it."""
    parts = re.split(r"^#{2,3} (.+)$", RUNBOOK, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def find_gates() -> set[str]:
    """Names of gates that the code gives to findings."""
    sources = [path.read_text() for path in (ROOT / "rewards").rglob("*.py")]
    return {name for text in sources for name in re.findall(r"\bFinding\(\s*\"([a-z ]+)\"", text)}


def test_every_gate_has_an_entry() -> None:
    entries = read_entries()
    assert ASKED - {"bundle"} <= find_gates()
    for gate in ASKED | find_gates():
        assert gate in entries, f"docs/runbook.md has no entry for the gate {gate}"
        assert all(f"**{answer}**" in entries[gate] for answer in ANSWERS), gate


def find_exit_codes() -> set[int]:
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.RewardsError)]
    return {one.exit_code for one in kinds}


def test_every_exit_code_has_an_entry() -> None:
    entries = read_entries()
    for code in {0, *find_exit_codes()}:
        entry = entries[f"Exit code {code}"]
        assert all(f"**{answer}**" in entry for answer in ANSWERS), code


# Names and links


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *DOCS.rglob("*.md")]), ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        assert "://" not in target, target
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings}, target


def test_glossary_words_in_code_style_are_in_the_code() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "rewards").rglob("*.py"))
    files = {path.name for path in (ROOT / "rewards").rglob("*.py")}
    for phrase in re.findall(r"`([^`]+)`", (DOCS / "glossary.md").read_text()):
        for word in re.findall(r"[\w.-]+", phrase):
            assert word in files or re.search(rf"\b{re.escape(word)}\b", code), word


# The SQL of the README

README = (ROOT / "README.md").read_text()
QUERIES = [text for words, text in read_blocks(README) if words == "sql"]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The analysts' catalogue over two epochs of the sample."""
    data = tmp_path_factory.mktemp("readme")
    settings = RunSettings(ROOT / "data" / "sample", POLICY_FILE.parent, CALENDAR)
    assert len(list(run_epochs(Workspace(data), settings, [0, 1]))) == 2
    return data / "rewards.duckdb"


def test_the_readme_has_three_queries() -> None:
    assert len(QUERIES) == 3


@pytest.mark.parametrize("query", QUERIES, ids=[str(i + 1) for i in range(len(QUERIES))])
def test_sql_of_the_readme_answers(catalogue: Path, query: str) -> None:
    with duckdb.connect(str(catalogue), read_only=True) as connection:
        answer = connection.sql(query).pl()
    assert answer.height > 0
    assert set(answer.get_column("epoch").to_list()) == {0, 1}
    if "closes" in answer.columns:
        assert answer["closes"].all()


def test_the_readme_names_every_table_of_the_catalogue(catalogue: Path) -> None:
    with duckdb.connect(str(catalogue), read_only=True) as connection:
        tables = {str(row[0]) for row in connection.execute("SHOW TABLES").fetchall()}
    analysts = README[README.index("## For analysts") : README.index("## For operators")]
    assert {name for name in tables if f"`{name}`" not in analysts} == set()


def test_the_readme_names_every_exit_code() -> None:
    listed = {int(code) for code, _ in table_rows(README, "exit code", "means")}
    assert listed == {0, *find_exit_codes()}


def test_commands_of_the_pages_exist_with_their_options() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    written = [
        line for page in (README, RUNBOOK) for line in re.findall(r"(?<=^    )rewards [^#\n]+", page, re.MULTILINE)
    ]
    written += re.findall(r"(?<=`)rewards [^`<]+", README + RUNBOOK)
    assert len(written) > 15
    for line in written:
        command = known[line.split()[1]]
        if hasattr(command, "commands"):  # a group: its command is the next word
            command = command.commands[line.split()[2]]
        options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        assert set(re.findall(r"--[a-z-]+", line)) <= options, line


def test_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^    make ([a-z-]+)", README, re.MULTILINE)) <= targets
