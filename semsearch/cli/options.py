"""Arguments and options that several commands share, so that they are spelt and explained alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def json_object(_: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """A JSON object written on the command line."""
    if value is None:
        return None
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"this is not JSON ({error}): {value}", param=parameter) from None
    if not isinstance(parsed, dict):
        raise click.BadParameter(f"""a JSON object is wanted, such as '{{"lang": "en"}}': {value}""", param=parameter)
    return parsed


def filter_form(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """A filter: a JSON object, or the text form `year >= 2020 and lang in (en, de)`."""
    if value is None or value.lstrip().startswith("{"):
        return json_object(context, parameter, value)
    from semsearch.filters import from_text

    return from_text(value)


def name_argument(function: Function) -> Function:
    """The collection that a command is about."""
    return click.argument("name", metavar="NAME")(function)


def json_option(function: Function) -> Function:
    """`--json`: one JSON object on standard output and nothing else."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")(function)


def tenant_option(function: Function) -> Function:
    """`--tenant`: whose documents are meant."""
    said = "Whose documents: a collection with tenants requires it."
    return click.option("--tenant", metavar="NAME", help=said)(function)


def yes_option(function: Function) -> Function:
    """`--yes`: do not ask."""
    return click.option("--yes", is_flag=True, help="Do not ask whether you are sure.")(function)
