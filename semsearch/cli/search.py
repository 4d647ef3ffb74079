"""`semsearch search`: the hits nearest to a question, an embedding or a document."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import answers, connection, options, progress, search_options
from semsearch.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from semsearch.request import Options


@click.command(cls=search_options.Command)
@options.name_argument
@click.argument("question", nargs=-1)
@click.option("--document-id", metavar="ID", help="What is near this document.")
@click.option("--embedding", metavar="FILE|JSON|-", help="A .npy or JSON file, a JSON list, or - (JSON).")
@click.option("--each", metavar="FILE|-", help="Every line of a file, or of standard input.")
@search_options.of_questions
@search_options.common
def command(
    name: str,
    question: tuple[str, ...],
    document_id: str | None,
    embedding: str | None,
    each: str | None,
    sql: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Find what is nearest in meaning to a question.

    The smaller the distance, the nearer; of scores, larger is better.

    \b
    Examples:
      semsearch search handbook "how do I reset my password?"
      semsearch search papers "sleep and memory" --top-k 3 --filter "year >= 2020"
      semsearch search papers "sleep and memory" --mode hybrid --highlight
      semsearch search docs sleep --boost '{"filter": {"new": true}, "weight": 1}'
      semsearch search papers --document-id 10.1000/182 --json
      semsearch search papers --each questions.txt --json > answers.jsonl

    A filter is JSON, too: '{"year": {"$gte": 2020}}'.
    """
    asked, show = search_options.given(values), answers.Show.of(values, sql=sql, as_json=as_json)
    query = " ".join(question) or None
    if each is not None:
        if query or document_id or embedding or values["after"]:
            raise InvalidInput("--each asks the lines of a file: leave out the question, and --after.")
        _ask_each(name, each, asked, show)
        return
    vector = None if embedding is None else read_embedding(embedding)
    with connection.collection(name) as collection, progress.waiting("searching"):
        found = collection.search(query, embedding=vector, document_id=document_id, **asked)
    answers.print_answer(found, show)


def _ask_each(name: str, where: str, asked: Options, show: answers.Show) -> None:
    with connection.collection(name) as collection:
        for queries in _batches(_lines(where)):
            with progress.waiting("searching"):
                every = collection.search_many(queries, **asked)
            for query, found in zip(queries, every, strict=True):
                answers.print_answer(found, show, query)


def _lines(where: str) -> list[str]:
    try:
        text = sys.stdin.read() if where == "-" else Path(where).read_text("utf-8")
    except FileNotFoundError:
        raise NotFound(f"file '{where}' does not exist.") from None
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"no questions could be read from '{where}': {error}.") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _batches(lines: list[str]) -> Iterator[list[str]]:
    """As many as the model is given at once; their answers are printed before the next are asked."""
    from semsearch.batching import LARGEST

    for start in range(0, len(lines), LARGEST):
        yield lines[start : start + LARGEST]


def read_embedding(where: str) -> npt.NDArray[np.float32]:
    """An embedding from a .npy file, a JSON file, a JSON list as it stands, or JSON on standard input (`-`)."""
    import json

    import numpy as np

    try:
        if where.endswith(".npy"):
            values = np.load(where, allow_pickle=False)
        elif where == "-":
            values = json.load(sys.stdin)
        else:
            values = json.loads(where if where.lstrip().startswith("[") else Path(where).read_text("utf-8"))
        array = np.asarray(values, dtype=np.float32)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"no embedding could be read from '{where}': {error}.") from None
    if array.ndim != 1:
        raise InvalidInput(f"--embedding: one list of numbers is wanted, not an array of shape {array.shape}.")
    return array
