"""What a collection's model makes of texts, without anything being stored."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from semsearch import batching, budget
from semsearch.errors import InvalidInput
from semsearch.opened import Opened
from semsearch.records import Embedding
from semsearch.store.complaints import translated
from semsearch.store.deadlines import Deadline
from semsearch.store.transactions import again_when_lost

LATE = "the model takes longer for these texts than {:g} s: send fewer at once."


class Embeddings(Opened):
    """The model of a collection, asked for itself. `deadline` is how many seconds it may take."""

    @translated
    def embed_queries(self, queries: Sequence[str], *, deadline: float | None = None) -> Embedding:
        """What the model makes of queries, shape (n, dimensions): what `search` compares with the stored embeddings.

        Those that were asked before are cached. Raises InvalidInput, ModelUnavailable, Overloaded, DeadlineExceeded.
        """
        _check_list("embed_queries", queries)
        embed = functools.partial(self._searcher.questions.embed_all, queries, Deadline(deadline, LATE))
        return again_when_lost(self._pools.searching, embed)

    @translated
    def embed_documents(self, texts: Sequence[str], *, deadline: float | None = None) -> Embedding:
        """What the model makes of texts of documents, shape (n, dimensions); some models read queries differently.

        Texts that are longer than the model reads are cut. Queries of others have their turn after a few of many texts.
        Raises InvalidInput, ModelUnavailable, DeadlineExceeded.
        """
        _check_list("embed_documents", texts)
        return batching.of(self._embedder()).embed_documents(texts, Deadline(deadline, LATE))

    @translated
    def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens that the model reads of the texts, as it counts them: of a longer text as many as it reads.

        Raises InvalidInput, ModelUnavailable.
        """
        _check_list("count_tokens", texts)
        if self.model is None:
            raise InvalidInput(f"collection {self.name!r} has no model, so it counts no tokens.")
        tokenizer = self._tokenizer()
        return sum(min(tokens, tokenizer.max_tokens) for tokens in tokenizer.count_tokens(texts))

    @translated
    def spend(self, tokens: int) -> None:
        """Count tokens of texts that are not stored towards the token budget, where the collection has one.

        Raises InvalidInput where they are more than a day's, BudgetExhausted where they are more than is left.
        """
        budget.spend(self._pools.writing, self._space, tokens)


def _check_list(what: str, texts: Sequence[str]) -> None:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise InvalidInput(f"{what} takes a list of texts; put this one in brackets.")
