"""`semsearch budget`: how many tokens a day may be sent to a model."""

from __future__ import annotations

import click

from semsearch.cli import connection, options


def _tokens(_: click.Context, parameter: click.Parameter, value: str) -> int | None:
    if value == "none":
        return None
    plain = value.replace("_", "").replace(",", "")
    if not (plain.isascii() and plain.isdigit() and int(plain)):
        raise click.BadParameter(f"'{value}' is neither a number of tokens, at least 1, nor none", param=parameter)
    return int(plain)


@click.command()
@options.name_argument
@click.argument("tokens", metavar="TOKENS|none", callback=_tokens)
def command(name: str, tokens: int | None) -> None:
    """Limit the tokens that a collection may use a day.

    Days are those of UTC, by the database's clock. What does not fit into the budget waits until the next day, or
    until the budget is raised; nothing is lost. `none` lifts the limit.

    \b
    Examples:
      semsearch budget handbook 2,000,000
      semsearch budget handbook none
    """
    with connection.collection(name) as collection:
        collection.set_token_budget(tokens)
    click.echo(f"{name}: no limit" if tokens is None else f"{name}: {tokens:,} tokens a day")
