"""`semsearch index`: the ANN indexes of a collection, for those who know better than the default."""

from __future__ import annotations

from typing import Any

import click

from semsearch.cli import connection, index_report, options, output, progress


@click.group(name="index")
def command() -> None:
    """Advise on, build, measure or drop an ANN index.

    Collections get an index by themselves when they have grown large enough to need one.

    \b
    Examples:
      semsearch index advise handbook
      semsearch index create handbook --m 32
      semsearch index recall handbook
    """


def build_options(function: options.Function) -> options.Function:
    """How an index is to be built."""
    for option in reversed(
        [
            click.option("--kind", type=click.Choice(["hnsw", "ivfflat"]), help="Which index.  [default: hnsw]"),
            click.option("--m", type=click.IntRange(2, 100), help="hnsw: neighbours of a node."),
            click.option("--ef-construction", type=click.IntRange(4, 1000), help="hnsw: candidates while building."),
            click.option("--lists", type=click.IntRange(1, 32768), help="ivfflat: how many lists."),
            click.option(
                "--quantization",
                type=click.Choice(["none", "halfvec", "binary"]),
                help="What it holds: smaller numbers, or signs alone; hits are ordered by the stored embeddings.",
            ),
            click.option("--dimensions", type=click.IntRange(1), help="Only the first ones, for Matryoshka models."),
        ]
    ):
        function = option(function)
    return function


@command.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--rows", type=click.IntRange(0), help="Of so many chunks, without a collection.")
@click.option("--dimensions", type=click.IntRange(1, 16000), help="With --rows: of the embeddings.")
@click.option(
    "--distance",
    type=click.Choice(["cosine", "l2", "inner_product", "l1"]),
    help="With --rows: how they are compared.  [default: cosine]",
)
@click.option("--vector-type", type=click.Choice(["vector", "halfvec"]), help="With --rows: how they are stored.")
@options.json_option
def advise(
    name: str | None,
    rows: int | None,
    dimensions: int | None,
    distance: str | None,
    vector_type: str | None,
    as_json: bool,
) -> None:
    """Say which index the data deserve, and what it would take.

    Bytes, memory and time are predicted, for this server. Nothing is built.

    \b
    Examples:
      semsearch index advise handbook
      semsearch index advise --rows 1000000 --dimensions 1536
    """
    if name is not None and not (rows is None and dimensions is None and distance is None and vector_type is None):
        raise click.UsageError(
            "--rows, --dimensions, --distance and --vector-type are without a collection: leave them out, or NAME."
        )
    with connection.database() as database:
        if name is not None:
            advice = database.collection(name).advise_index()
        elif rows is not None and dimensions is not None:
            advice = database.advise_index(rows, dimensions, distance=distance or "cosine", vector_type=vector_type)
        else:
            raise click.UsageError("name a collection, or give --rows and --dimensions.")
    if as_json:
        output.print_json(index_report.as_json(advice))
    else:
        index_report.print_advice(advice)


@command.command()
@options.name_argument
@build_options
def create(name: str, **choices: Any) -> None:
    """Build the index now.

    One that is there already must be dropped first, or rebuilt.

    \b
    Examples:
      semsearch index create handbook
      semsearch index create handbook --kind ivfflat --lists 200
      semsearch index create handbook --quantization halfvec
    """
    given = {option: value for option, value in choices.items() if value is not None}
    with connection.collection(name) as collection, progress.shown() as on_progress:
        collection.create_index(on_progress=on_progress, **given)
        built = collection.calibration()
    click.echo(f"{name}: {given.get('kind', 'hnsw')} index is built{index_report.said(built)}")


@command.command()
@options.name_argument
@build_options
def rebuild(name: str, **choices: Any) -> None:
    """Build the index anew, with other options if any are given.

    Searches go on using the old one. Worth its while when many chunks have been deleted or changed.

    \b
    Examples:
      semsearch index rebuild handbook
      semsearch index rebuild handbook --m 32 --ef-construction 128
    """
    given = {option: value for option, value in choices.items() if value is not None}
    with connection.collection(name) as collection, progress.shown() as on_progress:
        names = collection.rebuild_index(on_progress=on_progress, **given)
        built = collection.calibration()
    click.echo(f"{name}: {', '.join(names)} is built anew{index_report.said(built)}")


@command.command()
@options.name_argument
@click.option("--queries", type=click.IntRange(1, 1000), default=100, help="At most so many of each kind.")
@click.option("--top-k", type=click.IntRange(1, 100), default=10, help="Recall of so many hits.")
@click.option("--history", is_flag=True, help="Only show what was measured before.")
@options.json_option
def recall(name: str, queries: int, top_k: int, history: bool, as_json: bool) -> None:
    """Measure how many of the nearest chunks searches find.

    The latest queries of users are asked again, those with filters too, and compared with exact answers. Where there
    are too few, embeddings of chunks are asked with.

    \b
    Examples:
      semsearch index recall handbook
      semsearch index recall handbook --history --json
    """
    with connection.collection(name) as collection:
        if not history:
            with progress.shown() as on_progress:
                collection.measure_recall(queries=queries, top_k=top_k, on_progress=on_progress)
        measured = collection.recall_history()
    if as_json:
        output.print_json({"recall": measured})
    elif not measured:
        click.echo(f"{name}: recall was not measured yet")
    else:
        index_report.print_recall(measured)


@command.command()
@options.name_argument
@click.option("--recall", type=click.FloatRange(0, 1, min_open=True), default=0.95, help="The recall@10 to reach.")
@options.json_option
def tune(name: str, recall: float, as_json: bool) -> None:
    """Have searches find so many of the nearest chunks.

    The index is measured, and asked with as much effort as that takes from now on.

    \b
    Example:
      semsearch index tune handbook --recall 0.98
    """
    with connection.collection(name) as collection:
        before = collection.calibration()
        with progress.shown() as on_progress:
            tuned = collection.tune(recall, on_progress=on_progress)
    if as_json:
        output.print_json({"before": before, "now": tuned})
    else:
        index_report.print_tuned(name, before, tuned)


@command.command(name="list")
@options.name_argument
@options.json_option
def list_(name: str, as_json: bool) -> None:
    """List the indexes of a collection.

    \b
    Example:
      semsearch index list handbook
    """
    with connection.collection(name) as collection:
        found = collection.indexes()
    if as_json:
        output.print_json({"indexes": found})
    elif not found:
        click.echo(f"{name}: no index; every search compares all chunks, which is exact")
    else:
        columns = ("name", "kind", "holds", "dimensions", "valid", "used", "size")
        output.print_table(columns, [index_report.row(one) for one in found])


@command.command()
@options.name_argument
def drop(name: str) -> None:
    """Drop the index.

    Searches become exact, and slower in a large collection.

    \b
    Example:
      semsearch index drop handbook
    """
    with connection.collection(name) as collection:
        collection.drop_index()
    click.echo(f"{name}: index dropped")
