"""`semsearch demo`: the whole of it on text that every machine has, the documentation of Python itself."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import connection, hits, output, progress, report
from semsearch.cli.creation import DEFAULT_MODEL
from semsearch.errors import NotFound

if TYPE_CHECKING:
    from semsearch.collection import Collection
    from semsearch.database import Database

NAME = "stdlib"
FIELDS = {"module": "text", "kind": "text"}
TOP_K = 3
QUESTIONS: tuple[tuple[str, dict[str, Any] | None], ...] = (
    ("read a CSV file into dictionaries", None),
    ("start a program and capture its output", None),
    ("a temporary directory that cleans itself up", None),
    ("compare two versions of a text line by line", None),
    ("wait for several tasks to finish", {"kind": "function"}),
)

# At the margin, so that every line can be pasted into a shell as it stands.
WHAT_NEXT = """\
What to type next:

# ask something of your own
{program} search stdlib "how do I measure the time a function takes?"

# the same in SQL: the classes nearest to csv.DictReader
{program} psql -- -c "
  SELECT document_id, module FROM collections.stdlib WHERE kind = 'class'
  ORDER BY embedding <=> (SELECT embedding FROM collections.stdlib
                          WHERE document_id = 'csv.DictReader' AND ordinal = 0)
  LIMIT 5"

# the same in Python
{python} -c "
import semsearch
with semsearch.connect() as db:
    hits = db.collection('stdlib').search('round a number', top_k=3)
for hit in hits:
    print(hit.distance, hit.document_id)"

# your own text
{program} create handbook
{program} ingest handbook FOLDER
{program} search handbook "how do I reset my password?"

# in a browser, as you type: http://127.0.0.1:8000 until Ctrl-C
{program} serve
"""


@click.command()
def command() -> None:
    """See it work on the docs of Python itself.

    It ingests the docstrings of the standard library into a collection named stdlib and asks a few questions in plain
    English. A second run is quick, for nothing unchanged is embedded again.

    \b
    Examples:
      semsearch demo
      semsearch drop stdlib --yes                                  and it is as if it had never been
    """
    began = time.monotonic()
    with connection.database() as database:
        collection = _ingest(database)
        for question, condition in QUESTIONS:
            _ask(collection, question, condition)
    output.console().print(f"All of this took {time.monotonic() - began:.1f} seconds.\n", style="dim")
    click.echo(what_next(program()))


def _ingest(database: Database) -> Collection:
    from semsearch import sources

    click.echo("Reading the docstrings of Python's standard library ...")
    with progress.shown() as on_progress:
        collection = _collection(database)
        done = collection.ingest(sources.standard_library(), prune=True, on_progress=on_progress)
    report.print_report(NAME, done)
    click.echo()
    return collection


def _collection(database: Database) -> Collection:
    try:
        return database.collection(NAME)
    except NotFound:
        return database.create_collection(NAME, model=DEFAULT_MODEL, fields=FIELDS)


def _ask(collection: Collection, question: str, condition: dict[str, Any] | None) -> None:
    from rich.text import Text

    console = output.console()
    with progress.waiting("searching"):
        found = collection.search(question, top_k=TOP_K, filter=condition)
    title = Text(f" {question} ", style="bold reverse")
    if condition:
        title.append(f"  only {json.dumps(condition)}", style="not bold not reverse dim")
    console.print(title)
    console.print()
    hits.print_hits(found)


def program() -> str:
    """How this program was called, so that what we print works as typed."""
    script = Path(sys.argv[0])
    if script.name == "__main__.py":
        return f"{shlex.quote(_from_here(sys.executable))} -m semsearch"
    if (found := shutil.which(script.name)) and Path(found).samefile(script):
        return script.name
    return shlex.quote(sys.argv[0])


def what_next(program: str) -> str:
    """Commands to copy, for the shell, for psql and for Python."""
    return WHAT_NEXT.format(program=program, python=shlex.quote(_from_here(sys.executable)))


def _from_here(path: str) -> str:
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path
