"""`semsearch create`: a new, empty collection."""

from __future__ import annotations

from typing import Any

import click

from semsearch.cli import connection, options, progress

DEFAULT_MODEL = "sentence-transformers:all-MiniLM-L6-v2"
FIELD_TYPES = ("text", "integer", "float", "boolean", "date", "timestamp")


def _fields(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    fields = {}
    for value in values:
        name, _colon, kind = value.partition(":")
        if not name or kind not in FIELD_TYPES:
            wanted = ", ".join(FIELD_TYPES)
            raise click.BadParameter(f"'{value}' is not NAME:TYPE with one of the types {wanted}", param=parameter)
        fields[name] = kind
    return fields


@click.command()
@options.name_argument
@click.option("--model", help=f"The embedding model, PROVIDER:NAME.  [default: {DEFAULT_MODEL}]")
@click.option("--dimensions", type=click.IntRange(min=1), help="Length of the embeddings; the model's own by default.")
@click.option(
    "--distance",
    type=click.Choice(["cosine", "l2", "inner_product", "l1"]),
    default="cosine",
    help="What near means.",
)
@click.option(
    "--vector-type", type=click.Choice(["vector", "halfvec"]), help="How embeddings are stored; chosen by their length."
)
@click.option(
    "--field",
    "fields",
    metavar="NAME:TYPE",
    multiple=True,
    callback=_fields,
    help=f"A metadata field to filter by in its own column; types: {', '.join(FIELD_TYPES)}. Repeatable.",
)
@click.option("--chunk-size", type=click.IntRange(min=0), help="Tokens in a chunk; 0 makes every document one chunk.")
@click.option("--chunk-overlap", type=click.IntRange(min=0), help="Tokens that neighbouring chunks share.")
@click.option(
    "--index",
    type=click.Choice(["auto", "hnsw", "ivfflat", "none"]),
    default="auto",
    help="The ANN index; auto builds one when the collection has grown large enough to need it.",
)
def command(name: str, model: str | None, dimensions: int | None, **settings: Any) -> None:
    """Create an empty collection.

    With --dimensions and no --model it takes documents that bring their own embeddings.

    \b
    Examples:
      semsearch create handbook
      semsearch create papers --field year:integer --field lang:text --chunk-size 200
      semsearch create notes --model openai:text-embedding-3-small --dimensions 512
    """
    if model is None and dimensions is None:
        model = DEFAULT_MODEL
    with connection.database() as database, progress.waiting("loading the model"):
        made = database.create_collection(name, model=model, dimensions=dimensions, **settings)
    embeddings = made.model or "given embeddings"
    click.echo(f"{made.name}: {embeddings}, {made.dimensions} dimensions, {made.distance} distance, {made.vector_type}")
    click.echo(f"Next: semsearch ingest {made.name} FOLDER")
