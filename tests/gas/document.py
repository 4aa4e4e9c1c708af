"""contracts/GAS.md: its tables stand between markers and are written from the record."""

import re
from collections.abc import Iterator, Sequence

from tests.gas.bench import Figures
from tests.gas.distributors import PUBLISHED, STYLE
from tests.gas.record import CODE_LIMIT, Record, average, list_goals
from tests.gas.station import CONTRACTS

DOCUMENT = CONTRACTS / "GAS.md"


def render(text: str, record: Record) -> str:
    """The document with what stands between its markers written anew."""
    sections = dict(_write_sections(record))
    for name, body in sections.items():
        pattern = re.compile(rf"(<!-- begin {re.escape(name)} -->\n).*?(<!-- end {re.escape(name)} -->)", re.DOTALL)
        text, count = pattern.subn(lambda match, body=body: match[1] + body + match[2], text)  # type: ignore[misc]
        assert count == 1, f"{DOCUMENT.name} has {count} places for {name}"
    return text


def _write_sections(record: Record) -> Iterator[tuple[str, str]]:
    figures = record.figures
    goals = [
        (g.what, g.show(g.reached), f"≤ {g.show(g.limit)}", other.show(other.reached) if other.reached < 2 else "")
        for g, other in zip(list_goals(figures), list_goals(figures, PUBLISHED), strict=True)
    ]
    yield "goals", _write_table(("", "reached", "goal", "beside Uniswap's own bytecode"), goals)
    claims = [name for name in figures if "claim" in name and not name.startswith(("batch", "largest", "thirty"))]
    yield "claims", _write_ratios(figures, claims)
    yield "distributors", _write_ratios(figures, [name for name in figures if "word" in name])
    nights = [name for name in figures if "thirty nights" in name]
    spreads = [(name, *spread(figures, name)) for name in nights]
    yield "nights", _write_table(("gas for thirty nights", "average", "lowest", "highest"), spreads)
    yield "batches", _write_batches(record)

    told = {*claims, *nights, *record.batch_sizes}
    rest = [n for n in figures if n not in told and not n.startswith("deploy ") and "word" not in n]
    rows = [(name, *spread(figures, name), str(len(figures[name]))) for name in rest]
    yield "rest", _write_table(("gas", "average", "lowest", "highest", "times"), rows)
    codes = [
        (name, f"{size:,}", f"{100 * size / CODE_LIMIT:.1f} %", f"{figures[f'deploy {name}'][0]:,}")
        for name, size in record.sizes.items()
    ]
    yield "code", _write_table(("contract", "bytes", f"of {CODE_LIMIT:,}", "gas to deploy"), codes)
    for name, lines in record.accounts.items():
        total = sum(line.gas for line in lines)
        body = [(line.part, line.what, f"{line.gas:,}", f"{100 * line.gas / total:.1f} %") for line in lines]
        body.append(("", "**gasUsed**", f"**{total:,}**", ""))
        yield f"account of {name}", _write_table(("where", "what", "gas", "share"), body)


def _write_ratios(figures: Figures, names: Sequence[str]) -> str:
    base = average(figures, f"{STYLE}: new word, new holder")
    rows = [(name, *spread(figures, name), f"{float(average(figures, name) / base):.3f}") for name in names]
    return _write_table(("gas", "average", "lowest", "highest", f"÷ {round(base):,}"), rows)


def _write_batches(record: Record) -> str:
    base = average(record.figures, f"{STYLE}: new word, new holder")
    rows = []
    for name, size in record.batch_sizes.items():
        gas = average(record.figures, name)
        each = f"{round(gas / size):,}", f"{float(gas / size / base):.3f}"
        rows.append((name, f"{size}", f"{round(gas):,}", *(each if "claims" in name else (each[0], ""))))
    return _write_table(("batch", "items", "gas", "gas an item", f"÷ {round(base):,}"), rows)


def spread(figures: Figures, name: str) -> tuple[str, str, str]:
    """Average, lowest and highest, for people."""
    each = figures[name]
    return f"{round(average(figures, name)):,}", f"{min(each):,}", f"{max(each):,}"


def _write_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numbers = [all(re.fullmatch(r"[≤/\d.,*% ]*", row[i]) for row in rows) for i in range(len(head))]
    rule = ["---:" if number else "---" for number in numbers]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))
