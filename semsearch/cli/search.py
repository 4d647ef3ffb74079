"""`semsearch search`: the hits nearest to a question, an embedding or a document."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import connection, hits, options, output, progress
from semsearch.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@click.command()
@options.name_argument
@click.argument("question", nargs=-1)
@click.option("--top-k", type=click.IntRange(min=1), default=10, help="How many hits.")
@click.option(
    "--filter",
    "condition",
    metavar="JSON",
    callback=options.json_object,
    help="What the metadata of hits must be, as a JSON object.",
)
@click.option("--document-id", metavar="ID", help="Ask for what is near this document.")
@click.option("--embedding", metavar="FILE|JSON|-", help="Ask with a .npy or JSON file, a JSON list, or - (JSON).")
@click.option("--sql", is_flag=True, help="Print the statement that was sent to PostgreSQL instead of the hits.")
@options.json_option
def command(
    name: str,
    question: tuple[str, ...],
    top_k: int,
    condition: dict[str, Any] | None,
    document_id: str | None,
    embedding: str | None,
    sql: bool,
    as_json: bool,
) -> None:
    """Find what is nearest in meaning to a question.

    The smaller the distance, the nearer. Instead of a question, --embedding or --document-id can be what is asked.

    \b
    Examples:
      semsearch search handbook "how do I reset my password?"
      semsearch search papers "sleep and memory" --top-k 3 --filter '{"year": {"$gte": 2020}}'
      semsearch search papers --document-id 10.1000/182 --json
      semsearch search papers "sleep and memory" --sql
    """
    vector = None if embedding is None else read_embedding(embedding)
    with connection.collection(name) as collection, progress.waiting("searching"):
        found = collection.search(
            " ".join(question) or None, embedding=vector, document_id=document_id, top_k=top_k, filter=condition
        )
    if as_json:
        output.print_json(hits.as_json(found) | ({"sql": found.sql} if sql else {}))
    elif sql:
        click.echo(found.sql)
    else:
        hits.print_hits(found)


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
