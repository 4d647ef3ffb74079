"""Word vectors as a table: loaded whole or not at all, and asked in pure SQL as numpy would answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from pgvector.psycopg import register_vector

from semsearch.database import Database
from semsearch.errors import Conflict, InvalidInput, NotFound
from semsearch.road import Progress
from tests.integration.command_line import Cli, answer

Sql = psycopg.Connection[Any]

# Royal, male, female, fruit: king - man + woman is (1, 0, 1, 0) exactly.
ROYAL = """\
king 1 1 0 0
queen 1 0 1 0
man 0 1 0 0
woman 0 0 1 0
prince 0.8 1 0 0.1
apple 0 0 0 2
kingdom 3 0.2 0.2 0
"""


@pytest.fixture
def sql(db: Database, database_url: str) -> Iterator[Sql]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        register_vector(connection)
        yield connection


@pytest.fixture
def royal(tmp_path: Path) -> Path:
    path = tmp_path / "royal.txt"
    path.write_text(ROYAL)
    return path


def fails(sql: Sql, statement: str) -> tuple[str, str]:
    """The message and the hint."""
    with pytest.raises(psycopg.errors.NoDataFound) as refused:
        sql.execute(statement)
    return str(refused.value.diag.message_primary), str(refused.value.diag.message_hint)


def test_a_model_is_loaded_asked_replaced_and_dropped(db: Database, sql: Sql, royal: Path) -> None:
    seen: list[Progress] = []
    loaded = db.load_words("royal", royal, on_progress=seen.append)
    assert (loaded.words, loaded.dimensions, loaded.lowercase, loaded.source) == (7, 4, True, "royal.txt")
    assert [(progress.stage, progress.done, progress.total) for progress in seen] == [("words", 7, None)]
    first = sql.execute(f"SELECT word, rank FROM {loaded.table} ORDER BY rank LIMIT 2").fetchall()
    assert first == [("king", 1), ("queen", 2)]
    analogy = sql.execute("SELECT * FROM semsearch.analogy('royal', 'king', 'man', 'woman', 2)").fetchall()
    target = np.array([0.5**0.5, 0.5**0.5 - 1, 1, 0])  # of vectors as long as one
    assert analogy[0] == ("queen", pytest.approx((target[0] + target[2]) / 2**0.5 / np.linalg.norm(target)))
    shouted = sql.execute("SELECT word FROM semsearch.analogy('royal', 'KING', 'Man', 'woman')").fetchall()
    assert shouted[0] == ("queen",)
    assert [word for word, _ in db.nearest_words("royal", "king", 2)] == ["prince", "kingdom"]
    with pytest.raises(Conflict, match=r"'royal' exists already: drop it, or load with replace"):
        db.load_words("royal", royal)
    royal.write_text("only 1 2\n")
    replaced = db.load_words("royal", royal, replace=True)
    assert [(model.words, model.dimensions) for model in db.word_models()] == [(1, 2)]
    assert sql.execute("SELECT to_regclass(%s), to_regclass(%s)", [loaded.table, replaced.table]).fetchone() == (
        None,
        replaced.table,
    )
    db.drop_words("royal")
    assert db.word_models() == []
    assert sql.execute("SELECT to_regclass(%s)", [replaced.table]).fetchone() == (None,)
    with pytest.raises(NotFound, match="`semsearch words load royal FILE` makes it"):
        db.drop_words("royal")


def test_a_load_that_fails_leaves_what_was_there(db: Database, sql: Sql, royal: Path) -> None:
    def tables() -> Any:
        return sql.execute("SELECT relname FROM pg_class WHERE relname ~ '^words_[0-9]+$' AND relkind = 'r'").fetchall()

    lines = [f"word{number} 1 {number}" for number in range(2500)]
    royal.write_text("\n".join([*lines, "broken 1"]))
    with pytest.raises(InvalidInput, match="line 2,501"):
        db.load_words("royal", royal)
    assert db.word_models() == tables() == []
    royal.write_text(ROYAL)
    before = db.load_words("royal", royal)
    royal.write_text("\n".join([*lines, "broken 1"]))
    with pytest.raises(InvalidInput, match="line 2,501"):
        db.load_words("royal", royal, replace=True)
    assert db.word_models()[0].table == before.table
    assert [f"semsearch.{name}" for (name,) in tables()] == [before.table]
    for name in ("Royal", "", "a" * 49, "a;b"):
        with pytest.raises(InvalidInput, match="of a word model will not do"):
            db.load_words(name, royal)


def test_a_view_of_the_users_on_a_model_keeps_it(db: Database, sql: Sql, royal: Path) -> None:
    table = db.load_words("royal", royal).table
    sql.execute(f"CREATE VIEW mine AS SELECT word FROM {table}")
    for change in (lambda: db.drop_words("royal"), lambda: db.load_words("royal", royal, replace=True)):
        with pytest.raises(Conflict, match="drop what depends on it first"):
            change()
    assert [model.words for model in db.word_models()] == [7]


def test_the_first_of_a_word_that_comes_twice_stays(db: Database, sql: Sql, royal: Path) -> None:
    royal.write_text("a 1 1\nb 2 2\na 3 3\nA 4 4\n" + "".join(f"n{n} 1 {n}\n" for n in range(3000)) + "b 5 5\na 6 6\n")
    loaded = db.load_words("cased", royal)
    assert (loaded.words, loaded.lowercase, loaded.skipped) == (3003, False, {"there already": 3})
    assert sql.execute(f"SELECT embedding::text FROM {loaded.table} WHERE word = 'a'").fetchone() == ("[1,1]",)
    lower = db.load_words("lower", royal, lowercase=True, limit=4)
    assert (lower.words, lower.lowercase, lower.skipped) == (2, True, {"there already": 2})


def test_words_are_put_in_lower_case_as_texts_are(db: Database, sql: Sql, royal: Path) -> None:
    """By the server: Python ends ΑΣ with another letter, and makes two characters of İ."""
    royal.write_text("ΑΣ 1 1\nİx 2 1\nÉcole 1 2\nx 1 3\n")
    db.load_words("lower", royal, lowercase=True)
    db.load_words("cased", royal)
    for model in ("lower", "cased"):
        for word in ("ΑΣ", "İx", "École", "x"):
            found = sql.execute("SELECT semsearch.embed_words(%s, %s) IS NULL", (model, word)).fetchone()
            assert found == (False,), (model, word)
    assert sql.execute("SELECT semsearch.embed_words('lower', 'ÉCOLE') IS NULL").fetchone() == (False,)
    assert sql.execute("SELECT semsearch.embed_words('cased', 'ÉCOLE') IS NULL").fetchone() == (True,)


def test_errors_name_the_model_and_the_word_and_what_is_near(db: Database, sql: Sql, royal: Path) -> None:
    assert fails(sql, "SELECT semsearch.embed_words('royal', 'king')") == (
        "word model 'royal' does not exist",
        "There are none yet: `semsearch words load NAME FILE` loads one.",
    )
    db.load_words("royal", royal)
    assert fails(sql, "SELECT * FROM semsearch.analogy('royl', 'a', 'b', 'c')") == (
        "word model 'royl' does not exist",
        "There are: royal",
    )
    assert fails(sql, "SELECT * FROM semsearch.analogy('royal', 'king', 'man', 'womans')") == (
        "word model 'royal' does not know the word 'womans'",
        "Near it are: 'woman'.",
    )
    assert fails(sql, "SELECT * FROM semsearch.nearest_words('royal', 'xyz')")[1] == "No near word was found."
    near = fails(sql, "SELECT * FROM semsearch.nearest_words('royal', 'kin')")[1]
    assert near == "Near it are: 'king', 'kingdom'."
    assert fails(sql, "SELECT * FROM semsearch.nearest_words('royal', NULL)")[0].endswith("the word NULL")
    assert fails(sql, "SELECT semsearch.word_vector('royal', repeat('x', 100000))")[0].endswith(f"'{'x' * 80}'")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="top_k is a whole number from 1 to 1000; got 0"):
        sql.execute("SELECT * FROM semsearch.nearest_words('royal', 'king', 0)")
    royal.write_text("King 1 2\nking 2 1\n")
    db.load_words("cased", royal)
    assert fails(sql, "SELECT semsearch.word_vector('cased', 'KING')")[1] == "Near it are: 'King', 'king'."
    with pytest.raises(NotFound, match="Did you mean 'royal'"):
        db.nearest_words("royall", "king")
    with pytest.raises(NotFound, match="does not know the word 'xyz'"):
        db.nearest_words("royal", "xyz")


def cut(text: str) -> list[str]:
    """What semsearch.cut_words promises, for scripts in which Python's \\w and its ranges agree."""
    return re.findall(r"\w+", text.lower())


def test_texts_are_embedded_as_numpy_would(db: Database, sql: Sql, tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    letters = list("abcdefghijklmnopqrstuvwxyzäéñøшчπλ猫語0123456789_")
    words = list({"".join(random.choice(letters, random.integers(1, 9))) for _ in range(400)})
    matrix = random.normal(size=(len(words), 25)).astype(np.float32)
    path = tmp_path / "vectors.vec"
    lines = [f"{word} {' '.join(map(repr, row.tolist()))}\n" for word, row in zip(words, matrix, strict=True)]
    path.write_text(f"{len(words)} 25\n" + "".join(lines))
    db.load_words("made", path)
    vectors = dict(zip(words, matrix.astype(np.float64), strict=True))
    separators = [" ", ", ", "—", ".\n", "?! ", "' ", "/", " «", "» ", "。", "\t", " 🙂 ", "…", "-"]
    compared = 0
    for _ in range(400):
        count = random.integers(0, 30)
        chosen = [str(random.choice(words)) if random.random() < 0.7 else "unknown" for _ in range(count)]
        shouted = [word.upper() if random.random() < 0.3 else word for word in chosen]
        text = "".join(word + str(random.choice(separators)) for word in shouted)
        known = [vectors[word] for word in cut(text) if word in vectors]
        asked = "SELECT semsearch.embed_words('made', %(text)s), semsearch.cut_words(%(text)s, true)"
        row = sql.execute(asked, {"text": text}).fetchone()
        assert row is not None
        assert row[1] == cut(text)
        if not known:
            assert row[0] is None
            continue
        mean = np.mean(known, axis=0)
        assert np.abs(row[0].to_numpy() - mean / np.linalg.norm(mean)).max() < 1e-6
        compared += 1
    assert compared > 300


def test_what_holds_no_known_word_has_no_embedding(db: Database, sql: Sql, royal: Path) -> None:
    royal.write_text(ROYAL + "gnik -1 -1 0 0\n")
    db.load_words("royal", royal)
    for text in ("", " ", "xyz", "...", "king gnik"):
        assert sql.execute("SELECT semsearch.embed_words('royal', %s)", [text]).fetchone() == (None,), text
    missing = sql.execute("SELECT semsearch.embed_words('royal', NULL), semsearch.embed_words(NULL, 'king')").fetchone()
    assert missing == (None, None)
    row = sql.execute("SELECT semsearch.embed_words('royal', 'The KING (king?), an apple')::text").fetchone()
    assert row == sql.execute("SELECT l2_normalize('[2,2,0,2]'::vector)::text").fetchone()


def test_a_search_by_words_embeds_them_once_and_uses_an_index(db: Database, sql: Sql, tmp_path: Path) -> None:
    """A VOLATILE function would keep the index from being used."""
    path = tmp_path / "vectors.txt"
    random = np.random.default_rng(1)
    path.write_text("".join(f"word{n} {' '.join(map(str, random.normal(size=8).round(4)))}\n" for n in range(3000)))
    table = db.load_words("made", path).table
    asked = "semsearch.embed_words('made', 'word1 word2')"
    bare = f"SELECT word FROM {table} ORDER BY embedding <=> {asked} LIMIT 3"
    as_subquery = f"SELECT word FROM {table} ORDER BY embedding <=> (SELECT {asked}) LIMIT 3"
    assert "InitPlan" in repr(sql.execute(f"EXPLAIN {as_subquery}").fetchall())
    exact = sql.execute(as_subquery).fetchall()
    sql.execute(f"CREATE INDEX ON {table} USING hnsw (embedding vector_cosine_ops)")
    for statement in (bare, as_subquery):
        assert "Index Scan" in repr(sql.execute(f"EXPLAIN {statement}").fetchall())
        assert sql.execute(statement).fetchall()[0] == exact[0]
    assert len(sql.execute("SELECT * FROM semsearch.nearest_words('made', 'word1', 5)").fetchall()) == 5


def test_pgvector_may_live_in_any_schema_and_the_callers_path_counts_for_nothing(
    db: Database, sql: Sql, royal: Path
) -> None:
    sql.execute("CREATE SCHEMA other; ALTER EXTENSION vector SET SCHEMA other")
    sql.execute("CREATE FUNCTION public.l2_normalize(other.vector) RETURNS other.vector LANGUAGE sql AS 'SELECT $1'")
    sql.execute("SET search_path = other, public")
    with psycopg.connect(sql.info.dsn, autocommit=True) as plain:
        plain.execute(f'ALTER DATABASE "{sql.info.dbname}" SET search_path = public, other')
    db.pools.writing.dispose()
    db.load_words("royal", royal)
    sql.execute("SET search_path = ''")
    found = sql.execute("SELECT word FROM semsearch.analogy('royal', 'king', 'man', 'woman', 1)").fetchone()
    assert found == ("queen",)
    assert sql.execute("SELECT semsearch.embed_words('royal', 'king') IS NULL").fetchone() == (False,)


@pytest.mark.data
def test_glove_answers_as_exact_arithmetic_does(db: Database, sql: Sql, shared_data: Path) -> None:
    """The share of Google's analogies answered right by 3CosAdd was computed beside the data, with exact arithmetic."""
    path = shared_data / "glove-twitter-25d-12k" / "glove.twitter.27B.25d.top12k.txt"
    loaded = db.load_words("glove", path)
    assert (loaded.words, loaded.dimensions, loaded.lowercase) == (11925, 25, True)
    lines = (shared_data / "word-analogy" / "questions-words.txt").read_text().lower().splitlines()
    questions = [line.split() for line in lines if not line.startswith(":")]
    sql.execute("CREATE TEMPORARY TABLE questions (a text, b text, c text, d text)")
    with sql.cursor().copy("COPY questions FROM STDIN") as stream:
        for question in questions:
            stream.write_row(question)
    # A sample of the covered questions, every tenth: all of them take a minute.
    rows = sql.execute(
        f"SELECT a, b, c, d, (SELECT word FROM semsearch.analogy('glove', b, a, c, 1)) FROM ("
        f"  SELECT *, row_number() OVER (ORDER BY ctid) AS number FROM questions"
        f"  WHERE (SELECT count(*) FROM {loaded.table} WHERE word IN (a, b, c, d)) = "
        f"        cardinality(ARRAY(SELECT DISTINCT unnest(ARRAY[a, b, c, d])))) q WHERE number % 10 = 0"
    ).fetchall()
    assert len(rows) == 616
    words, matrix = [], []
    for word, vector in sql.execute(f"SELECT word, embedding FROM {loaded.table} ORDER BY rank"):
        words.append(word)
        matrix.append(vector.to_numpy())
    unit = np.array(matrix, np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    place = {word: number for number, word in enumerate(words)}
    wrong = 0
    for a, b, c, _, answered in rows:
        similar = unit @ (unit[place[b]] - unit[place[a]] + unit[place[c]])
        similar[[place[a], place[b], place[c]]] = -9
        wrong += words[int(similar.argmax())] != answered
    assert wrong == 0
    right = sum(answered == d for *_, d, answered in rows)
    assert right / len(rows) == pytest.approx(0.1822, abs=0.04)
    royal = sql.execute("SELECT word FROM semsearch.analogy('glove', 'king', 'man', 'woman')").fetchall()
    assert ("queen",) in royal


def test_the_commands(cli: Cli, royal: Path, tmp_path: Path) -> None:
    assert cli("words", "list").out == "no word models yet; `semsearch words load NAME FILE` loads one\n"
    royal.write_text(ROYAL + "king 1 2 3 4\nzero 0 0 0 0\n")
    done = cli("words", "load", "royal", str(royal))
    assert re.fullmatch(r"royal: 7 words of 4 dimensions in semsearch\.words_\d+; looked up in lower case\n", done.out)
    assert done.err == "left out: 1 a vector of zeros, 1 there already\n"
    assert "exists already" in cli("words", "load", "royal", str(royal), code=4).err
    assert "there is no file" in cli("words", "load", "other", str(tmp_path / "absent"), code=3).err
    how = ("--replace", "--limit", "3", "--no-lowercase", "--json")
    replaced = answer(cli("words", "load", "royal", str(royal), *how))
    assert (replaced["words"], replaced["lowercase"], replaced["skipped"]) == (3, False, {})
    assert [model["name"] for model in answer(cli("words", "list", "--json"))["word_models"]] == ["royal"]
    assert cli("words", "list").out.split()[:3] == ["name", "words", "dimensions"]
    near = answer(cli("words", "nearest", "royal", "king", "--top-k", "1", "--json"))
    assert near == {"words": [{"word": "man", "similarity": pytest.approx(0.5**0.5)}]}
    shown = cli("words", "nearest", "royal", "king", "--top-k", "1").out.split()
    assert shown == ["word", "similarity", "man", "0.707"]
    assert "say --yes" in cli("words", "drop", "royal", code=2).err
    assert cli("words", "drop", "royal", "--yes").out == "royal: dropped\n"
    assert "does not exist" in cli("words", "drop", "royal", "--yes", code=3).err
