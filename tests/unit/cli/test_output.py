"""What is printed: for people readable, for programs parseable, for terminals harmless."""

from __future__ import annotations

import json

import numpy as np
import pytest

from semsearch.cli import output, report
from semsearch.records import Neighbour
from semsearch.road import Report
from semsearch.sources import Broken


def test_json_is_one_object_also_with_records_and_arrays_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"chunk": Neighbour(3, 0, 6, "", "a text"), "array": np.ones(2), "text": "é\n\u2028"})
    printed = capsys.readouterr().out
    assert json.loads(printed)["chunk"]["ordinal"] == 3
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
