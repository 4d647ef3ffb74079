"""The process that parses: its limits, its death, and what this process sees of it."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from semsearch.sources import parse, sandbox
from semsearch.sources.sandbox import Sandbox
from semsearch.sources.source import Unreadable

File = Callable[[bytes], BinaryIO]


@pytest.fixture
def file() -> Iterator[Callable[[bytes], BinaryIO]]:
    """Makes an open file of bytes."""
    with ExitStack() as stack:

        def file(content: bytes) -> BinaryIO:
            stream = stack.enter_context(tempfile.TemporaryFile())
            stream.write(content)
            stream.seek(0)
            return cast(BinaryIO, stream)

        yield file


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A list to put the Python source of another worker in."""
    source: list[str] = []
    monkeypatch.setattr(sandbox, "command", lambda *limits: [sys.executable, "-c", source[0]])
    yield source


def test_one_process_parses_file_after_file(file: File) -> None:
    with Sandbox() as box:
        assert box.parse("html", file(b"<p>one")).text == "one"
        first = box._process
        assert box.parse("html", file(b"<title>T</title><p>two")) == ("two", "T", "markdown")
        assert box._process is first is not None
    assert first.poll() is not None


def test_a_file_that_takes_too_much_processor_time_is_given_up_and_the_next_is_parsed(file: File) -> None:
    """Lexbor takes time quadratic in the depth: 40,000 levels a second and a half, a million a quarter of an hour."""
    with Sandbox(processor_seconds=1) as box:
        with pytest.raises(Unreadable, match="too long"):
            box.parse("html", file(b"<div>" * 1_000_000))
        assert box.parse("html", file(b"<p>next")).text == "next"


def test_a_file_that_takes_too_long_is_given_up_and_the_next_is_parsed(file: File) -> None:
    with Sandbox(wall_seconds=0.3) as box, pytest.raises(Unreadable, match="too long"):
        box.parse("html", file(b"<div>" * 1_000_000))


def test_a_file_that_takes_too_much_memory_is_given_up_and_the_next_is_parsed(file: File) -> None:
    with Sandbox(memory=100_000_000) as box:
        with pytest.raises(Unreadable, match=r"memory|broken html"):
            box.parse("html", file(b"<p>x" * 10_000_000))
        assert box.parse("html", file(b"<p>next")).text == "next"


def test_a_text_beyond_the_limit_is_given_up(file: File) -> None:
    with Sandbox() as box, pytest.raises(Unreadable, match="more than 20 MB of text"):
        box.parse("html", file(b"x" * 20_000_001))


def test_a_file_beyond_the_limit_is_not_even_sent(file: File) -> None:
    stream = file(b"")
    os.truncate(stream.fileno(), 100_000_001)
    with Sandbox() as box:
        with pytest.raises(Unreadable, match="larger than 100 MB"):
            box.parse("pdf", stream)
        assert box._process is None


def test_a_file_that_shrinks_while_it_is_sent_is_broken(file: File) -> None:
    stream = file(b"%PDF-1.4")
    stream.read(4)  # as if the rest had gone when its size was already told
    with Sandbox() as box:
        with pytest.raises(Unreadable, match="broken PDF"):
            box.parse("pdf", stream)
        assert box.parse("html", file(b"<p>next")).text == "next"


@pytest.mark.parametrize(
    "answer",
    [
        "sys.exit(3)",
        "os.kill(os.getpid(), 11)",
        "print('rubbish', flush=True)",
        "print('[]', flush=True)",
        'print(\'{"size": "x", "title": null, "format": "text"}\', flush=True)',
        'print(\'{"size": 5, "title": null, "format": "text"}\', flush=True); os.close(1); sys.stdin.read()',
        'print(\'{"size": 0, "title": null, "format": "exe"}\', flush=True)',
        "print('x' * 100_000, flush=True)",
        "os.close(0); sys.exit()",
    ],
)
def test_a_process_that_dies_or_talks_rubbish_costs_only_its_file(worker: list[str], answer: str, file: File) -> None:
    worker.append(f"import os, sys\nsys.stdin.readline()\n{answer}\n")
    with Sandbox(wall_seconds=20) as box:
        with pytest.raises(Unreadable, match="crashes its parser"):
            box.parse("html", file(b"short"))
        assert box._process is None


def test_a_process_that_dies_while_it_is_fed_costs_only_its_file(worker: list[str], file: File) -> None:
    worker.append("import sys\nsys.stdin.readline()")
    with Sandbox() as box, pytest.raises(Unreadable, match="crashes its parser"):
        box.parse("html", file(b"x" * 10_000_000))


def test_a_process_that_never_answers_is_killed(worker: list[str], file: File) -> None:
    worker.append("import time\ntime.sleep(1000)")
    with Sandbox(wall_seconds=0.2) as box:
        with pytest.raises(Unreadable, match="too long"):
            box.parse("html", file(b"x" * 1_000_000))
        assert box._process is None


def test_no_secret_is_in_its_environment(worker: list[str], monkeypatch: pytest.MonkeyPatch, file: File) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    monkeypatch.setenv("PGPASSWORD", "canary")
    worker.append(
        "import json, os, sys\nsys.stdin.readline()\ntext = json.dumps(dict(os.environ))\n"
        "print(json.dumps({'size': len(text), 'title': None, 'format': 'text'}))\nprint(text, end='', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with Sandbox() as box:
        environment = json.loads(box.parse("html", file(b"")).text)
    assert "canary" not in environment.values()


def test_no_module_of_the_current_folder_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: File) -> None:
    (tmp_path / "selectolax.py").write_text("open('canary', 'w')")
    monkeypatch.chdir(tmp_path)
    with Sandbox() as box:
        assert box.parse("html", file(b"<p>x")).text == "x"
    assert not (tmp_path / "canary").exists()


def answered(kind: str, content: bytes) -> tuple[bool, bytes]:
    answers = io.BytesIO()
    request = {"kind": kind, "size": len(content), "encoding": None}
    return parse.answer(request, io.BytesIO(content), answers), answers.getvalue()


def test_the_answer_is_a_line_of_json_and_the_text() -> None:
    fit, answer = answered("html", "<title>T</title><p>größe".encode())
    head, _, body = answer.partition(b"\n")
    assert fit
    assert json.loads(head) == {"size": 7, "title": "T", "format": "markdown"}  # ö and ß are two bytes each
    assert body == "größe".encode()


def test_what_a_parser_raises_becomes_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from semsearch.sources import html

    assert answered("docx", b"")[1] == b'{"error": "is a broken docx, or not a docx"}\n'
    monkeypatch.setattr(html, "parse", lambda data, encoding: 1 / 0)
    assert answered("html", b"")[1] == b'{"error": "is a broken html file (ZeroDivisionError)"}\n'


def test_a_process_that_ran_out_of_memory_parses_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    from semsearch.sources import html

    def hungry(data: bytes, encoding: str | None) -> None:
        raise MemoryError

    monkeypatch.setattr(html, "parse", hungry)
    fit, answer = answered("html", b"")
    assert not fit
    assert json.loads(answer)["unfit"] is True
