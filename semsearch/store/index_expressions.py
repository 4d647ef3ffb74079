"""What an ANN index holds of an embedding, as an expression: CREATE INDEX and ORDER BY must say the very same.

| quantization | over a column `embedding vector(n)` | operator |
|---|---|---|
| none | `embedding` | the collection's distance |
| halfvec | `CAST(embedding AS halfvec(n))` | the collection's distance |
| binary | `CAST(binary_quantize(embedding) AS bit(n))`, the signs alone | `<~>`, Hamming |

Fewer dimensions than the space's take a prefix, `subvector(embedding, 1, d)`, of models trained for that (Matryoshka).
Whatever is not the embedding itself only finds candidates, which the search then orders by their stored embeddings.
"""

from __future__ import annotations

from typing import Any, Literal

from pgvector.sqlalchemy import BIT, HALFVEC, VECTOR
from sqlalchemy import ColumnElement, Float, cast, func, literal_column
from sqlalchemy.types import TypeEngine

from semsearch.store.spaces import OPERATORS, Space

Quantization = Literal["none", "halfvec", "binary"]

OPERATOR_CLASSES = {"l2": "l2_ops", "cosine": "cosine_ops", "inner_product": "ip_ops", "l1": "l1_ops"}


def indexed_expression(
    vector: ColumnElement[Any], space: Space, quantization: Quantization = "none", dimensions: int | None = None
) -> ColumnElement[Any]:
    """What the index holds of `vector`: the column `embedding`, or the query, which is compared in the same form.

    `dimensions` is the length of the prefix, None for all of them.
    """
    length = dimensions or space.dimensions
    if quantization == "none" and length == space.dimensions:
        return vector
    prefix = vector if length == space.dimensions else _prefix(vector, length)
    if quantization == "binary":
        return cast(func.binary_quantize(prefix), BIT(length))
    return cast(prefix, _TYPES[indexed_type(space, quantization)](length))


def _prefix(vector: ColumnElement[Any], length: int) -> ColumnElement[Any]:
    """Literals, because the index's expression is matched before parameters have values."""
    return func.subvector(vector, literal_column("1"), literal_column(str(int(length))), type_=vector.type)


_TYPES: dict[str, Any] = {"vector": VECTOR, "halfvec": HALFVEC, "bit": BIT}


def indexed_type(space: Space, quantization: Quantization) -> str:
    """The type of what the index holds: vector, halfvec or bit."""
    return {"none": space.vector_type, "halfvec": "halfvec", "binary": "bit"}[quantization]


def operator(space: Space, quantization: Quantization = "none") -> str:
    """The operator that the index answers."""
    return "<~>" if quantization == "binary" else OPERATORS[space.distance]


def operator_class(space: Space, quantization: Quantization = "none") -> str:
    """The operator class the index is made with."""
    if quantization == "binary":
        return "bit_hamming_ops"
    return f"{indexed_type(space, quantization)}_{OPERATOR_CLASSES[space.distance]}"


def indexed_distance(
    vector: ColumnElement[Any],
    query: ColumnElement[Any],
    space: Space,
    quantization: Quantization = "none",
    dimensions: int | None = None,
) -> ColumnElement[float]:
    """The distance by which the index orders; the collection's own where it holds the embedding itself."""
    left, right = (indexed_expression(side, space, quantization, dimensions) for side in (vector, query))
    kind: TypeEngine[float] = Float()
    return left.op(operator(space, quantization), return_type=kind)(right)
