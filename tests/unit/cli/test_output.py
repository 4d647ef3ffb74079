"""What is printed: for people readable, for programs parseable, for terminals harmless."""

from __future__ import annotations

import json

import numpy as np
import pytest

from semsearch.cli import hits, output, report
from semsearch.records import Hit, Hits
from semsearch.road import Report
from semsearch.sources import Broken


def a_hit(**changes: object) -> Hit:
    values = {
        "distance": 0.25,
        "document_id": "a1",
        "ordinal": 0,
        "text": "a text",
        "metadata": {"lang": "en"},
        "heading": "Handbook > Passwords",
        "start": 0,
        "end": 6,
    }
    return Hit(**{**values, **changes})  # type: ignore[arg-type]


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *given: Hit, columns: int = 40) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    hits.print_hits(Hits(given, "exact", "SELECT 1"))
    return capsys.readouterr().out


def test_a_hit_shows_rank_document_distance_heading_text_and_metadata(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 40 columns: the title fills them, everything else is indented by four
    assert [line.rstrip() for line in shown(capsys, monkeypatch, a_hit(), columns=40).splitlines()] == [
        " 1  a1                            0.2500",
        "    Handbook > Passwords",
        "    a text",
        "    lang: en",
        "",
    ]


def test_a_long_text_is_wrapped_and_ends_with_an_ellipsis(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(capsys, monkeypatch, a_hit(text="word " * 1000, heading="", metadata={}))
    lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
    assert len(lines) == hits.TEXT_LINES
    assert lines[-1].endswith("…")
    assert not lines[0].endswith("…")
    assert max(map(len, text.splitlines())) <= 40


def test_a_later_chunk_shows_its_ordinal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a1 #3" in shown(capsys, monkeypatch, a_hit(ordinal=3))


@pytest.mark.parametrize("text", ["\x1b[31mred", "\x9b31mred", "[red]red", ":smile:", "a\x07\x08b", "\u202egnp.exe"])
def test_a_text_cannot_command_the_terminal(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shown(capsys, monkeypatch, a_hit(text=text, document_id=text, heading=f"{text} >", metadata={text: text}))
    assert "\x1b[31m" not in plain
    assert not set("\x9b\x07\x08\u202e") & set(plain)
    assert plain.count(output.printable(text)) == 5  # id, heading, text, name and value of the metadata


def test_no_hits_are_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(capsys, monkeypatch) == "no hits\n"


def test_wide_characters_do_not_overflow_the_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(capsys, monkeypatch, a_hit(text="漢字" * 100, heading="", metadata={})).splitlines()
    assert max(len(line.strip()) for line in lines[1:]) <= 18  # 36 columns, two for each character


def test_hits_as_json_have_every_field() -> None:
    assert hits.as_json(Hits((a_hit(),), "ann", "SELECT 1")) == {
        "hits": [
            {
                "distance": 0.25,
                "document_id": "a1",
                "ordinal": 0,
                "text": "a text",
                "metadata": {"lang": "en"},
                "heading": "Handbook > Passwords",
                "start": 0,
                "end": 6,
            }
        ],
        "plan": "ann",
    }


def test_json_is_one_object_also_with_records_and_arrays_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"hit": a_hit(), "array": np.ones(2), "text": "é\n\u2028"})
    printed = capsys.readouterr().out
    assert json.loads(printed)["hit"]["document_id"] == "a1"
    assert json.loads(printed)["array"] == [1.0, 1.0]
    assert json.loads(printed)["text"] == "é\n\u2028"


def test_a_table_is_not_cut_where_it_is_piped(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("name", "documents"), [("x" * 300, 1234)])
    printed = capsys.readouterr().out
    assert "x" * 300 in printed
    assert "1,234" in printed


def test_fields_stand_one_below_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_fields([("name", "handbook"), ("documents", 1234), ("model", None)])
    assert capsys.readouterr().out == "name       handbook\ndocuments  1,234\nmodel      -\n"


def a_report() -> Report:
    return Report(
        added=1200,
        changed=3,
        unchanged=797,
        chunks=1300,
        embedded=1250,
        failed={"a1": "the text is empty"},
        broken=[Broken(f"docs/{number}.pdf", "not a PDF", None) for number in range(25)],
        seconds=4.0,
    )


def test_a_report_names_counts_speed_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    report.print_report("handbook", a_report())
    printed = capsys.readouterr().out.splitlines()
    # 1,200 + 3 + 797 documents in 4 s are 500 a second
    assert printed[0] == "handbook: 1,200 added, 3 changed, 797 unchanged, 0 deleted in 4.0 s, 500 documents/s"
    assert printed[1].strip() == "1,300 chunks, 1,250 embedded"
    assert printed[2] == "25 could not be read:"
    assert printed[3] == "  docs/0.pdf: not a PDF"
    assert printed[23] == "  and 5 more (--json lists them all)"  # 20 are shown
    assert printed[24:] == ["1 could not be embedded:", "  a1: the text is empty"]


def test_a_report_as_json_has_every_reason() -> None:
    answer = report.as_json("handbook", a_report())
    assert answer["failed"] == [{"id": "a1", "reason": "the text is empty"}]
    assert len(answer["broken"]) == 25
    assert answer["broken"][0] == {"where": "docs/0.pdf", "reason": "not a PDF", "id": None}


def test_code_in_a_text_keeps_its_lines() -> None:
    assert hits.reflow("An\nexample:\n\n>>> 1 + 1\n2\n\tindented\r\nYear: 2020\nLang: en") == (
        "An example:\n>>> 1 + 1\n2\n    indented\nYear: 2020\nLang: en"
    )
