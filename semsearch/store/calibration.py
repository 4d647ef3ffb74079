"""What searches of a collection cost, and how its ANN index must be asked: measured on the collection's own vectors.

The planner weighs its plans by these figures. They are measured after each build of the index, and again when the
collection has grown to twice its size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from semsearch.store import nearest
from semsearch.store.indexes import Index
from semsearch.store.schema import spaces
from semsearch.store.spaces import Space

TARGET = 0.95  # recall@10
GROWTH = 2  # times the chunks that were there: then measured anew

# Microseconds, until they are measured: 40,000 x 384 on two Xeon cores, PostgreSQL 18.4, pgvector 0.8.5.
EXACT_ROW, ANN_START, ANN_NODE = 0.7, 330.0, 8.5
READING = 0.3  # of EXACT_ROW, however long the embedding is: assumed, until it is measured
# Signs alone of 384 dimensions had 0.97 of the 10 nearest among their first 50, 0.999 among 100.
OVERSAMPLING = {"none": 4.0, "halfvec": 2.0, "binary": 10.0}


@dataclass(frozen=True)
class Calibration:
    """Costs in microseconds, and how the index is to be asked.

    To compare n chunks takes n * exact_row; to walk the index past n nodes ann_start + n * ann_node, and its first
    batch, of `ef_search`, is always visited. `ef_search` (hnsw) or `probes` (ivfflat) reach `target` recall@10; an
    index that does not hold the embeddings themselves is then asked for `oversampling` times as many candidates.
    `recall` is what was found so by `queries` queries. None, where nothing was measured.
    """

    rows: int
    exact_row: float = EXACT_ROW
    ann_start: float = ANN_START
    ann_node: float = ANN_NODE
    ef_search: int | None = None
    probes: int | None = None
    oversampling: float = 1.0
    recall: float | None = None
    target: float = TARGET
    queries: int = 0
    measured_at: datetime | None = None

    @property
    def reached(self) -> bool:
        """Whether the index finds what it should."""
        return self.recall is not None and self.recall >= self.target

    @property
    def milliseconds(self) -> float:
        """What a search without a filter takes by the index."""
        return (self.ann_start + (self.ef_search or 0) * self.ann_node) / 1000


def presumed(space: Space, rows: int, index: Index | None) -> Calibration:
    """What to believe before anything was measured; what a chunk costs grows with its bytes."""
    scale = space.vector_bytes / (384 * 4 + 8)
    direct = index is None or nearest.is_direct(space, index)
    oversampling = 1.0 if index is None or direct else OVERSAMPLING[index.quantization]
    exact_row = EXACT_ROW * (READING + (1 - READING) * scale)
    return Calibration(rows, exact_row, ann_node=ANN_NODE * max(1.0, scale), oversampling=oversampling)


def stale(calibration: Calibration | None, rows: int) -> bool:
    """Whether it is to be measured, for the first time or anew."""
    return calibration is None or rows >= GROWTH * max(calibration.rows, 1)


def read(connection: Connection, space: Space) -> Calibration | None:
    """The latest measurement; None without any."""
    values = connection.execute(select(spaces.c.calibration).where(spaces.c.id == space.id)).scalar_one_or_none()
    return None if values is None else _from_json(values)


def _from_json(values: Mapping[str, Any]) -> Calibration:
    return Calibration(**{**values, "measured_at": datetime.fromisoformat(values["measured_at"])})


def write(connection: Connection, space: Space, calibration: Calibration | None) -> None:
    """Keep it for all who search the collection; None forgets it, because its index is gone."""
    values = None
    if calibration is not None:
        values = dataclasses.asdict(calibration)
        values["measured_at"] = calibration.measured_at.isoformat() if calibration.measured_at else None
    connection.execute(update(spaces).where(spaces.c.id == space.id).values(calibration=values))
