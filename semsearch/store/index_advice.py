"""Which index the data deserve, with what it will take: bytes, memory and seconds, predicted before it is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from semsearch.store import index_sizes, indexes
from semsearch.store.index_expressions import Quantization
from semsearch.store.server_memory import Server

Kind = Literal["exact", "hnsw", "ivfflat"]

HALFVEC_FROM = 768  # dimensions; published sweeps show the same recall at half the size (pgvector issue 326)
BINARY_FROM = 768  # dimensions; the signs of fewer tell so little that many candidates must be compared
LARGE, LONG = 1_000_000, 1536  # rows, dimensions from which ef_construction is 128 (pgvector issue 409)
PATIENCE = 6 * 3600  # seconds of a build
EXACT_SECONDS = 0.7e-6 / 384  # of one dimension of a chunk that is compared; its embedding is stored in its page


class Data(NamedTuple):
    """What is to be searched."""

    rows: int
    dimensions: int
    distance: str = "cosine"
    vector_type: str = "vector"


@dataclass(frozen=True)
class Candidate:
    """One way to search the data, and what it takes; `problem` says what speaks against it.

    `build_bytes` is the memory in which it is built at once, `search_bytes` what searches keep coming back to.
    """

    kind: Kind
    quantization: Quantization
    index_bytes: int
    build_bytes: int
    build_seconds: float
    search_bytes: int
    problem: str | None
    ef_construction: int | None = None
    lists: int | None = None


@dataclass(frozen=True)
class Advice:
    """The best candidate, the reasons for it in words, and the others."""

    data: Data
    server: Server
    best: Candidate
    reasons: tuple[str, ...]
    alternatives: tuple[Candidate, ...]


def advise(data: Data, server: Server) -> Advice:
    """What to do with the data on this server."""
    candidates = [_exact(data), *_hnsw(data, server), *_ivfflat(data, server)]
    best, reasons = _choose(candidates, data, server)
    return Advice(data, server, best, tuple(reasons), tuple(each for each in candidates if each is not best))


def _exact(data: Data) -> Candidate:
    large = data.rows >= indexes.AUTOMATIC_FROM
    milliseconds = data.rows * data.dimensions * EXACT_SECONDS * 1000
    problem = f"every search would take about {milliseconds:,.0f} ms" if large else None
    return Candidate("exact", "none", 0, 0, 0.0, _embedding_bytes(data), problem)


def _hnsw(data: Data, server: Server) -> Iterator[Candidate]:
    effort = 128 if data.rows >= LARGE or data.dimensions >= LONG else 64
    for quantization, held in _forms(data):
        size = index_sizes.hnsw_bytes(data.rows, data.dimensions, held)
        needed = index_sizes.build_bytes(data.rows, data.dimensions, held)
        seconds = index_sizes.hnsw_seconds(
            data.rows,
            data.dimensions,
            held,
            ef_construction=effort,
            memory=server.build_memory,
            processes=server.processes,
            scale=server.scale,
        )
        problem = _too_large(size, server) or _too_short(quantization, data)
        if needed > server.build_memory and not problem:
            problem = (
                f"the build needs {_size(needed)} of memory and gets {_size(server.build_memory)}, then it is slow"
            )
        searched = size + _reranked_bytes(quantization, data)
        yield Candidate("hnsw", quantization, size, needed, seconds, searched, problem, ef_construction=effort)


def _ivfflat(data: Data, server: Server) -> Iterator[Candidate]:
    for quantization, held in _forms(data):
        if data.distance == "l1" and held != "bit":
            continue
        size = index_sizes.ivfflat_bytes(data.rows, data.dimensions, held)
        yield Candidate(
            "ivfflat",
            quantization,
            size,
            index_sizes.sample_bytes(data.rows, data.dimensions, held),
            index_sizes.ivfflat_seconds(data.rows, data.dimensions, held, scale=server.scale),
            size + _reranked_bytes(quantization, data),
            _too_large(size, server) or _too_short(quantization, data) or "searches are several times slower than hnsw",
            lists=index_sizes.lists(data.rows),
        )


def _forms(data: Data) -> Iterator[tuple[Quantization, str]]:
    """The quantizations that pgvector's limits allow, each with the type that the index then holds."""
    forms: list[tuple[Quantization, str]] = [("none", data.vector_type), ("halfvec", "halfvec"), ("binary", "bit")]
    if data.vector_type == "halfvec":
        forms.remove(("halfvec", "halfvec"))
    return ((name, held) for name, held in forms if data.dimensions <= indexes.MAX_DIMENSIONS[held])


def _too_large(size: int, server: Server) -> str | None:
    if size <= server.effective_cache_size:
        return None
    return f"it does not fit into memory: effective_cache_size is {_size(server.effective_cache_size)}"


def _too_short(quantization: Quantization, data: Data) -> str | None:
    if quantization != "binary" or data.dimensions >= BINARY_FROM:
        return None
    return f"the signs of {data.dimensions} dimensions tell little, so many candidates must be compared"


def _embedding_bytes(data: Data) -> int:
    return data.rows * index_sizes.payload(data.dimensions, data.vector_type)


def _reranked_bytes(quantization: Quantization, data: Data) -> int:
    """Stored embeddings by which candidates are ordered: about a tenth of them is asked for again and again."""
    return 0 if quantization == "none" else _embedding_bytes(data) // 10


def _choose(candidates: Sequence[Candidate], data: Data, server: Server) -> tuple[Candidate, list[str]]:
    exact = candidates[0]
    if exact.problem is None:
        return exact, [
            f"{data.rows:,} chunks are compared in about {data.rows * data.dimensions * EXACT_SECONDS * 1000:.0f} ms, "
            f"which is always right; an index is worth its while from {indexes.AUTOMATIC_FROM:,} on"
        ]
    ranked = sorted((each for each in candidates if each.kind == "hnsw"), key=lambda each: _preference(each, data))
    best = next((each for each in ranked if each.problem is None), None)
    if best:
        return best, [f"without an index {exact.problem}", *_reasons(best, ranked, data), *_remedy(ranked[0], server)]
    return _least_evil(ranked, candidates, server)


def _preference(candidate: Candidate, data: Data) -> int:
    """From 768 dimensions on half precision finds the same in half the memory; signs alone are the last resort."""
    order = ("halfvec", "none", "binary") if data.dimensions >= HALFVEC_FROM else ("none", "halfvec", "binary")
    return order.index(candidate.quantization)


def _reasons(best: Candidate, ranked: Sequence[Candidate], data: Data) -> Iterator[str]:
    passed = [each for each in ranked[: ranked.index(best)] if each.problem]
    yield from (f"{_named(each)}: {each.problem}" for each in passed)
    full = next((each for each in ranked if each.quantization == "none"), None)
    if best.quantization == "none":
        yield f"an index of {_size(best.index_bytes)} fits into memory"
    elif full is None:
        limit = indexes.MAX_DIMENSIONS[data.vector_type]
        yield f"an index on {data.vector_type} takes at most {limit:,} dimensions"
    else:
        yield f"{_size(best.index_bytes)} instead of {_size(full.index_bytes)}, with about the same recall"
    if best.quantization == "binary":
        yield "candidates are ordered by their stored embeddings"


def _least_evil(
    ranked: Sequence[Candidate], candidates: Sequence[Candidate], server: Server
) -> tuple[Candidate, list[str]]:
    """Nothing fits: what is built in reasonable time, the smaller the better, and what would help."""
    possible = [each for each in ranked if each.build_seconds <= PATIENCE]
    if not possible:
        possible = [each for each in candidates if each.kind == "ivfflat" and each.quantization != "binary"]
    best = min(possible or ranked, key=lambda each: each.index_bytes)
    reasons = [f"{_named(each)}: {each.problem}" for each in ranked]
    if best.kind == "ivfflat":
        reasons.append(f"to build hnsw would take {ranked[0].build_seconds / 3600:,.0f} hours")
    return best, [*reasons, *_remedy(ranked[0], server)]


def _remedy(wanted: Candidate, server: Server) -> Iterator[str]:
    """The setting with which the preferred index could be built."""
    if server.build_memory < wanted.build_bytes < server.effective_cache_size:
        memory = f"maintenance_work_mem = '{wanted.build_bytes // 2**20 + 1}MB'"
        yield f"with {memory} {_named(wanted)} is built at once"


def _named(candidate: Candidate) -> str:
    return candidate.kind if candidate.quantization == "none" else f"{candidate.kind} {candidate.quantization}"


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GB" if count >= 2**30 else f"{count / 2**20:,.0f} MB"
