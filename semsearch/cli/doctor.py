"""`semsearch doctor`: what is there, what is wrong, and what to do about it."""

from __future__ import annotations

import click

from semsearch.cli import checks, complaints, connection, options, output

STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@options.json_option
def command(as_json: bool) -> None:
    """Check the database, the model and this machine.

    Every line says ok, warn or fail, and what to do. The exit code is 5 where something fails.

    \b
    Examples:
      semsearch doctor
      semsearch doctor --json
    """
    given_by = "--database-url" if click.get_current_context().obj else "SEMSEARCH_DATABASE_URL"
    made = list(checks.every(connection.settings(), given_by))
    if as_json:
        output.print_json({"checks": made})
    else:
        for check in made:
            _print(check)
    if any(check.state == "fail" for check in made):
        click.get_current_context().exit(complaints.UNAVAILABLE)


def _print(check: checks.Check) -> None:
    from rich.text import Text

    line = Text.assemble((f"{check.state:<4}", STYLES[check.state]), "  ", (f"{check.name:<11}", "bold"), "  ")
    line.append(output.printable(check.found))
    console = output.console()
    console.print(line, soft_wrap=True)
    if check.advice:
        console.print(Text(f"{'':19}{check.advice}", style="dim"), soft_wrap=True)
