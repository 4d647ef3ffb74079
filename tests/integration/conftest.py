"""For the tests of the store: one database a module that embeds by the scripted provider, emptied after every test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

import semsearch
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.database import Database
from tests.integration.attaching import articles, shop
from tests.integration.command_line import cli, environment
from tests.integration.hands import MODEL, Hands
from tests.provider import Provider

__all__ = ["articles", "cli", "environment", "shop"]  # fixtures that live where their types do


@pytest.fixture(scope="module")
def module_db(
    module_database_url: str, provider_process: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    settings = Settings(
        database_url=module_database_url,
        home=Path(tmp_path_factory.getbasetemp()) / "unused",
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=provider_process.url,
    )
    with semsearch.connect(settings=settings) as database:
        yield database


@pytest.fixture
def model_db(module_db: Database, provider: Provider) -> Iterator[Database]:
    """A database whose `openai:` models are the provider's, emptied of the test's collections afterwards."""
    before = {collection.name for collection in module_db.collections()}
    with module_db._pools.writing.begin() as connection:  # a worker that was cut off leaves its row to others
        connection.exec_driver_sql("DELETE FROM semsearch.workers")
    yield module_db
    for name in {collection.name for collection in module_db.collections()} - before:
        module_db.drop_collection(name)
    with module_db._pools.writing.begin() as connection:
        connection.exec_driver_sql("TRUNCATE semsearch.query_embeddings, semsearch.document_embeddings")


@pytest.fixture
def notes(model_db: Database, provider: Provider) -> Collection:
    """A collection that embeds: 8 dimensions, chunks of 16 tokens. What was asked so far is forgotten."""
    collection = model_db.create_collection("notes", model=MODEL, chunk_size=16, chunk_overlap=0)
    provider.reset()
    return collection


@pytest.fixture
def sql(model_db: Database, module_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A user's own connection, in autocommit; nothing of ours runs in it but the triggers."""
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def other_sql(model_db: Database, module_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Another user's."""
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def hands() -> Iterator[Callable[..., Hands]]:
    """Makes workers to be taken apart, and closes them."""
    made: list[Hands] = []

    def make(collection: Collection, lease: float = 60) -> Hands:
        made.append(Hands(collection, lease))
        return made[-1]

    yield make
    for each in made:
        each.worker.close()


@pytest.fixture
def two(model_db: Database, provider: Provider) -> tuple[Collection, Collection]:
    """A collection with much to do, and one with little, of one provider."""
    large, small = (model_db.create_collection(name, model=MODEL) for name in ("large", "small"))
    provider.reset()
    return large, small
