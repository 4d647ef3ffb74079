"""Hits as a person sees them: readable at any width, harmless to the terminal."""

from __future__ import annotations

import pytest

from semsearch.cli import hits, output
from semsearch.records import Hit, Neighbour


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


def shown(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *given: Hit,
    columns: int = 40,
    by_document: bool = False,
) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    hits.print_hits(given, by_document=by_document)
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


def test_metadata_are_written_as_in_a_filter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = {"draft": True, "year": 2020, "tags": ["a", 1, False], "note": "None", "empty": None, "in": {"é": [1]}}
    lines = shown(capsys, monkeypatch, a_hit(metadata=metadata), columns=100).splitlines()
    assert lines[3].strip() == 'draft: true · year: 2020 · tags: a, 1, false · note: None · in: {"é": [1]}'


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


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "0.2500"),
        ({"score": 1.5}, "score 1.5000 · distance 0.2500"),
        ({"score": 1.5, "distance": None}, "score 1.5000"),
    ],
)
def test_a_score_is_called_so(
    changes: dict[str, object], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    title = shown(capsys, monkeypatch, a_hit(**changes), columns=60).splitlines()[0]
    assert title.removeprefix(" 1  a1").strip() == says


def test_hits_of_a_document_stand_under_it_and_share_its_rank_heading_and_metadata(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [a_hit(ordinal=2, distance=0.1, text="best"), a_hit(ordinal=0, distance=0.2, text="next")]
    lines = shown(capsys, monkeypatch, *given, a_hit(document_id="b1", text="other"), by_document=True).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "1 a1 #2 0.1000",
        "Handbook > Passwords",
        "best",
        "#0 0.2000",
        "next",
        "lang: en",
        "",
        "2 b1 0.2500",
        "Handbook > Passwords",
        "other",
        "lang: en",
        "",
    ]


def test_neighbours_stand_around_the_text_without_what_they_repeat(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the document is "one two three four five six seven", its chunks overlap by a word
    given = a_hit(
        text="three four five",
        start=8,
        end=23,
        before=(Neighbour(0, 0, 7, "", "one two"), Neighbour(1, 4, 13, "", "two three")),
        after=(Neighbour(3, 19, 27, "", "five six"), Neighbour(4, 24, 33, "", "six seven")),
        heading="",
        metadata={},
    )
    lines = shown(capsys, monkeypatch, given).splitlines()
    assert [line.strip() for line in lines[1:4]] == ["one two", "three four five", "six seven"]


def test_of_long_neighbours_what_is_next_to_the_hit_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = " ".join(f"w{number}" for number in range(500))
    before, after = Neighbour(0, 0, len(words), "", words), Neighbour(2, 9000, 9000 + len(words), "", words)
    given = a_hit(start=8000, end=8006, before=(before,), after=(after,), heading="", metadata={})
    lines = [line.strip() for line in shown(capsys, monkeypatch, given).splitlines()[1:-1]]
    assert len(lines) == 2 * hits.NEIGHBOUR_LINES + 1
    above, below = lines[: hits.NEIGHBOUR_LINES], lines[hits.NEIGHBOUR_LINES + 1 :]
    assert above[0].startswith("…")
    assert above[-1].endswith("w499")
    assert below[0].startswith("w0 ")
    assert below[-1].endswith("…")
