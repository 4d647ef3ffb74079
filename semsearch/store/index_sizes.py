"""How large an ANN index becomes, and what its build takes: formulas derived from pgvector's sources, and measured.

`tests/benchmarks/advice.py` compares them with what PostgreSQL does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

PAGE = 8192  # bytes
USABLE = 8160  # bytes of a page behind its header and pgvector's own 8 bytes (src/hnsw.h, src/ivfflat.h)
MAX_TUPLE = 8156  # bytes; HNSW keeps a row's element and its neighbours together up to here (src/hnswbuild.c)

BYTES: Mapping[str, float] = {"vector": 4, "halfvec": 2, "bit": 1 / 8}  # of one dimension

# Seconds of one process for one row: 0.10 ms, and 0.35 us for every dimension, at 40,000 rows and ef_construction 64.
# Measured on two Xeon cores with AVX512, PostgreSQL 18.4, pgvector 0.8.5, 40,000 x 384 and 12,000 x 768.
ROW_SECONDS, DIMENSION_SECONDS = 0.10e-3, 0.35e-6
ON_DISK_SECONDS = 1.1e-3  # an insert into a finished graph of 40,000 x 384, everything cached
LOG_BYTES = 200 * 2**20  # a second, of write-ahead log
# What so many processes make of it: SIFT1M, pgvector issue 409.
SPEEDUP = {1: 1.0, 2: 1.7, 4: 2.9, 8: 3.7}


def payload(dimensions: int, type_: str) -> int:
    """Bytes of one indexed vector without its header; `type_` is vector, halfvec or bit."""
    return math.ceil(dimensions * BYTES[type_])


def hnsw_bytes(rows: int, dimensions: int, type_: str, m: int = 16) -> int:
    """Size of an HNSW index: a staircase, because a row's element and neighbours share a page where they fit.

    Vectors and half vectors come within 0.5 %; bits are 3 to 5 % larger for the upper layers, which counts there.
    """
    element = _aligned(80 + payload(dimensions, type_))
    neighbours = _aligned(4 + 6 * 2 * m)
    if element + neighbours + 8 > MAX_TUPLE:
        return rows * 2 * PAGE
    fitting = USABLE // (element + neighbours + 8)
    return int(rows * PAGE / fitting * (1.04 if type_ == "bit" else 1))


def ivfflat_bytes(rows: int, dimensions: int, type_: str) -> int:
    """Size of an IVFFlat index: about one copy of the vectors."""
    tuple_ = _aligned(8 + 8 + payload(dimensions, type_)) + 4
    return math.ceil(rows / max(1, USABLE // tuple_)) * PAGE + lists(rows) * PAGE


def _aligned(size: int) -> int:
    return (size + 7) // 8 * 8


def build_bytes(rows: int, dimensions: int, type_: str, m: int = 16) -> int:
    """Memory an HNSW build needs to stay in memory: N * (202 + 32 m + payload), with 2 % and 4 MB of margin.

    Derived from pgvector's src/hnsw.h and checked against its notice "graph no longer fits": exact to the row.
    """
    return int(rows * (202 + 32 * m + payload(dimensions, type_)) * 1.02) + 4 * 2**20


def fitting_rows(memory: int, dimensions: int, type_: str, m: int = 16) -> int:
    """How many rows' graph fits into so much maintenance_work_mem; the rest is inserted on disk."""
    return memory // (202 + 32 * m + payload(dimensions, type_))


def lists(rows: int) -> int:
    """IVFFlat lists: rows / 1000 up to a million, then their square root (pgvector README, "IVFFlat")."""
    return max(1, rows // 1000 if rows <= 1_000_000 else math.isqrt(rows))


def sample_bytes(rows: int, dimensions: int, type_: str) -> int:
    """Memory an IVFFlat build needs for its sample: 50 vectors a list, at least 10,000 (src/ivfbuild.c)."""
    return min(rows, max(10_000, 50 * lists(rows))) * (payload(dimensions, type_) + 8) + 4 * 2**20


def hnsw_seconds(
    rows: int,
    dimensions: int,
    type_: str,
    *,
    memory: int,
    processes: int,
    m: int = 16,
    ef_construction: int = 64,
    scale: float = 1.0,
) -> float:
    """How long an HNSW build takes; what does not fit into `memory` bytes is inserted row by row.

    `scale` is how much slower this machine is than the one of the constants.
    """
    inside = min(rows, fitting_rows(memory, dimensions, type_, m))
    # Bits are compared in no time, but more of them are equally far: 4.0 s instead of 5.4 s for 40,000 x 384.
    effective = dimensions / 2 if type_ == "bit" else dimensions
    row = ROW_SECONDS + DIMENSION_SECONDS * effective
    depth = math.log(max(inside, 1000)) / math.log(40_000)
    computed = inside * row * depth * math.pow(ef_construction / 64, 0.7) / _speedup(processes)
    inserted = (rows - inside) * ON_DISK_SECONDS * max(1.0, effective / 384)
    return scale * (computed + inserted) + hnsw_bytes(rows, dimensions, type_, m) / LOG_BYTES


def ivfflat_seconds(rows: int, dimensions: int, type_: str, *, scale: float = 1.0) -> float:
    """How long an IVFFlat build takes: a k-means over the sample, each vector to its list, a sort.

    0.8 s were measured for 40,000 x 384 in 40 lists.
    """
    effective = dimensions / 8 if type_ == "bit" else dimensions
    compared = min(rows, max(10_000, 50 * lists(rows))) * 10 + rows  # rows times lists, k-means for some ten rounds
    return scale * (rows * 12e-6 + compared * lists(rows) * effective * 0.06e-9) + (
        ivfflat_bytes(rows, dimensions, type_) / LOG_BYTES
    )


def _speedup(processes: int) -> float:
    return SPEEDUP[max(number for number in SPEEDUP if number <= max(1, processes))]
