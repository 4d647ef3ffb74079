"""What is shown while work is going on."""

from __future__ import annotations

import pytest

from semsearch.cli import progress
from semsearch.road import Progress


@pytest.mark.parametrize(
    ("given", "rate", "shown"),
    [
        # at 50 a second the other 1,500 take 30 s
        (Progress("ingest", 500, 2000), 50.0, "ingesting: 500/2,000 documents, 50/s, 30 s left"),
        (Progress("ingest", 500, None), 50.0, "ingesting: 500 documents, 50/s"),
        (Progress("ingest", 0, 2000), None, "ingesting: 0/2,000 documents"),
        (Progress("index", 10, 40), 2.0, "building the index: 10/40 chunks, 2.0/s, 15 s left"),
    ],
)
def test_a_line_has_count_rate_and_time_left(given: Progress, rate: float | None, shown: str) -> None:
    assert progress.line(given, rate) == shown


def test_where_there_is_no_terminal_a_line_comes_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.shown() as on_progress:
        for second in range(30):
            now = 100.0 + second
            on_progress(Progress("ingest", second, 30))
    printed = capsys.readouterr()
    assert printed.out == ""
    # at 10 and 20 seconds, one document a second
    assert printed.err.splitlines() == [
        "ingesting: 10/30 documents, 1.0/s, 20 s left",
        "ingesting: 20/30 documents, 1.0/s, 10 s left",
    ]


def test_ctrl_c_while_ingesting_says_that_nothing_is_lost() -> None:
    with pytest.raises(KeyboardInterrupt, match="what was put is kept"), progress.shown():
        raise KeyboardInterrupt


def test_a_terminal_shows_a_bar_for_each_stage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with progress.shown() as on_progress:
        on_progress(Progress("ingest", 5, 10))
        on_progress(Progress("ingest", 10, 10))
        on_progress(Progress("index", 1, 2))
    printed = capsys.readouterr().err
    assert "building the index" in printed
    assert "1/2" in printed
