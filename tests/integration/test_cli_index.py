"""`semsearch index` as a user meets it: what it prints, and its exit codes."""

from __future__ import annotations

from typing import Any

import pytest

from semsearch import Progress
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import InvalidInput
from semsearch.store import index_tuning, indexes
from tests.integration.command_line import Cli, answer
from tests.integration.indexing import clustered, filled


@pytest.fixture
def points(db: Database) -> Collection:
    return filled(db, "points", 300, 8)


def test_an_index_is_built_measured_tuned_rebuilt_and_dropped(cli: Cli, points: Collection) -> None:
    shown = cli("index", "create", "points", "--quantization", "binary").out
    assert shown.startswith("points: hnsw index is built, recall@10 ")
    listed = cli("index", "list", "points").out
    assert "signs" in listed
    (index,) = answer(cli("index", "list", "points", "--json"))["indexes"]
    assert (index["quantization"], index["dimensions"], index["serves"]) == ("binary", 8, True)

    shown = cli("index", "rebuild", "points", "--m", "8").out
    assert shown.startswith(f"points: {indexes.name(points.space)} is built anew, recall@10 ")
    (index,) = answer(cli("index", "list", "points", "--json"))["indexes"]
    assert (index["quantization"], index["settings"]["m"]) == ("none", 8)
    cli("index", "rebuild", "points")
    (again,) = answer(cli("index", "list", "points", "--json"))["indexes"]
    assert again["settings"] == index["settings"]

    assert "recall@10" in cli("index", "tune", "points", "--recall", "0.99").out
    tuned = answer(cli("index", "tune", "points", "--recall", "0.9", "--json"))
    assert (tuned["before"]["target"], tuned["now"]["target"]) == (0.99, 0.9)

    cli("index", "drop", "points")
    assert points.calibration() is None
    assert "no index" in cli("index", "list", "points").out
    assert "has no index" in cli("index", "rebuild", "points", code=3).err
    assert "every search is exact" in cli("index", "tune", "points", code=3).err


def test_recall_is_measured_and_its_history_shown(cli: Cli, points: Collection) -> None:
    assert "not measured yet" in cli("index", "recall", "points", "--history").out
    assert answer(cli("index", "recall", "points", "--history", "--json")) == {"recall": []}
    shown = cli("index", "recall", "points", "--queries", "5").out
    assert "1.000" in shown
    cli("index", "recall", "points", "--queries", "3", "--top-k", "5")
    found = answer(cli("index", "recall", "points", "--history", "--json"))["recall"]
    assert [(one["queries"], one["top_k"], one["recall"]) for one in found] == [(3, 5, 1.0), (5, 10, 1.0)]


def test_advice_is_given_for_a_collection_and_for_numbers(cli: Cli, points: Collection) -> None:
    shown = cli("index", "advise", "points").out
    assert shown.startswith("exact for 300 chunks of 8 dimensions (vector)\n  300 chunks are compared in about 0 ms")
    shown = cli("index", "advise", "--rows", "100000", "--dimensions", "1024").out
    assert shown.startswith("hnsw for 100,000 chunks of 1,024 dimensions (halfvec)")
    advice = answer(cli("index", "advise", "--rows", "100000", "--dimensions", "384", "--json"))
    assert (advice["best"]["kind"], advice["best"]["index_bytes"]) == ("hnsw", 100_000 * 2048)
    assert advice["server"]["maintenance_work_mem"] > 0
    assert "name a collection" in cli("index", "advise", "--rows", "5", code=2).err


@pytest.mark.parametrize(
    "arguments",
    [("create", "points", "--m", "1"), ("tune", "points", "--recall", "0"), ("tune", "points", "--recall", "2")],
)
def test_options_that_make_no_sense_are_refused(cli: Cli, points: Collection, arguments: tuple[str, ...]) -> None:
    assert cli("index", *arguments, code=2).err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("advise", "points", "--rows", "5"), "are without a collection"),
        (("advise", "points", "--distance", "cosine"), "are without a collection"),
        (("create", "points", "--kind", "ivfflat", "--m", "5"), "m is for kind hnsw, and this index is ivfflat"),
        (("create", "points", "--lists", "5"), "lists is for kind ivfflat, and this index is hnsw"),
        (("rebuild", "points", "--lists", "5"), "lists is for kind ivfflat, and this index is hnsw"),
    ],
)
def test_options_without_effect_are_refused(
    cli: Cli, points: Collection, arguments: tuple[str, ...], said: str
) -> None:
    assert said in cli("index", *arguments, code=2).err


# What the commands stand on


def test_a_load_that_makes_the_index_due_measures_it_and_one_that_doubles_the_collection_measures_anew(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "AUTOMATIC_FROM", 1000)
    collection = db.create_collection("grown", dimensions=8)
    vectors = clustered(3000, 8)
    collection.put({"id": f"a{at}", "text": "", "embedding": vectors[at]} for at in range(1000))
    first = collection.calibration()
    assert first is not None
    assert first.rows == 1000
    told: list[Progress] = []
    collection.put(
        ({"id": f"b{at}", "text": "", "embedding": vectors[at]} for at in range(1000, 3000)), on_progress=told.append
    )
    second = collection.calibration()
    assert second is not None
    assert second.rows == 3000
    assert {progress.stage for progress in told} == {"ingest", "measure"}


def test_the_wishes_of_a_collection_are_kept_when_its_index_is_due(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "AUTOMATIC_FROM", 100)
    filled(db, "wished", 50, 8)
    with db.pools.writing.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE semsearch.spaces SET index_kind = 'auto',"
            """ index_settings = '{"quantization": "halfvec", "m": 8}'"""
        )
    collection = db.collection("wished")
    collection.put({"id": f"b{at}", "text": "", "embedding": vector} for at, vector in enumerate(clustered(60, 8)))
    (index,) = collection.indexes()
    assert (index.quantization, index.settings["m"]) == ("halfvec", 8)


def test_a_recall_that_cannot_be_reached_leaves_things_as_they_were(
    points: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_tuning, "MOST_CANDIDATES", 20)
    points.create_index(dimensions=1)
    before = points.calibration()
    with pytest.raises(InvalidInput, match="cannot be reached"):
        points.tune(1.0)
    assert points.calibration() == before


def test_the_index_of_an_empty_collection_is_not_measured(db: Database) -> None:
    empty: Any = db.create_collection("empty", dimensions=3)
    empty.create_index()
    assert empty.calibration() is None
