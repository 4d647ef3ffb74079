"""`semsearch roles`: the roles of the database that people and programs are made members of."""

from __future__ import annotations

import click

from semsearch.cli import complaints, connection, options, output


@click.group(name="roles")
def command() -> None:
    """List the roles that semsearch grants rights to, or make them.

    Make people and programs members of the least that will do: GRANT semsearch_reader TO ann. Everybody else may
    nothing. Whoever runs `semsearch migrate` owns everything, and alone makes collections and indexes.

    \b
    Examples:
      semsearch roles list
      semsearch roles create --sql
    """


@command.command(name="list")
@options.json_option
def list_(as_json: bool) -> None:
    """List the roles with their members and what they are for.

    With --json also every right.

    \b
    Example:
      semsearch roles list
    """
    with connection.database() as database:
        found = database.roles()
    if as_json:
        output.print_json({"roles": found})
        return
    rows = [(role.name, role.is_there, ", ".join(role.members), role.purpose) for role in found]
    output.print_table(("role", "there", "members", "may"), rows)


@command.command()
@click.option("--sql", is_flag=True, help="Only print the statements that make missing roles.")
def create(sql: bool) -> None:
    """Make the roles that are missing, and grant all rights anew.

    Every migration does so, if it may make roles. Otherwise have the statements of --sql run by a role with CREATEROLE,
    then run this as the owner.

    \b
    Examples:
      semsearch roles create
      semsearch roles create --sql
    """
    with connection.database() as database:
        missing = database.missing_roles() if sql else database.create_roles()
    for statement in missing:
        click.echo(f"{statement};")
    if sql:
        return
    if missing:
        said = "This role may not make roles. Have one with CREATEROLE run the above, then run this again."
        click.echo(said, err=True)
        click.get_current_context().exit(complaints.UNAVAILABLE)
    click.echo("the roles are there and have their rights")
