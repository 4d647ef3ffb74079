"""Queries that are asked at the same time are embedded together: whoever finds the model free takes along who waits.

Nobody waits for others to come. The first one is embedded at once; those who come while the model is at work are the
next batch, which one of them gives to the model. A text that several ask at once is embedded once. An error reaches
those whose text has it: a batch that fails because of a text is taken apart.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from semsearch import embedders
from semsearch.embedders import Embedder
from semsearch.errors import BudgetExhausted, ModelUnavailable, Overloaded, ProviderBusy, UnusableEmbedding
from semsearch.records import Embedding
from semsearch.store.deadlines import Deadline

LARGEST = 64  # texts of a batch: who asks for one waits no longer than that takes
SLICE, OF_PROVIDER = 32, 256  # texts of documents, which are longer
MOST_WAITING = 256  # texts; who comes then is sent away at once instead of in a minute
RETRY_AFTER = 1.0  # seconds

_batchers: dict[Embedder, Batcher] = {}  # embedders stay loaded as long as the process
_making = threading.Lock()


@dataclass(eq=False)
class _Asked:
    """One text, and what became of it; `wanted` by so many callers."""

    text: str
    wanted: int = 0
    embedding: Embedding | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.embedding is not None or self.error is not None


@dataclass
class Line:
    """One at a time, in the order in which they came."""

    _changed: threading.Condition = field(default_factory=threading.Condition)
    _waiting: deque[object] = field(default_factory=deque)  # the first one has the turn

    @contextmanager
    def turn(self, deadline: Deadline | None) -> Iterator[None]:
        """Raises DeadlineExceeded where it does not come in time."""
        mine = object()
        with self._changed:
            self._waiting.append(mine)
        try:
            with self._changed:
                while self._waiting[0] is not mine:
                    self._changed.wait(deadline.remaining() if deadline else None)
            yield
        finally:
            with self._changed:
                self._waiting.remove(mine)
                self._changed.notify_all()


@dataclass
class Batcher:
    """Everybody's way to one model with queries. Safe to call from any number of threads."""

    embedder: Embedder
    _line: Line = field(default_factory=Line)  # of those who have documents
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _waiting: dict[str, _Asked] = field(default_factory=dict)  # in the order they came
    _embedding: dict[str, _Asked] = field(default_factory=dict)  # what the model is at work on

    def embed(self, queries: Sequence[str], deadline: Deadline | None = None) -> Embedding:
        """Their embeddings, shape (len(queries), dimensions); others have their turn after LARGEST of them.

        Raises what the model raises for one of them, Overloaded when too many wait, DeadlineExceeded.
        """
        return self._joined(self._embed(some, deadline) for some in slices(queries, LARGEST, deadline))

    def embed_documents(self, texts: Sequence[str], deadline: Deadline | None = None) -> Embedding:
        """Those of texts of documents. On this machine all who ask take turns: a query waits for one SLICE at most.

        Raises what the model raises, DeadlineExceeded.
        """
        if not embedders.is_local(self.embedder.model):  # a provider answers several at once
            return self._joined(map(self.embedder.embed_documents, slices(texts, OF_PROVIDER, deadline)))

        def embed(some: Sequence[str]) -> Embedding:
            with self._line.turn(deadline):
                return self.embedder.embed_documents(some)

        return self._joined(map(embed, slices(texts, SLICE, deadline)))

    def _joined(self, made: Iterable[Embedding]) -> Embedding:
        return np.concatenate([np.empty((0, self.embedder.dimensions), np.float32), *made])

    def _embed(self, queries: Sequence[str], deadline: Deadline | None) -> Embedding:
        mine = self._enter(queries)
        try:
            while self._next(mine, deadline):
                self._take_turn(deadline)
        finally:
            self._leave(mine)
        for asked in mine:
            if asked.error is not None:
                raise asked.error
        found = [asked.embedding for asked in mine if asked.embedding is not None]
        return np.array(found, np.float32).reshape(len(queries), self.embedder.dimensions)

    def _enter(self, queries: Sequence[str]) -> list[_Asked]:
        with self._changed:
            known = self._waiting | self._embedding
            fresh = {query: _Asked(query) for query in queries if query not in known}
            if len(self._waiting) + len(fresh) > MOST_WAITING:
                raise Overloaded(f"{MOST_WAITING} queries wait for {self.embedder.model} already.", RETRY_AFTER)
            self._waiting |= fresh
            mine = [(known | fresh)[query] for query in queries]
            for asked in mine:
                asked.wanted += 1
            return mine

    def _leave(self, mine: Iterable[_Asked]) -> None:
        """What nobody waits for any more is not embedded."""
        with self._changed:
            for asked in mine:
                asked.wanted -= 1
                if not asked.wanted and self._waiting.get(asked.text) is asked:
                    del self._waiting[asked.text]

    def _next(self, mine: Sequence[_Asked], deadline: Deadline | None) -> bool:
        """Wait until all is done (False), or it is this caller's turn to call the model (True)."""
        with self._changed:
            while not all(asked.is_done for asked in mine):
                if not self._embedding:
                    for text in [*self._waiting][:LARGEST]:
                        self._embedding[text] = self._waiting.pop(text)
                    return True
                self._changed.wait(deadline.remaining() if deadline else None)
            return False

    def _take_turn(self, deadline: Deadline | None) -> None:
        """A provider's answer, which may be long in coming, is waited for in a thread of its own: ours has a deadline.

        A daemon, which a provider that hangs does not keep from ending with the process.
        """
        if deadline is None or deadline.seconds is None or embedders.is_local(self.embedder.model):
            self._run()
        else:
            threading.Thread(target=self._run, name="semsearch-query", daemon=True).start()

    def _run(self) -> None:
        """Embed what was taken, for everybody."""
        batch = list(self._embedding.values())
        try:
            self._answer(batch)
        finally:
            with self._changed:
                for asked in batch:
                    if asked.wanted and not asked.is_done:  # this thread was interrupted, no fault of theirs
                        self._waiting[asked.text] = asked
                self._embedding.clear()
                self._changed.notify_all()

    def _answer(self, batch: Sequence[_Asked]) -> None:
        try:
            made = self.embedder.embed_queries([asked.text for asked in batch])
        except Exception as error:
            if len(batch) == 1 or not _may_be_of_a_text(error):
                for asked in batch:
                    asked.error = error
            else:
                half = len(batch) // 2
                self._answer(batch[:half])
                self._answer(batch[half:])
        else:
            for asked, embedding in zip(batch, made, strict=True):
                asked.embedding = embedding


def slices(texts: Sequence[str], size: int, deadline: Deadline | None) -> Iterator[Sequence[str]]:
    """Raises DeadlineExceeded where one is asked for too late."""
    for at in range(0, len(texts), size):
        if deadline is not None:
            deadline.remaining()
        yield texts[at : at + size]


def _may_be_of_a_text(error: Exception) -> bool:
    """Whether others of the batch may do without it. A model that is away is away for all."""
    if isinstance(error, ProviderBusy | BudgetExhausted):
        return False
    return isinstance(error, UnusableEmbedding) or not isinstance(error, ModelUnavailable)


def of(embedder: Embedder) -> Batcher:
    """The one batcher of an embedder in this process."""
    with _making:
        found = _batchers.get(embedder)
        if found is None:
            found = _batchers[embedder] = Batcher(embedder)
        return found
