"""`semsearch words`: static word vectors held as a table, by which plain SQL embeds texts without a worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from semsearch.cli import confirmation, connection, options, output, progress

if TYPE_CHECKING:
    from semsearch.store.word_models import WordModel


@click.group(name="words")
def command() -> None:
    """Load, list or drop models of word vectors, such as GloVe.

    In SQL, semsearch.embed_words embeds a text by such a model and semsearch.analogy reckons with its words; no worker
    is needed.

    \b
    Examples:
      semsearch words load glove glove.6B.100d.txt
      semsearch words nearest glove king
      semsearch psql -- -c "SELECT * FROM semsearch.analogy('glove', 'king', 'man', 'woman')"
    """


@command.command()
@options.name_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(1), help="Only the first so many words; files begin with frequent ones.")
@click.option(
    "--lowercase/--no-lowercase",
    default=None,
    help="Whether texts are looked up in lower case.  [default: if the file has no upper-case letters]",
)
@click.option("--replace", is_flag=True, help="Take the place of the model that has this name.")
@options.json_option
def load(name: str, file: Path, limit: int | None, lowercase: bool | None, replace: bool, as_json: bool) -> None:
    """Load a file of word vectors.

    word2vec's text format, GloVe's and fastText's .vec are read, also compressed by gzip. A broken line ends the load,
    and nothing of it stays; words that come twice or cannot be stored are left out and counted.

    \b
    Examples:
      semsearch words load glove glove.6B.100d.txt
      semsearch words load german cc.de.300.vec.gz --limit 200000 --lowercase
    """
    with connection.database() as database, progress.shown() as on_progress:
        loaded = database.load_words(
            name, file, limit=limit, lowercase=lowercase, replace=replace, on_progress=on_progress
        )
    if as_json:
        output.print_json(loaded)
        return
    case = "in lower case" if loaded.lowercase else "as they are written"
    click.echo(f"{name}: {loaded.words:,} words of {loaded.dimensions} dimensions in {loaded.table}; looked up {case}")
    if loaded.skipped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(loaded.skipped.items()))
        click.echo(f"left out: {reasons}", err=True)


@command.command(name="list")
@options.json_option
def list_(as_json: bool) -> None:
    """List the models of word vectors.

    \b
    Example:
      semsearch words list
    """
    with connection.database() as database:
        found = database.word_models()
    if as_json:
        output.print_json({"word_models": found})
    elif not found:
        click.echo("no word models yet; `semsearch words load NAME FILE` loads one")
    else:
        columns = ("name", "words", "dimensions", "lower case", "table", "source", "loaded")
        output.print_table(columns, [_row(model) for model in found])


def _row(model: WordModel) -> tuple[object, ...]:
    loaded = f"{model.loaded_at:%Y-%m-%d %H:%M}"
    return (model.name, model.words, model.dimensions, model.lowercase, model.table, model.source, loaded)


@command.command()
@options.name_argument
@click.argument("word", metavar="WORD")
@click.option("--top-k", type=click.IntRange(1, 1000), default=10, help="How many words.")
@options.json_option
def nearest(name: str, word: str, top_k: int, as_json: bool) -> None:
    """Show the words nearest to a word, by cosine similarity.

    \b
    Example:
      semsearch words nearest glove king
    """
    with connection.database() as database:
        found = database.nearest_words(name, word, top_k)
    if as_json:
        output.print_json({"words": [{"word": near, "similarity": similarity} for near, similarity in found]})
    else:
        output.print_table(("word", "similarity"), [(near, f"{similarity:.3f}") for near, similarity in found])


@command.command()
@options.name_argument
@options.yes_option
def drop(name: str, yes: bool) -> None:
    """Drop a model with its table.

    \b
    Example:
      semsearch words drop glove
    """
    with connection.database() as database:
        if name in {model.name for model in database.word_models()}:
            confirmation.ask(f"drop word model '{name}'?", yes=yes)
        database.drop_words(name)
    click.echo(f"{name}: dropped")
