"""The bench compares like with like: the same roots, fair turns, ratios of pairs. No time is asserted."""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from rich.progress import Progress

from rewards.merkle import ClaimTree
from tests.bench import child, tree
from tests.bench.__main__ import name_arguments, read_options
from tests.bench.figures import Figure, make_page
from tests.bench.growth import Point
from tests.bench.measure import BenchError, Meter, Run, Spread, alternate, check_same, ratios, spread
from tests.bench.plot import draw, name_size

LEAVES = (1, 2, 3, 5, 8, 100, 1500)


@pytest.fixture
def meter() -> Meter:
    return Meter(Progress(disable=True), 1)


def make_claims(folder: Path, leaves: int) -> tuple[Path, str]:
    """A folder of claims, and the root that ours gives them."""
    claims = folder / str(leaves)
    child.make_claims(claims, leaves, seed=7)
    return claims, "0x" + ClaimTree.build(pl.read_parquet(claims / "claims.parquet")).root.hex()


def answer(name: str, order: list[str]) -> Run:
    order.append(name)
    return Run({"seconds": 1.0}, 1.0)


@pytest.mark.parametrize("floor", tree.FLOORS, ids=lambda floor: floor.name)
def test_the_floor_in_c_gives_our_root(floor: tree.Floor, tmp_path: Path, meter: Meter) -> None:
    for leaves in LEAVES:
        claims, root = make_claims(tmp_path, leaves)
        run = tree.prepare_floor(floor, tmp_path, meter, claims)
        if run is None:
            pytest.skip("no C compiler")
        assert run().answer["root"] == root, leaves


def test_the_library_in_node_gives_our_root(contracts: Path, tmp_path: Path, meter: Meter) -> None:
    claims, root = make_claims(tmp_path, 100)
    assert tree.find_missing_node() is None
    assert tree.run_node(meter, claims).answer["root"] == root


def test_ours_and_pymerkle_answer(tmp_path: Path, meter: Meter) -> None:
    claims, root = make_claims(tmp_path, 100)
    assert child.build_tree(claims)["root"] == root
    assert child.prove(claims)["proofs"] == 100
    assert tree.run_pymerkle(meter, claims).answer["root"] != root


def test_contenders_take_turns_and_another_begins_each_time() -> None:
    order: list[str] = []
    contenders: dict[str, Callable[[], Run]] = {name: partial(answer, name, order) for name in "abc"}
    found = alternate(contenders, {"a": 3, "b": 3, "c": 1})
    assert "".join(order) == "abc" + "ba" + "ab"
    assert {name: len(some) for name, some in found.items()} == {"a": 3, "b": 3, "c": 1}


def test_a_ratio_is_the_median_of_the_ratios_of_pairs() -> None:
    assert ratios([1, 10, 3], [2, 40, 2]) == Spread(0.5, 0.25, 1.5, 3)
    assert ratios([1, 10], [4]) == Spread(0.25, 0.25, 0.25, 1)


def test_a_spread_holds_median_lowest_and_highest() -> None:
    values = [float(number) for number in range(9)]
    random.Random(1).shuffle(values)
    assert spread(values) == Spread(4.0, 0.0, 8.0, 9)


def test_different_answers_are_refused() -> None:
    check_same("the root", {"one": ["0x1", "0x1"], "other": ["0x1"]})
    with pytest.raises(BenchError, match=r"the root differs.*one: 0x1; other: 0x2"):
        check_same("the root", {"one": ["0x1"], "other": ["0x2"]})


def test_a_process_that_fails_is_named(meter: Meter) -> None:
    with pytest.raises(BenchError, match=r"proofs ended with 1: .*No such file"):
        meter.run_ours("proofs", "prove", "/nowhere")


@pytest.mark.parametrize(
    ("median", "unit", "goal", "shown", "met"),
    [
        (0.005, "ratio", 1 / 150, ("1/200", "≤ 1/150"), "met"),
        (0.01, "ratio", 1 / 150, ("1/100", "≤ 1/150"), "not met"),
        (2.5, "ratio", 3, ("2.50", "≤ 3.0"), "met"),
        (401, "MB", 400, ("401 MB", "≤ 400"), "not met"),
        (1.25, "s", None, ("1.250 s", ""), ""),
    ],
)
def test_a_figure_stands_beside_its_goal(
    median: float, unit: str, goal: float | None, shown: tuple[str, str], met: str
) -> None:
    figure = Figure("tree", "something", unit, Spread(median, median, median, 1), goal)
    assert figure.cells() == ("something", shown[0], "1", shown[1], met, "")


def test_what_was_not_measured_says_why() -> None:
    figure = Figure("tree", "in Node", "s", None, goal=1, note="no Node here")
    assert figure.cells() == ("in Node", "–", "", "≤ 1", "", "no Node here")


def test_plot_and_page_hold_every_curve_and_figure() -> None:
    points = [
        Point(curve, 10**power, Spread(10**power / 1e6, 10**power / 2e6, 10**power / 5e5, 3), Spread(9, 9, 9, 3))
        for curve in ("claim tree", "roll-up")
        for power in (4, 5, 7)
    ]
    drawn = ElementTree.fromstring(draw(points))
    assert len(drawn.findall("{*}circle")) == len(points)
    assert {"10k", "100k", "1M", "10M", "claim tree, 10 s", "roll-up, 10 s"} <= {
        t.text for t in drawn.findall("{*}text")
    }
    machine = {
        "cores": 2,
        "memory_gb": 8,
        "system": "S",
        "architecture": "A",
        "python": "3",
        "versions": {"polars": "2"},
    }
    document = {"date": "2026-01-07", "arguments": "--quick", "machine": machine}
    page = make_page(document, [Figure("tree", "ours", "s", spread([1, 2, 3]), 4)], {"tree": "Claim tree"}, "a.svg")
    assert "| ours | 2.000 (1.000–3.000) s | 3 | ≤ 4 | met |  |" in page
    assert "`make bench ARGS='--quick'`" in page


def test_sizes_are_named_as_people_write_them() -> None:
    assert [name_size(power) for power in (3, 4, 5, 6, 8)] == ["1k", "10k", "100k", "1M", "100M"]


def test_options_choose_parts_and_sizes() -> None:
    assert read_options(["--only", "rollup,tree"]).parts == ["tree", "rollup"]
    assert read_options([]).parts == ["tree", "rollup", "epoch", "growth", "stages"]
    assert read_options(["--large"]).rows_large == 100_000_000
    quick = read_options(["--quick", "--claims", "77"])
    assert (quick.claims, quick.rows) == (77, 200_000)
    assert name_arguments(["--quick", "--publish", "/some/where", "--large"]) == ["--quick", "--publish", "--large"]


@pytest.mark.parametrize("arguments", [["--only", "three"], ["--runs", "0"], ["--only", "tree", "--publish"]])
def test_options_that_cannot_be_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        read_options(arguments)
