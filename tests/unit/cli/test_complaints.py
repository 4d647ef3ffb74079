"""What a failure becomes: an exit code and one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import click
import pytest

from semsearch import errors
from semsearch.cli import complaints, main


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


CODES = [
    (errors.InvalidInput("a"), 2),
    (errors.FilterError("$.year", "a"), 2),
    (errors.IngestError("a", {"1": "b"}), 2),
    (click.UsageError("a"), 2),
    (errors.NotFound("a"), 3),
    (errors.Conflict("a"), 4),
    (errors.DatabaseUnavailable("a"), 5),
    (errors.SchemaMismatch("a"), 5),
    (errors.ModelUnavailable("a"), 5),
    (errors.ProviderBusy("a"), 5),
    (errors.UnusableEmbedding("a"), 5),
    (errors.SemsearchError("a"), 1),
    (ZeroDivisionError("a"), 1),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: type(value).__name__)
def test_every_error_has_its_exit_code_and_one_line(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complaints.run(raising(error)) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1


def test_an_error_of_several_lines_is_shown_on_one(capsys: pytest.CaptureFixture[str]) -> None:
    complaints.run(raising(errors.NotFound("one\n  two")))
    assert capsys.readouterr().err == "error: one two\n"


def test_an_unforeseen_error_names_itself_and_how_to_see_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints.run(raising(KeyError("x")))
    shown = capsys.readouterr().err
    assert "KeyError: 'x'" in shown
    assert "SEMSEARCH_DEBUG=1" in shown
    assert "Traceback" not in shown
    monkeypatch.setenv("SEMSEARCH_DEBUG", "1")
    complaints.run(raising(KeyError("x")))
    assert "Traceback" in capsys.readouterr().err


def test_a_command_may_choose_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert complaints.run(lambda: 2) == 2
    assert complaints.run(lambda: None) == 0


@pytest.mark.parametrize(
    ("interrupt", "shown"), [(KeyboardInterrupt(), "interrupted\n"), (KeyboardInterrupt("go on"), "go on\n")]
)
def test_ctrl_c_ends_with_130_and_a_line(
    interrupt: KeyboardInterrupt, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    abort = click.Abort()
    abort.__cause__ = interrupt  # as click raises it
    assert complaints.run(raising(abort)) == 130
    assert capsys.readouterr().err == shown


def test_a_misspelt_command_suggests_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serch", "handbook", "x"]) == 2
    assert capsys.readouterr().err == "error: there is no command 'serch'. Did you mean 'search'?\n"


def test_a_missing_argument_points_to_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search"]) == 2
    assert capsys.readouterr().err == "error: Missing argument 'NAME'. See `semsearch search --help`.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "a", "--field", "year"],
        ["create", "a", "--field", "year:number"],
        ["create", "a", "--distance", "euclid"],
        ["search", "a", "b", "--filter", "{"],
        ["search", "a", "b", "--filter", "[]"],
        ["search", "a", "b", "--top-k", "0"],
        ["search", "a", "--embedding", "[1, oops]"],
        ["search", "a", "--embedding", "[[1], [2]]"],
        ["search", "a", "--embedding", "no-such-file.npy"],
        ["get", "a"],
        ["delete", "a"],
        ["delete", "a", "1", "--all"],
    ],
    ids=" ".join,
)
def test_bad_input_is_refused_before_a_database_is_opened(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "semsearch", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_an_encoding_that_lacks_a_character_is_no_error() -> None:
    script = (
        "from semsearch.cli import complaints, output\ncomplaints.keep_streams_writable()\noutput.console().print('…')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert shown.stdout == b"?\n"
