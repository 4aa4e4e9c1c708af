"""Findings of a comparison: each with its severity, and a status that tells whether money is in question."""

import json

import pytest
import typer

from rewards.cli.epochs import print_findings
from rewards.errors import Finding, Severity

CRITICAL = Finding("reconcile", "a root that nobody knows", "none", "0x07")
WARNING = Finding("reconcile", "a retired root", "active", "0x01", refuses=False, severity=Severity.WARNING)
NOTE = Finding("reconcile", "not checked", "state", "none", refuses=False)


def test_severity_follows_from_what_refuses_unless_it_is_given() -> None:
    assert [f.severity for f in (CRITICAL, WARNING, NOTE)] == list(Severity)
    assert Finding("a", "b", "c", "d", refuses=False, severity=Severity.CRITICAL).severity is Severity.NOTE


def test_warnings_alone_are_told_and_agree(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings([WARNING, NOTE], False, "all agree")
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("! warning: reconcile: a retired root: expected active, observed 0x01")
    assert second.startswith("· note: reconcile: not checked") and last == "✓ all agree"
    print_findings([WARNING, NOTE], True, "all agree")
    document = json.loads(capsys.readouterr().out)
    assert document["agrees"] and [f["severity"] for f in document["findings"]] == ["warning", "note"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_critical_finding_ends_with_status_6(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    with pytest.raises(typer.Exit) as ended:
        print_findings([CRITICAL, WARNING], as_json, "all agree")
    assert ended.value.exit_code == 6
    said = capsys.readouterr()
    assert "1 critical finding(s); see docs/runbook.md#reconcile" in said.err
    if as_json:
        assert json.loads(said.out)["agrees"] is False
    else:
        assert said.out.splitlines()[0].startswith("✗ critical: ") and "all agree" not in said.out
