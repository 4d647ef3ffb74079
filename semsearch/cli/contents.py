"""The doctor's checks of what is in the database: whatever keeps collections from being complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from semsearch.cli.checks import Check, unchecked

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from semsearch.config import Settings
    from semsearch.store.spaces import Space

NAMED = 5  # things named in one line


def every(settings: Settings) -> Iterator[Check]:
    """All checks, on a database whose schema is right."""
    from semsearch.store import connection as connections
    from semsearch.store import spaces

    with connections.Address(settings) as address:
        engine = connections.engine(address)
        try:
            with engine.connect() as connection:
                found = spaces.every(connection)
                makers: dict[str, Callable[[], Iterable[Check]]] = {
                    "collections": lambda: [collections(connection, found)],
                    "triggers": lambda: [triggers(connection, found)],
                    "indexes": lambda: [indexes(connection, found)],
                    "failures": lambda: [failures(connection, found)],
                    "workers": lambda: [workers(connection)],
                    "tables": lambda: vectors(connection),
                }
                for name, make in makers.items():
                    yield from permitted(connection, name, make)
        finally:
            engine.dispose()


def permitted(connection: Connection, name: str, make: Callable[[], Iterable[Check]]) -> list[Check]:
    """What the check says, or that it is none for this role: the others do not depend on it."""
    from semsearch.store import complaints

    try:
        with connection.begin_nested():
            return list(make())
    except Exception as error:
        if (refused := complaints.refusal(error)) is None:
            raise
        return [unchecked(name, refused)]


def collections(connection: Connection, found: Sequence[Space]) -> Check:
    """Whether some are blocked, or will be as soon as a worker looks at their table."""
    from semsearch.store import source

    reasons = {space.name: space.reason or source.check(connection, space) for space in found}
    blocked = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    if blocked:
        return Check(
            "collections",
            "warn",
            f"blocked: {'; '.join(blocked)}",
            "Put that right; workers try again every five minutes.",
        )
    return Check("collections", "ok", f"{len(found):,}, none blocked")


def triggers(connection: Connection, found: Sequence[Space]) -> Check:
    """Whether changes are noticed."""
    from semsearch.store.triggers import wrong

    each = {trigger for space in found for trigger in wrong(connection, space)}
    if not each:
        return Check("triggers", "ok", "there, and firing")
    said = _named(sorted(f"{trigger.name} on {trigger.table} is {trigger.state}" for trigger in each))
    commands = "; ".join(sorted({trigger.command for trigger in each}))
    return Check("triggers", "warn", said, f"{commands}. Then: semsearch verify --repair")


def indexes(connection: Connection, found: Sequence[Space]) -> Check:
    """Whether an interrupted build left something, and whether searches have the index they need."""
    from semsearch.store.indexes import due, every, invalid, main

    broken = {space.name: names for space in found if (names := invalid(connection, space))}
    if broken:
        said = _named([name for names in broken.values() for name in names])
        return Check("indexes", "warn", f"invalid: {said}", f"Run `semsearch verify {' '.join(broken)} --repair`.")
    there = {space.name: every(connection, space) for space in found}
    useless = {name: some[0].name for name, some in there.items() if some and not main(some)}
    if useless:
        said = f"not of the collection's distance: {_named(sorted(useless.values()))}"
        return Check("indexes", "warn", said, f"Run `semsearch index rebuild {next(iter(useless))}`.")
    missing = [space.name for space in found if due(connection, space)]
    if missing:
        return Check("indexes", "warn", f"due in {_named(missing)}", f"Run `semsearch index create {missing[0]}`.")
    return Check("indexes", "ok", "none is invalid, none is missing")


def vectors(connection: Connection) -> Iterator[Check]:
    """Every table with vectors, ours or not: one line for each thing that is wrong, or one for each topic."""
    from semsearch.store import inspected_statements, inspection, server_memory

    columns, found = inspection.columns(connection), inspection.ann_indexes(connection)
    seen = inspected_statements.seen(inspected_statements.every(connection), columns)
    operators = {column: ordering.operator for _, column, ordering in seen}
    answered = [f"{index.name} {index.operator}" for index in found if index.valid]
    wrong = [
        *inspection.of_tables(columns, found, operators),
        *inspection.of_indexes(found),
        *inspection.of_memory(found, server_memory.look(connection)),
        *inspection.of_scans(connection),
        *inspected_statements.findings(seen, found),
    ]
    fine = {
        "tables": f"{len(columns):,} columns of vectors",
        "ANN indexes": f"answer {_named(answered)}" if answered else "none",
        "memory": "enough for all of them",
        "statements": f"{len(seen):,} order by a distance",
    }
    for topic, said in fine.items():
        found_wrong = [finding for finding in wrong if finding.topic == topic]
        if not found_wrong:
            yield Check(topic, "ok", said)
        for finding in found_wrong:
            yield Check(topic, "warn", finding.found, finding.advice)


def failures(connection: Connection, found: Sequence[Space]) -> Check:
    """Whether documents were given up."""
    from semsearch.store.failures import Choice, count

    failed = {space.name: number for space in found if (number := count(connection, space, Choice()))}
    if not failed:
        return Check("failures", "ok", "none")
    said = _named([f"{number:,} of {name}" for name, number in failed.items()])
    return Check("failures", "warn", f"given up: {said}", "`semsearch failures list` says why.")


def workers(connection: Connection) -> Check:
    """Whether anybody does what waits."""
    from semsearch.store import spaces, status

    number = status.live_workers(connection)
    waiting = spaces.with_tasks(connection)
    if waiting and not number:
        return Check("workers", "warn", f"none, and documents wait in {_named(waiting)}", "Run `semsearch worker`.")
    return Check("workers", "ok", f"{number:,} running" if number else "none, and nothing waits")


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
