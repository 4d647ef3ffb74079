"""What becomes of documents that are put, changed and deleted, with a real provider on the other end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from semsearch import Document, Progress, Report
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import Conflict, IngestError, InvalidInput, NotFound, ProviderBusy
from semsearch.store import tasks
from tests.integration.hands import MODEL, inputs, searchable
from tests.provider import Provider, vector

# Sentences of seven tokens each: two make a chunk of 16 tokens at most.
SENTENCES = [f"Sentence {number} is short enough." for number in range(20)]
DOWN = {"fault": "status", "status": 503, "headers": {"Retry-After": "100"}}  # asks for longer than anybody waits


def put(collection: Collection, *documents: Document) -> Report:
    return collection.put(documents)


def test_a_document_is_stored_with_the_embedding_of_its_text(notes: Collection) -> None:
    report = put(notes, Document("a", "one text", {"year": 2024}))
    assert (report.added, report.changed, report.unchanged, report.chunks, report.embedded) == (1, 0, 0, 1, 1)
    assert report.failed == {}
    assert report.seconds > 0
    hit = notes.search(embedding=vector("one text"), top_k=1)[0]
    assert (hit.document_id, hit.ordinal, hit.text, hit.metadata) == ("a", 0, "one text", {"year": 2024})
    assert hit.distance == pytest.approx(0, abs=1e-6)
    assert notes.get("a") == Document("a", "one text", {"year": 2024})


def test_an_unchanged_document_is_not_embedded_again(notes: Collection, provider: Provider) -> None:
    document = Document("a", "one text", {"year": 2024}, title="A title", format="markdown")
    put(notes, document)
    provider.reset()
    report = put(notes, document)
    assert (report.added, report.changed, report.unchanged, report.chunks) == (0, 0, 1, 0)
    assert inputs(provider) == []


def test_changed_metadata_reaches_the_chunks_without_the_model(notes: Collection, provider: Provider) -> None:
    text = " ".join(SENTENCES)
    put(notes, Document("a", text, {"year": 2024}))
    before = searchable(notes)
    provider.reset()
    report = put(notes, Document("a", text, {"year": 2025}))
    assert (report.changed, report.embedded) == (1, 0)
    assert inputs(provider) == []
    assert searchable(notes) == before
    hits = notes.search(embedding=vector("x"), top_k=100, filter={"year": 2025})
    assert len(hits) == len(before["a"]) > 1


def test_a_changed_title_is_embedded(notes: Collection, provider: Provider) -> None:
    put(notes, Document("a", "one text", title="Old"))
    provider.reset()
    put(notes, Document("a", "one text", title="New"))
    assert inputs(provider) == ["New\none text"]
    hit = notes.search(embedding=vector("New\none text"))[0]
    assert (hit.heading, hit.text) == ("New", "one text")
    assert hit.distance == pytest.approx(0, abs=1e-6)


def test_a_changed_sentence_is_embedded_alone(notes: Collection, provider: Provider) -> None:
    put(notes, Document("a", "\n\n".join(SENTENCES)))
    provider.reset()
    report = put(notes, Document("a", "\n\n".join([*SENTENCES[:-1], "The last one is another."])))
    assert report.embedded == len(inputs(provider)) == 1
    assert "The last one is another." in searchable(notes)["a"][-1]


def test_a_document_that_shrinks_leaves_no_chunks_behind(notes: Collection) -> None:
    put(notes, Document("a", "\n\n".join(SENTENCES)))
    assert len(searchable(notes)["a"]) >= 10
    put(notes, Document("a", "\n\n".join(SENTENCES[:4])))
    assert len(searchable(notes)["a"]) == 2
    assert notes.status().chunks == 2


def test_a_document_that_grows_gets_chunks(notes: Collection, provider: Provider) -> None:
    put(notes, Document("a", "\n\n".join(SENTENCES[:4])))
    provider.reset()
    put(notes, Document("a", "\n\n".join(SENTENCES)))
    stored = searchable(notes)["a"]
    assert len(stored) >= 10
    assert len(inputs(provider)) == len(stored) - 2  # the first two kept their embeddings


def test_a_chunk_that_moves_keeps_its_embedding(notes: Collection, provider: Provider) -> None:
    first, second = "\n\n".join(SENTENCES[:2]), "\n\n".join(SENTENCES[2:4])
    put(notes, Document("a", f"{first}\n\n{second}"))
    provider.reset()
    put(notes, Document("a", f"{second}\n\n{first}"))
    assert inputs(provider) == []
    for text, ordinal in ((second, 0), (first, 1)):
        hit = notes.search(embedding=vector(text), top_k=1)[0]
        assert (hit.ordinal, hit.distance) == (ordinal, pytest.approx(0, abs=1e-6))


def test_of_two_documents_with_one_id_the_last_wins(notes: Collection) -> None:
    report = put(notes, Document("a", "first"), Document("b", "other"), Document("a", "last"))
    assert searchable(notes) == {"a": ["last"], "b": ["other"]}
    assert report.added == 2


def test_an_empty_text_is_kept_and_found_by_nobody(notes: Collection, provider: Provider) -> None:
    put(notes, Document("a", ""), Document("b", " \n\t"))
    assert notes.get("b").text == " \n\t"
    assert (notes.status().documents, notes.status().chunks, notes.status().backlog) == (2, 0, 0)
    assert inputs(provider) == []


def test_a_text_that_becomes_empty_is_no_longer_found(notes: Collection) -> None:
    put(notes, Document("a", "\n\n".join(SENTENCES)))
    put(notes, Document("a", ""))
    assert searchable(notes) == {}


def test_one_text_in_a_hundred_documents_is_embedded_once(notes: Collection, provider: Provider) -> None:
    report = notes.put(Document(f"d{number}", "the same text") for number in range(100))
    assert (report.added, report.chunks, report.embedded) == (100, 100, 1)
    assert inputs(provider) == ["the same text"]
    assert len(notes.search(embedding=vector("the same text"), top_k=200)) == 100


def test_second_document_with_same_text_is_kept(notes: Collection) -> None:
    put(notes, Document("a", "the same text"))
    put(notes, Document("b", "the same text"))
    assert searchable(notes) == {"a": ["the same text"], "b": ["the same text"]}


def test_documents_may_be_mappings_and_come_from_a_generator(notes: Collection) -> None:
    def generate() -> Iterator[dict[str, Any]]:
        for number in range(3):
            yield {"id": f"d{number}", "text": f"text {number}", "metadata": {"number": number}}

    assert notes.put(generate()).added == 3
    assert notes.get("d2") == Document("d2", "text 2", {"number": 2})


def test_documents_are_stored_batch_by_batch(notes: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semsearch.ingest.BATCH_BYTES", 100)
    seen: list[Progress] = []

    def generate() -> Iterator[dict[str, Any] | Document]:
        for number in range(10):  # 40 bytes each: three to a batch
            yield Document(f"d{number}", f"{number}" * 40) if number % 2 else {"id": f"d{number}", "text": "x" * 40}
            if number == 5:
                assert notes.status().chunks == 6  # those of the first two batches

    assert notes.put(generate(), on_progress=seen.append).added == 10
    assert [progress.done for progress in seen] == [3, 6, 9, 10]


@pytest.mark.parametrize(
    "item",
    [
        {"id": "a"},
        {"id": "a", "text": "x", "page": 3},
        {"id": "a", "text": "x", "embedding": 5.0},
        Document("a", None),  # type: ignore[arg-type]
        Document("a", "x", embedding=5.0),  # type: ignore[arg-type]
        Document(7, "x"),  # type: ignore[arg-type]
        "a text",
        None,
        3,
    ],
)
def test_what_is_no_document_is_refused_and_nothing_of_its_batch_is_stored(notes: Collection, item: Any) -> None:
    with pytest.raises(InvalidInput):
        notes.put([Document("good", "text"), item])
    assert notes.status().documents == 0


def test_a_document_by_itself_is_refused_in_a_sentence(notes: Collection) -> None:
    with pytest.raises(InvalidInput, match="list of documents"):
        notes.put(Document("a", "x"))  # type: ignore[arg-type]


# Without waiting


def test_without_waiting_nothing_is_embedded_until_somebody_works(notes: Collection, provider: Provider) -> None:
    report = notes.put([Document("a", "one"), Document("b", "two")], wait=False)
    assert (report.added, report.chunks) == (2, 0)
    assert inputs(provider) == []
    assert (notes.status().backlog, notes.status().chunks) == (2, 0)
    seen: list[Progress] = []
    done = notes.work(on_progress=seen.append)
    assert (done.added, done.chunks, done.embedded) == (0, 2, 2)
    assert seen == [Progress("ingest", 2, None)]
    assert (notes.status().backlog, searchable(notes)) == (0, {"a": ["one"], "b": ["two"]})


def test_working_without_tasks_does_nothing(notes: Collection, provider: Provider) -> None:
    assert notes.work().chunks == 0
    assert inputs(provider) == []


def test_a_row_written_by_sql_is_embedded_by_the_next_worker(notes: Collection, sql: psycopg.Connection[Any]) -> None:
    sql.execute(
        "INSERT INTO semsearch.documents (collection_id, id, text) SELECT id, 'a', 'by hand' FROM semsearch.collections"
    )
    assert notes.status().backlog == 1
    notes.work()
    assert searchable(notes) == {"a": ["by hand"]}


# What goes wrong


def test_a_document_the_model_refuses_is_set_apart_with_the_reason(notes: Collection, provider: Provider) -> None:
    provider.rules(poison="poison")
    documents = [Document(f"d{number}", f"text {number}") for number in range(31)]
    with pytest.raises(IngestError, match="1 documents could not be embedded, the first is 'bad'") as raised:
        put(notes, *documents, Document("bad", "this is poison"))
    assert "$.input" in raised.value.reasons["bad"]
    assert set(searchable(notes)) == {document.id for document in documents}
    assert (notes.status().failed, notes.status().backlog) == (1, 0)
    # Halving 32 texts five times finds the one at fault: two requests at each level, the first of all, and a known
    # text before the first one is given up, as nothing was embedded yet.
    assert len(provider.calls) == 12


def test_a_failed_document_is_forgiven_once_it_is_fixed(notes: Collection, provider: Provider) -> None:
    provider.rules(poison="poison")
    with pytest.raises(IngestError):
        put(notes, Document("bad", "this is poison"))
    report = put(notes, Document("bad", "this is good"))
    assert report.failed == {}
    assert notes.status().failed == 0
    assert searchable(notes) == {"bad": ["this is good"]}


def test_a_document_whose_new_text_fails_is_no_longer_found_by_its_old_one(
    notes: Collection, provider: Provider
) -> None:
    provider.rules(poison="poison")
    put(notes, Document("a", "this is good"))
    with pytest.raises(IngestError):
        put(notes, Document("a", "this is poison"))
    assert searchable(notes) == {}


def test_an_embedding_that_is_none_fails_only_its_own_document(notes: Collection, provider: Provider) -> None:
    nothing = "[" + ", ".join(["0"] * 8) + "]"
    fault = {"fault": "embedding", "embedding": nothing}
    provider.script(fault, {"fault": "none"}, fault)  # both; then each alone
    with pytest.raises(IngestError) as raised:
        put(notes, Document("a", "one"), Document("b", "two"))
    assert raised.value.reasons == {"b": "embedding 0 is zero."}
    assert searchable(notes) == {"a": ["one"]}


def test_while_the_provider_is_down_nothing_is_lost(notes: Collection, provider: Provider) -> None:
    provider.script(DOWN)
    with pytest.raises(ProviderBusy):
        put(notes, Document("a", "one"), Document("b", "two"))
    assert (notes.status().documents, notes.status().backlog, notes.status().failed) == (2, 2, 0)
    assert notes.work().embedded == 2  # at once: the leases were given back
    assert searchable(notes) == {"a": ["one"], "b": ["two"]}


def test_a_provider_that_is_down_is_asked_once(
    notes: Collection, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "READ_BYTES", 1)  # each document is a portion by itself
    provider.script(DOWN)
    with pytest.raises(ProviderBusy):
        put(notes, *(Document(f"d{number}", f"text {number}") for number in range(6)))
    assert len(provider.calls) == 1
    assert notes.work().embedded == 6


def test_after_ctrl_c_the_next_run_goes_on(
    notes: Collection, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.work.CLAIM", 2)

    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        notes.put([Document(f"d{number}", f"text {number}") for number in range(5)], on_progress=interrupt)
    assert (notes.status().documents, notes.status().backlog) == (5, 3)
    assert notes.work().embedded == 3
    assert set(inputs(provider)) == {f"text {number}" for number in range(5)}


def test_a_model_that_has_changed_is_refused(notes: Collection, sql: psycopg.Connection[Any]) -> None:
    put(notes, Document("a", "one"))
    sql.execute("UPDATE semsearch.spaces SET fingerprint = 'another model'")
    changed = notes_again(notes)
    with pytest.raises(Conflict, match="create a new collection"):
        put(changed, Document("b", "two"))
    with pytest.raises(Conflict):
        changed.search("never asked before")
    assert searchable(notes) == {"a": ["one"]}


def notes_again(notes: Collection) -> Collection:
    """The collection as the database describes it now."""
    from semsearch.store import spaces

    with notes._pools.writing.connect() as connection:
        return Collection(notes._pools, notes._settings, spaces.find(connection, notes.name))


def test_a_document_whose_workers_died_is_given_up(notes: Collection, sql: psycopg.Connection[Any]) -> None:
    notes.put([Document("a", "one"), Document("b", "two")], wait=False)
    sql.execute(
        """
        INSERT INTO semsearch.leases
            (collection_id, document_id, token, version, worker, attempt, claimed_at, expires_at)
        SELECT collection_id, document_id, 0, version, 0, 8, now(), now() FROM semsearch.tasks WHERE document_id = 'a'
        """
    )
    report = notes.work()
    assert report.failed == {"a": "given up: 8 workers died while they embedded it"}
    assert searchable(notes) == {"b": ["two"]}


def test_a_document_whose_worker_died_twice_is_embedded_alone(
    notes: Collection, provider: Provider, sql: psycopg.Connection[Any]
) -> None:
    notes.put([Document("a", "one"), Document("b", "two"), Document("c", "three")], wait=False)
    sql.execute(
        """
        INSERT INTO semsearch.leases
            (collection_id, document_id, token, version, worker, attempt, claimed_at, expires_at)
        SELECT collection_id, document_id, 0, version, 0, 2, now(), now() FROM semsearch.tasks WHERE document_id = 'b'
        """
    )
    notes.work()
    assert [call["inputs"] for call in provider.calls] == [["one", "three"], ["two"]]


def test_a_dropped_collection_says_so(model_db: Database, notes: Collection) -> None:
    put(notes, Document("a", "one"))
    model_db.drop_collection("notes")
    for use in (
        lambda: put(notes, Document("a", "two")),
        lambda: notes.search(embedding=vector("one")),
        lambda: notes.search(embedding=vector("one"), filter={"year": 1}),
        lambda: notes.delete(["a"]),
        lambda: notes.status(),
        lambda: notes.create_index(),
    ):
        with pytest.raises(NotFound, match="has been dropped"):
            use()


# Deleting


def test_deleted_documents_are_gone_with_their_chunks(notes: Collection) -> None:
    put(notes, *(Document(f"d{number}", "\n\n".join(SENTENCES)) for number in range(3)))
    assert notes.delete(["d0", "d2", "never there"]) == 2
    assert set(searchable(notes)) == {"d1"}
    assert (notes.status().documents, notes.status().backlog) == (1, 0)
    with pytest.raises(NotFound, match="'d0'"):
        notes.get("d0")


def test_deleting_takes_the_task_and_the_failure_along(notes: Collection, provider: Provider) -> None:
    provider.rules(poison="poison")
    with pytest.raises(IngestError):
        put(notes, Document("bad", "this is poison"))
    notes.put([Document("waiting", "x")], wait=False)
    assert notes.delete(iter(["bad", "waiting"])) == 2
    status = notes.status()
    assert (status.documents, status.backlog, status.failed) == (0, 0, 0)


def test_one_id_instead_of_a_list_is_refused(notes: Collection) -> None:
    with pytest.raises(InvalidInput, match=r"did you mean \['abc'\]"):
        notes.delete("abc")


@pytest.mark.parametrize("id", ["a\x00b", "\ud800", "", "x" * 2000, 7, None])
def test_an_impossible_id_is_not_found(notes: Collection, id: Any) -> None:
    with pytest.raises(NotFound):
        notes.get(id)
    with pytest.raises(NotFound):
        notes.search(document_id=id) if id is not None else notes.get(id)
    assert notes.delete([id]) == 0


def test_everything_can_be_deleted(notes: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semsearch.store.removal.BATCH", 2)
    put(notes, *(Document(f"d{number}", f"text {number}") for number in range(5)))
    assert notes.delete_all() == 5
    assert (notes.status().documents, notes.status().chunks) == (0, 0)
    assert put(notes, Document("d1", "text 1")).added == 1


# Whoever waits, waits for others, too


def test_waiting_ends_when_another_worker_has_done_its_part(
    notes: Collection, hands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes.put([Document("a", "one")], wait=False)
    other = hands(notes)
    other.claim()
    other.prepare()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            other.finish()

    monkeypatch.setattr("semsearch.ingest.time.sleep", pause)
    report = put(notes, Document("b", "two"))
    assert (len(pauses), report.chunks) == (3, 1)
    assert searchable(notes) == {"a": ["one"], "b": ["two"]}


def test_a_model_must_be_named_where_no_embedding_is_given(model_db: Database) -> None:
    given = model_db.create_collection("given", dimensions=2)
    with pytest.raises(InvalidInput, match="'a' has none"):
        given.put([Document("a", "x")])
    assert given.status().documents == 0


def test_tasks_of_another_collection_are_left_alone(model_db: Database, notes: Collection) -> None:
    other = model_db.create_collection("other", model=MODEL)
    other.put([Document("a", "other text")], wait=False)
    put(notes, Document("a", "one"))
    assert other.status().backlog == 1
    with other._pools.writing.connect() as connection:
        assert tasks.pending(connection, notes._space) == 0
