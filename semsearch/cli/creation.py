"""The settings of a new collection, as options of the commands that can make one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

DEFAULT_MODEL = "sentence-transformers:all-MiniLM-L6-v2"
FIELD_TYPES = ("text", "integer", "float", "boolean", "date", "timestamp")

Function = TypeVar("Function", bound=Callable[..., Any])


def field(_: click.Context, parameter: click.Parameter, value: str) -> tuple[str, str]:
    """NAME:TYPE."""
    name, _colon, kind = value.partition(":")
    if not name or kind not in FIELD_TYPES:
        wanted = ", ".join(FIELD_TYPES)
        raise click.BadParameter(f"'{value}' is not NAME:TYPE with one of the types {wanted}", param=parameter)
    return name, kind


def _fields(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    return dict(field(context, parameter, value) for value in values)


def language(_: click.Context, __: click.Parameter, value: str) -> str | None:
    """`none` is no language."""
    return None if value == "none" else value


OPTIONS = (
    click.option("--model", help=f"The embedding model, PROVIDER:NAME.  [default: {DEFAULT_MODEL}]"),
    click.option(
        "--dimensions", type=click.IntRange(min=1), help="Length of the embeddings; the model's own by default."
    ),
    click.option(
        "--distance",
        type=click.Choice(["cosine", "l2", "inner_product", "l1"]),
        default="cosine",
        help="What near means.",
    ),
    click.option(
        "--vector-type",
        type=click.Choice(["vector", "halfvec"]),
        help="How embeddings are stored; chosen by their length.",
    ),
    click.option(
        "--field",
        "fields",
        metavar="NAME:TYPE",
        multiple=True,
        callback=_fields,
        help=f"A metadata field to filter by in its own column; types: {', '.join(FIELD_TYPES)}. Repeatable.",
    ),
    click.option(
        "--chunk-size", type=click.IntRange(min=0), help="Tokens in a chunk; 0 makes every document one chunk."
    ),
    click.option("--chunk-overlap", type=click.IntRange(min=0), help="Tokens that neighbouring chunks share."),
    click.option(
        "--index",
        type=click.Choice(["auto", "hnsw", "ivfflat", "none"]),
        default="auto",
        help="The ANN index; auto builds one when the collection has grown large enough to need it.",
    ),
    click.option(
        "--quantization",
        type=click.Choice(["halfvec", "binary"]),
        help="What the index holds: smaller numbers, or signs alone; hits are ordered by the stored embeddings.",
    ),
    click.option(
        "--index-dimensions",
        metavar="N",
        type=click.IntRange(min=1),
        help="Only the first N dimensions in the index, for Matryoshka models.",
    ),
    click.option(
        "--cache", is_flag=True, help="Keep embeddings by text, so that the same text is never paid for again."
    ),
    click.option(
        "--token-budget",
        metavar="TOKENS",
        type=click.IntRange(min=1),
        help="Tokens a day (UTC) that may be sent to the model; the rest waits.",
    ),
    click.option(
        "--language",
        metavar="LANGUAGE|none",
        default="english",
        callback=language,
        help="Of the full text, by which words are found: a text search configuration; simple fits any language.",
    ),
    click.option(
        "--tenant",
        metavar="FIELD",
        help="The text field that says whose a document is; every search must then name a tenant.",
    ),
)
NAMES = (
    *("model", "dimensions", "distance", "vector_type", "fields"),
    *("chunk_size", "chunk_overlap", "index", "quantization", "index_dimensions"),
    *("cache", "token_budget", "language", "tenant"),
)


def settings(function: Function) -> Function:
    """The options, in this order."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def given() -> dict[str, Any]:
    """Those of them that stand on the command line: a collection that exists already takes none."""
    context = click.get_current_context()
    explicit = (name for name in NAMES if context.get_parameter_source(name) is ParameterSource.COMMANDLINE)
    return {name: context.params[name] for name in explicit}
