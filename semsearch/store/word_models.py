"""Static word vectors: a row in semsearch.word_models, and the words of each in a table named after its number."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from semsearch.errors import Conflict, InvalidInput, NotFound
from semsearch.store import binary_copy, roles
from semsearch.store.connection import driver
from semsearch.store.schema import word_models
from semsearch.store.spaces import NAME, PAGE, ROW_OVERHEAD
from semsearch.word_vectors import MAX_WORD_BYTES, Vectors

OnWords = Callable[[int, int | None], None]
COLUMNS = ("word", "rank", "embedding")

# Without the index: to build it afterwards is faster, and a word that comes twice would fail its row.
CREATE = (
    'CREATE TABLE {table} (word text COLLATE "C" NOT NULL, rank integer NOT NULL, '
    "embedding vector({dimensions}) NOT NULL)",
    "COMMENT ON TABLE {table} IS {comment}",
    "COMMENT ON COLUMN {table}.word IS 'As a text is looked up in it: in lower case where the model is.'",
    "COMMENT ON COLUMN {table}.rank IS 'Place in the file, which begins with the most frequent words: 1 is the first.'",
    "COMMENT ON COLUMN {table}.embedding IS 'As the file has it: not normalised.'",
)
PLAIN = "ALTER TABLE {table} ALTER COLUMN embedding SET STORAGE PLAIN"
FINISH = ("ALTER TABLE {table} ADD PRIMARY KEY (word)", "ANALYZE {table}")

# By the server, as texts are when their words are looked up: Python's lower case of Σ or İ is another.
LOWER = 'UPDATE {table} SET word = lower(word COLLATE "default") WHERE word <> lower(word COLLATE "default")'
# The first one stays: in a file in the order of frequency that is the more frequent spelling.
REMOVE_REPEATED = """
DELETE FROM {table} w
USING (SELECT word, min(rank) AS first FROM {table} GROUP BY word HAVING count(*) > 1) repeated
WHERE w.word = repeated.word AND w.rank > repeated.first
"""
NEAREST = text("SELECT word, similarity FROM semsearch.nearest_words(:model, :word, :top_k)")


@dataclass(frozen=True)
class WordModel:
    """A model of word vectors that is held as a table. `lowercase`: texts are looked up in lower case.

    `skipped` counts, by reason, the lines of the file that were left out; it is known only when the model is loaded.
    """

    name: str
    dimensions: int
    words: int
    lowercase: bool
    source: str
    loaded_at: datetime
    table: str
    skipped: Mapping[str, int] = field(default_factory=dict)


def check_name(connection: Connection, name: str, *, replace: bool) -> None:
    """Raise InvalidInput, Conflict unless a model of that name can be loaded."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidInput(
            f"name {name!r} of a word model will not do: use a lower-case letter, then up to 47 lower-case letters, "
            "digits and underscores."
        )
    if not replace and _row(connection, name) is not None:
        raise _exists(name)


def load(
    connection: Connection,
    name: str,
    vectors: Vectors,
    *,
    lowercase: bool | None,
    replace: bool,
    on_words: OnWords | None = None,
) -> WordModel:
    """Store the words of a file under a name, in place of what has it if `replace`; all in the caller's transaction.

    Raises InvalidInput, Conflict.
    """
    check_name(connection, name, replace=replace)
    before = _row(connection, name)
    if before is not None:
        connection.execute(delete(word_models).where(word_models.c.id == before.id))
    number = _insert(connection, name, vectors)
    _create_table(connection, number, name, vectors.dimensions)
    binary_copy.load(connection, _table(number), COLUMNS, _rows(vectors, on_words))
    lowercase = not vectors.cased if lowercase is None else lowercase
    if lowercase:
        _execute(connection, LOWER, number)
    repeated = _execute(connection, REMOVE_REPEATED, number)
    for statement in FINISH:
        _execute(connection, statement, number)
    words = connection.exec_driver_sql(f"SELECT count(*) FROM semsearch.words_{number:d}").scalar_one()  # noqa: S608
    settled = update(word_models).where(word_models.c.id == number)
    connection.execute(settled.values(words=words, lowercase=lowercase))
    roles.grant_word_model(connection, number)
    if before is not None:  # last, so that those who use it wait for the shortest time
        _execute(connection, "DROP TABLE {table}", before.id)
    skipped = {**vectors.skipped, **({"there already": repeated} if repeated else {})}
    return _model(_row(connection, name), skipped)


def every(connection: Connection) -> list[WordModel]:
    """All models, by name."""
    return [_model(row) for row in connection.execute(select(word_models).order_by(word_models.c.name))]


def find(connection: Connection, name: str) -> WordModel:
    """The model of that name; NotFound suggests the near one."""
    row = _row(connection, name)
    if row is None:
        raise _missing(connection, name)
    return _model(row)


def drop(connection: Connection, name: str) -> None:
    """Remove a model with its words. Raises NotFound, Conflict when a view or the like depends on its table."""
    row = _row(connection, name)
    if row is None:
        raise _missing(connection, name)
    connection.execute(delete(word_models).where(word_models.c.id == row.id))
    _execute(connection, "DROP TABLE IF EXISTS {table}", row.id)


def nearest(connection: Connection, name: str, word: str, top_k: int) -> list[tuple[str, float]]:
    """The words nearest to a word, with their cosine similarity. Raises NotFound for one that is not there."""
    find(connection, name)
    found = connection.execute(NEAREST, {"model": name, "word": word, "top_k": top_k})
    return [(row.word, row.similarity) for row in found]


def _rows(vectors: Vectors, on_words: OnWords | None) -> Iterator[list[bytes]]:
    rank = 0
    for words, matrix in vectors.blocks():
        encoded = binary_copy.vectors(matrix, "vector")
        for word, vector in zip(words, encoded, strict=True):
            rank += 1
            yield [binary_copy.text(word), binary_copy.integer(rank), vector]
        if on_words is not None:
            on_words(rank, vectors.total)


def _insert(connection: Connection, name: str, vectors: Vectors) -> int:
    of_file = {"dimensions": vectors.dimensions, "source": vectors.path.name}
    values = {"name": name, "words": 0, "lowercase": False, **of_file}
    try:
        return int(connection.execute(insert(word_models).values(values).returning(word_models.c.id)).scalar_one())
    except IntegrityError as error:
        raise _exists(name) from error


def _create_table(connection: Connection, number: int, name: str, dimensions: int) -> None:
    comment = f"Word vectors of the model {name}: semsearch.embed_words('{name}', 'a text')."
    # As with chunks: exact scans need no detour through TOAST where a row fits a page.
    fits = dimensions * 4 + 8 + MAX_WORD_BYTES + ROW_OVERHEAD <= PAGE
    for statement in (*CREATE, *([PLAIN] if fits else [])):
        _execute(connection, statement, number, dimensions=sql.Literal(dimensions), comment=sql.Literal(comment))


def _execute(connection: Connection, statement: str, number: int, **parts: Any) -> int:
    """One of the statements above; returns how many rows it changed."""
    made = sql.SQL(statement).format(table=_table(number), **parts)
    return driver(connection).execute(made).rowcount


def _table(number: int) -> sql.Identifier:
    return sql.Identifier("semsearch", f"words_{number}")


def _row(connection: Connection, name: str) -> Any:
    possible = isinstance(name, str) and NAME.fullmatch(name)
    return connection.execute(select(word_models).where(word_models.c.name == name)).one_or_none() if possible else None


def _model(row: Any, skipped: Mapping[str, int] | None = None) -> WordModel:
    values = dict(row._mapping)
    return WordModel(table=f"semsearch.words_{values.pop('id')}", skipped=skipped or {}, **values)


def _exists(name: str) -> Conflict:
    return Conflict(f"word model {name!r} exists already: drop it, or load with replace (--replace).")


def _missing(connection: Connection, name: str) -> NotFound:
    names = connection.execute(select(word_models.c.name)).scalars().all()
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"`semsearch words load {name} FILE` makes it."
    return NotFound(f"word model {name!r} does not exist. {hint}")
