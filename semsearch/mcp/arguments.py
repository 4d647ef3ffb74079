"""What the tools are given, each with the description that the assistant reads."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from semsearch import filters
from semsearch.errors import InvalidInput

MAX_TOP_K = 50
MAX_NEIGHBOURS = 3
MAX_LENGTH = 40_000  # characters of a document at once

FILTER = """\
Which documents, by their metadata. Either an object: {"year": {"$gte": 2020}, "lang": "en"} (side by side means and), \
with $eq $ne $gt $gte $lt $lte $in $nin $between $exists $contains $starts_with, and $and, $or, $not around filters, \
as in {"$or": [{"lang": "en"}, {"year": {"$lt": 2000}}]}. Or the same as text: \
year >= 2020 and lang in (en, de) and not status = "draft". The tool `collections` lists the fields and their types."""

Name = Annotated[str, Field(description="Name of the collection, as the tool `collections` lists it.")]
Tenant = Annotated[
    str | None,
    Field(description="Whose documents. Only for collections that need a tenant, unless you are bound to one already."),
]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Nothing(_Arguments):
    """The tool takes no arguments."""


class Search(_Arguments):
    """What is looked for."""

    collection: Name
    query: Annotated[
        str, Field(description="What to look for, as a question or a sentence in plain words; its meaning counts.")
    ]
    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K, description="How many hits at most.")] = 5
    filter: Annotated[dict[str, Any] | str | None, Field(description=FILTER)] = None
    mode: Annotated[
        Literal["vector", "hybrid", "text"],
        Field(
            description="vector: by meaning. hybrid: by meaning and words, good for names, codes and rare terms. "
            "text: by words alone."
        ),
    ] = "vector"
    tenant: Tenant = None
    neighbours: Annotated[
        int, Field(ge=0, le=MAX_NEIGHBOURS, description="So many chunks before and after each hit, for context.")
    ] = 0

    def condition(self) -> dict[str, Any] | None:
        """The filter in its JSON form. Raises InvalidInput."""
        if not isinstance(self.filter, str):
            return self.filter
        if not self.filter.strip():
            return None
        if self.filter.lstrip().startswith("{"):
            return _object(self.filter)
        return filters.from_text(self.filter)


class Get(_Arguments):
    """Which document, and which part of it."""

    collection: Name
    document_id: Annotated[str, Field(description="The document's id, as a hit has it.")]
    offset: Annotated[int, Field(ge=0, description="The character to begin with, as `next_offset` said.")] = 0
    length: Annotated[int, Field(ge=1, le=MAX_LENGTH, description="How many characters at most.")] = 10_000
    tenant: Tenant = None


Arguments = TypeVar("Arguments", bound=BaseModel)


def read(kind: type[Arguments], given: dict[str, Any]) -> Arguments:
    """The arguments that were given. Raises InvalidInput with one sentence."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        problems = [_problem(kind, problem) for problem in error.errors(include_url=False, include_input=False)]
    raise InvalidInput("; ".join(dict.fromkeys(problems)) + ".")


def _problem(kind: type[BaseModel], problem: Any) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "the arguments"
    if problem["type"] == "missing":
        return f"{name} is missing"
    if problem["type"] == "extra_forbidden":
        return f"there is no argument {name!r:.80}: there are {', '.join(kind.model_fields) or 'none'}"
    if name == "filter":
        return "filter is a JSON object or a text"
    message = problem["msg"]
    return f"{name}: {message[:1].lower()}{message[1:]}"


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the filter begins like JSON and is none ({error}).") from None
    if not isinstance(found, dict):
        raise InvalidInput("a filter in JSON is an object.")
    return found
