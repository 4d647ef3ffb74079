"""Small changes of the queue's code, most of them harmful: what does not notice them proves nothing.

A mutant is a substitution in the text of a module or of a file of semsearch/sql. Files stay as they are: of a module
the statements that differ are executed anew in this process, SQL is given to one database.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import psycopg

from semsearch.sql import statements

Names = dict[str, Any]


@dataclass(frozen=True)
class Edit:
    """Replace `old`, which must occur, by `new` in the module of that name, or in the SQL that has it."""

    place: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """`statement` is SQL of the mutant's own, executed first.

    `spec` names the interleavings (stage.py) that show it; `chaotic`: a chaos run of some seconds shows it, too.
    """

    name: str
    edits: tuple[Edit, ...] = ()
    statement: str = ""
    spec: str = ""
    chaotic: bool = True


SQL = "sql"


def python(mutant: Mutant) -> list[Edit]:
    return [edit for edit in mutant.edits if edit.place != SQL]


def apply(mutant: Mutant) -> list[tuple[ModuleType, Names]]:
    """Change the modules of this process; returns what was there before."""
    before = []
    for place in dict.fromkeys(edit.place for edit in python(mutant)):
        module = importlib.import_module(place)
        original = inspect.getsource(module)
        changed = original
        for edit in mutant.edits:
            if edit.place == place:
                assert edit.old in changed, f"{mutant.name}: {place} does not have {edit.old!r}"
                changed = changed.replace(edit.old, edit.new)
        before.append((module, _execute_differences(module, original, changed)))
    return before


def _execute_differences(module: ModuleType, original: str, changed: str) -> Names:
    """Execute the top-level statements that differ, and those that use a constant which differs."""
    old, new = ast.parse(original).body, ast.parse(changed).body
    assert len(old) == len(new)
    before: Names = {}
    renewed: set[str] = set()
    for was, now in zip(old, new, strict=True):
        uses = {node.id for node in ast.walk(now) if isinstance(node, ast.Name)}
        dependent = isinstance(now, ast.Assign) and uses & renewed
        if ast.dump(was) == ast.dump(now) and not dependent:
            continue
        names = _names(now)
        before |= {name: module.__dict__[name] for name in names}
        renewed |= names
        exec(compile(ast.Module([now], []), module.__file__ or "", "exec"), module.__dict__)
    return before


def _names(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    assert isinstance(statement, ast.Assign), f"cannot change {ast.unparse(statement)[:60]}"
    return {target.id for target in statement.targets if isinstance(target, ast.Name)}


def apply_sql(mutant: Mutant, connection: psycopg.Connection[Any]) -> list[str]:
    """Change the functions of this database; returns the statements that restore them."""
    if mutant.statement:
        connection.execute(mutant.statement)
    restore = []
    for edit in mutant.edits:
        if edit.place == SQL:
            found = [statement for statement in statements() if edit.old in statement]
            assert found, f"{mutant.name}: no SQL has {edit.old!r}"
            for statement in found:
                connection.execute(statement.replace(edit.old, edit.new))
            restore += found
    return restore


@contextmanager
def mutated(mutant: Mutant, connection: psycopg.Connection[Any]) -> Iterator[None]:
    """For as long as it lasts, in this process and this database."""
    restore = apply_sql(mutant, connection)
    before = apply(mutant)
    try:
        yield
    finally:
        for module, names in before:
            module.__dict__.update(names)
        for statement in restore:
            connection.execute(statement)
