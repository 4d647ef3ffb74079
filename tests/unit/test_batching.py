"""Queries asked at the same time: one call of the model for all who wait, and each its own answer or its own error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from semsearch import batching
from semsearch.batching import LARGEST, MOST_WAITING, SLICE, Batcher
from semsearch.errors import DeadlineExceeded, InvalidInput, Overloaded, ProviderBusy
from semsearch.records import Embedding
from semsearch.store.deadlines import Deadline


class Model:
    """Embeds a text as its length; waits in each call until it is let go on, and remembers what it was given."""

    model, dimensions = "test:model", 2

    def __init__(self, *, held: bool = False) -> None:
        self.calls: list[list[str]] = []
        self.interrupted = False
        self.gate = threading.Event()
        if not held:
            self.gate.set()

    def embed_documents(self, texts: Sequence[str]) -> Embedding:
        return self.embed_queries(texts)

    def embed_queries(self, texts: Sequence[str]) -> Embedding:
        self.calls.append(list(texts))
        assert self.gate.wait(30)
        if "interrupt" in texts and not self.interrupted:  # once: whoever takes up the text again is not meant
            self.interrupted = True
            raise KeyboardInterrupt
        if "busy" in texts:
            raise ProviderBusy("wait")
        if "poison" in texts:
            raise InvalidInput("this text has poison")
        return np.array([[len(text), 1] for text in texts], np.float32)


def batcher(model: Model) -> Batcher:
    return Batcher(model)  # type: ignore[arg-type]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


class Crowd:
    """Callers in threads of their own. The first one has the model; the others wait."""

    def __init__(self, pool: ThreadPoolExecutor, model: Model) -> None:
        self.pool, self.model, self.batcher = pool, model, batcher(model)
        self.first = self.ask("first")
        until(lambda: bool(model.calls))

    def ask(self, *texts: str, deadline: float | None = None) -> Future[Any]:
        return self.pool.submit(self.batcher.embed, texts, Deadline(deadline))

    def waiting(self, *texts: str) -> None:
        until(lambda: [*self.batcher._waiting] == list(texts))

    def go(self) -> None:
        self.model.gate.set()


@pytest.fixture
def pool() -> Any:
    with ThreadPoolExecutor(300) as made:
        yield made


def test_those_who_come_while_the_model_is_at_work_are_the_next_batch(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool, Model(held=True))
    asked = {}
    for text in ("a", "bb", "ccc"):
        asked[text] = crowd.ask(text)
        crowd.waiting(*asked)
    again = crowd.ask("bb", "first", "a")  # waits and is at work already: neither is embedded twice
    until(lambda: crowd.batcher._waiting["a"].wanted == 2)
    crowd.go()
    assert [future.result()[0, 0] for future in asked.values()] == [1, 2, 3]
    assert again.result()[:, 0].tolist() == [2, 5, 1]
    assert crowd.first.result().tolist() == [[5, 1]]
    assert crowd.model.calls == [["first"], ["a", "bb", "ccc"]]
    assert crowd.batcher.embed(["a"]).tolist() == [[1, 1]]  # asked anew: the model's own answer anew
    assert crowd.batcher.embed([]).shape == (0, 2)


def test_an_error_reaches_whose_text_has_it(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool, Model(held=True))
    good = [crowd.ask(f"good {number}") for number in range(5)]
    bad, both = crowd.ask("poison"), crowd.ask("good 0", "poison")
    until(lambda: len(crowd.batcher._waiting) == 6 and crowd.batcher._waiting["poison"].wanted == 2)
    crowd.go()
    assert [future.result().shape for future in good] == [(1, 2)] * 5
    for failing in (bad, both):
        with pytest.raises(InvalidInput, match="poison"):
            failing.result()
    assert crowd.batcher.embed(["after"]).shape == (1, 2)


def test_a_model_that_is_away_is_not_asked_for_each_text(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool, Model(held=True))
    asked = [crowd.ask(text) for text in ("busy", "other")]
    until(lambda: len(crowd.batcher._waiting) == 2)
    crowd.go()
    for future in asked:
        with pytest.raises(ProviderBusy):
            future.result()
    assert len(crowd.model.calls) == 2


def test_who_is_interrupted_leaves_the_others_their_turn(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool, Model(held=True))
    mine = crowd.ask("interrupt")
    crowd.waiting("interrupt")
    other = crowd.ask("other")
    crowd.waiting("interrupt", "other")
    crowd.go()
    with pytest.raises(KeyboardInterrupt):
        mine.result()
        other.result()  # or whoever had both
    assert crowd.batcher.embed(["after"]).shape == (1, 2)


def test_who_is_interrupted_leaves_nothing_that_nobody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model()
    made = batcher(model)
    others = made._enter(["others"])

    def interrupted(texts: Sequence[str]) -> Embedding:
        assert texts == ["others", "mine"]
        made._leave(others)  # whose deadline has passed meanwhile
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(model, "embed_queries", interrupted)
        made.embed(["mine"])
    assert not made._waiting
    made.embed(["after"])
    assert model.calls == [["after"]]


def test_a_deadline_ends_the_waiting_and_the_text_is_not_embedded(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool, Model(held=True))
    with pytest.raises(DeadlineExceeded):
        crowd.ask("late", deadline=0.01).result()
    assert not crowd.batcher._waiting
    crowd.go()
    crowd.first.result()
    assert crowd.model.calls == [["first"]]


def test_too_many_are_sent_away_and_a_large_list_is_cut(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool, Model(held=True))
    waiting = [crowd.ask(f"{number}") for number in range(MOST_WAITING)]
    until(lambda: len(crowd.batcher._waiting) == MOST_WAITING)
    with pytest.raises(Overloaded, match="256 queries wait for test:model") as caught:
        crowd.batcher.embed(["one more"])
    assert caught.value.retry_after > 0
    crowd.go()
    assert all(future.result().shape == (1, 2) for future in waiting)
    assert crowd.batcher.embed([f"{number}" for number in range(1000)]).shape == (1000, 2)
    assert max(map(len, crowd.model.calls)) == LARGEST


def test_who_asks_for_many_leaves_others_their_turn(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool, Model(held=True))
    many = crowd.ask(*(f"{number}" for number in range(1000)))
    until(lambda: len(crowd.batcher._waiting) == LARGEST)
    others = [crowd.ask(f"other {number}") for number in range(MOST_WAITING - LARGEST)]
    until(lambda: len(crowd.batcher._waiting) == MOST_WAITING)
    crowd.go()
    assert [future.result().shape for future in others] == [(1, 2)] * len(others)
    assert many.result()[:, 0].tolist() == [len(f"{number}") for number in range(1000)]
    places = [at for at, call in enumerate(crowd.model.calls) if any(text.startswith("other") for text in call)]
    assert places == [2, 3, 4], "right behind what was asked before"


def test_a_deadline_is_looked_at_between_slices() -> None:
    class Late(Deadline):
        looks = 0

        def remaining(self) -> float | None:
            self.looks += 1
            return super().remaining() if self.looks < 3 else Deadline(-1).remaining()

    for ask in (Batcher.embed, Batcher.embed_documents):
        model = Model()
        with pytest.raises(DeadlineExceeded):
            ask(batcher(model), ["a"] * 1000, Late(60))
        assert len(model.calls) == 2


def test_documents_take_turns_in_slices(pool: ThreadPoolExecutor) -> None:
    model = Model(held=True)
    model.model = "sentence-transformers:test"
    shared = batcher(model)
    asked = [pool.submit(shared.embed_documents, ["x" * 100] * (3 * SLICE))]
    until(lambda: len(model.calls) == 1)
    asked.append(pool.submit(shared.embed_documents, ["y"]))
    until(lambda: len(shared._line._waiting) == 2)
    with pytest.raises(DeadlineExceeded):
        shared.embed_documents(["late"], Deadline(0.01))
    query = pool.submit(shared.embed, ["query"])
    until(lambda: len(model.calls) == 2)
    model.gate.set()
    assert query.result().tolist() == [[5, 1]]
    assert [future.result().shape for future in asked] == [(3 * SLICE, 2), (1, 2)]
    assert [len(call) for call in model.calls if call != ["query"]] == [SLICE, 1, SLICE, SLICE]


def test_many_at_once_get_each_their_own(pool: ThreadPoolExecutor) -> None:
    model = Model()
    shared = batcher(model)

    def ask(number: int) -> bool:
        texts = ["x" * (number % 40 + 1), "y" * (number % 7 + 1)]
        return shared.embed(texts)[:, 0].tolist() == [len(text) for text in texts]

    assert all(pool.map(ask, range(3000)))
    assert not shared._waiting
    assert not shared._embedding


def test_an_embedder_has_one_batcher() -> None:
    one, other = Model(), Model()
    assert batching.of(one) is batching.of(one)  # type: ignore[arg-type]
    assert batching.of(one) is not batching.of(other)  # type: ignore[arg-type]


@pytest.mark.model
def test_the_real_model_gives_each_thread_what_it_gives_one_alone(model_name: str) -> None:
    from semsearch import embedders
    from semsearch.config import Settings

    embedder = embedders.load(model_name, Settings())
    queries = [f"how do I reset password number {number}?" for number in range(200)]
    with ThreadPoolExecutor(64) as threads:
        found = [*threads.map(lambda query: batching.of(embedder).embed([query])[0], queries)]
    alone = embedder.embed_queries(queries)
    assert (np.sum(np.array(found) * alone, axis=1) >= 0.999).all()
