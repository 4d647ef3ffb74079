"""Asks before something is lost that cannot be had back."""

from __future__ import annotations

import sys

import click


def ask(question: str, *, yes: bool) -> None:
    """Go on only if the answer is y; where nobody can answer, only with --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody is here to answer: say --yes", click.get_current_context())
    click.confirm(question, abort=True, err=True)
