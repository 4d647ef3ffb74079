"""`semsearch verify`: whether what is searchable is what is in the source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import connection, options, output, progress

if TYPE_CHECKING:
    from semsearch.verify import Verification

DIFFERENT = 1  # exit code


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--repair", is_flag=True, help="Have workers bring up to date what differs; rebuild invalid indexes.")
@click.option("--force", is_flag=True, help="With --repair: remove orphans even if they are more than a fifth.")
@options.json_option
def command(names: tuple[str, ...], repair: bool, force: bool, as_json: bool) -> None:
    """Compare documents and chunks in both directions.

    Workers miss nothing that passes the triggers. This finds what went around them: a restore, a replica, a disabled
    trigger, a hand in the chunks. It reads every document but calls no model, and may run while all is in use.

    The exit code is 1 where something is wrong and was not repaired.

    \b
    Examples:
      semsearch verify
      semsearch verify handbook --repair && semsearch worker --until-idle
    """
    if force and not repair:
        raise click.UsageError("--force goes with --repair", click.get_current_context())
    found = []
    with connection.database() as database, progress.shown() as on_progress:
        for name in names or database.names():
            found.append(database.collection(name).verify(repair=repair, force=force, on_progress=on_progress))
    if as_json:
        output.print_json({"collections": [as_answer(one) for one in found]})
    else:
        for one in found:
            for line in lines(one, repair=repair):
                click.echo(output.printable(line))
    if not all(one.clean or (repair and one.healed) for one in found):
        click.get_current_context().exit(DIFFERENT)


def as_answer(found: Verification) -> dict[str, Any]:
    """The answer for programs."""
    return {**vars(found), "clean": found.clean, "seconds": round(found.seconds, 3)}


def lines(found: Verification, *, repair: bool) -> Iterator[str]:
    """The answer for people: counts, what is wrong, what was done, what to do."""
    if found.blocked:
        yield f"{found.name}: not compared, {found.blocked}"
        return
    skipped = [
        f"{count:,} {what} left out"
        for count, what in ((found.waiting, "waiting"), (found.failed, "that failed"))
        if count
    ]
    verdict = "all is right" if found.clean else f"{found.differing:,} differ"
    counted = f"{found.documents:,} documents compared in {found.seconds:.1f} s"
    yield f"{found.name}: {', '.join([counted, *skipped])}: {verdict}"
    yield from (f"  {line}" for line in _wrong(found))
    yield from (f"  {line}" for line in _done(found, repair=repair))


def _wrong(found: Verification) -> Iterator[str]:
    from semsearch.verify import KINDS

    for kind, difference in found.differences.items():
        if difference.count:
            more = ", ..." if difference.count > len(difference.examples) else ""
            yield f"{difference.count:,} {kind} ({KINDS[kind]}): {', '.join(difference.examples)}{more}"
    for name in found.indexes:
        yield f"index {name} is invalid: an interrupted build left it"
    for trigger in found.triggers:
        yield f"trigger {trigger.name} on {trigger.table} is {trigger.state}: {trigger.command}"


def _done(found: Verification, *, repair: bool) -> Iterator[str]:
    if found.enqueued:
        yield f"{found.enqueued:,} enqueued. Next: semsearch worker --until-idle"
    if found.rebuilt:
        yield f"rebuilt: {', '.join(found.rebuilt)}"
    if found.refused:
        yield f"refused: {found.refused}"
    if not repair and (found.differing or found.indexes):
        yield f"Next: semsearch verify {found.name} --repair"
    elif repair and found.differences["unusable"].count and not found.healed:
        yield "Given embeddings that are unusable can only be put again."
