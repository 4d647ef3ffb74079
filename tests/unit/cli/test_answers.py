"""What is said of an answer besides its hits, and what programs are told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from semsearch.cli import answers
from semsearch.records import Hit, Hits, Neighbour

BARE = {
    "distance": 0.25,
    "document_id": "a1",
    "ordinal": 0,
    "text": "a text",
    "metadata": {"lang": "en"},
    "heading": "Handbook > Passwords",
    "start": 0,
    "end": 6,
}


def a_hit(**changes: Any) -> Hit:
    return Hit(**(BARE | changes))


def summary(capsys: pytest.CaptureFixture[str], found: Hits, show: answers.Show | None = None) -> list[str]:
    answers.print_answer(found, show or answers.Show())
    return capsys.readouterr().out.splitlines()


def test_json_has_the_hits_and_how_they_were_found_and_nothing_that_was_not_asked_for() -> None:
    assert answers.as_json(Hits((a_hit(),), "ann", "SELECT 1", 12, True, "there")) == {
        "hits": [BARE],
        "plan": "ann",
        "seen": 12,
        "complete": True,
        "next": "there",
    }


def test_json_has_what_was_asked_for_alike_in_every_hit() -> None:
    beside = Neighbour(1, 6, 9, "", "more")
    found = Hits((a_hit(score=0.5, highlight=(0, 1), after=(beside,)), a_hit(score=0.4)), "exact", "", 2)
    first, second = answers.as_json(Hits(found.hits, "exact", "", explanation="because"))["hits"]
    assert set(first) == set(second) == {*BARE, "score", "highlight", "after"}
    assert first["after"] == ({"ordinal": 1, "start": 6, "end": 9, "heading": "", "text": "more"},)
    assert answers.as_json(Hits((), "exact", "", explanation="because"))["explanation"] == "because"


def test_of_several_answers_each_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    show = answers.Show(as_json=True, sql=True)
    for query in ("one", "two\n"):
        answers.print_answer(Hits((a_hit(),), "exact", "SELECT 1"), show, query)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["query"], each["sql"], len(each["hits"])) for each in printed] == [
        ("one", "SELECT 1", 1),
        ("two\n", "SELECT 1", 1),
    ]


def test_the_last_lines_say_how_the_hits_were_found_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    lines = summary(capsys, Hits((a_hit(), a_hit(ordinal=1)), "ann", "", 1200, True, "x" * 200))
    assert lines[-2] == "2 hits · plan ann · 1,200 chunks seen · complete"
    assert lines[-1] == f"next page: --after {'x' * 200}"


def test_hits_of_documents_are_counted_by_them(capsys: pytest.CaptureFixture[str]) -> None:
    found = Hits((a_hit(), a_hit(ordinal=1)), "exact", "", 1)
    lines = summary(capsys, found, answers.Show(by_document=True))
    assert lines[-1] == "2 hits in 1 document · plan exact · 1 chunk seen · complete"


def test_no_hits_are_said_with_what_was_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert summary(capsys, Hits((), "exact", "", 0)) == ["no hits", "plan exact · 0 chunks seen · complete"]


@pytest.mark.parametrize(("hurried", "why"), [(True, "the deadline came first"), (False, "very common")])
def test_what_is_not_complete_says_why(hurried: bool, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    (_, last) = summary(capsys, Hits((), "text", "", 5, complete=False), answers.Show(hurried=hurried))
    assert "not complete: " in last
    assert why in last


def test_an_explanation_goes_on_below_where_a_terminal_is_too_narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    explanation = f"plan: exact\n  ->  Sort  {'(cost=1..2) ' * 5}\n\nred: \x1b[31m"
    lines = summary(capsys, Hits((), "exact", "", explanation=explanation))
    assert lines[1] == "plan: exact"
    assert lines[2] == "  ->  Sort  (cost=1..2) (cost=1..2)"
    assert lines[3].startswith("        (cost=1..2)")
    assert "\x1b[31m" not in "".join(lines)
