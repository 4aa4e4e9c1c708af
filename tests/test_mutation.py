"""The table and the answers of the mutation tests follow the code: what moves is noticed without a run of hours."""

import ast
from pathlib import Path

import pytest

from tests.mutation.records import read_answers
from tests.mutation.targets import GROUPS, ROOT, Mutant, draw


def test_every_file_and_test_of_the_table_is_there() -> None:
    for group in GROUPS:
        assert all((ROOT / file).is_file() for file in group.files)
        assert group.tests and all(path.is_file() for path in group.tests)


def test_every_test_that_the_table_names_is_there() -> None:
    named = {word for group in GROUPS for stage in group.stages for word in stage if "::" in word}
    for file, name in (word.split("[")[0].split("::") for word in named):
        assert f"def {name}(" in (ROOT / file).read_text(), name


def test_every_answer_is_about_a_statement_of_today() -> None:
    files = {file for group in GROUPS for file in group.files}
    for file, _, original, mutated in read_answers():
        assert file in files
        assert original in ast.unparse(ast.parse((ROOT / file).read_text()))
        assert original != mutated


def test_an_answer_that_says_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mutants.json"
    path.write_text('[{"file": "a.py", "function": "f", "original": "1", "mutated": "2", "answer": " "}]')
    with pytest.raises(ValueError, match=r"empty answer: a\.py"):
        read_answers(path)


def test_a_larger_sample_holds_the_smaller() -> None:
    mutants = [Mutant("a.py", line, "f", str(line), "pass", "", "") for line in range(30)]
    samples = [list(draw(mutants, most, 1)) for most in (5, 12, None)]
    assert [len(sample) for sample in samples] == [5, 12, 30]
    assert samples[0] == samples[1][:5] and samples[1] == samples[2][:12]
    assert samples[0] != list(draw(mutants, 5, 2))
