"""Parameters that several addresses take, and the check that none is given that nobody reads."""

from __future__ import annotations

import difflib
import json
from typing import Annotated, Any, TypeAlias, get_args

from fastapi import Depends, Path, Query, Request, params
from fastapi.dependencies.utils import get_flat_params
from starlette.convertors import PathConvertor, register_url_convertor

from semsearch import filters
from semsearch.errors import InvalidInput
from semsearch.web import json_scan


class AnyConvertor(PathConvertor):
    """The rest of an address, whatever it is: that of the framework ends where a line does."""

    regex = "(?s:.*)"


register_url_convertor("any", AnyConvertor())

NamePath: TypeAlias = Annotated[str, Path(alias="name", description="The collection's name.", examples=["handbook"])]
TenantQuery: TypeAlias = Annotated[
    str | None,
    Query(alias="tenant", max_length=1024, description="Whose documents: a collection with tenants requires it."),
]
WaitQuery: TypeAlias = Annotated[
    bool, Query(alias="wait", description="false: answer 202 at once, and leave the embedding to workers.")
]
FilterQuery: TypeAlias = Annotated[
    str | None,
    Query(
        alias="filter",
        max_length=32 * 2**10,
        description="A condition on the metadata: as it is typed, or JSON.",
        examples=["year >= 2020 and lang in (en, de)"],
    ),
]
DocumentQuery: TypeAlias = Annotated[
    str, Query(min_length=1, max_length=1024, description="The document's id.", examples=["guide/install.md"])
]


async def _known(request: Request) -> None:
    """Raises InvalidInput for a parameter that this address does not read: a typing error must not go unnoticed.

    Also for one that is there twice, unless it takes a list.
    """
    route: Any = request.scope["route"]
    fields = get_flat_params(route.dependant)
    known = {each.alias: each.field_info.annotation for each in fields if isinstance(each.field_info, params.Query)}
    for name in request.query_params:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            advice = f" Did you mean {near[0]!r}?" if near else ""
            raise InvalidInput(f"there is no parameter {name!r:.80} here.{advice}")
        if len(request.query_params.getlist(name)) > 1 and list[str] not in get_args(known[name]):
            raise InvalidInput(f"the parameter {name!r} is there twice.")


KNOWN = Depends(_known)


def filter_form(text: str | None) -> dict[str, Any] | None:
    """A filter in the text form or as JSON. Raises FilterError, InvalidInput."""
    if text is None or not text.lstrip().startswith("{"):
        return None if text is None else filters.from_text(text)
    try:
        return dict(json.loads(text, object_pairs_hook=json_scan.once))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the filter is no JSON: {error}") from error
