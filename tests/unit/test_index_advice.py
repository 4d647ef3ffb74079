"""Which index is advised for which data on which server, and the sizes that are predicted."""

from __future__ import annotations

import pytest

from semsearch.store import index_sizes
from semsearch.store.index_advice import Advice, Data, advise
from semsearch.store.server_memory import Server

GB = 2**30
SERVER = Server(6 * GB, 64 * 2**20, 16 * GB, 2)


def best(advice: Advice) -> tuple[str, str]:
    return advice.best.kind, advice.best.quantization


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (Data(0, 384), ("exact", "none")),
        (Data(9_999, 384), ("exact", "none")),
        (Data(10_000, 384), ("hnsw", "none")),
        (Data(1_000_000, 384), ("hnsw", "none")),
        (Data(100_000, 767), ("hnsw", "none")),
        (Data(100_000, 768), ("hnsw", "halfvec")),
        (Data(100_000, 768, vector_type="halfvec"), ("hnsw", "none")),
        (Data(100_000, 2500), ("hnsw", "halfvec")),
        (Data(100_000, 4500, vector_type="halfvec"), ("hnsw", "binary")),
        (Data(1_000_000, 1536), ("hnsw", "binary")),  # the graph of half precision needs 3.6 GB, 3 can be had
        (Data(100_000_000, 768), ("ivfflat", "halfvec")),
        (Data(10_000_000, 384, "l1"), ("hnsw", "binary")),
    ],
    ids=str,
)
def test_the_index_that_the_data_deserve(data: Data, expected: tuple[str, str]) -> None:
    assert best(advise(data, SERVER)) == expected


def test_more_memory_changes_the_advice() -> None:
    data = Data(1_000_000, 1536)
    assert best(advise(data, SERVER._replace(maintenance_work_mem=4 * GB))) == ("hnsw", "halfvec")


def test_the_reasons_name_what_was_passed_over_and_why() -> None:
    reasons = "\n".join(advise(Data(1_000_000, 1536), SERVER).reasons)
    assert "without an index every search would take about 2,800 ms" in reasons
    assert "hnsw halfvec: the build needs 3.6 GB of memory and gets 3.0 GB" in reasons
    assert "maintenance_work_mem = '3687MB'" in reasons


def test_small_data_are_told_from_when_on_an_index_is_worth_its_while() -> None:
    (reason,) = advise(Data(5000, 384), SERVER).reasons
    assert "from 10,000 on" in reason


def test_every_other_way_is_listed_with_what_speaks_against_it() -> None:
    advice = advise(Data(100_000, 384), SERVER)
    others = {(each.kind, each.quantization): each.problem for each in advice.alternatives}
    assert set(others) == {
        ("exact", "none"),
        ("hnsw", "halfvec"),
        ("hnsw", "binary"),
        ("ivfflat", "none"),
        ("ivfflat", "halfvec"),
        ("ivfflat", "binary"),
    }
    assert "signs of 384 dimensions" in str(others["hnsw", "binary"])
    assert others["ivfflat", "none"] == "searches are several times slower than hnsw"


def test_nothing_that_pgvector_cannot_build_is_listed() -> None:
    advice = advise(Data(100_000, 2500, "l1"), SERVER)
    listed = {(each.kind, each.quantization) for each in (advice.best, *advice.alternatives)}
    assert listed == {("exact", "none"), ("hnsw", "halfvec"), ("hnsw", "binary"), ("ivfflat", "binary")}


# Published: bytes a row of pgvector's indexes, by dimensions and type.
@pytest.mark.parametrize(
    ("dimensions", "type_", "expected"),
    [
        (384, "vector", 2048),
        (768, "vector", 4096),
        (1024, "vector", 8192),
        (1536, "vector", 8192),
        (2000, "vector", 16384),
        (384, "halfvec", 1170),
        (1024, "halfvec", 2731),
        (3072, "halfvec", 8192),
    ],
)
def test_the_size_of_an_hnsw_index_is_a_staircase(dimensions: int, type_: str, expected: int) -> None:
    assert index_sizes.hnsw_bytes(1000, dimensions, type_) // 1000 == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(("dimensions", "expected"), [(384, 1655), (768, 4127), (1536, 8230)])
def test_an_ivfflat_index_is_about_one_copy_of_the_vectors(dimensions: int, expected: int) -> None:
    rows = 40_000
    assert index_sizes.ivfflat_bytes(rows, dimensions, "vector") / rows == pytest.approx(expected, rel=0.02)


def test_a_graph_that_outgrows_its_memory_takes_longer() -> None:
    def seconds(memory: int) -> float:
        return index_sizes.hnsw_seconds(100_000, 384, "vector", memory=memory, processes=2)

    assert seconds(64 * 2**20) > 3 * seconds(GB)
    assert seconds(GB) == seconds(2 * GB)


def test_more_processes_build_faster() -> None:
    def seconds(processes: int) -> float:
        return index_sizes.hnsw_seconds(100_000, 384, "vector", memory=GB, processes=processes)

    assert seconds(1) > seconds(2) > seconds(4)
    assert seconds(3) == seconds(2)
