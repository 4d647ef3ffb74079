"""The endpoints: one file a thing, each with a `router`."""

from __future__ import annotations

from fastapi import APIRouter

from semsearch.web.routes import (
    bulk,
    collections,
    documents,
    embeddings,
    events,
    failures,
    files,
    health,
    metrics,
    search,
)

ROUTERS: tuple[APIRouter, ...] = (
    collections.router,
    bulk.router,
    files.router,
    documents.router,
    search.router,
    failures.router,
    events.router,
    embeddings.router,
    health.router,
    metrics.router,
)

OF_OPERATION = (health.router, metrics.router)  # what is there beside assistants that are served alone
