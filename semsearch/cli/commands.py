"""The `semsearch` command, which imports the file of a subcommand only when that is asked for."""

from __future__ import annotations

import difflib
from importlib import import_module

import click

# In the order in which a newcomer meets them.
COMMANDS = (
    "demo",
    "create",
    "ingest",
    "search",
    "recommend",
    "facets",
    "get",
    "delete",
    "drop",
    "collections",
    "status",
    "worker",
    "serve",
    "keys",
    "attach",
    "detach",
    "budget",
    "cache",
    "failures",
    "verify",
    "index",
    "fields",
    "language",
    "tenants",
    "words",
    "roles",
    "mcp",
    "psql",
    "doctor",
    "migrate",
    "completion",
)


class Commands(click.Group):
    """A group whose commands are the `command` of the module with their name."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = import_module(f"semsearch.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = arguments[0]
        if not name.startswith("-") and name not in COMMANDS and not context.resilient_parsing:
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else "`semsearch --help` lists them all."
            raise click.UsageError(f"there is no command '{name}'. {hint}", context)
        return super().resolve_command(context, arguments)


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from semsearch import __version__

        click.echo(f"semsearch {__version__}")
        context.exit()


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
)
@click.option("--database-url", metavar="URL", help="The database, instead of SEMSEARCH_DATABASE_URL.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
@click.pass_context
def semsearch(context: click.Context, database_url: str | None) -> None:
    """Make text in PostgreSQL searchable by meaning.

    \b
    Examples:
      semsearch demo                                   see it work, on the docs of Python itself
      semsearch create handbook
      semsearch ingest handbook docs/
      semsearch search handbook "how do I reset my password?"

    The database is the one of --database-url or SEMSEARCH_DATABASE_URL, else of libpq's PGHOST, PGDATABASE and the
    like, else a PostgreSQL of its own that semsearch starts by itself.

    Exit codes: 0 ok, 2 bad input, 3 not found, 4 conflict, 5 database or model unavailable, 130 interrupted, 1 any
    other failure.
    """
    context.obj = database_url
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
