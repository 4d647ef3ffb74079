"""The help of every command: a sentence, an example, and nothing heavy imported to show it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import get_args, get_type_hints

import click
import pytest

from semsearch.cli import commands, main

HEAVY = ("sqlalchemy", "numpy", "pydantic", "psycopg", "rich", "torch", "transformers", "openai")


def every_command(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from every_command(found, (*path, name))


COMMANDS = list(every_command(commands.semsearch))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_says_in_a_sentence_what_it_does_and_shows_an_example(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    sentence = shown.split("\n\n")[1].strip()
    assert sentence[0].isupper()
    assert "." in sentence
    assert "Example" in shown
    assert " ".join(("  semsearch", *path)) in shown


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    command: click.Command = commands.semsearch
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    unexplained = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert unexplained == []


def test_the_list_of_commands_cuts_no_sentence_short(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    assert "..." not in capsys.readouterr().out.split("Commands:")[1]


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: semsearch" in capsys.readouterr().out


def test_a_group_without_its_command_is_bad_input_and_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index"]) == 2
    assert "Usage: semsearch index" in capsys.readouterr().err


def test_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    import semsearch

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"semsearch {semsearch.__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from semsearch.cli import main; main(['--help']); main(['search', '--help']);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stderr == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_SEMSEARCH_COMPLETE" in capsys.readouterr().out


def test_completion_completes_commands_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    def complete(words: str) -> str:
        environment = {"_SEMSEARCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        command = [sys.executable, "-m", "semsearch"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert "plain,search" in complete("semsearch sea").split()
    assert "plain,--top-k" in complete("semsearch search --to").split()


def test_the_choices_are_those_of_the_program() -> None:
    from semsearch import database, fields, request, sources
    from semsearch.cli import create, creation, ingest, search_options

    assert get_args(fields.FieldType) == creation.FIELD_TYPES
    assert get_args(sources.Kind) == ingest.FORMATS
    assert get_args(request.Mode) == search_options.MODES
    assert get_args(request.Fusion) == search_options.FUSIONS
    assert get_args(get_type_hints(request.Options)["plan"]) == search_options.PLANS
    (distance,) = (option for option in create.command.params if option.name == "distance")
    assert isinstance(distance.type, click.Choice)
    assert tuple(distance.type.choices) == database.DISTANCES


def test_every_option_of_a_search_is_there() -> None:
    from semsearch import request
    from semsearch.cli import recommend, search

    every = set(get_type_hints(request.Options))
    asked = {"name", "question", "document_id", "embedding", "each"}
    examples = {"name", "like", "unlike", "like_text", "unlike_text"}
    assert {option.name for option in search.command.params} == every | asked | {"sql", "as_json"}
    reads_words = {"mode", "fusion", "weights", "depth", "rerank"}
    shown = {option.name for option in recommend.command.params}
    assert shown == (every - reads_words) | examples | {"sql", "as_json"}


@pytest.mark.parametrize("command", ["search", "recommend"])
def test_the_options_of_a_search_stand_under_headings(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([command, "--help"])
    shown = capsys.readouterr().out
    headings = ["Which hits:", "How they are found:", "In which order:", "What is shown:"]
    places = [shown.index(heading) for heading in headings]
    assert places == sorted(places)
    assert places[-1] < shown.index("--help") < len(shown)
    assert "Options:" not in shown
    assert shown.count("--filter FILTER") == 1
