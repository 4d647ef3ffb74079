"""What the demo tells people to type must work as typed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from semsearch.cli import demo


def test_the_command_is_named_as_it_was_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setattr(sys, "executable", "/a path/python")
    monkeypatch.setattr(sys, "argv", [".venv/bin/semsearch", "demo"])
    assert demo.program() == ".venv/bin/semsearch"
    monkeypatch.setattr(sys, "argv", ["/a path/semsearch", "demo"])
    assert demo.program() == "'/a path/semsearch'"
    monkeypatch.setattr(sys, "argv", ["/somewhere/semsearch/__main__.py", "demo"])
    assert demo.program() == "'/a path/python' -m semsearch"


def test_a_command_on_the_path_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "semsearch"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(script), "demo"])
    assert demo.program() == "semsearch"


def test_an_interpreter_below_the_current_folder_is_named_from_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    monkeypatch.setattr(sys, "argv", ["/somewhere/semsearch/__main__.py", "demo"])
    assert demo.program() == ".venv/bin/python -m semsearch"


def test_every_line_of_what_to_type_next_is_a_command_or_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/a path/python")
    shown = demo.what_next("'/a path/semsearch'")
    commands = [words for words in (shlex.split(part, comments=True) for part in shown.split("\n\n")[1:]) if words]
    assert len(commands) == 5
    assert all(words[0] in ("/a path/semsearch", "/a path/python") for words in commands)
    compile(commands[2][2], "python -c", "exec")
