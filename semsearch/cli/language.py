"""`semsearch language`: the language in which words are found."""

from __future__ import annotations

import click

from semsearch.cli import confirmation, connection, creation, options, output, progress


@click.command()
@options.name_argument
@click.argument("language", metavar="LANGUAGE|none", callback=creation.language)
@options.yes_option
def command(name: str, language: str | None, yes: bool) -> None:
    """Change the language of a collection's full text.

    LANGUAGE is a text search configuration of PostgreSQL: english, german, simple (any language) and so on. `none`
    drops the full text. The chunks are rewritten for a new language, and nobody can search or put meanwhile; the ANN
    index is built anew behind that, and until it is there searches compare all chunks.

    \b
    Examples:
      semsearch language handbook german
      semsearch language handbook none --yes
    """
    with connection.collection(name) as collection, progress.shown() as on_progress:
        if language != collection.space.language:
            cost = collection.predict_language(language)
            what = "drop the full text" if language is None else f"rewrite {output.size(cost.bytes)}"
            confirmation.ask(
                f"{what} of collection '{name}' ({cost.chunks:,} chunks)? Searches and writes will wait for about "
                f"{max(1, round(cost.seconds)):,} s.",
                yes=yes,
            )
        collection.set_language(language, on_progress=on_progress)
    click.echo(f"{name}: no full text" if language is None else f"{name}: full text in {language}")
