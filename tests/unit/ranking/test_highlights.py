"""The sentence that answers is found by meaning, or by words where there is no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from semsearch.ranking import highlights
from semsearch.ranking.highlights import best, best_by_words
from semsearch.records import Embedding

AXES = ["password", "weather", "food"]


class Counting:
    """An embedder with one dimension for each of three words; sentences with more letters are longer vectors."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def embed_documents(self, texts: Sequence[str]) -> Embedding:
        self.calls.append(list(texts))
        return np.array([[len(text) * (0.1 + text.count(word)) for word in AXES] for text in texts], np.float32)


def shown(texts: Sequence[str], spans: Sequence[tuple[int, int]]) -> list[str]:
    return [text[start:end] for text, (start, end) in zip(texts, spans, strict=True)]


def find(query: Sequence[float], texts: Sequence[str], embedder: Any) -> list[str]:
    return shown(texts, best(np.array(query, np.float32), texts, embedder.embed_documents))


def test_the_sentence_nearest_in_meaning_is_found_in_each_text_with_one_call() -> None:
    texts = ["The weather is fine. Reset the password. The food is good and there is plenty of it.", "food. weather. X"]
    embedder = Counting()
    assert find([1, 0, 0], texts, embedder) == ["Reset the password.", "X"]
    assert find([0, 0.2, 0], texts, embedder) == ["The weather is fine.", "food. weather."]
    assert len(embedder.calls) == 2


def test_a_text_of_one_sentence_needs_no_call() -> None:
    embedder = Counting()
    assert find([1, 0, 0], ["Only this one.", "And this"], embedder) == ["Only this one.", "And this"]
    assert embedder.calls == []
    assert find([1, 0, 0], [], embedder) == []


def test_a_text_of_white_space_is_shown_whole() -> None:
    assert best(np.zeros(3, np.float32), ["  "], Counting().embed_documents) == [(0, 2)]
    assert best_by_words("x", ["  "]) == [(0, 2)]


def test_a_sentence_that_stands_in_several_texts_is_embedded_once() -> None:
    embedder = Counting()
    find([1, 0, 0], ["Same here. Other one.", "Same here. Third one."], embedder)
    assert embedder.calls == [["Same here.", "Other one.", "Third one."]]


def test_no_more_sentences_are_embedded_than_the_limits_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(highlights, "MOST", 4)
    monkeypatch.setattr(highlights, "MOST_TOGETHER", 6)
    long = "One here. Two here. Three here. Four here. The password."
    embedder = Counting()
    texts = [long, long.replace("here", "there"), "Weather now. The password."]
    assert find([1, 0, 0], texts, embedder) == ["One here.", "One there.", "The password."]
    assert [len(call) for call in embedder.calls] == [6]


def test_by_words_the_rare_word_counts_more() -> None:
    texts = ["The office is open. The office has a printer. The office is closed."]
    assert shown(texts, best_by_words("office printer", texts)) == ["The office has a printer."]
    assert shown(texts, best_by_words("is the office CLOSED?", texts)) == ["The office is closed."]


def test_by_words_other_endings_are_found() -> None:
    texts = ["We sell tea. Passwords are reset by mail."]
    assert shown(texts, best_by_words("resetting a password", texts)) == ["Passwords are reset by mail."]


def test_by_words_scripts_without_spaces_are_compared_by_letter() -> None:
    texts = ["天気がいい。食事は美味しい。"]
    assert shown(texts, best_by_words("美味しい食事", texts)) == ["食事は美味しい。"]


def test_by_words_without_a_shared_word_it_is_the_first_sentence() -> None:
    texts = ["First one. Second one."]
    assert shown(texts, best_by_words("nothing", texts)) == ["First one."]
    assert shown(texts, best_by_words("", texts)) == ["First one."]
