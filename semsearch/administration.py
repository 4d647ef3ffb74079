"""What a database holds beside its collections: models of word vectors, and the roles that people are members of."""

from __future__ import annotations

from pathlib import Path

from semsearch.road import OnProgress, Progress
from semsearch.store import roles, word_models
from semsearch.store.complaints import translated
from semsearch.store.connection import Pools
from semsearch.store.roles import Role
from semsearch.store.word_models import WordModel
from semsearch.word_vectors import Vectors


class Administration:
    """The part of a `Database` that needs no collection."""

    _pools: Pools

    @translated
    def load_words(
        self,
        name: str,
        path: str | Path,
        *,
        limit: int | None = None,
        lowercase: bool | None = None,
        replace: bool = False,
        on_progress: OnProgress | None = None,
    ) -> WordModel:
        """Load a file of word vectors (word2vec's text format, GloVe, fastText's .vec, also gzipped) as a table.

        `limit` takes the first so many words. `lowercase` says that texts are looked up in lower case, and loads words
        so; left out, it is true of a file without upper-case letters. All or nothing is stored; `skipped` of the answer
        counts what was left out. Raises NotFound, InvalidInput, and Conflict for a name that is taken unless `replace`.
        """
        with self._pools.writing.connect() as connection:
            word_models.check_name(connection, name, replace=replace)

        def tell(done: int, total: int | None) -> None:
            if on_progress is not None:
                on_progress(Progress("words", done, total))

        with Vectors(path, limit=limit) as vectors, self._pools.writing.begin() as connection:
            return word_models.load(connection, name, vectors, lowercase=lowercase, replace=replace, on_words=tell)

    @translated
    def word_models(self) -> list[WordModel]:
        """The models of word vectors, by name."""
        with self._pools.writing.connect() as connection:
            return word_models.every(connection)

    @translated
    def nearest_words(self, name: str, word: str, top_k: int = 10) -> list[tuple[str, float]]:
        """The words nearest to a word in a model, with their cosine similarity. Raises NotFound, InvalidInput."""
        with self._pools.writing.connect() as connection:
            return word_models.nearest(connection, name, word, top_k)

    @translated
    def drop_words(self, name: str) -> None:
        """Remove a model of word vectors with its table. Raises NotFound."""
        with self._pools.writing.begin() as connection:
            word_models.drop(connection, name)

    @translated
    def roles(self) -> list[Role]:
        """The roles of the database that people and programs are made members of, with their members and rights."""
        with self._pools.writing.connect() as connection:
            return roles.every(connection)

    @translated
    def missing_roles(self) -> list[str]:
        """The statements that would make the roles that are missing, for a role with CREATEROLE."""
        return roles.look(self._pools.address) or []

    @translated
    def create_roles(self) -> list[str]:
        """Make the roles that are missing and grant all rights anew, as every migration does.

        Returns the statements that a role with CREATEROLE must run first; none when all is done.
        """
        with self._pools.writing.begin() as connection:
            return roles.create(connection)
