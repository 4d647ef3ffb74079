"""The log of a worker: a line for each event, for people or for programs."""

from __future__ import annotations

import json
import logging

import pytest

from semsearch.cli import logs
from semsearch.worker.events import tell, unforeseen, warn


def test_as_text_fields_follow_the_event(capsys: pytest.CaptureFixture[str]) -> None:
    with logs.written("text"):
        tell("stored", collection="notes", documents=3)
        warn("blocked", collection="notes", reason='no "key"')
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "INFO stored collection=notes documents=3",
        'WARNING blocked collection=notes reason="no \\"key\\""',
    ]


def test_as_json_every_line_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    with logs.written("json"):
        tell("stored", collection="notes", documents=3)
        try:
            raise ValueError("two\nlines")
        except ValueError as error:
            unforeseen(error, collection="notes")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first.pop("ts").endswith("Z")
    assert first == {"level": "info", "event": "stored", "collection": "notes", "documents": 3}
    assert (second["level"], second["event"]) == ("error", "unforeseen")
    assert "ValueError: two\nlines" in second["traceback"]


def test_records_of_others_are_written_too_and_quiet_ones_only_when_something_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logs.written("text"):
        logging.getLogger("semsearch.store").info("The index waits for %s.", "somebody")
        logging.getLogger("httpx2").info("a request")
        logging.getLogger("httpx2").warning("a failure")
        logging.getLogger("mcp.server.streamable_http").info("Terminating session: None")
        logging.getLogger("semsearch.mcp.stdio").info("the client has gone")
    told = capsys.readouterr().err
    assert "INFO The index waits for somebody." in told
    assert "a request" not in told and "Terminating" not in told
    assert "INFO the client has gone" in told
    assert "WARNING a failure" in told


def test_afterwards_nothing_is_written_any_more(capsys: pytest.CaptureFixture[str]) -> None:
    level = logging.getLogger().level
    with logs.written("json"):
        pass
    tell("stored")
    assert capsys.readouterr().err == ""
    assert logging.getLogger().level == level
