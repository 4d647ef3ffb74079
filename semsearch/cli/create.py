"""`semsearch create`: a new, empty collection."""

from __future__ import annotations

from typing import Any

import click

from semsearch.cli import connection, creation, options, progress


@click.command()
@options.name_argument
@creation.settings
def command(name: str, model: str | None, dimensions: int | None, **settings: Any) -> None:
    """Create an empty collection.

    With --dimensions and no --model it takes documents that bring their own embeddings.

    \b
    Examples:
      semsearch create handbook
      semsearch create papers --field year:integer --field lang:text --chunk-size 200
      semsearch create tickets --field customer:text --tenant customer --language german
      semsearch create notes --model openai:text-embedding-3-small --dimensions 512
    """
    if model is None and dimensions is None:
        model = creation.DEFAULT_MODEL
    with connection.database() as database, progress.waiting("loading the model"):
        made = database.create_collection(name, model=model, dimensions=dimensions, **settings)
    embeddings = made.model or "given embeddings"
    click.echo(f"{made.name}: {embeddings}, {made.dimensions} dimensions, {made.distance} distance, {made.vector_type}")
    click.echo(f"Next: semsearch ingest {made.name} FOLDER")
