"""`semsearch recommend`: the hits nearest to examples, and far from others."""

from __future__ import annotations

from typing import Any

import click

from semsearch.cli import answers, connection, options, progress, search_options


@click.command(cls=search_options.Command)
@options.name_argument
@click.option("--like", metavar="ID", multiple=True, help="A document to be near to; may be repeated, as all four.")
@click.option("--unlike", metavar="ID", multiple=True, help="A document to be far from.")
@click.option("--like-text", metavar="TEXT", multiple=True, help="A text to be near to.")
@click.option("--unlike-text", metavar="TEXT", multiple=True, help="A text to be far from.")
@search_options.common
def command(
    name: str,
    like: tuple[str, ...],
    unlike: tuple[str, ...],
    like_text: tuple[str, ...],
    unlike_text: tuple[str, ...],
    sql: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Find what is like some examples and unlike others.

    Examples are documents of the collection by their ids, or texts. They are not among the hits themselves.

    \b
    Examples:
      semsearch recommend papers --like 10.1000/182 --like 10.1000/204
      semsearch recommend papers --like 10.1000/182 --unlike-text "in mice"
      semsearch recommend shop --like chair-7 --diversity 0.5 --filter "stock > 0"
    """
    asked, show = search_options.given(values), answers.Show.of(values, sql=sql, as_json=as_json)
    with connection.collection(name) as collection, progress.waiting("searching"):
        found = collection.recommend(like, unlike, positive_texts=like_text, negative_texts=unlike_text, **asked)
    answers.print_answer(found, show)
