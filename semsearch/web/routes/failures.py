"""Documents that were given up: listed, tried again, forgotten."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query

from semsearch.collection import Collection
from semsearch.store.failures import Choice
from semsearch.web.access import Reader, Writer
from semsearch.web.bodies import collections as bodies
from semsearch.web.bodies.base import Moment
from semsearch.web.routes.opened import opened
from semsearch.web.routes.parameters import KNOWN, NamePath, TenantQuery
from semsearch.web.state import Shared

router = APIRouter(prefix="/v1/collections/{name}/failures", tags=["failures"], dependencies=[KNOWN])

IdQuery = Annotated[str | None, Query(alias="document_id", max_length=1024, description="Of this document.")]
ReasonQuery = Annotated[str | None, Query(alias="reason", max_length=1000, description="Whose reason contains this.")]
SinceQuery = Annotated[Moment | None, Query(alias="since", description="Given up since; with a time zone.")]


@router.get("", summary="List what was given up", operation_id="list_failures")
def list_failures(
    name: NamePath,
    state: Shared,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=4096, description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    document_id: IdQuery = None,
    reason: ReasonQuery = None,
    since: SinceQuery = None,
    tenant: TenantQuery = None,
) -> bodies.Failures:
    """With the reason of each, the latest first. Needs scope `read`."""
    found, further = opened(state, caller, name).failures_page(
        Choice(document_id, reason, since), after=after, limit=limit, tenant=caller.tenant_for(tenant)
    )
    return bodies.Failures(failures=[bodies.Failure.model_validate(each) for each in found], next=further)


@router.post("/retry", summary="Try again", operation_id="retry_failures")
def retry_failures(
    name: NamePath, chosen: Annotated[bodies.FailuresBody, Body()], state: Shared, caller: Writer
) -> bodies.Retried:
    """Workers try them again; the failures stay until they have. Needs scope `write`."""
    collection, tenant = opened(state, caller, name), caller.tenant_for(chosen.tenant)
    return bodies.Retried(retried=_act(collection, "retry", chosen.choice, tenant))


@router.delete("", summary="Forget what was given up", operation_id="purge_failures")
def purge_failures(
    name: NamePath,
    state: Shared,
    caller: Writer,
    document_id: IdQuery = None,
    reason: ReasonQuery = None,
    since: SinceQuery = None,
    tenant: TenantQuery = None,
) -> bodies.Forgotten:
    """The documents stay, without chunks. Needs scope `write`."""
    collection, choice = opened(state, caller, name), Choice(document_id, reason, since)
    return bodies.Forgotten(forgotten=_act(collection, "purge_failures", choice, caller.tenant_for(tenant)))


def _act(collection: Collection, action: Literal["retry", "purge_failures"], choice: Choice, tenant: str | None) -> int:
    act = collection.retry if action == "retry" else collection.purge_failures
    if tenant is None:
        return act(choice.document_id, reason=choice.reason, since=choice.since)
    return sum(act(id) for id in collection.each_failure(choice, tenant))
