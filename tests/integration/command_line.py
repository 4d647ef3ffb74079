"""Runs commands as the console script does, and reads what they print."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from semsearch.cli import main


@dataclass(frozen=True)
class Printed:
    out: str
    err: str


Cli = Callable[..., Printed]


def answer(done: Printed) -> dict[str, Any]:
    parsed = json.loads(done.out)
    assert isinstance(parsed, dict)
    return parsed


@pytest.fixture
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain output whatever terminal the tests are run from, and a database of this test's own."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", database_url)
    monkeypatch.setenv("SEMSEARCH_HOME", str(tmp_path / "home"))


@pytest.fixture
def cli(environment: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command as the console script does; nothing it prints may hold an escape sequence or a traceback."""

    def run(*arguments: str, code: int = 0, stdin: str = "") -> Printed:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        returned = main(arguments)
        printed = Printed(*capfd.readouterr())
        assert returned == code, printed.err
        assert "\x1b" not in printed.out + printed.err
        assert "Traceback" not in printed.err
        return printed

    return run
