"""Collections: made, described, dropped."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from semsearch.collection import Collection
from semsearch.errors import Conflict, InvalidInput
from semsearch.store.indexes import Index
from semsearch.web.access import Admin, Caller, Reader
from semsearch.web.bodies import collections as bodies
from semsearch.web.routes.opened import opened, status, statuses, visible
from semsearch.web.routes.parameters import KNOWN, NamePath
from semsearch.web.state import Shared, State

router = APIRouter(prefix="/v1", tags=["collections"], dependencies=[KNOWN])

SAME = (
    *("name", "model", "dimensions", "distance", "vector_type"),
    *("chunk_size", "chunk_overlap", "language", "tenant"),
)
PATH = re.compile(r"^[/.~\\]|\.\.|\\|^[A-Za-z]:|//|^[^/]*/[^/]*/")  # what no name of a model on the hub looks like


@router.get("/collections", summary="List the collections", operation_id="list_collections")
def list_collections(state: Shared, caller: Reader) -> bodies.Descriptions:
    """Those that the key may see, by name. Needs scope `read`."""
    return bodies.Descriptions(collections=[described(each) for each in visible(state, caller)])


@router.post("/collections", status_code=201, summary="Make a collection", operation_id="create_collection")
def create_collection(
    wanted: Annotated[bodies.NewCollection, Body()], state: Shared, caller: Admin
) -> bodies.Description:
    """With a model that the server knows, or for embeddings that you bring yourself. Needs scope `admin`."""
    caller.check(wanted.name)
    if wanted.model is not None:
        check_model(wanted.model, state, caller)
    if len(state.database.names()) >= state.options.max_collections:
        raise Conflict(f"there are {state.options.max_collections:,} collections already, which is the most.")
    made = state.database.create_collection(**wanted.model_dump(exclude_unset=True))
    return described(made)


@router.get("/collections/{name}", summary="Describe a collection", operation_id="get_collection")
def get_collection(name: NamePath, state: Shared, caller: Reader) -> bodies.Whole:
    """What it is made of, and how far it is. Needs scope `read`."""
    found = opened(state, caller, name)
    return bodies.Whole(**_parts(found), status=status(found, caller.tenant))


@router.delete("/collections/{name}", status_code=204, summary="Drop a collection", operation_id="drop_collection")
def drop_collection(name: NamePath, state: Shared, caller: Admin) -> Response:
    """With its documents, chunks and index. Needs scope `admin`."""
    opened(state, caller, name)
    state.database.drop_collection(name)
    return Response(status_code=204)


@router.get("/collections/{name}/index", summary="Describe the ANN indexes", operation_id="get_index")
def get_index(name: NamePath, state: Shared, caller: Reader) -> bodies.Indexes:
    """None: searches compare all that match. Indexes of single tenants are shown to whom all tenants are open.

    Needs scope `read`.
    """
    found = opened(state, caller, name).indexes()
    if caller.tenant is not None:
        shown = [_index(each, bytes=None) for each in found if each.predicate is None]
    else:
        shown = [_index(each) for each in found]
    return bodies.Indexes(indexes=shown)


def _index(index: Index, **other: Any) -> bodies.IndexAnswer:
    return bodies.IndexAnswer.model_validate(index).model_copy(update=other)


@router.post("/collections/{name}/verify", summary="Compare documents and chunks", operation_id="verify_collection")
def verify_collection(
    name: NamePath, wanted: Annotated[bodies.VerifyBody, Body()], state: Shared, caller: Admin
) -> bodies.Verification:
    """In both directions, without a model, while both are in use. Needs scope `admin`."""
    found = opened(state, caller, name)
    return bodies.Verification.model_validate(found.verify(repair=wanted.repair, force=wanted.force))


@router.get("/status", tags=["status"], summary="How far all collections are", operation_id="get_status")
def get_status(state: Shared, caller: Reader) -> bodies.Statuses:
    """Those that the key may see, by name. Needs scope `read`."""
    return bodies.Statuses(collections=statuses(state, caller))


def described(collection: Collection) -> bodies.Description:
    return bodies.Description(**_parts(collection))


def _parts(collection: Collection) -> dict[str, Any]:
    space = collection.space
    return {
        **{name: getattr(space, name) for name in SAME},
        "fields": collection.fields,
        "cache": space.cached,
        "attached": space.attachment is not None,
    }


def check_model(model: str, state: State, caller: Caller) -> None:
    """Raise InvalidInput for a model that nobody on the server has chosen, as far as the caller may see.

    Whoever could name any would have the server read its files, or load what somebody has put onto the hub.
    """
    known = {*state.options.models, *filter(None, (collection.model for collection in visible(state, caller)))}
    if model not in known or PATH.search(model.partition(":")[2]):
        raise InvalidInput(
            f"model {model!r:.200} is none that this server was told of: name it to `semsearch serve --model`, or make "
            "the first collection with it by the command line."
        )
