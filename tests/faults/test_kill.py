"""The ingesting process is killed again and again: nothing may be lost, stale or there twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

import semsearch
from semsearch import Settings, chunking, embedders
from semsearch.config import parse
from tests.provider import Provider, vector

KILLS = 20
DOCUMENTS = 2_000
MODEL = "openai:text-embedding-3-small"
COLLECTION = "killed"

Texts = dict[str, str]  # by document id

# Processes forked from one that has imported everything: they start in milliseconds, so that a kill meets the ingest
# and not Python's imports.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["semsearch.database", "semsearch.embedders.openai", "openai"])


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider.start() as started:
        yield started


@pytest.fixture
def openai_settings(settings: Settings, provider: Provider) -> Settings:
    return settings.model_copy(update={"openai_api_key": "sk-test", "openai_base_url": provider.url})


def ingest(values: dict[str, Any], file: Path, started: Connection | None = None) -> None:
    """What the killed processes do. `started` is told when it begins."""
    with semsearch.connect(settings=Settings(**values)) as db:
        collection = db.collection(COLLECTION)
        if started:
            started.send(True)
        collection.ingest(file)
